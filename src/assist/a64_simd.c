/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding LD1 to LD4 and ST1 to ST4: DDI 0487, "Advanced SIMD load/store multiple structures" and
 * "single structure", and the descriptions of the instructions for the order of elements. */
#include "assist/a64_decode.h"
#include "assist/aarch64.h"

#define UNKNOWN VISOR__A64_REFUSED_UNKNOWN

/* Q, L, Rn, Rt, and Rm of the post-indexed forms: 31 stands for the bytes transferred, and any
 * other register is added to the base. */
static void decode_common(struct visor__a64_insn *insn, uint32_t word)
{
    const uint8_t rm = (uint8_t)visor__a64_bits(word, 20, 16);

    insn->kind = visor__a64_bits(word, 22, 22) != 0 ? VISOR__A64_LOAD : VISOR__A64_STORE;
    insn->vector = true;
    insn->base = (uint8_t)visor__a64_bits(word, 9, 5);
    for (unsigned i = 0; i < insn->count; i++)
        insn->reg[i] = (uint8_t)((visor__a64_bits(word, 4, 0) + i) % 32);
    if (visor__a64_bits(word, 23, 23) == 0)
        return;
    insn->writeback = VISOR__A64_POST_INDEX;
    insn->index = rm;
    if (rm == 31)
        insn->imm = insn->count * insn->elements * insn->size;
}

int visor__a64_multiple_structures(struct visor__a64_insn *insn, uint32_t word)
{
    /* By opcode; count 0: not allocated. */
    static const struct {
        uint8_t count;
        bool interleaved;
    } forms[16] = {
        [0] = {4, true},  /* LD4 */
        [2] = {4, false}, /* LD1, four registers */
        [4] = {3, true},  /* LD3 */
        [6] = {3, false}, [7] = {1, false}, [8] = {2, true}, [10] = {2, false},
    };
    const unsigned opcode = visor__a64_bits(word, 15, 12), size = visor__a64_bits(word, 11, 10);
    const bool q = visor__a64_bits(word, 30, 30) != 0;

    insn->count = forms[opcode].count;
    insn->interleaved = forms[opcode].interleaved;
    if (insn->count == 0 || (insn->interleaved && size == 3 && !q))
        return UNKNOWN;
    insn->size = (uint8_t)(1u << size);
    insn->elements = (uint8_t)((q ? 16u : 8u) >> size);
    decode_common(insn, word);
    return 0;
}

int visor__a64_single_structure(struct visor__a64_insn *insn, uint32_t word)
{
    const unsigned scale = visor__a64_bits(word, 15, 14), size = visor__a64_bits(word, 11, 10);
    const unsigned q = visor__a64_bits(word, 30, 30), s = visor__a64_bits(word, 12, 12);
    const unsigned index =
        q << 3 | s << 2 | size; /* of bytes; of wider elements without low bits */
    unsigned size_log2 = scale;

    insn->count =
        (uint8_t)((visor__a64_bits(word, 13, 13) << 1 | visor__a64_bits(word, 21, 21)) + 1);
    if (scale == 3) { /* LD1R to LD4R */
        if (visor__a64_bits(word, 22, 22) == 0 || s != 0)
            return UNKNOWN;
        size_log2 = size;
        insn->replicate = true;
        insn->width = q != 0 ? 16 : 8;
    } else {
        if (scale == 2 && size == 1 && s == 0)
            size_log2 = 3;
        else if ((size & ((1u << scale) - 1)) != 0)
            return UNKNOWN;
        insn->single_lane = true;
        insn->lane = (uint8_t)(index >> size_log2);
    }
    insn->size = (uint8_t)(1u << size_log2);
    decode_common(insn, word);
    return 0;
}
