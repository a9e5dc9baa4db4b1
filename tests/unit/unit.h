/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The runner of the unit tests. A test program is one file:
 *
 *     #include "unit.h"
 *
 *     TEST(answer_is_right)
 *     {
 *         REQUIRE(question() != NULL);   // stops this test
 *         CHECK_INT(answer(), 42);       // goes on
 *     }
 *
 *     UNIT_MAIN()
 *
 * It prints TAP. Arguments: names of the tests to run, all if there are none. Checks may be used
 * from other threads (REQUIRE and SKIP leave the function that they stand in, whatever it is).
 */
#ifndef VISOR_TESTS_UNIT_H
#define VISOR_TESTS_UNIT_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <visor/error.h>

struct unit_test {
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};

static struct unit_test *unit_first, **unit_last = &unit_first;
static atomic_bool unit_failed;
static const char *unit_skip_reason;

static inline void unit_register(struct unit_test *test)
{
    *unit_last = test;
    unit_last = &test->next;
}

/* A test registers itself before main(), so that none can be forgotten in a list. */
#define TEST(test_name)                                                          \
    static void test_name(void);                                                 \
    __attribute__((constructor)) static void unit_register_##test_name(void)     \
    {                                                                            \
        static struct unit_test test = {.name = #test_name, .run = (test_name)}; \
                                                                                 \
        unit_register(&test);                                                    \
    }                                                                            \
    static void test_name(void)

/* A failed check says where, and, for results of the library, what the library said last. */
static inline bool unit_check(bool passed, const char *file, int line, const char *text)
{
    if (!passed) {
        atomic_store(&unit_failed, true);
        printf("# %s:%d: %s\n", file, line, text);
    }
    return passed;
}

static inline bool unit_check_int(int64_t actual, int64_t expected, const char *file, int line,
                                  const char *text)
{
    char error[512] = "";

    if (unit_check(actual == expected, file, line, text))
        return true;
    printf("#   is %" PRId64 " (0x%" PRIx64 "), should be %" PRId64 " (0x%" PRIx64 ")\n", actual,
           (uint64_t)actual, expected, (uint64_t)expected);
    if (actual < 0 && actual == visor_error_last()->code) {
        visor_error_format(error, sizeof(error));
        printf("#   last error: %s\n", error);
    }
    return false;
}

static inline bool unit_check_str(const char *actual, const char *expected, const char *file,
                                  int line, const char *text)
{
    if (unit_check(strcmp(actual, expected) == 0, file, line, text))
        return true;
    printf("#   is \"%s\", should be \"%s\"\n", actual, expected);
    return false;
}

#define CHECK(condition) unit_check((condition), __FILE__, __LINE__, #condition)
/* Any two integers, compared as 64-bit values. */
#define CHECK_INT(actual, expected)                                            \
    unit_check_int((int64_t)(actual), (int64_t)(expected), __FILE__, __LINE__, \
                   #actual " == " #expected)
/* A call of the library that must succeed. */
#define CHECK_OK(call) CHECK_INT((call), 0)
#define CHECK_STR(actual, expected) \
    unit_check_str((actual), (expected), __FILE__, __LINE__, #actual " is " #expected)
/* Without this the rest of the test has no sense. */
#define REQUIRE(condition)     \
    do {                       \
        if (!CHECK(condition)) \
            return;            \
    } while (0)
#define REQUIRE_OK(call)     \
    do {                     \
        if (!CHECK_OK(call)) \
            return;          \
    } while (0)
/* This host cannot run the test; why is a string literal. */
#define SKIP(why)                 \
    do {                          \
        unit_skip_reason = (why); \
        return;                   \
    } while (0)

static inline bool unit_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc < 2;
}

static inline bool unit_exists(const char *name)
{
    for (struct unit_test *test = unit_first; test != NULL; test = test->next) {
        if (strcmp(test->name, name) == 0)
            return true;
    }
    return false;
}

/* Returns the exit status: 1 where a test failed, 2 where one that was asked for is not there. */
static inline int unit_main(int argc, char **argv)
{
    int number = 0, failures = 0;

    /* A test that crashes must not take the lines before it along. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (!unit_exists(argv[i])) {
            printf("Bail out! No test is named '%s'\n", argv[i]);
            return 2;
        }
    }
    for (struct unit_test *test = unit_first; test != NULL; test = test->next)
        number += unit_wanted(test->name, argc, argv);
    printf("1..%d\n", number);
    number = 0;
    for (struct unit_test *test = unit_first; test != NULL; test = test->next) {
        if (!unit_wanted(test->name, argc, argv))
            continue;
        atomic_store(&unit_failed, false);
        unit_skip_reason = NULL;
        test->run();
        printf("%sok %d - %s", atomic_load(&unit_failed) ? "not " : "", ++number, test->name);
        if (unit_skip_reason != NULL)
            printf(" # SKIP %s", unit_skip_reason);
        printf("\n");
        failures += atomic_load(&unit_failed);
    }
    return failures != 0;
}

#define UNIT_MAIN()                   \
    int main(int argc, char **argv)   \
    {                                 \
        return unit_main(argc, argv); \
    }

#endif
