/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64 guests: how they are set up and looked at. For cases that are about x86-64 itself. */
#ifndef CONFORMANCE_GUEST_X86_64_H
#define CONFORMANCE_GUEST_X86_64_H

#include "harness.h"

#define X86_GUEST_ASM_(name, mode, text)                               \
    VISOR_GUEST_ASM_(name, ".intel_syntax noprefix\n" mode "\n", text, \
                     ".code64\n.att_syntax prefix\n")
#define VISOR_GUEST_ASM16(name, text) X86_GUEST_ASM_(name, ".code16", text)
#define VISOR_GUEST_ASM32(name, text) X86_GUEST_ASM_(name, ".code32", text)
#define VISOR_GUEST_ASM64(name, text) X86_GUEST_ASM_(name, ".code64", text)

/* Bits that the cases name. SDM vol. 3A, 2.3, 2.5; vol. 4, 2.1. */
#define X86_FLAG_ZF            0x40u
#define X86_FLAG_SF            0x80u
#define X86_FLAG_TF            0x100u
#define X86_FLAG_IF            0x200u
#define X86_CR0_PE             0x1u
#define X86_CR0_AM             (1u << 18)
#define X86_CR0_PG             0x80000000u
#define X86_CR4_TSD            (1u << 2)
#define X86_CR4_PAE            (1u << 5)
#define X86_CR4_PGE            (1u << 7)
#define X86_CR4_FSGSBASE       (1u << 16)
#define X86_CR4_OSXSAVE        (1u << 18)
#define X86_EFER_LME           (1u << 8)
#define X86_EFER_LMA           (1u << 10)
#define X86_MSR_TSC            0x10u
#define X86_MSR_APIC_BASE      0x1bu
#define X86_MSR_EFER           0xc0000080u
#define X86_MSR_STAR           0xc0000081u
#define X86_MSR_LSTAR          0xc0000082u
#define X86_MSR_KERNEL_GS_BASE 0xc0000102u
#define X86_MSR_TSC_AUX        0xc0000103u

enum x86_mode {
    X86_REAL = 0,      /* 16-bit code at base 0 */
    X86_PROTECTED = 1, /* 32-bit code, flat, no paging */
    X86_LONG = 2,      /* 64-bit code, first GiB mapped one to one */
    X86_RESET = 3,     /* as the vCPU was created */
};

/* Where the tables of the modes are; RAM must reach at least X86_TABLES_END in long mode. */
#define X86_GDT           0x1500u
#define X86_IDT           0x1528u
#define X86_PML4          0x9000u
#define X86_TABLES_END    0xd000u
#define X86_CODE_SELECTOR 0x10u

struct x86_setup {
    enum x86_mode mode;
    uint64_t ram;  /* bytes at GPA 0; 0: 0xf000 */
    uint64_t load; /* GPA of the code */
    const struct code *code;
    visor_x86_regs regs; /* rip 0: load; bit 1 of rflags is always set */
    uint64_t idt;        /* base of the IDT; 0: X86_IDT */
    /* Written before the code, so the code wins where they overlap. */
    struct {
        uint64_t gpa;
        const void *data;
        size_t length;
    } memory[4];
    uint64_t extra_cr4;
    visor_vm_config vm; /* size 0: the default */
    bool without_cpuid;
};

/* Creates memory, VM and vCPU 0 as described, with the host's CPUID. */
void x86_start(struct guest *g, const struct x86_setup *setup);
/* The parts of it. */
void x86_create(struct guest *g, uint64_t ram, const visor_vm_config *config);
void x86_set_mode(struct guest *g, visor_vcpu *vcpu, enum x86_mode mode, uint64_t idt);
void x86_write_tables(struct guest *g, enum x86_mode mode);
/* Loads code and points the vCPU to it. */
void x86_load(struct guest *g, visor_vcpu *vcpu, uint64_t gpa, const struct code *code,
              const visor_x86_regs *regs);

/*
 * The real-mode interrupt layout: IDTR image at 0x200, interrupt vectors at 0x206, handlers from
 * 0x606 on, one after another, and the main program behind them (g->code_end is its end).
 */
struct x86_ivt_setup {
    uint64_t ram; /* 0: 0x1000 */
    struct {
        uint8_t vector;
        const struct code *isr;
    } isrs[4];
    const struct code *others; /* handler of every other vector; may be NULL */
    const struct code *main;
    visor_x86_regs regs; /* rip is the main program's */
    visor_vm_config vm;
};
#define X86_IVT_IDTR 0x200
#define X86_IVT_ISR  0x606
void x86_start_ivt(struct guest *g, const struct x86_ivt_setup *setup);

/* A gate of the 64-bit IDT at base: present, DPL 0, interrupt gate. */
void x86_set_gate(struct guest *g, uint64_t base, unsigned vector, uint64_t handler);
/* All 256 to one handler. */
void x86_set_gates(struct guest *g, uint64_t base, uint64_t handler);

visor_x86_regs x86_regs(visor_vcpu *vcpu);
visor_x86_sregs x86_sregs(visor_vcpu *vcpu);
void x86_set_regs(visor_vcpu *vcpu, const visor_x86_regs *regs);
void x86_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *sregs);
/* Points the vCPU elsewhere, other registers unchanged. */
void x86_set_rip(visor_vcpu *vcpu, uint64_t rip);

/* The host's processor. */
void x86_host_cpuid(uint32_t out[4], uint32_t function, uint32_t index);
uint64_t x86_host_tsc(void);

#endif
