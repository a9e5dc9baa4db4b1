/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * silicon [--seed N] [--first N] [--count N] [--only PATTERN] [--jobs N] [--case N] [--forms]
 *         [--hypervisor NAME]
 *
 * Compares --count cases from --first on, evenly over all encodings (of the instructions and groups
 * whose name contains PATTERN), in --jobs processes; --case repeats one, --forms lists every
 * encoding with its counts. Prints TAP.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "silicon.h"

#define MAX_SHOWN 200u /* of the cases that differ, for each process */
#define ONE_FORM  3u   /* and of these, for each encoding */
#define PROGRESS  500000u

static struct {
    uint64_t seed, first, count, one;
    const char *only, *hypervisor;
    unsigned jobs;
    bool has_one, forms;
} options = {.seed = 1, .count = 200000, .hypervisor = "soft", .jobs = 1};

#define VECTORS 32u

struct counts {
    uint32_t cases[SILICON_FORMS_MAX], faults[SILICON_FORMS_MAX], differ[SILICON_FORMS_MAX];
    uint64_t vectors[VECTORS];
    uint64_t none, instructions, unsteady;
    unsigned known, known_differ;
};

static unsigned chosen[SILICON_FORMS_MAX], chosen_count;

static void choose(void)
{
    for (unsigned i = 0; i < silicon_form_count; i++) {
        if (options.only == NULL || strstr(soft_insn_name(silicon_forms[i].id), options.only) ||
            strstr(silicon_group_names[silicon_forms[i].group], options.only))
            chosen[chosen_count++] = i;
    }
}

static void print_state(const char *who, const struct silicon_state *state)
{
    printf("#   %s: vector %d error %x address %llx rip %llx flags %llx\n#  ", who, state->vector,
           state->error, (unsigned long long)state->address, (unsigned long long)state->rip,
           (unsigned long long)state->flags);
    for (unsigned i = 0; i < 16; i++)
        printf(" %llx", (unsigned long long)state->r[i]);
    printf("\n#   fcw %llx fsw %llx ftw %x mxcsr %llx\n",
           (unsigned long long)silicon_get(state->image, 2),
           (unsigned long long)silicon_get(state->image + SILICON_IMAGE_FSW, 2),
           state->image[SILICON_IMAGE_FTW],
           (unsigned long long)silicon_get(state->image + SILICON_IMAGE_MXCR, 4));
}

static void report(struct silicon_case *c, const char *what, uint64_t number)
{
    static struct silicon_state here, there;

    printf("# case %llu, %s:", (unsigned long long)number, soft_insn_name(c->insn[0].id));
    for (unsigned i = 0; i < c->length; i++)
        printf(" %02x", c->code[i]);
    printf(": %s\n", what);
    silicon_shrink(c);
    what = silicon_try(c, &here, &there);
    printf("#   smallest (%s%s%s): %s\n", soft_insn_name(c->insn[0].id), c->count > 1 ? ", " : "",
           c->count > 1 ? soft_insn_name(c->insn[1].id) : "", what != NULL ? what : "gone");
    silicon_print(c, &here, &there);
    print_state("in", &c->in);
    print_state("processor", &here);
    print_state("soft", &there);
    fflush(stdout);
}

static void run_case(struct counts *counts, uint64_t number)
{
    static struct silicon_case c;
    static struct silicon_state here, there;
    static unsigned shown;
    const unsigned which = chosen[number % chosen_count];
    const char *what;

    silicon_seed(options.seed, number);
    if (!silicon_generate(&c, &silicon_forms[which])) {
        counts->none++;
        return;
    }
    what = silicon_try(&c, &here, &there);
    counts->cases[which]++;
    counts->instructions += c.count;
    counts->unsteady = silicon_unsteady;
    if (here.vector >= 0) {
        counts->faults[which]++;
        counts->vectors[(unsigned)here.vector % VECTORS]++;
    }
    if (what == NULL)
        return;
    counts->differ[which]++;
    if (shown < MAX_SHOWN && counts->differ[which] <= ONE_FORM) {
        shown++;
        report(&c, what, number);
    }
}

static void run_job(struct counts *counts, unsigned job)
{
    const char *error;

    if (!silicon_native_open()) {
        printf("# the addresses are taken\n");
        _exit(1);
    }
    error = silicon_guest_open(options.hypervisor);
    if (error != NULL) {
        printf("# %s\n", error);
        _exit(1);
    }
    if (job == 0)
        counts->known = silicon_known_here(&counts->known_differ);
    if (options.has_one)
        run_case(counts, options.one);
    for (uint64_t i = job; !options.has_one && i < options.count; i += options.jobs) {
        run_case(counts, options.first + i);
        if (job == 0 && i % PROGRESS < options.jobs && i >= PROGRESS) {
            printf("# so far about %llu\n", (unsigned long long)i);
            fflush(stdout);
        }
    }
    silicon_guest_close();
    fflush(stdout);
    _exit(0);
}

/* ---- the report ---- */

static void print_left_out(void)
{
    static const char *const reasons[] = {
        [SILICON_LACKING_HERE] = "this processor lacks them",
        [SILICON_LACKING_THERE] = "soft lacks them",
        [SILICON_OWN_RESULT] = "the result is the kernel's, or vendors differ",
    };

    for (unsigned reason = 0; reason < SILICON_REASONS; reason++) {
        bool named[SOFT_INSN_COUNT] = {false};
        unsigned count = 0;

        for (unsigned i = 0; i < silicon_left_out_count; i++)
            count += silicon_left_out[i].reason == reason;
        if (count == 0)
            continue;
        printf("# not compared, %s (%u encodings):", reasons[reason], count);
        for (unsigned i = 0; i < silicon_left_out_count; i++) {
            const unsigned id = silicon_left_out[i].id;

            if (silicon_left_out[i].reason != reason || named[id])
                continue;
            named[id] = true;
            printf(" %s", soft_insn_name(id));
        }
        printf("\n");
    }
}

static void print_forms(const struct counts *sum)
{
    for (unsigned i = 0; i < chosen_count; i++) {
        const unsigned which = chosen[i];
        const struct silicon_form *form = &silicon_forms[which];

        printf("# %s%u %02x%s p%u w%u l%u %s /%u %-12s %8u cases %7u faults %4u differ\n",
               form->vex ? "vex" : "map", form->map, form->opcode, form->memory ? " mem" : "",
               form->prefix, form->w, form->l, silicon_group_names[form->group], form->reg,
               soft_insn_name(form->id), sum->cases[which], sum->faults[which], sum->differ[which]);
    }
}

static uint64_t print_groups(uint64_t *differ, const struct counts *sum)
{
    uint64_t all = 0;

    for (unsigned group = 0; group < SILICON_GROUP_COUNT; group++) {
        uint64_t cases = 0, faults = 0, bad = 0;
        unsigned forms = 0;
        uint32_t least = UINT32_MAX;

        for (unsigned i = 0; i < chosen_count; i++) {
            const unsigned which = chosen[i];

            if (silicon_forms[which].group != group)
                continue;
            forms++;
            cases += sum->cases[which];
            faults += sum->faults[which];
            bad += sum->differ[which];
            least = sum->cases[which] < least ? sum->cases[which] : least;
        }
        if (forms == 0)
            continue;
        printf("# %-22s %4u encodings %9llu cases (%u or more each) %8llu faults %4llu differ\n",
               silicon_group_names[group], forms, (unsigned long long)cases, least,
               (unsigned long long)faults, (unsigned long long)bad);
        all += cases;
        *differ += bad;
    }
    return all;
}

/* Of all processes in the first. False: there are differences, or too few cases. */
static bool summarize(struct counts *counts)
{
    struct counts *sum = &counts[0];
    uint64_t differ = sum->known_differ, cases, faults = 0;
    unsigned missed = 0;

    for (unsigned job = 1; job < options.jobs; job++) {
        for (unsigned i = 0; i < SILICON_FORMS_MAX; i++) {
            sum->cases[i] += counts[job].cases[i];
            sum->faults[i] += counts[job].faults[i];
            sum->differ[i] += counts[job].differ[i];
        }
        for (unsigned i = 0; i < VECTORS; i++)
            sum->vectors[i] += counts[job].vectors[i];
        sum->none += counts[job].none;
        sum->instructions += counts[job].instructions;
        sum->unsteady += counts[job].unsteady;
    }
    if (options.forms)
        print_forms(sum);
    cases = print_groups(&differ, sum);
    for (unsigned i = 0; i < chosen_count; i++)
        missed += sum->cases[chosen[i]] == 0;
    printf("# %u of %u encodings without a case\n# faults by vector:", missed, chosen_count);
    for (unsigned i = 0; i < VECTORS; i++) {
        faults += sum->vectors[i];
        if (sum->vectors[i] != 0)
            printf(" %u: %llu", i, (unsigned long long)sum->vectors[i]);
    }
    printf("\n# %u known cases, %u differ\n", sum->known, sum->known_differ);
    if (sum->unsteady != 0)
        printf("# %llu cases had another result here when they were repeated\n",
               (unsigned long long)sum->unsteady);
    printf("# seed %llu: %llu cases (%llu instructions), %llu faults, %llu not made, %llu differ\n",
           (unsigned long long)options.seed, (unsigned long long)cases,
           (unsigned long long)sum->instructions, (unsigned long long)faults,
           (unsigned long long)sum->none, (unsigned long long)differ);
    /* A run long enough to reach every encoding has to. */
    return cases > 0 && differ == 0 &&
           (options.has_one || missed == 0 || options.count < 4 * (uint64_t)chosen_count);
}

static bool parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},
        {"first", required_argument, NULL, 'b'},
        {"count", required_argument, NULL, 'n'},
        {"only", required_argument, NULL, 'o'},
        {"jobs", required_argument, NULL, 'j'},
        {"case", required_argument, NULL, 'c'},
        {"hypervisor", required_argument, NULL, 'h'},
        {"forms", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's': options.seed = strtoull(optarg, NULL, 0); break;
        case 'b': options.first = strtoull(optarg, NULL, 0); break;
        case 'n': options.count = strtoull(optarg, NULL, 0); break;
        case 'o': options.only = optarg; break;
        case 'j': options.jobs = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'h': options.hypervisor = optarg; break;
        case 'f': options.forms = true; break;
        case 'c':
            options.one = strtoull(optarg, NULL, 0);
            options.has_one = true;
            options.jobs = 1;
            break;
        default: return false;
        }
    }
    return optind == argc && options.jobs >= 1 && options.jobs <= 64;
}

int main(int argc, char **argv)
{
    struct counts *counts;
    bool ok = true;

    if (!parse(argc, argv)) {
        fprintf(stderr,
                "usage: silicon [--seed N] [--first N] [--count N] [--only PATTERN] [--jobs N] "
                "[--case N] [--forms] [--hypervisor NAME]\n");
        return 2;
    }
    printf("1..1\n");
    if (!__builtin_cpu_supports("avx")) {
        printf("ok 1 - silicon # SKIP this processor has no AVX\n");
        return 0;
    }
    silicon_forms_find();
    choose();
    printf("# %u encodings; seed %llu\n", silicon_form_count, (unsigned long long)options.seed);
    print_left_out();
    counts = mmap(NULL, options.jobs * sizeof(*counts), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED || chosen_count == 0) {
        printf("not ok 1 - silicon\n");
        return 1;
    }
    fflush(stdout);
    for (unsigned job = 0; job < options.jobs; job++) {
        if (fork() == 0)
            run_job(&counts[job], job);
    }
    for (unsigned job = 0; job < options.jobs; job++) {
        int status = 1;

        wait(&status);
        if (status != 0)
            printf("# a process ended with status %x\n", (unsigned)status);
        ok &= status == 0;
    }
    ok &= summarize(counts);
    printf("%sok 1 - silicon\n", ok ? "" : "not ");
    return ok ? 0 : 1;
}
