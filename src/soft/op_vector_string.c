/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCMPESTRI and its like: strings in registers (SDM vol. 2, 4.1).
 *
 * The immediate: bit 0: words, not bytes; bit 1: signed; bits 3:2: how elements are put together;
 * bits 5:4: what is negated; bit 6: of the index, the last; of the mask, whole elements.
 */
#include "soft/flags.h"
#include "soft/vector_move.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

static int element(soft_v128 v, unsigned index, unsigned imm)
{
    union soft_elements e = {.v = v};

    switch (imm & 3) {
    case 0: return e.u8[index];
    case 1: return e.u16[index];
    case 2: return e.s8[index];
    default: return e.s16[index];
    }
}

/* Up to the first that is zero. */
static unsigned implicit_length(soft_v128 v, unsigned count, unsigned imm)
{
    unsigned length = 0;

    while (length < count && element(v, length, imm) != 0)
        length++;
    return length;
}

static unsigned explicit_length(const struct soft_cpu *cpu, unsigned reg, bool wide, unsigned count)
{
    int64_t value = wide ? (int64_t)cpu->r[reg] : (int32_t)cpu->r[reg];

    if (value < -(int64_t)count || value > (int64_t)count)
        return count;
    return (unsigned)(value < 0 ? -value : value);
}

/* "IntRes1" (SDM vol. 2, 4.1.4): a bit for each element of b. */
static unsigned aggregate(soft_v128 a, soft_v128 b, unsigned length_a, unsigned length_b,
                          unsigned count, unsigned imm)
{
    unsigned result = 0;

    for (unsigned j = 0; j < count; j++) {
        bool hit = false;

        switch (imm >> 2 & 3) {
        case 0: /* b[j] is one of a */
            for (unsigned i = 0; i < length_a && j < length_b; i++)
                hit = hit || element(a, i, imm) == element(b, j, imm);
            break;
        case 1: /* b[j] is in one of the ranges that pairs of a are */
            for (unsigned i = 0; i + 1 < length_a && j < length_b; i += 2)
                hit = hit || (element(b, j, imm) >= element(a, i, imm) &&
                              element(b, j, imm) <= element(a, i + 1, imm));
            break;
        case 2: /* they are equal; both ends are too */
            hit = j < length_a && j < length_b ? element(a, j, imm) == element(b, j, imm)
                                               : j >= length_a && j >= length_b;
            break;
        default: /* a begins there, as far as the register goes */
            hit = true;
            for (unsigned i = 0; i < length_a && i + j < count; i++)
                hit = hit && i + j < length_b && element(a, i, imm) == element(b, i + j, imm);
            break;
        }
        result |= (unsigned)hit << j;
    }
    return result;
}

static const struct soft_uop *compare(struct soft_cpu *cpu, const struct soft_uop *op, soft_v128 b)
{
    unsigned imm = op->aux, count = (imm & 1) != 0 ? 8 : 16;
    bool is_explicit = (op->aux2 & SOFT_STRING_EXPLICIT) != 0;
    bool wide = (op->aux2 & SOFT_STRING_WIDE) != 0;
    soft_v128 a = soft_v(cpu, op->dst)[0];
    unsigned length_a =
        is_explicit ? explicit_length(cpu, SOFT_RAX, wide, count) : implicit_length(a, count, imm);
    unsigned length_b =
        is_explicit ? explicit_length(cpu, SOFT_RDX, wide, count) : implicit_length(b, count, imm);
    unsigned result = aggregate(a, b, length_a, length_b, count, imm), all = (1u << count) - 1;

    if ((imm & 0x30) == 0x10)
        result ^= all;
    else if ((imm & 0x30) == 0x30)
        result ^= (1u << length_b) - 1;
    if ((op->aux2 & SOFT_STRING_MASK) == 0) {
        unsigned index = count;

        if (result != 0)
            index = (imm & 0x40) != 0 ? 31 - (unsigned)__builtin_clz(result)
                                      : (unsigned)__builtin_ctz(result);
        cpu->r[SOFT_RCX] = index;
    } else {
        union soft_elements mask = {.v = soft_v128_of(0, 0)};

        if ((imm & 0x40) == 0)
            mask.u64[0] = result;
        for (unsigned i = 0; i < count && (imm & 0x40) != 0; i++) {
            if ((result >> i & 1) == 0)
                continue;
            if (count == 16)
                mask.u8[i] = 0xff;
            else
                mask.u16[i] = 0xffff;
        }
        soft_v(cpu, 0)[0] = mask.v;
        if ((op->aux2 & SOFT_STRING_VEX) != 0)
            soft_v(cpu, 0)[1] = soft_v128_of(0, 0);
    }
    soft_flags_set_arithmetic(cpu, (result != 0 ? SOFT_CF : 0) | (length_b < count ? SOFT_ZF : 0) |
                                       (length_a < count ? SOFT_SF : 0) |
                                       ((result & 1) != 0 ? SOFT_OF : 0));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pcmpstr_r)
{
    return compare(cpu, op, soft_v(cpu, op->src)[0]);
}

SOFT_HANDLER(soft_op_pcmpstr_m)
{
    return compare(cpu, op, soft_read128(cpu, op, soft_address(cpu, op)));
}

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
