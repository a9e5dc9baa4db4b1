/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver has no interrupt chips: those of src/irqchip/, where the VM has them. */
#include "haxm/haxm.h"
#include "irqchip/irqchip.h"
#include "os/cpu.h"

/* ---- what the chips need ---- */

static uint64_t now(void *vm)
{
    (void)vm;
    return visor__os_now_ns();
}

/* For the TSC deadline timer, which the guest's CPUID never offers. */
static uint64_t tsc(void *vcpu)
{
    uint64_t value = 0;

    (void)vcpu;
    (void)visor__cpu_tsc(&value);
    return value;
}

static void wake(void *vcpu)
{
    visor__kick_nudge(vcpu);
}

static const struct visor__irqchip_host host = {
    .now = now, .tsc = tsc, .wake = wake, .clocked = true};

int haxm_chip_attach(visor_vm *vm)
{
    return visor__irqchip_attach(vm, &host, 0);
}

/* ---- the guest's accesses ---- */

bool haxm_chip_access(visor_vcpu *vcpu)
{
    return vcpu->lapic != NULL && visor__irqchip_access(vcpu->lapic, &vcpu->exit.io);
}

/* The driver keeps the MSR, and tells its value after each run. It cannot move. */
void haxm_chip_left(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    if (vcpu->lapic == NULL || v->tunnel->apic_base == v->apic_base)
        return;
    v->apic_base = v->tunnel->apic_base;
    (void)visor__lapic_write_msr(vcpu->lapic, HAXM_MSR_APIC_BASE, v->apic_base, false);
}

/* ---- what waits for the vCPU ---- */

static int start_by_sipi(visor_vcpu *vcpu, int vector)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret;

    if (vector < 0 || v->mp_state != VISOR_MP_INIT_RECEIVED)
        return 0;
    ret = haxm_load(vcpu);
    if (ret < 0)
        return ret;
    v->state._cs.selector = (uint16_t)(vector << 8);
    v->state._cs.base = (uint64_t)vector << 12;
    v->state._rip = 0;
    ret = haxm_store(vcpu, "SIPI");
    if (ret == 0)
        v->mp_state = VISOR_MP_RUNNABLE;
    return ret;
}

int haxm_chip_take(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct visor__lapic *lapic = vcpu->lapic;
    unsigned pending;
    int ret = 0;

    /* An instruction that the driver has yet to complete would overwrite what is set. */
    if (lapic == NULL || v->unsettled || (pending = visor__lapic_pending(lapic)) == 0)
        return 0;
    if ((pending & VISOR__PENDING_INIT) != 0 && visor__lapic_take(lapic, VISOR__PENDING_INIT)) {
        ret = haxm_regs_init(vcpu);
        v->mp_state = vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_INIT_RECEIVED;
    }
    if (ret == 0 && (visor__lapic_pending(lapic) & VISOR__PENDING_SIPI) != 0)
        ret = start_by_sipi(vcpu, visor__lapic_take_sipi(lapic));
    if ((pending & VISOR__PENDING_NMI) != 0 && visor__lapic_take(lapic, VISOR__PENDING_NMI))
        v->nmi_pending = true;
    /* The driver has no system management mode. */
    if ((pending & VISOR__PENDING_SMI) != 0)
        (void)visor__lapic_take(lapic, VISOR__PENDING_SMI);
    return ret;
}

/* Whether what waits ends a halt. */
static bool is_woken(const visor_vcpu *vcpu)
{
    const struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    return v->nmi_pending || v->exception_pending ||
           (v->ready && (v->irq_pending ||
                         (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0));
}

int haxm_chip_serve(visor_vcpu *vcpu, bool *leave)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct visor__lapic *lapic = vcpu->lapic;
    uint32_t bell;
    int ret;

    if (lapic == NULL)
        return VISOR_EXIT_NONE;
    for (;;) {
        bell = visor__lapic_bell(lapic);
        ret = haxm_chip_take(vcpu);
        if (ret < 0)
            return ret;
        if ((visor__lapic_pending(lapic) & VISOR__PENDING_EOI) != 0) {
            vcpu->exit.eoi.vector = (uint32_t)visor__lapic_take_eoi(lapic);
            return VISOR_EXIT_IOAPIC_EOI;
        }
        if (v->mp_state == VISOR_MP_HALTED && is_woken(vcpu))
            v->mp_state = VISOR_MP_RUNNABLE;
        if (v->mp_state == VISOR_MP_RUNNABLE)
            return VISOR_EXIT_NONE;
        *leave = atomic_load(&v->leave);
        if (*leave)
            return VISOR_EXIT_NONE;
        visor__lapic_sleep(lapic, bell);
    }
}

bool haxm_chip_halt(visor_vcpu *vcpu)
{
    if (vcpu->lapic == NULL)
        return false;
    haxm_vcpu_of(vcpu)->mp_state = VISOR_MP_HALTED;
    return true;
}
