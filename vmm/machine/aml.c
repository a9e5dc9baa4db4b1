/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine/aml.h"

#include <string.h>

/* Opcodes: ACPI 6.4, 20.3. */
enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82,
};

void aml_bytes(struct aml *aml, const void *data, size_t length)
{
    if (length > aml->capacity - aml->size) {
        aml->overflow = true;
        return;
    }
    memcpy(aml->data + aml->size, data, length);
    aml->size += length;
}

void aml_number(struct aml *aml, uint64_t value, unsigned int width)
{
    uint8_t bytes[8];

    for (unsigned int i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    aml_bytes(aml, bytes, width);
}

/* A NameString (20.2.2): each segment is padded with underscores to four characters. */
static void name_string(struct aml *aml, const char *name)
{
    uint8_t segments = 1;

    if (*name == '\\')
        aml_bytes(aml, name++, 1);
    for (const char *c = name; *c != '\0'; c++)
        segments = (uint8_t)(segments + (*c == '.'));
    if (segments == 2) {
        aml_number(aml, OP_DUAL_NAME, 1);
    } else if (segments > 2) {
        aml_number(aml, OP_MULTI_NAME, 1);
        aml_number(aml, segments, 1);
    }
    while (*name != '\0') {
        size_t length = strcspn(name, ".");

        aml_bytes(aml, name, length);
        aml_bytes(aml, "____", 4 - length);
        name += length;
        name += *name == '.';
    }
}

/*
 * A PkgLength (20.2.4) stands before what it counts, and counts itself: it goes in last, in as few
 * bytes as it takes. `open` is where.
 */
static void insert_length(struct aml *aml, size_t open)
{
    size_t content, length;
    uint8_t bytes[4];
    unsigned int count = 1;

    if (aml->overflow)
        return;
    content = aml->size - open;
    while (content + count >= (count == 1 ? 1u << 6 : 1u << (8 * count - 4)))
        count++;
    if (count > 4 || count > aml->capacity - aml->size) {
        aml->overflow = true;
        return;
    }
    length = content + count;
    if (count == 1) {
        bytes[0] = (uint8_t)length;
    } else {
        bytes[0] = (uint8_t)((count - 1) << 6 | (length & 0xf));
        for (unsigned int i = 1; i < count; i++)
            bytes[i] = (uint8_t)(length >> (8 * i - 4));
    }
    memmove(aml->data + open + count, aml->data + open, content);
    memcpy(aml->data + open, bytes, count);
    aml->size += count;
}

size_t aml_open_scope(struct aml *aml, const char *name)
{
    size_t open;

    aml_number(aml, OP_SCOPE, 1);
    open = aml->size;
    name_string(aml, name);
    return open;
}

size_t aml_open_device(struct aml *aml, const char *name)
{
    size_t open;

    aml_number(aml, OP_EXT, 1);
    aml_number(aml, OP_EXT_DEVICE, 1);
    open = aml->size;
    name_string(aml, name);
    return open;
}

size_t aml_open_package(struct aml *aml, uint8_t count)
{
    size_t open;

    aml_number(aml, OP_PACKAGE, 1);
    open = aml->size;
    aml_number(aml, count, 1);
    return open;
}

void aml_close(struct aml *aml, size_t open)
{
    insert_length(aml, open);
}

/* ---- data ---- */

void aml_integer(struct aml *aml, uint64_t value)
{
    unsigned int width = value <= UINT8_MAX    ? 1
                         : value <= UINT16_MAX ? 2
                         : value <= UINT32_MAX ? 4
                                               : 8;

    if (value <= 1) {
        aml_number(aml, value, 1); /* ZeroOp, OneOp */
        return;
    }
    aml_number(aml,
               width == 1   ? OP_BYTE
               : width == 2 ? OP_WORD
               : width == 4 ? OP_DWORD
                            : OP_QWORD,
               1);
    aml_number(aml, value, width);
}

void aml_string(struct aml *aml, const char *text)
{
    aml_number(aml, OP_STRING, 1);
    aml_bytes(aml, text, strlen(text) + 1);
}

/* Three letters of 5 bits and four hexadecimal digits, in big-endian order (19.6.36). */
void aml_eisa(struct aml *aml, const char *id)
{
    uint32_t value = 0, swapped = 0;

    for (int i = 0; i < 3; i++)
        value = value << 5 | (uint32_t)(id[i] - '@');
    for (int i = 3; i < 7; i++)
        value = value << 4 | (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
    for (int i = 0; i < 4; i++)
        swapped |= ((value >> (8 * i)) & 0xff) << (24 - 8 * i);
    aml_integer(aml, swapped);
}

void aml_name(struct aml *aml, const char *name)
{
    aml_number(aml, OP_NAME, 1);
    name_string(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
    aml_name(aml, name);
    aml_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *text)
{
    aml_name(aml, name);
    aml_string(aml, text);
}

void aml_name_eisa(struct aml *aml, const char *name, const char *id)
{
    aml_name(aml, name);
    aml_eisa(aml, id);
}

/* ---- resources ---- */

/* Small descriptors (6.4.2): tag, with the length in its low three bits. */
#define SMALL_IRQ     0x22
#define SMALL_IO      0x47
#define SMALL_END_TAG 0x79
/* Large descriptors (6.4.3): tag, 16-bit length. */
#define LARGE_MEMORY32_FIXED 0x86
#define LARGE_DWORD_SPACE    0x87
#define LARGE_WORD_SPACE     0x88
/* Of an address space descriptor (6.4.3.5): both ends fixed, decoded positively, by a producer. */
#define SPACE_MEMORY    0
#define SPACE_IO        1
#define SPACE_BUS       2
#define SPACE_FIXED     0x0c
#define SPACE_IO_ENTIRE 0x03 /* ISA and non-ISA ranges */
#define SPACE_MEMORY_RW 0x01 /* read/write, not cacheable */

/*
 * A buffer's length (as an integer term) stands before its bytes like a PkgLength, but its width is
 * chosen by us: two bytes, filled in at the end.
 */
size_t aml_open_resources(struct aml *aml, const char *name)
{
    size_t open;

    aml_name(aml, name);
    aml_number(aml, OP_BUFFER, 1);
    open = aml->size;
    aml_number(aml, OP_WORD, 1);
    aml_number(aml, 0, 2);
    return open;
}

void aml_close_resources(struct aml *aml, size_t open)
{
    size_t length;

    aml_number(aml, SMALL_END_TAG, 1);
    aml_number(aml, 0, 1); /* checksum: 0 means "do not check" (6.4.2.9) */
    if (aml->overflow)
        return;
    length = aml->size - (open + 3);
    aml->data[open + 1] = (uint8_t)length;
    aml->data[open + 2] = (uint8_t)(length >> 8);
    insert_length(aml, open);
}

void aml_io(struct aml *aml, uint16_t port, uint8_t length)
{
    aml_number(aml, SMALL_IO, 1);
    aml_number(aml, 1, 1); /* decodes 16 bits */
    aml_number(aml, port, 2);
    aml_number(aml, port, 2);
    aml_number(aml, 1, 1); /* alignment */
    aml_number(aml, length, 1);
}

void aml_irq(struct aml *aml, uint8_t line)
{
    aml_number(aml, SMALL_IRQ, 1);
    aml_number(aml, 1u << line, 2);
}

void aml_memory(struct aml *aml, uint32_t gpa, uint32_t length)
{
    aml_number(aml, LARGE_MEMORY32_FIXED, 1);
    aml_number(aml, 9, 2);
    aml_number(aml, 1, 1); /* read/write */
    aml_number(aml, gpa, 4);
    aml_number(aml, length, 4);
}

static void space(struct aml *aml, uint8_t type, uint8_t flags, uint32_t first, uint32_t last,
                  unsigned int width)
{
    aml_number(aml, width == 2 ? LARGE_WORD_SPACE : LARGE_DWORD_SPACE, 1);
    aml_number(aml, 3 + 5 * width, 2);
    aml_number(aml, type, 1);
    aml_number(aml, SPACE_FIXED, 1);
    aml_number(aml, flags, 1);
    aml_number(aml, 0, width); /* granularity */
    aml_number(aml, first, width);
    aml_number(aml, last, width);
    aml_number(aml, 0, width); /* translation */
    aml_number(aml, (uint64_t)last - first + 1, width);
}

void aml_bus_range(struct aml *aml, uint16_t first, uint16_t last)
{
    space(aml, SPACE_BUS, 0, first, last, 2);
}

void aml_port_range(struct aml *aml, uint16_t first, uint16_t last)
{
    space(aml, SPACE_IO, SPACE_IO_ENTIRE, first, last, 2);
}

void aml_memory_range(struct aml *aml, uint32_t first, uint32_t last)
{
    space(aml, SPACE_MEMORY, SPACE_MEMORY_RW, first, last, 4);
}
