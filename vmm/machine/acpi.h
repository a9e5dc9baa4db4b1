/* SPDX-License-Identifier: BSD-3-Clause */
/* ACPI tables of a PC (ACPI 6.4): RSDP, XSDT, FADT, FACS, MADT, MCFG, DSDT. */
#ifndef VMM_MACHINE_ACPI_H
#define VMM_MACHINE_ACPI_H

#include "devices/device.h"
#include "devices/pci.h"

#define ACPI_SERIAL_PORTS 4

struct acpi_config {
    uint64_t gpa;        /* where the tables will be, 64-byte aligned, below 4 GiB */
    uint32_t vcpu_count; /* APIC ids are 0 ... count-1; at most 255 */
    uint32_t lapic, ioapic;
    pci_config pci;
    struct {
        uint16_t port; /* 0: there is none */
        uint8_t irq;
    } serial[ACPI_SERIAL_PORTS];
    uint16_t rtc_port;     /* 0: there is none */
    uint16_t pvpanic_port; /* 0: there is none */
};

/*
 * Builds the tables into out, the RSDP first. Returns their length in bytes, or ELIMIT if they need
 * more than capacity.
 */
int acpi_build(void *out, size_t capacity, const struct acpi_config *config, vmm_error *error);

#endif
