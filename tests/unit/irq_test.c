/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupt events and routes: what the core checks and remembers. */
#include "guest.h"

static bool create(struct guest *guest, visor_irqchip irqchip)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.irqchip = irqchip;
    return guest_create(guest, &config);
}

TEST(an_event_raises_one_gsi)
{
    visor_event e1 = make_event(), e2 = make_event(), e3 = make_event();
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    CHECK_OK(visor_vm_add_irq_event(guest.vm, 4, e1, VISOR_EVENT_NONE));
    CHECK_OK(visor_vm_add_irq_event(guest.vm, 8, e2, VISOR_EVENT_NONE));
    CHECK_OK(visor_vm_add_irq_event(guest.vm, 4, e3, VISOR_EVENT_NONE));
    CHECK_INT(visor_vm_add_irq_event(guest.vm, 4, e3, VISOR_EVENT_NONE), VISOR_EEXIST);
    CHECK_INT(visor_vm_add_irq_event(guest.vm, 8, e3, VISOR_EVENT_NONE), VISOR_EEXIST);
    CHECK_INT(visor_vm_remove_irq_event(guest.vm, 8, e1), VISOR_ENOENT);
    CHECK_OK(visor_vm_remove_irq_event(guest.vm, 4, e1));
    CHECK_INT(visor_vm_remove_irq_event(guest.vm, 4, e1), VISOR_ENOENT);
    CHECK_OK(visor_vm_remove_irq_event(guest.vm, 8, e2));
    CHECK_OK(visor_vm_remove_irq_event(guest.vm, 4, e3));
    guest_free(&guest);
    CHECK_OK(close_event(e1));
    CHECK_OK(close_event(e2));
    CHECK_OK(close_event(e3));
}

TEST(a_bad_resample_event_is_refused_and_nothing_is_closed)
{
    visor_event event = make_event(), resample = make_event();
    struct guest guest;
    int files = open_files();

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    CHECK_OK(visor_vm_add_irq_event(guest.vm, 4, event, resample));
    CHECK_OK(visor_vm_remove_irq_event(guest.vm, 4, event));
    CHECK(visor_vm_add_irq_event(guest.vm, 4, event, 2147483600) < 0);
    CHECK(visor_vm_add_irq_event(guest.vm, 4, 2147483600, VISOR_EVENT_NONE) < 0);
    CHECK_INT(visor_vm_remove_irq_event(guest.vm, 4, event), VISOR_ENOENT);
    guest_free(&guest);
    CHECK_INT(open_files(), files);
    close_event(event);
    close_event(resample);
}

TEST(without_a_chip_there_are_no_interrupts)
{
    visor_event event = make_event();
    const visor_msi msi = {0};
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_NONE));
    CHECK_INT(visor_vm_set_irq(guest.vm, 4, true), VISOR_EUNSUPPORTED);
    CHECK(visor_error_last()->hint[0] != '\0');
    CHECK_INT(visor_vm_add_irq_event(guest.vm, 4, event, VISOR_EVENT_NONE), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_remove_irq_event(guest.vm, 4, event), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_set_routes(guest.vm, NULL, 0), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_send_msi(guest.vm, &msi), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_IRQFD), 0);
    guest_free(&guest);
    close_event(event);
}

/* Switches the guest's local APIC on, as software does. */
static void enable_apic(struct guest *guest)
{
    visor_x86_lapic lapic;

    CHECK_OK(visor_x86_get_lapic(&lapic, guest->vcpu));
    lapic.regs[0xf] |= 0x100;
    CHECK_OK(visor_x86_set_lapic(guest->vcpu, &lapic));
}

TEST(lines_and_messages_reach_the_backend)
{
    const visor_msi msi = {.address = 0xfee00000, .data = 0x21};
    const visor_msi odd = {.address = 0xfee00000, .has_device_id = true};
    visor_x86_ioapic ioapic;
    visor_x86_lapic lapic;
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    CHECK_OK(visor_vm_set_irq(guest.vm, 5, true));
    CHECK_OK(visor_vm_set_irq(guest.vm, 6, true));
    CHECK_OK(visor_vm_set_irq(guest.vm, 5, false));
    CHECK_OK(visor_vm_set_irq(guest.vm, 6000, true)); /* no route: nothing happens */
    CHECK_OK(visor_x86_get_ioapic(&ioapic, guest.vm));
    CHECK_INT(ioapic.irr, 1u << 6);
    CHECK_INT(visor_vm_send_msi(guest.vm, &msi), 0); /* the guest's APIC is off */
    enable_apic(&guest);
    CHECK_INT(visor_vm_send_msi(guest.vm, &msi), 1);
    CHECK_INT(visor_vm_send_msi(guest.vm, &odd), VISOR_EINVAL);
    CHECK_OK(visor_x86_get_lapic(&lapic, guest.vcpu));
    CHECK_INT(lapic.regs[0x21], 1u << (0x21 - 0x20));
    guest_free(&guest);
}

TEST(routes_are_checked)
{
    static const struct {
        visor_route route;
        int kernel, split; /* what it gives with either chip */
    } cases[] = {
        {{.chip = VISOR_CHIP_PIC_PRIMARY, .pin = 7}, 0, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_PIC_PRIMARY, .pin = 8}, VISOR_EINVAL, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_PIC_SECONDARY, .pin = 8}, VISOR_EINVAL, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_IOAPIC, .pin = 23}, 0, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_IOAPIC, .pin = 24}, VISOR_EINVAL, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_GIC}, VISOR_EINVAL, VISOR_EINVAL},
        {{.chip = VISOR_CHIP_AIA}, VISOR_EINVAL, VISOR_EINVAL},
        {{.chip = (visor_chip)17}, VISOR_EINVAL, VISOR_EINVAL},
        {{.is_msi = true, .msi = {.address = 0xfee00000}}, 0, 0},
        {{.is_msi = true, .msi = {.has_device_id = true}}, VISOR_EINVAL, VISOR_EINVAL},
    };
    struct guest kernel, split;

    REQUIRE(create(&kernel, VISOR_IRQCHIP_KERNEL));
    REQUIRE(create(&split, VISOR_IRQCHIP_SPLIT));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(visor_vm_set_routes(kernel.vm, &cases[i].route, 1), cases[i].kernel);
        CHECK_INT(visor_vm_set_routes(split.vm, &cases[i].route, 1), cases[i].split);
    }
    guest_free(&kernel);
    guest_free(&split);
}

TEST(routes_are_remembered)
{
    const visor_route routes[] = {
        {.gsi = 4, .chip = VISOR_CHIP_IOAPIC, .pin = 4},
        {.gsi = 4, .chip = VISOR_CHIP_PIC_PRIMARY, .pin = 4},
        {.gsi = 30, .is_msi = true, .msi = {.address = 0xfee01000, .data = 0x31}},
    };
    const visor_route bad = {.gsi = 1, .chip = VISOR_CHIP_GIC};
    visor_route seen[64];
    visor_hypervisor *hv;
    struct guest guest;
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null[fail=irq.set_routes,after=1]"));
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    REQUIRE(guest_create_on(&guest, hv, &config));
    /* A new chip has the routes of a PC. */
    REQUIRE(CHECK_INT(visor__irq_routes(seen, 64, guest.vm), 40));
    CHECK_INT(seen[0].gsi, 0);
    CHECK_INT(seen[39].gsi, 23);
    CHECK_INT(seen[39].chip, VISOR_CHIP_IOAPIC);

    CHECK_OK(visor_vm_set_routes(guest.vm, routes, 3));
    memset(seen, 0, sizeof(seen));
    CHECK_INT(visor__irq_routes(seen, 1, guest.vm), 3);
    CHECK_INT(seen[1].gsi, 0); /* only as many as fit */
    CHECK_INT(visor__irq_routes(seen, 64, guest.vm), 3);
    CHECK_INT(seen[2].msi.data, 0x31);

    /* What is refused, here or by the backend, changes nothing. */
    CHECK_INT(visor_vm_set_routes(guest.vm, &bad, 1), VISOR_EINVAL);
    CHECK_INT(visor_vm_set_routes(guest.vm, NULL, 0), VISOR_EREFUSED);
    CHECK_INT(visor__irq_routes(seen, 64, guest.vm), 3);
    guest_free(&guest);

    REQUIRE(create(&guest, VISOR_IRQCHIP_SPLIT));
    CHECK_INT(visor__irq_routes(seen, 64, guest.vm), 0);
    CHECK_OK(visor_vm_set_routes(guest.vm, NULL, 0));
    guest_free(&guest);
}

UNIT_MAIN()
