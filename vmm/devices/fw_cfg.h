/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg.rst) on a PC: ports 0x510 and
 * 0x511, and DMA from 0x514 on. It tells firmware and test kernels of the machine: items by number,
 * and files by name. Nothing can be written.
 */
#ifndef VMM_DEVICES_FW_CFG_H
#define VMM_DEVICES_FW_CFG_H

#include "devices/device.h"

typedef struct fw_cfg fw_cfg;

/* Items that have a meaning of their own (QEMU, include/standard-headers/linux/qemu_fw_cfg.h and
 * hw/nvram/fw_cfg.h). Numbers are little-endian. */
enum fw_cfg_key {
    FW_CFG_RAM_SIZE = 0x03,  /* 8 bytes */
    FW_CFG_NOGRAPHIC = 0x04, /* 2 bytes */
    FW_CFG_CPUS = 0x05,      /* 2 bytes: there are now */
    FW_CFG_MAX_CPUS = 0x0f,  /* 2 bytes: one more than the highest APIC id */
};

#define FW_CFG_NAME_MAX 55 /* characters of a file's name */

int fw_cfg_create(fw_cfg **out, const vmm_host *host, vmm_error *error);
void fw_cfg_free(fw_cfg *device);

/*
 * Before the guest runs. Data are borrowed; a number is kept. ELIMIT: there are more items or files
 * than there is room for, or a name is too long.
 */
int fw_cfg_add(fw_cfg *device, uint16_t key, const void *data, size_t length, vmm_error *error);
int fw_cfg_add_number(fw_cfg *device, uint16_t key, uint64_t value, unsigned int width,
                      vmm_error *error);
int fw_cfg_add_file(fw_cfg *device, const char *name, const void *data, size_t length,
                    vmm_error *error);
int fw_cfg_add_file_number(fw_cfg *device, const char *name, uint64_t value, unsigned int width,
                           vmm_error *error);

#endif
