/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's numbers of registers (api.rst 4.68, "RISC-V registers"; <asm/kvm.h>) and the public ones.
 *
 * Those of KVM name architecture, size, a group and an index in it. CSRs are in an order of its
 * own.
 */
#include "kvm/kvm_riscv.h"

#define U64(group, index) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | (uint64_t)(group) | (index))
#define U32(group, index) (KVM_REG_RISCV | KVM_REG_SIZE_U32 | (uint64_t)(group) | (index))

#define INDEX_MASK   UINT64_C(0xffffff) /* with the subtype */
#define SUBTYPE(n)   ((uint64_t)(n) << KVM_REG_RISCV_SUBTYPE_SHIFT)
#define FCSR         32u
#define CSR_NO_NAME  0x800000u /* and KVM's own number: see <visor/riscv64.h> */
#define GENERAL(n)   (SUBTYPE(0) | (n))
#define AIA(n)       (SUBTYPE(1) | (n)) /* Linux 6.4 */
#define SMSTATEEN(n) (SUBTYPE(2) | (n)) /* Linux 6.7 */

/*
 * The CSRs of KVM by their numbers (Privileged Architecture, chapter 2; AIA, chapters 2 and 6).
 * What the guest sees as its interrupt priorities behind siselect, KVM keeps as hviprio1 and
 * hviprio2.
 */
static const struct {
    uint32_t csr;
    uint64_t index;
} csrs[] = {
    {0x100, GENERAL(0)},   /* sstatus */
    {0x104, GENERAL(1)},   /* sie */
    {0x105, GENERAL(2)},   /* stvec */
    {0x140, GENERAL(3)},   /* sscratch */
    {0x141, GENERAL(4)},   /* sepc */
    {0x142, GENERAL(5)},   /* scause */
    {0x143, GENERAL(6)},   /* stval */
    {0x144, GENERAL(7)},   /* sip */
    {0x180, GENERAL(8)},   /* satp */
    {0x106, GENERAL(9)},   /* scounteren */
    {0x10a, GENERAL(10)},  /* senvcfg; Linux 6.7 */
    {0x150, AIA(0)},       /* siselect */
    {0x646, AIA(1)},       /* hviprio1 */
    {0x647, AIA(2)},       /* hviprio2 */
    {0x114, AIA(3)},       /* sieh, of RV32, as are the following */
    {0x154, AIA(4)},       /* siph */
    {0x656, AIA(5)},       /* hviprio1h */
    {0x657, AIA(6)},       /* hviprio2h */
    {0x10c, SMSTATEEN(0)}, /* sstateen0 */
};
#define CSRS (sizeof(csrs) / sizeof(csrs[0]))

static uint64_t csr_to_kvm(uint32_t csr)
{
    if ((csr & CSR_NO_NAME) != 0)
        return U64(KVM_REG_RISCV_CSR, csr & ~CSR_NO_NAME);
    for (size_t i = 0; i < CSRS; i++) {
        if (csrs[i].csr == csr)
            return U64(KVM_REG_RISCV_CSR, csrs[i].index);
    }
    return 0;
}

static uint32_t csr_from_kvm(uint64_t index)
{
    for (size_t i = 0; i < CSRS; i++) {
        if (csrs[i].index == index)
            return csrs[i].csr;
    }
    return CSR_NO_NAME | (uint32_t)index;
}

uint64_t kvm_riscv_reg_to_kvm(uint32_t reg, bool wide)
{
    uint32_t index = reg & 0xffffff;

    switch (reg >> 24) {
    case VISOR_RISCV_CONFIG: return U64(KVM_REG_RISCV_CONFIG, index);
    case VISOR_RISCV_CORE: return U64(KVM_REG_RISCV_CORE, index);
    case VISOR_RISCV_CSR: return csr_to_kvm(index);
    case VISOR_RISCV_TIMER: return U64(KVM_REG_RISCV_TIMER, index);
    case VISOR_RISCV_FP:
        if (!wide)
            return U32(KVM_REG_RISCV_FP_F, index);
        return index == FCSR ? U32(KVM_REG_RISCV_FP_D, index) : U64(KVM_REG_RISCV_FP_D, index);
    case VISOR_RISCV_ISA: return U64(KVM_REG_RISCV_ISA_EXT, index);
    case VISOR_RISCV_SBI: return U64(KVM_REG_RISCV_SBI_EXT, index);
    case VISOR_RISCV_SBI_STATE: return U64(KVM_REG_RISCV_SBI_STATE, index);
    default: return 0;
    }
}

uint32_t kvm_riscv_reg_from_kvm(uint64_t id)
{
    uint32_t index = (uint32_t)(id & INDEX_MASK);
    /* Of extensions there are masks of many of them beside. */
    bool single = (id & KVM_REG_RISCV_SUBTYPE_MASK) == 0;

    switch (id & KVM_REG_RISCV_TYPE_MASK) {
    case KVM_REG_RISCV_CONFIG: return VISOR_RISCV_REG(VISOR_RISCV_CONFIG, index);
    case KVM_REG_RISCV_CSR: return VISOR_RISCV_REG(VISOR_RISCV_CSR, csr_from_kvm(index));
    case KVM_REG_RISCV_ISA_EXT: return single ? VISOR_RISCV_REG(VISOR_RISCV_ISA, index) : 0;
    case KVM_REG_RISCV_SBI_EXT: return single ? VISOR_RISCV_REG(VISOR_RISCV_SBI, index) : 0;
    case KVM_REG_RISCV_SBI_STATE: return VISOR_RISCV_REG(VISOR_RISCV_SBI_STATE, index);
    default: return 0;
    }
}

size_t kvm_riscv_reg_size(uint64_t id)
{
    return (size_t)1 << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}
