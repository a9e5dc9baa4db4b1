/* SPDX-License-Identifier: BSD-3-Clause */
/* What Zydis calls an instruction of the decoder: for soft_zydis_test.c. */
#ifndef VISOR_TESTS_SOFT_ZYDIS_NAMES_H
#define VISOR_TESTS_SOFT_ZYDIS_NAMES_H

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "soft/decode.h"

#define NAME_SIZE 32

/* Of one id with several names by operand size: bytes, words, double and quad words. */
struct sized_name {
    enum soft_insn_id id;
    const char *names[4];
};

static const struct sized_name sized_names[] = {
    {SOFT_INSN_MOVS, {"MOVSB", "MOVSW", "MOVSD", "MOVSQ"}},
    {SOFT_INSN_CMPS, {"CMPSB", "CMPSW", "CMPSD", "CMPSQ"}},
    {SOFT_INSN_STOS, {"STOSB", "STOSW", "STOSD", "STOSQ"}},
    {SOFT_INSN_LODS, {"LODSB", "LODSW", "LODSD", "LODSQ"}},
    {SOFT_INSN_SCAS, {"SCASB", "SCASW", "SCASD", "SCASQ"}},
    {SOFT_INSN_INS, {"INSB", "INSW", "INSD", NULL}},
    {SOFT_INSN_OUTS, {"OUTSB", "OUTSW", "OUTSD", NULL}},
    {SOFT_INSN_CBW, {NULL, "CBW", "CWDE", "CDQE"}},
    {SOFT_INSN_CWD, {NULL, "CWD", "CDQ", "CQO"}},
    {SOFT_INSN_PUSHA, {NULL, "PUSHA", "PUSHAD", NULL}},
    {SOFT_INSN_POPA, {NULL, "POPA", "POPAD", NULL}},
    {SOFT_INSN_PUSHF, {NULL, "PUSHF", "PUSHFD", "PUSHFQ"}},
    {SOFT_INSN_POPF, {NULL, "POPF", "POPFD", "POPFQ"}},
    {SOFT_INSN_IRET, {NULL, "IRET", "IRETD", "IRETQ"}},
};

static const char *const conditions[16] = {"O", "NO", "B", "NB", "Z", "NZ", "BE", "NBE",
                                           "S", "NS", "P", "NP", "L", "NL", "LE", "NLE"};

/* Of others: an id and its name. */
struct other_name {
    enum soft_insn_id id;
    const char *name;
};

static const struct other_name other_names[] = {
    {SOFT_INSN_CALLF, "CALL"},
    {SOFT_INSN_JMPF, "JMP"},
    {SOFT_INSN_RETF, "RET"},
};

/* With 64 bits these have a name of their own. */
static const enum soft_insn_id names_with_64[] = {
    SOFT_INSN_FXSAVE,   SOFT_INSN_FXRSTOR, SOFT_INSN_XSAVE,  SOFT_INSN_XRSTOR,
    SOFT_INSN_XSAVEOPT, SOFT_INSN_XSAVEC,  SOFT_INSN_XSAVES, SOFT_INSN_XRSTORS,
};

static inline unsigned size_index(unsigned bytes)
{
    return bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
}

static inline void name_of(char out[NAME_SIZE], const struct soft_insn *insn)
{
    const char *name = soft_insn_name(insn->id);
    const unsigned index = size_index(insn->operand_size);

    snprintf(out, NAME_SIZE, "%s", name);
    for (unsigned i = 0; i < sizeof(sized_names) / sizeof(*sized_names); i++) {
        if (sized_names[i].id == insn->id && sized_names[i].names[index] != NULL)
            snprintf(out, NAME_SIZE, "%s", sized_names[i].names[index]);
    }
    for (unsigned i = 0; i < sizeof(other_names) / sizeof(*other_names); i++) {
        if (other_names[i].id == insn->id)
            snprintf(out, NAME_SIZE, "%s", other_names[i].name);
    }
    for (unsigned i = 0; i < sizeof(names_with_64) / sizeof(*names_with_64); i++) {
        if (names_with_64[i] == insn->id && insn->operand_size == 8)
            snprintf(out, NAME_SIZE, "%s64", name);
    }
    if (insn->id == SOFT_INSN_JCC || insn->id == SOFT_INSN_SETCC || insn->id == SOFT_INSN_CMOVCC)
        snprintf(out, NAME_SIZE, "%.*s%s", (int)strlen(name) - 2, name,
                 conditions[insn->condition]);
    if (insn->id == SOFT_INSN_JCXZ)
        snprintf(out, NAME_SIZE, "%s",
                 insn->address_size == 8   ? "JRCXZ"
                 : insn->address_size == 4 ? "JECXZ"
                                           : "JCXZ");
}

/* Both in any case; the VEX form of a shared id has a V. */
static inline bool is_same_name(const struct soft_insn *insn, const char *zydis)
{
    char name[NAME_SIZE], upper[NAME_SIZE];
    unsigned i;

    name_of(name, insn);
    for (i = 0; zydis[i] != '\0' && i + 1 < NAME_SIZE; i++)
        upper[i] = (char)toupper((unsigned char)zydis[i]);
    upper[i] = '\0';
    return strcmp(name, upper) == 0 ||
           (insn->vex_length != 0 && upper[0] == 'V' && strcmp(name, upper + 1) == 0);
}

#endif
