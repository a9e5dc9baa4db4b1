/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MMX, SSE and AVX of the software CPU against this machine's processor: every encoding that the
 * decoder knows and the processor has, with random operands, executed here in user mode and there
 * with soft_step(), must leave the same registers, memory, flags, MXCSR and faults.
 *
 * In the environment VISOR_VECTOR_COUNT=N and VISOR_VECTOR_SEED=N say how many cases each encoding
 * gets and which, VISOR_VECTOR_ONLY=NAME picks one instruction.
 *
 * Not compared: RCPPS and RSQRTPS, which are approximations and differ between processors, but for
 * their accuracy, see numbers_near_f32(); and what flags_of_lanes() has.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "numbers.h"
#include "os/os.h"
#include "soft/block.h"
#include "soft/engine.h"
#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/mmu.h"
#include "soft/system.h"
#include "soft/xstate.h"
#include "unit.h"

/* Both worlds have their code and data at these addresses. */
#define CODE       UINT64_C(0x10000000)
#define DATA       UINT64_C(0x10100000)
#define SIZE       UINT64_C(0x1000)
#define MIDDLE     0x400u
#define IMAGE      832u
#define ARITHMETIC SOFT_ARITHMETIC

/* ---- random numbers ---- */

static uint64_t state;

static uint64_t next_random(void)
{
    return numbers_next(&state);
}

static unsigned below(unsigned n)
{
    return numbers_below(&state, n);
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *value = getenv(name);

    return value != NULL ? strtoull(value, NULL, 0) : fallback;
}

/* ---- a state, before or after ---- */

struct state {
    uint64_t r[16];
    uint64_t flags;
    uint8_t image[IMAGE] __attribute__((aligned(64))); /* as XSAVE has it */
    uint8_t data[SIZE];
    int vector; /* of the exception, -1: none */
};

static void put(uint8_t *at, uint64_t value, size_t size)
{
    memcpy(at, &value, size);
}

static uint64_t get(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, at, size);
    return value;
}

/* ---- here ---- */

/* What native_run() loads and saves. */
struct native {
    uint64_t r[16];
    uint64_t flags, stack, code;
    uint8_t image[4096] __attribute__((aligned(64)));
};
struct native native __attribute__((used, visibility("hidden")));
#define RUNNING (-2)
static volatile sig_atomic_t native_vector;
static uint64_t native_rsp; /* when it faulted */
void native_run(void);
extern const char native_return[];

/* Offsets: the image is at 192. */
_Static_assert(offsetof(struct native, flags) == 128 && offsetof(struct native, image) == 192,
               "native_run");
__asm__(".pushsection .text\n"
        ".globl native_run, native_return\n"
        ".hidden native_run, native_return\n"
        "native_run:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, native+136(%rip)\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "lea native+192(%rip), %rcx\n"
        "xrstor64 (%rcx)\n"
        "push native+128(%rip); popf\n"
        "mov native+0(%rip), %rax; mov native+8(%rip), %rcx\n"
        "mov native+16(%rip), %rdx; mov native+24(%rip), %rbx\n"
        "mov native+32(%rip), %rsp; mov native+40(%rip), %rbp\n"
        "mov native+48(%rip), %rsi; mov native+56(%rip), %rdi\n"
        "mov native+64(%rip), %r8; mov native+72(%rip), %r9\n"
        "mov native+80(%rip), %r10; mov native+88(%rip), %r11\n"
        "mov native+96(%rip), %r12; mov native+104(%rip), %r13\n"
        "mov native+112(%rip), %r14; mov native+120(%rip), %r15\n"
        "jmp *native+144(%rip)\n"
        "native_return:\n"
        "mov %rax, native+0(%rip); mov %rcx, native+8(%rip)\n"
        "mov %rdx, native+16(%rip); mov %rbx, native+24(%rip)\n"
        "mov %rsp, native+32(%rip); mov %rbp, native+40(%rip)\n"
        "mov %rsi, native+48(%rip); mov %rdi, native+56(%rip)\n"
        "mov %r8, native+64(%rip); mov %r9, native+72(%rip)\n"
        "mov %r10, native+80(%rip); mov %r11, native+88(%rip)\n"
        "mov %r12, native+96(%rip); mov %r13, native+104(%rip)\n"
        "mov %r14, native+112(%rip); mov %r15, native+120(%rip)\n"
        "mov native+136(%rip), %rsp\n"
        "pushf; pop native+128(%rip)\n"
        "mov $7, %eax; xor %edx, %edx\n"
        "lea native+192(%rip), %rcx\n"
        "xsave64 (%rcx)\n"
        "cld; fninit; movl $0x1f80, -8(%rsp); ldmxcsr -8(%rsp); vzeroupper\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".popsection");

static void on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)info;
    if (native_vector != RUNNING) { /* not the tested instruction's */
        signal(number, SIG_DFL);
        return;
    }
    native_vector = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)native_return;
    /* Not every kernel can return to a stack pointer that is no address. */
    native_rsp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
    uc->uc_mcontext.gregs[REG_RSP] = (greg_t)native.stack;
}

static uint8_t *native_code, *native_data;

static bool native_open(void)
{
    static uint8_t stack[65536];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    native_code = mmap((void *)CODE, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    native_data = mmap((void *)DATA, SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (native_code != (void *)CODE || native_data != (void *)DATA)
        return false;
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    return true;
}

static void native_execute(struct state *out, const struct state *in, const uint8_t *code,
                           unsigned length)
{
    /* jmp *0(%rip) */
    static const uint8_t back[6] = {0xff, 0x25};

    memcpy(native_code, code, length);
    memcpy(native_code + length, back, 6);
    put(native_code + length + 6, (uintptr_t)native_return, 8);
    memcpy(native_data, in->data, SIZE);
    memcpy(native.r, in->r, sizeof(native.r));
    memcpy(native.image, in->image, IMAGE);
    native.flags = in->flags;
    native.code = CODE;
    native_vector = RUNNING;
    native_run();
    if (native_vector == RUNNING)
        native_vector = -1;
    if (native_vector >= 0)
        native.r[SOFT_RSP] = native_rsp;
    memcpy(out->r, native.r, sizeof(out->r));
    memcpy(out->image, native.image, IMAGE);
    memcpy(out->data, native_data, SIZE);
    out->flags = native.flags;
    out->vector = native_vector;
}

/* ---- there ---- */

struct soft {
    struct soft_cpu *cpu;
    struct soft_machine machine;
    struct soft_range ranges[3];
    uint8_t *code, *data, *tables;
    visor_exit exit;
};

static void free_soft(struct soft *soft)
{
    if (soft->cpu != NULL)
        soft_blocks_destroy(soft->cpu);
    free(soft->cpu);
    free(soft->code);
    free(soft->data);
    free(soft->tables);
}

/* A processor in 64-bit mode at CPL 3, linear addresses being physical ones. */
static bool make_soft(struct soft *soft)
{
    size_t size = (sizeof(*soft->cpu) + 63) / 64 * 64;
    struct soft_cpu *cpu = aligned_alloc(64, size);

    *soft = (struct soft){.cpu = cpu};
    soft->code = aligned_alloc(SIZE, SIZE);
    soft->data = aligned_alloc(SIZE, SIZE);
    soft->tables = aligned_alloc(SIZE, 2 * SIZE);
    if (cpu == NULL || soft->code == NULL || soft->data == NULL || soft->tables == NULL)
        return false;
    memset(cpu, 0, size);
    memset(soft->code, 0, SIZE);
    memset(soft->tables, 0, 2 * SIZE);
    put(soft->tables, SIZE | 7, 8);
    put(soft->tables + SIZE, 0x87, 8); /* 1 GiB */
    soft->ranges[0] = (struct soft_range){.gpa = 0, .length = 2 * SIZE, .host = soft->tables};
    soft->ranges[1] = (struct soft_range){.gpa = CODE, .length = SIZE, .host = soft->code};
    soft->ranges[2] = (struct soft_range){.gpa = DATA, .length = SIZE, .host = soft->data};
    soft->machine.ranges = soft->ranges;
    soft->machine.range_count = 3;
    soft->machine.gpa_last = (UINT64_C(1) << 40) - 1;
    soft->machine.cpus[soft->machine.cpu_count++] = cpu;
    cpu->machine = &soft->machine;
    cpu->exit = &soft->exit;
    cpu->stamp = 1;
    cpu->apic_page = UINT64_MAX;
    if (soft_blocks_create(cpu, 1 << 20) != 0)
        return false;
    soft_tlb_init(cpu);
    soft_cpu_reset(cpu, false);
    cpu->cr0 = SOFT_CR0_PE | SOFT_CR0_PG | SOFT_CR0_NE | SOFT_CR0_ET | SOFT_CR0_MP;
    cpu->cr4 = SOFT_CR4_PAE | SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT | SOFT_CR4_OSXSAVE;
    cpu->efer = SOFT_EFER_LME | SOFT_EFER_LMA;
    cpu->xcr0 = 7;
    for (unsigned i = 0; i < SOFT_SEGMENTS; i++)
        cpu->seg[i] = (visor_x86_segment){.limit = 0xffffffff,
                                          .type = i == SOFT_SEG_CS ? 11 : 3,
                                          .present = 1,
                                          .dpl = 3,
                                          .s = 1,
                                          .l = i == SOFT_SEG_CS,
                                          .g = 1};
    soft_mode_update(cpu);
    return true;
}

static void soft_execute(struct state *out, const struct state *in, struct soft *soft,
                         const uint8_t *code, unsigned length)
{
    struct soft_cpu *cpu = soft->cpu;

    memset(soft->code, 0x90, 32);
    memcpy(soft->code, code, length);
    memcpy(soft->data, in->data, SIZE);
    memcpy(cpu->r, in->r, sizeof(in->r));
    soft_set_eflags(cpu, (uint32_t)in->flags);
    soft_x87_load(cpu, in->image, true);
    soft_sse_load(cpu, in->image, 16);
    soft_avx_load(cpu, in->image + SOFT_XSAVE_AVX, 16);
    cpu->mxcsr = (uint32_t)get(in->image + 24, 4);
    cpu->rip = CODE;
    cpu->event.kind = SOFT_EVENT_NONE;
    cpu->log.pending = false;
    soft_access_commit(cpu);
    soft_step(cpu);
    memcpy(out->r, cpu->r, sizeof(out->r));
    memcpy(out->data, soft->data, SIZE);
    memset(out->image, 0, IMAGE);
    soft_x87_store(out->image, cpu, true);
    soft_sse_store(out->image, cpu, 16);
    soft_avx_store(out->image + SOFT_XSAVE_AVX, cpu, 16);
    put(out->image + 24, cpu->mxcsr, 4);
    out->flags = soft_eflags(cpu);
    out->vector = cpu->event.kind == SOFT_EVENT_EXCEPTION ? cpu->event.vector : -1;
    if (out->vector < 0 && cpu->rip != CODE + length)
        out->vector = 1000;
}

/* ---- encodings ---- */

struct form {
    uint8_t map, prefix, opcode,
        group; /* map 1 to 3; group: ModRM.reg if it is part of the opcode */
    bool vex, w, l, memory;
    uint16_t id;
};

#define MAX_FORMS 8192
static struct form forms[MAX_FORMS];
static size_t form_count;

static bool host_has(unsigned feature)
{
    switch (feature) {
    case SOFT_FEATURE_SHA: {
        unsigned a = 7, b = 0, c = 0, d;

        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        return (b >> 29 & 1) != 0;
    }
    case SOFT_FEATURE_AES: return __builtin_cpu_supports("aes");
    case SOFT_FEATURE_PCLMULQDQ: return __builtin_cpu_supports("pclmul");
    case SOFT_FEATURE_AVX2: return __builtin_cpu_supports("avx2");
    case SOFT_FEATURE_FMA: return __builtin_cpu_supports("fma");
    case SOFT_FEATURE_F16C: {
        unsigned a = 1, b, c = 0, d;

        __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        return (c >> 29 & 1) != 0;
    }
    case SOFT_FEATURE_VAES:
    case SOFT_FEATURE_VPCLMULQDQ: return false; /* the software CPU has not */
    default: return true;
    }
}

struct choice {
    unsigned reg, rm, vvvv, index, scale;
    uint8_t imm;
};

/* At most 15 bytes. */
static unsigned encode(uint8_t out[16], const struct form *form, const struct choice *choice,
                       bool sib)
{
    static const uint8_t prefixes[] = {0, 0x66, 0xf3, 0xf2};
    unsigned n = 0, rm = form->memory ? 7 : choice->rm;
    unsigned reg = form->group < 8 ? form->group : choice->reg;

    if (form->vex) {
        out[n++] = 0xc4;
        out[n++] = (uint8_t)((reg < 8 ? 0x80u : 0u) | (!sib || choice->index < 8 ? 0x40u : 0u) |
                             (rm < 8 ? 0x20u : 0u) | form->map);
        out[n++] = (uint8_t)((unsigned)form->w << 7 | (~(unsigned)choice->vvvv & 15u) << 3 |
                             (unsigned)form->l << 2 | form->prefix);
    } else {
        if (form->prefix != 0)
            out[n++] = prefixes[form->prefix];
        out[n++] = (uint8_t)(0x40 | form->w << 3 | (reg >= 8) << 2 | (rm >= 8));
        out[n++] = 0x0f;
        if (form->map > 1)
            out[n++] = form->map == 2 ? 0x38 : 0x3a;
    }
    out[n++] = form->opcode;
    out[n++] = (uint8_t)((form->memory ? 0 : 0xc0) | (reg & 7) << 3 | (sib ? 4 : rm & 7));
    if (sib)
        out[n++] = (uint8_t)(choice->scale << 6 | (choice->index & 7) << 3 | 7);
    out[n++] = choice->imm;
    return n;
}

static bool is_vector(const struct soft_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        unsigned kind = insn->operand[i].kind;

        if (kind == SOFT_OPERAND_MMX || kind == SOFT_OPERAND_XMM || kind == SOFT_OPERAND_YMM)
            return true;
    }
    return insn->id == SOFT_INSN_EMMS || insn->id == SOFT_INSN_LDMXCSR ||
           insn->id == SOFT_INSN_STMXCSR || insn->id == SOFT_INSN_VZEROUPPER ||
           insn->id == SOFT_INSN_VZEROALL;
}

static bool is_gather(const struct soft_insn *insn)
{
    return insn->memory.vsib != 0;
}

/* Decodes a form with these registers; tries without a first source too. */
static bool decode(struct soft_insn *insn, uint8_t code[16], const struct form *form,
                   struct choice *choice)
{
    unsigned vvvv = choice->vvvv;

    for (unsigned attempt = 0; attempt < 4; attempt++) {
        unsigned length;

        choice->vvvv = (attempt & 1) != 0 ? 0 : vvvv;
        length = encode(code, form, choice, attempt >= 2);
        if (attempt >= 2 && !(form->vex && form->map == 2 && form->memory))
            break;
        if (soft_decode(insn, code, length, SOFT_MODE_64) > 0 && is_vector(insn))
            return true;
    }
    choice->vvvv = vvvv;
    return false;
}

static void add_form(const struct form *form)
{
    struct choice choice = {.reg = 1, .rm = 2, .vvvv = 3, .index = 4};
    struct soft_insn insn;
    struct form known = *form;
    uint8_t code[16];

    if (!decode(&insn, code, form, &choice) || !host_has(insn.feature) || form_count == MAX_FORMS)
        return;
    known.id = insn.id;
    forms[form_count++] = known;
}

static void add_forms(void)
{
    struct form form;

    for (unsigned bits = 0; bits < 1u << 17; bits++) {
        form = (struct form){.opcode = (uint8_t)bits,
                             .prefix = bits >> 8 & 3,
                             .map = bits >> 10 & 3,
                             .vex = bits >> 12 & 1,
                             .w = bits >> 13 & 1,
                             .l = bits >> 14 & 1,
                             .memory = bits >> 15 & 1,
                             .group = bits >> 16 & 1};
        if (form.map == 0 || (form.l && !form.vex))
            continue;
        /* These lead to the other maps. */
        if (!form.vex && form.map == 1 && (form.opcode == 0x38 || form.opcode == 0x3a))
            continue;
        /* 71, 72, 73, AE: what else is no group is the same for all of ModRM.reg. */
        if (form.map == 1 &&
            ((form.opcode >= 0x71 && form.opcode <= 0x73) || form.opcode == 0xae)) {
            if (form.group != 0)
                continue;
            for (form.group = 0; form.group < 8; form.group++)
                add_form(&form);
            continue;
        }
        if (form.group != 0)
            continue;
        form.group = 8;
        add_form(&form);
    }
}

/* ---- operands ---- */

static uint32_t random_f32(void)
{
    return numbers_f32(&state);
}

static uint64_t random_f64(void)
{
    return numbers_f64(&state);
}

static void random_half(uint8_t out[16])
{
    unsigned kind = below(8), few = 1 + below(6);

    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t value = next_random();

        switch (kind) {
        case 0:
        case 1:
        case 2: value = random_f32() | (uint64_t)random_f32() << 32; break;
        case 3:
        case 4: value = random_f64(); break;
        case 5: /* strings */
            for (unsigned n = 0; n < 64; n += 8)
                value = (value & ~(UINT64_C(0xff) << n)) |
                        (uint64_t)(below(12) == 0 ? 0 : 'a' + below(few)) << n;
            break;
        case 6: /* small counts */
            value = below(3) == 0   ? below(70) | (uint64_t)below(70) << 32
                    : below(2) == 0 ? below(300)
                                    : 0;
            break;
        default: break;
        }
        put(out + i, value, 8);
    }
}

static void random_state(struct state *in)
{
    uint32_t mxcsr = 0x1f80, masks;

    memset(in->image, 0, IMAGE);
    for (unsigned i = 0; i < 16; i++) {
        in->r[i] = below(2) == 0 ? next_random() : below(40);
        random_half(in->image + 160 + 16 * i);
        random_half(in->image + SOFT_XSAVE_AVX + 16 * i);
    }
    for (unsigned i = 0; i < 8; i++) {
        random_half(in->image + 32 + 16 * i);
        memset(in->image + 42 + 16 * i, 0, 6);
    }
    for (unsigned i = MIDDLE - 512; i < MIDDLE + 512; i += 16)
        random_half(in->data + i);
    put(in->image, 0x37f, 2);
    put(in->image + 2, below(8) << 11, 2);
    if (below(32) == 0) { /* a pending exception: unmasked, and ES is set */
        put(in->image, 0x37e, 2);
        put(in->image + 2, 0x8081 | below(8) << 11, 2);
    }
    in->image[4] = (uint8_t)next_random();
    switch (below(4)) {
    case 0: break;
    case 1: mxcsr |= below(64); break;
    default:
        mxcsr = below(64) | below(4) << 13;
        masks = below(64);
        mxcsr |= below(2) != 0 ? 0x1f80u : (masks | below(64)) << 7;
        mxcsr |= below(3) == 0 ? 0x40u : 0;
        mxcsr |= below(3) == 0 ? 0x8000u : 0;
    }
    put(in->image + 24, mxcsr, 4);
    put(in->image + 28, 0xffff, 4);
    put(in->image + 512, 7, 8);
    in->flags = 0x202 | (next_random() & ARITHMETIC);
    in->vector = -1;
}

/* Registers that lead into the data. */
static void aim(struct state *in, const struct soft_insn *insn, const struct choice *choice)
{
    in->r[SOFT_RDI] = DATA + MIDDLE;
    if (below(4) == 0)
        in->r[SOFT_RDI] += below(64);
    /* Intel's processors want these aligned (SDM vol. 2A, table 2-21), AMD's do not. */
    if (insn->feature == SOFT_FEATURE_SHA)
        in->r[SOFT_RDI] &= ~UINT64_C(15);
    if (!is_gather(insn))
        return;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *half = in->image + (i == 0 ? 160 : SOFT_XSAVE_AVX) + 16 * choice->index;

        for (unsigned n = 0; n < 16; n += 4) {
            bool wide = insn->id == SOFT_INSN_VPGATHERQD || insn->id == SOFT_INSN_VPGATHERQQ ||
                        insn->id == SOFT_INSN_VGATHERQPS || insn->id == SOFT_INSN_VGATHERQPD;

            if (wide) {
                put(half + n, (uint64_t)((int64_t)below(96) - 48), 8);
                n += 4;
            } else {
                put(half + n, below(96) - 48, 4);
            }
        }
    }
}

/* ---- comparison ---- */

static uint64_t failures, cases, faults;
static bool quiet;

static void complain(const struct soft_insn *insn, const uint8_t *code, unsigned length,
                     const struct state *in, const char *what, uint64_t here, uint64_t there)
{
    if (quiet)
        return;
    printf("# %s", soft_insn_name(insn->id));
    for (unsigned i = 0; i < length; i++)
        printf(" %02x", code[i]);
    printf(" mxcsr %04x: %s is %" PRIx64 ", the processor has %" PRIx64 "\n",
           (unsigned)get(in->image + 24, 4), what, there, here);
}

static bool is_approximation(const struct soft_insn *insn)
{
    return insn->id == SOFT_INSN_RCPPS || insn->id == SOFT_INSN_RCPSS ||
           insn->id == SOFT_INSN_RSQRTPS || insn->id == SOFT_INSN_RSQRTSS;
}

/*
 * VDPPS of 256 bits that an unmasked exception in one lane ends. In SDM vol. 2A, DPPS, a lane
 * begins after the one before it has ended; AMD's processors do each step in both, so that neither
 * goes on after it, and what the step finds in results is not reported if an operand is bad: other
 * flags.
 */
static uint64_t flags_of_lanes(const struct soft_insn *insn, const struct state *here)
{
    return insn->id == SOFT_INSN_DPPS && insn->vex_length == 32 && here->vector == 19 ? 0x3f : 0;
}

static bool same(const struct soft_insn *insn, const uint8_t *code, unsigned length,
                 const struct state *in, const struct state *here, const struct state *there)
{
    const uint64_t lanes = flags_of_lanes(insn, here);
    char what[32];
    bool ok = true;

#define COMPARE(a, b, ...)                                  \
    do {                                                    \
        uint64_t a_ = (a), b_ = (b);                        \
        if (a_ != b_) {                                     \
            snprintf(what, sizeof(what), __VA_ARGS__);      \
            complain(insn, code, length, in, what, a_, b_); \
            ok = false;                                     \
        }                                                   \
    } while (0)
    COMPARE((uint64_t)here->vector, (uint64_t)there->vector, "vector");
    for (unsigned i = 0; i < 16; i++)
        COMPARE(here->r[i], there->r[i], "r%u", i);
    COMPARE(here->flags & ARITHMETIC, there->flags & ARITHMETIC, "flags");
    COMPARE(get(here->image + 24, 4) & ~lanes, get(there->image + 24, 4) & ~lanes, "mxcsr");
    COMPARE(get(here->image, 2), get(there->image, 2), "fcw");
    COMPARE(get(here->image + 2, 2), get(there->image + 2, 2), "fsw");
    COMPARE(here->image[4], there->image[4], "ftw");
    for (unsigned i = 0; i < 8; i++) {
        COMPARE(get(here->image + 32 + 16 * i, 8), get(there->image + 32 + 16 * i, 8), "st%u", i);
        COMPARE(get(here->image + 40 + 16 * i, 2), get(there->image + 40 + 16 * i, 2),
                "st%u.exponent", i);
    }
    for (unsigned i = 0; i < 64; i++) {
        unsigned at = i < 32 ? 160 + 8 * i : SOFT_XSAVE_AVX + 8 * (i - 32);
        uint64_t a = get(here->image + at, 8), b = get(there->image + at, 8);

        if (is_approximation(insn) && numbers_near_f32((uint32_t)a, (uint32_t)b) &&
            numbers_near_f32((uint32_t)(a >> 32), (uint32_t)(b >> 32)))
            continue;
        COMPARE(a, b, "v%u[%u]", i / 2 % 16, i % 2 + 2 * (i / 32));
    }
    for (unsigned i = 0; i < SIZE; i += 8)
        COMPARE(get(here->data + i, 8), get(there->data + i, 8), "memory %x", i);
#undef COMPARE
    return ok;
}

static bool one_case(struct soft *soft, const struct form *form)
{
    static struct state in, here, there;
    struct choice choice = {.reg = below(16),
                            .rm = below(16),
                            .vvvv = below(16),
                            .index = below(16),
                            .scale = below(4),
                            .imm = (uint8_t)next_random()};
    uint8_t code[16];
    struct soft_insn insn;

    if (!decode(&insn, code, form, &choice))
        return true; /* a gather with the same register twice */
    random_state(&in);
    aim(&in, &insn, &choice);
    if ((insn.id == SOFT_INSN_LDMXCSR) && below(2) == 0)
        put(in.data + (in.r[SOFT_RDI] - DATA), below(0x10000), 4);
    soft_execute(&there, &in, soft, code, insn.length);
    native_execute(&here, &in, code, insn.length);
    /* A hypervisor under this machine may now and then raise a fault of its own. */
    for (unsigned i = 0; i < 2 && here.vector >= 0 && here.vector != there.vector; i++)
        native_execute(&here, &in, code, insn.length);
    cases++;
    faults += here.vector >= 0;
    return same(&insn, code, insn.length, &in, &here, &there);
}

TEST(instructions_do_what_the_processor_does)
{
    const char *only = getenv("VISOR_VECTOR_ONLY");
    uint64_t count = setting("VISOR_VECTOR_COUNT", 30);
    uint64_t seed = setting("VISOR_VECTOR_SEED", 1);
    unsigned wrong_forms = 0;
    struct soft soft;

    if (!__builtin_cpu_supports("avx"))
        SKIP("this processor has no AVX");
    REQUIRE(native_open());
    REQUIRE(make_soft(&soft));
    add_forms();
    printf("# %zu encodings, seed %" PRIu64 "\n", form_count, seed);
    for (size_t i = 0; i < form_count; i++) {
        unsigned wrong = 0;

        if (only != NULL && strcmp(only, soft_insn_name(forms[i].id)) != 0)
            continue;
        state = (seed * UINT64_C(0x9e3779b97f4a7c15) + i * UINT64_C(0xd1342543de82ef95)) | 1;
        for (uint64_t n = 0; n < count; n++) {
            if (!one_case(&soft, &forms[i])) {
                wrong++;
                quiet = wrong >= 3 || wrong_forms > 400;
            }
        }
        quiet = false;
        failures += wrong;
        wrong_forms += wrong != 0;
        if (wrong != 0)
            printf("# %s: %u of %" PRIu64 " cases differ\n", soft_insn_name(forms[i].id), wrong,
                   count);
    }
    printf("# %" PRIu64 " cases, %" PRIu64 " of them faults; %" PRIu64 " differ\n", cases, faults,
           failures);
    CHECK_INT(failures, 0);
    free_soft(&soft);
}

UNIT_MAIN()
