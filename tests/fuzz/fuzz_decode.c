/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feeds bytes to the x86 decoder, in all modes: what it says must be possible, and must not depend
 * on bytes behind the instruction.
 */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "soft/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct soft_insn *insn)
{
    require(insn->id > SOFT_INSN_NONE && insn->id < SOFT_INSN_COUNT);
    require(insn->feature < SOFT_FEATURE_COUNT);
    require(insn->operand_count <= 4);
    require(insn->operand_size == 1 || insn->operand_size == 2 || insn->operand_size == 4 ||
            insn->operand_size == 8);
    require(insn->address_size == 2 || insn->address_size == 4 || insn->address_size == 8);
    require(insn->memory.segment <= SOFT_SEG_GS && insn->memory.scale <= 3);
    require(insn->memory.base <= SOFT_REG_RIP || insn->memory.base == SOFT_REG_NONE);
    require(insn->memory.index < 16 || insn->memory.index == SOFT_REG_NONE);
    for (unsigned i = 0; i < insn->operand_count; i++) {
        require(insn->operand[i].kind != SOFT_OPERAND_NONE);
        require(insn->operand[i].kind <= SOFT_OPERAND_YMM);
        require(insn->operand[i].reg < (insn->mode == SOFT_MODE_64 ? 16 : 8));
        require(insn->operand[i].kind != SOFT_OPERAND_GPR_HIGH || insn->operand[i].reg < 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum soft_mode modes[] = {SOFT_MODE_16, SOFT_MODE_32, SOFT_MODE_64};
    struct soft_insn insn, again;

    for (unsigned i = 0; i < 3; i++) {
        int length = soft_decode(&insn, data, size, modes[i]);
        uint8_t *copy;

        require(length >= SOFT_DECODE_TOO_LONG && length <= SOFT_INSN_MAX_LENGTH && length != 0);
        if (length < 0)
            continue;
        require((size_t)length <= size && insn.length == length);
        check(&insn);
        /* The sanitizer sees a read behind it. */
        copy = malloc((size_t)length);
        require(copy != NULL);
        memcpy(copy, data, (size_t)length);
        require(soft_decode(&again, copy, (size_t)length, modes[i]) == length);
        require(again.id == insn.id);
        require(soft_decode(&again, copy, (size_t)length - 1, modes[i]) == SOFT_DECODE_MORE);
        free(copy);
    }
    return 0;
}
