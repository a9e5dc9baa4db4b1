/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel proper taken out of a bzImage: unpacked, moved, adjusted, and told so. */
#include "unit.h"

#include <stdlib.h>

#include "boot/elf.h"
#include "pack.h"

#define MIB       UINT64_C(0x100000)
#define INFO      0x7000
#define LINE      0x20000
#define FLOOR     0x100000
#define PREFERRED (16 * MIB)
#define RUN_SIZE  (4 * MIB)
#define VIRTUAL   UINT64_C(0xffffffff81000000)

/* Offsets into the kernel's one segment of what is adjusted, and what is there. */
#define AT64     0x800
#define AT32     0x900
#define MINUS32  0xa00
#define ENTRY    0x40
#define ELF_TEXT 0x1000
#define ELF_SIZE 0x2000 /* without tables of relocations */
#define ELF_MAX  (ELF_SIZE + 64)
#define BZ_SETUP 1024
#define BZ_MAX   65536

struct rig {
    visor_memory *memory;
    struct boot_x86_config config;
    struct boot_x86_entry entry;
    vmm_error error;
    uint8_t elf[ELF_MAX], file[BZ_MAX];
    size_t elf_size, size, packed_at, packed_size;
};

static void put16(uint8_t *at, unsigned int value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void make_elf(struct rig *rig)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint8_t *elf = rig->elf;

    memset(elf, 0, ELF_MAX);
    memcpy(elf, magic, sizeof(magic));
    put16(elf + 16, 2);
    put16(elf + 18, 62);
    boot_put64(elf + 24, PREFERRED + ENTRY);
    boot_put64(elf + 32, 64);
    put16(elf + 54, 56);
    put16(elf + 56, 1);
    boot_put32(elf + 64, 1);
    boot_put64(elf + 72, ELF_TEXT);
    boot_put64(elf + 80, VIRTUAL);
    boot_put64(elf + 88, PREFERRED);
    boot_put64(elf + 96, 0x1000);
    boot_put64(elf + 104, 0x3000);
    for (size_t i = 0; i < 0x1000; i++)
        elf[ELF_TEXT + i] = (uint8_t)(i * 7);
    boot_put64(elf + ELF_TEXT + AT64, VIRTUAL + 0x123);
    boot_put32(elf + ELF_TEXT + AT32, (uint32_t)VIRTUAL + 0x456);
    boot_put32(elf + ELF_TEXT + MINUS32, 0x789);
    rig->elf_size = ELF_SIZE;
}

/* `tables`: 3 as before Linux 6.15, 2 as since then. */
static void add_relocations(struct rig *rig, int tables)
{
    uint32_t words[6] = {0, (uint32_t)VIRTUAL + AT64, 0, (uint32_t)VIRTUAL + MINUS32,
                         0, (uint32_t)VIRTUAL + AT32};
    size_t skipped = tables == 2 ? 2 : 0;

    for (size_t i = 0; i < 6; i++) {
        if (i != 2 || skipped == 0) {
            if (i == 3 && skipped != 0)
                continue;
            boot_put32(rig->elf + rig->elf_size, words[i]);
            rig->elf_size += 4;
        }
    }
}

static void make_bzimage(struct rig *rig, size_t packing)
{
    uint8_t *file = rig->file, *payload = file + BZ_SETUP + 512;
    size_t size = packings[packing].pack(payload, BZ_MAX / 2, rig->elf, rig->elf_size);

    CHECK(size != 0);
    rig->packed_at = BZ_SETUP + 512;
    rig->packed_size = size;
    if (packings[packing].appended) {
        boot_put32(payload + size, (uint32_t)rig->elf_size);
        size += 4;
    }
    memset(file, 0, BZ_SETUP + 512);
    memset(payload + size, 0, 512);
    rig->size = (BZ_SETUP + 512 + size + 512) & ~15ull;
    file[0x1f1] = 1;
    boot_put32(file + 0x1f4, (uint32_t)(rig->size - BZ_SETUP) / 16);
    put16(file + 0x1fe, 0xaa55);
    put16(file + 0x200, 0x6aeb);
    boot_put32(file + 0x202, 0x53726448);
    put16(file + 0x206, 0x020f);
    file[0x211] = 1;
    boot_put32(file + 0x22c, 0x7fffffff);
    boot_put32(file + 0x230, 0x200000);
    file[0x234] = 1;
    put16(file + 0x236, 3);
    boot_put32(file + 0x238, 2047);
    boot_put32(file + 0x248, 512);
    boot_put32(file + 0x24c, (uint32_t)size);
    boot_put64(file + 0x258, PREFERRED);
    boot_put32(file + 0x260, RUN_SIZE);
}

static bool rig_make(struct rig *rig, uint64_t mib, const char *params)
{
    static const struct boot_range map[] = {{0, 0xa0000, BOOT_RANGE_RAM}};
    const visor_memory_region region = {.length = mib * MIB};

    rig->memory = NULL;
    if (!CHECK_OK(visor_memory_create(&rig->memory, &region, 1, NULL)))
        return false;
    rig->config = (struct boot_x86_config){
        .common = {.memory = rig->memory, .params = params, .floor_gpa = FLOOR},
        .unpack = BOOT_UNPACK_HOST,
        .map = map,
        .map_count = 1,
        .info_gpa = INFO,
        .params_gpa = LINE,
    };
    make_elf(rig);
    return true;
}

static int load(struct rig *rig)
{
    const struct boot_image kernel = {.path = "kernel", .data = rig->file, .size = rig->size};

    rig->error.text[0] = '\0';
    return boot_x86_load(&rig->entry, &kernel, &rig->config, &rig->error);
}

static uint64_t get(const struct rig *rig, uint64_t gpa, size_t width)
{
    uint64_t value = 0;

    CHECK_OK(visor_memory_read(&value, rig->memory, gpa, width));
    return value;
}

#define CHECK_REFUSED(rig, code, words)                               \
    do {                                                              \
        CHECK_INT(load(rig), code);                                   \
        if (!CHECK(strstr((rig)->error.text, words) != NULL))         \
            printf("#   the message is \"%s\"\n", (rig)->error.text); \
    } while (0)

static struct rig rig;

TEST(kernel_proper_is_entered_directly)
{
    for (size_t i = 0; i < PACKINGS; i++) {
        REQUIRE(rig_make(&rig, 32, "quiet"));
        make_bzimage(&rig, i);
        if (!CHECK_OK(load(&rig)))
            printf("#   %s: %s\n", packings[i].name, rig.error.text);
        CHECK_INT(rig.entry.protocol, BOOT_X86_LINUX64);
        CHECK_INT(rig.entry.entry, PREFERRED + ENTRY);
        CHECK_INT(rig.entry.info, INFO);
        CHECK_INT(get(&rig, PREFERRED + 1, 1), 7);
        CHECK_INT(get(&rig, PREFERRED + AT64, 8), VIRTUAL + 0x123);
        CHECK_INT(get(&rig, INFO + 0x211, 1), 1); /* not randomized */
        CHECK_INT(get(&rig, INFO + 0x202, 4), 0x53726448);
        visor_memory_free(rig.memory);
    }
}

/* The payload itself, unpacked. */
TEST(kernel_that_is_not_packed_is_entered_directly)
{
    REQUIRE(rig_make(&rig, 32, "quiet"));
    make_bzimage(&rig, 0);
    memcpy(rig.file + rig.packed_at, rig.elf, rig.elf_size);
    rig.size = rig.packed_at + rig.elf_size;
    boot_put32(rig.file + 0x1f4, (uint32_t)(rig.size - BZ_SETUP) / 16);
    boot_put32(rig.file + 0x24c, (uint32_t)rig.elf_size);
    REQUIRE_OK(load(&rig));
    CHECK_INT(rig.entry.entry, PREFERRED + ENTRY);
    CHECK_INT(get(&rig, PREFERRED + 1, 1), 7);
    visor_memory_free(rig.memory);
}

TEST(random_addresses_are_chosen_and_adjusted_to)
{
    uint64_t first = 0, base, delta;
    bool differ = false, moved = false;

    for (int tables = 2; tables <= 3; tables++) {
        for (int round = 0; round < 20; round++) {
            REQUIRE(rig_make(&rig, 64, "quiet nokaslrx x=nokaslr"));
            add_relocations(&rig, tables);
            make_bzimage(&rig, 1);
            REQUIRE_OK(load(&rig));
            base = rig.entry.entry - ENTRY;
            delta = get(&rig, base + AT64, 8) - (VIRTUAL + 0x123);
            CHECK_INT(base % 0x200000, 0);
            CHECK(base >= PREFERRED && base + RUN_SIZE <= 64 * MIB);
            CHECK_INT(delta % 0x200000, 0);
            CHECK(delta <= 0x40000000 - PREFERRED - RUN_SIZE);
            CHECK_INT(get(&rig, base + AT32, 4), (uint32_t)(VIRTUAL + 0x456 + delta));
            CHECK_INT(get(&rig, base + MINUS32, 4), (uint32_t)(0x789 - (tables == 3 ? delta : 0)));
            CHECK_INT(get(&rig, INFO + 0x211, 1), 3); /* with KASLR_FLAG */
            moved |= base != PREFERRED;
            if (round == 0)
                first = delta;
            differ |= delta != first;
            visor_memory_free(rig.memory);
        }
    }
    CHECK(differ);
    CHECK(moved);
}

TEST(random_addresses_leave_room_for_the_initrd)
{
    static uint8_t bytes[40 * MIB];
    const struct boot_image initrd = {.path = "initrd", .data = bytes, .size = sizeof(bytes)};

    for (int round = 0; round < 20; round++) {
        REQUIRE(rig_make(&rig, 64, ""));
        rig.config.common.initrd = &initrd;
        add_relocations(&rig, 3);
        make_bzimage(&rig, 1);
        REQUIRE_OK(load(&rig));
        CHECK(rig.entry.entry - ENTRY + RUN_SIZE <= get(&rig, INFO + 0x218, 4));
        CHECK_INT(get(&rig, INFO + 0x218, 4), 24 * MIB);
        visor_memory_free(rig.memory);
    }
}

TEST(command_line_forbids_random_addresses)
{
    for (int round = 0; round < 5; round++) {
        REQUIRE(rig_make(&rig, 64, "quiet nokaslr x"));
        add_relocations(&rig, 3);
        make_bzimage(&rig, 1);
        REQUIRE_OK(load(&rig));
        CHECK_INT(rig.entry.entry, PREFERRED + ENTRY);
        CHECK_INT(get(&rig, PREFERRED + AT64, 8), VIRTUAL + 0x123);
        CHECK_INT(get(&rig, INFO + 0x211, 1), 1);
        visor_memory_free(rig.memory);

        REQUIRE(rig_make(&rig, 64, "mem=32M"));
        add_relocations(&rig, 3);
        make_bzimage(&rig, 1);
        REQUIRE_OK(load(&rig));
        CHECK_INT(rig.entry.entry, PREFERRED + ENTRY);
        CHECK_INT(get(&rig, INFO + 0x211, 1), 3);
        visor_memory_free(rig.memory);
    }
}

/* In each case the kernel's own loader may still do it. */
TEST(what_only_the_guest_can_unpack_is_left_to_it)
{
    static const struct {
        const char *words;
        size_t at;
        uint32_t value;
        bool in_elf;
    } cases[] = {
        {"does not tell where", 0x248, UINT32_MAX, false},
        {"does not tell where", 0x24c, UINT32_MAX, false},
        {"does not tell where", 0x24c, 7, false},
        {"too short to be a kernel", BZ_SETUP + 512, 0x4f5a4c89 + 1, false},
        {"an lzop file", BZ_SETUP + 512, 0x4f5a4c89, false},
        {"not laid out", 0x258, PREFERRED + 0x200000, false},
        {"not laid out", 0x260, 0x1000, false},
        {"not laid out", 24, PREFERRED - 1, true},
        {"not laid out", 88, PREFERRED - 1, true},
        {"not laid out", 108, 1, true},
        {"one for x86-64 is needed", 18, 183 | 1 << 16, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        REQUIRE(rig_make(&rig, 64, ""));
        if (cases[i].in_elf)
            boot_put32(rig.elf + cases[i].at, cases[i].value);
        make_bzimage(&rig, 1);
        if (!cases[i].in_elf)
            boot_put32(rig.file + cases[i].at, cases[i].value);
        if (strstr(cases[i].words, "too short") != NULL)
            memset(rig.file + BZ_SETUP + 512, 0xee, 1000);
        CHECK_REFUSED(&rig, VISOR_EFORMAT, cases[i].words);
        CHECK(strstr(rig.error.text, "--decompress guest") != NULL);
        rig.config.unpack = BOOT_UNPACK_AUTO;
        CHECK_OK(load(&rig));
        CHECK_INT((rig.entry.entry - 0x200) % 0x200000, 0);
        visor_memory_free(rig.memory);
    }
    /* A table that does not begin with a 0. */
    REQUIRE(rig_make(&rig, 64, ""));
    boot_put32(rig.elf + rig.elf_size, 1);
    rig.elf_size += 4;
    make_bzimage(&rig, 1);
    CHECK_REFUSED(&rig, VISOR_EFORMAT, "not laid out");
    visor_memory_free(rig.memory);
}

TEST(guest_unpacks_if_asked_to)
{
    REQUIRE(rig_make(&rig, 64, ""));
    make_bzimage(&rig, 1);
    rig.config.unpack = BOOT_UNPACK_GUEST;
    REQUIRE_OK(load(&rig));
    CHECK_INT(rig.entry.entry, PREFERRED + 0x200);
    visor_memory_free(rig.memory);
}

TEST(damaged_payloads_are_refused)
{
    for (size_t i = 0; i < PACKINGS; i++) {
        REQUIRE(rig_make(&rig, 64, ""));
        rig.config.unpack = BOOT_UNPACK_AUTO;
        make_bzimage(&rig, i);
        /* The unpacked size is wrong. */
        boot_put32(rig.file + rig.packed_at + boot_get32(rig.file + 0x24c) - 4, 0x12345);
        CHECK_REFUSED(&rig, VISOR_EFORMAT, "cannot be unpacked by");
        make_bzimage(&rig, i);
        rig.file[rig.packed_at +
                 (packings[i].damage != 0 ? packings[i].damage : rig.packed_size / 2)] ^= 0x55;
        CHECK_REFUSED(&rig, VISOR_EFORMAT, "cannot be unpacked by");
        make_bzimage(&rig, i);
        boot_put32(rig.file + 0x24c, (uint32_t)rig.packed_size - 20);
        CHECK_REFUSED(&rig, VISOR_EFORMAT, "is cut off");
        visor_memory_free(rig.memory);
    }
}

TEST(adjustments_outside_of_the_kernel_are_refused)
{
    static const uint32_t bad[] = {0x7fffffff, (uint32_t)VIRTUAL - 1, (uint32_t)VIRTUAL + 0x2ff9,
                                   0xffffffff};
    int refused;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refused = 0;
        for (int round = 0; round < 8; round++) { /* it may be left where it is */
            REQUIRE(rig_make(&rig, 64, ""));
            add_relocations(&rig, 3);
            boot_put32(rig.elf + ELF_SIZE + 4, bad[i]);
            make_bzimage(&rig, 1);
            if (load(&rig) != 0)
                refused += strstr(rig.error.text, "adjusted outside of itself") != NULL;
            visor_memory_free(rig.memory);
        }
        CHECK(refused > 0);
    }
}

TEST(too_little_memory_says_how_much_is_needed)
{
    REQUIRE(rig_make(&rig, 18, ""));
    make_bzimage(&rig, 1);
    CHECK_REFUSED(&rig, VISOR_ELIMIT, "needs 4 MiB of memory from address 16 MiB on");
    visor_memory_free(rig.memory);
}

UNIT_MAIN()
