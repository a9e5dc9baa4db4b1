/* SPDX-License-Identifier: BSD-3-Clause */
/* What virtio_pci.c (worker, interrupts, BAR, set-up) and virtio_pci_common.c (the registers by
 * which a driver sets up device and queues) share. */
#ifndef VMM_DEVICES_VIRTIO_PCI_INTERNAL_H
#define VMM_DEVICES_VIRTIO_PCI_INTERNAL_H

#include <pthread.h>

#include "devices/virtio.h"

#define STATUS_FEATURES_OK 8
#define STATUS_DRIVER_OK   4
#define STATUS_NEEDS_RESET 64
#define STATUS_FAILED      128

#define NO_VECTOR                0xffff
#define VIRTIO_PCI_COMMON_LENGTH 60 /* bytes of common configuration */

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
    visor_event kick; /* a notification, or the end */
    unsigned quiesce; /* vCPUs that want it to rest */
    bool busy, ending;
    uint64_t notify_gpa; /* where the I/O events are, 0: nowhere */
    virtq_chain chain;   /* the worker's */
};

/* All with the lock held. */

/* Wakes the worker; this one also without. */
void virtio_pci_kick(virtio_pci *transport);
/* Lets the request in hand end, and no other begin. virtio_pci_resume() must follow. */
void virtio_pci_quiesce(virtio_pci *transport);
void virtio_pci_resume(virtio_pci *transport);
/* 2.1.2: the guest broke the rules so far that nothing but a reset helps. */
void virtio_pci_needs_reset(virtio_pci *transport, const char *why);

/* As after a reset. */
void virtio_pci_reset_registers(virtio_pci *transport);
/* An access to the common configuration at that offset. */
void virtio_pci_access_common(virtio_pci *transport, uint32_t offset, visor_io *io);

#endif
