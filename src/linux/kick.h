/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a kick reaches a thread that is inside a driver's "run" request, without a race.
 *
 * The kick signal is blocked in the thread that runs the vCPU and let through inside the request
 * only: by the driver itself (KVM_SET_SIGNAL_MASK), or by visor__linux_kick_ioctl(). A kick sets
 * the byte immediate_exit, which makes a request that has yet to begin come back at once, and sends
 * the signal, which ends one that has begun. `signalled` sees to it that there is at most one.
 *
 * All but visor__linux_kick() are for the thread that runs the vCPU. See core/kick.h for what is
 * around it.
 */
#ifndef VISOR_LINUX_KICK_H
#define VISOR_LINUX_KICK_H

#include <signal.h>

#include "linux/linux.h"

struct visor__linux_kick {
    int signal;
    uint8_t *immediate_exit; /* in the run area */
    atomic_int tid;          /* host thread that the mask was made for; 0: none */
    atomic_bool signalled;   /* the signal is on its way to that thread, or waits there */
};

/*
 * Makes this thread the one that runs the vCPU. Returns 0 if it is already. Else blocks the kick
 * signal in it and returns 1 with the mask for inside the request, which is the thread's own
 * without the kick signal: hand it to the driver, then call visor__linux_kick_adopted(). The mask
 * is looked at again after visor__linux_kick_forget_thread(), which belongs after every
 * VISOR_EXIT_INTR: a signal that was blocked meanwhile would end each request for ever.
 */
int visor__linux_kick_adopt(struct visor__linux_kick *kick, const char *backend, sigset_t *mask);
void visor__linux_kick_adopted(struct visor__linux_kick *kick);
void visor__linux_kick_forget_thread(struct visor__linux_kick *kick);

/* For visor__run_begin(): takes back what an earlier kick has set. */
void visor__linux_kick_reset(struct visor__linux_kick *kick);
/* After visor__run_end(): what has been sent has arrived by now. interrupted: the request ended
 * with EINTR, whoever sent the signal. */
void visor__linux_kick_drop(struct visor__linux_kick *kick, bool interrupted);

/* Any thread, signal handlers; between visor__run_begin() and visor__run_end() of the vCPU. */
void visor__linux_kick(struct visor__linux_kick *kick);

/*
 * ---- for drivers that do not let the signal through themselves ----
 *
 * Then it is delivered, inside the request or just before: it needs a handler, which does nothing.
 * A kick has set immediate_exit before, so that a signal which comes too early is not lost.
 *
 * These drivers store an exit and then return "interrupted, start again" if a signal is there: for
 * a handler with SA_RESTART the kernel enters the guest again, and the exit is lost. So signals
 * with such a handler are held back while the guest runs.
 */

/*
 * Gives the kick signal a handler unless it has one. EINVAL: the program's own restarts system
 * calls.
 */
int visor__linux_kick_handle(int signal, const char *backend);
/* visor__linux_kick_adopt() for such a driver, to which no mask is handed: if this thread is
 * another than before, *mask is made for visor__linux_kick_ioctl(). Returns 0 or less. */
int visor__linux_kick_adopt_held(struct visor__linux_kick *kick, const char *backend,
                                 sigset_t *mask);
/* ioctl() under the mask. Returns 0 or an errno value. */
int visor__linux_kick_ioctl(int fd, unsigned long request, uintptr_t argument,
                            const sigset_t *mask);

static inline void visor__linux_set_immediate_exit(struct visor__linux_kick *kick, uint8_t value)
{
    __atomic_store_n(kick->immediate_exit, value, __ATOMIC_SEQ_CST);
}

#endif
