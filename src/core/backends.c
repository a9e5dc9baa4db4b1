/* SPDX-License-Identifier: BSD-3-Clause */
/* The backends of this build. The list comes from src/meson.build, in the order of "auto". */
#include "core/backend.h"

#define DECLARE(name) extern const struct visor_backend visor__##name##_backend;
VISOR__BACKENDS(DECLARE)
#undef DECLARE

const struct visor_backend *const visor__backends[] = {
#define ENTRY(name) &visor__##name##_backend,
    VISOR__BACKENDS(ENTRY)
#undef ENTRY
        NULL,
};
