/* SPDX-License-Identifier: BSD-3-Clause */
/* KVM's numbers of AArch64 registers. They are the kernel's ABI, and stand here as numbers. */
#include "unit.h"

#include "kvm/kvm_aarch64.h"

#define SYSREG VISOR_AARCH64_SYSREG

static const struct {
    const char *name;
    uint32_t reg;
    uint64_t id;
} numbers[] = {
    {"X0", VISOR_AARCH64_X(0), 0x6030000000100000},
    {"X1", VISOR_AARCH64_X(1), 0x6030000000100002},
    {"X30", VISOR_AARCH64_X(30), 0x603000000010003c},
    {"SP", VISOR_AARCH64_SP, 0x603000000010003e},
    {"PC", VISOR_AARCH64_PC, 0x6030000000100040},
    {"PSTATE", VISOR_AARCH64_PSTATE, 0x6030000000100042},
    /* System registers that KVM keeps with these. */
    {"S3_4_C4_C1_0", SYSREG(3, 4, 4, 1, 0), 0x6030000000100044}, /* SP_EL1 */
    {"S3_0_C4_C0_1", SYSREG(3, 0, 4, 0, 1), 0x6030000000100046}, /* ELR_EL1 */
    {"S3_0_C4_C0_0", SYSREG(3, 0, 4, 0, 0), 0x6030000000100048}, /* SPSR_EL1 */
    {"S3_4_C4_C3_1", SYSREG(3, 4, 4, 3, 1), 0x603000000010004a}, /* SPSR_abt */
    {"S3_4_C4_C3_2", SYSREG(3, 4, 4, 3, 2), 0x603000000010004c}, /* SPSR_und */
    {"S3_4_C4_C3_0", SYSREG(3, 4, 4, 3, 0), 0x603000000010004e}, /* SPSR_irq */
    {"S3_4_C4_C3_3", SYSREG(3, 4, 4, 3, 3), 0x6030000000100050}, /* SPSR_fiq */
    {"S3_3_C4_C4_1", SYSREG(3, 3, 4, 4, 1), 0x60200000001000d4}, /* FPSR */
    {"S3_3_C4_C4_0", SYSREG(3, 3, 4, 4, 0), 0x60200000001000d5}, /* FPCR */
    /* All others by their encoding, */
    {"S3_0_C0_C0_5", SYSREG(3, 0, 0, 0, 5), 0x603000000013c005},   /* MPIDR_EL1 */
    {"S3_0_C1_C0_0", SYSREG(3, 0, 1, 0, 0), 0x603000000013c080},   /* SCTLR_EL1 */
    {"S2_0_C0_C0_5", SYSREG(2, 0, 0, 0, 5), 0x6030000000138005},   /* DBGBCR0_EL1 */
    {"S3_3_C14_C3_1", SYSREG(3, 3, 14, 3, 1), 0x603000000013df19}, /* CNTV_CTL_EL0 */
    {"S3_3_C14_C2_2", SYSREG(3, 3, 14, 2, 2), 0x603000000013df12}, /* CNTP_CVAL_EL0 */
    /* but for two, which have each other's. */
    {"S3_3_C14_C3_2", SYSREG(3, 3, 14, 3, 2), 0x603000000013df02}, /* CNTV_CVAL_EL0 */
    {"S3_3_C14_C0_2", SYSREG(3, 3, 14, 0, 2), 0x603000000013df1a}, /* CNTVCT_EL0 */
    {"CCSIDR_EL1[0]", VISOR_AARCH64_CCSIDR(0), 0x6020000000110000},
    {"CCSIDR_EL1[5]", VISOR_AARCH64_CCSIDR(5), 0x6020000000110005},
    {"firmware register 0x0", VISOR_AARCH64_PSCI_VERSION, 0x6030000000140000},
    {"firmware register 0x3", VISOR_AARCH64_FIRMWARE(3), 0x6030000000140003},
    {"firmware register 0x10002", VISOR_AARCH64_FIRMWARE(0x10002), 0x6030000000160002},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

TEST(numbers_are_the_kernels)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        char name[KVM_AARCH64_REG_NAME];

        if (!CHECK_INT(kvm_aarch64_reg_to_kvm(numbers[i].reg), numbers[i].id))
            printf("# it is %s\n", numbers[i].name);
        CHECK_STR(kvm_aarch64_reg_name(name, numbers[i].reg), numbers[i].name);
    }
}

static bool goes_round(uint32_t reg)
{
    uint32_t back = 0;

    return kvm_aarch64_reg_from_kvm(&back, kvm_aarch64_reg_to_kvm(reg)) && back == reg;
}

TEST(every_number_goes_round)
{
    uint32_t wrong = 0;

    for (uint32_t reg = 0; reg <= 0xffff; reg++)
        wrong += !goes_round(reg);
    for (uint32_t reg = VISOR_AARCH64_X(0); reg <= VISOR_AARCH64_PSTATE; reg++)
        wrong += !goes_round(reg);
    for (uint32_t n = 0; n < 32; n++)
        wrong += !goes_round(VISOR_AARCH64_CCSIDR(n));
    for (uint32_t n = 0; n <= 0x1ffff; n++)
        wrong += !goes_round(VISOR_AARCH64_FIRMWARE(n));
    CHECK_INT(wrong, 0);
}

TEST(no_two_have_the_same_number)
{
    const uint64_t cval = kvm_aarch64_reg_to_kvm(SYSREG(3, 3, 14, 3, 2));
    const uint64_t count = kvm_aarch64_reg_to_kvm(SYSREG(3, 3, 14, 0, 2));

    for (uint32_t reg = 0; reg <= 0xffff; reg++) {
        const uint64_t id = kvm_aarch64_reg_to_kvm(reg);

        CHECK(id != cval || reg == SYSREG(3, 3, 14, 3, 2));
        CHECK(id != count || reg == SYSREG(3, 3, 14, 0, 2));
    }
}

TEST(vectors_are_apart)
{
    uint32_t reg;

    CHECK_INT(kvm_aarch64_vector_to_kvm(0), 0x6040000000100054);
    CHECK_INT(kvm_aarch64_vector_to_kvm(31), 0x60400000001000d0);
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, kvm_aarch64_vector_to_kvm(0)));
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, kvm_aarch64_vector_to_kvm(31)));
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, KVM_REG_ARM64_SVE_ZREG(1, 0)));
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, KVM_REG_ARM64_SVE_VLS));
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, KVM_REG_X86 | 1));
    CHECK(!kvm_aarch64_reg_from_kvm(&reg, 0x6020000000110100)); /* another demultiplexer */
}

UNIT_MAIN()
