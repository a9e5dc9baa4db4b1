/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 instruction decoder: bytes to one description of an instruction.
 *
 * The truth are the tables insn_*.tbl, a line per encoding in the notation of the Intel SDM, volume
 * 2, appendix A. decode_gen.py turns them into soft_insn_ids.h (enum soft_insn_id, enum
 * soft_feature) and into the arrays that decode.c searches. Add an instruction there.
 *
 * What the decoder decides is what the bytes and the mode decide alone. Left to the semantics:
 *  - whether the CPU has the instruction: `feature`. Where a CPU without it executes another one
 *    (LZCNT is BSR, TZCNT is BSF, PAUSE and WBNOINVD are their plain forms), the translator knows.
 *  - real and virtual-8086 mode have no VEX encodings: a vex instruction is #UD there. (C4 and C5
 *    are LES and LDS with a memory operand, in every mode but 64-bit mode.) They have no LLDT, LTR,
 *    STR, SLDT, VERR, VERW, LAR, LSL and ARPL either.
 *  - CR4, CPL and CPUID, and which vendor: SYSCALL and SYSRET decode in every mode.
 *
 * Where vendors differ, the decoder follows Intel:
 *  - near branches in 64-bit mode have 64-bit operands whatever 66 says;
 *  - LES, LFS, JMP far... with REX.W have a 16:64 pointer in memory;
 *  - LOCK MOV CR0 does not mean CR8; XOP, 3DNow!, SSE4a, FMA4 and TBM are undefined.
 */
#ifndef VISOR_SOFT_DECODE_H
#define VISOR_SOFT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "soft_insn_ids.h"

/* Default size of operands and addresses, as CS and EFER say. In bytes. */
enum soft_mode {
    SOFT_MODE_16 = 2,
    SOFT_MODE_32 = 4,
    SOFT_MODE_64 = 8,
};

/* What soft_decode() returns if it is no length. */
#define SOFT_DECODE_MORE     (-1) /* all bytes were used up; the next one may fault */
#define SOFT_DECODE_INVALID  (-2) /* #UD */
#define SOFT_DECODE_TOO_LONG (-3) /* more than 15 bytes: #GP(0) */

#define SOFT_INSN_MAX_LENGTH 15

enum soft_operand_kind {
    SOFT_OPERAND_NONE,
    SOFT_OPERAND_GPR,      /* reg 0-15 */
    SOFT_OPERAND_GPR_HIGH, /* reg 0-3: AH, CH, DH, BH */
    SOFT_OPERAND_MEM,      /* `memory` */
    SOFT_OPERAND_IMM,      /* `imm`; ENTER's second: `imm2` */
    SOFT_OPERAND_REL,      /* `imm`: displacement from the end of the instruction */
    SOFT_OPERAND_FAR,      /* imm2:imm, selector and offset */
    SOFT_OPERAND_SEG,      /* enum soft_segment */
    SOFT_OPERAND_CR,
    SOFT_OPERAND_DR,
    SOFT_OPERAND_ST, /* reg 0-7: ST(reg) */
    SOFT_OPERAND_MMX,
    SOFT_OPERAND_XMM,
    SOFT_OPERAND_YMM,
};

/* As encoded in instructions, and the order of the state table. */
enum soft_segment {
    SOFT_SEG_ES,
    SOFT_SEG_CS,
    SOFT_SEG_SS,
    SOFT_SEG_DS,
    SOFT_SEG_FS,
    SOFT_SEG_GS,
};

enum soft_prefix {
    SOFT_PREFIX_LOCK = 1 << 0,
    SOFT_PREFIX_REP = 1 << 1,   /* F3, and it is not part of the opcode */
    SOFT_PREFIX_REPNE = 1 << 2, /* F2; the last of both counts, so they exclude each other */
    SOFT_PREFIX_66 = 1 << 3,
    SOFT_PREFIX_67 = 1 << 4,
    SOFT_PREFIX_SEGMENT = 1 << 5, /* memory.segment comes from a prefix that counts */
    SOFT_PREFIX_REX = 1 << 6,
    SOFT_PREFIX_VEX = 1 << 7,
};

/* What holds for an encoding: `attributes`. */
enum soft_attribute {
    SOFT_ATTR_LOCKABLE = 1 << 0,
    SOFT_ATTR_STRING = 1 << 1,      /* REP repeats it */
    SOFT_ATTR_STRING_TEST = 1 << 2, /* and so do REPE and REPNE: CMPS, SCAS */
    SOFT_ATTR_CPL0 = 1 << 3,        /* #GP(0) at CPL > 0, whatever else holds */
    SOFT_ATTR_BRANCH = 1 << 4,      /* near: may go to another RIP and changes nothing else */
    SOFT_ATTR_ENDS_BLOCK =
        1 << 5,                 /* the next instruction may be elsewhere, or mean another thing */
    SOFT_ATTR_STACK = 1 << 6,   /* implicit access at SS:rSP */
    SOFT_ATTR_CPL0_UD = 1 << 7, /* #UD at CPL > 0 */
};

/* Bits of flags_read, flags_written and flags_changed. */
enum soft_flag {
    SOFT_FLAG_C = 1 << 0,
    SOFT_FLAG_P = 1 << 1,
    SOFT_FLAG_A = 1 << 2,
    SOFT_FLAG_Z = 1 << 3,
    SOFT_FLAG_S = 1 << 4,
    SOFT_FLAG_O = 1 << 5,
    SOFT_FLAG_D = 1 << 6,
    SOFT_FLAG_OTHER = 1 << 7, /* any of the rest: IF, TF, IOPL... */
};

#define SOFT_REG_NONE 0xff
#define SOFT_REG_RIP  16 /* memory.base: of the next instruction */

struct soft_operand {
    uint8_t kind; /* enum soft_operand_kind */
    uint8_t reg;
    /*
     * Bytes that are accessed: of a scalar in an XMM register, 4 or 8. Of an immediate: what it is
     * extended to. 0: an address alone (LEA, INVLPG, prefetches, NOP), or as long as the CPU's
     * configuration says (XSAVE).
     */
    uint16_t size;
};

/*
 * The one explicit memory operand. Of instructions with an implicit one (strings, XLAT, MASKMOVQ,
 * MONITOR) there is `segment`, of the one that can be overridden. Effective address: the sum,
 * truncated to address_size. Direct offsets (MOV AL, [offset]) are a disp alone.
 */
struct soft_memory {
    uint8_t segment; /* enum soft_segment: what applies, SS if the base is rSP or rBP */
    uint8_t base;    /* 0-15, SOFT_REG_RIP, SOFT_REG_NONE */
    uint8_t index;   /* 0-15, SOFT_REG_NONE */
    uint8_t scale;   /* index << scale */
    uint8_t vsib;    /* gathers: bytes of the vector register that index is; else 0 */
    int64_t disp;
};

struct soft_insn {
    uint16_t id; /* enum soft_insn_id */
    uint8_t length;
    uint8_t mode;         /* enum soft_mode */
    uint8_t operand_size; /* of the integer operation: 1, 2, 4, 8; no matter to vector ones */
    uint8_t address_size; /* 2, 4, 8 */
    uint8_t prefixes;     /* enum soft_prefix */
    uint8_t opcode;       /* its last byte, in its map */
    uint8_t condition;    /* of JCC, SETCC, CMOVCC: 0 (O) to 15 (NLE) */
    /*
     * VEX encodings of an instruction that also has a legacy one have the same id (VADDPS: ADDPS).
     * They have the first source as an operand of its own and zero the destination above what they
     * write. vex_length is 16 or 32 bytes, 0 for a legacy encoding.
     */
    uint8_t vex_length;
    bool rex_w;          /* REX.W or VEX.W */
    uint8_t feature;     /* enum soft_feature */
    uint16_t attributes; /* enum soft_attribute */
    /*
     * enum soft_flag. read: the result depends on them. written: lost, whatever happens: replaced
     * or undefined. changed: maybe replaced (a shift by CL, a repeated CMPS), else as before.
     */
    uint8_t flags_read, flags_written, flags_changed;
    uint8_t operand_count;
    struct soft_operand operand[4]; /* in Intel's order, destination first */
    struct soft_memory memory;
    int64_t imm; /* extended as the instruction says */
    uint16_t imm2;
};

/*
 * Decodes the instruction at bytes, of which `available` may be read, and returns its length, 1 to
 * 15, or SOFT_DECODE_MORE, SOFT_DECODE_INVALID, SOFT_DECODE_TOO_LONG; *out is undefined then. Bytes
 * that do not belong to the instruction are never looked at. #UD wins over bytes that are missing
 * if those that are there suffice to know it.
 */
int soft_decode(struct soft_insn *out, const uint8_t *bytes, size_t available, enum soft_mode mode);

/* "ADD"; of VEX encodings of a shared id the legacy name. Never NULL. */
const char *soft_insn_name(enum soft_insn_id id);

#endif
