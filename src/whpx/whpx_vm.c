/* SPDX-License-Identifier: BSD-3-Clause */
/* Partitions, memory, dirty pages, MSR exits. */
#include "whpx/whpx.h"

#include <stdlib.h>
#include <string.h>

#include "core/vm.h"
#include "core/x86.h"
#include "os/cpu.h"

#define MAX_VCPUS 64u

/* The leaves that exit, each range as first and last: answered by the vCPU's own list. */
static const uint32_t cpuid_ranges[][2] = {
    {0, 0x24}, {0x40000000, 0x40000010}, {0x40000100, 0x40000110}, {0x80000000, 0x80000028}};

/* ---- partitions ---- */

static int set_property(const struct whpx_hv *whpx, WHV_PARTITION_HANDLE partition,
                        WHV_PARTITION_PROPERTY_CODE code, const void *value, size_t size)
{
    HRESULT result = whpx->call.SetPartitionProperty(partition, code, value, (UINT32)size);

    if (result == S_OK)
        return 0;
    whpx_failed(result, "WHvSetPartitionProperty", VISOR_EBROKEN);
    return visor__error_context("property 0x%x", (unsigned)code);
}

int whpx_change_property(const visor_vm *vm, WHV_PARTITION_PROPERTY_CODE code, uint64_t value)
{
    HRESULT result = whpx_calls(vm)->SetPartitionProperty(whpx_vm_of(vm)->partition, code, &value,
                                                          sizeof(value));

    if (result == S_OK)
        return 0;
    if (result != E_INVALIDARG)
        return whpx_failed(result, "WHvSetPartitionProperty", VISOR_EBROKEN);
    visor__error_native(VISOR_EUNSUPPORTED, "whpx", "WHvSetPartitionProperty", VISOR_NATIVE_HRESULT,
                        result, "this Windows does not change property 0x%x of a VM that is there",
                        (unsigned)code);
    return visor__error_hint("Windows 10 1909 or later is needed");
}

static int set_up(const struct whpx_hv *whpx, WHV_PARTITION_HANDLE partition, uint32_t processors,
                  WHV_X64_MSR_EXIT_BITMAP msr_exits)
{
    const WHV_EXTENDED_VM_EXITS exits = {
        .X64CpuidExit = 1, .X64MsrExit = 1, .ExceptionExit = whpx->exits.ExceptionExit};
    uint32_t leaves[160], count = 0;
    HRESULT result;
    int ret;

    for (size_t i = 0; i < sizeof(cpuid_ranges) / sizeof(cpuid_ranges[0]); i++) {
        for (uint32_t leaf = cpuid_ranges[i][0]; leaf <= cpuid_ranges[i][1]; leaf++)
            leaves[count++] = leaf;
    }
    ret = set_property(whpx, partition, WHvPartitionPropertyCodeProcessorCount, &processors,
                       sizeof(processors));
    if (ret == 0)
        ret = set_property(whpx, partition, WHvPartitionPropertyCodeExtendedVmExits, &exits,
                           sizeof(exits));
    if (ret == 0)
        ret = set_property(whpx, partition, WHvPartitionPropertyCodeCpuidExitList, leaves,
                           count * sizeof(leaves[0]));
    /* Systems that do not know it have all unhandled MSRs exit. */
    if (ret == 0 && whpx->msr_exits.AsUINT64 != 0)
        ret = set_property(whpx, partition, WHvPartitionPropertyCodeX64MsrExitBitmap, &msr_exits,
                           sizeof(msr_exits));
    if (ret < 0)
        return ret;
    result = whpx->call.SetupPartition(partition);
    return result == S_OK ? 0 : whpx_failed(result, "WHvSetupPartition", VISOR_EBROKEN);
}

int whpx_partition_create(WHV_PARTITION_HANDLE *out, visor_hypervisor *hv, uint32_t processors,
                          WHV_X64_MSR_EXIT_BITMAP msr_exits)
{
    const struct whpx_hv *whpx = whpx_hv_of(hv);
    HRESULT result = whpx->call.CreatePartition(out);
    int ret;

    if (result != S_OK)
        return whpx_failed(result, "WHvCreatePartition", VISOR_EBROKEN);
    ret = set_up(whpx, *out, processors, msr_exits);
    if (ret < 0)
        whpx->call.DeletePartition(*out);
    return ret;
}

/* ---- life ---- */

static int create(visor_vm *vm)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);
    const bool has_chip = vm->config.irqchip != VISOR_IRQCHIP_NONE;
    int ret;

    if (vm->config.protection != VISOR_UNPROTECTED)
        return visor__unsupported(vm->hv, "visor_vm_create",
                                  "the platform has no guests whose memory is hidden from this "
                                  "process");
    ret = whpx_survey(vm->hv);
    if (ret == 0)
        ret = visor__mutex_init(&whpx->lock);
    if (ret < 0)
        return ret;
    whpx->chip_exits = (WHV_X64_MSR_EXIT_BITMAP){
        .UnhandledMsrs = 1, .ApicBaseMsrWrite = has_chip, .TscMsrWrite = has_chip};
    whpx->chip_exits.AsUINT64 &= whpx_hv_of(vm->hv)->msr_exits.AsUINT64;
    whpx->msr_exits = whpx->chip_exits;
    ret = whpx_partition_create(&whpx->partition, vm->hv, MAX_VCPUS, whpx->chip_exits);
    if (ret < 0) {
        visor__mutex_destroy(&whpx->lock);
        return ret;
    }
    whpx->tsc_hz = whpx_hv_of(vm->hv)->tsc_hz;
    if (whpx->tsc_hz == 0)
        ret = visor__x86_measure_tsc(&whpx->tsc_hz);
    if (ret == 0)
        ret = whpx_chip_attach(vm);
    if (ret < 0) {
        whpx_calls(vm)->DeletePartition(whpx->partition);
        visor__mutex_destroy(&whpx->lock);
    }
    return ret;
}

static void destroy(visor_vm *vm)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);

    visor__irqchip_detach(vm);
    whpx_calls(vm)->DeletePartition(whpx->partition);
    visor__mutex_destroy(&whpx->lock);
}

static int64_t cap(visor_vm *vm, visor_cap cap)
{
    return vm->hv->backend->hv->cap(vm->hv, cap);
}

/* ---- time ---- */

/*
 * The platform's counters and its reference time, and the chips' clock with them, so that a timer
 * is as far from its end afterwards as it was before. The chips' stops first: what has fired by
 * then is not ahead of the counters. A system that cannot (before Windows 10 1903) lets all go on.
 */
static void hold_time(visor_vm *vm, bool hold)
{
    const struct whpx_functions *call = whpx_calls(vm);
    WHV_PARTITION_HANDLE partition = whpx_vm_of(vm)->partition;

    if (call->SuspendPartitionTime == NULL || call->ResumePartitionTime == NULL)
        return;
    if (!hold)
        call->ResumePartitionTime(partition);
    whpx_chip_hold_time(vm, hold);
    if (hold && call->SuspendPartitionTime(partition) != S_OK)
        whpx_chip_hold_time(vm, false);
    /* The chips tell the counters by their clock. */
    visor__mutex_lock(&vm->lock);
    for (visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        if (!vcpu->closed && vcpu->lapic != NULL && whpx_chip_sync_tsc(vcpu) == 0)
            visor__lapic_tsc_changed(vcpu->lapic);
    }
    visor__mutex_unlock(&vm->lock);
}

/* ---- memory ---- */

static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    WHV_MAP_GPA_RANGE_FLAGS flags = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;
    HRESULT result;

    if (!map->read_only)
        flags |= WHvMapGpaRangeFlagWrite;
    if (map->log_dirty) {
        if (vm->hv->backend->hv->cap(vm->hv, VISOR_CAP_DIRTY_LOG) == 0)
            return visor__unsupported(vm->hv, "WHvMapGpaRange",
                                      "this Windows does not track written pages (1809 does)");
        flags |= WHvMapGpaRangeFlagTrackDirtyPages;
    }
    result = whpx_calls(vm)->MapGpaRange(whpx_vm_of(vm)->partition, map->host, map->gpa,
                                         map->length, flags);
    if (result == S_OK)
        return 0;
    whpx_failed(result, "WHvMapGpaRange", VISOR_EBROKEN);
    return visor__error_context("slot %u", map->slot);
}

static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    HRESULT result =
        whpx_calls(vm)->UnmapGpaRange(whpx_vm_of(vm)->partition, map->gpa, map->length);

    return result == S_OK ? 0 : whpx_failed(result, "WHvUnmapGpaRange", VISOR_EBROKEN);
}

static int dirty_log(uint64_t *bitmap, visor_vm *vm, uint32_t slot, uint64_t length)
{
    const struct visor__slot_map *map = &vm->slots->table[slot]->map;
    const size_t words = (size_t)((length / WHPX_PAGE + 63) / 64);
    UINT64 *fresh = calloc(words, sizeof(*fresh));
    HRESULT result;

    if (fresh == NULL)
        return visor__error(VISOR_ENOMEM, "whpx", "dirty.log", "%zu words", words);
    result = whpx_calls(vm)->QueryGpaRangeDirtyBitmap(
        whpx_vm_of(vm)->partition, map->gpa, map->length, fresh, (UINT32)(words * sizeof(*fresh)));
    for (size_t i = 0; result == S_OK && i < words; i++)
        bitmap[i] |= fresh[i];
    free(fresh);
    return result == S_OK ? 0 : whpx_failed(result, "WHvQueryGpaRangeDirtyBitmap", VISOR_EBROKEN);
}

const struct visor__dirty_ops whpx_dirty_ops = {.log = dirty_log};

int whpx_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    *out = whpx_vm_of(vcpu->vm)->tsc_hz;
    return 0;
}

/* ---- MSR exits ---- */

/* What the platform answers itself, but can be told to let out at any time. */
static const struct {
    uint32_t msr;
    WHV_X64_MSR_EXIT_BITMAP read, write;
} switches[] = {
    {0x10, {.TscMsrRead = 1}, {.TscMsrWrite = 1}},
    {0x1b, {0}, {.ApicBaseMsrWrite = 1}},
    {0x8b, {.McUpdatePatchLevelMsrRead = 1}, {0}},
    {0x1a0, {.MiscEnableMsrRead = 1}, {0}},
};

/* Adds what lets an MSR out. False: the platform answers it whatever it is told. */
static bool add_switch(uint64_t *bitmap, const visor_vm *vm, uint32_t index,
                       const visor_x86_msr_range *range)
{
    const uint64_t has = whpx_hv_of(vm->hv)->msr_exits.AsUINT64;

    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        const uint64_t read = switches[i].read.AsUINT64 & has;
        const uint64_t write = switches[i].write.AsUINT64 & has;

        if (switches[i].msr != index)
            continue;
        *bitmap |= (range->reads ? read : 0) | (range->writes ? write : 0);
        return (!range->reads || read != 0) && (!range->writes || write != 0);
    }
    return !whpx_is_msr(vm->hv, index);
}

int whpx_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count, bool unknown)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);
    uint64_t bitmap = whpx->chip_exits.AsUINT64;
    int ret = 0;

    for (size_t i = 0; i < count; i++) {
        for (uint32_t n = 0; n < ranges[i].count; n++) {
            if (!add_switch(&bitmap, vm, ranges[i].first + n, &ranges[i])) {
                visor__error(VISOR_EUNSUPPORTED, "whpx", "visor_x86_set_msr_exits",
                             "MSR 0x%x: the platform answers it", ranges[i].first + n);
                return visor__error_hint("leave out MSRs that the processor has");
            }
        }
    }
    visor__mutex_lock(&whpx->lock);
    if (bitmap != whpx->msr_exits.AsUINT64)
        ret = whpx_change_property(vm, WHvPartitionPropertyCodeX64MsrExitBitmap, bitmap);
    if (ret == 0) {
        whpx->msr_exit_changes += bitmap != whpx->msr_exits.AsUINT64;
        whpx->msr_exits.AsUINT64 = bitmap;
        if (count > 0)
            memcpy(whpx->msr_ranges, ranges, count * sizeof(*ranges));
        whpx->msr_range_count = count;
        whpx->unknown_msrs_exit = unknown;
    }
    visor__mutex_unlock(&whpx->lock);
    return ret;
}

bool whpx_msr_exits(visor_vm *vm, uint32_t index, bool is_write, bool known)
{
    struct whpx_vm *whpx = whpx_vm_of(vm);
    bool exits;

    visor__mutex_lock(&whpx->lock);
    exits = !known && whpx->unknown_msrs_exit;
    for (size_t i = 0; i < whpx->msr_range_count; i++) {
        const visor_x86_msr_range *range = &whpx->msr_ranges[i];

        exits |= index >= range->first && index - range->first < range->count &&
                 (is_write ? range->writes : range->reads);
    }
    visor__mutex_unlock(&whpx->lock);
    return exits;
}

bool whpx_msr_exit_is_over(visor_vcpu *vcpu, uint32_t index, bool is_write)
{
    struct whpx_vm *whpx = whpx_vm_of(vcpu->vm);
    struct whpx_vcpu *processor = whpx_vcpu_of(vcpu);
    uint64_t bit = 0;
    bool over;

    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        if (switches[i].msr == index)
            bit = is_write ? switches[i].write.AsUINT64 : switches[i].read.AsUINT64;
    }
    bit &= whpx_hv_of(vcpu->vm->hv)->msr_exits.AsUINT64;
    visor__mutex_lock(&whpx->lock);
    over = bit != 0 && (whpx->msr_exits.AsUINT64 & bit) == 0 &&
           processor->msr_exit_changes != whpx->msr_exit_changes;
    if (over)
        processor->msr_exit_changes = whpx->msr_exit_changes;
    visor__mutex_unlock(&whpx->lock);
    return over;
}

const struct visor__vm_ops whpx_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = cap,
    .map = map,
    .unmap = unmap,
    .hold_time = hold_time,
};
