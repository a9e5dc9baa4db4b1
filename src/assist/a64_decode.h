/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two files of the decoder share. */
#ifndef VISOR_ASSIST_A64_DECODE_H
#define VISOR_ASSIST_A64_DECODE_H

#include "assist/a64.h"

/* Bits high:low of word, as a number and as a signed number. */
static inline uint32_t visor__a64_bits(uint32_t word, unsigned high, unsigned low)
{
    return (word >> low) & (uint32_t)((UINT64_C(1) << (high - low + 1)) - 1);
}

static inline int32_t visor__a64_signed_bits(uint32_t word, unsigned high, unsigned low)
{
    const uint32_t sign = UINT32_C(1) << (high - low);

    return (int32_t)((visor__a64_bits(word, high, low) ^ sign) - sign);
}

/* a64_simd.c: "Advanced SIMD load/store multiple structures", "single structure", both also
 * post-indexed. Like visor__a64_decode(), in a description that holds the defaults. */
int visor__a64_multiple_structures(struct visor__a64_insn *insn, uint32_t word);
int visor__a64_single_structure(struct visor__a64_insn *insn, uint32_t word);

#endif
