/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers inside run, and collected writes. The same on every architecture. */
#include <pthread.h>
#include <stdatomic.h>

#include "guest.h"

/* A handler that remembers what it was asked, and answers as it is told. */
struct recorder {
    visor_io accesses[64];
    visor_vcpu *vcpu;
    unsigned count;
    uint64_t answer;
    int result;
};

static int record(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct recorder *recorder = context;

    if (recorder->count < 64)
        recorder->accesses[recorder->count] = *io;
    recorder->count++;
    recorder->vcpu = vcpu;
    if (recorder->result == VISOR_IO_DONE && !io->is_write)
        visor_io_set_value(io, recorder->answer);
    return recorder->result;
}

static void map(struct guest *g, struct recorder *recorder, uint64_t address, uint64_t length)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    range.space = VISOR_MMIO;
    range.address = address;
    range.length = length;
    range.handler = record;
    range.context = recorder;
    CHECK_OK(visor_vm_map_io(g->vm, &range));
}

CASE(handlers, done, "an access that a handler serves does not leave run")
{
    struct recorder recorder = {.answer = 0x1234};

    guest_start(g, guest_load[2], guest_hole + 8, 0, 0, NULL);
    map(g, &recorder, guest_hole, 0x100);
    CHECK_EQ(GUEST_FINISH(g), 0x1234);
    CHECK_EQ(recorder.count, 1);
    CHECK_EQ(recorder.accesses[0].address, guest_hole + 8);
    CHECK_EQ(recorder.accesses[0].length, 4);
    CHECK_EQ(recorder.accesses[0].space, VISOR_MMIO);
    CHECK(!recorder.accesses[0].is_write);
    CHECK(recorder.vcpu == g->vcpu);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + 0xf8, 0x1122334455667788u, 0);
    GUEST_FINISH(g);
    CHECK_EQ(recorder.count, 2);
    CHECK(recorder.accesses[1].is_write);
    CHECK_EQ(visor_io_value(&recorder.accesses[1]), 0x1122334455667788u);
}

CASE(handlers, decline, "an access that a handler declines is an exit")
{
    struct recorder recorder = {.result = VISOR_IO_DECLINE};

    guest_start(g, guest_load[1], guest_hole, 0, 0, NULL);
    map(g, &recorder, guest_hole, 0x100);
    RUN_TO_MMIO_READ(g, guest_hole, 2, 0x77);
    CHECK_EQ(GUEST_FINISH(g), 0x77);
    CHECK_EQ(recorder.count, 1);
}

CASE(handlers, range, "a handler is asked inside its range only")
{
    struct recorder recorder = {0};

    guest_start(g, guest_store[0], guest_hole - 1 + 0x1000, 1, 0, NULL);
    map(g, &recorder, guest_hole + 0x1000, 2);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0xfff, 1, 1);
    GUEST_FINISH(g);
    guest_restart(g, g->vcpu, guest_store[0], guest_hole + 0x1002, 2, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x1002, 1, 2);
    GUEST_FINISH(g);
    guest_restart(g, g->vcpu, guest_store[2], guest_hole + 0x1000, 3, 0); /* half in, half out */
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x1000, 4, 3);
    GUEST_FINISH(g);
    CHECK_EQ(recorder.count, 0);
    guest_restart(g, g->vcpu, guest_store[1], guest_hole + 0x1000, 4, 0);
    GUEST_FINISH(g);
    CHECK_EQ(recorder.count, 1);
}

CASE(handlers, overlap, "of overlapping ranges the newest is asked first, and passes on")
{
    struct recorder old = {.answer = 1}, newer = {.answer = 2};

    guest_start(g, guest_load[0], guest_hole, 0, 0, NULL);
    map(g, &old, guest_hole, 0x1000);
    map(g, &newer, guest_hole, 0x10);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_EQ(old.count, 0);
    newer.result = VISOR_IO_DECLINE;
    guest_restart(g, g->vcpu, guest_load[0], guest_hole, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(newer.count, 2);
    guest_restart(g, g->vcpu, guest_load[0], guest_hole + 0x10, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(newer.count, 2);
    CHECK_EQ(old.count, 2);
}

CASE(handlers, unmap, "removing takes the newest of exactly this range")
{
    struct recorder old = {.answer = 1}, newer = {.answer = 2};

    guest_start(g, guest_watch, guest_hole, 0, 0, NULL);
    map(g, &old, guest_hole, 0x10);
    map(g, &newer, guest_hole, 0x10);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_OK(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x10));
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_ERROR(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x11), ENOENT);
    CHECK_ERROR(visor_vm_unmap_io(g->vm, VISOR_PIO, guest_hole & 0xff, 0x10), ENOENT);
    CHECK_OK(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x10));
    RUN_TO_MMIO_READ(g, guest_hole, 1, 3);
    CHECK_EQ(GUEST_FINISH(g), 3);
    CHECK_ERROR(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x10), ENOENT);
}

CASE(handlers, invalid, "ranges that cannot be are refused")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    struct recorder recorder = {0};

    guest_create(g, NULL);
    range.space = VISOR_MMIO;
    range.address = guest_hole;
    range.context = &recorder;
    range.length = 8;
    CHECK_ERROR(visor_vm_map_io(g->vm, &range), EINVAL);
    range.handler = record;
    range.length = 0;
    CHECK_ERROR(visor_vm_map_io(g->vm, &range), EINVAL);
    range.address = UINT64_MAX - 3;
    range.length = 8;
    CHECK_ERROR(visor_vm_map_io(g->vm, &range), EOVERFLOW);
}

static int unmap_myself(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct guest *g = context;

    (void)vcpu;
    visor_io_set_value(io, visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x10) == VISOR_ESTATE);
    return VISOR_IO_DONE;
}

CASE(handlers, unmap_inside, "a handler that unmaps is refused, and nothing locks up")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    range.space = VISOR_MMIO;
    range.address = guest_hole;
    range.length = 0x10;
    range.handler = unmap_myself;
    range.context = g;
    guest_start(g, guest_load[0], guest_hole, 0, 0, NULL);
    CHECK_OK(visor_vm_map_io(g->vm, &range));
    CHECK_EQ(GUEST_FINISH(g), 1);
}

/* ---- a race: unmapping while vCPUs are inside ---- */

struct race {
    atomic_bool mapped; /* while it is false no handler may begin */
    atomic_uint inside, late, calls;
};

static int race_handler(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct race *race = context;

    (void)vcpu;
    (void)io;
    atomic_fetch_add(&race->inside, 1);
    if (!atomic_load(&race->mapped))
        atomic_fetch_add(&race->late, 1);
    atomic_fetch_add(&race->calls, 1);
    atomic_fetch_sub(&race->inside, 1);
    return VISOR_IO_DONE;
}

static void *race_run(void *argument)
{
    visor_vcpu *vcpu = argument;
    int reason;

    do
        reason = visor_vcpu_run(vcpu);
    while (reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_INTR);
    return NULL;
}

CASE(handlers, unmap_race, "once unmap has returned the handler neither runs nor will run")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    static struct race race;
    pthread_t thread;

    range.space = VISOR_MMIO;
    range.address = guest_hole;
    range.length = 8;
    range.handler = race_handler;
    range.context = &race;
    guest_start(g, guest_fill, guest_hole, 0, UINT64_MAX, NULL);
    if (pthread_create(&thread, NULL, race_run, g->vcpu) != 0)
        FAIL("cannot make a thread");
    for (unsigned i = 0; i < 200; i++) {
        unsigned before = atomic_load(&race.calls);

        atomic_store(&race.mapped, true);
        CHECK_OK(visor_vm_map_io(g->vm, &range));
        while (atomic_load(&race.calls) < before + 3)
            sleep_ms(0);
        CHECK_OK(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 8));
        CHECK_EQ(atomic_load(&race.inside), 0);
        atomic_store(&race.mapped, false);
    }
    visor_vcpu_kick(g->vcpu);
    pthread_join(thread, NULL);
    CHECK_EQ(atomic_load(&race.late), 0);
}

CASE(handlers, kick_between, "a vCPU that never leaves its handlers can still be kicked")
{
    struct recorder recorder = {0};

    guest_start(g, guest_fill, guest_hole, 0, UINT64_MAX, NULL);
    map(g, &recorder, guest_hole, 8);
    kick_later(g->vcpu, 50);
    RUN_TO(g, KICKED);
    CHECK(recorder.count > 0);
}

/* ---- collected writes ---- */

static void map_coalesced(struct guest *g, struct recorder *recorder)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    NEED(g, IO_COALESCE);
    range.space = VISOR_MMIO;
    range.address = guest_hole;
    range.length = 0x1000;
    range.handler = record;
    range.context = recorder;
    range.coalesce = true;
    CHECK_OK(visor_vm_map_io(g->vm, &range));
}

CASE(handlers, coalesced, "collected writes arrive complete and in order before the next exit")
{
    struct recorder recorder = {0};

    guest_start(g, guest_fill, guest_hole, 8, 40, NULL);
    map_coalesced(g, &recorder);
    CHECK_EQ(GUEST_FINISH(g), 40);
    CHECK_EQ(recorder.count, 40);
    CHECK(recorder.vcpu == NULL);
    for (unsigned i = 0; i < 40; i++) {
        CHECK_EQ(recorder.accesses[i].address, guest_hole + 8 * i);
        CHECK_EQ(recorder.accesses[i].length, 8);
        CHECK(recorder.accesses[i].is_write);
        CHECK_EQ(visor_io_value(&recorder.accesses[i]), i + 1);
    }
    CHECK_EQ(CHECK_OK(visor_vm_flush_io(g->vm)), 0);
}

CASE(handlers, coalesced_many, "more writes than a buffer holds: none is lost")
{
    struct recorder recorder = {0};

    guest_start(g, guest_fill, guest_hole, 0, 3000, NULL);
    map_coalesced(g, &recorder);
    CHECK_EQ(GUEST_FINISH(g), 3000);
    CHECK_EQ(recorder.count, 3000);
}

CASE(handlers, coalesced_read, "a read of the range is not collected")
{
    struct recorder recorder = {.answer = 0x31};

    guest_start(g, guest_load[0], guest_hole, 0, 0, NULL);
    map_coalesced(g, &recorder);
    CHECK_EQ(GUEST_FINISH(g), 0x31);
    CHECK_EQ(recorder.count, 1);
    CHECK_OK(visor_vm_unmap_io(g->vm, VISOR_MMIO, guest_hole, 0x1000));
    guest_restart(g, g->vcpu, guest_store[0], guest_hole, 5, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole, 1, 5);
}
