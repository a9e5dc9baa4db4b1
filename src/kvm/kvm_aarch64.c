/* SPDX-License-Identifier: BSD-3-Clause */
/* The KVM backend on AArch64: the VM, its interrupt lines, time and tags; the backend structure. */
#include <errno.h>

#include "kvm/kvm_aarch64.h"

/* ---- capabilities ---- */

#define IPA_BITS_DEFAULT 40 /* of kernels that cannot be asked (api.rst 4.2) */
#define IPA_BITS_MIN     32

static int64_t host_ipa_bits(visor_hypervisor *hv)
{
    int bits = kvm_check(kvm_hv_of(hv)->fd, KVM_CAP_ARM_VM_IPA_SIZE);

    return bits > 0 ? bits : IPA_BITS_DEFAULT;
}

int64_t kvm_aarch64_ipa_bits(visor_hypervisor *hv, visor_vm *vm)
{
    if (vm != NULL && vm->config.gpa_bits != 0)
        return vm->config.gpa_bits;
    return host_ipa_bits(hv);
}

int64_t kvm_arch_gpa_bits(visor_hypervisor *hv, visor_vm *vm)
{
    return kvm_aarch64_ipa_bits(hv, vm);
}

/* Without EL2 there is no /dev/kvm. */
bool kvm_arch_has_hardware(void)
{
    return true;
}

/* The filter of hypercalls knows all numbers. */
static int64_t hypercalls(visor_vm *vm)
{
    bool has = vm != NULL &&
               kvm_has_attr(kvm_vm_of(vm)->fd, KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER);

    return has ? INT64_C(1) << 32 : 0;
}

bool kvm_arch_lacks(visor_cap cap)
{
    (void)cap;
    return false;
}

int64_t kvm_arch_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int fd = vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd;

    switch (cap) {
    case VISOR_CAP_PROTECTED: return kvm_check(fd, KVM_CAP_ARM_PROTECTED_VM) > 0;
    case VISOR_CAP_HYPERCALLS: return hypercalls(vm);
    case VISOR_CAP_HW_BREAKPOINTS: return kvm_check(fd, KVM_CAP_GUEST_DEBUG_HW_BPS);
    case VISOR_CAP_HW_WATCHPOINTS: return kvm_check(fd, KVM_CAP_GUEST_DEBUG_HW_WPS);
    case VISOR_CAP_AARCH64_COUNTER_OFFSET: return kvm_check(fd, KVM_CAP_COUNTER_OFFSET) > 0;
    case VISOR_CAP_AARCH64_GIC_V2:
    case VISOR_CAP_AARCH64_GIC_V3:
    case VISOR_CAP_AARCH64_ITS: return kvm_aarch64_gic_cap(hv, vm, cap);
    default: return kvm_aarch64_vcpu_cap(hv, vm, cap);
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
    int64_t bits = kvm_aarch64_ipa_bits(vm->hv, vm);
    bool can_choose = kvm_check(kvm_hv_of(vm->hv)->fd, KVM_CAP_ARM_VM_IPA_SIZE) > 0;

    if (can_choose ? bits < IPA_BITS_MIN : bits != IPA_BITS_DEFAULT) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_CREATE_VM", "guest addresses of %lld bits",
                     (long long)bits);
        return visor__error_hint("this kernel has %d to %lld",
                                 can_choose ? IPA_BITS_MIN : IPA_BITS_DEFAULT,
                                 (long long)host_ipa_bits(vm->hv));
    }
    *out = can_choose ? (unsigned long)bits : 0;
    if (isolates(vm->config.protection))
        *out |= KVM_VM_TYPE_ARM_PROTECTED;
    return 0;
}

int kvm_arch_vm_init(visor_vm *vm)
{
    struct kvm_aarch64_vm *a = kvm_aarch64_vm_of(vm);
    int ret = 0;

    a->gic_fd = a->its_fd = -1;
    /* Or else such an access ends the run with an error (Linux 5.5 and later can tell). */
    if (kvm_check(a->common.fd, KVM_CAP_ARM_NISV_TO_USER) > 0)
        ret = KVM_ENABLE(a->common.fd, KVM_CAP_ARM_NISV_TO_USER, 0);
    return ret < 0 ? ret : 0;
}

static void destroy(visor_vm *vm)
{
    kvm_aarch64_gic_destroy(vm);
    kvm_vm_destroy(vm);
}

uint32_t kvm_arch_protected_cap(void)
{
    return KVM_CAP_ARM_PROTECTED_VM;
}

int kvm_arch_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    struct kvm_smccc_filter filter = {
        .base = first,
        .nr_functions = count,
        .action = KVM_SMCCC_FILTER_FWD_TO_USER,
    };
    int ret;

    if (hypercalls(vm) == 0) {
        visor__unsupported(vm->hv, "visor_vm_enable_hypercalls", "this kernel has no SMCCC filter");
        return visor__error_hint("Linux 6.4 or later is needed");
    }
    ret = kvm_set_attr(kvm_vm_of(vm)->fd, "SMCCC filter", KVM_ARM_VM_SMCCC_CTRL,
                       KVM_ARM_VM_SMCCC_FILTER, &filter);
    if (ret == VISOR_EBUSY)
        ret = visor__error(VISOR_ESTATE, "kvm", "KVM_ARM_VM_SMCCC_FILTER",
                           "a vCPU of this VM has run already");
    return ret;
}

int kvm_arch_paused(visor_vcpu *vcpu)
{
    (void)vcpu; /* the guest's clock code has nothing to be told */
    return 0;
}

/* ---- interrupts (api.rst 4.25) ---- */

static int set_private_irq(visor_vm *vm, uint32_t vcpu_id, uint32_t intid, bool level)
{
    return kvm_aarch64_set_line(vm, KVM_ARM_IRQ_TYPE_PPI, vcpu_id, intid, level);
}

static int set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool fiq, bool level)
{
    return kvm_aarch64_set_line(vm, KVM_ARM_IRQ_TYPE_CPU, vcpu_id,
                                fiq ? KVM_ARM_IRQ_CPU_FIQ : KVM_ARM_IRQ_CPU_IRQ, level);
}

static int outputs(uint32_t *out, visor_vcpu *vcpu)
{
    uint64_t levels = kvm_vcpu_of(vcpu)->run->s.regs.device_irq_level;

    if (kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_ARM_USER_IRQ) <= 0)
        return visor__unsupported(vcpu->vm->hv, "visor_aarch64_outputs",
                                  "this kernel does not tell the levels of its timers");
    *out = ((levels & KVM_ARM_DEV_EL1_VTIMER) != 0 ? VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER : 0) |
           ((levels & KVM_ARM_DEV_EL1_PTIMER) != 0 ? VISOR_AARCH64_OUTPUT_PHYSICAL_TIMER : 0) |
           ((levels & KVM_ARM_DEV_PMU) != 0 ? VISOR_AARCH64_OUTPUT_PMU : 0);
    return 0;
}

/* ---- time ---- */

static int set_counter_offset(visor_vm *vm, uint64_t ticks)
{
    struct kvm_arm_counter_offset offset = {.counter_offset = ticks};
    int ret;

    if (kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_COUNTER_OFFSET) <= 0) {
        visor__unsupported(vm->hv, "visor_aarch64_set_counter_offset",
                           "this kernel cannot set the counters of a VM back");
        return visor__error_hint("Linux 6.4 or later is needed");
    }
    ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_ARM_SET_COUNTER_OFFSET, (uintptr_t)&offset);
    if (ret == -EBUSY) /* it takes all vCPUs' locks */
        return visor__error_native(VISOR_EBUSY, "kvm", "KVM_ARM_SET_COUNTER_OFFSET",
                                   VISOR_NATIVE_ERRNO, EBUSY, "a vCPU is running");
    return ret < 0 ? kvm_error("KVM_ARM_SET_COUNTER_OFFSET", -ret, "%llu ticks",
                               (unsigned long long)ticks)
                   : 0;
}

/* ---- tags (api.rst 4.130) ---- */

static int copy_tags(visor_vm *vm, uint64_t gpa, uint64_t length, uint8_t *tags, uint64_t direction)
{
    static const char op[] = "KVM_ARM_MTE_COPY_TAGS";

    if (!vm->configured || vm->machine.aarch64.mte != VISOR_ON)
        return visor__unsupported(vm->hv, op, "the VM has no memory tagging");
    while (length > 0) {
        struct kvm_arm_copy_mte_tags copy = {
            .guest_ipa = gpa, .length = length, .addr = tags, .flags = direction};
        int done = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_ARM_MTE_COPY_TAGS, (uintptr_t)&copy);

        if (done <= 0)
            return kvm_error(op, done < 0 ? -done : EFAULT, "guest memory at 0x%llx",
                             (unsigned long long)gpa);
        /* Bytes of guest memory, whose tags have been copied: as many as there were, or less. */
        gpa += (uint64_t)done;
        length -= (uint64_t)done < length ? (uint64_t)done : length;
        tags += done / 16;
    }
    return 0;
}

static int get_tags(uint8_t *tags, visor_vm *vm, uint64_t gpa, uint64_t length)
{
    return copy_tags(vm, gpa, length, tags, KVM_ARM_TAGS_FROM_GUEST);
}

static int set_tags(visor_vm *vm, uint64_t gpa, uint64_t length, const uint8_t *tags)
{
    /* The kernel only reads them. */
    return copy_tags(vm, gpa, length, (uint8_t *)(uintptr_t)tags, KVM_ARM_TAGS_TO_GUEST);
}

/* ---- the backend ---- */

const struct visor__hv_ops kvm_hv_ops = {KVM_HV_OPS_COMMON};

const struct visor__vm_ops kvm_vm_ops = {
    KVM_VM_OPS_COMMON,
    .destroy = destroy,
    .seal = kvm_aarch64_seal,
};
const struct visor__vcpu_ops kvm_vcpu_ops = {
    KVM_VCPU_OPS_COMMON,
    .reset = kvm_aarch64_reset,
};
const struct visor__irq_ops kvm_irq_ops = {
    KVM_IRQ_OPS_COMMON,
    .set_irq = kvm_set_routed_irq,
    .get_regs = kvm_aarch64_gic_get_regs,
    .set_regs = kvm_aarch64_gic_set_regs,
};

static const struct visor__aarch64_ops aarch64_ops = {
    .configure = kvm_aarch64_configure,
    .get_reg = kvm_aarch64_get_reg,
    .set_reg = kvm_aarch64_set_reg,
    .get_vector = kvm_aarch64_get_vector,
    .set_vector = kvm_aarch64_set_vector,
    .set_private_irq = set_private_irq,
    .set_irq_input = set_irq_input,
    .outputs = outputs,
    .set_counter_offset = set_counter_offset,
    .get_tags = get_tags,
    .set_tags = set_tags,
};

const struct visor_backend visor__kvm_backend = {
    KVM_BACKEND_COMMON,
    .arches = 1u << VISOR_ARCH_AARCH64,
    .vm_size = sizeof(struct kvm_aarch64_vm),
    .vcpu_size = sizeof(struct kvm_aarch64_vcpu),
    .aarch64 = &aarch64_ops,
};
