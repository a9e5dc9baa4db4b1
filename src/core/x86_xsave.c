/* SPDX-License-Identifier: BSD-3-Clause */
/* XSAVE images that move between processors. */
#include <stdlib.h>
#include <string.h>

#include "core/x86.h"

#define HEADER  512u /* XSTATE_BV (SDM vol. 1, 13.4.2) */
#define PLAIN   576u /* x87, SSE, header */
#define COMMON  832u /* and AVX: up to here, images are the same on all processors */
#define X87_SSE 3u
#define AVX     4u

int visor__x86_fit_xsave(void **image, size_t *length, size_t wanted, const char *operation)
{
    const size_t most = wanted < COMMON ? PLAIN : COMMON;
    const size_t common = *length < most ? *length : most;
    const uint64_t known = most == COMMON ? X87_SSE | AVX : X87_SSE;
    uint64_t components, kept;
    uint8_t *bytes = *image, *fitting;

    if (*length == wanted || *length < PLAIN || wanted < PLAIN)
        return 0;
    memcpy(&components, bytes + HEADER, sizeof(components));
    for (size_t i = common; i < *length; i++) {
        if (bytes[i] != 0)
            return visor__error(VISOR_EMISMATCH, "", operation,
                                "an image of %zu bytes, here %zu, and what cannot move is in use: "
                                "components 0x%llx",
                                *length, wanted, (unsigned long long)(components & ~known));
    }
    fitting = calloc(1, wanted);
    if (fitting == NULL)
        return visor__error(VISOR_ENOMEM, "", operation, "%zu bytes", wanted);
    memcpy(fitting, bytes, common);
    kept = components & known;
    memcpy(fitting + HEADER, &kept, sizeof(kept));
    free(bytes);
    *image = fitting;
    *length = wanted;
    return 0;
}
