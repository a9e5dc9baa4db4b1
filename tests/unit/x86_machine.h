/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU and the memory around it for tests of the x86 assist: registers that operations read and
 * write as a backend's, RAM with page tables in it, ROM, and devices whose accesses are logged.
 * Only what the assist says has changed is taken over.
 */
#ifndef VISOR_TESTS_X86_MACHINE_H
#define VISOR_TESTS_X86_MACHINE_H

#include <stdlib.h>
#include <string.h>

#include <visor.h>

#include "assist/x86_64.h"

/* Guest memory, below 1 MiB so that real mode reaches all of it. */
#define X86_CODE   0x1000u
#define X86_DATA   0x4000u  /* RAM, up to the first device */
#define X86_TABLES 0x10000u /* of pages: RAM */
#define X86_DEVICE 0x20000u /* four pages */
#define X86_MORE   0x24000u /* RAM */
#define X86_ROM    0x28000u /* two pages */
#define X86_END    0x2a000u
#define X86_PAGE   0x1000u
#define X86_LOG    1024

#define X86_ALL_PIECES                                                          \
    (VISOR__ASSIST_X86_REGS | VISOR__ASSIST_X86_SREGS | VISOR__ASSIST_X86_FPU | \
     VISOR__ASSIST_X86_YMM)

struct x86_machine {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    struct visor__assist_x86 *assist;

    struct visor__assist_x86_state vcpu;
    struct visor__assist_x86_changes changes; /* of the last set() */
    struct visor__assist_x86_exception exception;
    unsigned gets, sets, injects; /* calls */
    unsigned pieces;              /* that were asked for */
    int fail_after;               /* operations that succeed before all fail; < 0: none fails */

    uint8_t device[4 * X86_PAGE];
    visor_io log[X86_LOG];
    unsigned logged;
    visor_exit exit;
};

/* ---- operations ---- */

static inline int x86_operation(struct x86_machine *machine)
{
    if (machine->fail_after == 0)
        return VISOR_EBROKEN;
    machine->fail_after -= machine->fail_after > 0;
    return 0;
}

/* What was not asked for is not there to be used by mistake. */
static inline int x86_get(struct visor__assist_x86_state *out, void *context, unsigned pieces)
{
    struct x86_machine *machine = context;

    machine->gets++;
    machine->pieces |= pieces;
    if ((pieces & VISOR__ASSIST_X86_REGS) != 0)
        out->regs = machine->vcpu.regs;
    if ((pieces & VISOR__ASSIST_X86_SREGS) != 0)
        out->sregs = machine->vcpu.sregs;
    if ((pieces & VISOR__ASSIST_X86_FPU) != 0) {
        out->fpu = machine->vcpu.fpu;
        out->xcr0 = machine->vcpu.xcr0;
    }
    if ((pieces & VISOR__ASSIST_X86_YMM) != 0)
        memcpy(out->ymm_high, machine->vcpu.ymm_high, sizeof(out->ymm_high));
    return x86_operation(machine);
}

/* A general register by the processor's number. */
static inline uint64_t *x86_gpr(visor_x86_regs *regs, unsigned n)
{
    uint64_t *const low[] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx,
                             &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi};

    return n < 8 ? low[n] : &regs->r8 + (n - 8);
}

static inline void x86_take_fpu(visor_x86_fpu *to, const visor_x86_fpu *from,
                                const struct visor__assist_x86_changes *changes)
{
    visor_x86_fpu old = *to;

    if (changes->x87)
        *to = *from;
    memcpy(to->xmm, old.xmm, sizeof(to->xmm));
    to->mxcsr = changes->mxcsr ? from->mxcsr : old.mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        if ((changes->xmm >> i & 1) != 0)
            memcpy(to->xmm[i], from->xmm[i], 16);
    }
}

static inline int x86_set(void *context, const struct visor__assist_x86_state *state,
                          const struct visor__assist_x86_changes *changes)
{
    struct x86_machine *machine = context;
    struct visor__assist_x86_state from = *state;

    machine->sets++;
    machine->changes = *changes;
    for (unsigned i = 0; i < 16; i++) {
        if ((changes->gpr >> i & 1) != 0)
            *x86_gpr(&machine->vcpu.regs, i) = *x86_gpr(&from.regs, i);
        if ((changes->ymm >> i & 1) != 0)
            memcpy(machine->vcpu.ymm_high[i], from.ymm_high[i], 16);
    }
    if (changes->rip)
        machine->vcpu.regs.rip = from.regs.rip;
    if (changes->rflags)
        machine->vcpu.regs.rflags = from.regs.rflags;
    x86_take_fpu(&machine->vcpu.fpu, &from.fpu, changes);
    if (changes->sregs)
        machine->vcpu.sregs = from.sregs;
    machine->vcpu.shadow = from.shadow;
    return x86_operation(machine);
}

static inline int x86_inject(void *context, const struct visor__assist_x86_exception *exception)
{
    struct x86_machine *machine = context;

    machine->injects++;
    machine->exception = *exception;
    return x86_operation(machine);
}

static const struct visor__assist_x86_ops x86_machine_ops = {
    .get = x86_get, .set = x86_set, .inject = x86_inject};

/* ---- life ---- */

static inline void x86_free(struct x86_machine *machine)
{
    visor__assist_x86_free(machine->assist);
    visor_vm_free(machine->vm);
    visor_memory_free(machine->memory);
    visor_hypervisor_free(machine->hv);
    free(machine);
}

static inline uint8_t *x86_at(const struct x86_machine *machine, uint64_t gpa)
{
    void *pointer = NULL;

    if (visor_memory_ptr(&pointer, machine->memory, gpa, 1) < 0)
        abort();
    return pointer;
}

/* On this backend, whose own vCPUs are not used. */
static inline struct x86_machine *x86_new_on(const char *backend)
{
    const visor_memory_region regions[] = {
        {.gpa = 0, .length = X86_DEVICE},
        {.gpa = X86_MORE, .length = X86_ROM - X86_MORE},
        {.gpa = X86_ROM, .length = X86_END - X86_ROM, .read_only = true}};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    struct x86_machine *machine = calloc(1, sizeof(*machine));

    config.arch = VISOR_ARCH_X86_64;
    if (machine == NULL || visor_hypervisor_open(&machine->hv, backend) < 0 ||
        visor_memory_create(&machine->memory, regions, 3, NULL) < 0 ||
        visor_vm_create(&machine->vm, machine->hv, machine->memory, &config) < 0 ||
        visor__assist_x86_create(&machine->assist, machine->vm, &x86_machine_ops, machine, 40) < 0)
        abort();
    machine->fail_after = -1;
    return machine;
}

static inline struct x86_machine *x86_new(void)
{
    return x86_new_on("null");
}

/* ---- modes ---- */

static inline visor_x86_segment x86_segment(uint16_t selector, uint64_t base, uint32_t limit,
                                            uint8_t type, uint8_t dpl)
{
    return (visor_x86_segment){.base = base,
                               .limit = limit,
                               .selector = selector,
                               .type = type,
                               .present = 1,
                               .dpl = dpl,
                               .db = limit > 0xffff,
                               .s = 1,
                               .g = limit > 0xfffff};
}

static inline void x86_set_data_segments(struct x86_machine *machine, visor_x86_segment segment)
{
    visor_x86_sregs *sregs = &machine->vcpu.sregs;

    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = segment;
}

/* Real mode, everything at 0, registers 0. */
static inline void x86_real_mode(struct x86_machine *machine)
{
    memset(&machine->vcpu, 0, sizeof(machine->vcpu));
    visor_x86_reset_sregs(&machine->vcpu.sregs);
    visor_x86_reset_fpu(&machine->vcpu.fpu);
    machine->vcpu.sregs.cs = x86_segment(0, 0, 0xffff, 11, 0);
    x86_set_data_segments(machine, x86_segment(0, 0, 0xffff, 3, 0));
    machine->vcpu.sregs.cr0 = 0x10;
    machine->vcpu.sregs.cr4 = 0x200; /* OSFXSR */
    machine->vcpu.xcr0 = 7;
    machine->vcpu.regs.rip = X86_CODE;
    machine->vcpu.regs.rflags = 2;
    machine->vcpu.regs.rsp = X86_DATA + 0x800;
}

/* 32-bit code, flat, no paging. */
static inline void x86_protected_mode(struct x86_machine *machine, uint8_t cpl)
{
    x86_real_mode(machine);
    machine->vcpu.sregs.cr0 |= 1;
    machine->vcpu.sregs.cr4 |= 0x40000; /* OSXSAVE */
    machine->vcpu.sregs.cs = x86_segment(0x08 | cpl, 0, 0xffffffff, 11, cpl);
    x86_set_data_segments(machine, x86_segment(0x10 | cpl, 0, 0xffffffff, 3, cpl));
}

/* The entry for a page in the tables of x86_long_mode(). */
static inline uint64_t *x86_pte(const struct x86_machine *machine, uint64_t address)
{
    return (uint64_t *)(void *)x86_at(machine, X86_TABLES + 3 * X86_PAGE) + address / X86_PAGE;
}

/* 64-bit code. The first 2 MiB are mapped to where they are, writable by user code. */
static inline void x86_long_mode(struct x86_machine *machine, uint8_t cpl)
{
    x86_protected_mode(machine, cpl);
    machine->vcpu.sregs.cr0 |= 0x80010000; /* PG, WP */
    machine->vcpu.sregs.cr4 |= 0x20;       /* PAE */
    machine->vcpu.sregs.cr3 = X86_TABLES;
    machine->vcpu.sregs.efer = 0xd01; /* NXE, LMA, LME, SCE */
    machine->vcpu.sregs.cs.l = 1;
    machine->vcpu.sregs.cs.db = 0;
    for (unsigned level = 0; level < 3; level++)
        *(uint64_t *)(void *)x86_at(machine, X86_TABLES + level * X86_PAGE) =
            (X86_TABLES + (level + 1) * X86_PAGE) | 0x27;
    for (uint64_t page = 0; page < 512; page++)
        *x86_pte(machine, page * X86_PAGE) = page * X86_PAGE | 7;
}

/* ---- running ---- */

/* Serves what has left: devices have memory, ports tell their number and how often they were read.
 */
static inline void x86_serve(struct x86_machine *machine, visor_io *io)
{
    if (io->space == VISOR_PIO) {
        if (!io->is_write)
            visor_io_set_value(io, (io->address << 8) + machine->logged * UINT64_C(0x01010101));
    } else if (io->address >= X86_DEVICE && io->address - X86_DEVICE < sizeof(machine->device)) {
        uint8_t *at = machine->device + (io->address - X86_DEVICE);
        size_t length = sizeof(machine->device) - (io->address - X86_DEVICE);

        if (io->length < length)
            length = io->length;
        memcpy(io->is_write ? at : io->data, io->is_write ? io->data : at, length);
    } else if (!io->is_write) {
        memset(io->data, 0xff, io->length);
    }
    if (machine->logged < X86_LOG)
        machine->log[machine->logged] = *io;
    machine->logged++;
}

/* Serves all exits of the instruction that has been started with this result. */
static inline int x86_finish(struct x86_machine *machine, int reason)
{
    while (reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_IO) {
        if ((machine->exit.io.space == VISOR_PIO) != (reason == VISOR_EXIT_IO))
            abort();
        x86_serve(machine, &machine->exit.io);
        visor__assist_x86_answer(machine->assist, &machine->exit.io);
        reason = visor__assist_x86_next(&machine->exit, machine->assist, false);
    }
    return reason;
}

static inline int x86_start(struct x86_machine *machine, const void *bytes, size_t count)
{
    machine->logged = machine->gets = machine->sets = machine->injects = machine->pieces = 0;
    return visor__assist_x86_start(&machine->exit, machine->assist, bytes, count);
}

static inline int x86_run(struct x86_machine *machine, const void *bytes, size_t count)
{
    return x86_finish(machine, x86_start(machine, bytes, count));
}

#endif
