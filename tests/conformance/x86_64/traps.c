/* SPDX-License-Identifier: BSD-3-Clause */
/* #DB behind instructions that are more than one step, faults instead of a trap, and task switches.
 */
#include "x86.h"

#define IDT    0x12000u
#define DONE   0x1800u /* code */
#define ON_DB  0x1900u
#define ON_GP  0x1a00u
#define TSS    0x13000u
#define USER   0x14000u
#define TABLES 0x9000u
#define SMEP   (1u << 20) /* of CR4 */

VISOR_GUEST_ASM64(on_db, "mov ebx, 1; mov rax, [rsp]; hlt");
VISOR_GUEST_ASM64(on_gp, "mov ebx, 13; hlt");
VISOR_GUEST_ASM64(done, "mov ebx, 2; nop; hlt");

static void start(struct guest *g, const struct code *code, const visor_x86_regs *regs)
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = code,
                                     .idt = IDT,
                                     .regs = *regs});
    put(g, DONE, done.bytes, done.length);
    put(g, ON_DB, on_db.bytes, on_db.length);
    put(g, ON_GP, on_gp.bytes, on_gp.length);
    x86_set_gates(g, IDT, ON_GP);
    x86_set_gate(g, IDT, 1, ON_DB);
}

#define SET_TF "pushfq; or qword ptr [rsp], 0x100; popfq;"

VISOR_GUEST_ASM64(repeat, "rep stosb; hlt");
VISOR_GUEST_ASM64(repeat_traps, SET_TF "rep stosb; hlt");

CASE(traps, step_repetition, "a step of the VMM's is one iteration of a repeated instruction")
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    start(g, &repeat, &(visor_x86_regs){.rdi = 0x2000, .rcx = 3, .rsp = 0x900});
    NEED(g, DEBUG);
    config.single_step = true;
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, &config));
    for (unsigned i = 1; i <= 3; i++) {
        RUN_TO(g, DEBUG);
        CHECK_EQ(x86_regs(g->vcpu).rcx, 3 - i);
        CHECK_EQ(x86_regs(g->vcpu).rdi, 0x2000 + i);
    }
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, NULL));
    RUN_TO(g, HLT);
}

VISOR_GUEST_ASM64(later_repeat, "nop; rep stosb; hlt");

CASE(traps, repetition_stopped, "a breakpoint on a repeated instruction stops it once")
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    start(g, &later_repeat, &(visor_x86_regs){.rdi = 0x2000, .rcx = 3, .rsp = 0x900});
    NEED(g, DEBUG);
    config.breakpoint_count = 1;
    config.breakpoints =
        &(visor_breakpoint){.kind = VISOR_BREAK_EXECUTE, .address = 0x1001, .length = 1};
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, &config));
    RUN_TO(g, DEBUG);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 3);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0);
}

CASE(traps, repetition, "TF traps behind an iteration of a repeated instruction")
{
    start(g, &repeat_traps, &(visor_x86_regs){.rdi = 0x2000, .rcx = 3, .rsp = 0x900});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 1);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 2);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x1000 + repeat_traps.length - 3);
}

static void set_system_call(struct guest *g, uint64_t mask)
{
    const visor_x86_msr msrs[] = {{.index = X86_MSR_STAR, .value = UINT64_C(0x10) << 32},
                                  {.index = X86_MSR_LSTAR, .value = DONE},
                                  {.index = 0xc0000084, .value = mask}};
    visor_x86_sregs sregs = x86_sregs(g->vcpu);

    sregs.efer |= 1; /* SCE */
    x86_set_sregs(g->vcpu, &sregs);
    CHECK_OK(visor_x86_set_msrs(g->vcpu, msrs, sizeof(msrs) / sizeof(msrs[0])));
}

VISOR_GUEST_ASM64(call, SET_TF "syscall; hlt");

CASE(traps, system_call_masked, "a SYSCALL that masks TF does not trap")
{
    start(g, &call, &(visor_x86_regs){.rsp = 0x900});
    set_system_call(g, X86_FLAG_TF);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 2);
    CHECK((x86_regs(g->vcpu).r11 & X86_FLAG_TF) != 0);
}

CASE(traps, system_call, "one that does not mask it traps, before anything else")
{
    start(g, &call, &(visor_x86_regs){.rsp = 0x900});
    set_system_call(g, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 1);
    CHECK_EQ(x86_regs(g->vcpu).rax, DONE);
}

VISOR_GUEST_ASM64(back, "sysretq");
VISOR_GUEST_ASM64(user, "nop; nop; nop");

CASE(traps, system_return, "a SYSRET that sets TF traps before the program goes on")
{
    visor_x86_sregs sregs;

    start(g, &back, &(visor_x86_regs){.rcx = USER, .r11 = 2 | X86_FLAG_TF, .rsp = 0x900});
    set_system_call(g, 0);
    put(g, USER, user.bytes, user.length);
    poke(g, TABLES, peek(g, TABLES, 8) | 4, 8);
    poke(g, TABLES + 0x1000, peek(g, TABLES + 0x1000, 8) | 4, 8);
    poke(g, TABLES + 0x2000, peek(g, TABLES + 0x2000, 8) | 4, 8);
    poke(g, TABLES + 0x3000 + 8 * (USER >> 12), USER | 7, 8);
    poke(g, TSS + 4, 0x900, 8);
    sregs = x86_sregs(g->vcpu);
    sregs.tr =
        (visor_x86_segment){.base = TSS, .limit = 0x67, .selector = 8, .type = 11, .present = 1};
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 1);
    CHECK_EQ(x86_regs(g->vcpu).rax, USER);
}

/* The IDT and the stack are used before: where the host has yet to give their pages, Linux's KVM
 * injects INTO once more, and from behind it. */
VISOR_GUEST_ASM32(overflow, "mov eax, cs:[0x12000]; push eax; into; hlt");
VISOR_GUEST_ASM32(on_fault, "pop eax; pop ebx; hlt");

CASE(traps, into_absent_gate, "INTO through a gate that is not present: #NP at the instruction")
{
    const uint64_t gate = DONE | UINT64_C(0x10) << 16 | UINT64_C(0x8e00) << 32;

    x86_start(g, &(struct x86_setup){.mode = X86_PROTECTED,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = &overflow,
                                     .idt = IDT,
                                     .regs = {.rsp = 0x900, .rflags = 0x800}});
    put(g, DONE, on_fault.bytes, on_fault.length);
    poke(g, IDT + 8 * 4, gate & ~(UINT64_C(1) << 47), 8);
    poke(g, IDT + 8 * 11, gate, 8);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, DONE + on_fault.length);
    CHECK_EQ(x86_regs(g->vcpu).rax & 0xffff, 4 * 8 + 2);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0x1000 + overflow.length - 2);
}

VISOR_GUEST_ASM64(set_cr4, "mov rax, cr4; or rax, rdx; mov cr4, rax; hlt");

CASE(traps, hidden_feature, "a bit of CR4 whose feature CPUID does not tell of is reserved")
{
    visor_x86_cpuid_entry list[200];
    int count;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = &set_cr4,
                                     .idt = IDT,
                                     .regs = {.rdx = SMEP, .rsp = 0x900},
                                     .without_cpuid = true});
    put(g, ON_GP, on_gp.bytes, on_gp.length);
    x86_set_gates(g, IDT, ON_GP);
    count = (int)CHECK_OK(visor_x86_supported_cpuid(list, 200, g->hv));
    CHECK(count <= 200);
    for (int i = 0; i < count; i++) {
        if (list[i].function == 7 && list[i].index == 0)
            list[i].ebx &= ~(1u << 7);
    }
    CHECK_OK(visor_x86_set_cpuid(g->vcpu, list, (size_t)count));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 13);
    CHECK_EQ(x86_sregs(g->vcpu).cr4 & SMEP, 0);
}

/* ---- tasks: SDM vol. 3A, 7.3 ---- */

#define GDT      0x11000u
#define NEW_TSS  0x13100u
#define DATA     0x18u /* selectors */
#define OLD_TASK 0x20u
#define NEW_TASK 0x28u

VISOR_GUEST_ASM32(to_task, ".byte 0xea, 0, 0, 0, 0, 0x28, 0" /* ljmp $0x28, $0 */);
VISOR_GUEST_ASM32(undefined, "ud2");
VISOR_GUEST_ASM32(on_task_fault, "pop eax; pop ebx; pop ecx; hlt");
VISOR_GUEST_ASM32(task, "nop; nop; hlt");

/* A task at DONE, with the stack at 0x900; and handlers of all vectors at ON_DB. */
static void start_with_task(struct guest *g, const struct code *code)
{
    const uint64_t gdt[] = {0,
                            0,
                            0x00cf9b000000ffffu,
                            0x00cf93000000ffffu,
                            0x00008b0000000067u | (uint64_t)TSS << 16,
                            0x0000890000000067u | (uint64_t)NEW_TSS << 16};
    const uint64_t gate = ON_DB | (uint64_t)X86_CODE_SELECTOR << 16 | UINT64_C(0x8e00) << 32;
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_PROTECTED,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = code,
                                     .idt = IDT,
                                     .regs = {.rsp = 0x700}});
    put(g, GDT, gdt, sizeof(gdt));
    put(g, DONE, task.bytes, task.length);
    put(g, ON_DB, on_task_fault.bytes, on_task_fault.length);
    for (unsigned i = 0; i < 32; i++)
        poke(g, IDT + 8 * i, gate, 8);
    poke(g, NEW_TSS + 32, DONE, 4);
    poke(g, NEW_TSS + 36, 2, 4);
    poke(g, NEW_TSS + 56, 0x900, 4);
    for (unsigned i = 0; i < 6; i++)
        poke(g, NEW_TSS + 72 + 4 * i, i == 1 ? X86_CODE_SELECTOR : DATA, 4);
    sregs = x86_sregs(g->vcpu);
    /* Without CD and NW: where KVM hides them from the processor, it misses what a task switch does
     * to CR0. */
    sregs.cr0 &= ~UINT64_C(0x60000000);
    sregs.gdt = (visor_x86_table){.base = GDT, .limit = sizeof(gdt) - 1};
    sregs.tr = (visor_x86_segment){
        .base = TSS, .limit = 0x67, .selector = OLD_TASK, .type = 11, .present = 1};
    x86_set_sregs(g->vcpu, &sregs);
}

/* A fault of the new task, when the switch is complete: with its stack. */
static void expect_task_fault(struct guest *g, uint64_t error)
{
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, ON_DB + on_task_fault.length);
    CHECK_EQ(x86_regs(g->vcpu).rax & 0xffff, error);
    CHECK_EQ(x86_regs(g->vcpu).rsp, 0x900 - 4);
    CHECK_EQ(x86_sregs(g->vcpu).tr.selector, NEW_TASK);
    CHECK((x86_sregs(g->vcpu).cr0 & 8) != 0); /* TS */
    CHECK_EQ(peek(g, GDT + OLD_TASK + 5, 1), 0x89);
    CHECK_EQ(peek(g, GDT + NEW_TASK + 5, 1), 0x8b);
}

CASE(traps, task_bad_code, "a task whose code segment is none: #TS, on the task's own stack")
{
    start_with_task(g, &to_task);
    poke(g, NEW_TSS + 76, DATA, 4);
    expect_task_fault(g, DATA);
    CHECK_EQ(x86_regs(g->vcpu).rcx & 0xffff, DATA);
}

CASE(traps, task_bad_data, "a task whose FS is beyond the GDT: #TS")
{
    start_with_task(g, &to_task);
    poke(g, NEW_TSS + 88, 0x30, 4);
    expect_task_fault(g, 0x30);
    CHECK_EQ(x86_sregs(g->vcpu).es.selector, DATA);
}

CASE(traps, task_gate, "a task handles an exception: the old one is kept, with RF")
{
    start_with_task(g, &undefined);
    poke(g, IDT + 8 * 6, (uint64_t)NEW_TASK << 16 | UINT64_C(0x8500) << 32, 8);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, DONE + task.length);
    CHECK_EQ(x86_regs(g->vcpu).rflags & 0x4000, 0x4000); /* NT */
    CHECK_EQ(peek(g, NEW_TSS, 2), OLD_TASK);
    CHECK_EQ(peek(g, TSS + 32, 4), 0x1000);
    CHECK_EQ(peek(g, TSS + 36, 4), 0x10002);
    CHECK_EQ(peek(g, GDT + OLD_TASK + 5, 1), 0x8b);
}

VISOR_GUEST_ASM32(interrupt, "int 20; hlt");

CASE(traps, task_gate_bad_code, "INT to a task without a code segment: #TS where the task begins")
{
    start_with_task(g, &interrupt);
    poke(g, IDT + 8 * 20, (uint64_t)NEW_TASK << 16 | UINT64_C(0x8500) << 32, 8);
    poke(g, NEW_TSS + 76, DATA, 4);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, ON_DB + on_task_fault.length);
    CHECK_EQ(x86_regs(g->vcpu).rax & 0xffff, DATA);
    CHECK_EQ(x86_regs(g->vcpu).rbx, DONE);
    CHECK_EQ(peek(g, TSS + 32, 4), 0x1000 + interrupt.length - 1);
}
