/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a vCPU of Gunyah. */
#include "gunyah.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct gunyah_vcpu {
    struct object object;
    struct gunyah_vm *vm;
    struct gunyah_vcpu_function *function; /* NULL: a second one of the same id */
    struct gunyah_vcpu_run *page;          /* shared with the program */
    pthread_mutex_t lock;
    bool has_mmio, is_done; /* the last exit */
    uint32_t mmio_size;
};

static struct machine_vcpu *resource_of(const struct gunyah_vcpu *vcpu)
{
    if (vcpu->function == NULL || vcpu->function->is_removed ||
        vcpu->function->id >= MACHINE_VCPUS || vcpu->vm->state == STATE_NONE)
        return NULL;
    return vcpu->vm->machine.vcpus[vcpu->function->id];
}

/* KVM takes its exit for handled and has gone on by an instruction: back to it, as if it had not
 * been tried yet. */
static void undo(struct machine_vcpu *vcpu)
{
    uint64_t pc = 0;
    struct kvm_one_reg reg = {.id = VCPU_CORE_REG(regs.pc), .addr = (uintptr_t)&pc};

    if (ioctl(vcpu->kvm, KVM_GET_ONE_REG, &reg) < 0)
        double_die("gunyah: PC: %s", strerror(errno));
    vcpu_settle(vcpu);
    vcpu_set_reg(vcpu, reg.id, pc);
}

static void inject_abort(struct machine_vcpu *vcpu)
{
    struct kvm_vcpu_events events = {.exception.ext_dabt_pending = 1};

    if (ioctl(vcpu->kvm, KVM_SET_VCPU_EVENTS, &events) < 0)
        double_die("gunyah: KVM_SET_VCPU_EVENTS: %s", strerror(errno));
}

/* What the program wants of the access that it was told of. */
static long resume(struct gunyah_vcpu *vcpu, struct machine_vcpu *resource)
{
    uint8_t action =
        double_kernel() == KERNEL_6_1 ? GUNYAH_VCPU_RESUME_HANDLED : vcpu->page->mmio.resume_action;

    switch (action) {
    case GUNYAH_VCPU_RESUME_HANDLED:
        if (!resource->run->mmio.is_write)
            memcpy(resource->run->mmio.data, vcpu->page->mmio.data, vcpu->mmio_size);
        break;
    case GUNYAH_VCPU_RESUME_FAULT:
        undo(resource);
        inject_abort(resource);
        break;
    default: return -EINVAL;
    }
    vcpu->has_mmio = false;
    return 0;
}

static void tell_status(struct gunyah_vcpu *vcpu)
{
    vcpu->page->exit_reason = GUNYAH_VCPU_EXIT_STATUS;
    vcpu->page->status.status =
        vcpu->vm->state == STATE_EXITED ? GUNYAH_VM_STATUS_EXITED : GUNYAH_VM_STATUS_CRASHED;
    vcpu->page->status.exit_info = vcpu->vm->exit_info;
    vcpu->is_done = true;
}

static void end_vm(struct gunyah_vm *vm, const struct kvm_run *run)
{
    uint16_t type = GH_RM_EXIT_TYPE_HYP_ERROR;

    if (run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
        type = GH_RM_EXIT_TYPE_PSCI_POWER_OFF;
    else if (run->system_event.type == KVM_SYSTEM_EVENT_RESET)
        type = run->system_event.ndata > 0 &&
                       (run->system_event.data[0] & KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2) != 0
                   ? GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET2
                   : GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET;
    vm->exit_info = (struct gunyah_vm_exit_info){.type = type};
    vm->state = STATE_EXITED;
    machine_end(&vm->machine);
}

static void tell_page_fault(struct gunyah_vcpu *vcpu, uint64_t gpa, int attempt)
{
    vcpu->page->exit_reason = GUNYAH_VCPU_EXIT_PAGE_FAULT;
    vcpu->page->page_fault.phys_addr = gpa;
    vcpu->page->page_fault.attempt = attempt;
    vcpu->page->page_fault.resume_action = GUNYAH_VCPU_RESUME_FAULT;
}

static void tell_mmio(struct gunyah_vcpu *vcpu, struct machine_vcpu *resource)
{
    const struct kvm_run *run = resource->run;

    if (machine_slot_of(&vcpu->vm->machine, run->mmio.phys_addr, run->mmio.len) != NULL &&
        double_kernel() != KERNEL_6_1) { /* a write to memory that does not allow it */
        tell_page_fault(vcpu, run->mmio.phys_addr, -EPERM);
        undo(resource);
        return;
    }
    vcpu->page->exit_reason = GUNYAH_VCPU_EXIT_MMIO;
    vcpu->page->mmio.phys_addr = run->mmio.phys_addr;
    vcpu->page->mmio.len = run->mmio.len;
    vcpu->page->mmio.is_write = run->mmio.is_write;
    vcpu->page->mmio.resume_action = GUNYAH_VCPU_RESUME_HANDLED;
    if (run->mmio.is_write)
        memcpy(vcpu->page->mmio.data, run->mmio.data, sizeof(run->mmio.data));
    vcpu->has_mmio = true;
    vcpu->mmio_size = run->mmio.len;
}

/* True if the program is to know. */
static bool tell(struct gunyah_vcpu *vcpu, struct machine_vcpu *resource)
{
    const struct kvm_run *run = resource->run;

    switch (run->exit_reason) {
    case KVM_EXIT_MMIO: tell_mmio(vcpu, resource); return true;
    case KVM_EXIT_SYSTEM_EVENT:
        end_vm(vcpu->vm, run);
        tell_status(vcpu);
        return true;
    case KVM_EXIT_ARM_NISV: /* no driver tells what becomes of it; the guest hears of its fault */
        inject_abort(resource);
        return false;
    default: double_die("gunyah: KVM's exit %u", run->exit_reason);
    }
}

static long loop(struct gunyah_vcpu *vcpu, struct machine_vcpu *resource)
{
    bool is_interrupted = double_interrupts();
    long ret;

    for (;;) {
        if (__atomic_load_n(&vcpu->page->immediate_exit, __ATOMIC_SEQ_CST) != 0)
            return -EINTR;
        if (signal_pending())
            return -DOUBLE_RESTART;
        ret = vcpu_enter(resource);
        if (ret == -ESHUTDOWN) {
            tell_status(vcpu);
            break;
        }
        if (ret == -EFAULT) {
            tell_page_fault(vcpu, 0, -EFAULT);
            break;
        }
        if (ret < 0)
            continue; /* a signal */
        if (tell(vcpu, resource))
            break;
    }
    /* A signal now makes it EINTR, whatever has been stored. */
    if (signal_pending())
        return -DOUBLE_RESTART;
    return is_interrupted ? -EINTR : 0;
}

static long run(struct gunyah_vcpu *vcpu)
{
    struct machine_vcpu *resource = resource_of(vcpu);
    long ret = 0;

    if (resource == NULL)
        return -ENODEV;
    if (vcpu->is_done)
        return 0;
    if (vcpu->has_mmio)
        ret = resume(vcpu, resource);
    if (ret < 0)
        return ret;
    if (getpid() != vcpu->vm->creator && double_kernel() != KERNEL_6_1)
        return -EPERM;
    ret = loop(vcpu, resource);
    log_note("exit=%u", vcpu->page->exit_reason);
    return ret;
}

static long vcpu_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct gunyah_vcpu *vcpu = (struct gunyah_vcpu *)(void *)object;
    long ret;

    (void)arg;
    switch (request) {
    case GUNYAH_VCPU_RUN:
        pthread_mutex_lock(&vcpu->lock);
        ret = run(vcpu);
        pthread_mutex_unlock(&vcpu->lock);
        return ret;
    case GUNYAH_VCPU_MMAP_SIZE: return sysconf(_SC_PAGESIZE);
    default: return double_kernel() == KERNEL_6_1 ? -EINVAL : -ENOTTY;
    }
}

static void vcpu_release(struct object *object)
{
    struct gunyah_vcpu *vcpu = (struct gunyah_vcpu *)(void *)object;

    munmap(vcpu->page, (size_t)sysconf(_SC_PAGESIZE));
    pthread_mutex_destroy(&vcpu->lock);
    object_put(&vcpu->vm->object);
    free(vcpu);
}

static const struct request vcpu_requests[] = {
    {GUNYAH_VCPU_RUN, "RUN", NULL},
    {GUNYAH_VCPU_MMAP_SIZE, "MMAP_SIZE", NULL},
    {0, NULL, NULL},
};
static const struct object_ops vcpu_ops = {
    .name = "vcpu",
    .requests = vcpu_requests,
    .ioctl = vcpu_ioctl,
    .release = vcpu_release,
};

/* The descriptor is of memory of one page: what lies beyond is SIGBUS, and it outlives the vCPU. */
long gunyah_new_vcpu(struct gunyah_vm *vm, struct gunyah_vcpu_function *function)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    int fd = memfd_create("gunyah-vcpu", MFD_CLOEXEC);
    struct gunyah_vcpu *vcpu = calloc(1, sizeof(*vcpu));

    if (fd < 0 || vcpu == NULL || ftruncate(fd, (off_t)size) < 0)
        double_die("gunyah: a vCPU: %s", strerror(errno));
    vcpu->page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (vcpu->page == MAP_FAILED)
        double_die("gunyah: the page of a vCPU: %s", strerror(errno));
    object_init(&vcpu->object, &vcpu_ops);
    vcpu->vm = vm;
    vcpu->function = function;
    pthread_mutex_init(&vcpu->lock, NULL);
    object_get(&vm->object);
    return object_install(&vcpu->object, fd);
}
