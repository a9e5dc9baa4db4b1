/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests of RV64 code with paging off, and the registers of RISC-V. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "bench.h"

const bool bench_has_pio = false;

/* 1: sb a0, 0(a1); j 1b */
static const uint32_t mmio_code[] = {0x00a58023, 0xffdff06f};
/*
 * lui a5, 0x40000
 * 2: mv a2, a1; li a3, 1024; lui a4, BENCH_STRIDE >> 12
 * 1: sb a0, 0(a2); add a2, a2, a4; addi a3, a3, -1; bnez a3, 1b
 *    sb a0, 0(a5); j 2b
 */
static const uint32_t dirty_code[] = {
    0x400007b7, 0x00058613, 0x40000693, 0x00100737, 0x00a60023,
    0x00e60633, 0xfff68693, 0xfe069ae3, 0x00a78023, 0xfe1ff06f,
};

const struct bench_guest *bench_guest(enum bench_row row)
{
    static const struct bench_guest mmio = {mmio_code, sizeof(mmio_code), BENCH_MMIO_GPA};
    static const struct bench_guest dirty = {dirty_code, sizeof(dirty_code), BENCH_DIRTY_GPA};

    return row == BENCH_DIRTY ? &dirty : &mmio;
}

static bool access_reg(int vcpu, unsigned long request, uint64_t id, uint64_t *value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

    return ioctl(vcpu, request, &reg) == 0;
}

static bool set_reg(int vcpu, uint64_t id, uint64_t value)
{
    return access_reg(vcpu, KVM_SET_ONE_REG, id, &value);
}

#define CORE_REG(n) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | (n))
#define CORE_REGS   33 /* pc, x1 to x31, mode */
#define CORE_A1     11

bool bench_raw_start(int vm, int vcpu, const struct bench_guest *guest)
{
    (void)vm;
    return set_reg(vcpu, CORE_REG(0), BENCH_CODE_GPA) &&
           set_reg(vcpu, CORE_REG(CORE_A1), guest->address);
}

bool bench_visor_configure(visor_vm *vm)
{
    (void)vm;
    return true;
}

bool bench_visor_start(visor_vcpu *vcpu, const struct bench_guest *guest)
{
    return visor_riscv_set_reg(vcpu, VISOR_RISCV_REG(VISOR_RISCV_CORE, 0), BENCH_CODE_GPA) == 0 &&
           visor_riscv_set_reg(vcpu, VISOR_RISCV_REG(VISOR_RISCV_CORE, CORE_A1), guest->address) ==
               0;
}

bool bench_raw_regs(int vcpu)
{
    uint64_t value[CORE_REGS];

    for (uint64_t i = 0; i < CORE_REGS; i++) {
        if (!access_reg(vcpu, KVM_GET_ONE_REG, CORE_REG(i), &value[i]))
            return false;
    }
    value[10]++;
    for (uint64_t i = 0; i < CORE_REGS; i++) {
        if (!access_reg(vcpu, KVM_SET_ONE_REG, CORE_REG(i), &value[i]))
            return false;
    }
    return true;
}

bool bench_visor_regs(visor_vcpu *vcpu)
{
    visor_riscv_regs regs;

    if (visor_riscv_get_regs(&regs, vcpu) < 0)
        return false;
    regs.x[10]++;
    return visor_riscv_set_regs(vcpu, &regs) == 0;
}
