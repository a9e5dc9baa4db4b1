/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A snapshot that is taken at a random instruction goes on on another hypervisor, and ends with the
 * same result; one of the two is the software CPU. The guest is stopped by a kick after a random
 * time, and a random number of single steps; what it computes is in resume_guest.h.
 */
#ifndef VISOR_TESTS_DIFFERENTIAL_JOURNEY_H
#define VISOR_TESTS_DIFFERENTIAL_JOURNEY_H

#include "resume_guest.h"

/* What is a program's own. */
struct journey_terms {
    unsigned rounds;   /* of the guest */
    unsigned steps;    /* fewer than this, behind a kick */
    unsigned features; /* of the guest, RESUME_...; chips come by themselves */
    unsigned points; /* of each of the four journeys, unless the command line has another number */
    uint64_t limit_us; /* for a guest's whole run */
    bool slow;         /* some snapshots take longer for a section than the guest's timers do */
};

/*
 * Both ways, without interrupt chips and with them: prints TAP. Arguments: [--seed N] [--points N],
 * others are ignored. Returns the program's exit status.
 */
int journey_main(int argc, char **argv, struct machine machines[2],
                 const struct journey_terms *terms);

/* ---- the program has these of its system ---- */

/* Kicks the vCPU once, `us` from now, unless it is called again before. NULL: none. */
void journey_kick_after(visor_vcpu *vcpu, uint64_t us);
/* Monotonic. */
uint64_t journey_now_us(void);

#endif
