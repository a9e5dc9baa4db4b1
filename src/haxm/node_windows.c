/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver on Windows: Intel's, or Google's fork of it, whose nodes have other names. */
#include <windows.h>

#include <haxm.h> /* of uapi/ */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haxm/node.h"

const visor_native haxm_native = VISOR_NATIVE_WIN32;
const int haxm_error_broken = ERROR_INVALID_DATA;
const bool haxm_tells_msrs_set = true;
const unsigned haxm_msrs_most = HAX_MAX_MSR_ARRAY - 1;

const struct visor__option haxm_options[] = {
    {"driver", "haxm (Intel's) or ghaxm (Google's); the first that is there unless given"},
    {NULL, NULL},
};

static const struct {
    DWORD number;
    const char *name;
} requests[] = {
#define REQUEST(id, name) [HAXM_##id] = {name##_WINDOWS, #name},
    HAXM_REQUESTS(REQUEST)
#undef REQUEST
};

/* ---- nodes ---- */

/* The driver as the system's services have it. */
enum service { SERVICE_ABSENT, SERVICE_OFF, SERVICE_ON, SERVICE_UNTOLD };

static enum service service_of(const char *name)
{
    SC_HANDLE manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_CONNECT), handle;
    enum service service = SERVICE_UNTOLD;
    SERVICE_STATUS status;

    if (manager == NULL)
        return service;
    handle = OpenServiceA(manager, name, SERVICE_QUERY_STATUS);
    if (handle == NULL && GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST)
        service = SERVICE_ABSENT;
    else if (handle != NULL && QueryServiceStatus(handle, &status))
        service = status.dwCurrentState == SERVICE_RUNNING ? SERVICE_ON : SERVICE_OFF;
    if (handle != NULL)
        CloseServiceHandle(handle);
    CloseServiceHandle(manager);
    return service;
}

/* The device is not there. */
static int no_device(const char *path, DWORD error)
{
    bool is_intels = strcmp(path, HAX_DEVICE_WINDOWS) == 0;
    enum service service = is_intels ? service_of("IntelHaxm") : SERVICE_UNTOLD;

    visor__error_native(service == SERVICE_OFF ? VISOR_EDISABLED : VISOR_EABSENT, "haxm",
                        "CreateFile", VISOR_NATIVE_WIN32, error, "%s", path);
    switch (service) {
    case SERVICE_ABSENT:
        return visor__error_hint("HAXM is not installed: 7.8.0 is its last version");
    case SERVICE_OFF:
        return visor__error_hint("HAXM is installed, and not running: \"sc start intelhaxm\" as "
                                 "administrator; it does not start while Hyper-V is on");
    default: return visor__error_hint("is HAXM 7.8.0 installed? See \"sc query intelhaxm\"");
    }
}

/*
 * Overlapped, because a request waits for the one before otherwise, and a run has to be kicked off
 * by another. The driver completes each before it returns.
 */
static int open_node(struct haxm_node *out, const char *path)
{
    HANDLE handle = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                                FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    DWORD error = GetLastError();

    if (handle != INVALID_HANDLE_VALUE) {
        out->handle = (intptr_t)handle;
        return 0;
    }
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: return no_device(path, error);
    case ERROR_ACCESS_DENIED:
        visor__error_native(VISOR_EACCESS, "haxm", "CreateFile", VISOR_NATIVE_WIN32, error, "%s",
                            path);
        return visor__error_hint("another program may have it; else run this as administrator");
    default:
        return visor__error_native(haxm_error_code((int)error), "haxm", "CreateFile",
                                   VISOR_NATIVE_WIN32, error, "%s", path);
    }
}

/* Which of the two a node is of is remembered with the device's. */
int haxm_open_device(struct haxm_node *out, visor_hypervisor *hv)
{
    const char *driver = visor__option_get(hv, "driver");
    int ret;

    if (driver != NULL && strcmp(driver, "haxm") != 0 && strcmp(driver, "ghaxm") != 0)
        return visor__error(VISOR_EINVAL, "haxm", "open", "driver=%s: haxm or ghaxm", driver);
    out->is_fork = driver != NULL && strcmp(driver, "ghaxm") == 0;
    ret = open_node(out, out->is_fork ? HAX_DEVICE_GHAXM : HAX_DEVICE_WINDOWS);
    if (driver != NULL || (ret != VISOR_EABSENT && ret != VISOR_EDISABLED))
        return ret;
    out->is_fork = true;
    if (open_node(out, HAX_DEVICE_GHAXM) == 0)
        return 0;
    out->is_fork = false; /* what is wrong with Intel's says more */
    return open_node(out, HAX_DEVICE_WINDOWS);
}

int haxm_open_vm(struct haxm_node *out, const struct haxm_node *device, uint32_t vm)
{
    char path[64];

    out->is_fork = device->is_fork;
    snprintf(path, sizeof(path), device->is_fork ? HAX_VM_GHAXM : HAX_VM_WINDOWS, vm);
    return open_node(out, path);
}

int haxm_open_vcpu(struct haxm_node *out, const struct haxm_node *device, uint32_t vm,
                   uint32_t vcpu)
{
    char path[64];

    out->is_fork = device->is_fork;
    snprintf(path, sizeof(path), device->is_fork ? HAX_VCPU_GHAXM : HAX_VCPU_WINDOWS, vm, vcpu);
    return open_node(out, path);
}

void haxm_close(struct haxm_node *node)
{
    CloseHandle((HANDLE)node->handle);
}

/* ---- requests ---- */

/* The system copies the data in, and of it as much out as the driver says. */
static int call(const struct haxm_node *node, DWORD number, void *data, size_t size)
{
    HANDLE handle = (HANDLE)node->handle;
    OVERLAPPED overlapped;
    DWORD done = 0, error = 0;

    memset(&overlapped, 0, sizeof(overlapped));
    /* Without, the handle itself would be waited for, which the end of any request signals. */
    overlapped.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    if (overlapped.hEvent == NULL)
        return (int)GetLastError();
    if (!DeviceIoControl(handle, number, data, (DWORD)size, data, (DWORD)size, &done, &overlapped))
        error = GetLastError();
    if (error == ERROR_IO_PENDING)
        error = GetOverlappedResult(handle, &overlapped, &done, TRUE) ? 0 : GetLastError();
    CloseHandle(overlapped.hEvent);
    return (int)error;
}

int haxm_call(const struct haxm_node *node, enum haxm_request request, void *data, size_t size)
{
    return call(node, requests[request].number, data, size);
}

int haxm_error_code(int native)
{
    switch (native) {
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES: return VISOR_ENOMEM;
    case ERROR_ACCESS_DENIED: return VISOR_EACCESS;
    case ERROR_SHARING_VIOLATION:
    case ERROR_BUSY: return VISOR_EBUSY;
    case ERROR_INVALID_PARAMETER: return VISOR_EREFUSED;
    case ERROR_INVALID_FUNCTION: return VISOR_EUNSUPPORTED;
    case ERROR_INVALID_HANDLE: return VISOR_EBROKEN;
    default: return VISOR_ESYSTEM;
    }
}

const char *haxm_request_name(enum haxm_request request)
{
    return requests[request].name;
}

/* ---- runs: there are no signals, and a request that interrupts another ---- */

struct haxm_kick {
    uint32_t *leave_mark;
};

int haxm_kick_create(struct haxm_kick **out, visor_hypervisor *hv, uint32_t *leave_mark)
{
    struct haxm_kick *kick = calloc(1, sizeof(*kick));

    (void)hv;
    if (kick == NULL)
        return visor__error(VISOR_ENOMEM, "haxm", "visor_vcpu_create", "no memory");
    kick->leave_mark = leave_mark;
    *out = kick;
    return 0;
}

void haxm_kick_destroy(struct haxm_kick *kick)
{
    free(kick);
}

int haxm_kick_adopt(struct haxm_kick *kick)
{
    (void)kick;
    return 0;
}

void haxm_kick_reset(struct haxm_kick *kick)
{
    __atomic_store_n(kick->leave_mark, 0, __ATOMIC_SEQ_CST);
}

void haxm_kick_drop(struct haxm_kick *kick)
{
    (void)kick;
}

void haxm_kick_forget(struct haxm_kick *kick)
{
    (void)kick;
}

void haxm_kick(struct haxm_kick *kick, const struct haxm_node *node)
{
    DWORD before = GetLastError();

    __atomic_store_n(kick->leave_mark, 1, __ATOMIC_SEQ_CST);
    (void)call(node, HAX_VCPU_IOCTL_KICKOFF_WINDOWS, NULL, 0);
    SetLastError(before);
}

int haxm_run(const struct haxm_node *node, struct haxm_kick *kick)
{
    (void)kick;
    return call(node, requests[HAXM_RUN].number, NULL, 0);
}
