/* SPDX-License-Identifier: BSD-3-Clause */
/* Multiboot kernels: what they are told, and the files that only look like one. */
#include "unit.h"

#include <stdlib.h>

#include "boot/boot.h"

#define MIB       UINT64_C(0x100000)
#define INFO      0x7000
#define LINE      0x20000
#define FLAT_SIZE 0x1000
#define HEADER    64

static const struct boot_range map[] = {
    {0, 0xa0000, BOOT_RANGE_RAM},
    {0x100000, 15 * MIB, BOOT_RANGE_RAM},
};

struct rig {
    visor_memory *memory;
    struct boot_x86_config config;
    struct boot_x86_entry entry;
    vmm_error error;
    uint8_t file[FLAT_SIZE];
};

static void put_header(uint8_t *at, uint32_t flags)
{
    boot_put32(at, 0x1badb002);
    boot_put32(at + 4, flags);
    boot_put32(at + 8, -(0x1badb002 + flags));
}

/* Loaded whole at 2 MiB, with 64 KiB of zeros behind it. */
static void make_flat(struct rig *rig)
{
    memset(rig->file, 0x90, FLAT_SIZE);
    put_header(rig->file + HEADER, 0x10003);
    boot_put32(rig->file + HEADER + 12, 2 * MIB + HEADER);
    boot_put32(rig->file + HEADER + 16, 2 * MIB);
    boot_put32(rig->file + HEADER + 20, 2 * MIB + FLAT_SIZE);
    boot_put32(rig->file + HEADER + 24, 2 * MIB + 0x10000);
    boot_put32(rig->file + HEADER + 28, 2 * MIB + 0x123);
}

static bool rig_make(struct rig *rig)
{
    const visor_memory_region region = {.length = 16 * MIB};

    *rig = (struct rig){0};
    if (!CHECK_OK(visor_memory_create(&rig->memory, &region, 1, NULL)))
        return false;
    rig->config = (struct boot_x86_config){
        .common = {.memory = rig->memory, .params = "for Linux", .floor_gpa = 0x100000},
        .plain_params = "plain",
        .map = map,
        .map_count = 2,
        .info_gpa = INFO,
        .params_gpa = LINE,
    };
    make_flat(rig);
    return true;
}

static int load(struct rig *rig, size_t size)
{
    /* Its own block, so that a sanitizer sees a read past the end. */
    uint8_t *data = malloc(size != 0 ? size : 1);
    struct boot_image kernel = {.path = "kernel", .data = data, .size = size};
    int code = VISOR_ENOMEM;

    rig->error.text[0] = '\0';
    if (CHECK(data != NULL)) {
        memcpy(data, rig->file, size);
        code = boot_x86_load(&rig->entry, &kernel, &rig->config, &rig->error);
    }
    free(data);
    return code;
}

static uint64_t get(const struct rig *rig, uint64_t gpa, size_t width)
{
    uint64_t value = 0;

    CHECK_OK(visor_memory_read(&value, rig->memory, gpa, width));
    return value;
}

static bool has_text(const struct rig *rig, uint64_t gpa, const char *text)
{
    char there[64] = "";

    CHECK_OK(visor_memory_read(there, rig->memory, gpa, sizeof(there) - 1));
    return CHECK_STR(there, text);
}

#define CHECK_REFUSED(rig, size, code, words)                         \
    do {                                                              \
        CHECK_INT(load(rig, size), code);                             \
        if (!CHECK(strstr((rig)->error.text, words) != NULL))         \
            printf("#   the message is \"%s\"\n", (rig)->error.text); \
    } while (0)

TEST(kernel_is_told_of_command_line_memory_and_modules)
{
    static const struct boot_module modules[] = {
        {{.path = "one", .data = (const uint8_t *)"11111", .size = 5}, "a b"},
        {{.path = "two", .data = (const uint8_t *)"2222", .size = 4}, ""},
    };
    struct rig rig;
    uint64_t at, ranges;

    REQUIRE(rig_make(&rig));
    rig.config.modules = modules;
    rig.config.module_count = 2;
    REQUIRE_OK(load(&rig, FLAT_SIZE));
    CHECK_INT(rig.entry.protocol, BOOT_X86_MULTIBOOT);
    CHECK_INT(rig.entry.entry, 2 * MIB + 0x123);
    CHECK_INT(get(&rig, 2 * MIB + FLAT_SIZE - 1, 2), 0x90);
    CHECK_INT(get(&rig, INFO, 4), 0x24d);
    CHECK_INT(get(&rig, INFO + 4, 4), 640);
    CHECK_INT(get(&rig, INFO + 8, 4), 15 * 1024);
    has_text(&rig, get(&rig, INFO + 16, 4), "kernel plain");
    has_text(&rig, get(&rig, INFO + 64, 4), "visor");
    CHECK_INT(get(&rig, INFO + 20, 4), 2);
    at = get(&rig, INFO + 24, 4);
    CHECK_INT(get(&rig, at, 4), 2 * MIB + 0x10000);
    CHECK_INT(get(&rig, at + 4, 4), 2 * MIB + 0x10005);
    has_text(&rig, get(&rig, at + 8, 4), "one a b");
    CHECK_INT(get(&rig, at + 16, 4), 2 * MIB + 0x11000);
    CHECK_INT(get(&rig, get(&rig, at + 16, 4), 4), 0x32323232);
    has_text(&rig, get(&rig, at + 24, 4), "two");
    CHECK_INT(get(&rig, INFO + 44, 4), 48);
    ranges = get(&rig, INFO + 48, 4);
    CHECK_INT(get(&rig, ranges + 24, 4), 20);
    CHECK_INT(get(&rig, ranges + 28, 8), 0x100000);
    CHECK_INT(get(&rig, ranges + 36, 8), 15 * MIB);
    CHECK_INT(get(&rig, ranges + 44, 4), 1);
    visor_memory_free(rig.memory);
}

TEST(header_is_found_where_it_may_be)
{
    struct boot_image image = {.path = "kernel"};
    static uint8_t file[8192 + 12];
    size_t offset = 0;

    image.data = file;
    image.size = sizeof(file);
    put_header(file + 8192 - 12, 0);
    CHECK(boot_multiboot_find(&offset, &image));
    CHECK_INT(offset, 8192 - 12);
    memset(file, 0, sizeof(file));
    put_header(file + 8192 - 8, 0); /* not wholly within 8 KiB */
    CHECK(!boot_multiboot_find(&offset, &image));
    memset(file, 0, sizeof(file));
    put_header(file + 2, 0); /* not aligned */
    CHECK(!boot_multiboot_find(&offset, &image));
    put_header(file + 4, 0);
    file[12]++; /* a wrong sum */
    CHECK(!boot_multiboot_find(&offset, &image));
}

TEST(wishes_that_cannot_be_met_are_told)
{
    struct rig rig;

    REQUIRE(rig_make(&rig));
    put_header(rig.file + HEADER, 0x10004);
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_EUNSUPPORTED, "wants a video mode");
    put_header(rig.file + HEADER, 0x10080);
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_EUNSUPPORTED, "flags 0x10080");
    put_header(rig.file + HEADER, 0x3);
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_EFORMAT, "one for 32-bit x86 is needed");
    put_header(rig.file + HEADER, 0xfff10003); /* wishes that may be ignored */
    CHECK_OK(load(&rig, FLAT_SIZE));
    visor_memory_free(rig.memory);
}

TEST(addresses_that_lie_are_refused)
{
    static const struct {
        size_t field;
        uint32_t value;
        int code;
        const char *words;
    } cases[] = {
        {12, 2 * MIB + HEADER + 4, VISOR_EFORMAT, "lies about its own address"},
        {12, 2 * MIB - 4, VISOR_EFORMAT, "lies about its own address"},
        {16, 0x8000, VISOR_EFORMAT, "lies about its own address"},
        {20, 2 * MIB + FLAT_SIZE + 1, VISOR_EFORMAT, "is cut off"},
        {20, 2 * MIB - 1, VISOR_EFORMAT, "is cut off"},
        {24, UINT32_MAX, VISOR_ELIMIT, "give the guest more (-m)"},
        {28, 2 * MIB + FLAT_SIZE, VISOR_EFORMAT, "is outside of it"},
        {28, 2 * MIB - 1, VISOR_EFORMAT, "is outside of it"},
    };
    struct rig rig;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        REQUIRE(rig_make(&rig));
        boot_put32(rig.file + HEADER + cases[i].field, cases[i].value);
        CHECK_REFUSED(&rig, FLAT_SIZE, cases[i].code, cases[i].words);
        visor_memory_free(rig.memory);
    }
    REQUIRE(rig_make(&rig));
    boot_put32(rig.file + HEADER + 12, 0x80000 + HEADER);
    boot_put32(rig.file + HEADER + 16, 0x80000);
    boot_put32(rig.file + HEADER + 20, 0);
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_EFORMAT, "wants to be loaded at 0x80000");
    for (size_t size = 0; size < FLAT_SIZE; size++) {
        make_flat(&rig);
        if (!CHECK(load(&rig, size) < 0))
            break;
    }
    visor_memory_free(rig.memory);
}

TEST(modules_that_do_not_fit_are_told)
{
    static uint8_t bytes[14 * MIB];
    static char text[0x8000];
    struct boot_module module = {{.path = "big", .data = bytes, .size = sizeof(bytes)}, ""};
    struct rig rig;

    REQUIRE(rig_make(&rig));
    rig.config.modules = &module;
    rig.config.module_count = 1;
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_ELIMIT, "module 'big' does not fit");
    module.image.size = 5;
    memset(text, 'x', sizeof(text) - 1);
    module.params = text;
    CHECK_REFUSED(&rig, FLAT_SIZE, VISOR_ELIMIT, "more than 32768 characters");
    visor_memory_free(rig.memory);
}

UNIT_MAIN()
