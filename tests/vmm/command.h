/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Running the visor command from a test: with pipes or on a terminal of its own, always with a time
 * limit. The command is found in $VISOR.
 */
#ifndef VISOR_TESTS_COMMAND_H
#define VISOR_TESTS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A running or ended command, with all that it has printed so far. */
struct command {
    pid_t pid;
    int in, out;  /* the far ends of its standard input and output; the same for a terminal */
    int terminal; /* our handle on its terminal, to look at the settings; -1: none */
    char output[1 << 16];
    size_t length;
    bool ended;
    int status; /* exit status, or 128 + signal */
};

enum command_how {
    COMMAND_PIPES,
    COMMAND_TERMINAL,
    COMMAND_NOBODY, /* pipes, and as the user nobody */
    COMMAND_DEAF,   /* standard output is a pipe that nobody reads */
    COMMAND_FULL,   /* standard output is a device without room */
    COMMAND_CLOSED, /* standard input and output are closed */
    COMMAND_NOHUP,  /* pipes, and SIGHUP ignored */
};

/* arguments: up to the first NULL, without the command's own name. */
bool command_start(struct command *command, enum command_how how, const char *const *arguments);
#define START(command, how, ...) \
    command_start(command, how, (const char *const[]){__VA_ARGS__, NULL})
/* Starts it and waits for its end. */
#define RUN(command, ...) (START(command, COMMAND_PIPES, __VA_ARGS__) && command_finish(command))

/* Waits until the output has `text` after offset *from (may be NULL), which then moves past it. */
bool command_expect(struct command *command, size_t *from, const char *text);
void command_type(struct command *command, const char *keys, size_t length);
/* Reads the rest of the output and waits for the end; false, and killed, if it does not come. */
bool command_finish(struct command *command);
/* The same, without reading anything. */
bool command_finish_unread(struct command *command);

/* Whether the terminal hands keys on as they are typed, with signals and echo off. */
bool command_is_raw(const struct command *command);
/* Waits until command_is_raw() is as wanted; false if it does not become so. */
bool command_await_raw(const struct command *command, bool wanted);

#endif
