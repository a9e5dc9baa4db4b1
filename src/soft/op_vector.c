/* SPDX-License-Identifier: BSD-3-Clause */
/* The handlers around lanes: where operands come from, and where results go. */
#include "soft/vector.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

SOFT_HANDLER(soft_op_vector_fault)
{
    enum soft_vector vector = SOFT_UD;

    /* Conditions for #UD come first (SDM vol. 2A, 2.4). */
    switch (op->aux) {
    case SOFT_CLASS_AVX:
        if ((cpu->cr4 & SOFT_CR4_OSXSAVE) != 0 && (cpu->xcr0 & 6) == 6)
            vector = SOFT_NM;
        break;
    case SOFT_CLASS_SSE:
        if ((cpu->cr4 & SOFT_CR4_OSFXSR) != 0 && (cpu->cr0 & SOFT_CR0_EM) == 0)
            vector = SOFT_NM;
        break;
    default:
        if ((cpu->cr0 & SOFT_CR0_EM) == 0)
            vector = SOFT_NM;
        break;
    }
    soft_raise(cpu, op, vector);
}

SOFT_COLD void soft_fp_signal(struct soft_cpu *cpu, const struct soft_uop *op,
                              const struct soft_fp *fp)
{
    uint32_t flags = fp->flags, unmasked = flags & ~(fp->mxcsr >> SOFT_FP_MASK_SHIFT);

    /* Those that are found before the result is worked out keep the others from being found, in
     * all elements (SDM vol. 1, 11.5.3). */
    if ((unmasked & (SOFT_FP_IE | SOFT_FP_DE | SOFT_FP_ZE)) != 0)
        flags &= SOFT_FP_IE | SOFT_FP_DE | SOFT_FP_ZE;
    cpu->mxcsr |= flags | fp->kept;
    if (unmasked != 0)
        soft_raise(cpu, op, (cpu->cr4 & SOFT_CR4_OSXMMEXCPT) != 0 ? SOFT_XM : SOFT_UD);
}

soft_v128 soft_read_small(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size)
{
    uint64_t address = soft_address(cpu, op);

    switch (size) {
    case 1: return soft_v128_of(soft_read8(cpu, op, address), 0);
    case 2: return soft_v128_of(soft_read16(cpu, op, address), 0);
    case 4: return soft_v128_of(soft_read32(cpu, op, address), 0);
    case 8: return soft_v128_of(soft_read64(cpu, op, address), 0);
    default: return soft_read128(cpu, op, address);
    }
}

/* ---- two sets: lanes of integers, and of floating point ---- */

/* What a set does before, for a lane, and after: there an instruction may still fault. The scope
 * ends there, because no tail call is made while `fp` lives. */
#define BEGIN_integer            {
#define CALL_integer(a, b, imm_) ((soft_lane *)(uintptr_t)op->imm)(a, b, imm_)
#define END_integer              }
#define BEGIN_float \
    {               \
        struct soft_fp fp = {.mxcsr = cpu->mxcsr};
#define CALL_float(a, b, imm_) ((soft_float_lane *)(uintptr_t)op->imm)(&fp, a, b, imm_)
#define END_float               \
    soft_fp_done(cpu, op, &fp); \
    }

/* ---- one lane ---- */

#define DEFINE_ONE(set, from, legacy_source, vex_source)     \
    static SOFT_HANDLER(set##_legacy_##from)                 \
    {                                                        \
        soft_v128 b = legacy_source, r;                      \
        BEGIN_##set;                                         \
        r = CALL_##set(soft_v(cpu, op->src)[0], b, op->aux); \
        END_##set;                                           \
        soft_v(cpu, op->dst)[0] = r;                         \
        SOFT_NEXT;                                           \
    }                                                        \
    static SOFT_HANDLER(set##_vex_##from)                    \
    {                                                        \
        soft_v128 b = vex_source, r;                         \
        BEGIN_##set;                                         \
        r = CALL_##set(soft_v(cpu, op->src)[0], b, op->aux); \
        END_##set;                                           \
        soft_v(cpu, op->dst)[0] = r;                         \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);        \
        SOFT_NEXT;                                           \
    }

#define REGISTER  soft_v(cpu, op->src2)[0]
#define SMALL     soft_read_small(cpu, op, op->src2)
#define GPR       soft_v128_of(SOFT_R(uint64_t, op->src2), 0)
#define IMMEDIATE soft_v128_of(op->aux, 0)

/* ---- two lanes ---- */

#define DEFINE_TWO(set, name, first, second, ...) \
    static SOFT_HANDLER(set##_##name)             \
    {                                             \
        __VA_ARGS__;                              \
        soft_v128 low, high;                      \
        BEGIN_##set;                              \
        low = CALL_##set first;                   \
        high = CALL_##set second;                 \
        END_##set;                                \
        soft_v(cpu, op->dst)[0] = low;            \
        soft_v(cpu, op->dst)[1] = high;           \
        SOFT_NEXT;                                \
    }
/* Some have bits of their own in the immediate for each lane. */
#define HIGH_IMMEDIATE ((unsigned)op->aux >> (op->aux2 & 7))
#define DEFINE_EACH(set, from, source)                            \
    DEFINE_TWO(set, each_##from, (a.half[0], b.half[0], op->aux), \
               (a.half[1], b.half[1], HIGH_IMMEDIATE),            \
               struct soft_pair a = soft_pair_of(cpu, op->src), b = source)
#define DEFINE_COUNT(set, from, source)                                 \
    DEFINE_TWO(set, count_##from, (a.half[0], b, 0), (a.half[1], b, 0), \
               struct soft_pair a = soft_pair_of(cpu, op->src);         \
               soft_v128 b = source)
#define DEFINE_WIDEN(set, from, source) \
    DEFINE_TWO(set, widen_##from, (b, b, 0), (b, b, 1), soft_v128 b = source)
#define DEFINE_NARROW(set, from, source)                         \
    static SOFT_HANDLER(set##_narrow_##from)                     \
    {                                                            \
        struct soft_pair b = source;                             \
        soft_v128 low, high;                                     \
        BEGIN_##set;                                             \
        low = CALL_##set(b.half[0], b.half[0], op->aux);         \
        high = CALL_##set(b.half[1], b.half[1], op->aux);        \
        END_##set;                                               \
        soft_v(cpu, op->dst)[0] = soft_v128_of(low[0], high[0]); \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);            \
        SOFT_NEXT;                                               \
    }

/* ---- the tables ---- */

#define DEFINE_SET(set)                                                       \
    DEFINE_ONE(set, register, REGISTER, REGISTER)                             \
    DEFINE_ONE(set, memory, soft_read128(cpu, op, soft_aligned(cpu, op, 16)), \
               soft_read128(cpu, op, soft_address(cpu, op)))                  \
    DEFINE_ONE(set, small, SMALL, SMALL)                                      \
    DEFINE_ONE(set, gpr, GPR, GPR)                                            \
    DEFINE_EACH(set, register, soft_pair_of(cpu, op->src2))                   \
    DEFINE_EACH(set, memory, soft_read_pair(cpu, op, soft_address(cpu, op)))  \
    DEFINE_WIDEN(set, register, REGISTER)                                     \
    DEFINE_WIDEN(set, small, SMALL)

DEFINE_SET(integer)
DEFINE_ONE(integer, immediate, IMMEDIATE, IMMEDIATE)
DEFINE_COUNT(integer, register, REGISTER)
DEFINE_COUNT(integer, small, SMALL)
DEFINE_COUNT(integer, immediate, IMMEDIATE)
DEFINE_SET(float)
DEFINE_NARROW(float, register, soft_pair_of(cpu, op->src2))
DEFINE_NARROW(float, memory, soft_read_pair(cpu, op, soft_address(cpu, op)))

#define ONE(set, encoding)                                                                      \
    {                                                                                           \
        [SOFT_FROM_REGISTER] = set##_##encoding##_register,                                     \
        [SOFT_FROM_MEMORY] = set##_##encoding##_memory,                                         \
        [SOFT_FROM_SMALL] = set##_##encoding##_small, [SOFT_FROM_GPR] = set##_##encoding##_gpr, \
    }
#define SHIFT(encoding)                                         \
    {                                                           \
        [SOFT_FROM_REGISTER] = integer_##encoding##_register,   \
        [SOFT_FROM_MEMORY] = integer_##encoding##_memory,       \
        [SOFT_FROM_IMMEDIATE] = integer_##encoding##_immediate, \
    }
soft_handler *const soft_lane_forms[SOFT_LANE_KINDS][SOFT_ENCODINGS][SOFT_SOURCES] = {
    [SOFT_EACH] = {ONE(integer, legacy),
                   ONE(integer, vex),
                   {integer_each_register, integer_each_memory}},
    [SOFT_COUNT] = {SHIFT(legacy),
                    SHIFT(vex),
                    {[SOFT_FROM_REGISTER] = integer_count_register,
                     [SOFT_FROM_SMALL] = integer_count_small,
                     [SOFT_FROM_IMMEDIATE] = integer_count_immediate}},
    [SOFT_WIDEN] =
        {ONE(integer, legacy),
         ONE(integer, vex),
         {[SOFT_FROM_REGISTER] = integer_widen_register, [SOFT_FROM_SMALL] = integer_widen_small}},
};
soft_handler *const soft_float_forms[SOFT_LANE_KINDS][SOFT_ENCODINGS][SOFT_SOURCES] = {
    [SOFT_EACH] = {ONE(float, legacy), ONE(float, vex), {float_each_register, float_each_memory}},
    [SOFT_WIDEN] =
        {ONE(float, legacy),
         ONE(float, vex),
         {[SOFT_FROM_REGISTER] = float_widen_register, [SOFT_FROM_SMALL] = float_widen_small}},
    [SOFT_NARROW] = {ONE(float, legacy),
                     ONE(float, vex),
                     {float_narrow_register, float_narrow_memory}},
};

/* ---- MMX ---- */

static uint64_t in_64(const struct soft_uop *op, uint64_t a, uint64_t b)
{
    soft_lane *lane = (soft_lane *)(uintptr_t)op->imm;
    soft_v128 both = soft_v128_of(a, b);

    switch (op->aux2 & 7) {
    case SOFT_MMX_HIGH: return lane(soft_v128_of(a, a), soft_v128_of(b, b), op->aux)[1];
    case SOFT_MMX_TWICE: return lane(soft_v128_of(a, a), soft_v128_of(b, 0), op->aux)[0];
    case SOFT_MMX_JOIN: return lane(both, both, op->aux)[0];
    case SOFT_MMX_ALIGN: return lane(soft_v128_of(0, 0), soft_v128_of(b, a), op->aux)[0];
    default: return lane(soft_v128_of(a, 0), soft_v128_of(b, 0), op->aux)[0];
    }
}

#define DEFINE_MMX(from, source)                                                    \
    static SOFT_HANDLER(mmx_##from)                                                 \
    {                                                                               \
        uint64_t b;                                                                 \
        soft_mmx_check(cpu, op);                                                    \
        b = source;                                                                 \
        soft_mmx_set(cpu, op->dst, in_64(op, cpu->fpu.st[op->src].significand, b)); \
        soft_mmx_done(cpu);                                                         \
        SOFT_NEXT;                                                                  \
    }
DEFINE_MMX(register, cpu->fpu.st[op->src2].significand)
DEFINE_MMX(small, soft_read_small(cpu, op, op->src2)[0])
DEFINE_MMX(gpr, SOFT_R(uint64_t, op->src2))
DEFINE_MMX(immediate, op->aux)

soft_handler *const soft_mmx_forms[SOFT_SOURCES] = {
    [SOFT_FROM_REGISTER] = mmx_register,
    [SOFT_FROM_SMALL] = mmx_small,
    [SOFT_FROM_GPR] = mmx_gpr,
    [SOFT_FROM_IMMEDIATE] = mmx_immediate,
};

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
