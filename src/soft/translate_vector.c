/* SPDX-License-Identifier: BSD-3-Clause */
/* MMX, SSE and AVX: which handler does an instruction. */
#include "soft/translate.h"
#include "soft/vector_lanes.h"
#include "soft/vector_move.h"

#define OPERAND(n) (&insn->operand[n])

static bool is_mem(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_MEM;
}

static bool is_mmx(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_MMX;
}

static bool is_gpr(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_GPR;
}

static bool is_vector(const struct soft_operand *operand)
{
    return operand->kind == SOFT_OPERAND_XMM || operand->kind == SOFT_OPERAND_YMM;
}

static bool is_vex(const struct soft_insn *insn)
{
    return insn->vex_length != 0;
}

/* Scalars have 128 bits, whatever VEX.L says. */
static enum soft_encoding encoding_of(const struct soft_insn *insn)
{
    if (!is_vex(insn))
        return SOFT_LEGACY;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == SOFT_OPERAND_YMM ||
            (is_mem(OPERAND(i)) && insn->operand[i].size == 32))
            return SOFT_VEX256;
    }
    return SOFT_VEX128;
}

/* How many operands there are before the immediate. */
static unsigned sources(const struct soft_insn *insn)
{
    unsigned count = insn->operand_count;

    return count > 0 && insn->operand[count - 1].kind == SOFT_OPERAND_IMM ? count - 1 : count;
}

/* ---- lanes ---- */

struct row {
    uint8_t kind; /* enum soft_lane_kind */
    uint8_t mmx;  /* enum soft_mmx_way */
    soft_lane *lane;
    soft_float_lane *float_lane;
};

#define ROW(id, lane_, kind_, mmx_) \
    [SOFT_INSN_##id] = {.kind = SOFT_##kind_, .mmx = SOFT_##mmx_, .lane = soft_lane_##lane_},
#define FLOAT_ROW(id, lane_, kind_) \
    [SOFT_INSN_##id] = {.kind = SOFT_##kind_, .float_lane = soft_float_lane_##lane_},
static const struct row rows[SOFT_INSN_COUNT] = {SOFT_INTEGER_LANES(ROW) SOFT_SHUFFLE_LANES(
    ROW) SOFT_CRYPTO_LANES(ROW) SOFT_FLOAT_LANES(FLOAT_ROW)};

/* One for an instruction of destination, maybe a first source, and the last source. */
static struct soft_uop *with_forms(struct soft_translation_unit *unit, const struct soft_insn *insn,
                                   soft_handler *const forms[SOFT_SOURCES], unsigned whole)
{
    unsigned count = sources(insn);
    /* Shifts of a register by an immediate have no other source. */
    bool by_immediate = count < insn->operand_count && rows[insn->id].kind == SOFT_COUNT;
    const struct soft_operand *last = OPERAND(count - 1);
    const struct soft_operand *first =
        count > 2 || (by_immediate && count > 1) ? OPERAND(1) : OPERAND(0);
    struct soft_uop *op;

    if (by_immediate) {
        op = soft_emit(unit, forms[SOFT_FROM_IMMEDIATE]);
    } else if (is_mem(last) && last->size == whole && forms[SOFT_FROM_MEMORY] != NULL) {
        op = soft_emit_memory(unit, forms[SOFT_FROM_MEMORY], last->size, false);
    } else if (is_mem(last)) {
        op = soft_emit_memory(unit, forms[SOFT_FROM_SMALL], last->size, false);
        op->src2 = (uint8_t)last->size;
    } else if (is_gpr(last)) {
        op = soft_emit(unit, forms[SOFT_FROM_GPR]);
        op->src2 = soft_reg_offset(last);
    } else {
        op = soft_emit(unit, forms[SOFT_FROM_REGISTER]);
        op->src2 = last->reg;
    }
    op->dst = OPERAND(0)->reg;
    op->src = first->reg;
    op->aux = (uint8_t)insn->imm;
    return op;
}

static bool lane(struct soft_translation_unit *unit, const struct soft_insn *insn, soft_lane *run)
{
    const struct row *row = &rows[insn->id];
    struct soft_uop *op;

    if (is_mmx(OPERAND(0))) {
        op = with_forms(unit, insn, soft_mmx_forms, 0);
        op->aux2 |= row->mmx;
    } else {
        enum soft_encoding encoding = encoding_of(insn);
        unsigned kind = row->kind, high = 0;

        if (kind >= SOFT_EACH2 && kind <= SOFT_EACH4) {
            high = kind - SOFT_EACH2 + 2;
            kind = SOFT_EACH;
        }
        op = with_forms(unit, insn, soft_lane_forms[kind][encoding],
                        encoding == SOFT_VEX256 ? 32 : 16);
        op->aux2 |= (uint8_t)high;
    }
    op->imm = (uintptr_t)run;
    return true;
}

static bool float_lane(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct row *row = &rows[insn->id];
    enum soft_encoding encoding = encoding_of(insn);
    struct soft_uop *op = with_forms(unit, insn, soft_float_forms[row->kind][encoding],
                                     encoding == SOFT_VEX256 ? 32 : 16);

    op->imm = (uintptr_t)row->float_lane;
    return true;
}

/* ---- moves ---- */

static struct soft_uop *store(struct soft_translation_unit *unit, const struct soft_insn *insn,
                              soft_handler *run)
{
    struct soft_uop *op = soft_emit_memory(unit, run, OPERAND(0)->size, true);

    op->src = OPERAND(1)->reg;
    return op;
}

static struct soft_uop *load(struct soft_translation_unit *unit, const struct soft_insn *insn,
                             soft_handler *run)
{
    struct soft_uop *op = soft_emit_memory(unit, run, OPERAND(1)->size, false);

    op->dst = OPERAND(0)->reg;
    return op;
}

/* Between registers; of general ones, dst or src is an offset. */
static struct soft_uop *between(struct soft_translation_unit *unit, const struct soft_insn *insn,
                                soft_handler *run)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    struct soft_uop *op = soft_emit(unit, run);

    op->dst = is_gpr(dst) ? soft_reg_offset(dst) : dst->reg;
    op->src = is_gpr(src) ? soft_reg_offset(src) : src->reg;
    return op;
}

static bool whole(struct soft_translation_unit *unit, const struct soft_insn *insn, bool aligned)
{
    enum soft_encoding encoding = encoding_of(insn);

    if (is_mem(OPERAND(0)))
        store(unit, insn, soft_vector_store[aligned][encoding]);
    else if (is_mem(OPERAND(1)))
        load(unit, insn, soft_vector_load[aligned][encoding]);
    else
        between(unit, insn, soft_vector_move[encoding]);
    return true;
}

/* MOVD and MOVQ. */
static bool scalar(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *dst = OPERAND(0), *src = OPERAND(1);
    bool wide = insn->id == SOFT_INSN_MOVQ, vex = is_vex(insn);
    soft_handler *const *mmx = soft_mmx_scalar[wide];

    if (is_mmx(dst) || is_mmx(src)) {
        if (is_mem(dst))
            store(unit, insn, mmx[SOFT_MMX_STORE]);
        else if (is_mem(src))
            load(unit, insn, mmx[SOFT_MMX_LOAD]);
        else
            between(unit, insn,
                    mmx[is_gpr(dst)   ? SOFT_MMX_TO_GPR
                        : is_gpr(src) ? SOFT_MMX_FROM_GPR
                                      : SOFT_MMX_MOVE]);
    } else if (is_mem(dst)) {
        store(unit, insn, soft_scalar_store[wide]);
    } else if (is_mem(src)) {
        load(unit, insn, soft_scalar_load[wide][vex]);
    } else if (is_gpr(dst)) {
        between(unit, insn, soft_scalar_to_gpr[wide]);
    } else if (is_gpr(src)) {
        between(unit, insn, soft_scalar_from_gpr[wide][vex]);
    } else {
        between(unit, insn, soft_move64[vex]);
    }
    return true;
}

/* MOVSS, MOVSD, MOVLPS...: a part of a register; `run` puts it in. */
static bool part(struct soft_translation_unit *unit, const struct soft_insn *insn, soft_lane *run,
                 unsigned stored)
{
    if (is_mem(OPERAND(0))) {
        store(unit, insn, soft_scalar_store[stored]);
        return true;
    }
    return lane(unit, insn, run);
}

static bool movss(struct soft_translation_unit *unit, const struct soft_insn *insn, bool wide)
{
    /* From memory what is above is cleared. */
    if (is_mem(OPERAND(1))) {
        load(unit, insn, soft_scalar_load[wide][is_vex(insn)]);
        return true;
    }
    return part(unit, insn, wide ? soft_lane_movsd : soft_lane_movss, wide);
}

static bool mask(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned which)
{
    between(unit, insn,
            is_mmx(OPERAND(1)) ? soft_op_pmovmskb_mmx
                               : soft_vector_mask[which][insn->vex_length == 32]);
    return true;
}

static bool extract(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned size)
{
    struct soft_uop *op;

    if (is_mmx(OPERAND(1)))
        op = between(unit, insn, soft_op_pextrw_mmx);
    else if (is_mem(OPERAND(0)))
        op = store(unit, insn, soft_op_extract_m);
    else
        op = between(unit, insn, soft_op_extract_r);
    op->src2 = (uint8_t)size;
    op->aux = (uint8_t)insn->imm;
    return true;
}

static bool extract128(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    struct soft_uop *op = is_mem(OPERAND(0)) ? store(unit, insn, soft_op_extract128_m)
                                             : between(unit, insn, soft_op_extract128_r);

    op->aux = (uint8_t)insn->imm;
    return true;
}

/* dst, src, src2 or memory, aux */
static bool three(struct soft_translation_unit *unit, const struct soft_insn *insn,
                  soft_handler *in_register, soft_handler *in_memory)
{
    soft_handler *const forms[SOFT_SOURCES] = {
        [SOFT_FROM_REGISTER] = in_register, [SOFT_FROM_SMALL] = in_memory};

    with_forms(unit, insn, forms, 0);
    return true;
}

static bool permute(struct soft_translation_unit *unit, const struct soft_insn *insn,
                    enum soft_permute which)
{
    return three(unit, insn, soft_permute[which][0], soft_permute[which][1]);
}

/* ---- floating point ---- */

/* A scalar to a general register, or to the flags: src in a register or memory. */
static bool scalar_source(struct soft_translation_unit *unit, const struct soft_insn *insn,
                          soft_handler *const forms[2], unsigned aux)
{
    struct soft_uop *op;

    if (is_mem(OPERAND(1))) {
        op = soft_emit_memory(unit, forms[1], OPERAND(1)->size, false);
    } else {
        op = soft_emit(unit, forms[0]);
        op->src = OPERAND(1)->reg;
    }
    op->dst = is_gpr(OPERAND(0)) ? soft_reg_offset(OPERAND(0)) : OPERAND(0)->reg;
    op->aux = (uint8_t)aux;
    return true;
}

static bool to_gpr(struct soft_translation_unit *unit, const struct soft_insn *insn, bool wide,
                   bool truncate)
{
    return scalar_source(unit, insn, soft_float_to_gpr[wide][OPERAND(0)->size == 8], truncate);
}

static bool from_gpr(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    float_lane(unit, insn);
    unit->uops[unit->count - 1].aux = (uint8_t)OPERAND(sources(insn) - 1)->size;
    return true;
}

/* CVTPI2PS and so on. From memory CVTPI2PD has nothing to do with MMX. */
static bool with_mmx(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct soft_operand *src = OPERAND(1);
    struct soft_uop *op;

    if (is_mmx(OPERAND(0)) && is_mem(src)) {
        op = load(unit, insn, soft_op_cvt_to_mmx_m);
        op->src2 = (uint8_t)src->size;
    } else if (is_mmx(OPERAND(0))) {
        op = between(unit, insn, soft_op_cvt_to_mmx_r);
    } else if (is_mem(src)) {
        return float_lane(unit, insn);
    } else {
        op = between(unit, insn, soft_op_cvt_from_mmx);
    }
    op->imm = (uintptr_t)rows[insn->id].float_lane;
    return true;
}

static bool to_half(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    struct soft_uop *op = is_mem(OPERAND(0)) ? store(unit, insn, soft_op_vcvtps2ph_m)
                                             : between(unit, insn, soft_op_vcvtps2ph_r);

    op->src2 = insn->vex_length / 2;
    op->aux = (uint8_t)insn->imm;
    return true;
}

/* The opcodes are a table of their own: 96 to BF, W for the precision. */
static bool fused(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    static const uint8_t signs[] = {
        SOFT_FMA_SUB_EVEN,                                      /* 6: FMADDSUB */
        SOFT_FMA_SUB_ODD,                                       /* 7: FMSUBADD */
        0,                                                      /* 8, 9: FMADD */
        SOFT_FMA_SUB_EVEN | SOFT_FMA_SUB_ODD,                   /* A, B: FMSUB */
        SOFT_FMA_NEGATE,                                        /* C, D: FNMADD */
        SOFT_FMA_NEGATE | SOFT_FMA_SUB_EVEN | SOFT_FMA_SUB_ODD, /* E, F: FNMSUB */
    };
    static const uint8_t orders[] = {SOFT_FMA_132, SOFT_FMA_213, SOFT_FMA_231};
    unsigned low = insn->opcode & 15;
    bool is_scalar = low >= 8 && (low & 1) != 0;
    unsigned sign = low < 8 ? low - 6 : 2 + (low - 8) / 2;
    soft_handler *const *forms =
        soft_fma[2u * is_scalar + insn->rex_w][encoding_of(insn) == SOFT_VEX256];

    three(unit, insn, forms[0], forms[1]);
    unit->uops[unit->count - 1].aux = signs[sign] | orders[(insn->opcode >> 4) - 9];
    return true;
}

/* ---- masks and strings ---- */

static bool blend(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned size)
{
    soft_handler *const *forms = soft_blend[encoding_of(insn)];
    unsigned selector = insn->operand_count - 1;
    const struct soft_operand *last = OPERAND(selector - 1);
    struct soft_uop *op;

    if (is_mem(last)) {
        op = soft_emit_memory(unit, forms[1], last->size, false);
    } else {
        op = soft_emit(unit, forms[0]);
        op->src2 = last->reg;
    }
    op->dst = OPERAND(0)->reg;
    op->src = OPERAND(selector - 2)->reg; /* of legacy encodings: the destination */
    op->imm = OPERAND(selector)->reg;
    op->aux = (uint8_t)size;
    return true;
}

static bool string(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned how)
{
    soft_handler *const forms[2] = {soft_op_pcmpstr_r, soft_op_pcmpstr_m};

    scalar_source(unit, insn, forms, (uint8_t)insn->imm);
    unit->uops[unit->count - 1].aux2 |=
        (uint8_t)(how | (insn->rex_w && (unit->mode & SOFT_IN_64) != 0 ? SOFT_STRING_WIDE : 0) |
                  (is_vex(insn) ? SOFT_STRING_VEX : 0));
    return true;
}

static bool masked_move(struct soft_translation_unit *unit, const struct soft_insn *insn,
                        unsigned size)
{
    bool is_store = is_mem(OPERAND(0));
    struct soft_uop *op = soft_emit_memory(unit, is_store ? soft_op_mask_store : soft_op_mask_load,
                                           insn->vex_length, is_store);

    op->dst = OPERAND(is_store ? 2 : 0)->reg;
    op->src = OPERAND(1)->reg;
    op->src2 = insn->vex_length;
    op->aux = (uint8_t)size;
    return true;
}

static bool mask_bytes(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    struct soft_uop *op =
        between(unit, insn, is_mmx(OPERAND(0)) ? soft_op_maskmovq : soft_op_maskmovdqu);

    op->aux = insn->memory.segment;
    op->src2 = insn->address_size;
    return true;
}

static bool gather(struct soft_translation_unit *unit, const struct soft_insn *insn, unsigned size,
                   unsigned index)
{
    struct soft_uop *op = soft_emit(unit, soft_op_gather);

    op->dst = OPERAND(0)->reg;
    op->src = insn->memory.index;
    op->src2 = OPERAND(2)->reg;
    op->base = insn->memory.base == SOFT_REG_NONE ? SOFT_REG_ZERO : insn->memory.base;
    op->scale = insn->memory.scale;
    op->disp = (int32_t)insn->memory.disp;
    op->aux = (uint8_t)(insn->vex_length / (size > index ? size : index));
    op->imm = insn->memory.segment | (size == 8 ? SOFT_GATHER_8 : 0) |
              (index == 8 ? SOFT_GATHER_INDEX_8 : 0) |
              (insn->address_size != 8 ? SOFT_GATHER_ADDRESS_4 : 0);
    if (insn->memory.segment == SOFT_SEG_SS)
        op->aux2 |= SOFT_UOP_STACK;
    return true;
}

static struct soft_uop *alone(struct soft_translation_unit *unit, soft_handler *run)
{
    return soft_emit(unit, run);
}

/* ---- all of them ---- */

/* CVTSS2SI and so on: of a source in memory nothing is left that would show it. */
static bool is_conversion_to_gpr(const struct soft_insn *insn)
{
    return insn->id == SOFT_INSN_CVTSS2SI || insn->id == SOFT_INSN_CVTTSS2SI ||
           insn->id == SOFT_INSN_CVTSD2SI || insn->id == SOFT_INSN_CVTTSD2SI;
}

/* What has to be on for the instruction; false: it is none of these here. */
static bool class_of(enum soft_vector_class *out, const struct soft_insn *insn)
{
    bool mmx = insn->id == SOFT_INSN_EMMS, vector = false;

    for (unsigned i = 0; i < insn->operand_count; i++) {
        mmx = mmx || is_mmx(OPERAND(i));
        vector = vector || is_vector(OPERAND(i));
    }
    vector = vector || insn->id == SOFT_INSN_LDMXCSR || insn->id == SOFT_INSN_STMXCSR ||
             insn->id == SOFT_INSN_VZEROUPPER || insn->id == SOFT_INSN_VZEROALL ||
             is_conversion_to_gpr(insn);
    *out = is_vex(insn) ? SOFT_CLASS_AVX : vector ? SOFT_CLASS_SSE : SOFT_CLASS_MMX;
    return mmx || vector;
}

static const uint32_t class_mode[] = {
    [SOFT_CLASS_MMX] = SOFT_IN_FPU, [SOFT_CLASS_SSE] = SOFT_IN_SSE, [SOFT_CLASS_AVX] = SOFT_IN_AVX};

static bool translate(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    const struct row *row = &rows[insn->id];
    unsigned registers = (unit->mode & SOFT_IN_64) != 0 ? 16 : 8;

    switch (insn->id) {
    case SOFT_INSN_MOVUPS:
    case SOFT_INSN_MOVUPD:
    case SOFT_INSN_MOVDQU:
    case SOFT_INSN_LDDQU: return whole(unit, insn, false);
    case SOFT_INSN_MOVAPS:
    case SOFT_INSN_MOVAPD:
    case SOFT_INSN_MOVDQA:
    case SOFT_INSN_MOVNTPS:
    case SOFT_INSN_MOVNTPD:
    case SOFT_INSN_MOVNTDQ:
    case SOFT_INSN_MOVNTDQA: return whole(unit, insn, true);
    case SOFT_INSN_MOVD:
    case SOFT_INSN_MOVQ: return scalar(unit, insn);
    case SOFT_INSN_MOVNTQ: store(unit, insn, soft_mmx_scalar[1][SOFT_MMX_STORE]); return true;
    case SOFT_INSN_MOVQ2DQ: between(unit, insn, soft_op_movq2dq); return true;
    case SOFT_INSN_MOVDQ2Q: between(unit, insn, soft_op_movdq2q); return true;
    case SOFT_INSN_MOVSS: return movss(unit, insn, false);
    case SOFT_INSN_MOVSD: return movss(unit, insn, true);
    case SOFT_INSN_MOVLPS:
    case SOFT_INSN_MOVLPD: return part(unit, insn, soft_lane_movsd, 1);
    case SOFT_INSN_MOVHPS:
    case SOFT_INSN_MOVHPD: return part(unit, insn, soft_lane_punpcklqdq, 2);
    case SOFT_INSN_PMOVMSKB: return mask(unit, insn, 0);
    case SOFT_INSN_MOVMSKPS: return mask(unit, insn, 1);
    case SOFT_INSN_MOVMSKPD: return mask(unit, insn, 2);
    case SOFT_INSN_PEXTRB: return extract(unit, insn, 1);
    case SOFT_INSN_PEXTRW: return extract(unit, insn, 2);
    case SOFT_INSN_PEXTRD:
    case SOFT_INSN_EXTRACTPS: return extract(unit, insn, 4);
    case SOFT_INSN_PEXTRQ: return extract(unit, insn, 8);
    case SOFT_INSN_VEXTRACTF128:
    case SOFT_INSN_VEXTRACTI128: return extract128(unit, insn);
    case SOFT_INSN_VINSERTF128:
    case SOFT_INSN_VINSERTI128: return three(unit, insn, soft_op_insert128_r, soft_op_insert128_m);
    case SOFT_INSN_VPERM2F128:
    case SOFT_INSN_VPERM2I128: return permute(unit, insn, SOFT_PERMUTE128);
    case SOFT_INSN_VPERMQ:
    case SOFT_INSN_VPERMPD: return permute(unit, insn, SOFT_PERMUTE64);
    case SOFT_INSN_VPERMD:
    case SOFT_INSN_VPERMPS: return permute(unit, insn, SOFT_PERMUTE32);
    case SOFT_INSN_VZEROUPPER:
        alone(unit, soft_op_vzeroupper)->aux = (uint8_t)registers;
        return true;
    case SOFT_INSN_VZEROALL: alone(unit, soft_op_vzeroall)->aux = (uint8_t)registers; return true;
    case SOFT_INSN_EMMS: alone(unit, soft_op_emms); return true;
    case SOFT_INSN_LDMXCSR: soft_emit_memory(unit, soft_op_ldmxcsr, 4, false); return true;
    case SOFT_INSN_STMXCSR: soft_emit_memory(unit, soft_op_stmxcsr, 4, true); return true;

    /* With an immediate these are others. */
    case SOFT_INSN_VPERMILPS:
        return lane(unit, insn, insn->operand_count > sources(insn) ? soft_lane_pshufd : row->lane);
    case SOFT_INSN_VPERMILPD:
        if (insn->operand_count == sources(insn))
            return lane(unit, insn, row->lane);
        lane(unit, insn, soft_lane_vpermilpd_imm);
        unit->uops[unit->count - 1].aux2 |= 2;
        return true;
    case SOFT_INSN_INSERTPS:
        lane(unit, insn, row->lane);
        /* Which element of the source makes sense in a register only. */
        if (is_mem(OPERAND(sources(insn) - 1)))
            unit->uops[unit->count - 1].aux &= 0x3f;
        return true;
    case SOFT_INSN_PINSRW:
        lane(unit, insn, row->lane);
        if (is_mmx(OPERAND(0)))
            unit->uops[unit->count - 1].aux &= 3;
        return true;

    case SOFT_INSN_PBLENDVB: return blend(unit, insn, 1);
    case SOFT_INSN_BLENDVPS: return blend(unit, insn, 4);
    case SOFT_INSN_BLENDVPD: return blend(unit, insn, 8);
    case SOFT_INSN_PTEST: return scalar_source(unit, insn, soft_vector_test[encoding_of(insn)], 0);
    case SOFT_INSN_VTESTPS:
        return scalar_source(unit, insn, soft_vector_test[encoding_of(insn)], 4);
    case SOFT_INSN_VTESTPD:
        return scalar_source(unit, insn, soft_vector_test[encoding_of(insn)], 8);
    case SOFT_INSN_PCMPISTRI: return string(unit, insn, 0);
    case SOFT_INSN_PCMPISTRM: return string(unit, insn, SOFT_STRING_MASK);
    case SOFT_INSN_PCMPESTRI: return string(unit, insn, SOFT_STRING_EXPLICIT);
    case SOFT_INSN_PCMPESTRM: return string(unit, insn, SOFT_STRING_EXPLICIT | SOFT_STRING_MASK);
    case SOFT_INSN_VMASKMOVPS:
    case SOFT_INSN_VPMASKMOVD: return masked_move(unit, insn, 4);
    case SOFT_INSN_VMASKMOVPD:
    case SOFT_INSN_VPMASKMOVQ: return masked_move(unit, insn, 8);
    case SOFT_INSN_MASKMOVQ:
    case SOFT_INSN_MASKMOVDQU: return mask_bytes(unit, insn);
    case SOFT_INSN_VGATHERDPS:
    case SOFT_INSN_VPGATHERDD: return gather(unit, insn, 4, 4);
    case SOFT_INSN_VGATHERDPD:
    case SOFT_INSN_VPGATHERDQ: return gather(unit, insn, 8, 4);
    case SOFT_INSN_VGATHERQPS:
    case SOFT_INSN_VPGATHERQD: return gather(unit, insn, 4, 8);
    case SOFT_INSN_VGATHERQPD:
    case SOFT_INSN_VPGATHERQQ: return gather(unit, insn, 8, 8);
    case SOFT_INSN_SHA256RNDS2: {
        soft_handler *const forms[2] = {soft_op_sha256rnds2_r, soft_op_sha256rnds2_m};

        return scalar_source(unit, insn, forms, 0);
    }

    case SOFT_INSN_CMPPS:
    case SOFT_INSN_CMPPD:
    case SOFT_INSN_CMPSS:
    case SOFT_INSN_CMPSD:
        float_lane(unit, insn);
        unit->uops[unit->count - 1].aux &= is_vex(insn) ? 31 : 7;
        return true;
    case SOFT_INSN_CVTSS2SI: return to_gpr(unit, insn, false, false);
    case SOFT_INSN_CVTTSS2SI: return to_gpr(unit, insn, false, true);
    case SOFT_INSN_CVTSD2SI: return to_gpr(unit, insn, true, false);
    case SOFT_INSN_CVTTSD2SI: return to_gpr(unit, insn, true, true);
    case SOFT_INSN_CVTSI2SS:
    case SOFT_INSN_CVTSI2SD: return from_gpr(unit, insn);
    case SOFT_INSN_UCOMISS: return scalar_source(unit, insn, soft_float_compare[0], 0);
    case SOFT_INSN_COMISS: return scalar_source(unit, insn, soft_float_compare[0], 1);
    case SOFT_INSN_UCOMISD: return scalar_source(unit, insn, soft_float_compare[1], 0);
    case SOFT_INSN_COMISD: return scalar_source(unit, insn, soft_float_compare[1], 1);
    case SOFT_INSN_CVTPI2PS:
    case SOFT_INSN_CVTPI2PD:
    case SOFT_INSN_CVTPS2PI:
    case SOFT_INSN_CVTTPS2PI:
    case SOFT_INSN_CVTPD2PI:
    case SOFT_INSN_CVTTPD2PI: return with_mmx(unit, insn);
    case SOFT_INSN_VCVTPS2PH: return to_half(unit, insn);
    default:
        if (insn->feature == SOFT_FEATURE_FMA)
            return fused(unit, insn);
        if (row->float_lane != NULL)
            return float_lane(unit, insn);
        return row->lane != NULL && lane(unit, insn, row->lane);
    }
}

bool soft_translate_vector(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    enum soft_vector_class class;

    /* 256 bits of AES and PCLMULQDQ are features of their own, which this processor lacks. */
    if (insn->feature == SOFT_FEATURE_VAES || insn->feature == SOFT_FEATURE_VPCLMULQDQ)
        return false;
    if (!class_of(&class, insn))
        return false;
    if ((unit->mode & class_mode[class]) == 0) {
        alone(unit, soft_op_vector_fault)->aux = (uint8_t) class;
        unit->ended = true;
        return true;
    }
    return translate(unit, insn);
}
