/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests of the doubles' tests: guest_NAME, of guest_NAME_size bytes, wherever they are put. */
    .section .rodata

    .macro guest name
    .global guest_\name
    .balign 0x800                   /* as vectors want it */
guest_\name:
    .endm
    .macro end name
    .global guest_\name\()_size
    .balign 4
guest_\name\()_size:
    .word   . - guest_\name
    .endm
    /* PSCI functions of 32 bits */
    .macro psci number
    movz    w0, #\number
    movk    w0, #0x8400, lsl #16
    hvc     #0
    .endm

/* Writes w1 to where x0 points, reads it back and writes that to the next word, and x8 behind it. */
guest mmio
    str     w1, [x0]
    ldr     w2, [x0]
    str     w2, [x0, #4]
    str     x8, [x0, #8]
    psci    0x0008
end mmio

guest reset
    psci    0x0009
end reset

guest spin
    b       .
end spin

/* Tells at x3 which interrupts come. x0: distributor, x1: redistributor, x4: 1 to start the timer. */
guest interrupts
    adr     x5, 3f
    msr     vbar_el1, x5
    mov     x5, #0xff
    msr     S3_0_C4_C6_0, x5        /* ICC_PMR_EL1 */
    mov     x5, #1
    msr     S3_0_C12_C12_7, x5      /* ICC_IGRPEN1_EL1 */
    isb
    mov     w5, #0x12               /* affinity routing, group 1 */
    str     w5, [x0]
    mov     w5, #-1
    str     w5, [x0, #0x84]         /* IGROUPR1 */
    str     w5, [x0, #0x104]        /* ISENABLER1 */
    add     x1, x1, #0x10000
    str     w5, [x1, #0x80]
    mov     w5, #0x08000000         /* PPI 27, the virtual timer */
    str     w5, [x1, #0x100]
    cbz     x4, 1f
    mov     x5, #1000
    msr     cntv_tval_el0, x5
    mov     x5, #1
    msr     cntv_ctl_el0, x5
1:  str     xzr, [x3, #8]           /* ready */
    msr     daifclr, #2
2:  wfi
    b       2b
    .balign 0x800
3:
    .space  0x280                   /* IRQ, from the same level with its own stack */
    mrs     x2, S3_0_C12_C12_0      /* ICC_IAR1_EL1 */
    msr     cntv_ctl_el0, xzr
    dsb     sy
    str     x2, [x3]
    msr     S3_0_C12_C12_1, x2      /* ICC_EOIR1_EL1 */
    eret
    .space  0x800
end interrupts

/* Switches on the vCPU whose affinity is 1, which writes to where x0 points, then all off. */
guest second
    mov     x10, x0
    movz    w0, #3
    movk    w0, #0xc400, lsl #16
    mov     x1, #1
    adr     x2, 1f
    mov     x3, x10
    hvc     #0
2:  wfi
    b       2b
1:  mov     w1, #0x5678
    str     w1, [x0]
    psci    0x0008
end second

/* Writes to memory that is only to be read, at x0, then as guest_mmio at x1. */
guest readonly
    mov     w2, #1
    str     w2, [x0]
    mov     x0, x1
    mov     w1, #0x1234
    str     w1, [x0]
    psci    0x0008
end readonly
    .section .note.GNU-stack, "", %progbits
