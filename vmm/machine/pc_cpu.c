/* SPDX-License-Identifier: BSD-3-Clause */
/* Processors of a PC without firmware: as firmware would have left them, then as the boot protocol
 * of the kernel wants them. */
#include <visor/x86_64.h>

#include "machine/pc.h"

#define CR0_PE   (1ull << 0)
#define CR0_ET   (1ull << 4)
#define CR0_PG   (1ull << 31)
#define CR4_PAE  (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define MSR_MTRR_CAP      0x0fe
#define MSR_MISC_ENABLE   0x1a0
#define MSR_MTRR_BASE0    0x200
#define MSR_MTRR_MASK0    0x201
#define MSR_MTRR_DEF_TYPE 0x2ff

/* The descriptors that both boot protocols start with: selector 0x10 code, 0x18 data, 0x20 task
 * state (SDM vol. 3A, 3.4.5 and 7.2.3). */
#define CODE64   0x00af9b000000ffffull
#define CODE32   0x00cf9b000000ffffull
#define DATA     0x00cf93000000ffffull
#define TSS_BUSY 0x00008b0000000067ull

int pc_cpu_load_tables(visor_memory *guest, const struct boot_x86_entry *entry, vmm_error *error)
{
    uint64_t gdt[5] = {0, 0, CODE64, DATA, TSS_BUSY};
    uint64_t *tables;
    void *memory;
    int code;

    if (entry->protocol != BOOT_X86_LINUX64)
        gdt[2] = CODE32;
    code = visor_memory_write(guest, PC_GDT_GPA, gdt, sizeof(gdt));
    if (code < 0)
        return vmm_fail_visor(error, code, "descriptor table");

    /* The first 4 GiB onto themselves, in pages of 2 MiB (SDM vol. 3A, 4.5.4): present, writable;
     * bit 7: this is the page. One table of each upper level, then four, side by side. */
    code = visor_memory_ptr(&memory, guest, PC_PAGE_TABLES_GPA, PC_PAGE_TABLES_LENGTH);
    if (code < 0)
        return vmm_fail_visor(error, code, "page tables");
    tables = memory;
    tables[0] = (PC_PAGE_TABLES_GPA + 0x1000) | 3;
    for (uint64_t i = 0; i < 4; i++)
        tables[512 + i] = (PC_PAGE_TABLES_GPA + 0x2000 + i * 0x1000) | 3;
    for (uint64_t i = 0; i < 4 * 512ull; i++)
        tables[1024 + i] = i << 21 | 0x83;
    return 0;
}

/* Set by firmware on a real machine; the same on every processor. */
static int init_msrs(visor_vm *vm, visor_vcpu *vcpu)
{
    int64_t bits = visor_vm_cap(vm, VISOR_CAP_GPA_BITS);
    uint64_t address_mask = (1ull << (bits > 0 && bits <= 52 ? bits : 36)) - 1;
    uint64_t hole = PC_HOLE_END - PC_HOLE_START, count;
    const visor_x86_msr mtrrs[] = {
        /* All memory is write-back but for the hole (SDM vol. 3A, 11.11.2). */
        {.index = MSR_MTRR_BASE0, .value = PC_HOLE_START},
        {.index = MSR_MTRR_MASK0, .value = (~(hole - 1) & address_mask) | 1 << 11},
        {.index = MSR_MTRR_DEF_TYPE, .value = 1 << 11 | 6},
    };
    int code;

    /* Fast strings (SDM vol. 4, table 2-2); AMD's processors have no such register. */
    code = visor_x86_set_msr(vcpu, MSR_MISC_ENABLE, 1);
    if (code < 0 && code != VISOR_ENOENT && code != VISOR_EREFUSED)
        return code;
    code = visor_x86_get_msr(&count, vcpu, MSR_MTRR_CAP);
    if (code == VISOR_ENOENT || (code == 0 && (count & 0xff) == 0))
        return 0; /* a processor without MTRRs does not say so in CPUID either */
    if (code == 0)
        code = visor_x86_set_msrs(vcpu, mtrrs, sizeof(mtrrs) / sizeof(mtrrs[0]));
    return code;
}

/* The PIC is wired to LINT0 and NMI to LINT1 (MultiProcessor Specification 1.4, 3.6.1). Registers
 * and delivery modes: SDM vol. 3A, 10.5.1. */
static int init_lapic(visor_vcpu *vcpu)
{
    visor_x86_lapic lapic;
    int code = visor_x86_get_lapic(&lapic, vcpu);

    if (code < 0)
        return code;
    lapic.regs[0x350 / 16] = (lapic.regs[0x350 / 16] & ~0x700u) | 7 << 8;
    lapic.regs[0x360 / 16] = (lapic.regs[0x360 / 16] & ~0x700u) | 4 << 8;
    return visor_x86_set_lapic(vcpu, &lapic);
}

int pc_cpu_init(visor_vm *vm, visor_vcpu *vcpu)
{
    int code = init_msrs(vm, vcpu);

    return code == 0 ? init_lapic(vcpu) : code;
}

int pc_cpu_enter(visor_vcpu *vcpu, const struct boot_x86_entry *entry)
{
    bool long_mode = entry->protocol == BOOT_X86_LINUX64;
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    visor_x86_fpu fpu;
    int code = visor_x86_get_sregs(&sregs, vcpu);

    if (code < 0)
        return code;
    visor_x86_segment_from_descriptor(&sregs.cs, long_mode ? CODE64 : CODE32, 0x10);
    visor_x86_segment_from_descriptor(&sregs.ds, DATA, 0x18);
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    visor_x86_segment_from_descriptor(&sregs.tr, TSS_BUSY, 0x20);
    sregs.gdt = (visor_x86_table){.base = PC_GDT_GPA, .limit = 5 * 8 - 1};
    sregs.idt = (visor_x86_table){0};
    sregs.cr0 = CR0_PE | CR0_ET;
    if (long_mode) {
        sregs.cr0 |= CR0_PG;
        sregs.cr3 = PC_PAGE_TABLES_GPA;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
    }
    code = visor_x86_set_sregs(vcpu, &sregs);
    if (code < 0)
        return code;

    regs = (visor_x86_regs){.rip = entry->entry, .rflags = 2};
    if (long_mode)
        regs.rsi = entry->info;
    else
        regs.rbx = entry->info;
    if (entry->protocol == BOOT_X86_MULTIBOOT)
        regs.rax = BOOT_MULTIBOOT_MAGIC;
    code = visor_x86_set_regs(vcpu, &regs);
    if (code < 0)
        return code;
    visor_x86_reset_fpu(&fpu);
    return visor_x86_set_fpu(vcpu, &fpu);
}
