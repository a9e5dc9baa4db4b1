/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of the software CPU in the public structures; who sets them has checked the values. */
#ifndef VISOR_SOFT_REGISTERS_H
#define VISOR_SOFT_REGISTERS_H

#include "soft/cpu.h"

void soft_get_regs(visor_x86_regs *out, const struct soft_cpu *cpu);
void soft_set_regs(struct soft_cpu *cpu, const visor_x86_regs *regs);
/* Setting flushes all translations, and loads the PDPTEs of PAE from memory. */
void soft_get_sregs(visor_x86_sregs *out, const struct soft_cpu *cpu);
void soft_set_sregs(struct soft_cpu *cpu, const visor_x86_sregs *sregs);
void soft_get_fpu(visor_x86_fpu *out, const struct soft_cpu *cpu);
void soft_set_fpu(struct soft_cpu *cpu, const visor_x86_fpu *in);

#endif
