/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtio devices (OASIS virtio 1.2) and the modern PCI transport. A device model is a virtio_device
 * with a few functions; the transport does negotiation, queues and interrupts, and runs one worker
 * thread per device, on which all requests are served.
 */
#ifndef VMM_DEVICES_VIRTIO_H
#define VMM_DEVICES_VIRTIO_H

#include "devices/device.h"
#include "devices/pci.h"
#include "devices/virtio_queue.h"

#define VIRTIO_MAX_QUEUES 4

/* Device types (virtio 1.2, chapter 5). */
enum virtio_type {
    VIRTIO_TYPE_BLOCK = 2,
    VIRTIO_TYPE_ENTROPY = 4,
};

typedef struct virtio_device virtio_device;
struct virtio_device {
    const char *name; /* for messages: "disk.img" */
    enum virtio_type type;
    uint32_t class_code; /* of PCI */
    uint64_t features;   /* offered, apart from those of transport and queues */
    unsigned queue_count;
    uint16_t queue_size[VIRTIO_MAX_QUEUES]; /* largest, a power of two */

    /* The guest set FEATURES_OK with these; return false to refuse. May be NULL. */
    bool (*accept)(virtio_device *device, uint64_t features);
    /* Reads or writes device configuration; length 1 to 8, any offset. May be NULL. */
    void (*read_config)(virtio_device *device, uint32_t offset, void *data, uint32_t length);
    void (*write_config)(virtio_device *device, uint32_t offset, const void *data, uint32_t length);
    /*
     * Serves one request: fills in what goes to the guest and returns the number of bytes written
     * to it, counted from the start of the writable part; or < 0 if the request is so malformed
     * that the device cannot answer (then it needs a reset). On the worker thread.
     */
    int64_t (*serve)(virtio_device *device, unsigned queue, virtq_chain *chain);
    /* The guest reset the device; no request is being served. May be NULL. */
    void (*reset)(virtio_device *device);
    void (*free)(virtio_device *device);
};

/* Feature bits of the transport and the queues (virtio 1.2, chapter 6). */
#define VIRTIO_F_INDIRECT_DESC   (1ull << 28)
#define VIRTIO_F_EVENT_IDX       (1ull << 29)
#define VIRTIO_F_VERSION_1       (1ull << 32)
#define VIRTIO_F_ACCESS_PLATFORM (1ull << 33)

typedef struct virtio_pci virtio_pci;
/* Puts the device on the bus; on success the transport owns it, on failure it is freed too. */
int virtio_pci_create(virtio_pci **out, const vmm_host *host, pci_bus *bus, virtio_device *device,
                      vmm_error *error);
/* Ends the worker (after the request in hand) and frees the device. */
void virtio_pci_free(virtio_pci *transport);

/* ---- devices ---- */

typedef struct virtio_blk_config {
    const char *path; /* a raw image or a block device */
    bool read_only;
    const char *id; /* serial number shown to the guest, at most 20 bytes; NULL: none */
} virtio_blk_config;
/*
 * Opens and locks the image: exclusively to write, shared to read. VISOR_ENOENT, VISOR_EACCESS
 * (with what to do about it), VISOR_EBUSY if another VM holds it, VISOR_EFORMAT if it is no file,
 * empty, or not a whole number of 512-byte sectors, VISOR_ESYSTEM.
 */
int virtio_blk_create(virtio_device **out, const vmm_host *host, const virtio_blk_config *config,
                      vmm_error *error);

/* Entropy from the host's getrandom(2). */
int virtio_rng_create(virtio_device **out, const vmm_host *host, vmm_error *error);

#endif
