/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the format of 80 bits and the others (SDM vol. 1, 4.2 and 4.8). */
#include <string.h>

#include "soft/f80.h"

typedef unsigned __int128 u128;

struct soft_f80 f80_from_int(int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned shift;

    if (value == 0)
        return f80_make(false, 0, 0);
    shift = (unsigned)__builtin_clzll(magnitude);
    return f80_make(value < 0, F80_BIAS + 63 - shift, magnitude << shift);
}

/* The binary formats of 32 and 64 bits. */
struct format {
    unsigned fraction; /* bits */
    int32_t bias;
    unsigned highest; /* exponent field of infinities and NaNs */
};
static const struct format single = {23, 127, 0xff}, wide = {52, 1023, 0x7ff};

static struct soft_f80 widen(struct f80_context *c, uint64_t value, const struct format *f,
                             bool sign)
{
    uint64_t fraction = value & ((UINT64_C(1) << f->fraction) - 1);
    unsigned exponent = (unsigned)(value >> f->fraction) & f->highest;
    uint64_t significand = fraction << (63 - f->fraction);

    if (exponent == f->highest) {
        if (fraction == 0)
            return f80_make(sign, 0x7fff, F80_ONE);
        if ((significand & F80_QUIET) == 0)
            c->flags |= F80_IE;
        return f80_make(sign, 0x7fff, significand | F80_ONE | F80_QUIET);
    }
    if (exponent == 0) {
        unsigned shift;

        if (fraction == 0)
            return f80_make(sign, 0, 0);
        c->flags |= F80_DE;
        shift = (unsigned)__builtin_clzll(significand);
        return f80_make(sign, (unsigned)(F80_BIAS + 1 - f->bias - (int32_t)shift),
                        significand << shift);
    }
    return f80_make(sign, (unsigned)((int32_t)exponent - f->bias + F80_BIAS),
                    significand | F80_ONE);
}

struct soft_f80 f80_from_f32(struct f80_context *c, uint32_t value)
{
    return widen(c, value, &single, value >> 31 != 0);
}

struct soft_f80 f80_from_f64(struct f80_context *c, uint64_t value)
{
    return widen(c, value, &wide, value >> 63 != 0);
}

static bool rounds_up(const struct f80_context *c, bool sign, bool odd, uint64_t rest,
                      uint64_t half)
{
    switch (c->control >> 10 & 3) {
    case F80_NEAREST: return rest > half || (rest == half && odd);
    case F80_DOWN: return sign && rest != 0;
    case F80_UP: return !sign && rest != 0;
    default: return false;
    }
}

static uint64_t shift_sticky(uint64_t value, unsigned by)
{
    if (by == 0)
        return value;
    if (by >= 64)
        return value != 0;
    return value >> by | ((value << (64 - by)) != 0);
}

/* Without the sign. Stores with an unmasked overflow or underflow are not made by the caller. */
static uint64_t narrow(struct f80_context *c, struct soft_f80 a, const struct format *f)
{
    bool sign = f80_sign(a), tiny, nearest = (c->control >> 10 & 3) == F80_NEAREST;
    const unsigned cut = 63 - f->fraction;
    const uint64_t half = UINT64_C(1) << (cut - 1), rest_mask = (UINT64_C(1) << cut) - 1;
    const uint64_t infinite = (uint64_t)f->highest << f->fraction;
    struct f80_context ignored = {0};
    struct f80_number x;
    uint64_t value, rest;
    int32_t biased;

    c->up = false;
    if (f80_is_unsupported(a)) {
        c->flags |= F80_IE;
        return infinite | UINT64_C(1) << (f->fraction - 1);
    }
    if (f80_is_nan(a)) {
        if (f80_is_signalling(a))
            c->flags |= F80_IE;
        return infinite | UINT64_C(1) << (f->fraction - 1) | ((a.significand & ~F80_ONE) >> cut);
    }
    if (f80_is_infinite(a))
        return infinite;
    if (f80_is_zero(a))
        return 0;
    /* A denormal operand is no exception for a store; it is tiny. */
    x = f80_unpack(&ignored, a);
    biased = x.exponent + f->bias;
    value = x.significand;
    tiny = biased <= 0;
    if (tiny) {
        uint64_t kept = value >> cut;

        if (biased == 0 && rounds_up(c, sign, (kept & 1) != 0, value & rest_mask, half) &&
            kept + 1 == UINT64_C(1) << (f->fraction + 1))
            tiny = false;
        value = shift_sticky(value, (unsigned)(1 - biased));
        biased = 1; /* the integer bit adds 1 if it is there */
    }
    rest = value & rest_mask;
    value >>= cut;
    if (rounds_up(c, sign, (value & 1) != 0, rest, half)) {
        c->up = true;
        value++;
    }
    if (rest != 0)
        c->flags |= F80_PE;
    if (tiny && (rest != 0 || (c->control & F80_UE) == 0))
        c->flags |= F80_UE;
    /* The integer bit, and a carry into it, belong to the exponent. */
    if (biased <= (int32_t)f->highest)
        value += (uint64_t)(biased - 1) << f->fraction;
    if (biased > (int32_t)f->highest || value >= infinite) {
        bool to_infinity = nearest || (c->control >> 10 & 3) == (sign ? F80_DOWN : F80_UP);

        c->flags |= F80_OE | F80_PE;
        c->up = to_infinity;
        return to_infinity ? infinite : infinite - 1;
    }
    return value;
}

/* The indefinite, which operands of no format give, is negative. */
static bool sign_of(struct soft_f80 a)
{
    return f80_sign(a) || f80_is_unsupported(a);
}

uint32_t f80_to_f32(struct f80_context *c, struct soft_f80 a)
{
    return (uint32_t)narrow(c, a, &single) | (uint32_t)sign_of(a) << 31;
}

uint64_t f80_to_f64(struct f80_context *c, struct soft_f80 a)
{
    return narrow(c, a, &wide) | (uint64_t)sign_of(a) << 63;
}

int64_t f80_to_int(struct f80_context *c, struct soft_f80 a, unsigned bits, bool truncate)
{
    const uint64_t limit = UINT64_C(1) << (bits - 1);
    const int64_t indefinite = (int64_t)(0 - limit);
    struct f80_context rounding = {.control = c->control};
    struct f80_number x;
    struct soft_f80 whole;
    uint64_t magnitude;

    if (truncate)
        rounding.control |= F80_ZERO << 10;
    c->up = false;
    if (f80_is_nan(a) || f80_is_unsupported(a) || f80_is_infinite(a)) {
        c->flags |= F80_IE;
        return indefinite;
    }
    whole = f80_round(&rounding, a);
    x = f80_unpack(&rounding, whole);
    if (x.significand == 0) {
        magnitude = 0;
    } else if (x.exponent > 63) {
        c->flags |= F80_IE;
        return indefinite;
    } else {
        magnitude = x.significand >> (63 - x.exponent);
    }
    if (magnitude > limit || (magnitude == limit && !x.sign)) {
        c->flags |= F80_IE;
        return indefinite;
    }
    c->flags |= rounding.flags & F80_PE;
    c->up = rounding.up;
    return (int64_t)(x.sign ? 0 - magnitude : magnitude);
}

/* ---- packed decimal ---- */

struct soft_f80 f80_from_bcd(const uint8_t bcd[10])
{
    uint64_t value = 0;
    struct soft_f80 out;

    for (unsigned i = 9; i-- > 0;)
        value = value * 100 + (bcd[i] >> 4) * 10u + (bcd[i] & 15u);
    out = f80_from_int((int64_t)value);
    out.sign_exponent |= (uint16_t)((bcd[9] & 0x80u) << 8);
    return out;
}

void f80_to_bcd(uint8_t bcd[10], struct f80_context *c, struct soft_f80 a)
{
    static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
    struct f80_context trial = *c;
    int64_t value = f80_to_int(&trial, a, 64, false);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if ((trial.flags & F80_IE) != 0 || left > UINT64_C(999999999999999999)) {
        c->flags |= F80_IE;
        c->up = false;
        memcpy(bcd, indefinite, sizeof(indefinite));
        return;
    }
    *c = trial;
    for (unsigned i = 0; i < 9; i++, left /= 100)
        bcd[i] = (uint8_t)(left % 10 | (left / 10 % 10) << 4);
    bcd[9] = f80_sign(a) ? 0x80 : 0;
}
