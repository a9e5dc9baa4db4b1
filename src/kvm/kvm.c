/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening KVM, and what the host can do. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kvm/kvm.h"

const struct visor__option kvm_options[] = {
    {"device", "path of the device node, /dev/kvm unless given"},
    VISOR__LINUX_OPTION_SIGNAL,
    {NULL, NULL},
};

/* An open descriptor is not yet a KVM, nor one of the version that this file is written for. */
static int check_device(struct kvm_hv *kvm, const char *path)
{
    int version = kvm_ioctl_quiet(kvm->fd, KVM_GET_API_VERSION, 0);
    int size;

    if (version < 0) {
        visor__error_native(VISOR_EBROKEN, "kvm", "KVM_GET_API_VERSION", VISOR_NATIVE_ERRNO,
                            -version, "%s is not KVM", path);
        return visor__error_hint("KVM's node is a character device with major 10, minor 232");
    }
    if (version != KVM_API_VERSION)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_GET_API_VERSION",
                            "%s has version %d, %d is needed", path, version, KVM_API_VERSION);
    size = KVM_IOCTL_VALUE(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0)
        return size;
    if ((size_t)size < sizeof(struct kvm_run))
        return visor__error(VISOR_EBROKEN, "kvm", "KVM_GET_VCPU_MMAP_SIZE",
                            "a run area of %d bytes", size);
    if (kvm_check(kvm->fd, KVM_CAP_USER_MEMORY) <= 0 ||
        kvm_check(kvm->fd, KVM_CAP_IMMEDIATE_EXIT) <= 0) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_CHECK_EXTENSION",
                     "this kernel lacks user memory or immediate exit");
        return visor__error_hint("Linux 4.13 or later is needed");
    }
    kvm->run_size = (size_t)size;
    return 0;
}

int kvm_open(visor_hypervisor *hv)
{
    struct kvm_hv *kvm = kvm_hv_of(hv);
    const char *path = visor__option_get(hv, "device");
    const struct visor__linux_node node = {
        .backend = "kvm",
        .path = path != NULL ? path : "/dev/kvm",
        .absent = "load the kernel's module (modprobe kvm_intel or kvm_amd); in a virtual machine "
                  "ask for nested virtualization, in a container for the device",
        .no_driver = "load the kernel's module (modprobe kvm_intel or kvm_amd); if it refuses, "
                     "switch virtualization on in the firmware's setup",
        .owner_only = "as root: chgrp kvm and chmod 660 it",
    };
    struct utsname host;
    int ret;

    ret = visor__linux_kick_signal(&kvm->signal, hv);
    if (ret < 0)
        return ret;
    ret = visor__linux_open(&kvm->fd, &node);
    if (ret < 0)
        return ret;
    ret = check_device(kvm, node.path);
    if (ret < 0) {
        close(kvm->fd);
        return ret;
    }
    if (uname(&host) < 0)
        host.release[0] = '\0';
    snprintf(hv->version, sizeof(hv->version), "API %d, Linux %.40s", KVM_API_VERSION,
             host.release);
    return 0;
}

void kvm_close(visor_hypervisor *hv)
{
    close(kvm_hv_of(hv)->fd);
}

static int64_t max_vcpus(int fd)
{
    int count = kvm_check(fd, KVM_CAP_MAX_VCPUS);

    if (count <= 0)
        count = kvm_check(fd, KVM_CAP_NR_VCPUS);
    return count > 0 ? count : 4; /* api.rst 4.7: assume 4 */
}

int64_t kvm_max_slots(int fd)
{
    int count = kvm_check(fd, KVM_CAP_NR_MEMSLOTS);

    if (count <= 0)
        return 32; /* what kernels had before they could be asked */
    /* Bits 16 and up of a slot id choose another address space (api.rst 4.35). */
    return count < 0x10000 ? count : 0x10000;
}

/* Asked of the device itself: on x86 KVM_CAP_DEVICE_CTRL is 0 before Linux 6.4 although it is
 * there. */
static bool has_vfio(int vm_fd)
{
    struct kvm_create_device device = {.type = KVM_DEV_TYPE_VFIO, .flags = KVM_CREATE_DEVICE_TEST};

    return kvm_ioctl_quiet(vm_fd, KVM_CREATE_DEVICE, (uintptr_t)&device) >= 0;
}

/* The numbering of those whose answer is the kernel's, unchanged. */
static const struct {
    visor_cap cap;
    unsigned number;
} direct[] = {
    {VISOR_CAP_IRQCHIP, KVM_CAP_IRQCHIP},
    {VISOR_CAP_IRQFD_RESAMPLE, KVM_CAP_IRQFD_RESAMPLE},
    {VISOR_CAP_READ_ONLY, KVM_CAP_READONLY_MEM},
    {VISOR_CAP_MEMORY_FAULT, KVM_CAP_MEMORY_FAULT_INFO},
    {VISOR_CAP_DEBUG, KVM_CAP_SET_GUEST_DEBUG},
    {VISOR_CAP_MP_STATE, KVM_CAP_MP_STATE},
};

int64_t kvm_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int fd = vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd;

    if (kvm_arch_lacks(cap))
        return 0;
    /* With a split chip, the end of a line's interrupt is seen by the outer I/O APIC only. */
    if (cap == VISOR_CAP_IRQFD_RESAMPLE && vm != NULL && vm->config.irqchip != VISOR_IRQCHIP_KERNEL)
        return 0;
    for (size_t i = 0; i < sizeof(direct) / sizeof(direct[0]); i++) {
        if (direct[i].cap == cap)
            return kvm_check(fd, direct[i].number) > 0;
    }
    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return max_vcpus(fd);
    case VISOR_CAP_MAX_SLOTS: return kvm_max_slots(fd);
    case VISOR_CAP_GPA_BITS: return kvm_arch_gpa_bits(hv, vm);
    case VISOR_CAP_VFIO: return vm != NULL && has_vfio(fd);
    case VISOR_CAP_DIRTY_RING: return kvm_dirty_ring_max(fd);
    case VISOR_CAP_NONCOHERENT_DMA: return kvm_may_be_noncoherent(fd);
    default: return kvm_arch_cap(hv, vm, cap);
    }
}

int64_t kvm_hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    return kvm_cap(hv, NULL, cap);
}
