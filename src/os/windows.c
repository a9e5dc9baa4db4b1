/* SPDX-License-Identifier: BSD-3-Clause */
/* Locks, threads, time, chance. */
#include <windows.h>

#include <bcrypt.h>
#include <string.h>

#include "core/internal.h"
#include "os/os_windows.h"

_Static_assert(sizeof(SRWLOCK) == sizeof(void *), "a lock is a pointer");
_Static_assert(sizeof(CONDITION_VARIABLE) == sizeof(void *), "and so is a condition");

#define NS_PER_S  1000000000u
#define NS_PER_MS 1000000u

int visor__os_failed(const char *operation, const char *detail)
{
    DWORD error = GetLastError();
    bool memory = error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_OUTOFMEMORY ||
                  error == ERROR_COMMITMENT_LIMIT || error == ERROR_NO_SYSTEM_RESOURCES;

    return visor__error_native(memory ? VISOR_ENOMEM : VISOR_ESYSTEM, "", operation,
                               VISOR_NATIVE_WIN32, error, "%s", detail);
}

static SRWLOCK *lock_of(void **native)
{
    return (SRWLOCK *)native;
}

int visor__mutex_init(struct visor__mutex *mutex)
{
    InitializeSRWLock(lock_of(&mutex->native));
    return 0;
}

void visor__mutex_destroy(struct visor__mutex *mutex)
{
    (void)mutex;
}

void visor__mutex_lock(struct visor__mutex *mutex)
{
    AcquireSRWLockExclusive(lock_of(&mutex->native));
}

void visor__mutex_unlock(struct visor__mutex *mutex)
{
    ReleaseSRWLockExclusive(lock_of(&mutex->native));
}

void visor__os_pause(unsigned attempt)
{
    if (attempt < 16)
        SwitchToThread();
    else
        Sleep(1);
}

static DWORD WINAPI thread_main(void *argument)
{
    const struct visor__thread *thread = argument;

    thread->run(thread->argument);
    return 0;
}

int visor__thread_start(struct visor__thread *thread, void (*run)(void *argument), void *argument)
{
    thread->run = run;
    thread->argument = argument;
    thread->native = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
    return thread->native != NULL ? 0 : visor__os_failed("CreateThread", "");
}

void visor__thread_join(struct visor__thread *thread)
{
    WaitForSingleObject(thread->native, INFINITE);
    CloseHandle(thread->native);
}

void visor__os_wait(atomic_uint *word, unsigned seen)
{
    WaitOnAddress(word, &seen, sizeof(seen), INFINITE);
}

void visor__os_wake(atomic_uint *word)
{
    WakeByAddressAll(word);
}

uint64_t visor__os_now_ns(void)
{
    LARGE_INTEGER frequency, now;
    uint64_t hz, ticks;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    hz = (uint64_t)frequency.QuadPart;
    ticks = (uint64_t)now.QuadPart;
    /* In two parts: ticks * 10^9 would overflow within half an hour at 10 MHz. */
    return ticks / hz * NS_PER_S + ticks % hz * NS_PER_S / hz;
}

uint64_t visor__os_calendar_ns(void)
{
    FILETIME now;

    /* In units of 100 ns, since 1601. */
    GetSystemTimePreciseAsFileTime(&now);
    return (((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime) -
            UINT64_C(116444736000000000)) *
           100;
}

static void alarm_main(void *argument)
{
    struct visor__alarm *alarm = argument;
    CONDITION_VARIABLE *stopped = (CONDITION_VARIABLE *)&alarm->stopped;

    AcquireSRWLockExclusive(lock_of(&alarm->lock));
    while (!alarm->stop) {
        uint64_t now = visor__os_now_ns(), ms;

        if (now >= alarm->due_ns)
            break;
        ms = (alarm->due_ns - now + NS_PER_MS - 1) / NS_PER_MS;
        SleepConditionVariableSRW(stopped, lock_of(&alarm->lock),
                                  ms < INFINITE ? (DWORD)ms : INFINITE - 1, 0);
    }
    if (!alarm->stop)
        alarm->ring(alarm->context);
    ReleaseSRWLockExclusive(lock_of(&alarm->lock));
}

int visor__alarm_start(struct visor__alarm *alarm, uint64_t ns, void (*ring)(void *context),
                       void *context)
{
    *alarm =
        (struct visor__alarm){.due_ns = visor__os_now_ns() + ns, .ring = ring, .context = context};
    InitializeSRWLock(lock_of(&alarm->lock));
    InitializeConditionVariable((CONDITION_VARIABLE *)&alarm->stopped);
    return visor__thread_start(&alarm->thread, alarm_main, alarm);
}

void visor__alarm_stop(struct visor__alarm *alarm)
{
    AcquireSRWLockExclusive(lock_of(&alarm->lock));
    alarm->stop = true;
    WakeConditionVariable((CONDITION_VARIABLE *)&alarm->stopped);
    ReleaseSRWLockExclusive(lock_of(&alarm->lock));
    visor__thread_join(&alarm->thread);
}

const char *visor__os_errno_text(char *buf, size_t capacity, int code)
{
    return strerror_s(buf, capacity, code) == 0 ? buf : "";
}

bool visor__os_random(void *buf, size_t length)
{
    return length <= ULONG_MAX &&
           BCryptGenRandom(NULL, buf, (ULONG)length, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}
