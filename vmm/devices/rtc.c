/* SPDX-License-Identifier: BSD-3-Clause */
/* MC146818A data sheet (Motorola, 1988); the century's place is a PC custom. */
#include "devices/platform.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "os/os.h"

enum {
    REG_SECONDS = 0x00,
    REG_MINUTES = 0x02,
    REG_HOURS = 0x04,
    REG_WEEKDAY = 0x06,
    REG_DAY = 0x07,
    REG_MONTH = 0x08,
    REG_YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_C = 0x0c,
    REG_D = 0x0d,
};

#define A_UIP     0x80 /* an update is in progress or about to begin */
#define A_DEFAULT 0x26 /* 32.768 kHz, 1024 Hz periodic rate */
#define A_UIP_NS  244000
#define B_SET     0x80 /* the guest sets the time: no updates */
#define B_BINARY  0x04
#define B_24H     0x02
#define D_VALID   0x80 /* the battery is good */
#define HOUR_PM   0x80

#define GUEST_EPOCH 946684800 /* 2000-01-01: when time begins that is the guest's own */

struct rtc {
    const vmm_host *host;
    pthread_mutex_t lock;
    struct timespec now; /* of the access under way */
    int64_t offset_s;    /* what the guest has set, minus that */
    uint8_t index;
    uint8_t nvram[128]; /* the time's registers in it are as of the last load() */
};

static void look_at_clock(rtc *clock, visor_vcpu *vcpu)
{
    uint64_t ns;

    if (clock->host->guest_time == NULL) {
        clock_gettime(CLOCK_REALTIME, &clock->now);
        return;
    }
    ns = clock->host->guest_time(vcpu);
    clock->now.tv_sec = GUEST_EPOCH + (time_t)(ns / 1000000000);
    clock->now.tv_nsec = (long)(ns % 1000000000);
}

static uint8_t encode(const rtc *clock, int value)
{
    return (uint8_t)(clock->nvram[REG_B] & B_BINARY ? value : value / 10 * 16 + value % 10);
}

static int decode(const rtc *clock, uint8_t value)
{
    return clock->nvram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

/* The current time into its registers. */
static void load(rtc *clock)
{
    uint8_t *nvram = clock->nvram, hour;
    struct tm tm;

    if (nvram[REG_B] & B_SET || !vmm_date_of(&tm, clock->now.tv_sec + clock->offset_s))
        return;
    nvram[REG_SECONDS] = encode(clock, tm.tm_sec);
    nvram[REG_MINUTES] = encode(clock, tm.tm_min);
    if (nvram[REG_B] & B_24H) {
        hour = encode(clock, tm.tm_hour);
    } else {
        hour = encode(clock, tm.tm_hour % 12 ? tm.tm_hour % 12 : 12);
        hour = (uint8_t)(hour | (tm.tm_hour >= 12 ? HOUR_PM : 0));
    }
    nvram[REG_HOURS] = hour;
    nvram[REG_WEEKDAY] = encode(clock, tm.tm_wday + 1);
    nvram[REG_DAY] = encode(clock, tm.tm_mday);
    nvram[REG_MONTH] = encode(clock, tm.tm_mon + 1);
    nvram[REG_YEAR] = encode(clock, (tm.tm_year + 1900) % 100);
    nvram[RTC_CENTURY] = encode(clock, (tm.tm_year + 1900) / 100);
}

/* The registers, as the guest set them, become the current time. */
static void store(rtc *clock)
{
    const uint8_t *nvram = clock->nvram;
    struct tm tm = {
        .tm_sec = decode(clock, nvram[REG_SECONDS]),
        .tm_min = decode(clock, nvram[REG_MINUTES]),
        .tm_mday = decode(clock, nvram[REG_DAY]),
        .tm_mon = decode(clock, nvram[REG_MONTH]) - 1,
        .tm_year = decode(clock, nvram[RTC_CENTURY]) * 100 + decode(clock, nvram[REG_YEAR]) - 1900,
    };

    if (nvram[REG_B] & B_24H) {
        tm.tm_hour = decode(clock, nvram[REG_HOURS]);
    } else {
        tm.tm_hour = decode(clock, nvram[REG_HOURS] & 0x7f) % 12;
        if (nvram[REG_HOURS] & HOUR_PM)
            tm.tm_hour += 12;
    }
    clock->offset_s = vmm_date_seconds(&tm) - clock->now.tv_sec;
}

static bool is_time(uint8_t index)
{
    return index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
           (index >= REG_WEEKDAY && index <= REG_YEAR) || index == RTC_CENTURY;
}

static uint8_t read_register(rtc *clock)
{
    switch (clock->index) {
    case REG_A:
        if (!(clock->nvram[REG_B] & B_SET) && clock->now.tv_nsec >= 1000000000 - A_UIP_NS)
            return clock->nvram[REG_A] | A_UIP;
        return clock->nvram[REG_A];
    case REG_C: return 0; /* no interrupts */
    case REG_D: return D_VALID;
    default:
        if (is_time(clock->index))
            load(clock);
        return clock->nvram[clock->index];
    }
}

static void write_register(rtc *clock, uint8_t value)
{
    bool was_set = clock->nvram[REG_B] & B_SET;

    switch (clock->index) {
    case REG_A: clock->nvram[REG_A] = value & 0x7f; break;
    case REG_B:
        load(clock); /* with the old format, in case the updates stop here */
        clock->nvram[REG_B] = value;
        if (was_set && !(value & B_SET))
            store(clock);
        break;
    case REG_C:
    case REG_D: break;
    default:
        if (is_time(clock->index))
            load(clock);
        clock->nvram[clock->index] = value;
        if (is_time(clock->index) && !was_set)
            store(clock);
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    rtc *clock = context;

    pthread_mutex_lock(&clock->lock);
    look_at_clock(clock, vcpu);
    for (uint32_t i = 0; i < io->length; i++) {
        uint64_t port = io->address + i;

        if (io->is_write && port == 0x70)
            clock->index = io->data[i] & 0x7f; /* bit 7 masks NMIs: there are none */
        else if (io->is_write && port == 0x71)
            write_register(clock, io->data[i]);
        else if (!io->is_write)
            io->data[i] = port == 0x71 ? read_register(clock) : 0xff;
    }
    pthread_mutex_unlock(&clock->lock);
    return VISOR_IO_DONE;
}

int rtc_create(rtc **out, const vmm_host *host, vmm_error *error)
{
    rtc *clock = calloc(1, sizeof(*clock));
    int result;

    if (!clock)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    clock->host = host;
    clock->nvram[REG_A] = A_DEFAULT;
    clock->nvram[REG_B] = B_24H;
    pthread_mutex_init(&clock->lock, NULL);
    result = vmm_map_io(host, VISOR_PIO, 0x70, 2, handle, clock, "real-time clock", error);
    if (result < 0) {
        rtc_free(clock);
        return result;
    }
    *out = clock;
    return 0;
}

void rtc_free(rtc *clock)
{
    if (!clock)
        return;
    pthread_mutex_destroy(&clock->lock);
    free(clock);
}

void rtc_set_nvram(rtc *clock, uint8_t index, uint8_t value)
{
    pthread_mutex_lock(&clock->lock);
    if (index > REG_D && index < sizeof(clock->nvram))
        clock->nvram[index] = value;
    pthread_mutex_unlock(&clock->lock);
}
