/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: regions of host memory at guest-physical addresses. */
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

uint64_t visor__page_round(uint64_t length)
{
    uint64_t mask = visor__os_page_size() - 1;

    return length > UINT64_MAX - mask ? 0 : (length + mask) & ~mask;
}

/* Refuses what cannot be laid out; sums up the bytes of anonymous memory. */
static int check_regions(uint64_t *anonymous, const visor_memory_region *regions, size_t count)
{
    static const char op[] = "visor_memory_create";
    uint64_t page = visor__os_page_size();
    uint64_t end = 0;

    if (regions == NULL || count == 0)
        return visor__error(VISOR_EINVAL, "", op, "guest memory needs at least one region");
    for (size_t i = 0; i < count; i++) {
        const visor_memory_region *r = &regions[i];

        if (r->length == 0)
            return visor__error(VISOR_EINVAL, "", op, "region %zu is empty", i);
        if (r->length % page != 0 || r->gpa % page != 0 || r->file_offset % page != 0)
            return visor__error(VISOR_EALIGN, "", op,
                                "region %zu (address 0x%llx, 0x%llx bytes) is not a multiple of "
                                "the page size %llu",
                                i, (unsigned long long)r->gpa, (unsigned long long)r->length,
                                (unsigned long long)page);
        if ((r->align & (r->align - 1)) != 0)
            return visor__error(VISOR_EINVAL, "", op,
                                "region %zu wants alignment 0x%llx, not a power of two", i,
                                (unsigned long long)r->align);
        if (r->gpa > UINT64_MAX - r->length)
            return visor__error(VISOR_EOVERFLOW, "", op, "region %zu ends past 2^64", i);
        if (i > 0 && r->gpa < regions[i - 1].gpa)
            return visor__error(VISOR_EINVAL, "", op, "region %zu is not in order of address", i);
        if (i > 0 && r->gpa < end)
            return visor__error(VISOR_EOVERLAP, "", op, "regions %zu and %zu overlap", i - 1, i);
        end = r->gpa + r->length;
        if (!r->from_file && r->length > UINT64_MAX - *anonymous)
            return visor__error(VISOR_EOVERFLOW, "", op, "the regions add up to more than 2^64");
        if (!r->from_file)
            *anonymous += r->length;
    }
    return 0;
}

/* Maps one region; file_used is the next free offset of the shared memory file. */
static int map_region(visor_memory *memory, const visor_memory_region *wanted, uint64_t *file_used)
{
    struct visor__region *region = &memory->regions[memory->count];
    visor_memory_info *info = &region->info;
    int ret;

    *info = (visor_memory_info){
        .gpa = wanted->gpa,
        .length = wanted->length,
        .purpose = wanted->purpose,
        .read_only = wanted->read_only,
        .file = memory->memfile,
        .file_offset = *file_used,
    };
    region->host_writable = !(wanted->from_file && wanted->read_only);
    if (wanted->from_file) {
        info->file_offset = wanted->file_offset;
        ret = visor__os_check_file(wanted->file, wanted->file_offset, wanted->length,
                                   "visor_memory_create");
        if (ret == 0)
            ret = visor__os_file_dup(&info->file, wanted->file);
        if (ret < 0)
            return ret;
    }
    ret = visor__os_map(&info->host, info->file, info->file_offset, info->length, wanted->align,
                        region->host_writable);
    if (ret < 0) {
        if (wanted->from_file)
            visor__os_file_close(info->file);
        return ret;
    }
    if (!wanted->from_file)
        *file_used += wanted->length;
    memory->count++;
    visor__os_advise_guest(info->host, info->length, memory->config.huge_pages,
                           memory->config.no_fork);
    return memory->config.lock ? visor__os_lock_memory(info->host, info->length) : 0;
}

int visor_memory_create(visor_memory **out, const visor_memory_region *regions, size_t count,
                        const visor_memory_config *config)
{
    uint64_t anonymous = 0, file_used = 0;
    visor_memory *memory;
    int ret = check_regions(&anonymous, regions, count);

    if (ret < 0)
        return ret;
    memory = calloc(1, sizeof(*memory) + count * sizeof(memory->regions[0]));
    if (memory == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_memory_create", "%zu regions", count);
    atomic_init(&memory->refs, 1);
    memory->memfile = VISOR_FILE_NONE;
    ret = visor__config_copy(&memory->config, sizeof(memory->config), config,
                             "visor_memory_create");
    if (ret == 0 && anonymous > 0)
        ret = visor__os_memfile(&memory->memfile, anonymous);
    for (size_t i = 0; ret == 0 && i < count; i++)
        ret = map_region(memory, &regions[i], &file_used);
    if (ret < 0) {
        visor_memory_free(memory);
        return ret;
    }
    *out = memory;
    return 0;
}

visor_memory *visor_memory_ref(visor_memory *memory)
{
    atomic_fetch_add(&memory->refs, 1);
    return memory;
}

void visor_memory_free(visor_memory *memory)
{
    if (memory == NULL || atomic_fetch_sub(&memory->refs, 1) != 1)
        return;
    for (size_t i = 0; i < memory->count; i++) {
        visor_memory_info *info = &memory->regions[i].info;

        visor__os_unmap(info->host, info->length);
        if (info->file != memory->memfile)
            visor__os_file_close(info->file);
    }
    visor__os_file_close(memory->memfile);
    free(memory);
}

size_t visor_memory_region_count(const visor_memory *memory)
{
    return memory->count;
}

int visor_memory_region_info(visor_memory_info *out, const visor_memory *memory, size_t index)
{
    if (index >= memory->count)
        return visor__error(VISOR_ERANGE, "", "visor_memory_region_info",
                            "region %zu of %zu", index, memory->count);
    *out = memory->regions[index].info;
    return 0;
}

uint64_t visor_memory_size(const visor_memory *memory)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < memory->count; i++)
        sum += memory->regions[i].info.length;
    return sum;
}

uint64_t visor_memory_end(const visor_memory *memory)
{
    const visor_memory_info *last = &memory->regions[memory->count - 1].info;

    return last->gpa + last->length;
}

/* The region that holds gpa. Few regions, so a linear search is the fastest and the plainest. */
static const struct visor__region *region_at(const visor_memory *memory, uint64_t gpa)
{
    for (size_t i = 0; i < memory->count; i++) {
        const visor_memory_info *info = &memory->regions[i].info;

        if (gpa >= info->gpa && gpa - info->gpa < info->length)
            return &memory->regions[i];
    }
    return NULL;
}

const struct visor__region *visor__memory_find(const visor_memory *memory, uint64_t gpa,
                                               uint64_t length)
{
    const struct visor__region *region = region_at(memory, gpa);

    if (region == NULL || length > region->info.length - (gpa - region->info.gpa))
        return NULL;
    return region;
}

bool visor_memory_contains(const visor_memory *memory, uint64_t gpa, uint64_t length)
{
    return length > 0 && visor__memory_find(memory, gpa, length) != NULL;
}

bool visor_memory_overlaps(const visor_memory *memory, uint64_t gpa, uint64_t length)
{
    if (length == 0)
        return false;
    for (size_t i = 0; i < memory->count; i++) {
        const visor_memory_info *info = &memory->regions[i].info;

        /* Compared as last bytes, so that a range up to 2^64 does not wrap. */
        if (gpa <= info->gpa + info->length - 1 &&
            (length - 1 > UINT64_MAX - gpa || info->gpa <= gpa + length - 1))
            return true;
    }
    return false;
}

/* Walks the range region by region: first to check all of it, then to copy. */
static int check_access(const visor_memory *memory, uint64_t gpa, size_t length, bool write,
                        const char *operation)
{
    uint64_t at = gpa;
    uint64_t left = length;

    while (left > 0) {
        const struct visor__region *region = region_at(memory, at);
        uint64_t step;

        if (region == NULL)
            return visor__error(VISOR_ERANGE, "", operation,
                                "0x%llx is not guest memory (access of %zu bytes at 0x%llx)",
                                (unsigned long long)at, length, (unsigned long long)gpa);
        if (write && !region->host_writable)
            return visor__error(VISOR_EACCESS, "", operation,
                                "the region at 0x%llx is a read-only file",
                                (unsigned long long)region->info.gpa);
        step = region->info.length - (at - region->info.gpa);
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    return 0;
}

/* The host bytes at gpa, and through step how many of `left` follow in the same region. */
static uint8_t *next_piece(const visor_memory *memory, uint64_t gpa, size_t left, size_t *step)
{
    const visor_memory_info *info = &region_at(memory, gpa)->info;
    uint64_t room = info->length - (gpa - info->gpa);

    *step = room < left ? (size_t)room : left;
    return (uint8_t *)info->host + (gpa - info->gpa);
}

int visor_memory_read(void *out, const visor_memory *memory, uint64_t gpa, size_t length)
{
    uint8_t *to = out;
    int ret = check_access(memory, gpa, length, false, "visor_memory_read");

    if (ret < 0)
        return ret;
    for (size_t step; length > 0; length -= step, gpa += step, to += step) {
        const uint8_t *from = next_piece(memory, gpa, length, &step);

        memcpy(to, from, step);
    }
    return 0;
}

int visor_memory_write(visor_memory *memory, uint64_t gpa, const void *data, size_t length)
{
    const uint8_t *from = data;
    int ret = check_access(memory, gpa, length, true, "visor_memory_write");

    if (ret < 0)
        return ret;
    for (size_t step; length > 0; length -= step, gpa += step, from += step) {
        uint8_t *to = next_piece(memory, gpa, length, &step);

        memcpy(to, from, step);
    }
    return 0;
}

int visor_memory_ptr(void **out, const visor_memory *memory, uint64_t gpa, uint64_t length)
{
    const struct visor__region *region = visor__memory_find(memory, gpa, length);

    if (region == NULL)
        return visor__error(VISOR_ERANGE, "", "visor_memory_ptr",
                            "[0x%llx, +0x%llx) does not lie inside one region of guest memory",
                            (unsigned long long)gpa, (unsigned long long)length);
    *out = (uint8_t *)region->info.host + (gpa - region->info.gpa);
    return 0;
}

int visor_memory_discard(visor_memory *memory, uint64_t gpa, uint64_t length)
{
    static const char op[] = "visor_memory_discard";
    const struct visor__region *region = visor__memory_find(memory, gpa, length);
    uint64_t page = visor__os_page_size();
    uint64_t offset;

    if (region == NULL)
        return visor__error(VISOR_ERANGE, "", op,
                            "[0x%llx, +0x%llx) does not lie inside one region of guest memory",
                            (unsigned long long)gpa, (unsigned long long)length);
    if (gpa % page != 0 || length % page != 0)
        return visor__error(VISOR_EALIGN, "", op, "[0x%llx, +0x%llx) is not made of whole pages",
                            (unsigned long long)gpa, (unsigned long long)length);
    if (!region->host_writable)
        return visor__error(VISOR_EACCESS, "", op, "the region is a read-only file");
    if (length == 0)
        return 0;
    offset = gpa - region->info.gpa;
    if (memory->config.punch_hole)
        return visor__os_punch(region->info.file, region->info.file_offset + offset, length);
    return visor__os_discard((uint8_t *)region->info.host + offset, length);
}
