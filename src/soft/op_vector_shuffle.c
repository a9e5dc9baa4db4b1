/* SPDX-License-Identifier: BSD-3-Clause */
/* Lanes: moves inside of registers. */
#include "soft/vector_lanes.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of macros here are types and expressions. */

/* ---- fixed places ---- */

/* T: the vector's type; the elements of the result among those of a, then b. */
#define DEFINE(name, T, ...)                                                \
    SOFT_LANE(name)                                                         \
    {                                                                       \
        return (soft_v128)__builtin_shufflevector((T)a, (T)b, __VA_ARGS__); \
    }

DEFINE(punpcklbw, soft_u8x16, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
DEFINE(punpckhbw, soft_u8x16, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
DEFINE(punpcklwd, soft_u16x8, 0, 8, 1, 9, 2, 10, 3, 11)
DEFINE(punpckhwd, soft_u16x8, 4, 12, 5, 13, 6, 14, 7, 15)
DEFINE(punpckldq, soft_u32x4, 0, 4, 1, 5)
DEFINE(punpckhdq, soft_u32x4, 2, 6, 3, 7)
DEFINE(punpcklqdq, soft_v128, 0, 2)
DEFINE(punpckhqdq, soft_v128, 1, 3)
DEFINE(movddup, soft_v128, 2, 2)
DEFINE(movsldup, soft_u32x4, 4, 4, 6, 6)
DEFINE(movshdup, soft_u32x4, 5, 5, 7, 7)
DEFINE(movhlps, soft_v128, 3, 1)
DEFINE(movss, soft_u32x4, 4, 1, 2, 3)
DEFINE(movsd, soft_v128, 2, 1)
DEFINE(movhps, soft_v128, 0, 2)
DEFINE(vpbroadcastb, soft_u8x16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16)
DEFINE(vpbroadcastw, soft_u16x8, 8, 8, 8, 8, 8, 8, 8, 8)
DEFINE(vpbroadcastd, soft_u32x4, 4, 4, 4, 4)
DEFINE(vbroadcast128, soft_v128, 2, 3)

/* ---- places that an operand says ---- */

#define DEFINE_LOOP(name, count, statement)                               \
    SOFT_LANE(name)                                                       \
    {                                                                     \
        union soft_elements x = {.v = a}, y = {.v = b}, r = {.v = a ^ a}; \
        (void)x;                                                          \
        for (unsigned i = 0; i < count; i++)                              \
            statement;                                                    \
        return r.v;                                                       \
    }

#define TWO_BITS(i) (imm >> (2 * (i)) & 3)
DEFINE_LOOP(pshufd, 4, r.u32[i] = y.u32[TWO_BITS(i)])
DEFINE_LOOP(pshuflw, 8, r.u16[i] = y.u16[i < 4 ? TWO_BITS(i) : i])
DEFINE_LOOP(pshufhw, 8, r.u16[i] = y.u16[i < 4 ? i : 4 + TWO_BITS(i - 4)])
DEFINE_LOOP(shufps, 4, r.u32[i] = (i < 2 ? x.u32 : y.u32)[TWO_BITS(i)])
DEFINE_LOOP(pshufb, 16, r.u8[i] = (y.u8[i] & 0x80) != 0 ? 0 : x.u8[y.u8[i] & 15])
DEFINE_LOOP(vpermilps, 4, r.u32[i] = x.u32[y.u32[i] & 3])
DEFINE_LOOP(vpermilpd, 2, r.u64[i] = x.u64[y.u64[i] >> 1 & 1])
DEFINE_LOOP(vpermilpd_imm, 2, r.u64[i] = y.u64[imm >> i & 1])
DEFINE_LOOP(shufpd, 2, r.u64[i] = (i < 1 ? x.u64 : y.u64)[imm >> i & 1])
DEFINE_LOOP(blendpd, 2, r.u64[i] = (imm >> i & 1) != 0 ? y.u64[i] : x.u64[i])
DEFINE_LOOP(pblendw, 8, r.u16[i] = (imm >> i & 1) != 0 ? y.u16[i] : x.u16[i])
DEFINE_LOOP(blendps, 4, r.u32[i] = (imm >> i & 1) != 0 ? y.u32[i] : x.u32[i])
/* Of the immediate: from, to, what to clear. From memory there is only element 0. */
DEFINE_LOOP(insertps, 4,
            r.u32[i] = (imm >> i & 1) != 0   ? 0
                       : i == (imm >> 4 & 3) ? y.u32[imm >> 6 & 3]
                                             : x.u32[i])

SOFT_LANE(pslldq)
{
    unsigned bits = b[0] > 15 ? 128 : 8 * (unsigned)b[0];

    if (bits >= 64)
        return soft_v128_of(0, bits < 128 ? a[0] << (bits - 64) : 0);
    return bits == 0 ? a : soft_v128_of(a[0] << bits, a[1] << bits | a[0] >> (64 - bits));
}

SOFT_LANE(psrldq)
{
    unsigned bits = b[0] > 15 ? 128 : 8 * (unsigned)b[0];

    if (bits >= 64)
        return soft_v128_of(bits < 128 ? a[1] >> (bits - 64) : 0, 0);
    return bits == 0 ? a : soft_v128_of(a[0] >> bits | a[1] << (64 - bits), a[1] >> bits);
}

SOFT_LANE(palignr)
{
    uint8_t bytes[48] = {0};
    soft_v128 r;

    if (imm >= 32)
        return soft_v128_of(0, 0);
    memcpy(bytes, &b, 16);
    memcpy(bytes + 16, &a, 16);
    memcpy(&r, bytes + imm, 16);
    return r;
}

#define DEFINE_INSERT(name, field, T, mask) \
    SOFT_LANE(name)                         \
    {                                       \
        union soft_elements r = {.v = a};   \
        r.field[imm & mask] = (T)b[0];      \
        return r.v;                         \
    }
DEFINE_INSERT(pinsrb, u8, uint8_t, 15)
DEFINE_INSERT(pinsrw, u16, uint16_t, 7)
DEFINE_INSERT(pinsrd, u32, uint32_t, 3)
DEFINE_INSERT(pinsrq, u64, uint64_t, 1)

/* ---- to wider elements: the upper of two lanes has imm 1 ---- */

#define DEFINE_WIDEN(name, to, from, count) \
    DEFINE_LOOP(name, count, r.to[i] = y.from[i + (imm & 1) * count])
/* NOLINTBEGIN(bugprone-signed-char-misuse,cert-str34-c): sign extension is what is wanted. */
DEFINE_WIDEN(pmovsxbw, s16, s8, 8)
DEFINE_WIDEN(pmovsxbd, s32, s8, 4)
DEFINE_WIDEN(pmovsxbq, s64, s8, 2)
/* NOLINTEND(bugprone-signed-char-misuse,cert-str34-c) */
DEFINE_WIDEN(pmovsxwd, s32, s16, 4)
DEFINE_WIDEN(pmovsxwq, s64, s16, 2)
DEFINE_WIDEN(pmovsxdq, s64, s32, 2)
DEFINE_WIDEN(pmovzxbw, u16, u8, 8)
DEFINE_WIDEN(pmovzxbd, u32, u8, 4)
DEFINE_WIDEN(pmovzxbq, u64, u8, 2)
DEFINE_WIDEN(pmovzxwd, u32, u16, 4)
DEFINE_WIDEN(pmovzxwq, u64, u16, 2)
DEFINE_WIDEN(pmovzxdq, u64, u32, 2)

/* NOLINTEND(bugprone-macro-parentheses) */
