/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions of user mode on the software CPU that were once wrong, each with the state before it
 * and the one after it that a processor and its manual have. Prints TAP. --print: prints the rows
 * with what the software CPU makes of them.
 */
#include <stdio.h>
#include <string.h>

#include "state.h"

int main(int argc, char **argv)
{
    static struct silicon_state in, is, should_be;
    const bool print = argc > 1 && strcmp(argv[1], "--print") == 0;
    uint8_t code[SILICON_CODE_MAX];
    const char *error = silicon_guest_open("soft");
    unsigned length, failures = 0;

    printf("1..%u\n", silicon_known_count);
    if (error != NULL) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    for (unsigned i = 0; i < silicon_known_count; i++) {
        const struct silicon_known *known = &silicon_known_rows[i];
        bool ok = silicon_known_read(code, &length, &in, &should_be, known);

        error = ok ? silicon_guest_run(&is, code, length, &in) : "this is no case";
        if (error != NULL)
            printf("# %s\n", error);
        ok = error == NULL && silicon_known_same(&is, &should_be);
        if (print && error == NULL)
            silicon_known_print(code, length, &in, &is);
        failures += !ok;
        printf("%sok %u - %s\n", ok ? "" : "not ", i + 1, known->what);
    }
    silicon_guest_close();
    return failures != 0;
}
