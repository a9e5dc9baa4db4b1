/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A clock that makes running vCPUs return VISOR_EXIT_INTR now and then. A hypervisor in the kernel
 * ends a run when a signal arrives; a program that executes the guest itself does not see that one
 * has been handled. So its caller gets to look at what a handler has noted a hundred times a
 * second.
 *
 * The thread sleeps for good while no vCPU is in the guest.
 */
#include "soft/soft.h"

#define TICK_NS UINT64_C(10000000)

static void tick(void *argument)
{
    struct soft_machine *machine = argument;
    struct soft_ticker *ticker = &machine->ticker;
    struct visor__event_wait bell;
    unsigned running;

    visor__event_wait_set(&bell, ticker->bell);
    while (!atomic_load(&ticker->stop)) {
        running = atomic_load(&ticker->running);
        if (running == 0) {
            atomic_store(&ticker->sleeping, true);
            visor__os_wait(&ticker->running, 0);
            atomic_store(&ticker->sleeping, false);
            continue;
        }
        visor__event_wait_any(&bell, 1, TICK_NS);
        visor__mutex_lock(&machine->lock);
        for (size_t i = 0; i < machine->cpu_count; i++)
            atomic_fetch_or(&machine->cpus[i]->attention, SOFT_LOOK_TICK);
        visor__mutex_unlock(&machine->lock);
    }
}

int soft_ticker_start(struct soft_machine *machine)
{
    struct soft_ticker *ticker = &machine->ticker;
    int ret = visor__os_event_create(&ticker->bell);

    if (ret < 0)
        return ret;
    ret = visor__thread_start(&ticker->thread, tick, machine);
    if (ret < 0)
        visor__os_event_close(ticker->bell);
    return ret;
}

void soft_ticker_stop(struct soft_machine *machine)
{
    struct soft_ticker *ticker = &machine->ticker;

    atomic_store(&ticker->stop, true);
    atomic_fetch_add(&ticker->running, 1);
    visor__os_wake(&ticker->running);
    visor__os_event_signal(ticker->bell);
    visor__thread_join(&ticker->thread);
    visor__os_event_close(ticker->bell);
}

void soft_ticker_enter(struct soft_machine *machine)
{
    atomic_fetch_add(&machine->ticker.running, 1);
    if (SOFT_UNLIKELY(atomic_load(&machine->ticker.sleeping)))
        visor__os_wake(&machine->ticker.running);
}

void soft_ticker_leave(struct soft_machine *machine)
{
    atomic_fetch_sub(&machine->ticker.running, 1);
}
