/* SPDX-License-Identifier: BSD-3-Clause */
/* What the VMM needs of the host's system. */
#include "os/os.h"

#include <stdlib.h>

#include "unit.h"

static void *signal_twice(void *argument)
{
    const visor_event *events = argument;

    vmm_event_signal(events[0]);
    vmm_event_signal(events[0]);
    vmm_event_wait(events[1]);
    return NULL;
}

TEST(events_wake_another_thread)
{
    visor_event events[2];
    vmm_error error;
    pthread_t thread;

    REQUIRE(vmm_event_create(&events[0], &error) == 0);
    REQUIRE(vmm_event_create(&events[1], &error) == 0);
    REQUIRE(vmm_thread_start(&thread, signal_twice, events, &error) == 0);
    vmm_event_wait(events[0]);
    vmm_event_signal(events[1]);
    pthread_join(thread, NULL);
    vmm_event_free(events[0]);
    vmm_event_free(events[1]);
    vmm_event_free(VISOR_EVENT_NONE);
}

TEST(random_bytes_differ)
{
    uint8_t first[64] = {0}, second[64] = {0}, zeros[64] = {0};

    CHECK(vmm_random(first, sizeof(first)));
    CHECK(vmm_random(second, sizeof(second)));
    CHECK(memcmp(first, second, sizeof(first)) != 0);
    CHECK(memcmp(first, zeros, sizeof(first)) != 0);
}

TEST(reserved_memory_is_zeros_and_can_be_trimmed)
{
    const size_t capacity = (size_t)64 << 20;
    uint8_t *memory = vmm_reserve(capacity);

    REQUIRE(memory != NULL);
    CHECK(memory[0] == 0 && memory[capacity - 1] == 0);
    memory[0] = 1;
    memory[9999] = 2;
    vmm_reserve_trim(memory, capacity, 10000);
    CHECK(memory[0] == 1 && memory[9999] == 2);
    vmm_unmap(memory, 10000);
    memory = vmm_reserve(capacity);
    REQUIRE(memory != NULL);
    vmm_reserve_trim(memory, capacity, 0);
}

TEST(files_are_mapped)
{
    static const char path[] = "vmm_os_test.tmp";
    FILE *file = fopen(path, "wb");
    const void *data = NULL;
    vmm_error error;
    size_t size = 0;

    REQUIRE(file != NULL && fclose(file) == 0);
    CHECK_INT(vmm_file_map(&data, &size, path, "kernel", &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "is empty") != NULL);
    file = fopen(path, "wb");
    REQUIRE(file != NULL);
    CHECK(fwrite("visor", 1, 5, file) == 5 && fclose(file) == 0);
    CHECK_INT(vmm_file_map(&data, &size, path, "kernel", &error), 0);
    CHECK_INT(size, 5);
    CHECK(memcmp(data, "visor", 5) == 0);
    vmm_unmap(data, size);
    CHECK(remove(path) == 0);
    CHECK_INT(vmm_file_map(&data, &size, path, "kernel", &error), VISOR_ENOENT);
    CHECK(strstr(error.text, "kernel 'vmm_os_test.tmp'") != NULL);
    CHECK_INT(vmm_file_map(&data, &size, ".", "kernel", &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "directory") != NULL);
}

UNIT_MAIN()
