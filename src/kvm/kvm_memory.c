/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory slots. */
#include <errno.h>

#include "kvm/kvm.h"

/*
 * Kernels of ChromeOS can honour the guest's memory types for a slot (KVM_MEM_NON_COHERENT_DMA).
 * They announce it under numbers that the upstream kernel gave to other capabilities since (236
 * PRE_FAULT_MEMORY, 239 ARM_WRITABLE_IMP_ID_REGS), so that "present" may be false: try it, and do
 * without if the kernel does not know the flag.
 */
bool kvm_may_be_noncoherent(int fd)
{
    return kvm_check(fd, KVM_CAP_NONCOHERENT_DMA_5_15) > 0 ||
           kvm_check(fd, KVM_CAP_NONCOHERENT_DMA_6_12) > 0;
}

static uint32_t slot_flags(const struct visor__slot_map *map)
{
    return (map->log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0u) |
           (map->read_only ? KVM_MEM_READONLY : 0u);
}

/* What is in the top byte of a pointer to user memory is a tag (Arm's top byte ignore, RISC-V's
 * pointer masking), which the kernel does not take: addresses end below on all architectures. */
static uint64_t user_address(const void *host)
{
    return (uintptr_t)host & UINT64_C(0x00ffffffffffffff);
}

static int set_region(struct kvm_vm *kvm, const struct visor__slot_map *map, uint32_t flags,
                      uint64_t length)
{
    struct kvm_userspace_memory_region region = {
        .slot = map->slot,
        .flags = flags,
        .guest_phys_addr = map->gpa,
        .memory_size = length,
        .userspace_addr = length > 0 ? user_address(map->host) : 0,
    };

    return kvm_ioctl_quiet(kvm->fd, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region);
}

/* The newer request where there is one: those kernels take the flag only there. */
static int set_noncoherent(struct kvm_vm *kvm, const struct visor__slot_map *map)
{
    struct kvm_userspace_memory_region2 region = {
        .slot = map->slot,
        .flags = slot_flags(map) | KVM_MEM_NON_COHERENT_DMA,
        .guest_phys_addr = map->gpa,
        .memory_size = map->length,
        .userspace_addr = user_address(map->host),
    };

    if (!kvm->has_region2)
        return set_region(kvm, map, region.flags, map->length);
    return kvm_ioctl_quiet(kvm->fd, KVM_SET_USER_MEMORY_REGION2, (uintptr_t)&region);
}

static int map_failed(const struct kvm_vm *kvm, const struct visor__slot_map *map, int err)
{
    static const char op[] = "KVM_SET_USER_MEMORY_REGION";

    if (err == EINVAL && map->read_only && kvm_check(kvm->fd, KVM_CAP_READONLY_MEM) <= 0)
        return visor__error_native(VISOR_EUNSUPPORTED, "kvm", op, VISOR_NATIVE_ERRNO, err,
                                   "this kernel has no read-only slots");
    return kvm_error(op, err, "slot %u: %#llx bytes at %#llx", map->slot,
                     (unsigned long long)map->length, (unsigned long long)map->gpa);
}

int kvm_map(visor_vm *vm, const struct visor__slot_map *map)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);
    int ret = -EINVAL;

    if (map->slot >= kvm->max_slots)
        return visor__error(VISOR_ELIMIT, "kvm", "KVM_SET_USER_MEMORY_REGION",
                            "slot %u: this kernel has %u slots", map->slot, kvm->max_slots);
    if (map->noncoherent && kvm->has_noncoherent)
        ret = set_noncoherent(kvm, map);
    if (ret == -EINVAL)
        ret = set_region(kvm, map, slot_flags(map), map->length);
    return ret < 0 ? map_failed(kvm, map, -ret) : 0;
}

int kvm_unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);
    int ret = set_region(kvm, map, 0, 0);

    if (ret < 0)
        return kvm_error("KVM_SET_USER_MEMORY_REGION", -ret, "removing slot %u", map->slot);
    /* The rings name pages by slot id: take out what is left before the id names another slot. If
     * that fails, pages of the next one are reported that were not written; the slot is gone. */
    if (map->log_dirty)
        (void)kvm_dirty_drain(vm);
    return 0;
}
