/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AArch64 guests: what the VM has, registers, interrupts, time.
 *
 * Every structure that a snapshot holds has a fixed layout without hidden padding. All functions
 * return EUNSUPPORTED for a VM of another architecture. "Arm ARM" is the Arm Architecture Reference
 * Manual (DDI 0487), "GIC" the Generic Interrupt Controller specification (IHI 0069).
 */
#ifndef VISOR_AARCH64_H
#define VISOR_AARCH64_H

#include <visor/base.h>
#include <visor/vcpu.h>
#include <visor/vm.h>

VISOR_BEGIN_DECLS

/* ---- what the VM has ---- */

/*
 * Features and interrupt controller, the same for all vCPUs of a VM. VISOR_AUTO takes what the host
 * offers. An address of 0 stands for the default that is named here.
 */
typedef struct visor_aarch64_config {
    uint32_t size;
    visor_toggle pmu;         /* performance monitors, PMUv3 */
    visor_toggle sve;         /* Scalable Vector Extension */
    visor_toggle pauth;       /* pointer authentication */
    visor_toggle el2;         /* virtualization for the guest; needs GICv3 */
    visor_toggle mte;         /* memory tagging */
    visor_toggle stolen_time; /* the paravirtual stolen-time record (Arm DEN 0057) */
    visor_toggle its;         /* Interrupt Translation Service: MSIs; needs GICv3 */
    uint32_t gic_version;     /* 2 or 3; 0: 3 if the host has it, else 2 */
    uint32_t spi_count;       /* shared peripheral interrupts, a multiple of 32, at most 988; 0: 64 */
    uint32_t pmu_intid;       /* private interrupt of the PMU, INTID 16 to 31; 0: 23 */
    /* Bit n: vectors of (n + 1) * 128 bits. 0: all that the host has. */
    uint32_t sve_lengths;
    uint64_t gic_distributor_gpa;   /* 64 KiB; GICv2: 4 KiB. 0: 0x3fff0000 */
    /* 128 KiB for each vCPU, upwards from here. 0: just below the distributor, which must have
     * room there for all vCPUs */
    uint64_t gic_redistributor_gpa;
    uint64_t gic_cpu_gpa;           /* GICv2: CPU interface, 8 KiB. 0: 0x3ffd0000 */
    uint64_t gic_its_gpa;           /* 128 KiB. 0: 0x40000000 */
    /* 64 bytes for each vCPU, inside guest memory, 64-byte aligned. Needed for stolen_time. */
    uint64_t stolen_time_gpa;
    uint32_t vcpu_count; /* of the VM, for the default of gic_redistributor_gpa; 0: 8 */
    uint32_t reserved;
} visor_aarch64_config;
#define VISOR_AARCH64_CONFIG_INIT                                                             \
    {                                                                                         \
        .size = sizeof(visor_aarch64_config), .pmu = VISOR_AUTO, .sve = VISOR_AUTO,           \
        .pauth = VISOR_AUTO, .its = VISOR_AUTO                                                \
    }

/*
 * Decides what the VM has. Once, before the first vCPU is created; otherwise the first
 * visor_vcpu_create() does it with VISOR_AARCH64_CONFIG_INIT. ESTATE: too late. EUNSUPPORTED: the
 * host lacks what is VISOR_ON, or the GIC version; the hint has the alternatives. EINVAL: makes no
 * sense (an odd address, an ITS without GICv3, ...). config may be NULL.
 *
 * vCPU 0 starts at once, the others wait for PSCI's CPU_ON; visor_vcpu_set_mp_state() changes that.
 */
VISOR_API int visor_aarch64_configure(visor_vm *vm, const visor_aarch64_config *config);
/*
 * What was decided: no VISOR_AUTO and no defaults are left in it. out->size must be set. ESTATE
 * before visor_aarch64_configure() and the first vCPU.
 */
VISOR_API int visor_aarch64_get_config(visor_aarch64_config *out, visor_vm *vm);

/* ---- where the guest starts ---- */

typedef struct visor_aarch64_boot {
    uint32_t size;
    uint32_t reserved;
    uint64_t entry_gpa;   /* the first instruction of vCPU 0 */
    uint64_t tree_gpa;    /* the area of the device tree: whole pages inside one region */
    uint64_t tree_length; /* bytes of the area, not of the tree in it */
} visor_aarch64_boot;
#define VISOR_AARCH64_BOOT_INIT {.size = sizeof(visor_aarch64_boot)}

/*
 * Tells the hypervisor where the guest starts and where its device tree is, which some want to know
 * before the first run (Geniezone, Gunyah, Halla); no effect on others. Once (ESTATE). It
 * does not replace setting the registers, unless VISOR_CAP_BOOT_CONTEXT says so.
 *
 * Where the hypervisor itself reads the tree (Gunyah), what it wants to find is added to the tree in
 * guest memory when the first vCPU runs, which needs up to 4 KiB of room behind it (ELIMIT) and an interrupt-parent at its
 * root; an area that begins with zeros receives a tree with the least that it takes. Then entry and
 * tree have to be in the same region (EINVAL).
 */
VISOR_API int visor_aarch64_set_boot(visor_vm *vm, const visor_aarch64_boot *boot);

/* ---- registers ---- */

/* SP is SP_EL0, whatever PSTATE selects; SP_EL1 is a system register. */
typedef struct visor_aarch64_regs {
    uint64_t x[31];
    uint64_t sp, pc, pstate;
} visor_aarch64_regs;
VISOR_API int visor_aarch64_get_regs(visor_aarch64_regs *out, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_regs(visor_vcpu *vcpu, const visor_aarch64_regs *regs);

/* V0 to V31, [0] the low half; with SVE the low 128 bits of Z0 to Z31 (setting clears the rest). */
typedef struct visor_aarch64_fpsimd {
    uint64_t v[32][2];
    uint32_t fpsr, fpcr;
} visor_aarch64_fpsimd;
VISOR_API int visor_aarch64_get_fpsimd(visor_aarch64_fpsimd *out, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_fpsimd(visor_vcpu *vcpu, const visor_aarch64_fpsimd *fpsimd);

/*
 * The number of a single register:
 *  - a system register is the 16 bits of its MRS/MSR encoding (Arm ARM, C5.1.3),
 *    op0 << 14 | op1 << 11 | CRn << 7 | CRm << 3 | op2;
 *  - a CCSIDR_EL1 is named by the CSSELR_EL1 value that selects it. As a system register, CCSIDR_EL1
 *    is the one that the vCPU's CSSELR_EL1 selects now;
 *  - firmware: what the hypervisor's own firmware (PSCI, SMCCC) tells the guest. 0 is the PSCI
 *    version, major << 16 | minor; the rest is numbered as in Linux's KVM (KVM_REG_ARM_FW and, from
 *    0x10000 on, KVM_REG_ARM_FW_FEAT_BMAP).
 */
#define VISOR_AARCH64_SYSREG(op0, op1, crn, crm, op2) \
    ((uint32_t)((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2)))
#define VISOR_AARCH64_X(n)        (UINT32_C(0x100000) + (n))
#define VISOR_AARCH64_SP          UINT32_C(0x10001f)
#define VISOR_AARCH64_PC          UINT32_C(0x100020)
#define VISOR_AARCH64_PSTATE      UINT32_C(0x100021)
#define VISOR_AARCH64_CCSIDR(sel) (UINT32_C(0x200000) + (sel))
#define VISOR_AARCH64_FIRMWARE(n) (UINT32_C(0x400000) + (n))
#define VISOR_AARCH64_PSCI_VERSION VISOR_AARCH64_FIRMWARE(0)

/* A system register's number from its fields; EINVAL if one is out of its range. */
VISOR_API int visor_aarch64_sysreg(uint32_t *out, unsigned op0, unsigned op1, unsigned crn,
                                   unsigned crm, unsigned op2);
/* One register. EINVAL: no such number. ENOENT: this vCPU does not have it. EREFUSED: it cannot be
 * set, or not to this value. */
VISOR_API int visor_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
VISOR_API int visor_aarch64_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
/* One of V0 to V31. */
VISOR_API int visor_aarch64_get_vector(uint64_t out[2], visor_vcpu *vcpu, unsigned n);
VISOR_API int visor_aarch64_set_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2]);

/*
 * All system registers that the hypervisor keeps, in ascending order; likewise the firmware's, and
 * the CCSIDRs. Fill in up to capacity; return how many there are. Setting skips the ones that have
 * their value already.
 */
VISOR_API int visor_aarch64_get_sysregs(visor_reg *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_sysregs(visor_vcpu *vcpu, const visor_reg *regs, size_t count);
VISOR_API int visor_aarch64_get_caches(visor_reg *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_caches(visor_vcpu *vcpu, const visor_reg *regs, size_t count);
VISOR_API int visor_aarch64_get_firmware(visor_reg *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_firmware(visor_vcpu *vcpu, const visor_reg *regs, size_t count);

/*
 * The whole SVE state as an image: Z0 to Z31, P0 to P15, FFR, each of the longest vector length of
 * the vCPU (a predicate has a bit for each byte of a vector), in that order without gaps. Returns
 * its bytes; 0 without SVE.
 */
VISOR_API int visor_aarch64_get_sve(void *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_sve(visor_vcpu *vcpu, const void *image, size_t length);

/* Exceptions on their way into the guest. */
typedef struct visor_aarch64_events {
    uint8_t serror_pending;
    uint8_t serror_has_esr;         /* serror_esr is valid: needs the RAS extension */
    /* To set only: a synchronous external abort on a data access, the one that an MMIO exit was
     * for, if there is one that has not been completed. */
    uint8_t external_abort_pending;
    uint8_t reserved[5];
    uint64_t serror_esr; /* the ISS of ESR_EL1 */
} visor_aarch64_events;
VISOR_API int visor_aarch64_get_events(visor_aarch64_events *out, visor_vcpu *vcpu);
VISOR_API int visor_aarch64_set_events(visor_vcpu *vcpu, const visor_aarch64_events *events);

/* What the vCPUs of a VM have, as snapshots hold and compare it. */
#define VISOR_AARCH64_HAS_PMU   (UINT32_C(1) << 0)
#define VISOR_AARCH64_HAS_SVE   (UINT32_C(1) << 1)
#define VISOR_AARCH64_HAS_PAUTH (UINT32_C(1) << 2)
#define VISOR_AARCH64_HAS_EL2   (UINT32_C(1) << 3)
#define VISOR_AARCH64_HAS_MTE   (UINT32_C(1) << 4)
typedef struct visor_aarch64_features {
    uint32_t bits;
    uint32_t sve_lengths; /* as in visor_aarch64_config */
} visor_aarch64_features;
VISOR_API int visor_aarch64_get_features(visor_aarch64_features *out, visor_vcpu *vcpu);

/* ---- interrupts ---- */

/*
 * visor_vm_set_irq() and irq events speak of SPIs: gsi n is INTID 32 + n unless routed otherwise.
 * Groups of visor_irqchip_reg; offsets are those of the GIC specification, values of registers are
 * 32 bits wide unless said otherwise. With a GICv2 the registers that each vCPU has of its own in the
 * distributor are those of vcpu, and there are no line levels: after a list has been set, an SPI
 * that is pending and not edge-triggered has a line that is high.
 */
enum visor_aarch64_gic_group {
    VISOR_GIC_DISTRIBUTOR = 1,   /* GICD_ at offset */
    VISOR_GIC_REDISTRIBUTOR = 2, /* GICR_ at offset, of vcpu: RD_base, then SGI_base at 0x10000 */
    VISOR_GIC_CPU = 3,           /* GICv3: ICC_ at its system register number, 64 bits. GICv2: GICC_ */
    VISOR_GIC_LEVELS = 4,        /* line levels of INTIDs offset ... offset + 31; PPIs of vcpu */
    VISOR_GIC_ITS = 5,           /* GITS_ at offset, 64 bits; its tables are in guest memory */
};

/* The level of a private peripheral interrupt, INTID 16 to 31, of one vCPU. */
VISOR_API int visor_aarch64_set_private_irq(visor_vm *vm, uint32_t vcpu_id, uint32_t intid,
                                            bool level);

/* For a VM without an interrupt chip inside: the level of a vCPU's IRQ or FIQ input. Any thread. */
VISOR_API int visor_aarch64_set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool fiq, bool level);
/* Levels of the outputs of what is inside, where the interrupt chip is not: changes give
 * VISOR_EXIT_INTR. */
#define VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER  (UINT32_C(1) << 0)
#define VISOR_AARCH64_OUTPUT_PHYSICAL_TIMER (UINT32_C(1) << 1)
#define VISOR_AARCH64_OUTPUT_PMU            (UINT32_C(1) << 2)
VISOR_API int visor_aarch64_outputs(uint32_t *out, visor_vcpu *vcpu);

/* ---- time, tags ---- */

/*
 * Counter ticks that are taken off both the virtual and the physical counter of the guest, for all
 * vCPUs: with it time that a VM spent suspended is hidden. From then on setting CNTVCT_EL0 or
 * CNTPCT_EL0 has no effect. EUNSUPPORTED unless VISOR_CAP_AARCH64_COUNTER_OFFSET.
 */
VISOR_API int visor_aarch64_set_counter_offset(visor_vm *vm, uint64_t ticks);

/*
 * Reads or writes the tags of guest memory, one byte for each 16 bytes of it; gpa and length are
 * page aligned, tags holds length / 16 bytes. EUNSUPPORTED without MTE.
 */
VISOR_API int visor_aarch64_get_tags(uint8_t *tags, visor_vm *vm, uint64_t gpa, uint64_t length);
VISOR_API int visor_aarch64_set_tags(visor_vm *vm, uint64_t gpa, uint64_t length,
                                     const uint8_t *tags);

VISOR_END_DECLS

#endif
