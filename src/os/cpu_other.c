/* SPDX-License-Identifier: BSD-3-Clause */
/* Processors that are not x86. */
#include "os/cpu.h"

bool visor__cpu_tsc(uint64_t *out)
{
    (void)out;
    return false;
}

void visor__cpu_cpuid(uint32_t out[4], uint32_t function, uint32_t index)
{
    (void)function;
    (void)index;
    out[0] = out[1] = out[2] = out[3] = 0;
}
