/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clock of Android's "goldfish" machine: a counter of nanoseconds since 1970 (AOSP,
 * platform/external/qemu, docs/GOLDFISH-VIRTUAL-HARDWARE.TXT, "Goldfish timer").
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "devices/platform.h"

enum {
    TIME_LOW = 0x00, /* reading it holds the other half still */
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08, /* the alarms are kept, but do not come */
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
};

struct goldfish_rtc {
    pthread_mutex_t lock;
    uint64_t offset; /* guest's nanoseconds minus host's */
    uint32_t high;   /* of the last reading; of the next setting */
    uint32_t alarm_low, alarm_high, irq_enabled;
};

static uint64_t host_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t read_register(goldfish_rtc *clock, uint64_t offset)
{
    uint64_t now;

    switch (offset) {
    case TIME_LOW:
        now = host_now() + clock->offset;
        clock->high = (uint32_t)(now >> 32);
        return (uint32_t)now;
    case TIME_HIGH: return clock->high;
    case ALARM_LOW: return clock->alarm_low;
    case ALARM_HIGH: return clock->alarm_high;
    case IRQ_ENABLED: return clock->irq_enabled;
    default: return 0;
    }
}

/* The high halves are written first. */
static void write_register(goldfish_rtc *clock, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case TIME_LOW: clock->offset = ((uint64_t)clock->high << 32 | value) - host_now(); break;
    case TIME_HIGH: clock->high = value; break;
    case ALARM_LOW: clock->alarm_low = value; break;
    case ALARM_HIGH: clock->alarm_high = value; break;
    case IRQ_ENABLED: clock->irq_enabled = value & 1; break;
    default: break;
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    goldfish_rtc *clock = context;
    uint64_t offset = io->address % GOLDFISH_RTC_LENGTH;

    (void)vcpu;
    pthread_mutex_lock(&clock->lock);
    if (io->length != 4 || offset % 4 != 0) {
        if (!io->is_write)
            visor_io_set_value(io, 0);
    } else if (io->is_write) {
        write_register(clock, offset, (uint32_t)visor_io_value(io));
    } else {
        visor_io_set_value(io, read_register(clock, offset));
    }
    pthread_mutex_unlock(&clock->lock);
    return VISOR_IO_DONE;
}

int goldfish_rtc_create(goldfish_rtc **out, const vmm_host *host, uint64_t address,
                        vmm_error *error)
{
    goldfish_rtc *clock = calloc(1, sizeof(*clock));
    int code;

    if (clock == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    pthread_mutex_init(&clock->lock, NULL);
    code = vmm_map_io(host, VISOR_MMIO, address, GOLDFISH_RTC_LENGTH, handle, clock,
                      "real-time clock", error);
    if (code < 0) {
        goldfish_rtc_free(clock);
        return code;
    }
    *out = clock;
    return 0;
}

void goldfish_rtc_free(goldfish_rtc *clock)
{
    if (clock == NULL)
        return;
    pthread_mutex_destroy(&clock->lock);
    free(clock);
}
