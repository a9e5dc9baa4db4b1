/* SPDX-License-Identifier: BSD-3-Clause */
/* Devicetree specification v0.4, chapter 5: the flattened format. */
#include "gunyah_dt.h"
#include "double.h"

#include <string.h>

enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };

struct tree {
    const uint8_t *words, *strings;
    uint32_t words_size, strings_size;
};

/* Nodes are offsets of their BEGIN_NODE. */
#define NONE UINT32_MAX

static uint32_t be32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static uint64_t be64(const uint8_t *from)
{
    return (uint64_t)be32(from) << 32 | be32(from + 4);
}

static bool open_tree(struct tree *tree, const uint8_t *blob, uint64_t size)
{
    uint32_t words, strings;

    if (size < 40 || be32(blob) != 0xd00dfeed || be32(blob + 4) > size)
        return false;
    words = be32(blob + 8);
    strings = be32(blob + 12);
    tree->strings_size = be32(blob + 32);
    tree->words_size = be32(blob + 36);
    if ((uint64_t)words + tree->words_size > size ||
        (uint64_t)strings + tree->strings_size > size || words % 4 != 0)
        return false;
    tree->words = blob + words;
    tree->strings = blob + strings;
    return true;
}

static uint32_t token(const struct tree *tree, uint32_t at)
{
    return at + 4 <= tree->words_size ? be32(tree->words + at) : END;
}

static const char *node_name(const struct tree *tree, uint32_t node)
{
    return (const char *)tree->words + node + 4;
}

/* What stands behind the token at `at`. */
static uint32_t after(const struct tree *tree, uint32_t at)
{
    uint32_t size = 4;

    if (token(tree, at) == BEGIN_NODE)
        size += (uint32_t)strnlen(node_name(tree, at), tree->words_size - at - 4) + 1;
    else if (token(tree, at) == PROP)
        size += 8 + be32(tree->words + at + 4);
    return at + ((size + 3) & ~3U);
}

/* The first node at the level of `at`, NONE if the parent ends before. */
static uint32_t node_at(const struct tree *tree, uint32_t at)
{
    while (token(tree, at) == PROP || token(tree, at) == NOP)
        at = after(tree, at);
    return token(tree, at) == BEGIN_NODE ? at : NONE;
}

static uint32_t first_child(const struct tree *tree, uint32_t node)
{
    return node_at(tree, after(tree, node));
}

static uint32_t next_node(const struct tree *tree, uint32_t node)
{
    uint32_t at = after(tree, node), depth = 1;

    while (depth > 0 && token(tree, at) != END) {
        if (token(tree, at) == BEGIN_NODE)
            depth++;
        else if (token(tree, at) == END_NODE)
            depth--;
        at = after(tree, at);
    }
    return node_at(tree, at);
}

static const uint8_t *property(const struct tree *tree, uint32_t node, const char *name,
                               uint32_t *size)
{
    for (uint32_t at = after(tree, node); token(tree, at) == PROP || token(tree, at) == NOP;
         at = after(tree, at)) {
        uint32_t string;

        if (token(tree, at) == NOP || after(tree, at) > tree->words_size)
            continue;
        string = be32(tree->words + at + 8);
        if (string < tree->strings_size &&
            strncmp((const char *)tree->strings + string, name, tree->strings_size - string) == 0) {
            *size = be32(tree->words + at + 4);
            return tree->words + at + 12;
        }
    }
    return NULL;
}

static uint32_t child(const struct tree *tree, uint32_t node, const char *name)
{
    uint32_t found = node == NONE ? NONE : first_child(tree, node);

    while (found != NONE && strcmp(node_name(tree, found), name) != 0)
        found = next_node(tree, found);
    return found;
}

static bool missing(const char *what)
{
    log_note("the tree lacks %s", what);
    return false;
}

static bool has_string(const struct tree *tree, uint32_t node, const char *name, const char *value)
{
    uint32_t size;
    const uint8_t *found = property(tree, node, name, &size);

    if (found == NULL ||
        (value != NULL && (size != strlen(value) + 1 || memcmp(found, value, size) != 0)))
        return missing(name);
    return true;
}

static bool get_u32(const struct tree *tree, uint32_t node, const char *name, uint32_t *out)
{
    uint32_t size;
    const uint8_t *found = property(tree, node, name, &size);

    if (found == NULL || size != 4)
        return missing(name);
    *out = be32(found);
    return true;
}

static bool get_u64(const struct tree *tree, uint32_t node, const char *name, uint64_t *out)
{
    uint32_t size;
    const uint8_t *found = property(tree, node, name, &size);

    if (found == NULL || size != 8)
        return missing(name);
    *out = be64(found);
    return true;
}

static uint32_t with_phandle(const struct tree *tree, uint32_t node, uint32_t phandle)
{
    uint32_t size, found = NONE;
    const uint8_t *own = property(tree, node, "phandle", &size);

    if (own != NULL && size == 4 && be32(own) == phandle)
        return node;
    for (uint32_t at = first_child(tree, node); at != NONE && found == NONE;
         at = next_node(tree, at))
        found = with_phandle(tree, at, phandle);
    return found;
}

static bool read_memory(struct gunyah_config *config, const struct tree *tree, uint32_t node)
{
    uint32_t address, size;

    if (node == NONE)
        return missing("memory");
    if (!get_u32(tree, node, "#address-cells", &address) ||
        !get_u32(tree, node, "#size-cells", &size))
        return false;
    if (address != 2 || size != 2)
        return missing("two cells");
    return get_u64(tree, node, "base-address", &config->base) &&
           get_u64(tree, node, "size-max", &config->size_max);
}

/* The interrupt controller that the configuration points to; its addresses have two cells each. */
static bool read_gic(struct gunyah_config *config, const struct tree *tree, uint32_t node)
{
    uint32_t phandle, size;
    const uint8_t *reg;

    if (node == NONE)
        return missing("interrupts");
    if (!get_u32(tree, node, "config", &phandle))
        return false;
    node = with_phandle(tree, 0, phandle);
    if (node == NONE || !has_string(tree, node, "compatible", "arm,gic-v3"))
        return missing("the interrupt controller");
    reg = property(tree, node, "reg", &size);
    if (reg == NULL || size < 32)
        return missing("the interrupt controller's reg");
    config->dist = be64(reg);
    config->redist = be64(reg + 16);
    config->redist_size = be64(reg + 24);
    return true;
}

static bool read_bell(struct gunyah_config *config, const struct tree *tree, uint32_t node)
{
    struct gunyah_bell *bell = &config->bells[config->bell_number];
    char path[64] = "/hypervisor/";
    uint32_t size;
    const uint8_t *interrupt = property(tree, node, "interrupts", &size);

    strncat(path, node_name(tree, node), sizeof(path) - strlen(path) - 1);
    if (config->bell_number == GUNYAH_BELLS)
        return missing("an end of doorbells");
    if (!has_string(tree, node, "vdevice-type", "doorbell") ||
        !has_string(tree, node, "generate", path) ||
        !has_string(tree, node, "peer-default", NULL) ||
        !has_string(tree, node, "source-can-clear", NULL) ||
        !get_u32(tree, node, "label", &bell->label))
        return false;
    if (interrupt == NULL || size != 12 || be32(interrupt) != 0 ||
        (be32(interrupt + 8) != 1 && be32(interrupt + 8) != 4))
        return missing("a doorbell's interrupt, an SPI");
    bell->intid = 32 + be32(interrupt + 4);
    bell->is_level = be32(interrupt + 8) == 4;
    config->bell_number++;
    return true;
}

static bool read_vdevices(struct gunyah_config *config, const struct tree *tree, uint32_t node)
{
    if (node == NONE)
        return missing("vdevices");
    if (!has_string(tree, node, "generate", "/hypervisor"))
        return false;
    for (uint32_t at = first_child(tree, node); at != NONE; at = next_node(tree, at)) {
        if (strncmp(node_name(tree, at), "bell-", 5) == 0) {
            if (!read_bell(config, tree, at))
                return false;
        } else if (strncmp(node_name(tree, at), "shm-", 4) != 0 ||
                   !has_string(tree, at, "vdevice-type", "shm")) {
            return missing("a known kind of vdevice");
        }
    }
    return true;
}

bool gunyah_read_config(struct gunyah_config *config, const uint8_t *blob, uint64_t size)
{
    struct tree tree;
    uint32_t node, cpus;

    memset(config, 0, sizeof(*config));
    if (!open_tree(&tree, blob, size) || token(&tree, 0) != BEGIN_NODE)
        return missing("its own head");
    cpus = child(&tree, 0, "cpus");
    for (uint32_t at = cpus == NONE ? NONE : first_child(&tree, cpus); at != NONE;
         at = next_node(&tree, at))
        config->vcpus += strncmp(node_name(&tree, at), "cpu@", 4) == 0;
    node = child(&tree, 0, "gunyah-vm-config");
    if (node == NONE)
        return missing("gunyah-vm-config");
    if (!has_string(&tree, node, "image-name", NULL) ||
        !has_string(&tree, node, "os-type", "linux") ||
        !read_memory(config, &tree, child(&tree, node, "memory")) ||
        !read_gic(config, &tree, child(&tree, node, "interrupts")) ||
        !read_vdevices(config, &tree, child(&tree, node, "vdevices")))
        return false;
    node = child(&tree, node, "vcpus");
    return node == NONE ? missing("vcpus") : has_string(&tree, node, "affinity", "proxy");
}
