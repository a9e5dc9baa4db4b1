/* SPDX-License-Identifier: BSD-3-Clause */
/* Files and events. A visor_file is the HANDLE of a file or of a section. */
#include <windows.h>

#include "core/internal.h"
#include "os/os_windows.h"

static int duplicate(intptr_t *out, intptr_t handle)
{
    HANDLE self = GetCurrentProcess(), copy;

    /* Those below zero are not handles: -1 would be this process. */
    if (handle <= 0) {
        SetLastError(ERROR_INVALID_HANDLE);
        return visor__os_failed("DuplicateHandle", "");
    }
    if (!DuplicateHandle(self, (HANDLE)handle, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return visor__os_failed("DuplicateHandle", "");
    *out = (intptr_t)copy;
    return 0;
}

int visor__os_check_file(visor_file file, uint64_t offset, uint64_t length, const char *operation)
{
    LARGE_INTEGER bytes;
    uint64_t size;

    /* Then it is a section: the system itself refuses a view that is larger. */
    if (!GetFileSizeEx((HANDLE)file, &bytes))
        return 0;
    size = (uint64_t)bytes.QuadPart;
    if (offset > size || length > size - offset)
        return visor__error(
            VISOR_ERANGE, "", operation, "0x%llx bytes at offset 0x%llx of a file that has 0x%llx",
            (unsigned long long)length, (unsigned long long)offset, (unsigned long long)size);
    return 0;
}

int visor__os_file_dup(visor_file *out, visor_file file)
{
    return duplicate(out, file);
}

void visor__os_file_close(visor_file file)
{
    if (file != VISOR_FILE_NONE)
        CloseHandle((HANDLE)file);
}

/* The most that one call is asked for. */
static DWORD part_of(size_t length)
{
    return length < (1u << 30) ? (DWORD)length : 1u << 30;
}

int visor__os_file_write(visor_file file, const void *data, size_t length)
{
    const uint8_t *from = data;

    while (length > 0) {
        DWORD done;

        if (!WriteFile((HANDLE)file, from, part_of(length), &done, NULL))
            return visor__os_failed("WriteFile", "");
        from += done;
        length -= done;
    }
    return 0;
}

int visor__os_file_read(visor_file file, void *data, size_t length)
{
    uint8_t *to = data;

    while (length > 0) {
        DWORD done;

        if (!ReadFile((HANDLE)file, to, part_of(length), &done, NULL)) {
            if (GetLastError() != ERROR_BROKEN_PIPE)
                return visor__os_failed("ReadFile", "");
            done = 0; /* the writer of a pipe has gone */
        }
        if (done == 0)
            return visor__error(VISOR_EFORMAT, "", "ReadFile", "the file ends too early");
        to += done;
        length -= done;
    }
    return 0;
}

int visor__os_next_data(uint64_t *start, uint64_t *stop, visor_file file, uint64_t offset,
                        uint64_t end)
{
    (void)file;
    if (offset >= end)
        return 0;
    *start = offset;
    *stop = end;
    return 1;
}

/* ---- events ---- */

int visor__os_event_dup(visor_event *out, visor_event event)
{
    return duplicate(out, event);
}

void visor__os_event_close(visor_event event)
{
    if (event != VISOR_EVENT_NONE)
        CloseHandle((HANDLE)event);
}

void visor__os_event_signal(visor_event event)
{
    SetEvent((HANDLE)event);
}

int visor__os_event_create(visor_event *out)
{
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);

    if (event == NULL)
        return visor__os_failed("CreateEvent", "");
    *out = (visor_event)event;
    return 0;
}

void visor__event_wait_set(struct visor__event_wait *wait, visor_event event)
{
    *wait = (struct visor__event_wait){.native = (HANDLE)event};
}

/* Waits for up to MAXIMUM_WAIT_OBJECTS of them. Whether one was signalled. */
static bool wait_some(struct visor__event_wait *waits, size_t count, DWORD ms)
{
    HANDLE handles[MAXIMUM_WAIT_OBJECTS];
    size_t index[MAXIMUM_WAIT_OBJECTS];
    DWORD used = 0, got;

    for (size_t i = 0; i < count; i++) {
        if (waits[i].native == NULL)
            continue;
        index[used] = i;
        handles[used++] = waits[i].native;
    }
    if (used == 0) {
        Sleep(ms);
        return false;
    }
    got = WaitForMultipleObjects(used, handles, FALSE, ms);
    if (got < WAIT_OBJECT_0 + used) {
        waits[index[got - WAIT_OBJECT_0]].signalled = true;
        return true;
    }
    /* What is no event would be reported for ever. */
    for (DWORD i = 0; got == WAIT_FAILED && i < used; i++) {
        DWORD state = WaitForSingleObject(handles[i], 0);

        if (state == WAIT_FAILED)
            waits[index[i]].native = NULL;
        else if (state == WAIT_OBJECT_0)
            waits[index[i]].signalled = true;
    }
    return got == WAIT_FAILED;
}

void visor__event_wait_any(struct visor__event_wait *waits, size_t count, uint64_t ns)
{
    uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);
    DWORD limit = ns == UINT64_MAX ? INFINITE : ms < INFINITE ? (DWORD)ms : INFINITE - 1;

    if (count <= MAXIMUM_WAIT_OBJECTS) {
        wait_some(waits, count, limit);
        return;
    }
    /* One call takes no more than that many: they are asked in turns. */
    for (uint64_t start = visor__os_now_ns();;) {
        bool found = false;

        for (size_t i = 0; i < count; i += MAXIMUM_WAIT_OBJECTS) {
            size_t part = count - i < MAXIMUM_WAIT_OBJECTS ? count - i : MAXIMUM_WAIT_OBJECTS;

            found = wait_some(waits + i, part, 0) || found;
        }
        if (found || (ns != UINT64_MAX && visor__os_now_ns() - start >= ns))
            return;
        Sleep(1);
    }
}

bool visor__event_wait_take(struct visor__event_wait *wait)
{
    bool signalled = wait->signalled;

    wait->signalled = false;
    return signalled;
}
