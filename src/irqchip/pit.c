/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An 8254 as a PC wires it: the gates of channels 0 and 1 are high, that of channel 2 is bit 0 of
 * port 0x61; the output of channel 0 is line 0, that of channel 2 is bit 5 of port 0x61. Section
 * names are those of Intel's data sheet 231164 ("8254 Programmable Interval Timer").
 *
 * Nothing counts here: the count is worked out from the time since it was loaded whenever somebody
 * asks. `load_time` is that moment, moved on by the time for which the gate has held the count.
 */
#include "irqchip/chip.h"

#define NS_PER_SECOND 1000000000u
#define PIT_HZ        1193182u
/* Interrupts of a shorter period come as often as this: a guest must not keep the host busy with
 * nothing else. KVM has a limit as well (min_timer_period_us). */
#define MIN_PERIOD_NS 100000u
#define SPEAKER_ON    2u /* in flags: bit 1 of port 0x61, as KVM has it (KVM_PIT_FLAGS_...) */

enum access { ACCESS_NONE, ACCESS_LOW, ACCESS_HIGH, ACCESS_FIRST, ACCESS_SECOND };

static uint64_t ticks_of(uint64_t ns)
{
    return ns / NS_PER_SECOND * PIT_HZ + ns % NS_PER_SECOND * PIT_HZ / NS_PER_SECOND;
}

/* Rounded up, so that as many ticks have passed then. */
static uint64_t ns_of(uint64_t ticks)
{
    return ticks / PIT_HZ * NS_PER_SECOND + (ticks % PIT_HZ * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ;
}

/* A channel that was not programmed has mode 255 (KVM's as well), and behaves like one in mode 0.
 */
static unsigned mode_of(const visor_x86_pit_channel *channel)
{
    return channel->mode <= 5 ? channel->mode : 0;
}

/* Ticks since the count was loaded. */
static uint64_t elapsed(const struct pit *pit, unsigned index, uint64_t now)
{
    uint64_t start = pit->state.channel[index].load_time;

    if (pit->stopped[index] != NEVER)
        now = pit->stopped[index];
    return now > start ? ticks_of(now - start) : 0;
}

/* ---- counting ("Mode Definitions") ---- */

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

static uint32_t from_bcd(uint16_t value)
{
    return (value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u +
           (value & 15u);
}

static uint16_t count_of(const struct pit *pit, unsigned index, uint64_t now)
{
    const visor_x86_pit_channel *channel = &pit->state.channel[index];
    uint64_t ticks = elapsed(pit, index, now), count = channel->count;
    uint32_t around = channel->bcd != 0 ? 10000 : 0x10000;

    switch (mode_of(channel)) {
    case 2: count -= ticks % count; break;
    case 3: count -= 2 * ticks % count; break;        /* by two */
    default: count += around - ticks % around; break; /* 0 is followed by the highest count */
    }
    count %= around;
    return channel->bcd != 0 ? to_bcd((uint32_t)count) : (uint16_t)count;
}

static bool output_of(const struct pit *pit, unsigned index, uint64_t now)
{
    const visor_x86_pit_channel *channel = &pit->state.channel[index];
    uint64_t ticks = elapsed(pit, index, now), count = channel->count;
    unsigned mode = mode_of(channel);

    if (pit->idle[index])
        return mode != 0;
    switch (mode) {
    case 2: return pit->stopped[index] != NEVER || ticks % count != count - 1;
    case 3: return pit->stopped[index] != NEVER || ticks % count < (count + 1) / 2;
    case 4:
    case 5: return ticks != count;
    default: return ticks >= count; /* 0 and 1 */
    }
}

/* Sets when the output of channel 0 rises next, after `now`. */
static void set_due(struct pit *pit, uint64_t now)
{
    const visor_x86_pit_channel *channel = &pit->state.channel[0];
    uint64_t ticks = elapsed(pit, 0, now), count = channel->count, at;

    pit->due = NEVER;
    if (pit->idle[0] || channel->mode > 4 || channel->mode == 1)
        return;
    switch (channel->mode) {
    case 0: at = count; break;
    case 4: at = count + 1; break;
    default: at = (ticks / count + 1) * count; break;
    }
    if (at <= ticks)
        return;
    pit->due = channel->load_time + ns_of(at);
    if (channel->mode % 4 >= 2 && ns_of(count) < MIN_PERIOD_NS && pit->due < now + MIN_PERIOD_NS)
        pit->due = now + MIN_PERIOD_NS;
}

bool visor__pit_expire(struct pit *pit, uint64_t now)
{
    if (now < pit->due)
        return false;
    set_due(pit, now);
    return true;
}

static void load_count(struct pit *pit, unsigned index, uint16_t value, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[index];
    unsigned mode = mode_of(channel);

    channel->count = channel->bcd != 0 ? from_bcd(value) : value;
    if (channel->count == 0)
        channel->count = channel->bcd != 0 ? 10000 : 0x10000;
    if (mode == 1 || mode == 5) /* waits for the gate */
        return;
    pit->idle[index] = false;
    channel->load_time = now;
    if (pit->stopped[index] != NEVER)
        pit->stopped[index] = now;
    if (index == 0)
        set_due(pit, now);
}

/* "Gate Input Operations": only channel 2's ever changes. */
static void set_gate(struct pit *pit, bool gate, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[2];
    unsigned mode = mode_of(channel);

    if (gate == (channel->gate != 0))
        return;
    channel->gate = gate;
    if (mode == 1 || mode == 5) {
        if (gate) {
            channel->load_time = now;
            pit->idle[2] = false;
        }
    } else if (!gate) {
        pit->stopped[2] = now;
    } else {
        if (mode == 2 || mode == 3)
            channel->load_time = now;
        else if (pit->stopped[2] != NEVER)
            channel->load_time += now - pit->stopped[2];
        pit->stopped[2] = NEVER;
    }
}

/* ---- ports ---- */

static void latch_count(struct pit *pit, unsigned index, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[index];

    /* "Counter Latch Command": a second one before the count was read is ignored. */
    if (channel->count_latched != 0)
        return;
    channel->latched_count = count_of(pit, index, now);
    channel->count_latched = channel->rw_mode;
}

static void latch_status(struct pit *pit, unsigned index, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[index];

    if (channel->status_latched != 0)
        return;
    channel->status = (uint8_t)(output_of(pit, index, now) << 7 | pit->idle[index] << 6 |
                                channel->rw_mode << 4 | (channel->mode & 7) << 1 | channel->bcd);
    channel->status_latched = 1;
}

static void write_control(struct pit *pit, uint8_t value, uint64_t now)
{
    unsigned index = value >> 6, access = value >> 4 & 3, mode = value >> 1 & 7;
    visor_x86_pit_channel *channel;

    if (index == 3) { /* "Read-Back Command": bits 5 and 4 are active low */
        for (unsigned i = 0; i < 3; i++) {
            if ((value >> (i + 1) & 1) == 0)
                continue;
            if ((value & 0x20) == 0)
                latch_count(pit, i, now);
            if ((value & 0x10) == 0)
                latch_status(pit, i, now);
        }
        return;
    }
    if (access == 0) {
        latch_count(pit, index, now);
        return;
    }
    channel = &pit->state.channel[index];
    channel->rw_mode = (uint8_t)access;
    channel->read_state = (uint8_t)access; /* ACCESS_LOW, ACCESS_HIGH, ACCESS_FIRST */
    channel->write_state = (uint8_t)access;
    channel->mode = (uint8_t)(mode > 5 ? mode - 4 : mode); /* bit 2 counts for 4 and 5 only */
    channel->bcd = value & 1;
    channel->count_latched = 0; /* "... or until the Counter is reprogrammed" */
    pit->idle[index] = true;
    pit->stopped[index] =
        index == 2 && channel->gate == 0 && mode_of(channel) % 4 != 1 ? now : NEVER;
    if (index == 0)
        set_due(pit, now);
}

static void write_count(struct pit *pit, unsigned index, uint8_t value, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[index];

    switch (channel->write_state) {
    case ACCESS_HIGH: load_count(pit, index, (uint16_t)(value << 8), now); break;
    case ACCESS_FIRST:
        channel->reload_value = value;
        channel->write_state = ACCESS_SECOND;
        break;
    case ACCESS_SECOND:
        channel->write_state = ACCESS_FIRST;
        load_count(pit, index, (uint16_t)((channel->reload_value & 0xff) | value << 8), now);
        break;
    default: load_count(pit, index, value, now); break; /* also before it was programmed */
    }
}

static uint8_t read_count(struct pit *pit, unsigned index, uint64_t now)
{
    visor_x86_pit_channel *channel = &pit->state.channel[index];
    unsigned access = channel->read_state;
    uint16_t count;

    if (channel->status_latched != 0) {
        channel->status_latched = 0;
        return channel->status;
    }
    if (channel->count_latched != 0) {
        access = channel->count_latched;
        count = channel->latched_count;
        channel->count_latched = access == ACCESS_FIRST ? ACCESS_HIGH : ACCESS_NONE;
        return (uint8_t)(access == ACCESS_HIGH ? count >> 8 : count);
    }
    count = count_of(pit, index, now);
    if (access == ACCESS_FIRST)
        channel->read_state = ACCESS_SECOND;
    else if (access == ACCESS_SECOND)
        channel->read_state = ACCESS_FIRST;
    return (uint8_t)(access == ACCESS_HIGH || access == ACCESS_SECOND ? count >> 8 : count);
}

bool visor__pit_has_port(uint64_t port)
{
    return (port & ~UINT64_C(3)) == 0x40 || port == 0x61;
}

/*
 * Port 0x61 ("NMI Status and Control" of PC chip sets). Bit 4 follows the refresh requests, once
 * in about 15 us; old programs measure time with it.
 */
uint8_t visor__pit_read(struct pit *pit, uint64_t port, uint64_t now)
{
    if (port == 0x61)
        return (uint8_t)(pit->state.channel[2].gate | (pit->state.flags & SPEAKER_ON) |
                         (now >> 14 & 1) << 4 | (uint32_t)output_of(pit, 2, now) << 5);
    if (port == 0x43) /* "No-Operation" */
        return 0;
    return read_count(pit, port & 3, now);
}

void visor__pit_write(struct pit *pit, uint64_t port, uint8_t value, uint64_t now)
{
    if (port == 0x61) {
        pit->state.flags = (pit->state.flags & ~SPEAKER_ON) | (value & SPEAKER_ON);
        set_gate(pit, (value & 1) != 0, now);
    } else if (port == 0x43) {
        write_control(pit, value, now);
    } else {
        write_count(pit, port & 3, value, now);
    }
}

/* ---- state ---- */

void visor__pit_init(struct pit *pit, uint64_t now)
{
    *pit = (struct pit){.due = NEVER};
    for (unsigned i = 0; i < 3; i++) {
        pit->state.channel[i] = (visor_x86_pit_channel){
            .count = 0x10000, .mode = 0xff, .gate = i != 2, .load_time = now};
        pit->stopped[i] = i == 2 ? now : NEVER;
    }
}

void visor__pit_get_state(visor_x86_pit *out, const struct pit *pit, uint64_t now)
{
    *out = pit->state;
    for (unsigned i = 0; i < 3; i++) {
        if (pit->stopped[i] != NEVER)
            out->channel[i].load_time += now - pit->stopped[i];
    }
}

/*
 * Channel 0 starts anew, as KVM's does: whether a one-shot count has ended already is not in the
 * state, and an interrupt too many does less harm than a lost one.
 */
void visor__pit_set_state(struct pit *pit, const visor_x86_pit *state, uint64_t now)
{
    pit->state = *state;
    for (unsigned i = 0; i < 3; i++) {
        visor_x86_pit_channel *channel = &pit->state.channel[i];

        if (channel->count == 0 || channel->count > 0x10000)
            channel->count = 0x10000;
        channel->gate = i != 2 || channel->gate != 0;
        channel->bcd &= 1;
        pit->idle[i] = false;
        pit->stopped[i] = channel->gate == 0 && mode_of(channel) % 4 != 1 ? now : NEVER;
    }
    pit->state.channel[0].load_time = now;
    set_due(pit, now);
}
