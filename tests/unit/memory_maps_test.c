/* SPDX-License-Identifier: BSD-3-Clause */
/* Mappings as Linux lists them. */
#include <visor.h>

#include "host.h"
#include "unit.h"

#define P 4096u

/* Whether the system knows [host, host + length) as one mapping, no more and no less. */
static bool is_whole(const void *host, uint64_t length)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL) {
        char *end;
        uintptr_t first = strtoull(line, &end, 16), last = strtoull(end + 1, NULL, 16);

        found = first == (uintptr_t)host && last == (uintptr_t)host + length;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

/* Drivers of Android take guest memory only so. */
TEST(mappings_are_not_merged)
{
    const visor_file file = make_file();
    visor_mapping *mappings[8];

    REQUIRE(file != VISOR_FILE_NONE && file_resize(file, 8 * (uint64_t)P));
    /* From the end: new mappings tend to come below the older ones. */
    for (unsigned i = 8; i-- > 0;)
        CHECK_OK(visor_mapping_create_file(&mappings[i], file, (uint64_t)i * P, P, true));
    for (unsigned i = 0; i < 8; i++)
        CHECK(is_whole(visor_mapping_host(mappings[i]), P));
    for (unsigned i = 0; i < 8; i++)
        visor_mapping_free(mappings[i]);
    close_file(file);
}

UNIT_MAIN()
