/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness of the conformance suite: cases, checks, expected exits.
 *
 *     VISOR_GUEST_ASM16(add, "add ax, bx;" "hlt");
 *
 *     CASE(basic, minimal, "adds two registers and halts")
 *     {
 *         x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &add, .regs = {.rbx = 2}});
 *         RUN_TO(g, HLT);
 *         CHECK_EQ(x86_regs(g->vcpu).rax, 2);
 *     }
 *
 * Each case runs in a process of its own with a freshly opened hypervisor, so a case may leave
 * anything behind, crash, or hang: it fails, and the next one starts clean. The first check that
 * fails ends the case. Only the public API is used.
 */
#ifndef CONFORMANCE_HARNESS_H
#define CONFORMANCE_HARNESS_H

#include <stdarg.h>
#include <visor.h>

/* ---- cases ---- */

/* What a case gets: an open hypervisor, and NULLs for it to fill in (all freed at its end). */
struct guest {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;  /* vCPU 0 */
    uint64_t code_end; /* one past the last byte of the code that x86_start() loaded */
};

struct test_case {
    const char *theme, *name, *what;
    void (*run)(struct guest *g);
    unsigned slowness; /* multiplies the time limit; 0 counts as 1 */
    struct test_case *next;
};

void case_register(struct test_case *test);

#define CASE_SLOW(theme_name, case_name, slow, text)                         \
    static void case_##case_name(struct guest *g);                           \
    __attribute__((constructor)) static void case_register_##case_name(void) \
    {                                                                        \
        static struct test_case test = {.theme = #theme_name,                \
                                        .name = #case_name,                  \
                                        .what = (text),                      \
                                        .run = case_##case_name,             \
                                        .slowness = (slow)};                 \
                                                                             \
        case_register(&test);                                                \
    }                                                                        \
    static void case_##case_name(struct guest *g)
#define CASE(theme_name, case_name, text) CASE_SLOW(theme_name, case_name, 1, text)

/* What the command line says, for the cases that scale with it. */
struct suite_options {
    const char *hypervisor;
    unsigned stress; /* rounds of the stress cases */
    unsigned time_limit_s;
    bool verbose;
};
extern struct suite_options suite_options;

/* ---- guest code ---- */

/* Guest code as the assembler made it. The macro's text stands in the case; lines end with ';'. */
struct code {
    const uint8_t *bytes;
    size_t length;
};

/*
 * The object itself is laid out by the assembler, which alone knows the length at compile time.
 * Cases use the macros that an architecture's header makes of this one. Only for ELF does the
 * assembler find back to the section that the compiler is in; elsewhere all stays there, between
 * two functions.
 */
#ifdef __ELF__
#define GUEST_HIDDEN_      __attribute__((visibility("hidden")))
#define GUEST_OBJECT_      ".pushsection .data.rel.ro, \"aw\"\n"
#define GUEST_CODE_        ".pushsection .rodata\n"
#define GUEST_SECTION_END_ ".popsection\n"
#else
#define GUEST_HIDDEN_
#define GUEST_OBJECT_
#define GUEST_CODE_
#define GUEST_SECTION_END_
#endif
#define VISOR_GUEST_ASM_(name, before, text, after)                                               \
    extern const struct code name GUEST_HIDDEN_;                                                  \
    __asm__(GUEST_OBJECT_ ".balign 8\n" #name ": .quad " #name "_begin, " #name "_end - " #name   \
                          "_begin\n" GUEST_SECTION_END_ GUEST_CODE_ before #name "_begin:\n" text \
                          "\n" #name "_end:\n" after GUEST_SECTION_END_)

/* ---- ending a case ---- */

struct where {
    const char *file;
    int line;
};
#define HERE ((struct where){__FILE__, __LINE__})

/* Ends the case as failed. */
_Noreturn void fail_at(struct where where, const char *format, ...)
    __attribute__((format(VISOR_PRINTF, 2, 3)));
#define FAIL(...) fail_at(HERE, __VA_ARGS__)
/* Ends the case as skipped: this backend or host lacks what it needs. */
_Noreturn void skip_case(const char *format, ...) __attribute__((format(VISOR_PRINTF, 1, 2)));
#define SKIP(...) skip_case(__VA_ARGS__)
/* A line that is shown with --verbose, and whenever the case fails. */
void note(const char *format, ...) __attribute__((format(VISOR_PRINTF, 1, 2)));

/* Skips unless the VM, or before there is one the hypervisor, has the capability. */
int64_t need_cap(struct guest *g, visor_cap cap);
#define NEED(g, cap) need_cap((g), VISOR_CAP_##cap)

/* ---- checks ---- */

void check_eq(struct where where, uint64_t actual, uint64_t expected, const char *text);
void check_bytes(struct where where, const void *actual, const void *expected, size_t length,
                 const char *text);
int check_ok(struct where where, int result, const char *text);
void check_error(struct where where, int result, int expected, const char *text);
void check_refused(struct where where, int result, const char *text);

#define CHECK(condition)           ((condition) ? (void)0 : FAIL("%s does not hold", #condition))
#define CHECK_EQ(actual, expected) check_eq(HERE, (uint64_t)(actual), (uint64_t)(expected), #actual)
#define CHECK_BYTES(actual, expected, length) \
    check_bytes(HERE, (actual), (expected), (length), #actual)
/* A call that must succeed; its value is the result. */
#define CHECK_OK(call) check_ok(HERE, (call), #call)
/* A call that must fail with exactly VISOR_<code>. */
#define CHECK_ERROR(call, code) check_error(HERE, (call), VISOR_##code, #call)
/* A call for what is not there: EUNSUPPORTED, with an operation and a reason. */
#define CHECK_REFUSED(call) check_refused(HERE, (call), #call)

/* ---- running to an expected exit ---- */

/* visor_vcpu_run(), again after INTR, which may happen at any time. Fails the case on an error. */
int run_vcpu(struct where where, visor_vcpu *vcpu);
visor_exit *run_to(struct where where, visor_vcpu *vcpu, visor_exit_reason reason);
void run_to_write(struct where where, visor_vcpu *vcpu, visor_space space, uint64_t address,
                  uint32_t length, uint64_t value);
void run_to_read(struct where where, visor_vcpu *vcpu, visor_space space, uint64_t address,
                 uint32_t length, uint64_t answer);
/* The current exit in words. */
const char *exit_text(const visor_exit *exit);

#define RUN(g)            run_vcpu(HERE, (g)->vcpu)
#define RUN_TO(g, reason) run_to(HERE, (g)->vcpu, VISOR_EXIT_##reason)
#define RUN_TO_OUT(g, port, length, value) \
    run_to_write(HERE, (g)->vcpu, VISOR_PIO, (port), (length), (value))
#define RUN_TO_IN(g, port, length, answer) \
    run_to_read(HERE, (g)->vcpu, VISOR_PIO, (port), (length), (answer))
#define RUN_TO_MMIO_WRITE(g, gpa, length, value) \
    run_to_write(HERE, (g)->vcpu, VISOR_MMIO, (gpa), (length), (value))
#define RUN_TO_MMIO_READ(g, gpa, length, answer) \
    run_to_read(HERE, (g)->vcpu, VISOR_MMIO, (gpa), (length), (answer))
/* An exit of any kind that is not the expected one. */
#define UNEXPECTED(g) FAIL("unexpected %s", exit_text(visor_vcpu_exit((g)->vcpu)))

/* ---- small things that many cases need ---- */

uint64_t page_size(void);
/* Handles, descriptors: what a program has open. */
unsigned host_count_handles(void);
/* Keeps this thread on one processor, and memory where it is, if the host lets it. */
void host_pin_thread(void);
void host_lock_memory(void *memory, size_t length);
/* Memory of this program's between two pages without access, so that it is a mapping of its own. */
uint64_t *host_map_own(uint64_t length);
uint64_t now_ns(void);
void sleep_ms(unsigned ms);
/* A thread that kicks the vCPU after `ms`; the end of the case waits for it. */
void kick_later(visor_vcpu *vcpu, unsigned ms);

uint64_t peek(struct guest *g, uint64_t gpa, uint32_t length);
void poke(struct guest *g, uint64_t gpa, uint64_t value, uint32_t length);
void put(struct guest *g, uint64_t gpa, const void *data, size_t length);

/* An anonymous mapping of `length` bytes added at gpa; returns its slot. */
uint32_t add_slot(struct guest *g, uint64_t gpa, uint64_t length, visor_mapping **out,
                  bool read_only, bool log_dirty);
/* Removes a slot and frees its mapping. */
void drop_slot(struct guest *g, uint32_t slot);

/* Events. */
visor_event event_create(void);
/* How often it was signalled, or 1 where events do not count, and resets it. */
uint64_t event_take(visor_event event);
void event_signal(visor_event event);
/* From a thread, after `ms`. */
void event_signal_later(visor_event event, unsigned ms);
/* An empty unnamed file of this length. */
visor_file file_create(uint64_t length);
void file_close(visor_file file);
/* Also of events. */
visor_file file_duplicate(visor_file file);
/* Exchanges the file for one that can only be read. */
void file_seal_read_only(visor_file *file);
void file_rewind(visor_file file);
void file_write(visor_file file, uint64_t offset, const void *data, size_t length);
void file_read(visor_file file, uint64_t offset, void *data, size_t length);
/* Also while it is mapped, or the case is skipped. */
void file_truncate(visor_file file, uint64_t length);
/* It is open, and programs that are started do not get it. */
void file_check_private(visor_file file);

/* A file that this process may not open, which is anybody from here on; and the end of that. */
void permission_drop(char *path, size_t capacity);
void permission_restore(const char *path);

/* Signals, where the host has them; else the case is skipped. */
void signal_block_and_raise(void);
bool signal_is_pending(void); /* that one */
/* To this process every 50 ms: on a busy host the first may come before it is waited for. */
void signal_start(void (*handler)(int number));
void signal_stop(void);

/* A growing buffer as a stream: write to its end, read from its cursor. */
struct buffer {
    uint8_t *data;
    size_t length, cursor;
};
visor_stream buffer_stream(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

/* ---- the host ---- */

/* Facts about this host that a quirk may depend on: X(NAME, bit, text). */
#define HOST_FACTS(X)                                                                    \
    X(EMULATES, 0, "hypervisor emulates guests") /* with gaps (found by a guest) */      \
    X(QEMU, 1, "QEMU")                           /* the processor is QEMU's emulation */ \
    X(BOCHS, 2, "Bochs")                         /* or Bochs' (its firmware says so) */  \
    X(AMD, 3, "AMD")                                                                     \
    X(INTEL, 4, "Intel")                                                                 \
    X(X86_64, 5, "x86_64")                                                               \
    X(AARCH64, 6, "aarch64")                                                             \
    X(RISCV64, 7, "riscv64")                                                             \
    X(WINDOWS, 8, "Windows")
enum host_fact {
#define HOST_FACT_ENUM_(name, bit, text) HOST_##name = 1 << (bit),
    HOST_FACTS(HOST_FACT_ENUM_)
#undef HOST_FACT_ENUM_
};
/* Whether this file of the host can be read and begins with text. */
bool host_file_begins(const char *path, const char *text);
/* Called in a process of its own. */
unsigned host_detect(visor_hypervisor *hv);

/* ---- differences that are allowed ---- */

struct quirk {
    const char *backend; /* glob */
    unsigned host;       /* facts that must all hold */
    const char *cases;   /* glob of theme/name */
    enum {
        QUIRK_SKIP,       /* not even tried */
        QUIRK_DIFFERS,    /* must fail in this way; passing makes the row out of date */
        QUIRK_MAY_DIFFER, /* passes, or fails in this way: not the same on each run */
    } kind;
    const char *outcome; /* glob that the failure's text must match */
    const char *reason;
};
/* Patterns of *, ?, [abc], [a-c] and [!abc]. */
bool glob_matches(const char *pattern, const char *text);
/* The quirk that applies to the case here, or NULL. */
const struct quirk *quirk_find(const char *backend, unsigned host, const char *full_name);

#endif
