/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages the guest wrote: a bitmap of each slot, or a ring of each vCPU (api.rst 8.29).
 *
 * A ring entry goes invalid -> DIRTY (kernel) -> RESET (here) -> invalid (KVM_RESET_DIRTY_RINGS,
 * which protects the page again). A page that the guest writes after its entry was read and before
 * the reset makes no second entry; so whoever is told of a page reads it after the reset. That
 * holds because log() resets before it returns.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kvm/kvm.h"

/* Where harvested pages go: those of `slot` into bitmap, all others to the core. */
struct target {
    uint64_t *bitmap; /* NULL: all to the core */
    uint32_t slot;
    uint64_t pages; /* in bitmap */
};

static uint32_t ring_cap(int fd)
{
    if (kvm_check(fd, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) > 0)
        return KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
    return KVM_CAP_DIRTY_LOG_RING;
}

/*
 * A paravirtual KVM looks at how full the ring is far too seldom, and overwrites entries (seen on
 * Linux 6.18: of 8192 pages, 8078 reported with a ring of 1024). It has the bitmap.
 */
int64_t kvm_dirty_ring_max(int fd)
{
    if (!kvm_arch_has_hardware())
        return 0;
    return kvm_check(fd, ring_cap(fd)) / (int64_t)sizeof(struct kvm_dirty_gfn);
}

int kvm_dirty_init(visor_vm *vm)
{
    static const char op[] = "KVM_CAP_DIRTY_LOG_RING";
    struct kvm_vm *kvm = kvm_vm_of(vm);
    uint32_t entries = vm->config.dirty_ring_entries;
    int64_t most = kvm_dirty_ring_max(kvm->fd);
    const uint64_t bytes = entries * sizeof(struct kvm_dirty_gfn);
    int ret;

    if (entries == 0)
        return 0;
    if (most == 0) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", op, "this kernel has no dirty rings");
        return visor__error_hint("dirty_ring_entries = 0 logs in a bitmap");
    }
    if (entries > most)
        return visor__error(VISOR_ELIMIT, "kvm", op, "%u entries; this kernel takes %lld", entries,
                            (long long)most);
    ret = kvm_enable(kvm->fd, op, ring_cap(kvm->fd), 0, (const uint64_t[4]){bytes});
    if (ret == VISOR_EREFUSED)
        return visor__error_hint("the kernel keeps some entries to itself: %u may be too few",
                                 entries);
    if (ret < 0)
        return ret;
    kvm->ring_entries = entries;
    /* Where devices of the kernel write guest memory, as Arm's ITS does, there is no ring for that
     * (api.rst 8.29). */
    kvm->ring_bitmap = kvm_check(kvm->fd, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP) > 0;
    return kvm->ring_bitmap ? KVM_ENABLE(kvm->fd, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0) : 0;
}

static size_t ring_bytes(const struct kvm_vm *kvm)
{
    return kvm->ring_entries * sizeof(struct kvm_dirty_gfn);
}

int kvm_dirty_attach(visor_vcpu *vcpu)
{
    struct kvm_vm *kvm = kvm_vm_of(vcpu->vm);
    struct kvm_vcpu *kvcpu = kvm_vcpu_of(vcpu);
    void *ring;

    if (kvm->ring_entries == 0)
        return 0;
    ring = mmap(NULL, ring_bytes(kvm), PROT_READ | PROT_WRITE, MAP_SHARED, kvcpu->fd,
                (off_t)(KVM_DIRTY_LOG_PAGE_OFFSET * visor__os_page_size()));
    if (ring == MAP_FAILED)
        return kvm_error("mmap", errno, "the dirty ring of vCPU %u", vcpu->id);
    kvcpu->ring = ring;
    kvcpu->ring_next = 0;
    kvcpu->ring_full_at = UINT32_MAX;
    return 0;
}

static void report(visor_vm *vm, const struct target *target, uint32_t slot, uint64_t page)
{
    if (target->bitmap == NULL || slot != target->slot)
        visor__dirty_mark(vm, slot, page);
    else if (page < target->pages)
        target->bitmap[page / 64] |= 1ull << page % 64;
}

static void harvest(visor_vm *vm, struct kvm_vcpu *kvcpu, const struct target *target)
{
    uint32_t mask = kvm_vm_of(vm)->ring_entries - 1;

    for (;; kvcpu->ring_next++) {
        struct kvm_dirty_gfn *entry = &kvcpu->ring[kvcpu->ring_next & mask];
        uint32_t flags = __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE);

        if ((flags & KVM_DIRTY_GFN_F_MASK) != KVM_DIRTY_GFN_F_DIRTY)
            return;
        /* Bits 16 and up: the address space, of which x86 has a second one for SMM. */
        report(vm, target, entry->slot & 0xffff, entry->offset);
        __atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
    }
}

static int harvest_all(visor_vm *vm, const struct target *target)
{
    int ret;

    for (visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        if (!vcpu->closed)
            harvest(vm, kvm_vcpu_of(vcpu), target);
    }
    ret = KVM_IOCTL_VALUE(kvm_vm_of(vm)->fd, KVM_RESET_DIRTY_RINGS, 0);
    return ret < 0 ? ret : 0;
}

/*
 * Has every vCPU that is in the guest leave it once, whereupon the kernel moves what the processor
 * has logged by itself (Intel's page modification log) into the ring.
 */
static void flush_hardware(visor_vm *vm)
{
    for (visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        const struct kvm_vcpu *kvcpu = kvm_vcpu_of(vcpu);
        unsigned passages;

        if (vcpu->closed)
            continue;
        passages = atomic_load(&kvcpu->passages);
        if (passages % 2 == 0)
            continue;
        visor__kick_nudge(vcpu);
        for (unsigned attempt = 0; atomic_load(&kvcpu->passages) == passages; attempt++)
            visor__os_pause(attempt);
    }
}

static int drain(visor_vm *vm, const struct target *target)
{
    if (kvm_vm_of(vm)->ring_entries == 0)
        return 0;
    flush_hardware(vm);
    return harvest_all(vm, target);
}

int kvm_dirty_drain(visor_vm *vm)
{
    return drain(vm, &(struct target){.bitmap = NULL});
}

void kvm_dirty_detach(visor_vcpu *vcpu)
{
    struct kvm_vcpu *kvcpu = kvm_vcpu_of(vcpu);

    if (kvcpu->ring == NULL)
        return;
    harvest(vcpu->vm, kvcpu, &(struct target){.bitmap = NULL});
    munmap(kvcpu->ring, ring_bytes(kvm_vm_of(vcpu->vm)));
    kvcpu->ring = NULL;
}

/*
 * Once a full ring has been emptied, it cannot be full again before new entries have come, which
 * are found here or were harvested by others. If neither, the kernel has lost count: say so, for
 * the guest would be turned away for ever.
 */
int kvm_dirty_ring_full(visor_vcpu *vcpu)
{
    struct kvm_vcpu *kvcpu = kvm_vcpu_of(vcpu);
    visor_vm *vm = vcpu->vm;
    int ret;

    visor__mutex_lock(&vm->lock);
    ret = harvest_all(vm, &(struct target){.bitmap = NULL});
    if (ret == 0 && kvcpu->ring_next == kvcpu->ring_full_at)
        ret = visor__error(VISOR_EBROKEN, "kvm", "KVM_EXIT_DIRTY_RING_FULL",
                           "vCPU %u: the kernel calls an empty dirty ring full", vcpu->id);
    kvcpu->ring_full_at = kvcpu->ring_next;
    visor__mutex_unlock(&vm->lock);
    return ret;
}

/* KVM_GET_DIRTY_LOG replaces what is in the buffer, in whole words, and clears the log. */
static int read_bitmap(uint64_t *bitmap, visor_vm *vm, uint32_t slot, uint64_t pages)
{
    size_t words = (size_t)((pages + 63) / 64);
    uint64_t *fresh = calloc(words, sizeof(*fresh));
    struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = fresh};
    int ret;

    if (fresh == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_GET_DIRTY_LOG", "%zu bytes", words * 8);
    ret = KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_GET_DIRTY_LOG, &log);
    for (size_t i = 0; ret >= 0 && i < words; i++)
        bitmap[i] |= fresh[i];
    free(fresh);
    return ret < 0 ? ret : 0;
}

static int log_pages(uint64_t *bitmap, visor_vm *vm, uint32_t slot, uint64_t length)
{
    const struct kvm_vm *kvm = kvm_vm_of(vm);
    struct target target = {
        .bitmap = bitmap,
        .slot = slot,
        .pages = length / visor__os_page_size(),
    };
    int ret = drain(vm, &target);

    if (ret < 0 || target.pages == 0 || (kvm->ring_entries != 0 && !kvm->ring_bitmap))
        return ret;
    return read_bitmap(bitmap, vm, slot, target.pages);
}

const struct visor__dirty_ops kvm_dirty_ops = {.log = log_pages};
