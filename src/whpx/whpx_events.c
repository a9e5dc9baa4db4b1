/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything on its way into the vCPU. */
#include "whpx/whpx.h"

#include <string.h>

static const WHV_REGISTER_NAME names[] = {WHvRegisterPendingInterruption, WHvRegisterInterruptState,
                                          WHvRegisterPendingEvent};
#define COUNT (sizeof(names) / sizeof(names[0]))

static bool has_payload(unsigned vector)
{
    return vector == 1 || vector == 14;
}

/* The platform has one bit for both kinds of shadow. */
static uint8_t shadow_of(const visor_vcpu *vcpu, bool shadow)
{
    const uint8_t kind = whpx_vcpu_of(vcpu)->shadow_kind;

    return !shadow ? 0 : kind != 0 ? kind : 2;
}

int whpx_get_events(visor_x86_events *out, visor_vcpu *vcpu)
{
    const struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    WHV_REGISTER_VALUE values[COUNT];
    const WHV_X64_PENDING_INTERRUPTION_REGISTER *injected = &values[0].PendingInterruption;
    const WHV_X64_PENDING_EXCEPTION_EVENT *pending = &values[2].ExceptionEvent;
    int ret = whpx_get_registers(vcpu, names, COUNT, values);

    if (ret < 0)
        return ret;
    memset(out, 0, sizeof(*out));
    out->exception.has_pending = out->interrupt.has_shadow = out->nmi.has_pending = 1;
    out->triple_fault.has_pending = out->has_sipi_vector = 1;
    if (injected->InterruptionPending && injected->InterruptionType == WHvX64PendingException) {
        out->exception.injected = 1;
        out->exception.vector = (uint8_t)injected->InterruptionVector;
        out->exception.has_error_code = injected->DeliverErrorCode;
        out->exception.error_code = injected->ErrorCode;
    } else if (injected->InterruptionPending && injected->InterruptionType == WHvX64PendingNmi) {
        out->nmi.injected = 1;
    } else if (injected->InterruptionPending) {
        out->interrupt.injected = 1;
        out->interrupt.vector = (uint8_t)injected->InterruptionVector;
        out->interrupt.soft = whpx->irq_soft;
    }
    if (pending->EventPending && pending->EventType == WHvX64PendingEventException) {
        out->exception.pending = 1;
        out->exception.vector = (uint8_t)pending->Vector;
        out->exception.has_error_code = pending->DeliverErrorCode;
        out->exception.error_code = pending->ErrorCode;
        out->exception.has_payload = has_payload(pending->Vector) && whpx->payload;
        out->exception.payload = out->exception.has_payload ? pending->ExceptionParameter : 0;
    }
    out->interrupt.shadow = shadow_of(vcpu, values[1].InterruptState.InterruptShadow);
    out->nmi.masked = values[1].InterruptState.NmiMasked;
    out->nmi.pending = whpx->nmi_pending;
    out->triple_fault.pending = whpx->dead;
    return 0;
}

static void to_injected(WHV_X64_PENDING_INTERRUPTION_REGISTER *out, const visor_x86_events *in)
{
    out->InterruptionPending = 1;
    if (in->exception.injected) {
        out->InterruptionType = WHvX64PendingException;
        out->InterruptionVector = in->exception.vector;
        out->DeliverErrorCode = in->exception.has_error_code != 0;
        out->ErrorCode = in->exception.error_code;
    } else if (in->nmi.injected) {
        out->InterruptionType = WHvX64PendingNmi;
        out->InterruptionVector = 2;
    } else if (in->interrupt.injected) {
        out->InterruptionType = WHvX64PendingInterrupt;
        out->InterruptionVector = in->interrupt.vector;
    } else {
        out->InterruptionPending = 0;
    }
}

/* The platform always sets CR2 or DR6 with such an exception: without a payload, to what is there.
 */
static int payload_of(uint64_t *out, visor_vcpu *vcpu, const visor_x86_events *in)
{
    if (in->exception.has_payload || !has_payload(in->exception.vector)) {
        *out = in->exception.has_payload ? in->exception.payload : 0;
        return 0;
    }
    *out = 0;
    return in->exception.vector == 14 ? whpx_get_number(out, vcpu, WHvX64RegisterCr2) : 0;
}

int whpx_set_events(visor_vcpu *vcpu, const visor_x86_events *events)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    WHV_REGISTER_VALUE values[COUNT];
    WHV_X64_PENDING_EXCEPTION_EVENT *pending = &values[2].ExceptionEvent;
    uint64_t payload = 0, shadow;
    int ret = whpx_get_number(&shadow, vcpu, WHvRegisterInterruptState);

    memset(values, 0, sizeof(values));
    to_injected(&values[0].PendingInterruption, events);
    values[1].InterruptState.NmiMasked = events->nmi.masked != 0;
    values[1].InterruptState.InterruptShadow =
        events->interrupt.has_shadow ? events->interrupt.shadow != 0 : (shadow & 1) != 0;
    if (ret == 0 && !events->exception.injected && events->exception.has_pending &&
        events->exception.pending) {
        ret = payload_of(&payload, vcpu, events);
        pending->EventPending = 1;
        pending->EventType = WHvX64PendingEventException;
        pending->Vector = events->exception.vector;
        pending->DeliverErrorCode = events->exception.has_error_code != 0;
        pending->ErrorCode = events->exception.error_code;
        pending->ExceptionParameter = payload;
    }
    if (ret == 0)
        ret = whpx_set_registers(vcpu, names, COUNT, values);
    if (ret < 0)
        return ret;
    whpx->payload = events->exception.has_payload != 0;
    whpx->irq_soft = events->interrupt.injected && events->interrupt.soft;
    if (events->interrupt.has_shadow)
        whpx->shadow_kind = events->interrupt.shadow;
    if (events->nmi.has_pending)
        whpx->nmi_pending = events->nmi.pending != 0;
    if (events->triple_fault.has_pending)
        whpx->dead = events->triple_fault.pending != 0;
    return 0;
}

int whpx_drop_exception(visor_vcpu *vcpu)
{
    WHV_REGISTER_VALUE values[COUNT];
    int ret = whpx_get_registers(vcpu, names, COUNT, values);

    if (ret < 0)
        return ret;
    if (values[2].ExceptionEvent.EventPending)
        ret = whpx_set_number(vcpu, WHvRegisterPendingEvent, 0);
    if (ret == 0 && values[0].PendingInterruption.InterruptionPending &&
        values[0].PendingInterruption.InterruptionType == WHvX64PendingException)
        ret = whpx_set_number(vcpu, WHvRegisterPendingInterruption, 0);
    return ret;
}
