/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine's own devices: the interrupt chips of src/irqchip/, where the VM has them. */
#include <string.h>

#include "irqchip/irqchip.h"
#include "soft/engine.h"
#include "soft/memory.h"
#include "soft/soft.h"
#include "soft/system.h"

#define MSR_APIC_BASE 0x1bu

/* ---- what the chips need ---- */

static uint64_t now(void *vm)
{
    (void)vm;
    return visor__os_now_ns();
}

static uint64_t tsc(void *vcpu)
{
    return soft_tsc(soft_vcpu_of(vcpu)->cpu, NULL);
}

static void wake(void *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;

    if (cpu != NULL)
        atomic_fetch_or(&cpu->attention, SOFT_LOOK_INTERRUPT);
}

static const struct visor__irqchip_host host = {
    .now = now, .tsc = tsc, .wake = wake, .clocked = true};

/* ---- timers that follow instructions: 1 ns each ---- */

static uint64_t counted_now(void *vm)
{
    const struct soft_machine *machine = &soft_vm_of(vm)->machine;

    return machine->cpu_count > 0 ? soft_time(machine->cpus[0], NULL) : 0;
}

static void counted_deadline(void *vm)
{
    const struct soft_machine *machine = &soft_vm_of(vm)->machine;

    if (machine->cpu_count > 0)
        atomic_fetch_or(&machine->cpus[0]->attention, SOFT_LOOK_INTERRUPT);
}

static const struct visor__irqchip_host counted_host = {
    .now = counted_now, .tsc = tsc, .wake = wake, .deadline = counted_deadline};

bool soft_chip_is_counted(const visor_vm *vm)
{
    return vm->chip != NULL && soft_hv_of(vm->hv)->deterministic;
}

void soft_chip_look_at_timers(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    uint64_t deadline;

    if (!soft_chip_is_counted(vcpu->vm))
        return;
    if (soft_time(cpu, NULL) >= visor__irqchip_deadline(vcpu->vm->chip))
        visor__irqchip_expire(vcpu->vm->chip);
    deadline = visor__irqchip_deadline(vcpu->vm->chip);
    if (deadline == UINT64_MAX) {
        atomic_fetch_and(&cpu->attention, ~SOFT_LOOK_ALARM);
        return;
    }
    cpu->alarm = deadline - cpu->idle_time;
    atomic_fetch_or(&cpu->attention, SOFT_LOOK_ALARM);
}

/* In place of waiting for the next timer. False: there is none to wait for. */
static bool skip_time(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    uint64_t deadline = visor__irqchip_deadline(vcpu->vm->chip), time = soft_time(cpu, NULL);

    if (deadline == UINT64_MAX)
        return false;
    cpu->idle_time += deadline > time ? deadline - time : 0;
    soft_chip_look_at_timers(vcpu);
    return true;
}

int soft_chip_attach(visor_vm *vm)
{
    return visor__irqchip_attach(vm, soft_hv_of(vm->hv)->deterministic ? &counted_host : &host,
                                 soft_vm_of(vm)->tsc_hz);
}

/* ---- the guest's accesses ---- */

void soft_chip_changed(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    uint64_t page = vcpu->lapic != NULL ? visor__lapic_page(vcpu->lapic) : UINT64_MAX;

    if (vcpu->lapic != NULL)
        visor__lapic_read_msr(&cpu->apic_base, vcpu->lapic, MSR_APIC_BASE, false);
    if (page != cpu->apic_page) {
        cpu->apic_page = page;
        soft_tlb_flush(cpu, true);
    }
}

static bool access_msr(const struct soft_vm *soft, struct soft_cpu *cpu, struct soft_access *access)
{
    const struct soft_devices *devices = &soft->machine.devices;
    struct visor__lapic *lapic = cpu->vcpu->lapic;
    uint32_t index = (uint32_t)access->address;
    enum visor__msr_result result = VISOR__MSR_FOREIGN;

    if (devices->msr_exits != NULL &&
        devices->msr_exits(devices->context, cpu, index, access->is_write))
        return false;
    if (access->is_write ? soft_clock_write_msr(cpu->vcpu, index, access->value, true)
                         : soft_clock_read_msr(&access->value, cpu->vcpu, index)) {
        result = VISOR__MSR_DONE;
    } else if (lapic != NULL) {
        result = access->is_write ? visor__lapic_write_msr(lapic, index, access->value, true)
                                  : visor__lapic_read_msr(&access->value, lapic, index, true);
        if (result == VISOR__MSR_DONE && index == MSR_APIC_BASE)
            soft_chip_changed(cpu->vcpu);
    } else if (index == MSR_APIC_BASE && !access->is_write) {
        access->value = cpu->apic_base;
        result = VISOR__MSR_DONE;
    }
    if (result == VISOR__MSR_FOREIGN && devices->unknown_msrs_exit)
        return false;
    access->fault = result != VISOR__MSR_DONE;
    return true;
}

bool soft_chip_access(void *context, struct soft_cpu *cpu, struct soft_access *access)
{
    struct visor__lapic *lapic = cpu->vcpu->lapic;
    visor_io io;

    if (access->space == SOFT_SPACE_MSR)
        return access_msr(context, cpu, access);
    if (access->space == SOFT_SPACE_HYPERCALL)
        return false;
    io = soft_io_of(access);
    if (lapic != NULL && visor__irqchip_access(lapic, &io)) {
        access->value = visor_io_value(&io);
        return true;
    }
    return soft_coalesce(context, &io);
}

uint64_t soft_chip_get_cr8(void *context, struct soft_cpu *cpu)
{
    (void)context;
    return cpu->vcpu->lapic != NULL ? visor__lapic_get_cr8(cpu->vcpu->lapic) : cpu->cr8;
}

void soft_chip_set_cr8(void *context, struct soft_cpu *cpu, uint64_t value)
{
    (void)context;
    if (cpu->vcpu->lapic != NULL)
        visor__lapic_set_cr8(cpu->vcpu->lapic, value);
    else
        cpu->cr8 = value;
}

/* ---- what waits for the vCPU ---- */

static void start_by_sipi(struct soft_cpu *cpu, int vector)
{
    visor_x86_segment *cs = &cpu->seg[SOFT_SEG_CS];

    if (vector < 0 || cpu->mp_state != VISOR_MP_INIT_RECEIVED)
        return;
    cs->selector = (uint16_t)(vector << 8);
    cs->base = (uint64_t)vector << 12;
    cpu->rip = 0;
    cpu->map_generation++;
    cpu->mp_state = VISOR_MP_RUNNABLE;
}

void soft_chip_take(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    struct visor__lapic *lapic = vcpu->lapic;
    unsigned pending;

    if (lapic == NULL || (pending = visor__lapic_pending(lapic)) == 0)
        return;
    if ((pending & VISOR__PENDING_INIT) != 0 && visor__lapic_take(lapic, VISOR__PENDING_INIT)) {
        soft_cpu_reset(cpu, true);
        soft_access_commit(cpu);
        soft_clock_reset(vcpu);
        cpu->mp_state = vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_INIT_RECEIVED;
    }
    if ((visor__lapic_pending(lapic) & VISOR__PENDING_SIPI) != 0)
        start_by_sipi(cpu, visor__lapic_take_sipi(lapic));
    if ((pending & VISOR__PENDING_NMI) != 0 && visor__lapic_take(lapic, VISOR__PENDING_NMI))
        cpu->nmi_pending = true;
    /* There is no system management mode. */
    if ((pending & VISOR__PENDING_SMI) != 0)
        (void)visor__lapic_take(lapic, VISOR__PENDING_SMI);
}

bool soft_chip_interrupt(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    int vector;

    if (vcpu->lapic == NULL || (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) == 0)
        return false;
    if (!soft_can_interrupt(cpu))
        return true;
    vector = visor__lapic_acknowledge(vcpu->lapic);
    if (vector >= 0)
        soft_inject_interrupt(cpu, (uint8_t)vector);
    /* Behind a PIC's interrupt there may be a local APIC's. */
    return (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0;
}

/* Whether the vCPU has nothing to execute until something comes in. */
static bool is_idle(const struct soft_cpu *cpu)
{
    if (cpu->mp_state != VISOR_MP_RUNNABLE && cpu->mp_state != VISOR_MP_HALTED)
        return true;
    return cpu->halted && cpu->event.kind == SOFT_EVENT_NONE &&
           !(cpu->nmi_pending && !cpu->nmi_masked);
}

bool soft_chip_sleep(visor_vcpu *vcpu)
{
    struct soft_cpu *cpu = soft_vcpu_of(vcpu)->cpu;
    struct soft_machine *machine = &soft_vm_of(vcpu->vm)->machine;
    struct visor__lapic *lapic = vcpu->lapic;

    while (is_idle(cpu)) {
        uint32_t bell = visor__lapic_bell(lapic);

        soft_chip_take(vcpu);
        if ((visor__lapic_pending(lapic) & VISOR__PENDING_EOI) != 0 ||
            (atomic_load(&cpu->attention) & (SOFT_LOOK_KICK | SOFT_LOOK_TICK)) != 0)
            return false;
        if (!is_idle(cpu))
            break;
        if (cpu->halted && (visor__lapic_pending(lapic) & VISOR__PENDING_INTERRUPT) != 0 &&
            soft_can_interrupt(cpu))
            break;
        if (soft_chip_is_counted(vcpu->vm) && skip_time(vcpu))
            continue;
        /* Not counted as inside: others must not wait for it. */
        soft_ticker_leave(machine);
        soft_machine_leave(machine);
        visor__lapic_sleep(lapic, bell);
        soft_machine_enter(machine);
        soft_ticker_enter(machine);
        soft_clock_publish(vcpu); /* others may read this vCPU's page */
    }
    return true;
}
