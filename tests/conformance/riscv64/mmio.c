/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: accesses to memory-mapped I/O in all their forms. */
#include "riscv.h"

VISOR_GUEST_ASM(extend, "lb t0, 0(a0); lbu t2, 1(a0); lh t3, 2(a0); lhu t4, 4(a0); lw t5, 8(a0);"
                        "lwu t6, 12(a0); ld a1, 16(a0);" RISCV_DONE RISCV_AGAIN);

CASE(mmio, extension, "loads that extend the sign, and those that do not")
{
    visor_riscv_regs regs;

    guest_start(g, &extend, guest_hole, 0, 0, NULL);
    RUN_TO_MMIO_READ(g, guest_hole, 1, 0x80);
    RUN_TO_MMIO_READ(g, guest_hole + 1, 1, 0x80);
    RUN_TO_MMIO_READ(g, guest_hole + 2, 2, 0x8000);
    RUN_TO_MMIO_READ(g, guest_hole + 4, 2, 0x8000);
    RUN_TO_MMIO_READ(g, guest_hole + 8, 4, 0x80000000u);
    RUN_TO_MMIO_READ(g, guest_hole + 12, 4, 0x80000000u);
    RUN_TO_MMIO_READ(g, guest_hole + 16, 8, 0x8000000000000001u);
    CHECK_EQ(GUEST_FINISH(g), 0xffffffffffffff80u);
    regs = riscv_regs(g->vcpu);
    CHECK_EQ(regs.x[7], 0x80);
    CHECK_EQ(regs.x[28], 0xffffffffffff8000u);
    CHECK_EQ(regs.x[29], 0x8000);
    CHECK_EQ(regs.x[30], 0xffffffff80000000u);
    CHECK_EQ(regs.x[31], 0x80000000u);
    CHECK_EQ(regs.x[RISCV_A1], 0x8000000000000001u);
}

/* The compressed forms: with a base of eight registers, and with the stack pointer. */
VISOR_GUEST_ASM(compressed, ".option push; .option arch, +c;"
                            "c.sd a1, 0(a0); c.sw a1, 8(a0); c.ld a2, 16(a0); c.lw a3, 24(a0);"
                            "mv sp, a0; c.sdsp a1, 40(sp); c.swsp a1, 40(sp); c.ldsp a4, 48(sp);"
                            "c.lwsp a5, 56(sp); nop; .option pop; .balign 4;"
                            "li t0, 0;" RISCV_DONE RISCV_AGAIN);

CASE(mmio, compressed, "compressed loads and stores")
{
    visor_riscv_regs regs;

    guest_start(g, &compressed, guest_hole, 0x1122334455667788u, 0, NULL);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0x1122334455667788u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 8, 4, 0x55667788u);
    RUN_TO_MMIO_READ(g, guest_hole + 16, 8, 0x8877665544332211u);
    RUN_TO_MMIO_READ(g, guest_hole + 24, 4, 6);
    RUN_TO_MMIO_WRITE(g, guest_hole + 40, 8, 0x1122334455667788u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 40, 4, 0x55667788u);
    RUN_TO_MMIO_READ(g, guest_hole + 48, 8, 7);
    RUN_TO_MMIO_READ(g, guest_hole + 56, 4, 8);
    CHECK_EQ(GUEST_FINISH(g), 0);
    regs = riscv_regs(g->vcpu);
    CHECK_EQ(regs.x[12], 0x8877665544332211u);
    CHECK_EQ(regs.x[13], 6);
    CHECK_EQ(regs.x[14], 7);
    CHECK_EQ(regs.x[15], 8);
}

VISOR_GUEST_ASM(at_stack, ".option push; .option arch, +c; c.sdsp a1, 0(sp); c.swsp a1, 0(sp);"
                          ".option pop; .balign 4; li t0, 0;" RISCV_DONE RISCV_AGAIN);

CASE(mmio, compressed_at_stack_pointer, "compressed stores where the stack pointer points")
{
    guest_start(g, &at_stack, 0, 0x1122334455667788u, 0, NULL);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CORE, 2, guest_hole);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0x1122334455667788u);
    RUN_TO_MMIO_WRITE(g, guest_hole, 4, 0x55667788u);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

VISOR_GUEST_ASM(zero_register, "sd zero, 0(a0); ld zero, 8(a0); li t0, 7;" RISCV_DONE RISCV_AGAIN);

CASE(mmio, zero_register, "x0 stores zero and swallows what it loads")
{
    guest_start(g, &zero_register, guest_hole, 0, 0, NULL);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 8, 8, ~0ull);
    CHECK_EQ(GUEST_FINISH(g), 7);
    CHECK_EQ(riscv_regs(g->vcpu).x[0], 0);
}

/* Runs to an access that nobody completes, and on behind its instruction. */
static void not_completed(struct guest *g, uint64_t pc)
{
    const visor_exit *exit = RUN_TO(g, INTERNAL_ERROR);

    CHECK_EQ(exit->internal.data_count, 1);
    CHECK_EQ(exit->internal.data[0], pc);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CORE, 0), pc);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CORE, 0, pc + 4);
}

VISOR_GUEST_ASM(unaligned,
                "lw t2, 2(a0); sd t2, 4(a0); lh t2, 1(a0); li t0, 1;" RISCV_DONE RISCV_AGAIN);

CASE(mmio, unaligned, "an unaligned access where nothing is: an exit that says where it was")
{
    guest_start(g, &unaligned, guest_hole, 0, 0, NULL);
    for (unsigned i = 0; i < 3; i++)
        not_completed(g, guest_code + 4 * i);
    CHECK_EQ(GUEST_FINISH(g), 1);
}

VISOR_GUEST_ASM(others, "li t0, 0x6000; csrs sstatus, t0; fld f0, 0(a0); fsw f0, 0(a0);"
                        "amoadd.w t2, t2, (a0); li t0, 1;" RISCV_DONE RISCV_AGAIN);

CASE(mmio, not_decoded, "floating point and atomic accesses are not decoded: an exit that says so")
{
    guest_start(g, &others, guest_hole, 0, 0, NULL);
    for (unsigned i = 0; i < 3; i++)
        not_completed(g, guest_code + 8 + 4 * i);
    CHECK_EQ(GUEST_FINISH(g), 1);
}
