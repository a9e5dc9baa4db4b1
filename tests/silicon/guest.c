/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Executes a case in a guest. A small kernel there loads the state from memory, goes to CPL 3, and
 * takes the state back from the exception that ends the case: INT3 behind the code, or a fault.
 * Nothing of the library is used but its public API, so that any backend for x86 guests will do.
 */
#include <stdio.h>
#include <string.h>
#include <visor.h>

#include "state.h"

/* Guest-physical; linear too from KERNEL on, for CPL 0. */
#define KERNEL         UINT64_C(0xffff800000000000)
#define TABLES         0x1000u /* PML4, PDPT and PD below, PT, PDPT and PD of KERNEL */
#define GDT            0x8000u
#define TSS            0x8800u
#define IDT            0x9000u
#define TEXT           0xa000u
#define STUBS          0xa800u /* 16 bytes for each vector */
#define IN             0xb000u
#define OUT            0xd000u
#define CODE           0x10000u
#define DATA           0x11000u
#define RAM            0x200000u
#define OUT_CR2        1024u
#define OUT_TOP        2048u /* where the stack of CPL 0 begins */
#define OUT_GPRS       (OUT_TOP - 23 * 8)
#define IN_FRAME       128u
#define IN_IMAGE       192u
#define VECTORS        32u
#define USER_CS        0x33u /* Linux's selectors: they can be read */
#define USER_SS        0x2bu
#define HAS_ERROR      UINT32_C(0x227d00) /* 8, 10 to 14, 17, 21 */
#define PAGE_USER      UINT64_C(7)
#define PAGE_USER_CODE UINT64_C(5) /* cannot be written to */
#define PAGE_KERNEL    UINT64_C(3)
#define PAGE_LARGE     UINT64_C(0x80)
#define PAGE_NX        (UINT64_C(1) << 63)

extern const char silicon_guest_load[], silicon_guest_save[], silicon_guest_end[];
/* Numbers here: IN is 0xb000, its frame at 128, its image at 192; OUT is 0xd000, CR2 at 1024. */
__asm__(".pushsection .rodata\n"
        ".globl silicon_guest_load, silicon_guest_save, silicon_guest_end\n"
        ".hidden silicon_guest_load, silicon_guest_save, silicon_guest_end\n"
        "silicon_guest_load:\n"
        "movabs $0xffff80000000b000, %rbx\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "xrstor64 192(%rbx)\n"
        "lea 128(%rbx), %rsp\n"
        "mov 0(%rbx), %rax; mov 8(%rbx), %rcx; mov 16(%rbx), %rdx\n"
        "mov 40(%rbx), %rbp; mov 48(%rbx), %rsi; mov 56(%rbx), %rdi\n"
        "mov 64(%rbx), %r8; mov 72(%rbx), %r9; mov 80(%rbx), %r10; mov 88(%rbx), %r11\n"
        "mov 96(%rbx), %r12; mov 104(%rbx), %r13; mov 112(%rbx), %r14; mov 120(%rbx), %r15\n"
        "mov 24(%rbx), %rbx\n"
        "iretq\n"
        "silicon_guest_save:\n"
        "push %r15; push %r14; push %r13; push %r12; push %r11; push %r10; push %r9; push %r8\n"
        "push %rdi; push %rsi; push %rbp; push %rsp; push %rbx; push %rdx; push %rcx; push %rax\n"
        "movabs $0xffff80000000d000, %rbx\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "xsave64 (%rbx)\n"
        "mov %cr2, %rax; mov %rax, 1024(%rbx)\n"
        "xor %eax, %eax; mov %eax, %ds; mov %eax, %es\n"
        "out %al, $0x10\n"
        "jmp silicon_guest_load\n"
        "silicon_guest_end:\n"
        ".popsection");

/* As the processor here has it, where it is compared. */
uint64_t silicon_fs_base = UINT64_C(0x10090000);

static visor_hypervisor *hv;
static visor_memory *memory;
static visor_vm *vm;
static visor_vcpu *vcpu;
static uint8_t *ram;
static char failure[600];

static void make_tables(void)
{
    uint8_t *pml4 = ram + TABLES, *low = pml4 + 0x1000, *high = pml4 + 0x4000;
    uint8_t *table = low + 0x2000;

    silicon_put(pml4, (TABLES + 0x1000) | PAGE_USER, 8);
    silicon_put(low, (TABLES + 0x2000) | PAGE_USER, 8);
    silicon_put(low + 0x1000 + (SILICON_CODE >> 21) * 8, (TABLES + 0x3000) | PAGE_USER, 8);
    silicon_put(table, CODE | PAGE_USER_CODE, 8);
    silicon_put(table + ((SILICON_DATA - SILICON_CODE) >> 12) * 8, DATA | PAGE_USER | PAGE_NX, 8);
    silicon_put(pml4 + 256 * 8, (TABLES + 0x4000) | PAGE_KERNEL, 8);
    silicon_put(high, (TABLES + 0x5000) | PAGE_KERNEL, 8);
    silicon_put(high + 0x1000, PAGE_LARGE | PAGE_KERNEL, 8);
}

static void make_gates(void)
{
    size_t save = (size_t)((uintptr_t)silicon_guest_save - (uintptr_t)silicon_guest_load);

    memcpy(ram + TEXT, silicon_guest_load,
           (size_t)((uintptr_t)silicon_guest_end - (uintptr_t)silicon_guest_load));
    silicon_put(ram + GDT + 0x10, UINT64_C(0x00af9b000000ffff), 8);
    silicon_put(ram + GDT + 0x18, UINT64_C(0x00cf93000000ffff), 8);
    silicon_put(ram + GDT + 0x28, UINT64_C(0x00cff3000000ffff), 8);
    silicon_put(ram + GDT + 0x30, UINT64_C(0x00affb000000ffff), 8);
    silicon_put(ram + TSS + 4, KERNEL + OUT + OUT_TOP, 8);
    silicon_put(ram + TSS + 102, 104, 2); /* no I/O bitmap */
    for (unsigned i = 0; i < VECTORS; i++) {
        uint8_t *stub = ram + STUBS + 16 * i, *gate = ram + IDT + 16 * i;
        uint64_t entry = KERNEL + STUBS + 16 * i;
        unsigned n = 0;

        if ((HAS_ERROR >> i & 1) == 0) { /* push $0 */
            stub[n++] = 0x6a;
            stub[n++] = 0;
        }
        stub[n++] = 0x6a; /* push $i */
        stub[n++] = (uint8_t)i;
        stub[n++] = 0xe9; /* jmp */
        silicon_put(stub + n, TEXT + save - (STUBS + 16 * i + n + 4), 4);
        silicon_put(gate, (entry & 0xffff) | 0x10u << 16, 4);
        silicon_put(gate + 4, (entry & 0xffff0000) | (i == 3 || i == 4 ? 0xee00 : 0x8e00), 4);
        silicon_put(gate + 8, entry >> 32, 8);
    }
}

static int set_registers(void)
{
    const visor_x86_segment data = {
        .limit = 0xffffffff, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
    visor_x86_xcrs xcrs = {.count = 1};
    visor_x86_sregs s;
    visor_x86_regs regs = {.rip = KERNEL + TEXT, .rsp = KERNEL + OUT + OUT_TOP, .rflags = 2};
    int ret = visor_x86_get_sregs(&s, vcpu);

    if (ret < 0)
        return ret;
    s.cs = (visor_x86_segment){
        .selector = 0x10, .limit = 0xffffffff, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ss = s.ds = s.es = s.fs = s.gs = data;
    s.ss.selector = 0x18;
    s.ss.dpl = 0;
    s.fs.base = silicon_fs_base;
    s.gs.base = SILICON_GS;
    s.tr = (visor_x86_segment){
        .selector = 0x40, .base = KERNEL + TSS, .limit = 103, .type = 11, .present = 1};
    s.ldt = (visor_x86_segment){.unusable = 1};
    s.gdt = (visor_x86_table){.base = KERNEL + GDT, .limit = 0x37};
    s.idt = (visor_x86_table){.base = KERNEL + IDT, .limit = VECTORS * 16 - 1};
    s.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    s.cr3 = TABLES;
    s.cr4 = 0x50620; /* OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PAE */
    s.efer = 0xd01;  /* NXE LMA LME SCE */
    xcrs.xcr[0].value = 7;
    ret = visor_x86_set_sregs(vcpu, &s);
    if (ret >= 0)
        ret = visor_x86_set_regs(vcpu, &regs);
    return ret >= 0 ? visor_x86_set_xcrs(vcpu, &xcrs) : ret;
}

const char *silicon_guest_open(const char *hypervisor)
{
    const visor_memory_region region = {.gpa = 0, .length = RAM};
    void *host = NULL;

    if (visor_hypervisor_open(&hv, hypervisor) < 0 ||
        visor_memory_create(&memory, &region, 1, NULL) < 0 ||
        visor_memory_ptr(&host, memory, 0, RAM) < 0 || visor_vm_create(&vm, hv, memory, NULL) < 0 ||
        visor_vcpu_create(&vcpu, vm, 0) < 0 || visor_x86_configure_cpuid(vcpu, NULL) < 0)
        goto failed;
    ram = host;
    make_tables();
    make_gates();
    memset(ram + CODE, 0xcc, SILICON_PAGE);
    if (set_registers() < 0)
        goto failed;
    return NULL;
failed:
    visor_error_format(failure, sizeof(failure));
    silicon_guest_close();
    return failure;
}

void silicon_guest_close(void)
{
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

static void load(const uint8_t *code, unsigned length, const struct silicon_state *state)
{
    uint8_t *in = ram + IN;

    memcpy(ram + CODE + (SILICON_START - SILICON_CODE), code, length);
    memcpy(ram + DATA, state->data, SILICON_PAGE);
    memcpy(in, state->r, sizeof(state->r));
    silicon_put(in + IN_FRAME, SILICON_START, 8);
    silicon_put(in + IN_FRAME + 8, USER_CS, 8);
    silicon_put(in + IN_FRAME + 16, state->flags, 8);
    silicon_put(in + IN_FRAME + 24, state->r[4], 8);
    silicon_put(in + IN_FRAME + 32, USER_SS, 8);
    memcpy(in + IN_IMAGE, state->image, SILICON_IMAGE);
}

const char *silicon_guest_run(struct silicon_state *out, const uint8_t *code, unsigned length,
                              const struct silicon_state *in)
{
    const uint8_t *saved = ram + OUT, *frame = ram + OUT + OUT_TOP - 7 * 8;
    int reason;

    load(code, length, in);
    do
        reason = visor_vcpu_run(vcpu);
    while (reason == VISOR_EXIT_INTR);
    if (reason != VISOR_EXIT_IO) {
        snprintf(failure, sizeof(failure), "the guest's kernel ended with %s",
                 visor_exit_name(reason));
        return failure;
    }
    memset(ram + CODE + (SILICON_START - SILICON_CODE), 0xcc, length);
    memcpy(out->r, saved + OUT_GPRS, sizeof(out->r));
    out->r[4] = silicon_get(frame + 40, 8);
    memcpy(out->image, saved, SILICON_IMAGE);
    memcpy(out->data, ram + DATA, SILICON_PAGE);
    out->vector = (int)silicon_get(frame, 8);
    out->error = (uint32_t)silicon_get(frame + 8, 4);
    out->rip = silicon_get(frame + 16, 8);
    out->flags = silicon_get(frame + 32, 8);
    out->address = out->vector == 14 ? silicon_get(saved + OUT_CR2, 8) : 0;
    if (out->vector == 3) {
        out->vector = SILICON_NONE;
        out->rip--;
    }
    return NULL;
}
