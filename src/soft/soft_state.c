/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces of state, in the public structures. */
#include <stdlib.h>
#include <string.h>

#include "irqchip/irqchip.h"
#include "soft/debug.h"
#include "soft/event.h"
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/registers.h"
#include "soft/soft.h"
#include "soft/system.h"
#include "soft/xstate.h"

#define MSR_TSC       0x10u
#define MSR_APIC_BASE 0x1bu

/* ---- reset (SDM vol. 3A, table 10-1) ---- */

void soft_cpu_reset(struct soft_cpu *cpu, bool init)
{
    static const uint8_t order[] = {SOFT_SEG_ES, SOFT_SEG_CS, SOFT_SEG_SS,
                                    SOFT_SEG_DS, SOFT_SEG_FS, SOFT_SEG_GS};
    visor_x86_sregs sregs;

    visor_x86_reset_sregs(&sregs);
    {
        const visor_x86_segment *const segments[] = {&sregs.es, &sregs.cs, &sregs.ss,
                                                     &sregs.ds, &sregs.fs, &sregs.gs};

        for (unsigned i = 0; i < sizeof(order); i++)
            cpu->seg[order[i]] = *segments[i];
    }
    /* INIT keeps caches' and the FPU's state (table 10-1, last column). */
    cpu->cr0 =
        init ? (sregs.cr0 & ~(SOFT_CR0_CD | SOFT_CR0_NW)) | (cpu->cr0 & (SOFT_CR0_CD | SOFT_CR0_NW))
             : sregs.cr0;
    cpu->ldt = sregs.ldt;
    cpu->tr = sregs.tr;
    cpu->gdt = sregs.gdt;
    cpu->idt = sregs.idt;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->cr8 = cpu->efer = 0;
    memset(cpu->r, 0, sizeof(cpu->r));
    cpu->r[SOFT_RDX] = 0x600;
    cpu->rip = 0xfff0;
    soft_set_eflags(cpu, 2);
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr6 = SOFT_DR6_INIT;
    cpu->dr7 = 0x400;
    soft_debug_update(cpu);
    cpu->event.kind = SOFT_EVENT_NONE;
    cpu->nmi_pending = cpu->nmi_masked = cpu->halted = cpu->dead = false;
    cpu->shadow = 0;
    if (!init) {
        soft_xstate_init(cpu, SOFT_XCR0_ALL);
        cpu->mxcsr = SOFT_MXCSR_RESET;
        cpu->xcr0 = 1;
        cpu->xss = 0;
        soft_msr_reset(cpu);
        cpu->apic_base = UINT64_C(0xfee00800) | (cpu->id == 0 ? 0x100 : 0);
    }
    soft_tlb_flush(cpu, true);
    soft_mode_update(cpu);
}

/* ---- registers ---- */

static void set_regs(struct soft_cpu *cpu, const visor_x86_regs *regs)
{
    soft_set_regs(cpu, regs);
    /* As on KVM: an exception on its way belongs to the registers before. */
    if (cpu->event.kind == SOFT_EVENT_EXCEPTION)
        cpu->event.kind = SOFT_EVENT_NONE;
}

static void get_sregs(visor_x86_sregs *out, struct soft_cpu *cpu)
{
    const struct soft_devices *devices = &cpu->machine->devices;

    soft_get_sregs(out, cpu);
    if (devices->get_cr8 != NULL)
        out->cr8 = devices->get_cr8(devices->context, cpu);
}

static int refuse(const char *what, uint64_t value)
{
    return visor__error(VISOR_EREFUSED, "soft", "visor_x86_set_sregs", "%s: 0x%llx", what,
                        (unsigned long long)value);
}

static int set_sregs(struct soft_cpu *cpu, const visor_x86_sregs *sregs)
{
    const struct soft_devices *devices = &cpu->machine->devices;
    bool paging = (sregs->cr0 & SOFT_CR0_PG) != 0, lma = (sregs->efer & SOFT_EFER_LMA) != 0;

    /* What no processor can be in. */
    if ((sregs->cr4 & ~SOFT_CR4_ALL) != 0)
        return refuse("cr4", sregs->cr4);
    if ((paging && (sregs->cr0 & SOFT_CR0_PE) == 0) || sregs->cr0 >> 32 != 0)
        return refuse("cr0", sregs->cr0);
    if ((sregs->efer & ~SOFT_EFER_ALL) != 0 ||
        lma != ((sregs->efer & SOFT_EFER_LME) != 0 && paging) ||
        (lma && (sregs->cr4 & SOFT_CR4_PAE) == 0))
        return refuse("efer", sregs->efer);
    if (sregs->cs.l && sregs->cs.db && lma)
        return refuse("cs.l and cs.db", 1);

    soft_set_sregs(cpu, sregs);
    if (devices->set_cr8 != NULL)
        devices->set_cr8(devices->context, cpu, sregs->cr8 & 15);
    return 0;
}

/* ---- x87, SSE, AVX ---- */

static int set_fpu(struct soft_cpu *cpu, const visor_x86_fpu *in)
{
    if ((in->mxcsr & ~SOFT_MXCSR_MASK) != 0)
        return visor__error(VISOR_EREFUSED, "soft", "visor_x86_set_fpu", "mxcsr: 0x%x", in->mxcsr);
    soft_set_fpu(cpu, in);
    return 0;
}

static void get_xsave(uint8_t *out, const struct soft_cpu *cpu)
{
    uint64_t components = SOFT_XCR0_ALL;
    const uint32_t mask = SOFT_MXCSR_MASK;

    memset(out, 0, SOFT_XSAVE_SIZE);
    soft_x87_store(out, cpu, true);
    memcpy(out + 24, &cpu->mxcsr, 4);
    memcpy(out + 28, &mask, 4);
    soft_sse_store(out, cpu, 16);
    soft_avx_store(out + SOFT_XSAVE_AVX, cpu, 16);
    memcpy(out + SOFT_XSAVE_HEADER, &components, 8);
}

static int set_xsave(struct soft_cpu *cpu, const uint8_t *image, size_t length)
{
    uint64_t components;
    uint32_t mxcsr;

    if (length != SOFT_XSAVE_SIZE)
        return visor__error(VISOR_EMISMATCH, "soft", "visor_x86_set_xsave",
                            "%zu bytes, this CPU's image has %u", length, SOFT_XSAVE_SIZE);
    memcpy(&components, image + SOFT_XSAVE_HEADER, 8);
    memcpy(&mxcsr, image + 24, 4);
    if ((components & ~SOFT_XCR0_ALL) != 0 || (mxcsr & ~SOFT_MXCSR_MASK) != 0)
        return visor__error(VISOR_EREFUSED, "soft", "visor_x86_set_xsave",
                            "components 0x%llx, mxcsr 0x%x", (unsigned long long)components, mxcsr);
    soft_xstate_init(cpu, SOFT_XCR0_ALL & ~components);
    if ((components & SOFT_XSTATE_X87) != 0)
        soft_x87_load(cpu, image, true);
    if ((components & SOFT_XSTATE_SSE) != 0)
        soft_sse_load(cpu, image, 16);
    if ((components & SOFT_XSTATE_AVX) != 0)
        soft_avx_load(cpu, image + SOFT_XSAVE_AVX, 16);
    if ((components & (SOFT_XSTATE_SSE | SOFT_XSTATE_AVX)) != 0)
        cpu->mxcsr = mxcsr;
    return 0;
}

static void get_xcrs(visor_x86_xcrs *out, const struct soft_cpu *cpu)
{
    memset(out, 0, sizeof(*out));
    out->count = 1;
    out->xcr[0].value = cpu->xcr0;
}

static int set_xcrs(struct soft_cpu *cpu, const visor_x86_xcrs *xcrs)
{
    for (uint32_t i = 0; i < xcrs->count && i < 8; i++) {
        uint64_t value = xcrs->xcr[i].value;

        if (xcrs->xcr[i].index != 0 || (value & ~SOFT_XCR0_ALL) != 0 || (value & 1) == 0 ||
            (value & 6) == 4)
            return visor__error(VISOR_EREFUSED, "soft", "visor_x86_set_xcrs", "XCR%u = 0x%llx",
                                xcrs->xcr[i].index, (unsigned long long)value);
        cpu->xcr0 = value;
    }
    soft_mode_update(cpu);
    return 0;
}

/* ---- events ---- */

static void get_events(visor_x86_events *out, const visor_vcpu *vcpu)
{
    const struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    const struct soft_cpu *cpu = soft->cpu;
    const struct soft_event *event = &cpu->event;

    memset(out, 0, sizeof(*out));
    out->exception.has_pending = 1;
    if (event->kind == SOFT_EVENT_EXCEPTION) {
        out->exception.vector = event->vector;
        out->exception.has_error_code = event->has_error;
        out->exception.error_code = event->error;
        out->exception.injected = !event->pending;
        out->exception.pending = event->pending;
        out->exception.has_payload = event->has_payload;
        out->exception.payload = event->payload;
    }
    if (soft->irq_pending) {
        out->interrupt.injected = 1;
        out->interrupt.vector = soft->irq_vector;
        out->interrupt.soft = soft->irq_soft;
    } else if (event->kind == SOFT_EVENT_INTERRUPT) {
        out->interrupt.injected = 1;
        out->interrupt.vector = event->vector;
    }
    out->interrupt.has_shadow = 1;
    out->interrupt.shadow = cpu->shadow;
    out->nmi.has_pending = 1;
    out->nmi.injected = event->kind == SOFT_EVENT_NMI;
    out->nmi.pending = cpu->nmi_pending;
    out->nmi.masked = cpu->nmi_masked;
    out->triple_fault.has_pending = 1;
    out->triple_fault.pending = cpu->dead;
    out->has_sipi_vector = 1;
    out->sipi_vector = 0;
}

static void set_events(visor_vcpu *vcpu, const visor_x86_events *in)
{
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    struct soft_cpu *cpu = soft->cpu;

    cpu->event = (struct soft_event){.kind = SOFT_EVENT_NONE};
    soft->irq_pending = false;
    if (in->exception.injected || (in->exception.has_pending && in->exception.pending)) {
        cpu->event = (struct soft_event){
            .kind = SOFT_EVENT_EXCEPTION,
            .vector = in->exception.vector,
            .has_error = in->exception.has_error_code != 0,
            .error = in->exception.error_code,
            .pending = !in->exception.injected,
            .has_payload = !in->exception.injected && in->exception.has_payload,
            .payload = in->exception.payload,
        };
    } else if (in->nmi.injected) {
        cpu->event = (struct soft_event){.kind = SOFT_EVENT_NMI, .vector = SOFT_NMI};
    }
    if (in->interrupt.injected) {
        soft->irq_pending = true;
        soft->irq_vector = in->interrupt.vector;
        soft->irq_soft = in->interrupt.soft != 0;
    }
    if (in->interrupt.has_shadow)
        cpu->shadow = in->interrupt.shadow & (SOFT_SHADOW_SS | SOFT_SHADOW_STI);
    if (in->nmi.has_pending)
        cpu->nmi_pending = in->nmi.pending != 0;
    cpu->nmi_masked = in->nmi.masked != 0;
    if (in->triple_fault.has_pending)
        cpu->dead = in->triple_fault.pending != 0;
}

/* ---- CPUID ---- */

static int set_cpuid(visor_vcpu *vcpu, const void *entries, size_t length)
{
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    visor_x86_cpuid_entry *copy = malloc(length > 0 ? length : 1);

    if (copy == NULL)
        return visor__error(VISOR_ENOMEM, "soft", "visor_x86_set_cpuid", "%zu bytes", length);
    if (length > 0)
        memcpy(copy, entries, length);
    free(soft->cpuid);
    soft->cpuid = copy;
    soft->cpu->cpuid = copy;
    soft->cpu->cpuid_count = length / sizeof(*copy);
    if (vcpu->lapic != NULL) {
        const visor_x86_cpuid_entry *leaf = soft_cpuid_find(soft->cpu, 1, 0);

        visor__lapic_set_features(vcpu->lapic, leaf != NULL && (leaf->ecx >> 21 & 1) != 0,
                                  leaf != NULL && (leaf->ecx >> 24 & 1) != 0);
    }
    return 0;
}

/* ---- all pieces ---- */

/* Bytes of a piece, < 0 if this VM has none. */
static int size_of(const visor_vcpu *vcpu, enum visor__state piece)
{
    switch (piece) {
    case VISOR__STATE_X86_CPUID:
        return (int)(soft_vcpu_of(vcpu)->cpu->cpuid_count * sizeof(visor_x86_cpuid_entry));
    case VISOR__STATE_X86_XSAVE: return SOFT_XSAVE_SIZE;
    case VISOR__STATE_X86_NESTED: return 0;
    case VISOR__STATE_X86_LAPIC:
        if (vcpu->lapic != NULL)
            return (int)visor__states[piece].size;
        return visor__error(VISOR_EUNSUPPORTED, "soft", visor__states[piece].name,
                            "this VM has no interrupt chip");
    case VISOR__STATE_X86_MP_STATE:
    case VISOR__STATE_X86_APIC_BASE:
    case VISOR__STATE_X86_REGS:
    case VISOR__STATE_X86_SREGS:
    case VISOR__STATE_X86_DEBUGREGS:
    case VISOR__STATE_X86_XCRS:
    case VISOR__STATE_X86_FPU:
    case VISOR__STATE_X86_EVENTS: return (int)visor__states[piece].size;
    default:
        return visor__error(VISOR_EUNSUPPORTED, "soft", visor__states[piece].name,
                            "this VM has no such state");
    }
}

int soft_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    int size = size_of(vcpu, piece);

    if (size <= 0 || capacity < (size_t)size)
        return size;
    soft_chip_take(vcpu);
    switch (piece) {
    case VISOR__STATE_X86_LAPIC: return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
    case VISOR__STATE_X86_APIC_BASE:
        if (vcpu->lapic != NULL)
            return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
        memcpy(buf, &cpu->apic_base, sizeof(cpu->apic_base));
        break;
    case VISOR__STATE_X86_MP_STATE:
        *(uint32_t *)buf = cpu->halted ? VISOR_MP_HALTED : cpu->mp_state;
        break;
    case VISOR__STATE_X86_CPUID: memcpy(buf, cpu->cpuid, (size_t)size); break;
    case VISOR__STATE_X86_REGS: soft_get_regs(buf, cpu); break;
    case VISOR__STATE_X86_SREGS: get_sregs(buf, cpu); break;
    case VISOR__STATE_X86_DEBUGREGS: {
        visor_x86_debugregs *out = buf;

        memcpy(out->db, cpu->dr, sizeof(out->db));
        out->dr6 = cpu->dr6;
        out->dr7 = cpu->dr7;
        break;
    }
    case VISOR__STATE_X86_XCRS: get_xcrs(buf, cpu); break;
    case VISOR__STATE_X86_FPU: soft_get_fpu(buf, cpu); break;
    case VISOR__STATE_X86_XSAVE: get_xsave(buf, cpu); break;
    case VISOR__STATE_X86_EVENTS: get_events(buf, vcpu); break;
    default: break;
    }
    return size;
}

int soft_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    int size = size_of(vcpu, piece);

    if (size < 0)
        return size;
    switch (piece) {
    case VISOR__STATE_X86_MP_STATE:
        cpu->mp_state = (visor_mp_state) * (const uint32_t *)buf;
        cpu->halted = cpu->mp_state == VISOR_MP_HALTED;
        if (cpu->halted)
            cpu->mp_state = VISOR_MP_RUNNABLE;
        return 0;
    case VISOR__STATE_X86_LAPIC:
    case VISOR__STATE_X86_APIC_BASE: {
        int ret = 0;

        /* Without a chip the register is kept, as on KVM. */
        if (vcpu->lapic == NULL)
            memcpy(&cpu->apic_base, buf, sizeof(cpu->apic_base));
        else
            ret = visor__lapic_set_state(vcpu->lapic, piece, buf, length);
        soft_chip_changed(vcpu);
        return ret;
    }
    case VISOR__STATE_X86_CPUID: return set_cpuid(vcpu, buf, length);
    case VISOR__STATE_X86_REGS: set_regs(cpu, buf); return 0;
    case VISOR__STATE_X86_SREGS: return set_sregs(cpu, buf);
    case VISOR__STATE_X86_DEBUGREGS: {
        const visor_x86_debugregs *in = buf;

        memcpy(cpu->dr, in->db, sizeof(cpu->dr));
        cpu->dr6 = in->dr6;
        cpu->dr7 = in->dr7;
        soft_debug_update(cpu);
        return 0;
    }
    case VISOR__STATE_X86_XCRS: return set_xcrs(cpu, buf);
    case VISOR__STATE_X86_FPU: return set_fpu(cpu, buf);
    case VISOR__STATE_X86_XSAVE: return set_xsave(cpu, buf, length);
    case VISOR__STATE_X86_EVENTS: set_events(vcpu, buf); return 0;
    case VISOR__STATE_X86_NESTED:
        return length == 0 ? 0
                           : visor__error(VISOR_EUNSUPPORTED, "soft", "nested",
                                          "there is no virtualization inside the guest");
    default: return VISOR_EUNSUPPORTED;
    }
}

/* ---- MSRs ---- */

int soft_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    const struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;

    for (size_t i = 0; i < count; i++) {
        if (msrs[i].index == MSR_APIC_BASE && vcpu->lapic == NULL) {
            msrs[i].value = cpu->apic_base;
            continue;
        }
        if (soft_msr_read(&msrs[i].value, cpu, msrs[i].index) != SOFT_MSR_DONE &&
            !soft_clock_read_msr(&msrs[i].value, vcpu, msrs[i].index) &&
            (vcpu->lapic == NULL ||
             visor__lapic_read_msr(&msrs[i].value, vcpu->lapic, msrs[i].index, false) !=
                 VISOR__MSR_DONE)) {
            visor__error(VISOR_ENOENT, "soft", "visor_x86_get_msrs", "MSR 0x%x", msrs[i].index);
            return (int)i;
        }
    }
    return (int)count;
}

int soft_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;

    for (size_t i = 0; i < count; i++) {
        enum soft_msr_result result = soft_msr_write(cpu, msrs[i].index, msrs[i].value, false);

        if (result == SOFT_MSR_UNKNOWN &&
            soft_clock_write_msr(vcpu, msrs[i].index, msrs[i].value, false))
            continue;
        if (result == SOFT_MSR_UNKNOWN && vcpu->lapic != NULL &&
            visor__lapic_write_msr(vcpu->lapic, msrs[i].index, msrs[i].value, false) ==
                VISOR__MSR_DONE) {
            soft_chip_changed(vcpu);
            continue;
        }
        if (vcpu->lapic != NULL && msrs[i].index == MSR_TSC)
            visor__lapic_tsc_changed(vcpu->lapic);
        if (result != SOFT_MSR_DONE) {
            visor__error(VISOR_EREFUSED, "soft", "visor_x86_set_msrs", "MSR 0x%x = 0x%llx",
                         msrs[i].index, (unsigned long long)msrs[i].value);
            return (int)i;
        }
    }
    return (int)count;
}

int soft_get_tsc_offset(uint64_t *out, visor_vcpu *vcpu)
{
    *out = soft_vcpu_of(vcpu)->cpu->tsc_offset;
    return 0;
}

int soft_set_tsc_offset(visor_vcpu *vcpu, uint64_t offset)
{
    soft_vcpu_of(vcpu)->cpu->tsc_offset = offset;
    return 0;
}

int soft_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    *out = soft_vm_of(vcpu->vm)->tsc_hz;
    return 0;
}
