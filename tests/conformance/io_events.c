/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest writes that signal events instead of exiting. The same on every architecture. */
#include "guest.h"

static visor_io_event mmio_event(visor_event event, uint64_t address, uint32_t length)
{
    return (visor_io_event){
        .event = event, .space = VISOR_MMIO, .address = address, .length = length};
}

static void store(struct guest *g, unsigned width_index, uint64_t address, uint64_t value)
{
    guest_restart(g, g->vcpu, guest_store[width_index], address, value, 0);
}

CASE(io_events, add_remove,
     "every kind can be added and removed, with or without an interrupt chip")
{
    visor_event event = event_create();
    const visor_io_event list[] = {
        {.event = event, .space = VISOR_PIO, .address = 0xf4},
        {.event = event, .space = VISOR_MMIO, .address = guest_hole},
        {event, VISOR_PIO, 0xc1, 1, true, 0x7f},
        {event, VISOR_PIO, 0xc2, 2, true, 0x1337},
        {event, VISOR_PIO, 0xc4, 4, true, 0xdeadbeef},
        {event, VISOR_PIO, 0xc8, 8, true, 0xdeadbeefdeadbeefu},
        {event, VISOR_MMIO, guest_hole + 4, 1, true, 0x7f},
    };

    guest_create(g, NULL);
    NEED(g, IO_EVENTS);
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].space == VISOR_PIO && visor_vm_arch(g->vm) != VISOR_ARCH_X86_64)
            continue;
        CHECK_OK(visor_vm_add_io_event(g->vm, &list[i]));
        CHECK_ERROR(visor_vm_add_io_event(g->vm, &list[i]), EEXIST);
    }
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].space == VISOR_PIO && visor_vm_arch(g->vm) != VISOR_ARCH_X86_64)
            continue;
        CHECK_OK(visor_vm_remove_io_event(g->vm, &list[i]));
        CHECK_ERROR(visor_vm_remove_io_event(g->vm, &list[i]), ENOENT);
    }
    event_signal(event); /* the caller's event is still open */
    CHECK_EQ(event_take(event), 1);
}

CASE(io_events, any_length, "a write of any width signals and does not exit; a read exits")
{
    visor_event event = event_create();
    const visor_io_event io_event = mmio_event(event, guest_hole, 0);

    guest_start(g, guest_store[0], guest_hole, 0, 0, NULL);
    NEED(g, IO_EVENTS);
    CHECK_OK(visor_vm_add_io_event(g->vm, &io_event));
    for (unsigned i = 0; i < 4; i++) {
        store(g, i, guest_hole, i);
        GUEST_FINISH(g);
        CHECK_EQ(event_take(event), 1);
    }
    guest_restart(g, g->vcpu, guest_load[2], guest_hole, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole, 4, 0x99);
    CHECK_EQ(GUEST_FINISH(g), 0x99);
    store(g, 0, guest_hole + 1, 7);
    RUN_TO_MMIO_WRITE(g, guest_hole + 1, 1, 7);
    GUEST_FINISH(g);
    CHECK_EQ(event_take(event), 0);
    CHECK_OK(visor_vm_remove_io_event(g->vm, &io_event));
    store(g, 1, guest_hole, 8);
    RUN_TO_MMIO_WRITE(g, guest_hole, 2, 8);
    GUEST_FINISH(g);
    CHECK_EQ(event_take(event), 0);
}

CASE(io_events, widths, "an event of one width is signalled by that width alone")
{
    visor_event event = event_create();

    guest_start(g, guest_store[0], guest_hole, 0, 0, NULL);
    NEED(g, IO_EVENTS);
    for (unsigned i = 0; i < 4; i++) {
        const visor_io_event io_event = mmio_event(event, guest_hole + 16 * i, guest_widths[i]);

        CHECK_OK(visor_vm_add_io_event(g->vm, &io_event));
        for (unsigned j = 0; j < 4; j++) {
            store(g, j, guest_hole + 16 * i, 0x42);
            if (i != j)
                RUN_TO_MMIO_WRITE(g, guest_hole + 16 * i, guest_widths[j], 0x42);
            GUEST_FINISH(g);
            CHECK_EQ(event_take(event), i == j);
        }
    }
}

CASE(io_events, data_match, "the value decides: hit, miss, all four widths")
{
    const uint64_t values[4] = {0x7f, 0x1337, 0xdeadbeef, 0xdeadbeefcafef00du};
    visor_event event = event_create();

    guest_start(g, guest_store[0], guest_hole, 0, 0, NULL);
    NEED(g, IO_EVENTS);
    for (unsigned i = 0; i < 4; i++) {
        visor_io_event io_event = mmio_event(event, guest_hole + 16 * i, guest_widths[i]);

        io_event.match = true;
        io_event.value = values[i];
        CHECK_OK(visor_vm_add_io_event(g->vm, &io_event));
        store(g, i, guest_hole + 16 * i, values[i]);
        GUEST_FINISH(g);
        CHECK_EQ(event_take(event), 1);
        store(g, i, guest_hole + 16 * i, values[i] ^ 0x10);
        RUN_TO_MMIO_WRITE(g, guest_hole + 16 * i, guest_widths[i], values[i] ^ 0x10);
        GUEST_FINISH(g);
        CHECK_EQ(event_take(event), 0);
    }
}

CASE(io_events, several_values, "two events on one address, told apart by the value")
{
    visor_event first = event_create(), second = event_create();
    visor_io_event a = mmio_event(first, guest_hole, 2), b = mmio_event(second, guest_hole, 2);

    a.match = true;
    a.value = 1;
    b.match = true;
    b.value = 2;
    guest_start(g, guest_store[1], guest_hole, 2, 0, NULL);
    NEED(g, IO_EVENTS);
    CHECK_OK(visor_vm_add_io_event(g->vm, &a));
    CHECK_OK(visor_vm_add_io_event(g->vm, &b));
    GUEST_FINISH(g);
    CHECK_EQ(event_take(first), 0);
    CHECK_EQ(event_take(second), 1);
    store(g, 1, guest_hole, 1);
    GUEST_FINISH(g);
    CHECK_EQ(event_take(first), 1);
    CHECK_EQ(event_take(second), 0);
    a.value = 3;
    CHECK_ERROR(visor_vm_remove_io_event(g->vm, &a), ENOENT);
    a.value = 1;
    a.event = second;
    CHECK_ERROR(visor_vm_remove_io_event(g->vm, &a), ENOENT);
    a.event = first;
    CHECK_OK(visor_vm_remove_io_event(g->vm, &a));
}

CASE(io_events, counted, "every write is counted")
{
    visor_event event = event_create();
    const visor_io_event io_event = mmio_event(event, guest_hole, 0);

    guest_start(g, guest_fill, guest_hole, 0, 1000, NULL);
    NEED(g, IO_EVENTS);
    CHECK_OK(visor_vm_add_io_event(g->vm, &io_event));
    CHECK_EQ(GUEST_FINISH(g), 1000);
    CHECK_EQ(event_take(event), 1000);
}

CASE(io_events, invalid, "widths that do not exist, and a value without a width, are refused")
{
    visor_event event = event_create();
    visor_io_event io_event = mmio_event(event, guest_hole, 3);

    guest_create(g, NULL);
    NEED(g, IO_EVENTS);
    CHECK_ERROR(visor_vm_add_io_event(g->vm, &io_event), EINVAL);
    io_event.length = 16;
    CHECK_ERROR(visor_vm_add_io_event(g->vm, &io_event), EINVAL);
    io_event.length = 0;
    io_event.match = true;
    io_event.value = 1;
    CHECK_ERROR(visor_vm_add_io_event(g->vm, &io_event), EINVAL);
    io_event.match = false;
    io_event.event = VISOR_EVENT_NONE;
    CHECK(visor_vm_add_io_event(g->vm, &io_event) < 0);
}

CASE(io_events, event_may_be_closed, "the library keeps its own duplicate of an event")
{
    visor_event event = event_create(), other;
    const visor_io_event io_event = mmio_event(event, guest_hole, 0);

    guest_start(g, guest_store[0], guest_hole, 1, 0, NULL);
    NEED(g, IO_EVENTS);
    CHECK_OK(visor_vm_add_io_event(g->vm, &io_event));
    file_close(event);
    other = event_create(); /* may get the same number */
    GUEST_FINISH(g);
    CHECK_EQ(event_take(other), 0);
    CHECK_OK(visor_vm_remove_io_event(g->vm, &io_event));
}
