/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions of a VM: doorbells, which interrupt the guest, and I/O events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gunyah/gunyah.h"

typedef unsigned long long ull;

static int change_function(visor_vm *vm, unsigned long request, uint32_t type, const void *argument,
                           uint32_t size)
{
    const struct gunyah_fn_desc function = {
        .type = type,
        .arg_size = size,
        .arg = (uintptr_t)argument,
    };

    return gunyah_ioctl(gunyah_vm_of(vm)->fd, request, &function);
}

int gunyah_add_function(visor_vm *vm, uint32_t type, const void *argument, uint32_t size)
{
    return change_function(vm, GUNYAH_VM_ADD_FUNCTION, type, argument, size);
}

/* Drivers differ in what they compare: a part of the argument, or all of its bytes. */
int gunyah_remove_function(visor_vm *vm, uint32_t type, const void *argument, uint32_t size)
{
    return change_function(vm, GUNYAH_VM_REMOVE_FUNCTION, type, argument, size);
}

/* ---- doorbells ---- */

/* Where a label is in the list, or would have to be. VM lock. */
static size_t place_of(const struct gunyah_vm *gunyah, uint32_t label)
{
    size_t at = 0;

    while (at < gunyah->doorbell_count && gunyah->doorbells[at].label < label)
        at++;
    return at;
}

static struct gunyah_fn_irqfd_arg irqfd_of(uint32_t label, visor_event event)
{
    return (struct gunyah_fn_irqfd_arg){.fd = (uint32_t)event, .label = label};
}

/* The tree lists the doorbells, and the hypervisor makes them from it. */
static int check_phase(const struct gunyah_vm *gunyah)
{
    if (atomic_load(&gunyah->phase) == GUNYAH_BUILDING)
        return 0;
    visor__error(VISOR_ESTATE, "gunyah", "visor_vm_add_irq_event",
                 "the VM's doorbells are in its device tree");
    return visor__error_hint("add events before the first run");
}

static int add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    static const char op[] = "GUNYAH_VM_ADD_FUNCTION(IRQFD)";
    struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    const struct gunyah_fn_irqfd_arg irqfd = irqfd_of(gsi, event);
    size_t at = place_of(gunyah, gsi);
    struct gunyah_doorbell *list;
    int ret = check_phase(gunyah);

    if (ret < 0)
        return ret;
    if (resample != VISOR_EVENT_NONE) {
        visor__error(VISOR_EUNSUPPORTED, "gunyah", op,
                     "a doorbell does not tell the end of its interrupt");
        return visor__error_hint("signal the event again while the device wants service");
    }
    /* The newest driver only warns. */
    if (at < gunyah->doorbell_count && gunyah->doorbells[at].label == gsi)
        return visor__error(VISOR_EEXIST, "gunyah", op, "gsi %u has a doorbell already", gsi);
    list = realloc(gunyah->doorbells, (gunyah->doorbell_count + 1) * sizeof(*list));
    if (list == NULL)
        return visor__error(VISOR_ENOMEM, "gunyah", op, "no memory");
    gunyah->doorbells = list;
    ret = gunyah_add_function(vm, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd));
    if (ret < 0)
        return gunyah_error(op, -ret, "gsi %u", gsi);
    memmove(list + at + 1, list + at, (gunyah->doorbell_count - at) * sizeof(*list));
    list[at] = (struct gunyah_doorbell){.label = gsi, .event = event};
    gunyah->doorbell_count++;
    return 0;
}

static int remove_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    const struct gunyah_fn_irqfd_arg irqfd = irqfd_of(gsi, event);
    size_t at = place_of(gunyah, gsi);
    int ret = gunyah_remove_function(vm, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd));

    if (ret < 0)
        return gunyah_error("GUNYAH_VM_REMOVE_FUNCTION(IRQFD)", -ret, "gsi %u", gsi);
    gunyah->doorbell_count--;
    memmove(gunyah->doorbells + at, gunyah->doorbells + at + 1,
            (gunyah->doorbell_count - at) * sizeof(*gunyah->doorbells));
    return 0;
}

const struct visor__irq_ops gunyah_irq_ops = {
    .add_event = add_event,
    .remove_event = remove_event,
};

/* ---- I/O events ---- */

static struct gunyah_fn_ioeventfd_arg ioeventfd_of(const visor_io_event *io_event)
{
    return (struct gunyah_fn_ioeventfd_arg){
        .datamatch = io_event->match ? io_event->value : 0,
        .addr = io_event->address,
        .len = io_event->length,
        .fd = (int)io_event->event,
        .flags = io_event->match ? GUNYAH_IOEVENTFD_FLAGS_DATAMATCH : 0u,
    };
}

static int add_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    static const char op[] = "GUNYAH_VM_ADD_FUNCTION(IOEVENTFD)";
    const struct gunyah_fn_ioeventfd_arg native = ioeventfd_of(io_event);
    int ret;

    if (io_event->space != VISOR_MMIO)
        return visor__error(VISOR_EUNSUPPORTED, "gunyah", op, "the guest has no ports");
    if (io_event->length != 0 && !io_event->match) {
        visor__error(VISOR_EUNSUPPORTED, "gunyah", op,
                     "address 0x%llx: the driver signals for writes of other lengths than %u, too",
                     (ull)io_event->address, io_event->length);
        return visor__error_hint("take any length (0), or one value (match)");
    }
    ret = gunyah_add_function(vm, GUNYAH_FN_IOEVENTFD, &native, sizeof(native));
    return ret < 0 ? gunyah_error(op, -ret, "address 0x%llx, %u bytes", (ull)io_event->address,
                                  io_event->length)
                   : 0;
}

static int remove_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    const struct gunyah_fn_ioeventfd_arg native = ioeventfd_of(io_event);
    int ret = gunyah_remove_function(vm, GUNYAH_FN_IOEVENTFD, &native, sizeof(native));

    return ret < 0
               ? gunyah_error("GUNYAH_VM_REMOVE_FUNCTION(IOEVENTFD)", -ret,
                              "address 0x%llx, %u bytes", (ull)io_event->address, io_event->length)
               : 0;
}

const struct visor__io_event_ops gunyah_io_event_ops = {
    .add = add_io_event,
    .remove = remove_io_event,
};
