/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the lab's processor (QEMU 7.2) and KVM (Linux 6.1) do not do as processors do, where it
 * shows in memory or in all of what a case comes to. What can be kept from happening is, where
 * cases are made. Numbers of chapters are of the SDM, vol. 3A, unless another is named.
 */
#include "system.h"

static bool is_long(const struct system_case *c)
{
    return (c->sregs.efer & 0x400) != 0;
}

static bool is_paging(const struct system_case *c)
{
    return (c->sregs.cr0 >> 31 & 1) != 0;
}

unsigned system_vector(const struct system_end *end)
{
    return end->regs.rip % 2 == 1 ? (unsigned)(end->regs.rip - SYSTEM_HANDLERS) / 2 : 256;
}

/* Page walks may push anywhere. */
static bool is_stack(const struct system_case *c, unsigned at)
{
    return at >= SYSTEM_STACK || c->family == PAGING;
}

/* Where an error code may be: on a stack, where the last one is or above it; with 16 bits IP is in
 * the same four bytes. */
static bool is_error_code(const struct system_case *c, const struct system_end *soft, unsigned at,
                          uint64_t kvm)
{
    const unsigned top = (unsigned)soft->regs.rsp & 0xfff;

    return is_stack(c, at) && (kvm < 0x10000 ? (at & 0xfff) >= (top & ~3u) : (at & 0xfff) == top);
}

/* RF in the flags that a fault pushes (vol. 3B, 17.3.1.1), and that a task is left with. */
static bool is_flags(const struct system_case *c, unsigned at, uint64_t kvm, uint64_t soft)
{
    return soft == (kvm | 0x10000) && (kvm & 0xffc0802a) == 2 &&
           (is_stack(c, at) || (at >= SYSTEM_TSS && at < SYSTEM_IDT));
}

/* P in the error code of a page fault for reserved bits (4.7), and EXT in that of a fault while an
 * exception is delivered (6.13). */
static bool is_lacking_bit_0(const struct system_case *c, const struct system_end *soft,
                             unsigned at, uint64_t kvm, uint64_t value)
{
    /* INT n, INT3 and INTO are the program's own; but INTO in 64-bit mode is #UD. */
    if (c->family == EXCEPTIONS && c->code[0] >= 0xcc && c->code[0] <= 0xcd + (c->mode != LONG))
        return false;
    if (value == kvm + 0x10000 && (soft->regs.rsp & 3) == 2 && (kvm & 0x10000) == 0)
        return at >= SYSTEM_STACK && (at & 0xfff) + 2 == (soft->regs.rsp & 0xfff);
    return value == (kvm | 1) && is_error_code(c, soft, at, kvm) &&
           (system_vector(soft) != 14 || (kvm & 8) != 0);
}

/* The vector in error codes of long mode's IDT: 16 times it, not 8 (6.13). */
static bool is_vector(const struct system_case *c, const struct system_end *soft, unsigned at,
                      uint64_t kvm, uint64_t value)
{
    return is_long(c) && is_error_code(c, soft, at, kvm) && (kvm & 6) == 2 && (value & 6) == 2 &&
           kvm < 0x1010 && kvm >> 4 == value >> 3;
}

/* Bit 5 of an entry for 1 GiB, before it is seen that other bits there are reserved (4.8); and of
 * PDPTEs of PAE paging, which have no such bit (table 4-8). */
static bool is_accessed_entry(const struct system_case *c, unsigned at, uint64_t kvm, uint64_t soft)
{
    if (kvm != (soft | 0x20))
        return false;
    if ((c->sregs.cr4 & 0x20) != 0 && !is_long(c))
        return at >= SYSTEM_TABLES && at < SYSTEM_TABLES + 32;
    return is_long(c) && (soft & 0x80) != 0 &&
           ((at >= SYSTEM_WILD + 0x2000 && at < SYSTEM_WILD + 0x3000) ||
            (at >= SYSTEM_TABLES + 0x3000 && at < SYSTEM_TABLES + 0x3020));
}

/* The bit "accessed" of what a task switch loads (3.4.5.1). */
static bool is_accessed_by_task(const struct system_case *c, unsigned at, uint64_t kvm,
                                uint64_t soft)
{
    return c->family == TASKS && at >= SYSTEM_GDT && at < SYSTEM_TSS && (at & 4) != 0 &&
           soft == (kvm | 0x100) && (kvm & 0x1000) != 0;
}

/* EIP as a fault of the new task pushes it: with the old one's place in its page; and if INT n had
 * switched to the task, as much behind it as INT n is long. */
static bool is_ip_of_task(const struct system_case *c, const struct system_end *soft, unsigned at,
                          uint64_t kvm, uint64_t value)
{
    const unsigned vector = system_vector(soft);
    const uint64_t ip = c->regs.rip & 0xfff;

    return c->family == TASKS && at >= SYSTEM_STACK && vector >= 8 && vector <= 14 &&
           (kvm == ((value & ~UINT64_C(0xfff)) | ip) ||
            kvm == ((value & ~UINT64_C(0xfff0000)) | ip << 16));
}

/* Bits 31 to 16 of EFLAGS, which a TSS of 16 bits has not, in what a fault pushes. */
static bool is_kept_flags(const struct system_case *c, const struct system_end *soft, unsigned at,
                          uint64_t kvm, uint64_t value)
{
    const bool is_task_16 = soft->sregs.tr.present && (soft->sregs.tr.type & 8) == 0;

    return c->family == TASKS && is_task_16 && at >= SYSTEM_STACK &&
           (kvm & ~UINT64_C(0x10000)) ==
               ((value & 0xffff) | (c->regs.rflags & UINT64_C(0xfffe0000)));
}

static bool is_descriptor(unsigned at, unsigned selector)
{
    return at == ((selector & 4) != 0 ? SYSTEM_LDT : SYSTEM_GDT) + (selector & 0xfff8) + 4;
}

/* Whether a descriptor is that of a stack in the TSS, or of a far return. */
static bool is_new_stack(const struct system_case *c, unsigned at)
{
    for (unsigned cpl = 0; cpl < 3; cpl++) {
        if (is_descriptor(at, (unsigned)machine_get(c->ram + SYSTEM_TSS + 8 + 8 * cpl, 2)) &&
            !is_long(c))
            return true;
    }
    return c->family == FAR && is_descriptor(at, c->stack);
}

/* The bit "accessed" of code segments, when far transfers and interrupts load CS, and of the stack
 * that they change to (3.4.5.1); and so the bits "accessed" and "dirty" of that page. */
static bool is_accessed_segment(const struct system_case *c, unsigned at, uint64_t kvm,
                                uint64_t soft)
{
    const unsigned size = (c->sregs.cr4 & 0x20) != 0 ? 8 : 4;

    if (at == SYSTEM_TABLES + 0x1000 + size * (SYSTEM_GDT >> 12) && is_paging(c))
        return soft == (kvm | 0x40);
    if (c->sregs.gdt.base != SYSTEM_GDT && soft == (kvm | 0x40)) /* a GDT behind these */
        return (at >= SYSTEM_WILD && at < SYSTEM_WILD + 0x3000) ||
               (at >= SYSTEM_TABLES && at < SYSTEM_TABLES + 0x20) ||
               (at >= SYSTEM_TABLES + 0x3000 && at < SYSTEM_TABLES + 0x3020);
    return at >= SYSTEM_GDT && at < SYSTEM_TSS && (at & 4) != 0 && soft == (kvm | 0x100) &&
           ((kvm & 0x1800) == 0x1800 || ((kvm & 0x1a00) == 0x1200 && is_new_stack(c, at)));
}

/* A privileged instruction is #GP before the last byte of it is read, which is on another page
 * (6.9, table 6-2: faults of the fetch come first). */
static bool is_unread_page(const struct system_case *c, const struct system_end *end, unsigned at,
                           uint64_t kvm, uint64_t soft)
{
    const unsigned size = (c->sregs.cr4 & 0x20) != 0 ? 8 : 4;

    return c->family == CONTROL && c->cpl != 0 && system_vector(end) == 13 && is_paging(c) &&
           c->regs.rip + c->length > SYSTEM_DATA && soft == (kvm | 0x20) &&
           at == SYSTEM_TABLES + 0x1000 + size * (SYSTEM_DATA >> 12);
}

/* SS as it is pushed behind a stack of the IST; see is_ist_stack(). */
static bool is_pushed_ist_stack(const struct system_case *c, unsigned at, uint64_t kvm,
                                uint64_t soft)
{
    return is_long(c) && at >= SYSTEM_STACK && (at & 7) == 0 && soft == c->sregs.ss.selector &&
           kvm == (soft & 3);
}

static uint64_t descriptor_of(const struct system_case *c, unsigned selector)
{
    return machine_get(
        c->ram + ((selector & 4) != 0 ? SYSTEM_LDT : SYSTEM_GDT) + (selector & 0x1f8), 8);
}

/* CS as it is pushed behind a call through a gate to conforming code: with its DPL as RPL, where
 * CPL belongs (vol. 2A, CALL). */
static bool is_pushed_conforming(const struct system_case *c, unsigned at, uint64_t kvm,
                                 uint64_t soft)
{
    const uint64_t code = descriptor_of(c, (unsigned)soft & 0xffff);

    return c->family == FAR && at >= SYSTEM_STACK && (kvm | 3) == (soft | 3) &&
           (code >> 40 & 0x1c) == 0x1c && (kvm & 3) == (code >> 45 & 3) && (soft & 3) == c->cpl;
}

bool system_memory_quirk(const struct system_case *c, const struct system_end *soft, unsigned at,
                         uint64_t kvm, uint64_t value)
{
    return is_flags(c, at, kvm, value) || is_lacking_bit_0(c, soft, at, kvm, value) ||
           is_vector(c, soft, at, kvm, value) || is_accessed_entry(c, at, kvm, value) ||
           is_accessed_segment(c, at, kvm, value) || is_unread_page(c, soft, at, kvm, value) ||
           is_pushed_conforming(c, at, kvm, value) || is_pushed_ist_stack(c, at, kvm, value) ||
           is_accessed_by_task(c, at, kvm, value) || is_ip_of_task(c, soft, at, kvm, value) ||
           is_kept_flags(c, soft, at, kvm, value);
}

/* Bits that tables of good pages differ in, other than "accessed" and "dirty". */
static bool has_own_tables_changed(const struct system_case *c, const uint8_t *ram)
{
    for (unsigned at = SYSTEM_TABLES; at < SYSTEM_WILD; at += 4) {
        if (((machine_get(c->ram + at, 4) ^ machine_get(ram + at, 4)) & ~UINT64_C(0x60)) != 0)
            return true;
    }
    return false;
}

static bool is_far_jump(const struct system_case *c)
{
    const unsigned at = c->code[0] == 0x66 || c->code[0] == 0x48;

    return c->code[at] == 0xea || (c->code[at] == 0xff && (c->code[at + 1] & 0x38) == 0x28);
}

/* Whether what the error code on the stack names is a code segment that is neither present nor
 * 64-bit. */
static bool is_absent_32_bit_code(const struct system_case *c, const struct system_end *soft,
                                  const uint8_t *ram)
{
    const uint64_t at = soft->regs.rsp;
    const unsigned selector = at < SYSTEM_RAM - 8 ? (unsigned)machine_get(ram + at, 2) : 0;
    const uint64_t code = descriptor_of(c, selector);

    return (code >> 47 & 1) == 0 && (code >> 53 & 3) != 1;
}

/* A write to CR0 that differs in its upper half alone. */
static bool is_wide_cr0(const struct system_case *c)
{
    return c->mode == LONG && c->code[0] == 0x0f && c->code[1] == 0x22 && c->code[2] == 0xc0 &&
           c->regs.rax >> 32 != 0 && (uint32_t)c->regs.rax == c->sregs.cr0;
}

const char *system_excuse(const struct system_case *c, const struct system_end *kvm,
                          const struct system_end *soft, const uint8_t *soft_ram)
{
    if (is_paging(c) && has_own_tables_changed(c, soft_ram))
        return "whether tables are read again, that nothing is invalidated of, is open (4.10.2.3)";
    if (c->family == FAR && is_far_jump(c) && system_vector(kvm) == 13 && system_vector(soft) == 11)
        return "QEMU has #GP, not #NP, for a jump through a gate to code that is not present "
               "(vol. 2A, JMP)";
    if (c->family == TASKS && soft->reason == VISOR_EXIT_SHUTDOWN && system_vector(kvm) >= 8 &&
        system_vector(kvm) <= 12 && !soft->sregs.ss.present)
        return "QEMU uses the stack of a new task that could not be loaded";
    if (c->family == TASKS && system_vector(kvm) == 11 && system_vector(soft) == 12)
        return "QEMU has #NP, not #SS, for the stack of a new task (7.3, table 7-1)";
    if (c->family == TASKS && system_vector(kvm) == 10 && system_vector(soft) == 13 &&
        (machine_get(soft_ram + soft->regs.rsp % SYSTEM_RAM, 2) & 4) != 0)
        return "QEMU has #TS, not #GP, for a TSS in the LDT (7.2.2)";
    if (c->mode == VM86 && soft->sregs.tr.present && (soft->sregs.tr.type & 8) == 0)
        return "QEMU stays in virtual-8086 mode in a task of 16 bits";
    if (c->family == CONTROL && is_wide_cr0(c) && system_vector(soft) == 13)
        return "QEMU does not look at bits 63 to 32 of CR0 (vol. 2B, MOV), nor always asks KVM";
    if (is_long(c) && system_vector(kvm) == 11 && system_vector(soft) == 13 &&
        is_absent_32_bit_code(c, soft, soft_ram))
        return "whether a gate's code is first missed or first not 64-bit code is open (vol. 2A, "
               "INT n, CALL)";
    return NULL;
}
