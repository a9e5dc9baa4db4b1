/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating, running and kicking a vCPU, and what its exits mean.
 *
 * The driver looks at immediate_exit in the run page again and again, but a vCPU that waits for an
 * interrupt is woken by a signal only (linux/kick.h). A run that a signal ends may bring a genuine
 * exit along, which a next run would take for answered.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gunyah/gunyah.h"

/* ---- exits ---- */

static bool exit_mmio(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    visor_io *io = &vcpu->exit.io;

    v->unsettled = true;
    if (v->run->mmio.len == 0 || v->run->mmio.len > 8)
        return false;
    io->address = v->run->mmio.phys_addr;
    io->length = v->run->mmio.len;
    io->is_write = v->run->mmio.is_write != 0;
    io->space = VISOR_MMIO;
    memset(io->data, 0, sizeof(io->data));
    if (io->is_write)
        memcpy(io->data, v->run->mmio.data, io->length);
    v->due = !io->is_write;
    return true;
}

static enum visor_exit_reason exit_ended(visor_exit *exit, const struct gunyah_vm_exit_info *info)
{
    uint64_t reason = 0;

    memcpy(&reason, info->reason,
           info->reason_size < sizeof(reason) ? info->reason_size : sizeof(reason));
    exit->system.raw = info->type;
    exit->system.data_count = 1;
    exit->system.data[0] = reason;
    switch (info->type) {
    case GH_RM_EXIT_TYPE_VM_EXIT:
    case GH_RM_EXIT_TYPE_PSCI_POWER_OFF:
    case GH_RM_EXIT_TYPE_VM_FORCE_STOPPED: exit->system.type = VISOR_SYSTEM_SHUTDOWN; break;
    case GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET:
    case GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET2: exit->system.type = VISOR_SYSTEM_RESET; break;
    case GH_RM_EXIT_TYPE_WDT_BITE:
    case GH_RM_EXIT_TYPE_HYP_ERROR:
    case GH_RM_EXIT_TYPE_ASYNC_EXT_ABORT: exit->system.type = VISOR_SYSTEM_CRASH; break;
    default: exit->system.type = VISOR_SYSTEM_OTHER; break;
    }
    return VISOR_EXIT_SYSTEM_EVENT;
}

static enum visor_exit_reason exit_status(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    switch (v->run->status.status) {
    case GUNYAH_VM_STATUS_LOAD_FAILED:
        exit->fail_entry.reason = 0;
        exit->fail_entry.cpu = 0;
        return VISOR_EXIT_FAIL_ENTRY;
    case GUNYAH_VM_STATUS_EXITED: return exit_ended(exit, &v->run->status.exit_info);
    case GUNYAH_VM_STATUS_CRASHED:
        exit_ended(exit, &v->run->status.exit_info);
        exit->system.type = VISOR_SYSTEM_CRASH;
        return VISOR_EXIT_SYSTEM_EVENT;
    default: return VISOR_EXIT_UNKNOWN;
    }
}

/* attempt is why the host's page could not be had, a negative errno. The next run tries again. */
static enum visor_exit_reason exit_page_fault(visor_exit *exit, const struct gunyah_vcpu_run *run)
{
    exit->memory_fault.gpa = run->page_fault.phys_addr;
    exit->memory_fault.length = 0;
    exit->memory_fault.flags = (uint64_t)(uint32_t)-run->page_fault.attempt;
    return VISOR_EXIT_MEMORY_FAULT;
}

static enum visor_exit_reason translate(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    enum visor_exit_reason reason = VISOR_EXIT_UNKNOWN;

    switch (v->run->exit_reason) {
    case GUNYAH_VCPU_EXIT_MMIO:
        if (exit_mmio(vcpu))
            return VISOR_EXIT_MMIO;
        break;
    case GUNYAH_VCPU_EXIT_STATUS:
        v->is_over = true;
        reason = exit_status(vcpu);
        break;
    case GUNYAH_VCPU_EXIT_PAGE_FAULT: return exit_page_fault(&vcpu->exit, v->run);
    default: break;
    }
    if (reason == VISOR_EXIT_UNKNOWN) {
        memset(vcpu->exit.unknown.payload, 0, sizeof(vcpu->exit.unknown.payload));
        memcpy(vcpu->exit.unknown.payload, &v->run->mmio,
               sizeof(*v->run) - offsetof(struct gunyah_vcpu_run, mmio));
    }
    return reason;
}

/* ---- running ---- */

/* Records what a run ends with. */
static int report(visor_vcpu *vcpu, enum visor_exit_reason reason)
{
    vcpu->exit.reason = reason;
    vcpu->exit.raw = gunyah_vcpu_of(vcpu)->run->exit_reason;
    return (int)reason;
}

static void take_answer(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);

    if (v->due)
        memcpy(v->run->mmio.data, vcpu->exit.io.data, sizeof(v->run->mmio.data));
    v->due = false;
}

static void forget_kick(visor_vcpu *vcpu)
{
    visor__linux_kick_reset(&gunyah_vcpu_of(vcpu)->kick);
}

/* Returns 0 or an errno value; the exit that came along, if any, is in the run page. */
static int enter(struct gunyah_vcpu *v)
{
    /* So that an exit is told from what an earlier one has left: the driver keeps its own copy of
     * what it needs to complete it. */
    v->run->exit_reason = GUNYAH_VCPU_EXIT_UNKNOWN;
    v->unsettled = false;
    return visor__linux_kick_ioctl(v->fd, GUNYAH_VCPU_RUN, 0, &v->mask);
}

static int run(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    bool kicked, has_exit;
    int err = gunyah_start(vcpu->vm);

    if (err == 0)
        err = visor__linux_kick_adopt_held(&v->kick, "gunyah", &v->mask);
    if (err < 0)
        return err;
    take_answer(vcpu);
    if (visor__run_begin(vcpu, forget_kick)) {
        visor__linux_kick_drop(&v->kick, false);
        return report(vcpu, VISOR_EXIT_KICKED);
    }
    err = enter(v);
    has_exit = v->run->exit_reason != GUNYAH_VCPU_EXIT_UNKNOWN;
    /* A kick that comes with an exit is kept for the next run. */
    kicked = visor__run_end(vcpu, err == EINTR && !has_exit);
    visor__linux_kick_drop(&v->kick, err == EINTR);
    if (kicked)
        return report(vcpu, VISOR_EXIT_KICKED);
    if (has_exit && (err == 0 || err == EINTR))
        return report(vcpu, translate(vcpu));
    if (err == EINTR) {
        visor__linux_kick_forget_thread(&v->kick);
        return report(vcpu, VISOR_EXIT_INTR);
    }
    if (err == 0 && v->is_over) { /* told again */
        v->run->exit_reason = GUNYAH_VCPU_EXIT_STATUS;
        return report(vcpu, translate(vcpu));
    }
    return err == 0 ? report(vcpu, translate(vcpu))
                    : gunyah_error("GUNYAH_VCPU_RUN", err, "vCPU %u", vcpu->id);
}

/* A run that is told to leave at once completes the access before it looks. */
static int settle(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    int err;

    take_answer(vcpu);
    if (!v->unsettled)
        return report(vcpu, VISOR_EXIT_NONE);
    visor__linux_set_immediate_exit(&v->kick, 1);
    err = enter(v);
    if (v->run->exit_reason != GUNYAH_VCPU_EXIT_UNKNOWN)
        return report(vcpu, translate(vcpu));
    if (err != 0 && err != EINTR)
        return gunyah_error("GUNYAH_VCPU_RUN", err, "vCPU %u", vcpu->id);
    return report(vcpu, VISOR_EXIT_NONE);
}

static void kick(visor_vcpu *vcpu)
{
    visor__linux_kick(&gunyah_vcpu_of(vcpu)->kick);
}

/* ---- life ---- */

static int map_run_page(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    int size = visor__linux_ioctl(v->fd, GUNYAH_VCPU_MMAP_SIZE, 0);

    if (size < 0)
        return gunyah_error("GUNYAH_VCPU_MMAP_SIZE", -size, "vCPU %u", vcpu->id);
    if ((size_t)size < sizeof(*v->run))
        return visor__error(VISOR_EBROKEN, "gunyah", "GUNYAH_VCPU_MMAP_SIZE",
                            "a run area of %d bytes", size);
    v->run_size = (size_t)size;
    v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED)
        return gunyah_error("mmap", errno, "run area of vCPU %u", vcpu->id);
    return 0;
}

static int create(visor_vcpu *vcpu)
{
    static const char op[] = "GUNYAH_VM_ADD_FUNCTION(VCPU)";
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);
    const struct gunyah_fn_vcpu_arg argument = {.id = vcpu->id};
    int ret;

    if (vcpu->id >= GUNYAH_MAX_VCPUS)
        return visor__error(VISOR_ELIMIT, "gunyah", op, "vCPU id %u: 0 to %u are taken", vcpu->id,
                            GUNYAH_MAX_VCPUS - 1);
    ret = gunyah_add_function(vcpu->vm, GUNYAH_FN_VCPU, &argument, sizeof(argument));
    if (ret < 0)
        return gunyah_error(op, -ret, "vCPU id %u", vcpu->id);
    v->fd = ret;
    ret = map_run_page(vcpu);
    if (ret < 0) {
        (void)gunyah_remove_function(vcpu->vm, GUNYAH_FN_VCPU, &argument, sizeof(argument));
        close(v->fd);
        return ret;
    }
    v->kick.signal = gunyah_hv_of(vcpu->vm->hv)->signal;
    v->kick.immediate_exit = &v->run->immediate_exit;
    gunyah_vm_of(vcpu->vm)->vcpu_count++;
    return 0;
}

static void destroy(visor_vcpu *vcpu)
{
    struct gunyah_vcpu *v = gunyah_vcpu_of(vcpu);

    munmap(v->run, v->run_size);
    close(v->fd);
}

const struct visor__vcpu_ops gunyah_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .set_state = gunyah_set_state,
};
