/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An 82093AA (Intel's data sheet 290566), with the EOI register that later ones have, for which
 * version 0x20 stands (ICH9 data sheet, 13.5.1, "IOAPIC Registers").
 *
 * state.irr is, as in KVM's structure: of a level triggered pin its level, of an edge triggered one
 * whether there was an edge, until the line falls. Edges that have become messages are in
 * `delivered`, and are not saved.
 */
#include "irqchip/chip.h"

#define BASE_AT_RESET 0xfec00000u
#define SIZE          0x100u
/* Registers (3.1) and what IOREGSEL selects (3.2) */
#define IOREGSEL      0x00u
#define IOWIN         0x10u
#define EOI           0x40u
#define ID            0u
#define VERSION       1u
#define ARB           2u
#define REDIRECT      0x10u
#define VERSION_VALUE (0x20u | (VISOR_X86_IOAPIC_PINS - 1) << 16)

/* A redirection entry (3.2.4) */
#define ENTRY_MODE(entry)    ((enum delivery_mode)((entry) >> 8 & 7))
#define ENTRY_LOGICAL        (UINT64_C(1) << 11)
#define ENTRY_STATUS         (UINT64_C(1) << 12)
#define ENTRY_REMOTE_IRR     (UINT64_C(1) << 14)
#define ENTRY_LEVEL          (UINT64_C(1) << 15)
#define ENTRY_MASKED         (UINT64_C(1) << 16)
#define ENTRY_READ_ONLY      (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_DESTINATION(e) ((uint32_t)((e) >> 56))

void visor__ioapic_init(struct ioapic *ioapic)
{
    *ioapic = (struct ioapic){.state.base_address = BASE_AT_RESET};
    for (unsigned pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++)
        ioapic->state.redirect[pin] = ENTRY_MASKED;
}

/* Sends the message of a pin whose irr bit is set, unless the entry holds it back. */
static void service(struct visor__irqchip *chip, unsigned pin)
{
    struct ioapic *ioapic = &chip->ioapic;
    uint64_t *entry = &ioapic->state.redirect[pin];
    const struct message message = {
        .mode = ENTRY_MODE(*entry),
        .vector = (uint8_t)*entry,
        .level = (*entry & ENTRY_LEVEL) != 0,
        .logical = (*entry & ENTRY_LOGICAL) != 0,
        .destination = ENTRY_DESTINATION(*entry),
    };

    if ((*entry & ENTRY_MASKED) != 0 || (message.level && (*entry & ENTRY_REMOTE_IRR) != 0))
        return;
    if (!message.level)
        ioapic->delivered |= 1u << pin;
    /* "Remote IRR": set when the local APICs accept the level interrupt. */
    if (visor__lapic_deliver(chip, &message) > 0 && message.level)
        *entry |= ENTRY_REMOTE_IRR;
}

void visor__ioapic_set_pin(struct visor__irqchip *chip, unsigned pin, bool level)
{
    struct ioapic *ioapic = &chip->ioapic;
    uint32_t bit = 1u << pin, before = ioapic->state.irr;
    bool is_edge = (ioapic->state.redirect[pin] & ENTRY_LEVEL) == 0;

    if (!level) {
        ioapic->state.irr &= ~bit;
        return;
    }
    ioapic->state.irr |= bit;
    if (is_edge && (before & bit) != 0)
        return;
    if (is_edge)
        ioapic->delivered &= ~bit;
    service(chip, pin);
}

void visor__ioapic_eoi(struct visor__irqchip *chip, uint8_t vector, bool level)
{
    struct ioapic *ioapic = &chip->ioapic;
    uint32_t pins = 0;

    for (unsigned pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        if ((uint8_t)ioapic->state.redirect[pin] == vector)
            pins |= 1u << pin;
    }
    if (pins == 0)
        return;
    /* Lines that fall with the end of their interrupt do so before they are looked at again. */
    ioapic->ended |= pins;
    visor__irqchip_settle(chip);
    for (unsigned pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->state.redirect[pin];

        if ((pins >> pin & 1) == 0 || !level || (*entry & ENTRY_LEVEL) == 0)
            continue;
        *entry &= ~ENTRY_REMOTE_IRR;
        if ((ioapic->state.irr >> pin & 1) != 0)
            service(chip, pin);
    }
}

/* ---- registers ---- */

bool visor__ioapic_has_address(const struct ioapic *ioapic, uint64_t address)
{
    return address - ioapic->state.base_address < SIZE;
}

static uint32_t read_selected(const visor_x86_ioapic *state)
{
    uint32_t index = state->ioregsel - REDIRECT;

    switch (state->ioregsel) {
    case ID:
    case ARB: return (state->id & 15) << 24;
    case VERSION: return VERSION_VALUE;
    default: break;
    }
    if (index >= 2 * VISOR_X86_IOAPIC_PINS)
        return UINT32_MAX;
    return (uint32_t)(state->redirect[index / 2] >> 32 * (index & 1));
}

uint32_t visor__ioapic_read(const struct ioapic *ioapic, uint64_t address)
{
    switch (address - ioapic->state.base_address) {
    case IOREGSEL: return ioapic->state.ioregsel;
    case IOWIN: return read_selected(&ioapic->state);
    default: return 0;
    }
}

static void write_entry(struct visor__irqchip *chip, unsigned index, uint32_t value)
{
    unsigned pin = index / 2;
    uint64_t *entry = &chip->ioapic.state.redirect[pin];

    if ((index & 1) != 0) {
        *entry = (*entry & UINT32_MAX) | (uint64_t)value << 32;
    } else {
        uint64_t kept = *entry & ((uint64_t)UINT32_MAX << 32 | ENTRY_READ_ONLY);

        *entry = kept | (value & ~(uint32_t)ENTRY_READ_ONLY);
        /* Who makes a pin edge triggered wants to get rid of an interrupt that nobody ends. Linux
         * does (arch/x86/kernel/apic/io_apic.c, __eoi_ioapic_pin()). */
        if ((*entry & ENTRY_LEVEL) == 0)
            *entry &= ~ENTRY_REMOTE_IRR;
    }
    if ((*entry & ENTRY_LEVEL) != 0 && (chip->ioapic.state.irr >> pin & 1) != 0)
        service(chip, pin);
}

void visor__ioapic_write(struct visor__irqchip *chip, uint64_t address, uint32_t value)
{
    visor_x86_ioapic *state = &chip->ioapic.state;

    switch (address - state->base_address) {
    case IOREGSEL: state->ioregsel = value & 0xff; break;
    case IOWIN:
        if (state->ioregsel == ID)
            state->id = value >> 24 & 15;
        else if (state->ioregsel - REDIRECT < 2 * VISOR_X86_IOAPIC_PINS)
            write_entry(chip, state->ioregsel - REDIRECT, value);
        break;
    case EOI: visor__ioapic_eoi(chip, (uint8_t)value, true); break;
    default: break;
    }
}

/* ---- state ---- */

void visor__ioapic_get_state(visor_x86_ioapic *out, const struct ioapic *ioapic)
{
    *out = ioapic->state;
    out->irr &= ~ioapic->delivered;
}

/* What stands in irr comes to the pins again: levels, and edges that had not become messages. */
void visor__ioapic_set_state(struct visor__irqchip *chip, const visor_x86_ioapic *state)
{
    struct ioapic *ioapic = &chip->ioapic;

    *ioapic = (struct ioapic){.state = *state};
    ioapic->state.ioregsel &= 0xff;
    ioapic->state.id &= 15;
    ioapic->state.irr = 0;
    for (unsigned pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        if ((state->irr >> pin & 1) != 0)
            visor__ioapic_set_pin(chip, pin, true);
    }
}
