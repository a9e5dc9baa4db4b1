/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O events, signalled inside the hypervisor and, for a backend that cannot, by the core. */
#include "guest.h"

/* A guest whose I/O events are the hypervisor's or the core's. */
static bool create(struct guest *guest, struct visor_backend *bare, bool by_core)
{
    visor_hypervisor *hv;

    if (!CHECK_OK(visor_hypervisor_open(&hv, "null")))
        return false;
    if (by_core) {
        *bare = *hv->backend;
        bare->io_event = NULL;
        hv->backend = bare;
    }
    return guest_create_on(guest, hv, NULL);
}

static int decline(void *context, visor_vcpu *vcpu, visor_io *io)
{
    (void)vcpu;
    (void)io;
    ++*(unsigned *)context;
    return VISOR_IO_DECLINE;
}

static void events_instead_of_exits(bool by_core)
{
    visor_event any = make_event(), exact = make_event(), port = make_event();
    const visor_io_event events[] = {
        {.event = any, .space = VISOR_MMIO, .address = HOLE},
        {.event = exact,
         .space = VISOR_MMIO,
         .address = HOLE + 8,
         .length = 4,
         .match = true,
         .value = 0x1337},
        {.event = port, .space = VISOR_PIO, .address = 0xc8, .length = 2},
    };
    visor_io_range range = VISOR_IO_RANGE_INIT;
    struct visor_backend bare;
    struct guest guest;
    unsigned calls = 0;

    REQUIRE(create(&guest, &bare, by_core));
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_IO_EVENTS), 1);
    for (int i = 0; i < 3; i++)
        REQUIRE_OK(visor_vm_add_io_event(guest.vm, &events[i]));
    range.space = VISOR_MMIO;
    range.address = HOLE;
    range.length = 0x10;
    range.handler = decline;
    range.context = &calls;
    REQUIRE_OK(visor_vm_map_io(guest.vm, &range));

    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_STORE(HOLE, 8, 2),
                       NULL_STORE(HOLE + 8, 4, 0x1337), NULL_OUT(0xc8, 2, 9), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(event_count(any), EVENTS_COUNT ? 2 : 1);
    CHECK_INT(event_count(exact), 1);
    CHECK_INT(event_count(port), 1);
    CHECK_INT(calls, 0);

    /* Wrong value, wrong width, wrong address, a read, the other space: each is an exit. */
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE + 8, 4, 0x1338), NULL_STORE(HOLE + 8, 2, 0x1337),
                       NULL_STORE(HOLE + 1, 1, 0), NULL_LOAD(HOLE, 4), NULL_OUT(0xc8, 1, 9),
                       NULL_STORE(HOLE + 0xc8, 2, 9), NULL_HALT));
    for (int i = 0; i < 6; i++)
        CHECK(visor_vcpu_run(guest.vcpu) != VISOR_EXIT_HLT);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(event_count(any) + event_count(exact) + event_count(port), 0);
    CHECK_INT(calls, 4);

    /* Removed, it is an exit again. */
    CHECK_OK(visor_vm_remove_io_event(guest.vm, &events[0]));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK_INT(event_count(any), 0);
    guest_free(&guest);
    /* They are the caller's still. */
    CHECK_OK(close_event(any));
    CHECK_OK(close_event(exact));
    CHECK_OK(close_event(port));
}

TEST(events_of_the_hypervisor_replace_exits)
{
    events_instead_of_exits(false);
}

TEST(events_of_the_core_replace_exits)
{
    events_instead_of_exits(true);
}

TEST(an_event_outlives_the_callers_descriptor)
{
    struct visor_backend bare;
    visor_event event = make_event();
    visor_event copy = copy_event(event);
    const visor_io_event io_event = {.event = event, .space = VISOR_PIO, .address = 0x10};
    struct guest guest;

    REQUIRE(create(&guest, &bare, true));
    REQUIRE_OK(visor_vm_add_io_event(guest.vm, &io_event));
    close_event(event);
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x10, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(event_count(copy), 1);
    CHECK_OK(visor_vm_remove_io_event(guest.vm, &io_event));
    guest_free(&guest);
    close_event(copy);
}

/* Events that one write could signal both collide, in either order. */
TEST(events_collide_if_one_write_could_signal_both)
{
    static const struct {
        visor_io_event a, b;
        bool collide;
    } cases[] = {
        {{.length = 0}, {.length = 0}, true},
        {{.length = 0}, {.length = 4}, true},
        {{.length = 0}, {.length = 4, .match = true, .value = 1}, true},
        {{.length = 4}, {.length = 4, .match = true, .value = 1}, true},
        {{.length = 4, .match = true, .value = 1}, {.length = 4, .match = true, .value = 1}, true},
        {{.length = 4, .match = true, .value = 1}, {.length = 4, .match = true, .value = 2}, false},
        {{.length = 4, .match = true, .value = 1}, {.length = 2, .match = true, .value = 1}, false},
        {{.length = 4}, {.length = 8}, false},
        {{.length = 0}, {.length = 0, .address = 1}, false},
        {{.length = 0}, {.length = 0, .space = VISOR_PIO}, false},
    };
    visor_event first = make_event(), second = make_event();
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        visor_io_event a = i % 2 == 0 ? cases[i / 2].a : cases[i / 2].b;
        visor_io_event b = i % 2 == 0 ? cases[i / 2].b : cases[i / 2].a;

        a.event = first;
        b.event = second;
        CHECK_OK(visor_vm_add_io_event(guest.vm, &a));
        CHECK_INT(visor_vm_add_io_event(guest.vm, &b), cases[i / 2].collide ? VISOR_EEXIST : 0);
        CHECK_OK(visor_vm_remove_io_event(guest.vm, &a));
        CHECK_INT(visor_vm_remove_io_event(guest.vm, &b), cases[i / 2].collide ? VISOR_ENOENT : 0);
    }
    guest_free(&guest);
    close_event(first);
    close_event(second);
}

TEST(events_are_checked)
{
    visor_event event = make_event();
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    {
        const struct {
            visor_io_event io;
            int error;
        } cases[] = {
            {{.event = event, .length = 3}, VISOR_EINVAL},
            {{.event = event, .length = 16}, VISOR_EINVAL},
            {{.event = event, .space = (visor_space)2}, VISOR_EINVAL},
            {{.event = event, .match = true}, VISOR_EINVAL},
            {{.event = event, .length = 1, .match = true, .value = 0x100}, VISOR_EINVAL},
            {{.event = event, .space = VISOR_PIO, .address = 0x10000}, VISOR_EOVERFLOW},
            {{.event = event, .address = UINT64_MAX, .length = 2}, VISOR_EOVERFLOW},
            {{.event = event,
              .space = VISOR_PIO,
              .address = 0xc8,
              .length = 8,
              .match = true,
              .value = 0xdeadbeefdeadbeef},
             0},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            CHECK_INT(visor_vm_add_io_event(guest.vm, &cases[i].io), cases[i].error);
    }
    CHECK(visor_vm_add_io_event(guest.vm, &(visor_io_event){.event = 2147483600}) < 0);
    guest_free(&guest);
    close_event(event);
}

TEST(removing_needs_the_same_members)
{
    visor_event event = make_event(), other = make_event();
    const visor_io_event added = {.event = event, .space = VISOR_PIO, .address = 0xf4, .length = 1};
    visor_io_event wrong;
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_vm_add_io_event(guest.vm, &added));
    wrong = added;
    wrong.event = other;
    CHECK_INT(visor_vm_remove_io_event(guest.vm, &wrong), VISOR_ENOENT);
    wrong = added;
    wrong.address = 0xf5;
    CHECK_INT(visor_vm_remove_io_event(guest.vm, &wrong), VISOR_ENOENT);
    wrong = added;
    wrong.space = VISOR_MMIO;
    CHECK_INT(visor_vm_remove_io_event(guest.vm, &wrong), VISOR_ENOENT);
    wrong = added;
    wrong.length = 0;
    CHECK_INT(visor_vm_remove_io_event(guest.vm, &wrong), VISOR_ENOENT);
    wrong = added;
    wrong.match = true;
    CHECK_INT(visor_vm_remove_io_event(guest.vm, &wrong), VISOR_ENOENT);
    CHECK_OK(visor_vm_remove_io_event(guest.vm, &added));
    guest_free(&guest);
    close_event(event);
    close_event(other);
}

UNIT_MAIN()
