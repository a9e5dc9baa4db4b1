/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UNIT_EVENTS_WINDOWS_H
#define UNIT_EVENTS_WINDOWS_H

/* Windows' headers have macros with names of ours. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#undef interface
#undef near
#undef far
#undef small

#define EVENTS_COUNT 0

static inline visor_event make_event(void)
{
    return (visor_event)CreateEventA(NULL, FALSE, FALSE, NULL);
}

/* Whether the event was signalled since the last call: there is no count. */
static inline uint64_t event_count(visor_event event)
{
    return WaitForSingleObject((HANDLE)event, 0) == WAIT_OBJECT_0;
}

static inline visor_event copy_event(visor_event event)
{
    HANDLE self = GetCurrentProcess(), copy = NULL;

    DuplicateHandle(self, (HANDLE)event, self, &copy, 0, FALSE, DUPLICATE_SAME_ACCESS);
    return (visor_event)copy;
}

/* 0, or < 0 if it was closed already. */
static inline int close_event(visor_event event)
{
    return CloseHandle((HANDLE)event) ? 0 : -1;
}

/* Handles that this process has open. */
static inline int open_files(void)
{
    DWORD count = 0;

    return GetProcessHandleCount(GetCurrentProcess(), &count) ? (int)count : -1;
}

#endif
