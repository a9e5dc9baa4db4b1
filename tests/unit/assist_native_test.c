/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The A64 assist against an A64 processor, or QEMU's user mode emulation of one: random loads and
 * stores on random registers and memory. The assist's memory is RAM, ROM and devices in all
 * combinations, the processor's is plain, and registers and bytes must come out the same.
 *
 * VISOR_A64_PROGRAM is a64_native.c, compiled; VISOR_A64_EMULATOR what runs it, empty if nothing
 * is needed. Both come from the build. VISOR_A64_CASES=N and VISOR_A64_SEED=N as one likes.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "a64_case.h"
#include "a64_machine.h"
#include "a64_text.h"
#include "numbers.h"
#include "unit.h"

/* The classes of the encoding, each as likely as any other. */
static const struct pattern {
    uint32_t mask, value;
    bool aligned; /* acquire, release, atomic */
} patterns[] = {
    {0x3b000000, 0x39000000, false}, /* unsigned immediate */
    {0x3b200000, 0x38000000, false}, /* unscaled, post, unprivileged, pre */
    {0x3b200c00, 0x38200800, false}, /* register offset */
    {0x3b000000, 0x18000000, false}, /* literal */
    {0x3a000000, 0x28000000, false}, /* pairs */
    {0x3fa0fc00, 0x0880fc00, true},  /* LDAR, STLR */
    {0x3fa0fc00, 0x08807c00, true},  /* LDLAR, STLLR */
    {0x3fa07c00, 0x08a07c00, true},  /* CAS */
    {0xbfa07c00, 0x08207c00, true},  /* CASP */
    {0x3f208c00, 0x38200000, true},  /* LDADD... */
    {0x3f20fc00, 0x38208000, true},  /* SWP */
    {0x3ffffc00, 0x38bfc000, true},  /* LDAPR */
    {0x3f200c00, 0x19000000, true},  /* LDAPUR, STLUR */
    {0xbfbf0000, 0x0c000000, false}, /* multiple structures */
    {0xbfa00000, 0x0c800000, false}, /* the same, post-indexed */
    {0xbf9f0000, 0x0d000000, false}, /* single structure */
    {0xbf800000, 0x0d800000, false}, /* the same, post-indexed */
    {0xffffffe0, 0xd50b7420, false}, /* DC ZVA */
};

static uint64_t state;
static uint32_t zva_length;

static uint64_t next_random(void)
{
    return numbers_next(&state);
}

static uint64_t below(uint64_t limit)
{
    return (next_random() >> 16) % limit;
}

static void fill_random(void *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)data)[i] = (uint8_t)(next_random() >> 40);
}

static unsigned long setting(const char *name, unsigned long fallback)
{
    const char *value = getenv(name);

    return value != NULL ? strtoul(value, NULL, 0) : fallback;
}

/* ---- cases ---- */

/* Whether two of the instruction's registers must differ and do not: CONSTRAINED UNPREDICTABLE. */
static bool is_unpredictable(const struct visor__a64_insn *insn)
{
    if (insn->vector
            ? insn->count == 2 && insn->elements == 1 && insn->reg[0] == insn->reg[1]
            : insn->count == 2 && insn->kind == VISOR__A64_LOAD && insn->reg[0] == insn->reg[1])
        return true;
    if (insn->vector || insn->writeback == VISOR__A64_NO_WRITEBACK || insn->base == 31)
        return false;
    return insn->reg[0] == insn->base || (insn->count == 2 && insn->reg[1] == insn->base);
}

static uint32_t length_of(const struct visor__a64_insn *insn)
{
    return (uint32_t)insn->size * insn->count * insn->elements;
}

/* The address of the instruction's first byte, half of them so that the access meets a boundary. */
static uint64_t random_target(const struct visor__a64_insn *insn, bool aligned)
{
    const uint64_t length = length_of(insn);
    uint64_t target;

    if (insn->kind == VISOR__A64_ZERO)
        return A64_CASE_BOUNDARY - zva_length + below(2 * (uint64_t)zva_length);
    if (next_random() >> 63 != 0)
        target = A64_CASE_BOUNDARY - length + below(length + 1);
    else
        target = A64_CASE_MEMORY + 64 + below(A64_CASE_BYTES - 64 - length - 16);
    return aligned ? target / length * length : target;
}

/* The offset that the index register adds; sets that register to a small one. */
static uint64_t choose_index(struct a64_case *one, const struct visor__a64_insn *insn)
{
    uint64_t value = below(33), garbage = next_random() << 32;
    const bool may_be_negative = insn->extend != VISOR__A64_UXTW;

    if (insn->index == 31)
        return 0;
    if (may_be_negative && next_random() >> 63 != 0)
        value = 0 - value;
    one->x[insn->index] = value;
    if (insn->extend == VISOR__A64_UXTW || insn->extend == VISOR__A64_SXTW)
        one->x[insn->index] = (value & UINT32_MAX) | garbage;
    return value << insn->shift;
}

/* Sets the registers so that the access begins at *target, or near it. False if that cannot be. */
static bool aim(uint64_t *target, struct a64_case *one, const struct visor__a64_insn *insn)
{
    uint64_t offset;

    if (insn->base == VISOR__A64_BASE_PC) {
        *target &= ~UINT64_C(3);
        one->word &= ~UINT64_C(0x00ffffe0);
        one->word |= ((*target - A64_CASE_CODE) / 4 & 0x7ffff) << 5;
        return true;
    }
    if (insn->base == VISOR__A64_BASE_ZERO) {
        if (insn->index != 31)
            one->x[insn->index] = *target;
        return insn->index != 31;
    }
    offset = choose_index(one, insn) + (uint64_t)insn->imm;
    if (insn->writeback == VISOR__A64_POST_INDEX)
        offset = 0;
    else if (insn->index == insn->base && insn->index != 31)
        return false;
    if (insn->base == VISOR__A64_BASE_SP) { /* DDI 0487, "CheckSPAlignment" */
        one->sp = (*target - offset) & ~UINT64_C(15);
        *target = one->sp + offset;
    } else {
        one->x[insn->base] = *target - offset;
    }
    return true;
}

/* CAS succeeds by chance only: let it, half of the time. */
static void make_comparison_true(struct a64_case *one, const struct visor__a64_insn *insn,
                                 uint64_t target)
{
    for (unsigned i = 0; i < insn->count; i++) {
        if (insn->operand[i] != 31 && insn->operand[i] != insn->base)
            memcpy(&one->x[insn->operand[i]],
                   one->memory + target - A64_CASE_MEMORY + i * insn->size, insn->size);
    }
}

static bool try_case(uint64_t *target, struct a64_case *one)
{
    const struct pattern *pattern = &patterns[below(sizeof(patterns) / sizeof(patterns[0]))];
    const uint32_t random = (uint32_t)(next_random() >> 20);
    struct visor__a64_insn insn;

    one->word = (random & ~pattern->mask) | pattern->value;
    if (visor__a64_decode(&insn, (uint32_t)one->word) != 0 || is_unpredictable(&insn))
        return false;
    if (insn.kind == VISOR__A64_NOTHING)
        return true;
    *target = random_target(&insn, pattern->aligned);
    if (!aim(target, one, &insn))
        return false;
    if (pattern->aligned && *target % length_of(&insn) != 0)
        return false;
    if (insn.kind == VISOR__A64_ATOMIC && insn.atomic == VISOR__A64_CAS && next_random() >> 63 != 0)
        make_comparison_true(one, &insn, *target);
    return true;
}

/* A case, and the address of its access. */
static void make_case(uint64_t *target, struct a64_case *one)
{
    *target = 0;
    memset(one, 0, sizeof(*one));
    do {
        fill_random(one, offsetof(struct a64_case, word));
        one->sp = A64_CASE_BOUNDARY;
    } while (!try_case(target, one));
}

/* ---- the assist's side ---- */

/* Which page is what, by turns. An atomic in RAM alone is left to the guest: not to be had here. */
static void lay_out(struct a64_machine *machine, unsigned number, bool is_atomic)
{
    static const enum a64_page kinds[] = {A64_DEVICE, A64_RAM, A64_ROM};
    enum a64_page *page = &machine->page[A64_CASE_WINDOW / A64_PAGE];

    page[0] = kinds[number % 3];
    page[1] = kinds[number / 3 % 3];
    for (unsigned i = 0; i < 2; i++) {
        if (is_atomic && page[i] == A64_RAM)
            page[i] = A64_DEVICE;
    }
}

/* Executes a case and puts the outcome into it. Returns what the assist returned last. */
static int execute(struct a64_case *one, struct a64_machine *machine, uint64_t target,
                   unsigned number)
{
    struct visor__a64_insn insn;
    uint32_t word = (uint32_t)one->word;
    int ret;

    visor__a64_decode(&insn, word);
    lay_out(machine, number, insn.kind == VISOR__A64_ATOMIC);
    memcpy(machine->reg, one->x, sizeof(one->x));
    memcpy(machine->v, one->v, sizeof(one->v));
    memcpy(machine->space + A64_CASE_MEMORY, one->memory, A64_CASE_BYTES);
    machine->reg[VISOR__A64_SP_EL0] = one->sp;
    machine->reg[VISOR__A64_PSTATE] = A64_EL0T;
    machine->reg[VISOR__A64_PC] = A64_CASE_CODE;
    machine->zva_length = zva_length;
    machine->fault_gpa = target;
    ret = a64_run_word(machine, word);
    memcpy(one->x, machine->reg, sizeof(one->x));
    memcpy(one->v, machine->v, sizeof(one->v));
    memcpy(one->memory, machine->space + A64_CASE_MEMORY, A64_CASE_BYTES);
    one->sp = machine->reg[VISOR__A64_SP_EL0];
    if (ret == 0 && machine->reg[VISOR__A64_PC] != A64_CASE_CODE + 4)
        return -1;
    return ret;
}

/* ---- the other side ---- */

static bool transfer(int fd, bool is_write, void *data, size_t length)
{
    char *at = data;

    while (length > 0) {
        ssize_t done = is_write ? send(fd, at, length, MSG_NOSIGNAL) : read(fd, at, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        length -= (size_t)done;
    }
    return true;
}

/* Starts the program; its input and output are *fd. Returns its process, or -1. */
static pid_t start_program(int *fd, const char *program, const char *emulator)
{
    int ends[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    child = fork();
    if (child == 0) {
        dup2(ends[1], 0);
        dup2(ends[1], 1);
        if (emulator[0] != '\0')
            execlp(emulator, emulator, "-cpu", "max", program, (char *)NULL);
        else
            execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *fd = ends[0];
    return child;
}

static void show_difference(const struct a64_case *before, const struct a64_case *ours,
                            const struct a64_case *theirs)
{
    char text[A64_TEXT];

    a64_describe(text, (uint32_t)before->word);
    printf("# 0x%08x %s\n", (unsigned)before->word, text);
    for (unsigned i = 0; i < 31; i++) {
        if (ours->x[i] != theirs->x[i])
            printf("#   x%u: was %" PRIx64 ", is %" PRIx64 ", should be %" PRIx64 "\n", i,
                   before->x[i], ours->x[i], theirs->x[i]);
    }
    if (ours->sp != theirs->sp)
        printf("#   sp is %" PRIx64 ", should be %" PRIx64 "\n", ours->sp, theirs->sp);
    for (unsigned i = 0; i < 32; i++) {
        if (memcmp(ours->v[i], theirs->v[i], 16) != 0)
            printf("#   v%u differs\n", i);
    }
    for (unsigned i = 0; i < A64_CASE_BYTES; i++) {
        if (ours->memory[i] != theirs->memory[i])
            printf("#   0x%x: was %02x, is %02x, should be %02x\n", A64_CASE_MEMORY + i,
                   before->memory[i], ours->memory[i], theirs->memory[i]);
    }
}

/* One batch. Returns how many came out differently, or -1 if the program has died. */
static int compare_batch(int fd, struct a64_machine *machine, uint32_t count, unsigned *exits)
{
    static struct a64_case before[A64_CASE_BATCH], theirs[A64_CASE_BATCH];
    static uint64_t targets[A64_CASE_BATCH];
    int differ = 0;

    for (uint32_t i = 0; i < count; i++)
        make_case(&targets[i], &before[i]);
    if (!transfer(fd, true, &count, sizeof(count)) ||
        !transfer(fd, true, before, count * sizeof(before[0])) ||
        !transfer(fd, false, theirs, count * sizeof(theirs[0])))
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        struct a64_case ours = before[i];
        int ret = execute(&ours, machine, targets[i], i);

        *exits += machine->logged;
        if (ret == VISOR_EXIT_NONE && memcmp(&ours, &theirs[i], sizeof(ours)) == 0)
            continue;
        differ++;
        printf("# returned %d\n", ret);
        show_difference(&before[i], &ours, &theirs[i]);
    }
    return differ;
}

TEST(the_processor_agrees)
{
    const unsigned long cases = setting("VISOR_A64_CASES", 20000);
    const char *program = getenv("VISOR_A64_PROGRAM"), *emulator = getenv("VISOR_A64_EMULATOR");
    struct a64_machine *machine;
    unsigned long done = 0;
    unsigned exits = 0;
    int differ = 0, fd;
    pid_t child;

    if (program == NULL)
        SKIP("no cross compiler for aarch64, or no qemu-aarch64-static");
    child = start_program(&fd, program, emulator != NULL ? emulator : "");
    REQUIRE(child > 0);
    CHECK(transfer(fd, false, &zva_length, sizeof(zva_length)));
    machine = a64_new();
    state = setting("VISOR_A64_SEED", 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    while (zva_length != 0 && done < cases && differ == 0) {
        const uint32_t count =
            cases - done < A64_CASE_BATCH ? (uint32_t)(cases - done) : A64_CASE_BATCH;

        differ = compare_batch(fd, machine, count, &exits);
        done += count;
    }
    CHECK_INT(differ, 0);
    CHECK_INT(done, cases);
    printf("# %lu instructions, %u accesses handed out\n", done, exits);
    close(fd);
    waitpid(child, NULL, 0);
    a64_free(machine);
}

UNIT_MAIN()
