/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory slots: ids, checks with distinct errors, ownership, host memory operations. */
#include <pthread.h>

#include "guest.h"
#include "host.h"

#define NO_SLOT UINT32_MAX

/* Adds a mapping of that length; frees it again if that fails. */
static int add(uint32_t *out, struct guest *guest, uint64_t gpa, uint64_t length)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    int ret = visor_mapping_create(&mapping, length);

    if (ret < 0)
        return ret;
    config.gpa = gpa;
    ret = visor_vm_add_slot(out, guest->vm, mapping, &config);
    if (ret < 0)
        visor_mapping_free(mapping);
    return ret;
}

static int drop(struct guest *guest, uint32_t slot)
{
    visor_mapping *mapping = NULL;
    int ret = visor_vm_remove_slot(&mapping, guest->vm, slot);

    visor_mapping_free(mapping);
    return ret;
}

TEST(the_smallest_free_id_comes_first)
{
    struct guest guest;
    uint32_t ids[4];

    REQUIRE(guest_create(&guest, NULL));
    for (uint32_t i = 0; i < 4; i++) {
        REQUIRE_OK(add(&ids[i], &guest, HOLE + i * PAGE, PAGE));
        CHECK_INT(ids[i], i + 1); /* 0 is guest memory */
    }
    CHECK_OK(drop(&guest, 3));
    CHECK_OK(drop(&guest, 2));
    CHECK_OK(drop(&guest, 4));
    for (uint32_t i = 0; i < 3; i++) {
        REQUIRE_OK(add(&ids[i], &guest, HOLE + (i + 1) * PAGE, PAGE));
        CHECK_INT(ids[i], i + 2);
    }
    guest_free(&guest);
}

TEST(each_kind_of_bad_range_has_its_error)
{
    struct guest guest;
    uint32_t slot = NO_SLOT;
    uint64_t end = UINT64_C(1) << 40; /* what null's guests can address */

    REQUIRE(guest_create(&guest, NULL));
    CHECK_INT(add(&slot, &guest, 0, PAGE), VISOR_EOVERLAP);
    CHECK_INT(add(&slot, &guest, RAM_SIZE - PAGE, 2 * PAGE), VISOR_EOVERLAP);
    CHECK_INT(add(&slot, &guest, end - PAGE, 2 * PAGE), VISOR_EOVERFLOW);
    CHECK_INT(add(&slot, &guest, end, PAGE), VISOR_EOVERFLOW);
    CHECK_INT(add(&slot, &guest, UINT64_MAX - PAGE + 1, 2 * PAGE), VISOR_EOVERFLOW);
    CHECK_INT(add(&slot, &guest, HOLE + 1, PAGE), VISOR_EALIGN);
    CHECK_INT(slot, NO_SLOT);

    REQUIRE_OK(add(&slot, &guest, end - PAGE, PAGE)); /* up to the very end */
    REQUIRE_OK(add(&slot, &guest, HOLE + PAGE, PAGE));
    CHECK_INT(add(&slot, &guest, HOLE, 2 * PAGE), VISOR_EEXIST);
    CHECK_INT(add(&slot, &guest, HOLE + PAGE, PAGE), VISOR_EEXIST);
    CHECK_INT(add(&slot, &guest, HOLE, 3 * PAGE), VISOR_EEXIST);
    CHECK_OK(add(&slot, &guest, HOLE, PAGE));
    CHECK_OK(add(&slot, &guest, HOLE + 2 * PAGE, PAGE));
    guest_free(&guest);
}

TEST(the_tail_of_the_last_page_counts)
{
    struct guest guest;
    visor_mapping *mapping;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(add(&slot, &guest, HOLE, PAGE + 1));
    CHECK_INT(add(&slot, &guest, HOLE + PAGE, PAGE), VISOR_EEXIST);
    REQUIRE(GUEST_LOAD(&guest, NULL_LOAD(HOLE + 2 * PAGE - 1, 1), NULL_LOAD(HOLE + 2 * PAGE, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK_INT(visor_vcpu_exit(guest.vcpu)->io.address, HOLE + 2 * PAGE);
    REQUIRE_OK(visor_vm_remove_slot(&mapping, guest.vm, slot));
    CHECK_INT(visor_mapping_length(mapping), PAGE + 1);
    visor_mapping_free(mapping);
    guest_free(&guest);
}

TEST(the_number_of_slots_is_limited)
{
    struct guest guest;
    uint32_t slot = NO_SLOT;

    REQUIRE(guest_create(&guest, NULL));
    for (uint32_t i = 1; i < visor_vm_cap(guest.vm, VISOR_CAP_MAX_SLOTS); i++)
        REQUIRE_OK(add(&slot, &guest, HOLE + i * PAGE, PAGE));
    CHECK_INT(add(&slot, &guest, HOLE, PAGE), VISOR_ELIMIT);
    CHECK_OK(drop(&guest, 5));
    CHECK_OK(add(&slot, &guest, HOLE, PAGE));
    CHECK_INT(slot, 5);
    guest_free(&guest);
}

TEST(the_very_mapping_comes_back)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping, *back = NULL;
    struct guest guest;
    uint32_t slot;
    void *host;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    host = visor_mapping_host(mapping);
    *(char *)host = 'x';
    config.gpa = HOLE;
    REQUIRE_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));

    /* The VM owns it now. */
    visor_mapping_free(mapping);
    CHECK_INT(*(char *)host, 'x');
    config.gpa = HOLE + PAGE;
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_EBUSY);

    REQUIRE_OK(visor_vm_remove_slot(&back, guest.vm, slot));
    CHECK(back == mapping);
    CHECK(visor_mapping_host(back) == host);
    CHECK_INT(visor_vm_remove_slot(&back, guest.vm, slot), VISOR_ENOENT);
    CHECK_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));
    guest_free(&guest); /* frees it */
}

TEST(a_mapping_stays_the_callers_if_adding_fails)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    visor_hypervisor *hv;
    struct guest guest;
    uint32_t slot;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null[fail=vm.map,after=1,error=ENOMEM]"));
    REQUIRE(guest_create_on(&guest, hv, NULL));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    config.gpa = HOLE;
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_ENOMEM);
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_ENOMEM); /* not EBUSY */
    visor_mapping_free(mapping);
    guest_free(&guest);
}

TEST(guest_memory_is_no_slot_to_be_removed)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    CHECK_INT(drop(&guest, 0), VISOR_ENOENT);
    CHECK_INT(visor_vm_slot_sync(guest.vm, 0, 0, 0), VISOR_ENOENT);
    CHECK_INT(drop(&guest, 1), VISOR_ENOENT);
    CHECK_INT(drop(&guest, NO_SLOT), VISOR_ENOENT);
    guest_free(&guest);
}

/* A guest's write there would fail the run. */
TEST(a_file_for_reading_goes_into_read_only_slots_only)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping = NULL;
    struct guest guest;
    const visor_file file = make_file();
    uint32_t slot;

    REQUIRE(file != VISOR_FILE_NONE && guest_create(&guest, NULL));
    REQUIRE(file_resize(file, PAGE));
    REQUIRE_OK(visor_mapping_create_file(&mapping, file, 0, PAGE, false));
    config.gpa = HOLE;
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_EACCESS);
    config.read_only = true;
    CHECK_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));
    guest_free(&guest);
    close_file(file);
}

TEST(a_removed_slot_is_mmio)
{
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(add(&slot, &guest, HOLE, PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_STORE(HOLE, 1, 1), NULL_OUT(1, 1, 1), NULL_LOAD(HOLE, 1)));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_OK(drop(&guest, slot));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    guest_free(&guest);
}

TEST(a_write_to_a_read_only_slot_is_mmio)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_vm_config vm_config = VISOR_VM_CONFIG_INIT;
    visor_mapping *mapping;
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    *(uint8_t *)visor_mapping_host(mapping) = 0x66;
    config.gpa = HOLE;
    config.read_only = true;
    REQUIRE_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));
    REQUIRE(GUEST_LOAD(&guest, NULL_LOAD(HOLE, 1), NULL_STORE(HOLE, 1, 0x67), NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_MMIO);
    CHECK(visor_vcpu_exit(guest.vcpu)->io.is_write);
    CHECK_INT(guest_rax(&guest), 0x66);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(*(uint8_t *)visor_mapping_host(mapping), 0x66);
    guest_free(&guest);

    vm_config.no_read_only = true;
    REQUIRE(guest_create(&guest, &vm_config));
    REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
    CHECK_INT(visor_vm_add_slot(&slot, guest.vm, mapping, &config), VISOR_EUNSUPPORTED);
    visor_mapping_free(mapping);
    guest_free(&guest);
}

TEST(ranges_of_a_slot_are_checked)
{
    static int (*const operations[])(visor_vm *, uint32_t, uint64_t, uint64_t) = {
        visor_vm_slot_sync,
        visor_vm_slot_page_out,
        visor_vm_slot_discard,
    };
    struct guest guest;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(add(&slot, &guest, HOLE, 2 * PAGE));
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        CHECK_OK(operations[i](guest.vm, slot, 0, 2 * PAGE));
        CHECK_OK(operations[i](guest.vm, slot, 2 * PAGE, 0));
        CHECK_INT(operations[i](guest.vm, slot, 2 * PAGE + 1, 0), VISOR_ERANGE);
        CHECK_INT(operations[i](guest.vm, slot, 3 * PAGE, 0), VISOR_ERANGE);
        CHECK_INT(operations[i](guest.vm, slot, PAGE, PAGE + 1), VISOR_ERANGE);
        CHECK_INT(operations[i](guest.vm, slot, PAGE, UINT64_MAX), VISOR_ERANGE);
        CHECK_INT(operations[i](guest.vm, slot, 1, 1), VISOR_EALIGN);
        CHECK_INT(operations[i](guest.vm, slot + 1, 0, 0), VISOR_ENOENT);
    }
    guest_free(&guest);
}

TEST(discarded_memory_reads_as_zeros)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    struct guest guest;
    uint32_t slot;
    uint8_t *host;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_mapping_create(&mapping, 2 * PAGE));
    host = visor_mapping_host(mapping);
    host[0] = host[PAGE] = 7;
    config.gpa = HOLE;
    REQUIRE_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));
    CHECK_OK(visor_vm_slot_discard(guest.vm, slot, PAGE, PAGE));
    CHECK_INT(host[0], 7);
    CHECK_INT(host[PAGE], 0);
    guest_free(&guest);
}

TEST(parts_of_an_arena_change_under_the_guest)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    const visor_file file = make_file();
    visor_mapping *mapping;
    struct guest guest;
    uint32_t slot, plain;
    char byte = 0;

    if (!HOST_ARENAS)
        SKIP("there are no arenas on this system");
    REQUIRE(file != VISOR_FILE_NONE && file_resize(file, PAGE) && file_write(file, 0, "A", 1));
    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_mapping_create_arena(&mapping, 4 * PAGE));
    config.gpa = HOLE;
    REQUIRE_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &config));
    REQUIRE_OK(add(&plain, &guest, HOLE + 4 * PAGE, PAGE));
    REQUIRE(GUEST_LOAD(&guest, NULL_LOAD(HOLE + PAGE, 1), NULL_HALT, NULL_LOAD(HOLE + PAGE, 1),
                       NULL_STORE(HOLE + PAGE, 1, 'B'), NULL_HALT, NULL_LOAD(HOLE + PAGE, 1),
                       NULL_HALT));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(guest_rax(&guest), 0);

    CHECK_OK(visor_vm_slot_map_file(guest.vm, slot, PAGE, PAGE, file, 0, true));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(guest_rax(&guest), 'A');
    CHECK_OK(visor_vm_slot_sync(guest.vm, slot, PAGE, PAGE));
    CHECK(file_read(file, 0, &byte, 1) && byte == 'B');

    CHECK_OK(visor_vm_slot_unmap(guest.vm, slot, PAGE, PAGE));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    CHECK_INT(guest_rax(&guest), 0);

    CHECK_INT(visor_vm_slot_map_file(guest.vm, slot, 4 * PAGE, PAGE, file, 0, true), VISOR_ERANGE);
    CHECK_INT(visor_vm_slot_map_file(guest.vm, slot, 1, 1, file, 0, true), VISOR_EALIGN);
    CHECK_INT(visor_vm_slot_map_file(guest.vm, plain, 0, PAGE, file, 0, true), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_slot_unmap(guest.vm, plain, 0, PAGE), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_slot_unmap(guest.vm, NO_SLOT, 0, PAGE), VISOR_ENOENT);
    close_file(file);
    guest_free(&guest);
}

/* ---- threads ---- */

struct user {
    struct guest *guest;
    atomic_bool stop;
    atomic_uint failures;
};

static void *sync_often(void *context)
{
    struct user *user = context;

    while (!atomic_load(&user->stop)) {
        int ret = visor_vm_slot_sync(user->guest->vm, 1, 0, PAGE);

        if (ret != 0 && ret != VISOR_ENOENT)
            atomic_fetch_add(&user->failures, 1);
    }
    return NULL;
}

static void *drop_first(void *context)
{
    struct user *user = context;

    CHECK_OK(drop(user->guest, 1));
    atomic_store(&user->stop, true);
    return NULL;
}

TEST(removing_waits_until_nobody_uses_the_memory)
{
    struct guest guest;
    struct user user = {.guest = &guest};
    struct visor__slot *used;
    pthread_t remover;
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(add(&slot, &guest, HOLE, PAGE));
    used = guest.vm->slots->table[slot];
    used->pins++; /* what writing back does while it takes its time */
    REQUIRE(pthread_create(&remover, NULL, drop_first, &user) == 0);
    for (int i = 0; i < 100; i++)
        visor__os_pause(16);
    CHECK(!atomic_load(&user.stop));
    visor__mutex_lock(&guest.vm->lock);
    used->pins--;
    visor__mutex_unlock(&guest.vm->lock);
    pthread_join(remover, NULL);
    guest_free(&guest);
}

TEST(slots_come_and_go_while_they_are_used)
{
    struct guest guest;
    struct user user = {.guest = &guest};
    pthread_t threads[2];
    uint32_t slot;

    REQUIRE(guest_create(&guest, NULL));
    for (size_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, sync_often, &user) == 0);
    for (int i = 0; i < 300; i++) {
        if (!CHECK_OK(add(&slot, &guest, HOLE, PAGE)) || !CHECK_INT(slot, 1) ||
            !CHECK_OK(drop(&guest, slot)))
            break;
    }
    atomic_store(&user.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&user.failures), 0);
    guest_free(&guest);
}

UNIT_MAIN()
