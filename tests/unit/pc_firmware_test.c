/* SPDX-License-Identifier: BSD-3-Clause */
/* What firmware on a PC is told, put together as firmware would: the ACPI tables at addresses of
 * its own by the commands of the table loader. */
#include "unit.h"

#include "fake_host.h"
#include "machine/pc.h"

#define TABLES_GPA 0x123400u
#define RSDP_GPA   0xf1230u

struct file {
    uint8_t data[0x8000];
    size_t size;
};

struct rig {
    fake_host fake;
    fw_cfg *device;
    struct pc_firmware firmware;
    struct file tables, rsdp, loader, e820;
};

static uint64_t big(const uint8_t *at, unsigned int width)
{
    uint64_t value = 0;

    while (width-- > 0)
        value = value << 8 | *at++;
    return value;
}

static void read_item(struct rig *rig, unsigned int key, void *out, size_t size)
{
    fake_access(&rig->fake, VISOR_PIO, 0x510, 2, true, key);
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)in8(&rig->fake, 0x511);
}

static bool read_file(struct rig *rig, struct file *out, const char *name)
{
    uint8_t directory[4 + 16 * 64];

    read_item(rig, 0x19, directory, sizeof(directory));
    for (const uint8_t *entry = directory + 4; entry < directory + 4 + 64 * big(directory, 4);
         entry += 64) {
        if (strcmp((const char *)entry + 8, name) != 0)
            continue;
        out->size = big(entry, 4);
        if (!CHECK(out->size <= sizeof(out->data)))
            return false;
        read_item(rig, (unsigned int)big(entry + 4, 2), out->data, out->size);
        return true;
    }
    printf("# there is no file %s\n", name);
    return CHECK(false);
}

static bool rig_make(struct rig *rig, uint64_t memory_size)
{
    const struct machine_config machine = {.memory_size = memory_size, .vcpu_count = 2};
    const struct acpi_config acpi = {
        .vcpu_count = 2,
        .lapic = 0xfee00000,
        .ioapic = 0xfec00000,
        .pci = PCI_CONFIG_PC,
        .serial = {{0x3f8, 4}},
    };

    memset(rig, 0, sizeof(*rig));
    fake_init(&rig->fake, NULL);
    return CHECK_OK(fw_cfg_create(&rig->device, &rig->fake.host, NULL)) &&
           CHECK_OK(pc_firmware_tell(&rig->firmware, rig->device, &machine, &acpi, NULL)) &&
           read_file(rig, &rig->tables, "etc/acpi/tables") &&
           read_file(rig, &rig->rsdp, "etc/acpi/rsdp") &&
           read_file(rig, &rig->loader, "etc/table-loader") &&
           read_file(rig, &rig->e820, "etc/e820");
}

static void rig_free(struct rig *rig)
{
    fw_cfg_free(rig->device);
    pc_firmware_free(&rig->firmware);
}

static struct file *file_of(struct rig *rig, const uint8_t *name)
{
    return strcmp((const char *)name, "etc/acpi/rsdp") == 0 ? &rig->rsdp : &rig->tables;
}

static uint8_t sum(const uint8_t *data, size_t length)
{
    uint8_t result = 0;

    while (length-- > 0)
        result = (uint8_t)(result + *data++);
    return result;
}

/* As firmware does it. Returns how many files were given a place. */
static int run_loader(struct rig *rig)
{
    int allocated = 0;

    for (const uint8_t *at = rig->loader.data; at < rig->loader.data + rig->loader.size;
         at += 128) {
        struct file *file = file_of(rig, at + 4);
        uint64_t value = 0;

        switch (boot_get32(at)) {
        case 1:
            allocated++;
            CHECK_INT(at[64], file == &rig->rsdp ? 2 : 1);
            break;
        case 2:
            memcpy(&value, file->data + boot_get32(at + 116), at[120]);
            value += file_of(rig, at + 60) == &rig->tables ? TABLES_GPA : RSDP_GPA;
            memcpy(file->data + boot_get32(at + 116), &value, at[120]);
            break;
        case 3:
            file->data[boot_get32(at + 60)] =
                (uint8_t)(file->data[boot_get32(at + 60)] -
                          sum(file->data + boot_get32(at + 64), boot_get32(at + 68)));
            break;
        default: CHECK_INT(boot_get32(at), 0); break; /* there are no others */
        }
    }
    return allocated;
}

static const uint8_t *at_gpa(const struct rig *rig, uint64_t gpa)
{
    if (!CHECK(gpa >= TABLES_GPA && gpa - TABLES_GPA < rig->tables.size))
        return rig->tables.data;
    return rig->tables.data + (gpa - TABLES_GPA);
}

TEST(tables_are_sound_where_the_loader_puts_them)
{
    static struct rig rig;
    const uint8_t *xsdt, *table, *facs;
    unsigned int seen = 0;

    REQUIRE(rig_make(&rig, 0x10000000));
    CHECK_INT(run_loader(&rig), 2);
    CHECK(memcmp(rig.rsdp.data, "RSD PTR ", 8) == 0);
    CHECK_INT(sum(rig.rsdp.data, 20), 0);
    CHECK_INT(sum(rig.rsdp.data, 36), 0);
    xsdt = at_gpa(&rig, boot_get64(rig.rsdp.data + 24));
    CHECK(memcmp(xsdt, "XSDT", 4) == 0);
    CHECK_INT(sum(xsdt, boot_get32(xsdt + 4)), 0);
    for (size_t at = 36; at < boot_get32(xsdt + 4); at += 8) {
        table = at_gpa(&rig, boot_get64(xsdt + at));
        CHECK_INT(sum(table, boot_get32(table + 4)), 0);
        seen |= memcmp(table, "APIC", 4) == 0 ? 1 : 0;
        seen |= memcmp(table, "MCFG", 4) == 0 ? 2 : 0;
        if (memcmp(table, "FACP", 4) != 0)
            continue;
        seen |= 4;
        facs = at_gpa(&rig, boot_get32(table + 36));
        CHECK(memcmp(facs, "FACS", 4) == 0);
        CHECK_INT((boot_get32(table + 36)) % 64, 0);
        CHECK(memcmp(at_gpa(&rig, boot_get32(table + 40)), "DSDT", 4) == 0);
        CHECK_INT(boot_get64(table + 140), boot_get32(table + 40));
    }
    CHECK_INT(seen, 7);
    rig_free(&rig);
}

TEST(memory_map_is_what_there_is)
{
    static struct rig rig;

    REQUIRE(rig_make(&rig, 0x10000000));
    CHECK_INT(rig.e820.size, 40);
    CHECK_INT(boot_get64(rig.e820.data + 8), 0x10000000);
    CHECK_INT(boot_get32(rig.e820.data + 16), 1);
    CHECK_INT(boot_get64(rig.e820.data + 20), 0xc0000000);
    CHECK_INT(boot_get32(rig.e820.data + 36), 2);
    rig_free(&rig);
    REQUIRE(rig_make(&rig, 0x100000000));
    CHECK_INT(rig.e820.size, 60);
    CHECK_INT(boot_get64(rig.e820.data + 8), 0xc0000000);
    CHECK_INT(boot_get64(rig.e820.data + 40), 0x100000000);
    CHECK_INT(boot_get64(rig.e820.data + 48), 0x40000000);
    rig_free(&rig);
}

TEST(rom_is_in_both_places)
{
    const visor_memory_region regions[] = {
        {.length = 0x200000},
        {.gpa = 0xfff80000, .length = 0x80000, .purpose = VISOR_MEMORY_BIOS, .read_only = true},
    };
    static uint8_t rom[0x80000];
    struct boot_image firmware = {.path = "bios", .data = rom, .size = sizeof(rom)};
    visor_memory *memory;
    uint32_t value = 0;

    for (size_t i = 0; i < sizeof(rom); i += 4)
        boot_put32(rom + i, (uint32_t)i);
    REQUIRE_OK(visor_memory_create(&memory, regions, 2, NULL));
    CHECK_OK(pc_firmware_load(memory, &firmware, NULL));
    CHECK_OK(visor_memory_read(&value, memory, 0xfff80010, 4));
    CHECK_INT(value, 0x10);
    CHECK_OK(visor_memory_read(&value, memory, 0xffff0, 4));
    CHECK_INT(value, 0x7fff0);
    CHECK_OK(visor_memory_read(&value, memory, 0xc0000, 4));
    CHECK_INT(value, 0x40000);
    visor_memory_free(memory);
}

UNIT_MAIN()
