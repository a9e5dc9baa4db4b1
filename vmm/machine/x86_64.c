/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PC, usually without firmware: memory map, devices at their traditional places, processors set
 * up as the boot protocol of the kernel wants them.
 *
 *     0x00000500  GDT                       \
 *     0x00007000  zero page or start info    |
 *     0x00009000  page tables (6 pages)      | gone once the kernel has taken over
 *     0x00020000  kernel command line       /
 *     0x000a0000  (nothing: VGA and option ROMs of old)
 *     0x000e0000  ACPI tables, RSDP first, where kernels look for it too
 *     0x00100000  RAM, up to 3 GiB
 *     0xc0000000  PCI configuration space (ECAM)
 *     0xd0000000  PCI memory window
 *     0xfec00000  I/O APIC
 *     0xfee00000  local APICs
 *     0xfeffc000  a page and three pages for old Intel processors
 *   0x1 00000000  the rest of RAM
 *
 * With firmware there is RAM without holes below 1 MiB, where the firmware puts its own things; its
 * ROM ends at 4 GiB, where processors begin, and a copy of it at 1 MiB.
 */
#include <stdlib.h>
#include <string.h>

#include <visor/x86_64.h>

#include "devices/platform.h"
#include "machine/pc.h"

#define INFO_GPA     0x7000
#define PARAMS_GPA   0x20000
#define LOW_RAM_END  0xa0000
#define ACPI_GPA     0xe0000
#define ACPI_LENGTH  0x20000
#define KERNEL_FLOOR 0x100000
#define IOAPIC_GPA   0xfec00000u
#define LAPIC_GPA    0xfee00000u
#define IDENTITY_GPA 0xfeffc000u
#define TSS_GPA      0xfeffd000u
#define RTC_PORT     0x70

/* COM1 to COM4. Neighbours share a line on a PC; here ports 3 and 4 have lines of their own, so
 * that each line belongs to one device. */
static const struct {
    uint16_t port;
    uint8_t irq;
} serial_ports[MACHINE_SERIAL_PORTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 5}, {0x2e8, 7}};

struct pc {
    pci_config pci;
    rtc *rtc;
    i8042 *i8042;
    pm *pm;
    pvpanic *pvpanic;
    debug_exit *debug_exit;
    fw_cfg *fw_cfg;
    struct pc_firmware firmware;
    struct boot_x86_entry entry;
};

/* ---- memory ---- */

static size_t pc_regions(visor_memory_region regions[MACHINE_REGIONS], uint64_t size)
{
    if (size <= PC_HOLE_START) {
        regions[0].length = size;
        return 1;
    }
    regions[0].length = PC_HOLE_START;
    regions[1].gpa = PC_HOLE_END;
    regions[1].length = size - PC_HOLE_START;
    return 2;
}

static size_t pc_add_firmware(visor_memory_region regions[MACHINE_REGIONS], size_t count,
                              uint64_t size)
{
    regions[2] = regions[1];
    regions[1] = (visor_memory_region){
        .gpa = PC_HOLE_END - size,
        .length = size,
        .purpose = VISOR_MEMORY_BIOS,
        .read_only = true,
    };
    return count + 1;
}

static uint64_t pc_max_memory(unsigned int gpa_bits)
{
    return (1ull << (gpa_bits < 52 ? gpa_bits : 52)) - (PC_HOLE_END - PC_HOLE_START);
}

/* What the kernel is told; returns how many. */
static size_t memory_map(struct boot_range map[8], const struct machine *machine)
{
    const struct pc *pc = machine->board_data;
    uint64_t size = machine->config.memory_size;
    uint64_t low_end = size < PC_HOLE_START ? size : PC_HOLE_START;
    size_t count = 0;

    map[count++] = (struct boot_range){0, LOW_RAM_END, BOOT_RANGE_RAM};
    map[count++] = (struct boot_range){ACPI_GPA, ACPI_LENGTH, BOOT_RANGE_RESERVED};
    map[count++] = (struct boot_range){KERNEL_FLOOR, low_end - KERNEL_FLOOR, BOOT_RANGE_RAM};
    map[count++] = (struct boot_range){pc->pci.ecam, PCI_ECAM_LENGTH, BOOT_RANGE_RESERVED};
    map[count++] = (struct boot_range){IDENTITY_GPA, 0x4000, BOOT_RANGE_RESERVED};
    if (size > PC_HOLE_START)
        map[count++] = (struct boot_range){PC_HOLE_END, size - PC_HOLE_START, BOOT_RANGE_RAM};
    return count;
}

/* ---- devices ---- */

static int add_serial_ports(struct machine *machine, vmm_error *error)
{
    for (size_t i = 0; i < MACHINE_PORTS; i++) {
        const struct machine_serial *end = &machine->config.serial[i];
        serial_config config = SERIAL_CONFIG_PC;
        int code;

        if (!end->present)
            continue;
        config.debug_console = i >= MACHINE_SERIAL_PORTS;
        config.address = config.debug_console ? end->debug_port : serial_ports[i].port;
        if (!config.debug_console)
            config.gsi = serial_ports[i].irq;
        config.write = end->write;
        config.read_ready = end->read_ready;
        config.context = end->context;
        code = serial_create(&machine->serial[i], &machine->host, &config, error);
        if (code != 0)
            return code;
    }
    return 0;
}

/* What firmware leaves in the clock's memory, and SeaBIOS looks for there: memory sizes, equipment
 * (a floating-point unit), order of boot devices (disk), processors. Places: RBIL, CMOS.LST. */
static void fill_nvram(struct pc *pc, const struct machine_config *config)
{
    uint64_t low = config->memory_size < PC_HOLE_START ? config->memory_size : PC_HOLE_START;
    uint64_t high = config->memory_size > low ? config->memory_size - low : 0;
    uint64_t above_1m = (low - 0x100000) >> 10; /* KiB */
    uint64_t above_16m = low > 0x1000000 ? (low - 0x1000000) >> 16 : 0;
    const struct {
        uint8_t index;
        uint64_t value;
        unsigned int width;
    } fields[] = {
        {0x14, 0x02, 1},
        {0x15, LOW_RAM_END >> 10, 2},
        {0x17, above_1m < 0xffff ? above_1m : 0xffff, 2},
        {0x30, above_1m < 0xffff ? above_1m : 0xffff, 2},
        {0x34, above_16m, 2},
        {0x3d, 0x02, 1},
        {0x5b, high >> 16, 3},
        {0x5f, config->vcpu_count - 1, 1},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (unsigned int byte = 0; byte < fields[i].width; byte++)
            rtc_set_nvram(pc->rtc, (uint8_t)(fields[i].index + byte),
                          (uint8_t)(fields[i].value >> (8 * byte)));
    }
}

/* What test kernels ask for too. */
static int add_fw_cfg(struct machine *machine, struct pc *pc, vmm_error *error)
{
    const struct machine_config *config = &machine->config;
    int code = fw_cfg_create(&pc->fw_cfg, &machine->host, error);

    if (code == 0)
        code = fw_cfg_add_number(pc->fw_cfg, FW_CFG_RAM_SIZE, config->memory_size, 8, error);
    if (code == 0)
        code = fw_cfg_add_number(pc->fw_cfg, FW_CFG_NOGRAPHIC, 1, 2, error);
    if (code == 0)
        code = fw_cfg_add_number(pc->fw_cfg, FW_CFG_CPUS, config->vcpu_count, 2, error);
    if (code == 0)
        code = fw_cfg_add_number(pc->fw_cfg, FW_CFG_MAX_CPUS, config->vcpu_count, 2, error);
    return code;
}

/* vmm_host.guest_time: the TSC's, without what the guest has set that to. */
static uint64_t guest_time(visor_vcpu *vcpu)
{
    uint64_t tsc, offset, hz;

    if (visor_x86_get_msr(&tsc, vcpu, 0x10) < 0 || visor_x86_get_tsc_offset(&offset, vcpu) < 0 ||
        visor_x86_get_tsc_hz(&hz, vcpu) < 0)
        return 0;
    tsc -= offset;
    return tsc / hz * 1000000000 + tsc % hz * 1000000000 / hz;
}

static int pc_add_devices(struct machine *machine, vmm_error *error)
{
    const vmm_host *host = &machine->host;
    struct pc *pc = calloc(1, sizeof(*pc));
    int code;

    if (pc == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    pc->pci = (pci_config)PCI_CONFIG_PC;
    machine->board_data = pc;

    code = visor_x86_set_identity_map(machine->vm, IDENTITY_GPA);
    if (code == 0)
        code = visor_x86_set_tss_area(machine->vm, TSS_GPA);
    if (code < 0)
        return vmm_fail_visor(error, code, "cannot reserve address space for the processor");

    if (machine->config.guest_time)
        machine->host.guest_time = guest_time;
    code = pci_bus_create(&machine->pci, host, &pc->pci, error);
    if (code == 0)
        code = pm_create(&pc->pm, host, error);
    if (code == 0)
        code = rtc_create(&pc->rtc, host, error);
    if (code == 0)
        code = i8042_create(&pc->i8042, host, error);
    if (code == 0)
        code = pvpanic_create(&pc->pvpanic, host, VISOR_PIO, PVPANIC_PORT, error);
    if (code == 0)
        code = add_serial_ports(machine, error);
    if (code == 0 && machine->config.debug_exit)
        code = debug_exit_create(&pc->debug_exit, host, error);
    if (code == 0)
        code = add_fw_cfg(machine, pc, error);
    if (code == 0)
        fill_nvram(pc, &machine->config);
    return code;
}

static void pc_free_devices(struct machine *machine)
{
    struct pc *pc = machine->board_data;

    if (pc == NULL)
        return;
    fw_cfg_free(pc->fw_cfg);
    pc_firmware_free(&pc->firmware);
    debug_exit_free(pc->debug_exit);
    pvpanic_free(pc->pvpanic);
    i8042_free(pc->i8042);
    rtc_free(pc->rtc);
    pm_free(pc->pm);
    free(pc);
}

static bool pc_power_button(struct machine *machine)
{
    struct pc *pc = machine->board_data;

    return pm_power_button(pc->pm);
}

/* ---- tables and kernel ---- */

static struct acpi_config describe(const struct machine *machine)
{
    const struct pc *pc = machine->board_data;
    struct acpi_config config = {
        .vcpu_count = machine->config.vcpu_count,
        .lapic = LAPIC_GPA,
        .ioapic = IOAPIC_GPA,
        .pci = pc->pci,
        .rtc_port = RTC_PORT,
        .pvpanic_port = PVPANIC_PORT,
    };

    for (size_t i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] == NULL)
            continue;
        config.serial[i].port = serial_ports[i].port;
        config.serial[i].irq = serial_ports[i].irq;
    }
    return config;
}

static int load_acpi(struct machine *machine, vmm_error *error)
{
    struct acpi_config config = describe(machine);
    void *memory;
    int code;

    config.gpa = ACPI_GPA;
    code = visor_memory_ptr(&memory, machine->memory, ACPI_GPA, ACPI_LENGTH);
    if (code < 0)
        return vmm_fail_visor(error, code, "ACPI tables");
    code = acpi_build(memory, ACPI_LENGTH, &config, error);
    return code < 0 ? code : 0;
}

static int load_firmware(struct machine *machine, vmm_error *error)
{
    const struct machine_config *config = &machine->config;
    struct pc *pc = machine->board_data;
    struct acpi_config acpi = describe(machine);
    int code = pc_firmware_load(machine->memory, config->firmware, error);

    return code == 0 ? pc_firmware_tell(&pc->firmware, pc->fw_cfg, config, &acpi, error) : code;
}

static int pc_load(struct machine *machine, const struct boot_image *kernel, vmm_error *error)
{
    struct pc *pc = machine->board_data;
    struct boot_range map[8];
    struct boot_x86_config config = {
        .common =
            {
                .memory = machine->memory,
                .params = machine->config.params,
                .initrd = machine->config.initrd,
                .floor_gpa = KERNEL_FLOOR,
            },
        .plain_params = machine->config.plain_params,
        .modules = machine->config.modules,
        .module_count = machine->config.module_count,
        .unpack = machine->config.unpack,
        .map = map,
        .map_count = memory_map(map, machine),
        .rsdp_gpa = ACPI_GPA,
        .info_gpa = INFO_GPA,
        .params_gpa = PARAMS_GPA,
    };
    int code;

    if (machine->config.firmware != NULL)
        return load_firmware(machine, error);
    code = boot_x86_load(&pc->entry, kernel, &config, error);
    if (code == 0)
        code = load_acpi(machine, error);
    if (code == 0)
        code = pc_cpu_load_tables(machine->memory, &pc->entry, error);
    return code;
}

/* ---- processors ---- */

static int pc_init_vcpu(struct machine *machine, visor_vcpu *vcpu, vmm_error *error)
{
    visor_x86_cpu_config config = VISOR_X86_CPU_CONFIG_INIT;
    int code;

    config.vcpu_count = machine->config.vcpu_count;
    config.no_smt = true; /* each vCPU is a thread of the host that may run anywhere */
    config.x2apic = true;
    config.tsc_deadline = visor_vm_cap(machine->vm, VISOR_CAP_X86_TSC_DEADLINE) != 0;
    config.tsc_leaf = visor_vm_cap(machine->vm, VISOR_CAP_TSC_LEAF_NEEDED) != 0;
    code = visor_x86_configure_cpuid(vcpu, &config);
    if (code < 0)
        return vmm_fail_visor(error, code, "cannot set up the vCPU's features");
    if (machine->config.firmware != NULL)
        return 0; /* the rest is its own to set up */
    code = pc_cpu_init(machine->vm, vcpu);
    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

static int pc_enter(struct machine *machine, visor_vcpu *vcpu, vmm_error *error)
{
    const struct pc *pc = machine->board_data;
    int code;

    if (machine->config.firmware != NULL)
        return 0; /* at the reset vector, where a processor begins */
    code = pc_cpu_enter(vcpu, &pc->entry);
    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

const struct machine_board machine_x86_64 = {
    .arch = VISOR_ARCH_X86_64,
    .max_vcpus = 255, /* APIC ids of 8 bits, of which 255 is everyone */
    .regions = pc_regions,
    .add_firmware = pc_add_firmware,
    .check_firmware = pc_firmware_check,
    .max_memory = pc_max_memory,
    .vm =
        {
            .size = sizeof(visor_vm_config),
            .arch = VISOR_ARCH_X86_64,
            .irqchip = VISOR_IRQCHIP_KERNEL,
        },
    .add_devices = pc_add_devices,
    .init_vcpu = pc_init_vcpu,
    .load = pc_load,
    .enter = pc_enter,
    .power_button = pc_power_button,
    .free_devices = pc_free_devices,
};
