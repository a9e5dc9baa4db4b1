/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of the null backend: its chips are those of src/irqchip/, and this is what a backend
 * has to do for them. A guest takes an interrupt by noting its vector; it ends it like any other
 * guest, by a store to its local APIC.
 */
#include "null/null.h"

#include <string.h>

/* ---- what the chips ask for ---- */

static uint64_t now(void *vm)
{
    return atomic_load(&null_vm_of(vm)->now_ns);
}

/* A TSC of 1 GHz. */
static uint64_t tsc(void *vcpu)
{
    return now(((visor_vcpu *)vcpu)->vm);
}

static void wake(void *vcpu)
{
    visor__kick_nudge(vcpu);
}

static const struct visor__irqchip_host host = {.now = now, .tsc = tsc, .wake = wake};

int null_chip_create(visor_vm *vm)
{
    return visor__irqchip_attach(vm, &host, 1000000000);
}

/* ---- the vCPU ---- */

static uint32_t mp_state_of(visor_vcpu *vcpu)
{
    uint32_t state;

    memcpy(&state, null_vcpu_of(vcpu)->state[VISOR__STATE_X86_MP_STATE].value, sizeof(state));
    return state;
}

static void set_mp_state(visor_vcpu *vcpu, uint32_t state)
{
    memcpy(null_vcpu_of(vcpu)->state[VISOR__STATE_X86_MP_STATE].value, &state, sizeof(state));
}

static void reset_by_init(visor_vcpu *vcpu)
{
    struct null_vcpu *null = null_vcpu_of(vcpu);

    visor_x86_reset_regs(null->state[VISOR__STATE_X86_REGS].value);
    visor_x86_reset_sregs(null->state[VISOR__STATE_X86_SREGS].value);
    set_mp_state(vcpu, vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_INIT_RECEIVED);
}

static void start_by_sipi(visor_vcpu *vcpu, int vector)
{
    visor_x86_sregs *sregs = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_SREGS].value;
    visor_x86_regs *regs = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_REGS].value;

    if (mp_state_of(vcpu) != VISOR_MP_INIT_RECEIVED)
        return;
    sregs->cs.base = (uint64_t)vector << 12;
    sregs->cs.selector = (uint16_t)(vector << 8);
    regs->rip = 0;
    set_mp_state(vcpu, VISOR_MP_RUNNABLE);
}

void null_chip_take_events(visor_vcpu *vcpu)
{
    visor_x86_events *events = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_EVENTS].value;

    if (vcpu->lapic == NULL || visor__lapic_pending(vcpu->lapic) == 0)
        return;
    if (visor__lapic_take(vcpu->lapic, VISOR__PENDING_INIT))
        reset_by_init(vcpu);
    if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_SIPI) != 0)
        start_by_sipi(vcpu, visor__lapic_take_sipi(vcpu->lapic));
    if (visor__lapic_take(vcpu->lapic, VISOR__PENDING_NMI))
        events->nmi.pending = 1;
    if (visor__lapic_take(vcpu->lapic, VISOR__PENDING_SMI))
        events->smi.pending = 1;
}

/* Takes what wakes a halted vCPU, as far as its state lets it. */
static void take_interrupts(visor_vcpu *vcpu)
{
    struct null_vcpu *null = null_vcpu_of(vcpu);
    visor_x86_events *events = null->state[VISOR__STATE_X86_EVENTS].value;
    bool taken = events->nmi.pending != 0 || events->interrupt.injected != 0;

    events->nmi.pending = 0; /* nothing handles it */
    events->interrupt.injected = 0;
    if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0 &&
        null_x86_ops.ready_for_interrupt(vcpu) > 0) {
        int vector = visor__lapic_acknowledge(vcpu->lapic);

        if (vector >= 0) {
            null->vectors[null->vector_count++ % NULL_VECTORS] = (uint8_t)vector;
            taken = true;
        }
    }
    if (taken && mp_state_of(vcpu) == VISOR_MP_HALTED)
        set_mp_state(vcpu, VISOR_MP_RUNNABLE);
}

int null_chip_serve(visor_vcpu *vcpu)
{
    uint32_t bell;

    if (vcpu->lapic == NULL)
        return VISOR_EXIT_NONE;
    for (;;) {
        bell = visor__lapic_bell(vcpu->lapic);
        null_chip_take_events(vcpu);
        if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_EOI) != 0) {
            vcpu->exit.eoi.vector = (uint32_t)visor__lapic_take_eoi(vcpu->lapic);
            return VISOR_EXIT_IOAPIC_EOI;
        }
        if (mp_state_of(vcpu) == VISOR_MP_RUNNABLE || mp_state_of(vcpu) == VISOR_MP_HALTED)
            take_interrupts(vcpu);
        if (mp_state_of(vcpu) == VISOR_MP_RUNNABLE || atomic_load(&null_vcpu_of(vcpu)->leave))
            return VISOR_EXIT_NONE;
        visor__lapic_sleep(vcpu->lapic, bell);
    }
}

bool null_chip_halt(visor_vcpu *vcpu)
{
    if (vcpu->lapic == NULL)
        return false;
    set_mp_state(vcpu, VISOR_MP_HALTED);
    return true;
}

/* ---- operations ---- */

static int set_irq(visor_vm *vm, uint32_t gsi, bool level)
{
    int ret = NULL_FAULT(vm->hv, irq, set_irq);

    return ret < 0 ? ret : visor__irqchip_irq_ops.set_irq(vm, gsi, level);
}

static int add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample)
{
    int ret = NULL_FAULT(vm->hv, irq, add_event);

    return ret < 0 ? ret : visor__irqchip_irq_ops.add_event(vm, gsi, event, resample);
}

static int remove_event(visor_vm *vm, uint32_t gsi, visor_event event)
{
    int ret = NULL_FAULT(vm->hv, irq, remove_event);

    return ret < 0 ? ret : visor__irqchip_irq_ops.remove_event(vm, gsi, event);
}

static int set_routes(visor_vm *vm, const visor_route *routes, size_t count)
{
    int ret = NULL_FAULT(vm->hv, irq, set_routes);

    return ret < 0 ? ret : visor__irqchip_irq_ops.set_routes(vm, routes, count);
}

static int send_msi(visor_vm *vm, const visor_msi *msi)
{
    int ret = NULL_FAULT(vm->hv, irq, send_msi);

    return ret < 0 ? ret : visor__irqchip_irq_ops.send_msi(vm, msi);
}

const struct visor__irq_ops null_irq_ops = {
    .set_irq = set_irq,
    .add_event = add_event,
    .remove_event = remove_event,
    .set_routes = set_routes,
    .send_msi = send_msi,
};

int null_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece)
{
    int ret = NULL_FAULT(vm->hv, x86, get_chip);

    return ret < 0 ? ret : visor__irqchip_get_chip(buf, capacity, vm, piece);
}

int null_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length)
{
    int ret = NULL_FAULT(vm->hv, x86, set_chip);

    return ret < 0 ? ret : visor__irqchip_set_chip(vm, piece, buf, length);
}
