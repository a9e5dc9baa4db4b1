/* SPDX-License-Identifier: BSD-3-Clause */
/* General-purpose instructions. */
#include "soft/translate.h"

#include "soft/cpu.h"

#define OPERAND(n) (&insn->operand[n])

static bool is_gpr(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_GPR || operand->kind == SOFT_OPERAND_GPR_HIGH;
}

static bool is_mem(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_MEM;
}

/* ---- instructions of a form: dst, src ---- */

static void binary(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   soft_handler *const table[4][SOFT_FORMS])
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    soft_handler *const *forms = table[soft_size_index(dst->size)];
    bool locked = (insn->prefixes & SOFT_PREFIX_LOCK) != 0;
    struct soft_uop *op;

    if (is_gpr(dst)) {
        if (is_mem(src)) {
            op = soft_emit_memory(unit, forms[SOFT_RM], src->size, false);
        } else if (is_gpr(src)) {
            op = soft_emit(unit, forms[SOFT_RR]);
            op->src = soft_reg_offset(src);
        } else {
            op = soft_emit(unit, forms[SOFT_RI]);
            op->imm = (uint64_t)insn->imm;
        }
        op->dst = soft_reg_offset(dst);
        return;
    }
    if (is_gpr(src)) {
        op = soft_emit_memory(unit, forms[locked ? SOFT_LOCKED_MR : SOFT_MR], dst->size, true);
        op->src = soft_reg_offset(src);
    } else {
        op = soft_emit_memory(unit, forms[locked ? SOFT_LOCKED_MI : SOFT_MI], dst->size, true);
        op->imm = (uint64_t)insn->imm;
    }
}

/* CMP and TEST read their first operand only. */
static void comparison(struct soft_translation_unit *unit, const struct soft_insn *insn,
                       enum soft_alu alu)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    soft_handler *const *forms = soft_alu[alu][soft_size_index(dst->size)];
    struct soft_uop *op;

    if (!is_mem(dst)) {
        binary(unit, insn, soft_alu[alu]);
        return;
    }
    op = soft_emit_memory(unit, forms[is_gpr(src) ? SOFT_MR : SOFT_MI], dst->size, false);
    if (is_gpr(src))
        op->src = soft_reg_offset(src);
    else
        op->imm = (uint64_t)insn->imm;
}

/* Likewise BT. */
static void bit_test(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    soft_handler *const *forms = soft_bit[SOFT_BT][soft_size_index(dst->size)];
    struct soft_uop *op;

    if (!is_mem(dst)) {
        binary(unit, insn, soft_bit[SOFT_BT]);
        return;
    }
    op = soft_emit_memory(unit, forms[is_gpr(src) ? SOFT_MR : SOFT_MI], dst->size, false);
    if (is_gpr(src))
        op->src = soft_reg_offset(src);
    else
        op->imm = (uint64_t)insn->imm;
}

/* MUL, DIV...: rDX and rAX with a register or memory. */
static void wide(struct soft_translation_unit *unit, const struct soft_insn *insn,
                 enum soft_wide which)
{
    const struct soft_operand *src = OPERAND(0);
    soft_handler *const *pair = soft_wide[which][soft_size_index(src->size)];

    if (is_mem(src))
        soft_emit_memory(unit, pair[1], src->size, false);
    else
        soft_emit(unit, pair[0])->src = soft_reg_offset(src);
}

static void unary(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  enum soft_unary which)
{
    const struct soft_operand *dst = OPERAND(0);
    soft_handler *const *forms = soft_unary[which][soft_size_index(dst->size)];

    if (is_mem(dst))
        soft_emit_memory(unit,
                         forms[(insn->prefixes & SOFT_PREFIX_LOCK) != 0 ? SOFT_LOCKED_MR : SOFT_MR],
                         dst->size, true);
    else
        soft_emit(unit, forms[SOFT_RR])->dst = soft_reg_offset(dst);
}

/* Register first, register or memory second: [0] and [1] of a pair. */
static struct soft_uop *register_rm(struct soft_translation_unit *unit,
                                    const struct soft_insn *insn, soft_handler *const pair[2])
{
    const struct soft_operand *src = OPERAND(1);
    struct soft_uop *op;

    if (is_mem(src)) {
        op = soft_emit_memory(unit, pair[1], src->size, false);
    } else {
        op = soft_emit(unit, pair[0]);
        op->src = soft_reg_offset(src);
    }
    op->dst = soft_reg_offset(OPERAND(0));
    return op;
}

static void shift(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  soft_handler *const pair[2], const struct soft_operand *count)
{
    const struct soft_operand *dst = OPERAND(0);
    struct soft_uop *op;

    if (is_mem(dst)) {
        op = soft_emit_memory(unit, pair[1], dst->size, true);
    } else {
        op = soft_emit(unit, pair[0]);
        op->dst = soft_reg_offset(dst);
    }
    op->aux = is_gpr(count) ? 0xff : (uint8_t)(insn->imm & 63);
    if (count == OPERAND(2))
        op->src = soft_reg_offset(OPERAND(1));
}

static void rotate(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   enum soft_shift which)
{
    shift(unit, insn, soft_shift[which][soft_size_index(OPERAND(0)->size)], OPERAND(1));
}

static void exchange(struct soft_translation_unit *unit, const struct soft_insn *insn,
                     soft_handler *const forms[3])
{
    const struct soft_operand *dst = OPERAND(0);
    struct soft_uop *op;

    if (is_mem(dst)) {
        op = soft_emit_memory(unit, forms[(insn->prefixes & SOFT_PREFIX_LOCK) != 0 ? 2 : 1],
                              dst->size, true);
    } else {
        op = soft_emit(unit, forms[0]);
        op->dst = soft_reg_offset(dst);
    }
    op->src = soft_reg_offset(OPERAND(1));
}

/* ---- MOV ---- */

static bool mov(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    unsigned size = soft_size_index(dst->size);
    struct soft_uop *op;

    if (is_gpr(dst) && is_gpr(src)) {
        op = soft_emit(unit, soft_mov[size][SOFT_RR]);
        op->dst = soft_reg_offset(dst);
        op->src = soft_reg_offset(src);
    } else if (is_gpr(dst) && src->kind == SOFT_OPERAND_IMM) {
        op = soft_emit(unit, soft_mov[size][SOFT_RI]);
        op->dst = soft_reg_offset(dst);
        op->imm = (uint64_t)insn->imm;
    } else if (is_gpr(dst) && is_mem(src)) {
        op = soft_emit_memory(unit, soft_mov[size][SOFT_RM], src->size, false);
        op->dst = soft_reg_offset(dst);
    } else if (is_mem(dst) && is_gpr(src)) {
        op = soft_emit_memory(unit, soft_mov[size][SOFT_MR], dst->size, true);
        op->src = soft_reg_offset(src);
    } else if (is_mem(dst) && src->kind == SOFT_OPERAND_IMM) {
        op = soft_emit_memory(unit, soft_mov[size][SOFT_MI], dst->size, true);
        op->imm = (uint64_t)insn->imm;
    } else {
        return false; /* a system register */
    }
    return true;
}

static void extend(struct soft_translation_unit *unit, const struct soft_insn *insn, bool sign)
{
    unsigned to = soft_size_index(OPERAND(0)->size), from = soft_size_index(OPERAND(1)->size);

    /* MOVSXD and MOVZX to the same size are plain moves. */
    if (to <= from)
        register_rm(unit, insn,
                    (soft_handler *const[2]){soft_mov[to][SOFT_RR], soft_mov[to][SOFT_RM]});
    else
        register_rm(unit, insn, soft_extend[sign][from][to - 1]);
}

static void lea(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_memory *memory = &insn->memory;
    int64_t disp = memory->disp;
    struct soft_uop *op;

    if (memory->base == SOFT_REG_RIP)
        disp += unit->offset + insn->length;
    if (disp != (int32_t)disp) {
        op = soft_emit(unit, soft_mov[3][SOFT_RI]);
        op->dst = 8 * SOFT_REG_T0;
        op->imm = (uint64_t)disp + (memory->base == SOFT_REG_RIP ? unit->rip : 0);
        op = soft_emit(unit, soft_lea[soft_size_index(insn->operand_size)]);
        op->base = SOFT_REG_T0;
    } else {
        op = soft_emit(unit, soft_lea[soft_size_index(insn->operand_size)]);
        op->base = memory->base == SOFT_REG_NONE ? SOFT_REG_ZERO : memory->base;
        op->disp = (int32_t)disp;
    }
    op->index = memory->index == SOFT_REG_NONE ? SOFT_REG_ZERO : memory->index;
    op->scale = memory->scale;
    op->dst = soft_reg_offset(OPERAND(0));
    op->aux = insn->address_size;
}

/* ---- the stack ---- */

static void push(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *src = OPERAND(0);
    bool wide = (unit->mode & SOFT_IN_64) != 0 && insn->operand_size == 8;
    struct soft_uop *op;

    if (src->kind == SOFT_OPERAND_SEG) {
        op = soft_emit(unit, soft_op_push_segment);
        op->src = src->reg;
    } else if (is_gpr(src)) {
        op = soft_emit(unit, wide ? soft_op_push64_r : soft_op_push_r);
        op->src = soft_reg_offset(src);
    } else if (is_mem(src)) {
        op = soft_emit_memory(unit, wide ? soft_op_push64_m : soft_op_push_m, src->size, false);
    } else {
        op = soft_emit(unit, wide ? soft_op_push64_i : soft_op_push_i);
        op->imm = (uint64_t)insn->imm;
    }
    op->aux = insn->operand_size;
}

static void pop(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *dst = OPERAND(0);
    bool wide = (unit->mode & SOFT_IN_64) != 0 && insn->operand_size == 8;
    struct soft_uop *op;

    if (dst->kind == SOFT_OPERAND_SEG) {
        op = soft_emit(unit, soft_op_pop_segment);
        op->dst = dst->reg;
        unit->ended = true;
    } else if (is_gpr(dst)) {
        op = soft_emit(unit, wide ? soft_op_pop64_r : soft_op_pop_r);
        op->dst = soft_reg_offset(dst);
    } else {
        /* The address counts with rSP as it is afterwards. */
        struct soft_insn later = *insn;

        if (later.memory.base == SOFT_RSP)
            later.memory.disp += insn->operand_size;
        unit->insn = &later;
        op = soft_emit_memory(unit, soft_op_pop_m, dst->size, true);
        unit->insn = insn;
    }
    op->aux = insn->operand_size;
}

static void with_size(struct soft_translation_unit *unit, const struct soft_insn *insn,
                      soft_handler *run)
{
    soft_emit(unit, run)->aux = insn->operand_size;
}

/* ---- branches ---- */

static uint64_t target(const struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    uint64_t rip = unit->rip + unit->offset + insn->length + (uint64_t)insn->imm;

    return insn->operand_size == 8 ? rip : insn->operand_size == 4 ? (uint32_t)rip : (uint16_t)rip;
}

static void branch(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   soft_handler *direct, soft_handler *by_register, soft_handler *by_memory)
{
    const struct soft_operand *where = OPERAND(0);
    struct soft_uop *op;

    if (where->kind == SOFT_OPERAND_REL) {
        op = soft_emit(unit, direct);
        op->imm = target(unit, insn);
    } else if (is_gpr(where)) {
        op = soft_emit(unit, by_register);
        op->src = soft_reg_offset(where);
    } else {
        op = soft_emit_memory(unit, by_memory, where->size, false);
    }
    op->aux2 |= insn->operand_size;
    unit->ended = true;
}

static void far_branch(struct soft_translation_unit *unit, const struct soft_insn *insn,
                       soft_handler *direct, soft_handler *by_memory)
{
    struct soft_uop *op;

    if (OPERAND(0)->kind == SOFT_OPERAND_FAR) {
        op = soft_emit(unit, direct);
        op->imm = (uint64_t)insn->imm;
        op->src = (uint8_t)insn->imm2;
        op->src2 = (uint8_t)(insn->imm2 >> 8);
    } else {
        op = soft_emit_memory(unit, by_memory, insn->operand_size + 2u, false);
    }
    op->aux = insn->operand_size;
    unit->ended = true;
}

static void ended(struct soft_translation_unit *unit, struct soft_uop *op, uint8_t aux,
                  uint64_t imm)
{
    op->aux = aux;
    op->imm = imm;
    unit->ended = true;
}

static void loop(struct soft_translation_unit *unit, const struct soft_insn *insn,
                 soft_handler *run, uint8_t kind)
{
    struct soft_uop *op = soft_emit(unit, run);

    op->src = kind;
    ended(unit, op, insn->address_size, target(unit, insn));
}

static void string(struct soft_translation_unit *unit, const struct soft_insn *insn,
                   soft_handler *run, bool test)
{
    struct soft_uop *op = soft_emit(unit, run);

    op->aux = insn->operand_size;
    op->src = insn->memory.segment;
    op->src2 = insn->address_size;
    if ((insn->prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0)
        op->aux2 = !test                                       ? SOFT_REP
                   : (insn->prefixes & SOFT_PREFIX_REPNE) != 0 ? SOFT_REPNE
                                                               : SOFT_REPE;
}

/* ---- BMI ---- */

/* MEM or GPR in operand n, the other source in operand m. */
static void bmi(struct soft_translation_unit *unit, const struct soft_insn *insn,
                enum soft_bmi which, unsigned rm, unsigned other)
{
    const struct soft_operand *source = OPERAND(rm);
    soft_handler *const *pair = soft_bmi[which][insn->operand[0].size == 8];
    struct soft_uop *op;

    if (is_mem(source)) {
        op = soft_emit_memory(unit, pair[1], source->size, false);
    } else {
        op = soft_emit(unit, pair[0]);
        op->src2 = soft_reg_offset(source);
    }
    op->dst = soft_reg_offset(OPERAND(0));
    op->src = soft_reg_offset(OPERAND(other));
    op->imm = (uint64_t)insn->imm;
}

bool soft_translate_integer(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    unsigned size = soft_size_index(insn->operand_size);
    const struct soft_operand *dst = OPERAND(0);
    struct soft_uop *op;

    switch (insn->id) {
    case SOFT_INSN_ADD: binary(unit, insn, soft_alu[SOFT_ALU_ADD]); break;
    case SOFT_INSN_OR: binary(unit, insn, soft_alu[SOFT_ALU_OR]); break;
    case SOFT_INSN_ADC: binary(unit, insn, soft_alu[SOFT_ALU_ADC]); break;
    case SOFT_INSN_SBB: binary(unit, insn, soft_alu[SOFT_ALU_SBB]); break;
    case SOFT_INSN_AND: binary(unit, insn, soft_alu[SOFT_ALU_AND]); break;
    case SOFT_INSN_SUB: binary(unit, insn, soft_alu[SOFT_ALU_SUB]); break;
    case SOFT_INSN_XOR: binary(unit, insn, soft_alu[SOFT_ALU_XOR]); break;
    case SOFT_INSN_CMP: comparison(unit, insn, SOFT_ALU_CMP); break;
    case SOFT_INSN_TEST: comparison(unit, insn, SOFT_ALU_TEST); break;
    case SOFT_INSN_INC: unary(unit, insn, SOFT_INC); break;
    case SOFT_INSN_DEC: unary(unit, insn, SOFT_DEC); break;
    case SOFT_INSN_NEG: unary(unit, insn, SOFT_NEG); break;
    case SOFT_INSN_NOT: unary(unit, insn, SOFT_NOT); break;

    case SOFT_INSN_MOV:
    case SOFT_INSN_MOVNTI: return mov(unit, insn);
    case SOFT_INSN_MOVZX: extend(unit, insn, false); break;
    case SOFT_INSN_MOVSX:
    case SOFT_INSN_MOVSXD: extend(unit, insn, true); break;
    case SOFT_INSN_LEA: lea(unit, insn); break;
    case SOFT_INSN_CMOVCC: register_rm(unit, insn, soft_cmov[size])->aux = insn->condition; break;
    case SOFT_INSN_SETCC:
        if (is_mem(dst)) {
            op = soft_emit_memory(unit, soft_setcc[1], 1, true);
        } else {
            op = soft_emit(unit, soft_setcc[0]);
            op->dst = soft_reg_offset(dst);
        }
        op->aux = insn->condition;
        break;
    case SOFT_INSN_XCHG:
        exchange(unit, insn,
                 (soft_handler *const[3]){soft_xchg[soft_size_index(dst->size)][0],
                                          soft_xchg[soft_size_index(dst->size)][1],
                                          soft_xchg[soft_size_index(dst->size)][1]});
        break;
    case SOFT_INSN_XADD: exchange(unit, insn, soft_xadd[soft_size_index(dst->size)]); break;
    case SOFT_INSN_CMPXCHG: exchange(unit, insn, soft_cmpxchg[soft_size_index(dst->size)]); break;
    case SOFT_INSN_CMPXCHG8B:
        soft_emit_memory(unit,
                         (insn->prefixes & SOFT_PREFIX_LOCK) != 0 ? soft_op_cmpxchg8b_locked
                                                                  : soft_op_cmpxchg8b,
                         8, true);
        break;
    case SOFT_INSN_CMPXCHG16B: soft_emit_memory(unit, soft_op_cmpxchg16b, 16, true); break;
    case SOFT_INSN_BSWAP:
        soft_emit(unit, soft_bswap[soft_size_index(insn->operand_size) - 1])->dst =
            soft_reg_offset(dst);
        break;
    case SOFT_INSN_MOVBE:
        if (is_mem(dst))
            soft_emit_memory(unit, soft_movbe[size][1], dst->size, true)->src =
                soft_reg_offset(OPERAND(1));
        else
            soft_emit_memory(unit, soft_movbe[size][0], dst->size, false)->dst =
                soft_reg_offset(dst);
        break;
    case SOFT_INSN_CBW: soft_emit(unit, soft_convert[size]); break;
    case SOFT_INSN_CWD: soft_emit(unit, soft_spread[size]); break;
    case SOFT_INSN_XLAT:
        /* AL = [rBX + AL]: the address in two steps. */
        op = soft_emit(unit, soft_extend[0][0][2][0]);
        op->dst = 8 * SOFT_REG_T0;
        {
            struct soft_insn load = *insn;

            load.memory.base = SOFT_RBX;
            load.memory.index = SOFT_REG_T0;
            load.memory.scale = 0;
            load.memory.disp = 0;
            unit->insn = &load;
            soft_emit_memory(unit, soft_mov[0][SOFT_RM], 1, false);
            unit->insn = insn;
        }
        break;

    case SOFT_INSN_PUSH: push(unit, insn); break;
    case SOFT_INSN_POP: pop(unit, insn); break;
    case SOFT_INSN_PUSHA: with_size(unit, insn, soft_op_pusha); break;
    case SOFT_INSN_POPA: with_size(unit, insn, soft_op_popa); break;
    case SOFT_INSN_PUSHF: with_size(unit, insn, soft_op_pushf); break;
    case SOFT_INSN_POPF:
        with_size(unit, insn, soft_op_popf);
        unit->ended = true;
        break;
    case SOFT_INSN_ENTER:
        op = soft_emit(unit, soft_op_enter);
        op->imm = (uint16_t)insn->imm;
        op->src = (uint8_t)insn->imm2;
        op->aux = insn->operand_size;
        break;
    case SOFT_INSN_LEAVE: with_size(unit, insn, soft_op_leave); break;

    case SOFT_INSN_ROL: rotate(unit, insn, SOFT_ROL); break;
    case SOFT_INSN_ROR: rotate(unit, insn, SOFT_ROR); break;
    case SOFT_INSN_RCL: rotate(unit, insn, SOFT_RCL); break;
    case SOFT_INSN_RCR: rotate(unit, insn, SOFT_RCR); break;
    case SOFT_INSN_SHL: rotate(unit, insn, SOFT_SHL); break;
    case SOFT_INSN_SHR: rotate(unit, insn, SOFT_SHR); break;
    case SOFT_INSN_SAR: rotate(unit, insn, SOFT_SAR); break;
    case SOFT_INSN_SHLD: shift(unit, insn, soft_double_shift[0][size], OPERAND(2)); break;
    case SOFT_INSN_SHRD: shift(unit, insn, soft_double_shift[1][size], OPERAND(2)); break;
    case SOFT_INSN_BT: bit_test(unit, insn); break;
    case SOFT_INSN_BTS: binary(unit, insn, soft_bit[SOFT_BTS]); break;
    case SOFT_INSN_BTR: binary(unit, insn, soft_bit[SOFT_BTR]); break;
    case SOFT_INSN_BTC: binary(unit, insn, soft_bit[SOFT_BTC]); break;
    case SOFT_INSN_BSF: register_rm(unit, insn, soft_scan[SOFT_BSF][size]); break;
    case SOFT_INSN_BSR: register_rm(unit, insn, soft_scan[SOFT_BSR][size]); break;
    case SOFT_INSN_TZCNT: register_rm(unit, insn, soft_scan[SOFT_TZCNT][size]); break;
    case SOFT_INSN_LZCNT: register_rm(unit, insn, soft_scan[SOFT_LZCNT][size]); break;
    case SOFT_INSN_POPCNT: register_rm(unit, insn, soft_scan[SOFT_POPCNT][size]); break;

    case SOFT_INSN_MUL: wide(unit, insn, SOFT_MUL); break;
    case SOFT_INSN_DIV: wide(unit, insn, SOFT_DIV); break;
    case SOFT_INSN_IDIV: wide(unit, insn, SOFT_IDIV); break;
    case SOFT_INSN_IMUL:
        if (insn->operand_count == 1) {
            wide(unit, insn, SOFT_IMUL);
        } else {
            op = register_rm(unit, insn, &soft_imul[size][insn->operand_count == 3 ? 2 : 0]);
            op->imm = (uint64_t)insn->imm;
        }
        break;
    case SOFT_INSN_AAA: soft_emit(unit, soft_op_aaa); break;
    case SOFT_INSN_AAS: soft_emit(unit, soft_op_aas); break;
    case SOFT_INSN_AAM: soft_emit(unit, soft_op_aam)->imm = (uint8_t)insn->imm; break;
    case SOFT_INSN_AAD: soft_emit(unit, soft_op_aad)->imm = (uint8_t)insn->imm; break;
    case SOFT_INSN_DAA: soft_emit(unit, soft_op_daa); break;
    case SOFT_INSN_DAS: soft_emit(unit, soft_op_das); break;

    case SOFT_INSN_ANDN: bmi(unit, insn, SOFT_ANDN, 2, 1); break;
    case SOFT_INSN_PEXT: bmi(unit, insn, SOFT_PEXT, 2, 1); break;
    case SOFT_INSN_PDEP: bmi(unit, insn, SOFT_PDEP, 2, 1); break;
    case SOFT_INSN_MULX: bmi(unit, insn, SOFT_MULX, 2, 1); break;
    case SOFT_INSN_BEXTR: bmi(unit, insn, SOFT_BEXTR, 1, 2); break;
    case SOFT_INSN_BZHI: bmi(unit, insn, SOFT_BZHI, 1, 2); break;
    case SOFT_INSN_SHLX: bmi(unit, insn, SOFT_SHLX, 1, 2); break;
    case SOFT_INSN_SARX: bmi(unit, insn, SOFT_SARX, 1, 2); break;
    case SOFT_INSN_SHRX: bmi(unit, insn, SOFT_SHRX, 1, 2); break;
    case SOFT_INSN_RORX: bmi(unit, insn, SOFT_RORX, 1, 0); break;
    case SOFT_INSN_BLSR: bmi(unit, insn, SOFT_BLSR, 1, 0); break;
    case SOFT_INSN_BLSMSK: bmi(unit, insn, SOFT_BLSMSK, 1, 0); break;
    case SOFT_INSN_BLSI: bmi(unit, insn, SOFT_BLSI, 1, 0); break;
    case SOFT_INSN_ADCX: bmi(unit, insn, SOFT_ADCX, 1, 0); break;
    case SOFT_INSN_ADOX: bmi(unit, insn, SOFT_ADOX, 1, 0); break;
    case SOFT_INSN_CRC32:
        register_rm(unit, insn, soft_crc32[soft_size_index(OPERAND(1)->size)]);
        break;

    case SOFT_INSN_JCC:
        op = soft_emit(unit, soft_jcc[insn->condition]);
        ended(unit, op, 0, target(unit, insn));
        break;
    case SOFT_INSN_JMP: branch(unit, insn, soft_op_jmp, soft_op_jmp_r, soft_op_jmp_m); break;
    case SOFT_INSN_CALL: branch(unit, insn, soft_op_call, soft_op_call_r, soft_op_call_m); break;
    case SOFT_INSN_RET:
        op = soft_emit(unit, soft_op_ret);
        op->aux2 = insn->operand_size;
        ended(unit, op, 0, insn->operand_count > 0 ? (uint16_t)insn->imm : 0);
        break;
    case SOFT_INSN_LOOPNE: loop(unit, insn, soft_op_loop, 0); break;
    case SOFT_INSN_LOOPE: loop(unit, insn, soft_op_loop, 1); break;
    case SOFT_INSN_LOOP: loop(unit, insn, soft_op_loop, 2); break;
    case SOFT_INSN_JCXZ: loop(unit, insn, soft_op_jcxz, 0); break;
    case SOFT_INSN_JMPF: far_branch(unit, insn, soft_op_jmp_far_i, soft_op_jmp_far_m); break;
    case SOFT_INSN_CALLF: far_branch(unit, insn, soft_op_call_far_i, soft_op_call_far_m); break;
    case SOFT_INSN_RETF:
        ended(unit, soft_emit(unit, soft_op_ret_far), insn->operand_size,
              insn->operand_count > 0 ? (uint16_t)insn->imm : 0);
        break;
    case SOFT_INSN_IRET: ended(unit, soft_emit(unit, soft_op_iret), insn->operand_size, 0); break;
    case SOFT_INSN_INT:
        ended(unit, soft_emit(unit, soft_op_int), SOFT_EVENT_SOFTWARE, (uint8_t)insn->imm);
        break;
    case SOFT_INSN_INT3:
        ended(unit, soft_emit(unit, soft_op_int), SOFT_EVENT_SOFTWARE_DEBUG, SOFT_BP);
        break;
    case SOFT_INSN_INT1:
        ended(unit, soft_emit(unit, soft_op_int), SOFT_EVENT_SOFTWARE_DEBUG, SOFT_DB);
        break;
    case SOFT_INSN_INTO:
        ended(unit, soft_emit(unit, soft_op_into), SOFT_EVENT_SOFTWARE_DEBUG, 0);
        break;

    case SOFT_INSN_MOVS: string(unit, insn, soft_op_movs, false); break;
    case SOFT_INSN_STOS: string(unit, insn, soft_op_stos, false); break;
    case SOFT_INSN_LODS: string(unit, insn, soft_op_lods, false); break;
    case SOFT_INSN_SCAS: string(unit, insn, soft_op_scas, true); break;
    case SOFT_INSN_CMPS: string(unit, insn, soft_op_cmps, true); break;
    case SOFT_INSN_INS: string(unit, insn, soft_op_ins, false); break;
    case SOFT_INSN_OUTS: string(unit, insn, soft_op_outs, false); break;

    case SOFT_INSN_CLC: soft_emit(unit, soft_op_clc); break;
    case SOFT_INSN_STC: soft_emit(unit, soft_op_stc); break;
    case SOFT_INSN_CMC: soft_emit(unit, soft_op_cmc); break;
    case SOFT_INSN_CLD: soft_emit(unit, soft_op_cld); break;
    case SOFT_INSN_STD: soft_emit(unit, soft_op_std); break;
    case SOFT_INSN_LAHF: soft_emit(unit, soft_op_lahf); break;
    case SOFT_INSN_SAHF: soft_emit(unit, soft_op_sahf); break;
    case SOFT_INSN_SALC: soft_emit(unit, soft_op_salc); break;
    case SOFT_INSN_NOP:
    case SOFT_INSN_PAUSE:
    case SOFT_INSN_ENDBR32:
    case SOFT_INSN_ENDBR64:
    case SOFT_INSN_PREFETCH:
    case SOFT_INSN_PREFETCHW:
    case SOFT_INSN_PREFETCHNTA:
    case SOFT_INSN_PREFETCHT0:
    case SOFT_INSN_PREFETCHT1:
    case SOFT_INSN_PREFETCHT2:
    case SOFT_INSN_SFENCE: soft_emit(unit, soft_op_nop); break;
    default: return false;
    }
    return true;
}
