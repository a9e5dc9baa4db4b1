/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI tables of a PC: where iasl is installed, that a disassembler makes the sense of them
 * that was meant.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "acpi_tables.h"

static bool save(const char *directory, const char *name, size_t table)
{
    char path[128];
    FILE *file;
    size_t length = get(table + 4, 4);
    bool done;

    snprintf(path, sizeof(path), "%s/%s.aml", directory, name);
    file = fopen(path, "wb");
    if (file == NULL)
        return false;
    done = fwrite(tables + table, 1, length, file) == length;
    return fclose(file) == 0 && done;
}

static bool listing_has(const char *directory, const char *name, const char *text)
{
    static char listing[1 << 20];
    char path[128];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s.dsl", directory, name);
    file = fopen(path, "rb");
    if (file != NULL) {
        length = fread(listing, 1, sizeof(listing) - 1, file);
        fclose(file);
    }
    listing[length] = '\0';
    return strstr(listing, text) != NULL;
}

static int shell(const char *command)
{
    return system(command); /* NOLINT(cert-env33-c): our own words, and iasl is found by PATH */
}

TEST(iasl_takes_the_tables_apart_and_puts_the_dsdt_together_again)
{
    static const char *const names[] = {"facp", "apic", "mcfg", "dsdt"};
    char directory[] = "/tmp/visor-acpi-XXXXXX";
    char command[256];
    size_t at[4];

    if (shell("command -v iasl >/dev/null 2>&1") != 0)
        SKIP("iasl is not installed (Debian: acpica-tools)");
    REQUIRE(build(2) > 0);
    REQUIRE(mkdtemp(directory) != NULL);
    at[0] = find("FACP");
    at[1] = find("APIC");
    at[2] = find("MCFG");
    at[3] = get(at[0] + 40, 4) - GPA;
    for (int i = 0; i < 4; i++) {
        CHECK(save(directory, names[i], at[i]));
        snprintf(command, sizeof(command),
                 "cd %s && iasl -d %s.aml >%s.log 2>&1 && "
                 "! grep -iE 'error|warning|invalid' %s.log",
                 directory, names[i], names[i], names[i]);
        CHECK_INT(shell(command), 0);
    }
    /* Warnings about style are iasl's business; errors would be ours. */
    snprintf(command, sizeof(command),
             "cd %s && iasl -p again dsdt.dsl >again.log 2>&1 && "
             "grep -q ' 0 Errors, 0 Warnings' again.log",
             directory);
    CHECK_INT(shell(command), 0);
    CHECK(listing_has(directory, "dsdt", "Device (PCI0)"));
    CHECK(listing_has(directory, "dsdt", "EisaId (\"PNP0A08\")"));
    CHECK(listing_has(directory, "dsdt", "Name (\\_S5, Package (0x04)"));
    CHECK(listing_has(directory, "dsdt", "Device (COM2)"));
    CHECK(!listing_has(directory, "dsdt", "Device (COM3)"));
    CHECK(listing_has(directory, "dsdt", "\"QEMU0001\""));
    CHECK(listing_has(directory, "apic", "Subtable Type : 01 [I/O APIC]"));
    CHECK(listing_has(directory, "facp", "Reset Register Supported (V2) : 1"));
    snprintf(command, sizeof(command), "rm -r %s", directory);
    CHECK_INT(shell(command), 0);
}

UNIT_MAIN()
