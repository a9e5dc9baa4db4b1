/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine/dt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfdt.h>

#define FIRST_SIZE 4096

/* Whether a call that gave `result` is to be made again, because there is more room now. */
static bool again(struct dt *dt, int result)
{
    size_t capacity = dt->capacity * 2;
    void *data;

    if (result >= 0)
        return false;
    if (result != -FDT_ERR_NOSPACE || dt->capacity >= dt->limit) {
        dt->error = result;
        return false;
    }
    if (capacity > dt->limit)
        capacity = dt->limit;
    data = malloc(capacity);
    if (data == NULL || fdt_resize(dt->data, data, (int)capacity) < 0) {
        free(data);
        dt->error = -FDT_ERR_INTERNAL;
        return false;
    }
    free(dt->data);
    dt->data = data;
    dt->capacity = capacity;
    return true;
}

/* Makes a call of libfdt, as often as there is room to be made for it. */
#define CALL(dt, call) \
    do {               \
    } while ((dt)->error == 0 && again((dt), (call)))

void dt_begin(struct dt *dt, size_t limit)
{
    *dt = (struct dt){.limit = limit, .capacity = limit < FIRST_SIZE ? limit : FIRST_SIZE};
    dt->data = malloc(dt->capacity);
    if (dt->data == NULL)
        dt->error = -FDT_ERR_INTERNAL;
    CALL(dt, fdt_create(dt->data, (int)dt->capacity));
    CALL(dt, fdt_finish_reservemap(dt->data));
    dt_open_plain(dt, "");
}

int dt_finish(void **data, size_t *size, struct dt *dt, vmm_error *error)
{
    dt_close(dt);
    CALL(dt, fdt_finish(dt->data));
    if (dt->error == 0) {
        *data = dt->data;
        *size = fdt_totalsize(dt->data);
        return 0;
    }
    free(dt->data);
    dt->data = NULL;
    if (dt->error == -FDT_ERR_NOSPACE)
        return vmm_fail(error, VISOR_ELIMIT,
                        "the device tree does not fit into the %zu KiB that it may have",
                        dt->limit >> 10);
    if (dt->error == -FDT_ERR_INTERNAL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    return vmm_fail(error, VISOR_EINVAL, "the device tree cannot be made: %s",
                    fdt_strerror(dt->error));
}

void dt_open_plain(struct dt *dt, const char *name)
{
    CALL(dt, fdt_begin_node(dt->data, name));
}

void dt_open(struct dt *dt, const char *name, uint64_t unit)
{
    char full[64];

    snprintf(full, sizeof(full), "%s@%" PRIx64, name, unit);
    dt_open_plain(dt, full);
}

void dt_close(struct dt *dt)
{
    CALL(dt, fdt_end_node(dt->data));
}

void dt_bytes(struct dt *dt, const char *name, const void *value, size_t length)
{
    CALL(dt, fdt_property(dt->data, name, value, (int)length));
}

void dt_flag(struct dt *dt, const char *name)
{
    dt_bytes(dt, name, "", 0);
}

void dt_u32(struct dt *dt, const char *name, uint32_t value)
{
    CALL(dt, fdt_property_u32(dt->data, name, value));
}

void dt_u64(struct dt *dt, const char *name, uint64_t value)
{
    CALL(dt, fdt_property_u64(dt->data, name, value));
}

void dt_string(struct dt *dt, const char *name, const char *value)
{
    dt_bytes(dt, name, value, strlen(value) + 1);
}

/* A property of `length` bytes, to be filled in; NULL after an error. */
static void *placeholder(struct dt *dt, const char *name, size_t length)
{
    void *at = NULL;

    CALL(dt, fdt_property_placeholder(dt->data, name, (int)length, &at));
    return dt->error == 0 ? at : NULL;
}

void dt_strings(struct dt *dt, const char *name, const char *const *values)
{
    size_t length = 0, size;
    char *at;

    for (size_t i = 0; values[i] != NULL; i++)
        length += strlen(values[i]) + 1;
    at = placeholder(dt, name, length);
    for (size_t i = 0; values[i] != NULL && at != NULL; i++) {
        size = strlen(values[i]) + 1;
        memcpy(at, values[i], size);
        at += size;
    }
}

void dt_cells(struct dt *dt, const char *name, const uint32_t *cells, size_t count)
{
    fdt32_t *at = placeholder(dt, name, count * sizeof(*at));

    for (size_t i = 0; i < count && at != NULL; i++)
        at[i] = cpu_to_fdt32(cells[i]);
}

void dt_ranges(struct dt *dt, const char *name, const uint64_t (*pairs)[2], size_t count)
{
    uint8_t *at = placeholder(dt, name, count * 16);

    for (size_t i = 0; i < count * 2 && at != NULL; i++)
        fdt64_st(at + i * 8, pairs[i / 2][i % 2]); /* cells are aligned to four bytes only */
}

void dt_reg(struct dt *dt, uint64_t address, uint64_t length)
{
    const uint64_t pair[1][2] = {{address, length}};

    dt_ranges(dt, "reg", pair, 1);
}
