/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest of the null backend, for tests of the core. */
#ifndef VISOR_TESTS_UNIT_GUEST_H
#define VISOR_TESTS_UNIT_GUEST_H

#include <visor.h>

#include "core/vm.h"
#include "events.h"
#include "null/null.h"
#include "null/script.h"
#include "unit.h"

#define RAM_SIZE   0x10000u
#define SCRIPT_GPA 0x1000u
#define HOLE       0x100000u /* no memory there */
#define PAGE       ((uint64_t)visor__os_page_size())

struct guest {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
};

static inline void guest_free(struct guest *guest)
{
    visor_hypervisor_free(guest->hv);
    visor_memory_free(guest->memory);
    visor_vm_free(guest->vm);
    visor_vcpu_free(guest->vcpu);
}

/* The null backend runs x86-64 guests, whatever the host's architecture is. */
#define GUEST_CONFIG_INIT                                           \
    {                                                               \
        .size = sizeof(visor_vm_config), .arch = VISOR_ARCH_X86_64, \
    }

/*
 * A VM with 64 KiB at 0 and vCPU 0 on a hypervisor that is taken over. config: as it is but for the
 * architecture; NULL: GUEST_CONFIG_INIT.
 */
static inline bool guest_create_on(struct guest *guest, visor_hypervisor *hv,
                                   const visor_vm_config *config)
{
    const visor_memory_region ram = {.length = RAM_SIZE};
    visor_vm_config own = GUEST_CONFIG_INIT;

    if (config != NULL) {
        own = *config;
        own.arch = VISOR_ARCH_X86_64;
    }
    *guest = (struct guest){.hv = hv};
    if (CHECK_OK(visor_memory_create(&guest->memory, &ram, 1, NULL)) &&
        CHECK_OK(visor_vm_create(&guest->vm, guest->hv, guest->memory, &own)) &&
        CHECK_OK(visor_vcpu_create(&guest->vcpu, guest->vm, 0)))
        return true;
    guest_free(guest);
    return false;
}

static inline bool guest_create(struct guest *guest, const visor_vm_config *config)
{
    visor_hypervisor *hv;

    return CHECK_OK(visor_hypervisor_open(&hv, "null")) && guest_create_on(guest, hv, config);
}

/* Puts a script into memory and the vCPU at its beginning, after the end of what it was doing. */
static inline bool guest_load(struct guest *guest, const struct null_step *script, size_t length)
{
    visor_x86_sregs sregs;
    visor_x86_regs regs;

    while (visor_vcpu_settle(guest->vcpu) > VISOR_EXIT_NONE)
        continue;
    visor_x86_reset_regs(&regs);
    visor_x86_reset_sregs(&sregs);
    regs.rip = SCRIPT_GPA;
    sregs.cs.base = 0;
    return CHECK_OK(visor_memory_write(guest->memory, SCRIPT_GPA, script, length)) &&
           CHECK_OK(visor_x86_set_sregs(guest->vcpu, &sregs)) &&
           CHECK_OK(visor_x86_set_regs(guest->vcpu, &regs));
}

/* GUEST_LOAD(&guest, NULL_OUT(...), NULL_HALT) */
#define GUEST_LOAD(guest, ...)                                   \
    guest_load((guest), (const struct null_step[]){__VA_ARGS__}, \
               sizeof((const struct null_step[]){__VA_ARGS__}))

static inline uint64_t guest_rax(struct guest *guest)
{
    visor_x86_regs regs = {0};

    CHECK_OK(visor_x86_get_regs(&regs, guest->vcpu));
    return regs.rax;
}

/* Address of the n-th step of the script. */
static inline uint64_t step_address(unsigned n)
{
    return SCRIPT_GPA + n * sizeof(struct null_step);
}

#endif
