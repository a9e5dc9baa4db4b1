/* SPDX-License-Identifier: BSD-3-Clause */
/* Packs what the loaders unpack, each way as Linux's build does. */
#ifndef VISOR_TESTS_PACK_H
#define VISOR_TESTS_PACK_H

#include <string.h>

#include <bzlib.h>
#include <lz4hc.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/boot.h"

/* Each returns the packed size, 0 if it fails. */
typedef size_t packer(uint8_t *out, size_t capacity, const uint8_t *data, size_t size);

static inline size_t pack_gzip(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    z_stream stream = {
        .next_in = (uint8_t *)data,
        .avail_in = (uInt)size,
        .next_out = out,
        .avail_out = (uInt)capacity,
    };
    int result;

    if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    result = deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    return result == Z_STREAM_END ? capacity - stream.avail_out : 0;
}

static inline size_t pack_xz(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    lzma_options_lzma options;
    lzma_filter filters[] = {
        {.id = LZMA_FILTER_X86},
        {.id = LZMA_FILTER_LZMA2, .options = &options},
        {.id = LZMA_VLI_UNKNOWN},
    };
    size_t length = 0;

    if (lzma_lzma_preset(&options, 1) ||
        lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, data, size, out, &length,
                                  capacity) != LZMA_OK)
        return 0;
    return length;
}

static inline size_t pack_lzma(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_options_lzma options;
    lzma_ret result;

    if (lzma_lzma_preset(&options, 1) || lzma_alone_encoder(&stream, &options) != LZMA_OK)
        return 0;
    stream.next_in = data;
    stream.avail_in = size;
    stream.next_out = out;
    stream.avail_out = capacity;
    result = lzma_code(&stream, LZMA_FINISH);
    lzma_end(&stream);
    return result == LZMA_STREAM_END ? capacity - stream.avail_out : 0;
}

static inline size_t pack_bzip2(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    unsigned int length = (unsigned int)capacity;

    if (BZ2_bzBuffToBuffCompress((char *)out, &length, (char *)data, (unsigned int)size, 9, 0, 0) !=
        BZ_OK)
        return 0;
    return length;
}

static inline size_t pack_lz4(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    static const uint8_t magic[4] = {0x02, 0x21, 0x4c, 0x18};
    const size_t block = 8 << 20;
    size_t length = sizeof(magic);

    memcpy(out, magic, sizeof(magic));
    for (size_t done = 0; done < size; done += block) {
        size_t part = size - done < block ? size - done : block;
        int got = LZ4_compress_HC((const char *)data + done, (char *)out + length + 4, (int)part,
                                  (int)(capacity - length - 4), LZ4HC_CLEVEL_MIN);

        if (got <= 0)
            return 0;
        boot_put32(out + length, (uint32_t)got);
        length += 4 + (size_t)got;
    }
    return length;
}

static inline size_t pack_zstd(uint8_t *out, size_t capacity, const uint8_t *data, size_t size)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t result;

    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1); /* as zstd(1) does */
    result = ZSTD_compress2(context, out, capacity, data, size);
    ZSTD_freeCCtx(context);
    return ZSTD_isError(result) ? 0 : result;
}

static const struct {
    packer *pack;
    const char *name;
    size_t damage; /* where a changed byte is noticed for sure; 0: anywhere */
    bool appended; /* Linux appends the unpacked size */
} packings[] = {
    {pack_gzip, "gzip", 0, false}, {pack_xz, "xz", 0, true},   {pack_bzip2, "bzip2", 0, true},
    {pack_zstd, "zstd", 0, true},  {pack_lz4, "lz4", 7, true}, {pack_lzma, "lzma", 13, true},
};
#define PACKINGS (sizeof(packings) / sizeof(packings[0]))

#endif
