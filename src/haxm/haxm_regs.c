/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers of a vCPU: one structure of the driver's, which is read and written as a whole; EFER is
 * an MSR.
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

void haxm_get_regs(visor_x86_regs *out, const struct haxm_vcpu *v)
{
    const struct vcpu_state_t *s = &v->state;

    *out = (visor_x86_regs){.rax = s->_rax, .rbx = s->_rbx, .rcx = s->_rcx, .rdx = s->_rdx};
    out->rsi = s->_rsi, out->rdi = s->_rdi, out->rsp = s->_rsp, out->rbp = s->_rbp;
    memcpy(&out->r8, &s->_r8, 8 * sizeof(out->r8));
    out->rip = s->_rip;
    out->rflags = v->stepping ? s->_rflags & ~(uint64_t)HAXM_RFLAGS_TF : s->_rflags;
}

int haxm_set_regs(visor_vcpu *vcpu, const visor_x86_regs *in)
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

int haxm_get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu)
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
int haxm_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *in)
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

void haxm_get_debugregs(visor_x86_debugregs *out, struct haxm_vcpu *v)
{
    uint64_t own[6];
    const uint64_t *from = v->debugging ? v->guest_dr : own;

    haxm_debug_follow(v);
    haxm_debug_registers(own, &v->state);
    memcpy(out->db, from, sizeof(out->db));
    out->dr6 = from[4];
    out->dr7 = from[5];
}

int haxm_set_debugregs(visor_vcpu *vcpu, const visor_x86_debugregs *in)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct vcpu_state_t *s = &v->state;

    haxm_debug_follow(v);
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

/* ---- INIT ---- */

int haxm_regs_init(visor_vcpu *vcpu)
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
    ret = haxm_set_sregs(vcpu, &sregs);
    if (ret == 0)
        ret = haxm_load(vcpu);
    if (ret == 0)
        ret = haxm_set_regs(vcpu, &regs);
    if (ret == 0)
        ret = haxm_load(vcpu);
    /* Last: where a later request changes no debug register, the driver forgets that it has to load
     * those that were changed before. */
    return ret == 0 ? haxm_set_debugregs(vcpu, &debugregs) : ret;
}
