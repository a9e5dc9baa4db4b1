/* SPDX-License-Identifier: BSD-3-Clause */
/* The registers of a GIC that make up its state, and KVM's names of them. Needs no kernel. */
#ifndef VISOR_KVM_KVM_AARCH64_GIC_H
#define VISOR_KVM_KVM_AARCH64_GIC_H

#include <linux/kvm.h>

#include "core/backend.h"

/* What a VM's GIC is like. */
struct kvm_gic_shape {
    uint32_t version; /* 2 or 3 */
    uint32_t spi_count;
    bool has_its;
};

/* Registers of one kind, side by side. */
struct kvm_gic_kind {
    uint8_t group;    /* enum visor_aarch64_gic_group */
    uint8_t versions; /* bit n: a GIC of version n has them */
    bool per_vcpu;
    uint32_t offset; /* of the first; if bits: of the one that holds INTID 0 */
    uint32_t step;   /* from one to the next */
    uint32_t count;  /* how many; 0: as many as hold `bits` for each SPI */
    uint32_t bits;
    int32_t clear;     /* if not 0: writing sets bits only; this far away is what clears them */
    bool after_tables; /* the tables of the ITS come first */
};
/* All kinds, in the order in which they have to be restored. */
extern const struct kvm_gic_kind kvm_gic_kinds[];
extern const size_t kvm_gic_kind_count;

/* How many registers of a kind there are, for each vCPU or in all; 0: the GIC has none of them. */
uint32_t kvm_gic_count(const struct kvm_gic_kind *kind, const struct kvm_gic_shape *shape);
/* The offset of register n of a kind. */
uint64_t kvm_gic_offset(const struct kvm_gic_kind *kind, uint32_t n);
/* The kind of a register; NULL: no such register in a GIC of this shape. */
const struct kvm_gic_kind *kvm_gic_find(const visor_irqchip_reg *reg,
                                        const struct kvm_gic_shape *shape);
/* Whether it is one of a GICv3's active priorities, and which: how many there are of each group is
 * told by ICC_CTLR_EL1. */
bool kvm_gic_is_active_priority(const visor_irqchip_reg *reg, uint32_t version, unsigned *n);
unsigned kvm_gic_active_priorities(uint64_t icc_ctlr);

/*
 * How KVM's GIC names a vCPU in the upper half of an attribute: version 3 by its affinities,
 * version 2 by its index.
 */
uint64_t kvm_gic_affinity(uint64_t mpidr);
uint64_t kvm_gic_index(uint32_t index);
/* Fills in group and attr for a register that kvm_gic_find() has found. */
void kvm_gic_attr(struct kvm_device_attr *out, const visor_irqchip_reg *reg, uint32_t version,
                  uint64_t vcpu);
/* Whether KVM gives and takes 64 bits of this group; else 32. */
bool kvm_gic_is_wide(uint32_t group, uint32_t version);

/* What KVM_IRQ_LINE calls a line (api.rst 4.25): KVM_ARM_IRQ_TYPE_..., the vCPU's index or 0, and
 * the INTID or KVM_ARM_IRQ_CPU_... */
uint32_t kvm_gic_line(uint32_t type, uint32_t index, uint32_t number);

#endif
