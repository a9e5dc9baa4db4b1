/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions that a guest must not be able to use, or whose use must not hurt the host. Most
 * must raise #UD: then the handler at 0x1800 leaves 6 in RBX; #GP leaves 13.
 */
#include "x86.h"

VISOR_GUEST_ASM64(ud_handler, "mov ebx, 6; hlt");
VISOR_GUEST_ASM64(gp_handler, "mov ebx, 13; hlt");
VISOR_GUEST_ASM64(other_handler, "mov ebx, 255; hlt");

static void start_with_handlers(struct guest *g, const struct code *code,
                                const visor_x86_regs *regs)
{
    visor_x86_regs copy = *regs;

    copy.rsp = 0x900;
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = code,
                                     .idt = 0x12000,
                                     .regs = copy});
    put(g, 0x1700, other_handler.bytes, other_handler.length);
    put(g, 0x1800, ud_handler.bytes, ud_handler.length);
    put(g, 0x1900, gp_handler.bytes, gp_handler.length);
    x86_set_gates(g, 0x12000, 0x1700);
    x86_set_gate(g, 0x12000, 6, 0x1800);
    x86_set_gate(g, 0x12000, 13, 0x1900);
}

static void expect_ud(struct guest *g, const struct code *code)
{
    start_with_handlers(g, code, &(visor_x86_regs){.rax = 0x2000, .rcx = 0x3000});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 6);
}

VISOR_GUEST_ASM64(getsec, ".byte 0x0f, 0x37; hlt");
VISOR_GUEST_ASM64(invept, ".byte 0x67, 0x66, 0x0f, 0x38, 0x80, 0x00; hlt");
VISOR_GUEST_ASM64(invvpid, ".byte 0x67, 0x66, 0x0f, 0x38, 0x81, 0x00; hlt");
VISOR_GUEST_ASM64(vmclear, "vmclear [rax]; hlt");
VISOR_GUEST_ASM64(vmlaunch, "vmlaunch; hlt");
VISOR_GUEST_ASM64(vmptrld, "vmptrld [rax]; hlt");
VISOR_GUEST_ASM64(vmptrst, "vmptrst [rcx]; hlt");
VISOR_GUEST_ASM64(vmresume, "vmresume; hlt");
VISOR_GUEST_ASM64(vmxoff, "vmxoff; hlt");
VISOR_GUEST_ASM64(vmxon, "vmxon [rax]; hlt");

CASE(forbidden, getsec, "GETSEC without SMX: #UD")
{
    expect_ud(g, &getsec);
}
CASE(forbidden, invept, "INVEPT outside VMX operation: #UD")
{
    expect_ud(g, &invept);
}
CASE(forbidden, invvpid, "INVVPID outside VMX operation: #UD")
{
    expect_ud(g, &invvpid);
}
CASE(forbidden, vmclear, "VMCLEAR outside VMX operation: #UD")
{
    expect_ud(g, &vmclear);
}
CASE(forbidden, vmlaunch, "VMLAUNCH outside VMX operation: #UD")
{
    expect_ud(g, &vmlaunch);
}
CASE(forbidden, vmptrld, "VMPTRLD outside VMX operation: #UD")
{
    expect_ud(g, &vmptrld);
}
CASE(forbidden, vmptrst, "VMPTRST outside VMX operation: #UD")
{
    expect_ud(g, &vmptrst);
}
CASE(forbidden, vmresume, "VMRESUME outside VMX operation: #UD")
{
    expect_ud(g, &vmresume);
}
CASE(forbidden, vmxoff, "VMXOFF outside VMX operation: #UD")
{
    expect_ud(g, &vmxoff);
}
CASE(forbidden, vmxon, "VMXON without CR4.VMXE: #UD")
{
    expect_ud(g, &vmxon);
}

CASE(forbidden, invept_empty_idt, "and with an empty IDT that is a triple fault")
{
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .load = 0x1000, .code = &invept, .regs = {.rax = 0x2000}});
    RUN_TO(g, SHUTDOWN);
}

VISOR_GUEST_ASM16(invd, "invd; hlt");

CASE(forbidden, invd, "INVD must not throw away the host's dirty cache lines")
{
    static volatile uint8_t lines[1 << 16];

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &invd});
    for (unsigned i = 0; i < sizeof(lines); i++)
        lines[i] = (uint8_t)(i * 7 + 1);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1003);
    for (unsigned i = 0; i < sizeof(lines); i++)
        CHECK_EQ(lines[i], (uint8_t)(i * 7 + 1));
}

VISOR_GUEST_ASM64(set_xcr0, "mov rax, cr4; or eax, 0x40000; mov cr4, rax;"
                            "xor ecx, ecx; xgetbv; or eax, 1; xsetbv; xgetbv; hlt");
VISOR_GUEST_ASM64(clear_xcr0, "mov rax, cr4; or eax, 0x40000; mov cr4, rax;"
                              "xor ecx, ecx; xor eax, eax; xor edx, edx; xsetbv; hlt");
VISOR_GUEST_ASM64(xsetbv_without_osxsave, "xor ecx, ecx; mov eax, 1; xor edx, edx; xsetbv; hlt");

static void need_xsave(struct guest *g)
{
    visor_x86_cpuid_entry list[200];
    int count = (int)CHECK_OK(visor_x86_supported_cpuid(list, 200, g->hv));

    for (int i = 0; i < count && i < 200; i++) {
        if (list[i].function == 1 && (list[i].ecx & 1u << 26) != 0)
            return;
    }
    SKIP("guests have no XSAVE");
}

CASE(forbidden, xsetbv, "XSETBV with a valid value works")
{
    need_xsave(g);
    start_with_handlers(g, &set_xcr0, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0);
    CHECK_EQ(x86_regs(g->vcpu).rax & 1, 1);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + set_xcr0.length);
}

CASE(forbidden, xsetbv_invalid, "XCR0 without x87 raises #GP, in the guest")
{
    need_xsave(g);
    start_with_handlers(g, &clear_xcr0, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 13);
}

CASE(forbidden, xsetbv_not_enabled, "XSETBV without CR4.OSXSAVE raises #UD")
{
    need_xsave(g);
    start_with_handlers(g, &xsetbv_without_osxsave, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 6);
}

/*
 * The eight in real mode with an interrupt table of zeros: what happens differs by processor, but
 * the host survives and the run returns, if only because it is kicked.
 */
VISOR_GUEST_ASM16(real_vmcall, "vmcall; hlt");
VISOR_GUEST_ASM16(real_vmclear, ".byte 0x66, 0x0f, 0xc7, 0x30; hlt");
VISOR_GUEST_ASM16(real_vmlaunch, "vmlaunch; hlt");
VISOR_GUEST_ASM16(real_vmptrld, ".byte 0x0f, 0xc7, 0x30; hlt");
VISOR_GUEST_ASM16(real_vmptrst, ".byte 0x0f, 0xc7, 0x31; hlt");
VISOR_GUEST_ASM16(real_vmresume, "vmresume; hlt");
VISOR_GUEST_ASM16(real_vmxoff, "vmxoff; hlt");
VISOR_GUEST_ASM16(real_vmxon, ".byte 0xf3, 0x0f, 0xc7, 0x30; hlt");

static void survive(struct guest *g, const struct code *code)
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = code});
    kick_later(g->vcpu, 500);
    RUN(g);
    note("%s", exit_text(visor_vcpu_exit(g->vcpu)));
}

CASE(forbidden, real_vmcall, "VMCALL in real mode: run returns")
{
    survive(g, &real_vmcall);
}
CASE(forbidden, real_vmclear, "VMCLEAR in real mode: run returns")
{
    survive(g, &real_vmclear);
}
CASE(forbidden, real_vmlaunch, "VMLAUNCH in real mode: run returns")
{
    survive(g, &real_vmlaunch);
}
CASE(forbidden, real_vmptrld, "VMPTRLD in real mode: run returns")
{
    survive(g, &real_vmptrld);
}
CASE(forbidden, real_vmptrst, "VMPTRST in real mode: run returns")
{
    survive(g, &real_vmptrst);
}
CASE(forbidden, real_vmresume, "VMRESUME in real mode: run returns")
{
    survive(g, &real_vmresume);
}
CASE(forbidden, real_vmxoff, "VMXOFF in real mode: run returns")
{
    survive(g, &real_vmxoff);
}
CASE(forbidden, real_vmxon, "VMXON in real mode: run returns")
{
    survive(g, &real_vmxon);
}

VISOR_GUEST_ASM16(real_ud, "mov bx, 6; hlt");
VISOR_GUEST_ASM16(real_other, "mov bx, 255; hlt");
VISOR_GUEST_ASM16(real_sldt, "lidt [0x200]; mov sp, 0x900; .byte 0x0f, 0x00, 0xc0; hlt");
VISOR_GUEST_ASM16(real_str, "lidt [0x200]; mov sp, 0x900; .byte 0x0f, 0x00, 0xc8; hlt");

CASE(forbidden, sldt_real_mode, "SLDT in real mode: #UD")
{
    x86_start_ivt(g, &(struct x86_ivt_setup){
                         .isrs = {{6, &real_ud}}, .others = &real_other, .main = &real_sldt});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx & 0xffff, 6);
}

CASE(forbidden, str_real_mode, "STR in real mode: #UD")
{
    x86_start_ivt(g, &(struct x86_ivt_setup){
                         .isrs = {{6, &real_ud}}, .others = &real_other, .main = &real_str});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx & 0xffff, 6);
}

VISOR_GUEST_ASM64(invalid, ".byte 0x0f, 0x04; hlt");

CASE(forbidden, made_valid, "an instruction that does not exist raises #UD until it is changed")
{
    expect_ud(g, &invalid);
    poke(g, 0x1001, 0x31, 1); /* RDTSC */
    x86_set_rip(g->vcpu, 0x1000);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1003);
}
