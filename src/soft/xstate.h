/* SPDX-License-Identifier: BSD-3-Clause */
/* Extended state as images in memory (SDM vol. 1, 10.5 and 13.4). */
#ifndef VISOR_SOFT_XSTATE_H
#define VISOR_SOFT_XSTATE_H

#include "soft/cpu.h"

#define SOFT_XSTATE_X87 UINT64_C(1)
#define SOFT_XSTATE_SSE UINT64_C(2)
#define SOFT_XSTATE_AVX UINT64_C(4)

#define SOFT_FXSAVE_SIZE  512u
#define SOFT_XSAVE_HEADER 512u /* offset; 64 bytes */
#define SOFT_XSAVE_AVX    576u /* offset in the standard form; 256 bytes */
#define SOFT_XSAVE_SIZE   832u

/* MXCSR's bits that exist, and its value at reset. */
#define SOFT_MXCSR_MASK  0xffffu
#define SOFT_MXCSR_RESET 0x1f80u

/* The status word with TOP in it, and the other way round. */
uint16_t soft_fpu_status(const struct soft_fpu *fpu);
void soft_fpu_set_status(struct soft_fpu *fpu, uint16_t status);
/* FNINIT's state, registers empty. */
void soft_fpu_init(struct soft_fpu *fpu);

/* The x87 and SSE parts of the legacy image; each changes only its own bytes. wide: pointers of 64
 * bits (REX.W), else of 32 bits with selectors. */
void soft_x87_store(uint8_t image[512], const struct soft_cpu *cpu, bool wide);
void soft_x87_load(struct soft_cpu *cpu, const uint8_t image[512], bool wide);
void soft_sse_store(uint8_t image[512], const struct soft_cpu *cpu, unsigned registers);
void soft_sse_load(struct soft_cpu *cpu, const uint8_t image[512], unsigned registers);
/* The upper halves of 16 (or 8) registers. */
void soft_avx_store(uint8_t part[256], const struct soft_cpu *cpu, unsigned registers);
void soft_avx_load(struct soft_cpu *cpu, const uint8_t part[256], unsigned registers);
/* The components in their initial configuration. */
void soft_xstate_init(struct soft_cpu *cpu, uint64_t components);

#endif
