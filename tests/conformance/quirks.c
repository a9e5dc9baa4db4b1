/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every difference that is allowed, with its reason. A case that a row describes is still run: it
 * must differ in the way that the row says, and is then reported as skipped, never as passed. If
 * it passes, the suite says that the row is out of date. QUIRK_SKIP is for what must not even be
 * tried. Whatever is not here fails.
 */
#include <fnmatch.h>
#include <stddef.h>

#include "harness.h"

#define QEMU_X86     (HOST_QEMU | HOST_X86_64)
#define QEMU_ARM     (HOST_QEMU | HOST_AARCH64)
#define NOT_EMULATED "exit internal_error (suberror 1*"

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
    {"kvm", QEMU_X86, "debug/breakpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "debug/four_breakpoints", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
    {"kvm", QEMU_X86, "debug/watchpoint", QUIRK_DIFFERS, "exit hlt*should be debug",
     "QEMU 7.2 loads no debug registers when it enters a guest"},
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
};

const struct quirk *quirk_find(const char *backend, unsigned host, const char *full_name)
{
    for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
        const struct quirk *quirk = &quirks[i];

        if ((quirk->host & host) == quirk->host && fnmatch(quirk->backend, backend, 0) == 0 &&
            fnmatch(quirk->cases, full_name, 0) == 0)
            return quirk;
    }
    return NULL;
}
