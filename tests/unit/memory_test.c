/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory and mappings. */
#include <visor.h>

#include "host.h"
#include "unit.h"

#define P 4096u

/* Two regions with a hole between them, or what the test asks for. */
static visor_memory *make(uint64_t first, uint64_t first_pages, uint64_t second,
                          uint64_t second_pages)
{
    const visor_memory_region regions[] = {
        {.gpa = first, .length = first_pages * P},
        {.gpa = second, .length = second_pages * P},
    };
    visor_memory *memory = NULL;

    CHECK_OK(visor_memory_create(&memory, regions, second_pages > 0 ? 2 : 1, NULL));
    return memory;
}

static int create(uint64_t first, uint64_t first_length, uint64_t second, uint64_t second_length)
{
    const visor_memory_region regions[] = {
        {.gpa = first, .length = first_length},
        {.gpa = second, .length = second_length},
    };
    visor_memory *memory = NULL;
    int ret = visor_memory_create(&memory, regions, 2, NULL);

    visor_memory_free(memory);
    return ret;
}

TEST(impossible_layouts_are_refused_each_with_its_own_error)
{
    CHECK_INT(create(0, P, 0, P), VISOR_EOVERLAP);
    CHECK_INT(create(0, 2 * P, P, P), VISOR_EOVERLAP);
    CHECK_INT(create(2 * P, P, 0, P), VISOR_EINVAL);
    CHECK_INT(create(0, P + 1, 4 * P, P), VISOR_EALIGN);
    CHECK_INT(create(1, P, 4 * P, P), VISOR_EALIGN);
    CHECK_INT(create(0, 0, 4 * P, P), VISOR_EINVAL);
    CHECK_INT(create(0, P, UINT64_MAX - P + 1, 2 * P), VISOR_EOVERFLOW);
    CHECK_INT(create(0, 1ull << 63, 1ull << 63, 1ull << 62), VISOR_ENOMEM);
    CHECK_INT(create(0, P, P, P), 0);
    visor_memory *memory = NULL;
    CHECK_INT(visor_memory_create(&memory, NULL, 0, NULL), VISOR_EINVAL);
    CHECK(memory == NULL);
}

TEST(queries_describe_the_layout)
{
    visor_memory *memory = make(P, 2, 8 * P, 1);
    visor_memory_info info;

    REQUIRE(memory != NULL);
    CHECK_INT(visor_memory_region_count(memory), 2);
    CHECK_INT(visor_memory_size(memory), 3 * P);
    CHECK_INT(visor_memory_end(memory), 9 * P);
    CHECK_OK(visor_memory_region_info(&info, memory, 1));
    CHECK_INT(info.gpa, 8 * P);
    CHECK_INT(info.file_offset, 2 * P);
    CHECK_INT(visor_memory_region_info(&info, memory, 2), VISOR_ERANGE);

    CHECK(visor_memory_contains(memory, P, 2 * P));
    CHECK(!visor_memory_contains(memory, P, 2 * P + 1));
    CHECK(!visor_memory_contains(memory, P, 0));
    CHECK(!visor_memory_contains(memory, P - 1, 1));
    CHECK(!visor_memory_contains(memory, 2 * P, UINT64_MAX));
    CHECK(visor_memory_overlaps(memory, 0, P + 1));
    CHECK(!visor_memory_overlaps(memory, 0, P));
    CHECK(!visor_memory_overlaps(memory, 3 * P, 5 * P));
    CHECK(visor_memory_overlaps(memory, 3 * P, 5 * P + 1));
    CHECK(visor_memory_overlaps(memory, 2, UINT64_MAX));
    CHECK(!visor_memory_overlaps(memory, P, 0));
    visor_memory_free(memory);
}

TEST(copies_are_all_or_nothing)
{
    visor_memory *memory = make(0, 1, P, 1);
    uint8_t out[8] = {0};
    void *host;

    REQUIRE(memory != NULL);
    /* Adjacent regions: a copy may cross, a pointer may not. */
    CHECK_OK(visor_memory_write(memory, P - 4, "abcdefgh", 8));
    CHECK_OK(visor_memory_read(out, memory, P - 4, 8));
    CHECK(memcmp(out, "abcdefgh", 8) == 0);
    CHECK_INT(visor_memory_ptr(&host, memory, P - 4, 8), VISOR_ERANGE);
    CHECK_OK(visor_memory_ptr(&host, memory, P, 4));
    CHECK(memcmp(host, "efgh", 4) == 0);
    /* One byte too far: nothing is copied. */
    CHECK_INT(visor_memory_write(memory, 2 * P - 4, "12345678", 8), VISOR_ERANGE);
    CHECK_OK(visor_memory_read(out, memory, 2 * P - 4, 4));
    CHECK(memcmp(out, "\0\0\0\0", 4) == 0);
    CHECK_INT(visor_memory_read(out, memory, UINT64_MAX, 2), VISOR_ERANGE);
    CHECK_OK(visor_memory_read(out, memory, 17 * P, 0));
    visor_memory_free(memory);
}

static void check_discard(bool punch_hole)
{
    const visor_memory_region region = {.length = 4 * P};
    visor_memory_config config = VISOR_MEMORY_CONFIG_INIT;
    visor_memory *memory = NULL;
    uint8_t byte = 1;

    config.punch_hole = punch_hole;
    REQUIRE_OK(visor_memory_create(&memory, &region, 1, &config));
    for (uint64_t at = 0; at < 4 * P; at += P)
        CHECK_OK(visor_memory_write(memory, at, &byte, 1));
    CHECK_OK(visor_memory_discard(memory, P, 2 * P));
    for (uint64_t at = 0; at < 4 * P; at += P) {
        CHECK_OK(visor_memory_read(&byte, memory, at, 1));
        CHECK_INT(byte, at == 0 || at == 3 * P);
    }
    CHECK_OK(visor_memory_discard(memory, P, 0));
    CHECK_INT(visor_memory_discard(memory, P + 1, P), VISOR_EALIGN);
    CHECK_INT(visor_memory_discard(memory, 3 * P, 2 * P), VISOR_ERANGE);
    visor_memory_free(memory);
}

TEST(discarded_pages_read_as_zeros)
{
    check_discard(false);
    check_discard(true);
}

TEST(regions_can_be_files_and_wanted_alignment_is_kept)
{
    const visor_file file = make_file();
    char page[P] = "from the file";
    visor_memory *memory = NULL;
    visor_memory_info info;
    char out[16];

    REQUIRE(file != VISOR_FILE_NONE && file_write(file, 0, page, P));
    const visor_memory_region regions[] = {
        {.gpa = 0, .length = 512 * P, .align = 2u << 20},
        {.gpa = 4u << 20, .length = P, .from_file = true, .file = file, .read_only = true},
    };
    REQUIRE_OK(visor_memory_create(&memory, regions, 2, NULL));
    close_file(file);
    CHECK_OK(visor_memory_region_info(&info, memory, 0));
    CHECK_INT((uintptr_t)info.host % (2u << 20), 0);
    CHECK_OK(visor_memory_read(out, memory, 4u << 20, 14));
    CHECK_STR(out, "from the file");
    CHECK_INT(visor_memory_write(memory, 4u << 20, "x", 1), VISOR_EACCESS);
    CHECK_INT(visor_memory_discard(memory, 4u << 20, P), VISOR_EACCESS);
    visor_memory_free(memory);
}

TEST(a_configuration_from_the_future_is_refused_only_if_it_asks_for_something)
{
    struct {
        visor_memory_config known;
        uint64_t more;
    } config = {.known = VISOR_MEMORY_CONFIG_INIT};
    const visor_memory_region region = {.length = P};
    visor_memory *memory = NULL;

    config.known.size = sizeof(config);
    REQUIRE_OK(visor_memory_create(&memory, &region, 1, &config.known));
    visor_memory_free(memory);
    config.more = 1;
    CHECK_INT(visor_memory_create(&memory, &region, 1, &config.known), VISOR_EINVAL);
    config.known.size = 0;
    CHECK_INT(visor_memory_create(&memory, &region, 1, &config.known), VISOR_EINVAL);
}

TEST(saved_memory_comes_back_and_damage_is_found)
{
    visor_memory *memory = make(0, 64, 256 * P, 64);
    visor_memory *other = make(0, 64, 256 * P, 64);
    visor_memory *smaller = make(0, 64, 0, 0);
    const visor_file file = make_file();
    visor_stream stream;
    uint64_t value = 0x1234;
    int64_t size;

    REQUIRE(memory != NULL && other != NULL && smaller != NULL);
    REQUIRE(file != VISOR_FILE_NONE);
    CHECK_OK(visor_memory_write(memory, 3 * P, &value, 8));
    CHECK_OK(visor_memory_write(memory, 300 * P, &value, 8));
    /* What is there before must not shine through. */
    CHECK_OK(visor_memory_write(other, 5 * P, &value, 8));
    CHECK_OK(visor_memory_write(other, 319 * P, &value, 8));
    REQUIRE_OK(visor_stream_file(&stream, file));
    CHECK_OK(visor_memory_save(memory, &stream));
    size = file_position(file);
    CHECK(!HOST_HOLES || size < 32 * (int64_t)P); /* holes take no room */

    file_seek(file, 0);
    CHECK_OK(visor_memory_restore(other, &stream));
    for (size_t i = 0; i < 2; i++) {
        visor_memory_info a, b;

        CHECK_OK(visor_memory_region_info(&a, memory, i));
        CHECK_OK(visor_memory_region_info(&b, other, i));
        CHECK(memcmp(a.host, b.host, a.length) == 0);
    }
    file_seek(file, 0);
    CHECK_INT(visor_memory_restore(smaller, &stream), VISOR_EMISMATCH);

    /* Where holes are written, most of it is zeros. */
    for (int64_t at = 0; at < size; at += at < 256 ? 1 : HOST_HOLES ? 997 : 9973) {
        char byte;
        int ret;

        REQUIRE(file_read(file, (uint64_t)at, &byte, 1));
        byte ^= 0x10;
        REQUIRE(file_write(file, (uint64_t)at, &byte, 1));
        file_seek(file, 0);
        ret = visor_memory_restore(other, &stream);
        CHECK(ret == VISOR_EFORMAT || ret == VISOR_EMISMATCH);
        byte ^= 0x10;
        REQUIRE(file_write(file, (uint64_t)at, &byte, 1));
    }
    REQUIRE(file_resize(file, (uint64_t)size - 1));
    file_seek(file, 0);
    CHECK_INT(visor_memory_restore(other, &stream), VISOR_EFORMAT);
    close_file(file);
    visor_memory_free(memory);
    visor_memory_free(other);
    visor_memory_free(smaller);
}

TEST(a_file_must_hold_what_is_mapped)
{
    const visor_file file = make_file();
    visor_memory *memory = NULL;
    visor_mapping *mapping = NULL;

    REQUIRE(file != VISOR_FILE_NONE && file_resize(file, P + 5));
    visor_memory_region region = {.length = 2 * P, .from_file = true, .file = file};
    CHECK_INT(visor_memory_create(&memory, &region, 1, NULL), VISOR_ERANGE);
    region.length = P;
    CHECK_OK(visor_memory_create(&memory, &region, 1, NULL));
    visor_memory_free(memory);
    CHECK_INT(visor_mapping_create_file(&mapping, file, P, 6, true), VISOR_ERANGE);
    CHECK_INT(visor_mapping_create_file(&mapping, file, 2 * P, 1, true), VISOR_ERANGE);
    CHECK_INT(visor_mapping_create_file(&mapping, VISOR_FILE_NONE, 0, P, true), VISOR_EINVAL);
    CHECK_OK(visor_mapping_create_file(&mapping, file, P, 5, true));
    visor_mapping_free(mapping);
    close_file(file);
}

TEST(mappings_keep_their_length_and_address)
{
    visor_mapping *mapping, *owner;
    void *own;

    REQUIRE_OK(visor_mapping_create(&mapping, 100));
    CHECK_INT(visor_mapping_length(mapping), 100);
    memset(visor_mapping_host(mapping), 1, P); /* the tail of the page is there */
    visor_mapping_free(mapping);
    CHECK_INT(visor_mapping_create(&mapping, 0), VISOR_EINVAL);
    CHECK_INT(visor_mapping_create(&mapping, UINT64_MAX), VISOR_EINVAL);
    if (HOST_ARENAS) {
        REQUIRE_OK(visor_mapping_create_arena(&mapping, 3 * P));
        CHECK_INT(*(char *)visor_mapping_host(mapping), 0);
        visor_mapping_free(mapping);
    } else {
        CHECK_INT(visor_mapping_create_arena(&mapping, 3 * P), VISOR_EUNSUPPORTED);
    }

    REQUIRE_OK(visor_mapping_create(&owner, P));
    own = visor_mapping_host(owner);
    CHECK_INT(visor_mapping_create_borrowed(&mapping, (char *)own + 1, P), VISOR_EALIGN);
    CHECK_INT(visor_mapping_create_borrowed(&mapping, NULL, P), VISOR_EINVAL);
    REQUIRE_OK(visor_mapping_create_borrowed(&mapping, own, P));
    CHECK(visor_mapping_host(mapping) == own);
    visor_mapping_free(mapping);
    *(volatile char *)own = 1; /* still mapped: it was only borrowed */
    visor_mapping_free(owner);
    visor_mapping_free(NULL);
}

UNIT_MAIN()
