/* SPDX-License-Identifier: BSD-3-Clause */
/* The objects behind the opaque types, and what the core offers to backends. */
#ifndef VISOR_CORE_INTERNAL_H
#define VISOR_CORE_INTERNAL_H

#include <visor.h>

#include <stdarg.h>
#include <stdatomic.h>

#include "core/kick.h"
#include "os/os.h"

struct visor_backend;
struct visor__io_table;
struct visor__irqchip;
struct visor__lapic;
struct visor__slots;

struct visor_hypervisor {
    const struct visor_backend *backend;
    atomic_uint refs;
    struct visor__spec *spec; /* parsed specification string */
    char version[64];         /* filled by the backend's open */
    char reason[512];
    void *priv;
};

struct visor_vm {
    atomic_uint refs;
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm_config config; /* arch is never NATIVE here */
    struct visor__mutex lock;
    struct visor__slots *slots;   /* slots.c */
    struct visor__io_table *io;   /* io.c: handlers and I/O events */
    struct visor__irq_table *irq; /* irq.c: events and routes */
    struct visor__irqchip *chip;  /* src/irqchip: of backends whose hypervisor has none; or NULL */
    visor_vcpu *vcpus;            /* every vCPU ever created, by next; see vcpu_free() */
    atomic_ullong host_tsc_hz;    /* measured once, so that all vCPUs agree; 0: not yet */
    bool configured;              /* `machine` is decided. VM lock */
    bool has_boot;                /* visor_aarch64_set_boot() was called. VM lock */
    atomic_bool sealed;           /* no vCPU will come any more, see vm_ops.seal */
    union {
        visor_aarch64_config aarch64;
        visor_riscv_config riscv;
    } machine; /* of config.arch; x86 needs none */
    void *priv;
};

struct visor_vcpu {
    visor_vm *vm;
    visor_vcpu *next;
    uint32_t id;
    bool closed; /* freed by its owner; memory stays until the VM goes, for late kicks */
    struct visor__kick kick;
    visor_exit exit;
    struct visor__lapic *lapic; /* of vm->chip; or NULL */
    void *priv;
};

/* ---- errors (error.c) ---- */

/*
 * Records the error of this thread and returns code, so that `return visor__error(...)` reads well.
 * backend and operation are string literals (or live as long); "" if none. detail is a format.
 */
#define visor__error(code, ...) (visor__error_record((code), __VA_ARGS__), visor__failure(code))
/* The same with a native code, e.g. (VISOR_ESYSTEM, "kvm", "KVM_SET_REGS", NATIVE_ERRNO, errno). */
#define visor__error_native(code, ...) \
    (visor__error_record_native((code), __VA_ARGS__), visor__failure(code))

void visor__error_record(int code, const char *backend, const char *operation, const char *detail,
                         ...) __attribute__((format(VISOR_PRINTF, 4, 5)));
void visor__error_record_native(int code, const char *backend, const char *operation,
                                visor_native domain, int64_t native, const char *detail, ...)
    __attribute__((format(VISOR_PRINTF, 6, 7)));
/* The result of these macros: compilers and analysers, which look at one file at a time, see that
 * it is negative. */
static inline int visor__failure(int code)
{
    return code;
}
/* Puts "where: " before the detail of the error just recorded. Returns its code. */
int visor__error_context(const char *where, ...) __attribute__((format(VISOR_PRINTF, 1, 2)));
/* Adds the remedy to the error just recorded. Returns its code. */
int visor__error_hint(const char *hint, ...) __attribute__((format(VISOR_PRINTF, 1, 2)));

/* Checks `size` of an option structure: copies what both know, zeroes the rest, EINVAL if the
 * caller's tail holds something that this library does not know. in == NULL: all defaults. */
int visor__config_copy(void *out, size_t known, const void *in, const char *operation);

/* EUNSUPPORTED for `operation`, with the backend's name and the reason. */
#define visor__unsupported(hv, operation, why) \
    (visor__record_unsupported((hv), (operation), (why)), visor__failure(VISOR_EUNSUPPORTED))
void visor__record_unsupported(const visor_hypervisor *hv, const char *operation, const char *why);

#endif
