/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that is played by the test: this program's own ioctl() stands in for libc's. Every call
 * is noted with the bytes that it hands over, so that what a backend says to its driver can be
 * compared with what it should say.
 */
#ifndef VISOR_TESTS_DRIVER_H
#define VISOR_TESTS_DRIVER_H

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_ioctl.h"
#include "unit.h"

#define DRIVER_CALLS 512

struct driver_call {
    unsigned long request;
    uint64_t value;    /* the argument itself */
    uint8_t bytes[64]; /* what it points to, before the call */
    size_t length;     /* bytes of it: as the request encodes it, 8 for requests that hide it */
    bool kick_blocked; /* the kick signal, at the time of the call */
};

static struct {
    struct driver_call calls[DRIVER_CALLS];
    size_t count;
    /* 0 or more: the result; less: -errno. */
    int (*answer)(unsigned long request, void *argument);
    /* How many bytes a request hands over although its number does not say so. */
    size_t (*hidden)(unsigned long request);
} driver;

/* A descriptor for whatever the driver creates. */
static inline int driver_file(size_t length)
{
    int fd = memfd_create("driver", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)length) == 0 ? fd : -1;
}

static inline void driver_note(unsigned long request, void *argument)
{
    struct driver_call *call = &driver.calls[driver.count];
    sigset_t mask;

    if (driver.count == DRIVER_CALLS)
        return;
    driver.count++;
    call->request = request;
    call->value = (uintptr_t)argument;
    call->length = _IOC_SIZE(request);
    if (call->length == 0 && driver.hidden != NULL)
        call->length = driver.hidden(request);
    if (call->length > sizeof(call->bytes))
        call->length = sizeof(call->bytes);
    if (call->length > 0 && argument != NULL)
        memcpy(call->bytes, argument, call->length);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    call->kick_blocked = sigismember(&mask, SIGRTMIN + 1) == 1;
}

static int fake_ioctl(unsigned long request, void *argument)
{
    driver_note(request, argument);
    return driver.answer(request, argument);
}

/* The n-th call of this request, NULL if there were fewer. */
static inline const struct driver_call *driver_call(unsigned long request, unsigned n)
{
    for (size_t i = 0; i < driver.count; i++) {
        if (driver.calls[i].request == request && n-- == 0)
            return &driver.calls[i];
    }
    return NULL;
}

static inline unsigned driver_calls(unsigned long request)
{
    unsigned count = 0;

    while (driver_call(request, count) != NULL)
        count++;
    return count;
}

/* Whether the n-th call of the request handed over exactly these bytes. */
static inline bool driver_gave(unsigned long request, unsigned n, const void *bytes, size_t length)
{
    const struct driver_call *call = driver_call(request, n);

    if (call == NULL || call->length != length) {
        printf("# request %#lx, call %u: %s\n", request, n, call == NULL ? "none" : "another size");
        return false;
    }
    if (memcmp(call->bytes, bytes, length) == 0)
        return true;
    printf("# request %#lx, call %u:", request, n);
    for (size_t i = 0; i < length; i++)
        printf(" %02x", call->bytes[i]);
    printf("\n");
    return false;
}

/* Whether the calls since `from` were these requests, in this order; ended by 0. */
static inline bool driver_order(size_t from, const unsigned long *requests)
{
    size_t i = from;

    for (; *requests != 0; requests++, i++) {
        if (i >= driver.count || driver.calls[i].request != *requests) {
            printf("# call %zu is %#lx, should be %#lx\n", i,
                   i < driver.count ? driver.calls[i].request : 0, *requests);
            return false;
        }
    }
    if (i != driver.count)
        printf("# call %zu is %#lx, should be none\n", i, driver.calls[i].request);
    return i == driver.count;
}

#define DRIVER_GAVE(request, n, ...) \
    CHECK(driver_gave((request), (n), &(__VA_ARGS__), sizeof(__VA_ARGS__)))

#endif
