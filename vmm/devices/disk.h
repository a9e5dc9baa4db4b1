/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A raw disk image of the host: opened, locked, and accessed so that what disk_flush() acknowledged
 * is on stable storage. All functions return 0 or a negative errno.
 */
#ifndef VMM_DEVICES_DISK_H
#define VMM_DEVICES_DISK_H

#include <sys/uio.h>

#include "devices/device.h"

#define DISK_SECTOR 512

typedef struct disk {
    const vmm_host *host;
    char *path;
    visor_file file;
    uint64_t length; /* bytes, whole sectors */
    bool read_only;
    bool flush_failed; /* for good: see disk_flush() */
    unsigned reports;  /* errors logged so far */
} disk;

/* See virtio_blk_create() for the errors. */
int disk_open(disk *out, const vmm_host *host, const char *path, bool read_only, vmm_error *error);
void disk_close(disk *image);

/* All of it or an error; -EIO also if the file is shorter than it was. iov is used up. */
int disk_read(disk *image, struct iovec *iov, unsigned count, uint64_t offset);
int disk_write(disk *image, struct iovec *iov, unsigned count, uint64_t offset);
int disk_flush(disk *image);
/* The host may forget the range; what it reads as afterwards is not said. */
int disk_discard(disk *image, uint64_t offset, uint64_t length);
/* The range reads as zeros; with `unmap` its storage may be freed. */
int disk_zero(disk *image, uint64_t offset, uint64_t length, bool unmap);

#endif
