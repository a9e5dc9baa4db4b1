/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver as its system offers it: nodes, requests, and how a run is interrupted. What is asked
 * of it is the same everywhere; numbers, names of nodes and errors are not, and are the business of
 * one file for each system.
 */
#ifndef VISOR_HAXM_NODE_H
#define VISOR_HAXM_NODE_H

#include "core/backend.h"

/* Requests, with the direction of their structure. */
#define HAXM_REQUESTS(X)                         \
    X(VERSION, HAX_IOCTL_VERSION)                \
    X(CREATE_VM, HAX_IOCTL_CREATE_VM)            \
    X(CAPABILITY, HAX_IOCTL_CAPABILITY)          \
    X(VCPU_CREATE, HAX_VM_IOCTL_VCPU_CREATE)     \
    X(NOTIFY, HAX_VM_IOCTL_NOTIFY_QEMU_VERSION)  \
    X(SET_RAM2, HAX_VM_IOCTL_SET_RAM2)           \
    X(RUN, HAX_VCPU_IOCTL_RUN)                   \
    X(SET_MSRS, HAX_VCPU_IOCTL_SET_MSRS)         \
    X(GET_MSRS, HAX_VCPU_IOCTL_GET_MSRS)         \
    X(SET_FPU, HAX_VCPU_IOCTL_SET_FPU)           \
    X(GET_FPU, HAX_VCPU_IOCTL_GET_FPU)           \
    X(SETUP_TUNNEL, HAX_VCPU_IOCTL_SETUP_TUNNEL) \
    X(INTERRUPT, HAX_VCPU_IOCTL_INTERRUPT)       \
    X(SET_REGS, HAX_VCPU_SET_REGS)               \
    X(GET_REGS, HAX_VCPU_GET_REGS)               \
    X(DEBUG, HAX_IOCTL_VCPU_DEBUG)               \
    X(SET_CPUID, HAX_VCPU_IOCTL_SET_CPUID)       \
    X(GET_CPUID, HAX_VCPU_IOCTL_GET_CPUID)

enum haxm_request {
#define HAXM_REQUEST_ENUM(id, name) HAXM_##id,
    HAXM_REQUESTS(HAXM_REQUEST_ENUM)
#undef HAXM_REQUEST_ENUM
};

/* An open node. */
struct haxm_node {
    intptr_t handle;
    bool is_fork; /* of Google's driver, on Windows */
};

extern const struct visor__option haxm_options[];

/* The device, with EABSENT, EACCESS and the like told apart. */
int haxm_open_device(struct haxm_node *out, visor_hypervisor *hv);
int haxm_open_vm(struct haxm_node *out, const struct haxm_node *device, uint32_t vm);
int haxm_open_vcpu(struct haxm_node *out, const struct haxm_node *device, uint32_t vm,
                   uint32_t vcpu);
void haxm_close(struct haxm_node *node);

/* Makes a request with a structure, in and out. 0, or the system's error, for haxm_error(). */
int haxm_call(const struct haxm_node *node, enum haxm_request request, void *data, size_t size);
/* Records the error of a request with a detail, a format; returns the code. */
#define haxm_error(request, native, ...)                                                          \
    visor__error_native(haxm_error_code(native), "haxm", haxm_request_name(request), haxm_native, \
                        (native), __VA_ARGS__)
extern const visor_native haxm_native;
int haxm_error_code(int native);
/* The native error for an answer that makes no sense. */
extern const int haxm_error_broken;
const char *haxm_request_name(enum haxm_request request);
/* Whether the system's driver tells how many MSRs it has set. */
extern const bool haxm_tells_msrs_set;
/* Most MSRs that it takes at a time. */
extern const unsigned haxm_msrs_most;

/* ---- getting a run out of the guest; `leave_mark` is user_event_pending of the tunnel ---- */

struct haxm_kick;

int haxm_kick_create(struct haxm_kick **out, visor_hypervisor *hv, uint32_t *leave_mark);
void haxm_kick_destroy(struct haxm_kick *kick); /* accepts NULL */
/* Before a run is begun: makes this thread the one that runs the vCPU. */
int haxm_kick_adopt(struct haxm_kick *kick);
/* For visor__run_begin(): takes back what an earlier kick has set. */
void haxm_kick_reset(struct haxm_kick *kick);
/* After visor__run_end(). */
void haxm_kick_drop(struct haxm_kick *kick);
/* After VISOR_EXIT_INTR. */
void haxm_kick_forget(struct haxm_kick *kick);
/* Any thread, signal handlers: sets the mark, and gets the run under way to look at it. */
void haxm_kick(struct haxm_kick *kick, const struct haxm_node *node);
/* Runs the guest. 0, or the system's error. */
int haxm_run(const struct haxm_node *node, struct haxm_kick *kick);

#endif
