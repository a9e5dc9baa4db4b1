/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of doubles share. They call the nodes as a program does; no backend is involved.
 */
#ifndef VISOR_TESTS_DOUBLE_TEST_H
#define VISOR_TESTS_DOUBLE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/unit.h"

#define RAM      0x80000000ULL
#define RAM_SIZE 0x10000ULL
#define HOLE     0x90000000ULL
#define DIST     0x3fff0000ULL
#define REDIST   0x3ffb0000ULL

#define GUEST(name)                      \
    extern const uint8_t guest_##name[]; \
    extern const uint32_t guest_##name##_size
GUEST(mmio);
GUEST(reset);
GUEST(spin);
GUEST(interrupts);
GUEST(second);
GUEST(readonly);
#define PUT_GUEST(to, name) memcpy((to), guest_##name, guest_##name##_size)

/* The result of a call, or a negative errno. */
static inline long result(long ret)
{
    return ret < 0 ? -errno : ret;
}

#define CALL(fd, request, arg) result(ioctl((fd), (request), (arg)))
/* A call that fails with an errno. */
#define CHECK_ERRNO(call, number) CHECK_INT((call), -(number))

/* Memory that is a mapping of its own. */
static inline void *map_ram(size_t size)
{
    void *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return ram == MAP_FAILED ? NULL : ram;
}

/* The signal that ends function(), which runs in a process of its own; 0: none. */
static inline int death_of(void (*function)(void))
{
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        function();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static inline uint64_t count_of(int event)
{
    uint64_t count = 0;

    return read(event, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static inline void signal_event(int event)
{
    uint64_t one = 1;

    CHECK_INT(write(event, &one, sizeof(one)), sizeof(one));
}

static inline int new_event(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Sends this thread a signal after a while, from another. */
struct test_signal {
    pthread_t to, thread;
    int number;
    unsigned ms;
};

static inline void *send_signal(void *arg)
{
    struct test_signal *order = arg;

    usleep(order->ms * 1000);
    pthread_kill(order->to, order->number);
    return NULL;
}

static inline void signal_later(struct test_signal *order, int number, unsigned ms)
{
    *order = (struct test_signal){.to = pthread_self(), .number = number, .ms = ms};
    CHECK_INT(pthread_create(&order->thread, NULL, send_signal, order), 0);
}

static volatile sig_atomic_t handled;

static inline void handle(int number)
{
    handled = number;
}

static inline void set_handler(int number, int flags)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};

    CHECK_INT(sigaction(number, &action, NULL), 0);
}

#endif
