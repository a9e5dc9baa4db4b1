/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Floating point of SSE and AVX: binary32 and binary64 (and binary16, which is only converted).
 *
 * Values are their bits. Everything is worked out in integers here, so that results and flags are
 * the same on every host and do not depend on its floating-point environment. Where the common
 * case is simple enough to know that the host does the same, the host's unit does it; see FAST in
 * vector_float.c for the conditions and the reasons.
 */
#ifndef VISOR_SOFT_VECTOR_FLOAT_H
#define VISOR_SOFT_VECTOR_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

/* MXCSR (SDM vol. 1, 10.2.3). */
#define SOFT_FP_IE  0x0001u
#define SOFT_FP_DE  0x0002u
#define SOFT_FP_ZE  0x0004u
#define SOFT_FP_OE  0x0008u
#define SOFT_FP_UE  0x0010u
#define SOFT_FP_PE  0x0020u
#define SOFT_FP_DAZ 0x0040u
#define SOFT_FP_OM  0x0400u
#define SOFT_FP_UM  0x0800u
#define SOFT_FP_FTZ 0x8000u

#define SOFT_FP_MASKS      0x1f80u
#define SOFT_FP_MASK_SHIFT 7
#define SOFT_FP_RC_SHIFT   13

enum soft_rounding { SOFT_NEAREST, SOFT_DOWN, SOFT_UP, SOFT_TO_ZERO };

/* One instruction's: what MXCSR was, and the exceptions so far. */
struct soft_fp {
    uint32_t mxcsr;
    uint32_t flags;
    uint32_t kept; /* flags of steps that are done, of an instruction of several */
};

static inline enum soft_rounding soft_fp_rounding(const struct soft_fp *fp)
{
    return (enum soft_rounding)(fp->mxcsr >> SOFT_FP_RC_SHIFT & 3);
}

uint32_t soft_f32_add(struct soft_fp *fp, uint32_t a, uint32_t b);
uint32_t soft_f32_sub(struct soft_fp *fp, uint32_t a, uint32_t b);
uint32_t soft_f32_mul(struct soft_fp *fp, uint32_t a, uint32_t b);
uint32_t soft_f32_div(struct soft_fp *fp, uint32_t a, uint32_t b);
uint32_t soft_f32_sqrt(struct soft_fp *fp, uint32_t a);
uint32_t soft_f32_min(struct soft_fp *fp, uint32_t a, uint32_t b);
uint32_t soft_f32_max(struct soft_fp *fp, uint32_t a, uint32_t b);
/* a * b + c with one rounding */
uint32_t soft_f32_fma(struct soft_fp *fp, uint32_t a, uint32_t b, uint32_t c);
uint64_t soft_f64_add(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_sub(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_mul(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_div(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_sqrt(struct soft_fp *fp, uint64_t a);
uint64_t soft_f64_min(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_max(struct soft_fp *fp, uint64_t a, uint64_t b);
uint64_t soft_f64_fma(struct soft_fp *fp, uint64_t a, uint64_t b, uint64_t c);

enum soft_order { SOFT_LESS, SOFT_EQUAL, SOFT_GREATER, SOFT_UNORDERED };
/* signal: a quiet NaN is invalid too */
enum soft_order soft_f32_compare(struct soft_fp *fp, uint32_t a, uint32_t b, bool signal);
enum soft_order soft_f64_compare(struct soft_fp *fp, uint64_t a, uint64_t b, bool signal);

/* To an integral value. exact: PE is not signalled. */
uint32_t soft_f32_round(struct soft_fp *fp, uint32_t a, enum soft_rounding rounding, bool exact);
uint64_t soft_f64_round(struct soft_fp *fp, uint64_t a, enum soft_rounding rounding, bool exact);

/* To integers: 0x80000000... if it does not fit. */
uint32_t soft_f32_to_s32(struct soft_fp *fp, uint32_t a, enum soft_rounding rounding);
uint64_t soft_f32_to_s64(struct soft_fp *fp, uint32_t a, enum soft_rounding rounding);
uint32_t soft_f64_to_s32(struct soft_fp *fp, uint64_t a, enum soft_rounding rounding);
uint64_t soft_f64_to_s64(struct soft_fp *fp, uint64_t a, enum soft_rounding rounding);
uint32_t soft_f32_from_s64(struct soft_fp *fp, int64_t a);
uint64_t soft_f64_from_s64(struct soft_fp *fp, int64_t a);

uint64_t soft_f32_to_f64(struct soft_fp *fp, uint32_t a);
uint32_t soft_f64_to_f32(struct soft_fp *fp, uint64_t a);
/* DAZ and FTZ do not count for binary16 (SDM vol. 1, 14.4.1). */
uint32_t soft_f16_to_f32(struct soft_fp *fp, uint16_t a);
uint16_t soft_f32_to_f16(struct soft_fp *fp, uint32_t a, enum soft_rounding rounding);

/* Approximations with relative errors below 1.5 * 2^-12; they signal nothing and never see
 * denormals. */
uint32_t soft_f32_rcp(uint32_t a);
uint32_t soft_f32_rsqrt(uint32_t a);

#endif
