/* SPDX-License-Identifier: BSD-3-Clause */
/* The nodes of Android's hypervisors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "double.h"

static const struct node *const nodes[] = {&double_geniezone, &double_gunyah, &double_halla};

long double_open(struct object **out, const char *path)
{
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        struct object *object;

        if (strcmp(path, nodes[i]->path) != 0)
            continue;
        object = malloc(sizeof(*object));
        if (object == NULL)
            return -ENOMEM;
        object_init(object, nodes[i]->ops);
        *out = object;
        return 0;
    }
    return -ENOTTY;
}
