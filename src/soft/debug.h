/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Breakpoints, watchpoints and steps: the guest's own (DR0 to DR7; SDM vol. 3B, 17.2) and the
 * VMM's. While any is set, instructions are executed one by one, and no access finds a TLB entry.
 */
#ifndef VISOR_SOFT_DEBUG_H
#define VISOR_SOFT_DEBUG_H

#include "soft/cpu.h"

/* After DR7 or the VMM's configuration has changed. */
void soft_debug_update(struct soft_cpu *cpu);
/*
 * Before the instruction at cpu->rip: VISOR_EXIT_DEBUG with its payload for a breakpoint of the
 * VMM's; VISOR_EXIT_NONE otherwise, after #DB has been made the next event for one of the guest's.
 */
int soft_debug_before(struct soft_cpu *cpu);
/* After it: likewise for watchpoints it has hit, and steps of the VMM's. */
int soft_debug_after(struct soft_cpu *cpu);
/* Notes watchpoints that an access hits; soft_debug_after() asks. */
void soft_debug_access(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write);
void soft_debug_port(struct soft_cpu *cpu, uint16_t port, unsigned length);
/* Whether the VMM wants to see this breakpoint instruction: fills in the exit. */
bool soft_debug_int3(struct soft_cpu *cpu, uint64_t rip);

#endif
