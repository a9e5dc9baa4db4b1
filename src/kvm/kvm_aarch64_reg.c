/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's numbers of registers (api.rst 4.68, "arm64 registers"; <asm/kvm.h>) and the public ones.
 *
 * Those of KVM name architecture, size and a group. Most system registers are in a group where
 * their MRS encoding is their number, but a few that KVM keeps with the general registers are among
 * these, and two timer registers have each other's encoding.
 */
#include <stdio.h>

#include "kvm/kvm_aarch64.h"

#define GROUP_MASK  UINT64_C(0x0fff0000)
#define INDEX_MASK  UINT64_C(0xffff)
#define CORE(width) (KVM_REG_ARM64 | KVM_REG_SIZE_##width | KVM_REG_ARM_CORE)
#define U64(group)  (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | (group))

#define FEATURE_BITMAP 0x10000u /* VISOR_AARCH64_FIRMWARE() of the first of these */

#define CNTVCT_EL0    VISOR_AARCH64_SYSREG(3, 3, 14, 0, 2)
#define CNTV_CVAL_EL0 VISOR_AARCH64_SYSREG(3, 3, 14, 3, 2)

/* System registers that are among the general ones; index: words into struct kvm_regs. */
#define CORE_INDEX(member) ((uint32_t)(offsetof(struct kvm_regs, member) / sizeof(__u32)))
static const struct {
    uint32_t reg, index;
    bool is_narrow; /* 32 bits */
} core_sysregs[] = {
    {VISOR_AARCH64_SYSREG(3, 0, 4, 0, 0), CORE_INDEX(spsr[KVM_SPSR_EL1]), false},
    {VISOR_AARCH64_SYSREG(3, 0, 4, 0, 1), CORE_INDEX(elr_el1), false},
    {VISOR_AARCH64_SYSREG(3, 3, 4, 4, 0), CORE_INDEX(fp_regs.fpcr), true},
    {VISOR_AARCH64_SYSREG(3, 3, 4, 4, 1), CORE_INDEX(fp_regs.fpsr), true},
    {VISOR_AARCH64_SYSREG(3, 4, 4, 1, 0), CORE_INDEX(sp_el1), false},
    {VISOR_AARCH64_SYSREG(3, 4, 4, 3, 0), CORE_INDEX(spsr[KVM_SPSR_IRQ]), false},
    {VISOR_AARCH64_SYSREG(3, 4, 4, 3, 1), CORE_INDEX(spsr[KVM_SPSR_ABT]), false},
    {VISOR_AARCH64_SYSREG(3, 4, 4, 3, 2), CORE_INDEX(spsr[KVM_SPSR_UND]), false},
    {VISOR_AARCH64_SYSREG(3, 4, 4, 3, 3), CORE_INDEX(spsr[KVM_SPSR_FIQ]), false},
};
#define CORE_SYSREGS (sizeof(core_sysregs) / sizeof(core_sysregs[0]))

/* KVM's name for the one is the other's encoding, for ever: an accident of its first version. */
static uint32_t swap_timers(uint32_t reg)
{
    switch (reg) {
    case CNTVCT_EL0: return CNTV_CVAL_EL0;
    case CNTV_CVAL_EL0: return CNTVCT_EL0;
    default: return reg;
    }
}

static uint64_t sysreg_to_kvm(uint32_t reg)
{
    for (size_t i = 0; i < CORE_SYSREGS; i++) {
        if (core_sysregs[i].reg == reg)
            return (core_sysregs[i].is_narrow ? CORE(U32) : CORE(U64)) | core_sysregs[i].index;
    }
    return U64(KVM_REG_ARM64_SYSREG) | swap_timers(reg);
}

uint64_t kvm_aarch64_reg_to_kvm(uint32_t reg)
{
    uint32_t index = reg & 0xfffff;

    switch (reg >> 20) {
    case 0: return sysreg_to_kvm(index);
    /* X0 ... X30, SP, PC, PSTATE follow each other in both numberings. */
    case 1: return CORE(U64) | index * CORE_INDEX(regs.regs[1]);
    case 2:
        return KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | KVM_REG_ARM_DEMUX_ID_CCSIDR |
               index;
    default:
        return index < FEATURE_BITMAP ? U64(KVM_REG_ARM_FW) | index
                                      : U64(KVM_REG_ARM_FW_FEAT_BMAP) | (index - FEATURE_BITMAP);
    }
}

static bool core_from_kvm(uint32_t *out, uint32_t index)
{
    for (size_t i = 0; i < CORE_SYSREGS; i++) {
        if (core_sysregs[i].index == index) {
            *out = core_sysregs[i].reg;
            return true;
        }
    }
    if (index > CORE_INDEX(regs.pstate))
        return false;
    *out = VISOR_AARCH64_X(index / CORE_INDEX(regs.regs[1]));
    return true;
}

bool kvm_aarch64_reg_from_kvm(uint32_t *out, uint64_t id)
{
    uint32_t index = (uint32_t)(id & INDEX_MASK);

    if ((id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64)
        return false;
    switch (id & GROUP_MASK) {
    case KVM_REG_ARM_CORE: return core_from_kvm(out, index);
    case KVM_REG_ARM_DEMUX:
        *out = VISOR_AARCH64_CCSIDR(index & KVM_REG_ARM_DEMUX_VAL_MASK);
        return (index & KVM_REG_ARM_DEMUX_ID_MASK) == KVM_REG_ARM_DEMUX_ID_CCSIDR;
    case KVM_REG_ARM64_SYSREG: *out = swap_timers(index); return true;
    case KVM_REG_ARM_FW: *out = VISOR_AARCH64_FIRMWARE(index); return true;
    case KVM_REG_ARM_FW_FEAT_BMAP:
        *out = VISOR_AARCH64_FIRMWARE(FEATURE_BITMAP + index);
        return true;
    default: return false;
    }
}

uint64_t kvm_aarch64_vector_to_kvm(unsigned n)
{
    return CORE(U128) | (CORE_INDEX(fp_regs.vregs[0]) +
                         n * (CORE_INDEX(fp_regs.vregs[1]) - CORE_INDEX(fp_regs.vregs[0])));
}

const char *kvm_aarch64_reg_name(char out[KVM_AARCH64_REG_NAME], uint32_t reg)
{
    uint32_t index = reg & 0xfffff;

    switch (reg >> 20) {
    case 0:
        snprintf(out, KVM_AARCH64_REG_NAME, "S%u_%u_C%u_C%u_%u", index >> 14 & 3, index >> 11 & 7,
                 index >> 7 & 15, index >> 3 & 15, index & 7);
        break;
    case 1:
        if (reg <= VISOR_AARCH64_X(30))
            snprintf(out, KVM_AARCH64_REG_NAME, "X%u", index);
        else
            snprintf(out, KVM_AARCH64_REG_NAME, "%s",
                     reg == VISOR_AARCH64_SP   ? "SP"
                     : reg == VISOR_AARCH64_PC ? "PC"
                                               : "PSTATE");
        break;
    case 2: snprintf(out, KVM_AARCH64_REG_NAME, "CCSIDR_EL1[%u]", index); break;
    default: snprintf(out, KVM_AARCH64_REG_NAME, "firmware register 0x%x", index); break;
    }
    return out;
}
