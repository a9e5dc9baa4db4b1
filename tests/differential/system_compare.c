/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "system.h"

struct comparison {
    const struct system_case *c;
    bool say, same, is_real, is_page_fault;
};

static void differs(struct comparison *comparison, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void differs(struct comparison *comparison, const char *format, ...)
{
    va_list args;

    comparison->same = false;
    if (!comparison->say)
        return;
    va_start(args, format);
    printf("#   ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static void value(struct comparison *comparison, const char *name, uint64_t kvm, uint64_t soft)
{
    if (kvm != soft)
        differs(comparison, "%-8s kvm %" PRIx64 " soft %" PRIx64, name, kvm, soft);
}

static bool is_lar(const struct system_case *c)
{
    for (unsigned i = 0; i + 1 < c->length; i++) {
        if (c->code[i] == 0x0f && c->code[i + 1] == 0x02)
            return true;
    }
    return false;
}

static void registers(struct comparison *comparison, const struct system_end *kvm_end,
                      const struct system_end *soft_end)
{
    const visor_x86_regs *kvm = &kvm_end->regs, *soft = &soft_end->regs;
    /* The upper halves, after a switch to a task of 16 bits, and bits 19 to 16 of LAR's result are
     * undefined (SDM vol. 3A, 7.6; vol. 2A, LAR). */
    const bool is_task_16 = soft_end->sregs.tr.present && (soft_end->sregs.tr.type & 8) == 0;
    const uint64_t defined = is_task_16 ? 0xffff : ~UINT64_C(0);
    static const char *const names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                        "rsp", "rbp", "r8",  "r9",  "r10", "r11",
                                        "r12", "r13", "r14", "r15", "rip", "rflags"};
    uint64_t values[2][18];

    memcpy(values[0], kvm, sizeof(values[0]));
    memcpy(values[1], soft, sizeof(values[1]));
    /* QEMU's SYSCALL loses the flags that it keeps elsewhere: the arithmetic ones and DF. */
    if (comparison->c->family == SYSCALLS && comparison->c->code[0] == 0x0f &&
        comparison->c->code[1] == 0x05) {
        values[0][17] &= ~UINT64_C(0xcd5);
        values[1][17] &= ~UINT64_C(0xcd5);
    }
    if (is_lar(comparison->c)) {
        values[0][2] &= ~UINT64_C(0xf0000);
        values[1][2] &= ~UINT64_C(0xf0000);
    }
    for (unsigned i = 0; i < 18; i++)
        value(comparison, names[i], values[0][i] & (i < 8 ? defined : ~UINT64_C(0)),
              values[1][i] & (i < 8 ? defined : ~UINT64_C(0)));
}

/* Outside of protected mode types, rights and sizes have no meaning. */
static bool is_real(const struct system_end *end)
{
    return (end->sregs.cr0 & 1) == 0 || (end->regs.rflags & 0x20000) != 0;
}

/* Of a register without a segment only the selector is there to be seen. */
static bool is_null(const visor_x86_segment *segment)
{
    return segment->unusable || !segment->present;
}

static void segment(struct comparison *comparison, const char *name, const visor_x86_segment *kvm,
                    const visor_x86_segment *soft)
{
    const bool same = kvm->selector == soft->selector && is_null(kvm) == is_null(soft) &&
                      (is_null(kvm) || (comparison->is_real && kvm->base == soft->base) ||
                       (kvm->base == soft->base && kvm->limit == soft->limit &&
                        (kvm->type | 1) == (soft->type | 1) && kvm->dpl == soft->dpl &&
                        kvm->s == soft->s && (kvm->db == soft->db || kvm->l) && kvm->l == soft->l));

    if (!same)
        differs(comparison,
                "%-8s kvm %04x %" PRIx64 " %x type %x dpl %u db %u l %u null %u, "
                "soft %04x %" PRIx64 " %x type %x dpl %u db %u l %u null %u",
                name, kvm->selector, kvm->base, kvm->limit, kvm->type, kvm->dpl, kvm->db, kvm->l,
                is_null(kvm), soft->selector, soft->base, soft->limit, soft->type, soft->dpl,
                soft->db, soft->l, is_null(soft));
}

/*
 * A stack of the IST that is not an inner one leaves SS alone (SDM vol. 3A, 6.14.5); QEMU's
 * processor has a null selector there, as after a change of CPL.
 */
static bool is_ist_quirk(const struct comparison *comparison, const visor_x86_segment *kvm,
                         const visor_x86_segment *soft)
{
    return (comparison->c->sregs.efer & 0x400) != 0 && is_null(kvm) && kvm->selector == soft->dpl &&
           soft->selector == comparison->c->sregs.ss.selector;
}

static void special(struct comparison *comparison, const visor_x86_sregs *kvm,
                    const visor_x86_sregs *soft)
{
    segment(comparison, "cs", &kvm->cs, &soft->cs);
    segment(comparison, "ds", &kvm->ds, &soft->ds);
    segment(comparison, "es", &kvm->es, &soft->es);
    segment(comparison, "fs", &kvm->fs, &soft->fs);
    segment(comparison, "gs", &kvm->gs, &soft->gs);
    if (!is_ist_quirk(comparison, &kvm->ss, &soft->ss))
        segment(comparison, "ss", &kvm->ss, &soft->ss);
    segment(comparison, "tr", &kvm->tr, &soft->tr);
    segment(comparison, "ldt", &kvm->ldt, &soft->ldt);
    value(comparison, "gdt", kvm->gdt.base, soft->gdt.base);
    value(comparison, "gdt limit", kvm->gdt.limit, soft->gdt.limit);
    value(comparison, "idt", kvm->idt.base, soft->idt.base);
    value(comparison, "idt limit", kvm->idt.limit, soft->idt.limit);
    value(comparison, "cr0", kvm->cr0, soft->cr0);
    value(comparison, "cr2", kvm->cr2, soft->cr2);
    value(comparison, "cr3", kvm->cr3, soft->cr3);
    value(comparison, "cr4", kvm->cr4, soft->cr4);
    value(comparison, "cr8", kvm->cr8, soft->cr8);
    value(comparison, "efer", kvm->efer, soft->efer);
}

/*
 * What QEMU's processor (7.2) does not write as processors do:
 *  - RF in the flags that a fault pushes (SDM vol. 3B, 17.3.1.1), and that a task is left with;
 *  - it sets bit 5 of the PDPTEs of PAE paging, which have no such bit (vol. 3A, table 4-8);
 *  - bit 5 of an entry for 1 GiB, too, before it sees that other bits there are reserved (4.8);
 *  - P in the error code of a page fault for reserved bits (4.7); *  - the bit "accessed" of code
 * segments, when far transfers and interrupts load CS (3.4.5.1), and so the bits "accessed" and
 * "dirty" of that page;
 *  - the vector in error codes of long mode's IDT: it has 16 times the vector there, not 8 (6.13);
 *  - EXT in that of a fault while an exception is delivered (6.13).
 */
static bool is_quirk(const struct comparison *comparison, unsigned at, uint64_t kvm, uint64_t soft)
{
    const struct system_case *c = comparison->c;
    const bool is_pae = (c->sregs.cr4 & 0x20) != 0 && (c->sregs.efer & 0x400) == 0;

    if (soft == (kvm | 0x10000) && (kvm & 0xffc0802a) == 2)
        return true;
    if (soft == (kvm | 1) && (at >= SYSTEM_STACK || c->family == PAGING))
        return comparison->is_page_fault ? (kvm & 8) != 0 : true;
    if (at >= SYSTEM_WILD + 0x2000 && at < SYSTEM_WILD + 0x3000 && kvm == (soft | 0x20) &&
        (soft & 0x80) != 0)
        return true;
    if ((c->sregs.efer & 0x400) != 0 && at >= SYSTEM_STACK && (kvm & 6) == 2 && (soft & 6) == 2 &&
        kvm < 0x1010 && kvm >> 4 == soft >> 3)
        return true;
    if (at >= SYSTEM_GDT && at < SYSTEM_TSS && (at & 4) != 0 && soft == (kvm | 0x100) &&
        (kvm & 0x1800) == 0x1800)
        return true;
    if ((at == SYSTEM_TABLES + 0x1000 + 4 || at == SYSTEM_TABLES + 0x1000 + 8) &&
        soft == (kvm | 0x40))
        return true;
    return is_pae && at >= SYSTEM_TABLES && at < SYSTEM_TABLES + 32 && kvm == (soft | 0x20);
}

static void memory(struct comparison *comparison, const uint8_t *kvm, const uint8_t *soft)
{
    unsigned said = 0;

    if (memcmp(kvm, soft, SYSTEM_RAM) == 0)
        return;
    for (unsigned at = 0; at < SYSTEM_RAM && said < 12; at += 4) {
        if (memcmp(kvm + at, soft + at, 4) != 0 &&
            !is_quirk(comparison, at, machine_get(kvm + at, 4), machine_get(soft + at, 4))) {
            differs(comparison, "%05x: was %08" PRIx64 " kvm %08" PRIx64 " soft %08" PRIx64, at,
                    machine_get(comparison->c->ram + at, 4), machine_get(kvm + at, 4),
                    machine_get(soft + at, 4));
            said++;
        }
    }
}

bool system_same(const struct system_case *c, const struct system_end *kvm,
                 const struct system_end *soft, const uint8_t *kvm_ram, const uint8_t *soft_ram,
                 bool say)
{
    struct comparison comparison = {.c = c,
                                    .say = say,
                                    .same = true,
                                    .is_real = is_real(kvm) && is_real(soft),
                                    .is_page_fault = kvm->regs.rip == SYSTEM_HANDLERS + 2 * 14 + 1};

    if (kvm->reason != soft->reason) {
        differs(&comparison, "exit     kvm %s soft %s", visor_exit_name(kvm->reason),
                visor_exit_name(soft->reason));
        if (!say)
            return false;
    }
    /* KVM resets a vCPU that has shut down. */
    if (kvm->reason == VISOR_EXIT_SHUTDOWN && soft->reason == VISOR_EXIT_SHUTDOWN)
        return true;
    value(&comparison, "accesses", kvm->accesses, soft->accesses);
    value(&comparison, "trace", kvm->trace, soft->trace);
    registers(&comparison, kvm, soft);
    special(&comparison, &kvm->sregs, &soft->sregs);
    value(&comparison, "dr6", kvm->debugregs.dr6, soft->debugregs.dr6);
    value(&comparison, "dr7", kvm->debugregs.dr7, soft->debugregs.dr7);
    for (unsigned i = 0; i < 4; i++)
        value(&comparison, "dr", kvm->debugregs.db[i], soft->debugregs.db[i]);
    for (unsigned i = 0; i < SYSTEM_MSRS; i++) {
        char name[16];

        /* Whether a base goes with a segment that is dropped differs between processors. */
        if ((system_msrs[i] == 0xc0000100 && is_null(&soft->sregs.fs)) ||
            (system_msrs[i] == 0xc0000101 && is_null(&soft->sregs.gs)))
            continue;
        snprintf(name, sizeof(name), "%x", system_msrs[i]);
        value(&comparison, name, kvm->msrs[i].value, soft->msrs[i].value);
    }
    value(&comparison, "nmi", kvm->events.nmi.masked, soft->events.nmi.masked);
    value(&comparison, "injected", kvm->events.exception.injected, soft->events.exception.injected);
    value(&comparison, "pending", kvm->events.exception.pending, soft->events.exception.pending);
    memory(&comparison, kvm_ram, soft_ram);
    return comparison.same;
}
