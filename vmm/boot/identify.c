/* SPDX-License-Identifier: BSD-3-Clause */
/* What a file looks like: for telling somebody that it is not the kernel that was wanted. */
#include <stdio.h>
#include <string.h>

#include "boot/boot.h"

/* Magic numbers, most specific first. */
static const struct signature {
    size_t offset, length;
    const char *bytes;
    const char *name;
} signatures[] = {
    {0x38, 4, "ARM\x64", "an arm64 Image (a kernel for aarch64)"},
    {0x38, 4, "RSC\x05", "a riscv64 Image (a kernel for riscv64)"},
    {0x24, 4, "\x18\x28\x6f\x01", "a zImage for 32-bit Arm"},
    {0x04, 4, "zimg", "a packed EFI kernel (vmlinuz.efi)"},
    {0, 2, "\x1f\x8b", "a gzip file"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "an xz file"},
    {0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
    {0, 4, "\x02\x21\x4c\x18", "an lz4 file"},
    {0, 4, "\x04\x22\x4d\x18", "an lz4 file"},
    {0, 3, "BZh", "a bzip2 file"},
    {0, 3, "\x5d\0\0", "an lzma file"},
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

/* PE machine types (Microsoft, "PE Format"). */
static const char *pe_machine(unsigned int machine)
{
    switch (machine) {
    case 0x014c: return "32-bit x86";
    case 0x01c0:
    case 0x01c2:
    case 0x01c4: return "32-bit Arm";
    case 0x5032: return "32-bit RISC-V";
    case 0x5064: return "riscv64";
    case 0x6264: return "LoongArch";
    case 0x8664: return "x86-64";
    case 0xaa64: return "aarch64";
    default: return NULL;
    }
}

static void identify_pe(char *out, size_t capacity, const uint8_t *data, size_t size)
{
    uint32_t header = size >= 0x40 ? boot_get32(data + 0x3c) : 0;
    const char *machine = NULL;

    if (header != 0 && size >= 6 && header <= size - 6 && memcmp(data + header, "PE\0\0", 4) == 0)
        machine = pe_machine(boot_get16(data + header + 4));
    snprintf(out, capacity, "an EFI or Windows program%s%s", machine != NULL ? " for " : "",
             machine != NULL ? machine : "");
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

static void identify(char *out, size_t capacity, const uint8_t *data, size_t size)
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
    if (size >= 2 && memcmp(data, "MZ", 2) == 0) {
        identify_pe(out, capacity, data, size);
        return;
    }
    if (size >= 512 && data[510] == 0x55 && data[511] == 0xaa)
        name = "a disk image or boot sector";
    else if (size == 0)
        name = "empty";
    else if (is_zeros(data, size))
        name = "all zeros";
    else if (is_text(data, size))
        name = "a text file";
    else if (size < 1024)
        name = "too short to be a kernel";
    snprintf(out, capacity, "%s", name);
}

void boot_identify(char *out, size_t capacity, const struct boot_image *image)
{
    size_t length;

    identify(out, capacity, image->data, image->size);
    length = strlen(out);
    if (image->packing != NULL)
        snprintf(out + length, capacity - length, ", packed by %s", image->packing);
}
