/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of what need not be the same: what the manual leaves undefined (SDM vol. 2, "Flags
 * Affected", "FPU Flags Affected"), and what Intel's and AMD's processors do differently, where
 * soft does as Intel's. Each with its reason.
 */
#include "silicon.h"

#define CF 0x001U
#define PF 0x004U
#define AF 0x010U
#define ZF 0x040U
#define SF 0x080U
#define OF 0x800U

/* ---- flags ---- */

static const struct {
    uint16_t id;
    uint16_t undefined;
} always[] = {
    {SOFT_INSN_AND, AF},
    {SOFT_INSN_OR, AF},
    {SOFT_INSN_XOR, AF},
    {SOFT_INSN_TEST, AF},
    {SOFT_INSN_MUL, SF | ZF | AF | PF},
    {SOFT_INSN_IMUL, SF | ZF | AF | PF},
    {SOFT_INSN_DIV, CF | OF | SF | ZF | AF | PF},
    {SOFT_INSN_IDIV, CF | OF | SF | ZF | AF | PF},
    {SOFT_INSN_BSF, CF | OF | SF | AF | PF},
    {SOFT_INSN_BSR, CF | OF | SF | AF | PF},
    {SOFT_INSN_BT, OF | SF | AF | PF}, /* ZF is left alone */
    {SOFT_INSN_BTS, OF | SF | AF | PF},
    {SOFT_INSN_BTR, OF | SF | AF | PF},
    {SOFT_INSN_BTC, OF | SF | AF | PF},
    {SOFT_INSN_TZCNT, OF | SF | AF | PF},
    {SOFT_INSN_LZCNT, OF | SF | AF | PF},
    {SOFT_INSN_ANDN, AF | PF},
    {SOFT_INSN_BLSI, AF | PF},
    {SOFT_INSN_BLSR, AF | PF},
    {SOFT_INSN_BLSMSK, AF | PF},
    {SOFT_INSN_BZHI, AF | PF},
    {SOFT_INSN_BEXTR, AF | SF | PF},
};

/* The masked count of a shift or rotate; -1: in a register that is not known. */
static int shift_count(const struct soft_insn *insn, const struct silicon_state *in)
{
    const struct soft_operand *last = &insn->operand[insn->operand_count - 1];
    const uint64_t mask = insn->operand_size == 8 ? 63 : 31;

    if (last->kind == SOFT_OPERAND_IMM)
        return (int)((uint64_t)insn->imm & mask);
    return in != NULL ? (int)(in->r[1] & mask) : -1;
}

static uint32_t undefined_shift(const struct soft_insn *insn, const struct silicon_state *in)
{
    const int count = shift_count(insn, in), bits = 8 * insn->operand_size;
    const bool unsigned_shift = insn->id == SOFT_INSN_SHL || insn->id == SOFT_INSN_SHR;
    const bool wide = insn->id == SOFT_INSN_SHLD || insn->id == SOFT_INSN_SHRD;

    if (count == 0)
        return 0;
    switch (insn->id) {
    case SOFT_INSN_ROL:
    case SOFT_INSN_ROR:
    case SOFT_INSN_RCL:
    case SOFT_INSN_RCR: return count == 1 ? 0 : OF;
    default: break;
    }
    if (wide && (count < 0 || count > bits))
        return CF | OF | SF | ZF | AF | PF;
    return AF | (count != 1 ? OF : 0) | (unsigned_shift && (count < 0 || count >= bits) ? CF : 0);
}

bool silicon_is_comparison_to_flags(unsigned id)
{
    return id == SOFT_INSN_FCOMI || id == SOFT_INSN_FCOMIP || id == SOFT_INSN_FUCOMI ||
           id == SOFT_INSN_FUCOMIP;
}

uint32_t silicon_undefined(const struct soft_insn *insn, const struct silicon_state *in)
{
    switch (insn->id) {
    case SOFT_INSN_ROL:
    case SOFT_INSN_ROR:
    case SOFT_INSN_RCL:
    case SOFT_INSN_RCR:
    case SOFT_INSN_SHL:
    case SOFT_INSN_SHR:
    case SOFT_INSN_SAR:
    case SOFT_INSN_SHLD:
    case SOFT_INSN_SHRD: return undefined_shift(insn, in);
    default: break;
    }
    /* With an unmasked exception AMD's processors set the flags all the same; see also
     * undefined_flags() of compare.c. */
    if (silicon_is_comparison_to_flags(insn->id))
        return in != NULL && (silicon_get(in->image, 2) & 0x3f) == 0x3f
                   ? 0
                   : CF | OF | SF | ZF | AF | PF;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        if (always[i].id == insn->id)
            return always[i].undefined;
    }
    return 0;
}

/* "If the count is greater than the operand size, the result is undefined" (SDM vol. 2B, SHLD). */
static bool is_shifted_too_far(const struct soft_insn *insn, const struct silicon_state *in)
{
    int count;

    if (insn->id != SOFT_INSN_SHLD && insn->id != SOFT_INSN_SHRD)
        return false;
    count = shift_count(insn, in);
    return count > 8 * insn->operand_size || (count < 0 && insn->operand_size == 2);
}

/* Which features and random numbers a machine has, what time it is there. */
static bool is_own(unsigned id)
{
    return id == SOFT_INSN_CPUID || id == SOFT_INSN_RDTSC || id == SOFT_INSN_RDTSCP ||
           id == SOFT_INSN_RDPID || id == SOFT_INSN_RDRAND || id == SOFT_INSN_RDSEED ||
           id == SOFT_INSN_XGETBV;
}

bool silicon_result_undefined(const struct soft_insn *insn, const struct silicon_state *in)
{
    return is_shifted_too_far(insn, in) || is_own(insn->id) ||
           (insn->id == SOFT_INSN_BSWAP && insn->operand_size == 2);
}

void silicon_undefined_registers(uint64_t out[16], const struct soft_insn *insn,
                                 const struct silicon_state *in)
{
    const struct soft_operand *to = &insn->operand[0];
    const uint64_t low = UINT32_MAX;
    const uint64_t operand = insn->operand_size == 8   ? UINT64_MAX
                             : insn->operand_size == 4 ? UINT32_MAX
                                                       : UINT16_MAX;

    switch (insn->id) {
    /* The upper halves are cleared. */
    case SOFT_INSN_CPUID:
        for (unsigned i = 0; i < 4; i++)
            out[i] |= low;
        break;
    case SOFT_INSN_RDTSCP: out[1] |= low; /* fall through */
    case SOFT_INSN_RDTSC:
    case SOFT_INSN_XGETBV:
        out[0] |= low;
        out[2] |= low;
        break;
    case SOFT_INSN_RDPID: out[to->reg] |= low; break;
    case SOFT_INSN_RDRAND:
    case SOFT_INSN_RDSEED: out[to->reg] |= operand; break;
    /* "The result is undefined" (SDM vol. 2A, BSWAP). */
    case SOFT_INSN_BSWAP: out[to->reg] |= insn->operand_size == 2 ? operand : 0; break;
    case SOFT_INSN_SHLD:
    case SOFT_INSN_SHRD:
        if (to->kind == SOFT_OPERAND_GPR && is_shifted_too_far(insn, in))
            out[to->reg] |= operand;
        break;
    default: break;
    }
}

/* ---- the status word of the x87 ---- */

#define X87_IE 0x0001U
#define X87_SF 0x0040U
#define X87_ES 0x0080U
#define X87_C0 0x0100U
#define X87_C1 0x0200U
#define X87_C2 0x0400U
#define X87_C3 0x4000U

static bool is_comparison(unsigned id)
{
    return id == SOFT_INSN_FCOM || id == SOFT_INSN_FCOMP || id == SOFT_INSN_FCOMPP ||
           id == SOFT_INSN_FUCOM || id == SOFT_INSN_FUCOMP || id == SOFT_INSN_FUCOMPP ||
           id == SOFT_INSN_FICOM || id == SOFT_INSN_FICOMP || id == SOFT_INSN_FTST;
}

/* status: after the instruction. */
uint32_t silicon_undefined_status(unsigned id, uint64_t status, bool is_nan)
{
    /* C1 says how the result was rounded. */
    if (silicon_is_transcendental(id))
        return X87_C1;
    /* With an unmasked exception AMD's set the condition codes all the same. */
    if (is_comparison(id) && (status & X87_ES) != 0)
        return X87_C0 | X87_C2 | X87_C3;
    /* AMD's leave C1 alone where there is no stack fault. */
    if (silicon_is_comparison_to_flags(id))
        return X87_C1;
    switch (id) {
    case SOFT_INSN_FCMOVB:
    case SOFT_INSN_FCMOVE:
    case SOFT_INSN_FCMOVBE:
    case SOFT_INSN_FCMOVU:
    case SOFT_INSN_FCMOVNB:
    case SOFT_INSN_FCMOVNE:
    case SOFT_INSN_FCMOVNBE:
    case SOFT_INSN_FCMOVNU: return X87_C1;
    case SOFT_INSN_FFREE:
    case SOFT_INSN_FFREEP: return X87_C0 | X87_C1 | X87_C2 | X87_C3;
    /* There is no quotient. */
    case SOFT_INSN_FPREM:
    case SOFT_INSN_FPREM1:
        return (status & (X87_IE | X87_ES)) != 0 || is_nan ? X87_C0 | X87_C1 | X87_C2 | X87_C3 : 0;
    /* From an empty register to one that is not: which of both faults it is. */
    case SOFT_INSN_FLD: return (status & X87_SF) != 0 ? X87_C1 : 0;
    default: return 0;
    }
}

/* ---- vendors ---- */

/* With EFLAGS.AC, AMD's processors check vectors of 16 and 32 bytes where Intel's need not (SDM
 * vol. 3A, 6.15, "Interrupt 17"). */
bool silicon_checks_alignment(const struct silicon_form *form)
{
    /* ENTER: whether the new top of the stack is looked at; bytes as one vector, or not. */
    if (form->id == SOFT_INSN_ENTER || form->id == SOFT_INSN_MASKMOVQ)
        return false;
    switch (form->group) {
    case SILICON_SSE:
    case SILICON_AVX:
    case SILICON_X87: /* tables there: FSAVE and so on */
    case SILICON_STATE: return false;
    default: return true;
    }
}

/* F2XM1 and FYL2XP1 are undefined out of the ranges that the manual gives. */
static bool out_of_range(const struct soft_insn *insn, const struct silicon_state *in)
{
    const unsigned exponent = (unsigned)silicon_get(in->image + SILICON_IMAGE_ST + 8, 2) & 0x7fff;

    return exponent != 0x7fff && exponent >= (insn->id == SOFT_INSN_F2XM1 ? 0x3fff : 0x3ffd);
}

/* Legacy SHA instructions want an aligned operand on Intel's processors (SDM vol. 2A, table 2-21),
 * not on AMD's. */
static bool is_unaligned_sha(const struct silicon_case *c)
{
    return c->insn[0].feature == SOFT_FEATURE_SHA &&
           c->insn[0].operand[1].kind == SOFT_OPERAND_MEM && (silicon_effective(c, 0) & 15) != 0;
}

/* Bit 17 of MXCSR, in memory: AMD's processors have it. */
static bool has_mm(const struct silicon_case *c, unsigned offset)
{
    const uint64_t at = silicon_effective(c, 0) + offset - SILICON_DATA;

    return at <= SILICON_PAGE - 4 && (silicon_get(c->in.data + at, 4) & 0x20000) != 0;
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* An image that is neither aligned nor at a canonical address: which fault it is. */
static bool is_unaligned(const struct silicon_case *c)
{
    const uint64_t at = silicon_effective(c, 0);

    return (at & 15) != 0 && !is_canonical(at);
}

/* Neither the target of an indirect call nor the stack is one: which fault it is. */
static bool is_doubly_bad_call(const struct silicon_case *c)
{
    const struct soft_operand *operand = &c->insn[0].operand[0];
    const uint64_t stack = c->in.r[4] - 8 - SILICON_DATA;
    uint64_t to = SILICON_CODE, at;

    if (operand->kind == SOFT_OPERAND_GPR)
        to = c->in.r[operand->reg];
    at = silicon_effective(c, 0) - SILICON_DATA;
    if (operand->kind == SOFT_OPERAND_MEM && at <= SILICON_PAGE - 8)
        to = silicon_get(c->in.data + at, 8);
    return stack > SILICON_PAGE - 8 && !is_canonical(to);
}

static bool is_in_data(uint64_t address, unsigned size)
{
    return address - SILICON_DATA <= SILICON_PAGE - size;
}

static bool is_misaligned(const struct silicon_case *c, uint64_t address, unsigned size)
{
    return (c->in.flags & 0x40000) != 0 && (address & (size - 1)) != 0;
}

/* To another ring, with a bad selector and an outer stack that cannot be read: which of both faults
 * it is. The selector's comes first in SDM vol. 2B, RET, the stack's on AMD's processors. */
static bool is_doubly_bad_return(const struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const unsigned size = insn->operand_size;
    const uint64_t sp = c->in.r[4], release = insn->operand_count > 0 ? insn->imm & 0xffff : 0;
    const uint64_t outer = sp + 2 * size + release;

    return is_in_data(sp, 2 * size) &&
           (silicon_get(c->in.data + (sp + size - SILICON_DATA), 2) & 3) != 3 &&
           (!is_in_data(outer, 2 * size) || is_misaligned(c, outer, size));
}

/* To an address that is not canonical, with a bad SS: the error code is either's. */
static bool is_doubly_bad_iret(const struct silicon_case *c)
{
    const unsigned size = c->insn[0].operand_size;
    const uint64_t at = c->in.r[4] - SILICON_DATA;

    return at <= SILICON_PAGE - 5 * size && !is_canonical(silicon_get(c->in.data + at, size)) &&
           silicon_get(c->in.data + at + 4 * size, 2) != 0x2b;
}

/* INT: calls of the kernel, and what hypervisors below it have for themselves. */
static bool is_kernels_vector(unsigned vector)
{
    return vector < 0x20 || vector == 0x80;
}

bool silicon_is_vendors(const struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const uint64_t to = c->in.r[7] - SILICON_DATA;

    switch (insn->id) {
    case SOFT_INSN_F2XM1:
    case SOFT_INSN_FYL2XP1: return out_of_range(insn, &c->in);
    /* Whether bytes that are not stored can fault is up to the processor (SDM vol. 2B, MASKMOVDQU).
     */
    case SOFT_INSN_MASKMOVQ:
    case SOFT_INSN_MASKMOVDQU:
        return to > SILICON_PAGE - 16 ||
               (insn->prefixes & (SOFT_PREFIX_SEGMENT | SOFT_PREFIX_67)) != 0;
    /* The processor may have more components. */
    case SOFT_INSN_XRSTOR:
        return is_unaligned(c) || has_mm(c, SILICON_IMAGE_MXCR) ||
               (c->in.r[0] & ~UINT64_C(7)) != 0 || c->in.r[2] != 0;
    case SOFT_INSN_CALL: return is_doubly_bad_call(c);
    case SOFT_INSN_LDMXCSR: return has_mm(c, 0);
    case SOFT_INSN_XSAVE:
    case SOFT_INSN_XSAVEC:
    case SOFT_INSN_XSAVEOPT:
        return is_unaligned(c) || (c->in.r[0] & ~UINT64_C(7)) != 0 || c->in.r[2] != 0;
    case SOFT_INSN_INT: return is_kernels_vector(insn->imm & 0xff);
    case SOFT_INSN_RETF: return is_doubly_bad_return(c);
    case SOFT_INSN_IRET: return is_doubly_bad_iret(c);
    /* From memory with 66: "r/m16" (SDM vol. 2B, MOVSXD), where AMD's processors fetch 32 bits. */
    case SOFT_INSN_MOVSXD:
        return insn->operand_size == 2 && insn->operand[1].kind == SOFT_OPERAND_MEM &&
               (!is_in_data(silicon_effective(c, 0), 4) ||
                is_misaligned(c, silicon_effective(c, 0), 4));
    case SOFT_INSN_FXSAVE: return is_unaligned(c);
    case SOFT_INSN_FXRSTOR: return is_unaligned(c) || has_mm(c, SILICON_IMAGE_MXCR);
    default: return is_unaligned_sha(c);
    }
}

/*
 * MXCSR_MASK of FXSAVE: AMD's processors have bit 17, MM. The last opcode of the x87, of FXSAVE and
 * of FNSTENV and FNSAVE with 32 bits: newer processors of Intel, and soft, have it after unmasked
 * exceptions only (SDM vol. 1, 8.1.9.1).
 */
bool silicon_is_vendors_byte(const struct silicon_case *c, unsigned at)
{
    for (unsigned i = 0; i < c->count; i++) {
        const uint64_t offset = at - (silicon_effective(c, i) - SILICON_DATA);

        switch (c->insn[i].id) {
        case SOFT_INSN_SHLD:
        case SOFT_INSN_SHRD:
            if (offset < c->insn[i].operand_size &&
                is_shifted_too_far(&c->insn[i], i == 0 ? &c->in : NULL))
                return true;
            break;
        case SOFT_INSN_XSAVE:
        case SOFT_INSN_XSAVEC:
        case SOFT_INSN_XSAVEOPT:
        case SOFT_INSN_FXSAVE:
            if (offset == 6 || offset == 7 || (offset >= 28 && offset < 32))
                return true;
            break;
        case SOFT_INSN_FNSTENV:
        case SOFT_INSN_FNSAVE:
            if (c->insn[i].operand_size != 2 && (offset == 18 || offset == 19))
                return true;
            break;
        default: break;
        }
    }
    return false;
}
