/* SPDX-License-Identifier: BSD-3-Clause */
/* Options of `visor run`. Names follow crosvm's. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define DEFAULT_MIB         256
#define DEFAULT_SWIOTLB_MIB 64 /* for protected VMs, as in crosvm */

/* ---- words ---- */

static int parse_number(uint64_t *out, const char *text, const char *what, vmm_error *error)
{
    bool is_hex = strncmp(text, "0x", 2) == 0 && isxdigit((unsigned char)text[2]);
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, is_hex ? 16 : 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0')
        return vmm_fail(error, VISOR_EINVAL, "%s: '%s' is not a whole number", what, text);
    if (errno == ERANGE)
        return vmm_fail(error, VISOR_EINVAL, "%s: %s is too large", what, text);
    *out = value;
    return 0;
}

/* A flag of a key list: "ro", "ro=true", "ro=false". */
static int parse_flag(bool *out, const char *value, const char *key, vmm_error *error)
{
    if (value == NULL || strcmp(value, "true") == 0)
        *out = true;
    else if (strcmp(value, "false") == 0)
        *out = false;
    else
        return vmm_fail(error, VISOR_EINVAL, "%s=%s: true or false is wanted", key, value);
    return 0;
}

/* Takes the next "key=value" or "key" (value NULL) off a list; false at its end. */
static bool next_pair(char **list, char **key, char **value)
{
    char *end;

    if (*list == NULL)
        return false;
    *key = *list;
    end = *list + strcspn(*list, ",");
    *list = *end != '\0' ? end + 1 : NULL;
    *end = '\0';
    *value = strchr(*key, '=');
    if (*value != NULL)
        *(*value)++ = '\0';
    return true;
}

static int set_string(char **out, const char *value, vmm_error *error)
{
    free(*out);
    *out = strdup(value);
    return *out != NULL ? 0 : vmm_fail(error, VISOR_ENOMEM, "out of memory");
}

/* ---- the kernel command line ---- */

static int append_param(struct run_options *options, const char *text, vmm_error *error)
{
    char *joined;

    if (asprintf(&joined, "%s%s%s", options->params != NULL ? options->params : "",
                 options->params != NULL ? " " : "", text) < 0)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    free(options->params);
    options->params = joined;
    return 0;
}

/* What was given comes last, so that it wins. */
static int complete_params(struct run_options *options, vmm_error *error)
{
    char *given = options->params;
    char console[32];
    int code;

    options->params = NULL;
    code = append_param(options, "panic=-1", error);
    if (code == 0 && options->deterministic)
        code = append_param(options, "nokaslr", error);
    for (size_t i = 0; i < MACHINE_SERIAL_PORTS && code == 0; i++) {
        if (!options->serial[i].given || !options->serial[i].console)
            continue;
        snprintf(console, sizeof(console), "console=ttyS%zu", i);
        code = append_param(options, console, error);
    }
    if (code == 0 && given != NULL)
        code = append_param(options, given, error);
    options->plain_params = given;
    return code;
}

/* ---- disks ---- */

/* path=FILE[,ro[=true]][,id=NAME]; the first word may be the path alone. */
static int parse_disk(struct run_options *options, char *text, bool read_only, vmm_error *error)
{
    virtio_blk_config disk = {.read_only = read_only};
    char *list = text, *key, *value;
    int code = 0;

    if (options->disk_count == MACHINE_DISKS)
        return vmm_fail(error, VISOR_EINVAL, "--block: at most %d disks", MACHINE_DISKS);
    for (bool first = true; code == 0 && next_pair(&list, &key, &value); first = false) {
        if (first && value == NULL)
            disk.path = key;
        else if (strcmp(key, "path") == 0 && value != NULL)
            disk.path = value;
        else if (strcmp(key, "ro") == 0)
            code = parse_flag(&disk.read_only, value, key, error);
        else if (strcmp(key, "id") == 0 && value != NULL && strlen(value) <= 20)
            disk.id = value;
        else if (strcmp(key, "id") == 0)
            code = vmm_fail(error, VISOR_EINVAL, "--block: id is a name of up to 20 characters");
        else
            code = vmm_fail(error, VISOR_EINVAL,
                            "--block: there is no key '%s' (path=FILE, ro, id=NAME)", key);
    }
    if (code != 0)
        return code;
    if (disk.path == NULL || disk.path[0] == '\0')
        return vmm_fail(error, VISOR_EINVAL, "--block: path=FILE is missing");
    options->disks[options->disk_count++] = disk;
    return 0;
}

/* FILE[,TEXT]: the text may have commas of its own. */
static int parse_module(struct run_options *options, char *text, vmm_error *error)
{
    char *params = strchr(text, ',');

    if (options->module_count == BOOT_MODULES)
        return vmm_fail(error, VISOR_EINVAL, "--module: at most %d modules", BOOT_MODULES);
    if (params != NULL)
        *params++ = '\0';
    if (text[0] == '\0')
        return vmm_fail(error, VISOR_EINVAL, "--module: FILE is missing");
    options->modules[options->module_count].path = text;
    options->modules[options->module_count++].params = params != NULL ? params : "";
    return 0;
}

/* ---- serial ports ---- */

static int parse_serial_type(enum serial_type *out, const char *value, vmm_error *error)
{
    static const struct {
        const char *name;
        enum serial_type type;
    } types[] = {
        {"stdout", SERIAL_STDOUT},    {"file", SERIAL_FILE}, {"unix", SERIAL_UNIX},
        {"unix-stream", SERIAL_UNIX}, {"sink", SERIAL_SINK},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (value != NULL && strcmp(value, types[i].name) == 0) {
            *out = types[i].type;
            return 0;
        }
    }
    return vmm_fail(error, VISOR_EINVAL, "--serial: type is stdout, file, unix or sink, not '%s'",
                    value != NULL ? value : "");
}

/* What crosvm has --serial hardware=debugcon for. */
static int add_debug_console(struct run_options *options, const struct serial_option *port,
                             uint64_t address, vmm_error *error)
{
    if (port->console || port->stdin_)
        return vmm_fail(error, VISOR_EINVAL,
                        "--serial: a debug console takes neither console nor stdin");
    if (address == 0 || address > UINT16_MAX)
        return vmm_fail(error, VISOR_EINVAL, "--serial: debugcon_port is 1 to 65535");
    for (size_t i = MACHINE_SERIAL_PORTS; i < MACHINE_PORTS; i++) {
        if (options->serial[i].given && options->serial[i].debug_port == address)
            return vmm_fail(error, VISOR_EINVAL,
                            "--serial: two debug consoles at one port (debugcon_port=PORT)");
        if (options->serial[i].given)
            continue;
        options->serial[i] = *port;
        options->serial[i].debug_port = (uint16_t)address;
        return 0;
    }
    return vmm_fail(error, VISOR_EINVAL, "--serial: at most %d debug consoles",
                    MACHINE_DEBUG_PORTS);
}

static int parse_serial(struct run_options *options, char *text, vmm_error *error)
{
    struct serial_option port = {.given = true, .type = SERIAL_STDOUT};
    char *list = text, *key, *value, *path = NULL;
    uint64_t number = 1, address = DEBUG_CONSOLE;
    bool typed = false, is_debug = false;
    int code = 0;

    while (code == 0 && next_pair(&list, &key, &value)) {
        if (strcmp(key, "type") == 0) {
            code = parse_serial_type(&port.type, value, error);
            typed = true;
        } else if (strcmp(key, "path") == 0 && value != NULL) {
            path = value;
        } else if (strcmp(key, "num") == 0 && value != NULL) {
            code = parse_number(&number, value, "--serial: num", error);
        } else if (strcmp(key, "console") == 0) {
            code = parse_flag(&port.console, value, key, error);
        } else if (strcmp(key, "stdin") == 0) {
            code = parse_flag(&port.stdin_, value, key, error);
        } else if (strcmp(key, "hardware") == 0 && value != NULL) {
            is_debug = strcmp(value, "debugcon") == 0;
            if (!is_debug && strcmp(value, "serial") != 0)
                code = vmm_fail(error, VISOR_EINVAL,
                                "--serial: hardware is serial or debugcon, not '%s'", value);
        } else if (strcmp(key, "debugcon_port") == 0 && value != NULL) {
            code = parse_number(&address, value, "--serial: debugcon_port", error);
        } else {
            code = vmm_fail(
                error, VISOR_EINVAL,
                "--serial: there is no key '%s' (type, path, num, console, stdin, hardware, "
                "debugcon_port)",
                key);
        }
    }
    if (code != 0)
        return code;
    if (!typed)
        return vmm_fail(error, VISOR_EINVAL, "--serial: type=stdout|file|unix|sink is missing");
    if (number < 1 || number > MACHINE_SERIAL_PORTS)
        return vmm_fail(error, VISOR_EINVAL, "--serial: num is 1 to %d", MACHINE_SERIAL_PORTS);
    if ((port.type == SERIAL_FILE || port.type == SERIAL_UNIX) && (path == NULL || *path == '\0'))
        return vmm_fail(error, VISOR_EINVAL, "--serial: this type needs path=...");
    if (port.type == SERIAL_UNIX && port.stdin_)
        return vmm_fail(error, VISOR_EINVAL, "--serial: a socket has its own input, no stdin");
    port.path = path;
    if (is_debug)
        return add_debug_console(options, &port, address, error);
    if (options->serial[number - 1].given)
        return vmm_fail(error, VISOR_EINVAL, "--serial: port %d is given twice (num=N)",
                        (int)number);
    options->serial[number - 1] = port;
    return 0;
}

/* The first port, on standard output, if there is none; one that has the console, one that has
 * standard input. */
static int complete_serial(struct run_options *options, vmm_error *error)
{
    size_t first = MACHINE_SERIAL_PORTS, first_stdout = MACHINE_SERIAL_PORTS;
    unsigned int consoles = 0, inputs = 0;

    for (size_t i = MACHINE_SERIAL_PORTS; i-- > 0;) {
        const struct serial_option *port = &options->serial[i];

        if (!port->given)
            continue;
        first = i;
        if (port->type == SERIAL_STDOUT)
            first_stdout = i;
        consoles += port->console;
        inputs += port->stdin_;
    }
    if (inputs > 1)
        return vmm_fail(error, VISOR_EINVAL, "--serial: stdin can be given to one port only");
    if (consoles > 1)
        return vmm_fail(error, VISOR_EINVAL, "--serial: one port only can be the console");
    if (first == MACHINE_SERIAL_PORTS) {
        first = first_stdout = 0;
        options->serial[0] = (struct serial_option){.given = true, .type = SERIAL_STDOUT};
    }
    if (consoles == 0)
        options->serial[first].console = true;
    if (inputs == 0 && first_stdout < MACHINE_SERIAL_PORTS)
        options->serial[first_stdout].stdin_ = true;
    return 0;
}

/* ---- all ---- */

static int parse_decompress(enum boot_unpack_where *out, const char *value, vmm_error *error)
{
    if (strcmp(value, "auto") == 0)
        *out = BOOT_UNPACK_AUTO;
    else if (strcmp(value, "host") == 0)
        *out = BOOT_UNPACK_HOST;
    else if (strcmp(value, "guest") == 0)
        *out = BOOT_UNPACK_GUEST;
    else
        return vmm_fail(error, VISOR_EINVAL, "--decompress: auto, host or guest, not '%s'", value);
    return 0;
}

enum {
    OPT_HYPERVISOR = 256,
    OPT_SERIAL,
    OPT_DISK,
    OPT_RWDISK,
    OPT_NO_RNG,
    OPT_DETERMINISTIC,
    OPT_DUMP_FDT,
    OPT_DECOMPRESS,
    OPT_BIOS,
    OPT_MODULE,
    OPT_DEBUG_EXIT,
    OPT_PROTECTED,
    OPT_PROTECTED_WITH,
    OPT_PROTECTED_WITHOUT,
    OPT_SWIOTLB,
};

/* One of the three options for a protected VM. */
static int set_protection(struct run_options *options, visor_protection protection,
                          vmm_error *error)
{
    if (options->protection != VISOR_UNPROTECTED)
        return vmm_fail(error, VISOR_EINVAL, "--protected-vm...: one of these options only");
    options->protection = protection;
    return 0;
}

static int parse_swiotlb(struct run_options *options, const char *value, vmm_error *error)
{
    int code = parse_number(&options->swiotlb_mib, value, "--swiotlb (in MiB)", error);

    if (code == 0 && (options->swiotlb_mib == 0 || options->swiotlb_mib > UINT64_MAX >> 20))
        return vmm_fail(error, VISOR_EINVAL, "--swiotlb: %s MiB is too %s", value,
                        options->swiotlb_mib == 0 ? "little" : "much");
    return code;
}

/* What protected VMs have, and they alone. */
static int complete_protection(struct run_options *options, vmm_error *error)
{
    if (options->protection == VISOR_UNPROTECTED)
        return options->swiotlb_mib == 0
                   ? 0
                   : vmm_fail(error, VISOR_EINVAL, "--swiotlb is for a protected VM");
    if (options->bios != NULL)
        return vmm_fail(error, VISOR_EINVAL, "--bios is not for a protected VM");
    if (options->swiotlb_mib == 0)
        options->swiotlb_mib = DEFAULT_SWIOTLB_MIB;
    if (options->swiotlb_mib >= options->mem_mib)
        return vmm_fail(error, VISOR_EINVAL,
                        "--swiotlb: %" PRIu64 " MiB of %" PRIu64 " MiB leave the guest none",
                        options->swiotlb_mib, options->mem_mib);
    return 0;
}

/* Nothing of the host's time, and no random numbers of its. */
static int complete_deterministic(struct run_options *options, vmm_error *error)
{
    if (!options->deterministic)
        return 0;
    if (options->hypervisor != NULL)
        return vmm_fail(error, VISOR_EINVAL,
                        "--deterministic chooses the hypervisor: the software CPU");
    if (options->cpus != 1)
        return vmm_fail(error, VISOR_EINVAL, "--deterministic is for one processor");
    if (options->disk_count != 0)
        return vmm_fail(error, VISOR_EINVAL,
                        "--deterministic has no disks: how fast they are is the host's");
    options->entropy = false;
    return set_string(&options->hypervisor, "soft[deterministic=on]", error);
}

static int parse_option(struct run_options *options, int option, vmm_error *error)
{
    uint64_t number = 0;
    int code;

    switch (option) {
    case 'c':
        code = parse_number(&number, optarg, "--cpus", error);
        if (code == 0 && (number == 0 || number > UINT32_MAX))
            return vmm_fail(error, VISOR_EINVAL, "--cpus: %s is %s", optarg,
                            number == 0 ? "too few" : "too many");
        options->cpus = (uint32_t)number;
        return code;
    case 'm':
        code = parse_number(&options->mem_mib, optarg, "--mem (in MiB)", error);
        if (code == 0 && (options->mem_mib == 0 || options->mem_mib > UINT64_MAX >> 20))
            return vmm_fail(error, VISOR_EINVAL, "--mem: %s MiB is too %s", optarg,
                            options->mem_mib == 0 ? "little" : "much");
        return code;
    case 'i': return set_string(&options->initrd, optarg, error);
    case 'p': return append_param(options, optarg, error);
    case 'b':
    case OPT_RWDISK: return parse_disk(options, optarg, false, error);
    case OPT_DISK: return parse_disk(options, optarg, true, error);
    case OPT_SERIAL: return parse_serial(options, optarg, error);
    case OPT_HYPERVISOR: return set_string(&options->hypervisor, optarg, error);
    case OPT_NO_RNG: options->entropy = false; return 0;
    case OPT_DETERMINISTIC: options->deterministic = true; return 0;
    case OPT_DUMP_FDT: return set_string(&options->dump_fdt, optarg, error);
    case OPT_DECOMPRESS: return parse_decompress(&options->unpack, optarg, error);
    case OPT_MODULE: return parse_module(options, optarg, error);
    case OPT_BIOS: return set_string(&options->bios, optarg, error);
    case OPT_DEBUG_EXIT: options->debug_exit = true; return 0;
    case OPT_PROTECTED: return set_protection(options, VISOR_PROTECTED, error);
    case OPT_PROTECTED_WITHOUT: return set_protection(options, VISOR_PROTECTED_NO_FIRMWARE, error);
    case OPT_PROTECTED_WITH:
        code = set_protection(options, VISOR_PROTECTED_CUSTOM_FIRMWARE, error);
        return code == 0 ? set_string(&options->firmware, optarg, error) : code;
    case OPT_SWIOTLB: return parse_swiotlb(options, optarg, error);
    case 'h': options->help = true; return 0;
    default: return VISOR_EINVAL;
    }
}

int run_options_parse(struct run_options *out, int argc, char **argv, vmm_error *error)
{
    static const struct option names[] = {
        {"cpus", required_argument, NULL, 'c'},
        {"mem", required_argument, NULL, 'm'},
        {"initrd", required_argument, NULL, 'i'},
        {"params", required_argument, NULL, 'p'},
        {"block", required_argument, NULL, 'b'},
        {"disk", required_argument, NULL, OPT_DISK},
        {"rwdisk", required_argument, NULL, OPT_RWDISK},
        {"serial", required_argument, NULL, OPT_SERIAL},
        {"hypervisor", required_argument, NULL, OPT_HYPERVISOR},
        {"no-rng", no_argument, NULL, OPT_NO_RNG},
        {"deterministic", no_argument, NULL, OPT_DETERMINISTIC},
        {"dump-fdt", required_argument, NULL, OPT_DUMP_FDT},
        {"module", required_argument, NULL, OPT_MODULE},
        {"bios", required_argument, NULL, OPT_BIOS},
        {"debug-exit", no_argument, NULL, OPT_DEBUG_EXIT},
        {"protected-vm", no_argument, NULL, OPT_PROTECTED},
        {"protected-vm-with-firmware", required_argument, NULL, OPT_PROTECTED_WITH},
        {"protected-vm-without-firmware", no_argument, NULL, OPT_PROTECTED_WITHOUT},
        {"swiotlb", required_argument, NULL, OPT_SWIOTLB},
        {"decompress", required_argument, NULL, OPT_DECOMPRESS},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, code = 0;

    *out = (struct run_options){.cpus = 1, .mem_mib = DEFAULT_MIB, .entropy = true};
    opterr = 0;
    optind = 1;
    while (code == 0 && (option = getopt_long(argc, argv, ":c:m:i:p:b:h", names, NULL)) != -1) {
        if (option == '?' || option == ':')
            return cli_refuse_option(argv, option, error);
        code = parse_option(out, option, error);
    }
    if (code != 0 || out->help)
        return code;
    if (optind == argc && out->bios == NULL)
        return vmm_fail(error, VISOR_EINVAL, "a kernel is missing (see visor run --help)");
    if (optind + 1 < argc)
        return vmm_fail(error, VISOR_EINVAL, "one kernel only: what is '%s'?", argv[optind + 1]);
    if (out->bios != NULL &&
        (optind < argc || out->initrd != NULL || out->params != NULL || out->module_count != 0))
        return vmm_fail(error, VISOR_EINVAL,
                        "--bios boots from a disk: it takes no kernel, nor what is for one");
    if (out->bios == NULL)
        code = set_string(&out->kernel, argv[optind], error);
    if (code == 0)
        code = complete_protection(out, error);
    if (code == 0)
        code = complete_deterministic(out, error);
    if (code == 0)
        code = complete_serial(out, error);
    if (code == 0)
        code = complete_params(out, error);
    return code;
}

void run_options_free(struct run_options *options)
{
    free(options->kernel);
    free(options->initrd);
    free(options->bios);
    free(options->firmware);
    free(options->hypervisor);
    free(options->dump_fdt);
    free(options->params);
    free(options->plain_params);
}
