/* SPDX-License-Identifier: BSD-3-Clause */
/* One instruction, by families. Behind it, as everywhere, there is HLT. */
#include <stdio.h>
#include <string.h>

#include "system.h"

struct writer {
    struct system_case *c;
    struct dice *dice;
};

static void byte(struct writer *w, unsigned value)
{
    w->c->code[w->c->length++] = (uint8_t)value;
}

static void number(struct writer *w, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        byte(w, (unsigned)(value >> 8 * i) & 255);
}

static void opcode(struct writer *w, unsigned value)
{
    if (value > 0xff)
        byte(w, value >> 8);
    byte(w, value & 0xff);
}

/* ModRM of [BX], [EBX] or [RBX], of which only what is in the data is addressed with 16 bits. */
static void at_bx(struct writer *w, unsigned reg)
{
    byte(w, reg << 3 | (w->c->wide ? 3 : 7));
}

static void with_register(struct writer *w, unsigned reg, unsigned rm)
{
    byte(w, 0xc0 | reg << 3 | rm);
}

static bool is_16(const struct system_case *c)
{
    return c->mode <= PROTECTED_16;
}

/* Bytes of an operand after this choice of prefixes. */
static unsigned operand(struct writer *w, bool wide)
{
    if (wide && w->c->mode == LONG && dice_one_in(w->dice, 3)) {
        byte(w, 0x48);
        return 8;
    }
    if (dice_one_in(w->dice, 4)) {
        byte(w, 0x66);
        return is_16(w->c) ? 4 : 2;
    }
    return is_16(w->c) ? 2 : 4;
}

static void put_data(struct writer *w, unsigned offset, uint64_t value, unsigned size)
{
    machine_put(w->c->ram + w->c->regs.rbx + offset, value, size);
}

static uint64_t somewhere(struct dice *dice)
{
    return SYSTEM_HANDLERS + 0xc00 + dice_below(dice, 0x100) * 2;
}

/* Operands on the stack, from its top on. */
static void push(struct writer *w, const uint64_t *values, unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count; i++)
        machine_put(w->c->ram + w->c->regs.rsp + i * size, values[i], size);
}

static void name(struct writer *w, const char *what)
{
    snprintf(w->c->what, sizeof(w->c->what), "%s", what);
}

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
        /* QEMU's processor jumps with all 64 bits in compatibility mode, too. */
        if (c->mode == COMPATIBLE)
            c->regs.rbx &= 0xffffffff;
        opcode(w, 0xff);
        with_register(w, 4, 3);
        break;
    case 7:
        name(w, "a push");
        c->regs.rsp = c->target & ~UINT64_C(7);
        opcode(w, 0x50);
        break;
    case 8:
        name(w, "a descriptor");
        c->sregs.gdt.base = c->target & ~UINT64_C(7);
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

static void make_segment(struct writer *w)
{
    struct system_case *c = w->c;
    uint16_t selector = system_selector(w->dice);
    unsigned size;

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

/* ---- task switches ---- */

static void make_task(struct writer *w)
{
    struct system_case *c = w->c;
    uint16_t selector = (uint16_t)DICE_OF(w->dice, SYSTEM_TASK_32, SYSTEM_TASK_32, SYSTEM_TASK_16,
                                          SYSTEM_TSS_NOW, system_selector(w->dice));
    unsigned size;

    if (c->cpl == 3 && dice_one_in(w->dice, 2)) { /* one that CPL 3 may use */
        machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_32 + 5, 0xe9, 1);
        machine_put(c->ram + SYSTEM_GDT + SYSTEM_TASK_16 + 5, 0xe1, 1);
        selector |= 3;
    }
    switch (dice_below(w->dice, 4)) {
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
        machine_put(c->ram + SYSTEM_GDT + SYSTEM_WILD_FIRST,
                    (uint64_t)selector << 16 | UINT64_C(0xe500) << 32, 8);
        opcode(w, (unsigned)DICE_OF(w->dice, 0xea, 0x9a));
        number(w, 0, is_16(c) ? 2 : 4);
        number(w, SYSTEM_WILD_FIRST | c->cpl, 2);
        break;
    default:
        name(w, "INT through a task gate");
        machine_put(c->ram + SYSTEM_IDT + 8 * 0x40,
                    (uint64_t)selector << 16 | UINT64_C(0xe500) << 32, 8);
        if (c->mode == VM86)
            c->regs.rflags |= 0x3000;
        opcode(w, 0xcd);
        byte(w, 0x40);
        break;
    }
}

/* ---- system calls ---- */

static void make_system_call(struct writer *w)
{
    struct system_case *c = w->c;
    c->sregs.efer |= is_16(c) || c->mode == PROTECTED_32 ? 0 : 1;
    if (dice_one_in(w->dice, 8))
        c->sregs.efer &= ~UINT64_C(1);
    /* In long mode SYSENTER exists on Intel's processors only, as SYSCALL does outside of it on
     * AMD's. */
    c->regs.rcx = somewhere(w->dice);
    c->regs.rdx = somewhere(w->dice);
    c->regs.r11 = 2 | (dice_roll(w->dice) & 0x243ed5);
    if (c->mode < COMPATIBLE && dice_one_in(w->dice, 2)) {
        name(w, "SYSENTER, SYSEXIT");
        c->regs.rcx = SYSTEM_STACK + 0x1e00;
        opcode(w, (unsigned)DICE_OF(w->dice, 0x0f34, 0x0f35));
        return;
    }
    switch (c->mode == LONG ? dice_below(w->dice, 3) : 2) {
    case 0:
        name(w, "SYSCALL");
        opcode(w, 0x0f05);
        break;
    case 1:
        name(w, "SYSRET");
        if (!dice_one_in(w->dice, 3))
            byte(w, 0x48);
        opcode(w, 0x0f07);
        break;
    default:
        name(w, "SWAPGS");
        opcode(w, 0x0f01);
        byte(w, 0xf8);
        break;
    }
}

/* ---- control registers, MSRs, flags, ports, tables ---- */

static void make_control_register(struct writer *w)
{
    struct system_case *c = w->c;
    unsigned reg = (unsigned)DICE_OF(w->dice, 0, 0, 2, 3, 4, 4, 8);
    uint64_t bits;

    name(w, "MOV of a control register");
    if (reg == 0)
        c->regs.rax =
            c->sregs.cr0 ^ DICE_OF(w->dice, 1, 8, 0x10000, 0x40000, 0x80000000, 0x20000000,
                                   0x40000000, UINT64_C(1) << dice_below(w->dice, 64));
    else if (reg == 4)
        c->regs.rax = c->sregs.cr4 ^ DICE_OF(w->dice, 0x80, 0x20, 0x100000, 0x800, 4,
                                             UINT64_C(1) << (24 + dice_below(w->dice, 8)));
    else if (reg == 3)
        c->regs.rax = c->sregs.cr3 ^ DICE_OF(w->dice, 0, 8, 0x18);
    else if (reg == 8)
        c->regs.rax = dice_below(w->dice, 20);
    bits = c->regs.rax;
    if (c->mode != LONG)
        c->regs.rax = (uint32_t)bits;
    if (reg == 8 && c->mode == LONG)
        byte(w, 0x44);
    opcode(w, dice_one_in(w->dice, 3) ? 0x0f20 : 0x0f22);
    with_register(w, reg & 7, 0);
}

static void make_flags(struct writer *w)
{
    unsigned size;

    switch (dice_below(w->dice, 4)) {
    case 0:
        name(w, "CLI, STI");
        opcode(w, (unsigned)DICE_OF(w->dice, 0xfa, 0xfb));
        break;
    case 1:
        name(w, "PUSHF");
        (void)operand(w, false);
        opcode(w, 0x9c);
        break;
    default:
        name(w, "POPF");
        size = operand(w, false);
        if (w->c->mode == LONG && size == 4)
            size = 8;
        push(w, (const uint64_t[]){2 | (dice_roll(w->dice) & 0x3f7ed5 & ~UINT64_C(0x20100))}, 1,
             size);
        opcode(w, 0x9d);
        break;
    }
}

static void make_port(struct writer *w)
{
    name(w, "a port");
    if (dice_one_in(w->dice, 2))
        w->c->regs.rdx = (w->c->regs.rdx & ~UINT64_C(0xffff)) | dice_below(w->dice, 0x480);
    opcode(w, (unsigned)DICE_OF(w->dice, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef));
    if (w->c->code[w->c->length - 1] < 0xe8)
        byte(w, dice_below(w->dice, 256));
}

static void make_table(struct writer *w)
{
    name(w, "a descriptor table register, SMSW, LMSW, INVLPG");
    put_data(w, 0, dice_below(w->dice, 0x10000), 2);
    put_data(w, 2, SYSTEM_GDT, 8);
    opcode(w, 0x0f01);
    at_bx(w, (unsigned)DICE_OF(w->dice, 0, 1, 2, 3, 4, 6, 7));
}

static void make_msr(struct writer *w)
{
    struct system_case *c = w->c;

    name(w, "RDMSR, WRMSR");
    c->regs.rcx = system_msrs[dice_below(w->dice, SYSTEM_MSRS)];
    if (dice_one_in(w->dice, 4))
        c->regs.rcx = DICE_OF(w->dice, 0xc0000080, 0xc0000080, 0x140, 0xffffffff, 0x1234);
    c->regs.rdx = dice_one_in(w->dice, 2) ? 0 : dice_roll(w->dice) & 0xffffffff;
    if (dice_one_in(w->dice, 2))
        c->regs.rdx = DICE_OF(w->dice, 0xffff8000, 0x7fff);
    /* QEMU's processor does not look whether an address is canonical. */
    if (c->regs.rdx >> 15 != 0x1ffff)
        c->regs.rdx &= 0x7fff;
    /* KVM makes addresses of SYSENTER canonical, where Intel's processors have #GP. */
    if (c->regs.rcx == 0x175 || c->regs.rcx == 0x176)
        c->regs.rdx = 0;
    /* Bits that are not used are kept by some and not by others. */
    if (c->regs.rcx == 0xc0000084 || c->regs.rcx == 0x174)
        c->regs.rdx = 0;
    if (c->regs.rcx == 0x174)
        c->regs.rax &= 0xffff;
    if (c->regs.rcx == 0xc0000080) {
        c->regs.rdx = 0;
        /* LME is left alone: the lab does not survive it without paging. */
        c->regs.rax = c->sregs.efer ^ DICE_OF(w->dice, 1, 0x800, 0x400, 2, 0x10);
    }
    opcode(w, (unsigned)DICE_OF(w->dice, 0x0f32, 0x0f30));
}

static void make_control(struct writer *w)
{
    switch (dice_below(w->dice, 9)) {
    case 0:
    case 1: make_control_register(w); break;
    case 2: make_flags(w); break;
    case 3: make_port(w); break;
    case 4: make_table(w); break;
    case 5: make_msr(w); break;
    case 6:
        name(w, "MOV of a debug register");
        if (w->c->mode == LONG && !dice_one_in(w->dice, 4))
            w->c->regs.rax &= 0xffffffff;
        /* Written is what changes nothing, and GD is off: QEMU's processor keeps reserved bits, and
         * has no GD. */
        w->c->regs.rax = 0x400;
        opcode(w, dice_one_in(w->dice, 2) ? 0x0f21 : 0x0f23);
        /* Not DR4 and DR5: whether #UD or #GP comes first differs. */
        with_register(w, (unsigned)DICE_OF(w->dice, 0, 1, 2, 3, 6, 7), 0);
        break;
    case 7:
        name(w, "CLTS, INVD, WBINVD, HLT");
        opcode(w, (unsigned)DICE_OF(w->dice, 0x0f06, 0x0f08, 0x0f09, 0xf4));
        break;
    default:
        name(w, "FS and GS bases");
        /* QEMU's processor takes bases that are not canonical. */
        w->c->regs.rax &= UINT64_C(0x7fffffffffff);
        byte(w, 0xf3);
        if (w->c->mode == LONG && dice_one_in(w->dice, 2))
            byte(w, 0x48);
        opcode(w, 0x0fae);
        with_register(w, dice_below(w->dice, 4), 0);
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
    case TASKS: make_task(&w); break;
    case SYSCALLS: make_system_call(&w); break;
    default: make_control(&w); break;
    }
    for (unsigned i = 0; i < c->length; i++)
        c->ram[(c->regs.rip + i) % SYSTEM_RAM] = c->code[i];
}
