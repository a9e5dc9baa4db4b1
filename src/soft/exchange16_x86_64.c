/* SPDX-License-Identifier: BSD-3-Clause */
/* The host's own instruction, which compilers use only if told that it exists. */
#include "soft/exchange16.h"

bool soft_exchange16(struct soft_cpu *cpu, uint64_t at[2], uint64_t old[2])
{
    uint64_t low = cpu->r[SOFT_RAX], high = cpu->r[SOFT_RDX];
    bool equal;

    __asm__ volatile("lock cmpxchg16b %[at]"
                     : [at] "+m"(*(uint64_t(*)[2])at), "+a"(low), "+d"(high), "=@ccz"(equal)
                     : "b"(cpu->r[SOFT_RBX]), "c"(cpu->r[SOFT_RCX])
                     : "memory");
    old[0] = low;
    old[1] = high;
    return equal;
}
