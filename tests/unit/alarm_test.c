/* SPDX-License-Identifier: BSD-3-Clause */
/* Time limits of the operating system's layer. */
#include <stdatomic.h>

#include "core/internal.h"
#include "unit.h"

static void count(void *counter)
{
    atomic_fetch_add((atomic_int *)counter, 1);
}

TEST(it_rings_once_when_due)
{
    struct visor__alarm alarm;
    atomic_int rung = 0;
    uint64_t start = visor__os_now_ns();

    REQUIRE_OK(visor__alarm_start(&alarm, 2000000, count, &rung));
    while (atomic_load(&rung) == 0 && visor__os_now_ns() - start < UINT64_C(60000000000))
        visor__os_pause(1000);
    CHECK(visor__os_now_ns() - start >= 2000000);
    visor__alarm_stop(&alarm);
    CHECK_INT(atomic_load(&rung), 1);
}

TEST(stopped_in_time_it_does_not_ring)
{
    struct visor__alarm alarm;
    atomic_int rung = 0;

    REQUIRE_OK(visor__alarm_start(&alarm, UINT64_C(3600000000000), count, &rung));
    visor__alarm_stop(&alarm); /* and it comes back at once */
    CHECK_INT(atomic_load(&rung), 0);
}

UNIT_MAIN()
