/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UNIT_HOST_LINUX_H
#define UNIT_HOST_LINUX_H

#include <malloc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_ARENAS      1    /* whether parts of a mapping can be replaced */
#define HOST_HOLES       1    /* whether the system tells holes of files and memory */
#define HOST_MANY_VMS    1100 /* to find what each of them leaves behind */
#define HOST_DEVICE_FILE "/dev/null"

#define HOST_PATH_MAX 64

/* An empty file, for whoever removes it. */
static inline bool make_path(char path[HOST_PATH_MAX])
{
    int fd;

    strcpy(path, "/tmp/visor-test-XXXXXX");
    fd = mkstemp(path);
    return fd >= 0 && close(fd) == 0;
}

/* An empty file that goes when it is closed; VISOR_FILE_NONE if there can be none. */
static inline visor_file make_file(void)
{
    char path[] = "/tmp/visor-test-XXXXXX";
    int fd = mkstemp(path);

    if (fd >= 0)
        unlink(path);
    return fd >= 0 ? fd : VISOR_FILE_NONE;
}

static inline bool file_resize(visor_file file, uint64_t length)
{
    return ftruncate((int)file, (off_t)length) == 0;
}

/* Where it is read and written next. */
static inline void file_seek(visor_file file, uint64_t offset)
{
    lseek((int)file, (off_t)offset, SEEK_SET);
}

static inline int64_t file_position(visor_file file)
{
    return lseek((int)file, 0, SEEK_CUR);
}

/* All of it, wherever that leaves the position. */
static inline bool file_read(visor_file file, uint64_t offset, void *data, size_t length)
{
    return pread((int)file, data, length, (off_t)offset) == (ssize_t)length;
}

static inline bool file_write(visor_file file, uint64_t offset, const void *data, size_t length)
{
    return pwrite((int)file, data, length, (off_t)offset) == (ssize_t)length;
}

static inline void close_file(visor_file file)
{
    close((int)file);
}

/* The reading and the writing end. */
static inline bool make_pipe(visor_file ends[2])
{
    int fds[2];

    if (pipe(fds) != 0)
        return false;
    ends[0] = fds[0];
    ends[1] = fds[1];
    return true;
}

/* Whether there is something to read, or will be within a few milliseconds. */
static inline bool pipe_has(visor_file end)
{
    return poll(&(struct pollfd){.fd = (int)end, .events = POLLIN}, 1, 10) != 0;
}

static inline ptrdiff_t pipe_read(visor_file end, void *data, size_t capacity)
{
    return read((int)end, data, capacity);
}

/* Bytes that a file takes on the disk. */
static inline uint64_t file_allocated(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

/* Whoever touches these pages dies. */
static inline bool forbid_memory(void *at, size_t length)
{
    return mprotect(at, length, PROT_NONE) == 0;
}

/* Bytes that the C library has given out. */
static inline uint64_t heap_used(void)
{
    return mallinfo2().uordblks;
}

#endif
