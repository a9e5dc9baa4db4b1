/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A case: a whole machine at random, and an instruction or an event at random. Both hypervisors
 * get the same, run it to the next HLT, which all handlers are, and must agree on everything.
 *
 *   system_state.c    memory: descriptors, page tables; and registers
 *   system_code.c     the instruction, by families
 *   system_control.c  those of system calls and control
 *   system_tasks.c    tasks in memory, and what switches them
 *   system_run.c      runs a case on a machine
 *   system_compare.c  compares
 *   system_quirks.c   knows what is not compared, and why
 *   system.c          many cases, and what is told of them
 */
#ifndef VISOR_TESTS_DIFFERENTIAL_SYSTEM_H
#define VISOR_TESTS_DIFFERENTIAL_SYSTEM_H

#include "machine.h"

/* Guest-physical memory, which paging maps one to one from 0. */
#define SYSTEM_RAM      0x14000u
#define SYSTEM_GDT      0x1000u
#define SYSTEM_LDT      0x1400u
#define SYSTEM_TSS      0x1800u /* the present task; two more behind it */
#define SYSTEM_TSS_STEP 0x200u
#define SYSTEM_IDT      0x2000u
#define SYSTEM_HANDLERS 0x3000u /* of vector n at 2 n, and of gates from 0x3800 on */
#define SYSTEM_TABLES   0x4000u /* page tables of the first pages */
#define SYSTEM_WILD     0x8000u /* page tables at random, 3 pages */
#define SYSTEM_CODE     0xc000u
#define SYSTEM_DATA     0xd000u
#define SYSTEM_STACK    0xe000u /* of CPL 0 to 2, a page; and 3, another */
#define SYSTEM_FREE     0x11000u

/* Selectors of good descriptors. */
#define SYSTEM_CODE_0     0x08u
#define SYSTEM_DATA_0     0x10u
#define SYSTEM_CODE_3     0x1bu
#define SYSTEM_DATA_3     0x23u
#define SYSTEM_TSS_NOW    0x28u /* 16 bytes, as the next */
#define SYSTEM_LDT_NOW    0x38u
#define SYSTEM_TASK_32    0x48u
#define SYSTEM_TASK_16    0x50u
#define SYSTEM_DATA_1     0x59u
#define SYSTEM_DATA_2     0x62u
#define SYSTEM_CODE_1     0x69u
#define SYSTEM_CODE_2     0x72u
#define SYSTEM_CONFORMING 0x78u
#define SYSTEM_CODE_16    0x80u
#define SYSTEM_WILD_FIRST 0x88u
#define SYSTEM_GDT_SIZE   0x200u

enum system_mode { REAL, VM86, PROTECTED_16, PROTECTED_32, COMPATIBLE, LONG, MODES };

enum system_family {
    PAGING,
    SEGMENTS,
    FAR,
    EXCEPTIONS,
    EVENTS,
    SYSCALLS,
    CONTROL,
    TASKS,
    FAMILIES
};
extern const char *const system_family_names[FAMILIES];
extern const char *const system_mode_names[MODES];

#define SYSTEM_MSRS 12u

struct system_case {
    uint64_t seed;
    enum system_family family;
    enum system_mode mode;
    unsigned cpl;
    bool wide;       /* 32-bit or 64-bit addresses */
    uint64_t target; /* an address that wild page tables translate, or in the data */
    uint16_t stack;  /* a selector that a far return finds for SS */
    char what[80];
    uint8_t code[24];
    unsigned length;
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    visor_x86_debugregs debugregs;
    visor_x86_events events;
    visor_x86_msr msrs[SYSTEM_MSRS];
    uint8_t ram[SYSTEM_RAM];
};

/* What a case has come to. */
struct system_end {
    int reason;
    unsigned accesses; /* to what is no memory */
    uint64_t trace;    /* a sum of these */
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    visor_x86_debugregs debugregs;
    visor_x86_events events;
    visor_x86_msr msrs[SYSTEM_MSRS];
};

void system_make(struct system_case *out, uint64_t seed, int family);
void system_make_code(struct system_case *c, struct dice *dice);
void system_make_tasks(struct system_case *c, struct dice *dice);
uint32_t system_stack_top(unsigned cpl);
/* EFLAGS at random, without TF and VM. */
uint32_t system_flags(struct dice *dice);
/* A selector that may be good for something. */
uint16_t system_selector(struct dice *dice);

extern const uint32_t system_msrs[SYSTEM_MSRS];

/* NULL: fine. */
const char *system_run(struct system_end *out, struct machine *machine,
                       const struct system_case *c);
/* For a timer: the vCPU that runs, and how many cases have been run. */
extern visor_vcpu *volatile system_running;
extern volatile unsigned system_count;

/* Whether both have come to the same; prints what differs if say. */
bool system_same(const struct system_case *c, const struct system_end *kvm,
                 const struct system_end *soft, const uint8_t *kvm_ram, const uint8_t *soft_ram,
                 bool say);

/* The vector whose handler a case has come to; 256: to no handler. */
unsigned system_vector(const struct system_end *end);
/* Whether four bytes of memory differ, of which value is the software CPU's, for a known reason. */
bool system_memory_quirk(const struct system_case *c, const struct system_end *soft, unsigned at,
                         uint64_t kvm, uint64_t value);
/* Why a case that differs is not to be compared at all, or NULL. */
const char *system_excuse(const struct system_case *c, const struct system_end *kvm,
                          const struct system_end *soft, const uint8_t *soft_ram);

static inline bool dice_one_in(struct dice *dice, unsigned n)
{
    return dice_below(dice, n) == 0;
}
static inline uint64_t dice_of(struct dice *dice, const uint64_t *values, unsigned count)
{
    return values[dice_below(dice, count)];
}
#define DICE_OF(dice, ...)                           \
    dice_of((dice), (const uint64_t[]){__VA_ARGS__}, \
            sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

#endif
