/* SPDX-License-Identifier: BSD-3-Clause */
/* /dev/halla, the driver of Halla as in Android's kernels. */
#include "sibling.h"

#include "linux_halla.h"

#include <errno.h>
#include <stdlib.h>

/* The structures are Geniezone's. */
_Static_assert(sizeof(struct hvm_vcpu_run) == sizeof(struct gzvm_vcpu_run), "vcpu_run");
_Static_assert(sizeof(struct hvm_ioeventfd) == sizeof(struct gzvm_ioeventfd), "ioeventfd");
_Static_assert(sizeof(struct hvm_create_device) == sizeof(struct gzvm_create_device), "device");

static const struct object_ops vm_ops, vcpu_ops;

/* The hypervisor's own status is handed on, of which -1 is all that is known. */
static long halla_refusal(int err)
{
    (void)err;
    return -EPERM;
}

/* The driver wakes vCPU 0, without a look whether there is one. */
static void halla_signal(struct machine *machine, const struct machine_irqfd *irqfd)
{
    if (machine->vcpus[0] == NULL)
        double_die("halla: an irqfd is signalled before there is vCPU 0: the kernel crashes");
    machine_set_irq(machine, 32 + irqfd->number, true);
}

static const struct sibling halla = {
    .name = "halla",
    .exits =
        {
            /* It has no others. */
            .unknown = HVM_EXIT_INTERNAL_ERROR,
            .fail_entry = HVM_EXIT_INTERNAL_ERROR,
            .mmio = HVM_EXIT_MMIO,
            .irq = HVM_EXIT_IRQ,
            .exception = HVM_EXIT_EXCEPTION,
            .internal_error = HVM_EXIT_INTERNAL_ERROR,
            .system_event = HVM_EXIT_SYSTEM_EVENT,
        },
    .max_slots = HVM_MAX_MEM_REGION,
    .refusal = halla_refusal,
    .signal = halla_signal,
};

static long create_vm(uint64_t type)
{
    unsigned bits = type & HVM_VM_TYPE_IPA_SIZE_MASK;
    struct sibling_vm *vm;
    int ret;

    if ((type & ~(uint64_t)(HVM_VM_TYPE_IPA_SIZE_MASK | HVM_VM_TYPE_ARM_PROTECTED)) != 0)
        return -EINVAL; /* what else the hypervisor would take is not known */
    vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -ENOMEM;
    object_init(&vm->object, &vm_ops);
    vm->is_protected = (type & HVM_VM_TYPE_ARM_PROTECTED) != 0;
    vm->ranges_collide = true;
    ret = sibling_init(vm, &halla, bits);
    if (ret < 0) {
        free(vm);
        return ret == -ENOMEM ? -ENOMEM : -EINVAL;
    }
    return object_install(&vm->object, anonymous_fd());
}

static long check_extension(uint64_t arg)
{
    return sibling_check_extension(arg, HVM_CAP_VM_GPA_SIZE, HVM_CAP_PROTECTED_VM, -EOPNOTSUPP);
}

static long device_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    (void)object;
    switch (request) {
    case HVM_CREATE_VM: return create_vm(arg);
    case HVM_CHECK_EXTENSION: return check_extension(arg);
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

    if (id == HVM_MAX_VCPUS && double_kernel() < KERNEL_6_12)
        double_die("halla: vCPU %u: the driver writes past its table", HVM_MAX_VCPUS);
    if (id >= HVM_MAX_VCPUS)
        return -EINVAL;
    vcpu = calloc(1, sizeof(*vcpu));
    if (vcpu == NULL)
        return -ENOMEM;
    object_init(&vcpu->object, &vcpu_ops);
    vcpu->vm = vm;
    ret = machine_add_vcpu(&vm->machine, (unsigned)id, &vcpu->vcpu);
    if (ret == -EEXIST)
        double_die("halla: two vCPUs with id %u: the driver loses one of them", (unsigned)id);
    if (ret < 0) {
        free(vcpu);
        return halla_refusal(-ret);
    }
    /* For this double, so that it can tell who uses a vCPU too late: the driver holds no VM. */
    object_get(&vm->object);
    return object_install(&vcpu->object, anonymous_fd());
}

/* The type is ignored; the number is the index of an SPI; the vCPU is woken. */
static long irq_line(struct sibling_vm *vm, uint64_t arg)
{
    struct hvm_irq_level line;
    unsigned vcpu;
    int ret;

    if (copy_from_user(&line, arg, sizeof(line)) < 0)
        return -EFAULT;
    vcpu = (line.irq & HVM_IRQ_LINE_VCPU) >> 16 | (line.irq & HVM_IRQ_LINE_VCPU2) >> 28 << 8;
    if (vcpu >= HVM_MAX_VCPUS) {
        if (double_kernel() < KERNEL_6_12)
            double_die("halla: an interrupt for vCPU %u: the driver reads past its table", vcpu);
        return -EINVAL;
    }
    if (vm->machine.vcpus[vcpu] == NULL)
        double_die("halla: an interrupt for vCPU %u, which is not there: the kernel crashes", vcpu);
    ret = machine_set_irq(&vm->machine, 32 + (line.irq & HVM_IRQ_LINE_NUM), line.level != 0);
    return ret < 0 ? halla_refusal(-ret) : 0;
}

static long enable_cap(struct sibling_vm *vm, uint64_t arg)
{
    struct gzvm_enable_cap cap;

    if (copy_from_user(&cap, arg, sizeof(cap)) < 0)
        return -EFAULT;
    if (cap.cap != HVM_CAP_PROTECTED_VM)
        return -EINVAL;
    return sibling_protect(vm, &cap, arg, true);
}

static struct sibling_vm *vm_of(struct object *object)
{
    return (struct sibling_vm *)(void *)object;
}

static long vm_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct sibling_vm *vm = vm_of(object);

    switch (request) {
    case HVM_CHECK_EXTENSION: return check_extension(arg);
    case HVM_ENABLE_CAP: return enable_cap(vm, arg);
    case HVM_SET_DTB_CONFIG: return sibling_set_dtb(vm, arg);
    case HVM_CREATE_VCPU: return create_vcpu(vm, arg);
    case HVM_SET_USER_MEMORY_REGION: return sibling_set_memory(vm, arg);
    case HVM_IRQFD: return sibling_irqfd(vm, arg);
    case HVM_IRQ_LINE: return irq_line(vm, arg);
    case HVM_CREATE_DEVICE: return sibling_create_device(vm, arg);
    case HVM_IOEVENTFD: return sibling_ioeventfd(vm, arg);
    default: return -ENOTTY;
    }
}

/* Frees the vCPUs, whose descriptors stay open and must not be used; frees those that were counted,
 * as if ids had no gaps; does not free ioeventfds. */
static void vm_close(struct object *object)
{
    struct sibling_vm *vm = vm_of(object);
    struct machine *machine = &vm->machine;

    for (unsigned i = 0; i < MACHINE_VCPUS; i++) {
        if (machine->vcpus[i] != NULL && i >= machine->vcpu_number)
            log_note("leak: vCPU %u", i);
    }
    for (struct machine_ioevent *event = machine->ioevents; event != NULL; event = event->next)
        log_note("leak: ioeventfd at 0x%llx", (unsigned long long)event->addr);
    sibling_close(vm);
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
    case HVM_VCPU_RUN: return sibling_run(vcpu, arg);
    case HVM_SET_ONE_REG: return sibling_set_reg(vcpu, arg);
    default: return double_kernel() == KERNEL_6_1 ? -ENOTTY : -EOPNOTSUPP;
    }
}

static void vcpu_release(struct object *object)
{
    struct sibling_vcpu *vcpu = (struct sibling_vcpu *)(void *)object;

    object_put(&vcpu->vm->object);
    free(vcpu);
}

static const struct request device_requests[] = {
    {HVM_CREATE_VM, "CREATE_VM", NULL},
    {HVM_CHECK_EXTENSION, "CHECK_EXTENSION", ""},
    {0, NULL, NULL},
};
static const struct object_ops device_ops = {
    .name = "halla",
    .requests = device_requests,
    .ioctl = device_ioctl,
    .release = device_release,
};

static const struct request vm_requests[] = {
    {HVM_CHECK_EXTENSION, "CHECK_EXTENSION", ""},
    {HVM_ENABLE_CAP, "ENABLE_CAP", "cap:8 arg0:8 arg1:8 arg2:8 arg3:8 arg4:8"},
    {HVM_SET_DTB_CONFIG, "SET_DTB_CONFIG", "addr:8 size:8"},
    {HVM_CREATE_VCPU, "CREATE_VCPU", NULL},
    {HVM_SET_USER_MEMORY_REGION, "SET_USER_MEMORY_REGION", "slot:4 flags:4 gpa:8 size:8 host:8*"},
    {HVM_IRQFD, "IRQFD", "fd:4* gsi:4 flags:4 resamplefd:4* pad:16"},
    {HVM_IRQ_LINE, "IRQ_LINE", "irq:4 level:4"},
    {HVM_CREATE_DEVICE, "CREATE_DEVICE", "type:4 id:4 flags:8 addr:8 size:8 attr:8* attr_size:8"},
    {HVM_IOEVENTFD, "IOEVENTFD", "match:8 addr:8 len:4 fd:4* flags:4 pad:36"},
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
    {HVM_VCPU_RUN, "RUN", "reason:4 immediate:1 pad:3"},
    {HVM_GET_ONE_REG, "GET_ONE_REG", "id:8 addr:8*"},
    {HVM_SET_ONE_REG, "SET_ONE_REG", "id:8 addr:8*"},
    {0, NULL, NULL},
};
static const struct object_ops vcpu_ops = {
    .name = "vcpu",
    .requests = vcpu_requests,
    .ioctl = vcpu_ioctl,
    .release = vcpu_release,
};

const struct node double_halla = {"/dev/halla", &device_ops};
