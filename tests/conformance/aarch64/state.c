/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: registers of all kinds, seen by the VMM and by the guest. */
#include "arm.h"

#include <stdlib.h>
#include <string.h>

#define DONE  "movz x9, #0xbf00, lsl #16; str x3, [x9];"
#define AGAIN "2: b 2b;"

/* One line of assembly for each of 32 registers, \n in it. */
#define FOR_32(line)                                                                         \
    "\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28," \
    "29,30,31\n" line "\n.endr\n"
#define FOR_16(line) "\n.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" line "\n.endr\n"

/* ---- vectors ---- */

VISOR_GUEST_ASM(complement, FOR_32("mvn v\\n\\().16b, v\\n\\().16b") "mrs x3, fpcr; mrs x4, fpsr;"
                                                                     "str x4, [x0];" DONE AGAIN);

CASE(state, vectors, "V0 to V31, FPCR and FPSR, both ways and one by one")
{
    visor_aarch64_fpsimd set = {.fpcr = 0x01c00000, .fpsr = 0x08000011}, got;
    uint64_t one[2];

    arm_start(g, &(struct arm_setup){.code = &complement, .x = {guest_data}}, NULL, NULL);
    for (unsigned i = 0; i < 32; i++) {
        set.v[i][0] = 0x0101010101010101u * i;
        set.v[i][1] = 0x1020304050607080u + i;
    }
    CHECK_OK(visor_aarch64_set_fpsimd(g->vcpu, &set));
    CHECK_OK(visor_aarch64_get_fpsimd(&got, g->vcpu));
    CHECK_BYTES(&got, &set, sizeof(set));
    CHECK_EQ(GUEST_FINISH(g), set.fpcr);
    CHECK_EQ(peek(g, guest_data, 8), set.fpsr);
    CHECK_EQ(arm_reg(g->vcpu, VISOR_AARCH64_SYSREG(3, 3, 4, 4, 0)), set.fpcr);
    for (unsigned i = 0; i < 32; i++) {
        CHECK_OK(visor_aarch64_get_vector(one, g->vcpu, i));
        CHECK_EQ(one[0], ~set.v[i][0]);
        CHECK_EQ(one[1], ~set.v[i][1]);
    }
    one[0] = 7;
    CHECK_OK(visor_aarch64_set_vector(g->vcpu, 31, one));
    CHECK_OK(visor_aarch64_get_fpsimd(&got, g->vcpu));
    CHECK_EQ(got.v[31][0], 7);
    CHECK_EQ(got.v[30][0], ~set.v[30][0]);
    CHECK_ERROR(visor_aarch64_get_vector(one, g->vcpu, 32), EINVAL);
    CHECK_ERROR(visor_aarch64_set_vector(g->vcpu, 32, one), EINVAL);
}

/* ---- SVE ---- */

#define SVE        "\n.arch_extension sve\n"
#define VECTOR_MAX 256u
#define IMAGE_MAX  (32 * VECTOR_MAX + 17 * VECTOR_MAX / 8)
#define IMAGE(vl)  (32 * (vl) + 17 * (vl) / 8)

/* At x0 the Z, behind them the P registers; result: bytes of a vector. */
VISOR_GUEST_ASM(store_all,
                SVE FOR_32("str z\\n, [x0, #\\n, mul vl]") "rdvl x3, #1;"
                                                           "add x0, x0, x3, lsl #5;" FOR_16(
                                                               "str p\\n, [x0, #\\n, mul vl]")
                                                               DONE AGAIN);
/* z5 = x2 in all elements, p3 all, and back again. */
VISOR_GUEST_ASM(change, SVE "1: mov z5.d, x2; ptrue p3.b; rdvl x3, #1;" DONE "b 1b");

static void sve_start(struct guest *g, const struct code *code, uint32_t lengths)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;

    NEED(g, AARCH64_SVE);
    config.sve = VISOR_ON;
    config.sve_lengths = lengths;
    arm_start(g, &(struct arm_setup){.code = code, .x = {guest_data, 0, 0x5a5a}}, NULL, &config);
    arm_set_reg(g->vcpu, ARM_CPACR_EL1, 3u << 20 | 3u << 16);
    /* ZCR_EL1: the longest that there is. */
    arm_set_reg(g->vcpu, VISOR_AARCH64_SYSREG(3, 0, 1, 2, 0), 15);
}

/* Every byte its own; an FFR that can be. */
static uint32_t sve_fill(uint8_t image[IMAGE_MAX], uint32_t vl)
{
    for (uint32_t i = 0; i < IMAGE(vl); i++)
        image[i] = (uint8_t)(i * 7 + i / 256);
    memset(image + IMAGE(vl) - vl / 8, 0xff, vl / 8);
    return IMAGE(vl);
}

CASE(state, sve, "all of Z, P and FFR, both ways; V registers are their lower parts")
{
    uint8_t image[IMAGE_MAX], got[IMAGE_MAX];
    uint32_t vl, size;
    uint64_t v[2];

    sve_start(g, &change, 0);
    vl = (uint32_t)visor_hypervisor_cap(g->hv, VISOR_CAP_AARCH64_SVE) / 8;
    CHECK(vl >= 16 && vl <= VECTOR_MAX);
    CHECK_EQ(GUEST_FINISH(g), vl);
    CHECK_EQ(CHECK_OK(visor_aarch64_get_sve(NULL, 0, g->vcpu)), IMAGE(vl));
    CHECK_EQ(CHECK_OK(visor_aarch64_get_sve(got, sizeof(got), g->vcpu)), IMAGE(vl));
    for (uint32_t i = 0; i < vl; i += 8)
        CHECK_BYTES(got + 5 * vl + i, "\x5a\x5a\0\0\0\0\0\0", 8);
    for (uint32_t i = 0; i < vl / 8; i++)
        CHECK_EQ(got[32 * vl + 3 * vl / 8 + i], 0xff);

    size = sve_fill(image, vl);
    CHECK_OK(visor_aarch64_set_sve(g->vcpu, image, size));
    CHECK_OK(visor_aarch64_get_sve(got, sizeof(got), g->vcpu));
    CHECK_BYTES(got, image, size);
    arm_restart(g, g->vcpu, &(struct arm_setup){.code = &store_all, .x = {guest_data}});
    CHECK_EQ(GUEST_FINISH(g), vl);
    CHECK_OK(visor_memory_read(got, g->memory, guest_data, size - vl / 8));
    CHECK_BYTES(got, image, size - vl / 8);

    CHECK_OK(visor_aarch64_get_vector(v, g->vcpu, 9));
    CHECK_BYTES(v, image + 9 * vl, 16);
    CHECK_OK(visor_aarch64_set_vector(g->vcpu, 9, v));
    CHECK_OK(visor_aarch64_get_sve(got, sizeof(got), g->vcpu));
    memset(image + 9 * vl + 16, 0, vl - 16); /* what is above is cleared */
    CHECK_BYTES(got, image, size);
    CHECK_ERROR(visor_aarch64_set_sve(g->vcpu, image, size - 1), EMISMATCH);
}

CASE(state, sve_lengths, "a guest is given the shorter vectors only")
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    visor_aarch64_features features;

    sve_start(g, &change, 1);
    CHECK_EQ(GUEST_FINISH(g), 16);
    CHECK_EQ(CHECK_OK(visor_aarch64_get_sve(NULL, 0, g->vcpu)), IMAGE(16));
    CHECK_OK(visor_aarch64_get_features(&features, g->vcpu));
    CHECK_EQ(features.sve_lengths, 1);
    CHECK_EQ(features.bits & VISOR_AARCH64_HAS_SVE, VISOR_AARCH64_HAS_SVE);
    CHECK_OK(visor_aarch64_get_config(&config, g->vm));
    CHECK_EQ(config.sve_lengths, 1);
}

/* Z1 counts, in all its elements, as x3 does. */
VISOR_GUEST_ASM(count_vectors, SVE "3: add z1.d, z1.d, #1; add x3, x3, #1; b 3b");
VISOR_GUEST_ASM(compare_vectors,
                SVE "mov z2.d, x3; ptrue p1.d; cmpne p2.d, p1/z, z1.d, z2.d; cset x3, ne;"
                    "str z7, [x0];" DONE AGAIN);

/* Lets the guest count for a while; longer if a busy host gave it no time to. */
static void let_it_count(struct guest *g)
{
    const uint64_t before = arm_regs(g->vcpu).x[3];

    for (unsigned ms = 20; ms < 3000; ms *= 2) {
        kick_later(g->vcpu, ms);
        RUN_TO(g, KICKED);
        if (arm_regs(g->vcpu).x[3] > before)
            return;
    }
    FAIL("the guest has not counted on");
}

CASE(snapshot, vectors_at_work, "a guest that computes with vectors is resumed in a new VM")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    uint8_t image[IMAGE_MAX], got[IMAGE_MAX];
    uint32_t vl, size;
    struct guest other = {.hv = g->hv};
    visor_aarch64_regs regs;

    sve_start(g, &count_vectors, 0);
    NEED(g, SNAPSHOT);
    vl = (uint32_t)visor_hypervisor_cap(g->hv, VISOR_CAP_AARCH64_SVE) / 8;
    size = sve_fill(image, vl);
    memset(image + vl, 0, vl);
    CHECK_OK(visor_aarch64_set_sve(g->vcpu, image, size));
    let_it_count(g);
    CHECK_OK(visor_aarch64_get_sve(image, sizeof(image), g->vcpu));
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));

    sve_start(&other, &count_vectors, 0);
    CHECK_OK(visor_vm_restore(other.vm, &stream, NULL));
    CHECK_OK(visor_aarch64_get_sve(got, sizeof(got), other.vcpu));
    CHECK_BYTES(got, image, size);
    let_it_count(&other);
    regs = arm_regs(other.vcpu);
    /* Stopped between the two additions, the one is ahead of the other. */
    if (regs.pc == guest_code + 4)
        regs.x[3]++;
    guest_put_program(&other, other.vcpu, &compare_vectors);
    regs.pc = guest_code;
    regs.x[0] = guest_data;
    CHECK_OK(visor_aarch64_set_regs(other.vcpu, &regs));
    CHECK_EQ(GUEST_FINISH(&other), 0);
    CHECK_OK(visor_memory_read(got, other.memory, guest_data, vl));
    CHECK_BYTES(got, image + 7 * vl, vl);
    visor_vcpu_free(other.vcpu);
    visor_vm_free(other.vm);
    visor_memory_free(other.memory);
    buffer_free(&buffer);
}

CASE(snapshot, other_features, "vCPUs with other features refuse it, naming the feature")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    struct guest other = {.hv = g->hv};

    sve_start(g, &change, 0);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    config.sve = VISOR_OFF;
    arm_start(&other, &(struct arm_setup){.code = &change}, NULL, &config);
    CHECK_EQ(CHECK_OK(visor_aarch64_get_sve(NULL, 0, other.vcpu)), 0);
    CHECK_ERROR(visor_vm_restore(other.vm, &stream, NULL), EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "sve") != NULL);
    visor_vcpu_free(other.vcpu);
    visor_vm_free(other.vm);
    visor_memory_free(other.memory);
    buffer_free(&buffer);
}

/* ---- system registers ---- */

static const visor_reg *find(const visor_reg *regs, int count, uint32_t id)
{
    for (int i = 0; i < count; i++) {
        if (regs[i].id == id)
            return &regs[i];
    }
    return NULL;
}

/* What the guest reads is written one after another to x0. */
VISOR_GUEST_ASM(read_some, "mrs x3, tpidr_el0; str x3, [x0], #8; mrs x3, tpidrro_el0;"
                           "str x3, [x0], #8; mrs x3, tpidr_el1; str x3, [x0], #8;"
                           "mrs x3, contextidr_el1; str x3, [x0], #8; mrs x3, spsr_el1;"
                           "str x3, [x0], #8; mrs x3, elr_el1; str x3, [x0], #8;"
                           "mrs x3, vbar_el1; str x3, [x0], #8; mrs x3, cntv_cval_el0;"
                           "str x3, [x0], #8; mov x4, #0x1234; msr tpidr_el1, x4;"
                           "msr elr_el1, x4; mov x3, #0;" DONE AGAIN);

CASE(state, system_registers, "set by the VMM, read and set by the guest, one by one and as a list")
{
    const uint32_t ids[] = {ARM_TPIDR_EL0, ARM_TPIDRRO_EL0, ARM_TPIDR_EL1, ARM_CONTEXTIDR_EL1,
                            ARM_SPSR_EL1,  ARM_ELR_EL1,     ARM_VBAR_EL1,  ARM_CNTV_CVAL_EL0};
    const unsigned count = sizeof(ids) / sizeof(ids[0]);
    visor_reg *regs;
    int listed;

    arm_start(g, &(struct arm_setup){.code = &read_some, .x = {guest_data}}, NULL, NULL);
    for (unsigned i = 0; i < count; i++)
        arm_set_reg(g->vcpu, ids[i], 0x12340800u * (i + 1));
    CHECK_EQ(GUEST_FINISH(g), 0);
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(peek(g, guest_data + 8 * i, 8), 0x12340800u * (i + 1));

    listed = CHECK_OK(visor_aarch64_get_sysregs(NULL, 0, g->vcpu));
    note("%d system registers", listed);
    regs = calloc((size_t)listed, sizeof(*regs));
    CHECK(regs != NULL);
    CHECK_EQ(CHECK_OK(visor_aarch64_get_sysregs(regs, (size_t)listed, g->vcpu)), listed);
    for (int i = 1; i < listed; i++)
        CHECK(regs[i - 1].id < regs[i].id);
    for (unsigned i = 0; i < count; i++) {
        CHECK(find(regs, listed, ids[i]) != NULL);
        CHECK_EQ(find(regs, listed, ids[i])->value,
                 ids[i] == ARM_TPIDR_EL1 || ids[i] == ARM_ELR_EL1 ? 0x1234 : 0x12340800u * (i + 1));
    }
    CHECK(find(regs, listed, ARM_SP_EL1) != NULL);
    CHECK(find(regs, listed, ARM_MPIDR_EL1) != NULL);
    CHECK(find(regs, listed, ARM_CNTVCT_EL0) != NULL);
    /* All of them can be set to what they are. */
    CHECK_OK(visor_aarch64_set_sysregs(g->vcpu, regs, (size_t)listed));
    free(regs);
}

CASE(state, register_errors,
     "numbers that cannot be, registers that are not there, or not to be set")
{
    const visor_reg other = {ARM_MIDR_EL1, 0x12345678};
    uint64_t value;

    arm_start(g, &(struct arm_setup){.code = &read_some}, NULL, NULL);
    CHECK_ERROR(visor_aarch64_get_reg(&value, g->vcpu, 0x10000), EINVAL);
    CHECK_ERROR(visor_aarch64_get_reg(&value, g->vcpu, VISOR_AARCH64_PSTATE + 1), EINVAL);
    CHECK_ERROR(visor_aarch64_get_reg(&value, g->vcpu, VISOR_AARCH64_CCSIDR(32)), EINVAL);
    CHECK_ERROR(visor_aarch64_get_reg(&value, g->vcpu, VISOR_AARCH64_SYSREG(3, 7, 15, 15, 7)),
                ENOENT);
    CHECK_ERROR(visor_aarch64_get_reg(&value, g->vcpu, VISOR_AARCH64_FIRMWARE(0xffff)), ENOENT);
    CHECK_ERROR(visor_aarch64_set_reg(g->vcpu, ARM_MIDR_EL1, 0x12345678), EREFUSED);
    CHECK_ERROR(visor_aarch64_set_sysregs(g->vcpu, &other, 1), EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "S3_0_C0_C0_0") != NULL);
}

VISOR_GUEST_ASM(
    read_cache,
    "msr csselr_el1, x1; isb; mrs x3, ccsidr_el1; mrs x4, clidr_el1; str x4, [x0];" DONE AGAIN);

CASE(state, caches, "cache descriptions, by selector, and the one that is selected")
{
    visor_reg caches[32];
    int count;

    arm_start(g, &(struct arm_setup){.code = &read_cache}, NULL, NULL);
    count = CHECK_OK(visor_aarch64_get_caches(caches, 32, g->vcpu));
    CHECK(count >= 1 && count <= 32);
    for (int i = 0; i < count; i++) {
        const uint64_t selector = caches[i].id - VISOR_AARCH64_CCSIDR(0);

        arm_restart(g, g->vcpu,
                    &(struct arm_setup){.code = &read_cache, .x = {guest_data, selector}});
        CHECK_EQ(GUEST_FINISH(g), caches[i].value);
        CHECK_EQ(arm_reg(g->vcpu, ARM_CSSELR_EL1), selector);
        CHECK_EQ(arm_reg(g->vcpu, VISOR_AARCH64_SYSREG(3, 1, 0, 0, 0)), caches[i].value);
    }
    CHECK_OK(visor_aarch64_set_caches(g->vcpu, caches, (size_t)count));
}

CASE(state, firmware, "what the firmware tells the guest, as a list")
{
    visor_reg regs[64];
    int count;

    arm_start(g, &(struct arm_setup){.code = &read_cache}, NULL, NULL);
    count = CHECK_OK(visor_aarch64_get_firmware(regs, 64, g->vcpu));
    CHECK(count >= 1 && count <= 64);
    CHECK_EQ(regs[0].id, VISOR_AARCH64_PSCI_VERSION);
    CHECK_EQ(regs[0].value, arm_reg(g->vcpu, VISOR_AARCH64_PSCI_VERSION));
    CHECK_OK(visor_aarch64_set_firmware(g->vcpu, regs, (size_t)count));
    regs[0].value = 0x7fff0000;
    CHECK_ERROR(visor_aarch64_set_firmware(g->vcpu, regs, (size_t)count), EMISMATCH);
}

/* ---- exceptions from outside ---- */

VISOR_GUEST_ASM(unmask_serror, "msr daifclr, #4; isb; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(tell_syndrome, "mrs x3, esr_el1;" DONE AGAIN);

CASE(state, serror, "an SError that the VMM makes pending is taken when the guest lets it")
{
    visor_aarch64_events events = {.serror_pending = 1};

    arm_start(g, &(struct arm_setup){.code = &unmask_serror}, NULL, NULL);
    arm_set_vector(g, g->vcpu, 0x380, &tell_syndrome);
    CHECK_OK(visor_aarch64_set_events(g->vcpu, &events));
    CHECK_OK(visor_aarch64_get_events(&events, g->vcpu));
    CHECK_EQ(events.serror_pending, 1);
    CHECK_EQ(GUEST_FINISH(g) >> 26, 0x2f);
    CHECK_OK(visor_aarch64_get_events(&events, g->vcpu));
    CHECK_EQ(events.serror_pending, 0);
}

VISOR_GUEST_ASM(load_once, "ldr x5, [x0]; mov x3, #0;" DONE AGAIN);
VISOR_GUEST_ASM(load_pair_once, "ldp x5, x6, [x0]; mov x3, #0;" DONE AGAIN);

CASE(state, external_abort, "an access that the VMM does not answer, but aborts")
{
    const visor_aarch64_events events = {.external_abort_pending = 1};
    const struct code *const codes[] = {&load_once, &load_pair_once};

    for (unsigned i = 0; i < 2; i++) {
        struct arm_setup setup = {.code = codes[i], .x = {guest_hole, 0, 0, 0, 0, 0x55, 0x66}};

        if (i == 0)
            arm_start(g, &setup, NULL, NULL);
        else
            arm_restart(g, g->vcpu, &setup);
        arm_set_vector(g, g->vcpu, 0x200, &tell_syndrome);
        RUN_TO_MMIO_READ(g, guest_hole, 8, 0x99);
        CHECK_OK(visor_aarch64_set_events(g->vcpu, &events));
        CHECK_EQ(GUEST_FINISH(g) & 0xfc00003f, 0x25u << 26 | 0x10); /* at EL1; external */
        CHECK_EQ(arm_reg(g->vcpu, ARM_FAR_EL1), guest_hole);
        CHECK_EQ(arm_reg(g->vcpu, ARM_ELR_EL1), guest_code);
        CHECK_EQ(arm_regs(g->vcpu).x[5], 0x55);
    }
}
