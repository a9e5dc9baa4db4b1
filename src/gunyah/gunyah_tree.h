/* SPDX-License-Identifier: BSD-3-Clause */
/* What Gunyah's resource manager wants to find in a VM's device tree. */
#ifndef VISOR_GUNYAH_GUNYAH_TREE_H
#define VISOR_GUNYAH_GUNYAH_TREE_H

#include <visor.h>

/* A function of type IRQFD, as the driver was told of it. */
struct gunyah_doorbell {
    uint32_t label; /* the number of the SPI */
    visor_event event;
};

struct gunyah_tree {
    const visor_memory *memory;
    const visor_aarch64_config *config; /* where the interrupt controller is to be */
    uint32_t vcpu_count;
    bool no_timer_wakeups;
    const struct gunyah_doorbell *doorbells;
    size_t doorbell_count;
};

/*
 * Adds the nodes to the tree in area, or makes a tree with the least that is needed if area begins
 * with four zero bytes. VISOR_EFORMAT: it holds something else. VISOR_EINVAL: a tree without
 * interrupt-parent, or a memory layout that cannot be told. VISOR_ELIMIT: no room.
 */
int gunyah_tree_complete(void *area, size_t capacity, const struct gunyah_tree *tree);

#endif
