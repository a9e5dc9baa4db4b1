/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The software CPU against this machine's processor: random instructions with random state are
 * executed here in user mode and by a guest of the backend `soft` at CPL 3, and must leave the same
 * registers, flags, memory, x87, SSE and AVX state, and raise the same fault.
 *
 *   form.c        the encodings: everything that the decoder knows and both processors have
 *   generate.c    a case: one or a few instructions
 *   state.c       the state that they meet
 *   aim.c         where memory operands, stacks and branches lead
 *   native.c      executes it here
 *   compare.c     what must be the same
 *   undefined.c   the tables of what need not
 *   shrink.c      makes a case that differs small
 *   main.c        options, the loop, the report
 *
 * state.h has the guest that executes it there, and the cases that once differed.
 */
#ifndef VISOR_TESTS_SILICON_H
#define VISOR_TESTS_SILICON_H

#include "soft/decode.h"
#include "state.h"

#define SILICON_INSNS 4u

struct silicon_case {
    uint8_t code[SILICON_INSNS * 16];
    unsigned length; /* bytes */
    unsigned count;  /* instructions */
    struct soft_insn insn[SILICON_INSNS];
    uint8_t start[SILICON_INSNS]; /* offset of each */
    /* In the code of a generated case: a displacement of 4 or 8 bytes of the last instruction. */
    uint8_t disp_at, disp_size;
    bool branches;      /* the last one may go anywhere */
    uint32_t undefined; /* flags that are undefined after it */
    struct silicon_state in;
};

/* ---- random numbers ---- */

void silicon_seed(uint64_t seed, uint64_t number);
uint64_t silicon_random(void);
unsigned silicon_below(unsigned n);
/* Floating point that is likely to matter. */
uint32_t silicon_f32(void);
uint64_t silicon_f64(void);
/* 0, 1, -1, powers of two and what is beside them, or anything. */
uint64_t silicon_edge(void);

/* ---- form.c ---- */

/* An encoding: what decides which instruction it is. */
struct silicon_form {
    uint8_t map;    /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
    uint8_t prefix; /* 0, 66, F3, F2 by 0 to 3 */
    uint8_t opcode;
    bool vex, w, l, memory;
    uint8_t reg, rm; /* of ModRM, that lead here */
    uint64_t signature;
    uint16_t id;
    uint8_t group; /* enum silicon_group */
};

#define SILICON_GROUPS(X)                                                                        \
    X(ALU, "arithmetic and logic")                                                               \
    X(SHIFT, "shifts and rotates")                                                               \
    X(BIT, "bits, BMI, ADX")                                                                     \
    X(MULTIPLY, "multiply and divide")                                                           \
    X(MOVE, "moves")                                                                             \
    X(STACK, "stack")                                                                            \
    X(STRING, "strings")                                                                         \
    X(ATOMIC, "exchanges")                                                                       \
    X(BRANCH, "branches")                                                                        \
    X(FLAGS, "flags")                                                                            \
    X(PRIVILEGED, "privileged")                                                                  \
    X(X87, "x87")                                                                                \
    X(MMX, "MMX")                                                                                \
    X(SSE, "SSE, AES, SHA")                                                                      \
    X(AVX, "AVX, AVX2, FMA, F16C") X(STATE, "state images") X(SEGMENT, "segments, far branches") \
        X(OWN, "the machine's own") X(OTHER, "others")
#define SILICON_GROUP_ID(id, text) SILICON_##id,
enum silicon_group { SILICON_GROUPS(SILICON_GROUP_ID) SILICON_GROUP_COUNT };
extern const char *const silicon_group_names[];

#define SILICON_FORMS_MAX 8192u
extern struct silicon_form silicon_forms[];
extern unsigned silicon_form_count;

/* What is not compared: because this processor lacks it, because soft does, because the result is
 * the machine's or the kernel's own. */
enum silicon_reason {
    SILICON_LACKING_HERE,
    SILICON_LACKING_THERE,
    SILICON_OWN_RESULT,
    SILICON_REASONS
};
struct silicon_left_out {
    uint16_t id;
    uint8_t reason;
};
#define SILICON_LEFT_OUT_MAX 1024u
extern struct silicon_left_out silicon_left_out[];
extern unsigned silicon_left_out_count;

bool silicon_loads_segment(const struct soft_insn *insn);
void silicon_forms_find(void);
bool silicon_has_modrm(const struct silicon_form *form);
/* Which instruction, with which kinds and sizes of operands. */
uint64_t silicon_signature(const struct soft_insn *insn);

/* ---- generate.c, state.c, aim.c ---- */

/* False: nothing that could be executed safely was found. */
bool silicon_generate(struct silicon_case *out, const struct silicon_form *form);
void silicon_state_random(struct silicon_state *out);
/* 16 bytes as instructions take them; the x87 part of an image. */
void silicon_random_half(uint8_t out[16]);
void silicon_random_x87(uint8_t *image);
/* Registers and memory so that the instruction finds its operands. False: it could reach memory
 * that is not ours. */
bool silicon_state_aim(struct silicon_case *c, unsigned number);
/* The linear address of the operand in memory; without the index of a gather. */
uint64_t silicon_effective(const struct silicon_case *c, unsigned number);
bool silicon_is_safe(const struct silicon_case *c, unsigned number);
/* Makes the displacement lead there, if there is one that nothing is added to but RIP. */
void silicon_set_displacement(struct silicon_case *c, unsigned number, uint64_t address);

/* ---- native.c ---- */

bool silicon_native_open(void);
void silicon_native_run(struct silicon_state *out, const struct silicon_case *c);

/* ---- compare.c, undefined.c ---- */

/* Flags that are undefined after the instruction with these operands. */
uint32_t silicon_undefined(const struct soft_insn *insn, const struct silicon_state *in);
/* Bits of the x87's status word that are undefined, where it is `status` after the instruction and
 * is_nan says what ST0 is. */
uint32_t silicon_undefined_status(unsigned id, uint64_t status, bool is_nan);
/* Whether ST0 is a NaN or an infinity. */
bool silicon_is_nan(const struct silicon_state *state);
/* Whether more than flags is undefined; in NULL: may be. */
bool silicon_result_undefined(const struct soft_insn *insn, const struct silicon_state *in);
/* Bits of general registers that are undefined, or the machine's own, after the instruction. */
void silicon_undefined_registers(uint64_t out[16], const struct soft_insn *insn,
                                 const struct silicon_state *in);
/* Whether what it does is another thing on other vendors' processors. */
bool silicon_is_vendors(const struct silicon_case *c);
/* Whether EFLAGS.AC means the same on all processors. */
bool silicon_checks_alignment(const struct silicon_form *form);
/* Of the data, written by an instruction that stores what vendors have differently. */
bool silicon_is_vendors_byte(const struct silicon_case *c, unsigned at);
/* FCOMI, FUCOMI and so on. */
bool silicon_is_comparison_to_flags(unsigned id);
/* Approximations, by the id of the instruction. */
bool silicon_is_transcendental(unsigned id);
bool silicon_is_f32_approximation(unsigned id);
/* NULL: the same; else what differs, in a static buffer. */
const char *silicon_compare(const struct silicon_case *c, const struct silicon_state *here,
                            const struct silicon_state *there);

/* ---- shrink.c ---- */

/* How often the processor did another thing when a case was repeated. */
extern unsigned silicon_unsteady;
/* Runs in both worlds; what differs, or NULL. */
const char *silicon_try(const struct silicon_case *c, struct silicon_state *here,
                        struct silicon_state *there);
void silicon_shrink(struct silicon_case *c);
/* As a row of known_rows.c. */
void silicon_print(const struct silicon_case *c, const struct silicon_state *here,
                   const struct silicon_state *there);
/* Decodes the instructions of a case; false if they are none. */
bool silicon_decode(struct silicon_case *c);
/* Runs the known cases here; how many there are, and how many differ. */
unsigned silicon_known_here(unsigned *differ);

#endif
