/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fused multiplications and additions: x * y + z with one rounding.
 *
 * aux: what is negated, and the order of the operands. The sign of a NaN is not.
 */
#include "soft/vector_move.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

#define SIGN32 UINT32_C(0x80000000)
#define SIGN64 (UINT64_C(1) << 63)

static inline uint32_t negate32(uint32_t a, bool negate)
{
    return negate && (a & 0x7fffffff) <= 0x7f800000 ? a ^ SIGN32 : a;
}

static inline uint64_t negate64(uint64_t a, bool negate)
{
    return negate && (a & ~SIGN64) <= UINT64_C(0x7ff0000000000000) ? a ^ SIGN64 : a;
}

#define DEFINE_LANE(bits, suffix, count)                                                         \
    static soft_v128 lane_##suffix(struct soft_fp *fp, soft_v128 x_, soft_v128 y_, soft_v128 z_, \
                                   soft_v128 rest, unsigned how)                                 \
    {                                                                                            \
        union soft_elements x = {.v = x_}, y = {.v = y_}, z = {.v = z_}, r = {.v = rest};        \
        for (unsigned i = 0; i < count; i++) {                                                   \
            bool negate = (how & ((i & 1) != 0 ? SOFT_FMA_SUB_ODD : SOFT_FMA_SUB_EVEN)) != 0;    \
            r.u##bits[i] =                                                                       \
                soft_f##bits##_fma(fp, negate##bits(x.u##bits[i], (how & SOFT_FMA_NEGATE) != 0), \
                                   y.u##bits[i], negate##bits(z.u##bits[i], negate));            \
        }                                                                                        \
        return r.v;                                                                              \
    }
DEFINE_LANE(32, ps, 4)
DEFINE_LANE(64, pd, 2)
DEFINE_LANE(32, ss, 1)
DEFINE_LANE(64, sd, 1)

/* a, b, c: the operands of the instruction in its order. */
#define ORDERED(suffix, fp, a, b, c, how)                                          \
    (((how)&SOFT_FMA_ORDER) == SOFT_FMA_132   ? lane_##suffix(fp, a, c, b, a, how) \
     : ((how)&SOFT_FMA_ORDER) == SOFT_FMA_213 ? lane_##suffix(fp, b, a, c, a, how) \
                                              : lane_##suffix(fp, b, c, a, a, how))

#define DEFINE_128(suffix, from, source)                                                \
    static SOFT_HANDLER(suffix##_##from)                                                \
    {                                                                                   \
        soft_v128 a = soft_v(cpu, op->dst)[0], b = soft_v(cpu, op->src)[0], c = source; \
        { /* no tail call is made while `fp` lives */                                   \
            struct soft_fp fp = {.mxcsr = cpu->mxcsr};                                  \
            a = ORDERED(suffix, &fp, a, b, c, op->aux);                                 \
            soft_fp_done(cpu, op, &fp);                                                 \
        }                                                                               \
        soft_v(cpu, op->dst)[0] = a;                                                    \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);                                   \
        SOFT_NEXT;                                                                      \
    }
#define DEFINE_256(suffix, from, source)                                                    \
    static SOFT_HANDLER(suffix##_##from##_256)                                              \
    {                                                                                       \
        struct soft_pair a = soft_pair_of(cpu, op->dst), b = soft_pair_of(cpu, op->src);    \
        struct soft_pair c = source;                                                        \
        {                                                                                   \
            struct soft_fp fp = {.mxcsr = cpu->mxcsr};                                      \
            for (unsigned i = 0; i < 2; i++)                                                \
                a.half[i] = ORDERED(suffix, &fp, a.half[i], b.half[i], c.half[i], op->aux); \
            soft_fp_done(cpu, op, &fp);                                                     \
        }                                                                                   \
        soft_v(cpu, op->dst)[0] = a.half[0];                                                \
        soft_v(cpu, op->dst)[1] = a.half[1];                                                \
        SOFT_NEXT;                                                                          \
    }
#define DEFINE_FORMS(suffix)                               \
    DEFINE_128(suffix, register, soft_v(cpu, op->src2)[0]) \
    DEFINE_128(suffix, memory, soft_read_small(cpu, op, op->src2))
#define DEFINE_PACKED_FORMS(suffix)                           \
    DEFINE_FORMS(suffix)                                      \
    DEFINE_256(suffix, register, soft_pair_of(cpu, op->src2)) \
    DEFINE_256(suffix, memory, soft_read_pair(cpu, op, soft_address(cpu, op)))
DEFINE_PACKED_FORMS(ps)
DEFINE_PACKED_FORMS(pd)
DEFINE_FORMS(ss)
DEFINE_FORMS(sd)

soft_handler *const soft_fma[4][2][2] = {
    {{ps_register, ps_memory}, {ps_register_256, ps_memory_256}},
    {{pd_register, pd_memory}, {pd_register_256, pd_memory_256}},
    {{ss_register, ss_memory}},
    {{sd_register, sd_memory}},
};

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
