/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the vCPUs of a VM share: physical memory, and the way to make all of them stand still.
 *
 * Memory changes only while no vCPU is inside guest code (soft_machine_stop()), so that vCPUs read
 * the table without a lock.
 */
#ifndef VISOR_SOFT_MACHINE_H
#define VISOR_SOFT_MACHINE_H

#include "os/os.h"
#include "soft/cpu.h"

#define SOFT_MAX_CPUS 64u

/* A piece of guest memory. */
struct soft_range {
    uint64_t gpa, length;
    uint8_t *host;
    bool read_only;
    atomic_ullong *dirty; /* a bit for each page written; NULL: not logged here */
    /* Called for each page written, in place of that; NULL: not logged here. */
    void (*written)(const struct soft_range *range, uint64_t gpa);
    void *context; /* of written */
    uint32_t slot;
};

/*
 * Devices that the machine itself has: the interrupt chip, MSRs beyond the processor's own. Called
 * on the vCPU's thread. False: it is somebody else's, the access leaves to the caller. Values are
 * zero-extended.
 */
struct soft_devices {
    bool (*access)(void *context, struct soft_cpu *cpu, struct soft_access *access);
    /* The clock: what RDTSC adds to the vCPU's offset, and its frequency. */
    uint64_t (*tsc)(void *context, const struct soft_cpu *cpu);
    uint64_t (*get_cr8)(void *context, struct soft_cpu *cpu);
    void (*set_cr8)(void *context, struct soft_cpu *cpu, uint64_t value);
    /* Whether an access to this MSR shall leave to the caller whatever it is. */
    bool (*msr_exits)(void *context, struct soft_cpu *cpu, uint32_t index, bool is_write);
    /* Whether one that does not exist shall. */
    bool unknown_msrs_exit;
    /* The next two may be NULL: none does. Whether CPUID with this leaf shall leave to the caller,
     * as VISOR_EXIT_CPUID at the instruction, which the caller then performs. */
    bool (*cpuid_exits)(void *context, struct soft_cpu *cpu, uint32_t function);
    /* Whether an exception or an NMI shall leave as VISOR_EXIT_EXCEPTION in place of being
     * delivered. It is forgotten then. */
    bool (*event_exits)(void *context, struct soft_cpu *cpu, const struct soft_event *event);
    void *context;
};

struct soft_ticker {
    struct visor__thread thread;
    visor_event bell;
    atomic_uint running; /* vCPUs in the guest */
    atomic_bool sleeping, stop;
};

struct soft_machine {
    struct soft_range *ranges; /* by gpa, not overlapping */
    size_t range_count;
    uint64_t gpa_last; /* the highest address that the processor has */
    struct soft_devices devices;
    uint64_t hypercalls; /* bit n: number n leaves to the caller */
    bool bus_lock_exits; /* of new vCPUs; each has its own */
    bool hides_platform_info;
    struct soft_cpu *cpus[SOFT_MAX_CPUS];
    size_t cpu_count;

    struct soft_ticker ticker;
    struct visor__mutex lock;          /* over `inside` and `stopped` */
    unsigned inside;                   /* vCPUs in guest code */
    unsigned stopped;                  /* depth of soft_machine_stop() */
    struct visor__mutex exchange_lock; /* see exchange16_other.c */
};

/* The range with this address, NULL: a device or nothing. */
const struct soft_range *soft_range_find(const struct soft_machine *machine, uint64_t gpa);
/* Marks what a write touches in the dirty log. Inside one page. */
static inline void soft_range_mark(const struct soft_range *range, uint64_t gpa)
{
    uint64_t page = (gpa - range->gpa) / SOFT_PAGE;

    if (range->dirty != NULL)
        atomic_fetch_or(&range->dirty[page / 64], 1ull << (page % 64));
    if (range->written != NULL)
        range->written(range, gpa);
}
static inline bool soft_range_is_logged(const struct soft_range *range)
{
    return range->dirty != NULL || range->written != NULL;
}

#endif
