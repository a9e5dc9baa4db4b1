/* SPDX-License-Identifier: BSD-3-Clause */
/* The split virtqueue against well-meaning and hostile drivers. */
#include "unit.h"

#include "devices/virtio_queue.h"

#define RAM   0x10000u
#define HOLE  0x40000u /* a second region, read-only to the guest, is here */
#define DESC  0x1000u
#define AVAIL 0x2000u
#define USED  0x3000u
#define SIZE  8

struct driver {
    visor_memory *memory;
    virtq queue;
    virtq_chain chain;
    uint16_t avail_index;
};

static void put16(struct driver *driver, uint64_t gpa, uint16_t value)
{
    visor_memory_write(driver->memory, gpa, &value, sizeof(value));
}

static uint16_t get16(struct driver *driver, uint64_t gpa)
{
    uint16_t value = 0;

    visor_memory_read(&value, driver->memory, gpa, sizeof(value));
    return value;
}

static uint32_t get32(struct driver *driver, uint64_t gpa)
{
    uint32_t value = 0;

    visor_memory_read(&value, driver->memory, gpa, sizeof(value));
    return value;
}

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static void put_desc(struct driver *driver, uint64_t table, unsigned index, uint64_t gpa,
                     uint32_t length, unsigned flags, unsigned next)
{
    struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags, next;
    } desc = {gpa, length, (uint16_t)flags, (uint16_t)next};

    visor_memory_write(driver->memory, table + index * sizeof(desc), &desc, sizeof(desc));
}

static void offer(struct driver *driver, unsigned head)
{
    put16(driver, AVAIL + 4 + 2u * (driver->avail_index % SIZE), (uint16_t)head);
    put16(driver, AVAIL + 2, ++driver->avail_index);
}

static bool setup(struct driver *driver)
{
    visor_memory_region regions[] = {
        {.gpa = 0, .length = RAM},
        {.gpa = RAM, .length = RAM}, /* touches the first */
        {.gpa = HOLE, .length = RAM, .read_only = true},
    };

    memset(driver, 0, sizeof(*driver));
    if (!CHECK_OK(visor_memory_create(&driver->memory, regions, 3, NULL)))
        return false;
    driver->queue =
        (virtq){.size = SIZE, .desc = DESC, .avail = AVAIL, .used = USED, .indirect = true};
    return CHECK_OK(virtq_start(&driver->queue, driver->memory));
}

TEST(virtq_takes_chains_and_gives_them_back)
{
    struct driver driver;
    uint8_t back[4] = {0};

    REQUIRE(setup(&driver));
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), 0);
    visor_memory_write(driver.memory, 0x5000, "abcdefgh", 8);
    put_desc(&driver, DESC, 2, 0x5000, 3, NEXT, 5);
    put_desc(&driver, DESC, 5, 0x5004, 4, NEXT, 0);
    put_desc(&driver, DESC, 0, 0x6000, 0x100, NEXT | WRITE, 7);
    put_desc(&driver, DESC, 7, 0x6200, 1, WRITE, 99);
    offer(&driver, 2);
    REQUIRE(virtq_pop(&driver.queue, &driver.chain) == 1);
    CHECK_INT(driver.chain.head, 2);
    CHECK_INT(driver.chain.out_count, 2);
    CHECK_INT(driver.chain.in_count, 2);
    CHECK_INT(driver.chain.out_length, 7);
    CHECK_INT(driver.chain.in_length, 0x101);
    CHECK_INT(virtq_read(&driver.chain, 2, back, 4), 4);
    CHECK(memcmp(back, "cefg", 4) == 0);
    CHECK_INT(virtq_read(&driver.chain, 6, back, 4), 1);
    CHECK_INT(virtq_read(&driver.chain, 7, back, 4), 0);
    CHECK_INT(virtq_write(&driver.chain, 0xff, "XYZ", 3), 2);
    CHECK_INT(get16(&driver, 0x60ff) & 0xff, 'X');
    CHECK_INT(get16(&driver, 0x6200) & 0xff, 'Y');
    virtq_push(&driver.queue, driver.chain.head, 0x101);
    CHECK_INT(get16(&driver, USED + 2), 1);
    CHECK_INT(get32(&driver, USED + 4), 2);
    CHECK_INT(get32(&driver, USED + 8), 0x101);
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), 0);
    visor_memory_free(driver.memory);
}

TEST(virtq_wraps_around)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    put_desc(&driver, DESC, 3, 0x5000, 16, WRITE, 0);
    for (unsigned i = 0; i < 0x10005; i++) {
        offer(&driver, 3);
        if (virtq_pop(&driver.queue, &driver.chain) != 1) {
            CHECK_INT(i, -1);
            break;
        }
        virtq_push(&driver.queue, 3, i);
        if (get32(&driver, USED + 8 + 8 * (i % SIZE)) != i) {
            CHECK_INT(i, -2);
            break;
        }
    }
    CHECK_INT(get16(&driver, USED + 2), 5);
    visor_memory_free(driver.memory);
}

TEST(virtq_follows_indirect_tables)
{
    struct driver driver;
    struct iovec iov[VIRTQ_MAX_SIZE];

    REQUIRE(setup(&driver));
    for (unsigned i = 0; i < 20; i++)
        put_desc(&driver, 0x7000, i, 0x5000 + 16 * i, 16, i < 19 ? NEXT : 0, i + 1);
    put_desc(&driver, DESC, 0, 0x4000, 4, NEXT, 1);
    put_desc(&driver, DESC, 1, 0x7000, 20 * 16, INDIRECT, 0);
    offer(&driver, 0);
    REQUIRE(virtq_pop(&driver.queue, &driver.chain) == 1);
    CHECK_INT(driver.chain.out_count, 21); /* more than the queue's size: allowed here */
    CHECK_INT(virtq_slice(iov, &driver.chain, false, 10, 36), 3);
    CHECK_INT(iov[0].iov_len, 10); /* 4 + 6 are skipped */
    CHECK_INT(iov[1].iov_len, 16);
    CHECK_INT(iov[2].iov_len, 10);
    visor_memory_free(driver.memory);
}

TEST(virtq_crosses_regions_that_touch)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    put_desc(&driver, DESC, 0, RAM - 8, 16, WRITE, 0);
    offer(&driver, 0);
    REQUIRE(virtq_pop(&driver.queue, &driver.chain) == 1);
    CHECK_INT(driver.chain.in_count, 2);
    CHECK_INT(virtq_write(&driver.chain, 0, "0123456789abcdef", 16), 16);
    CHECK_INT(get16(&driver, RAM - 1) & 0xff, '7');
    CHECK_INT(get16(&driver, RAM) & 0xff, '8');
    visor_memory_free(driver.memory);
}

/* Each of these is a descriptor table that no honest driver writes; head is 0. */
struct attack {
    const char *name;
    unsigned head;
    struct {
        uint64_t table;
        unsigned index;
        uint64_t gpa;
        uint32_t length;
        unsigned flags, next;
    } desc[3];
};

static const struct attack attacks[] = {
    {"head past the table", SIZE, {{0}}},
    {"next past the table", 0, {{DESC, 0, 0x5000, 16, NEXT, SIZE}}},
    {"loop of one", 0, {{DESC, 0, 0x5000, 16, NEXT, 0}}},
    {"loop of two", 0, {{DESC, 0, 0x5000, 16, NEXT, 1}, {DESC, 1, 0x5000, 16, NEXT, 0}}},
    {"buffer past the end", 0, {{DESC, 0, 2 * RAM - 8, 16, 0, 0}}},
    {"buffer in a hole", 0, {{DESC, 0, 0x30000, 1, 0, 0}}},
    {"address wraps", 0, {{DESC, 0, UINT64_MAX - 7, 16, WRITE, 0}}},
    {"length of 4 GiB", 0, {{DESC, 0, 0, UINT32_MAX, WRITE, 0}}},
    {"write to read-only memory", 0, {{DESC, 0, HOLE, 16, WRITE, 0}}},
    {"readable after writable",
     0,
     {{DESC, 0, 0x5000, 16, NEXT | WRITE, 1}, {DESC, 1, 0x5000, 16, 0, 0}}},
    {"indirect in indirect",
     0,
     {{DESC, 0, 0x7000, 16, INDIRECT, 0}, {0x7000, 0, 0x7000, 16, INDIRECT, 0}}},
    {"indirect with next",
     0,
     {{DESC, 0, 0x7000, 16, INDIRECT | NEXT, 1}, {0x7000, 0, 0x5000, 16, 0, 0}}},
    {"indirect table of odd size",
     0,
     {{DESC, 0, 0x7000, 17, INDIRECT, 0}, {0x7000, 0, 0x5000, 16, 0, 0}}},
    {"empty indirect table", 0, {{DESC, 0, 0x7000, 0, INDIRECT, 0}}},
    {"indirect table in a hole", 0, {{DESC, 0, 0x30000, 16, INDIRECT, 0}}},
    {"indirect table past the end", 0, {{DESC, 0, 2 * RAM - 16, 32, INDIRECT, 0}}},
    {"next past an indirect table",
     0,
     {{DESC, 0, 0x7000, 16, INDIRECT, 0}, {0x7000, 0, 0x5000, 16, NEXT, 1}}},
    {"loop in an indirect table",
     0,
     {{DESC, 0, 0x7000, 32, INDIRECT, 0},
      {0x7000, 0, 0x5000, 16, NEXT, 1},
      {0x7000, 1, 0x5000, 16, NEXT, 0}}},
};

TEST(virtq_refuses_what_no_driver_does)
{
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct driver driver;

        if (!setup(&driver))
            return;
        for (unsigned d = 0; d < 3; d++) {
            if (attacks[i].desc[d].table)
                put_desc(&driver, attacks[i].desc[d].table, attacks[i].desc[d].index,
                         attacks[i].desc[d].gpa, attacks[i].desc[d].length,
                         attacks[i].desc[d].flags, attacks[i].desc[d].next);
        }
        offer(&driver, attacks[i].head);
        if (!CHECK_INT(virtq_pop(&driver.queue, &driver.chain), VISOR_EFORMAT))
            printf("#   %s\n", attacks[i].name);
        visor_memory_free(driver.memory);
    }
}

TEST(virtq_refuses_more_requests_than_its_size)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    put16(&driver, AVAIL + 2, SIZE + 1);
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), VISOR_EFORMAT);
    visor_memory_free(driver.memory);
}

TEST(virtq_refuses_indirect_tables_that_were_not_negotiated)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    driver.queue.indirect = false;
    put_desc(&driver, DESC, 0, 0x7000, 16, INDIRECT, 0);
    put_desc(&driver, 0x7000, 0, 0x5000, 16, 0, 0);
    offer(&driver, 0);
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), VISOR_EFORMAT);
    visor_memory_free(driver.memory);
}

TEST(virtq_refuses_more_buffers_than_it_can_hold)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    for (unsigned i = 0; i < VIRTQ_MAX_SIZE + 1; i++)
        put_desc(&driver, 0x8000, i, 0x5000, 1, i < VIRTQ_MAX_SIZE ? NEXT : 0, i + 1);
    put_desc(&driver, DESC, 0, 0x8000, (VIRTQ_MAX_SIZE + 1) * 16, INDIRECT, 0);
    offer(&driver, 0);
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), VISOR_EFORMAT);
    visor_memory_free(driver.memory);
}

TEST(virtq_checks_its_place)
{
    static const struct {
        unsigned size;
        int result;
        uint64_t desc, avail, used;
    } places[] = {
        {SIZE, 0, DESC, AVAIL, USED},
        {1, 0, 0, 16, 32},
        {VIRTQ_MAX_SIZE, 0, 0x4000, 0, RAM},
        {0, VISOR_EINVAL, DESC, AVAIL, USED},
        {6, VISOR_EINVAL, DESC, AVAIL, USED},
        {2 * VIRTQ_MAX_SIZE, VISOR_EINVAL, 0, 0, 0},
        {SIZE, VISOR_EINVAL, DESC + 8, AVAIL, USED},
        {SIZE, VISOR_EINVAL, DESC, AVAIL + 1, USED},
        {SIZE, VISOR_EINVAL, DESC, AVAIL, USED + 2},
        {SIZE, 0, HOLE, HOLE, USED},
        {SIZE, VISOR_EINVAL, DESC, AVAIL, HOLE},         /* read-only */
        {SIZE, VISOR_EINVAL, DESC, AVAIL, 0x30000},      /* nothing there */
        {SIZE, VISOR_EINVAL, DESC, AVAIL, 2 * RAM - 68}, /* 70 bytes */
        {SIZE, VISOR_EINVAL, 2 * RAM - 64, AVAIL, USED}, /* 128 bytes */
        {SIZE, VISOR_EINVAL, DESC, 2 * RAM - 20, USED},  /* 22 bytes */
        {SIZE, VISOR_EINVAL, UINT64_MAX - 15, AVAIL, USED},
        {SIZE, VISOR_EINVAL, DESC, UINT64_MAX - 1, USED},
        {SIZE, VISOR_EINVAL, DESC, AVAIL, UINT64_MAX - 3},
    };
    struct driver driver;

    REQUIRE(setup(&driver));
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        virtq queue = {.size = (uint16_t)places[i].size,
                       .desc = places[i].desc,
                       .avail = places[i].avail,
                       .used = places[i].used};

        if (!CHECK_INT(virtq_start(&queue, driver.memory), places[i].result))
            printf("#   place %zu\n", i);
        CHECK_INT(queue.ready, places[i].result == 0);
    }
    visor_memory_free(driver.memory);
}

TEST(virtq_interrupts_as_the_flag_says)
{
    struct driver driver;

    REQUIRE(setup(&driver));
    CHECK(virtq_should_interrupt(&driver.queue));
    put16(&driver, AVAIL, 1);
    CHECK(!virtq_should_interrupt(&driver.queue));
    virtq_disable_notify(&driver.queue);
    CHECK_INT(get16(&driver, USED), 1);
    CHECK(!virtq_enable_notify(&driver.queue));
    CHECK_INT(get16(&driver, USED), 0);
    offer(&driver, 0);
    CHECK(virtq_enable_notify(&driver.queue));
    visor_memory_free(driver.memory);
}

TEST(virtq_interrupts_as_the_event_index_says)
{
    const uint64_t used_event = AVAIL + 4 + 2 * SIZE, avail_event = USED + 4 + 8 * SIZE;
    struct driver driver;

    REQUIRE(setup(&driver));
    driver.queue.event_idx = true;
    put16(&driver, used_event, 1); /* tell me about the second */
    virtq_push(&driver.queue, 0, 0);
    CHECK(!virtq_should_interrupt(&driver.queue));
    virtq_push(&driver.queue, 0, 0);
    CHECK(virtq_should_interrupt(&driver.queue));
    CHECK(!virtq_should_interrupt(&driver.queue)); /* once */
    virtq_push(&driver.queue, 0, 0);
    CHECK(!virtq_should_interrupt(&driver.queue));
    put16(&driver, used_event, 4);
    virtq_push(&driver.queue, 0, 0);
    virtq_push(&driver.queue, 0, 0);
    virtq_push(&driver.queue, 0, 0);
    CHECK(virtq_should_interrupt(&driver.queue)); /* the fifth is among them */
    put_desc(&driver, DESC, 0, 0x5000, 16, 0, 0);
    offer(&driver, 0);
    CHECK_INT(virtq_pop(&driver.queue, &driver.chain), 1);
    virtq_disable_notify(&driver.queue);
    CHECK(!virtq_enable_notify(&driver.queue));
    CHECK_INT(get16(&driver, avail_event), 1);
    visor_memory_free(driver.memory);
}

UNIT_MAIN()
