/* SPDX-License-Identifier: BSD-3-Clause */
/* visor_x86_events: everything on its way into the vCPU, bit by bit. */
#include "x86.h"

#include <string.h>

/* Handlers at 0x1700 (others), 0x1800 (#GP: error code to RAX), 0x1900 (NMI), 0x1a00 (32). */
VISOR_GUEST_ASM64(on_other, "mov ebx, 255; hlt");
VISOR_GUEST_ASM64(on_gp, "mov ebx, 13; pop rax; mov rcx, [rsp]; hlt");
VISOR_GUEST_ASM64(on_nmi, "mov ebx, 2; hlt");
VISOR_GUEST_ASM64(on_32, "mov ebx, 32; hlt");
VISOR_GUEST_ASM64(on_pf, "mov ebx, 14; pop rax; mov rcx, cr2; hlt");
VISOR_GUEST_ASM64(just_halt, "nop; nop; nop; hlt");

static void start(struct guest *g, visor_x86_events *events)
{
    static const struct {
        uint64_t gpa;
        const struct code *code;
        unsigned vector;
    } handlers[] = {
        {0x1800, &on_gp, 13}, {0x1900, &on_nmi, 2}, {0x1a00, &on_32, 32}, {0x1b00, &on_pf, 14}};

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = &just_halt,
                                     .idt = 0x12000,
                                     .regs = {.rsp = 0x900, .rflags = X86_FLAG_IF}});
    put(g, 0x1700, on_other.bytes, on_other.length);
    x86_set_gates(g, 0x12000, 0x1700);
    for (unsigned i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        put(g, handlers[i].gpa, handlers[i].code->bytes, handlers[i].code->length);
        x86_set_gate(g, 0x12000, handlers[i].vector, handlers[i].gpa);
    }
    CHECK_OK(visor_x86_get_events(events, g->vcpu));
}

/* Sets events and reads them back. */
static void set_and_get(struct guest *g, const visor_x86_events *set, visor_x86_events *got)
{
    CHECK_OK(visor_x86_set_events(g->vcpu, set));
    memset(got, 0xee, sizeof(*got));
    CHECK_OK(visor_x86_get_events(got, g->vcpu));
}

CASE(events, none_at_first, "a fresh vCPU has none")
{
    visor_x86_events events;

    start(g, &events);
    CHECK_EQ(events.exception.injected, 0);
    CHECK_EQ(events.interrupt.injected, 0);
    CHECK_EQ(events.nmi.injected, 0);
    CHECK_EQ(events.nmi.masked, 0);
    CHECK_EQ(events.nmi.pending, 0);
    CHECK_EQ(events.smi.pending, 0);
    CHECK_EQ(events.triple_fault.pending, 0);
}

CASE(events, exception, "an injected exception: vector and error code reach the handler")
{
    visor_x86_events set, got;

    start(g, &set);
    set.exception.injected = 1;
    set.exception.vector = 13;
    set.exception.has_error_code = 1;
    set.exception.error_code = 0x1234;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.exception.injected, 1);
    CHECK_EQ(got.exception.vector, 13);
    CHECK_EQ(got.exception.has_error_code, 1);
    CHECK_EQ(got.exception.error_code, 0x1234);
    CHECK_EQ(got.exception.has_payload, 0);
    CHECK_EQ(got.interrupt.injected, 0);
    CHECK_EQ(got.nmi.injected, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 13);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x1234);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0x1000);
}

CASE(events, interrupt, "an injected interrupt")
{
    visor_x86_events set, got;

    start(g, &set);
    set.interrupt.injected = 1;
    set.interrupt.vector = 32;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.interrupt.injected, 1);
    CHECK_EQ(got.interrupt.vector, 32);
    CHECK_EQ(got.interrupt.soft, 0);
    CHECK_EQ(got.nmi.injected, 0);
    CHECK_EQ(got.exception.injected, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 32);
}

CASE(events, soft_interrupt, "the soft bit of an interrupt is kept")
{
    visor_x86_events set, got;

    start(g, &set);
    set.interrupt.injected = 1;
    set.interrupt.vector = 0x80;
    set.interrupt.soft = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.interrupt.injected, 1);
    CHECK_EQ(got.interrupt.vector, 0x80);
    CHECK_EQ(got.interrupt.soft, 1);
}

CASE(events, nmi_injected, "nmi.injected is its own bit, not the interrupt's")
{
    visor_x86_events set, got;

    start(g, &set);
    set.nmi.injected = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.nmi.injected, 1);
    CHECK_EQ(got.interrupt.injected, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 2);
}

CASE(events, nmi_pending, "a pending NMI is delivered by the next run")
{
    visor_x86_events set, got;

    start(g, &set);
    CHECK_EQ(set.nmi.has_pending, 1);
    set.nmi.pending = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.nmi.pending, 1);
    CHECK_EQ(got.nmi.injected, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 2);
}

CASE(events, nmi_masked, "a masked NMI is not delivered, and stays pending")
{
    visor_x86_events set, got;

    start(g, &set);
    set.nmi.masked = 1;
    set.nmi.has_pending = 1;
    set.nmi.pending = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.nmi.masked, 1);
    CHECK_EQ(got.nmi.pending, 1);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 0);
    CHECK_OK(visor_x86_get_events(&got, g->vcpu));
    CHECK_EQ(got.nmi.masked, 1);
    CHECK_EQ(got.nmi.pending, 1);
}

CASE(events, shadow, "the interrupt shadow holds off an interrupt for one instruction")
{
    visor_x86_events set, got;

    start(g, &set);
    CHECK_EQ(set.interrupt.has_shadow, 1);
    CHECK_EQ(set.interrupt.shadow, 0);
    set.interrupt.shadow = 2;
    set_and_get(g, &set, &got);
    /* AMD's processors have one bit for both kinds of shadow. */
    CHECK((got.interrupt.shadow & 2) != 0);
    CHECK_OK(visor_x86_request_irq_window(g->vcpu, true));
    RUN_TO(g, IRQ_WINDOW);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1001);
    CHECK_OK(visor_x86_get_events(&got, g->vcpu));
    CHECK_EQ(got.interrupt.shadow, 0);
}

CASE(events, smm, "system management mode: each bit by itself")
{
    visor_x86_events set, got;

    start(g, &set);
    if (!set.smi.has_smm)
        SKIP("the hypervisor does not report system management mode");
    set.smi.smm = 1;
    set.smi.inside_nmi = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.smi.smm, 1);
    CHECK_EQ(got.smi.inside_nmi, 1);
    CHECK_EQ(got.smi.pending, 0);
    CHECK_EQ(got.nmi.masked, 0);
    set.smi.inside_nmi = 0;
    set.smi.pending = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.smi.smm, 1);
    CHECK_EQ(got.smi.inside_nmi, 0);
    CHECK_EQ(got.smi.pending, 1);
    memset(&set.smi, 0, sizeof(set.smi));
    set.smi.has_smm = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.smi.smm, 0);
    CHECK_EQ(got.smi.pending, 0);
}

CASE(events, members_not_reported, "a member whose has_ flag is 0 is left alone")
{
    visor_x86_events set, got;

    start(g, &set);
    set.nmi.pending = 1;
    set.nmi.masked = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.nmi.pending, 1);
    set.nmi.has_pending = 0;
    set.nmi.pending = 0;
    set.interrupt.has_shadow = 0;
    set.smi.has_smm = 0;
    set.triple_fault.has_pending = 0;
    set.exception.has_pending = 0;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.nmi.pending, 1);
    CHECK_EQ(got.nmi.masked, 1);
}

CASE(events, triple_fault, "a pending triple fault")
{
    visor_x86_events set, got;

    start(g, &set);
    if (!set.triple_fault.has_pending)
        SKIP("the hypervisor does not report pending triple faults");
    set.triple_fault.pending = 1;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.triple_fault.pending, 1);
    RUN_TO(g, SHUTDOWN);
}

CASE(events, exception_pending, "a pending exception with payload: CR2 of a page fault")
{
    visor_x86_events set, got;

    start(g, &set);
    if (!set.exception.has_pending)
        SKIP("the hypervisor does not report pending exceptions apart from injected ones");
    set.exception.pending = 1;
    set.exception.vector = 14;
    set.exception.has_error_code = 1;
    set.exception.error_code = 2;
    set.exception.has_payload = 1;
    set.exception.payload = 0x123456789000u;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.exception.pending, 1);
    CHECK_EQ(got.exception.injected, 0);
    CHECK_EQ(got.exception.has_payload, 1);
    CHECK_EQ(got.exception.payload, 0x123456789000u);
    /* Without a payload the flag stays off: CR2 is what it was. */
    set.exception.has_payload = 0;
    set.exception.payload = 0;
    set_and_get(g, &set, &got);
    CHECK_EQ(got.exception.pending, 1);
    CHECK_EQ(got.exception.has_payload, 0);
    set.exception.has_payload = 1;
    set.exception.payload = 0x123456789000u;
    CHECK_OK(visor_x86_set_events(g->vcpu, &set));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 14);
    CHECK_EQ(x86_regs(g->vcpu).rax, 2);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0x123456789000u);
}
