/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

/*
 * The child writes lines: 'N' note, 'F' failure, 'S' skip, 'P' passed, and what belongs to it. One
 * without F, S and P has not ended as it should.
 */
static pthread_t report_threads[REPORT_THREADS];
static unsigned report_thread_count;

static void report_line(char kind, const char *format, va_list args)
{
    char line[1200];
    int length;

    line[0] = kind;
    length = vsnprintf(line + 1, sizeof(line) - 2, format, args) + 1;
    if (length > (int)sizeof(line) - 2)
        length = (int)sizeof(line) - 2;
    for (int i = 1; i < length; i++) {
        if (line[i] == '\n')
            line[i] = ' ';
    }
    line[length] = '\n';
    process_send(line, (size_t)length + 1);
}

void fail_at(struct where where, const char *format, ...)
{
    static const char folder[] = "conformance/";
    const char *file = strstr(where.file, folder);
    va_list args;

    note("at %s:%d", file ? file + sizeof(folder) - 1 : where.file, where.line);
    va_start(args, format);
    report_line('F', format, args);
    va_end(args);
    process_end(1);
}

void skip_case(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report_line('S', format, args);
    va_end(args);
    process_end(0);
}

void note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report_line('N', format, args);
    va_end(args);
}

static void report_passed(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report_line('P', format, args);
    va_end(args);
}

void report_join_later(pthread_t thread)
{
    if (report_thread_count == REPORT_THREADS)
        FAIL("too many threads in one case");
    report_threads[report_thread_count++] = thread;
}

void report_join(void)
{
    while (report_thread_count > 0)
        pthread_join(report_threads[--report_thread_count], NULL);
}

void report_child(const char *name)
{
    report_body(name);
    report_passed("%s", "");
}

struct reader {
    struct report *report;
    char line[1200];
    size_t length;
    bool ended; /* F, S or P was seen */
};

static void reader_line(struct reader *reader)
{
    struct report *report = reader->report;
    size_t used = strlen(report->notes);

    reader->line[reader->length] = '\0';
    switch (reader->line[0]) {
    case 'N':
        snprintf(report->notes + used, sizeof(report->notes) - used, "%s\n", reader->line + 1);
        return;
    case 'F': report->outcome = OUTCOME_FAILED; break;
    case 'S': report->outcome = OUTCOME_SKIPPED; break;
    default: report->outcome = OUTCOME_PASSED; break;
    }
    snprintf(report->text, sizeof(report->text), "%.1000s", reader->line + 1);
    reader->ended = true;
}

static void reader_take(void *context, const char *data, size_t length)
{
    struct reader *reader = context;

    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n') {
            reader_line(reader);
            reader->length = 0;
        } else if (reader->length < sizeof(reader->line) - 1) {
            reader->line[reader->length++] = data[i];
        }
    }
}

void report_run(struct report *out, const char *name, unsigned limit_s)
{
    struct reader reader = {.report = out};
    struct ending ending;

    *out = (struct report){.outcome = OUTCOME_FAILED};
    fflush(NULL);
    if (process_run(&ending, name, limit_s, reader_take, &reader) < 0) {
        snprintf(out->text, sizeof(out->text), "%s", ending.text);
    } else if (ending.kind == ENDING_TIMEOUT) {
        out->outcome = OUTCOME_FAILED;
        snprintf(out->text, sizeof(out->text), "hung: killed after %u s", limit_s);
    } else if (ending.kind == ENDING_CRASH) {
        out->outcome = OUTCOME_FAILED;
        snprintf(out->text, sizeof(out->text), "crashed: %s", ending.text);
    } else if (!reader.ended) {
        out->outcome = OUTCOME_FAILED;
        snprintf(out->text, sizeof(out->text), "ended the process with status %d", ending.status);
    } else if (out->outcome == OUTCOME_PASSED && ending.status != 0) {
        /* A sanitizer found something after the body: a leak, for instance. */
        out->outcome = OUTCOME_FAILED;
        snprintf(out->text, sizeof(out->text), "passed, but the process ended with status %d",
                 ending.status);
    }
}
