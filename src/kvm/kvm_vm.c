/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM: creation, destruction, what it can do. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/kvm.h"

/* KVM_CREATE_VM switches the processor's virtualization on: the moment when a node that opens turns
 * out not to work. */
static int create_failed(const visor_vm *vm, int err)
{
    static const char op[] = "KVM_CREATE_VM";

    switch (err) {
    case EBUSY:
        kvm_error(op, err, "the processor's virtualization is taken");
        return visor__error_hint("another hypervisor of this machine holds it; stop that one");
    case EINVAL:
        if (vm->config.protection == VISOR_UNPROTECTED)
            break;
        visor__error_native(VISOR_EUNSUPPORTED, "kvm", op, VISOR_NATIVE_ERRNO, err,
                            "this kernel has no VMs of protection type %d",
                            (int)vm->config.protection);
        return visor__error_hint("protection VISOR_UNPROTECTED works on every kernel");
    case EIO:
    case ENODEV:
    case EOPNOTSUPP:
        visor__error_native(VISOR_EDISABLED, "kvm", op, VISOR_NATIVE_ERRNO, err,
                            "the processor refused to switch virtualization on");
        return visor__error_hint("switch virtualization on in the firmware's setup");
    default: break;
    }
    return kvm_error(op, err, "%s", "");
}

/*
 * What has to be done between KVM_CREATE_VM and the first slot or vCPU. Capabilities are asked of
 * the VM: its type may change them.
 */
static int prepare(visor_vm *vm)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);
    int ret;

    kvm->max_slots = (uint32_t)kvm_max_slots(kvm->fd);
    kvm->has_region2 = kvm_check(kvm->fd, KVM_CAP_USER_MEMORY2) > 0;
    kvm->has_noncoherent = kvm_may_be_noncoherent(kvm->fd);
    ret = kvm_arch_vm_init(vm);
    if (ret < 0)
        return ret;
    return kvm_dirty_init(vm);
}

int kvm_vm_create(visor_vm *vm)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);
    unsigned long type;
    int ret = kvm_arch_vm_type(&type, vm);

    if (ret < 0)
        return ret;
    ret = kvm_ioctl_quiet(kvm_hv_of(vm->hv)->fd, KVM_CREATE_VM, type);
    if (ret < 0)
        return create_failed(vm, -ret);
    kvm->fd = ret;
    ret = prepare(vm);
    if (ret < 0)
        close(kvm->fd);
    return ret;
}

void kvm_vm_destroy(visor_vm *vm)
{
    kvm_coalesce_close(vm);
    close(kvm_vm_of(vm)->fd);
}

int64_t kvm_vm_cap(visor_vm *vm, visor_cap cap)
{
    return kvm_cap(vm->hv, vm, cap);
}

int kvm_vm_native_cap(int64_t *out, visor_vm *vm, uint32_t number)
{
    int ret = KVM_IOCTL_VALUE(kvm_vm_of(vm)->fd, KVM_CHECK_EXTENSION, number);

    if (ret < 0)
        return ret;
    *out = ret;
    return 0;
}

int kvm_vm_native_handle(visor_file *out, visor_vm *vm)
{
    return visor__linux_duplicate(out, kvm_vm_of(vm)->fd, "kvm");
}

int kvm_vm_create_vfio(visor_file *out, visor_vm *vm)
{
    struct kvm_create_device device = {.type = KVM_DEV_TYPE_VFIO};
    int ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_CREATE_DEVICE, (uintptr_t)&device);

    if (ret == -ENODEV) {
        visor__error_native(VISOR_EUNSUPPORTED, "kvm", "KVM_CREATE_DEVICE", VISOR_NATIVE_ERRNO,
                            ENODEV, "no VFIO device");
        return visor__error_hint("the kernel needs CONFIG_KVM_VFIO and the module vfio");
    }
    if (ret < 0)
        return kvm_error("KVM_CREATE_DEVICE", -ret, "VFIO");
    *out = (visor_file)device.fd;
    return 0;
}

int kvm_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    static const char op[] = "KVM_CAP_..._PROTECTED_VM";
    uint32_t number = kvm_arch_protected_cap();
    struct kvm_vm *kvm = kvm_vm_of(vm);
    struct kvm_protected_vm_info info = {0};
    int ret;

    if (number == 0 || kvm_check(kvm->fd, number) <= 0)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", op, "this kernel has no protected VMs");
    ret = kvm_enable(kvm->fd, op, number, KVM_CAP_PROTECTED_VM_FLAGS_INFO,
                     (const uint64_t[4]){(uintptr_t)&info});
    if (ret < 0)
        return ret;
    if (info.firmware_size == 0)
        return visor__error(VISOR_ENOENT, "kvm", op, "the hypervisor has no firmware");
    if (info.firmware_size > max_size)
        return visor__error(VISOR_ELIMIT, "kvm", op, "the firmware has %llu bytes, %llu are there",
                            (unsigned long long)info.firmware_size, (unsigned long long)max_size);
    ret = kvm_enable(kvm->fd, op, number, KVM_CAP_PROTECTED_VM_FLAGS_SET_FW,
                     (const uint64_t[4]){gpa});
    if (ret < 0)
        return ret;
    *out = info.firmware_size;
    return 0;
}
