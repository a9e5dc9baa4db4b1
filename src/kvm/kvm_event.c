/* SPDX-License-Identifier: BSD-3-Clause */
/* Events in both directions: guest writes that signal, and lines, events and messages that
 * interrupt. */
#include <errno.h>
#include <stdlib.h>

#include "kvm/kvm.h"

/* ---- I/O events (api.rst 4.59) ---- */

static int change_io_event(visor_vm *vm, const visor_io_event *io_event, uint32_t flags)
{
    struct kvm_ioeventfd native = {
        .datamatch = io_event->match ? io_event->value : 0,
        .addr = io_event->address,
        .len = io_event->length,
        .fd = (int)io_event->event,
        .flags = flags | (io_event->match ? (uint32_t)KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
                 (io_event->space == VISOR_PIO ? (uint32_t)KVM_IOEVENTFD_FLAG_PIO : 0u),
    };
    int ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_IOEVENTFD, (uintptr_t)&native);

    if (ret < 0)
        return kvm_error("KVM_IOEVENTFD", -ret, "%s %#llx, %u bytes",
                         io_event->space == VISOR_PIO ? "port" : "address",
                         (unsigned long long)io_event->address, io_event->length);
    return 0;
}

static int add_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    return change_io_event(vm, io_event, 0);
}

static int remove_io_event(visor_vm *vm, const visor_io_event *io_event)
{
    return change_io_event(vm, io_event, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

const struct visor__io_event_ops kvm_io_event_ops = {
    .add = add_io_event,
    .remove = remove_io_event,
};

/* ---- lines and events ---- */

int kvm_set_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    struct kvm_irq_level line = {.irq = kvm_arch_irq_line(gsi), .level = level};
    int ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_IRQ_LINE, (uintptr_t)&line);

    return ret < 0 ? kvm_error("KVM_IRQ_LINE", -ret, "gsi %u", gsi) : 0;
}

/* To each pin that the gsi is routed to, and a message for a rise, as the kernel does for events
 * and on x86. */
int kvm_set_routed_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    visor_route routes[4];
    size_t count = visor__irq_routes_of(routes, sizeof(routes) / sizeof(routes[0]), vm, gsi);
    int ret = 0;

    for (size_t i = 0; i < count && ret >= 0; i++) {
        if (!routes[i].is_msi)
            ret = kvm_set_irq(vm, routes[i].pin, level);
        else if (level)
            ret = kvm_send_msi(vm, &routes[i].msi);
    }
    return ret < 0 ? ret : 0;
}

int kvm_add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = gsi};
    int ret;

    if (resample != VISOR_EVENT_NONE) {
        if (kvm_arch_lacks(VISOR_CAP_IRQFD_RESAMPLE))
            return visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_IRQFD",
                                "the interrupt controller is not told when an interrupt ends");
        if (vm->config.irqchip == VISOR_IRQCHIP_SPLIT) {
            visor__error(VISOR_EUNSUPPORTED, "kvm", "KVM_IRQFD",
                         "the end of a line's interrupt is seen by the outer I/O APIC only");
            return visor__error_hint("raise level interrupts with visor_vm_set_irq() and watch "
                                     "for VISOR_EXIT_IOAPIC_EOI");
        }
        irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
        irqfd.resamplefd = (uint32_t)resample;
    }
    ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_IRQFD, (uintptr_t)&irqfd);
    if (ret == -EBUSY) /* the core compares descriptors, the kernel what is behind them */
        return visor__error_native(VISOR_EEXIST, "kvm", "KVM_IRQFD", VISOR_NATIVE_ERRNO, EBUSY,
                                   "gsi %u: the event raises an interrupt already", gsi);
    return ret < 0 ? kvm_error("KVM_IRQFD", -ret, "gsi %u", gsi) : 0;
}

int kvm_remove_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    struct kvm_irqfd irqfd = {
        .fd = (uint32_t)event,
        .gsi = gsi,
        .flags = KVM_IRQFD_FLAG_DEASSIGN,
    };
    int ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_IRQFD, (uintptr_t)&irqfd);

    return ret < 0 ? kvm_error("KVM_IRQFD", -ret, "gsi %u", gsi) : 0;
}

/* ---- routes and messages ---- */

/* The core has checked chips, pins, and that only Arm's messages have a device id. KVM knows what
 * an id is for once there is a chip that wants it (an ITS). */
static bool has_device_id(const visor_vm *vm, const visor_msi *msi)
{
    return msi->has_device_id && kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_MSI_DEVID) > 0;
}

static void fill_route(struct kvm_irq_routing_entry *out, const visor_vm *vm,
                       const visor_route *route)
{
    out->gsi = route->gsi;
    if (!route->is_msi) {
        out->type = KVM_IRQ_ROUTING_IRQCHIP;
        out->u.irqchip.irqchip = kvm_arch_route_chip(route->chip);
        out->u.irqchip.pin = route->pin;
        return;
    }
    out->type = KVM_IRQ_ROUTING_MSI;
    out->u.msi.address_lo = (uint32_t)route->msi.address;
    out->u.msi.address_hi = (uint32_t)(route->msi.address >> 32);
    out->u.msi.data = route->msi.data;
    if (has_device_id(vm, &route->msi)) {
        out->flags = KVM_MSI_VALID_DEVID;
        out->u.msi.devid = route->msi.device_id;
    }
}

int kvm_set_routes(visor_vm *vm, const visor_route *routes, size_t count)
{
    static const char op[] = "KVM_SET_GSI_ROUTING";
    int most = kvm_check(kvm_vm_of(vm)->fd, KVM_CAP_IRQ_ROUTING);
    struct kvm_irq_routing *table;
    int ret;

    if (count > (size_t)most)
        return visor__error(VISOR_ELIMIT, "kvm", op, "%zu routes; this kernel takes %d", count,
                            most);
    table = calloc(1, sizeof(*table) + count * sizeof(table->entries[0]));
    if (table == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", op, "%zu routes", count);
    table->nr = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        fill_route(&table->entries[i], vm, &routes[i]);
    ret = KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_GSI_ROUTING, table);
    free(table);
    return ret < 0 ? ret : 0;
}

int kvm_send_msi(visor_vm *vm, const visor_msi *msi)
{
    static const char op[] = "KVM_SIGNAL_MSI";
    struct kvm_msi native = {
        .address_lo = (uint32_t)msi->address,
        .address_hi = (uint32_t)(msi->address >> 32),
        .data = msi->data,
    };
    int ret;

    if (has_device_id(vm, msi)) {
        native.flags = KVM_MSI_VALID_DEVID;
        native.devid = msi->device_id;
    }
    ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_SIGNAL_MSI, (uintptr_t)&native);
    /* -1 from the delivery code, "no vCPU took it", reaches us as EPERM. */
    if (ret < 0 && ret != -EPERM)
        return kvm_error(op, -ret, "address %#llx, data %#x", (unsigned long long)msi->address,
                         msi->data);
    return ret > 0;
}
