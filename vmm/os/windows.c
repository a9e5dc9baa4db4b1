/* SPDX-License-Identifier: BSD-3-Clause */
#include <windows.h>

#include <bcrypt.h>
#include <string.h>

#include "os/os.h"

int vmm_thread_start(pthread_t *out, void *(*run)(void *argument), void *argument, vmm_error *error)
{
    int result = pthread_create(out, NULL, run, argument);

    if (result)
        return vmm_fail(error, VISOR_ESYSTEM, "cannot start a thread: %s", strerror(result));
    return 0;
}

int vmm_event_create(visor_event *out, vmm_error *error)
{
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);

    if (event == NULL)
        return vmm_fail(error, VISOR_ESYSTEM, "CreateEvent: error %lu", GetLastError());
    *out = (visor_event)event;
    return 0;
}

void vmm_event_free(visor_event event)
{
    if (event != VISOR_EVENT_NONE)
        CloseHandle((HANDLE)event);
}

void vmm_event_signal(visor_event event)
{
    SetEvent((HANDLE)event);
}

void vmm_event_wait(visor_event event)
{
    WaitForSingleObject((HANDLE)event, INFINITE);
}

bool vmm_random(void *out, size_t length)
{
    return length <= ULONG_MAX &&
           BCryptGenRandom(NULL, out, (ULONG)length, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

static int host_error(DWORD code)
{
    switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME: return VISOR_ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: return VISOR_EACCESS;
    default: return VISOR_ESYSTEM;
    }
}

/* The system's words for it, which end in a full stop and a new line. */
static int fail_file(const char *path, const char *what, vmm_error *error)
{
    DWORD code = GetLastError();
    char text[200];
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                  code, 0, text, sizeof(text), NULL);

    while (length > 0 && (text[length - 1] <= ' ' || text[length - 1] == '.'))
        length--;
    return vmm_fail(error, host_error(code), "%s '%s': %.*s (error %lu)", what, path, (int)length,
                    text, code);
}

static int map(const void **out, size_t *size, HANDLE file, const char *path, const char *what,
               vmm_error *error)
{
    LARGE_INTEGER length;
    HANDLE section;
    const void *data;

    if (GetFileType(file) != FILE_TYPE_DISK)
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is a device or a pipe, not a file", what,
                        path);
    if (!GetFileSizeEx(file, &length))
        return fail_file(path, what, error);
    if (length.QuadPart == 0)
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is empty", what, path);
    section = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (section == NULL)
        return fail_file(path, what, error);
    data = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    if (data == NULL) {
        fail_file(path, what, error);
        CloseHandle(section);
        return VISOR_ESYSTEM;
    }
    CloseHandle(section); /* the view keeps it */
    *out = data;
    *size = (size_t)length.QuadPart;
    return 0;
}

int vmm_file_map(const void **out, size_t *size, const char *path, const char *what,
                 vmm_error *error)
{
    DWORD attributes = GetFileAttributesA(path);
    HANDLE file;
    int code;

    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is a directory, not a file", what, path);
    file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return fail_file(path, what, error);
    code = map(out, size, file, path, what, error);
    CloseHandle(file);
    return code;
}

void *vmm_reserve(size_t capacity)
{
    /* It counts against the page file, but only until it is trimmed. */
    return VirtualAlloc(NULL, capacity, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void vmm_reserve_trim(void *memory, size_t capacity, size_t used)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    used = (used + info.dwPageSize - 1) & ~(size_t)(info.dwPageSize - 1);
    if (used == 0)
        VirtualFree(memory, 0, MEM_RELEASE);
    else if (used < capacity)
        VirtualFree((uint8_t *)memory + used, capacity - used, MEM_DECOMMIT);
}

void vmm_unmap(const void *memory, size_t size)
{
    MEMORY_BASIC_INFORMATION info;

    (void)size;
    if (VirtualQuery(memory, &info, sizeof(info)) == 0)
        return;
    if (info.Type == MEM_PRIVATE)
        VirtualFree(info.AllocationBase, 0, MEM_RELEASE);
    else
        UnmapViewOfFile(memory);
}
