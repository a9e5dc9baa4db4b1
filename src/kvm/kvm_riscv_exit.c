/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V exits and the answers to them, and guest debugging. */
#include <errno.h>
#include <string.h>

#include "kvm/kvm_riscv.h"

#define CORE(index) VISOR_RISCV_REG(VISOR_RISCV_CORE, index)
#define REG_A0      10
#define REG_A7      17

/* ---- supervisor calls and control registers ---- */

/* SBI, chapter 3: a0 is an error, a1 a value. Until somebody answers it is as KVM has filled it in:
 * SBI_ERR_NOT_SUPPORTED. */
static int exit_sbi(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    memset(&exit->hypercall, 0, sizeof(exit->hypercall));
    exit->hypercall.extension = k->run->riscv_sbi.extension_id;
    exit->hypercall.number = k->run->riscv_sbi.function_id;
    for (size_t i = 0; i < 6; i++)
        exit->hypercall.args[i] = k->run->riscv_sbi.args[i];
    exit->hypercall.results[0] = k->run->riscv_sbi.ret[0];
    exit->hypercall.results[1] = k->run->riscv_sbi.ret[1];
    exit->hypercall.result_count = 2;
    k->due = KVM_EXIT_RISCV_SBI;
    k->unsettled = true;
    return VISOR_EXIT_SBI;
}

static int exit_csr(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    exit->csr.csr = (uint32_t)k->run->riscv_csr.csr_num;
    exit->csr.new_value = k->run->riscv_csr.new_value;
    exit->csr.write_mask = k->run->riscv_csr.write_mask;
    exit->csr.value = k->run->riscv_csr.ret_value;
    k->due = KVM_EXIT_RISCV_CSR;
    k->unsettled = true;
    return VISOR_EXIT_CSR;
}

void kvm_arch_answer(visor_vcpu *vcpu, uint32_t due)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;

    switch (due) {
    case KVM_EXIT_RISCV_SBI:
        run->riscv_sbi.ret[0] = vcpu->exit.hypercall.results[0];
        run->riscv_sbi.ret[1] = vcpu->exit.hypercall.results[1];
        break;
    case KVM_EXIT_RISCV_CSR: run->riscv_csr.ret_value = vcpu->exit.csr.value; break;
    default: break;
    }
}

/* ---- system events ---- */

#define SBI_EXT_SRST 0x53525354

/*
 * KVM tells the reason that the guest gave, but not whether a reboot is a cold or a warm one. The
 * call is still in the registers: a0 is its type (SBI, chapter 10).
 */
static void complete_system_event(visor_vcpu *vcpu)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;
    uint64_t extension, type;

    if (run->system_event.type != KVM_SYSTEM_EVENT_SHUTDOWN &&
        run->system_event.type != KVM_SYSTEM_EVENT_RESET)
        return;
    if (kvm_riscv_get_reg(&extension, vcpu, CORE(REG_A7)) < 0 || extension != SBI_EXT_SRST ||
        kvm_riscv_get_reg(&type, vcpu, CORE(REG_A0)) < 0)
        return;
    run->system_event.ndata = 2; /* data[0] is the reason, also in kernels that have no count */
    run->system_event.data[1] = type;
}

/* ---- accesses that KVM does not complete ---- */

void kvm_arch_enter(visor_vcpu *vcpu)
{
    (void)vcpu;
}

/*
 * A load or store where nothing is that is not aligned (EIO), or by an instruction that KVM does
 * not decode (EOPNOTSUPP), makes KVM_RUN fail. But the guest did it, and nothing has happened yet:
 * an exit, with the address of the instruction.
 */
void kvm_arch_left(visor_vcpu *vcpu, int err)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;
    uint64_t pc;

    if ((err != EIO && err != EOPNOTSUPP) || kvm_riscv_get_reg(&pc, vcpu, CORE(0)) < 0)
        return;
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->internal.ndata = 1;
    run->internal.data[0] = pc;
}

/* ---- debugging ---- */

static int exit_debug(visor_vcpu *vcpu)
{
    visor_exit *exit = &vcpu->exit;

    memset(&exit->debug, 0, sizeof(exit->debug));
    exit->debug.exception = 3; /* cause of a breakpoint (Privileged Architecture, 3.1.15) */
    return kvm_riscv_get_reg(&exit->debug.pc, vcpu, CORE(0)) < 0 ? visor_error_last()->code
                                                                 : VISOR_EXIT_DEBUG;
}

/* Linux 6.10 and later stop at the guest's breakpoint instructions. They take any request to step,
 * and do not. */
static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct kvm_guest_debug debug = {0};
    int ret;

    if (config->single_step)
        return visor__unsupported(vcpu->vm->hv, "KVM_SET_GUEST_DEBUG",
                                  "KVM does not step RISC-V guests");
    if (config->software_breakpoints)
        debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    else if (kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_SET_GUEST_DEBUG) <= 0)
        return 0; /* off, as it always is */
    ret = kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, KVM_SET_GUEST_DEBUG, (uintptr_t)&debug);
    if (ret == -EINVAL) {
        visor__error_native(VISOR_EUNSUPPORTED, "kvm", "KVM_SET_GUEST_DEBUG", VISOR_NATIVE_ERRNO,
                            EINVAL, "this kernel does not stop at breakpoints");
        return visor__error_hint("Linux 6.10 or later is needed");
    }
    return ret < 0 ? kvm_error("KVM_SET_GUEST_DEBUG", -ret, "%s", "") : 0;
}

const struct visor__debug_ops kvm_debug_ops = {.set = set_debug};

/* ---- all of them ---- */

int kvm_arch_exit(visor_vcpu *vcpu)
{
    switch (kvm_vcpu_of(vcpu)->run->exit_reason) {
    case KVM_EXIT_RISCV_SBI: return exit_sbi(vcpu);
    case KVM_EXIT_RISCV_CSR: return exit_csr(vcpu);
    case KVM_EXIT_DEBUG: return exit_debug(vcpu);
    case KVM_EXIT_SYSTEM_EVENT: complete_system_event(vcpu); return VISOR_EXIT_NONE;
    default: return VISOR_EXIT_NONE;
    }
}

int kvm_arch_part(visor_vcpu *vcpu)
{
    (void)vcpu;
    return VISOR_EXIT_NONE;
}
