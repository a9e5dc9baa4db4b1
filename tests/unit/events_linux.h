/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef UNIT_EVENTS_LINUX_H
#define UNIT_EVENTS_LINUX_H

#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_COUNT 1 /* how often they were signalled */

static inline visor_event make_event(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* How often the event was signalled since the last call. */
static inline uint64_t event_count(visor_event event)
{
    uint64_t count = 0;

    return read((int)event, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static inline visor_event copy_event(visor_event event)
{
    return dup((int)event);
}

/* 0, or < 0 if it was closed already. */
static inline int close_event(visor_event event)
{
    return close((int)event);
}

/* Descriptors that this process has open. */
static inline int open_files(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

#endif
