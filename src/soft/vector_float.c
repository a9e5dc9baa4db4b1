/* SPDX-License-Identifier: BSD-3-Clause */
/* IEEE 754 arithmetic as SSE does it (SDM vol. 1, chapters 4.8, 4.9 and 11.5). */
#include "soft/vector_float.h"

#include <float.h>
#include <string.h>

typedef unsigned __int128 u128;

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of macros here are sizes and types. */

/* ---- formats ---- */

struct format {
    unsigned precision; /* with the leading 1 */
    unsigned exponent;  /* bits of it */
};
static const struct format f16 = {11, 5}, f32 = {24, 8}, f64 = {53, 11};

#define INLINE static inline __attribute__((always_inline))

INLINE unsigned width(struct format f)
{
    return f.precision + f.exponent;
}

INLINE int bias(struct format f)
{
    return (1 << (f.exponent - 1)) - 1;
}

INLINE uint64_t sign_bit(struct format f)
{
    return UINT64_C(1) << (width(f) - 1);
}

INLINE uint64_t fraction_mask(struct format f)
{
    return (UINT64_C(1) << (f.precision - 1)) - 1;
}

INLINE uint64_t infinity(struct format f)
{
    return sign_bit(f) - 1 - fraction_mask(f);
}

INLINE uint64_t quiet_bit(struct format f)
{
    return UINT64_C(1) << (f.precision - 2);
}

/* "Real indefinite": what an invalid operation gives. */
INLINE uint64_t indefinite(struct format f)
{
    return sign_bit(f) | infinity(f) | quiet_bit(f);
}

INLINE bool is_nan(uint64_t a, struct format f)
{
    return (a & (sign_bit(f) - 1)) > infinity(f);
}

INLINE bool is_signalling(uint64_t a, struct format f)
{
    return is_nan(a, f) && (a & quiet_bit(f)) == 0;
}

INLINE bool is_denormal(uint64_t a, struct format f)
{
    return (a & infinity(f)) == 0 && (a & fraction_mask(f)) != 0;
}

/* A denormal operand, as DAZ has it. */
INLINE uint64_t daz(const struct soft_fp *fp, uint64_t a, struct format f)
{
    return (fp->mxcsr & SOFT_FP_DAZ) != 0 && is_denormal(a, f) ? a & sign_bit(f) : a;
}

/* significand / 2^63 * 2^exponent; its bit 63 is set, unless it is zero. */
struct number {
    bool sign, infinite, denormal;
    int exponent;
    uint64_t significand;
};

/* Of what is no NaN. */
INLINE struct number unpack(const struct soft_fp *fp, uint64_t a, struct format f)
{
    struct number n = {.sign = (a & sign_bit(f)) != 0};
    uint64_t fraction, exponent;

    a = daz(fp, a, f);
    fraction = a & fraction_mask(f);
    exponent = (a & infinity(f)) >> (f.precision - 1);
    n.infinite = (a & infinity(f)) == infinity(f);
    if (exponent != 0) {
        n.exponent = (int)exponent - bias(f);
        n.significand = (fraction << (64 - f.precision)) | UINT64_C(1) << 63;
    } else if (fraction != 0) {
        unsigned shift = (unsigned)__builtin_clzll(fraction);

        n.denormal = true;
        n.significand = fraction << shift;
        n.exponent = 1 - bias(f) - (int)(shift - (64 - f.precision));
    }
    return n;
}

/* Shifts right; what falls out stays visible in bit 0. */
INLINE uint64_t jam(uint64_t a, unsigned by)
{
    return by == 0 ? a : by > 63 ? a != 0 : a >> by | ((a << (64 - by)) != 0);
}

INLINE u128 jam128(u128 a, unsigned by)
{
    return by == 0 ? a : by > 127 ? a != 0 : a >> by | ((a << (128 - by)) != 0);
}

INLINE bool rounds_up(enum soft_rounding rounding, bool sign, uint64_t low, uint64_t half, bool odd)
{
    switch (rounding) {
    case SOFT_NEAREST: return low > half || (low == half && odd);
    case SOFT_DOWN: return sign && low != 0;
    case SOFT_UP: return !sign && low != 0;
    default: return false;
    }
}

/* Rounds to the format, and signals what has to be. significand's bit 63 is set. */
INLINE uint64_t pack(struct soft_fp *fp, bool sign, int exponent, uint64_t significand,
                     struct format f, enum soft_rounding rounding, bool ftz)
{
    const unsigned spare = 64 - f.precision;
    const uint64_t half = UINT64_C(1) << (spare - 1), mask = 2 * half - 1;
    uint64_t signs = sign ? sign_bit(f) : 0, low = significand & mask, kept;
    bool up = rounds_up(rounding, sign, low, half, (significand >> spare & 1) != 0), tiny = false;

    if (exponent < 1 - bias(f)) {
        /* Tininess is detected after rounding as if the exponent had no limit. */
        tiny = exponent < -bias(f) || !up || significand >> spare != UINT64_MAX >> spare;
        if (tiny && ftz && (fp->mxcsr & SOFT_FP_UM) != 0) {
            fp->flags |= SOFT_FP_UE | SOFT_FP_PE;
            return signs;
        }
        if (tiny && (fp->mxcsr & SOFT_FP_UM) == 0) {
            /* There will be no result; PE is as if the exponent had no limit. */
            fp->flags |= SOFT_FP_UE | (low != 0 ? SOFT_FP_PE : 0);
            return signs;
        }
        significand = jam(significand, (unsigned)(1 - bias(f) - exponent));
        low = significand & mask;
        up = rounds_up(rounding, sign, low, half, (significand >> spare & 1) != 0);
        kept = (significand >> spare) + up; /* may become the least normal number */
        if (low != 0)
            fp->flags |= SOFT_FP_PE | (tiny ? SOFT_FP_UE : 0);
        return signs | kept;
    }
    kept = (significand >> spare) + up;
    if (kept >> f.precision != 0) {
        kept >>= 1;
        exponent++;
    }
    if (exponent > bias(f)) {
        fp->flags |= SOFT_FP_OE;
        if (low != 0 || (fp->mxcsr & SOFT_FP_OM) != 0)
            fp->flags |= SOFT_FP_PE;
        if (rounding == SOFT_NEAREST || rounding == (sign ? SOFT_DOWN : SOFT_UP))
            return signs | infinity(f);
        return signs | (infinity(f) - 1);
    }
    if (low != 0)
        fp->flags |= SOFT_FP_PE;
    return signs | ((uint64_t)(exponent + bias(f)) << (f.precision - 1)) |
           (kept & fraction_mask(f));
}

INLINE uint64_t result(struct soft_fp *fp, bool sign, int exponent, uint64_t significand,
                       struct format f)
{
    return pack(fp, sign, exponent, significand, f, soft_fp_rounding(fp),
                (fp->mxcsr & SOFT_FP_FTZ) != 0);
}

INLINE uint64_t invalid(struct soft_fp *fp, struct format f)
{
    fp->flags |= SOFT_FP_IE;
    return indefinite(f);
}

/* With a NaN among the operands: the first that is one (SDM vol. 1, table 4-7). */
INLINE uint64_t nan_of(struct soft_fp *fp, uint64_t a, uint64_t b, struct format f)
{
    if (is_signalling(a, f) || is_signalling(b, f))
        fp->flags |= SOFT_FP_IE;
    return (is_nan(a, f) ? a : b) | quiet_bit(f);
}

INLINE void note_denormals(struct soft_fp *fp, const struct number *a, const struct number *b)
{
    if (a->denormal || b->denormal)
        fp->flags |= SOFT_FP_DE;
}

/* ---- addition ---- */

/* The sum of two numbers that are not 0, with 128 bits each: bit 126 is their leading one. */
INLINE uint64_t sum(struct soft_fp *fp, bool sign_a, int exponent_a, u128 a, bool sign_b,
                    int exponent_b, u128 b, struct format f)
{
    unsigned shift;

    if (exponent_a < exponent_b || (exponent_a == exponent_b && a < b)) {
        bool sign = sign_a;
        int exponent = exponent_a;
        u128 c = a;

        sign_a = sign_b;
        exponent_a = exponent_b;
        a = b;
        sign_b = sign;
        exponent_b = exponent;
        b = c;
    }
    b = jam128(b, (unsigned)(exponent_a - exponent_b));
    a = sign_a == sign_b ? a + b : a - b;
    if (a == 0)
        return soft_fp_rounding(fp) == SOFT_DOWN ? sign_bit(f) : 0;
    shift = (uint64_t)(a >> 64) != 0 ? (unsigned)__builtin_clzll((uint64_t)(a >> 64))
                                     : 64 + (unsigned)__builtin_clzll((uint64_t)a);
    a <<= shift;
    return result(fp, sign_a, exponent_a + 1 - (int)shift, (uint64_t)(a >> 64) | ((uint64_t)a != 0),
                  f);
}

INLINE uint64_t add(struct soft_fp *fp, uint64_t a, uint64_t b, struct format f)
{
    struct number x, y;

    if (is_nan(a, f) || is_nan(b, f))
        return nan_of(fp, a, b, f);
    x = unpack(fp, a, f);
    y = unpack(fp, b, f);
    if (x.infinite && y.infinite && x.sign != y.sign)
        return invalid(fp, f);
    note_denormals(fp, &x, &y);
    if (x.infinite || y.infinite)
        return x.infinite ? a : b;
    if (x.significand == 0 && y.significand == 0) {
        if (x.sign == y.sign)
            return x.sign ? sign_bit(f) : 0;
        return soft_fp_rounding(fp) == SOFT_DOWN ? sign_bit(f) : 0;
    }
    if (x.significand == 0)
        return result(fp, y.sign, y.exponent, y.significand, f);
    if (y.significand == 0)
        return result(fp, x.sign, x.exponent, x.significand, f);
    return sum(fp, x.sign, x.exponent, (u128)x.significand << 63, y.sign, y.exponent,
               (u128)y.significand << 63, f);
}

/* ---- multiplication, division, square root ---- */

INLINE uint64_t mul(struct soft_fp *fp, uint64_t a, uint64_t b, struct format f)
{
    struct number x, y;
    uint64_t high;
    u128 product;
    bool sign;

    if (is_nan(a, f) || is_nan(b, f))
        return nan_of(fp, a, b, f);
    x = unpack(fp, a, f);
    y = unpack(fp, b, f);
    sign = x.sign != y.sign;
    if ((x.infinite && y.significand == 0) || (y.infinite && x.significand == 0))
        return invalid(fp, f);
    note_denormals(fp, &x, &y);
    if (x.infinite || y.infinite)
        return (sign ? sign_bit(f) : 0) | infinity(f);
    if (x.significand == 0 || y.significand == 0)
        return sign ? sign_bit(f) : 0;
    product = (u128)x.significand * y.significand;
    high = (uint64_t)(product >> 64) | ((uint64_t)product != 0);
    if (high >> 63 != 0)
        return result(fp, sign, x.exponent + y.exponent + 1, high, f);
    return result(fp, sign, x.exponent + y.exponent, high << 1, f);
}

INLINE uint64_t divide(struct soft_fp *fp, uint64_t a, uint64_t b, struct format f)
{
    struct number x, y;
    uint64_t quotient, remainder;
    bool sign;

    if (is_nan(a, f) || is_nan(b, f))
        return nan_of(fp, a, b, f);
    x = unpack(fp, a, f);
    y = unpack(fp, b, f);
    sign = x.sign != y.sign;
    if ((x.infinite && y.infinite) ||
        (!x.infinite && x.significand == 0 && y.significand == 0 && !y.infinite))
        return invalid(fp, f);
    /* Wins over a denormal dividend (SDM vol. 1, 4.9.2). */
    if (!x.infinite && !y.infinite && y.significand == 0) {
        fp->flags |= SOFT_FP_ZE;
        return (sign ? sign_bit(f) : 0) | infinity(f);
    }
    note_denormals(fp, &x, &y);
    if (x.infinite)
        return (sign ? sign_bit(f) : 0) | infinity(f);
    if (y.infinite || x.significand == 0)
        return sign ? sign_bit(f) : 0;
    if (x.significand < y.significand)
        x.exponent--;
    else
        x.significand >>= 1; /* the lowest bit is always free */
    quotient = (uint64_t)(((u128)x.significand << 64) / y.significand);
    remainder = (uint64_t)(((u128)x.significand << 64) % y.significand);
    return result(fp, sign, x.exponent - y.exponent, quotient | (remainder != 0), f);
}

INLINE uint64_t square_root(struct soft_fp *fp, uint64_t a, struct format f)
{
    struct number x;
    uint64_t root = 0;
    u128 rest;

    if (is_nan(a, f))
        return nan_of(fp, a, a, f);
    x = unpack(fp, a, f);
    if (x.significand == 0 && !x.infinite)
        return x.sign ? sign_bit(f) : 0;
    if (x.sign)
        return invalid(fp, f);
    note_denormals(fp, &x, &x);
    if (x.infinite)
        return a;
    /* The root of a number in [2^126, 2^128) with an even exponent, bit by bit. */
    rest = (u128)x.significand << ((x.exponent & 1) != 0 ? 64 : 63);
    for (uint64_t bit = UINT64_C(1) << 63; bit != 0; bit >>= 1) {
        u128 square = (u128)(root | bit) * (root | bit);

        if (square <= rest)
            root |= bit;
    }
    return result(fp, false, x.exponent >> 1, root | ((u128)root * root != rest), f);
}

/* ---- a * b + c ---- */

INLINE uint64_t fma_of(struct soft_fp *fp, uint64_t a, uint64_t b, uint64_t c, struct format f)
{
    struct number x, y, z;
    u128 product;
    bool sign;

    if (is_nan(a, f) || is_nan(b, f) || is_nan(c, f)) {
        if (is_nan(a, f) || is_nan(b, f)) {
            if (is_signalling(c, f))
                fp->flags |= SOFT_FP_IE;
            return nan_of(fp, a, b, f);
        }
        return nan_of(fp, c, c, f);
    }
    x = unpack(fp, a, f);
    y = unpack(fp, b, f);
    z = unpack(fp, c, f);
    sign = x.sign != y.sign;
    if ((x.infinite && y.significand == 0) || (y.infinite && x.significand == 0))
        return invalid(fp, f);
    if ((x.infinite || y.infinite) && z.infinite && sign != z.sign)
        return invalid(fp, f);
    note_denormals(fp, &x, &y);
    note_denormals(fp, &z, &z);
    if (x.infinite || y.infinite)
        return (sign ? sign_bit(f) : 0) | infinity(f);
    if (z.infinite)
        return c;
    if (x.significand == 0 || y.significand == 0) {
        if (z.significand != 0)
            return result(fp, z.sign, z.exponent, z.significand, f);
        if (sign == z.sign)
            return sign ? sign_bit(f) : 0;
        return soft_fp_rounding(fp) == SOFT_DOWN ? sign_bit(f) : 0;
    }
    /* Significands have at most 53 bits, so 22 low bits of the product are 0. */
    product = (u128)x.significand * y.significand;
    x.exponent += y.exponent;
    if ((uint64_t)(product >> 127) != 0) {
        product >>= 1;
        x.exponent++;
    }
    if (z.significand == 0) {
        product <<= 1;
        return result(fp, sign, x.exponent, (uint64_t)(product >> 64) | ((uint64_t)product != 0),
                      f);
    }
    return sum(fp, sign, x.exponent, product, z.sign, z.exponent, (u128)z.significand << 63, f);
}

/* ---- comparison ---- */

/* Of what is no NaN, denormals as they count: as integers they compare alike. */
INLINE enum soft_order order(uint64_t a, uint64_t b, struct format f)
{
    uint64_t magnitude_a = a & (sign_bit(f) - 1), magnitude_b = b & (sign_bit(f) - 1);
    bool sign_a = a != magnitude_a, sign_b = b != magnitude_b;

    if ((magnitude_a | magnitude_b) == 0 || a == b)
        return SOFT_EQUAL;
    if (sign_a != sign_b)
        return sign_a ? SOFT_LESS : SOFT_GREATER;
    return (magnitude_a < magnitude_b) != sign_a ? SOFT_LESS : SOFT_GREATER;
}

INLINE enum soft_order compare(struct soft_fp *fp, uint64_t a, uint64_t b, bool signal,
                               struct format f)
{
    if (is_nan(a, f) || is_nan(b, f)) {
        if (signal || is_signalling(a, f) || is_signalling(b, f))
            fp->flags |= SOFT_FP_IE;
        return SOFT_UNORDERED;
    }
    a = daz(fp, a, f);
    b = daz(fp, b, f);
    if (is_denormal(a, f) || is_denormal(b, f))
        fp->flags |= SOFT_FP_DE;
    return order(a, b, f);
}

/* The second operand, unless the first is the one: also of zeros and NaNs. */
INLINE uint64_t choose(struct soft_fp *fp, uint64_t a, uint64_t b, enum soft_order wanted,
                       struct format f)
{
    enum soft_order is = compare(fp, a, b, true, f);

    return daz(fp, is == wanted ? a : b, f);
}

/* ---- conversions ---- */

INLINE uint64_t round_integral(struct soft_fp *fp, uint64_t a, enum soft_rounding rounding,
                               bool exact, struct format f)
{
    struct number x;
    uint64_t low, half, kept, signs = a & sign_bit(f);
    unsigned drop;
    bool up;

    if (is_nan(a, f))
        return nan_of(fp, a, a, f);
    x = unpack(fp, a, f);
    if (x.infinite || x.exponent >= (int)f.precision - 1)
        return a;
    if (x.significand == 0)
        return signs;
    /* To an integer and a fraction; of what is less than 1/2 it only matters that it is there. */
    drop = x.exponent < -1 ? 64 : (unsigned)(63 - x.exponent);
    if (drop == 64) {
        low = x.exponent < -1 ? 1 : x.significand;
        half = UINT64_C(1) << 63;
        kept = 0;
    } else {
        half = UINT64_C(1) << (drop - 1);
        low = x.significand & (2 * half - 1);
        kept = x.significand >> drop;
    }
    up = rounds_up(rounding, x.sign, low, half, (kept & 1) != 0);
    if (low != 0 && !exact)
        fp->flags |= SOFT_FP_PE;
    kept += up;
    if (kept == 0)
        return signs;
    drop = (unsigned)__builtin_clzll(kept);
    return pack(fp, x.sign, 63 - (int)drop, kept << drop, f, SOFT_TO_ZERO, false);
}

/* bits: 32 or 64 */
INLINE uint64_t to_integer(struct soft_fp *fp, uint64_t a, enum soft_rounding rounding,
                           unsigned bits, struct format f)
{
    const uint64_t least = UINT64_C(1) << (bits - 1);
    uint64_t low, half, kept;
    struct number x;

    if (is_nan(a, f)) {
        fp->flags |= SOFT_FP_IE;
        return least;
    }
    x = unpack(fp, a, f);
    if (x.infinite || x.exponent >= 64) {
        fp->flags |= SOFT_FP_IE;
        return least;
    }
    if (x.significand == 0)
        return 0;
    if (x.exponent < -1) {
        low = 1;
        half = 2;
        kept = 0;
    } else if (x.exponent == -1) {
        low = x.significand;
        half = UINT64_C(1) << 63;
        kept = 0;
    } else if (x.exponent == 63) {
        low = 0;
        half = 1;
        kept = x.significand;
    } else {
        half = UINT64_C(1) << (62 - x.exponent);
        low = x.significand & (2 * half - 1);
        kept = x.significand >> (63 - x.exponent);
    }
    kept += rounds_up(rounding, x.sign, low, half, (kept & 1) != 0);
    if (kept > least || (kept == least && !x.sign)) {
        fp->flags |= SOFT_FP_IE;
        return least;
    }
    if (low != 0)
        fp->flags |= SOFT_FP_PE;
    return x.sign ? -kept : kept;
}

INLINE uint64_t from_integer(struct soft_fp *fp, int64_t a, struct format f)
{
    uint64_t magnitude = a < 0 ? -(uint64_t)a : (uint64_t)a;
    unsigned shift;

    if (a == 0)
        return 0;
    shift = (unsigned)__builtin_clzll(magnitude);
    return result(fp, a < 0, 63 - (int)shift, magnitude << shift, f);
}

/* A NaN keeps the upper bits of its payload, and its sign. */
INLINE uint64_t convert_nan(struct soft_fp *fp, uint64_t a, struct format from, struct format to)
{
    uint64_t fraction = a & fraction_mask(from);

    if (is_signalling(a, from))
        fp->flags |= SOFT_FP_IE;
    fraction = to.precision > from.precision ? fraction << (to.precision - from.precision)
                                             : fraction >> (from.precision - to.precision);
    return ((a & sign_bit(from)) != 0 ? sign_bit(to) : 0) | infinity(to) | quiet_bit(to) | fraction;
}

INLINE uint64_t convert(struct soft_fp *fp, uint64_t a, struct format from, struct format to,
                        enum soft_rounding rounding, bool ftz)
{
    struct number x;

    if (is_nan(a, from))
        return convert_nan(fp, a, from, to);
    x = unpack(fp, a, from);
    note_denormals(fp, &x, &x);
    if (x.infinite)
        return (x.sign ? sign_bit(to) : 0) | infinity(to);
    if (x.significand == 0)
        return x.sign ? sign_bit(to) : 0;
    return pack(fp, x.sign, x.exponent, x.significand, to, rounding, ftz);
}

/* ---- the host's unit ---- */

/*
 * FAST: when the host's float and double do the same. IEEE 754 defines +, -, *, / and the square
 * root of normal numbers completely if the result is normal too and rounding is to nearest, which
 * is how C programs run; what a host may do in its own way (NaNs, denormals, tininess, exceptions)
 * does not occur then. Exact zeros are defined as well. Exceptions are masked, and the only one
 * that can happen is PE: it is set already, or it is worked out. It takes a compiler that does not
 * compute in a wider format.
 */
#define FAST_MXCSR (SOFT_FP_MASKS | 3u << SOFT_FP_RC_SHIFT)

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
#define HOST_FLOATS 1
#else
#define HOST_FLOATS 0
#endif
#if HOST_FLOATS && (defined(__SSE2__) || defined(__aarch64__) || __riscv_flen >= 64)
#define HOST_SQRT 1 /* an instruction */
#else
#define HOST_SQRT 0
#endif

INLINE bool is_default(const struct soft_fp *fp)
{
    return HOST_FLOATS && (fp->mxcsr & FAST_MXCSR) == SOFT_FP_MASKS;
}

/* Neither zero, denormal, infinite nor a NaN. */
INLINE bool is_normal(uint64_t a, struct format f)
{
    return ((a & infinity(f)) - 1 - fraction_mask(f)) < infinity(f) - 1 - fraction_mask(f);
}

/* The same, and it has not come from below by rounding: at the least normal number the processor
 * may signal underflow. */
INLINE bool is_safe(uint64_t a, struct format f)
{
    return is_normal(a, f) && (a & infinity(f)) != fraction_mask(f) + 1;
}

INLINE bool is_zero(uint64_t a, struct format f)
{
    return (a & (sign_bit(f) - 1)) == 0;
}

#define DEFINE_HOST(bits, T, fmt)                                                                \
    static inline T to_host##bits(uint##bits##_t a)                                              \
    {                                                                                            \
        T value;                                                                                 \
        memcpy(&value, &a, sizeof(value));                                                       \
        return value;                                                                            \
    }                                                                                            \
    static inline uint##bits##_t from_host##bits(T a)                                            \
    {                                                                                            \
        uint##bits##_t value;                                                                    \
        memcpy(&value, &a, sizeof(value));                                                       \
        return value;                                                                            \
    }                                                                                            \
    /* Sums of normal numbers or zeros have an error that is itself a number (Knuth). */         \
    static inline bool host_add##bits(uint##bits##_t *out, struct soft_fp *fp, uint##bits##_t a, \
                                      uint##bits##_t b)                                          \
    {                                                                                            \
        T x, y, r, t;                                                                            \
        if (!is_default(fp) || !(is_normal(a, fmt) || is_zero(a, fmt)) ||                        \
            !(is_normal(b, fmt) || is_zero(b, fmt)))                                             \
            return false;                                                                        \
        x = to_host##bits(a);                                                                    \
        y = to_host##bits(b);                                                                    \
        r = x + y;                                                                               \
        *out = from_host##bits(r);                                                               \
        if (!is_normal(*out, fmt) && !is_zero(*out, fmt))                                        \
            return false;                                                                        \
        if (((fp->mxcsr | fp->flags) & SOFT_FP_PE) != 0)                                         \
            return true;                                                                         \
        t = r - x;                                                                               \
        if ((x - (r - t)) + (y - t) != 0)                                                        \
            fp->flags |= SOFT_FP_PE;                                                             \
        return true;                                                                             \
    }                                                                                            \
    /* Exact, if the product of the significands has no bits below the result's. */              \
    static inline bool host_mul##bits(uint##bits##_t *out, struct soft_fp *fp, uint##bits##_t a, \
                                      uint##bits##_t b)                                          \
    {                                                                                            \
        if (!is_default(fp) || !is_normal(a, fmt) || !is_normal(b, fmt))                         \
            return false;                                                                        \
        *out = from_host##bits(to_host##bits(a) * to_host##bits(b));                             \
        if (!is_safe(*out, fmt))                                                                 \
            return false;                                                                        \
        if (((fp->mxcsr | fp->flags) & SOFT_FP_PE) == 0) {                                       \
            const uint64_t one = fraction_mask(fmt) + 1;                                         \
            u128 p = (u128)((a & fraction_mask(fmt)) | one) * ((b & fraction_mask(fmt)) | one);  \
            unsigned low = fmt.precision - 1;                                                    \
            low += (uint64_t)(p >> (2 * fmt.precision - 1)) != 0;                                \
            if ((p & (((u128)1 << low) - 1)) != 0)                                               \
                fp->flags |= SOFT_FP_PE;                                                         \
        }                                                                                        \
        return true;                                                                             \
    }                                                                                            \
    static inline bool host_div##bits(uint##bits##_t *out, struct soft_fp *fp, uint##bits##_t a, \
                                      uint##bits##_t b)                                          \
    {                                                                                            \
        if (!is_default(fp) || ((fp->mxcsr | fp->flags) & SOFT_FP_PE) == 0 ||                    \
            !is_normal(a, fmt) || !is_normal(b, fmt))                                            \
            return false;                                                                        \
        *out = from_host##bits(to_host##bits(a) / to_host##bits(b));                             \
        return is_safe(*out, fmt);                                                               \
    }
DEFINE_HOST(32, float, f32)
DEFINE_HOST(64, double, f64)

/* Of a positive normal number it is one. */
INLINE bool can_host_sqrt(const struct soft_fp *fp, uint64_t a, struct format f)
{
    return HOST_SQRT && is_default(fp) && ((fp->mxcsr | fp->flags) & SOFT_FP_PE) != 0 &&
           is_normal(a, f) && (a & sign_bit(f)) == 0;
}

/* ---- the interface ---- */

#define DEFINE(bits, sqrt_of)                                                                      \
    uint##bits##_t soft_f##bits##_add(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        return host_add##bits(&r, fp, a, b) ? r : (uint##bits##_t)add(fp, a, b, f##bits);          \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_sub(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        /* The sign of a NaN stays. */                                                             \
        if (!is_nan(b, f##bits))                                                                   \
            b ^= (uint##bits##_t)sign_bit(f##bits);                                                \
        return soft_f##bits##_add(fp, a, b);                                                       \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_mul(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        return host_mul##bits(&r, fp, a, b) ? r : (uint##bits##_t)mul(fp, a, b, f##bits);          \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_div(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        uint##bits##_t r;                                                                          \
        return host_div##bits(&r, fp, a, b) ? r : (uint##bits##_t)divide(fp, a, b, f##bits);       \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_sqrt(struct soft_fp *fp, uint##bits##_t a)                       \
    {                                                                                              \
        if (can_host_sqrt(fp, a, f##bits))                                                         \
            return from_host##bits(sqrt_of(to_host##bits(a)));                                     \
        return (uint##bits##_t)square_root(fp, a, f##bits);                                        \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_min(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        return (uint##bits##_t)choose(fp, a, b, SOFT_LESS, f##bits);                               \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_max(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                              \
        return (uint##bits##_t)choose(fp, a, b, SOFT_GREATER, f##bits);                            \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_fma(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b,      \
                                      uint##bits##_t c)                                            \
    {                                                                                              \
        return (uint##bits##_t)fma_of(fp, a, b, c, f##bits);                                       \
    }                                                                                              \
    enum soft_order soft_f##bits##_compare(struct soft_fp *fp, uint##bits##_t a, uint##bits##_t b, \
                                           bool signal)                                            \
    {                                                                                              \
        return compare(fp, a, b, signal, f##bits);                                                 \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_round(struct soft_fp *fp, uint##bits##_t a,                      \
                                        enum soft_rounding rounding, bool exact)                   \
    {                                                                                              \
        return (uint##bits##_t)round_integral(fp, a, rounding, exact, f##bits);                    \
    }                                                                                              \
    uint32_t soft_f##bits##_to_s32(struct soft_fp *fp, uint##bits##_t a,                           \
                                   enum soft_rounding rounding)                                    \
    {                                                                                              \
        return (uint32_t)to_integer(fp, a, rounding, 32, f##bits);                                 \
    }                                                                                              \
    uint64_t soft_f##bits##_to_s64(struct soft_fp *fp, uint##bits##_t a,                           \
                                   enum soft_rounding rounding)                                    \
    {                                                                                              \
        return to_integer(fp, a, rounding, 64, f##bits);                                           \
    }                                                                                              \
    uint##bits##_t soft_f##bits##_from_s64(struct soft_fp *fp, int64_t a)                          \
    {                                                                                              \
        return (uint##bits##_t)from_integer(fp, a, f##bits);                                       \
    }
DEFINE(32, __builtin_sqrtf)
DEFINE(64, __builtin_sqrt)

uint64_t soft_f32_to_f64(struct soft_fp *fp, uint32_t a)
{
    return convert(fp, a, f32, f64, SOFT_NEAREST, false);
}

uint32_t soft_f64_to_f32(struct soft_fp *fp, uint64_t a)
{
    return (uint32_t)convert(fp, a, f64, f32, soft_fp_rounding(fp), (fp->mxcsr & SOFT_FP_FTZ) != 0);
}

uint32_t soft_f16_to_f32(struct soft_fp *fp, uint16_t a)
{
    struct soft_fp without = {.mxcsr = fp->mxcsr & ~SOFT_FP_DAZ};
    uint32_t r = (uint32_t)convert(&without, a, f16, f32, SOFT_NEAREST, false);

    fp->flags |= without.flags & SOFT_FP_IE;
    return r;
}

uint16_t soft_f32_to_f16(struct soft_fp *fp, uint32_t a, enum soft_rounding rounding)
{
    return (uint16_t)convert(fp, a, f32, f16, rounding, false);
}

/* ---- approximations ---- */

/*
 * Processors have tables of their own here, and each model may differ (SDM vol. 2, RCPPS). These
 * are the exact values, rounded to 12 bits.
 */
static uint32_t approximation(uint32_t a, bool root)
{
    struct soft_fp fp = {.mxcsr = SOFT_FP_MASKS | SOFT_FP_DAZ | SOFT_FP_FTZ | SOFT_FP_PE};
    const uint32_t one = 0x3f800000;
    uint32_t r;

    if (is_nan(a, f32))
        return a | (uint32_t)quiet_bit(f32);
    if (is_denormal(a, f32))
        a &= (uint32_t)sign_bit(f32);
    if (root) {
        if (is_zero(a, f32))
            return a | (uint32_t)infinity(f32);
        a = (uint32_t)square_root(&fp, a, f32);
        if (is_nan(a, f32))
            return a;
    }
    r = (uint32_t)divide(&fp, one, a, f32);
    if (!is_normal(r, f32))
        return r;
    return (r + 0x400) & ~0x7ffu;
}

uint32_t soft_f32_rcp(uint32_t a)
{
    return approximation(a, false);
}

uint32_t soft_f32_rsqrt(uint32_t a)
{
    return approximation(a, true);
}

/* NOLINTEND(bugprone-macro-parentheses) */
