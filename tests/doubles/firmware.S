/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the hypervisors load as the firmware of a protected VM: it checks that x0 points to a device
 * tree, as Android's firmware reads one, and goes on to the payload at x1, with x1 to x3 as Linux
 * wants them and a mark in x8. A VM without a device tree it switches off.
 */
    .section .rodata
    .global double_firmware, double_firmware_size
    .balign 4
double_firmware:
    ldr     w9, [x0]
    movz    w10, #0xfeed
    movk    w10, #0xd00d, lsl #16
    rev     w9, w9
    cmp     w9, w10
    b.ne    1f
    mov     x9, x1
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    movz    x8, #0x6d66
    movk    x8, #0x7670, lsl #16
    br      x9
1:  movz    w0, #0x8
    movk    w0, #0x8400, lsl #16
    hvc     #0
    b       1b
double_firmware_size:
    .word   . - double_firmware
    .section .note.GNU-stack, "", %progbits
