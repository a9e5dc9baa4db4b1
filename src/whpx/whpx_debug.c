/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest debugging. The platform has none: #DB and #BP leave (the exception exit bitmap), and the
 * debugger's breakpoints and its trap flag are in the vCPU's own registers while it runs, and only
 * then. A guest that reads them meanwhile sees them.
 */
#include "whpx/whpx.h"

#include <string.h>

#define DB 1u
#define BP 3u

#define FLAG_TF UINT64_C(0x100)
#define FLAG_RF UINT64_C(0x10000)
#define DR6_BS  UINT64_C(0x4000)

static const WHV_REGISTER_NAME debug_names[] = {WHvX64RegisterDr0, WHvX64RegisterDr1,
                                                WHvX64RegisterDr2, WHvX64RegisterDr3,
                                                WHvX64RegisterDr6, WHvX64RegisterDr7};

static void to_values(WHV_REGISTER_VALUE out[6], const visor_x86_debugregs *in)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (WHV_REGISTER_VALUE){.Reg64 = in->db[i]};
    out[4] = (WHV_REGISTER_VALUE){.Reg64 = in->dr6};
    out[5] = (WHV_REGISTER_VALUE){.Reg64 = in->dr7};
}

/* The debugger's, as debug registers (SDM vol. 3B, 17.2). */
static void own_registers(visor_x86_debugregs *out, const struct whpx_debug *debug)
{
    static const uint8_t lengths[9] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

    *out = (visor_x86_debugregs){.dr6 = 0xffff0ff0, .dr7 = 0x400};
    for (unsigned i = 0; i < debug->count; i++) {
        const visor_breakpoint *breakpoint = &debug->breakpoints[i];
        uint64_t condition = breakpoint->kind == VISOR_BREAK_EXECUTE ? 0
                             : breakpoint->kind == VISOR_BREAK_WRITE ? 1
                                                                     : 3;

        out->db[i] = breakpoint->address;
        out->dr7 |= UINT64_C(2) << (2 * i) | condition << (16 + 4 * i);
        if (breakpoint->kind != VISOR_BREAK_EXECUTE)
            out->dr7 |= (uint64_t)lengths[breakpoint->length & 15] << (18 + 4 * i);
    }
}

int whpx_debug_lend(visor_vcpu *vcpu)
{
    struct whpx_debug *debug = &whpx_vcpu_of(vcpu)->debug;
    visor_x86_regs regs;
    WHV_REGISTER_VALUE values[6];
    visor_x86_debugregs own;
    uint64_t flags;
    int ret = whpx_get_regs(&regs, vcpu);

    if (ret == 0 && debug->count > 0) {
        ret = whpx_get_state(&debug->guest, sizeof(debug->guest), vcpu, VISOR__STATE_X86_DEBUGREGS);
        own_registers(&own, debug);
        to_values(values, &own);
        if (ret >= 0)
            ret = whpx_set_registers(vcpu, debug_names, 6, values);
    }
    if (ret < 0)
        return ret;
    debug->flags = regs.rflags;
    flags = regs.rflags | (debug->step ? FLAG_TF : 0);
    if (debug->resumes && regs.rip == debug->resume)
        flags |= FLAG_RF;
    debug->resumes = false;
    debug->lent = true;
    return flags == regs.rflags ? 0 : whpx_set_number(vcpu, WHvX64RegisterRflags, flags);
}

int whpx_debug_return(visor_vcpu *vcpu)
{
    struct whpx_debug *debug = &whpx_vcpu_of(vcpu)->debug;
    WHV_REGISTER_VALUE values[6];
    uint64_t flags;
    int ret = 0;

    debug->lent = false;
    if (debug->count > 0) {
        to_values(values, &debug->guest);
        ret = whpx_set_registers(vcpu, debug_names, 6, values);
    }
    if (ret == 0 && debug->step && (debug->flags & FLAG_TF) == 0) {
        ret = whpx_get_number(&flags, vcpu, WHvX64RegisterRflags);
        if (ret == 0)
            ret = whpx_set_number(vcpu, WHvX64RegisterRflags, flags & ~FLAG_TF);
    }
    return ret;
}

/* ---- exceptions ---- */

static int tell(visor_vcpu *vcpu, unsigned vector, uint32_t hits, bool step)
{
    struct whpx_debug *debug = &whpx_vcpu_of(vcpu)->debug;
    visor_exit *exit = &vcpu->exit;
    visor_x86_debugregs registers;
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    int ret = whpx_get_regs(&regs, vcpu);

    if (ret == 0)
        ret = whpx_get_sregs(&sregs, vcpu);
    if (ret == 0)
        ret = whpx_get_state(&registers, sizeof(registers), vcpu, VISOR__STATE_X86_DEBUGREGS);
    if (ret < 0)
        return ret;
    memset(&exit->debug, 0, sizeof(exit->debug));
    exit->debug.pc = (sregs.cs.l && (sregs.efer & 0x400) != 0 ? 0 : sregs.cs.base) + regs.rip;
    exit->debug.exception = vector;
    if (vector == BP)
        return VISOR_EXIT_DEBUG;
    exit->debug.dr6 = 0xffff0ff0 | hits | (step ? DR6_BS : 0);
    exit->debug.dr7 = registers.dr7;
    exit->debug.single_step = step;
    exit->debug.hit_mask = hits;
    for (unsigned i = 0; i < debug->count; i++) {
        if ((hits >> i & 1) == 0)
            continue;
        if (debug->breakpoints[i].kind == VISOR_BREAK_EXECUTE)
            debug->resumes = true;
        else
            exit->debug.address = debug->breakpoints[i].address;
    }
    debug->resume = regs.rip;
    return VISOR_EXIT_DEBUG;
}

int whpx_debug_exception(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const WHV_VP_EXCEPTION_CONTEXT *exception = &whpx->exit.VpException;
    const struct whpx_debug *debug = &whpx->debug;
    struct visor__assist_x86_exception guest = {
        .vector = exception->ExceptionType,
        .has_error_code = exception->ExceptionInfo.ErrorCodeValid,
        .error_code = exception->ErrorCode,
        .has_payload = exception->ExceptionType == DB,
        .payload = exception->ExceptionParameter & 0xe00f,
    };
    const uint64_t why = exception->ExceptionParameter;
    int ret = 0;

    if (exception->ExceptionType == BP) {
        if (debug->on && debug->int3)
            return tell(vcpu, BP, 0, false);
        /* It comes behind its instruction. */
        ret = whpx_set_number(vcpu, WHvX64RegisterRip,
                              whpx->exit.VpContext.Rip + whpx->exit.VpContext.InstructionLength);
    } else if (exception->ExceptionType == DB && debug->on) {
        uint32_t hits = (uint32_t)why & ((1u << debug->count) - 1);
        bool step = debug->step && (debug->flags & FLAG_TF) == 0 && (why & DR6_BS) != 0;

        if (hits != 0 || step)
            return tell(vcpu, DB, hits, step);
    }
    return ret < 0 ? ret : whpx_inject(vcpu, &guest);
}

int whpx_debug_trap(visor_vcpu *vcpu)
{
    return whpx_vcpu_of(vcpu)->debug.step ? tell(vcpu, DB, 0, true) : VISOR_EXIT_NONE;
}

/* ---- switching on and off ---- */

static int set(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct whpx_vm *vm = whpx_vm_of(vcpu->vm);
    struct whpx_debug *debug = &whpx_vcpu_of(vcpu)->debug;
    const bool on =
        config->single_step || config->software_breakpoints || config->breakpoint_count > 0;
    int ret = 0;

    visor__mutex_lock(&vm->lock);
    if (on != debug->on) {
        unsigned debugged = vm->debugged + (on ? 1u : -1u);

        ret = whpx_change_property(vcpu->vm, WHvPartitionPropertyCodeExceptionExitBitmap,
                                   debugged > 0 ? 1u << DB | 1u << BP : 0);
        if (ret == 0)
            vm->debugged = debugged;
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        return ret;
    debug->on = on;
    debug->step = config->single_step;
    debug->int3 = config->software_breakpoints;
    debug->count = (unsigned)config->breakpoint_count;
    for (unsigned i = 0; i < debug->count; i++)
        debug->breakpoints[i] = config->breakpoints[i];
    return 0;
}

const struct visor__debug_ops whpx_debug_ops = {.set = set};
