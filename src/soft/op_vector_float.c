/* SPDX-License-Identifier: BSD-3-Clause */
/* Lanes: floating point. */
#include "soft/vector_lanes.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

/* ---- element by element ---- */

/* x, y: the operands, r: the result, which begins as the first; i: the element. */
#define DEFINE_LOOP(name, count, statement)                    \
    SOFT_FLOAT_LANE(name)                                      \
    {                                                          \
        union soft_elements x = {.v = a}, y = {.v = b}, r = x; \
        for (unsigned i = 0; i < count; i++)                   \
            statement;                                         \
        return r.v;                                            \
    }

/* All four of an operation: packed and scalar, single and double precision. */
#define DEFINE_BINARY(name)                                                      \
    DEFINE_LOOP(name##ps, 4, r.u32[i] = soft_f32_##name(fp, x.u32[i], y.u32[i])) \
    DEFINE_LOOP(name##ss, 1, r.u32[i] = soft_f32_##name(fp, x.u32[i], y.u32[i])) \
    DEFINE_LOOP(name##pd, 2, r.u64[i] = soft_f64_##name(fp, x.u64[i], y.u64[i])) \
    DEFINE_LOOP(name##sd, 1, r.u64[i] = soft_f64_##name(fp, x.u64[i], y.u64[i]))
DEFINE_BINARY(add)
DEFINE_BINARY(sub)
DEFINE_BINARY(mul)
DEFINE_BINARY(div)
DEFINE_BINARY(min)
DEFINE_BINARY(max)
DEFINE_LOOP(sqrtps, 4, r.u32[i] = soft_f32_sqrt(fp, y.u32[i]))
DEFINE_LOOP(sqrtss, 1, r.u32[i] = soft_f32_sqrt(fp, y.u32[i]))
DEFINE_LOOP(sqrtpd, 2, r.u64[i] = soft_f64_sqrt(fp, y.u64[i]))
DEFINE_LOOP(sqrtsd, 1, r.u64[i] = soft_f64_sqrt(fp, y.u64[i]))
DEFINE_LOOP(rcpps, 4, r.u32[i] = soft_f32_rcp(y.u32[i]))
DEFINE_LOOP(rcpss, 1, r.u32[i] = soft_f32_rcp(y.u32[i]))
DEFINE_LOOP(rsqrtps, 4, r.u32[i] = soft_f32_rsqrt(y.u32[i]))
DEFINE_LOOP(rsqrtss, 1, r.u32[i] = soft_f32_rsqrt(y.u32[i]))

/* ---- comparison by predicate (SDM vol. 2, table 3-1) ---- */

/* For each predicate the orders that make it true, and whether quiet NaNs are invalid. Bit 3 turns
 * what unordered means, bit 4 what quiet NaNs do. */
static bool holds(enum soft_order order, unsigned predicate)
{
    static const uint8_t truth[8] = {
        1 << SOFT_EQUAL,
        1 << SOFT_LESS,
        1 << SOFT_LESS | 1 << SOFT_EQUAL,
        1 << SOFT_UNORDERED,
        1 << SOFT_LESS | 1 << SOFT_GREATER | 1 << SOFT_UNORDERED,
        1 << SOFT_EQUAL | 1 << SOFT_GREATER | 1 << SOFT_UNORDERED,
        1 << SOFT_GREATER | 1 << SOFT_UNORDERED,
        1 << SOFT_LESS | 1 << SOFT_EQUAL | 1 << SOFT_GREATER,
    };
    unsigned set = truth[predicate & 7];

    if ((predicate & 8) != 0) {
        /* EQ_UQ, NGE, NGT, FALSE, NEQ_OQ, GE, GT, TRUE */
        static const uint8_t more[8] = {
            1 << SOFT_EQUAL | 1 << SOFT_UNORDERED,
            1 << SOFT_LESS | 1 << SOFT_UNORDERED,
            1 << SOFT_LESS | 1 << SOFT_EQUAL | 1 << SOFT_UNORDERED,
            0,
            1 << SOFT_LESS | 1 << SOFT_GREATER,
            1 << SOFT_EQUAL | 1 << SOFT_GREATER,
            1 << SOFT_GREATER,
            15,
        };

        set = more[predicate & 7];
    }
    return (set >> order & 1) != 0;
}

static bool signals(unsigned predicate)
{
    /* LT, LE, NLT, NLE of the eight. */
    bool usual = (0x66 >> (predicate & 7) & 1) != 0;

    return usual != ((predicate & 16) != 0);
}

static uint32_t compare32(struct soft_fp *fp, uint32_t a, uint32_t b, unsigned predicate)
{
    return holds(soft_f32_compare(fp, a, b, signals(predicate)), predicate) ? UINT32_MAX : 0;
}

static uint64_t compare64(struct soft_fp *fp, uint64_t a, uint64_t b, unsigned predicate)
{
    return holds(soft_f64_compare(fp, a, b, signals(predicate)), predicate) ? UINT64_MAX : 0;
}

DEFINE_LOOP(cmpps, 4, r.u32[i] = compare32(fp, x.u32[i], y.u32[i], imm))
DEFINE_LOOP(cmpss, 1, r.u32[i] = compare32(fp, x.u32[i], y.u32[i], imm))
DEFINE_LOOP(cmppd, 2, r.u64[i] = compare64(fp, x.u64[i], y.u64[i], imm))
DEFINE_LOOP(cmpsd, 1, r.u64[i] = compare64(fp, x.u64[i], y.u64[i], imm))

/* ---- rounding to integral values: the immediate says how (SDM vol. 2, ROUNDPD) ---- */

static enum soft_rounding rounding_of(const struct soft_fp *fp, unsigned imm)
{
    return (imm & 4) != 0 ? soft_fp_rounding(fp) : (enum soft_rounding)(imm & 3);
}

#define ROUND(bits, value) soft_f##bits##_round(fp, value, rounding_of(fp, imm), (imm & 8) != 0)
DEFINE_LOOP(roundps, 4, r.u32[i] = ROUND(32, y.u32[i]))
DEFINE_LOOP(roundss, 1, r.u32[i] = ROUND(32, y.u32[i]))
DEFINE_LOOP(roundpd, 2, r.u64[i] = ROUND(64, y.u64[i]))
DEFINE_LOOP(roundsd, 1, r.u64[i] = ROUND(64, y.u64[i]))

/* ---- neighbours ---- */

#define PAIR(field, half, i) ((i) < half ? x.field[2 * (i)] : y.field[2 * ((i)-half)])
#define NEXT(field, half, i) ((i) < half ? x.field[2 * (i) + 1] : y.field[2 * ((i)-half) + 1])
DEFINE_LOOP(haddps, 4, r.u32[i] = soft_f32_add(fp, PAIR(u32, 2, i), NEXT(u32, 2, i)))
DEFINE_LOOP(hsubps, 4, r.u32[i] = soft_f32_sub(fp, PAIR(u32, 2, i), NEXT(u32, 2, i)))
DEFINE_LOOP(haddpd, 2, r.u64[i] = soft_f64_add(fp, PAIR(u64, 1, i), NEXT(u64, 1, i)))
DEFINE_LOOP(hsubpd, 2, r.u64[i] = soft_f64_sub(fp, PAIR(u64, 1, i), NEXT(u64, 1, i)))
DEFINE_LOOP(addsubps, 4,
            r.u32[i] = (i & 1) != 0 ? soft_f32_add(fp, x.u32[i], y.u32[i])
                                    : soft_f32_sub(fp, x.u32[i], y.u32[i]))
DEFINE_LOOP(addsubpd, 2,
            r.u64[i] = (i & 1) != 0 ? soft_f64_add(fp, x.u64[i], y.u64[i])
                                    : soft_f64_sub(fp, x.u64[i], y.u64[i]))

/*
 * Dot products: bits 4 to 7 of the immediate say which products, bits 0 to 3 where the sum goes.
 * Each step is an instruction's arithmetic, and one whose exceptions are not masked keeps the next
 * from being done.
 */
static bool stops(struct soft_fp *fp)
{
    if ((fp->flags & ~(fp->mxcsr >> SOFT_FP_MASK_SHIFT)) != 0)
        return true;
    fp->kept |= fp->flags; /* whatever becomes of the next step */
    fp->flags = 0;
    return false;
}

SOFT_FLOAT_LANE(dpps)
{
    union soft_elements x = {.v = a}, y = {.v = b}, r;
    uint32_t sum;

    for (unsigned i = 0; i < 4; i++)
        r.u32[i] = (imm >> (4 + i) & 1) != 0 ? soft_f32_mul(fp, x.u32[i], y.u32[i]) : 0;
    if (stops(fp))
        return a;
    r.u32[0] = soft_f32_add(fp, r.u32[0], r.u32[1]);
    r.u32[2] = soft_f32_add(fp, r.u32[2], r.u32[3]);
    if (stops(fp))
        return a;
    sum = soft_f32_add(fp, r.u32[0], r.u32[2]);
    for (unsigned i = 0; i < 4; i++)
        r.u32[i] = (imm >> i & 1) != 0 ? sum : 0;
    return r.v;
}

SOFT_FLOAT_LANE(dppd)
{
    union soft_elements x = {.v = a}, y = {.v = b}, r;
    uint64_t sum;

    for (unsigned i = 0; i < 2; i++)
        r.u64[i] = (imm >> (4 + i) & 1) != 0 ? soft_f64_mul(fp, x.u64[i], y.u64[i]) : 0;
    if (stops(fp))
        return a;
    sum = soft_f64_add(fp, r.u64[0], r.u64[1]);
    for (unsigned i = 0; i < 2; i++)
        r.u64[i] = (imm >> i & 1) != 0 ? sum : 0;
    return r.v;
}

/* ---- conversions ---- */

DEFINE_LOOP(cvtdq2ps, 4, r.u32[i] = soft_f32_from_s64(fp, y.s32[i]))
DEFINE_LOOP(cvtps2dq, 4, r.u32[i] = soft_f32_to_s32(fp, y.u32[i], soft_fp_rounding(fp)))
DEFINE_LOOP(cvttps2dq, 4, r.u32[i] = soft_f32_to_s32(fp, y.u32[i], SOFT_TO_ZERO))
/* To wider elements: imm says from which half. */
DEFINE_LOOP(cvtps2pd, 2, r.u64[i] = soft_f32_to_f64(fp, y.u32[i + 2 * imm]))
DEFINE_LOOP(cvtdq2pd, 2, r.u64[i] = soft_f64_from_s64(fp, y.s32[i + 2 * imm]))
DEFINE_LOOP(cvtph2ps, 4, r.u32[i] = soft_f16_to_f32(fp, y.u16[i + 4 * imm]))
/* To narrower ones: in the low half, above it zeros. */
#define DEFINE_NARROW(name, statement)                                   \
    SOFT_FLOAT_LANE(name)                                                \
    {                                                                    \
        union soft_elements y = {.v = b}, r = {.v = soft_v128_of(0, 0)}; \
        for (unsigned i = 0; i < 2; i++)                                 \
            statement;                                                   \
        return r.v;                                                      \
    }
DEFINE_NARROW(cvtpd2ps, r.u32[i] = soft_f64_to_f32(fp, y.u64[i]))
DEFINE_NARROW(cvtpd2dq, r.u32[i] = soft_f64_to_s32(fp, y.u64[i], soft_fp_rounding(fp)))
DEFINE_NARROW(cvttpd2dq, r.u32[i] = soft_f64_to_s32(fp, y.u64[i], SOFT_TO_ZERO))
DEFINE_LOOP(cvtss2sd, 1, r.u64[i] = soft_f32_to_f64(fp, y.u32[i]))
DEFINE_LOOP(cvtsd2ss, 1, r.u32[i] = soft_f64_to_f32(fp, y.u64[i]))
/* b is a general register, or memory; imm its bytes. */
DEFINE_LOOP(cvtsi2ss, 1, r.u32[i] = soft_f32_from_s64(fp, imm == 8 ? y.s64[0] : y.s32[0]))
DEFINE_LOOP(cvtsi2sd, 1, r.u64[i] = soft_f64_from_s64(fp, imm == 8 ? y.s64[0] : y.s32[0]))
/* Two integers of an MMX register, or memory. */
SOFT_FLOAT_LANE(cvtpi2ps)
{
    union soft_elements y = {.v = b}, r = {.v = a};

    for (unsigned i = 0; i < 2; i++)
        r.u32[i] = soft_f32_from_s64(fp, y.s32[i]);
    return r.v;
}
/* And back: the result is the low half. */
DEFINE_NARROW(cvtps2pi, r.u32[i] = soft_f32_to_s32(fp, y.u32[i], soft_fp_rounding(fp)))
DEFINE_NARROW(cvttps2pi, r.u32[i] = soft_f32_to_s32(fp, y.u32[i], SOFT_TO_ZERO))

SOFT_FLOAT_LANE(cvtps2ph)
{
    union soft_elements y = {.v = b}, r = {.v = soft_v128_of(0, 0)};

    for (unsigned i = 0; i < 4; i++)
        r.u16[i] = soft_f32_to_f16(fp, y.u32[i], rounding_of(fp, imm));
    return r.v;
}

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
