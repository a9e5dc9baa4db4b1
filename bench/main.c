/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs both sides in turns and prints ratios: times of one noisy machine mean nothing, what two
 * neighbours in time took relative to each other does.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define MAX_SAMPLES 101
#define SLICES      10
/* A row takes fewer samples (but three) where machines are slow or busy. */
#define ENOUGH_NS 60e9

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct result {
    double ratio[MAX_SAMPLES]; /* visor / raw */
    double raw_ns, visor_ns;   /* best of one repetition */
    unsigned samples;          /* taken */
};

/*
 * Adds what `count` repetitions of each side took, ns, to took[]. They take turns in slices,
 * because what disturbs a machine lasts longer than a slice, and alternate in coming first, against
 * drift.
 */
static int take_turns(double took[2], enum bench_row row, unsigned count)
{
    const struct bench_side *sides[2] = {&bench_raw, &bench_visor};

    for (unsigned i = 0; i < 2 * SLICES; i++) {
        unsigned which = (i + i / 2) % 2;
        double slice = sides[which]->run(row, count / SLICES);

        if (slice < 0)
            return -1;
        took[which] += slice;
    }
    return 0;
}

static int measure(struct result *out, enum bench_row row, unsigned count, unsigned samples)
{
    unsigned repetitions = count / SLICES * SLICES;
    double start = bench_now();

    out->samples = 0;
    out->raw_ns = out->visor_ns = 1e18;
    while (out->samples < samples && (out->samples < 3 || bench_now() - start < ENOUGH_NS)) {
        double took[2] = {0, 0};

        if (take_turns(took, row, count) < 0)
            return -1;
        out->ratio[out->samples++] = took[1] / took[0];
        took[0] /= repetitions;
        took[1] /= repetitions;
        out->raw_ns = took[0] < out->raw_ns ? took[0] : out->raw_ns;
        out->visor_ns = took[1] < out->visor_ns ? took[1] : out->visor_ns;
    }
    qsort(out->ratio, out->samples, sizeof(out->ratio[0]), by_value);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *text;
        unsigned count;
    } rows[] = {
#define ROW(id, name, count, text) {name, text, count},
        BENCH_ROWS(ROW)
#undef ROW
    };
    unsigned samples = 11;
    FILE *json = NULL;
    bool first = true;
    int option;

    while ((option = getopt(argc, argv, "n:j:")) != -1) {
        if (option == 'n')
            samples = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'j' && (json = fopen(optarg, "w")) == NULL)
            return perror(optarg), 1;
        else if (option == '?')
            return 2;
    }
    if (samples < 1 || samples > MAX_SAMPLES) {
        fprintf(stderr, "usage: visor-bench [-n SAMPLES (1 to %d)] [-j JSON]\n", MAX_SAMPLES);
        return 2;
    }
    printf("%-16s %8s %8s %8s %6s   visor / raw ioctls, in interleaved pairs\n", "row", "min",
           "median", "max", "pairs");
    if (json != NULL)
        fprintf(json, "{\"rows\": [");
    for (unsigned row = 0; row < BENCH_ROW_COUNT; row++) {
        struct result result;
        double median, max;

        if (row == BENCH_PIO && !bench_has_pio)
            continue;
        if (measure(&result, row, rows[row].count, samples) < 0)
            return 1;
        median = result.ratio[result.samples / 2];
        max = result.ratio[result.samples - 1];
        printf("%-16s %8.3f %8.3f %8.3f %6u   %s\n", rows[row].name, result.ratio[0], median, max,
               result.samples, rows[row].text);
        fflush(stdout);
        if (json != NULL)
            fprintf(json,
                    "%s\n  {\"row\": \"%s\", \"samples\": %u, \"ratio\": {\"min\": %.4f, "
                    "\"median\": %.4f, \"max\": %.4f}, \"best_ns\": {\"raw\": %.0f, "
                    "\"visor\": %.0f}}",
                    first ? "" : ",", rows[row].name, result.samples, result.ratio[0], median, max,
                    result.raw_ns, result.visor_ns);
        first = false;
    }
    if (json != NULL) {
        fprintf(json, "\n]}\n");
        fclose(json);
    }
    return 0;
}
