/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two hypervisors beside each other: KVM, in the lab, and the software CPU.
 *
 *   resume.c, journey.c, resume_guest.c  snapshots of one go on in the other
 *   clock.c                              and so does the paravirtual clock
 *   system*.c                            the same cases at random come to the same
 *
 * Programs print TAP, and the seed with which to repeat what failed.
 */
#ifndef VISOR_TESTS_DIFFERENTIAL_MACHINE_H
#define VISOR_TESTS_DIFFERENTIAL_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <visor.h>

#include "../unit/buffer.h"

/* A VM with one vCPU and RAM from 0 on. */
struct machine {
    const char *name; /* of the hypervisor */
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    uint8_t *ram;
};

/* NULL: fine; else what is wrong. */
const char *machine_open(struct machine *machine, const char *hypervisor);
/* Both have to be open: their guests get the same CPUID, of what both hypervisors support. */
const char *machine_create(struct machine *machine, const struct machine *other, uint64_t ram,
                           const visor_vm_config *config);
void machine_free(struct machine *machine);
void machine_close(struct machine *machine);
/* The text of the last error. */
const char *machine_error(const char *what);

/* ---- guest memory ---- */

static inline void machine_put(uint8_t *at, uint64_t value, size_t size)
{
    __builtin_memcpy(at, &value, size);
}

static inline uint64_t machine_get(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    __builtin_memcpy(&value, at, size);
    return value;
}

/* ---- random numbers ---- */

struct dice {
    uint64_t state;
};
/* splitmix64: any seed is good. */
static inline uint64_t dice_roll(struct dice *dice)
{
    uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static inline unsigned dice_below(struct dice *dice, unsigned limit)
{
    return (unsigned)((dice_roll(dice) >> 32) * limit >> 32);
}

#endif
