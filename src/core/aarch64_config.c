/* SPDX-License-Identifier: BSD-3-Clause */
/* What an AArch64 VM has: defaults and sense; what the host offers is the backend's to say. */
#include <string.h>

#include "core/aarch64.h"

/* Sizes of the frames (GIC, 12.8 to 12.10; KVM's documentation of the vGIC has the same). */
#define DISTRIBUTOR_SIZE    UINT64_C(0x10000)
#define DISTRIBUTOR_V2_SIZE UINT64_C(0x1000)
#define CPU_V2_SIZE         UINT64_C(0x2000)
#define REDISTRIBUTOR_SIZE  UINT64_C(0x20000)
#define ITS_SIZE            UINT64_C(0x20000)
#define FRAME_ALIGN         UINT64_C(0x10000)
#define SPI_COUNT_MAX       988u /* INTIDs 32 to 1019 (GIC, 2.2.1) */

static const char op[] = "visor_aarch64_configure";

static int bad(const char *what, uint64_t value)
{
    return visor__error(VISOR_EINVAL, "", op, "%s: 0x%llx makes no sense", what,
                        (unsigned long long)value);
}

static bool is_toggle(visor_toggle toggle)
{
    return (unsigned)toggle <= VISOR_ON;
}

static void fill_defaults(visor_aarch64_config *config)
{
    if (config->vcpu_count == 0)
        config->vcpu_count = 8;
    if (config->spi_count == 0)
        config->spi_count = 64;
    if (config->pmu_intid == 0)
        config->pmu_intid = 23;
    if (config->gic_distributor_gpa == 0)
        config->gic_distributor_gpa = 0x3fff0000;
    if (config->gic_redistributor_gpa == 0)
        config->gic_redistributor_gpa =
            config->gic_distributor_gpa - REDISTRIBUTOR_SIZE * config->vcpu_count;
    if (config->gic_cpu_gpa == 0)
        config->gic_cpu_gpa = 0x3ffd0000;
    if (config->gic_its_gpa == 0)
        config->gic_its_gpa = 0x40000000;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

static int check_frames(const visor_aarch64_config *config)
{
    uint64_t redistributors = REDISTRIBUTOR_SIZE * config->vcpu_count;
    bool v2 = config->gic_version == 2, v3 = config->gic_version == 3;

    if (config->gic_distributor_gpa % (v2 ? DISTRIBUTOR_V2_SIZE : FRAME_ALIGN) != 0)
        return bad("gic_distributor_gpa", config->gic_distributor_gpa);
    if (!v2 && config->gic_redistributor_gpa % FRAME_ALIGN != 0)
        return bad("gic_redistributor_gpa", config->gic_redistributor_gpa);
    if (!v3 && config->gic_cpu_gpa % DISTRIBUTOR_V2_SIZE != 0)
        return bad("gic_cpu_gpa", config->gic_cpu_gpa);
    if (!v2 && config->its != VISOR_OFF && config->gic_its_gpa % FRAME_ALIGN != 0)
        return bad("gic_its_gpa", config->gic_its_gpa);
    if (!v2 && overlap(config->gic_distributor_gpa, DISTRIBUTOR_SIZE, config->gic_redistributor_gpa,
                       redistributors))
        return visor__error(VISOR_EINVAL, "", op,
                            "the redistributors of %u vCPUs overlap the distributor",
                            config->vcpu_count);
    if (v2 &&
        overlap(config->gic_distributor_gpa, DISTRIBUTOR_V2_SIZE, config->gic_cpu_gpa, CPU_V2_SIZE))
        return visor__error(VISOR_EINVAL, "", op, "the CPU interface overlaps the distributor");
    if (!v2 && config->its != VISOR_OFF &&
        (overlap(config->gic_its_gpa, ITS_SIZE, config->gic_distributor_gpa, DISTRIBUTOR_SIZE) ||
         overlap(config->gic_its_gpa, ITS_SIZE, config->gic_redistributor_gpa, redistributors)))
        return visor__error(VISOR_EINVAL, "", op, "the ITS overlaps another part of the GIC");
    return 0;
}

static int check_sense(const visor_aarch64_config *config, const visor_vm *vm)
{
    const visor_toggle toggles[] = {config->pmu, config->sve, config->pauth,      config->el2,
                                    config->mte, config->its, config->stolen_time};

    for (size_t i = 0; i < sizeof(toggles) / sizeof(toggles[0]); i++) {
        if (!is_toggle(toggles[i]))
            return bad("a toggle", (uint64_t)toggles[i]);
    }
    if (config->reserved != 0)
        return bad("reserved", config->reserved);
    if (config->gic_version != 0 && config->gic_version != 2 && config->gic_version != 3) {
        visor__error(VISOR_EUNSUPPORTED, "", op, "there is no GIC of version %u",
                     config->gic_version);
        return visor__error_hint("2, 3, or 0 for what the host has");
    }
    if (config->spi_count > SPI_COUNT_MAX ||
        (config->spi_count % 32 != 0 && config->spi_count != SPI_COUNT_MAX))
        return bad("spi_count", config->spi_count);
    if (config->vcpu_count > 512)
        return bad("vcpu_count", config->vcpu_count);
    if (config->pmu_intid < 16 || config->pmu_intid > 31)
        return bad("pmu_intid", config->pmu_intid);
    if (config->sve_lengths > 0xffff) /* 2048 bits are the most (Arm ARM, B1.4.2) */
        return bad("sve_lengths", config->sve_lengths);
    if (config->sve == VISOR_OFF && config->sve_lengths != 0)
        return visor__error(VISOR_EINVAL, "", op, "sve_lengths without sve");
    if (config->stolen_time == VISOR_ON && config->stolen_time_gpa == 0)
        return visor__error(VISOR_EINVAL, "", op, "stolen_time needs stolen_time_gpa");
    if (config->stolen_time_gpa % 64 != 0)
        return bad("stolen_time_gpa", config->stolen_time_gpa);
    if (config->gic_version == 2 && config->its == VISOR_ON)
        return visor__error(VISOR_EINVAL, "", op, "an ITS needs a GIC of version 3");
    if (config->el2 == VISOR_ON && config->gic_version == 2)
        return visor__error(VISOR_EINVAL, "", op, "el2 needs a GIC of version 3");
    return vm->config.irqchip == VISOR_IRQCHIP_KERNEL ? check_frames(config) : 0;
}

int visor__aarch64_configure(visor_vm *vm, const visor_aarch64_config *config)
{
    static const visor_aarch64_config defaults = VISOR_AARCH64_CONFIG_INIT;
    visor_aarch64_config wanted;
    int ret = visor__config_copy(&wanted, sizeof(wanted), config != NULL ? config : &defaults, op);

    if (ret < 0)
        return ret;
    wanted.size = sizeof(wanted);
    fill_defaults(&wanted);
    ret = check_sense(&wanted, vm);
    if (ret == 0)
        ret = vm->hv->backend->aarch64->configure(vm, &wanted);
    if (ret < 0)
        return ret;
    vm->machine.aarch64 = wanted;
    vm->configured = true;
    return 0;
}

int visor__aarch64_config_plain(const visor_vm *vm, visor_aarch64_config *config)
{
    struct {
        visor_toggle *toggle;
        const char *what;
    } features[] = {
        {&config->pmu, "performance monitors"},
        {&config->sve, "scalable vectors"},
        {&config->pauth, "pointer authentication"},
        {&config->el2, "virtualization for the guest"},
        {&config->mte, "memory tagging"},
        {&config->stolen_time, "stolen time"},
        {&config->its, "ITS"},
    };

    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (*features[i].toggle == VISOR_ON) {
            visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, op, "%s", features[i].what);
            return visor__error_hint("VISOR_AUTO or VISOR_OFF");
        }
        *features[i].toggle = VISOR_OFF;
    }
    if (config->gic_version == 2) {
        visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, op, "a GIC of version 2");
        return visor__error_hint("it has version 3");
    }
    config->gic_version = 3;
    config->sve_lengths = 0;
    return 0;
}

static int check_arch(const visor_vm *vm, const char *operation)
{
    if (vm->config.arch == VISOR_ARCH_AARCH64)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, operation,
                        "the guest is %s, not aarch64", visor_arch_name(vm->config.arch));
}

int visor_aarch64_configure(visor_vm *vm, const visor_aarch64_config *config)
{
    int ret = check_arch(vm, op);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    if (vm->configured) {
        visor__error(VISOR_ESTATE, vm->hv->backend->name, op, "the VM has been configured");
        ret = visor__error_hint("call it once, before the first vCPU is created");
    } else {
        ret = visor__aarch64_configure(vm, config);
    }
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_aarch64_get_config(visor_aarch64_config *out, visor_vm *vm)
{
    static const char get[] = "visor_aarch64_get_config";
    uint32_t size = out->size;
    int ret = check_arch(vm, get);

    if (ret == 0 && size < sizeof(size))
        ret =
            visor__error(VISOR_EINVAL, "", get, "the size member is %u: use the _INIT macro", size);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    if (!vm->configured)
        ret = visor__error(VISOR_ESTATE, "", get, "nothing has been decided yet");
    else
        memcpy(out, &vm->machine.aarch64,
               size < sizeof(vm->machine.aarch64) ? size : sizeof(vm->machine.aarch64));
    visor__mutex_unlock(&vm->lock);
    out->size = size;
    return ret;
}
