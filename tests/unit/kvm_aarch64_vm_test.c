/* SPDX-License-Identifier: BSD-3-Clause */
/* What an AArch64 VM on KVM is made with, and its state, on kernels that no lab has. */
#include "unit.h"

#include "fake_kvm_aarch64.h"

static int never(struct kvm_run *run)
{
    (void)run;
    return -EFAULT;
}

static bool open_box(void)
{
    kernel.script = never;
    return box_open(NULL);
}

/* ---- addresses ---- */

TEST(width_of_addresses)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    fake_reset();
    kernel.caps[KVM_CAP_ARM_VM_IPA_SIZE] = 44;
    if (box_open(NULL)) {
        CHECK_INT(kernel.vm_type, 44);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_GPA_BITS), 44);
    }
    box_close();
    config.gpa_bits = 36;
    config.protection = VISOR_PROTECTED_NO_FIRMWARE;
    if (box_open(&config)) {
        CHECK_INT(kernel.vm_type, UINT64_C(1) << 31 | 36);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_GPA_BITS), 36);
    }
    visor_vm_free(box.vm);
    box.vm = NULL;
    config.gpa_bits = 31;
    CHECK_INT(visor_vm_create(&box.vm, box.hv, box.memory, &config), VISOR_EUNSUPPORTED);
    config.gpa_bits = 45;
    CHECK_INT(visor_vm_create(&box.vm, box.hv, box.memory, &config), VISOR_EUNSUPPORTED);
    CHECK(strstr(visor_error_last()->hint, "44") != NULL);
    box_close();
    /* A kernel that cannot be asked has 40 and nothing else. */
    fake_reset();
    if (box_open(NULL))
        CHECK_INT(kernel.vm_type, 0);
    visor_vm_free(box.vm);
    box.vm = NULL;
    config = (visor_vm_config)VISOR_VM_CONFIG_INIT;
    config.gpa_bits = 36;
    CHECK_INT(visor_vm_create(&box.vm, box.hv, box.memory, &config), VISOR_EUNSUPPORTED);
    box_close();
}

TEST(tags_of_pointers_are_not_the_kernels)
{
    visor_slot_config slot = VISOR_SLOT_CONFIG_INIT;
    size_t length = 2 * (size_t)sysconf(_SC_PAGESIZE);
    visor_mapping *mapping = NULL;
    uint32_t id;
    char *host = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    fake_reset();
    slot.gpa = 0x90000000;
    if (open_box()) {
        /* Arm's processors ignore the top byte, so this is as good a pointer as the other. */
        CHECK_OK(visor_mapping_create_borrowed(
            &mapping, (void *)((uintptr_t)host | (uintptr_t)0x5a << 56), length));
        CHECK_OK(visor_vm_add_slot(&id, box.vm, mapping, &slot));
        CHECK_INT(kernel.region.guest_phys_addr, 0x90000000);
        CHECK_INT(kernel.region.userspace_addr, (uintptr_t)host);
    }
    box_close();
    munmap(host, length);
}

/* ---- features ---- */

#define FEATURE(name) (1u << KVM_ARM_VCPU_##name)

TEST(a_poor_host_gives_the_least)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    visor_vcpu *second = NULL;

    fake_reset();
    if (open_box() && box_vcpu()) {
        CHECK_INT(kernel.init[1].features[0], FEATURE(PSCI_0_2));
        CHECK_OK(visor_vcpu_create(&second, box.vm, 1));
        CHECK_INT(kernel.init[1].features[0], FEATURE(PSCI_0_2) | FEATURE(POWER_OFF));
        CHECK_OK(visor_aarch64_get_config(&config, box.vm));
        CHECK_INT(config.pmu, VISOR_OFF);
        CHECK_INT(config.sve, VISOR_OFF);
        CHECK_INT(config.sve_lengths, 0);
        CHECK_INT(config.pauth, VISOR_OFF);
        CHECK_OK(visor_vm_seal(box.vm));
        CHECK_INT(kernel.attr_count, 0);
        visor_vcpu_free(second);
    }
    box_close();
}

static void rich_host(void)
{
    fake_reset();
    kernel.caps[KVM_CAP_ARM_PMU_V3] = kernel.caps[KVM_CAP_ARM_SVE] = 1;
    kernel.caps[KVM_CAP_ARM_PTRAUTH_ADDRESS] = kernel.caps[KVM_CAP_ARM_PTRAUTH_GENERIC] = 1;
    kernel.caps[KVM_CAP_ARM_EL2] = kernel.caps[KVM_CAP_ARM_MTE] = 1;
    kernel.caps[KVM_CAP_STEAL_TIME] = 1;
}

TEST(a_rich_host_gives_what_is_wanted)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    rich_host();
    config.mte = VISOR_ON;
    config.pauth = VISOR_OFF;
    config.sve_lengths = 3;
    config.stolen_time = VISOR_ON;
    config.stolen_time_gpa = GUEST_GPA;
    if (open_box()) {
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_AARCH64_SVE), 512);
        CHECK_OK(visor_aarch64_configure(box.vm, &config));
        CHECK_INT(kernel.enabled.cap, KVM_CAP_ARM_MTE);
        kernel.inits = 0;
        CHECK(box_vcpu());
        CHECK_INT(kernel.init[1].features[0], FEATURE(PSCI_0_2) | FEATURE(PMU_V3) | FEATURE(SVE));
        CHECK_INT(kernel.finalized, FEATURE(SVE));
        CHECK_INT(kernel.lengths, 3);
        CHECK_OK(visor_vm_seal(box.vm));
        /* The PMU has no interrupt where there is no chip to wire it to. */
        CHECK_INT(kernel.attr_count, 2);
        CHECK_INT(kernel.attrs[0].group, KVM_ARM_VCPU_PMU_V3_CTRL);
        CHECK_INT(kernel.attrs[0].attr, KVM_ARM_VCPU_PMU_V3_INIT);
        CHECK_INT(kernel.attrs[1].group, KVM_ARM_VCPU_PVTIME_CTRL);
        CHECK_INT(kernel.attrs[1].value, GUEST_GPA);
        CHECK_OK(visor_vcpu_reset(box.vcpu));
        CHECK_INT(kernel.inits, 2);
        CHECK_INT(kernel.init[1].features[0], kernel.init[0].features[0]);
    }
    box_close();
}

static void refused(void (*host)(void), const visor_aarch64_config *config)
{
    host();
    if (open_box()) {
        CHECK_INT(visor_aarch64_configure(box.vm, config), VISOR_EUNSUPPORTED);
        CHECK(visor_error_last()->hint[0] != '\0');
    }
    box_close();
}

TEST(what_the_host_lacks_is_an_error_of_its_own)
{
    const visor_aarch64_config none = VISOR_AARCH64_CONFIG_INIT;
    visor_aarch64_config config = none;

    config.sve = VISOR_ON;
    refused(fake_reset, &config);
    config = none;
    config.pmu = VISOR_ON;
    refused(fake_reset, &config);
    config = none;
    config.pauth = VISOR_ON;
    refused(fake_reset, &config);
    config = none;
    config.mte = VISOR_ON;
    refused(fake_reset, &config);
    config = none;
    config.stolen_time = VISOR_ON;
    config.stolen_time_gpa = GUEST_GPA;
    refused(fake_reset, &config);
    config = none;
    config.el2 = VISOR_ON;
    refused(fake_reset, &config);
    refused(rich_host, &config); /* has no GIC here */
    CHECK(strstr(visor_error_last()->detail, "GIC") != NULL);
    /* The host has 128, 256 and 512 bits, and only the longest can be left out. */
    config = none;
    config.sve = VISOR_ON;
    config.sve_lengths = 8;
    refused(rich_host, &config);
    config.sve_lengths = 4;
    refused(rich_host, &config);
    CHECK(strstr(visor_error_last()->hint, "0xb") != NULL);
}

/* ---- lists of registers ---- */

TEST(lists_have_any_length)
{
    static visor_reg regs[REGS];
    int count;

    fake_reset();
    /* Backwards, which is not the order that a list has to have. */
    for (uint64_t i = 2000; i > 0; i--)
        fake_add(0x6030000000138000 + i, i);
    fake_add(0x6020000000110002, 0x7001);
    fake_add(0x6030000000140000, 0x10001);
    fake_add(0x6030000000160001, 3);
    if (open_box() && box_vcpu()) {
        count = visor_aarch64_get_sysregs(regs, REGS, box.vcpu);
        CHECK_INT(count, 2000 + 5);
        for (int i = 1; i < count; i++)
            CHECK(regs[i - 1].id < regs[i].id);
        CHECK_INT(regs[0].id, 0x8001);
        CHECK_INT(regs[0].value, 1);
        CHECK_INT(visor_aarch64_get_sysregs(NULL, 0, box.vcpu), count);
        CHECK_INT(visor_aarch64_get_caches(regs, REGS, box.vcpu), 1);
        CHECK_INT(regs[0].id, VISOR_AARCH64_CCSIDR(2));
        CHECK_INT(visor_aarch64_get_firmware(regs, REGS, box.vcpu), 2);
        CHECK_INT(regs[0].id, VISOR_AARCH64_PSCI_VERSION);
        CHECK_INT(regs[1].id, VISOR_AARCH64_FIRMWARE(0x10001));
    }
    box_close();
}

TEST(a_list_that_does_not_fit_names_the_register)
{
    visor_reg regs[2] = {{0xc005, 0x80000000}, {0xc080, 0x30c50838}};

    fake_reset();
    fake_add(0x603000000013c005, 0x80000000);
    fake_reg(0x603000000013c005)->fixed = true;
    if (open_box() && box_vcpu()) {
        CHECK_OK(visor_aarch64_set_sysregs(box.vcpu, regs, 2)); /* the first has its value */
        CHECK_INT(fake_value(0x603000000013c080), 0x30c50838);
        regs[0].value = 0x80000001;
        CHECK_INT(visor_aarch64_set_sysregs(box.vcpu, regs, 2), VISOR_EMISMATCH);
        CHECK(strstr(visor_error_last()->detail, "S3_0_C0_C0_5") != NULL);
        regs[0].id = 0xc006;
        CHECK_INT(visor_aarch64_set_sysregs(box.vcpu, regs, 2), VISOR_EMISMATCH);
        CHECK(strstr(visor_error_last()->detail, "S3_0_C0_C0_6") != NULL);
        regs[0].id = VISOR_AARCH64_PC;
        CHECK_INT(visor_aarch64_set_sysregs(box.vcpu, regs, 2), VISOR_EINVAL);
    }
    box_close();
}

TEST(registers_have_their_widths)
{
    uint64_t value = 0;

    fake_reset();
    fake_add(0x60200000001000d5, 0xffffffff01000000); /* FPCR: 32 bits */
    fake_add(0x603000000013d000, 2);                  /* CSSELR_EL1 */
    fake_add(0x6020000000110002, 0x7001);
    fake_reg(0x6020000000110002)->fixed = true;
    if (open_box() && box_vcpu()) {
        CHECK_OK(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_SYSREG(3, 3, 4, 4, 0)));
        CHECK_INT(value, 0x1000000);
        CHECK_INT(
            visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_SYSREG(3, 3, 4, 4, 0), UINT64_C(1) << 32),
            VISOR_EREFUSED);
        /* CCSIDR_EL1 is the one that CSSELR_EL1 selects. */
        CHECK_OK(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_SYSREG(3, 1, 0, 0, 0)));
        CHECK_INT(value, 0x7001);
        CHECK_INT(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_CCSIDR(2), 1), VISOR_EREFUSED);
        CHECK_INT(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_CCSIDR(3)), VISOR_ENOENT);
    }
    box_close();
}

/* ---- what the whole VM has ---- */

TEST(hypercalls_are_filtered)
{
    fake_reset();
    if (open_box()) {
        CHECK(visor_vm_cap(box.vm, VISOR_CAP_HYPERCALLS) > 0);
        CHECK_OK(visor_vm_enable_hypercalls(box.vm, 0x84000050, 16));
        CHECK_INT(kernel.filter.base, 0x84000050);
        CHECK_INT(kernel.filter.nr_functions, 16);
        CHECK_INT(kernel.filter.action, KVM_SMCCC_FILTER_FWD_TO_USER);
        kernel.attr_error = -EBUSY;
        CHECK_INT(visor_vm_enable_hypercalls(box.vm, 0xc600003c, 1), VISOR_ESTATE);
        kernel.no_attrs = true;
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_HYPERCALLS), 0);
        CHECK_INT(visor_vm_enable_hypercalls(box.vm, 0xc600003c, 1), VISOR_EUNSUPPORTED);
    }
    box_close();
}

TEST(counter_offset)
{
    fake_reset();
    if (open_box()) {
        CHECK_INT(visor_aarch64_set_counter_offset(box.vm, 5), VISOR_EUNSUPPORTED);
        kernel.caps[KVM_CAP_COUNTER_OFFSET] = 1;
        CHECK_OK(visor_aarch64_set_counter_offset(box.vm, UINT64_C(1) << 40));
        CHECK_INT(kernel.offset.counter_offset, UINT64_C(1) << 40);
        CHECK_INT(kernel.offset.reserved, 0);
    }
    box_close();
}

TEST(inputs_and_outputs_without_a_chip)
{
    uint32_t outputs = 0;

    fake_reset();
    if (open_box() && box_vcpu()) {
        CHECK_OK(visor_aarch64_set_irq_input(box.vm, 0, false, true));
        CHECK_INT(kernel.line.irq, 0);
        CHECK_INT(kernel.line.level, 1);
        CHECK_OK(visor_aarch64_set_irq_input(box.vm, 0, true, false));
        CHECK_INT(kernel.line.irq, 1);
        CHECK_INT(visor_aarch64_outputs(&outputs, box.vcpu), VISOR_EUNSUPPORTED);
        kernel.caps[KVM_CAP_ARM_USER_IRQ] = 1;
        kernel.run->s.regs.device_irq_level = KVM_ARM_DEV_EL1_VTIMER | KVM_ARM_DEV_PMU;
        CHECK_OK(visor_aarch64_outputs(&outputs, box.vcpu));
        CHECK_INT(outputs, VISOR_AARCH64_OUTPUT_VIRTUAL_TIMER | VISOR_AARCH64_OUTPUT_PMU);
    }
    box_close();
}

TEST(tags_are_copied_until_all_are)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    uint8_t tags[768] = {0};

    rich_host();
    config.mte = VISOR_ON;
    if (open_box()) {
        CHECK_INT(visor_aarch64_get_tags(tags, box.vm, GUEST_GPA, 4096), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_aarch64_configure(box.vm, &config));
        CHECK_OK(visor_aarch64_get_tags(tags, box.vm, GUEST_GPA, 3 * 4096));
        CHECK_INT(kernel.tag_calls, 3);
        CHECK_INT(kernel.tags.guest_ipa, GUEST_GPA + 2 * 4096);
        CHECK_INT(kernel.tags.length, 4096);
        CHECK_INT(tags[0], 1);
        CHECK_INT(tags[767], 3);
        CHECK_OK(visor_aarch64_set_tags(box.vm, GUEST_GPA, 4096, tags));
        CHECK_INT(kernel.tags.flags, KVM_ARM_TAGS_TO_GUEST);
    }
    box_close();
}

UNIT_MAIN()
