/* SPDX-License-Identifier: BSD-3-Clause */
/* Which registers are a GIC's state, in which order, and what KVM calls them. Offsets are those of
 * the GIC specification (IHI 0069, chapter 12), attributes those of the kernel's
 * Documentation/virt/kvm/devices/arm-vgic*.rst. */
#include "unit.h"

#include "kvm/kvm_aarch64_gic.h"

static const struct kvm_gic_shape v2 = {.version = 2, .spi_count = 64};
static const struct kvm_gic_shape v3 = {.version = 3, .spi_count = 64};
static const struct kvm_gic_shape v3_its = {.version = 3, .spi_count = 64, .has_its = true};

static const struct kvm_gic_kind *find(const struct kvm_gic_shape *shape, uint32_t group,
                                       uint64_t offset, uint32_t vcpu)
{
    return kvm_gic_find(&(visor_irqchip_reg){.group = group, .offset = offset, .vcpu = vcpu},
                        shape);
}

/* The place of a register in the order of restoring; -1: the GIC does not have it. */
static int place(const struct kvm_gic_shape *shape, uint32_t group, uint64_t offset)
{
    const struct kvm_gic_kind *kind = find(shape, group, offset, 0);

    return kind != NULL ? (int)(kind - kvm_gic_kinds) : -1;
}

static unsigned all_registers(const struct kvm_gic_shape *shape, uint32_t group)
{
    unsigned count = 0;

    for (size_t i = 0; i < kvm_gic_kind_count; i++) {
        if (kvm_gic_kinds[i].group == group)
            count += kvm_gic_count(&kvm_gic_kinds[i], shape);
    }
    return count;
}

TEST(every_register_is_found_as_what_it_is)
{
    const struct kvm_gic_shape *const shapes[] = {&v2, &v3, &v3_its};

    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        for (size_t i = 0; i < kvm_gic_kind_count; i++) {
            const struct kvm_gic_kind *kind = &kvm_gic_kinds[i];

            for (uint32_t n = 0; n < kvm_gic_count(kind, shapes[s]); n++)
                CHECK(find(shapes[s], kind->group, kvm_gic_offset(kind, n), 0) == kind);
        }
    }
}

TEST(as_many_as_the_interrupts_need)
{
    /* For 64 SPIs: CTLR, IIDR; two words each of groups, enabled, pending, active; 16 of
     * priorities, 4 of configuration; two for each route. */
    CHECK_INT(all_registers(&v3, VISOR_GIC_DISTRIBUTOR), 2 + 4 * 2 + 16 + 4 + 2 * 64);
    CHECK_INT(all_registers(&v3, VISOR_GIC_REDISTRIBUTOR), 1 + 4 + 4 + 8 + 2);
    CHECK_INT(all_registers(&v3, VISOR_GIC_LEVELS), 1 + 2);
    CHECK_INT(all_registers(&v3, VISOR_GIC_CPU), 4 + 2 * 4 + 3);
    CHECK_INT(all_registers(&v3, VISOR_GIC_ITS), 0);
    CHECK_INT(all_registers(&v3_its, VISOR_GIC_ITS), 2 + 3 + 8);
    /* Banked ones of GICv2, with SGIs by sender, and targets instead of routes. */
    CHECK_INT(all_registers(&v2, VISOR_GIC_DISTRIBUTOR), 2 + 4 * 3 + 8 + 16 + 2 + 4 + 4 + 16);
    CHECK_INT(all_registers(&v2, VISOR_GIC_CPU), 3 + 1 + 4);
    CHECK_INT(all_registers(&v2, VISOR_GIC_REDISTRIBUTOR), 0);
}

TEST(what_belongs_to_spis_begins_behind_the_private_interrupts)
{
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x100), -1); /* GICD_ISENABLER0 */
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x104) >= 0);
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x108) >= 0);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x10c), -1); /* INTIDs from 96 on */
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x41c), -1);
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x420) >= 0);
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x45c) >= 0);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x460), -1);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x60fc), -1);
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x6100) >= 0);
    CHECK(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x62fc) >= 0);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x6300), -1);
    CHECK(place(&v3, VISOR_GIC_LEVELS, 64) >= 0);
    CHECK_INT(place(&v3, VISOR_GIC_LEVELS, 96), -1);
    CHECK(place(&v2, VISOR_GIC_DISTRIBUTOR, 0x100) >= 0); /* banked */
}

TEST(what_is_no_state_is_refused)
{
    CHECK_INT(place(&v3, 0, 0), -1);
    CHECK_INT(place(&v3, 6, 0), -1);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x2), -1);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x4), -1);   /* GICD_TYPER */
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x184), -1); /* GICD_ICENABLER1 */
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x820), -1); /* GICD_ITARGETSR8 is GICv2's */
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, UINT64_MAX - 3), -1);
    CHECK_INT(place(&v3, VISOR_GIC_DISTRIBUTOR, 0x100000100), -1);
    CHECK_INT(place(&v3, VISOR_GIC_CPU, VISOR_AARCH64_SYSREG(3, 0, 12, 12, 0)), -1); /* IAR1 */
    CHECK_INT(place(&v3, VISOR_GIC_ITS, 0x80), -1);
    CHECK_INT(place(&v3_its, VISOR_GIC_ITS, 0x8), -1); /* GITS_TYPER */
    CHECK_INT(place(&v3_its, VISOR_GIC_ITS, 0x84), -1);
    CHECK_INT(place(&v2, VISOR_GIC_LEVELS, 0), -1);
    /* The other vCPUs' of what is not a vCPU's. */
    CHECK(find(&v3, VISOR_GIC_DISTRIBUTOR, 0x104, 1) == NULL);
    CHECK(find(&v3, VISOR_GIC_LEVELS, 32, 1) == NULL);
    CHECK(find(&v3, VISOR_GIC_LEVELS, 0, 1) != NULL);
    CHECK(find(&v2, VISOR_GIC_DISTRIBUTOR, 0x100, 1) != NULL);
}

TEST(the_order_is_the_kernels)
{
    const struct kvm_gic_shape *s = &v3_its;
    const int iidr = place(s, VISOR_GIC_DISTRIBUTOR, 0x8);
    const int lpis = place(s, VISOR_GIC_REDISTRIBUTOR, 0x0);
    const int commands = place(s, VISOR_GIC_ITS, 0x80), its = place(s, VISOR_GIC_ITS, 0x0);

    CHECK_INT(iidr, 0);
    CHECK_INT(place(&v2, VISOR_GIC_DISTRIBUTOR, 0x8), 0);
    CHECK(place(s, VISOR_GIC_REDISTRIBUTOR, 0x74) < lpis); /* GICR_PROPBASER */
    CHECK(place(s, VISOR_GIC_REDISTRIBUTOR, 0x7c) < lpis); /* GICR_PENDBASER */
    CHECK(lpis < commands);
    CHECK(place(s, VISOR_GIC_REDISTRIBUTOR, 0x10300) < commands);
    CHECK(commands < place(s, VISOR_GIC_ITS, 0x90)); /* GITS_CREADR */
    CHECK(place(s, VISOR_GIC_ITS, 0x4) < its);
    CHECK(place(s, VISOR_GIC_ITS, 0x88) < its);
    CHECK(place(s, VISOR_GIC_ITS, 0x90) < its);
    CHECK(place(s, VISOR_GIC_ITS, 0x138) < its);
    /* The tables are read once, just before the ITS is switched on. */
    for (size_t i = 0; i < kvm_gic_kind_count; i++)
        CHECK_INT(kvm_gic_kinds[i].after_tables, (int)i == its);
    CHECK_INT(its, kvm_gic_kind_count - 1);
    /* What becomes pending while the distributor is off stays unseen. */
    CHECK(place(s, VISOR_GIC_DISTRIBUTOR, 0x0) < place(s, VISOR_GIC_REDISTRIBUTOR, 0x10200));
    CHECK(place(s, VISOR_GIC_DISTRIBUTOR, 0x0) < place(s, VISOR_GIC_DISTRIBUTOR, 0x204));
    CHECK(place(s, VISOR_GIC_DISTRIBUTOR, 0x0) < place(s, VISOR_GIC_LEVELS, 0));
    /* How many active priorities there are before these. */
    CHECK(place(s, VISOR_GIC_CPU, VISOR_AARCH64_SYSREG(3, 0, 12, 12, 4)) <
          place(s, VISOR_GIC_CPU, VISOR_AARCH64_SYSREG(3, 0, 12, 8, 4)));
    /* Edge or level before pending or not. */
    CHECK(place(s, VISOR_GIC_DISTRIBUTOR, 0xc08) < place(s, VISOR_GIC_DISTRIBUTOR, 0x204));
    CHECK(place(s, VISOR_GIC_LEVELS, 32) < place(s, VISOR_GIC_DISTRIBUTOR, 0x204));
    CHECK(place(s, VISOR_GIC_REDISTRIBUTOR, 0x10c00) < place(s, VISOR_GIC_REDISTRIBUTOR, 0x10200));
}

TEST(bits_that_are_set_only_have_what_clears_them)
{
    CHECK_INT(find(&v3, VISOR_GIC_DISTRIBUTOR, 0x104, 0)->clear, 0x80);
    CHECK_INT(find(&v3, VISOR_GIC_DISTRIBUTOR, 0x208, 0)->clear, 0x80);
    CHECK_INT(find(&v3, VISOR_GIC_DISTRIBUTOR, 0x304, 0)->clear, 0x80);
    CHECK_INT(find(&v3, VISOR_GIC_REDISTRIBUTOR, 0x10100, 0)->clear, 0x80);
    CHECK_INT(find(&v2, VISOR_GIC_DISTRIBUTOR, 0xf2c, 0)->clear, -0x10); /* GICD_CPENDSGIR */
    CHECK_INT(find(&v3, VISOR_GIC_DISTRIBUTOR, 0x84, 0)->clear, 0);
    CHECK_INT(find(&v3, VISOR_GIC_DISTRIBUTOR, 0xc08, 0)->clear, 0);
}

TEST(active_priorities_follow_the_bits)
{
    const unsigned expected[8] = {1, 1, 1, 1, 1, 2, 4, 4}; /* of 1 to 8 bits */
    visor_irqchip_reg reg = {.group = VISOR_GIC_CPU};
    unsigned n = 9;

    for (uint64_t i = 0; i < 8; i++)
        CHECK_INT(kvm_gic_active_priorities(0xfffff8ff | i << 8), expected[i]);
    reg.offset = VISOR_AARCH64_SYSREG(3, 0, 12, 8, 7);
    CHECK(kvm_gic_is_active_priority(&reg, 3, &n));
    CHECK_INT(n, 3);
    reg.offset = VISOR_AARCH64_SYSREG(3, 0, 12, 9, 0);
    CHECK(kvm_gic_is_active_priority(&reg, 3, &n));
    CHECK_INT(n, 0);
    CHECK(!kvm_gic_is_active_priority(&reg, 2, &n));
    reg.offset = VISOR_AARCH64_SYSREG(3, 0, 12, 8, 3); /* ICC_BPR0_EL1 */
    CHECK(!kvm_gic_is_active_priority(&reg, 3, &n));
    reg.offset = VISOR_AARCH64_SYSREG(3, 0, 12, 12, 4);
    CHECK(!kvm_gic_is_active_priority(&reg, 3, &n));
}

static struct kvm_device_attr attr(uint32_t group, uint64_t offset, uint32_t version, uint64_t vcpu)
{
    struct kvm_device_attr out;

    kvm_gic_attr(&out, &(visor_irqchip_reg){.group = group, .offset = offset}, version, vcpu);
    return out;
}

TEST(attributes)
{
    /* Aff3 0x44 in bits 39:32, Aff2 to Aff0 0x030201, and the bits between them that are none. */
    const uint64_t vcpu = kvm_gic_affinity(0xffffff44c1030201);
    struct kvm_device_attr a;

    CHECK_INT(vcpu, 0x4403020100000000);
    a = attr(VISOR_GIC_REDISTRIBUTOR, 0x10080, 3, vcpu);
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS);
    CHECK_INT(a.attr, 0x4403020100010080);
    a = attr(VISOR_GIC_CPU, VISOR_AARCH64_SYSREG(3, 0, 4, 6, 0), 3, vcpu);
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS);
    CHECK_INT(a.attr, 0x440302010000c230);
    a = attr(VISOR_GIC_LEVELS, 64, 3, vcpu);
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO);
    CHECK_INT(a.attr, 0x4403020100000040);
    a = attr(VISOR_GIC_ITS, 0x88, 3, vcpu);
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_ITS_REGS);
    CHECK_INT(a.attr, 0x88);
    a = attr(VISOR_GIC_DISTRIBUTOR, 0x100, 2, kvm_gic_index(3));
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_DIST_REGS);
    CHECK_INT(a.attr, 0x300000100);
    a = attr(VISOR_GIC_CPU, 0x4, 2, kvm_gic_index(7));
    CHECK_INT(a.group, KVM_DEV_ARM_VGIC_GRP_CPU_REGS);
    CHECK_INT(a.attr, 0x700000004);
    CHECK(kvm_gic_is_wide(VISOR_GIC_ITS, 3));
    CHECK(kvm_gic_is_wide(VISOR_GIC_CPU, 3));
    CHECK(!kvm_gic_is_wide(VISOR_GIC_CPU, 2));
    CHECK(!kvm_gic_is_wide(VISOR_GIC_DISTRIBUTOR, 3));
}

TEST(lines)
{
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_SPI, 0, 32), 0x01000020);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_SPI, 0, 991), 0x010003df);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_PPI, 0, 29), 0x0200001d);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_PPI, 5, 16), 0x02050010);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_PPI, 255, 31), 0x02ff001f);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_PPI, 256, 16), 0x12000010);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_PPI, 511, 23), 0x12ff0017);
    CHECK_INT(kvm_gic_line(KVM_ARM_IRQ_TYPE_CPU, 2, KVM_ARM_IRQ_CPU_FIQ), 0x00020001);
}

UNIT_MAIN()
