/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors: a small stable set of codes, and for the last one on this thread everything that helps
 * to mend it.
 */
#ifndef VISOR_ERROR_H
#define VISOR_ERROR_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

/*
 * The one table of codes: X(name, value, text). Values are part of the ABI.
 * The first five after EINVAL/ENOMEM are the five answers to "why can I not use this here?".
 */
#define VISOR_ERRORS(X)                                                                            \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of host memory")                                                            \
    X(EABSENT, -3, "not present on this machine")                                                  \
    X(EACCESS, -4, "no permission")                                                                \
    X(EDISABLED, -5, "present but switched off")                                                   \
    X(EBROKEN, -6, "present but not working")                                                      \
    X(EUNSUPPORTED, -7, "not supported here")                                                      \
    X(ENOENT, -8, "no such thing")                                                                 \
    X(EEXIST, -9, "already exists")                                                                \
    X(EOVERLAP, -10, "overlaps guest memory")                                                      \
    X(EOVERFLOW, -11, "address range overflows")                                                   \
    X(ERANGE, -12, "outside the valid range")                                                      \
    X(EALIGN, -13, "not aligned")                                                                  \
    X(ELIMIT, -14, "a limit is reached")                                                           \
    X(EBUSY, -15, "in use")                                                                        \
    X(EAGAIN, -16, "not ready, try again")                                                         \
    X(ESTATE, -17, "not allowed in this state")                                                    \
    X(EREFUSED, -18, "refused by the hypervisor")                                                  \
    X(EFORMAT, -19, "malformed or corrupt data")                                                   \
    X(EMISMATCH, -20, "does not match this VM")                                                    \
    X(ESYSTEM, -21, "the operating system reported an error")

enum visor_error_code {
#define VISOR_ERROR_ENUM_(name, value, text) VISOR_##name = (value),
    VISOR_ERRORS(VISOR_ERROR_ENUM_)
#undef VISOR_ERROR_ENUM_
};

/* Which numbering `native` of visor_error belongs to. */
typedef enum visor_native {
    VISOR_NATIVE_NONE = 0,
    VISOR_NATIVE_ERRNO = 1,
    VISOR_NATIVE_HRESULT = 2,
    VISOR_NATIVE_WIN32 = 3,
} visor_native;

/* The details of an error. All strings are set (perhaps empty), never NULL. */
typedef struct visor_error {
    int code;              /* VISOR_E..., 0 if no error has happened on this thread */
    visor_native domain;   /* of native */
    int64_t native;        /* errno, HRESULT or GetLastError() value; 0 if there is none */
    const char *backend;   /* "kvm", ..., or "" */
    const char *operation; /* what failed, in the system's own words: "KVM_SET_SREGS" */
    const char *detail;    /* what was wrong, with the values concerned */
    const char *hint;      /* what to do about it: "add yourself to group kvm", or "" */
} visor_error;

/*
 * The last error on this thread. The structure and its strings belong to the library and stay
 * valid until the next failing call on the same thread.
 */
VISOR_API const visor_error *visor_error_last(void);

/* "EINVAL", ...; "ok" for any code >= 0, "unknown" for one that is not in the table. */
VISOR_API const char *visor_error_name(int code);

/* The text of the table for a code, same special cases. */
VISOR_API const char *visor_error_text(int code);

/*
 * One line about the last error of this thread, fit for a person: operation, text, detail, native
 * code and hint. Writes at most capacity bytes with a final NUL and returns the length that the
 * whole line has, like snprintf().
 */
VISOR_API int visor_error_format(char *out, size_t capacity);

VISOR_END_DECLS

#endif
