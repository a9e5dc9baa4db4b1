/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces of vCPU state, each in one call of the platform. */
#include "whpx/whpx.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- general registers: in the order of visor_x86_regs ---- */

static const WHV_REGISTER_NAME general[] = {
    WHvX64RegisterRax, WHvX64RegisterRbx, WHvX64RegisterRcx,   WHvX64RegisterRdx, WHvX64RegisterRsi,
    WHvX64RegisterRdi, WHvX64RegisterRsp, WHvX64RegisterRbp,   WHvX64RegisterR8,  WHvX64RegisterR9,
    WHvX64RegisterR10, WHvX64RegisterR11, WHvX64RegisterR12,   WHvX64RegisterR13, WHvX64RegisterR14,
    WHvX64RegisterR15, WHvX64RegisterRip, WHvX64RegisterRflags};
_Static_assert(sizeof(visor_x86_regs) == COUNT(general) * 8, "one for each member");

int whpx_get_regs(visor_x86_regs *out, visor_vcpu *vcpu)
{
    WHV_REGISTER_VALUE values[COUNT(general)];
    int ret = whpx_get_registers(vcpu, general, COUNT(general), values);

    for (size_t i = 0; ret == 0 && i < COUNT(general); i++)
        ((uint64_t *)out)[i] = values[i].Reg64;
    return ret;
}

int whpx_set_regs(visor_vcpu *vcpu, const visor_x86_regs *regs)
{
    WHV_REGISTER_VALUE values[COUNT(general)];

    for (size_t i = 0; i < COUNT(general); i++)
        values[i] = (WHV_REGISTER_VALUE){.Reg64 = ((const uint64_t *)regs)[i]};
    return whpx_set_registers(vcpu, general, COUNT(general), values);
}

/* ---- system registers ---- */

static const WHV_REGISTER_NAME system_names[] = {
    WHvX64RegisterCs,   WHvX64RegisterDs,   WHvX64RegisterEs,   WHvX64RegisterFs,
    WHvX64RegisterGs,   WHvX64RegisterSs,   WHvX64RegisterTr,   WHvX64RegisterLdtr,
    WHvX64RegisterGdtr, WHvX64RegisterIdtr, WHvX64RegisterCr0,  WHvX64RegisterCr2,
    WHvX64RegisterCr3,  WHvX64RegisterCr4,  WHvX64RegisterEfer, WHvX64RegisterCr8};
#define SEGMENTS 8u

static void from_segment(visor_x86_segment *out, const WHV_X64_SEGMENT_REGISTER *in)
{
    *out = (visor_x86_segment){
        .base = in->Base,
        .limit = in->Limit,
        .selector = in->Selector,
        .type = in->SegmentType,
        .present = in->Present,
        .dpl = in->DescriptorPrivilegeLevel,
        .db = in->Default,
        .s = in->NonSystemSegment,
        .l = in->Long,
        .g = in->Granularity,
        .avl = in->Available,
        .unusable = !in->Present, /* the platform has no bit for it */
    };
}

static WHV_REGISTER_VALUE to_segment(const visor_x86_segment *in)
{
    const unsigned present = in->present && !in->unusable;

    return (WHV_REGISTER_VALUE){
        .Segment = {
            .Base = in->base,
            .Limit = in->limit,
            .Selector = in->selector,
            .Attributes = (uint16_t)((in->type & 15u) | (in->s & 1u) << 4 | (in->dpl & 3u) << 5 |
                                     present << 7 | (in->avl & 1u) << 12 | (in->l & 1u) << 13 |
                                     (in->db & 1u) << 14 | (in->g & 1u) << 15),
        }};
}

int whpx_get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu)
{
    WHV_REGISTER_VALUE values[COUNT(system_names)];
    visor_x86_segment *const segments[SEGMENTS] = {&out->cs, &out->ds, &out->es, &out->fs,
                                                   &out->gs, &out->ss, &out->tr, &out->ldt};
    int ret = whpx_get_registers(vcpu, system_names, COUNT(system_names), values);

    if (ret < 0)
        return ret;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < SEGMENTS; i++)
        from_segment(segments[i], &values[i].Segment);
    out->gdt = (visor_x86_table){.base = values[8].Table.Base, .limit = values[8].Table.Limit};
    out->idt = (visor_x86_table){.base = values[9].Table.Base, .limit = values[9].Table.Limit};
    out->cr0 = values[10].Reg64;
    out->cr2 = values[11].Reg64;
    out->cr3 = values[12].Reg64;
    out->cr4 = values[13].Reg64;
    out->efer = values[14].Reg64;
    out->cr8 = vcpu->lapic != NULL ? visor__lapic_get_cr8(vcpu->lapic) : values[15].Reg64 & 15;
    return 0;
}

/* What no processor can be in: the platform would say so at the next run only. */
static int check_sregs(const visor_x86_sregs *sregs)
{
    const bool paging = sregs->cr0 >> 31 & 1, lma = (sregs->efer & 0x400) != 0;
    const char *wrong = NULL;

    if ((paging && (sregs->cr0 & 1) == 0) || sregs->cr0 >> 32 != 0)
        wrong = "cr0";
    else if (lma != ((sregs->efer & 0x100) != 0 && paging) || (lma && (sregs->cr4 & 0x20) == 0))
        wrong = "efer";
    else if (sregs->cs.l && sregs->cs.db && lma)
        wrong = "cs.l and cs.db";
    return wrong == NULL ? 0
                         : visor__error(VISOR_EREFUSED, "whpx", "visor_x86_set_sregs",
                                        "%s: no processor can be in that state", wrong);
}

int whpx_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *sregs)
{
    const visor_x86_segment *const segments[SEGMENTS] = {&sregs->cs, &sregs->ds, &sregs->es,
                                                         &sregs->fs, &sregs->gs, &sregs->ss,
                                                         &sregs->tr, &sregs->ldt};
    WHV_REGISTER_VALUE values[COUNT(system_names)];
    int ret = check_sregs(sregs);

    if (ret < 0)
        return ret;
    memset(values, 0, sizeof(values));
    for (unsigned i = 0; i < SEGMENTS; i++)
        values[i] = to_segment(segments[i]);
    values[8].Table = (WHV_X64_TABLE_REGISTER){.Limit = sregs->gdt.limit, .Base = sregs->gdt.base};
    values[9].Table = (WHV_X64_TABLE_REGISTER){.Limit = sregs->idt.limit, .Base = sregs->idt.base};
    values[10].Reg64 = sregs->cr0;
    values[11].Reg64 = sregs->cr2;
    values[12].Reg64 = sregs->cr3;
    values[13].Reg64 = sregs->cr4;
    values[14].Reg64 = sregs->efer;
    values[15].Reg64 = sregs->cr8 & 15;
    ret = whpx_set_registers(vcpu, system_names, COUNT(system_names), values);
    if (ret == 0 && vcpu->lapic != NULL) {
        whpx_vcpu_of(vcpu)->cr8 = sregs->cr8 & 15;
        visor__lapic_set_cr8(vcpu->lapic, sregs->cr8 & 15);
    }
    return ret;
}

/* ---- x87 and SSE ---- */

#define VECTORS 26u /* 16 XMM, 8 ST, and two with the rest: their numbers follow each other */

static void vector_names(WHV_REGISTER_NAME names[VECTORS])
{
    for (unsigned i = 0; i < VECTORS; i++)
        names[i] = (WHV_REGISTER_NAME)(WHvX64RegisterXmm0 + i);
}

int whpx_get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu)
{
    WHV_REGISTER_NAME names[VECTORS];
    WHV_REGISTER_VALUE values[VECTORS];
    int ret;

    vector_names(names);
    ret = whpx_get_registers(vcpu, names, VECTORS, values);
    if (ret < 0)
        return ret;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 16; i++)
        memcpy(out->xmm[i], &values[i], 16);
    for (unsigned i = 0; i < 8; i++) {
        out->st[i].significand = values[16 + i].Reg128.Low64;
        out->st[i].sign_exponent = (uint16_t)values[16 + i].Reg128.High64;
    }
    out->fcw = values[24].FpControlStatus.FpControl;
    out->fsw = values[24].FpControlStatus.FpStatus;
    out->ftw = values[24].FpControlStatus.FpTag;
    out->last_opcode = values[24].FpControlStatus.LastFpOp;
    out->last_ip = values[24].FpControlStatus.LastFpRip;
    out->last_dp = values[25].XmmControlStatus.LastFpRdp;
    out->mxcsr = values[25].XmmControlStatus.XmmStatusControl;
    return 0;
}

int whpx_set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *fpu)
{
    WHV_REGISTER_NAME names[VECTORS];
    WHV_REGISTER_VALUE values[VECTORS];

    if (fpu->mxcsr >> 16 != 0)
        return visor__error(VISOR_EREFUSED, "whpx", "visor_x86_set_fpu", "mxcsr: 0x%x", fpu->mxcsr);
    vector_names(names);
    memset(values, 0, sizeof(values));
    for (unsigned i = 0; i < 16; i++)
        memcpy(&values[i], fpu->xmm[i], 16);
    for (unsigned i = 0; i < 8; i++) {
        values[16 + i].Reg128.Low64 = fpu->st[i].significand;
        values[16 + i].Reg128.High64 = fpu->st[i].sign_exponent;
    }
    values[24].FpControlStatus.FpControl = fpu->fcw;
    values[24].FpControlStatus.FpStatus = fpu->fsw;
    values[24].FpControlStatus.FpTag = fpu->ftw;
    values[24].FpControlStatus.LastFpOp = fpu->last_opcode;
    values[24].FpControlStatus.LastFpRip = fpu->last_ip;
    values[25].XmmControlStatus.LastFpRdp = fpu->last_dp;
    values[25].XmmControlStatus.XmmStatusControl = fpu->mxcsr;
    values[25].XmmControlStatus.XmmStatusControlMask = 0xffff;
    return whpx_set_registers(vcpu, names, VECTORS, values);
}

/* ---- debug registers, XCR0 ---- */

static const WHV_REGISTER_NAME debug_names[] = {WHvX64RegisterDr0, WHvX64RegisterDr1,
                                                WHvX64RegisterDr2, WHvX64RegisterDr3,
                                                WHvX64RegisterDr6, WHvX64RegisterDr7};
_Static_assert(sizeof(visor_x86_debugregs) == COUNT(debug_names) * 8, "one for each member");

static int get_debugregs(visor_x86_debugregs *out, visor_vcpu *vcpu)
{
    WHV_REGISTER_VALUE values[COUNT(debug_names)];
    int ret = whpx_get_registers(vcpu, debug_names, COUNT(debug_names), values);

    for (size_t i = 0; ret == 0 && i < COUNT(debug_names); i++)
        ((uint64_t *)out)[i] = values[i].Reg64;
    return ret;
}

static int set_debugregs(visor_vcpu *vcpu, const visor_x86_debugregs *in)
{
    WHV_REGISTER_VALUE values[COUNT(debug_names)];

    for (size_t i = 0; i < COUNT(debug_names); i++)
        values[i] = (WHV_REGISTER_VALUE){.Reg64 = ((const uint64_t *)in)[i]};
    return whpx_set_registers(vcpu, debug_names, COUNT(debug_names), values);
}

static int get_xcrs(visor_x86_xcrs *out, visor_vcpu *vcpu)
{
    memset(out, 0, sizeof(*out));
    out->count = 1;
    return whpx_get_number(&out->xcr[0].value, vcpu, WHvX64RegisterXCr0);
}

static int set_xcrs(visor_vcpu *vcpu, const visor_x86_xcrs *xcrs)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < xcrs->count && i < COUNT(xcrs->xcr); i++) {
        const uint64_t value = xcrs->xcr[i].value;

        if (xcrs->xcr[i].index != 0 || (value & 1) == 0 || (value & 6) == 4)
            return visor__error(VISOR_EREFUSED, "whpx", "visor_x86_set_xcrs", "XCR%u = 0x%llx",
                                xcrs->xcr[i].index, (unsigned long long)value);
        ret = whpx_set_number(vcpu, WHvX64RegisterXCr0, value);
    }
    return ret;
}

/* ---- CPUID ---- */

static int set_cpuid(visor_vcpu *vcpu, const void *entries, size_t length)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    visor_x86_cpuid_entry *copy = malloc(length > 0 ? length : 1);

    if (copy == NULL)
        return visor__error(VISOR_ENOMEM, "whpx", "visor_x86_set_cpuid", "%zu bytes", length);
    if (length > 0)
        memcpy(copy, entries, length);
    free(whpx->cpuid);
    whpx->cpuid = copy;
    whpx->cpuid_count = length / sizeof(*copy);
    for (size_t i = 0; vcpu->lapic != NULL && i < whpx->cpuid_count; i++) {
        if (copy[i].function == 1)
            visor__lapic_set_features(vcpu->lapic, (copy[i].ecx >> 21 & 1) != 0,
                                      (copy[i].ecx >> 24 & 1) != 0);
    }
    return 0;
}

/* ---- all pieces ---- */

/* Bytes of a piece, < 0 if this VM has none. */
static int size_of(const visor_vcpu *vcpu, enum visor__state piece)
{
    const struct whpx_hv *hv = whpx_hv_of(vcpu->vm->hv);

    switch (piece) {
    case VISOR__STATE_X86_CPUID:
        return (int)(whpx_vcpu_of(vcpu)->cpuid_count * sizeof(visor_x86_cpuid_entry));
    case VISOR__STATE_X86_NESTED: return 0;
    case VISOR__STATE_X86_LAPIC:
        if (vcpu->lapic != NULL)
            return (int)visor__states[piece].size;
        return visor__error(VISOR_EUNSUPPORTED, "whpx", visor__states[piece].name,
                            "this VM has no interrupt chip");
    case VISOR__STATE_X86_XSAVE:
        if (hv->xsave_size > 0)
            return (int)hv->xsave_size;
        break;
    case VISOR__STATE_X86_XCRS:
        if (hv->xsave_size > 0)
            return (int)visor__states[piece].size;
        break;
    case VISOR__STATE_X86_APIC_BASE:
    case VISOR__STATE_X86_MP_STATE:
    case VISOR__STATE_X86_REGS:
    case VISOR__STATE_X86_SREGS:
    case VISOR__STATE_X86_DEBUGREGS:
    case VISOR__STATE_X86_FPU:
    case VISOR__STATE_X86_EVENTS: return (int)visor__states[piece].size;
    default: break;
    }
    return visor__error(VISOR_EUNSUPPORTED, "whpx", visor__states[piece].name,
                        "this VM has no such state");
}

/*
 * Without a chip the register is the platform's, and nothing depends on it but what the guest reads
 * there: a platform that has none, or keeps its own, is fine. Other hypervisors are told the value
 * after reset then (SDM vol. 3A, 11.4.4).
 */
uint64_t whpx_get_apic_base(visor_vcpu *vcpu)
{
    uint64_t base;

    if (whpx_get_number(&base, vcpu, WHvX64RegisterApicBase) == 0)
        return base;
    return vcpu->id == 0 ? UINT64_C(0xfee00900) : UINT64_C(0xfee00800);
}

static int get_apic_base(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    uint64_t base;

    if (vcpu->lapic != NULL)
        return visor__lapic_get_state(buf, capacity, vcpu->lapic, VISOR__STATE_X86_APIC_BASE);
    base = whpx_get_apic_base(vcpu);
    memcpy(buf, &base, sizeof(base));
    return sizeof(base);
}

static int keep_apic_base(visor_vcpu *vcpu, const void *buf)
{
    uint64_t base;

    memcpy(&base, buf, sizeof(base));
    (void)whpx_set_number(vcpu, WHvX64RegisterApicBase, base);
    return 0;
}

int whpx_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int size = size_of(vcpu, piece), ret;

    if (size <= 0 || capacity < (size_t)size)
        return size;
    ret = whpx_chip_take(vcpu);
    if (ret < 0)
        return ret;
    switch (piece) {
    case VISOR__STATE_X86_LAPIC: return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
    case VISOR__STATE_X86_APIC_BASE: return get_apic_base(buf, capacity, vcpu);
    case VISOR__STATE_X86_MP_STATE:
        *(uint32_t *)buf = whpx->halted ? VISOR_MP_HALTED : whpx->mp_state;
        break;
    case VISOR__STATE_X86_CPUID: memcpy(buf, whpx->cpuid, (size_t)size); break;
    case VISOR__STATE_X86_REGS: ret = whpx_get_regs(buf, vcpu); break;
    case VISOR__STATE_X86_SREGS: ret = whpx_get_sregs(buf, vcpu); break;
    case VISOR__STATE_X86_DEBUGREGS: ret = get_debugregs(buf, vcpu); break;
    case VISOR__STATE_X86_XCRS: ret = get_xcrs(buf, vcpu); break;
    case VISOR__STATE_X86_FPU: ret = whpx_get_fpu(buf, vcpu); break;
    case VISOR__STATE_X86_XSAVE: ret = whpx_get_xsave(buf, capacity, vcpu); break;
    case VISOR__STATE_X86_EVENTS: ret = whpx_get_events(buf, vcpu); break;
    default: break;
    }
    return ret < 0 ? ret : size;
}

int whpx_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int size = size_of(vcpu, piece), ret;

    if (size < 0)
        return size;
    switch (piece) {
    case VISOR__STATE_X86_MP_STATE:
        whpx->mp_state = *(const uint32_t *)buf;
        whpx->halted = whpx->mp_state == VISOR_MP_HALTED;
        if (whpx->halted)
            whpx->mp_state = VISOR_MP_RUNNABLE;
        return 0;
    case VISOR__STATE_X86_APIC_BASE:
        if (vcpu->lapic == NULL)
            return keep_apic_base(vcpu, buf);
        ret = visor__lapic_set_state(vcpu->lapic, piece, buf, length);
        whpx_chip_changed(vcpu);
        return ret;
    case VISOR__STATE_X86_LAPIC:
        ret = visor__lapic_set_state(vcpu->lapic, piece, buf, length);
        whpx_chip_changed(vcpu);
        return ret;
    case VISOR__STATE_X86_CPUID: return set_cpuid(vcpu, buf, length);
    case VISOR__STATE_X86_REGS: {
        /* As on KVM: an exception on its way belongs to the registers before. */
        ret = whpx_set_regs(vcpu, buf);
        return ret < 0 ? ret : whpx_drop_exception(vcpu);
    }
    case VISOR__STATE_X86_SREGS: return whpx_set_sregs(vcpu, buf);
    case VISOR__STATE_X86_DEBUGREGS: return set_debugregs(vcpu, buf);
    case VISOR__STATE_X86_XCRS: return set_xcrs(vcpu, buf);
    case VISOR__STATE_X86_FPU: return whpx_set_fpu(vcpu, buf);
    case VISOR__STATE_X86_XSAVE: return whpx_set_xsave(vcpu, buf, length);
    case VISOR__STATE_X86_EVENTS: return whpx_set_events(vcpu, buf);
    case VISOR__STATE_X86_NESTED:
        return length == 0 ? 0
                           : visor__error(VISOR_EUNSUPPORTED, "whpx", "nested",
                                          "there is no virtualization inside the guest");
    default: return VISOR_EUNSUPPORTED;
    }
}
