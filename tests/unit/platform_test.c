/* SPDX-License-Identifier: BSD-3-Clause */
/* Clocks, keyboard controller, ACPI registers and pvpanic. */
#include "unit.h"

#include <time.h>
#include <unistd.h>

#include "devices/platform.h"
#include "fake_host.h"
#include "os/os.h"

static unsigned cmos(fake_host *fake, unsigned index)
{
    out8(fake, 0x70, index);
    return in8(fake, 0x71);
}

static void set_cmos(fake_host *fake, unsigned index, unsigned value)
{
    out8(fake, 0x70, index);
    out8(fake, 0x71, value);
}

static int from_bcd(unsigned value)
{
    return (int)((value >> 4) * 10 + (value & 15));
}

/* The guest's clock as a time, read as a driver does: again if the second changed. */
static time_t guest_time(fake_host *fake, bool binary)
{
    struct tm tm = {0};
    unsigned second;

    do {
        unsigned r[] = {cmos(fake, 0), cmos(fake, 2), cmos(fake, 4),   cmos(fake, 7),
                        cmos(fake, 8), cmos(fake, 9), cmos(fake, 0x32)};
        int v[7];

        second = r[0];
        for (int i = 0; i < 7; i++)
            v[i] = binary ? (int)r[i] : from_bcd(r[i]);
        tm = (struct tm){.tm_sec = v[0],
                         .tm_min = v[1],
                         .tm_hour = v[2],
                         .tm_mday = v[3],
                         .tm_mon = v[4] - 1,
                         .tm_year = v[6] * 100 + v[5] - 1900};
    } while (cmos(fake, 0) != second);
    return (time_t)vmm_date_seconds(&tm);
}

TEST(rtc_shows_the_time_of_the_host)
{
    fake_host fake;
    rtc *clock;
    time_t before, shown;

    fake_init(&fake, NULL);
    REQUIRE_OK(rtc_create(&clock, &fake.host, NULL));
    CHECK_INT(cmos(&fake, 0x0d), 0x80);
    CHECK_INT(cmos(&fake, 0x0b), 0x02);
    CHECK_INT(cmos(&fake, 0x0a) & 0x7f, 0x26);
    before = time(NULL);
    shown = guest_time(&fake, false);
    CHECK(shown >= before && shown <= time(NULL));
    set_cmos(&fake, 0x0b, 0x06);
    before = time(NULL);
    shown = guest_time(&fake, true);
    CHECK(shown >= before && shown <= time(NULL));
    rtc_free(clock);
}

TEST(rtc_keeps_the_time_that_the_guest_sets)
{
    /* 1999-12-31 23:59:58, in BCD */
    static const unsigned values[][2] = {{0, 0x58}, {2, 0x59}, {4, 0x23},   {7, 0x31},
                                         {8, 0x12}, {9, 0x99}, {0x32, 0x19}};
    fake_host fake;
    rtc *clock;
    time_t shown;

    fake_init(&fake, NULL);
    REQUIRE_OK(rtc_create(&clock, &fake.host, NULL));
    set_cmos(&fake, 0x0b, 0x82);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        set_cmos(&fake, values[i][0], values[i][1]);
    CHECK_INT(cmos(&fake, 4), 0x23);
    set_cmos(&fake, 0x0b, 0x02);
    shown = guest_time(&fake, false);
    CHECK(shown >= 946684798 && shown <= 946684800);
    for (unsigned i = 0; i < 30 && guest_time(&fake, false) < 946684800; i++)
        usleep(100000);
    shown = guest_time(&fake, false); /* 2000-01-01: every register turned over */
    CHECK(shown >= 946684800 && shown < 946684810);
    rtc_free(clock);
}

TEST(rtc_counts_in_twelve_hours)
{
    static const unsigned hours[][2] = {{0x00, 0x12}, {0x01, 0x01}, {0x12, 0x92}, {0x23, 0x91}};
    fake_host fake;
    rtc *clock;

    fake_init(&fake, NULL);
    REQUIRE_OK(rtc_create(&clock, &fake.host, NULL));
    for (unsigned i = 0; i < 4; i++) {
        set_cmos(&fake, 0x0b, 0x82);
        set_cmos(&fake, 0, 0x10);
        set_cmos(&fake, 4, hours[i][0]);
        set_cmos(&fake, 0x0b, 0x02);
        set_cmos(&fake, 0x0b, 0x00);
        CHECK_INT(cmos(&fake, 4), hours[i][1]);
        set_cmos(&fake, 4, hours[i][1]);
        set_cmos(&fake, 0x0b, 0x02);
        CHECK_INT(cmos(&fake, 4), hours[i][0]);
    }
    rtc_free(clock);
}

TEST(rtc_has_nvram_and_takes_nonsense)
{
    fake_host fake;
    rtc *clock;

    fake_init(&fake, NULL);
    REQUIRE_OK(rtc_create(&clock, &fake.host, NULL));
    rtc_set_nvram(clock, 0x5b, 0x77);
    CHECK_INT(cmos(&fake, 0x5b), 0x77);
    CHECK_INT(cmos(&fake, 0xdb), 0x77); /* bit 7 is the NMI mask */
    set_cmos(&fake, 0x40, 0x99);
    CHECK_INT(cmos(&fake, 0x40), 0x99);
    for (unsigned i = 0; i < 256; i++)
        set_cmos(&fake, i, 0xff);
    for (unsigned i = 0; i < 256; i++)
        cmos(&fake, i);
    for (uint32_t length = 1; length <= 8; length++)
        fake_access(&fake, VISOR_PIO, 0x71, length, true, UINT64_MAX);
    rtc_free(clock);
}

TEST(i8042_answers_and_resets)
{
    fake_host fake;
    i8042 *controller;
    unsigned resets;

    fake_init(&fake, NULL);
    REQUIRE_OK(i8042_create(&controller, &fake.host, NULL));
    CHECK_INT(in8(&fake, 0x64) & 0x03, 0); /* nothing there, ready for a command */
    out8(&fake, 0x64, 0xaa);
    CHECK_INT(in8(&fake, 0x64) & 0x09, 0x09);
    CHECK_INT(in8(&fake, 0x60), 0x55);
    CHECK_INT(in8(&fake, 0x64) & 0x01, 0);
    out8(&fake, 0x64, 0x60);
    out8(&fake, 0x60, 0x74);
    CHECK_INT(in8(&fake, 0x64) & 0x08, 0);
    out8(&fake, 0x64, 0x20);
    CHECK_INT(in8(&fake, 0x60), 0x74);
    out8(&fake, 0x60, 0xed); /* to a keyboard that is not there */
    CHECK_INT(in8(&fake, 0x64) & 0x01, 0);
    for (unsigned value = 0; value < 0xf0; value++) {
        out8(&fake, 0x64, value);
        out8(&fake, 0x60, 0x01);
    }
    CHECK_INT(fake.resets, 0);
    out8(&fake, 0x64, 0xfe);
    CHECK_INT(fake.resets, 1);
    out8(&fake, 0x64, 0xd1);
    out8(&fake, 0x60, 0x02); /* output port with the reset line low */
    CHECK_INT(fake.resets, 2);
    resets = fake.resets;
    CHECK_INT(in8(&fake, 0x92), 0x02); /* A20 is on */
    out8(&fake, 0x92, 0x00);
    out8(&fake, 0x92, 0x02);
    CHECK_INT(fake.resets, resets);
    out8(&fake, 0x92, 0x03);
    CHECK_INT(fake.resets, resets + 1);
    i8042_free(controller);
}

TEST(debug_exit_gives_a_status)
{
    fake_host fake;
    debug_exit *device;

    fake_init(&fake, NULL);
    REQUIRE_OK(debug_exit_create(&device, &fake.host, NULL));
    CHECK_INT(in8(&fake, 0xf4), 0);
    CHECK_INT(fake.exits, 0);
    out8(&fake, 0xf4, 0x10);
    CHECK_INT(fake.exits, 1);
    CHECK_INT(fake.exit_status, 33);
    fake_access(&fake, VISOR_PIO, 0xf4, 4, true, 0x12345678);
    CHECK_INT(fake.exit_status, 0x2468acf1);
    debug_exit_free(device);
}

TEST(pm_powers_off_and_resets)
{
    fake_host fake;
    pm *block;

    fake_init(&fake, NULL);
    REQUIRE_OK(pm_create(&block, &fake.host, NULL));
    CHECK_INT(fake_access(&fake, VISOR_PIO, PM1A_CNT, 2, false, 0), 1); /* ACPI mode */
    fake_access(&fake, VISOR_PIO, PM1A_CNT, 2, true, PM_S5 << 10);
    CHECK_INT(fake.poweroffs, 0);
    fake_access(&fake, VISOR_PIO, PM1A_CNT, 2, true, 1 << 10 | 1 << 13); /* another state */
    CHECK_INT(fake.poweroffs, 0);
    fake_access(&fake, VISOR_PIO, PM1A_CNT, 2, true, PM_S5 << 10 | 1 << 13);
    CHECK_INT(fake.poweroffs, 1);
    CHECK_INT(fake_access(&fake, VISOR_PIO, PM1A_CNT, 2, false, 0), PM_S5 << 10 | 1);
    out8(&fake, PM_RESET, 0x02);
    CHECK_INT(fake.resets, 0);
    out8(&fake, PM_RESET, PM_RESET_VALUE);
    CHECK_INT(fake.resets, 1);
    fake_access(&fake, VISOR_PIO, PM_RESET, 2, true, 0x0606); /* not a byte: not for us */
    CHECK_INT(fake.resets, 1);
    pm_free(block);
}

TEST(pm_presses_the_power_button)
{
    fake_host fake;
    pm *block;

    fake_init(&fake, NULL);
    REQUIRE_OK(pm_create(&block, &fake.host, NULL));
    CHECK(!pm_power_button(block));
    CHECK(!fake.line[PM_SCI]);
    fake_access(&fake, VISOR_PIO, PM1A_EVT, 2, true, 0xffff);
    fake_access(&fake, VISOR_PIO, PM1A_EVT + 2, 2, true, 0x0100);
    CHECK(pm_power_button(block));
    CHECK(fake.line[PM_SCI]);
    CHECK_INT(fake_access(&fake, VISOR_PIO, PM1A_EVT, 4, false, 0), 0x01000100);
    fake_access(&fake, VISOR_PIO, PM1A_EVT, 2, true, 0x00ff); /* clears other bits */
    CHECK(fake.line[PM_SCI]);
    fake_access(&fake, VISOR_PIO, PM1A_EVT, 2, true, 0x0100);
    CHECK(!fake.line[PM_SCI]);
    pm_free(block);
}

TEST(pm_timer_counts_at_its_rate)
{
    fake_host fake;
    struct timespec start, end;
    uint64_t first, second;
    double seconds, rate;
    pm *block;

    fake_init(&fake, NULL);
    REQUIRE_OK(pm_create(&block, &fake.host, NULL));
    clock_gettime(CLOCK_MONOTONIC, &start);
    first = fake_access(&fake, VISOR_PIO, PM_TIMER, 4, false, 0);
    usleep(50000);
    second = fake_access(&fake, VISOR_PIO, PM_TIMER, 4, false, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    rate = (double)(uint32_t)(second - first) / seconds;
    CHECK(rate < 3579545 * 1.001);
    CHECK((double)(uint32_t)(second - first) > 0.05 * 3579545 * 0.999);
    pm_free(block);
}

TEST(pl031_shows_and_keeps_the_time)
{
    static const unsigned identification[] = {0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    fake_host fake;
    time_t before;
    uint64_t shown;
    pl031 *clock;

    fake_init(&fake, NULL);
    REQUIRE_OK(pl031_create(&clock, &fake.host, 0x9000, NULL));
    before = time(NULL);
    shown = peek(&fake, 0x9000, 4);
    CHECK(shown >= (uint64_t)before && shown <= (uint64_t)time(NULL));
    poke(&fake, 0x9008, 4, 1000);
    CHECK_INT(peek(&fake, 0x9008, 4), 1000);
    shown = peek(&fake, 0x9000, 4);
    CHECK(shown >= 1000 && shown <= 1002);
    poke(&fake, 0x9000, 4, 5); /* read-only */
    CHECK(peek(&fake, 0x9000, 4) >= 1000);
    for (unsigned i = 0; i < 8; i++)
        CHECK_INT(peek(&fake, 0x9fe0 + 4 * i, 4), identification[i]);
    CHECK_INT(peek(&fake, 0x9fe4, 1), 0x10);
    CHECK_INT(peek(&fake, 0x900c, 4), 1);
    for (unsigned at = 0x9000; at < 0xa000; at++) {
        for (uint32_t length = 1; length <= 8; length++) {
            poke(&fake, at, length, UINT64_MAX);
            peek(&fake, at, length);
        }
    }
    pl031_free(clock);
}

TEST(goldfish_rtc_shows_and_keeps_the_time)
{
    const uint64_t second = 1000000000;
    goldfish_rtc *clock;
    fake_host fake;
    time_t before;
    uint64_t shown;

    fake_init(&fake, NULL);
    REQUIRE_OK(goldfish_rtc_create(&clock, &fake.host, 0x9000, NULL));
    before = time(NULL);
    shown = peek(&fake, 0x9000, 4);
    shown |= peek(&fake, 0x9004, 4) << 32;
    CHECK(shown / second >= (uint64_t)before && shown / second <= (uint64_t)time(NULL));
    poke(&fake, 0x9004, 4, 946684800 * second >> 32);
    poke(&fake, 0x9000, 4, 946684800 * second & UINT32_MAX);
    shown = peek(&fake, 0x9000, 4);
    shown |= peek(&fake, 0x9004, 4) << 32;
    CHECK(shown / second >= 946684800 && shown / second <= 946684802);
    for (unsigned at = 0x9000; at < 0xa000; at++) {
        for (uint32_t length = 1; length <= 8; length++) {
            poke(&fake, at, length, UINT64_MAX);
            peek(&fake, at, length);
        }
    }
    goldfish_rtc_free(clock);
}

TEST(pvpanic_reports_a_panic)
{
    static const struct {
        visor_space space;
        uint64_t address;
    } places[] = {{VISOR_PIO, PVPANIC_PORT}, {VISOR_MMIO, 0x1020000}};
    fake_host fake;
    pvpanic *device;

    for (unsigned i = 0; i < 2; i++) {
        visor_space space = places[i].space;
        uint64_t address = places[i].address;

        fake_init(&fake, NULL);
        REQUIRE_OK(pvpanic_create(&device, &fake.host, space, address, NULL));
        CHECK_INT(fake_access(&fake, space, address, 1, false, 0), 3);
        fake_access(&fake, space, address, 1, true, 2);
        CHECK_INT(fake.panics, 0);
        CHECK_INT(fake.logs, 1);
        fake_access(&fake, space, address, 1, true, 1);
        CHECK_INT(fake.panics, 1);
        pvpanic_free(device);
    }
}

UNIT_MAIN()
