/* SPDX-License-Identifier: BSD-3-Clause */
/* A kernel that switches the machine off: an Image as in Documentation/arm64/booting.rst of Linux. */
    .text
    .global _start
_start:
    b       1f
    .word   0
    .quad   0                       /* offset from a multiple of 2 MiB */
    .quad   end - _start            /* bytes in memory */
    .quad   0xa                     /* 4 KiB pages, anywhere in memory */
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
1:  movz    w0, #0x0008             /* PSCI's SYSTEM_OFF */
    movk    w0, #0x8400, lsl #16
    hvc     #0
    b       1b
    .balign 4096
end:
