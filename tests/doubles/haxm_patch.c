/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stands before the functions of Windows by which a program reaches the driver: their places in the
 * tables of what the program imports (PE format, "The .idata section") are written over. A HANDLE
 * of the double is a real one, of an event, so that it is like no other.
 */
#include "haxm_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "double.h"

#define MOST_HANDLES 256

/* An open node. */
struct entry {
    HANDLE handle; /* NULL: free */
    struct object *object;
    bool overlapped;
    SRWLOCK turn; /* one request at a time, if it is not overlapped */
};

static SRWLOCK lock = SRWLOCK_INIT;
static struct entry entries[MOST_HANDLES];
static wchar_t own_path[MAX_PATH];

static struct entry *find(HANDLE handle)
{
    struct entry *found = NULL;

    AcquireSRWLockShared(&lock);
    for (unsigned i = 0; i < MOST_HANDLES && found == NULL; i++) {
        if (handle != NULL && entries[i].handle == handle)
            found = &entries[i];
    }
    ReleaseSRWLockShared(&lock);
    return found;
}

static HANDLE install(struct object *object, bool overlapped)
{
    HANDLE handle = CreateEventA(NULL, TRUE, FALSE, NULL);
    unsigned i = 0;

    AcquireSRWLockExclusive(&lock);
    while (i < MOST_HANDLES && entries[i].handle != NULL)
        i++;
    if (i == MOST_HANDLES || handle == NULL)
        double_die("more than %u nodes are open", MOST_HANDLES);
    entries[i] = (struct entry){
        .handle = handle, .object = object, .overlapped = overlapped, .turn = SRWLOCK_INIT};
    ReleaseSRWLockExclusive(&lock);
    return handle;
}

/* ---- what programs call ---- */

static HANDLE WINAPI create_file(const char *path, DWORD access, DWORD share,
                                 SECURITY_ATTRIBUTES *security, DWORD how, DWORD flags,
                                 HANDLE template)
{
    struct object *object;
    DWORD error = path == NULL ? NO_NODE : driver_open(&object, path);

    if (error == NO_NODE)
        return CreateFileA(path, access, share, security, how, flags, template);
    SetLastError(error);
    return error != 0 ? INVALID_HANDLE_VALUE : install(object, (flags & FILE_FLAG_OVERLAPPED) != 0);
}

static BOOL WINAPI close_handle(HANDLE handle)
{
    struct entry *entry = find(handle);
    struct object *object;

    if (entry == NULL)
        return CloseHandle(handle);
    AcquireSRWLockExclusive(&lock);
    object = entry->object;
    entry->handle = NULL;
    ReleaseSRWLockExclusive(&lock);
    driver_close(object);
    return CloseHandle(handle);
}

/* METHOD_BUFFERED: one buffer of the system's, as large as the larger of the caller's; of its rest
 * nobody knows what is in it. */
static DWORD control(struct entry *entry, DWORD code, const void *in, DWORD in_size, void *out,
                     DWORD out_size, DWORD *returned)
{
    DWORD size = in_size > out_size ? in_size : out_size, error;
    uint8_t *buffer = malloc(size + 1);

    if (buffer == NULL)
        return ERROR_NOT_ENOUGH_MEMORY;
    memset(buffer, 0x5a, size + 1);
    if (in_size > 0)
        memcpy(buffer, in, in_size);
    if (!entry->overlapped)
        AcquireSRWLockExclusive(&entry->turn);
    error = driver_control(entry->object, code, buffer, in_size, out_size, returned);
    if (!entry->overlapped)
        ReleaseSRWLockExclusive(&entry->turn);
    if (*returned > out_size)
        double_die("0x%lx gives %lu bytes back, and there is room for %lu", code, *returned,
                   out_size);
    if (error == 0 && *returned > 0)
        memcpy(out, buffer, *returned);
    free(buffer);
    return error;
}

static BOOL WINAPI device_io_control(HANDLE handle, DWORD code, void *in, DWORD in_size, void *out,
                                     DWORD out_size, DWORD *returned, OVERLAPPED *overlapped)
{
    struct entry *entry = find(handle);
    DWORD error, done = 0;

    if (entry == NULL)
        return DeviceIoControl(handle, code, in, in_size, out, out_size, returned, overlapped);
    if (entry->overlapped && (overlapped == NULL || overlapped->hEvent == NULL))
        double_die("0x%lx has no event of its own: any request's end would be taken for its", code);
    if (overlapped != NULL)
        ResetEvent(overlapped->hEvent);
    error = control(entry, code, in, in_size, out, out_size, &done);
    if (returned != NULL)
        *returned = done;
    if (overlapped != NULL) {
        overlapped->Internal = error;
        overlapped->InternalHigh = done;
        SetEvent(overlapped->hEvent);
    }
    SetLastError(error);
    return error == 0;
}

static BOOL WINAPI create_process(const wchar_t *program, wchar_t *line,
                                  SECURITY_ATTRIBUTES *security, SECURITY_ATTRIBUTES *thread,
                                  BOOL inherit, DWORD flags, void *environment,
                                  const wchar_t *folder, STARTUPINFOW *how,
                                  PROCESS_INFORMATION *out)
{
    if (!CreateProcessW(program, line, security, thread, inherit, flags | CREATE_SUSPENDED,
                        environment, folder, how, out))
        return FALSE;
    if (!load_into(out->hProcess, own_path))
        double_die("a process cannot be given the double: error %lu", GetLastError());
    if ((flags & CREATE_SUSPENDED) == 0)
        ResumeThread(out->hThread);
    return TRUE;
}

/* ---- tables of imports ---- */

static const struct {
    const char *name;
    void (*function)(void);
} functions[] = {
    {"CreateFileA", (void (*)(void))create_file},
    {"CloseHandle", (void (*)(void))close_handle},
    {"DeviceIoControl", (void (*)(void))device_io_control},
    {"CreateProcessW", (void (*)(void))create_process},
};

static void write_over(ULONGLONG *place, void (*function)(void))
{
    DWORD before;

    VirtualProtect(place, sizeof(*place), PAGE_READWRITE, &before);
    *place = (ULONGLONG)(uintptr_t)function;
    VirtualProtect(place, sizeof(*place), before, &before);
}

static void patch(HMODULE module)
{
    uint8_t *base = (uint8_t *)module;
    const IMAGE_NT_HEADERS *head =
        (const void *)(base + ((const IMAGE_DOS_HEADER *)module)->e_lfanew);
    const IMAGE_IMPORT_DESCRIPTOR *dll =
        (const void *)(base + head->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT]
                                  .VirtualAddress);

    for (; dll->Name != 0; dll++) {
        const IMAGE_THUNK_DATA *names = (const void *)(base + dll->OriginalFirstThunk);
        IMAGE_THUNK_DATA *places = (void *)(base + dll->FirstThunk);

        for (; names->u1.AddressOfData != 0; names++, places++) {
            const IMAGE_IMPORT_BY_NAME *import = (const void *)(base + names->u1.AddressOfData);

            if (IMAGE_SNAP_BY_ORDINAL(names->u1.Ordinal))
                continue;
            for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
                if (strcmp((const char *)import->Name, functions[i].name) == 0)
                    write_over(&places->u1.Function, functions[i].function);
            }
        }
    }
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved);

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, void *reserved)
{
    HMODULE library;

    (void)reserved;
    if (reason != DLL_PROCESS_ATTACH)
        return TRUE;
    GetModuleFileNameW(instance, own_path, MAX_PATH);
    patch(GetModuleHandleW(NULL));
    library = GetModuleHandleW(L"libvisor-0.dll");
    if (library != NULL)
        patch(library);
    return TRUE;
}
