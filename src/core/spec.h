/* SPDX-License-Identifier: BSD-3-Clause */
/* Specification strings: NAME or NAME[key=value,...]. */
#ifndef VISOR_CORE_SPEC_H
#define VISOR_CORE_SPEC_H

#include <stddef.h>

#define VISOR__SPEC_OPTIONS 8

struct visor__spec {
    char *text; /* owned; the members below point into it */
    const char *name;
    size_t count;
    struct {
        const char *key, *value;
    } options[VISOR__SPEC_OPTIONS];
};

/* Takes text apart; NULL and "" are "auto". EINVAL says what is wrong and where. */
int visor__spec_parse(struct visor__spec *out, const char *text);
void visor__spec_clear(struct visor__spec *spec);

#endif
