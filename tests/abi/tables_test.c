/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers in uapi/ have each request, size, offset and constant as the tables in data/ say. */
#include "../unit/unit.h"
#include "tables.h"

TEST(headers_have_what_the_tables_say)
{
    CHECK(table_row_number > 0);
    printf("# %zu rows\n", table_row_number);
    for (size_t i = 0; i < table_row_number; i++) {
        const struct table_row *row = &table_rows[i];

        unit_check_int((int64_t)row->actual, (int64_t)row->expected, __FILE__, __LINE__, row->name);
    }
}

UNIT_MAIN()
