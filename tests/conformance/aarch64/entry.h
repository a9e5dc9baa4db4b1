/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers of a vCPU whose hypervisor does not take them: Gunyah gives vCPU 0 some when the VM
 * starts and takes no system registers at all, and where the VMM cannot power vCPUs on, all but the
 * first begin when another one says so (PSCI). The guest sets what is missing itself, in a prologue
 * in its memory: system registers, the power of the other vCPUs, general registers, and a jump to
 * the program.
 */
#ifndef CONFORMANCE_ARM_ENTRY_H
#define CONFORMANCE_ARM_ENTRY_H

#include "arm.h"

/* A vCPU that is new, or was reset. */
void entry_forget(struct guest *g, visor_vcpu *vcpu);
/* Whether the guest has to set this register; then it is on its list. `wanted`: a case asks for it,
 * so that it cannot be left out. */
bool entry_take_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value, bool wanted);
/* Has the vCPU go on with these registers, by whatever means there are. */
void entry_go(visor_vcpu *vcpu, const visor_aarch64_regs *regs);

#endif
