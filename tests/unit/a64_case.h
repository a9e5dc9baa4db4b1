/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One instruction and the state around it, as assist_native_test.c sends it to a64_native.c, which
 * executes it on an A64 processor and sends the same structure back with the state after it.
 *
 * Both have the memory at the same addresses, around the boundary of two pages.
 */
#ifndef VISOR_TESTS_A64_CASE_H
#define VISOR_TESTS_A64_CASE_H

#define A64_CASE_WINDOW   0x100000 /* two pages */
#define A64_CASE_BOUNDARY 0x101000
#define A64_CASE_MEMORY   0x100e00
#define A64_CASE_BYTES    0x400    /* of these pages, half of them on either side */
#define A64_CASE_PAGE     0x103000 /* of code */
#define A64_CASE_CODE     0x103004 /* the instruction */
#define A64_CASE_STATE    0x110000 /* the native program's own */
#define A64_CASE_BATCH    256u
#define A64_CASE_X        512 /* offset of x */

#ifndef __ASSEMBLER__
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* a64_execute.S knows this order. */
struct a64_case {
    uint8_t v[32][16];
    uint64_t x[31];
    uint64_t sp;
    uint8_t memory[A64_CASE_BYTES];
    uint64_t word;
};
static_assert(offsetof(struct a64_case, x) == A64_CASE_X, "as a64_execute.S has it");
#endif

#endif
