/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the boards with a device tree have in common: their devices, which are at the same places
 * and have the same interrupt numbers, and their tree.
 *
 *     0x01000000  serial ports, 4 KiB each
 *     0x01010000  real-time clock
 *     0x01020000  pvpanic
 *     0x08000000  RISC-V: interrupt controllers
 *     0x10000000  PCI configuration space (ECAM)
 *     0x20000000  PCI memory window
 *     0x3fff0000  Arm: interrupt controllers, downwards; ITS at 0x40000000
 *     0x7fc00000  Arm: firmware of a protected VM
 *     0x80000000  RAM: kernel first, the initrd and then the device tree at its end; behind them
 *                 the bounce buffer of a protected VM
 */
#ifndef VMM_DT_BOARD_H
#define VMM_DT_BOARD_H

#include "devices/pci.h"
#include "devices/platform.h"
#include "machine/board.h"
#include "machine/dt.h"

#define DT_BOARD_RTC_GPA 0x01010000u
#define DT_BOARD_RTC_IRQ 5
#define DT_BOARD_RAM_GPA 0x80000000ull
#define DT_BOARD_VCPUS   8 /* as many as are tested */
/* The firmware of a protected VM, below RAM. */
#define DT_BOARD_FIRMWARE_LENGTH 0x400000u
#define DT_BOARD_FIRMWARE_GPA    (DT_BOARD_RAM_GPA - DT_BOARD_FIRMWARE_LENGTH)

/* Numbers by which nodes refer to each other. */
enum dt_phandle {
    DT_PHANDLE_IRQCHIP = 1, /* of wired interrupts */
    DT_PHANDLE_MSI = 2,
    DT_PHANDLE_CLOCK = 3,
    DT_PHANDLE_BOUNCE = 4,
    DT_PHANDLE_CPUS = 16, /* + vCPU id */
};

/* The head of such a board's own data (machine->board_data). */
struct dt_board {
    pci_config pci;
    pvpanic *pvpanic;
    struct boot_dt_entry entry;
    uint64_t dt_gpa, dt_area; /* the device tree, and the bytes that are free for it */
};

/* What differs. */
struct dt_board_arch {
    int (*load)(struct boot_dt_entry *out, const struct boot_image *kernel,
                const struct boot_dt_config *config, vmm_error *error);
    /* The interrupt controller is the parent of all that names none. Not where the processors have
     * controllers of their own: they would be below it. */
    bool irq_is_default;
    uint32_t irq_address_cells; /* #address-cells of the interrupt controller */
    uint32_t irq_cells;         /* #interrupt-cells of it, at most 3 */
    /* The cells of an interrupt line that is high while it is wanted. */
    void (*interrupt)(uint32_t *cells, uint32_t irq);
    /* Says in the PCI bus's node where its messages go. */
    void (*pci_msi)(struct dt *dt, const struct machine *machine);
    /* Nodes of processors, interrupt controllers and clocks. */
    int (*nodes)(struct dt *dt, struct machine *machine, vmm_error *error);
};

/* For struct machine_board. */
size_t dt_board_regions(visor_memory_region regions[MACHINE_REGIONS], uint64_t size);
uint64_t dt_board_max_memory(unsigned int gpa_bits);
size_t dt_board_protect(visor_memory_region regions[MACHINE_REGIONS], size_t count,
                        const struct machine_config *config);

/* board_data begins with a struct dt_board, zeros. sender_ids: see pci_config. */
int dt_board_add_devices(struct machine *machine, bool sender_ids, vmm_error *error);
/* All but the memory of board_data. */
void dt_board_free_devices(struct machine *machine);

/* Loads the kernel, builds the tree (machine->tree) and puts it into guest memory. */
int dt_board_load(struct machine *machine, const struct boot_image *kernel,
                  const struct dt_board_arch *arch, vmm_error *error);

/* The lines that devices may raise; returns how many, at most 8. */
size_t dt_board_lines(uint32_t gsis[8], const struct machine *machine);

/* "interrupts" with one line. */
void dt_board_interrupt(struct dt *dt, const struct dt_board_arch *arch, uint32_t irq);

#endif
