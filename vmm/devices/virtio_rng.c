/* SPDX-License-Identifier: BSD-3-Clause */
/* Entropy device: virtio 1.2, 5.4. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "devices/virtio.h"

#define QUEUE_SIZE  64
#define CLASS_OTHER 0xff0000
#define MOST_BYTES  65536 /* for one request; a driver takes what it gets */

static int64_t serve(virtio_device *device, unsigned queue, virtq_chain *chain)
{
    uint64_t total = 0, wanted = chain->in_length < MOST_BYTES ? chain->in_length : MOST_BYTES;
    uint8_t bytes[256];
    size_t part;
    ssize_t got;

    (void)device;
    (void)queue;
    while (total < wanted) {
        part = wanted - total < sizeof(bytes) ? wanted - total : sizeof(bytes);
        got = getrandom(bytes, part, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        virtq_write(chain, total, bytes, (size_t)got);
        total += (uint64_t)got;
    }
    return (int64_t)total;
}

static void free_rng(virtio_device *device)
{
    free(device);
}

int virtio_rng_create(virtio_device **out, const vmm_host *host, vmm_error *error)
{
    virtio_device *device = calloc(1, sizeof(*device));

    (void)host;
    if (!device)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    *device = (virtio_device){
        .name = "virtio-rng",
        .type = VIRTIO_TYPE_ENTROPY,
        .class_code = CLASS_OTHER,
        .queue_count = 1,
        .queue_size = {QUEUE_SIZE},
        .serve = serve,
        .free = free_rng,
    };
    *out = device;
    return 0;
}
