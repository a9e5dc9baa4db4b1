/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64 state as text. Every line begins with the name of its piece. */
#include <inttypes.h>

#include "core/x86.h"

void visor__dump_x86_mp_state(const void *value, size_t length, const struct visor__printer *out)
{
    visor__dump_mp_state(value, length, out);
}

void visor__dump_x86_cpuid(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_cpuid_entry *entries = value;

    for (size_t i = 0; i < length / sizeof(*entries); i++) {
        const visor_x86_cpuid_entry *e = &entries[i];

        visor__say(out, "cpuid      %08x.%x  eax %08x ebx %08x ecx %08x edx %08x", e->function,
                   e->index, e->eax, e->ebx, e->ecx, e->edx);
    }
}

void visor__dump_x86_apic_base(const void *value, size_t length, const struct visor__printer *out)
{
    const uint64_t base = *(const uint64_t *)value;

    (void)length;
    visor__say(out, "apic_base  %016" PRIx64 "%s%s%s", base, base & 0x100 ? " BSP" : "",
               base & 0x400 ? " x2APIC" : "", base & 0x800 ? " enabled" : "");
}

void visor__dump_x86_lapic(const void *value, size_t length, const struct visor__printer *out)
{
    const uint32_t *r = ((const visor_x86_lapic *)value)->regs;

    (void)length;
    for (size_t i = 0; i < 64; i += 4) {
        if ((r[i] | r[i + 1] | r[i + 2] | r[i + 3]) != 0)
            visor__say(out, "lapic      %03zx: %08x %08x %08x %08x", i * 16, r[i], r[i + 1],
                       r[i + 2], r[i + 3]);
    }
}

void visor__dump_x86_regs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_regs *r = value;

    (void)length;
#define FOUR(an, a, bn, b, cn, c, dn, d)                                                     \
    visor__say(out,                                                                          \
               "regs       " an " %016" PRIx64 "  " bn " %016" PRIx64 "  " cn " %016" PRIx64 \
               "  " dn " %016" PRIx64,                                                       \
               r->a, r->b, r->c, r->d)
    FOUR("rax", rax, "rbx", rbx, "rcx", rcx, "rdx", rdx);
    FOUR("rsi", rsi, "rdi", rdi, "rsp", rsp, "rbp", rbp);
    FOUR("r8 ", r8, "r9 ", r9, "r10", r10, "r11", r11);
    FOUR("r12", r12, "r13", r13, "r14", r14, "r15", r15);
#undef FOUR
    visor__say(out, "regs       rip %016" PRIx64 "  rflags %08" PRIx64, r->rip, r->rflags);
}

static void say_segment(const struct visor__printer *out, const char *name,
                        const visor_x86_segment *s)
{
    visor__say(out,
               "sregs      %-4s %04x base %016" PRIx64 " limit %08x type %x %s dpl %u%s%s%s%s%s",
               name, s->selector, s->base, s->limit, s->type, s->s ? "code/data" : "system", s->dpl,
               s->present ? "" : " absent", s->unusable ? " unusable" : "", s->db ? " 32-bit" : "",
               s->l ? " 64-bit" : "", s->g ? " pages" : "");
}

void visor__dump_x86_sregs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_sregs *s = value;

    (void)length;
    say_segment(out, "cs", &s->cs);
    say_segment(out, "ds", &s->ds);
    say_segment(out, "es", &s->es);
    say_segment(out, "fs", &s->fs);
    say_segment(out, "gs", &s->gs);
    say_segment(out, "ss", &s->ss);
    say_segment(out, "tr", &s->tr);
    say_segment(out, "ldt", &s->ldt);
    visor__say(out, "sregs      gdt %016" PRIx64 " limit %04x  idt %016" PRIx64 " limit %04x",
               s->gdt.base, s->gdt.limit, s->idt.base, s->idt.limit);
    visor__say(out, "sregs      cr0 %016" PRIx64 "  cr2 %016" PRIx64 "  cr3 %016" PRIx64, s->cr0,
               s->cr2, s->cr3);
    visor__say(out, "sregs      cr4 %016" PRIx64 "  cr8 %" PRIx64 "  efer %" PRIx64, s->cr4, s->cr8,
               s->efer);
}

void visor__dump_x86_debugregs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_debugregs *d = value;

    (void)length;
    visor__say(out, "debugregs  dr0 %016" PRIx64 "  dr1 %016" PRIx64 "  dr2 %016" PRIx64, d->db[0],
               d->db[1], d->db[2]);
    visor__say(out, "debugregs  dr3 %016" PRIx64 "  dr6 %08" PRIx64 "  dr7 %08" PRIx64, d->db[3],
               d->dr6, d->dr7);
}

void visor__dump_x86_xcrs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_xcrs *x = value;

    (void)length;
    for (uint32_t i = 0; i < x->count && i < sizeof(x->xcr) / sizeof(x->xcr[0]); i++)
        visor__say(out, "xcrs       xcr%u %016" PRIx64, x->xcr[i].index, x->xcr[i].value);
}

void visor__dump_x86_fpu(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_fpu *f = value;

    (void)length;
    visor__say(out, "fpu        fcw %04x fsw %04x ftw %02x mxcsr %08x ip %" PRIx64 " dp %" PRIx64,
               f->fcw, f->fsw, f->ftw, f->mxcsr, f->last_ip, f->last_dp);
    for (int i = 0; i < 8; i++)
        visor__say(out, "fpu        st%d %04x:%016" PRIx64, i, f->st[i].sign_exponent,
                   f->st[i].significand);
    for (int i = 0; i < 16; i++) {
        uint64_t half[2];

        for (int k = 0; k < 2; k++) {
            half[k] = 0;
            for (int b = 7; b >= 0; b--)
                half[k] = half[k] << 8 | f->xmm[i][8 * k + b];
        }
        visor__say(out, "fpu        xmm%-2d %016" PRIx64 "%016" PRIx64, i, half[1], half[0]);
    }
}

void visor__dump_x86_xsave(const void *value, size_t length, const struct visor__printer *out)
{
    enum { HEADER = 512 }; /* SDM vol. 1, 13.4.2 */
    const uint8_t *image = value;
    uint64_t components = 0;

    for (size_t i = 0; i < 8 && HEADER + i < length; i++)
        components |= (uint64_t)image[HEADER + i] << (8 * i);
    visor__say(out, "xsave      %zu bytes, components %" PRIx64, length, components);
}

void visor__dump_x86_msrs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_msr *msrs = value;

    for (size_t i = 0; i < length / sizeof(*msrs); i++)
        visor__say(out, "msrs       %08x %016" PRIx64, msrs[i].index, msrs[i].value);
}

void visor__dump_x86_nested(const void *value, size_t length, const struct visor__printer *out)
{
    (void)value;
    visor__say(out, "nested     %zu bytes", length);
}

void visor__dump_x86_events(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_x86_events *e = value;

    (void)length;
    visor__say(out,
               "events     exception%s%s vector %u error %x payload %" PRIx64
               "; interrupt%s vector %u%s "
               "shadow %u",
               e->exception.injected ? " injected" : "", e->exception.pending ? " pending" : "",
               e->exception.vector, e->exception.error_code, e->exception.payload,
               e->interrupt.injected ? " injected" : "", e->interrupt.vector,
               e->interrupt.soft ? " soft" : "", e->interrupt.shadow);
    visor__say(out, "events     nmi%s%s%s; smi%s%s%s; triple fault%s; sipi %x",
               e->nmi.injected ? " injected" : "", e->nmi.pending ? " pending" : "",
               e->nmi.masked ? " masked" : "", e->smi.smm ? " in SMM" : "",
               e->smi.pending ? " pending" : "", e->smi.latched_init ? " INIT latched" : "",
               e->triple_fault.pending ? " pending" : "", e->sipi_vector);
}
