/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory: views of sections and of files, and what can be asked of them. */
#include <windows.h>

#include <malloc.h>
#include <string.h>

#include "core/internal.h"
#include "os/os_windows.h"

/* Another thread may take the address between its release and its use: then another is tried. */
#define ALIGN_ATTEMPTS 64

void *visor__os_alloc(size_t align, size_t length)
{
    return _aligned_malloc(length, align);
}

void visor__os_free(void *memory)
{
    _aligned_free(memory);
}

size_t visor__os_page_size(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return info.dwPageSize;
}

/* What offsets of views are multiples of: 64 KiB. */
static uint64_t granularity(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return info.dwAllocationGranularity;
}

int visor__os_memfile(visor_file *out, uint64_t length)
{
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                        (DWORD)(length >> 32), (DWORD)length, NULL);

    if (section == NULL)
        return visor__error_native(VISOR_ENOMEM, "", "CreateFileMapping", VISOR_NATIVE_WIN32,
                                   GetLastError(), "guest memory of 0x%llx bytes",
                                   (unsigned long long)length);
    *out = (visor_file)section;
    return 0;
}

/* An address that is a multiple of align, where `length` bytes are free at this moment. */
static void *find_aligned(uint64_t length, uint64_t align)
{
    uint8_t *reserve;

    if (length > UINT64_MAX - align)
        return NULL;
    reserve = VirtualAlloc(NULL, length + align, MEM_RESERVE, PAGE_NOACCESS);
    if (reserve == NULL)
        return NULL;
    VirtualFree(reserve, 0, MEM_RELEASE);
    return reserve + (align - (uintptr_t)reserve % align) % align;
}

static void *view_at(HANDLE section, DWORD access, uint64_t offset, uint64_t length, void *base)
{
    if (section == NULL)
        return VirtualAlloc(base, length, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return MapViewOfFileEx(section, access, (DWORD)(offset >> 32), (DWORD)offset, length, base);
}

/* Of a section, or of nothing (NULL): fresh memory. */
static void *view(HANDLE section, DWORD access, uint64_t offset, uint64_t length, uint64_t align)
{
    void *host = NULL, *base;

    if (align <= granularity())
        return view_at(section, access, offset, length, NULL);
    for (unsigned i = 0; host == NULL && i < ALIGN_ATTEMPTS; i++) {
        base = find_aligned(length, align);
        if (base == NULL)
            return NULL;
        host = view_at(section, access, offset, length, base);
        if (host == NULL && GetLastError() != ERROR_INVALID_ADDRESS)
            return NULL;
    }
    return host;
}

/* The rest of a file's last page is in its view, but must not be asked for. */
static uint64_t length_in(HANDLE file, uint64_t offset, uint64_t length)
{
    LARGE_INTEGER size;

    if (GetFileSizeEx(file, &size) && (uint64_t)size.QuadPart > offset &&
        length > (uint64_t)size.QuadPart - offset)
        return (uint64_t)size.QuadPart - offset;
    return length;
}

int visor__os_map(void **out, visor_file file, uint64_t offset, uint64_t length, uint64_t align,
                  bool writable)
{
    DWORD access = writable ? FILE_MAP_WRITE : FILE_MAP_READ;
    uint64_t skip = offset % granularity();
    uint8_t *host;
    DWORD failure;

    if (align > visor__os_page_size() && skip % align != 0)
        return visor__error(VISOR_EUNSUPPORTED, "", "MapViewOfFile",
                            "an address that is a multiple of 0x%llx, for offset 0x%llx: views "
                            "begin at multiples of 0x%llx of both",
                            (unsigned long long)align, (unsigned long long)offset,
                            (unsigned long long)granularity());
    if (length > UINT64_MAX - skip)
        return visor__error(VISOR_ENOMEM, "", "MapViewOfFile", "0x%llx bytes",
                            (unsigned long long)length);
    host = view(file == VISOR_FILE_NONE ? NULL : (HANDLE)file, access, offset - skip, length + skip,
                align);
    if (host == NULL && file != VISOR_FILE_NONE && GetLastError() == ERROR_INVALID_HANDLE) {
        /* Not a section, then a file: it is mapped through one, which lives as long as its views.
         */
        HANDLE section = CreateFileMappingW((HANDLE)file, NULL,
                                            writable ? PAGE_READWRITE : PAGE_READONLY, 0, 0, NULL);

        if (section == NULL)
            return visor__os_failed("CreateFileMapping", "");
        host = view(section, access, offset - skip,
                    length_in((HANDLE)file, offset - skip, length + skip), align);
        failure = GetLastError();
        CloseHandle(section);
        SetLastError(failure);
    }
    if (host == NULL)
        return visor__os_failed("MapViewOfFile", "");
    *out = host + skip;
    return 0;
}

void visor__os_unmap(void *host, uint64_t length)
{
    MEMORY_BASIC_INFORMATION info;

    (void)length;
    /* The view may begin below. */
    if (VirtualQuery(host, &info, sizeof(info)) == 0)
        return;
    if (info.Type == MEM_PRIVATE)
        VirtualFree(info.AllocationBase, 0, MEM_RELEASE);
    else
        UnmapViewOfFile(info.AllocationBase);
}

/*
 * Parts of a view cannot be replaced. Placeholders (VirtualAlloc2, Windows 10 1803) could be, but
 * hold nothing that reads as zeros.
 */
int visor__os_map_arena(void **out, uint64_t length)
{
    (void)out;
    (void)length;
    return visor__error(VISOR_EUNSUPPORTED, "", "visor__os_map_arena",
                        "Windows cannot replace a part of a mapping in place");
}

/* No arena, no calls. */
int visor__os_arena_set(void *host, uint64_t length, visor_file file, uint64_t offset,
                        bool writable)
{
    (void)file;
    (void)offset;
    (void)writable;
    return visor__os_map_arena(&host, length);
}

int visor__os_arena_clear(void *host, uint64_t length)
{
    return visor__os_map_arena(&host, length);
}

int visor__os_sync(void *host, uint64_t length)
{
    MEMORY_BASIC_INFORMATION info;

    /* Fresh memory has nothing to be written back to. */
    if (VirtualQuery(host, &info, sizeof(info)) != 0 && info.Type == MEM_PRIVATE)
        return 0;
    return FlushViewOfFile(host, length) ? 0 : visor__os_failed("FlushViewOfFile", "");
}

int visor__os_page_out(void *host, uint64_t length)
{
    /* Pages that are not locked leave the working set, and the call says that they were not. */
    if (VirtualUnlock(host, length) || GetLastError() == ERROR_NOT_LOCKED)
        return 0;
    return visor__os_failed("VirtualUnlock", "");
}

int visor__os_discard(void *host, uint64_t length)
{
    /* Nothing takes pages out of a section; they can only be cleared. */
    memset(host, 0, length);
    return 0;
}

int visor__os_punch(visor_file file, uint64_t offset, uint64_t length)
{
    void *host = NULL; /* GCC cannot see that errors are negative */
    int ret = visor__os_map(&host, file, offset, length, 0, true);

    if (ret < 0)
        return ret;
    ret = visor__os_discard(host, length);
    visor__os_unmap(host, length);
    return ret;
}

void visor__os_advise_guest(void *host, uint64_t length, bool huge, bool no_fork)
{
    (void)host;
    (void)length;
    (void)huge;
    (void)no_fork;
}

int visor__os_lock_memory(void *host, uint64_t length)
{
    if (VirtualLock(host, length))
        return 0;
    visor__os_failed("VirtualLock", "");
    return visor__error_hint("raise the minimum working set (SetProcessWorkingSetSize)");
}
