/* SPDX-License-Identifier: BSD-3-Clause */
/* The small guests of the probe, one set for each architecture. */
#ifndef VISOR_CORE_PROBE_H
#define VISOR_CORE_PROBE_H

#include <visor.h>

/*
 * Runs the architecture's guests in hv. Fills in mips, full and, for what is not full, detail and
 * hint. Returns 0, or an error if not even a simple guest runs.
 */
int visor__probe_x86_64(visor_probe *out, visor_hypervisor *hv);
int visor__probe_aarch64(visor_probe *out, visor_hypervisor *hv);
int visor__probe_riscv64(visor_probe *out, visor_hypervisor *hv);

/* Runs a guest of theirs to the first exit that is not a stray signal; EBROKEN if it takes seconds.
 */
int visor__probe_run(visor_vcpu *vcpu);

#endif
