/* SPDX-License-Identifier: BSD-3-Clause */
/* Between x86_64.c, the board, pc_cpu.c, its processors, and pc_firmware.c. */
#ifndef VMM_MACHINE_PC_H
#define VMM_MACHINE_PC_H

#include "devices/fw_cfg.h"
#include "machine/acpi.h"
#include "machine/board.h"

#define PC_HOLE_START 0xc0000000ull /* of RAM; there devices are, up to 4 GiB */
#define PC_HOLE_END   0x100000000ull

/* ---- processors, where there is no firmware ---- */

/* Where the tables are that a kernel is entered with; it soon has its own. */
#define PC_GDT_GPA            0x500
#define PC_PAGE_TABLES_GPA    0x9000
#define PC_PAGE_TABLES_LENGTH 0x6000

int pc_cpu_load_tables(visor_memory *guest, const struct boot_x86_entry *entry, vmm_error *error);
/* These return what libvisor did. */
int pc_cpu_init(visor_vm *vm, visor_vcpu *vcpu);
int pc_cpu_enter(visor_vcpu *vcpu, const struct boot_x86_entry *entry);

/* ---- firmware ---- */

/* ROM ends at 4 GiB, and with its last 256 KiB at 1 MiB: on real machines 128 KiB, from which
 * SeaBIOS would reach the rest through registers of the chip set that it knows. */
#define PC_ROM_MAX (16u << 20) /* below it there are the interrupt chips */
#define PC_ROM_LOW 0x40000u

/* What the firmware is handed; it has to stay while the machine runs. */
struct pc_firmware {
    uint8_t *acpi, *loader, *e820;
};

/* Refuses a file that cannot be firmware. */
int pc_firmware_check(const struct boot_image *firmware, vmm_error *error);
/* Puts the ROM into both its places. */
int pc_firmware_load(visor_memory *memory, const struct boot_image *firmware, vmm_error *error);
/* Adds ACPI tables, the memory map and, if there is one, the kernel to what cfg tells. */
int pc_firmware_tell(struct pc_firmware *out, fw_cfg *cfg, const struct machine_config *machine,
                     const struct acpi_config *acpi, vmm_error *error);
void pc_firmware_free(struct pc_firmware *firmware);

#endif
