/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creating, running and kicking a vCPU.
 *
 * A run is one or more requests to the driver, which comes back at every interrupt of the host. To
 * end one that has begun, a kick sets user_event_pending, which the driver looks at after each exit
 * of the guest, and causes one. To keep one from entering the guest that is about to, it sets the
 * reason PAUSED, which is looked at before. Both are taken back, and then `leave` is looked at,
 * before each request: so nothing is lost.
 */
#include "haxm/haxm.h"
#include "irqchip/irqchip.h"

static void set_mark(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Keeps a request that has not left for the guest from it. Once the driver has written why the
 * guest has left, that stands: it tells whether the access in the tunnel is of now. */
static void mark_paused(uint32_t *reason)
{
    uint32_t nothing = 0;

    __atomic_compare_exchange_n(reason, &nothing, HAX_EXIT_PAUSED, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
}

/* Before a request: takes the marks of kicks back. */
static void clear_marks(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    set_mark(&v->tunnel->_exit_reason, 0);
    haxm_kick_reset(v->kick);
}

/*
 * The driver skips a write to read-only memory and returns with what the last exit left. So nothing
 * is left that could be taken for an exit; but for a read of a port, which the driver completes by
 * it.
 */
static void clear_exit(struct haxm_vcpu *v)
{
    if (!v->unsettled || v->status != HAX_EXIT_IO)
        v->tunnel->_exit_status = 0;
    if (v->status == HAX_EXIT_FAST_MMIO)
        ((struct hax_fastmmio *)v->io)->size = 0;
}

/* After a request: what the driver has completed, and where the guest is. */
static void left(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    v->status = v->tunnel->_exit_status;
    /* What a write to read-only memory has left as it was: also of a halt that an interrupt ended.
     */
    if ((v->status == HAX_EXIT_IO && v->tunnel->_exit_reason != HAXM_REASON_IO) ||
        (v->status == HAX_EXIT_HLT && v->tunnel->_exit_reason != HAXM_REASON_HLT))
        v->status = 0;
    v->unsettled = false;
    v->has_state = false;
    if (v->status == HAX_EXIT_STATECHANGE && !v->dead) {
        v->dead = true;
        v->dead_reason = v->tunnel->_exit_reason;
    }
    haxm_irq_left(vcpu);
    haxm_chip_left(vcpu);
}

/* After a request that gave err: the exit. A guest that the driver cannot go on with is one, too.
 */
static int exit_of(visor_vcpu *vcpu, int err)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    left(vcpu);
    /* Without having been in the guest: it is the emulator that has failed, in the middle. */
    if (err != 0 && v->status == HAX_EXIT_STATECHANGE)
        v->dead_reason = HAXM_REASON_EPT;
    if (err != 0 && v->status != HAX_EXIT_STATECHANGE && v->status != HAX_EXIT_UNKNOWN)
        return haxm_error(HAXM_RUN, err, "vCPU %u", vcpu->id);
    return haxm_exit_translate(vcpu);
}

/* Lets the driver complete an access without entering the guest. */
static int complete(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    clear_exit(v);
    set_mark(&v->tunnel->_exit_reason, HAX_EXIT_PAUSED);
    return exit_of(vcpu, haxm_call(&v->node, HAXM_RUN, NULL, 0));
}

/* Executes the guest until the driver comes back. */
static int enter(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    clear_exit(v);
    return exit_of(vcpu, haxm_run(&v->node, v->kick));
}

/* What is injected comes behind the instruction that has left for the caller. */
static bool is_anything_pending(const visor_vcpu *vcpu)
{
    const struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    return v->irq_pending || v->nmi_pending || v->exception_pending ||
           (vcpu->lapic != NULL && visor__lapic_pending(vcpu->lapic) != 0);
}

/* What is left of an access that has been answered: NONE, or its next part. */
static int rest_of_access(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    if (v->between)
        return haxm_exit_element(vcpu);
    return v->unsettled ? complete(vcpu) : VISOR_EXIT_NONE;
}

/* Whether an exit is an access that a chip serves, which then is answered. */
static bool serve(visor_vcpu *vcpu, int reason)
{
    bool served = (reason == VISOR_EXIT_IO || reason == VISOR_EXIT_MMIO) && haxm_chip_access(vcpu);

    if (served)
        haxm_exit_answer(vcpu);
    return served;
}

/* Runs until there is an exit; NONE: `leave` was set. */
static int run_inside(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    bool served = false, leave;
    int ret;

    for (;;) {
        leave = false;
        clear_marks(vcpu);
        if (atomic_exchange(&v->leave, false)) {
            /* The caller does not know of an access that a chip has served: it is behind. */
            do
                ret = served ? rest_of_access(vcpu) : VISOR_EXIT_NONE;
            while (serve(vcpu, ret));
            return ret;
        }
        if (v->between) {
            ret = haxm_exit_element(vcpu);
        } else {
            ret = v->unsettled && is_anything_pending(vcpu) ? complete(vcpu) : VISOR_EXIT_NONE;
            if (ret == VISOR_EXIT_NONE)
                ret = haxm_chip_serve(vcpu, &leave);
            if (ret == VISOR_EXIT_NONE && leave)
                continue;
            if (ret == VISOR_EXIT_NONE)
                ret = haxm_irq_enter(vcpu);
            if (ret == VISOR_EXIT_NONE)
                ret = enter(vcpu);
        }
        if (ret < 0)
            return ret;
        served = serve(vcpu, ret);
        if (served || ret == VISOR_EXIT_NONE || (ret == VISOR_EXIT_HLT && haxm_chip_halt(vcpu)) ||
            (ret == VISOR_EXIT_INTR && atomic_load(&v->leave)))
            continue;
        return ret;
    }
}

/* Records what a run ends with. */
static int report(visor_vcpu *vcpu, int reason)
{
    if (reason >= 0) {
        vcpu->exit.reason = (visor_exit_reason)reason;
        vcpu->exit.raw = haxm_vcpu_of(vcpu)->status;
    }
    return reason;
}

static void forget_kick(visor_vcpu *vcpu)
{
    atomic_store(&haxm_vcpu_of(vcpu)->leave, false);
    clear_marks(vcpu);
}

static int run(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    bool kicked;
    int ret;

    haxm_exit_answer(vcpu);
    ret = haxm_kick_adopt(v->kick);
    if (ret < 0)
        return ret;
    do {
        if (visor__run_begin(vcpu, forget_kick)) {
            haxm_kick_drop(v->kick);
            return report(vcpu, VISOR_EXIT_KICKED);
        }
        ret = run_inside(vcpu);
        kicked = visor__run_end(vcpu, ret == VISOR_EXIT_NONE);
        haxm_kick_drop(v->kick);
        if (kicked)
            return report(vcpu, VISOR_EXIT_KICKED);
        /* Else it was a chip that wanted the vCPU to look. */
    } while (ret == VISOR_EXIT_NONE);
    if (ret == VISOR_EXIT_INTR)
        haxm_kick_forget(v->kick);
    return report(vcpu, ret);
}

static int settle(visor_vcpu *vcpu)
{
    haxm_exit_answer(vcpu);
    return report(vcpu, rest_of_access(vcpu));
}

static void kick(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    atomic_store(&v->leave, true);
    mark_paused(&v->tunnel->_exit_reason);
    haxm_kick(v->kick, &v->node);
    if (vcpu->lapic != NULL)
        visor__lapic_ring(vcpu->lapic);
}

/* ---- life ---- */

/* The memory that is shared with the driver is mapped into the process that creates the vCPU. */
static int open_tunnel(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    struct hax_tunnel_info info = {0};
    int err = haxm_call(&v->node, HAXM_SETUP_TUNNEL, &info, sizeof(info));

    if (err != 0)
        return haxm_error(HAXM_SETUP_TUNNEL, err, "vCPU %u", vcpu->id);
    if (info.va == 0 || info.io_va == 0 || info.size < sizeof(*v->tunnel))
        return visor__error(VISOR_EBROKEN, "haxm", haxm_request_name(HAXM_SETUP_TUNNEL),
                            "vCPU %u: a tunnel of %u bytes", vcpu->id, info.size);
    v->tunnel = (struct hax_tunnel *)(uintptr_t)info.va;
    v->io = (void *)(uintptr_t)info.io_va;
    v->apic_base = v->tunnel->apic_base;
    return haxm_kick_create(&v->kick, vcpu->vm->hv, &v->tunnel->user_event_pending);
}

static int open_vcpu(visor_vcpu *vcpu)
{
    struct haxm_vm *vm = haxm_vm_of(vcpu->vm);
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    uint32_t id = vcpu->id;
    int err = haxm_call(&vm->node, HAXM_VCPU_CREATE, &id, sizeof(id));
    int ret;

    if (err != 0)
        return haxm_error(HAXM_VCPU_CREATE, err, "vCPU id %u", vcpu->id);
    ret = haxm_open_vcpu(&v->node, &vm->node, vm->id, vcpu->id);
    if (ret < 0)
        return ret;
    ret = open_tunnel(vcpu);
    if (ret == 0)
        ret = haxm_cpuid_init(vcpu);
    if (ret == 0)
        ret = visor__lapic_attach(vcpu);
    if (ret < 0) {
        haxm_kick_destroy(v->kick);
        haxm_close(&v->node);
    }
    return ret;
}

static int create(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret;

    if (vcpu->id >= HAX_MAX_VCPUS)
        return visor__error(VISOR_ELIMIT, "haxm", haxm_request_name(HAXM_VCPU_CREATE),
                            "vCPU id %u: the driver takes 0 to %u", vcpu->id, HAX_MAX_VCPUS - 1);
    /* Without, CPUID does nothing in the guest. */
    if (vcpu->id != 0 && vcpu->vm->vcpus == NULL) {
        visor__error(VISOR_ESTATE, "haxm", haxm_request_name(HAXM_VCPU_CREATE),
                     "vCPU id %u: the driver wants the first of a VM to be 0", vcpu->id);
        return visor__error_hint("create vCPU 0 before");
    }
    ret = open_vcpu(vcpu);
    if (ret < 0)
        return ret;
    if (vcpu->lapic != NULL) {
        /* The driver's CPUID says neither. */
        visor__lapic_set_features(vcpu->lapic, false, false);
        v->mp_state = vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_UNINITIALIZED;
    }
    return 0;
}

static void destroy(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);

    visor__lapic_detach(vcpu);
    haxm_kick_destroy(v->kick);
    if (vcpu->id != 0) {
        haxm_close(&v->node);
        return;
    }
    haxm_vm_of(vcpu->vm)->first = v->node;
    haxm_vm_of(vcpu->vm)->has_first = true;
}

const struct visor__vcpu_ops haxm_vcpu_ops = {
    .create = create,
    .destroy = destroy,
    .run = run,
    .settle = settle,
    .kick = kick,
    .get_state = haxm_get_state,
    .set_state = haxm_set_state,
};
