/* SPDX-License-Identifier: BSD-3-Clause */
/* Entropy device: virtio 1.2, 5.4. */
#include <stdlib.h>

#include "devices/virtio.h"
#include "os/os.h"

#define QUEUE_SIZE  64
#define CLASS_OTHER 0xff0000
#define MOST_BYTES  65536 /* for one request; a driver takes what it gets */

static int64_t serve(virtio_device *device, unsigned queue, virtq_chain *chain)
{
    uint64_t total = 0, wanted = chain->in_length < MOST_BYTES ? chain->in_length : MOST_BYTES;
    uint8_t bytes[256];
    size_t part;

    (void)device;
    (void)queue;
    while (total < wanted) {
        part = wanted - total < sizeof(bytes) ? wanted - total : sizeof(bytes);
        if (!vmm_random(bytes, part))
            break;
        virtq_write(chain, total, bytes, part);
        total += part;
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
