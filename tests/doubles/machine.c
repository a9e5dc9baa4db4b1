/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM of KVM with a GICv3. */
#include "machine.h"
#include "double.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_vm(unsigned address_bits)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int bits, vm;

    if (kvm < 0)
        double_die("/dev/kvm: %s", strerror(errno));
    bits = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
    if (address_bits == 0)
        address_bits = bits < 48 ? (unsigned)bits : 48;
    vm = ioctl(kvm, KVM_CREATE_VM, KVM_VM_TYPE_ARM_IPA_SIZE(address_bits));
    if (vm < 0)
        vm = -errno;
    close(kvm);
    return vm;
}

int machine_init(struct machine *machine, unsigned address_bits, machine_signal *signal)
{
    struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};

    memset(machine, 0, sizeof(*machine));
    machine->kvm = open_vm(address_bits);
    if (machine->kvm < 0)
        return machine->kvm;
    if (ioctl(machine->kvm, KVM_ENABLE_CAP, &nisv) < 0)
        double_die("KVM_CAP_ARM_NISV_TO_USER: %s", strerror(errno));
    pthread_mutex_init(&machine->lock, NULL);
    machine->gic = -1;
    machine->poll = -1;
    machine->signal = signal;
    return 0;
}

void machine_destroy(struct machine *machine)
{
    machine_stop_irqfds(machine);
    while (machine->ioevents != NULL)
        machine_remove_ioevent(machine, NULL, NULL);
    for (unsigned i = 0; i < MACHINE_VCPUS; i++) {
        if (machine->vcpus[i] != NULL)
            vcpu_destroy(machine->vcpus[i]);
    }
    if (machine->gic >= 0)
        close(machine->gic);
    close(machine->kvm);
    for (unsigned i = 0; i < MACHINE_SLOTS; i++)
        machine_remove_slot(machine, i);
    pthread_mutex_destroy(&machine->lock);
}

static int gic_set(struct machine *machine, uint32_t group, uint64_t attribute, const void *value)
{
    struct kvm_device_attr attr = {
        .group = group,
        .attr = attribute,
        .addr = (uintptr_t)value,
    };

    return ioctl(machine->gic, KVM_SET_DEVICE_ATTR, &attr) < 0 ? -errno : 0;
}

static int need_gic(struct machine *machine)
{
    struct kvm_create_device device = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
    uint32_t interrupts = MACHINE_INTIDS;

    if (machine->gic >= 0)
        return 0;
    if (ioctl(machine->kvm, KVM_CREATE_DEVICE, &device) < 0)
        return -errno;
    machine->gic = (int)device.fd;
    return gic_set(machine, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &interrupts);
}

int machine_set_dist(struct machine *machine, uint64_t gpa)
{
    int ret = need_gic(machine);

    return ret < 0 ? ret
                   : gic_set(machine, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &gpa);
}

int machine_set_redist(struct machine *machine, uint64_t gpa, uint64_t size)
{
    /* Documentation/virt/kvm/devices/arm-vgic-v3.rst: number of redistributors in bits 52 to 63,
     * the address in 16 to 51, the index of the region in 0 to 11. Each takes two pages of 64 KiB.
     */
    uint64_t region = size / 0x20000 << 52 | gpa;
    int ret = need_gic(machine);

    if (size == 0 || size % 0x20000 != 0 || gpa % 0x10000 != 0)
        return -EINVAL;
    return ret < 0 ? ret
                   : gic_set(machine, KVM_DEV_ARM_VGIC_GRP_ADDR,
                             KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, &region);
}

static int set_level(struct machine *machine, unsigned intid, bool level)
{
    struct kvm_irq_level line = {
        .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid,
        .level = level,
    };

    return ioctl(machine->kvm, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

int machine_set_irq(struct machine *machine, unsigned intid, bool level)
{
    int ret = 0;

    if (intid < 32 || intid >= MACHINE_INTIDS)
        return -EINVAL;
    pthread_mutex_lock(&machine->lock);
    if (machine->is_ready)
        ret = machine->gic < 0 ? -ENXIO : set_level(machine, intid, level);
    else
        machine->levels[intid] = level;
    pthread_mutex_unlock(&machine->lock);
    return ret;
}

/* Now that all vCPUs are there. */
static int make_ready(struct machine *machine)
{
    int ret = 0;

    if (machine->is_ready)
        return 0;
    if (machine->gic >= 0)
        ret = gic_set(machine, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
    for (unsigned i = 0; ret == 0 && machine->gic >= 0 && i < MACHINE_INTIDS; i++) {
        if (machine->levels[i])
            ret = set_level(machine, i, true);
    }
    machine->is_ready = ret == 0;
    return ret;
}

int machine_ready(struct machine *machine)
{
    int ret;

    pthread_mutex_lock(&machine->lock);
    ret = make_ready(machine);
    pthread_mutex_unlock(&machine->lock);
    return ret;
}
