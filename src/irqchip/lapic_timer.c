/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The timer of a local APIC: SDM vol. 3A, 11.5.4 "APIC Timer". It counts at 1 GHz before the
 * divider, as KVM's does, so that a tick is a nanosecond.
 */
#include "irqchip/chip.h"

#define NS_PER_SECOND 1000000000u
/* As in pit.c. */
#define MIN_PERIOD_NS 100000u

/* Figure 11-10: bits 0, 1 and 3 are the exponent, less one; 7 stands for 1. */
static unsigned divide_shift(uint32_t value)
{
    return ((value & 3) + (value >> 1 & 4) + 1) & 7;
}

static uint64_t ns_of(const struct visor__lapic *lapic, uint32_t count)
{
    return (uint64_t)count << divide_shift(lapic->regs[APIC_TIMER_DIVIDE]);
}

static unsigned mode_of(const struct visor__lapic *lapic)
{
    return TIMER_MODE(lapic->regs[APIC_LVT_TIMER]);
}

static void set_due(struct visor__lapic *lapic, uint64_t due)
{
    lapic->due = due;
    visor__irqchip_timers_changed(lapic->chip);
}

uint32_t visor__lapic_timer_count(const struct visor__lapic *lapic)
{
    uint64_t now = visor__irqchip_now(lapic->chip), left, period;

    if (lapic->due == NEVER || mode_of(lapic) == TIMER_TSC_DEADLINE)
        return 0;
    period = ns_of(lapic, lapic->regs[APIC_TIMER_INITIAL]);
    left = lapic->due > now ? lapic->due - now : 0;
    /* A short period is stretched for its interrupts, but the count goes round as it should; nor
     * is one that has run out and not been noticed a count of 0. */
    if (mode_of(lapic) == TIMER_PERIODIC && period != 0)
        left = lapic->due > now ? (left - 1) % period + 1 : period - (now - lapic->due) % period;
    return (uint32_t)((left + (UINT64_C(1) << divide_shift(lapic->regs[APIC_TIMER_DIVIDE])) - 1) >>
                      divide_shift(lapic->regs[APIC_TIMER_DIVIDE]));
}

static void start(struct visor__lapic *lapic, uint32_t count)
{
    set_due(lapic, count == 0 ? NEVER : visor__irqchip_now(lapic->chip) + ns_of(lapic, count));
}

void visor__lapic_timer_set_initial(struct visor__lapic *lapic, uint32_t count)
{
    if (mode_of(lapic) == TIMER_TSC_DEADLINE) /* 11.5.4.1: ignored */
        return;
    lapic->regs[APIC_TIMER_INITIAL] = count;
    start(lapic, count);
}

/* The count stays, and goes on at the new rate. */
void visor__lapic_timer_set_divide(struct visor__lapic *lapic, uint32_t value)
{
    uint32_t count = visor__lapic_timer_count(lapic);

    lapic->regs[APIC_TIMER_DIVIDE] = value & 11;
    if (lapic->due != NEVER && mode_of(lapic) != TIMER_TSC_DEADLINE)
        start(lapic, count);
}

void visor__lapic_timer_set_lvt(struct visor__lapic *lapic, uint32_t value)
{
    unsigned before = mode_of(lapic);

    lapic->regs[APIC_LVT_TIMER] = value;
    /* 11.5.4.1: going to or from the deadline mode disarms the timer. */
    if ((before == TIMER_TSC_DEADLINE) == (mode_of(lapic) == TIMER_TSC_DEADLINE))
        return;
    lapic->regs[APIC_TIMER_INITIAL] = 0;
    lapic->tsc_deadline = 0;
    set_due(lapic, NEVER);
}

/* ---- TSC deadline ---- */

/* Fires if the TSC is there already, else finds out when it will be. */
void visor__lapic_timer_retime(struct visor__lapic *lapic)
{
    const struct visor__irqchip *chip = lapic->chip;
    uint64_t now, tsc, left, seconds;

    if (mode_of(lapic) != TIMER_TSC_DEADLINE)
        return;
    if (lapic->tsc_deadline == 0) {
        set_due(lapic, NEVER);
        return;
    }
    now = visor__irqchip_now(chip);
    tsc = chip->host->tsc(lapic->vcpu);
    if (tsc >= lapic->tsc_deadline) {
        lapic->tsc_deadline = 0;
        set_due(lapic, NEVER);
        visor__lapic_local(lapic, APIC_LVT_TIMER);
        return;
    }
    left = lapic->tsc_deadline - tsc;
    seconds = left / chip->tsc_hz;
    /* A deadline in hundreds of years is looked at again after one of them. */
    if (seconds > UINT64_C(3600) * 24 * 365)
        left = UINT64_C(3600) * 24 * 365 * NS_PER_SECOND;
    else
        left = seconds * NS_PER_SECOND + left % chip->tsc_hz * NS_PER_SECOND / chip->tsc_hz + 1;
    set_due(lapic, now + left);
}

void visor__lapic_timer_set_deadline(struct visor__lapic *lapic, uint64_t tsc)
{
    if (mode_of(lapic) != TIMER_TSC_DEADLINE) /* 11.5.4.1: ignored */
        return;
    lapic->tsc_deadline = tsc;
    visor__lapic_timer_retime(lapic);
}

void visor__lapic_tsc_changed(struct visor__lapic *lapic)
{
    visor__mutex_lock(&lapic->chip->lock);
    visor__lapic_timer_retime(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
}

/* ---- events ---- */

void visor__lapic_timer_expire(struct visor__lapic *lapic, uint64_t now)
{
    uint64_t period;

    if (now < lapic->due)
        return;
    if (mode_of(lapic) == TIMER_TSC_DEADLINE) {
        visor__lapic_timer_retime(lapic);
        return;
    }
    period = ns_of(lapic, lapic->regs[APIC_TIMER_INITIAL]);
    if (mode_of(lapic) == TIMER_PERIODIC && period != 0) {
        /* In step with the beginning, whatever was missed. */
        uint64_t stretch = period < MIN_PERIOD_NS ? (MIN_PERIOD_NS + period - 1) / period : 1;

        lapic->due += ((now - lapic->due) / period + stretch) * period;
    } else {
        lapic->due = NEVER;
    }
    visor__lapic_local(lapic, APIC_LVT_TIMER);
}

void visor__lapic_timer_resume(struct visor__lapic *lapic, uint32_t count)
{
    if (mode_of(lapic) == TIMER_TSC_DEADLINE)
        visor__lapic_timer_retime(lapic);
    else if (count == 0 && mode_of(lapic) == TIMER_PERIODIC)
        start(lapic, lapic->regs[APIC_TIMER_INITIAL]);
    else
        start(lapic, count);
}
