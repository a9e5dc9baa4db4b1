/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What devices, loaders and machines of the VMM need of the host's system, besides C and POSIX
 * threads; files named after a system implement it for that one. What a process has (its standard
 * streams, terminal, signals) is in process.h.
 */
#ifndef VMM_OS_OS_H
#define VMM_OS_OS_H

#include <pthread.h>
#include <stddef.h>
#include <time.h>

#include <visor.h>

#include "devices/device.h"

/* ---- time ---- */
uint64_t vmm_now_ns(void); /* monotonic */
/* A date, in UTC, of seconds since 1970, and back. False: it has none. */
bool vmm_date_of(struct tm *out, int64_t seconds);
int64_t vmm_date_seconds(struct tm *date);
/* A condition that can be waited for until vmm_now_ns() is `until`; false then. */
void vmm_timed_cond_init(pthread_cond_t *cond);
bool vmm_timed_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until);

/* ---- events, as the library takes them; signals of one may become one ---- */
int vmm_event_create(visor_event *out, vmm_error *error);
void vmm_event_free(visor_event event); /* VISOR_EVENT_NONE: nothing */
void vmm_event_signal(visor_event event);
/* Until it is signalled; takes the signal. May return without reason. */
void vmm_event_wait(visor_event event);
/* Takes the signal, if there is one that vmm_event_wait_any() has not taken yet. */
void vmm_event_take(visor_event event);
/* The most that can be waited for at once. */
#define VMM_EVENTS_MAX 64
/* Until one of them (count: 1 to VMM_EVENTS_MAX) is signalled, or some are ready in their own way
 * (vmm_input_event()): which, in `ready`. May return without reason. Fails only if the system does.
 */
int vmm_event_wait_any(bool *ready, const visor_event *events, size_t count, vmm_error *error);

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

/* ---- streams: files, pipes, sockets, terminals ---- */
/* An empty file, to be written. */
int vmm_file_create(visor_file *out, const char *path, vmm_error *error);
/* The other end of a Unix socket that somebody listens at, to be read and written. */
int vmm_socket_connect(visor_file *out, const char *path, vmm_error *error);
void vmm_file_close(visor_file file); /* VISOR_FILE_NONE: nothing */

/* Writes some of it, as soon as that is possible; how much, or a negative errno. */
ptrdiff_t vmm_write(visor_file file, const uint8_t *data, size_t length);
/* What a thread calls first that may hang in vmm_write(), so that it ends nowhere else. */
void vmm_writer_begin(void);
/* Ends such a thread wherever it hangs, and waits for it. It may also come back from there. */
void vmm_writer_end(pthread_t thread);

/* What can be read of a stream (borrowed), when it is there. */
typedef struct vmm_input vmm_input;
int vmm_input_create(vmm_input **out, visor_file file, vmm_error *error);
void vmm_input_free(vmm_input *input); /* NULL: nothing */
/* Ready as long as there is something to read, or the end. */
visor_event vmm_input_event(const vmm_input *input);
/* How much it was; 0: the end; < 0: there is nothing yet. */
ptrdiff_t vmm_input_read(vmm_input *input, uint8_t *out, size_t capacity);

#endif
