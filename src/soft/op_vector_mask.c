/* SPDX-License-Identifier: BSD-3-Clause */
/* What a mask chooses: blends, tests, masked moves, gathers. */
#include "soft/flags.h"
#include "soft/stack.h"
#include "soft/vector_lanes.h"
#include "soft/vector_move.h"

/* NOLINTBEGIN(bugprone-macro-parentheses,cert-str34-c): macros here take types, sizes and
 * declarations, and lanes of signed bytes are numbers, not characters. */

/* ---- blends by the top bits of a third register: its number is in imm ---- */

static soft_v128 chosen(soft_v128 mask, unsigned size)
{
    switch (size) {
    case 1: return (soft_v128)((soft_s8x16)mask < 0);
    case 4: return (soft_v128)((soft_s32x4)mask < 0);
    default: return (soft_v128)((soft_s64x2)mask < 0);
    }
}

#define DEFINE_BLEND(from, legacy_source, source, source256)                                \
    static SOFT_HANDLER(blend_legacy_##from)                                                \
    {                                                                                       \
        soft_v128 b = legacy_source, m = chosen(soft_v(cpu, (uint8_t)op->imm)[0], op->aux); \
        soft_v(cpu, op->dst)[0] = (soft_v(cpu, op->src)[0] & ~m) | (b & m);                 \
        SOFT_NEXT;                                                                          \
    }                                                                                       \
    static SOFT_HANDLER(blend_vex128_##from)                                                \
    {                                                                                       \
        soft_v128 b = source, m = chosen(soft_v(cpu, (uint8_t)op->imm)[0], op->aux);        \
        soft_v(cpu, op->dst)[0] = (soft_v(cpu, op->src)[0] & ~m) | (b & m);                 \
        soft_v(cpu, op->dst)[1] = soft_v128_of(0, 0);                                       \
        SOFT_NEXT;                                                                          \
    }                                                                                       \
    static SOFT_HANDLER(blend_vex256_##from)                                                \
    {                                                                                       \
        struct soft_pair a = soft_pair_of(cpu, op->src), b = source256;                     \
        struct soft_pair mask = soft_pair_of(cpu, (uint8_t)op->imm);                        \
        for (unsigned i = 0; i < 2; i++) {                                                  \
            soft_v128 m = chosen(mask.half[i], op->aux);                                    \
            soft_v(cpu, op->dst)[i] = (a.half[i] & ~m) | (b.half[i] & m);                   \
        }                                                                                   \
        SOFT_NEXT;                                                                          \
    }
DEFINE_BLEND(r, soft_v(cpu, op->src2)[0], soft_v(cpu, op->src2)[0], soft_pair_of(cpu, op->src2))
DEFINE_BLEND(m, soft_read128(cpu, op, soft_aligned(cpu, op, 16)),
             soft_read128(cpu, op, soft_address(cpu, op)),
             soft_read_pair(cpu, op, soft_address(cpu, op)))

soft_handler *const soft_blend[SOFT_ENCODINGS][2] = {{blend_legacy_r, blend_legacy_m},
                                                     {blend_vex128_r, blend_vex128_m},
                                                     {blend_vex256_r, blend_vex256_m}};

/* ---- PTEST, VTESTPS, VTESTPD: aux 0, or the bytes of elements whose top bits count ---- */

static const struct soft_uop *test(struct soft_cpu *cpu, const struct soft_uop *op,
                                   struct soft_pair b, unsigned halves)
{
    static const uint64_t all[] = {
        [0] = UINT64_MAX, [4] = UINT64_C(0x8000000080000000), [8] = UINT64_C(0x8000000000000000)};
    uint64_t both = 0, second = 0;

    for (unsigned i = 0; i < halves; i++) {
        soft_v128 a = soft_v(cpu, op->dst)[i], x = a & b.half[i], y = ~a & b.half[i];

        both |= (x[0] | x[1]) & all[op->aux];
        second |= (y[0] | y[1]) & all[op->aux];
    }
    soft_flags_set_arithmetic(cpu, (both == 0 ? SOFT_ZF : 0) | (second == 0 ? SOFT_CF : 0));
    SOFT_NEXT;
}

static SOFT_HANDLER(test128_r)
{
    return test(cpu, op, soft_pair_of(cpu, op->src), 1);
}

static SOFT_HANDLER(test_legacy_m)
{
    struct soft_pair b = {{soft_read128(cpu, op, soft_aligned(cpu, op, 16))}};

    return test(cpu, op, b, 1);
}

static SOFT_HANDLER(test128_m)
{
    struct soft_pair b = {{soft_read128(cpu, op, soft_address(cpu, op))}};

    return test(cpu, op, b, 1);
}

static SOFT_HANDLER(test256_r)
{
    return test(cpu, op, soft_pair_of(cpu, op->src), 2);
}

static SOFT_HANDLER(test256_m)
{
    return test(cpu, op, soft_read_pair(cpu, op, soft_address(cpu, op)), 2);
}

soft_handler *const soft_vector_test[SOFT_ENCODINGS][2] = {
    {test128_r, test_legacy_m}, {test128_r, test128_m}, {test256_r, test256_m}};

/* ---- masked moves: elements that are not chosen are not accessed, and do not fault ---- */

static bool is_chosen(const union soft_vector_register *mask, unsigned i, unsigned size)
{
    return size == 4 ? mask->s32[i] < 0 : mask->s64[i] < 0;
}

/* dst, memory, src: the mask; aux: bytes of an element, src2: of the register. */
SOFT_HANDLER(soft_op_mask_load)
{
    union soft_vector_register r = {0};
    const union soft_vector_register mask = cpu->v[op->src];
    uint64_t address = soft_address(cpu, op);
    unsigned size = op->aux;

    for (unsigned i = 0; i < op->src2 / size; i++) {
        if (!is_chosen(&mask, i, size))
            continue;
        if (size == 4)
            r.u32[i] = soft_read32(cpu, op, address + 4 * i);
        else
            r.u64[i] = soft_read64(cpu, op, address + 8 * i);
    }
    cpu->v[op->dst] = r;
    SOFT_NEXT;
}

/* src: the mask, dst: the data. */
SOFT_HANDLER(soft_op_mask_store)
{
    const union soft_vector_register *mask = &cpu->v[op->src], *data = &cpu->v[op->dst];
    uint64_t address = soft_address(cpu, op);
    unsigned size = op->aux;

    /* All or nothing. */
    for (unsigned i = 0; i < op->src2 / size; i++) {
        if (is_chosen(mask, i, size))
            soft_check_write(cpu, op, address + i * size, size, soft_rights(cpu));
    }
    for (unsigned i = 0; i < op->src2 / size; i++) {
        if (!is_chosen(mask, i, size))
            continue;
        if (size == 4)
            soft_write32(cpu, op, address + 4 * i, data->u32[i]);
        else
            soft_write64(cpu, op, address + 8 * i, data->u64[i]);
    }
    SOFT_NEXT;
}

/* Where the usual micro-operation for addresses does not do. */
static uint64_t linear(struct soft_cpu *cpu, const struct soft_uop *op, unsigned segment,
                       unsigned address_size, uint64_t offset, unsigned size, bool write)
{
    if (address_size != 8)
        offset = address_size == 4 ? (uint32_t)offset : (uint16_t)offset;
    if ((cpu->mode & SOFT_IN_64) != 0)
        return offset + soft_base_in_64(cpu, segment);
    return soft_segment_linear(cpu, op, segment, offset, size, write);
}

/* MASKMOVQ, MASKMOVDQU: bytes of `data` to where rDI points. */
static void mask_bytes(struct soft_cpu *cpu, const struct soft_uop *op, soft_v128 data,
                       soft_v128 mask, unsigned count)
{
    union soft_elements d = {.v = data}, m = {.v = mask};
    uint64_t to[16];

    for (unsigned i = 0; i < count; i++) {
        if (m.s8[i] >= 0)
            continue;
        to[i] = linear(cpu, op, op->aux, op->src2, cpu->r[SOFT_RDI] + i, 1, true);
        soft_check_write(cpu, op, to[i], 1, soft_rights(cpu));
    }
    for (unsigned i = 0; i < count; i++) {
        if (m.s8[i] < 0)
            soft_write8(cpu, op, to[i], d.u8[i]);
    }
}

SOFT_HANDLER(soft_op_maskmovdqu)
{
    mask_bytes(cpu, op, soft_v(cpu, op->dst)[0], soft_v(cpu, op->src)[0], 16);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_maskmovq)
{
    soft_mmx_check(cpu, op);
    mask_bytes(cpu, op, soft_v128_of(cpu->fpu.st[op->dst].significand, 0),
               soft_v128_of(cpu->fpu.st[op->src].significand, 0), 8);
    soft_mmx_done(cpu);
    SOFT_NEXT;
}

/*
 * Gathers. What is loaded is in the registers before the next element may fault, and its mask is
 * cleared, so that the instruction goes on from there (SDM vol. 2, VPGATHERDD).
 */
SOFT_HANDLER(soft_op_gather)
{
    union soft_vector_register *r = &cpu->v[op->dst], *mask = &cpu->v[op->src2];
    const union soft_vector_register *index = &cpu->v[op->src];
    const unsigned size = (op->imm & SOFT_GATHER_8) != 0 ? 8 : 4;
    const unsigned segment = op->imm & SOFT_GATHER_SEGMENT;
    const unsigned address_size = (op->imm & SOFT_GATHER_ADDRESS_4) != 0 ? 4 : 8;
    uint64_t base = cpu->r[op->base] + (uint64_t)(int64_t)op->disp;

    /* The masks count by their top bits; all of an element's are set or cleared. */
    for (unsigned i = 0; i < op->aux; i++) {
        int64_t by = (op->imm & SOFT_GATHER_INDEX_8) != 0 ? index->s64[i] : index->s32[i];
        uint64_t offset = base + ((uint64_t)by << op->scale), address;

        if (!is_chosen(mask, i, size))
            continue;
        address = linear(cpu, op, segment, address_size, offset, size, false);
        if (size == 4) {
            r->u32[i] = soft_read32(cpu, op, address);
            mask->u32[i] = 0;
        } else {
            r->u64[i] = soft_read64(cpu, op, address);
            mask->u64[i] = 0;
        }
        soft_access_commit(cpu);
    }
    memset(mask, 0, sizeof(*mask));
    memset(&r->u8[op->aux * size], 0, sizeof(*r) - op->aux * size);
    SOFT_NEXT;
}

/* ---- SHA256RNDS2: XMM0 has the words ---- */

SOFT_HANDLER(soft_op_sha256rnds2_r)
{
    soft_v(cpu, op->dst)[0] =
        soft_sha256_rounds(soft_v(cpu, op->dst)[0], soft_v(cpu, op->src)[0], soft_v(cpu, 0)[0]);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_sha256rnds2_m)
{
    soft_v128 b = soft_read128(cpu, op, soft_aligned(cpu, op, 16));

    soft_v(cpu, op->dst)[0] = soft_sha256_rounds(soft_v(cpu, op->dst)[0], b, soft_v(cpu, 0)[0]);
    SOFT_NEXT;
}

/* NOLINTEND(bugprone-macro-parentheses,cert-str34-c) */
