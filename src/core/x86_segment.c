/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segment registers and the descriptors they are loaded from. Bits of a descriptor (SDM vol. 3A,
 * 3.4.5): limit 15:0 and 51:48, base 39:16 and 63:56, type 43:40, S 44, DPL 46:45, P 47, AVL 52,
 * L 53, D/B 54, G 55.
 */
#include "core/internal.h"

#define LIMIT_MAX 0xfffffu

static uint8_t bits(uint64_t descriptor, unsigned from, unsigned count)
{
    return (uint8_t)(descriptor >> from & ((1u << count) - 1));
}

void visor_x86_segment_from_descriptor(visor_x86_segment *out, uint64_t descriptor,
                                       uint16_t selector)
{
    uint32_t limit = (uint32_t)((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));
    uint32_t base = (uint32_t)((descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000));

    *out = (visor_x86_segment){
        .base = base,
        .selector = selector,
        .type = bits(descriptor, 40, 4),
        .s = bits(descriptor, 44, 1),
        .dpl = bits(descriptor, 45, 2),
        .present = bits(descriptor, 47, 1),
        .avl = bits(descriptor, 52, 1),
        .l = bits(descriptor, 53, 1),
        .db = bits(descriptor, 54, 1),
        .g = bits(descriptor, 55, 1),
    };
    out->limit = out->g ? limit << 12 | 0xfff : limit;
    out->unusable = !out->present;
}

int visor_x86_segment_to_descriptor(uint64_t *out, const visor_x86_segment *segment)
{
    uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;
    uint64_t base = segment->base & 0xffffffff;

    if (limit > LIMIT_MAX)
        return visor__error(VISOR_ERANGE, "", "visor_x86_segment_to_descriptor",
                            "a limit of 0x%x bytes needs granularity 1", segment->limit);
    *out = (limit & 0xffff) | (limit & 0xf0000) << 32 | (base & 0xffffff) << 16 |
           (base & 0xff000000) << 32 | (uint64_t)(segment->type & 15) << 40 |
           (uint64_t)(segment->s & 1) << 44 | (uint64_t)(segment->dpl & 3) << 45 |
           (uint64_t)(segment->present & 1) << 47 | (uint64_t)(segment->avl & 1) << 52 |
           (uint64_t)(segment->l & 1) << 53 | (uint64_t)(segment->db & 1) << 54 |
           (uint64_t)(segment->g & 1) << 55;
    return 0;
}
