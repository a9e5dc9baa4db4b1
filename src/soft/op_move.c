/* SPDX-License-Identifier: BSD-3-Clause */
/* Moves between registers and memory, and linear addresses. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/stack.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

/* ---- MOV, MOVZX, MOVSX, LEA, CMOVcc, XCHG ---- */

#define DEFINE_MOVES(bits, T)                                                             \
    static SOFT_HANDLER(mov_##bits##_rr)                                                  \
    {                                                                                     \
        SOFT_SET(T, op->dst, SOFT_R(T, op->src));                                         \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(mov_##bits##_ri)                                                  \
    {                                                                                     \
        SOFT_SET(T, op->dst, op->imm);                                                    \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(mov_##bits##_rm)                                                  \
    {                                                                                     \
        SOFT_SET(T, op->dst, soft_read##bits(cpu, op, soft_address(cpu, op)));            \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(mov_##bits##_mr)                                                  \
    {                                                                                     \
        soft_write##bits(cpu, op, soft_address(cpu, op), SOFT_R(T, op->src));             \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(mov_##bits##_mi)                                                  \
    {                                                                                     \
        soft_write##bits(cpu, op, soft_address(cpu, op), (T)op->imm);                     \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(lea_##bits)                                                       \
    {                                                                                     \
        uint64_t address = soft_address(cpu, op);                                         \
        /* aux: bytes of the address */                                                   \
        if (op->aux != 8)                                                                 \
            address = op->aux == 4 ? (uint32_t)address : (uint16_t)address;               \
        SOFT_SET(T, op->dst, address);                                                    \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    /* The upper half of a 32-bit destination is cleared in any case. */                  \
    static SOFT_HANDLER(cmov_##bits##_rr)                                                 \
    {                                                                                     \
        T value = soft_condition(cpu, op->aux) ? SOFT_R(T, op->src) : SOFT_R(T, op->dst); \
        SOFT_SET(T, op->dst, value);                                                      \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(cmov_##bits##_rm)                                                 \
    {                                                                                     \
        T value = soft_read##bits(cpu, op, soft_address(cpu, op));                        \
        SOFT_SET(T, op->dst, soft_condition(cpu, op->aux) ? value : SOFT_R(T, op->dst));  \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(xchg_##bits##_rr)                                                 \
    {                                                                                     \
        T value = SOFT_R(T, op->dst);                                                     \
        SOFT_SET(T, op->dst, SOFT_R(T, op->src));                                         \
        SOFT_SET(T, op->src, value);                                                      \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(xchg_##bits##_mr)                                                 \
    {                                                                                     \
        T *at = soft_modify(cpu, op, soft_address(cpu, op), bits / 8);                    \
        T value;                                                                          \
        if (soft_lock_splits(cpu, op, at, bits / 8)) {                                    \
            value = soft_load##bits(at);                                                  \
            soft_store##bits(at, SOFT_R(T, op->src));                                     \
            soft_modify_done(cpu, op, at);                                                \
        } else {                                                                          \
            value = __atomic_exchange_n(at, SOFT_R(T, op->src), __ATOMIC_SEQ_CST);        \
        }                                                                                 \
        SOFT_SET(T, op->src, value);                                                      \
        SOFT_NEXT;                                                                        \
    }

DEFINE_MOVES(8, uint8_t)
DEFINE_MOVES(16, uint16_t)
DEFINE_MOVES(32, uint32_t)
DEFINE_MOVES(64, uint64_t)

#define MOV_FORMS(bits)                                                                     \
    {                                                                                       \
        mov_##bits##_rr, mov_##bits##_ri, mov_##bits##_rm, mov_##bits##_mr, mov_##bits##_mi \
    }
soft_handler *const soft_mov[4][SOFT_FORMS] = {MOV_FORMS(8), MOV_FORMS(16), MOV_FORMS(32),
                                               MOV_FORMS(64)};
soft_handler *const soft_lea[4] = {lea_8, lea_16, lea_32, lea_64};
soft_handler *const soft_cmov[4][2] = {{cmov_8_rr, cmov_8_rm},
                                       {cmov_16_rr, cmov_16_rm},
                                       {cmov_32_rr, cmov_32_rm},
                                       {cmov_64_rr, cmov_64_rm}};
soft_handler *const soft_xchg[4][2] = {{xchg_8_rr, xchg_8_mr},
                                       {xchg_16_rr, xchg_16_mr},
                                       {xchg_32_rr, xchg_32_mr},
                                       {xchg_64_rr, xchg_64_mr}};

/* From F to T by way of the signed or unsigned type X. */
#define DEFINE_EXTEND(name, from, X, to, T)                                          \
    static SOFT_HANDLER(name##_##from##_##to##_rr)                                   \
    {                                                                                \
        SOFT_SET(T, op->dst, (T)(X)SOFT_R(uint##from##_t, op->src));                 \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(name##_##from##_##to##_rm)                                   \
    {                                                                                \
        SOFT_SET(T, op->dst, (T)(X)soft_read##from(cpu, op, soft_address(cpu, op))); \
        SOFT_NEXT;                                                                   \
    }
#define DEFINE_EXTENDS(from)                                \
    DEFINE_EXTEND(zero, from, uint##from##_t, 16, uint16_t) \
    DEFINE_EXTEND(zero, from, uint##from##_t, 32, uint32_t) \
    DEFINE_EXTEND(zero, from, uint##from##_t, 64, uint64_t) \
    DEFINE_EXTEND(sign, from, int##from##_t, 16, uint16_t)  \
    DEFINE_EXTEND(sign, from, int##from##_t, 32, uint32_t)  \
    DEFINE_EXTEND(sign, from, int##from##_t, 64, uint64_t)

DEFINE_EXTENDS(8)
DEFINE_EXTENDS(16)
DEFINE_EXTENDS(32)

#define EXTEND_ROW(name, from)                              \
    {                                                       \
        {name##_##from##_16_rr, name##_##from##_16_rm},     \
            {name##_##from##_32_rr, name##_##from##_32_rm}, \
            {name##_##from##_64_rr, name##_##from##_64_rm}, \
    }
soft_handler *const soft_extend[2][3][3][2] = {
    {EXTEND_ROW(zero, 8), EXTEND_ROW(zero, 16), EXTEND_ROW(zero, 32)},
    {EXTEND_ROW(sign, 8), EXTEND_ROW(sign, 16), EXTEND_ROW(sign, 32)},
};

static SOFT_HANDLER(setcc_r)
{
    SOFT_R(uint8_t, op->dst) = soft_condition(cpu, op->aux);
    SOFT_NEXT;
}

static SOFT_HANDLER(setcc_m)
{
    soft_write8(cpu, op, soft_address(cpu, op), soft_condition(cpu, op->aux));
    SOFT_NEXT;
}

soft_handler *const soft_setcc[2] = {setcc_r, setcc_m};

/* "The result is undefined" (SDM vol. 2A, BSWAP): processors leave a zero, and the rest alone. */
static SOFT_HANDLER(bswap_16)
{
    SOFT_R(uint16_t, op->dst) = 0;
    SOFT_NEXT;
}

static SOFT_HANDLER(bswap_32)
{
    SOFT_SET(uint32_t, op->dst, __builtin_bswap32(SOFT_R(uint32_t, op->dst)));
    SOFT_NEXT;
}

static SOFT_HANDLER(bswap_64)
{
    SOFT_R(uint64_t, op->dst) = __builtin_bswap64(SOFT_R(uint64_t, op->dst));
    SOFT_NEXT;
}

soft_handler *const soft_bswap[3] = {bswap_16, bswap_32, bswap_64};

#define DEFINE_MOVBE(bits)                                                                \
    static SOFT_HANDLER(movbe_##bits##_rm)                                                \
    {                                                                                     \
        SOFT_SET(uint##bits##_t, op->dst,                                                 \
                 __builtin_bswap##bits(soft_read##bits(cpu, op, soft_address(cpu, op)))); \
        SOFT_NEXT;                                                                        \
    }                                                                                     \
    static SOFT_HANDLER(movbe_##bits##_mr)                                                \
    {                                                                                     \
        soft_write##bits(cpu, op, soft_address(cpu, op),                                  \
                         __builtin_bswap##bits(SOFT_R(uint##bits##_t, op->src)));         \
        SOFT_NEXT;                                                                        \
    }
DEFINE_MOVBE(16)
DEFINE_MOVBE(32)
DEFINE_MOVBE(64)

soft_handler *const soft_movbe[4][2] = {{NULL, NULL},
                                        {movbe_16_rm, movbe_16_mr},
                                        {movbe_32_rm, movbe_32_mr},
                                        {movbe_64_rm, movbe_64_mr}};

/* CBW, CWDE, CDQE; CWD, CDQ, CQO. */
#define DEFINE_CONVERT(to, from)                                                                   \
    static SOFT_HANDLER(convert_##to)                                                              \
    {                                                                                              \
        SOFT_SET(uint##to##_t, 8 * SOFT_RAX, (int##from##_t)SOFT_R(uint##from##_t, 8 * SOFT_RAX)); \
        SOFT_NEXT;                                                                                 \
    }                                                                                              \
    static SOFT_HANDLER(spread_##to)                                                               \
    {                                                                                              \
        SOFT_SET(uint##to##_t, 8 * SOFT_RDX,                                                       \
                 SOFT_R(uint##to##_t, 8 * SOFT_RAX) >> (to - 1) != 0 ? ~UINT64_C(0) : 0);          \
        SOFT_NEXT;                                                                                 \
    }
DEFINE_CONVERT(16, 8)
DEFINE_CONVERT(32, 16)
DEFINE_CONVERT(64, 32)

soft_handler *const soft_convert[4] = {NULL, convert_16, convert_32, convert_64};
soft_handler *const soft_spread[4] = {NULL, spread_16, spread_32, spread_64};

/* ---- linear addresses ----
 *
 * aux is the segment; the address before it is soft_address(), cut to aux2 bytes. */

SOFT_HANDLER(soft_op_ea64)
{
    cpu->r[SOFT_REG_EA] = soft_address(cpu, op) + cpu->seg[op->aux].base;
    SOFT_NEXT;
}

/* In 64-bit mode with an address of 32 bits. */
SOFT_HANDLER(soft_op_ea32)
{
    cpu->r[SOFT_REG_EA] = (uint32_t)soft_address(cpu, op) + cpu->seg[op->aux].base;
    SOFT_NEXT;
}

/* A flat segment elsewhere. */
SOFT_HANDLER(soft_op_ea_flat)
{
    uint64_t address = soft_address(cpu, op);

    cpu->r[SOFT_REG_EA] = (op->aux2 & 0x7f) == 2 ? (uint16_t)address : (uint32_t)address;
    SOFT_NEXT;
}

/* Any segment; src: bytes of the access, src2: whether it writes (SDM vol. 3A, 5.3 to 5.5). */
SOFT_HANDLER(soft_op_ea_checked)
{
    uint64_t offset = soft_address(cpu, op);

    offset = (op->aux2 & 0x7f) == 2 ? (uint16_t)offset : (uint32_t)offset;
    cpu->r[SOFT_REG_EA] = soft_segment_linear(cpu, op, op->aux, offset, op->src, op->src2 != 0);
    SOFT_NEXT;
}

/* NOLINTEND(bugprone-macro-parentheses) */
