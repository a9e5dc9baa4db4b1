/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/virtio_queue.h"

#include <stdatomic.h>
#include <string.h>

/* virtio 1.2, 2.7.5: struct virtq_desc */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

/* Both rings begin with flags and index; the entries follow, then the word of EVENT_IDX. */
#define RING_FLAGS   0
#define RING_INDEX   2
#define RING_ENTRIES 4
#define AVAIL_ENTRY  2
#define USED_ENTRY   8
#define NO_INTERRUPT 1 /* avail flags */
#define NO_NOTIFY    1 /* used flags */

static uint16_t load16(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

/* Whether the device may use a region so. */
static bool usable(const virtq *queue, const visor_memory_info *region, bool write)
{
    return !(write && region->read_only) &&
           (!queue->bounce_only || region->purpose == VISOR_MEMORY_SWIOTLB);
}

/* The longest stretch from gpa that lies in one region and that the device may use so. */
static uint64_t reach(visor_memory_info *out, const virtq *queue, uint64_t gpa, bool write)
{
    size_t count = visor_memory_region_count(queue->memory);

    for (size_t i = 0; i < count; i++) {
        if (visor_memory_region_info(out, queue->memory, i) < 0)
            continue;
        if (gpa >= out->gpa && gpa - out->gpa < out->length)
            return usable(queue, out, write) ? out->length - (gpa - out->gpa) : 0;
    }
    return 0;
}

static uint8_t *map(const virtq *queue, uint64_t gpa, uint64_t length, bool write)
{
    visor_memory_info info;

    if (!length || reach(&info, queue, gpa, write) < length)
        return NULL;
    return (uint8_t *)info.host + (gpa - info.gpa);
}

int virtq_start(virtq *queue, visor_memory *memory)
{
    uint64_t size = queue->size;
    uint64_t event = 2; /* reserved in both layouts, whether EVENT_IDX is negotiated or not */

    queue->ready = false;
    if (!size || size > VIRTQ_MAX_SIZE || size & (size - 1) || queue->desc % 16 ||
        queue->avail % 2 || queue->used % 4)
        return VISOR_EINVAL;
    queue->memory = memory;
    queue->desc_ptr = map(queue, queue->desc, size * sizeof(struct descriptor), false);
    queue->avail_ptr = map(queue, queue->avail, RING_ENTRIES + size * AVAIL_ENTRY + event, false);
    queue->used_ptr = map(queue, queue->used, RING_ENTRIES + size * USED_ENTRY + event, true);
    if (!queue->desc_ptr || !queue->avail_ptr || !queue->used_ptr)
        return VISOR_EINVAL;
    queue->next_avail = 0;
    queue->next_used = 0;
    queue->signalled_used = 0;
    queue->ready = true;
    return 0;
}

/* Adds the buffer of one descriptor to the chain; it may span regions that touch. */
static int add_buffer(const virtq *queue, virtq_chain *chain, const struct descriptor *desc)
{
    bool write = desc->flags & DESC_WRITE;
    uint64_t gpa = desc->address, left = desc->length, part;
    visor_memory_info info;

    if (!write && chain->in_count)
        return VISOR_EFORMAT; /* all readable buffers come first (2.7.4.2) */
    if (chain->out_length + chain->in_length + left > UINT32_MAX)
        return VISOR_EFORMAT; /* 2.7.5: at most 2^32 bytes in total */
    if (write)
        chain->in_length += left;
    else
        chain->out_length += left;
    while (left) {
        part = reach(&info, queue, gpa, write);
        if (!part || chain->out_count + chain->in_count == VIRTQ_MAX_SIZE)
            return VISOR_EFORMAT;
        if (part > left)
            part = left;
        chain->iov[chain->out_count + chain->in_count] =
            (struct iovec){.iov_base = (uint8_t *)info.host + (gpa - info.gpa), .iov_len = part};
        if (write)
            chain->in_count++;
        else
            chain->out_count++;
        gpa += part;
        left -= part;
    }
    return 0;
}

/* Follows one table of `size` descriptors from `index`. */
static int walk(const virtq *queue, virtq_chain *chain, const uint8_t *table, uint32_t size,
                uint32_t index, bool is_indirect)
{
    struct descriptor desc;
    const uint8_t *inner;
    int result;

    for (uint32_t steps = 0; steps < size; steps++) {
        if (index >= size)
            return VISOR_EFORMAT;
        memcpy(&desc, table + (size_t)index * sizeof(desc), sizeof(desc));
        if (desc.flags & DESC_INDIRECT) {
            /* 2.7.5.3.1: no nesting, not together with NEXT, whole descriptors */
            if (is_indirect || !queue->indirect || desc.flags & DESC_NEXT ||
                desc.length % sizeof(desc))
                return VISOR_EFORMAT;
            inner = map(queue, desc.address, desc.length, false);
            if (!inner)
                return VISOR_EFORMAT;
            return walk(queue, chain, inner, desc.length / (uint32_t)sizeof(desc), 0, true);
        }
        result = add_buffer(queue, chain, &desc);
        if (result < 0)
            return result;
        if (!(desc.flags & DESC_NEXT))
            return 0;
        index = desc.next;
    }
    return VISOR_EFORMAT; /* more steps than descriptors: a loop */
}

int virtq_pop(virtq *queue, virtq_chain *out)
{
    uint16_t available = load16(queue->avail_ptr + RING_INDEX), head;
    int result;

    if (available == queue->next_avail)
        return 0;
    if ((uint16_t)(available - queue->next_avail) > queue->size)
        return VISOR_EFORMAT;
    head = load16(queue->avail_ptr + RING_ENTRIES +
                  (size_t)(queue->next_avail % queue->size) * AVAIL_ENTRY);
    queue->next_avail++;
    out->head = head;
    out->out_count = out->in_count = 0;
    out->out_length = out->in_length = 0;
    result = walk(queue, out, queue->desc_ptr, queue->size, head, false);
    return result < 0 ? result : 1;
}

void virtq_push(virtq *queue, uint16_t head, uint32_t written)
{
    uint32_t entry[2] = {head, written};

    memcpy(queue->used_ptr + RING_ENTRIES + (size_t)(queue->next_used % queue->size) * USED_ENTRY,
           entry, sizeof(entry));
    queue->next_used++;
    store16(queue->used_ptr + RING_INDEX, queue->next_used);
}

/* 2.7.7 and 2.7.10: an index for EVENT_IDX at the end of the other side's ring, else a flag. */
bool virtq_should_interrupt(virtq *queue)
{
    uint16_t event, before = queue->signalled_used;

    atomic_thread_fence(memory_order_seq_cst); /* the used index is out before we look */
    if (!queue->event_idx)
        return !(load16(queue->avail_ptr + RING_FLAGS) & NO_INTERRUPT);
    event = load16(queue->avail_ptr + RING_ENTRIES + (size_t)queue->size * AVAIL_ENTRY);
    queue->signalled_used = queue->next_used;
    return (uint16_t)(queue->next_used - event - 1) < (uint16_t)(queue->next_used - before);
}

bool virtq_enable_notify(virtq *queue)
{
    if (queue->event_idx)
        store16(queue->used_ptr + RING_ENTRIES + (size_t)queue->size * USED_ENTRY,
                queue->next_avail);
    else
        store16(queue->used_ptr + RING_FLAGS, 0);
    atomic_thread_fence(memory_order_seq_cst); /* asked before we look a last time */
    return load16(queue->avail_ptr + RING_INDEX) != queue->next_avail;
}

void virtq_disable_notify(virtq *queue)
{
    if (!queue->event_idx) /* else the event index stays behind, which does the same */
        store16(queue->used_ptr + RING_FLAGS, NO_NOTIFY);
}

unsigned virtq_slice(struct iovec *out, const virtq_chain *chain, bool writable, uint64_t offset,
                     uint64_t length)
{
    const struct iovec *iov = chain->iov + (writable ? chain->out_count : 0);
    unsigned count = writable ? chain->in_count : chain->out_count, used = 0;
    uint64_t part;

    for (unsigned i = 0; i < count && length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        part = iov[i].iov_len - offset;
        if (part > length)
            part = length;
        out[used++] =
            (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + offset, .iov_len = part};
        length -= part;
        offset = 0;
    }
    return used;
}

/* One way or the other between data and a part of the chain. */
static size_t copy(const virtq_chain *chain, bool writable, uint64_t offset, uint8_t *in,
                   const uint8_t *out, size_t length)
{
    const struct iovec *iov = chain->iov + (writable ? chain->out_count : 0);
    unsigned count = writable ? chain->in_count : chain->out_count;
    size_t done = 0, part;

    for (unsigned i = 0; i < count && done < length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        part = iov[i].iov_len - (size_t)offset;
        if (part > length - done)
            part = length - done;
        if (writable)
            memcpy((uint8_t *)iov[i].iov_base + offset, out + done, part);
        else
            memcpy(in + done, (const uint8_t *)iov[i].iov_base + offset, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtq_read(const virtq_chain *chain, uint64_t offset, void *data, size_t length)
{
    return copy(chain, false, offset, data, NULL, length);
}

size_t virtq_write(const virtq_chain *chain, uint64_t offset, const void *data, size_t length)
{
    return copy(chain, true, offset, NULL, data, length);
}
