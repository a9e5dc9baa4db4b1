/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts from outside to the guest's handler: lines, events, messages. Generic. */
#include <stdlib.h>

#include "guest.h"

static void set_line(struct guest *g, const struct guest_line *line, bool level)
{
    CHECK_OK(visor_vm_set_irq(g->vm, line->gsi, level));
}

static void pulse(struct guest *g, const struct guest_line *line)
{
    set_line(g, line, true);
    set_line(g, line, false);
}

/* Sends a message and returns the number that its handler will write. */
static uint64_t send_message(struct guest *g, unsigned n)
{
    const struct guest_message message = guest_message(g, n);

    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message.msi)), 1);
    return message.number;
}

/* A guest with an event for a line, which some hypervisors only take before it runs. */
static void start_with_event(struct guest *g, const struct guest_line *line, visor_event event,
                             visor_event resample)
{
    guest_create_irqs(g);
    NEED(g, IRQFD);
    if (resample != VISOR_EVENT_NONE)
        NEED(g, IRQFD_RESAMPLE);
    CHECK_OK(visor_vm_add_irq_event(g->vm, line->gsi, event, resample));
    guest_arch_irqs(g);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

static void start_with_lines(struct guest *g)
{
    NEED(g, IRQCHIP);
    NEED(g, IRQ_LINES);
    guest_start_irqs(g);
}

CASE(irq, edge_line, "a rising line is one interrupt, however long it stays high")
{
    start_with_lines(g);
    GUEST_QUIET(g);
    set_line(g, &guest_edge, true);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
    set_line(g, &guest_edge, false);
    GUEST_QUIET(g);
    pulse(g, &guest_edge);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
}

CASE(irq, level_line, "a level line interrupts again until it falls")
{
    start_with_lines(g);
    set_line(g, &guest_level, true);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    set_line(g, &guest_level, false);
    GUEST_QUIET(g);
}

CASE(irq, masked, "an interrupt that comes while the guest masks them is kept")
{
    start_with_lines(g); /* and interrupts masked */
    pulse(g, &guest_edge);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
}

CASE(irq, event_masked, "an event that comes while the guest masks interrupts is kept")
{
    visor_event event = event_create();

    start_with_event(g, &guest_edge, event, VISOR_EVENT_NONE);
    event_signal(event);
    sleep_ms(20); /* another thread may take it */
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
}

CASE(irq, event, "an event raises an interrupt, once for each time it is signalled")
{
    visor_event event = event_create();

    start_with_event(g, &guest_edge, event, VISOR_EVENT_NONE);
    for (unsigned i = 0; i < 3; i++) {
        event_signal(event);
        CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
        GUEST_QUIET(g);
    }
    CHECK_OK(visor_vm_remove_irq_event(g->vm, guest_edge.gsi, event));
    CHECK_ERROR(visor_vm_remove_irq_event(g->vm, guest_edge.gsi, event), ENOENT);
    event_signal(event);
    GUEST_QUIET(g);
}

CASE(irq, event_wakes, "an event from another thread wakes an idle guest")
{
    visor_event event = event_create();
    uint64_t before;

    start_with_event(g, &guest_edge, event, VISOR_EVENT_NONE);
    before = now_ns();
    event_signal_later(event, 50);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    CHECK(now_ns() - before >= 40000000u);
    CHECK_OK(visor_vm_remove_irq_event(g->vm, guest_edge.gsi, event));
}

CASE(irq, event_may_be_closed, "the library keeps its own duplicate of an event")
{
    visor_event event = event_create(), again = file_duplicate(event);

    start_with_event(g, &guest_edge, event, VISOR_EVENT_NONE);
    file_close(event);
    event_signal(again);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    file_close(again);
}

CASE(irq, event_once, "an event raises one line only")
{
    visor_event event = event_create();

    guest_create_irqs(g);
    NEED(g, IRQFD);
    CHECK_OK(visor_vm_add_irq_event(g->vm, guest_edge.gsi, event, VISOR_EVENT_NONE));
    CHECK_ERROR(visor_vm_add_irq_event(g->vm, guest_edge.gsi, event, VISOR_EVENT_NONE), EEXIST);
    CHECK_ERROR(visor_vm_add_irq_event(g->vm, guest_level.gsi, event, VISOR_EVENT_NONE), EEXIST);
    CHECK_ERROR(visor_vm_remove_irq_event(g->vm, guest_level.gsi, event), ENOENT);
    CHECK_OK(visor_vm_remove_irq_event(g->vm, guest_edge.gsi, event));
    CHECK_OK(visor_vm_add_irq_event(g->vm, guest_edge.gsi, event, VISOR_EVENT_NONE));
}

CASE(irq, resample, "a level line by events: high until the guest ends the interrupt, then told")
{
    visor_event event = event_create(), resample = event_create();

    start_with_event(g, &guest_level, event, resample);
    for (unsigned i = 0; i < 3; i++) {
        event_signal(event);
        CHECK_EQ(GUEST_FINISH(g), guest_level.number);
        CHECK_EQ(event_take(resample), 0); /* not ended yet */
        GUEST_QUIET(g);
        CHECK_EQ(event_take(resample), 1);
    }
    CHECK_OK(visor_vm_remove_irq_event(g->vm, guest_level.gsi, event));
    event_signal(event);
    GUEST_QUIET(g);
}

CASE(irq, resample_again, "a device that still wants service signals again, and is served again")
{
    visor_event event = event_create(), resample = event_create();

    start_with_event(g, &guest_level, event, resample);
    event_signal(event);
    CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    event_signal(event); /* while it is being served */
    GUEST_QUIET(g);
    CHECK(event_take(resample) >= 1);
    event_signal(event);
    CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    GUEST_QUIET(g);
    CHECK_EQ(event_take(resample), 1);
}

CASE(irq, message, "a message is an interrupt; each has its own number")
{
    guest_start_irqs(g);
    NEED(g, MSI);
    for (unsigned i = 0; i < GUEST_MESSAGES; i++) {
        const uint64_t number = send_message(g, i);

        CHECK_EQ(GUEST_FINISH(g), number);
        GUEST_QUIET(g);
    }
}

static visor_route message_route(struct guest *g, uint32_t gsi, unsigned n)
{
    return (visor_route){.gsi = gsi, .is_msi = true, .msi = guest_message(g, n).msi};
}

CASE(irq, routed_message, "an event whose route is a message; the table can be replaced")
{
    visor_event first = event_create(), second = event_create();
    visor_route routes[2];

    guest_start_irqs(g);
    NEED(g, MSI);
    NEED(g, IRQFD);
    routes[0] = message_route(g, 40, 0);
    routes[1] = message_route(g, 41, 1);
    CHECK_OK(visor_vm_set_routes(g->vm, routes, 2));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 40, first, VISOR_EVENT_NONE));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 41, second, VISOR_EVENT_NONE));
    event_signal(second);
    CHECK_EQ(GUEST_FINISH(g), guest_message(g, 1).number);
    GUEST_QUIET(g);
    event_signal(first);
    CHECK_EQ(GUEST_FINISH(g), guest_message(g, 0).number);
    GUEST_QUIET(g);
    routes[1] = message_route(g, 41, 2);
    CHECK_OK(visor_vm_set_routes(g->vm, routes, 2));
    event_signal(second);
    CHECK_EQ(GUEST_FINISH(g), guest_message(g, 2).number);
    GUEST_QUIET(g);
    CHECK_OK(visor_vm_set_routes(g->vm, NULL, 0));
    event_signal(first);
    event_signal(second);
    GUEST_QUIET(g);
}

CASE(irq, moved_while_pending, "a line's and a message's pending interrupts arrive in another VM")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest twin = {.hv = g->hv};
    uint64_t line, message, got[2];

    guest_start_irqs(g); /* still masked */
    NEED(g, SNAPSHOT);
    NEED(g, MSI);
    line = guest_edge.number;
    pulse(g, &guest_edge);
    message = send_message(g, 3);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    guest_create_irqs(&twin);
    CHECK_OK(visor_vm_restore(twin.vm, &stream, NULL));
    got[0] = GUEST_FINISH(&twin);
    got[1] = GUEST_FINISH(&twin);
    if (got[0] != line && got[1] != message) { /* in either order */
        CHECK_EQ(got[0], message);
        CHECK_EQ(got[1], line);
    } else {
        CHECK_EQ(got[0], line);
        CHECK_EQ(got[1], message);
    }
    GUEST_QUIET(&twin);
    /* And what is sent afterwards. */
    pulse(&twin, &guest_edge);
    CHECK_EQ(GUEST_FINISH(&twin), line);
    message = send_message(&twin, 2);
    CHECK_EQ(GUEST_FINISH(&twin), message);
    GUEST_QUIET(&twin);
    visor_vcpu_free(twin.vcpu);
    visor_vm_free(twin.vm);
    visor_memory_free(twin.memory);
    buffer_free(&buffer);
}

CASE(irq, moved_while_served, "an interrupt that is being served is ended in another VM")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest twin = {.hv = g->hv};

    guest_start_irqs(g);
    NEED(g, SNAPSHOT);
    set_line(g, &guest_level, true);
    CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    guest_create_irqs(&twin);
    CHECK_OK(visor_vm_restore(twin.vm, &stream, NULL));
    CHECK_EQ(GUEST_FINISH(&twin), guest_level.number); /* the line is high here too */
    set_line(&twin, &guest_level, false);
    GUEST_QUIET(&twin);
    pulse(&twin, &guest_edge);
    CHECK_EQ(GUEST_FINISH(&twin), guest_edge.number);
    visor_vcpu_free(twin.vcpu);
    visor_vm_free(twin.vm);
    visor_memory_free(twin.memory);
    buffer_free(&buffer);
}

CASE(irq, without_chip, "without a chip inside, its operations are refused")
{
    const visor_msi msi = {.address = 0xfee00000u, .data = 0x40};
    visor_event event = event_create();

    guest_start(g, guest_load[0], guest_data, 0, 0, NULL);
    CHECK(visor_vm_add_irq_event(g->vm, guest_edge.gsi, event, VISOR_EVENT_NONE) < 0);
    CHECK(visor_vm_send_msi(g->vm, &msi) < 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
}
