/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens when control registers change (SDM vol. 3A, 2.5 and 4.10.4.1). */
#include "soft/system.h"

#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"

/* Every vCPU is in one of these; what a block may assume is kept in cpu->mode. */
void soft_mode_update(struct soft_cpu *cpu)
{
    static const uint8_t flat[] = {SOFT_SEG_CS, SOFT_SEG_DS, SOFT_SEG_ES, SOFT_SEG_SS};
    const visor_x86_segment *cs = &cpu->seg[SOFT_SEG_CS], *ss = &cpu->seg[SOFT_SEG_SS];
    uint32_t mode = cpu->mode & SOFT_IN_SINGLE;
    bool vm86 = soft_is_vm86(cpu);

    if (soft_is_long(cpu))
        mode |= SOFT_IN_LONG;
    if (soft_is_protected(cpu))
        mode |= SOFT_IN_PROTECTED;
    if (vm86)
        mode |= SOFT_IN_VM86;
    if (soft_cpl(cpu) == 3)
        mode |= SOFT_IN_USER;
    if (soft_is_long(cpu) && cs->l) {
        mode |= SOFT_IN_64 | SOFT_IN_STACK64;
    } else {
        mode |= cs->db && !vm86 ? SOFT_IN_32 : 0;
        mode |= ss->db && !vm86 ? SOFT_IN_STACK32 : 0;
        if (soft_is_protected(cpu) && !vm86) {
            mode |= SOFT_IN_FLAT;
            for (unsigned i = 0; i < sizeof(flat); i++) {
                const visor_x86_segment *segment = &cpu->seg[flat[i]];
                /* Data that expands up and can be written; code that can be read. */
                unsigned want = i == 0 ? 8 | 2 : 2, mask = i == 0 ? 8 | 2 : 8 | 4 | 2;

                if (segment->base != 0 || segment->limit != 0xffffffff || segment->unusable ||
                    !segment->present || (segment->type & mask) != want)
                    mode &= ~SOFT_IN_FLAT;
            }
        }
    }
    if ((cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS)) == 0)
        mode |= SOFT_IN_FPU;
    if ((cpu->cr0 & (SOFT_CR0_EM | SOFT_CR0_TS)) == 0 && (cpu->cr4 & SOFT_CR4_OSFXSR) != 0)
        mode |= SOFT_IN_SSE;
    if ((cpu->cr0 & SOFT_CR0_TS) == 0 && (cpu->cr4 & SOFT_CR4_OSXSAVE) != 0 &&
        (cpu->xcr0 & 6) == 6 && soft_is_protected(cpu) && !vm86)
        mode |= SOFT_IN_AVX;
    cpu->mode = mode;
    /* Alignment checks and watchpoints want to see every access: a TLB where none hits. */
    cpu->aligned =
        (cpu->cr0 & SOFT_CR0_AM) != 0 && (cpu->eflags & SOFT_AC) != 0 && soft_cpl(cpu) == 3;
    cpu->tlb = cpu->aligned || cpu->watching ? cpu->no_tlb : cpu->tlbs[soft_rights(cpu)];
}

static _Noreturn void refuse(struct soft_cpu *cpu, const struct soft_uop *op)
{
    soft_raise_error(cpu, op, SOFT_GP, 0);
}

bool soft_load_pdptes(struct soft_cpu *cpu, uint64_t cr3)
{
    uint64_t entries[4];

    for (unsigned i = 0; i < 4; i++) {
        uint64_t gpa = (cr3 & UINT64_C(0xffffffe0)) + 8 * i;
        const struct soft_range *range = soft_range_find(cpu->machine, gpa);

        entries[i] = range != NULL ? soft_load64(range->host + (gpa - range->gpa)) : 0;
        if ((entries[i] & 1) != 0 && (entries[i] & UINT64_C(0xfff00000000001e6)) != 0)
            return false;
    }
    memcpy(cpu->pdpte, entries, sizeof(entries));
    return true;
}

/* Whether paging would be PAE's own, with PDPTEs. */
static bool is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & SOFT_CR0_PG) != 0 && (cr4 & SOFT_CR4_PAE) != 0 && (efer & SOFT_EFER_LMA) == 0;
}

void soft_set_cr0(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value)
{
    const uint64_t known = SOFT_CR0_PE | SOFT_CR0_MP | SOFT_CR0_EM | SOFT_CR0_TS | SOFT_CR0_ET |
                           SOFT_CR0_NE | SOFT_CR0_WP | SOFT_CR0_AM | SOFT_CR0_NW | SOFT_CR0_CD |
                           SOFT_CR0_PG;
    uint64_t changed, efer = cpu->efer;

    if (value >> 32 != 0 || ((value & SOFT_CR0_PG) != 0 && (value & SOFT_CR0_PE) == 0) ||
        ((value & SOFT_CR0_NW) != 0 && (value & SOFT_CR0_CD) == 0))
        refuse(cpu, op);
    value = (value & known) | SOFT_CR0_ET;
    changed = cpu->cr0 ^ value;
    if ((changed & value & SOFT_CR0_PG) != 0 && (efer & SOFT_EFER_LME) != 0) {
        if ((cpu->cr4 & SOFT_CR4_PAE) == 0 || cpu->seg[SOFT_SEG_CS].l)
            refuse(cpu, op);
        efer |= SOFT_EFER_LMA;
    } else if ((changed & SOFT_CR0_PG) != 0 && (value & SOFT_CR0_PG) == 0) {
        if (soft_is_64(cpu) || (cpu->cr4 & SOFT_CR4_PCIDE) != 0)
            refuse(cpu, op);
        efer &= ~SOFT_EFER_LMA;
    }
    if ((changed & (SOFT_CR0_PG | SOFT_CR0_CD | SOFT_CR0_NW)) != 0 &&
        is_pae(value, cpu->cr4, efer) && !soft_load_pdptes(cpu, cpu->cr3))
        refuse(cpu, op);
    cpu->cr0 = value;
    cpu->efer = efer;
    if ((changed & (SOFT_CR0_PG | SOFT_CR0_WP | SOFT_CR0_PE)) != 0)
        soft_tlb_flush(cpu, true);
    soft_mode_update(cpu);
}

void soft_set_cr3(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value)
{
    if (soft_is_long(cpu)) {
        /* With PCIDs bit 63 asks that nothing be flushed. The TLB holds those of one only, so that
         * nothing of the new one could be there. */
        if ((cpu->cr4 & SOFT_CR4_PCIDE) != 0)
            value &= ~(UINT64_C(1) << 63);
        if ((value & ~cpu->machine->gpa_last & UINT64_C(0xfffffffffffff000)) != 0)
            refuse(cpu, op);
    } else {
        value &= 0xffffffff;
    }
    if (is_pae(cpu->cr0, cpu->cr4, cpu->efer) && !soft_load_pdptes(cpu, value))
        refuse(cpu, op);
    cpu->cr3 = value;
    soft_tlb_flush(cpu, false);
}

/* Bits of features that CPUID does not tell of are reserved. added: those that come on, which are
 * few: kernels write CR4 again and again, to flush what is global. */
static bool adds_hidden(const struct soft_cpu *cpu, uint64_t added)
{
    static const struct {
        uint64_t cr4;
        uint8_t leaf, reg, bit; /* reg: EBX, ECX */
    } rows[] = {
        {SOFT_CR4_PCIDE, 1, 1, 17}, {SOFT_CR4_OSXSAVE, 1, 1, 26}, {SOFT_CR4_FSGSBASE, 7, 0, 0},
        {SOFT_CR4_SMEP, 7, 0, 7},   {SOFT_CR4_SMAP, 7, 0, 20},    {SOFT_CR4_UMIP, 7, 1, 2},
        {SOFT_CR4_LA57, 7, 1, 16},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const visor_x86_cpuid_entry *leaf;

        if ((added & rows[i].cr4) == 0)
            continue;
        leaf = soft_cpuid_find(cpu, rows[i].leaf, 0);
        if (leaf == NULL || leaf->function != rows[i].leaf ||
            ((rows[i].reg == 0 ? leaf->ebx : leaf->ecx) >> rows[i].bit & 1) == 0)
            return true;
    }
    return false;
}

void soft_set_cr4(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value)
{
    const uint64_t paging = SOFT_CR4_PSE | SOFT_CR4_PAE | SOFT_CR4_PGE | SOFT_CR4_PCIDE |
                            SOFT_CR4_SMEP | SOFT_CR4_SMAP | SOFT_CR4_LA57;
    uint64_t changed = cpu->cr4 ^ value;

    if ((value & ~SOFT_CR4_ALL) != 0 || adds_hidden(cpu, changed & value))
        refuse(cpu, op);
    if (soft_is_long(cpu) && ((value & SOFT_CR4_PAE) == 0 || (changed & SOFT_CR4_LA57) != 0))
        refuse(cpu, op);
    if ((changed & value & SOFT_CR4_PCIDE) != 0 && (!soft_is_long(cpu) || (cpu->cr3 & 0xfff) != 0))
        refuse(cpu, op);
    if ((changed & (SOFT_CR4_PSE | SOFT_CR4_PAE | SOFT_CR4_PGE | SOFT_CR4_SMEP)) != 0 &&
        is_pae(cpu->cr0, value, cpu->efer) && !soft_load_pdptes(cpu, cpu->cr3))
        refuse(cpu, op);
    cpu->cr4 = value;
    if ((changed & paging) != 0)
        soft_tlb_flush(cpu, true);
    soft_mode_update(cpu);
}

bool soft_random(uint64_t *out, struct soft_cpu *cpu)
{
    if (cpu->machine->devices.tsc != NULL)
        return visor__os_random(out, sizeof(*out));
    /* A machine without a clock of the host's is to be the same in each run: splitmix64. */
    cpu->random += UINT64_C(0x9e3779b97f4a7c15);
    *out = cpu->random;
    *out = (*out ^ *out >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    *out = (*out ^ *out >> 27) * UINT64_C(0x94d049bb133111eb);
    *out ^= *out >> 31;
    return true;
}

uint64_t soft_time(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return (cpu->accessing ? cpu->log.instruction : soft_instruction_number(cpu, op)) +
           cpu->idle_time;
}

uint64_t soft_tsc(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    const struct soft_devices *devices = &cpu->machine->devices;

    return devices->tsc != NULL ? devices->tsc(devices->context, cpu) + cpu->tsc_offset
                                : soft_time(cpu, op) + cpu->tsc_offset;
}
