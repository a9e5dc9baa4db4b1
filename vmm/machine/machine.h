/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine: guest memory, a VM, virtual processors on threads of their own, devices, a kernel.
 * What is the same for all architectures is in machine.c; a board (x86_64.c, aarch64.c, riscv64.c)
 * adds the rest through the functions of struct machine_board.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "boot/boot.h"
#include "devices/device.h"
#include "devices/serial.h"
#include "devices/virtio.h"

#define MACHINE_SERIAL_PORTS 4
#define MACHINE_DEBUG_PORTS  2
#define MACHINE_PORTS        (MACHINE_SERIAL_PORTS + MACHINE_DEBUG_PORTS)
#define MACHINE_DISKS        16

/* What is on the other end of a serial port or debug console: see serial_config. */
struct machine_serial {
    bool present;
    uint16_t debug_port; /* of a debug console: its address */
    size_t (*write)(void *context, const uint8_t *data, size_t length);
    void (*read_ready)(void *context);
    void *context;
};

struct machine_config {
    uint32_t vcpu_count;
    uint64_t memory_size;              /* bytes, a multiple of 1 MiB */
    const struct boot_image *kernel;   /* NULL: none, with firmware */
    const struct boot_image *firmware; /* NULL: none */
    const struct boot_image *initrd;   /* NULL: none */
    const char *params;                /* the whole kernel command line */
    const char *plain_params;          /* of a multiboot kernel: without what Linux is told */
    struct boot_module modules[BOOT_MODULES];
    size_t module_count;
    struct machine_serial serial[MACHINE_PORTS]; /* debug consoles last */
    virtio_blk_config disks[MACHINE_DISKS];
    size_t disk_count;
    bool entropy;                  /* a virtio-rng */
    enum boot_unpack_where unpack; /* of a bzImage */
    bool debug_exit;               /* a device that ends the machine with a status */
    bool guest_time;               /* its clocks show the guest's own time (PCs) */
    /* VISOR_UNPROTECTED; or a protected VM, whose devices reach only the bounce buffer: so many
     * bytes of memory_size, a multiple of 1 MiB. firmware is that of a protected VM then. */
    visor_protection protection;
    uint64_t bounce_size;

    /* Called once, from any thread, when the machine has come to its end: now call
     * machine_join(). */
    void (*ended)(void *context);
    /* As vmm_host.log, but a limited number of lines. */
    void (*log)(void *context, const char *line);
    void *context;
};

/* How a machine came to its end. */
enum machine_end {
    MACHINE_RUNNING = 0,
    MACHINE_STOPPED,  /* machine_stop() */
    MACHINE_POWEROFF, /* the guest switched it off */
    MACHINE_RESET,    /* the guest asked for a reset */
    MACHINE_CRASHED,  /* the guest did what no processor can go on from */
    MACHINE_PANICKED, /* the guest reported its own panic */
    MACHINE_EXITED,   /* the guest, a test, gave an exit status */
    MACHINE_FAILED,   /* the host or the hypervisor failed */
};

struct machine;

/*
 * Puts a machine together, kernel loaded, ready to run. hv and everything that config points to is
 * borrowed until machine_free().
 */
int machine_create(struct machine **out, visor_hypervisor *hv, const struct machine_config *config,
                   vmm_error *error);
/* After machine_join(), or if it was never started. A request that a disk is at is carried out;
 * what the guest did not flush is the host's to write back. */
void machine_free(struct machine *machine);

/* Starts the virtual processors. */
int machine_start(struct machine *machine, vmm_error *error);
/* Ends it as it is, as if its power failed. Any thread. */
void machine_stop(struct machine *machine);
/*
 * Waits for the end and for all virtual processors to stop. For an end that needs explaining
 * `why` receives a sentence, else "".
 */
enum machine_end machine_join(struct machine *machine, vmm_error *why);

/* After MACHINE_EXITED: the status. */
uint32_t machine_exit_status(const struct machine *machine);

/* Presses the power button. EUNSUPPORTED: there is none; ESTATE: the guest does not listen. Any
 * thread. */
int machine_power_button(struct machine *machine);
/* Port n, for input; NULL if there is none. */
serial *machine_serial_port(struct machine *machine, size_t n);
/* Tells the guest's clock that it stood still just now. Any thread. */
void machine_paused(struct machine *machine);

/* The device tree that the guest is given and its size in bytes; NULL if it is told of the machine
 * in another way. */
const void *machine_tree(size_t *size, const struct machine *machine);

/* The most vCPUs and the most memory (bytes) that a machine can have on hv. */
void machine_limits(uint32_t *vcpus, uint64_t *memory, visor_hypervisor *hv);

#endif
