/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/disk.h"

#define ZEROS_SIZE  65536
#define REPORTS_MAX 10 /* a guest must not fill the log of the host */

/* ---- opening ---- */

int vmm_disk_open_failed(const disk *image, int why, vmm_error *error)
{
    const char *path = image->path;

    switch (why) {
    case ENOENT:
    case ENOTDIR: return vmm_fail(error, VISOR_ENOENT, "%s: no such file", path);
    case EISDIR:
        return vmm_fail(error, VISOR_EFORMAT, "%s: is a directory, not a disk image", path);
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
        if (!image->read_only)
            return vmm_fail(error, VISOR_EACCESS,
                            "%s: cannot be written: %s (give ro=true to only read it)", path,
                            strerror(why));
        return vmm_fail(error, VISOR_EACCESS, "%s: cannot be read: %s", path, strerror(why));
    default: return vmm_fail(error, VISOR_ESYSTEM, "%s: %s", path, strerror(why));
    }
}

int vmm_disk_busy(const disk *image, vmm_error *error)
{
    return vmm_fail(error, VISOR_EBUSY, "%s: in use by another program, probably a running VM%s",
                    image->path, image->read_only ? " that writes to it" : "");
}

static int check_length(const disk *image, vmm_error *error)
{
    if (!image->length)
        return vmm_fail(error, VISOR_EFORMAT, "%s: is empty", image->path);
    if (image->length % DISK_SECTOR)
        return vmm_fail(
            error, VISOR_EFORMAT,
            "%s: is %llu bytes long, not whole sectors of %d (truncate -s %%%d pads it)",
            image->path, (unsigned long long)image->length, DISK_SECTOR, DISK_SECTOR);
    return 0;
}

int disk_open(disk *out, const vmm_host *host, const char *path, bool read_only, vmm_error *error)
{
    disk image = {.host = host, .file = VISOR_FILE_NONE, .read_only = read_only};
    int result;

    image.path = strdup(path);
    if (!image.path)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    result = vmm_disk_open(&image, error);
    if (result == 0)
        result = check_length(&image, error);
    if (result < 0) {
        disk_close(&image);
        return result;
    }
    *out = image;
    return 0;
}

void disk_close(disk *image)
{
    vmm_file_close(image->file);
    free(image->path);
}

/* ---- access ---- */

static int report(disk *image, const char *what, int result)
{
    if (result < 0 && image->reports < REPORTS_MAX) {
        image->reports++;
        vmm_log(image->host, "%s: %s: %s; the guest gets an I/O error%s", image->path, what,
                strerror(-result),
                image->reports == REPORTS_MAX ? " (no more of these will be reported)" : "");
    }
    return result;
}

int disk_read(disk *image, struct iovec *iov, unsigned count, uint64_t offset)
{
    return report(image, "read", vmm_disk_transfer(image, iov, count, offset, false));
}

int disk_write(disk *image, struct iovec *iov, unsigned count, uint64_t offset)
{
    if (image->read_only)
        return -EROFS;
    return report(image, "write", vmm_disk_transfer(image, iov, count, offset, true));
}

/*
 * After a failed fdatasync(2) the kernel may have dropped the pages that it could not write, and
 * the next call succeeds without them. So a disk that failed once never says "flushed" again.
 */
int disk_flush(disk *image)
{
    int result;

    if (image->flush_failed)
        return -EIO;
    result = image->read_only ? 0 : vmm_disk_flush(image);
    image->flush_failed = result < 0;
    return report(image, "flush", result);
}

int disk_discard(disk *image, uint64_t offset, uint64_t length)
{
    int result;

    if (image->read_only)
        return -EROFS;
    result = vmm_disk_punch(image, offset, length);
    if (result == -EOPNOTSUPP)
        return 0; /* advice that this host cannot take */
    return report(image, "discard", result);
}

static int write_zeros(disk *image, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[ZEROS_SIZE];
    struct iovec iov;
    int result = 0;

    while (length && result == 0) {
        iov.iov_base = (void *)zeros;
        iov.iov_len = length < ZEROS_SIZE ? length : ZEROS_SIZE;
        offset += iov.iov_len;
        length -= iov.iov_len;
        result = vmm_disk_transfer(image, &iov, 1, offset - iov.iov_len, true);
    }
    return result;
}

int disk_zero(disk *image, uint64_t offset, uint64_t length, bool unmap)
{
    int result;

    if (image->read_only)
        return -EROFS;
    result = unmap ? vmm_disk_punch(image, offset, length) : vmm_disk_zero(image, offset, length);
    if (result == -EOPNOTSUPP)
        result = write_zeros(image, offset, length);
    return report(image, "write zeroes", result);
}
