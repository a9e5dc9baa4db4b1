/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Multiboot kernels (Multiboot Specification 0.6.96): ELF files of 32 bits, and files of any kind
 * whose header tells addresses. Section numbers are those of the specification.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "boot/elf.h"

/* 3.1 */
#define HEADER_MAGIC    0x1badb002u
#define HEADER_WITHIN   8192
#define HEADER_SIZE     12
#define HEADER_SIZE_ALL 32          /* with addresses */
#define WANTS_PAGES     0x00000001u /* modules begin at pages: they always do here */
#define WANTS_MEMORY    0x00000002u /* as they are always told of memory */
#define WANTS_VIDEO     0x00000004u
#define WANTS_MASK      0x0000ffffu /* what a loader has to know, or to refuse */
#define HAS_ADDRESSES   0x00010000u

enum {
    H_FLAGS = 4,
    H_CHECKSUM = 8,
    H_HEADER = 12,
    H_LOAD = 16,
    H_LOAD_END = 20,
    H_BSS_END = 24,
    H_ENTRY = 28,
};

/* 3.3, and where in the page of the information the rest is. */
#define INFO_FLAGS (1u << 0 | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9)
enum {
    I_MEM_LOWER = 4,
    I_MEM_UPPER = 8,
    I_PARAMS = 16,
    I_MODULE_COUNT = 20,
    I_MODULES = 24,
    I_MAP_LENGTH = 44,
    I_MAP = 48,
    I_LOADER_NAME = 64,
    MODULES_AT = 0x100,
    MODULE_SIZE = 16,
    MAP_AT = 0x300,
    MAP_ENTRY = 24, /* with its own size before it */
    PAGE = 4096,
};

#define LOADER_NAME  "visor"
#define TEXT_MAX     0x8000 /* of all strings */
#define LOW_KIB      640
#define UPPER_MEMORY 0x100000u

/* What the guest is told, as it grows. */
struct information {
    uint8_t page[PAGE];
    char text[TEXT_MAX];
    size_t text_length;
    const struct boot_x86_config *config;
};

bool boot_multiboot_find(size_t *offset, const struct boot_image *kernel)
{
    size_t size = kernel->size < HEADER_WITHIN ? kernel->size : HEADER_WITHIN;

    for (size_t at = 0; at + HEADER_SIZE <= size; at += 4) {
        const uint8_t *header = kernel->data + at;

        if (boot_get32(header) == HEADER_MAGIC &&
            HEADER_MAGIC + boot_get32(header + H_FLAGS) + boot_get32(header + H_CHECKSUM) == 0) {
            *offset = at;
            return true;
        }
    }
    return false;
}

/* ---- the kernel ---- */

/* By the addresses in the header. *end as in boot_elf_load(). */
static int load_flat(uint64_t *entry, uint64_t *end, const struct boot_image *kernel, size_t offset,
                     const struct boot_config *config, vmm_error *error)
{
    const uint8_t *header = kernel->data + offset;
    uint64_t load, load_end, bss_end, before, length;

    if (kernel->size - offset < HEADER_SIZE_ALL)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is cut off inside its multiboot header",
                        kernel->path);
    load = boot_get32(header + H_LOAD);
    load_end = boot_get32(header + H_LOAD_END);
    bss_end = boot_get32(header + H_BSS_END);
    *entry = boot_get32(header + H_ENTRY);
    before = boot_get32(header + H_HEADER) - load; /* of the header, in memory and in the file */
    if (before > offset)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: its multiboot header lies about its own address",
                        kernel->path);
    length = kernel->size - (offset - before);
    if (load_end != 0) {
        if (load_end < load || load_end - load > length)
            return vmm_fail(error, VISOR_EFORMAT,
                            "kernel '%s' is cut off: its multiboot header tells of %" PRId64
                            " bytes, and there are %" PRIu64,
                            kernel->path, (int64_t)(load_end - load), length);
        length = load_end - load;
    }
    *end = bss_end > load + length ? bss_end : load + length;
    if (load < config->floor_gpa)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' wants to be loaded at 0x%" PRIx64 ", below 0x%" PRIx64,
                        kernel->path, load, config->floor_gpa);
    if (!visor_memory_contains(config->memory, load, *end - load))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s' needs memory up to address %" PRIu64
                        " MiB: give the guest more (-m)",
                        kernel->path, (*end >> 20) + 1);
    if (*entry < load || *entry >= load + length)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: its entry point 0x%" PRIx64 " is outside of it",
                        kernel->path, *entry);
    return boot_write(config, load, kernel->data + (offset - before), (size_t)length, "kernel",
                      error);
}

static int load_kernel(uint64_t *entry, uint64_t *end, const struct boot_image *kernel,
                       const struct boot_config *config, vmm_error *error)
{
    struct boot_elf elf;
    uint32_t flags;
    size_t offset;
    int code;

    if (!boot_multiboot_find(&offset, kernel))
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' has no multiboot header", kernel->path);
    flags = boot_get32(kernel->data + offset + H_FLAGS);
    if ((flags & WANTS_VIDEO) != 0)
        return vmm_fail(error, VISOR_EUNSUPPORTED,
                        "kernel '%s' wants a video mode (multiboot): this machine has no screen",
                        kernel->path);
    if ((flags & WANTS_MASK & ~(WANTS_PAGES | WANTS_MEMORY)) != 0)
        return vmm_fail(error, VISOR_EUNSUPPORTED,
                        "kernel '%s' wants what no multiboot loader knows (flags 0x%" PRIx32 ")",
                        kernel->path, flags);
    if ((flags & HAS_ADDRESSES) != 0)
        return load_flat(entry, end, kernel, offset, config, error);
    code = boot_elf_open(&elf, kernel, BOOT_ELF_386, error);
    if (code != 0)
        return code;
    *entry = elf.entry;
    return boot_elf_load(end, &elf, elf.entry, config, error);
}

/* ---- what it is told ---- */

/* "FIRST SECOND", or FIRST alone; *gpa: where it will be. */
static int add_text(uint32_t *gpa, struct information *information, const char *first,
                    const char *second, vmm_error *error)
{
    size_t room = TEXT_MAX - information->text_length;
    int length = snprintf(information->text + information->text_length, room, "%s%s%s", first,
                          second[0] != '\0' ? " " : "", second);

    if (length < 0 || (size_t)length >= room)
        return vmm_fail(error, VISOR_ELIMIT,
                        "the command lines of kernel and modules have more than %d characters",
                        TEXT_MAX);
    *gpa = (uint32_t)(information->config->params_gpa + information->text_length);
    information->text_length += (size_t)length + 1;
    return 0;
}

/* 3.3, mods_addr: one after the other behind the kernel, each at a page. */
static int add_modules(struct information *information, uint64_t end, vmm_error *error)
{
    const struct boot_x86_config *config = information->config;
    int code = 0;

    for (size_t i = 0; i < config->module_count && code == 0; i++) {
        const struct boot_module *module = &config->modules[i];
        uint8_t *entry = information->page + MODULES_AT + i * MODULE_SIZE;
        uint32_t text = 0;

        end = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
        if (!visor_memory_contains(config->common.memory, end, module->image.size))
            return vmm_fail(error, VISOR_ELIMIT,
                            "module '%s' does not fit into memory behind the kernel: give the "
                            "guest more (-m)",
                            module->image.path);
        code = boot_write(&config->common, end, module->image.data, module->image.size, "module",
                          error);
        if (code == 0)
            code = add_text(&text, information, module->image.path, module->params, error);
        if (code != 0)
            return code;
        boot_put32(entry, (uint32_t)end);
        end += module->image.size;
        boot_put32(entry + 4, (uint32_t)end);
        boot_put32(entry + 8, text);
    }
    boot_put32(information->page + I_MODULE_COUNT, (uint32_t)config->module_count);
    boot_put32(information->page + I_MODULES, (uint32_t)config->info_gpa + MODULES_AT);
    return code;
}

static void add_map(struct information *information)
{
    const struct boot_x86_config *config = information->config;
    uint64_t upper = boot_region_end(config->common.memory, UPPER_MEMORY);
    size_t count = 0;

    for (; count < config->map_count && MAP_AT + (count + 1) * MAP_ENTRY <= PAGE; count++) {
        uint8_t *entry = information->page + MAP_AT + count * MAP_ENTRY;

        boot_put32(entry, MAP_ENTRY - 4);
        boot_put64(entry + 4, config->map[count].gpa);
        boot_put64(entry + 12, config->map[count].length);
        boot_put32(entry + 20, config->map[count].type); /* the numbers are those of E820 */
    }
    boot_put32(information->page + I_MAP_LENGTH, (uint32_t)(count * MAP_ENTRY));
    boot_put32(information->page + I_MAP, (uint32_t)config->info_gpa + MAP_AT);
    boot_put32(information->page + I_MEM_LOWER, LOW_KIB);
    boot_put32(information->page + I_MEM_UPPER,
               upper != 0 ? (uint32_t)((upper - UPPER_MEMORY) >> 10) : 0);
}

static int tell(const struct boot_x86_config *config, const char *path, uint64_t end,
                vmm_error *error)
{
    struct information information = {.config = config};
    uint32_t params = 0, name = 0;
    int code = add_text(&params, &information, path, config->plain_params, error);

    if (code == 0)
        code = add_text(&name, &information, LOADER_NAME, "", error);
    if (code == 0)
        code = add_modules(&information, end, error);
    if (code != 0)
        return code;
    add_map(&information);
    boot_put32(information.page, INFO_FLAGS);
    boot_put32(information.page + I_PARAMS, params);
    boot_put32(information.page + I_LOADER_NAME, name);
    code = boot_write(&config->common, config->params_gpa, information.text,
                      information.text_length, "command line", error);
    if (code != 0)
        return code;
    return boot_write(&config->common, config->info_gpa, information.page, PAGE,
                      "multiboot information", error);
}

int boot_multiboot_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                        const struct boot_x86_config *config, vmm_error *error)
{
    uint64_t entry = 0, end = 0;
    int code;

    if (config->common.initrd != NULL)
        return vmm_fail(error, VISOR_EINVAL,
                        "kernel '%s' is a multiboot kernel: it takes modules (--module), not an "
                        "initrd",
                        kernel->path);
    code = load_kernel(&entry, &end, kernel, &config->common, error);
    if (code == 0)
        code = tell(config, kernel->path, end, error);
    *out = (struct boot_x86_entry){
        .protocol = BOOT_X86_MULTIBOOT,
        .entry = entry,
        .info = config->info_gpa,
    };
    return code;
}
