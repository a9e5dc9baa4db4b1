/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests of A64 code with the MMU off, and the registers of AArch64. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "bench.h"

const bool bench_has_pio = false;

/* 1: strb w0, [x1]; b 1b */
static const uint32_t mmio_code[] = {0x39000020, 0x17ffffff};
/*
 * mov x5, #0x40000000
 * 2: mov x2, x1; mov x3, #1024; mov x4, #BENCH_STRIDE
 * 1: strb w0, [x2]; add x2, x2, x4; subs x3, x3, #1; b.ne 1b
 *    strb w0, [x5]; b 2b
 */
static const uint32_t dirty_code[] = {
    0xd2a80005, 0xaa0103e2, 0xd2808003, 0xd2a00204, 0x39000040,
    0x8b040042, 0xf1000463, 0x54ffffa1, 0x390000a0, 0x17fffff8,
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

#define CORE_REG(name) \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define CORE_REGS 34 /* X0 to X30, SP, PC, PSTATE: neighbours in struct kvm_regs */

bool bench_raw_start(int vm, int vcpu, const struct bench_guest *guest)
{
    struct kvm_vcpu_init init;

    if (ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init) != 0)
        return false;
    init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
    return ioctl(vcpu, KVM_ARM_VCPU_INIT, &init) == 0 &&
           set_reg(vcpu, CORE_REG(regs.pc), BENCH_CODE_GPA) &&
           set_reg(vcpu, CORE_REG(regs.regs[1]), guest->address);
}

bool bench_visor_configure(visor_vm *vm)
{
    const visor_aarch64_config config = {.size = sizeof(config)};

    return visor_aarch64_configure(vm, &config) == 0;
}

bool bench_visor_start(visor_vcpu *vcpu, const struct bench_guest *guest)
{
    return visor_aarch64_set_reg(vcpu, VISOR_AARCH64_PC, BENCH_CODE_GPA) == 0 &&
           visor_aarch64_set_reg(vcpu, VISOR_AARCH64_X(1), guest->address) == 0;
}

bool bench_raw_regs(int vcpu)
{
    uint64_t value[CORE_REGS];

    for (uint64_t i = 0; i < CORE_REGS; i++) {
        if (!access_reg(vcpu, KVM_GET_ONE_REG, CORE_REG(regs.regs[0]) + 2 * i, &value[i]))
            return false;
    }
    value[0]++;
    for (uint64_t i = 0; i < CORE_REGS; i++) {
        if (!access_reg(vcpu, KVM_SET_ONE_REG, CORE_REG(regs.regs[0]) + 2 * i, &value[i]))
            return false;
    }
    return true;
}

bool bench_visor_regs(visor_vcpu *vcpu)
{
    visor_aarch64_regs regs;

    if (visor_aarch64_get_regs(&regs, vcpu) < 0)
        return false;
    regs.x[0]++;
    return visor_aarch64_set_regs(vcpu, &regs) == 0;
}
