/* SPDX-License-Identifier: BSD-3-Clause */
/* Zstandard: RFC 8878. */
#include "boot/packing.h"

#include <zstd.h>
#include <zstd_errors.h>

int boot_unpack_zstd(struct boot_packed *packed, vmm_error *error)
{
    const uint8_t *at = packed->data;
    size_t left = packed->size;

    while (boot_packed_goes_on(packed, at, left)) {
        size_t frame = ZSTD_findFrameCompressedSize(at, left), result = frame;

        if (!ZSTD_isError(frame))
            result = ZSTD_decompress(packed->out + packed->length,
                                     packed->capacity - packed->length, at, frame);
        if (ZSTD_isError(result)) {
            switch (ZSTD_getErrorCode(result)) {
            case ZSTD_error_srcSize_wrong: return boot_packed_cut(packed, error);
            case ZSTD_error_dstSize_tooSmall: return VISOR_ELIMIT;
            case ZSTD_error_memory_allocation:
                return vmm_fail(error, VISOR_ENOMEM, "out of memory");
            default: return boot_packed_corrupt(packed, ZSTD_getErrorName(result), error);
            }
        }
        packed->length += result;
        at += frame;
        left -= frame;
    }
    return 0;
}
