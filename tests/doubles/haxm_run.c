/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RUN. The order of what is looked at is the driver's (vcpu_execute(), cpu_vmx_execute() and the
 * handlers of exits).
 */
#include <errno.h>
#include <string.h>

#include "haxm_machine.h"

/* VMX's exit reasons (SDM vol. 3D, appendix C). */
#define REASON_WINDOW 7
#define REASON_HLT    12
#define REASON_EPT    48

enum outcome { TO_CLIENT, RESUME };

/* ---- the clock's interrupts ---- */

static pthread_mutex_t ticker_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vcpu_double *inside;

static void tick(void)
{
    pthread_mutex_lock(&ticker_lock);
    for (struct vcpu_double *v = inside; v != NULL; v = v->next) {
        if ((__atomic_load_n(&v->tunnel->user_event_pending, __ATOMIC_SEQ_CST) & 1) != 0)
            visor_vcpu_kick(v->vcpu);
    }
    pthread_mutex_unlock(&ticker_lock);
}

void driver_ticker_start(void)
{
    driver_clock_start(tick, &ticker_lock);
}

void driver_kick_off(struct vcpu_double *vcpu)
{
    pthread_mutex_lock(&ticker_lock);
    for (struct vcpu_double *v = inside; v != NULL; v = v->next) {
        if (v == vcpu)
            visor_vcpu_kick(v->vcpu);
    }
    pthread_mutex_unlock(&ticker_lock);
}

void driver_ticker_enter(struct vcpu_double *v)
{
    pthread_mutex_lock(&ticker_lock);
    v->next = inside;
    inside = v;
    pthread_mutex_unlock(&ticker_lock);
}

void driver_ticker_leave(struct vcpu_double *v)
{
    struct vcpu_double **at = &inside;

    pthread_mutex_lock(&ticker_lock);
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    pthread_mutex_unlock(&ticker_lock);
}

/* ---- memory that the driver emulates ---- */

static void present_mmio(struct vcpu_double *v)
{
    const visor_io *io = &visor_vcpu_exit(v->vcpu)->io;
    struct hax_fastmmio *mmio = v->io;

    v->tunnel->_exit_status = HAX_EXIT_FAST_MMIO;
    mmio->gpa = io->address;
    mmio->size = (uint8_t)io->length;
    mmio->direction = io->is_write ? HAX_FASTMMIO_WRITE : HAX_FASTMMIO_READ;
    if (io->is_write)
        mmio->value = visor_io_value(io);
    v->emulating = true;
}

/* Goes on with an instruction whose access the client has served. */
static enum outcome continue_mmio(struct vcpu_double *v)
{
    visor_io *io = &visor_vcpu_exit(v->vcpu)->io;

    if (!io->is_write)
        visor_io_set_value(io, ((struct hax_fastmmio *)v->io)->value);
    v->emulating = false;
    if (SOFT_OK(visor_vcpu_settle(v->vcpu)) == VISOR_EXIT_NONE)
        return RESUME;
    present_mmio(v);
    return TO_CLIENT;
}

static enum outcome exit_mmio(struct vcpu_double *v)
{
    const struct range *range = driver_range_of(v->vm, visor_vcpu_exit(v->vcpu)->io.address);

    v->tunnel->_exit_reason = REASON_EPT;
    if (range != NULL) {
        /* A write to ROM: the instruction is skipped, and _exit_status stays what it was. */
        while (SOFT_OK(visor_vcpu_settle(v->vcpu)) != VISOR_EXIT_NONE)
            continue;
        return TO_CLIENT;
    }
    if (!driver_can_emulate(v)) {
        v->panicked = true;
        return TO_CLIENT;
    }
    if (!v->vm->fast_mmio)
        double_die("an access without NOTIFY_QEMU_VERSION");
    present_mmio(v);
    return TO_CLIENT;
}

/* ---- exits ---- */

static enum outcome exit_hlt(struct vcpu_double *v)
{
    v->tunnel->_exit_reason = REASON_HLT;
    v->tunnel->_exit_status = HAX_EXIT_HLT;
    if (v->pending_count > 0)
        return RESUME;
    v->tunnel->ready_for_interrupt_injection = 1;
    return TO_CLIENT;
}

static enum outcome exit_debug(struct vcpu_double *v)
{
    const visor_exit *exit = visor_vcpu_exit(v->vcpu);
    struct hax_tunnel *tunnel = v->tunnel;
    bool is_int3 = exit->debug.exception == 3;

    tunnel->_exit_reason = 0; /* an exception */
    tunnel->_exit_status = HAX_EXIT_DEBUG;
    tunnel->debug.rip = exit->debug.pc;
    tunnel->debug.dr6 = is_int3 ? 0 : exit->debug.dr6 & 0x600f;
    tunnel->debug.dr7 = is_int3 ? 0 : exit->debug.dr7 | 0x400;
    return TO_CLIENT;
}

/* As RDMSR and WRMSR of the guest. */
static enum outcome exit_msr(struct vcpu_double *v)
{
    visor_exit *exit = visor_vcpu_exit(v->vcpu);
    bool done = exit->msr.is_write ? driver_msr_write(v, exit->msr.index, exit->msr.value)
                                   : driver_msr_read(v, exit->msr.index, &exit->msr.value);

    exit->msr.fault = !done;
    return RESUME;
}

static enum outcome handle(struct vcpu_double *v, int reason)
{
    switch (reason) {
    case VISOR_EXIT_IO: driver_port_exit(v); return TO_CLIENT;
    case VISOR_EXIT_MMIO: return exit_mmio(v);
    case VISOR_EXIT_MSR: return exit_msr(v);
    case VISOR_EXIT_HLT: return exit_hlt(v);
    case VISOR_EXIT_DEBUG: return exit_debug(v);
    case VISOR_EXIT_IRQ_WINDOW: v->tunnel->_exit_reason = REASON_WINDOW; return RESUME;
    case VISOR_EXIT_INTR:
    case VISOR_EXIT_KICKED: v->tunnel->_exit_status = HAX_EXIT_INTERRUPT; return TO_CLIENT;
    case VISOR_EXIT_SHUTDOWN: v->panicked = true; return TO_CLIENT;
    case VISOR_EXIT_INTERNAL_ERROR: /* code where there is no memory: cannot be fetched */
        v->tunnel->_exit_reason = REASON_EPT;
        v->panicked = true;
        return TO_CLIENT;
    default:
        double_die("an exit of the software CPU that this double does not know: %s",
                   visor_exit_name(reason));
    }
}

/* ---- entering ---- */

static bool is_ready(struct vcpu_double *v)
{
    return SOFT_OK(visor_x86_ready_for_interrupt(v->vcpu)) != 0;
}

static void inject(struct vcpu_double *v)
{
    if (v->pending_count > 0 && is_ready(v)) {
        unsigned word = 7, vector;

        while (v->pending[word] == 0)
            word--;
        vector = word * 32 + 31 - (unsigned)__builtin_clz(v->pending[word]);
        v->pending[word] &= ~(1u << vector % 32);
        v->pending_count--;
        SOFT_OK(visor_x86_interrupt(v->vcpu, (uint8_t)vector));
    }
    SOFT_OK(visor_x86_request_irq_window(v->vcpu, v->pending_count > 0 ||
                                                      v->tunnel->request_interrupt_window != 0));
}

/* What a processor enters the guest with is delivered before anything makes it leave again. */
static bool is_injecting(struct vcpu_double *v)
{
    visor_x86_events events;

    SOFT_OK(visor_x86_get_events(&events, v->vcpu));
    return events.interrupt.injected != 0;
}

/* Enters the guest, and tells where it is after it left. */
static int enter(struct vcpu_double *v)
{
    int reason;

    if (v->carried) {
        v->carried = false;
        return VISOR_EXIT_IO;
    }
    inject(v);
    do {
        driver_ticker_enter(v);
        reason = SOFT_OK(visor_vcpu_run(v->vcpu));
        driver_ticker_leave(v);
    } while ((reason == VISOR_EXIT_INTR || reason == VISOR_EXIT_KICKED) && is_injecting(v));
    v->tunnel->ready_for_interrupt_injection = v->pending_count == 0 && is_ready(v);
    return reason;
}

/* A page that is touched for the first time is an exit from which the driver resumes, and whose
 * reason stays. Here each mapping is one page. */
static void populate(struct vcpu_double *v)
{
    if (v->populated == v->vm->mappings)
        return;
    v->populated = v->vm->mappings;
    v->tunnel->_exit_reason = REASON_EPT;
}

static long execute(struct vcpu_double *v)
{
    struct hax_tunnel *tunnel = v->tunnel;

    for (;;) {
        enum outcome outcome;

        if (v->panicked) {
            tunnel->_exit_status = HAX_EXIT_STATECHANGE;
            return 0;
        }
        if (!driver_sregs_flush(v)) {
            tunnel->_exit_reason = 0;
            tunnel->_exit_status = HAX_EXIT_UNKNOWN;
            return -EINVAL;
        }
        populate(v);
        outcome = handle(v, enter(v));
        if (v->panicked)
            continue;
        if (outcome == RESUME && v->pending_count == 0 && tunnel->request_interrupt_window != 0) {
            tunnel->_exit_status = HAX_EXIT_INTERRUPT;
            return 0;
        }
        if (outcome == RESUME &&
            (__atomic_fetch_and(&tunnel->user_event_pending, ~1u, __ATOMIC_SEQ_CST) & 1) != 0) {
            tunnel->_exit_status = HAX_EXIT_INTERRUPT;
            return 0;
        }
        if (outcome == TO_CLIENT)
            return 0;
    }
}

long driver_run(struct vcpu_double *v)
{
    struct hax_tunnel *tunnel = v->tunnel;
    long ret = 0;

    if (tunnel->_exit_status == HAX_EXIT_IO)
        driver_port_post(v);
    if (v->emulating && continue_mmio(v) == TO_CLIENT) {
        tunnel->apic_base = v->apic_base;
        return 0;
    }
    if (__atomic_load_n(&tunnel->_exit_reason, __ATOMIC_SEQ_CST) == HAX_EXIT_PAUSED)
        tunnel->_exit_status = HAX_EXIT_PAUSED;
    else
        ret = execute(v);
    tunnel->apic_base = v->apic_base;
    return ret;
}
