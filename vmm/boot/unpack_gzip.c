/* SPDX-License-Identifier: BSD-3-Clause */
/* gzip: RFC 1952. */
#include "boot/packing.h"

#include <zlib.h>

static int inflate_members(z_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        int result = inflate(stream, Z_NO_FLUSH);

        if (result == Z_STREAM_END) {
            if (!boot_packed_goes_on(packed, stream->next_in, stream->avail_in))
                return 0;
            if (inflateReset(stream) != Z_OK)
                return boot_packed_corrupt(packed, "zlib failed", error);
            continue;
        }
        if (result == Z_MEM_ERROR)
            return vmm_fail(error, VISOR_ENOMEM, "out of memory");
        if (result != Z_OK && result != Z_BUF_ERROR)
            return boot_packed_corrupt(packed, stream->msg != NULL ? stream->msg : "it is corrupt",
                                       error);
        if (stream->avail_out == 0)
            return VISOR_ELIMIT;
        if (stream->avail_in == 0)
            return boot_packed_cut(packed, error);
    }
}

int boot_unpack_gzip(struct boot_packed *packed, vmm_error *error)
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
