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

/* The end of a program: its result is in t0. t1 is lost. */
#define RISCV_DONE  "lui t1, 0x7f000; sd t0, 0(t1);"
#define RISCV_AGAIN "2: j 2b;"

/* Where a trap handler is, in vCPU 0's code page. */
#define RISCV_HANDLER (guest_code + 0x800)

/* Numbers of x registers by their names. */
enum riscv_x {
    RISCV_RA = 1,
    RISCV_T0 = 5,
    RISCV_T1 = 6,
    RISCV_A0 = 10,
    RISCV_A1 = 11,
    RISCV_A2 = 12,
    RISCV_A6 = 16,
    RISCV_A7 = 17,
    RISCV_S2 = 18,
};

/* CSRs (Privileged Architecture, chapter 2). */
enum riscv_csr {
    RISCV_SSTATUS = 0x100,
    RISCV_SIE = 0x104,
    RISCV_STVEC = 0x105,
    RISCV_SSCRATCH = 0x140,
    RISCV_SEPC = 0x141,
    RISCV_SCAUSE = 0x142,
    RISCV_STVAL = 0x143,
    RISCV_SIP = 0x144,
};
#define RISCV_SSTATUS_FS_DIRTY 0x6000u /* floating point is on */
#define RISCV_SSTATUS_VS_DIRTY 0x0600u /* vectors are on */

/* KVM's numbers of ISA extensions (see visor_riscv_isa_name()). */
enum riscv_isa {
    RISCV_ISA_D = 2,
    RISCV_ISA_F = 3,
    RISCV_ISA_SSTC = 8,
    RISCV_ISA_SSAIA = 14,
    RISCV_ISA_V = 15,
};

visor_riscv_regs riscv_regs(visor_vcpu *vcpu);
/* One register of a group, which must be there. */
uint64_t riscv_reg(visor_vcpu *vcpu, enum visor_riscv_group group, uint32_t index);
void riscv_set_reg(visor_vcpu *vcpu, enum visor_riscv_group group, uint32_t index, uint64_t value);
/* Whether the vCPU has an ISA extension. */
bool riscv_has_isa(visor_vcpu *vcpu, enum riscv_isa isa);
/* A trap handler for vCPU 0, by way of stvec. */
void riscv_set_handler(struct guest *g, const struct code *handler);
/* What the VM was configured as. */
visor_riscv_config riscv_config(struct guest *g);

#endif
