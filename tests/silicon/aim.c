/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the memory operands, stacks and branches of a case lead. */
#include <string.h>

#include "silicon.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static uint64_t segment_base(const struct soft_insn *insn)
{
    return insn->memory.segment == SOFT_SEG_FS   ? silicon_fs_base
           : insn->memory.segment == SOFT_SEG_GS ? SILICON_GS
                                                 : 0;
}

static uint64_t cut(const struct soft_insn *insn, uint64_t address)
{
    return insn->address_size == 4 ? (uint32_t)address : address;
}

uint64_t silicon_effective(const struct silicon_case *c, unsigned number)
{
    const struct soft_insn *insn = &c->insn[number];
    const struct soft_memory *memory = &insn->memory;
    uint64_t address = (uint64_t)memory->disp;

    if (memory->base == SOFT_REG_RIP)
        address += SILICON_START + c->start[number] + insn->length;
    else if (memory->base != SOFT_REG_NONE)
        address += c->in.r[memory->base];
    if (memory->index != SOFT_REG_NONE && memory->vsib == 0)
        address += c->in.r[memory->index] << memory->scale;
    return cut(insn, address) + segment_base(insn);
}

/* Below 4 GiB are only our two pages; what is not canonical or the kernel's faults. */
static bool is_ours(uint64_t address)
{
    return address < UINT64_C(0xf0000000) || (address >> 47) != 0;
}

static bool has_memory(const struct soft_insn *insn, unsigned *size)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == SOFT_OPERAND_MEM) {
            *size = insn->operand[i].size;
            return true;
        }
    }
    return false;
}

static bool is_string(const struct soft_insn *insn)
{
    return (insn->attributes & (SOFT_ATTR_STRING | SOFT_ATTR_STRING_TEST)) != 0;
}

static bool is_bit_string(const struct soft_insn *insn)
{
    return (insn->id == SOFT_INSN_BT || insn->id == SOFT_INSN_BTS || insn->id == SOFT_INSN_BTR ||
            insn->id == SOFT_INSN_BTC) &&
           insn->operand[0].kind == SOFT_OPERAND_MEM && insn->operand[1].kind == SOFT_OPERAND_GPR;
}

static bool is_masked_store(const struct soft_insn *insn)
{
    return insn->id == SOFT_INSN_MASKMOVQ || insn->id == SOFT_INSN_MASKMOVDQU;
}

/* Selectors that Linux has the same descriptors for, and the guest too, or none; without those that
 * other code may be behind. The first ones cannot be loaded. */
#define UNLOADABLE 8u
static const uint16_t selectors[] = {0x10,   0x13, 0x1b, 0x18, 0x07, 0xfffc, 0xfff8,
                                     0xffff, 0x33, 0x30, 0x00, 0x03, 0x01,   0x2b,
                                     0x28,   0x2b, 0x2b, 0x33, 0x33};

static uint16_t selector(bool loadable)
{
    return selectors[silicon_below(loadable ? sizeof(selectors) / sizeof(selectors[0])
                                            : UNLOADABLE)];
}

/* LFS, and so on. */
static bool loads_fs_or_gs(const struct soft_insn *insn)
{
    const unsigned to = insn->operand[0].reg;

    return insn->id == SOFT_INSN_LFS || insn->id == SOFT_INSN_LGS ||
           (silicon_loads_segment(insn) && (to == SOFT_SEG_FS || to == SOFT_SEG_GS));
}

static bool is_far_pointer(unsigned id)
{
    return id == SOFT_INSN_CALLF || id == SOFT_INSN_JMPF || id == SOFT_INSN_LSS ||
           id == SOFT_INSN_LFS || id == SOFT_INSN_LGS;
}

/* FS and GS: a load that succeeds leaves a base behind, or not, and the C library needs its own. */
static bool is_unloadable(const struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const struct soft_operand *from = &insn->operand[insn->operand_count - 1];
    uint64_t at = silicon_effective(c, 0), value;

    if (insn->id == SOFT_INSN_POP)
        at = c->in.r[RSP];
    else if (is_far_pointer(insn->id))
        at += insn->operand_size;
    at -= SILICON_DATA;
    if (insn->id != SOFT_INSN_POP && from->kind == SOFT_OPERAND_GPR)
        value = c->in.r[from->reg] & 0xffff;
    else if (at <= SILICON_PAGE - 2)
        value = silicon_get(c->in.data + at, 2);
    else
        return true; /* the access faults */
    for (unsigned i = 0; i < UNLOADABLE; i++) {
        if (selectors[i] == value)
            return true;
    }
    return false;
}

bool silicon_is_safe(const struct silicon_case *c, unsigned number)
{
    const struct soft_insn *insn = &c->insn[number];
    const uint64_t *r = c->in.r, base = segment_base(insn);
    unsigned size;

    /* Addresses of later instructions are in their bytes. */
    if (number > 0)
        return true;
    if (has_memory(insn, &size)) {
        uint64_t address = silicon_effective(c, number);

        if (is_bit_string(insn)) {
            int64_t bit = (int64_t)r[insn->operand[1].reg];

            bit = insn->operand_size == 2   ? (int16_t)bit
                  : insn->operand_size == 4 ? (int32_t)bit
                                            : bit;
            if (!is_ours(address) || (address >> 47) != 0 || bit > INT32_MAX || bit < INT32_MIN)
                return false;
            bit -= bit & 7; /* down, if it is negative */
            address += (uint64_t)(bit / 8);
        }
        if (!is_ours(address) || !is_ours(address + 1024))
            return false;
    }
    if (is_string(insn) || is_masked_store(insn)) {
        if (!is_ours(cut(insn, r[RSI]) + base) || !is_ours(cut(insn, r[RDI]) + base) ||
            !is_ours(cut(insn, r[RDI])))
            return false;
    }
    if (insn->id == SOFT_INSN_XLAT && !is_ours(cut(insn, r[RBX] + (r[RAX] & 0xff)) + base))
        return false;
    if (loads_fs_or_gs(insn) && !is_unloadable(c))
        return false;
    if ((insn->attributes & SOFT_ATTR_STACK) != 0 &&
        (!is_ours(r[RSP]) || !is_ours(r[RSP] - 0x10000) || !is_ours(r[RBP])))
        return false;
    return true;
}

/* Somewhere in the data for so many bytes, or across one of its ends. */
static uint64_t target(unsigned size)
{
    const unsigned reach = size == 0 || size > 512 ? 512 : size;

    switch (silicon_below(24)) {
    case 0: return SILICON_DATA + SILICON_PAGE - silicon_below(reach + 1);
    case 1: return SILICON_DATA - silicon_below(reach + 1);
    case 2:
        switch (silicon_below(3)) {
        case 0: return silicon_random() | UINT64_C(1) << 63 | UINT64_C(1) << 46;
        case 1: return UINT64_C(0x8000000000000000) | silicon_random() >> 2;
        default: return silicon_below(0x10000);
        }
    case 3:
    case 4:
    case 5:
    case 6: return SILICON_DATA + SILICON_MIDDLE - 256 + silicon_below(256);
    default:
        return SILICON_DATA + SILICON_MIDDLE - 256 +
               (size == 0 || size > 32 ? 64 * silicon_below(4) : 16 * silicon_below(16));
    }
}

/* Gathers: small indices. */
static void aim_indices(struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const bool wide = (insn->opcode & 1) != 0; /* VPGATHERQx, VGATHERQPx */
    const unsigned index = insn->memory.index;

    for (unsigned i = 0; i < 32; i += wide ? 8 : 4) {
        uint8_t *at =
            c->in.image + (i < 16 ? SILICON_IMAGE_XMM : SILICON_IMAGE_YMM) + 16 * index + i % 16;

        silicon_put(at, (uint64_t)((int64_t)silicon_below(96) - 48), wide ? 8 : 4);
    }
}

static void aim_memory(struct silicon_case *c, unsigned size)
{
    struct soft_insn *insn = &c->insn[0];
    struct soft_memory *memory = &insn->memory;
    uint64_t *r = c->in.r, want = target(size);

    if (memory->vsib != 0)
        aim_indices(c);
    if (is_bit_string(insn) && insn->operand[1].reg != memory->base)
        r[insn->operand[1].reg] = (uint64_t)silicon_below(2048) - 1024;
    if (insn->address_size == 4)
        want = (uint32_t)want;
    want -= segment_base(insn);
    if (memory->base != SOFT_REG_NONE && memory->base != SOFT_REG_RIP) {
        r[memory->base] += want + segment_base(insn) - silicon_effective(c, 0);
        if (memory->base == memory->index)
            r[memory->base] = want / (1 + (UINT64_C(1) << memory->scale));
    } else if (memory->index != SOFT_REG_NONE && memory->vsib == 0) {
        r[memory->index] = (want - (uint64_t)memory->disp) >> memory->scale;
    } else {
        silicon_set_displacement(c, 0, want);
    }
}

static uint64_t place(unsigned size)
{
    uint64_t at = target(size);

    return silicon_below(4) != 0 ? at & ~UINT64_C(7) : at;
}

static void aim_strings(struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const bool narrow = insn->address_size == 4;
    uint64_t *r = c->in.r;

    r[RSI] = place(8) - segment_base(insn);
    r[RDI] = place(8);
    if (silicon_below(3) == 0) /* overlapping */
        r[RDI] = r[RSI] + segment_base(insn) + silicon_below(33) - 16;
    r[RCX] = silicon_below(8) == 0 ? silicon_random() : silicon_below(silicon_below(2) ? 40 : 4);
    if (narrow) {
        r[RSI] = (uint32_t)r[RSI] | (silicon_random() << 32);
        r[RDI] = (uint32_t)r[RDI] | (silicon_random() << 32);
        r[RCX] = (uint32_t)r[RCX] | (silicon_random() << 32);
    }
}

/* A target of an indirect branch: mostly code, where INT3 is everywhere. */
static uint64_t branch_target(void)
{
    return silicon_below(8) != 0 ? SILICON_CODE + 0x100 + silicon_below(0x600) : target(1);
}

static void aim_stack(struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    uint64_t *r = c->in.r, at;

    r[RSP] = place(8);
    r[RBP] = place(8);
    /* What POPF finds has no TF, RET's address is code. */
    at = r[RSP] - SILICON_DATA;
    if (insn->id == SOFT_INSN_POPF && at < SILICON_PAGE - 1)
        c->in.data[at + 1] &= 0xfe;
    if (insn->id == SOFT_INSN_RET && at <= SILICON_PAGE - 8)
        silicon_put(c->in.data + at, branch_target(), 8);
}

/* Images to load: mostly valid. */
static void aim_image(struct silicon_case *c)
{
    const unsigned id = c->insn[0].id;
    const uint64_t at = silicon_effective(c, 0) - SILICON_DATA;
    uint8_t *image = c->in.data + at;

    if (id == SOFT_INSN_LDMXCSR && at <= SILICON_PAGE - 4 && silicon_below(4) != 0)
        silicon_put(image, silicon_below(0x10000), 4);
    if ((id != SOFT_INSN_FXRSTOR && id != SOFT_INSN_XRSTOR) || at > SILICON_PAGE - SILICON_IMAGE ||
        silicon_below(8) == 0)
        return;
    for (unsigned i = SILICON_IMAGE_ST; i < SILICON_IMAGE; i += 16)
        silicon_random_half(image + i);
    silicon_random_x87(image);
    silicon_put(image + SILICON_IMAGE_MXCR, silicon_below(0x10000), 4);
    memset(image + SILICON_IMAGE_BV, 0, 64);
    image[SILICON_IMAGE_BV] = (uint8_t)silicon_below(8);
}

/* ---- segments ---- */

static void put_in_data(struct silicon_case *c, uint64_t address, uint64_t value, unsigned size)
{
    const uint64_t at = address - SILICON_DATA;

    if (at <= SILICON_PAGE - size)
        silicon_put(c->in.data + at, value, size);
}

/* What IRET and RETF find, each of so many bytes. */
static void aim_frame(struct silicon_case *c, unsigned size)
{
    const uint64_t sp = c->in.r[RSP];
    uint64_t flags = silicon_random() & 0x48ed5; /* not TF, and NT and IOPL as they come */

    if (silicon_below(4) != 0)
        flags &= 0x8d5;
    put_in_data(c, sp, branch_target(), size);
    put_in_data(c, sp + size, selector(true), size);
    if (silicon_below(3) != 0)
        put_in_data(c, sp + size, 0x33, size);
    if (c->insn[0].id != SOFT_INSN_IRET)
        return;
    put_in_data(c, sp + 2 * (uint64_t)size, flags | 0x202, size);
    put_in_data(c, sp + 3 * (uint64_t)size, place(8), size);
    put_in_data(c, sp + 4 * (uint64_t)size, silicon_below(3) != 0 ? 0x2b : selector(true), size);
}

static void aim_segment(struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const struct soft_operand *from = &insn->operand[insn->operand_count - 1];
    const unsigned size = insn->operand_size;
    const bool loadable = !loads_fs_or_gs(insn);
    uint64_t at = silicon_effective(c, 0);

    if (insn->id == SOFT_INSN_RETF || insn->id == SOFT_INSN_IRET) {
        aim_frame(c, size);
        return;
    }
    if (insn->operand_count == 0)
        return;
    if (insn->id == SOFT_INSN_POP)
        at = c->in.r[RSP];
    else if (from->kind == SOFT_OPERAND_GPR)
        c->in.r[from->reg] = (silicon_random() << 16) | selector(loadable);
    if (is_far_pointer(insn->id)) {
        if (insn->id == SOFT_INSN_CALLF || insn->id == SOFT_INSN_JMPF)
            put_in_data(c, at, branch_target(), size);
        at += size;
    }
    put_in_data(c, at, selector(loadable), 2);
}

/* Images of which no part is as after a reset: whether such a part is written is up to the
 * processor (SDM vol. 1, 13.6). */
static void aim_saved(struct silicon_case *c)
{
    c->in.image[SILICON_IMAGE_FTW] = 0xff;
    c->in.image[SILICON_IMAGE_ST] |= 1;
    c->in.image[SILICON_IMAGE_XMM] |= 1;
    c->in.image[SILICON_IMAGE_YMM] |= 1;
}

static void aim_branch(struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];
    const struct soft_operand *operand = &insn->operand[0];

    if (insn->id == SOFT_INSN_LOOP || insn->id == SOFT_INSN_LOOPE || insn->id == SOFT_INSN_LOOPNE ||
        insn->id == SOFT_INSN_JCXZ)
        c->in.r[RCX] = silicon_below(3) | (silicon_below(3) == 0 ? silicon_random() << 32 : 0);
    if (operand->kind == SOFT_OPERAND_GPR) {
        c->in.r[operand->reg] = branch_target();
    } else if (operand->kind == SOFT_OPERAND_MEM) {
        uint64_t at = silicon_effective(c, 0) - SILICON_DATA;

        if (at <= SILICON_PAGE - 8)
            silicon_put(c->in.data + at, branch_target(), 8);
    }
}

/* It would never end, or begin in the middle of itself. */
static bool goes_into_itself(const struct silicon_case *c)
{
    const struct soft_insn *insn = &c->insn[0];

    return insn->operand_count > 0 && insn->operand[0].kind == SOFT_OPERAND_REL &&
           insn->imm + insn->length >= 0 && insn->imm < 0;
}

static bool is_masked_image(unsigned id)
{
    return id == SOFT_INSN_XRSTOR || id == SOFT_INSN_XSAVE || id == SOFT_INSN_XSAVEC ||
           id == SOFT_INSN_XSAVEOPT;
}

static bool is_about_segments(const struct soft_insn *insn)
{
    switch (insn->id) {
    case SOFT_INSN_LAR:
    case SOFT_INSN_LSL:
    case SOFT_INSN_VERR:
    case SOFT_INSN_VERW:
    case SOFT_INSN_RETF:
    case SOFT_INSN_IRET: return true;
    default: return is_far_pointer(insn->id) || silicon_loads_segment(insn);
    }
}

bool silicon_state_aim(struct silicon_case *c, unsigned number)
{
    struct soft_insn *insn = &c->insn[number];
    unsigned size = 0;

    if (is_string(insn) || is_masked_store(insn))
        aim_strings(c);
    if (insn->id == SOFT_INSN_XLAT)
        c->in.r[RBX] = target(1) - (c->in.r[RAX] & 0xff) - segment_base(insn);
    if ((insn->attributes & SOFT_ATTR_STACK) != 0)
        aim_stack(c);
    if (is_masked_image(insn->id)) {
        c->in.r[RAX] = silicon_below(8);
        c->in.r[RDX] = 0;
        aim_saved(c);
    }
    /* What everyone has, and what nobody has. */
    if (insn->id == SOFT_INSN_CPUID || insn->id == SOFT_INSN_XGETBV)
        c->in.r[RCX] = silicon_below(2) == 0 ? silicon_random() : 0;
    /* RSP last of all has to be the stack's. */
    if (has_memory(insn, &size))
        aim_memory(c, size);
    if ((insn->attributes & SOFT_ATTR_BRANCH) != 0)
        aim_branch(c);
    if (is_about_segments(insn))
        aim_segment(c);
    if (size >= 4 || insn->id == SOFT_INSN_XRSTOR)
        aim_image(c);
    return !goes_into_itself(c) && silicon_is_safe(c, number);
}
