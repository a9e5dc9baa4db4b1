/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the suite needs of the host's system; one file per system implements it, and the events,
 * files, signals and facts of harness.h.
 */
#ifndef CONFORMANCE_OS_H
#define CONFORMANCE_OS_H

#include "harness.h"

/* ---- the process of a case ---- */

struct ending {
    enum {
        ENDING_EXIT,
        ENDING_CRASH,
        ENDING_TIMEOUT, /* it was killed */
    } kind;
    int status;     /* of an exit */
    char text[160]; /* of a crash */
};

/*
 * Runs report_child(name) in a process of its own, which dies with this one, for at most limit_s
 * seconds. take() gets what it sends. Returns < 0 if there can be no process: the text says why.
 */
int process_run(struct ending *ending, const char *name, unsigned limit_s,
                void (*take)(void *context, const char *data, size_t length), void *context);
/* Inside that process. Threads that send at the same time do not mix. */
void process_send(const void *data, size_t length);
/* Ends it without cleaning up. */
_Noreturn void process_end(int status);
/* The name, if this process is one of process_run() that has begun in main(); else NULL. */
const char *process_name(void);

/* ---- the rest ---- */

/* Facts about the host's system. */
unsigned host_system(void);

#endif
