/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every piece of state, once. Saving, restoring, resetting, dumping, the typed accessors and the
 * tests' comparison all come from these tables.
 *
 * X(ID, name, type, variable, save, restore)
 *   name      in snapshots, dumps and errors
 *   type      the public structure; for variable pieces the element of an array or image
 *   save      rank when saving: MP_STATE first, because KVM folds pending INIT/SIPI into the state
 *             when it is asked for
 *   restore   rank when restoring. CPUID decides what all else may hold. APIC_BASE and LAPIC come
 *             before MSRS, or the TSC deadline is refused. XCRS before XSAVE. EVENTS after REGS:
 *             KVM_SET_REGS drops a pending exception. MP_STATE last: it may start the vCPU.
 * Ranks are dense, from 0.
 */
#ifndef VISOR_CORE_STATE_H
#define VISOR_CORE_STATE_H

#include <visor.h>

#define VISOR__X86_STATES(X)                                                                       \
    X(X86_MP_STATE, "mp_state", uint32_t, false, 0, 12)                                            \
    X(X86_CPUID, "cpuid", visor_x86_cpuid_entry, true, 1, 0)                                       \
    X(X86_APIC_BASE, "apic_base", uint64_t, false, 2, 1)                                           \
    X(X86_LAPIC, "lapic", visor_x86_lapic, false, 3, 2)                                            \
    X(X86_REGS, "regs", visor_x86_regs, false, 4, 3)                                               \
    X(X86_SREGS, "sregs", visor_x86_sregs, false, 5, 4)                                            \
    X(X86_DEBUGREGS, "debugregs", visor_x86_debugregs, false, 6, 5)                                \
    X(X86_XCRS, "xcrs", visor_x86_xcrs, false, 7, 6)                                               \
    X(X86_FPU, "fpu", visor_x86_fpu, false, 8, 7)                                                  \
    X(X86_XSAVE, "xsave", uint8_t, true, 9, 8)                                                     \
    X(X86_MSRS, "msrs", visor_x86_msr, true, 10, 9)                                                \
    X(X86_NESTED, "nested", uint8_t, true, 11, 10)                                                 \
    X(X86_EVENTS, "events", visor_x86_events, false, 12, 11)

enum visor__state {
#define VISOR__STATE_ENUM(id, name, type, variable, save, restore) VISOR__STATE_##id,
    VISOR__X86_STATES(VISOR__STATE_ENUM)
#undef VISOR__STATE_ENUM
    VISOR__STATE_COUNT
};

/*
 * State of the VM beside its vCPUs: X(ID, name, type, variable). The order is that of restoring.
 * ROUTES is kept by the core, CLOCK goes through the clock table, the chips through x86->get_chip.
 */
#define VISOR__VM_STATES(X)                                                                        \
    X(X86_PIT, "pit", visor_x86_pit, false)                                                        \
    X(X86_PIC_PRIMARY, "pic_primary", visor_x86_pic, false)                                        \
    X(X86_PIC_SECONDARY, "pic_secondary", visor_x86_pic, false)                                    \
    X(X86_IOAPIC, "ioapic", visor_x86_ioapic, false)                                               \
    X(ROUTES, "routes", visor_route, true)                                                         \
    X(CLOCK, "clock", uint64_t, false)

enum visor__vm_state {
#define VISOR__VM_STATE_ENUM(id, name, type, variable) VISOR__VM_STATE_##id,
    VISOR__VM_STATES(VISOR__VM_STATE_ENUM)
#undef VISOR__VM_STATE_ENUM
    VISOR__VM_STATE_COUNT
};

#endif
