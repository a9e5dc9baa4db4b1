/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86-64 part of the KVM backend from inside. */
#ifndef VISOR_KVM_KVM_X86_H
#define VISOR_KVM_KVM_X86_H

#include "kvm/kvm.h"

/*
 * kvm_x86_64.c     the backend structure (visor__kvm_backend), interrupts, CPUID, MSRs, time
 * kvm_x86_exit.c   exits and their answers, guest debugging
 * kvm_x86_state.c  pieces of vCPU state, synced registers
 * kvm_x86_convert.c  KVM's structures and the public ones, without a kernel
 * kvm_x86_vm.c     the VM side of kvm_arch_*(), address areas, firmware
 * kvm_x86_chip.c   interrupt chips, timer and clock
 */

/* Put first in a larger structure here if the architecture needs more of its own. */
struct kvm_x86_vm {
    struct kvm_vm common;
    uint32_t events_valid; /* KVM_VCPUEVENT_VALID_... that can be set */
};

struct kvm_x86_vcpu {
    struct kvm_vcpu common;
    uint32_t io_count;  /* accesses of the string instruction that is at hand */
    uint32_t io_next;   /* the next of them to be delivered */
    bool bus_lock_told; /* a bus lock came together with the exit in the run area, which is next */
    uint64_t sync;      /* KVM_SYNC_X86_...: what the kernel can bring along with an exit */
    uint64_t current;   /* of these, the ones in the run area that are the vCPU's present state */
    /* Registers set in the run area are taken: not by a KVM_RUN that only waits to be started and
     * is interrupted, so not after one either. */
    bool settable;
    uint32_t regs_lease, sregs_lease; /* exits that still bring them along, see kvm_x86_state.c */
    uint32_t cpuid_count;             /* entries last set */
    visor_breakpoint breakpoints[4];
    size_t breakpoint_count;
};

static inline struct kvm_x86_vcpu *kvm_x86_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ---- kvm_x86_state.c ---- */

/*
 * ioctl() on a vCPU's descriptor as KVM_IOCTL(), after registers that were set in the run area have
 * reached the kernel. Everything but KVM_RUN has to go through one of these. CHANGE also forgets
 * the registers in the run area, because the kernel's may change.
 */
int kvm_x86_flush(visor_vcpu *vcpu);
int kvm_x86_ioctl(visor_vcpu *vcpu, bool change, const char *name, unsigned long request,
                  uintptr_t argument);
#define KVM_VCPU_READ(vcpu, request, pointer) \
    kvm_x86_ioctl((vcpu), false, #request, (request), (uintptr_t)(pointer))
#define KVM_VCPU_CHANGE(vcpu, request, pointer) \
    kvm_x86_ioctl((vcpu), true, #request, (request), (uintptr_t)(pointer))

/* ---- kvm_x86_64.c ---- */

/* A CPUID list of the kernel, which the caller frees, starting with room for `capacity` entries and
 * growing as needed (NULL: an error has been recorded); and its entries as public ones. */
struct kvm_cpuid2 *kvm_x86_cpuid_list(int fd, unsigned long request, const char *name,
                                      uint32_t capacity);
void kvm_x86_cpuid_copy(visor_x86_cpuid_entry *out, const struct kvm_cpuid2 *list);

/* As the members of visor__x86_ops with these names. */
int kvm_x86_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
int kvm_x86_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);

/*
 * Called once by kvm_arch_vm_init(), after the interrupt chip: switches on what vCPU state and
 * exits need VM-wide (exception payloads, triple fault events, ...), each where the kernel has it.
 */
int kvm_x86_vm_features(visor_vm *vm);

/* ---- kvm_x86_vm.c ---- */

int kvm_x86_set_identity_map(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_tss_area(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_platform_info(visor_vm *vm, bool on);

/* ---- kvm_x86_chip.c ---- */

int kvm_x86_chip_create(visor_vm *vm);
int kvm_x86_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int kvm_x86_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length);
extern const struct visor__clock_ops kvm_x86_clock_ops;

#endif
