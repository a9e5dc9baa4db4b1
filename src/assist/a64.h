/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The description of one A64 load or store, and how a word becomes one (a64_decode.c).
 *
 * All that the instructions here do to memory is one run of contiguous bytes: `count` registers of
 * `elements` elements of `size` bytes each. Where they differ is in which register, and which part
 * of it, an element belongs to, and how the address comes about.
 */
#ifndef VISOR_ASSIST_A64_H
#define VISOR_ASSIST_A64_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes: four SIMD registers. */
#define VISOR__A64_MAX_TRANSFER 64

enum visor__a64_kind {
    VISOR__A64_NOTHING, /* prefetch, cache maintenance */
    VISOR__A64_LOAD,
    VISOR__A64_STORE,
    VISOR__A64_ZERO, /* DC ZVA */
    VISOR__A64_ATOMIC,
};

enum visor__a64_atomic {
    VISOR__A64_ADD,
    VISOR__A64_CLR,
    VISOR__A64_EOR,
    VISOR__A64_SET,
    VISOR__A64_SMAX,
    VISOR__A64_SMIN,
    VISOR__A64_UMAX,
    VISOR__A64_UMIN,
    VISOR__A64_SWP,
    VISOR__A64_CAS, /* also CASP */
};

/* Bases that are no X register. */
#define VISOR__A64_BASE_SP   31
#define VISOR__A64_BASE_PC   32
#define VISOR__A64_BASE_ZERO 33

enum visor__a64_writeback {
    VISOR__A64_NO_WRITEBACK,
    VISOR__A64_PRE_INDEX,
    VISOR__A64_POST_INDEX,
};

enum visor__a64_extend {
    VISOR__A64_UXTW = 2,
    VISOR__A64_LSL = 3,
    VISOR__A64_SXTW = 6,
    VISOR__A64_SXTX = 7,
};

struct visor__a64_insn {
    enum visor__a64_kind kind;
    enum visor__a64_atomic atomic;

    /* address: base + imm + (extended X[index] << shift), without the sum if post-indexed */
    enum visor__a64_writeback writeback;
    uint8_t base;
    uint8_t index;  /* 31: XZR, that is none */
    uint8_t extend; /* `option` of the encoding: enum visor__a64_extend */
    uint8_t shift;
    int64_t imm;

    /* data */
    uint8_t size;     /* bytes of an element: 1, 2, 4, 8, 16 */
    uint8_t elements; /* of each register */
    uint8_t count;    /* registers, 1 to 4 */
    uint8_t reg[4];   /* 31 of the general ones: XZR */
    /* Atomics: Rs. Memory is combined with it and `reg` loaded; CAS compares memory with it, loads
     * it, and stores `reg`. */
    uint8_t operand[2];
    bool vector;      /* SIMD&FP registers */
    bool interleaved; /* elements go round the registers (LD2 to LD4) */
    bool single_lane; /* only element `lane` of each register (LD1 to LD4, single structure) */
    bool replicate;   /* the element fills the first `width` bytes (LD1R to LD4R) */
    uint8_t lane;
    uint8_t width;     /* bytes of the destination that are not zeroed: 4 or 8; LD1R: 8 or 16 */
    bool sign;         /* sign-extended to width */
    bool unprivileged; /* LDTR, STTR: with the rights of EL0 */
};

/* Describes `word`. Returns enum visor__a64_refusal: 0 if it can be performed. */
int visor__a64_decode(struct visor__a64_insn *out, uint32_t word);

#endif
