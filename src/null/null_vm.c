/* SPDX-License-Identifier: BSD-3-Clause */
/* The VM of the null backend: memory, and what becomes of a guest's accesses to it. */
#include "null/null.h"

#include <stdlib.h>
#include <string.h>

static int create(visor_vm *vm)
{
    int ret = NULL_FAULT(vm->hv, vm, create);

    if (ret == 0)
        ret = visor__mutex_init(&null_vm_of(vm)->lock);
    if (ret < 0)
        return ret;
    ret = null_chip_create(vm);
    if (ret < 0)
        visor__mutex_destroy(&null_vm_of(vm)->lock);
    return ret;
}

static void slot_free(struct null_slot *slot)
{
    free(slot->dirty);
    free(slot);
}

static void destroy(visor_vm *vm)
{
    struct null_vm *null = null_vm_of(vm);

    while (null->slots != NULL) {
        struct null_slot *slot = null->slots;

        null->slots = slot->next;
        slot_free(slot);
    }
    while (null->zones != NULL) {
        struct null_zone *zone = null->zones;

        null->zones = zone->next;
        free(zone);
    }
    while (null->events != NULL) {
        struct null_io_event *event = null->events;

        null->events = event->next;
        free(event);
    }
    visor__irqchip_detach(vm);
    visor__mutex_destroy(&null->lock);
}

static int64_t cap(visor_vm *vm, visor_cap cap)
{
    switch (cap) {
    case VISOR_CAP_X86_XSAVE_SIZE: return NULL_XSAVE_SIZE;
    case VISOR_CAP_X86_NESTED_STATE_SIZE: return NULL_NESTED_SIZE;
    case VISOR_CAP_READ_ONLY:
    case VISOR_CAP_HYPERCALLS:
    case VISOR_CAP_DEBUG:
    case VISOR_CAP_MP_STATE: return 1;
    case VISOR_CAP_HW_BREAKPOINTS: return 4;
    default: return vm->hv->backend->hv->cap(vm->hv, cap);
    }
}

/* ---- memory ---- */

static size_t dirty_words(uint64_t length)
{
    return (size_t)((length / visor__os_page_size() + 63) / 64);
}

static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_slot *slot;
    int ret = NULL_FAULT(vm->hv, vm, map);

    if (ret < 0)
        return ret;
    slot = calloc(1, sizeof(*slot));
    if (slot != NULL && map->log_dirty)
        slot->dirty = calloc(dirty_words(map->length), sizeof(*slot->dirty));
    if (slot == NULL || (map->log_dirty && slot->dirty == NULL)) {
        free(slot);
        return visor__error(VISOR_ENOMEM, "null", "vm.map", "slot %u", map->slot);
    }
    slot->map = *map;
    visor__mutex_lock(&null->lock);
    slot->next = null->slots;
    null->slots = slot;
    visor__mutex_unlock(&null->lock);
    return 0;
}

static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    struct null_vm *null = null_vm_of(vm);
    struct null_slot **at, *slot;
    int ret = NULL_FAULT(vm->hv, vm, unmap);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&null->lock);
    at = &null->slots;
    while (*at != NULL && (*at)->map.slot != map->slot)
        at = &(*at)->next;
    slot = *at;
    if (slot != NULL)
        *at = slot->next;
    visor__mutex_unlock(&null->lock);
    if (slot == NULL)
        return visor__error(VISOR_ENOENT, "null", "vm.unmap", "slot %u", map->slot);
    slot_free(slot);
    return 0;
}

/* The slot that holds the whole range; NULL if none does. The VM's lock. */
static struct null_slot *find_slot(const struct null_vm *null, uint64_t gpa, uint64_t length)
{
    struct null_slot *slot = null->slots;

    while (slot != NULL && (gpa < slot->map.gpa || gpa - slot->map.gpa >= slot->map.length ||
                            length > slot->map.length - (gpa - slot->map.gpa)))
        slot = slot->next;
    return slot;
}

bool null_vm_fetch(void *out, visor_vm *vm, uint64_t gpa, size_t length)
{
    struct null_vm *null = null_vm_of(vm);
    const struct null_slot *slot;

    visor__mutex_lock(&null->lock);
    slot = find_slot(null, gpa, length);
    if (slot != NULL)
        memcpy(out, (uint8_t *)slot->map.host + (gpa - slot->map.gpa), length);
    visor__mutex_unlock(&null->lock);
    return slot != NULL;
}

static void mark_dirty(struct null_slot *slot, uint64_t offset, uint64_t length)
{
    uint64_t page_size = visor__os_page_size();

    for (uint64_t page = offset / page_size; page <= (offset + length - 1) / page_size; page++)
        slot->dirty[page / 64] |= UINT64_C(1) << page % 64;
}

/* Whether memory serves the access: reads everywhere, writes unless it is read-only. */
static bool access_memory(const struct null_vm *null, visor_io *io)
{
    struct null_slot *slot;
    uint8_t *host;

    if (io->space != VISOR_MMIO)
        return false;
    slot = find_slot(null, io->address, io->length);
    if (slot == NULL || (io->is_write && slot->map.read_only))
        return false;
    host = (uint8_t *)slot->map.host + (io->address - slot->map.gpa);
    if (!io->is_write) {
        memcpy(io->data, host, io->length);
        return true;
    }
    memcpy(host, io->data, io->length);
    if (slot->dirty != NULL)
        mark_dirty(slot, io->address - slot->map.gpa, io->length);
    return true;
}

/* Whether an I/O event was signalled for the write. */
static bool access_event(const struct null_vm *null, const visor_io *io)
{
    for (const struct null_io_event *event = null->events; event != NULL; event = event->next) {
        if (event->io.space == io->space && event->io.address == io->address &&
            (event->io.length == 0 || event->io.length == io->length) &&
            (!event->io.match || event->io.value == visor_io_value(io))) {
            visor__os_event_signal(event->io.event);
            return true;
        }
    }
    return false;
}

/* Whether the write was collected. One that finds the ring full is an exit. */
static bool access_zone(struct null_vm *null, const visor_io *io)
{
    const struct null_zone *zone = null->zones;

    while (zone != NULL && (io->space != zone->space || io->address < zone->address ||
                            io->address - zone->address >= zone->length ||
                            io->length > zone->length - (io->address - zone->address)))
        zone = zone->next;
    if (zone == NULL || null->ring_count == NULL_RING_SIZE)
        return false;
    null->ring[(null->ring_first + null->ring_count++) % NULL_RING_SIZE] = *io;
    return true;
}

enum null_result null_vm_access(visor_vm *vm, visor_io *io)
{
    struct null_vm *null = null_vm_of(vm);
    bool served;

    visor__mutex_lock(&null->lock);
    served = access_memory(null, io) ||
             (io->is_write && (access_event(null, io) || access_zone(null, io)));
    visor__mutex_unlock(&null->lock);
    return served ? NULL_SERVED : NULL_EXITS;
}

/* ---- what has nothing behind it ---- */

static int native_cap(int64_t *out, visor_vm *vm, uint32_t number)
{
    int ret = NULL_FAULT(vm->hv, vm, native_cap);

    if (ret == 0)
        *out = number == 0;
    return ret;
}

static int native_handle(visor_file *out, visor_vm *vm)
{
    int ret = NULL_FAULT(vm->hv, vm, native_handle);

    (void)out;
    return ret < 0 ? ret : visor__unsupported(vm->hv, "vm.native_handle", "a VM has no descriptor");
}

static int create_vfio(visor_file *out, visor_vm *vm)
{
    int ret = NULL_FAULT(vm->hv, vm, create_vfio);

    (void)out;
    return ret < 0 ? ret : visor__unsupported(vm->hv, "vm.create_vfio", "there are no devices");
}

static int enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    (void)first;
    (void)count;
    return NULL_FAULT(vm->hv, vm, enable_hypercalls);
}

static int inflate(visor_vm *vm, uint64_t gpa, uint64_t length)
{
    (void)gpa;
    (void)length;
    return NULL_FAULT(vm->hv, vm, inflate);
}

static int deflate(visor_vm *vm, uint64_t gpa, uint64_t length)
{
    (void)gpa;
    (void)length;
    return NULL_FAULT(vm->hv, vm, deflate);
}

static int load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    int ret = NULL_FAULT(vm->hv, vm, load_firmware);

    (void)out;
    (void)gpa;
    (void)max_size;
    return ret < 0 ? ret : visor__error(VISOR_ENOENT, "null", "vm.load_firmware", "there is none");
}

const struct visor__vm_ops null_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = cap,
    .map = map,
    .unmap = unmap,
    .native_cap = native_cap,
    .native_handle = native_handle,
    .create_vfio = create_vfio,
    .load_firmware = load_firmware,
    .enable_hypercalls = enable_hypercalls,
    .inflate = inflate,
    .deflate = deflate,
};

/* ---- dirty pages ---- */

/*
 * With a dirty ring, which all slots share, the pages of other slots come along, as they do with
 * the rings of a real hypervisor.
 */
static int dirty_log(uint64_t *bitmap, visor_vm *vm, uint32_t id, uint64_t length)
{
    struct null_vm *null = null_vm_of(vm);
    int ret = NULL_FAULT(vm->hv, dirty, log);

    if (ret < 0)
        return ret;
    (void)length;
    visor__mutex_lock(&null->lock);
    for (struct null_slot *slot = null->slots; slot != NULL; slot = slot->next) {
        if (slot->dirty == NULL || (slot->map.slot != id && vm->config.dirty_ring_entries == 0))
            continue;
        for (size_t word = 0; word < dirty_words(slot->map.length); word++) {
            if (slot->map.slot == id)
                bitmap[word] |= slot->dirty[word];
            for (unsigned bit = 0; slot->map.slot != id && bit < 64; bit++) {
                if ((slot->dirty[word] >> bit & 1) != 0)
                    visor__dirty_mark(vm, slot->map.slot, word * 64 + bit);
            }
            slot->dirty[word] = 0;
        }
    }
    visor__mutex_unlock(&null->lock);
    return 0;
}

const struct visor__dirty_ops null_dirty_ops = {.log = dirty_log};
