/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same work, done twice: through libvisor and through raw ioctls, as a careful programmer would
 * write them by hand for one kernel. Guests and counts are shared, so that only the way differs.
 */
#ifndef VISOR_BENCH_BENCH_H
#define VISOR_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <visor.h>

/* X(NAME, name, repetitions in one sample, what one repetition is). Where there are no ports there is
 * no row PIO, and the others leave by a memory-mapped write. */
#define BENCH_ROWS(X)                                                                              \
    X(PIO, "pio_exit", 2000, "port write: exit and re-entry")                                      \
    X(MMIO, "mmio_exit", 2000, "memory-mapped write: exit and re-entry")                           \
    X(REGS, "regs_after_exit", 2000, "exit, get registers, set registers, re-entry")         \
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

/* Guests, at BENCH_CODE_GPA in BENCH_RAM bytes of RAM at 0. */
#define BENCH_RAM        0x10000u
#define BENCH_CODE_GPA   0x1000u
#define BENCH_MMIO_GPA   0x40000000u
#define BENCH_DIRTY_GPA  0x80000000u
#define BENCH_DIRTY_SIZE (1u << 30)
#define BENCH_STRIDE     0x100000u /* 1024 pages of 1 GiB */

struct bench_guest {
    const void *code;
    size_t length;
    uint64_t address; /* that it writes to, but for PIO */
};

/* ---- what an architecture brings: bench_ARCH.c ---- */

extern const bool bench_has_pio;
/* The guest for a row. */
const struct bench_guest *bench_guest(enum bench_row row);
/* Makes a fresh vCPU ready to run the guest. */
bool bench_raw_start(int vm, int vcpu, const struct bench_guest *guest);
bool bench_visor_start(visor_vcpu *vcpu, const struct bench_guest *guest);
/* After VM creation: nothing that the other side does not have. */
bool bench_visor_configure(visor_vm *vm);
/* Reads all general registers, changes one, and writes them. */
bool bench_raw_regs(int vcpu);
bool bench_visor_regs(visor_vcpu *vcpu);

/* Whether the guest of a row leaves by a memory-mapped write. */
static inline bool bench_is_mmio(enum bench_row row)
{
    return row == BENCH_MMIO || !bench_has_pio;
}

double bench_now(void); /* ns */

#endif
