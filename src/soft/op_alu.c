/* SPDX-License-Identifier: BSD-3-Clause */
/* ADD to TEST, INC to NOT: arithmetic of two operands and of one. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

/*
 * An operation is a function from two operands to the result, which also sets the flags. Those that
 * depend on CF read it first. ATOMIC_name() is the host's own operation, where there is one.
 */
#define DEFINE_OPERATIONS(bits, T)                             \
    static inline T add_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        T sum = (T)(a + b);                                    \
        soft_flags_add(cpu, a, b, sum, bits);                  \
        return sum;                                            \
    }                                                          \
    static inline T adc_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        T sum = (T)(a + b + soft_cf(cpu));                     \
        soft_flags_add(cpu, a, b, sum, bits);                  \
        return sum;                                            \
    }                                                          \
    static inline T sub_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        T difference = (T)(a - b);                             \
        soft_flags_sub(cpu, a, b, difference, bits);           \
        return difference;                                     \
    }                                                          \
    static inline T sbb_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        T difference = (T)(a - b - soft_cf(cpu));              \
        soft_flags_sub(cpu, a, b, difference, bits);           \
        return difference;                                     \
    }                                                          \
    static inline T and_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        soft_flags_logic(cpu, (T)(a & b), bits);               \
        return (T)(a & b);                                     \
    }                                                          \
    static inline T or_##bits(struct soft_cpu *cpu, T a, T b)  \
    {                                                          \
        soft_flags_logic(cpu, (T)(a | b), bits);               \
        return (T)(a | b);                                     \
    }                                                          \
    static inline T xor_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        soft_flags_logic(cpu, (T)(a ^ b), bits);               \
        return (T)(a ^ b);                                     \
    }                                                          \
    static inline T inc_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        bool cf = soft_cf(cpu);                                \
        T sum = (T)(a + 1);                                    \
        (void)b;                                               \
        soft_flags_add(cpu, a, 1, sum, bits);                  \
        soft_flags_keep_cf(cpu, cf);                           \
        return sum;                                            \
    }                                                          \
    static inline T dec_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        bool cf = soft_cf(cpu);                                \
        T difference = (T)(a - 1);                             \
        (void)b;                                               \
        soft_flags_sub(cpu, a, 1, difference, bits);           \
        soft_flags_keep_cf(cpu, cf);                           \
        return difference;                                     \
    }                                                          \
    static inline T neg_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        (void)b;                                               \
        return sub_##bits(cpu, 0, a);                          \
    }                                                          \
    static inline T not_##bits(struct soft_cpu *cpu, T a, T b) \
    {                                                          \
        (void)cpu;                                             \
        (void)b;                                               \
        return (T)~a;                                          \
    }

DEFINE_OPERATIONS(8, uint8_t)
DEFINE_OPERATIONS(16, uint16_t)
DEFINE_OPERATIONS(32, uint32_t)
DEFINE_OPERATIONS(64, uint64_t)

/* ---- forms ---- */

#define DEFINE_REGISTER_FORMS(name, bits, T)                                              \
    static SOFT_HANDLER(name##_##bits##_rr)                                               \
    {                                                                                     \
        SOFT_SET(T, op->dst, name##_##bits(cpu, SOFT_R(T, op->dst), SOFT_R(T, op->src))); \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(name##_##bits##_ri)                                               \
    {                                                                                     \
        SOFT_SET(T, op->dst, name##_##bits(cpu, SOFT_R(T, op->dst), (T)op->imm));         \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(name##_##bits##_rm)                                               \
    {                                                                                     \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));                        \
        SOFT_SET(T, op->dst, name##_##bits(cpu, SOFT_R(T, op->dst), value));              \
        SOFT_NEXT;                                                                        \
    }

#define DEFINE_MEMORY_FORM(name, form, bits, T, operand)                  \
    static SOFT_HANDLER(name##_##bits##_##form)                           \
    {                                                                     \
        void *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8); \
        uint64_t result = cpu->result, aux = cpu->aux;                    \
        T value = name##_##bits(cpu, soft_load##bits(at), (T)(operand));  \
        soft_store##bits(at, value);                                      \
        soft_modify_done_flags(cpu, op, at, result, aux);                 \
        SOFT_NEXT;                                                        \
    }

/*
 * With a LOCK prefix: until no other vCPU came between, or none can.
 */
#define DEFINE_LOCKED_FORM(name, form, bits, T, operand)                                   \
    static SOFT_HANDLER(name##_##bits##_locked_##form)                                     \
    {                                                                                      \
        T *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                     \
        uint64_t result = cpu->result, aux = cpu->aux;                                     \
        if (soft_lock_splits(cpu, op, at, bits / 8))                                       \
            SOFT_AGAIN(name##_##bits##_##form);                                            \
        { /* no tail call is made while `old` lives, whose address some hosts need */      \
            T old = __atomic_load_n(at, __ATOMIC_RELAXED), value;                          \
            do {                                                                           \
                cpu->result = result;                                                      \
                cpu->aux = aux;                                                            \
                value = name##_##bits(cpu, old, (T)(operand));                             \
            } while (!__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_SEQ_CST, \
                                                  __ATOMIC_RELAXED));                      \
        }                                                                                  \
        SOFT_NEXT;                                                                         \
    }

#define DEFINE_BINARY(name, bits, T)                          \
    DEFINE_REGISTER_FORMS(name, bits, T)                      \
    DEFINE_MEMORY_FORM(name, mr, bits, T, SOFT_R(T, op->src)) \
    DEFINE_MEMORY_FORM(name, mi, bits, T, op->imm)            \
    DEFINE_LOCKED_FORM(name, mr, bits, T, SOFT_R(T, op->src)) \
    DEFINE_LOCKED_FORM(name, mi, bits, T, op->imm)

/* CMP and TEST store nothing. */
#define DEFINE_COMPARISON(name, of, bits, T)                            \
    static SOFT_HANDLER(name##_##bits##_rr)                             \
    {                                                                   \
        (void)of##_##bits(cpu, SOFT_R(T, op->dst), SOFT_R(T, op->src)); \
        SOFT_NEXT;                                                      \
    }                                                                   \
    static SOFT_HANDLER(name##_##bits##_ri)                             \
    {                                                                   \
        (void)of##_##bits(cpu, SOFT_R(T, op->dst), (T)op->imm);         \
        SOFT_NEXT;                                                      \
    }                                                                   \
    static SOFT_HANDLER(name##_##bits##_rm)                             \
    {                                                                   \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));      \
        (void)of##_##bits(cpu, SOFT_R(T, op->dst), value);              \
        SOFT_NEXT;                                                      \
    }                                                                   \
    static SOFT_HANDLER(name##_##bits##_mr)                             \
    {                                                                   \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));      \
        (void)of##_##bits(cpu, value, SOFT_R(T, op->src));              \
        SOFT_NEXT;                                                      \
    }                                                                   \
    static SOFT_HANDLER(name##_##bits##_mi)                             \
    {                                                                   \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));      \
        (void)of##_##bits(cpu, value, (T)op->imm);                      \
        SOFT_NEXT;                                                      \
    }

#define DEFINE_UNARY(name, bits, T)                                      \
    static SOFT_HANDLER(name##_##bits##_r)                               \
    {                                                                    \
        SOFT_SET(T, op->dst, name##_##bits(cpu, SOFT_R(T, op->dst), 0)); \
        SOFT_NEXT;                                                       \
    }                                                                    \
    DEFINE_MEMORY_FORM(name, m, bits, T, 0)                              \
    DEFINE_LOCKED_FORM(name, m, bits, T, 0)

#define DEFINE_SIZE(bits, T)              \
    DEFINE_BINARY(add, bits, T)           \
    DEFINE_BINARY(or, bits, T)            \
    DEFINE_BINARY(adc, bits, T)           \
    DEFINE_BINARY(sbb, bits, T)           \
    DEFINE_BINARY(and, bits, T)           \
    DEFINE_BINARY(sub, bits, T)           \
    DEFINE_BINARY(xor, bits, T)           \
    DEFINE_COMPARISON(cmp, sub, bits, T)  \
    DEFINE_COMPARISON(test, and, bits, T) \
    DEFINE_UNARY(inc, bits, T)            \
    DEFINE_UNARY(dec, bits, T)            \
    DEFINE_UNARY(neg, bits, T)            \
    DEFINE_UNARY(not, bits, T)

DEFINE_SIZE(8, uint8_t)
DEFINE_SIZE(16, uint16_t)
DEFINE_SIZE(32, uint32_t)
DEFINE_SIZE(64, uint64_t)

/* ---- tables ---- */

#define BINARY_FORMS(name, bits)                                                        \
    {                                                                                   \
        name##_##bits##_rr, name##_##bits##_ri, name##_##bits##_rm, name##_##bits##_mr, \
            name##_##bits##_mi, name##_##bits##_locked_mr, name##_##bits##_locked_mi,   \
    }
#define COMPARISON_FORMS(name, bits)                                                    \
    {                                                                                   \
        name##_##bits##_rr, name##_##bits##_ri, name##_##bits##_rm, name##_##bits##_mr, \
            name##_##bits##_mi, NULL, NULL,                                             \
    }
#define UNARY_FORMS(name, bits)                                       \
    {                                                                 \
        [SOFT_RR] = name##_##bits##_r, [SOFT_MR] = name##_##bits##_m, \
        [SOFT_LOCKED_MR] = name##_##bits##_locked_m,                  \
    }
#define SIZES(forms, name)                                                \
    {                                                                     \
        forms(name, 8), forms(name, 16), forms(name, 32), forms(name, 64) \
    }

soft_handler *const soft_alu[SOFT_ALUS][4][SOFT_FORMS] = {
    [SOFT_ALU_ADD] = SIZES(BINARY_FORMS, add),       [SOFT_ALU_OR] = SIZES(BINARY_FORMS, or),
    [SOFT_ALU_ADC] = SIZES(BINARY_FORMS, adc),       [SOFT_ALU_SBB] = SIZES(BINARY_FORMS, sbb),
    [SOFT_ALU_AND] = SIZES(BINARY_FORMS, and),       [SOFT_ALU_SUB] = SIZES(BINARY_FORMS, sub),
    [SOFT_ALU_XOR] = SIZES(BINARY_FORMS, xor),       [SOFT_ALU_CMP] = SIZES(COMPARISON_FORMS, cmp),
    [SOFT_ALU_TEST] = SIZES(COMPARISON_FORMS, test),
};

soft_handler *const soft_unary[SOFT_UNARIES][4][SOFT_FORMS] = {
    [SOFT_INC] = SIZES(UNARY_FORMS, inc),
    [SOFT_DEC] = SIZES(UNARY_FORMS, dec),
    [SOFT_NEG] = SIZES(UNARY_FORMS, neg),
    [SOFT_NOT] = SIZES(UNARY_FORMS, not ),
};

/* NOLINTEND(bugprone-macro-parentheses) */
