/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: the GIC that a VM gets, and where its lines and messages lead. */
#include <string.h>

#include "gic.h"

/* Before the guest runs: some hypervisors take no event later. */
static visor_event add_event(struct guest *g, uint32_t gsi)
{
    visor_event event = event_create();

    NEED(g, IRQFD);
    CHECK_OK(visor_vm_add_irq_event(g->vm, gsi, event, VISOR_EVENT_NONE));
    return event;
}

static void pulse(struct guest *g, uint32_t gsi)
{
    CHECK_OK(visor_vm_set_irq(g->vm, gsi, true));
    CHECK_OK(visor_vm_set_irq(g->vm, gsi, false));
}

/* A VM with a chip inside, not yet configured. */
static void create_vm(struct guest *g)
{
    visor_vm_config vm = VISOR_VM_CONFIG_INIT;

    NEED(g, IRQCHIP);
    vm.irqchip = VISOR_IRQCHIP_KERNEL;
    guest_create(g, &vm);
}

/* ---- what the VM gets ---- */

CASE(gic, decided, "nothing is left to be decided, and it is what the host has")
{
    visor_aarch64_config config;
    int64_t v3, its;

    create_vm(g);
    v3 = visor_vm_cap(g->vm, VISOR_CAP_AARCH64_GIC_V3);
    its = visor_vm_cap(g->vm, VISOR_CAP_AARCH64_ITS);
    CHECK_OK(visor_aarch64_configure(g->vm, NULL));
    config = gic_config(g);
    CHECK_EQ(config.gic_version, v3 > 0 ? 3 : 2);
    CHECK_EQ(config.its, its > 0 ? VISOR_ON : VISOR_OFF);
    CHECK_EQ(config.spi_count, 64);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_MSI) > 0, its > 0);
}

CASE(gic, absent_version, "a version that the host lacks: its error names the one that it has")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    bool v2, v3;

    create_vm(g);
    v2 = visor_vm_cap(g->vm, VISOR_CAP_AARCH64_GIC_V2) > 0;
    v3 = visor_vm_cap(g->vm, VISOR_CAP_AARCH64_GIC_V3) > 0;
    if (v2 == v3)
        SKIP("this host has both versions");
    config.gic_version = v2 ? 3 : 2;
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
    note("%s; %s", visor_error_last()->detail, visor_error_last()->hint);
    CHECK(strstr(visor_error_last()->hint, v2 ? "version 2" : "version 3") != NULL);
    config.gic_version = 4;
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
    /* It can be asked again. */
    config.gic_version = v2 ? 2 : 3;
    CHECK_OK(visor_aarch64_configure(g->vm, &config));
    CHECK_EQ(gic_config(g).gic_version, v2 ? 2 : 3);
}

CASE(gic, absent_its, "an ITS that the host lacks")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    create_vm(g);
    if (visor_vm_cap(g->vm, VISOR_CAP_AARCH64_ITS) > 0)
        SKIP("this host has one");
    config.its = VISOR_ON;
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
    CHECK(visor_error_last()->hint[0] != '\0');
}

/* Whether what answers at gpa is a register of the GIC; its value then. */
static bool answers(struct guest *g, uint64_t gpa, uint64_t *value)
{
    const visor_io *io;

    arm_restart(g, g->vcpu, &(struct arm_setup){.code = guest_load[2], .x = {gpa}});
    io = &RUN_TO(g, MMIO)->io;
    if (io->address == gpa) {
        GUEST_FINISH(g);
        return false;
    }
    CHECK_EQ(io->address, guest_done);
    *value = visor_io_value(io);
    return true;
}

#define GICD_PIDR2 0xffe8u /* bits 7:4: the version. GIC, 12.9.26 */

CASE(gic, addresses, "the chip's parts are where the VMM wants them, and nowhere else")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    uint64_t value = 0;

    config.gic_version = 3;
    config.gic_distributor_gpa = 0x10000000;
    config.gic_redistributor_gpa = 0x20000000;
    config.gic_its_gpa = 0x30000000;
    gic_create(g, &config);
    CHECK(answers(g, 0x10000000 + GICD_PIDR2, &value));
    CHECK_EQ(value >> 4 & 15, 3);
    CHECK(answers(g, 0x20000000 + GICD_PIDR2, &value));
    CHECK_EQ(value >> 4 & 15, 3);
    CHECK_EQ(answers(g, 0x30000000 + GICD_PIDR2, &value), gic_config(g).its == VISOR_ON);
    CHECK(!answers(g, 0x3fff0000 + GICD_PIDR2, &value));
    CHECK(!answers(g, 0x40000000 + GICD_PIDR2, &value));
}

CASE(gic, without_its, "without an ITS there are lines, but no messages")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    const visor_msi msi = {
        .address = 0x40010040, .data = 0, .device_id = GIC_DEVICE, .has_device_id = true};
    struct gic_writes writes = {0};
    visor_event event;
    uint64_t value;

    config.its = VISOR_OFF;
    gic_create(g, &config);
    event = add_event(g, guest_edge.gsi);
    gic_common(&writes, g, 1);
    gic_enter(g, g->vcpu, &writes, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(gic_config(g).its, VISOR_OFF);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_MSI), 0);
    CHECK(visor_vm_send_msi(g->vm, &msi) < 0);
    event_signal(event);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
    CHECK(!answers(g, 0x40000000, &value));
}

#define MOST_SPIS 960u

CASE(gic, last_line, "as many lines as there can be; the last of them works")
{
    const uint32_t spi = MOST_SPIS - 1, intid = GIC_SPI_INTID + spi;
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    struct gic_writes writes = {0};
    visor_event event;
    uint64_t dist;

    config.spi_count = MOST_SPIS;
    gic_create(g, &config);
    event = add_event(g, spi);
    dist = gic_config(g).gic_distributor_gpa;
    gic_common(&writes, g, 1);
    gic_write(&writes, 4, dist + 0x080 + intid / 32 * 4, 0xffffffff);           /* group 1 */
    gic_write(&writes, 4, dist + 0xc00 + intid / 16 * 4, 2u << intid % 16 * 2); /* edge */
    gic_write(&writes, 4, dist + 0x400 + intid / 4 * 4, 0xa0a0a0a0);
    gic_write(&writes, 8, dist + 0x6000 + intid * 8, 0);
    gic_write(&writes, 4, dist + 0x100 + intid / 32 * 4, 1u << intid % 32);
    gic_enter(g, g->vcpu, &writes, NULL, NULL);
    CHECK_EQ(GUEST_FINISH(g), 0);
    event_signal(event);
    CHECK_EQ(GUEST_FINISH(g), intid);
    GUEST_QUIET(g);
}

CASE(gic, too_many_lines, "more lines than a chip has")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    create_vm(g);
    config.spi_count = 1024;
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EINVAL);
    config.spi_count = 33;
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EINVAL);
    config.spi_count = 988; /* the architecture's most: who cannot says how many it can */
    if (visor_aarch64_configure(g->vm, &config) < 0) {
        CHECK_EQ(visor_error_last()->code, VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->hint, "960") != NULL);
    }
}

CASE(gic, line_before_vcpus, "a line needs the vCPUs: the chip is not complete without them")
{
    create_vm(g);
    NEED(g, IRQ_LINES);
    CHECK_OK(visor_aarch64_configure(g->vm, NULL));
    CHECK_ERROR(visor_vm_set_irq(g->vm, 0, true), ESTATE);
    guest_add_vcpu(g, 0);
    CHECK_OK(visor_vm_set_irq(g->vm, 0, true));
}

/* ---- where lines and messages lead ---- */

CASE(gic, routed_lines, "a line that is routed to another pin of the chip, and to a message")
{
    visor_event event = event_create();
    visor_route routes[2] = {
        {.gsi = 20, .chip = VISOR_CHIP_GIC, .pin = guest_edge.gsi},
        {.gsi = 21, .is_msi = true},
    };

    gic_start(g, NULL, NULL, NULL);
    NEED(g, MSI);
    routes[1].msi = guest_message(g, 2).msi;
    CHECK_OK(visor_vm_set_routes(g->vm, routes, 2));
    pulse(g, 20);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
    pulse(g, 21);
    CHECK_EQ(GUEST_FINISH(g), guest_message(g, 2).number);
    GUEST_QUIET(g);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 20, event, VISOR_EVENT_NONE));
    event_signal(event);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
    GUEST_QUIET(g);
    /* The line that led there before leads nowhere. */
    pulse(g, guest_edge.gsi);
    GUEST_QUIET(g);
}

CASE(gic, unknown_sender, "a message of a device or an event that the guest has not named")
{
    visor_msi msi;

    gic_start(g, NULL, NULL, NULL);
    NEED(g, MSI);
    msi = guest_message(g, 0).msi;
    msi.device_id++;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 0);
    msi = guest_message(g, GUEST_MESSAGES).msi;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 0);
    GUEST_QUIET(g);
}

/* ---- two vCPUs ---- */

CASE(gic, second_vcpu, "a shared line that the guest routes to its second vCPU")
{
    struct gic_writes writes = {0};
    visor_vcpu *second;
    visor_event event;

    gic_create(g, NULL);
    second = guest_add_vcpu(g, 1);
    event = add_event(g, guest_edge.gsi);
    gic_common(&writes, g, 2);
    gic_write(&writes, 8, gic_config(g).gic_distributor_gpa + 0x6000 + 8 * guest_edge.number, 1);
    gic_enter_two(g, second, &writes, NULL);
    event_signal(event);
    GUEST_QUIET(g);
    CHECK_EQ(guest_finish_at(HERE, second), guest_edge.number);
    visor_vcpu_free(second);
}

CASE(gic, private_lines, "private lines of two vCPUs")
{
    struct gic_writes writes = {0};
    visor_vcpu *second;

    gic_create(g, NULL);
    second = guest_add_vcpu(g, 1);
    gic_common(&writes, g, 2);
    gic_enter_two(g, second, &writes, NULL);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 1, GIC_PRIVATE_INTID, true));
    GUEST_QUIET(g);
    CHECK_EQ(guest_finish_at(HERE, second), GIC_PRIVATE_INTID);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 1, GIC_PRIVATE_INTID, false));
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, true));
    CHECK_EQ(GUEST_FINISH(g), GIC_PRIVATE_INTID);
    CHECK_OK(visor_aarch64_set_private_irq(g->vm, 0, GIC_PRIVATE_INTID, false));
    visor_vcpu_free(second);
}

/* ICC_SGI1R_EL1: SGI 3 to the processor with affinity 0.0.0.1. */
VISOR_GUEST_ASM(send_sgi, "movz x3, #2; movk x3, #0x300, lsl #16; msr s3_0_c12_c11_5, x3; isb;"
                          "1: wfi; b 1b");

CASE(gic, between_vcpus, "an interrupt from one vCPU to the other")
{
    struct gic_writes writes = {0};
    visor_vcpu *second;

    gic_create(g, NULL);
    second = guest_add_vcpu(g, 1);
    gic_common(&writes, g, 2);
    gic_enter_two(g, second, &writes, &send_sgi);
    GUEST_QUIET(g);
    CHECK_EQ(guest_finish_at(HERE, second), 3);
    visor_vcpu_free(second);
}

CASE(gic, message_to_second, "a message that the ITS sends to the second vCPU")
{
    struct gic_writes writes = {0};
    visor_vcpu *second;
    visor_msi msi;

    gic_create(g, NULL);
    NEED(g, MSI);
    second = guest_add_vcpu(g, 1);
    gic_common(&writes, g, 2);
    gic_move_event(&writes, g, 3);
    gic_enter_two(g, second, &writes, NULL);
    msi = guest_message(g, 3).msi;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 1);
    GUEST_QUIET(g);
    CHECK_EQ(guest_finish_at(HERE, second), GIC_LPI_INTID + 3);
    visor_vcpu_free(second);
}
