/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupt chips against those in the kernel: a guest of KVM, and our chips, get the same
 * random accesses, lines and messages, and have to be in the same state after each. Needs a
 * /dev/kvm with chips; the lab has one.
 *
 * What is left out, because the two differ and why (Linux 6.1, arch/x86/kvm):
 *  - time: timers, and whatever shows it. The kernel's clock does not stand still.
 *  - i8259.c ignores special mask mode when it looks for requests, and its poll command is no
 *    acknowledge cycle: neither is used here.
 *  - lapic.c knows no errors: no illegal vectors, no registers that do not exist; ESR is not read.
 *    It shows no arbitration priority, lets read-only bits of LVT entries and the trigger mode of
 *    IPIs be written, and knows LINT0 as the PIC's wire only. Of a logical ID with several bits
 *    it looks at the first.
 *    On AMD's processors the task priority goes through the four bits of CR8, so it is a multiple
 *    of 16 here.
 *  - i8254.c keeps a latched count when a channel is programmed anew, so latches are read before.
 *    Of several logical destinations it may choose one that is not there for the lowest priority
 *    (kvm_vector_to_index()): that mode and logical destinations do not come together.
 *  - While the local APIC is off by software, ioapic.c takes a level interrupt that nobody gets for
 *    one that was accepted: it is not left off.
 *  - ioapic.c has version 0x11, without EOI register. An edge whose line is raised once more, while
 *    it is high, is pending again in its state: lines change here.
 *  - NMI, SMI and INIT would change the guest that does the accesses.
 */
#include <unistd.h>
#include <visor.h>

#include "chips.h"
#include "numbers.h"

#define OPERATIONS 4000u
#define CODE       0x1000u
#define STUBS      0x2000u
#define STUB_SIZE  8u
#define DONE_PORT  0xf0u
#define TAKEN_PORT 0xf1u

/* What the guest can be told to do, in real mode with ES and FS at the chips' pages. Each ends with
 * an access to DONE_PORT; an interrupt or exception goes to TAKEN_PORT with its vector. */
enum code { OUT, IN, STORE_ES, LOAD_ES, STORE_FS, LOAD_FS, TAKE, RDMSR, WRMSR, CODE_COUNT };
static const uint8_t codes[CODE_COUNT][STUB_SIZE] = {
    [OUT] = {0xee, 0xe6, DONE_PORT},                        /* out dx, al */
    [IN] = {0xec, 0xe6, DONE_PORT},                         /* in al, dx */
    [STORE_ES] = {0x26, 0x66, 0x89, 0x07, 0xe6, DONE_PORT}, /* mov es:[bx], eax */
    [LOAD_ES] = {0x26, 0x66, 0x8b, 0x07, 0xe6, DONE_PORT},  /* mov eax, es:[bx] */
    [STORE_FS] = {0x64, 0x66, 0x89, 0x07, 0xe6, DONE_PORT}, /* mov fs:[bx], eax */
    [LOAD_FS] = {0x64, 0x66, 0x8b, 0x07, 0xe6, DONE_PORT},  /* mov eax, fs:[bx] */
    [TAKE] = {0xfb, 0x90, 0x90, 0xe6, DONE_PORT},           /* sti; nop; nop */
    [RDMSR] = {0x0f, 0x32, 0xe6, DONE_PORT},
    [WRMSR] = {0x0f, 0x30, 0xe6, DONE_PORT},
};

struct pair {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    struct chips chips;
    uint64_t random;
    uint32_t lines;   /* levels */
    char log[16][96]; /* the last operations */
    unsigned count;
};

static uint32_t pick(struct pair *pair, uint32_t below)
{
    return (uint32_t)(numbers_next(&pair->random) >> 33) % below;
}
#define PICK(pair, ...) \
    ((const uint32_t[]){__VA_ARGS__}[pick((pair), sizeof((const uint32_t[]){__VA_ARGS__}) / 4)])

static void pair_free(struct pair *pair)
{
    visor_vcpu_free(pair->vcpu);
    visor_vm_free(pair->vm);
    visor_memory_free(pair->memory);
    visor_hypervisor_free(pair->hv);
    if (pair->chips.chip != NULL)
        chips_free(&pair->chips);
}

static bool load_guest(struct pair *pair)
{
    visor_x86_sregs sregs;

    for (uint16_t vector = 0; vector < 256; vector++) {
        uint16_t at = (uint16_t)(STUBS + vector * STUB_SIZE);
        const uint16_t entry[2] = {at, 0};
        const uint8_t stub[STUB_SIZE] = {0xb0, (uint8_t)vector, 0xe6, TAKEN_PORT, 0xeb, 0xfe};

        CHECK_OK(visor_memory_write(pair->memory, vector * 4u, entry, sizeof(entry)));
        CHECK_OK(visor_memory_write(pair->memory, at, stub, sizeof(stub)));
    }
    CHECK_OK(visor_memory_write(pair->memory, CODE, codes, sizeof(codes)));
    visor_x86_reset_sregs(&sregs);
    sregs.cs.base = sregs.cs.selector = 0;
    sregs.es.base = LAPIC_PAGE;
    sregs.fs.base = IOAPIC_PAGE;
    return CHECK_OK(visor_x86_set_sregs(pair->vcpu, &sregs));
}

/* Returns false if this machine has no such KVM. */
static bool pair_create(struct pair *pair)
{
    const visor_memory_region ram = {.length = 0x10000};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    const char *seed = getenv("VISOR_SEED");

    memset(pair, 0, sizeof(*pair));
    pair->random = seed != NULL ? strtoull(seed, NULL, 0) : visor__os_now_ns() | 1;
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    if (visor_hypervisor_open(&pair->hv, "kvm") < 0)
        return false;
    if (visor_hypervisor_cap(pair->hv, VISOR_CAP_IRQCHIP) == 0 ||
        visor_memory_create(&pair->memory, &ram, 1, NULL) < 0 ||
        visor_vm_create(&pair->vm, pair->hv, pair->memory, &config) < 0 ||
        visor_vcpu_create(&pair->vcpu, pair->vm, 0) < 0) {
        pair_free(pair);
        return false;
    }
    printf("# VISOR_SEED=0x%llx\n", (unsigned long long)pair->random);
    CHECK_OK(visor_x86_configure_cpuid(pair->vcpu, NULL));
    return load_guest(pair) && chips_create(&pair->chips, false, NULL, 1);
}

static void note(struct pair *pair, const char *what, uint64_t a, uint64_t b)
{
    snprintf(pair->log[pair->count++ % 16], sizeof(pair->log[0]), "%s 0x%llx, 0x%llx", what,
             (unsigned long long)a, (unsigned long long)b);
}

static void tell(const struct pair *pair)
{
    for (unsigned i = pair->count > 16 ? pair->count - 16 : 0; i < pair->count; i++)
        printf("#   %u: %s\n", i, pair->log[i % 16]);
}

/* Lets the guest do it. Returns the vector that it took, or -1; *rax: in and out. */
static int guest_do(struct pair *pair, enum code code, uint16_t address, uint64_t *rax,
                    uint64_t rcx, uint64_t *rdx)
{
    visor_x86_regs regs;
    const visor_exit *exit = visor_vcpu_exit(pair->vcpu);
    bool is_port = code == OUT || code == IN;

    visor_x86_reset_regs(&regs);
    regs.rip = CODE + code * STUB_SIZE;
    regs.rsp = 0x8000;
    regs.rax = *rax;
    regs.rbx = address;
    regs.rcx = rcx;
    regs.rdx = is_port ? address : *rdx;
    CHECK_OK(visor_vcpu_settle(pair->vcpu));
    CHECK_OK(visor_x86_set_regs(pair->vcpu, &regs));
    if (!CHECK_INT(visor_vcpu_run(pair->vcpu), VISOR_EXIT_IO))
        return -2;
    CHECK_OK(visor_x86_get_regs(&regs, pair->vcpu));
    *rax = regs.rax;
    *rdx = regs.rdx;
    if (exit->io.address == TAKEN_PORT)
        return (int)visor_io_value(&exit->io);
    return CHECK_INT(exit->io.address, DONE_PORT) ? -1 : -2;
}

/* ---- one operation on both ---- */

static bool same_int(struct pair *pair, uint64_t kvm, uint64_t ours, const char *what)
{
    if (kvm == ours)
        return true;
    unit_check(false, __FILE__, __LINE__, what);
    printf("#   KVM has 0x%llx, we have 0x%llx\n", (unsigned long long)kvm,
           (unsigned long long)ours);
    tell(pair);
    return false;
}

static bool do_port(struct pair *pair, uint16_t port, bool is_write, uint8_t value)
{
    uint64_t rax = value, rdx = 0;

    note(pair, is_write ? "out" : "in", port, value);
    guest_do(pair, is_write ? OUT : IN, port, &rax, 0, &rdx);
    if (is_write) {
        outb(&pair->chips, port, value);
        return true;
    }
    return same_int(pair, rax & 0xff, inb(&pair->chips, port), "in");
}

static bool do_page(struct pair *pair, uint32_t page, uint16_t offset, bool is_write,
                    uint32_t value)
{
    bool is_apic = page == LAPIC_PAGE;
    uint64_t rax = value, rdx = 0, ours = value;
    enum code code = is_apic ? (is_write ? STORE_ES : LOAD_ES) : (is_write ? STORE_FS : LOAD_FS);

    note(pair, is_write ? "store" : "load", page + offset, value);
    guest_do(pair, code, offset, &rax, 0, &rdx);
    CHECK(cpu_access(&pair->chips, 0, VISOR_MMIO, page + offset, 4, is_write, &ours));
    return is_write || same_int(pair, (uint32_t)rax, ours, "load");
}

static bool do_take(struct pair *pair)
{
    uint64_t rax = 0, rdx = 0;

    note(pair, "take", 0, 0);
    return same_int(pair, (uint64_t)guest_do(pair, TAKE, 0, &rax, 0, &rdx),
                    (uint64_t)take(&pair->chips, 0), "vector");
}

static bool do_line(struct pair *pair, uint32_t gsi)
{
    bool level = (pair->lines >> gsi & 1) == 0;

    pair->lines ^= 1u << gsi;
    note(pair, "line", gsi, level);
    CHECK_OK(visor_vm_set_irq(pair->vm, gsi, level));
    line(&pair->chips, gsi, level);
    return true;
}

static bool do_msi(struct pair *pair, uint32_t address, uint32_t data)
{
    const visor_msi msi = {.address = address, .data = data};

    note(pair, "msi", address, data);
    return same_int(pair, (uint64_t)visor_vm_send_msi(pair->vm, &msi),
                    (uint64_t)visor__irqchip_send_msi(pair->chips.chip, &msi), "msi");
}

/* A fault is vector 13. */
static bool do_msr(struct pair *pair, uint32_t index, bool is_write, uint64_t value)
{
    uint64_t rax = (uint32_t)value, rdx = value >> 32, ours = 0;
    int kvm;
    enum visor__msr_result result;

    note(pair, is_write ? "wrmsr" : "rdmsr", index, value);
    kvm = guest_do(pair, is_write ? WRMSR : RDMSR, 0, &rax, index, &rdx);
    if (is_write)
        result = msr_write(&pair->chips, 0, index, value);
    else
        result = visor__lapic_read_msr(&ours, pair->chips.cpus[0].lapic, index, true);
    if (!same_int(pair, (uint64_t)kvm, result == VISOR__MSR_DONE ? UINT64_MAX : 13, "fault"))
        return false;
    return is_write || result != VISOR__MSR_DONE ||
           same_int(pair, (uint32_t)rax | rdx << 32, ours, "rdmsr");
}

/* ---- comparing ---- */

static bool same_bytes(struct pair *pair, const void *kvm, const void *ours, size_t size,
                       const char *what)
{
    for (size_t i = 0; i < size; i++) {
        if (!same_int(pair, ((const uint8_t *)kvm)[i], ((const uint8_t *)ours)[i], what)) {
            printf("#   byte %zu of %zu\n", i, size);
            return false;
        }
    }
    return true;
}

static bool same_pics(struct pair *pair)
{
    visor_x86_pic kvm[2], ours[2];

    for (unsigned i = 0; i < 2; i++) {
        CHECK_OK(visor_x86_get_pic(&kvm[i], pair->vm, i == 1));
        visor__irqchip_get_state(&ours[i], sizeof(ours[i]), pair->chips.chip,
                                 i == 1 ? VISOR__VM_STATE_X86_PIC_SECONDARY
                                        : VISOR__VM_STATE_X86_PIC_PRIMARY);
    }
    return same_bytes(pair, kvm, ours, sizeof(kvm), "PICs");
}

static bool same_ioapic(struct pair *pair)
{
    visor_x86_ioapic kvm, ours;

    CHECK_OK(visor_x86_get_ioapic(&kvm, pair->vm));
    visor__irqchip_get_state(&ours, sizeof(ours), pair->chips.chip, VISOR__VM_STATE_X86_IOAPIC);
    for (unsigned pin = 0; pin < VISOR_X86_IOAPIC_PINS; pin++) {
        if (!same_int(pair, kvm.redirect[pin], ours.redirect[pin], "redirection entry")) {
            printf("#   pin %u\n", pin);
            return false;
        }
    }
    return same_int(pair, kvm.base_address, ours.base_address, "base") &&
           same_int(pair, kvm.id, ours.id, "id") && same_int(pair, kvm.irr, ours.irr, "irr") &&
           same_int(pair, kvm.ioregsel, ours.ioregsel, "ioregsel");
}

static bool same_lapic(struct pair *pair)
{
    visor_x86_lapic kvm, ours;

    CHECK_OK(visor_x86_get_lapic(&kvm, pair->vcpu));
    visor__lapic_get_state(&ours, sizeof(ours), pair->chips.cpus[0].lapic, VISOR__STATE_X86_LAPIC);
    for (unsigned reg = 0; reg < 64; reg++) {
        if (!same_int(pair, kvm.regs[reg], ours.regs[reg], "local APIC")) {
            printf("#   register 0x%x\n", reg * 16);
            return false;
        }
    }
    return true;
}

/* ---- a state changes sides ---- */

/* All pieces of one side, the local APIC last. */
struct state {
    visor_x86_pit pit;
    visor_x86_pic pic[2];
    visor_x86_ioapic ioapic;
    visor_x86_lapic lapic;
};

static void get_from_kvm(struct state *out, struct pair *pair)
{
    CHECK_OK(visor_x86_get_pit(&out->pit, pair->vm));
    CHECK_OK(visor_x86_get_pic(&out->pic[0], pair->vm, false));
    CHECK_OK(visor_x86_get_pic(&out->pic[1], pair->vm, true));
    CHECK_OK(visor_x86_get_ioapic(&out->ioapic, pair->vm));
    CHECK_OK(visor_x86_get_lapic(&out->lapic, pair->vcpu));
}

static void set_in_kvm(struct pair *pair, const struct state *state)
{
    CHECK_OK(visor_x86_set_pit(pair->vm, &state->pit));
    CHECK_OK(visor_x86_set_pic(pair->vm, false, &state->pic[0]));
    CHECK_OK(visor_x86_set_pic(pair->vm, true, &state->pic[1]));
    CHECK_OK(visor_x86_set_ioapic(pair->vm, &state->ioapic));
    CHECK_OK(visor_x86_set_lapic(pair->vcpu, &state->lapic));
}

#define CHIP_PIECES(X, state)                              \
    X(VISOR__VM_STATE_X86_PIT, &(state)->pit)              \
    X(VISOR__VM_STATE_X86_PIC_PRIMARY, &(state)->pic[0])   \
    X(VISOR__VM_STATE_X86_PIC_SECONDARY, &(state)->pic[1]) \
    X(VISOR__VM_STATE_X86_IOAPIC, &(state)->ioapic)

static void get_ours(struct state *out, struct pair *pair)
{
#define GET(piece, at) visor__irqchip_get_state(at, sizeof(*(at)), pair->chips.chip, piece);
    CHIP_PIECES(GET, out)
#undef GET
    visor__lapic_get_state(&out->lapic, sizeof(out->lapic), pair->chips.cpus[0].lapic,
                           VISOR__STATE_X86_LAPIC);
}

static void set_ours(struct pair *pair, const struct state *state)
{
#define SET(piece, at) \
    CHECK_OK(visor__irqchip_set_state(pair->chips.chip, piece, at, sizeof(*(at))));
    CHIP_PIECES(SET, state)
#undef SET
    CHECK_OK(visor__lapic_set_state(pair->chips.cpus[0].lapic, VISOR__STATE_X86_LAPIC,
                                    &state->lapic, sizeof(state->lapic)));
}

/*
 * Now and then a state goes from one side to the other. Its own side takes it as well, because an
 * edge that has become a message is not in it.
 */
static void maybe_exchange(struct pair *pair)
{
    struct state state;

    if (pick(pair, 60) != 0)
        return;
    if (pick(pair, 2) == 0) {
        note(pair, "KVM's state", 0, 0);
        get_from_kvm(&state, pair);
    } else {
        note(pair, "our state", 0, 0);
        get_ours(&state, pair);
    }
    set_in_kvm(pair, &state);
    set_ours(pair, &state);
}

/* ---- sequences ---- */

static uint8_t a_vector(struct pair *pair)
{
    return (uint8_t)(0x10 + pick(pair, 0xf0));
}

/*
 * The kernel looks for requests again when the mask is written, we after every word. So line 2, by
 * which the secondary asks, may differ; the kernel's state goes on.
 */
static bool initialize(struct pair *pair, uint16_t base, uint8_t has_icw4)
{
    bool goes_on = do_port(pair, base, true, 0x10 | has_icw4);
    struct state kvm, ours;

    for (unsigned i = 0; goes_on && i < 3u + has_icw4; i++)
        goes_on = do_port(pair, (uint16_t)(base + 1), true, (uint8_t)pick(pair, 256));
    get_from_kvm(&kvm, pair);
    get_ours(&ours, pair);
    goes_on = goes_on && same_int(pair, kvm.pic[0].irr | 4, ours.pic[0].irr | 4, "IRR");
    ours.pic[0].irr = kvm.pic[0].irr;
    goes_on = goes_on && same_bytes(pair, kvm.pic, ours.pic, sizeof(kvm.pic), "PICs");
    set_in_kvm(pair, &kvm);
    set_ours(pair, &kvm);
    return goes_on;
}

static bool pic_step(struct pair *pair)
{
    static const uint16_t bases[] = {0x20, 0xa0};
    uint16_t base = bases[pick(pair, 2)];
    uint64_t few = pick(pair, 256); /* bits set, once it has met another */

    switch (pick(pair, 12)) {
    case 0: return initialize(pair, base, (uint8_t)pick(pair, 2));
    case 1: return do_port(pair, base + 1, true, (uint8_t)(few & pick(pair, 256)));
    case 2: /* OCW2 */
    case 3: return do_port(pair, base, true, (uint8_t)(pick(pair, 256) & 0xe7));
    case 4: return do_port(pair, base, true, (uint8_t)(0x08 | pick(pair, 4))); /* OCW3 */
    case 5: return do_port(pair, (uint16_t)(base + pick(pair, 2)), false, 0);
    case 6:
        return do_port(pair, (uint16_t)(0x4d0 + pick(pair, 2)), pick(pair, 2),
                       (uint8_t)pick(pair, 256));
    case 7:
    case 8: return do_take(pair);
    default: return do_line(pair, PICK(pair, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    }
}

TEST(pic)
{
    struct pair pair;
    bool goes_on = true;

    if (!pair_create(&pair))
        SKIP("no KVM with interrupt chips here; the lab has one");
    for (unsigned i = 0; goes_on && i < OPERATIONS; i++) {
        maybe_exchange(&pair);
        goes_on = pic_step(&pair) && same_pics(&pair);
    }
    pair_free(&pair);
}

static uint32_t an_entry(struct pair *pair)
{
    return a_vector(pair) | PICK(pair, 0, 0, 0x800, 0x100) | PICK(pair, 0, 0x2000) |
           PICK(pair, 0, 0x8000) | PICK(pair, 0, 0, 0, 0x10000) | PICK(pair, 0, 0x5000);
}

static uint32_t a_lvt(struct pair *pair)
{
    return a_vector(pair) | PICK(pair, 0, 0x10000) | PICK(pair, 0, 0x400, 0x700) |
           PICK(pair, 0, 0xa000);
}

/* Destinations: this APIC by its ID or logical ID, everybody, nobody. */
static uint32_t a_destination(struct pair *pair)
{
    return PICK(pair, 0, 0, 1, 2, 0x11, 0x12, 0xff, 0x80) << 24;
}

static bool apic_store(struct pair *pair, uint16_t offset, uint32_t value)
{
    return do_page(pair, LAPIC_PAGE, offset, true, value);
}

static bool apic_step(struct pair *pair)
{
    static const uint16_t readable[] = {0x20,  0x30,  0x80,  0xa0,  0xd0,  0xe0,  0xf0,
                                        0x100, 0x170, 0x190, 0x1f0, 0x220, 0x270, 0x300,
                                        0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370};
    uint32_t pin = pick(pair, VISOR_X86_IOAPIC_PINS);

    switch (pick(pair, 24)) {
    case 0: return apic_store(pair, 0x80, pick(pair, 16) << 4);
    case 1:
    case 2:
    case 3:
    case 4: return apic_store(pair, 0xb0, 0);
    case 5:
        return (pick(pair, 4) != 0 || apic_store(pair, 0xf0, 0xef)) &&
               apic_store(pair, 0xf0, 0x100 | pick(pair, 0x300));
    case 6: /* flat or cluster */
        if (pick(pair, 2) == 0)
            return apic_store(pair, 0xd0, 0x01000000u << pick(pair, 8)) &&
                   apic_store(pair, 0xe0, UINT32_MAX);
        return apic_store(pair, 0xd0, PICK(pair, 0x11, 0x12, 0x82, 0x01) << 24) &&
               apic_store(pair, 0xe0, 0);
    case 7: return pick(pair, 8) != 0 || apic_store(pair, 0x20, PICK(pair, 0, 1, 2) << 24);
    case 8: return apic_store(pair, (uint16_t)PICK(pair, 0x330, 0x340, 0x360), a_lvt(pair));
    case 9: /* as the PIC's wire, or masked */
        return apic_store(pair, 0x350, 0x700 | PICK(pair, 0x10000, 0x10000, 0));
    case 10: return apic_store(pair, 0x370, a_vector(pair) | 0x10000);
    case 11:
    case 12:
        return apic_store(pair, 0x310, a_destination(pair)) &&
               apic_store(pair, 0x300,
                          a_vector(pair) | PICK(pair, 0, 0x100, 0x800) | PICK(pair, 0, 0x4000) |
                              PICK(pair, 0, 0, 0x40000, 0x80000, 0xc0000));
    case 13: return do_page(pair, LAPIC_PAGE, readable[pick(pair, sizeof(readable) / 2)], false, 0);
    case 14:
        return do_page(pair, IOAPIC_PAGE, 0, true, 0x11 + 2 * pin) &&
               do_page(pair, IOAPIC_PAGE, 0x10, true, a_destination(pair));
    case 15:
    case 16:
        return do_page(pair, IOAPIC_PAGE, 0, true, 0x10 + 2 * pin) &&
               do_page(pair, IOAPIC_PAGE, 0x10, true, an_entry(pair));
    case 17:
        return do_page(pair, IOAPIC_PAGE, 0, true, PICK(pair, 0, 0x10, 0x11, 0x3f, 0x40, 0x80)) &&
               do_page(pair, IOAPIC_PAGE, 0x10, false, 0);
    case 18:
        return do_msi(pair, LAPIC_PAGE | a_destination(pair) >> 12 | PICK(pair, 0, 4, 8),
                      a_vector(pair) | PICK(pair, 0, 0x8000, 0xc000));
    case 19:
    case 20: return do_take(pair);
    default: return do_line(pair, 1 + pick(pair, 23));
    }
}

/* The PICs are masked; their lines move with the I/O APIC's. */
TEST(apics)
{
    struct pair pair;
    bool goes_on;

    if (!pair_create(&pair))
        SKIP("no KVM with interrupt chips here; the lab has one");
    goes_on = do_port(&pair, 0x21, true, 0xff) && do_port(&pair, 0xa1, true, 0xff) &&
              apic_store(&pair, 0xf0, 0x1ff);
    for (unsigned i = 0; goes_on && i < OPERATIONS; i++) {
        maybe_exchange(&pair);
        goes_on = apic_step(&pair) && same_lapic(&pair) && same_ioapic(&pair);
    }
    pair_free(&pair);
}

static bool x2apic_step(struct pair *pair)
{
    static const uint16_t registers[] = {0x802, 0x803, 0x808, 0x80a, 0x80b, 0x80d, 0x80e, 0x80f,
                                         0x810, 0x817, 0x81a, 0x822, 0x827, 0x830, 0x831, 0x832,
                                         0x833, 0x834, 0x835, 0x836, 0x837, 0x83f};
    uint64_t destination = (uint64_t)PICK(pair, 0, 0, 1, 0x10001, 0xff, 0x10000, UINT32_MAX) << 32;

    switch (pick(pair, 12)) {
    case 0: return do_msr(pair, 0x808, true, pick(pair, 16) << 4);
    case 1:
    case 2: return do_msr(pair, 0x80b, true, 0);
    case 3: return do_msr(pair, 0x80f, true, pick(pair, 8) == 0 ? 0xef : 0x100 | pick(pair, 256));
    case 4: return do_msr(pair, 0x83f, true, a_vector(pair));
    case 5:
    case 6:
        return do_msr(pair, 0x830, true,
                      destination | a_vector(pair) | PICK(pair, 0, 0x100, 0x800) |
                          PICK(pair, 0, 0, 0x40000, 0x80000, 0xc0000));
    case 7: return do_msr(pair, registers[pick(pair, sizeof(registers) / 2)], false, 0);
    case 8: return do_msr(pair, PICK(pair, 0x802, 0x803, 0x80a, 0x80d, 0x810, 0x820), true, 0);
    case 9:
        return do_msi(pair, LAPIC_PAGE | a_destination(pair) >> 12 | PICK(pair, 0, 4),
                      a_vector(pair));
    default: return do_take(pair);
    }
}

TEST(x2apic)
{
    struct pair pair;
    bool goes_on;

    if (!pair_create(&pair))
        SKIP("no KVM with interrupt chips here; the lab has one");
    goes_on = do_port(&pair, 0x21, true, 0xff) && do_port(&pair, 0xa1, true, 0xff) &&
              apic_store(&pair, 0xf0, 0x1ff) && do_msr(&pair, 0x802, false, 0) &&
              do_msr(&pair, 0x1b, true, 0xfee00500) && do_msr(&pair, 0x1b, true, 0xfee00d00) &&
              do_msr(&pair, 0x1b, true, 0xfee00900);
    for (unsigned i = 0; goes_on && i < OPERATIONS; i++) {
        maybe_exchange(&pair);
        goes_on = x2apic_step(&pair) && same_lapic(&pair);
    }
    pair_free(&pair);
}

/* ---- 8254 ---- */

/* Counts go on with time, so it is not compared what is read. */
static bool read_count(struct pair *pair, uint8_t channel)
{
    uint64_t rax = 0, rdx = 0;

    note(pair, "in", 0x40u + channel, 0);
    guest_do(pair, IN, (uint16_t)(0x40 + channel), &rax, 0, &rdx);
    inb(&pair->chips, (uint16_t)(0x40 + channel));
    return true;
}

static bool pit_step(struct pair *pair)
{
    uint8_t channel = (uint8_t)(1 + pick(pair, 2));
    const visor_x86_pit_channel *ours = &pair->chips.chip->pit.state.channel[channel];

    switch (pick(pair, 6)) {
    case 0:
        while (ours->count_latched != 0 || ours->status_latched != 0)
            read_count(pair, channel);
        return do_port(pair, 0x43, true,
                       (uint8_t)((unsigned)channel << 6 | PICK(pair, 0x10u, 0x20u, 0x30u) |
                                 pick(pair, 8) << 1));
    case 1: return do_port(pair, 0x43, true, (uint8_t)(channel << 6)); /* latch */
    case 2: return do_port(pair, 0x43, true, (uint8_t)(0xc0 | pick(pair, 4) << 4 | 2u << channel));
    case 3: return read_count(pair, channel);
    case 4: return do_port(pair, 0x61, true, (uint8_t)pick(pair, 4));
    default: return do_port(pair, (uint16_t)(0x40 + channel), true, (uint8_t)pick(pair, 256));
    }
}

static bool same_pit(struct pair *pair)
{
    visor_x86_pit kvm, ours;

    CHECK_OK(visor_x86_get_pit(&kvm, pair->vm));
    visor__irqchip_get_state(&ours, sizeof(ours), pair->chips.chip, VISOR__VM_STATE_X86_PIT);
    for (unsigned i = 0; i < 3; i++) {
        /* What shows the time; of the status the output and (not in KVM) the null count. */
        kvm.channel[i].load_time = ours.channel[i].load_time = 0;
        kvm.channel[i].latched_count = ours.channel[i].latched_count = 0;
        kvm.channel[i].status &= 0x3f;
        ours.channel[i].status &= 0x3f;
    }
    return same_bytes(pair, &kvm, &ours, sizeof(kvm), "PIT");
}

TEST(pit)
{
    struct pair pair;
    bool goes_on;

    if (!pair_create(&pair))
        SKIP("no KVM with interrupt chips here; the lab has one");
    /* The status of a channel that was never programmed is nobody's business. */
    goes_on = do_port(&pair, 0x43, true, 0x74) && do_port(&pair, 0x43, true, 0xb4);
    for (unsigned i = 0; goes_on && i < OPERATIONS; i++) {
        maybe_exchange(&pair);
        goes_on = pit_step(&pair) && same_pit(&pair);
    }
    pair_free(&pair);
}

UNIT_MAIN()
