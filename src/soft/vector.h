/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MMX, SSE and AVX: what their files share.
 *
 * What an instruction computes is a function of 128-bit lanes; what surrounds it (registers or
 * memory, legacy or VEX encoding, one lane or two, MMX) is a handful of handlers, each for all of
 * these functions. The lane's function is in the micro-operation's imm, an immediate byte in aux.
 *
 *   op_vector.c            the handlers around lanes
 *   op_vector_move.c       moves, and all that is no function of lanes
 *   op_vector_integer.c    lanes: integer arithmetic and logic
 *   op_vector_shuffle.c    lanes: moves inside of registers
 *   op_vector_float.c      lanes: floating point, on vector_float.c
 *   op_vector_fma.c        fused multiplications and additions
 *   op_vector_convert.c    floating point from and to other registers and flags
 *   op_vector_crypto.c     lanes: AES, SHA, carry-less multiplication
 *   op_vector_string.c     comparison of strings
 *   op_vector_mask.c       what a mask chooses: blends, masked moves, gathers
 *   translate_vector.c     which handler and which lane an instruction is
 */
#ifndef VISOR_SOFT_VECTOR_H
#define VISOR_SOFT_VECTOR_H

#include <string.h>

#include "soft/memory.h"
#include "soft/uop.h"
#include "soft/vector_float.h"

typedef uint64_t soft_v128 __attribute__((vector_size(16)));
typedef uint8_t soft_u8x16 __attribute__((vector_size(16)));
typedef uint16_t soft_u16x8 __attribute__((vector_size(16)));
typedef uint32_t soft_u32x4 __attribute__((vector_size(16)));
typedef int8_t soft_s8x16 __attribute__((vector_size(16)));
typedef int16_t soft_s16x8 __attribute__((vector_size(16)));
typedef int32_t soft_s32x4 __attribute__((vector_size(16)));
typedef int64_t soft_s64x2 __attribute__((vector_size(16)));

/* A lane by its elements. */
union soft_elements {
    soft_v128 v;
    uint8_t u8[16];
    uint16_t u16[8];
    uint32_t u32[4];
    uint64_t u64[2];
    int8_t s8[16];
    int16_t s16[8];
    int32_t s32[4];
    int64_t s64[2];
    float f32[4];
    double f64[2];
};

/* a: the first source, which is the destination of legacy encodings; b: the last one. */
typedef soft_v128 soft_lane(soft_v128 a, soft_v128 b, unsigned imm);
#define SOFT_LANE(name)                                             \
    soft_v128 soft_lane_##name(__attribute__((unused)) soft_v128 a, \
                               __attribute__((unused)) soft_v128 b, \
                               __attribute__((unused)) unsigned imm)

/* The same of floating point, which also signals. */
typedef soft_v128 soft_float_lane(struct soft_fp *fp, soft_v128 a, soft_v128 b, unsigned imm);
#define SOFT_FLOAT_LANE(name)                                                            \
    soft_v128 soft_float_lane_##name(                                                    \
        __attribute__((unused)) struct soft_fp *fp, __attribute__((unused)) soft_v128 a, \
        __attribute__((unused)) soft_v128 b, __attribute__((unused)) unsigned imm)

/* Sets the flags in MXCSR, and raises #XM if one of them is not masked. */
void soft_fp_signal(struct soft_cpu *cpu, const struct soft_uop *op, const struct soft_fp *fp);
static inline void soft_fp_done(struct soft_cpu *cpu, const struct soft_uop *op,
                                const struct soft_fp *fp)
{
    if (SOFT_UNLIKELY(((fp->flags | fp->kept) & ~(cpu->mxcsr & cpu->mxcsr >> SOFT_FP_MASK_SHIFT)) != 0))
        soft_fp_signal(cpu, op, fp);
}

/* The halves of a vector register. */
static inline soft_v128 *soft_v(struct soft_cpu *cpu, unsigned number)
{
    return (soft_v128 *)(void *)&cpu->v[number];
}

static inline soft_v128 soft_v128_of(uint64_t low, uint64_t high)
{
    return (soft_v128){low, high};
}

/* ---- memory ---- */

static inline soft_v128 soft_read128(struct soft_cpu *cpu, const struct soft_uop *op,
                                     uint64_t address)
{
    const void *pointer = soft_read_pointer(cpu, address, 16);
    soft_v128 value;

    if (SOFT_LIKELY(pointer != NULL))
        memcpy(&value, pointer, 16);
    else
        soft_read_as(&value, cpu, op, address, 16, soft_rights(cpu));
    return value;
}

static inline void soft_write128(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                                 soft_v128 value)
{
    void *pointer = soft_write_pointer(cpu, address, 16);

    if (SOFT_LIKELY(pointer != NULL))
        memcpy(pointer, &value, 16);
    else
        soft_write_as(cpu, op, address, &value, 16, soft_rights(cpu));
}

struct soft_pair {
    soft_v128 half[2];
};

static inline struct soft_pair soft_pair_of(struct soft_cpu *cpu, unsigned number)
{
    return (struct soft_pair){{soft_v(cpu, number)[0], soft_v(cpu, number)[1]}};
}

static inline struct soft_pair soft_read_pair(struct soft_cpu *cpu, const struct soft_uop *op,
                                              uint64_t address)
{
    const void *pointer = soft_read_pointer(cpu, address, 32);
    struct soft_pair value;

    if (SOFT_LIKELY(pointer != NULL))
        memcpy(&value, pointer, 32);
    else
        soft_read_as(&value, cpu, op, address, 32, soft_rights(cpu));
    return value;
}

/* The address of an operand that has to be aligned to `size` bytes (SDM vol. 1, 11.4.5). */
static inline uint64_t soft_aligned(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size)
{
    uint64_t address = soft_address(cpu, op);

    if (SOFT_UNLIKELY((address & (size - 1)) != 0))
        soft_raise_error(cpu, op, SOFT_GP, 0);
    return address;
}

/* 1 to 8 bytes, zero-extended, or 16. */
soft_v128 soft_read_small(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size);

/* ---- MMX ---- */

/* Before anything else an MMX instruction does: pending x87 exceptions. */
static inline void soft_mmx_check(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (SOFT_UNLIKELY((cpu->fpu.status & 0x80) != 0))
        soft_raise(cpu, op, SOFT_MF);
}

/* When it is complete: all registers are in use, the first is the top (SDM vol. 1, 9.5.1). */
static inline void soft_mmx_done(struct soft_cpu *cpu)
{
    cpu->fpu.top = 0;
    cpu->fpu.used = 0xff;
}

static inline void soft_mmx_set(struct soft_cpu *cpu, unsigned number, uint64_t value)
{
    cpu->fpu.st[number].significand = value;
    cpu->fpu.st[number].sign_exponent = 0xffff;
}

/* ---- handlers, for the translator ---- */

/* Where the last source comes from. */
enum soft_source {
    SOFT_FROM_REGISTER,  /* src2 */
    SOFT_FROM_MEMORY,    /* the whole lane or both: aligned, if the encoding is a legacy one */
    SOFT_FROM_SMALL,     /* src2 bytes of memory, of any alignment */
    SOFT_FROM_GPR,       /* src2 */
    SOFT_FROM_IMMEDIATE, /* aux */
    SOFT_SOURCES
};

enum soft_encoding {
    SOFT_LEGACY, /* the register's upper half is kept */
    SOFT_VEX128, /* it is cleared */
    SOFT_VEX256,
    SOFT_ENCODINGS
};

/* How lanes go together in 256 bits; it makes no difference in 128 bits. */
enum soft_lane_kind {
    SOFT_EACH,  /* lane by lane; aux2: bits of the immediate that are the lower lane's alone */
    SOFT_EACH2, /* for the translator: the same with 2, 3, 4 of these bits */
    SOFT_EACH3,
    SOFT_EACH4,
    SOFT_COUNT,  /* the same last source for both */
    SOFT_WIDEN,  /* the same, and imm says which of its parts: 0, 1 */
    SOFT_NARROW, /* the results are the low halves, together one lane */
    SOFT_LANE_KINDS
};

/* Operations that are a lane each: dst = lane(src, last source, aux). */
extern soft_handler *const soft_lane_forms[SOFT_LANE_KINDS][SOFT_ENCODINGS][SOFT_SOURCES];
extern soft_handler *const soft_float_forms[SOFT_LANE_KINDS][SOFT_ENCODINGS][SOFT_SOURCES];

/* How a lane does 64 bits. */
enum soft_mmx_way {
    SOFT_NO_MMX,
    SOFT_MMX_LOW,   /* its low half depends on low halves only */
    SOFT_MMX_HIGH,  /* operands in both halves, the result is the high half */
    SOFT_MMX_TWICE, /* the first operand in both halves */
    SOFT_MMX_JOIN,  /* both operands together are one, which is taken twice */
    SOFT_MMX_ALIGN, /* both operands together are the last one */
};
/* aux2: enum soft_mmx_way; memory of src2 bytes */
extern soft_handler *const soft_mmx_forms[SOFT_SOURCES];

extern soft_handler soft_op_vector_fault; /* aux: enum soft_vector_class */
enum soft_vector_class { SOFT_CLASS_MMX, SOFT_CLASS_SSE, SOFT_CLASS_AVX };

#endif
