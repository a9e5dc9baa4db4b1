/* SPDX-License-Identifier: BSD-3-Clause */
/* Moves of vector and MMX registers: between each other, memory and general registers. */
#include "soft/vector_move.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

/* ---- whole registers ---- */

static SOFT_HANDLER(move_legacy)
{
    soft_v(cpu, op->dst)[0] = soft_v(cpu, op->src)[0];
    SOFT_NEXT;
}

static SOFT_HANDLER(move_vex128)
{
    soft_v(cpu, op->dst)[0] = soft_v(cpu, op->src)[0];
    soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);
    SOFT_NEXT;
}

static SOFT_HANDLER(move_vex256)
{
    cpu->v[op->dst] = cpu->v[op->src];
    SOFT_NEXT;
}

static inline void write256(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address)
{
    void *pointer = soft_write_pointer(cpu, address, 32);

    if (SOFT_LIKELY(pointer != NULL))
        memcpy(pointer, &cpu->v[op->src], 32);
    else
        soft_write_as(cpu, op, address, &cpu->v[op->src], 32, soft_rights(cpu));
}

#define DEFINE_ALIGNMENT(name, address16, address32)                 \
    static SOFT_HANDLER(load_##name##_legacy)                        \
    {                                                                \
        soft_v(cpu, op->dst)[0] = soft_read128(cpu, op, address16);  \
        SOFT_NEXT;                                                   \
    }                                                                \
    static SOFT_HANDLER(load_##name##_vex128)                        \
    {                                                                \
        soft_v(cpu, op->dst)[0] = soft_read128(cpu, op, address16);  \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);                \
        SOFT_NEXT;                                                   \
    }                                                                \
    static SOFT_HANDLER(load_##name##_vex256)                        \
    {                                                                \
        struct soft_pair value = soft_read_pair(cpu, op, address32); \
        soft_v(cpu, op->dst)[0] = value.half[0];                     \
        soft_v(cpu, op->dst)[1] = value.half[1];                     \
        SOFT_NEXT;                                                   \
    }                                                                \
    static SOFT_HANDLER(store_##name##_128)                          \
    {                                                                \
        soft_write128(cpu, op, address16, soft_v(cpu, op->src)[0]);  \
        SOFT_NEXT;                                                   \
    }                                                                \
    static SOFT_HANDLER(store_##name##_256)                          \
    {                                                                \
        write256(cpu, op, address32);                                \
        SOFT_NEXT;                                                   \
    }
DEFINE_ALIGNMENT(any, soft_address(cpu, op), soft_address(cpu, op))
DEFINE_ALIGNMENT(aligned, soft_aligned(cpu, op, 16), soft_aligned(cpu, op, 32))

soft_handler *const soft_vector_move[SOFT_ENCODINGS] = {move_legacy, move_vex128, move_vex256};
soft_handler *const soft_vector_load[2][SOFT_ENCODINGS] = {
    {load_any_legacy, load_any_vex128, load_any_vex256},
    {load_aligned_legacy, load_aligned_vex128, load_aligned_vex256},
};
soft_handler *const soft_vector_store[2][SOFT_ENCODINGS] = {
    {store_any_128, store_any_128, store_any_256},
    {store_aligned_128, store_aligned_128, store_aligned_256},
};

/* ---- scalars, with zeros above them ---- */

#define DEFINE_SCALAR(bits)                                                          \
    static SOFT_HANDLER(load##bits##_legacy)                                         \
    {                                                                                \
        soft_v(cpu, op->dst)[0] =                                                    \
            soft_v128_of(soft_read##bits(cpu, op, soft_address(cpu, op)), 0);        \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(load##bits##_vex)                                            \
    {                                                                                \
        soft_v(cpu, op->dst)[0] =                                                    \
            soft_v128_of(soft_read##bits(cpu, op, soft_address(cpu, op)), 0);        \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);                                \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(store##bits)                                                 \
    {                                                                                \
        soft_write##bits(cpu, op, soft_address(cpu, op),                             \
                         (uint##bits##_t)soft_v(cpu, op->src)[0][0]);                \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(from_gpr##bits##_legacy)                                     \
    {                                                                                \
        soft_v(cpu, op->dst)[0] = soft_v128_of(SOFT_R(uint##bits##_t, op->src), 0);  \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(from_gpr##bits##_vex)                                        \
    {                                                                                \
        soft_v(cpu, op->dst)[0] = soft_v128_of(SOFT_R(uint##bits##_t, op->src), 0);  \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);                                \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(to_gpr##bits)                                                \
    {                                                                                \
        SOFT_SET(uint##bits##_t, op->dst, soft_v(cpu, op->src)[0][0]);               \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(mmx_load##bits)                                              \
    {                                                                                \
        soft_mmx_check(cpu, op);                                                     \
        soft_mmx_set(cpu, op->dst, soft_read##bits(cpu, op, soft_address(cpu, op))); \
        soft_mmx_done(cpu);                                                          \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(mmx_store##bits)                                             \
    {                                                                                \
        soft_mmx_check(cpu, op);                                                     \
        soft_write##bits(cpu, op, soft_address(cpu, op),                             \
                         (uint##bits##_t)cpu->fpu.st[op->src].significand);          \
        soft_mmx_done(cpu);                                                          \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(mmx_from_gpr##bits)                                          \
    {                                                                                \
        soft_mmx_check(cpu, op);                                                     \
        soft_mmx_set(cpu, op->dst, SOFT_R(uint##bits##_t, op->src));                 \
        soft_mmx_done(cpu);                                                          \
        SOFT_NEXT;                                                                   \
    }                                                                                \
    static SOFT_HANDLER(mmx_to_gpr##bits)                                            \
    {                                                                                \
        soft_mmx_check(cpu, op);                                                     \
        SOFT_SET(uint##bits##_t, op->dst, cpu->fpu.st[op->src].significand);         \
        soft_mmx_done(cpu);                                                          \
        SOFT_NEXT;                                                                   \
    }
DEFINE_SCALAR(32)
DEFINE_SCALAR(64)

static SOFT_HANDLER(store_high)
{
    soft_write64(cpu, op, soft_address(cpu, op), soft_v(cpu, op->src)[0][1]);
    SOFT_NEXT;
}

static SOFT_HANDLER(move64_legacy)
{
    soft_v(cpu, op->dst)[0] = soft_v128_of(soft_v(cpu, op->src)[0][0], 0);
    SOFT_NEXT;
}

static SOFT_HANDLER(move64_vex)
{
    soft_v(cpu, op->dst)[0] = soft_v128_of(soft_v(cpu, op->src)[0][0], 0);
    soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);
    SOFT_NEXT;
}

static SOFT_HANDLER(mmx_move)
{
    soft_mmx_check(cpu, op);
    soft_mmx_set(cpu, op->dst, cpu->fpu.st[op->src].significand);
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_movq2dq)
{
    soft_mmx_check(cpu, op);
    soft_v(cpu, op->dst)[0] = soft_v128_of(cpu->fpu.st[op->src].significand, 0);
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_movdq2q)
{
    soft_mmx_check(cpu, op);
    soft_mmx_set(cpu, op->dst, soft_v(cpu, op->src)[0][0]);
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

soft_handler *const soft_scalar_load[2][2] = {{load32_legacy, load32_vex},
                                              {load64_legacy, load64_vex}};
soft_handler *const soft_scalar_store[3] = {store32, store64, store_high};
soft_handler *const soft_scalar_from_gpr[2][2] = {{from_gpr32_legacy, from_gpr32_vex},
                                                  {from_gpr64_legacy, from_gpr64_vex}};
soft_handler *const soft_scalar_to_gpr[2] = {to_gpr32, to_gpr64};
soft_handler *const soft_move64[2] = {move64_legacy, move64_vex};
soft_handler *const soft_mmx_scalar[2][SOFT_MMX_MOVES] = {
    {mmx_load32, mmx_store32, mmx_from_gpr32, mmx_to_gpr32, mmx_move},
    {mmx_load64, mmx_store64, mmx_from_gpr64, mmx_to_gpr64, mmx_move},
};

/* ---- parts, to general registers ---- */

static unsigned sign_mask8(soft_v128 a)
{
    unsigned mask = 0;

    /* The top bits of eight bytes, brought together by a multiplication: bit 8 i + 7 goes to bit
     * 56 + i. */
    for (unsigned i = 0; i < 2; i++) {
        uint64_t tops = a[i] >> 7 & UINT64_C(0x0101010101010101);

        mask |= (unsigned)(tops * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
    }
    return mask;
}

static unsigned sign_mask32(soft_v128 a)
{
    return (unsigned)((a[0] >> 31 & 1) | (a[0] >> 62 & 2) | (a[1] >> 29 & 4) | (a[1] >> 60 & 8));
}

static unsigned sign_mask64(soft_v128 a)
{
    return (unsigned)(a[0] >> 63 | (a[1] >> 62 & 2));
}

#define DEFINE_MASK(bits, shift)                                                        \
    static SOFT_HANDLER(mask##bits##_128)                                               \
    {                                                                                   \
        cpu->r[op->dst / 8] = sign_mask##bits(soft_v(cpu, op->src)[0]);                 \
        SOFT_NEXT;                                                                      \
    }                                                                                   \
    static SOFT_HANDLER(mask##bits##_256)                                               \
    {                                                                                   \
        const soft_v128 *v = soft_v(cpu, op->src);                                      \
        cpu->r[op->dst / 8] = sign_mask##bits(v[0]) | sign_mask##bits(v[1]) << (shift); \
        SOFT_NEXT;                                                                      \
    }
DEFINE_MASK(8, 16)
DEFINE_MASK(32, 4)
DEFINE_MASK(64, 2)

SOFT_HANDLER(soft_op_pmovmskb_mmx)
{
    soft_mmx_check(cpu, op);
    cpu->r[op->dst / 8] = sign_mask8(soft_v128_of(cpu->fpu.st[op->src].significand, 0));
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

soft_handler *const soft_vector_mask[3][2] = {
    {mask8_128, mask8_256}, {mask32_128, mask32_256}, {mask64_128, mask64_256}};

static uint64_t element(soft_v128 v, unsigned size, unsigned index)
{
    union soft_elements e = {.v = v};

    switch (size) {
    case 1: return e.u8[index & 15];
    case 2: return e.u16[index & 7];
    case 4: return e.u32[index & 3];
    default: return e.u64[index & 1];
    }
}

SOFT_HANDLER(soft_op_extract_r)
{
    cpu->r[op->dst / 8] = element(soft_v(cpu, op->src)[0], op->src2, op->aux);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_extract_m)
{
    uint64_t value = element(soft_v(cpu, op->src)[0], op->src2, op->aux);
    uint64_t address = soft_address(cpu, op);

    switch (op->src2) {
    case 1: soft_write8(cpu, op, address, (uint8_t)value); break;
    case 2: soft_write16(cpu, op, address, (uint16_t)value); break;
    case 4: soft_write32(cpu, op, address, (uint32_t)value); break;
    default: soft_write64(cpu, op, address, value); break;
    }
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pextrw_mmx)
{
    soft_mmx_check(cpu, op);
    cpu->r[op->dst / 8] =
        element(soft_v128_of(cpu->fpu.st[op->src].significand, 0), 2, op->aux & 3);
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

/* ---- halves of 256 bits ---- */

SOFT_HANDLER(soft_op_extract128_r)
{
    soft_v(cpu, op->dst)[0] = soft_v(cpu, op->src)[op->aux & 1];
    soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_extract128_m)
{
    soft_write128(cpu, op, soft_address(cpu, op), soft_v(cpu, op->src)[op->aux & 1]);
    SOFT_NEXT;
}

static const struct soft_uop *insert128(struct soft_cpu *cpu, const struct soft_uop *op,
                                        soft_v128 value)
{
    union soft_vector_register r = cpu->v[op->src];

    memcpy(&r.u8[16 * (op->aux & 1)], &value, 16);
    cpu->v[op->dst] = r;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_insert128_r)
{
    return insert128(cpu, op, soft_v(cpu, op->src2)[0]);
}

SOFT_HANDLER(soft_op_insert128_m)
{
    return insert128(cpu, op, soft_read128(cpu, op, soft_address(cpu, op)));
}

/* ---- over all of 256 bits ---- */

/* Each half: one of the four of both sources, or 0. */
static void permute128(union soft_vector_register *out, const union soft_vector_register *a,
                       const union soft_vector_register *b, unsigned imm)
{
    union soft_vector_register r;

    for (unsigned i = 0; i < 2; i++, imm >>= 4) {
        const union soft_vector_register *from = (imm & 2) != 0 ? b : a;

        memcpy(&r.u64[2 * i], &from->u64[2 * (imm & 1)], 16);
        if ((imm & 8) != 0)
            r.u64[2 * i] = r.u64[2 * i + 1] = 0;
    }
    *out = r;
}

static void permute64(union soft_vector_register *out, const union soft_vector_register *a,
                      const union soft_vector_register *b, unsigned imm)
{
    union soft_vector_register r;

    (void)a;
    for (unsigned i = 0; i < 4; i++)
        r.u64[i] = b->u64[imm >> (2 * i) & 3];
    *out = r;
}

static void permute32(union soft_vector_register *out, const union soft_vector_register *a,
                      const union soft_vector_register *b, unsigned imm)
{
    union soft_vector_register r;

    (void)imm;
    for (unsigned i = 0; i < 8; i++)
        r.u32[i] = b->u32[a->u32[i] & 7];
    *out = r;
}

#define DEFINE_PERMUTE(name)                                                     \
    static SOFT_HANDLER(name##_r)                                                \
    {                                                                            \
        name(&cpu->v[op->dst], &cpu->v[op->src], &cpu->v[op->src2], op->aux);    \
        SOFT_NEXT;                                                               \
    }                                                                            \
    static SOFT_HANDLER(name##_m)                                                \
    {                                                                            \
        union soft_vector_register b;                                            \
        struct soft_pair value = soft_read_pair(cpu, op, soft_address(cpu, op)); \
        memcpy(&b, &value, 32);                                                  \
        name(&cpu->v[op->dst], &cpu->v[op->src], &b, op->aux);                   \
        SOFT_NEXT;                                                               \
    }
DEFINE_PERMUTE(permute128)
DEFINE_PERMUTE(permute64)
DEFINE_PERMUTE(permute32)

soft_handler *const soft_permute[SOFT_PERMUTES][2] = {
    {permute128_r, permute128_m}, {permute64_r, permute64_m}, {permute32_r, permute32_m}};

SOFT_HANDLER(soft_op_vzeroupper)
{
    for (unsigned i = 0; i < op->aux; i++)
        soft_v(cpu, i)[1] = soft_v128_of(0, 0);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_vzeroall)
{
    memset(cpu->v, 0, op->aux * sizeof(cpu->v[0]));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_emms)
{
    soft_mmx_check(cpu, op);
    cpu->fpu.top = 0;
    cpu->fpu.used = 0;
    SOFT_NEXT;
}

/* ---- MXCSR ---- */

SOFT_HANDLER(soft_op_ldmxcsr)
{
    uint32_t value = soft_read32(cpu, op, soft_address(cpu, op));

    if ((value & ~SOFT_MXCSR_MASK) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    cpu->mxcsr = value;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_stmxcsr)
{
    soft_write32(cpu, op, soft_address(cpu, op), cpu->mxcsr);
    SOFT_NEXT;
}

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
