/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic flags, worked out when somebody asks.
 *
 * Most flags are overwritten before anybody looks, so an operation only leaves what they follow
 * from: `result`, sign-extended to 64 bits, and `aux`:
 *
 *   bit 63      CF
 *   bit 62      CF ^ OF: the carry into the most significant bit
 *   bit 16      SF is the complement of the sign of result (POPF can set SF and ZF together)
 *   bits 15:8   PF is the parity of these, xor the low byte of result
 *   bit 3       AF: the carry out of bit 3
 *
 * For additions and subtractions aux is the vector of carries, shifted so that the operand's most
 * significant bit is bit 63. That is the whole cost of an operation.
 */
#ifndef VISOR_SOFT_FLAGS_H
#define VISOR_SOFT_FLAGS_H

#include "soft/cpu.h"

#define SOFT_AUX_CF     (UINT64_C(1) << 63)
#define SOFT_AUX_OF_CF  (UINT64_C(1) << 62)
#define SOFT_AUX_SIGN   (UINT64_C(1) << 16)
#define SOFT_AUX_PARITY 8
#define SOFT_AUX_AF     (UINT64_C(1) << 3)

static inline bool soft_cf(const struct soft_cpu *cpu)
{
    return (cpu->aux >> 63) != 0;
}

static inline bool soft_of(const struct soft_cpu *cpu)
{
    return ((cpu->aux ^ cpu->aux << 1) >> 63) != 0;
}

static inline bool soft_zf(const struct soft_cpu *cpu)
{
    return cpu->result == 0;
}

static inline bool soft_sf(const struct soft_cpu *cpu)
{
    return ((cpu->result >> 63) ^ (cpu->aux >> 16 & 1)) != 0;
}

static inline bool soft_af(const struct soft_cpu *cpu)
{
    return (cpu->aux & SOFT_AUX_AF) != 0;
}

static inline bool soft_pf(const struct soft_cpu *cpu)
{
    uint32_t folded = (uint32_t)(cpu->result ^ cpu->aux >> SOFT_AUX_PARITY) & 0xff;

    folded ^= folded >> 4;
    return (0x9669u >> (folded & 15) & 1) != 0;
}

/* ---- after operations; size is in bits, operands are zero-extended or not, as they come ---- */

/* The operand's most significant bit to bit 63, and the carry out of bit 3 kept at bit 3. */
static inline uint64_t soft_carries(uint64_t carries, unsigned size)
{
    return size == 64 ? carries & ~UINT64_C(0x1fff0) : carries << (64 - size) | (carries & 8);
}

#define SOFT_SIGNED(value, size)                          \
    ((size) == 8    ? (uint64_t)(int64_t)(int8_t)(value)  \
     : (size) == 16 ? (uint64_t)(int64_t)(int16_t)(value) \
     : (size) == 32 ? (uint64_t)(int64_t)(int32_t)(value) \
                    : (uint64_t)(value))

static inline void soft_flags_add(struct soft_cpu *cpu, uint64_t a, uint64_t b, uint64_t sum,
                                  unsigned size)
{
    cpu->result = SOFT_SIGNED(sum, size);
    cpu->aux = soft_carries((a & b) | ((a | b) & ~sum), size);
}

/* Of a - b. */
static inline void soft_flags_sub(struct soft_cpu *cpu, uint64_t a, uint64_t b, uint64_t difference,
                                  unsigned size)
{
    cpu->result = SOFT_SIGNED(difference, size);
    cpu->aux = soft_carries((~a & b) | ((~a | b) & difference), size);
}

static inline void soft_flags_logic(struct soft_cpu *cpu, uint64_t value, unsigned size)
{
    cpu->result = SOFT_SIGNED(value, size);
    cpu->aux = 0;
}

/* INC and DEC: CF stays. */
static inline void soft_flags_keep_cf(struct soft_cpu *cpu, bool cf)
{
    /* Bit 62 is CF ^ OF: both change with CF. */
    if (((cpu->aux >> 63) != 0) != cf)
        cpu->aux ^= SOFT_AUX_CF | SOFT_AUX_OF_CF;
}

/* A result whose CF and OF are something of their own: shifts, multiplications. AF is 0. */
static inline void soft_flags_result(struct soft_cpu *cpu, uint64_t value, unsigned size, bool cf,
                                     bool of)
{
    cpu->result = SOFT_SIGNED(value, size);
    cpu->aux = (cf ? SOFT_AUX_CF : 0) | (cf != of ? SOFT_AUX_OF_CF : 0);
}

/* Sets CF and OF, and leaves the others: rotations. */
static inline void soft_flags_cf_of(struct soft_cpu *cpu, bool cf, bool of)
{
    cpu->aux = (cpu->aux & ~(SOFT_AUX_CF | SOFT_AUX_OF_CF)) | (cf ? SOFT_AUX_CF : 0) |
               (cf != of ? SOFT_AUX_OF_CF : 0);
}

/* ---- as a whole ---- */

static inline uint32_t soft_flags_arithmetic(const struct soft_cpu *cpu)
{
    return (soft_cf(cpu) ? SOFT_CF : 0) | (soft_pf(cpu) ? SOFT_PF : 0) |
           (soft_af(cpu) ? SOFT_AF : 0) | (soft_zf(cpu) ? SOFT_ZF : 0) |
           (soft_sf(cpu) ? SOFT_SF : 0) | (soft_of(cpu) ? SOFT_OF : 0);
}

static inline void soft_flags_set_arithmetic(struct soft_cpu *cpu, uint32_t flags)
{
    bool cf = (flags & SOFT_CF) != 0, of = (flags & SOFT_OF) != 0;

    /* result 0 or 1: sign 0; the parity of 0 is even, that of 1 odd. */
    cpu->result = (flags & SOFT_ZF) == 0;
    cpu->aux =
        (cf ? SOFT_AUX_CF : 0) | (cf != of ? SOFT_AUX_OF_CF : 0) |
        ((flags & SOFT_AF) != 0 ? SOFT_AUX_AF : 0) | ((flags & SOFT_SF) != 0 ? SOFT_AUX_SIGN : 0) |
        (((flags & SOFT_PF) != 0) == (cpu->result == 0) ? 0 : UINT64_C(1) << SOFT_AUX_PARITY);
}

static inline uint32_t soft_eflags(const struct soft_cpu *cpu)
{
    return cpu->eflags | soft_flags_arithmetic(cpu) | 2;
}

/* All of EFLAGS, unchecked. The caller calls soft_mode_update() if VM or AC may have changed. */
static inline void soft_set_eflags(struct soft_cpu *cpu, uint32_t flags)
{
    soft_flags_set_arithmetic(cpu, flags);
    cpu->eflags = flags & SOFT_EFLAGS_ALL & ~SOFT_ARITHMETIC;
}

/* The condition of Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B). */
static inline bool soft_condition(const struct soft_cpu *cpu, unsigned cc)
{
    bool yes;

    switch (cc >> 1) {
    case 0: yes = soft_of(cpu); break;
    case 1: yes = soft_cf(cpu); break;
    case 2: yes = soft_zf(cpu); break;
    case 3: yes = soft_cf(cpu) || soft_zf(cpu); break;
    case 4: yes = soft_sf(cpu); break;
    case 5: yes = soft_pf(cpu); break;
    case 6: yes = soft_sf(cpu) != soft_of(cpu); break;
    default: yes = soft_zf(cpu) || soft_sf(cpu) != soft_of(cpu); break;
    }
    return yes != ((cc & 1) != 0);
}

#endif
