/* SPDX-License-Identifier: BSD-3-Clause */
/* The device tree as Gunyah's resource manager reads it. */
#ifndef VISOR_TESTS_DOUBLE_GUNYAH_DT_H
#define VISOR_TESTS_DOUBLE_GUNYAH_DT_H

#include <stdbool.h>
#include <stdint.h>

#define GUNYAH_BELLS 64

struct gunyah_bell {
    uint32_t label;
    unsigned intid;
    bool is_level;
};

/* What a VM is made of. */
struct gunyah_config {
    uint64_t base, size_max; /* of its memory */
    uint64_t dist, redist, redist_size;
    unsigned vcpus;
    unsigned bell_number;
    struct gunyah_bell bells[GUNYAH_BELLS];
};

/* False, and a note for the log, if the tree does not have what it must have. */
bool gunyah_read_config(struct gunyah_config *config, const uint8_t *tree, uint64_t size);

#endif
