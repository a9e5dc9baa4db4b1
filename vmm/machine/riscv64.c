/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A RISC-V machine: APLIC and IMSICs (Advanced Interrupt Architecture), SBI, devices as in
 * dt_board.h and the goldfish clock. Processors start as Linux, Documentation/arch/riscv/boot.rst,
 * wants it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <visor/riscv64.h>

#include "machine/dt_board.h"

struct riscv {
    struct dt_board common;
    goldfish_rtc *rtc;
    visor_riscv_config aia;
};

/* ---- devices ---- */

static int riscv_add_devices(struct machine *machine, vmm_error *error)
{
    visor_riscv_config config = VISOR_RISCV_CONFIG_INIT;
    struct riscv *riscv = calloc(1, sizeof(*riscv));
    int code;

    if (riscv == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    machine->board_data = riscv;
    config.vcpu_count = machine->config.vcpu_count;
    code = visor_riscv_configure(machine->vm, &config);
    riscv->aia.size = sizeof(riscv->aia);
    if (code == 0)
        code = visor_riscv_get_config(&riscv->aia, machine->vm);
    if (code < 0)
        return vmm_fail_visor(error, code, "cannot set up the interrupt controller");
    code = dt_board_add_devices(machine, false, error);
    if (code == 0)
        code = goldfish_rtc_create(&riscv->rtc, &machine->host, DT_BOARD_RTC_GPA, error);
    return code;
}

static void riscv_free_devices(struct machine *machine)
{
    struct riscv *riscv = machine->board_data;

    if (riscv == NULL)
        return;
    dt_board_free_devices(machine);
    goldfish_rtc_free(riscv->rtc);
    free(riscv);
}

/* ---- device tree ---- */

/* Of an APLIC's interrupt: source, trigger (riscv,aplic.yaml). */
#define LEVEL_HIGH 4
/* Supervisor external interrupt (Privileged Architecture, 4.1.3). */
#define SUPERVISOR_EXTERNAL 9

static void riscv_interrupt(uint32_t *cells, uint32_t irq)
{
    cells[0] = irq;
    cells[1] = LEVEL_HIGH;
}

static void riscv_pci_msi(struct dt *dt, const struct machine *machine)
{
    (void)machine;
    dt_u32(dt, "msi-parent", DT_PHANDLE_MSI);
}

static void add_imsics(struct dt *dt, const struct machine *machine)
{
    const struct riscv *riscv = machine->board_data;
    uint32_t count = machine->config.vcpu_count, harts[2 * DT_BOARD_VCPUS];

    dt_open(dt, "interrupt-controller", riscv->aia.imsic_gpa);
    dt_string(dt, "compatible", "riscv,imsics");
    dt_reg(dt, riscv->aia.imsic_gpa, (uint64_t)count * 0x1000);
    for (uint32_t i = 0; i < count; i++) {
        harts[2 * i] = DT_PHANDLE_CPUS + i;
        harts[2 * i + 1] = SUPERVISOR_EXTERNAL;
    }
    dt_cells(dt, "interrupts-extended", harts, 2 * (size_t)count);
    dt_flag(dt, "interrupt-controller");
    dt_u32(dt, "#interrupt-cells", 0);
    dt_u32(dt, "#address-cells", 0);
    dt_flag(dt, "msi-controller");
    dt_u32(dt, "#msi-cells", 0);
    dt_u32(dt, "riscv,num-ids", riscv->aia.id_count);
    dt_u32(dt, "phandle", DT_PHANDLE_MSI);
    dt_close(dt);
}

static void add_aplic(struct dt *dt, const struct machine *machine)
{
    const struct riscv *riscv = machine->board_data;

    dt_open(dt, "interrupt-controller", riscv->aia.aplic_gpa);
    dt_string(dt, "compatible", "riscv,aplic");
    dt_reg(dt, riscv->aia.aplic_gpa, 0x4000);
    dt_flag(dt, "interrupt-controller");
    dt_u32(dt, "#interrupt-cells", 2);
    dt_u32(dt, "#address-cells", 0);
    dt_u32(dt, "riscv,num-sources", riscv->aia.source_count);
    dt_u32(dt, "msi-parent", DT_PHANDLE_MSI);
    dt_u32(dt, "phandle", DT_PHANDLE_IRQCHIP);
    dt_close(dt);
}

/* All extensions that there may be names for. */
#define EXTENSIONS_MAX 128
#define LETTERS        "imafdqcbkjtpvnh" /* in the order of names (Unprivileged Architecture, 27.11) */

/* What a hart can do, in the old way ("rv64imafdc_zba") and in the new (a list of names). */
struct isa {
    char text[1024];
    char letters[sizeof(LETTERS)][2];
    const char *names[sizeof(LETTERS) + EXTENSIONS_MAX + 1];
};

static int read_isa(struct isa *out, visor_vcpu *vcpu)
{
    visor_reg extensions[EXTENSIONS_MAX];
    uint64_t letters;
    size_t length = 4, count = 0;
    int found, code;

    memset(out, 0, sizeof(*out));
    code = visor_riscv_get_reg(&letters, vcpu,
                               VISOR_RISCV_REG(VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_ISA));
    if (code < 0)
        return code;
    found = visor_riscv_get_group(extensions, EXTENSIONS_MAX, vcpu, VISOR_RISCV_ISA);
    if (found < 0)
        return found;
    memcpy(out->text, "rv64", length);
    for (const char *letter = LETTERS; *letter != '\0'; letter++) {
        if ((letters >> (*letter - 'a') & 1) == 0)
            continue;
        out->letters[count][0] = out->text[length++] = *letter;
        out->names[count] = out->letters[count];
        count++;
    }
    for (int i = 0; i < found && i < EXTENSIONS_MAX; i++) {
        uint32_t index = (uint32_t)(extensions[i].id & 0xffffff);
        const char *name = extensions[i].value != 0 ? visor_riscv_isa_name(index) : NULL;

        if (name == NULL || strlen(name) < 2 || length + strlen(name) + 2 > sizeof(out->text))
            continue; /* single letters were told above */
        length += (size_t)snprintf(out->text + length, sizeof(out->text) - length, "_%s", name);
        out->names[count++] = name;
    }
    return 0;
}

/* A register of the group CONFIG as a property, if there is one. */
static void add_config(struct dt *dt, visor_vcpu *vcpu, enum visor_riscv_config_reg reg,
                       const char *property)
{
    uint64_t value;

    if (visor_riscv_get_reg(&value, vcpu, VISOR_RISCV_REG(VISOR_RISCV_CONFIG, reg)) == 0)
        dt_u32(dt, property, (uint32_t)value);
}

static void add_mmu(struct dt *dt, visor_vcpu *vcpu)
{
    uint64_t mode;

    if (visor_riscv_get_reg(&mode, vcpu,
                            VISOR_RISCV_REG(VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_SATP_MODE)) != 0)
        return;
    switch (mode) {
    case 8: dt_string(dt, "mmu-type", "riscv,sv39"); break;
    case 9: dt_string(dt, "mmu-type", "riscv,sv48"); break;
    case 10: dt_string(dt, "mmu-type", "riscv,sv57"); break;
    default: break; /* the kernel tries */
    }
}

static int add_cpu(struct dt *dt, visor_vcpu *vcpu)
{
    uint32_t id = visor_vcpu_id(vcpu);
    struct isa isa;
    int code = read_isa(&isa, vcpu);

    if (code < 0)
        return code;
    dt_open(dt, "cpu", id);
    dt_string(dt, "device_type", "cpu");
    dt_string(dt, "compatible", "riscv");
    dt_u32(dt, "reg", id);
    dt_string(dt, "status", "okay");
    dt_string(dt, "riscv,isa", isa.text);
    dt_string(dt, "riscv,isa-base", "rv64i");
    dt_strings(dt, "riscv,isa-extensions", isa.names);
    add_config(dt, vcpu, VISOR_RISCV_CONFIG_ZICBOM_BLOCK, "riscv,cbom-block-size");
    add_config(dt, vcpu, VISOR_RISCV_CONFIG_ZICBOZ_BLOCK, "riscv,cboz-block-size");
    add_mmu(dt, vcpu);
    dt_open_plain(dt, "interrupt-controller");
    dt_string(dt, "compatible", "riscv,cpu-intc");
    dt_flag(dt, "interrupt-controller");
    dt_u32(dt, "#interrupt-cells", 1);
    dt_u32(dt, "#address-cells", 0);
    dt_u32(dt, "phandle", DT_PHANDLE_CPUS + id);
    dt_close(dt);
    dt_close(dt);
    return 0;
}

static int add_cpus(struct dt *dt, const struct machine *machine, vmm_error *error)
{
    visor_riscv_timer timer;
    int code = visor_riscv_get_timer(&timer, machine->cpus[0].vcpu);

    dt_open_plain(dt, "cpus");
    dt_u32(dt, "#address-cells", 1);
    dt_u32(dt, "#size-cells", 0);
    if (code == 0)
        dt_u32(dt, "timebase-frequency", (uint32_t)timer.frequency);
    for (uint32_t i = 0; i < machine->config.vcpu_count && code == 0; i++)
        code = add_cpu(dt, machine->cpus[i].vcpu);
    dt_close(dt);
    return code < 0 ? vmm_fail_visor(error, code, "cannot find out what a vCPU has") : 0;
}

static const struct dt_board_arch riscv_arch;

static void add_rtc(struct dt *dt)
{
    dt_open(dt, "rtc", DT_BOARD_RTC_GPA);
    dt_string(dt, "compatible", "google,goldfish-rtc");
    dt_reg(dt, DT_BOARD_RTC_GPA, GOLDFISH_RTC_LENGTH);
    dt_board_interrupt(dt, &riscv_arch, DT_BOARD_RTC_IRQ); /* its driver wants to see one */
    dt_close(dt);
}

static int riscv_nodes(struct dt *dt, struct machine *machine, vmm_error *error)
{
    add_imsics(dt, machine);
    add_aplic(dt, machine);
    add_rtc(dt);
    return add_cpus(dt, machine, error);
}

static const struct dt_board_arch riscv_arch = {
    .load = boot_riscv64_load,
    .irq_address_cells = 0,
    .irq_cells = 2,
    .interrupt = riscv_interrupt,
    .pci_msi = riscv_pci_msi,
    .nodes = riscv_nodes,
};

static int riscv_load(struct machine *machine, const struct boot_image *kernel, vmm_error *error)
{
    return dt_board_load(machine, kernel, &riscv_arch, error);
}

/* ---- processors ---- */

static int riscv_enter(struct machine *machine, visor_vcpu *vcpu, vmm_error *error)
{
    const struct riscv *riscv = machine->board_data;
    const visor_riscv_regs regs = {
        .pc = riscv->common.entry.entry,
        .x = {[10] = visor_vcpu_id(vcpu), [11] = riscv->common.dt_gpa}, /* a0, a1 */
        .mode = VISOR_RISCV_SUPERVISOR,
    };
    int code = visor_riscv_set_regs(vcpu, &regs);

    return code < 0 ? vmm_fail_visor(error, code, "cannot set up the vCPU") : 0;
}

const struct machine_board machine_riscv64 = {
    .arch = VISOR_ARCH_RISCV64,
    .max_vcpus = DT_BOARD_VCPUS,
    .regions = dt_board_regions,
    .max_memory = dt_board_max_memory,
    .vm =
        {
            .size = sizeof(visor_vm_config),
            .arch = VISOR_ARCH_RISCV64,
            .irqchip = VISOR_IRQCHIP_KERNEL,
        },
    .add_devices = riscv_add_devices,
    .free_devices = riscv_free_devices,
    .load = riscv_load,
    .enter = riscv_enter,
};
