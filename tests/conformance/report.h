/* SPDX-License-Identifier: BSD-3-Clause */
/* How the process of a case tells the suite what became of it. */
#ifndef CONFORMANCE_REPORT_H
#define CONFORMANCE_REPORT_H

#include <pthread.h>

#include "harness.h"

enum outcome {
    OUTCOME_PASSED,
    OUTCOME_FAILED,
    OUTCOME_SKIPPED,
};

struct report {
    enum outcome outcome;
    char text[1024];  /* why it failed or was skipped */
    char notes[8192]; /* lines of note(), each ended by a newline */
};

/*
 * Runs report_body(name) in a process of its own for at most limit_s seconds. Crashing, hanging,
 * and ending in any other way than by returning are failures that the text names.
 */
void report_run(struct report *out, const char *name, unsigned limit_s);
/* What that process does. */
void report_child(const char *name);

/* The body of a case, or of finding out where we are (""). In main.c. */
void report_body(const char *name);

/* A thread that has to end before what it works on is freed; and waiting for all of them. */
#define REPORT_THREADS 32
void report_join_later(pthread_t thread);
void report_join(void);

#endif
