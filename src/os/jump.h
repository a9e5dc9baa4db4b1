/* SPDX-License-Identifier: BSD-3-Clause */
/* setjmp() for jumps within frames of C that have nothing to clean up. */
#ifndef VISOR_OS_JUMP_H
#define VISOR_OS_JUMP_H

#include <setjmp.h>

#ifdef _WIN32
/* With a frame longjmp() would unwind the stack, looking up each function on it: slow, and there is
 * nothing to unwind. Without one it only loads registers. */
#define visor__setjmp(buffer) _setjmp((buffer), NULL)
#else
#define visor__setjmp(buffer) setjmp(buffer)
#endif

#endif
