/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Micro-operations: what an instruction becomes, and how they follow one another.
 *
 * Most instructions are one micro-operation whose handler does all of it. Where the address is more
 * than base + index * 2^scale + displacement (a segment with a base or a limit, 16 or 32-bit
 * addresses) one comes before it that leaves the linear address in SOFT_REG_EA.
 *
 * A handler ends by going on to the next one: a tail call where the compiler makes them, so that
 * the processor predicts each jump from where it stands; otherwise it returns, and the run loop
 * goes on. Handlers are const data's functions: a code generator can put machine code in their
 * place without touching what they mean.
 */
#ifndef VISOR_SOFT_UOP_H
#define VISOR_SOFT_UOP_H

#include "soft/cpu.h"

/* NULL: back to the run loop, with cpu->rip set. */
typedef const struct soft_uop *soft_handler(struct soft_cpu *cpu, const struct soft_uop *op);

struct soft_uop {
    soft_handler *run;
    /* General registers are byte offsets into cpu->r (8 n, or 8 n + 1 for AH to BH), vector and
     * x87 registers are numbers. */
    uint8_t dst, src, src2;
    uint8_t base, index, scale; /* numbers, SOFT_REG_ZERO if absent; shift */
    uint8_t aux;                /* the handler's own */
    uint8_t number;             /* of the instruction in its block, from 0 */
    int32_t disp;
    uint16_t offset; /* of the instruction's first byte from the block's */
    uint8_t length;  /* of the instruction; see soft_next_rip() */
    uint8_t aux2;
    uint64_t imm;
};

/* aux2: the operand is on the stack, so that a bad address is #SS. */
#define SOFT_UOP_STACK 0x80u

#define SOFT_BLOCK_INSTRUCTIONS 64u

/* A translated run of instructions: straight, up to the first jump or page boundary. */
struct soft_block {
    uint64_t rip, gpa;
    uint64_t gpa2; /* page of the rest of an instruction that crosses a boundary, else 0 */
    uint64_t stamp;
    uint32_t mode;
    uint16_t bytes;             /* of guest code */
    uint16_t count;             /* instructions */
    struct soft_block *link[2]; /* where its last jump goes, in the same page: taken, not taken */
    struct soft_block *next;    /* in the hash chain */
    struct soft_block *page_next;
    const uint8_t *code; /* what was translated */
    struct soft_uop uops[];
};

/* ---- operands ---- */

/* A general register of type T by its byte offset. */
#define SOFT_R(T, offset) (*(T *)((uint8_t *)cpu->r + (offset)))
/* Writing 32 bits clears the upper half. */
#define SOFT_SET(T, offset, value)                                                     \
    (sizeof(T) == 4 ? (void)(SOFT_R(uint64_t, (offset)) = (uint64_t)(uint32_t)(value)) \
                    : (void)(SOFT_R(T, (offset)) = (T)(value)))

static inline uint64_t soft_address(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)(int64_t)op->disp;
}

static inline uint64_t soft_next_rip(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return cpu->r[SOFT_REG_RIP] + op->offset + op->length;
}

/* ---- going on ---- */

/* A compiler that optimizes turns a call in return position into a jump; sanitizers and -O0 keep
 * the frame, and the stack would grow by one for each micro-operation. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(VISOR_SANITIZE)
#define SOFT_TAIL_CALLS 1
#else
#define SOFT_TAIL_CALLS 0
#endif

#if SOFT_TAIL_CALLS
#define SOFT_GO(op_) return (op_)->run(cpu, (op_))
#else
#define SOFT_GO(op_) return (op_)
#endif
#define SOFT_NEXT SOFT_GO(op + 1)
/* The same through the loop of execute(), for handlers that give others the address of a local
 * variable: while one lives, the compiler keeps the frame, and the stack would grow. */
#define SOFT_NEXT_FROM_FRAME return (op + 1)

#define SOFT_HANDLER(name) \
    const struct soft_uop *name(struct soft_cpu *cpu, const struct soft_uop *op)

/* Looks `rip` up among the translated blocks of the present mode; NULL if it is not there. */
struct soft_block *soft_block_peek(struct soft_cpu *cpu, uint64_t rip);

/* Whether a block can be entered, and what looks like attention is an alarm to come. */
static inline bool soft_block_only_alarm(const struct soft_cpu *cpu, const struct soft_block *block)
{
    return block->stamp == cpu->stamp && cpu->icount < cpu->alarm &&
           atomic_load_explicit(&cpu->attention, memory_order_relaxed) == SOFT_LOOK_ALARM;
}

/* Enters a block from another, unless somebody wants attention or it has to be checked first. */
#define SOFT_ENTER(block_)                                                                    \
    do {                                                                                      \
        const struct soft_block *enter_ = (block_);                                           \
        if (SOFT_UNLIKELY(atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0 || \
                          enter_->stamp != cpu->stamp) &&                                     \
            !soft_block_only_alarm(cpu, enter_)) {                                            \
            cpu->rip = enter_->rip;                                                           \
            return NULL;                                                                      \
        }                                                                                     \
        cpu->block = enter_;                                                                  \
        cpu->r[SOFT_REG_RIP] = enter_->rip;                                                   \
        cpu->icount += enter_->count;                                                         \
        SOFT_GO(&enter_->uops[0]);                                                            \
    } while (0)

/* Ends a block whose successor is at a known place: link `which` if it is in the same page. */
const struct soft_uop *soft_go_direct(struct soft_cpu *cpu, unsigned which, uint64_t rip);
/* Ends a block at any place. */
const struct soft_uop *soft_go_indirect(struct soft_cpu *cpu, uint64_t rip);

#endif
