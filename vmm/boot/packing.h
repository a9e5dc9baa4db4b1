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
    const char *name, *library;
    /* Fills packed->out and sets packed->length. ELIMIT, with no message: there is more than
     * packed->capacity. NULL: visor was built without the library. */
    int (*unpack)(struct boot_packed *packed, vmm_error *error);
    const char *magic;
    size_t magic_length;
};

/* Which of these there are, the build says: BOOT_UNPACK_GZIP and so on are their names, or NULL. */
int boot_unpack_gzip(struct boot_packed *packed, vmm_error *error);
int boot_unpack_xz(struct boot_packed *packed, vmm_error *error);
int boot_unpack_lzma(struct boot_packed *packed, vmm_error *error);
int boot_unpack_bzip2(struct boot_packed *packed, vmm_error *error);
int boot_unpack_lz4(struct boot_packed *packed, vmm_error *error);
int boot_unpack_zstd(struct boot_packed *packed, vmm_error *error);

/* For these: EFORMAT, with the reason. */
int boot_packed_corrupt(const struct boot_packed *packed, const char *why, vmm_error *error);
int boot_packed_cut(const struct boot_packed *packed, vmm_error *error);
/* Whether another stream of the same kind begins here. */
bool boot_packed_goes_on(const struct boot_packed *packed, const uint8_t *data, size_t size);

/* All names in a sentence, for messages. */
#define BOOT_PACKINGS "gzip, xz, lzma, bzip2, lz4 (of Linux) and zstd"

/* What these bytes are packed by; NULL: nothing that is known here. */
const struct boot_packing *boot_packing_of(const uint8_t *data, size_t size);

/*
 * Unpacks `size` bytes at `data`, a part of `image` and packed by `packing`, into memory for
 * boot_image_close(). At most `limit` bytes are made of it; more is ELIMIT.
 */
int boot_unpack_part(struct boot_image *out, const struct boot_image *image,
                     const struct boot_packing *packing, const uint8_t *data, size_t size,
                     uint64_t limit, vmm_error *error);

#endif
