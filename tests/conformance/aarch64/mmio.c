/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AArch64: accesses to memory-mapped I/O in all their forms. Those of one general register without
 * writeback are decoded by the processor; all others are completed by the library.
 */
#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

static void start(struct guest *g, const struct code *code, uint64_t x0, uint64_t x1, uint64_t x2)
{
    arm_start(g, &(struct arm_setup){.code = code, .x = {x0, x1, x2}}, NULL, NULL);
}

VISOR_GUEST_ASM(extend, "ldrsb w3, [x0]; ldrsb x4, [x0, #1]; ldrsh w5, [x0, #2];"
                        "ldrsh x6, [x0, #4]; ldrsw x7, [x0, #8]; mov x3, x3;" DONE AGAIN);

CASE(mmio, sign_extension, "loads that extend the sign, to 32 and to 64 bits")
{
    visor_aarch64_regs regs;

    start(g, &extend, guest_hole, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole, 1, 0x80);
    RUN_TO_MMIO_READ(g, guest_hole + 1, 1, 0x80);
    RUN_TO_MMIO_READ(g, guest_hole + 2, 2, 0x8000);
    RUN_TO_MMIO_READ(g, guest_hole + 4, 2, 0x8000);
    RUN_TO_MMIO_READ(g, guest_hole + 8, 4, 0x80000000u);
    CHECK_EQ(GUEST_FINISH(g), 0xffffff80u);
    regs = arm_regs(g->vcpu);
    CHECK_EQ(regs.x[4], 0xffffffffffffff80u);
    CHECK_EQ(regs.x[5], 0xffff8000u);
    CHECK_EQ(regs.x[6], 0xffffffffffff8000u);
    CHECK_EQ(regs.x[7], 0xffffffff80000000u);
}

VISOR_GUEST_ASM(zero_register, "str xzr, [x0]; ldr xzr, [x0, #8]; mov x3, #7;" DONE AGAIN);

CASE(mmio, zero_register, "the zero register stores zero and swallows what it loads")
{
    start(g, &zero_register, guest_hole, 0, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 8, 8, ~0ull);
    CHECK_EQ(GUEST_FINISH(g), 7);
}

VISOR_GUEST_ASM(pairs, "stp x1, x2, [x0]; ldp x3, x4, [x0, #16]; stp w1, w2, [x0, #32];"
                       "ldp w5, w6, [x0, #40]; ldpsw x7, x8, [x0, #48];" DONE AGAIN);

CASE(mmio, pairs, "load and store pair: two accesses, lower address first")
{
    visor_aarch64_regs regs;

    start(g, &pairs, guest_hole, 0x1111111111111111u, 0x2222222222222222u);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0x1111111111111111u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 8, 8, 0x2222222222222222u);
    RUN_TO_MMIO_READ(g, guest_hole + 16, 8, 0x3333333333333333u);
    RUN_TO_MMIO_READ(g, guest_hole + 24, 8, 0x4444444444444444u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 32, 4, 0x11111111u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 36, 4, 0x22222222u);
    RUN_TO_MMIO_READ(g, guest_hole + 40, 4, 0x55555555u);
    RUN_TO_MMIO_READ(g, guest_hole + 44, 4, 0x66666666u);
    RUN_TO_MMIO_READ(g, guest_hole + 48, 4, 0x80000007u);
    RUN_TO_MMIO_READ(g, guest_hole + 52, 4, 0x8);
    CHECK_EQ(GUEST_FINISH(g), 0x3333333333333333u);
    regs = arm_regs(g->vcpu);
    CHECK_EQ(regs.x[4], 0x4444444444444444u);
    CHECK_EQ(regs.x[5], 0x55555555u);
    CHECK_EQ(regs.x[6], 0x66666666u);
    CHECK_EQ(regs.x[7], 0xffffffff80000007u);
    CHECK_EQ(regs.x[8], 8);
}

VISOR_GUEST_ASM(writeback,
                "str x1, [x0, #16]!; ldr x3, [x0], #8; strb w1, [x0], #-8;"
                "ldrh w4, [x0, #-2]!; stp x1, x2, [x0, #-16]!; ldp x5, x6, [x0], #32;" DONE AGAIN);

CASE(mmio, writeback, "pre- and post-indexed: the access, and the base register afterwards")
{
    visor_aarch64_regs regs;

    start(g, &writeback, guest_hole + 0x100, 0xa1a2a3a4a5a6a7a8u, 0xb1);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x110, 8, 0xa1a2a3a4a5a6a7a8u);
    RUN_TO_MMIO_READ(g, guest_hole + 0x110, 8, 0x77);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x118, 1, 0xa8);
    RUN_TO_MMIO_READ(g, guest_hole + 0x10e, 2, 0x1234);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0xfe, 8, 0xa1a2a3a4a5a6a7a8u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x106, 8, 0xb1);
    RUN_TO_MMIO_READ(g, guest_hole + 0xfe, 8, 0x55);
    RUN_TO_MMIO_READ(g, guest_hole + 0x106, 8, 0x66);
    CHECK_EQ(GUEST_FINISH(g), 0x77);
    regs = arm_regs(g->vcpu);
    CHECK_EQ(regs.x[0], guest_hole + 0x11e);
    CHECK_EQ(regs.x[4], 0x1234);
    CHECK_EQ(regs.x[5], 0x55);
    CHECK_EQ(regs.x[6], 0x66);
}

VISOR_GUEST_ASM(simd, "str q0, [x0]; ldr q1, [x0, #32]; str d0, [x0, #64]; ldr s2, [x0, #72];"
                      "str b0, [x0, #80]; ldp q3, q4, [x0, #96]; mov x3, #0;" DONE AGAIN);

CASE(mmio, simd,
     "SIMD registers: 16 bytes arrive as two accesses of 8; narrow loads clear the rest")
{
    visor_aarch64_fpsimd fp;

    start(g, &simd, guest_hole, 0, 0);
    CHECK_OK(visor_aarch64_get_fpsimd(&fp, g->vcpu));
    fp.v[0][0] = 0x1111222233334444u;
    fp.v[0][1] = 0x5555666677778888u;
    fp.v[2][0] = fp.v[2][1] = ~0ull;
    CHECK_OK(visor_aarch64_set_fpsimd(g->vcpu, &fp));
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0x1111222233334444u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 8, 8, 0x5555666677778888u);
    RUN_TO_MMIO_READ(g, guest_hole + 32, 8, 0xa1a2a3a4a5a6a7a8u);
    RUN_TO_MMIO_READ(g, guest_hole + 40, 8, 0xb1b2b3b4b5b6b7b8u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 64, 8, 0x1111222233334444u);
    RUN_TO_MMIO_READ(g, guest_hole + 72, 4, 0xc1c2c3c4u);
    RUN_TO_MMIO_WRITE(g, guest_hole + 80, 1, 0x44);
    for (unsigned i = 0; i < 4; i++)
        RUN_TO_MMIO_READ(g, guest_hole + 96 + 8 * i, 8, 100 + i);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_OK(visor_aarch64_get_fpsimd(&fp, g->vcpu));
    CHECK_EQ(fp.v[1][0], 0xa1a2a3a4a5a6a7a8u);
    CHECK_EQ(fp.v[1][1], 0xb1b2b3b4b5b6b7b8u);
    CHECK_EQ(fp.v[2][0], 0xc1c2c3c4u);
    CHECK_EQ(fp.v[2][1], 0);
    CHECK_EQ(fp.v[3][1], 101);
    CHECK_EQ(fp.v[4][0], 102);
}

VISOR_GUEST_ASM(atomics, ".arch_extension lse\nldadd x1, x3, [x0]; swp w1, w4, [x0];" DONE AGAIN);

CASE(mmio, atomics, "an atomic operation gives a read, then a write")
{
    start(g, &atomics, guest_hole, 5, 0);
    if ((arm_reg(g->vcpu, VISOR_AARCH64_SYSREG(3, 0, 0, 6, 0)) >> 20 & 15) == 0)
        SKIP("this processor has no atomic instructions (LSE)");
    RUN_TO_MMIO_READ(g, guest_hole, 8, 37);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 42);
    RUN_TO_MMIO_READ(g, guest_hole, 4, 0x99);
    RUN_TO_MMIO_WRITE(g, guest_hole, 4, 5);
    CHECK_EQ(GUEST_FINISH(g), 37);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 0x99);
}

VISOR_GUEST_ASM(zero_block, "dc zva, x0; mov x3, #0;" DONE AGAIN);

CASE(mmio, zero_block, "DC ZVA stores zeros over its whole block")
{
    uint64_t dczid, block;

    start(g, &zero_block, guest_hole + 8, 0, 0);
    __asm__("mrs %0, dczid_el0" : "=r"(dczid));
    if ((dczid & 1 << 4) != 0)
        SKIP("this processor has no DC ZVA");
    block = 4ull << (dczid & 15);
    for (uint64_t i = 0; i < block; i += 8)
        RUN_TO_MMIO_WRITE(g, guest_hole + i, 8, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

VISOR_GUEST_ASM(exclusive, "ldxr x3, [x0]; mov x3, #1;" DONE AGAIN);

CASE(mmio, exclusive, "an exclusive access to I/O is an exit that says so, and changes nothing")
{
    const visor_exit *exit;

    start(g, &exclusive, guest_hole, 0, 0);
    exit = RUN_TO(g, INTERNAL_ERROR);
    CHECK(exit->internal.text[0] != '\0');
    note("%s", exit->internal.text);
    CHECK_EQ(exit->internal.instruction_len, 4);
    CHECK_EQ(arm_regs(g->vcpu).pc, guest_code);
    /* The VMM may step over it. */
    arm_set_reg(g->vcpu, VISOR_AARCH64_PC, guest_code + 4);
    CHECK_EQ(GUEST_FINISH(g), 1);
}

VISOR_GUEST_ASM(pair_once, "ldp x3, x4, [x0];" DONE AGAIN);

CASE(mmio, pair_leaves_memory, "half of an access is memory, the other half I/O")
{
    visor_mapping *mapping;

    start(g, &pair_once, guest_hole + 0xff8, 0, 0);
    add_slot(g, guest_hole, 0x1000, &mapping, false, false);
    ((uint64_t *)visor_mapping_host(mapping))[511] = 0x1212;
    RUN_TO_MMIO_READ(g, guest_hole + 0x1000, 8, 0x3434);
    CHECK_EQ(GUEST_FINISH(g), 0x1212);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 0x3434);
}

VISOR_GUEST_ASM(store_pair_once, "stp x1, x2, [x0]; mov x3, #0;" DONE AGAIN);

CASE(mmio, pair_read_only, "a store of a pair to read-only memory is an exit and not done")
{
    visor_mapping *mapping;

    start(g, &store_pair_once, guest_hole, 1, 2);
    NEED(g, READ_ONLY);
    add_slot(g, guest_hole, 0x1000, &mapping, true, false);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 1);
    RUN_TO_MMIO_WRITE(g, guest_hole + 8, 8, 2);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(((uint64_t *)visor_mapping_host(mapping))[1], 0);
}

CASE(mmio, unaligned, "an unaligned access inside a page arrives whole")
{
    guest_start(g, guest_store[3], guest_hole + 3, 0x8877665544332211u, 0, NULL);
    RUN_TO_MMIO_WRITE(g, guest_hole + 3, 8, 0x8877665544332211u);
    GUEST_FINISH(g);
    guest_restart(g, g->vcpu, guest_load[2], guest_hole + 5, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 5, 4, 0x44332211);
    CHECK_EQ(GUEST_FINISH(g), 0x44332211);
}

static int answer(void *context, visor_vcpu *vcpu, visor_io *io)
{
    unsigned *count = context;

    (void)vcpu;
    *count += 1;
    visor_io_set_value(io, 0x10 + *count);
    return VISOR_IO_DONE;
}

CASE(mmio, pair_handled, "handlers serve the parts without an exit")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    unsigned count = 0;

    start(g, &pair_once, guest_hole, 0, 0);
    range.address = guest_hole;
    range.length = 16;
    range.handler = answer;
    range.context = &count;
    CHECK_OK(visor_vm_map_io(g->vm, &range));
    CHECK_EQ(GUEST_FINISH(g), 0x11);
    CHECK_EQ(count, 2);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 0x12);
}

CASE(kick, settle_parts, "an access of several parts is settled part by part")
{
    visor_exit *exit;

    start(g, &pair_once, guest_hole, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0x11223344);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_MMIO);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_EQ(exit->io.address, guest_hole + 8);
    CHECK_EQ(exit->io.length, 8);
    visor_io_set_value(&exit->io, 0x55667788);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 0x55667788);
    CHECK_EQ(GUEST_FINISH(g), 0x11223344);
}

CASE(kick, between_parts, "a kick between two parts of an access loses neither")
{
    start(g, &pair_once, guest_hole, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0x1111);
    visor_vcpu_kick(g->vcpu);
    /* The next part may come first: the kick waits for the run that enters the guest. */
    if (RUN(g) == VISOR_EXIT_KICKED) {
        RUN_TO_MMIO_READ(g, guest_hole + 8, 8, 0x2222);
    } else {
        visor_io_set_value(&visor_vcpu_exit(g->vcpu)->io, 0x2222);
        RUN_TO(g, KICKED);
    }
    CHECK_EQ(GUEST_FINISH(g), 0x1111);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 0x2222);
}

CASE(snapshot, unanswered_part, "an access with parts still to be answered cannot be saved yet")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_exit *exit;

    start(g, &pair_once, guest_hole, 0, 0);
    NEED(g, SNAPSHOT);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 1);
    CHECK_ERROR(visor_vm_save(g->vm, &stream, NULL), ESTATE);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_EQ(exit->reason, VISOR_EXIT_MMIO);
    CHECK_EQ(exit->io.address, guest_hole + 8);
    visor_io_set_value(&exit->io, 2);
    buffer_free(&buffer);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(arm_regs(g->vcpu).x[4], 2);
    buffer_free(&buffer);
}
