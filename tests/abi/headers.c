/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The headers as a stranger includes them: strictly conforming, every warning on. What is compiled
 * into snapshots and bindings keeps its size and has no hidden padding.
 */
#include <visor.h>

_Static_assert(sizeof(visor_x86_regs) == 18 * 8, "regs");
_Static_assert(sizeof(visor_x86_segment) == 24, "segment");
_Static_assert(sizeof(visor_x86_table) == 16, "table");
_Static_assert(sizeof(visor_x86_sregs) == 8 * 24 + 2 * 16 + 6 * 8, "sregs");
_Static_assert(sizeof(visor_x86_fpu) == 8 * 16 + 16 * 16 + 2 * 8 + 4 + 3 * 2 + 1 + 5, "fpu");
_Static_assert(sizeof(visor_x86_debugregs) == 6 * 8, "debugregs");
_Static_assert(sizeof(visor_x86_xcrs) == 8 + 8 * 16, "xcrs");
_Static_assert(sizeof(visor_x86_msr) == 16, "msr");
_Static_assert(sizeof(visor_x86_cpuid_entry) == 7 * 4, "cpuid");
_Static_assert(sizeof(visor_x86_events) == 24 + 8 + 8 + 8 + 8 + 8, "events");
_Static_assert(sizeof(visor_x86_lapic) == 256, "lapic");
_Static_assert(sizeof(visor_x86_pic) == 16, "pic");
_Static_assert(sizeof(visor_x86_ioapic) == 24 + 24 * 8, "ioapic");
_Static_assert(sizeof(visor_x86_pit_channel) == 32, "pit channel");
_Static_assert(sizeof(visor_x86_pit) == 3 * 32 + 8, "pit");
_Static_assert(VISOR_EINVAL == -1 && VISOR_ESYSTEM == -21, "error codes are part of the ABI");
_Static_assert(VISOR_EXIT_NONE == 0 && VISOR_EXIT_KICKED == 1, "exit reasons are part of the ABI");

int main(void)
{
    return 0;
}
