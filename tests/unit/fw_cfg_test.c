/* SPDX-License-Identifier: BSD-3-Clause */
/* The firmware configuration device as the guest sees it: ports, directory, DMA. */
#include "unit.h"

#include "devices/fw_cfg.h"
#include "fake_host.h"

#define DATA 0x511
#define AT   0x1000 /* of the DMA request */

struct rig {
    fake_host fake;
    visor_memory *memory;
    fw_cfg *device;
};

static bool rig_make(struct rig *rig)
{
    const visor_memory_region region = {.length = 0x10000};

    if (!CHECK_OK(visor_memory_create(&rig->memory, &region, 1, NULL)))
        return false;
    fake_init(&rig->fake, rig->memory);
    return CHECK_OK(fw_cfg_create(&rig->device, &rig->fake.host, NULL));
}

static void rig_free(struct rig *rig)
{
    fw_cfg_free(rig->device);
    visor_memory_free(rig->memory);
}

static void select_item(struct rig *rig, unsigned int key)
{
    fake_access(&rig->fake, VISOR_PIO, 0x510, 2, true, key);
}

static uint64_t read_big(struct rig *rig, unsigned int width)
{
    uint64_t value = 0;

    while (width-- > 0)
        value = value << 8 | in8(&rig->fake, DATA);
    return value;
}

static uint32_t swap(uint32_t value)
{
    return __builtin_bswap32(value);
}

/* Returns the control word afterwards. */
static uint32_t dma(struct rig *rig, uint32_t control, uint32_t length, uint64_t address)
{
    const uint32_t request[4] = {swap(control), swap(length), swap((uint32_t)(address >> 32)),
                                 swap((uint32_t)address)};
    uint32_t answer = 0;

    CHECK_OK(visor_memory_write(rig->memory, AT, request, sizeof(request)));
    fake_access(&rig->fake, VISOR_PIO, 0x514, 4, true, 0);
    fake_access(&rig->fake, VISOR_PIO, 0x518, 4, true, swap(AT));
    CHECK_OK(visor_memory_read(&answer, rig->memory, AT, sizeof(answer)));
    return swap(answer);
}

TEST(items_are_read_byte_by_byte)
{
    struct rig rig;

    REQUIRE(rig_make(&rig));
    CHECK_OK(fw_cfg_add_number(rig.device, FW_CFG_CPUS, 0x1234, 2, NULL));
    CHECK_OK(fw_cfg_add(rig.device, 0x11, "abcX", 3, NULL));
    CHECK_INT(read_big(&rig, 4), 0x51454d55); /* "QEMU" is selected at first */
    select_item(&rig, FW_CFG_CPUS);
    CHECK_INT(in8(&rig.fake, DATA), 0x34);
    CHECK_INT(in8(&rig.fake, DATA), 0x12);
    CHECK_INT(in8(&rig.fake, DATA), 0);
    select_item(&rig, 0x11);
    CHECK_INT(read_big(&rig, 4), 0x61626300);
    select_item(&rig, 0x11); /* begins anew */
    CHECK_INT(read_big(&rig, 1), 'a');
    select_item(&rig, 0x7777);
    CHECK_INT(read_big(&rig, 2), 0);
    select_item(&rig, 1);
    CHECK_INT(in8(&rig.fake, DATA), 3);
    rig_free(&rig);
}

TEST(files_are_in_the_directory)
{
    struct rig rig;
    char name[56];

    REQUIRE(rig_make(&rig));
    CHECK_OK(fw_cfg_add_file(rig.device, "etc/one", "first", 5, NULL));
    CHECK_OK(fw_cfg_add_file_number(rig.device, "etc/two", 0x5678, 2, NULL));
    select_item(&rig, 0x19);
    CHECK_INT(read_big(&rig, 4), 2);
    CHECK_INT(read_big(&rig, 4), 5);
    CHECK_INT(read_big(&rig, 2), 0x20);
    CHECK_INT(read_big(&rig, 2), 0);
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = (char)in8(&rig.fake, DATA);
    CHECK_STR(name, "etc/one");
    CHECK_INT(read_big(&rig, 4), 2);
    CHECK_INT(read_big(&rig, 2), 0x21);
    select_item(&rig, 0x20);
    CHECK_INT(read_big(&rig, 5), 0x6669727374);
    select_item(&rig, 0x21);
    CHECK_INT(read_big(&rig, 2), 0x7856);
    rig_free(&rig);
}

TEST(room_is_limited)
{
    char name[64];
    struct rig rig;

    REQUIRE(rig_make(&rig));
    memset(name, 'x', sizeof(name));
    name[56] = '\0';
    CHECK_INT(fw_cfg_add_file(rig.device, name, "", 0, NULL), VISOR_ELIMIT);
    name[55] = '\0';
    for (int i = 0; i < 16; i++)
        CHECK_OK(fw_cfg_add_file(rig.device, name, "", 0, NULL));
    CHECK_INT(fw_cfg_add_file(rig.device, name, "", 0, NULL), VISOR_ELIMIT);
    while (fw_cfg_add(rig.device, 0x8000, "", 0, NULL) == 0)
        continue;
    CHECK_INT(fw_cfg_add_number(rig.device, 0x8000, 1, 4, NULL), VISOR_ELIMIT);
    rig_free(&rig);
}

TEST(dma_reads_skips_and_selects)
{
    char text[8] = "xxxxxxx";
    struct rig rig;

    REQUIRE(rig_make(&rig));
    CHECK_OK(fw_cfg_add(rig.device, 0x8000, "0123456789", 10, NULL));
    CHECK_INT(fake_access(&rig.fake, VISOR_PIO, 0x514, 4, false, 0), 0x554d4551);
    CHECK_INT(fake_access(&rig.fake, VISOR_PIO, 0x518, 4, false, 0), 0x47464320);
    CHECK_INT(dma(&rig, 0x80000000 | 8 | 2, 3, 0x2000), 0);
    CHECK_OK(visor_memory_read(text, rig.memory, 0x2000, 4));
    CHECK(memcmp(text, "012", 4) == 0);
    CHECK_INT(dma(&rig, 4, 4, 0), 0);
    CHECK_INT(dma(&rig, 2, 7, 0x2000), 0);
    CHECK_OK(visor_memory_read(text, rig.memory, 0x2000, 7));
    CHECK(memcmp(text, "789\0\0\0\0", 7) == 0);
    rig_free(&rig);
}

TEST(dma_that_is_wrong_is_an_error_and_nothing_else)
{
    struct rig rig;

    REQUIRE(rig_make(&rig));
    CHECK_OK(fw_cfg_add(rig.device, 0x8000, "0123456789", 10, NULL));
    CHECK_INT(dma(&rig, 0x80000000 | 8 | 2, 10, 0xfffff000), 1);
    CHECK_INT(dma(&rig, 0x80000000 | 8 | 2, UINT32_MAX, 0x2000), 1);
    CHECK_INT(dma(&rig, 0x80000000 | 8 | 2, UINT32_MAX, UINT64_MAX - 5), 1);
    CHECK_INT(dma(&rig, 0x80000000 | 8 | 16, 10, 0x2000), 1); /* nothing can be written */
    CHECK_INT(dma(&rig, 4, UINT32_MAX, 0), 0);
    CHECK_INT(dma(&rig, 2, 4, 0x2000), 0);
    /* A request that is nowhere. */
    fake_access(&rig.fake, VISOR_PIO, 0x514, 4, true, UINT32_MAX);
    fake_access(&rig.fake, VISOR_PIO, 0x518, 4, true, UINT32_MAX);
    for (uint16_t port = 0x510; port < 0x51c; port++) {
        for (uint32_t length = 1; length <= 4; length *= 2) {
            fake_access(&rig.fake, VISOR_PIO, port, length, false, 0);
            fake_access(&rig.fake, VISOR_PIO, port, length, true, UINT32_MAX);
        }
    }
    rig_free(&rig);
}

UNIT_MAIN()
