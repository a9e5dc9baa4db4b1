/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of the driver of Gunyah. */
#ifndef VISOR_TESTS_DOUBLE_GUNYAH_H
#define VISOR_TESTS_DOUBLE_GUNYAH_H

#include "double.h"
#include "gunyah_dt.h"
#include "linux_gunyah.h"
#include "machine.h"

enum gunyah_auth { AUTH_NONE, AUTH_TRUSTED, AUTH_PROTECTED };
enum gunyah_state { STATE_NONE, STATE_RUNNING, STATE_EXITED, STATE_FAILED };

struct gunyah_region {
    uint32_t label, flags;
    uint64_t gpa, size, host;
    bool is_lent;
    bool is_given; /* to the guest */
};

/* A vCPU as a function of the VM, which stays when its descriptor is closed. */
struct gunyah_vcpu_function {
    struct gunyah_vcpu_function *next;
    uint32_t id;
    bool is_removed;
};

struct gunyah_vm {
    struct object object;
    struct machine machine;
    pid_t creator;
    enum gunyah_state state; /* under the machine's lock */
    struct gunyah_vm_exit_info exit_info;
    struct gunyah_region regions[MACHINE_SLOTS];
    unsigned region_number;
    struct gunyah_vm_dtb_config dtb;
    struct gunyah_vm_firmware_config firmware;
    enum gunyah_auth auth;
    struct gunyah_qtvm_auth_arg image;
    /* What the guest starts with: X0 to X30, SP_EL0 to SP_EL2, PC. */
    uint64_t x[32], sp[3], pc;
    bool has_x[32], has_sp[3], has_pc;
    struct gunyah_config config;
    struct gunyah_vcpu_function *vcpus;
    /* Of doorbells that stay on until the guest has seen them, by index in config. */
    int level_fds[GUNYAH_BELLS];
};

/* gunyah_vm.c */
long gunyah_add_memory(struct gunyah_vm *vm, uint64_t arg, bool is_lent);
long gunyah_reclaim(struct gunyah_vm *vm, uint64_t arg);
long gunyah_set_boot_context(struct gunyah_vm *vm, uint64_t arg);
long gunyah_set_auth(struct gunyah_vm *vm, uint64_t arg);
long gunyah_start(struct gunyah_vm *vm);
machine_signal gunyah_signal;

/* gunyah_function.c */
long gunyah_add_function(struct gunyah_vm *vm, uint64_t arg);
long gunyah_remove_function(struct gunyah_vm *vm, uint64_t arg);
/* NULL: no function has this id. */
struct gunyah_vcpu_function *gunyah_find_vcpu(const struct gunyah_vm *vm, uint32_t id);

/* gunyah_vcpu.c */
/* function NULL: a descriptor that never runs. */
long gunyah_new_vcpu(struct gunyah_vm *vm, struct gunyah_vcpu_function *function);

#endif
