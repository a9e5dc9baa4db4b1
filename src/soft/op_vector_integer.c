/* SPDX-License-Identifier: BSD-3-Clause */
/* Lanes: integer arithmetic and logic. */
#include "soft/vector_lanes.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

/* ---- the compiler's vectors ---- */

/* x and y are the operands as vectors of type T. */
#define DEFINE(name, T, expression)        \
    SOFT_LANE(name)                        \
    {                                      \
        T x = (T)a, y = (T)b;              \
        (void)x;                           \
        return (soft_v128)(T)(expression); \
    }

DEFINE(paddb, soft_u8x16, x + y)
DEFINE(paddw, soft_u16x8, x + y)
DEFINE(paddd, soft_u32x4, x + y)
DEFINE(paddq, soft_v128, x + y)
DEFINE(psubb, soft_u8x16, x - y)
DEFINE(psubw, soft_u16x8, x - y)
DEFINE(psubd, soft_u32x4, x - y)
DEFINE(psubq, soft_v128, x - y)
DEFINE(pand, soft_v128, x &y)
DEFINE(pandn, soft_v128, ~x &y)
DEFINE(por, soft_v128, x | y)
DEFINE(pxor, soft_v128, x ^ y)
DEFINE(pcmpeqb, soft_u8x16, x == y)
DEFINE(pcmpeqw, soft_u16x8, x == y)
DEFINE(pcmpeqd, soft_u32x4, x == y)
DEFINE(pcmpeqq, soft_v128, x == y)
DEFINE(pcmpgtb, soft_s8x16, x > y)
DEFINE(pcmpgtw, soft_s16x8, x > y)
DEFINE(pcmpgtd, soft_s32x4, x > y)
DEFINE(pcmpgtq, soft_s64x2, x > y)
DEFINE(pmullw, soft_u16x8, x *y)
DEFINE(pmulld, soft_u32x4, x *y)
/* Without the carry out of an element. */
DEFINE(pavgb, soft_u8x16, (x | y) - (((x ^ y) >> 1) & 0x7f))
DEFINE(pavgw, soft_u16x8, (x | y) - (((x ^ y) >> 1) & 0x7fff))

#define SELECT(T, mask, x, y) ((T)((T)(mask) & (x)) | (T)(~(T)(mask) & (y)))
#define DEFINE_MIN_MAX(suffix, T)                   \
    DEFINE(pmin##suffix, T, SELECT(T, x < y, x, y)) \
    DEFINE(pmax##suffix, T, SELECT(T, x > y, x, y))
DEFINE_MIN_MAX(ub, soft_u8x16)
DEFINE_MIN_MAX(uw, soft_u16x8)
DEFINE_MIN_MAX(ud, soft_u32x4)
DEFINE_MIN_MAX(sb, soft_s8x16)
DEFINE_MIN_MAX(sw, soft_s16x8)
DEFINE_MIN_MAX(sd, soft_s32x4)

DEFINE(pabsb, soft_u8x16, SELECT(soft_u8x16, (soft_s8x16)y < 0, -y, y))
DEFINE(pabsw, soft_u16x8, SELECT(soft_u16x8, (soft_s16x8)y < 0, -y, y))
DEFINE(pabsd, soft_u32x4, SELECT(soft_u32x4, (soft_s32x4)y < 0, -y, y))
/* x with y's sign, and 0 where y is. */
DEFINE(psignb, soft_u8x16,
       SELECT(soft_u8x16, (soft_s8x16)y < 0, -x, x) & (soft_u8x16)((soft_s8x16)y != 0))
DEFINE(psignw, soft_u16x8,
       SELECT(soft_u16x8, (soft_s16x8)y < 0, -x, x) & (soft_u16x8)((soft_s16x8)y != 0))
DEFINE(psignd, soft_u32x4,
       SELECT(soft_u32x4, (soft_s32x4)y < 0, -x, x) & (soft_u32x4)((soft_s32x4)y != 0))

/* ---- shifts ---- */

/* All elements by one count, the low 64 bits of b: too high a count leaves zeros, or the sign. */
#define DEFINE_SHIFT(name, T, bits, operator)                                             \
    SOFT_LANE(name)                                                                       \
    {                                                                                     \
        uint64_t count = b[0];                                                            \
        return count < bits ? (soft_v128)((T)a operator(int) count) : soft_v128_of(0, 0); \
    }
DEFINE_SHIFT(psllw, soft_u16x8, 16, <<)
DEFINE_SHIFT(pslld, soft_u32x4, 32, <<)
DEFINE_SHIFT(psrlw, soft_u16x8, 16, >>)
DEFINE_SHIFT(psrld, soft_u32x4, 32, >>)
SOFT_LANE(psllq)
{
    return b[0] < 64 ? a << b[0] : soft_v128_of(0, 0);
}
SOFT_LANE(psrlq)
{
    return b[0] < 64 ? a >> b[0] : soft_v128_of(0, 0);
}
SOFT_LANE(psraw)
{
    return (soft_v128)((soft_s16x8)a >> (b[0] < 16 ? (short)b[0] : 15));
}
SOFT_LANE(psrad)
{
    /* cppcheck-suppress shiftTooManyBitsSigned ; of each lane, which gcc and clang define */
    return (soft_v128)((soft_s32x4)a >> (b[0] < 32 ? (int)b[0] : 31));
}

/* ---- element by element ---- */

/* x, y: the operands; r: the result; i: the element. */
#define DEFINE_LOOP(name, count, statement)                               \
    SOFT_LANE(name)                                                       \
    {                                                                     \
        union soft_elements x = {.v = a}, y = {.v = b}, r = {.v = a ^ a}; \
        for (unsigned i = 0; i < count; i++)                              \
            statement;                                                    \
        return r.v;                                                       \
    }

static inline int8_t to_s8(int value)
{
    return (int8_t)(value > INT8_MAX ? INT8_MAX : value < INT8_MIN ? INT8_MIN : value);
}

static inline uint8_t to_u8(int value)
{
    return (uint8_t)(value > UINT8_MAX ? UINT8_MAX : value < 0 ? 0 : value);
}

static inline int16_t to_s16(int value)
{
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static inline uint16_t to_u16(int value)
{
    return (uint16_t)(value > UINT16_MAX ? UINT16_MAX : value < 0 ? 0 : value);
}

DEFINE_LOOP(paddsb, 16, r.s8[i] = to_s8(x.s8[i] + y.s8[i]))
DEFINE_LOOP(paddsw, 8, r.s16[i] = to_s16(x.s16[i] + y.s16[i]))
DEFINE_LOOP(paddusb, 16, r.u8[i] = to_u8(x.u8[i] + y.u8[i]))
DEFINE_LOOP(paddusw, 8, r.u16[i] = to_u16(x.u16[i] + y.u16[i]))
DEFINE_LOOP(psubsb, 16, r.s8[i] = to_s8(x.s8[i] - y.s8[i]))
DEFINE_LOOP(psubsw, 8, r.s16[i] = to_s16(x.s16[i] - y.s16[i]))
DEFINE_LOOP(psubusb, 16, r.u8[i] = to_u8(x.u8[i] - y.u8[i]))
DEFINE_LOOP(psubusw, 8, r.u16[i] = to_u16(x.u16[i] - y.u16[i]))

DEFINE_LOOP(pmulhw, 8, r.u16[i] = (uint16_t)((x.s16[i] * y.s16[i]) >> 16))
DEFINE_LOOP(pmulhuw, 8, r.u16[i] = (uint16_t)(((uint32_t)x.u16[i] * y.u16[i]) >> 16))
DEFINE_LOOP(pmulhrsw, 8, r.u16[i] = (uint16_t)((((x.s16[i] * y.s16[i]) >> 14) + 1) >> 1))
DEFINE_LOOP(pmuludq, 2, r.u64[i] = (uint64_t)x.u32[2 * i] * y.u32[2 * i])
DEFINE_LOOP(pmuldq, 2, r.s64[i] = (int64_t)x.s32[2 * i] * y.s32[2 * i])
/* -32768 squared twice is 2^31, which wraps. */
DEFINE_LOOP(pmaddwd, 4,
            r.u32[i] = (uint32_t)(x.s16[2 * i] * y.s16[2 * i]) +
                       (uint32_t)(x.s16[2 * i + 1] * y.s16[2 * i + 1]))
DEFINE_LOOP(pmaddubsw, 8,
            r.s16[i] = to_s16(x.u8[2 * i] * y.s8[2 * i] + x.u8[2 * i + 1] * y.s8[2 * i + 1]))

static inline unsigned distance(uint8_t a, uint8_t b)
{
    return a > b ? (unsigned)(a - b) : (unsigned)(b - a);
}

DEFINE_LOOP(psadbw, 16, r.u64[i / 8] += distance(x.u8[i], y.u8[i]))
/* In the upper of two lanes it is bits 3 to 5 of the immediate: see translate_vector.c. */
DEFINE_LOOP(mpsadbw, 32,
            r.u16[i / 4] = (uint16_t)(r.u16[i / 4] + distance(x.u8[(imm & 4) + i / 4 + i % 4],
                                                              y.u8[4 * (imm & 3) + i % 4])))

SOFT_LANE(phminposuw)
{
    union soft_elements y = {.v = b};
    unsigned least = 0;

    for (unsigned i = 1; i < 8; i++) {
        if (y.u16[i] < y.u16[least])
            least = i;
    }
    return soft_v128_of(y.u16[least] | least << 16, 0);
}

/* Neighbours together: the lower half of the result comes from the first operand. */
#define PAIR(field, half, i) ((i) < half ? x.field[2 * (i)] : y.field[2 * ((i)-half)])
#define NEXT(field, half, i) ((i) < half ? x.field[2 * (i) + 1] : y.field[2 * ((i)-half) + 1])
DEFINE_LOOP(phaddw, 8, r.u16[i] = (uint16_t)(PAIR(u16, 4, i) + NEXT(u16, 4, i)))
DEFINE_LOOP(phsubw, 8, r.u16[i] = (uint16_t)(PAIR(u16, 4, i) - NEXT(u16, 4, i)))
DEFINE_LOOP(phaddd, 4, r.u32[i] = PAIR(u32, 2, i) + NEXT(u32, 2, i))
DEFINE_LOOP(phsubd, 4, r.u32[i] = PAIR(u32, 2, i) - NEXT(u32, 2, i))
DEFINE_LOOP(phaddsw, 8, r.s16[i] = to_s16(PAIR(s16, 4, i) + NEXT(s16, 4, i)))
DEFINE_LOOP(phsubsw, 8, r.s16[i] = to_s16(PAIR(s16, 4, i) - NEXT(s16, 4, i)))

DEFINE_LOOP(vpsllvd, 4, r.u32[i] = y.u32[i] < 32 ? x.u32[i] << y.u32[i] : 0)
DEFINE_LOOP(vpsrlvd, 4, r.u32[i] = y.u32[i] < 32 ? x.u32[i] >> y.u32[i] : 0)
DEFINE_LOOP(vpsravd, 4, r.s32[i] = x.s32[i] >> (y.u32[i] < 32 ? y.u32[i] : 31))
DEFINE_LOOP(vpsllvq, 2, r.u64[i] = y.u64[i] < 64 ? x.u64[i] << y.u64[i] : 0)
DEFINE_LOOP(vpsrlvq, 2, r.u64[i] = y.u64[i] < 64 ? x.u64[i] >> y.u64[i] : 0)

DEFINE_LOOP(packsswb, 16, r.s8[i] = to_s8(i < 8 ? x.s16[i] : y.s16[i - 8]))
DEFINE_LOOP(packuswb, 16, r.u8[i] = to_u8(i < 8 ? x.s16[i] : y.s16[i - 8]))
DEFINE_LOOP(packssdw, 8, r.s16[i] = to_s16(i < 4 ? x.s32[i] : y.s32[i - 4]))
DEFINE_LOOP(packusdw, 8, r.u16[i] = to_u16(i < 4 ? x.s32[i] : y.s32[i - 4]))

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
