/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers of vector instructions that are no function of lanes, for the translator. */
#ifndef VISOR_SOFT_VECTOR_MOVE_H
#define VISOR_SOFT_VECTOR_MOVE_H

#include "soft/vector.h"
#include "soft/xstate.h"

/* ---- op_vector_move.c: dst, src ---- */

extern soft_handler *const soft_vector_move[SOFT_ENCODINGS];
extern soft_handler *const soft_vector_load[2][SOFT_ENCODINGS];  /* [has to be aligned] */
extern soft_handler *const soft_vector_store[2][SOFT_ENCODINGS]; /* [has to be aligned] */

extern soft_handler *const soft_scalar_load[2][2]; /* [4, 8 bytes][legacy, VEX] */
extern soft_handler *const soft_scalar_store[3];   /* 4, 8 bytes, the upper 8 of 16 */
extern soft_handler *const soft_scalar_from_gpr[2][2];
extern soft_handler *const soft_scalar_to_gpr[2];
extern soft_handler *const soft_move64[2]; /* MOVQ between registers: [legacy, VEX] */
extern soft_handler soft_op_movq2dq, soft_op_movdq2q;

enum soft_mmx_move {
    SOFT_MMX_LOAD,
    SOFT_MMX_STORE,
    SOFT_MMX_FROM_GPR,
    SOFT_MMX_TO_GPR,
    SOFT_MMX_MOVE,
    SOFT_MMX_MOVES
};
extern soft_handler *const soft_mmx_scalar[2][SOFT_MMX_MOVES]; /* [4, 8 bytes] */

/* Top bits of elements to a general register: [1, 4, 8 bytes][128, 256 bits] */
extern soft_handler *const soft_vector_mask[3][2];
extern soft_handler soft_op_pmovmskb_mmx;
/* An element: src2 bytes, aux which */
extern soft_handler soft_op_extract_r, soft_op_extract_m, soft_op_pextrw_mmx;

/* aux: which half. Insertion into src, of src2 or memory. */
extern soft_handler soft_op_extract128_r, soft_op_extract128_m;
extern soft_handler soft_op_insert128_r, soft_op_insert128_m;
/* Elements from anywhere in 256 bits: [register, memory] */
enum soft_permute { SOFT_PERMUTE128, SOFT_PERMUTE64, SOFT_PERMUTE32, SOFT_PERMUTES };
extern soft_handler *const soft_permute[SOFT_PERMUTES][2];

extern soft_handler soft_op_vzeroupper, soft_op_vzeroall; /* aux: of how many registers */
extern soft_handler soft_op_emms, soft_op_ldmxcsr, soft_op_stmxcsr;

/* ---- op_vector_convert.c ---- */

/* [from 4, 8 bytes][to 4, 8 bytes][register src, memory]; aux: truncated */
extern soft_handler *const soft_float_to_gpr[2][2][2];
/* [4, 8 bytes][register src, memory] with dst; aux: quiet NaNs are invalid */
extern soft_handler *const soft_float_compare[2][2];
/* imm: the lane */
extern soft_handler soft_op_cvt_from_mmx, soft_op_cvt_to_mmx_r, soft_op_cvt_to_mmx_m;
extern soft_handler soft_op_vcvtps2ph_r, soft_op_vcvtps2ph_m;

/* ---- op_vector_fma.c: dst, src, src2 or memory (if it is not 256 bits: src2 bytes) ---- */

#define SOFT_FMA_NEGATE   1u /* the product */
#define SOFT_FMA_SUB_EVEN 2u /* subtracts in even elements */
#define SOFT_FMA_SUB_ODD  4u
#define SOFT_FMA_ORDER    24u
#define SOFT_FMA_132      0u
#define SOFT_FMA_213      8u
#define SOFT_FMA_231      16u
/* [PS, PD, SS, SD][256 bits][register, memory] */
extern soft_handler *const soft_fma[4][2][2];

/* ---- op_vector_string.c: dst, src or memory, aux: the immediate ---- */

/* aux2 */
#define SOFT_STRING_EXPLICIT 1u /* lengths in rAX and rDX */
#define SOFT_STRING_WIDE     2u /* RAX and RDX */
#define SOFT_STRING_MASK     4u /* the result is a mask in XMM0, not an index in ECX */
#define SOFT_STRING_VEX      8u
extern soft_handler soft_op_pcmpstr_r, soft_op_pcmpstr_m;

/* ---- op_vector_mask.c ---- */

/* dst, src, src2 or memory; imm: the selector, aux: bytes of an element */
extern soft_handler *const soft_blend[SOFT_ENCODINGS][2];
/* dst, src or memory; aux: 0, or bytes of the elements whose top bits count */
extern soft_handler *const soft_vector_test[SOFT_ENCODINGS][2];
/* dst, memory, src: the mask; aux: bytes of an element, src2: of the register */
extern soft_handler soft_op_mask_load, soft_op_mask_store;
/* dst: the data, src: the mask; aux: the segment, src2: bytes of addresses */
extern soft_handler soft_op_maskmovdqu, soft_op_maskmovq;
/* dst, src: indices, src2: the mask; aux: elements; imm: */
#define SOFT_GATHER_SEGMENT   7u
#define SOFT_GATHER_8         8u /* bytes of an element, else 4 */
#define SOFT_GATHER_INDEX_8   16u
#define SOFT_GATHER_ADDRESS_4 32u
extern soft_handler soft_op_gather;
extern soft_handler soft_op_sha256rnds2_r, soft_op_sha256rnds2_m;

#endif
