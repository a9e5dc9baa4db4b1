/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernels that are packed as a whole. zboot: Linux, drivers/firmware/efi/libstub/zboot-header.S.
 */
#include <inttypes.h>
#include <string.h>

#include "boot/packing.h"
#include "os/os.h"

/* ---- zboot ---- */

enum {
    ZBOOT_MAGIC = 4, /* "zimg" */
    ZBOOT_OFFSET = 8,
    ZBOOT_SIZE = 12,
    ZBOOT_TYPE = 24, /* a name, NUL-terminated */
    ZBOOT_TYPE_END = 56,
};

static bool is_zboot(const struct boot_image *image)
{
    return image->size >= ZBOOT_TYPE_END && memcmp(image->data, "MZ", 2) == 0 &&
           memcmp(image->data + ZBOOT_MAGIC, "zimg", 4) == 0;
}

/* Finds the payload. */
static int enter_zboot(const uint8_t **payload, size_t *payload_size,
                       const struct boot_image *image, vmm_error *error)
{
    const uint8_t *data = image->data;
    uint64_t offset = boot_get32(data + ZBOOT_OFFSET), size = boot_get32(data + ZBOOT_SIZE);
    char type[ZBOOT_TYPE_END - ZBOOT_TYPE + 1] = "";

    if (offset > image->size || size > image->size - offset)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: it has %zu bytes, and what it unpacks reaches to "
                        "%" PRIu64,
                        image->path, image->size, offset + size);
    *payload = data + offset;
    *payload_size = (size_t)size;
    if (boot_packing_of(*payload, *payload_size) != NULL)
        return 0;
    for (size_t i = 0; i < sizeof(type) - 1; i++) {
        uint8_t letter = data[ZBOOT_TYPE + i];

        if (letter == '\0')
            break;
        type[i] = (char)(letter > ' ' && letter < 0x7f ? letter : '?');
    }
    return vmm_fail(error, VISOR_EFORMAT,
                    "kernel '%s' is an EFI program that unpacks itself by '%s'; " BOOT_PACKINGS
                    " can be unpacked here",
                    image->path, type);
}

/* ---- all ---- */

/* No kernel is larger; and the counters of some libraries have 32 bits. */
#define LARGEST (1ull << 30)

static int unpack_into(struct boot_packed *packed, vmm_error *error)
{
    uint64_t mib = (packed->capacity - 1) >> 20;
    int code = VISOR_ELIMIT;

    if (packed->packing->unpack == NULL)
        return vmm_fail(error, VISOR_EUNSUPPORTED,
                        "kernel '%s' is packed by %s, and this visor was built without %s",
                        packed->image->path, packed->packing->name, packed->packing->library);
    if (packed->size <= LARGEST)
        code = packed->packing->unpack(packed, error);
    if (code == VISOR_ELIMIT || (code == 0 && packed->length == packed->capacity))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s', unpacked by %s, has more than %" PRIu64
                        " MiB: give the guest more (-m)",
                        packed->image->path, packed->packing->name, mib);
    if (code == 0 && packed->length == 0)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' cannot be unpacked by %s: there is nothing in it",
                        packed->image->path, packed->packing->name);
    return code;
}

int boot_unpack_part(struct boot_image *out, const struct boot_image *image,
                     const struct boot_packing *packing, const uint8_t *data, size_t size,
                     uint64_t limit, vmm_error *error)
{
    struct boot_packed packed = {.image = image, .packing = packing, .data = data, .size = size};
    int code;

    /* Address space for all that it may be, which costs nothing. One byte more tells whether it
     * would go on. */
    packed.capacity = (size_t)(limit < LARGEST ? limit : LARGEST) + 1;
    packed.out = vmm_reserve(packed.capacity);
    if (packed.out == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    code = unpack_into(&packed, error);
    vmm_reserve_trim(packed.out, packed.capacity, code == 0 ? packed.length : 0);
    if (code != 0)
        return code;
    *out = (struct boot_image){
        .path = image->path,
        .packing = packing->name,
        .data = packed.out,
        .size = packed.length,
    };
    return 0;
}

int boot_unpack(struct boot_image *out, const struct boot_image *image, uint64_t limit,
                vmm_error *error)
{
    const struct boot_packing *packing;
    const uint8_t *data = image->data;
    size_t size = image->size;
    int code = 0;

    if (is_zboot(image))
        code = enter_zboot(&data, &size, image, error);
    if (code != 0)
        return code;
    packing = boot_packing_of(data, size);
    if (packing == NULL)
        return 0;
    code = boot_unpack_part(out, image, packing, data, size, limit, error);
    return code == 0 ? 1 : code;
}
