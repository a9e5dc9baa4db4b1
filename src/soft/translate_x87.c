/* SPDX-License-Identifier: BSD-3-Clause */
/* x87 instructions. */
#include "soft/translate.h"
#include "soft/x87.h"

#define OPERAND(n) (&insn->operand[n])

static bool is_mem(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_MEM;
}

/* The format of a memory operand. */
static uint8_t format(const struct soft_operand *operand, bool integer)
{
    switch (operand->size) {
    case 2: return X87_I16;
    case 4: return integer ? X87_I32 : X87_F32;
    case 8: return integer ? X87_I64 : X87_F64;
    default: return X87_F80;
    }
}

/* With a memory operand, or the registers of operands 0 and 1. */
static struct soft_uop *emit(struct soft_translation_unit *unit, const struct soft_insn *insn,
                             soft_handler *run, bool integer, bool write)
{
    struct soft_uop *op;

    if (insn->operand_count > 0 && is_mem(OPERAND(0))) {
        op = soft_emit_memory(unit, run, OPERAND(0)->size, write);
        op->src2 = format(OPERAND(0), integer);
        return op;
    }
    op = soft_emit(unit, run);
    op->src2 = X87_ST;
    if (insn->operand_count > 0)
        op->dst = op->src = OPERAND(0)->reg;
    if (insn->operand_count > 1)
        op->src = OPERAND(1)->reg;
    return op;
}

static void arithmetic(struct soft_translation_unit *unit, const struct soft_insn *insn,
                       enum x87_arithmetic which, bool integer, unsigned pops)
{
    struct soft_uop *op = emit(unit, insn, soft_op_x87_arithmetic, integer, false);

    op->aux = (uint8_t)which;
    op->aux2 |= (uint8_t)pops;
}

/* how: 1 quiet, 2 to EFLAGS; pops are counted */
static void compare(struct soft_translation_unit *unit, const struct soft_insn *insn, bool integer,
                    unsigned how, unsigned pops)
{
    struct soft_uop *op = emit(unit, insn, soft_op_x87_compare, integer, false);

    if (insn->operand_count == 0)
        op->src = 1; /* FCOMPP, FUCOMPP */
    op->aux = (uint8_t)how;
    op->aux2 |= (uint8_t)pops;
}

static void store(struct soft_translation_unit *unit, const struct soft_insn *insn, bool integer,
                  bool truncate, unsigned pops)
{
    struct soft_uop *op =
        emit(unit, insn, is_mem(OPERAND(0)) ? soft_op_x87_store : soft_op_x87_move, integer, true);

    op->aux = truncate;
    op->aux2 |= (uint8_t)pops;
}

static void unary(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  enum x87_unary which)
{
    emit(unit, insn, soft_op_x87_unary, false, false)->aux = (uint8_t)which;
}

static void cmov(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned cc)
{
    emit(unit, insn, soft_op_x87_cmov, false, false)->aux = (uint8_t)cc;
}

static void environment(struct soft_translation_unit *unit, const struct soft_insn *insn,
                        soft_handler *run, bool save, bool write)
{
    unsigned size = insn->operand_size == 2 ? 2 : 4;
    struct soft_uop *op = soft_emit_memory(unit, run, 7 * size + (save ? 80 : 0), write);

    op->aux = (uint8_t)size;
    op->src = (unit->mode & SOFT_IN_PROTECTED) != 0 && (unit->mode & SOFT_IN_VM86) == 0;
}

static bool translate(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    switch (insn->id) {
    case SOFT_INSN_FADD: arithmetic(unit, insn, X87_ADD, false, 0); break;
    case SOFT_INSN_FMUL: arithmetic(unit, insn, X87_MUL, false, 0); break;
    case SOFT_INSN_FSUB: arithmetic(unit, insn, X87_SUB, false, 0); break;
    case SOFT_INSN_FSUBR: arithmetic(unit, insn, X87_SUBR, false, 0); break;
    case SOFT_INSN_FDIV: arithmetic(unit, insn, X87_DIV, false, 0); break;
    case SOFT_INSN_FDIVR: arithmetic(unit, insn, X87_DIVR, false, 0); break;
    case SOFT_INSN_FADDP: arithmetic(unit, insn, X87_ADD, false, 1); break;
    case SOFT_INSN_FMULP: arithmetic(unit, insn, X87_MUL, false, 1); break;
    case SOFT_INSN_FSUBP: arithmetic(unit, insn, X87_SUB, false, 1); break;
    case SOFT_INSN_FSUBRP: arithmetic(unit, insn, X87_SUBR, false, 1); break;
    case SOFT_INSN_FDIVP: arithmetic(unit, insn, X87_DIV, false, 1); break;
    case SOFT_INSN_FDIVRP: arithmetic(unit, insn, X87_DIVR, false, 1); break;
    case SOFT_INSN_FIADD: arithmetic(unit, insn, X87_ADD, true, 0); break;
    case SOFT_INSN_FIMUL: arithmetic(unit, insn, X87_MUL, true, 0); break;
    case SOFT_INSN_FISUB: arithmetic(unit, insn, X87_SUB, true, 0); break;
    case SOFT_INSN_FISUBR: arithmetic(unit, insn, X87_SUBR, true, 0); break;
    case SOFT_INSN_FIDIV: arithmetic(unit, insn, X87_DIV, true, 0); break;
    case SOFT_INSN_FIDIVR: arithmetic(unit, insn, X87_DIVR, true, 0); break;

    case SOFT_INSN_FCOM: compare(unit, insn, false, 0, 0); break;
    case SOFT_INSN_FCOMP: compare(unit, insn, false, 0, 1); break;
    case SOFT_INSN_FCOMPP: compare(unit, insn, false, 0, 2); break;
    case SOFT_INSN_FUCOM: compare(unit, insn, false, 1, 0); break;
    case SOFT_INSN_FUCOMP: compare(unit, insn, false, 1, 1); break;
    case SOFT_INSN_FUCOMPP: compare(unit, insn, false, 1, 2); break;
    case SOFT_INSN_FICOM: compare(unit, insn, true, 0, 0); break;
    case SOFT_INSN_FICOMP: compare(unit, insn, true, 0, 1); break;
    case SOFT_INSN_FCOMI: compare(unit, insn, false, 2, 0); break;
    case SOFT_INSN_FCOMIP: compare(unit, insn, false, 2, 1); break;
    case SOFT_INSN_FUCOMI: compare(unit, insn, false, 3, 0); break;
    case SOFT_INSN_FUCOMIP: compare(unit, insn, false, 3, 1); break;

    case SOFT_INSN_FLD: emit(unit, insn, soft_op_x87_load, false, false); break;
    case SOFT_INSN_FILD: emit(unit, insn, soft_op_x87_load, true, false); break;
    case SOFT_INSN_FBLD: emit(unit, insn, soft_op_x87_load, false, false)->src2 = X87_BCD; break;
    case SOFT_INSN_FST: store(unit, insn, false, false, 0); break;
    case SOFT_INSN_FSTP: store(unit, insn, false, false, 1); break;
    case SOFT_INSN_FSTPNCE:
        store(unit, insn, false, false, 1);
        unit->uops[unit->count - 1].aux = 1;
        break;
    case SOFT_INSN_FIST: store(unit, insn, true, false, 0); break;
    case SOFT_INSN_FISTP: store(unit, insn, true, false, 1); break;
    case SOFT_INSN_FISTTP: store(unit, insn, true, true, 1); break;
    case SOFT_INSN_FBSTP: {
        struct soft_uop *op = emit(unit, insn, soft_op_x87_store, false, true);

        op->src2 = X87_BCD;
        op->aux2 |= 1;
        break;
    }
    case SOFT_INSN_FLD1: soft_emit(unit, soft_op_x87_constant)->aux = 0; break;
    case SOFT_INSN_FLDL2T: soft_emit(unit, soft_op_x87_constant)->aux = 1; break;
    case SOFT_INSN_FLDL2E: soft_emit(unit, soft_op_x87_constant)->aux = 2; break;
    case SOFT_INSN_FLDPI: soft_emit(unit, soft_op_x87_constant)->aux = 3; break;
    case SOFT_INSN_FLDLG2: soft_emit(unit, soft_op_x87_constant)->aux = 4; break;
    case SOFT_INSN_FLDLN2: soft_emit(unit, soft_op_x87_constant)->aux = 5; break;
    case SOFT_INSN_FLDZ: soft_emit(unit, soft_op_x87_constant)->aux = 6; break;
    case SOFT_INSN_FXCH: emit(unit, insn, soft_op_x87_exchange, false, false); break;
    case SOFT_INSN_FCMOVB: cmov(unit, insn, 2); break;
    case SOFT_INSN_FCMOVNB: cmov(unit, insn, 3); break;
    case SOFT_INSN_FCMOVE: cmov(unit, insn, 4); break;
    case SOFT_INSN_FCMOVNE: cmov(unit, insn, 5); break;
    case SOFT_INSN_FCMOVBE: cmov(unit, insn, 6); break;
    case SOFT_INSN_FCMOVNBE: cmov(unit, insn, 7); break;
    case SOFT_INSN_FCMOVU: cmov(unit, insn, 10); break;
    case SOFT_INSN_FCMOVNU: cmov(unit, insn, 11); break;

    case SOFT_INSN_FCHS: unary(unit, insn, X87_CHS); break;
    case SOFT_INSN_FABS: unary(unit, insn, X87_ABS); break;
    case SOFT_INSN_FTST: unary(unit, insn, X87_TST); break;
    case SOFT_INSN_FXAM: unary(unit, insn, X87_XAM); break;
    case SOFT_INSN_FSQRT: unary(unit, insn, X87_SQRT); break;
    case SOFT_INSN_FRNDINT: unary(unit, insn, X87_RNDINT); break;
    case SOFT_INSN_FSCALE: unary(unit, insn, X87_SCALE); break;
    case SOFT_INSN_FPREM: unary(unit, insn, X87_PREM); break;
    case SOFT_INSN_FPREM1: unary(unit, insn, X87_PREM1); break;
    case SOFT_INSN_FXTRACT: unary(unit, insn, X87_XTRACT); break;
    case SOFT_INSN_FDECSTP: unary(unit, insn, X87_DECSTP); break;
    case SOFT_INSN_FINCSTP: unary(unit, insn, X87_INCSTP); break;
    case SOFT_INSN_FFREE: unary(unit, insn, X87_FREE); break;
    case SOFT_INSN_FFREEP: {
        struct soft_uop *op = emit(unit, insn, soft_op_x87_unary, false, false);

        op->aux = X87_FREE;
        op->aux2 |= 1;
        break;
    }
    case SOFT_INSN_FNOP:
        /* FNENI, FNDISI and FNSETPM do not wait for exceptions. */
        if (insn->opcode != 0xdb)
            unary(unit, insn, X87_NOP);
        break;

    case SOFT_INSN_F2XM1: unary(unit, insn, X87_2XM1); break;
    case SOFT_INSN_FYL2X: unary(unit, insn, X87_YL2X); break;
    case SOFT_INSN_FYL2XP1: unary(unit, insn, X87_YL2XP1); break;
    case SOFT_INSN_FPATAN: unary(unit, insn, X87_PATAN); break;
    case SOFT_INSN_FSIN: unary(unit, insn, X87_SIN); break;
    case SOFT_INSN_FCOS: unary(unit, insn, X87_COS); break;
    case SOFT_INSN_FSINCOS: unary(unit, insn, X87_SINCOS); break;
    case SOFT_INSN_FPTAN: unary(unit, insn, X87_PTAN); break;

    case SOFT_INSN_FNINIT: soft_emit(unit, soft_op_fninit); break;
    case SOFT_INSN_FNCLEX: soft_emit(unit, soft_op_fnclex); break;
    case SOFT_INSN_FNSTCW: soft_emit_memory(unit, soft_op_fnstcw, 2, true); break;
    case SOFT_INSN_FLDCW: soft_emit_memory(unit, soft_op_fldcw, 2, false); break;
    case SOFT_INSN_FNSTSW:
        if (is_mem(OPERAND(0)))
            soft_emit_memory(unit, soft_op_fnstsw_m, 2, true);
        else
            soft_emit(unit, soft_op_fnstsw_ax);
        break;
    case SOFT_INSN_FNSTENV: environment(unit, insn, soft_op_x87_store_env, false, true); break;
    case SOFT_INSN_FLDENV: environment(unit, insn, soft_op_x87_load_env, false, false); break;
    case SOFT_INSN_FNSAVE: environment(unit, insn, soft_op_x87_save, true, true); break;
    case SOFT_INSN_FRSTOR: environment(unit, insn, soft_op_x87_restore, true, false); break;
    default: return false;
    }
    return true;
}

bool soft_translate_x87(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const unsigned before = unit->count;

    /* WAIT looks at CR0.MP and TS itself. */
    if (insn->id == SOFT_INSN_FWAIT) {
        soft_emit(unit, soft_op_fwait);
        return true;
    }
    if (!translate(unit, insn))
        return false;
    if ((unit->mode & SOFT_IN_FPU) == 0) {
        unit->count = before;
        soft_translate_fault(unit, SOFT_NM);
    }
    return true;
}
