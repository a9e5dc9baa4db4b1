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
    {"PUSH to a stack that is not canonical", "51",
     "rsp=a42d4fefef120632",
     "flags=10202 vector=c"},
    {"PUSH of a constant to a stack that is not canonical", "6a01",
     "rsp=a42d4fefef120632",
     "flags=10202 vector=c"},
    {"PUSH from memory to a stack that is not canonical", "ff33",
     "rbx=10100800 rsp=a42d4fefef120632",
     "flags=10202 vector=c"},
    {"POP to memory from a stack that is not canonical", "438f87eaffffff",
     "rsp=c5f8d7c0fb55e738",
     "flags=10202 vector=c"},
    {"POPF of 16 bits from a stack that is not canonical", "66419d",
     "rsp=a8e1d9c05c5952c8",
     "flags=10202 vector=c"},
    {"LEAVE to a stack that is not canonical", "c9",
     "rbp=ac295078be3d0c90",
     "flags=10202 vector=c"},
    {"RET from a stack that is not canonical", "c3",
     "rsp=a42d4fefef120632",
     "flags=10202 vector=c"},
    {"CALL with a stack that is not canonical", "e800010000",
     "rsp=a42d4fefef120632",
     "flags=10202 vector=c"},
    {"with alignment checks, an address that is not canonical", "43d31c25c0071010",
     "r12=1f8a727ccfa64061 flags=40202",
     "flags=50202 vector=d"},
    {"with alignment checks, a stack that is not aligned", "664350",
     "rsp=100fffff flags=40202",
     "flags=50202 vector=11"},
};
/* clang-format on */
const unsigned silicon_known_count = sizeof(silicon_known_rows) / sizeof(silicon_known_rows[0]);
