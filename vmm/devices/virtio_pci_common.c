/* SPDX-License-Identifier: BSD-3-Clause */
/* The common configuration of virtio over PCI: status, features, queues (virtio 1.2, 2.1, 2.2, 3.1
 * and 4.1.4.3). */
#include <stddef.h>

#include "devices/virtio_pci_internal.h"

#define F_RING_RESET (1ull << 40)
#define FEATURES     (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | F_RING_RESET)

/* 4.1.4.3: struct virtio_pci_common_cfg */
struct common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_vector, queue_count;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
    uint64_t queue_desc, queue_driver, queue_device;
    uint16_t queue_notify_data, queue_reset;
};
_Static_assert(offsetof(struct common, queue_desc) == 32, "layout");
_Static_assert(offsetof(struct common, queue_reset) == 58, "layout");

static void reset_queue(virtio_pci *transport, unsigned index)
{
    transport->queues[index] = (virtq){.size = transport->device->queue_size[index]};
    transport->queue_vector[index] = NO_VECTOR;
    transport->queue_enable[index] = false;
}

void virtio_pci_reset_registers(virtio_pci *transport)
{
    transport->device_feature_select = transport->driver_feature_select = 0;
    transport->driver_features = 0;
    transport->config_vector = NO_VECTOR;
    transport->queue_select = 0;
    transport->status = transport->isr = 0;
    for (unsigned i = 0; i < transport->device->queue_count; i++)
        reset_queue(transport, i);
}

static void reset_device(virtio_pci *transport)
{
    virtio_pci_quiesce(transport);
    virtio_pci_reset_registers(transport);
    pci_device_intx(transport->pci, false);
    if (transport->device->reset)
        transport->device->reset(transport->device);
    virtio_pci_resume(transport);
}

static uint64_t offered(const virtio_pci *transport)
{
    return transport->device->features | FEATURES |
           (transport->host->bounce_only ? VIRTIO_F_ACCESS_PLATFORM : 0);
}

/* 6.1: what a driver has to take. One that does not know of ACCESS_PLATFORM would use memory that
 * is not to be had. */
static uint64_t required(const virtio_pci *transport)
{
    return offered(transport) & (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM);
}

static void write_status(virtio_pci *transport, uint8_t value)
{
    virtio_device *device = transport->device;
    uint64_t features = transport->driver_features;

    if (value == 0) {
        reset_device(transport);
        return;
    }
    value |= transport->status; /* bits go away by a reset only (2.1.1) */
    if (value & STATUS_FEATURES_OK & ~transport->status &&
        (features & ~offered(transport) || required(transport) & ~features ||
         (device->accept && !device->accept(device, features))))
        value &= (uint8_t)~STATUS_FEATURES_OK;
    if (!(value & STATUS_FEATURES_OK))
        value &= (uint8_t)~STATUS_DRIVER_OK;
    transport->status = value;
    if (value & STATUS_DRIVER_OK)
        virtio_pci_kick(transport);
}

static void enable_queue(virtio_pci *transport, unsigned index)
{
    virtq *queue = &transport->queues[index];

    if (transport->queue_enable[index] || !(transport->status & STATUS_FEATURES_OK))
        return;
    queue->indirect = transport->driver_features & VIRTIO_F_INDIRECT_DESC;
    queue->event_idx = transport->driver_features & VIRTIO_F_EVENT_IDX;
    queue->bounce_only = transport->host->bounce_only;
    if (virtq_start(queue, transport->host->memory) < 0) {
        virtio_pci_needs_reset(transport, transport->host->bounce_only
                                              ? "virtqueue outside the bounce buffer"
                                              : "virtqueue outside guest memory");
        return;
    }
    transport->queue_enable[index] = true;
    virtio_pci_kick(transport);
}

static uint16_t valid_vector(const virtio_pci *transport, uint64_t vector)
{
    return vector <= transport->device->queue_count ? (uint16_t)vector : NO_VECTOR;
}

static void set_half(uint64_t *target, bool high, uint64_t value)
{
    *target = high ? (*target & 0xffffffff) | value << 32
                   : (*target & ~0xffffffffull) | (value & 0xffffffff);
}

/* The address registers of the selected queue; a driver may write them in halves. */
static void write_queue_address(virtq *queue, uint32_t offset, uint32_t length, uint64_t value)
{
    uint64_t *target = offset < offsetof(struct common, queue_driver)   ? &queue->desc
                       : offset < offsetof(struct common, queue_device) ? &queue->avail
                                                                        : &queue->used;

    if (length == 8 && offset % 8 == 0)
        *target = value;
    else if (length == 4 && offset % 4 == 0)
        set_half(target, offset % 8 != 0, value);
}

static void write_queue_register(virtio_pci *transport, uint32_t offset, uint32_t length,
                                 uint64_t value)
{
    unsigned index = transport->queue_select;
    virtq *queue;

    if (index >= transport->device->queue_count)
        return;
    queue = &transport->queues[index];
    if (offset >= offsetof(struct common, queue_desc) &&
        offset < offsetof(struct common, queue_notify_data)) {
        if (!transport->queue_enable[index])
            write_queue_address(queue, offset, length, value);
        return;
    }
    if (length != 2)
        return;
    switch (offset) {
    case offsetof(struct common, queue_size):
        if (!transport->queue_enable[index] && value <= transport->device->queue_size[index])
            queue->size = (uint16_t)value;
        break;
    case offsetof(struct common, queue_vector):
        transport->queue_vector[index] = valid_vector(transport, value);
        break;
    case offsetof(struct common, queue_enable):
        if (value == 1)
            enable_queue(transport, index);
        break;
    case offsetof(struct common, queue_reset):
        if (value == 1 && transport->driver_features & F_RING_RESET) {
            virtio_pci_quiesce(transport);
            reset_queue(transport, index);
            virtio_pci_resume(transport);
        }
        break;
    default: break;
    }
}

/* A write counts if it has the width of the register (4.1.3.1). */
static void write_common(virtio_pci *transport, uint32_t offset, uint32_t length, uint64_t value)
{
    if (length == 1 && offset == offsetof(struct common, status))
        write_status(transport, (uint8_t)value);
    else if (length == 4 && offset == offsetof(struct common, device_feature_select))
        transport->device_feature_select = (uint32_t)value;
    else if (length == 4 && offset == offsetof(struct common, driver_feature_select))
        transport->driver_feature_select = (uint32_t)value;
    else if (length == 4 && offset == offsetof(struct common, driver_feature) &&
             transport->driver_feature_select < 2 && !(transport->status & STATUS_FEATURES_OK))
        set_half(&transport->driver_features, transport->driver_feature_select == 1, value);
    else if (length == 2 && offset == offsetof(struct common, config_vector))
        transport->config_vector = valid_vector(transport, value);
    else if (length == 2 && offset == offsetof(struct common, queue_select))
        transport->queue_select = (uint16_t)value;
    else if (offset >= offsetof(struct common, queue_size))
        write_queue_register(transport, offset, length, value);
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static void read_common(virtio_pci *transport, struct common *out)
{
    unsigned index = transport->queue_select;

    *out = (struct common){
        .device_feature_select = transport->device_feature_select,
        .device_feature = feature_word(offered(transport), transport->device_feature_select),
        .driver_feature_select = transport->driver_feature_select,
        .driver_feature =
            feature_word(transport->driver_features, transport->driver_feature_select),
        .config_vector = transport->config_vector,
        .queue_count = (uint16_t)transport->device->queue_count,
        .status = transport->status,
        .queue_select = transport->queue_select,
        .queue_vector = NO_VECTOR,
    };
    if (index < transport->device->queue_count) {
        out->queue_size = transport->queues[index].size;
        out->queue_vector = transport->queue_vector[index];
        out->queue_enable = transport->queue_enable[index];
        out->queue_notify_off = (uint16_t)index;
        out->queue_desc = transport->queues[index].desc;
        out->queue_driver = transport->queues[index].avail;
        out->queue_device = transport->queues[index].used;
    }
}

void virtio_pci_access_common(virtio_pci *transport, uint32_t offset, visor_io *io)
{
    struct common image;

    if (io->is_write) {
        write_common(transport, offset, io->length, visor_io_value(io));
    } else {
        read_common(transport, &image);
        for (uint32_t i = 0; i < io->length && i < sizeof(io->data); i++)
            io->data[i] =
                offset + i < VIRTIO_PCI_COMMON_LENGTH ? ((uint8_t *)&image)[offset + i] : 0;
    }
}
