/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: guest debugging, as far as the hypervisor goes. */
#include "riscv.h"

VISOR_GUEST_ASM(breaks, "li t0, 1; ebreak; li t0, 2;" RISCV_DONE RISCV_AGAIN);
VISOR_GUEST_ASM(tell_cause, "csrr t0, scause;" RISCV_DONE RISCV_AGAIN);

static int set_debug(struct guest *g, bool breakpoints, bool steps)
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.software_breakpoints = breakpoints;
    config.single_step = steps;
    return visor_vcpu_set_debug(g->vcpu, &config);
}

CASE(debug, breakpoint_instruction, "ebreak is an exit when the VMM asks for it, or else a trap")
{
    const visor_exit *exit;
    int result;

    guest_start(g, &breaks, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_cause);
    result = set_debug(g, true, false);
    if (result == VISOR_EUNSUPPORTED)
        SKIP("this kernel does not stop at breakpoints");
    CHECK_OK(result);
    exit = RUN_TO(g, DEBUG);
    CHECK_EQ(exit->debug.pc, guest_code + 4);
    CHECK(!exit->debug.single_step);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CORE, 0, guest_code + 8);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_OK(set_debug(g, false, false));
    guest_restart(g, g->vcpu, &breaks, 0, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 3); /* the guest's own breakpoint */
}

CASE(debug, no_steps, "what cannot be done is said: single steps")
{
    guest_start(g, &breaks, 0, 0, 0, NULL);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_DEBUG), 0);
    CHECK_ERROR(set_debug(g, false, true), EUNSUPPORTED);
    CHECK_OK(set_debug(g, false, false));
}
