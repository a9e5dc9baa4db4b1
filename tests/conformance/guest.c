/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

static void create_memory(struct guest *g)
{
    const visor_memory_region region = {.gpa = guest_base, .length = GUEST_RAM};

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
}

static void create_vm(struct guest *g, const visor_vm_config *config)
{
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, config));
    guest_arch_tables(g);
}

void guest_create(struct guest *g, const visor_vm_config *config)
{
    create_memory(g);
    create_vm(g, config);
}

visor_vcpu *guest_add_vcpu(struct guest *g, uint32_t id)
{
    visor_vcpu *vcpu;

    CHECK_OK(visor_vcpu_create(&vcpu, g->vm, id));
    guest_arch_vcpu(g, vcpu);
    if (id == 0)
        g->vcpu = vcpu;
    return vcpu;
}

void guest_put_code(struct guest *g, uint64_t gpa, const struct code *code)
{
    void *host;

    put(g, gpa, code->bytes, code->length);
    CHECK_OK(visor_memory_ptr(&host, g->memory, gpa, code->length));
    /* memcpy() may use SVE, and QEMU 7.2 forgets only what it has translated of the first byte that
     * an SVE store writes. */
    for (size_t i = 0; i < code->length; i++)
        ((volatile uint8_t *)host)[i] = ((const uint8_t *)code->bytes)[i];
    /* Instruction caches need not see what was written as data, in a guest no more than here. */
    __builtin___clear_cache((char *)host, (char *)host + code->length);
}

void guest_put_program(struct guest *g, visor_vcpu *vcpu, const struct code *program)
{
    guest_put_code(g, guest_code + 0x1000 * visor_vcpu_id(vcpu), program);
}

void guest_settle(visor_vcpu *vcpu)
{
    if (visor_vcpu_settle(vcpu) != VISOR_EUNSUPPORTED)
        return;
    kick_later(vcpu, 20);
    run_to(HERE, vcpu, VISOR_EXIT_KICKED);
}

void guest_restart(struct guest *g, visor_vcpu *vcpu, const struct code *program, uint64_t a0,
                   uint64_t a1, uint64_t a2)
{
    guest_settle(vcpu);
    guest_put_program(g, vcpu, program);
    guest_arch_enter(vcpu, guest_code + 0x1000 * visor_vcpu_id(vcpu), a0, a1, a2);
}

void guest_start_in(struct guest *g, const struct code *program, uint64_t a0, uint64_t a1,
                    uint64_t a2, const visor_vm_config *config)
{
    create_vm(g, config);
    guest_add_vcpu(g, 0);
    guest_restart(g, g->vcpu, program, a0, a1, a2);
}

void guest_start(struct guest *g, const struct code *program, uint64_t a0, uint64_t a1, uint64_t a2,
                 const visor_vm_config *config)
{
    create_memory(g);
    guest_start_in(g, program, a0, a1, a2, config);
}

uint64_t guest_finish_at(struct where where, visor_vcpu *vcpu)
{
    const visor_io *io = &run_to(where, vcpu, VISOR_EXIT_MMIO)->io;

    if (!io->is_write || io->address != guest_done || io->length != 8)
        fail_at(where, "%s, should be the end of the program", exit_text(visor_vcpu_exit(vcpu)));
    return visor_io_value(io);
}

void guest_create_irqs(struct guest *g)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    guest_create(g, &config);
    guest_add_vcpu(g, 0);
}

void guest_start_irqs(struct guest *g)
{
    guest_create_irqs(g);
    guest_arch_irqs(g);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

void guest_quiet_at(struct where where, struct guest *g)
{
    kick_later(g->vcpu, 50);
    run_to(where, g->vcpu, VISOR_EXIT_KICKED);
}
