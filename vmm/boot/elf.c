/* SPDX-License-Identifier: BSD-3-Clause */
#include "boot/elf.h"

#include <inttypes.h>
#include <string.h>

#define ET_EXEC 2

enum {
    E_CLASS = 4,
    E_DATA = 5,
    E_TYPE = 16,
    E_MACHINE = 18,
    P_TYPE = 0,
};

/* Where things are in the two kinds of file. */
struct boot_elf_layout {
    size_t header_size, entry, table, section_table;
    size_t entry_size, entry_count, section_size, section_count;
    size_t segment_size, offset, vaddr, paddr, file_size, memory_size;
    bool is_64;
    const char *name;
};

static const struct boot_elf_layout layout32 = {
    .header_size = 52,
    .entry = 24,
    .table = 28,
    .section_table = 32,
    .entry_size = 42,
    .entry_count = 44,
    .section_size = 46,
    .section_count = 48,
    .segment_size = 32,
    .offset = 4,
    .vaddr = 8,
    .paddr = 12,
    .file_size = 16,
    .memory_size = 20,
    .name = "32-bit x86",
};
static const struct boot_elf_layout layout64 = {
    .header_size = 64,
    .entry = 24,
    .table = 32,
    .section_table = 40,
    .entry_size = 54,
    .entry_count = 56,
    .section_size = 58,
    .section_count = 60,
    .segment_size = 56,
    .offset = 8,
    .vaddr = 16,
    .paddr = 24,
    .file_size = 32,
    .memory_size = 40,
    .is_64 = true,
    .name = "x86-64",
};

/* A word as wide as an address of the file's kind. */
static uint64_t get_word(const struct boot_elf *elf, uint64_t at)
{
    const uint8_t *data = elf->image->data + at;

    return elf->layout->is_64 ? boot_get64(data) : boot_get32(data);
}

static unsigned int get_half(const struct boot_elf *elf, uint64_t at)
{
    return boot_get16(elf->image->data + at);
}

bool boot_elf_is(const struct boot_image *image)
{
    return image->size >= 4 && memcmp(image->data,
                                      "\x7f"
                                      "ELF",
                                      4) == 0;
}

bool boot_elf_is_for(const struct boot_image *image, enum boot_elf_machine machine)
{
    return boot_elf_is(image) && image->size >= layout32.header_size &&
           image->data[E_CLASS] == (machine == BOOT_ELF_386 ? 1 : 2) && image->data[E_DATA] == 1 &&
           boot_get16(image->data + E_MACHINE) == machine;
}

int boot_elf_open(struct boot_elf *out, const struct boot_image *image,
                  enum boot_elf_machine machine, vmm_error *error)
{
    const struct boot_elf_layout *layout = machine == BOOT_ELF_386 ? &layout32 : &layout64;
    uint64_t table, size;
    char looks[BOOT_LOOKS_MAX];

    if (image->size < layout->header_size)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is an ELF file that is cut off inside its header",
                        image->path);
    boot_identify(looks, sizeof(looks), image);
    if (!boot_elf_is_for(image, machine))
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is %s; one for %s is needed",
                        image->path, looks, layout->name);
    *out = (struct boot_elf){.image = image, .layout = layout};
    if (get_half(out, E_TYPE) != ET_EXEC)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is %s, not a kernel", image->path,
                        looks);
    out->entry = get_word(out, layout->entry);
    out->segment_count = get_half(out, layout->entry_count);
    table = get_word(out, layout->table);
    size = out->segment_count * (uint64_t)layout->segment_size;
    if (get_half(out, layout->entry_size) != layout->segment_size || size == 0)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is an ELF file without program headers",
                        image->path);
    if (table > image->size || size > image->size - table)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: its program headers lie past its end",
                        image->path);
    return 0;
}

int boot_elf_segment(struct boot_elf_segment *out, const struct boot_elf *elf, unsigned int i,
                     vmm_error *error)
{
    const struct boot_elf_layout *layout = elf->layout;
    const struct boot_image *image = elf->image;
    uint64_t at = get_word(elf, layout->table) + i * (uint64_t)layout->segment_size;

    *out = (struct boot_elf_segment){
        .type = boot_get32(image->data + at + P_TYPE),
        .offset = get_word(elf, at + layout->offset),
        .vaddr = get_word(elf, at + layout->vaddr),
        .paddr = get_word(elf, at + layout->paddr),
        .file_size = get_word(elf, at + layout->file_size),
        .memory_size = get_word(elf, at + layout->memory_size),
    };
    if (out->type != BOOT_ELF_LOAD && out->type != BOOT_ELF_NOTE)
        return 0;
    if (out->offset > image->size || out->file_size > image->size - out->offset)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: segment %u lies past its end", image->path, i);
    if (out->type == BOOT_ELF_LOAD && out->file_size > out->memory_size)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: segment %u is larger in the file than in memory",
                        image->path, i);
    return 0;
}

static int load_segment(uint64_t *end, const struct boot_image *image,
                        const struct boot_elf_segment *segment, const struct boot_config *config,
                        vmm_error *error)
{
    const uint64_t mib = 1 << 20;

    if (segment->paddr < config->floor_gpa)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' wants to be loaded at 0x%" PRIx64 ", below 0x%" PRIx64
                        ": it is not a kernel, or not one for a PC",
                        image->path, segment->paddr, config->floor_gpa);
    if (!visor_memory_contains(config->memory, segment->paddr, segment->memory_size))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s' needs %" PRIu64 " MiB of memory from address %" PRIu64
                        " MiB on: give the guest more (-m)",
                        image->path, segment->memory_size / mib + 1, segment->paddr / mib);
    if (segment->paddr + segment->memory_size > *end)
        *end = segment->paddr + segment->memory_size;
    return boot_write(config, segment->paddr, image->data + segment->offset,
                      (size_t)segment->file_size, "kernel", error);
}

int boot_elf_load(uint64_t *end, const struct boot_elf *elf, uint64_t entry,
                  const struct boot_config *config, vmm_error *error)
{
    struct boot_elf_segment segment;
    bool entry_is_loaded = false;
    int code;

    *end = config->floor_gpa;
    for (unsigned int i = 0; i < elf->segment_count; i++) {
        code = boot_elf_segment(&segment, elf, i, error);
        if (code != 0)
            return code;
        if (segment.type != BOOT_ELF_LOAD || segment.memory_size == 0)
            continue;
        code = load_segment(end, elf->image, &segment, config, error);
        if (code != 0)
            return code;
        entry_is_loaded |= entry >= segment.paddr && entry - segment.paddr < segment.file_size;
    }
    if (!entry_is_loaded || entry > UINT32_MAX)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: its entry point 0x%" PRIx64 " is outside of it",
                        elf->image->path, entry);
    return 0;
}

/* The larger of *end and the end of a table or segment, as far as that is inside the file. */
static void extend(uint64_t *end, const struct boot_elf *elf, uint64_t offset, uint64_t length)
{
    uint64_t size = elf->image->size;

    if (offset > size || length > size - offset)
        *end = size;
    else if (offset + length > *end)
        *end = offset + length;
}

size_t boot_elf_file_end(const struct boot_elf *elf)
{
    const struct boot_elf_layout *layout = elf->layout;
    struct boot_elf_segment segment;
    uint64_t end = layout->header_size;

    extend(&end, elf, get_word(elf, layout->table),
           elf->segment_count * (uint64_t)layout->segment_size);
    extend(&end, elf, get_word(elf, layout->section_table),
           get_half(elf, layout->section_size) * (uint64_t)get_half(elf, layout->section_count));
    for (unsigned int i = 0; i < elf->segment_count; i++) {
        if (boot_elf_segment(&segment, elf, i, NULL) == 0)
            extend(&end, elf, segment.offset, segment.file_size);
    }
    return (size_t)end;
}
