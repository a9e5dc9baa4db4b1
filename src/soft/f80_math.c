/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x87's transcendental functions (SDM vol. 1, 8.3.6 to 8.3.10), by series in floating point
 * with 128 bits of significand, rounded once at the end. Processors are right to within one unit in
 * the last place, and differ from each other there; so does this. Arguments of sines are reduced
 * with the 66 bits of pi that the manual names.
 */
#include "soft/f80.h"

#include <stddef.h>

typedef unsigned __int128 u128;

#define WIDE(high, low) ((u128)UINT64_C(high) << 64 | UINT64_C(low))

/* (-1)^sign * significand / 2^127 * 2^exponent; the top bit is set, unless it is zero. */
struct wide {
    bool sign;
    int32_t exponent;
    u128 significand;
};

static const struct wide ln2 = {false, -1, WIDE(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af)};
static const struct wide two_over_ln2 = {false, 1, WIDE(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e89)};
static const struct wide pi = {false, 1, WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)};
static const struct wide half_pi = {false, 0, WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)};
/* The arc tangents of 1/16 to 16/16. */
static const struct wide arcs[] = {
    {false, -5, WIDE(0xffaaddb967ef4e36, 0xcb2792dc0e2e0d51)},
    {false, -4, WIDE(0xfeadd4d5617b6e32, 0xc897989f3e888ef8)},
    {false, -3, WIDE(0xbdcbda5e72d81134, 0x7b0b4f881c9c7488)},
    {false, -3, WIDE(0xfadbafc96406eb15, 0x6dc79ef5f7a217e6)},
    {false, -2, WIDE(0x9b13b9b83f5e5e69, 0xc5abb498d27af328)},
    {false, -2, WIDE(0xb7b0ca0f26f78473, 0x8aa32122dcfe4483)},
    {false, -2, WIDE(0xd327761e611fe5b6, 0x427c95e9001e7136)},
    {false, -2, WIDE(0xed63382b0dda7b45, 0x6fe445ecbc3a8d03)},
    {false, -1, WIDE(0x832bf4a6d9867e2a, 0x4b6a09cb61a515c1)},
    {false, -1, WIDE(0x8f005d5ef7f59f9b, 0x5c835e1665c43748)},
    {false, -1, WIDE(0x9a2f80e671bdda20, 0x4226f8e2204ff3bd)},
    {false, -1, WIDE(0xa4bc7d1934f70924, 0x19a87f2a457dac9f)},
    {false, -1, WIDE(0xaeac4c38b4d8c080, 0x14725e2f3e52070a)},
    {false, -1, WIDE(0xb8053e2bc2319e73, 0xcb2da55210a4443d)},
    {false, -1, WIDE(0xc0ce85b8ac526640, 0x89dd62c46e92fa25)},
    {false, -1, WIDE(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1)},
};
/* pi / 2 in units of 2^-65: 66 bits of it. */
#define HALF_PI_66 WIDE(0x3, 0x243f6a8885a308d3)

/* ---- arithmetic ---- */

static unsigned leading_zeros(u128 value)
{
    uint64_t high = (uint64_t)(value >> 64);

    return high != 0 ? (unsigned)__builtin_clzll(high)
                     : 64 + (unsigned)__builtin_clzll((uint64_t)value);
}

static struct wide normalized(bool sign, int32_t exponent, u128 significand)
{
    struct wide out = {sign, exponent, significand};

    if (significand != 0) {
        unsigned shift = leading_zeros(significand);

        out.significand <<= shift;
        out.exponent -= (int32_t)shift;
    }
    return out;
}

static struct wide small(uint32_t value)
{
    return normalized(false, 127, value);
}

/* The upper 128 bits of a product. */
static u128 high_half(u128 a, u128 b)
{
    u128 ah = a >> 64, al = (uint64_t)a, bh = b >> 64, bl = (uint64_t)b;
    u128 middle = ah * bl + (al * bl >> 64), low = al * bh;
    u128 carry = ((u128)(uint64_t)middle + (uint64_t)low) >> 64;

    return ah * bh + (middle >> 64) + (low >> 64) + carry;
}

static struct wide mul(struct wide a, struct wide b)
{
    return normalized(a.sign != b.sign, a.exponent + b.exponent + 1,
                      high_half(a.significand, b.significand));
}

static struct wide add(struct wide a, struct wide b)
{
    u128 x, y;
    int32_t distance;

    if (a.significand == 0)
        return b;
    if (b.significand == 0)
        return a;
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        struct wide swapped = a;

        a = b;
        b = swapped;
    }
    distance = a.exponent - b.exponent;
    x = a.significand >> 1;
    y = distance >= 127 ? 0 : b.significand >> (distance + 1);
    return normalized(a.sign, a.exponent + 1, a.sign == b.sign ? x + y : x - y);
}

static struct wide negative(struct wide a)
{
    a.sign = !a.sign;
    return a;
}

static struct wide quotient(struct wide a, struct wide b)
{
    u128 rest = a.significand, out = 0;
    int32_t exponent = a.exponent - b.exponent;
    bool carry = false;

    if (rest == 0)
        return a;
    if (rest < b.significand) {
        carry = rest >> 127 != 0;
        rest <<= 1;
        exponent--;
    }
    for (unsigned i = 0; i < 128; i++) {
        out <<= 1;
        if (carry || rest >= b.significand) {
            rest -= b.significand;
            out |= 1;
        }
        carry = rest >> 127 != 0;
        rest <<= 1;
    }
    return normalized(a.sign != b.sign, exponent, out);
}

static struct wide widen(struct f80_context *c, struct soft_f80 a)
{
    struct f80_number n = f80_unpack(c, a);

    return (struct wide){n.sign, n.exponent, (u128)n.significand << 64};
}

/* Results are never exact, whatever the last bits look like; in full precision. */
static struct soft_f80 rounded(struct f80_context *c, struct wide a)
{
    const uint16_t control = c->control;
    struct soft_f80 out;

    c->control |= 0x300;
    out = f80_pack(c, a.sign, a.exponent, a.significand | 1);
    c->control = control;
    return out;
}

/* ---- series ---- */

/* sum over n of (sign^n) z^n / (2n + 1), with z = x^2: atanh(x) / x, or atan(x) / x. */
static struct wide arc_series(struct wide z, bool alternating, unsigned terms)
{
    struct wide sum = {0};

    if (alternating)
        z = negative(z);
    for (unsigned n = terms; n-- > 0;)
        sum = add(quotient(small(1), small(2 * n + 1)), mul(z, sum));
    return sum;
}

/* sum over n of (-z)^n / ((2n + first)! / first!), z = x^2; first 1: sin(x) / x; first 0: cos(x).
 */
static struct wide circle_series(struct wide z, unsigned first)
{
    struct wide sum = small(1);

    z = negative(z);
    for (unsigned n = 17; n > 0; n--) {
        unsigned k = 2 * n + first;

        sum = add(small(1), mul(quotient(z, small(k * (k - 1))), sum));
    }
    return sum;
}

/* (e^z - 1) / z */
static struct wide exponential_series(struct wide z)
{
    struct wide sum = small(1);

    for (unsigned n = 36; n > 1; n--)
        sum = add(small(1), mul(quotient(z, small(n)), sum));
    return sum;
}

/* log2((1 + t) / (1 - t)), |t| <= 0.172 */
static struct wide logarithm_of_ratio(struct wide t)
{
    return mul(mul(t, two_over_ln2), arc_series(mul(t, t), false, 26));
}

/* ---- functions; operands are finite, and not zero ---- */

static struct wide log2_of(struct wide x)
{
    /* sqrt(2), to put what is left between its inverse and it */
    const u128 root = WIDE(0xb504f333f9de6484, 0x597d89b3754abe9f);
    int32_t whole = x.exponent;
    struct wide t;

    x.exponent = 0;
    if (x.significand > root) {
        x.exponent = -1;
        whole++;
    }
    t = quotient(add(x, negative(small(1))), add(x, small(1)));
    t = t.significand == 0 ? t : logarithm_of_ratio(t);
    return add(whole < 0 ? negative(small((uint32_t)-whole)) : small((uint32_t)whole), t);
}

/* atan(y / x) for 0 < y <= x: from the nearest sixteenth. */
static struct wide arc(struct wide y, struct wide x)
{
    struct wide q = quotient(y, x), c, r;
    unsigned k = 0;

    if (q.exponent >= -5)
        k = (unsigned)((q.significand >> 122) >> (unsigned)-q.exponent);
    k = (k + 1) / 2; /* of 32nds */
    if (k == 0)
        return mul(q, arc_series(mul(q, q), true, 16));
    c = quotient(small(k), small(16));
    r = quotient(add(y, negative(mul(c, x))), add(x, mul(c, y)));
    if (r.significand == 0)
        return arcs[k - 1];
    return add(arcs[k - 1], mul(r, arc_series(mul(r, r), true, 16)));
}

/* x = *quarter * pi / 2 + result, |result| <= pi / 4; |x| < 2^63 */
static struct wide reduce(struct wide x, unsigned *quarter)
{
    u128 rest = x.significand >> 64;
    unsigned q = 0;
    bool sign = false;

    *quarter = 0;
    if (x.exponent < -2)
        return x;
    for (int32_t i = 0; i < x.exponent + 2; i++) {
        rest <<= 1;
        q <<= 1;
        if (rest >= HALF_PI_66) {
            rest -= HALF_PI_66;
            q |= 1;
        }
    }
    if (rest > HALF_PI_66 / 2) {
        rest = HALF_PI_66 - rest;
        sign = true;
        q++;
    }
    /* Of a negative number all is negative. */
    *quarter = x.sign ? 0u - q : q;
    return normalized(sign != x.sign, 127 - 65, rest);
}

static struct wide sine(struct wide r)
{
    return r.significand == 0 ? r : mul(r, circle_series(mul(r, r), 1));
}

static struct wide cosine(struct wide r)
{
    return circle_series(mul(r, r), 0);
}

/* ---- with all special operands (SDM vol. 2A) ---- */

static struct soft_f80 invalid(struct f80_context *c)
{
    c->flags |= F80_IE;
    return f80_indefinite();
}

struct soft_f80 f80_2xm1(struct f80_context *c, struct soft_f80 a)
{
    struct soft_f80 nan;
    struct wide z;

    if (f80_nan(&nan, c, a, a))
        return nan;
    if (f80_is_zero(a))
        return a;
    if (f80_is_infinite(a))
        return f80_sign(a) ? f80_make(true, F80_BIAS, F80_ONE) : a;
    z = widen(c, a);
    /* Exact at the ends; beyond them the result is undefined: the operand, as on processors. */
    if (z.exponent >= 0) {
        if (z.exponent == 0 && z.significand == (u128)1 << 127)
            return f80_sign(a) ? f80_make(true, F80_BIAS - 1, F80_ONE)
                               : f80_make(false, F80_BIAS, F80_ONE);
        return a;
    }
    z = mul(z, ln2);
    return rounded(c, mul(z, exponential_series(z)));
}

/* y * log2(x), once the logarithm is known to be a number. */
static struct soft_f80 times(struct f80_context *c, struct soft_f80 y, struct wide logarithm)
{
    if (f80_is_infinite(y)) {
        if (logarithm.significand == 0)
            return invalid(c);
        return f80_make(f80_sign(y) != logarithm.sign, 0x7fff, F80_ONE);
    }
    if (logarithm.significand == 0 || f80_is_zero(y))
        return f80_make(f80_sign(y) != logarithm.sign, 0, 0);
    return rounded(c, mul(widen(c, y), logarithm));
}

struct soft_f80 f80_yl2x(struct f80_context *c, struct soft_f80 y, struct soft_f80 x)
{
    struct soft_f80 nan;

    if (f80_nan(&nan, c, y, x))
        return nan;
    if (f80_is_zero(x)) {
        if (f80_is_zero(y))
            return invalid(c);
        if (f80_is_infinite(y))
            return f80_make(!f80_sign(y), 0x7fff, F80_ONE);
        c->flags |= F80_ZE;
        return f80_make(!f80_sign(y), 0x7fff, F80_ONE);
    }
    if (f80_sign(x))
        return invalid(c);
    if (f80_is_infinite(x)) {
        if (f80_is_zero(y))
            return invalid(c);
        if (f80_is_denormal(y))
            c->flags |= F80_DE;
        return f80_make(f80_sign(y), 0x7fff, F80_ONE);
    }
    return times(c, y, log2_of(widen(c, x)));
}

struct soft_f80 f80_yl2xp1(struct f80_context *c, struct soft_f80 y, struct soft_f80 x)
{
    struct soft_f80 nan;
    struct wide w;

    if (f80_nan(&nan, c, y, x))
        return nan;
    if (f80_is_infinite(x)) {
        if (f80_sign(x) || f80_is_zero(y))
            return invalid(c);
        if (f80_is_denormal(y))
            c->flags |= F80_DE;
        return f80_make(f80_sign(y), 0x7fff, F80_ONE);
    }
    if (f80_is_zero(x)) {
        if (f80_is_infinite(y))
            return invalid(c);
        if (f80_is_denormal(y))
            c->flags |= F80_DE;
        return f80_make(f80_sign(y) != f80_sign(x), 0, 0);
    }
    w = widen(c, x);
    if (w.exponent >= -1) {
        /* Outside of the range that is defined: by the other logarithm, where there is one. */
        w = add(w, small(1));
        if (w.significand == 0 || w.sign)
            return invalid(c);
        return times(c, y, log2_of(w));
    }
    return times(c, y, logarithm_of_ratio(quotient(w, add(small(2), w))));
}

struct soft_f80 f80_patan(struct f80_context *c, struct soft_f80 y, struct soft_f80 x)
{
    bool sign = f80_sign(y), infinite_x, infinite_y, left = f80_sign(x);
    struct wide angle, a, b;
    struct soft_f80 nan;

    if (f80_nan(&nan, c, y, x))
        return nan;
    infinite_x = f80_is_infinite(x);
    infinite_y = f80_is_infinite(y);
    if (f80_is_denormal(x) || f80_is_denormal(y))
        c->flags |= F80_DE;
    if (infinite_y) {
        angle = half_pi;
        if (infinite_x)
            angle = left ? add(pi, negative(arcs[15])) : arcs[15];
    } else if (infinite_x || f80_is_zero(y)) {
        if (!left)
            return f80_make(sign, 0, 0);
        angle = pi;
    } else if (f80_is_zero(x)) {
        angle = half_pi;
    } else {
        a = widen(c, y);
        b = widen(c, x);
        a.sign = b.sign = false;
        if (a.exponent > b.exponent || (a.exponent == b.exponent && a.significand > b.significand))
            angle = add(half_pi, negative(arc(b, a)));
        else
            angle = arc(a, b);
        if (left)
            angle = add(pi, negative(angle));
    }
    angle.sign = sign;
    return rounded(c, angle);
}

/* Whether the operand of a sine is one: fills in *out if not. */
static bool special_angle(struct soft_f80 *out, struct f80_context *c, struct soft_f80 a,
                          bool *too_large)
{
    *too_large = false;
    if (f80_nan(out, c, a, a))
        return true;
    if (f80_is_infinite(a)) {
        *out = invalid(c);
        return true;
    }
    if (f80_exponent(a) >= F80_BIAS + 63) {
        *too_large = true;
        *out = a;
        return true;
    }
    return false;
}

bool f80_sincos(struct soft_f80 *sin, struct soft_f80 *cos, struct f80_context *c,
                struct soft_f80 a)
{
    struct soft_f80 unused, special;
    bool too_large;
    struct wide r, s, o;
    unsigned quarter;

    if (special_angle(&special, c, a, &too_large)) {
        *(sin != NULL ? sin : &unused) = special;
        *(cos != NULL ? cos : &unused) = special;
        return !too_large;
    }
    if (f80_is_zero(a)) {
        *(sin != NULL ? sin : &unused) = a;
        *(cos != NULL ? cos : &unused) = f80_make(false, F80_BIAS, F80_ONE);
        return true;
    }
    r = reduce(widen(c, a), &quarter);
    s = sine(r);
    o = cosine(r);
    if ((quarter & 1) != 0) {
        struct wide swapped = s;

        s = o;
        o = swapped;
    }
    s.sign ^= (quarter & 2) != 0;
    o.sign ^= ((quarter + 1) & 2) != 0;
    if (cos != NULL)
        *cos = rounded(c, o);
    if (sin != NULL)
        *sin = rounded(c, s);
    return true;
}

bool f80_ptan(struct soft_f80 *out, struct f80_context *c, struct soft_f80 a)
{
    bool too_large;
    struct wide r, t;
    unsigned quarter;

    if (special_angle(out, c, a, &too_large))
        return !too_large;
    if (f80_is_zero(a)) {
        *out = a;
        return true;
    }
    r = reduce(widen(c, a), &quarter);
    t = (quarter & 1) != 0 ? negative(quotient(cosine(r), sine(r))) : quotient(sine(r), cosine(r));
    *out = rounded(c, t);
    return true;
}
