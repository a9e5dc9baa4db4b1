/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream in memory. */
#ifndef VISOR_TESTS_BUFFER_H
#define VISOR_TESTS_BUFFER_H

#include <stdlib.h>
#include <string.h>

#include <visor.h>

struct buffer {
    uint8_t *data;
    size_t length;   /* bytes written, or there to be read */
    size_t position; /* of the next read */
    size_t limit;    /* writing past it fails; 0: no limit */
};

static inline int buffer_write(void *context, const void *data, size_t length)
{
    struct buffer *buffer = context;
    uint8_t *grown;

    if (buffer->limit != 0 && length > buffer->limit - buffer->length)
        return VISOR_ESYSTEM;
    grown = realloc(buffer->data, buffer->length + length + 1);
    if (grown == NULL)
        return VISOR_ENOMEM;
    buffer->data = grown;
    memcpy(grown + buffer->length, data, length);
    buffer->length += length;
    return 0;
}

static inline int buffer_read(void *context, void *data, size_t length)
{
    struct buffer *buffer = context;

    if (length > buffer->length - buffer->position)
        return VISOR_EFORMAT;
    if (length > 0)
        memcpy(data, buffer->data + buffer->position, length);
    buffer->position += length;
    return 0;
}

/* Writes at the end, reads from the beginning. */
static inline visor_stream buffer_stream(struct buffer *buffer)
{
    buffer->position = 0;
    return (visor_stream){.context = buffer, .write = buffer_write, .read = buffer_read};
}

static inline void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

#endif
