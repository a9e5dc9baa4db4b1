/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * soft[deterministic=on] with interrupt chips: a guest that the PIT and the local APIC's timer
 * interrupt, which reads its clocks, halts, and copies strings, is the same in each run, whatever
 * the host does meanwhile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include <visor.h>

#include "unit.h"

#define RAM          0x10000u
#define CODE         0x1000u
#define LVT_AT       0x800u /* what main writes to the timer's entry */
#define PERIODIC     0x20060u
#define TSC_DEADLINE 0x40060u
#define EXITS        60u

/* Real mode, FS at the local APIC. */
static const uint8_t main_code[] = {
    /* PIC: vector 0x20, IRQ 0 alone; PIT: 2000 ticks, 1.676 ms */
    0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, /**/
    0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xfe, 0xe6, 0x21,                         /**/
    0xb0, 0x34, 0xe6, 0x43, 0xb0, 0xd0, 0xe6, 0x40, 0xb0, 0x07, 0xe6, 0x40, /**/
    /* local APIC: on, LINT0 ExtINT, timer by 1 and as LVT_AT says; initial count 700001 */
    0x64, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0x00, 0x00, /**/
    0x64, 0x66, 0xc7, 0x06, 0x50, 0x03, 0x00, 0x07, 0x00, 0x00, /**/
    0x64, 0x66, 0xc7, 0x06, 0xe0, 0x03, 0x0b, 0x00, 0x00, 0x00, /**/
    0x66, 0xa1, 0x00, 0x08, 0x64, 0x66, 0xa3, 0x20, 0x03,       /**/
    0x64, 0x66, 0xc7, 0x06, 0x80, 0x03, 0x61, 0xae, 0x0a, 0x00, /**/
    0xe8, 0x43, 0x00,                                           /* call arm */
    0xfb,                                                       /* sti */
    0xb9, 0xb8, 0x0b,                                           /* 1: mov cx, 3000 */
    0x66, 0x69, 0xdb, 0x6d, 0x4e, 0xc6, 0x41,                   /* 2: imul ebx, ebx, 1103515245 */
    0x66, 0x81, 0xc3, 0x39, 0x30, 0x00, 0x00,                   /* add ebx, 12345 */
    0xf6, 0xc7, 0x01, 0x74, 0x03, 0x66, 0x01, 0xdd, /* test bh, 1; jz 3f; add ebp, ebx */
    0xe2, 0xe8,                                     /* 3: loop 2b */
    0xbe, 0x00, 0x30,                               /* mov si, 0x3000 */
    0xbf, 0x00, 0x40, 0xb9, 0x00, 0x20,             /* mov di, 0x4000; mov cx, 0x2000 */
    0xf3, 0xa4,                                     /* rep movsb */
    0xe4, 0x40, 0x88, 0xc4, 0xe4, 0x40, 0x01, 0xc5, /* the PIT's count to bp */
    0x64, 0x66, 0xa1, 0x90, 0x03, 0x66, 0x01, 0xc5, /* the timer's to ebp */
    0x66, 0xf7, 0xc3, 0x00, 0x00, 0x0f, 0x00,       /* test ebx, 0xf0000 */
    0x75, 0xc1, 0xf4, 0xeb, 0xbe,                   /* jnz 1b; hlt; jmp 1b */
    /* arm: rdtsc; add eax, 654321; adc edx, 0; mov ecx, 0x6e0; wrmsr; ret */
    0x0f, 0x31, 0x66, 0x05, 0xf1, 0xfb, 0x09, 0x00, 0x66, 0x83, 0xd2, 0x00, /**/
    0x66, 0xb9, 0xe0, 0x06, 0x00, 0x00, 0x0f, 0x30, 0xc3};
/* push eax; push edx; rdtsc; out 0xf0, eax; mov al, 0x20; out 0x20, al; pop edx; pop eax; iret */
static const uint8_t on_pit[] = {0x66, 0x50, 0x66, 0x52, 0x0f, 0x31, 0x66, 0xe7, 0xf0,
                                 0xb0, 0x20, 0xe6, 0x20, 0x66, 0x5a, 0x66, 0x58, 0xcf};
/* pushad; rdtsc; out 0xf1, eax; call arm; mov dword ptr fs:[0xb0], 0; popad; iret */
static const uint8_t on_timer[] = {
    0x66, 0x60, 0x0f, 0x31, 0x66, 0xe7, 0xf1, 0xe8, 0x00, 0x00, /* to arm */
    0x64, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x66, 0x61, 0xcf};
#define ON_PIT   (CODE + 0x100u)
#define ON_TIMER (CODE + 0x120u)
#define ARM      (CODE + 0x97u)

struct computer {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    uint8_t *ram;
};

static bool load(struct computer *computer, uint32_t lvt)
{
    const uint32_t pit = ON_PIT, timer = ON_TIMER;
    const uint16_t to_arm = (uint16_t)(ARM - (ON_TIMER + 10));
    visor_x86_sregs sregs;
    visor_x86_regs regs = {.rip = CODE, .rsp = 0x7000, .rbx = 1, .rflags = 2};

    memcpy(computer->ram + CODE, main_code, sizeof(main_code));
    memcpy(computer->ram + ON_PIT, on_pit, sizeof(on_pit));
    memcpy(computer->ram + ON_TIMER, on_timer, sizeof(on_timer));
    memcpy(computer->ram + ON_TIMER + 8, &to_arm, 2);
    memcpy(computer->ram + 4 * 0x20, &pit, 4);
    memcpy(computer->ram + 4 * 0x60, &timer, 4);
    memcpy(computer->ram + LVT_AT, &lvt, 4);
    if (!CHECK_OK(visor_x86_get_sregs(&sregs, computer->vcpu)))
        return false;
    sregs.cs.base = sregs.cs.selector = 0;
    sregs.fs.base = 0xfee00000;
    sregs.fs.limit = 0xffff;
    return CHECK_OK(visor_x86_set_sregs(computer->vcpu, &sregs)) &&
           CHECK_OK(visor_x86_set_regs(computer->vcpu, &regs));
}

static bool create(struct computer *out, const char *spec)
{
    const visor_memory_region region = {.gpa = 0, .length = RAM};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    void *ram = NULL;

    *out = (struct computer){0};
    config.arch = VISOR_ARCH_X86_64;
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    if (!CHECK_OK(visor_hypervisor_open(&out->hv, spec)) ||
        !CHECK_OK(visor_memory_create(&out->memory, &region, 1, NULL)) ||
        !CHECK_OK(visor_memory_ptr(&ram, out->memory, 0, RAM)) ||
        !CHECK_OK(visor_vm_create(&out->vm, out->hv, out->memory, &config)) ||
        !CHECK_OK(visor_vcpu_create(&out->vcpu, out->vm, 0)) ||
        !CHECK_OK(visor_x86_configure_cpuid(out->vcpu, NULL)))
        return false;
    out->ram = ram;
    return true;
}

static void destroy(struct computer *computer)
{
    visor_vcpu_free(computer->vcpu);
    visor_vm_free(computer->vm);
    visor_memory_free(computer->memory);
    visor_hypervisor_free(computer->hv);
}

/* ---- what there is to compare ---- */

struct moment {
    uint64_t port, value, tsc, memory;
    visor_x86_regs regs;
    visor_x86_lapic lapic;
};

static uint64_t sum_of(const uint8_t *ram)
{
    uint64_t sum = 0, word;

    for (unsigned i = 0; i < RAM; i += 8) {
        memcpy(&word, ram + i, 8);
        sum = sum * 31 + word;
    }
    return sum;
}

static void look(struct moment *out, const struct computer *computer)
{
    const visor_io *io = &visor_vcpu_exit(computer->vcpu)->io;

    memset(out, 0, sizeof(*out));
    out->port = io->address;
    out->value = visor_io_value(io);
    out->memory = sum_of(computer->ram);
    CHECK_OK(visor_x86_get_msr(&out->tsc, computer->vcpu, 0x10));
    CHECK_OK(visor_x86_get_regs(&out->regs, computer->vcpu));
    CHECK_OK(visor_x86_get_lapic(&out->lapic, computer->vcpu));
}

struct noise {
    visor_vcpu *vcpu;
    atomic_bool stop;
};

/* Keeps the vCPU from running through, at times that have nothing to do with it. */
static void *make_noise(void *argument)
{
    struct noise *noise = argument;

    for (unsigned i = 1; !atomic_load(&noise->stop); i++) {
        visor_vcpu_kick(noise->vcpu);
        usleep(i * 7919 % 900);
    }
    return NULL;
}

/* Runs to the first exits. Returns how many there were. */
static unsigned record(struct moment *moments, const char *spec, uint32_t lvt, bool noisy)
{
    struct noise noise = {.vcpu = NULL};
    struct computer computer;
    unsigned count = 0;
    pthread_t thread;
    int reason;

    if (!create(&computer, spec) || !load(&computer, lvt))
        return 0;
    noise.vcpu = computer.vcpu;
    if (noisy && !CHECK(pthread_create(&thread, NULL, make_noise, &noise) == 0))
        return 0;
    while (count < EXITS) {
        reason = visor_vcpu_run(computer.vcpu);
        if (reason == VISOR_EXIT_INTR || reason == VISOR_EXIT_KICKED)
            continue;
        if (!CHECK_INT(reason, VISOR_EXIT_IO))
            break;
        look(&moments[count++], &computer);
        if (noisy && count % 16 == 0)
            usleep(3000);
    }
    atomic_store(&noise.stop, true);
    if (noisy)
        pthread_join(thread, NULL);
    destroy(&computer);
    return count;
}

static void compare(uint32_t lvt)
{
    static struct moment first[EXITS], again[EXITS];
    unsigned pit = 0;

    REQUIRE(record(first, "soft[deterministic=on]", lvt, false) == EXITS);
    for (unsigned run = 0; run < 2; run++) {
        REQUIRE(record(again, "soft[deterministic=on]", lvt, run > 0) == EXITS);
        for (unsigned i = 0; i < EXITS; i++) {
            if (!CHECK(memcmp(&again[i], &first[i], sizeof(first[0])) == 0)) {
                printf("# run %u, exit %u\n", run, i);
                return;
            }
        }
    }
    /* Both timers have come, and as often as the time says. */
    for (unsigned i = 0; i < EXITS; i++)
        pit += first[i].port == 0xf0;
    CHECK(pit > EXITS / 5 && pit < EXITS / 2);
    CHECK(first[EXITS - 1].tsc > pit * UINT64_C(1676191));
    CHECK(first[EXITS - 1].tsc < (pit + 2) * UINT64_C(1676192));
}

TEST(periodic_timers_come_at_the_same_instructions)
{
    compare(PERIODIC);
}

TEST(a_tsc_deadline_too)
{
    compare(TSC_DEADLINE);
}

TEST(there_is_one_vcpu)
{
    struct computer computer;
    visor_vcpu *second;

    REQUIRE(create(&computer, "soft[deterministic=on]"));
    CHECK_INT(visor_vcpu_create(&second, computer.vm, 1), VISOR_EUNSUPPORTED);
    destroy(&computer);
}

/* A halted guest does not wait for its timers: hours pass at once. */
TEST(halting_takes_no_time)
{
    /* sti; 1: hlt; jmp 1b */
    static const uint8_t halt[] = {0xfb, 0xf4, 0xeb, 0xfd};
    const uint32_t timer = ON_TIMER;
    struct computer computer;
    visor_x86_lapic lapic;
    visor_x86_regs regs = {.rip = CODE, .rsp = 0x7000, .rflags = 2};
    uint64_t tsc = 0;

    REQUIRE(create(&computer, "soft[deterministic=on]"));
    REQUIRE(load(&computer, PERIODIC));
    memcpy(computer.ram + CODE, halt, sizeof(halt));
    memcpy(computer.ram + 4 * 0x60, &timer, 4);
    CHECK_OK(visor_x86_set_regs(computer.vcpu, &regs));
    CHECK_OK(visor_x86_get_lapic(&lapic, computer.vcpu));
    lapic.regs[0x0f] = 0x1ff;
    lapic.regs[0x32] = 0x60;
    lapic.regs[0x3e] = 10; /* by 128 */
    lapic.regs[0x38] = lapic.regs[0x39] = UINT32_MAX;
    CHECK_OK(visor_x86_set_lapic(computer.vcpu, &lapic));
    while (visor_vcpu_run(computer.vcpu) == VISOR_EXIT_INTR)
        continue;
    CHECK_INT(visor_vcpu_exit(computer.vcpu)->io.address, 0xf1);
    CHECK_OK(visor_x86_get_msr(&tsc, computer.vcpu, 0x10));
    CHECK(tsc > UINT64_C(549755813000) && tsc < UINT64_C(549755815000)); /* 2^32 * 128 ns */
    destroy(&computer);
}

UNIT_MAIN()
