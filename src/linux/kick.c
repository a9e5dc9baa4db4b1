/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicking by signal; the protocol is in kick.h. */
#include "linux/kick.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Saves a system call for each run. Renewed with each vCPU: a child of fork() inherits its
 * parent's. */
static _Thread_local pid_t this_thread;

static void signal_set(sigset_t *set, const struct visor__linux_kick *kick)
{
    sigemptyset(set);
    sigaddset(set, kick->signal);
}

int visor__linux_kick_adopt(struct visor__linux_kick *kick, const char *backend, sigset_t *mask)
{
    sigset_t set;
    int err;

    if (this_thread != 0 && atomic_load_explicit(&kick->tid, memory_order_relaxed) == this_thread)
        return 0;
    this_thread = (pid_t)syscall(SYS_gettid);
    signal_set(&set, kick);
    err = pthread_sigmask(SIG_BLOCK, &set, mask);
    if (err != 0)
        return visor__linux_error(backend, "pthread_sigmask", err, "blocking the kick signal");
    sigdelset(mask, kick->signal);
    return 1;
}

void visor__linux_kick_adopted(struct visor__linux_kick *kick)
{
    atomic_store(&kick->tid, this_thread);
}

void visor__linux_kick_forget_thread(struct visor__linux_kick *kick)
{
    atomic_store(&kick->tid, 0);
}

/* Takes the kick signal off this thread, where it waits blocked. */
static void take_signal(struct visor__linux_kick *kick)
{
    static const struct timespec now = {0, 0};
    sigset_t set;

    atomic_store(&kick->signalled, false);
    signal_set(&set, kick);
    while (sigtimedwait(&set, NULL, &now) > 0)
        continue;
}

void visor__linux_kick_drop(struct visor__linux_kick *kick, bool interrupted)
{
    if (interrupted || atomic_load(&kick->signalled))
        take_signal(kick);
}

/* A kick that finds `signalled` set before this has set `pending` before, so the look at `pending`
 * that follows in visor__run_begin() sees it. */
void visor__linux_kick_reset(struct visor__linux_kick *kick)
{
    visor__linux_set_immediate_exit(kick, 0);
    visor__linux_kick_drop(kick, false);
}

void visor__linux_kick(struct visor__linux_kick *kick)
{
    int saved = errno; /* may be in a signal handler */

    visor__linux_set_immediate_exit(kick, 1);
    if (!atomic_exchange(&kick->signalled, true) &&
        syscall(SYS_tgkill, getpid(), atomic_load(&kick->tid), kick->signal) < 0)
        atomic_store(&kick->signalled, false);
    errno = saved;
}

/* ---- for drivers that do not let the signal through themselves ---- */

static void ignore(int signal)
{
    (void)signal;
}

static bool has_handler(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

int visor__linux_kick_handle(int signal, const char *backend)
{
    struct sigaction action = {.sa_handler = ignore}, before;

    if (sigaction(signal, NULL, &before) < 0)
        return visor__linux_error(backend, "sigaction", errno, "signal %d", signal);
    if (has_handler(&before)) {
        if ((before.sa_flags & SA_RESTART) == 0)
            return 0;
        visor__error(VISOR_EINVAL, backend, "sigaction",
                     "the handler of signal %d restarts system calls", signal);
        return visor__error_hint("choose another signal (%s[signal=N]), or leave SA_RESTART out",
                                 backend);
    }
    if (sigaction(signal, &action, NULL) < 0)
        return visor__linux_error(backend, "sigaction", errno, "signal %d", signal);
    return 0;
}

/* Adds the signals that have to be held back. */
static void hold(sigset_t *mask)
{
    struct sigaction action;

    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        if (sigaction(signal, NULL, &action) == 0 && has_handler(&action) &&
            (action.sa_flags & SA_RESTART) != 0)
            sigaddset(mask, signal);
    }
}

int visor__linux_kick_adopt_held(struct visor__linux_kick *kick, const char *backend,
                                 sigset_t *mask)
{
    int ret = visor__linux_kick_adopt(kick, backend, mask);

    if (ret <= 0)
        return ret;
    hold(mask);
    visor__linux_kick_adopted(kick);
    return 0;
}

int visor__linux_kick_ioctl(int fd, unsigned long request, uintptr_t argument, const sigset_t *mask)
{
    sigset_t before;
    int err;

    pthread_sigmask(SIG_SETMASK, mask, &before);
    err = ioctl(fd, request, argument) < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}
