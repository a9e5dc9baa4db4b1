/* SPDX-License-Identifier: BSD-3-Clause */
/* The ACPI tables of a PC, and how to find one. */
#ifndef VISOR_TESTS_ACPI_TABLES_H
#define VISOR_TESTS_ACPI_TABLES_H

#include <string.h>

#include "machine/acpi.h"

#define GPA 0xe0000u

static uint8_t tables[0x20000];

static inline uint64_t get(size_t at, unsigned int width)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < width; i++)
        value |= (uint64_t)tables[at + i] << (8 * i);
    return value;
}

static inline uint8_t sum(size_t at, size_t length)
{
    uint8_t total = 0;

    for (size_t i = 0; i < length; i++)
        total = (uint8_t)(total + tables[at + i]);
    return total;
}

static inline int build(uint32_t vcpus)
{
    struct acpi_config config = {
        .gpa = GPA,
        .vcpu_count = vcpus,
        .lapic = 0xfee00000,
        .ioapic = 0xfec00000,
        .pci = PCI_CONFIG_PC,
        .serial = {{0x3f8, 4}, {0x2f8, 3}},
        .rtc_port = 0x70,
        .pvpanic_port = 0x505,
    };

    return acpi_build(tables, sizeof(tables), &config, NULL);
}

/* The offset of a table that the XSDT names. */
static inline size_t find(const char *signature)
{
    size_t xsdt = get(24, 8) - GPA;

    for (size_t at = xsdt + 36; at < xsdt + get(xsdt + 4, 4); at += 8) {
        size_t table = get(at, 8) - GPA;

        if (memcmp(tables + table, signature, 4) == 0)
            return table;
    }
    return 0;
}

#endif
