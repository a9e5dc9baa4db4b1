/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Executing one x86 instruction that the hypervisor intercepted and does not decode: an access to
 * memory that is not there, or to a port.
 *
 * It is executed by the software CPU (src/soft/), whose decoder, page walks and semantics these
 * are; nothing of that is here. This room carries registers in and out, and hands out what the
 * instruction does to devices, as exits. It knows no hypervisor: registers are behind operations.
 *
 *     reason = visor__assist_x86_start(exit, assist, bytes, count);
 *     while (reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_IO) {
 *         ...the caller fills or reads exit->io...
 *         visor__assist_x86_answer(assist, &exit->io);
 *         reason = visor__assist_x86_next(exit, assist, false);
 *     }
 *     reason == VISOR_EXIT_NONE: registers are final, enter the guest.
 *
 * What is performed
 *  - Whatever instruction accesses memory or a port, in every mode and with every operand: moves,
 *    read-modify-write, locked or not, strings, stacks, calls and jumps through memory, x87, MMX,
 *    SSE, AVX; segment limits and types, page crossings, each with the faults of a processor.
 *    Those go to the guest: inject().
 *  - Parts of an access that are in guest memory go there, through the slots, with dirty log. The
 *    others are handed out in the order of the processor, at most 8 bytes each, split at page
 *    boundaries. A locked instruction on a device is a read followed by a write.
 *  - Repeated string instructions: element after element, for as long as each reaches a device.
 *    Then the guest goes on by itself, with RIP still at the instruction if there are more.
 *  - Single step (EFLAGS.TF), the interrupt shadow and EFLAGS.RF, as after any instruction. Data
 *    breakpoints of the guest's DR7 are not looked at.
 *
 * What is refused: see VISOR__ASSIST_X86_REFUSALS. Nothing has been accessed and no register has
 * changed then. Protection keys and shadow stacks are not looked at.
 *
 * An instruction that leaves for a device is executed anew when it is answered, and finds there
 * what it has accessed before: registers and memory change behind its last access.
 */
#ifndef VISOR_ASSIST_X86_64_H
#define VISOR_ASSIST_X86_64_H

#include <visor.h>

/* ---- what is carried in and out ---- */

/* Groups of registers, as the assist asks for them: each at most once for an instruction. */
enum visor__assist_x86_piece {
    VISOR__ASSIST_X86_REGS = 1 << 0,  /* regs */
    VISOR__ASSIST_X86_SREGS = 1 << 1, /* sregs; CPL is ss.dpl; cr8 is not looked at */
    VISOR__ASSIST_X86_FPU = 1 << 2,   /* xcr0 and fpu: x87, MMX, XMM, MXCSR */
    VISOR__ASSIST_X86_YMM = 1 << 3,   /* ymm_high; only after or with FPU */
};

struct visor__assist_x86_state {
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    uint64_t xcr0; /* 1 where there is no XSAVE */
    visor_x86_fpu fpu;
    uint8_t ymm_high[16][16]; /* bits 255:128 of YMM0 ... YMM15 */
    /* Out only: the interrupt shadow behind the instruction, as visor_x86_events has it: 0 none
     * (what there was is over), 1 mov ss, 2 sti. */
    uint8_t shadow;
};

/* What has changed: exactly these need to be written back. */
struct visor__assist_x86_changes {
    uint16_t
        gpr; /* bit n: register n in the processor's numbers: 0 RAX, RCX, RDX, RBX, 4 RSP, ... */
    uint16_t xmm; /* bit n: XMMn, the lower half of YMMn */
    uint16_t ymm; /* bit n: the upper half */
    uint16_t zmm; /* bit n: bits 511:256 of ZMMn, where the vCPU has them, are to be cleared */
    bool rip, rflags;
    bool mxcsr;
    bool x87;   /* anything else in fpu: ST, MM, the control, status and tag words, pointers */
    bool sregs; /* anything in sregs: after MOV to a segment register from memory and the like */
};

/* An exception that the instruction has raised, or the trap behind it (#DB). */
struct visor__assist_x86_exception {
    uint8_t vector;
    bool has_error_code;
    bool is_trap; /* the instruction is complete; else RIP is at it, as for any fault */
    uint32_t error_code;
    bool has_payload;
    uint64_t payload; /* as visor_x86_events has it: CR2 of #PF, which is set with the delivery;
                       * bits of DR6 of #DB */
};

/* Called on the vCPU's thread, without a lock. 0, or a VISOR_E... code with its error recorded,
 * which ends the assist and is returned from it. */
struct visor__assist_x86_ops {
    /* Fills in the pieces, a mask of enum visor__assist_x86_piece, and leaves the rest alone. */
    int (*get)(struct visor__assist_x86_state *out, void *context, unsigned pieces);
    /* Once, when the instruction is done (also one that has only moved RIP), before an inject().
     * The whole of a piece that has been got is valid in state, changed or not. */
    int (*set)(void *context, const struct visor__assist_x86_state *state,
               const struct visor__assist_x86_changes *changes);
    /* Makes this exception the next thing that happens in the guest. */
    int (*inject)(void *context, const struct visor__assist_x86_exception *exception);
};

/* Why an instruction is not completed: X(ID, text). */
#define VISOR__ASSIST_X86_REFUSALS(X)                                                             \
    X(FETCH, "the instruction is not in memory")                                                  \
    X(UNKNOWN, "the instruction is not known here")                                               \
    X(XSTATE, "the vCPU has extended state that is not known here, and the instruction moves it") \
    X(SYSTEM, "the instruction needs more of the processor than registers, memory and ports")

enum visor__assist_x86_refusal {
    VISOR__ASSIST_X86_PERFORMED,
#define VISOR__ASSIST_X86_REFUSAL_ENUM(id, text) VISOR__ASSIST_X86_REFUSED_##id,
    VISOR__ASSIST_X86_REFUSALS(VISOR__ASSIST_X86_REFUSAL_ENUM)
#undef VISOR__ASSIST_X86_REFUSAL_ENUM
};

/* ---- one for each vCPU ---- */

/* An instruction under way, and the processor that executes it: some 200 KiB, so that it is best
 * created when the first instruction needs it. */
struct visor__assist_x86;

/*
 * vm: whose slots are the memory. gpa_bits: physical address bits of the guest's processor; 0: as
 * its tables have it (52), then no bit of an address is reserved. ENOMEM.
 */
int visor__assist_x86_create(struct visor__assist_x86 **out, visor_vm *vm,
                             const struct visor__assist_x86_ops *ops, void *context,
                             unsigned gpa_bits);
/* Accepts NULL. */
void visor__assist_x86_free(struct visor__assist_x86 *assist);
/*
 * A page that is a device whatever memory is there: of a local APIC. UINT64_MAX (from the start):
 * none.
 */
void visor__assist_x86_set_apic_page(struct visor__assist_x86 *assist, uint64_t gpa);

/*
 * Begins with the instruction at CS:RIP. bytes: what the hypervisor knows of it, count 0 to 16; the
 * guest's memory is read where they do not suffice. Forgets an instruction that is under way, which
 * leaves the vCPU as it was before it, save for what has been written to memory and devices. Takes
 * the VM lock. Returns
 *   VISOR_EXIT_MMIO, _IO       exit->io is the next access: answer it, call next()
 *   VISOR_EXIT_NONE            set(), and inject() if there was a fault, have been called: enter
 *                              the guest
 *   VISOR_EXIT_INTERNAL_ERROR  refused: exit->internal has the text, suberror enum
 *                              visor__assist_x86_refusal, data {linear RIP}, and the instruction
 *   a VISOR_E... code          an operation failed
 * The caller sets exit->reason and exit->raw.
 */
int visor__assist_x86_start(visor_exit *exit, struct visor__assist_x86 *assist,
                            const uint8_t *bytes, size_t count);
/* Takes the answer to the access that was handed out last. */
void visor__assist_x86_answer(struct visor__assist_x86 *assist, const visor_io *io);
/*
 * Goes on: as visor__assist_x86_start(). VISOR_EXIT_NONE also if nothing is under way. settle: a
 * repeated instruction ends behind the element that is under way, for visor_vcpu_settle() and for
 * kicks.
 */
int visor__assist_x86_next(visor_exit *exit, struct visor__assist_x86 *assist, bool settle);
/* Whether an instruction is under way, so that registers of the hypervisor are those before it. */
bool visor__assist_x86_is_active(const struct visor__assist_x86 *assist);

#endif
