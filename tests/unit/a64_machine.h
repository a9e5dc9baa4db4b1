/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU and 2 MiB of guest-physical addresses for tests of the A64 assist. Each page is RAM, ROM
 * or a device; the bytes of all of them are in `space`, so that a test can look at the outcome
 * without asking where it went. Accesses that the assist hands out are served from there and
 * logged.
 */
#ifndef VISOR_TESTS_A64_MACHINE_H
#define VISOR_TESTS_A64_MACHINE_H

#include <stdlib.h>
#include <string.h>

#include "assist/aarch64.h"

#define A64_SPACE 0x200000u
#define A64_PAGE  0x1000u
#define A64_LOG   512

#define A64_EL1H 0x5u
#define A64_EL0T 0x0u

enum a64_page { A64_DEVICE, A64_RAM, A64_ROM };

struct a64_machine {
    uint64_t reg[VISOR__A64_REGISTERS];
    uint8_t v[32][16];
    uint8_t *space;
    enum a64_page page[A64_SPACE / A64_PAGE];
    visor_io log[A64_LOG];
    unsigned logged;
    unsigned sets;  /* registers written */
    int fail_after; /* operations that succeed before all fail; < 0: none fails */
    uint32_t zva_length;
    uint64_t fault_gpa;
    visor_exit exit;
    struct visor__a64_assist assist;
};

static inline int a64_operation(struct a64_machine *machine)
{
    if (machine->fail_after == 0)
        return VISOR_EBROKEN;
    machine->fail_after -= machine->fail_after > 0;
    return 0;
}

static inline int a64_get(uint64_t *out, void *context, enum visor__a64_register reg)
{
    struct a64_machine *machine = context;

    *out = machine->reg[reg];
    return a64_operation(machine);
}

static inline int a64_set(void *context, enum visor__a64_register reg, uint64_t value)
{
    struct a64_machine *machine = context;
    int ret = a64_operation(machine);

    if (ret == 0)
        machine->reg[reg] = value;
    machine->sets++;
    return ret;
}

static inline int a64_get_v(uint8_t out[16], void *context, unsigned n)
{
    struct a64_machine *machine = context;

    memcpy(out, machine->v[n], 16);
    return a64_operation(machine);
}

static inline int a64_set_v(void *context, unsigned n, const uint8_t value[16])
{
    struct a64_machine *machine = context;
    int ret = a64_operation(machine);

    if (ret == 0)
        memcpy(machine->v[n], value, 16);
    machine->sets++;
    return ret;
}

static inline int a64_memory(void *context, uint64_t gpa, void *data, size_t length, bool is_write)
{
    struct a64_machine *machine = context;
    int ret = a64_operation(machine);
    enum a64_page page = gpa < A64_SPACE ? machine->page[gpa / A64_PAGE] : A64_DEVICE;

    if (ret < 0)
        return ret;
    if (gpa / A64_PAGE != (gpa + length - 1) / A64_PAGE)
        abort(); /* the contract */
    if (page == A64_DEVICE || (is_write && page == A64_ROM))
        return 0;
    if (data != NULL && is_write)
        memcpy(machine->space + gpa, data, length);
    else if (data != NULL)
        memcpy(data, machine->space + gpa, length);
    return 1;
}

static const struct visor__a64_ops a64_ops = {
    .get = a64_get,
    .set = a64_set,
    .get_v = a64_get_v,
    .set_v = a64_set_v,
    .memory = a64_memory,
};

/* All RAM, MMU off, at EL1. NULL without memory. */
static inline struct a64_machine *a64_new(void)
{
    struct a64_machine *machine = calloc(1, sizeof(*machine));

    if (machine == NULL || (machine->space = calloc(1, A64_SPACE)) == NULL)
        abort();
    for (unsigned i = 0; i < A64_SPACE / A64_PAGE; i++)
        machine->page[i] = A64_RAM;
    machine->reg[VISOR__A64_PSTATE] = A64_EL1H;
    machine->fail_after = -1;
    machine->zva_length = 64;
    return machine;
}

static inline void a64_free(struct a64_machine *machine)
{
    free(machine->space);
    free(machine);
}

/* Serves the access that was handed out, as a device would. */
static inline void a64_serve(struct a64_machine *machine)
{
    visor_io *io = &machine->exit.io;
    const bool inside = io->address < A64_SPACE && A64_SPACE - io->address >= io->length;

    if (machine->logged < A64_LOG)
        machine->log[machine->logged] = *io;
    machine->logged++;
    if (inside && io->is_write)
        memcpy(machine->space + io->address, io->data, io->length);
    else if (inside)
        memcpy(io->data, machine->space + io->address, io->length);
}

/* Starts with the instruction at PC, which is at the same physical address. */
static inline int a64_start(struct a64_machine *machine)
{
    machine->logged = machine->sets = 0;
    return visor__a64_start(&machine->exit, &machine->assist, &a64_ops, machine, machine->fault_gpa,
                            0x1234, machine->zva_length);
}

/* Executes all of it. */
static inline int a64_run(struct a64_machine *machine)
{
    int ret = a64_start(machine);

    while (ret == VISOR_EXIT_MMIO) {
        a64_serve(machine);
        visor__a64_answer(&machine->assist, &machine->exit.io);
        ret = visor__a64_next(&machine->exit, &machine->assist);
    }
    return ret;
}

/* The same for one word put at the physical address of PC. */
static inline int a64_run_word(struct a64_machine *machine, uint32_t word)
{
    memcpy(machine->space + machine->reg[VISOR__A64_PC], &word, sizeof(word));
    return a64_run(machine);
}

#endif
