/* SPDX-License-Identifier: BSD-3-Clause */
/* /dev/gzvm, the driver of Geniezone as in Android's kernels from 6.1.57 to 6.12. */
#include "sibling.h"

#include <errno.h>
#include <stdlib.h>

static const struct object_ops vm_ops, vcpu_ops;

/* The hypervisor's errors that the driver tells apart. */
static long gz_refusal(int err)
{
    switch (err) {
    case ENOMEM:
    case EFAULT:
    case EOPNOTSUPP:
    case EAGAIN: return -err;
    default: return -EINVAL;
    }
}

/* The line stays high: nothing lowers it, what is signalled is taken for an edge. */
static void gz_signal(struct machine *machine, const struct machine_irqfd *irqfd)
{
    machine_set_irq(machine, 32 + irqfd->number, true);
}

static const struct sibling geniezone = {
    .name = "geniezone",
    .exits =
        {
            .unknown = GZVM_EXIT_UNKNOWN,
            .mmio = GZVM_EXIT_MMIO,
            .irq = GZVM_EXIT_IRQ,
            .exception = GZVM_EXIT_EXCEPTION,
            .fail_entry = GZVM_EXIT_FAIL_ENTRY,
            .internal_error = GZVM_EXIT_INTERNAL_ERROR,
            .system_event = GZVM_EXIT_SYSTEM_EVENT,
        },
    .max_slots = GZVM_MAX_MEM_REGION,
    .refusal = gz_refusal,
    .signal = gz_signal,
};
static long create_vm(uint64_t type)
{
    struct sibling_vm *vm;
    int ret;

    if (type != 0) /* what else the hypervisor would take is not known */
        return gz_refusal(EINVAL);
    vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -ENOMEM;
    object_init(&vm->object, &vm_ops);
    vm->ranges_collide = double_kernel() != KERNEL_6_1;
    ret = sibling_init(vm, &geniezone, 0);
    if (ret < 0) {
        free(vm);
        return gz_refusal(-ret);
    }
    return object_install(&vm->object, anonymous_fd());
}

static long check_extension(uint64_t arg)
{
    return sibling_check_extension(arg, GZVM_CAP_VM_GPA_SIZE, GZVM_CAP_PROTECTED_VM, -EOPNOTSUPP);
}

static long device_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    (void)object;
    switch (request) {
    case GZVM_CREATE_VM: return create_vm(arg);
    case GZVM_CHECK_EXTENSION:
        if (arg == 0 && double_kernel() == KERNEL_6_1)
            return -EINVAL;
        return check_extension(arg);
    default: return -ENOTTY;
    }
}

static void device_release(struct object *object)
{
    free(object);
}

static long create_vcpu(struct sibling_vm *vm, uint64_t id)
{
    struct sibling_vcpu *vcpu;
    int ret;

    if (id >= GZVM_MAX_VCPUS)
        return -EINVAL;
    vcpu = calloc(1, sizeof(*vcpu));
    if (vcpu == NULL)
        return -ENOMEM;
    object_init(&vcpu->object, &vcpu_ops);
    vcpu->vm = vm;
    ret = machine_add_vcpu(&vm->machine, (unsigned)id, &vcpu->vcpu);
    if (ret == -EEXIST)
        double_die("geniezone: two vCPUs with id %u: the driver loses one of them", (unsigned)id);
    if (ret < 0) {
        free(vcpu);
        return gz_refusal(-ret);
    }
    object_get(&vm->object);
    return object_install(&vcpu->object, anonymous_fd());
}

/*
 * The drivers since 6.1.57 pass the number on and ignore the type; the hypervisor takes it for the
 * index of an SPI, as it does with irqfds. Of the vCPU it takes no notice then.
 */
static long irq_line(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_irq_level line;

    if (copy_from_user(&line, arg, sizeof(line)) < 0)
        return -EFAULT;
    return machine_set_irq(&vm->machine, 32 + (line.irq & GZVM_IRQ_NUM_MASK), line.level != 0) < 0
               ? -EFAULT
               : 0;
}

static long enable_cap(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_enable_cap cap;

    if (copy_from_user(&cap, arg, sizeof(cap)) < 0)
        return -EFAULT;
    switch (cap.cap) {
    case GZVM_CAP_PROTECTED_VM:
        return sibling_protect(vm, &cap, arg, double_kernel() == KERNEL_6_1);
    case GZVM_CAP_BLOCK_BASED_DEMAND_PAGING:
    case GZVM_CAP_ENABLE_DEMAND_PAGING:
    case GZVM_CAP_ENABLE_IDLE: return double_kernel() == KERNEL_6_1 ? -EINVAL : 0;
    default: return -EINVAL;
    }
}

static struct sibling_vm *vm_of(struct object *object)
{
    return (struct sibling_vm *)(void *)object;
}

static long vm_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct sibling_vm *vm = vm_of(object);

    switch (request) {
    case GZVM_CHECK_EXTENSION: return check_extension(arg);
    case GZVM_CREATE_VCPU: return create_vcpu(vm, arg);
    case GZVM_SET_USER_MEMORY_REGION: return sibling_set_memory(vm, arg);
    case GZVM_IRQ_LINE: return irq_line(vm, arg);
    case GZVM_IRQFD: return sibling_irqfd(vm, arg);
    case GZVM_IOEVENTFD: return sibling_ioeventfd(vm, arg);
    case GZVM_ENABLE_CAP: return enable_cap(vm, arg);
    case GZVM_CREATE_DEVICE: return sibling_create_device(vm, arg);
    case GZVM_SET_DTB_CONFIG: return sibling_set_dtb(vm, arg);
    default: return -ENOTTY;
    }
}

/* In 6.12 a vCPU holds its VM; before, they go with the VM's descriptor. */
static void vm_close(struct object *object)
{
    if (double_kernel() < KERNEL_6_12)
        sibling_close(vm_of(object));
}

static void vm_release(struct object *object)
{
    sibling_release(vm_of(object));
}

static long vcpu_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct sibling_vcpu *vcpu = (struct sibling_vcpu *)(void *)object;

    sibling_check(vcpu);
    switch (request) {
    case GZVM_RUN: return sibling_run(vcpu, arg);
    case GZVM_GET_ONE_REG: return -EOPNOTSUPP;
    case GZVM_SET_ONE_REG: return sibling_set_reg(vcpu, arg);
    default: return -ENOTTY;
    }
}

static void vcpu_release(struct object *object)
{
    struct sibling_vcpu *vcpu = (struct sibling_vcpu *)(void *)object;

    object_put(&vcpu->vm->object);
    free(vcpu);
}

static const struct request device_requests[] = {
    {GZVM_GET_API_VERSION, "GET_API_VERSION", NULL},
    {GZVM_CREATE_VM, "CREATE_VM", NULL},
    {GZVM_CHECK_EXTENSION, "CHECK_EXTENSION", ""},
    {0, NULL, NULL},
};
static const struct object_ops device_ops = {
    .name = "gzvm",
    .requests = device_requests,
    .ioctl = device_ioctl,
    .release = device_release,
};

static const struct request vm_requests[] = {
    {GZVM_CHECK_EXTENSION, "CHECK_EXTENSION", ""},
    {GZVM_SET_MEMORY_REGION, "SET_MEMORY_REGION", "slot:4 flags:4 gpa:8 size:8"},
    {GZVM_CREATE_VCPU, "CREATE_VCPU", NULL},
    {GZVM_SET_USER_MEMORY_REGION, "SET_USER_MEMORY_REGION", "slot:4 flags:4 gpa:8 size:8 host:8*"},
    {GZVM_CREATE_IRQCHIP, "CREATE_IRQCHIP", NULL},
    {GZVM_IRQ_LINE, "IRQ_LINE", "irq:4 level:4"},
    {GZVM_IRQFD, "IRQFD", "fd:4* gsi:4 flags:4 resamplefd:4* pad:16"},
    {GZVM_IOEVENTFD, "IOEVENTFD", "match:8 addr:8 len:4 fd:4* flags:4 pad:36"},
    {GZVM_ENABLE_CAP, "ENABLE_CAP", "cap:8 arg0:8 arg1:8 arg2:8 arg3:8 arg4:8"},
    {GZVM_CREATE_DEVICE, "CREATE_DEVICE", "type:4 id:4 flags:8 addr:8 size:8 attr:8* attr_size:8"},
    {GZVM_SET_DTB_CONFIG, "SET_DTB_CONFIG", "addr:8 size:8"},
    {0, NULL, NULL},
};
static const struct object_ops vm_ops = {
    .name = "vm",
    .requests = vm_requests,
    .ioctl = vm_ioctl,
    .close = vm_close,
    .release = vm_release,
};

static const struct request vcpu_requests[] = {
    {GZVM_RUN, "RUN", "reason:4 immediate:1 pad:3"},
    {GZVM_GET_ONE_REG, "GET_ONE_REG", "id:8 addr:8*"},
    {GZVM_SET_ONE_REG, "SET_ONE_REG", "id:8 addr:8*"},
    {0, NULL, NULL},
};
static const struct object_ops vcpu_ops = {
    .name = "vcpu",
    .requests = vcpu_requests,
    .ioctl = vcpu_ioctl,
    .release = vcpu_release,
};

const struct node double_geniezone = {"/dev/gzvm", &device_ops};
