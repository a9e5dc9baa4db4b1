/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every difference that is allowed, with its reason. A case that a row describes is still run: it
 * must differ in the way that the row says, and is then reported as skipped, never as passed. If
 * it passes, the suite says that the row is out of date. QUIRK_SKIP is for what must not even be
 * tried. Whatever is not here fails.
 */
#include <stddef.h>

#include "harness.h"

#define QEMU_X86     (HOST_QEMU | HOST_X86_64)
#define QEMU_ARM     (HOST_QEMU | HOST_AARCH64)
#define NOT_EMULATED "exit internal_error (suberror 1*"

/* Geniezone and Halla, whose drivers are of one design; and Gunyah with them. */
#define TWIN        "[gh][ea][nl]*"
#define ANDROID     "[gh][eau][nl]*"
#define TWIN_READ   "registers can be set, but not read"
#define TWIN_SETTLE "an access is completed when the guest runs on, not before"
#define TWIN_REMOVE "the driver cannot take memory out of a VM"
#define TWIN_PINNED "the driver keeps the host's pages for the life of the VM"
#define TWIN_STATE  "the driver has no such state"
#define GUNYAH_DECODE \
    "an access without a syndrome is tried again for ever, and no register can be read"
#define GUNYAH_WRITE "a write to read-only memory is a memory fault, and is tried again"
#define TWIN_DECODE \
    "an access without a syndrome is an exception, and no register can be read to do it"

/* HAXM, whose driver is of one kind on all systems. */
#define HAXM_ROM    "the driver skips a write to read-only memory, and tells nobody"
#define HAXM_PINNED "the driver keeps the host's pages while they are mapped"
#define HAXM_NMI    "the driver does not tell whether NMIs are blocked"
#define HAXM_SHADOW "the driver does not tell of interrupt shadows, and takes none"
#define HAXM_DEAD   "the driver never enters a vCPU again after a triple fault"
#define HAXM_TRIPLE                                                                             \
    "exit internal_error*after a triple fault, or*",                                            \
        "the driver does not tell a triple fault from an access that it cannot emulate, after " \
        "memory was touched for the first time in the same run"
#define HAXM_PAE    "the driver does not load the entries that CR3 points to in PAE paging"
#define HAXM_CR8    "the driver has no CR8"
#define HAXM_XSAVE  "the driver lets nobody save what XSAVE keeps: guests are not offered it"
#define HAXM_DECODE "the driver's emulator has no such instruction, and gives the vCPU up"

static const struct quirk quirks[] = {
    {"kvm", 0, "events/soft_interrupt", QUIRK_DIFFERS, "got.interrupt.injected is 0x0*",
     "Linux does not report software interrupts: the instruction is executed anew"},

    {"kvm", HOST_RISCV64, "slots/sync_bounds", QUIRK_DIFFERS, "*EACCESS*",
     "Linux's KVM on RISC-V takes memory that the host can only read for read-only slots alone"},
    {"kvm", HOST_RISCV64, "slots/arena_writable", QUIRK_DIFFERS, "*EACCESS*",
     "Linux's KVM on RISC-V takes memory that the host can only read for read-only slots alone"},
    {"kvm", HOST_RISCV64, "irq/event", QUIRK_DIFFERS, "hung*",
     "Linux's KVM on RISC-V raises the line of an event and does not lower it: one edge"},
    {"kvm", HOST_RISCV64, "aia/high_identity", QUIRK_DIFFERS, "*exit kicked*",
     "Linux's KVM changes 32 of the 64 bits of an IMSIC's register that it emulates"},
    {"kvm", HOST_RISCV64, "mmio/extension", QUIRK_DIFFERS, "*is 0x80, should be 0xff*",
     "Linux 6.12's KVM does not extend the sign of what it loads"},
    {"kvm", HOST_RISCV64, "mmio/compressed_at_stack_pointer", QUIRK_DIFFERS,
     "exit internal_error (suberror 1*",
     "Linux's KVM takes a part of the offset in c.sdsp and c.swsp for a register, which must not "
     "be 0"},

    /* The host's processor is QEMU's emulation of AMD's (7.2, Debian 12). */
    {"kvm", QEMU_X86, "code/invlpg_large", QUIRK_DIFFERS, "*rax is 0x1, should be 0x2*",
     "QEMU flushes the data of a larger page whole, but which code is where for 4 KiB alone"},
    {"kvm", QEMU_X86, "debug/breakpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "debug/four_breakpoints", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "debug/watchpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "traps/repetition_stopped", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "traps/task_gate_bad_code", QUIRK_DIFFERS, "*rip is 0x1802*",
     "QEMU loses a fault of the task that an INT switches to"},
    {"kvm", QEMU_X86, "debug/step_from_breakpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "debug/software_breakpoint", QUIRK_DIFFERS, "exit shutdown*",
     "QEMU does not intercept #BP of a guest"},
    {"kvm", QEMU_X86, "events/shadow", QUIRK_DIFFERS, "*rip is 0x1000, should be 0x1001",
     "QEMU ignores the interrupt shadow when it enters a guest"},
    {"kvm", QEMU_X86, "fpu/avx_preserved", QUIRK_DIFFERS, "exit shutdown*",
     "QEMU does not intercept XSETBV, so Linux does not learn the guest's XCR0"},
    {"kvm", QEMU_X86, "fpu/xsave_in_guest", QUIRK_DIFFERS, "exit shutdown*",
     "QEMU does not intercept XSETBV, so Linux does not learn the guest's XCR0"},
    {"kvm", QEMU_X86, "time/tsc_hz", QUIRK_MAY_DIFFER, "the frequency is *",
     "a Linux that boots in an emulator on a busy machine measures its counter wrongly"},
    {"kvm", QEMU_X86, "interrupts/shadows", QUIRK_MAY_DIFFER, "*ready is 1, should be 0",
     "a host interrupt in the shadow, and QEMU has lost it when it enters the guest again"},
    {"kvm", QEMU_X86, "interrupts/ready_at_exits", QUIRK_MAY_DIFFER, "*ready is 1, should be 0",
     "a host interrupt in the shadow, and QEMU has lost it when it enters the guest again"},
    {"kvm", QEMU_X86, "interrupts/window", QUIRK_MAY_DIFFER, "*is 0x1, should be 0x*",
     "a host interrupt in the shadow, and QEMU has lost it when it enters the guest again"},
    {"kvm", QEMU_X86, "modes/segment_limit_enforced", QUIRK_DIFFERS, "exit hlt*",
     "QEMU's processor does not check segment limits"},

    /* The host's processor is QEMU's own, "max" (7.2, Debian 12). */
    {"kvm", QEMU_ARM, "mmio/sign_extension", QUIRK_DIFFERS, "*is 0x80, should be 0xffffff80",
     "QEMU 7.2 does not say in the syndrome of a data abort that the load extends the sign"},
    {"kvm", QEMU_ARM, "features/memory_tags", QUIRK_DIFFERS, "tags?2? is 0x0, should be 0x5",
     "QEMU 7.2 has two tags for all of a page"},

    /* Hypervisors of Android: what their drivers lack. */
    {ANDROID, 0, "api/dump", QUIRK_DIFFERS, "count >= 10 does not hold", TWIN_READ},
    {TWIN, 0, "kick/settle_[rkw]*", QUIRK_DIFFERS, "visor_vcpu_settle*EUNSUPPORTED*", TWIN_SETTLE},
    {TWIN, 0, "kick/settle_parts", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "kick/between_parts", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "memory/read_only*", QUIRK_DIFFERS, "visor_vm_create*EUNSUPPORTED*read-only*",
     "the driver maps memory writable only"},
    {TWIN, 0, "memory/balloon", QUIRK_DIFFERS, "visor_vm_balloon_inflate*EUNSUPPORTED*",
     TWIN_PINNED},
    {ANDROID, 0, "slots/remove_gives_back", QUIRK_DIFFERS, "visor_vm_remove_slot*EUNSUPPORTED*",
     TWIN_REMOVE},
    {ANDROID, 0, "slots/unknown", QUIRK_DIFFERS, "visor_vm_remove_slot*EUNSUPPORTED*", TWIN_REMOVE},
    {ANDROID, 0, "slots/smallest_id_first", QUIRK_DIFFERS, "visor_vm_remove_slot*EUNSUPPORTED*",
     TWIN_REMOVE},
    {ANDROID, 0, "slots/replace_while_guest_lives", QUIRK_DIFFERS,
     "visor_vm_remove_slot*EUNSUPPORTED*", TWIN_REMOVE},
    {TWIN, 0, "slots/borrowed_part", QUIRK_DIFFERS, "visor_vm_add_slot*EREFUSED*as a whole*",
     "the driver takes whole mappings only"},
    {ANDROID, 0, "slots/borrowed_back", QUIRK_DIFFERS, "visor_vm_remove_slot*EUNSUPPORTED*",
     TWIN_REMOVE},
    {ANDROID, 0, "slots/file_paged", QUIRK_DIFFERS, "visor_vm_slot_page_out*EUNSUPPORTED*",
     TWIN_PINNED},
    {TWIN, 0, "slots/arena*", QUIRK_DIFFERS, "visor_vm_slot_map_file*EUNSUPPORTED*", TWIN_PINNED},
    {TWIN, 0, "basic/[rf]*_back", QUIRK_DIFFERS, "visor_vcpu_settle*EUNSUPPORTED*", TWIN_SETTLE},
    {"gunyah", 0, "basic/read_back", QUIRK_DIFFERS, "visor_aarch64_get_regs*EUNSUPPORTED*",
     TWIN_READ},
    {"gunyah", 0, "basic/flags_read_back", QUIRK_DIFFERS, "visor_aarch64_get_regs*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "basic/all_registers", QUIRK_DIFFERS, "visor_aarch64_get_regs*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "basic/stack_pointers", QUIRK_DIFFERS, "visor_aarch64_get_regs*EUNSUPPORTED*",
     TWIN_READ},
    {TWIN, 0, "mmio/pairs", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "mmio/pair_[lh]*", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "mmio/writeback", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "mmio/zero_block", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {TWIN, 0, "mmio/exclusive", QUIRK_DIFFERS, "exit exception*", TWIN_DECODE},
    {ANDROID, 0, "mmio/simd", QUIRK_DIFFERS, "visor_aarch64_get_fpsimd*EUNSUPPORTED*", TWIN_READ},
    {ANDROID, 0, "mmio/atomics", QUIRK_DIFFERS, "visor_aarch64_get_reg*EUNSUPPORTED*", TWIN_READ},
    {"gunyah", 0, "gic_state/lines_moved", QUIRK_DIFFERS, "visor_vm_set_irq(*EUNSUPPORTED*",
     "lines are raised by events only"},
    {ANDROID, 0, "gic_state/[lfo]*", QUIRK_DIFFERS, "visor_vm_[gs]et_irqchip*EUNSUPPORTED*",
     "the interrupt controller is neither read nor set"},
    {ANDROID, 0, "psci/older_version", QUIRK_DIFFERS, "visor_aarch64_set_reg*EUNSUPPORTED*",
     TWIN_STATE},
    {ANDROID, 0, "psci/run_after_reset", QUIRK_DIFFERS, "visor_vcpu_reset*EUNSUPPORTED*",
     TWIN_STATE},
    {ANDROID, 0, "timer/set_by_vmm", QUIRK_DIFFERS, "visor_aarch64_get_reg*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "gic/private_lines", QUIRK_DIFFERS, "visor_aarch64_set_private_irq*EUNSUPPORTED*",
     "the driver raises shared interrupts only"},
    {ANDROID, 0, "timer/private_line", QUIRK_DIFFERS, "*EUNSUPPORTED*",
     "the driver raises shared interrupts only"},
    {ANDROID, 0, "timer/irq_input", QUIRK_DIFFERS, "*EUNSUPPORTED*",
     "vCPUs have no inputs but the interrupt controller's"},
    {ANDROID, 0, "timer/output", QUIRK_DIFFERS, "*EUNSUPPORTED*",
     "vCPUs have no outputs but the interrupt controller's"},

    {"gunyah", 0, "memory/read_only*", QUIRK_DIFFERS, "exit memory_fault*should be mmio",
     GUNYAH_WRITE},
    {"gunyah", 0, "slots/read_only", QUIRK_DIFFERS, "exit memory_fault*should be mmio",
     GUNYAH_WRITE},
    {"gunyah", 0, "io_events/widths", QUIRK_DIFFERS, "visor_vm_add_io_event*EUNSUPPORTED*",
     "the driver looks at the width of a write only where it looks at the value"},
    {"gunyah", 0, "psci/system_reset2", QUIRK_DIFFERS, "exit->system.data?0? is 0x0*",
     "the driver tells the two resets apart by a number of its own (raw), without flags"},
    {"gunyah", 0, "state/system_registers", QUIRK_DIFFERS,
     "visor_aarch64_get_sysregs*EUNSUPPORTED*", TWIN_READ},
    {"gunyah", 0, "timer/counter_set", QUIRK_DIFFERS, "visor_aarch64_set_reg*EUNSUPPORTED*",
     "the driver takes no system registers, and a guest does not set its counter itself"},
    {"gunyah", 0, "slots/arena*", QUIRK_DIFFERS, "visor_vm_slot_map_file*EUNSUPPORTED*",
     "the driver keeps the host's pages while the guest has them"},

    {"geniezone", 0, "features/gpa_bits", QUIRK_DIFFERS, "visor_vm_create*EUNSUPPORTED*",
     "a VM's type does not carry the width of its addresses"},
    {"gunyah", 0, "features/gpa_bits", QUIRK_DIFFERS, "visor_vm_create*EUNSUPPORTED*",
     "the driver is not told the width of a VM's addresses"},
    {ANDROID, 0, "features/on_and_off", QUIRK_DIFFERS, "visor_aarch64_get_features*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "state/vectors", QUIRK_DIFFERS, "visor_aarch64_set_fpsimd*EUNSUPPORTED*",
     TWIN_STATE},
    {ANDROID, 0, "state/register_errors", QUIRK_DIFFERS, "visor_aarch64_get_reg*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "state/caches", QUIRK_DIFFERS, "visor_aarch64_get_caches*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "state/firmware", QUIRK_DIFFERS, "visor_aarch64_get_firmware*EUNSUPPORTED*",
     TWIN_READ},
    {ANDROID, 0, "state/serror", QUIRK_DIFFERS, "visor_aarch64_set_events*EUNSUPPORTED*",
     TWIN_STATE},
    {ANDROID, 0, "state/external_abort", QUIRK_DIFFERS, "visor_aarch64_set_events*EUNSUPPORTED*",
     TWIN_STATE},
    {TWIN, 0, "state/system_registers", QUIRK_DIFFERS, "peek*is 0x0, should be 0x91a04000*",
     "KVM knows the virtual timer's comparator by another number, which the driver does not "
     "exchange"},

    /* What is behind the doubles is KVM of Debian 12 (6.1) on QEMU's processor. */
    {ANDROID, QEMU_ARM, "slots/memory_fault", QUIRK_DIFFERS, "*gpa / page is 0x0*",
     "Linux 6.1's KVM does not tell the address"},
    {ANDROID, QEMU_ARM, "mmio/sign_extension", QUIRK_DIFFERS, "*is 0x80, should be 0xffffff80",
     "QEMU 7.2 does not tell KVM of sign extension"},
    {ANDROID, QEMU_ARM, "psci/version", QUIRK_DIFFERS, "*PSCI_VERSION) is 0x2, should be 0x10001*",
     "drivers do not tell, and 0.2 is in all of them"},
    {"gunyah", QEMU_ARM, "mmio/pair*", QUIRK_SKIP, "", GUNYAH_DECODE},
    {"gunyah", QEMU_ARM, "mmio/writeback", QUIRK_SKIP, "", GUNYAH_DECODE},
    {"gunyah", QEMU_ARM, "mmio/zero_block", QUIRK_SKIP, "", GUNYAH_DECODE},
    {"gunyah", QEMU_ARM, "mmio/exclusive", QUIRK_SKIP, "", GUNYAH_DECODE},
    {"gunyah", QEMU_ARM, "kick/settle_parts", QUIRK_SKIP, "", GUNYAH_DECODE},
    {"gunyah", QEMU_ARM, "kick/between_parts", QUIRK_SKIP, "", GUNYAH_DECODE},
    {TWIN, QEMU_ARM, "timer/counter_set", QUIRK_DIFFERS, "counter >= *does not hold",
     "KVM knows the counter by another number, which the driver does not exchange"},

    /* The host's processor is Bochs' emulation of an Ivy Bridge (2.7). */
    {"kvm", HOST_BOCHS, "debug/single_step", QUIRK_DIFFERS, "exit->debug.pc is 0x1000*",
     "Bochs 2.7 does not step a guest on"},
    {"kvm", HOST_BOCHS, "debug/single_step_over_exit", QUIRK_DIFFERS, "steps_seen < 10*",
     "Bochs 2.7 does not step a guest on"},

    /* A /dev/kvm with neither VMX nor SVM below it: Linux emulates kernel-mode code, and knows
     * only the instructions and the state that it has been taught. */
    {"kvm", HOST_EMULATES, "control/xcr0", QUIRK_DIFFERS, NOT_EMULATED, "no XGETBV"},
    {"kvm", HOST_EMULATES, "forbidden/[gv]*", QUIRK_DIFFERS, NOT_EMULATED,
     "unknown instructions are internal errors instead of #UD"},
    {"kvm", HOST_EMULATES, "forbidden/inv[ev]*", QUIRK_DIFFERS, NOT_EMULATED,
     "unknown instructions are internal errors instead of #UD"},
    {"kvm", HOST_EMULATES, "forbidden/xsetbv", QUIRK_DIFFERS, NOT_EMULATED, "no XGETBV"},
    {"kvm", HOST_EMULATES, "fpu/[ams]*", QUIRK_DIFFERS, NOT_EMULATED, "no x87, SSE and AVX"},
    {"kvm", HOST_EMULATES, "fpu/x*", QUIRK_DIFFERS, NOT_EMULATED, "no x87, SSE and AVX"},
    {"kvm", HOST_EMULATES, "modes/protected_segment_limit", QUIRK_DIFFERS, NOT_EMULATED, "no LSL"},
    {"kvm", HOST_EMULATES, "debug/software_breakpoint", QUIRK_DIFFERS, NOT_EMULATED, "no INT3"},
    {"kvm", HOST_EMULATES, "debug/watchpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "no data breakpoints"},
    {"kvm", HOST_EMULATES, "debug/single_step_over_exit", QUIRK_DIFFERS, "steps_seen < 10*",
     "a halt is stepped over without an exit of its own"},
    {"kvm", HOST_EMULATES, "events/shadow", QUIRK_DIFFERS, "exit hlt*", "no window exits"},
    {"kvm", HOST_EMULATES, "events/smm", QUIRK_DIFFERS, "got.smi.smm is 0x0*",
     "no system management mode"},
    {"kvm", HOST_EMULATES, "hypercalls/[anu]*", QUIRK_DIFFERS, "exit kicked*",
     "a hypercall is tried again for ever"},
    {"kvm", HOST_EMULATES, "interrupts/shadows", QUIRK_DIFFERS, "*ready is 1, should be 0",
     "no interrupt shadow"},
    {"kvm", HOST_EMULATES, "interrupts/ready_at_exits", QUIRK_DIFFERS, "*ready is 1, should be 0",
     "no interrupt shadow"},
    {"kvm", HOST_EMULATES, "interrupts/window", QUIRK_DIFFERS, "*is 0x1, should be 0x0",
     "no interrupt shadow"},
    {"kvm", HOST_EMULATES, "interrupts/window_then_interrupt", QUIRK_DIFFERS, "exit hlt*",
     "no window exits"},
    {"kvm", HOST_EMULATES, "interrupts/nmi_masked_until_iret", QUIRK_DIFFERS, "exit io*",
     "an NMI that comes during another's handler is lost"},
    {"kvm", HOST_EMULATES, "snapshot_x86/nmi_masked", QUIRK_DIFFERS, "exit hlt*",
     "an NMI that comes during another's handler is lost"},
    {"kvm", HOST_EMULATES, "irqchip/ioapic_level", QUIRK_DIFFERS, "exit io*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "irqchip/resample", QUIRK_DIFFERS, "event_take(resample) is 0x1*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "irq/level_line", QUIRK_DIFFERS, "exit mmio*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "irq/resample", QUIRK_DIFFERS, "event_take(resample) is 0x1*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "irq/resample_again", QUIRK_DIFFERS, "exit mmio*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "irq/moved_while_served", QUIRK_DIFFERS, "exit mmio*",
     "a level interrupt ends when it is delivered"},
    {"kvm", HOST_EMULATES, "slots/memory_fault", QUIRK_DIFFERS, "unexpected exit mmio*",
     "memory that cannot be read is MMIO"},

    /* The software CPU, with the interrupt chips of src/irqchip. */
    {"soft", 0, "irq/resample_again", QUIRK_MAY_DIFFER, "exit mmio*should be kicked",
     "a thread takes events: one that comes during an interrupt may be seen after its end"},

    {"whpx", 0, "msr/exit_direction", QUIRK_DIFFERS, "*EUNSUPPORTED*",
     "the platform itself answers MSRs that the processor has, and cannot be told otherwise later"},
    {"whpx", 0, "msr/unknown", QUIRK_DIFFERS, "*0x11e*ENOENT*",
     "MSR 0x11e is no register of the platform: a guest reads what the processor below has"},

    /* On Windows, whatever the hypervisor; docs/windows.md. */
    {"*", HOST_WINDOWS, "slots/arena*", QUIRK_DIFFERS, "*create_arena*EUNSUPPORTED*",
     "Windows cannot replace a part of a mapping in place"},
    {"*", HOST_WINDOWS, "slots/sync_bounds", QUIRK_DIFFERS, "*create_arena*EUNSUPPORTED*",
     "Windows cannot replace a part of a mapping in place"},
    {"*", HOST_WINDOWS, "io_events/counted", QUIRK_DIFFERS, "event_take(event) is 0x1,*",
     "events of Windows are signalled or not, they do not count"},
    {"*", HOST_WINDOWS, "snapshot/memory", QUIRK_DIFFERS, "buffer.length < GUEST_RAM / 2*",
     "Windows tells of no holes in memory"},

    /* HAXM, with the same interrupt chips. */
    {"haxm", 0, "kick/blocked_signal", QUIRK_MAY_DIFFER, "*visor_vcpu_run*is 0x2, should be 0x4*",
     "a run ends at every interrupt of the host, whatever its cause"},
    {"haxm", 0, "irq/resample_again", QUIRK_MAY_DIFFER, "exit mmio*should be kicked",
     "a thread takes events: one that comes during an interrupt may be seen after its end"},
    {"haxm", 0, "memory/read_only*", QUIRK_DIFFERS, "exit mmio (write of 8 bytes at 0x3f000000*",
     HAXM_ROM},
    {"haxm", 0, "slots/read_only", QUIRK_DIFFERS, "exit mmio (write of 8 bytes at 0x3f000000*",
     HAXM_ROM},
    {"haxm", 0, "mmio/read_only_slot*", QUIRK_DIFFERS, "exit hlt*should be mmio", HAXM_ROM},
    {"haxm", 0, "memory/balloon", QUIRK_DIFFERS, "visor_vm_balloon_inflate*EUNSUPPORTED*",
     HAXM_PINNED},
    {"haxm", 0, "slots/file_paged", QUIRK_DIFFERS, "visor_vm_slot_page_out*EUNSUPPORTED*",
     HAXM_PINNED},
    {"haxm", 0, "slots/arena*", QUIRK_DIFFERS, "visor_vm_slot_map_file*EUNSUPPORTED*", HAXM_PINNED},
    {"haxm", 0, "control/cr0_invalid", QUIRK_DIFFERS, HAXM_TRIPLE},
    {"haxm", 0, "forbidden/invept_empty_idt", QUIRK_DIFFERS, HAXM_TRIPLE},
    {"haxm", 0, "control/shutdown_then_reset", QUIRK_DIFFERS, HAXM_TRIPLE},
    {"haxm", 0, "events/triple_fault", QUIRK_DIFFERS, "visor_x86_set_events*EUNSUPPORTED*",
     HAXM_DEAD},
    {"haxm", 0, "cpuid/set_is_seen", QUIRK_DIFFERS, "r?1? is 0x756e6547, should be 0x11223344*",
     "the driver takes of leaf 0 the highest leaf only"},
    {"haxm", 0, "cpuid/policy", QUIRK_DIFFERS, "r?1? is 0x60800, should be 0x3060800*",
     "the driver has one CPUID for all vCPUs of a VM, with one APIC id"},
    {"haxm", 0, "events/soft_interrupt", QUIRK_DIFFERS, "visor_x86_set_events*EUNSUPPORTED*",
     "an interrupt of INT is none of the driver's"},
    {"haxm", 0, "interrupts/nmi_masked_until_iret", QUIRK_DIFFERS, "events.nmi.masked is 0x0*",
     HAXM_NMI},
    {"haxm", 0, "snapshot_x86/nmi_masked", QUIRK_DIFFERS, "events.nmi.masked is 0x0*", HAXM_NMI},
    {"haxm", 0, "events/nmi_injected", QUIRK_DIFFERS, "got.nmi.injected is 0x0*", HAXM_NMI},
    {"haxm", 0, "events/nmi_masked", QUIRK_DIFFERS, "visor_x86_set_events*EUNSUPPORTED*", HAXM_NMI},
    {"haxm", 0, "events/members_not_reported", QUIRK_DIFFERS, "visor_x86_set_events*EUNSUPPORTED*",
     HAXM_NMI},
    {"haxm", 0, "events/shadow", QUIRK_DIFFERS, "set.interrupt.has_shadow is 0x0*", HAXM_SHADOW},
    {"haxm", 0, "snapshot_x86/shadow", QUIRK_DIFFERS, "*events.interrupt.shadow*", HAXM_SHADOW},
    {"haxm", 0, "fpu/avx_preserved", QUIRK_DIFFERS, "exit hlt*should be io", HAXM_XSAVE},
    {"haxm", 0, "fpu/xsave_in_guest", QUIRK_DIFFERS, "*rdx != 1 does not hold*", HAXM_XSAVE},
    {"haxm", 0, "mmio/read_modify_write", QUIRK_DIFFERS, "exit internal_error*cannot emulate*",
     HAXM_DECODE},
    {"haxm", 0, "mmio/sixteen_bytes", QUIRK_DIFFERS, "exit internal_error*cannot emulate*",
     HAXM_DECODE},
    {"haxm", 0, "modes/pae", QUIRK_DIFFERS, "visor_x86_set_sregs*EUNSUPPORTED*PAE*", HAXM_PAE},
    {"haxm", 0, "modes/segments_round_trip", QUIRK_DIFFERS, "visor_x86_set_sregs*cr8*", HAXM_CR8},
    {"haxm", 0, "snapshot_x86/all_state", QUIRK_DIFFERS, "visor_x86_set_sregs*cr8*", HAXM_CR8},
    {"haxm", 0, "snapshot_x86/same_vm", QUIRK_DIFFERS, "visor_x86_set_sregs*cr8*", HAXM_CR8},
    {"haxm", 0, "snapshot_x86/apic_base_and_deadline", QUIRK_DIFFERS,
     "visor_x86_set_msr*EREFUSED*MSR 0x1b*", "the driver has no x2APIC"},
};

const struct quirk *quirk_find(const char *backend, unsigned host, const char *full_name)
{
    for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
        const struct quirk *quirk = &quirks[i];

        if ((quirk->host & host) == quirk->host && glob_matches(quirk->backend, backend) &&
            glob_matches(quirk->cases, full_name))
            return quirk;
    }
    return NULL;
}
