/* SPDX-License-Identifier: BSD-3-Clause */
/* The optional tables of the null backend around a VM: I/O events, collected writes, time.
 */
#include "null/null.h"

#include <stdlib.h>

/* ---- I/O events and collected writes ---- */

static int io_event_add(visor_vm *vm, const visor_io_event *io_event)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_io_event *event;
    int ret = NULL_FAULT(vm->hv, io_event, add);

    if (ret < 0)
        return ret;
    event = malloc(sizeof(*event));
    if (event == NULL)
        return visor__error(VISOR_ENOMEM, "null", "io_event.add", "no memory");
    event->io = *io_event;
    visor__mutex_lock(&null->lock);
    event->next = null->events;
    null->events = event;
    visor__mutex_unlock(&null->lock);
    return 0;
}

static int io_event_remove(visor_vm *vm, const visor_io_event *io_event)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_io_event **at, *event;
    int ret = NULL_FAULT(vm->hv, io_event, remove);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&null->lock);
    at = &null->events;
    while (*at != NULL && (*at)->io.event != io_event->event) /* the core's own, so unique */
        at = &(*at)->next;
    event = *at;
    if (event != NULL)
        *at = event->next;
    visor__mutex_unlock(&null->lock);
    free(event);
    return event != NULL ? 0 : visor__error(VISOR_ENOENT, "null", "io_event.remove", "no such");
}

const struct visor__io_event_ops null_io_event_ops = {
    .add = io_event_add,
    .remove = io_event_remove,
};

static int coalesce_add(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_zone *zone;
    int ret = NULL_FAULT(vm->hv, coalesce, add);

    if (ret < 0)
        return ret;
    zone = malloc(sizeof(*zone));
    if (zone == NULL)
        return visor__error(VISOR_ENOMEM, "null", "coalesce.add", "no memory");
    *zone = (struct null_zone){.space = space, .address = address, .length = length};
    visor__mutex_lock(&null->lock);
    zone->next = null->zones;
    null->zones = zone;
    visor__mutex_unlock(&null->lock);
    return 0;
}

static int coalesce_remove(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_zone **at, *zone;
    int ret = NULL_FAULT(vm->hv, coalesce, remove);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&null->lock);
    at = &null->zones;
    while (*at != NULL &&
           ((*at)->space != space || (*at)->address != address || (*at)->length != length))
        at = &(*at)->next;
    zone = *at;
    if (zone != NULL)
        *at = zone->next;
    visor__mutex_unlock(&null->lock);
    free(zone);
    return zone != NULL ? 0 : visor__error(VISOR_ENOENT, "null", "coalesce.remove", "no such");
}

static int coalesce_take(visor_io *io, visor_vm *vm)
{
    struct null_vm *null = null_vm_of(vm);
    int ret = NULL_FAULT(vm->hv, coalesce, take);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&null->lock);
    if (null->ring_count > 0) {
        *io = null->ring[null->ring_first];
        null->ring_first = (null->ring_first + 1) % NULL_RING_SIZE;
        null->ring_count--;
        ret = 1;
    }
    visor__mutex_unlock(&null->lock);
    return ret;
}

const struct visor__coalesce_ops null_coalesce_ops = {
    .add = coalesce_add,
    .remove = coalesce_remove,
    .take = coalesce_take,
};

/* ---- time ---- */

static int clock_get(uint64_t *out, visor_vm *vm)
{
    int ret = NULL_FAULT(vm->hv, clock, get);

    if (ret == 0)
        *out = null_vm_of(vm)->clock_ns;
    return ret;
}

static int clock_set(visor_vm *vm, uint64_t ns)
{
    int ret = NULL_FAULT(vm->hv, clock, set);

    if (ret == 0)
        null_vm_of(vm)->clock_ns = ns;
    return ret;
}

const struct visor__clock_ops null_clock_ops = {.get = clock_get, .set = clock_set};
