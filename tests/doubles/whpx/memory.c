/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest-physical memory. A range is a slot of the VM; cutting one makes new slots of what is left.
 */
#include "platform.h"

#include <stdlib.h>
#include <string.h>

#include "soft/system.h"

/* ---- ranges ---- */

static size_t dirty_bytes(uint64_t length)
{
    return (size_t)((length / PAGE + 63) / 64 * 8);
}

static int put(struct partition *partition, struct range *range)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    int ret = visor_mapping_create_borrowed(&mapping, range->host, range->length);

    if (ret < 0)
        return ret;
    config.gpa = range->gpa;
    config.read_only = (range->flags & WHvMapGpaRangeFlagWrite) == 0;
    config.log_dirty = range->dirty != NULL;
    ret = visor_vm_add_slot(&range->slot, partition->vm, mapping, &config);
    if (ret < 0)
        visor_mapping_free(mapping);
    return ret;
}

/* Adds what the guest has written since to range->dirty. */
static int harvest(struct partition *partition, struct range *range)
{
    size_t bytes = visor_dirty_log_size(range->length);
    uint8_t *fresh;
    int ret;

    if (range->dirty == NULL)
        return 0;
    fresh = malloc(bytes);
    if (fresh == NULL)
        return VISOR_ENOMEM;
    ret = visor_vm_dirty_log(fresh, bytes, partition->vm, range->slot);
    for (size_t i = 0; ret == 0 && i < bytes; i++)
        ((uint8_t *)range->dirty)[i] |= fresh[i];
    free(fresh);
    return ret;
}

static void take(struct partition *partition, struct range *range)
{
    visor_mapping *mapping;

    if (visor_vm_remove_slot(&mapping, partition->vm, range->slot) == 0)
        visor_mapping_free(mapping);
}

static bool is_dirty(const struct range *range, uint64_t gpa)
{
    uint64_t page = (gpa - range->gpa) / PAGE;

    return (range->dirty[page / 64] >> (page % 64) & 1) != 0;
}

/* A part of a range as one of its own. */
static int cut(struct range *out, const struct range *from, uint64_t gpa, uint64_t length)
{
    *out = *from;
    out->gpa = gpa;
    out->length = length;
    out->host = from->host + (gpa - from->gpa);
    if (from->dirty == NULL)
        return 0;
    out->dirty = calloc(1, dirty_bytes(length));
    if (out->dirty == NULL)
        return VISOR_ENOMEM;
    for (uint64_t page = 0; page < length / PAGE; page++) {
        if (is_dirty(from, gpa + page * PAGE))
            out->dirty[page / 64] |= UINT64_C(1) << (page % 64);
    }
    return 0;
}

static int append(struct partition *partition, const struct range *range)
{
    struct range *to = &partition->ranges[partition->range_count];
    int ret;

    if (partition->range_count == MAX_RANGES)
        return VISOR_ENOMEM;
    *to = *range;
    ret = put(partition, to);
    if (ret == 0)
        partition->range_count++;
    return ret;
}

/* Takes [gpa, gpa + length) out of all ranges. */
static int clear(struct partition *partition, uint64_t gpa, uint64_t length)
{
    const uint64_t end = gpa + length;

    for (size_t i = 0; i < partition->range_count;) {
        struct range range = partition->ranges[i], part;
        const uint64_t range_end = range.gpa + range.length;
        int ret = 0;

        if (range.gpa >= end || range_end <= gpa) {
            i++;
            continue;
        }
        ret = harvest(partition, &range);
        take(partition, &range);
        partition->ranges[i] = partition->ranges[--partition->range_count];
        if (ret == 0 && range.gpa < gpa) {
            ret = cut(&part, &range, range.gpa, gpa - range.gpa);
            ret = ret == 0 ? append(partition, &part) : ret;
        }
        if (ret == 0 && range_end > end) {
            ret = cut(&part, &range, end, range_end - end);
            ret = ret == 0 ? append(partition, &part) : ret;
        }
        free(range.dirty);
        if (ret < 0)
            return ret;
    }
    return 0;
}

void memory_clear(struct partition *partition)
{
    for (size_t i = 0; i < partition->range_count; i++) {
        take(partition, &partition->ranges[i]);
        free(partition->ranges[i].dirty);
    }
    partition->range_count = 0;
}

static struct range *find(const struct partition *partition, uint64_t gpa)
{
    for (size_t i = 0; i < partition->range_count; i++) {
        const struct range *range = &partition->ranges[i];

        if (gpa >= range->gpa && gpa - range->gpa < range->length)
            return (struct range *)range;
    }
    return NULL;
}

uint8_t *memory_at(const struct partition *partition, uint64_t gpa, uint32_t right)
{
    const struct range *range = find(partition, gpa);

    if (range == NULL || (range->flags & right) != right)
        return NULL;
    return range->host + (gpa - range->gpa);
}

/* ---- mapping ---- */

static bool is_range(uint64_t gpa, uint64_t size)
{
    return size > 0 && (gpa | size) % PAGE == 0 && gpa <= UINT64_MAX - size &&
           gpa + size <= RESERVED_GPA;
}

/* Whether the host's pages can be read, and written if the guest shall be able to. */
static bool is_committed(const uint8_t *host, uint64_t size, bool writable)
{
    const DWORD readable = PAGE_READONLY | PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READ |
                           PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    const DWORD writing =
        PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    MEMORY_BASIC_INFORMATION info;

    for (const uint8_t *end = host + size; host < end;) {
        if (VirtualQuery(host, &info, sizeof(info)) == 0 || info.State != MEM_COMMIT ||
            (info.Protect & (writable ? writing : readable)) == 0)
            return false;
        host = (const uint8_t *)info.BaseAddress + info.RegionSize;
    }
    return true;
}

static HRESULT map(struct partition *partition, void *source, uint64_t gpa, uint64_t size,
                   uint32_t flags)
{
    struct range range = {.gpa = gpa, .length = size, .host = source, .flags = flags};
    int ret;

    if (source == NULL || (uintptr_t)source % PAGE != 0 || !is_range(gpa, size) ||
        (flags & ~(uint32_t)MAP_ALL) != 0)
        return E_INVALIDARG;
    if (!is_committed(source, size, (flags & WHvMapGpaRangeFlagWrite) != 0))
        return E_ACCESSDENIED;
    /* What the guest can only read or only execute it can do both with here. */
    if ((flags & WHvMapGpaRangeFlagWrite) != 0 && (flags & WHvMapGpaRangeFlagRead) == 0)
        return E_INVALIDARG;
    if ((flags & WHvMapGpaRangeFlagTrackDirtyPages) != 0) {
        range.dirty = calloc(1, dirty_bytes(size));
        if (range.dirty == NULL)
            return E_OUTOFMEMORY;
    }
    ret = clear(partition, gpa, size);
    if (ret == 0 && (flags & (WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute)) != 0)
        ret = append(partition, &range);
    if (ret < 0)
        free(range.dirty);
    return platform_result(ret);
}

HRESULT WINAPI WHvMapGpaRange(WHV_PARTITION_HANDLE handle, VOID *source,
                              WHV_GUEST_PHYSICAL_ADDRESS gpa, UINT64 size,
                              WHV_MAP_GPA_RANGE_FLAGS flags)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up)
        result = map(partition, source, gpa, size, (uint32_t)flags);
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvMapGpaRange2(WHV_PARTITION_HANDLE handle, HANDLE process, VOID *source,
                               WHV_GUEST_PHYSICAL_ADDRESS gpa, UINT64 size,
                               WHV_MAP_GPA_RANGE_FLAGS flags)
{
    /* Another process's memory is not here. */
    if (process != GetCurrentProcess() && GetProcessId(process) != GetCurrentProcessId())
        return E_NOTIMPL;
    return WHvMapGpaRange(handle, source, gpa, size, flags);
}

HRESULT WINAPI WHvUnmapGpaRange(WHV_PARTITION_HANDLE handle, WHV_GUEST_PHYSICAL_ADDRESS gpa,
                                UINT64 size)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up && is_range(gpa, size)) {
        result = S_OK;
        for (uint64_t at = gpa; result == S_OK && at < gpa + size;) {
            const struct range *range = find(partition, at);

            if (range == NULL)
                result = WHV_E_GPA_RANGE_NOT_FOUND;
            else
                at = range->gpa + range->length;
        }
        if (result == S_OK)
            result = platform_result(clear(partition, gpa, size));
    }
    partition_leave(partition);
    return result;
}

/* ---- dirty pages ---- */

static HRESULT query(struct partition *partition, uint64_t gpa, uint64_t size, uint64_t *bitmap)
{
    for (uint64_t at = gpa; at < gpa + size; at += PAGE) {
        const struct range *range = find(partition, at);

        if (range == NULL || range->dirty == NULL)
            return WHV_E_GPA_RANGE_NOT_FOUND;
    }
    for (size_t i = 0; i < partition->range_count; i++) {
        struct range *range = &partition->ranges[i];
        int ret = 0;

        if (range->gpa < gpa + size && range->gpa + range->length > gpa)
            ret = harvest(partition, range);
        if (ret < 0)
            return platform_result(ret);
    }
    for (uint64_t page = 0; page < size / PAGE; page++) {
        struct range *range = find(partition, gpa + page * PAGE);
        uint64_t own = (gpa + page * PAGE - range->gpa) / PAGE;

        if ((range->dirty[own / 64] >> (own % 64) & 1) == 0)
            continue;
        range->dirty[own / 64] &= ~(UINT64_C(1) << (own % 64));
        if (bitmap != NULL)
            bitmap[page / 64] |= UINT64_C(1) << (page % 64);
    }
    return S_OK;
}

HRESULT WINAPI WHvQueryGpaRangeDirtyBitmap(WHV_PARTITION_HANDLE handle,
                                           WHV_GUEST_PHYSICAL_ADDRESS gpa, UINT64 size,
                                           UINT64 *bitmap, UINT32 capacity)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up && is_range(gpa, size) && (uintptr_t)bitmap % 8 == 0 &&
        (bitmap != NULL || capacity == 0)) {
        if (bitmap != NULL && capacity < dirty_bytes(size)) {
            result = WHV_E_INSUFFICIENT_BUFFER;
        } else {
            if (bitmap != NULL)
                memset(bitmap, 0, dirty_bytes(size));
            result = query(partition, gpa, size, bitmap);
        }
    }
    partition_leave(partition);
    return result;
}

/* ---- direct access, advice ---- */

static HRESULT access_memory(WHV_PARTITION_HANDLE handle, uint32_t index, uint64_t gpa, void *data,
                             uint32_t size, bool is_write)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);
    uint8_t *host;

    if (partition == NULL)
        return result;
    host = memory_at(partition, gpa, is_write ? WHvMapGpaRangeFlagWrite : WHvMapGpaRangeFlagRead);
    if (data == NULL || size == 0 || size > WHV_READ_WRITE_GPA_RANGE_MAX_SIZE ||
        gpa % PAGE + size > PAGE)
        result = E_INVALIDARG;
    else if (host == NULL)
        result = E_ACCESSDENIED;
    else if (is_write)
        memcpy(host, data, size);
    else
        memcpy(data, host, size);
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvReadGpaRange(WHV_PARTITION_HANDLE handle, UINT32 index,
                               WHV_GUEST_PHYSICAL_ADDRESS gpa, WHV_ACCESS_GPA_CONTROLS controls,
                               PVOID data, UINT32 size)
{
    (void)controls;
    return access_memory(handle, index, gpa, data, size, false);
}

HRESULT WINAPI WHvWriteGpaRange(WHV_PARTITION_HANDLE handle, UINT32 index,
                                WHV_GUEST_PHYSICAL_ADDRESS gpa, WHV_ACCESS_GPA_CONTROLS controls,
                                const VOID *data, UINT32 size)
{
    (void)controls;
    return access_memory(handle, index, gpa, (void *)data, size, true);
}

HRESULT WINAPI WHvAdviseGpaRange(WHV_PARTITION_HANDLE handle, const WHV_MEMORY_RANGE_ENTRY *ranges,
                                 UINT32 count, WHV_ADVISE_GPA_RANGE_CODE advice, const VOID *buffer,
                                 UINT32 size)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = S_OK;

    if (partition == NULL)
        return E_INVALIDARG;
    if (ranges == NULL || (unsigned)advice > WHvAdviseGpaRangeCodeUnpin ||
        (advice == WHvAdviseGpaRangeCodePopulate &&
         (buffer == NULL || size != sizeof(WHV_ADVISE_GPA_RANGE_POPULATE))))
        result = E_INVALIDARG;
    for (uint32_t i = 0; result == S_OK && i < count; i++) {
        if (!is_range(ranges[i].GuestAddress, ranges[i].SizeInBytes))
            result = E_INVALIDARG;
        else if (find(partition, ranges[i].GuestAddress) == NULL)
            result = WHV_E_GPA_RANGE_NOT_FOUND;
    }
    partition_leave(partition);
    return result;
}

/* ---- translation (SDM vol. 3A, 4.5) ---- */

struct walk {
    struct partition *partition;
    const struct soft_cpu *cpu;
    uint64_t gva;
    bool user, writable, executable;
};

static WHV_TRANSLATE_GVA_RESULT_CODE walk(uint64_t *out, struct walk *walk, uint64_t table,
                                          unsigned level, bool pae)
{
    const unsigned size = pae ? 8 : 4, bits = pae ? 9 : 10;

    for (;; level--) {
        const unsigned shift = 12 + level * bits;
        /* The four entries of PAE's first level have no rights. */
        const bool plain = !(pae && level == 2 && !soft_is_long(walk->cpu));
        uint64_t at = table + (walk->gva >> shift & ((1u << bits) - 1)) * size, entry = 0;
        const uint8_t *host = memory_at(walk->partition, at, WHvMapGpaRangeFlagRead);

        if (host == NULL)
            return WHvTranslateGvaResultGpaUnmapped;
        memcpy(&entry, host, size);
        if ((entry & 1) == 0)
            return WHvTranslateGvaResultPageNotPresent;
        if (plain) {
            walk->writable &= (entry & 2) != 0;
            walk->user &= (entry & 4) != 0;
            walk->executable &= !pae || entry >> 63 == 0;
        }
        table = entry & (pae ? UINT64_C(0xffffffffff000) : UINT64_C(0xfffff000));
        if (level == 0 || (plain && (entry & 0x80) != 0 && level < (pae ? 3u : 2u))) {
            uint64_t mask = (UINT64_C(1) << shift) - 1;

            if (!pae && level == 1)
                table |= (entry >> 13 & 0xff) << 32; /* PSE-36 */
            *out = (table & ~mask) | (walk->gva & mask);
            return WHvTranslateGvaResultSuccess;
        }
    }
}

WHV_TRANSLATE_GVA_RESULT_CODE memory_translate(uint64_t *gpa, struct partition *partition,
                                               const struct soft_cpu *cpu, uint64_t gva,
                                               uint32_t flags)
{
    struct walk state = {partition, cpu, gva, true, true, true};
    const bool pae = (cpu->cr4 & SOFT_CR4_PAE) != 0;
    const bool exempt = (flags & WHvTranslateGvaFlagPrivilegeExempt) != 0;
    const bool as_user = soft_cpl(cpu) == 3 && !exempt;
    WHV_TRANSLATE_GVA_RESULT_CODE code;
    unsigned level = 1;
    uint64_t table = cpu->cr3 & (pae ? UINT64_C(0xffffffffff000) : UINT64_C(0xfffff000));

    if ((cpu->cr0 & SOFT_CR0_PG) == 0) {
        *gpa = gva;
        return WHvTranslateGvaResultSuccess;
    }
    if (soft_is_long(cpu))
        level = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 4 : 3;
    else if (pae)
        level = 2, table = cpu->cr3 & 0xffffffe0;
    code = walk(gpa, &state, table, level, pae);
    if (code != WHvTranslateGvaResultSuccess)
        return code;
    if (as_user && !state.user)
        return WHvTranslateGvaResultPrivilegeViolation;
    if ((flags & WHvTranslateGvaFlagValidateWrite) != 0 && !state.writable &&
        (as_user || (cpu->cr0 & SOFT_CR0_WP) != 0))
        return WHvTranslateGvaResultPrivilegeViolation;
    if ((flags & WHvTranslateGvaFlagValidateExecute) != 0 && !state.executable)
        return WHvTranslateGvaResultPrivilegeViolation;
    return WHvTranslateGvaResultSuccess;
}

HRESULT WINAPI WHvTranslateGva(WHV_PARTITION_HANDLE handle, UINT32 index,
                               WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                               WHV_TRANSLATE_GVA_RESULT *out, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    const uint32_t known = 0x31f;
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (out == NULL || gpa == NULL) {
        result = E_POINTER;
    } else if (((uint32_t)flags & ~known) != 0) {
        result = E_INVALIDARG;
    } else if (vp->running) {
        result = WHV_E_INVALID_VP_STATE;
    } else {
        uint64_t address = 0;

        *out = (WHV_TRANSLATE_GVA_RESULT){
            .ResultCode = memory_translate(&address, partition, vp_cpu(vp), gva, (uint32_t)flags)};
        *gpa = address;
        if (out->ResultCode == WHvTranslateGvaResultSuccess &&
            memory_at(partition, address, WHvMapGpaRangeFlagNone) == NULL)
            out->ResultCode = WHvTranslateGvaResultGpaUnmapped;
        else if (out->ResultCode == WHvTranslateGvaResultSuccess &&
                 (flags & WHvTranslateGvaFlagValidateWrite) != 0 &&
                 memory_at(partition, address, WHvMapGpaRangeFlagWrite) == NULL)
            out->ResultCode = WHvTranslateGvaResultGpaNoWriteAccess;
    }
    partition_leave(partition);
    return result;
}
