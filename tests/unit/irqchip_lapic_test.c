/* SPDX-License-Identifier: BSD-3-Clause */
/* The local APIC: registers in both modes, priorities, messages in all delivery modes and to all
 * kinds of destinations, errors, start-up, state. Section numbers: SDM vol. 3A. */
#include <pthread.h>

#include "chips.h"

#define MASKED  0x10000u
#define LOGICAL 0x800u
#define ASSERT  0x4000u

/* Without the PIC's wire, and switched on. */
static bool create(struct chips *chips, size_t count)
{
    if (!chips_create(chips, false, NULL, count))
        return false;
    for (size_t i = 0; i < count; i++)
        apic_write(chips, i, 0x350, MASKED);
    apic_enable(chips);
    return true;
}

static void send(struct chips *chips, size_t from, uint32_t to, uint32_t command)
{
    apic_write(chips, from, 0x310, to);
    apic_write(chips, from, 0x300, command);
}

/* The vCPUs that have taken this vector, as a mask; all of them end it. */
static unsigned takers(struct chips *chips, int vector)
{
    unsigned mask = 0;

    for (size_t i = 0; i < chips->count; i++) {
        int is = take(chips, i);

        if (is < 0)
            continue;
        CHECK_INT(is, vector);
        mask |= 1u << i;
        visor__lapic_write_msr(chips->cpus[i].lapic, 0x80b, 0, true);
        if (visor__lapic_page(chips->cpus[i].lapic) != UINT64_MAX)
            eoi(chips, i);
    }
    return mask;
}

static unsigned with_pending(struct chips *chips, unsigned bits)
{
    unsigned mask = 0;

    for (size_t i = 0; i < chips->count; i++)
        mask |= (unsigned)(pending(chips, i) == bits) << i;
    return mask;
}

/* ---- registers ---- */

TEST(registers_after_power_up)
{
    static const struct {
        uint32_t offset, value;
    } expected[] = {
        {0x20, 0x01000000}, {0x30, 0x00050014}, {0x80, 0},       {0x90, 0},       {0xa0, 0},
        {0xd0, 0},          {0xe0, 0xffffffff}, {0xf0, 0xff},    {0x100, 0},      {0x180, 0},
        {0x200, 0},         {0x280, 0},         {0x300, 0},      {0x310, 0},      {0x320, MASKED},
        {0x330, MASKED},    {0x340, MASKED},    {0x350, MASKED}, {0x360, MASKED}, {0x370, MASKED},
        {0x380, 0},         {0x390, 0},         {0x3e0, 0},
    };
    struct chips chips;

    REQUIRE(chips_create(&chips, false, NULL, 2));
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (!CHECK_INT(apic_read(&chips, 1, expected[i].offset), expected[i].value))
            printf("#   at 0x%x\n", expected[i].offset);
    }
    CHECK_INT(apic_read(&chips, 0, 0x350), 0x700); /* of the bootstrap processor: the PIC's wire */
    CHECK_INT(msr_read(&chips, 0, 0x1b), 0xfee00900);
    CHECK_INT(msr_read(&chips, 1, 0x1b), 0xfee00800);
    chips_free(&chips);
}

TEST(what_can_be_written)
{
    static const struct {
        uint32_t offset, value;
    } expected[] = {
        {0x20, 0xff000000}, {0x80, 0xff},        {0xd0, 0xff000000}, {0xe0, 0xffffffff},
        {0xf0, 0x3ff},      {0x310, 0xff000000}, {0x330, 0x107ff},   {0x340, 0x107ff},
        {0x350, 0x1a7ff},   {0x360, 0x1a7ff},    {0x370, 0x100ff},   {0x380, 0xffffffff},
        {0x3e0, 0xb},       {0x30, 0x00050014},  {0xa0, 0xff},       {0x320, 0x700ff},
    };
    struct chips chips;

    REQUIRE(create(&chips, 1));
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        apic_write(&chips, 0, expected[i].offset, 0xffffffff);
        if (!CHECK_INT(apic_read(&chips, 0, expected[i].offset), expected[i].value))
            printf("#   at 0x%x\n", expected[i].offset);
    }
    chips_free(&chips);
}

TEST(accesses_of_other_sizes)
{
    struct chips chips;
    uint64_t value = 0x31;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x80, 0x20);
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x80, 1, true, &value));
    CHECK_INT(apic_read(&chips, 0, 0x80), 0x20); /* nothing happens */
    value = 0;
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x31, 1, false, &value));
    CHECK_INT(value, 0x00); /* the second byte of the version */
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x32, 2, false, &value));
    CHECK_INT(value, 0x05);
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x34, 4, false, &value));
    CHECK_INT(value, 0);
    value = 0x50;
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x80, 8, true, &value));
    CHECK_INT(apic_read(&chips, 0, 0x80), 0x50);
    chips_free(&chips);
}

TEST(the_page_moves_and_goes)
{
    struct chips chips;
    uint64_t value = 0;

    REQUIRE(create(&chips, 2));
    CHECK_INT(visor__lapic_page(chips.cpus[0].lapic), LAPIC_PAGE);
    CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfed00900), VISOR__MSR_DONE);
    CHECK_INT(visor__lapic_page(chips.cpus[0].lapic), 0xfed00000);
    CHECK(!cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x30, 4, false, &value));
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, 0xfed00030, 4, false, &value));
    CHECK_INT(value, 0x50014);
    CHECK(cpu_access(&chips, 1, VISOR_MMIO, LAPIC_PAGE + 0x30, 4, false, &value));
    CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfee00000), VISOR__MSR_DONE);
    CHECK_INT(visor__lapic_page(chips.cpus[0].lapic), -1);
    CHECK(!cpu_access(&chips, 0, VISOR_MMIO, LAPIC_PAGE + 0x30, 4, false, &value));
    /* Switched off it takes nothing; switched on again it is as after a reset. */
    send(&chips, 1, 0, 0x40);
    CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfee00900), VISOR__MSR_DONE);
    CHECK_INT(apic_read(&chips, 0, 0xf0), 0xff);
    CHECK_INT(apic_read(&chips, 0, 0x220), 0);
    chips_free(&chips);
}

/* ---- priorities: 11.8.3 ---- */

TEST(task_and_processor_priority)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x80, 0x45);
    CHECK_INT(apic_read(&chips, 0, 0xa0), 0x45);
    send(&chips, 0, 0, 0x40000 | 0x4f); /* self */
    CHECK_INT(take(&chips, 0), -1);     /* the same class */
    CHECK_INT(apic_read(&chips, 0, 0x220), 1u << 15);
    send(&chips, 0, 0, 0x40000 | 0x50);
    CHECK_INT(visor__lapic_peek(chips.cpus[0].lapic), 0x50);
    CHECK_INT(take(&chips, 0), 0x50);
    CHECK_INT(apic_read(&chips, 0, 0x120), 1u << 16);
    CHECK_INT(apic_read(&chips, 0, 0xa0), 0x50);
    apic_write(&chips, 0, 0x80, 0);
    CHECK_INT(take(&chips, 0), -1); /* 0x50 is in service */
    eoi(&chips, 0);
    CHECK_INT(apic_read(&chips, 0, 0xa0), 0);
    CHECK_INT(take(&chips, 0), 0x4f);
    send(&chips, 0, 0, 0x40000 | 0x48);
    CHECK_INT(take(&chips, 0), -1);
    send(&chips, 0, 0, 0x40000 | 0x60);
    CHECK_INT(take(&chips, 0), 0x60);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x48);
    eoi(&chips, 0);
    eoi(&chips, 0); /* one too many */
    chips_free(&chips);
}

TEST(arbitration_priority)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x80, 0x35);
    CHECK_INT(apic_read(&chips, 0, 0x90), 0x35);
    send(&chips, 0, 0, 0x40000 | 0x52);
    CHECK_INT(apic_read(&chips, 0, 0x90), 0x50);
    CHECK_INT(take(&chips, 0), 0x52);
    CHECK_INT(apic_read(&chips, 0, 0x90), 0x10); /* 3 and 5, bit by bit */
    chips_free(&chips);
}

TEST(cr8_is_the_task_priority)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x80, 0x45);
    CHECK_INT(visor__lapic_get_cr8(chips.cpus[0].lapic), 4);
    visor__lapic_set_cr8(chips.cpus[0].lapic, 6);
    CHECK_INT(apic_read(&chips, 0, 0x80), 0x60);
    send(&chips, 0, 0, 0x40000 | 0x61);
    CHECK_INT(pending(&chips, 0), 0);
    visor__lapic_set_cr8(chips.cpus[0].lapic, 5);
    CHECK_INT(take(&chips, 0), 0x61);
    chips_free(&chips);
}

TEST(one_request_of_a_vector_waits_while_one_is_served)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    for (unsigned i = 0; i < 3; i++)
        send(&chips, 0, 0, 0x40000 | 0x61);
    CHECK_INT(take(&chips, 0), 0x61);
    for (unsigned i = 0; i < 3; i++)
        send(&chips, 0, 0, 0x40000 | 0x61);
    CHECK_INT(take(&chips, 0), -1);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x61);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

/* ---- destinations: 11.6.2 ---- */

TEST(physical_destinations_and_shorthands)
{
    struct chips chips;

    REQUIRE(create(&chips, 4));
    send(&chips, 0, 2u << 24, 0x51);
    CHECK_INT(takers(&chips, 0x51), 1u << 2);
    send(&chips, 0, 9u << 24, 0x51);
    CHECK_INT(takers(&chips, 0x51), 0);
    send(&chips, 0, 0xff000000, 0x51);
    CHECK_INT(takers(&chips, 0x51), 0xf);
    send(&chips, 1, 3u << 24, 0x40000 | 0x52);
    CHECK_INT(takers(&chips, 0x52), 1u << 1);
    send(&chips, 1, 3u << 24, 0x80000 | 0x53);
    CHECK_INT(takers(&chips, 0x53), 0xf);
    send(&chips, 1, 3u << 24, 0xc0000 | 0x54);
    CHECK_INT(takers(&chips, 0x54), 0xd);
    CHECK_INT(apic_read(&chips, 1, 0x300), 0xc0054);
    apic_write(&chips, 3, 0x20, 7u << 24); /* an ID of the guest's choice */
    send(&chips, 1, 7u << 24, 0x55);
    CHECK_INT(takers(&chips, 0x55), 1u << 3);
    chips_free(&chips);
}

TEST(logical_destinations_flat)
{
    struct chips chips;

    REQUIRE(create(&chips, 4));
    for (size_t i = 0; i < 4; i++)
        apic_write(&chips, i, 0xd0, 0x01000000u << i);
    send(&chips, 0, 0x0a000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0xa);
    send(&chips, 0, 0xf0000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0);
    send(&chips, 0, 0xff000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0xf);
    chips_free(&chips);
}

TEST(logical_destinations_cluster)
{
    static const uint32_t ids[] = {0x11, 0x12, 0x21, 0x22};
    struct chips chips;

    REQUIRE(create(&chips, 4));
    for (size_t i = 0; i < 4; i++) {
        apic_write(&chips, i, 0xe0, 0);
        CHECK_INT(apic_read(&chips, i, 0xe0), 0x0fffffff);
        apic_write(&chips, i, 0xd0, ids[i] << 24);
    }
    send(&chips, 0, 0x13000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0x3);
    send(&chips, 0, 0x22000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0x8);
    send(&chips, 0, 0xff000000, LOGICAL | 0x51);
    CHECK_INT(takers(&chips, 0x51), 0xf);
    chips_free(&chips);
}

TEST(lowest_priority)
{
    struct chips chips;
    unsigned seen = 0;

    REQUIRE(create(&chips, 4));
    for (size_t i = 0; i < 4; i++) {
        apic_write(&chips, i, 0xd0, 0x01000000u << i);
        apic_write(&chips, i, 0x80, 0x30);
    }
    apic_write(&chips, 2, 0x80, 0x20);
    for (unsigned i = 0; i < 3; i++) {
        send(&chips, 0, 0x0f000000, LOGICAL | 0x100 | 0x51);
        CHECK_INT(takers(&chips, 0x51), 1u << 2);
    }
    /* Among equals everybody in turn. */
    apic_write(&chips, 2, 0x80, 0x30);
    apic_write(&chips, 3, 0xf0, 0xff); /* switched off: not asked */
    for (unsigned i = 0; i < 9; i++) {
        send(&chips, 0, 0x0f000000, LOGICAL | 0x100 | 0x51);
        seen |= takers(&chips, 0x51);
    }
    CHECK_INT(seen, 0x7);
    chips_free(&chips);
}

TEST(a_redirection_hint_is_lowest_priority)
{
    const visor_msi msi = {.address = 0xfee0300c, .data = 0x51};
    struct chips chips;

    REQUIRE(create(&chips, 2));
    for (size_t i = 0; i < 2; i++)
        apic_write(&chips, i, 0xd0, 0x01000000u << i);
    apic_write(&chips, 0, 0x80, 0x30);
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 1);
    CHECK_INT(takers(&chips, 0x51), 2);
    chips_free(&chips);
}

/* ---- other delivery modes ---- */

TEST(nmi_and_smi)
{
    struct chips chips;

    REQUIRE(create(&chips, 3));
    apic_write(&chips, 1, 0xf0, 0xff); /* these come although it is switched off */
    send(&chips, 0, 1u << 24, 0x400);
    CHECK_INT(with_pending(&chips, VISOR__PENDING_NMI), 2);
    CHECK_INT(atomic_load(&chips.cpus[1].wakes), 1);
    send(&chips, 0, 0, 0xc0000 | 0x200);
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_NMI | VISOR__PENDING_SMI);
    CHECK_INT(pending(&chips, 2), VISOR__PENDING_SMI);
    CHECK(visor__lapic_take(chips.cpus[1].lapic, VISOR__PENDING_NMI));
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_SMI);
    visor__lapic_nmi(chips.cpus[0].lapic);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_NMI);
    chips_free(&chips);
}

TEST(init_and_start_up)
{
    struct chips chips;

    REQUIRE(create(&chips, 3));
    apic_write(&chips, 1, 0x80, 0x50);
    apic_write(&chips, 1, 0x20, 0x09000000);
    send(&chips, 0, 0, 0xc0000 | 0x8500); /* de-assert: nothing */
    CHECK_INT(with_pending(&chips, 0), 7);
    send(&chips, 0, 9u << 24, 0x600 | 0x12); /* overtaken by the INIT that follows */
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_SIPI);
    send(&chips, 0, 9u << 24, 0xc500);
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_INIT);
    send(&chips, 0, 9u << 24, 0x600 | 0x34);
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_INIT | VISOR__PENDING_SIPI);
    CHECK(visor__lapic_take(chips.cpus[1].lapic, VISOR__PENDING_INIT));
    CHECK_INT(apic_read(&chips, 1, 0x80), 0);
    CHECK_INT(apic_read(&chips, 1, 0xf0), 0xff);
    CHECK_INT(apic_read(&chips, 1, 0x20), 0x09000000); /* stays (11.4.7.3) */
    CHECK_INT(visor__lapic_take_sipi(chips.cpus[1].lapic), 0x34);
    CHECK_INT(visor__lapic_take_sipi(chips.cpus[1].lapic), -1);
    CHECK_INT(with_pending(&chips, 0), 7);
    chips_free(&chips);
}

/* ---- software disable, errors ---- */

TEST(switched_off_by_software)
{
    struct chips chips;

    REQUIRE(create(&chips, 2));
    apic_write(&chips, 1, 0x320, 0x31);
    send(&chips, 0, 1u << 24, 0x51);
    apic_write(&chips, 1, 0xf0, 0xff);
    CHECK_INT(apic_read(&chips, 1, 0x320), MASKED | 0x31);
    apic_write(&chips, 1, 0x320, 0x31);
    CHECK_INT(apic_read(&chips, 1, 0x320), MASKED | 0x31); /* the mask cannot be cleared */
    send(&chips, 0, 1u << 24, 0x52);                       /* not taken */
    CHECK_INT(take(&chips, 1), 0x51);                      /* what was there is held */
    eoi(&chips, 1);
    CHECK_INT(take(&chips, 1), -1);
    send(&chips, 1, 0, 0x53); /* it sends nevertheless */
    CHECK_INT(take(&chips, 0), 0x53);
    chips_free(&chips);
}

TEST(errors)
{
    struct chips chips;

    REQUIRE(create(&chips, 2));
    apic_write(&chips, 0, 0x370, 0x3f);
    send(&chips, 0, 1u << 24, 0x0f);
    CHECK_INT(take(&chips, 0), 0x3f);
    eoi(&chips, 0);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0); /* until it is written */
    apic_write(&chips, 0, 0x280, 0);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0x20);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0x20);
    apic_write(&chips, 0, 0x280, 0);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0);
    CHECK_INT(apic_read(&chips, 0, 0x40), 0); /* no such register */
    apic_write(&chips, 0, 0x3f0, 0x50);       /* in this mode neither */
    CHECK_INT(take(&chips, 0), 0x3f);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    apic_write(&chips, 0, 0x320, 0x05); /* a timer with an illegal vector */
    apic_write(&chips, 0, 0x380, 10);
    chips_pass(&chips, 1000);
    CHECK_INT(take(&chips, 0), 0x3f);
    apic_write(&chips, 0, 0x280, 0);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0xc0);
    /* An error entry with an illegal vector is no endless loop. */
    apic_write(&chips, 0, 0x370, 0x05);
    send(&chips, 0, 1u << 24, 0x0f);
    apic_write(&chips, 0, 0x280, 0);
    CHECK_INT(apic_read(&chips, 0, 0x280), 0x20);
    chips_free(&chips);
}

/* ---- x2APIC: 11.12 ---- */

static void to_x2apic(struct chips *chips)
{
    for (size_t i = 0; i < chips->count; i++)
        CHECK_INT(msr_write(chips, i, 0x1b, msr_read(chips, i, 0x1b) | 0x400), VISOR__MSR_DONE);
}

TEST(modes)
{
    static const struct {
        uint64_t from, to;
        int result;
    } cases[] = {
        {0x800, 0xc00, VISOR__MSR_DONE},  {0x800, 0x000, VISOR__MSR_DONE},
        {0x800, 0x400, VISOR__MSR_FAULT}, {0xc00, 0x800, VISOR__MSR_FAULT},
        {0xc00, 0x400, VISOR__MSR_FAULT}, {0xc00, 0x000, VISOR__MSR_DONE},
        {0x000, 0xc00, VISOR__MSR_FAULT}, {0x000, 0x800, VISOR__MSR_DONE},
        {0x000, 0x400, VISOR__MSR_FAULT}, {0xc00, 0xc00, VISOR__MSR_DONE},
        {0x800, 0x801, VISOR__MSR_FAULT}, {0x800, 0x800 | UINT64_C(1) << 60, VISOR__MSR_FAULT},
    };
    struct chips chips;
    struct visor__lapic *lapic;

    REQUIRE(create(&chips, 1));
    lapic = chips.cpus[0].lapic;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(visor__lapic_write_msr(lapic, 0x1b, 0xfee00000 | cases[i].from, false),
                  VISOR__MSR_DONE);
        if (!CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfee00000 | cases[i].to), cases[i].result))
            printf("#   0x%llx to 0x%llx\n", (unsigned long long)cases[i].from,
                   (unsigned long long)cases[i].to);
    }
    CHECK_INT(visor__lapic_write_msr(lapic, 0x1b, 0xfee00800, false), VISOR__MSR_DONE);
    visor__lapic_set_features(lapic, false, false);
    CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfee00c00), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 0, 0x6e0, 1), VISOR__MSR_FAULT);
    apic_write(&chips, 0, 0x320, 0x40031);
    CHECK_INT(apic_read(&chips, 0, 0x320), MASKED | 0x31);
    CHECK_INT(msr_write(&chips, 0, 0x10, 1), VISOR__MSR_FOREIGN);
    CHECK_INT(msr_write(&chips, 0, 0x900, 1), VISOR__MSR_FOREIGN);
    chips_free(&chips);
}

TEST(x2apic_registers)
{
    struct chips chips;
    static const uint32_t ids[] = {0, 0x25};

    REQUIRE(chips_create(&chips, false, ids, 2));
    CHECK_INT(msr_read(&chips, 0, 0x802), -1); /* not in this mode */
    to_x2apic(&chips);
    CHECK_INT(visor__lapic_page(chips.cpus[1].lapic), -1);
    CHECK_INT(msr_read(&chips, 1, 0x802), 0x25);
    CHECK_INT(msr_read(&chips, 1, 0x80d), 0x00020020); /* cluster 2, bit 5 */
    CHECK_INT(msr_read(&chips, 1, 0x803), 0x50014);
    /* Registers that only the page has, and reserved ones. */
    CHECK_INT(msr_read(&chips, 1, 0x80e), -1);
    CHECK_INT(msr_read(&chips, 1, 0x831), -1);
    CHECK_INT(msr_read(&chips, 1, 0x809), -1);
    CHECK_INT(msr_read(&chips, 1, 0x804), -1);
    CHECK_INT(msr_read(&chips, 1, 0x8ff), -1);
    CHECK_INT(msr_read(&chips, 1, 0x840), -1);
    /* Write only, read only. */
    CHECK_INT(msr_read(&chips, 1, 0x80b), -1);
    CHECK_INT(msr_read(&chips, 1, 0x83f), -1);
    CHECK_INT(msr_write(&chips, 1, 0x802, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x803, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x80d, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x810, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x839, 1), VISOR__MSR_FAULT);
    /* Reserved bits. */
    CHECK_INT(msr_write(&chips, 1, 0x808, 0x100), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x808, UINT64_C(1) << 32), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x80b, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x828, 1), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x80f, 0x11ff), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x830, 0x2000), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x832, 0x100), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x83e, 4), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x83f, 0x150), VISOR__MSR_FAULT);
    CHECK_INT(msr_write(&chips, 1, 0x80f, 0x1ff), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 1, 0x828, 0), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 1, 0x832, 0x31), VISOR__MSR_DONE);
    CHECK_INT(msr_read(&chips, 1, 0x832), 0x31);
    chips_free(&chips);
}

TEST(x2apic_destinations)
{
    static const uint32_t ids[] = {0, 1, 0x12, 0x13, 0x20};
    const visor_msi msi = {.address = 0xfee12000, .data = 0x55};
    const visor_msi broadcast = {.address = 0xfeeff000, .data = 0x56};
    struct chips chips;

    REQUIRE(chips_create(&chips, false, ids, 5));
    for (size_t i = 0; i < 5; i++)
        apic_write(&chips, i, 0x350, MASKED);
    apic_enable(&chips);
    to_x2apic(&chips);
    CHECK_INT(msr_write(&chips, 0, 0x830, UINT64_C(0x13) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x51), 1u << 3);
    CHECK_INT(msr_read(&chips, 0, 0x830), UINT64_C(0x13) << 32 | 0x51);
    CHECK_INT(msr_write(&chips, 0, 0x830, UINT64_C(0xff) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x51), 0);
    CHECK_INT(msr_write(&chips, 0, 0x830, UINT64_C(0xffffffff) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x51), 0x1f);
    CHECK_INT(msr_write(&chips, 0, 0x830, UINT64_C(0x1000c) << 32 | LOGICAL | 0x52),
              VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x52), 0xc);
    CHECK_INT(msr_write(&chips, 0, 0x830, UINT64_C(0x3) << 32 | LOGICAL | 0x53), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x53), 0x3);
    CHECK_INT(msr_write(&chips, 2, 0x83f, 0x54), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x54), 1u << 2);
    /* Devices have eight bits of destination in this mode too. */
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 1);
    CHECK_INT(takers(&chips, 0x55), 1u << 2);
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &broadcast), 1);
    CHECK_INT(takers(&chips, 0x56), 0x1f);
    /* A self IPI with an illegal vector is an error of the sender. */
    CHECK_INT(msr_write(&chips, 2, 0x83f, 0x04), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 2, 0x828, 0), VISOR__MSR_DONE);
    CHECK_INT(msr_read(&chips, 2, 0x828), 0x20);
    chips_free(&chips);
}

TEST(both_modes_in_one_machine)
{
    struct chips chips;

    REQUIRE(create(&chips, 3));
    CHECK_INT(msr_write(&chips, 1, 0x1b, 0xfee00c00), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 1, 0x830, UINT64_C(2) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x51), 4);
    CHECK_INT(msr_write(&chips, 1, 0x830, UINT64_C(0xffffffff) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(takers(&chips, 0x51), 7);
    send(&chips, 2, 1u << 24, 0x52);
    CHECK_INT(takers(&chips, 0x52), 2);
    send(&chips, 2, 0xff000000, 0x53);
    CHECK_INT(takers(&chips, 0x53), 7);
    chips_free(&chips);
}

/* ---- state ---- */

TEST(state_goes_both_ways)
{
    struct chips chips, other;
    visor_x86_lapic state, is;
    uint64_t base = 0;

    REQUIRE(create(&chips, 2));
    REQUIRE(create(&other, 2));
    apic_write(&chips, 1, 0xd0, 0x02000000);
    apic_write(&chips, 1, 0x80, 0x31);
    apic_write(&chips, 1, 0x320, 0x200e1);
    apic_write(&chips, 1, 0x3e0, 3); /* by 16 */
    apic_write(&chips, 1, 0x380, 1000000);
    send(&chips, 0, 1u << 24, 0x51);
    CHECK_INT(take(&chips, 1), 0x51);
    send(&chips, 0, 1u << 24, 0x52);
    send(&chips, 0, 1u << 24, 0x61);
    chips_pass(&chips, 16 * 250000);
    CHECK_INT(visor__lapic_get_state(NULL, 0, chips.cpus[1].lapic, VISOR__STATE_X86_LAPIC),
              sizeof(state));
    CHECK_INT(
        visor__lapic_get_state(&state, sizeof(state), chips.cpus[1].lapic, VISOR__STATE_X86_LAPIC),
        sizeof(state));
    CHECK_INT(state.regs[0xa], 0x50);
    CHECK_INT(state.regs[0x12], 1u << 17);
    CHECK_INT(state.regs[0x22], 1u << 18);
    CHECK_INT(state.regs[0x23], 1u << 1);
    CHECK_INT(state.regs[0x38], 1000000);
    CHECK_INT(state.regs[0x39], 750000);
    CHECK_OK(
        visor__lapic_set_state(other.cpus[1].lapic, VISOR__STATE_X86_LAPIC, &state, sizeof(state)));
    CHECK_INT(visor__lapic_get_state(&is, sizeof(is), other.cpus[1].lapic, VISOR__STATE_X86_LAPIC),
              sizeof(is));
    CHECK(memcmp(&state, &is, sizeof(is)) == 0);
    CHECK_INT(take(&other, 1), 0x61);
    eoi(&other, 1);
    CHECK_INT(take(&other, 1), -1);
    eoi(&other, 1);
    CHECK_INT(take(&other, 1), 0x52);
    eoi(&other, 1);
    chips_pass(&other, 16 * 749999);
    CHECK_INT(take(&other, 1), -1);
    chips_pass(&other, 16);
    CHECK_INT(take(&other, 1), 0xe1); /* and then once in a period */
    eoi(&other, 1);
    chips_pass(&other, 16 * 999999);
    CHECK_INT(take(&other, 1), -1);
    chips_pass(&other, 16);
    CHECK_INT(take(&other, 1), 0xe1);

    CHECK_INT(visor__lapic_get_state(&base, sizeof(base), other.cpus[1].lapic,
                                     VISOR__STATE_X86_APIC_BASE),
              sizeof(base));
    CHECK_INT(base, 0xfee00800);
    base |= 0x400;
    CHECK_OK(visor__lapic_set_state(other.cpus[1].lapic, VISOR__STATE_X86_APIC_BASE, &base,
                                    sizeof(base)));
    CHECK_INT(msr_read(&other, 1, 0x802), 1);
    base = 0xfee00400;
    CHECK_INT(visor__lapic_set_state(other.cpus[1].lapic, VISOR__STATE_X86_APIC_BASE, &base,
                                     sizeof(base)),
              VISOR_EINVAL);
    chips_free(&chips);
    chips_free(&other);
}

/* KVM shows the ID in bits 31:24 in both modes, ICR and ICR2 as in xAPIC mode. */
TEST(x2apic_state)
{
    static const uint32_t ids[] = {0, 0x25};
    struct chips chips;
    visor_x86_lapic state;

    REQUIRE(chips_create(&chips, false, ids, 2));
    to_x2apic(&chips);
    CHECK_INT(msr_write(&chips, 1, 0x80f, 0x1ff), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 1, 0x830, UINT64_C(0x12345678) << 32 | 0x51), VISOR__MSR_DONE);
    CHECK_INT(
        visor__lapic_get_state(&state, sizeof(state), chips.cpus[1].lapic, VISOR__STATE_X86_LAPIC),
        sizeof(state));
    CHECK_INT(state.regs[0x2], 0x25000000);
    CHECK_INT(state.regs[0xd], 0x00020020);
    CHECK_INT(state.regs[0x30], 0x51);
    CHECK_INT(state.regs[0x31], 0x12345678);
    state.regs[0x2] = 0x77000000; /* of no effect in this mode, as little as the LDR */
    state.regs[0xd] = 0;
    CHECK_OK(
        visor__lapic_set_state(chips.cpus[1].lapic, VISOR__STATE_X86_LAPIC, &state, sizeof(state)));
    CHECK_INT(msr_read(&chips, 1, 0x802), 0x25);
    CHECK_INT(msr_read(&chips, 1, 0x80d), 0x00020020);
    CHECK_INT(msr_read(&chips, 1, 0x830), UINT64_C(0x12345678) << 32 | 0x51);
    chips_free(&chips);
}

/* After a reset the APIC is off, and the PIC's wire open: setting that state masks nothing. */
TEST(the_state_after_a_reset_stays_as_it_is)
{
    struct chips chips;
    visor_x86_lapic state, is;

    REQUIRE(chips_create(&chips, false, NULL, 1));
    visor__lapic_get_state(&state, sizeof(state), chips.cpus[0].lapic, VISOR__STATE_X86_LAPIC);
    CHECK_INT(state.regs[0x35], 0x700);
    CHECK_OK(
        visor__lapic_set_state(chips.cpus[0].lapic, VISOR__STATE_X86_LAPIC, &state, sizeof(state)));
    visor__lapic_get_state(&is, sizeof(is), chips.cpus[0].lapic, VISOR__STATE_X86_LAPIC);
    CHECK(memcmp(&state, &is, sizeof(is)) == 0);
    chips_free(&chips);
}

TEST(any_state_is_survived)
{
    struct chips chips;
    visor_x86_lapic state, once, twice;

    REQUIRE(create(&chips, 1));
    for (unsigned byte = 0; byte < 256; byte += 5) {
        struct visor__lapic *lapic = chips.cpus[0].lapic;

        memset(&state, (int)byte, sizeof(state));
        CHECK_OK(visor__lapic_set_state(lapic, VISOR__STATE_X86_LAPIC, &state, sizeof(state)));
        visor__lapic_get_state(&once, sizeof(once), lapic, VISOR__STATE_X86_LAPIC);
        CHECK_OK(visor__lapic_set_state(lapic, VISOR__STATE_X86_LAPIC, &once, sizeof(once)));
        visor__lapic_get_state(&twice, sizeof(twice), lapic, VISOR__STATE_X86_LAPIC);
        CHECK(memcmp(&once, &twice, sizeof(once)) == 0);
    }
    chips_free(&chips);
}

TEST(ids_have_a_limit)
{
    static const uint32_t ids[] = {254};
    struct chips chips;
    struct visor__lapic *lapic;

    REQUIRE(chips_create(&chips, false, ids, 1));
    CHECK_INT(apic_read(&chips, 0, 0x20), 254u << 24);
    CHECK_INT(visor__lapic_create(&lapic, chips.chip, 255, NULL), VISOR_ELIMIT);
    chips_free(&chips);
}

/* ---- threads ---- */

#define ROUNDS 20000u

struct player {
    struct chips *chips;
    size_t cpu;
    unsigned taken;
};

/* Waits for its interrupt, ends it and sends it on to the next. */
static void *play(void *argument)
{
    struct player *player = argument;
    struct visor__lapic *lapic = player->chips->cpus[player->cpu].lapic;
    uint64_t next = (player->cpu + 1) % player->chips->count;

    while (player->taken < ROUNDS) {
        uint32_t bell = visor__lapic_bell(lapic);
        int vector;

        if ((visor__lapic_pending(lapic) & VISOR__PENDING_INTERRUPT) == 0) {
            visor__lapic_sleep(lapic, bell);
            continue;
        }
        vector = visor__lapic_acknowledge(lapic);
        if (vector < 0)
            continue;
        if (vector != 0x51)
            CHECK_INT(vector, 0x51);
        player->taken++;
        visor__lapic_write_msr(lapic, 0x80b, 0, true);
        visor__lapic_write_msr(lapic, 0x830, next << 32 | 0x51, true);
    }
    return NULL;
}

/* An interrupt that goes round; if one were lost, or a vCPU overslept, it would never end. */
TEST(interrupts_go_round)
{
    struct chips chips;
    struct player players[4];
    pthread_t threads[4];

    REQUIRE(create(&chips, 4));
    to_x2apic(&chips);
    for (size_t i = 0; i < 4; i++) {
        players[i] = (struct player){.chips = &chips, .cpu = i};
        REQUIRE(pthread_create(&threads[i], NULL, play, &players[i]) == 0);
    }
    CHECK_INT(msr_write(&chips, 0, 0x830, 0x51), VISOR__MSR_DONE);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(players[i].taken, ROUNDS);
    }
    chips_free(&chips);
}

/* Everybody interrupts everybody else, and takes what comes. */
static void *shout(void *argument)
{
    struct player *player = argument;
    struct visor__lapic *lapic = player->chips->cpus[player->cpu].lapic;

    for (unsigned i = 0; i < ROUNDS; i++) {
        visor__lapic_write_msr(lapic, 0x830, 0xc0000 | (0x40 + player->cpu * 16), true);
        while (visor__lapic_acknowledge(lapic) >= 0) {
            player->taken++;
            visor__lapic_write_msr(lapic, 0x80b, 0, true);
        }
    }
    return NULL;
}

TEST(everybody_shouts)
{
    struct chips chips;
    struct player players[8];
    pthread_t threads[8];
    unsigned taken = 0;

    REQUIRE(create(&chips, 8));
    to_x2apic(&chips);
    for (size_t i = 0; i < 8; i++) {
        players[i] = (struct player){.chips = &chips, .cpu = i};
        REQUIRE(pthread_create(&threads[i], NULL, shout, &players[i]) == 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        taken += players[i].taken;
    }
    CHECK(taken > 0);
    for (size_t i = 0; i < 8; i++) {
        while (take(&chips, i) >= 0)
            msr_write(&chips, i, 0x80b, 0);
        CHECK_INT(pending(&chips, i), 0);
        CHECK_INT(chips.cpus[i].lapic->regs[APIC_IRR + 2], 0);
    }
    chips_free(&chips);
}

UNIT_MAIN()
