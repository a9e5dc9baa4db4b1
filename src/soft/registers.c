/* SPDX-License-Identifier: BSD-3-Clause */
#include "soft/registers.h"

#include <string.h>

#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/system.h"
#include "soft/xstate.h"

void soft_get_regs(visor_x86_regs *out, const struct soft_cpu *cpu)
{
    const uint64_t *r = cpu->r;

    *out = (visor_x86_regs){.rax = r[SOFT_RAX],
                            .rbx = r[SOFT_RBX],
                            .rcx = r[SOFT_RCX],
                            .rdx = r[SOFT_RDX],
                            .rsi = r[SOFT_RSI],
                            .rdi = r[SOFT_RDI],
                            .rsp = r[SOFT_RSP],
                            .rbp = r[SOFT_RBP],
                            .r8 = r[8],
                            .r9 = r[9],
                            .r10 = r[10],
                            .r11 = r[11],
                            .r12 = r[12],
                            .r13 = r[13],
                            .r14 = r[14],
                            .r15 = r[15],
                            .rip = cpu->rip,
                            .rflags = soft_eflags(cpu)};
}

void soft_set_regs(struct soft_cpu *cpu, const visor_x86_regs *regs)
{
    uint64_t *r = cpu->r;

    r[SOFT_RAX] = regs->rax, r[SOFT_RBX] = regs->rbx;
    r[SOFT_RCX] = regs->rcx, r[SOFT_RDX] = regs->rdx;
    r[SOFT_RSI] = regs->rsi, r[SOFT_RDI] = regs->rdi;
    r[SOFT_RSP] = regs->rsp, r[SOFT_RBP] = regs->rbp;
    memcpy(&r[8], &regs->r8, 8 * sizeof(r[0]));
    cpu->rip = regs->rip;
    soft_set_eflags(cpu, (uint32_t)regs->rflags);
    soft_mode_update(cpu);
}

void soft_get_sregs(visor_x86_sregs *out, const struct soft_cpu *cpu)
{
    *out = (visor_x86_sregs){.cs = cpu->seg[SOFT_SEG_CS],
                             .ds = cpu->seg[SOFT_SEG_DS],
                             .es = cpu->seg[SOFT_SEG_ES],
                             .fs = cpu->seg[SOFT_SEG_FS],
                             .gs = cpu->seg[SOFT_SEG_GS],
                             .ss = cpu->seg[SOFT_SEG_SS],
                             .tr = cpu->tr,
                             .ldt = cpu->ldt,
                             .gdt = cpu->gdt,
                             .idt = cpu->idt,
                             .cr0 = cpu->cr0,
                             .cr2 = cpu->cr2,
                             .cr3 = cpu->cr3,
                             .cr4 = cpu->cr4,
                             .cr8 = cpu->cr8,
                             .efer = cpu->efer};
}

void soft_set_sregs(struct soft_cpu *cpu, const visor_x86_sregs *sregs)
{
    cpu->cr0 = sregs->cr0 | SOFT_CR0_ET;
    cpu->cr2 = sregs->cr2;
    cpu->cr3 = sregs->cr3;
    cpu->cr4 = sregs->cr4;
    cpu->cr8 = sregs->cr8 & 15;
    cpu->efer = sregs->efer;
    cpu->seg[SOFT_SEG_CS] = sregs->cs;
    cpu->seg[SOFT_SEG_DS] = sregs->ds;
    cpu->seg[SOFT_SEG_ES] = sregs->es;
    cpu->seg[SOFT_SEG_FS] = sregs->fs;
    cpu->seg[SOFT_SEG_GS] = sregs->gs;
    cpu->seg[SOFT_SEG_SS] = sregs->ss;
    cpu->tr = sregs->tr;
    cpu->ldt = sregs->ldt;
    cpu->gdt = sregs->gdt;
    cpu->idt = sregs->idt;
    if ((cpu->cr0 & SOFT_CR0_PG) != 0 && (cpu->cr4 & SOFT_CR4_PAE) != 0 && !soft_is_long(cpu))
        (void)soft_load_pdptes(cpu, cpu->cr3);
    soft_tlb_flush(cpu, true);
    soft_mode_update(cpu);
}

void soft_get_fpu(visor_x86_fpu *out, const struct soft_cpu *cpu)
{
    const struct soft_fpu *fpu = &cpu->fpu;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 8; i++) {
        out->st[i].significand = fpu->st[(fpu->top + i) & 7].significand;
        out->st[i].sign_exponent = fpu->st[(fpu->top + i) & 7].sign_exponent;
    }
    for (unsigned i = 0; i < 16; i++)
        memcpy(out->xmm[i], cpu->v[i].u8, 16);
    out->last_ip = fpu->last_ip;
    out->last_dp = fpu->last_dp;
    out->mxcsr = cpu->mxcsr;
    out->fcw = fpu->control;
    out->fsw = soft_fpu_status(fpu);
    out->last_opcode = fpu->last_opcode;
    out->ftw = fpu->used;
}

void soft_set_fpu(struct soft_cpu *cpu, const visor_x86_fpu *in)
{
    struct soft_fpu *fpu = &cpu->fpu;

    soft_fpu_set_status(fpu, in->fsw);
    for (unsigned i = 0; i < 8; i++) {
        fpu->st[(fpu->top + i) & 7] =
            (struct soft_f80){in->st[i].significand, in->st[i].sign_exponent};
    }
    for (unsigned i = 0; i < 16; i++)
        memcpy(cpu->v[i].u8, in->xmm[i], 16);
    fpu->last_ip = in->last_ip;
    fpu->last_dp = in->last_dp;
    cpu->mxcsr = in->mxcsr;
    fpu->control = in->fcw;
    fpu->last_opcode = in->last_opcode;
    fpu->used = in->ftw;
}
