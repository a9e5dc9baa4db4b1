/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An Arm machine: GICv3 with ITS (or GICv2 without), PSCI, devices as in dt_board.h and a PL031
 * clock. Processors start as Linux, Documentation/arch/arm64/booting.rst, wants it.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <visor/aarch64.h>

#include "machine/dt_board.h"
#include "machine/lines.h"

struct arm {
    struct dt_board common;
    pl031 *rtc;
    struct lines lines;        /* where the hypervisor has none */
    visor_aarch64_config cpus; /* what the VM has */
};

/* ---- protection ---- */

static bool has_firmware(const struct machine *machine)
{
    return machine->config.protection == VISOR_PROTECTED ||
           machine->config.protection == VISOR_PROTECTED_CUSTOM_FIRMWARE;
}

/* The hypervisor's firmware, or ours. */
static int load_firmware(struct machine *machine, vmm_error *error)
{
    const struct boot_image *own = machine->config.firmware;
    uint64_t size;
    int code;

    if (!has_firmware(machine))
        return 0;
    if (own == NULL) {
        code = visor_vm_load_firmware(&size, machine->vm, DT_BOARD_FIRMWARE_GPA,
                                      DT_BOARD_FIRMWARE_LENGTH);
        return code < 0 ? vmm_fail_visor(error, code, "no firmware for a protected VM") : 0;
    }
    if (own->size > DT_BOARD_FIRMWARE_LENGTH)
        return vmm_fail(error, VISOR_ELIMIT, "firmware '%s' has more than 4 MiB", own->path);
    code = visor_memory_write(machine->memory, DT_BOARD_FIRMWARE_GPA, own->data, own->size);
    return code < 0 ? vmm_fail_visor(error, code, "cannot load the firmware") : 0;
}

/* ---- devices ---- */

static int arm_add_devices(struct machine *machine, vmm_error *error)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    struct arm *arm = calloc(1, sizeof(*arm));
    int code;

    if (arm == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    machine->board_data = arm;
    config.vcpu_count = machine->config.vcpu_count;
    code = visor_aarch64_configure(machine->vm, &config);
    arm->cpus.size = sizeof(arm->cpus);
    if (code == 0)
        code = visor_aarch64_get_config(&arm->cpus, machine->vm);
    if (code < 0)
        return vmm_fail_visor(error, code, "cannot set up processors and interrupt controller");
    code = load_firmware(machine, error);
    if (code != 0)
        return code;
    code = dt_board_add_devices(machine, arm->cpus.its != VISOR_OFF, error);
    if (code == 0)
        code = pl031_create(&arm->rtc, &machine->host, DT_BOARD_RTC_GPA, error);
    return code;
}

static void arm_free_devices(struct machine *machine)
{
    struct arm *arm = machine->board_data;

    if (arm == NULL)
        return;
    dt_board_free_devices(machine);
    lines_free(&arm->lines);
    pl031_free(arm->rtc);
    free(arm);
}

/* ---- device tree ---- */

/* Of a GIC's interrupt: kind, number in its kind, trigger (arm,gic.yaml, arm,gic-v3.yaml). */
enum {
    GIC_SPI = 0,
    GIC_PPI = 1,
    EDGE_RISING = 1,
    LEVEL_HIGH = 4,
    LEVEL_LOW = 8,
};

static void arm_interrupt(uint32_t *cells, uint32_t irq)
{
    cells[0] = GIC_SPI;
    cells[1] = irq;
    cells[2] = LEVEL_HIGH;
}

static void arm_edge_interrupt(uint32_t *cells, uint32_t irq)
{
    cells[0] = GIC_SPI;
    cells[1] = irq;
    cells[2] = EDGE_RISING;
}

/* The trigger of a private interrupt; with a GICv2 it names the processors too. */
static uint32_t ppi_flags(const struct machine *machine, uint32_t trigger)
{
    const struct arm *arm = machine->board_data;

    return arm->cpus.gic_version == 2 ? ((1u << machine->config.vcpu_count) - 1) << 8 | trigger
                                      : trigger;
}

static void arm_pci_msi(struct dt *dt, const struct machine *machine)
{
    const struct arm *arm = machine->board_data;

    if (arm->cpus.its != VISOR_OFF)
        DT_CELLS(dt, "msi-map", 0, DT_PHANDLE_MSI, 0, 0x10000);
}

static void add_its(struct dt *dt, uint64_t gpa)
{
    dt_open(dt, "msi-controller", gpa);
    dt_string(dt, "compatible", "arm,gic-v3-its");
    dt_reg(dt, gpa, 0x20000);
    dt_flag(dt, "msi-controller");
    dt_u32(dt, "#msi-cells", 1);
    dt_u32(dt, "phandle", DT_PHANDLE_MSI);
    dt_close(dt);
}

static void add_gic(struct dt *dt, const struct machine *machine)
{
    const struct arm *arm = machine->board_data;
    const visor_aarch64_config *gic = &arm->cpus;
    bool is_v3 = gic->gic_version == 3;
    const uint64_t v3_areas[2][2] = {
        {gic->gic_distributor_gpa, 0x10000},
        {gic->gic_redistributor_gpa, (uint64_t)machine->config.vcpu_count * 0x20000},
    };
    const uint64_t v2_areas[2][2] = {{gic->gic_distributor_gpa, 0x1000},
                                     {gic->gic_cpu_gpa, 0x2000}};

    dt_open(dt, "interrupt-controller", gic->gic_distributor_gpa);
    dt_string(dt, "compatible", is_v3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
    dt_ranges(dt, "reg", is_v3 ? v3_areas : v2_areas, 2);
    dt_flag(dt, "interrupt-controller");
    dt_u32(dt, "#interrupt-cells", 3);
    dt_u32(dt, "#address-cells", 2);
    dt_u32(dt, "#size-cells", 2);
    dt_flag(dt, "ranges");
    dt_u32(dt, "phandle", DT_PHANDLE_IRQCHIP);
    if (gic->its != VISOR_OFF)
        add_its(dt, gic->gic_its_gpa);
    dt_close(dt);
}

static int add_cpus(struct dt *dt, const struct machine *machine, vmm_error *error)
{
    const uint32_t mpidr_el1 = VISOR_AARCH64_SYSREG(3, 0, 0, 0, 5);
    const uint64_t affinity = 0xff00ffffff;

    dt_open_plain(dt, "cpus");
    dt_u32(dt, "#address-cells", 2);
    dt_u32(dt, "#size-cells", 0);
    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        uint64_t mpidr;
        int code = visor_aarch64_get_reg(&mpidr, machine->cpus[i].vcpu, mpidr_el1);

        if (code < 0)
            return vmm_fail_visor(error, code, "cannot find out how a vCPU is addressed");
        mpidr &= affinity;
        dt_open(dt, "cpu", mpidr);
        dt_string(dt, "device_type", "cpu");
        dt_string(dt, "compatible", "arm,armv8");
        dt_u64(dt, "reg", mpidr);
        dt_string(dt, "enable-method", "psci");
        dt_close(dt);
    }
    dt_close(dt);
    return 0;
}

static void add_psci(struct dt *dt)
{
    static const char *const versions[] = {"arm,psci-1.0", "arm,psci-0.2", NULL};

    dt_open_plain(dt, "psci");
    dt_strings(dt, "compatible", versions);
    dt_string(dt, "method", "hvc");
    dt_close(dt);
}

/* Secure, physical, virtual and hypervisor timer (arm,arch_timer.yaml). */
static void add_timer(struct dt *dt, const struct machine *machine)
{
    uint32_t flags = ppi_flags(machine, LEVEL_LOW);

    dt_open_plain(dt, "timer");
    dt_string(dt, "compatible", "arm,armv8-timer");
    DT_CELLS(dt, "interrupts", GIC_PPI, 13, flags, GIC_PPI, 14, flags, GIC_PPI, 11, flags, GIC_PPI,
             10, flags);
    dt_flag(dt, "always-on");
    dt_close(dt);
}

static void add_pmu(struct dt *dt, const struct machine *machine)
{
    const struct arm *arm = machine->board_data;

    if (arm->cpus.pmu == VISOR_OFF)
        return;
    dt_open_plain(dt, "pmu");
    dt_string(dt, "compatible", "arm,armv8-pmuv3");
    DT_CELLS(dt, "interrupts", GIC_PPI, arm->cpus.pmu_intid - 16, ppi_flags(machine, LEVEL_HIGH));
    dt_close(dt);
}

/* Without an interrupt there are no alarms, which it has not. */
static void add_rtc(struct dt *dt)
{
    static const char *const compatible[] = {"arm,pl031", "arm,primecell", NULL};

    dt_open(dt, "rtc", DT_BOARD_RTC_GPA);
    dt_strings(dt, "compatible", compatible);
    dt_reg(dt, DT_BOARD_RTC_GPA, PL031_LENGTH);
    dt_u32(dt, "clocks", DT_PHANDLE_CLOCK);
    dt_string(dt, "clock-names", "apb_pclk");
    dt_close(dt);
    dt_open_plain(dt, "apb-pclk");
    dt_string(dt, "compatible", "fixed-clock");
    dt_u32(dt, "#clock-cells", 0);
    dt_u32(dt, "clock-frequency", 24000000);
    dt_u32(dt, "phandle", DT_PHANDLE_CLOCK);
    dt_close(dt);
}

static int arm_nodes(struct dt *dt, struct machine *machine, vmm_error *error)
{
    add_gic(dt, machine);
    add_psci(dt);
    add_timer(dt, machine);
    add_pmu(dt, machine);
    add_rtc(dt);
    return add_cpus(dt, machine, error);
}

#define ARM_COMMON                                                                           \
    .load = boot_arm64_load, .irq_address_cells = 2, .irq_cells = 3, .irq_is_default = true, \
    .pci_msi = arm_pci_msi, .nodes = arm_nodes
static const struct dt_board_arch arm_arch = {ARM_COMMON, .interrupt = arm_interrupt};
/* The same where lines are events. */
static const struct dt_board_arch arm_edge_arch = {ARM_COMMON, .interrupt = arm_edge_interrupt};

static int connect_lines(struct machine *machine, vmm_error *error)
{
    struct arm *arm = machine->board_data;
    uint32_t gsis[8];
    size_t count = dt_board_lines(gsis, machine);
    int code = lines_create(&arm->lines, machine->vm, gsis, count, error);

    machine->host.set_irq = lines_set_irq;
    machine->host.irq_context = &arm->lines;
    return code;
}

/* What the hypervisor wants to know of the start; it may add to the tree. */
static int tell_start(struct machine *machine, vmm_error *error)
{
    const struct arm *arm = machine->board_data;
    visor_aarch64_boot boot = VISOR_AARCH64_BOOT_INIT;
    int code;

    boot.entry_gpa = arm->common.entry.entry;
    boot.tree_gpa = arm->common.dt_gpa;
    boot.tree_length = arm->common.dt_area;
    code = visor_aarch64_set_boot(machine->vm, &boot);
    return code < 0 ? vmm_fail_visor(error, code, "cannot tell where the guest starts") : 0;
}

static int arm_load(struct machine *machine, const struct boot_image *kernel, vmm_error *error)
{
    bool has_lines = visor_vm_cap(machine->vm, VISOR_CAP_IRQ_LINES) > 0;
    int code = has_lines ? 0 : connect_lines(machine, error);

    if (code == 0)
        code = dt_board_load(machine, kernel, has_lines ? &arm_arch : &arm_edge_arch, error);
    return code == 0 ? tell_start(machine, error) : code;
}

/* ---- processors ---- */

/* PSTATE: D, A, I and F masked, EL1 with its own stack pointer (Arm ARM, C5.2.18 "SPSR_EL1"). */
#define EL1H_MASKED 0x3c5

static int arm_enter(struct machine *machine, visor_vcpu *vcpu, vmm_error *error)
{
    const struct arm *arm = machine->board_data;
    visor_aarch64_regs regs = {
        .x = {arm->common.dt_gpa}, /* x1 to x3 have to be 0 */
        .pc = arm->common.entry.entry,
        .pstate = EL1H_MASKED,
    };
    int code = 0;

    if (has_firmware(machine)) { /* which is told of the kernel (Android's pvmfw) */
        regs.pc = DT_BOARD_FIRMWARE_GPA;
        regs.x[1] = arm->common.entry.entry;
        regs.x[2] = arm->common.entry.size;
    }
    if (visor_vm_cap(machine->vm, VISOR_CAP_BOOT_CONTEXT) == 0)
        code = visor_aarch64_set_regs(vcpu, &regs);
    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

const struct machine_board machine_aarch64 = {
    .arch = VISOR_ARCH_AARCH64,
    .max_vcpus = DT_BOARD_VCPUS,
    .regions = dt_board_regions,
    .max_memory = dt_board_max_memory,
    .protect = dt_board_protect,
    .vm =
        {
            .size = sizeof(visor_vm_config),
            .arch = VISOR_ARCH_AARCH64,
            .irqchip = VISOR_IRQCHIP_KERNEL,
        },
    .add_devices = arm_add_devices,
    .free_devices = arm_free_devices,
    .load = arm_load,
    .enter = arm_enter,
};
