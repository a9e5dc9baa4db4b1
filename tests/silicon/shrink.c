/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes a case that differs small: instructions, registers, flags and memory that do not matter go.
 * What is left is printed as a row of known_rows.c.
 */
#include <stdio.h>
#include <string.h>

#include "silicon.h"

unsigned silicon_unsteady;

const char *silicon_try(const struct silicon_case *c, struct silicon_state *here,
                        struct silicon_state *there)
{
    const char *what = silicon_guest_run(there, c->code, c->length, &c->in);

    if (what != NULL)
        return what;
    silicon_native_run(here, c);
    what = silicon_compare(c, here, there);
    /* A hypervisor under this machine may now and then raise a fault of its own, or have a hand in
     * one, or an interrupt may lose a flag (NT): what counts is what the processor does again. */
    for (unsigned i = 0; i < 2 && what != NULL; i++) {
        silicon_native_run(here, c);
        what = silicon_compare(c, here, there);
        silicon_unsteady += what == NULL;
    }
    return what;
}

static bool differs(struct silicon_case *c)
{
    static struct silicon_state here, there;

    return silicon_decode(c) && silicon_is_safe(c, 0) && !silicon_is_vendors(c) &&
           silicon_try(c, &here, &there) != NULL;
}

static bool drop(struct silicon_case *c, unsigned number)
{
    struct silicon_case other = *c;
    unsigned at = c->start[number], length = c->insn[number].length;

    memmove(other.code + at, other.code + at + length, other.length - at - length);
    other.length -= length;
    if (!differs(&other))
        return false;
    *c = other;
    return true;
}

static void reset(struct silicon_case *c, void *member, const void *plain, size_t size)
{
    uint8_t old[64];

    if (memcmp(member, plain, size) == 0)
        return;
    memcpy(old, member, size);
    memcpy(member, plain, size);
    if (!differs(c))
        memcpy(member, old, size);
}

void silicon_shrink(struct silicon_case *c)
{
    static struct silicon_state plain;
    struct silicon_state *in = &c->in;

    silicon_plain(&plain);
    for (unsigned i = c->count; i-- > 0 && c->count > 1;)
        drop(c, i < c->count ? i : c->count - 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 16; i++)
            reset(c, &in->r[i], &plain.r[i], 8);
        for (unsigned bit = 0; bit < 22; bit++) {
            uint64_t flags = (in->flags & ~(UINT64_C(1) << bit)) | 0x202;

            reset(c, &in->flags, &flags, 8);
        }
        for (unsigned i = 0; i < SILICON_PAGE; i += 8)
            reset(c, in->data + i, plain.data + i, 8);
        for (unsigned i = 0; i < SILICON_IMAGE; i += i < 32 ? 2 : 8)
            reset(c, in->image + i, plain.image + i, i < 32 ? 2 : 8);
    }
    silicon_decode(c);
}

/* What is undefined is taken from soft, so that the row passes once the rest is right. */
void silicon_print(const struct silicon_case *c, const struct silicon_state *here,
                   const struct silicon_state *there)
{
    static struct silicon_state out;
    uint64_t status = silicon_get(here->image + SILICON_IMAGE_FSW, 2), undefined = 0;

    for (unsigned i = 0; i < c->count; i++)
        undefined |= silicon_undefined_status(c->insn[i].id, status, silicon_is_nan(here));
    out = *here;
    out.flags = (here->flags & ~(uint64_t)c->undefined) | (there->flags & c->undefined);
    status &= ~undefined;
    status |= silicon_get(there->image + SILICON_IMAGE_FSW, 2) & undefined;
    silicon_put(out.image + SILICON_IMAGE_FSW, status, 2);
    silicon_known_print(c->code, c->length, &c->in, &out);
}

unsigned silicon_known_here(unsigned *differ)
{
    static struct silicon_case c;
    static struct silicon_state here, there, out;

    *differ = 0;
    for (unsigned i = 0; i < silicon_known_count; i++) {
        const struct silicon_known *known = &silicon_known_rows[i];
        const char *what = "this is no case";

        if (silicon_known_read(c.code, &c.length, &c.in, &out, known) && silicon_decode(&c))
            what = silicon_try(&c, &here, &there);
        if (what == NULL)
            continue;
        (*differ)++;
        printf("# known case %u, %s: %s\n", i + 1, known->what, what);
    }
    return silicon_known_count;
}
