/* SPDX-License-Identifier: BSD-3-Clause */
/* Multiplication, division, and decimal adjustments. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

#define RAX (8 * SOFT_RAX)
#define RDX (8 * SOFT_RDX)
#define AH  (RAX + 1)

/* CF and OF say whether the upper half matters; SF and PF are those of the lower half, and ZF and
 * AF are 0, which is what processors do where the SDM says nothing. */
static inline void multiply_flags(struct soft_cpu *cpu, uint64_t low, unsigned size, bool matters)
{
    uint64_t value = SOFT_SIGNED(low, size);

    soft_flags_result(cpu, value, 64, matters, matters);
    if (value == 0) {
        /* Not zero for ZF's purposes: sign 0, even parity. */
        cpu->result = 1;
        cpu->aux |= UINT64_C(1) << SOFT_AUX_PARITY;
    }
}

/* ---- rDX:rAX ---- */

#define DEFINE_WIDE(bits, T, W, S, SW)                                                             \
    static inline void put_##bits(struct soft_cpu *cpu, T low, T high)                             \
    {                                                                                              \
        if (bits == 8) {                                                                           \
            SOFT_R(uint16_t, RAX) = (uint16_t)((uint32_t)high << 8 | low);                         \
        } else {                                                                                   \
            SOFT_SET(T, RAX, low);                                                                 \
            SOFT_SET(T, RDX, high);                                                                \
        }                                                                                          \
    }                                                                                              \
    static inline W wide_##bits(struct soft_cpu *cpu)                                              \
    {                                                                                              \
        return bits == 8 ? SOFT_R(uint16_t, RAX)                                                   \
                         : (W)((W)SOFT_R(T, RDX) << (bits - 1) << 1 | SOFT_R(T, RAX));             \
    }                                                                                              \
    static inline void mul_##bits(struct soft_cpu *cpu, const struct soft_uop *op, T value)        \
    {                                                                                              \
        W product = (W)((W)SOFT_R(T, RAX) * value);                                                \
        T high = (T)(product >> (bits - 1) >> 1);                                                  \
        (void)op;                                                                                  \
        multiply_flags(cpu, (T)product, bits, high != 0);                                          \
        put_##bits(cpu, (T)product, high);                                                         \
    }                                                                                              \
    static inline void imul_##bits(struct soft_cpu *cpu, const struct soft_uop *op, T value)       \
    {                                                                                              \
        SW product = (SW)((SW)(S)SOFT_R(T, RAX) * (S)value);                                       \
        (void)op;                                                                                  \
        multiply_flags(cpu, (T)product, bits, product != (S)product);                              \
        put_##bits(cpu, (T)product, (T)((W)product >> (bits - 1) >> 1));                           \
    }                                                                                              \
    static inline void div_##bits(struct soft_cpu *cpu, const struct soft_uop *op, T value)        \
    {                                                                                              \
        W dividend = wide_##bits(cpu), quotient;                                                   \
        if (value == 0)                                                                            \
            soft_raise(cpu, op, SOFT_DE);                                                          \
        quotient = dividend / value;                                                               \
        if (quotient != (T)quotient)                                                               \
            soft_raise(cpu, op, SOFT_DE);                                                          \
        put_##bits(cpu, (T)quotient, (T)(dividend % value));                                       \
    }                                                                                              \
    /* On magnitudes: the one quotient that does not fit would trap on the host. */                \
    static inline void idiv_##bits(struct soft_cpu *cpu, const struct soft_uop *op, T value)       \
    {                                                                                              \
        W dividend = wide_##bits(cpu), quotient, rest;                                             \
        bool negative = (SW)dividend < 0, opposite = negative != ((S)value < 0);                   \
        T divisor = (S)value < 0 ? (T)(0 - value) : value;                                         \
        if (negative)                                                                              \
            dividend = (W)(0 - dividend);                                                          \
        if (divisor == 0)                                                                          \
            soft_raise(cpu, op, SOFT_DE);                                                          \
        quotient = dividend / divisor;                                                             \
        rest = dividend % divisor;                                                                 \
        if (quotient > ((W)1 << (bits - 1)) - !opposite)                                           \
            soft_raise(cpu, op, SOFT_DE);                                                          \
        put_##bits(cpu, (T)(opposite ? 0 - quotient : quotient), (T)(negative ? 0 - rest : rest)); \
    }                                                                                              \
    DEFINE_WIDE_FORMS(mul, bits, T)                                                                \
    DEFINE_WIDE_FORMS(imul, bits, T)                                                               \
    DEFINE_WIDE_FORMS(div, bits, T)                                                                \
    DEFINE_WIDE_FORMS(idiv, bits, T)
#define DEFINE_WIDE_FORMS(name, bits, T)                                         \
    static SOFT_HANDLER(name##_##bits##_r)                                       \
    {                                                                            \
        name##_##bits(cpu, op, SOFT_R(T, op->src));                              \
        SOFT_NEXT;                                                               \
    }                                                                            \
    static SOFT_HANDLER(name##_##bits##_m)                                       \
    {                                                                            \
        name##_##bits(cpu, op, soft_read##bits(cpu, op, soft_address(cpu, op))); \
        SOFT_NEXT;                                                               \
    }

DEFINE_WIDE(8, uint8_t, uint16_t, int8_t, int16_t)
DEFINE_WIDE(16, uint16_t, uint32_t, int16_t, int32_t)
DEFINE_WIDE(32, uint32_t, uint64_t, int32_t, int64_t)
DEFINE_WIDE(64, uint64_t, unsigned __int128, int64_t, __int128)

#define WIDE_SIZES(name)                                                                  \
    {                                                                                     \
        {name##_8_r, name##_8_m}, {name##_16_r, name##_16_m}, {name##_32_r, name##_32_m}, \
            {name##_64_r, name##_64_m},                                                   \
    }
soft_handler *const soft_wide[SOFT_WIDES][4][2] = {
    [SOFT_MUL] = WIDE_SIZES(mul),
    [SOFT_IMUL] = WIDE_SIZES(imul),
    [SOFT_DIV] = WIDE_SIZES(div),
    [SOFT_IDIV] = WIDE_SIZES(idiv),
};

/* ---- IMUL of two and three operands ---- */

#define DEFINE_IMUL(bits, T, S, SW)                                                        \
    static inline T product_##bits(struct soft_cpu *cpu, T a, T b)                         \
    {                                                                                      \
        SW product = (SW)(S)a * (S)b;                                                      \
        multiply_flags(cpu, (T)product, bits, product != (S)product);                      \
        return (T)product;                                                                 \
    }                                                                                      \
    static SOFT_HANDLER(imul2_##bits##_rr)                                                 \
    {                                                                                      \
        SOFT_SET(T, op->dst, product_##bits(cpu, SOFT_R(T, op->dst), SOFT_R(T, op->src))); \
        SOFT_NEXT;                                                                         \
    }                                                                                      \
    static SOFT_HANDLER(imul2_##bits##_rm)                                                 \
    {                                                                                      \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));                         \
        SOFT_SET(T, op->dst, product_##bits(cpu, SOFT_R(T, op->dst), value));              \
        SOFT_NEXT;                                                                         \
    }                                                                                      \
    static SOFT_HANDLER(imul3_##bits##_rr)                                                 \
    {                                                                                      \
        SOFT_SET(T, op->dst, product_##bits(cpu, SOFT_R(T, op->src), (T)op->imm));         \
        SOFT_NEXT;                                                                         \
    }                                                                                      \
    static SOFT_HANDLER(imul3_##bits##_rm)                                                 \
    {                                                                                      \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));                         \
        SOFT_SET(T, op->dst, product_##bits(cpu, value, (T)op->imm));                      \
        SOFT_NEXT;                                                                         \
    }

DEFINE_IMUL(16, uint16_t, int16_t, int32_t)
DEFINE_IMUL(32, uint32_t, int32_t, int64_t)
DEFINE_IMUL(64, uint64_t, int64_t, __int128)

#define IMUL_FORMS(bits)                                                           \
    {                                                                              \
        imul2_##bits##_rr, imul2_##bits##_rm, imul3_##bits##_rr, imul3_##bits##_rm \
    }
soft_handler *const soft_imul[4][4] = {{NULL}, IMUL_FORMS(16), IMUL_FORMS(32), IMUL_FORMS(64)};

/* ---- decimal (SDM vol. 2A); SF, ZF, PF are those of AL, OF is 0 ---- */

static void adjusted(struct soft_cpu *cpu, bool cf, bool af)
{
    soft_flags_result(cpu, SOFT_R(uint8_t, RAX), 8, cf, false);
    if (af)
        cpu->aux |= SOFT_AUX_AF;
}

SOFT_HANDLER(soft_op_aaa)
{
    bool adjust = (SOFT_R(uint8_t, RAX) & 15) > 9 || soft_af(cpu);

    if (adjust)
        SOFT_R(uint16_t, RAX) += 0x106;
    SOFT_R(uint8_t, RAX) &= 15;
    adjusted(cpu, adjust, adjust);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_aas)
{
    bool adjust = (SOFT_R(uint8_t, RAX) & 15) > 9 || soft_af(cpu);

    if (adjust)
        SOFT_R(uint16_t, RAX) = (uint16_t)(SOFT_R(uint16_t, RAX) - 0x106);
    SOFT_R(uint8_t, RAX) &= 15;
    adjusted(cpu, adjust, adjust);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_aam)
{
    uint8_t al = SOFT_R(uint8_t, RAX), base = (uint8_t)op->imm;

    if (base == 0)
        soft_raise(cpu, op, SOFT_DE);
    SOFT_R(uint8_t, AH) = al / base;
    SOFT_R(uint8_t, RAX) = al % base;
    adjusted(cpu, false, false);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_aad)
{
    uint8_t al = (uint8_t)(SOFT_R(uint8_t, RAX) + SOFT_R(uint8_t, AH) * (uint8_t)op->imm);

    SOFT_R(uint16_t, RAX) = al;
    adjusted(cpu, false, false);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_daa)
{
    uint8_t al = SOFT_R(uint8_t, RAX), old = al;
    bool cf = soft_cf(cpu), af = (al & 15) > 9 || soft_af(cpu);

    if (af)
        al = (uint8_t)(al + 6);
    if (old > 0x99 || cf) {
        al = (uint8_t)(al + 0x60);
        cf = true;
    }
    SOFT_R(uint8_t, RAX) = al;
    adjusted(cpu, cf, af);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_das)
{
    uint8_t al = SOFT_R(uint8_t, RAX), old = al;
    bool old_cf = soft_cf(cpu), cf = false, af = (al & 15) > 9 || soft_af(cpu);

    if (af) {
        cf = old_cf || al < 6;
        al = (uint8_t)(al - 6);
    }
    if (old > 0x99 || old_cf) {
        al = (uint8_t)(al - 0x60);
        cf = true;
    }
    SOFT_R(uint8_t, RAX) = al;
    adjusted(cpu, cf, af);
    SOFT_NEXT;
}

/* NOLINTEND(bugprone-macro-parentheses) */
