/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest runs at all: registers, flags, segments. */
#include "x86.h"

VISOR_GUEST_ASM16(add_and_halt, "add ax, bx; hlt");

CASE(basic, minimal, "adds two registers and halts")
{
    x86_start(g, &(struct x86_setup){
                     .load = 0x1000, .code = &add_and_halt, .regs = {.rax = 1, .rbx = 2}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 3);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1003);
}

CASE(basic, without_cpuid, "a vCPU runs before it is told any CPUID")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000,
                                     .code = &add_and_halt,
                                     .regs = {.rax = 1, .rbx = 2},
                                     .without_cpuid = true});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 3);
}

VISOR_GUEST_ASM16(exchange, "xchg ax, bx; xchg cx, dx; xchg sp, bp; xchg si, di; hlt");

CASE(basic, register_access, "eight registers go in and come out")
{
    visor_x86_regs regs;

    x86_start(
        g,
        &(struct x86_setup){
            .load = 0x1000,
            .code = &exchange,
            .regs = {
                .rax = 2, .rbx = 1, .rcx = 4, .rdx = 3, .rsp = 6, .rbp = 5, .rsi = 8, .rdi = 7}});
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, 1);
    CHECK_EQ(regs.rbx, 2);
    CHECK_EQ(regs.rcx, 3);
    CHECK_EQ(regs.rdx, 4);
    CHECK_EQ(regs.rsp, 5);
    CHECK_EQ(regs.rbp, 6);
    CHECK_EQ(regs.rsi, 7);
    CHECK_EQ(regs.rdi, 8);
    CHECK_EQ(regs.rip, 0x1000 + exchange.length);
}

VISOR_GUEST_ASM64(not_all, "not rax; not rbx; not rcx; not rdx; not rsi; not rdi; not rsp; not rbp;"
                           "not r8; not r9; not r10; not r11; not r12; not r13; not r14; not r15;"
                           "hlt");

CASE(basic, all_registers, "all sixteen 64-bit registers, each with its own value")
{
    union {
        visor_x86_regs regs;
        uint64_t reg[16];
    } all = {0};

    for (unsigned i = 0; i < 16; i++)
        all.reg[i] = 0x0123456789abcd00u * (i + 1) + i;
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .load = 0x1000, .code = &not_all, .regs = all.regs});
    RUN_TO(g, HLT);
    all.regs = x86_regs(g->vcpu);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(all.reg[i], ~(0x0123456789abcd00u * (i + 1) + i));
    CHECK_EQ(all.regs.rip, 0x1000 + not_all.length);
}

VISOR_GUEST_ASM16(test_flags, "jnz 2f; test ax, ax; 2: hlt");

CASE(basic, flags_register, "flags go both ways")
{
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.load = 0x1000,
                                     .code = &test_flags,
                                     .regs = {.rax = 0xffffffff, .rflags = 0x42}});
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rflags & X86_FLAG_ZF, 0);
    CHECK_EQ(regs.rflags & X86_FLAG_SF, X86_FLAG_SF);
    CHECK_EQ(regs.rip, 0x1005);
}

VISOR_GUEST_ASM16(load_from_segments, "mov ax, ds:[0]; mov bx, es:[0]; mov cx, fs:[0];"
                                      "mov dx, gs:[0]; mov sp, ss:[0]; hlt");

CASE(basic, set_segments, "segment bases that real mode could not load itself")
{
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    uint8_t bytes[32];

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i + 1);
    x86_start(g, &(struct x86_setup){.ram = 0x4000,
                                     .load = 0x1000,
                                     .code = &load_from_segments,
                                     .regs = {.rflags = 0x42},
                                     .memory = {{0x2000, bytes, sizeof(bytes)}}});
    sregs = x86_sregs(g->vcpu);
    sregs.ds.base = 0x2000;
    sregs.es.base = 0x2004;
    sregs.fs.base = 0x2008;
    sregs.gs.base = 0x200c;
    sregs.ss.base = 0x2010;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, 0x0201);
    CHECK_EQ(regs.rbx, 0x0605);
    CHECK_EQ(regs.rcx, 0x0a09);
    CHECK_EQ(regs.rdx, 0x0e0d);
    CHECK_EQ(regs.rsp, 0x1211);
    CHECK_EQ(regs.rip, 0x1000 + load_from_segments.length);
    sregs = x86_sregs(g->vcpu);
    CHECK_EQ(sregs.ds.base, 0x2000);
    CHECK_EQ(sregs.es.base, 0x2004);
    CHECK_EQ(sregs.fs.base, 0x2008);
    CHECK_EQ(sregs.gs.base, 0x200c);
    CHECK_EQ(sregs.ss.base, 0x2010);
}

VISOR_GUEST_ASM16(read_tsc, "rdtsc; hlt");

CASE(basic, rdtsc_instruction, "the time stamp counter counts")
{
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &read_tsc});
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK(regs.rax != 0 || regs.rdx != 0);
}

VISOR_GUEST_ASM16(print_sum, "mov dx, 0x3f8; add al, bl; add al, '0'; out dx, al;"
                             "mov al, 10; out dx, al; mov byte ptr cs:[0x10f1], 0x13; hlt");

CASE(basic, real_run_address, "memory need not begin at 0; code may be written late")
{
    const visor_memory_region region = {.gpa = 0x1000, .length = 0x1000};
    const visor_x86_regs regs = {.rax = 2, .rbx = 7};
    visor_x86_sregs sregs;

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, NULL));
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
    sregs = x86_sregs(g->vcpu);
    CHECK(sregs.cs.base != 0);
    CHECK(sregs.cs.selector != 0);
    x86_set_mode(g, g->vcpu, X86_REAL, 0);
    x86_load(g, g->vcpu, 0x1000, &print_sum, &regs);
    RUN_TO_OUT(g, 0x3f8, 1, '9');
    RUN_TO_OUT(g, 0x3f8, 1, '\n');
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x10f1, 1), 0x13);
}

VISOR_GUEST_ASM16(two_halts, "inc ax; hlt; inc ax; hlt");

CASE(basic, run_again_after_halt, "a halted vCPU goes on behind the halt when run again")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &two_halts});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 1);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1002);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 2);
}

VISOR_GUEST_ASM16(out_and_halt, "out 0x10, al; hlt");

CASE(basic, exit_address_is_stable, "the exit lives at one address for the vCPU's whole life")
{
    const visor_exit *before;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &out_and_halt});
    before = visor_vcpu_exit(g->vcpu);
    CHECK_EQ(before->reason, VISOR_EXIT_NONE);
    RUN_TO_OUT(g, 0x10, 1, 0);
    CHECK(visor_vcpu_exit(g->vcpu) == before);
    RUN_TO(g, HLT);
    CHECK(visor_vcpu_exit(g->vcpu) == before);
}
