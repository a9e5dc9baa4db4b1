/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest of a protected VM, without an operating system: it drives virtio-rng (virtio 1.2, 3.1.1,
 * 2.7 and 4.1.4) by the bounce buffer that the device tree tells of, and then by memory of its own,
 * which the device must not touch. What came of it stands on the serial port.
 */
#include <stdint.h>

#define SERIAL 0x01000000u /* see vmm/machine/dt_board.h */
#define ECAM   0x10000000u
#define DEVICE (ECAM + (1u << 15)) /* the first behind the host bridge */

#define FIRMWARE_MARK 0x76706d66 /* see firmware.S */

#define ACCESS_PLATFORM 2u /* bit 33 */
#define VERSION_1       1u /* bit 32 */

enum { DESC = 0, AVAIL = 0x1000, USED = 0x2000, DATA = 0x3000, SIZE = 4, BYTES = 64 };
enum { WRITE = 2 };

static void set8(uint64_t at, uint8_t value)
{
    *(volatile uint8_t *)at = value;
}
static void set16(uint64_t at, uint16_t value)
{
    *(volatile uint16_t *)at = value;
}
static void set32(uint64_t at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}
static void set64(uint64_t at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}
static uint8_t get8(uint64_t at)
{
    return *(volatile uint8_t *)at;
}
static uint16_t get16(uint64_t at)
{
    return *(volatile uint16_t *)at;
}
static uint32_t get32(uint64_t at)
{
    return *(volatile uint32_t *)at;
}

static void barrier(void)
{
    __asm__ volatile("dsb sy" ::: "memory");
}

static void say(const char *what, const char *result)
{
    for (; *what != 0; what++)
        set8(SERIAL, (uint8_t)*what);
    for (; *result != 0; result++)
        set8(SERIAL, (uint8_t)*result);
    set8(SERIAL, '\n');
}

/* Where the bounce buffer is, by the name of its node in the tree; 0: there is none. */
static uint64_t find_bounce_buffer(const uint8_t *tree, uint32_t size)
{
    static const char name[] = "restricted-dma-pool@";
    uint32_t length = sizeof(name) - 1;

    for (uint32_t at = 0; at + length < size; at++) {
        uint64_t address = 0;
        uint32_t same = 0;

        while (same < length && tree[at + same] == (uint8_t)name[same])
            same++;
        if (same < length)
            continue;
        for (const uint8_t *digit = tree + at + length; *digit != 0; digit++)
            address = address << 4 | (*digit <= '9' ? *digit - 0x30u : *digit - 0x57u);
        return address;
    }
    return 0;
}

static uint64_t bar;

/* Up to FEATURES_OK; whether the device agrees. */
static int negotiate(uint32_t high)
{
    set8(bar + 20, 0);
    set8(bar + 20, 1);
    set8(bar + 20, 3);
    set32(bar + 8, 0);
    set32(bar + 12, 0);
    set32(bar + 8, 1);
    set32(bar + 12, high);
    set8(bar + 20, 11);
    return (get8(bar + 20) & 8) != 0;
}

static int needs_reset(void)
{
    return (get8(bar + 20) & 64) != 0;
}

/* A queue at `queue` with one request, for BYTES at `data`. */
static void request(uint64_t queue, uint64_t data)
{
    set64(queue + DESC, data);
    set32(queue + DESC + 8, BYTES);
    set16(queue + DESC + 12, WRITE);
    set16(queue + DESC + 14, 0);
    set16(queue + AVAIL, 0);
    set16(queue + AVAIL + 4, 0);
    set16(queue + AVAIL + 2, 1);
    set16(queue + USED + 2, 0);
    barrier();
    set16(bar + 22, 0);
    set16(bar + 24, SIZE);
    set64(bar + 32, queue + DESC);
    set64(bar + 40, queue + AVAIL);
    set64(bar + 48, queue + USED);
    set16(bar + 28, 1);
    set8(bar + 20, 15);
    set16(bar + 0x3000, 0); /* notify */
}

/* Whether the request was served, with bytes that are not all zero. */
static const char *outcome(uint64_t queue, uint64_t data)
{
    uint8_t any = 0;

    for (uint32_t i = 0; i < 10000000; i++) {
        if (needs_reset())
            return "refused";
        if (get16(queue + USED + 2) != 1)
            continue;
        barrier();
        for (uint32_t byte = 0; byte < BYTES; byte++)
            any |= get8(data + byte);
        return get32(queue + USED + 8) == BYTES && any != 0 ? "served" : "served wrong";
    }
    return "no answer";
}

void guest(const uint8_t *tree, uint64_t mark);
void guest(const uint8_t *tree, uint64_t mark)
{
    uint32_t size = __builtin_bswap32(*(const volatile uint32_t *)(tree + 4));
    uint64_t bounce = find_bounce_buffer(tree, size);
    uint64_t own = ((uint64_t)(uintptr_t)&guest & ~0xfffffull) + 0x200000;

    say("firmware: ", mark == FIRMWARE_MARK ? "ran" : "did not run");
    say("bounce buffer: ", bounce != 0 ? "in the tree" : "none");
    bar = get32(DEVICE + 0x10) & ~0xfu;
    set16(DEVICE + 4, 6);
    if (get16(DEVICE) != 0x1af4 || bounce == 0 || bar == 0)
        return;
    say("without access_platform: ", negotiate(VERSION_1) ? "accepted" : "refused");
    say("with access_platform: ", negotiate(VERSION_1 | ACCESS_PLATFORM) ? "accepted" : "refused");
    request(bounce, bounce + DATA);
    say("all in the bounce buffer: ", outcome(bounce, bounce + DATA));
    negotiate(VERSION_1 | ACCESS_PLATFORM);
    request(bounce, own + DATA);
    say("a buffer in own memory: ", outcome(bounce, own + DATA));
    negotiate(VERSION_1 | ACCESS_PLATFORM);
    request(own, own + DATA);
    say("a queue in own memory: ", outcome(own, own + DATA));
}
