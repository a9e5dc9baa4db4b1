/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Collected writes. A guest's write to a zone goes into a ring of the VM in place of leaving the
 * run loop; when the ring is full, it is an exit like any other, before which the core takes what
 * is in the ring. Zones change only while no vCPU is in guest code, so that vCPUs look for one
 * without a lock.
 */
#include <stdlib.h>

#include "soft/soft.h"

static bool is_in(const struct soft_zone *zone, const visor_io *io)
{
    return io->space == zone->space && io->address >= zone->address &&
           io->address - zone->address < zone->length &&
           io->length <= zone->length - (io->address - zone->address);
}

bool soft_coalesce(struct soft_vm *soft, const visor_io *io)
{
    struct soft_coalesce *collected = &soft->collected;
    bool has_room = false;
    size_t i = 0;

    while (i < collected->zone_count && !is_in(&collected->zones[i], io))
        i++;
    /* Where time is counted, when the ring is full would be the host's. */
    if (i == collected->zone_count || !io->is_write || soft->machine.devices.tsc == NULL)
        return false;
    visor__mutex_lock(&soft->machine.lock);
    if (collected->count < SOFT_COLLECTED_MAX) {
        collected->ring[(collected->first + collected->count++) % SOFT_COLLECTED_MAX] = *io;
        has_room = true;
    }
    visor__mutex_unlock(&soft->machine.lock);
    return has_room;
}

static int add(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    struct soft_vm *soft = soft_vm_of(vm);
    struct soft_coalesce *collected = &soft->collected;
    struct soft_zone *zones;
    int ret = 0;

    if (collected->ring == NULL)
        collected->ring = malloc(SOFT_COLLECTED_MAX * sizeof(*collected->ring));
    if (collected->ring == NULL)
        return visor__error(VISOR_ENOMEM, "soft", "coalesce.add", "the ring");
    soft_machine_stop(&soft->machine);
    zones = realloc(collected->zones, (collected->zone_count + 1) * sizeof(*zones));
    if (zones == NULL) {
        ret = visor__error(VISOR_ENOMEM, "soft", "coalesce.add", "zone %zu", collected->zone_count);
    } else {
        collected->zones = zones;
        zones[collected->zone_count++] =
            (struct soft_zone){.space = space, .address = address, .length = length};
    }
    soft_machine_go(&soft->machine);
    return ret;
}

static int remove_zone(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    struct soft_vm *soft = soft_vm_of(vm);
    struct soft_coalesce *collected = &soft->collected;
    size_t i = 0;

    while (i < collected->zone_count &&
           (collected->zones[i].space != space || collected->zones[i].address != address ||
            collected->zones[i].length != length))
        i++;
    if (i == collected->zone_count)
        return visor__error(VISOR_ENOENT, "soft", "coalesce.remove", "0x%llx bytes at 0x%llx",
                            (unsigned long long)length, (unsigned long long)address);
    soft_machine_stop(&soft->machine);
    collected->zones[i] = collected->zones[--collected->zone_count];
    soft_machine_go(&soft->machine);
    return 0;
}

static int take(visor_io *io, visor_vm *vm)
{
    struct soft_vm *soft = soft_vm_of(vm);
    struct soft_coalesce *collected = &soft->collected;
    int taken = 0;

    visor__mutex_lock(&soft->machine.lock);
    if (collected->count > 0) {
        *io = collected->ring[collected->first];
        collected->first = (collected->first + 1) % SOFT_COLLECTED_MAX;
        collected->count--;
        taken = 1;
    }
    visor__mutex_unlock(&soft->machine.lock);
    return taken;
}

void soft_coalesce_destroy(struct soft_vm *soft)
{
    free(soft->collected.zones);
    free(soft->collected.ring);
}

const struct visor__coalesce_ops soft_coalesce_ops = {
    .add = add,
    .remove = remove_zone,
    .take = take,
};
