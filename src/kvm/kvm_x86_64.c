/* SPDX-License-Identifier: BSD-3-Clause */
/* The KVM backend on x86-64: interrupts, CPUID, MSRs, time, and the backend structure. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm_x86.h"

#define MSR_TSC 0x10

/* ---- interrupts ---- */

static int ready_for_interrupt(visor_vcpu *vcpu)
{
    const struct kvm_run *run = kvm_vcpu_of(vcpu)->run;

    return run->ready_for_interrupt_injection != 0 && run->if_flag != 0;
}

static int interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    struct kvm_interrupt irq = {.irq = vector};
    int ret;

    if (vcpu->vm->config.irqchip == VISOR_IRQCHIP_KERNEL) {
        visor__error(VISOR_ESTATE, "kvm", "KVM_INTERRUPT",
                     "vector %u: the VM has an interrupt chip", vector);
        return visor__error_hint("raise it through the chip: visor_vm_set_irq()");
    }
    if (!ready_for_interrupt(vcpu)) {
        visor__error(VISOR_EAGAIN, "kvm", "KVM_INTERRUPT",
                     "vCPU %u cannot take vector %u before its next instruction", vcpu->id, vector);
        return visor__error_hint("wait for VISOR_EXIT_IRQ_WINDOW: visor_x86_request_irq_window()");
    }
    ret = kvm_x86_flush(vcpu);
    if (ret < 0)
        return ret;
    ret = kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, KVM_INTERRUPT, (uintptr_t)&irq);
    if (ret == -EEXIST) /* split chip: the kernel still holds the one before */
        return visor__error_native(VISOR_EAGAIN, "kvm", "KVM_INTERRUPT", VISOR_NATIVE_ERRNO, EEXIST,
                                   "vCPU %u has an interrupt waiting already", vcpu->id);
    return ret < 0 ? kvm_error("KVM_INTERRUPT", -ret, "vector %u", vector) : 0;
}

static int request_irq_window(visor_vcpu *vcpu, bool on)
{
    kvm_vcpu_of(vcpu)->run->request_interrupt_window = on;
    return 0;
}

static int nmi(visor_vcpu *vcpu)
{
    return KVM_VCPU_CHANGE(vcpu, KVM_NMI, NULL);
}

/* ---- CPUID ---- */

struct kvm_cpuid2 *kvm_x86_cpuid_list(int fd, unsigned long request, const char *name,
                                      uint32_t capacity)
{
    struct kvm_cpuid2 *list;
    int ret;

    for (;; capacity = capacity * 2 + 1) {
        list = calloc(1, sizeof(*list) + capacity * sizeof(list->entries[0]));
        if (list == NULL) {
            visor__error(VISOR_ENOMEM, "kvm", name, "%u entries", capacity);
            return NULL;
        }
        list->nent = capacity;
        ret = kvm_ioctl_quiet(fd, request, (uintptr_t)list);
        if (ret >= 0)
            return list;
        free(list);
        if (ret != -E2BIG || capacity >= 0x10000) {
            kvm_error(name, -ret, "%u entries", capacity);
            return NULL;
        }
    }
}

void kvm_x86_cpuid_copy(visor_x86_cpuid_entry *out, const struct kvm_cpuid2 *list)
{
    for (uint32_t i = 0; i < list->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &list->entries[i];

        out[i] = (visor_x86_cpuid_entry){
            .function = entry->function,
            .index = entry->index,
            .flags = entry->flags,
            .eax = entry->eax,
            .ebx = entry->ebx,
            .ecx = entry->ecx,
            .edx = entry->edx,
        };
    }
}

static int supported_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    struct kvm_cpuid2 *list = kvm_x86_cpuid_list(kvm_hv_of(hv)->fd, KVM_GET_SUPPORTED_CPUID,
                                                 "KVM_GET_SUPPORTED_CPUID", 128);
    int count;

    if (list == NULL)
        return visor_error_last()->code;
    count = (int)list->nent;
    if (list->nent > capacity)
        list->nent = (uint32_t)capacity;
    kvm_x86_cpuid_copy(out, list);
    free(list);
    return count;
}

/* ---- MSRs ---- */

static int msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    int fd = kvm_hv_of(hv)->fd;
    struct kvm_msr_list empty = {.nmsrs = 0}, *list;
    size_t count;
    int ret;

    /* With too little room the kernel says E2BIG and how many there are (api.rst 4.3). */
    ret = kvm_ioctl_quiet(fd, KVM_GET_MSR_INDEX_LIST, (uintptr_t)&empty);
    if (ret < 0 && ret != -E2BIG)
        return kvm_error("KVM_GET_MSR_INDEX_LIST", -ret, "asking for the number");
    count = empty.nmsrs;
    list = calloc(1, sizeof(*list) + count * sizeof(list->indices[0]));
    if (list == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_GET_MSR_INDEX_LIST", "%zu entries", count);
    list->nmsrs = (uint32_t)count;
    ret = KVM_IOCTL(fd, KVM_GET_MSR_INDEX_LIST, list);
    if (ret >= 0) {
        ret = (int)list->nmsrs;
        count = list->nmsrs < capacity ? list->nmsrs : capacity;
        if (count > 0)
            memcpy(out, list->indices, count * sizeof(*out));
    }
    free(list);
    return ret;
}

/* The kernel refuses 256 (MAX_IO_MSRS) and more at a time. */
#define MSR_CHUNK 128

struct msr_chunk { /* struct kvm_msrs with its array */
    uint32_t count, padding;
    visor_x86_msr entries[MSR_CHUNK];
};
_Static_assert(offsetof(struct msr_chunk, entries) == offsetof(struct kvm_msrs, entries) &&
                   sizeof(visor_x86_msr) == sizeof(struct kvm_msr_entry),
               "MSR entries");

int kvm_x86_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    struct msr_chunk chunk;
    size_t done = 0, part;
    int ret;

    while (done < count) {
        part = count - done < MSR_CHUNK ? count - done : MSR_CHUNK;
        chunk.count = (uint32_t)part;
        chunk.padding = 0;
        memcpy(chunk.entries, msrs + done, part * sizeof(*msrs));
        ret = KVM_VCPU_READ(vcpu, KVM_GET_MSRS, &chunk);
        if (ret < 0)
            return ret;
        memcpy(msrs + done, chunk.entries, (size_t)ret * sizeof(*msrs));
        done += (size_t)ret;
        if ((size_t)ret < part) {
            visor__error(VISOR_ENOENT, "kvm", "KVM_GET_MSRS", "MSR %#x", msrs[done].index);
            break;
        }
    }
    return (int)done;
}

int kvm_x86_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    struct msr_chunk chunk;
    size_t done = 0, part;
    int ret;

    while (done < count) {
        part = count - done < MSR_CHUNK ? count - done : MSR_CHUNK;
        chunk.count = (uint32_t)part;
        chunk.padding = 0;
        memcpy(chunk.entries, msrs + done, part * sizeof(*msrs));
        ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_MSRS, &chunk);
        if (ret < 0)
            return ret;
        done += (size_t)ret;
        if ((size_t)ret < part) {
            visor__error(VISOR_EREFUSED, "kvm", "KVM_SET_MSRS", "MSR %#x = %#llx", msrs[done].index,
                         (unsigned long long)msrs[done].value);
            break;
        }
    }
    return (int)done;
}

/* Accesses that leave are those for which the filter has a 0 bit. The core has checked the ranges.
 */
static int set_msr_filter(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count)
{
    /* Shared by all ranges: all accesses of all of them exit. The kernel only reads it. */
    static uint8_t exits[KVM_MSR_FILTER_MAX_BITMAP_SIZE];
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW};

    for (size_t i = 0; i < count; i++) {
        if (!ranges[i].reads && !ranges[i].writes)
            continue;
        filter.ranges[i] = (struct kvm_msr_filter_range){
            .flags = (ranges[i].reads ? KVM_MSR_FILTER_READ : 0u) |
                     (ranges[i].writes ? KVM_MSR_FILTER_WRITE : 0u),
            .nmsrs = ranges[i].count,
            .base = ranges[i].first,
            .bitmap = exits,
        };
    }
    return KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static int set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count,
                         bool unknown)
{
    uint64_t reasons = 0;
    int ret;

    if (kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_X86_USER_SPACE_MSR) <= 0 ||
        kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_X86_MSR_FILTER) <= 0) {
        visor__unsupported(vm->hv, "visor_x86_set_msr_exits", "this kernel has no MSR exits");
        return visor__error_hint("Linux 5.10 or later is needed");
    }
    if (count > 0)
        reasons |= KVM_MSR_EXIT_REASON_FILTER;
    if (unknown)
        reasons |= KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN;
    /* This order on the way in and out: a filtered access without its exit would be a #GP. */
    if (count > 0) {
        ret = KVM_ENABLE(kvm_vm_of(vm)->fd, KVM_CAP_X86_USER_SPACE_MSR, reasons);
        return ret < 0 ? ret : set_msr_filter(vm, ranges, count);
    }
    ret = set_msr_filter(vm, ranges, 0);
    return ret < 0 ? ret : KVM_ENABLE(kvm_vm_of(vm)->fd, KVM_CAP_X86_USER_SPACE_MSR, reasons);
}

/* ---- bus locks ---- */

static int set_bus_lock_exits(visor_vm *vm, bool on)
{
    int fd = kvm_vm_of(vm)->fd;

    if ((kvm_check(fd, KVM_CAP_X86_BUS_LOCK_EXIT) & KVM_BUS_LOCK_DETECTION_EXIT) == 0)
        return visor__unsupported(
            vm->hv, "visor_x86_set_bus_lock_exits",
            "the processor does not report bus locks, or the kernel does not");
    return KVM_ENABLE(fd, KVM_CAP_X86_BUS_LOCK_EXIT,
                      on ? KVM_BUS_LOCK_DETECTION_EXIT : KVM_BUS_LOCK_DETECTION_OFF);
}

/* ---- time ---- */

/* The exact control of Linux 5.16 and later. */
static bool has_tsc_offset(visor_vcpu *vcpu)
{
    return kvm_has_attr(kvm_vcpu_of(vcpu)->fd, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET);
}

/* Without it: the guest's counter and the host's, read as close together as can be. */
static int get_tsc_offset(uint64_t *out, visor_vcpu *vcpu)
{
    visor_x86_msr tsc = {.index = MSR_TSC};
    uint64_t before, after;
    int ret;

    if (has_tsc_offset(vcpu))
        return kvm_get_attr(out, kvm_vcpu_of(vcpu)->fd, "TSC offset", KVM_VCPU_TSC_CTRL,
                            KVM_VCPU_TSC_OFFSET);
    before = __builtin_ia32_rdtsc();
    ret = kvm_x86_get_msrs(&tsc, 1, vcpu);
    after = __builtin_ia32_rdtsc();
    if (ret != 1)
        return ret < 0 ? ret : VISOR_ENOENT;
    *out = tsc.value - (before + (after - before) / 2);
    return 0;
}

static int set_tsc_offset(visor_vcpu *vcpu, uint64_t offset)
{
    visor_x86_msr tsc = {.index = MSR_TSC};
    int ret;

    if (has_tsc_offset(vcpu))
        return kvm_set_attr(kvm_vcpu_of(vcpu)->fd, "TSC offset", KVM_VCPU_TSC_CTRL,
                            KVM_VCPU_TSC_OFFSET, &offset);
    tsc.value = __builtin_ia32_rdtsc() + offset;
    ret = kvm_x86_set_msrs(vcpu, &tsc, 1);
    return ret == 1 ? 0 : (ret < 0 ? ret : VISOR_EREFUSED);
}

static int get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    int khz = kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, KVM_GET_TSC_KHZ, 0);

    if (khz <= 0) /* EIO: the host's counter is not stable */
        return visor__error_native(VISOR_ENOENT, "kvm", "KVM_GET_TSC_KHZ", VISOR_NATIVE_ERRNO, -khz,
                                   "the kernel does not know the frequency of the TSC");
    *out = (uint64_t)khz * 1000;
    return 0;
}

/* ---- features that the vCPU side needs VM-wide ---- */

int kvm_x86_vm_features(visor_vm *vm)
{
    struct kvm_x86_vm *x = vm->priv;
    int fd = x->common.fd;
    int ret;

    x->events_valid = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                      KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    if (kvm_check(fd, KVM_CAP_X86_SMM) > 0)
        x->events_valid |= KVM_VCPUEVENT_VALID_SMM;
    /* Pending and injected exceptions apart, with CR2 and DR6 not yet written. */
    if (kvm_check(fd, KVM_CAP_EXCEPTION_PAYLOAD) > 0) {
        ret = KVM_ENABLE(fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);
        if (ret < 0)
            return ret;
        x->events_valid |= KVM_VCPUEVENT_VALID_PAYLOAD;
    }
    if (kvm_check(fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT) > 0) {
        ret = KVM_ENABLE(fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
        if (ret < 0)
            return ret;
        x->events_valid |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
    }
    return 0;
}

/* ---- the backend ---- */

const struct visor__hv_ops kvm_hv_ops = {
    KVM_HV_OPS_COMMON,
    .x86_cpuid = supported_cpuid,
    .x86_msr_list = msr_list,
};

const struct visor__vm_ops kvm_vm_ops = {KVM_VM_OPS_COMMON, .destroy = kvm_vm_destroy};
const struct visor__vcpu_ops kvm_vcpu_ops = {KVM_VCPU_OPS_COMMON};
const struct visor__irq_ops kvm_irq_ops = {KVM_IRQ_OPS_COMMON, .set_irq = kvm_set_irq};

static const struct visor__x86_ops x86_ops = {
    .ready_for_interrupt = ready_for_interrupt,
    .interrupt = interrupt,
    .request_irq_window = request_irq_window,
    .nmi = nmi,
    .get_msrs = kvm_x86_get_msrs,
    .set_msrs = kvm_x86_set_msrs,
    .get_chip = kvm_x86_get_chip,
    .set_chip = kvm_x86_set_chip,
    .set_msr_exits = set_msr_exits,
    .set_identity_map = kvm_x86_set_identity_map,
    .set_tss_area = kvm_x86_set_tss_area,
    .set_bus_lock_exits = set_bus_lock_exits,
    .set_platform_info = kvm_x86_set_platform_info,
    .get_tsc_offset = get_tsc_offset,
    .set_tsc_offset = set_tsc_offset,
    .get_tsc_hz = get_tsc_hz,
};

const struct visor_backend visor__kvm_backend = {
    KVM_BACKEND_COMMON,
    .arches = 1u << VISOR_ARCH_X86_64,
    .vm_size = sizeof(struct kvm_x86_vm),
    .vcpu_size = sizeof(struct kvm_x86_vcpu),
    .clock = &kvm_x86_clock_ops,
    .x86 = &x86_ops,
};
