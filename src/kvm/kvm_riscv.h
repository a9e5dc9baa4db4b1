/* SPDX-License-Identifier: BSD-3-Clause */
/* The RISC-V part of the KVM backend from inside. */
#ifndef VISOR_KVM_KVM_RISCV_H
#define VISOR_KVM_KVM_RISCV_H

#include "kvm/kvm.h"
#include "linux_kvm_riscv.h"

/*
 * kvm_riscv64.c      the backend structure (visor__kvm_backend), the VM side of kvm_arch_*(), vCPUs
 * kvm_riscv_reg.c    KVM's numbers of registers and the public ones, without a kernel
 * kvm_riscv_state.c  pieces of vCPU state, single registers
 * kvm_riscv_exit.c   exits and their answers, guest debugging
 * kvm_riscv_aia.c    the interrupt controller
 */

struct kvm_riscv_vm {
    struct kvm_vm common;
    int aia_fd; /* device; -1: there is none */
};

struct kvm_riscv_vcpu {
    struct kvm_vcpu common;
};

static inline struct kvm_riscv_vm *kvm_riscv_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

/* ---- kvm_riscv_reg.c ---- */

/* KVM's number of a register (api.rst 4.68); 0 if it has none. wide: of FP, those of 64 bits. */
uint64_t kvm_riscv_reg_to_kvm(uint32_t reg, bool wide);
/* The public number of a register of a group that is a list; 0 if it is of no such group. */
uint32_t kvm_riscv_reg_from_kvm(uint64_t id);
/* Bytes of a register. */
size_t kvm_riscv_reg_size(uint64_t id);

/* ---- kvm_riscv_state.c ---- */

/* As the members of visor__riscv_ops with these names. */
int kvm_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int kvm_riscv_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);

/* ---- kvm_riscv_aia.c: for VMs with VISOR_IRQCHIP_KERNEL ---- */

/* Whether the host has it. */
bool kvm_riscv_aia_exists(int vm_fd);
/*
 * From configure(), before vCPUs: creates the device, sets the number of its sources and
 * identities. Resolves config->id_count. EUNSUPPORTED with the host's limit in the hint for what it
 * lacks.
 */
int kvm_riscv_aia_configure(visor_vm *vm, visor_riscv_config *config);
/* From seal(): sets the addresses and completes it. */
int kvm_riscv_aia_seal(visor_vm *vm);
/* As the members of visor__irq_ops. */
int kvm_riscv_aia_send_msi(visor_vm *vm, const visor_msi *msi);
int kvm_riscv_aia_get_regs(visor_irqchip_reg *out, size_t capacity, visor_vm *vm);
int kvm_riscv_aia_set_regs(visor_vm *vm, const visor_irqchip_reg *regs, size_t count);

#endif
