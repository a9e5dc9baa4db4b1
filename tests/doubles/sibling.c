/* SPDX-License-Identifier: BSD-3-Clause */
/* The VM of Geniezone and Halla. */
#include "sibling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096

int sibling_init(struct sibling_vm *vm, const struct sibling *kind, unsigned address_bits)
{
    vm->kind = kind;
    return machine_init(&vm->machine, address_bits, kind->signal);
}

void sibling_close(struct sibling_vm *vm)
{
    for (unsigned i = 0; i < MACHINE_VCPUS; i++) {
        if (vm->machine.vcpus[i] != NULL && vm->machine.vcpus[i]->thread != 0)
            double_die("%s: the VM is closed while vCPU %u runs: the kernel uses freed memory",
                       vm->kind->name, i);
    }
    machine_destroy(&vm->machine);
    vm->is_closed = true;
}

void sibling_release(struct sibling_vm *vm)
{
    if (!vm->is_closed)
        machine_destroy(&vm->machine);
    free(vm);
}

void sibling_check(const struct sibling_vcpu *vcpu)
{
    if (vcpu->vm->is_closed)
        double_die("%s: a vCPU is used after its VM was closed: the kernel uses freed memory",
                   vcpu->vm->kind->name);
}

static long refuse(const struct sibling_vm *vm, int ret)
{
    return ret < 0 ? vm->kind->refusal(-ret) : 0;
}

/* The argument is a pointer, though the request's number does not say so. */
long sibling_check_extension(uint64_t arg, uint64_t gpa_size, uint64_t protected_vm, long unknown)
{
    uint64_t value;

    if (copy_from_user(&value, arg, sizeof(value)) < 0)
        return -EFAULT;
    log_note("capability=0x%llx", (unsigned long long)value);
    if (value == protected_vm)
        value = 1;
    else if (value == gpa_size)
        value = 48;
    else
        return unknown;
    return copy_to_user(arg, &value, sizeof(value));
}

long sibling_set_memory(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_userspace_memory_region region;
    uint64_t mapped;
    int ret;

    if (copy_from_user(&region, arg, sizeof(region)) < 0)
        return -EFAULT;
    if (region.slot >= vm->kind->max_slots || region.guest_phys_addr % PAGE != 0 ||
        region.memory_size % PAGE != 0 || region.memory_size / PAGE > INT32_MAX ||
        region.guest_phys_addr + region.memory_size < region.guest_phys_addr)
        return -EINVAL;
    mapped = mapping_size(region.userspace_addr);
    if (mapped == 0)
        return -EFAULT;
    if (mapped != region.memory_size)
        return -EINVAL;
    ret = machine_set_slot(&vm->machine, region.slot, region.guest_phys_addr, region.memory_size,
                           region.userspace_addr, false);
    if (ret < 0)
        return -EFAULT;
    vm->machine.slots[region.slot].flags = region.flags;
    return 0;
}

static bool is_same_eventfd(const struct machine_irqfd *one, const struct machine_irqfd *model)
{
    return one->id == model->id && one->number == model->number;
}

static bool is_eventfd_used(struct sibling_vm *vm, unsigned id)
{
    bool found = false;

    pthread_mutex_lock(&vm->machine.lock);
    for (struct machine_irqfd *irqfd = vm->machine.irqfds; irqfd != NULL; irqfd = irqfd->next)
        found |= irqfd->id == id;
    pthread_mutex_unlock(&vm->machine.lock);
    return found;
}

long sibling_irqfd(struct sibling_vm *vm, uint64_t arg)
{
    static const uint8_t zero[16];
    struct machine_irqfd model = {0};
    struct gzvm_irqfd irqfd;
    unsigned resample;
    int ret;

    if (copy_from_user(&irqfd, arg, sizeof(irqfd)) < 0)
        return -EFAULT;
    if (memcmp(irqfd.pad, zero, sizeof(zero)) != 0 ||
        (irqfd.flags & ~(GZVM_IRQFD_FLAG_DEASSIGN | GZVM_IRQFD_FLAG_RESAMPLE)) != 0)
        return -EINVAL;
    ret = eventfd_identity((int)irqfd.fd, &model.id);
    if (ret < 0)
        return ret;
    model.fd = (int)irqfd.fd;
    model.number = irqfd.gsi;
    if ((irqfd.flags & GZVM_IRQFD_FLAG_DEASSIGN) != 0) {
        machine_remove_irqfd(&vm->machine, &model, is_same_eventfd);
        return 0;
    }
    if (is_eventfd_used(vm, model.id))
        return -EBUSY;
    /* Only the old drivers of Geniezone make use of it. */
    if ((irqfd.flags & GZVM_IRQFD_FLAG_RESAMPLE) != 0 && double_kernel() == KERNEL_6_1) {
        ret = eventfd_identity((int)irqfd.resamplefd, &resample);
        if (ret < 0)
            return ret;
    }
    return machine_add_irqfd(&vm->machine, &model);
}

static bool is_same_ioevent(const struct machine_ioevent *one, const struct machine_ioevent *model)
{
    return one->id == model->id && one->addr == model->addr && one->size == model->size &&
           one->has_match == model->has_match && (!one->has_match || one->match == model->match);
}

static bool does_collide(const struct sibling_vm *vm, const struct machine_ioevent *one,
                         const struct machine_ioevent *model)
{
    if (vm->ranges_collide && model->addr > one->addr && model->addr - one->addr < one->size)
        return true;
    return one->addr == model->addr &&
           (one->size == 0 || model->size == 0 || one->size == model->size) &&
           (!one->has_match || !model->has_match || one->match == model->match);
}

long sibling_ioeventfd(struct sibling_vm *vm, uint64_t arg)
{
    struct machine_ioevent model = {0};
    struct gzvm_ioeventfd event;
    bool is_taken = false;
    int ret;

    if (copy_from_user(&event, arg, sizeof(event)) < 0)
        return -EFAULT;
    if (event.len > 8 || (event.len & (event.len - 1)) != 0 ||
        event.addr + event.len < event.addr ||
        (event.flags & ~GZVM_IOEVENTFD_VALID_FLAG_MASK) != 0 ||
        (event.flags & GZVM_IOEVENTFD_FLAG_PIO) != 0 ||
        (event.len == 0 && (event.flags & GZVM_IOEVENTFD_FLAG_DATAMATCH) != 0))
        return -EINVAL;
    ret = eventfd_identity(event.fd, &model.id);
    if (ret < 0)
        return ret;
    model.fd = event.fd;
    model.addr = event.addr;
    model.size = event.len;
    model.has_match = (event.flags & GZVM_IOEVENTFD_FLAG_DATAMATCH) != 0;
    model.match = event.datamatch;
    if ((event.flags & GZVM_IOEVENTFD_FLAG_DEASSIGN) != 0)
        return machine_remove_ioevent(&vm->machine, &model, is_same_ioevent) ? 0 : -ENOENT;
    pthread_mutex_lock(&vm->machine.lock);
    for (struct machine_ioevent *one = vm->machine.ioevents; one != NULL; one = one->next)
        is_taken |= does_collide(vm, one, &model);
    pthread_mutex_unlock(&vm->machine.lock);
    return is_taken ? -EEXIST : machine_add_ioevent(&vm->machine, &model);
}

/* The hypervisor's GICv3 comes in two parts; the driver passes on what it is told. */
long sibling_create_device(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_create_device device;
    uint8_t blob[PAGE];

    if (copy_from_user(&device, arg, sizeof(device)) < 0)
        return -EFAULT;
    if (device.attr_size > PAGE)
        return -EINVAL;
    if (device.attr_size != 0 && copy_from_user(blob, device.attr_addr, device.attr_size) < 0)
        return -EFAULT;
    if (vm->has_run)
        return refuse(vm, -EINVAL);
    switch (device.dev_type) {
    case GZVM_DEV_TYPE_ARM_VGIC_V3_DIST:
        if (device.dev_reg_size != 0x10000)
            return refuse(vm, -EINVAL);
        return refuse(vm, machine_set_dist(&vm->machine, device.dev_addr));
    case GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST:
        return refuse(vm, machine_set_redist(&vm->machine, device.dev_addr, device.dev_reg_size));
    default: return refuse(vm, -EINVAL);
    }
}

long sibling_set_dtb(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_dtb_config config;

    if (copy_from_user(&config, arg, sizeof(config)) < 0)
        return -EFAULT;
    vm->has_dtb = true;
    vm->dtb = config.dtb_addr;
    return 0;
}

long sibling_set_reg(struct sibling_vcpu *vcpu, uint64_t arg)
{
    struct gzvm_one_reg reg;
    uint64_t value = 0, size;

    if (copy_from_user(&reg, arg, sizeof(reg)) < 0)
        return -EFAULT;
    size = 1ULL << ((reg.id & GZVM_REG_SIZE_MASK) >> GZVM_REG_SIZE_SHIFT);
    if (size > sizeof(value))
        return -EINVAL;
    if (copy_from_user(&value, reg.addr, size) < 0)
        return -EFAULT;
    log_note("value=0x%llx", (unsigned long long)value);
    /* Core and system registers; their ids are KVM's. */
    return refuse(vcpu->vm, vcpu_set_reg(vcpu->vcpu, reg.id, value));
}
