/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cache of translated blocks of one vCPU.
 *
 * A block is found by the address of its first byte, linear and physical, and the mode. What it was
 * translated from is kept beside it, and it is executed only while that is what memory holds:
 *
 *  - Stores of the vCPU itself to a line of 64 bytes with code are seen as they happen, because
 *    such pages never get a TLB entry for writing; the instruction that stores is then executed as
 *    a block of its own, so that the next one is looked up anew.
 *  - Against stores of others (vCPUs, devices, the VMM) cpu->stamp goes up at every point where a
 *    processor that has been told of new code would serialize or be interrupted (SDM vol. 3A,
 *    8.1.3): a block with an older stamp is compared with memory before it is entered.
 */
#ifndef VISOR_SOFT_BLOCK_H
#define VISOR_SOFT_BLOCK_H

#include "soft/uop.h"

/* bytes: of memory for translations. 0, or ENOMEM. */
int soft_blocks_create(struct soft_cpu *cpu, size_t bytes);
void soft_blocks_destroy(struct soft_cpu *cpu);
/* Forgets all. Not while a block is being executed. */
void soft_blocks_clear(struct soft_cpu *cpu);

/*
 * The block at cpu->rip in the present mode, translated and checked, ready to be executed. Raises
 * what fetching raises. NULL: the instruction is not in memory (SOFT_LEAVE_... is up to the
 * caller).
 */
struct soft_block *soft_block_find(struct soft_cpu *cpu);

/*
 * For who executes single instructions and keeps no translations; there are never any others in
 * cpu->blocks then. The bytes from cpu->rip on: as many as the instruction there is long, at least,
 * or all that there are up to where no memory is. Raises what fetching raises.
 */
unsigned soft_block_read(uint8_t out[SOFT_INSN_MAX_LENGTH], struct soft_cpu *cpu);
/* The one instruction that these bytes are, as a block that is valid until the next call. */
struct soft_block *soft_block_from(struct soft_cpu *cpu, const uint8_t *bytes, unsigned length);

/* Whether there are translations of code in the page. */
bool soft_block_has_code(const struct soft_cpu *cpu, uint64_t gpa);
/* Before a store into a page: leaves if it would change code in the running block's future. */
void soft_block_writing(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t gpa,
                        unsigned length);

/* ---- translate.c: filling a block ---- */

#define SOFT_BLOCK_UOPS  320u /* the most that one block can have */
#define SOFT_BLOCK_BYTES (SOFT_BLOCK_INSTRUCTIONS * 15u)

struct soft_translation_unit {
    struct soft_cpu *cpu;
    uint64_t rip; /* of the block */
    uint32_t mode;
    unsigned number; /* of the instruction */
    unsigned offset; /* of its first byte */
    const struct soft_insn *insn;
    bool ended; /* the last micro-operation goes somewhere else */
    unsigned count;
    struct soft_uop uops[SOFT_BLOCK_UOPS];
    unsigned known; /* bytes of code */
    uint8_t code[SOFT_BLOCK_BYTES + SOFT_INSN_MAX_LENGTH];
};

/* Appends the micro-operations of one instruction. */
void soft_translate_insn(struct soft_translation_unit *unit, const struct soft_insn *insn);
/* Appends what goes on with the instruction at the end of the block. */
void soft_translate_end(struct soft_translation_unit *unit);
/* Appends what raises an exception in place of an instruction that cannot be. */
void soft_translate_fault(struct soft_translation_unit *unit, enum soft_vector vector);

#endif
