/* SPDX-License-Identifier: BSD-3-Clause */
/* ARM PrimeCell Real Time Clock (PL031) Technical Reference Manual, DDI 0224. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "devices/platform.h"

enum {
    RTC_DR = 0x00,   /* seconds, read-only */
    RTC_MR = 0x04,   /* the match for an alarm */
    RTC_LR = 0x08,   /* sets the seconds */
    RTC_CR = 0x0c,   /* 1: it runs, which cannot be stopped */
    RTC_IMSC = 0x10, /* interrupt mask */
    RTC_ID = 0xfe0,  /* identification: eight registers of a byte */
};

struct pl031 {
    pthread_mutex_t lock;
    uint32_t offset; /* guest's seconds minus host's */
    uint32_t match, load, mask;
};

static uint32_t read_register(const pl031 *clock, uint64_t offset)
{
    static const uint8_t identification[8] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

    switch (offset) {
    case RTC_DR: return (uint32_t)time(NULL) + clock->offset;
    case RTC_MR: return clock->match;
    case RTC_LR: return clock->load;
    case RTC_CR: return 1;
    case RTC_IMSC: return clock->mask;
    default: return offset >= RTC_ID ? identification[(offset - RTC_ID) / 4] : 0;
    }
}

static void write_register(pl031 *clock, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case RTC_MR: clock->match = value; break;
    case RTC_LR:
        clock->load = value;
        clock->offset = value - (uint32_t)time(NULL);
        break;
    case RTC_IMSC: clock->mask = value & 1; break;
    default: break;
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pl031 *clock = context;
    uint64_t offset = io->address % PL031_LENGTH & ~3ull;
    unsigned int shift = 8 * (io->address & 3);

    (void)vcpu;
    pthread_mutex_lock(&clock->lock);
    if (!io->is_write)
        visor_io_set_value(io, read_register(clock, offset) >> shift);
    else if (shift == 0)
        write_register(clock, offset, (uint32_t)visor_io_value(io));
    pthread_mutex_unlock(&clock->lock);
    return VISOR_IO_DONE;
}

int pl031_create(pl031 **out, const vmm_host *host, uint64_t address, vmm_error *error)
{
    pl031 *clock = calloc(1, sizeof(*clock));
    int code;

    if (clock == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    pthread_mutex_init(&clock->lock, NULL);
    code = vmm_map_io(host, VISOR_MMIO, address, PL031_LENGTH, handle, clock, "real-time clock",
                      error);
    if (code < 0) {
        pl031_free(clock);
        return code;
    }
    *out = clock;
    return 0;
}

void pl031_free(pl031 *clock)
{
    if (clock == NULL)
        return;
    pthread_mutex_destroy(&clock->lock);
    free(clock);
}
