/* SPDX-License-Identifier: BSD-3-Clause */
/* Delivery through the IDT, or through real mode's table. */
#include "soft/event.h"

#include "soft/flags.h"
#include "soft/stack.h"

#define ERROR_EXT 1u /* of error codes: not the fault of the program (SDM vol. 3A, 6.13) */
#define ERROR_IDT 2u

/* ---- one event after another (SDM vol. 3A, table 6-5) ---- */

static bool is_contributory(unsigned vector)
{
    return vector == SOFT_DE || (vector >= SOFT_TS && vector <= SOFT_GP);
}

static bool is_software(const struct soft_event *event)
{
    return event->kind == SOFT_EVENT_SOFTWARE || event->kind == SOFT_EVENT_SOFTWARE_DEBUG;
}

void soft_event_undo(struct soft_cpu *cpu)
{
    if (!cpu->delivering)
        return;
    cpu->delivering = false;
    if (is_software(&cpu->event)) {
        /* The instruction is executed anew. */
        cpu->rip -= cpu->event.length;
        cpu->icount--;
        cpu->event.kind = SOFT_EVENT_NONE;
    }
}

void soft_event_raise(struct soft_cpu *cpu, const struct soft_event *event)
{
    const struct soft_event first = cpu->event;
    bool first_counts = cpu->delivering && first.kind == SOFT_EVENT_EXCEPTION;
    unsigned vector = event->vector;

    if (cpu->delivering && is_software(&first))
        cpu->rip -= first.length;
    if (cpu->delivering && !is_software(&first) && event->has_error && vector >= SOFT_TS &&
        vector <= SOFT_GP) {
        cpu->event = *event;
        cpu->event.error |= ERROR_EXT;
    } else {
        cpu->event = *event;
    }
    cpu->delivering = false;
    if (!first_counts)
        return;
    if (first.vector == SOFT_DF_FAULT && (is_contributory(vector) || vector == SOFT_PF_FAULT)) {
        cpu->event.kind = SOFT_EVENT_NONE;
        cpu->dead = true;
    } else if ((is_contributory(first.vector) && is_contributory(vector)) ||
               (first.vector == SOFT_PF_FAULT &&
                (is_contributory(vector) || vector == SOFT_PF_FAULT))) {
        cpu->event = (struct soft_event){
            .kind = SOFT_EVENT_EXCEPTION, .vector = SOFT_DF_FAULT, .has_error = true};
    }
}

void soft_event_trap(struct soft_cpu *cpu, uint64_t dr6)
{
    cpu->dr6 |= dr6;
    cpu->event = (struct soft_event){.kind = SOFT_EVENT_EXCEPTION, .vector = SOFT_DB};
}

/* ---- what is pushed ---- */

/* RF is set for faults, so that an instruction breakpoint is not hit again (SDM vol. 3B, 17.3.1.1);
 * #DB that come here are traps. */
uint64_t soft_event_flags(const struct soft_cpu *cpu)
{
    const struct soft_event *event = &cpu->event;
    bool fault = event->kind == SOFT_EVENT_EXCEPTION && event->vector != SOFT_DB &&
                 event->vector != SOFT_BP && event->vector != SOFT_OF_TRAP;

    return soft_eflags(cpu) | (fault ? SOFT_RF : 0);
}

static _Noreturn void bad_gate(struct soft_cpu *cpu, enum soft_vector vector)
{
    soft_raise_error(cpu, NULL, vector, cpu->event.vector * 8u | ERROR_IDT);
}

static void read_gate(struct soft_descriptor *gate, struct soft_cpu *cpu)
{
    unsigned size = soft_is_long(cpu) ? 16 : 8, vector = cpu->event.vector;
    unsigned type;

    if (vector * size + size - 1 > cpu->idt.limit)
        bad_gate(cpu, SOFT_GP);
    gate->address = cpu->idt.base + vector * size;
    gate->high = 0;
    soft_read_as(&gate->raw, cpu, NULL, gate->address, 8, SOFT_AS_KERNEL);
    if (size == 16)
        soft_read_as(&gate->high, cpu, NULL, gate->address + 8, 8, SOFT_AS_KERNEL);
    type = soft_desc_type(gate);
    if (soft_desc_s(gate) ||
        !(type == SOFT_TYPE_INT || type == SOFT_TYPE_TRAP ||
          (!soft_is_long(cpu) &&
           (type == SOFT_TYPE_INT16 || type == SOFT_TYPE_TRAP16 || type == SOFT_TYPE_TASK))))
        bad_gate(cpu, SOFT_GP);
    if (is_software(&cpu->event) && soft_desc_dpl(gate) < soft_cpl(cpu))
        bad_gate(cpu, SOFT_GP);
    if (!soft_desc_present(gate))
        bad_gate(cpu, SOFT_NP);
}

/* The handler's code segment; returns its privilege level. */
static unsigned handler_segment(visor_x86_segment *cs, struct soft_cpu *cpu, uint16_t selector)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0)
        soft_raise_error(cpu, NULL, SOFT_GP, 0);
    soft_descriptor_read(&d, cpu, NULL, selector, SOFT_GP);
    if (!soft_desc_is_code(&d) || soft_desc_dpl(&d) > soft_cpl(cpu) ||
        (soft_is_long(cpu) && (!soft_desc_l(&d) || soft_desc_db(&d))))
        soft_raise_error(cpu, NULL, SOFT_GP, selector & 0xfffcu);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, NULL, SOFT_NP, selector & 0xfffcu);
    soft_descriptor_access(&d, cpu, NULL);
    soft_segment_unpack(cs, &d, selector);
    return soft_desc_is_conforming_code(&d) ? soft_cpl(cpu) : soft_desc_dpl(&d);
}

static void enter(struct soft_cpu *cpu, const visor_x86_segment *cs, unsigned cpl, uint64_t rip,
                  bool interrupt_gate)
{
    cpu->eflags &= ~(SOFT_TF | SOFT_VM | SOFT_RF | SOFT_NT | (interrupt_gate ? SOFT_IF : 0));
    cpu->rip = rip;
    soft_set_cs(cpu, cs, cpl);
}

/* ---- long mode (SDM vol. 3A, 6.14) ---- */

static void deliver_long(struct soft_cpu *cpu)
{
    const visor_x86_segment old_ss = cpu->seg[SOFT_SEG_SS];
    struct soft_descriptor gate;
    struct soft_stack stack = {.cpu = cpu, .mask = ~UINT64_C(0)};
    visor_x86_segment cs;
    unsigned cpl, ist;

    read_gate(&gate, cpu);
    cpl = handler_segment(&cs, cpu, soft_gate_selector(&gate));
    ist = (unsigned)(gate.raw >> 32) & 7;
    stack.rights = cpl == 3 ? SOFT_AS_USER : SOFT_AS_KERNEL;
    if (ist != 0)
        stack.sp = soft_inner_stack_64(cpu, NULL, 3 + ist);
    else if (cpl < soft_cpl(cpu))
        stack.sp = soft_inner_stack_64(cpu, NULL, cpl);
    else
        stack.sp = cpu->r[SOFT_RSP];
    stack.sp &= ~UINT64_C(15);
    soft_stack_push(&stack, old_ss.selector, 8);
    soft_stack_push(&stack, cpu->r[SOFT_RSP], 8);
    soft_stack_push(&stack, soft_event_flags(cpu), 8);
    soft_stack_push(&stack, cpu->seg[SOFT_SEG_CS].selector, 8);
    soft_stack_push(&stack, cpu->rip, 8);
    if (cpu->event.has_error)
        soft_stack_push(&stack, cpu->event.error, 8);

    if (cpl != soft_cpl(cpu))
        cpu->seg[SOFT_SEG_SS] =
            (visor_x86_segment){.selector = (uint16_t)cpl, .dpl = (uint8_t)cpl, .unusable = 1};
    cpu->r[SOFT_RSP] = stack.sp;
    enter(cpu, &cs, cpl, soft_gate_offset(&gate), soft_desc_type(&gate) == SOFT_TYPE_INT);
}

/* ---- protected mode (SDM vol. 3A, 6.12, 20.3) ---- */

static void deliver_protected(struct soft_cpu *cpu)
{
    bool vm86 = soft_is_vm86(cpu);
    struct soft_descriptor gate;
    struct soft_stack stack;
    visor_x86_segment cs, ss;
    unsigned cpl, size, type;
    uint16_t selector;

    read_gate(&gate, cpu);
    type = soft_desc_type(&gate);
    if (type == SOFT_TYPE_TASK) {
        uint32_t error = cpu->event.error;

        soft_task_switch(cpu, NULL, soft_gate_selector(&gate), SOFT_TASK_EVENT, cpu->rip,
                         cpu->event.has_error ? &error : NULL);
        return;
    }
    size = (type & 8) != 0 ? 4 : 2;
    cpl = handler_segment(&cs, cpu, soft_gate_selector(&gate));
    if (vm86 && cpl != 0)
        soft_raise_error(cpu, NULL, SOFT_GP, soft_gate_selector(&gate) & 0xfffcu);
    stack = soft_stack_here(cpu, NULL);
    if (cpl < soft_cpl(cpu)) {
        soft_inner_stack(&selector, &stack.sp, cpu, NULL, cpl);
        soft_stack_segment(&ss, cpu, NULL, selector, cpl, SOFT_TS);
        stack.ss = ss;
        stack.mask = soft_stack_mask(cpu, &ss);
        stack.rights = SOFT_AS_KERNEL;
        stack.error = selector & 0xfffcu;
        if (vm86) {
            soft_stack_push(&stack, cpu->seg[SOFT_SEG_GS].selector, size);
            soft_stack_push(&stack, cpu->seg[SOFT_SEG_FS].selector, size);
            soft_stack_push(&stack, cpu->seg[SOFT_SEG_DS].selector, size);
            soft_stack_push(&stack, cpu->seg[SOFT_SEG_ES].selector, size);
        }
        soft_stack_push(&stack, cpu->seg[SOFT_SEG_SS].selector, size);
        soft_stack_push(&stack, cpu->r[SOFT_RSP], size);
    }
    soft_stack_push(&stack, soft_event_flags(cpu), size);
    soft_stack_push(&stack, cpu->seg[SOFT_SEG_CS].selector, size);
    soft_stack_push(&stack, cpu->rip, size);
    if (cpu->event.has_error)
        soft_stack_push(&stack, cpu->event.error, size);

    if (cpl < soft_cpl(cpu)) {
        cpu->seg[SOFT_SEG_SS] = ss;
        if (vm86) {
            for (unsigned i = 0; i < SOFT_SEGMENTS; i++) {
                if (i != SOFT_SEG_CS && i != SOFT_SEG_SS)
                    cpu->seg[i] = (visor_x86_segment){.unusable = 1};
            }
        }
    }
    soft_stack_keep(&stack);
    enter(cpu, &cs, cpl, size == 4 ? soft_gate_offset(&gate) : gate.raw & 0xffff,
          type == SOFT_TYPE_INT || type == SOFT_TYPE_INT16);
}

/* ---- real mode (SDM vol. 3A, 20.1.4) ---- */

static void deliver_real(struct soft_cpu *cpu)
{
    unsigned vector = cpu->event.vector;
    struct soft_stack stack = soft_stack_here(cpu, NULL);
    uint32_t pointer = 0;

    if (vector * 4u + 3 > cpu->idt.limit)
        bad_gate(cpu, SOFT_GP);
    soft_read_as(&pointer, cpu, NULL, cpu->idt.base + vector * 4u, 4, SOFT_AS_KERNEL);
    soft_stack_push(&stack, soft_eflags(cpu), 2);
    soft_stack_push(&stack, cpu->seg[SOFT_SEG_CS].selector, 2);
    soft_stack_push(&stack, cpu->rip, 2);
    soft_stack_keep(&stack);
    cpu->eflags &= ~(SOFT_IF | SOFT_TF | SOFT_AC | SOFT_RF);
    cpu->rip = pointer & 0xffff;
    if (cpu->seg[SOFT_SEG_CS].base != (uint64_t)(pointer >> 16) << 4)
        cpu->map_generation++;
    soft_segment_set_real(cpu, SOFT_SEG_CS, (uint16_t)(pointer >> 16));
    soft_mode_update(cpu);
}

void soft_event_deliver(struct soft_cpu *cpu)
{
    bool is_nmi = cpu->event.kind == SOFT_EVENT_NMI;

    if (cpu->event.has_payload) {
        if (cpu->event.vector == SOFT_PF_FAULT)
            cpu->cr2 = cpu->event.payload;
        else if (cpu->event.vector == SOFT_DB)
            cpu->dr6 |= cpu->event.payload;
        cpu->event.has_payload = false;
    }
    /* Also if its delivery faults (SDM vol. 3C, 27.2.4). */
    if (is_nmi)
        cpu->nmi_masked = true;
    cpu->delivering = true;
    if (soft_is_long(cpu))
        deliver_long(cpu);
    else if (soft_is_protected(cpu))
        deliver_protected(cpu);
    else
        deliver_real(cpu);
    cpu->delivering = false;
    cpu->event.kind = SOFT_EVENT_NONE;
    cpu->shadow = 0;
    if (cpu->event.vector == SOFT_DB)
        cpu->dr7 &= ~UINT64_C(0x2000); /* GD, which no breakpoint depends on */
}
