/* SPDX-License-Identifier: BSD-3-Clause */
/* Floating point from and to other registers: general ones, MMX, flags, binary16 in memory. */
#include "soft/flags.h"
#include "soft/vector_lanes.h"
#include "soft/vector_move.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

#define LANE ((soft_float_lane *)(uintptr_t)op->imm)

/* ---- scalars to integers ---- */

/* aux: 1: truncated; else as MXCSR says. */
#define DEFINE_TO_GPR(from, to, source)                                                            \
    static SOFT_HANDLER(f##from##_to_s##to##source)                                                \
    {                                                                                              \
        uint##from##_t value = VALUE##source(from);                                                \
        uint##to##_t result;                                                                       \
        { /* no tail call is made while `fp` lives */                                              \
            struct soft_fp fp = {.mxcsr = cpu->mxcsr};                                             \
            result = soft_f##from##_to_s##to(&fp, value,                                           \
                                             op->aux != 0 ? SOFT_TO_ZERO : soft_fp_rounding(&fp)); \
            soft_fp_done(cpu, op, &fp);                                                            \
        }                                                                                          \
        SOFT_SET(uint##to##_t, op->dst, result);                                                   \
        SOFT_NEXT;                                                                                 \
    }
#define VALUE_r(bits) (uint##bits##_t) soft_v(cpu, op->src)[0][0]
#define VALUE_m(bits) soft_read##bits(cpu, op, soft_address(cpu, op))
#define DEFINE_TO_GPR_FORMS(from, to) \
    DEFINE_TO_GPR(from, to, _r)       \
    DEFINE_TO_GPR(from, to, _m)
DEFINE_TO_GPR_FORMS(32, 32)
DEFINE_TO_GPR_FORMS(32, 64)
DEFINE_TO_GPR_FORMS(64, 32)
DEFINE_TO_GPR_FORMS(64, 64)

soft_handler *const soft_float_to_gpr[2][2][2] = {
    {{f32_to_s32_r, f32_to_s32_m}, {f32_to_s64_r, f32_to_s64_m}},
    {{f64_to_s32_r, f64_to_s32_m}, {f64_to_s64_r, f64_to_s64_m}},
};

/* ---- comparisons ---- */

static void set_flags(struct soft_cpu *cpu, enum soft_order order)
{
    static const uint32_t flags[] = {[SOFT_LESS] = SOFT_CF,
                                     [SOFT_EQUAL] = SOFT_ZF,
                                     [SOFT_GREATER] = 0,
                                     [SOFT_UNORDERED] = SOFT_ZF | SOFT_PF | SOFT_CF};

    soft_flags_set_arithmetic(cpu, flags[order]);
}

/* aux: 1: COMISS, to which quiet NaNs are invalid too. */
#define DEFINE_COMPARE(bits, source)                                                               \
    static SOFT_HANDLER(compare##bits##source)                                                     \
    {                                                                                              \
        uint##bits##_t value = VALUE##source(bits);                                                \
        enum soft_order order;                                                                     \
        {                                                                                          \
            struct soft_fp fp = {.mxcsr = cpu->mxcsr};                                             \
            order = soft_f##bits##_compare(&fp, (uint##bits##_t)soft_v(cpu, op->dst)[0][0], value, \
                                           op->aux != 0);                                          \
            soft_fp_done(cpu, op, &fp);                                                            \
        }                                                                                          \
        set_flags(cpu, order);                                                                     \
        SOFT_NEXT;                                                                                 \
    }
DEFINE_COMPARE(32, _r)
DEFINE_COMPARE(32, _m)
DEFINE_COMPARE(64, _r)
DEFINE_COMPARE(64, _m)

soft_handler *const soft_float_compare[2][2] = {{compare32_r, compare32_m},
                                                {compare64_r, compare64_m}};

/* ---- MMX: the registers become MMX's even if there is an exception of SSE then ---- */

SOFT_HANDLER(soft_op_cvt_from_mmx)
{
    struct soft_fp fp = {.mxcsr = cpu->mxcsr};
    soft_v128 r;

    soft_mmx_check(cpu, op);
    soft_mmx_done(cpu);
    r = LANE(&fp, soft_v(cpu, op->dst)[0], soft_v128_of(cpu->fpu.st[op->src].significand, 0), 0);
    soft_fp_done(cpu, op, &fp);
    soft_v(cpu, op->dst)[0] = r;
    SOFT_NEXT_FROM_FRAME;
}

static const struct soft_uop *to_mmx(struct soft_cpu *cpu, const struct soft_uop *op, soft_v128 b)
{
    struct soft_fp fp = {.mxcsr = cpu->mxcsr};
    soft_v128 r = LANE(&fp, b, b, 0);

    soft_mmx_done(cpu);
    soft_fp_done(cpu, op, &fp);
    soft_mmx_set(cpu, op->dst, r[0]);
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_cvt_to_mmx_r)
{
    soft_mmx_check(cpu, op);
    return to_mmx(cpu, op, soft_v(cpu, op->src)[0]);
}

SOFT_HANDLER(soft_op_cvt_to_mmx_m)
{
    soft_mmx_check(cpu, op);
    if (op->src2 == 16)
        return to_mmx(cpu, op, soft_read128(cpu, op, soft_aligned(cpu, op, 16)));
    return to_mmx(cpu, op, soft_read_small(cpu, op, op->src2));
}

/* ---- VCVTPS2PH: src2 bytes of a result ---- */

static soft_v128 to_half(struct soft_cpu *cpu, const struct soft_uop *op)
{
    struct soft_fp fp = {.mxcsr = cpu->mxcsr};
    const soft_v128 *v = soft_v(cpu, op->src);
    soft_v128 r = soft_float_lane_cvtps2ph(&fp, v[0], v[0], op->aux);

    if (op->src2 == 16)
        r[1] = soft_float_lane_cvtps2ph(&fp, v[1], v[1], op->aux)[0];
    soft_fp_done(cpu, op, &fp);
    return r;
}

SOFT_HANDLER(soft_op_vcvtps2ph_r)
{
    soft_v128 r = to_half(cpu, op);

    soft_v(cpu, op->dst)[0] = r;
    soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_vcvtps2ph_m)
{
    uint64_t address = soft_address(cpu, op);
    soft_v128 r;

    /* What the store would raise comes before what the conversion signals. */
    soft_check_write(cpu, op, address, op->src2, soft_rights(cpu));
    r = to_half(cpu, op);
    if (op->src2 == 16)
        soft_write128(cpu, op, address, r);
    else
        soft_write64(cpu, op, address, r[0]);
    SOFT_NEXT;
}

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
