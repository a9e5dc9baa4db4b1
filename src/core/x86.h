/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the core about x86-64 guests share. */
#ifndef VISOR_CORE_X86_H
#define VISOR_CORE_X86_H

#include "core/backend.h"

/* CPUID entries of a vCPU at most: KVM's limit (KVM_MAX_CPUID_ENTRIES). */
#define VISOR__CPUID_MAX 256u

#define VISOR__MSR_TSC 0x10u

/* The x86 table of the VM's backend; EUNSUPPORTED for guests of another architecture. */
int visor__x86_ops(const struct visor__x86_ops **out, const visor_vm *vm, const char *operation);

/* ---- x86_msr.c ---- */

/*
 * Sets MSRs as a restore must: one that has its value already is not written (it may be read-only),
 * one that the vCPU does not have is passed over if its value is 0, and the few of
 * visor__x86_msr_is_tolerated() may refuse, which notes is told.
 */
int visor__x86_restore_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count,
                            const struct visor__printer *notes);

/* MSRs whose loss does no harm to the guest: performance counters that the new host lacks. */
bool visor__x86_msr_is_tolerated(uint32_t index);

/* ---- x86_xsave.c ---- */

/*
 * Makes an image in the standard form, on the heap, one of the wanted size. x87, SSE and AVX have
 * the same place everywhere; of what lies behind them, whose place differs, nothing may be in use:
 * the initial state of all further components is zero (SDM vol. 1, 13.6). EMISMATCH if something is.
 */
int visor__x86_fit_xsave(void **image, size_t *length, size_t wanted, const char *operation);

/* ---- x86_reset.c, x86_dump.c: for every piece of the table ---- */

#define VISOR__X86_PIECE_FUNCTIONS(id, name, ...)                              \
    int visor__reset_x86_##name(void *value, size_t length, visor_vcpu *vcpu); \
    void visor__dump_x86_##name(const void *value, size_t length, const struct visor__printer *out);
VISOR__X86_STATES(VISOR__X86_PIECE_FUNCTIONS)
#undef VISOR__X86_PIECE_FUNCTIONS

/* ---- x86_cpuid.c ---- */

/* The host's counter; EUNSUPPORTED if it has none. */
int visor__x86_host_tsc(uint64_t *out, const char *operation);
/* The frequency of the host's counter in Hz, measured for about 10 ms. */
int visor__x86_measure_tsc(uint64_t *out);

#endif
