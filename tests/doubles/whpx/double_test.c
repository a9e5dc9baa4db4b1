/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls WinHvPlatform.dll as Microsoft's documentation of the platform says, without anything of
 * this project's library: of the double, what a program written for the real one sees.
 *
 * double_test [DLL]; without one: both doubles, which are beside the program. With the path of the
 * system's library it tests the real platform.
 */
#include <whpx.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define X(name) static __typeof__(name) *p##name;
#define FUNCTIONS(X)                    \
    X(WHvGetCapability)                 \
    X(WHvCreatePartition)               \
    X(WHvSetupPartition)                \
    X(WHvDeletePartition)               \
    X(WHvGetPartitionProperty)          \
    X(WHvSetPartitionProperty)          \
    X(WHvMapGpaRange)                   \
    X(WHvUnmapGpaRange)                 \
    X(WHvTranslateGva)                  \
    X(WHvCreateVirtualProcessor)        \
    X(WHvDeleteVirtualProcessor)        \
    X(WHvRunVirtualProcessor)           \
    X(WHvCancelRunVirtualProcessor)     \
    X(WHvGetVirtualProcessorRegisters)  \
    X(WHvSetVirtualProcessorRegisters)  \
    X(WHvQueryGpaRangeDirtyBitmap)      \
    X(WHvGetVirtualProcessorXsaveState) \
    X(WHvSetVirtualProcessorXsaveState)
FUNCTIONS(X)
#undef X

static int number, failures;

static void check(bool ok, const char *text, int line)
{
    number++;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", number, text);
    if (!ok)
        printf("# line %d\n", line);
    failures += !ok;
}
#define CHECK(condition) check((condition), #condition, __LINE__)

static bool load(const char *name)
{
    HMODULE dll = LoadLibraryA(name);

    if (dll == NULL) {
        printf("Bail out! %s cannot be loaded\n", name);
        return false;
    }
#define X(name)                                                                \
    p##name = (__typeof__(p##name))(void (*)(void))GetProcAddress(dll, #name); \
    if (p##name == NULL) {                                                     \
        printf("Bail out! there is no " #name "\n");                           \
        return false;                                                          \
    }
    FUNCTIONS(X)
#undef X
    return true;
}

/* ---- a partition with one processor in 16-bit code at 0x1000 ---- */

#define MEMORY_SIZE 0x10000u
#define CODE        0x1000u

static WHV_PARTITION_HANDLE partition;
static uint8_t *memory;
static WHV_RUN_VP_EXIT_CONTEXT context;

static HRESULT set_property(WHV_PARTITION_PROPERTY_CODE code, const void *value, uint32_t size)
{
    return pWHvSetPartitionProperty(partition, code, value, size);
}

static HRESULT set_number(WHV_REGISTER_NAME name, uint64_t value)
{
    WHV_REGISTER_VALUE set = {.Reg64 = value};

    return pWHvSetVirtualProcessorRegisters(partition, 0, &name, 1, &set);
}

static uint64_t get_number(WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE got = {.Reg64 = 0};

    return pWHvGetVirtualProcessorRegisters(partition, 0, &name, 1, &got) == S_OK ? got.Reg64
                                                                                  : ~UINT64_C(0);
}

static void load_code(const void *code, size_t length)
{
    static const WHV_REGISTER_NAME names[] = {
        WHvX64RegisterCs,  WHvX64RegisterDs,     WHvX64RegisterEs, WHvX64RegisterSs,
        WHvX64RegisterRip, WHvX64RegisterRflags, WHvX64RegisterRsp};
    WHV_REGISTER_VALUE values[7];

    memset(values, 0, sizeof(values));
    for (unsigned i = 0; i < 4; i++) {
        values[i].Segment.Limit = 0xffff;
        values[i].Segment.Attributes = i == 0 ? 0x9b : 0x93;
    }
    values[4].Reg64 = CODE;
    values[5].Reg64 = 2;
    values[6].Reg64 = 0x8000;
    memcpy(memory + CODE, code, length);
    CHECK(pWHvSetVirtualProcessorRegisters(partition, 0, names, 7, values) == S_OK);
}

static unsigned run(void)
{
    memset(&context, 0xee, sizeof(context));
    if (pWHvRunVirtualProcessor(partition, 0, &context, sizeof(context)) != S_OK)
        return ~0u;
    return (unsigned)context.ExitReason;
}

/* ---- capabilities and properties ---- */

static void capabilities(void)
{
    WHV_CAPABILITY value;
    UINT32 written = 0;

    CHECK(pWHvGetCapability(WHvCapabilityCodeHypervisorPresent, &value, sizeof(value), &written) ==
          S_OK);
    CHECK(value.HypervisorPresent && written == 4);
    CHECK(pWHvGetCapability(WHvCapabilityCodeFeatures, &value, sizeof(value), &written) == S_OK);
    CHECK(written == 8);
    CHECK(pWHvGetCapability(WHvCapabilityCodeFeatures, &value, 4, &written) ==
          WHV_E_INSUFFICIENT_BUFFER);
    CHECK(pWHvGetCapability((WHV_CAPABILITY_CODE)0x7777, &value, sizeof(value), &written) ==
          WHV_E_UNKNOWN_CAPABILITY);
}

static void create(void)
{
    const uint32_t count = 1, leaves[] = {0x40000000};
    const WHV_EXTENDED_VM_EXITS exits = {.X64CpuidExit = 1, .X64MsrExit = 1, .ExceptionExit = 1};
    const uint64_t exceptions = 1u << 3;
    UINT32 got = 0, written = 0;

    CHECK(pWHvCreatePartition(&partition) == S_OK);
    CHECK(pWHvSetupPartition(partition) == WHV_E_INVALID_PARTITION_CONFIG); /* no processor count */
    CHECK(pWHvMapGpaRange(partition, memory, 0, MEMORY_SIZE, WHvMapGpaRangeFlagRead) ==
          E_INVALIDARG); /* not set up */
    CHECK(set_property(WHvPartitionPropertyCodeProcessorCount, &count, sizeof(count)) == S_OK);
    CHECK(pWHvGetPartitionProperty(partition, WHvPartitionPropertyCodeProcessorCount, &got,
                                   sizeof(got), &written) == S_OK);
    CHECK(got == 1 && written == 4);
    CHECK(set_property((WHV_PARTITION_PROPERTY_CODE)0x7777, &count, sizeof(count)) ==
          WHV_E_UNKNOWN_PROPERTY);
    CHECK(set_property(WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof(exits)) == S_OK);
    CHECK(set_property(WHvPartitionPropertyCodeExceptionExitBitmap, &exceptions,
                       sizeof(exceptions)) == S_OK);
    CHECK(set_property(WHvPartitionPropertyCodeCpuidExitList, leaves, 3) == E_INVALIDARG);
    CHECK(set_property(WHvPartitionPropertyCodeCpuidExitList, leaves, sizeof(leaves)) == S_OK);
    CHECK(pWHvCreateVirtualProcessor(partition, 0, 0) == E_INVALIDARG); /* not set up */
    CHECK(pWHvSetupPartition(partition) == S_OK);
    CHECK(set_property(WHvPartitionPropertyCodeProcessorCount, &count, sizeof(count)) ==
          E_INVALIDARG); /* too late */
    CHECK(pWHvRunVirtualProcessor(partition, 0, &context, sizeof(context)) ==
          WHV_E_VP_DOES_NOT_EXIST);
    CHECK(pWHvCreateVirtualProcessor(partition, 1, 0) == E_INVALIDARG); /* beyond the count */
    CHECK(pWHvCreateVirtualProcessor(partition, 0, 0) == S_OK);
    CHECK(pWHvCreateVirtualProcessor(partition, 0, 0) == WHV_E_VP_ALREADY_EXISTS);
}

static void map(void)
{
    const WHV_MAP_GPA_RANGE_FLAGS all =
        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;

    CHECK(pWHvMapGpaRange(partition, memory, 0, 0, all) == E_INVALIDARG);
    CHECK(pWHvMapGpaRange(partition, memory, 0, 100, all) == E_INVALIDARG);
    CHECK(pWHvMapGpaRange(partition, memory + 1, 0, MEMORY_SIZE, all) == E_INVALIDARG);
    CHECK(pWHvMapGpaRange(partition, memory, 0x800, MEMORY_SIZE, all) == E_INVALIDARG);
    CHECK(pWHvMapGpaRange(partition, memory, 0, MEMORY_SIZE, all) == S_OK);
    /* The last page anew, read-only; and one in the middle away. */
    CHECK(pWHvMapGpaRange(partition, memory + MEMORY_SIZE - 0x1000, MEMORY_SIZE - 0x1000, 0x1000,
                          WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute) == S_OK);
    CHECK(pWHvUnmapGpaRange(partition, 0x9000, 0x1000) == S_OK);
    CHECK(pWHvUnmapGpaRange(partition, 0x9000, 0x1000) == WHV_E_GPA_RANGE_NOT_FOUND);
}

/* ---- running ---- */

static void halts(void)
{
    /* add %bx, %ax; hlt; hlt */
    static const uint8_t code[] = {0x01, 0xd8, 0xf4, 0xf4};

    load_code(code, sizeof(code));
    CHECK(set_number(WHvX64RegisterRax, 2) == S_OK && set_number(WHvX64RegisterRbx, 3) == S_OK);
    CHECK(pWHvRunVirtualProcessor(partition, 0, &context, 8) == WHV_E_INSUFFICIENT_BUFFER);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
    CHECK(get_number(WHvX64RegisterRax) == 5);
    CHECK(get_number(WHvX64RegisterRip) == CODE + 3);
    CHECK(context.VpContext.Rip == CODE + 3 && context.VpContext.Cs.Base == 0);
    CHECK(run() == WHvRunVpExitReasonX64Halt && context.VpContext.Rip == CODE + 4);
}

static void accesses_ports(void)
{
    /* out %al, $0x42; rep outsw; hlt */
    static const uint8_t code[] = {0xe6, 0x42, 0xf3, 0x6f, 0xf4};
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *port = &context.IoPortAccess;

    load_code(code, sizeof(code));
    set_number(WHvX64RegisterRax, 0x77);
    set_number(WHvX64RegisterRcx, 5);
    set_number(WHvX64RegisterRdx, 0x300);
    CHECK(run() == WHvRunVpExitReasonX64IoPortAccess);
    CHECK(port->AccessInfo.IsWrite && port->AccessInfo.AccessSize == 1 && port->PortNumber == 0x42);
    CHECK(!port->AccessInfo.StringOp && port->Rax == 0x77);
    CHECK(context.VpContext.InstructionLength == 2);
    CHECK(context.VpContext.Rip == CODE); /* the client has to go on */
    CHECK(run() == WHvRunVpExitReasonX64IoPortAccess && context.VpContext.Rip == CODE);
    CHECK(set_number(WHvX64RegisterRip, CODE + 2) == S_OK);
    CHECK(run() == WHvRunVpExitReasonX64IoPortAccess);
    CHECK(port->AccessInfo.StringOp && port->AccessInfo.RepPrefix &&
          port->AccessInfo.AccessSize == 2 && port->PortNumber == 0x300 && port->Rcx == 5);
    set_number(WHvX64RegisterRcx, 0);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
}

static void accesses_memory(void)
{
    /* mov %al, 0x9000; mov %al, 0xf000; mov 0xf000, %al; hlt */
    static const uint8_t code[] = {0xa2, 0x00, 0x90, 0xa2, 0x00, 0xf0, 0xa0, 0x00, 0xf0, 0xf4};
    const WHV_MEMORY_ACCESS_CONTEXT *access = &context.MemoryAccess;

    load_code(code, sizeof(code));
    memory[0xf000] = 0x11;
    set_number(WHvX64RegisterRax, 0x77);
    CHECK(run() == WHvRunVpExitReasonMemoryAccess);
    CHECK(access->Gpa == 0x9000 && access->AccessInfo.AccessType == WHvMemoryAccessWrite &&
          access->AccessInfo.GpaUnmapped);
    CHECK(access->InstructionByteCount >= 3 && memcmp(access->InstructionBytes, code, 3) == 0);
    set_number(WHvX64RegisterRip, CODE + 3);
    CHECK(run() == WHvRunVpExitReasonMemoryAccess);
    CHECK(access->Gpa == 0xf000 && access->AccessInfo.AccessType == WHvMemoryAccessWrite &&
          !access->AccessInfo.GpaUnmapped);
    set_number(WHvX64RegisterRip, CODE + 6);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
    CHECK((get_number(WHvX64RegisterRax) & 0xff) == 0x11 && memory[0xf000] == 0x11);
}

static void reads_cpuid_and_msrs(void)
{
    /* cpuid; mov $0xc0001234, %ecx; rdmsr; hlt */
    static const uint8_t code[] = {0x0f, 0xa2, 0x66, 0xb9, 0x34, 0x12,
                                   0x00, 0xc0, 0x0f, 0x32, 0xf4};

    load_code(code, sizeof(code));
    set_number(WHvX64RegisterRax, 0x40000000);
    CHECK(run() == WHvRunVpExitReasonX64Cpuid);
    CHECK(context.CpuidAccess.Rax == 0x40000000 && context.VpContext.InstructionLength == 2);
    set_number(WHvX64RegisterRip, context.VpContext.Rip + 2);
    CHECK(run() == WHvRunVpExitReasonX64MsrAccess);
    CHECK(context.MsrAccess.MsrNumber == 0xc0001234 && !context.MsrAccess.AccessInfo.IsWrite);
    CHECK(context.VpContext.InstructionLength == 2);
    set_number(WHvX64RegisterRip, context.VpContext.Rip + 2);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
}

/* The bitmap can be changed when the partition is set up, but not on an old system. */
static void switches_msr_exits(HMODULE dll)
{
    /* mov $0x10, %ecx; rdmsr; rdmsr; hlt */
    static const uint8_t code[] = {0x66, 0xb9, 0x10, 0, 0, 0, 0x0f, 0x32, 0x0f, 0x32, 0xf4};
    WHV_X64_MSR_EXIT_BITMAP bitmap = {.UnhandledMsrs = 1, .TscMsrRead = 1};

    load_code(code, sizeof(code));
    if (GetProcAddress(dll, "WHvSuspendPartitionTime") == NULL) {
        CHECK(set_property(WHvPartitionPropertyCodeX64MsrExitBitmap, &bitmap, sizeof(bitmap)) ==
              E_INVALIDARG);
        return;
    }
    CHECK(set_property(WHvPartitionPropertyCodeX64MsrExitBitmap, &bitmap, sizeof(bitmap)) == S_OK);
    CHECK(run() == WHvRunVpExitReasonX64MsrAccess && context.MsrAccess.MsrNumber == 0x10);
    CHECK(context.VpContext.Rip == CODE + 6);
    set_number(WHvX64RegisterRip, CODE + 8);
    bitmap.TscMsrRead = 0;
    CHECK(set_property(WHvPartitionPropertyCodeX64MsrExitBitmap, &bitmap, sizeof(bitmap)) == S_OK);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
    bitmap.Reserved = 1;
    CHECK(set_property(WHvPartitionPropertyCodeX64MsrExitBitmap, &bitmap, sizeof(bitmap)) ==
          E_INVALIDARG);
}

static void intercepts_exceptions(void)
{
    /* int3; hlt */
    static const uint8_t code[] = {0xcc, 0xf4};

    load_code(code, sizeof(code));
    CHECK(run() == WHvRunVpExitReasonException);
    CHECK(context.VpException.ExceptionType == WHvX64ExceptionTypeBreakpointTrap);
    CHECK(context.VpContext.Rip == CODE && context.VpContext.InstructionLength == 1);
    set_number(WHvX64RegisterRip, CODE + 1);
    CHECK(run() == WHvRunVpExitReasonX64Halt);
}

static void interrupts(void)
{
    /* sti; nop; nop; hlt; at 0x2000: inc %bx; iret */
    static const uint8_t code[] = {0xfb, 0x90, 0x90, 0xf4}, handler[] = {0x43, 0xcf};
    WHV_REGISTER_VALUE value = {.Reg64 = 0};
    WHV_REGISTER_NAME name = WHvX64RegisterDeliverabilityNotifications;

    load_code(code, sizeof(code));
    memcpy(memory + 0x2000, handler, sizeof(handler));
    memcpy(memory + 4 * 0x20, (const uint16_t[2]){0x2000, 0}, 4);
    set_number(WHvX64RegisterRbx, 0);
    value.DeliverabilityNotifications.InterruptNotification = 1;
    CHECK(pWHvSetVirtualProcessorRegisters(partition, 0, &name, 1, &value) == S_OK);
    CHECK(run() == WHvRunVpExitReasonX64InterruptWindow);
    CHECK(context.VpContext.Rip == CODE + 2); /* behind STI's shadow */
    name = WHvRegisterPendingInterruption;
    value = (WHV_REGISTER_VALUE){.Reg64 = 0};
    value.PendingInterruption.InterruptionPending = 1;
    value.PendingInterruption.InterruptionVector = 0x20;
    CHECK(pWHvSetVirtualProcessorRegisters(partition, 0, &name, 1, &value) == S_OK);
    CHECK(run() == WHvRunVpExitReasonX64Halt); /* and no second window */
    CHECK(get_number(WHvX64RegisterRbx) == 1);
}

static DWORD WINAPI cancel_soon(void *unused)
{
    (void)unused;
    Sleep(50);
    pWHvCancelRunVirtualProcessor(partition, 0, 0);
    return 0;
}

static void cancels(void)
{
    static const uint8_t spin[] = {0xeb, 0xfe};
    HANDLE thread;

    load_code(spin, sizeof(spin));
    CHECK(pWHvCancelRunVirtualProcessor(partition, 0, 1) == E_INVALIDARG);
    CHECK(pWHvCancelRunVirtualProcessor(partition, 0, 0) == S_OK);
    CHECK(run() == WHvRunVpExitReasonCanceled); /* it is remembered */
    thread = CreateThread(NULL, 0, cancel_soon, NULL, 0, NULL);
    CHECK(run() == WHvRunVpExitReasonCanceled);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

static void tracks_dirty_pages(void)
{
    /* mov %al, 0x3001; hlt */
    static const uint8_t code[] = {0xa2, 0x01, 0x30, 0xf4};
    const WHV_MAP_GPA_RANGE_FLAGS flags = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite |
                                          WHvMapGpaRangeFlagExecute |
                                          WHvMapGpaRangeFlagTrackDirtyPages;
    UINT64 bitmap[1] = {~UINT64_C(0)};

    CHECK(pWHvQueryGpaRangeDirtyBitmap(partition, 0x3000, 0x1000, bitmap, sizeof(bitmap)) ==
          WHV_E_GPA_RANGE_NOT_FOUND);
    CHECK(pWHvMapGpaRange(partition, memory + 0x2000, 0x2000, 0x4000, flags) == S_OK);
    load_code(code, sizeof(code));
    CHECK(run() == WHvRunVpExitReasonX64Halt);
    CHECK(pWHvQueryGpaRangeDirtyBitmap(partition, 0x2000, 0x4000, bitmap, 4) ==
          WHV_E_INSUFFICIENT_BUFFER);
    CHECK(pWHvQueryGpaRangeDirtyBitmap(partition, 0x2000, 0x1000, bitmap, sizeof(bitmap)) == S_OK);
    CHECK(bitmap[0] == 0);
    CHECK(pWHvQueryGpaRangeDirtyBitmap(partition, 0x2000, 0x4000, bitmap, sizeof(bitmap)) == S_OK);
    CHECK(bitmap[0] == 2);
    CHECK(pWHvQueryGpaRangeDirtyBitmap(partition, 0x2000, 0x4000, bitmap, sizeof(bitmap)) == S_OK);
    CHECK(bitmap[0] == 0);
}

static void registers(void)
{
    const WHV_REGISTER_NAME names[2] = {WHvX64RegisterRax, (WHV_REGISTER_NAME)0x7777};
    WHV_REGISTER_VALUE values[2] = {{.Reg64 = 1}, {.Reg64 = 2}};
    uint8_t image[4096];
    UINT32 written = 0;

    set_number(WHvX64RegisterRax, 99);
    CHECK(pWHvSetVirtualProcessorRegisters(partition, 0, names, 2, values) ==
          WHV_E_INVALID_VP_REGISTER_NAME);
    CHECK(get_number(WHvX64RegisterRax) == 99); /* none of them was set */
    CHECK(set_number(WHvX64RegisterLstar, 0x1234) == S_OK);
    CHECK(get_number(WHvX64RegisterLstar) == 0x1234);
    CHECK(pWHvGetVirtualProcessorXsaveState(partition, 0, NULL, 0, &written) ==
          WHV_E_INSUFFICIENT_BUFFER);
    CHECK(written >= 576 && written <= sizeof(image));
    CHECK(pWHvGetVirtualProcessorXsaveState(partition, 0, image, sizeof(image), &written) == S_OK);
    CHECK(pWHvSetVirtualProcessorXsaveState(partition, 0, image, written) == S_OK);
    CHECK(pWHvSetVirtualProcessorXsaveState(partition, 0, image, written - 8) != S_OK);
}

/* Newer systems can stop a partition's clocks. */
static void suspends_time(HMODULE dll)
{
    __typeof__(WHvSuspendPartitionTime) *suspend =
        (__typeof__(suspend))(void (*)(void))GetProcAddress(dll, "WHvSuspendPartitionTime");
    __typeof__(WHvResumePartitionTime) *resume =
        (__typeof__(resume))(void (*)(void))GetProcAddress(dll, "WHvResumePartitionTime");
    static const uint8_t halt[] = {0xf4};
    uint64_t tsc;

    if (suspend == NULL || resume == NULL)
        return;
    CHECK(suspend(NULL) == E_INVALIDARG);
    tsc = get_number(WHvX64RegisterTsc);
    Sleep(1);
    CHECK(get_number(WHvX64RegisterTsc) > tsc);
    CHECK(suspend(partition) == S_OK);
    tsc = get_number(WHvX64RegisterTsc);
    Sleep(20);
    CHECK(get_number(WHvX64RegisterTsc) == tsc);
    CHECK(set_number(WHvX64RegisterTsc, UINT64_C(1) << 60) == S_OK);
    CHECK(get_number(WHvX64RegisterTsc) == UINT64_C(1) << 60);
    CHECK(resume(partition) == S_OK);
    tsc = get_number(WHvX64RegisterTsc);
    CHECK(tsc >= UINT64_C(1) << 60 && tsc < UINT64_C(1) << 61);
    /* A run resumes it, too. */
    CHECK(suspend(partition) == S_OK);
    load_code(halt, sizeof(halt));
    CHECK(run() == WHvRunVpExitReasonX64Halt);
    tsc = get_number(WHvX64RegisterTsc);
    Sleep(1);
    CHECK(get_number(WHvX64RegisterTsc) > tsc);
}

static void translates(void)
{
    WHV_TRANSLATE_GVA_RESULT result;
    WHV_GUEST_PHYSICAL_ADDRESS gpa = 0;

    CHECK(pWHvTranslateGva(partition, 0, 0x1234, WHvTranslateGvaFlagValidateRead, &result, &gpa) ==
          S_OK);
    CHECK(result.ResultCode == WHvTranslateGvaResultSuccess && gpa == 0x1234);
    CHECK(pWHvTranslateGva(partition, 0, 0x9000, WHvTranslateGvaFlagValidateRead, &result, &gpa) ==
          S_OK);
    CHECK(result.ResultCode == WHvTranslateGvaResultGpaUnmapped);
}

static void end(void)
{
    CHECK(pWHvDeleteVirtualProcessor(partition, 0) == S_OK);
    CHECK(pWHvDeleteVirtualProcessor(partition, 0) == WHV_E_VP_DOES_NOT_EXIST);
    CHECK(pWHvDeletePartition(partition) == S_OK);
    CHECK(pWHvDeletePartition(partition) == E_INVALIDARG);
}

static bool test(const char *dll)
{
    if (!load(dll))
        return false;
    printf("# %s\n", dll);
    capabilities();
    create();
    map();
    halts();
    accesses_ports();
    accesses_memory();
    reads_cpuid_and_msrs();
    switches_msr_exits(GetModuleHandleA(dll));
    intercepts_exceptions();
    interrupts();
    cancels();
    tracks_dirty_pages();
    registers();
    suspends_time(GetModuleHandleA(dll));
    translates();
    end();
    return true;
}

int main(int argc, char **argv)
{
    memory = VirtualAlloc(NULL, MEMORY_SIZE, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (argc > 1 ? !test(argv[1]) : !test("WinHvPlatform.dll") || !test("WinHvPlatform_1809.dll"))
        return 1;
    printf("1..%d\n", number);
    return failures > 0;
}
