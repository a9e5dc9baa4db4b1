/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed functions of <visor/x86_64.h>: registers, events, interrupt controllers, VM. */
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/x86.h"

/* KVM's limits, for all backends alike, so that a program does not fit one only. */
#define MSR_RANGES_MAX      16u
#define MSR_RANGE_COUNT_MAX 12288u

static int check_arch(const visor_vm *vm, const char *operation)
{
    if (vm->config.arch == VISOR_ARCH_X86_64)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, operation,
                        "the guest is %s, not x86_64", visor_arch_name(vm->config.arch));
}

int visor__x86_ops(const struct visor__x86_ops **out, const visor_vm *vm, const char *operation)
{
    *out = vm->hv->backend->x86;
    return check_arch(vm, operation);
}

/* ---- pieces of a vCPU ---- */

static int get_piece(void *out, size_t size, visor_vcpu *vcpu, enum visor__state piece,
                     const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    if (ret == 0)
        ret = vcpu->vm->hv->backend->vcpu->get_state(out, size, vcpu, piece);
    return ret < 0 ? ret : 0;
}

static int set_piece(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t size,
                     const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    return ret < 0 ? ret : visor__state_set(vcpu, piece, value, size, NULL);
}

/* A getter and a setter for every piece of fixed size that has a structure of its own. */
#define PIECE(name, piece)                                                             \
    int visor_x86_get_##name(visor_x86_##name *out, visor_vcpu *vcpu)                  \
    {                                                                                  \
        return get_piece(out, sizeof(*out), vcpu, VISOR__STATE_##piece, __func__);     \
    }                                                                                  \
                                                                                       \
    int visor_x86_set_##name(visor_vcpu *vcpu, const visor_x86_##name *value)          \
    {                                                                                  \
        return set_piece(vcpu, VISOR__STATE_##piece, value, sizeof(*value), __func__); \
    }

PIECE(regs, X86_REGS)
PIECE(sregs, X86_SREGS)
PIECE(fpu, X86_FPU)
PIECE(debugregs, X86_DEBUGREGS)
PIECE(xcrs, X86_XCRS)
PIECE(events, X86_EVENTS)
PIECE(lapic, X86_LAPIC)

/* An image: the size, and the bytes if they fit. */
static int get_image(void *out, size_t capacity, visor_vcpu *vcpu, enum visor__state piece,
                     const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    return ret < 0 ? ret : visor__state_get(out, capacity, vcpu, piece);
}

int visor_x86_get_xsave(void *out, size_t capacity, visor_vcpu *vcpu)
{
    return get_image(out, capacity, vcpu, VISOR__STATE_X86_XSAVE, __func__);
}

int visor_x86_set_xsave(visor_vcpu *vcpu, const void *image, size_t length)
{
    return set_piece(vcpu, VISOR__STATE_X86_XSAVE, image, length, __func__);
}

int visor_x86_get_nested_state(void *out, size_t capacity, visor_vcpu *vcpu)
{
    return get_image(out, capacity, vcpu, VISOR__STATE_X86_NESTED, __func__);
}

int visor_x86_set_nested_state(visor_vcpu *vcpu, const void *state, size_t length)
{
    return set_piece(vcpu, VISOR__STATE_X86_NESTED, state, length, __func__);
}

int visor_x86_set_cpuid(visor_vcpu *vcpu, const visor_x86_cpuid_entry *entries, size_t count)
{
    if (count > VISOR__CPUID_MAX)
        return visor__error(VISOR_ELIMIT, "", __func__, "%zu entries; at most %u make sense", count,
                            VISOR__CPUID_MAX);
    return set_piece(vcpu, VISOR__STATE_X86_CPUID, entries, count * sizeof(*entries), __func__);
}

int visor_x86_get_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_vcpu *vcpu)
{
    void *all = NULL;
    int ret = check_arch(vcpu->vm, __func__);
    size_t count;

    if (ret == 0)
        ret = visor__state_read(&all, vcpu, VISOR__STATE_X86_CPUID);
    if (ret < 0)
        return ret;
    count = (size_t)ret / sizeof(*out);
    if (all != NULL && capacity != 0)
        memcpy(out, all, (count < capacity ? count : capacity) * sizeof(*out));
    free(all);
    return (int)count;
}

int visor_x86_supported_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    if (hv->backend->hv->x86_cpuid == NULL)
        return visor__unsupported(hv, __func__, "this backend has no x86_64 guests");
    return hv->backend->hv->x86_cpuid(out, capacity, hv);
}

/* ---- interrupts ---- */

/* Calls an optional operation of the x86 table. */
#define CALL(vm, member, ...)                                                           \
    do {                                                                                \
        const struct visor__x86_ops *ops;                                               \
        int ret_ = visor__x86_ops(&ops, (vm), __func__);                                \
                                                                                        \
        if (ret_ != 0)                                                                  \
            return ret_;                                                                \
        if (ops->member == NULL)                                                        \
            return visor__unsupported((vm)->hv, __func__, "this backend cannot do it"); \
        return ops->member(__VA_ARGS__);                                                \
    } while (0)

int visor_x86_ready_for_interrupt(visor_vcpu *vcpu)
{
    CALL(vcpu->vm, ready_for_interrupt, vcpu);
}

int visor_x86_interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    CALL(vcpu->vm, interrupt, vcpu, vector);
}

int visor_x86_request_irq_window(visor_vcpu *vcpu, bool on)
{
    CALL(vcpu->vm, request_irq_window, vcpu, on);
}

int visor_x86_nmi(visor_vcpu *vcpu)
{
    CALL(vcpu->vm, nmi, vcpu);
}

/* ---- interrupt controllers of the VM ---- */

static int get_chip(void *out, size_t size, visor_vm *vm, enum visor__vm_state piece,
                    const char *operation)
{
    int ret = check_arch(vm, operation);

    if (ret == 0)
        ret = visor__vm_state_get(out, size, vm, piece);
    return ret < 0 ? ret : 0;
}

static int set_chip(visor_vm *vm, enum visor__vm_state piece, const void *value, size_t size,
                    const char *operation)
{
    int ret = check_arch(vm, operation);

    return ret < 0 ? ret : visor__vm_state_set(vm, piece, value, size);
}

int visor_x86_get_pic(visor_x86_pic *out, visor_vm *vm, bool secondary)
{
    return get_chip(out, sizeof(*out), vm,
                    secondary ? VISOR__VM_STATE_X86_PIC_SECONDARY : VISOR__VM_STATE_X86_PIC_PRIMARY,
                    __func__);
}

int visor_x86_set_pic(visor_vm *vm, bool secondary, const visor_x86_pic *pic)
{
    return set_chip(vm,
                    secondary ? VISOR__VM_STATE_X86_PIC_SECONDARY : VISOR__VM_STATE_X86_PIC_PRIMARY,
                    pic, sizeof(*pic), __func__);
}

int visor_x86_get_ioapic(visor_x86_ioapic *out, visor_vm *vm)
{
    return get_chip(out, sizeof(*out), vm, VISOR__VM_STATE_X86_IOAPIC, __func__);
}

int visor_x86_set_ioapic(visor_vm *vm, const visor_x86_ioapic *ioapic)
{
    return set_chip(vm, VISOR__VM_STATE_X86_IOAPIC, ioapic, sizeof(*ioapic), __func__);
}

int visor_x86_get_pit(visor_x86_pit *out, visor_vm *vm)
{
    return get_chip(out, sizeof(*out), vm, VISOR__VM_STATE_X86_PIT, __func__);
}

int visor_x86_set_pit(visor_vm *vm, const visor_x86_pit *pit)
{
    return set_chip(vm, VISOR__VM_STATE_X86_PIT, pit, sizeof(*pit), __func__);
}

/* ---- VM ---- */

/* The same as CALL(), with the VM lock held. */
#define CALL_LOCKED(vm, member, ...)                                                    \
    do {                                                                                \
        const struct visor__x86_ops *ops;                                               \
        int ret_ = visor__x86_ops(&ops, (vm), __func__);                                \
                                                                                        \
        if (ret_ != 0)                                                                  \
            return ret_;                                                                \
        if (ops->member == NULL)                                                        \
            return visor__unsupported((vm)->hv, __func__, "this backend cannot do it"); \
        visor__mutex_lock(&(vm)->lock);                                                 \
        ret_ = ops->member(__VA_ARGS__);                                                \
        visor__mutex_unlock(&(vm)->lock);                                               \
        return ret_;                                                                    \
    } while (0)

int visor_x86_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count,
                            bool unknown)
{
    if (count > MSR_RANGES_MAX)
        return visor__error(VISOR_ELIMIT, "", __func__, "%zu ranges; at most %u are possible",
                            count, MSR_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].count == 0 || ranges[i].count - 1 > UINT32_MAX - ranges[i].first)
            return visor__error(VISOR_EINVAL, "", __func__,
                                "range %zu: %u MSRs from 0x%x is empty or passes 2^32", i,
                                ranges[i].count, ranges[i].first);
        if (ranges[i].count > MSR_RANGE_COUNT_MAX)
            return visor__error(VISOR_ELIMIT, "", __func__,
                                "range %zu: %u MSRs; at most %u are possible", i, ranges[i].count,
                                MSR_RANGE_COUNT_MAX);
    }
    CALL_LOCKED(vm, set_msr_exits, vm, ranges, count, unknown);
}

/* Tells the hypervisor where an area for its own use is; one that needs none has no operation. */
static int set_area(visor_vm *vm, const char *operation, int (*set)(visor_vm *vm, uint64_t gpa),
                    uint64_t gpa)
{
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    if (set != NULL)
        ret = set(vm, gpa);
    else if (vm->vcpus != NULL)
        ret = visor__error(VISOR_ESTATE, vm->hv->backend->name, operation,
                           "the VM has a vCPU already");
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_x86_set_identity_map(visor_vm *vm, uint64_t gpa)
{
    const struct visor__x86_ops *ops;
    int ret = visor__x86_ops(&ops, vm, __func__);

    return ret != 0 ? ret : set_area(vm, __func__, ops->set_identity_map, gpa);
}

int visor_x86_set_tss_area(visor_vm *vm, uint64_t gpa)
{
    const struct visor__x86_ops *ops;
    int ret = visor__x86_ops(&ops, vm, __func__);

    return ret != 0 ? ret : set_area(vm, __func__, ops->set_tss_area, gpa);
}

int visor_x86_set_bus_lock_exits(visor_vm *vm, bool on)
{
    CALL_LOCKED(vm, set_bus_lock_exits, vm, on);
}

int visor_x86_set_platform_info(visor_vm *vm, bool on)
{
    CALL_LOCKED(vm, set_platform_info, vm, on);
}
