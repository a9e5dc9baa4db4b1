/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers. A call gathers the groups that its names belong to, changes them, and writes back what
 * it has changed: all names are known before any is set.
 */
#include "platform.h"

#include <string.h>

#include "irqchip/irqchip.h"

enum group {
    GROUP_REGS = 1 << 0,
    GROUP_SREGS = 1 << 1,
    GROUP_FPU = 1 << 2,
    GROUP_DEBUG = 1 << 3,
    GROUP_XCRS = 1 << 4,
    GROUP_EVENTS = 1 << 5,
};

struct bundle {
    struct partition *partition;
    struct vp *vp;
    unsigned loaded, changed;
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    visor_x86_fpu fpu;
    visor_x86_debugregs debug;
    visor_x86_xcrs xcrs;
    visor_x86_events events;
};

static HRESULT load(struct bundle *bundle, unsigned group)
{
    visor_vcpu *vcpu = bundle->vp->vcpu;
    int ret = 0;

    if ((bundle->loaded & group) != 0)
        return S_OK;
    switch (group) {
    case GROUP_REGS: ret = visor_x86_get_regs(&bundle->regs, vcpu); break;
    case GROUP_SREGS: ret = visor_x86_get_sregs(&bundle->sregs, vcpu); break;
    case GROUP_FPU: ret = visor_x86_get_fpu(&bundle->fpu, vcpu); break;
    case GROUP_DEBUG: ret = visor_x86_get_debugregs(&bundle->debug, vcpu); break;
    case GROUP_XCRS: ret = visor_x86_get_xcrs(&bundle->xcrs, vcpu); break;
    default: ret = visor_x86_get_events(&bundle->events, vcpu); break;
    }
    bundle->loaded |= group;
    return platform_result(ret);
}

static HRESULT store(struct bundle *bundle)
{
    visor_vcpu *vcpu = bundle->vp->vcpu;
    HRESULT result = S_OK;
    int ret = 0;

    /* Setting registers drops an exception on its way, which the platform keeps. */
    if ((bundle->changed & GROUP_REGS) != 0) {
        result = load(bundle, GROUP_EVENTS);
        bundle->changed |= GROUP_EVENTS;
    }
    if (result == S_OK && (bundle->changed & GROUP_REGS) != 0)
        ret = visor_x86_set_regs(vcpu, &bundle->regs);
    if (ret == 0 && (bundle->changed & GROUP_SREGS) != 0)
        ret = visor_x86_set_sregs(vcpu, &bundle->sregs);
    if (ret == 0 && (bundle->changed & GROUP_FPU) != 0)
        ret = visor_x86_set_fpu(vcpu, &bundle->fpu);
    if (ret == 0 && (bundle->changed & GROUP_DEBUG) != 0)
        ret = visor_x86_set_debugregs(vcpu, &bundle->debug);
    if (ret == 0 && (bundle->changed & GROUP_XCRS) != 0)
        ret = visor_x86_set_xcrs(vcpu, &bundle->xcrs);
    if (ret == 0 && (bundle->changed & GROUP_EVENTS) != 0)
        ret = visor_x86_set_events(vcpu, &bundle->events);
    return result != S_OK ? result : platform_result(ret);
}

/* ---- what is a number at an address ---- */

struct plain {
    uint32_t name;
    uint8_t group;
    uint16_t offset; /* in struct bundle */
};
#define AT(id, group, member)                                                \
    {                                                                        \
        WHvX64Register##id, group, (uint16_t)offsetof(struct bundle, member) \
    }
static const struct plain plain[] = {
    AT(Rax, GROUP_REGS, regs.rax),
    AT(Rcx, GROUP_REGS, regs.rcx),
    AT(Rdx, GROUP_REGS, regs.rdx),
    AT(Rbx, GROUP_REGS, regs.rbx),
    AT(Rsp, GROUP_REGS, regs.rsp),
    AT(Rbp, GROUP_REGS, regs.rbp),
    AT(Rsi, GROUP_REGS, regs.rsi),
    AT(Rdi, GROUP_REGS, regs.rdi),
    AT(R8, GROUP_REGS, regs.r8),
    AT(R9, GROUP_REGS, regs.r9),
    AT(R10, GROUP_REGS, regs.r10),
    AT(R11, GROUP_REGS, regs.r11),
    AT(R12, GROUP_REGS, regs.r12),
    AT(R13, GROUP_REGS, regs.r13),
    AT(R14, GROUP_REGS, regs.r14),
    AT(R15, GROUP_REGS, regs.r15),
    AT(Rip, GROUP_REGS, regs.rip),
    AT(Rflags, GROUP_REGS, regs.rflags),
    AT(Cr0, GROUP_SREGS, sregs.cr0),
    AT(Cr2, GROUP_SREGS, sregs.cr2),
    AT(Cr3, GROUP_SREGS, sregs.cr3),
    AT(Cr4, GROUP_SREGS, sregs.cr4),
    AT(Cr8, GROUP_SREGS, sregs.cr8),
    AT(Efer, GROUP_SREGS, sregs.efer),
    AT(Dr0, GROUP_DEBUG, debug.db[0]),
    AT(Dr1, GROUP_DEBUG, debug.db[1]),
    AT(Dr2, GROUP_DEBUG, debug.db[2]),
    AT(Dr3, GROUP_DEBUG, debug.db[3]),
    AT(Dr6, GROUP_DEBUG, debug.dr6),
    AT(Dr7, GROUP_DEBUG, debug.dr7),
    AT(XCr0, GROUP_XCRS, xcrs.xcr[0].value),
};
static const struct plain segments[] = {
    AT(Es, GROUP_SREGS, sregs.es),    AT(Cs, GROUP_SREGS, sregs.cs), AT(Ss, GROUP_SREGS, sregs.ss),
    AT(Ds, GROUP_SREGS, sregs.ds),    AT(Fs, GROUP_SREGS, sregs.fs), AT(Gs, GROUP_SREGS, sregs.gs),
    AT(Ldtr, GROUP_SREGS, sregs.ldt), AT(Tr, GROUP_SREGS, sregs.tr),
};
static const struct plain tables[] = {AT(Idtr, GROUP_SREGS, sregs.idt),
                                      AT(Gdtr, GROUP_SREGS, sregs.gdt)};

static const struct {
    uint32_t name, msr;
} msrs[] = {
    {WHvX64RegisterTsc, 0x10},          {WHvX64RegisterKernelGsBase, 0xc0000102},
    {WHvX64RegisterPat, 0x277},         {WHvX64RegisterSysenterCs, 0x174},
    {WHvX64RegisterSysenterEip, 0x176}, {WHvX64RegisterSysenterEsp, 0x175},
    {WHvX64RegisterStar, 0xc0000081},   {WHvX64RegisterLstar, 0xc0000082},
    {WHvX64RegisterCstar, 0xc0000083},  {WHvX64RegisterSfmask, 0xc0000084},
    {WHvX64RegisterMsrMtrrCap, 0xfe},   {WHvX64RegisterMsrMtrrDefType, 0x2ff},
    {WHvX64RegisterTscAux, 0xc0000103}, {WHvX64RegisterSpecCtrl, 0x48},
    {WHvX64RegisterPredCmd, 0x49},      {WHvX64RegisterXss, 0xda0},
    {WHvX64RegisterTscAdjust, 0x3b},    {WHPX_REGISTER_MISC_ENABLE, 0x1a0},
};

static const uint32_t fixed_mtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                       0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

/* The MSR that a register is; 0: it is none. */
static uint32_t msr_of(uint32_t name)
{
    for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        if (msrs[i].name == name)
            return msrs[i].msr;
    }
    /* Eight pairs, as its capability register says. */
    if (name >= WHvX64RegisterMsrMtrrPhysBase0 && name < WHvX64RegisterMsrMtrrPhysBase0 + 8u)
        return 0x200 + 2 * (name - WHvX64RegisterMsrMtrrPhysBase0);
    if (name >= WHvX64RegisterMsrMtrrPhysMask0 && name < WHvX64RegisterMsrMtrrPhysMask0 + 8u)
        return 0x201 + 2 * (name - WHvX64RegisterMsrMtrrPhysMask0);
    if (name >= WHvX64RegisterMsrMtrrFix64k00000 && name <= WHvX64RegisterMsrMtrrFix4kF8000)
        return fixed_mtrrs[name - WHvX64RegisterMsrMtrrFix64k00000];
    return 0;
}

static const struct plain *find(const struct plain *list, size_t count, uint32_t name)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].name == name)
            return &list[i];
    }
    return NULL;
}
#define FIND(list, name) find((list), sizeof(list) / sizeof((list)[0]), (name))

static bool is_known(const struct bundle *bundle, uint32_t name)
{
    if (FIND(plain, name) != NULL || FIND(segments, name) != NULL || FIND(tables, name) != NULL ||
        msr_of(name) != 0)
        return true;
    switch (name) {
    case WHvX64RegisterApicBase: return !platform_plays("baseless");
    case WHvX64RegisterInitialApicId:
    case WHvRegisterPendingInterruption:
    case WHvRegisterInterruptState:
    case WHvRegisterPendingEvent:
    case WHvX64RegisterDeliverabilityNotifications:
    case WHvRegisterInternalActivityState: return true;
    case WHvX64RegisterTscDeadline:
        return bundle->partition->apic != WHvX64LocalApicEmulationModeNone;
    default: return name >= WHvX64RegisterXmm0 && name <= WHvX64RegisterXmmControlStatus;
    }
}

/* ---- segments, vectors ---- */

static void set_segment(visor_x86_segment *out, const WHV_X64_SEGMENT_REGISTER *in)
{
    *out = (visor_x86_segment){.base = in->Base,
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
                               .unusable = !in->Present};
}

static void get_vector(WHV_REGISTER_VALUE *out, const visor_x86_fpu *fpu, uint32_t name)
{
    if (name <= WHvX64RegisterXmm15) {
        memcpy(out, fpu->xmm[name - WHvX64RegisterXmm0], 16);
    } else if (name <= WHvX64RegisterFpMmx7) {
        memcpy(out, &fpu->st[name - WHvX64RegisterFpMmx0], 16);
    } else if (name == WHvX64RegisterFpControlStatus) {
        out->FpControlStatus.FpControl = fpu->fcw;
        out->FpControlStatus.FpStatus = fpu->fsw;
        out->FpControlStatus.FpTag = fpu->ftw;
        out->FpControlStatus.LastFpOp = fpu->last_opcode;
        out->FpControlStatus.LastFpRip = fpu->last_ip;
    } else {
        out->XmmControlStatus.LastFpRdp = fpu->last_dp;
        out->XmmControlStatus.XmmStatusControl = fpu->mxcsr;
        out->XmmControlStatus.XmmStatusControlMask = 0xffff;
    }
}

static void set_vector(visor_x86_fpu *fpu, uint32_t name, const WHV_REGISTER_VALUE *in)
{
    if (name <= WHvX64RegisterXmm15) {
        memcpy(fpu->xmm[name - WHvX64RegisterXmm0], in, 16);
    } else if (name <= WHvX64RegisterFpMmx7) {
        fpu->st[name - WHvX64RegisterFpMmx0].significand = in->Reg128.Low64;
        fpu->st[name - WHvX64RegisterFpMmx0].sign_exponent = (uint16_t)in->Reg128.High64;
    } else if (name == WHvX64RegisterFpControlStatus) {
        fpu->fcw = in->FpControlStatus.FpControl;
        fpu->fsw = in->FpControlStatus.FpStatus;
        fpu->ftw = in->FpControlStatus.FpTag;
        fpu->last_opcode = in->FpControlStatus.LastFpOp;
        fpu->last_ip = in->FpControlStatus.LastFpRip;
    } else {
        fpu->last_dp = in->XmmControlStatus.LastFpRdp;
        fpu->mxcsr = in->XmmControlStatus.XmmStatusControl;
    }
}

/* ---- events ---- */

static void get_interruption(WHV_X64_PENDING_INTERRUPTION_REGISTER *out, const visor_x86_events *in)
{
    if (in->exception.injected) {
        out->InterruptionType = WHvX64PendingException;
        out->InterruptionVector = in->exception.vector;
        out->DeliverErrorCode = in->exception.has_error_code & 1u;
        out->ErrorCode = in->exception.error_code;
    } else if (in->nmi.injected) {
        out->InterruptionType = WHvX64PendingNmi;
        out->InterruptionVector = 2;
    } else if (in->interrupt.injected) {
        out->InterruptionType = WHvX64PendingInterrupt;
        out->InterruptionVector = in->interrupt.vector;
    } else {
        return;
    }
    out->InterruptionPending = 1;
}

static HRESULT set_interruption(visor_x86_events *out, WHV_X64_PENDING_INTERRUPTION_REGISTER in)
{
    out->interrupt.injected = out->nmi.injected = out->exception.injected = 0;
    if (!in.InterruptionPending)
        return S_OK;
    if (in.InterruptionVector > 255)
        return E_INVALIDARG;
    switch (in.InterruptionType) {
    case WHvX64PendingInterrupt:
        out->interrupt.injected = 1;
        out->interrupt.vector = (uint8_t)in.InterruptionVector;
        out->interrupt.soft = 0;
        return S_OK;
    case WHvX64PendingNmi: out->nmi.injected = 1; return S_OK;
    case WHvX64PendingException:
        if (in.InterruptionVector > 31)
            return E_INVALIDARG;
        out->exception.injected = 1;
        out->exception.pending = 0;
        out->exception.vector = (uint8_t)in.InterruptionVector;
        out->exception.has_error_code = in.DeliverErrorCode;
        out->exception.error_code = in.ErrorCode;
        return S_OK;
    default: return E_INVALIDARG;
    }
}

static HRESULT set_pending_event(struct bundle *bundle, const WHV_REGISTER_VALUE *in)
{
    visor_x86_events *out = &bundle->events;
    const WHV_X64_PENDING_EXCEPTION_EVENT *event = &in->ExceptionEvent;

    if (event->EventPending && event->EventType == WHvX64PendingEventExtInt) {
        if (bundle->partition->apic == WHvX64LocalApicEmulationModeNone)
            return E_INVALIDARG;
        return platform_result(
            visor_x86_interrupt(bundle->vp->vcpu, (uint8_t)in->ExtIntEvent.Vector));
    }
    out->exception.has_pending = 1;
    out->exception.pending = event->EventPending;
    if (!event->EventPending)
        return S_OK;
    if (event->EventType != WHvX64PendingEventException || event->Vector > 31)
        return E_INVALIDARG;
    out->exception.injected = 0;
    out->exception.vector = (uint8_t)event->Vector;
    out->exception.has_error_code = event->DeliverErrorCode;
    out->exception.error_code = event->ErrorCode;
    out->exception.has_payload = event->Vector == 14 || event->Vector == 1;
    out->exception.payload = event->ExceptionParameter;
    return S_OK;
}

static void get_pending_event(WHV_X64_PENDING_EXCEPTION_EVENT *out, const visor_x86_events *in)
{
    if (!in->exception.pending)
        return;
    out->EventPending = 1;
    out->EventType = WHvX64PendingEventException;
    out->Vector = in->exception.vector;
    out->DeliverErrorCode = in->exception.has_error_code & 1u;
    out->ErrorCode = in->exception.error_code;
    out->ExceptionParameter = in->exception.has_payload ? in->exception.payload : 0;
}

/* ---- one register ---- */

static HRESULT get_other(WHV_REGISTER_VALUE *out, struct bundle *bundle, uint32_t name)
{
    struct vp *vp = bundle->vp;
    HRESULT result = S_OK;
    visor_mp_state state;

    switch (name) {
    case WHvX64RegisterInitialApicId: out->Reg64 = vp->index; break;
    case WHvX64RegisterTscDeadline:
        result = platform_result(visor_x86_get_msr(&out->Reg64, vp->vcpu, 0x6e0));
        break;
    case WHvX64RegisterApicBase:
        result = platform_result(visor_x86_get_msr(&out->Reg64, vp->vcpu, 0x1b));
        break;
    case WHvX64RegisterDeliverabilityNotifications:
        out->DeliverabilityNotifications.NmiNotification = vp->notify_nmi;
        out->DeliverabilityNotifications.InterruptNotification = vp->notify_interrupt;
        out->DeliverabilityNotifications.InterruptPriority = vp->notify_priority & 15u;
        break;
    case WHvRegisterInternalActivityState:
        result = platform_result(visor_vcpu_get_mp_state(&state, vp->vcpu));
        out->InternalActivity.HaltSuspend = state == VISOR_MP_HALTED;
        out->InternalActivity.StartupSuspend =
            state == VISOR_MP_UNINITIALIZED || state == VISOR_MP_INIT_RECEIVED;
        break;
    case WHvRegisterPendingInterruption:
        result = load(bundle, GROUP_EVENTS);
        get_interruption(&out->PendingInterruption, &bundle->events);
        break;
    case WHvRegisterInterruptState:
        result = load(bundle, GROUP_EVENTS);
        out->InterruptState.InterruptShadow = bundle->events.interrupt.shadow != 0;
        out->InterruptState.NmiMasked = bundle->events.nmi.masked & 1u;
        break;
    default: /* PendingEvent */
        result = load(bundle, GROUP_EVENTS);
        get_pending_event(&out->ExceptionEvent, &bundle->events);
        break;
    }
    return result;
}

static HRESULT set_activity(struct vp *vp, WHV_INTERNAL_ACTIVITY_REGISTER in)
{
    visor_mp_state state = VISOR_MP_RUNNABLE;

    if (in.StartupSuspend)
        state = VISOR_MP_INIT_RECEIVED;
    else if (in.HaltSuspend)
        state = VISOR_MP_HALTED;
    return platform_result(visor_vcpu_set_mp_state(vp->vcpu, state));
}

static HRESULT set_other(struct bundle *bundle, uint32_t name, const WHV_REGISTER_VALUE *in)
{
    struct vp *vp = bundle->vp;
    HRESULT result = S_OK;

    switch (name) {
    case WHvX64RegisterInitialApicId: return in->Reg64 == vp->index ? S_OK : E_INVALIDARG;
    case WHvX64RegisterTscDeadline:
        return platform_result(visor_x86_set_msr(vp->vcpu, 0x6e0, in->Reg64));
    case WHvX64RegisterApicBase:
        if (vp->vcpu != NULL && bundle->partition->apic != WHvX64LocalApicEmulationModeNone)
            return platform_result(visor_x86_set_msr(vp->vcpu, 0x1b, in->Reg64));
        vp_cpu(vp)->apic_base = in->Reg64;
        return S_OK;
    case WHvX64RegisterDeliverabilityNotifications:
        vp->notify_nmi = in->DeliverabilityNotifications.NmiNotification;
        vp->notify_interrupt = in->DeliverabilityNotifications.InterruptNotification;
        vp->notify_priority = in->DeliverabilityNotifications.InterruptPriority & 15u;
        vp_update_window(vp);
        return S_OK;
    case WHvRegisterInternalActivityState: return set_activity(vp, in->InternalActivity);
    default: break;
    }
    result = load(bundle, GROUP_EVENTS);
    bundle->changed |= GROUP_EVENTS;
    if (result != S_OK)
        return result;
    if (name == WHvRegisterPendingInterruption)
        return set_interruption(&bundle->events, in->PendingInterruption);
    if (name == WHvRegisterPendingEvent)
        return set_pending_event(bundle, in);
    bundle->events.interrupt.has_shadow = 1;
    if (!in->InterruptState.InterruptShadow)
        bundle->events.interrupt.shadow = 0;
    else if (bundle->events.interrupt.shadow == 0)
        bundle->events.interrupt.shadow = 2;
    bundle->events.nmi.masked = in->InterruptState.NmiMasked;
    return S_OK;
}

static HRESULT get_one(WHV_REGISTER_VALUE *out, struct bundle *bundle, uint32_t name)
{
    const struct plain *number = FIND(plain, name), *segment = FIND(segments, name),
                       *table = FIND(tables, name);
    const struct plain *member = number != NULL ? number : segment != NULL ? segment : table;
    const void *at;
    HRESULT result;

    memset(out, 0, sizeof(*out));
    if (member != NULL) {
        result = load(bundle, member->group);
        at = (const uint8_t *)bundle + member->offset;
        if (number != NULL) {
            memcpy(&out->Reg64, at, 8);
        } else if (segment != NULL) {
            out->Segment = platform_segment(at);
        } else {
            out->Table.Base = ((const visor_x86_table *)at)->base;
            out->Table.Limit = ((const visor_x86_table *)at)->limit;
        }
        return result;
    }
    if (msr_of(name) == 0x10 && bundle->partition->is_suspended) {
        out->Reg64 = bundle->vp->frozen_tsc;
        return S_OK;
    }
    if (msr_of(name) != 0)
        return platform_result(visor_x86_get_msr(&out->Reg64, bundle->vp->vcpu, msr_of(name)));
    if (name >= WHvX64RegisterXmm0 && name <= WHvX64RegisterXmmControlStatus) {
        result = load(bundle, GROUP_FPU);
        get_vector(out, &bundle->fpu, name);
        return result;
    }
    return get_other(out, bundle, name);
}

static HRESULT set_one(struct bundle *bundle, uint32_t name, const WHV_REGISTER_VALUE *in)
{
    const struct plain *number = FIND(plain, name), *segment = FIND(segments, name),
                       *table = FIND(tables, name);
    const struct plain *member = number != NULL ? number : segment != NULL ? segment : table;
    HRESULT result;
    void *at;

    if (member != NULL) {
        result = load(bundle, member->group);
        bundle->changed |= member->group;
        at = (uint8_t *)bundle + member->offset;
        if (number != NULL)
            memcpy(at, &in->Reg64, 8);
        else if (segment != NULL)
            set_segment(at, &in->Segment);
        else
            *(visor_x86_table *)at =
                (visor_x86_table){.base = in->Table.Base, .limit = in->Table.Limit};
        return result;
    }
    if (msr_of(name) == 0xfe)
        return E_INVALIDARG; /* read-only */
    if (msr_of(name) == 0x10 && bundle->partition->is_suspended)
        bundle->vp->frozen_tsc = in->Reg64;
    if (msr_of(name) != 0)
        return platform_result(visor_x86_set_msr(bundle->vp->vcpu, msr_of(name), in->Reg64));
    if (name >= WHvX64RegisterXmm0 && name <= WHvX64RegisterXmmControlStatus) {
        result = load(bundle, GROUP_FPU);
        bundle->changed |= GROUP_FPU;
        set_vector(&bundle->fpu, name, in);
        return result;
    }
    return set_other(bundle, name, in);
}

/* ---- the functions ---- */

static struct partition *begin(HRESULT *result, struct bundle *bundle, WHV_PARTITION_HANDLE handle,
                               uint32_t index, const WHV_REGISTER_NAME *names, uint32_t count,
                               const WHV_REGISTER_VALUE *values)
{
    *bundle = (struct bundle){0};
    bundle->partition = partition_enter_vp(result, &bundle->vp, handle, index);
    if (bundle->partition == NULL)
        return NULL;
    if (names == NULL || values == NULL || count == 0)
        *result = E_INVALIDARG;
    else if ((uintptr_t)values % 16 != 0)
        *result = E_INVALIDARG;
    else if (bundle->vp->running)
        *result = WHV_E_INVALID_VP_STATE;
    for (uint32_t i = 0; *result == S_OK && i < count; i++) {
        if (!is_known(bundle, (uint32_t)names[i]))
            *result = WHV_E_INVALID_VP_REGISTER_NAME;
    }
    return bundle->partition;
}

HRESULT WINAPI WHvGetVirtualProcessorRegisters(WHV_PARTITION_HANDLE handle, UINT32 index,
                                               const WHV_REGISTER_NAME *names, UINT32 count,
                                               WHV_REGISTER_VALUE *values)
{
    struct bundle bundle;
    HRESULT result;
    struct partition *partition = begin(&result, &bundle, handle, index, names, count, values);

    if (partition == NULL)
        return result;
    for (uint32_t i = 0; result == S_OK && i < count; i++)
        result = get_one(&values[i], &bundle, (uint32_t)names[i]);
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvSetVirtualProcessorRegisters(WHV_PARTITION_HANDLE handle, UINT32 index,
                                               const WHV_REGISTER_NAME *names, UINT32 count,
                                               const WHV_REGISTER_VALUE *values)
{
    struct bundle bundle;
    HRESULT result;
    struct partition *partition = begin(&result, &bundle, handle, index, names, count, values);

    if (partition == NULL)
        return result;
    for (uint32_t i = 0; result == S_OK && i < count; i++)
        result = set_one(&bundle, (uint32_t)names[i], &values[i]);
    if (result == S_OK)
        result = store(&bundle);
    partition_leave(partition);
    return result;
}
