/* SPDX-License-Identifier: BSD-3-Clause */
/* The device by which test kernels end, QEMU's isa-debug-exit (QEMU, hw/misc/debugexit.c). */
#include <stdlib.h>

#include "devices/platform.h"

struct debug_exit {
    const vmm_host *host;
};

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    const debug_exit *device = context;

    (void)vcpu;
    if (io->is_write)
        device->host->exit(device->host->request_context, (uint32_t)visor_io_value(io) << 1 | 1);
    else
        visor_io_set_value(io, 0);
    return VISOR_IO_DONE;
}

int debug_exit_create(debug_exit **out, const vmm_host *host, vmm_error *error)
{
    debug_exit *device = calloc(1, sizeof(*device));
    int code;

    if (device == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    device->host = host;
    code = vmm_map_io(host, VISOR_PIO, DEBUG_EXIT_PORT, DEBUG_EXIT_LENGTH, handle, device,
                      "debug exit", error);
    if (code < 0) {
        free(device);
        return code;
    }
    *out = device;
    return 0;
}

void debug_exit_free(debug_exit *device)
{
    free(device);
}
