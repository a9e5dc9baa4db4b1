/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loaders: they read a kernel out of a file and put it into guest memory. They believe nothing that
 * a file says, and when they refuse one they say what it looks like.
 *
 * Functions return 0, or a VISOR_E... code with `error` filled in: EFORMAT for a file that is not
 * what it should be, ELIMIT for what does not fit into the guest.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"

/* A file in memory, read-only. */
struct boot_image {
    const char *path;    /* for messages */
    const char *packing; /* "gzip": what it was unpacked from; NULL: it is the file itself */
    const uint8_t *data;
    size_t size;
};

/* Maps a regular, non-empty file. `what` names its role in messages: "kernel", "initrd". */
int boot_image_open(struct boot_image *out, const char *path, const char *what, vmm_error *error);
/* Takes what boot_image_open() or boot_unpack() gave, or an image of zeros. */
void boot_image_close(struct boot_image *image);

/*
 * Unpacks a kernel that is packed as a whole, by one of BOOT_PACKINGS (boot/packing.h), also inside
 * of an EFI program that unpacks itself (zboot). Returns 1 with the kernel, or 0 if the file is
 * none of these. At most `limit` bytes are made of it; more is ELIMIT.
 */
int boot_unpack(struct boot_image *out, const struct boot_image *packed, uint64_t limit,
                vmm_error *error);

/* What a file looks like, for people: "an arm64 Image", "a gzip file". Cut to fit capacity. */
void boot_identify(char *out, size_t capacity, const struct boot_image *image);
#define BOOT_LOOKS_MAX 128

/* What every kernel is given. */
struct boot_config {
    visor_memory *memory;
    const char *params;              /* kernel command line */
    const struct boot_image *initrd; /* NULL: none */
    uint64_t floor_gpa;              /* kernel and initrd are loaded at or above this */
};

/* ---- kernels that are told of their machine by a device tree ---- */

struct boot_dt_config {
    struct boot_config common;
    uint64_t ceiling_gpa; /* ... and end at or below this */
};

/* Where things are. The command line and the initrd's place are for the device tree to tell. */
struct boot_dt_entry {
    uint64_t entry;
    uint64_t size;       /* bytes of the file that are there */
    uint64_t initrd_gpa; /* if there is one */
};

/* Load an `Image` of Linux: see linux_image.c. */
int boot_arm64_load(struct boot_dt_entry *out, const struct boot_image *kernel,
                    const struct boot_dt_config *config, vmm_error *error);
int boot_riscv64_load(struct boot_dt_entry *out, const struct boot_image *kernel,
                      const struct boot_dt_config *config, vmm_error *error);

/* ---- x86 ---- */

/* A range of the guest-physical address space as firmware tells of it, in E820's types. */
enum boot_range_type {
    BOOT_RANGE_RAM = 1,
    BOOT_RANGE_RESERVED = 2,
    BOOT_RANGE_ACPI = 3,
};
struct boot_range {
    uint64_t gpa, length;
    enum boot_range_type type;
};

/* Who unpacks the kernel proper inside of a bzImage. */
enum boot_unpack_where {
    BOOT_UNPACK_AUTO = 0, /* the host, if that comes to the same */
    BOOT_UNPACK_HOST,
    BOOT_UNPACK_GUEST,
};

/* A file that a multiboot kernel is given. */
struct boot_module {
    struct boot_image image;
    const char *params; /* "": none */
};
#define BOOT_MODULES 16

struct boot_x86_config {
    struct boot_config common;
    const char *plain_params; /* of multiboot kernels, instead of common.params */
    const struct boot_module *modules;
    size_t module_count; /* at most BOOT_MODULES */
    enum boot_unpack_where unpack;
    const struct boot_range *map; /* the memory map, sorted */
    size_t map_count;             /* at most 128, which is what the Linux protocol carries */
    uint64_t rsdp_gpa;            /* ACPI's root */
    uint64_t info_gpa;            /* a page for the structure that the kernel is started with */
    uint64_t params_gpa;          /* a page for the command line; 32 KiB for multiboot kernels */
};

/* How to start it. */
struct boot_x86_entry {
    enum {
        BOOT_X86_LINUX64, /* long mode, identity mapped, RSI = info (Linux, x86/boot.rst, 64-bit) */
        BOOT_X86_PVH,     /* 32-bit protected mode, paging off, EBX = info (Xen's PVH) */
        BOOT_X86_MULTIBOOT, /* the same, and EAX = BOOT_MULTIBOOT_MAGIC */
    } protocol;
    uint64_t entry;
    uint64_t info;
};

#define BOOT_MULTIBOOT_MAGIC 0x2badb002u

/* Loads a bzImage, an ELF file with a PVH note, or a multiboot kernel, whichever it is. */
int boot_x86_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error);

/* The loaders behind it, for files that boot_x86_load() has told apart. */
int boot_bzimage_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                      const struct boot_x86_config *config, vmm_error *error);
int boot_pvh_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error);

int boot_multiboot_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                        const struct boot_x86_config *config, vmm_error *error);
/* Whether there is a multiboot header, and where in the file. */
bool boot_multiboot_find(size_t *offset, const struct boot_image *kernel);

/* The longest command line that a Linux kernel of x86 keeps, without its NUL. */
#define BOOT_X86_PARAMS_MAX 2047

/* Writes the command line with its NUL, if it is at most `max` characters long. */
int boot_x86_write_params(const struct boot_x86_config *config, size_t max, vmm_error *error);

/* ---- for all loaders ---- */

/* One past the end of the region of memory that gpa is in, or 0. */
uint64_t boot_region_end(const visor_memory *memory, uint64_t gpa);

/*
 * Puts the initrd as high as it goes into the RAM region that holds `above`, at or above that
 * address and not past `last` (the highest address its last byte may have).
 */
int boot_place_initrd(uint64_t *gpa, const struct boot_config *config, uint64_t above,
                      uint64_t last, vmm_error *error);
/* Refuses a command line of more than `max` characters, which the kernel would cut. */
int boot_check_params(const struct boot_config *config, size_t max, vmm_error *error);
/* visor_memory_write() with a message. */
int boot_write(const struct boot_config *config, uint64_t gpa, const void *data, size_t length,
               const char *what, vmm_error *error);

/* Little-endian numbers at any alignment. The caller has checked the bounds. */
static inline uint16_t boot_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t boot_get32(const uint8_t *at)
{
    return boot_get16(at) | (uint32_t)boot_get16(at + 2) << 16;
}

static inline uint64_t boot_get64(const uint8_t *at)
{
    return boot_get32(at) | (uint64_t)boot_get32(at + 4) << 32;
}

static inline void boot_put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void boot_put64(uint8_t *at, uint64_t value)
{
    boot_put32(at, (uint32_t)value);
    boot_put32(at + 4, (uint32_t)(value >> 32));
}

#endif
