/* SPDX-License-Identifier: BSD-3-Clause */
/* The last error of each thread. */
#include <stdio.h>
#include <string.h>

#include "core/backend.h"

/* Per thread, so that no lock is needed and no other thread can change what a caller reads. */
static _Thread_local struct {
    visor_error error;
    char detail[512];
    char hint[512];
} last = {.error = {.backend = "", .operation = "", .detail = "", .hint = ""}};

const visor_error *visor_error_last(void)
{
    return &last.error;
}

static void record(int code, const char *backend, const char *operation, visor_native domain,
                   int64_t native, const char *format, va_list args)
{
    vsnprintf(last.detail, sizeof(last.detail), format, args);
    last.hint[0] = '\0';
    last.error = (visor_error){
        .code = code,
        .domain = domain,
        .native = native,
        .backend = backend,
        .operation = operation,
        .detail = last.detail,
        .hint = last.hint,
    };
}

void visor__error_record(int code, const char *backend, const char *operation, const char *detail,
                         ...)
{
    va_list args;

    va_start(args, detail);
    record(code, backend, operation, VISOR_NATIVE_NONE, 0, detail, args);
    va_end(args);
}

void visor__error_record_native(int code, const char *backend, const char *operation,
                                visor_native domain, int64_t native, const char *detail, ...)
{
    va_list args;

    va_start(args, detail);
    record(code, backend, operation, domain, native, detail, args);
    va_end(args);
}

int visor__error_context(const char *where, ...)
{
    char detail[sizeof(last.detail)];
    va_list args;
    int length;

    memcpy(detail, last.detail, sizeof(detail));
    va_start(args, where);
    length = vsnprintf(last.detail, sizeof(last.detail), where, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(last.detail))
        snprintf(last.detail + length, sizeof(last.detail) - (size_t)length, "%s%s",
                 detail[0] != '\0' ? ": " : "", detail);
    return last.error.code;
}

int visor__error_hint(const char *hint, ...)
{
    va_list args;

    va_start(args, hint);
    vsnprintf(last.hint, sizeof(last.hint), hint, args);
    va_end(args);
    return last.error.code;
}

const char *visor_error_name(int code)
{
    if (code >= 0)
        return "ok";
    switch (code) {
#define NAME_CASE(name, value, text) \
    case value: return #name;
        VISOR_ERRORS(NAME_CASE)
#undef NAME_CASE
    default: return "unknown";
    }
}

const char *visor_error_text(int code)
{
    if (code >= 0)
        return "ok";
    switch (code) {
#define TEXT_CASE(name, value, text) \
    case value: return text;
        VISOR_ERRORS(TEXT_CASE)
#undef TEXT_CASE
    default: return "unknown error";
    }
}

/* The native code in words: ": Permission denied (errno 13)". */
static void format_native(char *out, size_t capacity)
{
    const visor_error *error = &last.error;
    char text[128];

    out[0] = '\0';
    if (error->domain == VISOR_NATIVE_ERRNO)
        snprintf(out, capacity, ": %s (errno %lld)",
                 visor__os_errno_text(text, sizeof(text), (int)error->native),
                 (long long)error->native);
    else if (error->domain != VISOR_NATIVE_NONE)
        snprintf(out, capacity, " (code 0x%08llx)", (unsigned long long)error->native & 0xffffffff);
}

int visor_error_format(char *out, size_t capacity)
{
    const visor_error *error = &last.error;
    char native[192];

    format_native(native, sizeof(native));
    return snprintf(out, capacity, "%s%s%s%s%s%s%s%s%s%s%s", error->backend,
                    error->backend[0] != '\0' ? ": " : "", error->operation,
                    error->operation[0] != '\0' ? ": " : "", visor_error_text(error->code),
                    error->detail[0] != '\0' ? ": " : "", error->detail, native,
                    error->hint[0] != '\0' ? " (" : "", error->hint,
                    error->hint[0] != '\0' ? ")" : "");
}

int visor__config_copy(void *out, size_t known, const void *in, const char *operation)
{
    uint32_t size;

    memset(out, 0, known);
    if (in == NULL) {
        size = (uint32_t)known;
        memcpy(out, &size, sizeof(size));
        return 0;
    }
    memcpy(&size, in, sizeof(size));
    if (size < sizeof(size))
        return visor__error(VISOR_EINVAL, "", operation,
                            "the configuration's size member is %u: use the _INIT macro", size);
    for (size_t i = known; i < size; i++) {
        if (((const uint8_t *)in)[i] != 0)
            return visor__error(VISOR_EINVAL, "", operation,
                                "byte %zu of the configuration is set, but this library (%s) "
                                "knows only %zu bytes of it",
                                i, visor_version(), known);
    }
    memcpy(out, in, size < known ? size : known);
    return 0;
}

void visor__record_unsupported(const visor_hypervisor *hv, const char *operation, const char *why)
{
    visor__error_record(VISOR_EUNSUPPORTED, hv->backend->name, operation, "%s", why);
}
