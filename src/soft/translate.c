/* SPDX-License-Identifier: BSD-3-Clause */
/* Instructions to micro-operations: what all of them need. */
#include "soft/translate.h"

#include "soft/cpu.h"

struct soft_uop *soft_emit(struct soft_translation_unit *unit, soft_handler *run)
{
    struct soft_uop *op = &unit->uops[unit->count++];

    *op = (struct soft_uop){
        .run = run,
        .base = SOFT_REG_ZERO,
        .index = SOFT_REG_ZERO,
        .number = (uint8_t)unit->number,
        .offset = (uint16_t)unit->offset,
        .length = unit->insn->length,
    };
    return op;
}

/* Base, index and displacement as they are; the displacement must fit, else false. */
static bool plain_address(struct soft_address *out, const struct soft_translation_unit *unit)
{
    const struct soft_memory *memory = &unit->insn->memory;
    int64_t disp = memory->disp;

    out->base = memory->base == SOFT_REG_NONE ? SOFT_REG_ZERO : memory->base;
    if (memory->base == SOFT_REG_RIP)
        disp += unit->offset + unit->insn->length;
    out->index = memory->index == SOFT_REG_NONE ? SOFT_REG_ZERO : memory->index;
    out->scale = memory->scale;
    out->disp = (int32_t)disp;
    return disp == (int32_t)disp;
}

struct soft_address soft_emit_address(struct soft_translation_unit *unit, unsigned size, bool write)
{
    const struct soft_memory *memory = &unit->insn->memory;
    unsigned bytes = unit->insn->address_size;
    struct soft_address address = {0};
    struct soft_uop *op;
    bool flat;

    address.flags = memory->segment == SOFT_SEG_SS ? SOFT_UOP_STACK : 0;
    if (!plain_address(&address, unit)) {
        /* A direct offset of 64 bits, or one that the position in the block takes too far. */
        op = soft_emit(unit, soft_mov[3][SOFT_RI]);
        op->dst = 8 * SOFT_REG_EA;
        op->imm =
            (uint64_t)memory->disp +
            (memory->base == SOFT_REG_RIP ? unit->rip + unit->offset + unit->insn->length : 0);
        address.base = SOFT_REG_EA;
        address.disp = 0;
    }
    if ((unit->mode & SOFT_IN_64) != 0) {
        flat = memory->segment < SOFT_SEG_FS;
        if (flat && bytes == 8)
            return address;
        op = soft_emit(unit, bytes == 8 ? soft_op_ea64 : soft_op_ea32);
        op->aux = flat ? SOFT_SEG_DS : memory->segment;
        /* The base of a flat segment does not count, whatever it is. */
        if (flat)
            op->run = soft_op_ea_flat;
    } else {
        flat = (unit->mode & SOFT_IN_FLAT) != 0 && memory->segment < SOFT_SEG_FS;
        /* As it is; but in compatibility mode a register may have more bits than an address. */
        if (flat && bytes == 4 && address.index == SOFT_REG_ZERO && address.disp == 0 &&
            (unit->mode & SOFT_IN_LONG) == 0)
            return address;
        op = soft_emit(unit, flat ? soft_op_ea_flat : soft_op_ea_checked);
        op->aux = memory->segment;
        op->src = (uint8_t)size;
        op->src2 = write;
    }
    op->aux2 = (uint8_t)bytes;
    soft_use_address(op, &address);
    return (struct soft_address){
        .base = SOFT_REG_EA, .index = SOFT_REG_ZERO, .flags = address.flags};
}

struct soft_uop *soft_emit_memory(struct soft_translation_unit *unit, soft_handler *run,
                                  unsigned size, bool write)
{
    struct soft_address address = soft_emit_address(unit, size, write);
    struct soft_uop *op = soft_emit(unit, run);

    soft_use_address(op, &address);
    return op;
}

void soft_translate_fault(struct soft_translation_unit *unit, enum soft_vector vector)
{
    struct soft_uop *op = soft_emit(unit, soft_op_fault);

    op->aux = (uint8_t)vector;
    unit->ended = true;
}

void soft_translate_end(struct soft_translation_unit *unit)
{
    struct soft_uop *op = soft_emit(unit, soft_op_end);

    op->length = 0;
    op->imm = unit->rip + unit->offset;
    if ((unit->mode & SOFT_IN_64) == 0)
        op->imm = (unit->mode & (SOFT_IN_32 | SOFT_IN_PROTECTED)) == 0 ? (uint16_t)op->imm
                                                                       : (uint32_t)op->imm;
}

/* PUSH, POP, RET...: the only access is on the stack. */
static bool is_stack_only(const struct soft_insn *insn)
{
    return (insn->attributes & SOFT_ATTR_STACK) != 0 &&
           (insn->operand_count == 0 || insn->operand[0].kind != SOFT_OPERAND_MEM);
}

void soft_translate_insn(struct soft_translation_unit *unit, const struct soft_insn *insn)
{
    bool real = (unit->mode & SOFT_IN_PROTECTED) == 0 || (unit->mode & SOFT_IN_VM86) != 0;

    /* No VEX in real and virtual-8086 mode (SDM vol. 2A, 2.3.2). */
    if (!((insn->prefixes & SOFT_PREFIX_VEX) != 0 && real) &&
        (soft_translate_integer(unit, insn) || soft_translate_system(unit, insn) ||
         soft_translate_vector(unit, insn) || soft_translate_x87(unit, insn))) {
        if (is_stack_only(insn))
            unit->uops[unit->count - 1].aux2 |= SOFT_UOP_STACK;
        return;
    }
    soft_translate_fault(unit, SOFT_UD);
}
