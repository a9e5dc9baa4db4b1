/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every piece of x86-64 state is after a reset: SDM vol. 3A, table 10-1 "IA-32 and Intel 64
 * Processor States Following Power-up, Reset, or INIT", unless another source is given.
 */
#include <string.h>

#include "core/x86.h"

#define CR0_RESET  0x60000010u /* ET, NW, CD */
#define FCW_RESET  0x037fu     /* as FNINIT leaves it, which is how hypervisors start a vCPU */
#define MXCSR      0x1f80u
#define DR6_RESET  0xffff0ff0u
#define DR7_RESET  0x400u
#define XCR0_RESET 1u /* x87 (SDM vol. 1, 13.3) */

#define APIC_BASE_RESET 0xfee00800u /* enabled, xAPIC mode (SDM vol. 3A, 11.4.4) */
#define APIC_BASE_BSP   0x100u

/* ---- the public values ---- */

void visor_x86_reset_regs(visor_x86_regs *out)
{
    *out = (visor_x86_regs){.rip = 0xfff0, .rflags = 2};
}

void visor_x86_reset_sregs(visor_x86_sregs *out)
{
    const visor_x86_segment data = {.limit = 0xffff, .type = 3, .s = 1, .present = 1};
    const visor_x86_table table = {.limit = 0xffff};

    *out = (visor_x86_sregs){
        .cs = {.base = 0xffff0000,
               .limit = 0xffff,
               .selector = 0xf000,
               .type = 11,
               .s = 1,
               .present = 1},
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .ss = data,
        .tr = {.limit = 0xffff, .type = 11, .present = 1},
        .ldt = {.limit = 0xffff, .type = 2, .present = 1},
        .gdt = table,
        .idt = table,
        .cr0 = CR0_RESET,
    };
}

void visor_x86_reset_fpu(visor_x86_fpu *out)
{
    *out = (visor_x86_fpu){.fcw = FCW_RESET, .mxcsr = MXCSR};
}

/* ---- the pieces ---- */

/* Who starts running after a reset. */
static bool is_bsp(const visor_vcpu *vcpu)
{
    return vcpu->id == 0;
}

int visor__reset_x86_mp_state(void *value, size_t length, visor_vcpu *vcpu)
{
    /* Others than the first wait for INIT and SIPI, if there is a chip to send them. */
    uint32_t state = is_bsp(vcpu) || vcpu->vm->config.irqchip == VISOR_IRQCHIP_NONE
                         ? VISOR_MP_RUNNABLE
                         : VISOR_MP_UNINITIALIZED;

    memcpy(value, &state, length);
    return 1;
}

/* The processor stays the one it is. */
int visor__reset_x86_cpuid(void *value, size_t length, visor_vcpu *vcpu)
{
    (void)value;
    (void)length;
    (void)vcpu;
    return 0;
}

int visor__reset_x86_apic_base(void *value, size_t length, visor_vcpu *vcpu)
{
    uint64_t base = APIC_BASE_RESET | (is_bsp(vcpu) ? APIC_BASE_BSP : 0);

    memcpy(value, &base, length);
    return 1;
}

/* SDM vol. 3A, 11.4.7.1. Register n is at offset 16n. */
int visor__reset_x86_lapic(void *value, size_t length, visor_vcpu *vcpu)
{
    enum { ID = 0x2, VERSION = 0x3, DFR = 0xe, SVR = 0xf, LVT_CMCI = 0x2f };
    /* In the order in which VERSION[23:16], the index of the last one, counts them. */
    static const uint8_t lvt[] = {0x32, 0x35, 0x36, 0x37, 0x34, 0x33, LVT_CMCI};
    visor_x86_lapic *lapic = value;
    uint32_t version = lapic->regs[VERSION];

    memset(lapic, 0, length);
    lapic->regs[ID] = vcpu->id << 24;
    lapic->regs[VERSION] = version;
    lapic->regs[DFR] = UINT32_MAX;
    lapic->regs[SVR] = 0xff;
    for (size_t i = 0; i < sizeof(lvt) && i <= (version >> 16 & 0xff); i++)
        lapic->regs[lvt[i]] = 0x10000; /* masked */
    return 1;
}

int visor__reset_x86_regs(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_x86_regs *regs = value;
    visor_x86_cpuid_entry cpuid[VISOR__CPUID_MAX];
    int count = visor_x86_get_cpuid(cpuid, VISOR__CPUID_MAX, vcpu);

    (void)length;
    visor_x86_reset_regs(regs);
    /* EDX holds the processor's signature. */
    for (int i = 0; i < count && i < (int)VISOR__CPUID_MAX; i++) {
        if (cpuid[i].function == 1)
            regs->rdx = cpuid[i].eax;
    }
    return 1;
}

int visor__reset_x86_sregs(void *value, size_t length, visor_vcpu *vcpu)
{
    (void)length;
    (void)vcpu;
    visor_x86_reset_sregs(value);
    return 1;
}

int visor__reset_x86_debugregs(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_x86_debugregs *regs = value;

    (void)length;
    (void)vcpu;
    *regs = (visor_x86_debugregs){.dr6 = DR6_RESET, .dr7 = DR7_RESET};
    return 1;
}

int visor__reset_x86_xcrs(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_x86_xcrs *xcrs = value;

    (void)length;
    (void)vcpu;
    if (xcrs->count == 0)
        return 0;
    *xcrs = (visor_x86_xcrs){.count = 1, .xcr[0] = {.index = 0, .value = XCR0_RESET}};
    return 1;
}

int visor__reset_x86_fpu(void *value, size_t length, visor_vcpu *vcpu)
{
    (void)length;
    (void)vcpu;
    visor_x86_reset_fpu(value);
    return 1;
}

/*
 * XSTATE_BV (SDM vol. 1, 13.4.2) says that x87 and SSE are in the image, as FNINIT and a reset
 * leave them, and that all else is in its initial configuration. SSE must not be left out: Linux
 * takes MXCSR over only with it.
 */
int visor__reset_x86_xsave(void *value, size_t length, visor_vcpu *vcpu)
{
    enum { MXCSR_AT = 24, MXCSR_MASK_AT = 28, XSTATE_BV_AT = 512, X87_AND_SSE = 3 };
    const uint16_t fcw = FCW_RESET;
    const uint32_t mxcsr = MXCSR;
    uint8_t *image = value;
    uint8_t mask[4];

    (void)vcpu;
    if (length <= XSTATE_BV_AT)
        return 0;
    memcpy(mask, image + MXCSR_MASK_AT, sizeof(mask));
    memset(image, 0, length);
    memcpy(image, &fcw, sizeof(fcw));
    memcpy(image + MXCSR_AT, &mxcsr, sizeof(mxcsr));
    memcpy(image + MXCSR_MASK_AT, mask, sizeof(mask));
    image[XSTATE_BV_AT] = X87_AND_SSE;
    return 1;
}

/*
 * Values of MSRs: ranges, in any order. MSRs that are not here keep their value: they describe the
 * processor (MISC_ENABLE, ARCH_CAPABILITIES, ...) or are set with another piece (EFER, APIC_BASE).
 */
static const struct msr_reset {
    uint32_t first, count;
    uint64_t value;
} msr_resets[] = {
    {0x10, 1, 0},       /* TSC */
    {0x11, 2, 0},       /* kvmclock, first numbering (kvm/x86/msr.rst) */
    {0x3a, 2, 0},       /* FEATURE_CONTROL, TSC_ADJUST */
    {0x48, 1, 0},       /* SPEC_CTRL */
    {0x9e, 1, 0x30000}, /* SMBASE (SDM vol. 3C, 32.11) */
    {0xc1, 8, 0},       /* PMCn */
    {0x140, 1, 0},      /* MISC_FEATURES_ENABLES */
    {0x174, 3, 0},      /* SYSENTER_CS, _ESP, _EIP */
    {0x17a, 1, 0},      /* MCG_STATUS */
    {0x186, 8, 0},      /* PERFEVTSELn */
    {0x1c4, 2, 0},      /* XFD, XFD_ERR */
    {0x1d9, 1, 0},      /* DEBUGCTL */
    {0x200, 32, 0},     /* variable MTRRs */
    {0x250, 1, 0},      /* fixed MTRRs */
    {0x258, 2, 0},
    {0x268, 8, 0},
    {0x277, 1, 0x0007040600070406}, /* PAT (SDM vol. 3A, table 12-12) */
    {0x2ff, 1, 0},                  /* MTRR_DEF_TYPE */
    {0x309, 4, 0},                  /* FIXED_CTRn */
    {0x38d, 1, 0},                  /* FIXED_CTR_CTRL */
    {0x3f1, 1, 0},                  /* PEBS_ENABLE */
    {0x600, 1, 0},                  /* DS_AREA */
    {0x6a0, 1, 0},                  /* U_CET */
    {0x6a2, 1, 0},                  /* S_CET */
    {0x6a4, 5, 0},                  /* PLn_SSP, INTERRUPT_SSP_TABLE */
    {0x6e0, 1, 0},                  /* TSC_DEADLINE */
    {0xd90, 1, 0},                  /* BNDCFGS */
    {0xda0, 1, 0},                  /* XSS */
    {0x40000000, 2, 0},             /* Hyper-V (TLFS): GUEST_OS_ID, HYPERCALL */
    {0x40000021, 1, 0},             /* REFERENCE_TSC */
    {0x40000073, 1, 0},             /* VP_ASSIST_PAGE */
    {0x40000080, 1, 0},             /* SCONTROL */
    {0x40000082, 2, 0},             /* SIEFP, SIMP */
    {0x40000090, 16, 0x10000},      /* SINTn, masked */
    {0x400000b0, 8, 0},             /* STIMERn */
    {0x4b564d00, 5, 0},             /* KVM: clocks, async page faults, steal time, EOI */
    {0x4b564d05, 1, 1},             /* POLL_CONTROL: the host may poll */
    {0x4b564d06, 1, 0},             /* ASYNC_PF_INT */
    {0xc0000081, 4, 0},             /* STAR, LSTAR, CSTAR, FMASK */
    {0xc0000102, 2, 0},             /* KERNEL_GS_BASE, TSC_AUX */
    {0xc0010117, 1, 0},             /* VM_HSAVE_PA */
    {0xc0010200, 12, 0},            /* AMD PERF_CTLn, PERF_CTRn */
};

int visor__reset_x86_msrs(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_x86_msr *msrs = value;

    (void)vcpu;
    for (size_t i = 0; i < length / sizeof(*msrs); i++) {
        for (size_t k = 0; k < sizeof(msr_resets) / sizeof(msr_resets[0]); k++) {
            const struct msr_reset *reset = &msr_resets[k];

            if (msrs[i].index - reset->first < reset->count)
                msrs[i].value = reset->value;
        }
    }
    return 1;
}

/* Has been left before all else (visor__state_abandon()). */
int visor__reset_x86_nested(void *value, size_t length, visor_vcpu *vcpu)
{
    (void)value;
    (void)length;
    (void)vcpu;
    return 0;
}

/* Nothing is on its way. What the hypervisor does not report stays unreported. */
int visor__reset_x86_events(void *value, size_t length, visor_vcpu *vcpu)
{
    visor_x86_events *events = value;
    const visor_x86_events old = *events;

    (void)length;
    (void)vcpu;
    *events = (visor_x86_events){
        .exception.has_pending = old.exception.has_pending,
        .interrupt.has_shadow = old.interrupt.has_shadow,
        .nmi.has_pending = old.nmi.has_pending,
        .smi.has_smm = old.smi.has_smm,
        .triple_fault.has_pending = old.triple_fault.has_pending,
        .has_sipi_vector = old.has_sipi_vector,
    };
    return 1;
}
