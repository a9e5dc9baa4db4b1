/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages the guest has written. The same on every architecture. */
#include <string.h>

#include "guest.h"

static void start(struct guest *g, const struct code *program, uint64_t a0, uint64_t a1,
                  uint64_t a2, const visor_vm_config *config)
{
    guest_start(g, program, a0, a1, a2, config);
    NEED(g, DIRTY_LOG);
}

CASE(dirty, size, "the size of a bitmap")
{
    const uint64_t page = page_size();

    CHECK_EQ(visor_dirty_log_size(0), 0);
    CHECK_EQ(visor_dirty_log_size(1), 1);
    CHECK_EQ(visor_dirty_log_size(page), 1);
    CHECK_EQ(visor_dirty_log_size(8 * page), 1);
    CHECK_EQ(visor_dirty_log_size(8 * page + 1), 2);
    CHECK_EQ(visor_dirty_log_size(100 * page), 13);
    (void)g;
}

CASE(dirty, one_page, "the page that was written, and no byte beyond the bitmap")
{
    const uint64_t page = page_size();
    uint8_t bitmap[16];
    uint32_t slot;

    start(g, guest_store[0], guest_hole + 8 * page, 0x12, 0, NULL);
    slot = add_slot(g, guest_hole, 16 * page, NULL, false, true);
    GUEST_FINISH(g);
    memset(bitmap, 0xee, sizeof(bitmap));
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0], 0);
    CHECK_EQ(bitmap[1], 1);
    for (unsigned i = 2; i < sizeof(bitmap); i++)
        CHECK_EQ(bitmap[i], 0xee);
}

CASE(dirty, cleared_by_reading, "a second look shows what was written since the first")
{
    const uint64_t page = page_size();
    uint8_t bitmap[2];
    uint32_t slot;

    start(g, guest_store[0], guest_hole + 3 * page, 1, 0, NULL);
    slot = add_slot(g, guest_hole, 16 * page, NULL, false, true);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0], 1 << 3);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0] | bitmap[1], 0);
    /* The page is in the TLB, writable, by now: it must be logged all the same. */
    guest_restart(g, g->vcpu, guest_store[0], guest_hole + 3 * page, 2, 0);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0], 1 << 3);
    /* A page that is only read may be mapped writable, and then counts as written on KVM. */
    guest_restart(g, g->vcpu, guest_load[0], guest_hole + 4 * page, 0, 0);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ((bitmap[0] & ~(1 << 4)) | bitmap[1], 0);
}

CASE(dirty, errors, "unknown slots, slots without a log, buffers that are too small")
{
    const uint64_t page = page_size();
    uint32_t slot, quiet;
    uint8_t bitmap[8];

    start(g, guest_store[0], guest_hole, 1, 0, NULL);
    slot = add_slot(g, guest_hole, 16 * page, NULL, false, true);
    quiet = add_slot(g, guest_hole + 16 * page, page, NULL, false, false);
    CHECK_ERROR(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, 0), ENOENT);
    CHECK_ERROR(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, quiet + 1), ENOENT);
    CHECK_ERROR(visor_vm_dirty_log(bitmap, 1, g->vm, slot), EINVAL);
    CHECK_ERROR(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, quiet), ESTATE);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, slot));
}

struct harvest {
    uint64_t offsets[256];
    uint32_t slots[256];
    unsigned count;
};

static void harvest_page(void *context, uint32_t slot, uint64_t offset)
{
    struct harvest *harvest = context;

    if (harvest->count < 256) {
        harvest->slots[harvest->count] = slot;
        harvest->offsets[harvest->count] = offset;
    }
    harvest->count++;
}

static bool harvest_has(const struct harvest *harvest, uint32_t slot, uint64_t offset)
{
    for (unsigned i = 0; i < harvest->count && i < 256; i++) {
        if (harvest->slots[i] == slot && harvest->offsets[i] == offset)
            return true;
    }
    return false;
}

static void check_harvest(struct guest *g)
{
    const uint64_t page = page_size();
    struct harvest harvest = {0};
    uint32_t a, b, quiet;
    uint8_t bitmap[8];

    a = add_slot(g, guest_hole, 32 * page, NULL, false, true);
    b = add_slot(g, guest_hole + 64 * page, 9 * page, NULL, false, true);
    quiet = add_slot(g, guest_hole + 128 * page, page, NULL, false, false);
    GUEST_FINISH(g); /* pages 2, 4, 6, 8, 10 of a */
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + 72 * page + 8, 1, 0);
    GUEST_FINISH(g);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + 128 * page, 1, 0);
    GUEST_FINISH(g);
    CHECK_EQ(CHECK_OK(visor_vm_dirty_harvest(g->vm, harvest_page, &harvest)), 6);
    CHECK_EQ(harvest.count, 6);
    for (unsigned i = 1; i <= 5; i++)
        CHECK(harvest_has(&harvest, a, 2 * i * page));
    CHECK(harvest_has(&harvest, b, 8 * page));
    CHECK(!harvest_has(&harvest, quiet, 0));
    CHECK_EQ(CHECK_OK(visor_vm_dirty_harvest(g->vm, harvest_page, &harvest)), 0);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, a));
    CHECK_EQ(bitmap[0] | bitmap[1], 0);
    guest_restart(g, g->vcpu, guest_store[3], guest_hole + 2 * page, 1, 0);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, a));
    CHECK_EQ(bitmap[0], 1 << 2);
    CHECK_EQ(CHECK_OK(visor_vm_dirty_harvest(g->vm, harvest_page, &harvest)), 0);
}

CASE(dirty, harvest, "all pages of all logging slots in one call")
{
    start(g, guest_fill, guest_hole + 2 * page_size(), 2 * page_size(), 5, NULL);
    check_harvest(g);
}

static void need_ring(struct guest *g, visor_vm_config *config, uint32_t entries)
{
    if (NEED(g, DIRTY_RING) < entries)
        SKIP("a dirty ring has fewer than %u entries here", entries);
    config->dirty_ring_entries = entries;
}

CASE(dirty, ring, "the dirty ring gives the same answers as the bitmap")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    need_ring(g, &config, 1024);
    start(g, guest_fill, guest_hole + 2 * page_size(), 2 * page_size(), 5, &config);
    check_harvest(g);
}

CASE(dirty, ring_overflows, "a ring that fills up loses no page, and the guest notices nothing")
{
    enum { PAGES = 5000 };
    static uint8_t bitmap[PAGES / 8];
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    const uint64_t page = page_size();
    unsigned count = 0;
    uint32_t slot;

    if (page * PAGES > GUEST_HOLE_LENGTH)
        SKIP("pages of this host are too large for the test");
    need_ring(g, &config, 1024);
    start(g, guest_fill, guest_hole, page, PAGES, &config);
    slot = add_slot(g, guest_hole, PAGES * page, NULL, false, true);
    CHECK_EQ(GUEST_FINISH(g), PAGES);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), g->vm, slot));
    for (unsigned i = 0; i < PAGES; i++)
        count += bitmap[i / 8] >> i % 8 & 1;
    CHECK_EQ(count, PAGES);
}

CASE(dirty, ring_invalid, "a ring size that is no power of two is refused")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    need_ring(g, &config, 1024);
    config.dirty_ring_entries = 1000;
    CHECK_OK(visor_memory_create(
        &g->memory, &(visor_memory_region){.gpa = guest_base, .length = GUEST_RAM}, 1, NULL));
    CHECK_ERROR(visor_vm_create(&g->vm, g->hv, g->memory, &config), EINVAL);
}

CASE(dirty, large_slot, "a slot of 64 MiB, written sparsely")
{
    static uint8_t bitmap[2049];
    const uint64_t page = page_size(), length = 64u << 20;
    uint32_t slot;

    start(g, guest_fill, guest_hole, 1u << 20, 64, NULL);
    slot = add_slot(g, guest_hole, length, NULL, false, true);
    CHECK_EQ(GUEST_FINISH(g), 64);
    memset(bitmap, 0xee, sizeof(bitmap));
    CHECK_OK(visor_vm_dirty_log(bitmap, visor_dirty_log_size(length), g->vm, slot));
    for (uint64_t i = 0; i < length / page; i++)
        CHECK_EQ(bitmap[i / 8] >> i % 8 & 1, i % ((1u << 20) / page) == 0);
    CHECK_EQ(bitmap[2048], 0xee);
}

CASE(dirty, removed_slot, "a slot that takes a removed one's id begins with a clean log")
{
    const uint64_t page = page_size();
    uint8_t bitmap[2];
    uint32_t slot;

    start(g, guest_store[0], guest_hole, 1, 0, NULL);
    slot = add_slot(g, guest_hole, 16 * page, NULL, false, true);
    GUEST_FINISH(g);
    drop_slot(g, slot);
    CHECK_EQ(add_slot(g, guest_hole, 16 * page, NULL, false, true), slot);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0] | bitmap[1], 0);
    guest_restart(g, g->vcpu, guest_store[0], guest_hole + page, 1, 0);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_dirty_log(bitmap, 2, g->vm, slot));
    CHECK_EQ(bitmap[0], 2);
}

CASE(dirty, while_running, "harvesting while the guest writes: nothing is lost")
{
    const uint64_t page = page_size();
    struct harvest harvest = {0};
    uint32_t slot;

    start(g, guest_spin, guest_hole + 5 * page, 0, 0, NULL);
    slot = add_slot(g, guest_hole, 16 * page, NULL, false, true);
    for (unsigned i = 0; i < 3; i++) {
        int pages = 0;

        /* Longer if a busy host gave the guest no time to write. */
        for (unsigned ms = 30; pages == 0 && ms < 3000; ms *= 2) {
            kick_later(g->vcpu, ms);
            RUN_TO(g, KICKED);
            harvest.count = 0;
            pages = CHECK_OK(visor_vm_dirty_harvest(g->vm, harvest_page, &harvest));
        }
        CHECK_EQ(pages, 1);
        CHECK(harvest_has(&harvest, slot, 5 * page));
    }
}
