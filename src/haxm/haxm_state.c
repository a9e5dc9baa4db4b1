/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces of vCPU state; registers are in haxm_regs.c, those of x87 and SSE in haxm_fpu.c. */
#include <string.h>

#include "haxm/haxm.h"
#include "irqchip/irqchip.h"

/* ---- events ---- */

/* The driver tells of none: what is here is what has not been delivered yet. */
static void get_events(visor_x86_events *out, const struct haxm_vcpu *v)
{
    memset(out, 0, sizeof(*out));
    if (v->exception_pending) {
        out->exception.injected = 1;
        out->exception.vector = v->exception.vector;
        out->exception.has_error_code = v->exception.has_error_code;
        out->exception.error_code = v->exception.error_code;
    }
    out->interrupt.injected = v->irq_pending;
    out->interrupt.vector = v->irq_vector;
    out->nmi.has_pending = 1;
    out->nmi.pending = v->nmi_pending;
    out->triple_fault.has_pending = 1;
    out->triple_fault.pending = v->dead;
}

static int cannot(const char *what)
{
    return visor__error(VISOR_EUNSUPPORTED, "haxm", "visor_x86_set_events",
                        "%s: the driver has no request for it", what);
}

static int set_events(struct haxm_vcpu *v, const visor_x86_events *in)
{
    if (in->exception.has_pending && in->exception.pending)
        return cannot("an exception with a payload");
    if (in->nmi.masked)
        return cannot("a blocked NMI");
    if (in->smi.has_smm && (in->smi.smm || in->smi.pending))
        return cannot("system management mode");
    if (in->interrupt.injected && in->interrupt.soft)
        return cannot("an interrupt of INT");
    if (in->triple_fault.has_pending && in->triple_fault.pending != v->dead)
        return cannot("a triple fault");
    if (v->irq_queued && !in->interrupt.injected)
        return cannot("taking an interrupt back");
    v->exception_pending = in->exception.injected != 0;
    v->exception.vector = in->exception.vector;
    v->exception.has_error_code = in->exception.has_error_code != 0;
    v->exception.error_code = in->exception.error_code;
    v->irq_pending = in->interrupt.injected != 0;
    v->irq_vector = in->interrupt.vector;
    if (in->nmi.has_pending)
        v->nmi_pending = in->nmi.pending != 0;
    v->nmi_pending |= in->nmi.injected != 0;
    /* It lasts for an instruction, of which nobody tells the end: until the next exit here. */
    if (in->interrupt.has_shadow && in->interrupt.shadow != 0)
        v->ready = false;
    return 0;
}

/* ---- all pieces ---- */

/* Bytes of a piece, < 0 if this VM has none. */
static int size_of(visor_vcpu *vcpu, enum visor__state piece)
{
    int count;

    switch (piece) {
    case VISOR__STATE_X86_CPUID:
        count = haxm_cpuid_get(NULL, 0, vcpu);
        return count < 0 ? count : count * (int)sizeof(visor_x86_cpuid_entry);
    case VISOR__STATE_X86_NESTED: return 0;
    case VISOR__STATE_X86_LAPIC:
        if (vcpu->lapic != NULL)
            return (int)visor__states[piece].size;
        return visor__error(VISOR_EUNSUPPORTED, "haxm", visor__states[piece].name,
                            "this VM has no interrupt chip");
    case VISOR__STATE_X86_APIC_BASE:
    case VISOR__STATE_X86_MP_STATE:
    case VISOR__STATE_X86_REGS:
    case VISOR__STATE_X86_SREGS:
    case VISOR__STATE_X86_DEBUGREGS:
    case VISOR__STATE_X86_FPU:
    case VISOR__STATE_X86_XCRS:
    case VISOR__STATE_X86_EVENTS: return (int)visor__states[piece].size;
    case VISOR__STATE_X86_XSAVE: return HAXM_XSAVE_SIZE;
    default:
        return visor__error(VISOR_EUNSUPPORTED, "haxm", visor__states[piece].name,
                            "this VM has no such state");
    }
}

static int get_apic_base(void *out, visor_vcpu *vcpu)
{
    visor_x86_msr msr = {.index = HAXM_MSR_APIC_BASE};
    int ret;

    if (vcpu->lapic != NULL)
        return visor__lapic_get_state(out, sizeof(msr.value), vcpu->lapic,
                                      VISOR__STATE_X86_APIC_BASE);
    ret = haxm_get_msrs(&msr, 1, vcpu);
    if (ret == 1)
        memcpy(out, &msr.value, sizeof(msr.value));
    return ret == 1 ? 0 : visor_error_last()->code;
}

int haxm_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int size = size_of(vcpu, piece);
    int ret = 0;

    if (size <= 0 || capacity < (size_t)size)
        return size;
    ret = haxm_chip_take(vcpu);
    if (ret == 0 && (piece == VISOR__STATE_X86_REGS || piece == VISOR__STATE_X86_SREGS ||
                     piece == VISOR__STATE_X86_DEBUGREGS))
        ret = haxm_load(vcpu);
    if (ret < 0)
        return ret;
    switch (piece) {
    case VISOR__STATE_X86_CPUID:
        ret = haxm_cpuid_get(buf, (size_t)size / sizeof(visor_x86_cpuid_entry), vcpu);
        break;
    case VISOR__STATE_X86_LAPIC: return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
    case VISOR__STATE_X86_APIC_BASE: ret = get_apic_base(buf, vcpu); break;
    case VISOR__STATE_X86_MP_STATE: *(uint32_t *)buf = v->mp_state; break;
    case VISOR__STATE_X86_REGS: haxm_get_regs(buf, v); break;
    case VISOR__STATE_X86_SREGS: ret = haxm_get_sregs(buf, vcpu); break;
    case VISOR__STATE_X86_DEBUGREGS: haxm_get_debugregs(buf, v); break;
    case VISOR__STATE_X86_FPU: ret = haxm_get_fpu(buf, vcpu); break;
    case VISOR__STATE_X86_XSAVE: ret = haxm_get_xsave(buf, vcpu); break;
    case VISOR__STATE_X86_XCRS: haxm_get_xcrs(buf); break;
    case VISOR__STATE_X86_EVENTS: get_events(buf, v); break;
    default: break;
    }
    return ret < 0 ? ret : size;
}

/* Into the chip, if there is one, and into the MSR that the guest reads. */
static int set_apic_base(visor_vcpu *vcpu, const void *buf, size_t length)
{
    visor_x86_msr msr = {.index = HAXM_MSR_APIC_BASE};
    int ret;

    memcpy(&msr.value, buf, sizeof(msr.value));
    ret = haxm_write_msr(vcpu, &msr);
    if (ret < 0)
        return ret;
    haxm_vcpu_of(vcpu)->apic_base = msr.value;
    if (vcpu->lapic == NULL)
        return 0;
    return visor__lapic_set_state(vcpu->lapic, VISOR__STATE_X86_APIC_BASE, buf, length);
}

/* Only a chip ends another state than running. */
static int set_mp_state(visor_vcpu *vcpu, uint32_t state)
{
    if (vcpu->lapic == NULL && state != VISOR_MP_RUNNABLE)
        return visor__error(VISOR_EREFUSED, "haxm", "visor_vcpu_set_mp_state",
                            "state %u of a VM without an interrupt chip", state);
    haxm_vcpu_of(vcpu)->mp_state = (visor_mp_state)state;
    return 0;
}

int haxm_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret = size_of(vcpu, piece);

    if (ret >= 0 && (piece == VISOR__STATE_X86_REGS || piece == VISOR__STATE_X86_SREGS ||
                     piece == VISOR__STATE_X86_DEBUGREGS))
        ret = haxm_load(vcpu);
    if (ret < 0)
        return ret;
    switch (piece) {
    case VISOR__STATE_X86_MP_STATE: return set_mp_state(vcpu, *(const uint32_t *)buf);
    case VISOR__STATE_X86_LAPIC: return visor__lapic_set_state(vcpu->lapic, piece, buf, length);
    case VISOR__STATE_X86_APIC_BASE: return set_apic_base(vcpu, buf, length);
    case VISOR__STATE_X86_CPUID:
        return haxm_cpuid_set(vcpu, buf, length / sizeof(visor_x86_cpuid_entry));
    case VISOR__STATE_X86_REGS: return haxm_set_regs(vcpu, buf);
    case VISOR__STATE_X86_SREGS: return haxm_set_sregs(vcpu, buf);
    case VISOR__STATE_X86_DEBUGREGS: return haxm_set_debugregs(vcpu, buf);
    case VISOR__STATE_X86_FPU: return haxm_set_fpu(vcpu, buf);
    case VISOR__STATE_X86_XSAVE: return haxm_set_xsave(vcpu, buf);
    case VISOR__STATE_X86_XCRS: return haxm_set_xcrs(buf);
    case VISOR__STATE_X86_EVENTS: return set_events(v, buf);
    case VISOR__STATE_X86_NESTED:
        return length == 0 ? 0
                           : visor__error(VISOR_EUNSUPPORTED, "haxm", "nested",
                                          "there is no virtualization inside the guest");
    default: return VISOR_EUNSUPPORTED;
    }
}
