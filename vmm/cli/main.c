/* SPDX-License-Identifier: BSD-3-Clause */
/* The visor command. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void help(void);

static int cli_help(int argc, char **argv);

static int cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("visor %s\n", visor_version());
    return STATUS_OK;
}

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    void (*help)(void);
} commands[] = {
    {"run", "boot a kernel in a virtual machine", cli_run, cli_run_help},
    {"info", "what hypervisors this machine offers, and which one would be taken", cli_info,
     cli_info_help},
    {"help", "this text, or the one of a command", cli_help, help},
    {"version", "the version of visor", cli_version, help},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find(const char *name)
{
    /* The usual spellings of the last two. */
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void help(void)
{
    printf("usage: visor COMMAND ...\n"
           "\n"
           "Virtual machines on whatever hypervisor this machine has.\n"
           "\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  visor %-8s %s\n", commands[i].name, commands[i].summary);
    printf("\n"
           "Start with `visor info`, then: visor run -i INITRD KERNEL\n"
           "All options: visor run --help. More: the manual page visor(1).\n");
}

static int cli_help(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;

    if (argc > 1 && command == NULL) {
        cli_say("there is no command '%s'", argv[1]);
        return STATUS_USAGE;
    }
    if (command != NULL)
        command->help();
    else
        help();
    return STATUS_OK;
}

void cli_say(const char *format, ...)
{
    char line[1024], whole[sizeof(line) + 16];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "visor: %s%s\n", line, terminal_is_raw() ? "\r" : "");
    fwrite(whole, 1, strlen(whole), stderr); /* in one piece */
}

int cli_refuse_option(char **argv, int option, vmm_error *error)
{
    const char *word = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    /* Of several letters in one word, getopt_long() is not past the word yet. */
    if (optopt > ' ' && optopt < 0x7f && strncmp(word, "--", 2) != 0)
        word = letter;
    return vmm_fail(error, VISOR_EINVAL,
                    option == ':' ? "option %s needs a value" : "there is no option %s", word);
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;
    int status;

    vmm_standard_fill();
    if (argc < 2) {
        help();
        return STATUS_USAGE;
    }
    if (command == NULL) {
        cli_say("there is no command '%s' (see visor --help)", argv[1]);
        return STATUS_USAGE;
    }
    status = command->run(argc - 1, argv + 1);
    /* Output that could not be written is an error that must not go unseen. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_OK) {
        cli_say("standard output: %s", strerror(errno));
        status = STATUS_ERROR;
    }
    return status;
}
