/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What kernels are packed by. gzip: RFC 1952; Zstandard: RFC 8878; xz: "The .xz File Format" 1.1.0;
 * lzma: the format before it (xz(1), --format=lzma); lz4: the "legacy frame" of
 * lz4_Frame_format.md. Each may be there several times, one after the other; what follows the last
 * is padding, or the unpacked size, which Linux appends.
 */
#include "boot/packing.h"

#include <string.h>

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

static int fail_corrupt(const struct boot_packed *packed, const char *why, vmm_error *error)
{
    return vmm_fail(error, VISOR_EFORMAT, "kernel '%s' cannot be unpacked by %s: %s",
                    packed->image->path, packed->packing->name, why);
}

static int fail_cut(const struct boot_packed *packed, vmm_error *error)
{
    return fail_corrupt(packed, "it is cut off", error);
}

static int fail_memory(vmm_error *error)
{
    return vmm_fail(error, VISOR_ENOMEM, "out of memory");
}

/* Whether another stream of the same kind begins here. */
static bool goes_on(const struct boot_packed *packed, const uint8_t *data, size_t size)
{
    return size >= packed->packing->magic_length &&
           memcmp(data, packed->packing->magic, packed->packing->magic_length) == 0;
}

/* ---- gzip ---- */

static int inflate_members(z_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        int result = inflate(stream, Z_NO_FLUSH);

        if (result == Z_STREAM_END) {
            if (!goes_on(packed, stream->next_in, stream->avail_in))
                return 0;
            if (inflateReset(stream) != Z_OK)
                return fail_corrupt(packed, "zlib failed", error);
            continue;
        }
        if (result == Z_MEM_ERROR)
            return fail_memory(error);
        if (result != Z_OK && result != Z_BUF_ERROR)
            return fail_corrupt(packed, stream->msg != NULL ? stream->msg : "it is corrupt", error);
        if (stream->avail_out == 0)
            return VISOR_ELIMIT;
        if (stream->avail_in == 0)
            return fail_cut(packed, error);
    }
}

static int unpack_gzip(struct boot_packed *packed, vmm_error *error)
{
    z_stream stream = {
        .next_in = (uint8_t *)packed->data, /* which it only reads */
        .avail_in = (uInt)packed->size,
        .next_out = packed->out,
        .avail_out = (uInt)packed->capacity,
    };
    int code;

    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) /* + 16: with gzip's header */
        return fail_memory(error);
    code = inflate_members(&stream, packed, error);
    packed->length = packed->capacity - stream.avail_out;
    inflateEnd(&stream);
    return code;
}

/* ---- xz, lzma ---- */

/* Linux's own dictionaries have up to 128 MiB. */
#define LZMA_MEMORY (300ull << 20)

static int decode_lzma(lzma_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        switch (lzma_code(stream, LZMA_FINISH)) {
        case LZMA_OK: break;
        case LZMA_STREAM_END: return 0;
        case LZMA_BUF_ERROR: return stream->avail_out == 0 ? VISOR_ELIMIT : fail_cut(packed, error);
        case LZMA_MEM_ERROR: return fail_memory(error);
        case LZMA_MEMLIMIT_ERROR:
            return fail_corrupt(packed, "that would take more than 300 MiB of memory", error);
        case LZMA_OPTIONS_ERROR:
            return fail_corrupt(packed, "it uses what liblzma does not know", error);
        default: return fail_corrupt(packed, "it is corrupt", error);
        }
    }
}

static int unpack_lzma_streams(struct boot_packed *packed, bool is_xz, vmm_error *error)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    int code;

    stream.next_in = packed->data;
    stream.avail_in = packed->size;
    stream.next_out = packed->out;
    stream.avail_out = packed->capacity;
    do {
        lzma_ret ready = is_xz ? lzma_stream_decoder(&stream, LZMA_MEMORY, 0)
                               : lzma_alone_decoder(&stream, LZMA_MEMORY);

        code = ready == LZMA_OK ? decode_lzma(&stream, packed, error) : fail_memory(error);
    } while (code == 0 && goes_on(packed, stream.next_in, stream.avail_in));
    packed->length = packed->capacity - stream.avail_out;
    lzma_end(&stream);
    return code;
}

static int unpack_xz(struct boot_packed *packed, vmm_error *error)
{
    return unpack_lzma_streams(packed, true, error);
}

static int unpack_lzma(struct boot_packed *packed, vmm_error *error)
{
    return unpack_lzma_streams(packed, false, error);
}

/* ---- bzip2 ---- */

static int decode_bzip2(bz_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        unsigned int in = stream->avail_in, out = stream->avail_out;
        int result = BZ2_bzDecompress(stream);

        if (result == BZ_STREAM_END)
            return 0;
        if (result == BZ_MEM_ERROR)
            return fail_memory(error);
        if (result != BZ_OK)
            return fail_corrupt(packed, "it is corrupt", error);
        if (stream->avail_out == 0)
            return VISOR_ELIMIT;
        if (stream->avail_in == in && stream->avail_out == out)
            return fail_cut(packed, error);
    }
}

static int unpack_bzip2(struct boot_packed *packed, vmm_error *error)
{
    bz_stream stream = {
        .next_in = (char *)packed->data, /* which it only reads */
        .avail_in = (unsigned int)packed->size,
        .next_out = (char *)packed->out,
        .avail_out = (unsigned int)packed->capacity,
    };
    int code;

    do {
        if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK)
            return fail_memory(error);
        code = decode_bzip2(&stream, packed, error);
        BZ2_bzDecompressEnd(&stream);
    } while (code == 0 && goes_on(packed, (const uint8_t *)stream.next_in, stream.avail_in));
    packed->length = packed->capacity - stream.avail_out;
    return code;
}

/* ---- lz4: after the magic number blocks of 8 MiB, each behind its packed size ---- */

#define LZ4_MAGIC 0x184c2102u
#define LZ4_BLOCK (8 << 20)

static int unpack_lz4(struct boot_packed *packed, vmm_error *error)
{
    const uint8_t *at = packed->data + 4;
    size_t left = packed->size - 4;

    while (left != 0) {
        uint32_t size = left >= 4 ? boot_get32(at) : 0;
        size_t room = packed->capacity - packed->length;
        int got;

        if (left < 4)
            return fail_cut(packed, error);
        if (size == 0 || (left == 4 && size == packed->length))
            return 0; /* padding, or the unpacked size */
        at += 4;
        left -= 4;
        if (size == LZ4_MAGIC)
            continue;
        if (size > LZ4_COMPRESSBOUND(LZ4_BLOCK))
            return fail_corrupt(packed, "it is corrupt", error);
        if (size > left)
            return fail_cut(packed, error);
        got = LZ4_decompress_safe((const char *)at, (char *)packed->out + packed->length, (int)size,
                                  (int)(room < LZ4_BLOCK ? room : LZ4_BLOCK));
        if (got < 0) /* it does not tell which of the two it is */
            return room < LZ4_BLOCK ? VISOR_ELIMIT : fail_corrupt(packed, "it is corrupt", error);
        packed->length += (size_t)got;
        at += size;
        left -= size;
    }
    return 0;
}

/* ---- zstd ---- */

static int unpack_zstd(struct boot_packed *packed, vmm_error *error)
{
    const uint8_t *at = packed->data;
    size_t left = packed->size;

    while (goes_on(packed, at, left)) {
        size_t frame = ZSTD_findFrameCompressedSize(at, left), result = frame;

        if (!ZSTD_isError(frame))
            result = ZSTD_decompress(packed->out + packed->length,
                                     packed->capacity - packed->length, at, frame);
        if (ZSTD_isError(result)) {
            switch (ZSTD_getErrorCode(result)) {
            case ZSTD_error_srcSize_wrong: return fail_cut(packed, error);
            case ZSTD_error_dstSize_tooSmall: return VISOR_ELIMIT;
            case ZSTD_error_memory_allocation: return fail_memory(error);
            default: return fail_corrupt(packed, ZSTD_getErrorName(result), error);
            }
        }
        packed->length += result;
        at += frame;
        left -= frame;
    }
    return 0;
}

/* ---- all ---- */

const struct boot_packing *boot_packing_of(const uint8_t *data, size_t size)
{
    static const struct boot_packing packings[] = {
        {"gzip", "\x1f\x8b", 2, unpack_gzip},
        {"xz",
         "\xfd"
         "7zXZ\0",
         6, unpack_xz},
        {"bzip2", "BZh", 3, unpack_bzip2},
        {"lz4", "\x02\x21\x4c\x18", 4, unpack_lz4},
        {"zstd", "\x28\xb5\x2f\xfd", 4, unpack_zstd},
        /* No magic number: the usual properties, and a dictionary of whole 64 KiB. */
        {"lzma", "\x5d\0\0", 3, unpack_lzma},
    };

    for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
        if (size >= packings[i].magic_length &&
            memcmp(data, packings[i].magic, packings[i].magic_length) == 0)
            return &packings[i];
    }
    return NULL;
}
