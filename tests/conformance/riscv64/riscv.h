/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RISC-V guests: for cases that are about RISC-V itself. They build on the generic ones of guest.h:
 * supervisor mode, interrupts off, no address translation.
 */
#ifndef CONFORMANCE_RISCV_H
#define CONFORMANCE_RISCV_H

#include "guest.h"

/* Neither relaxed nor compressed, so that the length is what it looks like. */
#define VISOR_GUEST_ASM(name, text)                                                           \
    VISOR_GUEST_ASM_(name, ".option push\n.option norelax\n.option norvc\n.balign 4\n", text, \
                     ".option pop\n")

visor_riscv_regs riscv_regs(visor_vcpu *vcpu);

#endif
