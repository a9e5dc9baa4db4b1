/* SPDX-License-Identifier: BSD-3-Clause */
/* What the library asks of the host's processor; one file per architecture implements it. */
#ifndef VISOR_OS_CPU_H
#define VISOR_OS_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* The x86 time-stamp counter; false if the host has none. */
bool visor__cpu_tsc(uint64_t *out);

/* The CPUID instruction: eax, ebx, ecx, edx. Zeros if the host has none. */
void visor__cpu_cpuid(uint32_t out[4], uint32_t function, uint32_t index);

#endif
