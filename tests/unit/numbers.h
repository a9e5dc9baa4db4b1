/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers for tests, which begin anew from a seed: xorshift64* (Marsaglia; Vigna). `state`
 * is not 0. And floating point that is likely to matter, and what is near enough for an
 * approximation.
 */
#ifndef VISOR_TESTS_NUMBERS_H
#define VISOR_TESTS_NUMBERS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t numbers_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline unsigned numbers_below(uint64_t *state, unsigned n)
{
    return (unsigned)((numbers_next(state) >> 32) % n);
}

static inline uint32_t numbers_f32(uint64_t *state)
{
    static const uint32_t special[] = {
        0x00000000, 0x00000001, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff, 0x7f800000,
        0x7fc00000, 0x7f800001, 0x7fa12345, 0x7fffffff, 0x3f800000, 0x3f000000, 0x3fc00000,
        0x40200000, 0x4f000000, 0x4effffff, 0x4f800000, 0x5f000000, 0x5effffff, 0x33800000,
        0x38800000, 0x387fffff, 0x33000000, 0x477fe000, 0x477ff000, 0x477fefff, 0x1f800000,
        0x00400000, 0x34000000, 0x7e800000, 0x01000000,
    };
    uint32_t sign = (uint32_t)(numbers_next(state) >> 63) << 31;

    switch (numbers_below(state, 4)) {
    case 0: return (uint32_t)numbers_next(state);
    case 1:
        return sign | (110 + numbers_below(state, 35)) << 23 |
               (uint32_t)(numbers_next(state) & 0x7fffff);
    default: return sign | special[numbers_below(state, sizeof(special) / sizeof(special[0]))];
    }
}

static inline uint64_t numbers_f64(uint64_t *state)
{
    static const uint64_t special[] = {
        0x0000000000000000, 0x0000000000000001, 0x000fffffffffffff, 0x0010000000000000,
        0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001,
        0x7ff4000000012345, 0x7fffffffffffffff, 0x3ff0000000000000, 0x3fe0000000000000,
        0x3ff8000000000000, 0x4004000000000000, 0x41e0000000000000, 0x41dfffffffc00000,
        0x41dfffffffe00000, 0xc1e0000000100000, 0xc1e0000000200000, 0x43e0000000000000,
        0x43dfffffffffffff, 0x36a0000000000000, 0x3690000000000000, 0x380fffffffffffff,
        0x3810000000000000, 0x380fffffe0000000, 0x380fffffd0000000, 0x47efffffe0000000,
        0x47effffff0000000, 0x47efffffefffffff, 0x3ca0000000000000, 0x1ff0000000000000,
        0x0008000000000000, 0x3fefffffffffffff, 0x36a8000000000000, 0x380fffffefffffff,
    };
    uint64_t sign = numbers_next(state) >> 63 << 63;

    switch (numbers_below(state, 4)) {
    case 0: return numbers_next(state);
    case 1:
        return sign | (uint64_t)(1000 + numbers_below(state, 90)) << 52 |
               (numbers_next(state) & UINT64_C(0xfffffffffffff));
    default: return sign | special[numbers_below(state, sizeof(special) / sizeof(special[0]))];
    }
}

/* Relative errors of up to 1.5 * 2^-12 (SDM vol. 2, RCPPS); what is no number is exact. */
static inline bool numbers_near_f32(uint32_t x, uint32_t y)
{
    float a, b;

    memcpy(&a, &x, 4);
    memcpy(&b, &y, 4);
    /* What is tiny is flushed to zero; where exactly that begins differs too. */
    if (fabsf(a) <= 0x1.01p-126f && fabsf(b) <= 0x1.01p-126f && signbit(a) == signbit(b))
        return true;
    return x == y || (isnormal(a) && isnormal(b) && fabsf(a - b) <= fabsf(a) * 0x3p-12f);
}

#endif
