/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES 128

const char *machine_error(const char *what)
{
    static char text[700];
    size_t length = (size_t)snprintf(text, sizeof(text), "%s: ", what);

    visor_error_format(text + length, sizeof(text) - length);
    return text;
}

const char *machine_open(struct machine *machine, const char *hypervisor)
{
    machine->name = hypervisor;
    return visor_hypervisor_open(&machine->hv, hypervisor) < 0 ? machine_error(hypervisor) : NULL;
}

static const visor_x86_cpuid_entry *find(const visor_x86_cpuid_entry *entries, int count,
                                         const visor_x86_cpuid_entry *like)
{
    for (int i = 0; i < count; i++) {
        if (entries[i].function == like->function && entries[i].index == like->index)
            return &entries[i];
    }
    return NULL;
}

/* Whether a leaf is bits of which each says that the processor can do something. */
static bool has_features(const visor_x86_cpuid_entry *entry)
{
    return entry->function == 7 || (entry->function == 0xd && entry->index == 1);
}

/*
 * The software CPU's leaves, without the features that KVM does not offer. This is what somebody
 * does who moves VMs between unlike hosts: what a guest has been told must hold where it goes.
 */
static int common_cpuid(visor_x86_cpuid_entry out[LEAVES], visor_hypervisor *one,
                        visor_hypervisor *other)
{
    visor_x86_cpuid_entry theirs[LEAVES];
    int count = visor_x86_supported_cpuid(out, LEAVES, one);
    int their_count = visor_x86_supported_cpuid(theirs, LEAVES, other);

    if (count < 0 || their_count < 0 || count > LEAVES || their_count > LEAVES)
        return VISOR_ELIMIT;
    for (int i = 0; i < count; i++) {
        visor_x86_cpuid_entry *entry = &out[i];
        const visor_x86_cpuid_entry *their = find(theirs, their_count, entry);

        if (entry->function == 1 || entry->function == 0x80000001) {
            entry->ecx &= their != NULL ? their->ecx : 0;
            entry->edx &= their != NULL ? their->edx : 0;
        } else if (has_features(entry)) {
            entry->eax &= their != NULL ? their->eax : 0;
            if (entry->function == 7)
                entry->ebx &= their != NULL ? their->ebx : 0;
            entry->ecx &= their != NULL ? their->ecx : 0;
            entry->edx &= their != NULL ? their->edx : 0;
        }
    }
    return count;
}

const char *machine_create(struct machine *machine, const struct machine *other, uint64_t ram,
                           const visor_vm_config *config)
{
    const visor_memory_region region = {.gpa = 0, .length = ram};
    const bool is_soft = strcmp(machine->name, "soft") == 0;
    visor_x86_cpuid_entry leaves[LEAVES];
    void *host = NULL;
    int count =
        common_cpuid(leaves, is_soft ? machine->hv : other->hv, is_soft ? other->hv : machine->hv);

    if (count < 0 || visor_memory_create(&machine->memory, &region, 1, NULL) < 0 ||
        visor_memory_ptr(&host, machine->memory, 0, ram) < 0 ||
        visor_vm_create(&machine->vm, machine->hv, machine->memory, config) < 0 ||
        visor_vcpu_create(&machine->vcpu, machine->vm, 0) < 0 ||
        visor_x86_set_cpuid(machine->vcpu, leaves, (size_t)count) < 0)
        return machine_error(machine->name);
    machine->ram = host;
    return NULL;
}

void machine_free(struct machine *machine)
{
    visor_vcpu_free(machine->vcpu);
    visor_vm_free(machine->vm);
    visor_memory_free(machine->memory);
    machine->vcpu = NULL;
    machine->vm = NULL;
    machine->memory = NULL;
}

void machine_close(struct machine *machine)
{
    machine_free(machine);
    visor_hypervisor_free(machine->hv);
    machine->hv = NULL;
}
