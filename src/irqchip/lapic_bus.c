/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt messages: from ICR, the I/O APIC and devices to the local APICs that they mean. SDM
 * vol. 3A: 11.6 "Issuing interprocessor interrupts", 11.8 "Handling interrupts".
 */
#include "irqchip/chip.h"

#define BROADCAST      0xffu
#define BROADCAST_WIDE UINT32_MAX

/* ICR (figure 11-12) */
#define ICR_MODE(icr)      ((enum delivery_mode)((icr) >> 8 & 7))
#define ICR_LOGICAL        (1u << 11)
#define ICR_ASSERT         (1u << 14)
#define ICR_LEVEL          (1u << 15)
#define ICR_SHORTHAND(icr) ((enum shorthand)((icr) >> 18 & 3))

bool visor__lapic_accept(struct visor__lapic *lapic, enum delivery_mode mode, uint8_t vector,
                         bool level)
{
    switch (mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
        /* 11.4.7.2: while it is switched off by software it takes none of these. */
        if ((lapic->regs[APIC_SVR] & APIC_SOFTWARE_ENABLE) == 0)
            return false;
        if (vector < 16) {
            visor__lapic_add_error(lapic, ERROR_RECEIVE_VECTOR);
            return false;
        }
        visor__lapic_change(lapic, APIC_TMR, vector, level);
        visor__lapic_change(lapic, APIC_IRR, vector, true);
        break;
    case MODE_SMI: lapic->latched |= VISOR__PENDING_SMI; break;
    case MODE_NMI: lapic->latched |= VISOR__PENDING_NMI; break;
    case MODE_INIT:
        /* What comes after it is to start the vCPU; what came before is void. */
        lapic->latched &= ~(unsigned)VISOR__PENDING_SIPI;
        lapic->latched |= VISOR__PENDING_INIT;
        break;
    case MODE_SIPI:
        lapic->sipi_vector = vector;
        lapic->latched |= VISOR__PENDING_SIPI;
        break;
    case MODE_EXTINT: lapic->extint = true; break;
    default: return false;
    }
    visor__lapic_update(lapic);
    return true;
}

/* 11.6.2.2, 11.12.10.2 */
static bool matches_logical(const struct visor__lapic *lapic, uint32_t destination)
{
    uint32_t ldr = lapic->regs[APIC_LDR], mda = destination & 0xff, id = ldr >> 24;

    if (visor__lapic_x2apic(lapic))
        return ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff) != 0;
    if (destination > 0xff)
        return false;
    if (lapic->regs[APIC_DFR] >> 28 == 0xf) /* flat */
        return (id & mda) != 0;
    return id >> 4 == mda >> 4 && (id & mda & 15) != 0; /* cluster */
}

static bool matches(const struct visor__lapic *lapic, const struct message *message)
{
    if (!visor__lapic_enabled(lapic))
        return false;
    if (message->shorthand == TO_ALL)
        return true;
    if (message->shorthand == TO_OTHERS)
        return lapic != message->source;
    if (message->destination == (message->wide ? BROADCAST_WIDE : BROADCAST))
        return true;
    if (message->logical)
        return matches_logical(lapic, message->destination);
    return lapic->regs[APIC_ID] >> 24 == message->destination;
}

/* Whether it takes an interrupt rather than the other: 11.6.2.4; among equals whose turn it is. */
static bool is_lower(const struct visor__lapic *lapic, const struct visor__lapic *other)
{
    unsigned own = visor__lapic_arbitration_priority(lapic) >> 4;
    unsigned others = visor__lapic_arbitration_priority(other) >> 4;

    return own < others || (own == others && lapic->arbitrations < other->arbitrations);
}

static struct visor__lapic *lowest(struct visor__irqchip *chip, const struct message *message)
{
    struct visor__lapic *best = NULL;

    for (struct visor__lapic *lapic = chip->lapics; lapic != NULL; lapic = lapic->next) {
        if ((lapic->regs[APIC_SVR] & APIC_SOFTWARE_ENABLE) != 0 && matches(lapic, message) &&
            (best == NULL || is_lower(lapic, best)))
            best = lapic;
    }
    if (best != NULL)
        best->arbitrations++;
    return best;
}

unsigned visor__lapic_deliver(struct visor__irqchip *chip, const struct message *message)
{
    unsigned count = 0;

    if (message->mode == MODE_INIT && message->deassert)
        return 0; /* 11.6.1: it would set arbitration IDs, which nobody has any more */
    if (message->shorthand == TO_SELF)
        return visor__lapic_accept(message->source, message->mode, message->vector, message->level);
    if (message->mode == MODE_LOWEST) {
        struct visor__lapic *lapic = lowest(chip, message);

        return lapic != NULL &&
               visor__lapic_accept(lapic, MODE_LOWEST, message->vector, message->level);
    }
    for (struct visor__lapic *lapic = chip->lapics; lapic != NULL; lapic = lapic->next) {
        if (matches(lapic, message))
            count += visor__lapic_accept(lapic, message->mode, message->vector, message->level);
    }
    return count;
}

void visor__lapic_send(struct visor__lapic *lapic)
{
    uint32_t icr = lapic->regs[APIC_ICR], destination = lapic->regs[APIC_ICR2];
    bool wide = visor__lapic_x2apic(lapic);
    const struct message message = {
        .mode = ICR_MODE(icr),
        .shorthand = ICR_SHORTHAND(icr),
        .vector = (uint8_t)icr,
        .level = (icr & ICR_LEVEL) != 0 && (icr & ICR_ASSERT) != 0,
        .deassert = (icr & ICR_LEVEL) != 0 && (icr & ICR_ASSERT) == 0,
        .logical = (icr & ICR_LOGICAL) != 0,
        .wide = wide,
        .destination = wide ? destination : destination >> 24,
        .source = lapic,
    };

    if (message.mode <= MODE_LOWEST && message.vector < 16) {
        visor__lapic_add_error(lapic, ERROR_SEND_VECTOR);
        return;
    }
    visor__lapic_deliver(lapic->chip, &message);
}
