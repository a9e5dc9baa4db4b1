/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS_SIZE  65536
#define REPORTS_MAX 10 /* a guest must not fill the log of the host */

/* ---- opening ---- */

static int open_failed(const char *path, bool read_only, int why, vmm_error *error)
{
    switch (why) {
    case ENOENT:
    case ENOTDIR: return vmm_fail(error, VISOR_ENOENT, "%s: no such file", path);
    case EISDIR:
        return vmm_fail(error, VISOR_EFORMAT, "%s: is a directory, not a disk image", path);
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
        if (!read_only)
            return vmm_fail(error, VISOR_EACCESS,
                            "%s: cannot be written: %s (give ro=true to only read it)", path,
                            strerror(why));
        return vmm_fail(error, VISOR_EACCESS, "%s: cannot be read: %s", path, strerror(why));
    default: return vmm_fail(error, VISOR_ESYSTEM, "%s: %s", path, strerror(why));
    }
}

/*
 * The lock belongs to the open file, not to the process (fcntl(2), "open file description locks"),
 * so it also holds between two disks of one VMM, and QEMU's image locks see it.
 */
static int lock(disk *image, vmm_error *error)
{
    struct flock range = {
        .l_type = image->read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(image->fd, F_OFD_SETLK, &range) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return vmm_fail(error, VISOR_EBUSY,
                        "%s: in use by another program, probably a running VM%s", image->path,
                        image->read_only ? " that writes to it" : "");
    /* A file system without locks: better than no disk at all, but the user should know. */
    vmm_log(image->host, "%s: cannot be locked (%s): make sure that nothing else uses it",
            image->path, strerror(errno));
    return 0;
}

static int measure(disk *image, vmm_error *error)
{
    struct stat status;

    if (fstat(image->fd, &status) < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "%s: %s", image->path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return open_failed(image->path, image->read_only, EISDIR, error);
    if (S_ISREG(status.st_mode))
        image->length = (uint64_t)status.st_size;
    else if (!S_ISBLK(status.st_mode))
        return vmm_fail(error, VISOR_EFORMAT, "%s: neither a file nor a block device", image->path);
    else if (ioctl(image->fd, BLKGETSIZE64, &image->length) < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "%s: BLKGETSIZE64: %s", image->path, strerror(errno));
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
    disk image = {.host = host, .fd = -1, .read_only = read_only};
    int result;

    image.path = strdup(path);
    if (!image.path)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    /* Without O_NONBLOCK a FIFO would hold us here. */
    image.fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    result = image.fd < 0 ? open_failed(path, read_only, errno, error) : measure(&image, error);
    if (result == 0)
        result = lock(&image, error);
    if (result < 0) {
        disk_close(&image);
        return result;
    }
    *out = image;
    return 0;
}

void disk_close(disk *image)
{
    if (image->fd >= 0)
        close(image->fd);
    free(image->path);
}

/* ---- access ---- */

static int transfer(disk *image, struct iovec *iov, unsigned count, uint64_t offset, bool write)
{
    ssize_t done;
    size_t part;

    while (count) {
        done = write ? pwritev(image->fd, iov, (int)count, (off_t)offset)
                     : preadv(image->fd, iov, (int)count, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        offset += (uint64_t)done;
        while (count && done >= 0) {
            part = (size_t)done < iov->iov_len ? (size_t)done : iov->iov_len;
            iov->iov_base = (uint8_t *)iov->iov_base + part;
            iov->iov_len -= part;
            done -= (ssize_t)part;
            if (iov->iov_len)
                break;
            iov++;
            count--;
        }
    }
    return 0;
}

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
    return report(image, "read", transfer(image, iov, count, offset, false));
}

int disk_write(disk *image, struct iovec *iov, unsigned count, uint64_t offset)
{
    if (image->read_only)
        return -EROFS;
    return report(image, "write", transfer(image, iov, count, offset, true));
}

/*
 * After a failed fdatasync(2) the kernel may have dropped the pages that it could not write, and
 * the next call succeeds without them. So a disk that failed once never says "flushed" again.
 */
int disk_flush(disk *image)
{
    if (image->flush_failed)
        return -EIO;
    if (image->read_only || fdatasync(image->fd) == 0)
        return 0;
    image->flush_failed = true;
    return report(image, "flush", -errno);
}

static int change(disk *image, int mode, uint64_t offset, uint64_t length)
{
    int result;

    do {
        result = fallocate(image->fd, mode, (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int disk_discard(disk *image, uint64_t offset, uint64_t length)
{
    int result;

    if (image->read_only)
        return -EROFS;
    result = change(image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    if (result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV)
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
        result = transfer(image, &iov, 1, offset - iov.iov_len, true);
    }
    return result;
}

int disk_zero(disk *image, uint64_t offset, uint64_t length, bool unmap)
{
    int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, result;

    if (image->read_only)
        return -EROFS;
    result = change(image, mode | FALLOC_FL_KEEP_SIZE, offset, length);
    if (result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV)
        result = write_zeros(image, offset, length);
    return report(image, "write zeroes", result);
}
