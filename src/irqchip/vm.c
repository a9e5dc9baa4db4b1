/* SPDX-License-Identifier: BSD-3-Clause */
/* The interrupt chips as the core's objects see them: functions for the tables of a backend. */
#include <stdlib.h>

#include "core/vm.h"
#include "irqchip/irqchip.h"

/* The routes that the core has given a new chip. */
static int set_first_routes(visor_vm *vm)
{
    size_t count = visor__irq_routes(NULL, 0, vm);
    visor_route *routes = calloc(count > 0 ? count : 1, sizeof(*routes));
    int ret;

    if (routes == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "%zu routes", count);
    visor__irq_routes(routes, count, vm);
    ret = visor__irqchip_set_routes(vm->chip, routes, count);
    free(routes);
    return ret;
}

int visor__irqchip_attach(visor_vm *vm, const struct visor__irqchip_host *host, uint64_t tsc_hz)
{
    const struct visor__irqchip_config config = {
        .host = host,
        .vm = vm,
        .split = vm->config.irqchip == VISOR_IRQCHIP_SPLIT,
        .no_pit = vm->config.no_pit,
        .tsc_hz = tsc_hz,
    };
    int ret;

    if (vm->config.irqchip == VISOR_IRQCHIP_NONE)
        return 0;
    ret = visor__irqchip_create(&vm->chip, &config);
    if (ret == 0)
        ret = set_first_routes(vm);
    if (ret < 0)
        visor__irqchip_detach(vm);
    return ret;
}

void visor__irqchip_detach(visor_vm *vm)
{
    visor__irqchip_destroy(vm->chip);
    vm->chip = NULL;
}

int visor__lapic_attach(visor_vcpu *vcpu)
{
    if (vcpu->vm->chip == NULL)
        return 0;
    return visor__lapic_create(&vcpu->lapic, vcpu->vm->chip, vcpu->id, vcpu);
}

void visor__lapic_detach(visor_vcpu *vcpu)
{
    visor__lapic_destroy(vcpu->lapic);
    vcpu->lapic = NULL;
}

/* The core asks for these of VMs that have a chip only. */

static int set_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    return visor__irqchip_set_irq(vm->chip, gsi, level);
}

static int add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    return visor__irqchip_add_event(vm->chip, gsi, event, resample);
}

static int remove_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    return visor__irqchip_remove_event(vm->chip, gsi, event);
}

static int set_routes(visor_vm *vm, const visor_route *routes, size_t count)
{
    return visor__irqchip_set_routes(vm->chip, routes, count);
}

static int send_msi(visor_vm *vm, const visor_msi *msi)
{
    return visor__irqchip_send_msi(vm->chip, msi);
}

const struct visor__irq_ops visor__irqchip_irq_ops = {
    .set_irq = set_irq,
    .add_event = add_event,
    .remove_event = remove_event,
    .set_routes = set_routes,
    .send_msi = send_msi,
};

int visor__irqchip_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece)
{
    return visor__irqchip_get_state(buf, capacity, vm->chip, piece);
}

int visor__irqchip_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf,
                            size_t length)
{
    return visor__irqchip_set_state(vm->chip, piece, buf, length);
}
