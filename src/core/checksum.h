/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checksum of snapshots: Fletcher's, over 64-bit little-endian words modulo 2^64. It finds torn,
 * truncated and flipped data at memory speed; it is no defence against forgery.
 */
#ifndef VISOR_CORE_CHECKSUM_H
#define VISOR_CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct visor__checksum {
    uint64_t sum, sum_of_sums;
};

/* Adds data; a length that is no multiple of 8 is padded with zeros. */
static inline void visor__checksum_add(struct visor__checksum *checksum, const void *data,
                                       size_t length)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, length - i < sizeof(word) ? length - i : sizeof(word));
        checksum->sum += word;
        checksum->sum_of_sums += checksum->sum;
    }
}

/* The number that is stored. Never 0 by mere absence of data: empty data gives a constant. */
static inline uint64_t visor__checksum_value(const struct visor__checksum *checksum)
{
    return checksum->sum_of_sums ^ checksum->sum << 32 ^ checksum->sum >> 32 ^ 0x5669736f72303031u;
}

#endif
