/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AArch64 guests: for cases that are about AArch64 itself. They build on the generic ones of
 * guest.h: EL1, everything masked, MMU on with an identity map: the first 2 GiB are device memory,
 * the rest, RAM and the hole, is normal memory.
 */
#ifndef CONFORMANCE_ARM_H
#define CONFORMANCE_ARM_H

#include "guest.h"

#define VISOR_GUEST_ASM(name, text) VISOR_GUEST_ASM_(name, ".balign 4\n", text, "")

/* Where things are in guest memory, below the code: the map, and room for exception vectors. */
#define ARM_TABLE   0x80002000u
#define ARM_VECTORS 0x80004000u
#define ARM_STACK   0x8000c000u /* grows downwards */
/* Behind what guest_data names: for tables of the ITS and the like, up to the end of memory. */
#define ARM_ROOM        0x80080000u
#define ARM_ROOM_LENGTH 0x80000u

/* System registers. Arm ARM, chapter D19 (D17 in older issues). */
#define ARM_MIDR_EL1       VISOR_AARCH64_SYSREG(3, 0, 0, 0, 0)
#define ARM_MPIDR_EL1      VISOR_AARCH64_SYSREG(3, 0, 0, 0, 5)
#define ARM_ID_AA64PFR0    VISOR_AARCH64_SYSREG(3, 0, 0, 4, 0)
#define ARM_ID_AA64DFR0    VISOR_AARCH64_SYSREG(3, 0, 0, 5, 0)
#define ARM_ID_AA64ISAR1   VISOR_AARCH64_SYSREG(3, 0, 0, 6, 1)
#define ARM_SCTLR_EL1      VISOR_AARCH64_SYSREG(3, 0, 1, 0, 0)
#define ARM_CPACR_EL1      VISOR_AARCH64_SYSREG(3, 0, 1, 0, 2)
#define ARM_TTBR0_EL1      VISOR_AARCH64_SYSREG(3, 0, 2, 0, 0)
#define ARM_TTBR1_EL1      VISOR_AARCH64_SYSREG(3, 0, 2, 0, 1)
#define ARM_TCR_EL1        VISOR_AARCH64_SYSREG(3, 0, 2, 0, 2)
#define ARM_APIAKEYLO_EL1  VISOR_AARCH64_SYSREG(3, 0, 2, 1, 0)
#define ARM_SPSR_EL1       VISOR_AARCH64_SYSREG(3, 0, 4, 0, 0)
#define ARM_ELR_EL1        VISOR_AARCH64_SYSREG(3, 0, 4, 0, 1)
#define ARM_SP_EL1         VISOR_AARCH64_SYSREG(3, 4, 4, 1, 0)
#define ARM_ESR_EL1        VISOR_AARCH64_SYSREG(3, 0, 5, 2, 0)
#define ARM_FAR_EL1        VISOR_AARCH64_SYSREG(3, 0, 6, 0, 0)
#define ARM_MAIR_EL1       VISOR_AARCH64_SYSREG(3, 0, 10, 2, 0)
#define ARM_VBAR_EL1       VISOR_AARCH64_SYSREG(3, 0, 12, 0, 0)
#define ARM_CONTEXTIDR_EL1 VISOR_AARCH64_SYSREG(3, 0, 13, 0, 1)
#define ARM_TPIDR_EL1      VISOR_AARCH64_SYSREG(3, 0, 13, 0, 4)
#define ARM_CSSELR_EL1     VISOR_AARCH64_SYSREG(3, 2, 0, 0, 0)
#define ARM_TPIDR_EL0      VISOR_AARCH64_SYSREG(3, 3, 13, 0, 2)
#define ARM_TPIDRRO_EL0    VISOR_AARCH64_SYSREG(3, 3, 13, 0, 3)
#define ARM_CNTVCT_EL0     VISOR_AARCH64_SYSREG(3, 3, 14, 0, 2)
#define ARM_CNTV_CTL_EL0   VISOR_AARCH64_SYSREG(3, 3, 14, 3, 1)
#define ARM_CNTV_CVAL_EL0  VISOR_AARCH64_SYSREG(3, 3, 14, 3, 2)

/* PSTATE: EL1 with SP_EL1; D, A, I, F masked. Arm ARM, C5.2.18. */
#define ARM_PSTATE_EL1H 0x005u
#define ARM_PSTATE_I    0x080u
#define ARM_PSTATE_DAIF 0x3c0u

/* All registers zero but these. */
struct arm_setup {
    const struct code *code; /* goes to the vCPU's page of code */
    uint64_t x[8];
    uint64_t pstate; /* 0: EL1H with everything masked */
};
/* Points a vCPU to code, as guest_restart() does. */
void arm_restart(struct guest *g, visor_vcpu *vcpu, const struct arm_setup *setup);
/* guest_create(), after it visor_aarch64_configure() if config is not NULL, vCPU 0, arm_restart().
 */
void arm_start(struct guest *g, const struct arm_setup *setup, const visor_vm_config *vm,
               const visor_aarch64_config *config);

uint64_t arm_reg(visor_vcpu *vcpu, uint32_t reg);
void arm_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
visor_aarch64_regs arm_regs(visor_vcpu *vcpu);

/* Code for an exception vector, offset as in the Arm ARM: 0x200 synchronous, 0x280 IRQ, of EL1 with
 * SP_EL1. At most 32 instructions. The vCPU's VBAR_EL1 and SP_EL1 are set. */
void arm_set_vector(struct guest *g, visor_vcpu *vcpu, unsigned offset, const struct code *code);

#endif
