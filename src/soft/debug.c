/* SPDX-License-Identifier: BSD-3-Clause */
#include "soft/debug.h"

#include <string.h>

#include "soft/event.h"

/* Conditions in DR7. */
#define ON_EXECUTE 0u
#define ON_WRITE   1u
#define ON_PORT    2u

#define HOST_SHIFT 8 /* of the VMM's bits in watch_hits */

static unsigned condition(const struct soft_cpu *cpu, unsigned n)
{
    return (unsigned)(cpu->dr7 >> (16 + 4 * n)) & 3;
}

static unsigned length_of(const struct soft_cpu *cpu, unsigned n)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};

    return lengths[cpu->dr7 >> (18 + 4 * n) & 3];
}

static bool is_enabled(const struct soft_cpu *cpu, unsigned n)
{
    return (cpu->dr7 >> (2 * n) & 3) != 0;
}

void soft_debug_update(struct soft_cpu *cpu)
{
    const struct soft_debug *debug = &cpu->debug;

    cpu->debugging = debug->step || debug->count > 0;
    cpu->watching = false;
    for (unsigned n = 0; n < 4; n++) {
        if (!is_enabled(cpu, n))
            continue;
        cpu->debugging = true;
        cpu->watching |= condition(cpu, n) != ON_EXECUTE;
    }
    for (unsigned i = 0; i < debug->count; i++)
        cpu->watching |= debug->breakpoints[i].kind != VISOR_BREAK_EXECUTE;
    soft_mode_update(cpu);
}

static int leave(struct soft_cpu *cpu, uint32_t hits, bool step)
{
    visor_exit *exit = cpu->exit;

    memset(&exit->debug, 0, sizeof(exit->debug));
    exit->debug.pc = cpu->seg[SOFT_SEG_CS].base + cpu->rip;
    exit->debug.dr6 = SOFT_DR6_INIT | hits | (step ? SOFT_DR6_BS : 0);
    exit->debug.dr7 = cpu->dr7;
    exit->debug.exception = SOFT_DB;
    exit->debug.single_step = step;
    exit->debug.hit_mask = hits;
    for (unsigned i = 0; i < cpu->debug.count; i++) {
        if ((hits >> i & 1) != 0 && cpu->debug.breakpoints[i].kind != VISOR_BREAK_EXECUTE)
            exit->debug.address = cpu->debug.breakpoints[i].address;
    }
    return VISOR_EXIT_DEBUG;
}

int soft_debug_before(struct soft_cpu *cpu)
{
    uint64_t rip = cpu->seg[SOFT_SEG_CS].base + cpu->rip, own = 0;
    uint32_t hits = 0;

    for (unsigned i = 0; i < cpu->debug.count; i++) {
        const visor_breakpoint *breakpoint = &cpu->debug.breakpoints[i];

        if (breakpoint->kind == VISOR_BREAK_EXECUTE && breakpoint->address == rip)
            hits |= 1u << i;
    }
    /* The run after the exit goes on with the instruction. */
    if (hits != 0 && !(cpu->debug.told && cpu->debug.told_at == cpu->icount)) {
        cpu->debug.told = true;
        cpu->debug.told_at = cpu->icount;
        return leave(cpu, hits, false);
    }
    if ((cpu->eflags & SOFT_RF) != 0)
        return VISOR_EXIT_NONE;
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(cpu, n) && condition(cpu, n) == ON_EXECUTE && cpu->dr[n] == rip)
            own |= UINT64_C(1) << n;
    }
    if (own != 0)
        soft_event_trap(cpu, own);
    return VISOR_EXIT_NONE;
}

void soft_debug_access(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned on = condition(cpu, n), size = length_of(cpu, n);
        uint64_t start = cpu->dr[n] & ~(uint64_t)(size - 1);

        if (is_enabled(cpu, n) && (on == 3 || (on == ON_WRITE && is_write)) &&
            address < start + size && start < address + length)
            cpu->watch_hits |= 1u << n;
    }
    for (unsigned i = 0; i < cpu->debug.count; i++) {
        const visor_breakpoint *watch = &cpu->debug.breakpoints[i];

        if ((watch->kind == VISOR_BREAK_ACCESS || (watch->kind == VISOR_BREAK_WRITE && is_write)) &&
            address < watch->address + watch->length && watch->address < address + length)
            cpu->watch_hits |= 1u << (HOST_SHIFT + i);
    }
}

void soft_debug_port(struct soft_cpu *cpu, uint16_t port, unsigned length)
{
    for (unsigned n = 0; n < 4; n++) {
        if (is_enabled(cpu, n) && condition(cpu, n) == ON_PORT && (cpu->cr4 & SOFT_CR4_DE) != 0 &&
            port < cpu->dr[n] + length_of(cpu, n) && cpu->dr[n] < (uint64_t)port + length)
            cpu->watch_hits |= 1u << n;
    }
}

int soft_debug_after(struct soft_cpu *cpu)
{
    uint32_t hits = cpu->watch_hits >> HOST_SHIFT, own = cpu->watch_hits & 15;
    bool complete = cpu->event.kind == SOFT_EVENT_NONE;

    cpu->watch_hits = 0;
    if (own != 0 && complete)
        soft_event_trap(cpu, own);
    if (hits != 0)
        return leave(cpu, hits, false);
    return cpu->debug.step && complete ? leave(cpu, 0, true) : VISOR_EXIT_NONE;
}

bool soft_debug_int3(struct soft_cpu *cpu, uint64_t rip)
{
    visor_exit *exit = cpu->exit;

    if (!cpu->debug.int3)
        return false;
    memset(&exit->debug, 0, sizeof(exit->debug));
    exit->debug.pc = cpu->seg[SOFT_SEG_CS].base + rip;
    exit->debug.exception = SOFT_BP;
    return true;
}
