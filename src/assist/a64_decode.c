/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoding A64 loads and stores: DDI 0487, "A64 instruction set encoding", "Loads and stores". One
 * table tells the classes of that section apart, a function for each class reads its fields. Names
 * of fields are the manual's. a64_simd.c has the Advanced SIMD structures.
 */
#include <stddef.h>

#include "assist/a64_decode.h"
#include "assist/aarch64.h"

#define UNKNOWN VISOR__A64_REFUSED_UNKNOWN

/* ---- what is transferred ---- */

struct shape {
    enum visor__a64_kind kind;
    uint8_t size; /* 0: not allocated */
    uint8_t width;
    bool sign;
};

#define STORE(size)                        \
    {                                      \
        VISOR__A64_STORE, (size), 8, false \
    }
#define LOAD(size)                        \
    {                                     \
        VISOR__A64_LOAD, (size), 8, false \
    }
#define LOAD_SIGN(size, width)                 \
    {                                          \
        VISOR__A64_LOAD, (size), (width), true \
    }
#define PREFETCH                        \
    {                                   \
        VISOR__A64_NOTHING, 8, 8, false \
    }
#define UNALLOCATED                     \
    {                                   \
        VISOR__A64_NOTHING, 0, 0, false \
    }

/* By size and opc: a general register. */
static const struct shape general_shapes[4][4] = {
    {STORE(1), LOAD(1), LOAD_SIGN(1, 8), LOAD_SIGN(1, 4)},
    {STORE(2), LOAD(2), LOAD_SIGN(2, 8), LOAD_SIGN(2, 4)},
    {STORE(4), LOAD(4), LOAD_SIGN(4, 8), UNALLOCATED},
    {STORE(8), LOAD(8), PREFETCH, UNALLOCATED},
};
/* By opc: a literal into a general register. */
static const struct shape literal_shapes[4] = {LOAD(4), LOAD(8), LOAD_SIGN(4, 8), PREFETCH};
/* By opc and L: a pair of general registers. */
static const struct shape pair_shapes[4][2] = {
    {STORE(4), LOAD(4)},
    {UNALLOCATED, LOAD_SIGN(4, 8)},
    {STORE(8), LOAD(8)},
    {UNALLOCATED, UNALLOCATED},
};

static void set_shape(struct visor__a64_insn *insn, const struct shape *shape)
{
    insn->kind = shape->kind;
    insn->size = shape->size;
    insn->width = shape->width;
    insn->sign = shape->sign;
}

static void set_vector(struct visor__a64_insn *insn, bool is_load, unsigned size_log2)
{
    insn->kind = is_load ? VISOR__A64_LOAD : VISOR__A64_STORE;
    insn->vector = true;
    insn->size = (uint8_t)(1u << size_log2);
}

static unsigned log2_of(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

/* The fields size, V, opc, Rn and Rt, which stand at the same place in most classes. */
static int decode_register(struct visor__a64_insn *insn, uint32_t word, bool may_prefetch)
{
    const unsigned size = visor__a64_bits(word, 31, 30), opc = visor__a64_bits(word, 23, 22);

    insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
    insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
    if (visor__a64_bits(word, 26, 26) == 0) {
        const struct shape *shape = &general_shapes[size][opc];

        set_shape(insn, shape);
        if (shape->size == 0 || (shape->kind == VISOR__A64_NOTHING && !may_prefetch))
            return UNKNOWN;
        return 0;
    }
    if (opc >= 2 && size != 0)
        return UNKNOWN;
    set_vector(insn, opc % 2 == 1, opc >= 2 ? 4 : size);
    return 0;
}

/* ---- classes ---- */

/* "Load/store register (unsigned immediate)" */
static int unsigned_immediate(struct visor__a64_insn *insn, uint32_t word)
{
    int refusal = decode_register(insn, word, true);

    insn->imm = (int64_t)visor__a64_bits(word, 21, 10) * insn->size;
    return refusal;
}

/* "Load/store register (unscaled immediate)", "(immediate post-indexed)", "(unprivileged)",
 * "(immediate pre-indexed)": bits 11:10 in this order. */
static int imm9(struct visor__a64_insn *insn, uint32_t word)
{
    static const enum visor__a64_writeback modes[4] = {
        VISOR__A64_NO_WRITEBACK,
        VISOR__A64_POST_INDEX,
        VISOR__A64_NO_WRITEBACK,
        VISOR__A64_PRE_INDEX,
    };
    const unsigned mode = visor__a64_bits(word, 11, 10);

    insn->writeback = modes[mode];
    insn->unprivileged = mode == 2;
    insn->imm = visor__a64_signed_bits(word, 20, 12);
    if (insn->unprivileged && visor__a64_bits(word, 26, 26) != 0)
        return UNKNOWN;
    return decode_register(insn, word, mode == 0);
}

/* "LDAPR/STLR (unscaled immediate)" */
static int ordered_unscaled(struct visor__a64_insn *insn, uint32_t word)
{
    insn->imm = visor__a64_signed_bits(word, 20, 12);
    return decode_register(insn, word, false);
}

/* "Load/store register (register offset)" */
static int register_offset(struct visor__a64_insn *insn, uint32_t word)
{
    int refusal = decode_register(insn, word, true);

    insn->index = (uint8_t)visor__a64_bits(word, 20, 16);
    insn->extend = (uint8_t)visor__a64_bits(word, 15, 13);
    if ((insn->extend & 2) == 0 || refusal != 0)
        return UNKNOWN;
    if (visor__a64_bits(word, 12, 12) != 0)
        insn->shift = (uint8_t)log2_of(insn->size);
    return 0;
}

/* "Load register (literal)" */
static int literal(struct visor__a64_insn *insn, uint32_t word)
{
    const unsigned opc = visor__a64_bits(word, 31, 30);

    insn->base = VISOR__A64_BASE_PC;
    insn->imm = visor__a64_signed_bits(word, 23, 5) * 4;
    insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
    if (visor__a64_bits(word, 26, 26) == 0)
        set_shape(insn, &literal_shapes[opc]);
    else
        set_vector(insn, true, opc + 2);
    return opc == 3 && insn->vector ? UNKNOWN : 0;
}

/* "Load/store no-allocate pair (offset)", "Load/store register pair (post-indexed)", "(offset)",
 * "(pre-indexed)": bits 24:23 in this order. */
static int pair(struct visor__a64_insn *insn, uint32_t word)
{
    static const enum visor__a64_writeback modes[4] = {
        VISOR__A64_NO_WRITEBACK,
        VISOR__A64_POST_INDEX,
        VISOR__A64_NO_WRITEBACK,
        VISOR__A64_PRE_INDEX,
    };
    const unsigned opc = visor__a64_bits(word, 31, 30), mode = visor__a64_bits(word, 24, 23);
    const unsigned load = visor__a64_bits(word, 22, 22);

    if (visor__a64_bits(word, 26, 26) == 0) {
        if (opc == 1 && load == 0 && mode != 0)
            return VISOR__A64_REFUSED_TAGS; /* STGP */
        set_shape(insn, &pair_shapes[opc][load]);
        if (insn->size == 0 || (insn->sign && mode == 0))
            return UNKNOWN;
    } else if (opc == 3) {
        return UNKNOWN;
    } else {
        set_vector(insn, load != 0, opc + 2);
    }
    insn->writeback = modes[mode];
    insn->imm = visor__a64_signed_bits(word, 21, 15) * insn->size;
    insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
    insn->count = 2;
    insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
    insn->reg[1] = (uint8_t)visor__a64_bits(word, 14, 10);
    return 0;
}

static void set_atomic(struct visor__a64_insn *insn, uint32_t word, enum visor__a64_atomic atomic)
{
    insn->kind = VISOR__A64_ATOMIC;
    insn->atomic = atomic;
    insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
    insn->operand[0] = (uint8_t)visor__a64_bits(word, 20, 16);
    insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
}

/* "Compare and swap pair": the registers of a pair are an even one and the next. */
static int swap_pair(struct visor__a64_insn *insn, uint32_t word)
{
    set_atomic(insn, word, VISOR__A64_CAS);
    if (visor__a64_bits(word, 14, 10) != 31 || ((insn->operand[0] | insn->reg[0]) & 1) != 0)
        return UNKNOWN;
    insn->size = (uint8_t)(4u << visor__a64_bits(word, 30, 30));
    insn->count = 2;
    insn->operand[1] = insn->operand[0] + 1;
    insn->reg[1] = insn->reg[0] + 1;
    return 0;
}

/* "Load/store exclusive register", "exclusive pair", "ordered", "Compare and swap", which differ in
 * bits 23 (o2) and 21 (o1). */
static int exclusive(struct visor__a64_insn *insn, uint32_t word)
{
    const unsigned size = visor__a64_bits(word, 31, 30);
    const bool o2 = visor__a64_bits(word, 23, 23) != 0, o1 = visor__a64_bits(word, 21, 21) != 0;

    if (!o2)
        return o1 && size < 2 ? swap_pair(insn, word) : VISOR__A64_REFUSED_EXCLUSIVE;
    if (o1) {
        set_atomic(insn, word, VISOR__A64_CAS);
        insn->size = (uint8_t)(1u << size);
        return visor__a64_bits(word, 14, 10) != 31 ? UNKNOWN : 0;
    }
    set_shape(insn, &general_shapes[size][visor__a64_bits(word, 22, 22)]);
    insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
    insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
    return 0;
}

/* "Atomic memory operations": the operation is o3:opc, bits 15:12. */
static int atomic(struct visor__a64_insn *insn, uint32_t word)
{
    const unsigned size = visor__a64_bits(word, 31, 30), operation = visor__a64_bits(word, 15, 12);
    const unsigned acquire_release = visor__a64_bits(word, 23, 22);

    if (operation <= 8) { /* in the order of enum visor__a64_atomic */
        set_atomic(insn, word, (enum visor__a64_atomic)operation);
        insn->size = (uint8_t)(1u << size);
        return 0;
    }
    if (operation == 12 && acquire_release == 2) { /* LDAPR */
        set_shape(insn, &general_shapes[size][1]);
        insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
        insn->reg[0] = (uint8_t)visor__a64_bits(word, 4, 0);
        return 0;
    }
    if (size == 3 && acquire_release == 0 && (operation <= 11 || operation == 13))
        return VISOR__A64_REFUSED_LS64;
    return UNKNOWN;
}

/* DC ZVA: the address is all of X[t], where 31 is XZR. */
static int zero_block(struct visor__a64_insn *insn, uint32_t word)
{
    insn->kind = VISOR__A64_ZERO;
    insn->base = VISOR__A64_BASE_ZERO;
    insn->index = (uint8_t)visor__a64_bits(word, 4, 0);
    insn->size = 8;
    return 0;
}

static int nothing(struct visor__a64_insn *insn, uint32_t word)
{
    (void)word;
    insn->kind = VISOR__A64_NOTHING;
    return 0;
}

/* ---- the table ---- */

struct class
{
    uint32_t mask, value;
    int refusal;
    int (*decode)(struct visor__a64_insn *insn, uint32_t word); /* unless refused */
};

/* "System instructions" on an address: SYS #op1, C7, Cm, #op2, Xt. */
#define SYS_MASK 0xffffffe0
#define SYS(op1, crm, op2) \
    (0xd5087000 | (uint32_t)(op1) << 16 | (uint32_t)(crm) << 8 | (uint32_t)(op2) << 5)

/* The first that fits counts. */
static const struct class classes[] = {
    /* load/store register */
    {0x3b000000, 0x39000000, 0, unsigned_immediate},
    {0x3b200000, 0x38000000, 0, imm9},
    {0x3b200c00, 0x38200800, 0, register_offset},
    {0x3f200c00, 0x38200000, 0, atomic},
    {0xff200400, 0xf8200400, VISOR__A64_REFUSED_POINTER_AUTH, NULL}, /* LDRAA, LDRAB */
    {0x3b000000, 0x18000000, 0, literal},
    {0x3a000000, 0x28000000, 0, pair},
    {0x3f000000, 0x08000000, 0, exclusive},
    {0x3f200c00, 0x19000000, 0, ordered_unscaled},
    /* Advanced SIMD structures: multiple, post-indexed, single, post-indexed */
    {0xbfbf0000, 0x0c000000, 0, visor__a64_multiple_structures},
    {0xbfa00000, 0x0c800000, 0, visor__a64_multiple_structures},
    {0xbf9f0000, 0x0d000000, 0, visor__a64_single_structure},
    {0xbf800000, 0x0d800000, 0, visor__a64_single_structure},
    /* cache maintenance by address */
    {SYS_MASK, SYS(3, 4, 1), 0, zero_block},                 /* DC ZVA */
    {SYS_MASK, SYS(3, 4, 3), VISOR__A64_REFUSED_TAGS, NULL}, /* DC GVA */
    {SYS_MASK, SYS(3, 4, 4), VISOR__A64_REFUSED_TAGS, NULL}, /* DC GZVA */
    {SYS_MASK, SYS(0, 6, 1), 0, nothing},                    /* DC IVAC */
    {SYS_MASK, SYS(3, 10, 1), 0, nothing},                   /* DC CVAC */
    {SYS_MASK, SYS(3, 11, 1), 0, nothing},                   /* DC CVAU */
    {SYS_MASK, SYS(3, 12, 1), 0, nothing},                   /* DC CVAP */
    {SYS_MASK, SYS(3, 13, 1), 0, nothing},                   /* DC CVADP */
    {SYS_MASK, SYS(3, 14, 1), 0, nothing},                   /* DC CIVAC */
    {SYS_MASK, SYS(3, 5, 1), 0, nothing},                    /* IC IVAU */
    /* what is not performed */
    {0xff200000, 0xd9200000, VISOR__A64_REFUSED_TAGS, NULL}, /* "Load/store memory tags" */
    {0xfb200c00, 0x19000400, VISOR__A64_REFUSED_COPY, NULL}, /* "Memory Copy and Memory Set" */
    {0x9e000000, 0x84000000, VISOR__A64_REFUSED_SVE, NULL},  /* "SVE encodings", memory */
    {0xfe000000, 0xe0000000, VISOR__A64_REFUSED_SVE, NULL},  /* "SME encodings", memory */
};

int visor__a64_decode(struct visor__a64_insn *out, uint32_t word)
{
    *out = (struct visor__a64_insn){
        .index = 31,
        .extend = VISOR__A64_LSL,
        .elements = 1,
        .count = 1,
        .width = 8,
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        const struct class *class = &classes[i];

        if ((word & class->mask) == class->value)
            return class->decode != NULL ? class->decode(out, word) : class->refusal;
    }
    return UNKNOWN;
}
