/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pvpanic, the device through which a guest tells of its panic (QEMU, docs/specs/pvpanic.rst;
 * Linux, include/uapi/misc/pvpanic.h). One byte: a read gives the events that we know, a write
 * reports some.
 */
#include <stdlib.h>

#include "devices/platform.h"

#define PANICKED     0x01
#define CRASH_LOADED 0x02 /* the guest panicked and goes on in a crash kernel of its own */

struct pvpanic {
    const vmm_host *host;
};

static int access_byte(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pvpanic *device = context;

    (void)vcpu;
    if (!io->is_write) {
        visor_io_set_value(io, PANICKED | CRASH_LOADED);
    } else if ((io->data[0] & PANICKED) != 0) {
        device->host->request(device->host->request_context, VMM_REQUEST_PANIC);
    } else if ((io->data[0] & CRASH_LOADED) != 0) {
        vmm_log(device->host, "the guest panicked and starts its crash kernel");
    }
    return VISOR_IO_DONE;
}

int pvpanic_create(pvpanic **out, const vmm_host *host, visor_space space, uint64_t address,
                   vmm_error *error)
{
    pvpanic *device = calloc(1, sizeof(*device));
    int code;

    if (device == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    device->host = host;
    code = vmm_map_io(host, space, address, PVPANIC_LENGTH, access_byte, device, "pvpanic", error);
    if (code < 0) {
        free(device);
        return code;
    }
    *out = device;
    return 0;
}

void pvpanic_free(pvpanic *device)
{
    free(device);
}
