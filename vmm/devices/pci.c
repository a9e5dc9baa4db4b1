/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI Local Bus 3.0, chapter 6 and 3.2.2.3.2; PCI Express Base 3.0, 7.2.2 (ECAM). */
#include "devices/pci_internal.h"

#include <stdlib.h>
#include <string.h>

#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE 0x80000000u
#define ECAM_FUNCTION  0x1000 /* bytes of each function */
#define FUNCTIONS      8

/* ---- configuration space ---- */

static uint32_t bar_address(const pci_device *device, unsigned bar)
{
    uint32_t value;

    memcpy(&value, &device->space[PCI_BAR + 4 * bar], sizeof(value));
    return value & ~0xfu;
}

/* Where a BAR can be reached now: only inside the window of the bus; 0 if nowhere. */
static uint64_t bar_reach(const pci_device *device, unsigned bar)
{
    const pci_config *layout = &device->bus->layout;
    uint32_t size = device->config.bar_size[bar], address = bar_address(device, bar);

    if (!size || !(pci_word(device, PCI_COMMAND) & PCI_COMMAND_MEMORY) ||
        address < layout->window || address - layout->window > layout->window_length - size)
        return 0;
    return address;
}

/* Tells the model what a write to configuration space changed. With bus->config held. */
static void tell_changes(pci_device *device)
{
    pci_bus *bus = device->bus;
    uint64_t reach;
    bool master, changed;

    for (unsigned bar = 0; bar < 6; bar++) {
        pthread_mutex_lock(&bus->lock);
        reach = bar_reach(device, bar);
        changed = reach != device->bar_seen[bar];
        device->bar_seen[bar] = reach;
        pthread_mutex_unlock(&bus->lock);
        if (changed && device->config.moved)
            device->config.moved(device->config.context, bar, reach);
    }
    pthread_mutex_lock(&bus->lock);
    master = pci_word(device, PCI_COMMAND) & PCI_COMMAND_MASTER;
    changed = master != device->master_seen;
    device->master_seen = master;
    pthread_mutex_unlock(&bus->lock);
    if (changed && device->config.master)
        device->config.master(device->config.context, master);
}

static void write_config(pci_device *device, unsigned offset, const visor_io *io)
{
    pci_bus *bus = device->bus;

    pthread_mutex_lock(&bus->lock);
    for (uint32_t i = 0; i < io->length && offset + i < PCI_CONFIG_SIZE; i++) {
        uint8_t mask = device->writable[offset + i], *byte = &device->space[offset + i];

        *byte = (uint8_t)((*byte & ~mask) | (io->data[i] & mask));
    }
    pci_update_intx(device);
    pci_msix_flush(device);
    pthread_mutex_unlock(&bus->lock);
    tell_changes(device);
}

static void read_config(pci_device *device, unsigned offset, visor_io *io)
{
    pthread_mutex_lock(&device->bus->lock);
    for (uint32_t i = 0; i < io->length; i++) {
        if (offset + i < PCI_CONFIG_SIZE)
            io->data[i] = device->space[offset + i];
        else
            io->data[i] = 0; /* no extended capabilities; an access ends at its function */
    }
    pthread_mutex_unlock(&device->bus->lock);
}

static void access_config(pci_bus *bus, unsigned function, unsigned offset, visor_io *io)
{
    pci_device *device = NULL;

    if (function % FUNCTIONS == 0 && function / FUNCTIONS < PCI_DEVICES)
        device = bus->devices[function / FUNCTIONS];
    if (!device) {
        if (!io->is_write)
            visor_io_set_value(io, UINT64_MAX);
        return;
    }
    pthread_mutex_lock(&bus->config);
    if (device->config.config_access && offset >= device->hook_offset &&
        offset - device->hook_offset < device->hook_length)
        device->config.config_access(device->config.context, offset - device->hook_offset, io);
    else if (io->is_write)
        write_config(device, offset, io);
    else
        read_config(device, offset, io);
    pthread_mutex_unlock(&bus->config);
}

static int handle_ecam(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pci_bus *bus = context;
    uint64_t offset = io->address - bus->layout.ecam;

    (void)vcpu;
    access_config(bus, (unsigned)(offset / ECAM_FUNCTION), offset % ECAM_FUNCTION, io);
    return VISOR_IO_DONE;
}

static int handle_ports(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pci_bus *bus = context;
    uint32_t address;

    (void)vcpu;
    pthread_mutex_lock(&bus->lock);
    address = bus->address;
    if (io->address == PORT_ADDRESS && io->length == 4) {
        if (io->is_write)
            bus->address = (uint32_t)visor_io_value(io) & 0x80fffffc;
        else
            visor_io_set_value(io, address);
        pthread_mutex_unlock(&bus->lock);
        return VISOR_IO_DONE;
    }
    pthread_mutex_unlock(&bus->lock);
    if (io->address < PORT_DATA) {
        if (!io->is_write)
            visor_io_set_value(io, UINT64_MAX);
    } else if (address & ADDRESS_ENABLE) {
        /* bits 23 to 8: bus, device, function; other buses have numbers past our functions */
        access_config(bus, address >> 8 & 0xffff,
                      (address & 0xfc) + (unsigned)(io->address - PORT_DATA), io);
    } else if (!io->is_write) {
        visor_io_set_value(io, UINT64_MAX);
    }
    return VISOR_IO_DONE;
}

/* ---- memory of the devices ---- */

static int handle_window(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pci_bus *bus = context;
    pci_device *device = NULL;
    uint32_t offset = 0, size = 0;
    unsigned bar = 0;
    uint64_t reach;
    bool served = false;

    (void)vcpu;
    pthread_mutex_lock(&bus->lock);
    for (unsigned i = 0; i < PCI_DEVICES && !device; i++) {
        for (unsigned b = 0; b < 6 && bus->devices[i] && !device; b++) {
            reach = bar_reach(bus->devices[i], b);
            size = bus->devices[i]->config.bar_size[b];
            if (reach && io->address >= reach && io->address - reach < size) {
                device = bus->devices[i];
                bar = b;
                offset = (uint32_t)(io->address - reach);
                break;
            }
        }
    }
    if (device && io->length <= size - offset)
        served = pci_msix_access(device, bar, offset, io);
    else
        device = NULL;
    pthread_mutex_unlock(&bus->lock);
    if (device && !served)
        device->config.access(device->config.context, bar, offset, io);
    else if (!device && !io->is_write)
        visor_io_set_value(io, UINT64_MAX); /* a master abort */
    return VISOR_IO_DONE;
}

/* ---- set-up ---- */

static void put(pci_device *device, unsigned offset, uint32_t value, unsigned length)
{
    memcpy(&device->space[offset], &value, length);
}

static int place_bars(pci_device *device, vmm_error *error)
{
    pci_bus *bus = device->bus;
    uint64_t window_end = (uint64_t)bus->layout.window + bus->layout.window_length, address;
    uint32_t size, mask;

    for (unsigned bar = 0; bar < 6; bar++) {
        size = device->config.bar_size[bar];
        if (!size)
            continue;
        if (size & (size - 1) || size < 16)
            return vmm_fail(error, VISOR_EINVAL, "%s: BAR %u of %u bytes", device->config.name, bar,
                            size);
        address = ((uint64_t)bus->next_bar + size - 1) & ~((uint64_t)size - 1);
        if (address + size > window_end)
            return vmm_fail(error, VISOR_ELIMIT, "%s: no room in the PCI window",
                            device->config.name);
        /* Pages of their own, so that a guest can map one without the next. */
        bus->next_bar = (uint32_t)((address + size + 0xfff) & ~0xfffull);
        mask = ~(size - 1);
        put(device, PCI_BAR + 4 * bar, (uint32_t)address, 4);
        memcpy(&device->writable[PCI_BAR + 4 * bar], &mask, sizeof(mask));
    }
    return 0;
}

static void free_device(pci_device *device)
{
    free(device->msix_table);
    free(device->msix_pending);
    free(device);
}

static void fill_header(pci_device *device)
{
    static const uint8_t command_mask[2] = {PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                                            PCI_COMMAND_NO_INTX >> 8};
    const pci_device_config *config = &device->config;

    put(device, PCI_VENDOR, config->vendor | (uint32_t)config->device << 16, 4);
    put(device, PCI_REVISION, config->revision, 1);
    put(device, PCI_CLASS, config->class_code, 3);
    put(device, PCI_SUBSYSTEM, config->subsystem_vendor | (uint32_t)config->subsystem << 16, 4);
    put(device, PCI_INTERRUPT_PIN, config->intx, 1);
    if (config->intx) /* what firmware would leave there; the routing itself is _PRT's */
        put(device, PCI_INTERRUPT_LINE, pci_intx_gsi(&device->bus->layout, device->number, 0), 1);
    device->writable[PCI_INTERRUPT_LINE] = 0xff;
    pci_device_set_writable(device, PCI_COMMAND, command_mask, sizeof(command_mask));
    device->next_cap = PCI_HEADER_END;
}

int pci_device_add(pci_device **out, pci_bus *bus, const pci_device_config *config,
                   vmm_error *error)
{
    uint32_t next_bar = bus->next_bar;
    pci_device *device;
    unsigned number = 0;
    int result;

    while (number < PCI_DEVICES && bus->devices[number])
        number++;
    if (number == PCI_DEVICES)
        return vmm_fail(error, VISOR_ELIMIT, "%s: a PCI bus has room for %d devices", config->name,
                        PCI_DEVICES - 1);
    device = calloc(1, sizeof(*device));
    if (!device)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    device->bus = bus;
    device->number = number;
    device->config = *config;
    fill_header(device);
    result = place_bars(device, error);
    if (result >= 0 && config->msix_vectors)
        result = pci_msix_init(device, error);
    if (result < 0) {
        bus->next_bar = next_bar;
        free_device(device);
        return result;
    }
    pthread_mutex_lock(&bus->lock);
    bus->devices[number] = device;
    pthread_mutex_unlock(&bus->lock);
    *out = device;
    return (int)number;
}

int pci_device_add_capability(pci_device *device, uint8_t id, const void *body, size_t length)
{
    unsigned offset = device->next_cap;

    if (length > PCI_CONFIG_SIZE || offset + 2 + length > PCI_CONFIG_SIZE)
        return VISOR_ELIMIT;
    put(device, device->last_cap ? device->last_cap + 1 : PCI_CAPABILITIES, offset, 1);
    device->space[offset] = id;
    memcpy(&device->space[offset + 2], body, length);
    device->space[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    device->last_cap = offset;
    device->next_cap = (unsigned)((offset + 2 + length + 3) & ~3ul);
    return (int)offset;
}

void pci_device_set_writable(pci_device *device, unsigned offset, const uint8_t *mask,
                             size_t length)
{
    memcpy(&device->writable[offset], mask, length);
}

void pci_device_hook_config(pci_device *device, unsigned offset, unsigned length)
{
    device->hook_offset = offset;
    device->hook_length = length;
}

uint32_t pci_device_config_value(pci_device *device, unsigned offset, unsigned length)
{
    uint32_t value = 0;

    pthread_mutex_lock(&device->bus->lock);
    memcpy(&value, &device->space[offset], length);
    pthread_mutex_unlock(&device->bus->lock);
    return value;
}

bool pci_device_bus_master(pci_device *device)
{
    return pci_device_config_value(device, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

int pci_bus_create(pci_bus **out, const vmm_host *host, const pci_config *config, vmm_error *error)
{
    /* The identity that other light VMMs use for a bridge without registers of its own. */
    static const pci_device_config bridge = {
        .name = "PCI host bridge",
        .vendor = 0x8086,
        .device = 0x0d57,
        .class_code = 0x060000,
    };
    pci_bus *bus = calloc(1, sizeof(*bus));
    pci_device *device;
    int result;

    if (!bus)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    bus->host = host;
    bus->layout = *config;
    bus->next_bar = config->window;
    pthread_mutex_init(&bus->config, NULL);
    pthread_mutex_init(&bus->lock, NULL);
    result = pci_device_add(&device, bus, &bridge, error);
    if (result >= 0)
        result = vmm_map_io(host, VISOR_MMIO, config->ecam, PCI_ECAM_LENGTH, handle_ecam, bus,
                            "PCI configuration space", error);
    if (result >= 0)
        result = vmm_map_io(host, VISOR_MMIO, config->window, config->window_length, handle_window,
                            bus, "PCI memory window", error);
    if (result >= 0 && config->ports)
        result = vmm_map_io(host, VISOR_PIO, PORT_ADDRESS, 8, handle_ports, bus,
                            "PCI configuration ports", error);
    if (result < 0) {
        pci_bus_free(bus);
        return result;
    }
    *out = bus;
    return 0;
}

void pci_bus_free(pci_bus *bus)
{
    if (!bus)
        return;
    for (unsigned i = 0; i < PCI_DEVICES; i++) {
        if (bus->devices[i])
            free_device(bus->devices[i]);
    }
    pthread_mutex_destroy(&bus->config);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}
