/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of a double: a line for each call, whole, in the order in which calls end. */
#include "double.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int log_fd = -1;
static __thread char line[1024];
static __thread size_t length;

static void open_log(void)
{
    const char *path = getenv("VISOR_DOUBLE_LOG");

    if (path != NULL)
        log_fd = log_open(path);
}

static bool is_on(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, open_log);
    return log_fd >= 0;
}

static void add_list(const char *format, va_list list)
{
    int size = vsnprintf(line + length, sizeof(line) - length - 1, format, list);

    length += size > 0 ? (size_t)size : 0;
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
}

__attribute__((format(VISOR_PRINTF, 1, 2))) static void add(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    add_list(format, list);
    va_end(list);
}

static void end_line(void)
{
    line[length++] = '\n';
    if (write(log_fd, line, (unsigned)length) < 0)
        log_fd = -1;
    length = 0;
}

/* One member of a layout, "name:bytes" or "name:bytes*"; returns what follows. */
static const char *add_member(const char *layout, const unsigned char **from)
{
    int name = (int)strcspn(layout, ":");
    char *end;
    size_t size = strtoul(layout + name + 1, &end, 10);
    uint64_t value = 0;

    if (size <= sizeof(value)) {
        memcpy(&value, *from, size);
    } else { /* padding: zero, or not */
        for (size_t i = 0; i < size; i++)
            value |= (*from)[i];
    }
    *from += size;
    if (*end == '*')
        add(" %.*s=*", name, layout);
    else
        add(" %.*s=0x%" PRIx64, name, layout, value);
    return end + strspn(end, "* ");
}

static void add_layout(const char *layout, uint64_t arg, size_t size)
{
    unsigned char bytes[256];
    const unsigned char *from = bytes;

    if (size > sizeof(bytes) || copy_from_user(bytes, arg, size) < 0) {
        add(" (not readable)");
        return;
    }
    while (*layout != '\0')
        layout = add_member(layout, &from);
}

static size_t layout_size(const char *layout)
{
    size_t size = 0;

    for (; (layout = strchr(layout, ':')) != NULL; layout++)
        size += strtoul(layout + 1, NULL, 10);
    return size;
}

void log_request(const struct object *object, unsigned number, uint64_t arg)
{
    const struct request *request = object->ops->requests;

    if (!is_on())
        return;
    length = 0;
    while (request->name != NULL && request->number != number)
        request++;
    if (request->name == NULL)
        add("%s 0x%08x", object->ops->name, number);
    else if (request->layout == NULL)
        add("%s %s 0x%" PRIx64, object->ops->name, request->name, arg);
    else {
        add("%s %s", object->ops->name, request->name);
        add_layout(request->layout, arg, layout_size(request->layout));
    }
}

void log_note(const char *format, ...)
{
    bool is_line = length == 0;
    va_list list;

    if (!is_on())
        return;
    if (!is_line)
        add(" ");
    va_start(list, format);
    add_list(format, list);
    va_end(list);
    if (is_line)
        end_line();
}

void log_result(long result, bool is_fd)
{
    if (!is_on())
        return;
    if (result < 0)
        add(" = %s", result == -DOUBLE_RESTART ? "ERESTARTSYS" : log_error_name((int)-result));
    else if (is_fd)
        add(" = fd");
    else
        add(" = %ld", result);
    end_line();
}

void double_die(const char *format, ...)
{
    va_list list;

    fputs("double: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    abort();
}
