/* SPDX-License-Identifier: BSD-3-Clause */
/* System instructions. */
#include "soft/cpu.h"
#include "soft/translate.h"

#define OPERAND(n) (&insn->operand[n])

static bool is_mem(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_MEM;
}

/* One whose handler returns to the run loop. */
static struct soft_uop *last(struct soft_translation_unit *unit, struct soft_uop *op)
{
    unit->ended = true;
    return op;
}

static struct soft_uop *with_register(struct soft_translation_unit *unit,
                                      const struct soft_insn *insn, soft_handler *run)
{
    struct soft_uop *op = soft_emit(unit, run);

    op->dst = soft_reg_offset(OPERAND(0));
    op->src2 = insn->operand_size;
    return op;
}

/* A word to operand 0: src2 is the size of the register, or 0. */
static struct soft_uop *word_to(struct soft_translation_unit *unit, const struct soft_insn *insn,
                                soft_handler *run)
{
    struct soft_uop *op;

    if (is_mem(OPERAND(0)))
        return soft_emit_memory(unit, run, 2, true);
    op = soft_emit(unit, run);
    op->dst = soft_reg_offset(OPERAND(0));
    op->src2 = (uint8_t)OPERAND(0)->size;
    return op;
}

/* A word from operand n: src2 is not 0 if it is the register src. */
static struct soft_uop *word_from(struct soft_translation_unit *unit,
                                  const struct soft_operand *operand, soft_handler *run)
{
    struct soft_uop *op;

    if (is_mem(operand))
        return soft_emit_memory(unit, run, 2, false);
    op = soft_emit(unit, run);
    op->src = soft_reg_offset(operand);
    op->src2 = 1;
    return op;
}

static void in_out(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   soft_handler *run, const struct soft_operand *port)
{
    struct soft_uop *op = soft_emit(unit, run);

    op->aux = insn->operand_size;
    op->src = port->kind != SOFT_OPERAND_IMM;
    op->imm = (uint8_t)insn->imm;
}

/* MOV with a segment, control or debug register. */
static bool mov(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    struct soft_uop *op;

    if (dst->kind == SOFT_OPERAND_SEG) {
        last(unit, word_from(unit, src, soft_op_mov_to_segment))->aux = dst->reg;
        return true;
    }
    if (src->kind == SOFT_OPERAND_SEG) {
        word_to(unit, insn, soft_op_mov_from_segment)->src = src->reg;
        return true;
    }
    if (dst->kind == SOFT_OPERAND_CR || dst->kind == SOFT_OPERAND_DR) {
        op = last(unit, soft_emit(unit, dst->kind == SOFT_OPERAND_CR ? soft_op_mov_to_cr
                                                                     : soft_op_mov_to_dr));
        op->aux = dst->reg;
        op->src = soft_reg_offset(src);
        return true;
    }
    if (src->kind == SOFT_OPERAND_CR || src->kind == SOFT_OPERAND_DR) {
        op = soft_emit(unit,
                       src->kind == SOFT_OPERAND_CR ? soft_op_mov_from_cr : soft_op_mov_from_dr);
        op->aux = src->reg;
        op->dst = soft_reg_offset(dst);
        return true;
    }
    return false;
}

static void load_far(struct soft_translation_unit *unit, const struct soft_insn *insn,
                     unsigned segment)
{
    struct soft_uop *op =
        last(unit, soft_emit_memory(unit, soft_op_load_far, insn->operand_size + 2u, false));

    op->aux = (uint8_t)segment;
    op->src2 = insn->operand_size;
    op->dst = soft_reg_offset(OPERAND(0));
}

static void table(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  soft_handler *run, unsigned which, bool write)
{
    bool wide = (unit->mode & SOFT_IN_64) != 0;
    struct soft_uop *op = soft_emit_memory(unit, run, wide ? 10 : 6, write);

    op->aux = (uint8_t)which;
    op->src2 = wide ? 8 : insn->operand_size == 2 ? 3 : 4;
}

static void xsave(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  soft_handler *run, uint8_t aux2)
{
    struct soft_uop *op = soft_emit_memory(unit, run, 64, false);

    op->aux = insn->rex_w;
    op->aux2 |= aux2;
}

/* FXSAVE and FXRSTOR want the FPU, but not CR4.OSFXSR. */
static void fxsave(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   soft_handler *run)
{
    if ((unit->mode & SOFT_IN_FPU) == 0)
        soft_translate_fault(unit, SOFT_NM);
    else
        xsave(unit, insn, run, 0);
}

bool soft_translate_system(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    struct soft_uop *op;

    switch (insn->id) {
    case SOFT_INSN_MOV: return mov(unit, insn);
    case SOFT_INSN_IN: in_out(unit, insn, soft_op_in, OPERAND(1)); break;
    case SOFT_INSN_OUT: in_out(unit, insn, soft_op_out, OPERAND(0)); break;
    case SOFT_INSN_CLI: soft_emit(unit, soft_op_cli); break;
    case SOFT_INSN_STI: last(unit, soft_emit(unit, soft_op_sti)); break;
    case SOFT_INSN_HLT: last(unit, soft_emit(unit, soft_op_hlt)); break;
    case SOFT_INSN_CPUID: last(unit, soft_emit(unit, soft_op_cpuid)); break;
    case SOFT_INSN_RDTSC: soft_emit(unit, soft_op_rdtsc); break;
    case SOFT_INSN_RDTSCP: soft_emit(unit, soft_op_rdtscp); break;
    case SOFT_INSN_RDPMC: last(unit, soft_emit(unit, soft_op_rdpmc)); break;
    case SOFT_INSN_RDPID: with_register(unit, insn, soft_op_rdpid); break;
    case SOFT_INSN_RDMSR: soft_emit(unit, soft_op_rdmsr); break;
    case SOFT_INSN_WRMSR: last(unit, soft_emit(unit, soft_op_wrmsr)); break;
    case SOFT_INSN_CLTS: last(unit, soft_emit(unit, soft_op_clts)); break;
    case SOFT_INSN_LMSW:
        last(unit, word_from(unit, OPERAND(0), soft_op_lmsw))->aux = is_mem(OPERAND(0));
        break;
    case SOFT_INSN_SMSW: word_to(unit, insn, soft_op_smsw); break;
    case SOFT_INSN_SLDT: word_to(unit, insn, soft_op_store_system); break;
    case SOFT_INSN_STR: word_to(unit, insn, soft_op_store_system)->aux = 1; break;
    case SOFT_INSN_LGDT: table(unit, insn, soft_op_load_table, 0, false); break;
    case SOFT_INSN_LIDT: table(unit, insn, soft_op_load_table, 1, false); break;
    case SOFT_INSN_SGDT: table(unit, insn, soft_op_store_table, 0, true); break;
    case SOFT_INSN_SIDT: table(unit, insn, soft_op_store_table, 1, true); break;
    case SOFT_INSN_LLDT: last(unit, word_from(unit, OPERAND(0), soft_op_lldt)); break;
    case SOFT_INSN_LTR: last(unit, word_from(unit, OPERAND(0), soft_op_ltr)); break;
    case SOFT_INSN_VERR: word_from(unit, OPERAND(0), soft_op_verify); break;
    case SOFT_INSN_VERW: word_from(unit, OPERAND(0), soft_op_verify)->aux = 1; break;
    case SOFT_INSN_LAR:
    case SOFT_INSN_LSL:
        op = word_from(unit, OPERAND(1), insn->id == SOFT_INSN_LAR ? soft_op_lar : soft_op_lsl);
        op->dst = soft_reg_offset(OPERAND(0));
        op->aux = insn->operand_size;
        break;
    case SOFT_INSN_ARPL:
        if (is_mem(OPERAND(0))) {
            op = soft_emit_memory(unit, soft_op_arpl, 2, true);
        } else {
            op = soft_emit(unit, soft_op_arpl);
            op->dst = soft_reg_offset(OPERAND(0));
            op->src2 = 1;
        }
        op->src = soft_reg_offset(OPERAND(1));
        break;
    case SOFT_INSN_BOUND:
        op = soft_emit_memory(unit, soft_op_bound, 2u * insn->operand_size, false);
        op->dst = soft_reg_offset(OPERAND(0));
        op->aux = insn->operand_size;
        break;
    case SOFT_INSN_LDS: load_far(unit, insn, SOFT_SEG_DS); break;
    case SOFT_INSN_LES: load_far(unit, insn, SOFT_SEG_ES); break;
    case SOFT_INSN_LSS: load_far(unit, insn, SOFT_SEG_SS); break;
    case SOFT_INSN_LFS: load_far(unit, insn, SOFT_SEG_FS); break;
    case SOFT_INSN_LGS: load_far(unit, insn, SOFT_SEG_GS); break;
    case SOFT_INSN_INVLPG: last(unit, soft_emit_memory(unit, soft_op_invlpg, 0, false)); break;
    case SOFT_INSN_INVPCID:
        op = last(unit, soft_emit_memory(unit, soft_op_invpcid, 16, false));
        op->dst = soft_reg_offset(OPERAND(0));
        break;
    case SOFT_INSN_INVD:
    case SOFT_INSN_WBINVD: last(unit, soft_emit(unit, soft_op_invd)); break;
    case SOFT_INSN_CLFLUSH:
    case SOFT_INSN_CLFLUSHOPT:
    case SOFT_INSN_CLWB: soft_emit_memory(unit, soft_op_cflush, 1, false); break;
    case SOFT_INSN_LFENCE:
    case SOFT_INSN_MFENCE: soft_emit(unit, soft_op_mfence); break;
    case SOFT_INSN_VMCALL:
    case SOFT_INSN_VMMCALL: soft_emit(unit, soft_op_vmcall); break;
    case SOFT_INSN_SERIALIZE: last(unit, soft_emit(unit, soft_op_serialize)); break;
    case SOFT_INSN_SYSCALL: last(unit, soft_emit(unit, soft_op_syscall)); break;
    case SOFT_INSN_SYSRET:
        last(unit, soft_emit(unit, soft_op_sysret))->aux = insn->rex_w ? 8 : 4;
        break;
    case SOFT_INSN_SYSENTER: last(unit, soft_emit(unit, soft_op_sysenter)); break;
    case SOFT_INSN_SYSEXIT:
        last(unit, soft_emit(unit, soft_op_sysexit))->aux = insn->rex_w ? 8 : 4;
        break;
    case SOFT_INSN_SWAPGS: soft_emit(unit, soft_op_swapgs); break;
    case SOFT_INSN_RDFSBASE: with_register(unit, insn, soft_op_fsgsbase); break;
    case SOFT_INSN_RDGSBASE: with_register(unit, insn, soft_op_fsgsbase)->aux = 1; break;
    case SOFT_INSN_WRFSBASE: with_register(unit, insn, soft_op_fsgsbase)->aux = 2; break;
    case SOFT_INSN_WRGSBASE: with_register(unit, insn, soft_op_fsgsbase)->aux = 3; break;
    case SOFT_INSN_CLAC: soft_emit(unit, soft_op_clac); break;
    case SOFT_INSN_STAC: soft_emit(unit, soft_op_stac); break;
    case SOFT_INSN_RDRAND:
    case SOFT_INSN_RDSEED: with_register(unit, insn, soft_op_rdrand); break;
    case SOFT_INSN_FXSAVE: fxsave(unit, insn, soft_op_fxsave); break;
    case SOFT_INSN_FXRSTOR: fxsave(unit, insn, soft_op_fxrstor); break;
    case SOFT_INSN_XSAVE: xsave(unit, insn, soft_op_xsave, 0); break;
    case SOFT_INSN_XSAVEOPT: xsave(unit, insn, soft_op_xsaveopt, 0); break;
    case SOFT_INSN_XSAVEC: xsave(unit, insn, soft_op_xsavec, 0); break;
    case SOFT_INSN_XSAVES: xsave(unit, insn, soft_op_cpl0_xsaves, 0); break;
    case SOFT_INSN_XRSTOR: xsave(unit, insn, soft_op_xrstor, 0); break;
    case SOFT_INSN_XRSTORS: xsave(unit, insn, soft_op_cpl0_xrstors, 1); break;
    case SOFT_INSN_XGETBV: soft_emit(unit, soft_op_xgetbv); break;
    case SOFT_INSN_XSETBV: last(unit, soft_emit(unit, soft_op_xsetbv)); break;
    default: return false;
    }
    return true;
}
