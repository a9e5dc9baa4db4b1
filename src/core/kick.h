/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kick protocol, common to all backends.
 *
 * `pending` is the truth; what the backend's kick does (a byte in the run area and a signal, a
 * cancel call, …) only makes a run look at it soon.
 *
 *   kick:  pending = 1;  inside++;  if (open) ops->kick();  inside--
 *   run:   visor__run_begin(): state = running; returns true if pending was set (consumed)
 *          … enter the guest …
 *          visor__run_end():   state = idle; waits until no kick is inside, so that no signal can
 *          still be on its way to this thread; returns true if pending was set and `consume`
 *   free:  visor__kick_close(): open = 0; waits until no kick is inside
 *
 * All accesses are sequentially consistent. A backend that has to reset its own "leave now" mark
 * does so between state = running and the look at pending (the reset hook of run_begin): a kick
 * that the look misses sets the mark after the reset.
 */
#ifndef VISOR_CORE_KICK_H
#define VISOR_CORE_KICK_H

#include <stdatomic.h>
#include <stdbool.h>

struct visor__kick {
    atomic_bool pending;
    atomic_bool running;
    atomic_bool open;
    atomic_uint inside;
};

struct visor_vcpu;

/*
 * Before entering the guest. reset (may be NULL) clears the backend's own "leave now" mark.
 * Returns true if a kick was pending: it is consumed, state is idle again, and the backend returns
 * VISOR_EXIT_KICKED without entering and without calling visor__run_end().
 */
bool visor__run_begin(struct visor_vcpu *vcpu, void (*reset)(struct visor_vcpu *vcpu));
/*
 * After leaving the guest. interrupted: the hypervisor said that it was asked to leave. Returns
 * true if it was a kick that asked (consumed): the backend returns VISOR_EXIT_KICKED. A kick that
 * coincides with another exit stays pending for the next run.
 */
bool visor__run_end(struct visor_vcpu *vcpu, bool interrupted);
/* Whether the vCPU is between the two. For ops->kick(). */
bool visor__kick_running(const struct visor_vcpu *vcpu);
/* From now on kicks do nothing. Returns once none is inside. */
void visor__kick_close(struct visor_vcpu *vcpu);

#endif
