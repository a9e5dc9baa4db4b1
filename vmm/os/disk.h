/* SPDX-License-Identifier: BSD-3-Clause */
/* The system's side of devices/disk.c. Functions return 0 or a negative errno, but for open. */
#ifndef VMM_OS_DISK_H
#define VMM_OS_DISK_H

#include "devices/disk.h"
#include "os/os.h"

/*
 * Opens and locks the file or block device at image->path as image->read_only says: a disk has one
 * writer, or any number of readers. Sets file (also if it fails later) and length, whatever it is.
 */
int vmm_disk_open(disk *image, vmm_error *error);
/* Those of vmm_disk_open(), for a native errno. */
int vmm_disk_open_failed(const disk *image, int why, vmm_error *error);
int vmm_disk_busy(const disk *image, vmm_error *error);

/* All of it; -EIO at the end of the file. iov is used up. */
int vmm_disk_transfer(disk *image, struct iovec *iov, unsigned count, uint64_t offset, bool write);
/* To stable storage. */
int vmm_disk_flush(disk *image);
/* Gives the range back to the host; it reads as zeros. -EOPNOTSUPP: not here. */
int vmm_disk_punch(disk *image, uint64_t offset, uint64_t length);
/* Zeros that keep their place. -EOPNOTSUPP: not here. */
int vmm_disk_zero(disk *image, uint64_t offset, uint64_t length);

#endif
