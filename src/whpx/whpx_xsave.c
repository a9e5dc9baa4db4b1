/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XSAVE image. The platform's may be compacted, as XSAVEC and XSAVES write it (SDM vol. 1,
 * 13.4.3); ours is not, so that it fits every hypervisor. Which of the two it is the image's header
 * tells; it is given back in the same form.
 */
#include "whpx/whpx.h"

#include <stdlib.h>
#include <string.h>

#define HEADER   512u
#define EXTENDED 576u
#define COMPACT  (UINT64_C(1) << 63)

static HRESULT get_raw(visor_vcpu *vcpu, void *buffer, UINT32 size, UINT32 *written)
{
    const struct whpx_functions *call = whpx_calls(vcpu->vm);
    WHV_PARTITION_HANDLE partition = whpx_vm_of(vcpu->vm)->partition;

    if (call->GetVirtualProcessorState != NULL)
        return call->GetVirtualProcessorState(
            partition, vcpu->id, WHvVirtualProcessorStateTypeXsaveState, buffer, size, written);
    return call->GetVirtualProcessorXsaveState(partition, vcpu->id, buffer, size, written);
}

static HRESULT set_raw(visor_vcpu *vcpu, const void *buffer, UINT32 size)
{
    const struct whpx_functions *call = whpx_calls(vcpu->vm);
    WHV_PARTITION_HANDLE partition = whpx_vm_of(vcpu->vm)->partition;

    if (call->SetVirtualProcessorState != NULL)
        return call->SetVirtualProcessorState(partition, vcpu->id,
                                              WHvVirtualProcessorStateTypeXsaveState, buffer, size);
    return call->SetVirtualProcessorXsaveState(partition, vcpu->id, buffer, size);
}

/* The platform's image, which the caller frees. */
static int read_raw(uint8_t **out, size_t *size, visor_vcpu *vcpu)
{
    UINT32 length = 0;
    HRESULT result = get_raw(vcpu, NULL, 0, &length);

    if (result != WHV_E_INSUFFICIENT_BUFFER || length < EXTENDED)
        return whpx_failed(result, "WHvGetVirtualProcessorState", VISOR_EBROKEN);
    *out = calloc(1, length);
    if (*out == NULL)
        return visor__error(VISOR_ENOMEM, "whpx", "xsave", "%u bytes", length);
    result = get_raw(vcpu, *out, length, &length);
    if (result != S_OK) {
        free(*out);
        return whpx_failed(result, "WHvGetVirtualProcessorState", VISOR_EBROKEN);
    }
    *size = length;
    return 0;
}

static uint64_t word_at(const uint8_t *image, size_t offset)
{
    uint64_t word;

    memcpy(&word, image + offset, sizeof(word));
    return word;
}

/* Where a component is in a compacted image; 0: not there. */
static size_t compacted_offset(const struct whpx_hv *hv, uint64_t layout, unsigned component)
{
    size_t offset = EXTENDED;

    if ((layout >> component & 1) == 0)
        return 0;
    for (unsigned n = 2; n <= component; n++) {
        if ((layout >> n & 1) == 0)
            continue;
        if (hv->xsave[n].aligned)
            offset = (offset + 63) & ~(size_t)63;
        if (n == component)
            return offset;
        offset += hv->xsave[n].size;
    }
    return 0;
}

/* Moves each component between the platform's image and ours. */
static void move(const struct whpx_hv *hv, uint8_t *raw, size_t raw_size, uint8_t *ours,
                 size_t our_size, uint64_t layout, bool out)
{
    for (unsigned n = 2; n < 63; n++) {
        const struct whpx_xsave_part *part = &hv->xsave[n];
        size_t at = (layout & COMPACT) != 0 ? compacted_offset(hv, layout, n) : part->offset;

        if (part->size == 0 || at == 0 || at + part->size > raw_size ||
            part->offset + part->size > our_size)
            continue;
        if (out)
            memcpy(ours + part->offset, raw + at, part->size);
        else
            memcpy(raw + at, ours + part->offset, part->size);
    }
}

int whpx_get_xsave(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    const struct whpx_hv *hv = whpx_hv_of(vcpu->vm->hv);
    uint8_t *raw;
    size_t size;
    int ret;

    if (capacity < hv->xsave_size)
        return (int)hv->xsave_size;
    ret = read_raw(&raw, &size, vcpu);
    if (ret < 0)
        return ret;
    memset(buf, 0, hv->xsave_size);
    memcpy(buf, raw, HEADER + 8); /* without XCOMP_BV */
    move(hv, raw, size, buf, hv->xsave_size, word_at(raw, HEADER + 8), true);
    free(raw);
    return (int)hv->xsave_size;
}

int whpx_set_xsave(visor_vcpu *vcpu, const void *buf, size_t length)
{
    const struct whpx_hv *hv = whpx_hv_of(vcpu->vm->hv);
    uint8_t *raw, *ours;
    uint64_t layout;
    HRESULT result;
    size_t size;
    int ret;

    if (length != hv->xsave_size)
        return visor__error(VISOR_EMISMATCH, "whpx", "visor_x86_set_xsave",
                            "%zu bytes, this processor's image has %u", length, hv->xsave_size);
    if ((((const uint8_t *)buf)[26] | ((const uint8_t *)buf)[27]) != 0)
        return visor__error(VISOR_EREFUSED, "whpx", "visor_x86_set_xsave",
                            "reserved bits of mxcsr");
    ret = read_raw(&raw, &size, vcpu);
    if (ret < 0)
        return ret;
    ours = malloc(length);
    if (ours == NULL) {
        free(raw);
        return visor__error(VISOR_ENOMEM, "whpx", "xsave", "%zu bytes", length);
    }
    memcpy(ours, buf, length);
    layout = word_at(raw, HEADER + 8);
    memcpy(raw, ours, HEADER + 8);
    move(hv, raw, size, ours, length, layout, false);
    result = set_raw(vcpu, raw, (UINT32)size);
    free(ours);
    free(raw);
    return result == S_OK ? 0 : whpx_failed(result, "WHvSetVirtualProcessorState", VISOR_EREFUSED);
}
