/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory slots: guest memory has the ids 0 ... n-1, added mappings the smallest free one. */
#include <stdlib.h>

#include "core/memory.h"
#include "core/vm.h"

typedef unsigned long long ull;

/* Whether the guest can have [gpa, gpa+length), length > 0. */
static int check_range(const visor_vm *vm, uint64_t gpa, uint64_t length, const char *operation)
{
    uint64_t last = gpa + (length - 1);

    if (gpa % visor__os_page_size() != 0)
        return visor__error(VISOR_EALIGN, "", operation, "guest address 0x%llx", (ull)gpa);
    if (last < gpa || last > vm->slots->gpa_last)
        return visor__error(VISOR_EOVERFLOW, "", operation,
                            "0x%llx bytes at 0x%llx; the last guest address is 0x%llx", (ull)length,
                            (ull)gpa, (ull)vm->slots->gpa_last);
    return 0;
}

/* What the VM can do for a slot of this kind. */
static int check_kind(visor_vm *vm, bool read_only, bool log_dirty, const char *operation)
{
    if (read_only && visor_vm_cap(vm, VISOR_CAP_READ_ONLY) == 0)
        return visor__unsupported(vm->hv, operation, "no read-only memory in this VM");
    if (log_dirty && visor_vm_cap(vm, VISOR_CAP_DIRTY_LOG) == 0)
        return visor__unsupported(vm->hv, operation, "it has no dirty log");
    return 0;
}

/* Makes the table hold at least count ids. */
static int grow(struct visor__slots *slots, uint32_t count, const char *operation)
{
    struct visor__slot **table;

    if (count > slots->max)
        return visor__error(VISOR_ELIMIT, "", operation, "all %u slots are in use", slots->max);
    if (count <= slots->count)
        return 0;
    table = realloc(slots->table, count * sizeof(void *));
    if (table == NULL)
        return visor__error(VISOR_ENOMEM, "", operation, "no memory for the table of slots");
    slots->table = table;
    while (slots->count < count)
        table[slots->count++] = NULL;
    return 0;
}

static void slot_free(struct visor__slot *slot)
{
    if (slot->mapping != NULL)
        atomic_store(&slot->mapping->held, false);
    free(slot->dirty);
    free(slot);
}

/* A slot with room for its dirty bitmap. */
static int slot_alloc(struct visor__slot **out, const struct visor__slot_map *map,
                      const char *operation)
{
    struct visor__slot *slot = calloc(1, sizeof(*slot));

    if (slot != NULL && map->log_dirty)
        slot->dirty = calloc(visor__dirty_words(map->length), sizeof(*slot->dirty));
    if (slot == NULL || (map->log_dirty && slot->dirty == NULL)) {
        free(slot);
        return visor__error(VISOR_ENOMEM, "", operation, "no memory for the slot");
    }
    slot->map = *map;
    *out = slot;
    return 0;
}

/* Maps one region of guest memory as the slot with its index. */
static int add_region(visor_vm *vm, uint32_t id)
{
    static const char op[] = "visor_vm_create";
    const struct visor__region *region = &vm->memory->regions[id];
    const struct visor__slot_map map = {
        .slot = id,
        .gpa = region->info.gpa,
        .length = region->info.length,
        .host = region->info.host,
        .read_only = region->info.read_only,
        .purpose = region->info.purpose,
        .is_memory = true,
    };
    struct visor__slot *slot;
    int ret = check_range(vm, map.gpa, map.length, op);

    if (ret == 0)
        ret = check_kind(vm, map.read_only, false, op);
    if (ret == 0)
        ret = slot_alloc(&slot, &map, op);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    ret = vm->hv->backend->vm->map(vm, &map);
    visor__mutex_unlock(&vm->lock);
    if (ret < 0) {
        slot_free(slot);
        return ret;
    }
    vm->slots->table[id] = slot;
    return 0;
}

int visor__slots_create(visor_vm *vm)
{
    int64_t max = visor_vm_cap(vm, VISOR_CAP_MAX_SLOTS);
    int64_t bits = visor_vm_cap(vm, VISOR_CAP_GPA_BITS);
    struct visor__slots *slots = calloc(1, sizeof(*slots));
    int ret;

    if (slots == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "no memory for the slots");
    slots->max = max > 0 && max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
    slots->gpa_last = bits > 0 && bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
    vm->slots = slots;
    if (vm->memory->count > slots->max)
        return visor__error(VISOR_ELIMIT, "", "visor_vm_create",
                            "%zu regions of memory, but only %u slots", vm->memory->count,
                            slots->max);
    ret = grow(slots, (uint32_t)vm->memory->count, "visor_vm_create");
    for (uint32_t id = 0; ret == 0 && id < vm->memory->count; id++)
        ret = add_region(vm, id);
    return ret;
}

void visor__slots_destroy(visor_vm *vm)
{
    struct visor__slots *slots = vm->slots;

    if (slots == NULL)
        return;
    for (uint32_t id = 0; id < slots->count; id++) {
        struct visor__slot *slot = slots->table[id];

        if (slot != NULL) {
            visor_mapping *mapping = slot->mapping;

            slot_free(slot);
            visor_mapping_free(mapping);
        }
    }
    free(slots->table);
    free(slots);
}

struct visor__slot *visor__slot_find(visor_vm *vm, uint32_t slot, const char *operation)
{
    struct visor__slots *slots = vm->slots;
    struct visor__slot *found = slot < slots->count ? slots->table[slot] : NULL;

    if (found != NULL && found->mapping != NULL && !found->leaving)
        return found;
    visor__error(VISOR_ENOENT, "", operation,
                 found != NULL && found->mapping == NULL ? "slot %u is guest memory" : "slot %u",
                 slot);
    return NULL;
}

/* No other slot may have any byte of the range. VM lock. */
static int check_overlap(const visor_vm *vm, uint64_t gpa, uint64_t length)
{
    static const char op[] = "visor_vm_add_slot";

    for (uint32_t id = 0; id < vm->slots->count; id++) {
        const struct visor__slot *other = vm->slots->table[id];

        if (other == NULL || gpa > other->map.gpa + (other->map.length - 1) ||
            other->map.gpa > gpa + (length - 1))
            continue;
        return visor__error(other->mapping == NULL ? VISOR_EOVERLAP : VISOR_EEXIST, "", op,
                            "0x%llx bytes at 0x%llx overlap slot %u (0x%llx bytes at 0x%llx)",
                            (ull)length, (ull)gpa, id, (ull)other->map.length, (ull)other->map.gpa);
    }
    return 0;
}

/* Puts a checked slot at the smallest free id and maps it. VM lock. */
static int insert(visor_vm *vm, struct visor__slot *slot)
{
    struct visor__slots *slots = vm->slots;
    uint32_t id = 0;
    int ret = check_overlap(vm, slot->map.gpa, slot->map.length);

    if (ret < 0)
        return ret;
    while (id < slots->count && slots->table[id] != NULL)
        id++;
    if (id == slots->count) {
        ret = grow(slots, slots->count < UINT32_MAX ? slots->count + 1 : UINT32_MAX,
                   "visor_vm_add_slot");
        if (ret < 0)
            return ret;
    }
    slot->map.slot = id;
    ret = vm->hv->backend->vm->map(vm, &slot->map);
    if (ret == 0)
        slots->table[id] = slot;
    return ret;
}

int visor_vm_add_slot(uint32_t *out, visor_vm *vm, visor_mapping *mapping,
                      const visor_slot_config *user_config)
{
    static const char op[] = "visor_vm_add_slot";
    struct visor__slot_map map;
    struct visor__slot *slot;
    visor_slot_config config;
    int ret = visor__config_copy(&config, sizeof(config), user_config, op);

    if (ret < 0)
        return ret;
    if (!mapping->host_writable && !config.read_only) {
        visor__error(VISOR_EACCESS, "", op, "the mapping is a file that can only be read");
        return visor__error_hint("set read_only, or map the file writable");
    }
    map = (struct visor__slot_map){
        .gpa = config.gpa,
        .length = visor__page_round(mapping->length),
        .host = mapping->host,
        .read_only = config.read_only,
        .log_dirty = config.log_dirty,
        .noncoherent = config.noncoherent && visor_vm_cap(vm, VISOR_CAP_NONCOHERENT_DMA) != 0,
    };
    ret = check_range(vm, map.gpa, map.length, op);
    if (ret == 0)
        ret = check_kind(vm, map.read_only, map.log_dirty, op);
    if (ret == 0)
        ret = slot_alloc(&slot, &map, op);
    if (ret < 0)
        return ret;
    if (atomic_exchange(&mapping->held, true)) {
        slot_free(slot);
        return visor__error(VISOR_EBUSY, "", op, "a slot holds this mapping already");
    }
    slot->mapping = mapping;

    visor__mutex_lock(&vm->lock);
    ret = insert(vm, slot);
    if (ret == 0)
        *out = slot->map.slot;
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        slot_free(slot);
    return ret;
}

int visor_vm_remove_slot(visor_mapping **out, visor_vm *vm, uint32_t id)
{
    struct visor__slot *slot;
    int ret = VISOR_ENOENT;

    visor__mutex_lock(&vm->lock);
    slot = visor__slot_find(vm, id, "visor_vm_remove_slot");
    if (slot != NULL) {
        slot->leaving = true;
        for (unsigned attempt = 0; slot->pins != 0; attempt++) {
            visor__mutex_unlock(&vm->lock);
            visor__os_pause(attempt);
            visor__mutex_lock(&vm->lock);
        }
        ret = vm->hv->backend->vm->unmap(vm, &slot->map);
        slot->leaving = false;
        if (ret == 0)
            vm->slots->table[id] = NULL;
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        return ret;
    *out = slot->mapping;
    slot_free(slot);
    return 0;
}

/*
 * Finds the slot and keeps it from being removed, without holding the VM lock, which the exits of
 * all vCPUs may need: writing a file back can take seconds.
 */
static int pin(struct visor__slot **out, visor_vm *vm, uint32_t id, uint64_t offset,
               uint64_t length, const char *operation)
{
    struct visor__slot *slot;
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    slot = visor__slot_find(vm, id, operation);
    if (slot == NULL)
        ret = VISOR_ENOENT;
    else if (offset > slot->mapping->length || length > slot->mapping->length - offset)
        ret = visor__error(VISOR_ERANGE, "", operation,
                           "0x%llx bytes at 0x%llx of slot %u, which has 0x%llx", (ull)length,
                           (ull)offset, id, (ull)slot->mapping->length);
    else if (offset % visor__os_page_size() != 0)
        ret = visor__error(VISOR_EALIGN, "", operation, "offset 0x%llx", (ull)offset);
    else
        slot->pins++;
    visor__mutex_unlock(&vm->lock);
    *out = slot;
    return ret;
}

static void unpin(visor_vm *vm, struct visor__slot *slot)
{
    visor__mutex_lock(&vm->lock);
    slot->pins--;
    visor__mutex_unlock(&vm->lock);
}

/* As pin(), for what changes the host memory behind the guest's. */
static int pin_to_change(struct visor__slot **out, visor_vm *vm, uint32_t id, uint64_t offset,
                         uint64_t length, const char *operation)
{
    const char *why_not = vm->hv->backend->pinned;
    int ret = pin(out, vm, id, offset, length, operation);

    if (ret < 0 || why_not == NULL)
        return ret;
    unpin(vm, *out);
    return visor__unsupported(vm->hv, operation, why_not);
}

/* Lets the system do something with part of a slot's host memory. */
static int advise(visor_vm *vm, uint32_t id, uint64_t offset, uint64_t length,
                  const char *operation, int (*act)(void *host, uint64_t length))
{
    struct visor__slot *slot;
    int ret = act == visor__os_sync ? pin(&slot, vm, id, offset, length, operation)
                                    : pin_to_change(&slot, vm, id, offset, length, operation);

    if (ret < 0)
        return ret;
    if (length > 0)
        ret = act((uint8_t *)slot->mapping->host + offset, length);
    unpin(vm, slot);
    return ret;
}

int visor_vm_slot_sync(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length)
{
    return advise(vm, slot, offset, length, "visor_vm_slot_sync", visor__os_sync);
}

int visor_vm_slot_page_out(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length)
{
    return advise(vm, slot, offset, length, "visor_vm_slot_page_out", visor__os_page_out);
}

int visor_vm_slot_discard(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length)
{
    return advise(vm, slot, offset, length, "visor_vm_slot_discard", visor__os_discard);
}

/* As pin(), for a slot that must be an arena. */
static int pin_arena(struct visor__slot **out, visor_vm *vm, uint32_t id, uint64_t offset,
                     uint64_t length, const char *operation)
{
    int ret = pin_to_change(out, vm, id, offset, length, operation);

    if (ret < 0 || (*out)->mapping->kind == VISOR__MAPPING_ARENA)
        return ret;
    unpin(vm, *out);
    return visor__error(VISOR_EUNSUPPORTED, "", operation, "slot %u is not an arena", id);
}

int visor_vm_slot_map_file(visor_vm *vm, uint32_t id, uint64_t offset, uint64_t length,
                           visor_file file, uint64_t file_offset, bool writable)
{
    struct visor__slot *slot;
    int ret = pin_arena(&slot, vm, id, offset, length, "visor_vm_slot_map_file");

    if (ret < 0)
        return ret;
    if (length > 0)
        ret = visor__os_arena_set((uint8_t *)slot->mapping->host + offset, length, file,
                                  file_offset, writable);
    unpin(vm, slot);
    return ret;
}

int visor_vm_slot_unmap(visor_vm *vm, uint32_t id, uint64_t offset, uint64_t length)
{
    struct visor__slot *slot;
    int ret = pin_arena(&slot, vm, id, offset, length, "visor_vm_slot_unmap");

    if (ret < 0)
        return ret;
    if (length > 0)
        ret = visor__os_arena_clear((uint8_t *)slot->mapping->host + offset, length);
    unpin(vm, slot);
    return ret;
}
