/* SPDX-License-Identifier: BSD-3-Clause */
/* Events in both directions: guest writes that signal, lines and events that interrupt. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "twin/twin.h"

typedef unsigned long long ull;

/* ---- I/O events ---- */

static int change_io_event(visor_vm *vm, const visor_io_event *io_event, uint32_t flags)
{
    const struct twin *twin = twin_of(vm);
    struct gzvm_ioeventfd native = {
        .datamatch = io_event->match ? io_event->value : 0,
        .addr = io_event->address,
        .len = io_event->length,
        .fd = (int)io_event->event,
        .flags = flags | (io_event->match ? GZVM_IOEVENTFD_FLAG_DATAMATCH : 0u),
    };
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->ioeventfd, &native);

    return ret < 0 ? twin_error(twin, ioeventfd, -ret, "address 0x%llx, %u bytes",
                                (ull)io_event->address, io_event->length)
                   : 0;
}

static int add_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    struct twin_vm *priv = twin_vm_of(vm);
    visor_io_event *list;
    int ret;

    if (io_event->space != VISOR_MMIO)
        return visor__error(VISOR_EUNSUPPORTED, twin_of(vm)->name, twin_of(vm)->ioeventfd.name,
                            "the guest has no ports");
    list = realloc(priv->io_events, (priv->io_event_count + 1) * sizeof(*list));
    if (list == NULL)
        return visor__error(VISOR_ENOMEM, twin_of(vm)->name, twin_of(vm)->ioeventfd.name,
                            "no memory");
    priv->io_events = list;
    ret = change_io_event(vm, io_event, 0);
    if (ret == 0)
        list[priv->io_event_count++] = *io_event;
    return ret;
}

static bool same(const visor_io_event *a, const visor_io_event *b)
{
    return a->event == b->event && a->address == b->address && a->length == b->length &&
           a->match == b->match && (!a->match || a->value == b->value);
}

static int remove_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    struct twin_vm *priv = twin_vm_of(vm);
    int ret = change_io_event(vm, io_event, GZVM_IOEVENTFD_FLAG_DEASSIGN);

    for (size_t i = 0; ret == 0 && i < priv->io_event_count; i++) {
        if (!same(&priv->io_events[i], io_event))
            continue;
        priv->io_events[i] = priv->io_events[--priv->io_event_count];
        break;
    }
    return ret;
}

/* Halla's driver does not free the ones that are left when a VM goes. */
void twin_drop_io_events(visor_vm *vm)
{
    struct twin_vm *priv = twin_vm_of(vm);

    for (size_t i = 0; i < priv->io_event_count; i++)
        (void)change_io_event(vm, &priv->io_events[i], GZVM_IOEVENTFD_FLAG_DEASSIGN);
    free(priv->io_events);
}

bool twin_has_io_event(visor_vm *vm, uint64_t address, uint32_t length, const uint8_t *data)
{
    const struct twin_vm *priv = twin_vm_of(vm);
    uint64_t value = 0;
    bool found = false;

    memcpy(&value, data, length < sizeof(value) ? length : sizeof(value));
    visor__mutex_lock(&vm->lock);
    for (size_t i = 0; i < priv->io_event_count && !found; i++) {
        const visor_io_event *event = &priv->io_events[i];

        found = event->address == address && (event->length == 0 || event->length == length) &&
                (!event->match || event->value == value);
    }
    visor__mutex_unlock(&vm->lock);
    return found;
}

const struct visor__io_event_ops twin_io_event_ops = {
    .add = add_io_event,
    .remove = remove_io_event,
};

/* ---- lines and events ---- */

/* The number is that of an SPI: drivers that look at the type add 32 for it, the others take an
 * SPI's number anyway. */
static int set_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    const struct twin *twin = twin_of(vm);
    struct gzvm_irq_level line = {
        .irq = GZVM_IRQ_TYPE_SPI << GZVM_IRQ_TYPE_SHIFT | gsi,
        .level = level,
    };
    int ret;

    if (gsi > GZVM_IRQ_NUM_MASK)
        return visor__error(VISOR_EINVAL, twin->name, twin->irq_line.name, "gsi %u", gsi);
    ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->irq_line, &line);
    return ret < 0 ? twin_error(twin, irq_line, -ret, "gsi %u", gsi) : 0;
}

static int change_irqfd(visor_vm *vm, uint32_t gsi, visor_event event, uint32_t flags)
{
    const struct twin *twin = twin_of(vm);
    struct gzvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = gsi, .flags = flags};
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->irqfd, &irqfd);

    if (ret == -EBUSY) /* the core compares descriptors, the kernel what is behind them */
        return visor__error_native(VISOR_EEXIST, twin->name, twin->irqfd.name, VISOR_NATIVE_ERRNO,
                                   EBUSY, "gsi %u: the event raises an interrupt already", gsi);
    return ret < 0 ? twin_error(twin, irqfd, -ret, "gsi %u", gsi) : 0;
}

static int add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    const struct twin *twin = twin_of(vm);

    if (resample != VISOR_EVENT_NONE) {
        visor__error(VISOR_EUNSUPPORTED, twin->name, twin->irqfd.name,
                     "the driver takes an event for the end of an interrupt, and never signals it");
        return visor__error_hint("raise level interrupts with visor_vm_set_irq()");
    }
    return change_irqfd(vm, gsi, event, 0);
}

static int remove_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    return change_irqfd(vm, gsi, event, GZVM_IRQFD_FLAG_DEASSIGN);
}

const struct visor__irq_ops twin_irq_ops = {
    .set_irq = set_irq,
    .add_event = add_event,
    .remove_event = remove_event,
};
