/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to guest I/O before a caller sees it: coalesced writes, I/O events, handlers.
 *
 * Locks, in the order in which they are taken: `delivery`, the VM's, the table's. Only `delivery`
 * is held in a handler, and only for coalesced writes, which must stay in order. A handler that
 * runs is counted in its range, which stays in the list until the count is 0; so the list can
 * change meanwhile, and a walk can go on from there.
 */
#include <stdlib.h>

#include "core/vm.h"

struct range {
    struct range *next; /* older */
    visor_io_range io;
    unsigned active; /* calls of the handler under way */
    bool leaving;    /* being unmapped: not to be found for that again */
    bool dead;       /* not to be called any more */
};

struct event {
    struct event *next;
    visor_io_event io;
    visor_event own; /* our duplicate of io.event */
};

struct visor__io_table {
    atomic_uint served;    /* ranges, and events that the core signals: 0 is the fast path */
    atomic_uint coalesced; /* ranges whose writes the hypervisor collects */
    struct visor__mutex lock;
    struct visor__mutex delivery;
    struct range *ranges; /* the newest first */
    struct event *events;
};

/* More than any hypervisor collects (KVM: 170 in a page). A guest that never stops writing must not
 * keep a vCPU from its own exit. */
#define DELIVERY_MAX 4096

/* Handlers that run on this thread, so that what must not be called from one can be refused. */
static _Thread_local unsigned handlers_running;

typedef unsigned long long ull;

int visor__io_create(visor_vm *vm)
{
    struct visor__io_table *table = calloc(1, sizeof(*table));
    int ret;

    if (table == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "no memory for the I/O table");
    ret = visor__mutex_init(&table->lock);
    if (ret < 0) {
        free(table);
        return ret;
    }
    ret = visor__mutex_init(&table->delivery);
    if (ret < 0) {
        visor__mutex_destroy(&table->lock);
        free(table);
        return ret;
    }
    vm->io = table;
    return 0;
}

void visor__io_destroy(visor_vm *vm)
{
    struct visor__io_table *table = vm->io;

    if (table == NULL)
        return;
    while (table->ranges != NULL) {
        struct range *range = table->ranges;

        table->ranges = range->next;
        free(range);
    }
    while (table->events != NULL) {
        struct event *event = table->events;

        table->events = event->next;
        visor__os_event_close(event->own);
        free(event);
    }
    visor__mutex_destroy(&table->delivery);
    visor__mutex_destroy(&table->lock);
    free(table);
}

/* ---- handlers ---- */

/* Whether the access lies wholly in the range. */
static bool covers(const visor_io_range *range, const visor_io *io)
{
    return io->space == range->space && io->address >= range->address &&
           io->address - range->address < range->length &&
           io->length <= range->length - (io->address - range->address);
}

/* Offers an access to the handlers, the newest first. Returns whether one has served it. */
static bool call_handlers(visor_vm *vm, visor_vcpu *vcpu, visor_io *io)
{
    struct visor__io_table *table = vm->io;
    bool served = false;

    visor__mutex_lock(&table->lock);
    for (struct range *range = table->ranges; range != NULL && !served; range = range->next) {
        if (range->dead || !covers(&range->io, io))
            continue;
        range->active++;
        visor__mutex_unlock(&table->lock);
        handlers_running++;
        served = range->io.handler(range->io.context, vcpu, io) == VISOR_IO_DONE;
        handlers_running--;
        visor__mutex_lock(&table->lock);
        range->active--;
    }
    visor__mutex_unlock(&table->lock);
    return served;
}

/* Whether this write of the guest is meant. */
static bool matches(const visor_io_event *event, const visor_io *io)
{
    return event->space == io->space && event->address == io->address &&
           (event->length == 0 || event->length == io->length) &&
           (!event->match || event->value == visor_io_value(io));
}

/* Signals the event of a write, for backends whose hypervisor does not. */
static bool signal_event(visor_vm *vm, const visor_io *io)
{
    struct visor__io_table *table = vm->io;
    const struct event *event;

    if (vm->hv->backend->io_event != NULL || !io->is_write)
        return false;
    visor__mutex_lock(&table->lock);
    event = table->events;
    while (event != NULL && !matches(&event->io, io))
        event = event->next;
    if (event != NULL)
        visor__os_event_signal(event->own);
    visor__mutex_unlock(&table->lock);
    return event != NULL;
}

/* Takes the oldest collected write. Returns 1, or 0 if there is none. */
static int take_coalesced(visor_io *io, visor_vm *vm)
{
    int ret;

    visor__mutex_lock(&vm->lock);
    ret = vm->hv->backend->coalesce->take(io, vm);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/* Returns how many writes were delivered. */
static int deliver_coalesced(visor_vm *vm)
{
    visor_io io;
    int count = 0;
    int ret = 0;

    if (atomic_load(&vm->io->coalesced) == 0)
        return 0;
    visor__mutex_lock(&vm->io->delivery);
    while (count < DELIVERY_MAX && (ret = take_coalesced(&io, vm)) > 0) {
        if (!signal_event(vm, &io))
            call_handlers(vm, NULL, &io);
        count++;
    }
    visor__mutex_unlock(&vm->io->delivery);
    return ret < 0 ? ret : count;
}

int visor_vm_flush_io(visor_vm *vm)
{
    if (handlers_running != 0)
        return visor__error(VISOR_ESTATE, "", "visor_vm_flush_io", "called from a handler");
    return deliver_coalesced(vm);
}

static int check_range(const visor_io_range *range)
{
    static const char op[] = "visor_vm_map_io";
    uint64_t last = range->space == VISOR_PIO ? UINT16_MAX : UINT64_MAX;

    if (range->handler == NULL || range->length == 0)
        return visor__error(VISOR_EINVAL, "", op, "a range without %s",
                            range->handler == NULL ? "handler" : "length");
    if ((unsigned)range->space > VISOR_PIO)
        return visor__error(VISOR_EINVAL, "", op, "space %d", range->space);
    if (range->address > last || range->length - 1 > last - range->address)
        return visor__error(VISOR_EOVERFLOW, "", op, "0x%llx bytes at 0x%llx", (ull)range->length,
                            (ull)range->address);
    return 0;
}

/*
 * A coalesced range overlaps no other: whoever is asked about a collected write must have agreed to
 * be called late and without a vCPU. VM lock, so that the list does not change.
 */
static int check_overlap(const struct visor__io_table *table, const visor_io_range *new)
{
    for (const struct range *range = table->ranges; range != NULL; range = range->next) {
        const visor_io_range *old = &range->io;

        if (old->space == new->space && (old->coalesce || new->coalesce) &&
            old->address <= new->address + (new->length - 1) &&
            new->address <= old->address + (old->length - 1))
            return visor__error(VISOR_EEXIST, "", "visor_vm_map_io",
                                "0x%llx bytes at 0x%llx overlap a range at 0x%llx, and one of the "
                                "two is coalesced",
                                (ull) new->length, (ull) new->address, (ull)old->address);
    }
    return 0;
}

int visor_vm_map_io(visor_vm *vm, const visor_io_range *user_range)
{
    static const char op[] = "visor_vm_map_io";
    const struct visor__coalesce_ops *coalesce = vm->hv->backend->coalesce;
    struct visor__io_table *table = vm->io;
    struct range *range = calloc(1, sizeof(*range));
    int ret;

    if (range == NULL)
        return visor__error(VISOR_ENOMEM, "", op, "no memory for the range");
    ret = visor__config_copy(&range->io, sizeof(range->io), user_range, op);
    if (ret == 0)
        ret = check_range(&range->io);
    if (ret < 0) {
        free(range);
        return ret;
    }

    visor__mutex_lock(&vm->lock);
    ret = check_overlap(table, &range->io);
    if (ret == 0 && range->io.coalesce && coalesce != NULL)
        ret = coalesce->add(vm, range->io.space, range->io.address, range->io.length);
    if (ret == 0) {
        visor__mutex_lock(&table->lock);
        range->next = table->ranges;
        table->ranges = range;
        if (range->io.coalesce && coalesce != NULL)
            atomic_fetch_add(&table->coalesced, 1);
        atomic_fetch_add(&table->served, 1);
        visor__mutex_unlock(&table->lock);
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        free(range);
    return ret;
}

/* The newest range that is exactly this one, marked as leaving and, if it was coalesced, no longer
 * collected for. */
static int start_leaving(struct range **out, visor_vm *vm, visor_space space, uint64_t address,
                         uint64_t length)
{
    const struct visor__coalesce_ops *coalesce = vm->hv->backend->coalesce;
    struct range *range;
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    range = vm->io->ranges;
    while (range != NULL && (range->leaving || range->io.space != space ||
                             range->io.address != address || range->io.length != length))
        range = range->next;
    if (range == NULL)
        ret = visor__error(VISOR_ENOENT, "", "visor_vm_unmap_io", "0x%llx bytes at 0x%llx",
                           (ull)length, (ull)address);
    else if (range->io.coalesce && coalesce != NULL)
        ret = coalesce->remove(vm, space, address, length);
    if (ret == 0)
        range->leaving = true;
    visor__mutex_unlock(&vm->lock);
    *out = range;
    return ret;
}

int visor_vm_unmap_io(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    struct visor__io_table *table = vm->io;
    struct range *range, **at;
    int ret;

    if (handlers_running != 0)
        return visor__error(VISOR_ESTATE, "", "visor_vm_unmap_io", "called from a handler");
    ret = start_leaving(&range, vm, space, address, length);
    if (ret < 0)
        return ret;
    if (range->io.coalesce && vm->hv->backend->coalesce != NULL) {
        /* What was collected so far is still this handler's. Whether it can be read or not, the
         * handler goes. */
        deliver_coalesced(vm);
        atomic_fetch_sub(&table->coalesced, 1);
    }

    visor__mutex_lock(&vm->lock);
    visor__mutex_lock(&table->lock);
    range->dead = true;
    for (unsigned attempt = 0; range->active != 0; attempt++) {
        visor__mutex_unlock(&table->lock);
        visor__mutex_unlock(&vm->lock);
        visor__os_pause(attempt);
        visor__mutex_lock(&vm->lock);
        visor__mutex_lock(&table->lock);
    }
    at = &table->ranges;
    while (*at != range)
        at = &(*at)->next;
    *at = range->next;
    atomic_fetch_sub(&table->served, 1);
    visor__mutex_unlock(&table->lock);
    visor__mutex_unlock(&vm->lock);
    free(range);
    return 0;
}

/* ---- events ---- */

static int check_event(const visor_io_event *io)
{
    static const char op[] = "visor_vm_add_io_event";
    uint64_t last = io->space == VISOR_PIO ? UINT16_MAX : UINT64_MAX;

    if ((unsigned)io->space > VISOR_PIO)
        return visor__error(VISOR_EINVAL, "", op, "space %d", io->space);
    if (io->length > 8 || (io->length & (io->length - 1)) != 0)
        return visor__error(VISOR_EINVAL, "", op, "a width of %u bytes", io->length);
    if (io->match && io->length == 0)
        return visor__error(VISOR_EINVAL, "", op, "a value to match, but no width");
    if (io->match && io->length < 8 && io->value >> (8 * io->length) != 0)
        return visor__error(VISOR_EINVAL, "", op, "0x%llx does not fit into %u bytes",
                            (ull)io->value, io->length);
    if (io->address > last || (io->length > 0 && io->length - 1 > last - io->address))
        return visor__error(VISOR_EOVERFLOW, "", op, "%u bytes at 0x%llx", io->length,
                            (ull)io->address);
    return 0;
}

/* Whether there is a write that both would be signalled for. */
static bool collide(const visor_io_event *a, const visor_io_event *b)
{
    return a->space == b->space && a->address == b->address &&
           (a->length == 0 || b->length == 0 ||
            (a->length == b->length && (!a->match || !b->match || a->value == b->value)));
}

static bool same_event(const visor_io_event *a, const visor_io_event *b)
{
    return a->event == b->event && a->space == b->space && a->address == b->address &&
           a->length == b->length && a->match == b->match && (!a->match || a->value == b->value);
}

/* The event as the hypervisor gets it: our duplicate, which lives as long as the registration. */
static visor_io_event own_event(const struct event *event)
{
    visor_io_event io = event->io;

    io.event = event->own;
    return io;
}

/* Registers an event that has been checked by itself. VM lock. */
static int insert_event(visor_vm *vm, struct event *event)
{
    const struct visor__io_event_ops *ops = vm->hv->backend->io_event;
    struct visor__io_table *table = vm->io;
    visor_io_event io = own_event(event);
    int ret = 0;

    for (const struct event *other = table->events; other != NULL; other = other->next) {
        if (collide(&other->io, &io))
            return visor__error(VISOR_EEXIST, "", "visor_vm_add_io_event",
                                "a write to 0x%llx signals an event already", (ull)io.address);
    }
    if (ops != NULL)
        ret = ops->add(vm, &io);
    else
        atomic_fetch_add(&table->served, 1);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&table->lock);
    event->next = table->events;
    table->events = event;
    visor__mutex_unlock(&table->lock);
    return 0;
}

int visor_vm_add_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    struct event *event;
    int ret = check_event(io_event);

    if (ret < 0)
        return ret;
    event = malloc(sizeof(*event));
    if (event == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_add_io_event", "no memory");
    event->io = *io_event;
    ret = visor__os_event_dup(&event->own, io_event->event);
    if (ret < 0) {
        free(event);
        return ret;
    }
    visor__mutex_lock(&vm->lock);
    ret = insert_event(vm, event);
    visor__mutex_unlock(&vm->lock);
    if (ret < 0) {
        visor__os_event_close(event->own);
        free(event);
    }
    return ret;
}

int visor_vm_remove_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    const struct visor__io_event_ops *ops = vm->hv->backend->io_event;
    struct visor__io_table *table = vm->io;
    struct event **at, *event;
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    at = &table->events;
    while (*at != NULL && !same_event(&(*at)->io, io_event))
        at = &(*at)->next;
    event = *at;
    if (event == NULL) {
        ret = visor__error(VISOR_ENOENT, "", "visor_vm_remove_io_event", "address 0x%llx",
                           (ull)io_event->address);
    } else if (ops != NULL) {
        visor_io_event io = own_event(event);

        ret = ops->remove(vm, &io);
    } else {
        atomic_fetch_sub(&table->served, 1);
    }
    if (ret == 0) {
        visor__mutex_lock(&table->lock);
        *at = event->next;
        visor__mutex_unlock(&table->lock);
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        return ret;
    visor__os_event_close(event->own);
    free(event);
    return 0;
}

/* ---- exits ---- */

bool visor__io_exit(visor_vcpu *vcpu)
{
    visor_vm *vm = vcpu->vm;
    visor_exit *exit = &vcpu->exit;

    if (atomic_load_explicit(&vm->io->served, memory_order_acquire) == 0)
        return false;
    /* Writes that cannot be read now are tried again at the next exit; this one must not be lost.
     */
    deliver_coalesced(vm);
    if (exit->reason != VISOR_EXIT_IO && exit->reason != VISOR_EXIT_MMIO)
        return false;
    return signal_event(vm, &exit->io) || call_handlers(vm, vcpu, &exit->io);
}
