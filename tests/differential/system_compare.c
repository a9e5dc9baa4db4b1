/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "system.h"

struct comparison {
    const struct system_case *c;
    const struct system_end *soft;
    bool say, same, is_real;
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
    /* The upper halves after a switch to a task of 16 bits are undefined (SDM vol. 3A, 7.6). */
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
    /* Bits 31 to 16 of EFLAGS, which a TSS of 16 bits has not, are kept by QEMU's processor. */
    if (is_task_16)
        values[0][17] &= 0xffff;
    /* Bits 19 to 16 of LAR's result are undefined (SDM vol. 2A, LAR). */
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
 * SS behind a stack of the IST without a change of CPL: SDM vol. 3A, 6.14.5, has a null selector,
 * as QEMU's processor; the operation of INT n (vol. 2A) and AMD's manual (vol. 2, 8.9) leave SS
 * alone. Both are right, then.
 */
static bool is_ist_stack(const struct comparison *comparison, const visor_x86_segment *kvm,
                         const visor_x86_segment *soft)
{
    return (comparison->c->sregs.efer & 0x400) != 0 && is_null(kvm) && kvm->selector == soft->dpl &&
           soft->selector == comparison->c->sregs.ss.selector;
}

/* QEMU's IRET and RET leave a null SS present, which 64-bit code has no use for. */
static bool is_null_stack(const struct comparison *comparison, const visor_x86_segment *kvm,
                          const visor_x86_segment *soft)
{
    return (comparison->c->sregs.efer & 0x400) != 0 && comparison->c->family == FAR &&
           is_null(soft) && (kvm->selector & 0xfffc) == 0 && kvm->selector == soft->selector;
}

/*
 * A fault of a new task: QEMU's processor has not loaded what comes behind, where processors
 * complete the switch (SDM vol. 3A, 7.3).
 */
static bool is_not_loaded(const struct comparison *comparison, const visor_x86_segment *kvm,
                          const visor_x86_segment *soft)
{
    const unsigned vector = system_vector(comparison->soft);

    return comparison->c->family == TASKS && vector >= 8 && vector <= 12 && is_null(kvm) &&
           kvm->selector == soft->selector;
}

static void data_segment(struct comparison *comparison, const char *name,
                         const visor_x86_segment *kvm, const visor_x86_segment *soft)
{
    if (!is_not_loaded(comparison, kvm, soft))
        segment(comparison, name, kvm, soft);
}

static void special(struct comparison *comparison, const visor_x86_sregs *kvm,
                    const visor_x86_sregs *soft)
{
    visor_x86_segment ldt = kvm->ldt;

    /* QEMU's processor keeps an LDT that it refuses without TI. */
    if (comparison->c->family == TASKS && is_null(&ldt) && is_null(&soft->ldt))
        ldt.selector |= soft->ldt.selector & 4;

    segment(comparison, "cs", &kvm->cs, &soft->cs);
    data_segment(comparison, "ds", &kvm->ds, &soft->ds);
    data_segment(comparison, "es", &kvm->es, &soft->es);
    data_segment(comparison, "fs", &kvm->fs, &soft->fs);
    data_segment(comparison, "gs", &kvm->gs, &soft->gs);
    if (!is_ist_stack(comparison, &kvm->ss, &soft->ss) &&
        !is_null_stack(comparison, &kvm->ss, &soft->ss))
        data_segment(comparison, "ss", &kvm->ss, &soft->ss);
    segment(comparison, "tr", &kvm->tr, &soft->tr);
    segment(comparison, "ldt", &ldt, &soft->ldt);
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

static void memory(struct comparison *comparison, const uint8_t *kvm, const uint8_t *soft)
{
    unsigned said = 0;

    if (memcmp(kvm, soft, SYSTEM_RAM) == 0)
        return;
    for (unsigned at = 0; at < SYSTEM_RAM && said < 12; at += 4) {
        if (memcmp(kvm + at, soft + at, 4) != 0 &&
            !system_memory_quirk(comparison->c, comparison->soft, at, machine_get(kvm + at, 4),
                                 machine_get(soft + at, 4))) {
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
    struct comparison comparison = {
        .c = c, .soft = soft, .say = say, .same = true, .is_real = is_real(kvm) && is_real(soft)};

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
    /* KVM does not look at what its guest's processor does to DR7, as a task switch does. */
    if (kvm->debugregs.dr7 != c->debugregs.dr7 ||
        (c->debugregs.dr7 & ~UINT64_C(0x55)) != soft->debugregs.dr7)
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
