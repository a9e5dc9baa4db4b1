/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor modes, segments, and the state after reset. */
#include "x86.h"

#include <string.h>

VISOR_GUEST_ASM64(load_wide, "mov rdx, rax; mov rbx, [0x10000]; hlt");

static const uint64_t wide_value = 0x100000001u;

CASE(modes, long_mode_direct, "the VMM puts the vCPU into long mode")
{
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x11000,
                                     .load = 0x1000,
                                     .code = &load_wide,
                                     .regs = {.rax = 0x100000000u},
                                     .memory = {{0x10000, &wide_value, 8}}});
    RUN_TO(g, HLT);
    sregs = x86_sregs(g->vcpu);
    CHECK((sregs.efer & X86_EFER_LMA) != 0);
    CHECK_EQ(sregs.cs.l, 1);
    CHECK_EQ(x86_regs(g->vcpu).rdx, 0x100000000u);
    CHECK_EQ(x86_regs(g->vcpu).rbx, wide_value);
}

/* 16-bit lidt and lgdt load 24 bits of base. Until the far jump the code runs in 16-bit
 * compatibility mode with what real mode left in CS. */
VISOR_GUEST_ASM16(enter_long_mode, "lidt [0xd100]; mov eax, cr4; or ax, 0xa0; mov cr4, eax;"
                                   "mov bx, 0x9000; mov cr3, ebx;"
                                   "mov ecx, 0xc0000080; rdmsr; or ax, 0x100; wrmsr;"
                                   "mov eax, cr0; or eax, 0x80000001; mov cr0, eax;"
                                   "lgdt [0xd000];"
                                   ".byte 0xea; .word 0xe000, 0x10" /* jmp 0x10:0xe000 */);
VISOR_GUEST_ASM64(load_wide_r8, "mov rdx, r8; mov rbx, [0x10000]; hlt");

CASE(modes, long_mode_by_guest, "the guest itself goes from real to long mode")
{
    visor_x86_sregs sregs;

    x86_start(g,
              &(struct x86_setup){.ram = 0x13000,
                                  .load = 0x1000,
                                  .code = &enter_long_mode,
                                  .regs = {.r8 = 0x100000000u},
                                  .memory = {{0x10000, &wide_value, 8},
                                             {0xe000, load_wide_r8.bytes, load_wide_r8.length}}});
    x86_write_tables(g, X86_LONG);
    poke(g, 0xd000, 0xffff, 4);
    poke(g, 0xd002, X86_GDT, 4);
    poke(g, 0xd100, 0xffff, 4);
    poke(g, 0xd102, X86_IDT, 4);
    RUN_TO(g, HLT);
    sregs = x86_sregs(g->vcpu);
    CHECK((sregs.efer & X86_EFER_LMA) != 0);
    CHECK_EQ(sregs.cs.l, 1);
    CHECK_EQ(x86_regs(g->vcpu).rdx, 0x100000000u);
    CHECK_EQ(x86_regs(g->vcpu).rbx, wide_value);
}

VISOR_GUEST_ASM32(code_segment_limit, "mov ecx, cs; lsl eax, cx; hlt");

#define KERNEL_PAGE 0x5000u
#define USER_PAGE   0x6000u

/* Calls rdi, and goes to rsi with CPL 3, which calls it too. */
VISOR_GUEST_ASM64(to_user_code, "call rdi; push 0x23; push 0xe000; push 2; push 0x1b; push rsi;"
                                "iretq");
VISOR_GUEST_ASM64(call_kernel_page, "call rdi; ud2");
VISOR_GUEST_ASM64(return_only, "ret");
VISOR_GUEST_ASM64(tell_page_fault, "pop rax; mov rbx, cr2; hlt");

CASE(modes, user_code_in_kernel_page,
     "user code cannot execute the kernel's page, which the kernel has just executed")
{
    const uint64_t user_code = 0x00affb000000ffffu, user_data = 0x00cff3000000ffffu;
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG,
                     .load = 0x1000,
                     .code = &to_user_code,
                     .regs = {.rsp = 0x8000, .rdi = KERNEL_PAGE, .rsi = USER_PAGE},
                     .memory = {{X86_GDT + 0x18, &user_code, 8}, {X86_GDT + 0x20, &user_data, 8}}});
    put(g, KERNEL_PAGE, return_only.bytes, return_only.length);
    put(g, USER_PAGE, call_kernel_page.bytes, call_kernel_page.length);
    put(g, 0x7000, tell_page_fault.bytes, tell_page_fault.length);
    poke(g, X86_PML4, 0xa000 | 7, 8);
    poke(g, 0xa000, 0xb000 | 7, 8);
    poke(g, 0xb000, 0xc000 | 7, 8);
    poke(g, 0xc000 + USER_PAGE / 0x1000 * 8, USER_PAGE | 7, 8);
    poke(g, 0xc000 + 0xd000 / 0x1000 * 8, 0xd000 | 7, 8); /* its stack */
    x86_set_gate(g, X86_IDT, 14, 0x7000);
    poke(g, 0x3004, 0x4000, 8); /* RSP0 of the task state segment */
    sregs = x86_sregs(g->vcpu);
    sregs.gdt.limit = 0x27;
    sregs.tr = (visor_x86_segment){
        .base = 0x3000, .limit = 0x67, .selector = 0x28, .type = 11, .present = 1};
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, KERNEL_PAGE);
    CHECK_EQ(x86_regs(g->vcpu).rax, 5); /* present, user */
}

CASE(modes, protected_segment_limit, "segment limits are bytes: 32-bit code runs up to 4 GiB")
{
    x86_start(g, &(struct x86_setup){.mode = X86_PROTECTED,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = &code_segment_limit,
                                     .regs = {.rax = 12345}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0xffffffff);
}

VISOR_GUEST_ASM32(store_at_ebx, "mov [ebx], eax; hlt");

CASE(modes, segment_limit_enforced, "a data segment ends where its limit in bytes says")
{
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_PROTECTED,
                                     .load = 0x1000,
                                     .code = &store_at_ebx,
                                     .regs = {.rax = 0x77, .rbx = 0x2ffc}});
    sregs = x86_sregs(g->vcpu);
    sregs.ds = (visor_x86_segment){
        .limit = 0x2fff, .selector = 0x18, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    x86_set_sregs(g->vcpu, &sregs);
    CHECK_EQ(x86_sregs(g->vcpu).ds.limit, 0x2fff);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x2ffc, 4), 0x77);
    /* One byte beyond: #GP with an empty IDT, a triple fault. */
    x86_load(g, g->vcpu, 0x1000, &store_at_ebx, &(visor_x86_regs){.rbx = 0x2ffd});
    RUN_TO(g, SHUTDOWN);
}

CASE(modes, pae, "PAE paging is set from outside, with its tables in memory")
{
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_PROTECTED,
                                     .load = 0x1000,
                                     .code = &store_at_ebx,
                                     .regs = {.rax = 0x77, .rbx = 0x202100}});
    poke(g, 0x4000, 0x5000 | 1, 8);
    poke(g, 0x5000, 0x83, 8); /* large pages: 2 MiB, and the same again */
    poke(g, 0x5008, 0x83, 8);
    sregs = x86_sregs(g->vcpu);
    sregs.ds.limit = 0xffffffff;
    sregs.ds.g = 1;
    sregs.cr3 = 0x4000;
    sregs.cr4 |= X86_CR4_PAE;
    sregs.cr0 |= X86_CR0_PG;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x2100, 4), 0x77);
}

CASE(modes, all_or_nothing, "system registers are set, or refused and all left as they were")
{
    visor_x86_sregs before, set, got;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &store_at_ebx});
    before = set = x86_sregs(g->vcpu);
    set.cr3 = 0x5000;
    set.ds.base = 0x1230;
    set.cr8 = 5;
    if (visor_x86_set_sregs(g->vcpu, &set) < 0)
        set = before;
    got = x86_sregs(g->vcpu);
    CHECK_EQ(got.cr3, set.cr3);
    CHECK_EQ(got.ds.base, set.ds.base);
    CHECK_EQ(got.cr8, set.cr8);
}

CASE(modes, segments_round_trip, "every member of a segment comes back as it was set")
{
    visor_x86_sregs set, got;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG});
    set = x86_sregs(g->vcpu);
    set.fs = (visor_x86_segment){.base = 0xffff800012345678u,
                                 .limit = 0xfffff,
                                 .selector = 0x2b,
                                 .type = 7,
                                 .present = 1,
                                 .dpl = 3,
                                 .db = 1,
                                 .s = 1,
                                 .avl = 1};
    set.ldt = (visor_x86_segment){
        .base = 0x3000, .limit = 0x0fff, .selector = 0x28, .type = 2, .present = 1};
    set.tr = (visor_x86_segment){
        .base = 0x4000, .limit = 0x67, .selector = 0x30, .type = 11, .present = 1};
    set.gs.unusable = 1;
    set.gs.present = 0;
    set.gdt = (visor_x86_table){.base = 0xffff800000001500u, .limit = 0x4321};
    set.cr2 = 0x123456789abcu;
    set.cr8 = 5;
    x86_set_sregs(g->vcpu, &set);
    got = x86_sregs(g->vcpu);
    CHECK_EQ(got.fs.base, set.fs.base);
    CHECK_EQ(got.fs.limit, set.fs.limit);
    CHECK_EQ(got.fs.selector, set.fs.selector);
    CHECK_EQ(got.fs.type, set.fs.type);
    CHECK_EQ(got.fs.present, 1);
    CHECK_EQ(got.fs.dpl, 3);
    CHECK_EQ(got.fs.db, 1);
    CHECK_EQ(got.fs.s, 1);
    CHECK_EQ(got.fs.g, 0);
    CHECK_EQ(got.fs.avl, 1);
    CHECK_EQ(got.fs.unusable, 0);
    CHECK_EQ(got.gs.unusable, 1);
    CHECK_EQ(got.ldt.base, 0x3000);
    CHECK_EQ(got.ldt.limit, 0x0fff);
    CHECK_EQ(got.ldt.s, 0);
    CHECK_EQ(got.tr.base, 0x4000);
    CHECK_EQ(got.tr.type, 11);
    CHECK_EQ(got.gdt.base, set.gdt.base);
    CHECK_EQ(got.gdt.limit, 0x4321);
    CHECK_EQ(got.cr2, set.cr2);
    CHECK_EQ(got.cr8, 5);
}

VISOR_GUEST_ASM64(use_stack, "push rax; pop rbx; hlt");

CASE(modes, unusable_stays_unusable, "an unusable segment is not made usable by get and set")
{
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG});
    sregs = x86_sregs(g->vcpu);
    sregs.ldt.unusable = 1;
    sregs.ldt.present = 1;
    x86_set_sregs(g->vcpu, &sregs);
    sregs = x86_sregs(g->vcpu);
    CHECK(sregs.ldt.unusable == 1 || sregs.ldt.present == 0);
    x86_set_sregs(g->vcpu, &sregs);
    sregs = x86_sregs(g->vcpu);
    CHECK(sregs.ldt.unusable == 1 || sregs.ldt.present == 0);
    x86_load(g, g->vcpu, 0x1000, &use_stack, &(visor_x86_regs){.rsp = 0x2000, .rax = 9});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 9);
}

/* SDM vol. 3A, table 10-1. */
static void check_reset_state(struct guest *g)
{
    const visor_x86_sregs sregs = x86_sregs(g->vcpu);
    const visor_x86_regs regs = x86_regs(g->vcpu);
    const visor_x86_segment *data[5] = {&sregs.ds, &sregs.es, &sregs.fs, &sregs.gs, &sregs.ss};
    visor_x86_debugregs debugregs;
    visor_x86_fpu fpu;

    CHECK_EQ(regs.rip, 0xfff0);
    CHECK_EQ(regs.rflags, 2);
    CHECK_EQ(regs.rax, 0);
    CHECK_EQ(regs.rsp, 0);
    CHECK_EQ(sregs.cs.base, 0xffff0000);
    CHECK_EQ(sregs.cs.selector, 0xf000);
    CHECK_EQ(sregs.cs.limit, 0xffff);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(data[i]->base, 0);
        CHECK_EQ(data[i]->selector, 0);
        CHECK_EQ(data[i]->limit, 0xffff);
        CHECK_EQ(data[i]->present, 1);
        CHECK_EQ(data[i]->s, 1);
    }
    CHECK_EQ(sregs.gdt.base, 0);
    CHECK_EQ(sregs.gdt.limit, 0xffff);
    CHECK_EQ(sregs.idt.limit, 0xffff);
    CHECK_EQ(sregs.cr0, 0x60000010);
    CHECK_EQ(sregs.cr3, 0);
    CHECK_EQ(sregs.cr4, 0);
    CHECK_EQ(sregs.efer, 0);
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    CHECK_EQ(debugregs.dr6, 0xffff0ff0);
    CHECK_EQ(debugregs.dr7, 0x400);
    CHECK_OK(visor_x86_get_fpu(&fpu, g->vcpu));
    CHECK_EQ(fpu.mxcsr, 0x1f80);
}

CASE(modes, created_in_reset_state, "a new vCPU is in the architectural reset state")
{
    visor_x86_regs regs;

    x86_create(g, 0xf000, NULL);
    check_reset_state(g);
    regs = x86_regs(g->vcpu);
    /* DX identifies the processor on real hardware; family 6 or 0 here. */
    CHECK(regs.rdx == 0 || (regs.rdx & 0xf00) >= 0x500);
}

VISOR_GUEST_ASM64(dirty_state, "mov dr0, rax; mov r15, 7; mov ecx, 0xc0000082; mov eax, 5;"
                               "xor edx, edx; wrmsr; hlt");

CASE(modes, reset, "reset takes a vCPU back to that state from anywhere")
{
    uint64_t lstar;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &dirty_state});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_msr(&lstar, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(lstar, 5);
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    check_reset_state(g);
    CHECK_OK(visor_x86_get_msr(&lstar, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(lstar, 0);
    CHECK_EQ(x86_regs(g->vcpu).r15, 0);
}

CASE(modes, reset_vector, "a vCPU begins at the top of the first 4 GiB")
{
    static const uint8_t code[] = {0xea, 0x00, 0x10, 0x00, 0x00}; /* jmp 0:0x1000 */
    static const uint8_t halt[] = {0xf4};
    visor_mapping *rom;

    x86_create(g, 0xf000, NULL);
    CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
    add_slot(g, 0xffff0000u, 0x10000, &rom, false, false);
    memcpy((uint8_t *)visor_mapping_host(rom) + 0xfff0, code, sizeof(code));
    put(g, 0x1000, halt, sizeof(halt));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1001);
    CHECK_EQ(x86_sregs(g->vcpu).cs.base, 0);
}

VISOR_GUEST_ASM32(load_at_ebx, "mov eax, [ebx]; hlt");

CASE(modes, compatibility_addresses, "compatibility mode addresses with half of its registers")
{
    visor_x86_sregs sregs;
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = &load_at_ebx});
    sregs = x86_sregs(g->vcpu);
    sregs.cs.l = 0;
    sregs.cs.db = 1;
    sregs.ds = sregs.es = sregs.ss = sregs.cs;
    sregs.ds.type = sregs.es.type = sregs.ss.type = 3;
    x86_set_sregs(g->vcpu, &sregs);
    regs = x86_regs(g->vcpu);
    regs.rbx = UINT64_C(0x100002000);
    x86_set_regs(g->vcpu, &regs);
    poke(g, 0x2000, 0x12345678, 4);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x12345678);
}

CASE(modes, descriptors, "segments and descriptors are converted without loss")
{
    static const struct {
        uint64_t descriptor;
        uint32_t limit;
    } flat[] = {{0x00cf9b000000ffffu, 0xffffffff},
                {0x00af9b000000ffffu, 0xffffffff},
                {0x00409300000000ffu, 0xff},
                {0x12c0931234560001u, 0x1fff}};
    visor_x86_segment segment = {.limit = 0x12345, .present = 1, .s = 1, .type = 3};
    uint64_t descriptor;

    for (unsigned i = 0; i < 4; i++) {
        visor_x86_segment_from_descriptor(&segment, flat[i].descriptor, 0x18);
        CHECK_EQ(segment.limit, flat[i].limit);
        CHECK_EQ(segment.selector, 0x18);
        CHECK_OK(visor_x86_segment_to_descriptor(&descriptor, &segment));
        CHECK_EQ(descriptor, flat[i].descriptor);
    }
    CHECK_EQ(segment.base, 0x12123456);
    segment.g = 0;
    segment.limit = 0x100000;
    CHECK_ERROR(visor_x86_segment_to_descriptor(&descriptor, &segment), ERANGE);
    (void)g;
}
