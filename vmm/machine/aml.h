/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A builder for ACPI Machine Language (ACPI 6.4, chapter 20). Terms are appended to a buffer; those
 * that contain others are opened and closed:
 *
 *     size_t device = aml_open_device(aml, "COM1");
 *     aml_name_eisa(aml, "_HID", "PNP0501");
 *     size_t crs = aml_open_resources(aml, "_CRS");
 *     aml_io(aml, 0x3f8, 8);
 *     aml_irq(aml, 4);
 *     aml_close_resources(aml, crs);
 *     aml_close(aml, device);
 *
 * What does not fit is dropped and remembered: look at `overflow` once, at the end.
 */
#ifndef VMM_MACHINE_AML_H
#define VMM_MACHINE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *data;
    size_t size, capacity;
    bool overflow;
};

/* The outermost level; also for the tables that are no AML. */
void aml_bytes(struct aml *aml, const void *data, size_t length);
/* A number of `width` bytes, little-endian. */
void aml_number(struct aml *aml, uint64_t value, unsigned int width);

/* Names are those of ASL: segments of up to four characters, "\\_SB" and "_SB.PCI0" included. */
size_t aml_open_scope(struct aml *aml, const char *name);
size_t aml_open_device(struct aml *aml, const char *name);
/* A package of `count` elements, to be appended by the caller. */
size_t aml_open_package(struct aml *aml, uint8_t count);
/* Closes what one of the three opened. */
void aml_close(struct aml *aml, size_t open);

/* Data: an integer in its shortest form, a string, an EISA id ("PNP0501") as an integer. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
void aml_eisa(struct aml *aml, const char *id);

/* Name (name, ...): the data follows. */
void aml_name(struct aml *aml, const char *name);
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *text);
void aml_name_eisa(struct aml *aml, const char *name, const char *id);

/* Name (name, ResourceTemplate () { ... }), the descriptors of ACPI 6.4, chapter 6.4. */
size_t aml_open_resources(struct aml *aml, const char *name);
void aml_close_resources(struct aml *aml, size_t open);
/* Ports [port, port+length), decoded on 16 bits. */
void aml_io(struct aml *aml, uint16_t port, uint8_t length);
/* ISA interrupt line, edge, active high, exclusive. */
void aml_irq(struct aml *aml, uint8_t line);
/* Fixed 32-bit memory, read/write. */
void aml_memory(struct aml *aml, uint32_t gpa, uint32_t length);
/* What a bridge hands down: bus numbers, ports, 32-bit non-cacheable memory. first to last. */
void aml_bus_range(struct aml *aml, uint16_t first, uint16_t last);
void aml_port_range(struct aml *aml, uint16_t first, uint16_t last);
void aml_memory_range(struct aml *aml, uint32_t first, uint32_t last);

#endif
