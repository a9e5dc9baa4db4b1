/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

/* QEMU's board calls itself so; no other machine does. */
unsigned host_detect(visor_hypervisor *hv)
{
    (void)hv;
    return HOST_AARCH64 |
           (host_file_begins("/proc/device-tree/compatible", "linux,dummy-virt") ? HOST_QEMU : 0);
}
