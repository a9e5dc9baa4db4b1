/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UNIT_HOST_WINDOWS_H
#define UNIT_HOST_WINDOWS_H

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Windows' headers have macros with names of ours. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#undef IN
#undef OUT
#undef interface
#undef near
#undef far
#undef small

#define HOST_ARENAS      0
#define HOST_HOLES       0
#define HOST_MANY_VMS    200 /* Wine takes long for each */
#define HOST_DEVICE_FILE "NUL"

#define HOST_PATH_MAX MAX_PATH

static inline bool make_path(char path[HOST_PATH_MAX])
{
    char folder[MAX_PATH];

    return GetTempPathA(sizeof(folder), folder) != 0 &&
           GetTempFileNameA(folder, "vsr", 0, path) != 0;
}

static inline visor_file make_file(void)
{
    char path[HOST_PATH_MAX];
    HANDLE file;

    if (!make_path(path))
        return VISOR_FILE_NONE;
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
                       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE, NULL);
    return file != INVALID_HANDLE_VALUE ? (visor_file)file : VISOR_FILE_NONE;
}

static inline bool file_resize(visor_file file, uint64_t length)
{
    LARGE_INTEGER to = {.QuadPart = (LONGLONG)length};

    return SetFilePointerEx((HANDLE)file, to, NULL, FILE_BEGIN) && SetEndOfFile((HANDLE)file);
}

static inline void file_seek(visor_file file, uint64_t offset)
{
    LARGE_INTEGER to = {.QuadPart = (LONGLONG)offset};

    SetFilePointerEx((HANDLE)file, to, NULL, FILE_BEGIN);
}

static inline int64_t file_position(visor_file file)
{
    LARGE_INTEGER none = {0}, at = {0};

    return SetFilePointerEx((HANDLE)file, none, &at, FILE_CURRENT) ? at.QuadPart : -1;
}

static inline bool file_read(visor_file file, uint64_t offset, void *data, size_t length)
{
    OVERLAPPED place = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD done = 0;

    return ReadFile((HANDLE)file, data, (DWORD)length, &done, &place) && done == length;
}

static inline bool file_write(visor_file file, uint64_t offset, const void *data, size_t length)
{
    OVERLAPPED place = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD done = 0;

    return WriteFile((HANDLE)file, data, (DWORD)length, &done, &place) && done == length;
}

static inline void close_file(visor_file file)
{
    CloseHandle((HANDLE)file);
}

static inline bool make_pipe(visor_file ends[2])
{
    HANDLE handles[2];

    if (!CreatePipe(&handles[0], &handles[1], NULL, 0))
        return false;
    ends[0] = (visor_file)handles[0];
    ends[1] = (visor_file)handles[1];
    return true;
}

static inline bool pipe_has(visor_file end)
{
    DWORD there = 0;

    for (int i = 0; i < 10; i++) {
        if (!PeekNamedPipe((HANDLE)end, NULL, 0, NULL, &there, NULL) || there > 0)
            return true;
        Sleep(1);
    }
    return false;
}

static inline ptrdiff_t pipe_read(visor_file end, void *data, size_t capacity)
{
    DWORD done = 0;

    return ReadFile((HANDLE)end, data, (DWORD)capacity, &done, NULL) ? (ptrdiff_t)done : -1;
}

static inline uint64_t file_allocated(const char *path)
{
    DWORD high = 0, low = GetCompressedFileSizeA(path, &high);

    return low != INVALID_FILE_SIZE ? (uint64_t)high << 32 | low : 0;
}

static inline bool forbid_memory(void *at, size_t length)
{
    DWORD before;

    return VirtualProtect(at, length, PAGE_NOACCESS, &before);
}

static inline uint64_t heap_used(void)
{
    _HEAPINFO entry = {0};
    uint64_t used = 0;

    while (_heapwalk(&entry) == _HEAPOK) {
        if (entry._useflag == _USEDENTRY)
            used += entry._size;
    }
    return used;
}

#endif
