/* SPDX-License-Identifier: BSD-3-Clause */
/* Raw mode, and back again on every way out. */
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

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
