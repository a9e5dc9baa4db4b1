/* SPDX-License-Identifier: BSD-3-Clause */
/* ELF programs, of 32 and 64 bits: System V ABI, chapters 4 and 5. For the loaders of x86. */
#ifndef VMM_BOOT_ELF_H
#define VMM_BOOT_ELF_H

#include "boot/boot.h"

enum boot_elf_machine {
    BOOT_ELF_386 = 3,     /* ELF32 */
    BOOT_ELF_X86_64 = 62, /* ELF64 */
};

struct boot_elf {
    const struct boot_image *image;
    const struct boot_elf_layout *layout;
    uint64_t entry;
    unsigned int segment_count;
};

enum boot_elf_segment_type {
    BOOT_ELF_LOAD = 1,
    BOOT_ELF_NOTE = 4,
};

struct boot_elf_segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, memory_size;
};

bool boot_elf_is(const struct boot_image *image);
/* Whether the file is an ELF file of that kind; what else it is does not matter. */
bool boot_elf_is_for(const struct boot_image *image, enum boot_elf_machine machine);

/* Checks that this is a program for that machine, with program headers. */
int boot_elf_open(struct boot_elf *out, const struct boot_image *image,
                  enum boot_elf_machine machine, vmm_error *error);

/* Segment i; of those that are loaded and of notes the part in the file is there. */
int boot_elf_segment(struct boot_elf_segment *out, const struct boot_elf *elf, unsigned int i,
                     vmm_error *error);

/*
 * Loads all segments at their physical addresses, none of which may be below config->floor_gpa.
 * *end: one past the highest byte of memory that they take. ELIMIT: the guest has too little,
 * EFORMAT also if the entry point `entry` is in none of them.
 */
int boot_elf_load(uint64_t *end, const struct boot_elf *elf, uint64_t entry,
                  const struct boot_config *config, vmm_error *error);

/* One past the last byte of the file that belongs to the ELF file: tables and segments. At most
 * the size of the file. */
size_t boot_elf_file_end(const struct boot_elf *elf);

#endif
