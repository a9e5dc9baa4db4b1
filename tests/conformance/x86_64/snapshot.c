/* SPDX-License-Identifier: BSD-3-Clause */
/* What a snapshot of an x86-64 VM must hold: every piece of state, also what is half done. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

/* Saves g and restores it into twin, a new VM of the same shape. */
static void move(struct guest *g, struct guest *twin, const visor_vm_config *config)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    const uint64_t ram = visor_memory_size(g->memory);

    NEED(g, SNAPSHOT);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    *twin = (struct guest){.hv = g->hv};
    x86_create(twin, ram, config);
    CHECK_OK(visor_x86_configure_cpuid(twin->vcpu, NULL));
    CHECK_OK(visor_vm_restore(twin->vm, &stream, NULL));
    buffer_free(&buffer);
}

static void twin_free(struct guest *twin)
{
    visor_vcpu_free(twin->vcpu);
    visor_vm_free(twin->vm);
    visor_memory_free(twin->memory);
}

VISOR_GUEST_ASM64(halt, "hlt; hlt; hlt");

static void fill_state(struct guest *g)
{
    union {
        visor_x86_regs regs;
        uint64_t reg[16];
    } all = {.regs = x86_regs(g->vcpu)};
    visor_x86_sregs sregs = x86_sregs(g->vcpu);
    visor_x86_debugregs debugregs;
    visor_x86_fpu fpu;

    for (unsigned i = 0; i < 16; i++)
        all.reg[i] = 0x0101010101010101u * (i + 1);
    all.regs.rflags = 0x2 | X86_FLAG_ZF | X86_FLAG_SF;
    x86_set_regs(g->vcpu, &all.regs);
    sregs.fs.base = 0xffff800000001000u;
    sregs.gs.base = 0x7000;
    sregs.cr2 = 0xdeadb000u;
    sregs.cr8 = 3;
    sregs.ldt = (visor_x86_segment){
        .base = 0x3000, .limit = 0xff, .selector = 0x28, .type = 2, .present = 1};
    x86_set_sregs(g->vcpu, &sregs);
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    for (unsigned i = 0; i < 4; i++)
        debugregs.db[i] = 0x5000 + i;
    debugregs.dr6 |= 2;
    CHECK_OK(visor_x86_set_debugregs(g->vcpu, &debugregs));
    visor_x86_reset_fpu(&fpu);
    for (unsigned i = 0; i < 16; i++)
        memset(fpu.xmm[i], (int)(0x30 + i), 16);
    fpu.st[0].significand = 0xc90fdaa22168c235u;
    fpu.st[0].sign_exponent = 0x4000;
    fpu.ftw = 1;
    fpu.mxcsr = 0x3f80;
    CHECK_OK(visor_x86_set_fpu(g->vcpu, &fpu));
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_STAR, 0x0023001000000000u));
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_LSTAR, 0xffff800000123450u));
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_KERNEL_GS_BASE, 0x9876));
    CHECK_OK(visor_x86_set_msr(g->vcpu, 0xc0000103, 77));
    CHECK_OK(visor_x86_set_msr(g->vcpu, 0x277, 0x0007010600070106u)); /* PAT */
}

static visor_x86_msr *all_msrs(struct guest *g, size_t *count)
{
    size_t capacity = (size_t)CHECK_OK(visor_x86_msr_list(NULL, 0, g->hv));
    visor_x86_msr *msrs = calloc(capacity, sizeof(*msrs));

    CHECK(msrs != NULL);
    *count = (size_t)CHECK_OK(visor_x86_get_all_msrs(msrs, capacity, g->vcpu));
    return msrs;
}

/* Counters go on by themselves: TSC, the TSC deadline, APERF and MPERF, HyperV's clocks. */
static bool msr_counts(uint32_t index)
{
    return index == X86_MSR_TSC || index == 0x3b || index == 0x6e0 || index == 0xe7 ||
           index == 0xe8 || index == 0x40000010 || index == 0x40000020;
}

static void check_same_state(struct guest *a, struct guest *b)
{
    visor_x86_regs regs[2] = {x86_regs(a->vcpu), x86_regs(b->vcpu)};
    visor_x86_sregs sregs[2] = {x86_sregs(a->vcpu), x86_sregs(b->vcpu)};
    visor_x86_debugregs debugregs[2];
    visor_x86_events events[2];
    visor_x86_xcrs xcrs[2];
    visor_x86_fpu fpu[2];
    visor_x86_msr *msrs[2];
    size_t counts[2];

    CHECK_BYTES(&regs[1], &regs[0], sizeof(regs[0]));
    CHECK_BYTES(&sregs[1], &sregs[0], sizeof(sregs[0]));
    CHECK_OK(visor_x86_get_debugregs(&debugregs[0], a->vcpu));
    CHECK_OK(visor_x86_get_debugregs(&debugregs[1], b->vcpu));
    CHECK_BYTES(&debugregs[1], &debugregs[0], sizeof(debugregs[0]));
    CHECK_OK(visor_x86_get_fpu(&fpu[0], a->vcpu));
    CHECK_OK(visor_x86_get_fpu(&fpu[1], b->vcpu));
    CHECK_BYTES(&fpu[1], &fpu[0], sizeof(fpu[0]));
    CHECK_OK(visor_x86_get_events(&events[0], a->vcpu));
    CHECK_OK(visor_x86_get_events(&events[1], b->vcpu));
    CHECK_BYTES(&events[1], &events[0], sizeof(events[0]));
    if (visor_vm_cap(a->vm, VISOR_CAP_X86_XCRS) > 0) {
        CHECK_OK(visor_x86_get_xcrs(&xcrs[0], a->vcpu));
        CHECK_OK(visor_x86_get_xcrs(&xcrs[1], b->vcpu));
        CHECK_BYTES(&xcrs[1], &xcrs[0], sizeof(xcrs[0]));
    }
    msrs[0] = all_msrs(a, &counts[0]);
    msrs[1] = all_msrs(b, &counts[1]);
    CHECK_EQ(counts[1], counts[0]);
    for (size_t i = 0; i < counts[0]; i++) {
        CHECK_EQ(msrs[1][i].index, msrs[0][i].index);
        if (!msr_counts(msrs[0][i].index) && msrs[1][i].value != msrs[0][i].value)
            FAIL("MSR 0x%x is 0x%llx, should be 0x%llx", msrs[0][i].index,
                 (unsigned long long)msrs[1][i].value, (unsigned long long)msrs[0][i].value);
    }
    free(msrs[0]);
    free(msrs[1]);
}

CASE(snapshot_x86, all_state, "every piece of vCPU state arrives in a new VM")
{
    struct guest twin;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &halt});
    RUN_TO(g, HLT);
    fill_state(g);
    move(g, &twin, NULL);
    check_same_state(g, &twin);
    twin_free(&twin);
}

CASE(snapshot_x86, same_vm, "and replaces what the same VM has done since")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_x86_regs regs;
    uint64_t lstar;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &halt});
    NEED(g, SNAPSHOT);
    RUN_TO(g, HLT);
    fill_state(g);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    CHECK_OK(visor_vcpu_reset(g->vcpu));
    poke(g, 0x2000, 0x77, 1);
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rbx, 0x0202020202020202u);
    CHECK_EQ(x86_sregs(g->vcpu).cr3, X86_PML4);
    CHECK_EQ(x86_sregs(g->vcpu).cr2, 0xdeadb000u);
    CHECK_OK(visor_x86_get_msr(&lstar, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(lstar, 0xffff800000123450u);
    CHECK_EQ(peek(g, 0x2000, 1), 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1002);
    buffer_free(&buffer);
}

VISOR_GUEST_ASM16(isr, "mov ebx, 888; iret");
VISOR_GUEST_ASM16(wait_main, "lidt [0x200]; mov sp, 0x900; hlt; nop; hlt");

CASE(snapshot_x86, pending_interrupt, "an interrupt that was injected is delivered after restore")
{
    struct guest twin;

    x86_start_ivt(
        g, &(struct x86_ivt_setup){.others = &isr, .main = &wait_main, .regs.rflags = X86_FLAG_IF});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_interrupt(g->vcpu, 0x31));
    move(g, &twin, NULL);
    RUN_TO(&twin, HLT);
    CHECK_EQ(x86_regs(twin.vcpu).rbx, 888);
    twin_free(&twin);
}

VISOR_GUEST_ASM16(nmi_isr, "out 0xf2, al; nop; iret");
VISOR_GUEST_ASM16(nmi_main, "lidt [0x200]; mov sp, 0x900; out 0x10, al; nop; hlt");

CASE(snapshot_x86, nmi_masked, "inside an NMI handler: the next NMI waits for its return")
{
    visor_x86_events events;
    struct guest twin;

    x86_start_ivt(
        g, &(struct x86_ivt_setup){.isrs = {{2, &nmi_isr}}, .others = &isr, .main = &nmi_main});
    RUN_TO_OUT(g, 0x10, 1, 0);
    CHECK_OK(visor_x86_nmi(g->vcpu));
    RUN_TO_OUT(g, 0xf2, 1, 0);
    move(g, &twin, NULL);
    CHECK_OK(visor_x86_get_events(&events, twin.vcpu));
    CHECK_EQ(events.nmi.masked, 1);
    CHECK_OK(visor_x86_nmi(twin.vcpu));
    RUN_TO_OUT(&twin, 0xf2, 1, 0);
    RUN_TO(&twin, HLT);
    CHECK_OK(visor_x86_get_events(&events, twin.vcpu));
    CHECK_EQ(events.nmi.masked, 0);
    twin_free(&twin);
}

CASE(snapshot_x86, nmi_pending, "an NMI on its way")
{
    struct guest twin;

    x86_start_ivt(
        g, &(struct x86_ivt_setup){.isrs = {{2, &nmi_isr}}, .others = &isr, .main = &nmi_main});
    RUN_TO_OUT(g, 0x10, 1, 0);
    CHECK_OK(visor_x86_nmi(g->vcpu));
    move(g, &twin, NULL);
    RUN_TO_OUT(&twin, 0xf2, 1, 0);
    RUN_TO(&twin, HLT);
    twin_free(&twin);
}

CASE(snapshot_x86, shadow, "the interrupt shadow of sti")
{
    visor_x86_events events;
    struct guest twin;

    x86_start_ivt(
        g, &(struct x86_ivt_setup){.others = &isr, .main = &wait_main, .regs.rflags = X86_FLAG_IF});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_events(&events, g->vcpu));
    events.interrupt.shadow = 2;
    CHECK_OK(visor_x86_set_events(g->vcpu, &events));
    move(g, &twin, NULL);
    CHECK_OK(visor_x86_get_events(&events, twin.vcpu));
    CHECK((events.interrupt.shadow & 2) != 0);
    twin_free(&twin);
}

CASE(snapshot_x86, pending_exception, "an exception on its way to the guest")
{
    visor_x86_events events;
    struct guest twin;

    x86_start_ivt(g, &(struct x86_ivt_setup){.others = &isr, .main = &wait_main});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_events(&events, g->vcpu));
    events.exception.injected = 1;
    events.exception.vector = 5; /* #BR: no error code */
    CHECK_OK(visor_x86_set_events(g->vcpu, &events));
    move(g, &twin, NULL);
    RUN_TO(&twin, HLT);
    CHECK_EQ(x86_regs(twin.vcpu).rbx, 888);
    twin_free(&twin);
}

VISOR_GUEST_ASM16(rep_ins, "cld; mov dx, 0x80; mov di, 0x2000; mov cx, 1; rep insb;"
                           "in al, 0x20; hlt");

CASE(snapshot_x86, half_finished_in, "a port read, and a string one, answered but not completed")
{
    struct guest twin, third;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_ins});
    RUN_TO_IN(g, 0x80, 1, 0x61);
    move(g, &twin, NULL);
    CHECK_EQ(peek(&twin, 0x2000, 1), 0x61);
    RUN_TO_IN(&twin, 0x20, 1, 0x5b);
    move(&twin, &third, NULL);
    RUN_TO(&third, HLT);
    CHECK_EQ(x86_regs(third.vcpu).rax & 0xff, 0x5b);
    twin_free(&twin);
    twin_free(&third);
}

VISOR_GUEST_ASM64(read_clock, "3: rdtsc; shl rdx, 32; or rax, rdx; out 0x10, al; jmp 3b");

CASE(snapshot_x86, tsc_goes_on, "the time stamp counter does not go back, nor leap")
{
    struct guest twin;
    uint64_t before, after;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &read_clock});
    CHECK_OK(visor_x86_set_tsc(g->vcpu, 1000000000000000u));
    RUN_TO(g, IO);
    before = x86_regs(g->vcpu).rax;
    move(g, &twin, NULL);
    RUN_TO(&twin, IO);
    after = x86_regs(twin.vcpu).rax;
    CHECK(after > before);
    CHECK(after - before < 1000000000000u);
    twin_free(&twin);
}

static visor_vm_config kernel_chip(struct guest *g)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    return config;
}

VISOR_GUEST_ASM16(pic_main, "lidt [0x200]; mov sp, 0x900; mov al, 0x11; out 0x20, al;"
                            "mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al;"
                            "mov al, 1; out 0x21, al; mov al, 0xef; out 0x21, al;"
                            "mov al, 0; out 0x10, al; sti; 3: hlt; jmp 3b");
VISOR_GUEST_ASM16(pic_isr, "out 0xf0, al; mov al, 0x20; out 0x20, al; iret");

CASE(snapshot_x86, chips, "interrupt chips: a line that is waiting in the PIC gets through")
{
    struct x86_ivt_setup setup = {
        .isrs = {{0x24, &pic_isr}}, .others = &isr, .main = &pic_main, .vm = kernel_chip(g)};
    visor_x86_ioapic ioapic, ioapic_back;
    visor_x86_lapic lapic, lapic_back;
    visor_x86_pic pic, pic_back;
    struct guest twin;

    x86_start_ivt(g, &setup);
    RUN_TO_OUT(g, 0x10, 1, 0);
    CHECK_OK(visor_x86_get_lapic(&lapic, g->vcpu));
    lapic.regs[0x0f] = 0x1f7;
    lapic.regs[0x08] = 0x10;
    CHECK_OK(visor_x86_set_lapic(g->vcpu, &lapic));
    CHECK_OK(visor_x86_get_ioapic(&ioapic, g->vm));
    ioapic.redirect[7] = 0x10055;
    CHECK_OK(visor_x86_set_ioapic(g->vm, &ioapic));
    CHECK_OK(visor_vm_set_irq(g->vm, 4, true));
    CHECK_OK(visor_x86_get_pic(&pic, g->vm, false));
    CHECK_EQ(pic.irr & 0x10, 0x10);
    CHECK_OK(visor_x86_get_ioapic(&ioapic, g->vm));
    CHECK_OK(visor_x86_get_lapic(&lapic, g->vcpu));
    move(g, &twin, &setup.vm);
    CHECK_OK(visor_x86_get_pic(&pic_back, twin.vm, false));
    CHECK_BYTES(&pic_back, &pic, sizeof(pic));
    CHECK_OK(visor_x86_get_ioapic(&ioapic_back, twin.vm));
    CHECK_BYTES(&ioapic_back, &ioapic, sizeof(ioapic));
    CHECK_OK(visor_x86_get_lapic(&lapic_back, twin.vcpu));
    for (unsigned i = 0; i < 0x38; i++) /* what follows are the timer's counters */
        CHECK_EQ(lapic_back.regs[i], lapic.regs[i]);
    RUN_TO_OUT(&twin, 0xf0, 1, 0);
    twin_free(&twin);
}

/* 10 ms of the PIT, which runs when the guest says so. */
VISOR_GUEST_ASM16(pit_main, "lidt [0x200]; mov sp, 0x900; mov al, 0x11; out 0x20, al;"
                            "mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al;"
                            "mov al, 1; out 0x21, al; mov al, 0xfe; out 0x21, al;"
                            "mov al, 0x34; out 0x43, al; mov al, 0x9c; out 0x40, al;"
                            "mov al, 0x2e; out 0x40, al; mov al, 0; out 0x10, al;"
                            "sti; 3: hlt; jmp 3b");

VISOR_GUEST_ASM16(pit_isr, "mov al, 0; out 0xf0, al; mov al, 0x20; out 0x20, al; iret");

struct slow_buffer {
    struct buffer buffer;
    unsigned sections;
};

/* Waits for longer than the PIT does before each of the first sections, which are the chips'. */
static int slow_read(void *context, void *data, size_t length)
{
    struct slow_buffer *slow = context;

    if (length == 32 && slow->sections++ < 6) /* what a section begins with */
        sleep_ms(15);
    return buffer_stream(&slow->buffer).read(&slow->buffer, data, length);
}

CASE(snapshot_x86, slow_stream, "timers go on, however long a snapshot takes to come in")
{
    struct x86_ivt_setup setup = {
        .isrs = {{0x20, &pit_isr}}, .others = &isr, .main = &pit_main, .vm = kernel_chip(g)};
    struct slow_buffer slow = {0};
    const visor_stream out = buffer_stream(&slow.buffer),
                       in = {.context = &slow, .read = slow_read};

    x86_start_ivt(g, &setup);
    NEED(g, SNAPSHOT);
    RUN_TO_OUT(g, 0x10, 1, 0);
    CHECK_OK(visor_vm_save(g->vm, &out, NULL));
    for (unsigned i = 0; i < 3; i++)
        RUN_TO_OUT(g, 0xf0, 1, 0);
    CHECK_OK(visor_vm_restore(g->vm, &in, NULL));
    for (unsigned i = 0; i < 3; i++)
        RUN_TO_OUT(g, 0xf0, 1, 0);
    buffer_free(&slow.buffer);
}

CASE(snapshot_x86, apic_base_and_deadline, "x2APIC mode and the deadline timer survive")
{
    struct x86_setup setup = {
        .mode = X86_LONG, .load = 0x1000, .code = &halt, .vm = kernel_chip(g)};
    visor_x86_lapic lapic;
    struct guest twin;
    uint64_t value;

    x86_start(g, &setup);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_APIC_BASE));
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_APIC_BASE, value | 1u << 10));
    if (visor_vm_cap(g->vm, VISOR_CAP_X86_TSC_DEADLINE) > 0) {
        CHECK_OK(visor_x86_get_lapic(&lapic, g->vcpu));
        lapic.regs[0x0f] = 0x1ff;
        lapic.regs[0x32] = 0x40060; /* deadline mode, vector 0x60 */
        CHECK_OK(visor_x86_set_lapic(g->vcpu, &lapic));
        CHECK_OK(visor_x86_set_msr(g->vcpu, 0x6e0, 0x7fffffffffffffffu));
    }
    move(g, &twin, &setup.vm);
    CHECK_OK(visor_x86_get_msr(&value, twin.vcpu, X86_MSR_APIC_BASE));
    CHECK_EQ(value & 0xc00, 0xc00);
    if (visor_vm_cap(g->vm, VISOR_CAP_X86_TSC_DEADLINE) > 0) {
        CHECK_OK(visor_x86_get_msr(&value, twin.vcpu, 0x6e0));
        CHECK_EQ(value, 0x7fffffffffffffffu);
    }
    twin_free(&twin);
}

CASE(snapshot_x86, mp_states, "a vCPU that waits to be started still waits")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_vm_config config = kernel_chip(g);
    visor_vcpu *second, *twin_second;
    struct guest twin = {.hv = g->hv};
    visor_mp_state state;

    x86_create(g, 0xf000, &config);
    NEED(g, SNAPSHOT);
    CHECK_OK(visor_vcpu_create(&second, g->vm, 1));
    CHECK_OK(visor_vcpu_set_mp_state(g->vcpu, VISOR_MP_HALTED));
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    x86_create(&twin, 0xf000, &config);
    CHECK_OK(visor_vcpu_create(&twin_second, twin.vm, 1));
    CHECK_OK(visor_vcpu_set_mp_state(twin_second, VISOR_MP_RUNNABLE));
    CHECK_OK(visor_vm_restore(twin.vm, &stream, NULL));
    CHECK_OK(visor_vcpu_get_mp_state(&state, twin.vcpu));
    CHECK_EQ(state, VISOR_MP_HALTED);
    CHECK_OK(visor_vcpu_get_mp_state(&state, twin_second));
    CHECK_EQ(state, VISOR_MP_UNINITIALIZED);
    visor_vcpu_free(second);
    visor_vcpu_free(twin_second);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot_x86, clock, "the paravirtual clock goes on from where it was")
{
    struct guest twin;
    uint64_t before, after;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &halt});
    NEED(g, PV_CLOCK);
    CHECK_OK(visor_vm_set_clock(g->vm, 5000000000000u));
    CHECK_OK(visor_vm_get_clock(&before, g->vm));
    move(g, &twin, NULL);
    CHECK_OK(visor_vm_get_clock(&after, twin.vm));
    CHECK(after >= before);
    CHECK(after - before < 60000000000u);
    twin_free(&twin);
}
