/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicks from signal handlers. */
#include <pthread.h>
#include <signal.h>

#include "guest.h"
#include "race.h"

static visor_vcpu *_Atomic signal_vcpu;

static void kick_from_signal(int number)
{
    (void)number;
    visor_vcpu_kick(atomic_load(&signal_vcpu));
}

TEST(a_signal_handler_can_kick)
{
    const struct sigaction action = {.sa_handler = kick_from_signal};
    struct race race = {0};
    struct guest guest;
    pthread_t runner;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(GUEST_LOAD(&guest, NULL_SPIN));
    race.vcpu = guest.vcpu;
    atomic_store(&signal_vcpu, guest.vcpu);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    REQUIRE(pthread_create(&runner, NULL, run_until_stopped, &race) == 0);
    /* The handler interrupts the very thread that runs the vCPU, wherever it is. */
    for (unsigned i = 1; i <= 2000; i++) {
        uint64_t start = visor__os_now_ns();

        atomic_store(&race.sent[0], i);
        pthread_kill(runner, SIGUSR1);
        for (unsigned attempt = 0; atomic_load(&race.seen[0]) < i; attempt++) {
            if (!CHECK(visor__os_now_ns() - start < LATE_NS))
                break;
            visor__os_pause(attempt);
        }
    }
    atomic_store(&race.stop, true);
    visor_vcpu_kick(guest.vcpu);
    pthread_join(runner, NULL);
    CHECK_INT(atomic_load(&race.strange), 0);
    guest_free(&guest);
}

UNIT_MAIN()
