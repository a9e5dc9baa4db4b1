/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The double of HAXM as Windows reaches it.
 *
 *   haxm_control.c  names of nodes, and control codes with the sizes that the driver checks
 *   haxm_patch.c    CreateFile, DeviceIoControl and CloseHandle of the process that it is loaded
 * into haxm_load.c     the program that loads it into another: haxm_double.exe PROGRAM ARGUMENT...
 *
 * Processes that the process starts get the double, too.
 */
#ifndef VISOR_TESTS_HAXM_NODES_H
#define VISOR_TESTS_HAXM_NODES_H

#include <windows.h>

#include <stdbool.h>

/* ---- haxm_control.c ---- */

struct object;

/* Errors are Windows's. NO_NODE: the path is none of this double's. */
#define NO_NODE 0xffffffffu
DWORD driver_open(struct object **out, const char *path);
/* in, out: sizes of the caller's buffers; buffer has the larger of the two, and the input.
 * *returned: how much of it is to be copied out. */
DWORD driver_control(struct object *object, DWORD code, void *buffer, DWORD in, DWORD out,
                     DWORD *returned);
void driver_close(struct object *object);

/* ---- both of the others ---- */

/* Loads a DLL into a process whose threads have not begun. */
static inline bool load_into(HANDLE process, const wchar_t *dll)
{
    SIZE_T size = (wcslen(dll) + 1) * sizeof(*dll);
    void *path = VirtualAllocEx(process, NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    HMODULE kernel = GetModuleHandleW(L"kernel32");
    FARPROC load = GetProcAddress(kernel, "LoadLibraryW");
    HANDLE thread = NULL;
    DWORD result = 0;

    /* kernel32 is at the same address in all processes. */
    if (path != NULL && WriteProcessMemory(process, path, dll, size, NULL))
        thread = CreateRemoteThread(process, NULL, 0, (LPTHREAD_START_ROUTINE)(void (*)(void))load,
                                    path, 0, NULL);
    if (thread == NULL)
        return false;
    WaitForSingleObject(thread, INFINITE);
    GetExitCodeThread(thread, &result); /* the low half of the module's address */
    CloseHandle(thread);
    return result != 0;
}

#endif
