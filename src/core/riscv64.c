/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed functions of <visor/riscv64.h>. */
#include "core/riscv.h"

#include <string.h>

#include "core/state.h"

static const char configure_op[] = "visor_riscv_configure";

static int check_arch(const visor_vm *vm, const char *operation)
{
    if (vm->config.arch == VISOR_ARCH_RISCV64)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, vm->hv->backend->name, operation,
                        "the guest is %s, not riscv64", visor_arch_name(vm->config.arch));
}

static const struct visor__riscv_ops *ops_of(const visor_vm *vm)
{
    return vm->hv->backend->riscv;
}

static int check_op(const visor_vm *vm, const char *operation, bool there)
{
    int ret = check_arch(vm, operation);

    if (ret == 0 && !there)
        ret = visor__unsupported(vm->hv, operation, "this backend cannot do it");
    return ret;
}

/* ---- what the VM has ---- */

#define IMSIC_PAGE UINT64_C(0x1000)
#define APLIC_SIZE UINT64_C(0x4000) /* of a domain for KVM's 1023 sources (AIA, 4.5) */

static int bad(const char *what, uint64_t value)
{
    return visor__error(VISOR_EINVAL, "", configure_op, "%s: 0x%llx makes no sense", what,
                        (unsigned long long)value);
}

int visor__riscv_configure(visor_vm *vm, const visor_riscv_config *config)
{
    visor_riscv_config wanted;
    int ret = visor__config_copy(&wanted, sizeof(wanted), config, configure_op);
    uint64_t imsics, span;

    if (ret < 0)
        return ret;
    wanted.size = sizeof(wanted);
    if (wanted.vcpu_count == 0)
        wanted.vcpu_count = 8;
    if (wanted.source_count == 0)
        wanted.source_count = 64;
    if (wanted.imsic_gpa == 0)
        wanted.imsic_gpa = 0x08000000;
    imsics = IMSIC_PAGE * wanted.vcpu_count;
    if (wanted.aplic_gpa == 0)
        wanted.aplic_gpa = wanted.imsic_gpa + imsics;
    if (wanted.vcpu_count > 512)
        return bad("vcpu_count", wanted.vcpu_count);
    if (wanted.source_count > 1023)
        return bad("source_count", wanted.source_count);
    if (wanted.id_count != 0 && (wanted.id_count % 64 != 63 || wanted.id_count > 2047))
        return bad("id_count", wanted.id_count);
    /* A message's address is the base with the hart's index in it (AIA, 3.6). */
    for (span = IMSIC_PAGE; span < imsics;)
        span *= 2;
    if (wanted.imsic_gpa % span != 0)
        return bad("imsic_gpa", wanted.imsic_gpa);
    if (wanted.aplic_gpa % IMSIC_PAGE != 0)
        return bad("aplic_gpa", wanted.aplic_gpa);
    if (wanted.aplic_gpa < wanted.imsic_gpa + imsics &&
        wanted.imsic_gpa < wanted.aplic_gpa + APLIC_SIZE)
        return visor__error(VISOR_EINVAL, "", configure_op,
                            "the APLIC overlaps the IMSICs of %u vCPUs", wanted.vcpu_count);
    ret = ops_of(vm)->configure(vm, &wanted);
    if (ret < 0)
        return ret;
    vm->machine.riscv = wanted;
    vm->configured = true;
    return 0;
}

int visor_riscv_configure(visor_vm *vm, const visor_riscv_config *config)
{
    int ret = check_arch(vm, configure_op);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    if (vm->configured) {
        visor__error(VISOR_ESTATE, vm->hv->backend->name, configure_op,
                     "the VM has been configured");
        ret = visor__error_hint("call it once, before the first vCPU is created");
    } else {
        ret = visor__riscv_configure(vm, config);
    }
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_riscv_get_config(visor_riscv_config *out, visor_vm *vm)
{
    static const char get[] = "visor_riscv_get_config";
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
        memcpy(out, &vm->machine.riscv,
               size < sizeof(vm->machine.riscv) ? size : sizeof(vm->machine.riscv));
    visor__mutex_unlock(&vm->lock);
    out->size = size;
    return ret;
}

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

#define PIECE(name, piece)                                                             \
    int visor_riscv_get_##name(visor_riscv_##name *out, visor_vcpu *vcpu)              \
    {                                                                                  \
        return get_piece(out, sizeof(*out), vcpu, VISOR__STATE_##piece, __func__);     \
    }                                                                                  \
                                                                                       \
    int visor_riscv_set_##name(visor_vcpu *vcpu, const visor_riscv_##name *value)      \
    {                                                                                  \
        return set_piece(vcpu, VISOR__STATE_##piece, value, sizeof(*value), __func__); \
    }

PIECE(regs, RISCV_REGS)
PIECE(fp, RISCV_FP)
PIECE(timer, RISCV_TIMER)

int visor_riscv_get_vector(void *out, size_t capacity, visor_vcpu *vcpu)
{
    int ret = check_arch(vcpu->vm, __func__);

    if (ret == 0)
        ret = visor__state_get(out, capacity, vcpu, VISOR__STATE_RISCV_VECTOR);
    return ret;
}

int visor_riscv_set_vector(visor_vcpu *vcpu, const void *image, size_t length)
{
    return set_piece(vcpu, VISOR__STATE_RISCV_VECTOR, image, length, __func__);
}

/* ---- single registers and groups ---- */

static int check_reg(uint32_t reg, const char *operation)
{
    uint32_t index = reg & 0xffffff;
    bool known = false;

    switch (reg >> 24) {
    case VISOR_RISCV_CONFIG: known = index <= 0xff; break;
    case VISOR_RISCV_CORE:
    case VISOR_RISCV_FP: known = index <= 32; break;
    case VISOR_RISCV_CSR: known = index <= 0xfff || index >= 0x800000; break;
    case VISOR_RISCV_TIMER: known = index <= 3; break;
    case VISOR_RISCV_ISA:
    case VISOR_RISCV_SBI: known = index <= 0xffff; break;
    case VISOR_RISCV_SBI_STATE: known = true; break;
    default: break;
    }
    return known ? 0 : visor__error(VISOR_EINVAL, "", operation, "no register 0x%x", reg);
}

int visor_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    int ret = check_reg(reg, __func__);

    if (ret == 0)
        ret = check_op(vcpu->vm, __func__, ops_of(vcpu->vm) && ops_of(vcpu->vm)->get_reg);
    return ret < 0 ? ret : ops_of(vcpu->vm)->get_reg(out, vcpu, reg);
}

int visor_riscv_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    int ret = check_reg(reg, __func__);

    if (ret == 0)
        ret = check_op(vcpu->vm, __func__, ops_of(vcpu->vm) && ops_of(vcpu->vm)->set_reg);
    return ret < 0 ? ret : ops_of(vcpu->vm)->set_reg(vcpu, reg, value);
}

static int group_piece(enum visor__state *out, enum visor_riscv_group group, const char *operation)
{
    switch (group) {
    case VISOR_RISCV_CONFIG: *out = VISOR__STATE_RISCV_CONFIG; return 0;
    case VISOR_RISCV_CSR: *out = VISOR__STATE_RISCV_CSRS; return 0;
    case VISOR_RISCV_ISA: *out = VISOR__STATE_RISCV_ISA; return 0;
    case VISOR_RISCV_SBI: *out = VISOR__STATE_RISCV_SBI; return 0;
    case VISOR_RISCV_SBI_STATE: *out = VISOR__STATE_RISCV_SBI_STATE; return 0;
    default:
        return visor__error(VISOR_EINVAL, "", operation, "group %d has no list: it is a structure",
                            (int)group);
    }
}

int visor_riscv_get_group(visor_reg *out, size_t capacity, visor_vcpu *vcpu,
                          enum visor_riscv_group group)
{
    enum visor__state piece;
    int ret = check_arch(vcpu->vm, __func__);

    if (ret == 0)
        ret = group_piece(&piece, group, __func__);
    if (ret == 0)
        ret = visor__state_get(out, capacity * sizeof(*out), vcpu, piece);
    return ret < 0 ? ret : ret / (int)sizeof(*out);
}

int visor_riscv_set_group(visor_vcpu *vcpu, enum visor_riscv_group group, const visor_reg *regs,
                          size_t count)
{
    enum visor__state piece;
    int ret = group_piece(&piece, group, __func__);

    return ret < 0 ? ret : set_piece(vcpu, piece, regs, count * sizeof(*regs), __func__);
}

/* ---- interrupts ---- */

int visor_riscv_set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool level)
{
    const visor_vcpu *vcpu;
    int ret = check_op(vm, __func__, ops_of(vm) && ops_of(vm)->set_irq_input);

    if (ret < 0)
        return ret;
    if (vm->config.irqchip != VISOR_IRQCHIP_NONE)
        return visor__unsupported(vm->hv, __func__, "the VM's interrupt chip drives the input");
    visor__mutex_lock(&vm->lock);
    for (vcpu = vm->vcpus; vcpu != NULL && (vcpu->id != vcpu_id || vcpu->closed);)
        vcpu = vcpu->next;
    if (vcpu == NULL)
        ret = visor__error(VISOR_ENOENT, "", __func__, "there is no vCPU %u", vcpu_id);
    else
        ret = ops_of(vm)->set_irq_input(vm, vcpu_id, level);
    visor__mutex_unlock(&vm->lock);
    return ret;
}
