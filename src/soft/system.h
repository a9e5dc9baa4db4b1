/* SPDX-License-Identifier: BSD-3-Clause */
/* Control registers, MSRs and CPUID: for system instructions, and for the VMM. */
#ifndef VISOR_SOFT_SYSTEM_H
#define VISOR_SOFT_SYSTEM_H

#include "soft/cpu.h"

/* Raise #GP(0) for what a processor refuses. They flush what depends on the register. */
void soft_set_cr0(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value);
void soft_set_cr3(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value);
void soft_set_cr4(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value);
/* PAE paging reads its four PDPTEs when CR3 is loaded: into cpu->pdpte. False: one has a reserved
 * bit, and nothing has changed. */
bool soft_load_pdptes(struct soft_cpu *cpu, uint64_t cr3);

/* MSRs of the processor itself. */
enum soft_msr_result { SOFT_MSR_DONE, SOFT_MSR_FAULT, SOFT_MSR_UNKNOWN };
void soft_msr_reset(struct soft_cpu *cpu);
enum soft_msr_result soft_msr_read(uint64_t *out, const struct soft_cpu *cpu, uint32_t index);
/* The same without those that are hidden from the guest. */
enum soft_msr_result soft_msr_read_by_guest(uint64_t *out, const struct soft_cpu *cpu,
                                            uint32_t index);
/* by_guest: what a processor would refuse is a fault; else only what cannot be kept. */
enum soft_msr_result soft_msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value,
                                    bool by_guest);
/* All that have state of their own. Returns how many; fills in up to capacity. */
size_t soft_msr_list(uint32_t *out, size_t capacity);

/*
 * The time of a machine without a clock of the host's: the instructions before this one, and what a
 * halted vCPU has not waited for. op: as for soft_raise().
 */
uint64_t soft_time(const struct soft_cpu *cpu, const struct soft_uop *op);
uint64_t soft_tsc(const struct soft_cpu *cpu, const struct soft_uop *op);

/* What the software CPU can do at all. Returns how many entries there are. */
size_t soft_cpuid_supported(visor_x86_cpuid_entry *out, size_t capacity);
/* The entry for a leaf; NULL: all zero. */
const visor_x86_cpuid_entry *soft_cpuid_find(const struct soft_cpu *cpu, uint32_t function,
                                             uint32_t index);

/* A random number for the guest; false: there is none now. */
bool soft_random(uint64_t *out, struct soft_cpu *cpu);
/* The components of the extended state that are not in their initial configuration (SDM vol. 1,
 * 13.6). */
uint64_t soft_xinuse(const struct soft_cpu *cpu);

/* The bits of CR4, EFER and XCR0 that the processor has. */
#define SOFT_CR4_ALL                                                                          \
    (SOFT_CR4_VME | SOFT_CR4_PVI | SOFT_CR4_TSD | SOFT_CR4_DE | SOFT_CR4_PSE | SOFT_CR4_PAE | \
     SOFT_CR4_MCE | SOFT_CR4_PGE | SOFT_CR4_PCE | SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT |     \
     SOFT_CR4_UMIP | SOFT_CR4_LA57 | SOFT_CR4_FSGSBASE | SOFT_CR4_PCIDE | SOFT_CR4_OSXSAVE |  \
     SOFT_CR4_SMEP | SOFT_CR4_SMAP)
#define SOFT_EFER_ALL (SOFT_EFER_SCE | SOFT_EFER_LME | SOFT_EFER_LMA | SOFT_EFER_NXE)
#define SOFT_XCR0_ALL UINT64_C(7)

#endif
