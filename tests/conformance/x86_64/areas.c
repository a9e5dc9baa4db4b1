/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: address areas of the VM, protected VMs, nested state. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

static void create_vm(struct guest *g)
{
    const visor_memory_region region = {.gpa = 0, .length = 0x10000};

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, NULL));
}

VISOR_GUEST_ASM16(halt, "mov ax, 7; hlt");

CASE(areas, identity_map_and_tss, "the areas for old Intel processors, before any vCPU")
{
    create_vm(g);
    CHECK_OK(visor_x86_set_identity_map(g->vm, 0xfeffc000u));
    CHECK_OK(visor_x86_set_tss_area(g->vm, 0xfeffd000u));
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
    CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
    x86_set_mode(g, g->vcpu, X86_REAL, 0);
    x86_load(g, g->vcpu, 0x1000, &halt, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 7);
}

CASE(areas, identity_map_low, "another place for it")
{
    create_vm(g);
    CHECK_OK(visor_x86_set_identity_map(g->vm, 0x20000));
}

CASE(areas, too_late, "not once there is a vCPU")
{
    create_vm(g);
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
    CHECK(visor_x86_set_identity_map(g->vm, 0xfeffc000u) < 0);
}

CASE(areas, protected_vm, "protected VMs: there, or refused when created, and no abort")
{
    const visor_memory_region region = {.gpa = 0, .length = 0x10000};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    uint64_t size;
    int result;

    config.protection = VISOR_PROTECTED;
    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    result = visor_vm_create(&g->vm, g->hv, g->memory, &config);
    if (visor_hypervisor_cap(g->hv, VISOR_CAP_PROTECTED) > 0) {
        CHECK_OK(result);
        return;
    }
    CHECK_EQ(result, VISOR_EUNSUPPORTED);
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, NULL));
    CHECK(visor_vm_load_firmware(&size, g->vm, 0, 0x1000) < 0);
}

CASE(areas, nested_state, "the nested state goes out and in again")
{
    size_t capacity;
    uint8_t *state;
    int length;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &halt});
    capacity = (size_t)visor_vm_cap(g->vm, VISOR_CAP_X86_NESTED_STATE_SIZE);
    state = calloc(1, capacity + 16);
    CHECK(state != NULL);
    memset(state + capacity, 0xee, 16);
    length = CHECK_OK(visor_x86_get_nested_state(state, capacity, g->vcpu));
    CHECK((size_t)length <= capacity);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(state[capacity + i], 0xee);
    CHECK_OK(visor_x86_set_nested_state(g->vcpu, state, (size_t)length));
    CHECK_EQ(visor_x86_get_nested_state(NULL, 0, g->vcpu), length);
    if (capacity > 0) {
        CHECK_ERROR(visor_x86_set_nested_state(g->vcpu, state, 3), EFORMAT); /* half a header */
        memset(state, 0xff, capacity);
        CHECK_ERROR(visor_x86_set_nested_state(g->vcpu, state, capacity), EFORMAT);
    }
    RUN_TO(g, HLT);
    free(state);
}
