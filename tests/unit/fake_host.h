/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine without a hypervisor: what devices of the VMM ask of a vmm_host is noted down. */
#ifndef VISOR_TESTS_FAKE_HOST_H
#define VISOR_TESTS_FAKE_HOST_H

#include <pthread.h>
#include <stdlib.h>

#include "devices/device.h"

#define FAKE_RANGES 16
#define FAKE_LINES  32
#define FAKE_MSIS   64
#define FAKE_EVENTS 8

typedef struct fake_host {
    vmm_host host;
    pthread_mutex_t lock;
    visor_io_range ranges[FAKE_RANGES];
    unsigned range_count;
    bool line[FAKE_LINES];
    unsigned raised[FAKE_LINES]; /* how often the line went up */
    visor_msi msi[FAKE_MSIS];
    unsigned msi_count; /* all; the last FAKE_MSIS are kept */
    visor_io_event events[FAKE_EVENTS];
    unsigned event_count;
    unsigned poweroffs, resets, panics, exits, logs;
    uint32_t exit_status;
    char log[300]; /* the last line */
} fake_host;

static int fake_map_io(void *context, const visor_io_range *range)
{
    fake_host *fake = context;

    if (fake->range_count == FAKE_RANGES)
        return VISOR_ELIMIT;
    fake->ranges[fake->range_count++] = *range;
    return 0;
}

static int fake_set_irq(void *context, uint32_t gsi, bool level)
{
    fake_host *fake = context;

    pthread_mutex_lock(&fake->lock);
    if (gsi < FAKE_LINES) {
        fake->raised[gsi] += level && !fake->line[gsi];
        fake->line[gsi] = level;
    }
    pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_send_msi(void *context, const visor_msi *msi)
{
    fake_host *fake = context;

    pthread_mutex_lock(&fake->lock);
    fake->msi[fake->msi_count++ % FAKE_MSIS] = *msi;
    pthread_mutex_unlock(&fake->lock);
    return 1;
}

static int fake_add_io_event(void *context, const visor_io_event *io_event)
{
    fake_host *fake = context;

    if (fake->event_count == FAKE_EVENTS)
        return VISOR_ELIMIT;
    fake->events[fake->event_count++] = *io_event;
    return 0;
}

static int fake_remove_io_event(void *context, const visor_io_event *io_event)
{
    fake_host *fake = context;

    for (unsigned i = 0; i < fake->event_count; i++) {
        if (fake->events[i].address == io_event->address) {
            fake->events[i] = fake->events[--fake->event_count];
            return 0;
        }
    }
    return VISOR_ENOENT;
}

static void fake_request(void *context, vmm_request request)
{
    fake_host *fake = context;

    fake->poweroffs += request == VMM_REQUEST_POWEROFF;
    fake->resets += request == VMM_REQUEST_RESET;
    fake->panics += request == VMM_REQUEST_PANIC;
}

static void fake_exit(void *context, uint32_t status)
{
    fake_host *fake = context;

    fake->exits++;
    fake->exit_status = status;
}

static void fake_log(void *context, const char *line)
{
    fake_host *fake = context;

    pthread_mutex_lock(&fake->lock);
    snprintf(fake->log, sizeof(fake->log), "%s", line);
    fake->logs++;
    pthread_mutex_unlock(&fake->lock);
}

static inline void fake_init(fake_host *fake, visor_memory *memory)
{
    *fake = (fake_host){.lock = PTHREAD_MUTEX_INITIALIZER};
    fake->host = (vmm_host){
        .context = fake,
        .memory = memory,
        .map_io = fake_map_io,
        .set_irq = fake_set_irq,
        .irq_context = fake,
        .send_msi = fake_send_msi,
        .add_io_event = fake_add_io_event,
        .remove_io_event = fake_remove_io_event,
        .request = fake_request,
        .exit = fake_exit,
        .request_context = fake,
        .log = fake_log,
        .log_context = fake,
    };
}

/* For tests of devices that raise interrupts on a thread of their own. */
static inline bool fake_line(fake_host *fake, unsigned gsi)
{
    bool level;

    pthread_mutex_lock(&fake->lock);
    level = fake->line[gsi];
    pthread_mutex_unlock(&fake->lock);
    return level;
}

static inline unsigned fake_msis(fake_host *fake)
{
    unsigned count;

    pthread_mutex_lock(&fake->lock);
    count = fake->msi_count;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

/* One access of the guest: the newest handler that contains it and does not decline. */
static inline uint64_t fake_access(fake_host *fake, visor_space space, uint64_t address,
                                   uint32_t length, bool is_write, uint64_t value)
{
    visor_io io = {.address = address, .length = length, .is_write = is_write, .space = space};
    const visor_io_range *range;

    if (is_write)
        visor_io_set_value(&io, value);
    for (unsigned i = fake->range_count; i-- > 0;) {
        range = &fake->ranges[i];
        if (range->space == space && address >= range->address &&
            address - range->address < range->length &&
            range->handler(range->context, NULL, &io) == VISOR_IO_DONE)
            break;
    }
    return visor_io_value(&io);
}

static inline void out8(fake_host *fake, uint16_t port, unsigned value)
{
    fake_access(fake, VISOR_PIO, port, 1, true, value);
}

static inline unsigned in8(fake_host *fake, uint16_t port)
{
    return (unsigned)fake_access(fake, VISOR_PIO, port, 1, false, 0);
}

static inline void poke(fake_host *fake, uint64_t gpa, uint32_t length, uint64_t value)
{
    fake_access(fake, VISOR_MMIO, gpa, length, true, value);
}

static inline uint64_t peek(fake_host *fake, uint64_t gpa, uint32_t length)
{
    return fake_access(fake, VISOR_MMIO, gpa, length, false, 0);
}

#endif
