/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over PCI, modern only: virtio 1.2, 2.1, 2.6 and 4.1. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio_pci_internal.h"
#include "os/os.h"

#define VENDOR_VIRTIO   0x1af4
#define DEVICE_BASE     0x1040
#define REVISION_MODERN 1
#define CAP_VENDOR      0x09

/* The one BAR: a page for each structure. */
enum {
    AT_COMMON = 0x0000,
    AT_ISR = 0x1000,
    AT_DEVICE = 0x2000,
    AT_NOTIFY = 0x3000,
    AT_MSIX_TABLE = 0x4000,
    AT_MSIX_PBA = 0x5000,
    BAR_SIZE = 0x8000,
    AREA = 0x1000,
};
#define NOTIFY_STEP 4u /* bytes between the queues' notification addresses */

#define ISR_QUEUE  1
#define ISR_CONFIG 2

/* 4.1.4: the body of a vendor capability, after id and next. */
struct capability {
    uint8_t length, type, bar, id, padding[2];
    uint32_t offset, size, extra;
} __attribute__((packed));
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_PCI = 5 };

void virtio_pci_kick(virtio_pci *transport)
{
    vmm_event_signal(transport->kick);
}

/* ---- interrupts, with the lock held ---- */

static void interrupt(virtio_pci *transport, uint16_t vector, uint8_t isr)
{
    if (pci_device_msix_enabled(transport->pci)) {
        pci_device_msix(transport->pci, vector); /* NO_VECTOR is out of range: none */
    } else {
        transport->isr |= isr;
        pci_device_intx(transport->pci, true);
    }
}

void virtio_pci_needs_reset(virtio_pci *transport, const char *why)
{
    if (transport->status & STATUS_NEEDS_RESET)
        return;
    vmm_log(transport->host, "%s: %s; the device waits for a reset by the guest",
            transport->device->name, why);
    transport->status |= STATUS_NEEDS_RESET;
    if (transport->status & STATUS_DRIVER_OK)
        interrupt(transport, transport->config_vector, ISR_CONFIG);
}

/* ---- the worker ---- */

static bool runnable(const virtio_pci *transport, unsigned index)
{
    return !transport->quiesce && !transport->ending && transport->queues[index].ready &&
           (transport->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET | STATUS_FAILED)) ==
               STATUS_DRIVER_OK &&
           pci_device_bus_master(transport->pci);
}

/* Serves a queue until it is empty. With the lock held, except while a request is being served. */
static void serve_queue(virtio_pci *transport, unsigned index)
{
    virtio_device *device = transport->device;
    virtq *queue = &transport->queues[index];
    int64_t written;
    int result;

    while (runnable(transport, index)) {
        virtq_disable_notify(queue);
        result = virtq_pop(queue, &transport->chain);
        if (result == 0 && !virtq_enable_notify(queue))
            return;
        if (result == 0)
            continue;
        if (result < 0) {
            virtio_pci_needs_reset(transport, "malformed virtqueue");
            return;
        }
        transport->busy = true;
        pthread_mutex_unlock(&transport->lock);
        written = device->serve(device, index, &transport->chain);
        pthread_mutex_lock(&transport->lock);
        transport->busy = false;
        pthread_cond_broadcast(&transport->idle);
        if (written < 0) {
            virtio_pci_needs_reset(transport, "malformed request");
            return;
        }
        virtq_push(queue, transport->chain.head, (uint32_t)written);
        if (virtq_should_interrupt(queue))
            interrupt(transport, transport->queue_vector[index], ISR_QUEUE);
    }
}

static void *work(void *argument)
{
    virtio_pci *transport = argument;

    pthread_mutex_lock(&transport->lock);
    while (!transport->ending) {
        pthread_mutex_unlock(&transport->lock);
        vmm_event_wait(transport->kick);
        pthread_mutex_lock(&transport->lock);
        for (unsigned i = 0; i < transport->device->queue_count; i++)
            serve_queue(transport, i);
    }
    pthread_mutex_unlock(&transport->lock);
    return NULL;
}

void virtio_pci_quiesce(virtio_pci *transport)
{
    transport->quiesce++;
    while (transport->busy)
        pthread_cond_wait(&transport->idle, &transport->lock);
}

void virtio_pci_resume(virtio_pci *transport)
{
    transport->quiesce--;
    virtio_pci_kick(transport);
}

/* ---- the BAR ---- */

static void access_bar(void *context, unsigned bar, uint32_t offset, visor_io *io)
{
    virtio_pci *transport = context;
    virtio_device *device = transport->device;

    (void)bar;
    pthread_mutex_lock(&transport->lock);
    if (!io->is_write)
        visor_io_set_value(io, 0);
    switch (offset / AREA * AREA) {
    case AT_COMMON: virtio_pci_access_common(transport, offset, io); break;
    case AT_ISR:
        if (!io->is_write && offset == AT_ISR) {
            io->data[0] = transport->isr; /* reading acknowledges */
            transport->isr = 0;
            pci_device_intx(transport->pci, false);
        }
        break;
    case AT_DEVICE:
        if (io->is_write && device->write_config)
            device->write_config(device, offset - AT_DEVICE, io->data, io->length);
        else if (!io->is_write && device->read_config)
            device->read_config(device, offset - AT_DEVICE, io->data, io->length);
        break;
    case AT_NOTIFY:
        if (io->is_write)
            virtio_pci_kick(transport);
        break;
    default: break;
    }
    pthread_mutex_unlock(&transport->lock);
}

/* 4.1.4.9: the last words of the capability read and write the BAR. */
static void access_pci_cfg(void *context, uint32_t offset, visor_io *io)
{
    virtio_pci *transport = context;
    uint32_t bar = pci_device_config_value(transport->pci, transport->pci_cfg_cap + 4, 1);
    uint32_t at = pci_device_config_value(transport->pci, transport->pci_cfg_cap + 8, 4);
    uint32_t length = pci_device_config_value(transport->pci, transport->pci_cfg_cap + 12, 4);

    if (offset == 0 && bar == 0 && length == io->length && at < AT_MSIX_TABLE && length &&
        at % length == 0)
        access_bar(transport, 0, at, io);
    else if (!io->is_write)
        visor_io_set_value(io, 0);
}

/* Notifications go straight to the worker while the BAR stands where they are registered. */
static void moved(void *context, unsigned bar, uint64_t gpa)
{
    virtio_pci *transport = context;
    const vmm_host *host = transport->host;
    visor_io_event io_event = {.event = transport->kick, .space = VISOR_MMIO};

    if (bar != 0 || !host->add_io_event)
        return;
    for (unsigned i = 0; i < transport->device->queue_count && transport->notify_gpa; i++) {
        io_event.address = transport->notify_gpa + (uint64_t)i * NOTIFY_STEP;
        host->remove_io_event(host->context, &io_event);
    }
    transport->notify_gpa = gpa ? gpa + AT_NOTIFY : 0;
    for (unsigned i = 0; i < transport->device->queue_count && gpa; i++) {
        io_event.address = transport->notify_gpa + (uint64_t)i * NOTIFY_STEP;
        /* If this fails, the write comes to access_bar(). */
        host->add_io_event(host->context, &io_event);
    }
}

static void master(void *context, bool on)
{
    if (on)
        virtio_pci_kick(context);
}

/* ---- set-up ---- */

static int add_capability(virtio_pci *transport, uint8_t type, uint32_t offset, uint32_t size,
                          uint32_t extra)
{
    bool has_extra = type == CFG_NOTIFY || type == CFG_PCI;
    struct capability body = {
        .type = type,
        .offset = offset,
        .size = size,
        .extra = extra,
    };
    size_t length = has_extra ? sizeof(body) : offsetof(struct capability, extra);

    body.length = (uint8_t)(length + 2);
    return pci_device_add_capability(transport->pci, CAP_VENDOR, &body, length);
}

static int add_capabilities(virtio_pci *transport)
{
    static const uint8_t writable[16] = {[0] = 0xff, [4] = 0xff, 0xff, 0xff, 0xff,
                                         0xff,       0xff,       0xff, 0xff};
    int result = add_capability(transport, CFG_COMMON, AT_COMMON, VIRTIO_PCI_COMMON_LENGTH, 0);

    if (result >= 0)
        result = add_capability(transport, CFG_ISR, AT_ISR, 1, 0);
    if (result >= 0)
        result = add_capability(transport, CFG_DEVICE, AT_DEVICE, AREA, 0);
    if (result >= 0)
        result = add_capability(transport, CFG_NOTIFY, AT_NOTIFY,
                                transport->device->queue_count * NOTIFY_STEP, NOTIFY_STEP);
    if (result >= 0)
        result = add_capability(transport, CFG_PCI, 0, 0, 0);
    if (result < 0)
        return result;
    transport->pci_cfg_cap = (unsigned)result;
    /* bar, offset, length; the data words behind them are accesses */
    pci_device_set_writable(transport->pci, transport->pci_cfg_cap + 4, writable, 12);
    pci_device_hook_config(transport->pci, transport->pci_cfg_cap + 16, 4);
    return 0;
}

static int add_to_bus(virtio_pci *transport, pci_bus *bus, vmm_error *error)
{
    virtio_device *device = transport->device;
    pci_device_config config = {
        .name = device->name,
        .vendor = VENDOR_VIRTIO,
        .device = (uint16_t)(DEVICE_BASE + device->type),
        .subsystem_vendor = VENDOR_VIRTIO,
        .subsystem = (uint16_t)(DEVICE_BASE + device->type),
        .class_code = device->class_code,
        .revision = REVISION_MODERN,
        .bar_size = {BAR_SIZE},
        .intx = true,
        .msix_vectors = (uint16_t)(device->queue_count + 1),
        .msix_table = AT_MSIX_TABLE,
        .msix_pba = AT_MSIX_PBA,
        .access = access_bar,
        .moved = moved,
        .master = master,
        .config_access = access_pci_cfg,
        .context = transport,
    };
    int result = pci_device_add(&transport->pci, bus, &config, error);

    if (result < 0)
        return result;
    result = add_capabilities(transport);
    return result < 0 ? vmm_fail(error, result, "%s: no room for capabilities", device->name) : 0;
}

int virtio_pci_create(virtio_pci **out, const vmm_host *host, pci_bus *bus, virtio_device *device,
                      vmm_error *error)
{
    virtio_pci *transport = calloc(1, sizeof(*transport));
    int result;

    if (!transport) {
        device->free(device);
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    }
    transport->host = host;
    transport->device = device;
    transport->kick = VISOR_EVENT_NONE;
    result = vmm_event_create(&transport->kick, error);
    if (result < 0)
        goto fail;
    pthread_mutex_init(&transport->lock, NULL);
    pthread_cond_init(&transport->idle, NULL);
    virtio_pci_reset_registers(transport);
    result = vmm_thread_start(&transport->worker, work, transport, error);
    if (result < 0)
        goto fail;
    result = add_to_bus(transport, bus, error);
    if (result < 0) {
        virtio_pci_free(transport);
        return result;
    }
    *out = transport;
    return 0;

fail:
    vmm_event_free(transport->kick);
    device->free(device);
    free(transport);
    return result;
}

void virtio_pci_free(virtio_pci *transport)
{
    if (!transport)
        return;
    pthread_mutex_lock(&transport->lock);
    transport->ending = true;
    pthread_mutex_unlock(&transport->lock);
    virtio_pci_kick(transport);
    pthread_join(transport->worker, NULL);
    if (transport->pci)
        moved(transport, 0, 0);
    transport->device->free(transport->device);
    vmm_event_free(transport->kick);
    pthread_cond_destroy(&transport->idle);
    pthread_mutex_destroy(&transport->lock);
    free(transport);
}
