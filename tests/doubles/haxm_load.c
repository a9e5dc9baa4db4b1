/* SPDX-License-Identifier: BSD-3-Clause */
/* haxm_double.exe PROGRAM ARGUMENT...: runs a program with the double of HAXM, as LD_PRELOAD does.
 */
#include "haxm_nodes.h"

#include <stdio.h>
#include <wchar.h>

/* What follows the first argument of the command line. */
static wchar_t *rest_of(wchar_t *line)
{
    bool quoted = false;

    for (; *line != L'\0' && (quoted || (*line != L' ' && *line != L'\t')); line++)
        quoted ^= *line == L'"';
    return line + wcsspn(line, L" \t");
}

int main(void)
{
    static const wchar_t name[] = L"haxm_double.dll";
    STARTUPINFOW how = {.cb = sizeof(how)};
    PROCESS_INFORMATION process;
    wchar_t path[MAX_PATH], *line = rest_of(GetCommandLineW()), *end;
    DWORD status = 1, length = GetModuleFileNameW(NULL, path, MAX_PATH - 16);

    end = length > 0 ? wcsrchr(path, L'\\') : NULL;
    if (end == NULL || *line == L'\0') {
        fputs("haxm_double.exe PROGRAM ARGUMENT...\n", stderr);
        return 1;
    }
    wcscpy(end + 1, name);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &how,
                        &process)) {
        fprintf(stderr, "haxm_double: the program cannot be started: error %lu\n", GetLastError());
        return 1;
    }
    if (!load_into(process.hProcess, path)) {
        fprintf(stderr, "haxm_double: the double cannot be loaded: error %lu\n", GetLastError());
        TerminateProcess(process.hProcess, 1);
        return 1;
    }
    ResumeThread(process.hThread);
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &status);
    return (int)status;
}
