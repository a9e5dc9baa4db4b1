/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * String instructions, repeated or not. One iteration after another: each is complete, with its
 * registers, before the next begins, so that a fault or a device leaves in between as on a
 * processor. Where both sides are plain memory, whole runs are moved at once.
 *
 * aux: bytes of an element; aux2: the repetition; src: segment of the source; src2: bytes of
 * addresses.
 */
#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/stack.h"

/* So many iterations at a time: then others get their turn. */
#define SLICE 4096u

static uint64_t cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : size == 4 ? (uint32_t)value : (uint16_t)value;
}

static void advance(struct soft_cpu *cpu, const struct soft_uop *op, unsigned reg, int64_t by)
{
    if (op->src2 == 2)
        SOFT_R(uint16_t, 8 * reg) = (uint16_t)(cpu->r[reg] + (uint64_t)by);
    else
        cpu->r[reg] = cut(cpu->r[reg] + (uint64_t)by, op->src2);
}

static int64_t step_of(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return (cpu->eflags & SOFT_DF) != 0 ? -(int64_t)op->aux : op->aux;
}

/* The linear address of an element. */
static uint64_t linear(struct soft_cpu *cpu, const struct soft_uop *op, unsigned segment,
                       unsigned reg, bool write)
{
    uint64_t offset = cut(cpu->r[reg], op->src2);

    if ((cpu->mode & SOFT_IN_64) != 0)
        return offset + soft_base_in_64(cpu, segment);
    return soft_segment_linear(cpu, op, segment, offset, op->aux, write);
}

static uint64_t read_element(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address)
{
    switch (op->aux) {
    case 1: return soft_read8(cpu, op, address);
    case 2: return soft_read16(cpu, op, address);
    case 4: return soft_read32(cpu, op, address);
    default: return soft_read64(cpu, op, address);
    }
}

static void write_element(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                          uint64_t value)
{
    switch (op->aux) {
    case 1: soft_write8(cpu, op, address, (uint8_t)value); break;
    case 2: soft_write16(cpu, op, address, (uint16_t)value); break;
    case 4: soft_write32(cpu, op, address, (uint32_t)value); break;
    default: soft_write64(cpu, op, address, value); break;
    }
}

/* ---- one iteration of each ---- */

/* Bytes up to a page's end; whole elements. */
static uint64_t room(uint64_t address, unsigned size)
{
    return (SOFT_PAGE - (address & (SOFT_PAGE - 1))) / size;
}

/* How many elements can be moved at once: forwards, in one page on each side. */
static uint64_t run_length(const struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count,
                           uint64_t to, uint64_t from)
{
    uint64_t most = room(to, op->aux);

    if ((cpu->eflags & SOFT_DF) != 0 || op->src2 == 2)
        return 1;
    if (room(from, op->aux) < most)
        most = room(from, op->aux);
    return most < count ? most : count;
}

static uint64_t movs(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t from = linear(cpu, op, op->src, SOFT_RSI, false);
    uint64_t to = linear(cpu, op, SOFT_SEG_ES, SOFT_RDI, true);
    uint64_t n = run_length(cpu, op, count, to, from);
    const void *source = n > 1 ? soft_read_pointer(cpu, from, 1) : NULL;
    void *target = n > 1 ? soft_write_pointer(cpu, to, 1) : NULL;

    /* An overlap that copies what it has just written is left to single elements. */
    if (source != NULL && target != NULL &&
        ((uintptr_t)target <= (uintptr_t)source ||
         (uintptr_t)target - (uintptr_t)source >= n * op->aux) &&
        (cpu->mode & (SOFT_IN_64 | SOFT_IN_FLAT)) != 0) {
        memmove(target, source, n * op->aux);
    } else {
        n = 1;
        write_element(cpu, op, to, read_element(cpu, op, from));
    }
    advance(cpu, op, SOFT_RSI, (int64_t)n * step_of(cpu, op));
    advance(cpu, op, SOFT_RDI, (int64_t)n * step_of(cpu, op));
    return n;
}

static uint64_t stos(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t to = linear(cpu, op, SOFT_SEG_ES, SOFT_RDI, true);
    uint64_t n = run_length(cpu, op, count, to, to), value = cpu->r[SOFT_RAX];
    uint8_t *target = n > 1 ? soft_write_pointer(cpu, to, 1) : NULL;

    if (target != NULL && (cpu->mode & (SOFT_IN_64 | SOFT_IN_FLAT)) != 0) {
        for (uint64_t i = 0; i < n; i++, target += op->aux)
            memcpy(target, &value, op->aux);
    } else {
        n = 1;
        write_element(cpu, op, to, value);
    }
    advance(cpu, op, SOFT_RDI, (int64_t)n * step_of(cpu, op));
    return n;
}

static uint64_t lods(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t value = read_element(cpu, op, linear(cpu, op, op->src, SOFT_RSI, false));

    (void)count;
    if (op->aux >= 4)
        cpu->r[SOFT_RAX] = value;
    else
        memcpy(&cpu->r[SOFT_RAX], &value, op->aux);
    advance(cpu, op, SOFT_RSI, step_of(cpu, op));
    return 1;
}

static void compare(struct soft_cpu *cpu, uint64_t a, uint64_t b, unsigned size)
{
    switch (size) {
    case 1: soft_flags_sub(cpu, a, b, a - b, 8); break;
    case 2: soft_flags_sub(cpu, a, b, a - b, 16); break;
    case 4: soft_flags_sub(cpu, a, b, a - b, 32); break;
    default: soft_flags_sub(cpu, a, b, a - b, 64); break;
    }
}

static uint64_t scas(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t value = read_element(cpu, op, linear(cpu, op, SOFT_SEG_ES, SOFT_RDI, false));

    (void)count;
    compare(cpu, cpu->r[SOFT_RAX], value, op->aux);
    advance(cpu, op, SOFT_RDI, step_of(cpu, op));
    return 1;
}

static uint64_t cmps(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t a = read_element(cpu, op, linear(cpu, op, op->src, SOFT_RSI, false));
    uint64_t b = read_element(cpu, op, linear(cpu, op, SOFT_SEG_ES, SOFT_RDI, false));

    (void)count;
    compare(cpu, a, b, op->aux);
    advance(cpu, op, SOFT_RSI, step_of(cpu, op));
    advance(cpu, op, SOFT_RDI, step_of(cpu, op));
    return 1;
}

static uint64_t ins(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t to = linear(cpu, op, SOFT_SEG_ES, SOFT_RDI, true);

    (void)count;
    /* The port is not read if the value cannot be stored. */
    soft_check_write(cpu, op, to, op->aux, soft_rights(cpu));
    write_element(cpu, op, to, soft_port_read(cpu, op, (uint16_t)cpu->r[SOFT_RDX], op->aux));
    advance(cpu, op, SOFT_RDI, step_of(cpu, op));
    return 1;
}

static uint64_t outs(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t count)
{
    uint64_t value = read_element(cpu, op, linear(cpu, op, op->src, SOFT_RSI, false));

    (void)count;
    soft_port_write(cpu, op, (uint16_t)cpu->r[SOFT_RDX], value, op->aux);
    advance(cpu, op, SOFT_RSI, step_of(cpu, op));
    return 1;
}

/* ---- repetition ---- */

/* Not where time is counted: what comes at the host's time must not tell where blocks begin. */
static inline bool is_interrupted(const struct soft_cpu *cpu)
{
    return cpu->machine->devices.tsc != NULL &&
           atomic_load_explicit(&cpu->attention, memory_order_relaxed) > SOFT_LOOK_STEP;
}

static inline const struct soft_uop *repeat(struct soft_cpu *cpu, const struct soft_uop *op,
                                            uint64_t (*once)(struct soft_cpu *,
                                                             const struct soft_uop *, uint64_t))
{
    /* Stepping sees each iteration. */
    const bool single = (cpu->mode & SOFT_IN_SINGLE) != 0;
    unsigned how = op->aux2 & 3u;
    uint64_t count, slice = SLICE;

    if (how == 0) {
        once(cpu, op, 1);
        SOFT_NEXT;
    }
    for (;;) {
        count = cut(cpu->r[SOFT_RCX], op->src2);
        if (count == 0)
            break;
        advance(cpu, op, SOFT_RCX, -(int64_t)once(cpu, op, single ? 1 : count));
        soft_access_commit(cpu);
        if (how != SOFT_REP && soft_zf(cpu) != (how == SOFT_REPE))
            break;
        if (cut(cpu->r[SOFT_RCX], op->src2) == 0)
            break;
        if (single) {
            /* The instruction is still the same, for breakpoints on it, too (SDM vol. 3B,
             * 17.3.1.1). */
            cpu->rip = soft_rip(cpu, op);
            cpu->icount--;
            if (cpu->debugging || cpu->step_trap)
                cpu->eflags |= SOFT_RF;
            return NULL;
        }
        /* Interruptible between iterations: RIP stays at the instruction. Never before the first,
         * as who completes an access comes here until it is. */
        if (--slice == 0 || is_interrupted(cpu))
            soft_leave(cpu, op, SOFT_LEAVE_AGAIN);
    }
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_movs)
{
    return repeat(cpu, op, movs);
}

SOFT_HANDLER(soft_op_stos)
{
    return repeat(cpu, op, stos);
}

SOFT_HANDLER(soft_op_lods)
{
    return repeat(cpu, op, lods);
}

SOFT_HANDLER(soft_op_scas)
{
    return repeat(cpu, op, scas);
}

SOFT_HANDLER(soft_op_cmps)
{
    return repeat(cpu, op, cmps);
}

SOFT_HANDLER(soft_op_ins)
{
    soft_check_io(cpu, op, (uint16_t)cpu->r[SOFT_RDX], op->aux);
    return repeat(cpu, op, ins);
}

SOFT_HANDLER(soft_op_outs)
{
    soft_check_io(cpu, op, (uint16_t)cpu->r[SOFT_RDX], op->aux);
    return repeat(cpu, op, outs);
}
