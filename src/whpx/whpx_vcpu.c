/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a vCPU, settling it, and what the caller injects. */
#include "whpx/whpx.h"

#include <stdlib.h>
#include <string.h>

#include "core/x86.h"

#define MSR_APIC_BASE 0x1bu

/* ---- registers ---- */

int whpx_get_registers(visor_vcpu *vcpu, const WHV_REGISTER_NAME *names, size_t count,
                       WHV_REGISTER_VALUE *values)
{
    HRESULT result = whpx_calls(vcpu->vm)->GetVirtualProcessorRegisters(
        whpx_vm_of(vcpu->vm)->partition, vcpu->id, names, (UINT32)count, values);

    return result == S_OK ? 0
                          : whpx_failed(result, "WHvGetVirtualProcessorRegisters", VISOR_EBROKEN);
}

int whpx_set_registers(visor_vcpu *vcpu, const WHV_REGISTER_NAME *names, size_t count,
                       const WHV_REGISTER_VALUE *values)
{
    HRESULT result = whpx_calls(vcpu->vm)->SetVirtualProcessorRegisters(
        whpx_vm_of(vcpu->vm)->partition, vcpu->id, names, (UINT32)count, values);

    return result == S_OK ? 0
                          : whpx_failed(result, "WHvSetVirtualProcessorRegisters", VISOR_EREFUSED);
}

int whpx_get_number(uint64_t *out, visor_vcpu *vcpu, WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE value;
    int ret = whpx_get_registers(vcpu, &name, 1, &value);

    if (ret == 0)
        *out = value.Reg64;
    return ret;
}

int whpx_set_number(visor_vcpu *vcpu, WHV_REGISTER_NAME name, uint64_t value)
{
    const WHV_REGISTER_VALUE set = {.Reg64 = value};

    return whpx_set_registers(vcpu, &name, 1, &set);
}

/* ---- life ---- */

/* A fresh processor of the platform is not in reset state. */
static int make_fresh(visor_vcpu *vcpu)
{
    const visor_x86_debugregs debugregs = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
    const visor_x86_xcrs xcrs = {.count = 1, .xcr = {{.value = 1}}};
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    visor_x86_fpu fpu;
    int ret;

    visor_x86_reset_sregs(&sregs);
    visor_x86_reset_regs(&regs);
    visor_x86_reset_fpu(&fpu);
    regs.rdx = 0x600;
    ret = whpx_set_regs(vcpu, &regs);
    if (ret == 0)
        ret = whpx_set_sregs(vcpu, &sregs);
    if (ret == 0)
        ret = whpx_set_fpu(vcpu, &fpu);
    if (ret == 0)
        ret = whpx_set_state(vcpu, VISOR__STATE_X86_DEBUGREGS, &debugregs, sizeof(debugregs));
    if (ret == 0 && whpx_hv_of(vcpu->vm->hv)->xsave_size > 0)
        ret = whpx_set_state(vcpu, VISOR__STATE_X86_XCRS, &xcrs, sizeof(xcrs));
    return ret;
}

static int create(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    HRESULT result =
        whpx_calls(vcpu->vm)->CreateVirtualProcessor(whpx_vm_of(vcpu->vm)->partition, vcpu->id, 0);
    int ret;

    if (result == E_INVALIDARG)
        return visor__error_native(VISOR_ELIMIT, "whpx", "WHvCreateVirtualProcessor",
                                   VISOR_NATIVE_HRESULT, result, "vCPU %u", vcpu->id);
    if (result != S_OK)
        return whpx_failed(result, "WHvCreateVirtualProcessor", VISOR_EBROKEN);
    ret = visor__lapic_attach(vcpu);
    if (ret == 0)
        ret = make_fresh(vcpu);
    if (ret == 0 && vcpu->lapic != NULL) {
        if (vcpu->id != 0)
            whpx->mp_state = VISOR_MP_UNINITIALIZED;
        whpx_chip_changed(vcpu);
        ret = whpx_chip_sync_tsc(vcpu);
    }
    if (ret < 0) {
        visor__lapic_detach(vcpu);
        whpx_calls(vcpu->vm)->DeleteVirtualProcessor(whpx_vm_of(vcpu->vm)->partition, vcpu->id);
    }
    return ret;
}

static void destroy(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);

    visor__lapic_detach(vcpu);
    visor__assist_x86_free(whpx->assist);
    whpx_calls(vcpu->vm)->DeleteVirtualProcessor(whpx_vm_of(vcpu->vm)->partition, vcpu->id);
    free(whpx->cpuid);
}

/* ---- running ---- */

/* Takes the answer to the last exit over. */
static int answer(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const int due = whpx->due;

    whpx->due = VISOR_EXIT_NONE;
    if (due == VISOR_EXIT_MSR)
        return whpx_finish_msr(vcpu);
    if (due == VISOR_EXIT_IO || due == VISOR_EXIT_MMIO)
        visor__assist_x86_answer(whpx->assist, &vcpu->exit.io);
    return 0;
}

/* Remembers what an exit wants answered. */
static int leave_with(visor_vcpu *vcpu, int reason)
{
    if (reason == VISOR_EXIT_IO || reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_MSR)
        whpx_vcpu_of(vcpu)->due = reason;
    return reason;
}

static int enter(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int ret = whpx->debug.on ? whpx_debug_lend(vcpu) : 0, returned;
    HRESULT result;

    if (ret < 0)
        return ret;
    result = whpx_calls(vcpu->vm)->RunVirtualProcessor(whpx_vm_of(vcpu->vm)->partition, vcpu->id,
                                                       &whpx->exit, sizeof(whpx->exit));
    returned = whpx->debug.lent ? whpx_debug_return(vcpu) : 0;
    if (result != S_OK)
        return whpx_failed(result, "WHvRunVirtualProcessor", VISOR_EBROKEN);
    if (returned < 0)
        return returned;
    whpx->shadow_kind = 0;
    if (vcpu->lapic != NULL && whpx->exit.VpContext.Cr8 != whpx->cr8) {
        whpx->cr8 = whpx->exit.VpContext.Cr8;
        visor__lapic_set_cr8(vcpu->lapic, whpx->cr8);
    }
    vcpu->exit.raw = (uint32_t)whpx->exit.ExitReason;
    return whpx_handle_exit(vcpu);
}

/* Until there is an exit; CANCELED: a kick or a nudge. */
static int run_inside(visor_vcpu *vcpu)
{
    int ret = whpx_assist_is_active(vcpu) ? whpx_assist_next(vcpu, false) : VISOR_EXIT_NONE;

    while (ret == VISOR_EXIT_NONE) {
        if (whpx_vcpu_of(vcpu)->dead)
            return VISOR_EXIT_SHUTDOWN;
        ret = whpx_before_entry(vcpu);
        if (ret == VISOR_EXIT_NONE)
            ret = enter(vcpu);
    }
    return ret;
}

static int run(visor_vcpu *vcpu)
{
    int ret = answer(vcpu);

    if (ret != VISOR_EXIT_NONE)
        return ret;
    for (;;) {
        if (visor__run_begin(vcpu, NULL))
            return VISOR_EXIT_KICKED;
        ret = run_inside(vcpu);
        if (visor__run_end(vcpu, ret == WHPX_CANCELED))
            return VISOR_EXIT_KICKED;
        if (ret != WHPX_CANCELED)
            return leave_with(vcpu, ret);
    }
}

static int settle(visor_vcpu *vcpu)
{
    int ret = answer(vcpu);

    if (ret < 0 || !whpx_assist_is_active(vcpu))
        return ret < 0 ? ret : VISOR_EXIT_NONE;
    return leave_with(vcpu, whpx_assist_next(vcpu, true));
}

static void kick(visor_vcpu *vcpu)
{
    /* Remembered by the platform, if the processor does not run yet. */
    whpx_calls(vcpu->vm)->CancelRunVirtualProcessor(whpx_vm_of(vcpu->vm)->partition, vcpu->id, 0);
    if (vcpu->lapic != NULL)
        visor__lapic_ring(vcpu->lapic);
}

const struct visor__vcpu_ops whpx_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .get_state = whpx_get_state,
    .set_state = whpx_set_state,
};

/* ---- what the caller injects ---- */

int whpx_look(struct whpx_readiness *out, visor_vcpu *vcpu)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterRflags, WHvRegisterInterruptState,
                                              WHvRegisterPendingInterruption,
                                              WHvRegisterPendingEvent};
    WHV_REGISTER_VALUE values[4];
    const WHV_X64_PENDING_INTERRUPTION_REGISTER *injected = &values[2].PendingInterruption;
    int ret = whpx_get_registers(vcpu, names, 4, values);

    if (ret < 0)
        return ret;
    *out = (struct whpx_readiness){
        .flag = (values[0].Reg64 & 0x200) != 0,
        .shadow = values[1].InterruptState.InterruptShadow,
        .nmi_masked = values[1].InterruptState.NmiMasked,
        .busy = injected->InterruptionPending || values[3].ExceptionEvent.EventPending,
        .interrupt =
            injected->InterruptionPending && injected->InterruptionType == WHvX64PendingInterrupt,
    };
    return 0;
}

/* Whether an interrupt can be injected: one that is on its way can be replaced until the next run.
 */
static int ready(visor_vcpu *vcpu)
{
    struct whpx_readiness now;
    int ret = whpx_look(&now, vcpu);

    return ret < 0 ? ret : now.interrupt || (now.flag && !now.shadow && !now.busy);
}

int whpx_ready_for_interrupt(visor_vcpu *vcpu)
{
    int ret = ready(vcpu);

    if (ret < 0)
        return ret;
    return ret > 0 && (vcpu->lapic == NULL || visor__lapic_accepts_extint(vcpu->lapic));
}

int whpx_interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    WHV_REGISTER_VALUE value = {.Reg64 = 0};
    int ret;

    if (vcpu->lapic != NULL && visor__lapic_accepts_extint(vcpu->lapic)) {
        visor__lapic_set_extint(vcpu->lapic, vector);
        return 0;
    }
    ret = vcpu->lapic != NULL ? 0 : ready(vcpu);
    if (ret < 0)
        return ret;
    if (ret == 0)
        return visor__error(VISOR_EAGAIN, "whpx", "visor_x86_interrupt",
                            "the guest cannot take an interrupt now");
    value.PendingInterruption.InterruptionPending = 1;
    value.PendingInterruption.InterruptionType = WHvX64PendingInterrupt;
    value.PendingInterruption.InterruptionVector = vector;
    whpx_vcpu_of(vcpu)->irq_soft = false;
    return whpx_set_number(vcpu, WHvRegisterPendingInterruption, value.Reg64);
}

int whpx_request_irq_window(visor_vcpu *vcpu, bool on)
{
    whpx_vcpu_of(vcpu)->irq_window = on;
    return 0;
}

int whpx_nmi(visor_vcpu *vcpu)
{
    whpx_vcpu_of(vcpu)->nmi_pending = true;
    return 0;
}

int whpx_set_window(visor_vcpu *vcpu, struct whpx_window window)
{
    struct whpx_window *now = &whpx_vcpu_of(vcpu)->window;
    WHV_REGISTER_VALUE value = {.Reg64 = 0};
    int ret;

    if (now->interrupt == window.interrupt && now->nmi == window.nmi &&
        now->priority == window.priority)
        return 0;
    value.DeliverabilityNotifications.InterruptNotification = window.interrupt;
    value.DeliverabilityNotifications.NmiNotification = window.nmi;
    value.DeliverabilityNotifications.InterruptPriority = window.priority & 15u;
    ret = whpx_set_number(vcpu, WHvX64RegisterDeliverabilityNotifications, value.Reg64);
    if (ret == 0)
        *now = window;
    return ret;
}
