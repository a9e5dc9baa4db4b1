/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VISOR_OS_TYPES_POSIX_H
#define VISOR_OS_TYPES_POSIX_H

#include <pthread.h>

struct visor__mutex {
    pthread_mutex_t native;
};

#endif
