/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine around the CPUs: memory, and making all vCPUs stand still. */
#include <stdlib.h>
#include <string.h>

#include "core/x86.h"
#include "irqchip/irqchip.h"
#include "os/cpu.h"
#include "soft/memory.h"
#include "soft/mmu.h"
#include "soft/soft.h"

#define GPA_BITS 40

/* ---- stopping ---- */

void soft_machine_enter(struct soft_machine *machine)
{
    for (unsigned attempt = 0;; attempt++) {
        visor__mutex_lock(&machine->lock);
        if (machine->stopped == 0) {
            machine->inside++;
            visor__mutex_unlock(&machine->lock);
            return;
        }
        visor__mutex_unlock(&machine->lock);
        visor__os_pause(attempt);
    }
}

void soft_machine_leave(struct soft_machine *machine)
{
    visor__mutex_lock(&machine->lock);
    machine->inside--;
    visor__mutex_unlock(&machine->lock);
}

/* Until no more than so many vCPUs are inside. */
static void drain(struct soft_machine *machine, unsigned stay)
{
    bool all_out;

    for (unsigned attempt = 0;; attempt++) {
        visor__mutex_lock(&machine->lock);
        all_out = machine->inside <= stay;
        /* Each time: a vCPU may have been on its way in, and has cleared what it saw. */
        for (size_t i = 0; i < machine->cpu_count; i++)
            atomic_fetch_or(&machine->cpus[i]->attention, SOFT_LOOK_EXCLUSIVE);
        visor__mutex_unlock(&machine->lock);
        if (all_out)
            return;
        visor__os_pause(attempt);
    }
}

void soft_machine_stop(struct soft_machine *machine)
{
    visor__mutex_lock(&machine->lock);
    machine->stopped++;
    visor__mutex_unlock(&machine->lock);
    drain(machine, 0);
}

void soft_machine_stop_others(struct soft_machine *machine)
{
    for (;;) {
        visor__mutex_lock(&machine->lock);
        if (machine->stopped == 0)
            break;
        machine->inside--;
        visor__mutex_unlock(&machine->lock);
        soft_machine_enter(machine);
    }
    machine->stopped++;
    visor__mutex_unlock(&machine->lock);
    drain(machine, 1);
}

void soft_machine_go(struct soft_machine *machine)
{
    visor__mutex_lock(&machine->lock);
    machine->stopped--;
    visor__mutex_unlock(&machine->lock);
}

/* ---- the clock ---- */

static uint64_t host_clock(void *context, const struct soft_cpu *cpu)
{
    uint64_t value;

    (void)context;
    (void)cpu;
    return visor__cpu_tsc(&value) ? value : visor__os_now_ns();
}

/* ---- life ---- */

static int create(visor_vm *vm)
{
    struct soft_vm *soft = soft_vm_of(vm);
    struct soft_machine *machine = &soft->machine;
    uint64_t ignored;
    int ret;

    if (vm->config.protection != VISOR_UNPROTECTED)
        return visor__unsupported(vm->hv, "visor_vm_create",
                                  "a guest in this process has no secrets from it");
    ret = visor__mutex_init(&machine->lock);
    if (ret == 0)
        ret = visor__mutex_init(&machine->exchange_lock);
    if (ret < 0)
        return ret;
    soft->vm = vm;
    machine->gpa_last = (UINT64_C(1) << GPA_BITS) - 1;
    machine->devices = (struct soft_devices){.access = soft_chip_access,
                                             .get_cr8 = soft_chip_get_cr8,
                                             .set_cr8 = soft_chip_set_cr8,
                                             .context = soft};
    if (!soft_hv_of(vm->hv)->deterministic)
        machine->devices.tsc = host_clock;
    soft->tsc_hz = 1000000000;
    if (machine->devices.tsc != NULL && visor__cpu_tsc(&ignored))
        ret = visor__x86_measure_tsc(&soft->tsc_hz);
    soft_clock_init(soft);
    if (ret == 0)
        ret = soft_ticker_start(machine);
    if (ret < 0)
        return ret;
    ret = soft_chip_attach(vm);
    if (ret < 0)
        soft_ticker_stop(machine);
    return ret;
}

static void destroy(visor_vm *vm)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;

    visor__irqchip_detach(vm);
    soft_ticker_stop(machine);
    for (size_t i = 0; i < machine->range_count; i++)
        free(machine->ranges[i].dirty);
    free(machine->ranges);
    soft_coalesce_destroy(soft_vm_of(vm));
    visor__mutex_destroy(&machine->exchange_lock);
    visor__mutex_destroy(&machine->lock);
}

static int64_t cap(visor_vm *vm, visor_cap cap)
{
    return vm->hv->backend->hv->cap(vm->hv, cap);
}

/* ---- memory ---- */

static size_t dirty_words(uint64_t length)
{
    return (size_t)((length / SOFT_PAGE + 63) / 64);
}

static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;
    struct soft_range range = {.gpa = map->gpa,
                               .length = map->length,
                               .host = map->host,
                               .read_only = map->read_only,
                               .slot = map->slot};
    struct soft_range *ranges = malloc((machine->range_count + 1) * sizeof(*ranges)), *old;
    size_t at = 0;

    if (map->log_dirty)
        range.dirty = calloc(dirty_words(map->length), sizeof(*range.dirty));
    if (ranges == NULL || (map->log_dirty && range.dirty == NULL)) {
        free(range.dirty);
        free(ranges);
        return visor__error(VISOR_ENOMEM, "soft", "vm.map", "slot %u", map->slot);
    }
    old = machine->ranges;
    while (at < machine->range_count && old[at].gpa < map->gpa)
        at++;
    if (at > 0)
        memcpy(ranges, old, at * sizeof(*ranges));
    ranges[at] = range;
    if (at < machine->range_count)
        memcpy(ranges + at + 1, old + at, (machine->range_count - at) * sizeof(*ranges));
    soft_machine_stop(machine);
    machine->ranges = ranges;
    machine->range_count++;
    soft_machine_go(machine);
    free(old);
    return 0;
}

static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;
    atomic_ullong *dirty = NULL;
    size_t at = 0;

    while (at < machine->range_count && machine->ranges[at].slot != map->slot)
        at++;
    if (at == machine->range_count)
        return visor__error(VISOR_ENOENT, "soft", "vm.unmap", "slot %u", map->slot);
    soft_machine_stop(machine);
    dirty = machine->ranges[at].dirty;
    memmove(&machine->ranges[at], &machine->ranges[at + 1],
            (machine->range_count - at - 1) * sizeof(machine->ranges[0]));
    machine->range_count--;
    for (size_t i = 0; i < machine->cpu_count; i++)
        soft_tlb_flush(machine->cpus[i], true);
    soft_machine_go(machine);
    free(dirty);
    return 0;
}

static int dirty_log(uint64_t *bitmap, visor_vm *vm, uint32_t slot, uint64_t length)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;

    for (size_t i = 0; i < machine->range_count; i++) {
        struct soft_range *range = &machine->ranges[i];

        if (range->slot != slot || range->dirty == NULL)
            continue;
        /* Pages with an entry for writing are written without a mark. */
        soft_machine_stop(machine);
        for (size_t word = 0; word < dirty_words(length); word++)
            bitmap[word] |= atomic_exchange(&range->dirty[word], 0);
        for (size_t n = 0; n < machine->cpu_count; n++)
            soft_tlb_protect_all(machine->cpus[n]);
        soft_machine_go(machine);
    }
    return 0;
}

const struct visor__dirty_ops soft_dirty_ops = {.log = dirty_log};

/* ---- MSR exits ---- */

static bool msr_exits(void *context, struct soft_cpu *cpu, uint32_t index, bool is_write)
{
    const struct soft_vm *soft = context;

    (void)cpu;
    for (size_t i = 0; i < soft->msr_range_count; i++) {
        const visor_x86_msr_range *range = &soft->msr_ranges[i];

        if (index >= range->first && index - range->first < range->count &&
            (is_write ? range->writes : range->reads))
            return true;
    }
    return false;
}

int soft_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count, bool unknown)
{
    struct soft_vm *soft = soft_vm_of(vm);

    soft_machine_stop(&soft->machine);
    if (count > 0)
        memcpy(soft->msr_ranges, ranges, count * sizeof(*ranges));
    soft->msr_range_count = count;
    soft->machine.devices.msr_exits = count > 0 ? msr_exits : NULL;
    soft->machine.devices.unknown_msrs_exit = unknown;
    soft_machine_go(&soft->machine);
    return 0;
}

/* ---- what a VM's processors do ---- */

int soft_set_bus_lock_exits(visor_vm *vm, bool on)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;

    soft_machine_stop(machine);
    machine->bus_lock_exits = on;
    for (size_t i = 0; i < machine->cpu_count; i++)
        machine->cpus[i]->bus_lock_exits = on;
    soft_machine_go(machine);
    return 0;
}

int soft_set_platform_info(visor_vm *vm, bool on)
{
    struct soft_machine *machine = &soft_vm_of(vm)->machine;

    soft_machine_stop(machine);
    machine->hides_platform_info = !on;
    soft_machine_go(machine);
    return 0;
}

/* ---- hypercalls ---- */

static int enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < count && first + i < 64; i++)
        mask |= UINT64_C(1) << (first + i);
    if (count == 0 || count > 64 || first > 63 || (mask & ~(uint64_t)SOFT_HYPERCALLS) != 0)
        return visor__unsupported(vm->hv, "visor_vm_enable_hypercalls",
                                  "only the ones in the mask of VISOR_CAP_HYPERCALLS can exit");
    soft_vm_of(vm)->machine.hypercalls |= mask;
    return 0;
}

const struct visor__vm_ops soft_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = cap,
    .map = map,
    .unmap = unmap,
    .enable_hypercalls = enable_hypercalls,
};
