/* SPDX-License-Identifier: BSD-3-Clause */
/* A stack that something is pushed on before SS:rSP are changed. */
#ifndef VISOR_SOFT_STACK_H
#define VISOR_SOFT_STACK_H

#include "soft/memory.h"
#include "soft/segment.h"

struct soft_stack {
    struct soft_cpu *cpu;
    const struct soft_uop *op;
    visor_x86_segment ss;
    uint64_t sp, mask; /* mask: what of the pointer counts */
    enum soft_rights rights;
    uint32_t error; /* of #SS: the selector of an inner stack, else 0 */
};

/* The width of the stack pointer. */
static inline uint64_t soft_stack_mask(const struct soft_cpu *cpu, const visor_x86_segment *ss)
{
    if ((cpu->mode & SOFT_IN_64) != 0)
        return ~UINT64_C(0);
    return ss->db ? 0xffffffff : 0xffff;
}

/* The present stack. */
static inline struct soft_stack soft_stack_here(struct soft_cpu *cpu, const struct soft_uop *op)
{
    return (struct soft_stack){
        .cpu = cpu,
        .op = op,
        .ss = cpu->seg[SOFT_SEG_SS],
        .sp = cpu->r[SOFT_RSP],
        .mask = soft_stack_mask(cpu, &cpu->seg[SOFT_SEG_SS]),
        .rights = soft_rights(cpu),
    };
}

/* Whether an access is inside a segment; expand-down ones begin behind their limit. */
static inline bool soft_in_limit(const visor_x86_segment *segment, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;

    if ((segment->type & (SOFT_TYPE_CODE | SOFT_TYPE_CONFORMING)) == SOFT_TYPE_CONFORMING)
        return offset > segment->limit && last <= (segment->db ? 0xffffffff : 0xffff);
    return last <= segment->limit;
}

/* The linear address of an access out of 64-bit mode; raises #GP or #SS. segment.c */
uint64_t soft_segment_linear(struct soft_cpu *cpu, const struct soft_uop *op, unsigned which,
                             uint64_t offset, unsigned size, bool write);

/* What 64-bit mode adds to an offset. SDM Vol. 1, 3.3.4. */
static inline uint64_t soft_base_in_64(const struct soft_cpu *cpu, unsigned segment)
{
    return segment == SOFT_SEG_FS || segment == SOFT_SEG_GS ? cpu->seg[segment].base : 0;
}

/* An address on a stack of 64-bit mode that is not canonical is #SS (SDM vol. 3A, 3.3.7.1). For
 * those micro-operations that SOFT_UOP_STACK says nothing of, as they have another operand. */
static inline void soft_check_stack(struct soft_cpu *cpu, const struct soft_uop *op,
                                    uint64_t address, uint32_t error)
{
    const unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    if (SOFT_UNLIKELY((uint64_t)((int64_t)(address << spare) >> spare) != address))
        soft_raise_error(cpu, op, SOFT_SS_FAULT, error);
}

/* Of the stack of ring 3, not of the one that an interrupt changes to. */
static inline void soft_check_stack_alignment(const struct soft_stack *stack, uint64_t offset,
                                              unsigned size)
{
    if (SOFT_UNLIKELY(stack->cpu->aligned) && stack->rights == SOFT_AS_USER &&
        (offset & (size - 1)) != 0)
        soft_raise_error(stack->cpu, stack->op, SOFT_AC_FAULT, 0);
}

static inline uint64_t soft_stack_linear(const struct soft_stack *stack, uint64_t offset,
                                         unsigned size)
{
    if (stack->mask == ~UINT64_C(0)) {
        soft_check_stack(stack->cpu, stack->op, offset, stack->error);
        soft_check_stack_alignment(stack, offset, size);
        return offset;
    }
    if (!soft_in_limit(&stack->ss, offset, size))
        soft_raise_error(stack->cpu, stack->op, SOFT_SS_FAULT, stack->error);
    soft_check_stack_alignment(stack, stack->ss.base + offset, size);
    return (stack->ss.base + offset) & 0xffffffff;
}

static inline void soft_stack_push(struct soft_stack *stack, uint64_t value, unsigned size)
{
    uint64_t offset = (stack->sp - size) & stack->mask;

    soft_write_as(stack->cpu, stack->op, soft_stack_linear(stack, offset, size), &value, size,
                  stack->rights);
    stack->sp = (stack->sp & ~stack->mask) | offset;
}

static inline uint64_t soft_stack_pop(struct soft_stack *stack, unsigned size)
{
    uint64_t offset = stack->sp & stack->mask, value = 0;

    soft_read_as(&value, stack->cpu, stack->op, soft_stack_linear(stack, offset, size), size,
                 stack->rights);
    stack->sp = (stack->sp & ~stack->mask) | ((offset + size) & stack->mask);
    return value;
}

/* Makes it the present one. Not for a change of SS. */
static inline void soft_stack_keep(const struct soft_stack *stack)
{
    stack->cpu->r[SOFT_RSP] = stack->mask == 0xffffffff ? (uint32_t)stack->sp : stack->sp;
}

#endif
