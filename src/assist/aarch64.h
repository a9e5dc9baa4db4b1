/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completing an A64 load or store that the hypervisor could not decode.
 *
 * A data abort describes its instruction (ESR_ELx.ISV = 1) only for loads and stores of one general
 * register without writeback. Of all others (pairs, writeback, SIMD&FP, atomics, DC ZVA) the
 * hypervisor knows an address and no more: KVM_EXIT_ARM_NISV. This room reads the instruction
 * through the guest's own page tables, does its accesses one after the other, and changes registers
 * when all of them are done. It knows no hypervisor: registers and memory are behind operations.
 *
 *     reason = visor__a64_start(exit, &assist, &ops, context, fault_gpa, iss);
 *     while (reason == VISOR_EXIT_MMIO) {
 *         ...the caller fills or reads exit->io...
 *         visor__a64_answer(&assist, &exit->io);
 *         reason = visor__a64_next(exit, &assist);
 *     }
 *     reason == VISOR_EXIT_NONE: registers are final, enter the guest.
 *
 * References "DDI 0487" are to the Arm Architecture Reference Manual for A-profile, by the titles
 * of its sections: their numbers differ from issue to issue.
 *
 * What is performed
 *  - Loads and stores of one or two registers, general or SIMD&FP, with every address form; with
 *    acquire and release semantics; unprivileged; literal; Advanced SIMD structures. Parts of an
 *    access that are in guest memory go there. Accesses are handed out in the order of the
 *    pseudocode, per element, at most 8 bytes each, split at 4 KiB boundaries; 16-byte registers in
 *    two halves, the lower address first.
 *  - Atomics (LDADD, SWP, CAS...) as a read followed by a write. An access of another vCPU may come
 *    between: a device that does not support atomics may be accessed so (DDI 0487, "Atomic
 *    instructions": the accesses are performed without a guarantee of atomicity). A failed
 *    CAS writes nothing. If all of it is in writable guest memory, because that was added
 * meanwhile, nothing is done: the guest executes the instruction again.
 *  - DC ZVA: stores of zero. Prefetches and other cache maintenance by address: nothing.
 *
 * What is refused: see VISOR__A64_REFUSALS. Nothing has been accessed and no register has changed
 * then; translation and permissions of the whole access are checked before its first part.
 */
#ifndef VISOR_ASSIST_AARCH64_H
#define VISOR_ASSIST_AARCH64_H

#include <visor.h>

#include "assist/a64.h"

/* What the assist needs of a vCPU. X0 to X30 are their numbers. */
enum visor__a64_register {
    VISOR__A64_X0 = 0,
    VISOR__A64_X30 = 30,
    VISOR__A64_SP_EL0,
    VISOR__A64_SP_EL1,
    VISOR__A64_PC,
    VISOR__A64_PSTATE,
    VISOR__A64_SCTLR_EL1,
    VISOR__A64_TCR_EL1,
    VISOR__A64_TCR2_EL1, /* 0 where the vCPU has no such register */
    VISOR__A64_TTBR0_EL1,
    VISOR__A64_TTBR1_EL1,
    VISOR__A64_REGISTERS
};

/* Called on the vCPU's thread. 0, or a VISOR_E... code with its error recorded, which ends the
 * assist and is returned from it. */
struct visor__a64_ops {
    int (*get)(uint64_t *out, void *context, enum visor__a64_register reg);
    int (*set)(void *context, enum visor__a64_register reg, uint64_t value); /* X0 to PSTATE */
    int (*get_v)(uint8_t out[16], void *context, unsigned n);
    int (*set_v)(void *context, unsigned n, const uint8_t value[16]); /* clears Zn above, if any */
    /*
     * Reads or writes guest memory, inside one page of 4 KiB. Returns 1 if that was done, 0 if
     * there is no memory, or, for a write, only read-only memory: then nothing has happened. With
     * data == NULL it only says which of the two it is. A naturally aligned access of 1, 2, 4 or 8
     * bytes is one access to the host's memory; a write marks the page dirty.
     * visor__assist_memory() with the VM as context does all this.
     */
    int (*memory)(void *context, uint64_t gpa, void *data, size_t length, bool is_write);
};

/* Why an instruction is not completed: X(ID, text). */
#define VISOR__A64_REFUSALS(X)                                                        \
    X(STATE, "only AArch64 code at EL0 and EL1 is completed in user space")           \
    X(FETCH, "the instruction could not be read through the guest's tables")          \
    X(UNKNOWN, "the instruction is no load or store that is known here")              \
    X(EXCLUSIVE, "an exclusive access: nothing watches an address that is no memory") \
    X(TAGS, "an access to memory tags")                                               \
    X(COPY, "an instruction that copies or sets memory")                              \
    X(POINTER_AUTH, "a load with pointer authentication")                             \
    X(LS64, "a 64-byte access that must not be split")                                \
    X(SVE, "an SVE or SME access")                                                    \
    X(TRANSLATION, "the guest's tables do not translate all of the access")           \
    X(PERMISSION, "the guest's tables do not permit all of the access")               \
    X(ELSEWHERE, "the instruction does not access the address that faulted")

enum visor__a64_refusal {
    VISOR__A64_PERFORMED,
#define VISOR__A64_REFUSAL_ENUM(id, text) VISOR__A64_REFUSED_##id,
    VISOR__A64_REFUSALS(VISOR__A64_REFUSAL_ENUM)
#undef VISOR__A64_REFUSAL_ENUM
};

/* An instruction under way. All zero: none. Forgetting one (all zero again) leaves the vCPU as it
 * was before the instruction, save for what has been written to memory and devices. */
struct visor__a64_assist {
    const struct visor__a64_ops *ops;
    void *context;
    bool active;  /* an instruction is under way */
    bool writing; /* its second pass, if it is an atomic */
    bool big_endian;
    struct visor__a64_insn insn;
    uint64_t pc, pstate;
    uint64_t base;   /* of the base register after the instruction */
    uint64_t gpa[2]; /* of the first byte, and of the page of 4 KiB after it */
    uint32_t first;  /* bytes in the first of these pages */
    uint32_t length; /* bytes of the access */
    uint32_t done;   /* of these */
    uint64_t old[2]; /* what an atomic has read */
    uint8_t data[VISOR__A64_MAX_TRANSFER]; /* as in memory */
};

/*
 * Begins with the instruction at PC, whose access to fault_gpa was stopped; iss is the syndrome,
 * for the report only. zva_length: the bytes that DC ZVA clears, 4 << DCZID_EL0.BS. Returns
 *   VISOR_EXIT_MMIO            exit->io is the next access: answer it, call visor__a64_next()
 *   VISOR_EXIT_NONE            the instruction is complete: enter the guest
 *   VISOR_EXIT_INTERNAL_ERROR  refused: exit->internal has the text, suberror enum
 *                              visor__a64_refusal, data {fault_gpa, iss, PC}, and the instruction
 *   a VISOR_E... code          an operation failed
 * The caller sets exit->reason and exit->raw.
 */
int visor__a64_start(visor_exit *exit, struct visor__a64_assist *assist,
                     const struct visor__a64_ops *ops, void *context, uint64_t fault_gpa,
                     uint64_t iss, uint32_t zva_length);
/* Takes the answer to the access that was handed out last. */
void visor__a64_answer(struct visor__a64_assist *assist, const visor_io *io);
/* Goes on: as visor__a64_start(). VISOR_EXIT_NONE also if nothing is under way. */
int visor__a64_next(visor_exit *exit, struct visor__a64_assist *assist);

#endif
