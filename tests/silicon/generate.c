/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A case: an instruction of the wanted form with random registers, memory operand, immediate and
 * prefixes; or up to four, whose later ones reach memory only at addresses that the bytes alone
 * decide. The software CPU translates several into one block, with flags that nobody reads left
 * out, which single ones would not show.
 */
#include <string.h>

#include "numbers.h"
#include "silicon.h"

/* ---- random numbers ---- */

static uint64_t random_state;

void silicon_seed(uint64_t seed, uint64_t number)
{
    random_state =
        (seed * UINT64_C(0x9e3779b97f4a7c15) + number * UINT64_C(0xd1342543de82ef95)) | 1;
    for (unsigned i = 0; i < 4; i++)
        silicon_random();
}

uint64_t silicon_random(void)
{
    return numbers_next(&random_state);
}

unsigned silicon_below(unsigned n)
{
    return numbers_below(&random_state, n);
}

uint32_t silicon_f32(void)
{
    return numbers_f32(&random_state);
}

uint64_t silicon_f64(void)
{
    return numbers_f64(&random_state);
}

uint64_t silicon_edge(void)
{
    static const unsigned widths[] = {7, 8, 15, 16, 31, 32, 63};
    uint64_t near = (uint64_t)silicon_below(5) - 2;

    switch (silicon_below(6)) {
    case 0: return silicon_random();
    case 1: return near;
    case 2: return (UINT64_C(1) << widths[silicon_below(7)]) + near;
    case 3: return -(UINT64_C(1) << widths[silicon_below(7)]) + near;
    case 4: return silicon_below(70);
    default: return silicon_random() >> silicon_below(64);
    }
}

/* ---- encoding ---- */

struct encoding {
    uint8_t code[16];
    unsigned length, disp, disp_size;
};

static void put_memory(struct encoding *e, unsigned *mod, unsigned *rm, bool vsib, bool fixed)
{
    unsigned size;

    if (fixed) { /* RIP-relative, or a displacement alone */
        *mod = 0;
        *rm = vsib || silicon_below(3) == 0 ? 4 : 5;
    }
    size = *mod == 1 ? 1 : *mod == 2 || (*mod == 0 && *rm == 5) ? 4 : 0;
    if (*rm == 4) {
        unsigned sib = fixed ? 0x25 : silicon_below(256);

        e->code[e->length++] = (uint8_t)sib;
        if (*mod == 0 && (sib & 7) == 5)
            size = 4;
    }
    e->disp = e->length;
    e->disp_size = size;
    silicon_put(e->code + e->length, silicon_below(64) - 32ULL, size);
    e->length += size;
}

static void put_legacy_prefixes(struct encoding *e, const struct silicon_form *form, bool fixed)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    static const uint8_t segments[] = {0x64, 0x65, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x3e};

    if (form->memory && !form->vex && silicon_below(10) == 0)
        e->code[e->length++] = 0xf0;
    if (!fixed && silicon_below(8) == 0)
        e->code[e->length++] = segments[silicon_below(8)];
    if (!fixed && silicon_below(10) == 0)
        e->code[e->length++] = 0x67;
    /* F2 and F3 go before 66, wherever it is. */
    if (form->prefix > 1 && !form->vex && silicon_below(10) == 0)
        e->code[e->length++] = 0x66;
    /* A REX that is not the last prefix counts for nothing (SDM vol. 2A, 2.2.1). */
    if (form->prefix != 0 && !form->vex && silicon_below(16) == 0)
        e->code[e->length++] = (uint8_t)(0x40 | silicon_below(16));
    if (form->prefix != 0 && !form->vex)
        e->code[e->length++] = prefixes[form->prefix];
}

/* Everything but the immediate, for which there are random bytes. At most 16. */
static void encode(struct encoding *e, const struct silicon_form *form, bool free_reg, bool free_rm,
                   bool fixed)
{
    const bool modrm = silicon_has_modrm(form),
               vsib = form->vex && form->map == 2 && form->opcode >= 0x90 && form->opcode <= 0x93;
    unsigned reg = free_reg ? silicon_below(16) : form->reg | silicon_below(2) << 3;
    unsigned rm = free_rm ? silicon_below(8) : form->rm, high = silicon_below(8);
    unsigned mod = form->memory ? silicon_below(3) : 3;
    unsigned at;

    /* No index: X, which VEX has the other way round. */
    if (fixed)
        high = form->vex ? high | 2 : high & ~2U;
    memset(e, 0, sizeof(*e));
    put_legacy_prefixes(e, form, fixed);
    if (form->vex) {
        unsigned vvvv = silicon_below(4) != 0 ? silicon_below(16) : 0;
        unsigned last = (~vvvv & 15) << 3 | (unsigned)form->l << 2 | form->prefix;

        if (form->map == 1 && !form->w && silicon_below(4) == 0) { /* two bytes will do */
            e->code[e->length++] = 0xc5;
            e->code[e->length++] = (uint8_t)((reg < 8 ? 0x80U : 0U) | last);
        } else {
            e->code[e->length++] = 0xc4;
            e->code[e->length++] = (uint8_t)((reg < 8 ? 0x80U : 0U) | (high & 3) << 5 | form->map);
            e->code[e->length++] = (uint8_t)((unsigned)form->w << 7 | last);
        }
    } else {
        unsigned rex = (unsigned)form->w << 3 | (reg >= 8 ? 4U : 0U) | (high & 3);

        /* Also one without a bit: SPL instead of AH. */
        if (form->w || silicon_below(3) != 0)
            e->code[e->length++] = (uint8_t)(0x40 | rex);
        if (form->map > 0)
            e->code[e->length++] = 0x0f;
        if (form->map > 1)
            e->code[e->length++] = form->map == 2 ? 0x38 : 0x3a;
    }
    e->code[e->length++] = form->opcode;
    at = e->length;
    if (modrm) {
        if (vsib)
            rm = 4;
        e->length++;
        if (form->memory)
            put_memory(e, &mod, &rm, vsib, fixed);
        e->code[at] = (uint8_t)(mod << 6 | (reg & 7) << 3 | rm);
    } else {
        e->disp = e->length;
        e->disp_size = form->map == 0 && form->opcode >= 0xa0 && form->opcode <= 0xa3 ? 8 : 0;
    }
    if (e->length < 16) {
        uint64_t imm = silicon_edge();

        if (silicon_below(2) == 0)
            imm = silicon_random();
        silicon_put(e->code + e->length, imm, 16 - e->length < 8 ? 16 - e->length : 8);
    }
}

/* ---- instructions ---- */

/* Of groups whose operands are registers, or memory that the bytes alone decide. */
static bool can_follow(const struct silicon_form *form)
{
    if (form->map == 0 && !form->vex && form->opcode >= 0xa0 && form->opcode <= 0xa3)
        return false; /* MOV with an address of 64 bits */
    if (form->memory && (form->id == SOFT_INSN_SHA1RNDS4 || form->id == SOFT_INSN_SHA1NEXTE ||
                         form->id == SOFT_INSN_SHA1MSG1 || form->id == SOFT_INSN_SHA1MSG2 ||
                         form->id == SOFT_INSN_SHA256RNDS2 || form->id == SOFT_INSN_SHA256MSG1 ||
                         form->id == SOFT_INSN_SHA256MSG2))
        return false; /* its operand may have to be aligned, as above */
    switch (form->group) {
    case SILICON_BRANCH:
    case SILICON_STACK:
    case SILICON_STRING:
    case SILICON_STATE:
    case SILICON_SEGMENT:
    case SILICON_OWN:
    case SILICON_PRIVILEGED: return false;
    case SILICON_AVX: /* gathers */
        return !(form->map == 2 && form->opcode >= 0x90 && form->opcode <= 0x93) &&
               form->id != SOFT_INSN_MASKMOVDQU;
    case SILICON_BIT: return !form->memory; /* the bit may be far away */
    case SILICON_X87: /* undefined bits of the status word in memory or AX, or no exceptions in it
                       */
        return form->id != SOFT_INSN_FNCLEX && form->id != SOFT_INSN_FNSTSW &&
               form->id != SOFT_INSN_FNSTENV && form->id != SOFT_INSN_FNSAVE;
    default:
        return form->id != SOFT_INSN_XLAT && form->id != SOFT_INSN_MASKMOVQ &&
               form->id != SOFT_INSN_MASKMOVDQU;
    }
}

void silicon_set_displacement(struct silicon_case *c, unsigned number, uint64_t address)
{
    struct soft_insn *insn = &c->insn[number];

    if (c->disp_size < 4)
        return;
    if (insn->memory.base == SOFT_REG_RIP)
        address -= SILICON_START + c->start[number] + insn->length;
    silicon_put(c->code + c->disp_at, address, c->disp_size);
    soft_decode(insn, c->code + c->start[number], insn->length, SOFT_MODE_64);
}

/* Appends an instruction of this form. */
static bool append(struct silicon_case *c, const struct silicon_form *form)
{
    const unsigned number = c->count;
    struct soft_insn *insn = &c->insn[number];

    for (unsigned attempt = 0; attempt < 40; attempt++) {
        struct encoding e;
        int length;

        encode(&e, form, (attempt & 1) == 0, (attempt & 2) == 0 || form->memory,
               number > 0 && form->memory);
        length = soft_decode(insn, e.code, 15, SOFT_MODE_64);
        if (length <= 0 || silicon_signature(insn) != form->signature)
            continue;
        memcpy(c->code + c->length, e.code, (unsigned)length);
        c->start[number] = (uint8_t)c->length;
        c->length += (unsigned)length;
        c->count++;
        c->disp_at = (uint8_t)(c->start[number] + e.disp);
        c->disp_size = (uint8_t)(e.disp_size < 8 ? e.disp_size : insn->address_size);
        if (number > 0 && form->memory)
            silicon_set_displacement(c, number,
                                     SILICON_DATA + 0x700 + 16 * silicon_below(32) +
                                         (silicon_below(4) == 0 ? silicon_below(16) : 0));
        return true;
    }
    return false;
}

/* enum soft_flag as EFLAGS has them. */
static uint32_t eflags(unsigned flags)
{
    static const uint16_t bits[] = {0x1, 0x4, 0x10, 0x40, 0x80, 0x800, 0x400};
    uint32_t out = 0;

    for (unsigned i = 0; i < 7; i++)
        out |= (flags >> i & 1) != 0 ? bits[i] : 0;
    return out;
}

/* Conditions and what else the decoder knows of. */
static uint32_t flags_read(const struct soft_insn *insn)
{
    static const uint16_t conditions[] = {0x800, 0x1, 0x40, 0x41, 0x80, 0x4, 0x880, 0x8c0};

    if (insn->id == SOFT_INSN_CMOVCC || insn->id == SOFT_INSN_SETCC || insn->id == SOFT_INSN_JCC)
        return conditions[insn->condition >> 1];
    return eflags(insn->flags_read);
}

static bool is_approximate(const struct soft_insn *insn)
{
    return silicon_is_transcendental(insn->id) || silicon_is_f32_approximation(insn->id);
}

/* More instructions behind the first, as long as none depends on what is undefined. */
static void extend(struct silicon_case *c)
{
    const unsigned want = 2 + silicon_below(SILICON_INSNS - 1);

    c->in.flags &= ~UINT64_C(0x40000); /* AC: see silicon_checks_alignment() */
    for (unsigned attempt = 0; attempt < 12 && c->count < want; attempt++) {
        const struct silicon_form *form = &silicon_forms[silicon_below(silicon_form_count)];
        const struct soft_insn *insn = &c->insn[c->count];
        const unsigned length = c->length;

        if (!can_follow(form) || !append(c, form))
            continue;
        if ((flags_read(insn) & c->undefined) != 0 || is_approximate(insn) ||
            silicon_result_undefined(insn, NULL)) {
            c->count--;
            c->length = length;
            continue;
        }
        c->undefined &= ~eflags(insn->flags_written);
        c->undefined |= silicon_undefined(insn, NULL);
    }
}

static bool goes_elsewhere(const struct soft_insn *insn)
{
    return (insn->attributes & SOFT_ATTR_BRANCH) != 0 || insn->id == SOFT_INSN_CALLF ||
           insn->id == SOFT_INSN_JMPF || insn->id == SOFT_INSN_RETF || insn->id == SOFT_INSN_IRET ||
           insn->id == SOFT_INSN_INT;
}

bool silicon_decode(struct silicon_case *c)
{
    unsigned at = 0;

    for (c->count = 0; at < c->length; c->count++) {
        int length;

        if (c->count == SILICON_INSNS)
            return false;
        c->start[c->count] = (uint8_t)at;
        length = soft_decode(&c->insn[c->count], c->code + at, c->length - at, SOFT_MODE_64);
        if (length <= 0)
            return false;
        at += (unsigned)length;
    }
    c->branches = false;
    c->undefined = 0;
    for (unsigned i = 0; i < c->count; i++) {
        c->undefined &= ~eflags(c->insn[i].flags_written);
        c->undefined |= silicon_undefined(&c->insn[i], i == 0 ? &c->in : NULL);
        c->branches |= goes_elsewhere(&c->insn[i]);
    }
    return c->count > 0;
}

bool silicon_generate(struct silicon_case *out, const struct silicon_form *form)
{
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        out->length = out->count = 0;
        out->undefined = 0;
        if (!append(out, form))
            return false;
        silicon_state_random(&out->in);
        if (!silicon_state_aim(out, 0) || silicon_is_vendors(out))
            continue;
        out->branches = goes_elsewhere(&out->insn[0]);
        if (!silicon_checks_alignment(form))
            out->in.flags &= ~UINT64_C(0x40000);
        out->undefined = silicon_undefined(&out->insn[0], &out->in);
        if (can_follow(form) && !is_approximate(&out->insn[0]) &&
            !silicon_result_undefined(&out->insn[0], &out->in) && silicon_below(4) == 0)
            extend(out);
        return true;
    }
    return false;
}
