/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 instruction decoder: prefixes, opcode map, ModRM, a row of the table, its operands.
 *
 * References "SDM" are to the Intel 64 and IA-32 Architectures Software Developer's Manual, volume
 * 2, chapter 2, "Instruction Format".
 */
#include "soft/decode.h"

/* How an operand is encoded and how long it is: of soft_insn_rows.h, as the next two. */
struct form {
    uint8_t how;                /* enum how */
    uint8_t reg_size, mem_size; /* enum size, as a register and in memory */
    uint8_t reg;                /* of a fixed register; the value of a fixed number */
};

enum rule {
    RULE_D64 = 1 << 0,
    RULE_F64 = 1 << 1,
    RULE_BYTE = 1 << 2,
    RULE_MAX4 = 1 << 3,
    RULE_GATHER = 1 << 4,
    RULE_NO_VVVV = 1 << 5,
    RULE_NATIVE = 1 << 6, /* 64 bits in 64-bit mode, else 32 */
};

/* An encoding: it is meant if (key & mask) == value. */
struct row {
    uint16_t mask, value;
    uint16_t id;
    uint16_t attributes; /* enum soft_attribute */
    uint8_t rules;       /* enum rule */
    uint8_t feature;
    uint8_t flags_read, flags_written, flags_changed;
    uint8_t operand[4]; /* index into forms[], 0: none */
};

enum head_flag {
    HEAD_MODRM = 1 << 0,
    HEAD_MODREG = 1 << 1, /* mod is ignored: a register */
};

/* The rows of an opcode. count 0: undefined */
struct head {
    uint16_t first;
    uint8_t count;
    uint8_t flags;
};

#include "soft_insn_rows.h"

static const char *const names[] = {"(bad)",
#define NAME(id) #id,
                                    SOFT_INSN_IDS(NAME)
#undef NAME
};

/* VEX.pp, and what the key has for legacy prefixes */
enum prefix {
    PREFIX_NONE,
    PREFIX_66,
    PREFIX_F3,
    PREFIX_F2,
};

struct decoder {
    struct soft_insn *insn;
    const uint8_t *bytes;
    unsigned position; /* of the next byte */
    unsigned limit;    /* bytes that may be read, at most 15 */
    bool is_64;
    bool rex_w;
    uint8_t reg_high, index_high, rm_high; /* R, X, B: 8 or 0 */
    uint8_t prefix;                        /* enum prefix */
    uint8_t segment;                       /* override, or SOFT_REG_NONE */
    uint8_t map;
    uint8_t vvvv;
    uint8_t vector; /* bytes of a vector: 16 or 32 */
    uint8_t modrm;
    bool is_memory; /* of ModRM */
    bool has_imm;   /* insn->imm is taken */
};

/* There are no n bytes. */
static int exhausted(const struct decoder *d)
{
    return d->limit < SOFT_INSN_MAX_LENGTH ? SOFT_DECODE_MORE : SOFT_DECODE_TOO_LONG;
}

static inline bool has(const struct decoder *d, unsigned n)
{
    return d->limit - d->position >= n;
}

/* The next n bytes, 1, 2, 4 or 8, which has() has found. */
static inline uint64_t take(struct decoder *d, unsigned n)
{
    const uint8_t *from = d->bytes + d->position;
    uint64_t value = 0;

    d->position += n;
    for (unsigned i = 0; i < n; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static inline int64_t sign_extend(uint64_t value, unsigned n)
{
    const uint64_t sign = UINT64_C(1) << (8 * n - 1);

    return (int64_t)((value ^ sign) - sign);
}

/* ---- prefixes and the opcode ---- */

static void set_segment(struct decoder *d, uint8_t segment)
{
    d->segment = segment;
    d->insn->prefixes |= SOFT_PREFIX_SEGMENT;
}

/* Takes what stands before the opcode. A REX prefix counts only as the last one. */
static int take_prefixes(struct decoder *d)
{
    struct soft_insn *insn = d->insn;
    uint8_t rex = 0;

    for (;; d->position++) {
        if (!has(d, 1))
            return exhausted(d);
        const uint8_t byte = d->bytes[d->position];

        if (d->is_64 && (byte & 0xf0) == 0x40) {
            rex = byte;
            continue;
        }
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            /* Without meaning in 64-bit mode: an FS or GS before it stays. */
            if (!d->is_64)
                set_segment(d, byte >> 3 & 3);
            break;
        case 0x64: set_segment(d, SOFT_SEG_FS); break;
        case 0x65: set_segment(d, SOFT_SEG_GS); break;
        case 0x66: insn->prefixes |= SOFT_PREFIX_66; break;
        case 0x67: insn->prefixes |= SOFT_PREFIX_67; break;
        case 0xf0: insn->prefixes |= SOFT_PREFIX_LOCK; break;
        case 0xf2:
            insn->prefixes &= (uint8_t)~SOFT_PREFIX_REP;
            insn->prefixes |= SOFT_PREFIX_REPNE;
            break;
        case 0xf3:
            insn->prefixes &= (uint8_t)~SOFT_PREFIX_REPNE;
            insn->prefixes |= SOFT_PREFIX_REP;
            break;
        default:
            if (rex != 0) {
                insn->prefixes |= SOFT_PREFIX_REX;
                d->rex_w = (rex & 8) != 0;
                d->reg_high = (uint8_t)((rex & 4) << 1);
                d->index_high = (uint8_t)((rex & 2) << 2);
                d->rm_high = (uint8_t)((rex & 1) << 3);
            }
            return 0;
        }
        rex = 0;
    }
}

/* SDM 2.3.5, "The VEX Prefix". The position is behind C4 or C5. */
static int take_vex(struct decoder *d, uint8_t first)
{
    struct soft_insn *insn = d->insn;
    uint8_t last;

    if ((insn->prefixes & (SOFT_PREFIX_66 | SOFT_PREFIX_REP | SOFT_PREFIX_REPNE | SOFT_PREFIX_LOCK |
                           SOFT_PREFIX_REX)) != 0)
        return SOFT_DECODE_INVALID;
    insn->prefixes |= SOFT_PREFIX_VEX;
    if (!has(d, first == 0xc4 ? 2 : 1))
        return exhausted(d);
    last = d->bytes[d->position++];
    d->reg_high = (~last & 0x80) >> 4;
    d->map = MAP_VEX1;
    if (first == 0xc4) {
        d->index_high = (~last & 0x40) >> 3;
        d->rm_high = (~last & 0x20) >> 2;
        if ((last & 0x1f) < 1 || (last & 0x1f) > 3)
            return SOFT_DECODE_INVALID;
        d->map = (uint8_t)(MAP_VEX1 + (last & 0x1f) - 1);
        last = d->bytes[d->position++];
        d->rex_w = (last & 0x80) != 0;
    }
    d->prefix = last & 3;
    d->vector = (last & 4) != 0 ? 32 : 16;
    insn->vex_length = d->vector;
    d->vvvv = ~last >> 3 & 15;
    if (!d->is_64) {
        /* R and X are set, else this were LES or LDS; B is ignored. */
        d->rm_high = 0;
    }
    return 0;
}

/* Takes opcode and, first, what chooses its map. */
static int take_opcode(struct decoder *d)
{
    uint8_t byte = d->bytes[d->position++];
    int error;

    if (byte == 0x0f) {
        if (!has(d, 1))
            return exhausted(d);
        byte = d->bytes[d->position++];
        d->map = MAP_0F;
        if (byte == 0x38 || byte == 0x3a) {
            d->map = byte == 0x38 ? MAP_0F38 : MAP_0F3A;
            if (!has(d, 1))
                return exhausted(d);
            byte = d->bytes[d->position++];
        }
    } else if ((byte & 0xfe) == 0xc4) {
        if (!has(d, 1))
            return exhausted(d);
        /* LES and LDS have no register as a source. */
        if (d->is_64 || d->bytes[d->position] >= 0xc0) {
            error = take_vex(d, byte);
            if (error != 0)
                return error;
            if (!has(d, 1))
                return exhausted(d);
            byte = d->bytes[d->position++];
        }
    }
    d->insn->opcode = byte;
    d->insn->condition = byte & 15;
    return 0;
}

/* ---- ModRM and memory ---- */

static uint8_t default_segment(const struct decoder *d, uint8_t base)
{
    if (d->segment != SOFT_REG_NONE)
        return d->segment;
    return base == 4 || base == 5 ? SOFT_SEG_SS : SOFT_SEG_DS;
}

/* SDM table 2-1, "16-Bit Addressing Forms with the ModR/M Byte" */
static int take_memory_16(struct decoder *d)
{
    static const struct {
        uint8_t base, index;
    } forms_16[] = {{3, 6},
                    {3, 7},
                    {5, 6},
                    {5, 7},
                    {6, SOFT_REG_NONE},
                    {7, SOFT_REG_NONE},
                    {5, SOFT_REG_NONE},
                    {3, SOFT_REG_NONE}};
    struct soft_memory *memory = &d->insn->memory;
    const unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    unsigned bytes = mod;

    memory->base = forms_16[rm].base;
    memory->index = forms_16[rm].index;
    if (mod == 0 && rm == 6) {
        memory->base = SOFT_REG_NONE;
        bytes = 2;
    }
    memory->segment = default_segment(d, memory->base);
    if (bytes == 0)
        return 0;
    if (!has(d, bytes))
        return exhausted(d);
    memory->disp = sign_extend(take(d, bytes), bytes);
    return 0;
}

/* SDM tables 2-2 and 2-3, and 2.2.1.6, "RIP-Relative Addressing". is_vsib: SIB.index is a vector.
 */
static int take_memory(struct decoder *d, bool is_vsib)
{
    struct soft_memory *memory = &d->insn->memory;
    const unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    unsigned bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;

    if (d->insn->address_size == 2)
        return take_memory_16(d);
    memory->base = (uint8_t)(rm | d->rm_high);
    if (rm == 4) {
        uint8_t sib;

        if (!has(d, 1))
            return exhausted(d);
        sib = d->bytes[d->position++];
        memory->base = (sib & 7) | d->rm_high;
        memory->index = (sib >> 3 & 7) | d->index_high;
        memory->scale = sib >> 6;
        if (memory->index == 4 && !is_vsib) {
            memory->index = SOFT_REG_NONE;
            memory->scale = 0;
        }
        if ((sib & 7) == 5 && mod == 0) {
            memory->base = SOFT_REG_NONE;
            bytes = 4;
        }
    } else if (rm == 5 && mod == 0) {
        memory->base = d->is_64 ? SOFT_REG_RIP : SOFT_REG_NONE;
        bytes = 4;
    }
    memory->segment = default_segment(d, memory->base);
    if (bytes == 0)
        return 0;
    if (!has(d, bytes))
        return exhausted(d);
    memory->disp = sign_extend(take(d, bytes), bytes);
    return 0;
}

/* ---- the row ---- */

static const struct row *find_row(const struct decoder *d, const struct head *head)
{
    const struct row *row = &rows[head->first];
    const unsigned key = (unsigned)d->prefix * KEY_PREFIX | (d->modrm >> 3 & 7U) * KEY_REG |
                         (d->modrm & 7U) * KEY_RM | (d->is_memory ? 0U : KEY_MOD3) |
                         (d->is_64 ? KEY_MODE64 : 0U) | (d->rex_w ? KEY_W : 0U) |
                         (d->vector == 32 ? KEY_L : 0U) | (d->rm_high != 0 ? KEY_B : 0U);

    for (unsigned i = 0; i < head->count; i++, row++) {
        if ((key & row->mask) == row->value)
            return row;
    }
    return NULL;
}

static void set_operand_size(const struct decoder *d, const struct row *row)
{
    struct soft_insn *insn = d->insn;
    const bool is_66 = (insn->prefixes & SOFT_PREFIX_66) != 0;
    uint8_t size;

    if (!d->is_64) {
        size = is_66 == (insn->mode == SOFT_MODE_16) ? 4 : 2;
        if ((insn->prefixes & SOFT_PREFIX_VEX) != 0)
            size = 4;
    } else if (d->rex_w || (row->rules & RULE_F64) != 0) {
        size = 8;
    } else {
        size = is_66 ? 2 : (row->rules & RULE_D64) != 0 ? 8 : 4;
    }
    if ((row->rules & RULE_NATIVE) != 0)
        size = d->is_64 ? 8 : 4;
    if ((row->rules & RULE_BYTE) != 0)
        size = 1;
    if ((row->rules & RULE_MAX4) != 0 && size > 4)
        size = 4;
    insn->operand_size = size;
}

/* ---- operands ---- */

static unsigned size_in_bytes(const struct decoder *d, uint8_t size)
{
    const unsigned operand_size = d->insn->operand_size;

    switch ((enum size)size) {
    case SIZE_FIXED_0: return 0;
    case SIZE_FIXED_1: return 1;
    case SIZE_FIXED_2: return 2;
    case SIZE_FIXED_4: return 4;
    case SIZE_FIXED_8: return 8;
    case SIZE_FIXED_10: return 10;
    case SIZE_FIXED_16: return 16;
    case SIZE_FIXED_512: return 512;
    case SIZE_V: return operand_size;
    case SIZE_Y: return d->rex_w && d->is_64 ? 8 : 4;
    case SIZE_Z: return operand_size < 4 ? operand_size : 4;
    case SIZE_N: return d->is_64 ? 8 : 4;
    case SIZE_X: return d->vector;
    case SIZE_X2: return d->vector / 2;
    case SIZE_X4: return d->vector / 4;
    case SIZE_X8: return d->vector / 8;
    case SIZE_P: return operand_size + 2;
    case SIZE_S: return d->is_64 ? 10 : 6;
    case SIZE_A: return 2 * operand_size;
    case SIZE_ENV: return operand_size == 2 ? 14 : 28;
    case SIZE_SAVE: return operand_size == 2 ? 94 : 108;
    }
    return 0;
}

static inline void put(struct soft_operand *out, enum soft_operand_kind kind, unsigned reg,
                       unsigned size)
{
    out->kind = (uint8_t)kind;
    out->reg = (uint8_t)reg;
    out->size = (uint16_t)size;
}

static inline void put_gpr(const struct decoder *d, struct soft_operand *out, unsigned reg,
                           unsigned size)
{
    /* Without REX the numbers 4 to 7 of bytes are AH to BH. */
    if (size == 1 && reg - 4 < 4 && (d->insn->prefixes & SOFT_PREFIX_REX) == 0)
        put(out, SOFT_OPERAND_GPR_HIGH, reg - 4, 1);
    else
        put(out, SOFT_OPERAND_GPR, reg, size);
}

static inline void put_vector(struct soft_operand *out, unsigned reg, unsigned size)
{
    put(out, size > 16 ? SOFT_OPERAND_YMM : SOFT_OPERAND_XMM, reg, size);
}

/* An immediate of that many bytes. The first one is imm, the second one imm2. */
static int put_imm(struct decoder *d, struct soft_operand *out, unsigned bytes, bool is_signed)
{
    uint64_t value;

    if (!has(d, bytes))
        return exhausted(d);
    value = take(d, bytes);
    if (d->has_imm) {
        d->insn->imm2 = (uint16_t)value;
    } else {
        d->insn->imm = is_signed ? sign_extend(value, bytes) : (int64_t)value;
        d->has_imm = true;
    }
    put(out, SOFT_OPERAND_IMM, 0, is_signed ? d->insn->operand_size : bytes);
    return 0;
}

static int put_rel(struct decoder *d, struct soft_operand *out, unsigned bytes)
{
    if (!has(d, bytes))
        return exhausted(d);
    d->insn->imm = sign_extend(take(d, bytes), bytes);
    put(out, SOFT_OPERAND_REL, 0, d->insn->operand_size);
    return 0;
}

static int put_far(struct decoder *d, struct soft_operand *out)
{
    const unsigned size = d->insn->operand_size;

    if (!has(d, size + 2))
        return exhausted(d);
    d->insn->imm = (int64_t)take(d, size);
    d->insn->imm2 = (uint16_t)take(d, 2);
    put(out, SOFT_OPERAND_FAR, 0, size + 2);
    return 0;
}

static int put_offset(struct decoder *d, struct soft_operand *out, unsigned size)
{
    if (!has(d, d->insn->address_size))
        return exhausted(d);
    d->insn->memory.disp = (int64_t)take(d, d->insn->address_size);
    put(out, SOFT_OPERAND_MEM, 0, size);
    return 0;
}

static int put_is4(struct decoder *d, struct soft_operand *out, unsigned size)
{
    uint8_t byte;

    if (!has(d, 1))
        return exhausted(d);
    byte = d->bytes[d->position++] >> 4;
    put_vector(out, d->is_64 ? byte : byte & 7U, size);
    return 0;
}

/* MOV to and from CR and DR (SDM, "MOV - Move to/from Control Registers") */
static int put_system(struct soft_operand *out, enum soft_operand_kind kind, unsigned reg,
                      unsigned size)
{
    const unsigned valid = kind == SOFT_OPERAND_CR ? 0x11d : 0xff;

    if ((valid >> reg & 1) == 0)
        return SOFT_DECODE_INVALID;
    put(out, kind, reg, size);
    return 0;
}

static int put_operand(struct decoder *d, struct soft_operand *out, const struct form *form)
{
    const unsigned reg = (d->modrm >> 3 & 7U) | d->reg_high;
    const unsigned rm = (d->modrm & 7U) | d->rm_high;
    /* Its high bit is ignored outside of 64-bit mode, but counts where vvvv must be 1111. */
    const unsigned vvvv = d->is_64 ? d->vvvv : d->vvvv & 7U;
    const unsigned size = size_in_bytes(d, d->is_memory ? form->mem_size : form->reg_size);

    switch ((enum how)form->how) {
    case HOW_RM:
    case HOW_VRM:
    case HOW_MRM:
        if (d->is_memory)
            put(out, SOFT_OPERAND_MEM, 0, size);
        else if (form->how == HOW_RM)
            put_gpr(d, out, rm, size);
        else if (form->how == HOW_VRM)
            put_vector(out, rm, size);
        else
            put(out, SOFT_OPERAND_MMX, rm & 7, size);
        return 0;
    case HOW_VSIB4:
    case HOW_VSIB8:
        put(out, SOFT_OPERAND_MEM, 0, form->how == HOW_VSIB4 ? 4 : 8);
        d->insn->memory.vsib = (uint8_t)size;
        return 0;
    case HOW_REG: put_gpr(d, out, reg, size); return 0;
    case HOW_LOW: put_gpr(d, out, (d->insn->opcode & 7U) | d->rm_high, size); return 0;
    case HOW_VVVV: put_gpr(d, out, vvvv, size); return 0;
    case HOW_GPR: put(out, SOFT_OPERAND_GPR, form->reg, size); return 0;
    case HOW_VREG: put_vector(out, reg, size); return 0;
    case HOW_VVVVV: put_vector(out, vvvv, size); return 0;
    case HOW_XMM: put_vector(out, form->reg, size); return 0;
    case HOW_VIS4: return put_is4(d, out, size);
    case HOW_MREG: put(out, SOFT_OPERAND_MMX, reg & 7, size); return 0;
    case HOW_ST: put(out, SOFT_OPERAND_ST, form->reg, size); return 0;
    case HOW_STI: put(out, SOFT_OPERAND_ST, rm & 7, size); return 0;
    case HOW_SEG:
        put(out, SOFT_OPERAND_SEG, reg & 7, size);
        return (reg & 7) <= SOFT_SEG_GS ? 0 : SOFT_DECODE_INVALID;
    case HOW_SEGMENT: put(out, SOFT_OPERAND_SEG, form->reg, size); return 0;
    case HOW_CR: return put_system(out, SOFT_OPERAND_CR, reg, size);
    case HOW_DR: return put_system(out, SOFT_OPERAND_DR, reg, size);
    case HOW_IMM: return put_imm(d, out, size, false);
    case HOW_SIMM: return put_imm(d, out, size, true);
    case HOW_NUMBER:
        d->insn->imm = form->reg;
        put(out, SOFT_OPERAND_IMM, 0, size);
        return 0;
    case HOW_REL: return put_rel(d, out, size);
    case HOW_FAR: return put_far(d, out);
    case HOW_OFFSET: return put_offset(d, out, size);
    }
    return SOFT_DECODE_INVALID;
}

/* Of gathers, destination, index and mask differ (SDM, VGATHERDPS, "#UD"), and there is a SIB byte.
 */
static bool is_bad_gather(const struct decoder *d)
{
    const struct soft_insn *insn = d->insn;
    const uint8_t to = insn->operand[0].reg, mask = insn->operand[2].reg;

    return insn->address_size == 2 || (d->modrm & 7) != 4 || to == mask ||
           to == insn->memory.index || mask == insn->memory.index;
}

/* What remains to be said of it when the operands are known. Returns 0 or SOFT_DECODE_INVALID. */
static int finish(const struct decoder *d, const struct row *row)
{
    struct soft_insn *insn = d->insn;

    insn->id = row->id;
    insn->length = (uint8_t)d->position;
    insn->rex_w = d->rex_w;
    insn->feature = row->feature;
    insn->attributes = row->attributes;
    insn->flags_read = row->flags_read;
    insn->flags_written = row->flags_written;
    insn->flags_changed = row->flags_changed;
    if ((row->mask & 2 * KEY_PREFIX) != 0 && d->prefix >= PREFIX_F3)
        insn->prefixes &= (uint8_t) ~(SOFT_PREFIX_REP | SOFT_PREFIX_REPNE);
    if ((insn->attributes & SOFT_ATTR_STRING_TEST) != 0 &&
        (insn->prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) == 0) {
        /* Once, not maybe never. */
        insn->flags_written |= insn->flags_changed;
        insn->flags_changed = 0;
    }
    if ((row->rules & RULE_NO_VVVV) != 0 && d->vvvv != 0)
        return SOFT_DECODE_INVALID;
    if ((row->rules & RULE_GATHER) != 0 && is_bad_gather(d))
        return SOFT_DECODE_INVALID;
    if ((insn->prefixes & SOFT_PREFIX_LOCK) != 0 &&
        ((insn->attributes & SOFT_ATTR_LOCKABLE) == 0 || insn->operand[0].kind != SOFT_OPERAND_MEM))
        return SOFT_DECODE_INVALID;
    return 0;
}

int soft_decode(struct soft_insn *out, const uint8_t *bytes, size_t available, enum soft_mode mode)
{
    struct decoder decoder = {
        .insn = out,
        .bytes = bytes,
        .limit = available < SOFT_INSN_MAX_LENGTH ? (unsigned)available : SOFT_INSN_MAX_LENGTH,
        .is_64 = mode == SOFT_MODE_64,
        .segment = SOFT_REG_NONE,
        .vector = 16,
    };
    struct decoder *d = &decoder;
    const struct head *head;
    const struct row *row;
    int error;

    *out = (struct soft_insn){
        .mode = (uint8_t)mode,
        .memory = {.base = SOFT_REG_NONE, .index = SOFT_REG_NONE},
    };
    error = take_prefixes(d);
    if (error == 0)
        error = take_opcode(d);
    if (error != 0)
        return error;
    out->memory.segment = default_segment(d, SOFT_REG_NONE);
    out->address_size = out->mode;
    if ((out->prefixes & SOFT_PREFIX_67) != 0)
        out->address_size = mode == SOFT_MODE_32 ? 2 : 4;
    if ((out->prefixes & SOFT_PREFIX_REPNE) != 0)
        d->prefix = PREFIX_F2;
    else if ((out->prefixes & SOFT_PREFIX_REP) != 0)
        d->prefix = PREFIX_F3;
    else if ((out->prefixes & SOFT_PREFIX_66) != 0)
        d->prefix = PREFIX_66;

    head = &heads[d->map][out->opcode];
    if (head->count == 0)
        return SOFT_DECODE_INVALID;
    if ((head->flags & HEAD_MODRM) != 0) {
        if (!has(d, 1))
            return exhausted(d);
        d->modrm = bytes[d->position++];
        d->is_memory = d->modrm < 0xc0 && (head->flags & HEAD_MODREG) == 0;
    }
    row = find_row(d, head);
    if (row == NULL)
        return SOFT_DECODE_INVALID;
    set_operand_size(d, row);
    if (d->is_memory) {
        error = take_memory(d, (row->rules & RULE_GATHER) != 0);
        if (error != 0)
            return error;
    }
    while (out->operand_count < 4 && row->operand[out->operand_count] != 0) {
        error = put_operand(d, &out->operand[out->operand_count],
                            &forms[row->operand[out->operand_count]]);
        if (error != 0)
            return error;
        out->operand_count++;
    }
    error = finish(d, row);
    return error != 0 ? error : out->length;
}

const char *soft_insn_name(enum soft_insn_id id)
{
    return names[id < SOFT_INSN_COUNT ? id : SOFT_INSN_NONE];
}
