/* SPDX-License-Identifier: BSD-3-Clause */
/* The loaders of kernels: good files, and all the files that only look like one. */
#include "unit.h"

#include <stdlib.h>

#include "boot/boot.h"
#include "host.h"

#define MIB   UINT64_C(0x100000)
#define INFO  0x7000
#define LINE  0x20000
#define FLOOR 0x100000
#define RSDP  0xe0000

static const struct boot_range map[] = {
    {0, 0xa0000, BOOT_RANGE_RAM},
    {0xe0000, 0x20000, BOOT_RANGE_RESERVED},
    {0x100000, 63 * MIB, BOOT_RANGE_RAM},
};

/* What a test loads into: a guest of some MiB, its command line, its initrd. */
struct guest {
    visor_memory *memory;
    struct boot_x86_config config;
    struct boot_x86_entry entry;
    vmm_error error;
    struct boot_image initrd;
};

static bool guest_make(struct guest *guest, uint64_t mib)
{
    const visor_memory_region region = {.length = mib * MIB};

    *guest = (struct guest){0};
    if (!CHECK_OK(visor_memory_create(&guest->memory, &region, 1, NULL)))
        return false;
    guest->config = (struct boot_x86_config){
        .common = {.memory = guest->memory, .params = "console=ttyS0", .floor_gpa = FLOOR},
        .map = map,
        .map_count = 3,
        .rsdp_gpa = RSDP,
        .info_gpa = INFO,
        .params_gpa = LINE,
    };
    return true;
}

static int load(struct guest *guest, const void *data, size_t size)
{
    const struct boot_image kernel = {.path = "kernel", .data = data, .size = size};

    guest->error.text[0] = '\0';
    return boot_x86_load(&guest->entry, &kernel, &guest->config, &guest->error);
}

static uint64_t get(struct guest *guest, uint64_t gpa, size_t width)
{
    uint64_t value = 0;

    CHECK_OK(visor_memory_read(&value, guest->memory, gpa, width));
    return value;
}

/* The file was refused, with these words somewhere in the message. */
#define CHECK_REFUSED(guest, result, code, words)                       \
    do {                                                                \
        CHECK_INT(result, code);                                        \
        if (!CHECK(strstr((guest)->error.text, words) != NULL))         \
            printf("#   the message is \"%s\"\n", (guest)->error.text); \
    } while (0)

static void put16(uint8_t *at, unsigned int value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

/* ---- bzImage ---- */

#define BZ_SETUP  1024
#define BZ_KERNEL 8192
#define BZ_SIZE   (BZ_SETUP + BZ_KERNEL)

static void make_bzimage(uint8_t *file)
{
    memset(file, 0, BZ_SETUP);
    memset(file + BZ_SETUP, 0x90, BZ_KERNEL);
    file[0x1f1] = 1;
    boot_put32(file + 0x1f4, BZ_KERNEL / 16);
    put16(file + 0x1fe, 0xaa55);
    put16(file + 0x200, 0x6aeb);          /* jmp over the header, which ends at 0x26c */
    boot_put32(file + 0x202, 0x53726448); /* "HdrS" */
    put16(file + 0x206, 0x020f);
    file[0x211] = 1;
    boot_put32(file + 0x22c, 0x7fffffff);
    boot_put32(file + 0x230, 0x200000);
    file[0x234] = 1;
    put16(file + 0x236, 3);
    boot_put32(file + 0x238, 2047);
    boot_put64(file + 0x258, 16 * MIB);
    boot_put32(file + 0x260, 4 * MIB);
}

TEST(bzimage_is_loaded_where_it_wants_with_a_zero_page)
{
    static uint8_t file[BZ_SIZE], initrd[5000];
    struct guest guest;
    char line[32];

    REQUIRE(guest_make(&guest, 64));
    make_bzimage(file);
    memset(initrd, 0x77, sizeof(initrd));
    guest.initrd = (struct boot_image){.path = "initrd", .data = initrd, .size = sizeof(initrd)};
    guest.config.common.initrd = &guest.initrd;
    REQUIRE_OK(load(&guest, file, BZ_SIZE));
    CHECK_INT(guest.entry.protocol, BOOT_X86_LINUX64);
    CHECK_INT(guest.entry.entry, 16 * MIB + 0x200);
    CHECK_INT(guest.entry.info, INFO);
    CHECK_INT(get(&guest, 16 * MIB, 1), 0x90);
    CHECK_INT(get(&guest, 16 * MIB + BZ_KERNEL - 1, 1), 0x90);
    CHECK_INT(get(&guest, 16 * MIB + BZ_KERNEL, 1), 0);

    CHECK_INT(get(&guest, INFO + 0x202, 4), 0x53726448);
    CHECK_INT(get(&guest, INFO + 0x210, 1), 0xff);
    CHECK_INT(get(&guest, INFO + 0x228, 4), LINE);
    CHECK_INT(get(&guest, INFO + 0x070, 8), RSDP);
    CHECK_INT(get(&guest, INFO + 0x1e8, 1), 3);
    CHECK_INT(get(&guest, INFO + 0x2d0 + 40, 8), 0x100000);
    CHECK_INT(get(&guest, INFO + 0x2d0 + 48, 8), 63 * MIB);
    CHECK_INT(get(&guest, INFO + 0x2d0 + 56, 4), 1);
    CHECK_INT(get(&guest, INFO + 0x2d0 + 60, 8), 0);
    CHECK_INT(get(&guest, INFO + 0x218, 4), 64 * MIB - 8192);
    CHECK_INT(get(&guest, INFO + 0x21c, 4), sizeof(initrd));
    CHECK_INT(get(&guest, 64 * MIB - 8192 + 4999, 2), 0x77);
    CHECK_OK(visor_memory_read(line, guest.memory, LINE, 14));
    CHECK_STR(line, "console=ttyS0");
    visor_memory_free(guest.memory);
}

TEST(bzimage_moves_if_it_can_and_says_how_much_it_needs_if_not)
{
    static uint8_t file[BZ_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 8));
    make_bzimage(file);
    REQUIRE_OK(load(&guest, file, BZ_SIZE));
    CHECK_INT(guest.entry.entry, 2 * MIB + 0x200);
    file[0x234] = 0;
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT,
                  "needs 4 MiB of memory from address 16 MiB on");
    make_bzimage(file);
    boot_put32(file + 0x260, 7 * MIB);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT, "needs 7 MiB");
    boot_put32(file + 0x260, UINT32_MAX);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT, "-m");
    visor_memory_free(guest.memory);
}

TEST(bzimage_cut_anywhere_is_refused)
{
    static uint8_t file[BZ_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_bzimage(file);
    for (size_t size = 0; size < BZ_SIZE - 15; size++) {
        /* Its own block, so that a sanitizer sees a read past the end. */
        uint8_t *cut = malloc(size != 0 ? size : 1);

        REQUIRE(cut != NULL);
        memcpy(cut, file, size);
        if (!CHECK_INT(load(&guest, cut, size), VISOR_EFORMAT))
            size = BZ_SIZE;
        free(cut);
    }
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE - 16), VISOR_EFORMAT,
                  "cut off: it has 9200 bytes of 9216");
    visor_memory_free(guest.memory);
}

TEST(bzimage_of_the_wrong_kind_is_told)
{
    static uint8_t file[BZ_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_bzimage(file);
    put16(file + 0x236, 0);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "32-bit x86");
    make_bzimage(file);
    put16(file + 0x206, 0x0204);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "protocol 2.4");
    make_bzimage(file);
    file[0x211] = 0;
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "zImage");
    make_bzimage(file);
    boot_put32(file + 0x230, 3);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "no sense");
    make_bzimage(file);
    boot_put32(file + 0x230, 0);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "no sense");
    make_bzimage(file);
    boot_put32(file + 0x1f4, 0);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "no sense");
    make_bzimage(file);
    put16(file + 0x1fe, 0);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_EFORMAT, "boot flag");
    visor_memory_free(guest.memory);
}

TEST(command_line_has_the_kernels_own_limit)
{
    static uint8_t file[BZ_SIZE];
    static char params[4097];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_bzimage(file);
    memset(params, 'x', 2047);
    guest.config.common.params = params;
    CHECK_OK(load(&guest, file, BZ_SIZE));
    params[2047] = 'x';
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT,
                  "has 2048 characters; this kernel takes 2047");
    boot_put32(file + 0x238, 1 << 30);
    memset(params, 'x', 4096);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT, "takes 4095");
    visor_memory_free(guest.memory);
}

TEST(initrd_keeps_clear_of_the_kernel_and_below_its_limit)
{
    static uint8_t file[BZ_SIZE];
    const size_t most = 12 * MIB; /* 32 - 16 - 4 */
    struct guest guest;
    uint8_t *initrd;

    REQUIRE(guest_make(&guest, 32));
    initrd = calloc(1, most + 1);
    REQUIRE(initrd != NULL);
    make_bzimage(file);
    guest.initrd = (struct boot_image){.path = "initrd", .data = initrd, .size = most};
    guest.config.common.initrd = &guest.initrd;
    CHECK_OK(load(&guest, file, BZ_SIZE));
    CHECK_INT(get(&guest, INFO + 0x218, 4), 20 * MIB);
    guest.initrd.size = most + 1;
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT,
                  "initrd 'initrd' has 13 MiB, but there is room for 12 MiB");
    guest.initrd.size = 4096;
    boot_put32(file + 0x22c, 21 * MIB - 1);
    CHECK_OK(load(&guest, file, BZ_SIZE));
    CHECK_INT(get(&guest, INFO + 0x218, 4), 21 * MIB - 4096);
    boot_put32(file + 0x22c, 0);
    CHECK_REFUSED(&guest, load(&guest, file, BZ_SIZE), VISOR_ELIMIT, "room for 0 MiB");
    free(initrd);
    visor_memory_free(guest.memory);
}

/* ---- ELF ---- */

#define ELF_SIZE  8192
#define ELF_NOTES 0x200
#define ELF_TEXT  0x1000

static void put_segment(uint8_t *at, uint32_t type, uint64_t offset, uint64_t paddr,
                        uint64_t file_size, uint64_t memory_size)
{
    boot_put32(at, type);
    boot_put64(at + 8, offset);
    boot_put64(at + 24, paddr);
    boot_put64(at + 32, file_size);
    boot_put64(at + 40, memory_size);
}

/* A segment of 4 KiB at 16 MiB that takes 1 MiB of memory; its entry point is 0x10 bytes in. */
static void make_elf(uint8_t *file)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

    memset(file, 0, ELF_SIZE);
    memcpy(file, magic, sizeof(magic));
    put16(file + 16, 2);
    put16(file + 18, 62);
    boot_put32(file + 20, 1);
    boot_put64(file + 32, 64);
    put16(file + 54, 56);
    put16(file + 56, 2);
    put_segment(file + 64, 1, ELF_TEXT, 16 * MIB, 4096, MIB);
    put_segment(file + 120, 4, ELF_NOTES, 0, 20 + 24, 0);
    /* Another note first: 4 bytes of name, 1 byte of description, padded. */
    boot_put32(file + ELF_NOTES, 4);
    boot_put32(file + ELF_NOTES + 4, 1);
    boot_put32(file + ELF_NOTES + 8, 18);
    memcpy(file + ELF_NOTES + 12, "GNU", 4);
    boot_put32(file + ELF_NOTES + 20, 4);
    boot_put32(file + ELF_NOTES + 24, 8);
    boot_put32(file + ELF_NOTES + 28, 18);
    memcpy(file + ELF_NOTES + 32, "Xen", 4);
    boot_put64(file + ELF_NOTES + 36, 16 * MIB + 0x10);
    memset(file + ELF_TEXT, 0x90, 4096);
}

TEST(pvh_kernel_is_loaded_with_its_start_information)
{
    static uint8_t file[ELF_SIZE], initrd[100];
    struct guest guest;
    uint64_t modules, ranges;

    REQUIRE(guest_make(&guest, 64));
    make_elf(file);
    guest.initrd = (struct boot_image){.path = "initrd", .data = initrd, .size = sizeof(initrd)};
    guest.config.common.initrd = &guest.initrd;
    REQUIRE_OK(load(&guest, file, ELF_SIZE));
    CHECK_INT(guest.entry.protocol, BOOT_X86_PVH);
    CHECK_INT(guest.entry.entry, 16 * MIB + 0x10);
    CHECK_INT(get(&guest, 16 * MIB + 4095, 2), 0x90);

    CHECK_INT(get(&guest, INFO, 4), 0x336ec578);
    CHECK_INT(get(&guest, INFO + 4, 4), 1);
    CHECK_INT(get(&guest, INFO + 12, 4), 1);
    modules = get(&guest, INFO + 16, 8);
    CHECK_INT(get(&guest, modules, 8), 64 * MIB - 4096);
    CHECK_INT(get(&guest, modules + 8, 8), sizeof(initrd));
    CHECK_INT(get(&guest, INFO + 24, 8), LINE);
    CHECK_INT(get(&guest, INFO + 32, 8), RSDP);
    ranges = get(&guest, INFO + 40, 8);
    CHECK_INT(get(&guest, INFO + 48, 4), 3);
    CHECK_INT(get(&guest, ranges + 24, 8), 0xe0000);
    CHECK_INT(get(&guest, ranges + 40, 4), 2);

    guest.config.common.initrd = NULL;
    REQUIRE_OK(load(&guest, file, ELF_SIZE));
    CHECK_INT(get(&guest, INFO + 12, 4), 0);
    visor_memory_free(guest.memory);
}

TEST(elf_that_is_no_kernel_for_this_machine_is_told)
{
    static uint8_t file[ELF_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_elf(file);
    put16(file + 18, 183);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT,
                  "an ELF program for aarch64; one for x86-64 is needed");
    make_elf(file);
    file[4] = 1;
    put16(file + 18, 3);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "32-bit x86");
    make_elf(file);
    put16(file + 16, 3);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "not a kernel");
    make_elf(file);
    boot_put32(file + ELF_NOTES + 28, 17);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "without a PVH note");
    make_elf(file);
    put16(file + 56, 0);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "without program headers");
    make_elf(file);
    boot_put64(file + ELF_NOTES + 36, 15 * MIB);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "entry point");
    make_elf(file);
    put_segment(file + 64, 1, ELF_TEXT, 0x8000, 4096, MIB);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "not one for a PC");
    visor_memory_free(guest.memory);
}

TEST(elf_with_numbers_that_lie_is_refused)
{
    static uint8_t file[ELF_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_elf(file);
    boot_put64(file + 32, UINT64_MAX - 8);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "program headers");
    make_elf(file);
    put_segment(file + 64, 1, UINT64_MAX - 100, 16 * MIB, 4096, MIB);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "past its end");
    make_elf(file);
    put_segment(file + 64, 1, ELF_TEXT, 16 * MIB, 4096, 4095);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "larger in the file");
    make_elf(file);
    put_segment(file + 64, 1, ELF_TEXT, UINT64_MAX - 4095, 4096, 4096);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_ELIMIT, "-m");
    make_elf(file);
    put_segment(file + 64, 1, ELF_TEXT, 16 * MIB, 4096, UINT64_MAX);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_ELIMIT, "-m");
    make_elf(file);
    boot_put32(file + ELF_NOTES, UINT32_MAX);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "PVH note");
    make_elf(file);
    boot_put32(file + ELF_NOTES + 24, UINT32_MAX);
    CHECK_REFUSED(&guest, load(&guest, file, ELF_SIZE), VISOR_EFORMAT, "PVH note");
    visor_memory_free(guest.memory);
}

TEST(elf_cut_anywhere_is_refused)
{
    static uint8_t file[ELF_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 32));
    make_elf(file);
    for (size_t size = 0; size < ELF_SIZE; size++) {
        uint8_t *cut = malloc(size != 0 ? size : 1);

        REQUIRE(cut != NULL);
        memcpy(cut, file, size);
        if (!CHECK_INT(load(&guest, cut, size), VISOR_EFORMAT))
            size = ELF_SIZE;
        free(cut);
    }
    visor_memory_free(guest.memory);
}

/* ---- files ---- */

TEST(files_are_told_by_their_looks)
{
    static const struct {
        size_t offset, length;
        const char *bytes, *looks;
    } cases[] = {
        {0x38, 4, "ARM\x64", "an arm64 Image"},
        {0x38, 4, "RSC\x05", "a riscv64 Image"},
        {0, 3, "\x1f\x8b\x08", "a gzip file"},
        {0, 6, "070701", "a cpio archive"},
        {0, 8, "ANDROID!", "an Android boot image"},
        {0, 4, "QFI\xfb", "a qcow2 disk image"},
        {0x438, 2, "\x53\xef", "an ext2/3/4 file system"},
        {510, 2, "\x55\xaa", "a disk image or boot sector"},
        {0, 2, "MZ", "an EFI or Windows program"},
        {0, 0, "", "all zeros"},
    };
    static uint8_t file[4096];
    struct guest guest;

    REQUIRE(guest_make(&guest, 8));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(file, 0, sizeof(file));
        memcpy(file + cases[i].offset, cases[i].bytes, cases[i].length);
        CHECK_REFUSED(&guest, load(&guest, file, sizeof(file)), VISOR_EFORMAT, cases[i].looks);
    }
    CHECK_REFUSED(&guest, load(&guest, "hello\n", 6), VISOR_EFORMAT, "a text file");
    CHECK_REFUSED(&guest, load(&guest, "\x01\x02", 2), VISOR_EFORMAT, "too short");
    visor_memory_free(guest.memory);
}

TEST(files_that_cannot_be_opened_say_why)
{
    static const char path[] = "boot_test.tmp";
    struct boot_image image = {0};
    struct guest guest = {0};
    FILE *file;

    CHECK_REFUSED(&guest, boot_image_open(&image, "/nonexistent/x", "kernel", &guest.error),
                  VISOR_ENOENT, "kernel '/nonexistent/x': No such file or directory");
    CHECK_REFUSED(&guest, boot_image_open(&image, "/", "initrd", &guest.error), VISOR_EFORMAT,
                  "initrd '/' is a directory");
    CHECK_REFUSED(&guest, boot_image_open(&image, HOST_DEVICE_FILE, "kernel", &guest.error),
                  VISOR_EFORMAT, "a device or a pipe");
    file = fopen(path, "wb");
    REQUIRE(file != NULL);
    CHECK_REFUSED(&guest, boot_image_open(&image, path, "kernel", &guest.error), VISOR_EFORMAT,
                  "is empty");
    CHECK(fwrite("abc", 1, 3, file) == 3 && fclose(file) == 0);
    CHECK_OK(boot_image_open(&image, path, "kernel", &guest.error));
    CHECK_INT(image.size, 3);
    CHECK(memcmp(image.data, "abc", 3) == 0);
    boot_image_close(&image);
    boot_image_close(&image);
    CHECK(remove(path) == 0);
}

UNIT_MAIN()
