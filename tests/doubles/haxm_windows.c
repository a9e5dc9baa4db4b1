/* SPDX-License-Identifier: BSD-3-Clause */
/* What the double of HAXM needs of Windows. */
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <string.h>

#include "haxm_machine.h"

const bool driver_tells_msrs_set = true;

void *driver_page(void)
{
    return VirtualAlloc(NULL, HAX_PAGE_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void driver_page_free(void *page)
{
    VirtualFree(page, 0, MEM_RELEASE);
}

/* ---- the clock's interrupts ---- */

static DWORD WINAPI run_clock(void *argument)
{
    void (*tick)(void) = (void (*)(void))argument;

    for (;;) {
        Sleep(1);
        tick();
    }
    return 0;
}

static BOOL CALLBACK start(INIT_ONCE *once, void *tick, void **context)
{
    HANDLE thread = CreateThread(NULL, 0, run_clock, tick, 0, NULL);

    (void)once;
    (void)context;
    if (thread == NULL)
        double_die("no thread for the clock");
    return CloseHandle(thread);
}

void driver_clock_start(void (*tick)(void), pthread_mutex_t *lock)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

    (void)lock; /* there is no fork() */
    InitOnceExecuteOnce(&once, start, (void *)tick, NULL);
}

/* ---- objects ---- */

static SRWLOCK objects = SRWLOCK_INIT;

void object_init(struct object *object, const struct object_ops *ops)
{
    object->ops = ops;
    object->references = 1;
}

void object_get(struct object *object)
{
    AcquireSRWLockExclusive(&objects);
    object->references++;
    ReleaseSRWLockExclusive(&objects);
}

void object_put(struct object *object)
{
    bool is_last;

    AcquireSRWLockExclusive(&objects);
    is_last = --object->references == 0;
    ReleaseSRWLockExclusive(&objects);
    if (is_last && object->ops->release != NULL)
        object->ops->release(object);
}

/* ---- arguments: they are in a buffer of the system's ---- */

int copy_from_user(void *to, uint64_t from, size_t size)
{
    if (from == 0)
        return -EFAULT;
    memcpy(to, (const void *)(uintptr_t)from, size);
    return 0;
}

int copy_to_user(uint64_t to, const void *from, size_t size)
{
    if (to == 0)
        return -EFAULT;
    memcpy((void *)(uintptr_t)to, from, size);
    return 0;
}

/* ---- for the log ---- */

int log_open(const char *path)
{
    return _open(path, _O_WRONLY | _O_CREAT | _O_APPEND | _O_BINARY | _O_NOINHERIT, 0666);
}

const char *log_error_name(int number)
{
    switch (number) {
    case EFAULT: return "EFAULT";
    case EINVAL: return "EINVAL";
    case ENOMEM: return "ENOMEM";
    case E2BIG: return "E2BIG";
    default: return "an error";
    }
}
