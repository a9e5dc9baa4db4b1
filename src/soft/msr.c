/* SPDX-License-Identifier: BSD-3-Clause */
/* Model-specific registers of the processor itself (SDM vol. 4). The local APIC has its own. */
#include <stddef.h>

#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/system.h"

#define MSR_TSC               0x10u
#define MSR_PLATFORM          0x17u
#define MSR_APIC_BASE         0x1bu
#define MSR_FEATURE           0x3au
#define MSR_TSC_ADJUST        0x3bu
#define MSR_SPEC_CTRL         0x48u
#define MSR_PRED_CMD          0x49u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_BIOS_SIGN         0x8bu
#define MSR_MTRR_CAP          0xfeu
#define MSR_MCG_CAP           0x179u
#define MSR_MCG_STATUS        0x17au
#define MSR_PERF_STATUS       0x198u
#define MSR_MISC_ENABLE       0x1a0u
#define MSR_DEBUGCTL          0x1d9u
#define MSR_PLATFORM_INFO     0xceu
#define MSR_MISC_FEATURES     0x140u /* bit 0: CPUID faults outside of CPL 0 */
#define MSR_MTRR_FIRST        0x200u
#define MSR_MTRR_LAST         0x20fu
#define MSR_PAT               0x277u
#define MSR_MTRR_DEFAULT      0x2ffu
#define MSR_MC0_CTL           0x400u
#define MSR_XSS               0xda0u
#define MSR_EFER              0xc0000080u
#define MSR_TSC_AUX           0xc0000103u

#define MTRR_VARIABLE_COUNT 8u
#define EFER_ALL            (SOFT_EFER_SCE | SOFT_EFER_LME | SOFT_EFER_LMA | SOFT_EFER_NXE)

#define PLATFORM_CPUID_FAULTING (UINT64_C(1) << 31)

/*
 * IA32_ARCH_CAPABILITIES (SDM vol. 4, table 2-2): nothing is executed speculatively here. RDCL_NO,
 * IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO,
 * PSDP_NO, BHI_NO, GDS_NO, RFDS_NO, ITS_NO.
 */
#define ARCH_CAPABILITIES UINT64_C(0x400000000c10e17b)

void soft_msr_reset(struct soft_cpu *cpu)
{
    cpu->pat = UINT64_C(0x0007040600070406);
    cpu->misc_enable = 1;
    cpu->feature_control = 1; /* firmware has locked it */
    cpu->arch_capabilities = ARCH_CAPABILITIES;
    cpu->misc_features = 0;
}

/* The fixed-range MTRRs (SDM vol. 3A, 11.11.2.2), in the order of mtrr_fixed. */
static const uint32_t fixed_mtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                       0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

/* MSRs that are kept and no more: index, where, what bits they have. */
#define OF(member) offsetof(struct soft_cpu, member)
static const struct plain {
    uint32_t index;
    uint32_t offset;
    uint64_t bits;
    bool canonical; /* holds an address */
} plain[] = {
    {0x174, OF(sysenter_cs), 0xffffffff, false},
    {0x175, OF(sysenter_esp), ~UINT64_C(0), true},
    {0x176, OF(sysenter_eip), ~UINT64_C(0), true},
    {0xc0000081, OF(star), ~UINT64_C(0), false},
    {0xc0000082, OF(lstar), ~UINT64_C(0), true},
    {0xc0000083, OF(cstar), ~UINT64_C(0), true},
    {0xc0000084, OF(fmask), 0xffffffff, false},
    {0xc0000100, OF(seg[SOFT_SEG_FS].base), ~UINT64_C(0), true},
    {0xc0000101, OF(seg[SOFT_SEG_GS].base), ~UINT64_C(0), true},
    {0xc0000102, OF(kernel_gs_base), ~UINT64_C(0), true},
    {MSR_TSC_AUX, OF(tsc_aux), 0xffffffff, false},
    {MSR_MISC_ENABLE, OF(misc_enable), ~UINT64_C(0), false},
    {MSR_MTRR_DEFAULT, OF(mtrr_default), 0xcff, false},
    {MSR_DEBUGCTL, OF(debugctl), 3, false},
    {MSR_MCG_STATUS, OF(mcg_status), 7, false},
    {MSR_MC0_CTL, OF(mc0_ctl), ~UINT64_C(0), false},
    {MSR_SPEC_CTRL, OF(spec_ctrl), 1, false},
    {MSR_MISC_FEATURES, OF(misc_features), 1, false},
};

static const struct plain *find_plain(uint32_t index)
{
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (plain[i].index == index)
            return &plain[i];
    }
    return NULL;
}

static int find_fixed(uint32_t index)
{
    for (size_t i = 0; i < sizeof(fixed_mtrrs) / sizeof(fixed_mtrrs[0]); i++) {
        if (fixed_mtrrs[i] == index)
            return (int)i;
    }
    return -1;
}

struct list {
    uint32_t *out;
    size_t count, capacity;
};

static void add(struct list *list, uint32_t index)
{
    if (list->count < list->capacity)
        list->out[list->count] = index;
    list->count++;
}

size_t soft_msr_list(uint32_t *out, size_t capacity)
{
    /* The deadline is the local APIC's. */
    static const uint32_t others[] = {MSR_TSC, MSR_TSC_ADJUST, MSR_PAT, MSR_XSS, 0x6e0};
    struct list all = {.out = out, .capacity = capacity};

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        add(&all, plain[i].index);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        add(&all, others[i]);
    for (size_t i = 0; i < sizeof(fixed_mtrrs) / sizeof(fixed_mtrrs[0]); i++)
        add(&all, fixed_mtrrs[i]);
    for (uint32_t i = 0; i < 2 * MTRR_VARIABLE_COUNT; i++)
        add(&all, MSR_MTRR_FIRST + i);
    return all.count;
}

enum soft_msr_result soft_msr_read(uint64_t *out, const struct soft_cpu *cpu, uint32_t index)
{
    const struct plain *kept = find_plain(index);
    int fixed = find_fixed(index);

    if (kept != NULL) {
        *out = *(const uint64_t *)((const uint8_t *)cpu + kept->offset);
        return SOFT_MSR_DONE;
    }
    if (fixed >= 0) {
        *out = cpu->mtrr_fixed[fixed];
        return SOFT_MSR_DONE;
    }
    if (index >= MSR_MTRR_FIRST && index <= MSR_MTRR_LAST) {
        *out = cpu->mtrr_variable[index - MSR_MTRR_FIRST];
        return SOFT_MSR_DONE;
    }
    switch (index) {
    case MSR_TSC: *out = soft_tsc(cpu, NULL); break;
    case MSR_TSC_ADJUST: *out = cpu->tsc_adjust; break;
    case MSR_EFER: *out = cpu->efer; break;
    case MSR_PAT: *out = cpu->pat; break;
    case MSR_XSS: *out = cpu->xss; break;
    case MSR_ARCH_CAPABILITIES: *out = cpu->arch_capabilities; break;
    case MSR_PLATFORM_INFO: *out = cpu->platform_info; break;
    case MSR_MTRR_CAP: *out = 0x500 | MTRR_VARIABLE_COUNT; break; /* fixed ranges, WC */
    case MSR_FEATURE: *out = cpu->feature_control; break;
    case MSR_BIOS_SIGN: *out = UINT64_C(1) << 32; break;
    case 0x11e: *out = 0xbe702111; break; /* BBL_CR_CTL3: the L2 cache is there and on */
    case MSR_PLATFORM:
    case MSR_MCG_CAP:
    case MSR_PERF_STATUS:
    case 0x34:                        /* SMI_COUNT */
    case 0x401:                       /* MC0_STATUS */
    case 0xc001001f: *out = 0; break; /* AMD's NB_CFG, read by old kernels */
    default: return SOFT_MSR_UNKNOWN;
    }
    return SOFT_MSR_DONE;
}

enum soft_msr_result soft_msr_read_by_guest(uint64_t *out, const struct soft_cpu *cpu,
                                            uint32_t index)
{
    if (index == MSR_PLATFORM_INFO && cpu->machine->hides_platform_info)
        return SOFT_MSR_UNKNOWN;
    return soft_msr_read(out, cpu, index);
}

static bool is_canonical(const struct soft_cpu *cpu, uint64_t value)
{
    unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    return (uint64_t)((int64_t)(value << spare) >> spare) == value;
}

/* Memory types (SDM vol. 3A, table 11-10); 7 exists in the PAT only. */
static bool are_memory_types(uint64_t value, bool pat)
{
    const unsigned valid = pat ? 0xf3u : 0x73u;

    for (unsigned i = 0; i < 8; i++, value >>= 8) {
        if ((value & 0xf8) != 0 || (valid >> (value & 7) & 1) == 0)
            return false;
    }
    return true;
}

static enum soft_msr_result set_efer(struct soft_cpu *cpu, uint64_t value, bool by_guest)
{
    if ((value & ~EFER_ALL) != 0)
        return SOFT_MSR_FAULT;
    if (by_guest) {
        if (((cpu->efer ^ value) & SOFT_EFER_LME) != 0 && (cpu->cr0 & SOFT_CR0_PG) != 0)
            return SOFT_MSR_FAULT;
        value = (value & ~SOFT_EFER_LMA) | (cpu->efer & SOFT_EFER_LMA);
    }
    cpu->efer = value;
    soft_tlb_flush(cpu, true);
    soft_mode_update(cpu);
    return SOFT_MSR_DONE;
}

enum soft_msr_result soft_msr_write(struct soft_cpu *cpu, uint32_t index, uint64_t value,
                                    bool by_guest)
{
    const struct plain *kept = find_plain(index);
    int fixed = find_fixed(index);

    if (kept != NULL) {
        if ((value & ~kept->bits) != 0 || (kept->canonical && !is_canonical(cpu, value)))
            return SOFT_MSR_FAULT;
        *(uint64_t *)((uint8_t *)cpu + kept->offset) = value;
        return SOFT_MSR_DONE;
    }
    if (fixed >= 0) {
        if (!are_memory_types(value, false))
            return SOFT_MSR_FAULT;
        cpu->mtrr_fixed[fixed] = value;
        return SOFT_MSR_DONE;
    }
    if (index >= MSR_MTRR_FIRST && index <= MSR_MTRR_LAST) {
        uint64_t reserved = (index & 1) != 0 ? 0x7ff : 0xf00;

        if ((value & reserved) != 0 || (value & ~cpu->machine->gpa_last) >> 12 != 0)
            return SOFT_MSR_FAULT;
        cpu->mtrr_variable[index - MSR_MTRR_FIRST] = value;
        return SOFT_MSR_DONE;
    }
    switch (index) {
    case MSR_TSC: {
        uint64_t by = value - soft_tsc(cpu, NULL);

        cpu->tsc_offset += by;
        if (by_guest)
            cpu->tsc_adjust += by;
        atomic_fetch_or(&cpu->attention, SOFT_LOOK_INTERRUPT); /* for clocks that follow it */
        return SOFT_MSR_DONE;
    }
    case MSR_TSC_ADJUST:
        if (by_guest)
            cpu->tsc_offset += value - cpu->tsc_adjust;
        cpu->tsc_adjust = value;
        atomic_fetch_or(&cpu->attention, SOFT_LOOK_INTERRUPT);
        return SOFT_MSR_DONE;
    case MSR_EFER: return set_efer(cpu, value, by_guest);
    case MSR_PAT:
        if (!are_memory_types(value, true))
            return SOFT_MSR_FAULT;
        cpu->pat = value;
        return SOFT_MSR_DONE;
    case MSR_PRED_CMD: return value <= 1 ? SOFT_MSR_DONE : SOFT_MSR_FAULT; /* IBPB: nothing to do */
    case MSR_FEATURE: /* the lock, and no VMX (SDM vol. 4, table 2-2) */
        if (value > 1 || (by_guest && (cpu->feature_control & 1) != 0))
            return SOFT_MSR_FAULT;
        cpu->feature_control = value;
        return SOFT_MSR_DONE;
    case MSR_XSS: return value == 0 ? SOFT_MSR_DONE : SOFT_MSR_FAULT;
    case MSR_BIOS_SIGN:
    case 0x401: return value == 0 || index == MSR_BIOS_SIGN ? SOFT_MSR_DONE : SOFT_MSR_FAULT;
    /* Read-only; but what the guest has been told before it came here stays true. */
    case MSR_ARCH_CAPABILITIES:
        if (by_guest)
            return SOFT_MSR_FAULT;
        cpu->arch_capabilities = value;
        return SOFT_MSR_DONE;
    case MSR_PLATFORM_INFO:
        if (by_guest || (value & ~PLATFORM_CPUID_FAULTING) != 0)
            return SOFT_MSR_FAULT;
        cpu->platform_info = value;
        return SOFT_MSR_DONE;
    case MSR_MTRR_CAP:
    case MSR_PLATFORM:
    case MSR_MCG_CAP: return SOFT_MSR_FAULT; /* read-only */
    default: return SOFT_MSR_UNKNOWN;
    }
}
