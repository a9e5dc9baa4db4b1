/* SPDX-License-Identifier: BSD-3-Clause */
/* The ACPI tables of a PC: sums and links. */
#include "unit.h"

#include "acpi_tables.h"
#include "machine/aml.h"

TEST(root_pointer_leads_to_all_tables_with_good_sums)
{
    static const char *const signatures[] = {"FACP", "APIC", "MCFG"};
    size_t xsdt, fadt, dsdt, facs;

    REQUIRE(build(2) > 0);
    CHECK(memcmp(tables, "RSD PTR ", 8) == 0);
    CHECK_INT(sum(0, 20), 0);
    CHECK_INT(sum(0, 36), 0);
    xsdt = get(24, 8) - GPA;
    CHECK(memcmp(tables + xsdt, "XSDT", 4) == 0);
    CHECK_INT(sum(xsdt, get(xsdt + 4, 4)), 0);
    for (size_t i = 0; i < 3; i++) {
        size_t table = find(signatures[i]);

        REQUIRE(table != 0);
        CHECK_INT(sum(table, get(table + 4, 4)), 0);
    }
    fadt = find("FACP");
    CHECK_INT(get(fadt + 4, 4), 276);
    CHECK_INT(get(fadt + 8, 1), 6);
    dsdt = get(fadt + 40, 4) - GPA;
    CHECK_INT(get(fadt + 140, 8), GPA + dsdt);
    CHECK(memcmp(tables + dsdt, "DSDT", 4) == 0);
    CHECK_INT(sum(dsdt, get(dsdt + 4, 4)), 0);
    facs = get(fadt + 36, 4) - GPA;
    CHECK(memcmp(tables + facs, "FACS", 4) == 0);
    CHECK_INT(facs % 64, 0);
    CHECK_INT(get(facs + 4, 4), 64);
}

TEST(madt_lists_every_processor)
{
    size_t madt, at;
    uint32_t processors = 0;

    REQUIRE(build(255) > 0);
    madt = find("APIC");
    REQUIRE(madt != 0);
    for (at = madt + 44; at < madt + get(madt + 4, 4); at += tables[at + 1]) {
        REQUIRE(tables[at + 1] >= 2);
        if (tables[at] == 0) {
            CHECK_INT(tables[at + 3], processors);
            processors++;
        }
    }
    CHECK_INT(at, madt + get(madt + 4, 4));
    CHECK_INT(processors, 255);
}

TEST(too_small_a_buffer_is_refused_untouched_past_its_end)
{
    struct acpi_config config = {.gpa = GPA, .vcpu_count = 1, .pci = PCI_CONFIG_PC};
    vmm_error error;
    int full = acpi_build(tables, sizeof(tables), &config, &error);

    REQUIRE(full > 0);
    for (size_t capacity = 36; capacity < (size_t)full; capacity += 7) {
        tables[capacity] = 0xa5;
        CHECK_INT(acpi_build(tables, capacity, &config, &error), VISOR_ELIMIT);
        CHECK_INT(tables[capacity], 0xa5);
    }
    CHECK_INT(acpi_build(tables, (size_t)full, &config, &error), full);
}

TEST(package_lengths_take_as_few_bytes_as_they_can)
{
    static const struct {
        size_t content;
        uint8_t bytes[3];
        size_t count;
    } cases[] = {
        {1, {0x02}, 1},
        {62, {0x3f}, 1},
        {63, {0x41, 0x04}, 2},
        {4093, {0x4f, 0xff}, 2},
        {4094, {0x81, 0x00, 0x01}, 3},
    };
    static const uint8_t zeros[8192];
    static uint8_t data[8192];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aml aml = {.data = data, .capacity = sizeof(data)};
        size_t open = aml_open_package(&aml, 0);

        aml_bytes(&aml, zeros, cases[i].content - 1); /* the element count is a byte of content */
        aml_close(&aml, open);
        CHECK_INT(aml.size, 1 + cases[i].count + cases[i].content);
        CHECK(memcmp(data + 1, cases[i].bytes, cases[i].count) == 0);
    }
}

TEST(names_and_integers_are_encoded_as_the_specification_says)
{
    static const uint8_t expected[] = {
        0x08, '_',  'H', 'I', 'D',  0x0c, 0x41, 0xd0, 0x0a, 0x08, /* EISAID("PNP0A08") */
        0x08, '\\', '_', 'S', '5',  '_',  0x00, 0x01, 0x0a, 0x02, 0x08, 0x2e, '_',  'S',  'B',  '_',
        'P',  'C',  'I', '0', 0x0b, 0x34, 0x12, 0x08, 0x2f, 0x03, 'A',  '_',  '_',  '_',  'B',  '_',
        '_',  '_',  'C', '_', '_',  '_',  0x0e, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    };
    uint8_t data[128];
    struct aml aml = {.data = data, .capacity = sizeof(data)};

    aml_name_eisa(&aml, "_HID", "PNP0A08");
    aml_name(&aml, "\\_S5");
    aml_integer(&aml, 0);
    aml_integer(&aml, 1);
    aml_integer(&aml, 2);
    aml_name_integer(&aml, "_SB.PCI0", 0x1234);
    aml_name_integer(&aml, "A.B.C", 1ull << 32);
    REQUIRE(aml.size == sizeof(expected));
    CHECK(memcmp(data, expected, sizeof(expected)) == 0);
}

UNIT_MAIN()
