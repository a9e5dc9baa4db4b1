/* SPDX-License-Identifier: BSD-3-Clause */
/* The UART as its drivers see it, and what leads from it to the descriptors of the host. */
#include "unit.h"

#include <errno.h>

#include "devices/loop.h"
#include "devices/output.h"
#include "devices/serial.h"
#include "fake_host.h"
#include "host.h"
#include "os/os.h"

#define COM1 0x3f8
enum { DATA = COM1, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct line {
    fake_host fake;
    serial *uart;
    pthread_mutex_t lock;
    uint8_t out[4096];
    size_t out_length, room; /* bytes that the sink still takes */
    unsigned read_ready;
};

static size_t sink(void *context, const uint8_t *data, size_t length)
{
    struct line *line = context;

    pthread_mutex_lock(&line->lock);
    if (length > line->room)
        length = line->room;
    memcpy(line->out + line->out_length, data, length);
    line->out_length += length;
    line->room -= length;
    pthread_mutex_unlock(&line->lock);
    return length;
}

static void read_ready(void *context)
{
    struct line *line = context;

    line->read_ready++;
}

static bool setup(struct line *line)
{
    serial_config config = SERIAL_CONFIG_PC;

    memset(line, 0, sizeof(*line));
    fake_init(&line->fake, NULL);
    pthread_mutex_init(&line->lock, NULL);
    line->room = sizeof(line->out);
    config.write = sink;
    config.read_ready = read_ready;
    config.context = line;
    return CHECK_OK(serial_create(&line->uart, &line->fake.host, &config, NULL));
}

TEST(serial_passes_bytes_without_set_up)
{
    struct line line;

    REQUIRE(setup(&line));
    for (unsigned i = 0; i < 100; i++)
        out8(&line.fake, DATA, 'a' + i % 26);
    CHECK_INT(line.out_length, 100);
    CHECK_INT(line.out[27], 'b');
    CHECK_INT(in8(&line.fake, LSR), 0x60);
    CHECK_INT(line.fake.raised[4], 0);
    serial_free(line.uart);
}

TEST(debug_console_takes_bytes_and_is_known_by_what_it_reads_as)
{
    serial_config config = {.space = VISOR_PIO, .address = 0xe9, .debug_console = true};
    struct line line;

    REQUIRE(setup(&line));
    serial_free(line.uart);
    config.write = sink;
    config.context = &line;
    REQUIRE_OK(serial_create(&line.uart, &line.fake.host, &config, NULL));
    CHECK_INT(line.fake.ranges[line.fake.range_count - 1].length, 1);
    CHECK_INT(in8(&line.fake, 0xe9), 0xe9);
    out8(&line.fake, 0xe9, 'x');
    out8(&line.fake, 0xe9, 'y');
    CHECK_INT(line.out_length, 2);
    CHECK(memcmp(line.out, "xy", 2) == 0);
    serial_free(line.uart);
}

/* What Linux's 8250 driver does to find out what it has (autoconfig). */
TEST(serial_looks_like_a_16550a)
{
    struct line line;

    REQUIRE(setup(&line));
    out8(&line.fake, IER, 0);
    CHECK_INT(in8(&line.fake, IER), 0);
    out8(&line.fake, IER, 0x0f);
    CHECK_INT(in8(&line.fake, IER), 0x0f);
    out8(&line.fake, IER, 0);
    out8(&line.fake, MCR, 0x10 | 0x0a); /* loop: OUT2 shows as DCD, RTS as CTS */
    CHECK_INT(in8(&line.fake, MSR) & 0xf0, 0x90);
    out8(&line.fake, MCR, 0);
    CHECK_INT(in8(&line.fake, MSR) & 0xf0, 0xb0);
    CHECK_INT(in8(&line.fake, MSR) & 0x0f, 0);
    out8(&line.fake, IIR, 0x01);
    CHECK_INT(in8(&line.fake, IIR), 0xc1);
    out8(&line.fake, IIR, 0x00);
    CHECK_INT(in8(&line.fake, IIR), 0x01);
    out8(&line.fake, LCR, 0x83);
    out8(&line.fake, DATA, 0x01);
    out8(&line.fake, IER, 0x00);
    CHECK_INT(in8(&line.fake, DATA), 1);
    out8(&line.fake, LCR, 0x03);
    out8(&line.fake, SCR, 0xa5);
    CHECK_INT(in8(&line.fake, SCR), 0xa5);
    CHECK_INT(line.out_length, 0);
    serial_free(line.uart);
}

/* size_fifo: in loop mode, more bytes than fit come back as many as fit, with an overrun. */
TEST(serial_loops_back_as_much_as_its_fifo_holds)
{
    struct line line;
    unsigned count = 0;

    REQUIRE(setup(&line));
    out8(&line.fake, IIR, 0x07);
    out8(&line.fake, MCR, 0x10);
    for (unsigned i = 0; i < 256; i++)
        out8(&line.fake, DATA, i);
    CHECK_INT(in8(&line.fake, LSR), 0x63);
    CHECK_INT(in8(&line.fake, LSR), 0x61); /* the overrun was told */
    while (in8(&line.fake, LSR) & 1) {
        CHECK_INT(in8(&line.fake, DATA), count);
        count++;
    }
    CHECK_INT(count, 16);
    CHECK_INT(line.out_length, 0);
    serial_free(line.uart);
}

TEST(serial_interrupts_when_it_can_send)
{
    struct line line;

    REQUIRE(setup(&line));
    out8(&line.fake, IIR, 0x01);
    out8(&line.fake, IER, 0x02);
    CHECK(line.fake.line[4]);
    CHECK_INT(in8(&line.fake, IIR), 0xc2);
    CHECK(!line.fake.line[4]); /* reading IIR ends it */
    CHECK_INT(in8(&line.fake, IIR), 0xc1);
    line.room = 0;
    out8(&line.fake, DATA, 'x');
    CHECK(!line.fake.line[4]);
    CHECK_INT(in8(&line.fake, LSR) & 0x60, 0);
    line.room = 1;
    serial_write_ready(line.uart);
    CHECK(line.fake.line[4]);
    CHECK_INT(in8(&line.fake, LSR) & 0x60, 0x60);
    CHECK_INT(line.out_length, 1);
    serial_free(line.uart);
}

TEST(serial_takes_input_when_the_guest_is_ready_and_not_more_than_fits)
{
    static const uint8_t text[] = "0123456789abcdefghij";
    struct line line;

    REQUIRE(setup(&line));
    CHECK_INT(serial_room(line.uart), 0);
    CHECK_INT(serial_input(line.uart, text, 5), 0);
    out8(&line.fake, IIR, 0xc7); /* FIFO, trigger at 14 */
    CHECK_INT(line.read_ready, 0);
    out8(&line.fake, IER, 0x01);
    CHECK_INT(line.read_ready, 1);
    CHECK_INT(serial_room(line.uart), 16);
    CHECK_INT(serial_input(line.uart, text, 3), 3);
    CHECK(line.fake.line[4]);
    CHECK_INT(in8(&line.fake, IIR), 0xcc); /* fewer than 14: time-out */
    CHECK_INT(serial_input(line.uart, text + 3, 17), 13);
    CHECK_INT(in8(&line.fake, IIR), 0xc4);
    CHECK_INT(serial_room(line.uart), 0);
    for (unsigned i = 0; i < 16; i++) {
        CHECK_INT(in8(&line.fake, LSR), 0x61);
        CHECK_INT(in8(&line.fake, DATA), text[i]);
    }
    CHECK(!line.fake.line[4]);
    CHECK_INT(in8(&line.fake, LSR), 0x60);
    CHECK_INT(line.read_ready, 2);
    serial_free(line.uart);
}

/*
 * Linux probes (all interrupts for a moment), sets DTR for its console, and opens the port: it
 * empties the FIFO, switches interrupts on, and then the FIFO.
 */
TEST(serial_loses_no_input_while_a_driver_starts)
{
    struct line line;

    REQUIRE(setup(&line));
    out8(&line.fake, IER, 0x0f);
    CHECK_INT(serial_room(line.uart), 0);
    out8(&line.fake, IER, 0x00);
    out8(&line.fake, MCR, 0x09);
    CHECK_INT(serial_room(line.uart), 0);
    out8(&line.fake, IER, 0x05);
    CHECK_INT(line.read_ready, 1);
    CHECK_INT(serial_input(line.uart, (const uint8_t *)"ab", 2), 1);
    out8(&line.fake, IIR, 0x01);
    CHECK_INT(serial_input(line.uart, (const uint8_t *)"bc", 2), 2);
    CHECK_INT(in8(&line.fake, DATA), 'a');
    out8(&line.fake, MCR, 0x0b);
    out8(&line.fake, IER, 0x00); /* the console writes, or the port is closed */
    CHECK_INT(serial_room(line.uart), 0);
    out8(&line.fake, IIR, 0x00);
    CHECK_INT(in8(&line.fake, DATA), 'b');
    CHECK_INT(in8(&line.fake, DATA), 'c');
    out8(&line.fake, IIR, 0x07);
    CHECK_INT(serial_input(line.uart, (const uint8_t *)"d", 1), 0);
    out8(&line.fake, IER, 0x0f); /* busy sending: as good as any */
    CHECK_INT(serial_room(line.uart), 16);
    serial_free(line.uart);
}

TEST(serial_takes_input_for_a_program_that_polls)
{
    struct line line;

    REQUIRE(setup(&line));
    out8(&line.fake, MCR, 0x03);
    CHECK_INT(line.read_ready, 1);
    CHECK_INT(serial_input(line.uart, (const uint8_t *)"ab", 2), 1);
    CHECK_INT(in8(&line.fake, LSR), 0x61);
    CHECK_INT(in8(&line.fake, DATA), 'a');
    CHECK_INT(line.read_ready, 2);
    serial_free(line.uart);
}

TEST(serial_tells_a_break)
{
    struct line line;

    REQUIRE(setup(&line));
    out8(&line.fake, IIR, 0x01);
    out8(&line.fake, IER, 0x05);
    serial_break(line.uart);
    CHECK_INT(in8(&line.fake, IIR), 0xc6);
    CHECK_INT(in8(&line.fake, LSR), 0xf1);
    CHECK_INT(in8(&line.fake, LSR), 0x61);
    CHECK_INT(in8(&line.fake, DATA), 0);
    serial_free(line.uart);
}

static void *write_on(void *argument)
{
    struct line *line = argument;

    for (unsigned i = 0; i < 40; i++)
        out8(&line->fake, DATA, i);
    return NULL;
}

TEST(serial_holds_a_guest_that_does_not_wait)
{
    struct line line;
    pthread_t guest;
    size_t sent = 0;

    REQUIRE(setup(&line));
    line.room = 1;
    REQUIRE(pthread_create(&guest, NULL, write_on, &line) == 0);
    for (unsigned i = 0; i < 1000 && sent < 40; i++) {
        usleep(1000);
        pthread_mutex_lock(&line.lock);
        line.room = 3;
        sent = line.out_length;
        pthread_mutex_unlock(&line.lock);
        serial_write_ready(line.uart);
    }
    pthread_join(guest, NULL);
    CHECK_INT(line.out_length, 40);
    for (unsigned i = 0; i < 40; i++)
        CHECK_INT(line.out[i], i);
    serial_free(line.uart);
}

TEST(serial_lets_a_held_guest_go_at_the_end)
{
    struct line line;
    pthread_t guest;

    REQUIRE(setup(&line));
    line.room = 0;
    REQUIRE(pthread_create(&guest, NULL, write_on, &line) == 0);
    usleep(10000);
    serial_stop(line.uart);
    pthread_join(guest, NULL);
    CHECK_INT(line.out_length, 0);
    serial_free(line.uart);
}

static uint64_t no_time(visor_vcpu *vcpu)
{
    (void)vcpu;
    return 0;
}

/* Writes a byte and looks at the status until the transmitter is empty; how often it was not. */
static void *write_and_look(void *context)
{
    struct line *line = context;
    uintptr_t looks = 0;

    out8(&line->fake, IER, 0x02);
    out8(&line->fake, DATA, 'x');
    while (!(in8(&line->fake, LSR) & 0x20))
        looks++;
    return (void *)looks;
}

TEST(serial_hides_a_slow_host_from_a_guest_with_a_time_of_its_own)
{
    struct line line;
    pthread_t guest;
    void *looks;

    for (int stop = 0; stop < 2; stop++) {
        REQUIRE(setup(&line));
        line.fake.host.guest_time = no_time;
        line.room = 0;
        REQUIRE(pthread_create(&guest, NULL, write_and_look, &line) == 0);
        usleep(20000);
        serial_write_ready(line.uart); /* for nothing */
        usleep(1000);
        CHECK_INT(line.out_length, 0);
        pthread_mutex_lock(&line.lock);
        line.room = 1;
        pthread_mutex_unlock(&line.lock);
        if (stop)
            serial_stop(line.uart);
        else
            serial_write_ready(line.uart);
        pthread_join(guest, &looks);
        CHECK_INT((uintptr_t)looks, 0);
        CHECK_INT(line.out_length, !stop);
        CHECK(line.fake.line[4]);
        CHECK_INT(line.fake.raised[4], 1); /* the line has not moved either */
        serial_free(line.uart);
    }
}

TEST(serial_survives_odd_accesses)
{
    struct line line;

    REQUIRE(setup(&line));
    for (uint32_t length = 1; length <= 8; length++) {
        for (uint64_t port = COM1; port < COM1 + 8; port++) {
            fake_access(&line.fake, VISOR_PIO, port, length, true, 0x1010101010101010ull);
            fake_access(&line.fake, VISOR_PIO, port, length, false, 0);
        }
    }
    /* a 16-bit write is one to each of two registers, as on the ISA bus */
    fake_access(&line.fake, VISOR_PIO, MCR, 1, true, 0);
    fake_access(&line.fake, VISOR_PIO, LCR, 2, true, 0x0b03);
    CHECK_INT(in8(&line.fake, LCR), 0x03);
    CHECK_INT(in8(&line.fake, MCR), 0x0b);
    serial_free(line.uart);
}

TEST(serial_works_at_an_mmio_address_with_a_stride)
{
    serial_config config = {.space = VISOR_MMIO, .address = 0x9000000, .stride = 4, .gsi = 1};
    fake_host fake;
    serial *uart;

    fake_init(&fake, NULL);
    REQUIRE_OK(serial_create(&uart, &fake.host, &config, NULL));
    poke(&fake, 0x9000000 + 4 * 7, 4, 0xffffff5a);
    CHECK_INT(peek(&fake, 0x9000000 + 4 * 7, 4), 0x5a);
    CHECK_INT(peek(&fake, 0x9000000 + 4 * 5, 1), 0x60);
    CHECK_INT(peek(&fake, 0x9000000 + 4 * 5 + 1, 1), 0);
    poke(&fake, 0x9000000 + 4, 4, 0x02);
    CHECK(fake.line[1]);
    serial_free(uart);
}

static void notice(void *context)
{
    __atomic_add_fetch((unsigned *)context, 1, __ATOMIC_SEQ_CST);
}

TEST(output_writes_all_through_a_slow_pipe)
{
    uint8_t chunk[1000], back[8192];
    unsigned noticed = 0, refused = 0;
    size_t sent = 0, seen = 0, total = 300000;
    vmm_output *output;
    visor_file ends[2];
    ptrdiff_t got;

    REQUIRE(make_pipe(ends));
    REQUIRE_OK(vmm_output_create(&output, ends[1], NULL));
    vmm_output_set_room(output, notice, &noticed);
    while (seen < total) {
        for (size_t i = 0; i < sizeof(chunk); i++)
            chunk[i] = (uint8_t)((sent + i) * 7 >> 3);
        if (sent < total) {
            size_t length = total - sent < sizeof(chunk) ? total - sent : sizeof(chunk);
            size_t taken = vmm_output_write(output, chunk, length);

            sent += taken;
            if (taken == length)
                continue;
            refused++;
        }
        /* On one processor all may have been read before the writer says that there is room. */
        if (!pipe_has(ends[0]))
            continue;
        got = pipe_read(ends[0], back, sizeof(back));
        REQUIRE(got > 0);
        for (ptrdiff_t i = 0; i < got; i++, seen++) {
            if (back[i] != (uint8_t)(seen * 7 >> 3)) {
                CHECK_INT(seen, -1);
                return;
            }
        }
    }
    CHECK(refused > 0);
    CHECK(__atomic_load_n(&noticed, __ATOMIC_SEQ_CST) > 0);
    CHECK_INT(vmm_output_status(output), 0);
    vmm_output_free(output, -1);
    close_file(ends[0]);
    close_file(ends[1]);
}

TEST(output_survives_a_reader_that_goes_away)
{
    vmm_output *output;
    uint8_t byte = 'x';
    visor_file ends[2];

    REQUIRE(make_pipe(ends));
    close_file(ends[0]);
    REQUIRE_OK(vmm_output_create(&output, ends[1], NULL));
    CHECK_INT(vmm_output_write(output, &byte, 1), 1);
    for (unsigned i = 0; i < 2000 && !vmm_output_status(output); i++)
        usleep(1000);
    CHECK_INT(vmm_output_status(output), EPIPE);
    CHECK_INT(vmm_output_write(output, &byte, 1), 1);
    vmm_output_free(output, -1);
    close_file(ends[1]);
}

TEST(output_gives_up_on_a_reader_that_does_not_read)
{
    static uint8_t bytes[100000];
    vmm_output *output;
    visor_file ends[2];

    REQUIRE(make_pipe(ends));
    REQUIRE_OK(vmm_output_create(&output, ends[1], NULL));
    while (vmm_output_write(output, bytes, sizeof(bytes)) == sizeof(bytes))
        usleep(1000);
    vmm_output_free(output, 20);
    close_file(ends[0]);
    close_file(ends[1]);
}

static atomic_int in_room, out_of_room;

static void linger(void *context)
{
    (void)context;
    atomic_store(&in_room, 1);
    usleep(50000);
    atomic_store(&out_of_room, 1);
}

TEST(output_lets_go_of_who_wanted_room)
{
    static uint8_t bytes[100000];
    vmm_output *output;
    visor_file ends[2];
    size_t taken, left = 0; /* bytes that have not come out of the pipe yet */

    REQUIRE(make_pipe(ends));
    REQUIRE_OK(vmm_output_create(&output, ends[1], NULL));
    vmm_output_set_room(output, linger, NULL);
    do {
        taken = vmm_output_write(output, bytes, sizeof(bytes));
        left += taken;
    } while (taken == sizeof(bytes));
    for (unsigned i = 0; i < 2000 && !atomic_load(&in_room); i++) {
        if (left > 0) {
            ptrdiff_t got = pipe_read(ends[0], bytes, sizeof(bytes));

            REQUIRE(got > 0);
            left -= (size_t)got;
        }
        usleep(1000);
    }
    CHECK_INT(atomic_load(&in_room), 1);
    vmm_output_set_room(output, NULL, NULL);
    CHECK_INT(atomic_load(&out_of_room), 1);
    vmm_output_free(output, 20);
    close_file(ends[0]);
    close_file(ends[1]);
}

struct ring {
    vmm_loop *loop;
    vmm_source *first, *second;
    vmm_input *inputs[2];
    unsigned calls[2];
};

static void on_first(void *context)
{
    struct ring *ring = context;
    uint8_t byte;

    ring->calls[0]++;
    CHECK_INT(vmm_input_read(ring->inputs[0], &byte, 1), 1);
    if (ring->calls[0] == 3) {
        vmm_source_remove(ring->first);
        ring->first = NULL;
        vmm_source_pause(ring->second, false);
    }
}

static void on_second(void *context)
{
    struct ring *ring = context;

    ring->calls[1]++;
    vmm_loop_stop(ring->loop);
}

TEST(loop_calls_back_and_stops)
{
    struct ring ring = {0};
    visor_file ends[2], file = make_file();

    REQUIRE(make_pipe(ends));
    REQUIRE(file != VISOR_FILE_NONE); /* epoll would refuse it */
    REQUIRE_OK(vmm_input_create(&ring.inputs[0], ends[0], NULL));
    REQUIRE_OK(vmm_input_create(&ring.inputs[1], file, NULL));
    REQUIRE_OK(vmm_loop_create(&ring.loop, NULL));
    REQUIRE_OK(vmm_loop_add(&ring.first, ring.loop, vmm_input_event(ring.inputs[0]), on_first,
                            &ring, NULL));
    REQUIRE_OK(vmm_loop_add(&ring.second, ring.loop, vmm_input_event(ring.inputs[1]), on_second,
                            &ring, NULL));
    vmm_source_pause(ring.second, true);
    CHECK_INT(vmm_write(ends[1], (const uint8_t *)"abcd", 4), 4);
    CHECK_OK(vmm_loop_run(ring.loop, NULL));
    CHECK_INT(ring.calls[0], 3);
    CHECK_INT(ring.calls[1], 1);
    vmm_loop_stop(ring.loop); /* before the run */
    CHECK_OK(vmm_loop_run(ring.loop, NULL));
    CHECK_INT(ring.calls[1], 1);
    vmm_loop_free(ring.loop);
    vmm_input_free(ring.inputs[0]);
    vmm_input_free(ring.inputs[1]);
    close_file(ends[0]);
    close_file(ends[1]);
    close_file(file);
}

UNIT_MAIN()
