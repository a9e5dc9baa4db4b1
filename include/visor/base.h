/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words that every other header uses: export marks, the opaque objects, guest architectures.
 *
 * Conventions of the whole API
 *  - Every function returns int unless it cannot fail: >= 0 is success (often a count), < 0 is one
 *    of the codes in <visor/error.h>. visor_error_last() has the details.
 *  - Out-parameters come first. They are written on success only.
 *  - Guest-physical addresses (GPA), sizes and offsets are in bytes, times in ns, rates in Hz.
 *  - Structures that callers fill in and that may grow begin with `size` and have an _INIT macro.
 *    The library accepts any size it knows how to read and refuses an unknown non-zero tail.
 *  - visor_*_free() accepts NULL and cannot fail. A child keeps its parent alive, so the order of
 *    freeing does not matter.
 *  - Unless a function says otherwise: hypervisor, memory and VM functions may be called from any
 *    thread; vCPU functions only from the thread that owns the vCPU at that time.
 */
#ifndef VISOR_BASE_H
#define VISOR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define VISOR_BEGIN_DECLS extern "C" {
#define VISOR_END_DECLS }
#else
#define VISOR_BEGIN_DECLS
#define VISOR_END_DECLS
#endif

#if defined(_WIN32) && !defined(VISOR_STATIC)
#ifdef VISOR_BUILDING
#define VISOR_API __declspec(dllexport)
#else
#define VISOR_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define VISOR_API __attribute__((visibility("default")))
#else
#define VISOR_API
#endif

#define VISOR_VERSION_MAJOR 0
#define VISOR_VERSION_MINOR 1
#define VISOR_VERSION_PATCH 0

VISOR_BEGIN_DECLS

typedef struct visor_hypervisor visor_hypervisor; /* an opened backend; one or many per process */
typedef struct visor_memory visor_memory;         /* the RAM of a guest */
typedef struct visor_mapping visor_mapping;       /* a piece of host memory that a slot can hold */
typedef struct visor_vm visor_vm;                 /* one guest */
typedef struct visor_vcpu visor_vcpu;             /* one virtual CPU of a guest */

/* Architecture of a guest. A property of the VM, never of the build. */
typedef enum visor_arch {
    VISOR_ARCH_NATIVE = 0, /* in a configuration: what the host is */
    VISOR_ARCH_X86_64 = 1,
    VISOR_ARCH_AARCH64 = 2,
    VISOR_ARCH_RISCV64 = 3,
} visor_arch;

/*
 * A waitable event of the host: an eventfd on Linux, an event HANDLE on Windows. The library never
 * closes one that the caller passes in; it duplicates what it has to keep.
 */
typedef intptr_t visor_event;
#define VISOR_EVENT_NONE ((visor_event)-1)

/* An open file of the host: a descriptor on Linux, a HANDLE on Windows. */
typedef intptr_t visor_file;
#define VISOR_FILE_NONE ((visor_file)-1)

/* "0.1.0": the version of the library that runs, which may be newer than these headers. */
VISOR_API const char *visor_version(void);

/* "x86_64", "aarch64", "riscv64"; "unknown" for anything else. Never NULL. */
VISOR_API const char *visor_arch_name(visor_arch arch);

VISOR_END_DECLS

#endif
