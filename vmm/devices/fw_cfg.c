/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU, docs/specs/fw_cfg.rst. */
#include "devices/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

#define PORT_SELECT 0x510 /* 16 bits, write */
#define PORT_DATA   0x511 /* 8 bits, read */
#define PORT_DMA    0x514 /* an address of 64 bits, big-endian, high half first */
#define PORT_COUNT  12

#define KEY_SIGNATURE  0x00
#define KEY_FEATURES   0x01
#define KEY_DIRECTORY  0x19
#define KEY_FIRST_FILE 0x20
#define HAS_DMA        3 /* bit 0: the ports, which are always there */

#define ITEMS      48
#define FILES      16
#define ENTRY_SIZE 64 /* of the directory: size, key, 2 bytes, name */

/* The first word of what the guest's DMA address points to; then come length and address. */
#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u
#define DMA_SIZE   16

struct item {
    uint16_t key;
    const uint8_t *data; /* NULL: the number */
    size_t length;
    uint8_t number[8];
};

struct fw_cfg {
    const vmm_host *host;
    pthread_mutex_t lock;
    struct item items[ITEMS];
    unsigned int item_count;
    uint8_t directory[4 + FILES * ENTRY_SIZE];
    unsigned int file_count;
    const struct item *selected; /* NULL: one that is not there, which reads as zeros */
    size_t offset;
    uint64_t dma_address;
};

static void put_big(uint8_t *at, uint64_t value, unsigned int width)
{
    for (unsigned int i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

static uint64_t get_big(const uint8_t *at, unsigned int width)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < width; i++)
        value = value << 8 | at[i];
    return value;
}

/* ---- reading, with the lock held ---- */

static void select_item(fw_cfg *device, uint16_t key)
{
    device->selected = NULL;
    device->offset = 0;
    for (unsigned int i = 0; i < device->item_count; i++) {
        if (device->items[i].key == key)
            device->selected = &device->items[i];
    }
}

/* The bytes that come next, and how many: past the end of the item none. */
static size_t rest(const fw_cfg *device, const uint8_t **data)
{
    const struct item *item = device->selected;

    if (item == NULL || device->offset >= item->length)
        return 0;
    *data = (item->data != NULL ? item->data : item->number) + device->offset;
    return item->length - device->offset;
}

static void advance(fw_cfg *device, size_t length)
{
    if (length < SIZE_MAX - device->offset)
        device->offset += length;
}

/* Past the end of an item there are zeros. */
static int copy_out(fw_cfg *device, uint64_t gpa, size_t length)
{
    static const uint8_t zeros[4096];
    const uint8_t *data;
    int code = 0;

    while (length > 0 && code == 0) {
        size_t part = rest(device, &data);

        if (part == 0) {
            data = zeros;
            part = sizeof(zeros);
        }
        if (part > length)
            part = length;
        code = visor_memory_write(device->host->memory, gpa, data, part);
        advance(device, part);
        gpa += part;
        length -= part;
    }
    return code;
}

static void do_dma(fw_cfg *device)
{
    visor_memory *memory = device->host->memory;
    uint64_t at = device->dma_address;
    uint8_t request[DMA_SIZE], answer[4];
    uint32_t control, length;
    int code = 0;

    device->dma_address = 0;
    if (visor_memory_read(request, memory, at, sizeof(request)) != 0)
        return; /* there is nowhere to say so */
    control = (uint32_t)get_big(request, 4);
    length = (uint32_t)get_big(request + 4, 4);
    if ((control & DMA_SELECT) != 0)
        select_item(device, (uint16_t)(control >> 16));
    if ((control & DMA_READ) != 0)
        code = copy_out(device, get_big(request + 8, 8), length);
    else if ((control & DMA_WRITE) != 0)
        code = VISOR_EUNSUPPORTED;
    else if ((control & DMA_SKIP) != 0)
        advance(device, length);
    put_big(answer, code != 0 ? DMA_ERROR : 0, 4);
    visor_memory_write(memory, at, answer, sizeof(answer));
}

/* ---- ports ---- */

static void write_ports(fw_cfg *device, const visor_io *io)
{
    if (io->address == PORT_SELECT && io->length == 2) {
        select_item(device, (uint16_t)visor_io_value(io));
    } else if (io->address == PORT_DMA && io->length == 4) {
        device->dma_address = get_big(io->data, 4) << 32;
    } else if (io->address == PORT_DMA + 4 && io->length == 4) {
        device->dma_address |= get_big(io->data, 4);
        do_dma(device);
    }
}

static void read_ports(fw_cfg *device, visor_io *io)
{
    static const uint8_t signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};
    const uint8_t *data;

    visor_io_set_value(io, 0);
    if (io->address == PORT_DATA && rest(device, &data) != 0) {
        io->data[0] = *data;
        advance(device, 1);
    } else if (io->address >= PORT_DMA) {
        uint64_t offset = io->address - PORT_DMA;

        for (uint32_t i = 0; i < io->length && offset + i < sizeof(signature); i++)
            io->data[i] = signature[offset + i];
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    fw_cfg *device = context;

    (void)vcpu;
    pthread_mutex_lock(&device->lock);
    if (io->is_write)
        write_ports(device, io);
    else
        read_ports(device, io);
    pthread_mutex_unlock(&device->lock);
    return VISOR_IO_DONE;
}

/* ---- set-up ---- */

static struct item *add_item(fw_cfg *device, uint16_t key, const void *data, size_t length)
{
    struct item *item = &device->items[device->item_count];

    if (device->item_count == ITEMS)
        return NULL;
    device->item_count++;
    *item = (struct item){.key = key, .data = data, .length = length};
    return item;
}

static int fail_full(vmm_error *error)
{
    return vmm_fail(error, VISOR_ELIMIT, "firmware configuration: no room for another item");
}

int fw_cfg_add(fw_cfg *device, uint16_t key, const void *data, size_t length, vmm_error *error)
{
    return add_item(device, key, data, length) != NULL ? 0 : fail_full(error);
}

int fw_cfg_add_number(fw_cfg *device, uint16_t key, uint64_t value, unsigned int width,
                      vmm_error *error)
{
    struct item *item = add_item(device, key, NULL, width);

    if (item == NULL)
        return fail_full(error);
    for (unsigned int i = 0; i < width; i++)
        item->number[i] = (uint8_t)(value >> (8 * i));
    return 0;
}

/* The next key, once the directory has the file. */
static int add_entry(uint16_t *key, fw_cfg *device, const char *name, size_t length,
                     vmm_error *error)
{
    uint8_t *entry = device->directory + 4 + (size_t)device->file_count * ENTRY_SIZE;

    if (device->file_count == FILES || strlen(name) > FW_CFG_NAME_MAX || length > UINT32_MAX)
        return vmm_fail(error, VISOR_ELIMIT, "firmware configuration: no room for file '%s'", name);
    *key = (uint16_t)(KEY_FIRST_FILE + device->file_count);
    put_big(entry, length, 4);
    put_big(entry + 4, *key, 2);
    memcpy(entry + 8, name, strlen(name) + 1);
    put_big(device->directory, ++device->file_count, 4);
    return 0;
}

int fw_cfg_add_file(fw_cfg *device, const char *name, const void *data, size_t length,
                    vmm_error *error)
{
    uint16_t key = 0;
    int code = add_entry(&key, device, name, length, error);

    return code == 0 ? fw_cfg_add(device, key, data, length, error) : code;
}

int fw_cfg_add_file_number(fw_cfg *device, const char *name, uint64_t value, unsigned int width,
                           vmm_error *error)
{
    uint16_t key = 0;
    int code = add_entry(&key, device, name, width, error);

    return code == 0 ? fw_cfg_add_number(device, key, value, width, error) : code;
}

int fw_cfg_create(fw_cfg **out, const vmm_host *host, vmm_error *error)
{
    fw_cfg *device = calloc(1, sizeof(*device));
    int code;

    if (device == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    device->host = host;
    pthread_mutex_init(&device->lock, NULL);
    fw_cfg_add(device, KEY_SIGNATURE, "QEMU", 4, error);
    fw_cfg_add_number(device, KEY_FEATURES, HAS_DMA, 4, error);
    fw_cfg_add(device, KEY_DIRECTORY, device->directory, sizeof(device->directory), error);
    select_item(device, KEY_SIGNATURE);
    code = vmm_map_io(host, VISOR_PIO, PORT_SELECT, PORT_COUNT, handle, device,
                      "firmware configuration", error);
    if (code < 0) {
        fw_cfg_free(device);
        return code;
    }
    *out = device;
    return 0;
}

void fw_cfg_free(fw_cfg *device)
{
    if (device == NULL)
        return;
    pthread_mutex_destroy(&device->lock);
    free(device);
}
