/* SPDX-License-Identifier: BSD-3-Clause */
/* Between bzimage.c, which reads the header and starts the kernel, and vmlinux.c, which takes the
 * kernel proper out of it. */
#ifndef VMM_BOOT_BZIMAGE_H
#define VMM_BOOT_BZIMAGE_H

#include "boot/boot.h"

/* What the header says. */
struct boot_bzimage {
    uint64_t setup_size;  /* bytes before the kernel proper */
    uint64_t kernel_size; /* bytes in the file */
    uint64_t run_size;    /* bytes of memory it needs before it can read a memory map */
    uint64_t preferred, alignment, initrd_last;
    uint32_t payload_offset, payload_size; /* what it unpacks, from the kernel proper on */
    uint32_t params_max;
    bool relocatable;
};

/* A kernel in memory. */
struct boot_bzimage_place {
    uint64_t address, end;
    uint64_t entry;
    bool randomized; /* its addresses are random, and it is to know that */
};

/*
 * Unpacks the kernel proper and does what its own loader would have done: puts it in its place, or
 * at random ones if that is how it was built. Returns 1, or 0 if only its own loader can do this,
 * with the reason in `error` and nothing done.
 */
int boot_vmlinux_load(struct boot_bzimage_place *out, const struct boot_image *kernel,
                      const struct boot_bzimage *header, const struct boot_x86_config *config,
                      vmm_error *error);

#endif
