/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The software CPU from inside: the state of one x86-64 processor, and what its rooms share.
 *
 *   decode.c       bytes -> struct soft_insn (decode.h, insn_table.h)
 *   translate*.c   struct soft_insn -> micro-operations (uop.h)
 *   op_*.c         semantics: a handler for each kind of micro-operation
 *   flags.h        arithmetic flags, worked out when somebody asks
 *   memory.h       guest memory by linear address, through the software TLB
 *   mmu.c          page walks, TLB, physical memory, the log of device accesses
 *   block.c        the cache of translated blocks
 *   engine.c       the run loop: blocks, interrupts, exits
 *   event.c        delivery of exceptions and interrupts
 *   segment.c      descriptors, segment loads, far transfers
 *   task.c         task switches
 *
 * References "SDM" are to Intel's Software Developer's Manual.
 *
 * How an instruction ends early. Handlers change no register before the last thing that can fail,
 * so that an instruction that faults, or has to leave for a device, can simply be executed anew.
 * soft_raise() and soft_leave() do not return: they go back to the run loop by longjmp().
 */
#ifndef VISOR_SOFT_CPU_H
#define VISOR_SOFT_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <visor.h>

#include "os/jump.h"
#include "soft/decode.h"

struct soft_block;
struct soft_blocks;
struct soft_uop;
struct soft_machine;

#define SOFT_LIKELY(x)   __builtin_expect(!!(x), 1)
#define SOFT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SOFT_COLD        __attribute__((noinline, cold))

#define SOFT_PAGE       UINT64_C(0x1000)
#define SOFT_PAGE_MASK  (~(SOFT_PAGE - 1))
#define SOFT_CACHE_LINE 64u /* as CPUID says */

/* ---- registers ---- */

enum { SOFT_RAX, SOFT_RCX, SOFT_RDX, SOFT_RBX, SOFT_RSP, SOFT_RBP, SOFT_RSI, SOFT_RDI };

/* Beyond the 16 that the guest has, and SOFT_REG_RIP (decode.h), which is the running block's. */
#define SOFT_REG_ZERO 17 /* always 0: an absent base or index */
#define SOFT_REG_EA   18 /* a linear address that an address micro-operation has worked out */
#define SOFT_REG_T0   19 /* of translations, inside one instruction */
#define SOFT_REG_T1   20
#define SOFT_REGS     21

#define SOFT_SEGMENTS 6u /* in the order of enum soft_segment */

/* EFLAGS (SDM vol. 1, 3.4.3). */
#define SOFT_CF         UINT32_C(0x000001)
#define SOFT_PF         UINT32_C(0x000004)
#define SOFT_AF         UINT32_C(0x000010)
#define SOFT_ZF         UINT32_C(0x000040)
#define SOFT_SF         UINT32_C(0x000080)
#define SOFT_TF         UINT32_C(0x000100)
#define SOFT_IF         UINT32_C(0x000200)
#define SOFT_DF         UINT32_C(0x000400)
#define SOFT_OF         UINT32_C(0x000800)
#define SOFT_IOPL       UINT32_C(0x003000)
#define SOFT_NT         UINT32_C(0x004000)
#define SOFT_RF         UINT32_C(0x010000)
#define SOFT_VM         UINT32_C(0x020000)
#define SOFT_AC         UINT32_C(0x040000)
#define SOFT_VIF        UINT32_C(0x080000)
#define SOFT_VIP        UINT32_C(0x100000)
#define SOFT_ID         UINT32_C(0x200000)
#define SOFT_ARITHMETIC (SOFT_CF | SOFT_PF | SOFT_AF | SOFT_ZF | SOFT_SF | SOFT_OF)
#define SOFT_EFLAGS_ALL UINT32_C(0x3f7fd5) /* all that exist; bit 1 is always set */

/* Control registers (SDM vol. 3A, 2.5). */
#define SOFT_CR0_PE UINT64_C(0x00000001)
#define SOFT_CR0_MP UINT64_C(0x00000002)
#define SOFT_CR0_EM UINT64_C(0x00000004)
#define SOFT_CR0_TS UINT64_C(0x00000008)
#define SOFT_CR0_ET UINT64_C(0x00000010)
#define SOFT_CR0_NE UINT64_C(0x00000020)
#define SOFT_CR0_WP UINT64_C(0x00010000)
#define SOFT_CR0_AM UINT64_C(0x00040000)
#define SOFT_CR0_NW UINT64_C(0x20000000)
#define SOFT_CR0_CD UINT64_C(0x40000000)
#define SOFT_CR0_PG UINT64_C(0x80000000)

#define SOFT_CR4_VME        UINT64_C(0x000001)
#define SOFT_CR4_PVI        UINT64_C(0x000002)
#define SOFT_CR4_TSD        UINT64_C(0x000004)
#define SOFT_CR4_DE         UINT64_C(0x000008)
#define SOFT_CR4_PSE        UINT64_C(0x000010)
#define SOFT_CR4_PAE        UINT64_C(0x000020)
#define SOFT_CR4_MCE        UINT64_C(0x000040)
#define SOFT_CR4_PGE        UINT64_C(0x000080)
#define SOFT_CR4_PCE        UINT64_C(0x000100)
#define SOFT_CR4_OSFXSR     UINT64_C(0x000200)
#define SOFT_CR4_OSXMMEXCPT UINT64_C(0x000400)
#define SOFT_CR4_UMIP       UINT64_C(0x000800)
#define SOFT_CR4_LA57       UINT64_C(0x001000)
#define SOFT_CR4_FSGSBASE   UINT64_C(0x010000)
#define SOFT_CR4_PCIDE      UINT64_C(0x020000)
#define SOFT_CR4_OSXSAVE    UINT64_C(0x040000)
#define SOFT_CR4_SMEP       UINT64_C(0x100000)
#define SOFT_CR4_SMAP       UINT64_C(0x200000)

#define SOFT_EFER_SCE UINT64_C(0x001)
#define SOFT_EFER_LME UINT64_C(0x100)
#define SOFT_EFER_LMA UINT64_C(0x400)
#define SOFT_EFER_NXE UINT64_C(0x800)

/* Exceptions (SDM vol. 3A, 6.3.1). */
enum soft_vector {
    SOFT_DE = 0,
    SOFT_DB = 1,
    SOFT_NMI = 2,
    SOFT_BP = 3,
    SOFT_OF_TRAP = 4,
    SOFT_BR = 5,
    SOFT_UD = 6,
    SOFT_NM = 7,
    SOFT_DF_FAULT = 8,
    SOFT_TS = 10,
    SOFT_NP = 11,
    SOFT_SS_FAULT = 12,
    SOFT_GP = 13,
    SOFT_PF_FAULT = 14,
    SOFT_MF = 16,
    SOFT_AC_FAULT = 17,
    SOFT_MC = 18,
    SOFT_XM = 19,
};

/*
 * What translation depends on beside the bytes: part of a block's key. soft_mode_update() keeps
 * cpu->mode true; whoever changes CR0, CR4, EFER, XCR0, EFLAGS.VM, CS or SS calls it.
 */
#define SOFT_IN_64        0x001u /* 64-bit code */
#define SOFT_IN_32        0x002u /* 32-bit code; neither: 16-bit */
#define SOFT_IN_STACK64   0x004u /* the stack pointer is RSP */
#define SOFT_IN_STACK32   0x008u /* ESP; neither: SP */
#define SOFT_IN_FLAT      0x010u /* CS, DS, ES, SS: base 0, 4 GiB, readable and writable */
#define SOFT_IN_FPU       0x020u /* x87 and MMX instructions raise no #NM or #UD */
#define SOFT_IN_SSE       0x040u /* nor do SSE instructions */
#define SOFT_IN_AVX       0x080u /* nor AVX ones */
#define SOFT_IN_SINGLE    0x100u /* one instruction only: the blocks for stepping */
#define SOFT_IN_LONG      0x200u /* EFER.LMA: also compatibility mode */
#define SOFT_IN_VM86      0x400u
#define SOFT_IN_PROTECTED 0x800u  /* CR0.PE */
#define SOFT_IN_USER      0x1000u /* CPL 3, which may execute other pages than the rest */

/* ---- x87 and vectors ---- */

struct soft_f80 {
    uint64_t significand;
    uint16_t sign_exponent;
};

union soft_vector_register {
    uint8_t u8[32];
    uint16_t u16[16];
    uint32_t u32[8];
    uint64_t u64[4];
    int8_t s8[32];
    int16_t s16[16];
    int32_t s32[8];
    int64_t s64[4];
} __attribute__((aligned(32)));

struct soft_fpu {
    struct soft_f80
        st[8]; /* physical: ST(i) is st[(top + i) & 7]; MMn is the significand of st[n] */
    uint16_t control, status; /* TOP is kept in `top`, and its bits of status are 0 */
    uint8_t top;
    uint8_t used; /* bit n: st[n], physical, is not empty */
    uint16_t last_opcode;
    uint64_t last_ip, last_dp;
    uint16_t last_cs, last_ds;
};

/* ---- accesses to devices ----
 *
 * An instruction that reaches for what is no memory leaves the run loop, is answered by the caller,
 * and is executed anew from its start; what it has accessed already it then finds here. */

enum soft_space { SOFT_SPACE_MEMORY, SOFT_SPACE_PORT, SOFT_SPACE_MSR, SOFT_SPACE_HYPERCALL };

struct soft_access {
    uint64_t address; /* GPA, port, MSR or number of a hypercall */
    uint64_t value;
    uint8_t length; /* 1 to 8 */
    bool is_write;
    uint8_t space; /* enum soft_space */
    bool fault;    /* the answer, of an MSR: #GP */
};

#define SOFT_ACCESSES 512 /* more than XSAVE to a device would make */

struct soft_access_log {
    uint64_t instruction; /* whose they are: its number since the start */
    unsigned count;       /* answered */
    unsigned cursor;      /* of these, made again so far */
    bool pending;         /* next is with the caller */
    struct soft_access next;
    struct soft_access done[SOFT_ACCESSES];
};

/* ---- translation of addresses ---- */

/* A page that can be accessed at host + address. Tags are the page's linear address, or
 * SOFT_NO_PAGE: gone, or not for this kind of access without help. */
struct soft_tlb_entry {
    uint64_t read, write;
    uintptr_t host;
    uint64_t gpa; /* of the page; bit 0: global */
};
#define SOFT_NO_PAGE   UINT64_C(1)
#define SOFT_TLB_SIZE  1024u
#define SOFT_ITLB_SIZE 256u

/* Whose rights an access has; each has a TLB of its own. */
enum soft_rights { SOFT_AS_KERNEL, SOFT_AS_USER, SOFT_AS_KERNEL_AC, SOFT_RIGHTS };

/* A page that instructions are fetched from. */
struct soft_itlb_entry {
    uint64_t page; /* linear address, or SOFT_NO_PAGE */
    uint64_t gpa;
    const uint8_t *host;
};

/* The linear addresses, of one half of all, that pages larger than 4 KiB have been seen at since
 * they were last flushed; none: first > last. */
struct soft_large_pages {
    uint64_t first, last;
    bool global;
};

enum soft_access_kind { SOFT_READ, SOFT_WRITE, SOFT_EXECUTE };

/* ---- leaving the threaded code ---- */

enum soft_leave {
    SOFT_LEAVE_NONE,
    SOFT_LEAVE_EXCEPTION, /* cpu->event */
    SOFT_LEAVE_ACCESS,    /* cpu->log.next is for the caller */
    SOFT_LEAVE_EXIT,      /* cpu->exit_reason; the payload is in the vCPU's exit */
    SOFT_LEAVE_AGAIN,     /* to the run loop: the machine has changed, or a boundary is wanted */
};

#define SOFT_SHADOW_SS  1u /* as visor_x86_events has them */
#define SOFT_SHADOW_STI 2u

enum soft_event_kind {
    SOFT_EVENT_NONE,
    SOFT_EVENT_EXCEPTION, /* raised by an instruction */
    SOFT_EVENT_INTERRUPT, /* from outside */
    SOFT_EVENT_NMI,
    SOFT_EVENT_SOFTWARE,       /* INT n, INTO */
    SOFT_EVENT_SOFTWARE_DEBUG, /* INT1, INT3: their gates' DPL counts, IOPL does not */
};

struct soft_event {
    enum soft_event_kind kind;
    uint8_t vector;
    bool has_error;
    uint32_t error;
    bool pending;     /* from the VMM: not yet injected, in the terms of visor_x86_events */
    bool has_payload; /* payload has yet to reach CR2 or DR6 */
    uint64_t payload;
    uint8_t length; /* of INT: its address is RIP minus this */
};

/* What the VMM debugs the guest with. */
struct soft_debug {
    bool step, int3;
    bool told; /* of the breakpoint at instruction told_at */
    uint64_t told_at;
    unsigned count;
    visor_breakpoint breakpoints[4];
};

/* Why guest code shall be left between two blocks: bits of cpu->attention. STEP is the run loop's
 * own, the others are its caller's, who also clears them. */
#define SOFT_LOOK_STEP      0x01u
#define SOFT_LOOK_KICK      0x02u
#define SOFT_LOOK_INTERRUPT 0x04u /* an interrupt has come up */
#define SOFT_LOOK_TICK      0x10u /* the caller shall get a turn */
#define SOFT_LOOK_EXCLUSIVE 0x08u /* all vCPUs shall stand still */
#define SOFT_LOOK_ALONE     0x20u /* all others shall, for the next instruction */
#define SOFT_LOOK_ALARM     0x40u /* always there while there is a cpu->alarm */

struct soft_cpu {
    /* The first few lines are the hot ones. */
    uint64_t r[SOFT_REGS];
    uint64_t result, aux;           /* arithmetic flags, see flags.h */
    struct soft_tlb_entry *tlb;     /* of the present rights */
    const struct soft_block *block; /* being executed */
    uint64_t stamp; /* blocks with another are checked before they run, see block.c */
    uint32_t mode;
    atomic_uint attention;
    uint32_t eflags; /* without the arithmetic flags */
    uint64_t icount; /* instructions executed, up to the end of the block */
    uint64_t rip;    /* true between blocks */
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    visor_x86_segment seg[SOFT_SEGMENTS];
    uint32_t mxcsr;

    union soft_vector_register v[16];
    struct soft_fpu fpu;
    uint64_t xcr0, xss;

    visor_x86_segment ldt, tr;
    visor_x86_table gdt, idt;
    uint64_t dr[4], dr6, dr7;
    uint64_t pdpte[4]; /* PAE: loaded with CR3 (SDM vol. 3A, 4.4.1) */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_aux, pat, misc_enable, mtrr_default, apic_base;
    uint64_t apic_page; /* of the local APIC, which hides what memory is there; UINT64_MAX: none */
    uint64_t mtrr_variable[16], mtrr_fixed[11];
    uint64_t debugctl, mcg_status, mc0_ctl, spec_ctrl;
    uint64_t feature_control, arch_capabilities, platform_info, misc_features;
    uint64_t tsc_offset, tsc_adjust;
    uint64_t idle_time; /* what icount lacks to be the time, see soft_time() */
    uint64_t alarm;     /* the icount at which timers are to be looked at, see SOFT_LOOK_ALARM */
    uint64_t random;    /* state of RDRAND where the machine is deterministic */

    /* Events. What was raised or injected waits in `event` until the run loop delivers it. */
    struct soft_event event;
    bool delivering; /* `event` is on its way through the guest's tables */
    bool nmi_pending, nmi_masked;
    uint8_t shadow;      /* SOFT_SHADOW_...: the next instruction is not interrupted */
    uint8_t step_shadow; /* what it was before the instruction that is being stepped over */
    uint32_t step_rf;
    bool step_trap;   /* whether #DB follows the instruction that is being stepped over */
    bool irq_waiting; /* an interrupt has to be injected as soon as one can be */
    bool halted;
    bool dead; /* triple fault */
    visor_mp_state mp_state;

    struct soft_debug debug;
    bool debugging;      /* instructions are executed one by one */
    bool watching;       /* every access is looked at */
    uint32_t watch_hits; /* by the instruction under way: bits of DR6, and the VMM's from bit 8 */

    jmp_buf leave;
    int exit_reason; /* of SOFT_LEAVE_EXIT */
    visor_exit *exit;

    struct soft_access_log log;
    bool accessing; /* one of the machine's own devices is at work for the instruction in log */
    /* What soft_modify() hands out where there is no plain memory; CMPXCHG16B wants it aligned. */
    _Alignas(16) uint8_t bounce[64];
    uint64_t bounce_address;
    unsigned bounce_length;
    bool step_once;      /* the next instruction is to be a block of its own */
    bool alone;          /* all other vCPUs stand still */
    bool bus_lock_exits; /* locked accesses across cache lines are told to the caller */
    bool bus_locked;     /* the last instruction was one */
    const uint8_t *code; /* what soft_step_bytes() executes in place of what is in memory */
    unsigned code_length;

    struct soft_tlb_entry tlbs[SOFT_RIGHTS][SOFT_TLB_SIZE];
    bool tlb_used[SOFT_RIGHTS];
    struct soft_tlb_entry no_tlb[SOFT_TLB_SIZE]; /* never hits */
    bool aligned;                                /* alignment is checked: #AC */
    struct soft_itlb_entry itlb[SOFT_ITLB_SIZE];
    struct soft_large_pages large[2]; /* by bit 63 of the address */
    uint32_t map_generation;          /* changes whenever a translation of code goes */

    const visor_x86_cpuid_entry *cpuid; /* what CPUID says */
    size_t cpuid_count;

    struct soft_blocks *blocks;
    struct soft_machine *machine;
    visor_vcpu *vcpu; /* NULL in tests without a VM */
    unsigned id;
};

/* ---- ending an instruction early ---- */

/* op: the micro-operation that is being executed, which tells the instruction; NULL outside of
 * blocks, where cpu->rip is the instruction's. */
_Noreturn void soft_raise(struct soft_cpu *cpu, const struct soft_uop *op, enum soft_vector vector);
_Noreturn void soft_raise_error(struct soft_cpu *cpu, const struct soft_uop *op,
                                enum soft_vector vector, uint32_t error);
_Noreturn void soft_raise_page_fault(struct soft_cpu *cpu, const struct soft_uop *op,
                                     uint64_t address, uint32_t error);
_Noreturn void soft_leave(struct soft_cpu *cpu, const struct soft_uop *op, enum soft_leave why);
/* Leaves with an exit of the API, at the instruction of op or, if is_done, behind it. */
_Noreturn void soft_leave_exit(struct soft_cpu *cpu, const struct soft_uop *op, bool is_done,
                               visor_exit_reason reason);
/* The address of the instruction that op belongs to. */
uint64_t soft_rip(const struct soft_cpu *cpu, const struct soft_uop *op);
/* Instructions executed before this one. */
uint64_t soft_instruction_number(const struct soft_cpu *cpu, const struct soft_uop *op);

/* ---- modes ---- */

static inline unsigned soft_cpl(const struct soft_cpu *cpu)
{
    return cpu->seg[SOFT_SEG_SS].dpl;
}

static inline bool soft_is_long(const struct soft_cpu *cpu)
{
    return (cpu->efer & SOFT_EFER_LMA) != 0;
}

static inline bool soft_is_64(const struct soft_cpu *cpu)
{
    return (cpu->mode & SOFT_IN_64) != 0;
}

static inline bool soft_is_protected(const struct soft_cpu *cpu)
{
    return (cpu->cr0 & SOFT_CR0_PE) != 0;
}

static inline bool soft_is_vm86(const struct soft_cpu *cpu)
{
    return (cpu->eflags & SOFT_VM) != 0;
}

/* What an instruction that serializes does (SDM vol. 3A, 8.3): its vCPU's stores are there before
 * anything behind it is read, and code is compared with memory before it is executed. */
static inline void soft_serialize(struct soft_cpu *cpu)
{
    atomic_thread_fence(memory_order_seq_cst);
    cpu->stamp++;
}

/* Recomputes mode and the TLB of the present rights. */
void soft_mode_update(struct soft_cpu *cpu);

#endif
