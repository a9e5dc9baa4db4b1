/* SPDX-License-Identifier: BSD-3-Clause */
/* Far jumps, calls and returns, and IRET (SDM vol. 3A, 5.8; vol. 2A, the instructions). */
#include "soft/flags.h"
#include "soft/segment.h"
#include "soft/stack.h"

static bool is_real(const struct soft_cpu *cpu)
{
    return !soft_is_protected(cpu) || soft_is_vm86(cpu);
}

static void set_real_cs(struct soft_cpu *cpu, uint16_t selector)
{
    if (cpu->seg[SOFT_SEG_CS].base != (uint64_t)selector << 4)
        cpu->map_generation++;
    soft_segment_set_real(cpu, SOFT_SEG_CS, selector);
    soft_mode_update(cpu);
}

static uint64_t truncate(uint64_t offset, unsigned size)
{
    return size == 2 ? (uint16_t)offset : size == 4 ? (uint32_t)offset : offset;
}

/* Raises #GP(0) if code cannot be at this offset. */
static void check_target(struct soft_cpu *cpu, const struct soft_uop *op,
                         const visor_x86_segment *cs, uint64_t offset)
{
    unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    if (soft_is_long(cpu) && cs->l ? (uint64_t)((int64_t)(offset << spare) >> spare) != offset
                                   : offset > cs->limit)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

/* A code segment for a jump or call that stays at this privilege level, or a gate's target. */
static void check_code(struct soft_cpu *cpu, const struct soft_uop *op,
                       const struct soft_descriptor *d, uint16_t selector, unsigned rpl)
{
    uint32_t error = selector & 0xfffcu;

    if (soft_is_long(cpu) && soft_desc_l(d) && soft_desc_db(d))
        soft_raise_error(cpu, op, SOFT_GP, error);
    if (soft_desc_is_conforming_code(d) ? soft_desc_dpl(d) > soft_cpl(cpu)
                                        : rpl > soft_cpl(cpu) || soft_desc_dpl(d) != soft_cpl(cpu))
        soft_raise_error(cpu, op, SOFT_GP, error);
    if (!soft_desc_present(d))
        soft_raise_error(cpu, op, SOFT_NP, error);
}

/* Reads what a far pointer names. Returns 0 for code, else the type of a gate or TSS. */
static unsigned read_target(struct soft_descriptor *d, struct soft_cpu *cpu,
                            const struct soft_uop *op, uint16_t selector)
{
    unsigned type;

    if ((selector & 0xfffc) == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_descriptor_read(d, cpu, op, selector, SOFT_GP);
    if (soft_desc_s(d)) {
        if (!soft_desc_is_code(d))
            soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffcu);
        check_code(cpu, op, d, selector, selector & 3);
        return 0;
    }
    type = soft_desc_type(d);
    if (!(type == SOFT_TYPE_CALL ||
          (!soft_is_long(cpu) && (type == SOFT_TYPE_CALL16 || type == SOFT_TYPE_TASK ||
                                  type == SOFT_TYPE_TSS || type == SOFT_TYPE_TSS16))))
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffcu);
    if (soft_desc_dpl(d) < soft_cpl(cpu) || soft_desc_dpl(d) < (selector & 3u))
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffcu);
    if (!soft_desc_present(d))
        soft_raise_error(cpu, op, SOFT_NP, selector & 0xfffcu);
    if (type == SOFT_TYPE_CALL)
        soft_descriptor_read_high(d, cpu, op, selector, SOFT_GP);
    return type;
}

/* The code segment that a call gate leads to. */
static void read_gate_target(struct soft_descriptor *d, struct soft_cpu *cpu,
                             const struct soft_uop *op, const struct soft_descriptor *gate)
{
    uint16_t selector = soft_gate_selector(gate);

    if ((selector & 0xfffc) == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_descriptor_read(d, cpu, op, selector, SOFT_GP);
    if (!soft_desc_is_code(d) || soft_desc_dpl(d) > soft_cpl(cpu) ||
        (soft_is_long(cpu) && (!soft_desc_l(d) || soft_desc_db(d))))
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffcu);
    if (!soft_desc_present(d))
        soft_raise_error(cpu, op, SOFT_NP, selector & 0xfffcu);
}

static void enter_code(struct soft_cpu *cpu, const struct soft_uop *op, struct soft_descriptor *d,
                       uint16_t selector, unsigned cpl, uint64_t offset)
{
    visor_x86_segment cs;

    soft_segment_unpack(&cs, d, selector);
    check_target(cpu, op, &cs, offset);
    soft_descriptor_access(d, cpu, op);
    soft_segment_unpack(&cs, d, selector);
    soft_set_cs(cpu, &cs, cpl);
    cpu->rip = offset;
}

/* The TSS selector of a task gate, or the selector itself. */
static uint16_t task_of(const struct soft_descriptor *d, unsigned type, uint16_t selector)
{
    return type == SOFT_TYPE_TASK ? soft_gate_selector(d) : selector;
}

void soft_far_jump(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                   uint64_t offset, unsigned size, uint64_t next)
{
    struct soft_descriptor d, code;
    unsigned type;

    offset = truncate(offset, size);
    if (is_real(cpu)) {
        check_target(cpu, op, &cpu->seg[SOFT_SEG_CS], offset);
        set_real_cs(cpu, selector);
        cpu->rip = offset;
        return;
    }
    type = read_target(&d, cpu, op, selector);
    switch (type) {
    case 0: enter_code(cpu, op, &d, selector, soft_cpl(cpu), offset); break;
    case SOFT_TYPE_CALL:
    case SOFT_TYPE_CALL16:
        read_gate_target(&code, cpu, op, &d);
        check_code(cpu, op, &code, soft_gate_selector(&d), 0);
        enter_code(cpu, op, &code, soft_gate_selector(&d), soft_cpl(cpu),
                   type == SOFT_TYPE_CALL ? soft_gate_offset(&d) : d.raw & 0xffff);
        break;
    default:
        soft_task_switch(cpu, op, task_of(&d, type, selector), SOFT_TASK_JUMP, next, NULL);
        break;
    }
}

/* A call through a gate to an inner ring, with the parameters copied (SDM vol. 3A, 5.8.5). */
static void call_inner(struct soft_cpu *cpu, const struct soft_uop *op,
                       const struct soft_descriptor *gate, struct soft_descriptor *code,
                       unsigned size, uint64_t next)
{
    unsigned cpl = soft_desc_dpl(code);
    unsigned parameters = size == 8 ? 0 : (unsigned)(gate->raw >> 32) & 31;
    struct soft_stack outer = soft_stack_here(cpu, op);
    struct soft_stack inner = {.cpu = cpu, .op = op, .rights = SOFT_AS_KERNEL};
    uint64_t value[31];
    uint16_t selector;

    if (size == 8) {
        inner.sp = soft_inner_stack_64(cpu, op, cpl);
        inner.mask = ~UINT64_C(0);
        inner.ss =
            (visor_x86_segment){.selector = (uint16_t)cpl, .dpl = (uint8_t)cpl, .unusable = 1};
    } else {
        soft_inner_stack(&selector, &inner.sp, cpu, op, cpl);
        soft_stack_segment(&inner.ss, cpu, op, selector, cpl, SOFT_TS);
        inner.mask = soft_stack_mask(cpu, &inner.ss);
        inner.error = selector & 0xfffcu;
    }
    for (unsigned i = 0; i < parameters; i++)
        value[i] = soft_stack_pop(&outer, size);
    soft_stack_push(&inner, cpu->seg[SOFT_SEG_SS].selector, size);
    soft_stack_push(&inner, cpu->r[SOFT_RSP], size);
    for (unsigned i = parameters; i > 0; i--)
        soft_stack_push(&inner, value[i - 1], size);
    soft_stack_push(&inner, cpu->seg[SOFT_SEG_CS].selector, size);
    soft_stack_push(&inner, next, size);
    enter_code(cpu, op, code, soft_gate_selector(gate), cpl,
               size == 2 ? gate->raw & 0xffff : soft_gate_offset(gate));
    cpu->seg[SOFT_SEG_SS] = inner.ss;
    soft_stack_keep(&inner);
    soft_mode_update(cpu);
}

/* Pushes the return address on the present stack. */
static struct soft_stack push_return(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size,
                                     uint64_t next)
{
    struct soft_stack stack = soft_stack_here(cpu, op);

    soft_stack_push(&stack, cpu->seg[SOFT_SEG_CS].selector, size);
    soft_stack_push(&stack, next, size);
    return stack;
}

void soft_far_call(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                   uint64_t offset, unsigned size, uint64_t next)
{
    struct soft_descriptor d, code;
    struct soft_stack stack;
    unsigned type, gate_size;

    offset = truncate(offset, size);
    if (is_real(cpu)) {
        check_target(cpu, op, &cpu->seg[SOFT_SEG_CS], offset);
        stack = push_return(cpu, op, size, next);
        soft_stack_keep(&stack);
        set_real_cs(cpu, selector);
        cpu->rip = offset;
        return;
    }
    type = read_target(&d, cpu, op, selector);
    switch (type) {
    case 0:
        stack = push_return(cpu, op, size, next);
        enter_code(cpu, op, &d, selector, soft_cpl(cpu), offset);
        soft_stack_keep(&stack);
        break;
    case SOFT_TYPE_CALL:
    case SOFT_TYPE_CALL16:
        read_gate_target(&code, cpu, op, &d);
        gate_size = type == SOFT_TYPE_CALL16 ? 2 : soft_is_long(cpu) ? 8 : 4;
        if (!soft_desc_is_conforming_code(&code) && soft_desc_dpl(&code) < soft_cpl(cpu)) {
            call_inner(cpu, op, &d, &code, gate_size, next);
            break;
        }
        stack = push_return(cpu, op, gate_size, next);
        enter_code(cpu, op, &code, soft_gate_selector(&d), soft_cpl(cpu),
                   gate_size == 2 ? d.raw & 0xffff : soft_gate_offset(&d));
        soft_stack_keep(&stack);
        break;
    default:
        soft_task_switch(cpu, op, task_of(&d, type, selector), SOFT_TASK_CALL, next, NULL);
        break;
    }
}

/* ---- returns ---- */

/* After a return to an outer ring: registers that it may not use become null. */
static void drop_segments(struct soft_cpu *cpu, unsigned cpl)
{
    static const uint8_t data[] = {SOFT_SEG_ES, SOFT_SEG_DS, SOFT_SEG_FS, SOFT_SEG_GS};

    for (unsigned i = 0; i < sizeof(data); i++) {
        visor_x86_segment *segment = &cpu->seg[data[i]];
        bool conforming = (segment->type & (SOFT_TYPE_CODE | SOFT_TYPE_CONFORMING)) ==
                          (SOFT_TYPE_CODE | SOFT_TYPE_CONFORMING);

        if (segment->present && segment->dpl < cpl && !conforming) {
            *segment = (visor_x86_segment){.unusable = 1};
        } else if ((segment->selector & 0xfffc) == 0) {
            segment->selector = 0;
        }
    }
}

static void check_return(struct soft_descriptor *d, struct soft_cpu *cpu, const struct soft_uop *op,
                         uint16_t selector)
{
    uint32_t error = selector & 0xfffcu;
    unsigned rpl = selector & 3;

    if (error == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_descriptor_read(d, cpu, op, selector, SOFT_GP);
    if (!soft_desc_is_code(d) || rpl < soft_cpl(cpu) ||
        (soft_is_long(cpu) && soft_desc_l(d) && soft_desc_db(d)) ||
        (soft_desc_is_conforming_code(d) ? soft_desc_dpl(d) > rpl : soft_desc_dpl(d) != rpl))
        soft_raise_error(cpu, op, SOFT_GP, error);
    if (!soft_desc_present(d))
        soft_raise_error(cpu, op, SOFT_NP, error);
}

/* SS of a return to privilege level cpl. A null selector serves 64-bit code outside of ring 3. */
static void return_stack(visor_x86_segment *ss, struct soft_cpu *cpu, const struct soft_uop *op,
                         uint16_t selector, unsigned cpl, const struct soft_descriptor *code)
{
    if ((selector & 0xfffc) == 0 && soft_is_long(cpu) && soft_desc_l(code) && cpl != 3) {
        if ((selector & 3) != cpl)
            soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffcu);
        *ss = (visor_x86_segment){.selector = selector, .dpl = (uint8_t)cpl, .unusable = 1};
        return;
    }
    soft_stack_segment(ss, cpu, op, selector, cpl, SOFT_GP);
}

static void set_outer_stack(struct soft_cpu *cpu, const visor_x86_segment *ss, uint64_t sp,
                            unsigned release)
{
    uint64_t mask;

    cpu->seg[SOFT_SEG_SS] = *ss;
    soft_mode_update(cpu);
    mask = soft_stack_mask(cpu, ss);
    /* With a 16-bit stack only SP is loaded. */
    if (mask == 0xffff)
        cpu->r[SOFT_RSP] = (cpu->r[SOFT_RSP] & ~mask) | ((sp + release) & mask);
    else
        cpu->r[SOFT_RSP] = (sp + release) & mask;
}

void soft_far_return(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size,
                     unsigned release)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint64_t rip = soft_stack_pop(&stack, size), sp;
    uint16_t selector = (uint16_t)soft_stack_pop(&stack, size), ss_selector;
    struct soft_descriptor d;
    visor_x86_segment ss;
    unsigned rpl = selector & 3;

    if (is_real(cpu)) {
        check_target(cpu, op, &cpu->seg[SOFT_SEG_CS], rip);
        stack.sp = (stack.sp & ~stack.mask) | ((stack.sp + release) & stack.mask);
        soft_stack_keep(&stack);
        set_real_cs(cpu, selector);
        cpu->rip = rip;
        return;
    }
    check_return(&d, cpu, op, selector);
    stack.sp = (stack.sp & ~stack.mask) | ((stack.sp + release) & stack.mask);
    if (rpl == soft_cpl(cpu)) {
        enter_code(cpu, op, &d, selector, rpl, rip);
        soft_stack_keep(&stack);
        return;
    }
    sp = soft_stack_pop(&stack, size);
    ss_selector = (uint16_t)soft_stack_pop(&stack, size);
    return_stack(&ss, cpu, op, ss_selector, rpl, &d);
    enter_code(cpu, op, &d, selector, rpl, rip);
    set_outer_stack(cpu, &ss, sp, release);
    drop_segments(cpu, rpl);
}

/* ---- IRET ---- */

/* EFLAGS as an IRET or POPF of this privilege level sets them. */
static void set_flags(struct soft_cpu *cpu, uint64_t flags, unsigned size, unsigned cpl)
{
    uint32_t mask = SOFT_ARITHMETIC | SOFT_TF | SOFT_DF | SOFT_NT;

    if (size > 2)
        mask |= SOFT_RF | SOFT_AC | SOFT_ID;
    if (cpl <= (cpu->eflags & SOFT_IOPL) >> 12)
        mask |= SOFT_IF;
    if (cpl == 0) {
        mask |= SOFT_IOPL;
        if (size > 2)
            mask |= SOFT_VIF | SOFT_VIP;
    }
    soft_set_eflags(cpu, (soft_eflags(cpu) & ~mask) | ((uint32_t)flags & mask));
}

static void iret_real(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size)
{
    struct soft_stack stack = soft_stack_here(cpu, op);
    uint32_t mask = SOFT_ARITHMETIC | SOFT_TF | SOFT_IF | SOFT_DF | SOFT_NT;
    uint64_t rip, flags;
    uint16_t selector;

    if (soft_is_vm86(cpu) && (cpu->eflags & SOFT_IOPL) != SOFT_IOPL)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    rip = soft_stack_pop(&stack, size);
    selector = (uint16_t)soft_stack_pop(&stack, size);
    flags = soft_stack_pop(&stack, size);
    check_target(cpu, op, &cpu->seg[SOFT_SEG_CS], rip);
    if (!soft_is_vm86(cpu))
        mask |= SOFT_IOPL;
    if (size > 2)
        mask |= SOFT_RF | SOFT_AC | SOFT_ID;
    soft_stack_keep(&stack);
    soft_set_eflags(cpu, (soft_eflags(cpu) & ~mask) | ((uint32_t)flags & mask));
    cpu->rip = rip;
    set_real_cs(cpu, selector);
}

static void iret_to_vm86(struct soft_cpu *cpu, struct soft_stack *stack, uint64_t rip,
                         uint16_t selector, uint32_t flags)
{
    static const uint8_t order[] = {SOFT_SEG_ES, SOFT_SEG_DS, SOFT_SEG_FS, SOFT_SEG_GS};
    uint64_t sp = soft_stack_pop(stack, 4);
    uint16_t ss = (uint16_t)soft_stack_pop(stack, 4), data[4];

    for (unsigned i = 0; i < 4; i++)
        data[i] = (uint16_t)soft_stack_pop(stack, 4);
    soft_set_eflags(cpu, flags);
    for (unsigned i = 0; i < 4; i++)
        soft_segment_set_real(cpu, order[i], data[i]);
    soft_segment_set_real(cpu, SOFT_SEG_SS, ss);
    cpu->r[SOFT_RSP] = (uint32_t)sp;
    cpu->rip = rip & 0xffff;
    set_real_cs(cpu, selector);
}

void soft_iret(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size, uint64_t next)
{
    struct soft_stack stack;
    struct soft_descriptor d;
    visor_x86_segment ss;
    uint64_t rip, flags, sp = 0;
    uint16_t selector, ss_selector = 0, link;
    unsigned rpl, cpl = soft_cpl(cpu);
    bool outer;

    cpu->nmi_masked = false;
    if (is_real(cpu)) {
        iret_real(cpu, op, size);
        return;
    }
    if ((cpu->eflags & SOFT_NT) != 0) {
        if (soft_is_long(cpu))
            soft_raise_error(cpu, op, SOFT_GP, 0);
        soft_read_as(&link, cpu, op, cpu->tr.base, 2, SOFT_AS_KERNEL);
        soft_task_switch(cpu, op, link, SOFT_TASK_IRET, next, NULL);
        return;
    }
    stack = soft_stack_here(cpu, op);
    rip = soft_stack_pop(&stack, size);
    selector = (uint16_t)soft_stack_pop(&stack, size);
    flags = soft_stack_pop(&stack, size);
    if (size == 4 && (flags & SOFT_VM) != 0 && cpl == 0 && !soft_is_long(cpu)) {
        iret_to_vm86(cpu, &stack, rip, selector, (uint32_t)flags);
        return;
    }
    /* 64-bit code always finds SS:RSP there, and reads it before it looks at the selectors. */
    if (soft_is_64(cpu)) {
        sp = soft_stack_pop(&stack, size);
        ss_selector = (uint16_t)soft_stack_pop(&stack, size);
    }
    check_return(&d, cpu, op, selector);
    rpl = selector & 3;
    outer = rpl != cpl || soft_is_64(cpu);
    if (outer && !soft_is_64(cpu)) {
        sp = soft_stack_pop(&stack, size);
        ss_selector = (uint16_t)soft_stack_pop(&stack, size);
    }
    if (outer)
        return_stack(&ss, cpu, op, ss_selector, rpl, &d);
    enter_code(cpu, op, &d, selector, rpl, rip);
    set_flags(cpu, flags, size, cpl);
    if (outer) {
        set_outer_stack(cpu, &ss, sp, 0);
        if (rpl != cpl)
            drop_segments(cpu, rpl);
    } else {
        soft_stack_keep(&stack);
    }
    soft_mode_update(cpu);
}
