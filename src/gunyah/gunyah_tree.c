/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The format is that of the Devicetree Specification 0.4, chapter 5. The nodes are what crosvm, the
 * first client of Gunyah on Android, emits and the resource manager takes; nobody documents them.
 */
#include "gunyah/gunyah_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

#define FDT_MAGIC      0xd00dfeedu
#define FDT_BEGIN_NODE 1u
#define FDT_END_NODE   2u
#define FDT_PROP       3u
#define FDT_NOP        4u
#define FDT_END        9u

#define PHANDLE_IRQCHIP 1u
/* The most memory that the resource manager gives a VM. */
#define SIZE_MAX_BYTES UINT64_C(0x780000000)

static const char op[] = "visor_aarch64_set_boot";

struct fdt_header {
    uint32_t magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version,
        last_comp_version, boot_cpuid_phys, size_dt_strings, size_dt_struct;
};

static uint32_t swap32(uint32_t value)
{
    return __builtin_bswap32(value);
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return swap32(value);
}

/* ---- writing ---- */

/* Two blocks that grow: structure and strings. What goes wrong is remembered. */
struct block {
    uint8_t *data;
    size_t length, capacity;
};

struct writer {
    struct block structure, strings;
    bool failed;
};

static void *extend(struct writer *writer, struct block *block, size_t length)
{
    size_t capacity = block->capacity > 0 ? block->capacity : 1024;
    uint8_t *data;

    while (capacity - block->length < length)
        capacity *= 2;
    data = writer->failed ? NULL : realloc(block->data, capacity);
    if (data == NULL) {
        writer->failed = true;
        return NULL;
    }
    block->data = data;
    block->capacity = capacity;
    memset(data + block->length, 0, length);
    block->length += length;
    return data + block->length - length;
}

static void put(struct writer *writer, struct block *block, const void *data, size_t length)
{
    void *at = extend(writer, block, length);

    if (at != NULL && length > 0)
        memcpy(at, data, length);
}

static void put32(struct writer *writer, uint32_t value)
{
    value = swap32(value);
    put(writer, &writer->structure, &value, sizeof(value));
}

static void pad(struct writer *writer)
{
    extend(writer, &writer->structure, (4 - writer->structure.length % 4) % 4);
}

static void open_node(struct writer *writer, const char *name)
{
    put32(writer, FDT_BEGIN_NODE);
    put(writer, &writer->structure, name, strlen(name) + 1);
    pad(writer);
}

static void close_node(struct writer *writer)
{
    put32(writer, FDT_END_NODE);
}

/* The place of a name in the strings, which it is added to if it is not there. */
static uint32_t string_of(struct writer *writer, const char *name)
{
    const struct block *strings = &writer->strings;
    size_t at = 0;

    while (at < strings->length && strcmp((const char *)strings->data + at, name) != 0)
        at += strlen((const char *)strings->data + at) + 1;
    if (at >= strings->length) {
        at = strings->length;
        put(writer, &writer->strings, name, strlen(name) + 1);
    }
    return (uint32_t)at;
}

static void property(struct writer *writer, const char *name, const void *value, size_t length)
{
    uint32_t string = string_of(writer, name);

    put32(writer, FDT_PROP);
    put32(writer, (uint32_t)length);
    put32(writer, string);
    put(writer, &writer->structure, value, length);
    pad(writer);
}

static void flag(struct writer *writer, const char *name)
{
    property(writer, name, "", 0);
}

static void text(struct writer *writer, const char *name, const char *value)
{
    property(writer, name, value, strlen(value) + 1);
}

static void cells(struct writer *writer, const char *name, const uint32_t *values, size_t count)
{
    uint32_t swapped[8];

    for (size_t i = 0; i < count; i++)
        swapped[i] = swap32(values[i]);
    property(writer, name, swapped, count * sizeof(*swapped));
}
#define CELLS(writer, name, ...)                             \
    cells((writer), (name), (const uint32_t[]){__VA_ARGS__}, \
          sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
/* Of a 64-bit number: its two cells. */
#define PAIR(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value)

static void phandle(struct writer *writer, const char *name, uint32_t value)
{
    CELLS(writer, name, value);
}

/* ---- what is added ---- */

/* An SPI that rises (arm,gic-v3.yaml): events are all that rings a doorbell. */
static void add_doorbell(struct writer *writer, uint32_t label)
{
    char name[32], path[48];

    snprintf(name, sizeof(name), "bell-%x", label);
    snprintf(path, sizeof(path), "/hypervisor/%s", name);
    open_node(writer, name);
    text(writer, "vdevice-type", "doorbell");
    text(writer, "generate", path);
    CELLS(writer, "label", label);
    flag(writer, "peer-default");
    flag(writer, "source-can-clear");
    CELLS(writer, "interrupts", 0, label, 1);
    close_node(writer);
}

/* android14-6.1 takes a shared parcel only if it is named. */
static void add_shared(struct writer *writer, uint32_t label, uint64_t base)
{
    char name[32];

    snprintf(name, sizeof(name), "shm-%x", label);
    open_node(writer, name);
    text(writer, "vdevice-type", "shm");
    flag(writer, "peer-default");
    CELLS(writer, "dma_base", 0, 0);
    open_node(writer, "memory");
    flag(writer, "optional");
    CELLS(writer, "label", label);
    CELLS(writer, "#address-cells", 2);
    CELLS(writer, "base", PAIR(base));
    close_node(writer);
    close_node(writer);
}

/* What the memory is for, as far as the resource manager wants to know. */
struct layout {
    uint64_t base, total, firmware;
    bool has_ram, has_firmware;
};

static int look_at_memory(struct layout *out, const visor_memory *memory)
{
    visor_memory_info info;

    *out = (struct layout){0};
    for (size_t i = 0; visor_memory_region_info(&info, memory, i) == 0; i++) {
        if (info.purpose == VISOR_MEMORY_RAM && !out->has_ram) {
            out->has_ram = true;
            out->base = info.gpa;
        }
        if (info.purpose == VISOR_MEMORY_RAM || info.purpose == VISOR_MEMORY_SWIOTLB)
            out->total += info.length;
        if (info.purpose != VISOR_MEMORY_PROTECTED_FIRMWARE)
            continue;
        if (out->has_firmware)
            return visor__error(VISOR_EINVAL, "gunyah", op, "two regions for firmware");
        out->has_firmware = true;
        out->firmware = info.gpa;
    }
    if (!out->has_ram)
        return visor__error(VISOR_EINVAL, "gunyah", op, "no region of memory is RAM");
    if (out->total > SIZE_MAX_BYTES)
        return visor__error(VISOR_EINVAL, "gunyah", op,
                            "0x%llx bytes of memory; the resource manager gives 0x%llx at most",
                            (unsigned long long)out->total, (unsigned long long)SIZE_MAX_BYTES);
    return 0;
}

static void add_config(struct writer *writer, const struct gunyah_tree *tree,
                       const struct layout *layout, uint32_t irqchip)
{
    visor_memory_info info;

    open_node(writer, "gunyah-vm-config");
    text(writer, "image-name", "visor-vm");
    text(writer, "os-type", "linux");
    open_node(writer, "memory");
    CELLS(writer, "#address-cells", 2);
    CELLS(writer, "#size-cells", 2);
    CELLS(writer, "base-address", PAIR(layout->base));
    CELLS(writer, "size-max", PAIR(SIZE_MAX_BYTES));
    if (layout->has_firmware)
        CELLS(writer, "firmware-address", PAIR(layout->firmware));
    close_node(writer);
    open_node(writer, "interrupts");
    phandle(writer, "config", irqchip);
    close_node(writer);
    open_node(writer, "vcpus");
    text(writer, "affinity", "proxy");
    if (tree->no_timer_wakeups)
        flag(writer, "no-timer-wakeups");
    close_node(writer);
    open_node(writer, "vdevices");
    text(writer, "generate", "/hypervisor");
    for (size_t i = 0; i < tree->doorbell_count; i++)
        add_doorbell(writer, tree->doorbells[i].label);
    for (uint32_t i = 0; visor_memory_region_info(&info, tree->memory, i) == 0; i++) {
        if (info.purpose == VISOR_MEMORY_SWIOTLB)
            add_shared(writer, i, info.gpa);
    }
    close_node(writer);
    close_node(writer);
}

/* ---- a tree of our own ---- */

static void add_memory_nodes(struct writer *writer, const visor_memory *memory)
{
    visor_memory_info info;
    char name[32];

    for (size_t i = 0; visor_memory_region_info(&info, memory, i) == 0; i++) {
        if (info.purpose != VISOR_MEMORY_RAM)
            continue;
        snprintf(name, sizeof(name), "memory@%llx", (unsigned long long)info.gpa);
        open_node(writer, name);
        text(writer, "device_type", "memory");
        CELLS(writer, "reg", PAIR(info.gpa), PAIR(info.length));
        close_node(writer);
    }
}

static void add_machine(struct writer *writer, const struct gunyah_tree *tree)
{
    const visor_aarch64_config *config = tree->config;
    char name[48];

    open_node(writer, "cpus");
    CELLS(writer, "#address-cells", 2);
    CELLS(writer, "#size-cells", 0);
    for (uint32_t i = 0; i < tree->vcpu_count; i++) {
        snprintf(name, sizeof(name), "cpu@%x", i);
        open_node(writer, name);
        text(writer, "device_type", "cpu");
        text(writer, "compatible", "arm,armv8");
        CELLS(writer, "reg", 0, i);
        text(writer, "enable-method", "psci");
        close_node(writer);
    }
    close_node(writer);
    open_node(writer, "psci");
    text(writer, "compatible", "arm,psci-0.2");
    text(writer, "method", "hvc");
    close_node(writer);
    snprintf(name, sizeof(name), "interrupt-controller@%llx",
             (unsigned long long)config->gic_distributor_gpa);
    open_node(writer, name);
    text(writer, "compatible", "arm,gic-v3");
    CELLS(writer, "reg", PAIR(config->gic_distributor_gpa), PAIR(0x10000),
          PAIR(config->gic_redistributor_gpa), PAIR(UINT64_C(0x20000) * tree->vcpu_count));
    flag(writer, "interrupt-controller");
    CELLS(writer, "#interrupt-cells", 3);
    phandle(writer, "phandle", PHANDLE_IRQCHIP);
    close_node(writer);
    /* Secure, physical, virtual and hypervisor timer: PPIs, low level (arm,arch_timer.yaml). */
    open_node(writer, "timer");
    text(writer, "compatible", "arm,armv8-timer");
    {
        const uint32_t timers[12] = {1, 13, 8, 1, 14, 8, 1, 11, 8, 1, 10, 8};
        uint32_t swapped[12];

        for (size_t i = 0; i < 12; i++)
            swapped[i] = swap32(timers[i]);
        property(writer, "interrupts", swapped, sizeof(swapped));
    }
    close_node(writer);
}

static void add_least(struct writer *writer, const struct gunyah_tree *tree)
{
    open_node(writer, "");
    text(writer, "compatible", "linux,dummy-virt");
    CELLS(writer, "#address-cells", 2);
    CELLS(writer, "#size-cells", 2);
    phandle(writer, "interrupt-parent", PHANDLE_IRQCHIP);
    add_memory_nodes(writer, tree->memory);
    add_machine(writer, tree);
}

/* ---- a tree that is there ---- */

/* A tree's blocks, inside the area. */
struct found {
    const uint8_t *reserved, *structure, *strings;
    size_t reserved_length, structure_length, strings_length;
    size_t root_end;  /* offset of the root's FDT_END_NODE in the structure */
    uint32_t irqchip; /* the root's interrupt-parent */
    bool has_irqchip;
};

static bool block_fits(uint32_t offset, uint32_t length, uint32_t total)
{
    return offset % 4 == 0 && offset <= total && length <= total - offset;
}

/* Steps over one token at *at; returns it, 0 if there is none whole. */
static uint32_t next_token(const struct found *found, size_t *at, const char **name,
                           const uint8_t **value, uint32_t *length)
{
    const uint8_t *base = found->structure;
    size_t left = found->structure_length - *at, used = 4;
    uint32_t token;

    if (*at > found->structure_length || left < 4)
        return 0;
    token = load32(base + *at);
    if (token == FDT_BEGIN_NODE) {
        const void *end = memchr(base + *at + 4, 0, left - 4);

        if (end == NULL)
            return 0;
        used = (size_t)((const uint8_t *)end - (base + *at)) + 1;
    } else if (token == FDT_PROP) {
        uint32_t string;

        if (left < 12)
            return 0;
        *length = load32(base + *at + 4);
        string = load32(base + *at + 8);
        if (*length > left - 12 || string >= found->strings_length ||
            memchr(found->strings + string, 0, found->strings_length - string) == NULL)
            return 0;
        *name = (const char *)found->strings + string;
        *value = base + *at + 12;
        used = 12 + (size_t)*length;
    }
    *at += (used + 3) & ~(size_t)3;
    return token;
}

static bool walk(struct found *found)
{
    unsigned depth = 0;
    uint32_t token;
    size_t at = 0, before;

    do {
        const char *name = NULL;
        const uint8_t *value = NULL;
        uint32_t length = 0;

        before = at;
        token = next_token(found, &at, &name, &value, &length);
        if (token == FDT_BEGIN_NODE)
            depth++;
        else if (token == FDT_END_NODE && depth > 0)
            depth--;
        else if ((token != FDT_NOP && token != FDT_PROP) || depth == 0)
            return false;
        if (token == FDT_PROP && depth == 1 && length == 4 &&
            strcmp(name, "interrupt-parent") == 0) {
            found->irqchip = load32(value);
            found->has_irqchip = true;
        }
    } while (depth > 0);
    found->root_end = before;
    return true;
}

static bool find(struct found *out, const uint8_t *area, size_t capacity)
{
    struct fdt_header header;
    uint32_t total, reserved, structure, strings;
    size_t entries = 0;

    memcpy(&header, area, sizeof(header));
    total = swap32(header.totalsize);
    reserved = swap32(header.off_mem_rsvmap);
    structure = swap32(header.off_dt_struct);
    strings = swap32(header.off_dt_strings);
    *out = (struct found){
        .structure_length = swap32(header.size_dt_struct),
        .strings_length = swap32(header.size_dt_strings),
    };
    if (swap32(header.magic) != FDT_MAGIC || swap32(header.version) < 17 || total > capacity ||
        !block_fits(structure, swap32(header.size_dt_struct), total) ||
        !block_fits(strings & ~3u, swap32(header.size_dt_strings) + strings % 4, total) ||
        !block_fits(reserved, 16, total))
        return false;
    out->reserved = area + reserved;
    out->structure = area + structure;
    out->strings = area + strings;
    if (out->strings_length > 0 && out->strings[out->strings_length - 1] != 0)
        return false;
    /* Pairs of address and size, ended by one of zeros. */
    do {
        entries++;
        if (entries * 16 > total - reserved)
            return false;
    } while (memcmp(out->reserved + (entries - 1) * 16, (const uint8_t[16]){0}, 16) != 0);
    out->reserved_length = entries * 16;
    return walk(out);
}

/* ---- putting it together ---- */

static int emit(uint8_t *area, size_t capacity, struct writer *writer, const void *reserved,
                size_t reserved_length)
{
    size_t structure = sizeof(struct fdt_header) + reserved_length;
    size_t strings = structure + writer->structure.length;
    size_t total = strings + writer->strings.length;
    const struct fdt_header header = {
        .magic = swap32(FDT_MAGIC),
        .totalsize = swap32((uint32_t)total),
        .off_dt_struct = swap32((uint32_t)structure),
        .off_dt_strings = swap32((uint32_t)strings),
        .off_mem_rsvmap = swap32(sizeof(struct fdt_header)),
        .version = swap32(17),
        .last_comp_version = swap32(16),
        .size_dt_strings = swap32((uint32_t)writer->strings.length),
        .size_dt_struct = swap32((uint32_t)writer->structure.length),
    };

    if (writer->failed)
        return visor__error(VISOR_ENOMEM, "gunyah", op, "no memory for the device tree");
    if (total > capacity)
        return visor__error(VISOR_ELIMIT, "gunyah", op,
                            "the device tree has 0x%zx bytes, its area 0x%zx", total, capacity);
    memcpy(area + sizeof(header), reserved, reserved_length);
    memcpy(area + structure, writer->structure.data, writer->structure.length);
    memcpy(area + strings, writer->strings.data, writer->strings.length);
    memset(area + total, 0, capacity - total);
    memcpy(area, &header, sizeof(header));
    return 0;
}

static int complete(uint8_t *area, size_t capacity, const struct gunyah_tree *tree,
                    struct writer *writer)
{
    static const uint8_t no_entries[16] = {0};
    uint8_t *reserved = NULL;
    size_t reserved_length = sizeof(no_entries);
    uint32_t irqchip = PHANDLE_IRQCHIP;
    struct layout layout;
    struct found found;
    int ret = look_at_memory(&layout, tree->memory);

    if (ret < 0)
        return ret;
    if (load32(area) == 0) {
        add_least(writer, tree);
    } else {
        if (!find(&found, area, capacity))
            return visor__error(VISOR_EFORMAT, "gunyah", op, "what is there is no device tree");
        if (!found.has_irqchip)
            return visor__error(VISOR_EINVAL, "gunyah", op,
                                "the root of the device tree has no interrupt-parent");
        irqchip = found.irqchip;
        put(writer, &writer->structure, found.structure, found.root_end);
        put(writer, &writer->strings, found.strings, found.strings_length);
        reserved_length = found.reserved_length;
        reserved = malloc(reserved_length);
        if (reserved == NULL)
            return visor__error(VISOR_ENOMEM, "gunyah", op, "no memory for the device tree");
        memcpy(reserved, found.reserved, reserved_length);
    }
    add_config(writer, tree, &layout, irqchip);
    close_node(writer);
    put32(writer, FDT_END);
    ret = emit(area, capacity, writer, reserved != NULL ? reserved : no_entries, reserved_length);
    free(reserved);
    return ret;
}

int gunyah_tree_complete(void *area, size_t capacity, const struct gunyah_tree *tree)
{
    struct writer writer = {0};
    int ret;

    if (capacity < sizeof(struct fdt_header))
        return visor__error(VISOR_ELIMIT, "gunyah", op, "an area of 0x%zx bytes", capacity);
    ret = complete(area, capacity, tree, &writer);
    free(writer.structure.data);
    free(writer.strings.data);
    return ret;
}
