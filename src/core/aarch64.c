/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed functions of <visor/aarch64.h>: registers, interrupts, time. */
#include "core/aarch64.h"

#include "core/state.h"

static int check_arch(const visor_vm *vm, const char *operation)
{
    if (vm->config.arch == VISOR_ARCH_AARCH64)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, operation,
                        "the guest is %s, not aarch64", visor_arch_name(vm->config.arch));
}

static int check_op(const visor_vm *vm, const char *operation, bool there)
{
    int ret = check_arch(vm, operation);

    if (ret == 0 && !there)
        ret = visor__unsupported(vm->hv, operation, "this backend cannot do it");
    return ret;
}

static const struct visor__aarch64_ops *ops_of(const visor_vm *vm)
{
    return vm->hv->backend->aarch64;
}

#define CHECK_OP(vm, member)                                                           \
    do {                                                                               \
        int ret_ = check_op((vm), __func__, ops_of(vm) && ops_of(vm)->member != NULL); \
                                                                                       \
        if (ret_ < 0)                                                                  \
            return ret_;                                                               \
    } while (0)

/* ---- pieces of a vCPU ---- */

static int get_piece(void *out, size_t size, visor_vcpu *vcpu, enum visor__state piece,
                     const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    if (ret == 0)
        ret = visor__state_get(out, size, vcpu, piece);
    return ret < 0 ? ret : 0;
}

static int set_piece(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t size,
                     const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    return ret < 0 ? ret : visor__state_set(vcpu, piece, value, size, NULL);
}

static int get_list(visor_reg *out, size_t capacity, visor_vcpu *vcpu, enum visor__state piece,
                    const char *operation)
{
    int ret = check_arch(vcpu->vm, operation);

    if (ret == 0)
        ret = visor__state_get(out, capacity * sizeof(*out), vcpu, piece);
    return ret < 0 ? ret : ret / (int)sizeof(*out);
}

#define PIECE(name, piece)                                                             \
    int visor_aarch64_get_##name(visor_aarch64_##name *out, visor_vcpu *vcpu)          \
    {                                                                                  \
        return get_piece(out, sizeof(*out), vcpu, VISOR__STATE_##piece, __func__);     \
    }                                                                                  \
                                                                                       \
    int visor_aarch64_set_##name(visor_vcpu *vcpu, const visor_aarch64_##name *value)  \
    {                                                                                  \
        return set_piece(vcpu, VISOR__STATE_##piece, value, sizeof(*value), __func__); \
    }

PIECE(regs, AARCH64_REGS)
PIECE(fpsimd, AARCH64_FPSIMD)
PIECE(events, AARCH64_EVENTS)

#define LIST(name, piece)                                                                    \
    int visor_aarch64_get_##name(visor_reg *out, size_t capacity, visor_vcpu *vcpu)          \
    {                                                                                        \
        return get_list(out, capacity, vcpu, VISOR__STATE_##piece, __func__);                \
    }                                                                                        \
                                                                                             \
    int visor_aarch64_set_##name(visor_vcpu *vcpu, const visor_reg *regs, size_t count)      \
    {                                                                                        \
        return set_piece(vcpu, VISOR__STATE_##piece, regs, count * sizeof(*regs), __func__); \
    }

LIST(sysregs, AARCH64_SYSREGS)
LIST(caches, AARCH64_CACHES)
LIST(firmware, AARCH64_FIRMWARE)

int visor_aarch64_get_features(visor_aarch64_features *out, visor_vcpu *vcpu)
{
    return get_piece(out, sizeof(*out), vcpu, VISOR__STATE_AARCH64_FEATURES, __func__);
}

int visor_aarch64_get_sve(void *out, size_t capacity, visor_vcpu *vcpu)
{
    int ret = check_arch(vcpu->vm, __func__);

    if (ret == 0)
        ret = visor__state_get(out, capacity, vcpu, VISOR__STATE_AARCH64_SVE);
    return ret;
}

int visor_aarch64_set_sve(visor_vcpu *vcpu, const void *image, size_t length)
{
    return set_piece(vcpu, VISOR__STATE_AARCH64_SVE, image, length, __func__);
}

/* ---- single registers ---- */

int visor_aarch64_sysreg(uint32_t *out, unsigned op0, unsigned op1, unsigned crn, unsigned crm,
                         unsigned op2)
{
    if (op0 > 3 || op1 > 7 || crn > 15 || crm > 15 || op2 > 7)
        return visor__error(VISOR_EINVAL, "", __func__, "no register S%u_%u_C%u_C%u_%u", op0, op1,
                            crn, crm, op2);
    *out = VISOR_AARCH64_SYSREG(op0, op1, crn, crm, op2);
    return 0;
}

/* CSSELR_EL1 has a level of 3 bits, InD and TnD (Arm ARM, D19.2.36). */
#define CCSIDR_SELECTORS 32u

static int check_reg(uint32_t reg, const char *operation)
{
    uint32_t index = reg & 0xfffff;
    bool known = false;

    switch (reg >> 20) {
    case 0: known = index <= 0xffff; break;
    case 1: known = index <= (VISOR_AARCH64_PSTATE & 0xfffff); break;
    case 2: known = index < CCSIDR_SELECTORS; break;
    case 4: known = index <= 0x1ffff; break;
    default: break;
    }
    return known ? 0 : visor__error(VISOR_EINVAL, "", operation, "no register 0x%x", reg);
}

int visor_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    int ret = check_reg(reg, __func__);

    CHECK_OP(vcpu->vm, get_reg);
    return ret < 0 ? ret : ops_of(vcpu->vm)->get_reg(out, vcpu, reg);
}

int visor_aarch64_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    int ret = check_reg(reg, __func__);

    CHECK_OP(vcpu->vm, set_reg);
    return ret < 0 ? ret : ops_of(vcpu->vm)->set_reg(vcpu, reg, value);
}

int visor__aarch64_fixed_reg(uint64_t *out, const visor_vcpu *vcpu, uint32_t reg, const char *why)
{
    switch (reg) {
    case VISOR_AARCH64_SYSREG(3, 0, 0, 0, 5): /* MPIDR_EL1: bit 31 is RES1, Aff0 counts vCPUs */
        *out = UINT64_C(1) << 31 | vcpu->id;
        return 0;
    case VISOR_AARCH64_PSCI_VERSION: *out = 2; return 0; /* 0.2 */
    default: return visor__unsupported(vcpu->vm->hv, "visor_aarch64_get_reg", why);
    }
}

static int check_vector(unsigned n, const char *operation)
{
    return n < 32 ? 0 : visor__error(VISOR_EINVAL, "", operation, "no vector register V%u", n);
}

int visor_aarch64_get_vector(uint64_t out[2], visor_vcpu *vcpu, unsigned n)
{
    int ret = check_vector(n, __func__);

    CHECK_OP(vcpu->vm, get_vector);
    return ret < 0 ? ret : ops_of(vcpu->vm)->get_vector(out, vcpu, n);
}

int visor_aarch64_set_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2])
{
    int ret = check_vector(n, __func__);

    CHECK_OP(vcpu->vm, set_vector);
    return ret < 0 ? ret : ops_of(vcpu->vm)->set_vector(vcpu, n, value);
}

/* ---- interrupts ---- */

/* VM lock. */
static int check_vcpu_id(const visor_vm *vm, uint32_t id, const char *operation)
{
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        if (vcpu->id == id && !vcpu->closed)
            return 0;
    }
    return visor__error(VISOR_ENOENT, "", operation, "there is no vCPU %u", id);
}

int visor_aarch64_set_private_irq(visor_vm *vm, uint32_t vcpu_id, uint32_t intid, bool level)
{
    int ret;

    CHECK_OP(vm, set_private_irq);
    if (vm->config.irqchip == VISOR_IRQCHIP_NONE)
        return visor__unsupported(vm->hv, __func__, "the VM was created without an interrupt chip");
    if (intid < 16 || intid > 31)
        return visor__error(VISOR_EINVAL, "", __func__,
                            "INTID %u is not private to a vCPU: 16 to 31 are", intid);
    ret = visor_vm_seal(vm);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    ret = check_vcpu_id(vm, vcpu_id, __func__);
    if (ret == 0)
        ret = ops_of(vm)->set_private_irq(vm, vcpu_id, intid, level);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_aarch64_set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool fiq, bool level)
{
    int ret;

    CHECK_OP(vm, set_irq_input);
    if (vm->config.irqchip != VISOR_IRQCHIP_NONE)
        return visor__unsupported(vm->hv, __func__, "the VM's interrupt chip drives the inputs");
    visor__mutex_lock(&vm->lock);
    ret = check_vcpu_id(vm, vcpu_id, __func__);
    if (ret == 0)
        ret = ops_of(vm)->set_irq_input(vm, vcpu_id, fiq, level);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_aarch64_outputs(uint32_t *out, visor_vcpu *vcpu)
{
    CHECK_OP(vcpu->vm, outputs);
    return ops_of(vcpu->vm)->outputs(out, vcpu);
}

/* ---- start ---- */

static int check_boot(const visor_vm *vm, const visor_aarch64_boot *boot, const char *operation)
{
    typedef unsigned long long ull;
    uint64_t page = visor__os_page_size();

    if (boot->reserved != 0)
        return visor__error(VISOR_EINVAL, "", operation, "reserved is 0x%x", boot->reserved);
    if (boot->tree_gpa % page != 0 || boot->tree_length % page != 0)
        return visor__error(VISOR_EALIGN, "", operation, "a tree's area of 0x%llx bytes at 0x%llx",
                            (ull)boot->tree_length, (ull)boot->tree_gpa);
    if (!visor_memory_contains(vm->memory, boot->tree_gpa, boot->tree_length))
        return visor__error(VISOR_ERANGE, "", operation,
                            "the tree's 0x%llx bytes at 0x%llx are not inside one region",
                            (ull)boot->tree_length, (ull)boot->tree_gpa);
    if (!visor_memory_contains(vm->memory, boot->entry_gpa, 4))
        return visor__error(VISOR_ERANGE, "", operation, "no memory at the entry, 0x%llx",
                            (ull)boot->entry_gpa);
    return 0;
}

int visor_aarch64_set_boot(visor_vm *vm, const visor_aarch64_boot *boot)
{
    visor_aarch64_boot copy;
    int ret = visor__config_copy(&copy, sizeof(copy), boot, __func__);

    if (ret == 0)
        ret = check_arch(vm, __func__);
    if (ret == 0)
        ret = check_boot(vm, &copy, __func__);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    if (vm->has_boot)
        ret = visor__error(VISOR_ESTATE, vm->hv->backend->name, __func__,
                           "the guest's start is told already");
    else if (ops_of(vm)->set_boot != NULL)
        ret = ops_of(vm)->set_boot(vm, &copy);
    if (ret == 0)
        vm->has_boot = true;
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/* ---- time, tags ---- */

int visor_aarch64_set_counter_offset(visor_vm *vm, uint64_t ticks)
{
    int ret;

    CHECK_OP(vm, set_counter_offset);
    visor__mutex_lock(&vm->lock);
    ret = ops_of(vm)->set_counter_offset(vm, ticks);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/* Tags are kept for whole pages of the host; 4 KiB is the smallest. */
static int check_tag_range(uint64_t gpa, uint64_t length, const char *operation)
{
    if (length == 0 || (gpa | length) % 4096 != 0 || gpa + length < gpa)
        return visor__error(VISOR_EINVAL, "", operation, "0x%llx bytes at 0x%llx",
                            (unsigned long long)length, (unsigned long long)gpa);
    return 0;
}

int visor_aarch64_get_tags(uint8_t *tags, visor_vm *vm, uint64_t gpa, uint64_t length)
{
    int ret = check_tag_range(gpa, length, __func__);

    CHECK_OP(vm, get_tags);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    ret = ops_of(vm)->get_tags(tags, vm, gpa, length);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_aarch64_set_tags(visor_vm *vm, uint64_t gpa, uint64_t length, const uint8_t *tags)
{
    int ret = check_tag_range(gpa, length, __func__);

    CHECK_OP(vm, set_tags);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    ret = ops_of(vm)->set_tags(vm, gpa, length, tags);
    visor__mutex_unlock(&vm->lock);
    return ret;
}
