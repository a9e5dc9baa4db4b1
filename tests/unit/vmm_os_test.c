/* SPDX-License-Identifier: BSD-3-Clause */
/* What the VMM needs of the host's system. */
#include "os/os.h"

#include <stdlib.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

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
    CHECK(fwrite("visor", 1, 5, file) == 5 && fflush(file) == 0);
    /* Also while another program has it open to write. */
    CHECK_INT(vmm_file_map(&data, &size, path, "kernel", &error), 0);
    CHECK_INT(size, 5);
    CHECK(size == 5 && memcmp(data, "visor", 5) == 0);
    vmm_unmap(data, size);
    CHECK(fclose(file) == 0);
    CHECK(remove(path) == 0);
    CHECK_INT(vmm_file_map(&data, &size, path, "kernel", &error), VISOR_ENOENT);
    CHECK(strstr(error.text, "kernel 'vmm_os_test.tmp'") != NULL);
    CHECK_INT(vmm_file_map(&data, &size, ".", "kernel", &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "directory") != NULL);
}

static bool make_pipe(visor_file *in, visor_file *out)
{
#ifdef _WIN32
    HANDLE ends[2];

    if (!CHECK(CreatePipe(&ends[0], &ends[1], NULL, 0)))
        return false;
#else
    int ends[2];

    if (!CHECK(pipe(ends) == 0))
        return false;
#endif
    *in = (visor_file)ends[0];
    *out = (visor_file)ends[1];
    return true;
}

/* Waits for what comes first: how much. */
static ptrdiff_t read_input(vmm_input *input, uint8_t *byte)
{
    visor_event event = vmm_input_event(input);
    ptrdiff_t got;
    bool ready;

    do {
        vmm_event_wait_any(&ready, &event, 1, NULL);
        got = vmm_input_read(input, byte, 1);
    } while (got < 0);
    return got;
}

TEST(a_pipe_ends_when_its_writer_does_and_not_before)
{
    visor_file in, out;
    vmm_input *input;
    uint8_t byte = 0;

    REQUIRE(make_pipe(&in, &out));
    REQUIRE(vmm_input_create(&input, in, NULL) == 0);
    CHECK_INT(vmm_write(out, (const uint8_t *)"", 0), 0); /* which a reader on Windows sees */
    CHECK_INT(vmm_write(out, (const uint8_t *)"x", 1), 1);
    CHECK_INT(read_input(input, &byte), 1);
    CHECK_INT(byte, 'x');
    vmm_file_close(out);
    CHECK_INT(read_input(input, &byte), 0);
    vmm_input_free(input);
    vmm_file_close(in);
}

UNIT_MAIN()
