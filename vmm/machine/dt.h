/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A builder for device trees (Devicetree Specification 0.4, chapter 5), over libfdt. Nodes are
 * opened and closed, properties come before the nodes inside:
 *
 *     dt_open(dt, "serial", 0x1000000);
 *     dt_string(dt, "compatible", "ns16550a");
 *     DT_CELLS(dt, "interrupts", 1, 4);
 *     dt_close(dt);
 *
 * The buffer grows. What goes wrong is remembered, and told by dt_finish().
 */
#ifndef VMM_MACHINE_DT_H
#define VMM_MACHINE_DT_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"

struct dt {
    void *data;
    size_t capacity, limit;
    int error; /* of libfdt, 0 or negative */
};

/* Begins a tree of at most `limit` bytes, with its root open. */
void dt_begin(struct dt *dt, size_t limit);
/*
 * Closes the root and ends the tree, which then is data and *size bytes, and the caller's to
 * free(). ELIMIT: it would have been larger than the limit.
 */
int dt_finish(void **data, size_t *size, struct dt *dt, vmm_error *error);

/* A node "name@unit", or "name" alone. */
void dt_open(struct dt *dt, const char *name, uint64_t unit);
void dt_open_plain(struct dt *dt, const char *name);
void dt_close(struct dt *dt);

/* Properties. */
void dt_bytes(struct dt *dt, const char *name, const void *value, size_t length);
void dt_flag(struct dt *dt, const char *name);
void dt_u32(struct dt *dt, const char *name, uint32_t value);
void dt_u64(struct dt *dt, const char *name, uint64_t value);
void dt_string(struct dt *dt, const char *name, const char *value);
/* Several strings, an array that ends with NULL. */
void dt_strings(struct dt *dt, const char *name, const char *const *values);
void dt_cells(struct dt *dt, const char *name, const uint32_t *cells, size_t count);
#define DT_CELLS(dt, name, ...)                             \
    dt_cells((dt), (name), (const uint32_t[]){__VA_ARGS__}, \
             sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
/* Pairs of address and length, two cells each; `count` pairs. */
void dt_ranges(struct dt *dt, const char *name, const uint64_t (*pairs)[2], size_t count);
/* One such pair as "reg". */
void dt_reg(struct dt *dt, uint64_t address, uint64_t length);

#endif
