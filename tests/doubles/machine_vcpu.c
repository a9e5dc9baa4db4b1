/* SPDX-License-Identifier: BSD-3-Clause */
/* A vCPU of KVM, entered as from within a kernel: a signal ends the run, its handler runs later. */
#include "double.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sent only to a thread that is in vcpu_enter(), where it is blocked but for the guest's time. */
#define LEAVE_SIGNAL SIGRTMAX

static size_t run_size(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    close(kvm);
    if (size < 0)
        double_die("KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
    return (size_t)size;
}

int machine_add_vcpu(struct machine *machine, unsigned id, struct machine_vcpu **out)
{
    struct machine_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    struct kvm_vcpu_init init;

    if (vcpu == NULL)
        return -ENOMEM;
    vcpu->machine = machine;
    vcpu->id = id;
    vcpu->kvm = ioctl(machine->kvm, KVM_CREATE_VCPU, (uint64_t)id);
    if (vcpu->kvm < 0) {
        int err = errno;

        free(vcpu);
        return -err;
    }
    vcpu->run = mmap(NULL, run_size(), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->kvm, 0);
    if (vcpu->run == MAP_FAILED)
        double_die("the run area: %s", strerror(errno));
    if (ioctl(machine->kvm, KVM_ARM_PREFERRED_TARGET, &init) < 0)
        double_die("KVM_ARM_PREFERRED_TARGET: %s", strerror(errno));
    init.features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
    if (id != 0)
        init.features[0] |= 1U << KVM_ARM_VCPU_POWER_OFF;
    if (ioctl(vcpu->kvm, KVM_ARM_VCPU_INIT, &init) < 0)
        double_die("KVM_ARM_VCPU_INIT: %s", strerror(errno));
    machine->vcpus[id] = vcpu;
    machine->vcpu_number++;
    *out = vcpu;
    return 0;
}

void vcpu_destroy(struct machine_vcpu *vcpu)
{
    vcpu->machine->vcpus[vcpu->id] = NULL;
    munmap(vcpu->run, run_size());
    close(vcpu->kvm);
    free(vcpu);
}

int vcpu_set_reg(struct machine_vcpu *vcpu, uint64_t id, uint64_t value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

    return ioctl(vcpu->kvm, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static void set_mask(struct machine_vcpu *vcpu)
{
    struct {
        struct kvm_signal_mask head;
        uint64_t set;
    } __attribute__((packed)) mask = {.head.len = sizeof(uint64_t)};

    memcpy(&mask.set, caller_mask(), sizeof(mask.set)); /* the kernel's part of a sigset_t */
    mask.set &= ~(1ULL << (LEAVE_SIGNAL - 1));
    if (vcpu->has_mask && mask.set == vcpu->mask)
        return;
    if (ioctl(vcpu->kvm, KVM_SET_SIGNAL_MASK, &mask) < 0)
        double_die("KVM_SET_SIGNAL_MASK: %s", strerror(errno));
    vcpu->mask = mask.set;
    vcpu->has_mask = true;
}

static void forget_leave_signal(void)
{
    struct timespec now = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, LEAVE_SIGNAL);
    while (sigtimedwait(&set, NULL, &now) == LEAVE_SIGNAL)
        ;
}

static int enter(struct machine_vcpu *vcpu)
{
    struct machine *machine = vcpu->machine;
    int ret;

    pthread_mutex_lock(&machine->lock);
    if (machine->is_over) {
        pthread_mutex_unlock(&machine->lock);
        return -ESHUTDOWN;
    }
    if (vcpu->thread != 0)
        double_die("vCPU %u is run by two threads", vcpu->id);
    vcpu->thread = (pid_t)syscall(SYS_gettid);
    pthread_mutex_unlock(&machine->lock);

    ret = ioctl(vcpu->kvm, KVM_RUN, 0) < 0 ? -errno : 0;

    pthread_mutex_lock(&machine->lock);
    vcpu->thread = 0;
    pthread_mutex_unlock(&machine->lock);
    forget_leave_signal();
    return ret;
}

void machine_end(struct machine *machine)
{
    pthread_mutex_lock(&machine->lock);
    machine->is_over = true;
    for (unsigned i = 0; i < MACHINE_VCPUS; i++) {
        if (machine->vcpus[i] != NULL && machine->vcpus[i]->thread != 0)
            syscall(SYS_tgkill, getpid(), machine->vcpus[i]->thread, LEAVE_SIGNAL);
    }
    pthread_mutex_unlock(&machine->lock);
}

void vcpu_settle(struct machine_vcpu *vcpu)
{
    vcpu->run->immediate_exit = 1;
    if (ioctl(vcpu->kvm, KVM_RUN, 0) == 0 || errno != EINTR)
        double_die("KVM has not left at once");
    vcpu->run->immediate_exit = 0;
}

int vcpu_enter(struct machine_vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    int ret = machine_ready(vcpu->machine);

    if (ret < 0)
        double_die("the interrupt controller: %s", strerror(-ret));
    set_mask(vcpu);
    for (;;) {
        ret = enter(vcpu);
        if (ret == -EINTR) {
            if (signal_pending())
                return -DOUBLE_RESTART;
            continue;
        }
        if (ret < 0)
            return ret;
        if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write ||
            !machine_signal_ioevent(vcpu->machine, run->mmio.phys_addr, run->mmio.data,
                                    run->mmio.len))
            return 0;
        if (signal_pending())
            return -DOUBLE_RESTART;
    }
}
