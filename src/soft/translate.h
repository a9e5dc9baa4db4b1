/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of the translator. */
#ifndef VISOR_SOFT_TRANSLATE_H
#define VISOR_SOFT_TRANSLATE_H

#include "soft/block.h"
#include "soft/decode.h"
#include "soft/ops.h"

/* log2 of 1, 2, 4, 8 bytes. */
static inline unsigned soft_size_index(unsigned bytes)
{
    return bytes >= 8 ? 3 : bytes >> 1;
}

/* Byte offset of a general register. */
static inline uint8_t soft_reg_offset(const struct soft_operand *operand)
{
    return (uint8_t)(operand->kind == SOFT_OPERAND_GPR_HIGH ? 8 * operand->reg + 1
                                                            : 8 * operand->reg);
}

/* Appends a micro-operation of the present instruction, with everything else 0, no address. */
struct soft_uop *soft_emit(struct soft_translation_unit *unit, soft_handler *run);
/*
 * Prepares the address of the memory operand, with a micro-operation of its own where it takes one,
 * for the micro-operation that follows: soft_use_address() copies it there. size: bytes of the
 * access, 0: not known. write: it is written to.
 */
struct soft_address {
    uint8_t base, index, scale;
    int32_t disp;
    uint8_t flags; /* SOFT_UOP_STACK */
};
struct soft_address soft_emit_address(struct soft_translation_unit *unit, unsigned size,
                                      bool write);
static inline void soft_use_address(struct soft_uop *op, const struct soft_address *address)
{
    op->base = address->base;
    op->index = address->index;
    op->scale = address->scale;
    op->disp = address->disp;
    op->aux2 |= address->flags;
}
/* Both, for handlers with one memory operand. */
struct soft_uop *soft_emit_memory(struct soft_translation_unit *unit, soft_handler *run,
                                  unsigned size, bool write);

/* Each translates what it knows: whether it did. */
bool soft_translate_integer(struct soft_translation_unit *unit, const struct soft_insn *insn);
bool soft_translate_system(struct soft_translation_unit *unit, const struct soft_insn *insn);
bool soft_translate_vector(struct soft_translation_unit *unit, const struct soft_insn *insn);
bool soft_translate_x87(struct soft_translation_unit *unit, const struct soft_insn *insn);

#endif
