/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: the generic timer, private interrupts, and waiting for them. */
#include "gic.h"

/* Handler of a timer: switches it off, so that its line falls. */
VISOR_GUEST_ASM(on_virtual_timer, GIC_ACKNOWLEDGE "msr cntv_ctl_el0, xzr; isb;" GIC_END);
/* Sets the virtual timer to 1/64 of a second from now and waits. */
VISOR_GUEST_ASM(arm_and_wait, "mrs x3, cntfrq_el0; lsr x3, x3, #6; msr cntv_tval_el0, x3;"
                              "mov x3, #1; msr cntv_ctl_el0, x3; isb; 1: wfi; b 1b");

CASE(timer, virtual_timer, "the virtual timer's interrupt wakes the guest from WFI, in time")
{
    uint64_t before;

    gic_start(g, NULL, &arm_and_wait, &on_virtual_timer);
    before = now_ns();
    CHECK_EQ(GUEST_FINISH(g), GIC_VIRTUAL_TIMER);
    note("after %u us", (unsigned)((now_ns() - before) / 1000));
    CHECK(now_ns() - before >= 15000000u);
    GUEST_QUIET(g);
}

VISOR_GUEST_ASM(arm_and_spin, "mrs x3, cntfrq_el0; lsr x3, x3, #6; msr cntv_tval_el0, x3;"
                              "mov x3, #1; msr cntv_ctl_el0, x3; isb; 1: b 1b");

CASE(timer, while_spinning, "the timer interrupts a guest that computes")
{
    gic_start(g, NULL, &arm_and_spin, &on_virtual_timer);
    CHECK_EQ(GUEST_FINISH(g), GIC_VIRTUAL_TIMER);
}

VISOR_GUEST_ASM(on_physical_timer, GIC_ACKNOWLEDGE "msr cntp_ctl_el0, xzr; isb;" GIC_END);
VISOR_GUEST_ASM(arm_physical, "mrs x3, cntfrq_el0; lsr x3, x3, #6; msr cntp_tval_el0, x3;"
                              "mov x3, #1; msr cntp_ctl_el0, x3; isb; 1: wfi; b 1b");

CASE(timer, physical_timer, "the physical timer has an interrupt of its own")
{
    gic_start(g, NULL, &arm_physical, &on_physical_timer);
    CHECK_EQ(GUEST_FINISH(g), 30);
    GUEST_QUIET(g);
}

CASE(timer, set_by_vmm, "a timer that the VMM arms; compare value and counter are not mixed up")
{
    uint64_t now;

    gic_start(g, NULL, NULL, &on_virtual_timer);
    GUEST_QUIET(g);
    now = arm_reg(g->vcpu, ARM_CNTVCT_EL0);
    arm_set_reg(g->vcpu, ARM_CNTV_CVAL_EL0, now + 1000);
    CHECK_EQ(arm_reg(g->vcpu, ARM_CNTV_CVAL_EL0), now + 1000);
    CHECK(arm_reg(g->vcpu, ARM_CNTVCT_EL0) >= now);
    arm_set_reg(g->vcpu, ARM_CNTV_CTL_EL0, 1);
    CHECK_EQ(GUEST_FINISH(g), GIC_VIRTUAL_TIMER);
    CHECK_EQ(arm_reg(g->vcpu, ARM_CNTV_CTL_EL0) & 1, 1); /* the handler has not gone on */
    GUEST_QUIET(g);
    CHECK_EQ(arm_reg(g->vcpu, ARM_CNTV_CTL_EL0) & 1, 0);
}

VISOR_GUEST_ASM(read_counter,
                "1: isb; mrs x3, cntvct_el0; movz x9, #0xbf00, lsl #16; str x3, [x9]; b 1b");

CASE(timer, counter_set, "the virtual counter can be set, and goes on from there")
{
    uint64_t counter;

    arm_start(g, &(struct arm_setup){.code = &read_counter}, NULL, NULL);
    arm_set_reg(g->vcpu, ARM_CNTVCT_EL0, 0x1000000000000u);
    counter = GUEST_FINISH(g);
    CHECK(counter >= 0x1000000000000u);
    CHECK(counter < 0x1000000000000u + 10000000000u);
    CHECK(GUEST_FINISH(g) > counter);
}

CASE(timer, counter_offset, "ticks taken off the guest's counters, for the whole VM")
{
    const uint64_t ticks = 1ull << 40;
    uint64_t before, after;
    visor_vcpu *second;

    arm_start(g, &(struct arm_setup){.code = &read_counter}, NULL, NULL);
    if (visor_vm_cap(g->vm, VISOR_CAP_AARCH64_COUNTER_OFFSET) <= 0) {
        CHECK_ERROR(visor_aarch64_set_counter_offset(g->vm, 0), EUNSUPPORTED);
        NEED(g, AARCH64_COUNTER_OFFSET);
    }
    second = guest_add_vcpu(g, 1);
    arm_restart(g, second, &(struct arm_setup){.code = &read_counter});
    CHECK_OK(visor_aarch64_set_counter_offset(g->vm, 0));
    before = GUEST_FINISH(g);
    CHECK_OK(visor_aarch64_set_counter_offset(g->vm, ticks));
    after = GUEST_FINISH(g);
    CHECK(before - after <= ticks);
    CHECK(before - after > ticks - 10000000000u);
    after = guest_finish_at(HERE, second);
    CHECK(before - after > ticks - 10000000000u);
    visor_vcpu_free(second);
}

CASE(timer, private_line, "a private interrupt's line, level: until it falls")
{
    gic_start(g, NULL, NULL, NULL);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, true));
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(GUEST_FINISH(g), GIC_PRIVATE_INTID);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, false));
    GUEST_QUIET(g);
    CHECK_ERROR(visor_aarch64_set_private_irq(g->vm, 0, 15, true), EINVAL);
    CHECK_ERROR(visor_aarch64_set_private_irq(g->vm, 0, 32, true), EINVAL);
    CHECK_ERROR(visor_aarch64_set_private_irq(g->vm, 9, GIC_PRIVATE_INTID, true), ENOENT);
}

/* ---- without a chip inside ---- */

VISOR_GUEST_ASM(unmask_and_wait, "msr daifclr, #3; 1: wfi; b 1b");
VISOR_GUEST_ASM(tell_irq, "mov x3, #1; movz x9, #0xbf00, lsl #16; str x3, [x9]; eret");
VISOR_GUEST_ASM(tell_fiq, "mov x3, #2; movz x9, #0xbf00, lsl #16; str x3, [x9]; eret");

CASE(timer, irq_input, "without a chip inside: the IRQ and FIQ inputs of a vCPU")
{
    arm_start(g, &(struct arm_setup){.code = &unmask_and_wait}, NULL, NULL);
    arm_set_vector(g, g->vcpu, 0x280, &tell_irq);
    arm_set_vector(g, g->vcpu, 0x300, &tell_fiq);
    GUEST_QUIET(g);
    CHECK_OK(visor_aarch64_set_irq_input(g->vm, 0, false, true));
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_OK(visor_aarch64_set_irq_input(g->vm, 0, false, false));
    GUEST_QUIET(g);
    CHECK_OK(visor_aarch64_set_irq_input(g->vm, 0, true, true));
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_OK(visor_aarch64_set_irq_input(g->vm, 0, true, false));
    GUEST_QUIET(g);
}

VISOR_GUEST_ASM(timer_outside, "mov x3, #1; msr cntv_cval_el0, xzr; msr cntv_ctl_el0, x3; isb;"
                               "1: ldrb w4, [x0]; b 1b");

CASE(timer, output, "without a chip inside the timer's output is told to the VMM")
{
    uint32_t outputs;

    arm_start(g, &(struct arm_setup){.code = &timer_outside, .x = {guest_hole}}, NULL, NULL);
    CHECK_OK(visor_aarch64_outputs(&outputs, g->vcpu));
    CHECK_EQ(outputs & VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER, 0);
    for (unsigned i = 0; i < 5; i++)
        RUN_TO_MMIO_READ(g, guest_hole, 1, 0);
    CHECK_OK(visor_aarch64_outputs(&outputs, g->vcpu));
    CHECK_EQ(outputs & VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER, VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER);
}
