/* SPDX-License-Identifier: BSD-3-Clause */
/* x87 arithmetic, comparisons, loads and stores. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/x87.h"

void x87_begin(struct soft_cpu *cpu, const struct soft_uop *op, bool has_memory)
{
    struct soft_fpu *fpu = &cpu->fpu;

    if ((fpu->status & X87_ES) != 0 && (cpu->cr0 & SOFT_CR0_NE) != 0)
        soft_raise(cpu, op, SOFT_MF);
    fpu->last_ip = soft_rip(cpu, op);
    fpu->last_cs = cpu->seg[SOFT_SEG_CS].selector;
    if (has_memory) {
        fpu->last_dp = soft_address(cpu, op);
        fpu->last_ds = cpu->seg[SOFT_SEG_DS].selector;
    }
}

static void flag(struct soft_fpu *fpu, unsigned flags)
{
    fpu->status |= (uint16_t)flags;
    if ((fpu->status & ~fpu->control & 0x3f) != 0)
        fpu->status |= X87_ES | X87_B;
}

bool x87_finish(struct soft_cpu *cpu, const struct f80_context *c)
{
    struct soft_fpu *fpu = &cpu->fpu;
    const unsigned before = F80_IE | F80_DE | F80_ZE;
    unsigned flags = c->flags;
    bool goes_on;

    /* The order of SDM vol. 1, 4.9.2: invalid operations and divisions by zero come before denormal
     * operands, and where one of these is unmasked there is no result that could be inexact. */
    if ((flags & (F80_IE | F80_ZE)) != 0)
        flags &= ~F80_DE;
    goes_on = (flags & ~fpu->control & before) == 0;
    if (!goes_on)
        flags &= before;
    fpu->status &= (uint16_t)~X87_C1;
    if (c->up && goes_on)
        fpu->status |= X87_C1;
    flag(fpu, flags);
    return goes_on;
}

bool x87_stack_fault(struct soft_cpu *cpu, bool overflow)
{
    struct soft_fpu *fpu = &cpu->fpu;

    fpu->status &= (uint16_t)~X87_C1;
    flag(fpu, F80_IE | X87_SF | (overflow ? X87_C1 : 0));
    return (fpu->control & F80_IE) != 0;
}

static struct f80_context context(const struct soft_cpu *cpu)
{
    return (struct f80_context){.control = cpu->fpu.control};
}

/* ---- operands ---- */

/* From memory. *c gets what the conversion flags. */
static struct soft_f80 fetch(struct soft_cpu *cpu, const struct soft_uop *op, struct f80_context *c)
{
    uint64_t address = soft_address(cpu, op);
    uint8_t image[10];
    struct soft_f80 value;

    switch (op->src2) {
    case X87_F32: return f80_from_f32(c, soft_read32(cpu, op, address));
    case X87_F64: return f80_from_f64(c, soft_read64(cpu, op, address));
    case X87_I16: return f80_from_int((int16_t)soft_read16(cpu, op, address));
    case X87_I32: return f80_from_int((int32_t)soft_read32(cpu, op, address));
    case X87_I64: return f80_from_int((int64_t)soft_read64(cpu, op, address));
    default: break;
    }
    soft_read_as(image, cpu, op, address, 10, soft_rights(cpu));
    if (op->src2 == X87_BCD)
        return f80_from_bcd(image);
    memcpy(&value.significand, image, 8);
    memcpy(&value.sign_exponent, image + 8, 2);
    return value;
}

/* ---- arithmetic ---- */

static struct soft_f80 compute(struct f80_context *c, unsigned which, struct soft_f80 a,
                               struct soft_f80 b)
{
    switch (which) {
    case X87_ADD: return f80_add(c, a, b);
    case X87_MUL: return f80_mul(c, a, b);
    case X87_SUB: return f80_sub(c, a, b);
    case X87_SUBR: return f80_sub(c, b, a);
    case X87_DIV: return f80_div(c, a, b);
    default: return f80_div(c, b, a);
    }
}

/* A NaN comes before a denormal operand (SDM vol. 1, 4.9.2), also one that was met on its way from
 * memory. */
static void not_denormal(struct f80_context *c, struct soft_f80 a, struct soft_f80 b)
{
    if (f80_is_nan(a) || f80_is_nan(b))
        c->flags &= (uint16_t)~F80_DE;
}

SOFT_HANDLER(soft_op_x87_arithmetic)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    struct soft_f80 b, result = f80_indefinite();
    bool from_memory = op->src2 != X87_ST, empty;

    x87_begin(cpu, op, from_memory);
    b = from_memory ? fetch(cpu, op, &c) : *x87_st(fpu, op->src);
    /* Which of two NaNs is the result depends on whether they are signalling (SDM vol. 1, table
     * 4-7): what the conversion has made of one does not count. */
    if ((c.flags & F80_IE) != 0)
        b.significand &= ~F80_QUIET;
    empty = x87_is_empty(fpu, op->dst) || (!from_memory && x87_is_empty(fpu, op->src));
    if (empty) {
        if (!x87_stack_fault(cpu, false))
            SOFT_NEXT_FROM_FRAME;
    } else {
        result = compute(&c, op->aux, *x87_st(fpu, op->dst), b);
        not_denormal(&c, *x87_st(fpu, op->dst), b);
        if (!x87_finish(cpu, &c))
            SOFT_NEXT_FROM_FRAME;
    }
    x87_set(fpu, op->dst, result);
    x87_pop(fpu, op->aux2 & 3u);
    SOFT_NEXT_FROM_FRAME;
}

/* ---- comparisons ---- */

static void set_order(struct soft_cpu *cpu, enum f80_order order, bool to_eflags)
{
    static const uint16_t codes[] = {[F80_LESS] = X87_C0,
                                     [F80_EQUAL] = X87_C3,
                                     [F80_GREATER] = 0,
                                     [F80_UNORDERED] = X87_C3 | X87_C2 | X87_C0};
    uint16_t code = codes[order];

    if (to_eflags) {
        soft_flags_set_arithmetic(cpu, ((code & X87_C3) != 0 ? SOFT_ZF : 0) |
                                           ((code & X87_C2) != 0 ? SOFT_PF : 0) |
                                           ((code & X87_C0) != 0 ? SOFT_CF : 0));
        return;
    }
    cpu->fpu.status = (uint16_t)((cpu->fpu.status & ~(X87_C3 | X87_C2 | X87_C0)) | code);
}

static bool compare(struct soft_cpu *cpu, struct f80_context *c, struct soft_f80 b, bool empty,
                    unsigned how)
{
    struct soft_fpu *fpu = &cpu->fpu;
    enum f80_order order = F80_UNORDERED;
    bool goes_on;

    if (empty || x87_is_empty(fpu, 0)) {
        goes_on = x87_stack_fault(cpu, false);
    } else {
        order = f80_compare(c, *x87_st(fpu, 0), b, (how & 1) != 0);
        not_denormal(c, *x87_st(fpu, 0), b);
        goes_on = x87_finish(cpu, c);
    }
    if (goes_on)
        set_order(cpu, order, (how & 2) != 0);
    return goes_on;
}

SOFT_HANDLER(soft_op_x87_compare)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    bool from_memory = op->src2 != X87_ST;
    struct soft_f80 b;

    x87_begin(cpu, op, from_memory);
    b = from_memory ? fetch(cpu, op, &c) : *x87_st(fpu, op->src);
    if (compare(cpu, &c, b, !from_memory && x87_is_empty(fpu, op->src), op->aux))
        x87_pop(fpu, op->aux2 & 3u);
    SOFT_NEXT_FROM_FRAME;
}

/* ---- loads ---- */

static void push(struct soft_cpu *cpu, struct soft_f80 value)
{
    struct soft_fpu *fpu = &cpu->fpu;

    if (!x87_is_empty(fpu, 7)) {
        if (!x87_stack_fault(cpu, true))
            return;
        value = f80_indefinite();
    }
    fpu->top = (fpu->top - 1) & 7;
    x87_set(fpu, 0, value);
}

SOFT_HANDLER(soft_op_x87_load)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    bool from_memory = op->src2 != X87_ST;
    struct soft_f80 value;

    x87_begin(cpu, op, from_memory);
    if (from_memory) {
        value = fetch(cpu, op, &c);
    } else if (x87_is_empty(fpu, op->src)) {
        if (!x87_stack_fault(cpu, false))
            SOFT_NEXT_FROM_FRAME;
        value = f80_indefinite();
    } else {
        value = *x87_st(fpu, op->src);
    }
    if (x87_is_empty(fpu, 7)) {
        x87_finish(cpu, &c);
        /* A denormal is loaded even if the exception is unmasked. */
        if ((c.flags & ~fpu->control & F80_IE) != 0)
            SOFT_NEXT_FROM_FRAME;
    }
    push(cpu, value);
    SOFT_NEXT_FROM_FRAME;
}

/* SDM vol. 2A, FLD1: rounded as the control word says. Nearest, and the last bit less if down. */
static const struct {
    uint16_t exponent;
    uint64_t nearest, down, up;
} constants[] = {
    {0x3fff, UINT64_C(0x8000000000000000), UINT64_C(0x8000000000000000),
     UINT64_C(0x8000000000000000)}, /* 1 */
    {0x4000, UINT64_C(0xd49a784bcd1b8afe), UINT64_C(0xd49a784bcd1b8afe),
     UINT64_C(0xd49a784bcd1b8aff)}, /* log2 10 */
    {0x3fff, UINT64_C(0xb8aa3b295c17f0bc), UINT64_C(0xb8aa3b295c17f0bb),
     UINT64_C(0xb8aa3b295c17f0bc)}, /* log2 e */
    {0x4000, UINT64_C(0xc90fdaa22168c235), UINT64_C(0xc90fdaa22168c234),
     UINT64_C(0xc90fdaa22168c235)}, /* pi */
    {0x3ffd, UINT64_C(0x9a209a84fbcff799), UINT64_C(0x9a209a84fbcff798),
     UINT64_C(0x9a209a84fbcff799)}, /* log10 2 */
    {0x3ffe, UINT64_C(0xb17217f7d1cf79ac), UINT64_C(0xb17217f7d1cf79ab),
     UINT64_C(0xb17217f7d1cf79ac)}, /* ln 2 */
    {0, 0, 0, 0},
};

SOFT_HANDLER(soft_op_x87_constant)
{
    unsigned how = cpu->fpu.control >> 10 & 3;
    uint64_t significand = how == F80_NEAREST ? constants[op->aux].nearest
                           : how == F80_UP    ? constants[op->aux].up
                                              : constants[op->aux].down;
    struct f80_context c = context(cpu);

    x87_begin(cpu, op, false);
    if (x87_is_empty(&cpu->fpu, 7))
        x87_finish(cpu, &c);
    push(cpu, f80_make(false, constants[op->aux].exponent, significand));
    SOFT_NEXT;
}

/* ---- stores ---- */

/* Converts ST0 and stores it. False: an unmasked exception keeps it from being stored. flags: of
 * exceptions that there are already. */
static bool store(struct soft_cpu *cpu, const struct soft_uop *op, struct soft_f80 value,
                  unsigned flags)
{
    uint64_t address = soft_address(cpu, op), bits;
    struct f80_context c = context(cpu);
    unsigned blocking = F80_IE;
    uint8_t image[10];
    unsigned length;

    switch (op->src2) {
    case X87_F32:
        bits = f80_to_f32(&c, value);
        length = 4;
        blocking |= F80_OE | F80_UE;
        break;
    case X87_F64:
        bits = f80_to_f64(&c, value);
        length = 8;
        blocking |= F80_OE | F80_UE;
        break;
    case X87_I16:
        bits = (uint64_t)f80_to_int(&c, value, 16, op->aux != 0);
        length = 2;
        break;
    case X87_I32:
        bits = (uint64_t)f80_to_int(&c, value, 32, op->aux != 0);
        length = 4;
        break;
    case X87_I64:
        bits = (uint64_t)f80_to_int(&c, value, 64, op->aux != 0);
        length = 8;
        break;
    case X87_BCD:
        f80_to_bcd(image, &c, value);
        length = 10;
        break;
    default:
        memcpy(image, &value.significand, 8);
        memcpy(image + 8, &value.sign_exponent, 2);
        length = 10;
        break;
    }
    if (length < 10)
        memcpy(image, &bits, length);
    c.flags |= (uint16_t)flags;
    if ((c.flags & ~cpu->fpu.control & blocking) != 0) {
        /* The address is looked at all the same. */
        soft_check_write(cpu, op, address, length, soft_rights(cpu));
        /* "The inexact-result condition is not reported and the C1 flag is cleared" (SDM vol. 1,
         * 8.5.6). */
        c.flags &= (uint16_t)~F80_PE;
        c.up = false;
        x87_finish(cpu, &c);
        return false;
    }
    soft_write_as(cpu, op, address, image, length, soft_rights(cpu));
    x87_finish(cpu, &c);
    return true;
}

SOFT_HANDLER(soft_op_x87_store)
{
    struct soft_fpu *fpu = &cpu->fpu;

    x87_begin(cpu, op, true);
    if (x87_is_empty(fpu, 0)) {
        /* What is stored is the indefinite, in the format of the operand. */
        uint16_t status = fpu->status;

        bool stored = store(cpu, op, f80_indefinite(), F80_IE);

        fpu->status = status;
        if (x87_stack_fault(cpu, false) && stored)
            x87_pop(fpu, op->aux2 & 3u);
        SOFT_NEXT;
    }
    if (store(cpu, op, *x87_st(fpu, 0), 0))
        x87_pop(fpu, op->aux2 & 3u);
    SOFT_NEXT;
}

/* ---- between registers ---- */

SOFT_HANDLER(soft_op_x87_move)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct soft_f80 value = *x87_st(fpu, 0);
    bool empty = x87_is_empty(fpu, 0);

    x87_begin(cpu, op, false);
    fpu->status &= (uint16_t)~X87_C1;
    if (empty && op->aux == 0) {
        if (!x87_stack_fault(cpu, false))
            SOFT_NEXT;
        value = f80_indefinite();
    }
    /* FSTPNCE from an empty register does no more than to pop. */
    if (!empty || op->aux == 0)
        x87_set(fpu, op->dst, value);
    x87_pop(fpu, op->aux2 & 3u);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_x87_exchange)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct soft_f80 a = *x87_st(fpu, 0), b = *x87_st(fpu, op->src);

    x87_begin(cpu, op, false);
    fpu->status &= (uint16_t)~X87_C1;
    if (x87_is_empty(fpu, 0) || x87_is_empty(fpu, op->src)) {
        if (!x87_stack_fault(cpu, false))
            SOFT_NEXT;
        a = x87_is_empty(fpu, 0) ? f80_indefinite() : a;
        b = x87_is_empty(fpu, op->src) ? f80_indefinite() : b;
    }
    x87_set(fpu, 0, b);
    x87_set(fpu, op->src, a);
    SOFT_NEXT;
}

/* aux: the condition of Jcc */
SOFT_HANDLER(soft_op_x87_cmov)
{
    struct soft_fpu *fpu = &cpu->fpu;

    x87_begin(cpu, op, false);
    fpu->status &= (uint16_t)~X87_C1;
    if (x87_is_empty(fpu, 0) || x87_is_empty(fpu, op->src)) {
        if (x87_stack_fault(cpu, false))
            x87_set(fpu, 0, f80_indefinite());
    } else if (soft_condition(cpu, op->aux)) {
        x87_set(fpu, 0, *x87_st(fpu, op->src));
    }
    SOFT_NEXT;
}

/* ---- one operand ---- */

static void set_codes(struct soft_fpu *fpu, unsigned codes)
{
    fpu->status = (uint16_t)((fpu->status & ~(X87_C0 | X87_C1 | X87_C2 | X87_C3)) | codes);
}

/* SDM vol. 2A, FXAM. */
static void examine(struct soft_fpu *fpu)
{
    struct soft_f80 a = *x87_st(fpu, 0);
    unsigned sign = f80_sign(a) ? X87_C1 : 0;

    if (x87_is_empty(fpu, 0))
        set_codes(fpu, sign | X87_C3 | X87_C0);
    else if (f80_is_unsupported(a))
        set_codes(fpu, sign);
    else if (f80_is_nan(a))
        set_codes(fpu, sign | X87_C0);
    else if (f80_is_infinite(a))
        set_codes(fpu, sign | X87_C2 | X87_C0);
    else if (f80_is_zero(a))
        set_codes(fpu, sign | X87_C3);
    else if (f80_is_denormal(a))
        set_codes(fpu, sign | X87_C3 | X87_C2);
    else
        set_codes(fpu, sign | X87_C2);
}

static void extract(struct soft_cpu *cpu)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    struct soft_f80 exponent = f80_indefinite(), significand = f80_indefinite();

    if (x87_is_empty(fpu, 0) || !x87_is_empty(fpu, 7)) {
        if (!x87_stack_fault(cpu, !x87_is_empty(fpu, 0)))
            return;
    } else {
        significand = f80_extract(&c, *x87_st(fpu, 0), &exponent);
        if (!x87_finish(cpu, &c))
            return;
    }
    x87_set(fpu, 0, exponent);
    fpu->top = (fpu->top - 1) & 7;
    x87_set(fpu, 0, significand);
}

/* SDM vol. 2A, FPREM: C0, C3, C1 are bits 2, 1, 0 of the quotient; C2: not yet complete. */
static struct soft_f80 remainder_of(struct soft_cpu *cpu, struct f80_context *c, bool nearest)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct soft_f80 out;
    int q;

    out = f80_remainder(c, *x87_st(fpu, 0), *x87_st(fpu, 1), nearest, &q);
    set_codes(fpu, q < 0 ? X87_C2
                         : ((q & 4) != 0 ? X87_C0 : 0) | ((q & 2) != 0 ? X87_C3 : 0) |
                               ((q & 1) != 0 ? X87_C1 : 0));
    return out;
}

static void one_operand(struct soft_cpu *cpu, unsigned which)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    struct soft_f80 *st = x87_st(fpu, 0), result;
    bool two = which == X87_SCALE || which == X87_PREM || which == X87_PREM1;
    uint16_t codes;

    if (x87_is_empty(fpu, 0) || (two && x87_is_empty(fpu, 1))) {
        if (x87_stack_fault(cpu, false)) {
            if (which == X87_TST)
                set_order(cpu, F80_UNORDERED, false);
            else
                x87_set(fpu, 0, f80_indefinite());
        }
        return;
    }
    switch (which) {
    case X87_CHS:
        fpu->status &= (uint16_t)~X87_C1;
        st->sign_exponent ^= 0x8000;
        return;
    case X87_ABS:
        fpu->status &= (uint16_t)~X87_C1;
        st->sign_exponent &= 0x7fff;
        return;
    case X87_TST: compare(cpu, &c, f80_make(false, 0, 0), false, 0); return;
    case X87_2XM1: result = f80_2xm1(&c, *st); break;
    case X87_SQRT: result = f80_sqrt(&c, *st); break;
    case X87_RNDINT: result = f80_round(&c, *st); break;
    case X87_SCALE: result = f80_scale(&c, *st, *x87_st(fpu, 1)); break;
    default:
        result = remainder_of(cpu, &c, which == X87_PREM1);
        codes = fpu->status & X87_C1;
        c.up = codes != 0; /* C1 is a bit of the quotient */
        break;
    }
    if (x87_finish(cpu, &c))
        x87_set(fpu, 0, result);
}

/* Two operands, of which one is popped. */
static void function_of_two(struct soft_cpu *cpu, unsigned which)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    struct soft_f80 x = *x87_st(fpu, 0), y = *x87_st(fpu, 1), result = f80_indefinite();

    if (x87_is_empty(fpu, 0) || x87_is_empty(fpu, 1)) {
        if (!x87_stack_fault(cpu, false))
            return;
    } else {
        result = which == X87_YL2X     ? f80_yl2x(&c, y, x)
                 : which == X87_YL2XP1 ? f80_yl2xp1(&c, y, x)
                                       : f80_patan(&c, y, x);
        if (!x87_finish(cpu, &c))
            return;
    }
    x87_set(fpu, 1, result);
    x87_pop(fpu, 1);
}

/* FSIN, FCOS; FSINCOS and FPTAN, which push a second result. */
static void circular(struct soft_cpu *cpu, unsigned which)
{
    struct soft_fpu *fpu = &cpu->fpu;
    struct f80_context c = context(cpu);
    bool two = which == X87_SINCOS || which == X87_PTAN, reduced = true;
    struct soft_f80 first = f80_indefinite(), second = first;

    if (x87_is_empty(fpu, 0) || (two && !x87_is_empty(fpu, 7))) {
        fpu->status &= (uint16_t)~X87_C2;
        if (!x87_stack_fault(cpu, !x87_is_empty(fpu, 0)))
            return;
    } else {
        if (which == X87_PTAN) {
            reduced = f80_ptan(&first, &c, *x87_st(fpu, 0));
            second = f80_is_nan(first) ? first : f80_make(false, F80_BIAS, F80_ONE);
        } else {
            reduced = f80_sincos(which != X87_COS ? &first : NULL,
                                 which != X87_SIN ? &second : NULL, &c, *x87_st(fpu, 0));
        }
        fpu->status &= (uint16_t)~X87_C2;
        if (!reduced) {
            fpu->status |= X87_C2;
            return;
        }
        if (!x87_finish(cpu, &c))
            return;
    }
    x87_set(fpu, 0, which == X87_COS ? second : first);
    if (two) {
        fpu->top = (fpu->top - 1) & 7;
        x87_set(fpu, 0, second);
    }
}

SOFT_HANDLER(soft_op_x87_unary)
{
    struct soft_fpu *fpu = &cpu->fpu;

    x87_begin(cpu, op, false);
    switch (op->aux) {
    case X87_XAM: examine(fpu); break;
    case X87_XTRACT: extract(cpu); break;
    case X87_DECSTP:
        fpu->top = (fpu->top - 1) & 7;
        fpu->status &= (uint16_t)~X87_C1;
        break;
    case X87_INCSTP:
        fpu->top = (fpu->top + 1) & 7;
        fpu->status &= (uint16_t)~X87_C1;
        break;
    case X87_FREE:
        x87_free(fpu, op->dst);
        x87_pop(fpu, op->aux2 & 3u);
        break;
    case X87_NOP: break;
    case X87_YL2X:
    case X87_YL2XP1:
    case X87_PATAN: function_of_two(cpu, op->aux); break;
    case X87_SIN:
    case X87_COS:
    case X87_SINCOS:
    case X87_PTAN: circular(cpu, op->aux); break;
    default: one_operand(cpu, op->aux); break;
    }
    SOFT_NEXT;
}
