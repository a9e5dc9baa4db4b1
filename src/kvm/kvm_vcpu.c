/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating, running, settling and kicking a vCPU. Kicks are as in linux/kick.h, with the driver
 * letting the signal through (KVM_SET_SIGNAL_MASK).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/kvm.h"

/* Bytes of the kernel's signal set on all architectures of ours: 64 signals. */
#define KERNEL_SIGSET_SIZE 8

/* What a suberror of KVM_EXIT_INTERNAL_ERROR means (linux/kvm.h, KVM_INTERNAL_ERROR_...). */
static const char *internal_error_text(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION: return "an instruction could not be emulated";
    case KVM_INTERNAL_ERROR_SIMUL_EX: return "unexpected simultaneous exceptions";
    case KVM_INTERNAL_ERROR_DELIVERY_EV: return "unexpected exit while an event was delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "exit for an unexpected reason";
    default: return "a reason that this library does not know";
    }
}

/* ---- kicking ---- */

/* Makes this thread the one that runs the vCPU: see linux/kick.h. */
static int adopt_thread(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    struct { /* struct kvm_signal_mask with its array */
        uint32_t length;
        unsigned char set[KERNEL_SIGSET_SIZE];
    } native = {.length = KERNEL_SIGSET_SIZE};
    sigset_t mask;
    int ret = visor__linux_kick_adopt(&k->kick, "kvm", &mask);

    if (ret <= 0)
        return ret;
    memcpy(native.set, &mask, sizeof(native.set));
    ret = KVM_IOCTL(k->fd, KVM_SET_SIGNAL_MASK, &native);
    if (ret < 0)
        return ret;
    visor__linux_kick_adopted(&k->kick);
    return 0;
}

/* For visor__run_begin(). */
static void forget_kick(visor_vcpu *vcpu)
{
    visor__linux_kick_reset(&kvm_vcpu_of(vcpu)->kick);
}

void kvm_vcpu_kick(visor_vcpu *vcpu)
{
    visor__linux_kick(&kvm_vcpu_of(vcpu)->kick);
}

/* ---- exits ---- */

static void exit_system_event(visor_exit *exit, const struct kvm_run *run)
{
    uint32_t count = run->system_event.ndata;

    exit->system.raw = run->system_event.type;
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN: exit->system.type = VISOR_SYSTEM_SHUTDOWN; break;
    case KVM_SYSTEM_EVENT_RESET: exit->system.type = VISOR_SYSTEM_RESET; break;
    case KVM_SYSTEM_EVENT_CRASH: exit->system.type = VISOR_SYSTEM_CRASH; break;
    case KVM_SYSTEM_EVENT_WAKEUP: exit->system.type = VISOR_SYSTEM_WAKEUP; break;
    case KVM_SYSTEM_EVENT_SUSPEND: exit->system.type = VISOR_SYSTEM_SUSPEND; break;
    default: exit->system.type = VISOR_SYSTEM_OTHER; break;
    }
    if (count == 0) /* kernels before 5.19 have `flags`, at the place of data[0], and no count */
        count = 1;
    if (count > 16)
        count = 16;
    exit->system.data_count = count;
    memcpy(exit->system.data, run->system_event.data, count * sizeof(exit->system.data[0]));
}

static void exit_internal_error(visor_exit *exit, const struct kvm_run *run)
{
    uint32_t count = run->internal.ndata < 16 ? run->internal.ndata : 16;

    exit->internal.suberror = run->internal.suberror;
    exit->internal.text = internal_error_text(run->internal.suberror);
    exit->internal.data_count = count;
    memcpy(exit->internal.data, run->internal.data, count * sizeof(exit->internal.data[0]));
    exit->internal.instruction_len = 0;
    /* Flags, then one byte of length and 15 of code: three of the 64-bit data. */
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && count >= 3 &&
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0) {
        uint8_t length = run->emulation_failure.insn_size;

        exit->internal.instruction_len = length < 15 ? length : 15;
        memcpy(exit->internal.instruction, run->emulation_failure.insn_bytes, 15);
    }
}

static void exit_mmio(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    visor_io *io = &vcpu->exit.io;

    io->address = k->run->mmio.phys_addr;
    io->length = k->run->mmio.len <= 8 ? k->run->mmio.len : 8;
    io->is_write = k->run->mmio.is_write != 0;
    io->space = VISOR_MMIO;
    memset(io->data, 0, sizeof(io->data));
    if (io->is_write)
        memcpy(io->data, k->run->mmio.data, io->length);
    k->due = KVM_EXIT_MMIO;
    k->unsettled = true;
}

static int common_exit(visor_vcpu *vcpu)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;
    visor_exit *exit = &vcpu->exit;

    switch (run->exit_reason) {
    case KVM_EXIT_MMIO: exit_mmio(vcpu); return VISOR_EXIT_MMIO;
    case KVM_EXIT_EXCEPTION:
        exit->exception.vector = run->ex.exception;
        exit->exception.error_code = run->ex.error_code;
        return VISOR_EXIT_EXCEPTION;
    case KVM_EXIT_HLT: return VISOR_EXIT_HLT;
    case KVM_EXIT_IRQ_WINDOW_OPEN: return VISOR_EXIT_IRQ_WINDOW;
    case KVM_EXIT_SHUTDOWN: return VISOR_EXIT_SHUTDOWN;
    case KVM_EXIT_INTR: return VISOR_EXIT_INTR;
    case KVM_EXIT_FAIL_ENTRY:
        exit->fail_entry.reason = run->fail_entry.hardware_entry_failure_reason;
        exit->fail_entry.cpu = run->fail_entry.cpu;
        return VISOR_EXIT_FAIL_ENTRY;
    case KVM_EXIT_INTERNAL_ERROR: exit_internal_error(exit, run); return VISOR_EXIT_INTERNAL_ERROR;
    case KVM_EXIT_SYSTEM_EVENT: exit_system_event(exit, run); return VISOR_EXIT_SYSTEM_EVENT;
    case KVM_EXIT_NOTIFY: exit->notify.flags = run->notify.flags; return VISOR_EXIT_NOTIFY;
    case KVM_EXIT_MEMORY_FAULT: {
        struct kvm_exit_memory_fault fault;

        memcpy(&fault, run->padding, sizeof(fault));
        exit->memory_fault.gpa = fault.gpa;
        exit->memory_fault.length = fault.size;
        exit->memory_fault.flags = fault.flags;
        return VISOR_EXIT_MEMORY_FAULT;
    }
    default:
        memcpy(exit->unknown.payload, run->padding, sizeof(exit->unknown.payload));
        kvm_vcpu_of(vcpu)->unsettled = true; /* who knows */
        return VISOR_EXIT_UNKNOWN;
    }
}

/* Records what a run ends with. */
static int report(visor_vcpu *vcpu, int reason, uint32_t raw)
{
    vcpu->exit.reason = (visor_exit_reason)reason;
    vcpu->exit.raw = raw;
    return reason;
}

int kvm_vcpu_exit(visor_vcpu *vcpu)
{
    int reason = kvm_arch_exit(vcpu);

    if (reason == KVM_EXIT_DONE)
        reason = VISOR_EXIT_NONE;
    else if (reason == VISOR_EXIT_NONE)
        reason = common_exit(vcpu);
    return report(vcpu, reason, kvm_vcpu_of(vcpu)->run->exit_reason);
}

/* ---- running ---- */

/* Moves what the caller filled into vcpu->exit to where KVM_RUN looks for it. */
static void take_answer(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    uint32_t due = k->due;

    k->due = 0;
    if (due == KVM_EXIT_MMIO) {
        if (!k->run->mmio.is_write)
            memcpy(k->run->mmio.data, vcpu->exit.io.data, sizeof(k->run->mmio.data));
    } else if (due != 0) {
        kvm_arch_answer(vcpu, due);
    }
}

/* ioctl(KVM_RUN). Returns 0 or an errno value. */
static int enter(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    int err;

    /* Not every way out sets it, and an old reason must not be taken for a new one. But it tells
     * Arm's and RISC-V's KVM that an answer waits in the run area. */
    if (!k->unsettled)
        k->run->exit_reason = KVM_EXIT_UNKNOWN;
    kvm_arch_enter(vcpu);
    atomic_fetch_add(&k->passages, 1);
    err = ioctl(k->fd, KVM_RUN, 0) < 0 ? errno : 0;
    atomic_fetch_add(&k->passages, 1);
    kvm_arch_left(vcpu, err);
    k->unsettled = false;
    return err;
}

/* Whether the run area holds an exit although KVM_RUN failed. */
static bool is_exit(const struct kvm_run *run, int err)
{
    if (run->exit_reason == KVM_EXIT_MEMORY_FAULT)
        return err == EFAULT || err == EHWPOISON;
    return run->exit_reason == KVM_EXIT_INTERNAL_ERROR; /* kvm_arch_left() */
}

static int run_failed(visor_vcpu *vcpu, int err)
{
    if (err == EFAULT)
        return kvm_error("KVM_RUN", err,
                         "vCPU %u: the host memory behind the guest's access cannot "
                         "be used",
                         vcpu->id);
    return kvm_error("KVM_RUN", err, "vCPU %u", vcpu->id);
}

/* One passage through the guest. NONE: go on without telling the caller. */
static int run_once(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    int err = enter(vcpu);
    bool kicked = visor__run_end(vcpu, err == EINTR);

    visor__linux_kick_drop(&k->kick, err == EINTR);
    if (kicked)
        return report(vcpu, VISOR_EXIT_KICKED, k->run->exit_reason);
    if (err == 0 && k->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL)
        return kvm_dirty_ring_full(vcpu) < 0 ? visor_error_last()->code : VISOR_EXIT_NONE;
    if (err == 0 || is_exit(k->run, err))
        return kvm_vcpu_exit(vcpu);
    if (err == EINTR) {
        visor__linux_kick_forget_thread(&k->kick);
        return report(vcpu, VISOR_EXIT_INTR, k->run->exit_reason);
    }
    /* EAGAIN: it was waiting to be started and something has happened; it may start now. */
    return err == EAGAIN ? VISOR_EXIT_NONE : run_failed(vcpu, err);
}

int kvm_vcpu_run(visor_vcpu *vcpu)
{
    int reason;

    take_answer(vcpu);
    do {
        reason = adopt_thread(vcpu);
        if (reason < 0)
            return reason;
        if (visor__run_begin(vcpu, forget_kick)) {
            visor__linux_kick_drop(&kvm_vcpu_of(vcpu)->kick, false);
            return report(vcpu, VISOR_EXIT_KICKED, 0);
        }
        reason = kvm_arch_part(vcpu);
        if (reason != VISOR_EXIT_NONE) {
            visor__run_end(vcpu, false);
            visor__linux_kick_drop(&kvm_vcpu_of(vcpu)->kick, false);
            return report(vcpu, reason, kvm_vcpu_of(vcpu)->run->exit_reason);
        }
        reason = run_once(vcpu);
    } while (reason == VISOR_EXIT_NONE);
    return reason;
}

/* Lets the kernel end an access, and no more. Returns an errno value: EINTR, or EAGAIN from a vCPU
 * that waits to be started; 0: there is another exit. */
static int finish(visor_vcpu *vcpu)
{
    /* KVM_RUN completes the access before it looks at the flag. The next run clears it. */
    visor__linux_set_immediate_exit(&kvm_vcpu_of(vcpu)->kick, 1);
    return enter(vcpu);
}

int kvm_vcpu_settle(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    int reason, err;

    take_answer(vcpu);
    reason = kvm_arch_part(vcpu);
    if (reason != VISOR_EXIT_NONE)
        return report(vcpu, reason, k->run->exit_reason);
    if (k->unsettled) {
        err = finish(vcpu);
        if (err == 0)
            return kvm_vcpu_exit(vcpu);
        if (err != EINTR && err != EAGAIN)
            return run_failed(vcpu, err);
    }
    return report(vcpu, VISOR_EXIT_NONE, 0);
}

int kvm_vcpu_complete(visor_vcpu *vcpu)
{
    int err = 0;

    take_answer(vcpu);
    if (kvm_vcpu_of(vcpu)->unsettled)
        err = finish(vcpu);
    return err == 0 || err == EINTR || err == EAGAIN ? 0 : run_failed(vcpu, err);
}

/* ---- life ---- */

void kvm_vcpu_destroy(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);

    kvm_dirty_detach(vcpu);
    munmap(k->run, k->run_size);
    close(k->fd);
}

int kvm_vcpu_create(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    int ret;

    ret = kvm_ioctl_quiet(kvm_vm_of(vcpu->vm)->fd, KVM_CREATE_VCPU, vcpu->id);
    if (ret == -EINVAL) /* the id is the only argument */
        return visor__error_native(VISOR_ELIMIT, "kvm", "KVM_CREATE_VCPU", VISOR_NATIVE_ERRNO, -ret,
                                   "vCPU id %u is above what the kernel takes", vcpu->id);
    if (ret < 0)
        return kvm_error("KVM_CREATE_VCPU", -ret, "vCPU id %u", vcpu->id);
    k->fd = ret;
    k->run_size = kvm_hv_of(vcpu->vm->hv)->run_size;
    k->run = mmap(NULL, k->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (k->run == MAP_FAILED) {
        ret = kvm_error("mmap", errno, "run area of vCPU %u", vcpu->id);
        close(k->fd);
        return ret;
    }
    k->kick.signal = kvm_hv_of(vcpu->vm->hv)->signal;
    k->kick.immediate_exit = &k->run->immediate_exit;
    ret = kvm_dirty_attach(vcpu);
    if (ret >= 0)
        ret = kvm_coalesce_attach(vcpu);
    if (ret >= 0)
        ret = kvm_arch_vcpu_init(vcpu);
    if (ret < 0)
        kvm_vcpu_destroy(vcpu);
    return ret < 0 ? ret : 0;
}

int kvm_vcpu_native_enable(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4])
{
    char name[32];

    snprintf(name, sizeof(name), "capability %u", number);
    return kvm_enable(kvm_vcpu_of(vcpu)->fd, name, number, 0, args);
}
