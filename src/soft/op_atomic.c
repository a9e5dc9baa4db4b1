/* SPDX-License-Identifier: BSD-3-Clause */
/* CMPXCHG, XADD and their wider sisters. */
#include "soft/exchange16.h"
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

#define RAX (8 * SOFT_RAX)

#define DEFINE_CMPXCHG(bits, T)                                                                 \
    static SOFT_HANDLER(cmpxchg_##bits##_rr)                                                    \
    {                                                                                           \
        T old = SOFT_R(T, op->dst), expected = SOFT_R(T, RAX);                                  \
        soft_flags_sub(cpu, expected, old, (T)(expected - old), bits);                          \
        if (old == expected)                                                                    \
            SOFT_SET(T, op->dst, SOFT_R(T, op->src));                                           \
        else                                                                                    \
            SOFT_SET(T, RAX, old);                                                              \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    /* Memory is written in any case (SDM vol. 2A, CMPXCHG). */                                 \
    static SOFT_HANDLER(cmpxchg_##bits##_mr)                                                    \
    {                                                                                           \
        void *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                       \
        T old = soft_load##bits(at), expected = SOFT_R(T, RAX);                                 \
        soft_store##bits(at, old == expected ? SOFT_R(T, op->src) : old);                       \
        soft_modify_done(cpu, op, at);                                                          \
        soft_flags_sub(cpu, expected, old, (T)(expected - old), bits);                          \
        if (old != expected)                                                                    \
            SOFT_SET(T, RAX, old);                                                              \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(cmpxchg_##bits##_locked)                                                \
    {                                                                                           \
        T *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                          \
        T expected = SOFT_R(T, RAX), old;                                                       \
        if (soft_lock_splits(cpu, op, at, bits / 8))                                            \
            SOFT_AGAIN(cmpxchg_##bits##_mr);                                                    \
        { /* no tail call is made while `seen` lives, whose address some hosts need */          \
            T seen = expected;                                                                  \
            __atomic_compare_exchange_n(at, &seen, SOFT_R(T, op->src), false, __ATOMIC_SEQ_CST, \
                                        __ATOMIC_SEQ_CST);                                      \
            old = seen;                                                                         \
        }                                                                                       \
        soft_flags_sub(cpu, expected, old, (T)(expected - old), bits);                          \
        if (old != expected)                                                                    \
            SOFT_SET(T, RAX, old);                                                              \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(xadd_##bits##_rr)                                                       \
    {                                                                                           \
        T a = SOFT_R(T, op->dst), b = SOFT_R(T, op->src);                                       \
        soft_flags_add(cpu, a, b, (T)(a + b), bits);                                            \
        SOFT_SET(T, op->src, a);                                                                \
        SOFT_SET(T, op->dst, (T)(a + b)); /* the sum, if both are the same */                   \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(xadd_##bits##_mr)                                                       \
    {                                                                                           \
        void *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                       \
        T a = soft_load##bits(at), b = SOFT_R(T, op->src);                                      \
        soft_store##bits(at, (T)(a + b));                                                       \
        soft_modify_done(cpu, op, at);                                                          \
        soft_flags_add(cpu, a, b, (T)(a + b), bits);                                            \
        SOFT_SET(T, op->src, a);                                                                \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(xadd_##bits##_locked)                                                   \
    {                                                                                           \
        T *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                          \
        T a, b = SOFT_R(T, op->src);                                                            \
        if (soft_lock_splits(cpu, op, at, bits / 8))                                            \
            SOFT_AGAIN(xadd_##bits##_mr);                                                       \
        a = __atomic_fetch_add(at, b, __ATOMIC_SEQ_CST);                                        \
        soft_flags_add(cpu, a, b, (T)(a + b), bits);                                            \
        SOFT_SET(T, op->src, a);                                                                \
        SOFT_NEXT;                                                                              \
    }

DEFINE_CMPXCHG(8, uint8_t)
DEFINE_CMPXCHG(16, uint16_t)
DEFINE_CMPXCHG(32, uint32_t)
DEFINE_CMPXCHG(64, uint64_t)

#define SIZES(name)                                         \
    {                                                       \
        {name##_8_rr, name##_8_mr, name##_8_locked},        \
            {name##_16_rr, name##_16_mr, name##_16_locked}, \
            {name##_32_rr, name##_32_mr, name##_32_locked}, \
            {name##_64_rr, name##_64_mr, name##_64_locked}, \
    }
soft_handler *const soft_cmpxchg[4][3] = SIZES(cmpxchg);
soft_handler *const soft_xadd[4][3] = SIZES(xadd);

static void set_zf(struct soft_cpu *cpu, bool zf)
{
    uint32_t flags = soft_flags_arithmetic(cpu) & ~SOFT_ZF;

    soft_flags_set_arithmetic(cpu, flags | (zf ? SOFT_ZF : 0));
}

/* 8 bytes: EDX:EAX with ECX:EBX. */
static inline void cmpxchg8b(struct soft_cpu *cpu, const struct soft_uop *op, bool locked)
{
    uint64_t *at = soft_modify(cpu, op, soft_address(cpu, op), 8);
    uint64_t expected = cpu->r[SOFT_RDX] << 32 | (uint32_t)cpu->r[SOFT_RAX], old = expected;
    uint64_t value = cpu->r[SOFT_RCX] << 32 | (uint32_t)cpu->r[SOFT_RBX];

    if (!locked || soft_lock_splits(cpu, op, at, 8)) {
        old = soft_load64(at);
        soft_store64(at, old == expected ? value : old);
        soft_modify_done(cpu, op, at);
    } else {
        __atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    set_zf(cpu, old == expected);
    if (old != expected) {
        cpu->r[SOFT_RAX] = (uint32_t)old;
        cpu->r[SOFT_RDX] = old >> 32;
    }
}

SOFT_HANDLER(soft_op_cmpxchg8b)
{
    cmpxchg8b(cpu, op, false);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_cmpxchg8b_locked)
{
    cmpxchg8b(cpu, op, true);
    SOFT_NEXT;
}

/* 16 bytes, aligned. */
SOFT_HANDLER(soft_op_cmpxchg16b)
{
    uint64_t address = soft_address(cpu, op);
    uint64_t old[2], *at;
    bool equal;

    if ((address & 15) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    at = soft_modify(cpu, op, address, 16);
    (void)soft_lock_splits(cpu, op, at, 16); /* a copy is exchanged while nobody looks */
    equal = soft_exchange16(cpu, at, old);
    soft_modify_done(cpu, op, at);
    set_zf(cpu, equal);
    if (!equal) {
        cpu->r[SOFT_RAX] = old[0];
        cpu->r[SOFT_RDX] = old[1];
    }
    SOFT_NEXT_FROM_FRAME;
}

/* NOLINTEND(bugprone-macro-parentheses) */
