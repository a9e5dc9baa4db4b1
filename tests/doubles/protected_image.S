/* SPDX-License-Identifier: BSD-3-Clause */
/* The head of protected_guest.c: an Image as in Documentation/arch/arm64/booting.rst of Linux, which
 * ends by switching the machine off. */
    .section .text.head, "ax"
    .global _start
_start:
    b       1f
    .word   0
    .quad   0                       /* offset from a multiple of 2 MiB */
    .quad   0x100000                /* bytes in memory, with the stack */
    .quad   0xa                     /* 4 KiB pages, anywhere in memory */
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
1:  adr     x1, _start
    add     x1, x1, #0x100, lsl #12
    mov     sp, x1
    mov     x1, x8                  /* the firmware's mark, if there was one */
    bl      guest
2:  movz    w0, #0x0008             /* PSCI's SYSTEM_OFF */
    movk    w0, #0x8400, lsl #16
    hvc     #0
    b       2b
    .section .note.GNU-stack, "", %progbits
