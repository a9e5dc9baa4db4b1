/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupt chips in the kernel: lines, events, routes and messages, from the outside to the
 * guest's handler.
 *
 * The guest runs in real mode with ES at the local APIC. It says on port 0x10 that it is ready,
 * then waits in a halt, which stays in the kernel here. Handlers write their vector to port 0xf0.
 */
#include "x86.h"

#include <string.h>

#define LAPIC_BASE 0xfee00000u

VISOR_GUEST_ASM16(isr_24, "mov al, 0x24; out 0xf0, al; mov al, 0x20; out 0x20, al; iret");
VISOR_GUEST_ASM16(isr_45, "mov al, 0x45; out 0xf0, al; mov dword ptr es:[0xb0], 0; iret");
VISOR_GUEST_ASM16(isr_46, "mov al, 0x46; out 0xf0, al; mov dword ptr es:[0xb0], 0; iret");
VISOR_GUEST_ASM16(isr_other, "mov al, 0xff; out 0xf0, al; iret");
/* Programs the PICs (vectors 0x20 and 0x28, all but line 4 masked), enables the local APIC. */
#define PROGRAM_CHIPS                                         \
    "lidt [0x200]; mov sp, 0x1900;"                           \
    "mov al, 0x11; out 0x20, al; out 0xa0, al;"               \
    "mov al, 0x20; out 0x21, al; mov al, 0x28; out 0xa1, al;" \
    "mov al, 4; out 0x21, al; mov al, 2; out 0xa1, al;"       \
    "mov al, 1; out 0x21, al; out 0xa1, al;"                  \
    "mov al, 0xef; out 0x21, al; mov al, 0xff; out 0xa1, al;" \
    "mov dword ptr es:[0xf0], 0x1ff;"
VISOR_GUEST_ASM16(wait_for_irqs, PROGRAM_CHIPS "mov al, 0; out 0x10, al; sti; 3: hlt; jmp 3b");
/* The same without PICs, which are outside with a split chip. */
VISOR_GUEST_ASM16(wait_for_msis, "lidt [0x200]; mov sp, 0x1900; mov dword ptr es:[0xf0], 0x1ff;"
                                 "mov al, 0; out 0x10, al; sti; 3: hlt; jmp 3b");

static void start_with(struct guest *g, visor_irqchip irqchip, const struct code *on_24,
                       const struct code *on_46, const struct code *program)
{
    struct x86_ivt_setup setup = {.ram = 0x2000,
                                  .isrs = {{0x24, on_24}, {0x45, &isr_45}, {0x46, on_46}},
                                  .others = &isr_other,
                                  .main = program,
                                  .vm = VISOR_VM_CONFIG_INIT};
    visor_x86_sregs sregs;

    if (irqchip == VISOR_IRQCHIP_SPLIT)
        NEED(g, IRQCHIP_SPLIT);
    else
        NEED(g, IRQCHIP);
    setup.vm.irqchip = irqchip;
    x86_start_ivt(g, &setup);
    CHECK_EQ(visor_vm_irqchip(g->vm), irqchip);
    sregs = x86_sregs(g->vcpu);
    sregs.es.base = LAPIC_BASE;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO_OUT(g, 0x10, 1, 0);
}

static void start(struct guest *g, visor_irqchip irqchip)
{
    start_with(g, irqchip, &isr_24, &isr_46,
               irqchip == VISOR_IRQCHIP_SPLIT ? &wait_for_msis : &wait_for_irqs);
}

/* Lets the guest wait for a while and checks that no handler runs. */
static void expect_quiet(struct where where, struct guest *g)
{
    kick_later(g->vcpu, 50);
    run_to(where, g->vcpu, VISOR_EXIT_KICKED);
}
#define EXPECT_QUIET(g)          expect_quiet(HERE, g)
#define EXPECT_VECTOR(g, vector) RUN_TO_OUT(g, 0xf0, 1, vector)

/* Redirection entry of an I/O APIC pin, to vCPU 0. */
static void set_pin(struct guest *g, unsigned pin, uint8_t vector, bool level)
{
    visor_x86_ioapic ioapic;

    CHECK_OK(visor_x86_get_ioapic(&ioapic, g->vm));
    ioapic.redirect[pin] = vector | (level ? 1u << 15 : 0);
    CHECK_OK(visor_x86_set_ioapic(g->vm, &ioapic));
}

CASE(irqchip, pic_line, "a line through the PIC")
{
    start(g, VISOR_IRQCHIP_KERNEL);
    EXPECT_QUIET(g);
    CHECK_OK(visor_vm_set_irq(g->vm, 4, true));
    CHECK_OK(visor_vm_set_irq(g->vm, 4, false));
    EXPECT_VECTOR(g, 0x24);
    EXPECT_QUIET(g);
}

CASE(irqchip, ioapic_edge, "an edge through the I/O APIC is delivered once")
{
    start(g, VISOR_IRQCHIP_KERNEL);
    set_pin(g, 5, 0x45, false);
    CHECK_OK(visor_vm_set_irq(g->vm, 5, true));
    EXPECT_VECTOR(g, 0x45);
    EXPECT_QUIET(g);
    CHECK_OK(visor_vm_set_irq(g->vm, 5, false));
    CHECK_OK(visor_vm_set_irq(g->vm, 5, true));
    EXPECT_VECTOR(g, 0x45);
    EXPECT_QUIET(g);
}

/* Nothing leaves for the VMM between the two: it is the run loop that has to look again. */
VISOR_GUEST_ASM16(count_24, "inc bl; mov al, 0x20; out 0x20, al; iret");
VISOR_GUEST_ASM16(count_46, "inc bl; mov dword ptr es:[0xb0], 0; iret");
VISOR_GUEST_ASM16(take_both, PROGRAM_CHIPS "mov bl, 0; mov al, 0; out 0x10, al;"
                                           "sti; nop; cli; mov al, bl; out 0x11, al; hlt");

CASE(irqchip, two_wait, "the PIC's and the local APIC's interrupt wait: one comes behind the other")
{
    start_with(g, VISOR_IRQCHIP_KERNEL, &count_24, &count_46, &take_both);
    set_pin(g, 5, 0x46, false);
    for (unsigned line = 4; line <= 5; line++)
        CHECK_OK(visor_vm_set_irq(g->vm, line, true));
    RUN_TO_OUT(g, 0x11, 1, 2);
}

VISOR_GUEST_ASM16(read_string, PROGRAM_CHIPS "mov al, 0; out 0x10, al; push es; push ds; pop es;"
                                             "cld; mov bl, 0; mov di, 0x1a00; mov cx, 8;"
                                             "mov dx, 0x80; rep insb; sti; nop; cli; mov al, bl;"
                                             "out 0x11, al; hlt");

CASE(irqchip, string_read, "a line rises while the elements of a string come in")
{
    start_with(g, VISOR_IRQCHIP_KERNEL, &count_24, &count_46, &read_string);
    for (unsigned i = 0; i < 8; i++) {
        RUN_TO_IN(g, 0x80, 1, i);
        if (i == 3)
            CHECK_OK(visor_vm_set_irq(g->vm, 4, true));
    }
    RUN_TO_OUT(g, 0x11, 1, 1);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(peek(g, 0x1a00 + i, 1), i);
}

CASE(irqchip, ioapic_level, "a level comes again until the line is low")
{
    start(g, VISOR_IRQCHIP_KERNEL);
    set_pin(g, 5, 0x45, true);
    CHECK_OK(visor_vm_set_irq(g->vm, 5, true));
    for (unsigned i = 0; i < 3; i++)
        EXPECT_VECTOR(g, 0x45);
    CHECK_OK(visor_vm_set_irq(g->vm, 5, false));
    EXPECT_QUIET(g);
}

CASE(irqchip, msi, "a message; one that the guest's APIC ignores says so")
{
    visor_msi msi = {.address = LAPIC_BASE, .data = 0x46};

    start(g, VISOR_IRQCHIP_KERNEL);
    NEED(g, MSI);
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 1);
    EXPECT_VECTOR(g, 0x46);
    msi.address = LAPIC_BASE | 7 << 12; /* there is no APIC 7 */
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 0);
    EXPECT_QUIET(g);
    msi.has_device_id = true;
    CHECK(visor_vm_send_msi(g->vm, &msi) < 0);
}

CASE(irqchip, irq_event, "an event raises an interrupt, also while the vCPU runs")
{
    visor_event event = event_create();

    start(g, VISOR_IRQCHIP_KERNEL);
    NEED(g, IRQFD);
    set_pin(g, 5, 0x45, false);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 5, event, VISOR_EVENT_NONE));
    event_signal(event);
    EXPECT_VECTOR(g, 0x45);
    EXPECT_QUIET(g);
    event_signal_later(event, 30);
    EXPECT_VECTOR(g, 0x45);
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 5, event));
    event_signal(event);
    EXPECT_QUIET(g);
    CHECK(event_take(event) != 0); /* nobody consumed it, and it is still open */
}

CASE(irqchip, irq_event_registration, "several events a line; the same one twice is refused")
{
    visor_event a = event_create(), b = event_create(), c = event_create();

    start(g, VISOR_IRQCHIP_KERNEL);
    NEED(g, IRQFD);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 4, a, VISOR_EVENT_NONE));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 8, b, VISOR_EVENT_NONE));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 4, c, VISOR_EVENT_NONE));
    CHECK_ERROR(visor_vm_add_irq_event(g->vm, 4, c, VISOR_EVENT_NONE), EEXIST);
    CHECK_ERROR(visor_vm_add_irq_event(g->vm, 8, c, VISOR_EVENT_NONE), EEXIST);
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 4, a));
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 8, b));
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 4, c));
    CHECK_ERROR(visor_vm_remove_irq_event(g->vm, 4, c), ENOENT);
}

CASE(irqchip, resample, "at the end of a level interrupt the resample event is signalled")
{
    visor_event event = event_create(), resample = event_create();

    start(g, VISOR_IRQCHIP_KERNEL);
    NEED(g, IRQFD_RESAMPLE);
    set_pin(g, 5, 0x45, true);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 5, event, resample));
    event_signal(event);
    EXPECT_VECTOR(g, 0x45);
    CHECK_EQ(event_take(resample), 0); /* the handler has not ended the interrupt yet */
    EXPECT_QUIET(g);
    CHECK_EQ(event_take(resample), 1);
    event_signal(event); /* the device still wants service */
    EXPECT_VECTOR(g, 0x45);
    EXPECT_QUIET(g);
    CHECK_EQ(event_take(resample), 1);
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 5, event));
}

CASE(irqchip, resample_bogus, "a resample event that is none is refused, and not closed")
{
    visor_event event = event_create(), resample = event_create();

    start(g, VISOR_IRQCHIP_KERNEL);
    NEED(g, IRQFD_RESAMPLE);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 4, event, resample));
    CHECK_OK(visor_vm_remove_irq_event(g->vm, 4, event));
    CHECK(visor_vm_add_irq_event(g->vm, 4, event, 2147483600) < 0);
    CHECK_ERROR(visor_vm_remove_irq_event(g->vm, 4, event), ENOENT);
    CHECK_OK(visor_vm_add_irq_event(g->vm, 4, event, resample));
}

CASE(irqchip, routes, "routes: I/O APIC, PIC and message, each set replacing the one before")
{
    visor_route route[3] = {{.gsi = 20, .is_msi = true, .msi = {LAPIC_BASE, 0x46, 0, false}},
                            {.gsi = 21, .chip = VISOR_CHIP_IOAPIC, .pin = 5},
                            {.gsi = 22, .chip = VISOR_CHIP_PIC_PRIMARY, .pin = 4}};
    visor_event event = event_create();

    start(g, VISOR_IRQCHIP_KERNEL);
    set_pin(g, 5, 0x45, false);
    CHECK_OK(visor_vm_set_routes(g->vm, NULL, 0));
    CHECK_OK(visor_vm_set_routes(g->vm, &route[1], 1));
    CHECK_OK(visor_vm_set_routes(g->vm, &route[0], 1));
    CHECK_OK(visor_vm_set_routes(g->vm, route, 3));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 20, event, VISOR_EVENT_NONE));
    event_signal(event);
    EXPECT_VECTOR(g, 0x46);
    CHECK_OK(visor_vm_set_irq(g->vm, 21, true));
    CHECK_OK(visor_vm_set_irq(g->vm, 21, false));
    EXPECT_VECTOR(g, 0x45);
    CHECK_OK(visor_vm_set_irq(g->vm, 22, true));
    CHECK_OK(visor_vm_set_irq(g->vm, 22, false));
    EXPECT_VECTOR(g, 0x24);
    /* gsi 4, a line of the chips by default, has no route any more. */
    visor_vm_set_irq(g->vm, 4, true);
    visor_vm_set_irq(g->vm, 4, false);
    EXPECT_QUIET(g);
    route[0].msi.data = 0x45;
    CHECK_OK(visor_vm_set_routes(g->vm, &route[0], 1));
    event_signal(event);
    EXPECT_VECTOR(g, 0x45);
}

CASE(irqchip, routes_invalid, "chips that x86 does not have, and pins that a chip does not have")
{
    visor_route route = {.gsi = 1, .chip = VISOR_CHIP_GIC, .pin = 3};

    start(g, VISOR_IRQCHIP_KERNEL);
    CHECK_ERROR(visor_vm_set_routes(g->vm, &route, 1), EINVAL);
    route.chip = VISOR_CHIP_AIA;
    CHECK_ERROR(visor_vm_set_routes(g->vm, &route, 1), EINVAL);
    route.chip = VISOR_CHIP_IOAPIC;
    route.pin = 24;
    CHECK_ERROR(visor_vm_set_routes(g->vm, &route, 1), EINVAL);
    route.chip = VISOR_CHIP_PIC_SECONDARY;
    route.pin = 8;
    CHECK_ERROR(visor_vm_set_routes(g->vm, &route, 1), EINVAL);
    route = (visor_route){.gsi = 1, .is_msi = true, .msi = {0xf000000, 0xa0, 0, false}};
    CHECK_OK(visor_vm_set_routes(g->vm, &route, 1));
    route.msi.has_device_id = true;
    CHECK(visor_vm_set_routes(g->vm, &route, 1) < 0);
}

CASE(irqchip, split_msi, "split chip: messages reach the local APIC in the kernel")
{
    const visor_msi msi = {.address = LAPIC_BASE, .data = 0x46};

    start(g, VISOR_IRQCHIP_SPLIT);
    CHECK_EQ(CHECK_OK(visor_vm_send_msi(g->vm, &msi)), 1);
    EXPECT_VECTOR(g, 0x46);
    EXPECT_QUIET(g);
}

CASE(irqchip, split_eoi,
     "split chip: the end of a level interrupt of the outer I/O APIC is an exit")
{
    /* Data bit 15: level triggered, bit 14: asserted (SDM vol. 3A, 11.11.2). */
    const visor_route route = {.gsi = 3, .is_msi = true, .msi = {LAPIC_BASE, 0xc045, 0, false}};
    visor_event event = event_create();

    start(g, VISOR_IRQCHIP_SPLIT);
    CHECK_OK(visor_vm_set_routes(g->vm, &route, 1));
    CHECK_OK(visor_vm_add_irq_event(g->vm, 3, event, VISOR_EVENT_NONE));
    event_signal(event);
    EXPECT_VECTOR(g, 0x45);
    RUN_TO(g, IOAPIC_EOI);
    CHECK_EQ(visor_vcpu_exit(g->vcpu)->eoi.vector, 0x45);
    EXPECT_QUIET(g);
}

VISOR_GUEST_ASM16(pic_ports, "out 0x20, al; in al, 0x21; out 0x40, al; hlt");

CASE(irqchip, split_leaves_ports, "split chip: PIC and PIT ports are the VMM's")
{
    struct x86_setup setup = {
        .load = 0x1000, .code = &pic_ports, .vm = VISOR_VM_CONFIG_INIT, .regs = {.rax = 0x11}};
    visor_x86_pic pic;

    NEED(g, IRQCHIP_SPLIT);
    setup.vm.irqchip = VISOR_IRQCHIP_SPLIT;
    x86_start(g, &setup);
    RUN_TO_OUT(g, 0x20, 1, 0x11);
    RUN_TO_IN(g, 0x21, 1, 0x33);
    RUN_TO_OUT(g, 0x40, 1, 0x33);
    CHECK(visor_x86_get_pic(&pic, g->vm, false) < 0);
}

CASE(irqchip, no_pit, "a kernel chip without the interval timer leaves its ports to the VMM")
{
    struct x86_setup setup = {
        .load = 0x1000, .code = &pic_ports, .vm = VISOR_VM_CONFIG_INIT, .regs = {.rax = 0x20}};
    visor_x86_pit pit;

    NEED(g, IRQCHIP);
    setup.vm.irqchip = VISOR_IRQCHIP_KERNEL;
    setup.vm.no_pit = true;
    x86_start(g, &setup);
    RUN(g);
    CHECK_EQ(visor_vcpu_exit(g->vcpu)->io.address, 0x40);
    CHECK(visor_x86_get_pit(&pit, g->vm) < 0);
}
