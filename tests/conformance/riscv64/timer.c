/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: the timer, waiting, and interrupts without a chip inside. */
#include "riscv.h"

/* Cause of a timer's interrupt, an external one (Privileged Architecture, 4.1.8). */
#define CAUSE_TIMER    ((uint64_t)1 << 63 | 5)
#define CAUSE_EXTERNAL ((uint64_t)1 << 63 | 9)

/* Tells the cause; with a0 = 0 only masks the interrupt that it came for, so that it is one. */
VISOR_GUEST_ASM(tell_once, "csrr t0, scause; lui t1, 0x7f000; sd t0, 0(t1); csrw sie, zero; sret");
VISOR_GUEST_ASM(tell, "csrr t0, scause; lui t1, 0x7f000; sd t0, 0(t1); sret");

/* set_timer(now + a2) by SBI; all interrupts on; waits. */
VISOR_GUEST_ASM(set_and_wait, "rdtime a0; add a0, a0, a2; li a7, 0x54494d45; li a6, 0; ecall;"
                              "li t0, 0x20; csrw sie, t0; csrsi sstatus, 2; 1: wfi; j 1b");
VISOR_GUEST_ASM(set_and_spin, "rdtime a0; add a0, a0, a2; li a7, 0x54494d45; li a6, 0; ecall;"
                              "li t0, 0x20; csrw sie, t0; csrsi sstatus, 2; 1: j 1b");
/* The same by the register of Sstc. */
VISOR_GUEST_ASM(compare_and_wait, "rdtime t0; add t0, t0, a2; csrw 0x14d, t0;"
                                  "li t0, 0x20; csrw sie, t0; csrsi sstatus, 2; 1: wfi; j 1b");
VISOR_GUEST_ASM(wait_for_timer,
                "li t0, 0x20; csrw sie, t0; csrsi sstatus, 2; lui t1, 0x7f000; sd zero, 0(t1);"
                "1: wfi; j 1b");

static uint64_t frequency_of(struct guest *g)
{
    visor_riscv_timer timer;

    CHECK_OK(visor_riscv_get_timer(&timer, g->vcpu));
    return timer.frequency;
}

/* A program that is interrupted by the timer 1/64 of a second after its start. */
static void check_timer(struct guest *g, const struct code *program)
{
    uint64_t before;

    guest_start(g, program, 0, 0, 0, NULL);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CORE, RISCV_A2, frequency_of(g) / 64);
    riscv_set_handler(g, &tell_once);
    before = now_ns();
    CHECK_EQ(GUEST_FINISH(g), CAUSE_TIMER);
    note("after %u us", (unsigned)((now_ns() - before) / 1000));
    CHECK(now_ns() - before >= 15000000u);
    GUEST_QUIET(g);
}

CASE(timer, by_call, "a timer that was set by SBI wakes the guest from WFI, in time")
{
    check_timer(g, &set_and_wait);
}

CASE(timer, while_spinning, "the timer interrupts a guest that computes")
{
    check_timer(g, &set_and_spin);
}

CASE(timer, by_register, "a guest with Sstc sets the time to compare with by itself")
{
    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    if (!riscv_has_isa(g->vcpu, RISCV_ISA_SSTC))
        SKIP("this hart has no Sstc");
    guest_restart(g, g->vcpu, &compare_and_wait, 0, 0, frequency_of(g) / 64);
    riscv_set_handler(g, &tell_once);
    CHECK_EQ(GUEST_FINISH(g), CAUSE_TIMER);
    GUEST_QUIET(g);
}

CASE(timer, set_by_vmm, "a timer that the VMM arms, and switches off")
{
    visor_riscv_timer timer;

    guest_start(g, &wait_for_timer, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_once);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_OK(visor_riscv_get_timer(&timer, g->vcpu));
    CHECK_EQ(timer.armed, 0);
    timer.compare = timer.time + timer.frequency / 64;
    timer.armed = 1;
    CHECK_OK(visor_riscv_set_timer(g->vcpu, &timer));
    CHECK_OK(visor_riscv_get_timer(&timer, g->vcpu));
    CHECK_EQ(timer.armed, 1);
    timer.armed = 0;
    CHECK_OK(visor_riscv_set_timer(g->vcpu, &timer));
    GUEST_QUIET(g);
    CHECK_OK(visor_riscv_get_timer(&timer, g->vcpu));
    timer.compare = timer.time + timer.frequency / 64;
    timer.armed = 1;
    CHECK_OK(visor_riscv_set_timer(g->vcpu, &timer));
    CHECK_EQ(GUEST_FINISH(g), CAUSE_TIMER);
}

VISOR_GUEST_ASM(wait_for_external,
                "li t0, 0x200; csrw sie, t0; csrsi sstatus, 2; lui t1, 0x7f000; sd zero, 0(t1);"
                "1: wfi; j 1b");

CASE(timer, irq_input, "without a chip inside: the level of a vCPU's external interrupt")
{
    guest_start(g, &wait_for_external, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell);
    CHECK_EQ(GUEST_FINISH(g), 0);
    GUEST_QUIET(g);
    CHECK_OK(visor_riscv_set_irq_input(g->vm, 0, true));
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(GUEST_FINISH(g), CAUSE_EXTERNAL);
    CHECK_OK(visor_riscv_set_irq_input(g->vm, 0, false));
    GUEST_QUIET(g);
    CHECK_ERROR(visor_riscv_set_irq_input(g->vm, 9, true), ENOENT);
}
