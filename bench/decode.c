/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * decode FILE [ROUNDS]: what the software CPU's decoder costs, on x86-64 code from a file:
 *
 *     objcopy -O binary --only-section=.text /lib/x86_64-linux-gnu/libc.so.6 text
 *     build/gcc/bench/decode text
 *     valgrind --tool=callgrind build/gcc/bench/decode text 1     # exactly, without noise
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "soft/decode.h"

#define MAX_BYTES (8 << 20)

/* ns of this process, not of others on a busy machine. */
static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* One pass over the code; returns the number of instructions. */
static uint64_t sweep(const uint8_t *code, size_t size)
{
    struct soft_insn insn;
    uint64_t count = 0;

    for (size_t at = 0; at < size; count++) {
        int length = soft_decode(&insn, code + at, size - at, SOFT_MODE_64);

        at += length > 0 ? (size_t)length : 1;
    }
    return count;
}

int main(int argc, char **argv)
{
    static uint8_t code[MAX_BYTES];
    const unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    uint64_t count = 0;
    size_t size;
    double start;

    if (file == NULL) {
        fprintf(stderr, "usage: decode FILE [ROUNDS]\n");
        return 2;
    }
    size = fread(code, 1, sizeof(code), file);
    fclose(file);
    start = now();
    for (unsigned long i = 0; i < rounds; i++)
        count += sweep(code, size);
    printf("%llu instructions, %.1f ns each\n", (unsigned long long)count,
           (now() - start) / (double)(count > 0 ? count : 1));
    return 0;
}
