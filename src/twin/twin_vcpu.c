/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating, running and kicking a vCPU, and what its exits mean.
 *
 * The run block is memory of ours that each run hands to the driver, which copies it in at the
 * start and back at the end. So immediate_exit is seen at the start only, and what a kick writes
 * there later is overwritten: it is the signal that ends a run under way (linux/kick.h). A run that
 * a signal ends may bring a genuine exit along.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "twin/twin.h"

/* ---- exits ---- */

static bool exit_mmio(visor_vcpu *vcpu)
{
    struct twin_vcpu *v = twin_vcpu_of(vcpu);
    visor_io *io = &vcpu->exit.io;

    if (v->run.mmio.size == 0 || v->run.mmio.size > 8)
        return false;
    io->address = v->run.mmio.phys_addr;
    io->length = (uint32_t)v->run.mmio.size;
    io->is_write = v->run.mmio.is_write != 0;
    io->space = VISOR_MMIO;
    memset(io->data, 0, sizeof(io->data));
    if (io->is_write)
        memcpy(io->data, v->run.mmio.data, io->length);
    v->due = !io->is_write;
    v->unsettled = true;
    return true;
}

static void exit_system_event(visor_exit *exit, const struct gzvm_vcpu_run *run)
{
    uint32_t count = run->system_event.ndata < 16 ? run->system_event.ndata : 16;

    exit->system.raw = run->system_event.type;
    switch (run->system_event.type) {
    case GZVM_SYSTEM_EVENT_SHUTDOWN: exit->system.type = VISOR_SYSTEM_SHUTDOWN; break;
    case GZVM_SYSTEM_EVENT_RESET: exit->system.type = VISOR_SYSTEM_RESET; break;
    case GZVM_SYSTEM_EVENT_CRASH: exit->system.type = VISOR_SYSTEM_CRASH; break;
    case GZVM_SYSTEM_EVENT_WAKEUP: exit->system.type = VISOR_SYSTEM_WAKEUP; break;
    case GZVM_SYSTEM_EVENT_SUSPEND: exit->system.type = VISOR_SYSTEM_SUSPEND; break;
    default: exit->system.type = VISOR_SYSTEM_OTHER; break;
    }
    exit->system.data_count = count;
    memcpy(exit->system.data, run->system_event.data, count * sizeof(exit->system.data[0]));
}

static void exit_internal_error(visor_exit *exit, const struct gzvm_vcpu_run *run)
{
    uint32_t count = run->internal.ndata < 16 ? run->internal.ndata : 16;

    exit->internal.suberror = run->internal.suberror;
    exit->internal.text = "the hypervisor does not say why";
    exit->internal.data_count = count;
    memcpy(exit->internal.data, run->internal.data, count * sizeof(exit->internal.data[0]));
    exit->internal.instruction_len = 0;
}

/* There is no way to answer: the guest receives nothing. */
static void exit_hypercall(visor_exit *exit, const struct gzvm_vcpu_run *run)
{
    memset(&exit->hypercall, 0, sizeof(exit->hypercall));
    exit->hypercall.number = run->hypercall.args[0];
    memcpy(exit->hypercall.args, run->hypercall.args + 1, 7 * sizeof(exit->hypercall.args[0]));
}

/* A page fault that comes out is one that the driver could not mend. */
static enum visor_exit_reason exit_exception(visor_exit *exit, const struct gzvm_vcpu_run *run)
{
    if (run->exception.exception == GZVM_EXCEPTION_PAGE_FAULT) {
        exit->memory_fault.gpa = run->exception.fault_gpa;
        exit->memory_fault.length = 0;
        exit->memory_fault.flags = run->exception.error_code;
        return VISOR_EXIT_MEMORY_FAULT;
    }
    exit->exception.vector = run->exception.exception;
    exit->exception.error_code = run->exception.error_code;
    return VISOR_EXIT_EXCEPTION;
}

static enum visor_exit_reason translate(visor_vcpu *vcpu)
{
    const struct twin_exit *known = twin_of(vcpu->vm)->exits;
    const struct gzvm_vcpu_run *run = &twin_vcpu_of(vcpu)->run;
    visor_exit *exit = &vcpu->exit;
    enum visor_exit_reason reason;

    while (known->native != 0 && known->native != run->exit_reason)
        known++;
    reason = known->native != 0 ? known->reason : VISOR_EXIT_UNKNOWN;
    switch (reason) {
    case VISOR_EXIT_MMIO:
        if (exit_mmio(vcpu))
            return reason;
        break;
    case VISOR_EXIT_SYSTEM_EVENT: exit_system_event(exit, run); return reason;
    case VISOR_EXIT_INTERNAL_ERROR: exit_internal_error(exit, run); return reason;
    case VISOR_EXIT_HYPERCALL: exit_hypercall(exit, run); return reason;
    case VISOR_EXIT_EXCEPTION: return exit_exception(exit, run);
    case VISOR_EXIT_FAIL_ENTRY:
        exit->fail_entry.reason = run->fail_entry.hardware_entry_failure_reason;
        exit->fail_entry.cpu = run->fail_entry.cpu;
        return reason;
    case VISOR_EXIT_DEBUG: memset(&exit->debug, 0, sizeof(exit->debug)); return reason;
    case VISOR_EXIT_UNKNOWN: break;
    default: return reason;
    }
    memcpy(exit->unknown.payload, run->padding, sizeof(exit->unknown.payload));
    return VISOR_EXIT_UNKNOWN;
}

/*
 * Whether the exit that a run ended by a signal has left in the block is none of ours: the driver
 * has dealt with it and was about to enter the guest again, but the block comes back as it is. Page
 * faults are among them: one that the driver could not mend happens again.
 */
static bool is_consumed(visor_vcpu *vcpu)
{
    const struct twin_exit *known = twin_of(vcpu->vm)->exits;
    const struct gzvm_vcpu_run *run = &twin_vcpu_of(vcpu)->run;

    if (run->exit_reason == 0)
        return true;
    while (known->native != 0 && known->native != run->exit_reason)
        known++;
    switch (known->reason) {
    case VISOR_EXIT_INTR:
    case VISOR_EXIT_IRQ_WINDOW: return true;
    case VISOR_EXIT_HYPERCALL: return run->hypercall.args[0] == GZVM_HVC_MEM_RELINQUISH;
    case VISOR_EXIT_EXCEPTION: return run->exception.exception == GZVM_EXCEPTION_PAGE_FAULT;
    case VISOR_EXIT_MMIO:
        return run->mmio.is_write && run->mmio.size <= 8 &&
               twin_has_io_event(vcpu->vm, run->mmio.phys_addr, (uint32_t)run->mmio.size,
                                 run->mmio.data);
    default: return false;
    }
}

/* ---- running ---- */

/* Records what a run ends with. */
static int report(visor_vcpu *vcpu, enum visor_exit_reason reason)
{
    vcpu->exit.reason = reason;
    vcpu->exit.raw = twin_vcpu_of(vcpu)->run.exit_reason;
    return (int)reason;
}

/* Moves the answer to a read to where the next run looks for it. The rest of the block has to stay
 * as it was. */
static void take_answer(visor_vcpu *vcpu)
{
    struct twin_vcpu *v = twin_vcpu_of(vcpu);

    if (v->due)
        memcpy(v->run.mmio.data, vcpu->exit.io.data, sizeof(v->run.mmio.data));
    v->due = false;
}

static void forget_kick(visor_vcpu *vcpu)
{
    visor__linux_kick_reset(&twin_vcpu_of(vcpu)->kick);
}

static int run(visor_vcpu *vcpu)
{
    struct twin_vcpu *v = twin_vcpu_of(vcpu);
    const struct twin *twin = twin_of(vcpu->vm);
    bool kicked, has_exit;
    int err;

    take_answer(vcpu);
    err = visor__linux_kick_adopt_held(&v->kick, twin_of(vcpu->vm)->name, &v->mask);
    if (err < 0)
        return err;
    /* So that an exit is told from what an earlier one has left. */
    v->run.exit_reason = 0;
    if (visor__run_begin(vcpu, forget_kick)) {
        visor__linux_kick_drop(&v->kick, false);
        return report(vcpu, VISOR_EXIT_KICKED);
    }
    err = visor__linux_kick_ioctl(v->fd, twin->run.number, (uintptr_t)&v->run, &v->mask);
    has_exit = err == 0 || (err == EINTR && !is_consumed(vcpu));
    if (v->run.exit_reason != 0) /* the guest was entered */
        v->unsettled = false;
    /* A kick that comes with an exit is kept for the next run. */
    kicked = visor__run_end(vcpu, err == EINTR && !has_exit);
    visor__linux_kick_drop(&v->kick, err == EINTR);
    if (kicked)
        return report(vcpu, VISOR_EXIT_KICKED);
    if (has_exit)
        return report(vcpu, translate(vcpu));
    if (err == EINTR) {
        visor__linux_kick_forget_thread(&v->kick);
        return report(vcpu, VISOR_EXIT_INTR);
    }
    return twin_error(twin, run, err, "vCPU %u", vcpu->id);
}

/*
 * The driver completes an access on its way into the guest only, and leaves before that if it is
 * told not to enter. The answer waits in the run block, where nothing changes it.
 */
static int settle(visor_vcpu *vcpu)
{
    if (!twin_vcpu_of(vcpu)->unsettled)
        return report(vcpu, VISOR_EXIT_NONE);
    visor__error(VISOR_EUNSUPPORTED, twin_of(vcpu->vm)->name, "visor_vcpu_settle",
                 "vCPU %u: the driver completes an access when the guest runs on", vcpu->id);
    return visor__error_hint("run it on, with a kick pending after a moment");
}

static void kick(visor_vcpu *vcpu)
{
    visor__linux_kick(&twin_vcpu_of(vcpu)->kick);
}

/* ---- life ---- */

static int create(visor_vcpu *vcpu)
{
    struct twin_vcpu *v = twin_vcpu_of(vcpu);
    const struct twin *twin = twin_of(vcpu->vm);
    int ret;

    /* Not left to the driver: one of Halla's takes an id too many and writes past its table. */
    if (vcpu->id >= twin->max_vcpus)
        return visor__error(VISOR_ELIMIT, twin->name, twin->create_vcpu.name,
                            "vCPU id %u: the driver takes 0 to %u", vcpu->id, twin->max_vcpus - 1);
    ret = visor__linux_ioctl(twin_vm_of(vcpu->vm)->fd, twin->create_vcpu.number, vcpu->id);
    if (ret < 0)
        return twin_error(twin, create_vcpu, -ret, "vCPU id %u", vcpu->id);
    v->fd = ret;
    v->kick.signal = twin_hv_of(vcpu->vm->hv)->signal;
    v->kick.immediate_exit = &v->run.immediate_exit;
    return 0;
}

static void destroy(visor_vcpu *vcpu)
{
    close(twin_vcpu_of(vcpu)->fd);
}

const struct visor__vcpu_ops twin_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .set_state = twin_set_state,
};
