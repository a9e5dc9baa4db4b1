/* SPDX-License-Identifier: BSD-3-Clause */
/* Debugging a guest from outside. */
#include "x86.h"

#include <string.h>

/* At 0x1000: one byte each but the store. */
VISOR_GUEST_ASM64(steps, "nop; nop; nop; nop; mov [rdi], al; nop; mov al, [rdi]; nop; hlt");
#define STORE_AT 4u
#define LOAD_AT  (STORE_AT + 3)
#define HALT_AT  (steps.length - 1)

static void start(struct guest *g)
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &steps,
                                     .regs = {.rdi = 0x2000, .rax = 0x77, .rsp = 0x900}});
    NEED(g, DEBUG);
}

static int set_debug(struct guest *g, bool single_step, const visor_breakpoint *breakpoints,
                     size_t count)
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.single_step = single_step;
    config.breakpoints = breakpoints;
    config.breakpoint_count = count;
    return visor_vcpu_set_debug(g->vcpu, &config);
}

CASE(debug, single_step, "one exit an instruction, with the right address, until switched off")
{
    const uint64_t expected[] = {1, 2, 3, 4, 6};
    const visor_exit *exit;

    start(g);
    CHECK_OK(set_debug(g, true, NULL, 0));
    for (unsigned i = 0; i < 5; i++) {
        exit = RUN_TO(g, DEBUG);
        CHECK(exit->debug.single_step);
        CHECK_EQ(exit->debug.pc, 0x1000 + expected[i]);
        CHECK_EQ(exit->debug.hit_mask, 0);
        CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + expected[i]);
        CHECK_EQ(x86_regs(g->vcpu).rflags & X86_FLAG_TF, 0);
    }
    CHECK_EQ(peek(g, 0x2000, 1), 0x77);
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, NULL));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + steps.length);
    CHECK_EQ(x86_regs(g->vcpu).rflags & X86_FLAG_TF, 0);
}

CASE(debug, empty_is_off, "an empty configuration switches debugging off as well")
{
    start(g);
    CHECK_OK(set_debug(g, true, NULL, 0));
    RUN_TO(g, DEBUG);
    CHECK_OK(set_debug(g, false, NULL, 0));
    RUN_TO(g, HLT);
}

VISOR_GUEST_ASM64(out_twice, "nop; out 0x10, al; nop; out 0x11, al; hlt");

CASE(debug, single_step_over_exit, "stepping over an instruction that exits")
{
    unsigned steps_seen = 0, outs = 0;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &out_twice});
    NEED(g, DEBUG);
    CHECK_OK(set_debug(g, true, NULL, 0));
    for (;;) {
        int reason = RUN(g);

        if (reason == VISOR_EXIT_DEBUG)
            steps_seen++;
        else if (reason == VISOR_EXIT_IO)
            outs++;
        else
            break;
        CHECK(steps_seen < 10);
    }
    CHECK_EQ(visor_vcpu_exit(g->vcpu)->reason, VISOR_EXIT_HLT);
    CHECK_EQ(outs, 2);
    CHECK(steps_seen >= 2 && steps_seen <= 4);
}

CASE(debug, breakpoint, "a hardware breakpoint stops before its instruction; the next run goes on")
{
    const visor_breakpoint breakpoint = {.address = 0x1002, .length = 1};
    const visor_exit *exit;

    start(g);
    NEED(g, HW_BREAKPOINTS);
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1002);
    CHECK_EQ(exit->debug.hit_mask, 1);
    CHECK(!exit->debug.single_step);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1002);
    CHECK_OK(set_debug(g, false, NULL, 0));
    RUN_TO(g, HLT);
}

CASE(debug, four_breakpoints, "all four at a time; the exit tells which")
{
    visor_breakpoint breakpoints[4];
    const visor_exit *exit;

    start(g);
    if (NEED(g, HW_BREAKPOINTS) < 4)
        SKIP("fewer than four hardware breakpoints");
    for (unsigned i = 0; i < 4; i++)
        breakpoints[i] = (visor_breakpoint){.address = 0x1003 - i, .length = 1};
    CHECK_OK(set_debug(g, false, breakpoints, 4));
    for (unsigned i = 4; i-- > 0;) {
        exit = RUN_TO(g, DEBUG);
        CHECK_EQ(exit->debug.pc, 0x1003 - i);
        CHECK_EQ(exit->debug.hit_mask, 1u << i);
        /* Go on past it: without this breakpoint, as debuggers do. */
        CHECK_OK(set_debug(g, false, breakpoints, i));
    }
    RUN_TO(g, HLT);
}

CASE(debug, watchpoint, "watchpoints stop after the access: writes, and reads too if wanted")
{
    visor_breakpoint watch = {.address = 0x2000, .length = 1, .kind = VISOR_BREAK_WRITE};
    const visor_exit *exit;

    start(g);
    NEED(g, HW_BREAKPOINTS);
    CHECK_OK(set_debug(g, false, &watch, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1000 + STORE_AT + 2);
    CHECK_EQ(exit->debug.hit_mask, 1);
    CHECK_EQ(peek(g, 0x2000, 1), 0x77);
    RUN_TO(g, HLT);
    watch.kind = VISOR_BREAK_ACCESS;
    CHECK_OK(set_debug(g, false, &watch, 1));
    x86_set_rip(g->vcpu, 0x1000 + STORE_AT + 2);
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1000 + LOAD_AT + 2);
    RUN_TO(g, HLT);
}

CASE(debug, limits, "more breakpoints than there are, and lengths that do not exist")
{
    visor_breakpoint breakpoints[9];
    int64_t most;

    start(g);
    most = NEED(g, HW_BREAKPOINTS);
    CHECK_EQ(most, 4);
    for (unsigned i = 0; i < 9; i++)
        breakpoints[i] = (visor_breakpoint){.address = 0x1000 + i, .length = 1};
    CHECK_OK(set_debug(g, false, breakpoints, 4));
    CHECK_ERROR(set_debug(g, false, breakpoints, 5), ELIMIT);
    CHECK_ERROR(set_debug(g, false, breakpoints, 9), ELIMIT);
    breakpoints[0] = (visor_breakpoint){.address = 0x2000, .length = 3, .kind = VISOR_BREAK_WRITE};
    CHECK_ERROR(set_debug(g, false, breakpoints, 1), EINVAL);
    breakpoints[0].length = 16;
    CHECK_ERROR(set_debug(g, false, breakpoints, 1), EINVAL);
    CHECK_ERROR(set_debug(g, false, NULL, 1), EINVAL);
}

CASE(debug, guest_registers_untouched, "the guest's own debug registers are not used for it")
{
    const visor_breakpoint breakpoint = {.address = 0x1002, .length = 1};
    visor_x86_debugregs set, got;

    start(g);
    NEED(g, HW_BREAKPOINTS);
    CHECK_OK(visor_x86_get_debugregs(&set, g->vcpu));
    set.db[0] = 0x5550;
    set.db[1] = 0x5551;
    CHECK_OK(visor_x86_set_debugregs(g->vcpu, &set));
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    RUN(g);
    CHECK_OK(visor_x86_get_debugregs(&got, g->vcpu));
    CHECK_EQ(got.db[0], 0x5550);
    CHECK_EQ(got.db[1], 0x5551);
    CHECK_EQ(got.dr7, set.dr7);
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_OK(visor_x86_get_debugregs(&got, g->vcpu));
    CHECK_EQ(got.db[0], 0x5550);
}

VISOR_GUEST_ASM64(own_registers, "mov dr1, rax; mov rbx, dr1; hlt");

CASE(debug, guest_registers_written, "what the guest writes to its own while it is stepped stays")
{
    visor_x86_debugregs got;

    x86_start(
        g, &(struct x86_setup){
               .mode = X86_LONG, .load = 0x1000, .code = &own_registers, .regs = {.rax = 0x5551}});
    NEED(g, DEBUG);
    CHECK_OK(set_debug(g, true, NULL, 0));
    RUN_TO(g, DEBUG);
    CHECK_OK(visor_x86_get_debugregs(&got, g->vcpu));
    CHECK_EQ(got.db[1], 0x5551);
    CHECK_OK(set_debug(g, false, NULL, 0));
    CHECK_OK(visor_x86_get_debugregs(&got, g->vcpu));
    CHECK_EQ(got.db[1], 0x5551);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0x5551);
}

VISOR_GUEST_ASM64(with_int3, "nop; int3; nop; hlt");

CASE(debug, software_breakpoint, "the guest's breakpoint instruction stops it, before it executes")
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;
    const visor_exit *exit;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &with_int3});
    NEED(g, DEBUG);
    config.software_breakpoints = true;
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, &config));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1001);
    CHECK_EQ(exit->debug.exception, 3);
    CHECK(!exit->debug.single_step);
    x86_set_rip(g->vcpu, 0x1002);
    RUN_TO(g, HLT);
}

CASE(debug, step_from_breakpoint, "breakpoint, then steps, then the breakpoint again")
{
    const visor_breakpoint breakpoint = {.address = 0x1001, .length = 1};
    const visor_exit *exit;

    start(g);
    NEED(g, HW_BREAKPOINTS);
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1001);
    CHECK_OK(set_debug(g, true, NULL, 0));
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1002);
    CHECK(exit->debug.single_step);
    CHECK_OK(set_debug(g, false, &breakpoint, 1));
    x86_set_rip(g->vcpu, 0x1000);
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, 0x1001);
    CHECK_OK(set_debug(g, false, NULL, 0));
    RUN_TO(g, HLT);
}
