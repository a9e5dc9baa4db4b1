/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * This program's own ioctl() stands in for libc's: the test plays the driver behind it. A program
 * that includes this defines fake_ioctl().
 */
#ifndef VISOR_TESTS_FAKE_IOCTL_H
#define VISOR_TESTS_FAKE_IOCTL_H

#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>

/* 0 or more: the result; less: -errno. */
static int fake_ioctl(unsigned long request, void *argument);

/* glibc's prototype. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *argument;
    int ret;

    (void)fd;
    va_start(args, request);
    argument = va_arg(args, void *);
    va_end(args);
    ret = fake_ioctl(request, argument);
    if (ret >= 0)
        return ret;
    errno = -ret;
    return -1;
}

#endif
