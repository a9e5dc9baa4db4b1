/* SPDX-License-Identifier: BSD-3-Clause */
/* Translation of addresses, for the rooms that need more than memory.h. */
#ifndef VISOR_SOFT_MMU_H
#define VISOR_SOFT_MMU_H

#include "soft/cpu.h"

struct soft_translation {
    uint64_t gpa;
    bool writable; /* writes may go there without another walk: permitted, and D is set */
    bool global;
    uint64_t size; /* of the page, in bytes */
};

/* Walks the tables, sets A and D, raises #PF. address is canonical. */
void soft_translate(struct soft_translation *out, struct soft_cpu *cpu, const struct soft_uop *op,
                    uint64_t address, enum soft_access_kind kind, enum soft_rights rights);
/* Once, before anything else. */
void soft_tlb_init(struct soft_cpu *cpu);
/* Every page's next write is seen: after the dirty log has been harvested. */
void soft_tlb_protect_all(struct soft_cpu *cpu);

#endif
