/* SPDX-License-Identifier: BSD-3-Clause */
/* Specification strings: no input crashes, and what is taken apart can be put together again. */
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"
#include "core/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct visor__spec spec;
    size_t length;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (visor__spec_parse(&spec, text) == 0) {
        length = strlen(spec.name);
        for (size_t i = 0; i < spec.count; i++)
            length += strlen(spec.options[i].key) + 1 + strlen(spec.options[i].value) + 1;
        /* Every byte is accounted for, but for the brackets of an empty list. */
        if (text[0] != '\0' && strlen(text) - length > 2)
            abort();
        visor__spec_clear(&spec);
    }
    free(text);
    return 0;
}
