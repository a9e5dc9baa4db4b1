/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a vCPU of Geniezone and Halla, and what makes a VM a protected one. */
#include "sibling.h"

#include <errno.h>
#include <string.h>

#define FIRMWARE_SIZE 0x1000

/* In 6.12 naming the firmware alone does not protect; in the shipped 6.1 both sub-commands do. */
long sibling_protect(struct sibling_vm *vm, struct gzvm_enable_cap *cap, uint64_t arg,
                     bool firmware_protects)
{
    switch (cap->args[0]) {
    case GZVM_CAP_PVM_GET_PVMFW_SIZE:
        cap->args[1] = FIRMWARE_SIZE;
        return copy_to_user(arg, cap, sizeof(*cap));
    case GZVM_CAP_PVM_SET_PVMFW_GPA:
        if (vm->has_run)
            return vm->kind->refusal(EINVAL);
        vm->has_firmware = true;
        vm->firmware = cap->args[1];
        vm->is_protected |= firmware_protects;
        return 0;
    case GZVM_CAP_PVM_SET_PROTECTED_VM:
        if (vm->has_run)
            return vm->kind->refusal(EINVAL);
        vm->is_protected = true;
        return 0;
    default: return -EINVAL;
    }
}

/*
 * The drivers do not tell when the hypervisor takes the memory of a protected VM. It is taken as
 * early as it can be and as a whole: when a vCPU runs for the first time, all but what is shared.
 */
static long take_memory(struct sibling_vm *vm)
{
    for (unsigned i = 0; i < vm->kind->max_slots; i++) {
        const struct machine_slot *slot = &vm->machine.slots[i];

        if (slot->is_used && (slot->flags & SIBLING_SHARED) == 0 &&
            machine_lend(&vm->machine, i) < 0)
            return -EFAULT;
    }
    return 0;
}

/* The firmware runs first, on vCPU 0, and finds the device tree at x0. */
static long load_firmware(struct sibling_vm *vm)
{
    struct machine_vcpu *first = vm->machine.vcpus[0];

    if (first == NULL || machine_slot_of(&vm->machine, vm->firmware, FIRMWARE_SIZE) == NULL ||
        machine_write(&vm->machine, vm->firmware, double_firmware, double_firmware_size) < 0 ||
        vcpu_set_reg(first, VCPU_CORE_REG(regs.pc), vm->firmware) < 0 ||
        (vm->has_dtb && vcpu_set_reg(first, VCPU_CORE_REG(regs.regs[0]), vm->dtb) < 0))
        return -EFAULT;
    return 0;
}

static long start(struct sibling_vm *vm)
{
    long ret = 0;

    pthread_mutex_lock(&vm->machine.lock);
    if (!vm->has_run) {
        if (vm->is_protected)
            ret = take_memory(vm);
        if (ret == 0 && vm->is_protected && vm->has_firmware)
            ret = load_firmware(vm);
        vm->has_run = ret == 0;
    }
    pthread_mutex_unlock(&vm->machine.lock);
    return ret;
}

/* The answer to what the guest read is in the block, and the rest of it as it was. */
static void complete_read(struct sibling_vcpu *vcpu, const struct gzvm_vcpu_run *block)
{
    if (!vcpu->reads)
        return;
    if (block->mmio.reg_nr != vcpu->read_register || block->mmio.size != vcpu->read_size)
        double_die("%s: the block of a read has changed: register %u of %u bytes, it was %u of %u",
                   vcpu->vm->kind->name, block->mmio.reg_nr, (unsigned)block->mmio.size,
                   vcpu->read_register, (unsigned)vcpu->read_size);
    memcpy(vcpu->vcpu->run->mmio.data, block->mmio.data, sizeof(block->mmio.data));
    vcpu->reads = false;
}

static void tell_mmio(struct sibling_vcpu *vcpu, struct gzvm_vcpu_run *block)
{
    const struct kvm_run *run = vcpu->vcpu->run;

    block->exit_reason = vcpu->vm->kind->exits.mmio;
    block->mmio.phys_addr = run->mmio.phys_addr;
    memset(block->mmio.data, 0, sizeof(block->mmio.data));
    if (run->mmio.is_write)
        memcpy(block->mmio.data, run->mmio.data, run->mmio.len);
    block->mmio.size = run->mmio.len;
    block->mmio.is_write = run->mmio.is_write;
    /* KVM does not tell the register: any number, but not always the same. */
    block->mmio.reg_nr = (vcpu->read_register + 1) % 31;
    vcpu->reads = !run->mmio.is_write;
    vcpu->read_register = block->mmio.reg_nr;
    vcpu->read_size = block->mmio.size;
    /* The drivers do not tell when the guest's PC goes on. For a write there is nothing to wait
     * for. */
    if (run->mmio.is_write)
        vcpu_settle(vcpu->vcpu);
}

static void tell(struct sibling_vcpu *vcpu, struct gzvm_vcpu_run *block)
{
    const struct sibling_exits *exits = &vcpu->vm->kind->exits;
    const struct kvm_run *run = vcpu->vcpu->run;

    memset(block->padding, 0, sizeof(block->padding));
    switch (run->exit_reason) {
    case KVM_EXIT_MMIO: tell_mmio(vcpu, block); return;
    case KVM_EXIT_SYSTEM_EVENT:
        block->exit_reason = exits->system_event;
        block->system_event.type = run->system_event.type; /* the same numbers */
        block->system_event.ndata = run->system_event.ndata;
        memcpy(block->system_event.data, run->system_event.data, sizeof(run->system_event.data));
        return;
    case KVM_EXIT_ARM_NISV: /* nobody can tell what was accessed how */
        block->exit_reason = exits->exception;
        block->exception.exception = GZVM_EXCEPTION_UNKNOWN;
        block->exception.error_code = (uint32_t)run->arm_nisv.esr_iss;
        block->exception.fault_gpa = run->arm_nisv.fault_ipa;
        return;
    case KVM_EXIT_INTERNAL_ERROR: block->exit_reason = exits->internal_error; return;
    case KVM_EXIT_FAIL_ENTRY:
        block->exit_reason = exits->fail_entry;
        block->fail_entry.hardware_entry_failure_reason =
            run->fail_entry.hardware_entry_failure_reason;
        block->fail_entry.cpu = run->fail_entry.cpu;
        return;
    default: block->exit_reason = exits->unknown; return;
    }
}

/*
 * The driver's loop: not entered while a signal waits, so that a read may stay unanswered; ended by
 * a signal, with the reason why the guest was left last, an interrupt; and ended by both at once.
 */
static long loop(struct sibling_vcpu *vcpu, struct gzvm_vcpu_run *block, bool is_interrupted)
{
    long ret;

    if (signal_pending())
        return -DOUBLE_RESTART;
    if (is_interrupted && vcpu->reads)
        return -EINTR;
    complete_read(vcpu, block);
    ret = vcpu_enter(vcpu->vcpu);
    if (ret == -DOUBLE_RESTART) {
        block->exit_reason = vcpu->vm->kind->exits.irq;
        return ret;
    }
    if (ret == 0) {
        tell(vcpu, block);
    } else { /* a page that the kernel cannot provide */
        memset(block->padding, 0, sizeof(block->padding));
        block->exit_reason = vcpu->vm->kind->exits.exception;
        block->exception.exception = GZVM_EXCEPTION_PAGE_FAULT;
    }
    if (signal_pending())
        return -DOUBLE_RESTART;
    return is_interrupted ? -EINTR : 0;
}

long sibling_run(struct sibling_vcpu *vcpu, uint64_t arg)
{
    struct gzvm_vcpu_run block;
    bool is_interrupted = double_interrupts();
    long ret;

    if (copy_from_user(&block, arg, sizeof(block)) < 0)
        return -EFAULT;
    if (block.padding1[0] != 0 || block.padding1[1] != 0 || block.padding1[2] != 0)
        return -EINVAL;
    if (block.immediate_exit == 1)
        return -EINTR;
    ret = start(vcpu->vm);
    if (ret < 0)
        return ret;
    ret = loop(vcpu, &block, is_interrupted);
    log_note("exit=0x%x", block.exit_reason);
    if (copy_to_user(arg, &block, sizeof(block)) < 0)
        return -EFAULT;
    return ret;
}
