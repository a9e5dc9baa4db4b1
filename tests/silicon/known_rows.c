/* SPDX-License-Identifier: BSD-3-Clause */
/* What was once wrong on the software CPU. */
#include "state.h"

/* clang-format off */
const struct silicon_known silicon_known_rows[] = {
    {"ADD of bytes sets OF, SF and AF", "00c8",
     "rax=7f rcx=1",
     "rax=80 flags=a92"},
    {"VCVTSD2SI from memory", "c461fb2d1da8ff0f00",
     "",
     ""},
    {"CVTTSS2SI from memory", "f30f2c042500081010",
     "m800=43480000",
     "rax=c8"},
};
/* clang-format on */
const unsigned silicon_known_count = sizeof(silicon_known_rows) / sizeof(silicon_known_rows[0]);
