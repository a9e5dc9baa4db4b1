/* SPDX-License-Identifier: BSD-3-Clause */
/* Time: the timers of the local APICs, the 8254, and the thread that waits for both. Section
 * numbers: SDM vol. 3A, and Intel's data sheet of the 8254. */
#include <unistd.h>

#include "chips.h"

#define MASKED   0x10000u
#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define MS       1000000u
#define TSC_DUE  0x6e0u

static bool create(struct chips *chips, size_t count)
{
    if (!chips_create(chips, false, NULL, count))
        return false;
    for (size_t i = 0; i < count; i++)
        apic_write(chips, i, 0x350, MASKED);
    apic_enable(chips);
    return true;
}

/* ---- local APIC timer: 11.5.4 ---- */

TEST(one_shot)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    CHECK_INT(visor__irqchip_deadline(chips.chip), -1);
    apic_write(&chips, 0, 0x320, 0x31);
    apic_write(&chips, 0, 0x3e0, 0xb); /* by 1 */
    apic_write(&chips, 0, 0x380, MS);
    CHECK_INT(chips.deadlines, 1);
    CHECK_INT(visor__irqchip_deadline(chips.chip), chips_now(&chips) + MS);
    CHECK_INT(apic_read(&chips, 0, 0x390), MS);
    chips_pass(&chips, MS - 1);
    CHECK_INT(apic_read(&chips, 0, 0x390), 1);
    CHECK_INT(take(&chips, 0), -1);
    chips_pass(&chips, 1);
    CHECK_INT(take(&chips, 0), 0x31);
    eoi(&chips, 0);
    CHECK_INT(apic_read(&chips, 0, 0x390), 0);
    CHECK_INT(visor__irqchip_deadline(chips.chip), -1);
    chips_pass(&chips, 10 * MS);
    CHECK_INT(take(&chips, 0), -1);
    /* Started anew before it ran out; stopped with 0. */
    apic_write(&chips, 0, 0x380, MS);
    chips_pass(&chips, MS / 2);
    apic_write(&chips, 0, 0x380, MS);
    chips_pass(&chips, MS - 1);
    CHECK_INT(take(&chips, 0), -1);
    apic_write(&chips, 0, 0x380, 0);
    chips_pass(&chips, MS);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

TEST(divide_values)
{
    static const struct {
        uint32_t value, divisor;
    } cases[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x320, 0x31);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apic_write(&chips, 0, 0x3e0, cases[i].value);
        apic_write(&chips, 0, 0x380, 1000);
        chips_pass(&chips, 999ull * cases[i].divisor);
        CHECK_INT(apic_read(&chips, 0, 0x390), 1);
        CHECK_INT(take(&chips, 0), -1);
        chips_pass(&chips, cases[i].divisor);
        CHECK_INT(take(&chips, 0), 0x31);
        eoi(&chips, 0);
    }
    /* While it counts: the count stays. */
    apic_write(&chips, 0, 0x380, 1000);
    chips_pass(&chips, 400);
    apic_write(&chips, 0, 0x3e0, 3);
    CHECK_INT(apic_read(&chips, 0, 0x390), 600);
    chips_pass(&chips, 16 * 599);
    CHECK_INT(take(&chips, 0), -1);
    chips_pass(&chips, 16);
    CHECK_INT(take(&chips, 0), 0x31);
    chips_free(&chips);
}

TEST(periodic)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x3e0, 0xb);
    apic_write(&chips, 0, 0x320, PERIODIC | 0x31);
    apic_write(&chips, 0, 0x380, MS);
    for (unsigned i = 0; i < 5; i++) {
        chips_pass(&chips, MS - 1);
        CHECK_INT(take(&chips, 0), -1);
        chips_pass(&chips, 1);
        CHECK_INT(apic_read(&chips, 0, 0x390), MS);
        CHECK_INT(take(&chips, 0), 0x31);
        eoi(&chips, 0);
    }
    /* Nobody looked for a while: one interrupt, and in step with before. */
    atomic_store(&chips.now, chips_now(&chips) + 10 * MS + 7);
    CHECK_INT(apic_read(&chips, 0, 0x390), MS - 7);
    visor__irqchip_expire(chips.chip);
    CHECK_INT(take(&chips, 0), 0x31);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    CHECK_INT(visor__irqchip_deadline(chips.chip), chips_now(&chips) + MS - 7);
    /* Masked it counts on in silence. */
    apic_write(&chips, 0, 0x320, PERIODIC | MASKED | 0x31);
    chips_pass(&chips, 2 * MS);
    CHECK_INT(take(&chips, 0), -1);
    CHECK_INT(apic_read(&chips, 0, 0x390), MS - 7);
    apic_write(&chips, 0, 0x320, PERIODIC | 0x31);
    chips_pass(&chips, MS - 7);
    CHECK_INT(take(&chips, 0), 0x31);
    chips_free(&chips);
}

/* The host must have time for something else. */
TEST(a_short_period_is_stretched)
{
    struct chips chips;
    unsigned count = 0;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x3e0, 0xb);
    apic_write(&chips, 0, 0x320, PERIODIC | 0x31);
    apic_write(&chips, 0, 0x380, 3);
    for (unsigned i = 0; i < 10; i++) {
        chips_pass(&chips, MS / 10);
        if (take(&chips, 0) == 0x31)
            count++;
        eoi(&chips, 0);
        CHECK(apic_read(&chips, 0, 0x390) >= 1 && apic_read(&chips, 0, 0x390) <= 3);
    }
    CHECK(count >= 9);
    CHECK(visor__irqchip_deadline(chips.chip) > chips_now(&chips));
    CHECK(visor__irqchip_deadline(chips.chip) <= chips_now(&chips) + MS / 10 + 3);
    chips_free(&chips);
}

TEST(tsc_deadline)
{
    struct chips chips;
    uint64_t tsc;

    REQUIRE(create(&chips, 1));
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, 1), VISOR__MSR_DONE); /* ignored in another mode */
    CHECK_INT(msr_read(&chips, 0, TSC_DUE), 0);
    CHECK_INT(take(&chips, 0), -1);
    apic_write(&chips, 0, 0x320, DEADLINE | 0x31);
    apic_write(&chips, 0, 0x380, 100); /* ignored in this one */
    CHECK_INT(apic_read(&chips, 0, 0x380), 0);
    tsc = chips_tsc(&chips.cpus[0]);
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, tsc + 2 * MS), VISOR__MSR_DONE); /* 1 ms */
    CHECK_INT(msr_read(&chips, 0, TSC_DUE), tsc + 2 * MS);
    CHECK_INT(apic_read(&chips, 0, 0x390), 0);
    chips_pass(&chips, MS - 1);
    CHECK_INT(take(&chips, 0), -1);
    chips_pass(&chips, 2);
    CHECK_INT(take(&chips, 0), 0x31);
    eoi(&chips, 0);
    CHECK_INT(msr_read(&chips, 0, TSC_DUE), 0);
    /* In the past, and at this moment: at once. */
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, 1), VISOR__MSR_DONE);
    CHECK_INT(take(&chips, 0), 0x31);
    eoi(&chips, 0);
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, chips_tsc(&chips.cpus[0])), VISOR__MSR_DONE);
    CHECK_INT(take(&chips, 0), 0x31);
    eoi(&chips, 0);
    /* 0 disarms. */
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, chips_tsc(&chips.cpus[0]) + 2 * MS), VISOR__MSR_DONE);
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, 0), VISOR__MSR_DONE);
    CHECK_INT(visor__irqchip_deadline(chips.chip), -1);
    chips_pass(&chips, 2 * MS);
    CHECK_INT(take(&chips, 0), -1);
    /* So does another mode. */
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, chips_tsc(&chips.cpus[0]) + 2 * MS), VISOR__MSR_DONE);
    apic_write(&chips, 0, 0x320, 0x31);
    CHECK_INT(msr_read(&chips, 0, TSC_DUE), 0);
    chips_pass(&chips, 2 * MS);
    CHECK_INT(take(&chips, 0), -1);
    /* As far away as it can be. */
    apic_write(&chips, 0, 0x320, DEADLINE | 0x31);
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, UINT64_MAX), VISOR__MSR_DONE);
    chips_pass(&chips, UINT64_C(3600) * 24 * 800 * 1000 * MS);
    CHECK_INT(take(&chips, 0), -1);
    CHECK_INT(msr_read(&chips, 0, TSC_DUE), UINT64_MAX);
    chips_free(&chips);
}

TEST(a_changed_tsc_moves_its_deadline)
{
    struct chips chips;
    uint64_t now;

    REQUIRE(create(&chips, 2));
    now = chips_now(&chips);
    apic_write(&chips, 1, 0x320, DEADLINE | 0x31);
    CHECK_INT(msr_write(&chips, 1, TSC_DUE, chips_tsc(&chips.cpus[1]) + 20 * MS), VISOR__MSR_DONE);
    chips.cpus[1].tsc_offset = 10 * MS;
    visor__lapic_tsc_changed(chips.cpus[1].lapic);
    CHECK(visor__irqchip_deadline(chips.chip) - now <= 5 * MS + 1);
    chips.cpus[1].tsc_offset = 20 * MS;
    visor__lapic_tsc_changed(chips.cpus[1].lapic);
    CHECK_INT(take(&chips, 1), 0x31);
    /* The clock got there, and the TSC did not. */
    CHECK_INT(msr_write(&chips, 1, TSC_DUE, chips_tsc(&chips.cpus[1]) + 2 * MS), VISOR__MSR_DONE);
    chips.cpus[1].tsc_offset = 0;
    chips_pass(&chips, MS + 1);
    eoi(&chips, 1);
    CHECK_INT(take(&chips, 1), -1);
    chips_pass(&chips, 10 * MS);
    CHECK_INT(take(&chips, 1), 0x31);
    chips_free(&chips);
}

TEST(the_earliest_timer_is_the_deadline)
{
    struct chips chips;
    uint64_t now;

    REQUIRE(create(&chips, 3));
    now = chips_now(&chips);
    for (size_t i = 0; i < 3; i++) {
        apic_write(&chips, i, 0x3e0, 0xb);
        apic_write(&chips, i, 0x320, 0x31 + (uint32_t)i);
    }
    apic_write(&chips, 1, 0x380, 3 * MS);
    apic_write(&chips, 0, 0x380, 5 * MS);
    CHECK_INT(chips.deadlines, 1); /* later ones change nothing */
    apic_write(&chips, 2, 0x380, MS);
    CHECK_INT(chips.deadlines, 2);
    CHECK_INT(visor__irqchip_deadline(chips.chip), now + MS);
    chips_pass(&chips, MS);
    CHECK_INT(visor__irqchip_deadline(chips.chip), now + 3 * MS);
    visor__lapic_destroy(chips.cpus[2].lapic);
    visor__lapic_destroy(chips.cpus[1].lapic);
    chips.count = 1;
    CHECK_INT(visor__irqchip_deadline(chips.chip), now + 5 * MS);
    chips_free(&chips);
}

/* ---- 8254 ---- */

#define TICK 839 /* ns, rounded up: 1193182 Hz */

/* Programs a channel: access to both bytes. */
static void program(struct chips *chips, unsigned channel, unsigned mode, uint16_t count)
{
    outb(chips, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    outb(chips, (uint16_t)(0x40 + channel), (uint8_t)count);
    outb(chips, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t count_of(struct chips *chips, unsigned channel)
{
    uint8_t low;

    outb(chips, 0x43, (uint8_t)(channel << 6));
    low = inb(chips, (uint16_t)(0x40 + channel));
    return (uint16_t)(low | inb(chips, (uint16_t)(0x40 + channel)) << 8);
}

static uint8_t status_of(struct chips *chips, unsigned channel)
{
    outb(chips, 0x43, (uint8_t)(0xe0 | 2u << channel));
    return inb(chips, (uint16_t)(0x40 + channel));
}

/* Ticks from now, in ns. */
static uint64_t ticks(uint64_t count)
{
    return (count * 1000000000 + 1193181) / 1193182;
}

/* Line 0 goes to vector 0x40; the test ends each interrupt. */
static bool create_pit(struct chips *chips)
{
    if (!create(chips, 1))
        return false;
    ioapic_route(chips, 0, 0x40, 0);
    return true;
}

static unsigned interrupts_in(struct chips *chips, uint64_t ns, uint64_t step)
{
    unsigned count = 0;

    for (uint64_t passed = 0; passed < ns; passed += step) {
        chips_pass(chips, step);
        if (take(chips, 0) == 0x40) {
            count++;
            eoi(chips, 0);
        }
    }
    return count;
}

TEST(pit_mode_0_interrupts_at_its_end)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 0, 1000);
    CHECK_INT(status_of(&chips, 0), 0x30); /* output low, both bytes */
    CHECK_INT(count_of(&chips, 0), 1000);
    chips_pass(&chips, ticks(400));
    CHECK_INT(count_of(&chips, 0), 600);
    chips_pass(&chips, ticks(599));
    CHECK_INT(take(&chips, 0), -1);
    chips_pass(&chips, 2 * TICK);
    CHECK_INT(take(&chips, 0), 0x40);
    eoi(&chips, 0);
    CHECK_INT(status_of(&chips, 0), 0xb0);
    chips_pass(&chips, ticks(10));
    CHECK(count_of(&chips, 0) > 0xff00); /* goes on from 0xffff */
    CHECK_INT(interrupts_in(&chips, 200 * MS, MS), 0);
    /* A new mode without a count stops it. */
    program(&chips, 0, 0, 1000);
    outb(&chips, 0x43, 0x30);
    CHECK_INT(status_of(&chips, 0), 0x70); /* null count */
    CHECK_INT(interrupts_in(&chips, 10 * MS, MS), 0);
    chips_free(&chips);
}

TEST(pit_mode_2_divides)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 2, 1193); /* about 1 ms */
    CHECK_INT(interrupts_in(&chips, 1000 * MS, MS / 4), 1000);
    chips_pass(&chips, MS / 2);
    CHECK(count_of(&chips, 0) >= 1 && count_of(&chips, 0) <= 1193);
    CHECK_INT(status_of(&chips, 0) & 0x3f, 0x34);
    program(&chips, 0, 2, 0); /* 65536: 54.9 ms */
    CHECK_INT(interrupts_in(&chips, 1000 * MS, MS), 18);
    chips_free(&chips);
}

TEST(pit_mode_3_is_a_square)
{
    struct chips chips;
    uint16_t before;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 3, 11932); /* 10 ms */
    CHECK_INT(status_of(&chips, 0), 0xb6);
    before = count_of(&chips, 0);
    chips_pass(&chips, ticks(100));
    CHECK_INT(before - count_of(&chips, 0), 200); /* by two */
    chips_pass(&chips, 5 * MS);
    CHECK_INT(status_of(&chips, 0), 0x36);
    chips_pass(&chips, 5 * MS);
    CHECK_INT(status_of(&chips, 0), 0xb6);
    CHECK_INT(take(&chips, 0), 0x40);
    eoi(&chips, 0);
    CHECK_INT(interrupts_in(&chips, 995 * MS, MS), 99);
    chips_free(&chips);
}

TEST(pit_mode_4_strobes_once)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 4, 1000);
    CHECK_INT(status_of(&chips, 0), 0xb8);
    chips_pass(&chips, ticks(1000));
    CHECK_INT(status_of(&chips, 0), 0x38); /* low for one tick */
    CHECK_INT(take(&chips, 0), -1);
    chips_pass(&chips, TICK);
    CHECK_INT(status_of(&chips, 0), 0xb8);
    CHECK_INT(take(&chips, 0), 0x40);
    eoi(&chips, 0);
    CHECK_INT(interrupts_in(&chips, 100 * MS, MS), 0);
    chips_free(&chips);
}

TEST(pit_modes_of_the_gate_wait_for_it)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 1, 100); /* the gate of channel 0 never rises */
    CHECK_INT(interrupts_in(&chips, 10 * MS, MS), 0);
    outb(&chips, 0x61, 0);
    program(&chips, 2, 1, 1000);
    CHECK_INT(inb(&chips, 0x61) & 0x21, 0x20);
    outb(&chips, 0x61, 1);
    CHECK_INT(inb(&chips, 0x61) & 0x21, 0x01); /* low while it counts */
    chips_pass(&chips, ticks(999));
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0);
    chips_pass(&chips, TICK);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    outb(&chips, 0x61, 0);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    outb(&chips, 0x61, 1);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0); /* once more */
    program(&chips, 2, 5, 1000);
    chips_pass(&chips, ticks(1000));
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    outb(&chips, 0x61, 0);
    outb(&chips, 0x61, 1);
    chips_pass(&chips, ticks(1000));
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0); /* the strobe */
    chips_pass(&chips, TICK);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    chips_free(&chips);
}

/* How Linux measures the TSC: channel 2 in mode 0, bit 5 of port 0x61. */
TEST(pit_gate_2_holds_the_count)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    CHECK_INT(inb(&chips, 0x61) & 0x03, 0);
    outb(&chips, 0x61, 0x02);
    CHECK_INT(inb(&chips, 0x61) & 0x03, 0x02); /* the speaker */
    program(&chips, 2, 0, 1000);
    chips_pass(&chips, ticks(500));
    CHECK_INT(count_of(&chips, 2), 1000);
    outb(&chips, 0x61, 0x01);
    chips_pass(&chips, ticks(400));
    CHECK_INT(count_of(&chips, 2), 600);
    outb(&chips, 0x61, 0x00);
    chips_pass(&chips, ticks(5000));
    CHECK_INT(count_of(&chips, 2), 600);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0);
    outb(&chips, 0x61, 0x01);
    chips_pass(&chips, ticks(600) - TICK);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0);
    chips_pass(&chips, 3 * TICK);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    CHECK_INT(take(&chips, 0), -1);
    /* Dividing modes begin again. */
    program(&chips, 2, 2, 1000);
    chips_pass(&chips, ticks(400));
    outb(&chips, 0x61, 0x00);
    CHECK_INT(inb(&chips, 0x61) & 0x20, 0x20);
    outb(&chips, 0x61, 0x01);
    CHECK_INT(count_of(&chips, 2), 1000);
    chips_free(&chips);
}

TEST(pit_refresh_bit_toggles)
{
    struct chips chips;
    unsigned changes = 0;
    uint8_t before;

    REQUIRE(create_pit(&chips));
    before = inb(&chips, 0x61) & 0x10;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t is;

        chips_pass(&chips, 1000);
        is = inb(&chips, 0x61) & 0x10;
        changes += is != before;
        before = is;
    }
    CHECK(changes > 55 && changes < 70); /* once in about 16 us */
    chips_free(&chips);
}

TEST(pit_latches)
{
    struct chips chips;
    uint8_t low;

    REQUIRE(create_pit(&chips));
    program(&chips, 1, 2, 0x8000);
    chips_pass(&chips, ticks(0x100));
    outb(&chips, 0x43, 0x40);
    chips_pass(&chips, ticks(0x100));
    outb(&chips, 0x43, 0x40); /* ignored: the first is not read yet */
    low = inb(&chips, 0x41);
    CHECK_INT(low | inb(&chips, 0x41) << 8, 0x7f00);
    CHECK_INT(count_of(&chips, 1), 0x7e00);
    /* Read-back: status first, then the count; of several channels at once. */
    program(&chips, 0, 3, 0x1000);
    outb(&chips, 0x43, 0xc6);
    CHECK_INT(inb(&chips, 0x41), 0xb4);
    low = inb(&chips, 0x41);
    CHECK_INT(low | inb(&chips, 0x41) << 8, 0x7e00);
    CHECK_INT(inb(&chips, 0x40), 0xb6);
    low = inb(&chips, 0x40);
    CHECK_INT(low | inb(&chips, 0x40) << 8, 0x1000);
    CHECK_INT(inb(&chips, 0x43), 0);
    chips_free(&chips);
}

TEST(pit_access_to_one_byte)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    outb(&chips, 0x43, 0x54); /* channel 1, low byte, mode 2 */
    outb(&chips, 0x41, 0x12);
    CHECK_INT(inb(&chips, 0x41), 0x12);
    CHECK_INT(inb(&chips, 0x41), 0x12);
    outb(&chips, 0x43, 0x64); /* high byte */
    outb(&chips, 0x41, 0x12);
    CHECK_INT(inb(&chips, 0x41), 0x12);
    outb(&chips, 0x43, 0x40);
    CHECK_INT(inb(&chips, 0x41), 0x12);
    /* Both, in turn, unlatched. */
    program(&chips, 1, 2, 0x3456);
    CHECK_INT(inb(&chips, 0x41), 0x56);
    CHECK_INT(inb(&chips, 0x41), 0x34);
    /* Modes 6 and 7 are 2 and 3. */
    outb(&chips, 0x43, 0x7e);
    CHECK_INT(status_of(&chips, 1) & 0x3f, 0x36);
    chips_free(&chips);
}

TEST(pit_bcd)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    outb(&chips, 0x43, 0x71); /* channel 1, mode 0, BCD */
    outb(&chips, 0x41, 0x00);
    outb(&chips, 0x41, 0x10);
    CHECK_INT(count_of(&chips, 1), 0x1000);
    chips_pass(&chips, ticks(1));
    CHECK_INT(count_of(&chips, 1), 0x0999);
    chips_pass(&chips, ticks(1000));
    CHECK_INT(count_of(&chips, 1) & 0xff00, 0x9900);
    CHECK_INT(status_of(&chips, 1), 0xb1);
    outb(&chips, 0x41, 0x00);
    outb(&chips, 0x41, 0x00);
    CHECK_INT(chips.chip->pit.state.channel[1].count, 10000);
    chips_free(&chips);
}

TEST(pit_short_periods_are_stretched)
{
    struct chips chips;

    REQUIRE(create_pit(&chips));
    program(&chips, 0, 2, 2);
    CHECK(interrupts_in(&chips, 10 * MS, 1000) <= 101);
    CHECK(visor__irqchip_deadline(chips.chip) <= chips_now(&chips) + MS / 10);
    chips_free(&chips);
}

TEST(pit_state_goes_both_ways)
{
    struct chips chips, other;
    visor_x86_pit state, is, odd;
    const enum visor__vm_state piece = VISOR__VM_STATE_X86_PIT;

    REQUIRE(create_pit(&chips));
    REQUIRE(create_pit(&other));
    CHECK_INT(visor__irqchip_get_state(&state, sizeof(state), chips.chip, piece), sizeof(state));
    CHECK_INT(state.channel[0].mode, 0xff); /* not programmed, as KVM has it */
    CHECK_INT(state.channel[0].count, 0x10000);
    CHECK_INT(state.channel[2].gate, 0);
    outb(&chips, 0x61, 3);
    program(&chips, 0, 2, 1193);
    program(&chips, 2, 0, 5000);
    outb(&chips, 0x43, 0xc8); /* latched, and not read */
    outb(&chips, 0x43, 0x74);
    outb(&chips, 0x41, 0x77); /* half of a count */
    chips_pass(&chips, ticks(1000));
    atomic_store(&other.now, chips_now(&chips));
    CHECK_INT(visor__irqchip_get_state(&state, sizeof(state), chips.chip, piece), sizeof(state));
    CHECK_INT(state.flags, 2);
    CHECK_INT(state.channel[0].count, 1193);
    CHECK_INT(state.channel[1].write_state, 4);
    CHECK_INT(state.channel[1].reload_value, 0x77);
    CHECK_INT(state.channel[2].count_latched, 3);
    CHECK_INT(state.channel[2].latched_count, 5000);
    CHECK_OK(visor__irqchip_set_state(other.chip, piece, &state, sizeof(state)));
    CHECK_INT(visor__irqchip_get_state(&is, sizeof(is), other.chip, piece), sizeof(is));
    state.channel[0].load_time = chips_now(&other); /* begins anew */
    CHECK(memcmp(&state, &is, sizeof(is)) == 0);
    CHECK_INT(inb(&other, 0x42), 0x30);
    CHECK_INT(inb(&other, 0x42), 5000 & 0xff);
    CHECK_INT(inb(&other, 0x42), 5000 >> 8);
    CHECK_INT(count_of(&other, 2), 4000);
    outb(&other, 0x41, 0x11);
    CHECK_INT(count_of(&other, 1), 0x1177);
    CHECK_INT(interrupts_in(&other, 100 * MS + MS / 2, MS / 4), 100);
    /* A load time that lies in the future is another host's. */
    state.channel[2].load_time = UINT64_MAX;
    CHECK_OK(visor__irqchip_set_state(other.chip, piece, &state, sizeof(state)));
    CHECK_INT(chips.chip->pit.state.channel[2].count, 5000);
    odd = state;
    odd.channel[1].read_state = 5;
    CHECK_INT(visor__irqchip_set_state(other.chip, piece, &odd, sizeof(odd)), VISOR_EINVAL);
    odd = state;
    odd.channel[1].rw_mode = 4;
    CHECK_INT(visor__irqchip_set_state(other.chip, piece, &odd, sizeof(odd)), VISOR_EINVAL);
    /* What KVM never has is survived. */
    odd = state;
    odd.channel[2].count = 0;
    odd.channel[2].mode = 3;
    odd.channel[0].count = 0;
    odd.channel[0].mode = 2;
    CHECK_OK(visor__irqchip_set_state(other.chip, piece, &odd, sizeof(odd)));
    count_of(&other, 2);
    chips_pass(&other, 100 * MS);
    chips_free(&chips);
    chips_free(&other);
}

/* ---- the thread ---- */

static uint64_t real_now(void *vm)
{
    (void)vm;
    return visor__os_now_ns();
}

static uint64_t real_tsc(void *vcpu)
{
    (void)vcpu;
    return visor__os_now_ns();
}

static const struct visor__irqchip_host real_host = {
    .now = real_now, .tsc = real_tsc, .wake = chips_wake, .clocked = true};

static bool create_clocked(struct chips *chips)
{
    const struct visor__irqchip_config config = {.host = &real_host, .tsc_hz = 1000000000};
    const visor_route route = {.gsi = 0, .chip = VISOR_CHIP_IOAPIC, .pin = 0};

    memset(chips, 0, sizeof(*chips));
    if (!CHECK_OK(visor__irqchip_create(&chips->chip, &config)))
        return false;
    CHECK_OK(visor__irqchip_set_routes(chips->chip, &route, 1));
    for (; chips->count < 2; chips->count++)
        CHECK_OK(visor__lapic_create(&chips->cpus[chips->count].lapic, chips->chip,
                                     (uint32_t)chips->count, &chips->cpus[chips->count]));
    apic_write(chips, 0, 0x350, MASKED);
    apic_enable(chips);
    return true;
}

/* Sleeps as a halted vCPU does. */
static int sleep_for_interrupt(struct chips *chips, size_t cpu)
{
    struct visor__lapic *lapic = chips->cpus[cpu].lapic;
    uint64_t end = visor__os_now_ns() + 20000u * (uint64_t)MS;

    while (visor__os_now_ns() < end) {
        uint32_t bell = visor__lapic_bell(lapic);

        if (visor__lapic_pending(lapic) != 0)
            return visor__lapic_acknowledge(lapic);
        visor__lapic_sleep(lapic, bell);
    }
    return -1;
}

TEST(the_thread_wakes_a_sleeper)
{
    struct chips chips;
    uint64_t begin;

    REQUIRE(create_clocked(&chips));
    apic_write(&chips, 1, 0x320, 0x31);
    apic_write(&chips, 1, 0x3e0, 0xb);
    for (unsigned i = 0; i < 5; i++) {
        begin = visor__os_now_ns();
        apic_write(&chips, 1, 0x380, 5 * MS);
        CHECK_INT(sleep_for_interrupt(&chips, 1), 0x31);
        CHECK(visor__os_now_ns() - begin >= 5 * MS);
        eoi(&chips, 1);
    }
    /* An earlier deadline than the one it waits for. */
    apic_write(&chips, 0, 0x320, DEADLINE | 0x32);
    apic_write(&chips, 1, 0x380, 4000000000u);
    usleep(2000);
    begin = visor__os_now_ns();
    CHECK_INT(msr_write(&chips, 0, TSC_DUE, begin + 3 * MS), VISOR__MSR_DONE);
    CHECK_INT(sleep_for_interrupt(&chips, 0), 0x32);
    CHECK(visor__os_now_ns() - begin >= 3 * MS);
    CHECK(visor__os_now_ns() - begin < 3000u * (uint64_t)MS);
    chips_free(&chips);
}

TEST(the_thread_lets_the_pit_tick)
{
    struct chips chips;
    uint64_t begin;

    REQUIRE(create_clocked(&chips));
    ioapic_route(&chips, 0, 0x40, 0);
    begin = visor__os_now_ns();
    program(&chips, 0, 2, 2386); /* 2 ms */
    for (unsigned i = 0; i < 10; i++) {
        CHECK_INT(sleep_for_interrupt(&chips, 0), 0x40);
        eoi(&chips, 0);
    }
    CHECK(visor__os_now_ns() - begin >= 18 * MS); /* one may have been late */
    chips_free(&chips);
}

TEST(ringing_wakes_without_an_interrupt)
{
    struct chips chips;
    uint32_t bell;

    REQUIRE(create_clocked(&chips));
    bell = visor__lapic_bell(chips.cpus[0].lapic);
    visor__lapic_ring(chips.cpus[0].lapic);
    CHECK(visor__lapic_bell(chips.cpus[0].lapic) != bell);
    visor__lapic_sleep(chips.cpus[0].lapic, bell); /* returns at once */
    chips_free(&chips);
}

UNIT_MAIN()
