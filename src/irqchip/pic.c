/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two 8259A as a PC wires them: the secondary's output is line 2 of the primary. Section names are
 * those of Intel's data sheet 231468 ("8259A Programmable Interrupt Controller"). In each half the
 * edge/level control register (ELCR, ports 0x4d0 and 0x4d1 of PC chip sets) takes the place of the
 * LTIM bit of ICW1. A PC has no single 8259A, so ICW1's SNGL is ignored.
 */
#include "irqchip/chip.h"

#define CASCADE 2u /* the line of the primary at which the secondary is */

/* Lines 0, 1, 2, 8 and 13 are edge triggered in every PC (82371FB, "ELCR1" and "ELCR2"). */
static const uint8_t elcr_masks[2] = {0xf8, 0xde};

/* The number of the highest line in the set, in the present order of priorities, as its distance
 * from the top; 8: the set is empty. */
static unsigned top(const visor_x86_pic *half, uint8_t set)
{
    unsigned distance = 0;

    while (distance < 8 && (set >> ((distance + half->priority_add) & 7) & 1) == 0)
        distance++;
    return distance;
}

/* The line that a half asks for, -1 if none. */
static int requested(const struct pic *pic, unsigned which)
{
    const visor_x86_pic *half = &pic->half[which];
    unsigned wanted = top(half, half->irr & (uint8_t)~half->imr);
    uint8_t in_service = half->isr;

    /* "Special Mask Mode": what is masked does not hold others back. */
    if (half->special_mask != 0)
        in_service &= (uint8_t)~half->imr;
    /* "Special Fully Nested Mode": the secondary may interrupt itself. */
    if (which == 0 && half->special_fully_nested_mode != 0)
        in_service &= (uint8_t) ~(1u << CASCADE);
    if (wanted == 8 || wanted >= top(half, in_service))
        return -1;
    return (int)((wanted + half->priority_add) & 7);
}

static void set_half_line(visor_x86_pic *half, unsigned line, bool level)
{
    uint8_t bit = (uint8_t)(1u << line);

    /* "Edge and level triggered modes". An edge stays latched although the line falls. */
    if ((half->elcr & bit) != 0)
        half->irr = level ? half->irr | bit : half->irr & (uint8_t)~bit;
    else if (level && (half->last_irr & bit) == 0)
        half->irr |= bit;
    half->last_irr = level ? half->last_irr | bit : half->last_irr & (uint8_t)~bit;
}

void visor__pic_update(struct pic *pic)
{
    /* Whenever the secondary asks, it asks anew: its output falls in every acknowledge cycle. */
    if (requested(pic, 1) >= 0) {
        set_half_line(&pic->half[0], CASCADE, true);
        set_half_line(&pic->half[0], CASCADE, false);
    }
    pic->output = requested(pic, 0) >= 0;
}

void visor__pic_init(struct pic *pic)
{
    *pic = (struct pic){0};
    for (unsigned which = 0; which < 2; which++)
        pic->half[which].elcr_mask = elcr_masks[which];
}

void visor__pic_set_line(struct pic *pic, unsigned line, bool level)
{
    set_half_line(&pic->half[line / 8], line % 8, level);
}

static void end_service(struct pic *pic, unsigned which, unsigned line)
{
    pic->half[which].isr &= (uint8_t) ~(1u << line);
    pic->ended |= (uint16_t)(1u << (8 * which + line));
}

/* What a half does in the acknowledge cycle ("Interrupt Sequence"). */
static void begin_service(struct pic *pic, unsigned which, unsigned line)
{
    visor_x86_pic *half = &pic->half[which];
    uint8_t bit = (uint8_t)(1u << line);

    half->isr |= bit;
    if ((half->elcr & bit) == 0)
        half->irr &= (uint8_t)~bit;
    if (half->auto_eoi == 0)
        return;
    if (half->rotate_on_auto_eoi != 0)
        half->priority_add = (line + 1) & 7;
    end_service(pic, which, line);
}

uint8_t visor__pic_acknowledge(struct pic *pic)
{
    int line = requested(pic, 0);
    unsigned which = 0, number = 7; /* nothing there any more: IR7, without an ISR bit */

    if (line >= 0) {
        number = (unsigned)line;
        begin_service(pic, 0, number);
    }
    if (line == (int)CASCADE) {
        which = 1;
        number = 7;
        line = requested(pic, 1);
        if (line >= 0) {
            number = (unsigned)line;
            begin_service(pic, 1, number);
        }
    }
    return (uint8_t)(pic->half[which].irq_base + number);
}

/* ---- ports ---- */

bool visor__pic_has_port(uint64_t port)
{
    return (port & ~UINT64_C(0x81)) == 0x20 || (port | 1) == 0x4d1;
}

static unsigned half_of(uint64_t port)
{
    return port == 0x4d1 || (port & ~UINT64_C(1)) == 0xa0;
}

/* "Poll Command": the read is the acknowledge cycle of this half alone. */
static uint8_t poll_half(struct pic *pic, unsigned which)
{
    int line = requested(pic, which);

    if (line < 0)
        return 0;
    begin_service(pic, which, (unsigned)line);
    /* No acknowledge cycle of the primary will take the request that the secondary has made. */
    if (which == 1)
        pic->half[0].irr &= (uint8_t) ~(1u << CASCADE);
    return (uint8_t)(0x80 | line);
}

uint8_t visor__pic_read(struct pic *pic, uint64_t port)
{
    unsigned which = half_of(port);
    visor_x86_pic *half = &pic->half[which];

    if ((port | 1) == 0x4d1)
        return half->elcr;
    if (half->poll != 0) {
        half->poll = 0;
        return poll_half(pic, which);
    }
    if ((port & 1) != 0)
        return half->imr;
    return half->read_reg_select != 0 ? half->isr : half->irr;
}

/* "Initialization Command Word 1": lists what is reset. The in-service register is not among it,
 * but for lines whose next edge is forgotten: so KVM has it. */
static void write_icw1(struct pic *pic, unsigned which, uint8_t value)
{
    visor_x86_pic *half = &pic->half[which];
    uint8_t forgotten = half->irr & (uint8_t)~half->elcr;

    half->init4 = value & 1;
    half->last_irr = 0;
    half->irr &= half->elcr;
    half->imr = 0;
    half->priority_add = 0;
    half->special_mask = 0;
    half->read_reg_select = 0;
    if (half->init4 == 0) {
        half->special_fully_nested_mode = 0;
        half->auto_eoi = 0;
    }
    half->init_state = 1;
    for (unsigned line = 0; line < 8; line++) {
        if ((forgotten >> line & 1) != 0)
            end_service(pic, which, line);
    }
}

static void write_data(visor_x86_pic *half, uint8_t value)
{
    switch (half->init_state) {
    case 0: half->imr = value; break; /* OCW1 */
    case 1:                           /* ICW2 */
        half->irq_base = value & 0xf8;
        half->init_state = 2;
        break;
    case 2: half->init_state = half->init4 != 0 ? 3 : 0; break; /* ICW3: the wiring is fixed */
    default:                                                    /* ICW4 */
        half->special_fully_nested_mode = value >> 4 & 1;
        half->auto_eoi = value >> 1 & 1;
        half->init_state = 0;
        break;
    }
}

/* "Operation Command Word 2": R, SL and EOI are bits 7 to 5. */
static void write_ocw2(struct pic *pic, unsigned which, uint8_t value)
{
    enum { EOI = 1, SPECIFIC = 2, ROTATE = 4 };
    visor_x86_pic *half = &pic->half[which];
    unsigned command = value >> 5, line = value & 7;

    if ((command & EOI) != 0) {
        if ((command & SPECIFIC) == 0) {
            /* A non-specific one does not end what special mask mode has taken out of the order. */
            unsigned distance =
                top(half, half->special_mask != 0 ? half->isr & (uint8_t)~half->imr : half->isr);

            if (distance == 8)
                return;
            line = (distance + half->priority_add) & 7;
        }
        end_service(pic, which, line);
        if ((command & ROTATE) != 0)
            half->priority_add = (line + 1) & 7;
    } else if ((command & SPECIFIC) == 0) {
        half->rotate_on_auto_eoi = (command & ROTATE) != 0;
    } else if ((command & ROTATE) != 0) {
        half->priority_add = (line + 1) & 7; /* "Set Priority" */
    }
}

static void write_ocw3(visor_x86_pic *half, uint8_t value)
{
    if ((value & 0x04) != 0)
        half->poll = 1;
    if ((value & 0x02) != 0)
        half->read_reg_select = value & 1;
    if ((value & 0x40) != 0)
        half->special_mask = value >> 5 & 1;
}

void visor__pic_write(struct pic *pic, uint64_t port, uint8_t value)
{
    unsigned which = half_of(port);
    visor_x86_pic *half = &pic->half[which];

    if ((port | 1) == 0x4d1)
        half->elcr = value & half->elcr_mask;
    else if ((port & 1) != 0)
        write_data(half, value);
    else if ((value & 0x10) != 0)
        write_icw1(pic, which, value);
    else if ((value & 0x08) != 0)
        write_ocw3(half, value);
    else
        write_ocw2(pic, which, value);
}

void visor__pic_set_state(struct pic *pic, bool secondary, const visor_x86_pic *state)
{
    visor_x86_pic *half = &pic->half[secondary];

    *half = *state;
    half->priority_add &= 7;
    half->elcr_mask = elcr_masks[secondary];
}
