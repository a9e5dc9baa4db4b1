/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the backends that talk to a Linux driver through a device node have in common, and none of
 * them is about: opening the node, ioctl() with errors, and (kick.h) getting a vCPU's thread out of
 * the driver. The hypervisors themselves are in rooms of their own.
 */
#ifndef VISOR_LINUX_LINUX_H
#define VISOR_LINUX_LINUX_H

#include "core/backend.h"

/* The VISOR_E... code for an errno value. */
int visor__linux_code(int err);
/* Records errno value err of an operation with a detail, a format; returns the code. */
#define visor__linux_error(backend, operation, err, ...)                                           \
    visor__error_native(visor__linux_code(err), (backend), (operation), VISOR_NATIVE_ERRNO, (err), \
                        __VA_ARGS__)
/* ioctl() that starts again after EINTR. Returns what it returned, or -errno; records nothing. */
int visor__linux_ioctl(int fd, unsigned long request, uintptr_t argument);
/* A duplicate of a descriptor, for a caller of the library. */
int visor__linux_duplicate(visor_file *out, int fd, const char *backend);

/* A device node, and what to say about one that cannot be used. */
struct visor__linux_node {
    const char *backend, *path;
    const char *absent;     /* hint if it is not there */
    const char *no_driver;  /* hint if it is, but no driver answers */
    const char *owner_only; /* hint if only its owner may use it; "" if there is none to give */
};
/* Opens it read/write. EABSENT, EACCESS, EDISABLED or another error, with a hint. */
int visor__linux_open(int *out, const struct visor__linux_node *node);

/* The option of all these backends that chooses the kick signal, and its value. */
#define VISOR__LINUX_OPTION_SIGNAL                                                 \
    {                                                                              \
        "signal", "number of the signal that kicks vCPUs, SIGRTMIN+1 unless given" \
    }
int visor__linux_kick_signal(int *out, const visor_hypervisor *hv);

#endif
