/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving and restoring. The format is versioned, little-endian, and independent of the backend:
 * save under one hypervisor, resume under another.
 */
#ifndef VISOR_SNAPSHOT_H
#define VISOR_SNAPSHOT_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

/*
 * Where a snapshot goes to or comes from. Only the member that an operation needs must be set.
 * Both move exactly `length` bytes and return 0, or a negative VISOR_E... that the operation then
 * returns. A read past the end must return VISOR_EFORMAT.
 */
typedef struct visor_stream {
    void *context;
    int (*write)(void *context, const void *data, size_t length);
    int (*read)(void *context, void *data, size_t length);
} visor_stream;

/* A stream over an open file, from its current position. `file` must stay open. */
VISOR_API int visor_stream_file(visor_stream *out, visor_file file);

typedef struct visor_snapshot_config {
    uint32_t size;
    bool without_memory; /* leave guest memory out: the caller moves it; the same on both sides */
    /*
     * Restoring: told, if not NULL, what was left behind although nothing failed, a line without
     * newline each: performance MSRs that this host does not have (IA32_PERF_CAPABILITIES 0x345,
     * AMD's PERF_CTLn and PERF_CTRn 0xc0010200 to 0xc001020b).
     */
    void (*note)(void *context, const char *line);
    void *context;
} visor_snapshot_config;
#define VISOR_SNAPSHOT_CONFIG_INIT {.size = sizeof(visor_snapshot_config)}

/*
 * Saves the VM: clock, vCPUs, interrupt chips, guest memory (slots added later are the caller's).
 * No vCPU may be inside visor_vcpu_run(). Every vCPU is settled first: what visor_exit holds is taken
 * as the answer to its last exit, so answer that before; ESTATE if the same instruction has further
 * accesses to be answered. The VM can go on running afterwards. EUNSUPPORTED: the state of its vCPUs
 * cannot be read (VISOR_CAP_SNAPSHOT); nothing is written then. config may be NULL.
 */
VISOR_API int visor_vm_save(visor_vm *vm, const visor_stream *stream,
                            const visor_snapshot_config *config);

/*
 * Restores into a VM of the same architecture, memory layout, interrupt chip and vCPU ids
 * (EMISMATCH), fresh or used, on any backend. Data that is not a snapshot, is cut short or fails
 * its checksum is EFORMAT; what cannot be set names the piece of state. An MSR that has its value
 * already is not written, and one that this host lacks is passed over if its value was 0. An XSAVE
 * image of another size fits if nothing behind AVX is in use. The paravirtual clock is passed over
 * where there is none: a guest that uses it has said so in an MSR. After a failure the VM's state
 * is undefined but safe; restore again or free it.
 *
 * CPUID is part of the state. To move between unlike hosts or backends, give the vCPUs from the
 * start on what both have: visor_x86_supported_cpuid() of one, without the feature bits that the
 * other does not list.
 */
VISOR_API int visor_vm_restore(visor_vm *vm, const visor_stream *stream,
                               const visor_snapshot_config *config);

/* The same for one vCPU alone (no memory, no interrupt chip). Call from the owning thread. */
VISOR_API int visor_vcpu_save(visor_vcpu *vcpu, const visor_stream *stream);
VISOR_API int visor_vcpu_restore(visor_vcpu *vcpu, const visor_stream *stream);

/*
 * Puts every piece of the vCPU's state to its architectural reset value; CPUID and what describes
 * the processor stay. An access that waits for its answer is dropped. vCPU 0 is the one that
 * starts; others wait for INIT if there is an interrupt chip in the hypervisor.
 */
VISOR_API int visor_vcpu_reset(visor_vcpu *vcpu);

/*
 * Describes the vCPU's state as text, one line at a time without newline, for people.
 * print is called on this thread.
 */
VISOR_API int visor_vcpu_dump(visor_vcpu *vcpu, void (*print)(void *context, const char *line),
                              void *context);

VISOR_END_DECLS

#endif
