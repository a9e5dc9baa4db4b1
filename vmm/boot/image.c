/* SPDX-License-Identifier: BSD-3-Clause */
/* Files to boot: getting at them, telling what they are, and what all loaders do with them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"

static int host_error(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR: return VISOR_ENOENT;
    case EACCES:
    case EPERM: return VISOR_EACCESS;
    default: return VISOR_ESYSTEM;
    }
}

int boot_image_open(struct boot_image *out, const char *path, const char *what, vmm_error *error)
{
    struct stat status;
    void *data;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vmm_fail(error, host_error(errno), "%s '%s': %s", what, path, strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is %s, not a file", what, path,
                        S_ISDIR(status.st_mode) ? "a directory" : "a device or a pipe");
    }
    if (status.st_size == 0) {
        close(fd);
        return vmm_fail(error, VISOR_EFORMAT, "%s '%s' is empty", what, path);
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED)
        return vmm_fail(error, VISOR_ESYSTEM, "%s '%s' cannot be mapped: %s", what, path,
                        strerror(errno));
    *out = (struct boot_image){.path = path, .data = data, .size = (size_t)status.st_size};
    return 0;
}

void boot_image_close(struct boot_image *image)
{
    if (image->data != NULL)
        munmap((void *)image->data, image->size);
    *image = (struct boot_image){0};
}

/* ---- what does it look like? ---- */

/* Magic numbers, most specific first. */
static const struct signature {
    size_t offset, length;
    const char *bytes;
    const char *name;
} signatures[] = {
    {0x38, 4, "ARM\x64", "an arm64 Image (a kernel for aarch64)"},
    {0x38, 4, "RSC\x05", "a riscv64 Image (a kernel for riscv64)"},
    {0x24, 4, "\x18\x28\x6f\x01", "a zImage for 32-bit Arm"},
    {0x04, 4, "zimg", "a compressed EFI kernel (vmlinuz.efi)"},
    {0, 2, "\x1f\x8b", "a gzip file"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "an xz file"},
    {0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
    {0, 4, "\x02\x21\x4c\x18", "an lz4 file"},
    {0, 4, "\x04\x22\x4d\x18", "an lz4 file"},
    {0, 3, "BZh", "a bzip2 file"},
    {0, 4, "\x89LZO", "an lzop file"},
    {0, 4, "PK\x03\x04", "a zip file"},
    {0, 5, "07070", "a cpio archive (an initrd?)"},
    {257, 5, "ustar", "a tar archive"},
    {0, 8, "ANDROID!", "an Android boot image"},
    {0, 4, "\x27\x05\x19\x56", "a U-Boot image (uImage)"},
    {0, 4, "\xd0\x0d\xfe\xed", "a device tree or FIT image"},
    {0, 4, "QFI\xfb", "a qcow2 disk image"},
    {0, 4, "KDMV", "a VMDK disk image"},
    {0x8001, 5, "CD001", "an ISO 9660 CD image"},
    {0x438, 2, "\x53\xef", "an ext2/3/4 file system"},
    {0, 4, "hsqs", "a squashfs file system"},
    {0, 8, "!<arch>\n", "a library or a Debian package"},
    {0, 2, "#!", "a script"},
    {0, 2, "MZ", "an EFI or Windows program"},
    {510, 2, "\x55\xaa", "a disk image or boot sector"},
};

/* ELF machine numbers (System V ABI, "Machine Information" registry). */
static const char *elf_machine(unsigned int machine)
{
    switch (machine) {
    case 3: return "32-bit x86";
    case 8: return "MIPS";
    case 20: return "PowerPC";
    case 21: return "64-bit PowerPC";
    case 22: return "s390";
    case 40: return "32-bit Arm";
    case 62: return "x86-64";
    case 183: return "aarch64";
    case 243: return "RISC-V";
    case 258: return "LoongArch";
    default: return NULL;
    }
}

static void identify_elf(char *out, size_t capacity, const uint8_t *data)
{
    static const char *const types[] = {"ELF file", "object file", "program", "shared program",
                                        "core dump"};
    bool big_endian = data[5] == 2;
    unsigned int type = big_endian ? data[17] : boot_get16(data + 16);
    unsigned int machine = big_endian ? data[18] * 256u + data[19] : boot_get16(data + 18);
    const char *name = elf_machine(machine);
    char number[32];

    snprintf(number, sizeof(number), "machine number %u", machine);
    snprintf(out, capacity, "an ELF %s for %s", type < 5 ? types[type] : types[0],
             name != NULL ? name : number);
}

static bool is_text(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < 256; i++) {
        if (data[i] >= 0x7f || (data[i] < 0x20 && strchr("\t\n\r\f", data[i]) == NULL) ||
            data[i] == 0)
            return false;
    }
    return true;
}

static bool is_zeros(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < 4096; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

void boot_identify(char *out, size_t capacity, const uint8_t *data, size_t size)
{
    const char *name = "not a known format";

    if (size >= 0x206 && memcmp(data + 0x202, "HdrS", 4) == 0) {
        snprintf(out, capacity, "an x86 bzImage");
        return;
    }
    if (size >= 20 && memcmp(data,
                             "\x7f"
                             "ELF",
                             4) == 0) {
        identify_elf(out, capacity, data);
        return;
    }
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *s = &signatures[i];

        if (size >= s->offset + s->length && memcmp(data + s->offset, s->bytes, s->length) == 0) {
            snprintf(out, capacity, "%s", s->name);
            return;
        }
    }
    if (size == 0)
        name = "empty";
    else if (is_zeros(data, size))
        name = "all zeros";
    else if (is_text(data, size))
        name = "a text file";
    else if (size < 1024)
        name = "too short to be a kernel";
    snprintf(out, capacity, "%s", name);
}

/* ---- x86 ---- */

int boot_x86_load(struct boot_x86_entry *out, const struct boot_image *kernel,
                  const struct boot_x86_config *config, vmm_error *error)
{
    char looks[96];

    /* The magic of bzImage is looked for first: such a file may also be an EFI program. */
    if (kernel->size >= 0x206 && memcmp(kernel->data + 0x202, "HdrS", 4) == 0)
        return boot_bzimage_load(out, kernel, config, error);
    if (kernel->size >= 4 && memcmp(kernel->data,
                                    "\x7f"
                                    "ELF",
                                    4) == 0)
        return boot_elf_load(out, kernel, config, error);
    boot_identify(looks, sizeof(looks), kernel->data, kernel->size);
    return vmm_fail(error, VISOR_EFORMAT,
                    "kernel '%s' is neither a bzImage nor an ELF file for x86-64: it is %s",
                    kernel->path, looks);
}

int boot_write(const struct boot_x86_config *config, uint64_t gpa, const void *data, size_t length,
               const char *what, vmm_error *error)
{
    int code = length != 0 ? visor_memory_write(config->memory, gpa, data, length) : 0;

    return code < 0 ? vmm_fail_visor(error, code, what) : 0;
}

/* The end of the region that [gpa, gpa+1) lies in, or 0. */
static uint64_t region_end(const visor_memory *memory, uint64_t gpa)
{
    visor_memory_info info;

    for (size_t i = 0; visor_memory_region_info(&info, memory, i) == 0; i++) {
        if (gpa >= info.gpa && gpa - info.gpa < info.length)
            return info.gpa + info.length;
    }
    return 0;
}

int boot_place_initrd(uint64_t *gpa, const struct boot_x86_config *config, uint64_t above,
                      uint64_t last, vmm_error *error)
{
    const struct boot_image *initrd = config->initrd;
    uint64_t end = region_end(config->memory, above - 1);
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

int boot_write_params(const struct boot_x86_config *config, size_t max, vmm_error *error)
{
    size_t length = strlen(config->params);

    if (max > 4095)
        max = 4095; /* the page that it is given */
    if (length > max)
        return vmm_fail(error, VISOR_ELIMIT,
                        "the kernel command line has %zu characters; this kernel takes %zu", length,
                        max);
    return boot_write(config, config->params_gpa, config->params, length + 1, "kernel command line",
                      error);
}
