/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/disk.h"

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

    if (fcntl((int)image->file, F_OFD_SETLK, &range) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return vmm_disk_busy(image, error);
    /* A file system without locks: better than no disk at all, but the user should know. */
    vmm_log(image->host, "%s: cannot be locked (%s): make sure that nothing else uses it",
            image->path, strerror(errno));
    return 0;
}

static int measure(disk *image, vmm_error *error)
{
    struct stat status;

    if (fstat((int)image->file, &status) < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "%s: %s", image->path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return vmm_disk_open_failed(image, EISDIR, error);
    if (S_ISREG(status.st_mode))
        image->length = (uint64_t)status.st_size;
    else if (!S_ISBLK(status.st_mode))
        return vmm_fail(error, VISOR_EFORMAT, "%s: neither a file nor a block device", image->path);
    else if (ioctl((int)image->file, BLKGETSIZE64, &image->length) < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "%s: BLKGETSIZE64: %s", image->path, strerror(errno));
    return 0;
}

int vmm_disk_open(disk *image, vmm_error *error)
{
    /* Without O_NONBLOCK a FIFO would hold us here. */
    int flags = (image->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK, result;

    image->file = open(image->path, flags);
    if (image->file < 0)
        return vmm_disk_open_failed(image, errno, error);
    result = measure(image, error);
    return result < 0 ? result : lock(image, error);
}

int vmm_disk_transfer(disk *image, struct iovec *iov, unsigned count, uint64_t offset, bool write)
{
    ssize_t done;
    size_t part;

    while (count) {
        done = write ? pwritev((int)image->file, iov, (int)count, (off_t)offset)
                     : preadv((int)image->file, iov, (int)count, (off_t)offset);
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

int vmm_disk_flush(disk *image)
{
    return fdatasync((int)image->file) == 0 ? 0 : -errno;
}

static int change(disk *image, int mode, uint64_t offset, uint64_t length)
{
    int result;

    do {
        result =
            fallocate((int)image->file, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return 0;
    return errno == ENOSYS || errno == ENODEV ? -EOPNOTSUPP : -errno;
}

int vmm_disk_punch(disk *image, uint64_t offset, uint64_t length)
{
    return change(image, FALLOC_FL_PUNCH_HOLE, offset, length);
}

int vmm_disk_zero(disk *image, uint64_t offset, uint64_t length)
{
    return change(image, FALLOC_FL_ZERO_RANGE, offset, length);
}
