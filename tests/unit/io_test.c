/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers of I/O ranges, coalesced writes, and threads that change them while guests run. */
#include <pthread.h>

#include "guest.h"

/* What a recording handler saw. */
struct log {
    const char *order; /* letters to be appended, one handler each */
    char text[64];
    uint64_t values[64];
    size_t count;
    visor_vcpu *vcpu; /* of the last call */
};

struct handler {
    struct log *log;
    char letter;
    int result;
};

static int record(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct handler *handler = context;
    struct log *log = handler->log;

    if (log->count < sizeof(log->text) - 1) {
        log->text[log->count] = handler->letter;
        log->values[log->count++] = visor_io_value(io);
    }
    log->vcpu = vcpu;
    if (!io->is_write)
        visor_io_set_value(io, (uint64_t)handler->letter);
    return handler->result;
}

static visor_io_range range_of(struct handler *handler, visor_space space, uint64_t address,
                               uint64_t length)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    range.space = space;
    range.address = address;
    range.length = length;
    range.handler = record;
    range.context = handler;
    return range;
}

TEST(the_newest_handler_is_asked_first_and_may_decline)
{
    struct log log = {0};
    struct handler old = {&log, 'o', VISOR_IO_DONE}, new = {&log, 'n', VISOR_IO_DECLINE};
    visor_io_range range;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    range = range_of(&old, VISOR_PIO, 0x10, 0x10);
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    range = range_of(&new, VISOR_PIO, 0x18, 4);
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x18, 1, 1), NULL_IN(0x10, 1), NULL_OUT(0x20, 1, 3),
                       NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->io.address, 0x20);
    CHECK_STR(log.text, "noo");
    CHECK(log.vcpu == guest.vcpu);
    CHECK_INT(guest_rax(&guest), 'o');

    /* Once the newest has the last word. */
    new.result = VISOR_IO_DONE;
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x18, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_STR(log.text, "noon");
    guest_free(&guest);
}

TEST(an_access_must_lie_wholly_in_the_range)
{
    struct log log = {0};
    struct handler handler = {&log, 'h', VISOR_IO_DONE};
    visor_io_range range = range_of(&handler, VISOR_MMIO, HOLE, 8);
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 8, 1), NULL_STORE(HOLE + 4, 4, 1),
                       NULL_STORE(HOLE + 6, 4, 1), NULL_OUT(HOLE & 0xffff, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK_INT(log.count, 2);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO); /* other space */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(log.count, 2);
    guest_free(&guest);
}

TEST(ranges_are_checked)
{
    struct log log = {0};
    struct handler handler = {&log, 'h', VISOR_IO_DONE};
    visor_io_range range;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    range = range_of(&handler, VISOR_PIO, 0, 0);
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EINVAL);
    range = range_of(&handler, (visor_space)2, 0, 1);
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EINVAL);
    range = range_of(&handler, VISOR_PIO, 0, 1);
    range.handler = NULL;
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EINVAL);
    range = range_of(&handler, VISOR_PIO, 0xffff, 2);
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EOVERFLOW);
    range = range_of(&handler, VISOR_PIO, 0x10000, 1);
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EOVERFLOW);
    range = range_of(&handler, VISOR_MMIO, UINT64_MAX, 2);
    CHECK_INT(visor_vm_map_io(guest.vm, &range), VISOR_EOVERFLOW);
    range = range_of(&handler, VISOR_PIO, 0, 0x10000);
    CHECK_OK(visor_vm_map_io(guest.vm, &range));
    range = range_of(&handler, VISOR_MMIO, UINT64_MAX, 1);
    CHECK_OK(visor_vm_map_io(guest.vm, &range));
    guest_free(&guest);
}

TEST(unmapping_takes_the_newest_of_exactly_the_range)
{
    struct log log = {0};
    struct handler a = {&log, 'a', VISOR_IO_DONE}, b = {&log, 'b', VISOR_IO_DONE};
    visor_io_range range;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    range = range_of(&a, VISOR_PIO, 0x10, 4);
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    range = range_of(&b, VISOR_PIO, 0x10, 4);
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    CHECK_INT(visor_vm_unmap_io(guest.vm, VISOR_PIO, 0x10, 2), VISOR_ENOENT);
    CHECK_INT(visor_vm_unmap_io(guest.vm, VISOR_MMIO, 0x10, 4), VISOR_ENOENT);
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 1, 1), NULL_HALT, NULL_OUT(0x10, 1, 1), NULL_HALT,
                       NULL_OUT(0x10, 1, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_PIO, 0x10, 4));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_PIO, 0x10, 4));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_STR(log.text, "ba");
    CHECK_INT(visor_vm_unmap_io(guest.vm, VISOR_PIO, 0x10, 4), VISOR_ENOENT);
    guest_free(&guest);
}

static int change_ranges(void *context, visor_vcpu *vcpu, visor_io *io)
{
    visor_vm *vm = visor_vcpu_vm(vcpu);
    visor_io_range range = VISOR_IO_RANGE_INIT;

    (void)io;
    CHECK_INT(visor_vm_unmap_io(vm, VISOR_PIO, 0x10, 1), VISOR_ESTATE);
    CHECK_INT(visor_vm_flush_io(vm), VISOR_ESTATE);
    range.space = VISOR_PIO;
    range.address = 0x20;
    range.length = 1;
    range.handler = record;
    range.context = context;
    CHECK_OK(visor_vm_map_io(vm, &range)); /* no lock is held */
    return VISOR_IO_DONE;
}

TEST(a_handler_can_map_but_not_unmap)
{
    struct log log = {0};
    struct handler inner = {&log, 'i', VISOR_IO_DONE};
    visor_io_range range = range_of(&inner, VISOR_PIO, 0x10, 1);
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    range.handler = change_ranges;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 1, 1), NULL_OUT(0x20, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_STR(log.text, "i");
    CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_PIO, 0x10, 1));
    guest_free(&guest);
}

/* ---- coalesced writes ---- */

TEST(collected_writes_come_in_order_before_the_next_exit)
{
    struct log log = {0};
    struct handler late = {&log, 'c', VISOR_IO_DONE}, now = {&log, 'n', VISOR_IO_DONE};
    visor_io_range range;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    range = range_of(&late, VISOR_MMIO, HOLE, 0x100);
    range.coalesce = true;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    range = range_of(&now, VISOR_PIO, 0x10, 1);
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 4, 1), NULL_STORE(HOLE + 8, 4, 2),
                       NULL_OUT(0x10, 1, 3), NULL_STORE(HOLE, 4, 4), NULL_OUT(0x11, 1, 5),
                       NULL_STORE(HOLE, 4, 6), NULL_LOAD(HOLE, 4), NULL_STORE(HOLE, 4, 8),
                       NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_STR(log.text, "ccnc");
    for (uint64_t i = 0; i < 4; i++)
        CHECK_INT(log.values[i], i + 1);
    CHECK(log.vcpu == NULL);
    /* A read of the range is never late, and comes after the writes before it. */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_STR(log.text, "ccncccc");
    CHECK_INT(log.values[4], 6);
    CHECK_INT(log.values[6], 8);
    CHECK_INT(guest_rax(&guest), 'c');
    CHECK_INT(visor_vm_flush_io(guest.vm), 0);
    guest_free(&guest);
}

TEST(a_full_ring_keeps_the_order)
{
    struct null_step script[NULL_RING_SIZE + 5];
    struct log log = {0};
    struct handler late = {&log, 'c', VISOR_IO_DONE};
    visor_io_range range = range_of(&late, VISOR_MMIO, HOLE, 0x100);
    struct guest guest;
    size_t count = 0;

    REQUIRE(guest_create(&guest, NULL));
    range.coalesce = true;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
    while (count < NULL_RING_SIZE + 4) {
        script[count] = (struct null_step)NULL_STORE(HOLE, 4, count);
        count++;
    }
    script[count] = (struct null_step)NULL_HALT;
    REQUIRE(guest_load(&guest, script, sizeof(script)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    REQUIRE(CHECK_INT(log.count, count));
    for (uint64_t i = 0; i < count; i++)
        CHECK_INT(log.values[i], i);
    guest_free(&guest);
}

static void *spin(void *context)
{
    CHECK_INT(visor_vcpu_run(context), VISOR_EXIT_KICKED);
    return NULL;
}

/* How many writes the hypervisor has collected. */
static unsigned collected(visor_vm *vm)
{
    struct null_vm *null = null_vm_of(vm);
    unsigned count;

    visor__mutex_lock(&null->lock);
    count = null->ring_count;
    visor__mutex_unlock(&null->lock);
    return count;
}

TEST(flush_and_unmap_deliver_what_was_collected)
{
    struct log log = {0};
    struct handler late = {&log, 'c', VISOR_IO_DONE};
    visor_io_range range = range_of(&late, VISOR_MMIO, HOLE, 0x100);
    struct guest guest;
    pthread_t runner;

    REQUIRE(guest_create(&guest, NULL));
    range.coalesce = true;
    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(visor_vm_map_io(guest.vm, &range));
        REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 4, 1), NULL_STORE(HOLE, 4, 2), NULL_SPIN));
        REQUIRE(pthread_create(&runner, NULL, spin, guest.vcpu) == 0);
        while (collected(guest.vm) < 2)
            visor__os_pause(16);
        if (round == 0)
            CHECK_INT(visor_vm_flush_io(guest.vm), 2);
        CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_MMIO, HOLE, 0x100));
        CHECK_INT(log.count, 2 * (round + 1));
        visor_vcpu_kick(guest.vcpu);
        pthread_join(runner, NULL);
    }
    CHECK_INT(log.count, 4);
    guest_free(&guest);
}

TEST(a_coalesced_range_overlaps_no_other)
{
    struct log log = {0};
    struct handler handler = {&log, 'h', VISOR_IO_DONE};
    visor_io_range plain = range_of(&handler, VISOR_MMIO, HOLE + 0xff, 2);
    visor_io_range late = range_of(&handler, VISOR_MMIO, HOLE, 0x100);
    struct guest guest;

    late.coalesce = true;
    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_vm_map_io(guest.vm, &late));
    CHECK_INT(visor_vm_map_io(guest.vm, &late), VISOR_EEXIST);
    CHECK_INT(visor_vm_map_io(guest.vm, &plain), VISOR_EEXIST);
    plain.address = HOLE + 0x100;
    CHECK_OK(visor_vm_map_io(guest.vm, &plain));
    CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_MMIO, HOLE, 0x100));
    late.length = 0x101;
    CHECK_INT(visor_vm_map_io(guest.vm, &late), VISOR_EEXIST);
    guest_free(&guest);
}

TEST(without_a_ring_every_write_is_served_at_once)
{
    struct log log = {0};
    struct handler handler = {&log, 'h', VISOR_IO_DONE};
    visor_io_range late = range_of(&handler, VISOR_MMIO, HOLE, 0x100);
    struct visor_backend bare;
    visor_hypervisor *hv;
    struct guest guest;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    bare = *hv->backend;
    bare.coalesce = NULL;
    hv->backend = &bare;
    REQUIRE(guest_create_on(&guest, hv, NULL));
    late.coalesce = true;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &late));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 4, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(log.count, 1);
    CHECK(log.vcpu == guest.vcpu);
    CHECK_OK(visor_vm_unmap_io(guest.vm, VISOR_MMIO, HOLE, 0x100));
    guest_free(&guest);
}

/* ---- threads ---- */

struct device {
    atomic_bool mapped; /* from before mapping until after unmapping */
    atomic_uint calls, wrong;
    bool slow;
};

static int touch(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct device *device = context;

    (void)vcpu;
    (void)io;
    if (device->slow)
        visor__os_pause(16);
    if (!atomic_load(&device->mapped))
        atomic_fetch_add(&device->wrong, 1);
    atomic_fetch_add(&device->calls, 1);
    return VISOR_IO_DONE;
}

static void *run_until_kicked(void *context)
{
    int reason;

    do {
        reason = visor_vcpu_run(context);
    } while (reason == VISOR_EXIT_IO || reason == VISOR_EXIT_MMIO);
    CHECK_INT(reason, VISOR_EXIT_KICKED);
    return NULL;
}

/* Two vCPUs write to two ranges for ever while the ranges come and go. */
static void map_and_unmap_while_guests_run(bool slow, bool coalesce, unsigned rounds)
{
    struct device devices[2] = {{.slow = slow}, {.slow = false}};
    pthread_t runners[2];
    struct guest guest;
    visor_vcpu *other;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(
        GUEST_LOAD(&guest, NULL_STORE(HOLE, 4, 1), NULL_OUT(0x10, 1, 1), NULL_JUMP(SCRIPT_GPA)));
    REQUIRE_OK(visor_vcpu_create(&other, guest.vm, 1));
    {
        visor_x86_sregs sregs;
        visor_x86_regs regs;

        REQUIRE_OK(visor_x86_get_sregs(&sregs, guest.vcpu));
        REQUIRE_OK(visor_x86_get_regs(&regs, guest.vcpu));
        REQUIRE_OK(visor_x86_set_sregs(other, &sregs));
        REQUIRE_OK(visor_x86_set_regs(other, &regs));
    }
    REQUIRE(pthread_create(&runners[0], NULL, run_until_kicked, guest.vcpu) == 0);
    REQUIRE(pthread_create(&runners[1], NULL, run_until_kicked, other) == 0);
    for (unsigned i = 0; i < rounds; i++) {
        struct device *device = &devices[i % 2];
        visor_io_range range = VISOR_IO_RANGE_INIT;

        range.space = i % 2 == 0 ? VISOR_MMIO : VISOR_PIO;
        range.address = i % 2 == 0 ? HOLE : 0x10;
        range.length = 4;
        range.handler = touch;
        range.context = device;
        range.coalesce = coalesce;
        atomic_store(&device->mapped, true);
        if (!CHECK_OK(visor_vm_map_io(guest.vm, &range)))
            break;
        for (unsigned wait = i % 3; wait > 0; wait--)
            visor__os_pause(wait);
        /* Now and then for as long as it takes to be called; the runner of tests has a time limit.
         */
        while (i % 64 < 2 && atomic_load(&device->calls) <= i / 64)
            visor__os_pause(16);
        if (!CHECK_OK(visor_vm_unmap_io(guest.vm, range.space, range.address, range.length)))
            break;
        atomic_store(&device->mapped, false);
    }
    visor_vcpu_kick(guest.vcpu);
    visor_vcpu_kick(other);
    pthread_join(runners[0], NULL);
    pthread_join(runners[1], NULL);
    for (int i = 0; i < 2; i++)
        CHECK_INT(atomic_load(&devices[i].wrong), 0);
    visor_vcpu_free(other);
    guest_free(&guest);
}

TEST(a_handler_never_runs_after_its_unmapping)
{
    map_and_unmap_while_guests_run(false, false, 2000);
}

TEST(unmapping_waits_for_a_slow_handler)
{
    map_and_unmap_while_guests_run(true, false, 300);
}

TEST(a_coalesced_range_can_come_and_go_while_guests_run)
{
    map_and_unmap_while_guests_run(false, true, 1000);
}

UNIT_MAIN()
