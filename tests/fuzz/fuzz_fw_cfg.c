/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The firmware configuration device: whatever a guest does with its ports and its DMA, nothing is
 * read past an item or written outside of guest memory. Each four bytes of input are an access:
 * what kind, and a value; the DMA request is in guest memory, which begins as a copy of the input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/fake_host.h"
#include "devices/fw_cfg.h"

#define MEMORY 0x10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void access_ports(fake_host *fake, const uint8_t *step)
{
    uint32_t value = (uint32_t)(step[1] | step[2] << 8 | step[3] << 16);

    switch (step[0] % 8) {
    case 0: fake_access(fake, VISOR_PIO, 0x510, 2, true, value); break;
    case 1: fake_access(fake, VISOR_PIO, 0x511, 1, false, 0); break;
    case 2:
    case 3:
        /* Big-endian, and mostly inside of guest memory. */
        fake_access(fake, VISOR_PIO, 0x518, 4, true, __builtin_bswap32(value % (MEMORY + 8)));
        break;
    case 4: fake_access(fake, VISOR_PIO, 0x514, 4, true, value); break;
    default:
        fake_access(fake, VISOR_PIO, 0x510 + step[1] % 12, 1u << step[2] % 3, (step[3] & 1) != 0,
                    value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const visor_memory_region region = {.length = MEMORY};
    static visor_memory *memory;
    static fake_host fake;
    uint8_t *item = malloc(100); /* its own block, for the sanitizer */
    fw_cfg *device;

    if (item == NULL)
        return 0;
    memset(item, 1, 100);
    if (memory == NULL && visor_memory_create(&memory, &region, 1, NULL) != 0)
        abort();
    fake_init(&fake, memory);
    if (fw_cfg_create(&device, &fake.host, NULL) != 0 ||
        fw_cfg_add(device, 0x03, item, 100, NULL) != 0 ||
        fw_cfg_add_file(device, "etc/file", item, 100, NULL) != 0 ||
        visor_memory_write(memory, 0, data, size < MEMORY ? size : MEMORY) != 0)
        abort();
    for (size_t i = 0; i + 4 <= size && i < 4096; i += 4)
        access_ports(&fake, data + i);
    fw_cfg_free(device);
    free(item);
    return 0;
}
