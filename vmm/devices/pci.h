/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI Express style root bus (one bus, no bridges): host bridge 00:00.0, configuration by ECAM
 * and on PCs by mechanism #1, memory BARs inside one window, MSI-X, INTx as shared level lines.
 *
 * What the machine has to tell the guest (ACPI or device tree): the pci_config it chose, and
 * pci_intx_gsi() for _PRT.
 */
#ifndef VMM_DEVICES_PCI_H
#define VMM_DEVICES_PCI_H

#include "devices/device.h"

typedef struct pci_bus pci_bus;
typedef struct pci_device pci_device;

typedef struct pci_config {
    uint64_t ecam;          /* MCFG: base address of segment 0, bus 0 to 0 */
    uint32_t window;        /* memory for BARs: \_SB.PCI0._CRS; 32-bit, non-prefetchable */
    uint32_t window_length; /* bytes */
    uint32_t gsi[4];        /* the lines that INTx pins share: level, active low in the words of
                               PCI (_PRT entries with source 0 and this number as index) */
    bool ports;             /* mechanism #1 at ports 0xcf8 to 0xcff */
    bool sender_ids;        /* MSIs tell their sender, 8 * device number: see visor_msi */
} pci_config;

#define PCI_DEVICES     32       /* device numbers on the bus; function 0 only */
#define PCI_ECAM_LENGTH 0x100000 /* bytes of ECAM for the one bus */

/* A PC with up to 3 GiB of RAM below 0xc0000000. The ECAM must be reserved in the e820 map (or as
 * a PNP0C02 resource), else Linux does not use it. SeaBIOS places BARs below 0xfec00000. */
#define PCI_CONFIG_PC                                                          \
    {                                                                          \
        .ecam = 0xc0000000, .window = 0xd0000000, .window_length = 0x2ec00000, \
        .gsi = {16, 17, 18, 19}, .ports = true                                 \
    }

int pci_bus_create(pci_bus **out, const vmm_host *host, const pci_config *config, vmm_error *error);
/* Frees the bus and its bookkeeping of devices, not the models behind them: free those first. */
void pci_bus_free(pci_bus *bus);

/* The line of pin 0 (INTA) ... 3 (INTD) of a device number: gsi[(device + pin) % 4]. */
uint32_t pci_intx_gsi(const pci_config *config, unsigned device, unsigned pin);

/*
 * ---- for device models ----
 *
 * Locks: the callbacks below are called without the lock that pci_device_msix(), _intx(),
 * _bus_master() and _config_value() take, so a model may call those with its own lock held.
 */

typedef struct pci_device_config {
    const char *name; /* for messages; borrowed */
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
    uint32_t bar_size[6]; /* 32-bit memory BARs: a power of two, at least 16; 0: none */
    bool intx;            /* has an INTA pin */
    /* MSI-X: table and pending bits live inside one of the BARs, at page-aligned offsets. */
    uint16_t msix_vectors; /* 0: none; at most 2048 */
    uint8_t msix_bar;
    uint32_t msix_table, msix_pba; /* offsets; the ranges must not overlap and must fit */

    /* An access inside a BAR (not to the MSI-X structures): offset + io->length <= size. */
    void (*access)(void *context, unsigned bar, uint32_t offset, visor_io *io);
    /* The BAR can now be reached at gpa, or (gpa 0) nowhere. May be NULL. */
    void (*moved)(void *context, unsigned bar, uint64_t gpa);
    /* The guest switched bus mastering (the device's access to memory) on or off. May be NULL. */
    void (*master)(void *context, bool on);
    /* An access to configuration space that starts inside what pci_device_hook_config() named;
     * offset is counted from the start of that. May be NULL. */
    void (*config_access)(void *context, uint32_t offset, visor_io *io);
    void *context;
} pci_device_config;

/* Takes the next free device number, which is returned, and places its BARs. */
int pci_device_add(pci_device **out, pci_bus *bus, const pci_device_config *config,
                   vmm_error *error);

/*
 * Appends a capability: id, then `length` bytes of body (after the two bytes of the header, which
 * are made here). Returns its offset, or VISOR_ELIMIT. Read-only to the guest unless made writable.
 */
int pci_device_add_capability(pci_device *device, uint8_t id, const void *body, size_t length);
/* Bits of configuration bytes that the guest may change. */
void pci_device_set_writable(pci_device *device, unsigned offset, const uint8_t *mask,
                             size_t length);
/* Bytes whose accesses go to config_access; one such range per device. */
void pci_device_hook_config(pci_device *device, unsigned offset, unsigned length);
/* A stored value of configuration space, as the guest left it; length 1 to 4. */
uint32_t pci_device_config_value(pci_device *device, unsigned offset, unsigned length);

/* Whether the guest uses MSI-X now. */
bool pci_device_msix_enabled(pci_device *device);
/* Sends vector's message, or notes it as pending while masked. Ignored if out of range or off. */
void pci_device_msix(pci_device *device, uint16_t vector);
/* Level of INTA as the device wants it; gated by the command register and MSI-X. */
void pci_device_intx(pci_device *device, bool level);
/* Whether the guest lets the device reach memory (bus master enable). */
bool pci_device_bus_master(pci_device *device);

#endif
