/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the generic cases about interrupts: an APLIC that sends messages, and the hart's
 * IMSIC (Advanced Interrupt Architecture, chapters 2 to 4). An interrupt identity is its number.
 */
#include "guest.h"
#include "riscv.h"

#define SOURCE_EDGE   4u
#define SOURCE_LEVEL  5u
#define FIRST_MESSAGE 20u

/* Below 32: see aia/high_identity. */
const struct guest_line guest_edge = {.gsi = SOURCE_EDGE, .number = 11};
const struct guest_line guest_level = {.gsi = SOURCE_LEVEL, .number = 12};

/*
 * s2: the APLIC. domaincfg; sourcecfg, target and setienum of both sources. Then the IMSIC through
 * siselect and sireg: eidelivery, eithreshold, eie0. Last of all stvec, sie and sstatus.
 */
VISOR_GUEST_ASM(take_interrupts,
                "li t0, 0x104; sw t0, 0(s2);"
                "li t0, 4; sw t0, 16(s2); li t0, 6; sw t0, 20(s2);"
                "li t1, 0x3000; add t1, t1, s2; li t0, 11; sw t0, 16(t1); li t0, 12; sw t0, 20(t1);"
                "li t1, 0x1edc; add t1, t1, s2; li t0, 4; sw t0, 0(t1); li t0, 5; sw t0, 0(t1);"
                "li t0, 0x70; csrw 0x150, t0; li t0, 1; csrw 0x151, t0;"
                "li t0, 0x72; csrw 0x150, t0; csrw 0x151, zero;"
                "li t0, 0xc0; csrw 0x150, t0; li t0, -2; csrw 0x151, t0;"
                "csrw stvec, s3; li t0, 0x200; csrw sie, t0;"
                "lui t1, 0x7f000; sd zero, 0(t1);"
                "csrsi sstatus, 2; 3: wfi; j 3b");
/* stopei claims. A level that is still high has to be asked for again: setipnum. */
VISOR_GUEST_ASM(tell_identity, "csrrw t0, 0x15c, zero; srli t0, t0, 16; beqz t0, 1f;"
                               "lui t1, 0x7f000; sd t0, 0(t1); li t2, 12; bne t0, t2, 1f;"
                               "li t1, 0x1cdc; add t1, t1, s2; li t0, 5; sw t0, 0(t1);"
                               "1: sret");

visor_riscv_config riscv_config(struct guest *g)
{
    visor_riscv_config config = VISOR_RISCV_CONFIG_INIT;

    CHECK_OK(visor_riscv_get_config(&config, g->vm));
    return config;
}

struct guest_message guest_message(struct guest *g, unsigned n)
{
    return (struct guest_message){
        .msi = {.address = riscv_config(g).imsic_gpa, .data = FIRST_MESSAGE + n},
        .number = FIRST_MESSAGE + n};
}

void guest_arch_irqs(struct guest *g)
{
    visor_riscv_regs regs = {.pc = guest_code, .mode = VISOR_RISCV_SUPERVISOR};

    NEED(g, RISCV_AIA);
    regs.x[18] = riscv_config(g).aplic_gpa;
    regs.x[19] = guest_code + 0x800;
    guest_put_program(g, g->vcpu, &take_interrupts);
    guest_put_code(g, guest_code + 0x800, &tell_identity);
    CHECK_OK(visor_riscv_set_regs(g->vcpu, &regs));
}
