/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A decoded A64 instruction as text, so that tests can say in a line what they expect:
 *
 *     load x1,x2 8 [x3] post 16       LDP X1, X2, [X3], #16: elements of 8 bytes
 *     load x1 4 signed 8 [x2+4]       LDRSW: sign-extended to 8 bytes
 *     store v1 2 lane 5 [x2]          ST1 {V1.H}[5], [X2]
 *     load v1,v2 2x4 round [x2]       LD2 {V1.4H, V2.4H}, [X2]: elements go round the registers
 *     load v1 1 fill 16 [x2+x3 lsl 0] LD1R, its element repeated in 16 bytes
 *     add x2 by x1 8 [x3]             LDADD X1, X2, [X3]
 */
#ifndef VISOR_TESTS_A64_TEXT_H
#define VISOR_TESTS_A64_TEXT_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "assist/aarch64.h"

#define A64_TEXT 128

__attribute__((format(printf, 2, 3))) static inline void a64_append(char *text, const char *format,
                                                                    ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, A64_TEXT - used, format, args);
    va_end(args);
}

static inline void a64_append_registers(char *text, char file, const uint8_t *registers,
                                        unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        a64_append(text, "%s%c%u", i == 0 ? " " : ",", file, registers[i]);
}

static inline void a64_append_data(char *text, const struct visor__a64_insn *insn)
{
    a64_append_registers(text, insn->vector ? 'v' : 'x', insn->reg, insn->count);
    if (insn->kind == VISOR__A64_ATOMIC) {
        a64_append(text, " by");
        a64_append_registers(text, 'x', insn->operand, insn->count);
    }
    a64_append(text, " %u", insn->size);
    if (insn->elements > 1)
        a64_append(text, "x%u", insn->elements);
    if (insn->interleaved && insn->count > 1)
        a64_append(text, " round");
    if (insn->sign)
        a64_append(text, " signed %u", insn->width);
    if (insn->single_lane)
        a64_append(text, " lane %u", insn->lane);
    if (insn->replicate)
        a64_append(text, " fill %u", insn->width);
}

static inline void a64_append_index(char *text, const struct visor__a64_insn *insn)
{
    static const char *const extends[8] = {
        [VISOR__A64_UXTW] = "uxtw",
        [VISOR__A64_LSL] = "lsl",
        [VISOR__A64_SXTW] = "sxtw",
        [VISOR__A64_SXTX] = "sxtx",
    };
    const char *extend = extends[insn->extend % 8];

    if (insn->index == 31)
        return;
    a64_append(text, "x%u %s %u", insn->index, extend != NULL ? extend : "?", insn->shift);
}

static inline void a64_append_address(char *text, const struct visor__a64_insn *insn)
{
    static const char *const special[] = {"sp", "pc", "zero"};

    if (insn->base < VISOR__A64_BASE_SP)
        a64_append(text, " [x%u", insn->base);
    else
        a64_append(text, " [%s", special[insn->base - VISOR__A64_BASE_SP]);
    a64_append(text, "%s", insn->writeback == VISOR__A64_POST_INDEX ? "] post " : "");
    if (insn->index != 31 && insn->writeback != VISOR__A64_POST_INDEX)
        a64_append(text, "+");
    a64_append_index(text, insn);
    if (insn->index == 31 && insn->writeback == VISOR__A64_POST_INDEX)
        a64_append(text, "%" PRId64, insn->imm);
    else if (insn->imm != 0)
        a64_append(text, "%+" PRId64, insn->imm);
    a64_append(text, "%s", insn->writeback == VISOR__A64_POST_INDEX ? "" : "]");
    if (insn->writeback == VISOR__A64_PRE_INDEX)
        a64_append(text, " pre");
    if (insn->unprivileged)
        a64_append(text, " as el0");
}

/* text has A64_TEXT bytes. */
static inline void a64_describe(char *text, uint32_t word)
{
    static const char *const kinds[] = {"nothing", "load", "store", "zero"};
    static const char *const atomics[] = {"add",  "clr",  "eor",  "set", "smax",
                                          "smin", "umax", "umin", "swp", "cas"};
    static const char *const refusals[] = {"performed",
#define NAME(id, why) "refused " #id,
                                           VISOR__A64_REFUSALS(NAME)
#undef NAME
    };
    struct visor__a64_insn insn;
    int refusal = visor__a64_decode(&insn, word);

    text[0] = '\0';
    if (refusal != 0) {
        a64_append(text, "%s", refusals[refusal]);
        return;
    }
    a64_append(text, "%s",
               insn.kind == VISOR__A64_ATOMIC ? atomics[insn.atomic] : kinds[insn.kind]);
    if (insn.kind == VISOR__A64_NOTHING)
        return;
    if (insn.kind != VISOR__A64_ZERO)
        a64_append_data(text, &insn);
    a64_append_address(text, &insn);
}

#endif
