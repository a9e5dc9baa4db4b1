/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases in text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* ---- everything that has a name ---- */

struct field {
    char name[8];
    struct {
        uint8_t *at;
        unsigned size; /* bytes; 0: there is no such part */
    } part[2];         /* the higher one first */
};

static bool is_in(unsigned *index, unsigned count)
{
    if (*index < count)
        return true;
    *index -= count;
    return false;
}

static void one(struct field *out, const char *name, void *at, unsigned size)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "%s", name);
    out->part[0].at = at;
    out->part[0].size = size;
}

/* The parts of a register of 10 or 16 bytes. */
static void two(struct field *out, const char *name, unsigned number, uint8_t *at, unsigned size)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "%s%u", name, number % 16);
    out->part[0].at = at + 8;
    out->part[0].size = size - 8;
    out->part[1].at = at;
    out->part[1].size = 8;
}

/* False: there are no more. */
static bool field(struct field *out, struct silicon_state *s, unsigned index)
{
    static const char registers[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    char name[8];

    if (is_in(&index, 16)) {
        one(out, registers[index], &s->r[index], 8);
    } else if (is_in(&index, 8)) {
        two(out, "st", index, s->image + SILICON_IMAGE_ST + 16 * index, 10);
    } else if (is_in(&index, 16)) {
        two(out, "xmm", index, s->image + SILICON_IMAGE_XMM + 16 * index, 16);
    } else if (is_in(&index, 16)) {
        two(out, "ymm", index, s->image + SILICON_IMAGE_YMM + 16 * index, 16);
    } else if (is_in(&index, SILICON_PAGE / 8)) {
        snprintf(name, sizeof(name), "m%03x", (8 * index) & 0xfff);
        one(out, name, s->data + 8 * (size_t)index, 8);
    } else {
        switch (index) {
        case 0: one(out, "flags", &s->flags, 8); break;
        case 1: one(out, "fcw", s->image + SILICON_IMAGE_FCW, 2); break;
        case 2: one(out, "fsw", s->image + SILICON_IMAGE_FSW, 2); break;
        case 3: one(out, "ftw", s->image + SILICON_IMAGE_FTW, 1); break;
        case 4: one(out, "mxcsr", s->image + SILICON_IMAGE_MXCR, 4); break;
        case 5: one(out, "vector", &s->vector, 4); break;
        case 6: one(out, "error", &s->error, 4); break;
        case 7: one(out, "cr2", &s->address, 8); break;
        case 8: one(out, "rip", &s->rip, 8); break;
        default: return false;
        }
    }
    return true;
}

static bool equal(const struct field *a, const struct field *b)
{
    return memcmp(a->part[0].at, b->part[0].at, a->part[0].size) == 0 &&
           (a->part[1].size == 0 || memcmp(a->part[1].at, b->part[1].at, a->part[1].size) == 0);
}

static void print(const struct field *f)
{
    printf("%s=%" PRIx64, f->name, silicon_get(f->part[0].at, f->part[0].size));
    if (f->part[1].size != 0)
        printf(":%" PRIx64, silicon_get(f->part[1].at, f->part[1].size));
}

/* ---- reading ---- */

void silicon_plain(struct silicon_state *out)
{
    memset(out, 0, sizeof(*out));
    out->flags = 0x202;
    silicon_put(out->image + SILICON_IMAGE_FCW, 0x37f, 2);
    silicon_put(out->image + SILICON_IMAGE_MXCR, 0x1f80, 4);
    silicon_put(out->image + SILICON_IMAGE_MXCR + 4, 0xffff, 4);
    silicon_put(out->image + SILICON_IMAGE_BV, 7, 8);
    out->rip = SILICON_START;
    out->vector = SILICON_NONE;
}

static bool read_field(struct silicon_state *s, const char *name, size_t length, const char **value)
{
    struct field f;
    char *end;

    for (unsigned i = 0; field(&f, s, i); i++) {
        if (strlen(f.name) != length || memcmp(f.name, name, length) != 0)
            continue;
        silicon_put(f.part[0].at, strtoull(*value, &end, 16), f.part[0].size);
        if (f.part[1].size != 0) {
            if (*end != ':')
                return false;
            silicon_put(f.part[1].at, strtoull(end + 1, &end, 16), f.part[1].size);
        }
        *value = end;
        return *end == ' ' || *end == '\0';
    }
    return false;
}

static bool read_state(struct silicon_state *s, const char *text)
{
    while (*text != '\0') {
        const size_t length = strcspn(text, "=");
        const char *name = text;

        if (text[length] == '\0')
            return false;
        text += length + 1;
        if (!read_field(s, name, length, &text))
            return false;
        text += strspn(text, " ");
    }
    return true;
}

/* Where an instruction ends that does nothing. */
static void nothing_done(struct silicon_state *out, unsigned length, const struct silicon_state *in,
                         bool fault)
{
    *out = *in;
    out->rip = SILICON_START + (fault ? 0 : length);
}

bool silicon_known_read(uint8_t code[SILICON_CODE_MAX], unsigned *length, struct silicon_state *in,
                        struct silicon_state *out, const struct silicon_known *known)
{
    const size_t digits = strlen(known->code);

    if (digits % 2 != 0 || digits / 2 > SILICON_CODE_MAX)
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        const char byte[3] = {known->code[2 * i], known->code[2 * i + 1], '\0'};

        code[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
    *length = (unsigned)(digits / 2);
    silicon_plain(in);
    if (!read_state(in, known->in))
        return false;
    nothing_done(out, *length, in, strstr(known->out, "vector=") != NULL);
    return read_state(out, known->out);
}

/* ---- printing ---- */

static void print_differences(struct silicon_state *is, struct silicon_state *from)
{
    const char *space = "";
    struct field a, b;

    for (unsigned i = 0; field(&a, is, i); i++) {
        field(&b, from, i);
        if (equal(&a, &b))
            continue;
        printf("%s", space);
        print(&a);
        space = " ";
    }
}

void silicon_known_print(const uint8_t *code, unsigned length, const struct silicon_state *in,
                         const struct silicon_state *out)
{
    static struct silicon_state is, from;

    printf("    {\"\", \"");
    for (unsigned i = 0; i < length; i++)
        printf("%02x", code[i]);
    printf("\",\n     \"");
    is = *in;
    silicon_plain(&from);
    print_differences(&is, &from);
    printf("\",\n     \"");
    is = *out;
    nothing_done(&from, length, in, out->vector != SILICON_NONE);
    print_differences(&is, &from);
    printf("\"},\n");
}

bool silicon_known_same(const struct silicon_state *is, const struct silicon_state *should_be)
{
    static struct silicon_state x, y;
    struct field a, b;
    bool same = true;

    x = *is;
    y = *should_be;
    for (unsigned i = 0; field(&a, &x, i); i++) {
        field(&b, &y, i);
        if (equal(&a, &b))
            continue;
        printf("# is ");
        print(&a);
        printf(", should be ");
        print(&b);
        printf("\n");
        same = false;
    }
    return same;
}
