/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a kernel does and meets, at random, under KVM and on the software CPU. A case is its number:
 * --first N --cases 1 repeats one. --with soft does it with the software CPU alone.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "system.h"

static struct machine kvm = {.name = "kvm"}, soft = {.name = "soft"};

/* Ends guests that do not end: those that are still the same at the second tick. */
static void on_tick(int number)
{
    static unsigned last;

    (void)number;
    if (system_running != NULL && system_count == last)
        visor_vcpu_kick(system_running);
    last = system_count;
}

static void start_ticking(void)
{
    const struct sigaction action = {.sa_handler = on_tick};
    const struct itimerval each = {.it_value.tv_usec = 300000, .it_interval.tv_usec = 300000};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each, NULL);
}

static void print_case(const struct system_case *c)
{
    const visor_x86_sregs *s = &c->sregs;

    printf("# --first %" PRIu64 " --cases 1 --family %d: %s, %s, CPL %u:", c->seed, c->family,
           c->what, system_mode_names[c->mode], c->cpl);
    for (unsigned i = 0; i < c->length; i++)
        printf(" %02x", c->code[i]);
    printf("\n#   rax %" PRIx64 " rbx %" PRIx64 " rcx %" PRIx64 " rdx %" PRIx64 " rsp %" PRIx64
           " rip %" PRIx64 " rflags %" PRIx64 "\n",
           c->regs.rax, c->regs.rbx, c->regs.rcx, c->regs.rdx, c->regs.rsp, c->regs.rip,
           c->regs.rflags);
    printf("#   cr0 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64 " efer %" PRIx64 " gdt %x idt %x"
           " interrupt %d exception %u nmi %u%u\n",
           s->cr0, s->cr3, s->cr4, s->efer, s->gdt.limit, s->idt.limit,
           c->events.interrupt.injected ? c->events.interrupt.vector : 0,
           c->events.exception.injected ? c->events.exception.vector : 255u, c->events.nmi.injected,
           c->events.nmi.masked);
}

struct tally {
    unsigned same, different, endless, outside, excused;
};

/* Why cases are not compared, and how many. */
static struct {
    const char *why;
    unsigned count;
} excuses[16];

static void count_excuse(const char *why)
{
    unsigned i = 0;

    while (i < 15 && excuses[i].why != NULL && excuses[i].why != why)
        i++;
    excuses[i].why = why;
    excuses[i].count++;
}

static bool one(struct tally *tally, uint64_t seed, int family, unsigned verbose)
{
    static struct system_case c;
    static struct system_end ends[2];
    const char *error;

    system_make(&c, seed, family);
    if (verbose > 2)
        print_case(&c);
    error = system_run(&ends[0], &kvm, &c);
    if (error == NULL)
        error = system_run(&ends[1], &soft, &c);
    if (error != NULL) {
        print_case(&c);
        printf("#   %s\n", error);
        tally[c.family].different++;
        return false;
    }
    /* Code where there is no memory: KVM raises #UD in CPL 3, and gives up in others. */
    if (ends[1].accesses != 0 && c.sregs.gdt.base != SYSTEM_GDT) { /* nor are tables there */
        tally[c.family].outside++;
        return true;
    }
    if (ends[1].reason == VISOR_EXIT_INTERNAL_ERROR &&
        strstr(visor_vcpu_exit(soft.vcpu)->internal.text, "no memory") != NULL) {
        tally[c.family].outside++;
        return true;
    }
    if (ends[0].reason == VISOR_EXIT_KICKED) {
        tally[c.family].endless++;
        return true;
    }
    if (system_same(&c, &ends[0], &ends[1], kvm.ram, soft.ram, false)) {
        tally[c.family].same++;
        if (verbose > 1)
            print_case(&c);
        return true;
    }
    error = system_excuse(&c, &ends[0], &ends[1], soft.ram);
    if (error != NULL) {
        tally[c.family].excused++;
        count_excuse(error);
        if (verbose > 1) {
            print_case(&c);
            printf("#   %s\n", error);
        }
        return true;
    }
    tally[c.family].different++;
    if (verbose > 0) {
        print_case(&c);
        system_same(&c, &ends[0], &ends[1], kvm.ram, soft.ram, true);
    }
    return false;
}

/*
 * Writes to all pages, so that KVM has given them. Where one is missing while an event is
 * delivered, KVM injects the event anew: software interrupts from behind the instruction, and task
 * switches that were halfway done.
 */
static const char *touch(struct machine *machine)
{
    static struct system_case c;
    static struct system_end end;
    const char *error = NULL;

    do {
        system_make(&c, c.seed + 1, CONTROL);
    } while (c.mode != PROTECTED_32 || c.cpl != 0 || c.sregs.cr0 >> 31 != 0);
    c.regs.rip = SYSTEM_CODE;
    memcpy(c.ram + SYSTEM_CODE, "\x88\x03\xf4", 3); /* mov %al, (%ebx); hlt */
    for (uint64_t page = 0; page < SYSTEM_RAM && error == NULL; page += 0x1000) {
        c.regs.rbx = page + 0xfff;
        error = system_run(&end, machine, &c);
    }
    return error;
}

static const char *begin(void)
{
    const char *error = machine_open(&kvm, kvm.name);

    if (error == NULL)
        error = machine_open(&soft, "soft");
    if (error == NULL)
        error = machine_create(&kvm, &soft, SYSTEM_RAM, NULL);
    if (error == NULL)
        error = machine_create(&soft, &kvm, SYSTEM_RAM, NULL);
    return error == NULL ? touch(&kvm) : error;
}

int main(int argc, char **argv)
{
    struct tally tally[FAMILIES] = {{0}};
    uint64_t first = (uint64_t)time(NULL) << 32;
    unsigned cases = 1000, shown = 20, verbose = 1, failures = 0;
    unsigned seconds = 0;
    int family = -1;
    time_t end;
    const char *error;

    for (int i = 1; i + 1 < argc; i += 2) {
        const uint64_t number = strtoull(argv[i + 1], NULL, 0);

        if (strcmp(argv[i], "--first") == 0)
            first = number;
        else if (strcmp(argv[i], "--cases") == 0)
            cases = (unsigned)number;
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)number;
        else if (strcmp(argv[i], "--with") == 0)
            kvm.name = argv[i + 1];
        else if (strcmp(argv[i], "--family") == 0)
            family = (int)number;
        else if (strcmp(argv[i], "--show") == 0)
            shown = (unsigned)number;
        else if (strcmp(argv[i], "--verbose") == 0)
            verbose = (unsigned)number;
    }
    printf("1..%u\n# --first %" PRIu64 " --cases %u\n", FAMILIES, first, cases);
    error = begin();
    if (error != NULL) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    setlinebuf(stdout);
    start_ticking();
    end = time(NULL) + (time_t)seconds;
    for (unsigned i = 0; i < cases && (seconds == 0 || time(NULL) < end); i++)
        failures += !one(tally, first + i, family >= 0 ? family : (int)(i % FAMILIES),
                         failures < shown ? verbose : 0);
    for (unsigned i = 0; i < FAMILIES; i++) {
        const struct tally *t = &tally[i];

        if (t->same + t->different + t->endless + t->outside + t->excused == 0)
            printf("ok %u - %s # skip no such cases were asked for\n", i + 1,
                   system_family_names[i]);
        else
            printf("%sok %u - %s: %u the same, %u different, %u without end, %u outside of "
                   "memory, %u excused\n",
                   t->different == 0 ? "" : "not ", i + 1, system_family_names[i], t->same,
                   t->different, t->endless, t->outside, t->excused);
    }
    for (unsigned i = 0; i < 16 && excuses[i].why != NULL; i++)
        printf("# %u excused: %s\n", excuses[i].count, excuses[i].why);
    machine_close(&kvm);
    machine_close(&soft);
    return failures != 0;
}
