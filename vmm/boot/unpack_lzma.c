/* SPDX-License-Identifier: BSD-3-Clause */
/* xz: "The .xz File Format" 1.1.0; lzma: the format before it (xz(1), --format=lzma). */
#include "boot/packing.h"

#include <lzma.h>

/* Linux's own dictionaries have up to 128 MiB. */
#define LZMA_MEMORY (300ull << 20)

static int decode_lzma(lzma_stream *stream, const struct boot_packed *packed, vmm_error *error)
{
    for (;;) {
        switch (lzma_code(stream, LZMA_FINISH)) {
        case LZMA_OK: break;
        case LZMA_STREAM_END: return 0;
        case LZMA_BUF_ERROR:
            return stream->avail_out == 0 ? VISOR_ELIMIT : boot_packed_cut(packed, error);
        case LZMA_MEM_ERROR: return vmm_fail(error, VISOR_ENOMEM, "out of memory");
        case LZMA_MEMLIMIT_ERROR:
            return boot_packed_corrupt(packed, "that would take more than 300 MiB of memory",
                                       error);
        case LZMA_OPTIONS_ERROR:
            return boot_packed_corrupt(packed, "it uses what liblzma does not know", error);
        default: return boot_packed_corrupt(packed, "it is corrupt", error);
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

        code = ready == LZMA_OK ? decode_lzma(&stream, packed, error)
                                : vmm_fail(error, VISOR_ENOMEM, "out of memory");
    } while (code == 0 && boot_packed_goes_on(packed, stream.next_in, stream.avail_in));
    packed->length = packed->capacity - stream.avail_out;
    lzma_end(&stream);
    return code;
}

int boot_unpack_xz(struct boot_packed *packed, vmm_error *error)
{
    return unpack_lzma_streams(packed, true, error);
}

int boot_unpack_lzma(struct boot_packed *packed, vmm_error *error)
{
    return unpack_lzma_streams(packed, false, error);
}
