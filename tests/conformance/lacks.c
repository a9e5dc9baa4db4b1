/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a backend lacks it refuses: EUNSUPPORTED, with an operation and a reason, and nothing has
 * happened. The cases that need a capability are skipped where it is absent; these are not.
 */
#include "guest.h"

#define LACKS(g, cap) (visor_vm_cap((g)->vm, VISOR_CAP_##cap) <= 0)

static void no_page(void *context, uint32_t slot, uint64_t offset)
{
    (void)context, (void)slot, (void)offset;
}

/* Adds a slot that cannot be had; the mapping stays the caller's. */
static void refuse_slot(struct where where, struct guest *g, bool read_only, bool log_dirty)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t slot;

    config.gpa = guest_hole;
    config.read_only = read_only;
    config.log_dirty = log_dirty;
    CHECK_OK(visor_mapping_create(&mapping, page_size()));
    check_refused(where, visor_vm_add_slot(&slot, g->vm, mapping, &config), "visor_vm_add_slot()");
    visor_mapping_free(mapping);
}

CASE(lacks, memory, "slots and logs of a kind that is not there")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_vm *vm = NULL;

    guest_create(g, NULL);
    if (LACKS(g, READ_ONLY))
        refuse_slot(HERE, g, true, false);
    if (LACKS(g, DIRTY_LOG)) {
        refuse_slot(HERE, g, false, true);
        CHECK_REFUSED(visor_vm_dirty_harvest(g->vm, no_page, NULL));
        /* Where there is a log, it takes the place of a ring. */
        config.dirty_ring_entries = 1024;
        CHECK_REFUSED(visor_vm_create(&vm, g->hv, g->memory, &config));
        CHECK(vm == NULL);
    }
}

CASE(lacks, interrupts, "ways to interrupt that are not there")
{
    const visor_route route = {.gsi = 4, .is_msi = true};
    visor_event event = event_create(), resample = event_create();
    visor_msi msi = {.address = 0x40010040, .device_id = 0x0123, .has_device_id = true};

    guest_create_irqs(g);
    if (LACKS(g, IRQ_LINES))
        CHECK_REFUSED(visor_vm_set_irq(g->vm, guest_edge.gsi, true));
    if (LACKS(g, IRQFD))
        CHECK_REFUSED(visor_vm_add_irq_event(g->vm, guest_edge.gsi, event, VISOR_EVENT_NONE));
    if (LACKS(g, IRQFD_RESAMPLE))
        CHECK_REFUSED(visor_vm_add_irq_event(g->vm, guest_level.gsi, event, resample));
    if (LACKS(g, MSI)) {
        CHECK_REFUSED(visor_vm_send_msi(g->vm, &msi));
        CHECK_REFUSED(visor_vm_set_routes(g->vm, &route, 1));
    }
    file_close(event);
    file_close(resample);
}

CASE(lacks, vcpu, "debugging and power states that are not there")
{
    const visor_breakpoint at = {.address = guest_code, .length = 4};
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    visor_mp_state state;

    guest_start(g, guest_load[0], guest_data, 0, 0, NULL);
    if (LACKS(g, DEBUG)) {
        debug.single_step = true;
        CHECK_REFUSED(visor_vcpu_set_debug(g->vcpu, &debug));
        debug.single_step = false;
        debug.breakpoints = &at;
        debug.breakpoint_count = 1;
        CHECK_REFUSED(visor_vcpu_set_debug(g->vcpu, &debug));
    }
    if (LACKS(g, MP_STATE)) {
        CHECK_REFUSED(visor_vcpu_get_mp_state(&state, g->vcpu));
        CHECK_REFUSED(visor_vcpu_set_mp_state(g->vcpu, VISOR_MP_STOPPED));
    }
    CHECK_EQ(GUEST_FINISH(g), 0);
}

CASE(lacks, snapshot, "saving and restoring that are not there; nothing is written")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);

    guest_start(g, guest_load[0], guest_data, 0, 0, NULL);
    if (LACKS(g, SNAPSHOT)) {
        CHECK_REFUSED(visor_vm_save(g->vm, &stream, NULL));
        CHECK_REFUSED(visor_vcpu_save(g->vcpu, &stream));
        CHECK_EQ(buffer.length, 0);
        CHECK_REFUSED(visor_vm_restore(g->vm, &stream, NULL));
        CHECK_REFUSED(visor_vcpu_restore(g->vcpu, &stream));
    }
    CHECK_EQ(GUEST_FINISH(g), 0);
    buffer_free(&buffer);
}

CASE(lacks, vm, "clocks, calls and devices that are not there")
{
    visor_file file;
    uint64_t ns;

    guest_create(g, NULL);
    if (LACKS(g, PV_CLOCK)) {
        CHECK_REFUSED(visor_vm_get_clock(&ns, g->vm));
        CHECK_REFUSED(visor_vm_set_clock(g->vm, 1));
    }
    if (LACKS(g, HYPERCALLS))
        CHECK_REFUSED(visor_vm_enable_hypercalls(g->vm, 0xc6000000u, 1));
    if (LACKS(g, VFIO))
        CHECK_REFUSED(visor_vm_create_vfio(&file, g->vm));
}
