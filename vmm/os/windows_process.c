/* SPDX-License-Identifier: BSD-3-Clause */
/* Standard streams; the console in raw mode, and back again; what the console says to processes. */
#include <windows.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "os/process.h"

/* ---- standard streams ---- */

static visor_file standard(DWORD which)
{
    HANDLE handle = GetStdHandle(which);

    return handle != NULL && handle != INVALID_HANDLE_VALUE ? (visor_file)handle : VISOR_FILE_NONE;
}

visor_file vmm_standard_input(void)
{
    return standard(STD_INPUT_HANDLE);
}

visor_file vmm_standard_output(void)
{
    return standard(STD_OUTPUT_HANDLE);
}

void vmm_standard_fill(void)
{
    /* A closed one's place is not given to another file. */
}

/* ---- the console: its modes belong to it, not to us, and outlive us ---- */

/* Of each side, what is put back. */
static DWORD input_mode, output_mode;
static UINT output_page;
static bool has_output;
static atomic_bool raw;

void terminal_restore(void)
{
    if (!atomic_exchange(&raw, false))
        return;
    SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), input_mode);
    if (!has_output)
        return;
    SetConsoleMode(GetStdHandle(STD_OUTPUT_HANDLE), output_mode);
    SetConsoleOutputCP(output_page);
}

bool terminal_is_raw(void)
{
    return atomic_load(&raw);
}

static LONG WINAPI on_fault(EXCEPTION_POINTERS *what)
{
    (void)what;
    terminal_restore();
    return EXCEPTION_CONTINUE_SEARCH;
}

/* Guests speak to a terminal: UTF-8, with the sequences of a VT. */
static void make_output_raw(void)
{
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD wanted =
        ENABLE_PROCESSED_OUTPUT | ENABLE_WRAP_AT_EOL_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;

    has_output = GetConsoleMode(output, &output_mode);
    if (!has_output)
        return;
    output_page = GetConsoleOutputCP();
    SetConsoleOutputCP(CP_UTF8);
    /* Its line feeds then only feed; older consoles do not know that. */
    if (!SetConsoleMode(output, wanted | DISABLE_NEWLINE_AUTO_RETURN))
        SetConsoleMode(output, wanted);
}

bool terminal_raw(void)
{
    static bool prepared;
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);

    if (atomic_load(&raw))
        return true;
    if (!GetConsoleMode(input, &input_mode))
        return false;
    if (!prepared) {
        prepared = true;
        atexit(terminal_restore);
        SetUnhandledExceptionFilter(on_fault);
    }
    atomic_store(&raw, true);
    /* Arrows and function keys as sequences of bytes; older consoles have none. */
    if (!SetConsoleMode(input, ENABLE_VIRTUAL_TERMINAL_INPUT) && !SetConsoleMode(input, 0)) {
        atomic_store(&raw, false);
        return false;
    }
    make_output_raw();
    return true;
}

/* ---- the console's events, which come on a thread of their own: one handler per process ---- */

struct vmm_signals {
    HANDLE came;
    atomic_bool ended;
};

static struct vmm_signals *_Atomic taken;

static BOOL WINAPI on_event(DWORD type)
{
    struct vmm_signals *signals = atomic_load(&taken);

    if (signals == NULL)
        return FALSE;
    atomic_store(&signals->ended, true);
    SetEvent(signals->came);
    /* After these the system ends the process as soon as we return, or after seconds. */
    if (type == CTRL_CLOSE_EVENT || type == CTRL_LOGOFF_EVENT || type == CTRL_SHUTDOWN_EVENT)
        Sleep(INFINITE);
    return TRUE;
}

int vmm_signals_take(vmm_signals **out, vmm_error *error)
{
    static struct vmm_signals signals;

    signals.came = CreateEventW(NULL, FALSE, FALSE, NULL);
    if (signals.came == NULL)
        return vmm_fail(error, VISOR_ESYSTEM, "CreateEvent: error %lu", GetLastError());
    atomic_store(&taken, &signals);
    if (!SetConsoleCtrlHandler(on_event, TRUE))
        return vmm_fail(error, VISOR_ESYSTEM, "SetConsoleCtrlHandler: error %lu", GetLastError());
    *out = &signals;
    return 0;
}

visor_event vmm_signals_event(const vmm_signals *signals)
{
    return (visor_event)signals->came;
}

enum vmm_signal vmm_signals_next(vmm_signals *signals)
{
    return atomic_load(&signals->ended) ? VMM_SIGNAL_END : VMM_SIGNAL_NONE;
}

void vmm_process_stop(void)
{
    /* Nothing asks for it. */
}

void vmm_signals_free(vmm_signals *signals)
{
    if (signals == NULL)
        return;
    /* What the handler would have ended it with. */
    if (atomic_load(&signals->ended))
        ExitProcess((UINT)STATUS_CONTROL_C_EXIT);
    /* Its handle stays: the handler may be running. */
    atomic_store(&taken, NULL);
    SetConsoleCtrlHandler(on_event, FALSE);
}

uint64_t vmm_host_memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof(status)};

    return GlobalMemoryStatusEx(&status) ? status.ullTotalPageFile : 0;
}
