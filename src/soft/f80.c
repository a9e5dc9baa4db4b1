/* SPDX-License-Identifier: BSD-3-Clause */
#include "soft/f80.h"

typedef unsigned __int128 u128;

#define MAX_EXPONENT 0x7ffe

static enum f80_rounding rounding(const struct f80_context *c)
{
    return (enum f80_rounding)(c->control >> 10 & 3);
}

/* Bits of significand that the precision control keeps. */
static unsigned precision(const struct f80_context *c)
{
    switch (c->control >> 8 & 3) {
    case 0: return 24;
    case 2: return 53;
    default: return 64;
    }
}

static bool masked(const struct f80_context *c, unsigned exception)
{
    return (c->control & exception) != 0;
}

struct soft_f80 f80_indefinite(void)
{
    return f80_make(true, 0x7fff, UINT64_C(0xc000000000000000));
}

static struct soft_f80 invalid(struct f80_context *c)
{
    c->flags |= F80_IE;
    return f80_indefinite();
}

static struct soft_f80 infinity(bool sign)
{
    return f80_make(sign, 0x7fff, F80_ONE);
}

static struct soft_f80 zero(bool sign)
{
    return f80_make(sign, 0, 0);
}

static bool is_odd(struct soft_f80 a)
{
    return f80_is_nan(a) || f80_is_unsupported(a);
}

/*
 * SDM vol. 1, table 4-7: of two NaNs the one with the larger significand, signalling ones first
 * made quiet; of a quiet and a signalling one the quiet one.
 */
bool f80_nan(struct soft_f80 *out, struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    bool first = f80_is_nan(a), second = f80_is_nan(b), take_first;

    if (!is_odd(a) && !is_odd(b))
        return false;
    if (f80_is_unsupported(a) || f80_is_unsupported(b)) {
        *out = invalid(c);
        return true;
    }
    if (f80_is_signalling(a) || f80_is_signalling(b))
        c->flags |= F80_IE;
    if (first && second && f80_is_signalling(a) != f80_is_signalling(b))
        take_first = !f80_is_signalling(a);
    else if (first && second && a.significand != b.significand)
        take_first = a.significand > b.significand;
    else if (first && second)
        take_first = !f80_sign(a);
    else
        take_first = first;
    *out = take_first ? a : b;
    out->significand |= F80_QUIET;
    return true;
}

struct f80_number f80_unpack(struct f80_context *c, struct soft_f80 a)
{
    struct f80_number n = {
        .sign = f80_sign(a),
        .exponent = (int32_t)f80_exponent(a) - F80_BIAS,
        .significand = a.significand,
    };

    if (f80_exponent(a) == 0 && a.significand != 0) {
        unsigned shift = (unsigned)__builtin_clzll(a.significand);

        c->flags |= F80_DE;
        n.exponent = 1 - F80_BIAS - (int32_t)shift;
        n.significand <<= shift;
    }
    return n;
}

/* ---- rounding ---- */

/* Whether to round the magnitude up, given what is cut off, as a fraction of 2^128. */
static bool rounds_up(enum f80_rounding how, bool sign, bool odd, u128 rest)
{
    const u128 half = (u128)1 << 127;

    switch (how) {
    case F80_NEAREST: return rest > half || (rest == half && odd);
    case F80_DOWN: return sign && rest != 0;
    case F80_UP: return !sign && rest != 0;
    default: return false;
    }
}

static struct soft_f80 overflow(struct f80_context *c, bool sign)
{
    enum f80_rounding how = rounding(c);
    bool to_infinity = how == F80_NEAREST || how == (sign ? F80_DOWN : F80_UP);
    unsigned cut = 64 - precision(c);

    c->flags |= F80_OE | F80_PE;
    c->up = to_infinity;
    return to_infinity ? infinity(sign) : f80_make(sign, MAX_EXPONENT, ~UINT64_C(0) << cut);
}

/* Shifts right, and keeps in the last bit whether anything but zeros was lost. */
static u128 shift_sticky(u128 value, unsigned by)
{
    if (by == 0)
        return value;
    if (by >= 128)
        return value != 0;
    return value >> by | ((value << (128 - by)) != 0);
}

struct soft_f80 f80_pack(struct f80_context *c, bool sign, int32_t exponent, u128 significand)
{
    enum f80_rounding how = rounding(c);
    unsigned kept = precision(c), cut = 128 - kept;
    int32_t biased = exponent + F80_BIAS;
    bool tiny, inexact;
    u128 value, rest;

    c->up = false;
    if (significand == 0)
        return zero(sign);
    tiny = biased <= 0;
    if (tiny) {
        /* Tiny only if it still is after rounding without a bound of the exponent (SDM vol. 1,
         * 4.9.1.5). */
        value = significand >> cut;
        rest = significand << kept;
        if (biased == 0 && rounds_up(how, sign, (value & 1) != 0, rest) &&
            value + 1 == (u128)1 << kept)
            tiny = false;
        if (tiny && !masked(c, F80_UE)) {
            /* The exponent is wrapped for the handler. */
            c->flags |= F80_UE;
            biased += 24576;
            /* Even that may not do, for FSCALE: a zero (SDM vol. 1, 8.5.5). */
            if (biased <= 0) {
                c->flags |= F80_PE;
                return zero(sign);
            }
        } else {
            significand = shift_sticky(significand, (unsigned)(1 - biased));
            biased = 0;
        }
    }
    value = significand >> cut;
    rest = significand << kept;
    inexact = rest != 0;
    if (rounds_up(how, sign, (value & 1) != 0, rest)) {
        c->up = true;
        value++;
        if (value == (u128)1 << kept) {
            value >>= 1;
            biased++;
        }
    }
    if (inexact)
        c->flags |= F80_PE;
    value <<= 64 - kept;
    if (biased == 0) {
        /* A denormal; it may have become the smallest normal number. */
        if (tiny && inexact)
            c->flags |= F80_UE;
        if ((value & F80_ONE) != 0)
            biased = 1;
        return f80_make(sign, (unsigned)biased, (uint64_t)value);
    }
    if (biased > MAX_EXPONENT) {
        if (masked(c, F80_OE))
            return overflow(c, sign);
        c->flags |= F80_OE;
        biased -= 24576;
        /* Even that may not do, for FSCALE: an infinity (SDM vol. 1, 8.5.4). */
        if (biased > MAX_EXPONENT) {
            c->flags |= F80_PE;
            c->up = true;
            return infinity(sign);
        }
    }
    return f80_make(sign, (unsigned)biased, (uint64_t)value);
}

/* The same for a significand whose top bit may be anywhere. */
static struct soft_f80 normalize(struct f80_context *c, bool sign, int32_t exponent, u128 value)
{
    unsigned shift;

    if (value == 0)
        return zero(sign);
    shift = (uint64_t)(value >> 64) != 0 ? (unsigned)__builtin_clzll((uint64_t)(value >> 64))
                                         : 64 + (unsigned)__builtin_clzll((uint64_t)value);
    return f80_pack(c, sign, exponent - (int32_t)shift, value << shift);
}

/* ---- addition ---- */

/* a + b, with the sign of b turned over if `negate`. */
static struct soft_f80 sum(struct f80_context *c, struct soft_f80 a, struct soft_f80 b, bool negate)
{
    struct f80_number x, y;
    struct soft_f80 nan;
    u128 p, q;

    if (f80_nan(&nan, c, a, b))
        return nan;
    if (negate)
        b.sign_exponent ^= 0x8000;
    if (f80_is_infinite(a) || f80_is_infinite(b)) {
        if (f80_is_infinite(a) && f80_is_infinite(b) && f80_sign(a) != f80_sign(b))
            return invalid(c);
        if (f80_is_denormal(a) || f80_is_denormal(b))
            c->flags |= F80_DE;
        return f80_is_infinite(a) ? a : b;
    }
    x = f80_unpack(c, a);
    y = f80_unpack(c, b);
    if (x.significand == 0 && y.significand == 0) {
        if (x.sign == y.sign)
            return zero(x.sign);
        return zero(rounding(c) == F80_DOWN);
    }
    /* A zero's exponent must not make the other number the smaller one. */
    if (x.significand == 0)
        x.exponent = y.exponent;
    if (y.significand == 0)
        y.exponent = x.exponent;
    if (x.exponent < y.exponent || (x.exponent == y.exponent && x.significand < y.significand)) {
        struct f80_number swapped = x;

        x = y;
        y = swapped;
    }
    /* A bit of room for the carry, and 63 below for what is shifted out. */
    p = (u128)x.significand << 63;
    q = shift_sticky((u128)y.significand << 63, (unsigned)(x.exponent - y.exponent));
    if (x.sign == y.sign)
        return normalize(c, x.sign, x.exponent + 1, p + q);
    if (p == q)
        return zero(rounding(c) == F80_DOWN);
    return normalize(c, x.sign, x.exponent + 1, p - q);
}

struct soft_f80 f80_add(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    return sum(c, a, b, false);
}

struct soft_f80 f80_sub(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    return sum(c, a, b, true);
}

/* ---- multiplication, division, root ---- */

struct soft_f80 f80_mul(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    bool sign = f80_sign(a) != f80_sign(b);
    struct f80_number x, y;
    struct soft_f80 nan;

    if (f80_nan(&nan, c, a, b))
        return nan;
    if (f80_is_infinite(a) || f80_is_infinite(b)) {
        if (f80_is_zero(a) || f80_is_zero(b))
            return invalid(c);
        if (f80_is_denormal(a) || f80_is_denormal(b))
            c->flags |= F80_DE;
        return infinity(sign);
    }
    x = f80_unpack(c, a);
    y = f80_unpack(c, b);
    return normalize(c, sign, x.exponent + y.exponent + 1, (u128)x.significand * y.significand);
}

struct soft_f80 f80_div(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    bool sign = f80_sign(a) != f80_sign(b);
    struct f80_number x, y;
    struct soft_f80 nan;
    u128 rest, quotient;
    int32_t exponent;

    if (f80_nan(&nan, c, a, b))
        return nan;
    if (f80_is_infinite(a)) {
        if (f80_is_infinite(b))
            return invalid(c);
        if (f80_is_denormal(b))
            c->flags |= F80_DE;
        return infinity(sign);
    }
    if (f80_is_infinite(b)) {
        if (f80_is_denormal(a))
            c->flags |= F80_DE;
        return zero(sign);
    }
    if (f80_is_zero(b)) {
        if (f80_is_zero(a))
            return invalid(c);
        /* It comes before a denormal operand (SDM vol. 1, 4.9.2). */
        c->flags |= F80_ZE;
        return infinity(sign);
    }
    x = f80_unpack(c, a);
    y = f80_unpack(c, b);
    if (x.significand == 0)
        return zero(sign);
    exponent = x.exponent - y.exponent;
    rest = x.significand;
    if (x.significand < y.significand) {
        rest <<= 1;
        exponent--;
    }
    /* 64 bits at a time: the first has its top bit set. */
    quotient = (rest << 63) / y.significand;
    rest = (rest << 63) % y.significand;
    quotient = quotient << 64 | (rest << 64) / y.significand;
    rest = (rest << 64) % y.significand;
    return f80_pack(c, sign, exponent, quotient | (rest != 0));
}

struct soft_f80 f80_sqrt(struct f80_context *c, struct soft_f80 a)
{
    struct f80_number x;
    struct soft_f80 nan;
    u128 root = 0, value, rest;
    int32_t exponent;

    if (f80_nan(&nan, c, a, a))
        return nan;
    if (f80_is_zero(a))
        return a;
    if (f80_sign(a))
        return invalid(c);
    if (f80_is_infinite(a))
        return a;
    x = f80_unpack(c, a);
    exponent = x.exponent;
    /* value = significand / 2^63, in [1, 4), as a number of 2 + 126 bits */
    value = (u128)x.significand << 63;
    if ((exponent & 1) != 0) {
        value <<= 1;
        exponent--;
    }
    /* Digit by digit: 64 bits of the root, then one more to round and the rest to see. */
    for (int bit = 63; bit >= 0; bit--) {
        u128 trial = root | (u128)1 << bit;

        if (trial * trial <= value)
            root = trial;
    }
    rest = value - root * root; /* at most 2 * root */
    /* The next bit is 1 if (2 root + 1)^2 <= 4 value: 4 root + 1 <= 4 rest. */
    value = root << 64;
    if (rest > root)
        value |= (u128)3 << 62;
    else if (rest != 0)
        value |= (u128)1 << 62;
    return f80_pack(c, false, exponent / 2, value);
}

/* ---- to integers ---- */

struct soft_f80 f80_round(struct f80_context *c, struct soft_f80 a)
{
    struct f80_number x;
    struct soft_f80 nan;
    unsigned fraction;
    uint64_t whole;
    u128 rest;

    c->up = false;
    if (f80_nan(&nan, c, a, a))
        return nan;
    if (f80_is_infinite(a) || f80_is_zero(a))
        return a;
    x = f80_unpack(c, a);
    if (x.exponent >= 63)
        return a;
    if (x.exponent < -1) {
        whole = 0;
        rest = 1; /* less than a half */
    } else {
        fraction = (unsigned)(63 - x.exponent); /* 1 to 64 bits */
        whole = fraction == 64 ? 0 : x.significand >> fraction;
        rest = (u128)x.significand << (128 - fraction);
    }
    if (rest == 0)
        return a;
    c->flags |= F80_PE;
    if (rounds_up(rounding(c), x.sign, (whole & 1) != 0, rest)) {
        c->up = true;
        whole++;
    }
    if (whole == 0)
        return zero(x.sign);
    {
        unsigned shift = (unsigned)__builtin_clzll(whole);

        return f80_make(x.sign, (unsigned)(F80_BIAS + 63 - (int32_t)shift), whole << shift);
    }
}

/* ---- comparison ---- */

enum f80_order f80_compare(struct f80_context *c, struct soft_f80 a, struct soft_f80 b, bool quiet)
{
    bool less;

    if (is_odd(a) || is_odd(b)) {
        if (!quiet || f80_is_signalling(a) || f80_is_signalling(b) || f80_is_unsupported(a) ||
            f80_is_unsupported(b))
            c->flags |= F80_IE;
        return F80_UNORDERED;
    }
    if (f80_is_denormal(a) || f80_is_denormal(b))
        c->flags |= F80_DE;
    if (f80_is_zero(a) && f80_is_zero(b))
        return F80_EQUAL;
    if (f80_sign(a) != f80_sign(b))
        return f80_sign(a) ? F80_LESS : F80_GREATER;
    if (a.sign_exponent == b.sign_exponent && a.significand == b.significand)
        return F80_EQUAL;
    /* A pseudo-denormal has exponent 0 and counts as 1: compare normalized. */
    {
        struct f80_context ignored = {0};
        struct f80_number x = f80_unpack(&ignored, a), y = f80_unpack(&ignored, b);

        if (x.significand == 0)
            x.exponent = INT32_MIN;
        if (y.significand == 0)
            y.exponent = INT32_MIN;
        if (x.exponent == y.exponent && x.significand == y.significand)
            return F80_EQUAL;
        less = x.exponent != y.exponent ? x.exponent < y.exponent : x.significand < y.significand;
    }
    return less != f80_sign(a) ? F80_LESS : F80_GREATER;
}

/* ---- exponents ---- */

struct soft_f80 f80_scale(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    const uint16_t control = c->control;
    struct soft_f80 out, nan;
    struct f80_number x, y;
    int32_t by;

    if (f80_nan(&nan, c, a, b))
        return nan;
    if (f80_is_infinite(b)) {
        if (f80_sign(b)) {
            if (f80_is_infinite(a))
                return invalid(c);
            if (f80_is_denormal(a))
                c->flags |= F80_DE;
            return zero(f80_sign(a));
        }
        if (f80_is_zero(a))
            return invalid(c);
        if (f80_is_denormal(a))
            c->flags |= F80_DE;
        return infinity(f80_sign(a));
    }
    if (f80_is_infinite(a) || f80_is_zero(a)) {
        if (f80_is_denormal(b))
            c->flags |= F80_DE;
        return a;
    }
    x = f80_unpack(c, a);
    y = f80_unpack(c, b);
    if (y.significand == 0 || y.exponent < 0)
        by = 0;
    else if (y.exponent > 16)
        by = 0x20000;
    else
        by = (int32_t)(y.significand >> (63 - y.exponent));
    /* The precision is always that of the format. */
    c->control |= 0x300;
    out = f80_pack(c, x.sign, x.exponent + (y.sign ? -by : by), (u128)x.significand << 64);
    c->control = control;
    return out;
}

struct soft_f80 f80_extract(struct f80_context *c, struct soft_f80 a, struct soft_f80 *exponent)
{
    struct f80_number x;
    struct soft_f80 nan;

    if (f80_nan(&nan, c, a, a)) {
        *exponent = nan;
        return nan;
    }
    if (f80_is_infinite(a)) {
        *exponent = infinity(false);
        return a;
    }
    if (f80_is_zero(a)) {
        c->flags |= F80_ZE;
        *exponent = infinity(true);
        return a;
    }
    x = f80_unpack(c, a);
    *exponent = f80_from_int(x.exponent);
    return f80_make(x.sign, F80_BIAS, x.significand);
}

/* The rest of a remainder, in units of 2^(exponent - 63), which is exact. */
static struct soft_f80 rest_of(struct f80_context *c, bool sign, int32_t exponent, u128 rest)
{
    const uint16_t control = c->control;
    struct soft_f80 out;

    c->control |= 0x300;
    out = normalize(c, sign, exponent + 64, rest);
    c->control = control;
    return out;
}

/* As it is, but for a pseudo-denormal, which comes out as the normal number that it is. */
static struct soft_f80 itself(struct soft_f80 a)
{
    if (f80_exponent(a) == 0 && (a.significand & F80_ONE) != 0)
        a.sign_exponent |= 1;
    return a;
}

/* Tiny, and exact: an underflow only if it is unmasked. */
static struct soft_f80 unchanged(struct f80_context *c, struct soft_f80 a)
{
    const uint16_t control = c->control;
    struct f80_number x;

    if (!f80_is_denormal(a) || masked(c, F80_UE))
        return itself(a);
    x = f80_unpack(c, a);
    c->control |= 0x300;
    a = f80_pack(c, x.sign, x.exponent, (u128)x.significand << 64);
    c->control = control;
    return a;
}

struct soft_f80 f80_remainder(struct f80_context *c, struct soft_f80 a, struct soft_f80 b,
                              bool nearest, int *quotient)
{
    struct f80_number x, y;
    struct soft_f80 nan;
    int32_t distance, steps;
    uint64_t q = 0;
    u128 rest;

    *quotient = 0;
    if (f80_nan(&nan, c, a, b))
        return nan;
    if (f80_is_infinite(a) || f80_is_zero(b))
        return invalid(c);
    if (f80_is_infinite(b)) {
        if (f80_is_denormal(a))
            c->flags |= F80_DE;
        return unchanged(c, a);
    }
    x = f80_unpack(c, a);
    y = f80_unpack(c, b);
    distance = x.exponent - y.exponent;
    if (x.significand == 0 || distance < (nearest ? -1 : 0))
        return unchanged(c, a);
    rest = x.significand;
    if (distance < 0) {
        /* Less than b; if more than half of it, the nearest multiple is b itself. */
        if (x.significand <= y.significand)
            return unchanged(c, a);
        *quotient = 1;
        return rest_of(c, !x.sign, x.exponent, ((u128)y.significand << 1) - rest);
    }
    /* At most 64 bits of the quotient at a time: N + 1, with N between 32 and 63 as processors
     * choose it (SDM vol. 2A, FPREM). */
    steps = (distance >= 64 ? 32 + distance % 32 : distance) + 1;
    for (int32_t i = 0; i < steps; i++) {
        rest <<= i > 0;
        q <<= 1;
        if (rest >= y.significand) {
            rest -= y.significand;
            q |= 1;
        }
    }
    if (distance >= 64) {
        *quotient = -1;
        return rest_of(c, x.sign, x.exponent - (steps - 1), rest);
    }
    *quotient = (int)(q & 7);
    if (nearest && (rest << 1 > y.significand || (rest << 1 == y.significand && (q & 1) != 0))) {
        *quotient = (int)((q + 1) & 7);
        return rest_of(c, !x.sign, y.exponent, y.significand - rest);
    }
    return rest_of(c, x.sign, y.exponent, rest);
}
