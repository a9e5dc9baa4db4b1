/* SPDX-License-Identifier: BSD-3-Clause */
/* Debugging a guest from outside, without the guest's help or knowledge. */
#ifndef VISOR_DEBUG_H
#define VISOR_DEBUG_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

typedef enum visor_breakpoint_kind {
    VISOR_BREAK_EXECUTE = 0,
    VISOR_BREAK_WRITE = 1,
    VISOR_BREAK_ACCESS = 2, /* read or write */
} visor_breakpoint_kind;

typedef struct visor_breakpoint {
    uint64_t address; /* guest-virtual */
    uint32_t length;  /* bytes watched: 1, 2, 4, 8; 1 (x86) or 4 (Arm) for EXECUTE */
    visor_breakpoint_kind kind;
} visor_breakpoint;

typedef struct visor_debug_config {
    uint32_t size;
    bool single_step;          /* VISOR_EXIT_DEBUG after every guest instruction */
    bool software_breakpoints; /* VISOR_EXIT_DEBUG at the guest's breakpoint instruction */
    const visor_breakpoint *breakpoints;
    /* At most VISOR_CAP_HW_BREAKPOINTS, where VISOR_CAP_HW_WATCHPOINTS is not 0 of EXECUTE, and so
     * many of the other kinds; else ELIMIT. */
    size_t breakpoint_count;
} visor_debug_config;
#define VISOR_DEBUG_CONFIG_INIT {.size = sizeof(visor_debug_config)}

/*
 * Sets what the vCPU stops at, in place of what was set before. NULL or an empty configuration
 * switches guest debugging off. The guest's own debug registers are not touched.
 */
VISOR_API int visor_vcpu_set_debug(visor_vcpu *vcpu, const visor_debug_config *config);

VISOR_END_DECLS

#endif
