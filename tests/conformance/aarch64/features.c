/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: what a VM is given and spared. */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "arm.h"

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

VISOR_GUEST_ASM(nothing, "mov x3, #0;" DONE AGAIN);

/* Pointer authentication: APA, API, GPA, GPI. */
#define PAUTH_FIELDS 0xff000ff0u

CASE(features, on_and_off, "what is off is not in the identification registers; what is on is")
{
    const struct {
        visor_cap cap;
        uint32_t bit, reg;
        uint64_t fields;
    } features[] = {
        {VISOR_CAP_AARCH64_PMU, VISOR_AARCH64_HAS_PMU, ARM_ID_AA64DFR0, 0xf00},
        {VISOR_CAP_AARCH64_SVE, VISOR_AARCH64_HAS_SVE, ARM_ID_AA64PFR0, 0xf00000000u},
        {VISOR_CAP_AARCH64_PAUTH, VISOR_AARCH64_HAS_PAUTH, ARM_ID_AA64ISAR1, PAUTH_FIELDS},
    };

    for (unsigned on = 0; on < 2; on++) {
        const visor_toggle wanted = on ? VISOR_AUTO : VISOR_OFF;
        visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
        struct guest one = {.hv = g->hv};
        visor_aarch64_features got;

        config.pmu = config.sve = config.pauth = wanted;
        arm_start(&one, &(struct arm_setup){.code = &nothing}, NULL, &config);
        CHECK_OK(visor_aarch64_get_features(&got, one.vcpu));
        for (unsigned i = 0; i < 3; i++) {
            const bool has = on && visor_hypervisor_cap(g->hv, features[i].cap) > 0;

            CHECK_EQ((got.bits & features[i].bit) != 0, has);
            CHECK_EQ((arm_reg(one.vcpu, features[i].reg) & features[i].fields) != 0, has);
        }
        CHECK_EQ(GUEST_FINISH(&one), 0);
        visor_vcpu_free(one.vcpu);
        visor_vm_free(one.vm);
        visor_memory_free(one.memory);
    }
}

CASE(features, refused, "what the host lacks is refused, with a hint; and nothing is decided twice")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    guest_create(g, NULL);
    config.el2 = VISOR_ON; /* needs a GIC, too */
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
    CHECK(visor_error_last()->hint[0] != '\0');
    config.el2 = VISOR_OFF;
    if (visor_vm_cap(g->vm, VISOR_CAP_AARCH64_MTE) <= 0) {
        config.mte = VISOR_ON;
        CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
        config.mte = VISOR_OFF;
    }
    config.sve = VISOR_ON;
    config.sve_lengths = 0x8000 | 1; /* the longest without what is between */
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), EUNSUPPORTED);
    config.sve = VISOR_AUTO;
    config.sve_lengths = 0;
    CHECK_OK(visor_aarch64_configure(g->vm, &config));
    CHECK_ERROR(visor_aarch64_configure(g->vm, &config), ESTATE);
}

CASE(features, gpa_bits, "a VM with narrower addresses than the host's")
{
    const int64_t most = visor_hypervisor_cap(g->hv, VISOR_CAP_GPA_BITS);
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_slot_config slot = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t id;

    config.gpa_bits = 36;
    if (most <= 36)
        SKIP("the host has no more than 36 bits");
    arm_start(g, &(struct arm_setup){.code = &nothing}, &config, NULL);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_GPA_BITS), 36);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_OK(visor_mapping_create(&mapping, page_size()));
    slot.gpa = 1ull << 36;
    CHECK_ERROR(visor_vm_add_slot(&id, g->vm, mapping, &slot), EOVERFLOW);
    slot.gpa = (1ull << 36) - page_size();
    CHECK_OK(visor_vm_add_slot(&id, g->vm, mapping, &slot));
}

/* ---- performance monitors ---- */

/* The cycle counter over a loop, twice. */
VISOR_GUEST_ASM(count_cycles, "mov x4, #1; lsl x5, x4, #31; msr pmcntenset_el0, x5;"
                              "msr pmccfiltr_el0, xzr; mov x4, #5; msr pmcr_el0, x4; isb;"
                              "mov x6, #20000; 1: subs x6, x6, #1; b.ne 1b; isb;"
                              "mrs x3, pmccntr_el0;" DONE AGAIN);

CASE(features, pmu, "the cycle counter counts")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    NEED(g, AARCH64_PMU);
    config.pmu = VISOR_ON;
    arm_start(g, &(struct arm_setup){.code = &count_cycles}, NULL, &config);
    CHECK(GUEST_FINISH(g) > 0);
}

VISOR_GUEST_ASM(tell_syndrome, "mrs x3, esr_el1;" DONE AGAIN);

CASE(features, no_pmu, "without performance monitors their registers are undefined")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    config.pmu = VISOR_OFF;
    arm_start(g, &(struct arm_setup){.code = &count_cycles}, NULL, &config);
    arm_set_vector(g, g->vcpu, 0x200, &tell_syndrome);
    CHECK_EQ(GUEST_FINISH(g) >> 26, 0);
}

/* ---- pointer authentication ---- */

VISOR_GUEST_ASM(sign, /* pacia1716 and autia1716, by their numbers as hints */
                "mov x17, x0; mov x16, x1; hint #8; mov x3, x17; hint #12; mov x4, x17;"
                "str x4, [x2];" DONE AGAIN);

CASE(features, pauth, "pointers are signed with the guest's key, and authenticated")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    struct arm_setup setup = {.code = &sign, .x = {0x12345678, 0x77, guest_data}};
    uint64_t with_one, with_other;

    NEED(g, AARCH64_PAUTH);
    config.pauth = VISOR_ON;
    arm_start(g, &setup, NULL, &config);
    arm_set_reg(g->vcpu, ARM_SCTLR_EL1, arm_reg(g->vcpu, ARM_SCTLR_EL1) | 1u << 31); /* EnIA */
    arm_set_reg(g->vcpu, ARM_APIAKEYLO_EL1, 0x1111111111111111u);
    with_one = GUEST_FINISH(g);
    CHECK(with_one != 0x12345678);
    CHECK_EQ(with_one & 0xffffffffu, 0x12345678);
    CHECK_EQ(peek(g, guest_data, 8), 0x12345678);
    arm_restart(g, g->vcpu, &setup);
    arm_set_reg(g->vcpu, ARM_APIAKEYLO_EL1, 0x2222222222222222u);
    with_other = GUEST_FINISH(g);
    CHECK(with_other != with_one);
}

/* ---- stolen time (Arm DEN 0057) ---- */

#define PV_TIME_FEATURES 0xc5000020u
#define PV_TIME_ST       0xc5000021u

VISOR_GUEST_ASM(call, "hvc #0; mov x3, x0;" DONE AGAIN);

static void *compete(void *argument)
{
    const atomic_bool *stop = argument;

    while (!atomic_load(stop))
        continue;
    return NULL;
}

CASE(features, stolen_time, "a guest is told of the time in which it did not run")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    const uint64_t record = guest_data + 0x1000;
    atomic_bool stop = false;
    pthread_t threads[4];

    NEED(g, AARCH64_STOLEN_TIME);
    config.stolen_time = VISOR_ON;
    config.stolen_time_gpa = record;
    arm_start(g, &(struct arm_setup){.code = &call, .x = {PV_TIME_FEATURES, PV_TIME_ST}}, NULL,
              &config);
    CHECK_EQ(GUEST_FINISH(g), 0);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &call, .x = {PV_TIME_ST}});
    CHECK_EQ(GUEST_FINISH(g), record);
    CHECK_EQ(peek(g, record, 8), 0); /* revision, attributes */
    for (unsigned i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, compete, &stop) != 0)
            FAIL("cannot make a thread");
    }
    guest_restart(g, g->vcpu, guest_spin, guest_data, 0, 0);
    for (unsigned i = 0; i < 50 && peek(g, record + 8, 8) == 0; i++) {
        kick_later(g->vcpu, 20);
        RUN_TO(g, KICKED);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    note("%u us", (unsigned)(peek(g, record + 8, 8) / 1000));
    CHECK(peek(g, record + 8, 8) > 0);
}

/* ---- tags ---- */

/* x3: the tag of x0, which is then given the tag of x1. */
VISOR_GUEST_ASM(use_tags, ".inst 0xd9600003; .inst 0xd9200801;" /* ldg x3, [x0]; stg x1, [x0] */
                DONE AGAIN);

CASE(features, memory_tags, "tags are seen and set by guest and VMM")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    uint8_t tags[256] = {0};

    NEED(g, AARCH64_MTE);
    config.mte = VISOR_ON;
    arm_start(g,
              &(struct arm_setup){.code = &use_tags,
                                  .x = {guest_data + 32, 0x0b00000000000000u | (guest_data + 32)}},
              NULL, &config);
    arm_set_reg(g->vcpu, ARM_MAIR_EL1, 0x00f0); /* normal, tagged */
    arm_set_reg(g->vcpu, ARM_SCTLR_EL1, arm_reg(g->vcpu, ARM_SCTLR_EL1) | 1ull << 43); /* ATA */
    tags[2] = 5;
    CHECK_OK(visor_aarch64_set_tags(g->vm, guest_data, 4096, tags));
    tags[2] = 0;
    CHECK_OK(visor_aarch64_get_tags(tags, g->vm, guest_data, 4096));
    CHECK_EQ(tags[2], 5);
    CHECK_EQ(GUEST_FINISH(g), 0x0500000000000000u);
    CHECK_OK(visor_aarch64_get_tags(tags, g->vm, guest_data, 4096));
    CHECK_EQ(tags[2], 0xb);
    CHECK_EQ(tags[1], 0);
    CHECK_ERROR(visor_aarch64_get_tags(tags, g->vm, guest_data + 16, 4096), EINVAL);
}

CASE(features, no_memory_tags, "without memory tagging there are no tags")
{
    uint8_t tags[256];

    arm_start(g, &(struct arm_setup){.code = &nothing}, NULL, NULL);
    CHECK_ERROR(visor_aarch64_get_tags(tags, g->vm, guest_data, 4096), EUNSUPPORTED);
    CHECK_ERROR(visor_aarch64_set_tags(g->vm, guest_data, 4096, tags), EUNSUPPORTED);
}

/* ---- what is not there ---- */

CASE(lacks, features, "features of the processor that are not there are refused, each by its name")
{
    static const struct {
        visor_cap cap;
        size_t offset;
        const char *word;
    } features[] = {
        {VISOR_CAP_AARCH64_PMU, offsetof(visor_aarch64_config, pmu), "monitor"},
        {VISOR_CAP_AARCH64_SVE, offsetof(visor_aarch64_config, sve), "vector"},
        {VISOR_CAP_AARCH64_PAUTH, offsetof(visor_aarch64_config, pauth), "authentication"},
        {VISOR_CAP_AARCH64_EL2, offsetof(visor_aarch64_config, el2), "virtualization"},
        {VISOR_CAP_AARCH64_MTE, offsetof(visor_aarch64_config, mte), "tag"},
        {VISOR_CAP_AARCH64_STOLEN_TIME, offsetof(visor_aarch64_config, stolen_time), "stolen"},
    };

    guest_create(g, NULL);
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

        if (visor_vm_cap(g->vm, features[i].cap) > 0)
            continue;
        config.stolen_time_gpa = guest_data;
        config.gic_version = 3; /* for EL2 */
        *(visor_toggle *)(void *)((char *)&config + features[i].offset) = VISOR_ON;
        CHECK_REFUSED(visor_aarch64_configure(g->vm, &config));
        if (strstr(visor_error_last()->detail, features[i].word) == NULL)
            FAIL("\"%s\" does not name it: %s", visor_error_last()->detail, features[i].word);
    }
    CHECK_OK(visor_aarch64_configure(g->vm, NULL));
    if (visor_vm_cap(g->vm, VISOR_CAP_AARCH64_COUNTER_OFFSET) <= 0)
        CHECK_REFUSED(visor_aarch64_set_counter_offset(g->vm, 0));
    if (visor_vm_cap(g->vm, VISOR_CAP_AARCH64_MTE) <= 0)
        CHECK(visor_aarch64_get_tags(&(uint8_t){0}, g->vm, guest_data, 16) < 0);
}

CASE(lacks, registers, "state that cannot be read or set is refused, and the guest goes on")
{
    visor_aarch64_regs regs;
    visor_aarch64_fpsimd fp = {0};
    visor_aarch64_events events = {0};
    visor_aarch64_features features;
    visor_reg list[4] = {{0}};
    uint64_t vector[2] = {0};

    arm_start(g, &(struct arm_setup){.code = &nothing}, NULL, NULL);
    if (visor_aarch64_get_regs(&regs, g->vcpu) < 0) {
        CHECK_REFUSED(visor_aarch64_get_regs(&regs, g->vcpu));
        CHECK_REFUSED(visor_aarch64_get_fpsimd(&fp, g->vcpu));
        CHECK_REFUSED(visor_aarch64_set_fpsimd(g->vcpu, &fp));
        CHECK_REFUSED(visor_aarch64_get_vector(vector, g->vcpu, 0));
        CHECK_REFUSED(visor_aarch64_set_vector(g->vcpu, 0, vector));
        CHECK_REFUSED(visor_aarch64_get_sysregs(list, 4, g->vcpu));
        CHECK_REFUSED(visor_aarch64_get_caches(list, 4, g->vcpu));
        CHECK_REFUSED(visor_aarch64_set_caches(g->vcpu, list, 1));
        CHECK_REFUSED(visor_aarch64_get_firmware(list, 4, g->vcpu));
        CHECK_REFUSED(visor_aarch64_set_firmware(g->vcpu, list, 1));
        CHECK_REFUSED(visor_aarch64_get_events(&events, g->vcpu));
        CHECK_REFUSED(visor_aarch64_set_events(g->vcpu, &events));
        CHECK_REFUSED(visor_aarch64_get_features(&features, g->vcpu));
        CHECK_REFUSED(visor_vcpu_reset(g->vcpu));
    }
    CHECK_EQ(GUEST_FINISH(g), 0);
}
