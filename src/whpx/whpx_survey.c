/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the platform's processor has, learnt from a partition with one processor that exists for
 * this: the platform has no list of it. Newer systems tell CPUID when asked (20H2); older ones tell
 * at an exit of the instruction what it would have said.
 */
#include "whpx/whpx.h"

#include <string.h>

#define CPUID_APIC       (1u << 9)
#define CPUID_X2APIC     (1u << 21)
#define CPUID_DEADLINE   (1u << 24)
#define CPUID_OSXSAVE    (1u << 27)
#define CPUID_HYPERVISOR (1u << 31)

#define CODE_GPA 0x1000u

struct survey {
    struct whpx_hv *whpx;
    WHV_PARTITION_HANDLE partition;
    uint8_t *page; /* with the instruction; NULL: the platform tells without */
};

/* ---- one leaf ---- */

static int by_exit(visor_x86_cpuid_entry *entry, const struct survey *survey)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRax,
                                              WHvX64RegisterRcx};
    const struct whpx_functions *call = &survey->whpx->call;
    WHV_REGISTER_VALUE values[3] = {
        {.Reg64 = CODE_GPA}, {.Reg64 = entry->function}, {.Reg64 = entry->index}};
    WHV_RUN_VP_EXIT_CONTEXT context;
    HRESULT result = call->SetVirtualProcessorRegisters(survey->partition, 0, names, 3, values);

    if (result != S_OK)
        return whpx_failed(result, "WHvSetVirtualProcessorRegisters", VISOR_EBROKEN);
    result = call->RunVirtualProcessor(survey->partition, 0, &context, sizeof(context));
    if (result != S_OK)
        return whpx_failed(result, "WHvRunVirtualProcessor", VISOR_EBROKEN);
    if (context.ExitReason != WHvRunVpExitReasonX64Cpuid)
        return visor__error(VISOR_EBROKEN, "whpx", "WHvRunVirtualProcessor",
                            "exit 0x%x at a CPUID instruction", (unsigned)context.ExitReason);
    entry->eax = (uint32_t)context.CpuidAccess.DefaultResultRax;
    entry->ebx = (uint32_t)context.CpuidAccess.DefaultResultRbx;
    entry->ecx = (uint32_t)context.CpuidAccess.DefaultResultRcx;
    entry->edx = (uint32_t)context.CpuidAccess.DefaultResultRdx;
    return 0;
}

static int ask(visor_x86_cpuid_entry *entry, const struct survey *survey)
{
    WHV_CPUID_OUTPUT output;
    HRESULT result;

    if (survey->page != NULL)
        return by_exit(entry, survey);
    result = survey->whpx->call.GetVirtualProcessorCpuidOutput(
        survey->partition, 0, entry->function, entry->index, &output);
    if (result != S_OK)
        return whpx_failed(result, "WHvGetVirtualProcessorCpuidOutput", VISOR_EBROKEN);
    entry->eax = output.Eax;
    entry->ebx = output.Ebx;
    entry->ecx = output.Ecx;
    entry->edx = output.Edx;
    return 0;
}

/* ---- all leaves ---- */

/* How many indices a leaf can have; 1: it has none. The last is the first that says so. */
static uint32_t indices_of(uint32_t function)
{
    switch (function) {
    case 4:
    case 0x8000001d: return 16;
    case 7: return 3;
    case 0xb:
    case 0x1f: return 8;
    case 0xd: return 64;
    case 0x14: return 2;
    default: return 1;
    }
}

static bool is_last(const visor_x86_cpuid_entry *entry)
{
    switch (entry->function) {
    case 4:
    case 0x8000001d: return (entry->eax & 31) == 0;
    case 0xb:
    case 0x1f: return (entry->ecx & 0xff00) == 0;
    default: return false;
    }
}

static int take_leaf(uint32_t function, const struct survey *survey)
{
    struct whpx_hv *whpx = survey->whpx;
    const uint32_t count = indices_of(function);

    for (uint32_t index = 0; index < count && whpx->cpuid_count < WHPX_CPUID_MAX; index++) {
        visor_x86_cpuid_entry entry = {
            .function = function, .index = index, .flags = count > 1 ? VISOR_X86_CPUID_INDEXED : 0};
        int ret = ask(&entry, survey);

        if (ret < 0)
            return ret;
        if (index > 0 && (entry.eax | entry.ebx | entry.edx) == 0 && !is_last(&entry))
            continue;
        whpx->cpuid[whpx->cpuid_count++] = entry;
        if (is_last(&entry))
            break;
    }
    return 0;
}

static int take_range(uint32_t first, uint32_t most, const struct survey *survey)
{
    visor_x86_cpuid_entry entry = {.function = first};
    int ret = ask(&entry, survey);
    uint32_t last = entry.eax < most ? entry.eax : most;

    for (uint32_t function = first; ret == 0 && function <= last; function++)
        ret = take_leaf(function, survey);
    return ret;
}

/* What this library adds, and what only the operating system of a guest switches on. */
static void adjust(struct whpx_hv *whpx)
{
    for (size_t i = 0; i < whpx->cpuid_count; i++) {
        visor_x86_cpuid_entry *entry = &whpx->cpuid[i];

        if (entry->function == 1) {
            entry->ecx |= CPUID_HYPERVISOR | CPUID_X2APIC | CPUID_DEADLINE;
            entry->ecx &= ~CPUID_OSXSAVE;
            entry->edx |= CPUID_APIC;
            entry->ebx &= 0x00ffffff; /* the id of the processor that was asked */
        } else if (entry->function == 0xd && entry->index == 0) {
            whpx->xsave_size = entry->ecx;
        } else if (entry->function == 0xd && entry->index > 1 && (entry->ecx & 1) == 0) {
            whpx->xsave[entry->index] = (struct whpx_xsave_part){
                .offset = entry->ebx, .size = entry->eax, .aligned = (entry->ecx & 2) != 0};
        } else if (entry->function == 0x80000008) {
            whpx->gpa_bits = entry->eax & 0xff;
        }
    }
    if (!whpx->features.Xsave || (whpx->call.GetVirtualProcessorState == NULL &&
                                  whpx->call.GetVirtualProcessorXsaveState == NULL))
        whpx->xsave_size = 0;
}

/* ---- the survey ---- */

/* 16-bit code at 0, of which one instruction is there. */
static int put_code(struct survey *survey)
{
    static const uint8_t code[] = {0x0f, 0xa2, 0xf4}; /* cpuid; hlt */
    const struct whpx_functions *call = &survey->whpx->call;
    const WHV_REGISTER_NAME name = WHvX64RegisterCs;
    WHV_REGISTER_VALUE value = {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}};
    HRESULT result;

    survey->page = VirtualAlloc(NULL, WHPX_PAGE, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (survey->page == NULL)
        return visor__error(VISOR_ENOMEM, "whpx", "VirtualAlloc", "a page");
    memcpy(survey->page, code, sizeof(code));
    result = call->MapGpaRange(survey->partition, survey->page, CODE_GPA, WHPX_PAGE,
                               WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute);
    if (result != S_OK)
        return whpx_failed(result, "WHvMapGpaRange", VISOR_EBROKEN);
    result = call->SetVirtualProcessorRegisters(survey->partition, 0, &name, 1, &value);
    return result == S_OK ? 0
                          : whpx_failed(result, "WHvSetVirtualProcessorRegisters", VISOR_EBROKEN);
}

static int look(struct survey *survey)
{
    struct whpx_hv *whpx = survey->whpx;
    HRESULT result = whpx->call.CreateVirtualProcessor(survey->partition, 0, 0);
    int ret = 0;

    if (result != S_OK)
        return whpx_failed(result, "WHvCreateVirtualProcessor", VISOR_EBROKEN);
    if (whpx->call.GetVirtualProcessorCpuidOutput == NULL)
        ret = put_code(survey);
    whpx->cpuid_count = 0;
    whpx->gpa_bits = 36;
    if (ret == 0)
        ret = take_range(0, 0x1f, survey);
    if (ret == 0)
        ret = take_range(0x80000000, 0x80000021, survey);
    if (ret == 0) {
        adjust(whpx);
        whpx_survey_msrs(whpx->has_msr, &whpx->call, survey->partition);
    }
    whpx->call.DeleteVirtualProcessor(survey->partition, 0);
    return ret;
}

int whpx_survey(visor_hypervisor *hv)
{
    struct whpx_hv *whpx = whpx_hv_of(hv);
    struct survey survey = {.whpx = whpx};
    int ret = 0;

    visor__mutex_lock(&whpx->lock);
    if (whpx->survey == 0) {
        ret = whpx_partition_create(&survey.partition, hv, 1, (WHV_X64_MSR_EXIT_BITMAP){0});
        if (ret == 0) {
            ret = look(&survey);
            whpx->call.DeletePartition(survey.partition);
        }
        if (survey.page != NULL)
            VirtualFree(survey.page, 0, MEM_RELEASE);
        whpx->survey = ret == 0;
    }
    visor__mutex_unlock(&whpx->lock);
    return ret;
}

int whpx_x86_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    const struct whpx_hv *whpx = whpx_hv_of(hv);
    int ret = whpx_survey(hv);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < whpx->cpuid_count && i < capacity; i++)
        out[i] = whpx->cpuid[i];
    return (int)whpx->cpuid_count;
}
