/* SPDX-License-Identifier: BSD-3-Clause */
/* Files, pipes and memory of the host, as a test needs them. */
#ifndef UNIT_HOST_H
#define UNIT_HOST_H

#include <visor/base.h>

#ifdef _WIN32
#include "host_windows.h"
#else
#include "host_linux.h"
#endif

#endif
