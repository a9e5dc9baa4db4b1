/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the library needs of the operating system; one file per system implements it. Functions that
 * return int give 0 or a negative VISOR_E... with the error recorded, unless stated otherwise.
 */
#ifndef VISOR_OS_OS_H
#define VISOR_OS_OS_H

#include <visor/base.h>

#include <stdatomic.h>

#ifdef _WIN32
#include "os/types_windows.h"
#else
#include "os/types_posix.h"
#endif

/* ---- locks: not recursive ---- */
int visor__mutex_init(struct visor__mutex *mutex);
void visor__mutex_destroy(struct visor__mutex *mutex);
void visor__mutex_lock(struct visor__mutex *mutex);
void visor__mutex_unlock(struct visor__mutex *mutex);
/*
 * One step of waiting for another thread; attempt counts from 0. The first few only give the
 * processor away, later ones sleep a moment, so that a thread of lower priority gets on.
 */
void visor__os_pause(unsigned attempt);

/* ---- threads ---- */
/* Runs run(argument) on a thread that gets no signals of the process. */
int visor__thread_start(struct visor__thread *thread, void (*run)(void *argument), void *argument);
void visor__thread_join(struct visor__thread *thread);
/* Sleeps until woken, unless *word is not `seen` (any more). May return without reason. */
void visor__os_wait(atomic_uint *word, unsigned seen);
/* Wakes all that wait for the word. Async-signal-safe. */
void visor__os_wake(atomic_uint *word);

/* ---- time ---- */
uint64_t visor__os_now_ns(void);      /* monotonic */
uint64_t visor__os_calendar_ns(void); /* since 1970, UTC */

/* Calls ring(context) on a thread of its own, once, `ns` from now; unless it is stopped before. */
int visor__alarm_start(struct visor__alarm *alarm, uint64_t ns, void (*ring)(void *context),
                       void *context);
/* After this ring is not running and will not run. */
void visor__alarm_stop(struct visor__alarm *alarm);

/* Fills buf with random bytes; false: the system has none yet. */
bool visor__os_random(void *buf, size_t length);

/* The text of an errno: in buf, or elsewhere for ever. */
const char *visor__os_errno_text(char *buf, size_t capacity, int code);

/* ---- memory ---- */
/* align: a power of two that length is a multiple of. NULL if there is none. */
void *visor__os_alloc(size_t align, size_t length);
void visor__os_free(void *memory);

size_t visor__os_page_size(void);

/* Refuses (ERANGE) a regular file that does not hold [offset, offset + length): who touches a
 * mapping past the end of its file is killed. */
int visor__os_check_file(visor_file file, uint64_t offset, uint64_t length, const char *operation);
/* A shared anonymous file of `length` zero bytes whose size is sealed. */
int visor__os_memfile(visor_file *out, uint64_t length);
/* Shared read/write mapping of a file, or of anonymous memory for VISOR_FILE_NONE. align: 0 or a
 * power of two. length is whole pages. The system never merges it with another mapping. */
int visor__os_map(void **out, visor_file file, uint64_t offset, uint64_t length, uint64_t align,
                  bool writable);
void visor__os_unmap(void *host, uint64_t length);
/* Reserves unwritable zeros; later parts of it are replaced in place. */
int visor__os_map_arena(void **out, uint64_t length);
int visor__os_arena_set(void *host, uint64_t length, visor_file file, uint64_t offset,
                        bool writable);
int visor__os_arena_clear(void *host, uint64_t length);

int visor__os_sync(void *host, uint64_t length);     /* write back now */
int visor__os_page_out(void *host, uint64_t length); /* advice */
int visor__os_discard(void *host, uint64_t length);  /* reads as zeros afterwards */
int visor__os_punch(visor_file file, uint64_t offset, uint64_t length);
/* Hints that may be ignored. */
void visor__os_advise_guest(void *host, uint64_t length, bool huge, bool no_fork);
int visor__os_lock_memory(void *host, uint64_t length);
/* The next stretch of a file that holds data, at or after offset and before end. Returns 1 with the
 * stretch, or 0 if only holes follow. Systems that cannot tell say that all is data. */
int visor__os_next_data(uint64_t *start, uint64_t *stop, visor_file file, uint64_t offset,
                        uint64_t end);

/* ---- files and events ---- */
int visor__os_file_dup(visor_file *out, visor_file file);
void visor__os_file_close(visor_file file);
int visor__os_file_write(visor_file file, const void *data, size_t length); /* all of it */
int visor__os_file_read(visor_file file, void *data, size_t length); /* all, or EFORMAT at end */
int visor__os_event_dup(visor_event *out, visor_event event);
void visor__os_event_close(visor_event event);
void visor__os_event_signal(visor_event event);
int visor__os_event_create(visor_event *out);

/* Waiting for several events, one structure for each. */
void visor__event_wait_set(struct visor__event_wait *wait, visor_event event);
/* Until one of them is signalled, or `ns` have passed (UINT64_MAX: no limit). May return without
 * reason. */
void visor__event_wait_any(struct visor__event_wait *waits, size_t count, uint64_t ns);
/* Whether it was signalled when the wait ended: takes the signal. */
bool visor__event_wait_take(struct visor__event_wait *wait);

#endif
