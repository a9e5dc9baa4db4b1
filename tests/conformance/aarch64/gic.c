/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses and bits: GIC architecture specification (IHI 0069), chapters 12 and 5. */
#include "gic.h"

/* Where the tables are, each 64 KiB aligned as KVM's ITS wants it. */
#define PENDING(vcpu) (ARM_ROOM + 0x10000u * (vcpu)) /* of up to two vCPUs */
#define PROPERTIES    GIC_PROPERTIES
#define DEVICES       (ARM_ROOM + 0x30000u)
#define COLLECTIONS   (ARM_ROOM + 0x40000u)
#define TRANSLATIONS  (ARM_ROOM + 0x50000u)
#define COMMANDS      (ARM_ROOM + 0x60000u)
#define WRITES        (ARM_ROOM + 0x70000u) /* a page for each vCPU */
#define LPI_BITS      14u                   /* INTIDs up to 16383 */

#define GITS_TRANSLATER 0x10040u

const struct guest_line guest_edge = {.gsi = 4, .number = GIC_SPI_INTID + 4};
const struct guest_line guest_level = {.gsi = 5, .number = GIC_SPI_INTID + 5};

/* x0: the list of writes, x1: where to go on. */
#define WRITES_OF_LIST                                         \
    "1: ldp x3, x4, [x0]; ldr x5, [x0, #16]; add x0, x0, #24;" \
    "cbz x3, 4f; cmp x5, #8; b.eq 3f; str w4, [x3]; b 1b;"     \
    "3: str x4, [x3]; b 1b; 4:"
#define GO_ON "movz x9, #0xbf00, lsl #16; str xzr, [x9]; msr daifclr, #2; br x1"
VISOR_GUEST_ASM(take_interrupts,
                WRITES_OF_LIST "mov x3, #7; msr s3_0_c12_c12_5, x3;"       /* ICC_SRE_EL1 */
                               "isb; mov x3, #0xff; msr s3_0_c4_c6_0, x3;" /* ICC_PMR_EL1 */
                               "mov x3, #1; msr s3_0_c12_c12_7, x3; isb;"  /* ICC_IGRPEN1_EL1 */
                GO_ON);
VISOR_GUEST_ASM(wait_for_ever, "1: wfi; b 1b");
VISOR_GUEST_ASM(tell_number, GIC_ACKNOWLEDGE GIC_END);

/* With a GICv2 the CPU interface is among the writes, and GICC_IAR and GICC_EOIR in memory. */
VISOR_GUEST_ASM(take_interrupts_v2, WRITES_OF_LIST GO_ON);
VISOR_GUEST_ASM(tell_number_v2, "movz x22, #0x3ffd, lsl #16; ldr w20, [x22, #12];"
                                "movz x21, #0xbf00, lsl #16; str x20, [x21];"
                                "str w20, [x22, #16]; eret");

void gic_write(struct gic_writes *writes, unsigned width, uint64_t address, uint64_t value)
{
    CHECK(writes->count < sizeof(writes->list) / sizeof(writes->list[0]) - 1);
    writes->list[writes->count].address = address;
    writes->list[writes->count].value = value;
    writes->list[writes->count++].width = width;
}

visor_aarch64_config gic_config(struct guest *g)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    CHECK_OK(visor_aarch64_get_config(&config, g->vm));
    return config;
}

uint32_t gic_command(struct guest *g, unsigned n, uint64_t dw0, uint64_t dw1, uint64_t dw2)
{
    const uint64_t words[4] = {dw0, dw1, dw2, 0};

    put(g, COMMANDS + n * sizeof(words), words, sizeof(words));
    return (uint32_t)((n + 1) * sizeof(words));
}

/* Four LPIs, to vCPU 0: events 0 to 3 of the device. */
static void add_its(struct gic_writes *writes, struct guest *g, const visor_aarch64_config *config,
                    unsigned vcpus)
{
    const uint64_t its = config->gic_its_gpa, valid = 1ull << 63;
    const uint64_t device = (uint64_t)GIC_DEVICE << 32;
    unsigned n = 0, end;

    for (unsigned i = 0; i < GUEST_MESSAGES; i++)
        poke(g, PROPERTIES + i, 0xa1, 1); /* priority 0xa0, enabled */
    for (unsigned i = 0; i < vcpus; i++) {
        const uint64_t rd = config->gic_redistributor_gpa + GIC_REDISTRIBUTORS * i;

        gic_write(writes, 8, rd + 0x70, PROPERTIES | (LPI_BITS - 1)); /* GICR_PROPBASER */
        gic_write(writes, 8, rd + 0x78, PENDING(i) | 1ull << 62);     /* GICR_PENDBASER: zeros */
        gic_write(writes, 4, rd, 1);                                  /* GICR_CTLR: LPIs */
    }
    gic_command(g, n++, 0x08 | device, 4, valid | TRANSLATIONS); /* MAPD, 5 bits */
    gic_command(g, n++, 0x09, 0, valid);                         /* MAPC: collection 0 to vCPU 0 */
    for (unsigned i = 0; i < GUEST_MESSAGES; i++)                /* MAPTI */
        gic_command(g, n++, 0x0a | device, i | (uint64_t)(GIC_LPI_INTID + i) << 32, 0);
    gic_command(g, n++, 0x0d, 0, 0);       /* INVALL */
    end = gic_command(g, n++, 0x05, 0, 0); /* SYNC */
    CHECK_EQ(n, GIC_COMMANDS);
    gic_write(writes, 8, its + 0x100, DEVICES | valid);     /* GITS_BASER0: one page of 64 KiB */
    gic_write(writes, 8, its + 0x108, COLLECTIONS | valid); /* GITS_BASER1 */
    gic_write(writes, 8, its + 0x80, COMMANDS | valid);     /* GITS_CBASER: 4 KiB */
    gic_write(writes, 4, its, 1);                           /* GITS_CTLR: on */
    gic_write(writes, 8, its + GIC_CWRITER, end);
}

void gic_move_event(struct gic_writes *writes, struct guest *g, unsigned event)
{
    uint32_t end;

    /* MAPC: collection 1 to processor 1; MOVI. */
    gic_command(g, GIC_COMMANDS, 0x09, 0, 1ull << 63 | 1u << 16 | 1);
    end = gic_command(g, GIC_COMMANDS + 1, 0x01 | (uint64_t)GIC_DEVICE << 32, event, 1);
    gic_write(writes, 8, gic_config(g).gic_its_gpa + GIC_CWRITER, end);
}

/* What gic_common() says, of a GICv2 and for vCPU 0. */
static void add_v2(struct gic_writes *writes, const visor_aarch64_config *config)
{
    const uint64_t dist = config->gic_distributor_gpa;

    CHECK_EQ(config->gic_cpu_gpa, 0x3ffd0000u);     /* the handler's address */
    gic_write(writes, 4, dist, 1);                  /* GICD_CTLR: group 0 */
    gic_write(writes, 4, dist + 0xc08, 2u << 8);    /* GICD_ICFGR2: 36 is an edge, 37 a level */
    gic_write(writes, 4, dist + 0x424, 0xa0a0a0a0); /* GICD_IPRIORITYR: of 36 to 39 */
    gic_write(writes, 4, dist + 0x824, 0x01010101); /* GICD_ITARGETSR */
    gic_write(writes, 4, dist + 0x104, 3u << 4);    /* GICD_ISENABLER1 */
    gic_write(writes, 4, dist + 0x100, 0xffffffff); /* GICD_ISENABLER0 */
    gic_write(writes, 4, config->gic_cpu_gpa + 4, 0xff); /* GICC_PMR */
    gic_write(writes, 4, config->gic_cpu_gpa, 1);        /* GICC_CTLR: group 0 */
}

void gic_common(struct gic_writes *writes, struct guest *g, unsigned vcpus)
{
    const visor_aarch64_config config = gic_config(g);
    const uint64_t dist = config.gic_distributor_gpa;

    if (config.gic_version == 2) {
        add_v2(writes, &config);
        return;
    }
    gic_write(writes, 4, dist, 0x12);               /* GICD_CTLR: affinity routing, group 1 */
    gic_write(writes, 4, dist + 0x84, 0xffffffff);  /* GICD_IGROUPR1: all in group 1 */
    gic_write(writes, 4, dist + 0xc08, 2u << 8);    /* GICD_ICFGR2: 36 is an edge, 37 a level */
    gic_write(writes, 4, dist + 0x424, 0xa0a0a0a0); /* GICD_IPRIORITYR: of 36 to 39 */
    gic_write(writes, 8, dist + 0x6120, 0);         /* GICD_IROUTER36, to vCPU 0 */
    gic_write(writes, 8, dist + 0x6128, 0);
    gic_write(writes, 4, dist + 0x104, 3u << 4); /* GICD_ISENABLER1 */
    for (unsigned i = 0; i < vcpus; i++) {
        const uint64_t sgi = config.gic_redistributor_gpa + GIC_REDISTRIBUTORS * i + 0x10000;

        gic_write(writes, 4, sgi + 0x80, 0xffffffff); /* GICR_IGROUPR0 */
        for (unsigned n = 0; n < 32; n += 4)
            gic_write(writes, 4, sgi + 0x400 + n, 0xa0a0a0a0); /* GICR_IPRIORITYR */
        gic_write(writes, 4, sgi + 0x100, 0xffffffff);         /* GICR_ISENABLER0 */
    }
    if (config.its == VISOR_ON)
        add_its(writes, g, &config, vcpus);
}

void gic_enter(struct guest *g, visor_vcpu *vcpu, const struct gic_writes *writes,
               const struct code *idle, const struct code *handler)
{
    bool v2 = gic_config(g).gic_version == 2;
    const uint64_t list = WRITES + 0x1000 * visor_vcpu_id(vcpu);
    const uint64_t go_on = guest_code + 0x1000 * visor_vcpu_id(vcpu) + 0x800;

    put(g, list, writes->list, sizeof(writes->list));
    guest_put_code(g, go_on, idle != NULL ? idle : &wait_for_ever);
    arm_restart(g, vcpu,
                &(struct arm_setup){.code = v2 ? &take_interrupts_v2 : &take_interrupts,
                                    .x = {list, go_on}});
    if (handler == NULL)
        handler = v2 ? &tell_number_v2 : &tell_number;
    arm_set_vector(g, vcpu, 0x280, handler);
}

void gic_enter_two(struct guest *g, visor_vcpu *second, const struct gic_writes *writes,
                   const struct code *idle)
{
    const struct gic_writes none = {0};

    gic_enter(g, g->vcpu, writes, idle, NULL);
    gic_enter(g, second, &none, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(guest_finish_at(HERE, second), 0);
}

void gic_create(struct guest *g, const visor_aarch64_config *config)
{
    visor_vm_config vm = VISOR_VM_CONFIG_INIT;

    NEED(g, IRQCHIP);
    NEED(g, AARCH64_GIC_V3);
    vm.irqchip = VISOR_IRQCHIP_KERNEL;
    guest_create(g, &vm);
    if (config != NULL)
        CHECK_OK(visor_aarch64_configure(g->vm, config));
    guest_add_vcpu(g, 0);
}

void gic_start(struct guest *g, const visor_aarch64_config *config, const struct code *idle,
               const struct code *handler)
{
    struct gic_writes writes = {0};

    gic_create(g, config);
    gic_common(&writes, g, 1);
    gic_enter(g, g->vcpu, &writes, idle, handler);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

/* ---- for the generic cases ---- */

struct guest_message guest_message(struct guest *g, unsigned n)
{
    return (struct guest_message){.msi = {.address = gic_config(g).gic_its_gpa + GITS_TRANSLATER,
                                          .data = n,
                                          .device_id = GIC_DEVICE,
                                          .has_device_id = true},
                                  .number = GIC_LPI_INTID + n};
}

void guest_arch_irqs(struct guest *g)
{
    struct gic_writes writes = {0};

    gic_common(&writes, g, 1);
    gic_enter(g, g->vcpu, &writes, NULL, NULL);
}
