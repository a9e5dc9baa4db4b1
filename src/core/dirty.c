/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dirty pages. Each logging slot has a bitmap of whole words here, into which the backend ORs what
 * it has: hypervisors write whole words (KVM: ceil(pages/64)*8 bytes), and a caller's buffer of the
 * documented size is smaller; a dirty ring also yields pages of other slots than the one asked for.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/vm.h"

static uint64_t pages_of(uint64_t length)
{
    uint64_t page = visor__os_page_size();

    return length / page + (length % page != 0);
}

size_t visor__dirty_words(uint64_t length)
{
    return (size_t)((pages_of(length) + 63) / 64);
}

size_t visor_dirty_log_size(uint64_t length)
{
    return (size_t)((pages_of(length) + 7) / 8);
}

void visor__dirty_mark(visor_vm *vm, uint32_t id, uint64_t page)
{
    struct visor__slot *slot = id < vm->slots->count ? vm->slots->table[id] : NULL;

    if (slot != NULL && slot->dirty != NULL && page < pages_of(slot->map.length))
        slot->dirty[page / 64] |= UINT64_C(1) << page % 64;
}

/* Brings the slot's bitmap up to date. VM lock. */
static int update(visor_vm *vm, struct visor__slot *slot)
{
    return vm->hv->backend->dirty->log(slot->dirty, vm, slot->map.slot, slot->map.length);
}

/* VM lock. */
static int log_slot(void *bitmap, size_t capacity, visor_vm *vm, uint32_t id)
{
    static const char op[] = "visor_vm_dirty_log";
    struct visor__slot *slot = visor__slot_find(vm, id, op);
    size_t size;
    int ret;

    if (slot == NULL)
        return VISOR_ENOENT;
    if (slot->dirty == NULL)
        return visor__error(VISOR_ESTATE, "", op, "slot %u was added without a log", id);
    size = visor_dirty_log_size(slot->mapping->length);
    if (capacity < size)
        return visor__error(VISOR_EINVAL, "", op, "a buffer of %zu bytes, but %zu are needed",
                            capacity, size);
    ret = update(vm, slot);
    if (ret < 0)
        return ret;
    memcpy(bitmap, slot->dirty, size);
    memset(slot->dirty, 0, visor__dirty_words(slot->map.length) * sizeof(*slot->dirty));
    return 0;
}

int visor_vm_dirty_log(void *bitmap, size_t capacity, visor_vm *vm, uint32_t id)
{
    int ret;

    visor__mutex_lock(&vm->lock);
    ret = log_slot(bitmap, capacity, vm, id);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/* The first logging slot at or after *id, NULL if there is none. VM lock. */
static struct visor__slot *next_logging(const visor_vm *vm, uint32_t *id)
{
    for (; *id < vm->slots->count; ++*id) {
        struct visor__slot *slot = vm->slots->table[*id];

        if (slot != NULL && slot->dirty != NULL && !slot->leaving)
            return slot;
    }
    return NULL;
}

/*
 * Takes the bitmap of the next logging slot at or after *id: *id, its words and their number; NULL
 * if no such slot is left. The slot gets a new bitmap, so that the caller can read this one without
 * the lock. VM lock.
 */
static int take_next(uint64_t **words, size_t *count, visor_vm *vm, uint32_t *id)
{
    struct visor__slot *slot = next_logging(vm, id);
    uint64_t *fresh;
    int ret;

    *words = NULL;
    *count = 0;
    if (slot == NULL)
        return 0;
    fresh = calloc(visor__dirty_words(slot->map.length), sizeof(*fresh));
    if (fresh == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_dirty_harvest", "no memory for a bitmap");
    ret = update(vm, slot);
    if (ret < 0) {
        free(fresh);
        return ret;
    }
    *words = slot->dirty;
    *count = visor__dirty_words(slot->map.length);
    slot->dirty = fresh;
    return 0;
}

int visor_vm_dirty_harvest(visor_vm *vm,
                           void (*page)(void *context, uint32_t slot, uint64_t offset),
                           void *context)
{
    uint64_t page_size = visor__os_page_size();
    int total = 0;

    if (vm->hv->backend->dirty == NULL)
        return visor__unsupported(vm->hv, "visor_vm_dirty_harvest", "it has no dirty log");
    for (uint32_t id = 0;; id++) {
        uint64_t *words;
        size_t count;
        int ret;

        visor__mutex_lock(&vm->lock);
        ret = take_next(&words, &count, vm, &id);
        visor__mutex_unlock(&vm->lock);
        if (words == NULL)
            return ret < 0 ? ret : total;
        for (size_t i = 0; i < count; i++) {
            for (uint64_t rest = words[i]; rest != 0; rest &= rest - 1) {
                page(context, id, (i * 64 + (unsigned)__builtin_ctzll(rest)) * page_size);
                total += total < INT_MAX;
            }
        }
        free(words);
    }
}
