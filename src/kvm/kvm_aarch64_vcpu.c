/* SPDX-License-Identifier: BSD-3-Clause */
/* What an AArch64 VM has: its features, vCPUs with these, and what waits until all are there. */
#include <errno.h>
#include <unistd.h>

#include "kvm/kvm_aarch64.h"

static const char op_configure[] = "visor_aarch64_configure";

static int fd_of(visor_hypervisor *hv, visor_vm *vm)
{
    return vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd;
}

/* ---- SVE's vector lengths ---- */

/*
 * Which lengths guests can have is known by a vCPU only, between its initialization and its
 * completion (api.rst 4.68, KVM_REG_ARM64_SVE_VLS). So one is made in a VM of its own. Bit n:
 * (n + 1) * 128 bits. 0 or an error.
 */
static int sve_lengths_of(uint32_t *out, int vm_fd)
{
    uint64_t set[KVM_ARM64_SVE_VLS_WORDS] = {0};
    struct kvm_one_reg reg = {.id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)set};
    struct kvm_vcpu_init init;
    int vcpu, ret = KVM_IOCTL(vm_fd, KVM_ARM_PREFERRED_TARGET, &init);

    if (ret < 0)
        return ret;
    vcpu = KVM_IOCTL_VALUE(vm_fd, KVM_CREATE_VCPU, 0);
    if (vcpu < 0)
        return vcpu;
    init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2 | 1u << KVM_ARM_VCPU_SVE;
    ret = KVM_IOCTL(vcpu, KVM_ARM_VCPU_INIT, &init);
    if (ret >= 0)
        ret = KVM_IOCTL(vcpu, KVM_GET_ONE_REG, &reg);
    close(vcpu);
    *out = (uint32_t)(set[0] & 0xffff);
    return ret < 0 ? ret : 0;
}

static int host_sve_lengths(uint32_t *out, visor_hypervisor *hv)
{
    int ret, vm = kvm_ioctl_quiet(kvm_hv_of(hv)->fd, KVM_CREATE_VM,
                                  (uintptr_t)kvm_aarch64_ipa_bits(hv, NULL));

    *out = 0;
    if (vm < 0)
        return kvm_error("KVM_CREATE_VM", -vm, "to ask for the vector lengths");
    ret = sve_lengths_of(out, vm);
    close(vm);
    return ret;
}

/* The longest, in bits. */
static int64_t sve_cap(visor_hypervisor *hv, visor_vm *vm)
{
    uint32_t lengths;
    int64_t bits = 0;

    if (kvm_check(fd_of(hv, vm), KVM_CAP_ARM_SVE) <= 0 || host_sve_lengths(&lengths, hv) < 0)
        return 0;
    for (; lengths != 0; lengths >>= 1)
        bits += 128;
    return bits;
}

/* ---- capabilities ---- */

static bool has_pauth(int fd)
{
    return kvm_check(fd, KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 &&
           kvm_check(fd, KVM_CAP_ARM_PTRAUTH_GENERIC) > 0;
}

/* Told by a vCPU only, but all kernels since 5.10 that can say how much time a thread waited have
 * it (api.rst 4.80, KVM_ARM_VCPU_PVTIME_CTRL): KVM_CAP_STEAL_TIME. */
static bool has_stolen_time(int fd)
{
    return kvm_check(fd, KVM_CAP_STEAL_TIME) > 0;
}

int64_t kvm_aarch64_vcpu_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int fd = fd_of(hv, vm);

    switch (cap) {
    case VISOR_CAP_AARCH64_PMU: return kvm_check(fd, KVM_CAP_ARM_PMU_V3) > 0;
    case VISOR_CAP_AARCH64_SVE: return sve_cap(hv, vm);
    case VISOR_CAP_AARCH64_PAUTH: return has_pauth(fd);
    case VISOR_CAP_AARCH64_EL2: return kvm_check(fd, KVM_CAP_ARM_EL2) > 0;
    case VISOR_CAP_AARCH64_MTE: return kvm_check(fd, KVM_CAP_ARM_MTE) > 0;
    case VISOR_CAP_AARCH64_STOLEN_TIME: return has_stolen_time(fd);
    default: return 0;
    }
}

/* ---- what the VM has ---- */

/* AUTO becomes what the host can; ON that it cannot is an error. */
static int decide(visor_toggle *toggle, bool can, const char *name)
{
    if (*toggle == VISOR_AUTO)
        *toggle = can ? VISOR_ON : VISOR_OFF;
    if (*toggle == VISOR_OFF || can)
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "kvm", op_configure, "this host has no %s for guests", name);
    return visor__error_hint("VISOR_AUTO takes it where there is one, VISOR_OFF does without");
}

/* A guest has all of the host's lengths up to some longest one. */
static int decide_sve(visor_aarch64_config *config, visor_vm *vm)
{
    uint32_t can = 0, up_to;
    int ret = decide(&config->sve, kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_ARM_SVE) > 0, "SVE");

    if (ret == 0 && config->sve == VISOR_ON)
        ret = host_sve_lengths(&can, vm->hv);
    if (ret < 0)
        return ret;
    if (config->sve == VISOR_OFF || config->sve_lengths == 0) {
        config->sve_lengths = can;
        return 0;
    }
    up_to = config->sve_lengths;
    for (unsigned shift = 1; shift < 16; shift *= 2)
        up_to |= up_to >> shift;
    if ((can & up_to) == config->sve_lengths)
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "kvm", op_configure, "vector lengths 0x%x",
                 config->sve_lengths);
    return visor__error_hint("this host has 0x%x, of which a guest can be spared the longest", can);
}

static int decide_el2(visor_aarch64_config *config, visor_vm *vm)
{
    bool has_gic = vm->config.irqchip == VISOR_IRQCHIP_KERNEL && config->gic_version == 3;
    bool can = kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_ARM_EL2) > 0;

    if (config->el2 == VISOR_ON && can && !has_gic) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", op_configure,
                     "virtualization for the guest needs a GIC of version 3 in the kernel");
        return visor__error_hint("create the VM with VISOR_IRQCHIP_KERNEL on a host that has one");
    }
    return decide(&config->el2, can && has_gic, "virtualization");
}

/* Tags need memory that can have them from the beginning: before the first vCPU. */
static int decide_mte(visor_aarch64_config *config, visor_vm *vm)
{
    int ret =
        decide(&config->mte, kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_ARM_MTE) > 0, "memory tagging");

    if (ret == 0 && config->mte == VISOR_ON)
        ret = KVM_ENABLE(kvm_vm_of(vm)->fd, KVM_CAP_ARM_MTE, 0);
    return ret < 0 ? ret : 0;
}

int kvm_aarch64_configure(visor_vm *vm, visor_aarch64_config *config)
{
    int fd = kvm_vm_of(vm)->fd;
    int ret = decide(&config->pmu, kvm_check(fd, KVM_CAP_ARM_PMU_V3) > 0, "performance monitors");

    if (ret == 0)
        ret = decide_sve(config, vm);
    if (ret == 0)
        ret = decide(&config->pauth, has_pauth(fd), "pointer authentication");
    /* Without a place for the records there is nothing to be told. */
    if (ret == 0 && config->stolen_time == VISOR_AUTO && config->stolen_time_gpa == 0)
        config->stolen_time = VISOR_OFF;
    if (ret == 0)
        ret = decide(&config->stolen_time, has_stolen_time(fd), "stolen time");
    if (ret == 0)
        ret = decide_mte(config, vm);
    if (ret == 0 && vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        ret = kvm_aarch64_gic_configure(vm, config);
    if (ret == 0)
        ret = decide_el2(config, vm);
    return ret;
}

/* ---- vCPUs ---- */

static int init_sve(visor_vcpu *vcpu, const visor_aarch64_config *config)
{
    uint64_t set[KVM_ARM64_SVE_VLS_WORDS] = {config->sve_lengths};
    struct kvm_one_reg reg = {.id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)set};
    int feature = KVM_ARM_VCPU_SVE;
    int ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_SET_ONE_REG, &reg);

    if (ret >= 0)
        ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_ARM_VCPU_FINALIZE, &feature);
    return ret;
}

/* Bytes that DC ZVA clears: 4 << DCZID_EL0.BS. KVM shows guests the host's. */
static uint32_t zva_length(void)
{
    uint64_t dczid;

    __asm__("mrs %0, dczid_el0" : "=r"(dczid));
    return 4u << (dczid & 15);
}

int kvm_arch_vcpu_init(visor_vcpu *vcpu)
{
    const visor_aarch64_config *config = &vcpu->vm->machine.aarch64;
    struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    uint32_t features = 1u << KVM_ARM_VCPU_PSCI_0_2;
    int ret = KVM_IOCTL(kvm_vm_of(vcpu->vm)->fd, KVM_ARM_PREFERRED_TARGET, &a->init);

    if (ret < 0)
        return ret;
    if (vcpu->id != 0)
        features |= 1u << KVM_ARM_VCPU_POWER_OFF;
    if (config->pmu == VISOR_ON)
        features |= 1u << KVM_ARM_VCPU_PMU_V3;
    if (config->sve == VISOR_ON)
        features |= 1u << KVM_ARM_VCPU_SVE;
    if (config->pauth == VISOR_ON)
        features |= 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC;
    if (config->el2 == VISOR_ON)
        features |= 1u << KVM_ARM_VCPU_HAS_EL2;
    a->init.features[0] = features;
    a->zva_length = zva_length();
    ret = KVM_IOCTL(a->common.fd, KVM_ARM_VCPU_INIT, &a->init);
    if (ret >= 0 && config->sve == VISOR_ON)
        ret = init_sve(vcpu, config);
    return ret < 0 ? ret : 0;
}

/* Initializing it once more makes it new (api.rst 4.82), SVE's lengths aside. */
int kvm_aarch64_reset(visor_vcpu *vcpu)
{
    struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    int ret = KVM_IOCTL(a->common.fd, KVM_ARM_VCPU_INIT, &a->init);

    return ret < 0 ? ret : 0;
}

/* ---- what waits until all vCPUs are there ---- */

/* Its interrupt is wired to a GIC if there is one, and else reported in the run area. */
static int init_pmu(visor_vcpu *vcpu, const visor_aarch64_config *config)
{
    int fd = kvm_vcpu_of(vcpu)->fd;
    int intid = (int)config->pmu_intid; /* the kernel reads an int */
    int ret = 0;

    if (vcpu->vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        ret = kvm_set_attr(fd, "the PMU's interrupt", KVM_ARM_VCPU_PMU_V3_CTRL,
                           KVM_ARM_VCPU_PMU_V3_IRQ, &intid);
    if (ret == 0)
        ret = kvm_set_attr(fd, "the PMU", KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL);
    return ret;
}

static int init_stolen_time(visor_vcpu *vcpu, const visor_aarch64_config *config)
{
    uint64_t gpa = config->stolen_time_gpa + UINT64_C(64) * vcpu->id;

    return kvm_set_attr(kvm_vcpu_of(vcpu)->fd, "the stolen-time record", KVM_ARM_VCPU_PVTIME_CTRL,
                        KVM_ARM_VCPU_PVTIME_IPA, &gpa);
}

int kvm_aarch64_seal(visor_vm *vm)
{
    const visor_aarch64_config *config = &vm->machine.aarch64;
    int ret = 0;

    /* The PMU's interrupt needs a complete GIC. */
    if (vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        ret = kvm_aarch64_gic_seal(vm);
    for (visor_vcpu *vcpu = vm->vcpus; ret == 0 && vcpu != NULL; vcpu = vcpu->next) {
        if (vcpu->closed)
            continue;
        if (config->pmu == VISOR_ON)
            ret = init_pmu(vcpu, config);
        if (ret == 0 && config->stolen_time == VISOR_ON)
            ret = init_stolen_time(vcpu, config);
    }
    return ret;
}
