/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: debugging a guest from outside. */
#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

VISOR_GUEST_ASM(steps, "mov x3, #1; add x3, x3, #2; strb w3, [x0]; ldrb w4, [x0]; b 1f; nop;"
                       "1: add x3, x3, #4;" DONE AGAIN);
#define AT(n)    (guest_code + 4 * (n))
#define STORE_AT AT(2)
#define LOAD_AT  AT(3)
#define RESULT   7

static int set_debug(struct guest *g, bool single_step, const visor_breakpoint *breakpoints,
                     size_t count)
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.single_step = single_step;
    config.breakpoints = breakpoints;
    config.breakpoint_count = count;
    return visor_vcpu_set_debug(g->vcpu, &config);
}

static void start(struct guest *g)
{
    arm_start(g, &(struct arm_setup){.code = &steps, .x = {guest_data}}, NULL, NULL);
    NEED(g, DEBUG);
}

CASE(debug, single_step, "an exit after every instruction, and none when switched off")
{
    const unsigned order[] = {1, 2, 3, 4, 6, 7, 8};

    start(g);
    CHECK_OK(set_debug(g, true, NULL, 0));
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const visor_exit *exit = RUN_TO(g, DEBUG);

        CHECK(exit->debug.single_step);
        CHECK_EQ(exit->debug.pc, AT(order[i]));
        CHECK_EQ(arm_regs(g->vcpu).pc, AT(order[i]));
        CHECK_EQ(arm_regs(g->vcpu).pstate, ARM_PSTATE_EL1H | ARM_PSTATE_DAIF);
    }
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, NULL));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
}

CASE(debug, step_over_exit, "stepping over an access that exits: the exit, then the step")
{
    unsigned stepped = 0;
    int reason;

    start(g);
    CHECK_OK(set_debug(g, true, NULL, 0));
    while ((reason = RUN(g)) == VISOR_EXIT_DEBUG)
        CHECK(++stepped < 20);
    CHECK_EQ(reason, VISOR_EXIT_MMIO);
    CHECK_EQ(RUN_TO(g, DEBUG)->debug.pc, AT(9));
    CHECK_OK(set_debug(g, false, NULL, 0));
}

CASE(debug, breakpoint, "a hardware breakpoint stops before its instruction; the next run goes on")
{
    const visor_breakpoint breakpoint = {.address = AT(1), .length = 4};
    const visor_exit *exit;

    start(g);
    NEED(g, HW_BREAKPOINTS);
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, AT(1));
    CHECK_EQ(exit->debug.hit_mask, 1);
    CHECK(!exit->debug.single_step);
    CHECK_EQ(arm_regs(g->vcpu).x[3], 1);
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
}

CASE(debug, all_breakpoints, "as many as there are, at a time; the exit tells which")
{
    visor_breakpoint breakpoints[16];
    uint32_t most;

    start(g);
    most = (uint32_t)NEED(g, HW_BREAKPOINTS);
    CHECK(most >= 2 && most <= 16);
    for (unsigned i = 0; i < most; i++)
        breakpoints[i] = (visor_breakpoint){.address = AT(100 + i), .length = 4};
    breakpoints[0].address = AT(6);
    breakpoints[most - 1].address = AT(1);
    CHECK_OK(set_debug(g, false, breakpoints, most));
    CHECK_EQ(RUN_TO(g, DEBUG)->debug.hit_mask, 1u << (most - 1));
    /* Go on past it: without this breakpoint, as debuggers do. */
    CHECK_OK(set_debug(g, false, breakpoints, most - 1));
    CHECK_EQ(RUN_TO(g, DEBUG)->debug.hit_mask, 1);
    CHECK_EQ(visor_vcpu_exit(g->vcpu)->debug.pc, AT(6));
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
}

CASE(debug, watchpoint, "watchpoints stop before the access: writes, and reads too if wanted")
{
    visor_breakpoint watch = {.address = guest_data, .length = 1, .kind = VISOR_BREAK_WRITE};
    const visor_exit *exit;

    start(g);
    NEED(g, HW_WATCHPOINTS);
    CHECK_OK(set_debug(g, false, &watch, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, STORE_AT);
    CHECK_EQ(exit->debug.address, guest_data);
    CHECK_EQ(exit->debug.hit_mask, 1);
    CHECK_EQ(peek(g, guest_data, 1), 0);
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
    watch.kind = VISOR_BREAK_ACCESS;
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &steps, .x = {guest_data}});
    arm_set_reg(g->vcpu, VISOR_AARCH64_PC, LOAD_AT);
    CHECK_OK(set_debug(g, false, &watch, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, LOAD_AT);
    CHECK_OK(set_debug(g, false, NULL, 0));
    GUEST_FINISH(g);
}

CASE(debug, watchpoint_lengths, "a watchpoint covers its bytes and no others")
{
    visor_breakpoint watch = {.address = guest_data + 8, .length = 8, .kind = VISOR_BREAK_WRITE};

    start(g);
    NEED(g, HW_WATCHPOINTS);
    CHECK_OK(set_debug(g, false, &watch, 1));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
    for (unsigned i = 0; i < 8; i += 7) {
        arm_restart(g, g->vcpu, &(struct arm_setup){.code = &steps, .x = {guest_data + 8 + i}});
        CHECK_EQ(RUN_TO(g, DEBUG)->debug.pc, STORE_AT);
    }
    watch.length = 2;
    CHECK_OK(set_debug(g, false, &watch, 1));
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &steps, .x = {guest_data + 10}});
    CHECK_EQ(GUEST_FINISH(g), RESULT);
}

CASE(debug, limits, "more than there are, and lengths that do not exist")
{
    visor_breakpoint breakpoints[40];
    int64_t most, watches;

    start(g);
    most = NEED(g, HW_BREAKPOINTS);
    watches = NEED(g, HW_WATCHPOINTS);
    CHECK(most <= 16 && watches <= 16);
    for (unsigned i = 0; i < 40; i++)
        breakpoints[i] = (visor_breakpoint){.address = AT(i), .length = 4};
    CHECK_OK(set_debug(g, false, breakpoints, (size_t)most));
    CHECK_ERROR(set_debug(g, false, breakpoints, (size_t)most + 1), ELIMIT);
    CHECK_ERROR(set_debug(g, false, breakpoints, 40), ELIMIT);
    for (unsigned i = 0; i < 40; i++)
        breakpoints[i] = (visor_breakpoint){
            .address = guest_data + 8 * i, .length = 8, .kind = VISOR_BREAK_WRITE};
    CHECK_OK(set_debug(g, false, breakpoints, (size_t)watches));
    CHECK_ERROR(set_debug(g, false, breakpoints, (size_t)watches + 1), ELIMIT);
    breakpoints[0].length = 3;
    CHECK_ERROR(set_debug(g, false, breakpoints, 1), EINVAL);
    CHECK_ERROR(set_debug(g, false, NULL, 1), EINVAL);
}

VISOR_GUEST_ASM(with_brk, "nop; brk #0x77; mov x3, #5;" DONE AGAIN);

CASE(debug, software_breakpoint, "the guest's breakpoint instruction stops it, before it executes")
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;
    const visor_exit *exit;

    arm_start(g, &(struct arm_setup){.code = &with_brk}, NULL, NULL);
    NEED(g, DEBUG);
    config.software_breakpoints = true;
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, &config));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, AT(1));
    CHECK_EQ(exit->debug.exception >> 26, 0x3c); /* ESR: BRK in AArch64 */
    CHECK_EQ(exit->debug.exception & 0xffff, 0x77);
    CHECK(!exit->debug.single_step);
    arm_set_reg(g->vcpu, VISOR_AARCH64_PC, AT(2));
    CHECK_EQ(GUEST_FINISH(g), 5);
}

VISOR_GUEST_ASM(tell_brk, "mrs x3, esr_el1; and x3, x3, #0xffff;" DONE AGAIN);

CASE(debug, guests_own_breakpoint, "a breakpoint instruction that nobody asked for is the guest's")
{
    arm_start(g, &(struct arm_setup){.code = &with_brk}, NULL, NULL);
    arm_set_vector(g, g->vcpu, 0x200, &tell_brk);
    CHECK_EQ(GUEST_FINISH(g), 0x77);
}

CASE(debug, guest_registers_untouched, "the guest's own debug registers are not used for it")
{
    const visor_breakpoint breakpoint = {.address = AT(1), .length = 4};
    const uint32_t dbgbvr0 = VISOR_AARCH64_SYSREG(2, 0, 0, 0, 4);

    start(g);
    NEED(g, HW_BREAKPOINTS);
    arm_set_reg(g->vcpu, dbgbvr0, 0x5550);
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    RUN_TO(g, DEBUG);
    CHECK_EQ(arm_reg(g->vcpu, dbgbvr0), 0x5550);
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_EQ(GUEST_FINISH(g), RESULT);
    CHECK_EQ(arm_reg(g->vcpu, dbgbvr0), 0x5550);
}
