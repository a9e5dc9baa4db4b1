/* SPDX-License-Identifier: BSD-3-Clause */
/* What tables.py generates: rows of data/NAME.tsv beside what uapi/ has. */
#ifndef VISOR_TESTS_ABI_TABLES_H
#define VISOR_TESTS_ABI_TABLES_H

#include <stddef.h>
#include <stdint.h>

struct table_row {
    const char *name; /* table, kind and name */
    uint64_t actual;  /* in the header */
    uint64_t expected;
};

extern const struct table_row table_rows[];
extern const size_t table_row_number;

#endif
