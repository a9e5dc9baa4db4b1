/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel loaders of all architectures, and what unpacks kernels for them: no file crashes them
 * or makes them write outside of guest memory, and what they accept starts inside it. The first
 * byte of the input chooses the size of the guest, whether there is an initrd, and what the rest
 * is: a file as such, or changes to a good one.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/pack.h"

#define FLOOR 0x100000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static visor_memory *make_memory(uint64_t mib)
{
    const visor_memory_region region = {.length = mib << 20};
    visor_memory *memory;

    if (visor_memory_create(&memory, &region, 1, NULL) != 0)
        abort();
    return memory;
}

#define FILE_SIZE 2048

static void put16(uint8_t *at, unsigned int value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void make_bzimage(uint8_t *file)
{
    file[0x1f1] = 1;
    boot_put32(file + 0x1f4, (FILE_SIZE - 1024) / 16);
    put16(file + 0x1fe, 0xaa55);
    put16(file + 0x200, 0x6aeb);
    memcpy(file + 0x202, "HdrS", 4);
    put16(file + 0x206, 0x020f);
    file[0x211] = 1;
    boot_put32(file + 0x22c, 0x7fffffff);
    boot_put32(file + 0x230, 0x1000);
    file[0x234] = 1;
    put16(file + 0x236, 3);
    boot_put32(file + 0x238, 2047);
    boot_put64(file + 0x258, 0x1000000);
    boot_put32(file + 0x260, 0x2000);
}

static void make_elf(uint8_t *file)
{
    memcpy(file,
           "\x7f"
           "ELF\2\1\1",
           7);
    put16(file + 16, 2);
    put16(file + 18, 62);
    boot_put64(file + 32, 64);
    put16(file + 54, 56);
    put16(file + 56, 3);
    boot_put32(file + 64, 1);
    boot_put64(file + 72, 1024);
    boot_put64(file + 88, FLOOR);
    boot_put64(file + 96, 1024);
    boot_put64(file + 104, 4096);
    boot_put32(file + 120, 4);
    boot_put64(file + 128, 512);
    boot_put64(file + 152, 40);
    boot_put32(file + 512, 4);
    boot_put32(file + 516, 4);
    boot_put32(file + 520, 18);
    memcpy(file + 524, "Xen", 4);
    boot_put32(file + 528, FLOOR);
}

/* An Image of arm64 or riscv64 that is an EFI program too. */
static void make_image(uint8_t *file, const char *magic)
{
    memcpy(file, "MZ", 2);
    boot_put64(file + 16, 0x10000);
    memcpy(file + 56, magic, 4);
    boot_put32(file + 60, 64);
    memcpy(file + 64, "PE\0", 4);
    boot_put32(file + 68, 0xaa64 | 1 << 16);
    boot_put32(file + 84, 16);
    boot_put32(file + 120, 512);
    boot_put32(file + 124, FILE_SIZE - 512);
}

/* An empty gzip member with a header of all kinds of fields, inside a zboot file. */
static void make_zboot(uint8_t *file)
{
    static const uint8_t member[] = {0x1f, 0x8b, 8,   0x1f, 0, 0, 0, 0, 0, 3, 2, 0, 'x', 'y',
                                     'n',  0,    'c', 0,    0, 0, 3, 0, 0, 0, 0, 0, 0,   0};

    memcpy(file, "MZ\0\0zimg", 8);
    boot_put32(file + 8, 1024);
    boot_put32(file + 12, 1024);
    memcpy(file + 24, "gzip", 4);
    memcpy(file + 1024, member, sizeof(member));
}

/* A small kernel proper, packed, with what is to be adjusted in it; some may be left at random. */
static size_t pack_kernel(uint8_t *out, unsigned int packing)
{
    static uint8_t packed[PACKINGS][FILE_SIZE - 1028]; /* the packers are slow */
    static size_t sizes[PACKINGS];
    const uint32_t low = 0x81000000;
    uint8_t elf[1536] = {0};

    if (sizes[packing] == 0) {
        make_elf(elf);
        put16(elf + 56, 1);
        boot_put64(elf + 24, 0x1000000);
        boot_put64(elf + 88, 0x1000000);
        boot_put64(elf + 96, 480);
        boot_put32(elf + 1508, low);
        boot_put32(elf + 1516, low + 16);
        boot_put32(elf + 1524, low + 32);
        boot_put32(elf + 1528, low + 40);
        boot_put32(elf + 1532, low + 0xffc);
        sizes[packing] =
            packings[packing].pack(packed[packing], sizeof(packed[packing]), elf, sizeof(elf));
    }
    memcpy(out, packed[packing], sizes[packing]);
    return sizes[packing];
}

static void make_packed_bzimage(uint8_t *file, unsigned int packing)
{
    size_t size = pack_kernel(file + 1024, packing);

    make_bzimage(file);
    if (packings[packing].appended) {
        boot_put32(file + 1024 + size, 1536);
        size += 4;
    }
    boot_put32(file + 0x24c, (uint32_t)size);
}

static void make_multiboot(uint8_t *file)
{
    const uint32_t flags = 0x10003;

    boot_put32(file + 64, 0x1badb002);
    boot_put32(file + 68, flags);
    boot_put32(file + 72, -(0x1badb002 + flags));
    boot_put32(file + 76, FLOOR + 64);
    boot_put32(file + 80, FLOOR);
    boot_put32(file + 88, FLOOR + 0x1000);
    boot_put32(file + 92, FLOOR + 96);
}

/* As an ELF file of 32 bits. */
static void make_multiboot_elf(uint8_t *file)
{
    memcpy(file,
           "\x7f"
           "ELF\1\1\1",
           7);
    put16(file + 16, 2);
    put16(file + 18, 3);
    boot_put32(file + 24, FLOOR);
    boot_put32(file + 28, 52);
    put16(file + 42, 32);
    put16(file + 44, 1);
    boot_put32(file + 52, 1);
    boot_put32(file + 56, 512);
    boot_put32(file + 64, FLOOR);
    boot_put32(file + 68, 1024);
    boot_put32(file + 72, 4096);
    boot_put32(file + 512, 0x1badb002);
    boot_put32(file + 520, -0x1badb002u);
}

static void make_file(uint8_t *file, unsigned int kind)
{
    switch (kind) {
    case 0: make_bzimage(file); break;
    case 1: make_elf(file); break;
    case 2: make_image(file, "ARMd"); break;
    case 3: make_image(file, "RSC\5"); break;
    case 4: make_zboot(file); break;
    case 5: make_multiboot(file); break;
    case 6: make_multiboot_elf(file); break;
    default:
        if (kind % 2 != 0)
            make_packed_bzimage(file, kind / 2 % PACKINGS);
        else
            pack_kernel(file, kind / 2 % PACKINGS);
        break;
    }
}

/* Three bytes of input change a byte of the file; what is left of them cuts it. */
static void change(uint8_t *file, size_t *length, const uint8_t *data, size_t size)
{
    for (; size >= 3; data += 3, size -= 3)
        file[boot_get16(data) % FILE_SIZE] = data[2];
    *length = size == 2 ? boot_get16(data) % (FILE_SIZE + 1) : FILE_SIZE;
}

static bool starts_outside(visor_memory *memory, uint64_t entry)
{
    return entry < FLOOR || !visor_memory_contains(memory, entry, 1);
}

static void load(const struct boot_image *kernel, const struct boot_config *common)
{
    static const struct boot_module module = {
        .image = {.path = "module", .data = (const uint8_t *)"module", .size = 6}, .params = ""};
    size_t header, module_count = boot_multiboot_find(&header, kernel) ? 1 : 0;
    static const struct boot_range map[] = {{0, 0xa0000, BOOT_RANGE_RAM}};
    const struct boot_x86_config x86 = {
        .common = *common,
        .plain_params = common->params,
        .modules = &module,
        .module_count = common->initrd == NULL ? module_count : 0,
        .map = map,
        .map_count = 1,
        .info_gpa = 0x7000,
        .params_gpa = 0x20000,
    };
    const struct boot_dt_config dt = {
        .common = *common,
        .ceiling_gpa = visor_memory_end(common->memory) - 0x10000,
    };
    struct boot_x86_entry x86_entry;
    struct boot_dt_entry entry;
    vmm_error error;
    char looks[64];

    boot_identify(looks, sizeof(looks), kernel);
    if (boot_x86_load(&x86_entry, kernel, &x86, &error) == 0 &&
        starts_outside(common->memory, x86_entry.entry))
        abort();
    if (boot_arm64_load(&entry, kernel, &dt, &error) == 0 &&
        starts_outside(common->memory, entry.entry))
        abort();
    if (boot_riscv64_load(&entry, kernel, &dt, &error) == 0 &&
        starts_outside(common->memory, entry.entry))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t bytes[5000];
    static const struct boot_image initrd = {.path = "initrd", .data = bytes, .size = 5000};
    static visor_memory *memories[2];
    struct boot_config config = {.params = "console=ttyS0", .floor_gpa = FLOOR};
    struct boot_image kernel = {.path = "kernel"}, unpacked;
    vmm_error error;
    uint8_t *file;

    if (size < 1)
        return 0;
    if (memories[0] == NULL) {
        memories[0] = make_memory(2);
        memories[1] = make_memory(24);
    }
    config.memory = memories[data[0] & 1];
    config.initrd = (data[0] & 2) != 0 ? &initrd : NULL;
    /* A block of its own for each, so that the sanitizer sees a read past its end. */
    if ((data[0] & 4) == 0) {
        kernel.size = size - 1;
        file = malloc(size);
        if (file != NULL)
            memcpy(file + 1, data + 1, size - 1);
    } else {
        static uint8_t whole[FILE_SIZE];

        memset(whole, 0, sizeof(whole));
        make_file(whole, data[0] >> 3);
        change(whole, &kernel.size, data + 1, size - 1);
        file = malloc(kernel.size + 1);
        if (file != NULL)
            memcpy(file + 1, whole, kernel.size);
    }
    if (file == NULL)
        return 0;
    kernel.data = file + 1; /* so that it ends where the block does */
    if (boot_unpack(&unpacked, &kernel, 0x100000, &error) == 1) {
        if (unpacked.size == 0 || unpacked.size > 0x100000)
            abort();
        load(&unpacked, &config);
        boot_image_close(&unpacked);
    }
    load(&kernel, &config);
    free(file);
    return 0;
}
