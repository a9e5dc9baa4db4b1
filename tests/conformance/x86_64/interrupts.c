/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts, NMIs and exceptions that the VMM injects itself: no interrupt chip. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

VISOR_GUEST_ASM16(set_eax_888, "mov eax, 888; iret");
VISOR_GUEST_ASM16(halt_twice, "lidt [0x200]; mov sp, 0x900; mov eax, 902; hlt; mov ebx, 990; hlt");

CASE(interrupts, one, "an injected interrupt runs its handler")
{
    x86_start_ivt(g, &(struct x86_ivt_setup){
                         .others = &set_eax_888, .main = &halt_twice, .regs.rflags = X86_FLAG_IF});
    RUN_TO(g, HLT);
    CHECK_EQ(CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)), 1);
    CHECK_EQ(x86_regs(g->vcpu).rax, 902);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0);
    CHECK_OK(visor_x86_interrupt(g->vcpu, 32));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, g->code_end);
    CHECK_EQ(x86_regs(g->vcpu).rax, 888);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 990);
}

VISOR_GUEST_ASM16(isr_32, "mov eax, 32; iret");
VISOR_GUEST_ASM16(isr_33, "mov ebx, 33; iret");
VISOR_GUEST_ASM16(isr_other, "mov ecx, 761; iret");
VISOR_GUEST_ASM16(four_values, "lidt [0x200]; mov esp, 0x900; mov eax, 1; mov ebx, 2; mov ecx, 3;"
                               "mov edx, 4; hlt; mov edx, 281; hlt");

CASE(interrupts, last_vector_wins, "of two injections before one run the later replaces the first")
{
    visor_x86_regs regs;

    x86_start_ivt(g, &(struct x86_ivt_setup){.isrs = {{32, &isr_32}, {33, &isr_33}},
                                             .others = &isr_other,
                                             .main = &four_values,
                                             .regs.rflags = X86_FLAG_IF});
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, 1);
    CHECK_EQ(regs.rbx, 2);
    CHECK_EQ(regs.rcx, 3);
    CHECK_EQ(regs.rdx, 4);
    CHECK_EQ(CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)), 1);
    CHECK_OK(visor_x86_interrupt(g->vcpu, 32));
    CHECK_EQ(CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)), 1);
    CHECK_OK(visor_x86_interrupt(g->vcpu, 33));
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rip, g->code_end);
    CHECK_EQ(regs.rax, 1);
    CHECK_EQ(regs.rbx, 33);
    CHECK_EQ(regs.rcx, 3);
    CHECK_EQ(regs.rdx, 281);
}

/* Runs to the next port write, and says whether an interrupt could be injected there. */
static bool ready_at_out(struct guest *g, uint16_t port, uint32_t length)
{
    RUN_TO_OUT(g, port, length, x86_regs(g->vcpu).rax & (length == 2 ? 0xffff : 0xff));
    return CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)) != 0;
}

VISOR_GUEST_ASM16(out_f0, "out 0xf0, ax; iret");
VISOR_GUEST_ASM16(shadows, "mov sp, 0x1900; lidt [0x200]; mov ax, ss; out 0x10, ax; mov ss, ax;"
                           "out 0x20, ax; nop; out 0x30, ax; out 0x40, ax; cli; sti;"
                           "out 0x50, ax; nop; out 0x60, ax; hlt");

CASE(interrupts, shadows,
     "not ready in the shadow of mov ss and of sti; delivered at once elsewhere")
{
    static const uint16_t ready_ports[] = {0x10, 0x30, 0x40, 0x60};
    static const uint16_t order[] = {0x10, 0xf0, 0x20, 0x30, 0xf0, 0x40, 0xf0, 0x50, 0x60, 0xf0};

    x86_start_ivt(
        g, &(struct x86_ivt_setup){
               .ram = 0x2000, .others = &out_f0, .main = &shadows, .regs.rflags = X86_FLAG_IF});
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        bool ready, expected = false;

        RUN_TO(g, IO);
        CHECK_EQ(visor_vcpu_exit(g->vcpu)->io.address, order[i]);
        if (order[i] == 0xf0)
            continue;
        ready = CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)) != 0;
        for (unsigned j = 0; j < 4; j++)
            expected |= order[i] == ready_ports[j];
        if (ready != expected)
            FAIL("at port 0x%x: ready is %d, should be %d", order[i], ready, expected);
        if (ready)
            CHECK_OK(visor_x86_interrupt(g->vcpu, 32));
    }
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, g->code_end);
}

VISOR_GUEST_ASM16(cli_sti, "cli; out 0x10, ax; sti; nop; out 0x20, ax; hlt");

CASE(interrupts, flag, "ready follows IF")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &cli_sti});
    CHECK(!ready_at_out(g, 0x10, 2));
    CHECK_EQ(x86_regs(g->vcpu).rflags & X86_FLAG_IF, 0);
    CHECK(ready_at_out(g, 0x20, 2));
    CHECK_EQ(x86_regs(g->vcpu).rflags & X86_FLAG_IF, X86_FLAG_IF);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + cli_sti.length);
}

VISOR_GUEST_ASM16(out_in_shadow, "cli; out 0x10, ax; sti; out 0x10, ax; nop; hlt");

CASE(interrupts, window, "exactly one window exit, after the shadow and before the halt")
{
    unsigned outs = 0, windows = 0;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &out_in_shadow});
    for (;;) {
        int reason = RUN(g);

        if (reason == VISOR_EXIT_IO) {
            CHECK_EQ(CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)), 0);
            if (outs++ == 0)
                CHECK_OK(visor_x86_request_irq_window(g->vcpu, true));
        } else if (reason == VISOR_EXIT_IRQ_WINDOW) {
            CHECK_EQ(outs, 2);
            CHECK_EQ(CHECK_OK(visor_x86_ready_for_interrupt(g->vcpu)), 1);
            CHECK_OK(visor_x86_request_irq_window(g->vcpu, false));
            windows++;
        } else if (reason == VISOR_EXIT_HLT) {
            break;
        } else {
            UNEXPECTED(g);
        }
    }
    CHECK_EQ(outs, 2);
    CHECK_EQ(windows, 1);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + out_in_shadow.length);
}

VISOR_GUEST_ASM16(window_main, "lidt [0x200]; mov sp, 0x900; cli; out 0x10, al; sti; nop; nop;"
                               "mov ebx, 990; hlt");

CASE(interrupts, window_then_interrupt, "the window is where a waiting interrupt gets in")
{
    x86_start_ivt(g, &(struct x86_ivt_setup){.others = &set_eax_888, .main = &window_main});
    CHECK(!ready_at_out(g, 0x10, 1));
    CHECK_ERROR(visor_x86_interrupt(g->vcpu, 32), EAGAIN);
    CHECK_OK(visor_x86_request_irq_window(g->vcpu, true));
    RUN_TO(g, IRQ_WINDOW);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0);
    CHECK_OK(visor_x86_interrupt(g->vcpu, 32));
    CHECK_OK(visor_x86_request_irq_window(g->vcpu, false));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 888);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 990);
}

VISOR_GUEST_ASM16(load_910, "mov ax, [0x910]; iret");
VISOR_GUEST_ASM16(closed, "lidt [0x200]; mov sp, 0x900; xor ax, ax; mov word ptr [0x910], 1; cli;"
                          "out 0x10, ax; sti; mov word ptr [0x910], 0; nop; hlt");

CASE(interrupts, not_ready, "injecting when not ready is EAGAIN, and never delivers too early")
{
    x86_start_ivt(g, &(struct x86_ivt_setup){
                         .others = &load_910, .main = &closed, .regs.rflags = X86_FLAG_IF});
    CHECK(!ready_at_out(g, 0x10, 2));
    CHECK_ERROR(visor_x86_interrupt(g->vcpu, 32), EAGAIN);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0);
}

VISOR_GUEST_ASM16(exits_in_shadows, "cli; out 0x10, ax; sti; out 0x20, ax; out 0x30, ax; nop;"
                                    "mov ax, ss; mov ss, ax; out 0x40, ax; out 0x50, ax; hlt");

CASE(interrupts, ready_at_exits, "an instruction that exits in a shadow ends the shadow")
{
    static const struct {
        uint16_t port;
        bool ready;
    } expected[] = {{0x10, false}, {0x20, false}, {0x30, true}, {0x40, false}, {0x50, true}};

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &exits_in_shadows});
    for (unsigned i = 0; i < 5; i++) {
        bool ready = ready_at_out(g, expected[i].port, 2);

        if (ready != expected[i].ready)
            FAIL("at port 0x%x: ready is %d, should be %d", expected[i].port, ready,
                 expected[i].ready);
    }
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + exits_in_shadows.length);
}

VISOR_GUEST_ASM16(int_80, "int 0x80; hlt");

CASE(interrupts, software_interrupt, "an interrupt whose stack lies outside memory")
{
    int reason;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &int_80});
    reason = RUN(g);
    /* Kernels differ: some emulate the push as MMIO, some refuse MMIO while an event is being
     * delivered. */
    if (reason != VISOR_EXIT_MMIO && reason != VISOR_EXIT_INTERNAL_ERROR)
        UNEXPECTED(g);
    if (reason == VISOR_EXIT_MMIO)
        CHECK(visor_vcpu_exit(g->vcpu)->io.is_write);
}

VISOR_GUEST_ASM16(nmi_isr, "out 0xf2, al; mov ebx, 2; iret");
VISOR_GUEST_ASM16(nmi_main,
                  "lidt [0x200]; mov sp, 0x900; cli; out 0x10, al; nop; out 0x20, al; hlt");

static void start_nmi(struct guest *g)
{
    x86_start_ivt(g, &(struct x86_ivt_setup){
                         .isrs = {{2, &nmi_isr}}, .others = &isr_other, .main = &nmi_main});
    NEED(g, NMI);
    RUN_TO_OUT(g, 0x10, 1, 0);
}

CASE(interrupts, nmi, "an NMI is delivered although interrupts are off")
{
    start_nmi(g);
    CHECK_OK(visor_x86_nmi(g->vcpu));
    RUN_TO_OUT(g, 0xf2, 1, 0);
    RUN_TO_OUT(g, 0x20, 1, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 2);
    CHECK_EQ(x86_regs(g->vcpu).rip, g->code_end);
}

CASE(interrupts, nmi_masked_until_iret, "a second NMI waits until the handler of the first returns")
{
    visor_x86_events events;

    start_nmi(g);
    CHECK_OK(visor_x86_nmi(g->vcpu));
    RUN_TO_OUT(g, 0xf2, 1, 0);
    CHECK_OK(visor_x86_get_events(&events, g->vcpu));
    CHECK_EQ(events.nmi.masked, 1);
    CHECK_OK(visor_x86_nmi(g->vcpu));
    RUN_TO_OUT(g, 0xf2, 1, 0);
    RUN_TO_OUT(g, 0x20, 1, 0);
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_events(&events, g->vcpu));
    CHECK_EQ(events.nmi.masked, 0);
}

CASE(interrupts, nmi_at_halt, "an NMI wakes a halted vCPU")
{
    start_nmi(g);
    RUN_TO_OUT(g, 0x20, 1, 0);
    RUN_TO(g, HLT);
    poke(g, g->code_end, 0xf4, 1); /* another halt for the return */
    CHECK_OK(visor_x86_nmi(g->vcpu));
    RUN_TO_OUT(g, 0xf2, 1, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 2);
    CHECK_EQ(x86_regs(g->vcpu).rip, g->code_end + 1);
}

CASE(interrupts, no_chip, "what needs an interrupt chip says so without one")
{
    const visor_route route = {.gsi = 1, .chip = VISOR_CHIP_IOAPIC, .pin = 3};
    const visor_msi msi = {.address = 0xfee00000u, .data = 0x40};
    visor_x86_lapic lapic;
    visor_x86_pic pic;

    x86_start(g, &(struct x86_setup){0});
    CHECK(visor_vm_set_irq(g->vm, 4, true) < 0);
    CHECK(visor_vm_set_routes(g->vm, &route, 1) < 0);
    CHECK(visor_vm_send_msi(g->vm, &msi) < 0);
    CHECK(visor_x86_get_lapic(&lapic, g->vcpu) < 0);
    CHECK(visor_x86_get_pic(&pic, g->vm, false) < 0);
}
