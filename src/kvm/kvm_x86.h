/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86-64 part of the KVM backend from inside. */
#ifndef VISOR_KVM_KVM_X86_H
#define VISOR_KVM_KVM_X86_H

#include "kvm/kvm.h"

/*
 * kvm_x86_64.c     the backend structure (visor__kvm_backend), interrupts, MSRs, CPUID
 * kvm_x86_state.c  pieces of vCPU state
 * kvm_x86_vm.c     the VM side of kvm_arch_*(), address areas, firmware
 * kvm_x86_chip.c   interrupt chips, timer and clock
 */

/* Put first in a larger structure here if the architecture needs more of its own. */
struct kvm_x86_vm {
    struct kvm_vm common;
};

/* ---- kvm_x86_64.c ---- */

/*
 * Called once by kvm_arch_vm_init(), after the interrupt chip: switches on what vCPU state and
 * exits need VM-wide (exception payloads, triple fault events, ...), each where the kernel has it.
 */
int kvm_x86_vm_features(visor_vm *vm);

/* ---- kvm_x86_vm.c ---- */

int kvm_x86_set_identity_map(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_tss_area(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_platform_info(visor_vm *vm, bool on);
int kvm_x86_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);

/* ---- kvm_x86_chip.c ---- */

int kvm_x86_chip_create(visor_vm *vm);
int kvm_x86_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int kvm_x86_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length);
extern const struct visor__clock_ops kvm_x86_clock_ops;

#endif
