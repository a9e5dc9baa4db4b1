/* SPDX-License-Identifier: BSD-3-Clause */
/* The one name of <sys/uio.h> that the VMM uses, for Windows. */
#ifndef VMM_OS_WINDOWS_SYS_UIO_H
#define VMM_OS_WINDOWS_SYS_UIO_H

#include <stddef.h>

struct iovec {
    void *iov_base;
    size_t iov_len;
};

#endif
