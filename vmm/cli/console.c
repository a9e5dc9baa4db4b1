/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What serial ports are connected to: the terminal or standard input and output, a file, a Unix
 * socket. Output goes through a writer thread (devices/output.h), input through the main loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "devices/output.h"

#define ESCAPE 0x01 /* Ctrl-A */

struct console {
    visor_file out;   /* VISOR_FILE_NONE: none */
    bool owns;        /* it is ours to close */
    vmm_input *input; /* NULL: none */
    bool is_stdin;
    bool escaped; /* the last key was Ctrl-A */
    vmm_output *output;
    serial *port;
    vmm_source *source, *room_source;
    visor_event room;     /* the port takes input again */
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

    vmm_event_signal(console->room);
}

/* Only a terminal is read while input is pending: Ctrl-A x must work when the guest hangs. */
static void feed(struct console *console)
{
    size_t taken = serial_input(console->port, console->pending, console->pending_count);

    console->pending_count -= taken;
    memmove(console->pending, console->pending + taken, console->pending_count);
    if (console->source != NULL && !terminal_is_raw())
        vmm_source_pause(console->source, console->pending_count != 0);
}

static void on_room(void *context)
{
    struct console *console = context;

    vmm_event_take(console->room);
    feed(console);
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

static void on_input(void *context)
{
    struct console *console = context;
    uint8_t data[sizeof(console->pending)];
    ptrdiff_t got = vmm_input_read(console->input, data, sizeof(data));

    if (got < 0)
        return;
    if (got == 0) {
        vmm_source_remove(console->source);
        console->source = NULL;
        return;
    }
    for (ptrdiff_t i = 0; i < got; i++) {
        if (console->is_stdin && terminal_is_raw())
            on_key(console, data[i]);
        else
            add_pending(console, data[i]);
    }
    feed(console);
}

/* ---- opening and closing ---- */

/* What the port is connected to: `in`, too, VISOR_FILE_NONE where it is nothing. */
static int open_ends(struct console *console, visor_file *in, const struct serial_option *option,
                     vmm_error *error)
{
    vmm_error why;
    int code = 0;

    *in = VISOR_FILE_NONE;
    switch (option->type) {
    case SERIAL_STDOUT: console->out = vmm_standard_output(); break;
    case SERIAL_FILE: code = vmm_file_create(&console->out, option->path, &why); break;
    case SERIAL_UNIX:
        code = vmm_socket_connect(&console->out, option->path, &why);
        *in = console->out;
        break;
    case SERIAL_SINK: break;
    }
    if (code != 0)
        return vmm_fail(error, code, "serial port: %s", why.text);
    console->owns = option->type != SERIAL_STDOUT;
    if (option->stdin_) {
        *in = vmm_standard_input();
        console->is_stdin = true;
    }
    return 0;
}

int console_create(struct console **out, const struct serial_option *option,
                   struct machine_serial *end, console_command_handler command, void *context,
                   vmm_error *error)
{
    struct console *console = calloc(1, sizeof(*console));
    visor_file in;
    int code;

    if (console == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    console->out = VISOR_FILE_NONE;
    console->room = VISOR_EVENT_NONE;
    console->command = command;
    console->context = context;
    code = open_ends(console, &in, option, error);
    if (code == 0 && console->out != VISOR_FILE_NONE)
        code = vmm_output_create(&console->output, console->out, error);
    if (code == 0 && in != VISOR_FILE_NONE)
        code = vmm_input_create(&console->input, in, error);
    if (code == 0 && in != VISOR_FILE_NONE)
        code = vmm_event_create(&console->room, error);
    if (code != 0) {
        console_free(console);
        return code;
    }
    *end = (struct machine_serial){
        .present = true,
        .write = console->output != NULL ? on_output : NULL,
        .read_ready = console->input != NULL ? on_read_ready : NULL,
        .context = console,
    };
    *out = console;
    return 0;
}

int console_attach(struct console *console, vmm_loop *loop, serial *port, vmm_error *error)
{
    int code;

    console->port = port;
    if (console->output != NULL)
        vmm_output_set_room(console->output, on_output_room, console);
    if (console->input == NULL)
        return 0;
    code = vmm_loop_add(&console->room_source, loop, console->room, on_room, console, error);
    if (code == 0)
        code = vmm_loop_add(&console->source, loop, vmm_input_event(console->input), on_input,
                            console, error);
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
    vmm_input_free(console->input);
    if (console->output != NULL)
        lost = vmm_output_free(console->output, 1000);
    if (lost != 0 && lost != EPIPE) /* who closes a pipe knows of it */
        cli_say("output of a serial port is lost: %s", strerror(lost));
    if (console->owns)
        vmm_file_close(console->out);
    vmm_event_free(console->room);
    free(console);
}
