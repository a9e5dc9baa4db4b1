/* SPDX-License-Identifier: BSD-3-Clause */
#include <cpuid.h>

#include "os/cpu.h"

bool visor__cpu_tsc(uint64_t *out)
{
    uint32_t low, high;

    /* LFENCE: RDTSC alone may be executed before what precedes it (SDM vol. 2B, RDTSC). */
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    *out = (uint64_t)high << 32 | low;
    return true;
}

void visor__cpu_cpuid(uint32_t out[4], uint32_t function, uint32_t index)
{
    __cpuid_count(function, index, out[0], out[1], out[2], out[3]);
}
