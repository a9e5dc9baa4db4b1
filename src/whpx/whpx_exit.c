/* SPDX-License-Identifier: BSD-3-Clause */
/* What an exit means. */
#include "whpx/whpx.h"

#include <string.h>

#include "os/cpu.h"

#define MSR_TSC       0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_DEADLINE  0x6e0u
#define GP_FAULT      13u

/* ---- completing instructions ---- */

int whpx_inject(visor_vcpu *vcpu, const struct visor__assist_x86_exception *exception)
{
    const WHV_REGISTER_NAME name = WHvRegisterPendingEvent;
    WHV_REGISTER_VALUE value = {.ExceptionEvent = {.EventPending = 1}};

    value.ExceptionEvent.EventType = WHvX64PendingEventException;
    value.ExceptionEvent.Vector = exception->vector;
    value.ExceptionEvent.DeliverErrorCode = exception->has_error_code;
    value.ExceptionEvent.ErrorCode = exception->error_code;
    value.ExceptionEvent.ExceptionParameter = exception->has_payload ? exception->payload : 0;
    return whpx_set_registers(vcpu, &name, 1, &value);
}

static int inject_gp(visor_vcpu *vcpu)
{
    return whpx_inject(
        vcpu, &(struct visor__assist_x86_exception){.vector = GP_FAULT, .has_error_code = true});
}

/* RIP behind an instruction whose length the exit tells; its shadow is over. */
static uint64_t next_rip(const struct whpx_vcpu *whpx)
{
    const WHV_VP_EXIT_CONTEXT *context = &whpx->exit.VpContext;
    uint64_t rip = context->Rip + context->InstructionLength;

    return context->Cs.Long ? rip : (uint32_t)rip;
}

#define WITH_SHADOW(whpx) ((whpx)->exit.VpContext.ExecutionState.InterruptShadow)

/* Writes registers and moves behind the instruction: `count` of the caller's, and room for two. */
static int complete(visor_vcpu *vcpu, WHV_REGISTER_NAME *names, WHV_REGISTER_VALUE *values,
                    size_t count)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int ret;

    names[count] = WHvX64RegisterRip;
    values[count++] = (WHV_REGISTER_VALUE){.Reg64 = next_rip(whpx)};
    if (WITH_SHADOW(whpx)) {
        uint64_t state;

        ret = whpx_get_number(&state, vcpu, WHvRegisterInterruptState);

        if (ret < 0)
            return ret;
        names[count] = WHvRegisterInterruptState;
        values[count++] = (WHV_REGISTER_VALUE){.Reg64 = state & ~UINT64_C(1)};
    }
    ret = whpx_set_registers(vcpu, names, count, values);
    return ret == 0 && whpx->debug.on ? whpx_debug_trap(vcpu) : ret;
}

/* ---- MSRs ---- */

static int finish(visor_vcpu *vcpu, bool is_write, uint64_t value)
{
    WHV_REGISTER_NAME names[4] = {WHvX64RegisterRax, WHvX64RegisterRdx};
    WHV_REGISTER_VALUE values[4] = {{.Reg64 = (uint32_t)value}, {.Reg64 = value >> 32}};

    return is_write ? complete(vcpu, names, values, 0) : complete(vcpu, names, values, 2);
}

int whpx_finish_msr(visor_vcpu *vcpu)
{
    const visor_exit *exit = &vcpu->exit;

    if (exit->msr.fault)
        return inject_gp(vcpu);
    return finish(vcpu, exit->msr.is_write, exit->msr.value);
}

/* What the platform lets out for the chips' sake: its own registers follow. */
static int write_own(enum visor__msr_result *result, visor_vcpu *vcpu, uint32_t index,
                     uint64_t value)
{
    int ret = 0;

    if (index == MSR_TSC) {
        ret = whpx_set_number(vcpu, WHvX64RegisterTsc, value);
        if (ret == 0)
            ret = whpx_chip_sync_tsc(vcpu);
        visor__lapic_tsc_changed(vcpu->lapic);
        *result = VISOR__MSR_DONE;
        return ret;
    }
    if (index == MSR_DEADLINE)
        ret = whpx_chip_sync_tsc(vcpu); /* IA32_TSC_ADJUST may have moved it */
    *result = visor__lapic_write_msr(vcpu->lapic, index, value, true);
    if (*result == VISOR__MSR_DONE && index == MSR_APIC_BASE)
        whpx_chip_changed(vcpu);
    return ret;
}

static int handle_msr(visor_vcpu *vcpu)
{
    const WHV_X64_MSR_ACCESS_CONTEXT *access = &whpx_vcpu_of(vcpu)->exit.MsrAccess;
    const bool is_write = access->AccessInfo.IsWrite;
    uint64_t value = is_write ? access->Rdx << 32 | (uint32_t)access->Rax : 0;
    enum visor__msr_result result = VISOR__MSR_FOREIGN;
    int ret = 0;

    if (!whpx_msr_exits(vcpu->vm, access->MsrNumber, is_write, true)) {
        if (vcpu->lapic != NULL && is_write)
            ret = write_own(&result, vcpu, access->MsrNumber, value);
        else if (vcpu->lapic != NULL)
            result = visor__lapic_read_msr(&value, vcpu->lapic, access->MsrNumber, true);
        if (ret < 0)
            return ret;
        if (result == VISOR__MSR_FOREIGN &&
            whpx_msr_exit_is_over(vcpu, access->MsrNumber, is_write))
            return VISOR_EXIT_NONE;
        if (result == VISOR__MSR_DONE)
            return finish(vcpu, is_write, value);
        if (result == VISOR__MSR_FAULT ||
            !whpx_msr_exits(vcpu->vm, access->MsrNumber, is_write, false))
            return inject_gp(vcpu);
    }
    vcpu->exit.msr.index = access->MsrNumber;
    vcpu->exit.msr.is_write = is_write;
    vcpu->exit.msr.value = value;
    vcpu->exit.msr.fault = true;
    vcpu->exit.msr.why = 0;
    return VISOR_EXIT_MSR;
}

/* ---- CPUID ---- */

static const visor_x86_cpuid_entry *find(const struct whpx_vcpu *whpx, uint32_t function,
                                         uint32_t index)
{
    for (size_t i = 0; i < whpx->cpuid_count; i++) {
        const visor_x86_cpuid_entry *entry = &whpx->cpuid[i];

        if (entry->function == function &&
            ((entry->flags & VISOR_X86_CPUID_INDEXED) == 0 || entry->index == index))
            return entry;
    }
    return NULL;
}

/* Past the end Intel's processors answer as for the last basic leaf; an index that does not exist
 * in a leaf that does is all zero (SDM vol. 2A, CPUID). */
static const visor_x86_cpuid_entry *find_or_last(const struct whpx_vcpu *whpx, uint32_t function,
                                                 uint32_t index)
{
    const visor_x86_cpuid_entry *entry = find(whpx, function, index), *first;

    if (entry != NULL)
        return entry;
    first = find(whpx, function & 0x80000000, 0);
    if (first != NULL && function <= first->eax)
        return NULL;
    first = find(whpx, 0, 0);
    return first != NULL ? find(whpx, first->eax, index) : NULL;
}

#define CHANGE(word, bits, from) ((word) = ((word) & ~(bits)) | ((uint32_t)(from) & (bits)))

/* The list of the vCPU, with what follows registers taken from the platform's own answer. */
static int handle_cpuid(visor_vcpu *vcpu)
{
    const struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const WHV_X64_CPUID_ACCESS_CONTEXT *access = &whpx->exit.CpuidAccess;
    const uint32_t function = (uint32_t)access->Rax, index = (uint32_t)access->Rcx;
    const visor_x86_cpuid_entry *entry = find_or_last(whpx, function, index);
    visor_x86_cpuid_entry now = {0};
    WHV_REGISTER_NAME names[6] = {WHvX64RegisterRax, WHvX64RegisterRbx, WHvX64RegisterRcx,
                                  WHvX64RegisterRdx};
    WHV_REGISTER_VALUE values[6];
    uint64_t base;

    if (entry != NULL)
        now = *entry;
    if (function == 1) {
        CHANGE(now.ecx, 1u << 27, access->DefaultResultRcx); /* OSXSAVE */
        if (vcpu->lapic != NULL &&
            visor__lapic_read_msr(&base, vcpu->lapic, MSR_APIC_BASE, false) == VISOR__MSR_DONE &&
            (base & 0x800) == 0)
            now.edx &= ~(1u << 9);
    } else if (function == 7 && index == 0) {
        CHANGE(now.ecx, 1u << 4, access->DefaultResultRcx); /* OSPKE */
    } else if (function == 0xd && index <= 1 && entry != NULL) {
        now.ebx = (uint32_t)access->DefaultResultRbx; /* bytes of what XCR0 has on */
    }
    values[0] = (WHV_REGISTER_VALUE){.Reg64 = now.eax};
    values[1] = (WHV_REGISTER_VALUE){.Reg64 = now.ebx};
    values[2] = (WHV_REGISTER_VALUE){.Reg64 = now.ecx};
    values[3] = (WHV_REGISTER_VALUE){.Reg64 = now.edx};
    return complete(vcpu, names, values, 4);
}

/* ---- the rest ---- */

static int handle_halt(visor_vcpu *vcpu)
{
    if (vcpu->lapic == NULL)
        return VISOR_EXIT_HLT;
    whpx_vcpu_of(vcpu)->halted = true;
    return VISOR_EXIT_NONE;
}

static int handle_window(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);

    /* The platform tells once. */
    whpx->window = (struct whpx_window){0};
    if (whpx->exit.InterruptWindow.DeliverableType != WHvX64PendingInterrupt || !whpx->irq_window)
        return VISOR_EXIT_NONE;
    if (whpx->nmi_pending)
        return VISOR_EXIT_NONE; /* it comes first */
    return VISOR_EXIT_IRQ_WINDOW;
}

static int unsupported(visor_vcpu *vcpu)
{
    const WHV_X64_UNSUPPORTED_FEATURE_CONTEXT *feature =
        &whpx_vcpu_of(vcpu)->exit.UnsupportedFeature;

    memset(&vcpu->exit.internal, 0, sizeof(vcpu->exit.internal));
    vcpu->exit.internal.suberror = (uint32_t)feature->FeatureCode;
    vcpu->exit.internal.data_count = 1;
    vcpu->exit.internal.data[0] = feature->FeatureParameter;
    vcpu->exit.internal.text = "the guest uses what the platform does not support";
    return VISOR_EXIT_INTERNAL_ERROR;
}

static int unknown(visor_vcpu *vcpu)
{
    const struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const size_t size = sizeof(vcpu->exit.unknown.payload);

    memcpy(vcpu->exit.unknown.payload, (const uint8_t *)&whpx->exit + 48, size);
    return VISOR_EXIT_UNKNOWN;
}

int whpx_handle_exit(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const WHV_RUN_VP_EXIT_CONTEXT *exit = &whpx->exit;

    switch (exit->ExitReason) {
    case WHvRunVpExitReasonCanceled: return WHPX_CANCELED;
    case WHvRunVpExitReasonMemoryAccess:
        return whpx_assist_start(vcpu, exit->MemoryAccess.InstructionBytes,
                                 exit->MemoryAccess.InstructionByteCount);
    case WHvRunVpExitReasonX64IoPortAccess:
        return whpx_assist_start(vcpu, exit->IoPortAccess.InstructionBytes,
                                 exit->IoPortAccess.InstructionByteCount);
    case WHvRunVpExitReasonX64Cpuid: return handle_cpuid(vcpu);
    case WHvRunVpExitReasonX64MsrAccess: return handle_msr(vcpu);
    case WHvRunVpExitReasonX64Halt: return handle_halt(vcpu);
    case WHvRunVpExitReasonX64InterruptWindow: return handle_window(vcpu);
    case WHvRunVpExitReasonException: return whpx_debug_exception(vcpu);
    case WHvRunVpExitReasonUnrecoverableException: whpx->dead = true; return VISOR_EXIT_SHUTDOWN;
    case WHvRunVpExitReasonInvalidVpRegisterValue:
        vcpu->exit.fail_entry.reason = (uint64_t)exit->ExitReason;
        vcpu->exit.fail_entry.cpu = 0;
        return VISOR_EXIT_FAIL_ENTRY;
    case WHvRunVpExitReasonUnsupportedFeature: return unsupported(vcpu);
    default: return unknown(vcpu);
    }
}
