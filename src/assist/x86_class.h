/* SPDX-License-Identifier: BSD-3-Clause */
/* What an x86 instruction needs of the vCPU, and whether that can be had. */
#ifndef VISOR_ASSIST_X86_CLASS_H
#define VISOR_ASSIST_X86_CLASS_H

#include "assist/x86_64.h"
#include "soft/decode.h"

/* pieces: a mask of enum visor__assist_x86_piece, beside REGS and SREGS. */
enum visor__assist_x86_refusal visor__assist_x86_classify(unsigned *pieces,
                                                          const struct soft_insn *insn);
/* Whether it moves all of the extended state, or tells what there is: XSAVE and its kin. */
bool visor__assist_x86_is_xsave(const struct soft_insn *insn);
/* Vector registers of which it clears all bits above those that it writes: bit n, register n. */
uint16_t visor__assist_x86_clears(const struct soft_insn *insn);

#endif
