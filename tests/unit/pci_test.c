/* SPDX-License-Identifier: BSD-3-Clause */
/* The PCI bus: configuration, BARs, INTx, MSI-X. */
#include "unit.h"

#include "devices/pci.h"
#include "fake_host.h"

#define ECAM   0xc0000000ull
#define WINDOW 0xd0000000ull

struct model {
    unsigned accesses, moves, masters;
    uint64_t gpa;
    bool master;
    uint32_t offset;
    uint64_t value;
};

struct bus {
    fake_host fake;
    pci_bus *bus;
    pci_device *device[2];
    struct model model[2];
};

static void model_access(void *context, unsigned bar, uint32_t offset, visor_io *io)
{
    struct model *model = context;

    CHECK_INT(bar, 0);
    model->accesses++;
    model->offset = offset;
    if (io->is_write)
        model->value = visor_io_value(io);
    else
        visor_io_set_value(io, model->value);
}

static void model_moved(void *context, unsigned bar, uint64_t gpa)
{
    struct model *model = context;

    (void)bar;
    model->moves++;
    model->gpa = gpa;
}

static void model_master(void *context, bool on)
{
    struct model *model = context;

    model->masters++;
    model->master = on;
}

static bool setup(struct bus *bus, uint32_t same_gsi)
{
    pci_config config = PCI_CONFIG_PC;
    pci_device_config device = {
        .name = "model",
        .vendor = 0x1af4,
        .device = 0x1042,
        .subsystem_vendor = 0x1af4,
        .subsystem = 0x1100,
        .class_code = 0x018000,
        .revision = 1,
        .bar_size = {0x8000},
        .intx = true,
        .msix_vectors = 3,
        .msix_table = 0x4000,
        .msix_pba = 0x5000,
        .access = model_access,
        .moved = model_moved,
        .master = model_master,
    };

    memset(bus, 0, sizeof(*bus));
    fake_init(&bus->fake, NULL);
    for (unsigned i = 0; i < 4 && same_gsi; i++)
        config.gsi[i] = same_gsi;
    if (!CHECK_OK(pci_bus_create(&bus->bus, &bus->fake.host, &config, NULL)))
        return false;
    for (int i = 0; i < 2; i++) {
        device.context = &bus->model[i];
        CHECK_INT(pci_device_add(&bus->device[i], bus->bus, &device, NULL), 1 + i);
    }
    return true;
}

static uint64_t config_at(unsigned device, unsigned offset)
{
    return ECAM + (device << 15) + offset;
}

static uint32_t conf1(fake_host *fake, uint32_t address, uint16_t port, uint32_t length)
{
    fake_access(fake, VISOR_PIO, 0xcf8, 4, true, address);
    return (uint32_t)fake_access(fake, VISOR_PIO, port, length, false, 0);
}

TEST(pci_is_found_both_ways)
{
    struct bus bus;

    REQUIRE(setup(&bus, 0));
    CHECK_INT(peek(&bus.fake, config_at(0, 0), 4), 0x0d578086);
    CHECK_INT(peek(&bus.fake, config_at(0, 8), 4), 0x06000000);
    CHECK_INT(peek(&bus.fake, config_at(1, 0), 4), 0x10421af4);
    CHECK_INT(peek(&bus.fake, config_at(1, 0x2c), 4), 0x11001af4);
    CHECK_INT(peek(&bus.fake, config_at(3, 0), 4), 0xffffffff);
    CHECK_INT(peek(&bus.fake, config_at(1, 0x1000), 4), 0xffffffff); /* function 1 */
    CHECK_INT(peek(&bus.fake, config_at(1, 0x100), 4), 0);           /* no extended capabilities */
    CHECK_INT(conf1(&bus.fake, 0x80000000, 0xcfc, 4), 0x0d578086);
    CHECK_INT(conf1(&bus.fake, 0x80000800, 0xcfe, 2), 0x1042);
    CHECK_INT(conf1(&bus.fake, 0x80000800, 0xcff, 1), 0x10);
    CHECK_INT(conf1(&bus.fake, 0x80010800, 0xcfc, 4), 0xffffffff); /* bus 1 */
    CHECK_INT(conf1(&bus.fake, 0x80000900, 0xcfc, 4), 0xffffffff); /* function 1 */
    CHECK_INT(conf1(&bus.fake, 0x00000800, 0xcfc, 4), 0xffffffff); /* not enabled */
    CHECK_INT(fake_access(&bus.fake, VISOR_PIO, 0xcf8, 4, false, 0), 0x00000800);
    pci_bus_free(bus.bus);
}

TEST(pci_bars_can_be_sized_and_moved)
{
    struct bus bus;
    uint64_t bar;

    REQUIRE(setup(&bus, 0));
    bar = peek(&bus.fake, config_at(1, 0x10), 4);
    CHECK(bar >= WINDOW && bar % 0x8000 == 0);
    CHECK_INT(peek(&bus.fake, bar, 4), 0xffffffff); /* memory decoding is off */
    CHECK_INT(bus.model[0].accesses, 0);
    poke(&bus.fake, config_at(1, 4), 2, 0x0002);
    CHECK_INT(bus.model[0].gpa, bar);
    poke(&bus.fake, bar + 0x10, 4, 0x12345678);
    CHECK_INT(bus.model[0].offset, 0x10);
    CHECK_INT(bus.model[0].value, 0x12345678);
    poke(&bus.fake, config_at(1, 0x10), 4, 0xffffffff);
    CHECK_INT(peek(&bus.fake, config_at(1, 0x10), 4), 0xffff8000);
    CHECK_INT(bus.model[0].gpa, 0);
    poke(&bus.fake, config_at(1, 0x10), 4, WINDOW + 0x100000);
    CHECK_INT(bus.model[0].gpa, WINDOW + 0x100000);
    CHECK_INT(peek(&bus.fake, WINDOW + 0x100010, 4), 0x12345678);
    CHECK_INT(peek(&bus.fake, bar + 0x10, 4), 0xffffffff);
    poke(&bus.fake, config_at(1, 0x14), 4, 0xffffffff); /* no such BAR */
    CHECK_INT(peek(&bus.fake, config_at(1, 0x14), 4), 0);
    poke(&bus.fake, config_at(1, 4), 2, 0);
    CHECK_INT(bus.model[0].gpa, 0);
    CHECK_INT(bus.model[1].moves, 0);
    pci_bus_free(bus.bus);
}

TEST(pci_says_when_the_device_may_reach_memory)
{
    struct bus bus;

    REQUIRE(setup(&bus, 0));
    CHECK(!pci_device_bus_master(bus.device[0]));
    poke(&bus.fake, config_at(1, 4), 2, 0x0006);
    CHECK(pci_device_bus_master(bus.device[0]));
    CHECK(bus.model[0].master);
    poke(&bus.fake, config_at(1, 4), 1, 0x02);
    CHECK(!pci_device_bus_master(bus.device[0]));
    CHECK_INT(bus.model[0].masters, 2);
    pci_bus_free(bus.bus);
}

TEST(pci_identity_is_read_only)
{
    struct bus bus;
    uint8_t before[64];

    REQUIRE(setup(&bus, 0));
    for (unsigned i = 0; i < 64; i++)
        before[i] = (uint8_t)peek(&bus.fake, config_at(1, i), 1);
    for (unsigned i = 0; i < 64; i++) {
        if (i >= 0x10 && i < 0x28)
            continue; /* BARs */
        poke(&bus.fake, config_at(1, i), 1, (uint8_t)~before[i]);
        if (i != 4 && i != 5 && i != 0x3c)
            CHECK_INT(peek(&bus.fake, config_at(1, i), 1), before[i]);
    }
    CHECK_INT(peek(&bus.fake, config_at(1, 4), 2), 0x0406);
    pci_bus_free(bus.bus);
}

TEST(pci_lines_are_shared_levels)
{
    pci_config config = PCI_CONFIG_PC;
    struct bus bus;
    uint32_t gsi;

    CHECK_INT(pci_intx_gsi(&config, 1, 0), 17);
    CHECK_INT(pci_intx_gsi(&config, 3, 1), 16);
    REQUIRE(setup(&bus, 20));
    gsi = 20;
    pci_device_intx(bus.device[0], true);
    CHECK(bus.fake.line[gsi]);
    CHECK_INT(peek(&bus.fake, config_at(1, 6), 2) & 8, 8);
    pci_device_intx(bus.device[1], true);
    pci_device_intx(bus.device[0], false);
    CHECK(bus.fake.line[gsi]);
    poke(&bus.fake, config_at(2, 4), 2, 0x0400); /* interrupt disable */
    CHECK(!bus.fake.line[gsi]);
    CHECK_INT(peek(&bus.fake, config_at(2, 6), 2) & 8, 8);
    poke(&bus.fake, config_at(2, 4), 2, 0);
    CHECK(bus.fake.line[gsi]);
    pci_device_intx(bus.device[1], false);
    CHECK(!bus.fake.line[gsi]);
    CHECK_INT(bus.fake.raised[gsi], 2);
    pci_bus_free(bus.bus);
}

static unsigned find_capability(fake_host *fake, unsigned device, unsigned id)
{
    unsigned at = (unsigned)peek(fake, config_at(device, 0x34), 1);

    for (unsigned i = 0; at && i < 48; i++) {
        if (peek(fake, config_at(device, at), 1) == id)
            return at;
        at = (unsigned)peek(fake, config_at(device, at + 1), 1);
    }
    return 0;
}

TEST(pci_msix_sends_masks_and_remembers)
{
    struct bus bus;
    unsigned cap;
    uint64_t table, pba;

    REQUIRE(setup(&bus, 0));
    cap = find_capability(&bus.fake, 1, 0x11);
    REQUIRE(cap != 0);
    CHECK_INT(peek(&bus.fake, config_at(1, cap + 2), 2), 2); /* three vectors */
    CHECK_INT(peek(&bus.fake, config_at(1, cap + 4), 4), 0x4000);
    table = peek(&bus.fake, config_at(1, 0x10), 4) + 0x4000;
    pba = table + 0x1000;
    poke(&bus.fake, config_at(1, 4), 2, 0x0006);
    pci_device_msix(bus.device[0], 0);
    CHECK_INT(bus.fake.msi_count, 0); /* not enabled */
    CHECK_INT(peek(&bus.fake, table + 12, 4), 1);
    for (unsigned i = 0; i < 3; i++) {
        poke(&bus.fake, table + 16ull * i, 8, 0xfee00000 + 0x1000ull * i);
        poke(&bus.fake, table + 16ull * i + 8, 4, 0x40 + i);
    }
    pci_device_intx(bus.device[0], true);
    CHECK(bus.fake.line[17]);
    poke(&bus.fake, config_at(1, cap + 2), 2, 0xc000);
    CHECK(pci_device_msix_enabled(bus.device[0]));
    CHECK(!bus.fake.line[17]); /* MSI-X instead of the line */
    poke(&bus.fake, table + 16 + 12, 4, 0);
    pci_device_msix(bus.device[0], 1);
    pci_device_msix(bus.device[0], 2);
    CHECK_INT(bus.fake.msi_count, 0); /* the function is masked */
    CHECK_INT(peek(&bus.fake, pba, 8), 6);
    poke(&bus.fake, pba, 8, 0);
    CHECK_INT(peek(&bus.fake, pba, 8), 6); /* read-only */
    poke(&bus.fake, config_at(1, cap + 2), 2, 0x8000);
    CHECK_INT(bus.fake.msi_count, 1);
    CHECK_INT(bus.fake.msi[0].address, 0xfee01000);
    CHECK_INT(bus.fake.msi[0].data, 0x41);
    CHECK(!bus.fake.msi[0].has_device_id);
    CHECK_INT(peek(&bus.fake, pba, 8), 4);
    poke(&bus.fake, table + 32 + 12, 4, 0);
    CHECK_INT(bus.fake.msi_count, 2);
    CHECK_INT(bus.fake.msi[1].data, 0x42);
    CHECK_INT(peek(&bus.fake, pba, 8), 0);
    pci_device_msix(bus.device[0], 1);
    CHECK_INT(bus.fake.msi_count, 3);
    pci_device_msix(bus.device[0], 3);
    pci_device_msix(bus.device[0], 0xffff);
    CHECK_INT(bus.fake.msi_count, 3);
    pci_bus_free(bus.bus);
}

/* Every width at every place, written with every bit: nothing may break, no model may see more than
 * its BAR. */
TEST(pci_survives_odd_accesses)
{
    struct bus bus;
    uint64_t bar;

    REQUIRE(setup(&bus, 0));
    bar = peek(&bus.fake, config_at(1, 0x10), 4);
    for (uint32_t length = 1; length <= 8; length++) {
        for (uint64_t offset = 0; offset < 0x110; offset++) {
            poke(&bus.fake, config_at(1, 0) + offset, length, UINT64_MAX);
            peek(&bus.fake, config_at(1, 0) + offset, length);
            poke(&bus.fake, config_at(1, 0) + offset, length, 0);
        }
        peek(&bus.fake, config_at(1, 0xfff), length);
        peek(&bus.fake, ECAM + PCI_ECAM_LENGTH - 1, length);
        poke(&bus.fake, ECAM + PCI_ECAM_LENGTH - 1, length, UINT64_MAX);
        for (uint16_t port = 0xcf8; port < 0xd00; port++) {
            fake_access(&bus.fake, VISOR_PIO, port, length, true, UINT64_MAX);
            fake_access(&bus.fake, VISOR_PIO, port, length, false, 0);
        }
    }
    poke(&bus.fake, config_at(1, 0x10), 4, bar);
    poke(&bus.fake, config_at(1, 4), 2, 2);
    for (uint32_t length = 1; length <= 8; length++) {
        for (uint64_t at = bar + 0x3ff0; at < bar + 0x4040; at++)
            poke(&bus.fake, at, length, UINT64_MAX);
        for (uint64_t at = bar + 0x4ff0; at < bar + 0x5010; at++)
            peek(&bus.fake, at, length);
        bus.model[0].offset = 0;
        peek(&bus.fake, bar + 0x7fff, length);
        CHECK_INT(bus.model[0].offset, length == 1 ? 0x7fff : 0);
    }
    CHECK_INT(peek(&bus.fake, WINDOW + 0xfffffff, 1), 0xff);
    pci_bus_free(bus.bus);
}

TEST(pci_messages_can_tell_their_sender)
{
    pci_config config = PCI_CONFIG_PC;
    const pci_device_config device = {.name = "model",
                                      .bar_size = {0x8000},
                                      .msix_vectors = 1,
                                      .msix_table = 0x4000,
                                      .msix_pba = 0x5000};
    pci_device *out[2];
    fake_host fake;
    pci_bus *bus;

    fake_init(&fake, NULL);
    config.sender_ids = true;
    REQUIRE_OK(pci_bus_create(&bus, &fake.host, &config, NULL));
    for (unsigned i = 0; i < 2; i++) {
        unsigned cap;

        REQUIRE(pci_device_add(&out[i], bus, &device, NULL) == (int)i + 1);
        cap = find_capability(&fake, i + 1, 0x11);
        poke(&fake, config_at(i + 1, cap + 2), 2, 0x8000);
        poke(&fake, config_at(i + 1, 4), 2, 0x0006);
        poke(&fake, peek(&fake, config_at(i + 1, 0x10), 4) + 0x4000 + 12, 4, 0);
        pci_device_msix(out[i], 0);
        CHECK_INT(fake.msi_count, i + 1);
        CHECK(fake.msi[i].has_device_id);
        CHECK_INT(fake.msi[i].device_id, (i + 1) << 3);
    }
    pci_bus_free(bus);
}

TEST(pci_refuses_what_does_not_fit)
{
    pci_config config = PCI_CONFIG_PC;
    pci_device_config device = {.name = "model", .bar_size = {0x10000}};
    pci_device *out;
    vmm_error error;
    fake_host fake;
    pci_bus *bus;
    int added;

    fake_init(&fake, NULL);
    config.window_length = 0x18000;
    REQUIRE_OK(pci_bus_create(&bus, &fake.host, &config, NULL));
    CHECK_INT(pci_device_add(&out, bus, &device, NULL), 1);
    CHECK_INT(pci_device_add(&out, bus, &device, &error), VISOR_ELIMIT);
    CHECK_STR(error.text, "model: no room in the PCI window");
    device.bar_size[0] = 0x3000;
    CHECK_INT(pci_device_add(&out, bus, &device, &error), VISOR_EINVAL);
    device.bar_size[0] = 0x1000;
    device.msix_vectors = 200;
    device.msix_pba = 0x800;
    CHECK_INT(pci_device_add(&out, bus, &device, &error), VISOR_EINVAL);
    device.bar_size[0] = 0;
    device.msix_vectors = 0;
    do {
        added = pci_device_add(&out, bus, &device, &error);
    } while (added > 0);
    CHECK_INT(added, VISOR_ELIMIT);
    CHECK_INT(pci_device_add_capability(out, 9, &fake, 200), VISOR_ELIMIT);
    pci_bus_free(bus);
}

UNIT_MAIN()
