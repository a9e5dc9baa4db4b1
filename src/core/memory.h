/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory and mappings from the inside. */
#ifndef VISOR_CORE_MEMORY_H
#define VISOR_CORE_MEMORY_H

#include "core/internal.h"

struct visor__region {
    visor_memory_info info;
    bool host_writable; /* false: a read-only file */
};

struct visor_memory {
    atomic_uint refs;
    visor_memory_config config;
    visor_file memfile; /* behind all anonymous regions */
    size_t count;
    struct visor__region regions[]; /* by ascending address */
};

enum visor__mapping_kind {
    VISOR__MAPPING_OWNED,
    VISOR__MAPPING_ARENA,
    VISOR__MAPPING_BORROWED,
};

struct visor_mapping {
    enum visor__mapping_kind kind;
    void *host;
    uint64_t length; /* as asked for; the host mapping is rounded up to pages */
    bool host_writable; /* false: a file that was mapped for reading only */
    atomic_bool held; /* a slot holds it: the VM is its owner */
};

/* The region that [gpa, gpa+length) lies in whole, NULL if there is none. */
const struct visor__region *visor__memory_find(const visor_memory *memory, uint64_t gpa,
                                               uint64_t length);

/* length rounded up to whole pages; 0 if that overflows. */
uint64_t visor__page_round(uint64_t length);

#endif
