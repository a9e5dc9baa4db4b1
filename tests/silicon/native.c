/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Executes a case on this machine's processor: loads the state, jumps to the code, and takes the
 * state at the end of it, or in the handler of the signal that a fault is.
 */
#include <asm/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "silicon.h"

/* What silicon_native_jump() loads and saves. */
struct native {
    uint64_t r[16];
    uint64_t flags, stack, code;
    uint8_t image[4096] __attribute__((aligned(64)));
};
struct native silicon_native __attribute__((used, visibility("hidden")));
void silicon_native_jump(void);
extern const char silicon_native_return[];

static volatile sig_atomic_t vector;
static uint64_t fault_rsp, fault_rip, fault_error, fault_address;
static uint8_t *code_page, *data_page;

_Static_assert(offsetof(struct native, flags) == 128 && offsetof(struct native, image) == 192,
               "silicon_native_jump");
__asm__(".pushsection .text\n"
        ".globl silicon_native_jump, silicon_native_return\n"
        ".hidden silicon_native_jump, silicon_native_return\n"
        "silicon_native_jump:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, silicon_native+136(%rip)\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "lea silicon_native+192(%rip), %rcx\n"
        "xrstor64 (%rcx)\n"
        "mov silicon_native+0(%rip), %rax; mov silicon_native+8(%rip), %rcx\n"
        "mov silicon_native+16(%rip), %rdx; mov silicon_native+24(%rip), %rbx\n"
        "mov silicon_native+40(%rip), %rbp\n"
        "mov silicon_native+48(%rip), %rsi; mov silicon_native+56(%rip), %rdi\n"
        "mov silicon_native+64(%rip), %r8; mov silicon_native+72(%rip), %r9\n"
        "mov silicon_native+80(%rip), %r10; mov silicon_native+88(%rip), %r11\n"
        "mov silicon_native+96(%rip), %r12; mov silicon_native+104(%rip), %r13\n"
        "mov silicon_native+112(%rip), %r14; mov silicon_native+120(%rip), %r15\n"
        "push silicon_native+128(%rip); popf\n"
        "mov silicon_native+32(%rip), %rsp\n"
        "jmp *silicon_native+144(%rip)\n"
        "silicon_native_return:\n"
        "mov %rax, silicon_native+0(%rip); mov %rcx, silicon_native+8(%rip)\n"
        "mov %rdx, silicon_native+16(%rip); mov %rbx, silicon_native+24(%rip)\n"
        "mov %rsp, silicon_native+32(%rip); mov %rbp, silicon_native+40(%rip)\n"
        "mov %rsi, silicon_native+48(%rip); mov %rdi, silicon_native+56(%rip)\n"
        "mov %r8, silicon_native+64(%rip); mov %r9, silicon_native+72(%rip)\n"
        "mov %r10, silicon_native+80(%rip); mov %r11, silicon_native+88(%rip)\n"
        "mov %r12, silicon_native+96(%rip); mov %r13, silicon_native+104(%rip)\n"
        "mov %r14, silicon_native+112(%rip); mov %r15, silicon_native+120(%rip)\n"
        "mov silicon_native+136(%rip), %rsp\n"
        "pushf; pop silicon_native+128(%rip)\n"
        "xor %eax, %eax; mov %eax, %ds; mov %eax, %es\n"
        "push $2; popf\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "lea silicon_native+192(%rip), %rcx\n"
        "xsave64 (%rcx)\n"
        "fninit; movl $0x1f80, -8(%rsp); ldmxcsr -8(%rsp); vzeroupper\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".popsection");

static void on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *gregs = uc->uc_mcontext.gregs;

    (void)info;
    if (vector != SILICON_NEVER) { /* not the tested instruction's */
        signal(number, SIG_DFL);
        return;
    }
    vector = (int)gregs[REG_TRAPNO];
    fault_rip = (uint64_t)gregs[REG_RIP];
    fault_error = (uint64_t)gregs[REG_ERR];
    fault_address = (uint64_t)gregs[REG_CR2];
    /* Not every kernel can return to a stack pointer that is no address. */
    fault_rsp = (uint64_t)gregs[REG_RSP];
    gregs[REG_RIP] = (greg_t)(uintptr_t)silicon_native_return;
    gregs[REG_RSP] = (greg_t)silicon_native.stack;
}

/* A page of code that cannot be written to where it is executed. */
static uint8_t *map_code(void)
{
    const int file = memfd_create("silicon", MFD_CLOEXEC);
    void *const at = (void *)(uintptr_t)SILICON_CODE, *page = MAP_FAILED;

    if (file >= 0 && ftruncate(file, SILICON_PAGE) == 0 &&
        mmap(at, SILICON_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0) ==
            at)
        page = mmap(NULL, SILICON_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return page != MAP_FAILED ? page : NULL;
}

bool silicon_native_open(void)
{
    static uint8_t stack[65536];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    code_page = map_code();
    data_page = mmap((void *)(uintptr_t)SILICON_DATA, SILICON_PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (code_page == NULL || data_page != (void *)(uintptr_t)SILICON_DATA)
        return false;
    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &silicon_fs_base) != 0 ||
        syscall(SYS_arch_prctl, ARCH_SET_GS, SILICON_GS) != 0)
        return false;
    memset(code_page, 0xcc, SILICON_PAGE);
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    return true;
}

void silicon_native_run(struct silicon_state *out, const struct silicon_case *c)
{
    uint8_t *start = code_page + (SILICON_START - SILICON_CODE), *end = start + c->length;
    uint8_t *back = code_page + SILICON_PAGE - 8; /* aligned, for EFLAGS.AC */

    memcpy(start, c->code, c->length);
    if (!c->branches) { /* jmp *back(%rip) */
        silicon_put(end, 0x25ff, 2);
        silicon_put(end + 2, (uint64_t)(back - end - 6), 4);
        silicon_put(back, (uintptr_t)silicon_native_return, 8);
    }
    memcpy(data_page, c->in.data, SILICON_PAGE);
    memcpy(silicon_native.r, c->in.r, sizeof(silicon_native.r));
    memcpy(silicon_native.image, c->in.image, SILICON_IMAGE);
    silicon_native.flags = c->in.flags;
    silicon_native.code = SILICON_START;
    vector = SILICON_NEVER;
    silicon_native_jump();
    memset(start, 0xcc, c->length + 6);
    memset(back, 0xcc, 8);
    out->vector = vector;
    out->error = 0;
    out->address = 0;
    if (vector == SILICON_NEVER) {
        out->vector = SILICON_NONE;
        out->rip = SILICON_START + c->length;
    } else {
        silicon_native.r[4] = fault_rsp;
        out->rip = fault_rip;
        if (vector == 14) {
            out->error = (uint32_t)fault_error;
            out->address = fault_address;
        } else if (vector == 13 || vector == 17 || vector == 12) {
            out->error = (uint32_t)fault_error;
        } else if (vector == 3) { /* behind it, or where it went */
            out->vector = SILICON_NONE;
            out->rip = fault_rip - 1;
        }
    }
    vector = SILICON_NONE;
    memcpy(out->r, silicon_native.r, sizeof(out->r));
    memcpy(out->image, silicon_native.image, SILICON_IMAGE);
    memcpy(out->data, data_page, SILICON_PAGE);
    out->flags = silicon_native.flags;
}
