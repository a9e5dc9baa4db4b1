/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine at random. Most of it is good, so that something happens; the rest is anything. Limits
 * of code and data segments let every access through, because QEMU's processor checks no limits
 * then; where instructions check them themselves, they vary.
 */
#include <string.h>

#include "system.h"

const char *const system_family_names[FAMILIES] = {"page walks", "segment loads", "far transfers",
                                                   "exceptions", "interrupts",    "system calls",
                                                   "control",    "task switches"};
const char *const system_mode_names[MODES] = {
    "real", "virtual-8086", "16-bit protected", "32-bit protected", "compatibility", "64-bit"};

/* SYSENTER, SYSCALL, bases, and three that are looked at when a processor feature is used. */
const uint32_t system_msrs[SYSTEM_MSRS] = {0x174,      0x175,      0x176,      0xc0000081,
                                           0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
                                           0xc0000101, 0xc0000102, 0xc0000103, 0x277};

static bool is_long(const struct system_case *c)
{
    return c->mode >= COMPATIBLE;
}

static bool is_protected(const struct system_case *c)
{
    return c->mode != REAL;
}

/* ---- descriptors (SDM vol. 3A, 3.4.5, 3.5) ---- */

static uint64_t descriptor(uint64_t base, uint64_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (base >> 24 & 0xff) << 56;
}

static void set_descriptor(struct system_case *c, unsigned selector, uint64_t value)
{
    machine_put(c->ram + SYSTEM_GDT + (selector & ~7u), value, 8);
}

uint16_t system_selector(struct dice *dice)
{
    unsigned rpl = dice_below(dice, 4);

    switch (dice_below(dice, 16)) {
    case 0: return (uint16_t)rpl;
    case 1: return (uint16_t)dice_roll(dice);
    case 2:
    case 3: return (uint16_t)(dice_below(dice, 32) * 8 | 4 | rpl); /* of the LDT */
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: /* a good one */
        return (uint16_t)DICE_OF(dice, SYSTEM_CODE_0, SYSTEM_DATA_0, SYSTEM_CODE_3, SYSTEM_DATA_3,
                                 SYSTEM_DATA_1, SYSTEM_DATA_2, SYSTEM_CODE_1, SYSTEM_CODE_2,
                                 SYSTEM_CONFORMING, SYSTEM_TASK_32, SYSTEM_CODE_16);
    default: return (uint16_t)(dice_below(dice, SYSTEM_GDT_SIZE / 8) * 8 | rpl);
    }
}

static uint64_t wild_gate(struct dice *dice, unsigned type, unsigned access)
{
    uint64_t offset = SYSTEM_HANDLERS + 0x800 + dice_below(dice, 0x400) * 2;
    uint16_t selector = type == 5 ? (uint16_t)DICE_OF(dice, SYSTEM_TASK_32, SYSTEM_TASK_16,
                                                      SYSTEM_TSS_NOW, system_selector(dice))
                                  : system_selector(dice);

    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)dice_below(dice, 32) << 32 |
           (uint64_t)access << 40 | offset >> 16 << 48;
}

static uint64_t wild_descriptor(const struct system_case *c, struct dice *dice)
{
    unsigned type = dice_below(dice, 16), flags = dice_below(dice, 16);
    unsigned access = type | dice_below(dice, 4) << 5 | (unsigned)!dice_one_in(dice, 8) << 7;
    uint64_t limit = 0xfffff, base = 0;

    if (dice_one_in(dice, 3)) { /* system */
        switch (type) {
        case 1:
        case 3:
        case 9:
        case 11: /* only available ones can be switched to, by TASKS alone */
            if (c->family != TASKS && c->family != SEGMENTS && !is_long(c))
                access |= 2;
            base = SYSTEM_TSS + SYSTEM_TSS_STEP * dice_below(dice, 3);
            limit = DICE_OF(dice, 0x67, 0xff, 0x2b, 0x66, 0x2a, dice_below(dice, 0x200));
            return descriptor(base, limit, access, flags & 1);
        case 2: return descriptor(SYSTEM_LDT, dice_below(dice, 0x200), access, flags & 1);
        case 4:
        case 5: /* a task gate: for TASKS, too */
            if (type == 5 && c->family != TASKS)
                return wild_gate(dice, 4, access & ~1u);
            return wild_gate(dice, type, access);
        case 6:
        case 7:
        case 12:
        case 14:
        case 15: return wild_gate(dice, type, access);
        default: return descriptor(dice_roll(dice), dice_roll(dice), access, flags);
        }
    }
    if (type >= 4 && type < 8) /* expanding down, from the first byte */
        limit = 0;
    else
        flags |= 8;
    if (dice_one_in(dice, 6))
        base = dice_below(dice, 16) * 16;
    /* L of data is reserved (SDM vol. 3A, 3.4.5), and QEMU's processor has no stack pointer then.
     */
    if (type < 8)
        flags &= ~2u;
    /* L and D together are reserved (SDM vol. 3A, 5.2.1), and QEMU's processor takes them. */
    if (is_long(c) && type >= 8 && (flags & 2) != 0)
        flags &= ~4u;
    return descriptor(base, limit, access | 0x10, flags);
}

static void make_gdt(struct system_case *c, struct dice *dice)
{
    const unsigned code = c->mode == LONG || (is_long(c)) ? 0xa : c->mode == PROTECTED_32 ? 0xc : 8;
    const unsigned user = c->mode == COMPATIBLE ? 0xc : code,
                   big = c->mode == PROTECTED_16 ? 8 : 0xc;

    for (unsigned at = 0; at < SYSTEM_GDT_SIZE; at += 8)
        set_descriptor(c, at, wild_descriptor(c, dice));
    for (unsigned at = 0; at < 0x200; at += 8)
        machine_put(c->ram + SYSTEM_LDT + at, wild_descriptor(c, dice), 8);
    set_descriptor(c, 0, 0); /* which QEMU lets null selectors of tasks find */
    set_descriptor(c, SYSTEM_CODE_0, descriptor(0, 0xfffff, 0x9b, code));
    set_descriptor(c, SYSTEM_DATA_0, descriptor(0, 0xfffff, 0x93, big));
    set_descriptor(c, SYSTEM_CODE_3, descriptor(0, 0xfffff, 0xfb, user));
    set_descriptor(c, SYSTEM_DATA_3, descriptor(0, 0xfffff, 0xf3, big));
    set_descriptor(c, SYSTEM_TSS_NOW, descriptor(SYSTEM_TSS, 0x1ff, 0x8b, 0));
    set_descriptor(c, SYSTEM_TSS_NOW + 8, 0);
    set_descriptor(c, SYSTEM_LDT_NOW, descriptor(SYSTEM_LDT, 0xff, 0x82, 0));
    set_descriptor(c, SYSTEM_LDT_NOW + 8, 0);
    set_descriptor(c, SYSTEM_TASK_32, descriptor(SYSTEM_TSS + SYSTEM_TSS_STEP, 0xff, 0x89, 0));
    set_descriptor(c, SYSTEM_TASK_16, descriptor(SYSTEM_TSS + 2 * SYSTEM_TSS_STEP, 0xff, 0x81, 0));
    set_descriptor(c, SYSTEM_DATA_1, descriptor(0, 0xfffff, 0xb3, big));
    set_descriptor(c, SYSTEM_DATA_2, descriptor(0, 0xfffff, 0xd3, big));
    set_descriptor(c, SYSTEM_CODE_1, descriptor(0, 0xfffff, 0xbb, code));
    set_descriptor(c, SYSTEM_CODE_2, descriptor(0, 0xfffff, 0xdb, code));
    set_descriptor(c, SYSTEM_CONFORMING, descriptor(0, 0xfffff, 0x9f, code));
    set_descriptor(c, SYSTEM_CODE_16, descriptor(0, 0xfffff, 0x9b, 8));
    if (c->family == SEGMENTS && dice_one_in(dice, 4)) /* not accessed yet */
        set_descriptor(c, SYSTEM_DATA_3, descriptor(0, 0xfffff, 0xf2, big));
}

/* ---- IDT ---- */

static void make_idt(struct system_case *c, struct dice *dice)
{
    const unsigned size = is_long(c) ? 16 : 8;
    const bool any = (c->family == EXCEPTIONS || c->family == EVENTS) && c->mode != VM86;
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t offset = SYSTEM_HANDLERS + 2 * vector, gate;
        uint16_t selector = SYSTEM_CODE_0;
        unsigned type = c->mode == PROTECTED_16 ? 6 : 14, dpl = dice_below(dice, 4);
        bool present = true;
        /* Those of bad gates' own faults are good, so that there is an end. */
        const bool wild = any && vector != 8 && (vector < 10 || vector > 14);
        uint8_t *at = c->ram + SYSTEM_IDT + size * vector;

        if (c->mode == REAL) {
            machine_put(c->ram + 4 * vector, offset, 4);
            continue;
        }
        if (c->mode == VM86) /* where INT goes with CR4.VME, and nothing else */
            machine_put(c->ram + 4 * vector, offset, 4);
        if (wild && dice_one_in(dice, 3)) {
            type = (unsigned)DICE_OF(dice, 14, 15, 6, 7, 5, 12, dice_below(dice, 16));
            selector = (uint16_t)DICE_OF(dice, SYSTEM_CODE_0, SYSTEM_CODE_1, SYSTEM_CODE_2,
                                         SYSTEM_CONFORMING, system_selector(dice));
            if (type == 5) /* tasks are a family of their own */
                type = 4;
            present = !dice_one_in(dice, 8);
        } else if (dice_one_in(dice, 2)) {
            type |= 1;
        }
        if (type == 5)
            selector = dice_one_in(dice, 3) ? SYSTEM_TASK_16 : SYSTEM_TASK_32;
        gate = (offset & 0xffff) | (uint64_t)selector << 16 |
               (uint64_t)(type | dpl << 5 | (unsigned)present << 7) << 40 | offset >> 16 << 48;
        /* QEMU's processor pushes as CPL 0 does, whatever the handler's CPL. */
        if (is_long(c) && wild && selector < 0x78 && dice_one_in(dice, 4))
            gate |= (uint64_t)dice_below(dice, 8) << 32;
        machine_put(at, gate, 8);
        if (size == 16)
            machine_put(at + 8, 0, 8);
    }
}

/* ---- stacks, flags ---- */

uint32_t system_stack_top(unsigned cpl)
{
    return SYSTEM_STACK + (cpl == 3 ? 0x2000 : 0x400 * (cpl + 1)) - 0x100;
}

uint32_t system_flags(struct dice *dice)
{
    return (uint32_t)(2 | (dice_roll(dice) & 0x0cd5) | (dice_one_in(dice, 4) ? 0x200 : 0) |
                      dice_below(dice, 4) << 12 | (dice_one_in(dice, 12) ? 0x40000 : 0) |
                      (dice_one_in(dice, 8) ? 0x200000 : 0));
}

/* ---- paging (SDM vol. 3A, chapter 4) ---- */

static bool is_user_page(const struct system_case *c, unsigned page)
{
    if (c->mode == VM86)
        return page == 0 || page >= SYSTEM_CODE >> 12;
    return page == SYSTEM_CODE >> 12 || page == SYSTEM_DATA >> 12 ||
           page == (SYSTEM_STACK + 0x1000) >> 12;
}

/* level 1 is a page's. */
static uint64_t wild_entry(const struct system_case *c, struct dice *dice, unsigned level,
                           unsigned size)
{
    uint64_t entry = dice_roll(dice) & 0xf7f, page;
    bool large;
    entry |= dice_one_in(dice, 6) ? 0 : 1;
    if (dice_one_in(dice, 2))
        entry |= 6;
    if (level > 1 && dice_one_in(dice, 4))
        entry |= 0x80;
    else if (level == 1)
        entry |= dice_roll(dice) & 0x80;
    large = (entry & 0x80) != 0 && (size == 8 ? level < 4 : (c->sregs.cr4 & 0x10) != 0);
    if (level == 1)
        page = SYSTEM_FREE + (dice_below(dice, 3) << 12);
    else if (large)
        page = dice_one_in(dice, 6) ? (uint64_t)dice_below(dice, 16) << 21 : 0;
    else
        page = SYSTEM_WILD + 0x1000 * (level - 2);
    if (level > 1 && large && dice_one_in(dice, 8))
        page |= size == 4 ? DICE_OF(dice, 0x2000, 0x4000, 0x200000)
                          : UINT64_C(1) << (13 + dice_below(dice, 9)); /* reserved, or not */
    entry |= page;
    if (size == 8) {
        if (dice_one_in(dice, 4))
            entry |= UINT64_C(1) << 63;
        if (dice_one_in(dice, 12))
            entry |= UINT64_C(1) << (40 + dice_below(dice, 12)); /* beyond the address width */
        if (dice_one_in(dice, 4) && (c->mode >= COMPATIBLE))
            entry |= (uint64_t)dice_below(dice, 128) << 52;
    }
    return entry;
}

static void map_good(struct system_case *c, struct dice *dice, unsigned size)
{
    for (unsigned i = 0; i < SYSTEM_RAM >> 12; i++) {
        uint64_t entry = (uint64_t)i << 12 | 3 | (dice_roll(dice) & 0x60);

        if ((c->cpl == 3 || c->family == TASKS || dice_one_in(dice, 16)) && is_user_page(c, i))
            entry |= 4;
        machine_put(c->ram + SYSTEM_TABLES + 0x1000 + size * i, entry, size);
    }
}

static void make_paging(struct system_case *c, struct dice *dice, unsigned levels)
{
    uint8_t *top = c->ram + SYSTEM_TABLES, *wild = c->ram + SYSTEM_WILD;
    const unsigned size = levels == 2 ? 4 : 8;
    const uint64_t link = 7 | (dice_roll(dice) & 0x20);

    memset(top, 0, 0x4000);
    map_good(c, dice, size);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned level = 1; level <= 3; level++)
            machine_put(wild + 0x1000 * (level - 1) + size * i, wild_entry(c, dice, level, size),
                        size);
    }
    c->target = (uint64_t)dice_below(dice, 4) << 12;
    c->target |= DICE_OF(dice, 0, 8, 0xff8, 0xffc, 0xffd, 0xfff, dice_below(dice, 0xff0));
    if (levels == 2) {
        machine_put(top, (SYSTEM_TABLES + 0x1000) | link, 4);
        for (unsigned i = 1; i < 4; i++)
            machine_put(top + 4 * i, wild_entry(c, dice, 2, 4), 4);
        c->target |= (uint64_t)(1 + dice_below(dice, 3)) << 22;
    } else {
        machine_put(top + 0x2000, (SYSTEM_TABLES + 0x1000) | link, 8);
        c->target |= (uint64_t)dice_below(dice, 4) << 21;
        if (levels == 3) {
            /* Its four entries are good: QEMU does not look at them when CR3 is written. */
            machine_put(top, (SYSTEM_TABLES + 0x2000) | 1, 8);
            for (unsigned i = 1; i < 4; i++) {
                if (!dice_one_in(dice, 8))
                    machine_put(top + 8 * i, (SYSTEM_WILD + 0x1000) | 1, 8);
            }
            c->target |= (uint64_t)(1 + dice_below(dice, 3)) << 30;
            /* Not into the PDPTEs themselves, in which QEMU sets bit 5. */
            if ((c->target & 0x3fff) > 0x3ff8)
                c->target -= 8;
        } else {
            machine_put(top + 0x3000, (SYSTEM_TABLES + 0x2000) | link, 8);
            machine_put(top, (SYSTEM_TABLES + 0x3000) | link, 8);
            for (unsigned i = 1; i < 4; i++)
                machine_put(top + 8 * i, wild_entry(c, dice, 4, 8), 8);
            machine_put(top + 8 * 511, wild_entry(c, dice, 4, 8), 8);
            for (unsigned i = 1; i < 4; i++) /* where compatibility mode comes to, too */
                machine_put(top + 0x3000 + 8 * i, wild_entry(c, dice, 3, 8), 8);
            c->target |= (uint64_t)dice_below(dice, 4) << 30;
            c->target |= dice_one_in(dice, 4) ? UINT64_C(0xffffff8000000000)
                                              : (uint64_t)(1 + dice_below(dice, 3)) << 39;
        }
    }
}

/* ---- registers ---- */

static visor_x86_segment segment(const struct system_case *c, uint16_t selector)
{
    visor_x86_segment out;

    visor_x86_segment_from_descriptor(&out, machine_get(c->ram + SYSTEM_GDT + (selector & ~7u), 8),
                                      selector);
    return out;
}

static visor_x86_segment real_segment(uint16_t selector, unsigned dpl)
{
    return (visor_x86_segment){.base = (uint64_t)selector << 4,
                               .limit = 0xffff,
                               .selector = selector,
                               .type = 3,
                               .present = 1,
                               .dpl = (uint8_t)dpl,
                               .s = 1};
}

static void make_segments(struct system_case *c, struct dice *dice)
{
    visor_x86_sregs *s = &c->sregs;
    visor_x86_segment *const data[] = {&s->ds, &s->es, &s->fs, &s->gs};
    static const uint16_t codes[4] = {SYSTEM_CODE_0, SYSTEM_CODE_1, SYSTEM_CODE_2, SYSTEM_CODE_3};
    static const uint16_t datas[4] = {SYSTEM_DATA_0, SYSTEM_DATA_1, SYSTEM_DATA_2, SYSTEM_DATA_3};

    if (c->mode == REAL || c->mode == VM86) {
        s->cs = s->ss = real_segment(0, c->cpl);
        s->cs.type = c->mode == REAL ? 11 : 3;
        for (unsigned i = 0; i < 4; i++)
            *data[i] = real_segment(
                (uint16_t)(i == 0 || dice_one_in(dice, 2) ? 0 : dice_below(dice, 8)), c->cpl);
    } else {
        s->cs = segment(c, codes[c->cpl]);
        if (c->mode == COMPATIBLE) {
            s->cs.l = 0;
            s->cs.db = 1;
        }
        s->ss = segment(c, datas[c->cpl]);
        for (unsigned i = 0; i < 4; i++)
            *data[i] = segment(c, datas[c->cpl]);
        if (c->mode == LONG) {
            s->fs.base = dice_one_in(dice, 2) ? 0 : SYSTEM_DATA;
            s->gs.base = dice_one_in(dice, 2) ? 0 : SYSTEM_DATA + 0x800;
        }
    }
    s->tr = (visor_x86_segment){
        .base = SYSTEM_TSS, .limit = 0x1ff, .selector = SYSTEM_TSS_NOW, .type = 11, .present = 1};
    s->ldt = (visor_x86_segment){
        .base = SYSTEM_LDT, .limit = 0xff, .selector = SYSTEM_LDT_NOW, .type = 2, .present = 1};
    s->gdt = (visor_x86_table){.base = SYSTEM_GDT, .limit = SYSTEM_GDT_SIZE - 1};
    s->idt = (visor_x86_table){.base = c->mode == REAL ? 0 : SYSTEM_IDT,
                               .limit = c->mode == REAL ? 0x3ff
                                        : is_long(c)    ? 0xfff
                                                        : 0x7ff};
    if (dice_one_in(dice, 24))
        s->gdt.limit = (uint16_t)(0x7f + dice_below(dice, 0x180));
    if (dice_one_in(dice, 24))
        s->idt.limit = (uint16_t)(c->mode == REAL ? 0x3f + dice_below(dice, 0x3c0)
                                                  : 0x1ff + dice_below(dice, 0x600));
}

static void make_control(struct system_case *c, struct dice *dice)
{
    visor_x86_sregs *s = &c->sregs;
    unsigned levels = 0;

    s->cr0 = 0x30 | (is_protected(c) ? 1 : 0) | (dice_one_in(dice, 2) ? 0x10000 : 0) |
             (dice_one_in(dice, 8) ? 8 : 0);
    /* No AM: QEMU's processor checks no alignment. */
    s->cr4 = 0x600;
    if (dice_one_in(dice, 4))
        s->cr4 |= dice_roll(dice) & 0x0000008f; /* PGE DE TSD PVI VME */
    if (is_long(c))
        levels = 4;
    else if (is_protected(c) && (c->family == PAGING || dice_one_in(dice, 2)))
        levels = 2 + dice_below(dice, 2);
    if (levels >= 3)
        s->cr4 |= 0x20;
    s->cr4 |= dice_roll(dice) & (c->family == PAGING ? 0x10 : 0);
    s->efer = is_long(c) ? 0x501 : 0;
    if (levels != 0)
        s->cr0 |= 0x80000000;
    if (levels >= 3 && !dice_one_in(dice, 3))
        s->efer |= 0x800;
    /* SMEP, and SMAP where there are no far calls, which QEMU lets push as CPL 0 does. */
    if (levels != 0 && (c->family == PAGING || dice_one_in(dice, 8)))
        s->cr4 |= dice_roll(dice) & (c->family == PAGING ? 0x300000 : 0x100000);
    if (dice_one_in(dice, 4))
        s->cr4 |= 0x800; /* UMIP */
    if (is_long(c) && dice_one_in(dice, 2))
        s->cr4 |= 0x10000; /* FSGSBASE */
    s->cr3 = levels != 0 ? SYSTEM_TABLES : 0;
    s->cr2 = 0x1234;
    c->target = SYSTEM_DATA + 0x100 + dice_below(dice, 0xe00);
    if (levels != 0)
        make_paging(c, dice, levels);
}

static void make_registers(struct system_case *c, struct dice *dice)
{
    visor_x86_regs *r = &c->regs;
    uint64_t *const all[] = {&r->rax, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp, &r->r8,
                             &r->r9,  &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i] = c->mode == LONG ? dice_roll(dice) : i >= 6 ? 0 : dice_roll(dice) & 0xffffffff;
    r->rbx = SYSTEM_DATA + 0x100 + dice_below(dice, 0xc00);
    r->rsp = system_stack_top(c->cpl);
    r->rip = SYSTEM_CODE + (dice_one_in(dice, 8) ? 0xff0 + dice_below(dice, 15)
                                                 : 0x100 + dice_below(dice, 0x800));
    /* Without TF: QEMU's processor keeps its traps off behind LSS and STI, too. */
    r->rflags = system_flags(dice) | (c->mode == VM86 ? 0x20000 : 0);
}

static void make_msrs(struct system_case *c, struct dice *dice)
{
    for (unsigned i = 0; i < SYSTEM_MSRS; i++)
        c->msrs[i] = (visor_x86_msr){.index = system_msrs[i], .value = dice_below(dice, 256)};
    c->msrs[0].value = DICE_OF(dice, 0, 8, SYSTEM_CODE_0, SYSTEM_CODE_0, 0x60);
    c->msrs[1].value = system_stack_top(0);
    c->msrs[2].value = SYSTEM_HANDLERS + 0xe00;
    c->msrs[3].value = (uint64_t)DICE_OF(dice, 0x10, 0x13, SYSTEM_DATA_0, system_selector(dice))
                           << 48 |
                       (uint64_t)DICE_OF(dice, SYSTEM_CODE_0, 0xb, system_selector(dice)) << 32;
    c->msrs[4].value = SYSTEM_HANDLERS + 0xe10;
    c->msrs[5].value = SYSTEM_HANDLERS + 0xe20;
    c->msrs[6].value = dice_roll(dice) & 0x47fd5;
    c->msrs[7].value = c->sregs.fs.base;
    c->msrs[8].value = c->sregs.gs.base;
    c->msrs[11].value = UINT64_C(0x0007040600070406);
}

void system_make(struct system_case *c, uint64_t seed, int family)
{
    struct dice dice = {.state = seed};

    memset(c, 0, offsetof(struct system_case, ram));
    memset(c->ram, 0xf4, sizeof(c->ram));
    c->seed = seed;
    c->family =
        family >= 0 ? (enum system_family)family : (enum system_family)dice_below(&dice, FAMILIES);
    c->mode = (enum system_mode)dice_below(&dice, MODES);
    if (c->family == PAGING)
        c->mode = (enum system_mode)DICE_OF(&dice, PROTECTED_32, COMPATIBLE, LONG, LONG);
    else if (c->family == TASKS)
        c->mode = (enum system_mode)DICE_OF(&dice, PROTECTED_32, PROTECTED_32, PROTECTED_16, VM86);
    c->wide = c->mode >= PROTECTED_32;
    c->cpl = c->mode == REAL                            ? 0
             : c->mode == VM86 || dice_one_in(&dice, 2) ? 3
             : dice_one_in(&dice, 8)                    ? 1 + dice_below(&dice, 2)
                                                        : 0;
    if (c->mode == COMPATIBLE && c->cpl != 3)
        c->cpl = 0;
    c->debugregs = (visor_x86_debugregs){.dr6 = 0xffff0ff0, .dr7 = 0x400};
    if (c->family == TASKS && dice_one_in(&dice, 4)) { /* breakpoints that nothing hits */
        c->debugregs.dr7 |= dice_roll(&dice) & 0xff;
        for (unsigned i = 0; i < 4; i++)
            c->debugregs.db[i] = 0xfff00000;
    }
    for (unsigned i = 0; i < 0x1000; i += 8)
        machine_put(c->ram + SYSTEM_DATA + i, dice_roll(&dice), 8);
    memset(c->ram + SYSTEM_DATA, 0xf4, 16); /* code goes on here from the page before */
    make_control(c, &dice);
    make_gdt(c, &dice);
    make_idt(c, &dice);
    system_make_tasks(c, &dice);
    make_segments(c, &dice);
    make_registers(c, &dice);
    make_msrs(c, &dice);
    system_make_code(c, &dice);
}
