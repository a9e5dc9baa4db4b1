/* SPDX-License-Identifier: BSD-3-Clause */
/* x86 exits and the answers to them, and guest debugging. */
#include <string.h>

#include "kvm/kvm_x86.h"

/* "No such hypercall" of KVM's hypercall ABI, negative in RAX (linux/kvm_para.h, KVM_ENOSYS). */
#define NO_SUCH_HYPERCALL ((uint64_t)-1000)

/* Debug registers (SDM vol. 3B, 17.2). */
#define DR6_SINGLE_STEP (UINT64_C(1) << 14)
#define DR7_EXACT       UINT64_C(0x600) /* exact breakpoints, and bit 10, which is always set */
#define VECTOR_DB       1

/* ---- port access ---- */

/* The place of access io_next in the run area; NULL if the kernel's numbers make no sense. */
static uint8_t *io_data(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_run *run = x->common.run;
    uint64_t offset = run->io.data_offset + (uint64_t)x->io_next * run->io.size;

    if (run->io.size > 4 || run->io.data_offset > x->common.run_size ||
        offset + run->io.size > x->common.run_size)
        return NULL;
    return (uint8_t *)run + offset;
}

/* One string instruction is one exit of the kernel with several accesses, one after another in the
 * run area. Each of them is an exit of ours. */
static int exit_io(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_run *run = x->common.run;
    visor_io *io = &vcpu->exit.io;
    const uint8_t *data = io_data(vcpu);

    if (data == NULL) {
        x->io_count = 0;
        memcpy(vcpu->exit.unknown.payload, run->padding, sizeof(vcpu->exit.unknown.payload));
        return VISOR_EXIT_UNKNOWN;
    }
    io->address = run->io.port;
    io->length = run->io.size;
    io->is_write = run->io.direction == KVM_EXIT_IO_OUT;
    io->space = VISOR_PIO;
    memset(io->data, 0, sizeof(io->data));
    if (io->is_write)
        memcpy(io->data, data, run->io.size);
    x->common.due = KVM_EXIT_IO;
    x->common.unsettled = true;
    return VISOR_EXIT_IO;
}

static void answer_io(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    const struct kvm_run *run = x->common.run;

    if (run->io.direction == KVM_EXIT_IO_IN)
        memcpy(io_data(vcpu), vcpu->exit.io.data, run->io.size);
    x->io_next++;
}

/* ---- other exits with answers ---- */

static int exit_hypercall(visor_vcpu *vcpu)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    exit->hypercall.number = k->run->hypercall.nr;
    exit->hypercall.extension = 0;
    memset(exit->hypercall.args, 0, sizeof(exit->hypercall.args));
    memcpy(exit->hypercall.args, k->run->hypercall.args, sizeof(k->run->hypercall.args));
    memset(exit->hypercall.results, 0, sizeof(exit->hypercall.results));
    exit->hypercall.results[0] = NO_SUCH_HYPERCALL;
    exit->hypercall.result_count = 1;
    exit->hypercall.long_mode = (k->run->hypercall.longmode & 1) != 0;
    k->due = KVM_EXIT_HYPERCALL;
    k->unsettled = true;
    return VISOR_EXIT_HYPERCALL;
}

static int exit_msr(visor_vcpu *vcpu, bool is_write)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    exit->msr.index = k->run->msr.index;
    exit->msr.is_write = is_write;
    exit->msr.fault = true;
    exit->msr.why = k->run->msr.reason;
    exit->msr.value = is_write ? k->run->msr.data : 0;
    k->due = k->run->exit_reason;
    k->unsettled = true;
    return VISOR_EXIT_MSR;
}

void kvm_arch_answer(visor_vcpu *vcpu, uint32_t due)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;

    switch (due) {
    case KVM_EXIT_IO: answer_io(vcpu); break;
    case KVM_EXIT_HYPERCALL: run->hypercall.ret = vcpu->exit.hypercall.results[0]; break;
    case KVM_EXIT_X86_RDMSR: run->msr.data = vcpu->exit.msr.value; /* fall through */
    case KVM_EXIT_X86_WRMSR: run->msr.error = vcpu->exit.msr.fault; break;
    default: break;
    }
}

/* ---- debugging ---- */

/*
 * Which of our breakpoints is it? The B bits of DR6 are set for every one whose condition was met,
 * enabled or not, and stay set (SDM vol. 3B, 17.2.3): for instructions the address tells more.
 */
static void debug_hits(visor_vcpu *vcpu, uint64_t dr6, uint64_t pc)
{
    const struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    visor_exit *exit = &vcpu->exit;

    for (size_t i = 0; i < x->breakpoint_count; i++) {
        const visor_breakpoint *point = &x->breakpoints[i];

        if ((dr6 & (UINT64_C(1) << i)) == 0)
            continue;
        if (point->kind == VISOR_BREAK_EXECUTE && point->address != pc)
            continue;
        exit->debug.hit_mask |= 1u << i;
        if (point->kind != VISOR_BREAK_EXECUTE && exit->debug.address == 0)
            exit->debug.address = point->address;
    }
}

static int exit_debug(visor_vcpu *vcpu)
{
    const struct kvm_debug_exit_arch *debug = &kvm_vcpu_of(vcpu)->run->debug.arch;
    visor_exit *exit = &vcpu->exit;

    exit->debug.pc = debug->pc;
    exit->debug.address = 0;
    exit->debug.dr6 = debug->dr6;
    exit->debug.dr7 = debug->dr7;
    exit->debug.exception = debug->exception;
    exit->debug.single_step = debug->exception == VECTOR_DB && (debug->dr6 & DR6_SINGLE_STEP) != 0;
    exit->debug.hit_mask = 0;
    if (debug->exception == VECTOR_DB)
        debug_hits(vcpu, debug->dr6, debug->pc);
    return VISOR_EXIT_DEBUG;
}

/* Type and length of a breakpoint as DR7 has them (SDM vol. 3B, 17.2.4). The core has checked. */
static uint64_t dr7_fields(const visor_breakpoint *point)
{
    static const uint8_t types[] = {
        [VISOR_BREAK_EXECUTE] = 0,
        [VISOR_BREAK_WRITE] = 1,
        [VISOR_BREAK_ACCESS] = 3,
    };
    uint64_t length = point->length == 8 ? 2 : point->length - 1;

    return types[point->kind] | length << 2;
}

static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_guest_debug debug = {0};
    int ret;

    for (size_t i = 0; i < config->breakpoint_count; i++) {
        debug.arch.debugreg[i] = config->breakpoints[i].address;
        debug.arch.debugreg[7] |= UINT64_C(2) << (2 * i);
        debug.arch.debugreg[7] |= dr7_fields(&config->breakpoints[i]) << (16 + 4 * i);
    }
    if (config->breakpoint_count > 0) {
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
        debug.arch.debugreg[7] |= DR7_EXACT;
    }
    if (config->single_step)
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    if (config->software_breakpoints)
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_GUEST_DEBUG, &debug);
    if (ret < 0)
        return ret;
    x->breakpoint_count = config->breakpoint_count;
    if (x->breakpoint_count > 0)
        memcpy(x->breakpoints, config->breakpoints, x->breakpoint_count * sizeof(*x->breakpoints));
    return 0;
}

const struct visor__debug_ops kvm_debug_ops = {.set = set_debug};

/* ---- all of them ---- */

int kvm_arch_exit(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_run *run = x->common.run;
    visor_exit *exit = &vcpu->exit;

    /* A bus lock can come together with any other exit (api.rst 7.25): first the one, then the
     * other, which stays in the run area until kvm_arch_part() delivers it. */
    if ((run->flags & KVM_RUN_X86_BUS_LOCK) != 0 && run->exit_reason != KVM_EXIT_X86_BUS_LOCK) {
        run->flags &= (uint16_t)~KVM_RUN_X86_BUS_LOCK;
        x->bus_lock_told = true;
        x->common.unsettled = true;
        return VISOR_EXIT_BUS_LOCK;
    }
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        x->io_count = run->io.count;
        x->io_next = 0;
        return exit_io(vcpu);
    case KVM_EXIT_HYPERCALL: return exit_hypercall(vcpu);
    case KVM_EXIT_X86_RDMSR: return exit_msr(vcpu, false);
    case KVM_EXIT_X86_WRMSR: return exit_msr(vcpu, true);
    case KVM_EXIT_DEBUG: return exit_debug(vcpu);
    case KVM_EXIT_IOAPIC_EOI: exit->eoi.vector = run->eoi.vector; return VISOR_EXIT_IOAPIC_EOI;
    case KVM_EXIT_SET_TPR: return VISOR_EXIT_SET_TPR;
    case KVM_EXIT_TPR_ACCESS:
        exit->tpr.pc = run->tpr_access.rip;
        exit->tpr.is_write = run->tpr_access.is_write != 0;
        return VISOR_EXIT_TPR_ACCESS;
    case KVM_EXIT_X86_BUS_LOCK: return VISOR_EXIT_BUS_LOCK;
    default: return VISOR_EXIT_NONE;
    }
}

int kvm_arch_part(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);

    if (x->bus_lock_told) {
        x->bus_lock_told = false;
        return kvm_vcpu_exit(vcpu);
    }
    if (x->io_next < x->io_count)
        return exit_io(vcpu);
    x->io_count = 0;
    return VISOR_EXIT_NONE;
}
