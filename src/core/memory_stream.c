/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory in a stream. All numbers are 64-bit little-endian:
 *
 *   magic, number of regions, then for each region
 *     gpa, length, then stretches of data: { offset, length > 0, bytes }, ended by { 0, 0 }
 *   checksum of all before it
 *
 * What is in no stretch is zero. Stretches ascend, are made of 4 KiB blocks, and do not overlap.
 */
#include <string.h>

#include "core/checksum.h"
#include "core/memory.h"

#define MAGIC 0x314d454d52534956ull /* "VISRMEM1" */

/* What stretches are made of: the smallest page of any host, so that hosts can exchange them. */
#define BLOCK 4096u

/* A stream with the checksum of what has passed through it. */
struct channel {
    const visor_stream *stream;
    struct visor__checksum checksum;
};

static int put(struct channel *channel, const void *data, size_t length)
{
    visor__checksum_add(&channel->checksum, data, length);
    return channel->stream->write(channel->stream->context, data, length);
}

static int put_pair(struct channel *channel, uint64_t first, uint64_t second)
{
    const uint64_t pair[2] = {first, second};

    return put(channel, pair, sizeof(pair));
}

static int take(struct channel *channel, void *data, size_t length)
{
    int ret = channel->stream->read(channel->stream->context, data, length);

    if (ret == 0)
        visor__checksum_add(&channel->checksum, data, length);
    return ret;
}

/* Stretches with data: from the holes of the backing file; files of callers are saved whole. */
static int save_region(struct channel *channel, const visor_memory *memory,
                       const struct visor__region *region)
{
    const visor_memory_info *info = &region->info;
    uint64_t offset = info->file_offset;
    uint64_t end = offset + info->length;
    int ret = put_pair(channel, info->gpa, info->length);

    while (ret == 0 && offset < end) {
        uint64_t start = offset;
        uint64_t stop = end;

        if (info->file == memory->memfile) {
            ret = visor__os_next_data(&start, &stop, info->file, offset, end);
            if (ret <= 0)
                break;
        }
        start -= start % BLOCK;
        stop += (BLOCK - stop % BLOCK) % BLOCK;
        ret = put_pair(channel, start - info->file_offset, stop - start);
        if (ret == 0)
            ret = put(channel, (const uint8_t *)info->host + (start - info->file_offset),
                      stop - start);
        offset = stop;
    }
    return ret < 0 ? ret : put_pair(channel, 0, 0);
}

int visor_memory_save(visor_memory *memory, const visor_stream *stream)
{
    struct channel channel = {.stream = stream};
    int ret;

    if (stream == NULL || stream->write == NULL)
        return visor__error(VISOR_EINVAL, "", "visor_memory_save", "the stream cannot write");
    ret = put_pair(&channel, MAGIC, memory->count);
    for (size_t i = 0; ret == 0 && i < memory->count; i++)
        ret = save_region(&channel, memory, &memory->regions[i]);
    if (ret == 0) {
        uint64_t sum = visor__checksum_value(&channel.checksum);

        ret = put(&channel, &sum, sizeof(sum));
    }
    return ret;
}

/* Makes [from, to) of a region read as zeros. */
static int clear(visor_memory *memory, const struct visor__region *region, uint64_t from,
                 uint64_t to)
{
    uint64_t page = visor__os_page_size();

    if (from == to)
        return 0;
    if (region->info.file == memory->memfile && from % page == 0 && to % page == 0)
        return visor_memory_discard(memory, region->info.gpa + from, to - from);
    memset((uint8_t *)region->info.host + from, 0, to - from);
    return 0;
}

/* A read-only file cannot be written: what the snapshot holds must be there already. */
static int take_same(struct channel *channel, const uint8_t *host, uint64_t length)
{
    uint8_t chunk[BLOCK];
    int ret = 0;

    for (uint64_t done = 0; ret == 0 && done < length; done += sizeof(chunk)) {
        ret = take(channel, chunk, sizeof(chunk));
        if (ret == 0 && memcmp(chunk, host + done, sizeof(chunk)) != 0)
            ret = visor__error(VISOR_EMISMATCH, "", "visor_memory_restore",
                               "the read-only file behind guest memory has changed");
    }
    return ret;
}

static int restore_region(struct channel *channel, visor_memory *memory,
                          const struct visor__region *region, size_t index)
{
    static const char op[] = "visor_memory_restore";
    const visor_memory_info *info = &region->info;
    uint64_t pair[2];
    uint64_t done = 0;
    int ret = take(channel, pair, sizeof(pair));

    if (ret < 0)
        return ret;
    if (pair[0] != info->gpa || pair[1] != info->length)
        return visor__error(VISOR_EMISMATCH, "", op,
                            "region %zu is [0x%llx, +0x%llx) here and [0x%llx, +0x%llx) in the "
                            "snapshot",
                            index, (unsigned long long)info->gpa, (unsigned long long)info->length,
                            (unsigned long long)pair[0], (unsigned long long)pair[1]);
    for (;;) {
        uint64_t offset, length;

        ret = take(channel, pair, sizeof(pair));
        if (ret < 0)
            return ret;
        offset = pair[0];
        length = pair[1];
        if (length == 0)
            break;
        if (offset < done || offset > info->length || length > info->length - offset ||
            offset % BLOCK != 0 || length % BLOCK != 0)
            return visor__error(VISOR_EFORMAT, "", op,
                                "region %zu: [0x%llx, +0x%llx) is not a stretch of it", index,
                                (unsigned long long)offset, (unsigned long long)length);
        if (!region->host_writable) {
            ret = take_same(channel, (const uint8_t *)info->host + offset, length);
        } else {
            ret = clear(memory, region, done, offset);
            if (ret == 0)
                ret = take(channel, (uint8_t *)info->host + offset, length);
        }
        if (ret < 0)
            return ret;
        done = offset + length;
    }
    return region->host_writable ? clear(memory, region, done, info->length) : 0;
}

int visor_memory_restore(visor_memory *memory, const visor_stream *stream)
{
    static const char op[] = "visor_memory_restore";
    struct channel channel = {.stream = stream};
    uint64_t pair[2], sum, wanted;
    int ret;

    if (stream == NULL || stream->read == NULL)
        return visor__error(VISOR_EINVAL, "", op, "the stream cannot read");
    ret = take(&channel, pair, sizeof(pair));
    if (ret < 0)
        return ret;
    if (pair[0] != MAGIC)
        return visor__error(VISOR_EFORMAT, "", op, "this is not saved guest memory");
    if (pair[1] != memory->count)
        return visor__error(VISOR_EMISMATCH, "", op, "%zu regions here, %llu in the snapshot",
                            memory->count, (unsigned long long)pair[1]);
    for (size_t i = 0; ret == 0 && i < memory->count; i++)
        ret = restore_region(&channel, memory, &memory->regions[i], i);
    if (ret < 0)
        return ret;
    sum = visor__checksum_value(&channel.checksum);
    ret = take(&channel, &wanted, sizeof(wanted));
    if (ret == 0 && sum != wanted)
        ret = visor__error(VISOR_EFORMAT, "", op, "the checksum is wrong: the data is damaged");
    return ret;
}

static int file_write(void *context, const void *data, size_t length)
{
    return visor__os_file_write((visor_file)(intptr_t)context, data, length);
}

static int file_read(void *context, void *data, size_t length)
{
    return visor__os_file_read((visor_file)(intptr_t)context, data, length);
}

int visor_stream_file(visor_stream *out, visor_file file)
{
    if (file == VISOR_FILE_NONE)
        return visor__error(VISOR_EINVAL, "", "visor_stream_file", "no file given");
    *out = (visor_stream){.context = (void *)file, .write = file_write, .read = file_read};
    return 0;
}
