/* SPDX-License-Identifier: BSD-3-Clause */
/* Resetting a vCPU: the walk over the table. The values are in the architecture's own file. */
#include <stdlib.h>

#include "core/backend.h"

/* Reads a piece, lets it become its reset value, and sets it. */
static int reset_piece(visor_vcpu *vcpu, enum visor__state piece)
{
    void *value;
    int ret = visor__state_read(&value, vcpu, piece);

    if (ret == VISOR_EUNSUPPORTED)
        return 0;
    if (ret > 0) {
        size_t length = (size_t)ret;

        ret = visor__states[piece].reset(value, length, vcpu);
        if (ret > 0)
            ret = visor__state_set(vcpu, piece, value, length, NULL);
    }
    free(value);
    return ret < 0 ? visor__error_context("resetting %s", visor__states[piece].name) : 0;
}

int visor_vcpu_reset(visor_vcpu *vcpu)
{
    visor_arch arch = vcpu->vm->config.arch;
    const struct visor__vcpu_ops *ops = vcpu->vm->hv->backend->vcpu;
    int ret = visor__state_abandon(vcpu);

    if (ret == 0 && ops->reset != NULL)
        return ops->reset(vcpu);
    if (ret == 0 && visor__states[visor__state_by_restore(arch, 0)].reset == NULL)
        return visor__unsupported(vcpu->vm->hv, "visor_vcpu_reset",
                                  "it does not tell the reset values of its registers");
    for (unsigned rank = 0; ret == 0; rank++) {
        enum visor__state piece = visor__state_by_restore(arch, rank);

        if (piece == VISOR__STATE_COUNT)
            break;
        ret = reset_piece(vcpu, piece);
    }
    return ret;
}
