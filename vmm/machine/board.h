/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between machine.c and the boards: the machine from inside, and what a board does for it. A new
 * architecture is a file with a struct machine_board, named in boards.c.
 */
#ifndef VMM_BOARD_H
#define VMM_BOARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "machine/machine.h"

struct machine_cpu {
    struct machine *machine;
    visor_vcpu *vcpu;
    pthread_t thread;
    bool started;
    atomic_bool was_paused;
};

struct machine {
    const struct machine_board *board;
    struct machine_config config;
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    vmm_host host;
    pci_bus *pci;
    serial *serial[MACHINE_PORTS];
    virtio_pci *virtio[MACHINE_DISKS + 1];
    size_t virtio_count;
    void *board_data; /* the board's own */
    void *tree;       /* the device tree, NULL: none */
    size_t tree_size;
    struct machine_cpu *cpus;

    pthread_mutex_t lock; /* guards end, exit_status and why */
    pthread_cond_t changed;
    enum machine_end end;
    uint32_t exit_status;
    vmm_error why;
    atomic_bool ending;
    atomic_uint log_lines; /* that devices wanted to say */
};

/* Ends the machine, unless it has ended already. Any thread. why may be NULL. */
void machine_end(struct machine *machine, enum machine_end end, const char *why);

#define MACHINE_REGIONS 4

struct machine_board {
    visor_arch arch;
    uint32_t max_vcpus;
    /* Where RAM of `size` bytes is; returns how many regions. */
    size_t (*regions)(visor_memory_region regions[MACHINE_REGIONS], uint64_t size);
    /* Adds read-only memory for firmware, in order of addresses; the new count. NULL: this board
     * takes no firmware, nor the other things of PCs: debug ports, debug exit. */
    size_t (*add_firmware)(visor_memory_region regions[MACHINE_REGIONS], size_t count,
                           uint64_t size);
    /* Divides the regions of RAM into the guest's own and the bounce buffer (config.bounce_size),
     * and adds one for a protected VM's firmware; the new count. NULL: no protected VMs. */
    size_t (*protect)(visor_memory_region regions[MACHINE_REGIONS], size_t count,
                      const struct machine_config *config);
    /* Whether the file can be firmware. NULL as above. */
    int (*check_firmware)(const struct boot_image *firmware, vmm_error *error);
    /* The most bytes of RAM when guest addresses have this many bits. */
    uint64_t (*max_memory)(unsigned int gpa_bits);
    visor_vm_config vm;
    /* In this order. What has to be said to the VM before it has vCPUs; then the board's devices:
     * serial ports, the PCI bus (machine->pci), and what else it has (board_data). */
    int (*add_devices)(struct machine *machine, vmm_error *error);
    /* Each vCPU as it is created, in order of ids. NULL: nothing to do. */
    int (*init_vcpu)(struct machine *machine, visor_vcpu *vcpu, vmm_error *error);
    /* The kernel (config.kernel, unpacked) and what it is told of the machine; or firmware, and
     * then the kernel as it is, or NULL. */
    int (*load)(struct machine *machine, const struct boot_image *kernel, vmm_error *error);
    /* Points vCPU 0 at the kernel; the others wait until it starts them. */
    int (*enter)(struct machine *machine, visor_vcpu *vcpu, vmm_error *error);

    /* NULL: there is no button. */
    bool (*power_button)(struct machine *machine);
    /* Whatever add_devices() came to. */
    void (*free_devices)(struct machine *machine);
};

extern const struct machine_board machine_x86_64, machine_aarch64, machine_riscv64;
/* Those of this build, up to a NULL: all (boards.c), or those that need no device tree
 * (boards_plain.c), where there is no libfdt. */
extern const struct machine_board *const machine_boards[];

#endif
