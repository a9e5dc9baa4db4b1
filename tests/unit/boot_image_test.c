/* SPDX-License-Identifier: BSD-3-Clause */
/* Loaders of arm64 and riscv64 kernels. */
#include "unit.h"

#include <stdlib.h>

#include "boot/boot.h"

#define MIB  UINT64_C(0x100000)
#define BASE UINT64_C(0x80000000)

typedef int load_function(struct boot_dt_entry *out, const struct boot_image *kernel,
                          const struct boot_dt_config *config, vmm_error *error);

/* What a test loads into. */
struct guest {
    visor_memory *memory;
    struct boot_dt_config config;
    struct boot_dt_entry entry;
    vmm_error error;
};

static bool guest_make(struct guest *guest, uint64_t mib)
{
    const visor_memory_region region = {.gpa = BASE, .length = mib * MIB};

    *guest = (struct guest){0};
    if (!CHECK_OK(visor_memory_create(&guest->memory, &region, 1, NULL)))
        return false;
    guest->config = (struct boot_dt_config){
        .common = {.memory = guest->memory, .params = "console=ttyS0", .floor_gpa = BASE},
        .ceiling_gpa = BASE + (mib - 2) * MIB,
    };
    return true;
}

static int load(struct guest *guest, load_function *loader, const void *data, size_t size)
{
    const struct boot_image kernel = {.path = "kernel", .data = data, .size = size};

    guest->error.text[0] = '\0';
    return loader(&guest->entry, &kernel, &guest->config, &guest->error);
}

static uint64_t get(struct guest *guest, uint64_t gpa, size_t width)
{
    uint64_t value = 0;

    CHECK_OK(visor_memory_read(&value, guest->memory, gpa, width));
    return value;
}

/* The file was refused, with these words somewhere in the message. */
#define CHECK_REFUSED(message, result, code, words)                \
    do {                                                           \
        CHECK_INT(result, code);                                   \
        if (!CHECK(strstr((message).text, words) != NULL))         \
            printf("#   the message is \"%s\"\n", (message).text); \
    } while (0)

#define IMAGE_SIZE 4096
#define RUN_SIZE   (3 * MIB)

enum arch { ARM64, RISCV64 };
static load_function *const loaders[] = {boot_arm64_load, boot_riscv64_load};

/* A magic number: letters without a NUL. */
static void put_magic(uint8_t *at, const char *magic, size_t length)
{
    memcpy(at, magic, length);
}

/* An Image that is an EFI program with one section, its last 512 bytes, like those of Linux. */
static void make_image(uint8_t *file, enum arch arch)
{
    memset(file, 0, IMAGE_SIZE);
    memset(file + 512, 0x90, IMAGE_SIZE - 512);
    put_magic(file, "MZ", 2);
    boot_put64(file + 8, arch == ARM64 ? 0 : 0x200000);
    boot_put64(file + 16, RUN_SIZE);
    put_magic(file + 56, arch == ARM64 ? "ARMd" : "RSC\5", 4);
    boot_put32(file + 60, 64);
    put_magic(file + 64, "PE\0", 4);
    boot_put32(file + 64 + 4, (arch == ARM64 ? 0xaa64 : 0x5064) | 1 << 16);
    boot_put32(file + 64 + 20, 16);
    boot_put32(file + 64 + 40 + 16, 512);
    boot_put32(file + 64 + 40 + 20, IMAGE_SIZE - 512);
}

TEST(image_is_loaded_at_its_offset)
{
    static const uint64_t entries[] = {BASE, BASE + 2 * MIB};
    static uint8_t file[IMAGE_SIZE], bytes[5000];
    const struct boot_image initrd = {.path = "initrd", .data = bytes, .size = sizeof(bytes)};
    struct guest guest;

    memset(bytes, 0x77, sizeof(bytes));
    for (enum arch arch = ARM64; arch <= RISCV64; arch++) {
        REQUIRE(guest_make(&guest, 64));
        guest.config.common.initrd = &initrd;
        make_image(file, arch);
        REQUIRE_OK(load(&guest, loaders[arch], file, IMAGE_SIZE));
        CHECK_INT(guest.entry.entry, entries[arch]);
        CHECK_INT(get(&guest, entries[arch], 2), 0x5a4d);
        CHECK_INT(get(&guest, entries[arch] + IMAGE_SIZE - 1, 2), 0x90);
        CHECK_INT(guest.entry.initrd_gpa, BASE + 62 * MIB - 8192);
        CHECK_INT(get(&guest, guest.entry.initrd_gpa + 4999, 2), 0x77);

        guest.config.common.floor_gpa = BASE + 1;
        boot_put64(file + 8, 0x80000); /* arm64 before Linux 5.8 */
        REQUIRE_OK(load(&guest, loaders[arch], file, IMAGE_SIZE));
        CHECK_INT(guest.entry.entry, BASE + 2 * MIB + 0x80000);
        visor_memory_free(guest.memory);
    }
}

TEST(image_that_does_not_fit_says_what_it_needs)
{
    static uint8_t file[IMAGE_SIZE], bytes[MIB + 1];
    const struct boot_image initrd = {.path = "initrd", .data = bytes, .size = sizeof(bytes)};
    struct guest guest;

    REQUIRE(guest_make(&guest, 6)); /* 2 of them are above the ceiling */
    make_image(file, ARM64);
    CHECK_OK(load(&guest, boot_arm64_load, file, IMAGE_SIZE));
    guest.config.common.initrd = &initrd;
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_ELIMIT,
                  "initrd 'initrd' has 2 MiB, but there is room for 1 MiB");
    guest.config.common.initrd = NULL;
    make_image(file, RISCV64);
    CHECK_REFUSED(guest.error, load(&guest, boot_riscv64_load, file, IMAGE_SIZE), VISOR_ELIMIT,
                  "needs 3 MiB of memory, 2 MiB from its start");
    boot_put64(file + 8, UINT64_MAX - 4096);
    CHECK_REFUSED(guest.error, load(&guest, boot_riscv64_load, file, IMAGE_SIZE), VISOR_ELIMIT,
                  "-m");
    make_image(file, ARM64);
    boot_put64(file + 16, UINT64_MAX);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_ELIMIT, "-m");
    boot_put64(file + 16, 1); /* less than there is in the file */
    CHECK_OK(load(&guest, boot_arm64_load, file, IMAGE_SIZE));
    boot_put64(file + 16, 0);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "Linux 3.17");
    guest.config.ceiling_gpa = BASE;
    make_image(file, ARM64);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_ELIMIT, "-m");
    visor_memory_free(guest.memory);
}

TEST(image_cut_anywhere_is_refused)
{
    static uint8_t file[IMAGE_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 64));
    make_image(file, ARM64);
    for (size_t size = 0; size < IMAGE_SIZE; size++) {
        /* Its own block, so that a sanitizer sees a read past the end. */
        uint8_t *cut = malloc(size != 0 ? size : 1);

        REQUIRE(cut != NULL);
        memcpy(cut, file, size);
        if (!CHECK_INT(load(&guest, boot_arm64_load, cut, size), VISOR_EFORMAT))
            size = IMAGE_SIZE;
        free(cut);
    }
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE - 1), VISOR_EFORMAT,
                  "is cut off");
    /* A PE header that lies. */
    boot_put32(file + 60, UINT32_MAX);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "is cut off");
    make_image(file, ARM64);
    boot_put32(file + 64 + 4, 0xffffaa64);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "is cut off");
    /* Without EFI nothing tells. */
    make_image(file, ARM64);
    boot_put32(file, 0x14000010);
    CHECK_OK(load(&guest, boot_arm64_load, file, IMAGE_SIZE - 1));
    visor_memory_free(guest.memory);
}

TEST(kernels_of_another_architecture_are_told)
{
    static uint8_t file[IMAGE_SIZE];
    struct guest guest;

    REQUIRE(guest_make(&guest, 64));
    make_image(file, ARM64);
    CHECK_REFUSED(guest.error, load(&guest, boot_riscv64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "kernel 'kernel' is not a riscv64 Image: it is an arm64 Image (a kernel for "
                  "aarch64)");
    make_image(file, RISCV64);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "kernel 'kernel' is not an arm64 Image: it is a riscv64 Image (a kernel for "
                  "riscv64)");
    memset(file + 56, 0, 4);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "an EFI or Windows program for riscv64");
    boot_put32(file + 64 + 4, 0x8664);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "an EFI or Windows program for x86-64");
    boot_put32(file + 60, UINT32_MAX);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "an EFI or Windows program");
    put_magic(file + 0x202, "HdrS", 4);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "an x86 bzImage");
    memset(file, 0, sizeof(file));
    put_magic(file, "\177ELF\2\1\1", 7);
    boot_put32(file + 16, 2 | 62 << 16);
    CHECK_REFUSED(guest.error, load(&guest, boot_arm64_load, file, IMAGE_SIZE), VISOR_EFORMAT,
                  "an ELF program for x86-64");
    visor_memory_free(guest.memory);
}

TEST(command_line_has_the_architectures_limit)
{
    static const size_t limits[] = {2047, 1023};
    static uint8_t file[IMAGE_SIZE];
    char params[2100] = "";
    struct guest guest;

    REQUIRE(guest_make(&guest, 64));
    guest.config.common.params = params;
    for (enum arch arch = ARM64; arch <= RISCV64; arch++) {
        make_image(file, arch);
        memset(params, 0, sizeof(params));
        memset(params, 'x', limits[arch]);
        CHECK_OK(load(&guest, loaders[arch], file, IMAGE_SIZE));
        params[limits[arch]] = 'x';
        CHECK_REFUSED(guest.error, load(&guest, loaders[arch], file, IMAGE_SIZE), VISOR_ELIMIT,
                      "the kernel command line has");
    }
    visor_memory_free(guest.memory);
}

UNIT_MAIN()
