/* SPDX-License-Identifier: BSD-3-Clause */
/* Control, debug and extended control registers, and the bases of FS and GS. */
#include "x86.h"

#include <string.h>

VISOR_GUEST_ASM16(set_cr0_read_ecx, "mov cr0, eax; mov ecx, cr0; hlt");
VISOR_GUEST_ASM16(set_cr0_read_eax, "mov cr0, eax; mov eax, cr0; hlt");

CASE(control, cr0_invalid, "paging on with tables of zeros is a triple fault")
{
    x86_start(g, &(struct x86_setup){
                     .load = 0x1000, .code = &set_cr0_read_ecx, .regs = {.rax = 0x80000011}});
    RUN_TO(g, SHUTDOWN);
}

VISOR_GUEST_ASM16(inc_and_halt, "inc ax; hlt");

CASE(control, shutdown_then_reset, "after a triple fault a reset makes the vCPU usable again")
{
    x86_start(g, &(struct x86_setup){
                     .load = 0x1000, .code = &set_cr0_read_ecx, .regs = {.rax = 0x80000011}});
    RUN_TO(g, SHUTDOWN);
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    x86_set_mode(g, g->vcpu, X86_REAL, 0);
    x86_load(g, g->vcpu, 0x2000, &inc_and_halt, &(visor_x86_regs){.rax = 5});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 6);
}

CASE(control, cr0_valid, "the guest enters protected mode and reads CR0 back")
{
    x86_start(g,
              &(struct x86_setup){.load = 0x1000, .code = &set_cr0_read_eax, .regs = {.rax = 1}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax & 1, 1);
    /* ET is fixed to 1, so the read is not just the value written (SDM vol. 3A, 2.5). */
    CHECK_EQ(x86_regs(g->vcpu).rax & 0x10, 0x10);
    CHECK_EQ(x86_sregs(g->vcpu).cr0 & 1, 1);
}

VISOR_GUEST_ASM16(read_crs, "mov eax, cr0; mov ebx, cr3; mov ecx, cr4; hlt");

CASE(control, set_by_vmm, "control registers that the VMM sets are what the guest reads")
{
    visor_x86_sregs sregs;
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &read_crs});
    sregs = x86_sregs(g->vcpu);
    sregs.cr0 |= X86_CR0_AM;
    sregs.cr3 = 0xfeedface;
    sregs.cr4 |= X86_CR4_TSD;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO(g, HLT);
    sregs = x86_sregs(g->vcpu);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, sregs.cr0);
    CHECK_EQ(regs.rbx, sregs.cr3);
    CHECK_EQ(regs.rcx, sregs.cr4);
    CHECK_EQ(sregs.cr3, 0xfeedface);
    CHECK((sregs.cr0 & X86_CR0_AM) != 0);
    CHECK((sregs.cr4 & X86_CR4_TSD) != 0);
    CHECK_EQ(regs.rip, 0x100a);
}

VISOR_GUEST_ASM16(set_crs, "mov eax, cr0; or eax, 0x40000; mov cr0, eax;"
                           "mov ebx, 0xfeedface; mov cr3, ebx;"
                           "mov ecx, cr4; or ecx, 4; mov cr4, ecx; hlt");

CASE(control, set_by_guest, "and the other way round")
{
    visor_x86_sregs sregs;
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &set_crs});
    RUN_TO(g, HLT);
    sregs = x86_sregs(g->vcpu);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, sregs.cr0);
    CHECK_EQ(regs.rbx, sregs.cr3);
    CHECK_EQ(regs.rcx, sregs.cr4);
    CHECK_EQ(sregs.cr3, 0xfeedface);
    CHECK((sregs.cr0 & X86_CR0_AM) != 0);
    CHECK((sregs.cr4 & X86_CR4_TSD) != 0);
    CHECK_EQ(regs.rip, 0x1000 + set_crs.length);
}

VISOR_GUEST_ASM16(move_dr2, "mov dr2, eax; mov ebx, dr2; hlt");

CASE(control, debug_register_access, "the guest uses its debug registers")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &move_dr2, .regs = {.rax = 0x1234}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0x1234);
}

VISOR_GUEST_ASM64(keep_drs, "mov dr0, rax; inc rax; mov dr1, rax; inc rax; mov dr2, rax; inc rax;"
                            "mov dr3, rax; hlt;"
                            "mov r8, dr0; mov r9, dr1; mov r10, dr2; mov r11, dr3; hlt");

CASE(control, debug_registers_persist, "debug registers survive an exit, and the VMM sees them")
{
    visor_x86_debugregs debugregs;
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x11000,
                                     .load = 0x1000,
                                     .code = &keep_drs,
                                     .regs = {.rax = 0x12345678}});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(debugregs.db[i], 0x12345678 + i);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.r8, 0x12345678);
    CHECK_EQ(regs.r9, 0x12345679);
    CHECK_EQ(regs.r10, 0x1234567a);
    CHECK_EQ(regs.r11, 0x1234567b);
}

VISOR_GUEST_ASM64(read_drs, "mov r8, dr0; mov r9, dr3; mov r10, dr7; hlt");

CASE(control, debug_registers_set, "debug registers that the VMM sets are what the guest reads")
{
    visor_x86_debugregs debugregs;
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &read_drs});
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    CHECK_EQ(debugregs.dr6, 0xffff0ff0);
    CHECK_EQ(debugregs.dr7, 0x400);
    debugregs.db[0] = 0x4000;
    debugregs.db[3] = 0xffff800000001234u;
    debugregs.dr7 = 13; /* fixed bits are the processor's business, not the caller's */
    CHECK_OK(visor_x86_set_debugregs(g->vcpu, &debugregs));
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    CHECK_EQ(debugregs.dr7 & ~0x400ull, 13);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.r8, 0x4000);
    CHECK_EQ(regs.r9, 0xffff800000001234u);
    CHECK_EQ(regs.r10 & ~0x400ull, 13);
}

/* Load address 0x1000: the second nop is at 0x1019, the halt at 0x101a. */
VISOR_GUEST_ASM64(own_breakpoint, "mov sp, 0x900; mov rax, 0x1019; mov dr0, rax;"
                                  "mov rax, 1; mov dr7, rax; nop; nop; hlt");
VISOR_GUEST_ASM64(own_db_handler, "mov rbx, 0xf00dbabe; mov rax, 0; mov dr7, rax; mov rax, dr6;"
                                  "iretq");
VISOR_GUEST_ASM64(unexpected_handler, "mov rbx, 0xbaadf00d; hlt");

CASE(control, own_breakpoint, "a hardware breakpoint of the guest's own reaches its handler")
{
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = &own_breakpoint,
                                     .idt = 0x12000,
                                     .regs = {.rflags = X86_FLAG_IF}});
    put(g, 0x800, own_db_handler.bytes, own_db_handler.length);
    put(g, 0x700, unexpected_handler.bytes, unexpected_handler.length);
    x86_set_gates(g, 0x12000, 0x700);
    x86_set_gate(g, 0x12000, 1, 0x800);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rbx, 0xf00dbabe);
    CHECK_EQ(regs.rax & 1, 1);
    CHECK_EQ(regs.rip, 0x101b);
}

VISOR_GUEST_ASM64(use_bases, "wrfsbase rax; wrgsbase rbx; rdfsbase rcx; rdgsbase rdx;"
                             "mov rax, fs:[0]; mov rbx, gs:[0]; hlt");

CASE(control, fsgsbase, "FS and GS bases by their instructions")
{
    static const uint64_t a = 0xaaaaaaaaaaaaaaaau, b = 0xbbbbbbbbbbbbbbbbu;
    visor_x86_regs regs;
    uint32_t r[4];

    x86_host_cpuid(r, 7, 0);
    if ((r[1] & 1) == 0)
        SKIP("the processor has no FSGSBASE");
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x11000,
                                     .load = 0x1000,
                                     .code = &use_bases,
                                     .extra_cr4 = X86_CR4_FSGSBASE,
                                     .regs = {.rax = 0x10000, .rbx = 0x10100},
                                     .memory = {{0x10000, &a, 8}, {0x10100, &b, 8}}});
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rcx, 0x10000);
    CHECK_EQ(regs.rdx, 0x10100);
    CHECK_EQ(regs.rax, a);
    CHECK_EQ(regs.rbx, b);
    CHECK_EQ(x86_sregs(g->vcpu).fs.base, 0x10000);
    CHECK_EQ(x86_sregs(g->vcpu).gs.base, 0x10100);
}

VISOR_GUEST_ASM64(read_xcr0, "mov rax, cr4; or eax, 0x40000; mov cr4, rax;"
                             "xor ecx, ecx; xgetbv; hlt");

CASE(control, xcr0, "XCR0 by the VMM: read, set, seen by the guest")
{
    visor_x86_xcrs xcrs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &read_xcr0});
    NEED(g, X86_XCRS);
    CHECK_OK(visor_x86_get_xcrs(&xcrs, g->vcpu));
    CHECK_EQ(xcrs.count, 1);
    CHECK_EQ(xcrs.xcr[0].index, 0);
    CHECK_EQ(xcrs.xcr[0].value, 1);
    xcrs.xcr[0].value = 3; /* x87 and SSE */
    CHECK_OK(visor_x86_set_xcrs(g->vcpu, &xcrs));
    memset(&xcrs, 0, sizeof(xcrs));
    CHECK_OK(visor_x86_get_xcrs(&xcrs, g->vcpu));
    CHECK_EQ(xcrs.xcr[0].value, 3);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 3);
    xcrs.xcr[0].value = 0; /* x87 cannot be off (SDM vol. 1, 13.3) */
    CHECK_ERROR(visor_x86_set_xcrs(g->vcpu, &xcrs), EREFUSED);
}

CASE(control, efer_both_ways, "EFER in sregs and EFER as MSR are the same register")
{
    visor_x86_sregs sregs;
    uint64_t efer;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG});
    CHECK_OK(visor_x86_get_msr(&efer, g->vcpu, X86_MSR_EFER));
    CHECK_EQ(efer, X86_EFER_LME | X86_EFER_LMA);
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_EFER, efer | 1)); /* SCE */
    sregs = x86_sregs(g->vcpu);
    CHECK_EQ(sregs.efer, X86_EFER_LME | X86_EFER_LMA | 1);
    CHECK((sregs.cr0 & X86_CR0_PG) != 0);
    CHECK((sregs.cr4 & X86_CR4_PAE) != 0);
}

CASE(control, sregs_keep_apic_base, "setting sregs leaves the interrupt controller's part alone")
{
    visor_x86_sregs sregs;
    uint64_t before, after;

    x86_start(g, &(struct x86_setup){0});
    CHECK_OK(visor_x86_get_msr(&before, g->vcpu, X86_MSR_APIC_BASE));
    sregs = x86_sregs(g->vcpu);
    sregs.cr3 = 0x5000;
    x86_set_sregs(g->vcpu, &sregs);
    CHECK_OK(visor_x86_get_msr(&after, g->vcpu, X86_MSR_APIC_BASE));
    CHECK_EQ(after, before);
    CHECK(before != 0);
}
