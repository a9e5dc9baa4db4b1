/* SPDX-License-Identifier: BSD-3-Clause */
/* The instruction under way: from PC to the first access, from access to access, to the end. */
#include "assist/aarch64.h"

#include <stdatomic.h>
#include <string.h>

#include "assist/a64_data.h"
#include "assist/a64_walk.h"

#define PAGE 4096u /* the smallest of all granules */

#define PSTATE_SS    (UINT64_C(1) << 21)
#define PSTATE_BTYPE (UINT64_C(3) << 10)
#define PSTATE_NRW   (UINT64_C(1) << 4) /* AArch32 */
#define PSTATE_UAO   (UINT64_C(1) << 23)

#define SCTLR_E0E (UINT64_C(1) << 24)
#define SCTLR_EE  (UINT64_C(1) << 25)

static unsigned level_of(uint64_t pstate)
{
    return (pstate >> 2) & 3;
}

/* ---- registers ---- */

/* SP: SP_EL0 or SP_EL1, as PSTATE.SPSel says. */
static enum visor__a64_register base_register(const struct visor__a64_assist *assist)
{
    if (assist->insn.base != VISOR__A64_BASE_SP)
        return (enum visor__a64_register)assist->insn.base;
    return (assist->pstate & 0xf) == 5 ? VISOR__A64_SP_EL1 : VISOR__A64_SP_EL0;
}

static int get_base(uint64_t *out, const struct visor__a64_assist *assist)
{
    switch (assist->insn.base) {
    case VISOR__A64_BASE_PC: *out = assist->pc; return 0;
    case VISOR__A64_BASE_ZERO: *out = 0; return 0;
    default: return assist->ops->get(out, assist->context, base_register(assist));
    }
}

/* ---- where ---- */

/* DDI 0487, "ExtendReg" of the pseudocode. */
static uint64_t extended(uint64_t value, const struct visor__a64_insn *insn)
{
    if (insn->extend == VISOR__A64_UXTW)
        value = (uint32_t)value;
    else if (insn->extend == VISOR__A64_SXTW)
        value = (uint64_t)(int64_t)(int32_t)value;
    return value << insn->shift;
}

/* The address of the first byte. */
static int find_address(uint64_t *out, struct visor__a64_assist *assist, uint32_t zva_length)
{
    const struct visor__a64_insn *insn = &assist->insn;
    uint64_t base = 0, index = 0;
    int ret = get_base(&base, assist);

    if (ret == 0)
        ret = visor__a64_get_x(&index, assist, insn->index);
    if (ret < 0)
        return ret;
    assist->base = base + (uint64_t)insn->imm + extended(index, insn);
    *out = insn->writeback == VISOR__A64_POST_INDEX ? base : assist->base;
    assist->length = (uint32_t)insn->count * insn->elements * insn->size;
    if (insn->kind == VISOR__A64_ZERO) {
        assist->length = zva_length;
        assist->insn.size = zva_length < 8 ? 4 : 8;
        *out &= ~(uint64_t)(zva_length - 1);
    }
    return 0;
}

/* Translates one page's share of the access. The page that faulted has been checked already, by
 * hardware. */
static int translate(uint64_t *gpa, struct visor__a64_assist *assist,
                     const struct visor__a64_regime *regime, uint64_t address, uint64_t fault_gpa)
{
    const enum visor__a64_kind kind = assist->insn.kind;
    const bool el0 = level_of(assist->pstate) == 0 ||
                     (assist->insn.unprivileged && (assist->pstate & PSTATE_UAO) == 0);
    struct visor__a64_place place;
    int ret = visor__a64_translate(&place, regime, address, el0);

    if (ret != 0)
        return ret;
    *gpa = place.gpa;
    if (place.gpa / PAGE == fault_gpa / PAGE)
        return 0;
    if ((!place.writable && kind != VISOR__A64_LOAD) ||
        (!place.readable && kind != VISOR__A64_STORE && kind != VISOR__A64_ZERO))
        return VISOR__A64_REFUSED_PERMISSION;
    return 0;
}

/* Where all of the access goes: one page, or two. */
static int find_place(struct visor__a64_assist *assist, const struct visor__a64_regime *regime,
                      uint64_t address, uint64_t fault_gpa)
{
    int ret;

    assist->first = PAGE - (uint32_t)(address % PAGE);
    ret = translate(&assist->gpa[0], assist, regime, address, fault_gpa);
    if (ret != 0)
        return ret;
    assist->gpa[1] = assist->gpa[0];
    if (assist->length > assist->first)
        ret = translate(&assist->gpa[1], assist, regime, address + assist->first, fault_gpa);
    if (ret == 0 && assist->gpa[0] / PAGE != fault_gpa / PAGE &&
        assist->gpa[1] / PAGE != fault_gpa / PAGE)
        ret = VISOR__A64_REFUSED_ELSEWHERE;
    return ret;
}

/* ---- doing it ---- */

/* The next part of the access, at most 8 bytes; with the data to write. */
static void next_part(visor_io *part, const struct visor__a64_assist *assist)
{
    const uint32_t unit = assist->insn.size < 8 ? assist->insn.size : 8;
    const uint32_t done = assist->done;
    const bool in_first = done < assist->first;

    *part = (visor_io){
        .address = in_first ? assist->gpa[0] + done : assist->gpa[1] + (done - assist->first),
        .length = unit - done % unit,
        .is_write = assist->writing,
        .space = VISOR_MMIO,
    };
    if (in_first && part->length > assist->first - done)
        part->length = assist->first - done;
    if (part->is_write && assist->insn.kind != VISOR__A64_ZERO)
        memcpy(part->data, assist->data + done, part->length);
}

void visor__a64_answer(struct visor__a64_assist *assist, const visor_io *io)
{
    visor_io part;

    if (!assist->active)
        return;
    next_part(&part, assist);
    if (!assist->writing)
        memcpy(assist->data + assist->done, io->data, part.length);
    assist->done += part.length;
}

/* Does one pass over the access. MMIO: a part is for the caller. NONE: all done. */
static int transfer(visor_exit *exit, struct visor__a64_assist *assist)
{
    while (assist->done < assist->length) {
        visor_io part;
        int ret;

        next_part(&part, assist);
        ret = assist->ops->memory(assist->context, part.address, part.data, part.length,
                                  part.is_write);
        if (ret < 0)
            return ret;
        if (ret == 0) {
            exit->io = part;
            return VISOR_EXIT_MMIO;
        }
        visor__a64_answer(assist, &part);
    }
    return VISOR_EXIT_NONE;
}

/* Changes the registers: to the next instruction, as an instruction that is no branch does. */
static int finish(struct visor__a64_assist *assist)
{
    const struct visor__a64_ops *ops = assist->ops;
    const uint64_t pstate = assist->pstate & ~(PSTATE_SS | PSTATE_BTYPE);
    int ret = visor__a64_scatter(assist);

    if (ret == 0 && assist->insn.writeback != VISOR__A64_NO_WRITEBACK)
        ret = ops->set(assist->context, base_register(assist), assist->base);
    if (ret == 0 && pstate != assist->pstate)
        ret = ops->set(assist->context, VISOR__A64_PSTATE, pstate);
    if (ret == 0)
        ret = ops->set(assist->context, VISOR__A64_PC, assist->pc + 4);
    atomic_thread_fence(memory_order_seq_cst);
    return ret < 0 ? ret : VISOR_EXIT_NONE;
}

int visor__a64_next(visor_exit *exit, struct visor__a64_assist *assist)
{
    int ret;

    if (!assist->active)
        return VISOR_EXIT_NONE;
    ret = transfer(exit, assist);
    if (ret == VISOR_EXIT_NONE && assist->insn.kind == VISOR__A64_ATOMIC && !assist->writing) {
        ret = visor__a64_combine(assist);
        if (ret == 1) {
            assist->writing = true;
            assist->done = 0;
            ret = transfer(exit, assist);
        }
    }
    if (ret == VISOR_EXIT_NONE)
        ret = finish(assist);
    if (ret != VISOR_EXIT_MMIO)
        assist->active = false;
    return ret;
}

/* ---- the beginning ---- */

/* Reads the instruction at PC. It is being executed: its page is executable. */
static int fetch(uint32_t *word, struct visor__a64_assist *assist,
                 const struct visor__a64_regime *regime)
{
    struct visor__a64_place place;
    int ret;

    if (assist->pc % 4 != 0)
        return VISOR__A64_REFUSED_FETCH;
    ret = visor__a64_translate(&place, regime, assist->pc, level_of(assist->pstate) == 0);
    if (ret == 0)
        ret = assist->ops->memory(assist->context, place.gpa, word, sizeof(*word), false);
    if (ret < 0)
        return ret;
    return ret == 1 ? 0 : VISOR__A64_REFUSED_FETCH;
}

/* Whether all of the access is in writable memory: 1 or 0. */
static int is_memory(const struct visor__a64_assist *assist)
{
    int ret = assist->ops->memory(assist->context, assist->gpa[0], NULL, 1, true);

    if (ret == 1 && assist->length > assist->first)
        ret = assist->ops->memory(assist->context, assist->gpa[1], NULL, 1, true);
    return ret;
}

/* All up to the first part. NONE, a refusal or an error; *word stays 0 without an instruction. */
static int prepare(uint32_t *word, struct visor__a64_assist *assist, uint64_t fault_gpa,
                   uint32_t zva_length)
{
    const struct visor__a64_ops *ops = assist->ops;
    struct visor__a64_regime regime;
    uint64_t address;
    int ret = ops->get(&assist->pc, assist->context, VISOR__A64_PC);

    if (ret == 0)
        ret = ops->get(&assist->pstate, assist->context, VISOR__A64_PSTATE);
    if (ret < 0)
        return ret;
    if ((assist->pstate & PSTATE_NRW) != 0 || level_of(assist->pstate) > 1)
        return VISOR__A64_REFUSED_STATE;
    ret = visor__a64_regime_load(&regime, ops, assist->context, assist->pstate);
    if (ret == 0)
        ret = fetch(word, assist, &regime);
    if (ret == 0)
        ret = visor__a64_decode(&assist->insn, *word);
    if (ret != 0)
        return ret;
    assist->active = true;
    if (assist->insn.kind == VISOR__A64_NOTHING)
        return 0;
    assist->big_endian =
        (regime.sctlr & (level_of(assist->pstate) == 0 ? SCTLR_E0E : SCTLR_EE)) != 0;
    ret = find_address(&address, assist, zva_length);
    if (ret == 0)
        ret = find_place(assist, &regime, address, fault_gpa);
    if (ret != 0)
        return ret;
    assist->writing = assist->insn.kind == VISOR__A64_STORE || assist->insn.kind == VISOR__A64_ZERO;
    if (assist->insn.kind == VISOR__A64_STORE)
        return visor__a64_gather(assist);
    if (assist->insn.kind == VISOR__A64_ATOMIC) {
        ret = is_memory(assist);
        assist->active = ret == 0;
        return ret < 0 ? ret : 0;
    }
    return 0;
}

static const char *refusal_text(int refusal)
{
    switch (refusal) {
#define TEXT(id, text) \
    case VISOR__A64_REFUSED_##id: return text;
        VISOR__A64_REFUSALS(TEXT)
#undef TEXT
    default: return "";
    }
}

int visor__a64_start(visor_exit *exit, struct visor__a64_assist *assist,
                     const struct visor__a64_ops *ops, void *context, uint64_t fault_gpa,
                     uint64_t iss, uint32_t zva_length)
{
    uint32_t word = 0;
    int ret;

    *assist = (struct visor__a64_assist){.ops = ops, .context = context};
    atomic_thread_fence(memory_order_seq_cst);
    ret = prepare(&word, assist, fault_gpa, zva_length);
    if (ret == 0)
        return visor__a64_next(exit, assist);
    assist->active = false;
    if (ret < 0)
        return ret;
    memset(&exit->internal, 0, sizeof(exit->internal));
    exit->internal.suberror = (uint32_t)ret;
    exit->internal.text = refusal_text(ret);
    exit->internal.data_count = 3;
    exit->internal.data[0] = fault_gpa;
    exit->internal.data[1] = iss;
    exit->internal.data[2] = assist->pc;
    if (ret != VISOR__A64_REFUSED_STATE && ret != VISOR__A64_REFUSED_FETCH) {
        exit->internal.instruction_len = sizeof(word);
        memcpy(exit->internal.instruction, &word, sizeof(word));
    }
    return VISOR_EXIT_INTERNAL_ERROR;
}
