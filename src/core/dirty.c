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

int visor_vm_dirty_log(void *bitmap, size_t capacity, visor_vm *vm, uint32_t id)
{
    static const char op[] = "visor_vm_dirty_log";
    struct visor__slot *slot;
    size_t size = 0;
    int ret = VISOR_ENOENT;

    visor__mutex_lock(&vm->lock);
    slot = visor__slot_find(vm, id, op);
    if (slot != NULL) {
        size = visor_dirty_log_size(slot->mapping->length);
        if (slot->dirty == NULL)
            ret = visor__error(VISOR_ESTATE, "", op, "slot %u was added without a log", id);
        else if (capacity < size)
            ret = visor__error(VISOR_EINVAL, "", op, "a buffer of %zu bytes, but %zu are needed",
                               capacity, size);
        else
            ret = update(vm, slot);
    }
    if (ret == 0) {
        memcpy(bitmap, slot->dirty, size);
        memset(slot->dirty, 0, visor__dirty_words(slot->map.length) * sizeof(*slot->dirty));
    }
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/*
 * Takes the bitmap of the next logging slot at or after *id. Returns 1 with *id, the words and
 * their number, or 0 if no such slot is left. The slot gets a new bitmap, so that the caller can
 * read this one without the lock.
 */
static int take_next(uint64_t **words, size_t *count, visor_vm *vm, uint32_t *id)
{
    struct visor__slots *slots = vm->slots;
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    while (*id < slots->count && (slots->table[*id] == NULL || slots->table[*id]->dirty == NULL ||
                                  slots->table[*id]->leaving))
        ++*id;
    if (*id < slots->count) {
        struct visor__slot *slot = slots->table[*id];
        uint64_t *fresh;

        *count = visor__dirty_words(slot->map.length);
        fresh = calloc(*count, sizeof(*fresh));
        if (fresh == NULL)
            ret = visor__error(VISOR_ENOMEM, "", "visor_vm_dirty_harvest",
                               "no memory for a bitmap of %zu words", *count);
        else
            ret = update(vm, slot);
        if (ret == 0) {
            *words = slot->dirty;
            slot->dirty = fresh;
            ret = 1;
        } else {
            free(fresh);
        }
    }
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_vm_dirty_harvest(visor_vm *vm,
                           void (*page)(void *context, uint32_t slot, uint64_t offset),
                           void *context)
{
    uint64_t page_size = visor__os_page_size();
    uint64_t *words = NULL;
    size_t count = 0;
    int total = 0;
    int ret;

    if (vm->hv->backend->dirty == NULL)
        return visor__unsupported(vm->hv, "visor_vm_dirty_harvest", "it has no dirty log");
    for (uint32_t id = 0; (ret = take_next(&words, &count, vm, &id)) > 0; id++) {
        for (size_t i = 0; i < count; i++) {
            for (uint64_t rest = words[i]; rest != 0; rest &= rest - 1) {
                uint64_t number = i * 64 + (unsigned)__builtin_ctzll(rest);

                page(context, id, number * page_size);
                total += total < INT_MAX;
            }
        }
        free(words);
    }
    return ret < 0 ? ret : total;
}
