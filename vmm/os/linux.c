/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"

uint64_t vmm_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool vmm_date_of(struct tm *out, int64_t seconds)
{
    const time_t time = (time_t)seconds;

    return gmtime_r(&time, out) != NULL;
}

int64_t vmm_date_seconds(struct tm *date)
{
    return (int64_t)timegm(date);
}

void vmm_timed_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool vmm_timed_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until)
{
    const struct timespec when = {
        .tv_sec = (time_t)(until / 1000000000),
        .tv_nsec = (long)(until % 1000000000),
    };

    return pthread_cond_timedwait(cond, mutex, &when) != ETIMEDOUT;
}

int vmm_thread_start(pthread_t *out, void *(*run)(void *argument), void *argument, vmm_error *error)
{
    /* A fault of the thread's own, if blocked, kills the process without its handlers. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t blocked, old;
    int result;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    result = pthread_create(out, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result)
        return vmm_fail(error, VISOR_ESYSTEM, "cannot start a thread: %s", strerror(result));
    return 0;
}

int vmm_event_create(visor_event *out, vmm_error *error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return vmm_fail(error, VISOR_ESYSTEM, "eventfd: %s", strerror(errno));
    *out = fd;
    return 0;
}

void vmm_event_free(visor_event event)
{
    if (event != VISOR_EVENT_NONE)
        close((int)event);
}

void vmm_event_signal(visor_event event)
{
    const uint64_t one = 1;

    /* The counter cannot be full: that would take 2^64 signals. */
    while (write((int)event, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

void vmm_event_wait(visor_event event)
{
    struct pollfd ready = {.fd = (int)event, .events = POLLIN};

    /* It does not block, because drivers may read it, too. */
    poll(&ready, 1, -1);
    vmm_event_take(event);
}

void vmm_event_take(visor_event event)
{
    uint64_t count;
    ssize_t ignored = read((int)event, &count, sizeof(count)); /* EAGAIN: there is none */

    (void)ignored;
}

/*
 * On poll(2), because it takes regular files too (`visor run ... < script`), which epoll(7)
 * refuses, and there are only a handful of descriptors.
 */
int vmm_event_wait_any(bool *ready, const visor_event *events, size_t count, vmm_error *error)
{
    struct pollfd fds[VMM_EVENTS_MAX] = {0};

    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = (int)events[i], .events = POLLIN};
    if (poll(fds, (nfds_t)count, -1) < 0) {
        if (errno != EINTR)
            return vmm_fail(error, VISOR_ESYSTEM, "poll: %s", strerror(errno));
        memset(fds, 0, sizeof(fds));
    }
    for (size_t i = 0; i < count; i++)
        ready[i] = fds[i].revents != 0;
    return 0;
}

bool vmm_random(void *out, size_t length)
{
    uint8_t *to = out;

    while (length > 0) {
        ssize_t got = getrandom(to, length, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        length -= (size_t)got;
    }
    return true;
}

static int host_error(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR: return VISOR_ENOENT;
    case EACCES:
    case EPERM: return VISOR_EACCESS;
    default: return VISOR_ESYSTEM;
    }
}

int vmm_file_map(const void **out, size_t *size, const char *path, const char *what,
                 vmm_error *error)
{
    struct stat status;
    void *data;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vmm_fail(error, host_error(errno), "%s '%s': %s", what, path, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is %s, not a file", what, path,
                        S_ISDIR(status.st_mode) ? "a directory" : "a device or a pipe");
    }
    if (status.st_size == 0) {
        close(fd);
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is empty", what, path);
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return vmm_fail(error, VISOR_ESYSTEM, "%s '%s' cannot be mapped: %s", what, path,
                        strerror(errno));
    *out = data;
    *size = (size_t)status.st_size;
    return 0;
}

void *vmm_reserve(size_t capacity)
{
    void *memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory != MAP_FAILED ? memory : NULL;
}

void vmm_reserve_trim(void *memory, size_t capacity, size_t used)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    used = (used + page - 1) & ~(page - 1);
    if (used < capacity)
        munmap((uint8_t *)memory + used, capacity - used);
}

void vmm_unmap(const void *memory, size_t size)
{
    munmap((void *)memory, size);
}
