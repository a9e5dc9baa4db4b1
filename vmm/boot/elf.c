/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ELF kernels (vmlinux) with a PVH note, started at its 32-bit entry point. The note and the start
 * of the world that it promises: Xen, docs/misc/pvh.pandoc; xen/include/public/elfnote.h and
 * arch-x86/hvm/start_info.h. ELF: System V ABI, chapters 4 and 5.
 */
#include <inttypes.h>
#include <string.h>

#include "boot/boot.h"

/* Of an ELF64 file. */
enum {
    E_CLASS = 4,
    E_DATA = 5,
    E_TYPE = 16,
    E_MACHINE = 18,
    E_PHOFF = 32,
    E_PHENTSIZE = 54,
    E_PHNUM = 56,
    E_SIZE = 64,
    P_TYPE = 0,
    P_OFFSET = 8,
    P_PADDR = 24,
    P_FILESZ = 32,
    P_MEMSZ = 40,
    P_SIZE = 56,
};
#define ET_EXEC   2
#define EM_X86_64 62
#define PT_LOAD   1
#define PT_NOTE   4

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY, of owner "Xen" */

#define SI_MAGIC 0x336ec578
/* struct hvm_start_info, version 1, and what follows it in the same page. */
enum {
    SI_VERSION = 4,
    SI_NR_MODULES = 12,
    SI_MODLIST = 16,
    SI_CMDLINE = 24,
    SI_RSDP = 32,
    SI_MEMMAP = 40,
    SI_MEMMAP_ENTRIES = 48,
    SI_MODULE_AT = 64, /* struct hvm_modlist_entry: address, size, command line, reserved */
    SI_MEMMAP_AT = 128,
    SI_MEMMAP_ENTRY_SIZE = 24,
};

struct segment {
    uint32_t type;
    uint64_t offset, paddr, file_size, memory_size;
};

static int check_header(const struct boot_image *kernel, vmm_error *error)
{
    const uint8_t *data = kernel->data;
    uint64_t table, size;
    char looks[BOOT_LOOKS_MAX];

    if (kernel->size < E_SIZE)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is an ELF file that is cut off inside its header",
                        kernel->path);
    boot_identify(looks, sizeof(looks), kernel);
    if (data[E_CLASS] != 2 || data[E_DATA] != 1 || boot_get16(data + E_MACHINE) != EM_X86_64)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is %s; one for x86-64 is needed",
                        kernel->path, looks);
    if (boot_get16(data + E_TYPE) != ET_EXEC)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is %s, not a kernel", kernel->path,
                        looks);
    table = boot_get64(data + E_PHOFF);
    size = (uint64_t)boot_get16(data + E_PHNUM) * P_SIZE;
    if (boot_get16(data + E_PHENTSIZE) != P_SIZE || size == 0)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is an ELF file without program headers",
                        kernel->path);
    if (table > kernel->size || size > kernel->size - table)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: its program headers lie past its end",
                        kernel->path);
    return 0;
}

/* Segment i, with the part in the file checked to be there. */
static int read_segment(struct segment *out, const struct boot_image *kernel, unsigned int i,
                        vmm_error *error)
{
    const uint8_t *at = kernel->data + boot_get64(kernel->data + E_PHOFF) + i * (size_t)P_SIZE;

    *out = (struct segment){
        .type = boot_get32(at + P_TYPE),
        .offset = boot_get64(at + P_OFFSET),
        .paddr = boot_get64(at + P_PADDR),
        .file_size = boot_get64(at + P_FILESZ),
        .memory_size = boot_get64(at + P_MEMSZ),
    };
    if (out->type != PT_LOAD && out->type != PT_NOTE)
        return 0;
    if (out->offset > kernel->size || out->file_size > kernel->size - out->offset)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: segment %u lies past its end", kernel->path, i);
    if (out->type == PT_LOAD && out->file_size > out->memory_size)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: segment %u is larger in the file than in memory",
                        kernel->path, i);
    return 0;
}

/* Looks for the entry point among the notes of a segment. */
static bool find_entry(uint64_t *out, const struct boot_image *kernel, const struct segment *notes)
{
    uint64_t at = notes->offset, end = notes->offset + notes->file_size;

    while (end - at >= 12) {
        const uint8_t *note = kernel->data + at;
        uint64_t name_size = boot_get32(note), size = boot_get32(note + 4);
        uint64_t description = 12 + ((name_size + 3) & ~3ull);
        uint64_t next = description + ((size + 3) & ~3ull);

        if (description + size > end - at)
            return false;
        if (boot_get32(note + 8) == NOTE_PHYS32_ENTRY && name_size == 4 &&
            memcmp(note + 12, "Xen", 4) == 0 && (size == 4 || size == 8)) {
            *out = size == 4 ? boot_get32(note + description) : boot_get64(note + description);
            return true;
        }
        if (next > end - at)
            return false;
        at += next;
    }
    return false;
}

/* Puts a segment into memory; *end: one past the highest byte that the kernel uses. */
static int load_segment(uint64_t *end, const struct boot_image *kernel,
                        const struct segment *segment, const struct boot_x86_config *config,
                        vmm_error *error)
{
    const uint64_t mib = 1 << 20;

    if (segment->memory_size == 0)
        return 0;
    if (segment->paddr < config->common.floor_gpa)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' wants to be loaded at 0x%" PRIx64 ", below 0x%" PRIx64
                        ": it is not a kernel, or not one for a PC",
                        kernel->path, segment->paddr, config->common.floor_gpa);
    if (!visor_memory_contains(config->common.memory, segment->paddr, segment->memory_size))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s' needs %" PRIu64 " MiB of memory from address %" PRIu64
                        " MiB on: give the guest more (-m)",
                        kernel->path, segment->memory_size / mib + 1, segment->paddr / mib);
    if (segment->paddr + segment->memory_size > *end)
        *end = segment->paddr + segment->memory_size;
    return boot_write(&config->common, segment->paddr, kernel->data + segment->offset,
                      (size_t)segment->file_size, "kernel", error);
}

static int write_start_info(const struct boot_x86_config *config, uint64_t initrd, vmm_error *error)
{
    uint8_t page[4096] = {0};
    size_t room = (sizeof(page) - SI_MEMMAP_AT) / SI_MEMMAP_ENTRY_SIZE;
    size_t count = config->map_count < room ? config->map_count : room;

    boot_put32(page, SI_MAGIC);
    boot_put32(page + SI_VERSION, 1);
    if (config->common.initrd != NULL) {
        boot_put32(page + SI_NR_MODULES, 1);
        boot_put64(page + SI_MODLIST, config->info_gpa + SI_MODULE_AT);
        boot_put64(page + SI_MODULE_AT, initrd);
        boot_put64(page + SI_MODULE_AT + 8, config->common.initrd->size);
    }
    boot_put64(page + SI_CMDLINE, config->params_gpa);
    boot_put64(page + SI_RSDP, config->rsdp_gpa);
    boot_put64(page + SI_MEMMAP, config->info_gpa + SI_MEMMAP_AT);
    boot_put32(page + SI_MEMMAP_ENTRIES, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = page + SI_MEMMAP_AT + i * SI_MEMMAP_ENTRY_SIZE;

        boot_put64(entry, config->map[i].gpa);
        boot_put64(entry + 8, config->map[i].length);
        boot_put32(entry + 16, config->map[i].type); /* the numbers are those of E820 */
    }
    return boot_write(&config->common, config->info_gpa, page, sizeof(page),
                      "PVH start information", error);
}

int boot_elf_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error)
{
    uint64_t entry = 0, end = config->common.floor_gpa, initrd = 0;
    bool has_entry = false, entry_is_loaded = false;
    struct segment segment;
    unsigned int count;
    int code;

    code = check_header(kernel, error);
    if (code != 0)
        return code;
    count = boot_get16(kernel->data + E_PHNUM);
    for (unsigned int i = 0; i < count && !has_entry; i++) {
        code = read_segment(&segment, kernel, i, error);
        if (code != 0)
            return code;
        if (segment.type == PT_NOTE)
            has_entry = find_entry(&entry, kernel, &segment);
    }
    if (!has_entry)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is an ELF program without a PVH note: not a kernel, or a "
                        "Linux kernel built without CONFIG_PVH",
                        kernel->path);
    for (unsigned int i = 0; i < count; i++) {
        code = read_segment(&segment, kernel, i, error);
        if (code == 0 && segment.type == PT_LOAD)
            code = load_segment(&end, kernel, &segment, config, error);
        if (code != 0)
            return code;
        if (segment.type == PT_LOAD && entry >= segment.paddr &&
            entry - segment.paddr < segment.file_size)
            entry_is_loaded = true;
    }
    if (!entry_is_loaded || entry > UINT32_MAX)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is malformed: its entry point 0x%" PRIx64 " is outside of it",
                        kernel->path, entry);
    code = boot_x86_write_params(config, BOOT_X86_PARAMS_MAX, error);
    if (code == 0 && config->common.initrd != NULL)
        code = boot_place_initrd(&initrd, &config->common, end, UINT32_MAX, error);
    if (code != 0)
        return code;
    *out = (struct boot_x86_entry){
        .protocol = BOOT_X86_PVH,
        .entry = entry,
        .info = config->info_gpa,
    };
    return write_start_info(config, initrd, error);
}
