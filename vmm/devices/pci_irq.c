/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI Local Bus 3.0: 2.2.6 (INTx), 6.8.2 (MSI-X). */
#include "devices/pci_internal.h"

#include <stdlib.h>
#include <string.h>

#define MSIX_ENABLE      0x8000
#define MSIX_MASK_ALL    0x4000
#define MSIX_VECTOR_MASK 0x01 /* of the vector control word */

static unsigned line_of(const pci_config *layout, unsigned device, unsigned pin)
{
    unsigned line = (device + pin) % 4, first = 0;

    while (layout->gsi[first] != layout->gsi[line])
        first++; /* lines may be wired together */
    return first;
}

uint32_t pci_intx_gsi(const pci_config *config, unsigned device, unsigned pin)
{
    return config->gsi[(device + pin) % 4];
}

static uint16_t msix_control(const pci_device *device)
{
    return device->msix_cap ? pci_word(device, device->msix_cap + 2) : 0;
}

void pci_update_intx(pci_device *device)
{
    pci_bus *bus = device->bus;
    unsigned line = line_of(&bus->layout, device->number, 0);
    bool drive = device->intx_wanted && !(pci_word(device, PCI_COMMAND) & PCI_COMMAND_NO_INTX) &&
                 !(msix_control(device) & MSIX_ENABLE);

    if (device->intx_wanted)
        device->space[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        device->space[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    if (drive == device->intx_driven)
        return;
    device->intx_driven = drive;
    if (drive) {
        bus->line_users[line]++;
        bus->host->set_irq(bus->host->irq_context, bus->layout.gsi[line], true);
    } else if (--bus->line_users[line] == 0) {
        bus->host->set_irq(bus->host->irq_context, bus->layout.gsi[line], false);
    }
}

void pci_device_intx(pci_device *device, bool level)
{
    pthread_mutex_lock(&device->bus->lock);
    device->intx_wanted = level && device->config.intx;
    pci_update_intx(device);
    pthread_mutex_unlock(&device->bus->lock);
}

static uint32_t table_word(const pci_device *device, unsigned vector, unsigned word)
{
    uint32_t value;

    memcpy(&value, device->msix_table + (size_t)vector * MSIX_ENTRY + (size_t)word * 4,
           sizeof(value));
    return value;
}

static bool masked(const pci_device *device, unsigned vector)
{
    return msix_control(device) & MSIX_MASK_ALL || table_word(device, vector, 3) & MSIX_VECTOR_MASK;
}

static void send(const pci_device *device, unsigned vector)
{
    visor_msi msi = {
        .address = table_word(device, vector, 0) | (uint64_t)table_word(device, vector, 1) << 32,
        .data = table_word(device, vector, 2),
        .device_id = device->bus->layout.sender_ids ? device->number << 3 : 0,
        .has_device_id = device->bus->layout.sender_ids,
    };

    device->bus->host->send_msi(device->bus->host->context, &msi);
}

void pci_msix_flush(pci_device *device)
{
    if (!(msix_control(device) & MSIX_ENABLE))
        return;
    for (unsigned vector = 0; vector < device->config.msix_vectors; vector++) {
        uint8_t *byte = &device->msix_pending[vector / 8], bit = (uint8_t)(1 << vector % 8);

        if (*byte & bit && !masked(device, vector)) {
            *byte &= (uint8_t)~bit;
            send(device, vector);
        }
    }
}

void pci_device_msix(pci_device *device, uint16_t vector)
{
    pthread_mutex_lock(&device->bus->lock);
    if (vector < device->config.msix_vectors && msix_control(device) & MSIX_ENABLE) {
        if (masked(device, vector))
            device->msix_pending[vector / 8] |= (uint8_t)(1 << vector % 8);
        else
            send(device, vector);
    }
    pthread_mutex_unlock(&device->bus->lock);
}

bool pci_device_msix_enabled(pci_device *device)
{
    bool enabled;

    pthread_mutex_lock(&device->bus->lock);
    enabled = msix_control(device) & MSIX_ENABLE;
    pthread_mutex_unlock(&device->bus->lock);
    return enabled;
}

static uint32_t table_length(const pci_device *device)
{
    return (uint32_t)device->config.msix_vectors * MSIX_ENTRY;
}

/* Pending bits come in 64-bit words. */
static uint32_t pending_length(const pci_device *device)
{
    return (device->config.msix_vectors + 63u) / 64 * 8;
}

static void access_bytes(uint8_t *bytes, uint32_t length, bool writable, uint32_t offset,
                         visor_io *io)
{
    for (uint32_t i = 0; i < io->length && i < sizeof(io->data); i++) {
        if (!io->is_write)
            io->data[i] = offset + i < length ? bytes[offset + i] : 0;
        else if (writable && offset + i < length)
            bytes[offset + i] = io->data[i];
    }
}

bool pci_msix_access(pci_device *device, unsigned bar, uint32_t offset, visor_io *io)
{
    const pci_device_config *config = &device->config;

    if (!config->msix_vectors || bar != config->msix_bar)
        return false;
    if (offset >= config->msix_table && offset - config->msix_table < table_length(device)) {
        access_bytes(device->msix_table, table_length(device), true, offset - config->msix_table,
                     io);
        if (io->is_write)
            pci_msix_flush(device);
        return true;
    }
    if (offset >= config->msix_pba && offset - config->msix_pba < pending_length(device)) {
        access_bytes(device->msix_pending, pending_length(device), false, offset - config->msix_pba,
                     io);
        return true;
    }
    return false;
}

static bool fits(const pci_device_config *config, uint32_t offset, uint32_t length)
{
    uint32_t size = config->bar_size[config->msix_bar];

    return offset % 8 == 0 && length <= size && offset <= size - length;
}

int pci_msix_init(pci_device *device, vmm_error *error)
{
    const pci_device_config *config = &device->config;
    uint32_t table = table_length(device), pending = pending_length(device);
    uint32_t table_at = config->msix_table | config->msix_bar;
    uint32_t pba_at = config->msix_pba | config->msix_bar;
    uint8_t body[10] = {0};
    static const uint8_t control_mask[2] = {0x00, (MSIX_ENABLE | MSIX_MASK_ALL) >> 8};
    int offset;

    if (config->msix_vectors > 2048 || config->msix_bar > 5 ||
        !fits(config, config->msix_table, table) || !fits(config, config->msix_pba, pending) ||
        (config->msix_table < config->msix_pba + pending &&
         config->msix_pba < config->msix_table + table))
        return vmm_fail(error, VISOR_EINVAL, "%s: MSI-X structures do not fit", config->name);
    device->msix_table = calloc(1, table);
    device->msix_pending = calloc(1, pending);
    if (!device->msix_table || !device->msix_pending)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    for (unsigned vector = 0; vector < config->msix_vectors; vector++)
        device->msix_table[vector * MSIX_ENTRY + 12] = MSIX_VECTOR_MASK; /* the reset value */
    body[0] = (uint8_t)(config->msix_vectors - 1);
    body[1] = (uint8_t)((config->msix_vectors - 1) >> 8);
    memcpy(body + 2, &table_at, sizeof(table_at));
    memcpy(body + 6, &pba_at, sizeof(pba_at));
    offset = pci_device_add_capability(device, PCI_CAP_MSIX, body, sizeof(body));
    if (offset < 0)
        return vmm_fail(error, offset, "%s: no room for capabilities", config->name);
    device->msix_cap = (unsigned)offset;
    pci_device_set_writable(device, device->msix_cap + 2, control_mask, sizeof(control_mask));
    return 0;
}
