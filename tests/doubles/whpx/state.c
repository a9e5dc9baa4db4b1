/* SPDX-License-Identifier: BSD-3-Clause */
/* XSAVE, the local APIC, interrupts, counters. */
#include "platform.h"

#include <string.h>

#include "soft/system.h"
#include "soft/xstate.h"

#define APIC_STATE_SIZE 4096u
#define COMPACT         (UINT64_C(1) << 63)

static HRESULT give(void *buffer, uint32_t capacity, uint32_t *written, const void *value,
                    uint32_t size)
{
    if (written != NULL)
        *written = size;
    if (capacity < size)
        return WHV_E_INSUFFICIENT_BUFFER;
    if (buffer == NULL)
        return E_POINTER;
    memcpy(buffer, value, size);
    return S_OK;
}

/*
 * The image is compacted (SDM vol. 1, 13.4.3). The components here (x87, SSE, AVX) lie there as in
 * the standard form: only the header tells the two apart.
 */
static HRESULT get_xsave(struct vp *vp, void *buffer, uint32_t capacity, uint32_t *written)
{
    uint8_t image[SOFT_XSAVE_SIZE];
    const uint64_t compact = COMPACT | SOFT_XCR0_ALL;
    int ret = visor_x86_get_xsave(image, sizeof(image), vp->vcpu);

    if (ret < 0)
        return platform_result(ret);
    memcpy(image + SOFT_XSAVE_HEADER + 8, &compact, 8);
    return give(buffer, capacity, written, image, sizeof(image));
}

static HRESULT set_xsave(struct vp *vp, const void *buffer, uint32_t size)
{
    uint8_t image[SOFT_XSAVE_SIZE];
    uint64_t compact;

    if (buffer == NULL)
        return E_POINTER;
    if (size != sizeof(image))
        return E_INVALIDARG;
    memcpy(image, buffer, size);
    memcpy(&compact, image + SOFT_XSAVE_HEADER + 8, 8);
    if ((compact & COMPACT) == 0 || (compact & ~(COMPACT | SOFT_XCR0_ALL)) != 0)
        return E_INVALIDARG;
    memset(image + SOFT_XSAVE_HEADER + 8, 0, 8);
    return platform_result(visor_x86_set_xsave(vp->vcpu, image, sizeof(image)));
}

/* Register n is the first word of paragraph n. */
static HRESULT get_apic(struct vp *vp, void *buffer, uint32_t capacity, uint32_t *written)
{
    uint8_t page[APIC_STATE_SIZE] = {0};
    visor_x86_lapic lapic;
    int ret = visor_x86_get_lapic(&lapic, vp->vcpu);

    if (ret < 0)
        return WHV_E_INVALID_PARTITION_CONFIG;
    for (size_t i = 0; i < 64; i++)
        memcpy(page + 16 * i, &lapic.regs[i], 4);
    return give(buffer, capacity, written, page, sizeof(page));
}

static HRESULT set_apic(struct vp *vp, const void *buffer, uint32_t size)
{
    visor_x86_lapic lapic;

    if (buffer == NULL)
        return E_POINTER;
    if (size != APIC_STATE_SIZE)
        return E_INVALIDARG;
    for (size_t i = 0; i < 64; i++)
        memcpy(&lapic.regs[i], (const uint8_t *)buffer + 16 * i, 4);
    return platform_result(visor_x86_set_lapic(vp->vcpu, &lapic));
}

enum kind { KIND_XSAVE, KIND_APIC, KIND_NONE };

static HRESULT get_state(WHV_PARTITION_HANDLE handle, uint32_t index, enum kind kind, void *buffer,
                         uint32_t capacity, uint32_t *written)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (vp->running)
        result = WHV_E_INVALID_VP_STATE;
    else if (kind == KIND_XSAVE)
        result = get_xsave(vp, buffer, capacity, written);
    else
        result = kind == KIND_APIC ? get_apic(vp, buffer, capacity, written) : E_INVALIDARG;
    partition_leave(partition);
    return result;
}

static HRESULT set_state(WHV_PARTITION_HANDLE handle, uint32_t index, enum kind kind,
                         const void *buffer, uint32_t size)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (vp->running)
        result = WHV_E_INVALID_VP_STATE;
    else if (kind == KIND_XSAVE)
        result = set_xsave(vp, buffer, size);
    else
        result = kind == KIND_APIC ? set_apic(vp, buffer, size) : E_INVALIDARG;
    partition_leave(partition);
    return result;
}

static enum kind kind_of(WHV_VIRTUAL_PROCESSOR_STATE_TYPE type)
{
    return type == WHvVirtualProcessorStateTypeXsaveState                  ? KIND_XSAVE
           : type == WHvVirtualProcessorStateTypeInterruptControllerState2 ? KIND_APIC
                                                                           : KIND_NONE;
}

HRESULT WINAPI WHvGetVirtualProcessorState(WHV_PARTITION_HANDLE handle, UINT32 index,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE type, VOID *buffer,
                                           UINT32 capacity, UINT32 *written)
{
    return get_state(handle, index, kind_of(type), buffer, capacity, written);
}

HRESULT WINAPI WHvSetVirtualProcessorState(WHV_PARTITION_HANDLE handle, UINT32 index,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE type,
                                           const VOID *buffer, UINT32 size)
{
    return set_state(handle, index, kind_of(type), buffer, size);
}

HRESULT WINAPI WHvGetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE handle, UINT32 index,
                                                VOID *buffer, UINT32 capacity, UINT32 *written)
{
    return get_state(handle, index, KIND_XSAVE, buffer, capacity, written);
}

HRESULT WINAPI WHvSetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE handle, UINT32 index,
                                                const VOID *buffer, UINT32 size)
{
    return set_state(handle, index, KIND_XSAVE, buffer, size);
}

HRESULT WINAPI WHvGetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE handle,
                                                               UINT32 index, VOID *buffer,
                                                               UINT32 capacity, UINT32 *written)
{
    return get_state(handle, index, KIND_APIC, buffer, capacity, written);
}

HRESULT WINAPI WHvSetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE handle,
                                                               UINT32 index, const VOID *buffer,
                                                               UINT32 size)
{
    return set_state(handle, index, KIND_APIC, buffer, size);
}

/* ---- interrupts ---- */

HRESULT WINAPI WHvRequestInterrupt(WHV_PARTITION_HANDLE handle,
                                   const WHV_INTERRUPT_CONTROL *interrupt, UINT32 size)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up && partition->apic != WHvX64LocalApicEmulationModeNone &&
        interrupt != NULL && size == sizeof(*interrupt) &&
        (interrupt->Type <= WHvX64InterruptTypeLowestPriority ||
         (interrupt->Type >= WHvX64InterruptTypeNmi &&
          interrupt->Type <= WHvX64InterruptTypeSipi)) &&
        interrupt->DestinationMode <= 1 && interrupt->TriggerMode <= 1 &&
        interrupt->Vector <= 255 && interrupt->Destination <= 255) {
        /* The same as a message (SDM vol. 3A, 10.11). */
        const visor_msi msi = {
            .address = 0xfee00000u | interrupt->Destination << 12 |
                       (uint32_t)interrupt->DestinationMode << 2,
            .data = interrupt->Vector | (uint32_t)interrupt->Type << 8 |
                    (uint32_t)interrupt->TriggerMode << 15 | 1u << 14,
        };

        result = platform_result(visor_vm_send_msi(partition->vm, &msi));
    }
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvGetVirtualProcessorCounters(WHV_PARTITION_HANDLE handle, UINT32 index,
                                              WHV_PROCESSOR_COUNTER_SET set, VOID *buffer,
                                              UINT32 capacity, UINT32 *written)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    (void)set, (void)buffer, (void)capacity, (void)written;
    if (partition == NULL)
        return result;
    partition_leave(partition);
    return E_NOTIMPL;
}
