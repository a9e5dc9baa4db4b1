/* SPDX-License-Identifier: BSD-3-Clause */
/* Block and entropy device through the PCI transport, as a driver uses them, and disk images that
 * are full, locked, read-only or no images at all. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/virtio.h"
#include "fake_host.h"

#define RAM    0x100000u
#define DESC   0x1000u
#define AVAIL  0x2000u
#define USED   0x3000u
#define HEADER 0x4000u
#define STATUS 0x4100u
#define DATA   0x10000u
#define SIZE   16

#define MIB 0x100000

enum { NEXT = 1, WRITE = 2 };
enum { COMMON = 0, ISR = 0x1000, CONFIG = 0x2000, NOTIFY = 0x3000, TABLE = 0x4000 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };

struct rig {
    fake_host fake;
    visor_memory *memory;
    pci_bus *bus;
    virtio_pci *transport;
    uint64_t config, bar;
    uint16_t avail_index;
};

static bool rig_init(struct rig *rig)
{
    visor_memory_region region = {.length = RAM};
    pci_config config = PCI_CONFIG_PC;

    memset(rig, 0, sizeof(*rig));
    if (!CHECK_OK(visor_memory_create(&rig->memory, &region, 1, NULL)))
        return false;
    fake_init(&rig->fake, rig->memory);
    return CHECK_OK(pci_bus_create(&rig->bus, &rig->fake.host, &config, NULL));
}

static bool rig_attach(struct rig *rig, virtio_device *device)
{
    if (!CHECK_OK(virtio_pci_create(&rig->transport, &rig->fake.host, rig->bus, device, NULL)))
        return false;
    rig->config = 0xc0000000 + (1 << 15);
    rig->bar = peek(&rig->fake, rig->config + 0x10, 4);
    poke(&rig->fake, rig->config + 4, 2, 6);
    return true;
}

static void rig_free(struct rig *rig)
{
    virtio_pci_free(rig->transport);
    CHECK_INT(rig->fake.event_count, 0);
    pci_bus_free(rig->bus);
    visor_memory_free(rig->memory);
}

static uint64_t reg(struct rig *rig, unsigned offset, uint32_t length)
{
    return peek(&rig->fake, rig->bar + offset, length);
}

static void set_reg(struct rig *rig, unsigned offset, uint32_t length, uint64_t value)
{
    poke(&rig->fake, rig->bar + offset, length, value);
}

static uint64_t features(struct rig *rig)
{
    uint64_t low;

    set_reg(rig, 0, 4, 0);
    low = reg(rig, 4, 4);
    set_reg(rig, 0, 4, 1);
    return low | reg(rig, 4, 4) << 32;
}

/* Initialization as in 3.1.1; whether the device agreed. */
static bool start(struct rig *rig, uint64_t wanted)
{
    uint8_t zero[0x200] = {0};

    visor_memory_write(rig->memory, AVAIL, zero, sizeof(zero));
    visor_memory_write(rig->memory, USED, zero, sizeof(zero));
    rig->avail_index = 0;
    set_reg(rig, 20, 1, 0);
    set_reg(rig, 20, 1, 1);
    set_reg(rig, 20, 1, 3);
    set_reg(rig, 8, 4, 0);
    set_reg(rig, 12, 4, wanted & 0xffffffff);
    set_reg(rig, 8, 4, 1);
    set_reg(rig, 12, 4, wanted >> 32);
    set_reg(rig, 20, 1, 11);
    if (!(reg(rig, 20, 1) & 8))
        return false;
    set_reg(rig, 22, 2, 0);
    set_reg(rig, 24, 2, SIZE);
    set_reg(rig, 26, 2, 0);
    set_reg(rig, 32, 8, DESC);
    set_reg(rig, 40, 4, AVAIL); /* in halves too */
    set_reg(rig, 44, 4, 0);
    set_reg(rig, 48, 8, USED);
    set_reg(rig, 28, 2, 1);
    set_reg(rig, 20, 1, 15);
    return reg(rig, 20, 1) == 15;
}

#define USUAL (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | 1ull << 9)

static void put_desc(struct rig *rig, unsigned index, uint64_t gpa, uint32_t length, unsigned flags)
{
    struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags, next;
    } desc = {gpa, length, (uint16_t)flags, (uint16_t)(index + 1)};

    visor_memory_write(rig->memory, DESC + index * 16, &desc, 16);
}

/* The index of a ring, which both sides see change. */
static uint16_t *ring_index(struct rig *rig, uint64_t ring)
{
    void *at = NULL;

    visor_memory_ptr(&at, rig->memory, ring + 2, 2);
    return at;
}

static uint16_t used_index(struct rig *rig)
{
    return __atomic_load_n(ring_index(rig, USED), __ATOMIC_ACQUIRE);
}

static void offer(struct rig *rig)
{
    uint16_t head = 0;

    visor_memory_write(rig->memory, AVAIL + 4 + 2u * (rig->avail_index % SIZE), &head, 2);
    rig->avail_index++;
    __atomic_store_n(ring_index(rig, AVAIL), rig->avail_index, __ATOMIC_RELEASE);
    set_reg(rig, NOTIFY, 2, 0);
}

/* Offers the chain at 0 and waits; the length that came back, or -1 if nothing did. */
static int64_t run(struct rig *rig)
{
    uint32_t length = 0;

    offer(rig);
    for (unsigned i = 0; i < 5000; i++) {
        if (used_index(rig) == rig->avail_index) {
            visor_memory_read(&length, rig->memory,
                              USED + 8 + 8u * ((rig->avail_index - 1u) % SIZE), 4);
            return length;
        }
        usleep(1000);
    }
    return -1;
}

/* One block request with `length` bytes at DATA; the status byte, or -1. */
static int request(struct rig *rig, uint32_t type, uint64_t sector, uint32_t length)
{
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header = {type, 0, sector};
    bool to_guest = type == IN || type == GET_ID;
    uint8_t status = 0xee;
    unsigned next = 1;

    visor_memory_write(rig->memory, HEADER, &header, sizeof(header));
    visor_memory_write(rig->memory, STATUS, &status, 1);
    put_desc(rig, 0, HEADER, sizeof(header), NEXT);
    if (length)
        put_desc(rig, next++, DATA, length, NEXT | (to_guest ? WRITE : 0));
    put_desc(rig, next, STATUS, 1, WRITE);
    if (run(rig) < 0)
        return -1;
    visor_memory_read(&status, rig->memory, STATUS, 1);
    return status;
}

static void fill(struct rig *rig, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)(seed + i * 13 + (i >> 9));

        visor_memory_write(rig->memory, DATA + i, &byte, 1);
    }
}

static bool filled(const uint8_t *bytes, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        if (bytes[i] != (uint8_t)(seed + i * 13 + (i >> 9)))
            return false;
    }
    return true;
}

/* ---- images ---- */

static char image_path[] = "/tmp/visor-virtio-XXXXXX";

static bool make_image(off_t length)
{
    int fd;

    memcpy(image_path + sizeof(image_path) - 7, "XXXXXX", 7);
    fd = mkstemp(image_path);
    if (!CHECK(fd >= 0) || !CHECK(ftruncate(fd, length) == 0))
        return false;
    close(fd);
    return true;
}

static bool image_has(uint64_t offset, uint32_t length, uint8_t seed)
{
    uint8_t *bytes = malloc(length);
    int fd = open(image_path, O_RDONLY);
    bool has = fd >= 0 && bytes && pread(fd, bytes, length, (off_t)offset) == (ssize_t)length &&
               filled(bytes, length, seed);

    close(fd);
    free(bytes);
    return has;
}

static bool setup_blk(struct rig *rig, const virtio_blk_config *config)
{
    virtio_device *device;
    vmm_error error;

    if (!rig_init(rig))
        return false;
    if (!CHECK_OK(virtio_blk_create(&device, &rig->fake.host, config, &error))) {
        printf("#   %s\n", error.text);
        return false;
    }
    return rig_attach(rig, device);
}

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
    unlink(image_path);
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
    CHECK(image_has(1536, 4096, 1));
    fill(&rig, 4096, 2);
    CHECK_INT(request(&rig, IN, 3, 4096), 0);
    visor_memory_read(back, rig.memory, DATA, 4096);
    CHECK(filled(back, 4096, 1));
    CHECK_INT(request(&rig, OUT, MIB / 512 - 8, 4096), 0); /* up to the last sector */
    CHECK_INT(request(&rig, GET_ID, 0, 20), 0);
    visor_memory_read(back, rig.memory, DATA, 20);
    CHECK_STR((char *)back, "serial-7");
    rig_free(&rig);
    unlink(image_path);
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
    unlink(image_path);
}

TEST(blk_discards_and_zeroes)
{
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } segments[2] = {{8, 8, 0}, {64, 64, 0}};
    uint8_t back[512], zero[512] = {0};
    struct stat before, after;
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    CHECK_INT(reg(&rig, CONFIG + 44, 4), 1);
    fill(&rig, 65536, 5);
    CHECK_INT(request(&rig, OUT, 0, 65536), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK(stat(image_path, &before) == 0);
    visor_memory_write(rig.memory, DATA, segments, sizeof(segments));
    CHECK_INT(request(&rig, DISCARD, 0, sizeof(segments)), 0);
    CHECK(stat(image_path, &after) == 0);
    CHECK(after.st_blocks <= before.st_blocks - 64 - 8);
    CHECK_INT(after.st_size, MIB);
    CHECK(image_has(0, 8 * 512, 5));
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
    unlink(image_path);
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
    unlink(image_path);
}

/* A write past RLIMIT_FSIZE fails as one on a full disk does, except that it also sends SIGXFSZ,
 * whose default is death. */
static void full_disk(void)
{
    struct rlimit limit = {.rlim_cur = MIB / 2, .rlim_max = MIB / 2};
    struct rig rig;

    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    fill(&rig, 4096, 3);
    CHECK_INT(request(&rig, OUT, 0, 4096), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK_INT(request(&rig, OUT, MIB / 512 / 2, 4096), 1);
    CHECK_INT(rig.fake.logs, 1);
    CHECK(strstr(rig.fake.log, image_path) && strstr(rig.fake.log, "write"));
    for (unsigned i = 0; i < 50; i++)
        CHECK_INT(request(&rig, OUT, MIB / 512 / 2, 512), 1);
    CHECK_INT(rig.fake.logs, 10);
    CHECK_INT(request(&rig, OUT, 8, 4096), 0);
    CHECK_INT(request(&rig, FLUSH, 0, 0), 0);
    CHECK(image_has(0, 4096, 3));
    CHECK(image_has(4096, 4096, 3));
    rig_free(&rig);
}

TEST(blk_full_disk_is_an_io_error_and_loses_nothing)
{
    int status;
    pid_t child;

    REQUIRE(make_image(MIB));
    fflush(stdout);
    child = fork(); /* the limit stays in there */
    REQUIRE(child >= 0);
    if (child == 0) {
        full_disk();
        fflush(stdout);
        _exit(atomic_load(&unit_failed));
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    unlink(image_path);
}

TEST(blk_file_cut_short_is_an_io_error)
{
    struct rig rig;

    REQUIRE(make_image(MIB));
    REQUIRE(setup_blk(&rig, &(virtio_blk_config){.path = image_path}));
    REQUIRE(start(&rig, USUAL));
    CHECK(truncate(image_path, MIB / 2) == 0);
    CHECK_INT(request(&rig, IN, MIB / 512 / 2, 512), 1);
    CHECK_INT(request(&rig, IN, 0, 512), 0);
    rig_free(&rig);
    unlink(image_path);
}

static int try_open(const char *path, bool read_only, vmm_error *error)
{
    virtio_blk_config config = {.path = path, .read_only = read_only};
    virtio_device *device;
    fake_host fake;
    int result;

    fake_init(&fake, NULL);
    result = virtio_blk_create(&device, &fake.host, &config, error);
    if (result == 0)
        device->free(device);
    return result;
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
    unlink(image_path);
}

TEST(blk_says_what_is_wrong_with_a_file)
{
    vmm_error error;

    CHECK_INT(try_open("/nowhere/disk.img", false, &error), VISOR_ENOENT);
    CHECK_STR(error.text, "/nowhere/disk.img: no such file");
    CHECK_INT(try_open("/tmp", false, &error), VISOR_EFORMAT);
    CHECK_STR(error.text, "/tmp: is a directory, not a disk image");
    CHECK_INT(try_open("/tmp", true, &error), VISOR_EFORMAT);
    CHECK_INT(try_open("/dev/null", true, &error), VISOR_EFORMAT);
    REQUIRE(make_image(0));
    CHECK_INT(try_open(image_path, false, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "is empty"));
    CHECK(truncate(image_path, 1000) == 0);
    CHECK_INT(try_open(image_path, false, &error), VISOR_EFORMAT);
    CHECK(strstr(error.text, "1000 bytes"));
    unlink(image_path);
    CHECK(mkfifo(image_path, 0600) == 0);
    CHECK_INT(try_open(image_path, true, &error), VISOR_EFORMAT);
    unlink(image_path);
}

TEST(blk_file_without_write_permission_wants_ro)
{
    vmm_error error;
    bool root = geteuid() == 0;

    REQUIRE(make_image(MIB));
    CHECK(chmod(image_path, 0444) == 0);
    if (root)
        REQUIRE(seteuid(65534) == 0); /* root may write anything */
    CHECK_INT(try_open(image_path, false, &error), VISOR_EACCESS);
    CHECK(strstr(error.text, "ro=true"));
    CHECK_OK(try_open(image_path, true, &error));
    if (root)
        REQUIRE(seteuid(0) == 0);
    CHECK(chmod(image_path, 0) == 0);
    if (!root)
        CHECK_INT(try_open(image_path, true, &error), VISOR_EACCESS);
    unlink(image_path);
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
        !CHECK(mprotect(own, RAM - SHARED, PROT_NONE) == 0))
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
