/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

/* ---- checks ---- */

void check_eq(struct where where, uint64_t actual, uint64_t expected, const char *text)
{
    if (actual != expected)
        fail_at(where, "%s is 0x%" PRIx64 ", should be 0x%" PRIx64, text, actual, expected);
}

void check_bytes(struct where where, const void *actual, const void *expected, size_t length,
                 const char *text)
{
    const uint8_t *a = actual, *b = expected;

    for (size_t i = 0; i < length; i++) {
        if (a[i] != b[i])
            fail_at(where, "%s: byte %zu of %zu is 0x%02x, should be 0x%02x", text, i, length, a[i],
                    b[i]);
    }
}

int check_ok(struct where where, int result, const char *text)
{
    char line[1024];

    if (result < 0) {
        visor_error_format(line, sizeof(line));
        fail_at(where, "%s: %s: %s", text, visor_error_name(result), line);
    }
    return result;
}

void check_error(struct where where, int result, int expected, const char *text)
{
    const visor_error *last = visor_error_last();
    char line[1024];

    if (result >= 0)
        fail_at(where, "%s: succeeded (%d), should be %s", text, result,
                visor_error_name(expected));
    if (result != expected) {
        visor_error_format(line, sizeof(line));
        fail_at(where, "%s: %s (%s), should be %s", text, visor_error_name(result), line,
                visor_error_name(expected));
    }
    if (last->code != expected || last->operation[0] == '\0')
        fail_at(where, "%s: no details of the error", text);
}

void check_refused(struct where where, int result, const char *text)
{
    check_error(where, result, VISOR_EUNSUPPORTED, text);
    if (visor_error_last()->operation[0] == '\0' || visor_error_last()->detail[0] == '\0')
        fail_at(where, "%s: no operation, or no reason", text);
    note("%s: %s", visor_error_last()->operation, visor_error_last()->detail);
}

int64_t need_cap(struct guest *g, visor_cap cap)
{
    int64_t value = g->vm ? visor_vm_cap(g->vm, cap) : visor_hypervisor_cap(g->hv, cap);

    if (value <= 0)
        skip_case("no capability %s: %s", visor_cap_name(cap), visor_cap_text(cap));
    return value;
}

/* ---- exits ---- */

const char *exit_text(const visor_exit *exit)
{
    static char text[512];
    const char *name = visor_exit_name((int)exit->reason);

    switch (exit->reason) {
    case VISOR_EXIT_IO:
    case VISOR_EXIT_MMIO:
        snprintf(text, sizeof(text),
                 "exit %s (%s of %u bytes at 0x%" PRIx64 ", data 0x%" PRIx64 ")", name,
                 exit->io.is_write ? "write" : "read", exit->io.length, exit->io.address,
                 visor_io_value(&exit->io));
        break;
    case VISOR_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text),
                 "exit %s (suberror %u, %s; instruction %02x %02x %02x %02x %02x %02x)", name,
                 exit->internal.suberror, exit->internal.text, exit->internal.instruction[0],
                 exit->internal.instruction[1], exit->internal.instruction[2],
                 exit->internal.instruction[3], exit->internal.instruction[4],
                 exit->internal.instruction[5]);
        break;
    case VISOR_EXIT_MSR:
        snprintf(text, sizeof(text), "exit %s (%s of 0x%x)", name,
                 exit->msr.is_write ? "write" : "read", exit->msr.index);
        break;
    case VISOR_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof(text), "exit %s (reason 0x%" PRIx64 ")", name,
                 exit->fail_entry.reason);
        break;
    case VISOR_EXIT_DEBUG:
        snprintf(text, sizeof(text), "exit %s (pc 0x%" PRIx64 ", dr6 0x%" PRIx64 ")", name,
                 exit->debug.pc, exit->debug.dr6);
        break;
    default: snprintf(text, sizeof(text), "exit %s (raw %u)", name, exit->raw); break;
    }
    return text;
}

int run_vcpu(struct where where, visor_vcpu *vcpu)
{
    int reason;

    do
        reason = check_ok(where, visor_vcpu_run(vcpu), "visor_vcpu_run()");
    while (reason == VISOR_EXIT_INTR);
    if (visor_vcpu_exit(vcpu)->reason != (visor_exit_reason)reason)
        fail_at(where, "run returned %d but the exit says %s", reason,
                exit_text(visor_vcpu_exit(vcpu)));
    return reason;
}

visor_exit *run_to(struct where where, visor_vcpu *vcpu, visor_exit_reason reason)
{
    if (run_vcpu(where, vcpu) != (int)reason)
        fail_at(where, "%s, should be %s", exit_text(visor_vcpu_exit(vcpu)),
                visor_exit_name((int)reason));
    return visor_vcpu_exit(vcpu);
}

static visor_io *run_to_access(struct where where, visor_vcpu *vcpu, visor_space space,
                               uint64_t address, uint32_t length, bool is_write)
{
    visor_io *io = &run_to(where, vcpu, space == VISOR_PIO ? VISOR_EXIT_IO : VISOR_EXIT_MMIO)->io;

    if (io->space != space || io->address != address || io->length != length ||
        io->is_write != is_write)
        fail_at(where, "%s, should be a %s of %u bytes at 0x%" PRIx64,
                exit_text(visor_vcpu_exit(vcpu)), is_write ? "write" : "read", length, address);
    return io;
}

void run_to_write(struct where where, visor_vcpu *vcpu, visor_space space, uint64_t address,
                  uint32_t length, uint64_t value)
{
    const visor_io *io = run_to_access(where, vcpu, space, address, length, true);

    if (visor_io_value(io) != value)
        fail_at(where, "%s, should write 0x%" PRIx64, exit_text(visor_vcpu_exit(vcpu)), value);
}

void run_to_read(struct where where, visor_vcpu *vcpu, visor_space space, uint64_t address,
                 uint32_t length, uint64_t answer)
{
    static const uint8_t zeros[8];
    visor_io *io = run_to_access(where, vcpu, space, address, length, false);

    check_bytes(where, io->data, zeros, sizeof(zeros), "data of a read before it is answered");
    visor_io_set_value(io, answer);
}

/* ---- small things ---- */

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

/* Something that a thread does after a while. */
struct later {
    visor_vcpu *vcpu;  /* kick it, or if NULL */
    visor_event event; /* signal this */
    unsigned ms;
};

static void *later_main(void *argument)
{
    const struct later *later = argument;

    sleep_ms(later->ms);
    if (later->vcpu != NULL)
        visor_vcpu_kick(later->vcpu);
    else
        event_signal(later->event);
    return NULL;
}

static void do_later(struct later later)
{
    static struct later laters[REPORT_THREADS];
    static unsigned count;
    pthread_t thread;

    CHECK(count < REPORT_THREADS);
    laters[count] = later;
    if (pthread_create(&thread, NULL, later_main, &laters[count++]) != 0)
        FAIL("cannot make a thread");
    report_join_later(thread);
}

void kick_later(visor_vcpu *vcpu, unsigned ms)
{
    do_later((struct later){.vcpu = vcpu, .ms = ms});
}

void event_signal_later(visor_event event, unsigned ms)
{
    do_later((struct later){.event = event, .ms = ms});
}

uint64_t peek(struct guest *g, uint64_t gpa, uint32_t length)
{
    visor_io io = {.length = length};

    CHECK_OK(visor_memory_read(io.data, g->memory, gpa, length));
    return visor_io_value(&io);
}

void poke(struct guest *g, uint64_t gpa, uint64_t value, uint32_t length)
{
    visor_io io = {.length = length};

    visor_io_set_value(&io, value);
    put(g, gpa, io.data, length);
}

void put(struct guest *g, uint64_t gpa, const void *data, size_t length)
{
    CHECK_OK(visor_memory_write(g->memory, gpa, data, length));
}

uint32_t add_slot(struct guest *g, uint64_t gpa, uint64_t length, visor_mapping **out,
                  bool read_only, bool log_dirty)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    uint32_t slot;

    config.gpa = gpa;
    config.read_only = read_only;
    config.log_dirty = log_dirty;
    CHECK_OK(visor_mapping_create(&mapping, length));
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    if (out != NULL)
        *out = mapping;
    return slot;
}

void drop_slot(struct guest *g, uint32_t slot)
{
    visor_mapping *mapping;

    CHECK_OK(visor_vm_remove_slot(&mapping, g->vm, slot));
    visor_mapping_free(mapping);
}

static int buffer_write(void *context, const void *data, size_t length)
{
    struct buffer *buffer = context;
    uint8_t *larger = realloc(buffer->data, buffer->length + length + 1);

    if (larger == NULL)
        return VISOR_ENOMEM;
    memcpy(larger + buffer->length, data, length);
    buffer->data = larger;
    buffer->length += length;
    return 0;
}

static int buffer_read(void *context, void *data, size_t length)
{
    struct buffer *buffer = context;

    if (length > buffer->length - buffer->cursor)
        return VISOR_EFORMAT;
    memcpy(data, buffer->data + buffer->cursor, length);
    buffer->cursor += length;
    return 0;
}

visor_stream buffer_stream(struct buffer *buffer)
{
    return (visor_stream){.context = buffer, .write = buffer_write, .read = buffer_read};
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
