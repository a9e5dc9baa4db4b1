/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The insides of the interrupt chips. Every chip is a structure that knows none of the others; what
 * happens at its pins is what its functions return or leave in a member, and irqchip.c carries it
 * along the wires. The lock of the VM's chips is held in all functions here unless stated
 * otherwise.
 */
#ifndef VISOR_IRQCHIP_CHIP_H
#define VISOR_IRQCHIP_CHIP_H

#include "irqchip/irqchip.h"

#define NEVER UINT64_MAX

/* ---- 8259A, the two of them (pic.c) ---- */

#define PIC_LINES 16

struct pic {
    visor_x86_pic half[2]; /* primary, secondary */
    bool output;           /* INT of the primary, since visor__pic_update() */
    uint16_t ended;        /* lines whose service has ended since somebody looked */
};

/* After any of these but init: visor__irqchip_settle(), which lets lines fall whose service has
 * ended, and only then calls visor__pic_update(). */
void visor__pic_init(struct pic *pic);
void visor__pic_update(struct pic *pic);
void visor__pic_set_line(struct pic *pic, unsigned line, bool level);
/* The interrupt acknowledge cycle: the vector. */
uint8_t visor__pic_acknowledge(struct pic *pic);
/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
bool visor__pic_has_port(uint64_t port);
uint8_t visor__pic_read(struct pic *pic, uint64_t port);
void visor__pic_write(struct pic *pic, uint64_t port, uint8_t value);
void visor__pic_set_state(struct pic *pic, bool secondary, const visor_x86_pic *state);

/* ---- 8254 and port 0x61 (pit.c) ---- */

struct pit {
    visor_x86_pit state;
    uint64_t stopped[3]; /* since when the gate holds the count; NEVER: it counts */
    bool idle[3];        /* the mode was set, and no count (modes 1 and 5: no trigger) since */
    uint64_t due;        /* when channel 0 raises line 0 next; NEVER */
};

void visor__pit_init(struct pit *pit, uint64_t now);
/* Ports 0x40 to 0x43, and 0x61. */
bool visor__pit_has_port(uint64_t port);
uint8_t visor__pit_read(struct pit *pit, uint64_t port, uint64_t now);
void visor__pit_write(struct pit *pit, uint64_t port, uint8_t value, uint64_t now);
/* Whether line 0 rises because `due` has come; sets the next. */
bool visor__pit_expire(struct pit *pit, uint64_t now);
void visor__pit_get_state(visor_x86_pit *out, const struct pit *pit, uint64_t now);
void visor__pit_set_state(struct pit *pit, const visor_x86_pit *state, uint64_t now);

/* ---- interrupt messages (lapic_bus.c) ---- */

/* SDM vol. 3A, 11.6.1 */
enum delivery_mode {
    MODE_FIXED = 0,
    MODE_LOWEST = 1,
    MODE_SMI = 2,
    MODE_NMI = 4,
    MODE_INIT = 5,
    MODE_SIPI = 6,
    MODE_EXTINT = 7,
};

enum shorthand { TO_DESTINATION = 0, TO_SELF = 1, TO_ALL = 2, TO_OTHERS = 3 };

struct message {
    enum delivery_mode mode;
    enum shorthand shorthand;
    uint8_t vector;
    bool level;    /* level triggered */
    bool deassert; /* of INIT */
    bool logical;
    bool wide; /* the destination has 32 bits */
    uint32_t destination;
    struct visor__lapic *source; /* of an IPI */
};

/* Returns how many local APICs have accepted it. */
unsigned visor__lapic_deliver(struct visor__irqchip *chip, const struct message *message);

/* ---- 82093AA (ioapic.c) ---- */

struct ioapic {
    visor_x86_ioapic state; /* irr: see ioapic.c */
    uint32_t delivered;     /* edges in irr that have become messages */
    uint32_t ended;         /* pins whose interrupt has ended since somebody looked */
};

void visor__ioapic_init(struct ioapic *ioapic);
bool visor__ioapic_has_address(const struct ioapic *ioapic, uint64_t address);
uint32_t visor__ioapic_read(const struct ioapic *ioapic, uint64_t address);
void visor__ioapic_write(struct visor__irqchip *chip, uint64_t address, uint32_t value);
void visor__ioapic_set_pin(struct visor__irqchip *chip, unsigned pin, bool level);
/* A local APIC has ended this vector; level: it was level triggered, and the end is broadcast. */
void visor__ioapic_eoi(struct visor__irqchip *chip, uint8_t vector, bool level);
void visor__ioapic_get_state(visor_x86_ioapic *out, const struct ioapic *ioapic);
void visor__ioapic_set_state(struct visor__irqchip *chip, const visor_x86_ioapic *state);

/* ---- local APIC ---- */

/* Registers by their offset / 16 (SDM vol. 3A, table 11-1) */
enum {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10,
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR2 = 0x31,
    APIC_LVT_TIMER = 0x32,
    APIC_LVT_THERMAL = 0x33,
    APIC_LVT_PERF = 0x34,
    APIC_LVT_LINT0 = 0x35,
    APIC_LVT_LINT1 = 0x36,
    APIC_LVT_ERROR = 0x37,
    APIC_TIMER_INITIAL = 0x38,
    APIC_TIMER_CURRENT = 0x39,
    APIC_TIMER_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f,
};

#define APIC_SOFTWARE_ENABLE  (1u << 8)  /* SVR */
#define APIC_SUPPRESS_EOI     (1u << 12) /* SVR */
#define APIC_HAS_SUPPRESS_EOI (1u << 24) /* VERSION */
#define LVT_MASKED            (1u << 16)
#define LVT_MODE(lvt)         ((enum delivery_mode)((lvt) >> 8 & 7))
#define TIMER_MODE(lvt)       ((lvt) >> 17 & 3)
enum { TIMER_ONE_SHOT = 0, TIMER_PERIODIC = 1, TIMER_TSC_DEADLINE = 2 };

/* IA32_APIC_BASE */
#define BASE_BSP     (1u << 8)
#define BASE_X2APIC  (1u << 10)
#define BASE_ENABLE  (1u << 11)
#define BASE_ADDRESS 0x000ffffffffff000u

/* ESR (SDM vol. 3A, 11.5.3) */
#define ERROR_SEND_VECTOR    (1u << 5)
#define ERROR_RECEIVE_VECTOR (1u << 6)
#define ERROR_REGISTER       (1u << 7)

struct visor__lapic {
    atomic_uint pending; /* VISOR__PENDING_..., written with the lock held */
    atomic_uint bell;
    atomic_uint sleepers;
    struct visor__irqchip *chip;
    struct visor__lapic *next;
    void *vcpu;
    uint32_t id;
    bool may_x2apic, may_deadline; /* as CPUID says */
    uint64_t base;                 /* IA32_APIC_BASE; changed by its own vCPU's thread only */
    uint32_t regs[64];             /* as KVM keeps them: the ID is in bits 31:24 in all modes */
    uint32_t errors;               /* since ESR was written last */
    unsigned latched;              /* NMI, SMI, INIT, SIPI: bits of pending */
    uint8_t sipi_vector;
    bool extint;           /* an I/O APIC has passed the PIC's interrupt on */
    int outer_extint;      /* vector of the outer PIC of a split chip; -1: none */
    uint32_t outer_eoi[8]; /* vectors whose end the outer I/O APIC has not been told */
    uint64_t arbitrations; /* how often it was chosen for the lowest priority */
    /* The timer. While it counts, `due` is when it reaches 0, and the count is what is left. */
    uint64_t due; /* ns; NEVER: it does not count */
    uint64_t tsc_deadline;
};

/* ---- lapic.c ---- */

static inline bool visor__lapic_enabled(const struct visor__lapic *lapic)
{
    return (lapic->base & BASE_ENABLE) != 0;
}

static inline bool visor__lapic_x2apic(const struct visor__lapic *lapic)
{
    return (lapic->base & BASE_X2APIC) != 0;
}

/* A bit of ISR, TMR or IRR. */
static inline bool visor__lapic_test(const struct visor__lapic *lapic, unsigned reg, uint8_t vector)
{
    return (lapic->regs[reg + vector / 32] >> vector % 32 & 1) != 0;
}

static inline void visor__lapic_change(struct visor__lapic *lapic, unsigned reg, uint8_t vector,
                                       bool on)
{
    uint32_t bit = 1u << vector % 32;

    if (on)
        lapic->regs[reg + vector / 32] |= bit;
    else
        lapic->regs[reg + vector / 32] &= ~bit;
}

/* The highest vector of ISR or IRR; -1: none. */
int visor__lapic_highest(const struct visor__lapic *lapic, unsigned reg);
uint8_t visor__lapic_processor_priority(const struct visor__lapic *lapic);
uint8_t visor__lapic_arbitration_priority(const struct visor__lapic *lapic);
/* Registers after power-up, or after INIT, which keeps the ID and the mode. */
void visor__lapic_reset(struct visor__lapic *lapic);
/* Sets the registers that follow from the mode. */
void visor__lapic_mode_changed(struct visor__lapic *lapic);
/* The bits of an LVT entry (by its register) that can be set; 0: there is no such entry. */
uint32_t visor__lapic_lvt_mask(const struct visor__lapic *lapic, unsigned reg);
/* A change of any kind: looks anew what is pending, and tells the vCPU if there is more. */
void visor__lapic_update(struct visor__lapic *lapic);
void visor__lapic_add_error(struct visor__lapic *lapic, uint32_t error);
/* The interrupt of an LVT entry. */
void visor__lapic_local(struct visor__lapic *lapic, unsigned reg);
/* Whether the PIC's interrupt goes through to the vCPU (SDM vol. 3A, 11.5.1, LINT0 as ExtINT). */
bool visor__lapic_passes_pic(const struct visor__lapic *lapic);

/* ---- lapic_access.c ---- */

void visor__lapic_mmio(struct visor__lapic *lapic, visor_io *io, unsigned offset);

/* ---- lapic_bus.c ---- */

/* Lets a message arrive. Returns whether it was accepted. */
bool visor__lapic_accept(struct visor__lapic *lapic, enum delivery_mode mode, uint8_t vector,
                         bool level);
/* Sends what ICR says. */
void visor__lapic_send(struct visor__lapic *lapic);

/* ---- lapic_timer.c ---- */

uint32_t visor__lapic_timer_count(const struct visor__lapic *lapic);
void visor__lapic_timer_set_initial(struct visor__lapic *lapic, uint32_t count);
void visor__lapic_timer_set_divide(struct visor__lapic *lapic, uint32_t value);
void visor__lapic_timer_set_lvt(struct visor__lapic *lapic, uint32_t value);
void visor__lapic_timer_set_deadline(struct visor__lapic *lapic, uint64_t tsc);
/* As a saved state has it: goes on from this count. */
void visor__lapic_timer_resume(struct visor__lapic *lapic, uint32_t count);
void visor__lapic_timer_expire(struct visor__lapic *lapic, uint64_t now);
/* Finds `due` of a TSC deadline again. */
void visor__lapic_timer_retime(struct visor__lapic *lapic);

/* ---- the VM's chips (irqchip.c) ---- */

/* Who holds a line up. */
enum line_source { SOURCE_USER = 1, SOURCE_EVENT = 2, SOURCE_PIT = 4 };

struct irq_event {
    struct irq_event *next;
    uint32_t gsi;
    visor_event event, resample;
};

struct visor__irqchip {
    struct visor__mutex lock;
    const struct visor__irqchip_host *host;
    void *vm;
    bool split, has_pit;
    uint64_t tsc_hz;
    struct visor__lapic *lapics; /* by id */
    struct pic pic;
    bool pic_output; /* what the local APICs know of it */
    struct pit pit;
    struct ioapic ioapic;
    uint8_t pic_sources[PIC_LINES]; /* enum line_source */
    uint8_t ioapic_sources[VISOR_X86_IOAPIC_PINS];
    visor_route *routes; /* by gsi */
    size_t route_count;
    atomic_ullong deadline;
    struct irq_event *events;
    struct irq_service *service; /* NULL: not started */
};

uint64_t visor__irqchip_now(const struct visor__irqchip *chip);
/* A timer was set, or stopped: finds the next deadline. */
void visor__irqchip_timers_changed(struct visor__irqchip *chip);
/* A source pulls the line of a gsi. Returns whether a message was accepted, or a line exists. */
bool visor__irqchip_pull(struct visor__irqchip *chip, uint32_t gsi, enum line_source source,
                         bool level);
/* Carries on what chips have left behind: the PIC's output, ended interrupts. */
void visor__irqchip_settle(struct visor__irqchip *chip);

/* ---- the thread (service.c) ---- */

/* Without the lock. Nothing happens if it runs already. */
int visor__irqchip_service_start(struct visor__irqchip *chip);
/* Without the lock, when nobody else uses the chips. */
void visor__irqchip_service_stop(struct visor__irqchip *chip);
/* The deadline became earlier. */
void visor__irqchip_service_hurry(struct visor__irqchip *chip);
/* Without the lock. The list of events has changed; when it returns, the thread has seen it. */
void visor__irqchip_service_sync(struct visor__irqchip *chip);

#endif
