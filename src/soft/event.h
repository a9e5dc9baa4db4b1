/* SPDX-License-Identifier: BSD-3-Clause */
/* Exceptions and interrupts on their way into the guest (SDM vol. 3A, chapter 6). */
#ifndef VISOR_SOFT_EVENT_H
#define VISOR_SOFT_EVENT_H

#include "soft/cpu.h"

#define SOFT_DR6_BS   (UINT64_C(1) << 14)
#define SOFT_DR6_BD   (UINT64_C(1) << 13)
#define SOFT_DR6_INIT UINT64_C(0xffff0ff0)

/* Makes it the next event. If another is being delivered, both become a double fault, or the end.
 */
void soft_event_raise(struct soft_cpu *cpu, const struct soft_event *event);
/* The flags that what is being delivered saves, on a stack or in a TSS. */
uint64_t soft_event_flags(const struct soft_cpu *cpu);
/* #DB behind an instruction. */
void soft_event_trap(struct soft_cpu *cpu, uint64_t dr6);
/* Delivers cpu->event. Raises what goes wrong. */
void soft_event_deliver(struct soft_cpu *cpu);
/* The delivery is broken off, to be done anew. */
void soft_event_undo(struct soft_cpu *cpu);

#endif
