/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pieces of vCPU state. Registers are one structure of the driver's, which is read and written as a
 * whole; EFER is an MSR. XCR0 and the upper halves of vector registers cannot be reached at all, so
 * the guest is not offered them (haxm_cpuid.c).
 */
#include <stddef.h>
#include <string.h>

#include "haxm/haxm.h"
#include "irqchip/irqchip.h"

#define CR0_PG    0x80000000u
#define CR4_PAE   0x20u
#define CR0_CD_NW 0x60000000u
#define EFER_LME  0x100u

#define AR_UNUSABLE 0x10000u

/* ---- the structure ---- */

int haxm_load(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int err = 0;

    if (!v->has_state)
        err = haxm_call(&v->node, HAXM_GET_REGS, &v->state, sizeof(v->state));
    v->has_state = err == 0;
    return err != 0 ? haxm_error(HAXM_GET_REGS, err, "vCPU %u", vcpu->id) : 0;
}

int haxm_store(visor_vcpu *vcpu, const char *operation)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct vcpu_state_t state = v->state;
    int err;

    /* Which the driver does not touch, but writes over what single step has set. */
    if (v->stepping)
        state._rflags |= HAXM_RFLAGS_TF;
    err = haxm_call(&v->node, HAXM_SET_REGS, &state, sizeof(state));
    v->has_state = false;
    return err != 0 ? haxm_error(HAXM_SET_REGS, err, "vCPU %u, %s", vcpu->id, operation) : 0;
}

/* ---- general registers ---- */

static void get_regs(visor_x86_regs *out, const struct haxm_vcpu *v)
{
    const struct vcpu_state_t *s = &v->state;

    *out = (visor_x86_regs){.rax = s->_rax, .rbx = s->_rbx, .rcx = s->_rcx, .rdx = s->_rdx};
    out->rsi = s->_rsi, out->rdi = s->_rdi, out->rsp = s->_rsp, out->rbp = s->_rbp;
    memcpy(&out->r8, &s->_r8, 8 * sizeof(out->r8));
    out->rip = s->_rip;
    out->rflags = v->stepping ? s->_rflags & ~(uint64_t)HAXM_RFLAGS_TF : s->_rflags;
}

static int set_regs(visor_vcpu *vcpu, const visor_x86_regs *in)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct vcpu_state_t *s = &v->state;

    s->_rax = in->rax, s->_rbx = in->rbx, s->_rcx = in->rcx, s->_rdx = in->rdx;
    s->_rsi = in->rsi, s->_rdi = in->rdi, s->_rsp = in->rsp, s->_rbp = in->rbp;
    memcpy(&s->_r8, &in->r8, 8 * sizeof(in->r8));
    s->_rip = in->rip;
    /* Only the driver knows of a shadow, and only after an exit. */
    if (((s->_rflags ^ in->rflags) & HAXM_RFLAGS_IF) != 0)
        v->ready = (in->rflags & HAXM_RFLAGS_IF) != 0;
    s->_rflags = in->rflags;
    v->exception_pending = false; /* as on KVM: it belongs to the registers before */
    return haxm_store(vcpu, "regs");
}

/* ---- segments ---- */

static void get_segment(visor_x86_segment *out, const struct segment_desc_t *in)
{
    uint32_t ar = in->ar;

    *out = (visor_x86_segment){.base = in->base,
                               .limit = in->limit,
                               .selector = in->selector,
                               .type = ar & 15,
                               .s = ar >> 4 & 1,
                               .dpl = ar >> 5 & 3,
                               .present = ar >> 7 & 1,
                               .avl = ar >> 12 & 1,
                               .l = ar >> 13 & 1,
                               .db = ar >> 14 & 1,
                               .g = ar >> 15 & 1,
                               .unusable = (ar & AR_UNUSABLE) != 0 || (ar >> 7 & 1) == 0};
}

static void set_segment(struct segment_desc_t *out, const visor_x86_segment *in)
{
    bool unusable = in->unusable != 0 || in->present == 0;

    *out = (struct segment_desc_t){
        .selector = in->selector,
        .limit = in->limit,
        .base = in->base,
        .ar = (in->type & 15u) | (in->s & 1u) << 4 | (in->dpl & 3u) << 5 | (in->present & 1u) << 7 |
              (in->avl & 1u) << 12 | (in->l & 1u) << 13 | (in->db & 1u) << 14 | (in->g & 1u) << 15 |
              (unusable ? AR_UNUSABLE : 0)};
}

/* Where the same segment is in the two structures. */
static const struct {
    size_t visor, driver;
} segments[] = {
#define SEGMENT(name)                                                           \
    {                                                                           \
        offsetof(visor_x86_sregs, name), offsetof(struct vcpu_state_t, _##name) \
    }
    SEGMENT(cs), SEGMENT(ds), SEGMENT(es), SEGMENT(fs), SEGMENT(gs),
    SEGMENT(ss), SEGMENT(tr), SEGMENT(ldt)
#undef SEGMENT
};

static int get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu)
{
    const struct vcpu_state_t *s = &haxm_vcpu_of(vcpu)->state;
    visor_x86_msr efer = {.index = HAXM_MSR_EFER};

    if (haxm_get_msrs(&efer, 1, vcpu) != 1)
        return visor_error_last()->code;
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
        get_segment((void *)((uint8_t *)out + segments[i].visor),
                    (const void *)((const uint8_t *)s + segments[i].driver));
    out->gdt.base = s->_gdt.base, out->gdt.limit = (uint16_t)s->_gdt.limit;
    out->idt.base = s->_idt.base, out->idt.limit = (uint16_t)s->_idt.limit;
    out->cr0 = s->_cr0, out->cr2 = s->_cr2, out->cr3 = s->_cr3, out->cr4 = s->_cr4;
    out->cr8 = vcpu->lapic != NULL ? visor__lapic_get_cr8(vcpu->lapic) : 0;
    out->efer = efer.value;
    return 0;
}

static int set_efer(visor_vcpu *vcpu, uint64_t value)
{
    const visor_x86_msr efer = {.index = HAXM_MSR_EFER, .value = value};

    return haxm_write_msr(vcpu, &efer);
}

/* What this driver cannot take over: before anything is changed. */
static int check_sregs(const visor_vcpu *vcpu, const visor_x86_sregs *in)
{
    const struct vcpu_state_t *now = &haxm_vcpu_of(vcpu)->state;
    bool changed = in->cr0 != now->_cr0 || in->cr3 != now->_cr3 || in->cr4 != now->_cr4;

    if (vcpu->lapic == NULL && in->cr8 != 0)
        return visor__error(VISOR_EUNSUPPORTED, "haxm", "visor_x86_set_sregs",
                            "cr8 is 0x%llx, and the driver has none", (unsigned long long)in->cr8);
    /* The processor has them in registers of their own (SDM vol. 3A, 4.4.1), which the driver does
     * not load. */
    if (changed && (in->cr0 & CR0_PG) != 0 && (in->cr4 & CR4_PAE) != 0 &&
        (in->efer & EFER_LME) == 0)
        return visor__error(VISOR_EUNSUPPORTED, "haxm", "visor_x86_set_sregs",
                            "PAE paging: the driver does not load the entries that CR3 points to");
    return 0;
}

/*
 * EFER comes first: the driver works out LMA when control registers change. Where it switches
 * paging without PAE on, it clears EFER.
 */
static int set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *in)
{
    struct vcpu_state_t *s = &haxm_vcpu_of(vcpu)->state;
    bool cleared = (in->cr0 & CR0_PG) != 0 && (in->cr4 & CR4_PAE) == 0 && in->efer != 0;
    int ret = check_sregs(vcpu, in);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
        set_segment((void *)((uint8_t *)s + segments[i].driver),
                    (const void *)((const uint8_t *)in + segments[i].visor));
    s->_gdt.base = in->gdt.base, s->_gdt.limit = in->gdt.limit;
    s->_idt.base = in->idt.base, s->_idt.limit = in->idt.limit;
    s->_cr0 = in->cr0, s->_cr2 = in->cr2, s->_cr3 = in->cr3, s->_cr4 = in->cr4;
    if (vcpu->lapic != NULL)
        visor__lapic_set_cr8(vcpu->lapic, in->cr8 & 15);
    ret = set_efer(vcpu, in->efer);
    if (ret == 0)
        ret = haxm_store(vcpu, "sregs");
    return ret == 0 && cleared ? set_efer(vcpu, in->efer) : ret;
}

/* ---- debug registers: the guest's, also while breakpoints have the processor's ---- */

static void get_debugregs(visor_x86_debugregs *out, const struct haxm_vcpu *v)
{
    const struct vcpu_state_t *s = &v->state;
    const uint64_t own[6] = {s->_dr0, s->_dr1, s->_dr2, s->_dr3, s->_dr6, s->_dr7};
    const uint64_t *from = v->debugging ? v->guest_dr : own;

    memcpy(out->db, from, sizeof(out->db));
    out->dr6 = from[4];
    out->dr7 = from[5];
}

static int set_debugregs(visor_vcpu *vcpu, const visor_x86_debugregs *in)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct vcpu_state_t *s = &v->state;

    if (v->debugging) {
        memcpy(v->guest_dr, in->db, sizeof(in->db));
        v->guest_dr[4] = in->dr6;
        v->guest_dr[5] = in->dr7;
        return 0;
    }
    s->_dr0 = in->db[0], s->_dr1 = in->db[1], s->_dr2 = in->db[2], s->_dr3 = in->db[3];
    s->_dr6 = in->dr6;
    s->_dr7 = in->dr7;
    return haxm_store(vcpu, "debugregs");
}

/* ---- x87 and SSE ---- */

static int read_fpu(struct fx_layout *out, visor_vcpu *vcpu)
{
    int err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_GET_FPU, out, sizeof(*out));

    return err != 0 ? haxm_error(HAXM_GET_FPU, err, "vCPU %u", vcpu->id) : 0;
}

static int get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu)
{
    struct fx_layout fx;
    int ret = read_fpu(&fx, vcpu);

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&out->st[i].significand, fx.st_mm[i], 8);
        memcpy(&out->st[i].sign_exponent, fx.st_mm[i] + 8, 2);
    }
    memcpy(out->xmm[0], fx.mmx_1, sizeof(fx.mmx_1));
    memcpy(out->xmm[8], fx.mmx_2, sizeof(fx.mmx_2));
    out->last_ip = fx.fpu_ip;
    out->last_dp = fx.fpu_dp;
    out->mxcsr = fx.mxcsr;
    out->fcw = fx.fcw;
    out->fsw = fx.fsw;
    out->last_opcode = fx.fop;
    out->ftw = fx.ftw;
    return ret;
}

static int set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *in)
{
    struct fx_layout fx;
    int ret = read_fpu(&fx, vcpu); /* the mask of MXCSR is the processor's */
    int err;

    if (ret < 0)
        return ret;
    /* The driver loads it with FXRSTOR, which faults. */
    if ((in->mxcsr & ~(fx.mxcsr_mask != 0 ? fx.mxcsr_mask : 0xffbfu)) != 0)
        return visor__error(VISOR_EREFUSED, "haxm", "visor_x86_set_fpu", "mxcsr: 0x%x", in->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        memset(fx.st_mm[i], 0, sizeof(fx.st_mm[i]));
        memcpy(fx.st_mm[i], &in->st[i].significand, 8);
        memcpy(fx.st_mm[i] + 8, &in->st[i].sign_exponent, 2);
    }
    memcpy(fx.mmx_1, in->xmm[0], sizeof(fx.mmx_1));
    memcpy(fx.mmx_2, in->xmm[8], sizeof(fx.mmx_2));
    fx.fpu_ip = in->last_ip;
    fx.fpu_dp = in->last_dp;
    fx.mxcsr = in->mxcsr;
    fx.fcw = in->fcw;
    fx.fsw = in->fsw;
    fx.fop = in->last_opcode;
    fx.ftw = in->ftw;
    err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_SET_FPU, &fx, sizeof(fx));
    return err != 0 ? haxm_error(HAXM_SET_FPU, err, "vCPU %u", vcpu->id) : 0;
}

/* ---- XCR0: of a guest without XSAVE ---- */

static void get_xcrs(visor_x86_xcrs *out)
{
    memset(out, 0, sizeof(*out));
    out->count = 1;
    out->xcr[0].value = 1; /* x87 */
}

static int set_xcrs(const visor_x86_xcrs *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->xcr[i].index != 0 || in->xcr[i].value != 1)
            return visor__error(VISOR_EMISMATCH, "haxm", "visor_x86_set_xcrs",
                                "XCR%u = 0x%llx, of a guest without XSAVE", in->xcr[i].index,
                                (unsigned long long)in->xcr[i].value);
    }
    return 0;
}

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

/* ---- INIT ---- */

int haxm_state_init(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    const visor_x86_debugregs debugregs = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
    int ret = haxm_load(vcpu);

    if (ret < 0)
        return ret;
    visor_x86_reset_regs(&regs);
    regs.rdx = 0x600; /* a processor of family 6 */
    visor_x86_reset_sregs(&sregs);
    /* INIT leaves caches as they are (SDM vol. 3A, table 10-1). */
    sregs.cr0 = (sregs.cr0 & ~(uint64_t)CR0_CD_NW) | (v->state._cr0 & CR0_CD_NW);
    v->irq_pending = v->nmi_pending = v->exception_pending = false;
    ret = set_sregs(vcpu, &sregs);
    if (ret == 0)
        ret = haxm_load(vcpu);
    if (ret == 0)
        ret = set_regs(vcpu, &regs);
    if (ret == 0)
        ret = haxm_load(vcpu);
    /* Last: where a later request changes no debug register, the driver forgets that it has to load
     * those that were changed before. */
    return ret == 0 ? set_debugregs(vcpu, &debugregs) : ret;
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
    case VISOR__STATE_X86_APIC_BASE:
        if (vcpu->lapic != NULL)
            return (int)visor__states[piece].size;
        return visor__error(VISOR_EUNSUPPORTED, "haxm", visor__states[piece].name,
                            "this VM has no interrupt chip");
    case VISOR__STATE_X86_MP_STATE:
    case VISOR__STATE_X86_REGS:
    case VISOR__STATE_X86_SREGS:
    case VISOR__STATE_X86_DEBUGREGS:
    case VISOR__STATE_X86_FPU:
    case VISOR__STATE_X86_XCRS:
    case VISOR__STATE_X86_EVENTS: return (int)visor__states[piece].size;
    case VISOR__STATE_X86_XSAVE:
        return visor__error(VISOR_EUNSUPPORTED, "haxm", visor__states[piece].name,
                            "the driver has no request for it, and the guest no XSAVE");
    default:
        return visor__error(VISOR_EUNSUPPORTED, "haxm", visor__states[piece].name,
                            "this VM has no such state");
    }
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
    case VISOR__STATE_X86_LAPIC:
    case VISOR__STATE_X86_APIC_BASE:
        return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
    case VISOR__STATE_X86_MP_STATE: *(uint32_t *)buf = v->mp_state; break;
    case VISOR__STATE_X86_REGS: get_regs(buf, v); break;
    case VISOR__STATE_X86_SREGS: ret = get_sregs(buf, vcpu); break;
    case VISOR__STATE_X86_DEBUGREGS: get_debugregs(buf, v); break;
    case VISOR__STATE_X86_FPU: ret = get_fpu(buf, vcpu); break;
    case VISOR__STATE_X86_XCRS: get_xcrs(buf); break;
    case VISOR__STATE_X86_EVENTS: get_events(buf, v); break;
    default: break;
    }
    return ret < 0 ? ret : size;
}

/* Into the chip, and into the MSR that the guest reads. */
static int set_apic_base(visor_vcpu *vcpu, const void *buf, size_t length)
{
    visor_x86_msr msr = {.index = HAXM_MSR_APIC_BASE};
    int ret;

    memcpy(&msr.value, buf, sizeof(msr.value));
    ret = haxm_write_msr(vcpu, &msr);
    if (ret < 0)
        return ret;
    haxm_vcpu_of(vcpu)->apic_base = msr.value;
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
    case VISOR__STATE_X86_REGS: return set_regs(vcpu, buf);
    case VISOR__STATE_X86_SREGS: return set_sregs(vcpu, buf);
    case VISOR__STATE_X86_DEBUGREGS: return set_debugregs(vcpu, buf);
    case VISOR__STATE_X86_FPU: return set_fpu(vcpu, buf);
    case VISOR__STATE_X86_XCRS: return set_xcrs(buf);
    case VISOR__STATE_X86_EVENTS: return set_events(v, buf);
    case VISOR__STATE_X86_NESTED:
        return length == 0 ? 0
                           : visor__error(VISOR_EUNSUPPORTED, "haxm", "nested",
                                          "there is no virtualization inside the guest");
    default: return VISOR_EUNSUPPORTED;
    }
}
