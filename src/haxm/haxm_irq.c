/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts, NMIs and exceptions that the caller injects.
 *
 * An interrupt that is given to the driver stays there until the guest takes it, so it is given at
 * the last moment. NMIs and exceptions are delivered here (haxm_deliver.c). When the handler of an
 * NMI returns is not seen: another one does not wait for that.
 */
#include <string.h>

#include "haxm/haxm.h"
#include "irqchip/irqchip.h"

#define VECTOR_NMI 2

static int queue(visor_vcpu *vcpu, uint32_t vector)
{
    int err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_INTERRUPT, &vector, sizeof(vector));

    return err != 0 ? haxm_error(HAXM_INTERRUPT, err, "vCPU %u, vector %u", vcpu->id, vector) : 0;
}

int haxm_ready_for_interrupt(visor_vcpu *vcpu)
{
    const struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    return v->ready && !v->irq_queued &&
           (vcpu->lapic == NULL || visor__lapic_accepts_extint(vcpu->lapic));
}

int haxm_interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    if (vcpu->lapic != NULL && visor__lapic_accepts_extint(vcpu->lapic)) {
        visor__lapic_set_extint(vcpu->lapic, vector);
        return 0;
    }
    if (vcpu->lapic != NULL || v->irq_queued || !v->ready)
        return visor__error(VISOR_EAGAIN, "haxm", "visor_x86_interrupt",
                            "the guest cannot take an interrupt now");
    v->irq_pending = true;
    v->irq_vector = vector;
    return 0;
}

int haxm_request_irq_window(visor_vcpu *vcpu, bool on)
{
    haxm_vcpu_of(vcpu)->irq_window = on;
    return 0;
}

int haxm_nmi(visor_vcpu *vcpu)
{
    haxm_vcpu_of(vcpu)->nmi_pending = true;
    return 0;
}

/* The local APIC's, if the guest can take it. */
static void acknowledge(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int vector;

    if (vcpu->lapic == NULL || v->irq_pending || !v->ready ||
        (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) == 0)
        return;
    vector = visor__lapic_acknowledge(vcpu->lapic);
    v->irq_pending = vector >= 0;
    v->irq_vector = (uint8_t)vector;
}

static bool is_waiting(const visor_vcpu *vcpu)
{
    const struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    return v->irq_window || v->nmi_pending || (v->irq_pending && !v->irq_queued) ||
           (vcpu->lapic != NULL &&
            (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0);
}

static int cannot_deliver(visor_vcpu *vcpu, uint8_t vector)
{
    visor_exit *exit = &vcpu->exit;

    memset(&exit->internal, 0, sizeof(exit->internal));
    exit->internal.text = "the guest's memory or tables do not let an event be delivered";
    exit->internal.data[0] = vector;
    exit->internal.data_count = 1;
    return VISOR_EXIT_INTERNAL_ERROR;
}

/*
 * Whether the guest may be in the shadow of STI, in which an NMI is not only late but may make the
 * entry fail (SDM vol. 3C, 26.3.1.5): interrupts are on, and none can be taken. That of MOV SS with
 * interrupts off cannot be told.
 */
static bool is_shadowed(visor_vcpu *vcpu)
{
    const struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    return !v->ready && haxm_load(vcpu) == 0 && (v->state._rflags & HAXM_RFLAGS_IF) != 0;
}

/* What comes before interrupts. An interrupt that the driver has already is in the way of both. */
static int deliver(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    uint8_t vector = v->exception_pending ? v->exception.vector : VECTOR_NMI;
    const uint32_t *error_code = NULL;
    int ret;

    if ((!v->exception_pending && !v->nmi_pending) || v->irq_queued)
        return VISOR_EXIT_NONE;
    if (!v->exception_pending && is_shadowed(vcpu))
        return VISOR_EXIT_NONE;
    if (v->exception_pending && v->exception.has_error_code)
        error_code = &v->exception.error_code;
    ret = haxm_deliver(vcpu, vector, error_code);
    if (ret <= 0)
        return ret < 0 ? ret : cannot_deliver(vcpu, vector);
    if (v->exception_pending)
        v->exception_pending = false;
    else
        v->nmi_pending = false;
    return VISOR_EXIT_NONE;
}

int haxm_irq_enter(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret = VISOR_EXIT_NONE;

    /* What comes now comes behind the instruction that the driver has to complete first, and which
     * may leave once more before the guest is entered. */
    if (v->unsettled) {
        v->tunnel->request_interrupt_window = is_waiting(vcpu);
        return ret;
    }
    ret = deliver(vcpu);
    if (ret != VISOR_EXIT_NONE)
        return ret;
    acknowledge(vcpu);
    if (v->irq_window && v->ready && !v->irq_pending)
        return VISOR_EXIT_IRQ_WINDOW;
    if (v->irq_pending && !v->irq_queued && v->ready) {
        ret = queue(vcpu, v->irq_vector);
        v->irq_queued = ret == 0;
    }
    v->tunnel->request_interrupt_window = is_waiting(vcpu);
    return ret;
}

void haxm_irq_left(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    if (v->status == HAX_EXIT_PAUSED) /* without having been in the guest */
        return;
    if (v->irq_queued)
        v->irq_pending = v->irq_queued = false;
    v->ready = v->tunnel->ready_for_interrupt_injection != 0;
    /* Of a guest that halts, the driver says so always. */
    if (v->status == HAX_EXIT_HLT)
        v->ready = haxm_load(vcpu) == 0 && (v->state._rflags & HAXM_RFLAGS_IF) != 0;
}
