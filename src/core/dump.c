/* SPDX-License-Identifier: BSD-3-Clause */
/* Describing a vCPU for people: the walk over the table. */
#include <stdio.h>
#include <stdlib.h>

#include "core/backend.h"

void visor__say(const struct visor__printer *out, const char *format, ...)
{
    char line[160];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    out->print(out->context, line);
}

void visor__dump_mp_state(const void *value, size_t length, const struct visor__printer *out)
{
    static const char *const names[] = {
        [VISOR_MP_RUNNABLE] = "runnable",
        [VISOR_MP_UNINITIALIZED] = "waits for INIT",
        [VISOR_MP_INIT_RECEIVED] = "waits for SIPI",
        [VISOR_MP_HALTED] = "halted",
        [VISOR_MP_SIPI_RECEIVED] = "SIPI received",
        [VISOR_MP_STOPPED] = "stopped",
    };
    const uint32_t state = *(const uint32_t *)value;

    (void)length;
    visor__say(out, "mp_state   %u (%s)", state,
               state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown");
}

int visor_vcpu_dump(visor_vcpu *vcpu, void (*print)(void *context, const char *line), void *context)
{
    const struct visor__printer out = {.print = print, .context = context};
    visor_arch arch = vcpu->vm->config.arch;

    for (unsigned rank = 0;; rank++) {
        enum visor__state piece = visor__state_by_restore(arch, rank);
        void *value;
        int length;

        if (piece == VISOR__STATE_COUNT)
            return 0;
        length = visor__state_read(&value, vcpu, piece);
        if (length > 0)
            visor__states[piece].dump(value, (size_t)length, &out);
        else if (length < 0 && length != VISOR_EUNSUPPORTED)
            return visor__error_context("reading %s", visor__states[piece].name);
        free(value);
    }
}
