/* SPDX-License-Identifier: BSD-3-Clause */
/* The format of snapshots, as docs/snapshot-format.md describes it, and what both sides share. */
#ifndef VISOR_CORE_SNAPSHOT_H
#define VISOR_CORE_SNAPSHOT_H

#include "core/backend.h"
#include "core/checksum.h"

#define SNAPSHOT_MAGIC     0x31504e5352534956ull /* "VISRSNP1" */
#define SNAPSHOT_VERSION   1u
#define SNAPSHOT_PIECE_MAX 0x100000u /* bytes of a piece of variable size: 65536 MSRs */

enum { CONTENTS_VM = 1, CONTENTS_VCPU = 2 };
enum { FLAG_MEMORY = 1 };
enum { SCOPE_VM = 1, SCOPE_VCPU = 2, SCOPE_MEMORY = 3, SCOPE_END = 4 };

struct snapshot_head {
    uint64_t magic;
    uint32_t version, contents, arch, irqchip, vcpu_count, flags;
    char backend[16];
    uint64_t checksum; /* of what is before it */
};

struct snapshot_section {
    uint32_t scope, instance; /* instance: id of the vCPU, else 0 */
    char name[16];
    uint64_t length; /* of the payload; a checksum of section and payload follows */
};

_Static_assert(sizeof(struct snapshot_head) == 56 && sizeof(struct snapshot_section) == 32,
               "these structures are the format");

/* The vCPUs of a VM that have not been freed, by ascending id. The caller frees `vcpus`. */
struct visor__vcpu_list {
    visor_vcpu **vcpus;
    size_t count;
};
int visor__list_vcpus(struct visor__vcpu_list *out, visor_vm *vm);

/* EUNSUPPORTED if a snapshot of the VM would lack what its vCPUs hold. */
int visor__check_snapshot(visor_vm *vm, const char *operation);
/* Stops the guest's clocks, where that can be, and lets them go on. */
void visor__hold_time(visor_vm *vm, bool hold);

/* ESTATE if the vCPU is inside visor_vcpu_run(). */
int visor__check_stopped(const visor_vcpu *vcpu, const char *operation);

#endif
