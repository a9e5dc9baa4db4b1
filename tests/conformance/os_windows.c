/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that run this program again, HANDLEs of events and files. No signals. */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

#include "os.h"
#include "report.h"

_Noreturn static void fail_call(const char *call)
{
    FAIL("%s: error %lu", call, GetLastError());
}

/* ---- processes ---- */

/* What a process gets: the pipe's HANDLE as a number, and the name. */
#define VARIABLE "VISOR_CONFORMANCE_CASE"

static HANDLE process_pipe;

void process_send(const void *data, size_t length)
{
    DWORD done;

    if (!WriteFile(process_pipe, data, (DWORD)length, &done, NULL) || done != length)
        ExitProcess(3);
}

void process_end(int status)
{
    TerminateProcess(GetCurrentProcess(), (UINT)status);
    for (;;)
        Sleep(INFINITE);
}

const char *process_name(void)
{
    static char text[256];
    DWORD length = GetEnvironmentVariableA(VARIABLE, text, sizeof(text));
    char *rest;

    if (length == 0 || length >= sizeof(text))
        return NULL;
    process_pipe = (HANDLE)(uintptr_t)strtoull(text, &rest, 16);
    return *rest == ' ' ? rest + 1 : NULL;
}

/* Of which all processes are, so that they end with this one. */
static HANDLE job(void)
{
    static HANDLE handle;
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
        .BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};

    if (handle == NULL) {
        handle = CreateJobObjectA(NULL, NULL);
        SetInformationJobObject(handle, JobObjectExtendedLimitInformation, &limits, sizeof(limits));
    }
    return handle;
}

static int cannot(struct ending *ending, const char *call)
{
    snprintf(ending->text, sizeof(ending->text), "%s: error %lu", call, GetLastError());
    return -1;
}

/* This program, with the same arguments. */
static bool start(PROCESS_INFORMATION *out, HANDLE pipe, const char *name)
{
    STARTUPINFOW how = {.cb = sizeof(how)};
    wchar_t path[MAX_PATH], *line = _wcsdup(GetCommandLineW());
    char text[256];
    bool ok;

    snprintf(text, sizeof(text), "%llx %s", (unsigned long long)(uintptr_t)pipe, name);
    ok = line != NULL && GetModuleFileNameW(NULL, path, MAX_PATH) != 0 &&
         SetEnvironmentVariableA(VARIABLE, text) &&
         CreateProcessW(path, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &how, out);
    free(line);
    if (!ok)
        return false;
    AssignProcessToJobObject(job(), out->hProcess);
    ResumeThread(out->hThread);
    CloseHandle(out->hThread);
    return true;
}

struct watch {
    HANDLE process;
    DWORD limit_ms;
    bool timeout;
};

/* Reading a pipe has no limit of time, so another thread keeps it. */
static DWORD WINAPI watch_main(void *argument)
{
    struct watch *watch = argument;

    if (WaitForSingleObject(watch->process, watch->limit_ms) == WAIT_TIMEOUT) {
        watch->timeout = true;
        TerminateProcess(watch->process, 1);
    }
    return 0;
}

int process_run(struct ending *ending, const char *name, unsigned limit_s,
                void (*take)(void *context, const char *data, size_t length), void *context)
{
    struct watch watch = {.limit_ms = limit_s < 4000000 ? limit_s * 1000 : 4000000000u};
    PROCESS_INFORMATION process;
    HANDLE ours, theirs, thread;
    DWORD count, status;
    char data[4096];
    bool started;

    *ending = (struct ending){.kind = ENDING_EXIT};
    /* A crash is to end the process, without a window that somebody has to close. */
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    if (!CreatePipe(&ours, &theirs, NULL, 0))
        return cannot(ending, "CreatePipe");
    SetHandleInformation(theirs, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    started = start(&process, theirs, name);
    if (!started)
        cannot(ending, "CreateProcess");
    CloseHandle(theirs);
    if (!started) {
        CloseHandle(ours);
        return -1;
    }
    watch.process = process.hProcess;
    thread = CreateThread(NULL, 0, watch_main, &watch, 0, NULL);
    while (ReadFile(ours, data, sizeof(data), &count, NULL) && count > 0)
        take(context, data, count);
    if (thread != NULL) {
        WaitForSingleObject(thread, INFINITE);
        CloseHandle(thread);
    }
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &status);
    CloseHandle(process.hProcess);
    CloseHandle(ours);
    ending->status = (int)status;
    if (watch.timeout) {
        ending->kind = ENDING_TIMEOUT;
    } else if (status >= 0xc0000000u) {
        ending->kind = ENDING_CRASH;
        snprintf(ending->text, sizeof(ending->text), "exception 0x%08lx", status);
    }
    return 0;
}

/* ---- facts ---- */

unsigned host_system(void)
{
    return HOST_WINDOWS;
}

uint64_t page_size(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return info.dwPageSize;
}

/* Those that are asked about are Linux's. */
bool host_file_begins(const char *path, const char *text)
{
    (void)path;
    (void)text;
    return false;
}

unsigned host_count_handles(void)
{
    DWORD count;

    if (!GetProcessHandleCount(GetCurrentProcess(), &count))
        fail_call("GetProcessHandleCount");
    return count;
}

void host_pin_thread(void)
{
    SetThreadAffinityMask(GetCurrentThread(), 1);
}

void host_lock_memory(void *memory, size_t length)
{
    VirtualLock(memory, length);
}

uint64_t *host_map_own(uint64_t length)
{
    const uint64_t page = page_size();
    uint8_t *host = VirtualAlloc(NULL, length + 2 * page, MEM_RESERVE, PAGE_NOACCESS);

    if (host == NULL || VirtualAlloc(host + page, length, MEM_COMMIT, PAGE_READWRITE) == NULL)
        fail_call("VirtualAlloc");
    return (uint64_t *)(void *)(host + page);
}

/* ---- events and files ---- */

visor_event event_create(void)
{
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);

    if (event == NULL)
        fail_call("CreateEvent");
    return (visor_event)event;
}

uint64_t event_take(visor_event event)
{
    DWORD state = WaitForSingleObject((HANDLE)event, 0);

    if (state == WAIT_FAILED)
        fail_call("WaitForSingleObject");
    return state == WAIT_OBJECT_0;
}

void event_signal(visor_event event)
{
    if (!SetEvent((HANDLE)event))
        fail_call("SetEvent");
}

visor_file file_create(uint64_t length)
{
    char folder[MAX_PATH], path[MAX_PATH];
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)length}, start = {0};
    HANDLE file;

    if (GetTempPathA(sizeof(folder), folder) == 0 || GetTempFileNameA(folder, "vis", 0, path) == 0)
        fail_call("GetTempFileName");
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                       CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (file == INVALID_HANDLE_VALUE)
        fail_call("CreateFile");
    if (!SetFilePointerEx(file, end, NULL, FILE_BEGIN) || !SetEndOfFile(file) ||
        !SetFilePointerEx(file, start, NULL, FILE_BEGIN))
        fail_call("SetEndOfFile");
    return (visor_file)file;
}

void file_close(visor_file file)
{
    CloseHandle((HANDLE)file);
}

static visor_file duplicate(visor_file file, DWORD access, DWORD options)
{
    HANDLE self = GetCurrentProcess(), copy;

    if (!DuplicateHandle(self, (HANDLE)file, self, &copy, access, FALSE, options))
        fail_call("DuplicateHandle");
    return (visor_file)copy;
}

visor_file file_duplicate(visor_file file)
{
    return duplicate(file, 0, DUPLICATE_SAME_ACCESS);
}

void file_seal_read_only(visor_file *file)
{
    *file = duplicate(*file, GENERIC_READ, DUPLICATE_CLOSE_SOURCE);
}

void file_rewind(visor_file file)
{
    LARGE_INTEGER start = {0};

    if (!SetFilePointerEx((HANDLE)file, start, NULL, FILE_BEGIN))
        fail_call("SetFilePointerEx");
}

static OVERLAPPED place(uint64_t offset)
{
    return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

void file_write(visor_file file, uint64_t offset, const void *data, size_t length)
{
    OVERLAPPED at = place(offset);
    DWORD done;

    if (!WriteFile((HANDLE)file, data, (DWORD)length, &done, &at) || done != length)
        fail_call("WriteFile");
}

void file_read(visor_file file, uint64_t offset, void *data, size_t length)
{
    OVERLAPPED at = place(offset);
    DWORD done;

    if (!ReadFile((HANDLE)file, data, (DWORD)length, &done, &at) || done != length)
        fail_call("ReadFile");
}

void file_truncate(visor_file file, uint64_t length)
{
    (void)file;
    (void)length;
    SKIP("Windows shortens no file that is mapped");
}

void file_check_private(visor_file file)
{
    DWORD flags;

    if (!GetHandleInformation((HANDLE)file, &flags))
        fail_call("GetHandleInformation");
    CHECK((flags & HANDLE_FLAG_INHERIT) == 0);
}

/* ---- permissions, signals ---- */

void permission_drop(char *path, size_t capacity)
{
    (void)path;
    (void)capacity;
    SKIP("Windows has no device nodes");
}

void permission_restore(const char *path)
{
    (void)path;
}

static const char no_signals[] = "Windows has no signals";

void signal_block_and_raise(void)
{
    SKIP("%s", no_signals);
}

bool signal_is_pending(void)
{
    SKIP("%s", no_signals);
}

void signal_start(void (*handler)(int number))
{
    (void)handler;
    SKIP("%s", no_signals);
}

void signal_stop(void)
{
}
