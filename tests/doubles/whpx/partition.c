/* SPDX-License-Identifier: BSD-3-Clause */
/* Capabilities, partitions and their properties, time. */
#include "platform.h"

#include <stdlib.h>
#include <string.h>

#include "core/x86.h"
#include "soft/system.h"
#include "soft/xstate.h"

static SRWLOCK partitions_lock = SRWLOCK_INIT;
static struct partition *partitions;

HRESULT platform_result(int ret)
{
    switch (ret) {
    case VISOR_ENOMEM: return E_OUTOFMEMORY;
    case VISOR_EUNSUPPORTED: return E_NOTIMPL;
    case VISOR_EACCESS: return E_ACCESSDENIED;
    case VISOR_ESTATE: return WHV_E_INVALID_VP_STATE;
    default: return ret >= 0 ? S_OK : E_INVALIDARG;
    }
}

/* ---- handles ---- */

struct partition *partition_enter(WHV_PARTITION_HANDLE handle)
{
    struct partition *found = NULL;

    AcquireSRWLockShared(&partitions_lock);
    for (struct partition *p = partitions; p != NULL; p = p->next) {
        if (p == handle)
            found = p;
    }
    ReleaseSRWLockShared(&partitions_lock);
    if (found != NULL)
        AcquireSRWLockExclusive(&found->lock);
    return found;
}

void partition_leave(struct partition *partition)
{
    ReleaseSRWLockExclusive(&partition->lock);
}

struct partition *partition_enter_vp(HRESULT *result, struct vp **vp, WHV_PARTITION_HANDLE handle,
                                     uint32_t index)
{
    struct partition *partition = partition_enter(handle);

    *result = E_INVALIDARG;
    if (partition == NULL)
        return NULL;
    if (index < MAX_VPS && partition->vps[index].vcpu != NULL) {
        *result = S_OK;
        *vp = &partition->vps[index];
        return partition;
    }
    *result = WHV_E_VP_DOES_NOT_EXIST;
    partition_leave(partition);
    return NULL;
}

struct partition *partition_of(const visor_vm *vm)
{
    struct partition *found = NULL;

    AcquireSRWLockShared(&partitions_lock);
    for (struct partition *p = partitions; p != NULL; p = p->next) {
        if (p->vm == vm)
            found = p;
    }
    ReleaseSRWLockShared(&partitions_lock);
    return found;
}

/* ---- capabilities ---- */

static const WHV_EXTENDED_VM_EXITS possible_exits = {
    .X64CpuidExit = 1, .X64MsrExit = 1, .ExceptionExit = 1};
static const WHV_X64_MSR_EXIT_BITMAP possible_msr_exits = {.UnhandledMsrs = 1,
                                                           .TscMsrWrite = 1,
                                                           .TscMsrRead = 1,
                                                           .ApicBaseMsrWrite = 1,
                                                           .MiscEnableMsrRead = 1,
                                                           .McUpdatePatchLevelMsrRead = 1};
#define POSSIBLE_EXCEPTIONS UINT64_C(0x3fffff)

/* Where CPUID says what the platform says with a bit of its own. */
struct feature {
    uint32_t function;
    uint8_t reg; /* 0 EAX ... 3 EDX */
    uint8_t bit;
    uint8_t feature;
};
static const struct feature features[] = {
    {1, 2, 0, 0},   {0x80000001, 2, 0, 1},  {1, 2, 9, 2},
    {1, 2, 19, 3},  {1, 2, 20, 4},          {1, 2, 23, 7},
    {1, 2, 13, 8},  {0x80000001, 2, 5, 10}, {0x80000001, 3, 26, 15},
    {1, 2, 25, 16}, {1, 2, 1, 17},          {1, 2, 17, 18},
    {1, 2, 29, 20}, {1, 2, 30, 21},         {7, 1, 0, 22},
    {7, 1, 7, 23},  {7, 1, 9, 24},          {7, 1, 3, 25},
    {7, 1, 8, 26},  {1, 2, 22, 29},         {7, 1, 18, 32},
    {7, 1, 19, 33}, {7, 1, 20, 35},         {0x80000001, 3, 27, 38},
    {7, 1, 23, 39}, {7, 1, 24, 40},         {7, 1, 29, 41},
    {7, 1, 10, 43}, {7, 2, 22, 57},         {7, 2, 2, 58},
};
static const struct feature xsave_features[] = {
    {1, 2, 26, 0}, {0xd, 0, 0, 1}, {1, 2, 28, 2}, {7, 1, 5, 3}, {1, 2, 12, 4}};

static uint64_t feature_bits(const struct feature *list, size_t count)
{
    visor_x86_cpuid_entry leaves[64];
    size_t found = soft_cpuid_supported(leaves, 64);
    uint64_t bits = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < found && n < 64; n++) {
            const uint32_t regs[4] = {leaves[n].eax, leaves[n].ebx, leaves[n].ecx, leaves[n].edx};
            uint32_t index = list[i].function == 0xd ? 1 : 0;

            if (leaves[n].function == list[i].function && leaves[n].index == index &&
                (regs[list[i].reg] >> list[i].bit & 1) != 0)
                bits |= UINT64_C(1) << list[i].feature;
        }
    }
    return bits;
}

#define PROCESSOR_FEATURES feature_bits(features, sizeof(features) / sizeof(features[0]))
#define XSAVE_FEATURES \
    feature_bits(xsave_features, sizeof(xsave_features) / sizeof(xsave_features[0]))
/* TscInvariantSupport, TscAdjustSupport. */
#define PROCESSOR_FEATURES1 ((UINT64_C(1) << 1) | (UINT64_C(1) << 18))

static uint64_t tsc_hz(void)
{
    static uint64_t hz; /* the same for whoever measures it first */

    if (hz == 0 && visor__x86_measure_tsc(&hz) < 0)
        hz = 1000000000;
    return hz;
}

/* Copies a value of `size` bytes out, or only says how long it is. */
static HRESULT give(void *buffer, uint32_t capacity, uint32_t *written, const void *value,
                    uint32_t size)
{
    if (written != NULL)
        *written = size;
    if (capacity < size)
        return WHV_E_INSUFFICIENT_BUFFER;
    if (buffer == NULL)
        return E_POINTER;
    memset(buffer, 0, capacity);
    memcpy(buffer, value, size);
    return S_OK;
}

bool platform_plays(const char *state)
{
    char value[16];
    DWORD length = GetEnvironmentVariableA("WHPX_DOUBLE", value, sizeof(value));

    return length > 0 && length < sizeof(value) && strcmp(value, state) == 0;
}

HRESULT WINAPI WHvGetCapability(WHV_CAPABILITY_CODE code, VOID *buffer, UINT32 capacity,
                                UINT32 *written)
{
    WHV_CAPABILITY value = {0};
    uint32_t size = 8;

    switch ((int)code) {
    case WHvCapabilityCodeHypervisorPresent:
        value.HypervisorPresent = !platform_plays("off");
        size = sizeof(value.HypervisorPresent);
        break;
    case WHvCapabilityCodeFeatures:
        value.Features.PartialUnmap = 1;
        value.Features.LocalApicEmulation = 1;
        value.Features.Xsave = 1;
        value.Features.DirtyPageTracking = 1;
        break;
    case WHvCapabilityCodeExtendedVmExits: value.ExtendedVmExits = possible_exits; break;
    case WHvCapabilityCodeExceptionExitBitmap:
        value.ExceptionExitBitmap = POSSIBLE_EXCEPTIONS;
        break;
    case WHvCapabilityCodeX64MsrExitBitmap: value.X64MsrExitBitmap = possible_msr_exits; break;
    case WHvCapabilityCodeGpaRangePopulateFlags:
    case WHvCapabilityCodeSchedulerFeatures: break;
    case WHvCapabilityCodeProcessorVendor:
        value.ProcessorVendor = WHvProcessorVendorIntel;
        size = sizeof(value.ProcessorVendor);
        break;
    case WHvCapabilityCodeProcessorFeatures:
        value.ProcessorFeatures.AsUINT64 = PROCESSOR_FEATURES;
        break;
    case WHvCapabilityCodeProcessorClFlushSize:
        value.ProcessorClFlushSize = 8;
        size = 1;
        break;
    case WHvCapabilityCodeProcessorXsaveFeatures:
        value.ProcessorXsaveFeatures.AsUINT64 = XSAVE_FEATURES;
        break;
    case WHvCapabilityCodeProcessorClockFrequency: value.ProcessorClockFrequency = tsc_hz(); break;
    case WHvCapabilityCodeInterruptClockFrequency:
        value.InterruptClockFrequency = 1000000000;
        break;
    case WHvCapabilityCodeProcessorFeaturesBanks:
        value.ProcessorFeaturesBanks.BanksCount = WHV_PROCESSOR_FEATURES_BANKS_COUNT;
        value.ProcessorFeaturesBanks.Bank0.AsUINT64 = PROCESSOR_FEATURES;
        value.ProcessorFeaturesBanks.Bank1.AsUINT64 = PROCESSOR_FEATURES1;
        size = sizeof(value.ProcessorFeaturesBanks);
        break;
    case WHvCapabilityCodeSyntheticProcessorFeaturesBanks:
        value.SyntheticProcessorFeaturesBanks.BanksCount =
            WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT;
        size = sizeof(value.SyntheticProcessorFeaturesBanks);
        break;
    case 0x100a: /* physical address width */ {
        const uint32_t width = GPA_BITS;

        return give(buffer, capacity, written, &width, sizeof(width));
    }
    default: return WHV_E_UNKNOWN_CAPABILITY;
    }
    return give(buffer, capacity, written, &value, size);
}

/* ---- life ---- */

HRESULT WINAPI WHvCreatePartition(WHV_PARTITION_HANDLE *out)
{
    struct partition *partition;

    if (out == NULL)
        return E_POINTER;
    if (platform_plays("denied"))
        return E_ACCESSDENIED;
    if (platform_plays("busy"))
        return HRESULT_FROM_WIN32(ERROR_BUSY);
    partition = calloc(1, sizeof(*partition));
    if (partition == NULL)
        return E_OUTOFMEMORY;
    InitializeSRWLock(&partition->lock);
    partition->msr_exits.UnhandledMsrs = 1;
    AcquireSRWLockExclusive(&partitions_lock);
    partition->next = partitions;
    partitions = partition;
    ReleaseSRWLockExclusive(&partitions_lock);
    *out = partition;
    return S_OK;
}

static int set_up(struct partition *partition)
{
    const visor_memory_region reserved = {.gpa = RESERVED_GPA, .length = PAGE};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    int ret = visor_hypervisor_open(&partition->hv, "soft");

    config.arch = VISOR_ARCH_X86_64;
    config.irqchip = partition->apic == WHvX64LocalApicEmulationModeNone ? VISOR_IRQCHIP_NONE
                                                                         : VISOR_IRQCHIP_SPLIT;
    if (ret == 0)
        ret = visor_memory_create(&partition->memory, &reserved, 1, NULL);
    if (ret == 0)
        ret = visor_vm_create(&partition->vm, partition->hv, partition->memory, &config);
    return ret == 0 ? vp_set_exits(partition) : ret;
}

HRESULT WINAPI WHvSetupPartition(WHV_PARTITION_HANDLE handle)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = S_OK;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up) {
        result = E_INVALIDARG;
    } else if (partition->processor_count == 0 ||
               (partition->exits.ExceptionExit == 0 && partition->exception_exits != 0) ||
               (partition->exits.X64CpuidExit == 0 && partition->cpuid_exit_count > 0)) {
        result = WHV_E_INVALID_PARTITION_CONFIG;
    } else {
        result = platform_result(set_up(partition));
        partition->is_set_up = result == S_OK;
    }
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvResetPartition(WHV_PARTITION_HANDLE handle)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = S_OK;

    if (partition == NULL)
        return E_INVALIDARG;
    if (!partition->is_set_up)
        result = E_INVALIDARG;
    for (size_t i = 0; result == S_OK && i < MAX_VPS; i++) {
        if (partition->vps[i].running)
            result = WHV_E_INVALID_VP_STATE;
    }
    for (size_t i = 0; result == S_OK && i < MAX_VPS; i++) {
        if (partition->vps[i].vcpu != NULL)
            result = platform_result(visor_vcpu_reset(partition->vps[i].vcpu));
    }
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvDeletePartition(WHV_PARTITION_HANDLE handle)
{
    struct partition *partition = partition_enter(handle), **link;

    if (partition == NULL)
        return E_INVALIDARG;
    AcquireSRWLockExclusive(&partitions_lock);
    for (link = &partitions; *link != partition; link = &(*link)->next)
        ;
    *link = partition->next;
    ReleaseSRWLockExclusive(&partitions_lock);
    for (size_t i = 0; i < MAX_VPS; i++)
        visor_vcpu_free(partition->vps[i].vcpu);
    memory_clear(partition);
    visor_vm_free(partition->vm);
    visor_memory_free(partition->memory);
    visor_hypervisor_free(partition->hv);
    partition_leave(partition);
    free(partition);
    return S_OK;
}

/* ---- time ---- */

static uint64_t reference_now(const struct partition *partition)
{
    return partition->is_suspended ? partition->frozen_reference
                                   : visor__os_now_ns() / 100 + partition->reference_offset;
}

void partition_resume_time(struct partition *partition)
{
    if (!partition->is_suspended)
        return;
    partition->is_suspended = false;
    partition->reference_offset = partition->frozen_reference - visor__os_now_ns() / 100;
    for (size_t i = 0; i < MAX_VPS; i++) {
        if (partition->vps[i].vcpu != NULL)
            visor_x86_set_tsc(partition->vps[i].vcpu, partition->vps[i].frozen_tsc);
    }
}

HRESULT WINAPI WHvSuspendPartitionTime(WHV_PARTITION_HANDLE handle)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = S_OK;

    if (partition == NULL)
        return E_INVALIDARG;
    if (!partition->is_set_up)
        result = E_INVALIDARG;
    for (size_t i = 0; i < MAX_VPS; i++) {
        if (partition->vps[i].running)
            result = WHV_E_INVALID_VP_STATE;
    }
    if (result == S_OK && !partition->is_suspended) {
        partition->frozen_reference = reference_now(partition);
        partition->is_suspended = true;
        for (size_t i = 0; i < MAX_VPS; i++) {
            if (partition->vps[i].vcpu != NULL)
                visor_x86_get_msr(&partition->vps[i].frozen_tsc, partition->vps[i].vcpu, 0x10);
        }
    }
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvResumePartitionTime(WHV_PARTITION_HANDLE handle)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result;

    if (partition == NULL)
        return E_INVALIDARG;
    result = partition->is_set_up ? S_OK : E_INVALIDARG;
    partition_resume_time(partition);
    partition_leave(partition);
    return result;
}

/* ---- properties ---- */

/* The bytes of a property that is a single value; 0: it is none. */
static uint32_t scalar_size(WHV_PARTITION_PROPERTY_CODE code)
{
    switch ((int)code) {
    case WHvPartitionPropertyCodeExtendedVmExits:
    case WHvPartitionPropertyCodeExceptionExitBitmap:
    case WHvPartitionPropertyCodeX64MsrExitBitmap:
    case WHvPartitionPropertyCodeProcessorFeatures:
    case WHvPartitionPropertyCodeProcessorXsaveFeatures:
    case WHvPartitionPropertyCodeProcessorClockFrequency:
    case WHvPartitionPropertyCodeInterruptClockFrequency:
    case WHvPartitionPropertyCodeReferenceTime: return 8;
    case WHvPartitionPropertyCodeSeparateSecurityDomain:
    case WHvPartitionPropertyCodeNestedVirtualization:
    case WHvPartitionPropertyCodeLocalApicEmulationMode:
    case WHvPartitionPropertyCodeProcessorCount: return 4;
    case WHvPartitionPropertyCodeProcessorClFlushSize: return 1;
    case WHvPartitionPropertyCodeProcessorFeaturesBanks:
        return sizeof(WHV_PROCESSOR_FEATURES_BANKS);
    case WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks:
        return sizeof(WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS);
    default: return 0;
    }
}

static void read_scalar(WHV_PARTITION_PROPERTY *out, const struct partition *partition,
                        WHV_PARTITION_PROPERTY_CODE code)
{
    switch (code) {
    case WHvPartitionPropertyCodeExtendedVmExits: out->ExtendedVmExits = partition->exits; break;
    case WHvPartitionPropertyCodeExceptionExitBitmap:
        out->ExceptionExitBitmap = partition->exception_exits;
        break;
    case WHvPartitionPropertyCodeX64MsrExitBitmap:
        out->X64MsrExitBitmap = partition->msr_exits;
        break;
    case WHvPartitionPropertyCodeProcessorFeatures:
        out->ProcessorFeatures.AsUINT64 = PROCESSOR_FEATURES;
        break;
    case WHvPartitionPropertyCodeProcessorXsaveFeatures:
        out->ProcessorXsaveFeatures.AsUINT64 = XSAVE_FEATURES;
        break;
    case WHvPartitionPropertyCodeProcessorClockFrequency:
        out->ProcessorClockFrequency = tsc_hz();
        break;
    case WHvPartitionPropertyCodeInterruptClockFrequency:
        out->InterruptClockFrequency = 1000000000;
        break;
    case WHvPartitionPropertyCodeReferenceTime:
        out->ReferenceTime = reference_now(partition);
        break;
    case WHvPartitionPropertyCodeLocalApicEmulationMode:
        out->LocalApicEmulationMode = partition->apic;
        break;
    case WHvPartitionPropertyCodeProcessorCount:
        out->ProcessorCount = partition->processor_count;
        break;
    case WHvPartitionPropertyCodeProcessorClFlushSize: out->ProcessorClFlushSize = 8; break;
    case WHvPartitionPropertyCodeProcessorFeaturesBanks:
        out->ProcessorFeaturesBanks.BanksCount = WHV_PROCESSOR_FEATURES_BANKS_COUNT;
        out->ProcessorFeaturesBanks.Bank0.AsUINT64 = PROCESSOR_FEATURES;
        out->ProcessorFeaturesBanks.Bank1.AsUINT64 = PROCESSOR_FEATURES1;
        break;
    case WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks:
        out->SyntheticProcessorFeaturesBanks.BanksCount = 1;
        break;
    default: break;
    }
}

HRESULT WINAPI WHvGetPartitionProperty(WHV_PARTITION_HANDLE handle,
                                       WHV_PARTITION_PROPERTY_CODE code, VOID *buffer,
                                       UINT32 capacity, UINT32 *written)
{
    struct partition *partition = partition_enter(handle);
    uint32_t size = scalar_size(code);
    WHV_PARTITION_PROPERTY value = {0};
    HRESULT result = WHV_E_UNKNOWN_PROPERTY;

    if (partition == NULL)
        return E_INVALIDARG;
    if (size > 0) {
        read_scalar(&value, partition, code);
        result = give(buffer, capacity, written, &value, size);
    }
    partition_leave(partition);
    return result;
}

/* A value that cannot be chosen: only what there is anyway. */
static HRESULT accept_only(const struct partition *partition, WHV_PARTITION_PROPERTY_CODE code,
                           const WHV_PARTITION_PROPERTY *value)
{
    WHV_PARTITION_PROPERTY present = {0};

    read_scalar(&present, partition, code);
    return memcmp(&present, value, scalar_size(code)) == 0 ? S_OK
                                                           : WHV_E_UNSUPPORTED_PROCESSOR_CONFIG;
}

static HRESULT set_scalar(struct partition *partition, WHV_PARTITION_PROPERTY_CODE code,
                          const WHV_PARTITION_PROPERTY *value)
{
    switch (code) {
    case WHvPartitionPropertyCodeExtendedVmExits:
        if ((value->ExtendedVmExits.AsUINT64 & ~possible_exits.AsUINT64) != 0)
            return E_INVALIDARG;
        partition->exits = value->ExtendedVmExits;
        return S_OK;
    case WHvPartitionPropertyCodeExceptionExitBitmap:
        if ((value->ExceptionExitBitmap & ~POSSIBLE_EXCEPTIONS) != 0)
            return E_INVALIDARG;
        partition->exception_exits = value->ExceptionExitBitmap;
        return S_OK;
    case WHvPartitionPropertyCodeX64MsrExitBitmap:
        if ((value->X64MsrExitBitmap.AsUINT64 & ~possible_msr_exits.AsUINT64) != 0)
            return E_INVALIDARG;
        partition->msr_exits = value->X64MsrExitBitmap;
        return S_OK;
    case WHvPartitionPropertyCodeLocalApicEmulationMode:
        if ((unsigned)value->LocalApicEmulationMode > WHvX64LocalApicEmulationModeX2Apic)
            return E_INVALIDARG;
        partition->apic = value->LocalApicEmulationMode;
        return S_OK;
    case WHvPartitionPropertyCodeProcessorCount:
        if (value->ProcessorCount == 0 || value->ProcessorCount > MAX_VPS)
            return E_INVALIDARG;
        partition->processor_count = value->ProcessorCount;
        return S_OK;
    case WHvPartitionPropertyCodeReferenceTime:
        if (!partition->is_suspended)
            return WHV_E_INVALID_VP_STATE;
        partition->frozen_reference = value->ReferenceTime;
        return S_OK;
    case WHvPartitionPropertyCodeSeparateSecurityDomain: return S_OK;
    case WHvPartitionPropertyCodeNestedVirtualization:
        return value->NestedVirtualization ? E_INVALIDARG : S_OK;
    default: return accept_only(partition, code, value);
    }
}

static HRESULT set_results(struct partition *partition, bool second, const void *buffer,
                           uint32_t size)
{
    const WHV_X64_CPUID_RESULT *results = buffer;
    const uint32_t element = second ? sizeof(WHV_X64_CPUID_RESULT2) : sizeof(WHV_X64_CPUID_RESULT);
    size_t count = size / element;

    if (size % element != 0 || partition->cpuid_result_count + count > MAX_LIST)
        return E_INVALIDARG;
    for (size_t i = 0; i < count; i++) {
        WHV_X64_CPUID_RESULT2 *to = &partition->cpuid_results[partition->cpuid_result_count++];

        if (second) {
            *to = ((const WHV_X64_CPUID_RESULT2 *)buffer)[i];
            continue;
        }
        *to = (WHV_X64_CPUID_RESULT2){
            .Function = results[i].Function,
            .Output = {results[i].Eax, results[i].Ebx, results[i].Ecx, results[i].Edx}};
        memset(&to->Mask, 0xff, sizeof(to->Mask));
    }
    return S_OK;
}

static HRESULT set_list(struct partition *partition, WHV_PARTITION_PROPERTY_CODE code,
                        const void *buffer, uint32_t size)
{
    switch (code) {
    case WHvPartitionPropertyCodeCpuidExitList:
        if (size % 4 != 0 || size / 4 > MAX_LIST)
            return E_INVALIDARG;
        if (size > 0)
            memcpy(partition->cpuid_exits, buffer, size);
        partition->cpuid_exit_count = size / 4;
        return S_OK;
    case WHvPartitionPropertyCodeCpuidResultList:
        return set_results(partition, false, buffer, size);
    case WHvPartitionPropertyCodeCpuidResultList2:
        return set_results(partition, true, buffer, size);
    case WHvPartitionPropertyCodeMsrActionList:
        if (size % sizeof(WHV_MSR_ACTION_ENTRY) != 0 || size > sizeof(partition->msr_actions))
            return E_INVALIDARG;
        if (size > 0)
            memcpy(partition->msr_actions, buffer, size);
        partition->msr_action_count = size / sizeof(WHV_MSR_ACTION_ENTRY);
        return S_OK;
    default: return WHV_E_UNKNOWN_PROPERTY;
    }
}

static bool may_change(WHV_PARTITION_PROPERTY_CODE code)
{
    return code == WHvPartitionPropertyCodeExtendedVmExits ||
           code == WHvPartitionPropertyCodeExceptionExitBitmap ||
           code == WHvPartitionPropertyCodeX64MsrExitBitmap ||
           code == WHvPartitionPropertyCodeCpuidExitList ||
           code == WHvPartitionPropertyCodeReferenceTime;
}

/* WinHvPlatform_1809.dll is this library with fewer functions. */
static bool is_old(void)
{
    HMODULE self;

    return GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                  GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                              (const char *)(uintptr_t)is_old, &self) &&
           GetProcAddress(self, "WHvSuspendPartitionTime") == NULL;
}

HRESULT WINAPI WHvSetPartitionProperty(WHV_PARTITION_HANDLE handle,
                                       WHV_PARTITION_PROPERTY_CODE code, const VOID *buffer,
                                       UINT32 size)
{
    struct partition *partition = partition_enter(handle);
    const uint32_t scalar = scalar_size(code);
    WHV_PARTITION_PROPERTY value = {0};
    HRESULT result;

    if (partition == NULL)
        return E_INVALIDARG;
    if (buffer == NULL) {
        result = E_POINTER;
    } else if (partition->is_set_up && (!may_change(code) || is_old())) {
        result = E_INVALIDARG;
    } else if (scalar == 0) {
        result = set_list(partition, code, buffer, size);
    } else if (size < scalar || size > sizeof(value)) {
        result = E_INVALIDARG;
    } else {
        memcpy(&value, buffer, scalar);
        result = set_scalar(partition, code, &value);
    }
    if (result == S_OK && partition->is_set_up)
        result = platform_result(vp_set_exits(partition));
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvGetPartitionCounters(WHV_PARTITION_HANDLE handle, WHV_PARTITION_COUNTER_SET set,
                                       VOID *buffer, UINT32 capacity, UINT32 *written)
{
    struct partition *partition = partition_enter(handle);
    WHV_PARTITION_MEMORY_COUNTERS counters = {0};
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    for (size_t i = 0; i < partition->range_count; i++)
        counters.Mapped4KPageCount += partition->ranges[i].length / PAGE;
    if (set == WHvPartitionCounterSetMemory)
        result = give(buffer, capacity, written, &counters, sizeof(counters));
    partition_leave(partition);
    return result;
}
