/* SPDX-License-Identifier: BSD-3-Clause */
/* The visor command: what its files share. */
#ifndef VMM_CLI_H
#define VMM_CLI_H

#include "devices/loop.h"
#include "machine/machine.h"
#include "os/process.h"

/*
 * Exit status: X(name, value, text). The numbers are those of the `crosvm` command.
 * Ended by a signal N, the command dies of that signal, which shells show as 128 + N.
 */
#define CLI_STATUSES(X)                                                                     \
    X(OK, 0, "the guest powered off, or Ctrl-A x was typed")                                \
    X(ERROR, 1, "the host failed: a file, the hypervisor, memory")                          \
    X(RESET, 32, "the guest asked for a reset")                                             \
    X(CRASH, 33, "the guest crashed: triple fault, or an exit that nothing can go on from") \
    X(PANIC, 34, "the guest reported a panic (pvpanic)")                                    \
    X(USAGE, 35, "an option or argument is wrong")

enum cli_status {
#define CLI_STATUS_ENUM_(name, value, text) STATUS_##name = (value),
    CLI_STATUSES(CLI_STATUS_ENUM_)
#undef CLI_STATUS_ENUM_
};

/* The commands; argv[0] is the command's name. They return an exit status. */
int cli_run(int argc, char **argv);
int cli_info(int argc, char **argv);
void cli_run_help(void);
void cli_info_help(void);

/* "visor: " and a line on standard error, with a carriage return while the terminal is raw. */
__attribute__((format(VISOR_PRINTF, 1, 2))) void cli_say(const char *format, ...);

/* The error for '?' and ':' of getopt_long(), which names the option. Returns VISOR_EINVAL. */
int cli_refuse_option(char **argv, int option, vmm_error *error);

/* ---- options of run (options.c) ---- */

enum serial_type {
    SERIAL_STDOUT,
    SERIAL_FILE,
    SERIAL_UNIX,
    SERIAL_SINK,
};

struct serial_option {
    bool given;
    uint16_t debug_port; /* it is a debug console, there; 0: a serial port */
    enum serial_type type;
    char *path;
    bool console; /* the kernel's console */
    bool stdin_;  /* input from standard input */
};

struct run_options {
    uint32_t cpus;
    uint64_t mem_mib;
    char *kernel, *initrd, *hypervisor, *bios;
    char *dump_fdt;     /* write the device tree there instead of running */
    char *params;       /* complete: the defaults, then what was given */
    char *plain_params; /* what was given */
    struct {
        const char *path, *params;
    } modules[BOOT_MODULES];
    size_t module_count;
    struct serial_option serial[MACHINE_PORTS]; /* debug consoles last */
    virtio_blk_config disks[MACHINE_DISKS];
    size_t disk_count;
    bool entropy;
    bool debug_exit;
    bool deterministic;
    enum boot_unpack_where unpack;
    visor_protection protection;
    char *firmware;       /* of a protected VM; NULL: the hypervisor's */
    uint64_t swiotlb_mib; /* 0: the default, where there is one */
    bool help;
};

/* 0, or VISOR_EINVAL. To be freed in either case. */
int run_options_parse(struct run_options *out, int argc, char **argv, vmm_error *error);
void run_options_free(struct run_options *options);

/* ---- the far ends of serial ports (console.c) ---- */

struct console;
/* What typing Ctrl-A and a letter asks for. */
enum console_command {
    CONSOLE_QUIT,
    CONSOLE_POWER_BUTTON,
};
typedef void (*console_command_handler)(void *context, enum console_command command);

/* Opens what the option names, and fills in the machine's side of it. */
int console_create(struct console **out, const struct serial_option *option,
                   struct machine_serial *end, console_command_handler command, void *context,
                   vmm_error *error);
/* Connects it to the port, before the machine starts. */
int console_attach(struct console *console, vmm_loop *loop, serial *port, vmm_error *error);
/* Lets go of the port, which may be freed then. The machine has ended, and so has the loop. */
void console_detach(struct console *console);
/* Writes out what is left, for a second at most. */
void console_free(struct console *console);

#endif
