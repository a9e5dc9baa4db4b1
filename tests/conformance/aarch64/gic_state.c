/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: the state of the GIC and its ITS, read, set back, and moved with interrupts pending. */
#include <stdlib.h>

#include "gic.h"

static void pulse(struct guest *g, uint32_t gsi)
{
    CHECK_OK(visor_vm_set_irq(g->vm, gsi, true));
    CHECK_OK(visor_vm_set_irq(g->vm, gsi, false));
}

static void send_message(struct guest *g, unsigned n)
{
    const struct guest_message message = guest_message(g, n);

    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message.msi)), 1);
}

/* The chip's state, in memory that the end of the case frees. */
static visor_irqchip_reg *read_chip(struct guest *g, size_t *count)
{
    visor_irqchip_reg *regs;

    *count = (size_t)CHECK_OK(visor_vm_get_irqchip(NULL, 0, g->vm));
    regs = calloc(*count, sizeof(*regs));
    CHECK(regs != NULL);
    CHECK_EQ(CHECK_OK(visor_vm_get_irqchip(regs, *count, g->vm)), *count);
    return regs;
}

static uint64_t value_of(const visor_irqchip_reg *regs, size_t count, uint32_t group,
                         uint64_t offset)
{
    for (size_t i = 0; i < count; i++) {
        if (regs[i].group == group && regs[i].offset == offset)
            return regs[i].value;
    }
    FAIL("no register 0x%llx in group %u", (unsigned long long)offset, group);
}

#define ICC_PMR     VISOR_AARCH64_SYSREG(3, 0, 4, 6, 0)
#define ICC_IGRPEN1 VISOR_AARCH64_SYSREG(3, 0, 12, 12, 7)

CASE(gic_state, list, "what the guest wrote is in the list, and the list can be set back")
{
    const visor_irqchip_reg more = {
        .group = VISOR_GIC_DISTRIBUTOR, .offset = 0x104, .value = 0x231};
    visor_irqchip_reg *regs, *again;
    size_t count, count_again;

    gic_start(g, NULL, NULL, NULL);
    regs = read_chip(g, &count);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_DISTRIBUTOR, 0x0) & 0x12, 0x12);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_DISTRIBUTOR, 0x84), 0xffffffff);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_DISTRIBUTOR, 0x104), 3u << 4);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_DISTRIBUTOR, 0x424), 0xa0a0a0a0);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_DISTRIBUTOR, 0xc08), 2u << 8);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_REDISTRIBUTOR, 0x10100), 0xffffffff);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_CPU, ICC_PMR), 0xf8); /* 5 bits of priority */
    CHECK_EQ(value_of(regs, count, VISOR_GIC_CPU, ICC_IGRPEN1), 1);
    CHECK_EQ(value_of(regs, count, VISOR_GIC_LEVELS, 32), 0);
    if (gic_config(g).its == VISOR_ON) {
        CHECK_EQ(value_of(regs, count, VISOR_GIC_ITS, 0x0) & 1, 1);
        CHECK_EQ(value_of(regs, count, VISOR_GIC_ITS, 0x90), GIC_COMMANDS * 32);
    }
    CHECK_OK(visor_vm_set_irqchip(g->vm, &more, 1)); /* is to be undone */
    CHECK_OK(visor_vm_set_irqchip(g->vm, regs, count));
    again = read_chip(g, &count_again);
    CHECK_EQ(count_again, count);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(again[i].group, regs[i].group);
        CHECK_EQ(again[i].offset, regs[i].offset);
        CHECK_EQ(again[i].value, regs[i].value);
    }
    pulse(g, guest_edge.gsi);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
    free(regs);
    free(again);
}

CASE(gic_state, foreign, "registers that this chip does not have")
{
    const visor_irqchip_reg bad[] = {
        {.group = 0},
        {.group = 99},
        {.group = VISOR_GIC_DISTRIBUTOR, .offset = 0x4},
        {.group = VISOR_GIC_DISTRIBUTOR, .offset = 0x180},
        {.group = VISOR_GIC_DISTRIBUTOR, .offset = UINT64_MAX},
        {.group = VISOR_GIC_DISTRIBUTOR, .offset = 0x10c}, /* of SPIs 64 to 95 */
        {.group = VISOR_GIC_REDISTRIBUTOR, .vcpu = 7, .offset = 0x10100},
        {.group = VISOR_GIC_CPU, .offset = VISOR_AARCH64_SYSREG(3, 0, 1, 0, 0)},
        {.group = VISOR_GIC_ITS, .offset = 0x80},
    };
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    config.its = VISOR_OFF;
    gic_start(g, &config, NULL, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_ERROR(visor_vm_set_irqchip(g->vm, &bad[i], 1), EMISMATCH);
    pulse(g, guest_edge.gsi);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
}

static void set_levels(struct guest *g, bool level)
{
    CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, level));
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, level));
}

/* Which interrupts arrive, each once, one bit each. A line falls when it has been seen. */
static unsigned arrived(struct guest *g, unsigned count)
{
    const uint64_t numbers[] = {guest_edge.number, guest_level.number, GIC_PRIVATE_INTID,
                                GIC_LPI_INTID, GIC_LPI_INTID + 3};
    unsigned seen = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint64_t number = GUEST_FINISH(g);

        for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
            seen |= (unsigned)(number == numbers[n]) << n;
        if (number == guest_level.number)
            CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, false));
        if (number == GIC_PRIVATE_INTID)
            CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, false));
    }
    return seen;
}

/* The list is set in reverse, so that its order cannot have helped. */
CASE(gic_state, rolled_back, "pending interrupts of all kinds, back again in the same VM")
{
    visor_irqchip_reg *regs;
    size_t count;

    gic_start(g, NULL, NULL, NULL); /* still masked */
    NEED(g, MSI);
    pulse(g, guest_edge.gsi);
    send_message(g, 0);
    send_message(g, 3);
    set_levels(g, true);
    regs = read_chip(g, &count);
    for (size_t i = 0; i < count / 2; i++) {
        const visor_irqchip_reg reg = regs[i];

        regs[i] = regs[count - 1 - i];
        regs[count - 1 - i] = reg;
    }
    set_levels(g, false);
    CHECK_EQ(arrived(g, 3), 0x19); /* the lines have fallen */
    GUEST_QUIET(g);
    CHECK_OK(visor_vm_set_irqchip(g->vm, regs, count));
    CHECK_EQ(arrived(g, 5), 0x1f);
    GUEST_QUIET(g);
    send_message(g, 1);
    CHECK_EQ(GUEST_FINISH(g), GIC_LPI_INTID + 1);
    free(regs);
}

/* ---- to another VM ---- */

/* A twin with the state and memory of g, and of its second vCPU if there is one. */
static visor_vcpu *move_to(struct guest *twin, struct guest *g, bool two)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_vcpu *second = NULL;

    NEED(g, SNAPSHOT);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    guest_create_irqs(twin);
    if (two)
        second = guest_add_vcpu(twin, 1);
    CHECK_OK(visor_vm_restore(twin->vm, &stream, NULL));
    buffer_free(&buffer);
    return second;
}

static void free_twin(struct guest *twin)
{
    visor_vcpu_free(twin->vcpu);
    visor_vm_free(twin->vm);
    visor_memory_free(twin->memory);
}

/* Lets the guest write to a register of the GIC, then wait with interrupts on. */
static void write_and_wait(struct guest *g, unsigned width_log2, uint64_t gpa, uint64_t value)
{
    static const uint64_t masked = ARM_PSTATE_EL1H | ARM_PSTATE_DAIF;

    arm_restart(g, g->vcpu,
                &(struct arm_setup){.code = guest_store[width_log2], .x = {gpa, value}});
    CHECK_EQ(GUEST_FINISH(g), 0);
    arm_set_reg(g->vcpu, VISOR_AARCH64_PSTATE, masked & ~(uint64_t)ARM_PSTATE_I);
}

#define GICD_SGIR 0xf00u

CASE(gic_state, lines_moved, "pending lines, and with a GICv2 an interrupt from the vCPU to itself")
{
    struct guest twin = {.hv = g->hv};

    guest_start_irqs(g); /* still masked */
    pulse(g, guest_edge.gsi);
    CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, true));
    if (gic_config(g).gic_version == 2)
        write_and_wait(g, 2, gic_config(g).gic_distributor_gpa + GICD_SGIR, 2u << 24 | 5);
    move_to(&twin, g, false);
    if (gic_config(g).gic_version == 2)
        CHECK_EQ(GUEST_FINISH(&twin), 5);
    CHECK_EQ(arrived(&twin, 2), 3); /* lowers the level's line */
    GUEST_QUIET(&twin);
    free_twin(&twin);
}

VISOR_GUEST_ASM(send_and_wait, "movz x3, #2; movk x3, #0x300, lsl #16; msr s3_0_c12_c11_5, x3;"
                               "isb; 1: wfi; b 1b");

CASE(gic_state, two_vcpus_moved, "pending on the second vCPU: shared, private, from the first, LPI")
{
    struct guest twin = {.hv = g->hv};
    struct gic_writes writes = {0};
    visor_vcpu *second, *twins;
    unsigned seen = 0;

    gic_create(g, NULL);
    NEED(g, MSI);
    second = guest_add_vcpu(g, 1);
    gic_common(&writes, g, 2);
    gic_write(&writes, 8, gic_config(g).gic_distributor_gpa + 0x6000 + 8 * guest_edge.number, 1);
    gic_move_event(&writes, g, 3);
    gic_enter_two(g, second, &writes, &send_and_wait);
    GUEST_QUIET(g); /* sends SGI 3 */
    pulse(g, guest_edge.gsi);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 1, GIC_PRIVATE_INTID, true));
    send_message(g, 3);
    twins = move_to(&twin, g, true);
    GUEST_QUIET(&twin);
    CHECK_OK(visor_aarch64_set_private_irq(twin.vm, 1, GIC_PRIVATE_INTID, false));
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t number = guest_finish_at(HERE, twins);

        seen |= number == 3 ? 1 : number == guest_edge.number ? 2 : number == 8195 ? 4 : 8;
    }
    CHECK_EQ(seen, 7);
    CHECK_OK(visor_aarch64_set_private_irq(twin.vm, 1, GIC_PRIVATE_INTID, true));
    CHECK_EQ(guest_finish_at(HERE, twins), GIC_PRIVATE_INTID);
    CHECK_OK(visor_aarch64_set_private_irq(twin.vm, 1, GIC_PRIVATE_INTID, false));
    visor_vcpu_free(second);
    visor_vcpu_free(twins);
    free_twin(&twin);
}

CASE(gic_state, disabled_moved, "pending while they are disabled; enabled in the other VM")
{
    const uint64_t device = (uint64_t)GIC_DEVICE << 32;
    struct guest twin = {.hv = g->hv};
    struct gic_writes writes = {0};
    uint64_t dist, its;

    gic_create(g, NULL);
    NEED(g, MSI);
    dist = gic_config(g).gic_distributor_gpa;
    its = gic_config(g).gic_its_gpa;
    gic_common(&writes, g, 1);
    gic_write(&writes, 4, dist + 0x184, 1u << 4); /* GICD_ICENABLER1 */
    poke(g, GIC_PROPERTIES + 2, 0xa0, 1);
    gic_enter(g, g->vcpu, &writes, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0);
    pulse(g, guest_edge.gsi);
    send_message(g, 2);
    GUEST_QUIET(g);
    move_to(&twin, g, false);
    GUEST_QUIET(&twin);
    write_and_wait(&twin, 2, dist + 0x104, 1u << 4); /* GICD_ISENABLER1 */
    CHECK_EQ(GUEST_FINISH(&twin), guest_edge.number);
    GUEST_QUIET(&twin);
    poke(&twin, GIC_PROPERTIES + 2, 0xa1, 1);
    write_and_wait(&twin, 3, its + GIC_CWRITER,
                   gic_command(&twin, GIC_COMMANDS, 0x0c | device, 2, 0)); /* INV */
    CHECK_EQ(GUEST_FINISH(&twin), GIC_LPI_INTID + 2);
    GUEST_QUIET(&twin);
    free_twin(&twin);
}

CASE(gic_state, tables_moved, "what the guest has told its ITS after the first interrupts")
{
    const uint64_t device = (uint64_t)GIC_DEVICE << 32;
    struct guest twin = {.hv = g->hv};
    struct gic_writes writes = {0};
    visor_msi msi;
    uint32_t end;

    gic_create(g, NULL);
    NEED(g, MSI);
    gic_common(&writes, g, 1);
    /* DISCARD event 1; MAPTI: event 20 is LPI 8193. */
    gic_command(g, GIC_COMMANDS, 0x0f | device, 1, 0);
    end = gic_command(g, GIC_COMMANDS + 1, 0x0a | device, 20 | (uint64_t)(GIC_LPI_INTID + 1) << 32,
                      0);
    gic_write(&writes, 8, gic_config(g).gic_its_gpa + GIC_CWRITER, end);
    gic_enter(g, g->vcpu, &writes, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0);
    send_message(g, 0);
    CHECK_EQ(GUEST_FINISH(g), GIC_LPI_INTID);
    GUEST_QUIET(g);
    move_to(&twin, g, false);
    msi = guest_message(&twin, 1).msi;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(twin.vm, &msi)), 0);
    msi = guest_message(&twin, 20).msi;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(twin.vm, &msi)), 1);
    CHECK_EQ(GUEST_FINISH(&twin), GIC_LPI_INTID + 1);
    GUEST_QUIET(&twin);
    free_twin(&twin);
}

CASE(gic_state, other_shape, "a state does not fit a VM with fewer lines or without ITS")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    struct guest twin = {.hv = g->hv};
    visor_irqchip_reg *regs;
    size_t count;

    gic_start(g, NULL, NULL, NULL);
    regs = read_chip(g, &count);
    config.spi_count = 32;
    gic_create(&twin, &config);
    CHECK_ERROR(visor_vm_set_irqchip(twin.vm, regs, count), EMISMATCH);
    free_twin(&twin);
    free(regs);
}
