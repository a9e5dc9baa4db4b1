/* SPDX-License-Identifier: BSD-3-Clause */
/* What pci.c (bus, configuration space, BARs) and pci_irq.c (INTx, MSI-X) share. */
#ifndef VMM_DEVICES_PCI_INTERNAL_H
#define VMM_DEVICES_PCI_INTERNAL_H

#include <pthread.h>

#include "devices/pci.h"

/* Offsets in configuration space (PCI Local Bus 3.0, 6.1 and 6.2) */
enum {
    PCI_VENDOR = 0x00,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09,
    PCI_BAR = 0x10,
    PCI_SUBSYSTEM = 0x2c,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_HEADER_END = 0x40,
    PCI_CONFIG_SIZE = 0x100,
};

#define PCI_COMMAND_MEMORY   0x0002
#define PCI_COMMAND_MASTER   0x0004
#define PCI_COMMAND_NO_INTX  0x0400
#define PCI_STATUS_INTERRUPT 0x0008
#define PCI_STATUS_CAP_LIST  0x0010
#define PCI_CAP_MSIX         0x11

#define MSIX_ENTRY 16 /* bytes: address, upper address, data, vector control */

struct pci_device {
    pci_bus *bus;
    unsigned number;
    pci_device_config config;
    uint8_t space[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE];
    unsigned next_cap, last_cap; /* free offset; where the chain ends */
    unsigned hook_offset, hook_length;
    uint64_t bar_seen[6]; /* where moved() was last told that the BAR is */
    bool master_seen;
    bool intx_wanted, intx_driven;
    unsigned msix_cap; /* offset of the capability, 0: none */
    uint8_t *msix_table;
    uint8_t *msix_pending;
};

/*
 * Two locks, in this order: `config` is held through a write to configuration space with all that
 * follows from it, so that the models see changes in order; `lock` guards every member, and no
 * model is called with it held.
 */
struct pci_bus {
    const vmm_host *host;
    pci_config layout;
    pthread_mutex_t config, lock;
    uint32_t address; /* of mechanism #1 */
    uint32_t next_bar;
    pci_device *devices[PCI_DEVICES];
    unsigned line_users[4]; /* devices that hold the line up */
};

static inline uint16_t pci_word(const pci_device *device, unsigned offset)
{
    return (uint16_t)(device->space[offset] | device->space[offset + 1] << 8);
}

/* With the bus's lock held: */

/* Brings the INTA line to what device and guest want. */
void pci_update_intx(pci_device *device);
/* Sends pending messages that are not masked any more. */
void pci_msix_flush(pci_device *device);
/* Serves an access if it starts inside the MSI-X table or pending bits. */
bool pci_msix_access(pci_device *device, unsigned bar, uint32_t offset, visor_io *io);
/* Makes table and capability. */
int pci_msix_init(pci_device *device, vmm_error *error);

#endif
