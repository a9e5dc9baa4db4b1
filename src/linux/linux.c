/* SPDX-License-Identifier: BSD-3-Clause */
/* Device nodes and ioctl(). */
#include "linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char op_open[] = "open";

int visor__linux_code(int err)
{
    switch (err) {
    case ENOMEM: return VISOR_ENOMEM;
    case EACCES:
    case EPERM: return VISOR_EACCESS;
    case EAGAIN: return VISOR_EAGAIN;
    case EBUSY: return VISOR_EBUSY;
    case EEXIST: return VISOR_EEXIST;
    case ENOENT: return VISOR_ENOENT;
    case EINVAL: return VISOR_EREFUSED; /* the core has checked what can be checked */
    case E2BIG:
    case EMFILE:
    case ENFILE:
    case ENOSPC: return VISOR_ELIMIT;
    case ENOSYS:
    case ENOTTY:
    case ENXIO:
    case EOPNOTSUPP: return VISOR_EUNSUPPORTED;
    default: return VISOR_ESYSTEM;
    }
}

int visor__linux_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    int result;

    do
        result = ioctl(fd, request, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int visor__linux_duplicate(visor_file *out, int fd, const char *backend)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0)
        return visor__linux_error(backend, "fcntl(F_DUPFD_CLOEXEC)", errno,
                                  "duplicating the VM's descriptor");
    *out = own;
    return 0;
}

/* The name of a group; false if /etc/group has none. Read by hand: getgrgid_r() loads plugins,
 * which a static program cannot, and not every libc can read one entry from a file. */
static bool group_name(char *out, size_t capacity, gid_t gid)
{
    FILE *file = fopen("/etc/group", "re");
    char line[4096];
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        char *rest = line;
        const char *name = strsep(&rest, ":");
        const char *password = strsep(&rest, ":");
        const char *number = strsep(&rest, ":");

        found = password != NULL && number != NULL && number[0] != '\0' &&
                strtoull(number, NULL, 10) == gid;
        if (found)
            snprintf(out, capacity, "%s", name);
    }
    fclose(file);
    return found;
}

/* No permission: whose membership would help? */
static int no_permission(const struct visor__linux_node *node, int err)
{
    const char *path = node->path;
    char group[64];
    struct stat st;

    visor__linux_error(node->backend, op_open, err, "%s", path);
    if (stat(path, &st) < 0)
        return visor__error_hint("the folder of %s cannot be searched", path);
    if (geteuid() == 0)
        return visor__error_hint("the container or sandbox keeps the device away: start it with "
                                 "access to %s (docker: --device=%s)",
                                 path, path);
    if ((st.st_mode & (S_IRGRP | S_IWGRP)) != (S_IRGRP | S_IWGRP) || st.st_gid == 0)
        return visor__error_hint("only its owner may use %s; %s", path, node->owner_only);
    if (!group_name(group, sizeof(group), st.st_gid))
        return visor__error_hint("%s belongs to group number %u, which has no name here; run with "
                                 "that group (docker: --group-add %u)",
                                 path, (unsigned)st.st_gid, (unsigned)st.st_gid);
    return visor__error_hint("%s belongs to group %s: sudo usermod -aG %s \"$USER\", then log in "
                             "again",
                             path, group, group);
}

int visor__linux_open(int *out, const struct visor__linux_node *node)
{
    int fd, err;

    do
        fd = open(node->path, O_RDWR | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd >= 0) {
        *out = fd;
        return 0;
    }
    err = errno;
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        visor__error_native(VISOR_EABSENT, node->backend, op_open, VISOR_NATIVE_ERRNO, err, "%s",
                            node->path);
        return visor__error_hint("%s", node->absent);
    case EACCES:
    case EPERM: return no_permission(node, err);
    case ENODEV:
    case ENXIO:
        visor__error_native(VISOR_EDISABLED, node->backend, op_open, VISOR_NATIVE_ERRNO, err,
                            "%s is there, but no driver answers", node->path);
        return visor__error_hint("%s", node->no_driver);
    default: return visor__linux_error(node->backend, op_open, err, "%s", node->path);
    }
}

int visor__linux_kick_signal(int *out, const visor_hypervisor *hv)
{
    uint64_t number;
    int ret =
        visor__option_number(&number, hv, "signal", (uint64_t)SIGRTMIN + 1, (uint64_t)SIGRTMAX);

    if (ret < 0)
        return ret;
    if (number == 0 || number == SIGKILL || number == SIGSTOP)
        return visor__error(VISOR_EINVAL, hv->backend->name, op_open, "signal=%u cannot be blocked",
                            (unsigned)number);
    *out = (int)number;
    return 0;
}
