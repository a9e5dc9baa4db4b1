/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PC without firmware: memory map, devices at their traditional places, processors set up as the
 * boot protocol of the kernel wants them.
 *
 *     0x00000500  GDT                       \
 *     0x00007000  zero page or start info    |
 *     0x00009000  page tables (6 pages)      | gone once the kernel has taken over
 *     0x00020000  kernel command line       /
 *     0x000a0000  (nothing: VGA and option ROMs of old)
 *     0x000e0000  ACPI tables, RSDP first, where kernels look for it too
 *     0x00100000  RAM, up to 3 GiB
 *     0xd0000000  PCI memory window, then ECAM
 *     0xfec00000  I/O APIC
 *     0xfee00000  local APICs
 *     0xfeffc000  a page and three pages for old Intel processors
 *   0x1 00000000  the rest of RAM
 */
#include <stdlib.h>
#include <string.h>

#include <visor/x86_64.h>

#include "devices/platform.h"
#include "machine/acpi.h"
#include "machine/board.h"

#define GDT_GPA            0x500
#define INFO_GPA           0x7000
#define PAGE_TABLES_GPA    0x9000
#define PAGE_TABLES_LENGTH 0x6000
#define PARAMS_GPA         0x20000
#define LOW_RAM_END        0xa0000
#define ACPI_GPA           0xe0000
#define ACPI_LENGTH        0x20000
#define KERNEL_FLOOR       0x100000
#define HOLE_START         0xc0000000ull
#define HOLE_END           0x100000000ull
#define IOAPIC_GPA         0xfec00000u
#define LAPIC_GPA          0xfee00000u
#define IDENTITY_GPA       0xfeffc000u
#define TSS_GPA            0xfeffd000u
#define RTC_PORT           0x70

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
    struct boot_x86_entry entry;
};

/* ---- memory ---- */

static size_t pc_regions(visor_memory_region regions[MACHINE_REGIONS], uint64_t size)
{
    if (size <= HOLE_START) {
        regions[0].length = size;
        return 1;
    }
    regions[0].length = HOLE_START;
    regions[1].gpa = HOLE_END;
    regions[1].length = size - HOLE_START;
    return 2;
}

static uint64_t pc_max_memory(unsigned int gpa_bits)
{
    return (1ull << (gpa_bits < 52 ? gpa_bits : 52)) - (HOLE_END - HOLE_START);
}

/* What the kernel is told; returns how many. */
static size_t memory_map(struct boot_range map[8], const struct machine *machine)
{
    const struct pc *pc = machine->board_data;
    uint64_t size = machine->config.memory_size;
    uint64_t low_end = size < HOLE_START ? size : HOLE_START;
    size_t count = 0;

    map[count++] = (struct boot_range){0, LOW_RAM_END, BOOT_RANGE_RAM};
    map[count++] = (struct boot_range){ACPI_GPA, ACPI_LENGTH, BOOT_RANGE_RESERVED};
    map[count++] = (struct boot_range){KERNEL_FLOOR, low_end - KERNEL_FLOOR, BOOT_RANGE_RAM};
    map[count++] = (struct boot_range){pc->pci.ecam, PCI_ECAM_LENGTH, BOOT_RANGE_RESERVED};
    map[count++] = (struct boot_range){IDENTITY_GPA, 0x4000, BOOT_RANGE_RESERVED};
    if (size > HOLE_START)
        map[count++] = (struct boot_range){HOLE_END, size - HOLE_START, BOOT_RANGE_RAM};
    return count;
}

/* ---- devices ---- */

static int add_serial_ports(struct machine *machine, vmm_error *error)
{
    for (size_t i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        const struct machine_serial *end = &machine->config.serial[i];
        serial_config config = SERIAL_CONFIG_PC;
        int code;

        if (!end->present)
            continue;
        config.address = serial_ports[i].port;
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
    return code;
}

static void pc_free_devices(struct machine *machine)
{
    struct pc *pc = machine->board_data;

    if (pc == NULL)
        return;
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

/* The descriptors that both boot protocols start with: selector 0x10 code, 0x18 data, 0x20 task
 * state (SDM vol. 3A, 3.4.5 and 7.2.3). */
#define CODE64   0x00af9b000000ffffull
#define CODE32   0x00cf9b000000ffffull
#define DATA     0x00cf93000000ffffull
#define TSS_BUSY 0x00008b0000000067ull

static int load_tables(struct machine *machine, vmm_error *error)
{
    const struct pc *pc = machine->board_data;
    uint64_t gdt[5] = {0, 0, CODE64, DATA, TSS_BUSY};
    uint64_t *tables;
    void *memory;
    int code;

    if (pc->entry.protocol == BOOT_X86_PVH)
        gdt[2] = CODE32;
    code = visor_memory_write(machine->memory, GDT_GPA, gdt, sizeof(gdt));
    if (code < 0)
        return vmm_fail_visor(error, code, "descriptor table");

    /* The first 4 GiB onto themselves, in pages of 2 MiB (SDM vol. 3A, 4.5.4): present, writable;
     * bit 7: this is the page. One table of each upper level, then four, side by side. */
    code = visor_memory_ptr(&memory, machine->memory, PAGE_TABLES_GPA, PAGE_TABLES_LENGTH);
    if (code < 0)
        return vmm_fail_visor(error, code, "page tables");
    tables = memory;
    tables[0] = (PAGE_TABLES_GPA + 0x1000) | 3;
    for (uint64_t i = 0; i < 4; i++)
        tables[512 + i] = (PAGE_TABLES_GPA + 0x2000 + i * 0x1000) | 3;
    for (uint64_t i = 0; i < 4 * 512ull; i++)
        tables[1024 + i] = i << 21 | 0x83;
    return 0;
}

static int load_acpi(struct machine *machine, vmm_error *error)
{
    const struct pc *pc = machine->board_data;
    struct acpi_config config = {
        .gpa = ACPI_GPA,
        .vcpu_count = machine->config.vcpu_count,
        .lapic = LAPIC_GPA,
        .ioapic = IOAPIC_GPA,
        .pci = pc->pci,
        .rtc_port = RTC_PORT,
        .pvpanic_port = PVPANIC_PORT,
    };
    void *memory;
    int code;

    for (size_t i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] == NULL)
            continue;
        config.serial[i].port = serial_ports[i].port;
        config.serial[i].irq = serial_ports[i].irq;
    }
    code = visor_memory_ptr(&memory, machine->memory, ACPI_GPA, ACPI_LENGTH);
    if (code < 0)
        return vmm_fail_visor(error, code, "ACPI tables");
    code = acpi_build(memory, ACPI_LENGTH, &config, error);
    return code < 0 ? code : 0;
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
        .unpack = machine->config.unpack,
        .map = map,
        .map_count = memory_map(map, machine),
        .rsdp_gpa = ACPI_GPA,
        .info_gpa = INFO_GPA,
        .params_gpa = PARAMS_GPA,
    };
    int code = boot_x86_load(&pc->entry, kernel, &config, error);

    if (code == 0)
        code = load_acpi(machine, error);
    if (code == 0)
        code = load_tables(machine, error);
    return code;
}

/* ---- processors ---- */

#define CR0_PE   (1ull << 0)
#define CR0_ET   (1ull << 4)
#define CR0_PG   (1ull << 31)
#define CR4_PAE  (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define MSR_MTRR_CAP      0x0fe
#define MSR_MISC_ENABLE   0x1a0
#define MSR_MTRR_BASE0    0x200
#define MSR_MTRR_MASK0    0x201
#define MSR_MTRR_DEF_TYPE 0x2ff

/* Set by firmware on a real machine; the same on every processor. */
static int init_msrs(struct machine *machine, visor_vcpu *vcpu)
{
    int64_t bits = visor_vm_cap(machine->vm, VISOR_CAP_GPA_BITS);
    uint64_t address_mask = (1ull << (bits > 0 && bits <= 52 ? bits : 36)) - 1;
    uint64_t hole = HOLE_END - HOLE_START, count;
    const visor_x86_msr mtrrs[] = {
        /* All memory is write-back but for the hole (SDM vol. 3A, 11.11.2). */
        {.index = MSR_MTRR_BASE0, .value = HOLE_START},
        {.index = MSR_MTRR_MASK0, .value = (~(hole - 1) & address_mask) | 1 << 11},
        {.index = MSR_MTRR_DEF_TYPE, .value = 1 << 11 | 6},
    };
    int code;

    /* Fast strings (SDM vol. 4, table 2-2); AMD's processors have no such register. */
    code = visor_x86_set_msr(vcpu, MSR_MISC_ENABLE, 1);
    if (code < 0 && code != VISOR_ENOENT && code != VISOR_EREFUSED)
        return code;
    code = visor_x86_get_msr(&count, vcpu, MSR_MTRR_CAP);
    if (code == VISOR_ENOENT || (code == 0 && (count & 0xff) == 0))
        return 0; /* a processor without MTRRs does not say so in CPUID either */
    if (code == 0)
        code = visor_x86_set_msrs(vcpu, mtrrs, sizeof(mtrrs) / sizeof(mtrrs[0]));
    return code;
}

/* The PIC is wired to LINT0 and NMI to LINT1 (MultiProcessor Specification 1.4, 3.6.1). Registers
 * and delivery modes: SDM vol. 3A, 10.5.1. */
static int init_lapic(visor_vcpu *vcpu)
{
    visor_x86_lapic lapic;
    int code = visor_x86_get_lapic(&lapic, vcpu);

    if (code < 0)
        return code;
    lapic.regs[0x350 / 16] = (lapic.regs[0x350 / 16] & ~0x700u) | 7 << 8;
    lapic.regs[0x360 / 16] = (lapic.regs[0x360 / 16] & ~0x700u) | 4 << 8;
    return visor_x86_set_lapic(vcpu, &lapic);
}

static int enter_kernel(const struct pc *pc, visor_vcpu *vcpu)
{
    bool long_mode = pc->entry.protocol == BOOT_X86_LINUX64;
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    visor_x86_fpu fpu;
    int code = visor_x86_get_sregs(&sregs, vcpu);

    if (code < 0)
        return code;
    visor_x86_segment_from_descriptor(&sregs.cs, long_mode ? CODE64 : CODE32, 0x10);
    visor_x86_segment_from_descriptor(&sregs.ds, DATA, 0x18);
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    visor_x86_segment_from_descriptor(&sregs.tr, TSS_BUSY, 0x20);
    sregs.gdt = (visor_x86_table){.base = GDT_GPA, .limit = 5 * 8 - 1};
    sregs.idt = (visor_x86_table){0};
    sregs.cr0 = CR0_PE | CR0_ET;
    if (long_mode) {
        sregs.cr0 |= CR0_PG;
        sregs.cr3 = PAGE_TABLES_GPA;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
    }
    code = visor_x86_set_sregs(vcpu, &sregs);
    if (code < 0)
        return code;

    regs = (visor_x86_regs){.rip = pc->entry.entry, .rflags = 2};
    if (long_mode)
        regs.rsi = pc->entry.info;
    else
        regs.rbx = pc->entry.info;
    code = visor_x86_set_regs(vcpu, &regs);
    if (code < 0)
        return code;
    visor_x86_reset_fpu(&fpu);
    return visor_x86_set_fpu(vcpu, &fpu);
}

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
    code = init_msrs(machine, vcpu);
    if (code == 0)
        code = init_lapic(vcpu);
    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

static int pc_enter(struct machine *machine, visor_vcpu *vcpu, vmm_error *error)
{
    int code = enter_kernel(machine->board_data, vcpu);

    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

const struct machine_board machine_x86_64 = {
    .arch = VISOR_ARCH_X86_64,
    .max_vcpus = 255, /* APIC ids of 8 bits, of which 255 is everyone */
    .regions = pc_regions,
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
