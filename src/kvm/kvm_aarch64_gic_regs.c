/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which registers of a GIC are its state. "GIC" is the architecture specification of versions 3 and
 * 4 (IHI 0069), "GICv2" that of version 2 (IHI 0048); "vgic-v3.rst" and "vgic-its.rst" are the
 * kernel's Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
 */
#include "kvm/kvm_aarch64_gic.h"

#define V2   (1u << 2)
#define V3   (1u << 3)
#define BOTH (V2 | V3)

#define ICC(crm, op2) VISOR_AARCH64_SYSREG(3, 0, 12, crm, op2)
#define AP0R0         ICC(8, 4)
#define AP1R0         ICC(9, 0)
/* ICC_AP0R0_EL1 ... ICC_AP0R3_EL1, one after the other, as the other group's. */
#define APRS 4u

/* Setting and clearing registers are this far apart. */
#define PAIR .clear = 0x80

#define KIND(group_name, versions_, offset_, ...)                                                  \
    {                                                                                              \
        .group = VISOR_GIC_##group_name, .versions = (versions_), .offset = (offset_), __VA_ARGS__ \
    }
/* Registers of 32 bits: `count_` of them, the same for a vCPU, or as many as `bits_` for each SPI
 * take. */
#define SHARED(group_name, versions_, offset_, count_) \
    KIND(group_name, versions_, offset_, .step = 4, .count = (count_))
#define OF_VCPU(group_name, versions_, offset_, count_, ...)                             \
    KIND(group_name, versions_, offset_, .step = 4, .count = (count_), .per_vcpu = true, \
         __VA_ARGS__)
#define OF_SPIS(versions_, offset_, bits_, ...) \
    KIND(DISTRIBUTOR, versions_, offset_, .step = 4, .bits = (bits_), __VA_ARGS__)
/* Registers of 64 bits. */
#define SYSREG(number, count_)    KIND(CPU, V3, number, .step = 1, .count = (count_), .per_vcpu = true)
#define ITS(offset_, count_, ...) KIND(ITS, V3, offset_, .step = 8, .count = (count_), __VA_ARGS__)

/*
 * The order follows vgic-v3.rst, "GICD_IIDR before any other", and vgic-its.rst, "ITS Restore
 * Sequence". Beyond these: an interrupt that becomes pending while GICD_CTLR is off is not
 * presented when that is switched on from outside (vgic_target_oracle()), so it comes early. Where
 * the tables of LPIs are can be set only while LPIs are off, so GICR_CTLR comes after
 * GICR_PROPBASER and GICR_PENDBASER, and before the ITS, whose tables name LPIs that are pending
 * there. What an interrupt is like comes before whether it is pending. ICC_CTLR_EL1 says how many
 * active priorities there are.
 */
const struct kvm_gic_kind kvm_gic_kinds[] = {
    SHARED(DISTRIBUTOR, BOTH, 0x8, 1),   /* GICD_IIDR */
    SHARED(DISTRIBUTOR, BOTH, 0x0, 1),   /* GICD_CTLR */
    OF_VCPU(REDISTRIBUTOR, V3, 0x70, 4), /* GICR_PROPBASER, GICR_PENDBASER: two words each */

    OF_VCPU(REDISTRIBUTOR, V3, 0x10080, 1), /* GICR_IGROUPR0 */
    OF_VCPU(REDISTRIBUTOR, V3, 0x10400, 8), /* GICR_IPRIORITYR */
    OF_VCPU(REDISTRIBUTOR, V3, 0x10c00, 2), /* GICR_ICFGR */
    OF_VCPU(LEVELS, V3, 0, 1),
    OF_VCPU(REDISTRIBUTOR, V3, 0x10100, 1, PAIR), /* GICR_ISENABLER0 */
    OF_VCPU(REDISTRIBUTOR, V3, 0x10200, 1, PAIR), /* GICR_ISPENDR0 */
    OF_VCPU(REDISTRIBUTOR, V3, 0x10300, 1, PAIR), /* GICR_ISACTIVER0 */

    OF_VCPU(DISTRIBUTOR, V2, 0x80, 1),                  /* GICD_IGROUPR0, banked as the next */
    OF_VCPU(DISTRIBUTOR, V2, 0x400, 8),                 /* GICD_IPRIORITYR */
    OF_VCPU(DISTRIBUTOR, V2, 0xc00, 2),                 /* GICD_ICFGR */
    OF_VCPU(DISTRIBUTOR, V2, 0x100, 1, PAIR),           /* GICD_ISENABLER0 */
    OF_VCPU(DISTRIBUTOR, V2, 0x200, 1, PAIR),           /* GICD_ISPENDR0: clears SGIs */
    OF_VCPU(DISTRIBUTOR, V2, 0x300, 1, PAIR),           /* GICD_ISACTIVER0 */
    OF_VCPU(DISTRIBUTOR, V2, 0xf20, 4, .clear = -0x10), /* GICD_SPENDSGIR */

    OF_SPIS(BOTH, 0x80, 1),  /* GICD_IGROUPR */
    OF_SPIS(BOTH, 0x400, 8), /* GICD_IPRIORITYR */
    OF_SPIS(BOTH, 0xc00, 2), /* GICD_ICFGR */
    OF_SPIS(V2, 0x800, 8),   /* GICD_ITARGETSR */
    OF_SPIS(V3, 0x6000, 64), /* GICD_IROUTER: two words each */
    KIND(LEVELS, V3, 0, .step = 32, .bits = 1),
    OF_SPIS(BOTH, 0x100, 1, PAIR), /* GICD_ISENABLER */
    OF_SPIS(BOTH, 0x200, 1, PAIR), /* GICD_ISPENDR */
    OF_SPIS(BOTH, 0x300, 1, PAIR), /* GICD_ISACTIVER */

    SYSREG(ICC(12, 4), 1),                          /* ICC_CTLR_EL1 */
    SYSREG(VISOR_AARCH64_SYSREG(3, 0, 4, 6, 0), 1), /* ICC_PMR_EL1 */
    SYSREG(ICC(8, 3), 1),                           /* ICC_BPR0_EL1 */
    SYSREG(ICC(12, 3), 1),                          /* ICC_BPR1_EL1 */
    SYSREG(AP0R0, APRS),
    SYSREG(AP1R0, APRS),
    SYSREG(ICC(12, 5), 3),        /* ICC_SRE_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1 */
    OF_VCPU(CPU, V2, 0x0, 3),     /* GICC_CTLR, GICC_PMR, GICC_BPR */
    OF_VCPU(CPU, V2, 0x1c, 1),    /* GICC_ABPR */
    OF_VCPU(CPU, V2, 0xd0, APRS), /* GICC_APR */

    OF_VCPU(REDISTRIBUTOR, V3, 0x0, 1), /* GICR_CTLR */

    ITS(0x4, 1),                       /* GITS_IIDR */
    ITS(0x80, 1),                      /* GITS_CBASER: resets GITS_CREADR */
    ITS(0x88, 2),                      /* GITS_CWRITER, GITS_CREADR */
    ITS(0x100, 8),                     /* GITS_BASER */
    ITS(0x0, 1, .after_tables = true), /* GITS_CTLR */
};
const size_t kvm_gic_kind_count = sizeof(kvm_gic_kinds) / sizeof(kvm_gic_kinds[0]);

uint32_t kvm_gic_count(const struct kvm_gic_kind *kind, const struct kvm_gic_shape *shape)
{
    if ((kind->versions >> shape->version & 1) == 0 ||
        (kind->group == VISOR_GIC_ITS && !shape->has_its))
        return 0;
    return kind->bits != 0 ? (shape->spi_count * kind->bits + 31) / 32 : kind->count;
}

uint64_t kvm_gic_offset(const struct kvm_gic_kind *kind, uint32_t n)
{
    /* A register of 32 bits holds 32 / bits interrupts, so those of INTIDs below 32 are `bits`. */
    return kind->offset + (uint64_t)(kind->bits + n) * kind->step;
}

const struct kvm_gic_kind *kvm_gic_find(const visor_irqchip_reg *reg,
                                        const struct kvm_gic_shape *shape)
{
    for (size_t i = 0; i < kvm_gic_kind_count; i++) {
        const struct kvm_gic_kind *kind = &kvm_gic_kinds[i];
        uint64_t from = reg->offset - kvm_gic_offset(kind, 0);

        if (kind->group == reg->group && from % kind->step == 0 &&
            from / kind->step < kvm_gic_count(kind, shape) && (kind->per_vcpu || reg->vcpu == 0))
            return kind;
    }
    return NULL;
}

bool kvm_gic_is_active_priority(const visor_irqchip_reg *reg, uint32_t version, unsigned *n)
{
    if (version != 3 || reg->group != VISOR_GIC_CPU)
        return false;
    *n = reg->offset & (APRS - 1); /* both begin at a multiple */
    return reg->offset - *n == AP0R0 || reg->offset - *n == AP1R0;
}

/* ICC_CTLR_EL1.PRIbits, less one, in bits 10:8; the registers of 5 bits or less are one, of 6 two
 * (GIC, 12.2.3 and 12.2.5). */
unsigned kvm_gic_active_priorities(uint64_t icc_ctlr)
{
    unsigned bits = (icc_ctlr >> 8 & 7) + 1;

    return bits <= 5 ? 1 : 1u << (bits < 7 ? bits - 5 : 2);
}

/* MPIDR_EL1 has Aff3 in bits 39:32 and the others in 23:0; the attribute has all four in order. */
uint64_t kvm_gic_affinity(uint64_t mpidr)
{
    return (mpidr >> 32 & 0xff) << 56 | (mpidr & 0xffffff) << 32;
}

uint64_t kvm_gic_index(uint32_t index)
{
    return (uint64_t)index << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
}

void kvm_gic_attr(struct kvm_device_attr *out, const visor_irqchip_reg *reg, uint32_t version,
                  uint64_t vcpu)
{
    static const uint32_t groups[] = {
        [VISOR_GIC_DISTRIBUTOR] = KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
        [VISOR_GIC_REDISTRIBUTOR] = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
        [VISOR_GIC_CPU] = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
        [VISOR_GIC_LEVELS] = KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
        [VISOR_GIC_ITS] = KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
    };

    *out = (struct kvm_device_attr){.group = groups[reg->group], .attr = reg->offset};
    if (version == 2 && reg->group == VISOR_GIC_CPU)
        out->group = KVM_DEV_ARM_VGIC_GRP_CPU_REGS;
    if (reg->group == VISOR_GIC_LEVELS)
        out->attr |= VGIC_LEVEL_INFO_LINE_LEVEL << KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
    if (reg->group != VISOR_GIC_ITS)
        out->attr |= vcpu;
}

bool kvm_gic_is_wide(uint32_t group, uint32_t version)
{
    return group == VISOR_GIC_ITS || (group == VISOR_GIC_CPU && version == 3);
}

uint32_t kvm_gic_line(uint32_t type, uint32_t index, uint32_t number)
{
    return (index >> 8 & KVM_ARM_IRQ_VCPU2_MASK) << KVM_ARM_IRQ_VCPU2_SHIFT |
           type << KVM_ARM_IRQ_TYPE_SHIFT |
           (index & KVM_ARM_IRQ_VCPU_MASK) << KVM_ARM_IRQ_VCPU_SHIFT | number;
}
