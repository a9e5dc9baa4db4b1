/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the core about RISC-V guests share. */
#ifndef VISOR_CORE_RISCV_H
#define VISOR_CORE_RISCV_H

#include "core/backend.h"

/* visor_riscv_configure() under the VM lock, by a VM that has not been configured. */
int visor__riscv_configure(visor_vm *vm, const visor_riscv_config *config);

/* ---- riscv_reset.c, riscv_dump.c: for every piece of the table ---- */

#define VISOR__RISCV_PIECE_FUNCTIONS(id, name, ...)                              \
    int visor__reset_riscv_##name(void *value, size_t length, visor_vcpu *vcpu); \
    void visor__dump_riscv_##name(const void *value, size_t length,              \
                                  const struct visor__printer *out);
VISOR__RISCV_STATES(VISOR__RISCV_PIECE_FUNCTIONS)
#undef VISOR__RISCV_PIECE_FUNCTIONS

#endif
