/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtqueue and the parser of block requests on guest memory that the input fills: whatever a
 * driver puts there, the device side must stay inside it and come to an end.
 *
 * The input: a byte of options, the type of a block request, and patches (offset of 2 bytes, length
 * of 1 byte, bytes) to guest memory, which holds a sound request to begin with.
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
#define HEADER    0x200u
#define STATUS    0x220u
#define DATA      0x400u
#define LENGTH    0x400u
#define INDIRECT  0x300u
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

/* A request of this type, its descriptors in the queue's table or in one of its own. */
static void put_request(uint8_t type, bool indirect)
{
    static const uint8_t zeros[RAM_SIZE];
    enum { NEXT = 1, WRITE = 2, TABLE = 4 };
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } desc[4] = {
        {HEADER, 16, NEXT, 1},
        {DATA, type < 11 ? LENGTH : 32, (uint16_t)(NEXT | (type == 0 || type == 8 ? WRITE : 0)), 2},
        {STATUS, 1, WRITE, 0},
        {INDIRECT, 48, TABLE, 0},
    };
    uint16_t avail[] = {0, SIZE, 0, 0, 0, 0, 0, 0, 0, 0};
    uint64_t segment[] = {2, 4};
    uint32_t head = type;

    visor_memory_write(memory, 0, zeros, RAM_SIZE);
    visor_memory_write(memory, AVAIL, avail, sizeof(avail));
    visor_memory_write(memory, indirect ? INDIRECT : DESC, desc, 48);
    if (indirect)
        visor_memory_write(memory, DESC, &desc[3], 16);
    visor_memory_write(memory, HEADER, &head, sizeof(head));
    visor_memory_write(memory, DATA, segment, sizeof(segment));
}

static void patch(const uint8_t *data, size_t size)
{
    size_t length;

    while (size >= 4) {
        length = data[2] < size - 3 ? data[2] : size - 3;
        visor_memory_write(memory, (data[0] + 256u * data[1]) % (RAM_SIZE - 256), data + 3, length);
        data += 3 + length;
        size -= 3 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static virtq_chain chain;
    virtq queue = {.size = SIZE, .desc = DESC, .avail = AVAIL, .used = USED};
    int64_t written;

    if (!disk)
        set_up();
    if (size < 2)
        return 0;
    put_request(data[1], data[0] & 8);
    patch(data + 2, size - 2);
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
