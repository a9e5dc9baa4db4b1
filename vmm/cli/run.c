/* SPDX-License-Identifier: BSD-3-Clause */
/* visor run: a machine, a terminal, and the loop between them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

struct session {
    struct run_options options;
    struct boot_image kernel, initrd, bios; /* bios: firmware of either kind */
    struct boot_module modules[BOOT_MODULES];
    visor_hypervisor *hv;
    vmm_loop *loop;
    struct machine *machine;
    struct console *consoles[MACHINE_PORTS];
    bool has_input; /* a port takes what is typed on standard input */
    vmm_signals *signals;
};

void cli_run_help(void)
{
    printf(
        "usage: visor run [options] KERNEL\n"
        "       visor run [options] --bios FILE\n"
        "\n"
        "Boots a kernel of this computer's architecture in a new virtual machine. x86-64: a Linux\n"
        "bzImage, an ELF file (vmlinux) with a PVH note, or a multiboot kernel; aarch64 and\n"
        "riscv64: a Linux Image. Packed kernels are unpacked. The serial console is on this\n"
        "terminal: Ctrl-A x ends, Ctrl-A h shows more.\n"
        "\n"
        "  -c, --cpus N           virtual processors (default 1)\n"
        "  -m, --mem MIB          memory in MiB (default 256)\n"
        "  -i, --initrd FILE      initial RAM disk\n"
        "  -p, --params TEXT      add to the kernel command line (may be repeated)\n"
        "  -b, --block path=FILE[,ro=true][,id=NAME]\n"
        "                         a disk: a raw image or a block device, /dev/vda in Linux; may "
        "be\n"
        "                         repeated. --rwdisk FILE and --disk FILE (read-only) are short\n"
        "      --serial type=TYPE[,num=N][,path=PATH][,console][,stdin]\n"
        "                         connects serial port N (1 to 4). TYPE: stdout; file or unix (a\n"
        "                         socket that listens) at PATH; sink. console: the kernel's own.\n"
        "                         stdin: input from standard input. Default: type=stdout. With\n"
        "                         hardware=debugcon[,debugcon_port=N]: x86-64's debug console, at\n"
        "                         port 0xe9 or N\n"
        "      --hypervisor SPEC  auto (default), or a name that `visor info` lists, with options "
        "in\n"
        "                         brackets: kvm[device=/dev/kvm]\n"
        "      --no-rng           no virtio-rng device\n"
        "      --deterministic    x86-64: the same in each run, on the software CPU\n"
        "      --decompress WHO   who unpacks a bzImage: host, guest (its own code), or auto, the\n"
        "                         default: the host where that comes to the same\n"
        "      --module FILE[,TEXT]\n"
        "                         x86-64: a file for a multiboot kernel, with its command line;\n"
        "                         may be repeated\n"
        "      --bios FILE        x86-64: firmware (SeaBIOS), which boots from a disk\n"
        "      --debug-exit       x86-64: writing N to port 0xf4 ends with status 2 * N + 1\n"
        "      --protected-vm     a VM whose memory the host cannot reach, started by the\n"
        "                         hypervisor's firmware. --protected-vm-with-firmware FILE and\n"
        "                         --protected-vm-without-firmware: by this one, by none\n"
        "      --swiotlb MIB      how much of a protected VM's memory its devices reach (default "
        "64)\n"
        "      --dump-fdt FILE    write the machine's device tree to FILE, and do not run it\n"
        "  -h, --help             this text\n"
        "\n"
        "The kernel command line begins with panic=-1 (reset at once after a panic) and\n"
        "console=ttyS0, or the port with `console`; what -p gives follows and so wins.\n"
        "\n"
        "Exit status:\n");
#define PRINT_STATUS(name, value, text) printf("  %3d  %s\n", value, text);
    CLI_STATUSES(PRINT_STATUS)
#undef PRINT_STATUS
    printf("\n"
           "Example:\n"
           "  visor run -c 2 -m 512 -i initrd.img -b path=disk.img -p root=/dev/vda vmlinuz\n");
}

/* ---- what happens while it runs ---- */

static void on_ended(void *context)
{
    struct session *session = context;

    vmm_loop_stop(session->loop);
}

static void on_log(void *context, const char *line)
{
    (void)context;
    cli_say("%s", line);
}

static void on_command(void *context, enum console_command command)
{
    struct session *session = context;

    if (command == CONSOLE_QUIT) {
        fputs("\r\n", stderr);
        cli_say("ended by Ctrl-A x");
        machine_stop(session->machine);
        return;
    }
    switch (machine_power_button(session->machine)) {
    case 0: break;
    case VISOR_EUNSUPPORTED: cli_say("this machine has no power button"); break;
    default: cli_say("the guest does not listen to its power button"); break;
    }
}

static void go_on(struct session *session)
{
    if (session->has_input)
        terminal_raw();
    machine_paused(session->machine);
}

/* As the shell's Ctrl-Z would: the terminal is the shell's until we go on. */
static void suspend(struct session *session)
{
    terminal_restore();
    vmm_process_stop();
    go_on(session);
}

static void on_signal(void *context)
{
    struct session *session = context;

    switch (vmm_signals_next(session->signals)) {
    case VMM_SIGNAL_NONE: break;
    case VMM_SIGNAL_STOP: suspend(session); break;
    case VMM_SIGNAL_CONTINUED: go_on(session); break;
    case VMM_SIGNAL_END: machine_stop(session->machine); break;
    }
}

/* ---- setting up ---- */

static int take_signals(struct session *session, vmm_error *error)
{
    vmm_source *source;
    int code = vmm_signals_take(&session->signals, error);

    if (code == 0)
        code = vmm_loop_add(&source, session->loop, vmm_signals_event(session->signals), on_signal,
                            session, error);
    return code;
}

/* A hypervisor that opens need not be one that runs guests: try before anything depends on it. */
static int open_hypervisor(struct session *session, vmm_error *error)
{
    const char *spec = session->options.hypervisor != NULL ? session->options.hypervisor : "auto";
    visor_probe probe = VISOR_PROBE_INIT;
    int code = visor_hypervisor_open(&session->hv, spec);

    if (code < 0)
        return vmm_fail_visor(error, code, "no hypervisor");
    if (spec[0] == '\0' || strcmp(spec, "auto") == 0) {
        spec = visor_hypervisor_backend(session->hv);
        /* The guest will be slower than its user thinks. */
        if (strcmp(spec, "soft") == 0)
            cli_say("%s", visor_hypervisor_reason(session->hv));
    }
    code = visor_hypervisor_probe(&probe, spec);
    if (code < 0)
        return vmm_fail_visor(error, code, "no hypervisor");
    if (probe.status < 0)
        return vmm_fail(error, probe.status, "%s opens but runs no guests: %s%s%s%s",
                        visor_hypervisor_backend(session->hv), probe.detail,
                        probe.hint[0] != '\0' ? " (" : "", probe.hint,
                        probe.hint[0] != '\0' ? ")" : "");
    if (!probe.full)
        cli_say("warning: %s: %s; %s", visor_hypervisor_backend(session->hv), probe.detail,
                probe.hint);
    return 0;
}

/* The host lends more than it has, and ends us when the guest takes it. */
static void warn_of_memory(uint64_t mib)
{
    uint64_t have = vmm_host_memory() >> 20;

    if (have != 0 && mib > have)
        cli_say("warning: --mem: %" PRIu64 " MiB, but this host has %" PRIu64
                " MiB, and will end the machine if the guest uses more",
                mib, have);
}

static int check_limits(struct session *session, vmm_error *error)
{
    const char *name = visor_hypervisor_backend(session->hv);
    uint64_t memory;
    uint32_t cpus;

    machine_limits(&cpus, &memory, session->hv);
    if (session->options.cpus > cpus)
        return vmm_fail(error, VISOR_EINVAL,
                        "--cpus: %" PRIu32
                        " are too many; a machine on %s here has at most %" PRIu32,
                        session->options.cpus, name, cpus);
    if (session->options.mem_mib > memory >> 20)
        return vmm_fail(error, VISOR_EINVAL,
                        "--mem: %" PRIu64 " MiB is too much; a machine on %s here has at most "
                        "%" PRIu64 " MiB, the range of its guest-physical addresses",
                        session->options.mem_mib, name, memory >> 20);
    warn_of_memory(session->options.mem_mib);
    return 0;
}

static int make_machine(struct session *session, vmm_error *error)
{
    const struct run_options *options = &session->options;
    struct machine_config config = {
        .vcpu_count = options->cpus,
        .memory_size = options->mem_mib << 20,
        .kernel = options->bios == NULL ? &session->kernel : NULL,
        .firmware = session->bios.data != NULL ? &session->bios : NULL,
        .initrd = options->initrd != NULL ? &session->initrd : NULL,
        .params = options->params,
        .plain_params = options->plain_params != NULL ? options->plain_params : "",
        .disk_count = options->disk_count,
        .entropy = options->entropy,
        .unpack = options->unpack,
        .debug_exit = options->debug_exit,
        .guest_time = options->deterministic,
        .protection = options->protection,
        .bounce_size = options->swiotlb_mib << 20,
        .ended = on_ended,
        .log = on_log,
        .context = session,
    };
    int code = 0;

    memcpy(config.disks, options->disks, sizeof(config.disks));
    memcpy(config.modules, session->modules, sizeof(config.modules));
    config.module_count = options->module_count;
    for (size_t i = 0; i < MACHINE_PORTS && code == 0; i++) {
        if (options->serial[i].given)
            code = console_create(&session->consoles[i], &options->serial[i], &config.serial[i],
                                  on_command, session, error);
        config.serial[i].debug_port = options->serial[i].debug_port;
    }
    if (code == 0)
        code = machine_create(&session->machine, session->hv, &config, error);
    for (size_t i = 0; i < MACHINE_PORTS && code == 0; i++) {
        if (session->consoles[i] != NULL)
            code = console_attach(session->consoles[i], session->loop,
                                  machine_serial_port(session->machine, i), error);
    }
    return code;
}

/* Everything up to the first guest instruction; an exit status if it fails, else 0. */
static int set_up(struct session *session, vmm_error *error)
{
    const struct run_options *options = &session->options;
    int code;

    if (options->kernel != NULL &&
        boot_image_open(&session->kernel, options->kernel, "kernel", error) != 0)
        return STATUS_ERROR;
    if (options->bios != NULL || options->firmware != NULL) {
        const char *path = options->bios != NULL ? options->bios : options->firmware;

        if (boot_image_open(&session->bios, path, "firmware", error) != 0)
            return STATUS_ERROR;
    }
    if (options->initrd != NULL &&
        boot_image_open(&session->initrd, options->initrd, "initrd", error) != 0)
        return STATUS_ERROR;
    for (size_t i = 0; i < options->module_count; i++) {
        session->modules[i].params = options->modules[i].params;
        if (boot_image_open(&session->modules[i].image, options->modules[i].path, "module",
                            error) != 0)
            return STATUS_ERROR;
    }
    code = open_hypervisor(session, error);
    if (code == 0)
        code = check_limits(session, error);
    if (code == 0)
        code = vmm_loop_create(&session->loop, error);
    if (code == 0)
        code = take_signals(session, error);
    if (code == 0)
        code = make_machine(session, error);
    return code == 0 ? STATUS_OK : code == VISOR_EINVAL ? STATUS_USAGE : STATUS_ERROR;
}

/* ---- running ---- */

static int status_of(const struct machine *machine, enum machine_end end, const char *why)
{
    switch (end) {
    case MACHINE_EXITED: return (int)(machine_exit_status(machine) & 0xff);
    case MACHINE_RUNNING:
    case MACHINE_STOPPED:
    case MACHINE_POWEROFF: return STATUS_OK;
    case MACHINE_RESET: cli_say("the guest asked for a reset"); return STATUS_RESET;
    case MACHINE_PANICKED: cli_say("%s", why); return STATUS_PANIC;
    case MACHINE_CRASHED: cli_say("the guest crashed: %s", why); return STATUS_CRASH;
    case MACHINE_FAILED: cli_say("the hypervisor failed: %s", why); return STATUS_ERROR;
    }
    return STATUS_ERROR;
}

static int dump_tree(struct session *session, vmm_error *error)
{
    const char *path = session->options.dump_fdt;
    size_t size, written = 0;
    const void *tree = machine_tree(&size, session->machine);
    FILE *file;

    if (tree == NULL) {
        vmm_fail(error, VISOR_EINVAL,
                 "--dump-fdt: this machine has no device tree; its guest is told by ACPI");
        return STATUS_USAGE;
    }
    file = fopen(path, "wbe");
    if (file != NULL) {
        written = fwrite(tree, 1, size, file);
        if (fclose(file) == 0 && written == size)
            return STATUS_OK;
    }
    vmm_fail(error, VISOR_ESYSTEM, "--dump-fdt: '%s': %s", path, strerror(errno));
    return STATUS_ERROR;
}

static int run(struct session *session, vmm_error *error)
{
    vmm_error why;
    int code = machine_start(session->machine, error);

    if (code != 0)
        return STATUS_ERROR;
    for (size_t i = 0; i < MACHINE_PORTS; i++)
        session->has_input |= session->options.serial[i].stdin_;
    if (session->has_input && terminal_raw())
        cli_say("Ctrl-A x ends the machine, Ctrl-A h shows more");
    code = vmm_loop_run(session->loop, error);
    if (code < 0)
        machine_stop(session->machine);
    machine_join(session->machine, &why);
    return code < 0 ? STATUS_ERROR
                    : status_of(session->machine, machine_join(session->machine, &why), why.text);
}

static void clean_up(struct session *session)
{
    for (size_t i = 0; i < MACHINE_PORTS; i++)
        console_detach(session->consoles[i]);
    /* Disks first: what the guest wrote counts more than what it said. */
    machine_free(session->machine);
    for (size_t i = 0; i < MACHINE_PORTS; i++)
        console_free(session->consoles[i]);
    terminal_restore();
    vmm_loop_free(session->loop);
    visor_hypervisor_free(session->hv);
    boot_image_close(&session->kernel);
    boot_image_close(&session->initrd);
    boot_image_close(&session->bios);
    for (size_t i = 0; i < BOOT_MODULES; i++)
        boot_image_close(&session->modules[i].image);
    run_options_free(&session->options);
}

int cli_run(int argc, char **argv)
{
    struct session session = {0};
    vmm_error error = {""};
    int status = STATUS_USAGE;

    if (run_options_parse(&session.options, argc, argv, &error) == 0) {
        if (session.options.help) {
            cli_run_help();
            run_options_free(&session.options);
            return STATUS_OK;
        }
        status = set_up(&session, &error);
        if (status == STATUS_OK) {
            error.text[0] = '\0';
            status = session.options.dump_fdt != NULL ? dump_tree(&session, &error)
                                                      : run(&session, &error);
        }
    }
    clean_up(&session);
    if (error.text[0] != '\0')
        cli_say("%s", error.text);
    vmm_signals_free(session.signals);
    return status;
}
