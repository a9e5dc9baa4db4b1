/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over PCI, modern only: virtio 1.2, 2.1 to 2.6, 3.1 and 4.1. */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio.h"

#define VENDOR_VIRTIO   0x1af4
#define DEVICE_BASE     0x1040
#define REVISION_MODERN 1
#define CAP_VENDOR      0x09
#define NO_VECTOR       0xffff

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

#define STATUS_FEATURES_OK 8
#define STATUS_DRIVER_OK   4
#define STATUS_NEEDS_RESET 64
#define STATUS_FAILED      128

#define ISR_QUEUE  1
#define ISR_CONFIG 2

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
#define COMMON_LENGTH 60
_Static_assert(offsetof(struct common, queue_desc) == 32, "layout");
_Static_assert(offsetof(struct common, queue_reset) == 58, "layout");

/* 4.1.4: the body of a vendor capability, after id and next. */
struct capability {
    uint8_t length, type, bar, id, padding[2];
    uint32_t offset, size, extra;
} __attribute__((packed));
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_PCI = 5 };

struct virtio_pci {
    const vmm_host *host;
    virtio_device *device;
    pci_device *pci;
    unsigned pci_cfg_cap; /* offset of the capability that reaches the BAR by configuration space */
    pthread_mutex_t lock;
    /* registers */
    uint32_t device_feature_select, driver_feature_select;
    uint64_t driver_features;
    uint16_t config_vector, queue_select;
    uint16_t queue_vector[VIRTIO_MAX_QUEUES];
    bool queue_enable[VIRTIO_MAX_QUEUES];
    uint8_t status, isr;
    virtq queues[VIRTIO_MAX_QUEUES];
    /* worker */
    pthread_t worker;
    pthread_cond_t idle;
    int kick;         /* eventfd: a notification, or the end */
    unsigned quiesce; /* vCPUs that want it to rest */
    bool busy, ending;
    uint64_t notify_gpa; /* where the I/O events are, 0: nowhere */
    virtq_chain chain;   /* the worker's */
};

static void kick(virtio_pci *transport)
{
    uint64_t one = 1;
    ssize_t ignored = write(transport->kick, &one, sizeof(one));

    (void)ignored; /* EAGAIN: the counter is full, so the worker wakes up */
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

/* 2.1.2: the guest broke the rules so far that nothing but a reset helps. */
static void needs_reset(virtio_pci *transport, const char *why)
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
            needs_reset(transport, "malformed virtqueue");
            return;
        }
        transport->busy = true;
        pthread_mutex_unlock(&transport->lock);
        written = device->serve(device, index, &transport->chain);
        pthread_mutex_lock(&transport->lock);
        transport->busy = false;
        pthread_cond_broadcast(&transport->idle);
        if (written < 0) {
            needs_reset(transport, "malformed request");
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
    uint64_t count;
    ssize_t ignored;

    pthread_mutex_lock(&transport->lock);
    while (!transport->ending) {
        pthread_mutex_unlock(&transport->lock);
        ignored = read(transport->kick, &count, sizeof(count)); /* blocks */
        (void)ignored;
        pthread_mutex_lock(&transport->lock);
        for (unsigned i = 0; i < transport->device->queue_count; i++)
            serve_queue(transport, i);
    }
    pthread_mutex_unlock(&transport->lock);
    return NULL;
}

/* Lets the request in hand end, and no other begin. resume() must follow. */
static void quiesce(virtio_pci *transport)
{
    transport->quiesce++;
    while (transport->busy)
        pthread_cond_wait(&transport->idle, &transport->lock);
}

static void resume(virtio_pci *transport)
{
    transport->quiesce--;
    kick(transport);
}

/* ---- common configuration, with the lock held ---- */

static void reset_queue(virtio_pci *transport, unsigned index)
{
    transport->queues[index] = (virtq){.size = transport->device->queue_size[index]};
    transport->queue_vector[index] = NO_VECTOR;
    transport->queue_enable[index] = false;
}

static void reset_registers(virtio_pci *transport)
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
    quiesce(transport);
    reset_registers(transport);
    pci_device_intx(transport->pci, false);
    if (transport->device->reset)
        transport->device->reset(transport->device);
    resume(transport);
}

static uint64_t offered(const virtio_pci *transport)
{
    return transport->device->features | FEATURES;
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
        (features & ~offered(transport) || !(features & VIRTIO_F_VERSION_1) ||
         (device->accept && !device->accept(device, features))))
        value &= (uint8_t)~STATUS_FEATURES_OK;
    if (!(value & STATUS_FEATURES_OK))
        value &= (uint8_t)~STATUS_DRIVER_OK;
    transport->status = value;
    if (value & STATUS_DRIVER_OK)
        kick(transport);
}

static void enable_queue(virtio_pci *transport, unsigned index)
{
    virtq *queue = &transport->queues[index];

    if (transport->queue_enable[index] || !(transport->status & STATUS_FEATURES_OK))
        return;
    queue->indirect = transport->driver_features & VIRTIO_F_INDIRECT_DESC;
    queue->event_idx = transport->driver_features & VIRTIO_F_EVENT_IDX;
    if (virtq_start(queue, transport->host->memory) < 0) {
        needs_reset(transport, "virtqueue outside guest memory");
        return;
    }
    transport->queue_enable[index] = true;
    kick(transport);
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
            quiesce(transport);
            reset_queue(transport, index);
            resume(transport);
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

/* ---- the BAR ---- */

static void access_common(virtio_pci *transport, uint32_t offset, visor_io *io)
{
    struct common image;

    if (io->is_write) {
        write_common(transport, offset, io->length, visor_io_value(io));
    } else {
        read_common(transport, &image);
        for (uint32_t i = 0; i < io->length && i < sizeof(io->data); i++)
            io->data[i] = offset + i < COMMON_LENGTH ? ((uint8_t *)&image)[offset + i] : 0;
    }
}

static void access_bar(void *context, unsigned bar, uint32_t offset, visor_io *io)
{
    virtio_pci *transport = context;
    virtio_device *device = transport->device;

    (void)bar;
    pthread_mutex_lock(&transport->lock);
    if (!io->is_write)
        visor_io_set_value(io, 0);
    switch (offset / AREA * AREA) {
    case AT_COMMON: access_common(transport, offset, io); break;
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
            kick(transport);
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
        kick(context);
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
    int result = add_capability(transport, CFG_COMMON, AT_COMMON, COMMON_LENGTH, 0);

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
    transport->kick = eventfd(0, EFD_CLOEXEC);
    if (transport->kick < 0) {
        result = vmm_fail(error, VISOR_ESYSTEM, "eventfd: %s", strerror(errno));
        goto fail;
    }
    pthread_mutex_init(&transport->lock, NULL);
    pthread_cond_init(&transport->idle, NULL);
    reset_registers(transport);
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
    if (transport->kick >= 0)
        close(transport->kick);
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
    kick(transport);
    pthread_join(transport->worker, NULL);
    if (transport->pci)
        moved(transport, 0, 0);
    transport->device->free(transport->device);
    close(transport->kick);
    pthread_cond_destroy(&transport->idle);
    pthread_mutex_destroy(&transport->lock);
    free(transport);
}
