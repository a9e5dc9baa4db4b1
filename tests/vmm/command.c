/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define LIMIT_MS  30000
#define NOBODY    65534
#define MAX_WORDS 32

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(void)
{
    const struct timespec moment = {.tv_nsec = 5000000};

    nanosleep(&moment, NULL);
}

_Noreturn static void become_command(const char *const *arguments)
{
    const char *name = getenv("VISOR");
    char *words[MAX_WORDS] = {(char *)"visor"};

    for (size_t i = 0; i < MAX_WORDS - 2 && arguments[i] != NULL; i++)
        words[i + 1] = (char *)arguments[i];
    execv(name != NULL ? name : "./visor", words);
    fprintf(stderr, "cannot run %s: %s\n", name != NULL ? name : "./visor", strerror(errno));
    _exit(127);
}

static bool start_on_terminal(struct command *command, const char *const *arguments)
{
    int slave;

    if (openpty(&command->in, &slave, NULL, NULL, NULL) != 0)
        return false;
    command->out = command->in;
    command->terminal = slave; /* stays open, so that the settings outlive the command */
    command->pid = fork();
    if (command->pid == 0) {
        close(command->in);
        if (login_tty(slave) != 0)
            _exit(127);
        become_command(arguments);
    }
    return command->pid > 0;
}

static bool start_on_pipes(struct command *command, enum command_how how,
                           const char *const *arguments)
{
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return false;
    command->pid = fork();
    if (command->pid == 0) {
        if (how == COMMAND_NOBODY &&
            (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(127);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(how == COMMAND_DEAF ? open("/dev/null", O_WRONLY) : out[1], STDERR_FILENO);
        if (how == COMMAND_DEAF)
            close(out[0]);
        if (how == COMMAND_FULL)
            dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
        if (how == COMMAND_CLOSED) {
            close(STDIN_FILENO);
            close(STDOUT_FILENO);
        }
        if (how == COMMAND_NOHUP)
            signal(SIGHUP, SIG_IGN);
        become_command(arguments);
    }
    close(in[0]);
    close(out[1]);
    command->in = in[1];
    command->out = out[0];
    if (how == COMMAND_DEAF)
        close(out[0]);
    return command->pid > 0;
}

bool command_start(struct command *command, enum command_how how, const char *const *arguments)
{
    memset(command, 0, sizeof(*command));
    command->in = command->out = command->terminal = -1;
    signal(SIGPIPE, SIG_IGN);
    fflush(stdout);
    if (how == COMMAND_TERMINAL ? start_on_terminal(command, arguments)
                                : start_on_pipes(command, how, arguments))
        return true;
    printf("# cannot start the command: %s\n", strerror(errno));
    return false;
}

/* Reads what is there within wait_ms; false at the end of the output. */
static bool read_some(struct command *command, int wait_ms)
{
    struct pollfd poller = {.fd = command->out, .events = POLLIN};
    char spill[4096];
    size_t room = sizeof(command->output) - 1 - command->length;
    ssize_t got;

    if (command->out < 0)
        return false;
    if (poll(&poller, 1, wait_ms) <= 0)
        return true;
    if (room > 0)
        got = read(command->out, command->output + command->length, room);
    else
        got = read(command->out, spill, sizeof(spill)); /* more than any test looks at */
    if (got <= 0)
        return false;
    if (room > 0)
        command->length += (size_t)got;
    command->output[command->length] = '\0';
    return true;
}

static bool look_for_end(struct command *command)
{
    pid_t ended;
    int status;

    if (command->ended)
        return true;
    ended = waitpid(command->pid, &status, WNOHANG);
    if (ended == command->pid)
        command->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    else if (ended < 0)
        command->status = -1; /* somebody else has taken its status */
    command->ended = ended != 0;
    return command->ended;
}

bool command_expect(struct command *command, size_t *from, const char *text)
{
    int64_t limit = now_ms() + LIMIT_MS;
    const char *found;

    for (;;) {
        found = strstr(command->output + (from != NULL ? *from : 0), text);
        if (found != NULL) {
            if (from != NULL)
                *from = (size_t)(found - command->output) + strlen(text);
            return true;
        }
        if (now_ms() > limit || look_for_end(command)) {
            while (read_some(command, 50) && strstr(command->output, text) == NULL &&
                   now_ms() < limit + 500)
                continue;
            if (strstr(command->output + (from != NULL ? *from : 0), text) != NULL)
                continue;
            printf("# \"%s\" did not come; the output is \"%s\"\n", text, command->output);
            return false;
        }
        if (!read_some(command, 20))
            nap();
    }
}

void command_type(struct command *command, const char *keys, size_t length)
{
    if (write(command->in, keys, length) != (ssize_t)length)
        printf("# the command takes no input: %s\n", strerror(errno));
}

static bool finish(struct command *command, bool reading)
{
    int64_t limit = now_ms() + LIMIT_MS;
    bool in_time = true;

    while (!look_for_end(command)) {
        if (now_ms() > limit && in_time) {
            printf("# it does not end; the output is \"%s\"\n", command->output);
            kill(command->pid, SIGKILL);
            in_time = false;
        }
        if (!reading || !read_some(command, 20))
            nap();
    }
    while (reading && command->terminal < 0 && read_some(command, 1000))
        continue;
    if (reading && command->terminal >= 0)
        read_some(command, 50);
    close(command->in);
    if (command->terminal < 0)
        close(command->out);
    command->in = command->out = -1;
    return in_time;
}

bool command_finish(struct command *command)
{
    return finish(command, true);
}

bool command_finish_unread(struct command *command)
{
    return finish(command, false);
}

bool command_is_raw(const struct command *command)
{
    struct termios settings;

    return tcgetattr(command->terminal, &settings) == 0 &&
           (settings.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

bool command_await_raw(const struct command *command, bool wanted)
{
    int64_t limit = now_ms() + LIMIT_MS;

    while (command_is_raw(command) != wanted) {
        if (now_ms() > limit)
            return false;
        nap();
    }
    return true;
}
