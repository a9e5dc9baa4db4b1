/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a hart when a supervisor's first instruction runs: the hypervisor plays M mode and
 * has set up what the Privileged Architecture leaves open. What describes the hart stays.
 */
#include <string.h>

#include "core/riscv.h"

#define STAYS(name)                                                             \
    int visor__reset_riscv_##name(void *value, size_t length, visor_vcpu *vcpu) \
    {                                                                           \
        (void)value;                                                            \
        (void)length;                                                           \
        (void)vcpu;                                                             \
        return 0;                                                               \
    }
STAYS(config)
STAYS(isa)
STAYS(sbi)
STAYS(sbi_state)

#define ZEROED(name)                                                            \
    int visor__reset_riscv_##name(void *value, size_t length, visor_vcpu *vcpu) \
    {                                                                           \
        (void)vcpu;                                                             \
        memset(value, 0, length);                                               \
        return 1;                                                               \
    }
ZEROED(fp)

int visor__reset_riscv_mp_state(void *value, size_t length, visor_vcpu *vcpu)
{
    const uint32_t state = vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_STOPPED;

    memcpy(value, &state, length);
    return 1;
}

int visor__reset_riscv_regs(void *value, size_t length, visor_vcpu *vcpu)
{
    const visor_riscv_regs regs = {.mode = VISOR_RISCV_SUPERVISOR};

    (void)vcpu;
    memcpy(value, &regs, length);
    return 1;
}

/* scounteren stays as KVM has it: what the guest may read there follows from the hart. */
#define CSR_SCOUNTEREN 0x106

int visor__reset_riscv_csrs(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_reg *regs = value;

    (void)vcpu;
    for (size_t i = 0; i < length / sizeof(*regs); i++) {
        if (regs[i].id != VISOR_RISCV_REG(VISOR_RISCV_CSR, CSR_SCOUNTEREN))
            regs[i].value = 0;
    }
    return 1;
}

/* vlenb, the fifth number of the image, describes the hart. */
int visor__reset_riscv_vector(void *value, size_t length, visor_vcpu *vcpu)
{
    uint8_t *image = value;

    (void)vcpu;
    if (length < 40)
        return 0;
    memset(image, 0, 32);
    memset(image + 40, 0, length - 40);
    return 1;
}

/* Time goes on; an armed timer does not. */
int visor__reset_riscv_timer(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_riscv_timer *timer = value;

    (void)length;
    (void)vcpu;
    timer->compare = UINT64_MAX;
    timer->armed = 0;
    return 1;
}
