/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernels that are packed as a whole. gzip: RFC 1952; Zstandard: RFC 8878; zboot: Linux,
 * drivers/firmware/efi/libstub/zboot-header.S.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "boot/boot.h"

/* The whole of what is packed, and room for what comes out of it. */
struct packed {
    const struct boot_image *image; /* for messages */
    const char *packing;
    const uint8_t *data;
    size_t size;
    uint8_t *out;
    size_t capacity, length;
};

static int fail_corrupt(const struct packed *packed, const char *why, vmm_error *error)
{
    return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' cannot be unpacked by %s: %s",
                    packed->image->path, packed->packing, why);
}

static int fail_cut(const struct packed *packed, vmm_error *error)
{
    return fail_corrupt(packed, "it is cut off", error);
}

/* ---- gzip: members, one after the other; what follows the last is padding ---- */

static bool at_gzip(const uint8_t *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

static int inflate_members(z_stream *stream, const struct packed *packed, vmm_error *error)
{
    for (;;) {
        int result = inflate(stream, Z_NO_FLUSH);

        if (result == Z_STREAM_END) {
            if (!at_gzip(stream->next_in, stream->avail_in))
                return 0;
            if (inflateReset(stream) != Z_OK)
                return fail_corrupt(packed, "zlib failed", error);
            continue;
        }
        if (result == Z_MEM_ERROR)
            return vmm_fail(error, VISOR_ENOMEM, "out of memory");
        if (result != Z_OK && result != Z_BUF_ERROR)
            return fail_corrupt(packed, stream->msg != NULL ? stream->msg : "it is corrupt", error);
        if (stream->avail_out == 0)
            return VISOR_ELIMIT;
        if (stream->avail_in == 0)
            return fail_cut(packed, error);
    }
}

static int unpack_gzip(struct packed *packed, vmm_error *error)
{
    z_stream stream = {
        .next_in = (uint8_t *)packed->data, /* which it only reads */
        .avail_in = (uInt)packed->size,
        .next_out = packed->out,
        .avail_out = (uInt)packed->capacity,
    };
    int code;

    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) /* + 16: with gzip's header */
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    code = inflate_members(&stream, packed, error);
    packed->length = packed->capacity - stream.avail_out;
    inflateEnd(&stream);
    return code;
}

/* ---- zstd: frames in the same way ---- */

static bool at_zstd(const uint8_t *data, size_t size)
{
    return size >= 4 && boot_get32(data) == ZSTD_MAGICNUMBER;
}

static int unpack_zstd(struct packed *packed, vmm_error *error)
{
    const uint8_t *at = packed->data;
    size_t left = packed->size;

    while (at_zstd(at, left)) {
        size_t frame = ZSTD_findFrameCompressedSize(at, left), result = frame;

        if (!ZSTD_isError(frame))
            result = ZSTD_decompress(packed->out + packed->length,
                                     packed->capacity - packed->length, at, frame);
        if (ZSTD_isError(result)) {
            switch (ZSTD_getErrorCode(result)) {
            case ZSTD_error_srcSize_wrong: return fail_cut(packed, error);
            case ZSTD_error_dstSize_tooSmall: return VISOR_ELIMIT;
            case ZSTD_error_memory_allocation:
                return vmm_fail(error, VISOR_ENOMEM, "out of memory");
            default: return fail_corrupt(packed, ZSTD_getErrorName(result), error);
            }
        }
        packed->length += result;
        at += frame;
        left -= frame;
    }
    return 0;
}

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

/* Narrows `packed` to the payload. */
static int enter_zboot(struct packed *packed, vmm_error *error)
{
    const uint8_t *data = packed->data;
    uint64_t offset = boot_get32(data + ZBOOT_OFFSET), size = boot_get32(data + ZBOOT_SIZE);
    char type[ZBOOT_TYPE_END - ZBOOT_TYPE + 1] = "";

    if (offset > packed->size || size > packed->size - offset)
        return vmm_fail(error, VISOR_EFORMAT,
                        "kernel '%s' is cut off: it has %zu bytes, and what it unpacks reaches to "
                        "%" PRIu64,
                        packed->image->path, packed->size, offset + size);
    packed->data += offset;
    packed->size = (size_t)size;
    if (at_gzip(packed->data, packed->size) || at_zstd(packed->data, packed->size))
        return 0;
    for (size_t i = 0; i < sizeof(type) - 1; i++) {
        uint8_t letter = data[ZBOOT_TYPE + i];

        if (letter == '\0')
            break;
        type[i] = (char)(letter > ' ' && letter < 0x7f ? letter : '?');
    }
    return vmm_fail(error, VISOR_EFORMAT,
                    "kernel '%s' is an EFI program that unpacks itself by '%s'; gzip and zstd can "
                    "be unpacked here",
                    packed->image->path, type);
}

/* ---- all ---- */

/* No kernel is larger; and the counters of zlib have 32 bits. */
#define LARGEST (1ull << 30)

static int unpack_into(struct packed *packed, vmm_error *error)
{
    uint64_t mib = (packed->capacity - 1) >> 20;
    bool is_gzip = at_gzip(packed->data, packed->size);
    int code;

    packed->packing = is_gzip ? "gzip" : "zstd";
    if (packed->size > LARGEST)
        code = VISOR_ELIMIT;
    else
        code = is_gzip ? unpack_gzip(packed, error) : unpack_zstd(packed, error);
    if (code == VISOR_ELIMIT || (code == 0 && packed->length == packed->capacity))
        return vmm_fail(error, VISOR_ELIMIT,
                        "kernel '%s', unpacked by %s, has more than %" PRIu64
                        " MiB: give the guest more (-m)",
                        packed->image->path, packed->packing, mib);
    if (code == 0 && packed->length == 0)
        return fail_corrupt(packed, "there is nothing in it", error);
    return code;
}

int boot_unpack(struct boot_image *out, const struct boot_image *image, uint64_t limit,
                vmm_error *error)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct packed packed = {.image = image, .data = image->data, .size = image->size};
    size_t used;
    int code = 0;

    if (is_zboot(image))
        code = enter_zboot(&packed, error);
    else if (!at_gzip(image->data, image->size) && !at_zstd(image->data, image->size))
        return 0;
    if (code != 0)
        return code;

    /* Address space for all that it may be, which costs nothing. One byte more tells whether it
     * would go on. */
    packed.capacity = (size_t)(limit < LARGEST ? limit : LARGEST) + 1;
    packed.out = mmap(NULL, packed.capacity, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (packed.out == MAP_FAILED)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    code = unpack_into(&packed, error);
    used = code == 0 ? (packed.length + page - 1) & ~(page - 1) : 0;
    if (used < packed.capacity)
        munmap(packed.out + used, packed.capacity - used);
    if (code != 0)
        return code;
    *out = (struct boot_image){
        .path = image->path,
        .packing = packed.packing,
        .data = packed.out,
        .size = packed.length,
    };
    return 1;
}
