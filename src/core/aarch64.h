/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the core about AArch64 guests share. */
#ifndef VISOR_CORE_AARCH64_H
#define VISOR_CORE_AARCH64_H

#include "core/backend.h"

/* visor_aarch64_configure() under the VM lock, by a VM that has not been configured. */
int visor__aarch64_configure(visor_vm *vm, const visor_aarch64_config *config);

/*
 * For backends whose hypervisor has a GICv3 and leaves no other choice: resolves the toggles to OFF
 * and the version to 3, or says which feature is not to be had.
 */
int visor__aarch64_config_plain(const visor_vm *vm, visor_aarch64_config *config);

/* ---- aarch64.c ---- */

/* get_reg of backends that cannot read registers: MPIDR_EL1 and PSCI's version, which are known
 * without asking. EUNSUPPORTED with the reason for all else. */
int visor__aarch64_fixed_reg(uint64_t *out, const visor_vcpu *vcpu, uint32_t reg, const char *why);

/* ---- aarch64_dump.c: for every piece of the table ---- */

#define VISOR__AARCH64_PIECE_FUNCTIONS(id, name, ...)                 \
    void visor__dump_aarch64_##name(const void *value, size_t length, \
                                    const struct visor__printer *out);
VISOR__AARCH64_STATES(VISOR__AARCH64_PIECE_FUNCTIONS)
#undef VISOR__AARCH64_PIECE_FUNCTIONS

#endif
