/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two doors to the registers of a local APIC: the page of xAPIC mode (SDM vol. 3A, 11.4.1) and
 * the MSRs of x2APIC mode (11.12.1). Behind them the registers are the same, but for a few.
 */
#include "irqchip/chip.h"

#include <string.h>

#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC       0x800u
#define MSR_X2APIC_END   0x8ffu

/* ICR: in x2APIC mode a reserved bit that is set is #GP (figure 11-28). The delivery status (bit
 * 12) is let pass, as KVM lets it. */
#define ICR_RESERVED 0xfff32000u
#define ICR_STATUS   (1u << 12)

/* What a guest may do with a register, by its number. */
enum {
    READ = 1,
    WRITE = 2,
    XAPIC_ONLY = 4,
    X2APIC_ONLY = 8,
    X2APIC_READ_ONLY = 16,
};

/* Tables 11-1 and 11-6. 0: there is no such register. */
static unsigned rights_of(const struct visor__lapic *lapic, unsigned reg)
{
    switch (reg) {
    case APIC_ID:
    case APIC_LDR: return READ | WRITE | X2APIC_READ_ONLY;
    case APIC_VERSION:
    case APIC_PPR:
    case APIC_TIMER_CURRENT: return READ;
    case APIC_APR: return READ | XAPIC_ONLY;
    case APIC_EOI: return WRITE;
    case APIC_DFR:
    case APIC_ICR2: return READ | WRITE | XAPIC_ONLY;
    case APIC_SELF_IPI: return WRITE | X2APIC_ONLY;
    case APIC_TPR:
    case APIC_SVR:
    case APIC_ESR:
    case APIC_ICR:
    case APIC_TIMER_INITIAL:
    case APIC_TIMER_DIVIDE: return READ | WRITE;
    default: break;
    }
    if (reg >= APIC_ISR && reg < APIC_ESR)
        return READ;
    return visor__lapic_lvt_mask(lapic, reg) != 0 ? READ | WRITE : 0;
}

static bool may(const struct visor__lapic *lapic, unsigned reg, unsigned right)
{
    unsigned rights = rights_of(lapic, reg);

    if (visor__lapic_x2apic(lapic)) {
        if ((rights & X2APIC_READ_ONLY) != 0)
            rights &= ~(unsigned)WRITE;
        return (rights & right) != 0 && (rights & XAPIC_ONLY) == 0;
    }
    return (rights & right) != 0 && (rights & X2APIC_ONLY) == 0;
}

static uint32_t read_register(const struct visor__lapic *lapic, unsigned reg)
{
    switch (reg) {
    case APIC_ID: /* 11.12.5.1: 32 bits wide */
        return visor__lapic_x2apic(lapic) ? lapic->id : lapic->regs[APIC_ID];
    case APIC_APR: return visor__lapic_arbitration_priority(lapic);
    case APIC_PPR: return visor__lapic_processor_priority(lapic);
    case APIC_TIMER_CURRENT: return visor__lapic_timer_count(lapic);
    default: return lapic->regs[reg];
    }
}

/* 11.8.5: the end of the interrupt in service, and its broadcast to the I/O APICs. */
static void end_of_interrupt(struct visor__lapic *lapic)
{
    struct visor__irqchip *chip = lapic->chip;
    int vector = visor__lapic_highest(lapic, APIC_ISR);
    bool level;

    if (vector < 0)
        return;
    visor__lapic_change(lapic, APIC_ISR, (uint8_t)vector, false);
    level = visor__lapic_test(lapic, APIC_TMR, (uint8_t)vector) &&
            (lapic->regs[APIC_SVR] & APIC_SUPPRESS_EOI) == 0;
    if (!chip->split)
        visor__ioapic_eoi(chip, (uint8_t)vector, level);
    else if (level)
        lapic->outer_eoi[vector / 32] |= 1u << vector % 32;
}

/* The bits of SVR that can be set. */
static uint32_t spurious_mask(const struct visor__lapic *lapic)
{
    return (lapic->regs[APIC_VERSION] & APIC_HAS_SUPPRESS_EOI) != 0 ? 0x3ff | APIC_SUPPRESS_EOI
                                                                    : 0x3ff;
}

/* 11.4.7.2: switched off, the entries are masked, and stay so. */
static void write_spurious(struct visor__lapic *lapic, uint32_t value)
{
    lapic->regs[APIC_SVR] = value & spurious_mask(lapic);
    if ((value & APIC_SOFTWARE_ENABLE) != 0)
        return;
    for (unsigned reg = APIC_LVT_TIMER; reg <= APIC_LVT_ERROR; reg++)
        lapic->regs[reg] |= LVT_MASKED;
}

static void write_lvt(struct visor__lapic *lapic, unsigned reg, uint32_t value)
{
    value &= visor__lapic_lvt_mask(lapic, reg);
    if ((lapic->regs[APIC_SVR] & APIC_SOFTWARE_ENABLE) == 0)
        value |= LVT_MASKED;
    if (reg == APIC_LVT_TIMER)
        visor__lapic_timer_set_lvt(lapic, value);
    else
        lapic->regs[reg] = value;
}

static void write_register(struct visor__lapic *lapic, unsigned reg, uint32_t value)
{
    switch (reg) {
    case APIC_ID:
    case APIC_LDR:
    case APIC_ICR2:
        lapic->regs[reg] = visor__lapic_x2apic(lapic) ? value : value & 0xff000000;
        break;
    case APIC_TPR: lapic->regs[APIC_TPR] = value & 0xff; break;
    case APIC_EOI: end_of_interrupt(lapic); break;
    case APIC_DFR: lapic->regs[APIC_DFR] = value | 0x0fffffff; break;
    case APIC_SVR: write_spurious(lapic, value); break;
    case APIC_ESR: /* 11.5.3 */
        lapic->regs[APIC_ESR] = lapic->errors;
        lapic->errors = 0;
        break;
    case APIC_ICR:
        lapic->regs[APIC_ICR] = value & ~ICR_STATUS;
        visor__lapic_send(lapic);
        break;
    case APIC_TIMER_INITIAL: visor__lapic_timer_set_initial(lapic, value); break;
    case APIC_TIMER_DIVIDE: visor__lapic_timer_set_divide(lapic, value); break;
    case APIC_SELF_IPI: /* 11.12.11 */
        if ((value & 0xff) < 16)
            visor__lapic_add_error(lapic, ERROR_SEND_VECTOR);
        else
            visor__lapic_accept(lapic, MODE_FIXED, (uint8_t)value, false);
        break;
    default: write_lvt(lapic, reg, value); break;
    }
    visor__lapic_update(lapic);
}

/* ---- the page ---- */

uint64_t visor__lapic_page(struct visor__lapic *lapic)
{
    uint64_t base = lapic->base;

    return (base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE ? base & BASE_ADDRESS : UINT64_MAX;
}

/*
 * Called with an offset in the page. 11.4.1.1: registers are 32 bits wide and are to be accessed as
 * such; of a write of another size it is undefined what happens, and nothing does.
 */
void visor__lapic_mmio(struct visor__lapic *lapic, visor_io *io, unsigned offset)
{
    unsigned reg = offset / 16, byte = offset % 16;
    uint32_t value = 0;

    if (!may(lapic, reg < 64 ? reg : 0, io->is_write ? WRITE : READ)) {
        /* 11.5.3, "Illegal Register Address"; reading EOI is none. */
        if (reg >= 64 || rights_of(lapic, reg) == 0)
            visor__lapic_add_error(lapic, ERROR_REGISTER);
    } else if (!io->is_write) {
        value = byte < 4 ? read_register(lapic, reg) >> 8 * byte : 0;
    } else if (byte == 0 && io->length >= 4) {
        write_register(lapic, reg, (uint32_t)visor_io_value(io));
    }
    if (!io->is_write)
        visor_io_set_value(io, value);
}

/* ---- MSRs ---- */

static enum visor__msr_result read_x2apic(uint64_t *out, const struct visor__lapic *lapic,
                                          unsigned reg)
{
    if (!visor__lapic_x2apic(lapic) || !may(lapic, reg, READ))
        return VISOR__MSR_FAULT;
    *out = read_register(lapic, reg);
    if (reg == APIC_ICR)
        *out |= (uint64_t)lapic->regs[APIC_ICR2] << 32;
    return VISOR__MSR_DONE;
}

enum visor__msr_result visor__lapic_read_msr(uint64_t *out, struct visor__lapic *lapic,
                                             uint32_t index, bool by_guest)
{
    enum visor__msr_result result = VISOR__MSR_DONE;

    visor__mutex_lock(&lapic->chip->lock);
    if (index == MSR_APIC_BASE) {
        *out = lapic->base;
    } else if (index == MSR_TSC_DEADLINE) {
        *out = lapic->tsc_deadline;
        if (!lapic->may_deadline && by_guest)
            result = VISOR__MSR_FAULT;
    } else if (index >= MSR_X2APIC && index <= MSR_X2APIC_END) {
        result = index - MSR_X2APIC < 64 ? read_x2apic(out, lapic, index - MSR_X2APIC)
                                         : VISOR__MSR_FAULT;
    } else {
        result = VISOR__MSR_FOREIGN;
    }
    visor__mutex_unlock(&lapic->chip->lock);
    return result;
}

/* The bits that may be set in x2APIC mode (11.12.1.3: others are #GP). */
static uint32_t writable(const struct visor__lapic *lapic, unsigned reg)
{
    switch (reg) {
    case APIC_TPR:
    case APIC_SELF_IPI: return 0xff;
    case APIC_EOI:
    case APIC_ESR: return 0;
    case APIC_SVR: return (lapic->regs[APIC_VERSION] & APIC_HAS_SUPPRESS_EOI) != 0 ? 0x13ff : 0x3ff;
    case APIC_ICR: return ~ICR_RESERVED;
    case APIC_TIMER_INITIAL: return UINT32_MAX;
    case APIC_TIMER_DIVIDE: return 11;
    default: break;
    }
    /* The status bits of an entry are read only, which is no fault. */
    return visor__lapic_lvt_mask(lapic, reg) | 0x1000 |
           (reg == APIC_LVT_LINT0 || reg == APIC_LVT_LINT1 ? 0x4000 : 0);
}

static enum visor__msr_result write_x2apic(struct visor__lapic *lapic, unsigned reg, uint64_t value)
{
    if (!visor__lapic_x2apic(lapic) || !may(lapic, reg, WRITE) ||
        ((uint32_t)value & ~writable(lapic, reg)) != 0)
        return VISOR__MSR_FAULT;
    if (reg == APIC_ICR)
        lapic->regs[APIC_ICR2] = (uint32_t)(value >> 32);
    else if (value >> 32 != 0)
        return VISOR__MSR_FAULT;
    write_register(lapic, reg, (uint32_t)value);
    return VISOR__MSR_DONE;
}

/* Figure 11-27 and 11.12.5: which mode follows which. */
static bool can_switch(uint64_t from, uint64_t to)
{
    uint64_t mode_from = from & (BASE_ENABLE | BASE_X2APIC);
    uint64_t mode_to = to & (BASE_ENABLE | BASE_X2APIC);

    if (mode_from == (BASE_ENABLE | BASE_X2APIC))
        return mode_to == mode_from || mode_to == 0;
    return mode_from != 0 || mode_to != (BASE_ENABLE | BASE_X2APIC);
}

static enum visor__msr_result write_base(struct visor__lapic *lapic, uint64_t value, bool by_guest)
{
    uint64_t valid = BASE_ADDRESS | BASE_ENABLE | BASE_BSP | (lapic->may_x2apic ? BASE_X2APIC : 0);
    bool was_enabled = visor__lapic_enabled(lapic), was_x2apic = visor__lapic_x2apic(lapic);

    if ((value & ~valid) != 0 || (value & (BASE_ENABLE | BASE_X2APIC)) == BASE_X2APIC ||
        (by_guest && !can_switch(lapic->base, value)))
        return VISOR__MSR_FAULT;
    lapic->base = value;
    /* 11.4.3, 11.12.5.1: switched on again, it is as after a reset. */
    if (by_guest && !was_enabled && visor__lapic_enabled(lapic)) {
        lapic->regs[APIC_ID] = lapic->id << 24;
        visor__lapic_reset(lapic);
    } else if (was_x2apic != visor__lapic_x2apic(lapic)) {
        visor__lapic_mode_changed(lapic);
    }
    visor__lapic_update(lapic);
    return VISOR__MSR_DONE;
}

enum visor__msr_result visor__lapic_write_msr(struct visor__lapic *lapic, uint32_t index,
                                              uint64_t value, bool by_guest)
{
    enum visor__msr_result result = VISOR__MSR_DONE;

    visor__mutex_lock(&lapic->chip->lock);
    if (index == MSR_APIC_BASE) {
        result = write_base(lapic, value, by_guest);
    } else if (index == MSR_TSC_DEADLINE) {
        if (lapic->may_deadline)
            visor__lapic_timer_set_deadline(lapic, value);
        else if (by_guest)
            result = VISOR__MSR_FAULT;
    } else if (index >= MSR_X2APIC && index <= MSR_X2APIC_END) {
        result = index - MSR_X2APIC < 64 ? write_x2apic(lapic, index - MSR_X2APIC, value)
                                         : VISOR__MSR_FAULT;
    } else {
        result = VISOR__MSR_FOREIGN;
    }
    visor__mutex_unlock(&lapic->chip->lock);
    return result;
}

/* ---- CR8: SDM 11.8.6 ---- */

uint64_t visor__lapic_get_cr8(struct visor__lapic *lapic)
{
    uint64_t value;

    visor__mutex_lock(&lapic->chip->lock);
    value = lapic->regs[APIC_TPR] >> 4;
    visor__mutex_unlock(&lapic->chip->lock);
    return value;
}

void visor__lapic_set_cr8(struct visor__lapic *lapic, uint64_t value)
{
    visor__mutex_lock(&lapic->chip->lock);
    lapic->regs[APIC_TPR] = (uint32_t)(value & 15) << 4;
    visor__lapic_update(lapic);
    visor__mutex_unlock(&lapic->chip->lock);
}

/* ---- state ---- */

static void get_registers(visor_x86_lapic *out, const struct visor__lapic *lapic)
{
    for (unsigned reg = 0; reg < 64; reg++)
        out->regs[reg] = lapic->regs[reg];
    out->regs[APIC_PPR] = visor__lapic_processor_priority(lapic);
    out->regs[APIC_TIMER_CURRENT] = visor__lapic_timer_count(lapic);
}

/* Takes over what a guest can have made of the registers; the rest is this APIC's own. */
static void set_registers(struct visor__lapic *lapic, const visor_x86_lapic *state)
{
    static const uint8_t plain[] = {APIC_LDR, APIC_ICR2, APIC_TIMER_INITIAL};
    const uint32_t *in = state->regs;
    uint32_t *regs = lapic->regs;

    visor__lapic_reset(lapic);
    regs[APIC_ID] = in[APIC_ID] & 0xff000000;
    for (unsigned i = 0; i < sizeof(plain); i++)
        regs[plain[i]] = in[plain[i]];
    regs[APIC_TPR] = in[APIC_TPR] & 0xff;
    regs[APIC_DFR] = in[APIC_DFR] | 0x0fffffff;
    for (unsigned reg = APIC_ISR; reg < APIC_ESR; reg++)
        regs[reg] = in[reg] & (reg % 8 == 0 ? 0xffff0000 : UINT32_MAX); /* vectors from 16 on */
    regs[APIC_ESR] = in[APIC_ESR] & 0xff;
    regs[APIC_ICR] = in[APIC_ICR] & ~ICR_STATUS;
    for (unsigned reg = APIC_LVT_TIMER; reg <= APIC_LVT_ERROR; reg++)
        regs[reg] = in[reg] & visor__lapic_lvt_mask(lapic, reg);
    regs[APIC_TIMER_DIVIDE] = in[APIC_TIMER_DIVIDE] & 11;
    visor__lapic_mode_changed(lapic);
    /* Not as a write: after a reset the APIC is switched off, and LINT0 is open. */
    regs[APIC_SVR] = in[APIC_SVR] & spurious_mask(lapic);
    visor__lapic_timer_resume(lapic, in[APIC_TIMER_CURRENT]);
    visor__lapic_update(lapic);
}

int visor__lapic_get_state(void *buf, size_t capacity, struct visor__lapic *lapic,
                           enum visor__state piece)
{
    size_t size =
        piece == VISOR__STATE_X86_APIC_BASE ? sizeof(lapic->base) : sizeof(visor_x86_lapic);

    if (capacity < size)
        return (int)size;
    visor__mutex_lock(&lapic->chip->lock);
    if (piece == VISOR__STATE_X86_APIC_BASE)
        memcpy(buf, &lapic->base, size);
    else
        get_registers(buf, lapic);
    visor__mutex_unlock(&lapic->chip->lock);
    return (int)size;
}

int visor__lapic_set_state(struct visor__lapic *lapic, enum visor__state piece, const void *buf,
                           size_t length)
{
    uint64_t base;
    int ret = 0;

    (void)length; /* the core has checked it */
    visor__mutex_lock(&lapic->chip->lock);
    if (piece == VISOR__STATE_X86_APIC_BASE) {
        memcpy(&base, buf, sizeof(base));
        if (write_base(lapic, base, false) != VISOR__MSR_DONE)
            ret = visor__error(VISOR_EINVAL, "", visor__states[piece].name,
                               "0x%llx has bits that do not exist, or no mode",
                               (unsigned long long)base);
    } else {
        set_registers(lapic, buf);
    }
    visor__mutex_unlock(&lapic->chip->lock);
    return ret;
}
