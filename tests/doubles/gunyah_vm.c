/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM of Gunyah: its memory, and its start. */
#include "gunyah.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ULL

static bool is_overlap(const struct gunyah_region *one, uint64_t gpa, uint64_t size)
{
    return gpa < one->gpa + one->size && one->gpa < gpa + size;
}

static const struct gunyah_region *region_of(const struct gunyah_vm *vm, uint64_t gpa)
{
    for (unsigned i = 0; i < vm->region_number; i++) {
        if (is_overlap(&vm->regions[i], gpa, 1))
            return &vm->regions[i];
    }
    return NULL;
}

/* The guest gets it; the program loses what is lent. */
static long give(struct gunyah_vm *vm, unsigned index)
{
    struct gunyah_region *region = &vm->regions[index];
    int ret = machine_set_slot(&vm->machine, index, region->gpa, region->size, region->host,
                               (region->flags & GUNYAH_MEM_ALLOW_WRITE) == 0);

    if (ret == 0 && region->is_lent)
        ret = machine_lend(&vm->machine, index);
    region->is_given = ret == 0;
    return ret < 0 ? -EINVAL : 0;
}

long gunyah_add_memory(struct gunyah_vm *vm, uint64_t arg, bool is_lent)
{
    struct gunyah_userspace_memory_region region;
    bool is_old = double_kernel() == KERNEL_6_1;

    if (getpid() != vm->creator)
        return -EPERM;
    if (copy_from_user(&region, arg, sizeof(region)) < 0)
        return -EFAULT;
    if ((region.flags & ~GUNYAH_MEM_ALLOW_RWX) != 0 || region.memory_size == 0 ||
        (region.memory_size | region.userspace_addr | region.guest_phys_addr) % PAGE != 0)
        return -EINVAL;
    if (region.guest_phys_addr + region.memory_size < region.guest_phys_addr)
        return -EOVERFLOW;
    for (unsigned i = 0; i < vm->region_number; i++) {
        if (is_overlap(&vm->regions[i], region.guest_phys_addr, region.memory_size) ||
            (is_old && vm->regions[i].label == region.label))
            return -EEXIST;
    }
    if (is_old && mapping_size(region.userspace_addr) == 0)
        return -EFAULT; /* pages are pinned now; later drivers look when the guest touches them */
    if (vm->region_number == MACHINE_SLOTS)
        double_die("gunyah: more regions than this double can count");
    vm->regions[vm->region_number++] = (struct gunyah_region){
        .label = region.label,
        .flags = region.flags,
        .gpa = region.guest_phys_addr,
        .size = region.memory_size,
        .host = region.userspace_addr,
        .is_lent = is_lent,
    };
    /* 6.1 hands out memory at the start and never again. */
    return vm->state == STATE_RUNNING && !is_old ? give(vm, vm->region_number - 1) : 0;
}

/* The guest's pages come back, empty; the next touch of the guest's gets new ones. */
long gunyah_reclaim(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_address_range range;
    const struct machine_slot *slot;

    if (getpid() != vm->creator)
        return -EPERM;
    if (copy_from_user(&range, arg, sizeof(range)) < 0)
        return -EFAULT;
    if ((range.guest_phys_addr | range.size) % PAGE != 0)
        return -EINVAL;
    if (range.size == 0)
        double_die("gunyah: a range of no pages: the driver reclaims all there are");
    slot = machine_slot_of(&vm->machine, range.guest_phys_addr, range.size);
    if (slot != NULL && slot->lent != NULL)
        madvise((char *)slot->lent + (range.guest_phys_addr - slot->gpa), range.size,
                MADV_DONTNEED);
    return 0;
}

long gunyah_set_boot_context(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_vm_boot_context context;
    uint32_t index;

    if (copy_from_user(&context, arg, sizeof(context)) < 0)
        return -EFAULT;
    index = context.reg & ((1U << GUNYAH_VM_BOOT_CONTEXT_REG_SHIFT) - 1);
    if (context.reg > 0xffff || vm->state != STATE_NONE)
        return -EINVAL;
    switch (context.reg >> GUNYAH_VM_BOOT_CONTEXT_REG_SHIFT) {
    case REG_SET_X:
        if (index > 31)
            return -EINVAL;
        vm->x[index] = context.value;
        vm->has_x[index] = true;
        return 0;
    case REG_SET_PC:
        if (index != 0)
            return -EINVAL;
        vm->pc = context.value;
        vm->has_pc = true;
        return 0;
    case REG_SET_SP:
        if (index > 2)
            return -EINVAL;
        vm->sp[index] = context.value;
        vm->has_sp[index] = true;
        return 0;
    default: return -EINVAL;
    }
}

/* What attaches the trusted VM ends in EINVAL, although it has attached it. */
long gunyah_set_auth(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_qtvm_auth_arg image = {0};
    struct gunyah_auth_desc desc;

    if (copy_from_user(&desc, arg, sizeof(desc)) < 0)
        return -EFAULT;
    if (desc.type != GUNYAH_QCOM_TRUSTED_VM_TYPE)
        return -ENOENT;
    if (desc.arg_size > sizeof(image))
        return -EINVAL;
    if (copy_from_user(&image, desc.arg, desc.arg_size) < 0)
        return -EFAULT;
    log_note("vm_id=%u peripheral_id=%u gpa=0x%llx size=0x%llx", image.vm_id, image.peripheral_id,
             (unsigned long long)image.guest_phys_addr, (unsigned long long)image.size);
    if (image.guest_phys_addr + image.size < image.guest_phys_addr)
        return -EOVERFLOW;
    vm->auth = AUTH_TRUSTED;
    vm->image = image;
    return -EINVAL;
}

void gunyah_signal(struct machine *machine, const struct machine_irqfd *irqfd)
{
    struct gunyah_vm *vm =
        (struct gunyah_vm *)(void *)((char *)machine - offsetof(struct gunyah_vm, machine));
    uint64_t one = 1;
    unsigned i = 0;

    while (i < vm->config.bell_number && vm->config.bells[i].label != irqfd->number)
        i++;
    if (vm->state != STATE_RUNNING || i == vm->config.bell_number) {
        log_note("dropped: a signal of doorbell 0x%x", irqfd->number);
        return;
    }
    if ((irqfd->flags & GUNYAH_IRQFD_FLAGS_LEVEL) != 0) {
        if (write(vm->level_fds[i], &one, sizeof(one)) < 0)
            double_die("gunyah: a doorbell: %s", strerror(errno));
        return;
    }
    machine_set_irq(machine, vm->config.bells[i].intid, true);
    machine_set_irq(machine, vm->config.bells[i].intid, false);
}

/* A line of KVM that goes down when the guest has handled its interrupt. */
static int level_fd(struct gunyah_vm *vm, const struct gunyah_bell *bell)
{
    struct kvm_irqfd irqfd = {
        .fd = (uint32_t)eventfd(0, EFD_CLOEXEC),
        .gsi = bell->intid - 32,
        .flags = KVM_IRQFD_FLAG_RESAMPLE,
        .resamplefd = (uint32_t)eventfd(0, EFD_CLOEXEC),
    };

    if (ioctl(vm->machine.kvm, KVM_IRQFD, &irqfd) < 0)
        double_die("gunyah: KVM_IRQFD: %s", strerror(errno));
    close((int)irqfd.resamplefd);
    return (int)irqfd.fd;
}

static void set_x(struct machine_vcpu *vcpu, unsigned number, uint64_t value)
{
    vcpu_set_reg(vcpu, VCPU_CORE_REG(regs.regs[0]) + 2UL * number, value);
}

/* Without a mechanism of authentication the guest starts as the program says, or at the start of
 * the region with the device tree. Firmware gets the payload, which begins there, at x1. */
static long set_entry(struct gunyah_vm *vm, const struct gunyah_region *region)
{
    struct machine_vcpu *first = vm->machine.vcpus[0];
    uint64_t entry = region->gpa;

    set_x(first, 0, vm->dtb.guest_phys_addr);
    switch (vm->auth) {
    case AUTH_PROTECTED:
        entry = vm->firmware.guest_phys_addr;
        set_x(first, 1, region->gpa);
        set_x(first, 2, region->size);
        if (machine_write(&vm->machine, entry, double_firmware, double_firmware_size) < 0)
            return -EINVAL;
        break;
    case AUTH_TRUSTED: entry = vm->image.guest_phys_addr; break;
    case AUTH_NONE:
        for (unsigned i = 0; i < 31; i++) {
            if (vm->has_x[i])
                set_x(first, i, vm->x[i]);
        }
        if (vm->has_sp[0])
            vcpu_set_reg(first, VCPU_CORE_REG(regs.sp), vm->sp[0]);
        if (vm->has_sp[1])
            vcpu_set_reg(first, VCPU_CORE_REG(sp_el1), vm->sp[1]);
        if (vm->has_pc)
            entry = vm->pc;
        break;
    }
    return vcpu_set_reg(first, VCPU_CORE_REG(regs.pc), entry) < 0 ? -EINVAL : 0;
}

static long read_config(struct gunyah_vm *vm, uint64_t size)
{
    uint8_t *tree = malloc(size);
    long ret = -ENOMEM;

    if (tree != NULL) {
        ret = -EINVAL;
        if (machine_read(&vm->machine, vm->dtb.guest_phys_addr, tree, size) == 0 &&
            gunyah_read_config(&vm->config, tree, size))
            ret = 0;
    }
    free(tree);
    return ret;
}

static long build(struct gunyah_vm *vm)
{
    const struct gunyah_config *config = &vm->config;

    if (machine_set_dist(&vm->machine, config->dist) < 0 ||
        machine_set_redist(&vm->machine, config->redist, config->redist_size) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < config->vcpus; i++) {
        struct machine_vcpu *vcpu;

        if (machine_add_vcpu(&vm->machine, i, &vcpu) < 0)
            return -EINVAL;
    }
    return config->vcpus == 0 || machine_ready(&vm->machine) < 0 ? -EINVAL : 0;
}

/* From 6.6 on sizes are cut to whole pages. */
static uint64_t whole(uint64_t size)
{
    return double_kernel() == KERNEL_6_1 ? size : size / PAGE * PAGE;
}

static long do_start(struct gunyah_vm *vm, const struct gunyah_region *region)
{
    uint64_t size = whole(vm->dtb.size);
    long ret = 0;

    if (size == 0 || size > region->gpa + region->size - vm->dtb.guest_phys_addr ||
        (vm->auth == AUTH_PROTECTED && whole(vm->firmware.size) == 0))
        return -EINVAL;
    for (unsigned i = 0; ret == 0 && i < vm->region_number; i++)
        ret = give(vm, i);
    if (ret == 0)
        ret = read_config(vm, size);
    if (ret == 0 && (vm->dtb.guest_phys_addr < vm->config.base ||
                     vm->dtb.guest_phys_addr - vm->config.base >= vm->config.size_max))
        ret = -EINVAL;
    if (ret == 0)
        ret = build(vm);
    if (ret == 0)
        ret = set_entry(vm, region);
    for (unsigned i = 0; ret == 0 && i < vm->config.bell_number; i++)
        vm->level_fds[i] = level_fd(vm, &vm->config.bells[i]);
    return ret;
}

long gunyah_start(struct gunyah_vm *vm)
{
    const struct gunyah_region *region = region_of(vm, vm->dtb.guest_phys_addr);
    bool is_firmware_there =
        vm->auth != AUTH_PROTECTED || region_of(vm, vm->firmware.guest_phys_addr) != NULL;
    bool is_image_whole = vm->auth != AUTH_TRUSTED ||
                          (vm->dtb.guest_phys_addr >= vm->image.guest_phys_addr &&
                           vm->dtb.guest_phys_addr - vm->image.guest_phys_addr < vm->image.size);
    long ret;

    if (vm->state == STATE_RUNNING)
        return 0;
    if (vm->state != STATE_NONE)
        return -ENODEV;
    if (region == NULL || !is_firmware_there || !is_image_whole) {
        /* The newest driver loses the error, but can be started again. */
        if (double_kernel() == KERNEL_6_12)
            return -ENODEV;
        vm->state = STATE_FAILED;
        return double_kernel() == KERNEL_6_1 ? -EINVAL : -ENOENT;
    }
    ret = do_start(vm, region);
    vm->state = ret == 0 ? STATE_RUNNING : STATE_FAILED;
    return ret;
}
