/* SPDX-License-Identifier: BSD-3-Clause */
#include <windows.h>

#include <bcrypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"
#include "os/windows.h"

/* ---- errors ---- */

int vmm_windows_errno(unsigned long code)
{
    switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH: return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION: return EACCES;
    case ERROR_WRITE_PROTECT: return EROFS;
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA: return EPIPE;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return ENOSPC;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY: return ENOMEM;
    default: return EIO;
    }
}

/* The system's own words are in the user's language and end in a full stop and a new line. */
const char *vmm_windows_text(char *out, size_t capacity, unsigned long code)
{
    int native = vmm_windows_errno(code);
    char text[200];
    DWORD length;

    if (native != EIO)
        return strerror(native);
    length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code,
                            0, text, sizeof(text), NULL);
    while (length > 0 && (text[length - 1] <= ' ' || text[length - 1] == '.'))
        length--;
    snprintf(out, capacity, "%.*s (error %lu)", (int)length, text, code);
    return out;
}

/* ---- time ---- */

uint64_t vmm_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool vmm_date_of(struct tm *out, int64_t seconds)
{
    const __time64_t time = seconds;

    return _gmtime64_s(out, &time) == 0;
}

int64_t vmm_date_seconds(struct tm *date)
{
    return _mkgmtime64(date);
}

void vmm_timed_cond_init(pthread_cond_t *cond)
{
    pthread_cond_init(cond, NULL);
}

/* These threads know the time of day only. */
bool vmm_timed_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until)
{
    uint64_t now = vmm_now_ns(), left = until > now ? until - now : 0;
    struct timespec when;

    clock_gettime(CLOCK_REALTIME, &when);
    left += (uint64_t)when.tv_nsec;
    when.tv_sec += (time_t)(left / 1000000000);
    when.tv_nsec = (long)(left % 1000000000);
    return pthread_cond_timedwait(cond, mutex, &when) != ETIMEDOUT;
}

/* ---- threads and events ---- */

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

void vmm_event_take(visor_event event)
{
    WaitForSingleObject((HANDLE)event, 0);
}

/* It takes the signal of the first that has one, so the others are asked, too: none waits for ever
 * behind one that is signalled often. */
int vmm_event_wait_any(bool *ready, const visor_event *events, size_t count, vmm_error *error)
{
    HANDLE handles[VMM_EVENTS_MAX] = {0};
    DWORD which;

    _Static_assert(VMM_EVENTS_MAX <= MAXIMUM_WAIT_OBJECTS, "the system waits for no more");
    for (size_t i = 0; i < count; i++)
        handles[i] = (HANDLE)events[i];
    which = WaitForMultipleObjects((DWORD)count, handles, FALSE, INFINITE);
    if (which >= WAIT_OBJECT_0 + count)
        return vmm_fail(error, VISOR_ESYSTEM, "WaitForMultipleObjects: error %lu", GetLastError());
    for (size_t i = 0; i < count; i++)
        ready[i] = i == which || (i > which && WaitForSingleObject(handles[i], 0) == WAIT_OBJECT_0);
    return 0;
}

bool vmm_random(void *out, size_t length)
{
    return length <= ULONG_MAX &&
           BCryptGenRandom(NULL, out, (ULONG)length, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

static int fail_file(const char *path, const char *what, vmm_error *error)
{
    DWORD code = GetLastError();
    char text[200];
    int result;

    if (code == ERROR_SHARING_VIOLATION)
        return vmm_fail(error, VISOR_EBUSY, "%s '%s': in use by another program", what, path);
    switch (vmm_windows_errno(code)) {
    case ENOENT: result = VISOR_ENOENT; break;
    case EACCES: result = VISOR_EACCESS; break;
    default: result = VISOR_ESYSTEM; break;
    }
    return vmm_fail(error, result, "%s '%s': %s", what, path,
                    vmm_windows_text(text, sizeof(text), code));
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
    /* Others may do with it what they like, as elsewhere. */
    file = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       NULL, OPEN_EXISTING, 0, NULL);
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
