/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of an access as a number. */
#include <visor.h>

#include "unit.h"

TEST(value_counts_only_the_bytes_of_the_access)
{
    visor_io io = {.length = 2, .data = {0x34, 0x12, 0xff, 0xff}};

    CHECK_INT(visor_io_value(&io), 0x1234);
    io.length = 8;
    CHECK_INT(visor_io_value(&io), 0xffff1234);
}

TEST(set_value_truncates_and_clears_the_rest)
{
    visor_io io = {.length = 4, .data = {1, 1, 1, 1, 1, 1, 1, 1}};

    visor_io_set_value(&io, 0x1122334455667788);
    CHECK_INT(visor_io_value(&io), 0x55667788);
    for (int i = 4; i < 8; i++)
        CHECK_INT(io.data[i], 0);
}

UNIT_MAIN()
