/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A buffered writer to a stream of the host: a thread that does the blocking write, so that a slow
 * terminal or a full pipe stops neither a vCPU nor the main loop, without making a descriptor that
 * we share with other processes non-blocking.
 */
#ifndef VMM_DEVICES_OUTPUT_H
#define VMM_DEVICES_OUTPUT_H

#include "devices/device.h"

typedef struct vmm_output vmm_output;

/*
 * room(context) is called from the writer's thread whenever vmm_output_write() has accepted less
 * than offered and there is room again. It is NULL until vmm_output_set_room(), which returns when
 * the one before is not running any more: after setting NULL, what context points to may go. Not to
 * be called with a lock that room() takes. The file is borrowed.
 */
int vmm_output_create(vmm_output **out, visor_file file, vmm_error *error);
void vmm_output_set_room(vmm_output *output, void (*room)(void *context), void *context);

/*
 * Takes up to length bytes; returns how many, without blocking. Fits serial_config.write. After the
 * host's write has failed (say, EPIPE), everything is accepted and dropped.
 */
size_t vmm_output_write(void *output, const uint8_t *data, size_t length);
/* errno of the write that failed, or 0. */
int vmm_output_status(vmm_output *output);

/* Writes what is buffered, for at most `timeout_ms` (< 0: no limit), ends the thread, frees.
 * Returns the last vmm_output_status(). */
int vmm_output_free(vmm_output *output, int timeout_ms);

#endif
