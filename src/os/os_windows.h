/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the Windows files of this room. */
#ifndef VISOR_OS_OS_WINDOWS_H
#define VISOR_OS_OS_WINDOWS_H

/* Records GetLastError() as the error of operation: ENOMEM, else ESYSTEM. Returns the code. */
int visor__os_failed(const char *operation, const char *detail);

#endif
