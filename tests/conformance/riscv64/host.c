/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

/* QEMU's board calls itself so; no other machine does. */
unsigned host_detect(visor_hypervisor *hv)
{
    (void)hv;
    return HOST_RISCV64 |
           (host_file_begins("/proc/device-tree/compatible", "riscv-virtio") ? HOST_QEMU : 0);
}
