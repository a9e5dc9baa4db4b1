/* SPDX-License-Identifier: BSD-3-Clause */
/* Running, exits, settling, guest debugging, on scripts of the null backend. */
#include "guest.h"

TEST(a_fresh_vcpu_halts)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->reason, VISOR_EXIT_HLT);
    guest_free(&guest);
}

TEST(accesses_arrive_decoded_and_answers_reach_the_guest)
{
    struct guest guest;
    visor_exit *exit;

    REQUIRE(guest_create(&guest, NULL));
    exit = visor_vcpu_exit(guest.vcpu);
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 2, 0x1234), NULL_IN(0x20, 1), NULL_LOAD(HOLE, 8),
                       NULL_STORE(HOLE + 4, 4, 0xdeadbeef), NULL_HALT));

    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(exit->io.space, VISOR_PIO);
    CHECK_INT(exit->io.address, 0x10);
    CHECK_INT(exit->io.length, 2);
    CHECK(exit->io.is_write);
    CHECK_INT(visor_io_value(&exit->io), 0x1234);

    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK(!exit->io.is_write);
    CHECK_INT(visor_io_value(&exit->io), 0);
    visor_io_set_value(&exit->io, 0x5a);

    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK_INT(guest_rax(&guest), 0x5a);
    CHECK_INT(exit->io.space, VISOR_MMIO);
    visor_io_set_value(&exit->io, 0x1122334455667788);

    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK_INT(guest_rax(&guest), 0x1122334455667788);
    CHECK_INT(visor_io_value(&exit->io), 0xdeadbeef);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK(visor_vcpu_exit(guest.vcpu) == exit);
    guest_free(&guest);
}

TEST(settling_completes_the_access_and_executes_nothing)
{
    visor_x86_regs regs;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_IN(0x20, 1), NULL_OUT(0x10, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    visor_io_set_value(&visor_vcpu_exit(guest.vcpu)->io, 0x77);
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    REQUIRE_OK(visor_x86_get_regs(&regs, guest.vcpu));
    CHECK_INT(regs.rax, 0x77);
    CHECK_INT(regs.rip, step_address(1));
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK(visor_vcpu_exit(guest.vcpu)->io.is_write);
    guest_free(&guest);
}

TEST(settling_asks_for_the_other_parts_of_an_access)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_REP_OUT(3, 0x10, 1, 5), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    for (unsigned part = 1; part < 3; part++) {
        CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_IO);
        CHECK_INT(visor_io_value(&visor_vcpu_exit(guest.vcpu)->io), 5 + part);
    }
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    guest_free(&guest);
}

static int serve(void *context, visor_vcpu *vcpu, visor_io *io)
{
    (void)vcpu;
    visor_io_set_value(io, ++*(unsigned *)context);
    return VISOR_IO_DONE;
}

TEST(settling_asks_handlers_for_the_other_parts)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    unsigned calls = 0;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_REP_IN(3, 0x20, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    range.space = VISOR_PIO;
    range.address = 0x20;
    range.length = 1;
    range.handler = serve;
    range.context = &calls;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    CHECK_INT(calls, 2);
    CHECK_INT(guest_rax(&guest), 2);
    guest_free(&guest);
}

TEST(a_script_can_make_any_exit)
{
    struct guest guest;
    visor_exit *exit;

    REQUIRE(guest_create(&guest, NULL));
    exit = visor_vcpu_exit(guest.vcpu);
    for (int reason = 1; reason < VISOR_EXIT_COUNT; reason++) {
        if (reason == VISOR_EXIT_IO || reason == VISOR_EXIT_MMIO)
            continue; /* whose payload would be empty */
        REQUIRE(GUEST_LOAD(&guest, NULL_EXIT((uint64_t)reason, 0, 0), NULL_HALT));
        CHECK_INT(visor_vcpu_run(guest.vcpu), reason);
        CHECK_INT(exit->reason, reason);
        CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    }
    guest_free(&guest);
}

TEST(an_exit_brings_its_payload_and_takes_the_answer)
{
    struct guest guest;
    visor_exit call = {.hypercall = {.number = 42, .args = {7}, .results = {UINT64_MAX}}};
    visor_exit *exit;

    REQUIRE(guest_create(&guest, NULL));
    exit = visor_vcpu_exit(guest.vcpu);
    REQUIRE_OK(visor_memory_write(guest.memory, 0x4000, &call.hypercall, sizeof(call.hypercall)));
    REQUIRE(GUEST_LOAD(&guest, NULL_EXIT(VISOR_EXIT_HYPERCALL, 0x4000, sizeof(call.hypercall)),
                       NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HYPERCALL);
    CHECK_INT(exit->hypercall.number, 42);
    CHECK_INT(exit->hypercall.args[0], 7);
    CHECK_INT(exit->hypercall.results[0], UINT64_MAX);
    exit->hypercall.results[0] = 99;
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(guest_rax(&guest), 99);
    guest_free(&guest);
}

TEST(single_stepping_stops_after_each_step_until_switched_off)
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(0, 1, 1), NULL_STORE(1, 1, 2), NULL_STORE(2, 1, 3),
                       NULL_HALT));
    config.single_step = true;
    CHECK_OK(visor_vcpu_set_debug(guest.vcpu, &config));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_DEBUG);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->debug.pc, step_address(1));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_DEBUG);
    CHECK_OK(visor_vcpu_set_debug(guest.vcpu, NULL));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    guest_free(&guest);
}

TEST(breakpoints_are_checked)
{
    static const struct {
        visor_breakpoint breakpoint;
        int error;
    } cases[] = {
        {{.address = 0x1003, .length = 1, .kind = VISOR_BREAK_EXECUTE}, 0},
        {{.address = 0x1000, .length = 2, .kind = VISOR_BREAK_EXECUTE}, VISOR_EINVAL},
        {{.address = 0x1000, .length = 3, .kind = VISOR_BREAK_WRITE}, VISOR_EINVAL},
        {{.address = 0x1000, .length = 0, .kind = VISOR_BREAK_WRITE}, VISOR_EINVAL},
        {{.address = 0x1000, .length = 16, .kind = VISOR_BREAK_WRITE}, VISOR_EINVAL},
        {{.address = 0x1002, .length = 4, .kind = VISOR_BREAK_WRITE}, VISOR_EALIGN},
        {{.address = 0x1000, .length = 8, .kind = VISOR_BREAK_ACCESS}, 0},
        {{.address = 0x1000, .length = 8, .kind = (visor_breakpoint_kind)3}, VISOR_EINVAL},
    };
    const visor_breakpoint many[5] = {
        {.length = 1}, {.length = 1}, {.length = 1}, {.length = 1}, {.length = 1}};
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    config.breakpoint_count = 1;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        config.breakpoints = &cases[i].breakpoint;
        CHECK_INT(visor_vcpu_set_debug(guest.vcpu, &config), cases[i].error);
    }
    config.breakpoints = many;
    config.breakpoint_count = 4;
    CHECK_OK(visor_vcpu_set_debug(guest.vcpu, &config));
    config.breakpoint_count = 5;
    CHECK_INT(visor_vcpu_set_debug(guest.vcpu, &config), VISOR_ELIMIT);
    guest_free(&guest);
}

TEST(an_interrupt_window_opens_when_interrupts_are_enabled)
{
    visor_x86_regs regs;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_HALT, NULL_HALT, NULL_HALT));
    CHECK_OK(visor_x86_request_irq_window(guest.vcpu, true));
    CHECK_INT(visor_x86_interrupt(guest.vcpu, 0x20), VISOR_EAGAIN);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    REQUIRE_OK(visor_x86_get_regs(&regs, guest.vcpu));
    regs.rflags |= 0x200;
    REQUIRE_OK(visor_x86_set_regs(guest.vcpu, &regs));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IRQ_WINDOW);
    CHECK_OK(visor_x86_interrupt(guest.vcpu, 0x20));
    CHECK_OK(visor_x86_request_irq_window(guest.vcpu, false));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    guest_free(&guest);
}

UNIT_MAIN()
