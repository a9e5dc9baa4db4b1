/* SPDX-License-Identifier: BSD-3-Clause */
/* WinHvPlatform.dll: found when a hypervisor is opened, so that programs start without it. */
#include "whpx/whpx.h"

#include <stdio.h>
#include <string.h>

#define LIBRARY "WinHvPlatform.dll"
#define FEATURE_HINT                                                                       \
    "switch the Windows feature on and restart: Enable-WindowsOptionalFeature -Online "    \
    "-FeatureName HypervisorPlatform (an administrator's PowerShell); virtualization has " \
    "to be on in the firmware"

int whpx_failed(HRESULT result, const char *function, int otherwise)
{
    int code = otherwise;

    switch (result) {
    case E_OUTOFMEMORY: code = VISOR_ENOMEM; break;
    case E_ACCESSDENIED: code = VISOR_EACCESS; break;
    case E_NOTIMPL: code = VISOR_EUNSUPPORTED; break;
    case WHV_E_INVALID_VP_STATE: code = VISOR_ESTATE; break;
    case WHV_E_INVALID_PARTITION_CONFIG:
    case WHV_E_UNSUPPORTED_HYPERVISOR_CONFIG:
    case WHV_E_UNSUPPORTED_PROCESSOR_CONFIG: code = VISOR_EUNSUPPORTED; break;
    default: break;
    }
    return visor__error_native(code, "whpx", function, VISOR_NATIVE_HRESULT, result, "%s", "");
}

static int not_there(DWORD error, const char *path)
{
    if (error == ERROR_ACCESS_DENIED) {
        visor__error_native(VISOR_EACCESS, "whpx", "LoadLibrary", VISOR_NATIVE_WIN32, error, "%s",
                            path);
        return visor__error_hint("allow this user to read %s", path);
    }
    /* Windows has the library whenever the feature is installed, on or off in the firmware. */
    visor__error_native(VISOR_EABSENT, "whpx", "LoadLibrary", VISOR_NATIVE_WIN32, error,
                        "%s: this Windows has no Hypervisor Platform, or it is not installed",
                        path);
    return visor__error_hint("%s", "Windows 10 1803 or later is needed; " FEATURE_HINT);
}

static int resolve(struct whpx_hv *whpx)
{
    const char *missing = NULL;

#define FIND(name)    \
    whpx->call.name = \
        (__typeof__(whpx->call.name))(void (*)(void))GetProcAddress(whpx->library, "WHv" #name);
#define NEED(name)               \
    FIND(name)                   \
    if (whpx->call.name == NULL) \
        missing = "WHv" #name;
    WHPX_REQUIRED(NEED)
    WHPX_OPTIONAL(FIND)
#undef FIND
#undef NEED
    if (missing == NULL)
        return 0;
    visor__error(VISOR_EUNSUPPORTED, "whpx", "GetProcAddress", "this library has no %s", missing);
    return visor__error_hint("Windows 10 1803 or later is needed");
}

/* A capability that is asked for as 8 bytes; 0 where the system does not know it. */
static uint64_t capability(const struct whpx_hv *whpx, WHV_CAPABILITY_CODE code)
{
    WHV_CAPABILITY value = {0};
    UINT32 written;

    if (whpx->call.GetCapability(code, &value, sizeof(value), &written) != S_OK)
        return 0;
    return value.ProcessorClockFrequency;
}

static int check_present(struct whpx_hv *whpx)
{
    WHV_CAPABILITY value = {0};
    UINT32 written;
    HRESULT result = whpx->call.GetCapability(WHvCapabilityCodeHypervisorPresent, &value,
                                              sizeof(value), &written);

    if (result != S_OK) {
        whpx_failed(result, "WHvGetCapability", VISOR_EBROKEN);
        return result == E_ACCESSDENIED
                   ? visor__error_hint("run as a member of Hyper-V Administrators")
                   : visor__error_hint("%s", FEATURE_HINT);
    }
    if (value.HypervisorPresent)
        return 0;
    visor__error(VISOR_EDISABLED, "whpx", "WHvGetCapability",
                 "the hypervisor of Windows is not running");
    return visor__error_hint("%s", FEATURE_HINT
                             "; and let it start: bcdedit /set hypervisorlaunchtype auto");
}

/* Creates a partition: what another program, or missing rights, would deny. */
static int check_partition(const struct whpx_hv *whpx)
{
    WHV_PARTITION_HANDLE partition;
    HRESULT result = whpx->call.CreatePartition(&partition);

    if (result == S_OK) {
        whpx->call.DeletePartition(partition);
        return 0;
    }
    whpx_failed(result, "WHvCreatePartition", VISOR_EBROKEN);
    if (result == E_ACCESSDENIED)
        return visor__error_hint("run as a member of Hyper-V Administrators");
    if (result == HRESULT_FROM_WIN32(ERROR_BUSY) ||
        result == HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION)) {
        visor__error_native(VISOR_EBROKEN, "whpx", "WHvCreatePartition", VISOR_NATIVE_HRESULT,
                            result, "the platform is in use");
        return visor__error_hint("end other programs that run virtual machines");
    }
    return visor__error_hint("%s", FEATURE_HINT);
}

int whpx_library_open(visor_hypervisor *hv)
{
    struct whpx_hv *whpx = whpx_hv_of(hv);
    const char *path = visor__option_get(hv, "library");
    int ret;

    /* Beside the program, or the system's; never from the current folder. */
    whpx->library = path != NULL ? LoadLibraryA(path)
                                 : LoadLibraryExA(LIBRARY, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    if (whpx->library == NULL)
        return not_there(GetLastError(), path != NULL ? path : LIBRARY);
    ret = resolve(whpx);
    if (ret == 0)
        ret = check_present(whpx);
    if (ret == 0)
        ret = check_partition(whpx);
    if (ret < 0) {
        whpx_library_close(hv);
        return ret;
    }
    whpx->features.AsUINT64 = capability(whpx, WHvCapabilityCodeFeatures);
    whpx->exits.AsUINT64 = capability(whpx, WHvCapabilityCodeExtendedVmExits);
    whpx->exceptions = capability(whpx, WHvCapabilityCodeExceptionExitBitmap);
    whpx->msr_exits.AsUINT64 = capability(whpx, WHvCapabilityCodeX64MsrExitBitmap);
    whpx->tsc_hz = capability(whpx, WHvCapabilityCodeProcessorClockFrequency);
    if (!whpx->exits.X64CpuidExit || !whpx->exits.X64MsrExit) {
        whpx_library_close(hv);
        return visor__error(VISOR_EUNSUPPORTED, "whpx", "open",
                            "the platform has no exits at CPUID and at MSRs");
    }
    snprintf(hv->version, sizeof(hv->version), "features 0x%llx%s",
             (unsigned long long)whpx->features.AsUINT64,
             whpx->call.GetVirtualProcessorState != NULL ? "" : ", of an older Windows");
    return 0;
}

void whpx_library_close(visor_hypervisor *hv)
{
    FreeLibrary(whpx_hv_of(hv)->library);
}
