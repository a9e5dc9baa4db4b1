/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shifts, rotations, single bits, scans. Where the SDM leaves a flag undefined this is what
 * processors do: Intel's, as measured.
 */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

/* ---- shifts and rotations ---- */

#define COUNT(bits) \
    ((op->aux == 0xff ? SOFT_R(uint8_t, 8 * SOFT_RCX) : op->aux) & ((bits) == 64 ? 63u : 31u))
#define TOP(value, bits) (((value) >> ((bits)-1) & 1) != 0)

/* Each returns the new value and sets the flags. count is not 0, but may be 0 modulo the size. */
#define DEFINE_SHIFTS(bits, T)                                                              \
    static inline T rol_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        unsigned by = count % bits;                                                         \
        T value = by == 0 ? a : (T)(a << by | a >> (bits - by));                            \
        soft_flags_cf_of(cpu, (value & 1) != 0, ((value & 1) != 0) != TOP(value, bits));    \
        return value;                                                                       \
    }                                                                                       \
    static inline T ror_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        unsigned by = count % bits;                                                         \
        T value = by == 0 ? a : (T)(a >> by | a << (bits - by));                            \
        soft_flags_cf_of(cpu, TOP(value, bits), TOP(value, bits) != TOP(value << 1, bits)); \
        return value;                                                                       \
    }                                                                                       \
    static inline T rcl_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        unsigned by = count % (bits + 1);                                                   \
        bool cf = soft_cf(cpu);                                                             \
        T value = a;                                                                        \
        if (by != 0) {                                                                      \
            value = (T)((by == bits ? 0 : (T)(a << by)) | (T)((T)cf << (by - 1)) |          \
                        (by == 1 ? 0 : a >> (bits + 1 - by)));                              \
            cf = (a >> (bits - by) & 1) != 0;                                               \
        }                                                                                   \
        soft_flags_cf_of(cpu, cf, cf != TOP(value, bits));                                  \
        return value;                                                                       \
    }                                                                                       \
    static inline T rcr_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        unsigned by = count % (bits + 1);                                                   \
        bool cf = soft_cf(cpu);                                                             \
        T value = a;                                                                        \
        if (by != 0) {                                                                      \
            value = (T)((by == bits ? 0 : (T)(a >> by)) | (T)((T)cf << (bits - by)) |       \
                        (by == 1 ? 0 : (T)(a << (bits + 1 - by))));                         \
            cf = (a >> (by - 1) & 1) != 0;                                                  \
        }                                                                                   \
        soft_flags_cf_of(cpu, cf, TOP(value, bits) != TOP(value << 1, bits));               \
        return value;                                                                       \
    }                                                                                       \
    static inline T shl_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        T value = count >= bits ? 0 : (T)(a << count);                                      \
        bool cf = count <= bits && (a >> (bits - count) & 1) != 0;                          \
        soft_flags_result(cpu, value, bits, cf, cf != TOP(value, bits));                    \
        return value;                                                                       \
    }                                                                                       \
    static inline T shr_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        T value = count >= bits ? 0 : (T)(a >> count);                                      \
        bool cf = count <= bits && (a >> (count - 1) & 1) != 0;                             \
        soft_flags_result(cpu, value, bits, cf, TOP(value, bits) != TOP(value << 1, bits)); \
        return value;                                                                       \
    }                                                                                       \
    static inline T sar_##bits(struct soft_cpu *cpu, T a, unsigned count)                   \
    {                                                                                       \
        int64_t wide = (int64_t)SOFT_SIGNED(a, bits);                                       \
        T value = (T)(wide >> count);                                                       \
        bool cf = (wide >> (count - 1) & 1) != 0;                                           \
        soft_flags_result(cpu, value, bits, cf, false);                                     \
        return value;                                                                       \
    }

DEFINE_SHIFTS(8, uint8_t)
DEFINE_SHIFTS(16, uint16_t)
DEFINE_SHIFTS(32, uint32_t)
DEFINE_SHIFTS(64, uint64_t)

#define DEFINE_SHIFT_FORMS(name, bits, T)                                 \
    static SOFT_HANDLER(name##_##bits##_r)                                \
    {                                                                     \
        unsigned count = COUNT(bits);                                     \
        T value = SOFT_R(T, op->dst);                                     \
        if (count != 0)                                                   \
            value = name##_##bits(cpu, value, count);                     \
        SOFT_SET(T, op->dst, value);                                      \
        SOFT_NEXT;                                                        \
    }                                                                     \
    static SOFT_HANDLER(name##_##bits##_m)                                \
    {                                                                     \
        unsigned count = COUNT(bits);                                     \
        void *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8); \
        uint64_t result = cpu->result, aux = cpu->aux;                    \
        T value = soft_load##bits(at);                                    \
        if (count != 0)                                                   \
            value = name##_##bits(cpu, value, count);                     \
        soft_store##bits(at, value);                                      \
        soft_modify_done_flags(cpu, op, at, result, aux);                 \
        SOFT_NEXT;                                                        \
    }
#define DEFINE_ALL_SHIFTS(bits, T)   \
    DEFINE_SHIFT_FORMS(rol, bits, T) \
    DEFINE_SHIFT_FORMS(ror, bits, T) \
    DEFINE_SHIFT_FORMS(rcl, bits, T) \
    DEFINE_SHIFT_FORMS(rcr, bits, T) \
    DEFINE_SHIFT_FORMS(shl, bits, T) \
    DEFINE_SHIFT_FORMS(shr, bits, T) \
    DEFINE_SHIFT_FORMS(sar, bits, T)

DEFINE_ALL_SHIFTS(8, uint8_t)
DEFINE_ALL_SHIFTS(16, uint16_t)
DEFINE_ALL_SHIFTS(32, uint32_t)
DEFINE_ALL_SHIFTS(64, uint64_t)

#define SHIFT_SIZES(name)                                                                 \
    {                                                                                     \
        {name##_8_r, name##_8_m}, {name##_16_r, name##_16_m}, {name##_32_r, name##_32_m}, \
            {name##_64_r, name##_64_m},                                                   \
    }
soft_handler *const soft_shift[SOFT_SHIFTS][4][2] = {
    [SOFT_ROL] = SHIFT_SIZES(rol), [SOFT_ROR] = SHIFT_SIZES(ror), [SOFT_RCL] = SHIFT_SIZES(rcl),
    [SOFT_RCR] = SHIFT_SIZES(rcr), [SOFT_SHL] = SHIFT_SIZES(shl), [SOFT_SHR] = SHIFT_SIZES(shr),
    [SOFT_SAL] = SHIFT_SIZES(shl), [SOFT_SAR] = SHIFT_SIZES(sar),
};

/* ---- SHLD, SHRD: with 16 bits and a count above 16 the value is that of a longer shift of
 * dst:src:dst ---- */

#define DEFINE_DOUBLE(bits, T)                                                                 \
    static inline T shld_##bits(struct soft_cpu *cpu, T a, T b, unsigned count)                \
    {                                                                                          \
        T value, out = (T)(count <= bits ? a >> (bits - count) : b >> (2 * bits - count));     \
        if (count < bits)                                                                      \
            value = (T)(a << count | b >> (bits - count));                                     \
        else                                                                                   \
            value = (T)(count == bits ? b : b << (count - bits) | a >> (2 * bits - count));    \
        soft_flags_result(cpu, value, bits, (out & 1) != 0, TOP(value, bits) != TOP(a, bits)); \
        return value;                                                                          \
    }                                                                                          \
    static inline T shrd_##bits(struct soft_cpu *cpu, T a, T b, unsigned count)                \
    {                                                                                          \
        T value, out = (T)(count <= bits ? a >> (count - 1) : b >> (count - bits - 1));        \
        if (count < bits)                                                                      \
            value = (T)(a >> count | b << (bits - count));                                     \
        else                                                                                   \
            value = (T)(count == bits ? b : b >> (count - bits) | a << (2 * bits - count));    \
        soft_flags_result(cpu, value, bits, (out & 1) != 0, TOP(value, bits) != TOP(a, bits)); \
        return value;                                                                          \
    }                                                                                          \
    DEFINE_DOUBLE_FORMS(shld, bits, T)                                                         \
    DEFINE_DOUBLE_FORMS(shrd, bits, T)
#define DEFINE_DOUBLE_FORMS(name, bits, T)                                \
    static SOFT_HANDLER(name##_##bits##_r)                                \
    {                                                                     \
        unsigned count = COUNT(bits);                                     \
        T value = SOFT_R(T, op->dst);                                     \
        if (count != 0)                                                   \
            value = name##_##bits(cpu, value, SOFT_R(T, op->src), count); \
        SOFT_SET(T, op->dst, value);                                      \
        SOFT_NEXT;                                                        \
    }                                                                     \
    static SOFT_HANDLER(name##_##bits##_m)                                \
    {                                                                     \
        unsigned count = COUNT(bits);                                     \
        uint64_t result = cpu->result, aux = cpu->aux;                    \
        void *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8); \
        T value = soft_load##bits(at);                                    \
        if (count != 0)                                                   \
            value = name##_##bits(cpu, value, SOFT_R(T, op->src), count); \
        soft_store##bits(at, value);                                      \
        soft_modify_done_flags(cpu, op, at, result, aux);                 \
        SOFT_NEXT;                                                        \
    }

DEFINE_DOUBLE(16, uint16_t)
DEFINE_DOUBLE(32, uint32_t)
DEFINE_DOUBLE(64, uint64_t)

#define DOUBLE_SIZES(name)                                                    \
    {                                                                         \
        {NULL, NULL}, {name##_16_r, name##_16_m}, {name##_32_r, name##_32_m}, \
            {name##_64_r, name##_64_m},                                       \
    }
soft_handler *const soft_double_shift[2][4][2] = {DOUBLE_SIZES(shld), DOUBLE_SIZES(shrd)};

/* ---- BT, BTS, BTR, BTC ---- */

#define BT_bt(value, bit)  (value)
#define BT_bts(value, bit) ((value) | (bit))
#define BT_btr(value, bit) ((value) & ~(bit))
#define BT_btc(value, bit) ((value) ^ (bit))

/* Only CF changes. */
static inline void set_cf(struct soft_cpu *cpu, bool cf)
{
    soft_flags_keep_cf(cpu, cf);
}

/* The operand in memory that a bit offset in a register of any value leads to. */
#define BIT_ADDRESS(bits, T, index) \
    (soft_address(cpu, op) +        \
     (uint64_t)(((int64_t)(int##bits##_t)(index) >> SHIFT_##bits) * (bits / 8)))
#define SHIFT_16 4
#define SHIFT_32 5
#define SHIFT_64 6

#define DEFINE_BIT(name, bits, T)                                                           \
    static SOFT_HANDLER(name##_##bits##_rr)                                                 \
    {                                                                                       \
        T bit = (T)((T)1 << (SOFT_R(T, op->src) & (bits - 1))), value = SOFT_R(T, op->dst); \
        set_cf(cpu, (value & bit) != 0);                                                    \
        SOFT_SET(T, op->dst, BT_##name(value, bit));                                        \
        SOFT_NEXT;                                                                          \
    }                                                                                       \
    static SOFT_HANDLER(name##_##bits##_ri)                                                 \
    {                                                                                       \
        T bit = (T)((T)1 << (op->imm & (bits - 1))), value = SOFT_R(T, op->dst);            \
        set_cf(cpu, (value & bit) != 0);                                                    \
        SOFT_SET(T, op->dst, BT_##name(value, bit));                                        \
        SOFT_NEXT;                                                                          \
    }
#define DEFINE_BIT_MEMORY(name, form, bits, T, index, address)                            \
    static SOFT_HANDLER(name##_##bits##_##form)                                           \
    {                                                                                     \
        T bit = (T)((T)1 << ((index) & (bits - 1))), value;                               \
        void *at = soft_modify(cpu, op, (address), bits / 8);                             \
        value = soft_load##bits(at);                                                      \
        soft_store##bits(at, (T)BT_##name(value, bit));                                   \
        soft_modify_done(cpu, op, at);                                                    \
        set_cf(cpu, (value & bit) != 0);                                                  \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(name##_##bits##_locked_##form)                                    \
    {                                                                                     \
        T bit = (T)((T)1 << ((index) & (bits - 1))), value;                               \
        T *at = soft_modify(cpu, op, (address), bits / 8);                                \
        if (soft_lock_splits(cpu, op, at, bits / 8))                                      \
            SOFT_AGAIN(name##_##bits##_##form);                                           \
        { /* no tail call is made while `seen` lives, whose address some hosts need */    \
            T seen = __atomic_load_n(at, __ATOMIC_RELAXED);                               \
            while (!__atomic_compare_exchange_n(at, &seen, (T)BT_##name(seen, bit), true, \
                                                __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {    \
            }                                                                             \
            value = seen;                                                                 \
        }                                                                                 \
        set_cf(cpu, (value & bit) != 0);                                                  \
        SOFT_NEXT;                                                                        \
    }
#define DEFINE_BIT_SIZE(bits, T)                                                         \
    DEFINE_BIT(bts, bits, T)                                                             \
    DEFINE_BIT(btr, bits, T)                                                             \
    DEFINE_BIT(btc, bits, T)                                                             \
    DEFINE_BIT_MEMORY(bts, mr, bits, T, SOFT_R(T, op->src),                              \
                      BIT_ADDRESS(bits, T, SOFT_R(T, op->src)))                          \
    DEFINE_BIT_MEMORY(btr, mr, bits, T, SOFT_R(T, op->src),                              \
                      BIT_ADDRESS(bits, T, SOFT_R(T, op->src)))                          \
    DEFINE_BIT_MEMORY(btc, mr, bits, T, SOFT_R(T, op->src),                              \
                      BIT_ADDRESS(bits, T, SOFT_R(T, op->src)))                          \
    DEFINE_BIT_MEMORY(bts, mi, bits, T, op->imm, soft_address(cpu, op))                  \
    DEFINE_BIT_MEMORY(btr, mi, bits, T, op->imm, soft_address(cpu, op))                  \
    DEFINE_BIT_MEMORY(btc, mi, bits, T, op->imm, soft_address(cpu, op))                  \
    static SOFT_HANDLER(bt_##bits##_rr)                                                  \
    {                                                                                    \
        set_cf(cpu, (SOFT_R(T, op->dst) >> (SOFT_R(T, op->src) & (bits - 1)) & 1) != 0); \
        SOFT_NEXT;                                                                       \
    }                                                                                    \
    static SOFT_HANDLER(bt_##bits##_ri)                                                  \
    {                                                                                    \
        set_cf(cpu, (SOFT_R(T, op->dst) >> (op->imm & (bits - 1)) & 1) != 0);            \
        SOFT_NEXT;                                                                       \
    }                                                                                    \
    static SOFT_HANDLER(bt_##bits##_mr)                                                  \
    {                                                                                    \
        T value = soft_read##bits(cpu, op, BIT_ADDRESS(bits, T, SOFT_R(T, op->src)));    \
        set_cf(cpu, (value >> (SOFT_R(T, op->src) & (bits - 1)) & 1) != 0);              \
        SOFT_NEXT;                                                                       \
    }                                                                                    \
    static SOFT_HANDLER(bt_##bits##_mi)                                                  \
    {                                                                                    \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));                       \
        set_cf(cpu, (value >> (op->imm & (bits - 1)) & 1) != 0);                         \
        SOFT_NEXT;                                                                       \
    }

DEFINE_BIT_SIZE(16, uint16_t)
DEFINE_BIT_SIZE(32, uint32_t)
DEFINE_BIT_SIZE(64, uint64_t)

#define BIT_FORMS(name, bits)                                           \
    {                                                                   \
        [SOFT_RR] = name##_##bits##_rr, [SOFT_RI] = name##_##bits##_ri, \
        [SOFT_MR] = name##_##bits##_mr, [SOFT_MI] = name##_##bits##_mi, \
        [SOFT_LOCKED_MR] = name##_##bits##_locked_mr,                   \
        [SOFT_LOCKED_MI] = name##_##bits##_locked_mi,                   \
    }
#define BT_FORMS(bits)                                                                      \
    {                                                                                       \
        [SOFT_RR] = bt_##bits##_rr, [SOFT_RI] = bt_##bits##_ri, [SOFT_MR] = bt_##bits##_mr, \
        [SOFT_MI] = bt_##bits##_mi,                                                         \
    }
soft_handler *const soft_bit[SOFT_BITS][4][SOFT_FORMS] = {
    [SOFT_BT] = {{NULL}, BT_FORMS(16), BT_FORMS(32), BT_FORMS(64)},
    [SOFT_BTS] = {{NULL}, BIT_FORMS(bts, 16), BIT_FORMS(bts, 32), BIT_FORMS(bts, 64)},
    [SOFT_BTR] = {{NULL}, BIT_FORMS(btr, 16), BIT_FORMS(btr, 32), BIT_FORMS(btr, 64)},
    [SOFT_BTC] = {{NULL}, BIT_FORMS(btc, 16), BIT_FORMS(btc, 32), BIT_FORMS(btc, 64)},
};

/* ---- scans ---- */

/* ZF and CF mean something; the others are those of the result, or 0. BSF and BSR of 0 leave the
 * destination alone, but clear the upper half of a 32-bit one no more than that. */
#define DEFINE_SCANS(bits, T)                                                                \
    static inline void bsf_##bits(struct soft_cpu *cpu, unsigned dst, T value)               \
    {                                                                                        \
        soft_flags_logic(cpu, value, bits);                                                  \
        if (value != 0)                                                                      \
            SOFT_SET(T, dst, __builtin_ctzll(value));                                        \
    }                                                                                        \
    static inline void bsr_##bits(struct soft_cpu *cpu, unsigned dst, T value)               \
    {                                                                                        \
        soft_flags_logic(cpu, value, bits);                                                  \
        if (value != 0)                                                                      \
            SOFT_SET(T, dst, 63 - __builtin_clzll(value));                                   \
    }                                                                                        \
    static inline void tzcnt_##bits(struct soft_cpu *cpu, unsigned dst, T value)             \
    {                                                                                        \
        unsigned count = value == 0 ? bits : (unsigned)__builtin_ctzll(value);               \
        soft_flags_result(cpu, count, bits, value == 0, false);                              \
        SOFT_SET(T, dst, count);                                                             \
    }                                                                                        \
    static inline void lzcnt_##bits(struct soft_cpu *cpu, unsigned dst, T value)             \
    {                                                                                        \
        unsigned count = value == 0 ? bits : (unsigned)__builtin_clzll(value) - (64 - bits); \
        soft_flags_result(cpu, count, bits, value == 0, false);                              \
        SOFT_SET(T, dst, count);                                                             \
    }                                                                                        \
    static inline void popcnt_##bits(struct soft_cpu *cpu, unsigned dst, T value)            \
    {                                                                                        \
        unsigned count = (unsigned)__builtin_popcountll(value);                              \
        soft_flags_set_arithmetic(cpu, value == 0 ? SOFT_ZF : 0);                            \
        SOFT_SET(T, dst, count);                                                             \
    }                                                                                        \
    DEFINE_SCAN_FORMS(bsf, bits, T)                                                          \
    DEFINE_SCAN_FORMS(bsr, bits, T)                                                          \
    DEFINE_SCAN_FORMS(tzcnt, bits, T)                                                        \
    DEFINE_SCAN_FORMS(lzcnt, bits, T)                                                        \
    DEFINE_SCAN_FORMS(popcnt, bits, T)
#define DEFINE_SCAN_FORMS(name, bits, T)                                              \
    static SOFT_HANDLER(name##_##bits##_rr)                                           \
    {                                                                                 \
        name##_##bits(cpu, op->dst, SOFT_R(T, op->src));                              \
        SOFT_NEXT;                                                                    \
    }                                                                                 \
    static SOFT_HANDLER(name##_##bits##_rm)                                           \
    {                                                                                 \
        name##_##bits(cpu, op->dst, soft_read##bits(cpu, op, soft_address(cpu, op))); \
        SOFT_NEXT;                                                                    \
    }

DEFINE_SCANS(16, uint16_t)
DEFINE_SCANS(32, uint32_t)
DEFINE_SCANS(64, uint64_t)

#define SCAN_SIZES(name)                                                          \
    {                                                                             \
        {NULL, NULL}, {name##_16_rr, name##_16_rm}, {name##_32_rr, name##_32_rm}, \
            {name##_64_rr, name##_64_rm},                                         \
    }
soft_handler *const soft_scan[SOFT_SCANS][4][2] = {
    [SOFT_BSF] = SCAN_SIZES(bsf),       [SOFT_BSR] = SCAN_SIZES(bsr),
    [SOFT_TZCNT] = SCAN_SIZES(tzcnt),   [SOFT_LZCNT] = SCAN_SIZES(lzcnt),
    [SOFT_POPCNT] = SCAN_SIZES(popcnt),
};

/* NOLINTEND(bugprone-macro-parentheses) */
