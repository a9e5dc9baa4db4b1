/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicks: sticky, idempotent, never lost, from anywhere, at any time. */
#include <pthread.h>

#include "guest.h"
#include "race.h"

#define KICKS 50000u
#define GROUP 8u /* a kicker waits for an answer after so many kicks */

TEST(a_kick_before_a_run_makes_it_return_without_guest_code)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 1, 1), NULL_SPIN));
    visor_vcpu_kick(guest.vcpu);
    visor_vcpu_kick(guest.vcpu);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_KICKED);
    /* Two kicks before one return were one. */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    guest_free(&guest);
}

TEST(a_kick_stays_pending_over_settle_and_other_exits)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_REP_OUT(2, 0x10, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    visor_vcpu_kick(guest.vcpu);
    /* The second part belongs to an instruction that has begun. */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_KICKED);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    guest_free(&guest);
}

static int kick_self(void *context, visor_vcpu *vcpu, visor_io *io)
{
    (void)context;
    (void)io;
    visor_vcpu_kick(vcpu);
    return VISOR_IO_DONE;
}

TEST(a_handler_can_kick_its_own_vcpu)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 1, 1), NULL_SPIN));
    range.space = VISOR_PIO;
    range.address = 0x10;
    range.length = 1;
    range.handler = kick_self;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_KICKED);
    guest_free(&guest);
}

/* ---- races ---- */

struct kicker {
    struct race *race;
    unsigned number;
    pthread_t thread;
};

static void *kick_often(void *context)
{
    const struct kicker *kicker = context;
    struct race *race = kicker->race;

    for (unsigned i = 1; i <= KICKS && atomic_load(&race->late) == 0; i++) {
        uint64_t start = visor__os_now_ns();

        atomic_store(&race->sent[kicker->number], i);
        visor_vcpu_kick(race->vcpu);
        if (i % GROUP != 0)
            continue;
        for (unsigned attempt = 0; atomic_load(&race->seen[kicker->number]) < i; attempt++) {
            if (visor__os_now_ns() - start > LATE_NS) {
                atomic_fetch_add(&race->late, 1);
                break;
            }
            visor__os_pause(attempt);
        }
    }
    return NULL;
}

TEST(no_kick_is_lost_or_late)
{
    struct kicker kickers[KICKERS];
    struct race race = {0};
    struct guest guest;
    pthread_t runner;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_SPIN));
    race.vcpu = guest.vcpu;
    REQUIRE(pthread_create(&runner, NULL, run_until_stopped, &race) == 0);
    for (unsigned i = 0; i < KICKERS; i++) {
        kickers[i] = (struct kicker){.race = &race, .number = i};
        pthread_create(&kickers[i].thread, NULL, kick_often, &kickers[i]);
    }
    for (unsigned i = 0; i < KICKERS; i++)
        pthread_join(kickers[i].thread, NULL);
    atomic_store(&race.stop, true);
    visor_vcpu_kick(guest.vcpu);
    pthread_join(runner, NULL);
    CHECK_INT(atomic_load(&race.late), 0);
    CHECK_INT(atomic_load(&race.strange), 0);
    guest_free(&guest);
}

static void *kick_until_stopped(void *context)
{
    struct race *race = context;

    while (!atomic_load(&race->stop)) {
        visor_vcpu_kick(race->vcpu);
        visor__os_pause(0);
    }
    return NULL;
}

TEST(a_vcpu_can_be_freed_while_it_is_kicked)
{
    struct guest guest;

    for (uint32_t id = 1; id < 50; id++) {
        struct race race = {0};
        pthread_t kicker;

        REQUIRE(guest_create(&guest, NULL));
        REQUIRE_OK(visor_vcpu_create(&race.vcpu, guest.vm, id));
        REQUIRE(pthread_create(&kicker, NULL, kick_until_stopped, &race) == 0);
        for (int i = 0; i < 10; i++)
            visor_vcpu_run(race.vcpu);
        visor_vcpu_free(race.vcpu);
        visor__os_pause(16); /* kicks go on */
        atomic_store(&race.stop, true);
        pthread_join(kicker, NULL);
        guest_free(&guest);
    }
}

TEST(a_nudge_is_no_kick)
{
    struct race race = {0};
    struct guest guest;
    pthread_t runner;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_SPIN));
    race.vcpu = guest.vcpu;
    atomic_store(&race.sent[0], 1);
    REQUIRE(pthread_create(&runner, NULL, run_until_stopped, &race) == 0);
    while (!atomic_load(&guest.vcpu->kick.running))
        visor__os_pause(0);
    for (int i = 0; i < 1000; i++)
        visor__kick_nudge(guest.vcpu);
    CHECK_INT(atomic_load(&race.seen[0]), 0); /* it has not returned */
    atomic_store(&race.stop, true);
    visor_vcpu_kick(guest.vcpu);
    pthread_join(runner, NULL);
    CHECK_INT(atomic_load(&race.seen[0]), 1);
    guest_free(&guest);
}

UNIT_MAIN()
