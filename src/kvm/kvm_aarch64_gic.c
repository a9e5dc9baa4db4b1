/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: the interrupt controller that KVM keeps: choosing and creating it, and its lines. */
#include <errno.h>
#include <unistd.h>

#include "kvm/kvm_aarch64.h"
#include "kvm/kvm_aarch64_gic.h"

/* KVM_DEV_ARM_VGIC_GRP_NR_IRQS takes multiples of 32, less than 1024, and with the private ones. */
#define MAX_SPIS 960u

static const char op[] = "visor_aarch64_configure";

/* ---- what the host has ---- */

static bool has_device(int vm_fd, uint32_t type)
{
    struct kvm_create_device device = {.type = type, .flags = KVM_CREATE_DEVICE_TEST};

    return kvm_ioctl_quiet(vm_fd, KVM_CREATE_DEVICE, (uintptr_t)&device) >= 0;
}

static uint32_t device_of(visor_cap cap)
{
    switch (cap) {
    case VISOR_CAP_AARCH64_GIC_V2: return KVM_DEV_TYPE_ARM_VGIC_V2;
    case VISOR_CAP_AARCH64_GIC_V3: return KVM_DEV_TYPE_ARM_VGIC_V3;
    default: return KVM_DEV_TYPE_ARM_VGIC_ITS;
    }
}

/* Only a VM can be asked what devices there are. One with the widest addresses exists wherever KVM
 * does: the default of 40 bits does not. */
int64_t kvm_aarch64_gic_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int system = kvm_hv_of(hv)->fd, fd;
    bool there;

    if (vm != NULL)
        return has_device(kvm_vm_of(vm)->fd, device_of(cap));
    fd = kvm_ioctl_quiet(system, KVM_CREATE_VM,
                         (uintptr_t)kvm_check(system, KVM_CAP_ARM_VM_IPA_SIZE));
    if (fd < 0)
        return 0;
    there = has_device(fd, device_of(cap));
    close(fd);
    return there;
}

/* ---- choosing ---- */

static int no_version(const char *wanted, bool v2, bool v3)
{
    visor__error(VISOR_EUNSUPPORTED, "kvm", op, "this host gives guests no GIC%s", wanted);
    if (v2 || v3)
        return visor__error_hint("it has version %s: set gic_version to that, or to 0",
                                 v3 ? "3" : "2");
    return visor__error_hint("VISOR_IRQCHIP_NONE works on every host");
}

static int choose_version(visor_aarch64_config *config, int fd)
{
    bool v2 = has_device(fd, KVM_DEV_TYPE_ARM_VGIC_V2);
    bool v3 = has_device(fd, KVM_DEV_TYPE_ARM_VGIC_V3);

    if (config->gic_version == 0 && (v2 || v3))
        config->gic_version = v3 ? 3 : 2;
    if (config->gic_version == 0)
        return no_version("", false, false);
    if (config->gic_version == 3 && !v3)
        return no_version("v3", v2, v3);
    if (config->gic_version == 2 && !v2)
        return no_version("v2", v2, v3);
    return 0;
}

static int choose_its(visor_aarch64_config *config, int fd)
{
    bool there = config->gic_version == 3 && has_device(fd, KVM_DEV_TYPE_ARM_VGIC_ITS);

    if (config->its == VISOR_ON && !there) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", op, "no ITS for guests with a GICv%u here",
                     config->gic_version);
        return visor__error_hint("with its VISOR_AUTO or VISOR_OFF the VM has lines only");
    }
    config->its = config->its != VISOR_OFF && there ? VISOR_ON : VISOR_OFF;
    return 0;
}

static int check_config(const visor_aarch64_config *config)
{
    if (config->spi_count > MAX_SPIS) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", op, "%u SPIs", config->spi_count);
        return visor__error_hint("at most %u", MAX_SPIS);
    }
    if (config->gic_version != 3 && config->el2 == VISOR_ON)
        return no_version("v3, which el2 needs", true, false);
    return 0;
}

/* ---- creating ---- */

static int create_device(int *out, int vm_fd, uint32_t type, const char *name)
{
    struct kvm_create_device device = {.type = type};
    int ret = kvm_ioctl_quiet(vm_fd, KVM_CREATE_DEVICE, (uintptr_t)&device);

    if (ret < 0)
        return kvm_error("KVM_CREATE_DEVICE", -ret, "%s", name);
    *out = (int)device.fd;
    return 0;
}

static int set_address(int fd, const char *what, uint64_t type, uint64_t gpa)
{
    return kvm_set_attr(fd, what, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &gpa);
}

static int create_gic(struct kvm_aarch64_vm *kvm, const visor_aarch64_config *config)
{
    bool v3 = config->gic_version == 3;
    uint32_t interrupts = 32 + config->spi_count;
    int ret = create_device(&kvm->gic_fd, kvm->common.fd,
                            v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2, "GIC");

    if (ret == 0 && v3)
        ret = set_address(kvm->gic_fd, "redistributors", KVM_VGIC_V3_ADDR_TYPE_REDIST,
                          config->gic_redistributor_gpa);
    else if (ret == 0)
        ret = set_address(kvm->gic_fd, "CPU interface", KVM_VGIC_V2_ADDR_TYPE_CPU,
                          config->gic_cpu_gpa);
    if (ret == 0)
        ret = set_address(kvm->gic_fd, "distributor",
                          v3 ? KVM_VGIC_V3_ADDR_TYPE_DIST : KVM_VGIC_V2_ADDR_TYPE_DIST,
                          config->gic_distributor_gpa);
    if (ret == 0)
        ret = kvm_set_attr(kvm->gic_fd, "number of interrupts", KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0,
                           &interrupts);
    return ret;
}

static int create_its(struct kvm_aarch64_vm *kvm, const visor_aarch64_config *config)
{
    int ret = create_device(&kvm->its_fd, kvm->common.fd, KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS");

    if (ret == 0)
        ret = set_address(kvm->its_fd, "ITS", KVM_VGIC_ITS_ADDR_TYPE, config->gic_its_gpa);
    return ret;
}

int kvm_aarch64_gic_configure(visor_vm *vm, visor_aarch64_config *config)
{
    struct kvm_aarch64_vm *kvm = kvm_aarch64_vm_of(vm);
    int ret;

    ret = choose_version(config, kvm->common.fd);
    if (ret == 0)
        ret = choose_its(config, kvm->common.fd);
    if (ret == 0)
        ret = check_config(config);
    if (ret == 0)
        ret = create_gic(kvm, config);
    if (ret == 0 && config->its == VISOR_ON)
        ret = create_its(kvm, config);
    return ret;
}

/* KVM_DEV_ARM_VGIC_CTRL_INIT sizes what it keeps by the vCPUs that are there. */
int kvm_aarch64_gic_seal(visor_vm *vm)
{
    struct kvm_aarch64_vm *kvm = kvm_aarch64_vm_of(vm);
    int ret;

    if (vm->vcpus == NULL)
        return visor__error(VISOR_ESTATE, "kvm", "visor_vm_seal",
                            "the GIC needs the vCPUs, and there is none yet");
    ret = kvm_set_attr(kvm->gic_fd, "GIC", KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
                       NULL);
    if (ret == 0 && kvm->its_fd >= 0)
        ret = kvm_set_attr(kvm->its_fd, "ITS", KVM_DEV_ARM_VGIC_GRP_CTRL,
                           KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
    return ret;
}

void kvm_aarch64_gic_destroy(visor_vm *vm)
{
    struct kvm_aarch64_vm *kvm = kvm_aarch64_vm_of(vm);

    if (kvm->its_fd >= 0)
        close(kvm->its_fd);
    if (kvm->gic_fd >= 0)
        close(kvm->gic_fd);
}

/* ---- lines ---- */

uint32_t kvm_arch_route_chip(visor_chip chip)
{
    (void)chip; /* there is one */
    return 0;
}

uint32_t kvm_arch_irq_line(uint32_t gsi)
{
    return kvm_gic_line(KVM_ARM_IRQ_TYPE_SPI, 0, 32 + gsi);
}

/* How many vCPUs were created before this one, freed ones counted; the list has the newest first.
 */
static uint32_t index_of(const visor_vm *vm, uint32_t vcpu_id)
{
    const visor_vcpu *vcpu = vm->vcpus;
    uint32_t index = 0;

    while (vcpu->id != vcpu_id)
        vcpu = vcpu->next;
    while ((vcpu = vcpu->next) != NULL)
        index++;
    return index;
}

int kvm_aarch64_gic_check_index(const visor_vm *vm, uint32_t vcpu_id, const char *operation)
{
    uint32_t index = index_of(vm, vcpu_id);

    if (index == vcpu_id)
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "kvm", operation,
                 "vCPU %u was created as number %u: kernels disagree which of these names it",
                 vcpu_id, index);
    return visor__error_hint("create vCPUs in the order of their ids, from 0 on");
}

int kvm_aarch64_set_line(visor_vm *vm, uint32_t type, uint32_t vcpu_id, uint32_t number, bool level)
{
    static const char op_line[] = "KVM_IRQ_LINE";
    struct kvm_irq_level line = {.irq = kvm_gic_line(type, vcpu_id, number), .level = level};
    int fd = kvm_vm_of(vm)->fd;
    int ret = kvm_aarch64_gic_check_index(vm, vcpu_id, op_line);

    if (ret < 0)
        return ret;
    if (vcpu_id > KVM_ARM_IRQ_VCPU_MASK && kvm_check(fd, KVM_CAP_ARM_IRQ_LINE_LAYOUT_2) <= 0)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", op_line,
                            "this kernel cannot name inputs of vCPUs above %d",
                            KVM_ARM_IRQ_VCPU_MASK);
    ret = kvm_ioctl_quiet(fd, KVM_IRQ_LINE, (uintptr_t)&line);
    return ret < 0 ? kvm_error(op_line, -ret, "input %u of vCPU %u", number, vcpu_id) : 0;
}
