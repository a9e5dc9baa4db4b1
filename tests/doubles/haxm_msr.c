/* SPDX-License-Identifier: BSD-3-Clause */
/* MSRs as the driver of HAXM has them (handle_msr_read(), handle_msr_write()). */
#include "haxm_machine.h"

#define MSR_APIC_BASE     0x1bu
#define MSR_MTRR_CAP      0xfeu
#define MSR_MTRR_FIRST    0x200u
#define MSR_EFER          0xc0000080u
#define APIC_BASE_DEFAULT 0xfee00000u
#define APIC_BASE_ENABLE  0x800u
#define APIC_BASE_BSP     0x100u

/* The processor's own, as far as the driver lets them be reached. */
static bool is_processors(uint32_t index)
{
    switch (index) {
    case 0x10:                    /* TSC */
    case 0x174:                   /* SYSENTER_CS */
    case 0x175:                   /* SYSENTER_ESP */
    case 0x176:                   /* SYSENTER_EIP */
    case 0x277:                   /* PAT */
    case 0xc0000081:              /* STAR */
    case 0xc0000082:              /* LSTAR */
    case 0xc0000083:              /* CSTAR */
    case 0xc0000084:              /* SF_MASK */
    case 0xc0000100:              /* FS_BASE */
    case 0xc0000101:              /* GS_BASE */
    case 0xc0000102:              /* KERNEL_GS_BASE */
    case 0xc0000103: return true; /* TSC_AUX */
    default: return false;
    }
}

/* Kept and no more. */
static bool is_mtrr(uint32_t index)
{
    return (index >= 0x200 && index <= 0x213) || index == 0x250 || index == 0x258 ||
           index == 0x259 || (index >= 0x268 && index <= 0x26f) || index == 0x2ff;
}

static const struct {
    uint32_t index;
    uint64_t value;
    bool can_write; /* and nothing happens */
} constants[] = {
    {0x00, 0, false},                /* P5_MC_ADDR */
    {0x01, 0, false},                /* P5_MC_TYPE */
    {0x17, 0x18000000000000, false}, /* PLATFORM_ID */
    {0x2a, 0, true},                 /* EBC_HARD_POWERON */
    {0x2b, 0, true},                 /* EBC_SOFT_POWERON */
    {0x2c, 0, true},                 /* EBC_FREQUENCY_ID */
    {0x3a, 5, false},                /* FEATURE_CONTROL */
    {0x3f, 0, false},                /* THERM_DIODE_OFFSET */
    {0x8b, 0x67311111, true},        /* BIOS_SIGN_ID */
    {0xcd, 4, false},                /* FSB_FREQ */
    {0x11e, 0xbe702111, false},      /* BBL_CR_CTL3 */
    {0x179, 1, false},               /* MCG_CAP */
    {0x17a, 0, true},                /* MCG_STATUS */
    {0x17b, 3, false},               /* MCG_CTL */
    {0x1a0, 0x1800, true},           /* MISC_ENABLE */
    {0x1a2, 0x86791b00, false},      /* TEMP_TARGET */
    {0x1d9, 0, true},                /* DEBUGCTL */
    {0x345, 0, false},               /* PERF_CAPABILITIES */
    {0x400, 0, true},                /* MC0_CTL */
    {0x401, 0, true},                /* MC0_STATUS */
    {0x402, 0, true},                /* MC0_ADDR */
    {0x403, 0, true},                /* MC0_MISC */
};

static bool is_ignored(uint32_t index)
{
    return (index >= 0x280 && index <= 0x288) || (index >= 0x300 && index <= 0x3ff) ||
           (index >= 0xc1 && index <= 0xc4) || (index >= 0x186 && index <= 0x189);
}

void driver_msr_init(struct vcpu_double *v)
{
    visor_x86_msr tsc = {.index = 0x10, .value = 0};

    SOFT_OK(visor_x86_set_msrs(v->vcpu, &tsc, 1));
}

/* All but the processor's. */
void driver_msr_exits(visor_vm *vm)
{
    static const visor_x86_msr_range ranges[] = {{0x00, 0x10, true, true},
                                                 {0x11, 0x163, true, true},
                                                 {0x177, 0x100, true, true},
                                                 {0x278, 0x2d88, true, true},
                                                 {0x3000, 0x1000, true, true}};

    SOFT_OK(visor_x86_set_msr_exits(vm, ranges, sizeof(ranges) / sizeof(ranges[0]), true));
}

bool driver_msr_read(struct vcpu_double *v, uint32_t index, uint64_t *value)
{
    visor_x86_sregs sregs;

    *value = 0;
    if (index == MSR_EFER) {
        driver_sregs(v, &sregs);
        *value = sregs.efer;
        return true;
    }
    /* Bases of segments are in the registers that have not been taken over yet. */
    if ((index == 0xc0000100 || index == 0xc0000101) && v->dirty_sregs) {
        *value = index == 0xc0000100 ? v->sregs.fs.base : v->sregs.gs.base;
        return true;
    }
    if (is_processors(index))
        return visor_x86_get_msr(value, v->vcpu, index) == 0;
    if (index == MSR_APIC_BASE || index == MSR_MTRR_CAP) {
        *value = index == MSR_APIC_BASE ? v->apic_base : v->mtrr_cap;
        return true;
    }
    if (is_mtrr(index)) {
        *value = v->mtrr[index - MSR_MTRR_FIRST];
        return true;
    }
    for (unsigned i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        if (constants[i].index == index) {
            *value = constants[i].value;
            return true;
        }
    }
    return is_ignored(index);
}

static bool set_apic_base(struct vcpu_double *v, uint64_t value)
{
    if ((value & ~0xffffff900ull) != 0 || (value & 0xffffff000ull) != APIC_BASE_DEFAULT ||
        ((value & APIC_BASE_BSP) != 0 && v->id != 0))
        return false;
    v->apic_base = value;
    return true;
}

bool driver_msr_write(struct vcpu_double *v, uint32_t index, uint64_t value)
{
    if (index == MSR_EFER) {
        if ((value & ~0xd01ull) != 0)
            return false;
        driver_efer_set(v, value);
        return true;
    }
    if (is_processors(index)) {
        if ((index == 0xc0000100 || index == 0xc0000101) && !driver_sregs_flush(v))
            double_die("a segment's base is set in a state that no processor can be in");
        return visor_x86_set_msr(v->vcpu, index, value) == 0;
    }
    if (index == MSR_APIC_BASE)
        return set_apic_base(v, value);
    if (index == MSR_MTRR_CAP)
        v->mtrr_cap = value;
    if (is_mtrr(index))
        v->mtrr[index - MSR_MTRR_FIRST] = value;
    for (unsigned i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        if (constants[i].index == index)
            return constants[i].can_write;
    }
    /* BIOS_UPDT_TRIG can only be written. */
    return index == MSR_MTRR_CAP || is_mtrr(index) || is_ignored(index) || index == 0x79;
}
