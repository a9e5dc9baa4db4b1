/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every difference that is allowed, with its reason. A case that a row describes is still run: it
 * must differ in the way that the row says, and is then reported as skipped, never as passed. If
 * it passes, the suite says that the row is out of date. QUIRK_SKIP is for what must not even be
 * tried. Whatever is not here fails.
 */
#include <fnmatch.h>
#include <stddef.h>

#include "harness.h"

static const struct quirk quirks[] = {
    /* A /dev/kvm without VMX or SVM below it: the kernel emulates ordinary guests in software. */
    {"kvm", HOST_EMULATES, "basic/never", QUIRK_SKIP, NULL, "placeholder"},
};

const struct quirk *quirk_find(const char *backend, unsigned host, const char *full_name)
{
    for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++) {
        const struct quirk *quirk = &quirks[i];

        if ((quirk->host & host) == quirk->host && fnmatch(quirk->backend, backend, 0) == 0 &&
            fnmatch(quirk->cases, full_name, 0) == 0)
            return quirk;
    }
    return NULL;
}
