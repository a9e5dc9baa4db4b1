/* SPDX-License-Identifier: BSD-3-Clause */
/* The interrupt chips of src/irqchip/ with a machine around them that tests hold in their hands: a
 * clock that stands still until it is moved, and vCPUs that only count how often they are woken. */
#ifndef VISOR_TESTS_UNIT_CHIPS_H
#define VISOR_TESTS_UNIT_CHIPS_H

#include <stdatomic.h>
#include <stdlib.h>

#include "core/x86.h"
#include "irqchip/chip.h"
#include "unit.h"

#define CHIPS_CPUS   16
#define CHIPS_TSC_HZ 2000000000u
#define LAPIC_PAGE   0xfee00000u
#define IOAPIC_PAGE  0xfec00000u

struct cpu {
    struct visor__lapic *lapic;
    struct chips *chips;
    atomic_uint wakes;
    uint64_t tsc_offset;
};

struct chips {
    struct visor__irqchip *chip;
    struct cpu cpus[CHIPS_CPUS];
    size_t count;
    atomic_ullong now;
    unsigned deadlines; /* that became earlier */
};

static inline uint64_t chips_now(void *vm)
{
    return atomic_load(&((struct chips *)vm)->now);
}

static inline uint64_t chips_tsc(void *vcpu)
{
    const struct cpu *cpu = vcpu;

    return 2 * chips_now(cpu->chips) + cpu->tsc_offset;
}

static inline void chips_wake(void *vcpu)
{
    atomic_fetch_add(&((struct cpu *)vcpu)->wakes, 1);
}

static inline void chips_deadline(void *vm)
{
    ((struct chips *)vm)->deadlines++;
}

static const struct visor__irqchip_host chips_host = {
    .now = chips_now,
    .tsc = chips_tsc,
    .wake = chips_wake,
    .deadline = chips_deadline,
};

/* ids: of the vCPUs; NULL: 0, 1, ... */
static inline bool chips_create(struct chips *chips, bool split, const uint32_t *ids, size_t count)
{
    const struct visor__irqchip_config config = {
        .host = &chips_host, .vm = chips, .split = split, .tsc_hz = CHIPS_TSC_HZ};
    visor_route routes[VISOR_X86_IOAPIC_PINS + 16];
    size_t n = 0;

    memset(chips, 0, sizeof(*chips));
    atomic_store(&chips->now, 1000000000);
    if (!CHECK_OK(visor__irqchip_create(&chips->chip, &config)))
        return false;
    for (uint32_t pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        routes[n++] = (visor_route){.gsi = pin, .chip = VISOR_CHIP_IOAPIC, .pin = pin};
        if (pin < 16)
            routes[n++] = (visor_route){
                .gsi = pin,
                .chip = pin < 8 ? VISOR_CHIP_PIC_PRIMARY : VISOR_CHIP_PIC_SECONDARY,
                .pin = pin % 8,
            };
    }
    CHECK_OK(visor__irqchip_set_routes(chips->chip, routes, split ? 0 : n));
    for (; chips->count < count; chips->count++) {
        struct cpu *cpu = &chips->cpus[chips->count];

        cpu->chips = chips;
        CHECK_OK(visor__lapic_create(&cpu->lapic, chips->chip,
                                     ids != NULL ? ids[chips->count] : (uint32_t)chips->count,
                                     cpu));
    }
    return true;
}

static inline void chips_free(struct chips *chips)
{
    while (chips->count > 0)
        visor__lapic_destroy(chips->cpus[--chips->count].lapic);
    visor__irqchip_destroy(chips->chip);
}

/* Moves the clock, step by step over the deadlines on the way. */
static inline void chips_pass(struct chips *chips, uint64_t ns)
{
    uint64_t end = chips_now(chips) + ns;

    for (;;) {
        uint64_t next = visor__irqchip_deadline(chips->chip);

        if (next > end)
            break;
        if (next > chips_now(chips))
            atomic_store(&chips->now, next);
        visor__irqchip_expire(chips->chip);
    }
    atomic_store(&chips->now, end);
    visor__irqchip_expire(chips->chip);
}

/* ---- accesses of a vCPU ---- */

static inline bool cpu_access(struct chips *chips, size_t cpu, visor_space space, uint64_t address,
                              uint32_t length, bool is_write, uint64_t *value)
{
    visor_io io = {.space = space, .address = address, .length = length, .is_write = is_write};
    bool served;

    if (is_write)
        visor_io_set_value(&io, *value);
    served = visor__irqchip_access(chips->cpus[cpu].lapic, &io);
    *value = visor_io_value(&io);
    return served;
}

static inline void outb(struct chips *chips, uint16_t port, uint8_t value)
{
    uint64_t data = value;

    CHECK(cpu_access(chips, 0, VISOR_PIO, port, 1, true, &data));
}

static inline uint8_t inb(struct chips *chips, uint16_t port)
{
    uint64_t data = 0;

    CHECK(cpu_access(chips, 0, VISOR_PIO, port, 1, false, &data));
    return (uint8_t)data;
}

/* A register of the local APIC by its offset in the page. */
static inline void apic_write(struct chips *chips, size_t cpu, uint32_t offset, uint32_t value)
{
    uint64_t data = value;

    CHECK(cpu_access(chips, cpu, VISOR_MMIO, LAPIC_PAGE + offset, 4, true, &data));
}

static inline uint32_t apic_read(struct chips *chips, size_t cpu, uint32_t offset)
{
    uint64_t data = 0;

    CHECK(cpu_access(chips, cpu, VISOR_MMIO, LAPIC_PAGE + offset, 4, false, &data));
    return (uint32_t)data;
}

static inline void apic_enable(struct chips *chips)
{
    for (size_t i = 0; i < chips->count; i++)
        apic_write(chips, i, 0xf0, 0x1ff);
}

static inline enum visor__msr_result msr_write(struct chips *chips, size_t cpu, uint32_t index,
                                               uint64_t value)
{
    return visor__lapic_write_msr(chips->cpus[cpu].lapic, index, value, true);
}

/* The value, or all ones for a fault. */
static inline uint64_t msr_read(struct chips *chips, size_t cpu, uint32_t index)
{
    uint64_t value = 0;

    if (visor__lapic_read_msr(&value, chips->cpus[cpu].lapic, index, true) != VISOR__MSR_DONE)
        return UINT64_MAX;
    return value;
}

static inline void ioapic_write(struct chips *chips, uint32_t reg, uint32_t value)
{
    uint64_t select = reg, data = value;

    CHECK(cpu_access(chips, 0, VISOR_MMIO, IOAPIC_PAGE, 4, true, &select));
    CHECK(cpu_access(chips, 0, VISOR_MMIO, IOAPIC_PAGE + 0x10, 4, true, &data));
}

static inline uint32_t ioapic_read(struct chips *chips, uint32_t reg)
{
    uint64_t select = reg, data = 0;

    CHECK(cpu_access(chips, 0, VISOR_MMIO, IOAPIC_PAGE, 4, true, &select));
    CHECK(cpu_access(chips, 0, VISOR_MMIO, IOAPIC_PAGE + 0x10, 4, false, &data));
    return (uint32_t)data;
}

/* A redirection entry: the destination first, so that the other half completes it. */
static inline void ioapic_route(struct chips *chips, unsigned pin, uint32_t low, uint8_t to)
{
    ioapic_write(chips, 0x11 + 2 * pin, (uint32_t)to << 24);
    ioapic_write(chips, 0x10 + 2 * pin, low);
}

/* ---- the processor's side ---- */

static inline unsigned pending(struct chips *chips, size_t cpu)
{
    return visor__lapic_pending(chips->cpus[cpu].lapic);
}

/* The vector that the vCPU takes now, -1 if none. Pending says the same. */
static inline int take(struct chips *chips, size_t cpu)
{
    bool announced = (pending(chips, cpu) & VISOR__PENDING_INTERRUPT) != 0;
    int vector = visor__lapic_acknowledge(chips->cpus[cpu].lapic);

    CHECK_INT(vector >= 0, announced);
    return vector;
}

static inline void eoi(struct chips *chips, size_t cpu)
{
    apic_write(chips, cpu, 0xb0, 0);
}

static inline void line(struct chips *chips, uint32_t gsi, bool level)
{
    CHECK_OK(visor__irqchip_set_irq(chips->chip, gsi, level));
}

static inline void pulse(struct chips *chips, uint32_t gsi)
{
    line(chips, gsi, true);
    line(chips, gsi, false);
}

#endif
