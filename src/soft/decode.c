/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 instruction decoder: prefixes, opcode map, ModRM, a row of the table, its operands.
 *
 * References "SDM" are to the Intel 64 and IA-32 Architectures Software Developer's Manual, volume
 * 2, chapter 2, "Instruction Format".
 */
#include "soft/decode.h"

/* How an operand is encoded. It is a register or ModRM's memory, unless it is a case of its own. */
struct form {
    uint8_t kind;           /* enum soft_operand_kind of the register; XMM: or YMM, by its size */
    uint8_t source;         /* enum source_id: where its number is */
    uint8_t case_id;        /* enum case_id */
    uint8_t size, mem_size; /* index into sizes[][], as a register and in memory */
    uint8_t reg;            /* of a fixed register */
    uint8_t mask;           /* of the number */
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
    bool is_memory;        /* of ModRM */
    bool has_imm;          /* insn->imm is taken */
    const uint16_t *sizes; /* of what is now sizes[][] by form->size */
    uint8_t numbers[5];    /* by enum source_id */
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
    while (n-- > 0)
        value = value << 8 | from[n];
    return value;
}

/* value has n bytes, 1 to 8. */
static inline int64_t sign_extend(uint64_t value, unsigned n)
{
    const uint64_t sign = UINT64_C(1) << ((8 * n - 1) & 63);

    return (int64_t)((value ^ sign) - sign);
}

/* ---- prefixes and the opcode ---- */

/* What a byte is before the opcode: 0 the opcode, else a mark for REX, or enum soft_prefix. */
#define IS_REX 0xff

static const uint8_t prefixes[256] = {
    [0x26] = SOFT_PREFIX_SEGMENT,
    [0x2e] = SOFT_PREFIX_SEGMENT,
    [0x36] = SOFT_PREFIX_SEGMENT,
    [0x3e] = SOFT_PREFIX_SEGMENT,
    [0x64] = SOFT_PREFIX_SEGMENT,
    [0x65] = SOFT_PREFIX_SEGMENT,
    [0x66] = SOFT_PREFIX_66,
    [0x67] = SOFT_PREFIX_67,
    [0xf0] = SOFT_PREFIX_LOCK,
    [0xf2] = SOFT_PREFIX_REPNE,
    [0xf3] = SOFT_PREFIX_REP,
    [0x40] = IS_REX,
    [0x41] = IS_REX,
    [0x42] = IS_REX,
    [0x43] = IS_REX,
    [0x44] = IS_REX,
    [0x45] = IS_REX,
    [0x46] = IS_REX,
    [0x47] = IS_REX,
    [0x48] = IS_REX,
    [0x49] = IS_REX,
    [0x4a] = IS_REX,
    [0x4b] = IS_REX,
    [0x4c] = IS_REX,
    [0x4d] = IS_REX,
    [0x4e] = IS_REX,
    [0x4f] = IS_REX,
};

static void note_prefix(struct decoder *d, uint8_t byte)
{
    uint8_t bit = prefixes[byte];

    if (bit == SOFT_PREFIX_SEGMENT) {
        /* Without meaning in 64-bit mode but for FS and GS: one of these before it stays. */
        if (byte >= 0x64)
            d->segment = byte - 0x64 + SOFT_SEG_FS;
        else if (!d->is_64)
            d->segment = byte >> 3 & 3;
        else
            bit = 0;
    }
    /* The last one counts. */
    if ((bit & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0)
        d->insn->prefixes &= (uint8_t) ~(SOFT_PREFIX_REP | SOFT_PREFIX_REPNE);
    d->insn->prefixes |= bit;
}

/* Takes what stands before the opcode. A REX prefix counts only as the last one. */
static int take_prefixes(struct decoder *d)
{
    uint8_t rex = 0;

    for (;; d->position++) {
        if (!has(d, 1))
            return exhausted(d);
        const uint8_t byte = d->bytes[d->position];

        if (prefixes[byte] == 0 || (prefixes[byte] == IS_REX && !d->is_64))
            break;
        rex = prefixes[byte] == IS_REX ? byte : 0;
        if (rex == 0)
            note_prefix(d, byte);
    }
    if (rex != 0) {
        d->insn->prefixes |= SOFT_PREFIX_REX;
        d->rex_w = (rex & 8) != 0;
        d->reg_high = (uint8_t)((rex & 4) << 1);
        d->index_high = (uint8_t)((rex & 2) << 2);
        d->rm_high = (uint8_t)((rex & 1) << 3);
    }
    return 0;
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

/* The segment, and a displacement of so many bytes, which is the last of a memory operand. */
static int finish_memory(struct decoder *d, unsigned bytes)
{
    struct soft_memory *memory = &d->insn->memory;

    memory->segment = default_segment(d, memory->base);
    if (bytes == 0)
        return 0;
    if (!has(d, bytes))
        return exhausted(d);
    memory->disp = sign_extend(take(d, bytes), bytes);
    return 0;
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
    return finish_memory(d, bytes);
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
    return finish_memory(d, bytes);
}

/* ---- the row ---- */

static const struct row *find_row(const struct decoder *d, const struct head *head)
{
    const struct row *row = &rows[head->first];
    /* RM and REG are where ModRM has them. */
    const unsigned key = (d->modrm & 0x3fU) | (d->is_memory ? 0U : KEY_MOD3) |
                         (unsigned)d->prefix * KEY_PREFIX | d->is_64 * (unsigned)KEY_MODE64 |
                         d->rex_w * (unsigned)KEY_W | (d->vector >> 5) * (unsigned)KEY_L |
                         (d->rm_high >> 3) * (unsigned)KEY_B;

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

/* What the operands' forms refer to. */
static void set_sources(struct decoder *d)
{
    const unsigned size = d->insn->operand_size;
    const unsigned log2 = size == 8 ? 3 : size >> 1;

    d->sizes = sizes[log2][2 * d->is_64 + d->rex_w][d->vector >> 5];
    d->numbers[SOURCE_REG] = (d->modrm >> 3 & 7) | d->reg_high;
    d->numbers[SOURCE_RM] = (d->modrm & 7) | d->rm_high;
    d->numbers[SOURCE_LOW] = (d->insn->opcode & 7) | d->rm_high;
    /* Its high bit is ignored outside of 64-bit mode, but counts where vvvv must be 1111. */
    d->numbers[SOURCE_VVVV] = d->is_64 ? d->vvvv : d->vvvv & 7;
}

static inline void put(struct soft_operand *out, enum soft_operand_kind kind, unsigned reg,
                       unsigned size)
{
    out->kind = (uint8_t)kind;
    out->reg = (uint8_t)reg;
    out->size = (uint16_t)size;
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

static int put_far(struct decoder *d, struct soft_operand *out, unsigned size)
{
    if (!has(d, size))
        return exhausted(d);
    d->insn->imm = (int64_t)take(d, size - 2);
    d->insn->imm2 = (uint16_t)take(d, 2);
    put(out, SOFT_OPERAND_FAR, 0, size);
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

/* The register is in the high half of an immediate. */
static int put_is4(struct decoder *d, struct soft_operand *out, unsigned size)
{
    uint8_t byte;

    if (!has(d, 1))
        return exhausted(d);
    byte = d->bytes[d->position++] >> 4;
    put(out, size > 16 ? SOFT_OPERAND_YMM : SOFT_OPERAND_XMM, d->is_64 ? byte : byte & 7U, size);
    return 0;
}

/* Segment, control and debug registers: not all of them exist. */
static int put_system(struct soft_operand *out, enum soft_operand_kind kind, unsigned reg,
                      unsigned size)
{
    const unsigned existing = kind == SOFT_OPERAND_CR   ? 0x11d
                              : kind == SOFT_OPERAND_DR ? 0xff
                                                        : 0x3f;

    put(out, kind, reg, size);
    return (existing >> reg & 1) != 0 ? 0 : SOFT_DECODE_INVALID;
}

static int put_case(struct decoder *d, struct soft_operand *out, const struct form *form)
{
    const unsigned size = d->sizes[form->size];

    switch ((enum case_id)form->case_id) {
    case CASE_IMM: return put_imm(d, out, size, false);
    case CASE_SIMM: return put_imm(d, out, size, true);
    case CASE_REL: return put_rel(d, out, size);
    case CASE_FAR: return put_far(d, out, size);
    case CASE_OFFSET: return put_offset(d, out, size);
    case CASE_IS4: return put_is4(d, out, size);
    case CASE_SYSTEM:
        return put_system(out, form->kind, d->numbers[form->source] & form->mask, size);
    case CASE_ONE:
        d->insn->imm = 1;
        put(out, SOFT_OPERAND_IMM, 0, size);
        return 0;
    case CASE_VSIB4:
    case CASE_VSIB8:
        put(out, SOFT_OPERAND_MEM, 0, form->case_id == CASE_VSIB4 ? 4 : 8);
        d->insn->memory.vsib = (uint8_t)size;
        return 0;
    case CASE_NONE: break;
    }
    return SOFT_DECODE_INVALID;
}

static inline int put_operand(struct decoder *d, struct soft_operand *out, const struct form *form)
{
    unsigned size, reg;

    if (form->case_id != CASE_NONE)
        return put_case(d, out, form);
    if (form->source == SOURCE_RM && d->is_memory) {
        put(out, SOFT_OPERAND_MEM, 0, d->sizes[form->mem_size]);
        return 0;
    }
    size = d->sizes[form->size];
    reg = form->source == SOURCE_FIXED ? form->reg : d->numbers[form->source] & form->mask;
    put(out, form->kind, reg, size);
    if (size > 16)
        out->kind = SOFT_OPERAND_YMM;
    /* Without REX the numbers 4 to 7 of bytes are AH to BH. */
    if (size == 1 && form->kind == SOFT_OPERAND_GPR && (reg & 12) == 4 &&
        (d->insn->prefixes & SOFT_PREFIX_REX) == 0)
        put(out, SOFT_OPERAND_GPR_HIGH, reg - 4, 1);
    return 0;
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
    set_sources(d);
    if (d->is_memory) {
        error = take_memory(d, (row->rules & RULE_GATHER) != 0);
        if (error != 0)
            return error;
    }
    for (unsigned i = 0; i < 4 && row->operand[i] != 0; i++) {
        error = put_operand(d, &out->operand[i], &forms[row->operand[i]]);
        if (error != 0)
            return error;
        out->operand_count = (uint8_t)(i + 1);
    }
    error = finish(d, row);
    return error != 0 ? error : out->length;
}

const char *soft_insn_name(enum soft_insn_id id)
{
    return names[id < SOFT_INSN_COUNT ? id : SOFT_INSN_NONE];
}
