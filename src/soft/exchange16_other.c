/* SPDX-License-Identifier: BSD-3-Clause */
/* No operation of 16 bytes: one lock of the machine keeps these instructions apart from each other,
 * and each half is read and written by itself. */
#include "soft/exchange16.h"

#include "soft/machine.h"

bool soft_exchange16(struct soft_cpu *cpu, uint64_t at[2], uint64_t old[2])
{
    bool equal;

    visor__mutex_lock(&cpu->machine->exchange_lock);
    old[0] = __atomic_load_n(&at[0], __ATOMIC_SEQ_CST);
    old[1] = __atomic_load_n(&at[1], __ATOMIC_SEQ_CST);
    equal = old[0] == cpu->r[SOFT_RAX] && old[1] == cpu->r[SOFT_RDX];
    if (equal) {
        __atomic_store_n(&at[0], cpu->r[SOFT_RBX], __ATOMIC_SEQ_CST);
        __atomic_store_n(&at[1], cpu->r[SOFT_RCX], __ATOMIC_SEQ_CST);
    }
    visor__mutex_unlock(&cpu->machine->exchange_lock);
    return equal;
}
