/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving and restoring whole VMs. The same on every architecture. */
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* Another VM like the one of guest_create(), with vCPU 0. Memory is its own. */
static void twin_create(struct guest *twin, const struct guest *g, const visor_vm_config *config)
{
    *twin = (struct guest){.hv = g->hv};
    guest_create(twin, config);
    guest_add_vcpu(twin, 0);
}

static void twin_free(struct guest *twin)
{
    visor_vcpu_free(twin->vcpu);
    visor_vm_free(twin->vm);
    visor_memory_free(twin->memory);
}

static void save(struct guest *g, struct buffer *buffer)
{
    const visor_stream stream = buffer_stream(buffer);

    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    CHECK(buffer->length > 0);
}

static void restore(struct guest *g, struct buffer *buffer)
{
    const visor_stream stream = buffer_stream(buffer);

    buffer->cursor = 0;
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    CHECK_EQ(buffer->cursor, buffer->length);
}

CASE(snapshot, memory, "guest memory alone: data and holes, into memory of the same layout")
{
    const visor_memory_region region = {.gpa = guest_base, .length = GUEST_RAM};
    const visor_memory_region other_region = {.gpa = guest_base, .length = 2 * GUEST_RAM};
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_memory *other;
    uint64_t value;

    guest_create(g, NULL);
    poke(g, guest_data, 0x1122334455667788u, 8);
    poke(g, guest_base + GUEST_RAM - 1, 0x99, 1);
    CHECK_OK(visor_memory_save(g->memory, &stream));
    CHECK(buffer.length < GUEST_RAM / 2); /* most of it is holes */
    CHECK_OK(visor_memory_create(&other, &region, 1, NULL));
    value = ~0ull;
    CHECK_OK(visor_memory_write(other, guest_data + 0x10000, &value, 8));
    CHECK_OK(visor_memory_restore(other, &stream));
    CHECK_OK(visor_memory_read(&value, other, guest_data, 8));
    CHECK_EQ(value, 0x1122334455667788u);
    CHECK_OK(visor_memory_read(&value, other, guest_data + 0x10000, 8));
    CHECK_EQ(value, 0);
    visor_memory_free(other);
    CHECK_OK(visor_memory_create(&other, &other_region, 1, NULL));
    buffer.cursor = 0;
    CHECK_ERROR(visor_memory_restore(other, &stream), EMISMATCH);
    visor_memory_free(other);
    buffer_free(&buffer);
}

CASE(snapshot, same_vm, "take one, go on, go back")
{
    struct buffer buffer = {0};

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(GUEST_FINISH(g), 2);
    save(g, &buffer);
    CHECK_EQ(GUEST_FINISH(g), 3); /* the VM goes on afterwards */
    CHECK_EQ(GUEST_FINISH(g), 4);
    restore(g, &buffer);
    CHECK_EQ(peek(g, guest_data, 8), 2);
    CHECK_EQ(GUEST_FINISH(g), 3);
    restore(g, &buffer);
    CHECK_EQ(GUEST_FINISH(g), 3);
    buffer_free(&buffer);
}

CASE(snapshot, new_vm, "take one, resume in another VM, and in a third")
{
    struct buffer buffer = {0};
    struct guest twin;

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    for (unsigned i = 1; i <= 5; i++)
        CHECK_EQ(GUEST_FINISH(g), i);
    save(g, &buffer);
    for (unsigned i = 0; i < 2; i++) {
        twin_create(&twin, g, NULL);
        restore(&twin, &buffer);
        CHECK_EQ(GUEST_FINISH(&twin), 6);
        CHECK_EQ(GUEST_FINISH(&twin), 7);
        twin_free(&twin);
    }
    CHECK_EQ(GUEST_FINISH(g), 6);
    buffer_free(&buffer);
}

CASE(snapshot, answered_read, "a read that was answered is complete in the snapshot")
{
    struct buffer buffer = {0};
    struct guest twin;

    guest_start(g, guest_load[3], guest_hole, 0, 0, NULL);
    NEED(g, SNAPSHOT);
    RUN_TO_MMIO_READ(g, guest_hole, 8, 0x7766554433221100u);
    save(g, &buffer);
    twin_create(&twin, g, NULL);
    restore(&twin, &buffer);
    CHECK_EQ(GUEST_FINISH(&twin), 0x7766554433221100u);
    twin_free(&twin);
    CHECK_EQ(GUEST_FINISH(g), 0x7766554433221100u);
    buffer_free(&buffer);
}

CASE(snapshot, kicked, "a vCPU that was kicked out of the middle of its work")
{
    struct buffer buffer = {0};
    struct guest twin;
    uint64_t count;

    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    NEED(g, SNAPSHOT);
    kick_later(g->vcpu, 30);
    RUN_TO(g, KICKED);
    count = peek(g, guest_data, 8);
    CHECK(count > 0);
    save(g, &buffer);
    twin_create(&twin, g, NULL);
    restore(&twin, &buffer);
    CHECK_EQ(peek(&twin, guest_data, 8), count);
    kick_later(twin.vcpu, 30);
    run_to(HERE, twin.vcpu, VISOR_EXIT_KICKED);
    CHECK(peek(&twin, guest_data, 8) > count);
    CHECK_EQ(peek(g, guest_data, 8), count);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot, without_memory, "the caller may move the memory itself")
{
    visor_snapshot_config config = VISOR_SNAPSHOT_CONFIG_INIT;
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest twin;

    config.without_memory = true;
    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_OK(visor_vm_save(g->vm, &stream, &config));
    twin = (struct guest){.hv = g->hv, .memory = visor_memory_ref(g->memory)};
    CHECK_OK(visor_vm_create(&twin.vm, twin.hv, twin.memory, NULL));
    guest_add_vcpu(&twin, 0);
    CHECK_OK(visor_vm_restore(twin.vm, &stream, &config));
    CHECK_EQ(GUEST_FINISH(&twin), 2);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot, two_vcpus, "two vCPUs, each with its own state")
{
    struct buffer buffer = {0};
    visor_vcpu *second, *twin_second;
    struct guest twin;

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    second = guest_add_vcpu(g, 1);
    guest_restart(g, second, guest_count, guest_data + 64, 100, 0);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_EQ(guest_finish_at(HERE, second), 1);
    CHECK_EQ(guest_finish_at(HERE, second), 2);
    save(g, &buffer);
    twin_create(&twin, g, NULL);
    twin_second = guest_add_vcpu(&twin, 1);
    restore(&twin, &buffer);
    CHECK_EQ(GUEST_FINISH(&twin), 2);
    CHECK_EQ(guest_finish_at(HERE, twin_second), 3);
    visor_vcpu_free(twin_second);
    visor_vcpu_free(second);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot, vcpu_alone, "one vCPU by itself")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_OK(visor_vcpu_save(g->vcpu, &stream));
    CHECK_EQ(GUEST_FINISH(g), 2);
    guest_restart(g, g->vcpu, guest_load[3], guest_data, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 2);
    CHECK_OK(visor_vcpu_restore(g->vcpu, &stream));
    poke(g, guest_data, 41, 8);
    /* The program was overwritten; its registers are back. */
    guest_put_program(g, g->vcpu, guest_count);
    CHECK_EQ(GUEST_FINISH(g), 42);
    buffer_free(&buffer);
}

static int try_restore(struct guest *g, const uint8_t *data, size_t length)
{
    struct buffer buffer = {.data = calloc(1, length + 1), .length = length};
    const visor_stream stream = buffer_stream(&buffer);
    int result;

    CHECK(buffer.data != NULL);
    memcpy(buffer.data, data, length);
    result = visor_vm_restore(g->vm, &stream, NULL);
    buffer_free(&buffer);
    return result;
}

CASE(snapshot, damaged, "cut short, altered, or no snapshot at all: EFORMAT")
{
    struct buffer buffer = {0};
    struct guest twin;
    size_t refused = 0, tried = 0;

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(GUEST_FINISH(g), 1);
    save(g, &buffer);
    twin_create(&twin, g, NULL);
    CHECK_ERROR(try_restore(&twin, (const uint8_t *)"this is not a snapshot, is it?", 30), EFORMAT);
    CHECK_ERROR(try_restore(&twin, buffer.data, 0), EFORMAT);
    for (size_t length = 1; length < buffer.length; length += buffer.length / 23 + 1)
        CHECK_ERROR(try_restore(&twin, buffer.data, length), EFORMAT);
    CHECK_ERROR(try_restore(&twin, buffer.data, buffer.length - 1), EFORMAT);
    for (size_t at = 0; at < buffer.length; at += buffer.length / 53 + 1, tried++) {
        int result;

        buffer.data[at] ^= 0x10;
        result = try_restore(&twin, buffer.data, buffer.length);
        refused += result == VISOR_EFORMAT || result == VISOR_EMISMATCH;
        buffer.data[at] ^= 0x10;
    }
    CHECK_EQ(refused, tried);
    CHECK_OK(try_restore(&twin, buffer.data, buffer.length));
    CHECK_EQ(GUEST_FINISH(&twin), 2);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot, mismatch, "a VM of another shape refuses it")
{
    const visor_memory_region regions[2] = {{.gpa = guest_base, .length = GUEST_RAM},
                                            {.gpa = guest_hole, .length = 0x10000}};
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest twin = {.hv = g->hv};

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    save(g, &buffer);
    CHECK_OK(visor_memory_create(&twin.memory, regions, 2, NULL));
    CHECK_OK(visor_vm_create(&twin.vm, twin.hv, twin.memory, NULL));
    guest_add_vcpu(&twin, 0);
    CHECK_ERROR(visor_vm_restore(twin.vm, &stream, NULL), EMISMATCH);
    twin_free(&twin);
    guest_create(&twin, NULL); /* and one without any vCPU */
    twin.vcpu = NULL;
    buffer.cursor = 0;
    CHECK_ERROR(visor_vm_restore(twin.vm, &stream, NULL), EMISMATCH);
    twin_free(&twin);
    buffer_free(&buffer);
}

CASE(snapshot, file, "through a file, between two others' data")
{
    visor_file file = file_create(0);
    char marks[2] = {0};
    visor_stream stream;

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_OK(visor_stream_file(&stream, file));
    CHECK_OK(stream.write(stream.context, "A", 1));
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    CHECK_OK(stream.write(stream.context, "Z", 1));
    CHECK_EQ(GUEST_FINISH(g), 2);
    file_rewind(file);
    CHECK_OK(stream.read(stream.context, &marks[0], 1));
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    CHECK_OK(stream.read(stream.context, &marks[1], 1));
    CHECK_EQ(marks[0], 'A');
    CHECK_EQ(marks[1], 'Z');
    CHECK_EQ(GUEST_FINISH(g), 2);
    file_close(file);
}

static int failing_write(void *context, const void *data, size_t length)
{
    size_t *left = context;

    (void)data;
    if (length > *left)
        return VISOR_ESYSTEM;
    *left -= length;
    return 0;
}

CASE(snapshot, stream_fails, "an error of the stream is the error of the operation")
{
    size_t left = 100;
    visor_stream stream = {.context = &left, .write = failing_write};

    guest_start(g, guest_count, guest_data, 100, 0, NULL);
    NEED(g, SNAPSHOT);
    CHECK_EQ(visor_vm_save(g->vm, &stream, NULL), VISOR_ESYSTEM);
    CHECK_EQ(GUEST_FINISH(g), 1);
}
