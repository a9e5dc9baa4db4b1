/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory as the guest itself would access it: by slot, with the slot's rights and its log. */
#include <string.h>

#include "assist/assist.h"
#include "core/vm.h"

/* Both ways with one access of the host for one of the guest, where that is possible: aligned. */
static void load(void *data, const void *host, size_t length)
{
    const size_t aligned = (uintptr_t)host % length == 0 ? length : 0;
    uint64_t value;

    switch (aligned) {
    case 2: value = __atomic_load_n((const uint16_t *)host, __ATOMIC_RELAXED); break;
    case 4: value = __atomic_load_n((const uint32_t *)host, __ATOMIC_RELAXED); break;
    case 8: value = __atomic_load_n((const uint64_t *)host, __ATOMIC_RELAXED); break;
    default: memcpy(data, host, length); return;
    }
    memcpy(data, &value, length);
}

static void store(void *host, const void *data, size_t length)
{
    const size_t aligned = (uintptr_t)host % length == 0 ? length : 0;
    uint64_t value = 0;

    if (length <= sizeof(value))
        memcpy(&value, data, length);
    switch (aligned) {
    case 2: __atomic_store_n((uint16_t *)host, (uint16_t)value, __ATOMIC_RELAXED); return;
    case 4: __atomic_store_n((uint32_t *)host, (uint32_t)value, __ATOMIC_RELAXED); return;
    case 8: __atomic_store_n((uint64_t *)host, value, __ATOMIC_RELAXED); return;
    default: memcpy(host, data, length);
    }
}

/* The slot with the page of gpa. VM lock. */
static const struct visor__slot *find(const visor_vm *vm, uint64_t gpa)
{
    for (uint32_t id = 0; id < vm->slots->count; id++) {
        const struct visor__slot *slot = vm->slots->table[id];

        if (slot != NULL && !slot->leaving && gpa >= slot->map.gpa &&
            gpa - slot->map.gpa < slot->map.length)
            return slot;
    }
    return NULL;
}

int visor__assist_memory(void *context, uint64_t gpa, void *data, size_t length, bool is_write)
{
    visor_vm *vm = context;
    const struct visor__slot *slot;
    bool found;

    visor__mutex_lock(&vm->lock);
    slot = find(vm, gpa);
    found = slot != NULL && !(is_write && slot->map.read_only);
    if (found && data != NULL) {
        const uint64_t offset = gpa - slot->map.gpa;
        uint8_t *host = (uint8_t *)slot->map.host + offset;

        if (is_write) {
            store(host, data, length);
            visor__dirty_mark(vm, slot->map.slot, offset / visor__os_page_size());
        } else {
            load(data, host, length);
        }
    }
    visor__mutex_unlock(&vm->lock);
    return found;
}
