/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VISOR_OS_TYPES_POSIX_H
#define VISOR_OS_TYPES_POSIX_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct visor__mutex {
    pthread_mutex_t native;
};

struct visor__thread {
    pthread_t native;
    void (*run)(void *argument);
    void *argument;
};

struct visor__event_wait {
    struct pollfd native;
};

struct visor__alarm {
    struct visor__thread thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
    uint64_t due_ns; /* of the monotonic clock */
    void (*ring)(void *context);
    void *context;
};

#endif
