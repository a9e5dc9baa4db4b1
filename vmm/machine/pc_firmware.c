/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Firmware on a PC (SeaBIOS): where it is and what it is told. Files and the commands of the table
 * loader: SeaBIOS, src/fw/romfile_loader.h; QEMU, hw/acpi/bios-linker-loader.c.
 */
#include "machine/pc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int pc_firmware_check(const struct boot_image *firmware, vmm_error *error)
{
    uint8_t first;

    if (firmware->size % 0x1000 != 0 || firmware->size > PC_ROM_MAX)
        return vmm_fail(error, VISOR_EFORMAT,
                        "firmware '%s' has %zu bytes: not a whole number of 4 KiB up to 16 MiB",
                        firmware->path, firmware->size);
    /* A processor begins 16 bytes before the end, with a jump: far, or near with 16 bits. */
    first = firmware->data[firmware->size - 16];
    if (first != 0xea && first != 0xe9 && first != 0xeb)
        return vmm_fail(error, VISOR_EFORMAT,
                        "firmware '%s' has no jump where a processor begins: it is not for a PC",
                        firmware->path);
    return 0;
}

int pc_firmware_load(visor_memory *memory, const struct boot_image *firmware, vmm_error *error)
{
    size_t low = firmware->size < PC_ROM_LOW ? firmware->size : PC_ROM_LOW;
    int code =
        visor_memory_write(memory, PC_HOLE_END - firmware->size, firmware->data, firmware->size);

    if (code == 0)
        code =
            visor_memory_write(memory, 0x100000 - low, firmware->data + firmware->size - low, low);
    return code < 0 ? vmm_fail_visor(error, code, "firmware") : 0;
}

/* ---- the memory map: what there is before the firmware takes of it ---- */

#define E820_ENTRY 20

static int tell_memory(struct pc_firmware *out, fw_cfg *cfg, uint64_t size,
                       const struct acpi_config *acpi, vmm_error *error)
{
    const struct boot_range map[] = {
        {0, size < PC_HOLE_START ? size : PC_HOLE_START, BOOT_RANGE_RAM},
        {acpi->pci.ecam, PCI_ECAM_LENGTH, BOOT_RANGE_RESERVED},
        {PC_HOLE_END, size > PC_HOLE_START ? size - PC_HOLE_START : 0, BOOT_RANGE_RAM},
    };
    size_t count = map[2].length != 0 ? 3 : 2;

    out->e820 = calloc(count, E820_ENTRY);
    if (out->e820 == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        boot_put64(out->e820 + i * E820_ENTRY, map[i].gpa);
        boot_put64(out->e820 + i * E820_ENTRY + 8, map[i].length);
        boot_put32(out->e820 + i * E820_ENTRY + 16, map[i].type);
    }
    return fw_cfg_add_file(cfg, "etc/e820", out->e820, count * E820_ENTRY, error);
}

/* ---- ACPI: tables as they would be at address 0, and what to do to them elsewhere ---- */

#define TABLES "etc/acpi/tables"
#define RSDP   "etc/acpi/rsdp"

#define TABLES_MAX    0x10000u
#define TABLE_HEADER  36
#define TABLE_LENGTH  4
#define TABLE_SUM     9
#define RSDP_LENGTH   36
#define RSDP_XSDT     24
#define FADT_FACS     36
#define FADT_DSDT     40
#define FADT_X_DSDT   140
#define COMMAND_SIZE  128
#define COMMANDS_MAX  16
#define COMMAND_FILE  4  /* a name of 56 bytes, then: */
#define COMMAND_OTHER 60 /* another, for ADD_POINTER */

enum command {
    ALLOCATE = 1,
    ADD_POINTER = 2,
    ADD_CHECKSUM = 3,
};
enum zone {
    ZONE_HIGH = 1,
    ZONE_FSEG = 2, /* where an RSDP is looked for */
};

struct loader {
    uint8_t *commands;
    size_t count;
};

static uint8_t *add_command(struct loader *loader, enum command command, const char *file)
{
    uint8_t *at = loader->commands + loader->count++ * COMMAND_SIZE;

    boot_put32(at, command);
    memcpy(at + COMMAND_FILE, file, strlen(file) + 1);
    return at;
}

static void allocate(struct loader *loader, const char *file, uint32_t align, enum zone zone)
{
    uint8_t *at = add_command(loader, ALLOCATE, file);

    boot_put32(at + 60, align);
    at[64] = (uint8_t)zone;
}

/* The `width` bytes at `offset` of the file are an offset into the tables. */
static void add_pointer(struct loader *loader, const char *file, size_t offset, uint8_t width)
{
    uint8_t *at = add_command(loader, ADD_POINTER, file);

    memcpy(at + COMMAND_OTHER, TABLES, sizeof(TABLES));
    boot_put32(at + 116, (uint32_t)offset);
    at[120] = width;
}

static void add_checksum(struct loader *loader, const char *file, size_t sum, size_t start,
                         size_t length)
{
    uint8_t *at = add_command(loader, ADD_CHECKSUM, file);

    boot_put32(at + 60, (uint32_t)sum);
    boot_put32(at + 64, (uint32_t)start);
    boot_put32(at + 68, (uint32_t)length);
}

/* All pointers in what acpi_build() made, and the sums over them. */
static void write_commands(struct loader *loader, const uint8_t *acpi)
{
    size_t xsdt = (size_t)boot_get64(acpi + RSDP_XSDT);
    size_t end = xsdt + boot_get32(acpi + xsdt + TABLE_LENGTH);

    allocate(loader, TABLES, 64, ZONE_HIGH);
    allocate(loader, RSDP, 16, ZONE_FSEG);
    for (size_t at = xsdt + TABLE_HEADER; at < end; at += 8) {
        size_t table = (size_t)boot_get64(acpi + at);

        add_pointer(loader, TABLES, at, 8);
        if (memcmp(acpi + table, "FACP", 4) != 0)
            continue;
        add_pointer(loader, TABLES, table + FADT_FACS, 4);
        add_pointer(loader, TABLES, table + FADT_DSDT, 4);
        add_pointer(loader, TABLES, table + FADT_X_DSDT, 8);
        add_checksum(loader, TABLES, table + TABLE_SUM, table,
                     boot_get32(acpi + table + TABLE_LENGTH));
    }
    add_checksum(loader, TABLES, xsdt + TABLE_SUM, xsdt, end - xsdt);
    add_pointer(loader, RSDP, RSDP_XSDT, 8);
    /* The sum over the first 20 bytes stays right: the pointer is behind them. */
    add_checksum(loader, RSDP, 32, 0, RSDP_LENGTH);
}

static int tell_acpi(struct pc_firmware *out, fw_cfg *cfg, const struct acpi_config *acpi,
                     vmm_error *error)
{
    struct loader loader = {.commands = calloc(COMMANDS_MAX, COMMAND_SIZE)};
    int length, code;

    out->loader = loader.commands;
    out->acpi = calloc(1, TABLES_MAX);
    if (out->loader == NULL || out->acpi == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    length = acpi_build(out->acpi, TABLES_MAX, acpi, error);
    if (length < 0)
        return length;
    write_commands(&loader, out->acpi);
    code = fw_cfg_add_file(cfg, TABLES, out->acpi, (size_t)length, error);
    if (code == 0)
        code = fw_cfg_add_file(cfg, RSDP, out->acpi, RSDP_LENGTH, error);
    if (code == 0)
        code = fw_cfg_add_file(cfg, "etc/table-loader", out->loader, loader.count * COMMAND_SIZE,
                               error);
    return code;
}

int pc_firmware_tell(struct pc_firmware *out, fw_cfg *cfg, const struct machine_config *machine,
                     const struct acpi_config *acpi, vmm_error *error)
{
    int code = tell_memory(out, cfg, machine->memory_size, acpi, error);

    if (code == 0)
        code = tell_acpi(out, cfg, acpi, error);
    /* SeaBIOS then shows its screen there. */
    if (code == 0 && acpi->serial[0].port != 0)
        code = fw_cfg_add_file_number(cfg, "etc/sercon-port", acpi->serial[0].port, 2, error);
    return code;
}

void pc_firmware_free(struct pc_firmware *firmware)
{
    free(firmware->acpi);
    free(firmware->loader);
    free(firmware->e820);
}
