/* SPDX-License-Identifier: BSD-3-Clause */
/* State of the interrupt chips and timers in the kernel; processors waiting to be started. */
#include "x86.h"

#include <pthread.h>
#include <string.h>

static void create(struct guest *g)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    x86_create(g, 0xf000, &config);
    CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
}

CASE(chips, pic, "PIC state: every member comes back")
{
    /* Values that a chip can have: of the lowest priority there are three bits, and which lines can
     * be level-triggered is each half's own. */
    const visor_x86_pic set = {.last_irr = 1,
                               .irr = 2,
                               .imr = 4,
                               .isr = 8,
                               .priority_add = 5,
                               .irq_base = 0x20,
                               .poll = 1,
                               .special_mask = 1,
                               .init_state = 2,
                               .auto_eoi = 1,
                               .special_fully_nested_mode = 1,
                               .init4 = 1,
                               .elcr = 0x40,
                               .elcr_mask = 0xf8};
    visor_x86_pic second = set, got, other;

    second.elcr_mask = 0xde;
    create(g);
    CHECK_OK(visor_x86_get_pic(&other, g->vm, true));
    CHECK_OK(visor_x86_set_pic(g->vm, false, &set));
    CHECK_OK(visor_x86_get_pic(&got, g->vm, false));
    CHECK_BYTES(&got, &set, sizeof(set));
    CHECK_OK(visor_x86_get_pic(&got, g->vm, true));
    CHECK_BYTES(&got, &other, sizeof(other));
    CHECK_OK(visor_x86_set_pic(g->vm, true, &second));
    CHECK_OK(visor_x86_get_pic(&got, g->vm, true));
    CHECK_BYTES(&got, &second, sizeof(second));
}

CASE(chips, ioapic, "I/O APIC state: identifier, select register, all redirection entries")
{
    visor_x86_ioapic set, got;

    create(g);
    CHECK_OK(visor_x86_get_ioapic(&set, g->vm));
    CHECK_EQ(set.base_address, 0xfec00000u);
    set.id = 4;
    set.ioregsel = 2;
    for (unsigned i = 0; i < VISOR_X86_IOAPIC_PINS; i++) /* masked, logical, lowest priority */
        set.redirect[i] = 0xaa00000000010900u | (0x40 + i);
    CHECK_OK(visor_x86_set_ioapic(g->vm, &set));
    CHECK_OK(visor_x86_get_ioapic(&got, g->vm));
    CHECK_BYTES(&got, &set, sizeof(set));
}

CASE(chips, lapic, "local APIC state: registers and their places")
{
    visor_x86_lapic set, got;

    create(g);
    CHECK_OK(visor_x86_get_lapic(&set, g->vcpu));
    CHECK_EQ(set.regs[2], 0);           /* APIC ID of vCPU 0 */
    CHECK_EQ(set.regs[3] & 0xff, 0x14); /* version (SDM vol. 3A, 11.4.8) */
    set.regs[0x0f] = 0x1f0;             /* enabled, spurious vector 0xf0 */
    set.regs[0x32] = 0x10061;           /* timer: masked, vector 0x61 */
    set.regs[0x35] = 0x700;             /* LINT0: external */
    set.regs[0x36] = 0x400;             /* LINT1: NMI */
    set.regs[0x08] = 0x20;              /* task priority */
    CHECK_OK(visor_x86_set_lapic(g->vcpu, &set));
    CHECK_OK(visor_x86_get_lapic(&got, g->vcpu));
    CHECK_EQ(got.regs[0x0f], 0x1f0);
    CHECK_EQ(got.regs[0x32], 0x10061);
    CHECK_EQ(got.regs[0x35], 0x700);
    CHECK_EQ(got.regs[0x36], 0x400);
    CHECK_EQ(got.regs[0x08], 0x20);
    CHECK_EQ(x86_sregs(g->vcpu).cr8, 2); /* bits 7 to 4 of the task priority */
}

CASE(chips, pit, "PIT state: what is set comes back")
{
    visor_x86_pit set, got;

    create(g);
    CHECK_OK(visor_x86_get_pit(&set, g->vm));
    for (unsigned i = 0; i < 3; i++) {
        set.channel[i].count = 0x1234 + i;
        set.channel[i].mode = 2;
        set.channel[i].rw_mode = 3;
        set.channel[i].gate = 1;
        set.channel[i].bcd = 0;
        set.channel[i].read_state = 1;
        set.channel[i].write_state = 4;
        set.channel[i].reload_value = 0x34;
        set.channel[i].latched_count = 0x55;
        set.channel[i].count_latched = 1;
        set.channel[i].status = 7;
    }
    CHECK_OK(visor_x86_set_pit(g->vm, &set));
    CHECK_OK(visor_x86_get_pit(&got, g->vm));
    for (unsigned i = 0; i < 3; i++)
        got.channel[i].load_time = set.channel[i].load_time; /* counting starts anew when set */
    CHECK_BYTES(&got, &set, sizeof(set));
}

VISOR_GUEST_ASM16(tick_isr, "out 0xf0, al; mov al, 0x20; out 0x20, al; iret");
VISOR_GUEST_ASM16(pit_main, "lidt [0x200]; mov sp, 0x1900; mov al, 0x11; out 0x20, al;"
                            "mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al;"
                            "mov al, 1; out 0x21, al; mov al, 0xfe; out 0x21, al;"
                            "mov al, 0x34; out 0x43, al; mov al, 0xa9; out 0x40, al;"
                            "mov al, 4; out 0x40, al; sti; 3: hlt; jmp 3b");

CASE(chips, pit_ticks, "the interval timer interrupts through the PIC, again and again")
{
    struct x86_ivt_setup setup = {.ram = 0x2000,
                                  .isrs = {{0x20, &tick_isr}},
                                  .others = &tick_isr,
                                  .main = &pit_main,
                                  .vm = VISOR_VM_CONFIG_INIT};
    uint64_t begin;

    NEED(g, IRQCHIP);
    setup.vm.irqchip = VISOR_IRQCHIP_KERNEL;
    x86_start_ivt(g, &setup);
    begin = now_ns();
    for (unsigned i = 0; i < 20; i++) {
        RUN_TO(g, IO);
        CHECK_EQ(visor_vcpu_exit(g->vcpu)->io.address, 0xf0);
    }
    CHECK(now_ns() - begin >= 15000000u); /* 1193 ticks of 1.193 MHz are 1 ms */
}

VISOR_GUEST_ASM16(timer_isr, "out 0xf0, al; mov dword ptr es:[0xb0], 0; iret");
VISOR_GUEST_ASM16(timer_main, "lidt [0x200]; mov sp, 0x1900; mov dword ptr es:[0xf0], 0x1ff;"
                              "mov dword ptr es:[0x3e0], 0xb; mov dword ptr es:[0x320], 0x20060;"
                              "mov dword ptr es:[0x380], 1000000; sti; 3: hlt; jmp 3b");

CASE(chips, lapic_timer, "the local APIC's periodic timer")
{
    struct x86_ivt_setup setup = {.ram = 0x2000,
                                  .isrs = {{0x60, &timer_isr}},
                                  .others = &tick_isr,
                                  .main = &timer_main,
                                  .vm = VISOR_VM_CONFIG_INIT};
    visor_x86_sregs sregs;
    uint64_t begin;

    NEED(g, IRQCHIP);
    setup.vm.irqchip = VISOR_IRQCHIP_KERNEL;
    x86_start_ivt(g, &setup);
    sregs = x86_sregs(g->vcpu);
    sregs.es.base = 0xfee00000u;
    x86_set_sregs(g->vcpu, &sregs);
    begin = now_ns();
    for (unsigned i = 0; i < 20; i++) {
        RUN_TO(g, IO);
        CHECK_EQ(visor_vcpu_exit(g->vcpu)->io.address, 0xf0);
    }
    CHECK(now_ns() - begin >= 10000000u); /* 10^6 ticks of 1 GHz are 1 ms */
}

CASE(chips, mp_state, "multiprocessor state goes both ways")
{
    visor_mp_state state;
    visor_vcpu *second;

    create(g);
    NEED(g, MP_STATE);
    CHECK_OK(visor_vcpu_get_mp_state(&state, g->vcpu));
    CHECK_EQ(state, VISOR_MP_RUNNABLE);
    CHECK_OK(visor_vcpu_set_mp_state(g->vcpu, state));
    CHECK_OK(visor_vcpu_create(&second, g->vm, 1));
    CHECK_OK(visor_vcpu_get_mp_state(&state, second));
    CHECK_EQ(state, VISOR_MP_UNINITIALIZED);
    CHECK_OK(visor_vcpu_set_mp_state(second, VISOR_MP_RUNNABLE));
    CHECK_OK(visor_vcpu_get_mp_state(&state, second));
    CHECK_EQ(state, VISOR_MP_RUNNABLE);
    CHECK(visor_vcpu_set_mp_state(second, (visor_mp_state)77) < 0);
    visor_vcpu_free(second);
}

VISOR_GUEST_ASM16(start_second, "mov dword ptr es:[0xf0], 0x1ff;"
                                "mov dword ptr es:[0x310], 0x1000000;"
                                "mov dword ptr es:[0x300], 0x4500;" /* INIT */
                                "out 0x10, al;"
                                "mov dword ptr es:[0x300], 0x4602;" /* start at 0x2000 */
                                "3: pause; cmp byte ptr [0x3000], 0x77; jne 3b; out 0x11, al");
VISOR_GUEST_ASM16(second_code, "mov byte ptr cs:[0x1000], 0x77; mov al, 0x99; out 0x12, al");

static void *run_second(void *argument)
{
    visor_vcpu *vcpu = argument;
    const visor_exit *exit = run_to(HERE, vcpu, VISOR_EXIT_IO);

    if (exit->io.address != 0x12 || visor_io_value(&exit->io) != 0x99)
        FAIL("second vCPU: %s", exit_text(exit));
    return NULL;
}

CASE(chips, start_up, "one vCPU starts another by INIT and start-up interrupt")
{
    struct x86_setup setup = {.load = 0x1000, .code = &start_second, .vm = VISOR_VM_CONFIG_INIT};
    visor_x86_sregs sregs;
    visor_vcpu *second;
    pthread_t thread;

    NEED(g, IRQCHIP);
    setup.vm.irqchip = VISOR_IRQCHIP_KERNEL;
    x86_start(g, &setup);
    CHECK_OK(visor_vcpu_create(&second, g->vm, 1));
    CHECK_OK(visor_x86_configure_cpuid(second, NULL));
    put(g, 0x2000, second_code.bytes, second_code.length);
    sregs = x86_sregs(g->vcpu);
    sregs.es.base = 0xfee00000u;
    x86_set_sregs(g->vcpu, &sregs);
    if (pthread_create(&thread, NULL, run_second, second) != 0)
        FAIL("cannot make a thread");
    RUN_TO_OUT(g, 0x10, 1, 0);
    RUN_TO_OUT(g, 0x11, 1, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(x86_sregs(second).cs.base, 0x2000);
    visor_vcpu_free(second);
}

CASE(chips, kick_waiting, "a vCPU that waits to be started, or is halted, can be kicked")
{
    visor_vcpu *second;

    create(g);
    NEED(g, MP_STATE);
    CHECK_OK(visor_vcpu_create(&second, g->vm, 1));
    kick_later(second, 50);
    run_to(HERE, second, VISOR_EXIT_KICKED);
    CHECK_OK(visor_vcpu_set_mp_state(g->vcpu, VISOR_MP_HALTED));
    kick_later(g->vcpu, 50);
    RUN_TO(g, KICKED);
    visor_vcpu_free(second);
}
