/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fnmatch(3) without flags, which not every system has. A backslash means itself, and sets are
 * neither empty nor open: no pattern here has such.
 */
#include "harness.h"

#include <string.h>

/* Whether c is in the set behind '['; *pattern goes behind its ']'. */
static bool in_set(const char **pattern, char c)
{
    const char *p = *pattern;
    bool negated = *p == '!', found = false;

    p += negated;
    do {
        if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
            found = found || (c >= p[0] && c <= p[2]);
            p += 3;
        } else {
            found = found || c == *p;
            p++;
        }
    } while (*p != ']' && *p != '\0');
    *pattern = p + (*p == ']');
    return found != negated;
}

bool glob_matches(const char *pattern, const char *text)
{
    /* Where to go on, should the star that came last have to take one character more. */
    const char *star = NULL, *resume = text;

    for (;;) {
        const char *next = pattern + 1;
        bool same;

        if (*pattern == '*') {
            star = next;
            resume = text;
            pattern = next;
            continue;
        }
        if (*text == '\0' && *pattern == '\0')
            return true;
        if (*pattern == '[' && strchr(next, ']') != NULL)
            same = *text != '\0' && in_set(&next, *text);
        else
            same = *text != '\0' && (*pattern == '?' || *pattern == *text);
        if (same) {
            pattern = next;
            text++;
            continue;
        }
        if (star == NULL || *resume == '\0')
            return false;
        pattern = star;
        text = ++resume;
    }
}
