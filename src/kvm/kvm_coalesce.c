/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Collected writes (api.rst 4.116). The kernel puts a guest write to a zone into a ring of the VM
 * instead of leaving the guest; when the ring is full, the write is an exit like any other. All
 * vCPUs share the ring, and it is only mapped through the descriptor of one.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/kvm.h"

/* Entries of the ring, which is one page (KVM_COALESCED_MMIO_MAX, whose PAGE_SIZE libc lacks). */
static uint32_t ring_size(void)
{
    return (uint32_t)((visor__os_page_size() - sizeof(struct kvm_coalesced_mmio_ring)) /
                      sizeof(struct kvm_coalesced_mmio));
}

/*
 * The mapping is the VM's own, not a part of the vCPU's run area: writes must not be lost when the
 * vCPU that lends its descriptor is freed before they are taken.
 */
int kvm_coalesce_attach(visor_vcpu *vcpu)
{
    struct kvm_vm *kvm = kvm_vm_of(vcpu->vm);
    int page = kvm_check(kvm->fd, KVM_CAP_COALESCED_MMIO);
    void *ring;

    if (kvm->coalesced != NULL || page <= 0)
        return 0;
    ring = mmap(NULL, visor__os_page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
                kvm_vcpu_of(vcpu)->fd, (off_t)((size_t)page * visor__os_page_size()));
    if (ring == MAP_FAILED)
        return kvm_error("mmap", errno, "the ring of collected writes");
    kvm->coalesced = ring;
    return 0;
}

void kvm_coalesce_close(visor_vm *vm)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);

    if (kvm->coalesced != NULL)
        munmap(kvm->coalesced, visor__os_page_size());
}

static int check_space(const struct kvm_vm *kvm, visor_space space)
{
    if (space == VISOR_MMIO || kvm_check(kvm->fd, KVM_CAP_COALESCED_PIO) > 0)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_REGISTER_COALESCED_MMIO",
                        "this kernel collects no port writes");
}

/*
 * KVM_UNREGISTER_COALESCED_MMIO removes every zone that contains the range, not just the one that
 * equals it: there is no other, because the core lets no two overlap.
 */
static int change(visor_vm *vm, bool adding, visor_space space, uint64_t address, uint64_t length)
{
    const struct kvm_vm *kvm = kvm_vm_of(vm);
    struct kvm_coalesced_mmio_zone zone = {
        .addr = address,
        .size = (uint32_t)length,
        .pio = space == VISOR_PIO,
    };
    int ret = check_space(kvm, space);

    if (ret < 0)
        return ret;
    if (length > UINT32_MAX)
        return visor__error(VISOR_ERANGE, "kvm", "KVM_REGISTER_COALESCED_MMIO",
                            "a zone of %llu bytes", (unsigned long long)length);
    ret = adding ? KVM_IOCTL(kvm->fd, KVM_REGISTER_COALESCED_MMIO, &zone)
                 : KVM_IOCTL(kvm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
    return ret < 0 ? ret : 0;
}

static int add(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    return change(vm, true, space, address, length);
}

static int remove_zone(visor_vm *vm, visor_space space, uint64_t address, uint64_t length)
{
    return change(vm, false, space, address, length);
}

static int take(visor_io *io, visor_vm *vm)
{
    struct kvm_coalesced_mmio_ring *ring = kvm_vm_of(vm)->coalesced;
    const struct kvm_coalesced_mmio *entry;
    uint32_t size = ring_size();
    uint32_t first;

    if (ring == NULL)
        return 0;
    first = ring->first % size;
    if (first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) % size)
        return 0;
    entry = &ring->coalesced_mmio[first];
    *io = (visor_io){
        .address = entry->phys_addr,
        .length = entry->len <= sizeof(io->data) ? entry->len : sizeof(io->data),
        .is_write = true,
        .space = entry->pio != 0 ? VISOR_PIO : VISOR_MMIO,
    };
    memcpy(io->data, entry->data, io->length);
    __atomic_store_n(&ring->first, (first + 1) % size, __ATOMIC_RELEASE);
    return 1;
}

const struct visor__coalesce_ops kvm_coalesce_ops = {
    .add = add,
    .remove = remove_zone,
    .take = take,
};
