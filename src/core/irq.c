/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: who signals which line, and where the lines go. */
#include <stdlib.h>
#include <string.h>

#include "core/vm.h"

struct irq_event {
    struct irq_event *next;
    uint32_t gsi;
    visor_event event; /* the caller's name for it */
    visor_event own, own_resample;
};

struct visor__irq_table {
    struct irq_event *events;
    visor_route *routes;
    size_t route_count;
};

/* The table of the interrupt operations, or NULL with the reason recorded. */
static const struct visor__irq_ops *ops_of(visor_vm *vm, const char *operation)
{
    if (vm->hv->backend->irq == NULL) {
        visor__unsupported(vm->hv, operation, "it has no interrupt chip");
        return NULL;
    }
    if (vm->config.irqchip == VISOR_IRQCHIP_NONE) {
        visor__unsupported(vm->hv, operation, "the VM was created without an interrupt chip");
        visor__error_hint("set irqchip in visor_vm_config");
        return NULL;
    }
    return vm->hv->backend->irq;
}

/* The same, for what needs the chip to be complete. Returns 0 or the error. */
static int ready_ops_of(const struct visor__irq_ops **out, visor_vm *vm, const char *operation)
{
    *out = ops_of(vm, operation);
    return *out == NULL ? VISOR_EUNSUPPORTED : visor_vm_seal(vm);
}

/* How many pins a chip has for this VM; 0: the VM does not have the chip in the hypervisor. */
static uint32_t pins_of(const visor_vm *vm, visor_chip chip)
{
    bool x86 = vm->config.arch == VISOR_ARCH_X86_64 && vm->config.irqchip == VISOR_IRQCHIP_KERNEL;

    switch (chip) {
    case VISOR_CHIP_PIC_PRIMARY:
    case VISOR_CHIP_PIC_SECONDARY: return x86 ? 8 : 0;
    case VISOR_CHIP_IOAPIC: return x86 ? VISOR_X86_IOAPIC_PINS : 0;
    /* SPIs are INTIDs 32 to 1019 (GIC architecture, IHI 0069, 2.2.1); pin n is SPI n. */
    case VISOR_CHIP_GIC: return vm->config.arch == VISOR_ARCH_AARCH64 ? 988 : 0;
    /* An APLIC has 1023 sources, from 1 on (RISC-V AIA, 4.5). */
    case VISOR_CHIP_AIA: return vm->config.arch == VISOR_ARCH_RISCV64 ? 1024 : 0;
    }
    return 0;
}

static int check_msi(const visor_vm *vm, const visor_msi *msi, const char *operation)
{
    if (msi->has_device_id && vm->config.arch != VISOR_ARCH_AARCH64)
        return visor__error(VISOR_EINVAL, "", operation,
                            "messages have no device id outside the Arm architecture");
    return 0;
}

static int check_route(const visor_vm *vm, const visor_route *route)
{
    static const char op[] = "visor_vm_set_routes";
    uint32_t pins;

    if (route->is_msi)
        return check_msi(vm, &route->msi, op);
    pins = pins_of(vm, route->chip);
    if (pins == 0)
        return visor__error(VISOR_EINVAL, "", op, "gsi %u: the VM has no chip %d inside",
                            route->gsi, route->chip);
    if (route->pin >= pins)
        return visor__error(VISOR_EINVAL, "", op, "gsi %u: chip %d has no pin %u", route->gsi,
                            route->chip, route->pin);
    return 0;
}

/*
 * The routes that hypervisors give a new x86 chip (KVM: kvm_setup_default_irq_routing()), so that
 * a snapshot of a VM that never set its own is complete.
 */
static int default_x86_routes(struct visor__irq_table *table)
{
    size_t count = 0;

    table->routes = calloc(16 + VISOR_X86_IOAPIC_PINS, sizeof(*table->routes));
    if (table->routes == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "no memory for the routes");
    for (uint32_t gsi = 0; gsi < VISOR_X86_IOAPIC_PINS; gsi++) {
        table->routes[count++] = (visor_route){.gsi = gsi, .chip = VISOR_CHIP_IOAPIC, .pin = gsi};
        if (gsi < 16)
            table->routes[count++] = (visor_route){
                .gsi = gsi,
                .chip = gsi < 8 ? VISOR_CHIP_PIC_PRIMARY : VISOR_CHIP_PIC_SECONDARY,
                .pin = gsi % 8,
            };
    }
    table->route_count = count;
    return 0;
}

/* gsi n is pin n of the one chip (KVM: vgic_setup_default_irq_routing() and its like for the AIA).
 */
static int default_routes(struct visor__irq_table *table, visor_chip chip, uint32_t pins)
{
    table->routes = calloc(pins > 0 ? pins : 1, sizeof(*table->routes));
    if (table->routes == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_seal", "no memory for the routes");
    for (uint32_t gsi = 0; gsi < pins; gsi++)
        table->routes[gsi] = (visor_route){.gsi = gsi, .chip = chip, .pin = gsi};
    table->route_count = pins;
    return 0;
}

int visor__irq_sealed(visor_vm *vm)
{
    struct visor__irq_table *table = vm->irq;

    if (table->routes != NULL)
        return vm->hv->backend->irq->set_routes(vm, table->routes, table->route_count);
    if (vm->config.arch == VISOR_ARCH_AARCH64)
        return default_routes(table, VISOR_CHIP_GIC, vm->machine.aarch64.spi_count);
    /* Source 0 does not exist, but has its place in the numbering. */
    return default_routes(table, VISOR_CHIP_AIA, vm->machine.riscv.source_count + 1);
}

int visor__irq_create(visor_vm *vm)
{
    vm->irq = calloc(1, sizeof(*vm->irq));
    if (vm->irq == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "no memory for the interrupts");
    if (vm->config.arch == VISOR_ARCH_X86_64 && vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        return default_x86_routes(vm->irq);
    return 0;
}

static void event_free(struct irq_event *event)
{
    visor__os_event_close(event->own);
    if (event->own_resample != VISOR_EVENT_NONE)
        visor__os_event_close(event->own_resample);
    free(event);
}

void visor__irq_destroy(visor_vm *vm)
{
    struct visor__irq_table *table = vm->irq;

    if (table == NULL)
        return;
    while (table->events != NULL) {
        struct irq_event *event = table->events;

        table->events = event->next;
        event_free(event);
    }
    free(table->routes);
    free(table);
}

int visor_vm_set_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    static const char op[] = "visor_vm_set_irq";
    const struct visor__irq_ops *ops;
    int ret = ready_ops_of(&ops, vm, op);

    if (ret < 0)
        return ret;
    if (ops->set_irq == NULL)
        return visor__unsupported(vm->hv, op, "its lines are raised by events only");
    return ops->set_irq(vm, gsi, level);
}

/* Where the pointer to a registered event is; it points to NULL if there is none. VM lock. */
static struct irq_event **find_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    struct irq_event **at = &vm->irq->events;

    while (*at != NULL && ((*at)->gsi != gsi || (*at)->event != event))
        at = &(*at)->next;
    return at;
}

static int event_alloc(struct irq_event **out, uint32_t gsi, visor_event event,
                       visor_event resample)
{
    struct irq_event *new = malloc(sizeof(*new));
    int ret;

    if (new == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_add_irq_event", "no memory");
    *new = (struct irq_event){.gsi = gsi, .event = event, .own_resample = VISOR_EVENT_NONE};
    ret = visor__os_event_dup(&new->own, event);
    if (ret < 0) {
        free(new);
        return ret;
    }
    if (resample != VISOR_EVENT_NONE)
        ret = visor__os_event_dup(&new->own_resample, resample);
    if (ret < 0) {
        event_free(new);
        return ret;
    }
    *out = new;
    return 0;
}

int visor_vm_add_irq_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    static const char op[] = "visor_vm_add_irq_event";
    const struct visor__irq_ops *ops;
    const struct irq_event *other;
    struct irq_event *new = NULL;
    int ret = ready_ops_of(&ops, vm, op);

    if (ret < 0)
        return ret;
    if (ops->add_event == NULL)
        return visor__unsupported(vm->hv, op, "events cannot raise its interrupts");
    ret = event_alloc(&new, gsi, event, resample);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&vm->lock);
    for (other = vm->irq->events; other != NULL && other->event != event;)
        other = other->next;
    if (other != NULL)
        ret = visor__error(VISOR_EEXIST, "", op, "the event raises gsi %u already", other->gsi);
    else
        ret = ops->add_event(vm, gsi, new->own, new->own_resample);
    if (ret == 0) {
        new->next = vm->irq->events;
        vm->irq->events = new;
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0)
        event_free(new);
    return ret;
}

int visor_vm_remove_irq_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    static const char op[] = "visor_vm_remove_irq_event";
    const struct visor__irq_ops *ops = ops_of(vm, op);
    struct irq_event **at, *old;
    int ret;

    if (ops == NULL)
        return VISOR_EUNSUPPORTED;
    visor__mutex_lock(&vm->lock);
    at = find_event(vm, gsi, event);
    old = *at;
    if (old == NULL)
        ret = visor__error(VISOR_ENOENT, "", op, "the event does not raise gsi %u", gsi);
    else
        ret = ops->remove_event(vm, gsi, old->own);
    if (ret == 0)
        *at = old->next;
    visor__mutex_unlock(&vm->lock);
    if (ret == 0)
        event_free(old);
    return ret;
}

int visor_vm_set_routes(visor_vm *vm, const visor_route *routes, size_t count)
{
    static const char op[] = "visor_vm_set_routes";
    const struct visor__irq_ops *ops = ops_of(vm, op);
    visor_route *copy;
    int ret = 0;

    if (ops == NULL)
        return VISOR_EUNSUPPORTED;
    if (ops->set_routes == NULL)
        return visor__unsupported(vm->hv, op, "its routes are fixed");
    for (size_t i = 0; ret == 0 && i < count; i++)
        ret = check_route(vm, &routes[i]);
    if (ret < 0)
        return ret;
    copy = calloc(count > 0 ? count : 1, sizeof(*copy));
    if (copy == NULL)
        return visor__error(VISOR_ENOMEM, "", op, "no memory for %zu routes", count);
    if (count > 0)
        memcpy(copy, routes, count * sizeof(*copy));

    visor__mutex_lock(&vm->lock);
    ret = ops->set_routes(vm, copy, count);
    if (ret == 0) {
        visor_route *old = vm->irq->routes;

        vm->irq->routes = copy;
        vm->irq->route_count = count;
        copy = old;
    }
    visor__mutex_unlock(&vm->lock);
    free(copy);
    return ret;
}

size_t visor__irq_routes(visor_route *out, size_t capacity, visor_vm *vm)
{
    size_t count;

    visor__mutex_lock(&vm->lock);
    count = vm->irq->route_count;
    if (capacity > count)
        capacity = count;
    if (capacity > 0)
        memcpy(out, vm->irq->routes, capacity * sizeof(*out));
    visor__mutex_unlock(&vm->lock);
    return count;
}

size_t visor__irq_routes_of(visor_route *out, size_t capacity, visor_vm *vm, uint32_t gsi)
{
    const struct visor__irq_table *table = vm->irq;
    size_t count = 0;

    visor__mutex_lock(&vm->lock);
    for (size_t i = 0; i < table->route_count && count < capacity; i++) {
        if (table->routes[i].gsi == gsi)
            out[count++] = table->routes[i];
    }
    visor__mutex_unlock(&vm->lock);
    return count;
}

int visor_vm_send_msi(visor_vm *vm, const visor_msi *msi)
{
    static const char op[] = "visor_vm_send_msi";
    const struct visor__irq_ops *ops;
    int ret = ready_ops_of(&ops, vm, op);

    if (ret < 0)
        return ret;
    if (ops->send_msi == NULL)
        return visor__unsupported(vm->hv, op, "messages need a route here");
    ret = check_msi(vm, msi, op);
    return ret < 0 ? ret : ops->send_msi(vm, msi);
}

int visor_vm_get_irqchip(visor_irqchip_reg *out, size_t capacity, visor_vm *vm)
{
    static const char op[] = "visor_vm_get_irqchip";
    const struct visor__irq_ops *ops;
    int ret = ready_ops_of(&ops, vm, op);

    if (ret < 0)
        return ret;
    if (ops->get_regs == NULL)
        return visor__unsupported(vm->hv, op, "its interrupt chip is not read as registers");
    visor__mutex_lock(&vm->lock);
    ret = ops->get_regs(out, capacity, vm);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_vm_set_irqchip(visor_vm *vm, const visor_irqchip_reg *regs, size_t count)
{
    static const char op[] = "visor_vm_set_irqchip";
    const struct visor__irq_ops *ops;
    int ret = ready_ops_of(&ops, vm, op);

    if (ret < 0)
        return ret;
    if (ops->set_regs == NULL)
        return visor__unsupported(vm->hv, op, "its interrupt chip is not set as registers");
    visor__mutex_lock(&vm->lock);
    ret = ops->set_regs(vm, regs, count);
    visor__mutex_unlock(&vm->lock);
    return ret;
}
