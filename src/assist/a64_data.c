/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers to memory and back. Both loops go over the elements in the order of their addresses; a
 * register is 16 bytes, of which a general one has 8.
 */
#include "assist/a64_data.h"

#include <string.h>

struct registers {
    uint8_t bytes[4][16];
};

int visor__a64_get_x(uint64_t *out, const struct visor__a64_assist *assist, unsigned n)
{
    *out = 0;
    return n == 31 ? 0 : assist->ops->get(out, assist->context, (enum visor__a64_register)n);
}

static int set_x(const struct visor__a64_assist *assist, unsigned n, uint64_t value)
{
    return n == 31 ? 0 : assist->ops->set(assist->context, (enum visor__a64_register)n, value);
}

static int get_registers(struct registers *out, const struct visor__a64_assist *assist)
{
    const struct visor__a64_insn *insn = &assist->insn;

    for (unsigned i = 0; i < insn->count; i++) {
        uint64_t value;
        int ret;

        if (insn->vector) {
            ret = assist->ops->get_v(out->bytes[i], assist->context, insn->reg[i]);
        } else {
            ret = visor__a64_get_x(&value, assist, insn->reg[i]);
            memcpy(out->bytes[i], &value, sizeof(value));
        }
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Where element i of the access is in the registers. */
static uint8_t *element(struct registers *registers, const struct visor__a64_insn *insn, unsigned i)
{
    const unsigned reg = insn->interleaved ? i % insn->count : i / insn->elements;
    const unsigned lane = insn->interleaved ? i / insn->count : i % insn->elements;

    return registers->bytes[reg] + (insn->lane + lane) * insn->size;
}

static void copy(uint8_t *to, const uint8_t *from, unsigned size, bool reverse)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = from[reverse ? size - 1 - i : i];
}

int visor__a64_gather(struct visor__a64_assist *assist)
{
    const struct visor__a64_insn *insn = &assist->insn;
    struct registers registers;
    int ret = get_registers(&registers, assist);

    if (ret < 0)
        return ret;
    for (unsigned i = 0; i < (unsigned)insn->count * insn->elements; i++)
        copy(assist->data + i * insn->size, element(&registers, insn, i), insn->size,
             assist->big_endian);
    return 0;
}

/* The sum of a load's width and sign: what X[t] gets. */
static uint64_t widened(const uint8_t *bytes, const struct visor__a64_insn *insn)
{
    const uint64_t top = UINT64_C(1) << ((8u * insn->size - 1) & 63);
    uint64_t value = 0;

    memcpy(&value, bytes, insn->size);
    if (insn->sign)
        value = (value ^ top) - top;
    return insn->width == 4 ? (uint32_t)value : value;
}

static int scatter_load(struct visor__a64_assist *assist)
{
    const struct visor__a64_insn *insn = &assist->insn;
    struct registers registers = {0};
    int ret = insn->single_lane ? get_registers(&registers, assist) : 0;

    for (unsigned i = 0; i < (unsigned)insn->count * insn->elements; i++)
        copy(element(&registers, insn, i), assist->data + i * insn->size, insn->size,
             assist->big_endian);
    for (unsigned i = 0; ret == 0 && i < insn->count; i++) {
        uint8_t *bytes = registers.bytes[i];

        for (unsigned at = insn->size; insn->replicate && at < insn->width; at += insn->size)
            memcpy(bytes + at, bytes, insn->size);
        if (insn->vector)
            ret = assist->ops->set_v(assist->context, insn->reg[i], bytes);
        else
            ret = set_x(assist, insn->reg[i], widened(bytes, insn));
    }
    return ret;
}

/* ---- atomics ---- */

/* Signed comparison of values of `size` bytes. */
static bool less(uint64_t a, uint64_t b, unsigned size)
{
    const unsigned unused = 64 - 8 * size;

    return (int64_t)(a << unused) < (int64_t)(b << unused);
}

static uint64_t combined(const struct visor__a64_insn *insn, uint64_t memory, uint64_t operand)
{
    switch (insn->atomic) {
    case VISOR__A64_ADD: return memory + operand;
    case VISOR__A64_CLR: return memory & ~operand;
    case VISOR__A64_EOR: return memory ^ operand;
    case VISOR__A64_SET: return memory | operand;
    case VISOR__A64_SMAX: return less(memory, operand, insn->size) ? operand : memory;
    case VISOR__A64_SMIN: return less(memory, operand, insn->size) ? memory : operand;
    case VISOR__A64_UMAX: return memory < operand ? operand : memory;
    case VISOR__A64_UMIN: return memory < operand ? memory : operand;
    default: return operand; /* SWP */
    }
}

int visor__a64_combine(struct visor__a64_assist *assist)
{
    const struct visor__a64_insn *insn = &assist->insn;
    const unsigned size = insn->size;
    const uint64_t mask = UINT64_MAX >> (64 - 8 * size);
    uint64_t fresh[2] = {0, 0};
    bool differs = false;

    for (unsigned i = 0; i < insn->count; i++) {
        uint64_t operand;
        int ret = visor__a64_get_x(&operand, assist, insn->operand[i]);

        if (ret == 0 && insn->atomic == VISOR__A64_CAS)
            ret = visor__a64_get_x(&fresh[i], assist, insn->reg[i]);
        if (ret < 0)
            return ret;
        assist->old[i] = 0;
        copy((uint8_t *)&assist->old[i], assist->data + i * size, size, assist->big_endian);
        operand &= mask;
        if (insn->atomic != VISOR__A64_CAS)
            fresh[i] = combined(insn, assist->old[i], operand);
        else if (assist->old[i] != operand)
            differs = true;
    }
    for (unsigned i = 0; i < insn->count; i++)
        copy(assist->data + i * size, (const uint8_t *)&fresh[i], size, assist->big_endian);
    return differs ? 0 : 1;
}

int visor__a64_scatter(struct visor__a64_assist *assist)
{
    const struct visor__a64_insn *insn = &assist->insn;
    const uint8_t *target = insn->atomic == VISOR__A64_CAS ? insn->operand : insn->reg;
    int ret = 0;

    if (insn->kind == VISOR__A64_LOAD)
        return scatter_load(assist);
    for (unsigned i = 0; insn->kind == VISOR__A64_ATOMIC && ret == 0 && i < insn->count; i++)
        ret = set_x(assist, target[i], assist->old[i]);
    return ret;
}
