/* SPDX-License-Identifier: BSD-3-Clause */
/* What fuzzers take their input apart with, and how they say that something is wrong. */
#ifndef VISOR_TESTS_FUZZ_INPUT_H
#define VISOR_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void require(bool condition)
{
    if (!condition)
        abort();
}

/* Up to eight bytes of input as a number; zeros behind its end. */
static inline uint64_t input_next(const uint8_t **input, size_t *left, size_t bytes)
{
    uint64_t value = 0;

    if (bytes > *left)
        bytes = *left;
    memcpy(&value, *input, bytes);
    *input += bytes;
    *left -= bytes;
    return value;
}

#endif
