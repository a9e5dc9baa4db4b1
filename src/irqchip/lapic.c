/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The local APIC of a vCPU: what is pending for it, and what its registers do. "SDM" is Intel's
 * Software Developer's Manual, volume 3A; section numbers are those of chapter 11, "Advanced
 * Programmable Interrupt Controller (APIC)".
 *
 * Reading and writing through the two doors, the page and the MSRs, is in lapic_access.c.
 */
#include "irqchip/chip.h"

#include <stdlib.h>
#include <string.h>

#define VERSION_INTEGRATED 0x14u /* 11.4.8; of KVM's as well */
#define LVT_COUNT          6u

int visor__lapic_highest(const struct visor__lapic *lapic, unsigned reg)
{
    for (int word = 7; word >= 0; word--) {
        uint32_t bits = lapic->regs[reg + (unsigned)word];

        if (bits != 0)
            return word * 32 + 31 - __builtin_clz(bits);
    }
    return -1;
}

static uint8_t class_of(int vector)
{
    return vector < 0 ? 0 : (uint8_t)(vector & 0xf0);
}

/* SDM 11.8.3.1 */
uint8_t visor__lapic_processor_priority(const struct visor__lapic *lapic)
{
    uint8_t tpr = (uint8_t)lapic->regs[APIC_TPR];
    uint8_t in_service = class_of(visor__lapic_highest(lapic, APIC_ISR));

    return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

/* SDM 11.6.2.4, "arbitration priority register" */
uint8_t visor__lapic_arbitration_priority(const struct visor__lapic *lapic)
{
    uint8_t tpr = (uint8_t)lapic->regs[APIC_TPR];
    uint8_t requested = class_of(visor__lapic_highest(lapic, APIC_IRR));
    uint8_t in_service = class_of(visor__lapic_highest(lapic, APIC_ISR));
    uint8_t both = tpr & 0xf0 & in_service;

    if ((tpr & 0xf0) >= requested && (tpr & 0xf0) > in_service)
        return tpr;
    return both > requested ? both : requested;
}

/* The vector that may interrupt now, -1 if none (11.8.3, 11.8.4). */
static int deliverable(const struct visor__lapic *lapic)
{
    int vector = visor__lapic_enabled(lapic) ? visor__lapic_highest(lapic, APIC_IRR) : -1;

    return class_of(vector) > (visor__lapic_processor_priority(lapic) & 0xf0) ? vector : -1;
}

/* A local APIC that is switched off lets INTR through, as if it were not there (11.4.3). */
bool visor__lapic_passes_pic(const struct visor__lapic *lapic)
{
    uint32_t lint0 = lapic->regs[APIC_LVT_LINT0];

    return !visor__lapic_enabled(lapic) ||
           ((lint0 & LVT_MASKED) == 0 && LVT_MODE(lint0) == MODE_EXTINT);
}

static bool pic_requests(const struct visor__lapic *lapic)
{
    return lapic->outer_extint >= 0 || lapic->extint ||
           (lapic->chip->pic.output && visor__lapic_passes_pic(lapic));
}

static bool has_outer_eoi(const struct visor__lapic *lapic)
{
    uint32_t any = 0;

    for (unsigned i = 0; i < 8; i++)
        any |= lapic->outer_eoi[i];
    return any != 0;
}

void visor__lapic_update(struct visor__lapic *lapic)
{
    unsigned before = atomic_load(&lapic->pending), pending = lapic->latched;

    if (deliverable(lapic) >= 0 || pic_requests(lapic))
        pending |= VISOR__PENDING_INTERRUPT;
    if (has_outer_eoi(lapic))
        pending |= VISOR__PENDING_EOI;
    if (pending == before)
        return;
    atomic_store(&lapic->pending, pending);
    if ((pending & ~before) != 0) {
        visor__lapic_ring(lapic);
        lapic->chip->host->wake(lapic->vcpu);
    }
}

/* ---- life ---- */

uint32_t visor__lapic_lvt_mask(const struct visor__lapic *lapic, unsigned reg)
{
    enum { VECTOR = 0xff, MODE = 0x700, PIN = 0xa000 /* polarity, trigger */ };

    switch (reg) { /* figure 11-8 */
    case APIC_LVT_TIMER: return VECTOR | LVT_MASKED | (lapic->may_deadline ? 3u : 1u) << 17;
    case APIC_LVT_THERMAL:
    case APIC_LVT_PERF: return VECTOR | MODE | LVT_MASKED;
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1: return VECTOR | MODE | PIN | LVT_MASKED;
    case APIC_LVT_ERROR: return VECTOR | LVT_MASKED;
    default: return 0;
    }
}

static uint32_t version_of(const struct visor__lapic *lapic)
{
    /* Only an outer I/O APIC can be told ends one by one, by x2APIC systems: KVM's rule. The one
     * inside could, but a KVM that the guest moves to has one that cannot. */
    return VERSION_INTEGRATED | (LVT_COUNT - 1) << 16 |
           (lapic->chip->split && lapic->may_x2apic ? APIC_HAS_SUPPRESS_EOI : 0);
}

/* SDM 11.12.10.2: the logical ID of x2APIC mode is made of the other one. */
static uint32_t x2apic_ldr(uint32_t id)
{
    return id >> 4 << 16 | 1u << (id & 15);
}

void visor__lapic_mode_changed(struct visor__lapic *lapic)
{
    lapic->regs[APIC_VERSION] = version_of(lapic);
    if (visor__lapic_x2apic(lapic)) {
        lapic->regs[APIC_ID] = lapic->id << 24;
        lapic->regs[APIC_LDR] = x2apic_ldr(lapic->id);
    }
}

/* 11.4.7.1, 11.4.7.3 */
void visor__lapic_reset(struct visor__lapic *lapic)
{
    uint32_t id = lapic->regs[APIC_ID];

    memset(lapic->regs, 0, sizeof(lapic->regs));
    lapic->regs[APIC_ID] = id;
    lapic->regs[APIC_DFR] = UINT32_MAX;
    lapic->regs[APIC_SVR] = 0xff;
    for (unsigned reg = APIC_LVT_TIMER; reg <= APIC_LVT_ERROR; reg++)
        lapic->regs[reg] = LVT_MASKED;
    /* The firmware's virtual wire (MultiProcessor Specification 1.4, 3.6.2.2), so that a PIC's
     * interrupts arrive before the guest knows of its APIC. KVM has it too. */
    if (lapic->id == 0)
        lapic->regs[APIC_LVT_LINT0] = MODE_EXTINT << 8;
    visor__lapic_mode_changed(lapic);
    lapic->errors = 0;
    lapic->extint = false;
    lapic->outer_extint = -1;
    memset(lapic->outer_eoi, 0, sizeof(lapic->outer_eoi));
    lapic->due = NEVER;
    lapic->tsc_deadline = 0;
    visor__irqchip_timers_changed(lapic->chip);
}

void visor__lapic_set_features(struct visor__lapic *lapic, bool x2apic, bool tsc_deadline)
{
    visor__mutex_lock(&lapic->chip->lock);
    lapic->may_x2apic = x2apic;
    lapic->may_deadline = tsc_deadline && lapic->chip->tsc_hz != 0;
    visor__lapic_mode_changed(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
}

/* ---- interrupts of its own ---- */

/* SDM 11.5.3, figure 11-9: bits gather until the guest writes the register. */
void visor__lapic_add_error(struct visor__lapic *lapic, uint32_t error)
{
    bool is_new = (lapic->errors & error) == 0;

    lapic->errors |= error;
    /* An entry with an illegal vector must not report itself for ever. */
    if (is_new && (lapic->regs[APIC_LVT_ERROR] & 0xff) >= 16)
        visor__lapic_local(lapic, APIC_LVT_ERROR);
}

/* 11.5.1. Timer and error entries have no mode bits: fixed. */
void visor__lapic_local(struct visor__lapic *lapic, unsigned reg)
{
    uint32_t lvt = lapic->regs[reg];

    if (!visor__lapic_enabled(lapic) || (lvt & LVT_MASKED) != 0)
        return;
    visor__lapic_accept(lapic, LVT_MODE(lvt), (uint8_t)lvt, false);
}

/* ---- the run loop ---- */

unsigned visor__lapic_pending(const struct visor__lapic *lapic)
{
    return atomic_load(&lapic->pending);
}

int visor__lapic_peek(struct visor__lapic *lapic)
{
    int vector;

    visor__mutex_lock(&lapic->chip->lock);
    vector = pic_requests(lapic) ? -1 : deliverable(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return vector;
}

/* The PIC's interrupts come first, as they do with KVM. */
int visor__lapic_acknowledge(struct visor__lapic *lapic)
{
    struct visor__irqchip *chip = lapic->chip;
    int vector;

    visor__mutex_lock(&chip->lock);
    if (lapic->outer_extint >= 0) {
        vector = lapic->outer_extint;
        lapic->outer_extint = -1;
    } else if (pic_requests(lapic)) {
        lapic->extint = false;
        vector = visor__pic_acknowledge(&chip->pic);
        visor__irqchip_settle(chip);
    } else {
        vector = deliverable(lapic);
        if (vector >= 0) {
            visor__lapic_change(lapic, APIC_IRR, (uint8_t)vector, false);
            visor__lapic_change(lapic, APIC_ISR, (uint8_t)vector, true);
        }
    }
    visor__lapic_update(lapic);
    visor__mutex_unlock(&chip->lock);
    return vector;
}

bool visor__lapic_take(struct visor__lapic *lapic, unsigned bit)
{
    bool taken;

    if ((atomic_load(&lapic->pending) & bit) == 0)
        return false;
    visor__mutex_lock(&lapic->chip->lock);
    taken = (lapic->latched & bit) != 0;
    lapic->latched &= ~bit;
    if (taken && bit == VISOR__PENDING_INIT)
        visor__lapic_reset(lapic);
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return taken;
}

int visor__lapic_take_sipi(struct visor__lapic *lapic)
{
    int vector;

    visor__mutex_lock(&lapic->chip->lock);
    vector = (lapic->latched & VISOR__PENDING_SIPI) != 0 ? lapic->sipi_vector : -1;
    lapic->latched &= ~(unsigned)VISOR__PENDING_SIPI;
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return vector;
}

int visor__lapic_take_eoi(struct visor__lapic *lapic)
{
    int vector = -1;

    visor__mutex_lock(&lapic->chip->lock);
    for (int word = 7; vector < 0 && word >= 0; word--) {
        uint32_t *bits = &lapic->outer_eoi[word];

        if (*bits != 0) {
            unsigned bit = 31 - (unsigned)__builtin_clz(*bits);

            *bits &= ~(1u << bit);
            vector = word * 32 + (int)bit;
        }
    }
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return vector;
}

void visor__lapic_nmi(struct visor__lapic *lapic)
{
    visor__mutex_lock(&lapic->chip->lock);
    lapic->latched |= VISOR__PENDING_NMI;
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
}

bool visor__lapic_accepts_extint(struct visor__lapic *lapic)
{
    bool accepts;

    visor__mutex_lock(&lapic->chip->lock);
    accepts = lapic->outer_extint < 0 && visor__lapic_passes_pic(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return accepts;
}

void visor__lapic_set_extint(struct visor__lapic *lapic, uint8_t vector)
{
    visor__mutex_lock(&lapic->chip->lock);
    lapic->outer_extint = vector;
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
}

/* ---- sleeping ---- */

uint32_t visor__lapic_bell(const struct visor__lapic *lapic)
{
    return atomic_load(&lapic->bell);
}

/* Who rings and sees no sleeper is seen by the sleeper: all accesses are sequentially consistent.
 */
void visor__lapic_ring(struct visor__lapic *lapic)
{
    atomic_fetch_add(&lapic->bell, 1);
    if (atomic_load(&lapic->sleepers) != 0)
        visor__os_wake(&lapic->bell);
}

void visor__lapic_sleep(struct visor__lapic *lapic, uint32_t bell)
{
    atomic_fetch_add(&lapic->sleepers, 1);
    visor__os_wait(&lapic->bell, bell);
    atomic_fetch_sub(&lapic->sleepers, 1);
}

/* ---- life, from outside ---- */

int visor__lapic_create(struct visor__lapic **out, struct visor__irqchip *chip, uint32_t id,
                        void *vcpu)
{
    struct visor__lapic *lapic, **at;

    if (id > 254) /* 255 is the broadcast destination */
        return visor__error(VISOR_ELIMIT, "", "visor_vcpu_create",
                            "vCPU %u: the local APICs have the ids 0 to 254", id);
    lapic = calloc(1, sizeof(*lapic));
    if (lapic == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vcpu_create", "no memory for a local APIC");
    atomic_init(&lapic->pending, 0);
    atomic_init(&lapic->bell, 0);
    atomic_init(&lapic->sleepers, 0);
    lapic->chip = chip;
    lapic->vcpu = vcpu;
    lapic->id = id;
    lapic->may_x2apic = true;
    lapic->may_deadline = chip->tsc_hz != 0;
    lapic->base = 0xfee00000u | BASE_ENABLE | (id == 0 ? BASE_BSP : 0);
    lapic->regs[APIC_ID] = id << 24;

    visor__mutex_lock(&chip->lock);
    visor__lapic_reset(lapic);
    at = &chip->lapics;
    while (*at != NULL && (*at)->id < id)
        at = &(*at)->next;
    lapic->next = *at;
    *at = lapic;
    visor__lapic_update(lapic);
    visor__mutex_unlock(&chip->lock);
    *out = lapic;
    return 0;
}

void visor__lapic_destroy(struct visor__lapic *lapic)
{
    struct visor__lapic **at;

    if (lapic == NULL)
        return;
    visor__mutex_lock(&lapic->chip->lock);
    at = &lapic->chip->lapics;
    while (*at != lapic)
        at = &(*at)->next;
    *at = lapic->next;
    visor__irqchip_timers_changed(lapic->chip);
    visor__mutex_unlock(&lapic->chip->lock);
    free(lapic);
}
