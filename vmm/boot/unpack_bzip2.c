/* SPDX-License-Identifier: BSD-3-Clause */
#include "boot/packing.h"

#include <bzlib.h>

static int decode_bzip2(bz_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        unsigned int in = stream->avail_in, out = stream->avail_out;
        int result = BZ2_bzDecompress(stream);

        if (result == BZ_STREAM_END)
            return 0;
        if (result == BZ_MEM_ERROR)
            return vmm_fail(error, VISOR_ENOMEM, "out of memory");
        if (result != BZ_OK)
            return boot_packed_corrupt(packed, "it is corrupt", error);
        if (stream->avail_out == 0)
            return VISOR_ELIMIT;
        if (stream->avail_in == in && stream->avail_out == out)
            return boot_packed_cut(packed, error);
    }
}

int boot_unpack_bzip2(struct boot_packed *packed, vmm_error *error)
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
            return vmm_fail(error, VISOR_ENOMEM, "out of memory");
        code = decode_bzip2(&stream, packed, error);
        BZ2_bzDecompressEnd(&stream);
    } while (code == 0 &&
             boot_packed_goes_on(packed, (const uint8_t *)stream.next_in, stream.avail_in));
    packed->length = packed->capacity - stream.avail_out;
    return code;
}
