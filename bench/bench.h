/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same work, done twice: through libvisor and through raw ioctls, as a careful programmer would
 * write them by hand for one kernel. Guests and counts are shared, so that only the way differs.
 */
#ifndef VISOR_BENCH_BENCH_H
#define VISOR_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* X(NAME, name, repetitions in one sample, what one repetition is) */
#define BENCH_ROWS(X)                                                                              \
    X(PIO, "pio_exit", 2000, "port write: exit and re-entry")                                      \
    X(MMIO, "mmio_exit", 2000, "memory-mapped write: exit and re-entry")                           \
    X(REGS, "regs_after_exit", 2000, "port write, get registers, set registers, re-entry")         \
    X(CREATE, "create_to_exit", 50, "VM and vCPU from nothing to the first exit, and back")        \
    X(DIRTY, "dirty_harvest", 20, "dirty log of a 1 GiB slot after 1024 pages were written")

enum bench_row {
#define BENCH_ENUM(id, name, count, text) BENCH_##id,
    BENCH_ROWS(BENCH_ENUM)
#undef BENCH_ENUM
    BENCH_ROW_COUNT
};

/* A way to do the work. Each call sets everything up, and returns the ns that `count` repetitions
 * took without the set-up (but for CREATE, which is set-up); < 0: failed, message printed. */
struct bench_side {
    const char *name;
    double (*run)(enum bench_row row, unsigned count);
};
extern const struct bench_side bench_raw, bench_visor;

/* Guests, 16-bit code at BENCH_CODE_GPA in BENCH_RAM bytes of RAM at 0, CS base 0. */
#define BENCH_RAM        0x10000u
#define BENCH_CODE_GPA   0x1000u
#define BENCH_PORT       0x10u
#define BENCH_MMIO_GPA   0x40000000u
#define BENCH_DIRTY_GPA  0x80000000u
#define BENCH_DIRTY_SIZE (1u << 30)
#define BENCH_STRIDE     0x100000u /* 1024 pages of 1 GiB */

struct bench_guest {
    const uint8_t *code;
    size_t length;
    uint64_t rbx; /* initial */
};
/* The guest for a row. */
const struct bench_guest *bench_guest(enum bench_row row);

double bench_now(void); /* ns */

#endif
