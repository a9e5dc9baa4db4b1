/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: what a VM is, beside its vCPUs and interrupt chips. */
#include <cpuid.h>

#include "kvm/kvm_x86.h"

/* ---- capabilities ---- */

int64_t kvm_arch_gpa_bits(visor_hypervisor *hv, visor_vm *vm)
{
    unsigned eax, ebx, ecx, edx;

    (void)hv;
    (void)vm;
    /* SDM vol. 2A, CPUID leaf 80000008H; processors without that leaf have 36 bits. */
    if (__get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) == 0)
        return 36;
    return eax & 0xff;
}

/* CPUID: leaf 1, ECX bit 5 (SDM vol. 2A) is VMX; leaf 80000001h, ECX bit 2 (APM vol. 3) SVM. */
bool kvm_arch_has_hardware(void)
{
    unsigned eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & 1u << 5) != 0)
        return true;
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & 1u << 2) != 0;
}

bool kvm_arch_lacks(visor_cap cap)
{
    (void)cap;
    return false;
}

int64_t kvm_arch_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int fd = vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd;
    int size;

    switch (cap) {
    case VISOR_CAP_PROTECTED: return kvm_check(fd, KVM_CAP_X86_PROTECTED_VM);
    case VISOR_CAP_X86_XCRS: return kvm_check(fd, KVM_CAP_XCRS) > 0;
    case VISOR_CAP_X86_XSAVE_SIZE:
        size = kvm_check(fd, KVM_CAP_XSAVE2);
        return size > (int)sizeof(struct kvm_xsave) ? size : (int)sizeof(struct kvm_xsave);
    case VISOR_CAP_X86_NESTED_STATE_SIZE: return kvm_check(fd, KVM_CAP_NESTED_STATE);
    case VISOR_CAP_X86_BUS_LOCK:
        return (kvm_check(fd, KVM_CAP_X86_BUS_LOCK_EXIT) & KVM_BUS_LOCK_DETECTION_EXIT) != 0;
    case VISOR_CAP_X86_MSR_EXITS:
        return kvm_check(fd, KVM_CAP_X86_USER_SPACE_MSR) > 0 &&
               kvm_check(fd, KVM_CAP_X86_MSR_FILTER) > 0;
    case VISOR_CAP_X86_TSC_DEADLINE:
        return (vm == NULL || vm->config.irqchip != VISOR_IRQCHIP_NONE) &&
               kvm_check(fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    /* Without hardware, RDTSC in the guest reads the host's counter, whatever IA32_TSC was set to.
     */
    case VISOR_CAP_X86_TSC_OFFSET: return kvm_arch_has_hardware();
    case VISOR_CAP_IRQCHIP_SPLIT: return kvm_check(fd, KVM_CAP_SPLIT_IRQCHIP) > 0;
    case VISOR_CAP_SYNC_REGS: return kvm_check(fd, KVM_CAP_SYNC_REGS) > 0;
    case VISOR_CAP_HYPERCALLS: return kvm_check(fd, KVM_CAP_EXIT_HYPERCALL);
    case VISOR_CAP_HW_BREAKPOINTS: return kvm_check(fd, KVM_CAP_SET_GUEST_DEBUG) > 0 ? 4 : 0;
    default: return 0;
    }
}

/* ---- creation ---- */

static bool isolates(visor_protection protection)
{
    return protection == VISOR_PROTECTED || protection == VISOR_PROTECTED_CUSTOM_FIRMWARE ||
           protection == VISOR_PROTECTED_NO_FIRMWARE;
}

int kvm_arch_vm_type(unsigned long *out, visor_vm *vm)
{
    *out = isolates(vm->config.protection) ? KVM_X86_PKVM_PROTECTED_VM : 0;
    return 0;
}

int kvm_arch_vm_init(visor_vm *vm)
{
    int ret = kvm_x86_chip_create(vm);

    return ret < 0 ? ret : kvm_x86_vm_features(vm);
}

/* KVM forwards hypercalls one by one, by a mask with a bit for each that it lets go. */
int kvm_arch_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    struct kvm_vm *kvm = kvm_vm_of(vm);
    uint64_t can = (uint64_t)kvm_check(kvm->fd, KVM_CAP_EXIT_HYPERCALL);
    uint64_t mask = kvm->hypercall_mask;
    int ret;

    for (uint64_t number = first; number < (uint64_t)first + count; number++) {
        if (number > 63 || (can >> number & 1) == 0) {
            visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_CAP_EXIT_HYPERCALL",
                         "hypercall %llu cannot leave the kernel", (unsigned long long)number);
            return visor__error_hint("the capability \"hypercalls\" is the mask of those that can: "
                                     "%#llx",
                                     (unsigned long long)can);
        }
        mask |= 1ull << number;
    }
    ret = KVM_ENABLE(kvm->fd, KVM_CAP_EXIT_HYPERCALL, mask);
    if (ret < 0)
        return ret;
    kvm->hypercall_mask = mask;
    return 0;
}

/* ---- address areas ---- */

static int check_page(const char *operation, uint64_t gpa)
{
    if ((gpa & 0xfff) == 0)
        return 0;
    return visor__error(VISOR_EALIGN, "kvm", operation, "%#llx is not the start of a page",
                        (unsigned long long)gpa);
}

int kvm_x86_set_identity_map(visor_vm *vm, uint64_t gpa)
{
    static const char op[] = "KVM_SET_IDENTITY_MAP_ADDR";
    int ret = check_page(op, gpa);

    if (ret < 0)
        return ret;
    if (vm->vcpus != NULL)
        return visor__error(VISOR_ESTATE, "kvm", op, "the VM has vCPUs already");
    ret = KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_IDENTITY_MAP_ADDR, &gpa);
    return ret < 0 ? ret : 0;
}

int kvm_x86_set_tss_area(visor_vm *vm, uint64_t gpa)
{
    static const char op[] = "KVM_SET_TSS_ADDR";
    int ret = check_page(op, gpa);

    if (ret < 0)
        return ret;
    if (gpa > 0x100000000 - 3 * 0x1000ull)
        return visor__error(VISOR_ERANGE, "kvm", op,
                            "three pages at %#llx do not end within the first 4 GiB",
                            (unsigned long long)gpa);
    ret = KVM_IOCTL_VALUE(kvm_vm_of(vm)->fd, KVM_SET_TSS_ADDR, gpa);
    return ret < 0 ? ret : 0;
}

int kvm_x86_set_platform_info(visor_vm *vm, bool on)
{
    int ret = KVM_ENABLE(kvm_vm_of(vm)->fd, KVM_CAP_MSR_PLATFORM_INFO, on);

    return ret < 0 ? ret : 0;
}

uint32_t kvm_arch_protected_cap(void)
{
    return KVM_CAP_X86_PROTECTED_VM;
}
