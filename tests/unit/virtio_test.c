/* SPDX-License-Identifier: BSD-3-Clause */
/* Block and entropy device through the PCI transport, as a driver uses them, and disk images that
 * are locked, read-only or no images at all. */
#include "virtio_rig.h"

TEST(blk_is_a_modern_pci_device)
{
    unsigned at, types = 0;
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    CHECK_INT(peek(&rig.fake, rig.config, 4), 0x10421af4);
    CHECK_INT(peek(&rig.fake, rig.config + 8, 1), 1);
    CHECK_INT(peek(&rig.fake, rig.config + 6, 2) & 0x10, 0x10);
    at = (unsigned)peek(&rig.fake, rig.config + 0x34, 1);
    for (unsigned i = 0; i < 10 && at; i++) {
        if (peek(&rig.fake, rig.config + at, 1) == 9) {
            unsigned type = (unsigned)peek(&rig.fake, rig.config + at + 3, 1);

            types |= 1u << type;
            CHECK_INT(peek(&rig.fake, rig.config + at + 4, 1), 0);
            if (type == 2)
                CHECK_INT(peek(&rig.fake, rig.config + at + 16, 4), 4);
            if (type == 1)
                CHECK(peek(&rig.fake, rig.config + at + 12, 4) >= 56);
        }
        at = (unsigned)peek(&rig.fake, rig.config + at + 1, 1);
    }
    CHECK_INT(types, 0x3e);
    CHECK_INT(reg(&rig, 18, 2), 1);
    CHECK_INT(reg(&rig, CONFIG, 8), MIB / 512);
    CHECK_INT(reg(&rig, CONFIG + 20, 4), 512);
    CHECK(features(&rig) & VIRTIO_F_VERSION_1);
    CHECK(!(features(&rig) & 1 << 5));
    /* notifications are events while memory decoding is on */
    CHECK_INT(rig.fake.event_count, 1);
    CHECK_INT(rig.fake.events[0].address, rig.bar + NOTIFY);
    poke(&rig.fake, rig.config + 4, 2, 0);
    CHECK_INT(rig.fake.event_count, 0);
    rig_free(&rig);
    remove(image_path);
}

TEST(blk_reads_writes_and_flushes)
{
    uint8_t back[4096];
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path, .id = "serial-7"}));
    REQUIRE(start(&rig, USUAL));
    fill(&rig, 4096, 1);
    CHECK_INT(request(&rig, OUT, 3, 4096), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    fill(&rig, 4096, 2);
    CHECK_INT(request(&rig, IN, 3, 4096), 0);
    visor_memory_read(back, rig.memory, DATA, 4096);
    CHECK(filled(back, 4096, 1));
    CHECK_INT(request(&rig, OUT, MIB / 512 - 8, 4096), 0); /* up to the last sector */
    CHECK_INT(request(&rig, GET_ID, 0, 20), 0);
    visor_memory_read(back, rig.memory, DATA, 20);
    CHECK_STR((char *)back, "serial-7");
    rig_free(&rig);
    CHECK(image_has(1536, 4096, 1));
    remove(image_path);
}

TEST(blk_refuses_bad_requests_and_goes_on)
{
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    CHECK_INT(request(&rig, IN, MIB / 512, 512), 1);
    CHECK_INT(request(&rig, OUT, MIB / 512 - 1, 1024), 1);
    CHECK_INT(request(&rig, OUT, UINT64_MAX, 512), 1);
    CHECK_INT(request(&rig, IN, UINT64_MAX / 512, 4096), 1);
    CHECK_INT(request(&rig, OUT, 0, 100), 1);
    CHECK_INT(request(&rig, IN, 0, 511), 1);
    CHECK_INT(request(&rig, 77, 0, 512), 2);
    CHECK_INT(request(&rig, DISCARD, 0, 0), 1);
    CHECK_INT(request(&rig, DISCARD, 0, 17), 1);
    put_desc(&rig, 0, HEADER, 15, NEXT); /* short header */
    put_desc(&rig, 1, STATUS, 1, WRITE);
    CHECK_INT(run(&rig), 1);
    CHECK_INT(request(&rig, IN, 0, 512), 0);
    CHECK_INT(rig.fake.logs, 0); /* a guest cannot fill our log with this */
    rig_free(&rig);
    remove(image_path);
}

TEST(blk_discards_and_zeroes)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } segments[2] = {{8, 8, 0}, {64, 64, 0}};
    uint8_t back[8 * 512], zero[512] = {0};
    uint64_t before;
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    CHECK_INT(reg(&rig, CONFIG + 44, 4), 1);
    fill(&rig, 65536, 5);
    CHECK_INT(request(&rig, OUT, 0, 65536), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    before = file_allocated(image_path);
    visor_memory_write(rig.memory, DATA, segments, sizeof(segments));
    CHECK_INT(request(&rig, DISCARD, 0, sizeof(segments)), 0);
    CHECK(!HOST_HOLES || file_allocated(image_path) + (64 + 8) * 512 <= before);
    CHECK_INT(request(&rig, IN, 0, sizeof(back)), 0);
    visor_memory_read(back, rig.memory, DATA, sizeof(back));
    CHECK(filled(back, sizeof(back), 5));
    segments[0].sector = 1;
    segments[0].sectors = 2;
    visor_memory_write(rig.memory, DATA, segments, 16);
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 0);
    for (unsigned sector = 0; sector < 4; sector++) {
        CHECK_INT(request(&rig, IN, sector, 512), 0);
        visor_memory_read(back, rig.memory, DATA, 512);
        CHECK_INT(memcmp(back, zero, 512) == 0, sector == 1 || sector == 2);
    }
    segments[0].flags = 1;
    visor_memory_write(rig.memory, DATA, segments, 16);
    CHECK_INT(request(&rig, DISCARD, 0, 16), 2); /* unmap is for WRITE_ZEROES */
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 0);
    segments[0].flags = 2;
    visor_memory_write(rig.memory, DATA, segments, 16);
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 2);
    segments[0].flags = 0;
    segments[0].sector = MIB / 512 - 1;
    segments[0].sectors = 2;
    visor_memory_write(rig.memory, DATA, segments, 16);
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 1);
    CHECK_INT(request(&rig, DISCARD, 0, 16), 1);
    segments[0].sector = 0;
    segments[0].sectors = UINT32_MAX;
    visor_memory_write(rig.memory, DATA, segments, 16);
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 1);
    rig_free(&rig);
    CHECK(image_has(MIB - 1, 1, 0)); /* as long as before */
    CHECK(!image_has(MIB, 1, 0));
    remove(image_path);
}

TEST(blk_read_only_image_stays_as_it_is)
{
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path, .read_only = true}));
    CHECK(features(&rig) & 1 << 5);
    CHECK(!(features(&rig) & (1 << 13 | 1 << 14)));
    REQUIRE(start(&rig, USUAL | 1 << 5));
    fill(&rig, 512, 9);
    CHECK_INT(request(&rig, OUT, 0, 512), 1);
    CHECK_INT(request(&rig, WRITE_ZEROES, 0, 16), 1);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK_INT(request(&rig, IN, 0, 512), 0);
    CHECK(!image_has(0, 512, 9));
    rig_free(&rig);
    remove(image_path);
}

TEST(blk_two_writers_are_refused)
{
    virtio_blk_config config = {.path = image_path};
    virtio_device *device;
    vmm_error error;
    fake_host fake;

    REQUIRE(make_image(MIB));
    fake_init(&fake, NULL);
    REQUIRE_OK(virtio_blk_create(&device, &fake.host, &config, &error));
    CHECK_INT(try_open(image_path, false, &error), VISOR_EBUSY);
    CHECK(strstr(error.text, image_path) && strstr(error.text, "in use"));
    CHECK_INT(try_open(image_path, true, &error), VISOR_EBUSY);
    device->free(device);
    config.read_only = true;
    REQUIRE_OK(virtio_blk_create(&device, &fake.host, &config, &error));
    CHECK_OK(try_open(image_path, true, &error));
    CHECK_INT(try_open(image_path, false, &error), VISOR_EBUSY);
    device->free(device);
    CHECK_OK(try_open(image_path, false, &error));
    remove(image_path);
}

TEST(blk_says_what_is_wrong_with_a_file)
{
    vmm_error error;

    CHECK_INT(try_open("/nowhere/disk.img", false, &error), VISOR_ENOENT);
    CHECK_STR(error.text, "/nowhere/disk.img: no such file");
    CHECK_INT(try_open("/", false, &error), VISOR_EFORMAT);
    CHECK_STR(error.text, "/: is a directory, not a disk image");
    CHECK_INT(try_open("/", true, &error), VISOR_EFORMAT);
    CHECK_INT(try_open(HOST_DEVICE_FILE, true, &error), VISOR_EFORMAT);
    REQUIRE(make_image(0));
    CHECK_INT(try_open(image_path, false, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "is empty"));
    remove(image_path);
    REQUIRE(make_image(1000));
    CHECK_INT(try_open(image_path, false, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "1000 bytes"));
    remove(image_path);
}

TEST(rng_fills_buffers)
{
    static uint8_t bytes[0x20000];
    virtio_device *device;
    struct rig rig;
    unsigned zeros = 0;

    REQUIRE(rig_init(&rig));
    REQUIRE_OK(virtio_rng_create(&device, &rig.fake.host, NULL));
    REQUIRE(rig_attach(&rig, device));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    put_desc(&rig, 0, DATA, 1000, WRITE | NEXT);
    put_desc(&rig, 1, DATA + 1000, 24, WRITE);
    CHECK_INT(run(&rig), 1024);
    visor_memory_read(bytes, rig.memory, DATA, 1024);
    for (unsigned i = 0; i < 1024; i++)
        zeros += bytes[i] == 0;
    CHECK(zeros < 50);
    put_desc(&rig, 0, DATA, sizeof(bytes), WRITE);
    CHECK_INT(run(&rig), 0x10000); /* as much as is served at once */
    put_desc(&rig, 0, DATA, 16, 0);
    CHECK_INT(run(&rig), 0);
    rig_free(&rig);
}

/* ---- transport ---- */

static bool setup_rng(struct rig *rig)
{
    virtio_device *device;

    return rig_init(rig) && CHECK_OK(virtio_rng_create(&device, &rig->fake.host, NULL)) &&
           rig_attach(rig, device);
}

TEST(transport_refuses_features_that_it_did_not_offer)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    CHECK(!start(&rig, VIRTIO_F_VERSION_1 | 1ull << 33));
    CHECK(!start(&rig, VIRTIO_F_INDIRECT_DESC)); /* a legacy driver */
    set_reg(&rig, 20, 1, 15);
    CHECK(!(reg(&rig, 20, 1) & 4)); /* no DRIVER_OK without FEATURES_OK */
    CHECK(start(&rig, VIRTIO_F_VERSION_1));
    set_reg(&rig, 8, 4, 0);
    set_reg(&rig, 12, 4, 0xffffffff);
    CHECK_INT(reg(&rig, 12, 4), 0); /* too late */
    rig_free(&rig);
}

TEST(transport_resets)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    for (unsigned i = 0; i < 50; i++) {
        REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
        put_desc(&rig, 0, DATA, 60000, WRITE);
        CHECK_INT(run(&rig), 60000);
        offer(&rig); /* in flight when the reset comes */
        set_reg(&rig, 20, 1, 0);
        CHECK_INT(reg(&rig, 20, 1), 0);
        CHECK_INT(reg(&rig, 28, 2), 0);
        CHECK_INT(reg(&rig, 32, 8), 0);
        CHECK_INT(reg(&rig, 24, 2), 64);
    }
    rig_free(&rig);
}

TEST(transport_resets_one_queue)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1 | 1ull << 40));
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    set_reg(&rig, 58, 2, 1);
    CHECK_INT(reg(&rig, 58, 2), 0);
    CHECK_INT(reg(&rig, 28, 2), 0);
    CHECK_INT(reg(&rig, 20, 1), 15);
    rig_free(&rig);
}

TEST(transport_stops_at_a_malformed_queue)
{
    struct rig rig;
    bool stopped = false;

    REQUIRE(setup_rng(&rig));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    put_desc(&rig, 0, RAM, 16, WRITE);
    offer(&rig);
    for (unsigned i = 0; i < 5000 && !stopped; i++) {
        stopped = reg(&rig, 20, 1) & 64;
        usleep(1000);
    }
    CHECK(stopped);
    CHECK_INT(used_index(&rig), 0);
    CHECK_INT(reg(&rig, ISR, 1), 2); /* a configuration change */
    CHECK_INT(rig.fake.logs, 1);
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1)); /* a reset mends it */
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    rig_free(&rig);
}

TEST(transport_refuses_a_queue_outside_memory)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    set_reg(&rig, 20, 1, 0);
    set_reg(&rig, 20, 1, 3);
    set_reg(&rig, 8, 4, 1);
    set_reg(&rig, 12, 4, 1);
    set_reg(&rig, 20, 1, 11);
    set_reg(&rig, 32, 8, UINT64_MAX - 15);
    set_reg(&rig, 28, 2, 1);
    CHECK_INT(reg(&rig, 28, 2), 0);
    CHECK_INT(reg(&rig, 20, 1), 11 | 64);
    rig_free(&rig);
}

/* Of a protected VM: the upper part of memory is the guest's alone, and who touches it dies. */
#define SHARED 0x20000u
static bool setup_protected(struct rig *rig)
{
    const visor_memory_region regions[] = {
        {.length = SHARED, .purpose = VISOR_MEMORY_SWIOTLB},
        {.gpa = SHARED, .length = RAM - SHARED},
    };
    pci_config config = PCI_CONFIG_PC;
    virtio_device *device;
    void *own;

    memset(rig, 0, sizeof(*rig));
    if (!CHECK_OK(visor_memory_create(&rig->memory, regions, 2, NULL)) ||
        !CHECK_OK(visor_memory_ptr(&own, rig->memory, SHARED, RAM - SHARED)) ||
        !CHECK(forbid_memory(own, RAM - SHARED)))
        return false;
    fake_init(&rig->fake, rig->memory);
    rig->fake.host.bounce_only = true;
    return CHECK_OK(pci_bus_create(&rig->bus, &rig->fake.host, &config, NULL)) &&
           CHECK_OK(virtio_rng_create(&device, &rig->fake.host, NULL)) && rig_attach(rig, device);
}

#define PROTECTED (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM | VIRTIO_F_INDIRECT_DESC)

TEST(transport_of_a_protected_vm_wants_access_platform)
{
    struct rig rig;

    REQUIRE(setup_protected(&rig));
    CHECK((features(&rig) & VIRTIO_F_ACCESS_PLATFORM) != 0);
    CHECK(!start(&rig, VIRTIO_F_VERSION_1));
    REQUIRE(start(&rig, PROTECTED));
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    rig_free(&rig);
}

TEST(transport_touches_no_memory_of_a_protected_vm)
{
    /* A buffer there, one that ends there, a table of descriptors there. */
    static const struct {
        uint64_t gpa;
        unsigned flags;
    } cases[] = {{SHARED, WRITE}, {RAM - 32, WRITE}, {SHARED - 16, WRITE}, {SHARED, 4}};
    struct rig rig;

    REQUIRE(setup_protected(&rig));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool stopped = false;

        REQUIRE(start(&rig, PROTECTED));
        put_desc(&rig, 0, cases[i].gpa, 32, cases[i].flags);
        offer(&rig);
        for (unsigned wait = 0; wait < 5000 && !stopped; wait++) {
            stopped = reg(&rig, 20, 1) & 64;
            usleep(1000);
        }
        CHECK(stopped);
        CHECK_INT(used_index(&rig), 0);
    }
    /* Each part of a queue. */
    for (unsigned part = 32; part <= 48; part += 8) {
        REQUIRE(start(&rig, PROTECTED));
        set_reg(&rig, 20, 1, 0);
        set_reg(&rig, 20, 1, 3);
        set_reg(&rig, 8, 4, 1);
        set_reg(&rig, 12, 4, PROTECTED >> 32);
        set_reg(&rig, 20, 1, 11);
        set_reg(&rig, 24, 2, SIZE);
        set_reg(&rig, 32, 8, DESC);
        set_reg(&rig, 40, 8, AVAIL);
        set_reg(&rig, 48, 8, USED);
        set_reg(&rig, part, 8, SHARED);
        set_reg(&rig, 28, 2, 1);
        CHECK_INT(reg(&rig, 28, 2), 0);
        CHECK_INT(reg(&rig, 20, 1), 11 | 64);
        CHECK_STR(rig.fake.log, "virtio-rng: virtqueue outside the bounce buffer; the device waits "
                                "for a reset by the guest");
    }
    rig_free(&rig);
}

TEST(transport_interrupts_by_line_until_isr_is_read)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    for (unsigned i = 0; i < 1000 && !fake_line(&rig.fake, 17); i++)
        usleep(1000);
    CHECK(fake_line(&rig.fake, 17));
    CHECK_INT(reg(&rig, ISR, 1), 1);
    CHECK(!fake_line(&rig.fake, 17));
    CHECK_INT(reg(&rig, ISR, 1), 0);
    CHECK_INT(rig.fake.msi_count, 0);
    rig_free(&rig);
}

TEST(transport_interrupts_by_message)
{
    unsigned at;
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    at = (unsigned)peek(&rig.fake, rig.config + 0x34, 1);
    REQUIRE(peek(&rig.fake, rig.config + at, 1) == 0x11);
    poke(&rig.fake, rig.config + at + 2, 2, 0x8000);
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    CHECK_INT(reg(&rig, 16, 2), 0xffff);
    set_reg(&rig, 16, 2, 2); /* there are vectors 0 and 1 */
    CHECK_INT(reg(&rig, 16, 2), 0xffff);
    set_reg(&rig, 26, 2, 1);
    CHECK_INT(reg(&rig, 26, 2), 1);
    set_reg(&rig, TABLE + 16, 8, 0xfee00000);
    set_reg(&rig, TABLE + 24, 8, 0x55);
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    for (unsigned i = 0; i < 1000 && !fake_msis(&rig.fake); i++)
        usleep(1000);
    CHECK_INT(rig.fake.msi_count, 1);
    CHECK_INT(rig.fake.msi[0].data, 0x55);
    CHECK(!fake_line(&rig.fake, 17));
    CHECK_INT(reg(&rig, ISR, 1), 0);
    rig_free(&rig);
}

TEST(transport_waits_for_bus_mastering)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    put_desc(&rig, 0, DATA, 16, WRITE);
    poke(&rig.fake, rig.config + 4, 2, 2);
    offer(&rig);
    usleep(20000);
    CHECK_INT(used_index(&rig), 0);
    poke(&rig.fake, rig.config + 4, 2, 6);
    for (unsigned i = 0; i < 5000 && !used_index(&rig); i++)
        usleep(1000);
    CHECK_INT(used_index(&rig), 1);
    rig_free(&rig);
}

TEST(transport_can_be_driven_by_configuration_space)
{
    unsigned at, cap = 0;
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    for (at = (unsigned)peek(&rig.fake, rig.config + 0x34, 1); at;
         at = (unsigned)peek(&rig.fake, rig.config + at + 1, 1)) {
        if (peek(&rig.fake, rig.config + at, 1) == 9 &&
            peek(&rig.fake, rig.config + at + 3, 1) == 5)
            cap = at;
    }
    REQUIRE(cap != 0);
    poke(&rig.fake, rig.config + cap + 4, 1, 0);
    poke(&rig.fake, rig.config + cap + 8, 4, COMMON + 18);
    poke(&rig.fake, rig.config + cap + 12, 4, 2);
    CHECK_INT(peek(&rig.fake, rig.config + cap + 16, 2), 1); /* number of queues */
    poke(&rig.fake, rig.config + cap + 8, 4, COMMON + 20);
    poke(&rig.fake, rig.config + cap + 12, 4, 1);
    poke(&rig.fake, rig.config + cap + 16, 1, 3);
    CHECK_INT(reg(&rig, 20, 1), 3);
    poke(&rig.fake, rig.config + cap + 8, 4, 0xffffffff);
    poke(&rig.fake, rig.config + cap + 12, 4, 4);
    CHECK_INT(peek(&rig.fake, rig.config + cap + 16, 4), 0);
    poke(&rig.fake, rig.config + cap + 16, 8, UINT64_MAX);
    rig_free(&rig);
}

TEST(transport_survives_odd_accesses)
{
    struct rig rig;

    REQUIRE(setup_rng(&rig));
    for (uint32_t length = 1; length <= 8; length++) {
        for (unsigned page = 0; page < 8; page++) {
            for (unsigned offset = 0; offset < 80; offset++) {
                set_reg(&rig, page * 0x1000 + offset, length, UINT64_MAX);
                reg(&rig, page * 0x1000 + offset, length);
                set_reg(&rig, page * 0x1000 + offset, length, 1);
                set_reg(&rig, page * 0x1000 + offset, length, 0);
            }
            reg(&rig, page * 0x1000 + 0xfff, length);
            set_reg(&rig, page * 0x1000 + 0xfff, length, 0x55);
        }
    }
    REQUIRE(start(&rig, VIRTIO_F_VERSION_1));
    put_desc(&rig, 0, DATA, 16, WRITE);
    CHECK_INT(run(&rig), 16);
    rig_free(&rig);
}

UNIT_MAIN()
