/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread that runs a vCPU, and others that kick it. */
#ifndef VISOR_TESTS_RACE_H
#define VISOR_TESTS_RACE_H

#include <stdatomic.h>
#include <visor.h>

#define KICKERS 2
#define LATE_NS UINT64_C(10000000000) /* an answer that takes longer counts as lost */

struct race {
    visor_vcpu *vcpu;
    atomic_uint sent[KICKERS], seen[KICKERS];
    atomic_bool stop;
    atomic_uint late;
    atomic_uint strange; /* exits that nothing explains */
};

static inline void *run_until_stopped(void *context)
{
    struct race *race = context;

    while (!atomic_load(&race->stop)) {
        if (visor_vcpu_run(race->vcpu) != VISOR_EXIT_KICKED)
            atomic_fetch_add(&race->strange, 1);
        for (int i = 0; i < KICKERS; i++)
            atomic_store(&race->seen[i], atomic_load(&race->sent[i]));
    }
    return NULL;
}

#endif
