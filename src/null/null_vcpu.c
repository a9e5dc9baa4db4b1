/* SPDX-License-Identifier: BSD-3-Clause */
/* The vCPU of the null backend: executes scripts. */
#include "null/null.h"

#include <string.h>

#include "null/script.h"

#define MUST_LEAVE (-1)

static int create(visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, vcpu, create);

    if (ret == 0)
        ret = null_state_create(vcpu);
    if (ret < 0)
        return ret;
    ret = visor__lapic_attach(vcpu);
    if (ret < 0)
        null_state_destroy(vcpu);
    return ret;
}

static void destroy(visor_vcpu *vcpu)
{
    visor__lapic_detach(vcpu);
    null_state_destroy(vcpu);
}

static visor_x86_regs *regs_of(visor_vcpu *vcpu)
{
    return null_vcpu_of(vcpu)->state[VISOR__STATE_X86_REGS].value;
}

static uint64_t script_address(visor_vcpu *vcpu)
{
    const visor_x86_sregs *sregs = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_SREGS].value;

    return sregs->cs.base + regs_of(vcpu)->rip;
}

/* ---- accesses ---- */

/* Chips come before memory. */
static bool is_served(visor_vcpu *vcpu, visor_io *io)
{
    return (vcpu->lapic != NULL && visor__irqchip_access(vcpu->lapic, io)) ||
           null_vm_access(vcpu->vm, io) == NULL_SERVED;
}

/* The value of a read arrives in RAX; the step is over with its last part. */
static void finish_part(visor_vcpu *vcpu, const visor_io *io)
{
    if (!io->is_write)
        regs_of(vcpu)->rax = visor_io_value(io);
    if (null_vcpu_of(vcpu)->access.parts_left == 0)
        regs_of(vcpu)->rip += sizeof(struct null_step);
}

/*
 * Performs the parts of an access, from the one in io on, until one is for the caller. Returns its
 * exit, or VISOR_EXIT_NONE if none was.
 */
static int do_parts(visor_vcpu *vcpu, visor_io *io)
{
    struct null_access *access = &null_vcpu_of(vcpu)->access;

    for (;;) {
        if (!is_served(vcpu, io)) {
            access->pending = true;
            access->reason = io->space == VISOR_PIO ? VISOR_EXIT_IO : VISOR_EXIT_MMIO;
            vcpu->exit.io = *io;
            return access->reason;
        }
        finish_part(vcpu, io);
        if (access->parts_left == 0)
            return VISOR_EXIT_NONE;
        access->parts_left--;
        visor_io_set_value(io, io->is_write ? visor_io_value(io) + 1 : 0);
    }
}

/* Takes over what the caller answered. Returns the next part's exit, or VISOR_EXIT_NONE. */
static int complete(visor_vcpu *vcpu)
{
    struct null_access *access = &null_vcpu_of(vcpu)->access;
    const visor_exit *exit = &vcpu->exit;
    visor_io io = exit->io;

    if (!access->pending)
        return VISOR_EXIT_NONE;
    access->pending = false;
    switch (access->reason) {
    case VISOR_EXIT_HYPERCALL: regs_of(vcpu)->rax = exit->hypercall.results[0]; break;
    case VISOR_EXIT_MSR: regs_of(vcpu)->rax = exit->msr.value; break;
    case VISOR_EXIT_IO:
    case VISOR_EXIT_MMIO:
        finish_part(vcpu, &io);
        if (access->parts_left == 0)
            break;
        access->parts_left--;
        visor_io_set_value(&io, io.is_write ? visor_io_value(&io) + 1 : 0);
        return do_parts(vcpu, &io);
    default: break;
    }
    return VISOR_EXIT_NONE;
}

/* ---- steps ---- */

static int step_access(visor_vcpu *vcpu, const struct null_step *step)
{
    visor_io io = {
        .space = step->kind == NULL_KIND_OUT || step->kind == NULL_KIND_IN ? VISOR_PIO : VISOR_MMIO,
        .address = step->address,
        .length = step->length >= 1 && step->length <= 8 ? step->length : 1,
        .is_write = step->kind == NULL_KIND_OUT || step->kind == NULL_KIND_STORE,
    };

    if (io.is_write)
        visor_io_set_value(&io, step->value);
    null_vcpu_of(vcpu)->access.parts_left = step->repeat;
    return do_parts(vcpu, &io);
}

static int step_exit(visor_vcpu *vcpu, const struct null_step *step)
{
    struct null_access *access = &null_vcpu_of(vcpu)->access;
    visor_exit *exit = &vcpu->exit;
    size_t room = sizeof(*exit) - offsetof(visor_exit, io);
    size_t length = step->length < room ? step->length : room;

    regs_of(vcpu)->rip += sizeof(*step);
    memset(&exit->io, 0, room);
    if (length > 0)
        null_vm_fetch(&exit->io, vcpu->vm, step->address, length);
    access->pending = true;
    access->reason = step->value < VISOR_EXIT_COUNT ? (int)step->value : VISOR_EXIT_UNKNOWN;
    if (access->reason == VISOR_EXIT_INTERNAL_ERROR)
        exit->internal.text = "as the script says"; /* what memory holds is no pointer */
    return access->reason;
}

static int halt(visor_vcpu *vcpu)
{
    return null_chip_halt(vcpu) ? VISOR_EXIT_NONE : VISOR_EXIT_HLT;
}

/* Executes the step at RIP. Returns its exit, or VISOR_EXIT_NONE. */
static int execute(visor_vcpu *vcpu)
{
    struct null_step step;

    if (!null_vm_fetch(&step, vcpu->vm, script_address(vcpu), sizeof(step)) ||
        step.magic != NULL_STEP_MAGIC)
        return halt(vcpu);
    vcpu->exit.raw = step.kind;
    switch (step.kind) {
    case NULL_KIND_OUT:
    case NULL_KIND_IN:
    case NULL_KIND_STORE:
    case NULL_KIND_LOAD: return step_access(vcpu, &step);
    case NULL_KIND_JUMP: regs_of(vcpu)->rip = step.value; return VISOR_EXIT_NONE;
    case NULL_KIND_SPIN: visor__os_pause(0); return VISOR_EXIT_NONE;
    case NULL_KIND_EXIT: return step_exit(vcpu, &step);
    default: regs_of(vcpu)->rip += sizeof(step); return halt(vcpu);
    }
}

static int debug_exit(visor_vcpu *vcpu)
{
    memset(&vcpu->exit.debug, 0, sizeof(vcpu->exit.debug));
    vcpu->exit.debug.pc = regs_of(vcpu)->rip;
    vcpu->exit.debug.single_step = true;
    return VISOR_EXIT_DEBUG;
}

/* An interrupt that was injected enters the guest, where nothing handles it. */
static void deliver_interrupt(visor_vcpu *vcpu)
{
    visor_x86_events *events = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_EVENTS].value;

    events->interrupt.injected = 0;
    events->nmi.pending = 0;
}

/* Guest code, until something makes it leave: an exit, or MUST_LEAVE for the mark of kick(). */
static int enter_guest(visor_vcpu *vcpu)
{
    struct null_vcpu *null = null_vcpu_of(vcpu);
    int reason;

    if (vcpu->lapic == NULL)
        deliver_interrupt(vcpu);
    do {
        if (atomic_load(&null->leave))
            return MUST_LEAVE;
        reason = null_chip_serve(vcpu);
        if (reason != VISOR_EXIT_NONE)
            break;
        if (atomic_load(&null->leave))
            return MUST_LEAVE;
        if (null->irq_window && null_x86_ops.ready_for_interrupt(vcpu) > 0)
            return VISOR_EXIT_IRQ_WINDOW;
        reason = execute(vcpu);
        if (reason == VISOR_EXIT_NONE && null->single_step)
            reason = debug_exit(vcpu);
    } while (reason == VISOR_EXIT_NONE);
    return reason;
}

static void forget_kick(visor_vcpu *vcpu)
{
    atomic_store(&null_vcpu_of(vcpu)->leave, false);
}

static int run(visor_vcpu *vcpu)
{
    int reason = NULL_FAULT(vcpu->vm->hv, vcpu, run);
    bool kicked = false;

    if (reason == 0)
        reason = complete(vcpu);
    if (reason != VISOR_EXIT_NONE)
        return reason;
    do {
        if (visor__run_begin(vcpu, forget_kick))
            return VISOR_EXIT_KICKED;
        reason = enter_guest(vcpu);
        kicked = visor__run_end(vcpu, reason == MUST_LEAVE);
    } while (reason == MUST_LEAVE && !kicked); /* only nudged */
    return kicked ? VISOR_EXIT_KICKED : reason;
}

static int settle(visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, vcpu, settle);

    return ret < 0 ? ret : complete(vcpu);
}

static void kick(visor_vcpu *vcpu)
{
    atomic_store(&null_vcpu_of(vcpu)->leave, true);
    if (vcpu->lapic != NULL)
        visor__lapic_ring(vcpu->lapic);
}

static int paused(visor_vcpu *vcpu)
{
    return NULL_FAULT(vcpu->vm->hv, vcpu, paused);
}

static int native_enable(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4])
{
    int ret = NULL_FAULT(vcpu->vm->hv, vcpu, native_enable);

    (void)args;
    if (ret == 0 && number != 0)
        ret = visor__error(VISOR_EREFUSED, "null", "vcpu.native_enable", "feature %u", number);
    return ret;
}

const struct visor__vcpu_ops null_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .get_state = null_get_state,
    .set_state = null_set_state,
    .paused = paused,
    .native_enable = native_enable,
};

static int set_debug(visor_vcpu *vcpu, const visor_debug_config *config)
{
    int ret = NULL_FAULT(vcpu->vm->hv, debug, set);

    if (ret == 0)
        null_vcpu_of(vcpu)->single_step = config->single_step;
    return ret;
}

const struct visor__debug_ops null_debug_ops = {.set = set_debug};
