/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The child writes lines: 'N' note, 'F' failure, 'S' skip, 'P' passed, and what belongs to it. One
 * without F, S and P has not ended as it should.
 */
static int report_fd = -1;
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
    /* One write is atomic (PIPE_BUF is at least 4096 here), so threads do not mix. */
    if (write(report_fd, line, (size_t)length + 1) < 0)
        _exit(3);
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
    _exit(1);
}

void skip_case(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report_line('S', format, args);
    va_end(args);
    _exit(0);
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

_Noreturn static void child(void (*body)(void *argument), void *argument)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body(argument);
    report_passed("%s", "");
    exit(0);
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

static void reader_take(struct reader *reader, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n') {
            reader_line(reader);
            reader->length = 0;
        } else if (reader->length < sizeof(reader->line) - 1) {
            reader->line[reader->length++] = data[i];
        }
    }
}

/* Reads to the end. Returns false if the time is up. */
static bool reader_run(struct reader *reader, int fd, unsigned limit_s)
{
    uint64_t deadline = now_ns() + (uint64_t)limit_s * 1000000000u;
    char data[4096];

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ns();
        ssize_t count;

        if (now >= deadline)
            return false;
        if (poll(&ready, 1, (int)((deadline - now) / 1000000u + 1)) <= 0)
            continue;
        count = read(fd, data, sizeof(data));
        if (count == 0)
            return true;
        if (count > 0)
            reader_take(reader, data, (size_t)count);
    }
}

static void report_unexpected_end(struct report *report, int status, const struct reader *reader)
{
    if (WIFSIGNALED(status)) {
        report->outcome = OUTCOME_FAILED;
        snprintf(report->text, sizeof(report->text), "crashed: signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else if (!reader->ended) {
        report->outcome = OUTCOME_FAILED;
        snprintf(report->text, sizeof(report->text), "ended the process with status %d",
                 WEXITSTATUS(status));
    } else if (report->outcome == OUTCOME_PASSED && WEXITSTATUS(status) != 0) {
        /* A sanitizer found something after the body: a leak, for instance. */
        report->outcome = OUTCOME_FAILED;
        snprintf(report->text, sizeof(report->text), "passed, but the process ended with status %d",
                 WEXITSTATUS(status));
    }
}

void report_run(struct report *out, void (*body)(void *argument), void *argument, unsigned limit_s)
{
    struct reader reader = {.report = out};
    int fds[2], status;
    bool in_time;
    pid_t pid;

    *out = (struct report){.outcome = OUTCOME_FAILED};
    fflush(NULL);
    if (pipe(fds) != 0) {
        snprintf(out->text, sizeof(out->text), "pipe: %s", strerror(errno));
        return;
    }
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        report_fd = fds[1];
        child(body, argument);
    }
    close(fds[1]);
    if (pid < 0) {
        snprintf(out->text, sizeof(out->text), "fork: %s", strerror(errno));
        close(fds[0]);
        return;
    }
    in_time = reader_run(&reader, fds[0], limit_s);
    if (!in_time)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(fds[0]);
    if (in_time) {
        report_unexpected_end(out, status, &reader);
    } else {
        out->outcome = OUTCOME_FAILED;
        snprintf(out->text, sizeof(out->text), "hung: killed after %u s", limit_s);
    }
}
