/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic in the x87's format of 80 bits, in integers only, so that it is the same on every
 * host: no host but x86 has a unit for it, and long double is another format elsewhere. Rounding,
 * exceptions, NaNs and denormals as in SDM vol. 1, chapters 4.8 and 8.
 *
 * These functions know no CPU: they take the control word's fields and collect the flags of the
 * status word.
 */
#ifndef VISOR_SOFT_F80_H
#define VISOR_SOFT_F80_H

#include <stdbool.h>
#include <stdint.h>

#include "soft/cpu.h"

#define F80_IE 0x01u
#define F80_DE 0x02u
#define F80_ZE 0x04u
#define F80_OE 0x08u
#define F80_UE 0x10u
#define F80_PE 0x20u

enum f80_rounding { F80_NEAREST, F80_DOWN, F80_UP, F80_ZERO };

struct f80_context {
    uint16_t control; /* FCW: masks, precision, rounding */
    uint16_t flags;   /* exceptions so far */
    bool up;          /* the last rounding was away from zero: C1 */
};

#define F80_QUIET UINT64_C(0x4000000000000000)
#define F80_ONE   UINT64_C(0x8000000000000000) /* the integer bit */
#define F80_BIAS  16383

static inline bool f80_sign(struct soft_f80 a)
{
    return a.sign_exponent >> 15 != 0;
}

static inline unsigned f80_exponent(struct soft_f80 a)
{
    return a.sign_exponent & 0x7fffu;
}

static inline bool f80_is_zero(struct soft_f80 a)
{
    return f80_exponent(a) == 0 && a.significand == 0;
}

static inline bool f80_is_infinite(struct soft_f80 a)
{
    return f80_exponent(a) == 0x7fff && a.significand == F80_ONE;
}

/* Unnormals, pseudo-NaNs and pseudo-infinities, which processors since the 387 refuse. */
static inline bool f80_is_unsupported(struct soft_f80 a)
{
    return f80_exponent(a) != 0 && (a.significand & F80_ONE) == 0;
}

static inline bool f80_is_nan(struct soft_f80 a)
{
    return f80_exponent(a) == 0x7fff && (a.significand & F80_ONE) != 0 && a.significand != F80_ONE;
}

static inline bool f80_is_signalling(struct soft_f80 a)
{
    return f80_is_nan(a) && (a.significand & F80_QUIET) == 0;
}

/* Denormals, and pseudo-denormals. */
static inline bool f80_is_denormal(struct soft_f80 a)
{
    return f80_exponent(a) == 0 && a.significand != 0;
}

static inline struct soft_f80 f80_make(bool sign, unsigned exponent, uint64_t significand)
{
    return (struct soft_f80){significand, (uint16_t)((unsigned)sign << 15 | exponent)};
}

/* The indefinite: what an invalid operation gives. */
struct soft_f80 f80_indefinite(void);

struct soft_f80 f80_add(struct f80_context *c, struct soft_f80 a, struct soft_f80 b);
struct soft_f80 f80_sub(struct f80_context *c, struct soft_f80 a, struct soft_f80 b);
struct soft_f80 f80_mul(struct f80_context *c, struct soft_f80 a, struct soft_f80 b);
struct soft_f80 f80_div(struct f80_context *c, struct soft_f80 a, struct soft_f80 b);
struct soft_f80 f80_sqrt(struct f80_context *c, struct soft_f80 a);
/* To an integer in the same format, by the rounding of the control word. */
struct soft_f80 f80_round(struct f80_context *c, struct soft_f80 a);
/* a * 2^trunc(b) */
struct soft_f80 f80_scale(struct f80_context *c, struct soft_f80 a, struct soft_f80 b);
/* FPREM (nearest: FPREM1). *quotient: the low bits, -1 if the reduction is incomplete. */
struct soft_f80 f80_remainder(struct f80_context *c, struct soft_f80 a, struct soft_f80 b,
                              bool nearest, int *quotient);
/* *exponent gets the unbiased exponent of a as a number; returns the significand, in [1, 2). */
struct soft_f80 f80_extract(struct f80_context *c, struct soft_f80 a, struct soft_f80 *exponent);

enum f80_order { F80_LESS, F80_EQUAL, F80_GREATER, F80_UNORDERED };
/* quiet: a quiet NaN is no invalid operation (FUCOM). */
enum f80_order f80_compare(struct f80_context *c, struct soft_f80 a, struct soft_f80 b, bool quiet);

/* ---- conversions: f80_convert.c ---- */

struct soft_f80 f80_from_int(int64_t value);
struct soft_f80 f80_from_f32(struct f80_context *c, uint32_t value);
struct soft_f80 f80_from_f64(struct f80_context *c, uint64_t value);
uint32_t f80_to_f32(struct f80_context *c, struct soft_f80 a);
uint64_t f80_to_f64(struct f80_context *c, struct soft_f80 a);
/* bits: 16, 32, 64. What does not fit is the smallest number, and invalid. truncate: FISTTP. */
int64_t f80_to_int(struct f80_context *c, struct soft_f80 a, unsigned bits, bool truncate);
/* Packed decimal of 10 bytes (SDM vol. 1, 4.7). */
struct soft_f80 f80_from_bcd(const uint8_t bcd[10]);
void f80_to_bcd(uint8_t bcd[10], struct f80_context *c, struct soft_f80 a);

/* ---- functions: f80_math.c ---- */

struct soft_f80 f80_2xm1(struct f80_context *c, struct soft_f80 a);
struct soft_f80 f80_yl2x(struct f80_context *c, struct soft_f80 y, struct soft_f80 x);
struct soft_f80 f80_yl2xp1(struct f80_context *c, struct soft_f80 y, struct soft_f80 x);
struct soft_f80 f80_patan(struct f80_context *c, struct soft_f80 y, struct soft_f80 x);
/* Either result may be NULL: it raises no exceptions then. False: the operand is too large to be
 * reduced, and is the result. */
bool f80_sincos(struct soft_f80 *sin, struct soft_f80 *cos, struct f80_context *c,
                struct soft_f80 a);
bool f80_ptan(struct soft_f80 *out, struct f80_context *c, struct soft_f80 a);

/* ---- inside ---- */

/* A finite number: (-1)^sign * significand * 2^(exponent - 63), integer bit set unless zero. */
struct f80_number {
    bool sign;
    int32_t exponent;
    uint64_t significand;
};
/* Normalizes; flags denormals. */
struct f80_number f80_unpack(struct f80_context *c, struct soft_f80 a);
/*
 * Rounds a significand of 128 bits with its top bit set (or zero), to the precision of the control
 * word, and packs. Handles overflow and underflow, masked or not.
 */
struct soft_f80 f80_pack(struct f80_context *c, bool sign, int32_t exponent,
                         unsigned __int128 significand);
/* What an operation with a NaN, or with an operand of no format, gives; false if there is none. */
bool f80_nan(struct soft_f80 *out, struct f80_context *c, struct soft_f80 a, struct soft_f80 b);

#endif
