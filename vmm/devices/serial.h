/* SPDX-License-Identifier: BSD-3-Clause */
/* 16550A UART (National Semiconductor PC16550D data sheet), at a port or an MMIO address. */
#ifndef VMM_DEVICES_SERIAL_H
#define VMM_DEVICES_SERIAL_H

#include "devices/device.h"

typedef struct serial serial;

typedef struct serial_config {
    visor_space space;
    uint64_t address;
    uint32_t stride; /* bytes between registers: 1 on a PC */
    uint32_t gsi;
    /* Not a UART but the debug console of Bochs and QEMU: one port that takes bytes and reads as
     * 0xe9, by which it is known. */
    bool debug_console;
    /*
     * Where the guest's bytes go: returns how many it took, at once. If it takes less than all, the
     * rest waits in the UART, whose transmitter then is not empty, until serial_write_ready(). A
     * guest that does not look and goes on writing is held (its vCPU blocks), so no byte is lost.
     * One with a time of its own (vmm_host.guest_time) is held at once, so it sees none of this.
     * Called with the UART's lock held. NULL: bytes go nowhere.
     */
    size_t (*write)(void *context, const uint8_t *data, size_t length);
    /* The guest has taken bytes: serial_room() is not 0 any more. May be NULL. Same rules. */
    void (*read_ready)(void *context);
    void *context;
} serial_config;

/* COM1. */
#define SERIAL_CONFIG_PC                                            \
    {                                                               \
        .space = VISOR_PIO, .address = 0x3f8, .stride = 1, .gsi = 4 \
    }
#define SERIAL_REGISTERS 8
#define DEBUG_CONSOLE    0xe9 /* what it reads as, and where Bochs has it */

int serial_create(serial **out, const vmm_host *host, const serial_config *config,
                  vmm_error *error);
void serial_free(serial *uart);

/* How many bytes serial_input() would take now: stop reading the host's descriptor at 0. */
size_t serial_room(serial *uart);
/* Bytes for the guest; returns how many were taken. Any thread. */
size_t serial_input(serial *uart, const uint8_t *data, size_t length);
/* A break condition on the line (Linux: Magic SysRq). */
void serial_break(serial *uart);

/* The sink can take bytes again. Any thread, without the sink's own locks held. */
void serial_write_ready(void *uart);
/* Lets go of vCPUs that wait for the sink, for good: bytes that it does not take are dropped. */
void serial_stop(serial *uart);

#endif
