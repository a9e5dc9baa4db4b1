/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: a guest runs at all: registers, flags, exceptions of its own. */
#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

VISOR_GUEST_ASM(add_two, "add x3, x0, x1;" DONE AGAIN);

CASE(basic, minimal, "adds two registers and says so")
{
    arm_start(g, &(struct arm_setup){.code = &add_two, .x = {0x1111111122222222u, 0x10}}, NULL,
              NULL);
    CHECK_EQ(GUEST_FINISH(g), 0x1111111122222232u);
}

CASE(basic, read_back, "what a program has left in registers can be read")
{
    arm_start(g, &(struct arm_setup){.code = &add_two, .x = {0x1111111122222222u, 0x10}}, NULL,
              NULL);
    GUEST_FINISH(g);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(arm_regs(g->vcpu).x[3], 0x1111111122222232u);
    CHECK_EQ(arm_regs(g->vcpu).pc, guest_code + 3 * 4);
}

VISOR_GUEST_ASM(arithmetic, "mul x3, x0, x1; sub x3, x3, x2; ror x3, x3, #8; eor x3, x3, x0;"
                            "udiv x4, x3, x1; msub x5, x4, x1, x3; madd x3, x4, x1, x5;"
                            "clz x6, x2; add x3, x3, x6;" DONE AGAIN);

CASE(basic, arithmetic, "multiplication, division, rotation, and counting zeros")
{
    const uint64_t a = 0x123456789abcdef1u, b = 0x1234567, c = 0x7fff;
    uint64_t value = a * b - c;

    value = (value >> 8 | value << 56) ^ a;
    arm_start(g, &(struct arm_setup){.code = &arithmetic, .x = {a, b, c}}, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), value + 49);
}

VISOR_GUEST_ASM(not_all, "mvn x0, x0; mvn x1, x1; mvn x2, x2; mvn x3, x3; mvn x4, x4; mvn x5, x5;"
                         "mvn x6, x6; mvn x7, x7; mvn x8, x8; mvn x9, x9; mvn x10, x10;"
                         "mvn x11, x11; mvn x12, x12; mvn x13, x13; mvn x14, x14; mvn x15, x15;"
                         "mvn x16, x16; mvn x17, x17; mvn x18, x18; mvn x19, x19; mvn x20, x20;"
                         "mvn x21, x21; mvn x22, x22; mvn x23, x23; mvn x24, x24; mvn x25, x25;"
                         "mvn x26, x26; mvn x27, x27; mvn x28, x28; mvn x29, x29;"
                         "str xzr, [x30];" AGAIN);

CASE(basic, all_registers, "X0 to X30, each with its own value, and none of them moves SP")
{
    visor_aarch64_regs regs;

    arm_start(g, &(struct arm_setup){.code = &not_all}, NULL, NULL);
    regs = arm_regs(g->vcpu);
    for (unsigned i = 0; i < 30; i++)
        regs.x[i] = 0x0123456789abcd00u * (i + 1) + i;
    regs.x[30] = guest_done;
    regs.sp = 0x5555666677778880u;
    CHECK_OK(visor_aarch64_set_regs(g->vcpu, &regs));
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    regs = arm_regs(g->vcpu);
    for (unsigned i = 0; i < 30; i++)
        CHECK_EQ(regs.x[i], ~(0x0123456789abcd00u * (i + 1) + i));
    CHECK_EQ(regs.x[30], guest_done);
    CHECK_EQ(regs.sp, 0x5555666677778880u);
    CHECK_EQ(regs.pc, guest_code + 31 * 4);
}

VISOR_GUEST_ASM(test_flags,
                "cset x3, eq; cset x4, cs; bfi x3, x4, #1, #1; adds x5, x0, x1;" DONE AGAIN);

/* x30: where to. */
VISOR_GUEST_ASM(store_registers,
                "stp x0, x1, [x30]; stp x2, x3, [x30, #16]; stp x4, x5, [x30, #32];"
                "stp x6, x7, [x30, #48]; stp x8, x9, [x30, #64];"
                "stp x10, x11, [x30, #80]; stp x12, x13, [x30, #96];"
                "stp x14, x15, [x30, #112]; stp x16, x17, [x30, #128];"
                "stp x18, x19, [x30, #144]; stp x20, x21, [x30, #160];"
                "stp x22, x23, [x30, #176]; stp x24, x25, [x30, #192];"
                "stp x26, x27, [x30, #208]; stp x28, x29, [x30, #224];"
                "mrs x3, sp_el0; str x3, [x30, #240]; mov x3, #0;" DONE AGAIN);

CASE(basic, registers_set, "X0 to X30 and SP, each with a value of its own, as the guest sees them")
{
    visor_aarch64_regs regs = {
        .sp = 0x5555666677778880u, .pc = guest_code, .pstate = ARM_PSTATE_EL1H | ARM_PSTATE_DAIF};

    for (unsigned i = 0; i < 30; i++)
        regs.x[i] = 0x0123456789abcd00u * (i + 1) + i;
    regs.x[30] = guest_data;
    arm_start(g, &(struct arm_setup){.code = &store_registers}, NULL, NULL);
    CHECK_OK(visor_aarch64_set_regs(g->vcpu, &regs));
    CHECK_EQ(GUEST_FINISH(g), 0);
    for (unsigned i = 0; i < 30; i++)
        CHECK_EQ(peek(g, guest_data + 8 * i, 8), regs.x[i]);
    CHECK_EQ(peek(g, guest_data + 240, 8), regs.sp);
}

CASE(basic, flags, "condition flags, as the guest sees them")
{
    arm_start(g,
              &(struct arm_setup){.code = &test_flags,
                                  .x = {INT64_MAX, 1},
                                  .pstate = 0x60000000u | ARM_PSTATE_EL1H | ARM_PSTATE_DAIF},
              NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 3); /* Z and C were set */
}

CASE(basic, flags_read_back, "condition flags go both ways")
{
    arm_start(g,
              &(struct arm_setup){.code = &test_flags,
                                  .x = {INT64_MAX, 1},
                                  .pstate = 0x60000000u | ARM_PSTATE_EL1H | ARM_PSTATE_DAIF},
              NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 3); /* Z and C were set */
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    /* Negative and overflow now. */
    CHECK_EQ(arm_regs(g->vcpu).pstate, 0x90000000u | ARM_PSTATE_EL1H | ARM_PSTATE_DAIF);
}

VISOR_GUEST_ASM(use_stacks, "mov x3, sp; msr spsel, #0; mov x4, sp; str x3, [x0]; str x4, [x0, #8];"
                            "add sp, sp, #16; msr spsel, #1; sub sp, sp, #16;"
                            "mov x3, #0;" DONE AGAIN);

CASE(basic, stack_pointers, "SP_EL0 and SP_EL1 are two registers")
{
    visor_aarch64_regs regs;

    arm_start(g, &(struct arm_setup){.code = &use_stacks, .x = {guest_data}}, NULL, NULL);
    regs = arm_regs(g->vcpu);
    regs.sp = 0x1000;
    CHECK_OK(visor_aarch64_set_regs(g->vcpu, &regs));
    arm_set_reg(g->vcpu, ARM_SP_EL1, 0x2000);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(peek(g, guest_data, 8), 0x2000);
    CHECK_EQ(peek(g, guest_data + 8, 8), 0x1000);
    CHECK_EQ(arm_regs(g->vcpu).sp, 0x1010);
    CHECK_EQ(arm_reg(g->vcpu, ARM_SP_EL1), 0x1ff0);
    CHECK_EQ(arm_reg(g->vcpu, VISOR_AARCH64_SP), 0x1010);
}

VISOR_GUEST_ASM(undefined, "nop; udf #0;" AGAIN);
VISOR_GUEST_ASM(tell_syndrome, "mrs x3, esr_el1;" DONE AGAIN);

VISOR_GUEST_ASM(tell_link, "mrs x3, elr_el1;" DONE AGAIN);

CASE(basic, own_exceptions, "an undefined instruction is the guest's own affair")
{
    arm_start(g, &(struct arm_setup){.code = &undefined}, NULL, NULL);
    arm_set_vector(g, g->vcpu, 0x200, &tell_syndrome);
    CHECK_EQ(GUEST_FINISH(g) >> 26, 0); /* unknown reason */
}

CASE(basic, exception_link, "an exception leads back to the instruction that it came from")
{
    arm_start(g, &(struct arm_setup){.code = &undefined}, NULL, NULL);
    arm_set_vector(g, g->vcpu, 0x200, &tell_link);
    CHECK_EQ(GUEST_FINISH(g), guest_code + 4);
}

VISOR_GUEST_ASM(read_counter, "isb; mrs x3, cntvct_el0; isb; mrs x4, cntvct_el0; sub x4, x4, x3;"
                              "mrs x5, cntfrq_el0; str x4, [x0]; str x5, [x0, #8];" DONE AGAIN);

CASE(basic, counter, "the virtual counter counts, and its frequency is told")
{
    arm_start(g, &(struct arm_setup){.code = &read_counter, .x = {guest_data}}, NULL, NULL);
    CHECK(GUEST_FINISH(g) != 0);
    CHECK((int64_t)peek(g, guest_data, 8) >= 0);
    CHECK(peek(g, guest_data + 8, 8) >= 1000000u);
}

VISOR_GUEST_ASM(read_mpidr, "mrs x3, mpidr_el1;" DONE AGAIN);

CASE(basic, affinity, "each vCPU has its own MPIDR, which the VMM reads too")
{
    uint64_t seen[2];
    visor_vcpu *second;

    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    second = guest_add_vcpu(g, 1);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &read_mpidr});
    arm_restart(g, second, &(struct arm_setup){.code = &read_mpidr});
    seen[0] = GUEST_FINISH(g);
    seen[1] = guest_finish_at(HERE, second);
    CHECK(seen[0] != seen[1]);
    CHECK_EQ(seen[0], arm_reg(g->vcpu, ARM_MPIDR_EL1));
    CHECK_EQ(seen[1], arm_reg(second, ARM_MPIDR_EL1));
    CHECK_EQ(seen[0] & 1u << 31, 1u << 31);
    visor_vcpu_free(second);
}
