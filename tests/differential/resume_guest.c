/* SPDX-License-Identifier: BSD-3-Clause */
#include "resume_guest.h"

#include <string.h>

#define PML4   0x1000u
#define PDPT   0x2000u
#define PD     0x3000u
#define PT     0x4000u
#define GDT    0x5000u
#define TSS    0x5800u
#define IDT    0x6000u
#define PD_TOP 0x7000u /* of the fourth GiB, where the chips are */
#define CODE   0x8000u
#define STACK  0x20000u /* of CPL 0; CPL 3 has 0x28000 */
#define DATA   0x30000u

extern const char resume_code[], resume_end[], resume_divide[], resume_debug[], resume_int3[],
    resume_fault[], resume_call[], resume_syscall[], resume_pit[], resume_timer[], resume_line[],
    resume_last[];

/* Not every assembler finds back to the section that the compiler is in: there it stays in that. */
#ifdef __ELF__
#define SECTION_BEGIN ".pushsection .rodata\n"
#define SECTION_END   ".popsection"
#else
#define SECTION_BEGIN
#define SECTION_END
#endif

/*
 * What QEMU does unlike processors is left out: a page fault of an addition to memory is one of a
 * read there, and the last instruction of x87 is not kept.
 *
 * R12: random numbers. R13: the result so far. R14: rounds to go. R15: RESUME_CHIPS and the like.
 * 0x30000 to 0x38000: data. 0x3f000: interrupts by PIT, timer, line; 0x90000: not always mapped.
 */
__asm__(
    SECTION_BEGIN
    ".intel_syntax noprefix\n"
    "resume_code:\n"
    "test r15d, 1\n"
    "jz 1f\n"
    /* PIC: ICW1 to ICW4, IRQ 0 alone. PIT channel 0: 300 Hz. */
    "mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al\n"
    "mov al, 1; out 0x21, al; mov al, 0xfe; out 0x21, al\n"
    "mov al, 0x34; out 0x43, al; mov al, 0x89; out 0x40, al; mov al, 0x0f; out 0x40, al\n"
    /* Local APIC: on, LINT0 ExtINT, the timer periodic, every 2 ms. */
    "mov edi, 0xfee00000\n"
    "mov dword ptr [rdi + 0xf0], 0x1ff; mov dword ptr [rdi + 0x350], 0x700\n"
    "mov dword ptr [rdi + 0x3e0], 0xb; mov dword ptr [rdi + 0x320], 0x20040\n"
    "mov dword ptr [rdi + 0x380], 2000000\n"
    /* I/O APIC: pin 10 level-triggered to vector 0x50. */
    "mov edi, 0xfec00000\n"
    "mov dword ptr [rdi], 0x24; mov dword ptr [rdi + 16], 0x8050\n"
    "mov dword ptr [rdi], 0x25; mov dword ptr [rdi + 16], 0\n"
    "sti\n"
    "1:\n"
    "fninit; fld1; fldpi\n"
    "resume_round:\n"
    "movabs rax, 6364136223846793005; imul r12, rax\n"
    "movabs rax, 1442695040888963407; add r12, rax\n"
    /* memory */
    "mov rax, r12; shr rax, 50; and eax, 0x3ff8; lea rsi, [rax + 0x30000]\n"
    "add [rsi], r12; rol qword ptr [rsi], 7; mov rdx, [rsi]; xor r13, rdx; rol r13, 9\n"
    "lock xadd [rsi], rdx; lock bts qword ptr [rsi], 5; adc r13, rdx\n"
    "mov rax, [rsi]; lock cmpxchg [rsi], r13; setz cl; add r13b, cl\n"
    /* strings, both directions */
    "movzx ebx, r12b; lea esi, [rbx + 0x30000]; mov edi, 0x34000; mov ecx, 300; rep movsb\n"
    "std; lea esi, [rbx + 0x34100]; mov edi, 0x35800; mov ecx, 100; rep movsq; cld\n"
    "mov al, r13b; mov edi, 0x30000; mov ecx, 500; repne scasb; add r13, rcx\n"
    "lea esi, [rbx + 0x30000]; mov edi, 0x34000; mov ecx, 400; repe cmpsb; adc r13, rcx\n"
    "mov esi, 0x35000; mov ecx, 60\n"
    "2: lodsq; imul r13, r13, 31; add r13, rax; loop 2b\n"
    /* integers and flags */
    "mov rax, r13; mov rcx, r12; or rcx, 1; mul rcx; xor r13, rdx; mov edx, 0; div rcx\n"
    "shld r13, rdx, 11; bsf rcx, rax; cmovz rcx, rdx; add r13, rcx; popcnt rcx, r13\n"
    "crc32 rcx, r13; ror r13, cl; sub r13, rax; lahf; shr eax, 8; and eax, 0xd5; add r13, rax\n"
    "bswap r12; adc r13, r12; bswap r12\n"
    /* x87: two numbers stay on its stack for ever, with another rounding in each round */
    "mov eax, r12d; shr eax, 20; and eax, 0x0c00; or eax, 0x37f; mov [0x3f100], ax\n"
    "fldcw [0x3f100]\n"
    "mov rax, r12; shr rax, 9; mov [0x3f108], rax; fild qword ptr [0x3f108]; fsqrt\n"
    "faddp; fmul st, st(1); fsqrt; fld st(0); fdiv st, st(2); fstp tbyte ptr [0x3f110]\n"
    "fxch; fld1; faddp; fxch; fcomi st, st(1); adc r13, [0x3f110]\n"
    "movzx eax, word ptr [0x3f118]; add r13, rax\n"
    /* SSE: XMM0 and XMM9 stay */
    "mov eax, r12d; shr eax, 15; and eax, 0x6000; or eax, 0x1f80; mov [0x3f100], eax\n"
    "ldmxcsr [0x3f100]\n"
    "mov rax, r12; shr rax, 12; cvtsi2sd xmm1, rax; sqrtsd xmm1, xmm1; addsd xmm0, xmm1\n"
    "sqrtsd xmm2, xmm0; divsd xmm1, xmm2; addsd xmm0, xmm1; movq rax, xmm0; add r13, rax\n"
    "movq xmm3, r13; pshufd xmm3, xmm3, 0x4e; paddd xmm9, xmm3; pmuludq xmm3, xmm9\n"
    "pxor xmm9, xmm3; movdqu xmm4, [rbx + 0x34003]; pshufb xmm4, xmm9; paddb xmm9, xmm4\n"
    "cvtps2pd xmm5, xmm9; stmxcsr [0x3f100]; mov eax, [0x3f100]; and eax, 0x7fff\n"
    "add r13, rax\n"
    /* AVX: YMM14 stays */
    "test r15d, 2; jz 3f\n"
    "vpbroadcastq ymm1, xmm9; vpaddq ymm14, ymm14, ymm1; vpermq ymm14, ymm14, 0x93\n"
    "vpsllq ymm2, ymm14, 5; vpxor ymm14, ymm14, ymm2; vextracti128 xmm2, ymm14, 1\n"
    "vmovq rax, xmm2; add r13, rax\n"
    "3:\n"
    /* exceptions */
    "xor ecx, ecx; mov eax, r12d; xor edx, edx; div ecx; int3; int 0x60\n"
    "mov [0x90000], r13; mov rax, [0x90000]; add r13, rax\n"
    "and dword ptr [0x4480], -2; invlpg [0x90000]\n"
    /* MSRs, descriptors, control registers */
    "mov ecx, 0xc0000102; rdmsr; add eax, r12d; and edx, 0x7fff; wrmsr\n"
    "swapgs; mov ecx, 0xc0000101; rdmsr; add r13d, eax; swapgs\n"
    "sidt [0x3f100]; add r13w, [0x3f100]; str eax; add r13, rax; mov rax, cr0; add r13, rax\n"
    "test r15d, 4; jz 4f\n"
    "mov rax, r12; shr rax, 61; mov cr8, rax; mov rax, cr8; add r13, rax\n"
    "xor eax, eax; mov cr8, rax\n"
    "mov dr1, r12; mov rax, dr1; add r13, rax\n"
    "4:\n"
    /* 32-bit code */
    "test r12d, 0x10000; jz 5f\n"
    "mov [0x3f120], rsp\n"
    ".byte 0xff, 0x2d; .long 0, resume_32 - resume_code + 0x8000; .word 0x40\n"
    ".code32\n"
    "resume_32:\n"
    "mov eax, 0x18; mov es, eax; push es; pop edx; mov eax, es:[0x30010]; add eax, 0x12345678; "
    "daa; aam 7\n"
    "mov es:[0x30010], eax; pusha; popa; call 6f; add edx, eax; mov [0x3f128], edx\n"
    ".byte 0xea; .long resume_64 - resume_code + 0x8000; .word 0x10\n"
    "6: inc eax; ret\n"
    ".code64\n"
    "resume_64:\n"
    "mov eax, [0x3f128]; add r13, rax; mov rsp, [0x3f120]\n"
    "5:\n"
    /* CPL 3 and back */
    "mov [0x3f120], rsp\n"
    "lea rcx, [rip + resume_user]; mov r11d, 0x202; test r15d, 1; jnz 7f\n"
    "mov r11d, 2\n"
    "7: cli; mov esp, 0x28000; sysretq\n"
    "resume_user:\n"
    "push r12; push r13; pop rax; pop rdx; imul rax, rdx; add fs:[8], rax; mov rax, fs:[8]\n"
    "xor r13, rax; rdfsbase rax; add r13, rax; pushf; pop rax; and eax, 0x8d5; add r13, rax\n"
    "mov eax, 0x2b; mov ds, eax; mov eax, ds; add r13, rax\n"
    "mov ecx, 5\n"
    "8: enter 32, 0; mov [rbp - 8], r13; leave; add r13, [rsp - 16]; loop 8b\n"
    "syscall\n"
    "resume_syscall:\n"
    "mov rsp, [0x3f120]; test r15d, 1; jz 9f; sti\n"
    "9: dec r14; jnz resume_round\n"
    /* the end */
    "mov edi, 0x3c000; fxsave64 [rdi]\n"
    "mov esi, 0x30000; mov ecx, 0x1000\n"
    "10: lodsq; imul r13, r13, 31; add r13, rax; loop 10b\n"
    "mov esi, 0x3c020; mov ecx, 48\n"
    "11: lodsq; imul r13, r13, 31; add r13, rax; loop 11b\n"
    "test r15d, 1; jz 12f\n"
    "mov eax, [0x3f000]; lea ebx, [rax + 2]; mov eax, [0x3f004]; lea ebp, [rax + 2]\n"
    "resume_last: cli; mov eax, [0x3f000]; sub eax, ebx; js 14f; mov eax, [0x3f004]; sub eax, ebp\n"
    "jns 15f\n"
    "14: sti; hlt; jmp resume_last\n"
    "15: mov eax, [0x3f008]; rol r13, 8; add r13, rax\n"
    "12: mov dx, 0x510; mov rax, r13; out dx, eax; shr rax, 32; out dx, eax\n"
    "16: hlt; jmp 16b\n"

    "resume_divide: add r13, 3; add qword ptr [rsp], 2; iretq\n"
    /* Stepping from outside has left TF in a frame of the guest's. */
    "resume_debug: and dword ptr [rsp + 16], -257; iretq\n"
    "resume_int3: rol r13, 3; iretq\n"
    "resume_call: push rax; mov rax, [rsp + 8]; add r13, rax; pop rax; iretq\n"
    "resume_fault: push rax; mov rax, cr2; add r13, rax; mov eax, [rsp + 8]; add r13, rax\n"
    "or dword ptr [0x4480], 1; pop rax; add rsp, 8; iretq\n"
    "resume_pit: push rax; inc dword ptr [0x3f000]; mov al, 0x20; out 0x20, al; pop rax\n"
    "iretq\n"
    "resume_timer: push rax; inc dword ptr [0x3f004]\n"
    "resume_eoi: mov eax, 0xfee000b0; mov dword ptr [rax], 0; pop rax; iretq\n"
    "resume_line: push rax; push rdx; inc dword ptr [0x3f008]; mov dx, 0x518; out dx, al\n"
    "pop rdx; jmp resume_eoi\n"
    "resume_end:\n"
    ".att_syntax prefix\n" SECTION_END);

/* Where the guest has what is here in its code. */
static uint64_t address_of(const char *here)
{
    return CODE + ((uintptr_t)here - (uintptr_t)resume_code);
}

static void gate(uint8_t *ram, unsigned vector, const char *handler, unsigned dpl)
{
    uint64_t to = address_of(handler);
    uint8_t *at = ram + IDT + 16 * vector;

    machine_put(at, (to & 0xffff) | 0x10u << 16, 4);
    machine_put(at + 4, (to & 0xffff0000) | 0x8e00 | dpl << 13, 4);
    machine_put(at + 8, to >> 32, 8);
}

static void fill(uint8_t *ram, uint64_t seed)
{
    struct dice dice = {.state = seed};

    /* SDM vol. 3A, 4.5: everything is CPL 3's too. */
    machine_put(ram + PML4, PDPT | 7, 8);
    machine_put(ram + PDPT, PD | 7, 8);
    machine_put(ram + PDPT + 24, PD_TOP | 7, 8);
    machine_put(ram + PD, PT | 7, 8);
    for (unsigned i = 0; i < RESUME_RAM >> 12; i++)
        machine_put(ram + PT + 8 * i, i << 12 | 7, 8);
    machine_put(ram + PT + 8 * 0x90, 0x90000 | 6, 8);
    machine_put(ram + PD_TOP + 8 * 0x1f6, 0xfec00093, 8);
    machine_put(ram + PD_TOP + 8 * 0x1f7, 0xfee00093, 8);
    machine_put(ram + GDT + 0x10, UINT64_C(0x00af9b000000ffff), 8);
    machine_put(ram + GDT + 0x18, UINT64_C(0x00cf93000000ffff), 8);
    machine_put(ram + GDT + 0x28, UINT64_C(0x00cff3000000ffff), 8);
    machine_put(ram + GDT + 0x30, UINT64_C(0x00affb000000ffff), 8);
    machine_put(ram + GDT + 0x40, UINT64_C(0x00cf9b000000ffff), 8);
    machine_put(ram + TSS + 4, STACK - 0x800, 8);
    machine_put(ram + TSS + 102, 104, 2); /* no I/O bitmap */
    gate(ram, 0, resume_divide, 0);
    gate(ram, 1, resume_debug, 0);
    gate(ram, 3, resume_int3, 3);
    gate(ram, 14, resume_fault, 0);
    gate(ram, 0x60, resume_call, 0);
    gate(ram, 0x20, resume_pit, 0);
    gate(ram, 0x40, resume_timer, 0);
    gate(ram, 0x50, resume_line, 0);
    memcpy(ram + CODE, resume_code, address_of(resume_end) - CODE);
    for (unsigned i = 0; i < 0x8000; i += 8)
        machine_put(ram + DATA + i, dice_roll(&dice), 8);
}

const char *resume_guest_start(struct machine *machine, uint64_t seed, unsigned rounds,
                               unsigned features)
{
    const visor_x86_regs regs = {
        .rip = CODE, .rsp = STACK, .r12 = seed, .r14 = rounds, .r15 = features, .rflags = 2};
    const visor_x86_segment data = {.selector = 0x2b,
                                    .limit = 0xffffffff,
                                    .type = 3,
                                    .present = 1,
                                    .dpl = 3,
                                    .s = 1,
                                    .db = 1,
                                    .g = 1};
    const visor_x86_xcrs xcrs = {.count = 1, .xcr = {{.value = 7}}};
    const visor_x86_msr msrs[] = {
        {.index = 0xc0000081, .value = UINT64_C(0x0023001000000000)},
        {.index = 0xc0000082, .value = address_of(resume_syscall)},
        {.index = 0xc0000084, .value = 0x700},
        {.index = 0xc0000102, .value = seed >> 20},
    };
    const bool avx = (features & RESUME_AVX) != 0;
    visor_x86_sregs s;

    fill(machine->ram, seed);
    if (visor_x86_get_sregs(&s, machine->vcpu) < 0)
        return machine_error("sregs");
    s.cs = (visor_x86_segment){
        .selector = 0x10, .limit = 0xffffffff, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ss = s.ds = s.es = s.fs = s.gs = data;
    s.ss.selector = 0x18;
    s.ss.dpl = 0;
    s.fs.base = DATA + 0x100;
    s.tr =
        (visor_x86_segment){.selector = 0x50, .base = TSS, .limit = 103, .type = 11, .present = 1};
    s.gdt = (visor_x86_table){.base = GDT, .limit = 0x5f};
    s.idt = (visor_x86_table){.base = IDT, .limit = 0xfff};
    s.cr0 = 0x80000033; /* PG NE ET MP PE */
    s.cr3 = PML4;
    s.cr4 = 0x10628;             /* FSGSBASE OSXMMEXCPT OSFXSR PAE DE */
    s.cr4 |= avx ? 1u << 18 : 0; /* OSXSAVE */
    s.efer = 0x501;              /* LMA LME SCE */
    if (visor_x86_set_sregs(machine->vcpu, &s) < 0 ||
        visor_x86_set_regs(machine->vcpu, &regs) < 0 ||
        visor_x86_set_msrs(machine->vcpu, msrs, sizeof(msrs) / sizeof(msrs[0])) < 0 ||
        (avx && visor_x86_set_xcrs(machine->vcpu, &xcrs) < 0))
        return machine_error("the guest's registers");
    return NULL;
}

bool resume_guest_handles(uint64_t rip)
{
    return rip >= address_of(resume_divide);
}

bool resume_guest_is_over(uint64_t rip)
{
    /* A step leaves a trap behind that may come when all is over. */
    return rip >= address_of(resume_last) &&
           (!resume_guest_handles(rip) ||
            (rip >= address_of(resume_debug) && rip < address_of(resume_int3)));
}
