/* SPDX-License-Identifier: BSD-3-Clause */
/* visor-conformance: does this hypervisor behave as the API says? */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "report.h"

struct suite_options suite_options = {.time_limit_s = 20, .stress = 1000};

static struct test_case *cases_first, **cases_last = &cases_first;

void case_register(struct test_case *test)
{
    *cases_last = test;
    cases_last = &test->next;
}

struct counts {
    unsigned number, passed, failed, skipped, outdated;
};

static void case_full_name(char *out, size_t capacity, const struct test_case *test)
{
    snprintf(out, capacity, "%s/%s", test->theme, test->name);
}

static bool case_selected(const struct test_case *test, const char *filter)
{
    char name[128];

    case_full_name(name, sizeof(name), test);
    return filter == NULL || glob_matches(filter, name) || strcmp(filter, test->theme) == 0;
}

static void case_body(const struct test_case *test)
{
    struct guest g = {0};

    CHECK_OK(visor_hypervisor_open(&g.hv, suite_options.hypervisor));
    test->run(&g);
    report_join();
    visor_vcpu_free(g.vcpu);
    visor_vm_free(g.vm);
    visor_memory_free(g.memory);
    visor_hypervisor_free(g.hv);
}

/* Hands its answer back as a note. */
static void detect_body(void)
{
    visor_hypervisor *hv;

    CHECK_OK(visor_hypervisor_open(&hv, suite_options.hypervisor));
    note("%x %s %s; %s", host_detect(hv) | host_system(), visor_hypervisor_backend(hv),
         visor_hypervisor_version(hv), visor_hypervisor_reason(hv));
    visor_hypervisor_free(hv);
}

void report_body(const char *name)
{
    char full_name[128];

    if (*name == '\0') {
        detect_body();
        return;
    }
    for (const struct test_case *test = cases_first; test != NULL; test = test->next) {
        case_full_name(full_name, sizeof(full_name), test);
        if (strcmp(full_name, name) == 0) {
            case_body(test);
            return;
        }
    }
    FAIL("there is no such case");
}

/* Learns the backend's name and the facts about the host; < 0 if no guest can run. */
static int suite_detect(char *backend, unsigned *host)
{
    struct report report;
    char rest[1024] = "";
    char *words;

    report_run(&report, "", suite_options.time_limit_s);
    *host = (unsigned)strtoul(report.notes, &words, 16);
    if (report.outcome != OUTCOME_PASSED || words == report.notes ||
        sscanf(words, "%63s %1000[^\n]", backend, rest) < 1) {
        printf("Bail out! %s: %s\n", suite_options.hypervisor ? suite_options.hypervisor : "auto",
               report.text);
        return -1;
    }
    printf("# %s %s\n", backend, rest);
    printf("# host:");
#define HOST_FACT_PRINT_(name, bit, text) \
    if ((*host & HOST_##name) != 0)       \
        printf(" " text);
    HOST_FACTS(HOST_FACT_PRINT_)
#undef HOST_FACT_PRINT_
    printf("\n");
    return 0;
}

static void print_notes(const char *notes)
{
    while (*notes != '\0') {
        int length = (int)strcspn(notes, "\n");

        printf("#   %.*s\n", length, notes);
        notes += length + (notes[length] != '\0');
    }
}

static void case_run(struct counts *counts, struct test_case *test, const char *backend,
                     unsigned host)
{
    unsigned limit_s = suite_options.time_limit_s * (test->slowness ? test->slowness : 1);
    const struct quirk *quirk;
    struct report report;
    char name[128];

    case_full_name(name, sizeof(name), test);
    quirk = quirk_find(backend, host, name);
    counts->number++;
    if (quirk != NULL && quirk->kind == QUIRK_SKIP) {
        counts->skipped++;
        printf("ok %u - %s # SKIP %s\n", counts->number, name, quirk->reason);
        return;
    }
    report_run(&report, name, limit_s);
    if (quirk != NULL && report.outcome == OUTCOME_FAILED &&
        glob_matches(quirk->outcome, report.text)) {
        counts->skipped++;
        printf("ok %u - %s # SKIP differs as declared (%s): %s\n", counts->number, name,
               report.text, quirk->reason);
        return;
    }
    if (quirk != NULL && quirk->kind == QUIRK_DIFFERS && report.outcome == OUTCOME_PASSED) {
        counts->outdated++;
        printf("# out of date: the quirk \"%s\" does not show in %s\n", quirk->reason, name);
    }
    switch (report.outcome) {
    case OUTCOME_PASSED:
        counts->passed++;
        printf("ok %u - %s\n", counts->number, name);
        break;
    case OUTCOME_SKIPPED:
        counts->skipped++;
        printf("ok %u - %s # SKIP %s\n", counts->number, name, report.text);
        break;
    case OUTCOME_FAILED:
        counts->failed++;
        printf("not ok %u - %s\n#   %s\n", counts->number, name, report.text);
        break;
    }
    if (suite_options.verbose || report.outcome == OUTCOME_FAILED)
        print_notes(report.notes);
}

static int suite_list(const char *filter)
{
    char name[128];

    for (const struct test_case *test = cases_first; test != NULL; test = test->next) {
        if (!case_selected(test, filter))
            continue;
        case_full_name(name, sizeof(name), test);
        printf("%-44s %s\n", name, test->what);
    }
    return 0;
}

static int suite_run(const char *filter)
{
    struct counts counts = {0};
    unsigned total = 0, host = 0;
    char backend[64] = "";

    for (const struct test_case *test = cases_first; test != NULL; test = test->next)
        total += case_selected(test, filter);
    if (total == 0) {
        fprintf(stderr, "visor-conformance: no case matches '%s'\n", filter ? filter : "");
        return 2;
    }
    printf("TAP version 13\n1..%u\n", total);
    if (suite_detect(backend, &host) < 0)
        return 1;
    for (struct test_case *test = cases_first; test != NULL; test = test->next) {
        if (case_selected(test, filter))
            case_run(&counts, test, backend, host);
        fflush(stdout);
    }
    if (counts.outdated != 0)
        printf("# %u quirks out of date\n", counts.outdated);
    printf("# %u passed, %u failed, %u skipped\n", counts.passed, counts.failed, counts.skipped);
    return counts.failed != 0;
}

static void print_usage(FILE *out)
{
    fprintf(out,
            "Usage: visor-conformance [--hypervisor SPEC] [--filter GLOB] [--list]\n"
            "                         [--time-limit SECONDS] [--stress ROUNDS] [--verbose]\n"
            "Runs small guests and prints TAP: does the hypervisor behave as visor's API says?\n"
            "\n"
            "  --hypervisor SPEC     what to test: kvm, kvm[device=PATH], ... (default: auto)\n"
            "  --filter GLOB         only the cases theme/name that match, or a whole theme\n"
            "  --list                print the cases and what they check, and run none\n"
            "  --time-limit SECONDS  of a case, before it is killed and fails (default: %u)\n"
            "  --stress ROUNDS       of the stress cases (default: %u)\n"
            "  --verbose             print the notes of passed cases too\n"
            "\n"
            "Exit status: 0 no case failed, 1 a case failed or no guest runs, 2 wrong usage.\n",
            suite_options.time_limit_s, suite_options.stress);
}

/* A decimal number from 1 to 10^9, or 0 if the text is no such thing. */
static unsigned parse_count(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || value > 1000000000)
        return 0;
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"hypervisor", required_argument, NULL, 'H'},
                                            {"filter", required_argument, NULL, 'f'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"time-limit", required_argument, NULL, 't'},
                                            {"stress", required_argument, NULL, 's'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *filter = NULL, *name;
    bool list = false;
    int option;

    while ((option = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
        switch (option) {
        case 'H': suite_options.hypervisor = optarg; break;
        case 'f': filter = optarg; break;
        case 'l': list = true; break;
        case 't': suite_options.time_limit_s = parse_count(optarg); break;
        case 's': suite_options.stress = parse_count(optarg); break;
        case 'v': suite_options.verbose = true; break;
        case 'h': print_usage(stdout); return 0;
        case 'V': printf("visor-conformance %s\n", visor_version()); return 0;
        default: print_usage(stderr); return 2;
        }
    }
    if (optind < argc || suite_options.time_limit_s == 0 || suite_options.stress == 0) {
        print_usage(stderr);
        return 2;
    }
    name = process_name();
    if (name != NULL) {
        report_child(name);
        return 0;
    }
    return list ? suite_list(filter) : suite_run(filter);
}
