/* SPDX-License-Identifier: BSD-3-Clause */
/* Dirty pages: sizes, nothing written past the caller's buffer, nothing lost. */
#include "guest.h"

#define PAGES 20u

static bool add_logging(uint32_t *slot, struct guest *guest, uint64_t gpa, uint64_t length)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;

    config.gpa = gpa;
    config.log_dirty = true;
    return CHECK_OK(visor_mapping_create(&mapping, length)) &&
           CHECK_OK(visor_vm_add_slot(slot, guest->vm, mapping, &config));
}

TEST(sizes_of_bitmaps)
{
    CHECK_INT(visor_dirty_log_size(0), 0);
    CHECK_INT(visor_dirty_log_size(1), 1);
    CHECK_INT(visor_dirty_log_size(PAGE), 1);
    CHECK_INT(visor_dirty_log_size(8 * PAGE), 1);
    CHECK_INT(visor_dirty_log_size(8 * PAGE + 1), 2);
    CHECK_INT(visor_dirty_log_size(100 * PAGE), 13);
    CHECK_INT(visor_dirty_log_size(UINT64_MAX), (UINT64_MAX / PAGE + 1) / 8);
}

TEST(written_pages_are_listed_once_and_nothing_past_the_buffer)
{
    uint8_t bitmap[8];
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(add_logging(&slot, &guest, HOLE, PAGES * PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_STORE(HOLE + 9 * PAGE - 2, 4, 1),
                       NULL_STORE(HOLE + 19 * PAGE, 8, 1), NULL_LOAD(HOLE + 5 * PAGE, 8),
                       NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);

    memset(bitmap, 0xa5, sizeof(bitmap));
    CHECK_OK(visor_vm_dirty_log(bitmap, 3, guest.vm, slot));
    CHECK_INT(bitmap[0], 0x01);
    CHECK_INT(bitmap[1], 0x03); /* pages 8 and 9: the write crossed */
    CHECK_INT(bitmap[2], 0x08);
    for (size_t i = 3; i < sizeof(bitmap); i++)
        CHECK_INT(bitmap[i], 0xa5);

    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, slot));
    CHECK_INT(bitmap[0] | bitmap[1] | bitmap[2], 0);
    CHECK_INT(bitmap[3], 0xa5);
    guest_free(&guest);
}

TEST(each_wrong_use_has_its_error)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint8_t bitmap[8];
    struct guest guest;
    uint32_t slot, silent;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(add_logging(&slot, &guest, HOLE, PAGES * PAGE));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    config.gpa = HOLE + PAGES * PAGE;
    REQUIRE_OK(visor_vm_add_slot(&silent, guest.vm, mapping, &config));
    CHECK_INT(visor_vm_dirty_log(bitmap, 2, guest.vm, slot), VISOR_EINVAL);
    CHECK_INT(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, 0), VISOR_ENOENT);
    CHECK_INT(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, 99), VISOR_ENOENT);
    CHECK_INT(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, silent), VISOR_ESTATE);
    guest_free(&guest);
}

TEST(a_too_small_buffer_loses_nothing)
{
    uint8_t bitmap[3];
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(add_logging(&slot, &guest, HOLE, PAGES * PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(visor_vm_dirty_log(bitmap, 2, guest.vm, slot), VISOR_EINVAL);
    CHECK_OK(visor_vm_dirty_log(bitmap, 3, guest.vm, slot));
    CHECK_INT(bitmap[0], 1);
    guest_free(&guest);
}

TEST(a_backend_without_log_refuses_logging_slots)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    struct visor_backend bare;
    visor_mapping *mapping;
    visor_hypervisor *hv;
    struct guest guest;
    uint32_t slot;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    bare = *hv->backend;
    bare.dirty = NULL;
    hv->backend = &bare;
    REQUIRE(guest_create_on(&guest, hv, NULL));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    config.gpa = HOLE;
    config.log_dirty = true;
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_dirty_harvest(guest.vm, NULL, NULL), VISOR_EUNSUPPORTED);
    visor_mapping_free(mapping);
    guest_free(&guest);
}

struct harvest {
    struct {
        uint32_t slot;
        uint64_t offset;
    } pages[16];
    size_t count;
    visor_vm *vm; /* used inside, to show that no lock is held */
};

static void collect(void *context, uint32_t slot, uint64_t offset)
{
    struct harvest *harvest = context;
    uint8_t bitmap[3];

    if (harvest->count < 16) {
        harvest->pages[harvest->count].slot = slot;
        harvest->pages[harvest->count].offset = offset;
    }
    harvest->count++;
    CHECK_INT(visor_vm_dirty_log(bitmap, 0, harvest->vm, slot), VISOR_EINVAL);
}

/* The same answers with a bitmap and with a ring, whose harvest of one slot brings others' pages.
 */
static void harvest_all(const visor_vm_config *config)
{
    struct harvest harvest = {0};
    uint8_t bitmap[3];
    struct guest guest;
    uint32_t slots[2];

    REQUIRE(guest_create(&guest, config));
    harvest.vm = guest.vm;
    REQUIRE(add_logging(&slots[0], &guest, HOLE, PAGES * PAGE));
    REQUIRE(add_logging(&slots[1], &guest, HOLE + PAGES * PAGE, PAGES * PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE + 3 * PAGE, 1, 1),
                       NULL_STORE(HOLE + (PAGES + 4) * PAGE, 1, 1),
                       NULL_STORE(HOLE + (PAGES + 19) * PAGE, 1, 1), NULL_HALT,
                       NULL_STORE(HOLE + 7 * PAGE, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(visor_vm_dirty_harvest(guest.vm, collect, &harvest), 3);
    REQUIRE(CHECK_INT(harvest.count, 3));
    CHECK_INT(harvest.pages[0].slot, slots[0]);
    CHECK_INT(harvest.pages[0].offset, 3 * PAGE);
    CHECK_INT(harvest.pages[1].slot, slots[1]);
    CHECK_INT(harvest.pages[1].offset, 4 * PAGE);
    CHECK_INT(harvest.pages[2].offset, 19 * PAGE);
    CHECK_INT(visor_vm_dirty_harvest(guest.vm, collect, &harvest), 0);

    /* The log of the other slot must not swallow this one's page. */
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, slots[1]));
    CHECK_INT(bitmap[0] | bitmap[1] | bitmap[2], 0);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, slots[0]));
    CHECK_INT(bitmap[0], 0x80);
    guest_free(&guest);
}

TEST(harvest_with_a_bitmap)
{
    harvest_all(NULL);
}

TEST(harvest_with_a_ring)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.dirty_ring_entries = 1024;
    harvest_all(&config);
}

TEST(a_failed_harvest_loses_nothing)
{
    struct harvest harvest = {0};
    visor_hypervisor *hv;
    struct guest guest;
    uint32_t slot;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null[fail=dirty.log,error=ESYSTEM]"));
    REQUIRE(guest_create_on(&guest, hv, NULL));
    harvest.vm = guest.vm;
    REQUIRE(add_logging(&slot, &guest, HOLE, PAGES * PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(visor_vm_dirty_harvest(guest.vm, collect, &harvest), VISOR_ESYSTEM);
    ((struct null_hv *)hv->priv)->fail = NULL_OP_COUNT;
    CHECK_INT(visor_vm_dirty_harvest(guest.vm, collect, &harvest), 1);
    guest_free(&guest);
}

TEST(a_mark_outside_a_logging_slot_is_ignored)
{
    uint8_t bitmap[3];
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE(add_logging(&slot, &guest, HOLE, PAGES * PAGE));
    visor__mutex_lock(&guest.vm->lock);
    visor__dirty_mark(guest.vm, slot, PAGES);
    visor__dirty_mark(guest.vm, slot, UINT64_MAX);
    visor__dirty_mark(guest.vm, 0, 0);
    visor__dirty_mark(guest.vm, 77, 0);
    visor__dirty_mark(guest.vm, slot, 1);
    visor__mutex_unlock(&guest.vm->lock);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), guest.vm, slot));
    CHECK_INT(bitmap[0], 2);
    CHECK_INT(bitmap[1] | bitmap[2], 0);
    guest_free(&guest);
}

UNIT_MAIN()
