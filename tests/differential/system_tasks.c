/* SPDX-License-Identifier: BSD-3-Clause */
/* Tasks, and what switches them. */
#include <string.h>

#include "system_writer.h"

/* ---- task states (SDM vol. 3A, figures 7-2, 7-10, 7-11) ---- */

/* What a task is to run as: only one of its registers is bad, as QEMU's processor loads none behind
 * the first that it cannot. */
struct plan {
    uint16_t segment[6]; /* ES, CS, SS, DS, FS, GS */
    uint16_t stack[3];   /* of CPL 0 to 2 */
    uint16_t ldt;
    uint32_t flags, ip, sp;
};

static void plan_task(struct plan *plan, const struct system_case *c, struct dice *dice)
{
    const bool user = dice_one_in(dice, 3);
    const uint16_t code = user ? SYSTEM_CODE_3 : SYSTEM_CODE_0;
    const unsigned bad = dice_below(dice, 20);

    for (unsigned i = 0; i < 6; i++)
        plan->segment[i] = i == 1 ? code : user ? SYSTEM_DATA_3 : SYSTEM_DATA_0;
    for (unsigned cpl = 0; cpl < 3; cpl++) {
        plan->stack[cpl] = (uint16_t)(cpl == 0   ? SYSTEM_DATA_0
                                      : cpl == 1 ? SYSTEM_DATA_1
                                                 : SYSTEM_DATA_2);
        if (dice_one_in(dice, 12))
            plan->stack[cpl] = system_selector(dice);
    }
    plan->ldt = dice_one_in(dice, 2) ? SYSTEM_LDT_NOW : 0;
    plan->flags = system_flags(dice);
    plan->ip = user ? SYSTEM_CODE + 0xf00 + dice_below(dice, 0x80)
                    : SYSTEM_HANDLERS + 0x700 + dice_below(dice, 96) * 2;
    plan->sp = system_stack_top(user ? 3 : 0);
    if (c->family != TASKS)
        return;
    /* In QEMU's processor a task is in ring 0 as long as SS is not loaded. */
    if (bad < 6 && !(user && (bad == 1 || bad == 2)))
        plan->segment[bad] = (uint16_t)(system_selector(dice) & (bad == 1 ? 0xfffc : 0xffff));
    else if (bad == 6 && !user)
        plan->ldt = system_selector(dice);
    if (bad == 7) { /* virtual-8086 mode */
        plan->flags |= 0x20000;
        for (unsigned i = 0; i < 6; i++)
            plan->segment[i] = i == 1 || i == 2 ? 0 : (uint16_t)dice_below(dice, 16);
        plan->ip = SYSTEM_CODE + 0xf00;
        plan->sp = system_stack_top(3);
    }
}

static void make_task_32(struct system_case *c, struct dice *dice, uint8_t *tss, bool now)
{
    struct plan plan;

    plan_task(&plan, c, dice);
    machine_put(tss, now ? SYSTEM_TASK_32 : SYSTEM_TSS_NOW, 2);
    for (unsigned cpl = 0; cpl < 3; cpl++) {
        machine_put(tss + 4 + 8 * cpl, system_stack_top(cpl), 4);
        machine_put(tss + 8 + 8 * cpl, plan.stack[cpl], 4);
    }
    machine_put(tss + 28, c->sregs.cr3 | (dice_one_in(dice, 4) ? dice_roll(dice) & 0x18 : 0), 4);
    machine_put(tss + 32, plan.ip, 4);
    machine_put(tss + 36, plan.flags, 4);
    for (unsigned i = 0; i < 8; i++)
        machine_put(tss + 40 + 4 * i, i == 4 ? plan.sp : dice_roll(dice), 4);
    for (unsigned i = 0; i < 6; i++)
        machine_put(tss + 72 + 4 * i, plan.segment[i], 4);
    machine_put(tss + 96, plan.ldt, 4);
    machine_put(tss + 100, 104u << 16, 4);
}

static void make_task_16(const struct system_case *c, struct dice *dice, uint8_t *tss)
{
    struct plan plan;

    plan_task(&plan, c, dice);
    machine_put(tss, SYSTEM_TSS_NOW, 2);
    for (unsigned cpl = 0; cpl < 3; cpl++) {
        machine_put(tss + 2 + 4 * cpl, system_stack_top(cpl), 2);
        machine_put(tss + 4 + 4 * cpl, plan.stack[cpl], 2);
    }
    machine_put(tss + 14, plan.ip, 2);
    machine_put(tss + 16, plan.flags, 2);
    for (unsigned i = 0; i < 8; i++)
        machine_put(tss + 18 + 2 * i, i == 4 ? plan.sp : dice_roll(dice), 2);
    for (unsigned i = 0; i < 4; i++)
        machine_put(tss + 34 + 2 * i, plan.segment[i], 2);
    machine_put(tss + 42, plan.ldt, 2);
}

void system_make_tasks(struct system_case *c, struct dice *dice)
{
    uint8_t *tss = c->ram + SYSTEM_TSS;

    if (c->mode >= COMPATIBLE) {
        memset(tss, 0, 104);
        for (unsigned i = 0; i < 3; i++)
            machine_put(tss + 4 + 8 * i, system_stack_top(i), 8);
        for (unsigned i = 0; i < 7; i++)
            machine_put(tss + 36 + 8 * i, SYSTEM_STACK + 0xa00 + 0x80 * i, 8);
        if (dice_one_in(dice, 16)) /* a stack that is not canonical */
            machine_put(tss + 4 + 8 * dice_below(dice, 3), (UINT64_C(1) << 47) + 0x1000, 8);
        machine_put(tss + 102, 104, 2);
    } else {
        make_task_32(c, dice, tss, true);
    }
    /* The permissions of ports. */
    for (unsigned i = 104; i < 0x1f0; i++)
        tss[i] = dice_one_in(dice, 2) ? 0 : (uint8_t)dice_roll(dice);
    make_task_32(c, dice, tss + SYSTEM_TSS_STEP, false);
    make_task_16(c, dice, tss + 2 * SYSTEM_TSS_STEP);
}

/* ---- task switches ---- */

static void put_task_gate(struct system_case *c, unsigned vector, uint16_t selector, bool present)
{
    machine_put(c->ram + SYSTEM_IDT + 8 * vector,
                (uint64_t)selector << 16 | (present ? UINT64_C(0xe500) : UINT64_C(0x6500)) << 32,
                8);
}

/* Exceptions and interrupts that a task handles. */
static void make_task_event(struct writer *w, uint16_t selector, bool present)
{
    struct system_case *c = w->c;

    switch (dice_below(w->dice, 5)) {
    case 0:
        /* Not #UD, which KVM takes and injects. */
        name(w, "BOUND through a task gate");
        put_task_gate(c, 5, selector, present);
        put_data(w, 0, 5, 4);
        put_data(w, 4, 6, 4);
        opcode(w, 0x62);
        at_bx(w, 0);
        break;
    case 1:
        name(w, "a division by 0 through a task gate");
        put_task_gate(c, 0, selector,
                      true); /* which else would be a double fault: see make_event */
        c->regs.rcx &= ~UINT64_C(0xff);
        opcode(w, 0xf6);
        with_register(w, 6, 1);
        break;
    case 2:
        name(w, "a fault of INT n through a task gate");
        put_task_gate(c, 11, selector, true);
        put_task_gate(c, 0x40, 0, false);
        if (c->mode == VM86)
            c->regs.rflags |= 0x3000;
        opcode(w, 0xcd);
        byte(w, 0x40);
        break;
    case 3:
        name(w, "an external interrupt through a task gate");
        put_task_gate(c, 0x40, selector, present);
        c->regs.rflags |= 0x200;
        c->events.interrupt.injected = 1;
        c->events.interrupt.vector = 0x40;
        opcode(w, 0x90);
        break;
    default:
        name(w, "an NMI through a task gate");
        put_task_gate(c, 2, selector, present);
        c->events.nmi.injected = 1;
        opcode(w, 0x90);
        break;
    }
}

void system_make_task(struct writer *w)
{
    struct system_case *c = w->c;
    uint16_t selector = (uint16_t)DICE_OF(w->dice, SYSTEM_TASK_32, SYSTEM_TASK_32, SYSTEM_TASK_16,
                                          SYSTEM_TASK_16, SYSTEM_TSS_NOW, system_selector(w->dice));
    const bool present = !dice_one_in(w->dice, 16);
    unsigned size;

    if (c->mode == VM86 && (selector & ~7u) == SYSTEM_TASK_16) /* where QEMU's stays in that mode */
        selector = SYSTEM_TASK_32;
    if (c->cpl == 3 && dice_one_in(w->dice, 2)) { /* one that CPL 3 may use */
        machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_32 + 5, 0xe9, 1);
        machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_16 + 5, 0xe1, 1);
        selector |= 3;
    }
    /* In virtual-8086 mode far pointers are not of descriptors, and IRET leaves NT alone. */
    switch (c->mode == VM86 ? 3 + dice_below(w->dice, 3) : dice_below(w->dice, 6)) {
    case 0:
        name(w, "a far jump or call to a task");
        size = operand(w, false);
        opcode(w, (unsigned)DICE_OF(w->dice, 0xea, 0x9a));
        number(w, 0, size);
        number(w, selector, 2);
        break;
    case 1:
        name(w, "IRET from a task");
        c->regs.rflags |= 0x4000;
        machine_put(c->ram + SYSTEM_TSS, selector, 2);
        if (!dice_one_in(w->dice, 4)) { /* that is busy */
            machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_32 + 5, 0x8b, 1);
            machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_16 + 5, 0x83, 1);
        }
        opcode(w, 0xcf);
        break;
    case 2:
        name(w, "a far jump or call through a task gate");
        machine_put(
            c->ram + SYSTEM_GDT + SYSTEM_WILD_FIRST,
            (uint64_t)selector << 16 | (present ? UINT64_C(0xe500) : UINT64_C(0x6500)) << 32, 8);
        opcode(w, (unsigned)DICE_OF(w->dice, 0xea, 0x9a));
        number(w, 0, is_16(c) ? 2 : 4);
        number(w, SYSTEM_WILD_FIRST | c->cpl, 2);
        break;
    case 3:
        name(w, "INT through a task gate");
        put_task_gate(c, 0x40, selector, present);
        if (c->mode == VM86)
            c->regs.rflags |= 0x3000;
        opcode(w, 0xcd);
        byte(w, 0x40);
        break;
    default: make_task_event(w, selector, present); break;
    }
}
