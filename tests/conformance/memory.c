/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory as the guest and the VMM see it. The same on every architecture. */
#include <string.h>

#include "guest.h"

CASE(memory, read_back, "the VMM reads what it wrote")
{
    guest_create(g, NULL);
    poke(g, guest_data + 0xf0, 67, 1);
    CHECK_EQ(peek(g, guest_data + 0xf0, 1), 67);
    CHECK(visor_vm_memory(g->vm) == g->memory);
}

CASE(memory, guest_and_host, "guest and VMM share the same bytes, both ways")
{
    void *host;

    guest_start(g, guest_add, guest_data, guest_data + 8, 0, NULL);
    poke(g, guest_data, 0x1122334400000000u, 8);
    CHECK_OK(visor_memory_ptr(&host, g->memory, guest_data, 16));
    memcpy((uint8_t *)host + 8, &(uint64_t){0x55667788}, 8);
    CHECK_EQ(GUEST_FINISH(g), 0x1122334455667788u);
    guest_restart(g, g->vcpu, guest_store[3], guest_data + 8, 0xabcdef, 0);
    GUEST_FINISH(g);
    CHECK_EQ(peek(g, guest_data + 8, 8), 0xabcdef);
    CHECK_EQ(*(uint64_t *)host, 0x1122334400000000u);
}

CASE(memory, several_regions, "several regions, with a hole between")
{
    const uint64_t page = page_size();
    const visor_memory_region regions[2] = {{.gpa = guest_base, .length = GUEST_RAM},
                                            {.gpa = guest_hole + 5 * page, .length = 5 * page}};
    visor_memory_info info;

    CHECK_OK(visor_memory_create(&g->memory, regions, 2, NULL));
    CHECK_EQ(visor_memory_region_count(g->memory), 2);
    CHECK_OK(visor_memory_region_info(&info, g->memory, 1));
    CHECK_EQ(info.gpa, guest_hole + 5 * page);
    CHECK_EQ(info.length, 5 * page);
    CHECK_ERROR(visor_memory_region_info(&info, g->memory, 2), ERANGE);
    CHECK_EQ(visor_memory_size(g->memory), GUEST_RAM + 5 * page);
    CHECK_EQ(visor_memory_end(g->memory), guest_hole + 10 * page);
    CHECK(visor_memory_contains(g->memory, guest_hole + 5 * page, 5 * page));
    CHECK(!visor_memory_contains(g->memory, guest_hole + 5 * page, 5 * page + 1));
    CHECK(!visor_memory_contains(g->memory, guest_hole + 5 * page, 0));
    CHECK(!visor_memory_overlaps(g->memory, guest_hole, 5 * page));
    CHECK(visor_memory_overlaps(g->memory, guest_hole, 5 * page + 1));
    CHECK(!visor_memory_overlaps(g->memory, guest_hole + 10 * page, page));
    guest_start_in(g, guest_add, guest_hole + 5 * page, guest_hole + 10 * page - 8, 0, NULL);
    poke(g, guest_hole + 5 * page, 40, 8);
    poke(g, guest_hole + 10 * page - 8, 2, 8);
    CHECK_EQ(GUEST_FINISH(g), 42);
    guest_restart(g, g->vcpu, guest_load[0], guest_hole + 4 * page, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 4 * page, 1, 9);
    CHECK_EQ(GUEST_FINISH(g), 9);
}

CASE(memory, bounds, "nothing outside guest memory is touched, and nothing by halves")
{
    uint8_t bytes[16];
    void *host;

    guest_create(g, NULL);
    memset(bytes, 0x5a, sizeof(bytes));
    CHECK_ERROR(visor_memory_write(g->memory, guest_base + GUEST_RAM - 8, bytes, 16), ERANGE);
    CHECK_EQ(peek(g, guest_base + GUEST_RAM - 8, 8), 0);
    CHECK_ERROR(visor_memory_read(bytes, g->memory, guest_base + GUEST_RAM - 8, 16), ERANGE);
    CHECK_EQ(bytes[0], 0x5a);
    CHECK_ERROR(visor_memory_read(bytes, g->memory, UINT64_MAX - 3, 8), ERANGE);
    CHECK_ERROR(visor_memory_ptr(&host, g->memory, guest_base, (uint64_t)GUEST_RAM + 1), ERANGE);
    CHECK_ERROR(visor_memory_ptr(&host, g->memory, guest_base + 8, UINT64_MAX), ERANGE);
}

CASE(memory, bad_layouts, "layouts that cannot be are refused, each with its own error")
{
    const uint64_t page = page_size();
    const visor_memory_region overlapping[2] = {{.gpa = 0, .length = 2 * page},
                                                {.gpa = page, .length = page}};
    const visor_memory_region unsorted[2] = {{.gpa = 4 * page, .length = page},
                                             {.gpa = 0, .length = page}};
    const visor_memory_region odd = {.gpa = 0, .length = page + 1};
    const visor_memory_region wraps = {.gpa = UINT64_MAX - page + 1, .length = 2 * page};
    const visor_memory_region empty = {.gpa = 0, .length = 0};
    int result;

    CHECK_ERROR(visor_memory_create(&g->memory, overlapping, 2, NULL), EOVERLAP);
    result = visor_memory_create(&g->memory, unsorted, 2, NULL);
    CHECK(result == VISOR_EINVAL || result == VISOR_EOVERLAP);
    CHECK_ERROR(visor_memory_create(&g->memory, &odd, 1, NULL), EALIGN);
    CHECK_ERROR(visor_memory_create(&g->memory, &wraps, 1, NULL), EOVERFLOW);
    CHECK_ERROR(visor_memory_create(&g->memory, &empty, 1, NULL), EINVAL);
    CHECK_ERROR(visor_memory_create(&g->memory, &odd, 0, NULL), EINVAL);
    CHECK(g->memory == NULL);
}

CASE(memory, vm_without_page_alignment,
     "a region that the processor cannot map is refused, not misplaced")
{
    const visor_memory_region region = {.gpa = 0x800, .length = page_size()};

    if (visor_memory_create(&g->memory, &region, 1, NULL) >= 0)
        CHECK(visor_vm_create(&g->vm, g->hv, g->memory, NULL) < 0);
    CHECK(g->vm == NULL);
}

/* Guest memory whose second region is what the case says. */
static void start_with_region(struct guest *g, const visor_memory_region *second)
{
    const visor_memory_region regions[2] = {{.gpa = guest_base, .length = GUEST_RAM}, *second};

    CHECK_OK(visor_memory_create(&g->memory, regions, 2, NULL));
    guest_start_in(g, guest_load[3], guest_hole, 0, 0, NULL);
}

CASE(memory, file_backed, "a region backed by a file: offset, content, writes of the guest")
{
    const uint64_t page = page_size();
    uint64_t value = 0x0badcafe12345678u;
    visor_file file = file_create(4 * page);

    file_write(file, page, &value, 8);
    start_with_region(g, &(visor_memory_region){.gpa = guest_hole,
                                                .length = 2 * page,
                                                .from_file = true,
                                                .file = file,
                                                .file_offset = page});
    CHECK_EQ(GUEST_FINISH(g), value);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + page + 16, 77, 0);
    GUEST_FINISH(g);
    file_read(file, 2 * page + 16, &value, 8);
    CHECK_EQ(value, 77);
    file_close(file);
}

CASE(memory, read_only_region, "a read-only region: guest reads are direct, writes are MMIO exits")
{
    const uint64_t page = page_size();

    start_with_region(g,
                      &(visor_memory_region){.gpa = guest_hole, .length = page, .read_only = true});
    NEED(g, READ_ONLY);
    poke(g, guest_hole, 0x66, 8); /* the VMM may */
    CHECK_EQ(GUEST_FINISH(g), 0x66);
    guest_restart(g, g->vcpu, guest_store[1], guest_hole, 0x4321, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole, 2, 0x4321);
    GUEST_FINISH(g);
    CHECK_EQ(peek(g, guest_hole, 8), 0x66);
}

CASE(memory, read_only_file,
     "a read-only file as memory: a guest write is an MMIO exit, no failure")
{
    const uint64_t page = page_size();
    visor_file file = file_create(page);
    uint64_t value = 0x1234;

    file_write(file, 0, &value, 8);
    file_seal_read_only(&file);
    start_with_region(
        g,
        &(visor_memory_region){
            .gpa = guest_hole, .length = page, .read_only = true, .from_file = true, .file = file});
    NEED(g, READ_ONLY);
    CHECK_EQ(GUEST_FINISH(g), 0x1234);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole, 5, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, 5);
    GUEST_FINISH(g);
    CHECK_EQ(peek(g, guest_hole, 8), 0x1234);
    CHECK_ERROR(visor_memory_write(g->memory, guest_hole, &value, 8), EACCESS);
    file_close(file);
}

CASE(memory, discard, "discarded memory reads as zeros, in the guest too")
{
    const uint64_t page = page_size();

    guest_start(g, guest_add, guest_data, guest_data + page, 0, NULL);
    poke(g, guest_data, 5, 8);
    poke(g, guest_data + page, 7, 8);
    CHECK_EQ(GUEST_FINISH(g), 12);
    CHECK_OK(visor_memory_discard(g->memory, guest_data, page));
    CHECK_EQ(peek(g, guest_data, 8), 0);
    guest_restart(g, g->vcpu, guest_add, guest_data, guest_data + page, 0);
    CHECK_EQ(GUEST_FINISH(g), 7);
    CHECK_ERROR(visor_memory_discard(g->memory, guest_data + 1, page), EALIGN);
    CHECK_ERROR(visor_memory_discard(g->memory, guest_base + GUEST_RAM, page), ERANGE);
}

CASE(memory, balloon, "an inflated range is given back to the host; deflated it works again")
{
    const uint64_t page = page_size();

    guest_start(g, guest_load[3], guest_data, 0, 0, NULL);
    poke(g, guest_data, 5, 8);
    poke(g, guest_data + 4 * page, 6, 8);
    CHECK_EQ(GUEST_FINISH(g), 5);
    CHECK_OK(visor_vm_balloon_inflate(g->vm, guest_data, 4 * page));
    CHECK_OK(visor_vm_balloon_deflate(g->vm, guest_data, 4 * page));
    guest_restart(g, g->vcpu, guest_load[3], guest_data, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
    guest_restart(g, g->vcpu, guest_store[3], guest_data, 99, 0);
    GUEST_FINISH(g);
    CHECK_EQ(peek(g, guest_data, 8), 99);
    CHECK_EQ(peek(g, guest_data + 4 * page, 8), 6);
    CHECK_ERROR(visor_vm_balloon_inflate(g->vm, guest_hole, page), ERANGE);
}

CASE(memory, outlives_caller, "memory stays mapped until the last VM that uses it is gone")
{
    visor_memory *memory;

    guest_start(g, guest_load[3], guest_data, 0, 0, NULL);
    poke(g, guest_data, 31, 8);
    memory = g->memory;
    g->memory = NULL;
    visor_memory_free(memory);
    CHECK_EQ(GUEST_FINISH(g), 31);
}

CASE(memory, shared_by_two_vms, "two VMs on the same memory see each other's writes")
{
    struct guest other = {.hv = g->hv};

    guest_start(g, guest_store[3], guest_data, 1234, 0, NULL);
    other.memory = visor_memory_ref(g->memory);
    guest_start_in(&other, guest_load[3], guest_data, 0, 0, NULL);
    guest_restart(g, g->vcpu, guest_store[3], guest_data, 1234, 0);
    GUEST_FINISH(g);
    guest_restart(&other, other.vcpu, guest_load[3], guest_data, 0, 0);
    CHECK_EQ(GUEST_FINISH(&other), 1234);
    visor_vcpu_free(other.vcpu);
    visor_vm_free(other.vm);
    visor_memory_free(other.memory);
}

CASE(memory, options, "huge pages, locking, no fork, punching holes: the guest notices nothing")
{
    const visor_memory_region region = {.gpa = guest_base, .length = 4u << 20, .align = 2u << 20};
    visor_memory_config config = VISOR_MEMORY_CONFIG_INIT;
    visor_memory_info info;

    config.huge_pages = true;
    config.no_fork = true;
    config.punch_hole = true;
    CHECK_OK(visor_memory_create(&g->memory, &region, 1, &config));
    CHECK_OK(visor_memory_region_info(&info, g->memory, 0));
    CHECK_EQ((uintptr_t)info.host % (2u << 20), 0);
    guest_start_in(g, guest_load[3], guest_data, 0, 0, NULL);
    poke(g, guest_data, 8, 8);
    CHECK_EQ(GUEST_FINISH(g), 8);
    CHECK_OK(visor_memory_discard(g->memory, guest_data, page_size()));
    guest_restart(g, g->vcpu, guest_load[3], guest_data, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
}
