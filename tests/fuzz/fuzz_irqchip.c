/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupt chips under whatever three vCPUs and the devices around them do: a sequence of
 * accesses to ports, pages and MSRs, lines, messages, passing time, and states that are taken over.
 * Nothing crashes or hangs, what is announced as pending is there, and a state that was read is
 * read again after it was set.
 *
 * The input: operations of a byte with the operands that each of them takes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "input.h"
#include "irqchip/irqchip.h"

#define CPUS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
    struct visor__irqchip *chip;
    struct visor__lapic *lapics[CPUS];
    uint64_t now;
    const uint8_t *data; /* what is left of the input */
    size_t size;
};

static uint64_t now(void *vm)
{
    return ((struct machine *)vm)->now;
}

static uint64_t tsc(void *vcpu)
{
    return ((struct machine *)vcpu)->now * 3;
}

static void wake(void *vcpu)
{
    (void)vcpu;
}

static const struct visor__irqchip_host host = {.now = now, .tsc = tsc, .wake = wake};

static void create(struct machine *machine, bool split)
{
    const struct visor__irqchip_config config = {
        .host = &host, .vm = machine, .split = split, .tsc_hz = 3000000000};
    visor_route routes[VISOR_X86_IOAPIC_PINS + 17];
    size_t n = 0;

    if (visor__irqchip_create(&machine->chip, &config) < 0)
        abort();
    for (uint32_t pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        routes[n++] = (visor_route){.gsi = pin, .chip = VISOR_CHIP_IOAPIC, .pin = pin};
        if (pin < 16)
            routes[n++] = (visor_route){.gsi = pin, .chip = (visor_chip)(pin / 8), .pin = pin % 8};
    }
    routes[n++] =
        (visor_route){.gsi = 30, .is_msi = true, .msi = {.address = 0xfee01000, .data = 0x8051}};
    if (visor__irqchip_set_routes(machine->chip, routes, split ? 0 : n) < 0)
        abort();
    for (uint32_t i = 0; i < CPUS; i++) {
        if (visor__lapic_create(&machine->lapics[i], machine->chip, i * 7, machine) < 0)
            abort();
    }
}

static uint64_t next(struct machine *machine, size_t bytes)
{
    return input_next(&machine->data, &machine->size, bytes);
}

static struct visor__lapic *some_lapic(struct machine *machine)
{
    return machine->lapics[next(machine, 1) % CPUS];
}

static void access(struct machine *machine, visor_space space, uint64_t address, bool is_write)
{
    visor_io io = {.space = space, .address = address, .is_write = is_write};

    io.length = 1u << next(machine, 1) % 4;
    if (is_write)
        visor_io_set_value(&io, next(machine, io.length));
    visor__irqchip_access(some_lapic(machine), &io);
}

static void access_port(struct machine *machine, bool is_write)
{
    static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,
                                     0x40, 0x41, 0x42, 0x43, 0x61,  0x22};

    access(machine, VISOR_PIO, ports[next(machine, 1) % (sizeof(ports) / sizeof(ports[0]))],
           is_write);
}

static void access_ioapic(struct machine *machine)
{
    struct visor__lapic *lapic = machine->lapics[0];
    visor_io io = {.space = VISOR_MMIO, .address = 0xfec00000, .length = 4, .is_write = true};

    visor_io_set_value(&io, next(machine, 1));
    visor__irqchip_access(lapic, &io);
    io.address = 0xfec00010;
    visor_io_set_value(&io, next(machine, 4));
    visor__irqchip_access(lapic, &io);
}

static void access_msr(struct machine *machine)
{
    struct visor__lapic *lapic = some_lapic(machine);
    uint64_t choice = next(machine, 1), value;
    uint32_t index = choice == 0xff ? 0x1b : choice == 0xfe ? 0x6e0 : 0x800 + (uint32_t)choice;

    if (visor__lapic_read_msr(&value, lapic, index, true) == VISOR__MSR_FOREIGN)
        abort();
    visor__lapic_write_msr(lapic, index, next(machine, 8), next(machine, 1) % 2 != 0);
}

/* Takes an interrupt, which must be there if and only if it is pending. */
static void take(struct machine *machine)
{
    struct visor__lapic *lapic = some_lapic(machine);
    bool announced = (visor__lapic_pending(lapic) & VISOR__PENDING_INTERRUPT) != 0;
    int peeked = visor__lapic_peek(lapic), vector = visor__lapic_acknowledge(lapic);

    if ((vector >= 0) != announced || vector > 255 || (peeked >= 0 && vector != peeked))
        abort();
}

static void take_events(struct machine *machine)
{
    struct visor__lapic *lapic = some_lapic(machine);

    for (unsigned bit = VISOR__PENDING_NMI; bit <= VISOR__PENDING_INIT; bit <<= 1) {
        bool announced = (visor__lapic_pending(lapic) & bit) != 0;

        if (visor__lapic_take(lapic, bit) != announced)
            abort();
    }
    visor__lapic_take_sipi(lapic);
    while ((visor__lapic_pending(lapic) & VISOR__PENDING_EOI) != 0) {
        if (visor__lapic_take_eoi(lapic) < 16)
            abort();
    }
    if ((visor__lapic_pending(lapic) & ~(unsigned)VISOR__PENDING_INTERRUPT) != 0)
        abort();
}

/* Time never stands still at a deadline: after it was served the next is later. */
static void pass(struct machine *machine)
{
    uint64_t ns = next(machine, 5);

    for (unsigned i = 0; i < 20; i++) {
        uint64_t deadline = visor__irqchip_deadline(machine->chip);

        if (deadline > machine->now && deadline - machine->now > ns)
            break;
        if (deadline > machine->now) {
            ns -= deadline - machine->now;
            machine->now = deadline;
        }
        visor__irqchip_expire(machine->chip);
        if (visor__irqchip_deadline(machine->chip) <= machine->now)
            abort();
    }
    machine->now += ns;
    visor__irqchip_expire(machine->chip);
}

/* A state that somebody made up, and then what became of it, twice. */
static void set_chip(struct machine *machine)
{
    static const enum visor__vm_state pieces[] = {
        VISOR__VM_STATE_X86_PIT, VISOR__VM_STATE_X86_PIC_PRIMARY, VISOR__VM_STATE_X86_PIC_SECONDARY,
        VISOR__VM_STATE_X86_IOAPIC};
    enum visor__vm_state piece = pieces[next(machine, 1) % 4];
    uint8_t state[512] = {0}, again[512] = {0};
    int size = visor__irqchip_get_state(state, sizeof(state), machine->chip, piece);

    for (unsigned i = 0; size > 0 && i < 8; i++)
        state[next(machine, 2) % (unsigned)size] = (uint8_t)next(machine, 1);
    if (size < 0 || visor__irqchip_set_state(machine->chip, piece, state, (size_t)size) < 0)
        return;
    visor__irqchip_get_state(state, sizeof(state), machine->chip, piece);
    if (visor__irqchip_set_state(machine->chip, piece, state, (size_t)size) < 0)
        abort();
    visor__irqchip_get_state(again, sizeof(again), machine->chip, piece);
    /* What a chip asks for while it is set may be delivered at once, which changes the I/O APIC. */
    if (piece == VISOR__VM_STATE_X86_PIT && memcmp(state, again, (size_t)size) != 0)
        abort();
}

static void set_lapic(struct machine *machine)
{
    struct visor__lapic *lapic = some_lapic(machine);
    const enum visor__state piece = VISOR__STATE_X86_LAPIC;
    visor_x86_lapic state, again;

    visor__lapic_get_state(&state, sizeof(state), lapic, piece);
    for (unsigned i = 0; i < 4; i++)
        state.regs[next(machine, 1) % 64] = (uint32_t)next(machine, 4);
    if (visor__lapic_set_state(lapic, piece, &state, sizeof(state)) < 0)
        abort();
    visor__lapic_get_state(&state, sizeof(state), lapic, piece);
    if (visor__lapic_set_state(lapic, piece, &state, sizeof(state)) < 0)
        abort();
    visor__lapic_get_state(&again, sizeof(again), lapic, piece);
    if (memcmp(&state, &again, sizeof(state)) != 0)
        abort();
}

static void step(struct machine *machine)
{
    visor_msi msi;

    switch (next(machine, 1) % 16) {
    case 0: access_port(machine, true); break;
    case 1: access_port(machine, false); break;
    case 2: access(machine, VISOR_MMIO, 0xfee00000 + next(machine, 2) % 4096, true); break;
    case 3: access(machine, VISOR_MMIO, 0xfee00000 + next(machine, 2) % 4096, false); break;
    case 4: access(machine, VISOR_MMIO, 0xfec00000 + next(machine, 1), true); break;
    case 5: access(machine, VISOR_MMIO, 0xfec00000 + next(machine, 1), false); break;
    case 6: access_ioapic(machine); break;
    case 7: access_msr(machine); break;
    case 8:
        visor__irqchip_set_irq(machine->chip, (uint32_t)next(machine, 1) % 32,
                               next(machine, 1) % 2 != 0);
        break;
    case 9:
        msi = (visor_msi){.address = 0xfee00000 | next(machine, 3) % 0x100000};
        msi.data = (uint32_t)next(machine, 2);
        visor__irqchip_send_msi(machine->chip, &msi);
        break;
    case 10: take(machine); break;
    case 11: take_events(machine); break;
    case 12: pass(machine); break;
    case 13: set_chip(machine); break;
    case 14: set_lapic(machine); break;
    default: visor__lapic_set_cr8(some_lapic(machine), next(machine, 1)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine machine = {.now = 1000000000, .data = data, .size = size};

    create(&machine, size > 0 && data[0] % 8 == 0);
    while (machine.size > 0)
        step(&machine);
    for (unsigned i = 0; i < CPUS; i++)
        visor__lapic_destroy(machine.lapics[i]);
    visor__irqchip_destroy(machine.chip);
    return 0;
}
