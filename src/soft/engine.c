/* SPDX-License-Identifier: BSD-3-Clause */
/* The run loop, and the ways out of the threaded code. */
#include "soft/engine.h"

#include <string.h>

#include "soft/block.h"
#include "soft/debug.h"
#include "soft/event.h"
#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/mmu.h"

/* ---- ways out ---- */

uint64_t soft_rip(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return op != NULL ? cpu->block->rip + op->offset : cpu->rip;
}

uint64_t soft_instruction_number(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return op != NULL ? cpu->icount - cpu->block->count + op->number : cpu->icount;
}

/* Makes rip and icount those of the start of an instruction. */
static void stand_at(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (op == NULL)
        return;
    cpu->rip = soft_rip(cpu, op);
    cpu->icount = soft_instruction_number(cpu, op);
    cpu->block = NULL;
}

SOFT_COLD void soft_leave(struct soft_cpu *cpu, const struct soft_uop *op, enum soft_leave why)
{
    stand_at(cpu, op);
    cpu->log.cursor = 0;
    longjmp(cpu->leave, (int)why);
}

SOFT_COLD void soft_leave_exit(struct soft_cpu *cpu, const struct soft_uop *op, bool is_done,
                               visor_exit_reason reason)
{
    uint64_t next = is_done ? soft_next_rip(cpu, op) : soft_rip(cpu, op);

    stand_at(cpu, op);
    cpu->rip = next;
    if (is_done) {
        cpu->icount++;
        cpu->shadow = 0;
    }
    cpu->exit_reason = (int)reason;
    longjmp(cpu->leave, SOFT_LEAVE_EXIT);
}

static _Noreturn SOFT_COLD void raise(struct soft_cpu *cpu, const struct soft_uop *op,
                                      const struct soft_event *event)
{
    stand_at(cpu, op);
    soft_event_raise(cpu, event);
    longjmp(cpu->leave, SOFT_LEAVE_EXCEPTION);
}

void soft_raise(struct soft_cpu *cpu, const struct soft_uop *op, enum soft_vector vector)
{
    raise(cpu, op, &(struct soft_event){.kind = SOFT_EVENT_EXCEPTION, .vector = (uint8_t)vector});
}

void soft_raise_error(struct soft_cpu *cpu, const struct soft_uop *op, enum soft_vector vector,
                      uint32_t error)
{
    raise(cpu, op,
          &(struct soft_event){.kind = SOFT_EVENT_EXCEPTION,
                               .vector = (uint8_t)vector,
                               .has_error = true,
                               .error = error});
}

void soft_raise_page_fault(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                           uint32_t error)
{
    cpu->cr2 = address;
    soft_raise_error(cpu, op, SOFT_PF_FAULT, error);
}

static void want_alone(struct soft_cpu *cpu, const struct soft_uop *op)
{
    const struct soft_access_log *log = &cpu->log;
    bool with_device = log->count != 0 && log->instruction == soft_instruction_number(cpu, op);

    if (cpu->alone || with_device || cpu->machine->cpu_count < 2)
        return;
    atomic_fetch_or(&cpu->attention, SOFT_LOOK_ALONE);
    soft_leave(cpu, op, SOFT_LEAVE_AGAIN);
}

/* A bus lock is reported when the instruction is complete, as VMX does. So the instruction has to
 * be a block of its own. */
static void tell_bus_lock(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if ((cpu->mode & SOFT_IN_SINGLE) == 0) {
        cpu->step_once = true;
        soft_leave(cpu, op, SOFT_LEAVE_AGAIN);
    }
    cpu->bus_locked = true;
}

SOFT_COLD bool soft_lock_slow(struct soft_cpu *cpu, const struct soft_uop *op, const void *pointer,
                              unsigned size)
{
    bool is_copy = pointer == cpu->bounce;
    /* Host pages are aligned as those of the guest. */
    uint64_t address = is_copy ? cpu->bounce_address : (uintptr_t)pointer;

    if (cpu->bus_lock_exits && address % SOFT_CACHE_LINE + size > SOFT_CACHE_LINE)
        tell_bus_lock(cpu, op);
    if (!is_copy && (SOFT_HOST_TSO || address % size == 0))
        return false;
    want_alone(cpu, op);
    return true;
}

/* ---- from block to block ---- */

/* The block at rip, if it can be entered without the run loop. */
static struct soft_block *ready(struct soft_cpu *cpu, uint64_t rip)
{
    /* Where CS has a limit, it is checked on the way. */
    return (cpu->mode & (SOFT_IN_64 | SOFT_IN_FLAT)) != 0 ? soft_block_peek(cpu, rip) : NULL;
}

static SOFT_COLD const struct soft_uop *link_block(struct soft_cpu *cpu, unsigned which,
                                                   uint64_t rip)
{
    struct soft_block *next = ready(cpu, rip);
    /* Blocks are const to those who execute them; their links are this function's. */
    struct soft_block *block = (struct soft_block *)(uintptr_t)cpu->block;

    if (next == NULL) {
        cpu->rip = rip;
        return NULL;
    }
    /* In one page there is one mapping: the link holds as long as the block can be entered. */
    if ((block->gpa & SOFT_PAGE_MASK) == (next->gpa & SOFT_PAGE_MASK) && block->gpa2 == 0 &&
        next->gpa2 == 0 && (block->rip ^ next->rip) < SOFT_PAGE)
        block->link[which] = next;
    SOFT_ENTER(next);
}

const struct soft_uop *soft_go_direct(struct soft_cpu *cpu, unsigned which, uint64_t rip)
{
    const struct soft_block *next = cpu->block->link[which];

    if (SOFT_UNLIKELY(next == NULL))
        return link_block(cpu, which, rip);
    SOFT_ENTER(next);
}

const struct soft_uop *soft_go_indirect(struct soft_cpu *cpu, uint64_t rip)
{
    const struct soft_block *next = ready(cpu, rip);

    if (SOFT_UNLIKELY(next == NULL)) {
        cpu->rip = rip;
        return NULL;
    }
    SOFT_ENTER(next);
}

static void execute(struct soft_cpu *cpu, const struct soft_block *block)
{
    const struct soft_uop *op = &block->uops[0];

    cpu->block = block;
    cpu->r[SOFT_REG_RIP] = block->rip;
    cpu->icount += block->count;
    /* With tail calls one turn of this loop goes through many blocks. */
    while (op != NULL)
        op = op->run(cpu, op);
}

/* ---- the loop ---- */

static void look(struct soft_cpu *cpu, bool step)
{
    if (step) {
        atomic_fetch_or(&cpu->attention, SOFT_LOOK_STEP);
        cpu->mode |= SOFT_IN_SINGLE;
    } else {
        atomic_fetch_and(&cpu->attention, ~SOFT_LOOK_STEP);
        cpu->mode &= ~SOFT_IN_SINGLE;
    }
}

/* An instruction that is not in memory: a real processor would read it from the device. */
static _Noreturn void fetch_from_device(struct soft_cpu *cpu)
{
    cpu->exit->internal.suberror = 1;
    cpu->exit->internal.data_count = 1;
    cpu->exit->internal.data[0] = cpu->rip;
    cpu->exit->internal.text = "the guest executes code where there is no memory";
    cpu->exit->internal.instruction_len = 0;
    cpu->exit_reason = VISOR_EXIT_INTERNAL_ERROR;
    longjmp(cpu->leave, SOFT_LEAVE_EXIT);
}

/* Executes one instruction, with what has to be seen after each of them. */
static void step(struct soft_cpu *cpu)
{
    const struct soft_block *block;

    look(cpu, true);
    cpu->step_trap = (cpu->eflags & SOFT_TF) != 0;
    cpu->step_once = false;
    cpu->step_shadow = cpu->shadow;
    cpu->step_rf = cpu->eflags & SOFT_RF;
    block = cpu->code != NULL ? soft_block_from(cpu, cpu->code, cpu->code_length)
                              : soft_block_find(cpu);
    if (block == NULL)
        fetch_from_device(cpu);
    /* They end with the instruction, which may begin others. */
    cpu->shadow = 0;
    cpu->eflags &= ~SOFT_RF;
    execute(cpu, block);
    look(cpu, false);
    /* Not after MOV SS and POP SS (SDM vol. 3A, 6.8.3). */
    if (cpu->step_trap && cpu->shadow != SOFT_SHADOW_SS && cpu->event.kind == SOFT_EVENT_NONE)
        soft_event_trap(cpu, SOFT_DR6_BS);
}

bool soft_can_interrupt(const struct soft_cpu *cpu)
{
    return (cpu->eflags & SOFT_IF) != 0 && cpu->shadow == 0 && cpu->event.kind == SOFT_EVENT_NONE;
}

void soft_inject_interrupt(struct soft_cpu *cpu, uint8_t vector)
{
    cpu->event = (struct soft_event){.kind = SOFT_EVENT_INTERRUPT, .vector = vector};
    cpu->halted = false;
}

/* Delivers what waits. Returns whether something did. */
static bool deliver(struct soft_cpu *cpu)
{
    const struct soft_devices *devices = &cpu->machine->devices;

    /* Not in the middle of an instruction. */
    if (cpu->event.kind == SOFT_EVENT_NONE && cpu->nmi_pending && !cpu->nmi_masked &&
        cpu->shadow == 0 && soft_is_settled(cpu)) {
        cpu->nmi_pending = false;
        cpu->event = (struct soft_event){.kind = SOFT_EVENT_NMI, .vector = SOFT_NMI};
    }
    if (cpu->event.kind == SOFT_EVENT_NONE)
        return false;
    if (devices->event_exits != NULL && devices->event_exits(devices->context, cpu, &cpu->event)) {
        cpu->halted = false;
        cpu->exit->exception.vector = cpu->event.vector;
        cpu->exit->exception.error_code = cpu->event.has_error ? cpu->event.error : 0;
        cpu->event.kind = SOFT_EVENT_NONE;
        cpu->exit_reason = VISOR_EXIT_EXCEPTION;
        soft_access_commit(cpu);
        longjmp(cpu->leave, SOFT_LEAVE_EXIT);
    }
    cpu->halted = false;
    cpu->stamp++;
    soft_event_deliver(cpu);
    soft_access_commit(cpu);
    return true;
}

static bool wants_attention(const struct soft_cpu *cpu)
{
    unsigned attention = atomic_load(&cpu->attention);

    return attention != SOFT_LOOK_ALARM ? attention != 0 : cpu->icount >= cpu->alarm;
}

static int loop(struct soft_cpu *cpu, bool one)
{
    const struct soft_block *block;
    int ret;

    for (;;) {
        if (cpu->dead)
            return VISOR_EXIT_SHUTDOWN;
        if (cpu->bus_locked && !one) {
            cpu->bus_locked = false;
            return VISOR_EXIT_BUS_LOCK;
        }
        if (deliver(cpu)) {
            if (one)
                return VISOR_EXIT_NONE;
            continue;
        }
        if (!one && (wants_attention(cpu) || (cpu->irq_waiting && soft_can_interrupt(cpu))))
            return VISOR_EXIT_NONE;
        if (cpu->halted)
            return VISOR_EXIT_HLT;
        if (one || cpu->shadow != 0 || cpu->step_once || cpu->debugging ||
            (cpu->eflags & (SOFT_TF | SOFT_RF)) != 0) {
            if (cpu->debugging && !one) {
                ret = soft_debug_before(cpu);
                if (ret != VISOR_EXIT_NONE)
                    return ret;
                if (cpu->event.kind != SOFT_EVENT_NONE)
                    continue;
            }
            step(cpu);
            if (one)
                return VISOR_EXIT_NONE;
            if (cpu->debugging) {
                ret = soft_debug_after(cpu);
                if (ret != VISOR_EXIT_NONE)
                    return ret;
            }
            if (cpu->alone)
                return VISOR_EXIT_NONE;
            continue;
        }
        block = soft_block_find(cpu);
        if (block == NULL)
            fetch_from_device(cpu);
        execute(cpu, block);
    }
}

static const int access_exit[] = {[SOFT_SPACE_MEMORY] = VISOR_EXIT_MMIO,
                                  [SOFT_SPACE_PORT] = VISOR_EXIT_IO,
                                  [SOFT_SPACE_MSR] = VISOR_EXIT_MSR,
                                  [SOFT_SPACE_HYPERCALL] = VISOR_EXIT_HYPERCALL};

/* What there is to do after soft_leave(); < 0: go on. */
static int left(struct soft_cpu *cpu, int why)
{
    bool stepped = (cpu->mode & SOFT_IN_SINGLE) != 0;

    look(cpu, false);
    cpu->bus_locked = false; /* what leaves is not complete */
    switch (why) {
    case SOFT_LEAVE_EXCEPTION: soft_access_commit(cpu); return -1;
    case SOFT_LEAVE_EXIT: return cpu->exit_reason;
    default:
        /* The instruction, or the event, is yet to happen. */
        if (stepped) {
            cpu->shadow = cpu->step_shadow;
            cpu->eflags |= cpu->step_rf;
        }
        soft_event_undo(cpu);
        if (why == SOFT_LEAVE_ACCESS)
            return access_exit[cpu->log.next.space];
        return -1;
    }
}

static int run(struct soft_cpu *cpu, bool one)
{
    for (;;) {
        int why = visor__setjmp(cpu->leave);
        int ret;

        if (why == 0)
            return loop(cpu, one);
        ret = left(cpu, why);
        if (ret >= 0)
            return ret;
        if ((one || cpu->alone) && why == SOFT_LEAVE_EXCEPTION)
            return VISOR_EXIT_NONE;
    }
}

int soft_run(struct soft_cpu *cpu)
{
    /* Others may have changed code while this vCPU was out. */
    cpu->stamp++;
    return run(cpu, false);
}

int soft_step(struct soft_cpu *cpu)
{
    cpu->stamp++;
    return run(cpu, true);
}

int soft_step_bytes(struct soft_cpu *cpu, const uint8_t *bytes, unsigned length)
{
    int ret;

    cpu->code = bytes;
    cpu->code_length = length;
    ret = run(cpu, true);
    cpu->code = NULL;
    return ret;
}

unsigned soft_fetch_bytes(uint8_t out[SOFT_INSN_MAX_LENGTH], struct soft_cpu *cpu)
{
    if (visor__setjmp(cpu->leave) != 0)
        return 0;
    return soft_block_read(out, cpu);
}

void soft_answer(struct soft_cpu *cpu, uint64_t value, bool fault)
{
    struct soft_access_log *log = &cpu->log;

    if (!log->pending)
        return;
    log->pending = false;
    if (!log->next.is_write || log->next.space == SOFT_SPACE_HYPERCALL)
        log->next.value = value;
    log->next.fault = fault;
    /* An instruction that makes more accesses than there is room for loses none, but may repeat the
     * ones that are not here. */
    if (log->count < SOFT_ACCESSES)
        log->done[log->count++] = log->next;
    log->cursor = 0;
}

bool soft_is_settled(const struct soft_cpu *cpu)
{
    const struct soft_access_log *log = &cpu->log;

    return !log->pending && (log->count == 0 || log->instruction != cpu->icount);
}
