/* SPDX-License-Identifier: BSD-3-Clause */
/* Files to boot: getting at them, and what all loaders do with them. */
#include <string.h>

#include "boot/elf.h"
#include "os/os.h"

int boot_image_open(struct boot_image *out, const char *path, const char *what, vmm_error *error)
{
    const void *data;
    size_t size;
    int code = vmm_file_map(&data, &size, path, what, error);

    if (code != 0)
        return code;
    *out = (struct boot_image){.path = path, .data = data, .size = size};
    return 0;
}

void boot_image_close(struct boot_image *image)
{
    if (image->data != NULL)
        vmm_unmap(image->data, image->size);
    *image = (struct boot_image){0};
}

/* ---- for all loaders ---- */

int boot_write(const struct boot_config *config, uint64_t gpa, const void *data, size_t length,
               const char *what, vmm_error *error)
{
    int code = length != 0 ? visor_memory_write(config->memory, gpa, data, length) : 0;

    return code < 0 ? vmm_fail_visor(error, code, what) : 0;
}

uint64_t boot_region_end(const visor_memory *memory, uint64_t gpa)
{
    visor_memory_info info;

    for (size_t i = 0; visor_memory_region_info(&info, memory, i) == 0; i++) {
        if (gpa >= info.gpa && gpa - info.gpa < info.length)
            return info.gpa + info.length;
    }
    return 0;
}

int boot_place_initrd(uint64_t *gpa, const struct boot_config *config, uint64_t above,
                      uint64_t last, vmm_error *error)
{
    const struct boot_image *initrd = config->initrd;
    uint64_t end = boot_region_end(config->memory, above - 1);
    const uint64_t mib = 1 << 20;

    if (last < end - 1)
        end = last + 1;
    above = (above + 0xfff) & ~0xfffull;
    if (end <= above || initrd->size > end - above) {
        uint64_t room = end > above ? end - above : 0;

        return vmm_fail(error, VISOR_ELIMIT,
                        "initrd '%s' has %llu MiB, but there is room for %llu MiB between the "
                        "kernel and the end of low memory: give the guest more (-m)",
                        initrd->path, (unsigned long long)((initrd->size + mib - 1) / mib),
                        (unsigned long long)(room / mib));
    }
    *gpa = (end - initrd->size) & ~0xfffull;
    return boot_write(config, *gpa, initrd->data, initrd->size, "initrd", error);
}

int boot_check_params(const struct boot_config *config, size_t max, vmm_error *error)
{
    size_t length = strlen(config->params);

    if (length > max)
        return vmm_fail(error, VISOR_ELIMIT,
                        "the kernel command line has %zu characters; this kernel takes %zu", length,
                        max);
    return 0;
}

/* ---- x86 ---- */

int boot_x86_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error)
{
    /* The magic of bzImage is looked for first: such a file may also be an EFI program. */
    bool is_bzimage = kernel->size >= 0x206 && memcmp(kernel->data + 0x202, "HdrS", 4) == 0;
    char looks[BOOT_LOOKS_MAX];
    size_t header;

    /* An ELF file of 64 bits is entered by its PVH note, whatever else is in it. */
    if (!is_bzimage && !boot_elf_is_for(kernel, BOOT_ELF_X86_64) &&
        boot_multiboot_find(&header, kernel))
        return boot_multiboot_load(out, kernel, config, error);
    if (config->module_count != 0)
        return vmm_fail(error, VISOR_EINVAL,
                        "kernel '%s' is not a multiboot kernel: it takes no modules (--module)",
                        kernel->path);
    if (is_bzimage)
        return boot_bzimage_load(out, kernel, config, error);
    if (boot_elf_is(kernel))
        return boot_pvh_load(out, kernel, config, error);
    boot_identify(looks, sizeof(looks), kernel);
    return vmm_fail(error, VISOR_EFORMAT,
                    "kernel '%s' is neither a bzImage, nor an ELF file for x86-64, nor a multiboot "
                    "kernel: it is %s",
                    kernel->path, looks);
}

int boot_x86_write_params(const struct boot_x86_config *config, size_t max, vmm_error *error)
{
    const struct boot_config *common = &config->common;
    int code = boot_check_params(common, max < 4095 ? max : 4095, error); /* in its page */

    if (code != 0)
        return code;
    return boot_write(common, config->params_gpa, common->params, strlen(common->params) + 1,
                      "kernel command line", error);
}
