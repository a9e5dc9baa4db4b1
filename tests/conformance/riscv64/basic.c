/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: a guest runs at all: registers, modes, traps of its own, what the hart has. */
#include "riscv.h"

VISOR_GUEST_ASM(add_two, "add t0, a0, a1;" RISCV_DONE RISCV_AGAIN);

CASE(basic, minimal, "adds two registers and says so")
{
    guest_start(g, &add_two, 0x1111111122222222u, 0x10, 0, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0x1111111122222232u);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(riscv_regs(g->vcpu).x[RISCV_T0], 0x1111111122222232u);
    CHECK_EQ(riscv_regs(g->vcpu).pc, guest_code + 3 * 4);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CORE, 0), guest_code + 3 * 4);
}

VISOR_GUEST_ASM(arithmetic, "mul t0, a0, a1; sub t0, t0, a2; srli t2, t0, 8; slli t0, t0, 56;"
                            "or t0, t0, t2; xor t0, t0, a0; divu t3, t0, a1; remu t4, t0, a1;"
                            "mul t0, t3, a1; add t0, t0, t4;" RISCV_DONE RISCV_AGAIN);

CASE(basic, arithmetic, "multiplication, division, shifts")
{
    const uint64_t a = 0x123456789abcdef1u, b = 0x1234567, c = 0x7fff;
    uint64_t value = a * b - c;

    guest_start(g, &arithmetic, a, b, c, NULL);
    CHECK_EQ(GUEST_FINISH(g), (value >> 8 | value << 56) ^ a);
}

/* All but x31, which says where to. */
VISOR_GUEST_ASM(
    not_all, "not x1, x1; not x2, x2; not x3, x3; not x4, x4; not x5, x5; not x6, x6; not x7, x7;"
             "not x8, x8; not x9, x9; not x10, x10; not x11, x11; not x12, x12; not x13, x13;"
             "not x14, x14; not x15, x15; not x16, x16; not x17, x17; not x18, x18; not x19, x19;"
             "not x20, x20; not x21, x21; not x22, x22; not x23, x23; not x24, x24; not x25, x25;"
             "not x26, x26; not x27, x27; not x28, x28; not x29, x29; not x30, x30;"
             "sd zero, 0(x31);" RISCV_AGAIN);

CASE(basic, all_registers, "x1 to x31, each with its own value; x0 stays zero")
{
    visor_riscv_regs regs;

    guest_start(g, &not_all, 0, 0, 0, NULL);
    regs = riscv_regs(g->vcpu);
    for (unsigned i = 0; i < 31; i++)
        regs.x[i] = 0x0123456789abcd00u * (i + 1) + i;
    regs.x[31] = guest_done;
    CHECK_OK(visor_riscv_set_regs(g->vcpu, &regs));
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    regs = riscv_regs(g->vcpu);
    CHECK_EQ(regs.x[0], 0);
    for (unsigned i = 1; i < 31; i++)
        CHECK_EQ(regs.x[i], ~(0x0123456789abcd00u * (i + 1) + i));
    CHECK_EQ(regs.x[31], guest_done);
    CHECK_EQ(regs.mode, VISOR_RISCV_SUPERVISOR);
    for (uint32_t i = 1; i < 32; i++)
        CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CORE, i), regs.x[i]);
}

/* Reading sstatus is for supervisors. */
VISOR_GUEST_ASM(read_sstatus, "li t0, 0; csrr t0, sstatus;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(tell_cause, "csrr t0, scause;" RISCV_DONE RISCV_AGAIN);

CASE(basic, modes, "user mode has no supervisor's registers, and a trap leads out of it")
{
    visor_riscv_regs regs;

    guest_start(g, &read_sstatus, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_cause);
    regs = riscv_regs(g->vcpu);
    regs.mode = VISOR_RISCV_USER;
    CHECK_OK(visor_riscv_set_regs(g->vcpu, &regs));
    CHECK_EQ(riscv_regs(g->vcpu).mode, VISOR_RISCV_USER);
    CHECK(GUEST_FINISH(g) != 0); /* 2, illegal instruction, or 22, virtual instruction */
    CHECK_EQ(riscv_regs(g->vcpu).mode, VISOR_RISCV_SUPERVISOR);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SEPC), guest_code + 4);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SSTATUS) & 0x100, 0); /* SPP */
}

VISOR_GUEST_ASM(illegal, "nop; .4byte 0;" RISCV_AGAIN);

CASE(basic, own_exceptions, "an illegal instruction is the guest's own affair")
{
    guest_start(g, &illegal, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_cause);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SEPC), guest_code + 4);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SCAUSE), 2);
}

VISOR_GUEST_ASM(exchange_scratch, "csrrw t0, sscratch, a0;" RISCV_DONE RISCV_AGAIN);

CASE(basic, csrs, "control registers go both ways, and are listed")
{
    visor_reg regs[64];
    int count;

    guest_start(g, &exchange_scratch, 0x1234, 0, 0, NULL);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SSCRATCH, 0xfedcba9876543210u);
    CHECK_EQ(GUEST_FINISH(g), 0xfedcba9876543210u);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SSCRATCH), 0x1234);
    count = CHECK_OK(visor_riscv_get_group(regs, 64, g->vcpu, VISOR_RISCV_CSR));
    CHECK(count >= 10 && count <= 64);
    for (int i = 0; i < count; i++) {
        if (regs[i].id == VISOR_RISCV_REG(VISOR_RISCV_CSR, RISCV_SSCRATCH))
            CHECK_EQ(regs[i].value, 0x1234);
    }
    CHECK_OK(visor_riscv_set_group(g->vcpu, VISOR_RISCV_CSR, regs, (size_t)count));
}

CASE(basic, no_such_register, "registers that there are not, and those that cannot be set")
{
    uint64_t value;

    guest_start(g, &add_two, 0, 0, 0, NULL);
    CHECK_ERROR(visor_riscv_get_reg(&value, g->vcpu, VISOR_RISCV_REG(9, 0)), EINVAL);
    CHECK_ERROR(visor_riscv_get_reg(&value, g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_CORE, 33)),
                EINVAL);
    CHECK_ERROR(visor_riscv_get_reg(&value, g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_CSR, 0x300)),
                ENOENT); /* mstatus */
    CHECK_ERROR(visor_riscv_get_reg(&value, g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_ISA, 999)),
                ENOENT);
    CHECK_ERROR(visor_riscv_set_reg(g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_TIMER, 0), 12345),
                EREFUSED);
}

CASE(basic, what_the_hart_has, "extensions are listed with names, and agree with the letters")
{
    visor_reg regs[256];
    uint64_t letters;
    int count;

    guest_start(g, &add_two, 1, 2, 0, NULL);
    letters = riscv_reg(g->vcpu, VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_ISA);
    CHECK((letters >> ('i' - 'a') & 1) != 0);
    CHECK((letters >> ('h' - 'a') & 1) == 0); /* no virtualization inside */
    count = CHECK_OK(visor_riscv_get_group(regs, 256, g->vcpu, VISOR_RISCV_ISA));
    CHECK(count > 0 && count <= 256);
    for (int i = 0; i < count; i++) {
        const char *name = visor_riscv_isa_name((uint32_t)regs[i].id & 0xffffff);

        CHECK_EQ(regs[i].id >> 24, VISOR_RISCV_ISA);
        if (name == NULL)
            continue;
        if (regs[i].value != 0)
            note("%s", name);
        if (name[1] == '\0')
            CHECK_EQ(regs[i].value, letters >> (name[0] - 'a') & 1);
    }
    CHECK_EQ(GUEST_FINISH(g), 3);
    /* What is so already can be set again, also when it has run. */
    CHECK_OK(visor_riscv_set_group(g->vcpu, VISOR_RISCV_ISA, regs, (size_t)count));
    count = CHECK_OK(visor_riscv_get_group(regs, 256, g->vcpu, VISOR_RISCV_CONFIG));
    CHECK(count > 0);
    CHECK_OK(visor_riscv_set_group(g->vcpu, VISOR_RISCV_CONFIG, regs, (size_t)count));
}

VISOR_GUEST_ASM(use_float, "li t0, 0x6000; csrs sstatus, t0; fmv.d.x f0, a0; fmv.x.d t0, f0;"
                           "li t0, 99;" RISCV_DONE RISCV_AGAIN);

CASE(basic, extension_off, "a guest does not get an extension that was switched off before it ran")
{
    visor_riscv_fp fp;

    guest_start(g, &use_float, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_cause);
    riscv_set_reg(g->vcpu, VISOR_RISCV_ISA, RISCV_ISA_D, 0);
    riscv_set_reg(g->vcpu, VISOR_RISCV_ISA, RISCV_ISA_F, 0);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_ISA) >> ('f' - 'a') & 1, 0);
    CHECK_ERROR(visor_riscv_get_fp(&fp, g->vcpu), EUNSUPPORTED);
    CHECK_EQ(GUEST_FINISH(g), 2); /* illegal instruction */
    CHECK_ERROR(visor_riscv_set_reg(g->vcpu, VISOR_RISCV_REG(VISOR_RISCV_ISA, RISCV_ISA_F), 1),
                EREFUSED); /* too late */
}

VISOR_GUEST_ASM(read_time, "rdtime t0;" RISCV_DONE "rdtime t0;" RISCV_DONE RISCV_AGAIN);

CASE(basic, time, "time is as the VMM sets it, and goes on")
{
    visor_riscv_timer timer;
    uint64_t first;

    guest_start(g, &read_time, 0, 0, 0, NULL);
    CHECK_OK(visor_riscv_get_timer(&timer, g->vcpu));
    CHECK(timer.frequency >= 1000);
    CHECK_EQ(timer.armed, 0);
    timer.time = 0x1000000000000u;
    CHECK_OK(visor_riscv_set_timer(g->vcpu, &timer));
    first = GUEST_FINISH(g);
    CHECK(first >= 0x1000000000000u);
    CHECK(first < 0x1000000000000u + 60 * timer.frequency);
    CHECK(GUEST_FINISH(g) > first);
}

CASE(basic, reset, "a vCPU that was reset starts anew: no translation, no traps of its own")
{
    visor_riscv_regs regs;
    visor_mp_state state;

    guest_start(g, &add_two, 1, 2, 0, NULL);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_STVEC, RISCV_HANDLER);
    CHECK_EQ(GUEST_FINISH(g), 3);
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    regs = riscv_regs(g->vcpu);
    CHECK_EQ(regs.pc, 0);
    CHECK_EQ(regs.x[RISCV_A1], 0);
    CHECK_EQ(regs.mode, VISOR_RISCV_SUPERVISOR);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_STVEC), 0);
    CHECK_OK(visor_vcpu_get_mp_state(&state, g->vcpu));
    CHECK_EQ(state, VISOR_MP_RUNNABLE);
    guest_restart(g, g->vcpu, &add_two, 4, 5, 0);
    CHECK_EQ(GUEST_FINISH(g), 9);
}
