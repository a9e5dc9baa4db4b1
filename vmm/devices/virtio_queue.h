/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split virtqueue (virtio 1.2, 2.7), device side. Everything in guest memory is hostile: each
 * index, address and length is checked, each value is read once, and a chain cannot be endless.
 */
#ifndef VMM_DEVICES_VIRTIO_QUEUE_H
#define VMM_DEVICES_VIRTIO_QUEUE_H

#include <sys/uio.h>

#include <visor.h>

#define VIRTQ_MAX_SIZE 1024

typedef struct virtq {
    /* what the driver sets up */
    uint16_t size;
    uint64_t desc, avail, used; /* GPAs */
    bool indirect, event_idx;   /* negotiated */
    bool bounce_only;           /* everything is in the bounce buffer: see vmm_host */
    /* host side */
    visor_memory *memory;
    const uint8_t *desc_ptr;
    uint8_t *avail_ptr, *used_ptr;
    uint16_t next_avail, next_used;
    uint16_t signalled_used; /* next_used when the driver was last interrupted */
    bool ready;
} virtq;

/* One request: buffers in host memory, those that the device reads first. */
typedef struct virtq_chain {
    uint16_t head;
    unsigned out_count, in_count;   /* readable, then writable */
    uint64_t out_length, in_length; /* bytes, sums */
    struct iovec iov[VIRTQ_MAX_SIZE];
} virtq_chain;

/*
 * Checks the set-up and takes the queue into use: size a power of two up to VIRTQ_MAX_SIZE, parts
 * aligned to 16, 2 and 4 bytes and inside one region of guest memory each, with bounce_only of the
 * bounce buffer. VISOR_EINVAL if not.
 */
int virtq_start(virtq *queue, visor_memory *memory);

/* The next request: 1 with the chain, 0 if there is none, VISOR_EFORMAT if the guest broke the
 * rules (the queue must not be used any more). */
int virtq_pop(virtq *queue, virtq_chain *out);
/* Gives the buffers back to the driver, `written` bytes of them filled. */
void virtq_push(virtq *queue, uint16_t head, uint32_t written);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtq_should_interrupt(virtq *queue);
/* Asks the driver to notify of new requests; true if some came in meanwhile: go on popping. */
bool virtq_enable_notify(virtq *queue);
/* Spares the driver's notifications while the device polls anyway. */
void virtq_disable_notify(virtq *queue);

/* Copies between a buffer and a part of the readable / writable bytes; returns how many. */
size_t virtq_read(const virtq_chain *chain, uint64_t offset, void *data, size_t length);
size_t virtq_write(const virtq_chain *chain, uint64_t offset, const void *data, size_t length);
/* The pieces of [offset, offset+length) of the readable / writable bytes; returns how many. */
unsigned virtq_slice(struct iovec *out, const virtq_chain *chain, bool writable, uint64_t offset,
                     uint64_t length);

#endif
