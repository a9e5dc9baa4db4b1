/* SPDX-License-Identifier: BSD-3-Clause */
/* The "legacy frame" of lz4_Frame_format.md: after the magic number blocks of 8 MiB, each behind
 * its packed size. */
#include "boot/packing.h"

#include <lz4.h>

#define LZ4_MAGIC 0x184c2102u
#define LZ4_BLOCK (8 << 20)

int boot_unpack_lz4(struct boot_packed *packed, vmm_error *error)
{
    const uint8_t *at = packed->data + 4;
    size_t left = packed->size - 4;

    while (left != 0) {
        uint32_t size = left >= 4 ? boot_get32(at) : 0;
        size_t room = packed->capacity - packed->length;
        int got;

        if (left < 4)
            return boot_packed_cut(packed, error);
        if (size == 0 || (left == 4 && size == packed->length))
            return 0; /* padding, or the unpacked size */
        at += 4;
        left -= 4;
        if (size == LZ4_MAGIC)
            continue;
        if (size > LZ4_COMPRESSBOUND(LZ4_BLOCK))
            return boot_packed_corrupt(packed, "it is corrupt", error);
        if (size > left)
            return boot_packed_cut(packed, error);
        got = LZ4_decompress_safe((const char *)at, (char *)packed->out + packed->length, (int)size,
                                  (int)(room < LZ4_BLOCK ? room : LZ4_BLOCK));
        if (got < 0) /* it does not tell which of the two it is */
            return room < LZ4_BLOCK ? VISOR_ELIMIT
                                    : boot_packed_corrupt(packed, "it is corrupt", error);
        packed->length += (size_t)got;
        at += size;
        left -= size;
    }
    return 0;
}
