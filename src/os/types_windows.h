/* SPDX-License-Identifier: BSD-3-Clause */
/* Without <windows.h>, whose macros are too many for the rest of the library. */
#ifndef VISOR_OS_TYPES_WINDOWS_H
#define VISOR_OS_TYPES_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

struct visor__mutex {
    void *native; /* SRWLOCK */
};

struct visor__thread {
    void *native; /* HANDLE */
    void (*run)(void *argument);
    void *argument;
};

struct visor__event_wait {
    void *native; /* HANDLE */
    bool signalled;
};

struct visor__alarm {
    struct visor__thread thread;
    void *lock;    /* SRWLOCK */
    void *stopped; /* CONDITION_VARIABLE */
    bool stop;
    uint64_t due_ns; /* of the monotonic clock */
    void (*ring)(void *context);
    void *context;
};

#endif
