/* SPDX-License-Identifier: BSD-3-Clause */
/* In the place of soft_zydis_test.c where there is no Zydis. */
#include "unit.h"

TEST(random_bytes_are_what_zydis_says)
{
    SKIP("no libzydis-dev, or not for this target");
}

UNIT_MAIN()
