/* SPDX-License-Identifier: BSD-3-Clause */
/* The 82093AA: pins, redirection entries, ends of interrupts; routes and messages to the local
 * APICs; events of the host. */
#include <unistd.h>

#include "chips.h"
#include "events.h"

#define LEVEL      0x8000u
#define MASKED     0x10000u
#define REMOTE_IRR 0x4000u
#define LOGICAL    0x800u

static bool create(struct chips *chips, size_t count)
{
    if (!chips_create(chips, false, NULL, count))
        return false;
    for (size_t i = 0; i < count; i++)
        apic_write(chips, i, 0x350, MASKED); /* of the PICs nothing arrives */
    apic_enable(chips);
    return true;
}

static uint32_t entry(struct chips *chips, unsigned pin)
{
    return ioapic_read(chips, 0x10 + 2 * pin);
}

TEST(registers)
{
    struct chips chips;
    uint64_t value = 0x12345678;

    REQUIRE(create(&chips, 1));
    CHECK_INT(ioapic_read(&chips, 1), 0x00170020); /* 24 pins, with an EOI register */
    ioapic_write(&chips, 0, 0xffffffff);
    CHECK_INT(ioapic_read(&chips, 0), 0x0f000000);
    CHECK_INT(ioapic_read(&chips, 2), 0x0f000000);
    CHECK_INT(entry(&chips, 0), MASKED);
    CHECK_INT(entry(&chips, 23), MASKED);
    CHECK_INT(ioapic_read(&chips, 0x40), 0xffffffff); /* there is none */
    ioapic_write(&chips, 0x40, 1);
    ioapic_write(&chips, 0x3f, 0xffffffff);
    CHECK_INT(ioapic_read(&chips, 0x3f), 0xffffffff);
    ioapic_write(&chips, 0x3e, 0xffffffff & ~LEVEL);
    CHECK_INT(entry(&chips, 23), 0xffffffff & ~(LEVEL | REMOTE_IRR | 0x1000)); /* read only */
    ioapic_write(&chips, 1, 0);
    CHECK_INT(ioapic_read(&chips, 1), 0x00170020);
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, IOAPIC_PAGE + 0x20, 4, false, &value));
    CHECK_INT(value, 0);
    CHECK(!cpu_access(&chips, 0, VISOR_MMIO, IOAPIC_PAGE + 0x100, 4, false, &value));
    CHECK(!cpu_access(&chips, 0, VISOR_MMIO, IOAPIC_PAGE - 4, 4, false, &value));
    chips_free(&chips);
}

TEST(an_edge_is_delivered_once)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45, 0);
    line(&chips, 5, true);
    line(&chips, 5, true);
    CHECK_INT(take(&chips, 0), 0x45);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    line(&chips, 5, false);
    line(&chips, 5, true);
    CHECK_INT(take(&chips, 0), 0x45);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, 0);
    chips_free(&chips);
}

TEST(an_edge_on_a_masked_pin_is_lost)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | MASKED, 0);
    pulse(&chips, 5);
    ioapic_route(&chips, 5, 0x45, 0);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

TEST(a_level_comes_again_until_the_line_is_low)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    line(&chips, 5, true);
    CHECK_INT(entry(&chips, 5), 0x45 | LEVEL | REMOTE_IRR);
    CHECK_INT(take(&chips, 0), 0x45);
    line(&chips, 5, true); /* nothing new while it is in service */
    CHECK_INT(take(&chips, 0), -1);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x45);
    line(&chips, 5, false);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, REMOTE_IRR);
    eoi(&chips, 0);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, 0);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

TEST(a_level_waits_behind_the_mask)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL | MASKED, 0);
    line(&chips, 5, true);
    CHECK_INT(take(&chips, 0), -1);
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    CHECK_INT(take(&chips, 0), 0x45);
    /* Masked in its handler, ended, unmasked later, as Linux does. */
    ioapic_route(&chips, 5, 0x45 | LEVEL | MASKED, 0);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    CHECK_INT(take(&chips, 0), 0x45);
    chips_free(&chips);
}

TEST(nobody_accepts_nothing_is_remote)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL, 9); /* there is no APIC 9 */
    line(&chips, 5, true);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, 0);
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    CHECK_INT(take(&chips, 0), 0x45);
    chips_free(&chips);
}

TEST(a_stuck_remote_irr_can_be_cleared)
{
    struct chips chips;
    uint64_t value = 0x45;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    pulse(&chips, 5);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, REMOTE_IRR);
    /* By the way through edge triggering ... */
    ioapic_write(&chips, 0x1a, 0x45 | MASKED);
    CHECK_INT(entry(&chips, 5), 0x45 | MASKED);
    ioapic_write(&chips, 0x1a, 0x45 | LEVEL);
    CHECK_INT(entry(&chips, 5), 0x45 | LEVEL);
    /* ... and by the EOI register. */
    pulse(&chips, 5);
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, REMOTE_IRR);
    CHECK(cpu_access(&chips, 0, VISOR_MMIO, IOAPIC_PAGE + 0x40, 4, true, &value));
    CHECK_INT(entry(&chips, 5) & REMOTE_IRR, 0);
    chips_free(&chips);
}

TEST(an_end_means_all_pins_with_the_vector)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    ioapic_route(&chips, 6, 0x45 | LEVEL, 0);
    ioapic_route(&chips, 7, 0x46 | LEVEL, 0);
    line(&chips, 5, true);
    line(&chips, 6, true);
    line(&chips, 7, true);
    CHECK_INT(take(&chips, 0), 0x46);
    eoi(&chips, 0);
    line(&chips, 7, false);
    line(&chips, 5, false);
    line(&chips, 6, false);
    CHECK_INT(take(&chips, 0), 0x46);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x45);
    eoi(&chips, 0);
    CHECK_INT((entry(&chips, 5) | entry(&chips, 6) | entry(&chips, 7)) & REMOTE_IRR, 0);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

TEST(delivery_modes)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x400, 0);
    pulse(&chips, 5);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_NMI);
    ioapic_route(&chips, 5, 0x200, 0);
    pulse(&chips, 5);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_NMI | VISOR__PENDING_SMI);
    CHECK(visor__lapic_take(chips.cpus[0].lapic, VISOR__PENDING_NMI));
    CHECK(visor__lapic_take(chips.cpus[0].lapic, VISOR__PENDING_SMI));
    /* The PIC's output at a pin: the vector is the PIC's. */
    outb(&chips, 0x20, 0x11);
    outb(&chips, 0x21, 0x60);
    outb(&chips, 0x21, 4);
    outb(&chips, 0x21, 1);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), -1);
    ioapic_route(&chips, 6, 0x700, 0);
    pulse(&chips, 6); /* also into the PIC, as line 6 */
    CHECK_INT(take(&chips, 0), 0x64);
    ioapic_route(&chips, 5, 0x500, 0);
    pulse(&chips, 5);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_INIT);
    chips_free(&chips);
}

TEST(routes_and_messages)
{
    const visor_route routes[] = {
        {.gsi = 30, .chip = VISOR_CHIP_IOAPIC, .pin = 5},
        {.gsi = 20, .is_msi = true, .msi = {.address = 0xfee01000, .data = 0x51}},
        {.gsi = 30, .chip = VISOR_CHIP_IOAPIC, .pin = 6},
    };
    visor_msi msi = {.address = 0xfee01000, .data = 0x52};
    struct chips chips;

    REQUIRE(create(&chips, 2));
    ioapic_route(&chips, 5, 0x45, 0);
    ioapic_route(&chips, 6, 0x56, 1);
    CHECK_OK(visor__irqchip_set_routes(chips.chip, routes, 3));
    pulse(&chips, 5); /* no line any more */
    CHECK_INT(take(&chips, 0), -1);
    pulse(&chips, 30);
    CHECK_INT(take(&chips, 0), 0x45);
    CHECK_INT(take(&chips, 1), 0x56);
    eoi(&chips, 1);
    pulse(&chips, 20);
    CHECK_INT(take(&chips, 1), 0x51);
    eoi(&chips, 1);
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 1);
    CHECK_INT(take(&chips, 1), 0x52);
    eoi(&chips, 1);
    msi.data = 0x0452; /* NMI */
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 1);
    CHECK_INT(pending(&chips, 1), VISOR__PENDING_NMI);
    msi.address = 0xfee07000; /* there is no APIC 7 */
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 0);
    msi = (visor_msi){.address = 0xfed01000, .data = 0x52};
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 0);
    msi = (visor_msi){.address = 0xfee01000, .data = 0x5}; /* no vector that there is */
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 0);
    msi = (visor_msi){.address = 0xfeeff000, .data = 0x53}; /* to all */
    CHECK_INT(visor__irqchip_send_msi(chips.chip, &msi), 1);
    CHECK_INT(take(&chips, 1), 0x53);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x53);
    chips_free(&chips);
}

/* Who holds a line up does so until he lets go. */
TEST(lines_are_shared)
{
    struct chips chips;
    uint64_t now;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 0, 0x40, 0);
    line(&chips, 0, true);
    CHECK_INT(take(&chips, 0), 0x40);
    eoi(&chips, 0);
    outb(&chips, 0x43, 0x34);
    outb(&chips, 0x40, 0xa9); /* 1193 ticks: 1 ms */
    outb(&chips, 0x40, 0x04);
    now = chips_now(&chips);
    chips_pass(&chips, 1000000);
    CHECK_INT(chips_now(&chips), now + 1000000);
    CHECK_INT(take(&chips, 0), -1); /* no edge: the line was high */
    line(&chips, 0, false);
    chips_pass(&chips, 1000000);
    CHECK_INT(take(&chips, 0), 0x40);
    chips_free(&chips);
}

/* ---- events of the host ---- */

static bool eventually(struct chips *chips, size_t cpu)
{
    for (unsigned i = 0; i < 4000 && pending(chips, cpu) == 0; i++)
        usleep(500);
    return pending(chips, cpu) != 0;
}

TEST(an_event_is_an_edge)
{
    visor_event event = make_event();
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45, 0);
    CHECK_OK(visor__irqchip_add_event(chips.chip, 5, event, VISOR_EVENT_NONE));
    for (unsigned i = 0; i < 3; i++) {
        visor__os_event_signal(event);
        CHECK(eventually(&chips, 0));
        CHECK_INT(take(&chips, 0), 0x45);
        eoi(&chips, 0);
        CHECK_INT(take(&chips, 0), -1);
    }
    CHECK_INT(visor__irqchip_remove_event(chips.chip, 4, event), VISOR_ENOENT);
    CHECK_OK(visor__irqchip_remove_event(chips.chip, 5, event));
    CHECK_INT(visor__irqchip_remove_event(chips.chip, 5, event), VISOR_ENOENT);
    /* Nobody takes it any more. */
    visor__os_event_signal(event);
    usleep(20000);
    CHECK_INT(event_count(event), 1);
    chips_free(&chips);
    close_event(event);
}

TEST(an_event_with_resample_is_a_level)
{
    visor_event event = make_event(), resample = make_event();
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    CHECK_OK(visor__irqchip_add_event(chips.chip, 5, event, resample));
    visor__os_event_signal(event);
    CHECK(eventually(&chips, 0));
    CHECK_INT(take(&chips, 0), 0x45);
    CHECK_INT(event_count(resample), 0); /* in service */
    eoi(&chips, 0);
    CHECK_INT(event_count(resample), 1);
    CHECK_INT(take(&chips, 0), -1); /* the line fell */
    visor__os_event_signal(event);
    CHECK(eventually(&chips, 0));
    CHECK_INT(take(&chips, 0), 0x45);
    /* Removed in service: the line falls then. */
    CHECK_OK(visor__irqchip_remove_event(chips.chip, 5, event));
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    CHECK_INT(event_count(resample), 0);
    chips_free(&chips);
    close_event(event);
    close_event(resample);
}

TEST(resample_through_the_pic)
{
    visor_event event = make_event(), resample = make_event();
    struct chips chips;

    REQUIRE(chips_create(&chips, false, NULL, 1));
    for (unsigned i = 0; i < 2; i++) {
        outb(&chips, i == 0 ? 0x20 : 0xa0, 0x11);
        outb(&chips, i == 0 ? 0x21 : 0xa1, i == 0 ? 0x20 : 0x28);
        outb(&chips, i == 0 ? 0x21 : 0xa1, i == 0 ? 4 : 2);
        outb(&chips, i == 0 ? 0x21 : 0xa1, 1);
    }
    outb(&chips, 0x4d1, 0x04);
    CHECK_OK(visor__irqchip_add_event(chips.chip, 10, event, resample));
    visor__os_event_signal(event);
    CHECK(eventually(&chips, 0));
    CHECK_INT(take(&chips, 0), 0x2a);
    CHECK_INT(event_count(resample), 0);
    outb(&chips, 0xa0, 0x20);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(event_count(resample), 1);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
    close_event(event);
    close_event(resample);
}

TEST(many_events_come_and_go)
{
    enum { COUNT = 40 };
    visor_event events[COUNT];
    struct chips chips;

    REQUIRE(create(&chips, 1));
    ioapic_route(&chips, 5, 0x45, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            events[i] = make_event();
            CHECK_OK(visor__irqchip_add_event(chips.chip, 5, events[i], VISOR_EVENT_NONE));
        }
        for (unsigned i = 0; i < COUNT; i += 7) {
            visor__os_event_signal(events[i]);
            CHECK(eventually(&chips, 0));
            CHECK_INT(take(&chips, 0), 0x45);
            eoi(&chips, 0);
        }
        /* A descriptor can be used for something else as soon as it is removed. */
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK_OK(visor__irqchip_remove_event(chips.chip, 5, events[(i * 3) % COUNT]));
            close_event(events[(i * 3) % COUNT]);
        }
    }
    chips_free(&chips);
}

/* ---- state ---- */

TEST(state_goes_both_ways)
{
    struct chips chips, other;
    visor_x86_ioapic state, is;

    REQUIRE(create(&chips, 1));
    REQUIRE(create(&other, 1));
    ioapic_write(&chips, 0, 0x03000000);
    ioapic_route(&chips, 5, 0x45 | LEVEL, 0);
    ioapic_route(&chips, 6, 0x46 | LEVEL | MASKED, 0);
    ioapic_route(&chips, 7, 0x47, 0);
    ioapic_route(&chips, 8, 0x48 | MASKED, 0xaa);
    line(&chips, 5, true);
    line(&chips, 6, true);
    line(&chips, 7, true);
    line(&chips, 8, true);
    CHECK_INT(
        visor__irqchip_get_state(&state, sizeof(state), chips.chip, VISOR__VM_STATE_X86_IOAPIC),
        sizeof(state));
    CHECK_INT(state.base_address, IOAPIC_PAGE);
    CHECK_INT(state.id, 3);
    CHECK_INT(state.ioregsel, 0x20);
    CHECK_INT(state.irr, 0x160); /* the edge at 7 has become a message */
    CHECK_INT(state.redirect[5], 0x45 | LEVEL | REMOTE_IRR);
    CHECK_INT(state.redirect[8], 0xaa00000000010048);
    CHECK_OK(
        visor__irqchip_set_state(other.chip, VISOR__VM_STATE_X86_IOAPIC, &state, sizeof(state)));
    CHECK_INT(visor__irqchip_get_state(&is, sizeof(is), other.chip, VISOR__VM_STATE_X86_IOAPIC),
              sizeof(is));
    CHECK(memcmp(&state, &is, sizeof(is)) == 0);
    CHECK_INT(take(&other, 0), -1); /* the requests are the local APIC's state */
    ioapic_write(&other, 0x1c, 0x46 | LEVEL);
    CHECK_INT(take(&other, 0), 0x46);
    chips_free(&chips);
    chips_free(&other);
}

TEST(split_has_local_apics_only)
{
    const visor_route route = {
        .gsi = 3, .is_msi = true, .msi = {.address = 0xfee00000, .data = 0xc045}};
    struct chips chips;
    visor_x86_ioapic state;
    uint64_t value = 0;

    REQUIRE(chips_create(&chips, true, NULL, 1));
    apic_enable(&chips);
    CHECK(!cpu_access(&chips, 0, VISOR_MMIO, IOAPIC_PAGE, 4, false, &value));
    CHECK(!cpu_access(&chips, 0, VISOR_PIO, 0x20, 1, false, &value));
    CHECK(!cpu_access(&chips, 0, VISOR_PIO, 0x40, 1, false, &value));
    CHECK_INT(
        visor__irqchip_get_state(&state, sizeof(state), chips.chip, VISOR__VM_STATE_X86_IOAPIC),
        VISOR_EUNSUPPORTED);
    CHECK_INT(visor__irqchip_add_event(chips.chip, 3, 0, 0), VISOR_EUNSUPPORTED);
    /* The end of a level interrupt is for the outer I/O APIC. */
    CHECK_OK(visor__irqchip_set_routes(chips.chip, &route, 1));
    pulse(&chips, 3);
    CHECK_INT(take(&chips, 0), 0x45);
    CHECK_INT(pending(&chips, 0), 0);
    eoi(&chips, 0);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_EOI);
    CHECK_INT(visor__lapic_take_eoi(chips.cpus[0].lapic), 0x45);
    CHECK_INT(visor__lapic_take_eoi(chips.cpus[0].lapic), -1);
    CHECK_INT(pending(&chips, 0), 0);
    /* Unless the guest suppresses it (SVR bit 12). */
    CHECK_INT(apic_read(&chips, 0, 0x30), 0x01050014);
    apic_write(&chips, 0, 0xf0, 0x11ff);
    pulse(&chips, 3);
    CHECK_INT(take(&chips, 0), 0x45);
    eoi(&chips, 0);
    CHECK_INT(pending(&chips, 0), 0);
    /* The outer PIC's interrupt. */
    CHECK(visor__lapic_accepts_extint(chips.cpus[0].lapic));
    visor__lapic_set_extint(chips.cpus[0].lapic, 0x21);
    CHECK(!visor__lapic_accepts_extint(chips.cpus[0].lapic));
    CHECK_INT(take(&chips, 0), 0x21);
    apic_write(&chips, 0, 0x350, MASKED);
    CHECK(!visor__lapic_accepts_extint(chips.cpus[0].lapic));
    chips_free(&chips);
}

UNIT_MAIN()
