/* SPDX-License-Identifier: BSD-3-Clause */
/* Events of the host, as a test needs them. */
#ifndef UNIT_EVENTS_H
#define UNIT_EVENTS_H

#include <visor/base.h>

#ifdef _WIN32
#include "events_windows.h"
#else
#include "events_linux.h"
#endif

#endif
