/* SPDX-License-Identifier: BSD-3-Clause */
/* visor info: what this machine offers. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

void cli_info_help(void)
{
    printf("usage: visor info [--json]\n"
           "\n"
           "Tells of each hypervisor that visor knows whether it can be used here (it is tried, "
           "with a\n"
           "small guest), if not, why and what to do about it; its version, the measured speed of\n"
           "guests and its capabilities. Then, which one `auto` takes, and why.\n"
           "\n"
           "      --json  the same for programs\n"
           "  -h, --help  this text\n"
           "\n"
           "Exit status: 0 if there is one that `auto` takes, else 1.\n");
}

/* ---- for people ---- */

static void show_caps(visor_hypervisor *hv)
{
    for (int cap = 0; cap < VISOR_CAP_COUNT; cap++) {
        int64_t value = visor_hypervisor_cap(hv, (visor_cap)cap);

        if (value != 0)
            printf("      %-22s %8" PRId64 "  %s\n", visor_cap_name((visor_cap)cap), value,
                   visor_cap_text((visor_cap)cap));
    }
}

static void show_backend(size_t index, const visor_probe *probe, visor_hypervisor *hv)
{
    const char *state = probe->status < 0 ? "not usable" : probe->full ? "works" : "works in part";

    printf("%-10s %s%s\n", visor_backend_name(index), state,
           visor_backend_is_auto(index) ? "" : " (only taken if asked for by name)");
    printf("    %s\n", visor_backend_summary(index));
    if (probe->status < 0)
        printf("    why: %s\n", probe->detail);
    else if (probe->detail[0] != '\0')
        printf("    %s\n", probe->detail);
    if (probe->hint[0] != '\0')
        printf("    remedy: %s\n", probe->hint);
    if (probe->version[0] != '\0')
        printf("    version: %s\n", probe->version);
    if (probe->status == 0 && probe->mips > 0)
        printf("    speed: %.0f million guest instructions a second\n", probe->mips);
    if (hv != NULL) {
        printf("    capabilities:\n");
        show_caps(hv);
    }
    printf("\n");
}

/* ---- for programs ---- */

static void json_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void json_member(const char *name, const char *text)
{
    printf(", \"%s\": ", name);
    json_string(text);
}

static void json_backend(size_t index, const visor_probe *probe, visor_hypervisor *hv)
{
    const char *separator = "";

    printf("%s\n    {\"name\": ", index > 0 ? "," : "");
    json_string(visor_backend_name(index));
    json_member("summary", visor_backend_summary(index));
    printf(", \"auto\": %s", visor_backend_is_auto(index) ? "true" : "false");
    printf(", \"usable\": %s", probe->status == 0 ? "true" : "false");
    printf(", \"full\": %s", probe->status == 0 && probe->full ? "true" : "false");
    json_member("status", visor_error_name(probe->status));
    json_member("detail", probe->detail);
    json_member("remedy", probe->hint);
    json_member("version", probe->version);
    printf(", \"mips\": %.1f, \"capabilities\": {", probe->mips);
    for (int cap = 0; hv != NULL && cap < VISOR_CAP_COUNT; cap++) {
        printf("%s\"%s\": %" PRId64, separator, visor_cap_name((visor_cap)cap),
               visor_hypervisor_cap(hv, (visor_cap)cap));
        separator = ", ";
    }
    printf("}}");
}

/* ---- both ---- */

static int choose(bool json)
{
    visor_hypervisor *hv;
    char line[512];
    int code = visor_hypervisor_open(&hv, "auto");

    if (code < 0) {
        visor_error_format(line, sizeof(line));
        if (json) {
            printf("\n  ],\n  \"auto\": null");
            json_member("reason", line);
            printf("\n}\n");
        } else {
            printf("auto: %s\n", line);
        }
        return STATUS_ERROR;
    }
    if (json) {
        printf("\n  ],\n  \"auto\": ");
        json_string(visor_hypervisor_backend(hv));
        json_member("reason", visor_hypervisor_reason(hv));
        printf("\n}\n");
    } else {
        printf("%s\n", visor_hypervisor_reason(hv)); /* "auto took kvm (...)" */
    }
    visor_hypervisor_free(hv);
    return STATUS_OK;
}

static void tell(size_t index, bool json)
{
    const char *name = visor_backend_name(index);
    visor_probe probe = VISOR_PROBE_INIT;
    visor_hypervisor *hv = NULL;
    int code = visor_hypervisor_probe(&probe, name);

    if (code < 0)
        probe.status = code;
    if (visor_hypervisor_open(&hv, name) < 0)
        hv = NULL;
    if (json)
        json_backend(index, &probe, hv);
    else
        show_backend(index, &probe, hv);
    visor_hypervisor_free(hv);
}

int cli_info(int argc, char **argv)
{
    static const struct option names[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    vmm_error error;
    bool json = false;
    int option;

    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        switch (option) {
        case 'j': json = true; break;
        case 'h': cli_info_help(); return STATUS_OK;
        default:
            cli_refuse_option(argv, option, &error);
            cli_say("info: %s", error.text);
            return STATUS_USAGE;
        }
    }
    if (optind < argc) {
        cli_say("info: what is '%s'?", argv[optind]);
        return STATUS_USAGE;
    }
    if (json) {
        printf("{\n  \"version\": ");
        json_string(visor_version());
        printf(",\n  \"backends\": [");
    } else {
        printf("visor %s\n\n", visor_version());
    }
    for (size_t i = 0; i < visor_backend_count(); i++)
        tell(i, json);
    return choose(json);
}
