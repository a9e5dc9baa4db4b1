/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the drivers of Geniezone and Halla have in common: the shape of their structures, of which
 * Geniezone's names are used for both, and the order of their checks.
 */
#ifndef VISOR_TESTS_DOUBLE_SIBLING_H
#define VISOR_TESTS_DOUBLE_SIBLING_H

#include "double.h"
#include "linux_gzvm.h"
#include "machine.h"

/* In the order of what they are; 0: the driver does not have it. */
struct sibling_exits {
    uint32_t unknown, mmio, irq, exception, fail_entry, internal_error, system_event;
};

struct sibling {
    const char *name;
    struct sibling_exits exits;
    unsigned max_slots;
    /* Error of the hypervisor as the driver hands it on. */
    long (*refusal)(int err);
    machine_signal *signal;
};

struct sibling_vm {
    struct object object;
    struct machine machine;
    const struct sibling *kind;
    bool ranges_collide; /* an ioeventfd is in the way of others within it, not only at its start */
    bool is_protected, has_firmware, has_dtb;
    bool has_run;
    bool is_closed;         /* nothing of it is left but this structure */
    uint64_t firmware, dtb; /* guest addresses */
};

struct sibling_vcpu {
    struct object object;
    struct sibling_vm *vm;
    struct machine_vcpu *vcpu;
    bool reads; /* the guest waits for what it read */
    uint32_t read_register;
    uint64_t read_size;
};

/* Flags of memory regions that mean something to the hypervisor. */
#define SIBLING_SHARED GZVM_USER_MEM_REGION_STATIC_SWIOTLB

int sibling_init(struct sibling_vm *vm, const struct sibling *kind, unsigned address_bits);
/* For drivers whose vCPUs do not hold the VM: all goes now, and vCPUs must not be used any more. */
void sibling_close(struct sibling_vm *vm);
void sibling_release(struct sibling_vm *vm);
/* Ends the process if the vCPU's VM is closed. */
void sibling_check(const struct sibling_vcpu *vcpu);

long sibling_check_extension(uint64_t arg, uint64_t gpa_size, uint64_t protected_vm, long unknown);
long sibling_set_memory(struct sibling_vm *vm, uint64_t arg);
long sibling_irqfd(struct sibling_vm *vm, uint64_t arg);
long sibling_ioeventfd(struct sibling_vm *vm, uint64_t arg);
long sibling_create_device(struct sibling_vm *vm, uint64_t arg);
long sibling_set_dtb(struct sibling_vm *vm, uint64_t arg);
/* The three things that can be done to make a VM protected. */
long sibling_protect(struct sibling_vm *vm, struct gzvm_enable_cap *cap, uint64_t arg,
                     bool firmware_protects);
long sibling_set_reg(struct sibling_vcpu *vcpu, uint64_t arg);
long sibling_run(struct sibling_vcpu *vcpu, uint64_t arg);

#endif
