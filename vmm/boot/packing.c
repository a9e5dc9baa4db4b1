/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kernels are packed by; a file for each library unpacks it, if the build has that library. A
 * stream may be there several times, one after the other; what follows the last is padding, or the
 * unpacked size, which Linux appends.
 */
#include "boot/packing.h"

#include <string.h>

int boot_packed_corrupt(const struct boot_packed *packed, const char *why, vmm_error *error)
{
    return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' cannot be unpacked by %s: %s",
                    packed->image->path, packed->packing->name, why);
}

int boot_packed_cut(const struct boot_packed *packed, vmm_error *error)
{
    return boot_packed_corrupt(packed, "it is cut off", error);
}

bool boot_packed_goes_on(const struct boot_packed *packed, const uint8_t *data, size_t size)
{
    return size >= packed->packing->magic_length &&
           memcmp(data, packed->packing->magic, packed->packing->magic_length) == 0;
}

const struct boot_packing *boot_packing_of(const uint8_t *data, size_t size)
{
    static const struct boot_packing packings[] = {
        {"gzip", "zlib", BOOT_UNPACK_GZIP, "\x1f\x8b", 2},
        {"xz", "liblzma", BOOT_UNPACK_XZ,
         "\xfd"
         "7zXZ\0",
         6},
        {"bzip2", "bzip2", BOOT_UNPACK_BZIP2, "BZh", 3},
        {"lz4", "lz4", BOOT_UNPACK_LZ4, "\x02\x21\x4c\x18", 4},
        {"zstd", "zstd", BOOT_UNPACK_ZSTD, "\x28\xb5\x2f\xfd", 4},
        /* No magic number: the usual properties, and a dictionary of whole 64 KiB. */
        {"lzma", "liblzma", BOOT_UNPACK_LZMA, "\x5d\0\0", 3},
    };

    for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
        if (size >= packings[i].magic_length &&
            memcmp(data, packings[i].magic, packings[i].magic_length) == 0)
            return &packings[i];
    }
    return NULL;
}
