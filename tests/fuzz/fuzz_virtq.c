/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtqueue and the parser of block requests on guest memory that the input fills: whatever a
 * driver puts there, the device side must stay inside it and come to an end.
 *
 * The input: one byte of options, then the contents of guest memory from address 0. The queue's
 * parts stand at its beginning, so that few bytes reach far.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio.h"

#define RAM_SIZE  0x4000u
#define SIZE      8
#define AVAIL     0x00u
#define USED      0x40u
#define DESC      0x100u
#define DISK_SIZE 0x8000
#define REQUESTS  64 /* of one input: a hostile ring has no end by itself */

static visor_memory *memory;
static virtio_device *disk;

static void set_up(void)
{
    static const vmm_host host;
    visor_memory_region regions[] = {
        {.gpa = 0, .length = RAM_SIZE},
        {.gpa = RAM_SIZE, .length = 0x1000},
        {.gpa = 0x10000, .length = 0x1000, .read_only = true},
    };
    virtio_blk_config config = {0};
    char path[64];
    int fd = memfd_create("disk", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0 ||
        visor_memory_create(&memory, regions, sizeof(regions) / sizeof(regions[0]), NULL) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    config.path = path;
    if (virtio_blk_create(&disk, &host, &config, NULL) < 0)
        abort();
    close(fd);
}

/* The queue never hands out memory that is not the guest's. */
static void check(const virtq_chain *chain)
{
    visor_memory_info info;
    uint64_t out = 0, in = 0;

    for (unsigned i = 0; i < chain->out_count + chain->in_count; i++) {
        uintptr_t start = (uintptr_t)chain->iov[i].iov_base, length = chain->iov[i].iov_len;
        bool inside = false;

        for (size_t r = 0; r < visor_memory_region_count(memory); r++) {
            visor_memory_region_info(&info, memory, r);
            inside |= start >= (uintptr_t)info.host && length <= info.length &&
                      start - (uintptr_t)info.host <= info.length - length &&
                      !(i >= chain->out_count && info.read_only);
        }
        if (!inside)
            abort();
        if (i < chain->out_count)
            out += length;
        else
            in += length;
    }
    if (out != chain->out_length || in != chain->in_length)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static virtq_chain chain;
    static const uint8_t zeros[RAM_SIZE];
    virtq queue = {.size = SIZE, .desc = DESC, .avail = AVAIL, .used = USED};
    int64_t written;

    if (!disk)
        set_up();
    if (size < 1)
        return 0;
    visor_memory_write(memory, 0, zeros, RAM_SIZE);
    visor_memory_write(memory, 0, data + 1, size - 1 < RAM_SIZE ? size - 1 : RAM_SIZE);
    queue.indirect = data[0] & 1;
    queue.event_idx = data[0] & 2;
    disk->accept(disk, data[0] & 4 ? 0 : UINT64_MAX);
    if (virtq_start(&queue, memory) < 0)
        abort();
    for (unsigned i = 0; i < REQUESTS && virtq_pop(&queue, &chain) == 1; i++) {
        check(&chain);
        written = disk->serve(disk, 0, &chain);
        if (written > (int64_t)chain.in_length)
            abort();
        if (written < 0)
            break;
        virtq_push(&queue, chain.head, (uint32_t)written);
        virtq_should_interrupt(&queue);
        virtq_disable_notify(&queue);
        virtq_enable_notify(&queue);
    }
    return 0;
}
