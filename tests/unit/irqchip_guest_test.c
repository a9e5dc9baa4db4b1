/* SPDX-License-Identifier: BSD-3-Clause */
/* The interrupt chips behind the public API: guests of the null backend that wait for interrupts in
 * their halt, end them, and start each other. */
#include <pthread.h>
#include <unistd.h>

#include "guest.h"

#define APIC(offset) (0xfee00000u + (offset))

static bool create(struct guest *guest, visor_irqchip irqchip)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_x86_regs regs;

    config.irqchip = irqchip;
    if (!guest_create(guest, &config))
        return false;
    CHECK_OK(visor_x86_get_regs(&regs, guest->vcpu));
    regs.rflags |= 0x200; /* IF */
    return CHECK_OK(visor_x86_set_regs(guest->vcpu, &regs));
}

/* GUEST_LOAD, with interrupts enabled. */
static bool load(struct guest *guest, const struct null_step *script, size_t length)
{
    visor_x86_regs regs;

    if (!guest_load(guest, script, length))
        return false;
    CHECK_OK(visor_x86_get_regs(&regs, guest->vcpu));
    regs.rflags |= 0x200;
    return CHECK_OK(visor_x86_set_regs(guest->vcpu, &regs));
}
#define LOAD(guest, ...)                                   \
    load((guest), (const struct null_step[]){__VA_ARGS__}, \
         sizeof((const struct null_step[]){__VA_ARGS__}))

static int last_vector(visor_vcpu *vcpu)
{
    const struct null_vcpu *null = null_vcpu_of(vcpu);

    return null->vector_count > 0 ? null->vectors[(null->vector_count - 1) % NULL_VECTORS] : -1;
}

struct later {
    struct guest *guest;
    int (*call)(struct guest *guest);
};

static void *call_later(void *argument)
{
    const struct later *later = argument;

    usleep(20000);
    CHECK_OK(later->call(later->guest));
    return NULL;
}

/* Runs until an exit, while something happens outside. */
static int run_while(struct guest *guest, int (*call)(struct guest *guest))
{
    struct later later = {.guest = guest, .call = call};
    pthread_t thread;
    int reason;

    if (!CHECK(pthread_create(&thread, NULL, call_later, &later) == 0))
        return -1;
    reason = visor_vcpu_run(guest->vcpu);
    pthread_join(thread, NULL);
    return reason;
}

static int raise_5(struct guest *guest)
{
    return visor_vm_set_irq(guest->vm, 5, true);
}

static int kick(struct guest *guest)
{
    visor_vcpu_kick(guest->vcpu);
    return 0;
}

static int pass_1_ms(struct guest *guest)
{
    atomic_fetch_add(&null_vm_of(guest->vm)->now_ns, 1000000);
    visor__irqchip_expire(guest->vm->chip);
    return 0;
}

TEST(a_halted_guest_wakes_for_a_line)
{
    struct guest guest;
    visor_x86_ioapic ioapic;
    visor_mp_state state;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    CHECK_OK(visor_x86_get_ioapic(&ioapic, guest.vm));
    ioapic.redirect[5] = 0x45 | 0x8000; /* level */
    CHECK_OK(visor_x86_set_ioapic(guest.vm, &ioapic));
    REQUIRE(LOAD(&guest, NULL_STORE(APIC(0xf0), 4, 0x1ff), NULL_OUT(0x10, 1, 1), NULL_HALT,
                 NULL_OUT(0x10, 1, 1), NULL_STORE(APIC(0xb0), 4, 0), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO); /* ready */
    CHECK_INT(run_while(&guest, raise_5), VISOR_EXIT_IO);
    CHECK_INT(last_vector(guest.vcpu), 0x45);
    CHECK_OK(visor_x86_get_ioapic(&ioapic, guest.vm));
    CHECK_INT(ioapic.redirect[5], 0x45 | 0xc000); /* remote IRR */
    CHECK_OK(visor_vm_set_irq(guest.vm, 5, false));
    CHECK_INT(run_while(&guest, kick), VISOR_EXIT_KICKED);
    CHECK_OK(visor_vcpu_get_mp_state(&state, guest.vcpu));
    CHECK_INT(state, VISOR_MP_HALTED);
    CHECK_OK(visor_x86_get_ioapic(&ioapic, guest.vm));
    CHECK_INT(ioapic.redirect[5], 0x45 | 0x8000);
    guest_free(&guest);
}

TEST(a_halted_guest_wakes_for_its_timer)
{
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE(LOAD(&guest, NULL_STORE(APIC(0xf0), 4, 0x1ff), NULL_STORE(APIC(0x320), 4, 0x31),
                 NULL_STORE(APIC(0x3e0), 4, 11), NULL_STORE(APIC(0x380), 4, 1000000),
                 NULL_OUT(0x10, 1, 1), NULL_HALT, NULL_OUT(0x10, 1, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(run_while(&guest, pass_1_ms), VISOR_EXIT_IO);
    CHECK_INT(last_vector(guest.vcpu), 0x31);
    guest_free(&guest);
}

TEST(a_halted_guest_without_interrupts_sleeps_on)
{
    struct guest guest;
    visor_x86_regs regs;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE(LOAD(&guest, NULL_STORE(APIC(0xf0), 4, 0x1ff), NULL_STORE(APIC(0x310), 4, 0),
                 NULL_STORE(APIC(0x300), 4, 0x51), NULL_OUT(0x10, 1, 1), NULL_HALT));
    CHECK_OK(visor_x86_get_regs(&regs, guest.vcpu));
    regs.rflags = 2;
    CHECK_OK(visor_x86_set_regs(guest.vcpu, &regs));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(run_while(&guest, kick), VISOR_EXIT_KICKED);
    CHECK_INT(last_vector(guest.vcpu), -1);
    CHECK_OK(visor_x86_get_regs(&regs, guest.vcpu));
    regs.rflags = 0x202;
    CHECK_OK(visor_x86_set_regs(guest.vcpu, &regs));
    visor_vcpu_kick(guest.vcpu); /* before it comes to its interrupt */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_KICKED);
    CHECK_INT(run_while(&guest, kick), VISOR_EXIT_KICKED);
    CHECK_INT(last_vector(guest.vcpu), 0x51);
    guest_free(&guest);
}

/* Ports and pages of chips are theirs; without PIT its ports are the caller's. */
TEST(chips_come_before_the_caller)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_x86_pit pit;
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE(LOAD(&guest, NULL_OUT(0x21, 1, 0x5a), NULL_IN(0x21, 1), NULL_OUT(0x10, 1, 1),
                 NULL_LOAD(APIC(0x30), 4), NULL_OUT(0x10, 1, 1), NULL_OUT(0x40, 1, 1),
                 NULL_OUT(0x11, 1, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(guest_rax(&guest), 0x5a);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(guest_rax(&guest), 0x50014);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->io.address, 0x11);
    guest_free(&guest);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    config.no_pit = true;
    REQUIRE(guest_create(&guest, &config));
    REQUIRE(GUEST_LOAD(&guest, NULL_OUT(0x20, 1, 0x20), NULL_OUT(0x40, 1, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->io.address, 0x40);
    CHECK_INT(visor_x86_get_pit(&pit, guest.vm), VISOR_EUNSUPPORTED);
    guest_free(&guest);
}

TEST(the_end_of_an_outer_interrupt_is_an_exit)
{
    const visor_msi msi = {.address = 0xfee00000, .data = 0xc045};
    struct guest guest;

    REQUIRE(create(&guest, VISOR_IRQCHIP_SPLIT));
    REQUIRE(LOAD(&guest, NULL_STORE(APIC(0xf0), 4, 0x1ff), NULL_OUT(0x10, 1, 1),
                 NULL_STORE(APIC(0xb0), 4, 0), NULL_OUT(0x20, 1, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vm_send_msi(guest.vm, &msi), 1);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IOAPIC_EOI);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->eoi.vector, 0x45);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO); /* the PIC is outside */
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->io.address, 0x20);
    guest_free(&guest);
}

/* ---- several vCPUs ---- */

static void *run_to_io(void *argument)
{
    CHECK_INT(visor_vcpu_run(argument), VISOR_EXIT_IO);
    return NULL;
}

TEST(one_vcpu_starts_another)
{
    static const struct null_step second_script[] = {NULL_OUT(0x12, 1, 0x99)};
    struct guest guest;
    visor_x86_sregs sregs;
    visor_mp_state state;
    visor_vcpu *second;
    pthread_t thread;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE_OK(visor_vcpu_create(&second, guest.vm, 1));
    CHECK_OK(visor_vcpu_get_mp_state(&state, second));
    CHECK_INT(state, VISOR_MP_UNINITIALIZED);
    CHECK_OK(visor_memory_write(guest.memory, 0x2000, second_script, sizeof(second_script)));
    REQUIRE(LOAD(&guest, NULL_STORE(APIC(0x310), 4, 1u << 24), NULL_STORE(APIC(0x300), 4, 0x4500),
                 NULL_OUT(0x10, 1, 1), NULL_STORE(APIC(0x300), 4, 0x4602), NULL_OUT(0x11, 1, 1)));
    REQUIRE(pthread_create(&thread, NULL, run_to_io, second) == 0);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    pthread_join(thread, NULL);
    CHECK_INT(visor_vcpu_exit(second)->io.address, 0x12);
    CHECK_OK(visor_x86_get_sregs(&sregs, second));
    CHECK_INT(sregs.cs.base, 0x2000);
    visor_vcpu_free(second);
    guest_free(&guest);
}

/* INIT and SIPI that have not been looked at are in the state, as KVM's are. */
TEST(asking_for_the_state_takes_what_is_pending)
{
    const visor_msi init = {.address = 0xfee01000, .data = 0x4500};
    const visor_msi nmi = {.address = 0xfee00000, .data = 0x4400};
    visor_x86_events events;
    visor_mp_state state;
    struct guest guest;
    visor_vcpu *second;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE_OK(visor_vcpu_create(&second, guest.vm, 1));
    CHECK_INT(visor_vm_send_msi(guest.vm, &init), 1);
    CHECK_OK(visor_vcpu_get_mp_state(&state, second));
    CHECK_INT(state, VISOR_MP_INIT_RECEIVED);
    CHECK_INT(visor_vm_send_msi(guest.vm, &nmi), 1);
    CHECK_OK(visor_x86_get_events(&events, guest.vcpu));
    CHECK_INT(events.nmi.pending, 1);
    visor_vcpu_free(second);
    guest_free(&guest);
}

static void *run_until_kicked(void *argument)
{
    CHECK_INT(visor_vcpu_run(argument), VISOR_EXIT_KICKED);
    return NULL;
}

TEST(a_vcpu_that_was_not_started_can_be_kicked_and_freed)
{
    struct guest guest;
    visor_vcpu *second;
    pthread_t thread;

    REQUIRE(create(&guest, VISOR_IRQCHIP_KERNEL));
    REQUIRE_OK(visor_vcpu_create(&second, guest.vm, 1));
    REQUIRE(pthread_create(&thread, NULL, run_until_kicked, second) == 0);
    usleep(10000);
    visor_vcpu_kick(second);
    pthread_join(thread, NULL);
    visor_vcpu_free(second);
    CHECK_INT(visor_vcpu_create(&second, guest.vm, 255), VISOR_ELIMIT);
    guest_free(&guest);
}

UNIT_MAIN()
