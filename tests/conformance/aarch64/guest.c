/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include <string.h>

#include "entry.h"

/* ---- set-ups of guests that are about AArch64 ---- */

uint64_t arm_reg(visor_vcpu *vcpu, uint32_t reg)
{
    uint64_t value;

    CHECK_OK(visor_aarch64_get_reg(&value, vcpu, reg));
    return value;
}

void arm_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    if (!entry_take_reg(vcpu, reg, value, true))
        CHECK_OK(visor_aarch64_set_reg(vcpu, reg, value));
}

visor_aarch64_regs arm_regs(visor_vcpu *vcpu)
{
    visor_aarch64_regs regs;

    CHECK_OK(visor_aarch64_get_regs(&regs, vcpu));
    return regs;
}

void arm_restart(struct guest *g, visor_vcpu *vcpu, const struct arm_setup *setup)
{
    visor_aarch64_regs regs = {.pc = guest_code + 0x1000 * visor_vcpu_id(vcpu),
                               .pstate = setup->pstate};

    if (regs.pstate == 0)
        regs.pstate = ARM_PSTATE_EL1H | ARM_PSTATE_DAIF;
    memcpy(regs.x, setup->x, sizeof(setup->x));
    guest_settle(vcpu);
    guest_put_program(g, vcpu, setup->code);
    entry_go(vcpu, &regs);
}

void arm_start(struct guest *g, const struct arm_setup *setup, const visor_vm_config *vm,
               const visor_aarch64_config *config)
{
    guest_create(g, vm);
    if (config != NULL)
        CHECK_OK(visor_aarch64_configure(g->vm, config));
    guest_add_vcpu(g, 0);
    arm_restart(g, g->vcpu, setup);
}

void arm_set_vector(struct guest *g, visor_vcpu *vcpu, unsigned offset, const struct code *code)
{
    CHECK(code->length <= 0x80);
    guest_put_code(g, ARM_VECTORS + offset, code);
    arm_set_reg(vcpu, ARM_VBAR_EL1, ARM_VECTORS);
    arm_set_reg(vcpu, ARM_SP_EL1, ARM_STACK - 0x1000 * visor_vcpu_id(vcpu));
}

/* ---- what the cases that all architectures share need ----
 *
 * x0, x1, x2 = a0, a1, a2. */

const uint64_t guest_base = 0x80000000u;
const uint64_t guest_code = 0x80010000u;
const uint64_t guest_data = 0x80020000u;
const uint64_t guest_hole = 0x90000000u;
const uint64_t guest_done = 0xbf000000u;
#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

VISOR_GUEST_ASM(load1, "ldrb w3, [x0];" DONE AGAIN);
VISOR_GUEST_ASM(load2, "ldrh w3, [x0];" DONE AGAIN);
VISOR_GUEST_ASM(load4, "ldr w3, [x0];" DONE AGAIN);
VISOR_GUEST_ASM(load8, "ldr x3, [x0];" DONE AGAIN);
VISOR_GUEST_ASM(store1, "strb w1, [x0]; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(store2, "strh w1, [x0]; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(store4, "str w1, [x0]; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(store8, "str x1, [x0]; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(fill, "mov x3, #0;"
                      "3: cmp x3, x2; b.eq 4f;"
                      "add x3, x3, #1; str x3, [x0]; add x0, x0, x1; b 3b;"
                      "4:" DONE AGAIN);
VISOR_GUEST_ASM(watch, "3: ldrb w3, [x0];" DONE "b 3b");
VISOR_GUEST_ASM(spin, "3: ldr x3, [x0]; add x3, x3, #1; str x3, [x0]; b 3b");
VISOR_GUEST_ASM(count, "3: ldr x3, [x0]; add x3, x3, #1; str x3, [x0];" DONE
                       "subs x1, x1, #1; b.ne 3b;" AGAIN);
VISOR_GUEST_ASM(add, "ldr x3, [x0]; ldr x4, [x1]; add x3, x3, x4;" DONE AGAIN);

const struct code *const guest_load[4] = {&load1, &load2, &load4, &load8};
const struct code *const guest_store[4] = {&store1, &store2, &store4, &store8};
const struct code *const guest_fill = &fill;
const struct code *const guest_watch = &watch;
const struct code *const guest_spin = &spin;
const struct code *const guest_count = &count;
const struct code *const guest_add = &add;

/* One table of 512 blocks of 1 GiB each: accessed, inner shareable, attribute 0 (normal) or 1
 * (device, never executed). Arm ARM, "VMSAv8-64 translation table format descriptors". */
void guest_arch_tables(struct guest *g)
{
    uint64_t table[512];

    for (uint64_t i = 0; i < 512; i++)
        table[i] =
            i << 30 | 1u << 10 | 3u << 8 | 1 | (i < 2 ? 1ull << 54 | 1ull << 53 | 1u << 2 : 0);
    put(g, ARM_TABLE, table, sizeof(table));
}

/* Arm ARM, chapter "AArch64 System Register Descriptions". */
static const struct {
    uint32_t reg;
    uint64_t value;
} with_mmu[] = {
    {ARM_MAIR_EL1, 0x00ff},
    {ARM_TTBR0_EL1, ARM_TABLE},
    /* 39 bits of 4 KiB pages, walks in write-back caches, inner shareable; no upper half; results
     * of 40 bits. */
    {ARM_TCR_EL1,
     25 | 1u << 8 | 1u << 10 | 3u << 12 | 25u << 16 | 1u << 23 | 2ull << 30 | 2ull << 32},
    {ARM_CPACR_EL1, 3u << 20}, /* FP and SIMD do not trap */
    /* The bits that are 1 in version 8.0; MMU, data and instruction caches. */
    {ARM_SCTLR_EL1, 0x30d00800u | 1u | 1u << 2 | 1u << 12},
};

/* Where the guest has to set them it may do without: the MMU off is as good for most. */
void guest_arch_vcpu(struct guest *g, visor_vcpu *vcpu)
{
    entry_forget(g, vcpu);
    for (unsigned i = 0; i < sizeof(with_mmu) / sizeof(with_mmu[0]); i++) {
        if (!entry_take_reg(vcpu, with_mmu[i].reg, with_mmu[i].value, false))
            CHECK_OK(visor_aarch64_set_reg(vcpu, with_mmu[i].reg, with_mmu[i].value));
    }
    /* Else it waits for PSCI. */
    if (visor_vcpu_id(vcpu) != 0 && visor_vm_cap(g->vm, VISOR_CAP_MP_STATE) > 0)
        CHECK_OK(visor_vcpu_set_mp_state(vcpu, VISOR_MP_RUNNABLE));
}

void guest_arch_enter(visor_vcpu *vcpu, uint64_t pc, uint64_t a0, uint64_t a1, uint64_t a2)
{
    const visor_aarch64_regs regs = {
        .x = {a0, a1, a2}, .pc = pc, .pstate = ARM_PSTATE_EL1H | ARM_PSTATE_DAIF};

    entry_go(vcpu, &regs);
}

uint64_t guest_arch_far(struct guest *g, uint64_t gpa)
{
    (void)g;
    return gpa;
}
