/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doubles of drivers that no machine here has. A shared object, loaded before libc (LD_PRELOAD),
 * stands behind their device nodes: it answers open, ioctl and close of their descriptors as the
 * drivers do. One is for Geniezone, Gunyah and Halla, and runs the guests with the KVM of the
 * machine; another for HAXM (haxm.h), with the software CPU. Programs above it are unmodified. The
 * drivers' rules are written down from the drivers; what the hypervisor behind them does where the
 * drivers do not tell is decided in favour of strictness, each time with a comment.
 *
 * Environment:
 *   VISOR_DOUBLE_LOG=FILE    appends a line for each call: object, request, argument, result
 *   VISOR_DOUBLE_KERNEL=V    6.1, 6.6 or 6.12 (default): whose driver (Android's)
 *   VISOR_DOUBLE_EINTR=N     each Nth run is met by a signal at the worst moment (Android's)
 *
 * A function of the kernel's returns a negative errno here too. What would crash the kernel,
 * corrupt the guest or is undefined ends the process with a message (double_die).
 */
#ifndef VISOR_TESTS_DOUBLE_H
#define VISOR_TESTS_DOUBLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel's ERESTARTSYS: EINTR, unless each handler has SA_RESTART. */
#define DOUBLE_RESTART 512

struct object;

/* A request, for the log: "name:bytes" of each member, with a * behind what differs from run to run
 * (addresses of the host, descriptors). NULL: the argument is a value. */
struct request {
    unsigned number;
    const char *name;
    const char *layout;
};

struct object_ops {
    const char *name;
    const struct request *requests; /* ends with a name of NULL */
    /* Signals are blocked: as in the kernel, no handler runs before the return. */
    long (*ioctl)(struct object *object, unsigned request, uint64_t arg);
    /* The descriptor is closed; may be NULL. */
    void (*close)(struct object *object);
    /* The last reference is gone. */
    void (*release)(struct object *object);
};

struct object {
    const struct object_ops *ops;
    int references; /* under the lock of the table */
};

/* A node and what opening it gives. */
struct node {
    const char *path;
    const struct object_ops *ops;
};

extern const struct node double_geniezone, double_gunyah, double_halla;

/* What opening a path gives: an object with a reference, or a negative errno; -ENOTTY: it is no
 * node of this double's. android.c, haxm.c */
long double_open(struct object **out, const char *path);

/* files.c */
/* A new descriptor of object, of which it takes over the only reference, or an error and nothing
 * taken. placeholder: the descriptor itself, or a negative errno; see anonymous_fd. */
int object_install(struct object *object, int placeholder);
int anonymous_fd(void);
void object_init(struct object *object, const struct object_ops *ops);
void object_get(struct object *object);
void object_put(struct object *object);

/* 0 or -EFAULT. */
int copy_from_user(void *to, uint64_t from, size_t size);
int copy_to_user(uint64_t to, const void *from, size_t size);

/* Is there a signal that the caller does not block? */
bool signal_pending(void);
/* The caller's signal mask. */
const void *caller_mask(void);

enum double_kernel { KERNEL_6_1 = 601, KERNEL_6_6 = 606, KERNEL_6_12 = 612 };
enum double_kernel double_kernel(void);
/* Is this run to be met by a signal? */
bool double_interrupts(void);

/* For log.c: a file to append to, < 0: none; the name of an errno. */
int log_open(const char *path);
const char *log_error_name(int number);

/* log.c */
void log_request(const struct object *object, unsigned request, uint64_t arg);
/* More for the line of this call, or a line of its own outside of calls. */
void log_note(const char *format, ...) __attribute__((format(VISOR_PRINTF, 1, 2)));
void log_result(long result, bool is_fd);
void double_die(const char *format, ...) __attribute__((format(VISOR_PRINTF, 1, 2), noreturn));

#endif
