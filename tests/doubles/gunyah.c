/* SPDX-License-Identifier: BSD-3-Clause */
/* /dev/gunyah, the driver of Gunyah as in Android's kernels. */
#include "gunyah.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const struct object_ops vm_ops;

static long create_vm(uint64_t type)
{
    struct gunyah_vm *vm;
    int ret;

    if (type != 0)
        return -EINVAL;
    vm = calloc(1, sizeof(*vm));
    if (vm == NULL)
        return -ENOMEM;
    object_init(&vm->object, &vm_ops);
    vm->creator = getpid();
    ret = machine_init(&vm->machine, 0, gunyah_signal);
    if (ret < 0)
        double_die("gunyah: no VM of KVM: %d", -ret);
    vm->machine.keeps_count = true;
    for (unsigned i = 0; i < GUNYAH_BELLS; i++)
        vm->level_fds[i] = -1;
    return object_install(&vm->object, anonymous_fd());
}

static long device_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    (void)object;
    return request == GUNYAH_CREATE_VM ? create_vm(arg) : -ENOTTY;
}

static void device_release(struct object *object)
{
    free(object);
}

static long set_dtb(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_vm_dtb_config dtb;

    if (copy_from_user(&dtb, arg, sizeof(dtb)) < 0)
        return -EFAULT;
    if (dtb.guest_phys_addr + dtb.size < dtb.guest_phys_addr)
        return -EOVERFLOW;
    vm->dtb = dtb;
    return 0;
}

static long set_firmware(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_vm_firmware_config firmware;

    if (copy_from_user(&firmware, arg, sizeof(firmware)) < 0)
        return -EFAULT;
    if (double_kernel() != KERNEL_6_1 &&
        firmware.guest_phys_addr + firmware.size < firmware.guest_phys_addr)
        return -EOVERFLOW;
    vm->firmware = firmware;
    if (vm->auth == AUTH_NONE || double_kernel() != KERNEL_6_12)
        vm->auth = AUTH_PROTECTED;
    return 0;
}

static long vm_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct gunyah_vm *vm = (struct gunyah_vm *)(void *)object;
    enum double_kernel kernel = double_kernel();

    switch (request) {
    case GH_VM_SET_USER_MEM_REGION: return gunyah_add_memory(vm, arg, false);
    case GH_VM_ANDROID_LEND_USER_MEM: return gunyah_add_memory(vm, arg, true);
    case GUNYAH_VM_SET_DTB_CONFIG: return set_dtb(vm, arg);
    case GH_VM_ANDROID_SET_FW_CONFIG: return set_firmware(vm, arg);
    case GUNYAH_VM_START: return gunyah_start(vm);
    case GUNYAH_VM_ADD_FUNCTION: return gunyah_add_function(vm, arg);
    case GUNYAH_VM_REMOVE_FUNCTION: return gunyah_remove_function(vm, arg);
    case GUNYAH_VM_SET_BOOT_CONTEXT:
        return kernel >= KERNEL_6_6 ? gunyah_set_boot_context(vm, arg) : -ENOTTY;
    case GH_VM_RECLAIM_REGION: return kernel >= KERNEL_6_6 ? gunyah_reclaim(vm, arg) : -ENOTTY;
    case GH_VM_ANDROID_SET_AUTH_TYPE:
        return kernel >= KERNEL_6_12 ? gunyah_set_auth(vm, arg) : -ENOTTY;
    /* This computer has no pool of contiguous memory, so no descriptor is of one. */
    case GH_VM_ANDROID_MAP_CMA_MEM: return kernel >= KERNEL_6_12 ? -EBADF : -ENOTTY;
    default: return -ENOTTY;
    }
}

static void vm_release(struct object *object)
{
    struct gunyah_vm *vm = (struct gunyah_vm *)(void *)object;
    struct gunyah_vcpu_function *next;

    machine_destroy(&vm->machine);
    for (unsigned i = 0; i < GUNYAH_BELLS; i++) {
        if (vm->level_fds[i] >= 0)
            close(vm->level_fds[i]);
    }
    for (; vm->vcpus != NULL; vm->vcpus = next) {
        next = vm->vcpus->next;
        free(vm->vcpus);
    }
    free(vm);
}

static const struct request device_requests[] = {
    {GUNYAH_CREATE_VM, "CREATE_VM", NULL},
    {0, NULL, NULL},
};
static const struct object_ops device_ops = {
    .name = "gunyah",
    .requests = device_requests,
    .ioctl = device_ioctl,
    .release = device_release,
};

static const struct request vm_requests[] = {
    {GH_VM_SET_USER_MEM_REGION, "SET_USER_MEM_REGION", "label:4 flags:4 gpa:8 size:8 host:8*"},
    {GH_VM_ANDROID_LEND_USER_MEM, "LEND_USER_MEM", "label:4 flags:4 gpa:8 size:8 host:8*"},
    {GUNYAH_VM_SET_DTB_CONFIG, "SET_DTB_CONFIG", "gpa:8 size:8"},
    {GH_VM_ANDROID_SET_FW_CONFIG, "SET_FW_CONFIG", "gpa:8 size:8"},
    {GUNYAH_VM_START, "START", NULL},
    {GUNYAH_VM_ADD_FUNCTION, "ADD_FUNCTION", "type:4 size:4 arg:8*"},
    {GUNYAH_VM_REMOVE_FUNCTION, "REMOVE_FUNCTION", "type:4 size:4 arg:8*"},
    {GUNYAH_VM_SET_BOOT_CONTEXT, "SET_BOOT_CONTEXT", "reg:4 reserved:4 value:8"},
    {GH_VM_RECLAIM_REGION, "RECLAIM_REGION", "gpa:8 size:8"},
    {GH_VM_ANDROID_SET_AUTH_TYPE, "SET_AUTH_TYPE", "type:4 size:4 arg:8*"},
    {GH_VM_ANDROID_MAP_CMA_MEM, "MAP_CMA_MEM",
     "label:4 padding:4 gpa:8 flags:4 fd:4* offset:8 size:8"},
    {GH_VM_CHECK_EXTENSION, "CHECK_EXTENSION", NULL},
    {0, NULL, NULL},
};
static const struct object_ops vm_ops = {
    .name = "vm",
    .requests = vm_requests,
    .ioctl = vm_ioctl,
    .release = vm_release,
};

const struct node double_gunyah = {"/dev/gunyah", &device_ops};
