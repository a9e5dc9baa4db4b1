/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main loop: waits for descriptors of the host and calls back. It runs on one thread (the main
 * thread of the VMM). On poll(2), because it takes regular files too (`visor run ... < script`),
 * which epoll(7) refuses, and there are only a handful of descriptors.
 */
#ifndef VMM_DEVICES_LOOP_H
#define VMM_DEVICES_LOOP_H

#include "devices/device.h"

typedef struct vmm_loop vmm_loop;
typedef struct vmm_source vmm_source;

/* events: what is ready, POLLIN | POLLOUT | POLLHUP | POLLERR of <poll.h>. */
typedef void (*vmm_loop_callback)(void *context, int fd, short events);

int vmm_loop_create(vmm_loop **out, vmm_error *error);
/* Frees its sources too; closes none of their descriptors. */
void vmm_loop_free(vmm_loop *loop);

/*
 * Calls back on the loop's thread whenever one of `events` (POLLIN, POLLOUT) is ready, or always on
 * POLLHUP and POLLERR unless events is 0. Any thread.
 */
int vmm_loop_add(vmm_source **out, vmm_loop *loop, int fd, short events, vmm_loop_callback callback,
                 void *context, vmm_error *error);
/* Changes what is waited for; 0 pauses the source. Any thread, also from a callback. */
void vmm_source_set(vmm_source *source, short events);
/* Only on the loop's thread (also from a callback), or while the loop does not run. */
void vmm_source_remove(vmm_source *source);

/* Runs until vmm_loop_stop(). Returns 0, or < 0 if poll(2) fails. */
int vmm_loop_run(vmm_loop *loop, vmm_error *error);
/* Makes vmm_loop_run() return; sticky until it has. Any thread; safe in signal handlers. */
void vmm_loop_stop(vmm_loop *loop);

#endif
