/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 assist against the backend "soft": the same random instruction on the same random
 * registers, page tables and segments, whose operands are in memory, devices or both, must make the
 * same accesses in the same order, and leave the same registers, memory and fault.
 *
 * In the environment VISOR_ASSIST_COUNT=N and VISOR_SEED=N say how many cases there are, and which.
 */
#include "core/vm.h"
#include "numbers.h"
#include "soft/engine.h"
#include "soft/memory.h"
#include "soft/registers.h"
#include "soft/soft.h"
#include "unit.h"
#include "x86_machine.h"

#define COUNT 20000u

/* ---- random numbers ---- */

static uint64_t state;

static uint64_t next_random(void)
{
    return numbers_next(&state);
}

static unsigned below(unsigned n)
{
    return numbers_below(&state, n);
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *value = getenv(name);

    return value != NULL ? strtoull(value, NULL, 0) : fallback;
}

/* ---- the two ---- */

static struct x86_machine *machine; /* of the assist */
static struct x86_machine *other;   /* the backend: its vcpu is filled in behind the instruction */
static visor_vcpu *vcpu;
static struct soft_cpu *cpu;

/* What memory and devices hold before each case. */
static uint8_t fresh[X86_END], fresh_device[4 * X86_PAGE];

static uint8_t code[SOFT_INSN_MAX_LENGTH];
static struct soft_insn insn;
static bool repeats;

/* ---- making up an instruction ---- */

static unsigned make_prefixes(uint8_t *out, bool is_64)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x64, 0x65};
    unsigned n = 0;

    while (n < 3 && one_in(3))
        out[n++] = prefixes[below(sizeof(prefixes))];
    if (is_64 && one_in(2))
        out[n++] = (uint8_t)(0x40 | below(16));
    return n;
}

static unsigned make_opcode(uint8_t *out)
{
    unsigned n = 0;

    switch (below(8)) {
    case 0:
    case 1:
    case 2: break;
    case 3:
    case 4: out[n++] = 0x0f; break;
    case 5:
        out[n++] = 0x0f;
        out[n++] = one_in(3) ? 0x3a : 0x38;
        break;
    case 6:
        out[n++] = 0xc5;
        out[n++] = (uint8_t)next_random();
        break;
    default:
        out[n++] = 0xc4;
        out[n++] = (uint8_t)((next_random() & 0xe0) | (1 + below(3)));
        out[n++] = (uint8_t)next_random();
        break;
    }
    out[n++] = (uint8_t)next_random();
    /* Strings and ports more often than by chance. */
    if (n == 1 && one_in(6)) {
        static const uint8_t often[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae,
                                        0xaf, 0x6c, 0x6d, 0x6e, 0x6f, 0xe4, 0xe5, 0xe6, 0xe7,
                                        0xec, 0xed, 0xee, 0xef, 0x8e, 0xff, 0x8f};

        out[0] = often[below(sizeof(often))];
    }
    return n;
}

/* An instruction that decodes, with a memory operand if it has a ModRM at all. */
static void make_insn(enum soft_mode mode)
{
    int length;

    do {
        unsigned n = make_prefixes(code, mode == SOFT_MODE_64);

        n += make_opcode(code + n);
        code[n++] = (uint8_t)(one_in(16) ? next_random() : next_random() % 0xc0);
        if (one_in(4))
            code[n++] = (uint8_t)next_random();
        for (; n < sizeof(code); n++)
            code[n] = (uint8_t)(one_in(3) ? 0 : next_random());
        /* Displacements that go far out of the machine find nothing interesting. */
        if (one_in(4))
            memset(code + sizeof(code) - 9, 0, 9);
        length = soft_decode(&insn, code, sizeof(code), mode);
    } while (length < 0);
    memset(code + length, 0x90, sizeof(code) - (unsigned)length);
    repeats = (insn.attributes & SOFT_ATTR_STRING) != 0 &&
              (insn.prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0;
}

/* ---- making up a vCPU ---- */

static uint64_t interesting(void)
{
    static const uint64_t places[] = {
        X86_DATA,
        X86_DEVICE,
        X86_DEVICE,
        X86_DEVICE + X86_PAGE,
        X86_DEVICE + 2 * X86_PAGE,
        X86_MORE,
        X86_ROM,
        X86_ROM + 256,
        X86_END,
        X86_DEVICE + 0x800,
    };

    switch (below(8)) {
    case 0: return below(16);
    case 1: return next_random();
    case 2: return next_random() >> below(64);
    default: return places[below(sizeof(places) / sizeof(places[0]))] - 40 + below(80);
    }
}

static visor_x86_segment any_segment(visor_x86_segment segment)
{
    if (one_in(2))
        segment.base = one_in(2) ? X86_DEVICE - 0x100 : X86_DATA;
    if (one_in(3))
        segment.limit = (uint32_t)(interesting() % X86_END);
    if (one_in(6))
        segment.type = (uint8_t)below(16);
    if (one_in(16))
        segment.present = 0;
    if (one_in(8))
        segment.db ^= 1;
    return segment;
}

static void any_segments(visor_x86_sregs *sregs)
{
    sregs->ds = any_segment(sregs->ds);
    sregs->es = any_segment(sregs->es);
    sregs->fs = any_segment(sregs->fs);
    sregs->gs = any_segment(sregs->gs);
    if (one_in(4)) {
        visor_x86_segment ss = any_segment(sregs->ss);

        ss.dpl = sregs->ss.dpl;
        sregs->ss = ss;
    }
}

/* Changes in the rights of pages, and in where they are. */
static void disturb_page(uint64_t *entry)
{
    switch (below(8)) {
    case 0: *entry &= ~UINT64_C(1); break;
    case 1: *entry &= ~UINT64_C(2); break;
    case 2: *entry &= ~UINT64_C(4); break;
    case 3: *entry = (*entry & 0xfff) | X86_DEVICE | below(4) << 12; break;
    case 4: *entry = (*entry & 0xfff) | X86_DATA; break;
    default: break;
    }
}

static void make_pages(void)
{
    static const uint64_t pages[] = {X86_DATA,
                                     X86_DEVICE - X86_PAGE,
                                     X86_DEVICE,
                                     X86_DEVICE + X86_PAGE,
                                     X86_DEVICE + 2 * X86_PAGE,
                                     X86_DEVICE + 3 * X86_PAGE,
                                     X86_MORE,
                                     X86_ROM};

    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        uint64_t *entry = x86_pte(machine, pages[i]);

        if (one_in(3))
            disturb_page(entry);
        if (one_in(16) && (machine->vcpu.sregs.efer & 0x400) != 0)
            *entry |= UINT64_C(1) << (40 + below(24));
    }
}

/* Protected mode with the tables of x86_long_mode() below the PDPT. */
static void pae_mode(uint8_t cpl)
{
    x86_long_mode(machine, cpl);
    machine->vcpu.sregs.cs.l = 0;
    machine->vcpu.sregs.cs.db = 1;
    machine->vcpu.sregs.efer = 0x800;
    machine->vcpu.sregs.cr3 = X86_TABLES + X86_PAGE;
    *(uint64_t *)(void *)x86_at(machine, X86_TABLES + X86_PAGE) = (X86_TABLES + 2 * X86_PAGE) | 1;
}

/* Two levels: the first 2 MiB by pages, up to 4 MiB nothing, then the first again in one. */
static void short_mode(uint8_t cpl)
{
    uint32_t *directory = (uint32_t *)(void *)x86_at(machine, X86_TABLES + 4 * X86_PAGE);
    uint32_t *table = (uint32_t *)(void *)x86_at(machine, X86_TABLES + 5 * X86_PAGE);

    x86_protected_mode(machine, cpl);
    machine->vcpu.sregs.cr0 |= 0x80010000;
    machine->vcpu.sregs.cr4 |= 0x10; /* PSE */
    machine->vcpu.sregs.cr3 = X86_TABLES + 4 * X86_PAGE;
    memset(directory, 0, X86_PAGE);
    directory[0] = (X86_TABLES + 5 * X86_PAGE) | 0x27;
    directory[1] = 0x87;
    for (uint32_t page = 0; page < 1024; page++)
        table[page] = page < 512 ? page * X86_PAGE | 7 : 0;
    table[X86_DEVICE / X86_PAGE + below(4)] ^= 1u << below(3);
}

static enum soft_mode make_mode(void)
{
    const uint8_t cpl = one_in(2) ? 3 : 0;
    visor_x86_sregs *sregs = &machine->vcpu.sregs;
    enum soft_mode mode = SOFT_MODE_32;

    switch (below(10)) {
    case 0:
        x86_real_mode(machine);
        mode = SOFT_MODE_16;
        break;
    case 1: x86_protected_mode(machine, cpl); break;
    case 2:
        x86_protected_mode(machine, cpl);
        any_segments(sregs);
        break;
    case 3:
        x86_protected_mode(machine, cpl);
        any_segments(sregs);
        sregs->cs.db = 0;
        mode = SOFT_MODE_16;
        break;
    case 4:
        pae_mode(cpl);
        make_pages();
        break;
    case 5: short_mode(cpl); break;
    case 6:
        x86_long_mode(machine, cpl);
        sregs->cs.l = 0;
        sregs->cs.db = 1;
        make_pages();
        any_segments(sregs);
        break;
    default:
        x86_long_mode(machine, cpl);
        sregs->fs.base = X86_DEVICE;
        if (one_in(2))
            make_pages();
        mode = SOFT_MODE_64;
        break;
    }
    return mode;
}

static void make_registers(void)
{
    struct visor__assist_x86_state *made = &machine->vcpu;

    for (unsigned i = 0; i < 16; i++) {
        *x86_gpr(&made->regs, i) = interesting();
        for (unsigned n = 0; n < 16; n++) {
            made->fpu.xmm[i][n] = (uint8_t)next_random();
            made->ymm_high[i][n] = (uint8_t)next_random();
        }
    }
    if (repeats)
        made->regs.rcx = below(9);
    for (unsigned i = 0; i < 8; i++) {
        made->fpu.st[i].significand = next_random() | UINT64_C(1) << 63;
        made->fpu.st[i].sign_exponent = (uint16_t)(0x3ff0 + below(64));
    }
    made->fpu.ftw = (uint8_t)next_random();
    made->fpu.fsw = (uint16_t)(below(8) << 11);
    made->fpu.mxcsr = one_in(4) ? next_random() & 0xffc0 : 0x1f80;
    made->regs.rflags = 2 | (next_random() & 0x8d5);
    made->regs.rflags |= (one_in(3) ? 0x400u : 0) | (one_in(16) ? 0x100u : 0) |
                         (one_in(16) ? 0x40000u : 0) | (one_in(2) ? 0x3000u : 0) |
                         (one_in(16) ? 0x10000u : 0);
    made->sregs.cr0 |= (one_in(16) ? 8u : 0) | (one_in(4) ? 0x20u : 0) | (one_in(4) ? 0x40000u : 0);
    made->sregs.cr4 |= (one_in(8) ? 0x200000u : 0) & (made->sregs.cr0 >> 31 ? ~0u : 0);
    made->sregs.tr =
        (visor_x86_segment){.base = X86_DATA + 0x1000, .limit = 0x2067, .type = 11, .present = 1};
    made->sregs.gdt = (visor_x86_table){.base = X86_DATA + 0x4000, .limit = 0xff};
}

/* The code where the vCPU will fetch it; sometimes it crosses a page. */
static void put_code(void)
{
    uint64_t at = X86_CODE + (one_in(8) ? X86_PAGE - 1 - below(insn.length) : below(64));

    memcpy(x86_at(machine, at), code, sizeof(code));
    machine->vcpu.regs.rip = at;
    /* It has been fetched, if the bytes are given. */
    for (unsigned page = 0; page < 3 && (machine->vcpu.sregs.cr0 >> 31) != 0; page++) {
        if ((machine->vcpu.sregs.cr4 & 0x20) != 0)
            *x86_pte(machine, X86_CODE + page * X86_PAGE) |= 0x20;
        else
            *(uint32_t *)(void *)x86_at(machine, X86_TABLES + 5 * X86_PAGE + 4 * (1 + page)) |=
                0x20;
    }
}

/* ---- running both ---- */

static void refresh(struct x86_machine *one)
{
    memcpy(x86_at(one, 0), fresh, X86_DEVICE);
    memcpy(x86_at(one, X86_MORE), fresh + X86_MORE, X86_ROM - X86_MORE);
    memcpy(x86_at(one, X86_ROM), fresh + X86_ROM, X86_END - X86_ROM);
    memcpy(one->device, fresh_device, sizeof(one->device));
}

static void copy_to_other(void)
{
    /* Beside what was made up for this case, they are the same. */
    memcpy(x86_at(other, 0), x86_at(machine, 0), X86_DEVICE);
    memcpy(x86_at(other, X86_MORE), x86_at(machine, X86_MORE), X86_ROM - X86_MORE);
    memcpy(x86_at(other, X86_ROM), x86_at(machine, X86_ROM), X86_END - X86_ROM);
    memcpy(other->device, machine->device, sizeof(machine->device));
    other->logged = other->injects = 0;
    soft_set_sregs(cpu, &machine->vcpu.sregs);
    soft_set_regs(cpu, &machine->vcpu.regs);
    soft_set_fpu(cpu, &machine->vcpu.fpu);
    cpu->xcr0 = machine->vcpu.xcr0;
    for (unsigned i = 0; i < 16; i++)
        memcpy(cpu->v[i].u8 + 16, machine->vcpu.ymm_high[i], 16);
    cpu->event.kind = SOFT_EVENT_NONE;
    cpu->shadow = 0;
    cpu->stamp++;
    soft_mode_update(cpu);
}

static void run_soft(void)
{
    const uint64_t start = cpu->rip;
    int ret;

    do {
        ret = soft_step(cpu);
        while (ret == VISOR_EXIT_MMIO || ret == VISOR_EXIT_IO) {
            const struct soft_access *access = &cpu->log.next;
            visor_io io = {.address = access->address,
                           .length = access->length,
                           .is_write = access->is_write,
                           .space = ret == VISOR_EXIT_IO ? VISOR_PIO : VISOR_MMIO};

            if (io.is_write)
                visor_io_set_value(&io, access->value);
            x86_serve(other, &io);
            soft_answer(cpu, visor_io_value(&io), false);
            ret = soft_step(cpu);
        }
        CHECK_INT(ret, VISOR_EXIT_NONE);
    } while (ret == VISOR_EXIT_NONE && repeats && cpu->rip == start &&
             cpu->event.kind == SOFT_EVENT_NONE);
    soft_get_sregs(&other->vcpu.sregs, cpu);
    soft_get_regs(&other->vcpu.regs, cpu);
    soft_get_fpu(&other->vcpu.fpu, cpu);
    for (unsigned i = 0; i < 16; i++)
        memcpy(other->vcpu.ymm_high[i], cpu->v[i].u8 + 16, 16);
    other->vcpu.shadow = cpu->shadow;
    if (cpu->event.kind == SOFT_EVENT_NONE)
        return;
    other->injects = 1;
    other->exception = (struct visor__assist_x86_exception){.vector = cpu->event.vector,
                                                            .has_error_code = cpu->event.has_error,
                                                            .error_code = cpu->event.error};
    if (cpu->event.vector == SOFT_PF_FAULT)
        other->exception.payload = cpu->cr2;
}

/* Returns whether the assist has done it. */
static bool run_assist(void)
{
    const uint64_t start = machine->vcpu.regs.rip;
    const unsigned known = one_in(3) ? 0 : below(sizeof(code) + 1);
    unsigned logged = 0;
    int ret;

    machine->logged = machine->injects = 0;
    do {
        ret = visor__assist_x86_start(&machine->exit, machine->assist, code, known);
        if (ret == VISOR_EXIT_INTERNAL_ERROR)
            return false;
        CHECK_INT(x86_finish(machine, ret), VISOR_EXIT_NONE);
        logged += machine->logged - logged;
    } while (repeats && machine->vcpu.regs.rip == start && machine->injects == 0);
    return true;
}

/* Not by their bytes: there are some between the members. */
static bool same_access(const visor_io *a, const visor_io *b)
{
    return a->address == b->address && a->length == b->length && a->is_write == b->is_write &&
           a->space == b->space && visor_io_value(a) == visor_io_value(b);
}

/* ---- comparing ---- */

static void check_same(void)
{
    const struct visor__assist_x86_state *a = &machine->vcpu;
    struct visor__assist_x86_state *b = &other->vcpu;

    b->sregs.cr2 = a->sregs.cr2;
    CHECK(memcmp(&a->regs, &b->regs, sizeof(a->regs)) == 0);
    CHECK(memcmp(&a->fpu, &b->fpu, sizeof(a->fpu)) == 0);
    CHECK(memcmp(a->ymm_high, b->ymm_high, sizeof(a->ymm_high)) == 0);
    CHECK(memcmp(&a->sregs, &b->sregs, sizeof(a->sregs)) == 0);
    CHECK_INT(a->shadow, b->shadow);
    CHECK_INT(machine->injects, other->injects);
    if (machine->injects != 0) {
        CHECK_INT(machine->exception.vector, other->exception.vector);
        CHECK_INT(machine->exception.has_error_code, other->exception.has_error_code);
        CHECK_INT(machine->exception.error_code, other->exception.error_code);
        if (machine->exception.vector == SOFT_PF_FAULT)
            CHECK_INT(machine->exception.payload, other->exception.payload);
    }
    CHECK_INT(machine->logged, other->logged);
    for (unsigned i = 0; i < machine->logged && i < X86_LOG; i++)
        CHECK(same_access(&machine->log[i], &other->log[i]));
    CHECK(memcmp(machine->device, other->device, sizeof(machine->device)) == 0);
    CHECK(memcmp(x86_at(machine, 0), x86_at(other, 0), X86_DEVICE) == 0);
    CHECK(memcmp(x86_at(machine, X86_MORE), x86_at(other, X86_MORE), X86_ROM - X86_MORE) == 0);
    CHECK(memcmp(x86_at(machine, X86_ROM), x86_at(other, X86_ROM), X86_END - X86_ROM) == 0);
}

static void print_case(uint64_t seed)
{
    printf("#   VISOR_SEED=%#" PRIx64 " VISOR_ASSIST_COUNT=1: %s,", seed,
           soft_insn_name((enum soft_insn_id)insn.id));
    for (unsigned i = 0; i < insn.length; i++)
        printf(" %02x", code[i]);
    printf(", %u and %u accesses, exceptions %u and %u\n", machine->logged, other->logged,
           machine->injects != 0 ? machine->exception.vector : 256u,
           other->injects != 0 ? other->exception.vector : 256u);
}

static bool set_up(void)
{
    machine = x86_new();
    other = x86_new_on("soft");
    if (!CHECK_OK(visor_vcpu_create(&vcpu, other->vm, 0)))
        return false;
    cpu = soft_vcpu_of(vcpu)->cpu;
    state = 1;
    for (unsigned i = 0; i < X86_END; i++)
        fresh[i] = (uint8_t)(i < X86_TABLES || i >= X86_MORE ? next_random() : 0);
    for (unsigned i = 0; i < sizeof(fresh_device); i++)
        fresh_device[i] = (uint8_t)next_random();
    return true;
}

static void tear_down(void)
{
    visor_vcpu_free(vcpu);
    x86_free(machine);
    x86_free(other);
}

TEST(the_same_as_the_backend)
{
    const uint64_t count = setting("VISOR_ASSIST_COUNT", COUNT);
    uint64_t seed = setting("VISOR_SEED", visor__os_now_ns() | 1);
    unsigned done = 0, refused = 0, accesses = 0, faults = 0;

    printf("# VISOR_SEED=%#" PRIx64 "\n", seed);
    REQUIRE(set_up());
    state = seed;
    for (uint64_t i = 0; i < count && !atomic_load(&unit_failed); i++) {
        uint8_t before[2 * X86_PAGE];

        seed = state;
        refresh(machine);
        make_insn(make_mode());
        make_registers();
        put_code();
        copy_to_other();
        memcpy(before, x86_at(machine, X86_CODE), sizeof(before));
        if (!run_assist()) {
            refused++;
            continue;
        }
        run_soft();
        done++;
        accesses += machine->logged;
        faults += machine->injects;
        /* One that changes itself is only known to end. */
        if (memcmp(before, x86_at(other, X86_CODE), sizeof(before)) == 0)
            check_same();
        if (atomic_load(&unit_failed))
            print_case(seed);
    }
    printf("# %u instructions, %u accesses to devices, %u faults; %u refused\n", done, accesses,
           faults, refused);
    CHECK(count < 1000 || (accesses > done / 4 && faults < done * 3 / 4));
    tear_down();
}

UNIT_MAIN()
