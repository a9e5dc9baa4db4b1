/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files for Windows have in common. */
#ifndef VMM_OS_WINDOWS_H
#define VMM_OS_WINDOWS_H

/* The errno that comes nearest to an error of the system; EIO: none does. */
int vmm_windows_errno(unsigned long code);
/* Its words: those of errno, which are the same on all systems, or else of the system. */
const char *vmm_windows_text(char *out, size_t capacity, unsigned long code);

#endif
