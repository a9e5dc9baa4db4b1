/* SPDX-License-Identifier: BSD-3-Clause */
/* Stage 1 translation of EL1 and EL0, as the vCPU would do it now. */
#ifndef VISOR_ASSIST_A64_WALK_H
#define VISOR_ASSIST_A64_WALK_H

#include "assist/aarch64.h"

struct visor__a64_regime {
    const struct visor__a64_ops *ops;
    void *context;
    uint64_t sctlr, tcr, tcr2, ttbr[2];
    bool pan; /* PSTATE.PAN: EL1 must not touch what EL0 can */
};

struct visor__a64_place {
    uint64_t gpa;
    bool readable, writable; /* with the rights that were asked for */
};

/* Reads the registers. 0 or the error of an operation. */
int visor__a64_regime_load(struct visor__a64_regime *out, const struct visor__a64_ops *ops,
                           void *context, uint64_t pstate);
/*
 * Translates one address, whose rights are those of EL0 or of EL1. Returns 0, or
 * VISOR__A64_REFUSED_TRANSLATION, or the error of an operation. Nothing is written: an entry that
 * hardware would mark as accessed or dirty first does not translate or is not writable.
 */
int visor__a64_translate(struct visor__a64_place *out, const struct visor__a64_regime *regime,
                         uint64_t address, bool el0);

#endif
