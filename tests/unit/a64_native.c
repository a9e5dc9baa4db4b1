/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Executes single A64 instructions for assist_native_test.c, on an A64 processor or under QEMU's
 * user mode emulation: writes the length of a block of DC ZVA, then reads a number and as many
 * cases, and writes the cases back with the state after their instruction, until its input ends.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "a64_case.h"

/* LDR X30, .+16 and B, of the page of code. */
#define LDR_X30_PC_16 0x5800009eu
#define B             0x14000000u

/* a64_execute.S */
void execute(void);
void execute_end(void);

static struct a64_case cases[A64_CASE_BATCH];

/* A transfer of exactly this many bytes. */
static bool transfer(bool is_write, void *data, size_t length)
{
    char *at = data;

    while (length > 0) {
        ssize_t done = is_write ? write(1, at, length) : read(0, at, length);

        if (done <= 0)
            return false;
        at += done;
        length -= (size_t)done;
    }
    return true;
}

static bool map(uintptr_t address, size_t length, int protection)
{
    return mmap((void *)address, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == (void *)address;
}

static void run(struct a64_case *one)
{
    uint32_t *code = (uint32_t *)A64_CASE_PAGE;
    struct a64_case *state = (struct a64_case *)A64_CASE_STATE;
    const int64_t distance = (int64_t)(uintptr_t)execute_end - (A64_CASE_PAGE + 8);

    *state = *one;
    memcpy((void *)A64_CASE_MEMORY, one->memory, A64_CASE_BYTES);
    code[0] = LDR_X30_PC_16;
    code[1] = (uint32_t)one->word;
    code[2] = B | ((uint32_t)(distance / 4) & 0x3ffffff);
    memcpy(&code[4], &one->x[30], sizeof(one->x[30]));
    __builtin___clear_cache((char *)code, (char *)(code + 3));
    execute();
    memcpy(state->memory, (void *)A64_CASE_MEMORY, A64_CASE_BYTES);
    *one = *state;
}

int main(void)
{
    uint64_t dczid;
    uint32_t zva_length, count;

    if (!map(A64_CASE_WINDOW, 0x2000, PROT_READ | PROT_WRITE) ||
        !map(A64_CASE_PAGE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC) ||
        !map(A64_CASE_STATE, 0x2000, PROT_READ | PROT_WRITE))
        return 1;
    asm volatile("mrs %0, dczid_el0" : "=r"(dczid));
    zva_length = 4u << (dczid & 15);
    if (!transfer(true, &zva_length, sizeof(zva_length)))
        return 1;
    while (transfer(false, &count, sizeof(count))) {
        if (count > A64_CASE_BATCH || !transfer(false, cases, count * sizeof(cases[0])))
            return 1;
        for (uint32_t i = 0; i < count; i++)
            run(&cases[i]);
        if (!transfer(true, cases, count * sizeof(cases[0])))
            return 1;
    }
    return 0;
}
