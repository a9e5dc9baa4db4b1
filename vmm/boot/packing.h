/* SPDX-License-Identifier: BSD-3-Clause */
/* Between what finds packed kernels (unpack.c, vmlinux.c) and what unpacks them (packing.c). */
#ifndef VMM_BOOT_PACKING_H
#define VMM_BOOT_PACKING_H

#include "boot/boot.h"

/* The whole of what is packed, and room for what comes out of it. */
struct boot_packed {
    const struct boot_image *image; /* for messages */
    const struct boot_packing *packing;
    const uint8_t *data;
    size_t size;
    uint8_t *out;
    size_t capacity, length;
};

struct boot_packing {
    const char *name;
    const char *magic;
    size_t magic_length;
    /* Fills packed->out and sets packed->length. ELIMIT, with no message: there is more than
     * packed->capacity. */
    int (*unpack)(struct boot_packed *packed, vmm_error *error);
};

/* All names in a sentence, for messages. */
#define BOOT_PACKINGS "gzip, xz, lzma, bzip2, lz4 (of Linux) and zstd"

/* What these bytes are packed by; NULL: nothing that can be unpacked here. */
const struct boot_packing *boot_packing_of(const uint8_t *data, size_t size);

/*
 * Unpacks `size` bytes at `data`, a part of `image` and packed by `packing`, into memory for
 * boot_image_close(). At most `limit` bytes are made of it; more is ELIMIT.
 */
int boot_unpack_part(struct boot_image *out, const struct boot_image *image,
                     const struct boot_packing *packing, const uint8_t *data, size_t size,
                     uint64_t limit, vmm_error *error);

#endif
