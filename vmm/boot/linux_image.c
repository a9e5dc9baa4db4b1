/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux's `Image`, a flat kernel behind a header that is nearly the same on two architectures:
 * Linux, Documentation/arch/arm64/booting.rst and Documentation/arch/riscv/boot-image-header.rst.
 */
#include <inttypes.h>
#include <string.h>

#include "boot/boot.h"

enum {
    TEXT_OFFSET = 8,
    IMAGE_SIZE = 16,
    MAGIC = 56,
    PE_HEADER = 60,
    HEADER_SIZE = 64,
};

struct kind {
    const char *name;
    char magic[4];
    size_t params_max;
};

/* Lengths of COMMAND_LINE_SIZE: Linux, arch/.../include/uapi/asm/setup.h. */
static const struct kind arm64 = {"an arm64 Image", {'A', 'R', 'M', 'd'}, 2047};
static const struct kind riscv64 = {"a riscv64 Image", {'R', 'S', 'C', 5}, 1023};

/* Both want to be at an offset from such an address. */
#define ALIGNMENT 0x200000ull

/* Offsets in a PE file (Microsoft, "PE Format"). */
enum {
    PE_SECTIONS = 6,
    PE_OPTIONAL_SIZE = 20,
    PE_OPTIONAL = 24,
    SECTION_RAW_SIZE = 16,
    SECTION_RAW_OFFSET = 20,
    SECTION_SIZE = 40,
};

/*
 * An Image does not say how long its file is, but one that is an EFI program too lists sections
 * that must be there.
 */
static bool is_cut(const struct boot_image *kernel)
{
    uint64_t at = boot_get32(kernel->data + PE_HEADER);
    unsigned int count;

    if (memcmp(kernel->data, "MZ", 2) != 0)
        return false;
    if (at + PE_OPTIONAL > kernel->size)
        return true;
    count = boot_get16(kernel->data + at + PE_SECTIONS);
    at += PE_OPTIONAL + boot_get16(kernel->data + at + PE_OPTIONAL_SIZE);
    for (unsigned int i = 0; i < count; i++, at += SECTION_SIZE) {
        if (at + SECTION_SIZE > kernel->size)
            return true;
        if ((uint64_t)boot_get32(kernel->data + at + SECTION_RAW_OFFSET) +
                boot_get32(kernel->data + at + SECTION_RAW_SIZE) >
            kernel->size)
            return true;
    }
    return false;
}

static int check(const struct boot_image *kernel, const struct kind *kind, vmm_error *error)
{
    char looks[BOOT_LOOKS_MAX];

    if (kernel->size < MAGIC + sizeof(kind->magic) ||
        memcmp(kernel->data + MAGIC, kind->magic, sizeof(kind->magic)) != 0) {
        boot_identify(looks, sizeof(looks), kernel);
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is not %s: it is %s", kernel->path,
                        kind->name, looks);
    }
    if (kernel->size < HEADER_SIZE || is_cut(kernel))
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is cut off", kernel->path);
    if (boot_get64(kernel->data + IMAGE_SIZE) == 0)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is %s that does not tell its size: one of Linux 3.17 or newer "
                        "is needed",
                        kernel->path, kind->name);
    return 0;
}

static int load(struct boot_dt_entry *out, const struct boot_image *kernel, const struct kind *kind,
                const struct boot_dt_config *config, vmm_error *error)
{
    const struct boot_config *common = &config->common;
    uint64_t base = (common->floor_gpa + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    const uint64_t mib = 1 << 20;
    uint64_t offset, size, room;
    int code = check(kernel, kind, error);

    if (code == 0)
        code = boot_check_params(common, kind->params_max, error);
    if (code != 0)
        return code;
    offset = boot_get64(kernel->data + TEXT_OFFSET);
    size = boot_get64(kernel->data + IMAGE_SIZE); /* with what is zero and not in the file */
    if (size < kernel->size)
        size = kernel->size;
    room = config->ceiling_gpa > base ? config->ceiling_gpa - base : 0;
    if (offset > room || size > room - offset ||
        !visor_memory_contains(common->memory, base + offset, size))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s' needs %" PRIu64 " MiB of memory, %" PRIu64
                        " MiB from its start: give the guest more (-m)",
                        kernel->path, size / mib + (size % mib != 0), offset / mib);
    *out = (struct boot_dt_entry){.entry = base + offset, .size = kernel->size};
    code = boot_write(common, out->entry, kernel->data, kernel->size, "kernel", error);
    if (code == 0 && common->initrd != NULL)
        code = boot_place_initrd(&out->initrd_gpa, common, out->entry + size,
                                 config->ceiling_gpa - 1, error);
    return code;
}

int boot_arm64_load(struct boot_dt_entry *out, const struct boot_image *kernel,
                    const struct boot_dt_config *config, vmm_error *error)
{
    return load(out, kernel, &arm64, config, error);
}

int boot_riscv64_load(struct boot_dt_entry *out, const struct boot_image *kernel,
                      const struct boot_dt_config *config, vmm_error *error)
{
    return load(out, kernel, &riscv64, config, error);
}
