/* SPDX-License-Identifier: BSD-3-Clause */
/* The rooms of a VM, as vm.c, vcpu.c and the state code see them. */
#ifndef VISOR_CORE_VM_H
#define VISOR_CORE_VM_H

#include "core/backend.h"

/* ---- capabilities (cap.c) ---- */

/*
 * What the tables of a backend say about a capability: 0 absent, 1 present, VISOR__CAP_ASK if the
 * table is there, or none decides, and the backend's cap() has the answer.
 */
#define VISOR__CAP_ASK (-1)
int visor__cap_by_table(const struct visor_backend *backend, visor_cap cap);

/* ---- life (vm.c) ---- */

/* Decides what the VM has, unless its user did: before the first vCPU. VM lock. */
int visor__vm_configure_default(visor_vm *vm);

/* ---- slots (slots.c) ---- */

struct visor__slot {
    struct visor__slot_map map;
    visor_mapping *mapping; /* NULL: a region of guest memory */
    uint64_t *dirty;        /* pages not harvested yet, whole words; NULL: no log */
    unsigned pins;          /* operations on the host memory under way without the VM lock */
    bool leaving;           /* being removed: not to be found any more */
};

struct visor__slots {
    struct visor__slot **table; /* by id; NULL: a free id */
    uint32_t count;             /* of ids in table */
    uint32_t max;               /* ids that the hypervisor has */
    uint64_t gpa_last;          /* last address that a guest of it can have */
};

/* Maps all of guest memory. */
int visor__slots_create(visor_vm *vm);
/* The backend's VM is gone before. Frees the mappings that slots hold. Accepts NULL in vm. */
void visor__slots_destroy(visor_vm *vm);
/* An added slot, NULL with ENOENT recorded. VM lock. */
struct visor__slot *visor__slot_find(visor_vm *vm, uint32_t slot, const char *operation);

/* Words of a slot's dirty bitmap. */
size_t visor__dirty_words(uint64_t length);

/* ---- I/O (io.c) ---- */

int visor__io_create(visor_vm *vm);
void visor__io_destroy(visor_vm *vm);
/*
 * What the core does at every exit: delivers coalesced writes, then, for IO and MMIO, offers
 * vcpu->exit.io to I/O events and handlers. Returns true if the access was served.
 */
bool visor__io_exit(visor_vcpu *vcpu);

/* ---- interrupts (irq.c) ---- */

int visor__irq_create(visor_vm *vm);
void visor__irq_destroy(visor_vm *vm);
/* After the chip is complete, which gave it the hypervisor's own routes: sets the user's again, if
 * there are any, or else remembers the default. VM lock. */
int visor__irq_sealed(visor_vm *vm);
/* The routing table as last set. Fills in up to capacity; returns how many there are. */
size_t visor__irq_routes(visor_route *out, size_t capacity, visor_vm *vm);

#endif
