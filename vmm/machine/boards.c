/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine/board.h"

const struct machine_board *const machine_boards[] = {&machine_x86_64, &machine_aarch64,
                                                      &machine_riscv64, NULL};
