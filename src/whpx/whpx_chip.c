/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: those of the VM's own chips, and windows for those of the caller. */
#include "whpx/whpx.h"

#include "os/cpu.h"

#define MSR_APIC_BASE 0x1bu
#define CR0_CACHES    UINT64_C(0x60000000) /* CD and NW, which INIT leaves alone */

/* ---- what the chips ask for ---- */

static uint64_t host_tsc(void)
{
    uint64_t host = 0;

    visor__cpu_tsc(&host);
    return host;
}

static uint64_t now(void *vm)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);
    const struct whpx_clock *clock = &whpx->clock;
    uint64_t ns;

    visor__mutex_lock(&whpx->lock);
    ns = clock->held ? clock->held_ns : visor__os_now_ns() - clock->away_ns;
    visor__mutex_unlock(&whpx->lock);
    return ns;
}

static uint64_t clock_tsc(const visor_vcpu *vcpu)
{
    struct whpx_vm *whpx = whpx_vm_of(vcpu->vm);
    const struct whpx_clock *clock = &whpx->clock;
    uint64_t count;

    visor__mutex_lock(&whpx->lock);
    count = clock->held ? clock->held_tsc : host_tsc() - clock->away_tsc;
    visor__mutex_unlock(&whpx->lock);
    return count;
}

static uint64_t tsc(void *vcpu)
{
    return clock_tsc(vcpu) + atomic_load(&whpx_vcpu_of(vcpu)->tsc_offset);
}

static void wake(void *vcpu)
{
    visor__kick_nudge(vcpu);
}

static const struct visor__irqchip_host host = {
    .now = now, .tsc = tsc, .wake = wake, .clocked = true};

int whpx_chip_attach(visor_vm *vm)
{
    return visor__irqchip_attach(vm, &host, whpx_vm_of(vm)->tsc_hz);
}

void whpx_chip_hold_time(visor_vm *vm, bool hold)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);
    struct whpx_clock *clock = &whpx->clock;

    visor__mutex_lock(&whpx->lock);
    if (hold && !clock->held) {
        clock->held_ns = visor__os_now_ns() - clock->away_ns;
        clock->held_tsc = host_tsc() - clock->away_tsc;
    } else if (!hold && clock->held) {
        clock->away_ns = visor__os_now_ns() - clock->held_ns;
        clock->away_tsc = host_tsc() - clock->held_tsc;
    }
    clock->held = hold;
    visor__mutex_unlock(&whpx->lock);
}

int whpx_chip_sync_tsc(visor_vcpu *vcpu)
{
    uint64_t before = clock_tsc(vcpu), after, guest;
    int ret = whpx_get_number(&guest, vcpu, WHvX64RegisterTsc);

    after = clock_tsc(vcpu);
    if (ret == 0)
        atomic_store(&whpx_vcpu_of(vcpu)->tsc_offset, guest - (before + (after - before) / 2));
    return ret;
}

void whpx_chip_changed(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    uint64_t base;

    if (vcpu->lapic == NULL)
        return;
    /* What the guest reads there is the platform's register. One that has none of it reads as it
     * likes: nothing depends on it. */
    if (visor__lapic_read_msr(&base, vcpu->lapic, MSR_APIC_BASE, false) == VISOR__MSR_DONE)
        (void)whpx_set_number(vcpu, WHvX64RegisterApicBase, base);
    if (whpx->assist != NULL)
        visor__assist_x86_set_apic_page(whpx->assist, visor__lapic_page(vcpu->lapic));
}

/* ---- INIT, SIPI ---- */

static int reset_by_init(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    const visor_x86_events none = {
        .exception.has_pending = 1, .interrupt.has_shadow = 1, .nmi.has_pending = 1};
    visor_x86_sregs sregs, old;
    visor_x86_regs regs;
    int ret = whpx_get_sregs(&old, vcpu);

    visor_x86_reset_sregs(&sregs);
    visor_x86_reset_regs(&regs);
    sregs.cr0 = (sregs.cr0 & ~CR0_CACHES) | (old.cr0 & CR0_CACHES);
    regs.rdx = 0x600;
    if (ret == 0)
        ret = whpx_set_regs(vcpu, &regs);
    if (ret == 0)
        ret = whpx_set_sregs(vcpu, &sregs);
    if (ret == 0)
        ret = whpx_set_events(vcpu, &none);
    whpx->halted = whpx->dead = false;
    whpx->mp_state = vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_INIT_RECEIVED;
    return ret;
}

static int start_by_sipi(visor_vcpu *vcpu, int vector)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    visor_x86_sregs sregs;
    int ret;

    if (vector < 0 || whpx->mp_state != VISOR_MP_INIT_RECEIVED)
        return 0;
    ret = whpx_get_sregs(&sregs, vcpu);
    sregs.cs.selector = (uint16_t)(vector << 8);
    sregs.cs.base = (uint64_t)vector << 12;
    if (ret == 0)
        ret = whpx_set_sregs(vcpu, &sregs);
    if (ret == 0)
        ret = whpx_set_number(vcpu, WHvX64RegisterRip, 0);
    whpx->mp_state = VISOR_MP_RUNNABLE;
    return ret;
}

int whpx_chip_take(visor_vcpu *vcpu)
{
    struct visor__lapic *lapic = vcpu->lapic;
    unsigned pending;
    int ret = 0;

    if (lapic == NULL || (pending = visor__lapic_pending(lapic)) == 0)
        return 0;
    if ((pending & VISOR__PENDING_INIT) != 0 && visor__lapic_take(lapic, VISOR__PENDING_INIT))
        ret = reset_by_init(vcpu);
    if (ret == 0 && (visor__lapic_pending(lapic) & VISOR__PENDING_SIPI) != 0)
        ret = start_by_sipi(vcpu, visor__lapic_take_sipi(lapic));
    if ((pending & VISOR__PENDING_NMI) != 0 && visor__lapic_take(lapic, VISOR__PENDING_NMI))
        whpx_vcpu_of(vcpu)->nmi_pending = true;
    /* System management mode is the platform's. */
    if ((pending & VISOR__PENDING_SMI) != 0)
        (void)visor__lapic_take(lapic, VISOR__PENDING_SMI);
    return ret;
}

/* ---- what can be delivered ---- */

static int put(visor_vcpu *vcpu, unsigned type, unsigned vector)
{
    WHV_REGISTER_VALUE value = {.Reg64 = 0};

    value.PendingInterruption.InterruptionPending = 1;
    value.PendingInterruption.InterruptionType = type & 7u;
    value.PendingInterruption.InterruptionVector = vector & 0xffffu;
    whpx_vcpu_of(vcpu)->halted = false;
    return whpx_set_number(vcpu, WHvRegisterPendingInterruption, value.Reg64);
}

/* The class of the highest interrupt that the task priority holds back; 0: there is none. */
static uint8_t held_back(visor_vcpu *vcpu)
{
    visor_x86_lapic lapic;
    uint64_t priority = visor__lapic_get_cr8(vcpu->lapic);

    if (priority == 0 ||
        visor__lapic_get_state(&lapic, sizeof(lapic), vcpu->lapic, VISOR__STATE_X86_LAPIC) < 0)
        return 0;
    for (unsigned word = 8; word-- > 0;) {
        if (lapic.regs[0x20 + word] != 0) {
            unsigned vector = 32 * word + 31 - (unsigned)__builtin_clz(lapic.regs[0x20 + word]);

            return vector >> 4 <= priority ? (uint8_t)(vector >> 4) : 0;
        }
    }
    return 0;
}

/* Gives the guest what waits, one event at a time; asks for a window for what has to wait. */
static int deliver(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    bool waits =
        vcpu->lapic != NULL && (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0;
    struct whpx_window window = {0};
    struct whpx_readiness state = {0};
    int ret;

    if (vcpu->lapic != NULL && !waits)
        window.priority = held_back(vcpu);
    if (!waits && !whpx->nmi_pending && !whpx->irq_window && window.priority == 0)
        return whpx_set_window(vcpu, window);
    ret = whpx_look(&state, vcpu);
    if (ret < 0)
        return ret;
    if (whpx->nmi_pending) {
        if (!state.busy && !state.nmi_masked && !state.shadow) {
            whpx->nmi_pending = false;
            state.busy = true;
            ret = put(vcpu, WHvX64PendingNmi, 2);
        } else {
            window.nmi = true;
        }
    }
    if (waits && !state.busy && state.flag && !state.shadow) {
        int vector = visor__lapic_acknowledge(vcpu->lapic);

        if (vector >= 0 && ret == 0)
            ret = put(vcpu, WHvX64PendingInterrupt, (unsigned)vector);
        /* Behind a PIC's interrupt there may be a local APIC's. */
        waits = (visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0;
        window.priority = waits ? 0 : held_back(vcpu);
    }
    window.interrupt = waits || whpx->irq_window || window.priority != 0;
    return ret < 0 ? ret : whpx_set_window(vcpu, window);
}

/* ---- sleeping ---- */

static bool is_idle(const struct whpx_vcpu *whpx)
{
    return whpx->halted || whpx->mp_state != VISOR_MP_RUNNABLE;
}

/* Whether what waits ends the sleep. */
static int wakes(bool *out, visor_vcpu *vcpu)
{
    const struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    struct whpx_readiness state = {0};
    int ret;

    *out = !is_idle(whpx);
    if (*out || whpx->mp_state != VISOR_MP_RUNNABLE)
        return 0;
    ret = whpx_look(&state, vcpu);
    *out = state.busy || (whpx->nmi_pending && !state.nmi_masked) ||
           ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_INTERRUPT) != 0 && state.flag &&
            !state.shadow);
    return ret;
}

static int sleep_until(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);

    while (is_idle(whpx)) {
        uint32_t bell = visor__lapic_bell(vcpu->lapic);
        bool awake = false;
        int ret = whpx_chip_take(vcpu);

        if (ret == 0)
            ret = wakes(&awake, vcpu);
        if (ret < 0)
            return ret;
        if (awake) {
            whpx->halted = false;
            break;
        }
        if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_EOI) != 0)
            break;
        if (atomic_load(&vcpu->kick.pending))
            return WHPX_CANCELED;
        visor__lapic_sleep(vcpu->lapic, bell);
    }
    return VISOR_EXIT_NONE;
}

int whpx_before_entry(visor_vcpu *vcpu)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int ret;

    if (vcpu->lapic != NULL) {
        ret = whpx_chip_take(vcpu);
        if (ret == 0)
            ret = sleep_until(vcpu);
        if (ret != VISOR_EXIT_NONE)
            return ret;
        if ((visor__lapic_pending(vcpu->lapic) & VISOR__PENDING_EOI) != 0) {
            vcpu->exit.eoi.vector = (uint32_t)visor__lapic_take_eoi(vcpu->lapic);
            return VISOR_EXIT_IOAPIC_EOI;
        }
        if (visor__lapic_get_cr8(vcpu->lapic) != whpx->cr8) {
            whpx->cr8 = (uint8_t)visor__lapic_get_cr8(vcpu->lapic);
            ret = whpx_set_number(vcpu, WHvX64RegisterCr8, whpx->cr8);
            if (ret < 0)
                return ret;
        }
    }
    return deliver(vcpu);
}
