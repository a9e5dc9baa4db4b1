/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the CPU of a user program has before and after a few instructions, the guest of a backend
 * that executes them, and cases in text.
 *
 *   guest.c       executes a case in a guest, through the public API
 *   known.c       cases in text: reads and prints them
 *   known_rows.c  cases that were once wrong, with what is right
 *   known_test.c  a unit test: the rows on the software CPU
 *
 * silicon.h has the rest, which makes cases at random and executes them on this machine's
 * processor too.
 */
#ifndef VISOR_TESTS_SILICON_STATE_H
#define VISOR_TESTS_SILICON_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One page of code and one of data are at these addresses, and nothing else below 4 GiB. */
#define SILICON_CODE   UINT64_C(0x10000000)
#define SILICON_DATA   UINT64_C(0x10100000)
#define SILICON_PAGE   0x1000u
#define SILICON_MIDDLE 0x800u /* of the data: random from 512 bytes before to 512 behind it */
/* Where the first instruction is, so that there is room to jump back. */
#define SILICON_START (SILICON_CODE + 0x800)
#define SILICON_GS    UINT64_C(0x10080000) /* base of GS; FS's is silicon_fs_base */

/* An image as XSAVE has it in the standard form: x87, SSE, AVX (SDM vol. 1, 13.4). */
#define SILICON_IMAGE      832u
#define SILICON_IMAGE_FCW  0u
#define SILICON_IMAGE_FSW  2u
#define SILICON_IMAGE_FTW  4u
#define SILICON_IMAGE_FOP  6u
#define SILICON_IMAGE_FIP  8u
#define SILICON_IMAGE_FDP  16u
#define SILICON_IMAGE_MXCR 24u
#define SILICON_IMAGE_ST   32u
#define SILICON_IMAGE_XMM  160u
#define SILICON_IMAGE_BV   512u
#define SILICON_IMAGE_YMM  576u

enum { SILICON_NONE = -1, SILICON_NEVER = -2 };

struct silicon_state {
    uint64_t r[16];
    uint64_t flags, rip;
    int vector; /* of the fault; SILICON_NONE: the instructions are complete */
    uint32_t error;
    uint64_t address; /* of a page fault */
    uint8_t image[SILICON_IMAGE] __attribute__((aligned(64)));
    uint8_t data[SILICON_PAGE] __attribute__((aligned(64)));
};

static inline void silicon_put(uint8_t *at, uint64_t value, size_t size)
{
    __builtin_memcpy(at, &value, size);
}

static inline uint64_t silicon_get(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    __builtin_memcpy(&value, at, size);
    return value;
}

/* ---- guest.c ---- */

extern uint64_t silicon_fs_base;
/* Both return an error's text, or NULL. */
const char *silicon_guest_open(const char *hypervisor);
const char *silicon_guest_run(struct silicon_state *out, const uint8_t *code, unsigned length,
                              const struct silicon_state *in);
void silicon_guest_close(void);

/* ---- known.c, known_rows.c ---- */

/*
 * A case in text. code: bytes in hexadecimal. in and out: NAME=VALUE and so on, in hexadecimal, of
 * what is not as in silicon_plain(), and of what is another thing afterwards: RAX to R15, flags,
 * fcw, fsw, ftw (the abridged form), mxcsr, st0 to st7 (exponent:significand), xmm0 to xmm15,
 * ymm0 to ymm15 (the upper halves; both high:low), m000 to mff8 (8 bytes of the data); vector,
 * error, cr2 and rip of a fault.
 */
struct silicon_known {
    const char *what, *code, *in, *out;
};
extern const struct silicon_known silicon_known_rows[];
extern const unsigned silicon_known_count;

#define SILICON_CODE_MAX 64u

/* As after a reset, everything zero. */
void silicon_plain(struct silicon_state *out);
/* False: it is none. */
bool silicon_known_read(uint8_t code[SILICON_CODE_MAX], unsigned *length, struct silicon_state *in,
                        struct silicon_state *out, const struct silicon_known *known);
void silicon_known_print(const uint8_t *code, unsigned length, const struct silicon_state *in,
                         const struct silicon_state *out);
/* Prints what differs from what should be; false: something does. */
bool silicon_known_same(const struct silicon_state *is, const struct silicon_state *should_be);

#endif
