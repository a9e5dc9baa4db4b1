/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments: descriptors, loads, far transfers, task switches (SDM vol. 3A, chapters 3, 5 and 7).
 *
 * All of these raise what goes wrong before they change a register.
 */
#ifndef VISOR_SOFT_SEGMENT_H
#define VISOR_SOFT_SEGMENT_H

#include "soft/cpu.h"

/* Types of system descriptors (SDM vol. 3A, table 3-2). */
#define SOFT_TYPE_TSS16      1u
#define SOFT_TYPE_LDT        2u
#define SOFT_TYPE_TSS16_BUSY 3u
#define SOFT_TYPE_CALL16     4u
#define SOFT_TYPE_TASK       5u
#define SOFT_TYPE_INT16      6u
#define SOFT_TYPE_TRAP16     7u
#define SOFT_TYPE_TSS        9u /* 32 or 64 bits */
#define SOFT_TYPE_TSS_BUSY   11u
#define SOFT_TYPE_CALL       12u
#define SOFT_TYPE_INT        14u
#define SOFT_TYPE_TRAP       15u

/* Of code and data segments. */
#define SOFT_TYPE_ACCESSED   1u
#define SOFT_TYPE_WRITABLE   2u /* data; code: readable */
#define SOFT_TYPE_CONFORMING 4u /* code; data: expands down */
#define SOFT_TYPE_CODE       8u

struct soft_descriptor {
    uint64_t raw, high; /* high: the second half of a system descriptor in long mode */
    uint64_t address;   /* linear */
};

static inline unsigned soft_desc_type(const struct soft_descriptor *d)
{
    return (unsigned)(d->raw >> 40) & 15;
}
static inline bool soft_desc_s(const struct soft_descriptor *d)
{
    return (d->raw >> 44 & 1) != 0;
}
static inline unsigned soft_desc_dpl(const struct soft_descriptor *d)
{
    return (unsigned)(d->raw >> 45) & 3;
}
static inline bool soft_desc_present(const struct soft_descriptor *d)
{
    return (d->raw >> 47 & 1) != 0;
}
static inline bool soft_desc_l(const struct soft_descriptor *d)
{
    return (d->raw >> 53 & 1) != 0;
}
static inline bool soft_desc_db(const struct soft_descriptor *d)
{
    return (d->raw >> 54 & 1) != 0;
}
static inline bool soft_desc_is_code(const struct soft_descriptor *d)
{
    return soft_desc_s(d) && (soft_desc_type(d) & SOFT_TYPE_CODE) != 0;
}
static inline bool soft_desc_is_conforming_code(const struct soft_descriptor *d)
{
    return soft_desc_is_code(d) && (soft_desc_type(d) & SOFT_TYPE_CONFORMING) != 0;
}
/* A gate's (SDM vol. 3A, figures 5-8, 6-2 and 6-8). */
static inline uint16_t soft_gate_selector(const struct soft_descriptor *d)
{
    return (uint16_t)(d->raw >> 16);
}
static inline uint64_t soft_gate_offset(const struct soft_descriptor *d)
{
    return (d->raw & 0xffff) | (d->raw >> 32 & 0xffff0000) | (d->high << 32);
}

/* Reads a descriptor of GDT or LDT; raises `vector` with the selector if it is outside. False only
 * if vector is 0, which raises nothing. system: with its second half in long mode. */
bool soft_descriptor_read(struct soft_descriptor *out, struct soft_cpu *cpu,
                          const struct soft_uop *op, uint16_t selector, enum soft_vector vector);
/* Reads the second half, if the mode has one. */
void soft_descriptor_read_high(struct soft_descriptor *d, struct soft_cpu *cpu,
                               const struct soft_uop *op, uint16_t selector,
                               enum soft_vector vector);
/* Sets the accessed bit in memory and here. */
void soft_descriptor_access(struct soft_descriptor *d, struct soft_cpu *cpu,
                            const struct soft_uop *op);
void soft_segment_unpack(visor_x86_segment *out, const struct soft_descriptor *d,
                         uint16_t selector);

/* MOV and POP to a segment register, LDS...: any but CS. */
void soft_segment_load(struct soft_cpu *cpu, const struct soft_uop *op, unsigned which,
                       uint16_t selector);
/* A register as real mode and virtual-8086 mode load it. */
void soft_segment_set_real(struct soft_cpu *cpu, unsigned which, uint16_t selector);
/* What loading SS for an inner or outer ring checks; raises `vector`. */
void soft_stack_segment(visor_x86_segment *out, struct soft_cpu *cpu, const struct soft_uop *op,
                        uint16_t selector, unsigned cpl, enum soft_vector vector);
/* Sets CS for good, and CPL with it, which is SS.DPL here. */
void soft_set_cs(struct soft_cpu *cpu, const visor_x86_segment *cs, unsigned cpl);

void soft_lldt(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector);
void soft_ltr(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector);
/* LAR, LSL, VERR, VERW: whether the selector passes. */
bool soft_lar(uint32_t *out, struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector);
bool soft_lsl(uint32_t *out, struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector);
bool soft_verify(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector, bool write);

/* SS:rSP of an inner ring from the TSS; out of long mode. */
void soft_inner_stack(uint16_t *ss, uint64_t *sp, struct soft_cpu *cpu, const struct soft_uop *op,
                      unsigned cpl);
/* The stack pointer in a 64-bit TSS: slot 0 to 2 are RSPn, 3 + n is ISTn. */
uint64_t soft_inner_stack_64(struct soft_cpu *cpu, const struct soft_uop *op, unsigned slot);

/* ---- far.c: they set cpu->rip; size is the operand's, in bytes; next is the return address ----
 */

void soft_far_jump(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                   uint64_t offset, unsigned size, uint64_t next);
void soft_far_call(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                   uint64_t offset, unsigned size, uint64_t next);
void soft_far_return(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size,
                     unsigned release);
void soft_iret(struct soft_cpu *cpu, const struct soft_uop *op, unsigned size, uint64_t next);

/* ---- task.c ---- */

enum soft_task_reason { SOFT_TASK_JUMP, SOFT_TASK_CALL, SOFT_TASK_IRET, SOFT_TASK_EVENT };
/* Switches to the task of a TSS selector. next: the old task's RIP. error: an event's, or NULL. */
void soft_task_switch(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector,
                      enum soft_task_reason reason, uint64_t next, const uint32_t *error);

#endif
