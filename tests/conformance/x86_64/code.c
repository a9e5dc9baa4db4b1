/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: where instructions come from. Pages, and code that changes under those who execute it. */
#include "x86.h"

#include <pthread.h>

/* Linear pages, of which the second is elsewhere in memory than behind the first. */
#define FIRST  UINT64_C(0x5000)
#define SECOND UINT64_C(0x6000)
#define MOVED  UINT64_C(0x8000)
#define ALONE  UINT64_C(0x7000)
#define SHARED UINT64_C(0x10000)

#define ROUNDS      300u  /* of two vCPUs that wait for each other */
#define FREE_ROUNDS 3000u /* of two that do not, and meet by chance */

/* Page tables: x86_write_tables() maps the first 2 MiB in pages of 4 KiB, one to one. */
#define TABLE UINT64_C(0xc000)

static void start(struct guest *g, const struct code *code, const visor_x86_regs *regs)
{
    x86_start(g,
              &(struct x86_setup){
                  .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = code, .regs = *regs});
    poke(g, TABLE + SECOND / 0x1000 * 8, MOVED | 3, 8);
}

/* What stands from `before` bytes before SECOND on; each page gets its part. */
static void put_across(struct guest *g, const struct code *code, unsigned before)
{
    put(g, SECOND - before, code->bytes, before);
    put(g, MOVED, code->bytes + before, code->length - before);
}

VISOR_GUEST_ASM64(call_rdi, "call rdi; hlt");
/* 3 bytes of the first instruction are in the first page. */
VISOR_GUEST_ASM64(three_constants, "mov eax, 0x11223344; mov ebx, 0x55667788; mov ecx, 0x99aabbcc;"
                                   "ret");
VISOR_GUEST_ASM64(other_constants, "mov eax, 1; mov ebx, 2; mov ecx, 3; ret");

CASE(code, across_pages, "code goes on in a page that lies elsewhere in memory")
{
    start(g, &call_rdi, &(visor_x86_regs){.rsp = 0x4000, .rdi = SECOND - 3});
    /* What no one executes: the page that is behind the first one in memory. */
    put(g, SECOND - 3, other_constants.bytes, other_constants.length);
    put_across(g, &three_constants, 3);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x11223344);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0x55667788);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0x99aabbcc);
}

/* The 4 bytes at rbx end in the page, and the cache line, of the instruction that adds to them. */
VISOR_GUEST_ASM64(add_in_front, "nop; nop; add dword ptr [rbx], 0x10001; mov eax, [rbx];"
                                "lock add dword ptr [rbx], 0x10001; xchg [rbx], edx; hlt");

CASE(code, modified_across_pages,
     "what changes one operand in two pages, next to code, does so once")
{
    start(g, &add_in_front,
          &(visor_x86_regs){.rip = SECOND + 2, .rbx = SECOND - 2, .rdx = 0x01020304});
    put(g, MOVED, add_in_front.bytes, add_in_front.length);
    poke(g, SECOND - 2, 0x0001, 2);
    poke(g, MOVED, 0x0002, 2);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x00030002);
    CHECK_EQ(x86_regs(g->vcpu).rdx, 0x00040003);
    CHECK_EQ(peek(g, SECOND - 2, 2), 0x0304);
    CHECK_EQ(peek(g, MOVED, 2), 0x0102);
}

/* rdi: three_constants; rsi: the page table's entry for SECOND, which goes. */
VISOR_GUEST_ASM64(call_shortened, "call rdi; mov byte ptr [rdi], 0xc3; mov qword ptr [rsi], 0;"
                                  "invlpg [0x6000]; mov eax, 77; call rdi; hlt");

CASE(code, ends_before_page, "code that does not go on in the next page does not need it")
{
    start(g, &call_shortened,
          &(visor_x86_regs){.rsp = 0x4000, .rdi = SECOND - 3, .rsi = TABLE + SECOND / 0x1000 * 8});
    put_across(g, &three_constants, 3);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 77);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0x55667788);
}

/* Code and data at rdi, in a page of 2 MiB whose entry, at rsi, becomes rdx; what is flushed is
 * another address in that page, rbp. */
VISOR_GUEST_ASM64(move_large_page, "call rdi; mov ebx, eax; mov r8, [rdi];"
                                   "mov [rsi], rdx; invlpg [rbp];"
                                   "call rdi; mov r9, [rdi]; hlt");
VISOR_GUEST_ASM64(return_one, "mov eax, 1; ret; nop; nop");
VISOR_GUEST_ASM64(return_two, "mov eax, 2; ret; nop; nop");

CASE(code, invlpg_large, "INVLPG of any address in a page of 2 MiB is for all of it")
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x600000,
                                     .load = 0x1000,
                                     .code = &move_large_page,
                                     .regs = {.rsp = 0x4000,
                                              .rdi = 0x212340,
                                              .rsi = X86_PML4 + 0x2000 + 8,
                                              .rdx = 0x400083,
                                              .rbp = 0x3fe000},
                                     .memory = {{0x212340, return_one.bytes, return_one.length},
                                                {0x412340, return_two.bytes, return_two.length}}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, peek(g, 0x212340, 8));
    CHECK_EQ(x86_regs(g->vcpu).r9, peek(g, 0x412340, 8));
    CHECK_EQ(x86_regs(g->vcpu).rbx, 1);
    CHECK_EQ(x86_regs(g->vcpu).rax, 2);
}

/* ---- one vCPU writes what the other one executes (SDM vol. 3A, 8.1.3) ---- */

VISOR_GUEST_ASM64(return_zero, "mov eax, 0; ret");

/* Round ecx, up to ebp: waits for the number at rdi, serializes, calls rsi, which has to return it,
 * and answers at rdi + 8. */
VISOR_GUEST_ASM64(execute_rounds, "xor ecx, ecx; 2: add ecx, 1;"
                                  "3: pause; cmp [rdi], ecx; jne 3b;"
                                  "mov r8d, ecx; xor eax, eax; cpuid; call rsi; mov ecx, r8d;"
                                  "cmp eax, ecx; jne 4f; mov [rdi + 8], ecx; cmp ecx, ebp; jne 2b;"
                                  "hlt; 4: mov dword ptr [rdi + 8], -1; hlt");
/* The other side: writes the number into the code, says so, and waits for the answer. */
VISOR_GUEST_ASM64(write_rounds, "xor ecx, ecx; 2: add ecx, 1; mov [rsi + 1], ecx; mov [rdi], ecx;"
                                "3: pause; mov eax, [rdi + 8]; cmp eax, -1; je 4f;"
                                "cmp eax, ecx; jne 3b; cmp ecx, ebp; jne 2b; 4: hlt");

static void *run_to_halt(void *vcpu)
{
    int reason;

    do
        reason = visor_vcpu_run(vcpu);
    while (reason == VISOR_EXIT_INTR);
    return reason == VISOR_EXIT_HLT ? vcpu : NULL;
}

/* vCPU 0 is ready to run; so is vCPU 1 then, with `code` and these registers. */
static void run_both(struct guest *g, const struct code *code, const visor_x86_regs *regs)
{
    visor_vcpu *writer;
    pthread_t thread;
    void *halted;

    CHECK_OK(visor_vcpu_create(&writer, g->vm, 1));
    CHECK_OK(visor_x86_configure_cpuid(writer, NULL));
    x86_set_mode(g, writer, X86_LONG, X86_IDT);
    x86_load(g, writer, 0x2000, code, regs);
    if (pthread_create(&thread, NULL, run_to_halt, writer) != 0)
        FAIL("cannot make a thread");
    CHECK(run_to_halt(g->vcpu) != NULL);
    pthread_join(thread, &halted);
    CHECK(halted == writer);
    visor_vcpu_free(writer);
}

static void cross_modify(struct guest *g, uint64_t target)
{
    start(g, &execute_rounds,
          &(visor_x86_regs){.rsp = 0x4000, .rdi = SHARED, .rsi = target, .rbp = ROUNDS});
    put_across(g, &return_zero, 3);
    put(g, ALONE, return_zero.bytes, return_zero.length);
    run_both(g, &write_rounds, &(visor_x86_regs){.rdi = SHARED, .rsi = target, .rbp = ROUNDS});
    CHECK_EQ(x86_regs(g->vcpu).rax, ROUNDS);
}

CASE_SLOW(code, cross_modified, 3, "code that another vCPU has written is executed as it is")
{
    cross_modify(g, ALONE);
}

CASE_SLOW(code, cross_modified_across_pages, 3, "the same for an instruction in two pages")
{
    cross_modify(g, SECOND - 3);
}

/* The same with the page at rdx, which is one of two: the code at rsi, whose result comes from both
 * of its pages, and the data have to be of the one that is meant. */
VISOR_GUEST_ASM64(execute_moved, "xor ecx, ecx; 2: add ecx, 1;"
                                 "3: pause; cmp [rdi], ecx; jne 3b;"
                                 "invlpg [rdx]; call rsi; mov r8d, ecx; and r8d, 1;"
                                 "shr eax, 16; cmp eax, r8d; jne 4f;"
                                 "movzx eax, word ptr [rdx]; cmp eax, r8d; jne 4f;"
                                 "mov [rdi + 8], ecx; cmp ecx, ebp; jne 2b; mov eax, ecx; hlt;"
                                 "4: mov dword ptr [rdi + 8], -1; xor eax, eax; hlt");
/* rsi: the page table's entry; rbx: what changes in it. */
VISOR_GUEST_ASM64(move_rounds, "xor ecx, ecx; 2: add ecx, 1; lock xor [rsi], rbx; mov [rdi], ecx;"
                               "3: pause; mov eax, [rdi + 8]; cmp eax, -1; je 4f;"
                               "cmp eax, ecx; jne 3b; cmp ecx, ebp; jne 2b; 4: hlt");
VISOR_GUEST_ASM64(return_64k, "mov eax, 0x10000; ret");

CASE_SLOW(code, moved_by_another, 3, "a page that another vCPU moves is where it is after INVLPG")
{
    start(g, &execute_moved,
          &(visor_x86_regs){
              .rsp = 0x4000, .rdi = SHARED, .rsi = SECOND - 3, .rdx = SECOND, .rbp = ROUNDS});
    put_across(g, &return_zero, 3);
    put(g, ALONE, return_64k.bytes + 3, return_64k.length - 3);
    run_both(g, &move_rounds,
             &(visor_x86_regs){.rdi = SHARED,
                               .rsi = TABLE + SECOND / 0x1000 * 8,
                               .rbx = MOVED ^ ALONE,
                               .rbp = ROUNDS});
    CHECK_EQ(x86_regs(g->vcpu).rax, ROUNDS);
}

/* Two vCPUs after they have met at rdi: what crosses from one page to the next is added to three
 * times at rbx, and is a lock for the counter r9 at r8 and, as bit 20, at r11. Each round adds r10
 * five times. */
VISOR_GUEST_ASM64(lock_across, "lock inc dword ptr [rdi]; 2: pause; cmp dword ptr [rdi], 2; jne 2b;"
                               "xor ecx, ecx; 3: lock add [rbx], r10;"
                               "mov rdx, r10; lock xadd [rbx], rdx; mov rax, [rbx];"
                               "4: lea rdx, [rax + r10]; lock cmpxchg [rbx], rdx; jne 4b;"
                               "5: pause; mov rax, r10; xchg [r8], rax; test rax, rax; jne 5b;"
                               "add [r9], r10; xchg [r8], rax;"
                               "6: pause; lock bts dword ptr [r11], 20; jc 6b;"
                               "add [r9], r10; lock btr dword ptr [r11], 20;"
                               "add ecx, 1; cmp ecx, ebp; jne 3b; mov eax, ecx; hlt");

CASE_SLOW(code, locked_across_pages, 3,
          "a locked instruction on what lies in two pages is atomic for another vCPU")
{
    const uint64_t one = UINT64_C(0x100000001);
    const visor_x86_regs regs = {.rdi = SHARED,
                                 .rbx = SECOND - 4,
                                 .r8 = ALONE - 4,
                                 .r9 = SHARED + 0x100,
                                 .r10 = one,
                                 .r11 = FIRST - 2,
                                 .rbp = FREE_ROUNDS};

    start(g, &lock_across, &regs);
    run_both(g, &lock_across, &regs);
    CHECK_EQ(peek(g, SECOND - 4, 4), 2 * 3 * FREE_ROUNDS);
    CHECK_EQ(peek(g, MOVED, 4), 2 * 3 * FREE_ROUNDS);
    CHECK_EQ(peek(g, SHARED + 0x100, 8), 2 * 2 * FREE_ROUNDS * one);
}

VISOR_GUEST_ASM64(exchange_pairs,
                  "lock inc dword ptr [rdi]; 2: pause; cmp dword ptr [rdi], 2; jne 2b;"
                  "xor ebp, ebp; 3: mov rax, [rsi]; mov rdx, [rsi + 8];"
                  "4: lea rbx, [rax + 1]; lea rcx, [rdx + 2];"
                  "lock cmpxchg16b [rsi]; jne 4b;"
                  "add ebp, 1; cmp ebp, r8d; jne 3b; hlt");

CASE_SLOW(code, exchange_watched, 3,
          "CMPXCHG16B is atomic for another vCPU while the VMM watches what memory is written")
{
    const visor_x86_regs regs = {.rdi = SHARED, .rsi = SHARED + 0x100, .r8 = FREE_ROUNDS};
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    start(g, &exchange_pairs, &regs);
    NEED(g, DEBUG);
    config.breakpoint_count = 1;
    config.breakpoints =
        &(visor_breakpoint){.kind = VISOR_BREAK_WRITE, .address = ALONE, .length = 8};
    CHECK_OK(visor_vcpu_set_debug(g->vcpu, &config));
    run_both(g, &exchange_pairs, &regs);
    CHECK_EQ(peek(g, SHARED + 0x100, 8), 2 * FREE_ROUNDS);
    CHECK_EQ(peek(g, SHARED + 0x108, 8), 2 * 2 * FREE_ROUNDS);
}

VISOR_GUEST_ASM64(at_zero, "mov eax, 0x42; out 0x10, al");

CASE(code, user_page_zero, "code of CPL 3 in the first page, where bad pointers lead")
{
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x12000,
                                     .load = 0,
                                     .code = &at_zero,
                                     .regs = {.rflags = 0x3000}}); /* IOPL 3 */
    for (uint64_t table = 0x9000; table <= TABLE; table += 0x1000)
        poke(g, table, peek(g, table, 8) | 4, 8);
    sregs = x86_sregs(g->vcpu);
    sregs.cs.dpl = sregs.ss.dpl = 3;
    sregs.cs.selector |= 3;
    sregs.ss.selector |= 3;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO_OUT(g, 0x10, 1, 0x42);
}
