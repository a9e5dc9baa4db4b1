/* SPDX-License-Identifier: BSD-3-Clause */
/* Standard streams; raw mode, and back again on every way out; signals. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <termios.h>
#include <unistd.h>

#include "os/process.h"

/* ---- standard streams ---- */

visor_file vmm_standard_input(void)
{
    return STDIN_FILENO;
}

visor_file vmm_standard_output(void)
{
    return STDOUT_FILENO;
}

/*
 * A standard stream that is closed would be the next file that is opened, and a disk get what the
 * guest prints. What stands in for it fails all the same when it is used.
 */
void vmm_standard_fill(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* ---- the terminal ---- */

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define FATAL_COUNT (sizeof(fatal) / sizeof(fatal[0]))

/* Written before `raw` is set and not changed while it is. */
static struct termios cooked;
static struct sigaction previous[FATAL_COUNT];
static volatile sig_atomic_t raw;

/* In the background the terminal is somebody else's, and setting it would stop us. */
static bool in_foreground(void)
{
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void terminal_restore(void)
{
    if (!raw)
        return;
    raw = 0;
    if (in_foreground())
        tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

bool terminal_is_raw(void)
{
    return raw != 0;
}

/* Restores the terminal and lets the same signal do again what it did before we came. */
static void on_fatal(int number)
{
    terminal_restore();
    for (size_t i = 0; i < FATAL_COUNT; i++) {
        if (fatal[i] == number)
            sigaction(number, &previous[i], NULL);
    }
    raise(number);
}

static void prepare(void)
{
    static bool prepared;
    struct sigaction action = {.sa_handler = on_fatal};

    if (prepared)
        return;
    prepared = true;
    for (size_t i = 0; i < FATAL_COUNT; i++)
        sigaction(fatal[i], &action, &previous[i]);
    atexit(terminal_restore);
}

bool terminal_raw(void)
{
    struct termios settings;

    if (!in_foreground() || (!raw && tcgetattr(STDIN_FILENO, &cooked) != 0))
        return false;
    prepare();
    settings = cooked;
    cfmakeraw(&settings);
    raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) != 0) {
        raw = 0;
        return false;
    }
    return true;
}

/* ---- signals ---- */

struct vmm_signals {
    int fd;      /* signalfd */
    int died_of; /* the signal that ends us, or 0 */
    sigset_t old_mask;
};

int vmm_signals_take(vmm_signals **out, vmm_error *error)
{
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT};
    vmm_signals *signals = calloc(1, sizeof(*signals));
    struct sigaction action;
    sigset_t set;

    if (signals == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, taken[i]);
    }
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) {
        free(signals);
        return vmm_fail(error, VISOR_ESYSTEM, "signalfd: %s", strerror(errno));
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, &signals->old_mask);
    *out = signals;
    return 0;
}

visor_event vmm_signals_event(const vmm_signals *signals)
{
    return signals->fd;
}

enum vmm_signal vmm_signals_next(vmm_signals *signals)
{
    struct signalfd_siginfo info;

    if (read(signals->fd, &info, sizeof(info)) != sizeof(info))
        return VMM_SIGNAL_NONE;
    switch (info.ssi_signo) {
    case SIGTSTP: return VMM_SIGNAL_STOP;
    case SIGCONT: return VMM_SIGNAL_CONTINUED;
    default: signals->died_of = (int)info.ssi_signo; return VMM_SIGNAL_END;
    }
}

void vmm_process_stop(void)
{
    kill(getpid(), SIGSTOP); /* all threads, and so the guest */
}

void vmm_signals_free(vmm_signals *signals)
{
    int died_of;

    if (signals == NULL)
        return;
    died_of = signals->died_of;
    close(signals->fd);
    sigprocmask(SIG_SETMASK, &signals->old_mask, NULL);
    free(signals);
    if (died_of != 0) {
        signal(died_of, SIG_DFL);
        raise(died_of);
    }
}

uint64_t vmm_host_memory(void)
{
    struct sysinfo host;

    if (sysinfo(&host) != 0)
        return 0;
    return ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
}
