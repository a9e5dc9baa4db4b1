/* SPDX-License-Identifier: BSD-3-Clause */
/* What is the same on every POSIX system: locks, time, files. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/internal.h"
#include "os/os_posix.h"

int visor__os_failed(const char *operation, const char *detail)
{
    int code = errno == ENOMEM ? VISOR_ENOMEM : VISOR_ESYSTEM;

    return visor__error_native(code, "", operation, VISOR_NATIVE_ERRNO, errno, "%s", detail);
}

int visor__mutex_init(struct visor__mutex *mutex)
{
    int error = pthread_mutex_init(&mutex->native, NULL);

    if (error == 0)
        return 0;
    errno = error;
    return visor__os_failed("pthread_mutex_init", "");
}

void visor__mutex_destroy(struct visor__mutex *mutex)
{
    pthread_mutex_destroy(&mutex->native);
}

void visor__mutex_lock(struct visor__mutex *mutex)
{
    pthread_mutex_lock(&mutex->native);
}

void visor__mutex_unlock(struct visor__mutex *mutex)
{
    pthread_mutex_unlock(&mutex->native);
}

void visor__os_pause(unsigned attempt)
{
    struct timespec moment = {.tv_nsec = 50000};

    /* Yielding alone never lets a SCHED_OTHER thread run before a SCHED_FIFO one (sched(7)). */
    if (attempt < 16)
        sched_yield();
    else
        nanosleep(&moment, NULL);
}

static void *thread_main(void *argument)
{
    const struct visor__thread *thread = argument;

    thread->run(thread->argument);
    return NULL;
}

int visor__thread_start(struct visor__thread *thread, void (*run)(void *argument), void *argument)
{
    sigset_t all, before;
    int error;

    thread->run = run;
    thread->argument = argument;
    /* Signals of the process are its own threads' business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread->native, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return 0;
    errno = error;
    return visor__os_failed("pthread_create", "");
}

void visor__thread_join(struct visor__thread *thread)
{
    pthread_join(thread->native, NULL);
}

uint64_t visor__os_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t visor__os_calendar_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void alarm_main(void *argument)
{
    struct visor__alarm *alarm = argument;
    const struct timespec due = {
        .tv_sec = (time_t)(alarm->due_ns / 1000000000u),
        .tv_nsec = (long)(alarm->due_ns % 1000000000u),
    };
    int error = 0;

    pthread_mutex_lock(&alarm->lock);
    while (!alarm->stop && error == 0)
        error = pthread_cond_timedwait(&alarm->stopped, &alarm->lock, &due);
    if (!alarm->stop)
        alarm->ring(alarm->context);
    pthread_mutex_unlock(&alarm->lock);
}

int visor__alarm_start(struct visor__alarm *alarm, uint64_t ns, void (*ring)(void *context),
                       void *context)
{
    pthread_condattr_t monotonic;

    *alarm =
        (struct visor__alarm){.due_ns = visor__os_now_ns() + ns, .ring = ring, .context = context};
    pthread_mutex_init(&alarm->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&alarm->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return visor__thread_start(&alarm->thread, alarm_main, alarm);
}

void visor__alarm_stop(struct visor__alarm *alarm)
{
    pthread_mutex_lock(&alarm->lock);
    alarm->stop = true;
    pthread_cond_signal(&alarm->stopped);
    pthread_mutex_unlock(&alarm->lock);
    visor__thread_join(&alarm->thread);
    pthread_cond_destroy(&alarm->stopped);
    pthread_mutex_destroy(&alarm->lock);
}

const char *visor__os_errno_text(char *buf, size_t capacity, int code)
{
    return strerror_r(code, buf, capacity); /* GNU's */
}

void *visor__os_alloc(size_t align, size_t length)
{
    return aligned_alloc(align, length);
}

void visor__os_free(void *memory)
{
    free(memory);
}

size_t visor__os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * Maps `length` bytes at an address that is a multiple of align, and behind them a page that nobody
 * may touch. The system merges neighbours that happen to continue each other in their file, but
 * some drivers of Android take a mapping as guest memory only whole: with the page between them
 * ours have no neighbours. Who runs over the end of guest memory is caught besides.
 */
static void *map_apart(uint64_t length, uint64_t align, int prot, int flags, int fd, off_t offset)
{
    uint64_t page = visor__os_page_size(), spare = align > page ? align - page : 0;
    uint8_t *reserve, *start, *end;

    if (length > UINT64_MAX - spare - page) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    reserve = mmap(NULL, length + spare + page, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserve == MAP_FAILED)
        return MAP_FAILED;
    start = spare > 0 ? reserve + (align - (uintptr_t)reserve % align) % align : reserve;
    end = start + length + page;
    if (start > reserve)
        munmap(reserve, (size_t)(start - reserve));
    if (reserve + length + spare + page > end)
        munmap(end, (size_t)(reserve + length + spare + page - end));
    if (mmap(start, length, prot, flags | MAP_FIXED, fd, offset) == MAP_FAILED) {
        int saved = errno;

        munmap(start, length + page);
        errno = saved;
        return MAP_FAILED;
    }
    return start;
}

int visor__os_map(void **out, visor_file file, uint64_t offset, uint64_t length, uint64_t align,
                  bool writable)
{
    int flags = MAP_SHARED | (file == VISOR_FILE_NONE ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
    void *host = map_apart(length, align, PROT_READ | (writable ? PROT_WRITE : 0), flags, (int)file,
                           (off_t)offset);

    if (host == MAP_FAILED)
        return visor__error_native(errno == ENOMEM ? VISOR_ENOMEM : VISOR_ESYSTEM, "", "mmap",
                                   VISOR_NATIVE_ERRNO, errno, "0x%llx bytes",
                                   (unsigned long long)length);
    *out = host;
    return 0;
}

void visor__os_unmap(void *host, uint64_t length)
{
    munmap(host, length + visor__os_page_size());
}

int visor__os_map_arena(void **out, uint64_t length)
{
    void *host = map_apart(length, 0, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (host == MAP_FAILED)
        return visor__os_failed("mmap", "cannot reserve address space for the arena");
    *out = host;
    return 0;
}

int visor__os_arena_set(void *host, uint64_t length, visor_file file, uint64_t offset,
                        bool writable)
{
    if (mmap(host, length, PROT_READ | (writable ? PROT_WRITE : 0),
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (int)file, (off_t)offset) == MAP_FAILED)
        return visor__os_failed("mmap", "cannot map the file into the arena");
    return 0;
}

int visor__os_arena_clear(void *host, uint64_t length)
{
    if (mmap(host, length, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
             0) == MAP_FAILED)
        return visor__os_failed("mmap", "cannot clear part of the arena");
    return 0;
}

int visor__os_sync(void *host, uint64_t length)
{
    return msync(host, length, MS_SYNC) == 0 ? 0 : visor__os_failed("msync", "");
}

int visor__os_check_file(visor_file file, uint64_t offset, uint64_t length, const char *operation)
{
    struct stat st;

    if (fstat((int)file, &st) < 0)
        return visor__os_failed("fstat", operation);
    if (!S_ISREG(st.st_mode))
        return 0;
    if (offset > (uint64_t)st.st_size || length > (uint64_t)st.st_size - offset)
        return visor__error(
            VISOR_ERANGE, "", operation, "0x%llx bytes at offset 0x%llx of a file that has 0x%llx",
            (unsigned long long)length, (unsigned long long)offset, (unsigned long long)st.st_size);
    return 0;
}

int visor__os_file_dup(visor_file *out, visor_file file)
{
    int fd = fcntl((int)file, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return visor__os_failed("fcntl(F_DUPFD_CLOEXEC)", "cannot duplicate the file");
    *out = fd;
    return 0;
}

void visor__os_file_close(visor_file file)
{
    if (file != VISOR_FILE_NONE)
        close((int)file);
}

int visor__os_file_write(visor_file file, const void *data, size_t length)
{
    const uint8_t *from = data;

    while (length > 0) {
        ssize_t done = write((int)file, from, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return visor__os_failed("write", "");
        from += done;
        length -= (size_t)done;
    }
    return 0;
}

int visor__os_file_read(visor_file file, void *data, size_t length)
{
    uint8_t *to = data;

    while (length > 0) {
        ssize_t done = read((int)file, to, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return visor__os_failed("read", "");
        if (done == 0)
            return visor__error(VISOR_EFORMAT, "", "read", "the file ends too early");
        to += done;
        length -= (size_t)done;
    }
    return 0;
}

int visor__os_event_dup(visor_event *out, visor_event event)
{
    return visor__os_file_dup(out, event);
}

void visor__os_event_close(visor_event event)
{
    visor__os_file_close(event);
}

void visor__os_event_signal(visor_event event)
{
    uint64_t one = 1;

    /* A full counter is signalled already; there is nothing else that could be done here. */
    while (write((int)event, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* ---- waiting for events ---- */

void visor__event_wait_set(struct visor__event_wait *wait, visor_event event)
{
    wait->native = (struct pollfd){.fd = (int)event, .events = POLLIN};
}

void visor__event_wait_any(struct visor__event_wait *waits, size_t count, uint64_t ns)
{
    const struct timespec limit = {
        .tv_sec = (time_t)(ns / 1000000000u),
        .tv_nsec = (long)(ns % 1000000000u),
    };
    int ready = ppoll(&waits->native, count, ns == UINT64_MAX ? NULL : &limit, NULL);

    /* Then what it was is not known any more. */
    for (size_t i = 0; ready < 0 && i < count; i++)
        waits[i].native.revents = 0;
}

bool visor__event_wait_take(struct visor__event_wait *wait)
{
    short found = wait->native.revents;
    uint64_t count;

    wait->native.revents = 0;
    /* What is no event would be reported for ever. */
    if ((found & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        wait->native.fd = -1;
    return (found & POLLIN) != 0 &&
           read(wait->native.fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}
