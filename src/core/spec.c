/* SPDX-License-Identifier: BSD-3-Clause */
/* Specification strings. */
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"
#include "core/spec.h"

static const char op[] = "specification string";

/* Cuts the next "key=value" off *rest. A value runs up to the next comma. */
static int take_option(struct visor__spec *spec, char **rest)
{
    char *key = *rest;
    char *comma = strchr(key, ',');
    char *equals;

    *rest = comma != NULL ? comma + 1 : NULL;
    if (comma != NULL)
        *comma = '\0';
    equals = strchr(key, '=');
    if (equals == NULL || equals == key)
        return visor__error(VISOR_EINVAL, "", op, "\"%s\" is not of the form key=value", key);
    *equals = '\0';
    for (size_t i = 0; i < spec->count; i++) {
        if (strcmp(spec->options[i].key, key) == 0)
            return visor__error(VISOR_EINVAL, "", op, "the option \"%s\" is given twice", key);
    }
    if (spec->count == VISOR__SPEC_OPTIONS)
        return visor__error(VISOR_EINVAL, "", op, "more than %d options", VISOR__SPEC_OPTIONS);
    spec->options[spec->count].key = key;
    spec->options[spec->count].value = equals + 1;
    spec->count++;
    return 0;
}

int visor__spec_parse(struct visor__spec *out, const char *text)
{
    char *open, *rest;
    size_t length;
    int ret = 0;

    if (text == NULL || text[0] == '\0')
        text = "auto";
    memset(out, 0, sizeof(*out));
    out->text = strdup(text);
    if (out->text == NULL)
        return visor__error(VISOR_ENOMEM, "", op, "no memory for a copy");
    out->name = out->text;
    open = strchr(out->text, '[');
    if (open == NULL)
        return 0;
    length = strlen(open);
    if (open[length - 1] != ']') {
        ret = visor__error(VISOR_EINVAL, "", op, "\"%s\" has no closing bracket at its end", text);
    } else {
        open[length - 1] = '\0';
        *open = '\0';
        rest = length > 2 ? open + 1 : NULL;
        while (ret == 0 && rest != NULL)
            ret = take_option(out, &rest);
    }
    if (ret < 0)
        visor__spec_clear(out);
    return ret;
}

void visor__spec_clear(struct visor__spec *spec)
{
    free(spec->text);
    memset(spec, 0, sizeof(*spec));
}
