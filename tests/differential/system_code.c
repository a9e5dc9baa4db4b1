/* SPDX-License-Identifier: BSD-3-Clause */
/* One instruction, by families. Behind it, as everywhere, there is HLT. */
#include "system_writer.h"

/* ---- page walks ---- */

static void make_walk(struct writer *w)
{
    struct system_case *c = w->c;

    c->regs.rbx = c->target;
    switch (dice_below(w->dice, 10)) {
    case 0:
    case 1:
    case 2:
        name(w, "a load");
        opcode(w, (unsigned)DICE_OF(w->dice, 0x8a, 0x8b));
        at_bx(w, 0);
        break;
    case 3:
    case 4:
    case 5:
        name(w, "a store");
        opcode(w, (unsigned)DICE_OF(w->dice, 0x88, 0x89));
        at_bx(w, 0);
        break;
    case 6:
        name(w, "a jump");
        /* Neither to good pages nor to tables, as code: QEMU's faults lack W in the error code if
         * an instruction reads before it writes. And it jumps with all 64 bits in compatibility
         * mode, too. */
        if (c->mode == COMPATIBLE)
            c->regs.rbx = (c->regs.rbx & 0xffffffff) | 0x40000000;
        if ((c->regs.rbx & 0x3000) != 0)
            c->regs.rbx |= 0x3000;
        opcode(w, 0xff);
        with_register(w, 4, 3);
        break;
    case 7:
        name(w, "a push");
        c->regs.rsp = c->target & (c->mode == COMPATIBLE ? 0xfffffff8 : ~UINT64_C(7));
        opcode(w, 0x50);
        break;
    case 8:
        name(w, "a descriptor");
        c->sregs.gdt.base = c->target & ~UINT64_C(7);
        /* With AC QEMU's processor reads descriptors of user pages in spite of SMAP, which counts
         * for explicit accesses alone (SDM vol. 3A, 4.6.1). */
        c->regs.rflags &= ~UINT64_C(0x40000);
        opcode(w, 0x8e);
        c->regs.rax = dice_below(w->dice, 64) * 8 | dice_below(w->dice, 4);
        with_register(w, (unsigned)DICE_OF(w->dice, 0, 3, 4, 5), 0);
        break;
    default:
        name(w, "a load with EFLAGS.AC the other way");
        if (c->cpl == 0) {
            opcode(w, 0x0f01);
            byte(w, (unsigned)DICE_OF(w->dice, 0xca, 0xcb));
        }
        opcode(w, 0x8a);
        at_bx(w, 0);
        break;
    }
}

/* ---- segment loads ---- */

/* Whether the upper half of a descriptor in long mode has a type, which has to be 0. QEMU's LLDT
 * and LTR do not look (AMD's manual, vol. 3, LLDT: "extended attribute bits"). */
static bool has_upper_type(const struct system_case *c, uint16_t selector)
{
    return (machine_get(c->ram + SYSTEM_GDT + (selector & 0x1f8) + 8, 8) >> 40 & 0x1f) != 0;
}

static void make_segment(struct writer *w)
{
    struct system_case *c = w->c;
    uint16_t selector = system_selector(w->dice);
    unsigned size;

    /* QEMU's processor does not look whether the RPL of a null selector for SS is CPL (SDM vol. 3A,
     * 6.15, #GP), and is in ring 0 with one. */
    if ((selector & 0xfffc) == 0 && c->mode == LONG && c->cpl != 3)
        selector = c->cpl == 0 ? 0 : SYSTEM_DATA_3;
    c->regs.rax = (c->regs.rax & ~UINT64_C(0xffff)) | selector;
    switch (dice_below(w->dice, 8)) {
    case 0:
    case 1:
        name(w, "MOV to a segment register");
        opcode(w, 0x8e);
        with_register(w, (unsigned)DICE_OF(w->dice, 0, 2, 2, 3, 4, 5, 1, 6), 0);
        break;
    case 2:
        name(w, "POP of a segment register");
        size = operand(w, false);
        if (c->mode == LONG)
            size = size == 4 ? 8 : size;
        push(w, (const uint64_t[]){selector}, 1, size);
        opcode(w, (unsigned)DICE_OF(w->dice, 0x07, 0x17, 0x1f, 0x0fa1, 0x0fa9));
        break;
    case 3:
        name(w, "a far pointer");
        /* With REX.W Intel's processors take 64 bits of an offset, AMD's 32. */
        size = operand(w, false);
        put_data(w, 0, dice_roll(w->dice), 8);
        put_data(w, size, selector, 2);
        opcode(w,
               (unsigned)(c->mode == LONG ? DICE_OF(w->dice, 0x0fb2, 0x0fb4, 0x0fb5)
                                          : DICE_OF(w->dice, 0xc4, 0xc5, 0x0fb2, 0x0fb4, 0x0fb5)));
        at_bx(w, 0);
        break;
    case 4:
        name(w, "LLDT, LTR, SLDT, STR");
        /* QEMU's LTR takes a null selector. */
        if ((selector & 0xfffc) == 0)
            c->regs.rax |= SYSTEM_TASK_32;
        if (c->mode >= COMPATIBLE && has_upper_type(c, (uint16_t)c->regs.rax))
            c->regs.rax = SYSTEM_LDT_NOW;
        opcode(w, 0x0f00);
        with_register(w, (unsigned)DICE_OF(w->dice, 2, 2, 3, 3, 0, 1), 0);
        break;
    case 5:
        name(w, "VERR, VERW");
        opcode(w, 0x0f00);
        with_register(w, 4 + dice_below(w->dice, 2), 0);
        break;
    case 6:
        name(w, "LAR, LSL");
        /* QEMU's take system descriptors in long mode that do not exist there. */
        if (c->mode >= COMPATIBLE)
            c->regs.rax = DICE_OF(w->dice, SYSTEM_CODE_0, SYSTEM_DATA_0, SYSTEM_CODE_3,
                                  SYSTEM_DATA_3, SYSTEM_DATA_1, SYSTEM_CODE_2, SYSTEM_CONFORMING,
                                  SYSTEM_TSS_NOW, SYSTEM_LDT_NOW, 0, 0x1000);
        (void)operand(w, true);
        opcode(w, (unsigned)DICE_OF(w->dice, 0x0f02, 0x0f03));
        with_register(w, 1, 0);
        break;
    default:
        name(w, "PUSH or MOV of a segment register");
        (void)operand(w, true);
        if (dice_one_in(w->dice, 2)) {
            opcode(w, 0x8c);
            with_register(w, (unsigned)DICE_OF(w->dice, 0, 1, 2, 3, 4, 5), 0);
        } else {
            opcode(w, (unsigned)DICE_OF(w->dice, 0x06, 0x0e, 0x16, 0x1e, 0x0fa0, 0x0fa8));
        }
        break;
    }
}

/* ---- far transfers ---- */

static bool is_64_bit_code(const struct system_case *c, uint16_t selector)
{
    const unsigned table = (selector & 4) != 0 ? SYSTEM_LDT : SYSTEM_GDT;

    return (machine_get(c->ram + table + (selector & 0x1f8), 8) >> 53 & 1) != 0;
}

/* A null selector is for the stack of 64-bit code outside of ring 3, with its RPL (SDM vol. 2A,
 * IRET, RET). QEMU's processor takes it for all code outside of ring 3. */
static bool is_bad_null_stack(const struct system_case *c, uint16_t selector, uint16_t stack)
{
    return c->mode >= COMPATIBLE && (stack & 0xfffc) == 0 && (selector & 3) != 3 &&
           ((stack & 3) != (selector & 3) || !is_64_bit_code(c, selector));
}

static void make_far(struct writer *w)
{
    struct system_case *c = w->c;
    uint64_t to = somewhere(w->dice);
    uint16_t selector = (c->mode == REAL || c->mode == VM86) ? (uint16_t)dice_below(w->dice, 16)
                                                             : system_selector(w->dice);
    uint16_t stack = system_selector(w->dice);
    unsigned size;
    uint64_t flags;

    /* No task switches, which are a family of their own. */
    if ((selector & ~7u) == SYSTEM_TASK_32 || (selector & ~7u) == SYSTEM_TASK_16)
        selector = SYSTEM_CODE_0;
    if (dice_one_in(w->dice, 2)) /* that fits */
        stack =
            (uint16_t)DICE_OF(w->dice, SYSTEM_DATA_0, SYSTEM_DATA_1, SYSTEM_DATA_2, SYSTEM_DATA_3);
    if (is_bad_null_stack(c, selector, stack))
        stack = SYSTEM_DATA_0;
    c->stack = stack;
    if (c->mode == REAL || c->mode == VM86)
        to = (to - selector * 16u) & 0xffff;
    switch (dice_below(w->dice, 5)) {
    case 0:
        name(w, "a far jump or call with its target");
        size = operand(w, false);
        opcode(w, (unsigned)DICE_OF(w->dice, 0xea, 0x9a));
        number(w, to, size);
        number(w, selector, 2);
        break;
    case 1:
        name(w, "a far jump or call through memory");
        /* With REX.W Intel's processors take 64 bits of an offset, AMD's 32. */
        size = operand(w, false);
        put_data(w, 0, to, 8);
        put_data(w, size, selector, 2);
        opcode(w, 0xff);
        at_bx(w, (unsigned)DICE_OF(w->dice, 3, 5));
        break;
    case 2:
        name(w, "a far return");
        size = operand(w, true);
        if (dice_one_in(w->dice, 2)) {
            opcode(w, 0xcb);
            push(w, (const uint64_t[]){to, selector, SYSTEM_STACK + 0x1e00, stack}, 4, size);
        } else {
            opcode(w, 0xca);
            number(w, 16, 2);
            push(w, (const uint64_t[]){to, selector}, 2, size);
            c->regs.rsp += 16;
            push(w, (const uint64_t[]){SYSTEM_STACK + 0x1e00, stack}, 2, size);
            c->regs.rsp -= 16;
            machine_put(c->ram + c->regs.rsp, to, size);
            machine_put(c->ram + c->regs.rsp + size, selector, size);
            machine_put(c->ram + c->regs.rsp + 16 + 2 * size, SYSTEM_STACK + 0x1e00, size);
            machine_put(c->ram + c->regs.rsp + 16 + 3 * size, stack, size);
        }
        break;
    default:
        name(w, "IRET");
        size = operand(w, true);
        opcode(w, 0xcf);
        /* QEMU's IRET leaves VIF and VIP alone. */
        flags = 2 | (dice_roll(w->dice) & 0x277ed5);
        flags &= ~UINT64_C(0x100);
        /* QEMU's IRET goes to virtual-8086 mode from any CPL. */
        if (c->mode >= COMPATIBLE || c->cpl != 0 || !dice_one_in(w->dice, 4))
            flags &= ~UINT64_C(0x20000);
        if (!dice_one_in(w->dice, 8))
            c->regs.rflags &= ~UINT64_C(0x4000);
        push(w,
             (const uint64_t[]){to, selector, flags, SYSTEM_STACK + 0x1e00, stack,
                                dice_below(w->dice, 16), dice_below(w->dice, 16),
                                dice_below(w->dice, 16), dice_below(w->dice, 16)},
             9, size);
        if (dice_one_in(w->dice, 8))
            c->events.nmi.masked = 1;
        break;
    }
}

/* ---- exceptions and interrupts of instructions ---- */

static void make_exception(struct writer *w)
{
    struct system_case *c = w->c;

    switch (dice_below(w->dice, 8)) {
    case 0:
    case 1:
        name(w, "INT n");
        opcode(w, 0xcd);
        byte(w, dice_one_in(w->dice, 4) ? dice_below(w->dice, 32) : dice_below(w->dice, 256));
        break;
    case 2:
        name(w, "INT3");
        opcode(w, 0xcc);
        break;
    case 3:
        name(w, "INTO");
        opcode(w, 0xce);
        break;
    case 4:
        name(w, "UD2");
        opcode(w, 0x0f0b);
        break;
    case 5:
        name(w, "a division by 0");
        c->regs.rcx &= ~UINT64_C(0xff);
        opcode(w, 0xf6);
        with_register(w, 6, 1);
        break;
    case 6:
        name(w, "BOUND");
        put_data(w, 0, 5, 4);
        put_data(w, 4, 6, 4);
        opcode(w, 0x62);
        at_bx(w, 0);
        break;
    /* No INT1: QEMU's processor takes it for its own debugger's. */
    /* QEMU's processor does not look whether there is a segment at all. */
    default:
        name(w, "an address that is not canonical");
        opcode(w, 0x8a);
        if (c->mode == LONG)
            c->regs.rbx = UINT64_C(0x800000000000) << dice_below(w->dice, 15);
        at_bx(w, 0);
        break;
    }
}

/* ---- events from outside ---- */

static void make_event(struct writer *w)
{
    struct system_case *c = w->c;
    /* Not 0: a fault behind it has to be a double fault, and QEMU does not see that. */
    static const uint8_t vectors[] = {5, 6, 7, 10, 11, 12, 13, 14, 17};

    opcode(w, 0x90);
    switch (dice_below(w->dice, 3)) {
    case 0:
        name(w, "an external interrupt");
        c->regs.rflags |= 0x200;
        c->events.interrupt.injected = 1;
        c->events.interrupt.vector = (uint8_t)(32 + dice_below(w->dice, 224));
        break;
    case 1:
        name(w, "an NMI");
        c->events.nmi.injected = 1;
        break;
    default:
        name(w, "an exception of the VMM's");
        c->events.exception.injected = 1;
        c->events.exception.vector = vectors[dice_below(w->dice, sizeof(vectors))];
        if (c->mode != REAL && c->events.exception.vector >= 10) {
            c->events.exception.has_error_code = 1;
            c->events.exception.error_code = dice_below(w->dice, 0x10000);
        }
        break;
    }
}

void system_make_code(struct system_case *c, struct dice *dice)
{
    struct writer w = {.c = c, .dice = dice};

    switch (c->family) {
    case PAGING: make_walk(&w); break;
    case SEGMENTS: make_segment(&w); break;
    case FAR: make_far(&w); break;
    case EXCEPTIONS: make_exception(&w); break;
    case EVENTS: make_event(&w); break;
    case TASKS: system_make_task(&w); break;
    case SYSCALLS: system_make_call(&w); break;
    default: system_make_control(&w); break;
    }
    for (unsigned i = 0; i < c->length; i++)
        c->ram[(c->regs.rip + i) % SYSTEM_RAM] = c->code[i];
}
