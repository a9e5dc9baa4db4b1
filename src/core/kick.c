/* SPDX-License-Identifier: BSD-3-Clause */
/* Cancelling runs; the protocol and its reasons are in kick.h. */
#include "core/backend.h"

/* After this no kick calls the backend, until the next run begins. */
static void leave(struct visor__kick *kick)
{
    atomic_store(&kick->running, false);
    for (unsigned attempt = 0; atomic_load(&kick->inside) != 0; attempt++)
        visor__os_pause(attempt);
}

bool visor__run_begin(visor_vcpu *vcpu, void (*reset)(visor_vcpu *vcpu))
{
    struct visor__kick *kick = &vcpu->kick;

    atomic_store(&kick->running, true);
    if (reset != NULL)
        reset(vcpu);
    if (!atomic_load(&kick->pending))
        return false;
    leave(kick);
    /* Only now: kicks that came while leaving are answered by this return as well. */
    atomic_store(&kick->pending, false);
    return true;
}

bool visor__run_end(visor_vcpu *vcpu, bool interrupted)
{
    struct visor__kick *kick = &vcpu->kick;

    leave(kick);
    return interrupted && atomic_exchange(&kick->pending, false);
}

static void interrupt(visor_vcpu *vcpu, bool pending)
{
    struct visor__kick *kick = &vcpu->kick;

    atomic_fetch_add(&kick->inside, 1);
    if (pending)
        atomic_store(&kick->pending, true);
    if (atomic_load(&kick->running))
        vcpu->vm->hv->backend->vcpu->kick(vcpu);
    atomic_fetch_sub(&kick->inside, 1);
}

void visor_vcpu_kick(visor_vcpu *vcpu)
{
    interrupt(vcpu, true);
}

void visor__kick_nudge(visor_vcpu *vcpu)
{
    interrupt(vcpu, false);
}
