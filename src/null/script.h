/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest of the null backend executes: instead of machine code, an array of these steps in
 * guest memory, at CS.base + RIP. So a test writes the guest's behaviour where any guest has it:
 *
 *     const struct null_step script[] = {
 *         NULL_OUT(0x10, 1, 0x42),       // VISOR_EXIT_IO
 *         NULL_STORE(0xd0000000, 4, 7),  // VISOR_EXIT_MMIO, unless there is memory
 *         NULL_HALT,
 *     };
 *
 * Anything else in memory, or no memory, is a HLT that does not advance: what a fresh VM does.
 */
#ifndef VISOR_NULL_SCRIPT_H
#define VISOR_NULL_SCRIPT_H

#include <stdint.h>

#define NULL_STEP_MAGIC 0x6c6c756eu /* "null" */

enum null_kind {
    NULL_KIND_HALT,  /* VISOR_EXIT_HLT */
    NULL_KIND_OUT,   /* port write of value */
    NULL_KIND_IN,    /* port read into RAX */
    NULL_KIND_STORE, /* memory write of value */
    NULL_KIND_LOAD,  /* memory read into RAX */
    NULL_KIND_JUMP,  /* RIP = value */
    NULL_KIND_SPIN,  /* runs until it is kicked, and then again */
    /*
     * The exit `value`, with a payload of `length` bytes from `address` copied to the beginning of
     * the union of visor_exit (none if there is no memory). What the caller answers to HYPERCALL
     * and MSR goes to RAX.
     */
    NULL_KIND_EXIT,
};

struct null_step {
    uint32_t magic;
    uint16_t kind;
    uint16_t repeat; /* of IN, OUT, LOAD, STORE: further parts of the access, with value + 1, ... */
    uint32_t length; /* bytes of the access */
    uint32_t reserved;
    uint64_t address;
    uint64_t value;
};

#define NULL_STEP_(kind_, repeat_, address_, length_, value_)                     \
    {                                                                             \
        .magic = NULL_STEP_MAGIC, .kind = NULL_KIND_##kind_, .repeat = (repeat_), \
        .address = (address_), .length = (length_), .value = (value_)             \
    }
#define NULL_HALT                          NULL_STEP_(HALT, 0, 0, 0, 0)
#define NULL_OUT(port, length, value)      NULL_STEP_(OUT, 0, port, length, value)
#define NULL_IN(port, length)              NULL_STEP_(IN, 0, port, length, 0)
#define NULL_STORE(address, length, value) NULL_STEP_(STORE, 0, address, length, value)
#define NULL_LOAD(address, length)         NULL_STEP_(LOAD, 0, address, length, 0)
#define NULL_JUMP(target)                  NULL_STEP_(JUMP, 0, 0, 0, target)
#define NULL_SPIN                          NULL_STEP_(SPIN, 0, 0, 0, 0)
#define NULL_EXIT(reason, address, length) NULL_STEP_(EXIT, 0, address, length, reason)
/* times >= 1 accesses in a row, as repeated string I/O has them. */
#define NULL_REP_OUT(times, port, length, value) NULL_STEP_(OUT, (times)-1, port, length, value)
#define NULL_REP_IN(times, port, length)         NULL_STEP_(IN, (times)-1, port, length, 0)

#endif
