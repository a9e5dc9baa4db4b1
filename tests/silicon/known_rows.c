/* SPDX-License-Identifier: BSD-3-Clause */
/* What was once wrong on the software CPU. */
#include "state.h"

/* clang-format off */
const struct silicon_known silicon_known_rows[] = {
    {"ADD of bytes sets OF, SF and AF", "00c8",
     "rax=7f rcx=1",
     "rax=80 flags=a92"},
};
/* clang-format on */
const unsigned silicon_known_count = sizeof(silicon_known_rows) / sizeof(silicon_known_rows[0]);
