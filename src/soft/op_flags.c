/* SPDX-License-Identifier: BSD-3-Clause */
/* Instructions about single flags, and those that do nothing. */
#include "soft/flags.h"
#include "soft/ops.h"

#define AH         (8 * SOFT_RAX + 1)
#define LAHF_FLAGS (SOFT_SF | SOFT_ZF | SOFT_AF | SOFT_PF | SOFT_CF)

SOFT_HANDLER(soft_op_clc)
{
    soft_flags_keep_cf(cpu, false);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_stc)
{
    soft_flags_keep_cf(cpu, true);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_cmc)
{
    soft_flags_keep_cf(cpu, !soft_cf(cpu));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_cld)
{
    cpu->eflags &= ~SOFT_DF;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_std)
{
    cpu->eflags |= SOFT_DF;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_lahf)
{
    SOFT_R(uint8_t, AH) = (uint8_t)((soft_flags_arithmetic(cpu) & LAHF_FLAGS) | 2);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_sahf)
{
    uint32_t of = soft_of(cpu) ? SOFT_OF : 0;

    soft_flags_set_arithmetic(cpu, (SOFT_R(uint8_t, AH) & LAHF_FLAGS) | of);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_salc)
{
    SOFT_R(uint8_t, 8 * SOFT_RAX) = soft_cf(cpu) ? 0xff : 0;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_nop)
{
    SOFT_NEXT;
}
