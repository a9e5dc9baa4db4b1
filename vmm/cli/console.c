/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What serial ports are connected to: the terminal or standard input and output, a file, a Unix
 * socket. Output goes through a writer thread (devices/output.h), input through the main loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "devices/output.h"

#define ESCAPE 0x01 /* Ctrl-A */

struct console {
    int in, out; /* descriptors; -1: none */
    bool owns;   /* out (which is in too, if that is not standard input) is ours to close */
    bool is_stdin;
    bool escaped; /* the last key was Ctrl-A */
    vmm_output *output;
    serial *port;
    vmm_source *source, *room_source;
    int room;             /* eventfd: the port takes input again */
    uint8_t pending[256]; /* input that it has not taken yet */
    size_t pending_count;
    console_command_handler command;
    void *context;
};

static size_t on_output(void *context, const uint8_t *data, size_t length)
{
    struct console *console = context;

    return vmm_output_write(console->output, data, length);
}

/* The writer has room again. */
static void on_output_room(void *context)
{
    struct console *console = context;

    if (console->port != NULL)
        serial_write_ready(console->port);
}

/* The guest took a byte: called on its thread, with the port's lock held. */
static void on_read_ready(void *context)
{
    struct console *console = context;
    uint64_t one = 1;
    ssize_t ignored = write(console->room, &one, sizeof(one));

    (void)ignored; /* EAGAIN: it is set already */
}

/* Only a terminal is read while input is pending: Ctrl-A x must work when the guest hangs. */
static void feed(struct console *console)
{
    size_t taken = serial_input(console->port, console->pending, console->pending_count);

    console->pending_count -= taken;
    memmove(console->pending, console->pending + taken, console->pending_count);
    if (console->source != NULL && !terminal_is_raw())
        vmm_source_set(console->source, console->pending_count == 0 ? POLLIN : 0);
}

static void on_room(void *context, int fd, short events)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));

    (void)ignored;
    (void)events;
    feed(context);
}

static void show_help(void)
{
    fputs("\r\n", stderr); /* the guest's own line is likely unfinished */
    cli_say("Ctrl-A x  end the machine at once");
    cli_say("Ctrl-A p  press its power button");
    cli_say("Ctrl-A b  send a break (Linux: then a letter, for Magic SysRq)");
    cli_say("Ctrl-A a  send Ctrl-A itself");
    cli_say("Ctrl-A h  show this help");
}

static void add_pending(struct console *console, uint8_t byte)
{
    if (console->pending_count < sizeof(console->pending))
        console->pending[console->pending_count++] = byte;
}

static void on_key(struct console *console, uint8_t key)
{
    if (!console->escaped) {
        console->escaped = key == ESCAPE;
        if (key != ESCAPE)
            add_pending(console, key);
        return;
    }
    console->escaped = false;
    switch (key) {
    case 'x':
    case 'X': console->command(console->context, CONSOLE_QUIT); break;
    case 'p': console->command(console->context, CONSOLE_POWER_BUTTON); break;
    case 'b': serial_break(console->port); break;
    case 'a':
    case ESCAPE: add_pending(console, ESCAPE); break;
    case 'h':
    case '?': show_help(); break;
    default: break;
    }
}

static void on_input(void *context, int fd, short events)
{
    struct console *console = context;
    uint8_t data[sizeof(console->pending)];
    ssize_t got;

    (void)events;
    got = read(fd, data, sizeof(data));
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        vmm_source_remove(console->source);
        console->source = NULL;
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (console->is_stdin && terminal_is_raw())
            on_key(console, data[i]);
        else
            add_pending(console, data[i]);
    }
    feed(console);
}

/* ---- opening and closing ---- */

static int open_file(struct console *console, const char *path, vmm_error *error)
{
    console->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (console->out < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "serial port: file '%s': %s", path, strerror(errno));
    console->owns = true;
    return 0;
}

static int open_socket(struct console *console, const char *path, vmm_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        return vmm_fail(error, VISOR_EINVAL, "serial port: socket path '%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    console->out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    console->owns = true;
    if (console->out < 0 ||
        connect(console->out, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return vmm_fail(error, VISOR_ESYSTEM,
                        "serial port: cannot connect to socket '%s': %s (something has to listen "
                        "there, say: socat - UNIX-LISTEN:%s)",
                        path, strerror(errno), path);
    console->in = console->out;
    return 0;
}

int console_create(struct console **out, const struct serial_option *option,
                   struct machine_serial *end, console_command_handler command, void *context,
                   vmm_error *error)
{
    struct console *console = calloc(1, sizeof(*console));
    int code = 0;

    if (console == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    console->in = console->out = console->room = -1;
    console->command = command;
    console->context = context;
    switch (option->type) {
    case SERIAL_STDOUT: console->out = STDOUT_FILENO; break;
    case SERIAL_FILE: code = open_file(console, option->path, error); break;
    case SERIAL_UNIX: code = open_socket(console, option->path, error); break;
    case SERIAL_SINK: break;
    }
    if (option->stdin_) {
        console->in = STDIN_FILENO;
        console->is_stdin = true;
    }
    if (code == 0 && console->out >= 0)
        code = vmm_output_create(&console->output, console->out, error);
    if (code == 0 && console->in >= 0) {
        console->room = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (console->room < 0)
            code = vmm_fail(error, VISOR_ESYSTEM, "eventfd: %s", strerror(errno));
    }
    if (code != 0) {
        console_free(console);
        return code;
    }
    *end = (struct machine_serial){
        .present = true,
        .write = console->output != NULL ? on_output : NULL,
        .read_ready = console->in >= 0 ? on_read_ready : NULL,
        .context = console,
    };
    *out = console;
    return 0;
}

int console_attach(struct console *console, vmm_loop *loop, serial *port, vmm_error *error)
{
    int code = 0;

    console->port = port;
    if (console->output != NULL)
        vmm_output_set_room(console->output, on_output_room, console);
    if (console->in >= 0)
        code = vmm_loop_add(&console->room_source, loop, console->room, POLLIN, on_room, console,
                            error);
    if (console->in >= 0 && code == 0)
        code = vmm_loop_add(&console->source, loop, console->in, POLLIN, on_input, console, error);
    return code;
}

void console_detach(struct console *console)
{
    if (console != NULL && console->output != NULL)
        vmm_output_set_room(console->output, NULL, NULL);
}

void console_free(struct console *console)
{
    int lost = 0;

    if (console == NULL)
        return;
    if (console->output != NULL)
        lost = vmm_output_free(console->output, 1000);
    if (lost != 0 && lost != EPIPE) /* who closes a pipe knows of it */
        cli_say("output of a serial port is lost: %s", strerror(lost));
    if (console->owns && console->out >= 0)
        close(console->out);
    if (console->room >= 0)
        close(console->room);
    free(console);
}
