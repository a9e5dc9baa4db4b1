/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main loop: waits for events and input of the host and calls back. It runs on one thread (the
 * main thread of the VMM).
 */
#ifndef VMM_DEVICES_LOOP_H
#define VMM_DEVICES_LOOP_H

#include "devices/device.h"

typedef struct vmm_loop vmm_loop;
typedef struct vmm_source vmm_source;

typedef void (*vmm_loop_callback)(void *context);

int vmm_loop_create(vmm_loop **out, vmm_error *error);
/* Frees its sources too; closes none of their events. */
void vmm_loop_free(vmm_loop *loop);

/*
 * Calls back on the loop's thread whenever the event is ready, until the callback has taken its
 * signal (vmm_event_take()) or read what is there (vmm_input_read()). Any thread.
 */
int vmm_loop_add(vmm_source **out, vmm_loop *loop, visor_event event, vmm_loop_callback callback,
                 void *context, vmm_error *error);
/* Whether it is not waited for. What was signalled meanwhile may be gone, input not. Any thread,
 * also from a callback. */
void vmm_source_pause(vmm_source *source, bool paused);
/* Only on the loop's thread (also from a callback), or while the loop does not run. */
void vmm_source_remove(vmm_source *source);

/* Runs until vmm_loop_stop(). Returns 0, or < 0 if the system cannot wait. */
int vmm_loop_run(vmm_loop *loop, vmm_error *error);
/* Makes vmm_loop_run() return; sticky until it has. Any thread; safe in signal handlers. */
void vmm_loop_stop(vmm_loop *loop);

#endif
