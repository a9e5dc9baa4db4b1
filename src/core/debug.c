/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest debugging: checks of what a caller wants to stop at. */
#include "core/vm.h"

static const char op[] = "visor_vcpu_set_debug";

static int check_breakpoint(const visor_vm *vm, const visor_breakpoint *breakpoint)
{
    uint32_t length = breakpoint->length;
    uint32_t instruction = vm->config.arch == VISOR_ARCH_AARCH64 ? 4 : 1;

    if ((unsigned)breakpoint->kind > VISOR_BREAK_ACCESS)
        return visor__error(VISOR_EINVAL, "", op, "breakpoint of kind %d", breakpoint->kind);
    if (length == 0 || length > 8 || (length & (length - 1)) != 0 ||
        (breakpoint->kind == VISOR_BREAK_EXECUTE && length != instruction))
        return visor__error(VISOR_EINVAL, "", op, "breakpoint of %u bytes", length);
    /* SDM vol. 3B, 17.2.5: the processor ignores the low address bits that the length covers. */
    if (breakpoint->address % length != 0)
        return visor__error(VISOR_EALIGN, "", op, "%u bytes watched at 0x%llx", length,
                            (unsigned long long)breakpoint->address);
    return 0;
}

int visor_vcpu_set_debug(visor_vcpu *vcpu, const visor_debug_config *user_config)
{
    visor_vm *vm = vcpu->vm;
    const struct visor__debug_ops *ops = vm->hv->backend->debug;
    visor_debug_config config;
    int64_t max;
    int ret = visor__config_copy(&config, sizeof(config), user_config, op);

    if (ret < 0)
        return ret;
    if (ops == NULL)
        return visor__unsupported(vm->hv, op, "it cannot debug guests");
    max = visor_vm_cap(vm, VISOR_CAP_HW_BREAKPOINTS) + visor_vm_cap(vm, VISOR_CAP_HW_WATCHPOINTS);
    if (config.breakpoint_count > 0 && max == 0)
        return visor__unsupported(vm->hv, op, "it has no breakpoints of the hardware");
    if (config.breakpoint_count > (uint64_t)max)
        return visor__error(VISOR_ELIMIT, "", op, "%zu breakpoints, but the vCPU has %lld",
                            config.breakpoint_count, (long long)max);
    if (config.breakpoints == NULL && config.breakpoint_count > 0)
        return visor__error(VISOR_EINVAL, "", op, "%zu breakpoints, but no array",
                            config.breakpoint_count);
    for (size_t i = 0; ret == 0 && i < config.breakpoint_count; i++)
        ret = check_breakpoint(vm, &config.breakpoints[i]);
    return ret < 0 ? ret : ops->set(vcpu, &config);
}
