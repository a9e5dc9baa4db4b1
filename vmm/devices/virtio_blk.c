/* SPDX-License-Identifier: BSD-3-Clause */
/* Block device: virtio 1.2, 5.2. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "devices/disk.h"
#include "devices/virtio.h"

#define QUEUE_SIZE    256
#define CLASS_STORAGE 0x018000
#define ID_LENGTH     20

#define F_SEG_MAX      (1ull << 2)
#define F_RO           (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH        (1ull << 9)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum request_type {
    REQUEST_IN = 0,
    REQUEST_OUT = 1,
    REQUEST_FLUSH = 4,
    REQUEST_GET_ID = 8,
    REQUEST_DISCARD = 11,
    REQUEST_WRITE_ZEROES = 13,
};

enum request_status { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

struct request_header {
    uint32_t type, reserved;
    uint64_t sector;
};

/* Of DISCARD and WRITE_ZEROES. */
struct segment {
    uint64_t sector;
    uint32_t sectors, flags;
};
#define SEGMENT_UNMAP   1u
#define SEGMENTS_MAX    32
#define DISCARD_SECTORS (1u << 22) /* 2 GiB */
#define ZERO_SECTORS    (1u << 16) /* 32 MiB: the host may have to write them */

/* 5.2.4: struct virtio_blk_config, as far as our features need it. */
struct config {
    uint64_t capacity; /* sectors */
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(offsetof(struct config, max_discard_sectors) == 36, "layout");
_Static_assert(sizeof(struct config) == 64 || sizeof(struct config) == 60, "layout");

struct blk {
    virtio_device device;
    disk image;
    struct config config;
    char id[ID_LENGTH];
    bool write_through; /* the driver does not flush */
};

static struct blk *blk_of(virtio_device *device)
{
    return (struct blk *)(void *)((char *)device - offsetof(struct blk, device));
}

static bool accept(virtio_device *device, uint64_t features)
{
    blk_of(device)->write_through = !(features & F_FLUSH); /* 5.2.6.2 */
    return true;
}

static void read_config(virtio_device *device, uint32_t offset, void *data, uint32_t length)
{
    const struct blk *blk = blk_of(device);

    for (uint32_t i = 0; i < length; i++) {
        if (offset + i < sizeof(blk->config))
            ((uint8_t *)data)[i] = ((const uint8_t *)&blk->config)[offset + i];
    }
}

/* Whether [sector, sector + length bytes) lies on the disk; its offset in bytes if so. */
static bool in_range(uint64_t *offset, const struct blk *blk, uint64_t sector, uint64_t length)
{
    uint64_t capacity = blk->config.capacity;

    if (sector > capacity || length > (capacity - sector) * DISK_SECTOR)
        return false;
    *offset = sector * DISK_SECTOR;
    return true;
}

/* Keeps the promise of a device without a cache that has to be flushed. */
static enum request_status finish_write(struct blk *blk, int result)
{
    if (result == 0 && blk->write_through)
        result = disk_flush(&blk->image);
    return result < 0 ? STATUS_IOERR : STATUS_OK;
}

static enum request_status move_data(struct blk *blk, const virtq_chain *chain, uint64_t sector,
                                     bool write)
{
    /* the data lies between the header and the status byte */
    uint64_t skip = write ? sizeof(struct request_header) : 0, offset;
    uint64_t length = write ? chain->out_length - skip : chain->in_length - 1;
    struct iovec iov[VIRTQ_MAX_SIZE];
    unsigned count;

    if (length % DISK_SECTOR || !in_range(&offset, blk, sector, length))
        return STATUS_IOERR;
    count = virtq_slice(iov, chain, !write, skip, length);
    if (write)
        return finish_write(blk, disk_write(&blk->image, iov, count, offset));
    return disk_read(&blk->image, iov, count, offset) < 0 ? STATUS_IOERR : STATUS_OK;
}

/* DISCARD or WRITE_ZEROES: all segments are checked before any is carried out. */
static enum request_status change_segments(struct blk *blk, const virtq_chain *chain, bool zero)
{
    struct segment segments[SEGMENTS_MAX];
    uint64_t length = chain->out_length - sizeof(struct request_header), offset;
    size_t count = length / sizeof(struct segment);
    uint32_t allowed = zero ? SEGMENT_UNMAP : 0, most = zero ? ZERO_SECTORS : DISCARD_SECTORS;
    int result = 0;

    if (length % sizeof(struct segment) || !count || count > SEGMENTS_MAX)
        return STATUS_IOERR;
    virtq_read(chain, sizeof(struct request_header), segments, length);
    for (size_t i = 0; i < count; i++) {
        if (segments[i].flags & ~allowed)
            return STATUS_UNSUPP;
        if (segments[i].sectors > most || !in_range(&offset, blk, segments[i].sector,
                                                    (uint64_t)segments[i].sectors * DISK_SECTOR))
            return STATUS_IOERR;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        offset = segments[i].sector * DISK_SECTOR;
        length = (uint64_t)segments[i].sectors * DISK_SECTOR;
        if (!length)
            continue;
        if (zero)
            result = disk_zero(&blk->image, offset, length, segments[i].flags & SEGMENT_UNMAP);
        else
            result = disk_discard(&blk->image, offset, length);
    }
    return finish_write(blk, result);
}

static enum request_status get_id(const struct blk *blk, const virtq_chain *chain)
{
    uint64_t room = chain->in_length - 1;

    virtq_write(chain, 0, blk->id, room < ID_LENGTH ? room : ID_LENGTH);
    return STATUS_OK;
}

static enum request_status execute(struct blk *blk, const virtq_chain *chain)
{
    struct request_header header;

    if (virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header))
        return STATUS_IOERR;
    switch (header.type) {
    case REQUEST_IN: return move_data(blk, chain, header.sector, false);
    case REQUEST_OUT:
        return blk->image.read_only ? STATUS_IOERR : move_data(blk, chain, header.sector, true);
    case REQUEST_FLUSH: return disk_flush(&blk->image) < 0 ? STATUS_IOERR : STATUS_OK;
    case REQUEST_GET_ID: return get_id(blk, chain);
    case REQUEST_DISCARD:
    case REQUEST_WRITE_ZEROES:
        if (blk->image.read_only)
            return STATUS_IOERR;
        return change_segments(blk, chain, header.type == REQUEST_WRITE_ZEROES);
    default: return STATUS_UNSUPP;
    }
}

static int64_t serve(virtio_device *device, unsigned queue, virtq_chain *chain)
{
    uint8_t status;

    (void)queue;
    if (!chain->in_length)
        return -1; /* no place for the status */
    status = (uint8_t)execute(blk_of(device), chain);
    virtq_write(chain, chain->in_length - 1, &status, 1);
    return (int64_t)chain->in_length;
}

static void reset(virtio_device *device)
{
    blk_of(device)->write_through = false;
}

static void free_blk(virtio_device *device)
{
    struct blk *blk = blk_of(device);

    disk_close(&blk->image);
    free(blk);
}

int virtio_blk_create(virtio_device **out, const vmm_host *host, const virtio_blk_config *config,
                      vmm_error *error)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    int result;

    if (!blk)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    result = disk_open(&blk->image, host, config->path, config->read_only, error);
    if (result < 0) {
        free(blk);
        return result;
    }
    if (config->id)
        memcpy(blk->id, config->id, strnlen(config->id, ID_LENGTH));
    blk->config = (struct config){
        .capacity = blk->image.length / DISK_SECTOR,
        .seg_max = QUEUE_SIZE - 2, /* header and status take one each */
        .blk_size = DISK_SECTOR,
        .max_discard_sectors = DISCARD_SECTORS,
        .max_discard_seg = SEGMENTS_MAX,
        .discard_sector_alignment = 1,
        .max_write_zeroes_sectors = ZERO_SECTORS,
        .max_write_zeroes_seg = SEGMENTS_MAX,
        .write_zeroes_may_unmap = 1,
    };
    blk->device = (virtio_device){
        .name = blk->image.path,
        .type = VIRTIO_TYPE_BLOCK,
        .class_code = CLASS_STORAGE,
        .features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH |
                    (config->read_only ? F_RO : F_DISCARD | F_WRITE_ZEROES),
        .queue_count = 1,
        .queue_size = {QUEUE_SIZE},
        .accept = accept,
        .read_config = read_config,
        .serve = serve,
        .reset = reset,
        .free = free_blk,
    };
    *out = &blk->device;
    return 0;
}
