/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a vCPU, and what the caller injects. */
#include <stdlib.h>
#include <string.h>

#include "irqchip/irqchip.h"
#include "soft/block.h"
#include "soft/debug.h"
#include "soft/flags.h"
#include "soft/mmu.h"
#include "soft/soft.h"
#include "soft/system.h"

/* ---- life ---- */

static int create(visor_vcpu *vcpu)
{
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    struct soft_cpu *cpu;
    int ret;

    if (machine->cpu_count == SOFT_MAX_CPUS || vcpu->id >= SOFT_MAX_CPUS)
        return visor__error(VISOR_ELIMIT, "soft", "visor_vcpu_create", "at most %u vCPUs",
                            SOFT_MAX_CPUS);
    if (machine->cpu_count > 0 && soft_chip_is_counted(vcpu->vm))
        return visor__unsupported(vcpu->vm->hv, "visor_vcpu_create",
                                  "with deterministic=on the timers of an interrupt chip follow "
                                  "the instructions of one vCPU");
    cpu = visor__os_alloc(64, (sizeof(*cpu) + 63) / 64 * 64);
    if (cpu == NULL)
        return visor__error(VISOR_ENOMEM, "soft", "vcpu.create", "%zu bytes", sizeof(*cpu));
    memset(cpu, 0, sizeof(*cpu));
    cpu->machine = machine;
    cpu->vcpu = vcpu;
    cpu->exit = &vcpu->exit;
    cpu->id = vcpu->id;
    cpu->stamp = 1;
    cpu->bus_lock_exits = machine->bus_lock_exits;
    ret = soft_blocks_create(cpu, SOFT_BLOCK_MEMORY / 8);
    if (ret < 0) {
        visor__os_free(cpu);
        return visor__error(VISOR_ENOMEM, "soft", "vcpu.create", "the cache of translations");
    }
    soft_tlb_init(cpu);
    soft_cpu_reset(cpu, false);
    soft->cpu = cpu;
    ret = visor__lapic_attach(vcpu);
    if (ret < 0) {
        soft_blocks_destroy(cpu);
        visor__os_free(cpu);
        return ret;
    }
    if (vcpu->lapic != NULL && vcpu->id != 0)
        cpu->mp_state = VISOR_MP_UNINITIALIZED;
    cpu->apic_page = UINT64_MAX;
    soft_chip_changed(vcpu);
    soft_machine_stop(machine);
    machine->cpus[machine->cpu_count++] = cpu;
    soft_machine_go(machine);
    return 0;
}

static void destroy(visor_vcpu *vcpu)
{
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);

    soft_machine_stop(machine);
    for (size_t i = 0; i < machine->cpu_count; i++) {
        if (machine->cpus[i] == soft->cpu) {
            machine->cpus[i] = machine->cpus[--machine->cpu_count];
            break;
        }
    }
    soft_machine_go(machine);
    visor__lapic_detach(vcpu); /* now that nobody finds it in the machine */
    soft_blocks_destroy(soft->cpu);
    visor__os_free(soft->cpu);
    free(soft->cpuid);
}

/* ---- exits ---- */

/* Fills in the exit for an access that is the caller's. */
static void fill_access(visor_vcpu *vcpu, int reason)
{
    const struct soft_access *access = &soft_vcpu_of(vcpu)->cpu->log.next;
    visor_exit *exit = &vcpu->exit;

    if (reason == VISOR_EXIT_MSR) {
        exit->msr.index = (uint32_t)access->address;
        exit->msr.is_write = access->is_write;
        exit->msr.value = access->value;
        exit->msr.fault = true;
        exit->msr.why = 0;
        return;
    }
    exit->io = soft_io_of(access);
}

static void fill_hypercall(visor_vcpu *vcpu)
{
    const struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    uint64_t mask = soft_is_64(cpu) ? ~UINT64_C(0) : 0xffffffff;
    visor_exit *exit = &vcpu->exit;

    memset(&exit->hypercall, 0, sizeof(exit->hypercall));
    exit->hypercall.number = cpu->log.next.address;
    exit->hypercall.args[0] = cpu->r[SOFT_RBX] & mask;
    exit->hypercall.args[1] = cpu->r[SOFT_RCX] & mask;
    exit->hypercall.args[2] = cpu->r[SOFT_RDX] & mask;
    exit->hypercall.args[3] = cpu->r[SOFT_RSI] & mask;
    exit->hypercall.results[0] = (uint64_t)-1000; /* -KVM_ENOSYS */
    exit->hypercall.result_count = 1;
    exit->hypercall.long_mode = soft_is_64(cpu);
}

/* Remembers what an exit wants answered. */
static int leave_with(visor_vcpu *vcpu, int reason)
{
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);

    soft->due = VISOR_EXIT_NONE;
    vcpu->exit.raw = (uint32_t)reason;
    if (reason == VISOR_EXIT_IO || reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_MSR) {
        soft->due = reason;
        fill_access(vcpu, reason);
    } else if (reason == VISOR_EXIT_HYPERCALL) {
        soft->due = reason;
        fill_hypercall(vcpu);
    } else if (reason == VISOR_EXIT_IOAPIC_EOI) {
        vcpu->exit.eoi.vector = (uint32_t)visor__lapic_take_eoi(vcpu->lapic);
    } else if (reason == VISOR_EXIT_HLT) {
        soft->cpu->halted = false; /* the caller decides how long it lasts */
    }
    return reason;
}

/* Takes the answer over. */
static void answer(visor_vcpu *vcpu)
{
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    const visor_exit *exit = &vcpu->exit;

    if (soft->due == VISOR_EXIT_MSR)
        soft_answer(soft->cpu, exit->msr.value, exit->msr.fault);
    else if (soft->due == VISOR_EXIT_HYPERCALL)
        soft_answer(soft->cpu, exit->hypercall.results[0], false);
    else if (soft->due != VISOR_EXIT_NONE)
        soft_answer(soft->cpu, visor_io_value(&exit->io), false);
    soft->due = VISOR_EXIT_NONE;
}

/* ---- running ---- */

static void reset_attention(visor_vcpu *vcpu)
{
    atomic_fetch_and(&soft_vcpu_of(vcpu)->cpu->attention, ~(SOFT_LOOK_KICK | SOFT_LOOK_TICK));
}

/* One instruction, which no other vCPU may come between. */
static int run_alone(struct soft_cpu *cpu)
{
    int ret;

    soft_machine_stop_others(cpu->machine);
    /* Who wants all to stand still says so until they do. */
    atomic_fetch_and(&cpu->attention, ~(SOFT_LOOK_ALONE | SOFT_LOOK_EXCLUSIVE));
    cpu->alone = true;
    cpu->step_once = true;
    ret = soft_run(cpu);
    cpu->alone = false;
    soft_machine_go(cpu->machine);
    return ret;
}

/* Executes until there is an exit; NONE: a kick or a tick. Inside the machine. */
static int run_inside(visor_vcpu *vcpu)
{
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);
    struct soft_cpu *cpu = soft->cpu;
    unsigned attention;
    int ret;

    /* What was injected comes behind the instruction that has left for the caller. */
    if (!soft_is_settled(cpu)) {
        ret = soft_step(cpu);
        if (ret != VISOR_EXIT_NONE)
            return ret;
    }
    for (;;) {
        attention = atomic_load(&cpu->attention);
        if ((attention & (SOFT_LOOK_KICK | SOFT_LOOK_TICK)) != 0)
            return VISOR_EXIT_NONE;
        if ((attention & SOFT_LOOK_EXCLUSIVE) != 0) {
            atomic_fetch_and(&cpu->attention, ~SOFT_LOOK_EXCLUSIVE);
            soft_machine_leave(machine);
            soft_machine_enter(machine);
        }
        atomic_fetch_and(&cpu->attention, ~SOFT_LOOK_INTERRUPT);
        soft_chip_look_at_timers(vcpu);
        soft_chip_take(vcpu);
        if (vcpu->lapic != NULL) {
            if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_EOI) != 0)
                return VISOR_EXIT_IOAPIC_EOI;
            if (!soft_chip_sleep(vcpu))
                continue;
        }
        if (soft->irq_pending) {
            soft->irq_pending = false;
            soft_inject_interrupt(cpu, soft->irq_vector);
        } else if (soft->irq_window && soft_can_interrupt(cpu)) {
            return VISOR_EXIT_IRQ_WINDOW;
        }
        soft_clock_publish(vcpu);
        cpu->irq_waiting = soft_chip_interrupt(vcpu) || soft->irq_window;
        ret = (attention & SOFT_LOOK_ALONE) != 0 ? run_alone(cpu) : soft_run(cpu);
        if (ret == VISOR_EXIT_HLT && vcpu->lapic != NULL)
            continue;
        if (ret != VISOR_EXIT_NONE)
            return ret;
    }
}

static int run(visor_vcpu *vcpu)
{
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    int ret;

    answer(vcpu);
    if (visor__run_begin(vcpu, reset_attention))
        return VISOR_EXIT_KICKED;
    soft_machine_enter(machine);
    soft_ticker_enter(machine);
    ret = run_inside(vcpu);
    soft_ticker_leave(machine);
    soft_machine_leave(machine);
    if (visor__run_end(vcpu, ret == VISOR_EXIT_NONE))
        return VISOR_EXIT_KICKED;
    return ret == VISOR_EXIT_NONE ? VISOR_EXIT_INTR : leave_with(vcpu, ret);
}

static int settle(visor_vcpu *vcpu)
{
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    int ret = VISOR_EXIT_NONE;

    answer(vcpu);
    if (soft_is_settled(soft_vcpu_of(vcpu)->cpu))
        return VISOR_EXIT_NONE;
    soft_machine_enter(machine);
    ret = soft_step(soft_vcpu_of(vcpu)->cpu);
    soft_machine_leave(machine);
    return leave_with(vcpu, ret);
}

static void kick(visor_vcpu *vcpu)
{
    atomic_fetch_or(&soft_vcpu_of(vcpu)->cpu->attention, SOFT_LOOK_KICK);
    if (vcpu->lapic != NULL)
        visor__lapic_ring(vcpu->lapic);
}

/* ---- what the caller injects ---- */

int soft_ready_for_interrupt(visor_vcpu *vcpu)
{
    const struct soft_vcpu *soft = soft_vcpu_of(vcpu);

    return soft_can_interrupt(soft->cpu) &&
           (vcpu->lapic == NULL || visor__lapic_accepts_extint(vcpu->lapic));
}

int soft_interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    struct soft_vcpu *soft = soft_vcpu_of(vcpu);

    if (vcpu->lapic != NULL && visor__lapic_accepts_extint(vcpu->lapic)) {
        visor__lapic_set_extint(vcpu->lapic, vector);
        return 0;
    }
    if (vcpu->lapic != NULL || (!soft->irq_pending && !soft_can_interrupt(soft->cpu)))
        return visor__error(VISOR_EAGAIN, "soft", "visor_x86_interrupt",
                            "the guest cannot take an interrupt now");
    soft->irq_pending = true;
    soft->irq_soft = false;
    soft->irq_vector = vector;
    return 0;
}

int soft_request_irq_window(visor_vcpu *vcpu, bool on)
{
    soft_vcpu_of(vcpu)->irq_window = on;
    return 0;
}

int soft_nmi(visor_vcpu *vcpu)
{
    soft_vcpu_of(vcpu)->cpu->nmi_pending = true;
    return 0;
}

/* ---- debugging ---- */

static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;

    cpu->debug = (struct soft_debug){.step = config->single_step,
                                     .int3 = config->software_breakpoints,
                                     .count = (unsigned)config->breakpoint_count};
    for (unsigned i = 0; i < cpu->debug.count; i++)
        cpu->debug.breakpoints[i] = config->breakpoints[i];
    soft_debug_update(cpu);
    return 0;
}

const struct visor__debug_ops soft_debug_ops = {.set = set_debug};

const struct visor__vcpu_ops soft_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .get_state = soft_get_state,
    .set_state = soft_set_state,
    .paused = soft_clock_paused,
};
