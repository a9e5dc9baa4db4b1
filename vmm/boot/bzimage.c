/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux's bzImage, started at its 64-bit entry point. Offsets and rules: Linux,
 * Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header", "64-bit Boot Protocol") and
 * Documentation/arch/x86/zero-page.rst.
 */
#include <inttypes.h>
#include <string.h>

#include "boot/bzimage.h"

/* In the file and in the zero page alike. */
enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    VID_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PAYLOAD_OFFSET = 0x248,
    PAYLOAD_LENGTH = 0x24c,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_END = 0x264, /* of what protocol 2.12 has */
};

/* In the zero page only. */
enum {
    ZP_RSDP = 0x070,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_SENTINEL = 0x1ef,
    ZP_E820_TABLE = 0x2d0,
    ZP_E820_MAX = 128,
    ZP_E820_SIZE = 20,
    ZP_SIZE = 4096,
};

#define LOADED_HIGH      0x01
#define KASLR_FLAG       0x02 /* from what unpacks the kernel to the kernel */
#define XLF_KERNEL_64    0x01
#define PROTOCOL_2_12    0x020c
#define ENTRY_64         0x200 /* from the load address */
#define LOADER_UNDEFINED 0xff
#define VID_MODE_NORMAL  0xffff

static int read_header(struct boot_bzimage *out, const struct boot_image *kernel, vmm_error *error)
{
    const uint8_t *data = kernel->data;
    unsigned int sectors, version;

    if (kernel->size < 0x206 || boot_get16(data + BOOT_FLAG) != 0xaa55)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' looks like a bzImage, but has no boot flag", kernel->path);
    if (kernel->size < HEADER_END)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' is cut off inside its header",
                        kernel->path);
    version = boot_get16(data + VERSION);
    if (version < PROTOCOL_2_12)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' speaks boot protocol %u.%u; 2.12 (Linux 3.8) or newer is "
                        "needed",
                        kernel->path, version >> 8, version & 0xff);
    if ((data[LOADFLAGS] & LOADED_HIGH) == 0)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is a zImage, to be loaded below 1 MiB; a bzImage is needed",
                        kernel->path);
    if ((boot_get16(data + XLOADFLAGS) & XLF_KERNEL_64) == 0)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is a bzImage for 32-bit x86; one for x86-64 is needed",
                        kernel->path);

    /* "For backwards compatibility, if the setup_sects field contains 0, the real value is 4." */
    sectors = data[SETUP_SECTS] != 0 ? data[SETUP_SECTS] : 4;
    *out = (struct boot_bzimage){
        .setup_size = (sectors + 1) * 512ull,
        .kernel_size = boot_get32(data + SYSSIZE) * 16ull,
        .run_size = boot_get32(data + INIT_SIZE),
        .preferred = boot_get64(data + PREF_ADDRESS),
        .alignment = boot_get32(data + KERNEL_ALIGNMENT),
        .initrd_last = boot_get32(data + INITRD_ADDR_MAX),
        .payload_offset = boot_get32(data + PAYLOAD_OFFSET),
        .payload_size = boot_get32(data + PAYLOAD_LENGTH),
        .params_max = boot_get32(data + CMDLINE_SIZE),
        .relocatable = data[RELOCATABLE] != 0,
    };
    /* The size is in units of 16 bytes, the last of which the file need not fill. */
    if (kernel->size + 15 < out->setup_size + out->kernel_size)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: it has %zu bytes of %" PRIu64, kernel->path,
                        kernel->size, out->setup_size + out->kernel_size);
    if (out->kernel_size > kernel->size - out->setup_size)
        out->kernel_size = kernel->size - out->setup_size;
    if (out->run_size < out->kernel_size)
        out->run_size = out->kernel_size;
    if (out->kernel_size <= ENTRY_64 || out->alignment == 0 ||
        (out->alignment & (out->alignment - 1)) != 0)
        return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' has a header that makes no sense",
                        kernel->path);
    return 0;
}

/* Where it asks to be, or, if there is no room and it can move, as low as possible. */
static int choose_address(uint64_t *out, const struct boot_bzimage *header,
                          const struct boot_image *kernel, const struct boot_x86_config *config,
                          vmm_error *error)
{
    uint64_t low = (config->common.floor_gpa + header->alignment - 1) & ~(header->alignment - 1);
    const uint64_t mib = 1 << 20;

    if (header->preferred >= config->common.floor_gpa &&
        visor_memory_contains(config->common.memory, header->preferred, header->run_size)) {
        *out = header->preferred;
        return 0;
    }
    if (header->relocatable &&
        visor_memory_contains(config->common.memory, low, header->run_size)) {
        *out = low;
        return 0;
    }
    if (!header->relocatable)
        low = header->preferred;
    return vmm_fail(error, VISOR_ELIMIT,
                    "kernel '%s' needs %" PRIu64 " MiB of memory from address %" PRIu64
                    " MiB on: give the guest more (-m)",
                    kernel->path, (header->run_size + mib - 1) / mib, low / mib);
}

static void write_map(uint8_t *page, const struct boot_x86_config *config)
{
    size_t count = config->map_count < ZP_E820_MAX ? config->map_count : ZP_E820_MAX;

    page[ZP_E820_ENTRIES] = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = page + ZP_E820_TABLE + i * ZP_E820_SIZE;

        boot_put64(entry, config->map[i].gpa);
        boot_put64(entry + 8, config->map[i].length);
        boot_put32(entry + 16, config->map[i].type);
    }
}

/* The whole, which unpacks itself. */
static int load_packed(struct boot_bzimage_place *out, const struct boot_image *kernel,
                       const struct boot_bzimage *header, const struct boot_x86_config *config,
                       vmm_error *error)
{
    int code = choose_address(&out->address, header, kernel, config, error);

    if (code != 0)
        return code;
    out->end = out->address + header->run_size;
    out->entry = out->address + ENTRY_64;
    out->randomized = false;
    return boot_write(&config->common, out->address, kernel->data + header->setup_size,
                      (size_t)header->kernel_size, "kernel", error);
}

static int load(struct boot_bzimage_place *out, const struct boot_image *kernel,
                const struct boot_bzimage *header, const struct boot_x86_config *config,
                vmm_error *error)
{
    vmm_error why;
    int code = 0;

    if (config->unpack != BOOT_UNPACK_GUEST)
        code = boot_vmlinux_load(out, kernel, header, config, &why);
    if (code > 0)
        return 0;
    if (code < 0)
        return vmm_fail(error, code, "%s", why.text);
    if (config->unpack == BOOT_UNPACK_HOST)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' cannot be unpacked on the host: %s; its own loader may do it "
                        "(--decompress guest)",
                        kernel->path, why.text);
    return load_packed(out, kernel, header, config, error);
}

int boot_bzimage_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                      const struct boot_x86_config *config, vmm_error *error)
{
    uint8_t page[ZP_SIZE] = {0};
    struct boot_bzimage header = {0};
    struct boot_bzimage_place place = {0};
    uint64_t initrd = 0;
    size_t header_end;
    int code;

    code = read_header(&header, kernel, error);
    if (code == 0)
        code = load(&place, kernel, &header, config, error);
    if (code == 0)
        code = boot_x86_write_params(config, header.params_max, error);
    if (code == 0 && config->common.initrd != NULL)
        code = boot_place_initrd(&initrd, &config->common, place.end, header.initrd_last, error);
    if (code != 0)
        return code;

    /* The byte after the jump instruction tells where the header ends. */
    header_end = 0x202u + kernel->data[JUMP + 1];
    if (header_end > ZP_E820_TABLE - 0x40) /* 0x290 is another field of the zero page */
        header_end = ZP_E820_TABLE - 0x40;
    if (header_end > kernel->size)
        header_end = kernel->size;
    memcpy(page + SETUP_SECTS, kernel->data + SETUP_SECTS, header_end - SETUP_SECTS);
    page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    page[LOADFLAGS] =
        (uint8_t)((page[LOADFLAGS] & ~KASLR_FLAG) | (place.randomized ? KASLR_FLAG : 0));
    page[VID_MODE] = VID_MODE_NORMAL & 0xff;
    page[VID_MODE + 1] = VID_MODE_NORMAL >> 8;
    boot_put32(page + CMD_LINE_PTR, (uint32_t)config->params_gpa);
    if (config->common.initrd != NULL) {
        boot_put32(page + RAMDISK_IMAGE, (uint32_t)initrd);
        boot_put32(page + RAMDISK_SIZE, (uint32_t)config->common.initrd->size);
    }
    boot_put64(page + ZP_RSDP, config->rsdp_gpa);
    page[ZP_SENTINEL] = 0; /* "the boot loader cleared this page" */
    write_map(page, config);
    *out = (struct boot_x86_entry){
        .protocol = BOOT_X86_LINUX64,
        .entry = place.entry,
        .info = config->info_gpa,
    };
    return boot_write(&config->common, config->info_gpa, page, sizeof(page), "zero page", error);
}
