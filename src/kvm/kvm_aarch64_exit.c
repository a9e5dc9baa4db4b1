/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64 exits and the answers to them. */
#include <string.h>

#include "assist/assist.h"
#include "kvm/kvm_aarch64.h"

/* ---- accesses without a syndrome ---- */

static uint32_t public_reg(enum visor__a64_register reg)
{
    switch (reg) {
    case VISOR__A64_SP_EL0: return VISOR_AARCH64_SP;
    case VISOR__A64_SP_EL1: return VISOR_AARCH64_SYSREG(3, 4, 4, 1, 0);
    case VISOR__A64_PC: return VISOR_AARCH64_PC;
    case VISOR__A64_PSTATE: return VISOR_AARCH64_PSTATE;
    case VISOR__A64_SCTLR_EL1: return VISOR_AARCH64_SYSREG(3, 0, 1, 0, 0);
    case VISOR__A64_TCR_EL1: return VISOR_AARCH64_SYSREG(3, 0, 2, 0, 2);
    case VISOR__A64_TCR2_EL1: return VISOR_AARCH64_SYSREG(3, 0, 2, 0, 3);
    case VISOR__A64_TTBR0_EL1: return VISOR_AARCH64_SYSREG(3, 0, 2, 0, 0);
    case VISOR__A64_TTBR1_EL1: return VISOR_AARCH64_SYSREG(3, 0, 2, 0, 1);
    default: return VISOR_AARCH64_X((uint32_t)reg);
    }
}

static int assist_get(uint64_t *out, void *context, enum visor__a64_register reg)
{
    int ret = kvm_aarch64_get_reg(out, context, public_reg(reg));

    if (ret == VISOR_ENOENT && reg == VISOR__A64_TCR2_EL1) {
        *out = 0;
        return 0;
    }
    return ret;
}

static int assist_set(void *context, enum visor__a64_register reg, uint64_t value)
{
    return kvm_aarch64_put_reg(context, public_reg(reg), value);
}

static int assist_get_v(uint8_t out[16], void *context, unsigned n)
{
    uint64_t value[2];
    int ret = kvm_aarch64_get_vector(value, context, n);

    if (ret == 0)
        memcpy(out, value, sizeof(value));
    return ret;
}

static int assist_set_v(void *context, unsigned n, const uint8_t value[16])
{
    uint64_t halves[2];

    memcpy(halves, value, sizeof(halves));
    return kvm_aarch64_put_vector(context, n, halves);
}

static int assist_memory(void *context, uint64_t gpa, void *data, size_t length, bool is_write)
{
    visor_vcpu *vcpu = context;

    return visor__assist_memory(vcpu->vm, gpa, data, length, is_write);
}

static const struct visor__a64_ops assist_ops = {
    .get = assist_get,
    .set = assist_set,
    .get_v = assist_get_v,
    .set_v = assist_set_v,
    .memory = assist_memory,
};

/* The assist's next word; an access that it hands out wants an answer. */
static int assisted(visor_vcpu *vcpu, int reason)
{
    if (reason == VISOR_EXIT_MMIO)
        kvm_vcpu_of(vcpu)->due = KVM_EXIT_ARM_NISV;
    return reason;
}

static int exit_nisv(visor_vcpu *vcpu)
{
    struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    const struct kvm_run *run = a->common.run;
    int reason = assisted(vcpu, visor__a64_start(&vcpu->exit, &a->assist, &assist_ops, vcpu,
                                                 run->arm_nisv.fault_ipa, run->arm_nisv.esr_iss,
                                                 a->zva_length));

    return reason == VISOR_EXIT_NONE ? KVM_EXIT_DONE : reason;
}

int kvm_aarch64_complete(visor_vcpu *vcpu, bool moves_pc)
{
    struct visor__a64_assist *assist = &kvm_aarch64_vcpu_of(vcpu)->assist;
    visor_exit next;
    int ret = kvm_vcpu_complete(vcpu);

    if (ret < 0 || !assist->active)
        return ret;
    ret = visor__a64_next(&next, assist);
    /* The next run asks for what is left, unless the vCPU is to be elsewhere. */
    if (ret == VISOR_EXIT_MMIO && moves_pc)
        *assist = (struct visor__a64_assist){0};
    return ret < 0 ? ret : 0;
}

/* KVM completes an access of its own in any case: what that changes is put back. */
int kvm_aarch64_abandon(visor_vcpu *vcpu)
{
    struct kvm_aarch64_vcpu *a = kvm_aarch64_vcpu_of(vcpu);
    uint64_t x[31], pc;
    int ret = kvm_aarch64_get_reg(&pc, vcpu, VISOR_AARCH64_PC);

    a->assist = (struct visor__a64_assist){0};
    if (a->common.due == KVM_EXIT_ARM_NISV)
        a->common.due = 0;
    if (!a->common.unsettled)
        return ret;
    for (uint32_t i = 0; ret == 0 && i < 31; i++)
        ret = kvm_aarch64_get_reg(&x[i], vcpu, VISOR_AARCH64_X(i));
    if (ret == 0)
        ret = kvm_vcpu_complete(vcpu);
    for (uint32_t i = 0; ret == 0 && i < 31; i++)
        ret = kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_X(i), x[i]);
    return ret < 0 ? ret : kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_PC, pc);
}

/* ---- hypercalls ---- */

/*
 * SMCCC (Arm DEN 0028): the function is in W0, arguments in X1 and up, results from X0 on. The
 * guest's PC is behind the call already (api.rst 5, KVM_EXIT_HYPERCALL).
 */
static int exit_hypercall(visor_vcpu *vcpu)
{
    visor_exit *exit = &vcpu->exit;
    uint64_t x[9];

    for (uint32_t i = 0; i < 9; i++) {
        int ret = kvm_aarch64_get_reg(&x[i], vcpu, VISOR_AARCH64_X(i));

        if (ret < 0)
            return ret;
    }
    exit->hypercall.number = (uint32_t)x[0];
    exit->hypercall.extension = 0;
    memcpy(exit->hypercall.args, &x[1], sizeof(exit->hypercall.args));
    memset(exit->hypercall.results, 0, sizeof(exit->hypercall.results));
    exit->hypercall.results[0] = UINT64_MAX; /* NOT_SUPPORTED */
    exit->hypercall.result_count = 4;
    exit->hypercall.long_mode = false;
    kvm_vcpu_of(vcpu)->due = KVM_EXIT_HYPERCALL;
    return VISOR_EXIT_HYPERCALL;
}

static void answer_hypercall(visor_vcpu *vcpu)
{
    /* General registers can always be set: there is no error to be told. */
    for (uint32_t i = 0; i < 4; i++)
        (void)kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_X(i), vcpu->exit.hypercall.results[i]);
}

/* ---- all of them ---- */

void kvm_arch_enter(visor_vcpu *vcpu)
{
    (void)vcpu;
}

void kvm_arch_left(visor_vcpu *vcpu, int err)
{
    (void)vcpu;
    (void)err;
}

int kvm_arch_exit(visor_vcpu *vcpu)
{
    switch (kvm_vcpu_of(vcpu)->run->exit_reason) {
    case KVM_EXIT_ARM_NISV: return exit_nisv(vcpu);
    case KVM_EXIT_HYPERCALL: return exit_hypercall(vcpu);
    case KVM_EXIT_DEBUG: return kvm_aarch64_debug_exit(vcpu);
    default: return VISOR_EXIT_NONE;
    }
}

void kvm_arch_answer(visor_vcpu *vcpu, uint32_t due)
{
    if (due == KVM_EXIT_HYPERCALL)
        answer_hypercall(vcpu);
    else if (due == KVM_EXIT_ARM_NISV)
        visor__a64_answer(&kvm_aarch64_vcpu_of(vcpu)->assist, &vcpu->exit.io);
}

int kvm_arch_part(visor_vcpu *vcpu)
{
    return assisted(vcpu, visor__a64_next(&vcpu->exit, &kvm_aarch64_vcpu_of(vcpu)->assist));
}
