/* SPDX-License-Identifier: BSD-3-Clause */
/* The unpacking of kernels of all kinds. */
#include "unit.h"

#include <stdlib.h>

#include "pack.h"

#define MIB UINT64_C(0x100000)

/* The file was refused, with these words somewhere in the message. */
#define CHECK_REFUSED(message, result, code, words)                \
    do {                                                           \
        CHECK_INT(result, code);                                   \
        if (!CHECK(strstr((message).text, words) != NULL))         \
            printf("#   the message is \"%s\"\n", (message).text); \
    } while (0)

/* A magic number: letters without a NUL. */
static void put_magic(uint8_t *at, const char *magic, size_t length)
{
    memcpy(at, magic, length);
}

#define PLAIN_SIZE 300000

/* Not all the same, so that a mistake shows; well packed. */
static void make_plain(uint8_t *plain)
{
    for (size_t i = 0; i < PLAIN_SIZE; i++)
        plain[i] = (uint8_t)(i >> 6);
}

#define PACKED_MAX 262144
static uint8_t plain[PLAIN_SIZE], packed[PACKED_MAX];

static int unpack(struct boot_image *out, const void *data, size_t size, uint64_t limit,
                  vmm_error *error)
{
    const struct boot_image image = {.path = "kernel", .data = data, .size = size};

    *out = (struct boot_image){0};
    error->text[0] = '\0';
    return boot_unpack(out, &image, limit, error);
}

TEST(packed_kernels_are_unpacked)
{
    struct boot_image image;
    vmm_error error;
    size_t size;

    make_plain(plain);
    for (size_t i = 0; i < PACKINGS; i++) {
        size = packings[i].pack(packed, PACKED_MAX, plain, PLAIN_SIZE);
        REQUIRE(unpack(&image, packed, size, PLAIN_SIZE, &error) == 1);
        CHECK_INT(image.size, PLAIN_SIZE);
        CHECK(memcmp(image.data, plain, PLAIN_SIZE) == 0);
        CHECK_STR(image.packing, packings[i].name);
        CHECK_STR(image.path, "kernel");
        boot_image_close(&image);

        /* In two parts, with padding behind them. */
        size = packings[i].pack(packed, PACKED_MAX, plain, 1000);
        size += packings[i].pack(packed + size, PACKED_MAX - size, plain + 1000, PLAIN_SIZE - 1000);
        memset(packed + size, 0, 100);
        REQUIRE(unpack(&image, packed, size + 100, PLAIN_SIZE * 2, &error) == 1);
        CHECK_INT(image.size, PLAIN_SIZE);
        CHECK(memcmp(image.data, plain, PLAIN_SIZE) == 0);
        boot_image_close(&image);
    }
    CHECK_INT(unpack(&image, plain, PLAIN_SIZE, MIB, &error), 0);
    CHECK_INT(unpack(&image, plain, 0, MIB, &error), 0);
}

TEST(bombs_stop_at_the_limit)
{
    static uint8_t zeros[32 * MIB];
    struct boot_image image;
    vmm_error error;
    size_t size;

    for (size_t i = 0; i < PACKINGS; i++) {
        size = packings[i].pack(packed, PACKED_MAX, zeros, sizeof(zeros));
        CHECK_REFUSED(error, unpack(&image, packed, size, 4 * MIB, &error), VISOR_ELIMIT,
                      "has more than 4 MiB");
        CHECK(strstr(error.text, packings[i].name) != NULL);
        CHECK_INT(unpack(&image, packed, size, sizeof(zeros) - 1, &error), VISOR_ELIMIT);
        CHECK_INT(unpack(&image, packed, size, sizeof(zeros), &error), 1);
        boot_image_close(&image);
    }
}

TEST(packed_kernels_that_are_damaged_are_refused)
{
    struct boot_image image;
    vmm_error error;
    size_t size;

    make_plain(plain);
    for (size_t i = 0; i < PACKINGS; i++) {
        size = packings[i].pack(packed, PACKED_MAX, plain, PLAIN_SIZE);
        for (size_t cut = 6; cut < size; cut += cut < 100 || cut + 100 > size ? 1 : 97) {
            uint8_t *file = malloc(cut);

            REQUIRE(file != NULL);
            memcpy(file, packed, cut);
            CHECK_REFUSED(error, unpack(&image, file, cut, MIB, &error), VISOR_EFORMAT,
                          "is cut off");
            free(file);
        }
        packed[packings[i].damage != 0 ? packings[i].damage : size / 2] ^= 0x55;
        CHECK_REFUSED(error, unpack(&image, packed, size, MIB, &error), VISOR_EFORMAT,
                      "cannot be unpacked by");
        size = packings[i].pack(packed, PACKED_MAX, plain, 0);
        CHECK_REFUSED(error, unpack(&image, packed, size, MIB, &error), VISOR_EFORMAT,
                      "nothing in it");
    }
}

TEST(zboot_is_unpacked)
{
    enum { HEADER = 512 };
    struct boot_image image;
    vmm_error error;
    size_t size;

    make_plain(plain);
    for (size_t i = 0; i < PACKINGS; i++) {
        memset(packed, 0, HEADER);
        put_magic(packed, "MZ\0\0zimg", 8);
        put_magic(packed + 24, packings[i].name, strlen(packings[i].name));
        size = packings[i].pack(packed + HEADER, PACKED_MAX - HEADER, plain, PLAIN_SIZE);
        boot_put32(packed + 8, HEADER);
        boot_put32(packed + 12, (uint32_t)size);
        REQUIRE(unpack(&image, packed, HEADER + size, MIB, &error) == 1);
        CHECK_INT(image.size, PLAIN_SIZE);
        CHECK(memcmp(image.data, plain, PLAIN_SIZE) == 0);
        boot_image_close(&image);
        CHECK_REFUSED(error, unpack(&image, packed, HEADER + size - 1, MIB, &error), VISOR_EFORMAT,
                      "is cut off: it has");
    }
    boot_put32(packed + 8, UINT32_MAX);
    boot_put32(packed + 12, UINT32_MAX);
    CHECK_REFUSED(error, unpack(&image, packed, PACKED_MAX, MIB, &error), VISOR_EFORMAT,
                  "is cut off: it has");
    boot_put32(packed + 8, HEADER);
    boot_put32(packed + 12, 100);
    memset(packed + HEADER, 0, 100);
    put_magic(packed + 24, "lzo\0\0\0", 7);
    CHECK_REFUSED(error, unpack(&image, packed, PACKED_MAX, MIB, &error), VISOR_EFORMAT,
                  "unpacks itself by 'lzo'");
    memset(packed + 24, 0xff, 32);
    CHECK_REFUSED(error, unpack(&image, packed, PACKED_MAX, MIB, &error), VISOR_EFORMAT,
                  "unpacks itself by '???");
}

TEST(what_was_unpacked_is_told_by_its_looks)
{
    enum { SIZE = 4096 };
    const visor_memory_region region = {.gpa = 0x80000000, .length = 64 * MIB};
    struct boot_image whole = {.path = "kernel", .data = packed}, image;
    struct boot_dt_config config = {
        .common = {.params = "", .floor_gpa = region.gpa},
        .ceiling_gpa = region.gpa + region.length,
    };
    static uint8_t file[SIZE];
    struct boot_dt_entry entry;
    visor_memory *memory;
    vmm_error error;

    /* The header of a riscv64 Image: where it goes, its size there, its magic number. */
    boot_put64(file + 8, 0x200000);
    boot_put64(file + 16, 3 * MIB);
    put_magic(file + 56, "RSC\5", 4);
    whole.size = pack_zstd(packed, PACKED_MAX, file, SIZE);
    REQUIRE_OK(visor_memory_create(&memory, &region, 1, NULL));
    config.common.memory = memory;
    REQUIRE(boot_unpack(&image, &whole, MIB, &error) == 1);
    CHECK_REFUSED(error, boot_arm64_load(&entry, &image, &config, &error), VISOR_EFORMAT,
                  "it is a riscv64 Image (a kernel for riscv64), packed by zstd");
    CHECK_OK(boot_riscv64_load(&entry, &image, &config, &error));
    boot_image_close(&image);
    visor_memory_free(memory);
}

UNIT_MAIN()
