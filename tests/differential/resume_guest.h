/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose result depends on everything that it has: memory, page tables, flags, x87, SSE,
 * AVX, MSRs, segments, three modes, exceptions. It computes for some rounds, then writes 8 bytes to
 * RESUME_DONE, 4 at a time. What it computes does not depend on time, nor on when it is
 * interrupted.
 *
 * With chips it is interrupted meanwhile by the PIT through the PIC, by the local APIC's timer, and
 * by the line RESUME_LINE of the I/O APIC, level-triggered, for which it asks to be lowered with a
 * write to RESUME_LOWER. It ends when both timers have come at least twice more, and the number of
 * interrupts by the line is in the result.
 */
#ifndef VISOR_TESTS_DIFFERENTIAL_RESUME_GUEST_H
#define VISOR_TESTS_DIFFERENTIAL_RESUME_GUEST_H

#include "machine.h"

#define RESUME_RAM   0x100000u
#define RESUME_DONE  0x510u
#define RESUME_LOWER 0x518u
#define RESUME_LINE  10u

/* What the guest has, and uses. */
#define RESUME_CHIPS 1u
#define RESUME_AVX   2u
#define RESUME_REGS  4u /* CR8 and debug registers */

/* Puts the guest into a new machine; NULL: fine. */
const char *resume_guest_start(struct machine *machine, uint64_t seed, unsigned rounds,
                               unsigned features);
/* Whether RIP is in a handler of the guest's. */
bool resume_guest_handles(uint64_t rip);
/* Whether it has possibly switched interrupts off for the last time. */
bool resume_guest_is_over(uint64_t rip);

#endif
