/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers. Their numbers are those of KVM on arm64 (KVM's api.rst, 4.68, and its
 * arch/arm64/include/uapi/asm/kvm.h). They can be set only, 8 bytes at most: GET_ONE_REG is
 * answered by the oldest driver alone.
 */
#include <stddef.h>

#include "core/aarch64.h"
#include "twin/twin.h"

#define CORE(member)                                          \
    (GZVM_REG_ARM64 | GZVM_REG_SIZE_U64 | GZVM_REG_ARM_CORE | \
     offsetof(struct gzvm_regs, member) / 4)
#define SYSREG(reg) (GZVM_REG_ARM64 | GZVM_REG_SIZE_U64 | GZVM_REG_ARM64_SYSREG | (reg))

#define SP_EL1   VISOR_AARCH64_SYSREG(3, 4, 4, 1, 0)
#define ELR_EL1  VISOR_AARCH64_SYSREG(3, 0, 4, 0, 1)
#define SPSR_EL1 VISOR_AARCH64_SYSREG(3, 0, 4, 0, 0)

/* The driver's number of a register; 0: it has none. */
static uint64_t native_reg(uint32_t reg)
{
    if (reg >= VISOR_AARCH64_X(0) && reg <= VISOR_AARCH64_X(30))
        return CORE(regs.regs[0]) + 2 * (uint64_t)(reg - VISOR_AARCH64_X(0));
    switch (reg) {
    case VISOR_AARCH64_SP: return CORE(regs.sp);
    case VISOR_AARCH64_PC: return CORE(regs.pc);
    case VISOR_AARCH64_PSTATE: return CORE(regs.pstate);
    case SP_EL1: return CORE(sp_el1);
    case ELR_EL1: return CORE(elr_el1);
    case SPSR_EL1: return CORE(spsr[0]);
    default: return reg <= 0xffff ? SYSREG(reg) : 0;
    }
}

static int set_native(visor_vcpu *vcpu, uint64_t id, uint64_t value)
{
    const struct twin *twin = twin_of(vcpu->vm);
    struct gzvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};
    int ret;

    /* Completing the access moves the program counter on, whatever it is by then. */
    if (twin_vcpu_of(vcpu)->unsettled) {
        visor__error(VISOR_ESTATE, twin->name, twin->set_reg.name,
                     "vCPU %u: its last access is not completed yet", vcpu->id);
        return visor__error_hint("run it on, with a kick pending after a moment");
    }
    ret = twin_ioctl(twin_vcpu_of(vcpu)->fd, &twin->set_reg, &reg);

    return ret < 0 ? twin_error(twin, set_reg, -ret, "vCPU %u, register 0x%llx", vcpu->id,
                                (unsigned long long)id)
                   : 0;
}

int twin_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    uint64_t id = native_reg(reg);

    if (id == 0)
        return visor__error(VISOR_EUNSUPPORTED, twin_of(vcpu->vm)->name, "visor_aarch64_set_reg",
                            "the driver has no number for register 0x%x", reg);
    return set_native(vcpu, id, value);
}

int twin_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    return visor__aarch64_fixed_reg(out, vcpu, reg,
                                    "its driver lets registers be set, but not read");
}

static int set_regs(visor_vcpu *vcpu, const visor_aarch64_regs *regs)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < 31; i++)
        ret = twin_set_reg(vcpu, VISOR_AARCH64_X(i), regs->x[i]);
    if (ret == 0)
        ret = twin_set_reg(vcpu, VISOR_AARCH64_SP, regs->sp);
    if (ret == 0)
        ret = twin_set_reg(vcpu, VISOR_AARCH64_PC, regs->pc);
    return ret == 0 ? twin_set_reg(vcpu, VISOR_AARCH64_PSTATE, regs->pstate) : ret;
}

static int set_list(visor_vcpu *vcpu, const visor_reg *regs, size_t count)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < count; i++)
        ret = twin_set_reg(vcpu, (uint32_t)regs[i].id, regs[i].value);
    return ret;
}

int twin_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    switch (piece) {
    case VISOR__STATE_AARCH64_REGS: return set_regs(vcpu, buf);
    case VISOR__STATE_AARCH64_SYSREGS: return set_list(vcpu, buf, length / sizeof(visor_reg));
    case VISOR__STATE_AARCH64_FPSIMD:
        return visor__error(VISOR_EUNSUPPORTED, twin_of(vcpu->vm)->name, "visor_aarch64_set_fpsimd",
                            "the driver takes no register of more than 8 bytes");
    default:
        return visor__error(VISOR_EUNSUPPORTED, twin_of(vcpu->vm)->name, "set_state",
                            "the driver has no such state");
    }
}
