/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ELF kernels (vmlinux) with a PVH note, started at its 32-bit entry point. The note and the start
 * of the world that it promises: Xen, docs/misc/pvh.pandoc; xen/include/public/elfnote.h and
 * arch-x86/hvm/start_info.h.
 */
#include <string.h>

#include "boot/elf.h"

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

/* Looks for the entry point among the notes of a segment. */
static bool find_entry(uint64_t *out, const struct boot_image *kernel,
                       const struct boot_elf_segment *notes)
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

int boot_pvh_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error)
{
    uint64_t entry = 0, end, initrd = 0;
    struct boot_elf_segment segment;
    bool has_entry = false;
    struct boot_elf elf;
    int code;

    code = boot_elf_open(&elf, kernel, BOOT_ELF_X86_64, error);
    if (code != 0)
        return code;
    for (unsigned int i = 0; i < elf.segment_count && !has_entry; i++) {
        code = boot_elf_segment(&segment, &elf, i, error);
        if (code != 0)
            return code;
        if (segment.type == BOOT_ELF_NOTE)
            has_entry = find_entry(&entry, kernel, &segment);
    }
    if (!has_entry)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is an ELF program without a PVH note: not a kernel, or a "
                        "Linux kernel built without CONFIG_PVH",
                        kernel->path);
    code = boot_elf_load(&end, &elf, entry, &config->common, error);
    if (code == 0)
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
