/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests for cases that are the same on every architecture: memory, slots, I/O events, kick,
 * snapshot. ARCH/guest.c provides the programs and what sets a vCPU up for them.
 *
 * A program gets up to three arguments in registers and ends by writing its result, 8 bytes, to
 * GUEST_DONE, where nothing is: that works with and without an interrupt chip, where a halt does
 * not. Run again, it starts over with the registers as they are; guest_restart() sets new ones.
 */
#ifndef CONFORMANCE_GUEST_H
#define CONFORMANCE_GUEST_H

#include "harness.h"

extern const uint64_t guest_base; /* GPA of guest memory */
extern const uint64_t guest_data; /* GPA of a part of it that no program or table uses */
extern const uint64_t guest_hole; /* 256 MiB where nothing is: for slots and I/O */
extern const uint64_t guest_done;
extern const uint64_t guest_code;   /* GPA of a page for each vCPU */
#define GUEST_RAM         0x100000u /* bytes at guest_base */
#define GUEST_DATA_LENGTH 0x40000u
#define GUEST_HOLE_LENGTH 0x10000000u

/* Result: the 1, 2, 4, 8 bytes at a0. */
extern const struct code *const guest_load[4];
/* Stores a1 as 1, 2, 4, 8 bytes at a0. Result: 0. */
extern const struct code *const guest_store[4];
/* Stores 1, 2, 3, ... as 8 bytes at a0, a0 + a1, ..., a2 times. Result: a2. */
extern const struct code *const guest_fill;
/* Loads a byte from a0, writes it to guest_done, and again, for ever. */
extern const struct code *const guest_watch;
/* Adds 1 to the 8 bytes at a0 for ever. */
extern const struct code *const guest_spin;
/* a1 times: adds 1 to the 8 bytes at a0, writes them to guest_done. */
extern const struct code *const guest_count;
/* Result: the 8 bytes at a0 plus the 8 bytes at a1. */
extern const struct code *const guest_add;
static const uint32_t guest_widths[4] = {1, 2, 4, 8};

/* The rest of what ARCH/guest.c provides: tables in guest memory, if it needs any; */
void guest_arch_tables(struct guest *g);
/* all registers of a new vCPU but those that a program takes, so that it can run at once; */
void guest_arch_vcpu(struct guest *g, visor_vcpu *vcpu);
/* these; */
void guest_arch_enter(visor_vcpu *vcpu, uint64_t pc, uint64_t a0, uint64_t a1, uint64_t a2);
/* and the address at which a program finds a GPA above 4 GiB. */
uint64_t guest_arch_far(struct guest *g, uint64_t gpa);

/* Creates memory, VM and vCPU 0 with the program. config may be NULL. */
void guest_start(struct guest *g, const struct code *program, uint64_t a0, uint64_t a1, uint64_t a2,
                 const visor_vm_config *config);
/* The same in memory that the case has made itself (g->memory), with guest_base in it. */
void guest_start_in(struct guest *g, const struct code *program, uint64_t a0, uint64_t a1,
                    uint64_t a2, const visor_vm_config *config);
/* The same in two steps, for what has to be between them: VM, then vCPU. */
void guest_create(struct guest *g, const visor_vm_config *config);
visor_vcpu *guest_add_vcpu(struct guest *g, uint32_t id);
/* Another program and arguments on a vCPU that is not running. Each vCPU has its own code page. */
void guest_restart(struct guest *g, visor_vcpu *vcpu, const struct code *program, uint64_t a0,
                   uint64_t a1, uint64_t a2);
/* Completes the last access, before registers change. Where the hypervisor needs guest code for it,
 * that is the endless loop at the end of a program. */
void guest_settle(visor_vcpu *vcpu);
/* The program alone, with the registers as they are. */
void guest_put_program(struct guest *g, visor_vcpu *vcpu, const struct code *program);
/* Any code, where it may be executed. */
void guest_put_code(struct guest *g, uint64_t gpa, const struct code *code);
/* Runs to the write to guest_done and returns what it wrote. */
uint64_t guest_finish_at(struct where where, visor_vcpu *vcpu);
#define GUEST_FINISH(g) guest_finish_at(HERE, (g)->vcpu)

/* ---- interrupts: a chip in the hypervisor, and a guest that handles them ----
 *
 * What guest_start_irqs() starts has told the chip about two lines and four messages, has run up to
 * a write of 0 to guest_done, and has interrupts masked. Run on, it takes them and idles. A handler
 * writes the interrupt's number to guest_done, and ends the interrupt when run on. */

struct guest_line {
    uint32_t gsi;
    uint64_t number;
};
extern const struct guest_line guest_edge;  /* an interrupt for each rise of the line */
extern const struct guest_line guest_level; /* while the line is high */
#define GUEST_MESSAGES 4u
/* The message, and the number of its interrupt. */
struct guest_message {
    visor_msi msi;
    uint64_t number;
};

void guest_start_irqs(struct guest *g);
struct guest_message guest_message(struct guest *g, unsigned n);
/* Its twin for restoring: VM and vCPU, and nothing set up. */
void guest_create_irqs(struct guest *g);
/* Runs for a while without an interrupt. */
void guest_quiet_at(struct where where, struct guest *g);
#define GUEST_QUIET(g) guest_quiet_at(HERE, (g))
/* ARCH/guest.c: the program, and registers of vCPU 0 so that it starts. */
void guest_arch_irqs(struct guest *g);

#endif
