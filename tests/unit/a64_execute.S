/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * void execute(void): loads all registers from the case at A64_CASE_STATE, save for X30, and jumps to
 * the page of code. That loads X30, has the instruction, and jumps to execute_end, which stores
 * everything: TPIDR_EL0, which is the thread pointer of the C library, holds X30 meanwhile.
 */
#include "a64_case.h"

#define HOST (A64_CASE_STATE + 0x1000) /* where SP and TPIDR_EL0 of this program wait */

    .macro v_pair op, a, b
    \op     q\a, q\b, [x30, #16 * \a]
    .endm
    .macro all_v op
    v_pair  \op, 0, 1
    v_pair  \op, 2, 3
    v_pair  \op, 4, 5
    v_pair  \op, 6, 7
    v_pair  \op, 8, 9
    v_pair  \op, 10, 11
    v_pair  \op, 12, 13
    v_pair  \op, 14, 15
    v_pair  \op, 16, 17
    v_pair  \op, 18, 19
    v_pair  \op, 20, 21
    v_pair  \op, 22, 23
    v_pair  \op, 24, 25
    v_pair  \op, 26, 27
    v_pair  \op, 28, 29
    v_pair  \op, 30, 31
    .endm

    .macro x_pair op, a, b
    \op     x\a, x\b, [x30, #8 * \a]
    .endm
    .macro all_x op
    x_pair  \op, 0, 1
    x_pair  \op, 2, 3
    x_pair  \op, 4, 5
    x_pair  \op, 6, 7
    x_pair  \op, 8, 9
    x_pair  \op, 10, 11
    x_pair  \op, 12, 13
    x_pair  \op, 14, 15
    x_pair  \op, 16, 17
    x_pair  \op, 18, 19
    x_pair  \op, 20, 21
    x_pair  \op, 22, 23
    x_pair  \op, 24, 25
    x_pair  \op, 26, 27
    x_pair  \op, 28, 29
    .endm

    .macro callee_saved op
    \op     x19, x20, [sp, #16]
    \op     x21, x22, [sp, #32]
    \op     x23, x24, [sp, #48]
    \op     x25, x26, [sp, #64]
    \op     x27, x28, [sp, #80]
    \op     d8, d9, [sp, #96]
    \op     d10, d11, [sp, #112]
    \op     d12, d13, [sp, #128]
    \op     d14, d15, [sp, #144]
    .endm

    .text
    .global execute, execute_end
execute:
    stp     x29, x30, [sp, #-160]!
    callee_saved stp
    mov     x0, sp
    mrs     x1, tpidr_el0
    ldr     x2, =HOST
    stp     x0, x1, [x2]
    ldr     x30, =A64_CASE_STATE
    all_v   ldp
    add     x30, x30, #A64_CASE_X
    ldr     x0, [x30, #8 * 31]
    mov     sp, x0
    all_x   ldp
    ldr     x30, =A64_CASE_PAGE
    br      x30

execute_end:
    msr     tpidr_el0, x30
    ldr     x30, =A64_CASE_STATE
    all_v   stp
    add     x30, x30, #A64_CASE_X
    all_x   stp
    mrs     x0, tpidr_el0
    mov     x1, sp
    stp     x0, x1, [x30, #8 * 30]
    ldr     x2, =HOST
    ldp     x0, x1, [x2]
    msr     tpidr_el0, x1
    mov     sp, x0
    callee_saved ldp
    ldp     x29, x30, [sp], #160
    ret

    .section .note.GNU-stack, "", %progbits
