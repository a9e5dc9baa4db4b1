/* SPDX-License-Identifier: BSD-3-Clause */
/* PUSH and POP in all their forms, ENTER, LEAVE, and flags on the stack. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/stack.h"

/* ---- 64-bit mode, 8 bytes ---- */

SOFT_HANDLER(soft_op_push64_r)
{
    uint64_t sp = cpu->r[SOFT_RSP] - 8;

    soft_write64(cpu, op, sp, SOFT_R(uint64_t, op->src));
    cpu->r[SOFT_RSP] = sp;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_push64_i)
{
    uint64_t sp = cpu->r[SOFT_RSP] - 8;

    soft_write64(cpu, op, sp, op->imm);
    cpu->r[SOFT_RSP] = sp;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_push64_m)
{
    uint64_t value = soft_read64(cpu, op, soft_address(cpu, op));
    uint64_t sp = cpu->r[SOFT_RSP] - 8;

    soft_check_stack(cpu, op, sp, 0);
    soft_write64(cpu, op, sp, value);
    cpu->r[SOFT_RSP] = sp;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pop64_r)
{
    uint64_t value = soft_read64(cpu, op, cpu->r[SOFT_RSP]);

    cpu->r[SOFT_RSP] += 8;
    SOFT_R(uint64_t, op->dst) = value; /* POP RSP: the value wins */
    SOFT_NEXT;
}

/* ---- any size and stack; aux: bytes ---- */

static void push(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value)
{
    struct soft_stack stack = soft_stack_here(cpu, op);

    soft_stack_push(&stack, value, op->aux);
    soft_stack_keep(&stack);
}

static uint64_t get(const struct soft_cpu *cpu, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)cpu->r + offset, size);
    return value;
}

static void set(struct soft_cpu *cpu, unsigned offset, uint64_t value, unsigned size)
{
    if (size == 2)
        SOFT_R(uint16_t, offset) = (uint16_t)value;
    else
        SOFT_R(uint64_t, offset) = size == 4 ? (uint32_t)value : value;
}

SOFT_HANDLER(soft_op_push_r)
{
    push(cpu, op, get(cpu, op->src, op->aux));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_push_i)
{
    push(cpu, op, op->imm);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_push_m)
{
    uint64_t value = op->aux == 2   ? soft_read16(cpu, op, soft_address(cpu, op))
                     : op->aux == 4 ? soft_read32(cpu, op, soft_address(cpu, op))
                                    : soft_read64(cpu, op, soft_address(cpu, op));

    push(cpu, op, value);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pop_r)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t value = soft_stack_pop(&stack, op->aux);

    soft_stack_keep(&stack);
    set(cpu, op->dst, value, op->aux);
    SOFT_NEXT;
}

/* The address is computed with the stack pointer as it is after the pop (SDM vol. 2B, POP); the
 * translator has added the size to the displacement where it is based on it. */
SOFT_HANDLER(soft_op_pop_m)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t value = soft_stack_pop(&stack, op->aux), address = soft_address(cpu, op);

    if (op->aux == 2)
        soft_write16(cpu, op, address, (uint16_t)value);
    else if (op->aux == 4)
        soft_write32(cpu, op, address, (uint32_t)value);
    else
        soft_write64(cpu, op, address, value);
    soft_stack_keep(&stack);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pusha)
{
    struct soft_stack stack = soft_stack_here(cpu, op);

    for (unsigned i = 0; i < 8; i++)
        soft_stack_push(&stack, cpu->r[i], op->aux); /* RSP as it was */
    soft_stack_keep(&stack);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_popa)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t value[8];

    for (unsigned i = 8; i-- > 0;)
        value[i] = soft_stack_pop(&stack, op->aux);
    soft_stack_keep(&stack);
    for (unsigned i = 0; i < 8; i++) {
        if (i != SOFT_RSP)
            set(cpu, 8 * i, value[i], op->aux);
    }
    SOFT_NEXT;
}

/* imm: bytes to allocate; src: nesting level. */
SOFT_HANDLER(soft_op_enter)
{
    struct soft_stack stack = soft_stack_here(cpu, op), frame = stack;
    unsigned level = op->src & 31, size = op->aux;
    uint64_t bp;

    soft_stack_push(&stack, cpu->r[SOFT_RBP], size);
    bp = stack.sp;
    frame.sp = cpu->r[SOFT_RBP];
    for (unsigned i = 1; i < level; i++) {
        uint64_t at = (frame.sp - size) & frame.mask, value = 0;

        soft_read_as(&value, cpu, op, soft_stack_linear(&frame, at, size), size, frame.rights);
        frame.sp = at;
        soft_stack_push(&stack, value, size);
    }
    if (level > 0)
        soft_stack_push(&stack, bp, size);
    stack.sp = (stack.sp & ~stack.mask) | ((stack.sp - op->imm) & stack.mask);
    /* The new top has to be writable. */
    soft_check_write(cpu, op, soft_stack_linear(&stack, stack.sp & stack.mask, size), size,
                     stack.rights);
    soft_stack_keep(&stack);
    set(cpu, 8 * SOFT_RBP, bp, size);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_leave)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t value;

    stack.sp = (stack.sp & ~stack.mask) | (cpu->r[SOFT_RBP] & stack.mask);
    value = soft_stack_pop(&stack, op->aux);
    soft_stack_keep(&stack);
    set(cpu, 8 * SOFT_RBP, value, op->aux);
    SOFT_NEXT;
}

/* ---- segment registers: src or dst ---- */

SOFT_HANDLER(soft_op_push_segment)
{
    push(cpu, op, cpu->seg[op->src].selector);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_pop_segment)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint16_t selector = (uint16_t)soft_stack_pop(&stack, op->aux);

    soft_segment_load(cpu, op, op->dst, selector);
    soft_stack_keep(&stack);
    if (op->dst == SOFT_SEG_SS)
        cpu->shadow = SOFT_SHADOW_SS;
    cpu->rip = soft_next_rip(cpu, op);
    return NULL;
}

/* ---- flags ---- */

static void check_iopl(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (soft_is_vm86(cpu) && (cpu->eflags & SOFT_IOPL) != SOFT_IOPL)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

SOFT_HANDLER(soft_op_pushf)
{
    check_iopl(cpu, op);
    push(cpu, op, soft_eflags(cpu) & ~(SOFT_VM | SOFT_RF));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_popf)
{
    uint32_t mask = SOFT_ARITHMETIC | SOFT_TF | SOFT_DF | SOFT_NT;
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t value;

    check_iopl(cpu, op);
    value = soft_stack_pop(&stack, op->aux);
    if (op->aux > 2)
        mask |= SOFT_AC | SOFT_ID;
    if (soft_cpl(cpu) <= (cpu->eflags & SOFT_IOPL) >> 12)
        mask |= SOFT_IF;
    if (soft_cpl(cpu) == 0)
        mask |= SOFT_IOPL;
    soft_stack_keep(&stack);
    soft_set_eflags(cpu, (soft_eflags(cpu) & ~mask) | ((uint32_t)value & mask));
    soft_mode_update(cpu); /* AC */
    cpu->rip = soft_next_rip(cpu, op);
    return NULL;
}
