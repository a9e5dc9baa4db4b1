/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The platform's numbers and bits, of mingw-w64's headers and uapi/whpx.h, against Microsoft's
 * headers and the documentation of the platform. Both the backend and the double are built from
 * those headers, so that neither would notice a wrong one. Numbers and layouts are checked when
 * this is compiled (layouts: uapi/whpx.h), bits of structures when it runs.
 */
#include <whpx.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define IS(name, value) _Static_assert((UINT64)(name) == (UINT64)(value), #name)

/* ---- capabilities, properties ---- */

IS(WHvCapabilityCodeHypervisorPresent, 0);
IS(WHvCapabilityCodeFeatures, 1);
IS(WHvCapabilityCodeExtendedVmExits, 2);
IS(WHvCapabilityCodeExceptionExitBitmap, 3);
IS(WHvCapabilityCodeX64MsrExitBitmap, 4);
IS(WHvCapabilityCodeGpaRangePopulateFlags, 5);
IS(WHvCapabilityCodeSchedulerFeatures, 6);
IS(WHvCapabilityCodeProcessorVendor, 0x1000);
IS(WHvCapabilityCodeProcessorFeatures, 0x1001);
IS(WHvCapabilityCodeProcessorClFlushSize, 0x1002);
IS(WHvCapabilityCodeProcessorXsaveFeatures, 0x1003);
IS(WHvCapabilityCodeProcessorClockFrequency, 0x1004);
IS(WHvCapabilityCodeInterruptClockFrequency, 0x1005);
IS(WHvCapabilityCodeProcessorFeaturesBanks, 0x1006);
IS(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, 0x1008);
IS(WHvProcessorVendorAmd, 0);
IS(WHvProcessorVendorIntel, 1);

IS(WHvPartitionPropertyCodeExtendedVmExits, 1);
IS(WHvPartitionPropertyCodeExceptionExitBitmap, 2);
IS(WHvPartitionPropertyCodeSeparateSecurityDomain, 3);
IS(WHvPartitionPropertyCodeNestedVirtualization, 4);
IS(WHvPartitionPropertyCodeX64MsrExitBitmap, 5);
IS(WHvPartitionPropertyCodeProcessorFeatures, 0x1001);
IS(WHvPartitionPropertyCodeProcessorClFlushSize, 0x1002);
IS(WHvPartitionPropertyCodeCpuidExitList, 0x1003);
IS(WHvPartitionPropertyCodeCpuidResultList, 0x1004);
IS(WHvPartitionPropertyCodeLocalApicEmulationMode, 0x1005);
IS(WHvPartitionPropertyCodeProcessorXsaveFeatures, 0x1006);
IS(WHvPartitionPropertyCodeProcessorClockFrequency, 0x1007);
IS(WHvPartitionPropertyCodeInterruptClockFrequency, 0x1008);
IS(WHvPartitionPropertyCodeProcessorFeaturesBanks, 0x100a);
IS(WHvPartitionPropertyCodeReferenceTime, 0x100b);
IS(WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, 0x100c);
IS(WHvPartitionPropertyCodeCpuidResultList2, 0x100d);
IS(WHvPartitionPropertyCodeMsrActionList, 0x100f);
IS(WHvPartitionPropertyCodeProcessorCount, 0x1fff);
IS(WHvX64LocalApicEmulationModeNone, 0);
IS(WHvX64LocalApicEmulationModeXApic, 1);
IS(WHvX64LocalApicEmulationModeX2Apic, 2);

/* ---- memory, exits, state ---- */

IS(WHvMapGpaRangeFlagRead, 1);
IS(WHvMapGpaRangeFlagWrite, 2);
IS(WHvMapGpaRangeFlagExecute, 4);
IS(WHvMapGpaRangeFlagTrackDirtyPages, 8);
IS(WHvTranslateGvaFlagValidateRead, 1);
IS(WHvTranslateGvaFlagValidateWrite, 2);
IS(WHvTranslateGvaFlagValidateExecute, 4);
IS(WHvTranslateGvaFlagPrivilegeExempt, 8);
IS(WHvTranslateGvaFlagSetPageTableBits, 0x10);
IS(WHvTranslateGvaResultSuccess, 0);
IS(WHvTranslateGvaResultPageNotPresent, 1);
IS(WHvTranslateGvaResultPrivilegeViolation, 2);
IS(WHvTranslateGvaResultGpaUnmapped, 4);
IS(WHvTranslateGvaResultGpaNoReadAccess, 5);
IS(WHvTranslateGvaResultGpaNoWriteAccess, 6);

IS(WHvRunVpExitReasonNone, 0);
IS(WHvRunVpExitReasonMemoryAccess, 1);
IS(WHvRunVpExitReasonX64IoPortAccess, 2);
IS(WHvRunVpExitReasonUnrecoverableException, 4);
IS(WHvRunVpExitReasonInvalidVpRegisterValue, 5);
IS(WHvRunVpExitReasonUnsupportedFeature, 6);
IS(WHvRunVpExitReasonX64InterruptWindow, 7);
IS(WHvRunVpExitReasonX64Halt, 8);
IS(WHvRunVpExitReasonX64ApicEoi, 9);
IS(WHvRunVpExitReasonX64MsrAccess, 0x1000);
IS(WHvRunVpExitReasonX64Cpuid, 0x1001);
IS(WHvRunVpExitReasonException, 0x1002);
IS(WHvRunVpExitReasonCanceled, 0x2001);
IS(WHvMemoryAccessRead, 0);
IS(WHvMemoryAccessWrite, 1);
IS(WHvMemoryAccessExecute, 2);
IS(WHvX64PendingInterrupt, 0);
IS(WHvX64PendingNmi, 2);
IS(WHvX64PendingException, 3);
IS(WHvX64PendingEventException, 0);

/* The identifiers of local APICs' and XSAVE's state; of interrupts. */
IS(WHvVirtualProcessorStateTypeInterruptControllerState2, 0x1000);
IS(WHvVirtualProcessorStateTypeXsaveState, 0x1001);
IS(WHvX64InterruptTypeFixed, 0);
IS(WHvX64InterruptTypeLowestPriority, 1);
IS(WHvX64InterruptTypeNmi, 4);
IS(WHvX64InterruptTypeInit, 5);
IS(WHvX64InterruptTypeSipi, 6);

/* ---- registers ---- */

#define RANGE(first, from, last, to) \
    IS(first, from);                 \
    IS(last, to)
RANGE(WHvX64RegisterRax, 0, WHvX64RegisterR15, 0xf);
IS(WHvX64RegisterRcx, 1);
IS(WHvX64RegisterRdx, 2);
IS(WHvX64RegisterRbx, 3);
IS(WHvX64RegisterRsp, 4);
RANGE(WHvX64RegisterRip, 0x10, WHvX64RegisterRflags, 0x11);
RANGE(WHvX64RegisterEs, 0x12, WHvX64RegisterGs, 0x17);
IS(WHvX64RegisterCs, 0x13);
IS(WHvX64RegisterFs, 0x16);
RANGE(WHvX64RegisterLdtr, 0x18, WHvX64RegisterTr, 0x19);
RANGE(WHvX64RegisterIdtr, 0x1a, WHvX64RegisterGdtr, 0x1b);
RANGE(WHvX64RegisterCr0, 0x1c, WHvX64RegisterCr8, 0x20);
RANGE(WHvX64RegisterDr0, 0x21, WHvX64RegisterDr3, 0x24);
RANGE(WHvX64RegisterDr6, 0x25, WHvX64RegisterDr7, 0x26);
IS(WHvX64RegisterXCr0, 0x27);
RANGE(WHvX64RegisterXmm0, 0x1000, WHvX64RegisterXmm15, 0x100f);
RANGE(WHvX64RegisterFpMmx0, 0x1010, WHvX64RegisterFpMmx7, 0x1017);
RANGE(WHvX64RegisterFpControlStatus, 0x1018, WHvX64RegisterXmmControlStatus, 0x1019);
RANGE(WHvX64RegisterTsc, 0x2000, WHvX64RegisterPat, 0x2004);
IS(WHvX64RegisterEfer, 0x2001);
IS(WHvX64RegisterKernelGsBase, 0x2002);
IS(WHvX64RegisterApicBase, 0x2003);
RANGE(WHvX64RegisterSysenterCs, 0x2005, WHvX64RegisterSysenterEsp, 0x2007);
RANGE(WHvX64RegisterStar, 0x2008, WHvX64RegisterSfmask, 0x200b);
RANGE(WHvX64RegisterMsrMtrrCap, 0x200d, WHvX64RegisterMsrMtrrFix4kF8000, 0x207a);
IS(WHvX64RegisterTscAux, 0x207b);
IS(WHvX64RegisterSpecCtrl, 0x2084);
IS(WHvX64RegisterTscDeadline, 0x2095);
IS(WHvX64RegisterTscAdjust, 0x2096);
IS(WHvRegisterPendingInterruption, 0x80000000);
IS(WHvRegisterInterruptState, 0x80000001);
IS(WHvRegisterPendingEvent, 0x80000002);
IS(WHvX64RegisterDeliverabilityNotifications, 0x80000004);
IS(WHvRegisterInternalActivityState, 0x80000005);

/* ---- bits ---- */

static int number, failures;

/* Whether `value`, of which one field is all ones, is ones in bits first to last and no others. */
static void check(const char *text, const void *value, size_t size, unsigned first, unsigned last)
{
    bool ok = true;

    for (unsigned bit = 0; bit < 8 * size; bit++) {
        const bool is = (((const UINT8 *)value)[bit / 8] >> (bit % 8) & 1) != 0;

        ok &= is == (bit >= first && bit <= last);
    }
    number++;
    failures += !ok;
    printf("%s %d - %s is bits %u to %u\n", ok ? "ok" : "not ok", number, text, first, last);
}
#define FIELD(type, member, first, last)                                  \
    do {                                                                  \
        type value;                                                       \
        memset(&value, 0, sizeof(value));                                 \
        value.member = ~value.member;                                     \
        check(#type "." #member, &value, sizeof(value), (first), (last)); \
    } while (0)
#define BIT(type, member, bit) FIELD(type, member, bit, bit)

static void features(void)
{
    BIT(WHV_CAPABILITY_FEATURES, PartialUnmap, 0);
    BIT(WHV_CAPABILITY_FEATURES, LocalApicEmulation, 1);
    BIT(WHV_CAPABILITY_FEATURES, Xsave, 2);
    BIT(WHV_CAPABILITY_FEATURES, DirtyPageTracking, 3);
    BIT(WHV_EXTENDED_VM_EXITS, X64CpuidExit, 0);
    BIT(WHV_EXTENDED_VM_EXITS, X64MsrExit, 1);
    BIT(WHV_EXTENDED_VM_EXITS, ExceptionExit, 2);
    BIT(WHV_X64_MSR_EXIT_BITMAP, UnhandledMsrs, 0);
    BIT(WHV_X64_MSR_EXIT_BITMAP, TscMsrWrite, 1);
    BIT(WHV_X64_MSR_EXIT_BITMAP, TscMsrRead, 2);
    BIT(WHV_X64_MSR_EXIT_BITMAP, ApicBaseMsrWrite, 3);
    BIT(WHV_X64_MSR_EXIT_BITMAP, MiscEnableMsrRead, 4);
    BIT(WHV_X64_MSR_EXIT_BITMAP, McUpdatePatchLevelMsrRead, 5);
}

static void exits(void)
{
    FIELD(WHV_MEMORY_ACCESS_INFO, AccessType, 0, 1);
    BIT(WHV_MEMORY_ACCESS_INFO, GpaUnmapped, 2);
    BIT(WHV_MEMORY_ACCESS_INFO, GvaValid, 3);
    BIT(WHV_X64_IO_PORT_ACCESS_INFO, IsWrite, 0);
    FIELD(WHV_X64_IO_PORT_ACCESS_INFO, AccessSize, 1, 3);
    BIT(WHV_X64_IO_PORT_ACCESS_INFO, StringOp, 4);
    BIT(WHV_X64_IO_PORT_ACCESS_INFO, RepPrefix, 5);
    BIT(WHV_X64_MSR_ACCESS_INFO, IsWrite, 0);
    FIELD(WHV_VP_EXIT_CONTEXT, InstructionLength, 16, 19);
    FIELD(WHV_VP_EXIT_CONTEXT, Cr8, 20, 23);
    FIELD(WHV_X64_VP_EXECUTION_STATE, Cpl, 0, 1);
    BIT(WHV_X64_VP_EXECUTION_STATE, InterruptionPending, 6);
    BIT(WHV_X64_VP_EXECUTION_STATE, InterruptShadow, 12);
    BIT(WHV_VP_EXCEPTION_INFO, ErrorCodeValid, 0);
    BIT(WHV_VP_EXCEPTION_INFO, SoftwareException, 1);
}

static void registers(void)
{
    BIT(WHV_X64_PENDING_INTERRUPTION_REGISTER, InterruptionPending, 0);
    FIELD(WHV_X64_PENDING_INTERRUPTION_REGISTER, InterruptionType, 1, 3);
    BIT(WHV_X64_PENDING_INTERRUPTION_REGISTER, DeliverErrorCode, 4);
    FIELD(WHV_X64_PENDING_INTERRUPTION_REGISTER, InstructionLength, 5, 8);
    FIELD(WHV_X64_PENDING_INTERRUPTION_REGISTER, InterruptionVector, 16, 31);
    FIELD(WHV_X64_PENDING_INTERRUPTION_REGISTER, ErrorCode, 32, 63);
    BIT(WHV_X64_INTERRUPT_STATE_REGISTER, InterruptShadow, 0);
    BIT(WHV_X64_INTERRUPT_STATE_REGISTER, NmiMasked, 1);
    BIT(WHV_X64_PENDING_EXCEPTION_EVENT, EventPending, 0);
    FIELD(WHV_X64_PENDING_EXCEPTION_EVENT, EventType, 1, 3);
    BIT(WHV_X64_PENDING_EXCEPTION_EVENT, DeliverErrorCode, 8);
    FIELD(WHV_X64_PENDING_EXCEPTION_EVENT, Vector, 16, 31);
    FIELD(WHV_X64_PENDING_EXCEPTION_EVENT, ErrorCode, 32, 63);
    FIELD(WHV_X64_PENDING_EXCEPTION_EVENT, ExceptionParameter, 64, 127);
    BIT(WHV_X64_DELIVERABILITY_NOTIFICATIONS_REGISTER, NmiNotification, 0);
    BIT(WHV_X64_DELIVERABILITY_NOTIFICATIONS_REGISTER, InterruptNotification, 1);
    FIELD(WHV_X64_DELIVERABILITY_NOTIFICATIONS_REGISTER, InterruptPriority, 2, 5);
    FIELD(WHV_X64_SEGMENT_REGISTER, Base, 0, 63);
    FIELD(WHV_X64_SEGMENT_REGISTER, Limit, 64, 95);
    FIELD(WHV_X64_SEGMENT_REGISTER, Selector, 96, 111);
    FIELD(WHV_X64_SEGMENT_REGISTER, SegmentType, 112, 115);
    BIT(WHV_X64_SEGMENT_REGISTER, NonSystemSegment, 116);
    FIELD(WHV_X64_SEGMENT_REGISTER, DescriptorPrivilegeLevel, 117, 118);
    BIT(WHV_X64_SEGMENT_REGISTER, Present, 119);
    BIT(WHV_X64_SEGMENT_REGISTER, Available, 124);
    BIT(WHV_X64_SEGMENT_REGISTER, Long, 125);
    BIT(WHV_X64_SEGMENT_REGISTER, Default, 126);
    BIT(WHV_X64_SEGMENT_REGISTER, Granularity, 127);
    FIELD(WHV_X64_TABLE_REGISTER, Limit, 48, 63);
    FIELD(WHV_X64_TABLE_REGISTER, Base, 64, 127);
}

int main(void)
{
    features();
    exits();
    registers();
    printf("1..%d\n", number);
    return failures > 0;
}
