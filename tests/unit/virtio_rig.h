/* SPDX-License-Identifier: BSD-3-Clause */
/* A device behind the PCI transport, as a driver uses it, and images for it. */
#ifndef VISOR_TESTS_VIRTIO_RIG_H
#define VISOR_TESTS_VIRTIO_RIG_H

#include "unit.h"

#include "devices/virtio.h"
#include "fake_host.h"
#include "host.h"

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

static inline bool rig_init(struct rig *rig)
{
    visor_memory_region region = {.length = RAM};
    pci_config config = PCI_CONFIG_PC;

    memset(rig, 0, sizeof(*rig));
    if (!CHECK_OK(visor_memory_create(&rig->memory, &region, 1, NULL)))
        return false;
    fake_init(&rig->fake, rig->memory);
    return CHECK_OK(pci_bus_create(&rig->bus, &rig->fake.host, &config, NULL));
}

static inline bool rig_attach(struct rig *rig, virtio_device *device)
{
    if (!CHECK_OK(virtio_pci_create(&rig->transport, &rig->fake.host, rig->bus, device, NULL)))
        return false;
    rig->config = 0xc0000000 + (1 << 15);
    rig->bar = peek(&rig->fake, rig->config + 0x10, 4);
    poke(&rig->fake, rig->config + 4, 2, 6);
    return true;
}

static inline void rig_free(struct rig *rig)
{
    virtio_pci_free(rig->transport);
    CHECK_INT(rig->fake.event_count, 0);
    pci_bus_free(rig->bus);
    visor_memory_free(rig->memory);
}

static inline uint64_t reg(struct rig *rig, unsigned offset, uint32_t length)
{
    return peek(&rig->fake, rig->bar + offset, length);
}

static inline void set_reg(struct rig *rig, unsigned offset, uint32_t length, uint64_t value)
{
    poke(&rig->fake, rig->bar + offset, length, value);
}

static inline uint64_t features(struct rig *rig)
{
    uint64_t low;

    set_reg(rig, 0, 4, 0);
    low = reg(rig, 4, 4);
    set_reg(rig, 0, 4, 1);
    return low | reg(rig, 4, 4) << 32;
}

/* Initialization as in 3.1.1; whether the device agreed. */
static inline bool start(struct rig *rig, uint64_t wanted)
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

static inline void put_desc(struct rig *rig, unsigned index, uint64_t gpa, uint32_t length,
                            unsigned flags)
{
    struct {
        uint64_t gpa;
        uint32_t length;
        uint16_t flags, next;
    } desc = {gpa, length, (uint16_t)flags, (uint16_t)(index + 1)};

    visor_memory_write(rig->memory, DESC + index * 16, &desc, 16);
}

/* The index of a ring, which both sides see change. */
static inline uint16_t *ring_index(struct rig *rig, uint64_t ring)
{
    void *at = NULL;

    visor_memory_ptr(&at, rig->memory, ring + 2, 2);
    return at;
}

static inline uint16_t used_index(struct rig *rig)
{
    return __atomic_load_n(ring_index(rig, USED), __ATOMIC_ACQUIRE);
}

static inline void offer(struct rig *rig)
{
    uint16_t head = 0;

    visor_memory_write(rig->memory, AVAIL + 4 + 2u * (rig->avail_index % SIZE), &head, 2);
    rig->avail_index++;
    __atomic_store_n(ring_index(rig, AVAIL), rig->avail_index, __ATOMIC_RELEASE);
    set_reg(rig, NOTIFY, 2, 0);
}

/* Offers the chain at 0 and waits; the length that came back, or -1 if nothing did. */
static inline int64_t run(struct rig *rig)
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
static inline int request(struct rig *rig, uint32_t type, uint64_t sector, uint32_t length)
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

static inline void fill(struct rig *rig, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)(seed + i * 13 + (i >> 9));

        visor_memory_write(rig->memory, DATA + i, &byte, 1);
    }
}

static inline bool filled(const uint8_t *bytes, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        if (bytes[i] != (uint8_t)(seed + i * 13 + (i >> 9)))
            return false;
    }
    return true;
}

/* ---- images ---- */

static char image_path[HOST_PATH_MAX];

static inline bool make_image(uint64_t length)
{
    FILE *file;

    if (!CHECK(make_path(image_path)))
        return false;
    file = fopen(image_path, "r+b");
    return CHECK(
        file != NULL &&
        (length == 0 || (fseeko(file, (off_t)length - 1, SEEK_SET) == 0 && fputc(0, file) == 0)) &&
        fclose(file) == 0);
}

/* Where an image is written to, Windows lets nobody else look. */
static inline bool image_has(uint64_t offset, uint32_t length, uint8_t seed)
{
    uint8_t *bytes = malloc(length);
    FILE *file = fopen(image_path, "rb");
    bool has = file != NULL && bytes != NULL && fseeko(file, (off_t)offset, SEEK_SET) == 0 &&
               fread(bytes, 1, length, file) == length && filled(bytes, length, seed);

    if (file != NULL)
        fclose(file);
    free(bytes);
    return has;
}

static inline bool setup_blk(struct rig *rig, const virtio_blk_config *config)
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

#endif
