/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs do with a processor and a kernel: processes, signals, threads, mappings, floating
 * point, a memory test. It prints a line with a checksum for each, which depends on nothing but the
 * work: run beside each other, on a processor and on an emulated one, both print the same.
 */
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024 * 1024)

/* FNV-1a. */
static uint64_t mix(uint64_t sum, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    return sum;
}

static uint64_t mix_value(uint64_t sum, uint64_t value)
{
    return mix(sum, &value, sizeof(value));
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- processes ---- */

static uint64_t processes(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < 150; i++) {
        char number[16], answer[32] = "";
        int ends[2], status = 0;
        pid_t child;

        snprintf(number, sizeof(number), "%d", i);
        if (pipe(ends) != 0)
            return 1;
        child = fork();
        if (child == 0) {
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            execl("/proc/self/exe", "stress", "child", number, (char *)NULL);
            _exit(127);
        }
        close(ends[1]);
        for (size_t had = 0; had < sizeof(answer) - 1;) {
            ssize_t got = read(ends[0], answer + had, sizeof(answer) - 1 - had);

            if (got <= 0)
                break;
            had += (size_t)got;
        }
        close(ends[0]);
        if (waitpid(child, &status, 0) != child)
            return 2;
        sum = mix_value(mix(sum, answer, strlen(answer)), (uint64_t)status);
    }
    return sum;
}

static int as_child(const char *number)
{
    printf("child %s", number);
    fflush(stdout);
    return (int)(strtol(number, NULL, 10) * 37 & 0x7f);
}

/* ---- signals ---- */

static volatile sig_atomic_t usr1, alarms;
static sigjmp_buf back;
static void *volatile fault_address;
static volatile int fault_signal;

static void on_usr1(int number)
{
    (void)number;
    usr1++;
}

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = number;
    fault_address = info->si_addr;
    siglongjmp(back, 1);
}

/* The signal that comes of something, and where it says that it came from. */
static int fault_of(void (*cause)(void *at), void *at)
{
    fault_signal = 0;
    fault_address = NULL;
    if (sigsetjmp(back, 1) == 0)
        cause(at);
    return fault_signal;
}

static void write_at(void *at)
{
    *(volatile uint8_t *)at = 1;
}

static void divide_by_zero(void *at)
{
    static volatile int zero;

    (void)at;
    zero = 1 / zero;
}

static void undefined(void *at)
{
    (void)at;
    __builtin_trap();
}

static void handle(int number, void (*with)(int number))
{
    struct sigaction action = {.sa_handler = with};

    sigaction(number, &action, NULL);
}

static uint64_t signals(void)
{
    struct sigaction faults = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct itimerval timer = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    static uint8_t other_stack[64 * 1024];
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
    volatile double steady = 0;
    uint64_t sum = 0;
    uint8_t *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    handle(SIGUSR1, on_usr1);
    handle(SIGALRM, on_alarm);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &faults, NULL);
    sigaction(SIGFPE, &faults, NULL);
    sigaction(SIGILL, &faults, NULL);
    for (int i = 0; i < 5000; i++)
        raise(SIGUSR1);
    sum = mix_value(sum, (uint64_t)usr1);

    /* Registers of the FPU must outlive handlers. */
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 1; i <= 2000000 || alarms < 5; i++)
        steady = i <= 2000000 ? steady + 1.0 / i : steady;
    setitimer(ITIMER_REAL, &off, NULL);
    sum = mix(sum, (const void *)&steady, sizeof(steady));

    for (int i = 0; i < 200; i++) {
        sum = mix_value(sum, (uint64_t)fault_of(write_at, none + i));
        sum = mix_value(sum, (uint64_t)((uint8_t *)fault_address - none));
        sum = mix_value(sum, (uint64_t)fault_of(divide_by_zero, NULL));
        sum = mix_value(sum, (uint64_t)fault_of(undefined, NULL));
    }
    munmap(none, 4096);
    return sum;
}

/* ---- threads ---- */

#define THREADS 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static uint64_t locked_sum;
static atomic_uint_fast64_t atomic_sum;
static _Thread_local uint64_t own;

static void *thread_main(void *argument)
{
    int number = (int)(intptr_t)argument;

    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        while (turn != number)
            pthread_cond_wait(&turned, &lock);
        locked_sum = mix_value(locked_sum, (uint64_t)number + (uint64_t)i);
        turn = (turn + 1) % THREADS;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    for (int i = 0; i < 100000; i++) {
        atomic_fetch_add(&atomic_sum, (uint64_t)i);
        own += (uint64_t)i;
    }
    return (void *)(uintptr_t)own;
}

static uint64_t threads(void)
{
    pthread_t all[THREADS];
    uint64_t sum = 0;

    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&all[i], NULL, thread_main, (void *)(intptr_t)i) != 0)
            return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(all[i], &result);
        sum = mix_value(sum, (uintptr_t)result);
    }
    return mix_value(mix_value(sum, locked_sum), atomic_load(&atomic_sum));
}

/* ---- mappings ---- */

static uint64_t mappings(void)
{
    size_t length = 32 * MIB;
    uint64_t random = 1, sum = 0;
    uint8_t *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *shared = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;

    if (memory == MAP_FAILED || shared == MAP_FAILED)
        return 1;
    for (int i = 0; i < 20000; i++) {
        uint64_t at = next_random(&random) % length;

        memory[at] = (uint8_t)(memory[at] + i);
    }
    for (size_t i = 0; i < length; i += 8 * MIB) { /* rights come and go */
        mprotect(memory + i, 4096, PROT_READ);
        sum = mix(sum, memory + i, 4096);
        mprotect(memory + i, 4096, PROT_READ | PROT_WRITE);
        memory[i]++;
    }
    memory = mremap(memory, length, length + 8 * MIB, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return 2;
    for (int i = 0; i < 8; i++) { /* copied on write, but for what is shared */
        if (fork() == 0) {
            memset(memory, i, 2 * MIB);
            shared[i] = mix(0, memory, 2 * MIB);
            _exit(0);
        }
    }
    for (int i = 0; i < 8; i++)
        wait(&status);
    sum = mix(mix(sum, memory, length), shared, 8 * sizeof(*shared));
    munmap(memory, length + 8 * MIB);
    munmap(shared, MIB);
    return sum;
}

/* ---- floating point ---- */

static uint64_t floating_point(void)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    uint64_t sum = 0, random = 7;

    for (int mode = 0; mode < 4; mode++) {
        fesetround(modes[mode]);
        for (int i = 0; i < 10000; i++) {
            double a = (double)(int64_t)next_random(&random) * 0x1p-40;
            double b = (double)(next_random(&random) >> 11) * 0x1p-53 + 0.5;
            float f = (float)a * (float)b;
            long double wide = (long double)a / b + sqrtl((long double)b);
            double results[] = {a * b, a / b, a + b, sqrt(b), fma(a, b, 1.0), (double)f, rint(a)};

            sum = mix(mix(sum, results, sizeof(results)), &wide, 10);
        }
    }
    fesetround(FE_TONEAREST);
    for (int i = 1; i < 20000; i++) {
        double x = i * 0.01;
        double results[] = {sin(x), cos(x), exp(x * 0.1), log(x), pow(x, 0.3), atan2(x, 3)};

        sum = mix(sum, results, sizeof(results));
    }
    feclearexcept(FE_ALL_EXCEPT);
    sum = mix_value(sum, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
    return sum;
}

/* ---- memory ---- */

static uint64_t memory_test(void)
{
    size_t words = 48 * MIB / 8;
    uint64_t *memory = malloc(words * 8), errors = 0;
    static const uint64_t patterns[] = {0, ~0ull, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa};

    if (memory == NULL)
        return 1;
    for (size_t p = 0; p < 4; p++) {
        for (size_t i = 0; i < words; i++)
            memory[i] = patterns[p];
        for (size_t i = 0; i < words; i++)
            errors += memory[i] != patterns[p];
    }
    for (size_t i = 0; i < words; i++) /* each word knows where it is */
        memory[i] = i * 0x9e3779b97f4a7c15;
    for (size_t i = words; i-- > 0;)
        errors += memory[i] != i * 0x9e3779b97f4a7c15;
    free(memory);
    return errors;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint64_t (*run)(void);
    } parts[] = {
        {"processes", processes},
        {"signals", signals},
        {"threads", threads},
        {"mappings", mappings},
        {"floating_point", floating_point},
        {"memory_errors", memory_test},
    };

    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return as_child(argv[2]);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        printf("stress: %s %016" PRIx64 "\n", parts[i].name, parts[i].run());
        fflush(stdout);
    }
    return 0;
}
