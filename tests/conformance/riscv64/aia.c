/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: the APLIC and the IMSICs (Advanced Interrupt Architecture). */
#include <stdlib.h>

#include "riscv.h"

/* ---- what it is configured as ---- */

static visor_vm_config with_chip(struct guest *g)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    NEED(g, RISCV_AIA);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    return config;
}

CASE(aia, defaults, "what was not asked for is decided")
{
    visor_riscv_config config;

    guest_create_irqs(g);
    config = riscv_config(g);
    note("%u identities", config.id_count);
    CHECK_EQ(config.vcpu_count, 8);
    CHECK_EQ(config.source_count, 64);
    CHECK_EQ(config.id_count % 64, 63);
    CHECK_EQ(config.imsic_gpa, 0x08000000);
    CHECK_EQ(config.aplic_gpa, 0x08008000);
    CHECK_ERROR(visor_riscv_configure(g->vm, NULL), ESTATE); /* too late */
}

CASE(aia, refused, "configurations that make no sense, or that the host does not have")
{
    const visor_vm_config vm = with_chip(g);
    visor_riscv_config config = VISOR_RISCV_CONFIG_INIT;
    visor_vcpu *third;

    guest_create(g, &vm);
    config.imsic_gpa = 0x08001000; /* not aligned to 8 pages */
    CHECK_ERROR(visor_riscv_configure(g->vm, &config), EINVAL);
    config.imsic_gpa = 0;
    config.id_count = 100;
    CHECK_ERROR(visor_riscv_configure(g->vm, &config), EINVAL);
    config.id_count = 63;
    config.source_count = 64; /* each needs an identity */
    CHECK_ERROR(visor_riscv_configure(g->vm, &config), EUNSUPPORTED);
    config.source_count = 32;
    config.vcpu_count = 2;
    CHECK_OK(visor_riscv_configure(g->vm, &config));
    CHECK_EQ(riscv_config(g).id_count, 63);
    CHECK_EQ(riscv_config(g).aplic_gpa, 0x08002000);
    guest_add_vcpu(g, 0);
    CHECK_ERROR(visor_vcpu_create(&third, g->vm, 2), ELIMIT);
    CHECK_OK(visor_vm_seal(g->vm));
}

/* ---- messages and lines ---- */

CASE(aia, ignored_messages, "messages that no IMSIC takes")
{
    struct guest_message message;

    guest_start_irqs(g);
    message = guest_message(g, 0);
    message.msi.address += 0x7000; /* there is no vCPU 7 */
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message.msi)), 0);
    message = guest_message(g, 0);
    message.msi.address += 8; /* no register of an IMSIC */
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message.msi)), 0);
    message = guest_message(g, 0);
    message.msi.data = 0x10000; /* no identity */
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message.msi)), 0);
    GUEST_QUIET(g);
}

CASE(aia, high_identity, "an identity above 31")
{
    visor_msi message;

    guest_start_irqs(g);
    message = guest_message(g, 0).msi;
    message.data = 40;
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message)), 1);
    kick_later(g->vcpu, 1000);
    CHECK_EQ(GUEST_FINISH(g), 40);
}

CASE(aia, no_resample, "the end of a line's interrupt is not told: an error says so")
{
    visor_event event, resample;

    guest_start_irqs(g);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_IRQFD_RESAMPLE), 0);
    event = event_create();
    resample = event_create();
    CHECK_ERROR(visor_vm_add_irq_event(g->vm, guest_level.gsi, event, resample), EUNSUPPORTED);
    CHECK_OK(visor_vm_add_irq_event(g->vm, guest_level.gsi, event, VISOR_EVENT_NONE));
}

/* ---- control registers of a chip that is not inside ---- */

VISOR_GUEST_ASM(claim, "csrrw t0, 0x15c, a0;" RISCV_DONE "csrr t0, 0x15c;" RISCV_DONE RISCV_AGAIN);

CASE(aia, csr_exits, "without a chip inside, accesses to an IMSIC's registers are answered")
{
    visor_exit *exit;

    NEED(g, RISCV_AIA);
    guest_start(g, &claim, 0x1234, 0, 0, NULL);
    exit = RUN_TO(g, CSR);
    CHECK_EQ(exit->csr.csr, 0x15c); /* stopei */
    CHECK_EQ(exit->csr.new_value, 0x1234);
    CHECK_EQ(exit->csr.write_mask, ~0ull);
    CHECK_EQ(exit->csr.value, 0);
    exit->csr.value = 0x50005;
    CHECK_EQ(GUEST_FINISH(g), 0x50005);
    exit = RUN_TO(g, CSR);
    CHECK_EQ(exit->csr.write_mask, 0); /* it only reads */
    exit->csr.value = 0x60006;
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(riscv_regs(g->vcpu).x[RISCV_T0], 0x60006);
    CHECK_EQ(GUEST_FINISH(g), 0x60006);
}

/* ---- saving and restoring ---- */

static visor_irqchip_reg *read_chip(struct guest *g, int *count)
{
    visor_irqchip_reg *regs;

    *count = CHECK_OK(visor_vm_get_irqchip(NULL, 0, g->vm));
    regs = calloc((size_t)*count, sizeof(*regs));
    CHECK(regs != NULL);
    CHECK_EQ(visor_vm_get_irqchip(regs, (size_t)*count, g->vm), *count);
    return regs;
}

static uint64_t find_reg(const visor_irqchip_reg *regs, int count, uint32_t group, uint64_t offset)
{
    for (int i = 0; i < count; i++) {
        if (regs[i].group == group && regs[i].offset == offset)
            return regs[i].value;
    }
    FAIL("no register %u, %#x", group, (unsigned)offset);
}

CASE(aia, registers, "reading the chip and setting it again changes nothing, in any order")
{
    visor_irqchip_reg *before, *after, odd;
    int count, again;

    guest_start_irqs(g);
    CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, true)); /* pending: interrupts are masked */
    before = read_chip(g, &count);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_APLIC, 0), 0x80000104u);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_APLIC, 4 * guest_edge.gsi), 4);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_APLIC, 0x1d00), 1u << guest_level.gsi);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_APLIC, 0x3000 + 4 * guest_level.gsi),
             guest_level.number);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_IMSIC, 0x70), 1);
    CHECK_EQ(find_reg(before, count, VISOR_AIA_IMSIC, 0x80), 1u << guest_level.number);
    for (int i = 0; i < count / 2; i++) {
        odd = before[i];
        before[i] = before[count - 1 - i];
        before[count - 1 - i] = odd;
    }
    CHECK_OK(visor_vm_set_irqchip(g->vm, before, (size_t)count));
    after = read_chip(g, &again);
    CHECK_EQ(again, count);
    for (int i = 0; i < count; i++)
        CHECK_EQ(find_reg(after, count, before[i].group, before[i].offset), before[i].value);
    CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    odd = (visor_irqchip_reg){.group = VISOR_AIA_APLIC, .offset = 0x3ffc};
    CHECK_ERROR(visor_vm_set_irqchip(g->vm, &odd, 1), EMISMATCH);
    odd = (visor_irqchip_reg){.group = VISOR_AIA_IMSIC, .vcpu = 5, .offset = 0x70};
    CHECK_ERROR(visor_vm_set_irqchip(g->vm, &odd, 1), EMISMATCH);
    free(before);
    free(after);
}

/* Saves the VM into a new one with the same configuration, and goes on there. */
static void move(struct guest *g)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest old = *g;

    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    g->memory = NULL;
    g->vm = NULL;
    g->vcpu = NULL;
    guest_create_irqs(g);
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    visor_vcpu_free(old.vcpu);
    visor_vm_free(old.vm);
    visor_memory_free(old.memory);
    buffer_free(&buffer);
}

CASE(aia, moved_with_messages, "messages that wait are taken in the new VM")
{
    guest_start_irqs(g);
    for (unsigned i = 0; i < GUEST_MESSAGES; i++) {
        const visor_msi message = guest_message(g, i).msi;

        CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &message)), 1);
    }
    move(g);
    for (unsigned i = 0; i < GUEST_MESSAGES; i++)
        CHECK_EQ(GUEST_FINISH(g), guest_message(g, i).number);
    GUEST_QUIET(g);
}

CASE(aia, moved_with_lines, "a line that is high stays so, and one that rose is remembered")
{
    guest_start_irqs(g);
    CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, true));
    CHECK_OK(visor_vm_set_irq(g->vm, guest_edge.gsi, true));
    move(g);
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number); /* the lower identity first */
    CHECK_EQ(GUEST_FINISH(g), guest_level.number);
    CHECK_EQ(GUEST_FINISH(g), guest_level.number); /* it is still high */
    CHECK_OK(visor_vm_set_irq(g->vm, guest_level.gsi, false));
    GUEST_QUIET(g);
    /* The line has not risen again: no edge. */
    CHECK_OK(visor_vm_set_irq(g->vm, guest_edge.gsi, true));
    GUEST_QUIET(g);
    CHECK_OK(visor_vm_set_irq(g->vm, guest_edge.gsi, false));
    CHECK_OK(visor_vm_set_irq(g->vm, guest_edge.gsi, true));
    CHECK_EQ(GUEST_FINISH(g), guest_edge.number);
}
