/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupt plumbing of a VM: lines, events, routes, messages. Needs an interrupt chip. */
#ifndef VISOR_IRQ_H
#define VISOR_IRQ_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

/* Sets the level of a global system interrupt's line. */
VISOR_API int visor_vm_set_irq(visor_vm *vm, uint32_t gsi, bool level);

/*
 * Raises gsi whenever `event` is signalled: edge if resample is VISOR_EVENT_NONE; else the line
 * stays high until the guest ends the interrupt, then `resample` is signalled, and the device
 * signals `event` again if it still wants service. EEXIST: this event raises a gsi already.
 * Neither event is closed, whatever happens.
 */
VISOR_API int visor_vm_add_irq_event(visor_vm *vm, uint32_t gsi, visor_event event,
                                     visor_event resample);
/* ENOENT if the pair was not added. */
VISOR_API int visor_vm_remove_irq_event(visor_vm *vm, uint32_t gsi, visor_event event);

/* A message-signalled interrupt. */
typedef struct visor_msi {
    uint64_t address;
    uint32_t data;
    uint32_t device_id;  /* bus << 8 | device << 3 | function, if has_device_id */
    bool has_device_id;  /* Arm: the ITS wants to know the sender; an error elsewhere */
} visor_msi;

/* A chip that a route can end at. */
typedef enum visor_chip {
    VISOR_CHIP_PIC_PRIMARY = 0,
    VISOR_CHIP_PIC_SECONDARY = 1,
    VISOR_CHIP_IOAPIC = 2,
    VISOR_CHIP_GIC = 3,
    VISOR_CHIP_AIA = 4,
} visor_chip;

typedef struct visor_route {
    uint32_t gsi;
    bool is_msi;
    visor_chip chip; /* if !is_msi */
    uint32_t pin;    /* if !is_msi */
    visor_msi msi;   /* if is_msi */
} visor_route;

/*
 * Replaces the whole routing table. count may be 0. A gsi may have several chip routes. EINVAL: a
 * chip that the architecture does not have, or a pin that the chip does not have.
 */
VISOR_API int visor_vm_set_routes(visor_vm *vm, const visor_route *routes, size_t count);

/* Sends one message now. Returns 1 if it was delivered, 0 if the guest ignores it. */
VISOR_API int visor_vm_send_msi(visor_vm *vm, const visor_msi *msi);

/*
 * State of the interrupt chip as a list of registers, on architectures other than x86 (which has a
 * structure for each of its chips): group and offset as in the architecture's header.
 */
typedef struct visor_irqchip_reg {
    uint32_t group;
    uint32_t vcpu; /* id, for registers that every vCPU has; else 0 */
    uint64_t offset;
    uint64_t value;
} visor_irqchip_reg;

/*
 * All registers that matter to a guest. Fills in up to capacity; returns how many there are. State
 * that the chip keeps in guest memory (Arm: tables of the ITS, pending LPIs) is written there first,
 * and read from there when the list is set: save memory after this, restore it before. No vCPU may
 * be running.
 */
VISOR_API int visor_vm_get_irqchip(visor_irqchip_reg *out, size_t capacity, visor_vm *vm);
/* Sets such a list, in any order, on a VM whose chip has the same shape. */
VISOR_API int visor_vm_set_irqchip(visor_vm *vm, const visor_irqchip_reg *regs, size_t count);

VISOR_END_DECLS

#endif
