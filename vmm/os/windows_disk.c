/* SPDX-License-Identifier: BSD-3-Clause */
#include <windows.h>

#include <errno.h>
#include <winioctl.h>

#include "os/disk.h"
#include "os/windows.h"

/* The modes of sharing are the lock: a writer shares with nobody, readers with readers. */
int vmm_disk_open(disk *image, vmm_error *error)
{
    DWORD access = image->read_only ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE;
    DWORD sharing = image->read_only ? FILE_SHARE_READ : 0;
    DWORD attributes = GetFileAttributesA(image->path), code;
    LARGE_INTEGER length;
    char text[200];
    HANDLE file;

    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return vmm_disk_open_failed(image, EISDIR, error);
    file = CreateFileA(image->path, access, sharing, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        code = GetLastError();
        if (code == ERROR_SHARING_VIOLATION)
            return vmm_disk_busy(image, error);
        if (vmm_windows_errno(code) == EIO) /* the system has better words */
            return vmm_fail(error, VISOR_ESYSTEM, "%s: %s", image->path,
                            vmm_windows_text(text, sizeof(text), code));
        return vmm_disk_open_failed(image, vmm_windows_errno(code), error);
    }
    image->file = (visor_file)file;
    if (GetFileType(file) != FILE_TYPE_DISK || !GetFileSizeEx(file, &length))
        return vmm_fail(error, VISOR_EFORMAT, "%s: not a file", image->path);
    image->length = (uint64_t)length.QuadPart;
    return 0;
}

/* The most that one call is asked for. */
#define PART_MAX (1u << 30)

int vmm_disk_transfer(disk *image, struct iovec *iov, unsigned count, uint64_t offset, bool write)
{
    for (; count > 0; iov++, count--) {
        uint8_t *at = iov->iov_base;

        while (iov->iov_len > 0) {
            DWORD part = iov->iov_len < PART_MAX ? (DWORD)iov->iov_len : PART_MAX, done = 0;
            OVERLAPPED place = {
                .Offset = (DWORD)offset,
                .OffsetHigh = (DWORD)(offset >> 32),
            };
            BOOL worked = write ? WriteFile((HANDLE)image->file, at, part, &done, &place)
                                : ReadFile((HANDLE)image->file, at, part, &done, &place);

            if (!worked)
                return -vmm_windows_errno(GetLastError());
            if (done == 0)
                return -EIO;
            at += done;
            offset += done;
            iov->iov_len -= done;
        }
    }
    return 0;
}

int vmm_disk_flush(disk *image)
{
    return FlushFileBuffers((HANDLE)image->file) ? 0 : -vmm_windows_errno(GetLastError());
}

/* Only of a sparse file are zeros given back to the file system. */
int vmm_disk_punch(disk *image, uint64_t offset, uint64_t length)
{
    FILE_ZERO_DATA_INFORMATION range = {
        .FileOffset.QuadPart = (LONGLONG)offset,
        .BeyondFinalZero.QuadPart = (LONGLONG)(offset + length),
    };
    HANDLE file = (HANDLE)image->file;
    DWORD done;

    if (DeviceIoControl(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &done, NULL) &&
        DeviceIoControl(file, FSCTL_SET_ZERO_DATA, &range, sizeof(range), NULL, 0, &done, NULL))
        return 0;
    return -EOPNOTSUPP;
}

int vmm_disk_zero(disk *image, uint64_t offset, uint64_t length)
{
    (void)image;
    (void)offset;
    (void)length;
    return -EOPNOTSUPP;
}
