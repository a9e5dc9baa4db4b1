/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the POSIX files of this room. */
#ifndef VISOR_OS_OS_POSIX_H
#define VISOR_OS_OS_POSIX_H

/* Records errno as the error of operation: ENOMEM, else ESYSTEM. Returns the code. */
int visor__os_failed(const char *operation, const char *detail);

#endif
