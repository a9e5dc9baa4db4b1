/* SPDX-License-Identifier: BSD-3-Clause */
/* x87 instructions about the FPU itself (SDM vol. 1, chapter 8). */
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/xstate.h"

SOFT_HANDLER(soft_op_fninit)
{
    soft_fpu_init(&cpu->fpu);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_fnclex)
{
    cpu->fpu.status &= 0x7f00;
    SOFT_NEXT;
}

/* Waits for pending unmasked exceptions: #MF. */
SOFT_HANDLER(soft_op_fwait)
{
    const uint64_t task_switched = SOFT_CR0_MP | SOFT_CR0_TS;

    if ((cpu->cr0 & task_switched) == task_switched)
        soft_raise(cpu, op, SOFT_NM);
    if ((cpu->fpu.status & 0x80) != 0 && (cpu->cr0 & SOFT_CR0_NE) != 0)
        soft_raise(cpu, op, SOFT_MF);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_fnstcw)
{
    soft_write16(cpu, op, soft_address(cpu, op), cpu->fpu.control);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_fldcw)
{
    struct soft_fpu *fpu = &cpu->fpu;
    uint16_t control;

    if ((fpu->status & 0x80) != 0 && (cpu->cr0 & SOFT_CR0_NE) != 0)
        soft_raise(cpu, op, SOFT_MF);
    control = soft_read16(cpu, op, soft_address(cpu, op));
    fpu->control = (uint16_t)((control & 0x1f3f) | 0x40);
    /* Exceptions that are flagged and no longer masked are pending now. */
    if ((fpu->status & ~fpu->control & 0x3f) != 0)
        fpu->status |= 0x8080;
    else
        fpu->status &= 0x7f7f;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_fnstsw_ax)
{
    SOFT_R(uint16_t, 8 * SOFT_RAX) = soft_fpu_status(&cpu->fpu);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_fnstsw_m)
{
    soft_write16(cpu, op, soft_address(cpu, op), soft_fpu_status(&cpu->fpu));
    SOFT_NEXT;
}
