/* SPDX-License-Identifier: BSD-3-Clause */
/* The x86-64 part of the KVM backend from inside. */
#ifndef VISOR_KVM_KVM_X86_H
#define VISOR_KVM_KVM_X86_H

#include "kvm/kvm.h"

/* ---- kvm_x86_irqchip.c: interrupt chips, clock and address areas of a VM ---- */

int kvm_x86_irqchip_create(visor_vm *vm);
int kvm_x86_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int kvm_x86_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length);
int kvm_x86_set_identity_map(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_tss_area(visor_vm *vm, uint64_t gpa);
int kvm_x86_set_platform_info(visor_vm *vm, bool on);
int kvm_x86_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);
extern const struct visor__clock_ops kvm_x86_clock_ops;

#endif
