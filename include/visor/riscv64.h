/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RISC-V guests (64 bits): what the VM has, registers, interrupts.
 *
 * Every structure that a snapshot holds has a fixed layout without hidden padding. All functions
 * return EUNSUPPORTED for a VM of another architecture. The guest runs in (virtual) supervisor mode;
 * SBI calls that the hypervisor does not serve leave as VISOR_EXIT_SBI.
 */
#ifndef VISOR_RISCV64_H
#define VISOR_RISCV64_H

#include <visor/base.h>
#include <visor/vcpu.h>
#include <visor/vm.h>

VISOR_BEGIN_DECLS

/* ---- what the VM has ---- */

/* The interrupt controller (Advanced Interrupt Architecture: APLIC and IMSICs) of a VM with
 * VISOR_IRQCHIP_KERNEL. An address of 0 stands for the default that is named here. */
typedef struct visor_riscv_config {
    uint32_t size;
    uint32_t vcpu_count;   /* of the VM: hart index bits and the default of aplic_gpa follow; 0: 8 */
    uint32_t source_count; /* wired interrupts of the APLIC, at most 1023; 0: 64 */
    uint32_t id_count;     /* identities of an IMSIC: 64 n - 1, at most 2047; 0: what the host has */
    uint64_t imsic_gpa;    /* 4 KiB for each vCPU, upwards, aligned to a power of two that is no less
                              than all of them. 0: 0x08000000 */
    uint64_t aplic_gpa;    /* 16 KiB, page aligned. 0: behind the IMSICs of vcpu_count vCPUs */
} visor_riscv_config;
#define VISOR_RISCV_CONFIG_INIT {.size = sizeof(visor_riscv_config)}

/*
 * Decides what the VM has. Once, before the first vCPU is created; otherwise the first
 * visor_vcpu_create() does it with VISOR_RISCV_CONFIG_INIT. ESTATE: too late. config may be NULL.
 *
 * vCPU 0 starts at once, the others wait for SBI's hart_start.
 */
VISOR_API int visor_riscv_configure(visor_vm *vm, const visor_riscv_config *config);
/* What was decided, no defaults left in it. out->size must be set. ESTATE before it was. */
VISOR_API int visor_riscv_get_config(visor_riscv_config *out, visor_vm *vm);

/* ---- registers ---- */

typedef enum visor_riscv_mode {
    VISOR_RISCV_USER = 0,
    VISOR_RISCV_SUPERVISOR = 1,
} visor_riscv_mode;

typedef struct visor_riscv_regs {
    uint64_t pc;
    uint64_t x[32]; /* x[0] reads as 0, and what is written to it is ignored */
    uint64_t mode;  /* visor_riscv_mode */
} visor_riscv_regs;
VISOR_API int visor_riscv_get_regs(visor_riscv_regs *out, visor_vcpu *vcpu);
VISOR_API int visor_riscv_set_regs(visor_vcpu *vcpu, const visor_riscv_regs *regs);

/* f0 to f31. With F but not D the upper halves are ones (NaN boxing). */
typedef struct visor_riscv_fp {
    uint64_t f[32];
    uint64_t fcsr;
} visor_riscv_fp;
VISOR_API int visor_riscv_get_fp(visor_riscv_fp *out, visor_vcpu *vcpu);
VISOR_API int visor_riscv_set_fp(visor_vcpu *vcpu, const visor_riscv_fp *fp);

/* The vector extension as an image: vstart, vl, vtype, vcsr, vlenb (8 bytes each), v0 to v31 (vlenb
 * bytes each). Returns its bytes; 0 without it. */
VISOR_API int visor_riscv_get_vector(void *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_riscv_set_vector(visor_vcpu *vcpu, const void *image, size_t length);

/* The vCPU's clock. frequency cannot be changed; it is the same for all vCPUs, and so is time. */
typedef struct visor_riscv_timer {
    uint64_t frequency; /* Hz of the time CSR */
    uint64_t time;      /* ticks */
    uint64_t compare;   /* the timer interrupt is due at this time, if armed */
    uint64_t armed;     /* 0 or 1 */
} visor_riscv_timer;
VISOR_API int visor_riscv_get_timer(visor_riscv_timer *out, visor_vcpu *vcpu);
VISOR_API int visor_riscv_set_timer(visor_vcpu *vcpu, const visor_riscv_timer *timer);

/*
 * The number of a single register: a group and an index in it.
 *
 *  CONFIG   what the hart is: see the constants
 *  CORE     0: pc; 1 to 31: x1 to x31; 32: mode
 *  CSR      the CSR's number (Privileged Architecture, chapter 2); those of supervisor mode that
 *           the hypervisor keeps for the guest, and hviprio1 and hviprio2, which hold the priorities
 *           that the guest sees behind siselect (AIA, 6.3.3). 0x800000 + Linux's KVM's number: one
 *           that this library knows no number of
 *  TIMER    0 frequency, 1 time, 2 compare, 3 armed
 *  FP       0 to 31: f0 to f31; 32: fcsr
 *  ISA      1 if the hart has the extension; numbered as in Linux's KVM (KVM_RISCV_ISA_EXT_...),
 *           named by visor_riscv_isa_name()
 *  SBI      1 if SBI calls of the extension are served or passed on; numbered as in Linux's KVM
 *           (KVM_RISCV_SBI_EXT_...)
 *  SBI_STATE  state of SBI extensions, numbered as in Linux's KVM (KVM_REG_RISCV_SBI_STATE)
 */
enum visor_riscv_group {
    VISOR_RISCV_CONFIG = 1,
    VISOR_RISCV_CORE = 2,
    VISOR_RISCV_CSR = 3,
    VISOR_RISCV_TIMER = 4,
    VISOR_RISCV_FP = 5,
    VISOR_RISCV_ISA = 6,
    VISOR_RISCV_SBI = 7,
    VISOR_RISCV_SBI_STATE = 8,
};
#define VISOR_RISCV_REG(group, index) ((uint32_t)(group) << 24 | (uint32_t)(index))

/* Of the group CONFIG. */
enum visor_riscv_config_reg {
    VISOR_RISCV_CONFIG_ISA = 0, /* bit n: single-letter extension 'a' + n; as in the misa CSR */
    VISOR_RISCV_CONFIG_ZICBOM_BLOCK = 1, /* bytes */
    VISOR_RISCV_CONFIG_MVENDORID = 2,
    VISOR_RISCV_CONFIG_MARCHID = 3,
    VISOR_RISCV_CONFIG_MIMPID = 4,
    VISOR_RISCV_CONFIG_ZICBOZ_BLOCK = 5, /* bytes */
    VISOR_RISCV_CONFIG_SATP_MODE = 6,    /* the widest: 8 Sv39, 9 Sv48, 10 Sv57 */
    VISOR_RISCV_CONFIG_ZICBOP_BLOCK = 7, /* bytes */
};

/* One register. EINVAL: no such number. ENOENT: this vCPU does not have it. EREFUSED: it cannot be
 * set, or not to this value, or not any more. */
VISOR_API int visor_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
VISOR_API int visor_riscv_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);

/*
 * All registers of a group that the hypervisor keeps, for CONFIG, CSR, ISA, SBI and SBI_STATE. Fill
 * in up to capacity; returns how many there are. Setting skips the ones that have their value
 * already: what describes the hart can be set only before it runs.
 */
VISOR_API int visor_riscv_get_group(visor_reg *out, size_t capacity, visor_vcpu *vcpu,
                                    enum visor_riscv_group group);
VISOR_API int visor_riscv_set_group(visor_vcpu *vcpu, enum visor_riscv_group group,
                                    const visor_reg *regs, size_t count);

/* The name of an ISA extension in device trees, "zba"; NULL if this library knows none. */
VISOR_API const char *visor_riscv_isa_name(uint32_t index);

/* ---- interrupts ---- */

/*
 * visor_vm_set_irq() and irq events speak of sources of the APLIC, from 1 on, unless routed
 * otherwise. Groups of visor_irqchip_reg; offsets are those of the AIA specification.
 */
enum visor_riscv_aia_group {
    VISOR_AIA_APLIC = 1, /* 32-bit register at offset of the domain's area */
    VISOR_AIA_IMSIC = 2, /* register at offset = selector, of vcpu, 64 bits */
};

/* For a VM without an interrupt chip inside: the level of a vCPU's external interrupt. Any thread. */
VISOR_API int visor_riscv_set_irq_input(visor_vm *vm, uint32_t vcpu_id, bool level);

VISOR_END_DECLS

#endif
