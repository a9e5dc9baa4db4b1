/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt lines where the hypervisor has none but events that ring (Gunyah's doorbells): a line
 * that rises signals an event. The guest has to take its interrupts for edges.
 */
#ifndef VMM_MACHINE_LINES_H
#define VMM_MACHINE_LINES_H

#include "devices/device.h"

#define LINES_MAX 16

struct lines {
    visor_vm *vm;
    size_t count;
    struct {
        uint32_t gsi;
        visor_event event;
    } line[LINES_MAX];
};

/* An event for each gsi. All vCPUs exist and none has run. */
int lines_create(struct lines *out, visor_vm *vm, const uint32_t *gsis, size_t count,
                 vmm_error *error);
/* Takes what lines_create() came to. */
void lines_free(struct lines *lines);
/* As vmm_host.set_irq; context is the struct lines. */
int lines_set_irq(void *context, uint32_t gsi, bool level);

#endif
