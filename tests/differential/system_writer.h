/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes the instruction of a case. */
#ifndef VISOR_TESTS_DIFFERENTIAL_SYSTEM_WRITER_H
#define VISOR_TESTS_DIFFERENTIAL_SYSTEM_WRITER_H

#include <stdio.h>

#include "system.h"

struct writer {
    struct system_case *c;
    struct dice *dice;
};

static inline void byte(struct writer *w, unsigned value)
{
    w->c->code[w->c->length++] = (uint8_t)value;
}

static inline void number(struct writer *w, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        byte(w, (unsigned)(value >> 8 * i) & 255);
}

static inline void opcode(struct writer *w, unsigned value)
{
    if (value > 0xff)
        byte(w, value >> 8);
    byte(w, value & 0xff);
}

/* ModRM of [BX], [EBX] or [RBX], of which only what is in the data is addressed with 16 bits. */
static inline void at_bx(struct writer *w, unsigned reg)
{
    byte(w, reg << 3 | (w->c->wide ? 3 : 7));
}

static inline void with_register(struct writer *w, unsigned reg, unsigned rm)
{
    byte(w, 0xc0 | reg << 3 | rm);
}

static inline bool is_16(const struct system_case *c)
{
    return c->mode <= PROTECTED_16;
}

/* Bytes of an operand after this choice of prefixes. */
static inline unsigned operand(struct writer *w, bool wide)
{
    if (wide && w->c->mode == LONG && dice_one_in(w->dice, 3)) {
        byte(w, 0x48);
        return 8;
    }
    if (dice_one_in(w->dice, 4)) {
        byte(w, 0x66);
        return is_16(w->c) ? 4 : 2;
    }
    return is_16(w->c) ? 2 : 4;
}

static inline void put_data(struct writer *w, unsigned offset, uint64_t value, unsigned size)
{
    machine_put(w->c->ram + w->c->regs.rbx + offset, value, size);
}

static inline uint64_t somewhere(struct dice *dice)
{
    return SYSTEM_HANDLERS + 0xc00 + dice_below(dice, 0x100) * 2;
}

/* Operands on the stack, from its top on. */
static inline void push(struct writer *w, const uint64_t *values, unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count; i++)
        machine_put(w->c->ram + w->c->regs.rsp + i * size, values[i], size);
}

static inline void name(struct writer *w, const char *what)
{
    snprintf(w->c->what, sizeof(w->c->what), "%s", what);
}

/* system_control.c, system_tasks.c */
void system_make_call(struct writer *w);
void system_make_control(struct writer *w);
void system_make_task(struct writer *w);

#endif
