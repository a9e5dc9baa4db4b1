/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WinHvPlatform.dll on the software CPU: the platform's own side of its API.
 *
 *   partition.c  capabilities, partitions and their properties, time
 *   memory.c     guest-physical memory, dirty pages, translation of addresses
 *   vp.c         virtual processors: running and exits
 *   register.c   registers
 *   state.c      XSAVE, local APIC, interrupts
 *
 * A partition is a VM of the backend "soft", through the library's public API. What that API has no
 * words for, because no other hypervisor leaves it to the caller (an access that is forgotten
 * instead of answered, exits at CPUID and at exceptions), is reached in src/soft/ itself: soft_*().
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <whpx.h>

#include <visor.h>

#include "soft/soft.h"

#define MAX_VPS    SOFT_MAX_CPUS
#define MAX_RANGES 256u
#define MAX_LIST   512u
#define PAGE       UINT64_C(4096)

/* What the processor has; addresses above exist for nobody. */
#define GPA_BITS 40
/* A VM has at least one region of memory; a partition starts with none. So the last page that the
 * processor can address is taken. */
#define RESERVED_GPA ((UINT64_C(1) << GPA_BITS) - PAGE)

#define MAP_ALL                                                                     \
    (WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute | \
     WHvMapGpaRangeFlagTrackDirtyPages)

/* Memory that is mapped, without those that have no access right: they are not there. */
struct range {
    uint64_t gpa, length;
    uint8_t *host;
    uint32_t flags;
    uint32_t slot;
    uint64_t *dirty; /* pages seen dirty and not yet asked for; NULL: not tracked */
};

struct vp {
    visor_vcpu *vcpu; /* NULL: there is none */
    uint32_t index;
    bool running;
    bool notify_nmi, notify_interrupt;
    uint8_t notify_priority;
    struct soft_event caught; /* that left in place of being delivered */
    bool caught_at_halt;
    uint64_t frozen_tsc; /* while time is suspended */
};

struct partition {
    struct partition *next;
    SRWLOCK lock;
    bool is_set_up;

    /* Properties. */
    uint32_t processor_count;
    WHV_EXTENDED_VM_EXITS exits;
    uint64_t exception_exits;
    WHV_X64_MSR_EXIT_BITMAP msr_exits;
    WHV_X64_LOCAL_APIC_EMULATION_MODE apic;
    uint32_t cpuid_exits[MAX_LIST];
    size_t cpuid_exit_count;
    WHV_X64_CPUID_RESULT2 cpuid_results[MAX_LIST]; /* of both lists */
    size_t cpuid_result_count;
    WHV_MSR_ACTION_ENTRY msr_actions[16];
    size_t msr_action_count;
    uint64_t reference_offset; /* 100 ns units, added to the clock */
    bool is_suspended;
    uint64_t frozen_reference;

    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    struct range ranges[MAX_RANGES];
    size_t range_count;
    struct vp vps[MAX_VPS];
};

/* ---- partition.c ---- */

/* Locks the partition behind the handle; NULL: there is none. */
struct partition *partition_enter(WHV_PARTITION_HANDLE handle);
void partition_leave(struct partition *partition);
/* The same with a virtual processor; *result is why not. */
struct partition *partition_enter_vp(HRESULT *result, struct vp **vp, WHV_PARTITION_HANDLE handle,
                                     uint32_t index);
/* The partition of a VM, from inside of its run. */
struct partition *partition_of(const visor_vm *vm);
/* What the library's error is in Windows' terms. */
HRESULT platform_result(int ret);
/* Whether a client's user has asked, by the environment, for a platform as it is seldom met. */
bool platform_plays(const char *state);
/* Ends a suspension of time, as a run does. */
void partition_resume_time(struct partition *partition);

/* ---- memory.c ---- */

void memory_clear(struct partition *partition);
/* Host address of guest memory, up to the end of its page; NULL: not there or not with this right.
 */
uint8_t *memory_at(const struct partition *partition, uint64_t gpa, uint32_t right);
/* Walks the guest's tables; no accessed or dirty bits are set. */
WHV_TRANSLATE_GVA_RESULT_CODE memory_translate(uint64_t *gpa, struct partition *partition,
                                               const struct soft_cpu *cpu, uint64_t gva,
                                               uint32_t flags);

/* ---- vp.c ---- */

WHV_X64_SEGMENT_REGISTER platform_segment(const visor_x86_segment *in);

static inline struct soft_cpu *vp_cpu(const struct vp *vp)
{
    return soft_vcpu_of(vp->vcpu)->cpu;
}
/* Follows properties that may change after the partition is set up. */
int vp_set_exits(struct partition *partition);
/* The window that a client asks for opens, or does not, with the task priority. */
void vp_update_window(struct vp *vp);

#endif
