/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory slots: adding, removing, and what backs them. The same on every architecture. */
#include <string.h>

#include "guest.h"

CASE(slots, add_and_use, "the guest reads and writes memory that was added while it existed")
{
    visor_mapping *mapping;
    uint64_t *host;

    guest_start(g, guest_add, guest_hole, guest_hole + 8, 0, NULL);
    add_slot(g, guest_hole, 0x1000, &mapping, false, false);
    host = visor_mapping_host(mapping);
    host[0] = 30;
    host[1] = 4;
    CHECK_EQ(GUEST_FINISH(g), 34);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + 16, 0x55, 0);
    GUEST_FINISH(g);
    CHECK_EQ(host[2], 0x55);
}

CASE(slots, remove_gives_back, "removing gives back the same object, address and unrounded size")
{
    visor_mapping *mapping, *back;
    uint32_t slot;
    void *host;

    guest_create(g, NULL);
    slot = add_slot(g, guest_hole, 5000, &mapping, false, false);
    host = visor_mapping_host(mapping);
    CHECK_OK(visor_vm_remove_slot(&back, g->vm, slot));
    CHECK(back == mapping);
    CHECK(visor_mapping_host(back) == host);
    CHECK_EQ(visor_mapping_length(back), 5000);
    visor_mapping_free(back);
}

CASE(slots, unknown, "unknown slots, and those of guest memory, cannot be removed")
{
    visor_mapping *back = NULL;
    uint32_t slot;

    guest_create(g, NULL);
    CHECK_ERROR(visor_vm_remove_slot(&back, g->vm, 0), ENOENT);
    CHECK_ERROR(visor_vm_remove_slot(&back, g->vm, 1), ENOENT);
    CHECK_ERROR(visor_vm_remove_slot(&back, g->vm, UINT32_MAX), ENOENT);
    slot = add_slot(g, guest_hole, 0x1000, NULL, false, false);
    drop_slot(g, slot);
    CHECK_ERROR(visor_vm_remove_slot(&back, g->vm, slot), ENOENT);
    CHECK(back == NULL);
}

CASE(slots, smallest_id_first, "freed ids are used again, the smallest first")
{
    const uint64_t page = page_size();
    uint32_t a, b, c;

    guest_create(g, NULL);
    a = add_slot(g, guest_hole, page, NULL, false, false);
    b = add_slot(g, guest_hole + page, page, NULL, false, false);
    c = add_slot(g, guest_hole + 2 * page, page, NULL, false, false);
    CHECK_EQ(a, 1); /* 0 is guest memory's */
    CHECK_EQ(b, 2);
    CHECK_EQ(c, 3);
    drop_slot(g, b);
    drop_slot(g, a);
    CHECK_EQ(add_slot(g, guest_hole + 4 * page, page, NULL, false, false), a);
    CHECK_EQ(add_slot(g, guest_hole + 5 * page, page, NULL, false, false), b);
    CHECK_EQ(add_slot(g, guest_hole + 6 * page, page, NULL, false, false), 4);
}

/* Adds a mapping where it cannot be; it stays the caller's. */
static void expect_refused(struct where where, struct guest *g, uint64_t gpa, uint64_t length,
                           int expected)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t slot = 12345;

    config.gpa = gpa;
    CHECK_OK(visor_mapping_create(&mapping, length));
    check_error(where, visor_vm_add_slot(&slot, g->vm, mapping, &config), expected,
                "visor_vm_add_slot()");
    CHECK_EQ(slot, 12345);
    memset(visor_mapping_host(mapping), 1, length);
    visor_mapping_free(mapping);
}
#define EXPECT_REFUSED(g, gpa, length, code) expect_refused(HERE, g, gpa, length, VISOR_##code)

CASE(slots, refused, "overlap, overflow, misalignment: each its own error, and no id is lost")
{
    const uint64_t page = page_size();

    guest_create(g, NULL);
    EXPECT_REFUSED(g, guest_base + GUEST_RAM - page, 2 * page, EOVERLAP);
    EXPECT_REFUSED(g, guest_base, page, EOVERLAP);
    EXPECT_REFUSED(g, UINT64_MAX - page + 1, 2 * page, EOVERFLOW);
    EXPECT_REFUSED(g, 1ull << 62, page, EOVERFLOW);
    EXPECT_REFUSED(g, guest_hole + 1, page, EALIGN);
    CHECK_EQ(add_slot(g, guest_hole, 4 * page, NULL, false, false), 1);
    EXPECT_REFUSED(g, guest_hole + 3 * page, 2 * page, EEXIST);
    EXPECT_REFUSED(g, guest_hole, page, EEXIST);
    CHECK_EQ(add_slot(g, guest_hole + 4 * page, page, NULL, false, false), 2);
}

CASE(slots, rounded_to_pages, "a mapping of odd length occupies whole pages")
{
    const uint64_t page = page_size();
    visor_mapping *mapping;

    guest_start(g, guest_store[0], guest_hole + page + 100, 7, 0, NULL);
    add_slot(g, guest_hole, page + 1, &mapping, false, false);
    CHECK_EQ(visor_mapping_length(mapping), page + 1);
    GUEST_FINISH(g); /* beyond the mapping's length, inside its last page */
    EXPECT_REFUSED(g, guest_hole + page, page, EEXIST);
    guest_restart(g, g->vcpu, guest_store[0], guest_hole + 2 * page, 7, 0);
    RUN_TO_MMIO_WRITE(g, guest_hole + 2 * page, 1, 7);
}

CASE(slots, read_only, "a read-only slot: reads are direct, a write exits and changes nothing")
{
    visor_mapping *mapping;
    uint64_t *host;

    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    NEED(g, READ_ONLY);
    add_slot(g, guest_hole, 0x1000, &mapping, true, false);
    host = visor_mapping_host(mapping);
    host[0] = 0x4455;
    CHECK_EQ(GUEST_FINISH(g), 0x4455);
    for (unsigned i = 0; i < 4; i++) {
        guest_restart(g, g->vcpu, guest_store[i], guest_hole, 0x11, 0);
        RUN_TO_MMIO_WRITE(g, guest_hole, guest_widths[i], 0x11);
        GUEST_FINISH(g);
    }
    CHECK_EQ(host[0], 0x4455);
}

CASE(slots, no_read_only, "the capability can be switched off")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.no_read_only = true;
    guest_create(g, &config);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_READ_ONLY), 0);
}

CASE(slots, replace_while_guest_lives,
     "removed, the slot is MMIO; another one in its place is seen")
{
    visor_mapping *mapping;
    uint32_t slot;

    guest_start(g, guest_watch, guest_hole, 0, 0, NULL);
    slot = add_slot(g, guest_hole, 0x1000, &mapping, false, false);
    *(uint8_t *)visor_mapping_host(mapping) = 1;
    CHECK_EQ(GUEST_FINISH(g), 1);
    drop_slot(g, slot);
    RUN_TO_MMIO_READ(g, guest_hole, 1, 2);
    CHECK_EQ(GUEST_FINISH(g), 2);
    add_slot(g, guest_hole, 0x1000, &mapping, false, false);
    *(uint8_t *)visor_mapping_host(mapping) = 3;
    CHECK_EQ(GUEST_FINISH(g), 3);
}

static uint32_t add_borrowed(struct guest *g, void *host, uint64_t length)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t slot;

    CHECK_OK(visor_mapping_create_borrowed(&mapping, host, length));
    CHECK(visor_mapping_host(mapping) == host);
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    return slot;
}

CASE(slots, borrowed, "the caller's own memory as a slot")
{
    const uint64_t length = 4 * page_size();
    uint64_t *own = host_map_own(length);

    guest_start(g, guest_store[3], guest_hole + 24, 0x77, 0, NULL);
    add_borrowed(g, own, length);
    GUEST_FINISH(g);
    CHECK_EQ(own[3], 0x77);
}

CASE(slots, borrowed_part, "a part of a mapping of the caller's, which may be used in parts")
{
    const uint64_t length = 4 * page_size();
    uint64_t *own = host_map_own(2 * length);

    guest_start(g, guest_store[3], guest_hole + 24, 0x77, 0, NULL);
    add_borrowed(g, own, length);
    GUEST_FINISH(g);
    CHECK_EQ(own[3], 0x77);
}

CASE(slots, borrowed_back, "removed, the caller's own memory is as the guest has left it")
{
    const uint64_t length = 4 * page_size();
    uint64_t *own = host_map_own(length);
    uint32_t slot;

    guest_start(g, guest_store[3], guest_hole + 24, 0x77, 0, NULL);
    slot = add_borrowed(g, own, length);
    GUEST_FINISH(g);
    drop_slot(g, slot);
    CHECK_EQ(own[3], 0x77);
}

CASE(slots, many, "several hundred slots at a time")
{
    const uint64_t page = page_size();
    visor_mapping *mapping = NULL;
    int64_t most;

    guest_start(g, guest_load[3], guest_hole + 2 * 299 * page, 0, 0, NULL);
    most = visor_vm_cap(g->vm, VISOR_CAP_MAX_SLOTS);
    if (most < 301)
        SKIP("a VM has %d slots only", (int)most);
    for (unsigned i = 0; i < 300; i++)
        CHECK_EQ(add_slot(g, guest_hole + 2 * i * page, page, &mapping, false, false), i + 1);
    *(uint64_t *)visor_mapping_host(mapping) = 299;
    CHECK_EQ(GUEST_FINISH(g), 299);
}

CASE(slots, file, "a file as a slot: reads, writes, sync")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_file file = file_create(4 * page);
    uint64_t value = 0x600d;
    visor_mapping *mapping;
    uint32_t slot;

    guest_start(g, guest_load[3], guest_hole + page, 0, 0, NULL);
    file_write(file, 2 * page, &value, 8);
    CHECK_OK(visor_mapping_create_file(&mapping, file, page, 2 * page, true));
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    CHECK_EQ(GUEST_FINISH(g), 0x600d);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole, 0xbeef, 0);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_slot_sync(g->vm, slot, 0, 2 * page));
    file_read(file, page, &value, 8);
    CHECK_EQ(value, 0xbeef);
    file_close(file);
}

CASE(slots, file_paged, "a file as a slot: page-out, discard")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_file file = file_create(2 * page);
    uint64_t value = 0xbeef;
    visor_mapping *mapping;
    uint32_t slot;

    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    file_write(file, page, &value, 8);
    CHECK_OK(visor_mapping_create_file(&mapping, file, page, page, true));
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    CHECK_EQ(GUEST_FINISH(g), 0xbeef);
    CHECK_OK(visor_vm_slot_page_out(g->vm, slot, 0, page));
    guest_restart(g, g->vcpu, guest_load[3], guest_hole, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0xbeef);
    CHECK_OK(visor_vm_slot_discard(g->vm, slot, 0, page));
    guest_restart(g, g->vcpu, guest_load[3], guest_hole, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
    file_read(file, page, &value, 8);
    CHECK_EQ(value, 0);
    drop_slot(g, slot);
    file_close(file);
}

CASE(slots, sync_bounds, "work on part of a slot keeps inside it")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t slot;

    guest_create(g, NULL);
    CHECK_OK(visor_mapping_create_arena(&mapping, page));
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    CHECK_OK(visor_vm_slot_sync(g->vm, slot, page, 0));
    CHECK_OK(visor_vm_slot_sync(g->vm, slot, 0, page));
    CHECK_ERROR(visor_vm_slot_sync(g->vm, slot, page + 1, 0), ERANGE);
    CHECK_ERROR(visor_vm_slot_sync(g->vm, slot, 0, page + 1), ERANGE);
    CHECK_ERROR(visor_vm_slot_sync(g->vm, slot, page, UINT64_MAX), ERANGE);
    CHECK_ERROR(visor_vm_slot_sync(g->vm, slot, 1, 1), EALIGN);
    CHECK_ERROR(visor_vm_slot_sync(g->vm, slot + 1, 0, page), ENOENT);
    CHECK_ERROR(visor_vm_slot_sync(g->vm, 0, 0, page), ENOENT);
    CHECK_ERROR(visor_vm_slot_discard(g->vm, slot + 1, 0, page), ENOENT);
    CHECK_ERROR(visor_vm_slot_page_out(g->vm, slot, 0, 2 * page), ERANGE);
}

CASE(slots, arena, "an arena starts as zeros; files put into it are seen by the guest at once")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_file file = file_create(2 * page);
    uint8_t first = 0xa1, second = 0xb2;
    visor_mapping *mapping;
    uint32_t slot;

    file_write(file, 0, &first, 1);
    file_write(file, page, &second, 1);
    guest_start(g, guest_watch, guest_hole + page, 0, 0, NULL);
    CHECK_OK(visor_mapping_create_arena(&mapping, 4 * page));
    config.gpa = guest_hole;
    config.read_only = visor_vm_cap(g->vm, VISOR_CAP_READ_ONLY) > 0;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_OK(visor_vm_slot_map_file(g->vm, slot, page, page, file, 0, false));
    CHECK_EQ(GUEST_FINISH(g), 0xa1);
    CHECK_OK(visor_vm_slot_map_file(g->vm, slot, page, page, file, page, false));
    CHECK_EQ(GUEST_FINISH(g), 0xb2);
    CHECK_OK(visor_vm_slot_unmap(g->vm, slot, page, page));
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_ERROR(visor_vm_slot_map_file(g->vm, slot + 1, 0, page, file, 0, false), ENOENT);
    CHECK_ERROR(visor_vm_slot_map_file(g->vm, slot, 1, page, file, 0, false), EALIGN);
    CHECK_ERROR(visor_vm_slot_map_file(g->vm, slot, 3 * page, 2 * page, file, 0, false), ERANGE);
    CHECK_ERROR(visor_vm_slot_unmap(g->vm, slot, 4 * page, page), ERANGE);
    file_close(file);
}

CASE(slots, arena_writable, "a file mapped writable into an arena receives the guest's writes")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_file file = file_create(page);
    visor_mapping *mapping;
    uint64_t value = 0;
    uint32_t slot;

    guest_start(g, guest_store[3], guest_hole + page, 0x1357, 0, NULL);
    CHECK_OK(visor_mapping_create_arena(&mapping, 2 * page));
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    CHECK_OK(visor_vm_slot_map_file(g->vm, slot, page, page, file, 0, true));
    GUEST_FINISH(g);
    file_read(file, 0, &value, 8);
    CHECK_EQ(value, 0x1357);
    drop_slot(g, slot);
    file_close(file);
}

CASE(slots, not_an_arena, "only an arena can be backed piece by piece")
{
    const uint64_t page = page_size();
    visor_file file = file_create(page);
    uint32_t slot;

    guest_create(g, NULL);
    slot = add_slot(g, guest_hole, page, NULL, false, false);
    CHECK_ERROR(visor_vm_slot_map_file(g->vm, slot, 0, page, file, 0, false), EUNSUPPORTED);
    CHECK_ERROR(visor_vm_slot_unmap(g->vm, slot, 0, page), EUNSUPPORTED);
    file_close(file);
}

CASE(slots, memory_fault, "memory that the host cannot provide is an exit, not an error of run")
{
    const uint64_t page = page_size();
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_file file = file_create(2 * page);
    visor_mapping *mapping;
    uint32_t slot;
    int reason;

    guest_start(g, guest_load[3], guest_hole + page, 0, 0, NULL);
    NEED(g, MEMORY_FAULT);
    CHECK_OK(visor_mapping_create_file(&mapping, file, 0, 2 * page, true));
    /* Now the second page lies beyond the end of the file: the host cannot read it. */
    file_truncate(file, page);
    config.gpa = guest_hole;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    reason = RUN(g);
    if (reason != VISOR_EXIT_MEMORY_FAULT)
        UNEXPECTED(g);
    CHECK_EQ(visor_vcpu_exit(g->vcpu)->memory_fault.gpa / page, (guest_hole + page) / page);
    file_close(file);
}
