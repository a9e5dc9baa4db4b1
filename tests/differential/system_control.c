/* SPDX-License-Identifier: BSD-3-Clause */
/* System calls; and what only kernels do. */
#include "system_writer.h"

/* ---- system calls ---- */

void system_make_call(struct writer *w)
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

static bool is_pae(const struct system_case *c)
{
    return (c->sregs.cr0 >> 31 & 1) != 0 && (c->sregs.cr4 & 0x20) != 0 && c->mode < COMPATIBLE;
}

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
        c->regs.rax = c->sregs.cr4 ^ DICE_OF(w->dice, 0x80, 0x20, 0x100000, 0x800, 4, 0x10000,
                                             0x20000, 0x40000, 0x200000, 0x400000, 0x1000,
                                             UINT64_C(1) << (24 + dice_below(w->dice, 8)));
    else if (reg == 3)
        c->regs.rax = c->sregs.cr3 ^ DICE_OF(w->dice, 0, 8, 0x18);
    else if (reg == 8)
        c->regs.rax = dice_below(w->dice, 20);
    /* QEMU's processor sets bit 5 in PDPTEs of PAE paging, and KVM finds it reserved there when it
     * loads them anew (SDM vol. 3A, 4.4.1). */
    if (is_pae(c) && reg == 0)
        c->regs.rax = (c->regs.rax & ~UINT64_C(0x60000000)) | (c->sregs.cr0 & 0x60000000);
    else if (is_pae(c) && reg == 4)
        c->regs.rax = (c->regs.rax & ~UINT64_C(0x1000b0)) | (c->sregs.cr4 & 0x1000b0);
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

void system_make_control(struct writer *w)
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
