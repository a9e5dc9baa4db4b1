/* SPDX-License-Identifier: BSD-3-Clause */
/* The KVM backend on RISC-V: what a VM is, its vCPUs, and the backend structure. */
#include <errno.h>
#include <unistd.h>

#include "kvm/kvm_riscv.h"

/* ---- capabilities ---- */

/* Every processor with the H extension, for 64 bits, can have Sv39x4 (Privileged Architecture,
 * 8.5.1); which it is the kernel finds out when it starts. */
int64_t kvm_arch_gpa_bits(visor_hypervisor *hv, visor_vm *vm)
{
    int bits = kvm_check(vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd, KVM_CAP_VM_GPA_BITS);

    return bits > 0 ? bits : 41;
}

bool kvm_arch_has_hardware(void)
{
    return true;
}

/* An APLIC that sends messages is not told when an interrupt ends; and there is no stepping. */
bool kvm_arch_lacks(visor_cap cap)
{
    return cap == VISOR_CAP_IRQFD_RESAMPLE || cap == VISOR_CAP_DEBUG;
}

int64_t kvm_arch_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap)
{
    int fd = vm != NULL ? kvm_vm_of(vm)->fd : kvm_hv_of(hv)->fd;

    return cap == VISOR_CAP_RISCV_AIA ? kvm_check(fd, KVM_CAP_IRQCHIP) > 0 : 0;
}

/* ---- the VM ---- */

int kvm_arch_vm_type(unsigned long *out, visor_vm *vm)
{
    *out = 0;
    if (vm->config.protection == VISOR_UNPROTECTED ||
        vm->config.protection == VISOR_UNPROTECTED_FIRMWARE)
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_CREATE_VM", "KVM has no protected VMs on RISC-V");
    return visor__error_hint("protection VISOR_UNPROTECTED works on every kernel");
}

int kvm_arch_vm_init(visor_vm *vm)
{
    struct kvm_riscv_vm *riscv = kvm_riscv_vm_of(vm);

    riscv->aia_fd = -1;
    if (vm->config.irqchip == VISOR_IRQCHIP_NONE || kvm_riscv_aia_exists(riscv->common.fd))
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_CREATE_DEVICE",
                 "this host has no interrupt controller for guests");
    return visor__error_hint("it takes a processor with Ssaia and Linux 6.5 or later; "
                             "VISOR_IRQCHIP_NONE works everywhere");
}

static int configure(visor_vm *vm, visor_riscv_config *config)
{
    return vm->config.irqchip == VISOR_IRQCHIP_NONE ? 0 : kvm_riscv_aia_configure(vm, config);
}

static int seal(visor_vm *vm)
{
    return vm->config.irqchip == VISOR_IRQCHIP_NONE ? 0 : kvm_riscv_aia_seal(vm);
}

static void vm_destroy(visor_vm *vm)
{
    if (kvm_riscv_vm_of(vm)->aia_fd >= 0)
        close(kvm_riscv_vm_of(vm)->aia_fd);
    kvm_vm_destroy(vm);
}

uint32_t kvm_arch_protected_cap(void)
{
    return 0;
}

int kvm_arch_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    (void)first;
    (void)count;
    visor__unsupported(vm->hv, "visor_vm_enable_hypercalls",
                       "KVM on RISC-V passes SBI calls on by extension");
    return visor__error_hint("switch the extension on in the group VISOR_RISCV_SBI");
}

/* ---- interrupts ---- */

uint32_t kvm_arch_route_chip(visor_chip chip)
{
    (void)chip; /* the only one */
    return 0;
}

uint32_t kvm_arch_irq_line(uint32_t gsi)
{
    return gsi;
}

/* Without a chip inside: KVM_INTERRUPT sets and clears (api.rst 4.16). */
static int set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool level)
{
    struct kvm_interrupt irq = {.irq = level ? KVM_INTERRUPT_SET : KVM_INTERRUPT_UNSET};
    const visor_vcpu *vcpu = vm->vcpus;

    while (vcpu->id != vcpu_id) /* the core has found it */
        vcpu = vcpu->next;
    return KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_INTERRUPT, &irq) < 0 ? visor_error_last()->code : 0;
}

/* ---- vCPUs ---- */

/* KVM lets the vCPU that was created first start at once. */
int kvm_arch_vcpu_init(visor_vcpu *vcpu)
{
    struct kvm_mp_state state = {
        .mp_state = vcpu->id == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_STOPPED,
    };

    return KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_SET_MP_STATE, &state) < 0 ? visor_error_last()->code
                                                                          : 0;
}

/* ---- the backend ---- */

const struct visor__hv_ops kvm_hv_ops = {KVM_HV_OPS_COMMON};
const struct visor__vm_ops kvm_vm_ops = {KVM_VM_OPS_COMMON, .destroy = vm_destroy, .seal = seal};
const struct visor__vcpu_ops kvm_vcpu_ops = {KVM_VCPU_OPS_COMMON};
const struct visor__irq_ops kvm_irq_ops = {
    .set_irq = kvm_set_routed_irq,
    .add_event = kvm_add_event,
    .remove_event = kvm_remove_event,
    .set_routes = kvm_set_routes,
    .send_msi = kvm_riscv_aia_send_msi,
    .get_regs = kvm_riscv_aia_get_regs,
    .set_regs = kvm_riscv_aia_set_regs,
};

static const struct visor__riscv_ops riscv_ops = {
    .configure = configure,
    .get_reg = kvm_riscv_get_reg,
    .set_reg = kvm_riscv_set_reg,
    .set_irq_input = set_irq_input,
};

const struct visor_backend visor__kvm_backend = {
    KVM_BACKEND_COMMON,
    .arches = 1u << VISOR_ARCH_RISCV64,
    .vm_size = sizeof(struct kvm_riscv_vm),
    .vcpu_size = sizeof(struct kvm_riscv_vcpu),
    .riscv = &riscv_ops,
};
