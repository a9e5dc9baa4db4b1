/* SPDX-License-Identifier: BSD-3-Clause */
/* The AArch64 part of the KVM backend from inside. */
#ifndef VISOR_KVM_KVM_AARCH64_H
#define VISOR_KVM_KVM_AARCH64_H

#include "assist/aarch64.h"
#include "kvm/kvm.h"

/*
 * kvm_aarch64.c        the backend structure (visor__kvm_backend), the VM side of kvm_arch_*()
 * kvm_aarch64_vcpu.c   what the VM has: configure(), features and initialization of vCPUs, seal()
 * kvm_aarch64_state.c  pieces of vCPU state, single registers
 * kvm_aarch64_vector.c  vectors, SVE
 * kvm_aarch64_reg.c    KVM's numbers of registers and the public ones, without a kernel
 * kvm_aarch64_exit.c   exits and their answers
 * kvm_aarch64_debug.c  guest debugging
 * kvm_aarch64_gic.c    the interrupt controller: choosing and creating it, lines
 * kvm_aarch64_gic_state.c  saving and restoring it
 * kvm_aarch64_gic_regs.c   which registers that are, and KVM's names of them, without a kernel
 */

#define KVM_AARCH64_BREAKPOINTS 16 /* the architecture's most, of each of the two kinds */

struct kvm_aarch64_vm {
    struct kvm_vm common;
    int gic_fd, its_fd; /* devices; -1: there is none */
};

struct kvm_aarch64_vcpu {
    struct kvm_vcpu common;
    struct kvm_vcpu_init init;       /* what the vCPU was made with, for its reset */
    struct visor__a64_assist assist; /* an access without a syndrome, under way */
    uint32_t zva_length;             /* bytes that DC ZVA clears */
    visor_breakpoint breakpoints[2 * KVM_AARCH64_BREAKPOINTS];
    size_t breakpoint_count;
};

static inline struct kvm_aarch64_vm *kvm_aarch64_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct kvm_aarch64_vcpu *kvm_aarch64_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ---- kvm_aarch64_reg.c ---- */

/* KVM's number of a register that the core has checked. */
uint64_t kvm_aarch64_reg_to_kvm(uint32_t reg);
/* The public number; false if there is none (vectors, SVE, what is not known here). */
bool kvm_aarch64_reg_from_kvm(uint32_t *out, uint64_t id);
/* KVM's number of V0 to V31 of a vCPU without SVE. */
uint64_t kvm_aarch64_vector_to_kvm(unsigned n);
/* A register's name for people. Returns out. */
#define KVM_AARCH64_REG_NAME 32
const char *kvm_aarch64_reg_name(char out[KVM_AARCH64_REG_NAME], uint32_t reg);

/* ---- kvm_aarch64_state.c ---- */

/* KVM_GET_ONE_REG or KVM_SET_ONE_REG with KVM's number; 0 or -errno. */
int kvm_aarch64_one_reg(visor_vcpu *vcpu, unsigned long request, uint64_t id, void *value);
/* As the members of visor__aarch64_ops with these names. */
int kvm_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int kvm_aarch64_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
/* The same, amid an access or a hypercall that has not been completed. */
int kvm_aarch64_put_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);

/* ---- kvm_aarch64_vector.c: likewise ---- */

int kvm_aarch64_get_vector(uint64_t out[2], visor_vcpu *vcpu, unsigned n);
int kvm_aarch64_set_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2]);
int kvm_aarch64_put_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2]);
/* Pieces of state: the structure of V registers, the image of SVE's. */
int kvm_aarch64_get_fpsimd(void *buf, visor_vcpu *vcpu);
int kvm_aarch64_set_fpsimd(visor_vcpu *vcpu, const void *buf);
int kvm_aarch64_get_sve(void *buf, size_t capacity, visor_vcpu *vcpu);
int kvm_aarch64_set_sve(visor_vcpu *vcpu, const void *buf, size_t length);

/* ---- kvm_aarch64_exit.c ---- */

/* Before the vCPU's state is set: completes what has been answered. */
int kvm_aarch64_complete(visor_vcpu *vcpu, bool moves_pc);
/* Takes an access back that has not been completed: the vCPU is at its instruction again. */
int kvm_aarch64_abandon(visor_vcpu *vcpu);

/* ---- kvm_aarch64_vcpu.c ---- */

/* As the member of visor__aarch64_ops, visor__vm_ops and visor__vcpu_ops with this name. */
int kvm_aarch64_configure(visor_vm *vm, visor_aarch64_config *config);
int kvm_aarch64_seal(visor_vm *vm);
int kvm_aarch64_reset(visor_vcpu *vcpu);
/* The capabilities of vCPUs; vm is NULL when the host is asked. */
int64_t kvm_aarch64_vcpu_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap);
/* Width of the addresses of this VM in bits; of those that the host can give one, if vm is NULL. */
int64_t kvm_aarch64_ipa_bits(visor_hypervisor *hv, visor_vm *vm);

/* ---- kvm_aarch64_debug.c ---- */

/* Fills in vcpu->exit for KVM_EXIT_DEBUG. */
int kvm_aarch64_debug_exit(visor_vcpu *vcpu);

/* ---- kvm_aarch64_gic.c: for VMs with VISOR_IRQCHIP_KERNEL ---- */

/*
 * From configure(), before vCPUs: picks the version, creates the devices, sets their addresses and
 * the number of SPIs. Resolves config->gic_version and config->its. EUNSUPPORTED with the
 * alternatives in the hint for what the host lacks.
 */
int kvm_aarch64_gic_configure(visor_vm *vm, visor_aarch64_config *config);
/* From seal(): completes the GIC, then its ITS. */
int kvm_aarch64_gic_seal(visor_vm *vm);
/* Closes the devices, if there are any. */
void kvm_aarch64_gic_destroy(visor_vm *vm);
/* An input of a vCPU, KVM_ARM_IRQ_TYPE_PPI or CPU, the latter without a GIC inside, too. VM lock.
 */
int kvm_aarch64_set_line(visor_vm *vm, uint32_t type, uint32_t vcpu_id, uint32_t number,
                         bool level);
/*
 * KVM names some things of a vCPU by the order of creation up to Linux 6.6, by its id from then on:
 * EUNSUPPORTED if these differ. VM lock.
 */
int kvm_aarch64_gic_check_index(const visor_vm *vm, uint32_t vcpu_id, const char *operation);
/* kvm_aarch64_gic_state.c: as the members of visor__irq_ops. */
int kvm_aarch64_gic_get_regs(visor_irqchip_reg *out, size_t capacity, visor_vm *vm);
int kvm_aarch64_gic_set_regs(visor_vm *vm, const visor_irqchip_reg *regs, size_t count);
/* VISOR_CAP_AARCH64_GIC_V2, GIC_V3, ITS; vm is NULL when the host is asked. */
int64_t kvm_aarch64_gic_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap);

#endif
