/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What devices, loaders and machines of the VMM need of the host's system, besides C and POSIX
 * threads; one file per system implements it.
 */
#ifndef VMM_OS_OS_H
#define VMM_OS_OS_H

#include <pthread.h>
#include <visor.h>

#include "devices/device.h"

/* ---- events, as the library takes them; signals of one may become one ---- */
int vmm_event_create(visor_event *out, vmm_error *error);
void vmm_event_free(visor_event event); /* VISOR_EVENT_NONE: nothing */
void vmm_event_signal(visor_event event);
/* Until it is signalled; takes the signal. May return without reason. */
void vmm_event_wait(visor_event event);

/* ---- random bytes; false: the system has none ---- */
bool vmm_random(void *out, size_t length);

/* ---- memory ---- */
/* A file, to be read. `what` it is, for messages. */
int vmm_file_map(const void **out, size_t *size, const char *path, const char *what,
                 vmm_error *error);
/* Zeros, which cost next to nothing until they are written. NULL: there are no more. */
void *vmm_reserve(size_t capacity);
/* Gives back what is not used of it; `used` may be 0, then it is gone. */
void vmm_reserve_trim(void *memory, size_t capacity, size_t used);
/* What vmm_file_map() gave, or the `used` bytes of vmm_reserve_trim(). */
void vmm_unmap(const void *memory, size_t size);

#endif
