/* SPDX-License-Identifier: BSD-3-Clause */
/* The two 8259A, through the ports and the lines of a PC. */
#include "chips.h"

/* As firmware does it: vectors 0x20 and 0x28, all lines open. */
static void program(struct chips *chips, uint8_t icw4)
{
    static const uint16_t base[] = {0x20, 0xa0};

    for (unsigned i = 0; i < 2; i++) {
        outb(chips, base[i], 0x11);
        outb(chips, base[i] + 1, i == 0 ? 0x20 : 0x28);
        outb(chips, base[i] + 1, i == 0 ? 4 : 2);
        outb(chips, base[i] + 1, icw4);
        outb(chips, base[i] + 1, 0);
    }
}

static bool create(struct chips *chips, uint8_t icw4)
{
    if (!chips_create(chips, false, NULL, 1))
        return false;
    program(chips, icw4);
    return true;
}

static uint8_t isr(struct chips *chips, uint16_t base)
{
    outb(chips, base, 0x0b);
    return inb(chips, base);
}

static uint8_t irr(struct chips *chips, uint16_t base)
{
    outb(chips, base, 0x0a);
    return inb(chips, base);
}

TEST(an_edge_is_taken_once)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    CHECK_INT(take(&chips, 0), -1);
    line(&chips, 4, true);
    CHECK_INT(atomic_load(&chips.cpus[0].wakes), 1);
    CHECK_INT(irr(&chips, 0x20), 0x10);
    CHECK_INT(take(&chips, 0), 0x24);
    CHECK_INT(irr(&chips, 0x20), 0);
    CHECK_INT(isr(&chips, 0x20), 0x10);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(isr(&chips, 0x20), 0);
    CHECK_INT(take(&chips, 0), -1); /* still high */
    line(&chips, 4, false);
    line(&chips, 4, true);
    CHECK_INT(take(&chips, 0), 0x24);
    chips_free(&chips);
}

TEST(an_edge_stays_although_the_line_falls)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    pulse(&chips, 1);
    CHECK_INT(take(&chips, 0), 0x21);
    chips_free(&chips);
}

TEST(a_level_comes_again_until_the_line_is_low)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    outb(&chips, 0x4d0, 0xff);
    outb(&chips, 0x4d1, 0xff);
    CHECK_INT(inb(&chips, 0x4d0), 0xf8); /* 0, 1, 2 are edges for ever */
    CHECK_INT(inb(&chips, 0x4d1), 0xde); /* 8 and 13 too */
    line(&chips, 5, true);
    CHECK_INT(take(&chips, 0), 0x25);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), 0x25);
    line(&chips, 5, false);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), -1);
    /* A level that is gone before it was taken leaves nothing. */
    pulse(&chips, 5);
    CHECK_INT(take(&chips, 0), -1);
    chips_free(&chips);
}

TEST(priorities)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    pulse(&chips, 6);
    pulse(&chips, 3);
    CHECK_INT(take(&chips, 0), 0x23);
    CHECK_INT(take(&chips, 0), -1); /* 6 waits for 3 */
    pulse(&chips, 1);
    CHECK_INT(take(&chips, 0), 0x21); /* interrupts 3 */
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), 0x26);
    outb(&chips, 0x20, 0x66); /* specific */
    CHECK_INT(isr(&chips, 0x20), 0);
    chips_free(&chips);
}

TEST(masked_lines_wait)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    outb(&chips, 0x21, 0x10);
    CHECK_INT(inb(&chips, 0x21), 0x10);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x21, 0);
    CHECK_INT(take(&chips, 0), 0x24);
    chips_free(&chips);
}

TEST(the_secondary_is_line_2)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    pulse(&chips, 12);
    pulse(&chips, 3);
    CHECK_INT(take(&chips, 0), 0x2c); /* before 3 */
    CHECK_INT(isr(&chips, 0x20), 4);
    CHECK_INT(isr(&chips, 0xa0), 0x10);
    pulse(&chips, 9);
    CHECK_INT(take(&chips, 0), -1); /* line 2 is in service */
    outb(&chips, 0xa0, 0x20);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), 0x29);
    outb(&chips, 0xa0, 0x20);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(take(&chips, 0), 0x23);
    chips_free(&chips);
}

TEST(special_fully_nested_mode)
{
    struct chips chips;

    REQUIRE(create(&chips, 0x11));
    pulse(&chips, 12);
    CHECK_INT(take(&chips, 0), 0x2c);
    pulse(&chips, 9);
    CHECK_INT(take(&chips, 0), 0x29); /* the secondary interrupts itself */
    chips_free(&chips);
}

TEST(automatic_end)
{
    struct chips chips;

    REQUIRE(create(&chips, 3));
    pulse(&chips, 4);
    pulse(&chips, 6);
    CHECK_INT(take(&chips, 0), 0x24);
    CHECK_INT(isr(&chips, 0x20), 0);
    CHECK_INT(take(&chips, 0), 0x26);
    /* Rotating: the one that was served is the last. */
    outb(&chips, 0x20, 0x80);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), 0x24);
    pulse(&chips, 4);
    pulse(&chips, 5);
    CHECK_INT(take(&chips, 0), 0x25);
    CHECK_INT(take(&chips, 0), 0x24);
    outb(&chips, 0x20, 0x00);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), 0x24);
    chips_free(&chips);
}

TEST(rotation)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    outb(&chips, 0x20, 0xc3); /* 3 is the last: 4 the first */
    pulse(&chips, 3);
    pulse(&chips, 4);
    pulse(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x24);
    outb(&chips, 0x20, 0xa0); /* ends 4 and makes it the last */
    CHECK_INT(take(&chips, 0), 0x20);
    outb(&chips, 0x20, 0xe0); /* ends 0 and makes it the last */
    CHECK_INT(take(&chips, 0), 0x23);
    outb(&chips, 0x20, 0x20);
    CHECK_INT(isr(&chips, 0x20), 0);
    outb(&chips, 0x20, 0x20); /* nothing in service: nothing to end */
    pulse(&chips, 1);
    pulse(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x21);
    chips_free(&chips);
}

TEST(special_mask_mode)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    pulse(&chips, 1);
    CHECK_INT(take(&chips, 0), 0x21);
    pulse(&chips, 6);
    outb(&chips, 0x21, 2);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x68);
    CHECK_INT(take(&chips, 0), 0x26); /* although 1 is in service */
    outb(&chips, 0x20, 0x20);         /* ends 6, not 1 */
    CHECK_INT(isr(&chips, 0x20), 2);
    outb(&chips, 0x20, 0x48);
    pulse(&chips, 6);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x61);
    CHECK_INT(take(&chips, 0), 0x26);
    chips_free(&chips);
}

TEST(polling)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    pulse(&chips, 4);
    pulse(&chips, 10);
    outb(&chips, 0x20, 0x0c);
    CHECK_INT(inb(&chips, 0x20), 0x82);
    CHECK_INT(isr(&chips, 0x20), 4);
    outb(&chips, 0xa0, 0x0c);
    CHECK_INT(inb(&chips, 0xa0), 0x82);
    CHECK_INT(isr(&chips, 0xa0), 4);
    outb(&chips, 0xa0, 0x20);
    outb(&chips, 0x20, 0x20);
    outb(&chips, 0x20, 0x0c);
    CHECK_INT(inb(&chips, 0x21), 0x84); /* through either port */
    outb(&chips, 0x20, 0x0c);
    CHECK_INT(inb(&chips, 0x20), 0);
    CHECK_INT(inb(&chips, 0x21), 0); /* the mask again: a poll is one read */
    chips_free(&chips);
}

TEST(a_request_that_is_gone_is_line_7)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    outb(&chips, 0x4d0, 0x20);
    line(&chips, 5, true);
    CHECK_INT(visor__lapic_peek(chips.cpus[0].lapic), -1); /* a PIC's vector is not known before */
    visor__mutex_lock(&chips.chip->lock);
    visor__pic_set_line(&chips.chip->pic, 5, false);
    visor__pic_update(&chips.chip->pic);
    CHECK_INT(visor__pic_acknowledge(&chips.chip->pic), 0x27);
    visor__mutex_unlock(&chips.chip->lock);
    CHECK_INT(isr(&chips, 0x20), 0);
    chips_free(&chips);
}

TEST(initialization_forgets)
{
    struct chips chips;

    REQUIRE(create(&chips, 3));
    outb(&chips, 0x21, 0xff);
    pulse(&chips, 4);
    outb(&chips, 0x20, 0x0b);
    outb(&chips, 0x20, 0x10);        /* without ICW4 */
    CHECK_INT(inb(&chips, 0x20), 0); /* IRR is shown, and the edge is gone */
    CHECK_INT(inb(&chips, 0x21), 0); /* all lines are open */
    outb(&chips, 0x21, 0x48);
    outb(&chips, 0x21, 4);
    outb(&chips, 0x21, 0xfe); /* the mask: there was no ICW4 */
    CHECK_INT(inb(&chips, 0x21), 0xfe);
    pulse(&chips, 0);
    CHECK_INT(take(&chips, 0), 0x48);
    CHECK_INT(isr(&chips, 0x20), 1); /* the automatic end was in ICW4 */
    chips_free(&chips);
}

TEST(wide_accesses_reach_two_registers)
{
    struct chips chips;
    uint64_t value = 0x3400 | 0x0a;

    REQUIRE(create(&chips, 1));
    CHECK(cpu_access(&chips, 0, VISOR_PIO, 0x20, 2, true, &value));
    CHECK_INT(inb(&chips, 0x21), 0x34);
    value = 0;
    CHECK(cpu_access(&chips, 0, VISOR_PIO, 0x21, 2, false, &value));
    CHECK_INT(value, 0xff34); /* nobody answers at 0x22 */
    CHECK(!cpu_access(&chips, 0, VISOR_PIO, 0x22, 1, false, &value));
    CHECK(!cpu_access(&chips, 0, VISOR_PIO, 0x4d2, 1, false, &value));
    CHECK(!cpu_access(&chips, 0, VISOR_PIO, 0x10020, 1, false, &value));
    chips_free(&chips);
}

TEST(lint0_decides)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_enable(&chips);
    CHECK_INT(apic_read(&chips, 0, 0x350), 0x700); /* the virtual wire is there from the start */
    pulse(&chips, 4);
    apic_write(&chips, 0, 0x350, 0x10700);
    CHECK_INT(pending(&chips, 0), 0);
    apic_write(&chips, 0, 0x350, 0x700);
    CHECK_INT(take(&chips, 0), 0x24);
    outb(&chips, 0x20, 0x20);
    /* As an ordinary interrupt, or an NMI, of the rising output. */
    apic_write(&chips, 0, 0x350, 0x55);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), 0x55);
    eoi(&chips, 0);
    CHECK_INT(take(&chips, 0), -1);
    outb(&chips, 0x20, 0x0c);
    CHECK_INT(inb(&chips, 0x20), 0x84);
    outb(&chips, 0x20, 0x20);
    apic_write(&chips, 0, 0x350, 0x400);
    pulse(&chips, 4);
    CHECK_INT(pending(&chips, 0), VISOR__PENDING_NMI);
    CHECK(visor__lapic_take(chips.cpus[0].lapic, VISOR__PENDING_NMI));
    CHECK(!visor__lapic_take(chips.cpus[0].lapic, VISOR__PENDING_NMI));
    chips_free(&chips);
}

TEST(without_local_apic_the_line_goes_through)
{
    struct chips chips;

    REQUIRE(create(&chips, 1));
    apic_write(&chips, 0, 0x350, 0x10000);
    CHECK_INT(msr_write(&chips, 0, 0x1b, 0xfee00100), VISOR__MSR_DONE);
    pulse(&chips, 4);
    CHECK_INT(take(&chips, 0), 0x24);
    chips_free(&chips);
}

TEST(state_goes_both_ways)
{
    struct chips chips, other;
    visor_x86_pic half[2], odd = {.init_state = 4};
    const enum visor__vm_state pieces[] = {VISOR__VM_STATE_X86_PIC_PRIMARY,
                                           VISOR__VM_STATE_X86_PIC_SECONDARY};

    REQUIRE(create(&chips, 0x11));
    REQUIRE(chips_create(&other, false, NULL, 1));
    outb(&chips, 0x4d1, 0x04);
    line(&chips, 10, true);
    pulse(&chips, 6);
    pulse(&chips, 1);
    CHECK_INT(take(&chips, 0), 0x21);
    outb(&chips, 0x20, 0x0c);
    for (unsigned i = 0; i < 2; i++) {
        visor_x86_pic is;

        CHECK_INT(visor__irqchip_get_state(&half[i], sizeof(half[i]), chips.chip, pieces[i]),
                  sizeof(half[i]));
        CHECK_OK(visor__irqchip_set_state(other.chip, pieces[i], &half[i], sizeof(half[i])));
        CHECK_INT(visor__irqchip_get_state(&is, sizeof(is), other.chip, pieces[i]), sizeof(is));
        CHECK(memcmp(&half[i], &is, sizeof(is)) == 0);
    }
    CHECK_INT(half[0].irr, 0x44);
    CHECK_INT(half[0].isr, 2);
    CHECK_INT(half[0].poll, 1);
    CHECK_INT(half[0].special_fully_nested_mode, 1);
    CHECK_INT(half[1].irr, 4);
    CHECK_INT(half[1].elcr, 4);
    CHECK_INT(half[1].elcr_mask, 0xde);
    CHECK_INT(visor__irqchip_set_state(other.chip, pieces[0], &odd, sizeof(odd)), VISOR_EINVAL);
    CHECK_INT(inb(&other, 0x20), 0);
    outb(&other, 0x20, 0x20);
    CHECK_INT(take(&other, 0), 0x2a);
    chips_free(&chips);
    chips_free(&other);
}

UNIT_MAIN()
