/* SPDX-License-Identifier: BSD-3-Clause */
/* Getting a vCPU out of run, and settling what it was in the middle of. Generic. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "guest.h"

CASE(kick, before_run, "a kick before run makes it return at once, without guest code")
{
    guest_start(g, guest_count, guest_data, 3, 0, NULL);
    visor_vcpu_kick(g->vcpu);
    RUN_TO(g, KICKED);
    CHECK_EQ(peek(g, guest_data, 8), 0);
    CHECK_EQ(GUEST_FINISH(g), 1);
}

CASE(kick, idempotent, "several kicks before one return count as one")
{
    guest_start(g, guest_count, guest_data, 3, 0, NULL);
    for (unsigned i = 0; i < 5; i++)
        visor_vcpu_kick(g->vcpu);
    RUN_TO(g, KICKED);
    CHECK_EQ(GUEST_FINISH(g), 1);
}

/* Runs a guest that counts until a kick comes; again if a busy host gave it no time to count. */
static void count_until_kicked(struct guest *g)
{
    const uint64_t count = peek(g, guest_data, 8);

    for (unsigned ms = 20; ms < 3000; ms *= 2) {
        kick_later(g->vcpu, ms);
        RUN_TO(g, KICKED);
        if (peek(g, guest_data, 8) > count)
            return;
    }
    FAIL("the guest has not counted on");
}

CASE(kick, spinning, "a kick gets a vCPU out of an endless loop")
{
    uint64_t before;

    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    for (unsigned i = 0; i < 4; i++) {
        before = now_ns();
        count_until_kicked(g);
        CHECK(now_ns() - before < 8000000000u);
    }
}

static int kick_and_decline(void *context, visor_vcpu *vcpu, visor_io *io)
{
    (void)context;
    (void)io;
    visor_vcpu_kick(vcpu);
    return VISOR_IO_DECLINE;
}

CASE(kick, pending_over_exit, "a kick that coincides with another exit is kept for the next run")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    range.space = VISOR_MMIO;
    range.address = guest_hole;
    range.length = 8;
    range.handler = kick_and_decline;
    CHECK_OK(visor_vm_map_io(g->vm, &range));
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0x1020304050607080u);
    RUN_TO(g, KICKED);
    CHECK_EQ(GUEST_FINISH(g), 0x1020304050607080u);
}

CASE(kick, answers_are_kept, "the answer to a read is not lost when the next run is kicked")
{
    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0x1020304050607080u);
    visor_vcpu_kick(g->vcpu);
    RUN_TO(g, KICKED);
    CHECK_EQ(GUEST_FINISH(g), 0x1020304050607080u);
}

CASE(kick, blocked_signal, "a signal that the caller blocks does not end run and stays pending")
{
    guest_start(g, guest_count, guest_data, 3, 0, NULL);
    signal_block_and_raise();
    CHECK_EQ(CHECK_OK(visor_vcpu_run(g->vcpu)), VISOR_EXIT_MMIO);
    CHECK(signal_is_pending());
}

static void on_alarm(int number)
{
    (void)number;
}

CASE(kick, signal_handler, "a signal with a handler interrupts run; the guest goes on afterwards")
{
    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    signal_start(on_alarm);
    CHECK_EQ(visor_vcpu_run(g->vcpu), VISOR_EXIT_INTR);
    signal_stop();
    count_until_kicked(g);
}

static visor_vcpu *kick_from_signal_vcpu;

static void on_kick_signal(int number)
{
    (void)number;
    visor_vcpu_kick(kick_from_signal_vcpu);
}

CASE(kick, from_signal_handler, "a kick from a signal handler on the vCPU's own thread")
{
    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    kick_from_signal_vcpu = g->vcpu;
    signal_start(on_kick_signal);
    RUN_TO(g, KICKED);
    signal_stop();
}

CASE(kick, after_free, "a kick of a vCPU that is gone does nothing")
{
    visor_vcpu *vcpu;

    guest_start(g, guest_count, guest_data, 3, 0, NULL);
    CHECK_EQ(GUEST_FINISH(g), 1);
    vcpu = g->vcpu;
    g->vcpu = NULL;
    visor_vcpu_free(vcpu);
    visor_vcpu_kick(vcpu);
}

/* ---- stress: no kick is lost, none is late ---- */

struct stress {
    visor_vcpu *vcpu;
    atomic_uint seen; /* rounds */
    atomic_bool stop;
    unsigned lost;
    uint64_t worst_ns;
};

static void *stress_kicker(void *argument)
{
    struct stress *stress = argument;
    unsigned seed = 1;

    while (!atomic_load(&stress->stop)) {
        unsigned round = atomic_load(&stress->seen) + 1;
        uint64_t begin, waited;

        /* Land anywhere: before run, on the way in, in the guest, on the way out. */
        seed = seed * 1103515245u + 12345u;
        for (volatile unsigned i = seed >> 20; i > 0; i--)
            continue;
        begin = now_ns();
        visor_vcpu_kick(stress->vcpu);
        do {
            sched_yield(); /* both threads may share one processor */
            waited = now_ns() - begin;
            if (waited > 15000000000u) {
                stress->lost++;
                return NULL;
            }
        } while (atomic_load(&stress->seen) < round && !atomic_load(&stress->stop));
        if (waited > stress->worst_ns)
            stress->worst_ns = waited;
    }
    return NULL;
}

static void run_stress(struct guest *g, const struct code *program, uint64_t a0)
{
    static struct stress stress;
    pthread_t thread;

    stress.vcpu = g->vcpu;
    guest_restart(g, g->vcpu, program, a0, 0, 0);
    if (pthread_create(&thread, NULL, stress_kicker, &stress) != 0)
        FAIL("cannot make a thread");
    for (unsigned i = 0; i < suite_options.stress; i++) {
        int reason;

        do {
            reason = CHECK_OK(visor_vcpu_run(g->vcpu));
            if (stress.lost != 0)
                FAIL("round %u: a kick was lost", i);
        } while (reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_INTR);
        if (reason != VISOR_EXIT_KICKED)
            UNEXPECTED(g);
        atomic_store(&stress.seen, i + 1);
    }
    atomic_store(&stress.stop, true);
    pthread_join(thread, NULL);
    note("%u kicks, the slowest took %u us", suite_options.stress,
         (unsigned)(stress.worst_ns / 1000));
    /* A lost kick never comes, as no other follows; a busy machine may take seconds for one. */
    CHECK(stress.worst_ns < 10000000000u);
}

CASE_SLOW(kick, stress_spinning, 10, "many kicks against a spinning guest: none lost, none late")
{
    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    run_stress(g, guest_spin, guest_data);
}

CASE_SLOW(kick, stress_exiting, 10, "many kicks against a guest that exits all the time")
{
    guest_start(g, guest_watch, guest_data, 0, 0, NULL);
    run_stress(g, guest_watch, guest_data);
}

/* ---- settle ---- */

CASE(kick, settle_read, "settling completes a read without running the guest on")
{
    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0xabcd);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(GUEST_FINISH(g), 0xabcd);
}

CASE(kick, settle_keeps_kick, "a kick that is pending stays pending over settle")
{
    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0xabcd);
    visor_vcpu_kick(g->vcpu);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    RUN_TO(g, KICKED);
    CHECK_EQ(GUEST_FINISH(g), 0xabcd);
}

CASE(kick, settle_write, "settling a write does not repeat it")
{
    guest_start(g, guest_store[3], guest_hole, 0x9876, 0, NULL);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 0x9876);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    GUEST_FINISH(g);
}
