/* SPDX-License-Identifier: BSD-3-Clause */
/* KVM's structures for x86 and the public ones, one into the other. No kernel is asked. */
#ifndef VISOR_KVM_KVM_X86_CONVERT_H
#define VISOR_KVM_KVM_X86_CONVERT_H

#include <linux/kvm.h>
#include <visor.h>

void kvm_x86_sregs_from_kvm(visor_x86_sregs *out, const struct kvm_sregs *in);
/* Leaves apic_base and interrupt_bitmap alone: they are the interrupt controller's. */
void kvm_x86_sregs_to_kvm(struct kvm_sregs *out, const visor_x86_sregs *in);
/* To an image: the rest of it, other components that is, stays as it was. */
void kvm_x86_fpu_from_xsave(visor_x86_fpu *out, const void *image);
void kvm_x86_fpu_to_xsave(void *image, const visor_x86_fpu *in);
void kvm_x86_lapic_from_kvm(visor_x86_lapic *out, const struct kvm_lapic_state *in);
void kvm_x86_lapic_to_kvm(struct kvm_lapic_state *out, const visor_x86_lapic *in);
void kvm_x86_ioapic_from_kvm(visor_x86_ioapic *out, const struct kvm_ioapic_state *in);
void kvm_x86_ioapic_to_kvm(struct kvm_ioapic_state *out, const visor_x86_ioapic *in);
void kvm_x86_pit_from_kvm(visor_x86_pit *out, const struct kvm_pit_state2 *in);
void kvm_x86_pit_to_kvm(struct kvm_pit_state2 *out, const visor_x86_pit *in);
void kvm_x86_events_from_kvm(visor_x86_events *out, const struct kvm_vcpu_events *in);
/* valid: the KVM_VCPUEVENT_VALID_... that this VM takes. */
void kvm_x86_events_to_kvm(struct kvm_vcpu_events *out, const visor_x86_events *in, uint32_t valid);

#endif
