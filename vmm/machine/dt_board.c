/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nodes and properties: Devicetree Specification 0.4; for PCI, IEEE 1275's PCI binding; for the
 * rest the bindings in Linux, Documentation/devicetree/bindings.
 */
#include "machine/dt_board.h"

#include <stdio.h>

#include "os/os.h"

#define SERIAL_GPA    0x01000000u
#define SERIAL_LENGTH 0x1000u
#define SERIAL_CLOCK  1843200 /* Hz, of a PC's 16550 */
#define PVPANIC_GPA   0x01020000u
#define ECAM_GPA      0x10000000u
#define WINDOW_GPA    0x20000000u
#define WINDOW_LENGTH 0x10000000u
#define SERIAL_IRQ    1 /* ... 4; DT_BOARD_RTC_IRQ is 5 */
#define PCI_IRQ       8 /* ... 11 */

/* Linux: arm64 takes no larger tree, which must not cross such a boundary either
 * (Documentation/arch/arm64/booting.rst). */
#define TREE_MAX 0x200000ull
/* ... and an initrd not farther from the kernel than this. */
#define REACH (32ull << 30)

size_t dt_board_regions(visor_memory_region regions[MACHINE_REGIONS], uint64_t size)
{
    regions[0].gpa = DT_BOARD_RAM_GPA;
    regions[0].length = size;
    return 1;
}

uint64_t dt_board_max_memory(unsigned int gpa_bits)
{
    return (1ull << (gpa_bits < 52 ? gpa_bits : 52)) - DT_BOARD_RAM_GPA;
}

/* The firmware lies below RAM, the bounce buffer is the end of it. */
size_t dt_board_protect(visor_memory_region regions[MACHINE_REGIONS], size_t count,
                        const struct machine_config *config)
{
    visor_memory_region ram = regions[0];

    (void)count; /* one */
    count = 0;
    if (config->protection != VISOR_PROTECTED_NO_FIRMWARE)
        regions[count++] = (visor_memory_region){
            .gpa = DT_BOARD_FIRMWARE_GPA,
            .length = DT_BOARD_FIRMWARE_LENGTH,
            .purpose = VISOR_MEMORY_PROTECTED_FIRMWARE,
        };
    ram.length -= config->bounce_size;
    regions[count++] = ram;
    regions[count++] = (visor_memory_region){
        .gpa = ram.gpa + ram.length,
        .length = config->bounce_size,
        .purpose = VISOR_MEMORY_SWIOTLB,
    };
    return count;
}

/* RAM that is not the bounce buffer. */
static uint64_t own_ram(const struct machine *machine)
{
    return machine->config.memory_size - machine->config.bounce_size;
}

/* ---- devices ---- */

static int add_serial_ports(struct machine *machine, vmm_error *error)
{
    int code = 0;

    for (uint32_t i = 0; i < MACHINE_SERIAL_PORTS && code == 0; i++) {
        const struct machine_serial *end = &machine->config.serial[i];
        const serial_config config = {
            .space = VISOR_MMIO,
            .address = SERIAL_GPA + i * SERIAL_LENGTH,
            .stride = 1,
            .gsi = SERIAL_IRQ + i,
            .write = end->write,
            .read_ready = end->read_ready,
            .context = end->context,
        };

        if (end->present)
            code = serial_create(&machine->serial[i], &machine->host, &config, error);
    }
    return code;
}

int dt_board_add_devices(struct machine *machine, bool sender_ids, vmm_error *error)
{
    const vmm_host *host = &machine->host;
    struct dt_board *board = machine->board_data;
    int code;

    board->pci = (pci_config){
        .ecam = ECAM_GPA,
        .window = WINDOW_GPA,
        .window_length = WINDOW_LENGTH,
        .gsi = {PCI_IRQ, PCI_IRQ + 1, PCI_IRQ + 2, PCI_IRQ + 3},
        .sender_ids = sender_ids,
    };
    code = pci_bus_create(&machine->pci, host, &board->pci, error);
    if (code == 0)
        code = pvpanic_create(&board->pvpanic, host, VISOR_MMIO, PVPANIC_GPA, error);
    if (code == 0)
        code = add_serial_ports(machine, error);
    return code;
}

void dt_board_free_devices(struct machine *machine)
{
    struct dt_board *board = machine->board_data;

    pvpanic_free(board->pvpanic);
}

size_t dt_board_lines(uint32_t gsis[8], const struct machine *machine)
{
    size_t count = 0;

    for (uint32_t i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] != NULL)
            gsis[count++] = SERIAL_IRQ + i;
    }
    for (uint32_t i = 0; i < 4; i++)
        gsis[count++] = PCI_IRQ + i;
    return count;
}

/* ---- the tree ---- */

void dt_board_interrupt(struct dt *dt, const struct dt_board_arch *arch, uint32_t irq)
{
    uint32_t cells[3];

    arch->interrupt(cells, irq);
    if (!arch->irq_is_default)
        dt_u32(dt, "interrupt-parent", DT_PHANDLE_IRQCHIP);
    dt_cells(dt, "interrupts", cells, arch->irq_cells);
}

static int add_chosen(struct dt *dt, const struct machine *machine, vmm_error *error)
{
    const struct dt_board *board = machine->board_data;
    uint64_t initrd = board->entry.initrd_gpa;
    uint8_t seed[64 + 8];
    char console[32];

    /* The second part is for the address that the kernel moves to: not more of it than is wanted,
     * and nobody sees both. */
    if (!vmm_random(seed, sizeof(seed)))
        return vmm_fail(error, VISOR_ESYSTEM, "the host has no random numbers");
    dt_open_plain(dt, "chosen");
    dt_string(dt, "bootargs", machine->config.params);
    if (machine->config.initrd != NULL) {
        dt_u64(dt, "linux,initrd-start", initrd);
        dt_u64(dt, "linux,initrd-end", initrd + machine->config.initrd->size);
    }
    for (unsigned int i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] == NULL)
            continue;
        snprintf(console, sizeof(console), "/serial@%x", SERIAL_GPA + i * SERIAL_LENGTH);
        dt_string(dt, "stdout-path", console);
        break;
    }
    dt_bytes(dt, "rng-seed", seed, 64);
    dt_bytes(dt, "kaslr-seed", seed + 64, 8);
    dt_close(dt);
    return 0;
}

static void add_memory(struct dt *dt, const struct machine *machine)
{
    dt_open(dt, "memory", DT_BOARD_RAM_GPA);
    dt_string(dt, "device_type", "memory");
    dt_reg(dt, DT_BOARD_RAM_GPA, machine->config.memory_size);
    dt_close(dt);
}

/*
 * The memory through which the guest has to pass what it tells devices, for all behind the PCI bus
 * (reserved-memory/shared-dma-pool.yaml). It is part of "memory" above, as all that is reserved.
 */
static void add_bounce_buffer(struct dt *dt, const struct machine *machine)
{
    uint64_t gpa = DT_BOARD_RAM_GPA + own_ram(machine);

    if (machine->config.bounce_size == 0)
        return;
    dt_open_plain(dt, "reserved-memory");
    dt_u32(dt, "#address-cells", 2);
    dt_u32(dt, "#size-cells", 2);
    dt_flag(dt, "ranges");
    dt_open(dt, "restricted-dma-pool", gpa);
    dt_string(dt, "compatible", "restricted-dma-pool");
    dt_reg(dt, gpa, machine->config.bounce_size);
    dt_u32(dt, "phandle", DT_PHANDLE_BOUNCE);
    dt_close(dt);
    dt_close(dt);
}

static void add_serial_nodes(struct dt *dt, const struct machine *machine,
                             const struct dt_board_arch *arch)
{
    char name[16], path[32];

    for (unsigned int i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] == NULL)
            continue;
        dt_open(dt, "serial", SERIAL_GPA + i * SERIAL_LENGTH);
        dt_string(dt, "compatible", "ns16550a");
        dt_reg(dt, SERIAL_GPA + i * SERIAL_LENGTH, SERIAL_REGISTERS);
        dt_u32(dt, "clock-frequency", SERIAL_CLOCK);
        dt_board_interrupt(dt, arch, SERIAL_IRQ + i);
        dt_close(dt);
    }
    /* So that ttySn is port n. */
    dt_open_plain(dt, "aliases");
    for (unsigned int i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        if (machine->serial[i] == NULL)
            continue;
        snprintf(name, sizeof(name), "serial%u", i);
        snprintf(path, sizeof(path), "/serial@%x", SERIAL_GPA + i * SERIAL_LENGTH);
        dt_string(dt, name, path);
    }
    dt_close(dt);
}

static void add_pvpanic(struct dt *dt)
{
    dt_open(dt, "pvpanic", PVPANIC_GPA);
    dt_string(dt, "compatible", "qemu,pvpanic-mmio");
    dt_reg(dt, PVPANIC_GPA, PVPANIC_LENGTH);
    dt_close(dt);
}

/* The four lines turn with the device number, so four devices show all there is. */
static void add_interrupt_map(struct dt *dt, const pci_config *pci,
                              const struct dt_board_arch *arch)
{
    uint32_t map[4 * 4 * 12] = {0};
    uint32_t *at = map;

    for (uint32_t device = 0; device < 4; device++) {
        for (uint32_t pin = 0; pin < 4; pin++) {
            at[0] = device << 11;
            at[3] = pin + 1;
            at[4] = DT_PHANDLE_IRQCHIP;
            at += 5 + arch->irq_address_cells;
            arch->interrupt(at, pci_intx_gsi(pci, device, pin));
            at += arch->irq_cells;
        }
    }
    dt_u32(dt, "#interrupt-cells", 1);
    DT_CELLS(dt, "interrupt-map-mask", 3 << 11, 0, 0, 7);
    dt_cells(dt, "interrupt-map", map, (size_t)(at - map));
}

static void add_pci(struct dt *dt, const struct machine *machine, const struct dt_board_arch *arch)
{
    const struct dt_board *board = machine->board_data;
    const pci_config *pci = &board->pci;

    dt_open(dt, "pcie", pci->ecam);
    dt_string(dt, "compatible", "pci-host-ecam-generic");
    dt_string(dt, "device_type", "pci");
    dt_reg(dt, pci->ecam, PCI_ECAM_LENGTH);
    DT_CELLS(dt, "bus-range", 0, 0);
    dt_u32(dt, "#address-cells", 3);
    dt_u32(dt, "#size-cells", 2);
    /* Memory, 32-bit, not prefetchable: the same addresses on both sides. */
    DT_CELLS(dt, "ranges", 0x02000000, 0, pci->window, 0, pci->window, 0, pci->window_length);
    dt_flag(dt, "dma-coherent");
    if (machine->config.bounce_size != 0)
        dt_u32(dt, "memory-region", DT_PHANDLE_BOUNCE);
    add_interrupt_map(dt, pci, arch);
    arch->pci_msi(dt, machine);
    dt_close(dt);
}

static int build_tree(struct machine *machine, const struct dt_board_arch *arch, vmm_error *error)
{
    struct dt dt;
    int code, finished;

    dt_begin(&dt, TREE_MAX);
    dt_string(&dt, "model", "visor");
    dt_string(&dt, "compatible", "linux,dummy-virt");
    dt_u32(&dt, "#address-cells", 2);
    dt_u32(&dt, "#size-cells", 2);
    if (arch->irq_is_default)
        dt_u32(&dt, "interrupt-parent", DT_PHANDLE_IRQCHIP);
    add_memory(&dt, machine);
    add_bounce_buffer(&dt, machine);
    add_serial_nodes(&dt, machine, arch);
    add_pvpanic(&dt);
    add_pci(&dt, machine, arch);
    code = add_chosen(&dt, machine, error);
    if (code == 0)
        code = arch->nodes(&dt, machine, error);
    finished = dt_finish(&machine->tree, &machine->tree_size, &dt, code == 0 ? error : NULL);
    return code != 0 ? code : finished;
}

int dt_board_load(struct machine *machine, const struct boot_image *kernel,
                  const struct dt_board_arch *arch, vmm_error *error)
{
    uint64_t size = own_ram(machine) < REACH ? own_ram(machine) : REACH;
    struct dt_board *board = machine->board_data;
    struct boot_dt_config config = {
        .common =
            {
                .memory = machine->memory,
                .params = machine->config.params,
                .initrd = machine->config.initrd,
                .floor_gpa = DT_BOARD_RAM_GPA,
            },
    };
    int code;

    board->dt_gpa = DT_BOARD_RAM_GPA;
    if (size > TREE_MAX)
        board->dt_gpa += (size - TREE_MAX) & ~(TREE_MAX - 1);
    board->dt_area = DT_BOARD_RAM_GPA + size - board->dt_gpa;
    if (board->dt_area > TREE_MAX)
        board->dt_area = TREE_MAX;
    config.ceiling_gpa = board->dt_gpa;
    code = arch->load(&board->entry, kernel, &config, error);
    if (code == 0)
        code = build_tree(machine, arch, error);
    if (code == 0)
        code = boot_write(&config.common, board->dt_gpa, machine->tree, machine->tree_size,
                          "device tree", error);
    return code;
}
