/* SPDX-License-Identifier: BSD-3-Clause */
/* Jumps, calls and returns, near and far, software interrupts. */
#include "soft/debug.h"
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/stack.h"

/* ---- near: imm is the target; addresses are cut as the operand size wants by the translator ----
 */

#define DEFINE_JCC(cc)                                         \
    static SOFT_HANDLER(jcc_##cc)                              \
    {                                                          \
        if (soft_condition(cpu, cc))                           \
            return soft_go_direct(cpu, 0, op->imm);            \
        return soft_go_direct(cpu, 1, soft_next_rip(cpu, op)); \
    }
DEFINE_JCC(0)
DEFINE_JCC(1)
DEFINE_JCC(2)
DEFINE_JCC(3)
DEFINE_JCC(4)
DEFINE_JCC(5)
DEFINE_JCC(6)
DEFINE_JCC(7)
DEFINE_JCC(8)
DEFINE_JCC(9)
DEFINE_JCC(10)
DEFINE_JCC(11)
DEFINE_JCC(12)
DEFINE_JCC(13)
DEFINE_JCC(14)
DEFINE_JCC(15)

soft_handler *const soft_jcc[16] = {jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
                                    jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15};

/* Whether code could be there; a branch that leads elsewhere faults itself. aux2: operand size. */
static inline void check_target(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t rip)
{
    unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    if ((cpu->mode & SOFT_IN_64) != 0
            ? SOFT_UNLIKELY((uint64_t)((int64_t)(rip << spare) >> spare) != rip)
            : SOFT_UNLIKELY(rip > cpu->seg[SOFT_SEG_CS].limit))
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

static inline uint64_t cut(uint64_t rip, unsigned size)
{
    return size == 8 ? rip : size == 4 ? (uint32_t)rip : (uint16_t)rip;
}

SOFT_HANDLER(soft_op_end)
{
    return soft_go_direct(cpu, 0, op->imm);
}

SOFT_HANDLER(soft_op_jmp)
{
    check_target(cpu, op, op->imm);
    return soft_go_direct(cpu, 0, op->imm);
}

static inline uint64_t target_r(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return cut(SOFT_R(uint64_t, op->src), op->aux2 & 0x7f);
}

static inline uint64_t target_m(struct soft_cpu *cpu, const struct soft_uop *op)
{
    uint64_t address = soft_address(cpu, op);

    switch (op->aux2 & 0x7f) {
    case 8: return soft_read64(cpu, op, address);
    case 4: return soft_read32(cpu, op, address);
    default: return soft_read16(cpu, op, address);
    }
}

SOFT_HANDLER(soft_op_jmp_r)
{
    uint64_t rip = target_r(cpu, op);

    check_target(cpu, op, rip);
    return soft_go_indirect(cpu, rip);
}

SOFT_HANDLER(soft_op_jmp_m)
{
    uint64_t rip = target_m(cpu, op);

    check_target(cpu, op, rip);
    return soft_go_indirect(cpu, rip);
}

static inline void push_next(struct soft_cpu *cpu, const struct soft_uop *op)
{
    unsigned size = op->aux2 & 0x7f;
    uint64_t next = soft_next_rip(cpu, op);

    if (size == 8) {
        soft_check_stack(cpu, op, cpu->r[SOFT_RSP] - 8, 0);
        soft_write64(cpu, op, cpu->r[SOFT_RSP] - 8, next);
        cpu->r[SOFT_RSP] -= 8;
    } else {
        struct soft_stack stack = soft_stack_here(cpu, op);

        soft_stack_push(&stack, next, size);
        soft_stack_keep(&stack);
    }
}

SOFT_HANDLER(soft_op_call)
{
    check_target(cpu, op, op->imm);
    push_next(cpu, op);
    return soft_go_direct(cpu, 0, op->imm);
}

SOFT_HANDLER(soft_op_call_r)
{
    uint64_t rip = target_r(cpu, op);

    check_target(cpu, op, rip);
    push_next(cpu, op);
    return soft_go_indirect(cpu, rip);
}

SOFT_HANDLER(soft_op_call_m)
{
    uint64_t rip = target_m(cpu, op);

    check_target(cpu, op, rip);
    push_next(cpu, op);
    return soft_go_indirect(cpu, rip);
}

/* imm: bytes to release. */
SOFT_HANDLER(soft_op_ret)
{
    unsigned size = op->aux2 & 0x7f;
    uint64_t rip;

    if (size == 8) {
        rip = soft_read64(cpu, op, cpu->r[SOFT_RSP]);
        check_target(cpu, op, rip);
        cpu->r[SOFT_RSP] += 8 + op->imm;
    } else {
        struct soft_stack stack = soft_stack_here(cpu, op);

        rip = soft_stack_pop(&stack, size);
        check_target(cpu, op, rip);
        stack.sp = (stack.sp & ~stack.mask) | ((stack.sp + op->imm) & stack.mask);
        soft_stack_keep(&stack);
    }
    return soft_go_indirect(cpu, rip);
}

/* rCX of the address size (aux); src: 0 LOOPNE, 1 LOOPE, 2 LOOP. */
SOFT_HANDLER(soft_op_loop)
{
    uint64_t count = cut(cpu->r[SOFT_RCX] - 1, op->aux);
    bool taken = count != 0 && (op->src == 2 || soft_zf(cpu) == (op->src == 1));

    if (op->aux == 2)
        SOFT_R(uint16_t, 8 * SOFT_RCX) = (uint16_t)count;
    else
        cpu->r[SOFT_RCX] = count;
    if (taken)
        return soft_go_direct(cpu, 0, op->imm);
    return soft_go_direct(cpu, 1, soft_next_rip(cpu, op));
}

SOFT_HANDLER(soft_op_jcxz)
{
    if (cut(cpu->r[SOFT_RCX], op->aux) == 0)
        return soft_go_direct(cpu, 0, op->imm);
    return soft_go_direct(cpu, 1, soft_next_rip(cpu, op));
}

SOFT_HANDLER(soft_op_fault)
{
    if (op->aux == SOFT_GP)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_raise(cpu, op, op->aux);
}

/* ---- far: operand size in aux; a pointer is imm2:imm or in memory ---- */

/* imm: the offset, src and src2: the selector's bytes */
static inline uint16_t selector_of(const struct soft_uop *op)
{
    return (uint16_t)(op->src | op->src2 << 8);
}

static inline uint16_t far_pointer(uint64_t *offset, struct soft_cpu *cpu,
                                   const struct soft_uop *op)
{
    uint64_t address = soft_address(cpu, op);
    uint16_t selector;

    /* "32-bit far pointer: 2, 48-bit far pointer: 4" (SDM vol. 3A, table 6-7). */
    soft_check_alignment(cpu, op, address, op->aux);
    *offset = 0;
    soft_read_as(offset, cpu, op, address, op->aux, soft_rights(cpu));
    soft_read_as(&selector, cpu, op, address + op->aux, 2, soft_rights(cpu));
    return selector;
}

SOFT_HANDLER(soft_op_jmp_far_i)
{
    soft_far_jump(cpu, op, selector_of(op), op->imm, op->aux, soft_next_rip(cpu, op));
    return NULL;
}

SOFT_HANDLER(soft_op_jmp_far_m)
{
    uint64_t offset;
    uint16_t selector = far_pointer(&offset, cpu, op);

    soft_far_jump(cpu, op, selector, offset, op->aux, soft_next_rip(cpu, op));
    return NULL;
}

SOFT_HANDLER(soft_op_call_far_i)
{
    soft_far_call(cpu, op, selector_of(op), op->imm, op->aux, soft_next_rip(cpu, op));
    return NULL;
}

SOFT_HANDLER(soft_op_call_far_m)
{
    uint64_t offset;
    uint16_t selector = far_pointer(&offset, cpu, op);

    soft_far_call(cpu, op, selector, offset, op->aux, soft_next_rip(cpu, op));
    return NULL;
}

SOFT_HANDLER(soft_op_ret_far)
{
    soft_far_return(cpu, op, op->aux, (unsigned)op->imm);
    return NULL;
}

SOFT_HANDLER(soft_op_iret)
{
    soft_serialize(cpu);
    soft_iret(cpu, op, op->aux, soft_next_rip(cpu, op));
    return NULL;
}

/* ---- INT n, INT3, INT1, INTO: imm is the vector, aux the kind of event ---- */

static void software_interrupt(struct soft_cpu *cpu, const struct soft_uop *op, uint8_t vector)
{
    /* SDM vol. 3A, 20.2.2: with IOPL < 3, INT n does not work in virtual-8086 mode. */
    if (op->aux == SOFT_EVENT_SOFTWARE && soft_is_vm86(cpu) &&
        (cpu->eflags & SOFT_IOPL) != SOFT_IOPL)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    cpu->event = (struct soft_event){
        .kind = (enum soft_event_kind)op->aux, .vector = vector, .length = op->length};
    cpu->rip = soft_next_rip(cpu, op);
}

SOFT_HANDLER(soft_op_int)
{
    if (SOFT_UNLIKELY(cpu->debug.int3) && op->aux == SOFT_EVENT_SOFTWARE_DEBUG &&
        op->imm == SOFT_BP && soft_debug_int3(cpu, soft_rip(cpu, op)))
        soft_leave_exit(cpu, op, false, VISOR_EXIT_DEBUG);
    software_interrupt(cpu, op, (uint8_t)op->imm);
    return NULL;
}

SOFT_HANDLER(soft_op_into)
{
    if (soft_of(cpu))
        software_interrupt(cpu, op, SOFT_OF_TRAP);
    else
        cpu->rip = soft_next_rip(cpu, op);
    return NULL;
}
