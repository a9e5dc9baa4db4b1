/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include "riscv.h"

/* ---- set-ups of guests that are about RISC-V ---- */

visor_riscv_regs riscv_regs(visor_vcpu *vcpu)
{
    visor_riscv_regs regs;

    CHECK_OK(visor_riscv_get_regs(&regs, vcpu));
    return regs;
}

uint64_t riscv_reg(visor_vcpu *vcpu, enum visor_riscv_group group, uint32_t index)
{
    uint64_t value;

    CHECK_OK(visor_riscv_get_reg(&value, vcpu, VISOR_RISCV_REG(group, index)));
    return value;
}

void riscv_set_reg(visor_vcpu *vcpu, enum visor_riscv_group group, uint32_t index, uint64_t value)
{
    CHECK_OK(visor_riscv_set_reg(vcpu, VISOR_RISCV_REG(group, index), value));
}

bool riscv_has_isa(visor_vcpu *vcpu, enum riscv_isa isa)
{
    uint64_t value;

    return visor_riscv_get_reg(&value, vcpu, VISOR_RISCV_REG(VISOR_RISCV_ISA, isa)) == 0 &&
           value == 1;
}

void riscv_set_handler(struct guest *g, const struct code *handler)
{
    guest_put_code(g, RISCV_HANDLER, handler);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_STVEC, RISCV_HANDLER);
}

/* ---- what the cases that all architectures share need ---- */

const uint64_t guest_base = 0x80000000u;
const uint64_t guest_code = 0x80010000u;
const uint64_t guest_data = 0x80020000u;
const uint64_t guest_hole = 0x90000000u;
const uint64_t guest_done = 0x7f000000u;

VISOR_GUEST_ASM(load1, "lbu t0, 0(a0);" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(load2, "lhu t0, 0(a0);" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(load4, "lwu t0, 0(a0);" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(load8, "ld t0, 0(a0);" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(store1, "sb a1, 0(a0); li t0, 0;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(store2, "sh a1, 0(a0); li t0, 0;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(store4, "sw a1, 0(a0); li t0, 0;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(store8, "sd a1, 0(a0); li t0, 0;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(fill, "li t0, 0;"
                      "3: beq t0, a2, 4f;"
                      "addi t0, t0, 1; sd t0, 0(a0); add a0, a0, a1; j 3b;"
                      "4:" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(watch, "3: lbu t0, 0(a0);" RISCV_DONE "j 3b");
VISOR_GUEST_ASM(spin, "3: ld t0, 0(a0); addi t0, t0, 1; sd t0, 0(a0); j 3b");
VISOR_GUEST_ASM(count, "3: ld t0, 0(a0); addi t0, t0, 1; sd t0, 0(a0);" RISCV_DONE
                       "addi a1, a1, -1; bnez a1, 3b;" RISCV_AGAIN);
VISOR_GUEST_ASM(add, "ld t0, 0(a0); ld t1, 0(a1); add t0, t0, t1;" RISCV_DONE RISCV_AGAIN);

const struct code *const guest_load[4] = {&load1, &load2, &load4, &load8};
const struct code *const guest_store[4] = {&store1, &store2, &store4, &store8};
const struct code *const guest_fill = &fill;
const struct code *const guest_watch = &watch;
const struct code *const guest_spin = &spin;
const struct code *const guest_count = &count;
const struct code *const guest_add = &add;

void guest_arch_tables(struct guest *g)
{
    (void)g;
}

void guest_arch_vcpu(struct guest *g, visor_vcpu *vcpu)
{
    (void)g;
    if (visor_vcpu_id(vcpu) != 0) /* else it waits for SBI's hart_start */
        CHECK_OK(visor_vcpu_set_mp_state(vcpu, VISOR_MP_RUNNABLE));
}

void guest_arch_enter(visor_vcpu *vcpu, uint64_t pc, uint64_t a0, uint64_t a1, uint64_t a2)
{
    const visor_riscv_regs regs = {
        .pc = pc, .x = {[10] = a0, [11] = a1, [12] = a2}, .mode = VISOR_RISCV_SUPERVISOR};

    CHECK_OK(visor_riscv_set_regs(vcpu, &regs));
}

uint64_t guest_arch_far(struct guest *g, uint64_t gpa)
{
    (void)g;
    return gpa;
}
