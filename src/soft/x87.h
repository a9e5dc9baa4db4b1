/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the x87 share: its stack, its exceptions (SDM vol. 1, 8.1 and 8.5). */
#ifndef VISOR_SOFT_X87_H
#define VISOR_SOFT_X87_H

#include "soft/f80.h"
#include "soft/ops.h"

#define X87_SF 0x0040u /* with IE: a stack fault */
#define X87_ES 0x0080u
#define X87_C0 0x0100u
#define X87_C1 0x0200u
#define X87_C2 0x0400u
#define X87_C3 0x4000u
#define X87_B  0x8000u

/* Where an operand is: op->src2. Memory formats, or a register whose number is op->src. */
enum x87_source { X87_ST, X87_F32, X87_F64, X87_F80, X87_I16, X87_I32, X87_I64, X87_BCD };

static inline struct soft_f80 *x87_st(struct soft_fpu *fpu, unsigned i)
{
    return &fpu->st[(fpu->top + i) & 7];
}

static inline bool x87_is_empty(const struct soft_fpu *fpu, unsigned i)
{
    return (fpu->used >> ((fpu->top + i) & 7) & 1) == 0;
}

static inline void x87_set(struct soft_fpu *fpu, unsigned i, struct soft_f80 value)
{
    *x87_st(fpu, i) = value;
    fpu->used |= (uint8_t)(1u << ((fpu->top + i) & 7));
}

static inline void x87_free(struct soft_fpu *fpu, unsigned i)
{
    fpu->used &= (uint8_t) ~(1u << ((fpu->top + i) & 7));
}

static inline void x87_pop(struct soft_fpu *fpu, unsigned count)
{
    for (; count > 0; count--) {
        x87_free(fpu, 0);
        fpu->top = (fpu->top + 1) & 7;
    }
}

/* Raises a pending #MF; notes the instruction. address: of its memory operand, if it has one. */
void x87_begin(struct soft_cpu *cpu, const struct soft_uop *op, bool has_memory);
/* The exceptions of an operation into the status word. False: an unmasked one keeps it from having
 * a result. */
bool x87_finish(struct soft_cpu *cpu, const struct f80_context *c);
/* A stack fault: underflow, or overflow. False: it is unmasked. */
bool x87_stack_fault(struct soft_cpu *cpu, bool overflow);

/* ---- handlers, for the translator ---- */

enum x87_arithmetic { X87_ADD, X87_MUL, X87_SUB, X87_SUBR, X87_DIV, X87_DIVR };
/* ST(dst) = ST(dst) aux source, then aux2 & 3 pops. */
extern soft_handler soft_op_x87_arithmetic;
/* ST0 with a source; aux: 1 quiet, 2 to EFLAGS; aux2 & 3 pops. */
extern soft_handler soft_op_x87_compare;
extern soft_handler soft_op_x87_load, soft_op_x87_store; /* store: aux 1: FISTTP */
extern soft_handler soft_op_x87_constant;                /* aux: which, from D9 E8 on */
extern soft_handler soft_op_x87_move;                    /* FST, FSTP to ST(dst); aux: FSTPNCE */
extern soft_handler soft_op_x87_exchange, soft_op_x87_cmov;
enum x87_unary {
    X87_CHS,
    X87_ABS,
    X87_TST,
    X87_XAM,
    X87_SQRT,
    X87_RNDINT,
    X87_SCALE,
    X87_PREM,
    X87_PREM1,
    X87_XTRACT,
    X87_DECSTP,
    X87_INCSTP,
    X87_FREE,
    X87_NOP,
    X87_2XM1,
    X87_YL2X,
    X87_YL2XP1,
    X87_PATAN,
    X87_SIN,
    X87_COS,
    X87_SINCOS,
    X87_PTAN
};
extern soft_handler soft_op_x87_unary; /* aux */
/* aux: size of the environment's fields, 2 or 4; src: 1 in protected mode */
extern soft_handler soft_op_x87_store_env, soft_op_x87_load_env, soft_op_x87_save,
    soft_op_x87_restore;

#endif
