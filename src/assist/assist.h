/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instruction assist: what backends share whose hypervisor does not decode all accesses itself.
 *
 *   aarch64.h    A64 loads and stores without a syndrome
 *   x86_64.h     any x86 instruction that accesses memory or ports, on the software CPU
 *   memory.c     guest memory as the guest itself would access it
 */
#ifndef VISOR_ASSIST_ASSIST_H
#define VISOR_ASSIST_ASSIST_H

#include <visor.h>

/*
 * An access of the guest to its memory, slots included, inside one page of 4 KiB: 1 done, 0 there
 * is no memory (or only read-only memory, for a write). data == NULL: says which, and does nothing.
 * A naturally aligned access of 1, 2, 4 or 8 bytes is single-copy atomic; a written page is marked
 * in the dirty log. context is the visor_vm. Takes the VM lock.
 */
int visor__assist_memory(void *context, uint64_t gpa, void *data, size_t length, bool is_write);

#endif
