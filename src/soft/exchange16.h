/* SPDX-License-Identifier: BSD-3-Clause */
/* What CMPXCHG16B needs of the host: a file for each kind, chosen by the build. */
#ifndef VISOR_SOFT_EXCHANGE16_H
#define VISOR_SOFT_EXCHANGE16_H

#include "soft/cpu.h"

/* Compares the 16 aligned bytes at `at` with RDX:RAX, and stores RCX:RBX there if they are equal.
 * old: what was there. */
bool soft_exchange16(struct soft_cpu *cpu, uint64_t at[2], uint64_t old[2]);

#endif
