/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kick protocol, common to all backends.
 *
 * `pending` is the truth; what the backend's kick does (a byte in the run area and a signal, a
 * cancel call, …) only makes a run look at it soon.
 *
 *   kick:  inside++;  pending = true;  if (running) ops->kick();  inside--
 *   run:   visor__run_begin(): running = true; reset; takes pending
 *          … enter the guest …
 *          visor__run_end():   running = false; waits until no kick is inside; takes pending
 *
 * All accesses are sequentially consistent, so of a kick and a run that begins at the same time at
 * least one sees the other: no kick is lost. Since a run does not return while a kick is inside,
 * ops->kick() is called between begin and end only: no signal of it can arrive after the run, and
 * none can touch a vCPU that has been freed, whose `running` stays false.
 *
 * A backend that has to reset its own "leave now" mark does so between running = true and the look
 * at pending (the reset hook of run_begin): a kick that the look misses sets the mark after the
 * reset.
 */
#ifndef VISOR_CORE_KICK_H
#define VISOR_CORE_KICK_H

#include <stdatomic.h>
#include <stdbool.h>

struct visor__kick {
    atomic_bool pending;
    atomic_bool running;
    atomic_uint inside;
};

struct visor_vcpu;

/*
 * Before entering the guest. reset (may be NULL) clears the backend's own "leave now" mark.
 * Returns true if a kick was pending: it is consumed, the run is over, and the backend returns
 * VISOR_EXIT_KICKED without entering and without calling visor__run_end().
 */
bool visor__run_begin(struct visor_vcpu *vcpu, void (*reset)(struct visor_vcpu *vcpu));
/*
 * After leaving the guest. interrupted: the hypervisor said that it was asked to leave. Returns
 * true if it was a kick that asked (consumed): the backend returns VISOR_EXIT_KICKED. A kick that
 * coincides with another exit stays pending for the next run. When this returns, a signal that
 * ops->kick() has sent is pending on this thread already: it can be drained.
 */
bool visor__run_end(struct visor_vcpu *vcpu, bool interrupted);
/*
 * For backends that have to get a vCPU out of the guest for reasons of their own: calls ops->kick()
 * if a run is under way, without making it a kick. visor__run_end() then returns false.
 */
void visor__kick_nudge(struct visor_vcpu *vcpu);

#endif
