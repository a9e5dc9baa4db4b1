/* SPDX-License-Identifier: BSD-3-Clause */
/* Task switches (SDM vol. 3A, 7.3). Everything is read and checked as far as the old task is
 * responsible; from the load of the segment registers on, faults are the new task's. */
#include <string.h>

#include "soft/event.h"
#include "soft/flags.h"
#include "soft/segment.h"
#include "soft/stack.h"
#include "soft/system.h"

/* What both formats of a TSS hold (SDM vol. 3A, figures 7-2 and 7-10). */
struct task {
    uint32_t cr3, eip, eflags;
    uint32_t r[8];
    uint16_t segment[SOFT_SEGMENTS];
    uint16_t ldt;
    bool trap;
};

static const struct layout {
    uint8_t size;    /* bytes of a register */
    uint8_t first;   /* offset of EIP */
    uint8_t segment; /* offset of ES */
    uint8_t step;    /* from one segment register to the next */
    uint8_t count;   /* of segment registers */
    uint8_t ldt;
    uint8_t limit; /* the least one */
} layouts[] = {
    {.size = 2, .first = 14, .segment = 34, .step = 2, .count = 4, .ldt = 42, .limit = 0x2b},
    {.size = 4, .first = 32, .segment = 72, .step = 4, .count = 6, .ldt = 96, .limit = 0x67},
};

static void read_at(void *out, struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                    unsigned size)
{
    soft_read_as(out, cpu, op, address, size, SOFT_AS_KERNEL);
}

static void read_task(struct task *task, struct soft_cpu *cpu, const struct soft_uop *op,
                      uint64_t base, const struct layout *layout)
{
    uint64_t at = base + layout->first;
    uint16_t trap = 0;

    memset(task, 0, sizeof(*task));
    read_at(&task->eip, cpu, op, at, layout->size);
    read_at(&task->eflags, cpu, op, at + layout->size, layout->size);
    for (unsigned i = 0; i < 8; i++)
        read_at(&task->r[i], cpu, op, at + (i + 2) * layout->size, layout->size);
    for (unsigned i = 0; i < layout->count; i++)
        read_at(&task->segment[i], cpu, op, base + layout->segment + i * layout->step, 2);
    read_at(&task->ldt, cpu, op, base + layout->ldt, 2);
    if (layout->size == 4) {
        read_at(&task->cr3, cpu, op, base + 28, 4);
        read_at(&trap, cpu, op, base + 100, 2);
        task->trap = (trap & 1) != 0;
    }
}

static void write_task(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t next,
                       uint32_t flags)
{
    const struct layout *layout = &layouts[(cpu->tr.type & 8) != 0];
    uint64_t at = cpu->tr.base + layout->first;

    soft_write_as(cpu, op, at, &next, layout->size, SOFT_AS_KERNEL);
    soft_write_as(cpu, op, at + layout->size, &flags, layout->size, SOFT_AS_KERNEL);
    for (unsigned i = 0; i < 8; i++)
        soft_write_as(cpu, op, at + (i + 2) * layout->size, &cpu->r[i], layout->size,
                      SOFT_AS_KERNEL);
    for (unsigned i = 0; i < layout->count; i++)
        soft_write_as(cpu, op, cpu->tr.base + layout->segment + i * layout->step,
                      &cpu->seg[i].selector, 2, SOFT_AS_KERNEL);
}

static void set_busy(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector, bool busy)
{
    struct soft_descriptor d;
    uint8_t byte;

    soft_descriptor_read(&d, cpu, op, selector, SOFT_TS);
    byte = (uint8_t)(d.raw >> 40);
    byte = (uint8_t)(busy ? byte | 2u : byte & ~2u);
    soft_write_as(cpu, op, d.address + 5, &byte, 1, SOFT_AS_KERNEL);
}

/*
 * What was wrong with a segment of the new task: vector and error code; 0: nothing. It comes true
 * when the switch is complete: "the processor completes the task switch (without performing
 * additional access and segment availability checks) and generates the appropriate exception" (SDM
 * vol. 3A, 7.3). So what can be loaded is, and a handler has a stack.
 */
typedef uint32_t fault;

static fault fault_of(enum soft_vector vector, uint16_t selector)
{
    return (uint32_t)vector << 16 | (selector & 0xfffcu);
}

static fault load_ldt(struct soft_cpu *cpu, uint16_t selector)
{
    struct soft_descriptor d;

    cpu->ldt = (visor_x86_segment){.selector = selector, .type = SOFT_TYPE_LDT, .unusable = 1};
    if ((selector & 0xfffc) == 0)
        return 0;
    if ((selector & 4) != 0 || !soft_descriptor_read(&d, cpu, NULL, selector, 0) ||
        soft_desc_s(&d) || soft_desc_type(&d) != SOFT_TYPE_LDT || !soft_desc_present(&d))
        return fault_of(SOFT_TS, selector);
    soft_segment_unpack(&cpu->ldt, &d, selector);
    return 0;
}

static fault load_code(struct soft_cpu *cpu, uint16_t selector)
{
    unsigned rpl = selector & 3;
    struct soft_descriptor d;
    visor_x86_segment cs;

    if ((selector & 0xfffc) == 0 || !soft_descriptor_read(&d, cpu, NULL, selector, 0) ||
        !soft_desc_is_code(&d) ||
        (soft_desc_is_conforming_code(&d) ? soft_desc_dpl(&d) > rpl : soft_desc_dpl(&d) != rpl))
        return fault_of(SOFT_TS, selector);
    if (!soft_desc_present(&d))
        return fault_of(SOFT_NP, selector);
    soft_descriptor_access(&d, cpu, NULL);
    soft_segment_unpack(&cs, &d, selector);
    soft_set_cs(cpu, &cs, rpl);
    return 0;
}

static fault load_stack(struct soft_cpu *cpu, uint16_t selector, unsigned cpl)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0 || !soft_descriptor_read(&d, cpu, NULL, selector, 0) ||
        (selector & 3) != cpl || !soft_desc_s(&d) || soft_desc_is_code(&d) ||
        (soft_desc_type(&d) & SOFT_TYPE_WRITABLE) == 0 || soft_desc_dpl(&d) != cpl)
        return fault_of(SOFT_TS, selector);
    if (!soft_desc_present(&d))
        return fault_of(SOFT_SS_FAULT, selector);
    soft_descriptor_access(&d, cpu, NULL);
    soft_segment_unpack(&cpu->seg[SOFT_SEG_SS], &d, selector);
    return 0;
}

static fault load_data(struct soft_cpu *cpu, unsigned which, uint16_t selector)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0)
        return 0;
    if (!soft_descriptor_read(&d, cpu, NULL, selector, 0) || !soft_desc_s(&d) ||
        (soft_desc_is_code(&d) && (soft_desc_type(&d) & SOFT_TYPE_WRITABLE) == 0) ||
        (!soft_desc_is_conforming_code(&d) &&
         (soft_desc_dpl(&d) < soft_cpl(cpu) || soft_desc_dpl(&d) < (selector & 3u))))
        return fault_of(SOFT_TS, selector);
    if (!soft_desc_present(&d))
        return fault_of(SOFT_NP, selector);
    soft_descriptor_access(&d, cpu, NULL);
    soft_segment_unpack(&cpu->seg[which], &d, selector);
    return 0;
}

static void load_segments(struct soft_cpu *cpu, const struct task *task)
{
    static const uint8_t data[] = {SOFT_SEG_ES, SOFT_SEG_DS, SOFT_SEG_FS, SOFT_SEG_GS};
    fault faults[7] = {0};

    for (unsigned i = 0; i < SOFT_SEGMENTS; i++) {
        cpu->seg[i] = (visor_x86_segment){.selector = task->segment[i], .unusable = 1};
        if (i == SOFT_SEG_SS)
            cpu->seg[i].dpl = task->segment[SOFT_SEG_CS] & 3;
    }
    faults[0] = load_ldt(cpu, task->ldt);
    if (soft_is_vm86(cpu)) {
        for (unsigned i = 0; i < SOFT_SEGMENTS; i++)
            soft_segment_set_real(cpu, i, task->segment[i]);
        cpu->map_generation++;
    } else {
        unsigned cpl = task->segment[SOFT_SEG_CS] & 3;

        faults[1] = load_code(cpu, task->segment[SOFT_SEG_CS]);
        faults[2] = load_stack(cpu, task->segment[SOFT_SEG_SS], cpl);
        for (unsigned i = 0; i < sizeof(data); i++)
            faults[3 + i] = load_data(cpu, data[i], task->segment[data[i]]);
    }
    soft_mode_update(cpu);
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i] != 0)
            soft_raise_error(cpu, NULL, (enum soft_vector)(faults[i] >> 16), faults[i] & 0xffff);
    }
}

void soft_task_switch(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                      enum soft_task_reason reason, uint64_t next, const uint32_t *error)
{
    enum soft_vector vector = reason == SOFT_TASK_IRET ? SOFT_TS : SOFT_GP;
    uint32_t flags =
        (uint32_t)(reason == SOFT_TASK_EVENT ? soft_event_flags(cpu) : soft_eflags(cpu));
    uint32_t code = selector & 0xfffcu;
    uint16_t old = cpu->tr.selector;
    const struct layout *layout;
    struct soft_descriptor d;
    visor_x86_segment tss;
    struct task task;
    unsigned type;

    if ((selector & 4) != 0 || code == 0)
        soft_raise_error(cpu, op, vector, code);
    soft_descriptor_read(&d, cpu, op, selector, vector);
    type = soft_desc_type(&d);
    if (soft_desc_s(&d) || (type & ~10u) != 1 || ((type & 2) != 0) != (reason == SOFT_TASK_IRET))
        soft_raise_error(cpu, op, vector, code);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, op, SOFT_NP, code);
    soft_segment_unpack(&tss, &d, selector);
    layout = &layouts[(type & 8) != 0];
    if (tss.limit < layout->limit)
        soft_raise_error(cpu, op, SOFT_TS, code);
    read_task(&task, cpu, op, tss.base, layout);

    /* The old task. */
    if (reason == SOFT_TASK_IRET)
        flags &= ~SOFT_NT;
    write_task(cpu, op, next, flags);
    if (reason == SOFT_TASK_JUMP || reason == SOFT_TASK_IRET)
        set_busy(cpu, op, old, false);
    if (reason == SOFT_TASK_CALL || reason == SOFT_TASK_EVENT) {
        soft_write_as(cpu, op, tss.base, &old, 2, SOFT_AS_KERNEL);
        task.eflags |= SOFT_NT;
    }
    if (reason != SOFT_TASK_IRET)
        set_busy(cpu, op, selector, true);

    /* The new one. */
    cpu->tr = tss;
    cpu->tr.type |= 2;
    cpu->cr0 |= SOFT_CR0_TS;
    if (layout->size == 4 && (cpu->cr0 & SOFT_CR0_PG) != 0)
        soft_set_cr3(cpu, op, task.cr3);
    soft_set_eflags(cpu, task.eflags);
    cpu->rip = task.eip;
    cpu->event.length = 0; /* what fails from here on is at this address, not at an INT */
    for (unsigned i = 0; i < 8; i++)
        cpu->r[i] = task.r[i];    /* the upper halves are undefined after a TSS of 16 bits */
    cpu->dr7 &= ~UINT64_C(0x155); /* local breakpoints (SDM vol. 3B, 17.2.4) */
    cpu->block = NULL;
    load_segments(cpu, &task);
    if (cpu->rip > cpu->seg[SOFT_SEG_CS].limit)
        soft_raise_error(cpu, NULL, SOFT_GP, 0);
    if (error != NULL) {
        struct soft_stack stack = soft_stack_here(cpu, NULL);

        soft_stack_push(&stack, *error, layout->size);
        soft_stack_keep(&stack);
    }
    if (task.trap) {
        cpu->dr6 |= UINT64_C(1) << 15; /* BT */
        soft_raise(cpu, NULL, SOFT_DB);
    }
}
