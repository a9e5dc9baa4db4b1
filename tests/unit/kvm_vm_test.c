/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM side of the KVM backend: dirty rings that fill up, collected writes, lines, chips. Needs a
 * /dev/kvm that works; the lab has one.
 */
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <visor.h>

#include "unit.h"

#define PAGE     4096u
#define SLOT_GPA 0x100000u
#define PAGES    2048u /* of the logging slot; a power of two */
#define RING     256u  /* the smallest ring: it fills up many times */

extern const uint8_t guest_fill[], guest_fill_end[], guest_scatter[], guest_scatter_end[];
extern const uint8_t guest_mmio[], guest_mmio_end[];

/* Real mode with flat segments; code at 0. */
__asm__(".pushsection .rodata\n"
        ".code16\n"
        /* Writes eax to ecx pages from ebx on, one word each. */
        "guest_fill:\n"
        "1:  movl %eax, (%ebx)\n"
        "    addl $0x1000, %ebx\n"
        "    decl %ecx\n"
        "    jnz 1b\n"
        "    hlt\n"
        "guest_fill_end:\n"
        /* Counts for ever, each number into a page chosen by a generator. esi: page mask. */
        "guest_scatter:\n"
        "1:  imull $1103515245, %edx, %edx\n"
        "    addl $12345, %edx\n"
        "    movl %edx, %edi\n"
        "    shrl $12, %edi\n"
        "    andl %esi, %edi\n"
        "    shll $12, %edi\n"
        "    addl %ebx, %edi\n"
        "    incl %eax\n"
        "    movl %eax, (%edi)\n"
        "    jmp 1b\n"
        "guest_scatter_end:\n"
        /* Writes to memory that is not there and to ports, then stops. */
        "guest_mmio:\n"
        "    movl $0x11223344, (%ebx)\n"
        "    movb $0x55, 4(%ebx)\n"
        "    movw $0x6677, 0x10(%ebx)\n"
        "    movb $0x88, %al\n"
        "    outb %al, $0x70\n"
        "    hlt\n"
        "guest_mmio_end:\n"
        ".code64\n"
        ".popsection\n");

struct machine {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_mapping *mapping; /* held by the slot */
    uint32_t slot;
    int reason; /* of the run on another thread */
};

static void machine_free(struct machine *m)
{
    visor_vcpu_free(m->vcpu);
    visor_vm_free(m->vm);
    visor_memory_free(m->memory);
    visor_hypervisor_free(m->hv);
}

static bool machine_create(struct machine *m, const visor_vm_config *config)
{
    const visor_memory_region low = {.gpa = 0, .length = 0x10000};

    return CHECK_OK(visor_memory_create(&m->memory, &low, 1, NULL)) &&
           CHECK_OK(visor_vm_create(&m->vm, m->hv, m->memory, config));
}

/* Skips the test that it stands in where there is no KVM, ends it where a VM cannot be made. */
#define MACHINE(m, config)                             \
    struct machine m = {0};                            \
    do {                                               \
        if (visor_hypervisor_open(&(m).hv, "kvm") < 0) \
            SKIP("no usable /dev/kvm");                \
        if (!machine_create(&(m), (config))) {         \
            machine_free(&(m));                        \
            return;                                    \
        }                                              \
    } while (0)

static void flat(visor_x86_segment *segment)
{
    segment->base = 0;
    segment->selector = 0;
    segment->limit = 0xffffffff;
    segment->g = 1;
}

/* A vCPU that will run this code with these registers. */
static bool add_vcpu(struct machine *m, const uint8_t *code, const uint8_t *end,
                     const visor_x86_regs *regs)
{
    visor_x86_sregs sregs;

    if (!CHECK_OK(visor_memory_write(m->memory, 0, code, (size_t)(end - code))) ||
        !CHECK_OK(visor_vcpu_create(&m->vcpu, m->vm, 0)) ||
        !CHECK_OK(visor_x86_get_sregs(&sregs, m->vcpu)))
        return false;
    flat(&sregs.cs);
    flat(&sregs.ds);
    flat(&sregs.es);
    flat(&sregs.ss);
    return CHECK_OK(visor_x86_set_sregs(m->vcpu, &sregs)) &&
           CHECK_OK(visor_x86_set_regs(m->vcpu, regs));
}

static bool add_slot(struct machine *m, uint64_t pages, bool read_only)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;

    config.gpa = SLOT_GPA;
    config.log_dirty = true;
    config.read_only = read_only;
    return CHECK_OK(visor_mapping_create(&m->mapping, pages * PAGE)) &&
           CHECK_OK(visor_vm_add_slot(&m->slot, m->vm, m->mapping, &config));
}

static int run(visor_vcpu *vcpu)
{
    int reason;

    do
        reason = visor_vcpu_run(vcpu);
    while (reason == VISOR_EXIT_INTR);
    return reason;
}

static unsigned bits(const uint8_t *bitmap, size_t length)
{
    unsigned count = 0;

    for (size_t i = 0; i < length; i++)
        count += (unsigned)__builtin_popcount(bitmap[i]);
    return count;
}

/* ---- dirty pages ---- */

static const visor_vm_config bitmap_config = VISOR_VM_CONFIG_INIT;
static const visor_vm_config ring_config = {
    .size = sizeof(visor_vm_config),
    .dirty_ring_entries = RING,
};

static bool has_ring(const struct machine *m)
{
    return visor_hypervisor_cap(m->hv, VISOR_CAP_DIRTY_RING) > 0;
}

/* Every page once, far more than a ring holds; then a few; then none. */
static void fill(struct machine *m)
{
    static uint8_t bitmap[PAGES / 8];
    visor_x86_regs regs = {.rflags = 2, .rax = 1, .rbx = SLOT_GPA, .rcx = PAGES};

    if (!add_slot(m, PAGES, false) || !add_vcpu(m, guest_fill, guest_fill_end, &regs) ||
        !CHECK_INT(run(m->vcpu), VISOR_EXIT_HLT))
        return;
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), m->vm, m->slot));
    CHECK_INT(bits(bitmap, sizeof(bitmap)), PAGES);

    regs.rbx = SLOT_GPA + UINT64_C(9) * PAGE;
    regs.rcx = 3;
    CHECK_OK(visor_x86_set_regs(m->vcpu, &regs));
    CHECK_INT(run(m->vcpu), VISOR_EXIT_HLT);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), m->vm, m->slot));
    CHECK_INT(bits(bitmap, sizeof(bitmap)), 3);
    CHECK_INT(bitmap[1], 0x0e);
    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), m->vm, m->slot));
    CHECK_INT(bits(bitmap, sizeof(bitmap)), 0);
}

TEST(dirty_bitmap_fill)
{
    MACHINE(m, &bitmap_config);
    fill(&m);
    machine_free(&m);
}

TEST(dirty_ring_fill)
{
    MACHINE(m, &bitmap_config);
    visor_vm_free(m.vm);
    m.vm = NULL;
    if (!has_ring(&m)) {
        machine_free(&m);
        SKIP("this kernel has no dirty ring");
    }
    if (CHECK_OK(visor_vm_create(&m.vm, m.hv, m.memory, &ring_config)))
        fill(&m);
    machine_free(&m);
}

static void *run_until_kicked(void *context)
{
    struct machine *m = context;

    m->reason = run(m->vcpu);
    return NULL;
}

static void copy_dirty(struct machine *m, uint8_t *mirror, unsigned *rounds_with_pages)
{
    static uint8_t bitmap[PAGES / 8];
    const uint8_t *host = visor_mapping_host(m->mapping);

    CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), m->vm, m->slot));
    *rounds_with_pages += bits(bitmap, sizeof(bitmap)) != 0;
    for (size_t page = 0; page < PAGES; page++) {
        if ((bitmap[page / 8] >> page % 8 & 1) != 0)
            memcpy(mirror + page * PAGE, host + page * PAGE, 4);
    }
}

/* What a live migration does: copy dirty pages while the guest writes on. In the end the copy must
 * equal the original, so no page may ever be lost. */
static void follow(struct machine *m)
{
    const visor_x86_regs regs = {.rflags = 2, .rbx = SLOT_GPA, .rdx = 1, .rsi = PAGES - 1};
    uint8_t *mirror = calloc(PAGES, PAGE);
    unsigned rounds_with_pages = 0, wrong = 0;
    pthread_t thread;

    if (!CHECK(mirror != NULL) || !add_slot(m, PAGES, false) ||
        !add_vcpu(m, guest_scatter, guest_scatter_end, &regs) ||
        !CHECK_INT(pthread_create(&thread, NULL, run_until_kicked, m), 0)) {
        free(mirror);
        return;
    }
    for (unsigned round = 0; round < 200; round++) {
        copy_dirty(m, mirror, &rounds_with_pages);
        usleep(500);
    }
    visor_vcpu_kick(m->vcpu);
    pthread_join(thread, NULL);
    CHECK_INT(m->reason, VISOR_EXIT_KICKED);
    copy_dirty(m, mirror, &rounds_with_pages);
    for (size_t page = 0; page < PAGES; page++) {
        const uint8_t *host = visor_mapping_host(m->mapping);

        wrong += memcmp(mirror + page * PAGE, host + page * PAGE, 4) != 0;
    }
    CHECK_INT(wrong, 0);
    CHECK(rounds_with_pages > 10);
    free(mirror);
}

TEST(dirty_bitmap_follow)
{
    MACHINE(m, &bitmap_config);
    follow(&m);
    machine_free(&m);
}

TEST(dirty_ring_follow)
{
    MACHINE(m, &bitmap_config);
    visor_vm_free(m.vm);
    m.vm = NULL;
    if (!has_ring(&m)) {
        machine_free(&m);
        SKIP("this kernel has no dirty ring");
    }
    if (CHECK_OK(visor_vm_create(&m.vm, m.hv, m.memory, &ring_config)))
        follow(&m);
    machine_free(&m);
}

/* What is in the ring of a vCPU that is freed must not be lost. */
TEST(dirty_ring_of_a_freed_vcpu)
{
    static uint8_t bitmap[PAGES / 8];
    const visor_x86_regs regs = {.rflags = 2, .rbx = SLOT_GPA, .rcx = 5};

    MACHINE(m, &bitmap_config);
    visor_vm_free(m.vm);
    m.vm = NULL;
    if (!has_ring(&m)) {
        machine_free(&m);
        SKIP("this kernel has no dirty ring");
    }
    if (CHECK_OK(visor_vm_create(&m.vm, m.hv, m.memory, &ring_config)) &&
        add_slot(&m, PAGES, false) && add_vcpu(&m, guest_fill, guest_fill_end, &regs) &&
        CHECK_INT(run(m.vcpu), VISOR_EXIT_HLT)) {
        visor_vcpu_free(m.vcpu);
        m.vcpu = NULL;
        CHECK_OK(visor_vm_dirty_log(bitmap, sizeof(bitmap), m.vm, m.slot));
        CHECK_INT(bits(bitmap, sizeof(bitmap)), 5);
    }
    machine_free(&m);
}

TEST(dirty_ring_sizes)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_vm *vm = NULL;

    MACHINE(m, &config);
    if (!has_ring(&m)) {
        machine_free(&m);
        SKIP("this kernel has no dirty ring");
    }
    config.dirty_ring_entries = 2;
    CHECK_INT(visor_vm_create(&vm, m.hv, m.memory, &config), VISOR_EREFUSED);
    config.dirty_ring_entries = 3000;
    CHECK_INT(visor_vm_create(&vm, m.hv, m.memory, &config), VISOR_EINVAL);
    config.dirty_ring_entries = 1u << 30;
    CHECK_INT(visor_vm_create(&vm, m.hv, m.memory, &config), VISOR_ELIMIT);
    machine_free(&m);
}

/* ---- read-only guest memory ---- */

/* The reference registers it writable, and the guest's write ends KVM_RUN with EFAULT. */
TEST(read_only_region)
{
    const visor_memory_region regions[] = {
        {.gpa = 0, .length = 0x10000},
        {.gpa = SLOT_GPA, .length = UINT64_C(2) * PAGE, .read_only = true},
    };
    const visor_x86_regs regs = {.rflags = 2, .rax = 0xabcd, .rbx = SLOT_GPA, .rcx = 1};
    uint32_t value = 0x1234;

    MACHINE(m, NULL);
    visor_vm_free(m.vm);
    visor_memory_free(m.memory);
    m.vm = NULL;
    m.memory = NULL;
    if (CHECK_OK(visor_memory_create(&m.memory, regions, 2, NULL)) &&
        CHECK_OK(visor_memory_write(m.memory, SLOT_GPA, &value, 4)) &&
        CHECK_OK(visor_vm_create(&m.vm, m.hv, m.memory, NULL)) &&
        add_vcpu(&m, guest_fill, guest_fill_end, &regs) &&
        CHECK_INT(run(m.vcpu), VISOR_EXIT_MMIO)) {
        const visor_io *io = &visor_vcpu_exit(m.vcpu)->io;

        CHECK_INT(io->address, SLOT_GPA);
        CHECK_INT(io->is_write, true);
        CHECK_INT(visor_io_value(io), 0xabcd);
        CHECK_INT(run(m.vcpu), VISOR_EXIT_HLT);
        CHECK_OK(visor_memory_read(&value, m.memory, SLOT_GPA, 4));
        CHECK_INT(value, 0x1234);
    }
    machine_free(&m);
}

/* ---- collected writes ---- */

struct seen {
    unsigned count, with_vcpu;
    visor_io io[8];
};

static int note(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct seen *seen = context;

    if (seen->count < 8)
        seen->io[seen->count] = *io;
    seen->count++;
    seen->with_vcpu += vcpu != NULL;
    return VISOR_IO_DONE;
}

static bool map_io(struct machine *m, struct seen *seen, visor_space space, uint64_t address,
                   uint64_t length, bool coalesce)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    range.space = space;
    range.address = address;
    range.length = length;
    range.handler = note;
    range.context = seen;
    range.coalesce = coalesce;
    return CHECK_OK(visor_vm_map_io(m->vm, &range));
}

TEST(collected_writes)
{
    const visor_x86_regs regs = {.rflags = 2, .rbx = SLOT_GPA};
    struct seen seen = {0};

    MACHINE(m, NULL);
    if (add_vcpu(&m, guest_mmio, guest_mmio_end, &regs) &&
        map_io(&m, &seen, VISOR_MMIO, SLOT_GPA, 8, true) &&
        map_io(&m, &seen, VISOR_MMIO, SLOT_GPA + 0x10, 8, false) &&
        map_io(&m, &seen, VISOR_PIO, 0x70, 1, true) && CHECK_INT(run(m.vcpu), VISOR_EXIT_HLT)) {
        CHECK_INT(seen.count, 4);
        CHECK_INT(seen.with_vcpu, 1);
        CHECK_INT(seen.io[0].address, SLOT_GPA);
        CHECK_INT(visor_io_value(&seen.io[0]), 0x11223344);
        CHECK_INT(seen.io[1].address, SLOT_GPA + 4);
        CHECK_INT(visor_io_value(&seen.io[1]), 0x55);
        CHECK_INT(visor_io_value(&seen.io[2]), 0x6677);
        CHECK_INT(seen.io[3].space, VISOR_PIO);
        CHECK_INT(seen.io[3].address, 0x70);
        CHECK_INT(visor_io_value(&seen.io[3]), 0x88);

        /* No longer collected, no longer handled. */
        CHECK_OK(visor_vm_unmap_io(m.vm, VISOR_MMIO, SLOT_GPA, 8));
        CHECK_OK(visor_x86_set_regs(m.vcpu, &regs));
        CHECK_INT(run(m.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(visor_vcpu_exit(m.vcpu)->io.address, SLOT_GPA);
    }
    machine_free(&m);
}

/* What was collected survives the vCPU that wrote it. */
TEST(collected_writes_of_a_freed_vcpu)
{
    const visor_x86_regs regs = {.rflags = 2, .rbx = SLOT_GPA};
    struct seen seen = {0};

    MACHINE(m, NULL);
    if (add_vcpu(&m, guest_mmio, guest_mmio_end, &regs) &&
        map_io(&m, &seen, VISOR_MMIO, SLOT_GPA, 4, true) &&
        CHECK_INT(run(m.vcpu), VISOR_EXIT_MMIO)) {
        visor_vcpu_free(m.vcpu);
        m.vcpu = NULL;
        CHECK(visor_vm_flush_io(m.vm) >= 0);
        CHECK_INT(seen.count, 1);
    }
    machine_free(&m);
}

/* ---- interrupt chips ---- */

static visor_vm_config chip_config(visor_irqchip irqchip)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.irqchip = irqchip;
    return config;
}

static unsigned pic_irr(visor_vm *vm, bool secondary)
{
    visor_x86_pic pic = {0};

    CHECK_OK(visor_x86_get_pic(&pic, vm, secondary));
    return pic.irr;
}

TEST(lines_events_and_routes)
{
    const visor_vm_config config = chip_config(VISOR_IRQCHIP_KERNEL);
    const visor_route routes[] = {
        {.gsi = 40, .chip = VISOR_CHIP_PIC_PRIMARY, .pin = 5},
        {.gsi = 41, .chip = VISOR_CHIP_PIC_SECONDARY, .pin = 2},
        {.gsi = 42, .is_msi = true, .msi = {.address = 0xfee00000, .data = 0x4030}},
    };
    const uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK);
    int alias = dup(fd);
    unsigned wait;

    MACHINE(m, &config);
    /* Without a route from gsi 0, the timer cannot interfere. */
    CHECK_OK(visor_vm_set_routes(m.vm, routes, 3));
    CHECK_OK(visor_vm_set_irq(m.vm, 40, true));
    CHECK_INT(pic_irr(m.vm, false) & 0x20, 0x20);
    CHECK_OK(visor_vm_set_irq(m.vm, 40, false));
    CHECK_OK(visor_vm_add_irq_event(m.vm, 41, fd, VISOR_EVENT_NONE));
    CHECK_INT(visor_vm_add_irq_event(m.vm, 41, fd, VISOR_EVENT_NONE), VISOR_EEXIST);
    CHECK_INT(visor_vm_add_irq_event(m.vm, 41, alias, VISOR_EVENT_NONE), VISOR_EEXIST);
    CHECK_INT(write(fd, &one, sizeof(one)), sizeof(one));
    for (wait = 0; wait < 1000 && (pic_irr(m.vm, true) & 4) == 0; wait++)
        usleep(1000);
    CHECK(wait < 1000);
    CHECK_OK(visor_vm_remove_irq_event(m.vm, 41, fd));
    CHECK_INT(visor_vm_remove_irq_event(m.vm, 41, fd), VISOR_ENOENT);
    /* There is no vCPU that could take a message. */
    CHECK_INT(visor_vm_send_msi(m.vm, &routes[2].msi), 0);
    CHECK_OK(visor_vm_set_routes(m.vm, NULL, 0));
    machine_free(&m);
    close(fd);
    close(alias);
}

TEST(chip_state)
{
    const visor_vm_config config = chip_config(VISOR_IRQCHIP_KERNEL);
    visor_x86_ioapic ioapic, ioapic2;
    visor_x86_pic pic, pic2;
    visor_x86_pit pit, pit2;

    MACHINE(m, &config);
    CHECK_OK(visor_x86_get_ioapic(&ioapic, m.vm));
    CHECK_INT(ioapic.base_address, 0xfec00000);
    ioapic.id = 3;
    ioapic.ioregsel = 0x12;
    for (unsigned i = 0; i < VISOR_X86_IOAPIC_PINS; i++)
        ioapic.redirect[i] = (uint64_t)i << 56 | 1u << 16 | (0x30 + i);
    CHECK_OK(visor_x86_set_ioapic(m.vm, &ioapic));
    CHECK_OK(visor_x86_get_ioapic(&ioapic2, m.vm));
    CHECK_INT(memcmp(&ioapic, &ioapic2, sizeof(ioapic)), 0);

    CHECK_OK(visor_x86_get_pic(&pic, m.vm, true));
    pic.irq_base = 0x70;
    pic.imr = 0xfb;
    pic.init_state = 2;
    CHECK_OK(visor_x86_set_pic(m.vm, true, &pic));
    CHECK_OK(visor_x86_get_pic(&pic2, m.vm, true));
    CHECK_INT(memcmp(&pic, &pic2, sizeof(pic)), 0);
    pic.init_state = 4;
    CHECK_INT(visor_x86_set_pic(m.vm, true, &pic), VISOR_EINVAL);

    CHECK_OK(visor_x86_get_pit(&pit, m.vm));
    pit.channel[2].count = 0x1234;
    pit.channel[2].mode = 3;
    pit.channel[2].rw_mode = 3;
    pit.channel[2].write_state = 4;
    pit.channel[2].reload_value = 0x34;
    CHECK_OK(visor_x86_set_pit(m.vm, &pit));
    CHECK_OK(visor_x86_get_pit(&pit2, m.vm));
    for (unsigned i = 0; i < 3; i++)
        pit.channel[i].load_time = pit2.channel[i].load_time = 0; /* of the last set */
    CHECK_INT(memcmp(&pit, &pit2, sizeof(pit)), 0);
    pit.channel[1].read_state = 9;
    CHECK_INT(visor_x86_set_pit(m.vm, &pit), VISOR_EINVAL);
    machine_free(&m);
}

TEST(chips_that_are_not_there)
{
    visor_vm_config config = chip_config(VISOR_IRQCHIP_SPLIT);
    int fd = eventfd(0, EFD_NONBLOCK);
    visor_x86_ioapic ioapic;
    visor_x86_pit pit;
    visor_vm *vm = NULL;

    MACHINE(m, &config);
    CHECK_INT(visor_x86_get_ioapic(&ioapic, m.vm), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_cap(m.vm, VISOR_CAP_IRQFD_RESAMPLE), 0);
    CHECK_INT(visor_vm_add_irq_event(m.vm, 30, fd, fd), VISOR_EUNSUPPORTED);
    config = chip_config(VISOR_IRQCHIP_KERNEL);
    config.no_pit = true;
    if (CHECK_OK(visor_vm_create(&vm, m.hv, m.memory, &config))) {
        CHECK_INT(visor_x86_get_pit(&pit, vm), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_x86_get_ioapic(&ioapic, vm));
    }
    visor_vm_free(vm);
    machine_free(&m);
    close(fd);
}

/* ---- the rest ---- */

TEST(pv_clock)
{
    uint64_t before = 0, after = 0;

    MACHINE(m, NULL);
    CHECK_OK(visor_vm_set_clock(m.vm, 5000000000000));
    CHECK_OK(visor_vm_get_clock(&before, m.vm));
    CHECK(before >= 5000000000000 && before < 5010000000000);
    CHECK_OK(visor_vm_get_clock(&after, m.vm));
    CHECK(after >= before);
    machine_free(&m);
}

TEST(address_areas)
{
    MACHINE(m, NULL);
    CHECK_OK(visor_x86_set_identity_map(m.vm, 0xfeffc000));
    CHECK_OK(visor_x86_set_tss_area(m.vm, 0xfeffd000));
    CHECK_INT(visor_x86_set_identity_map(m.vm, 0xfeffc001), VISOR_EALIGN);
    CHECK_INT(visor_x86_set_tss_area(m.vm, 0xfffff000), VISOR_ERANGE);
    CHECK_OK(visor_vcpu_create(&m.vcpu, m.vm, 0));
    CHECK_INT(visor_x86_set_identity_map(m.vm, 0xfeffc000), VISOR_ESTATE);
    machine_free(&m);
}

TEST(hypercalls)
{
    int64_t mask;

    MACHINE(m, NULL);
    mask = visor_vm_cap(m.vm, VISOR_CAP_HYPERCALLS);
    if (mask == 0) {
        machine_free(&m);
        SKIP("this kernel lets no hypercall out");
    }
    CHECK_OK(visor_vm_enable_hypercalls(m.vm, (uint32_t)__builtin_ctzll((uint64_t)mask), 1));
    CHECK_INT(visor_vm_enable_hypercalls(m.vm, 1, 1), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_enable_hypercalls(m.vm, 64, 1), VISOR_EUNSUPPORTED);
    machine_free(&m);
}

TEST(native)
{
    visor_file file = VISOR_FILE_NONE;
    int64_t value = 0;
    uint64_t size = 0;

    MACHINE(m, NULL);
    /* KVM_CAP_NR_MEMSLOTS is a count; the reference calls anything but 1 absent. */
    CHECK_OK(visor_vm_native_cap(&value, m.vm, 10));
    CHECK(value > 1);
    CHECK(visor_vm_cap(m.vm, VISOR_CAP_MAX_SLOTS) <= 0x10000);
    CHECK_OK(visor_vm_native_handle(&file, m.vm));
    CHECK(file > 2);
    close((int)file);
    CHECK_OK(visor_x86_set_platform_info(m.vm, false));
    CHECK_INT(visor_vm_load_firmware(&size, m.vm, 0, PAGE), VISOR_EUNSUPPORTED);
    machine_free(&m);
}

TEST(protected_vm)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_vm *vm = NULL;

    MACHINE(m, NULL);
    if (visor_hypervisor_cap(m.hv, VISOR_CAP_PROTECTED) > 0) {
        machine_free(&m);
        SKIP("this kernel has protected VMs");
    }
    config.protection = VISOR_PROTECTED;
    CHECK_INT(visor_vm_create(&vm, m.hv, m.memory, &config), VISOR_EUNSUPPORTED);
    machine_free(&m);
}

/* ---- nothing is left behind ---- */

#define CYCLES 1000u

struct usage {
    size_t heap;
    unsigned files, mappings;
};

static struct usage usage_now(void)
{
    struct usage usage = {.heap = mallinfo2().uordblks};
    DIR *files = opendir("/proc/self/fd");
    FILE *maps;
    int c;

    while (files != NULL && readdir(files) != NULL)
        usage.files++;
    if (files != NULL)
        closedir(files);
    maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && (c = getc(maps)) != EOF)
        usage.mappings += c == '\n';
    if (maps != NULL)
        fclose(maps);
    return usage;
}

/* A machine with all that holds something in the kernel, run once. */
static void cycle(int event, const visor_vm_config *config)
{
    const visor_x86_regs regs = {.rflags = 2, .rbx = SLOT_GPA, .rcx = 3};
    const visor_io_event io_event = {.event = event, .address = 0x200000, .length = 4};
    struct machine m = {0};
    struct seen seen = {0};

    if (CHECK_OK(visor_hypervisor_open(&m.hv, "kvm")) && machine_create(&m, config) &&
        add_slot(&m, 4, false) && add_vcpu(&m, guest_mmio, guest_mmio_end, &regs) &&
        map_io(&m, &seen, VISOR_PIO, 0x70, 1, true)) {
        CHECK_OK(visor_vm_add_io_event(m.vm, &io_event));
        if (config->irqchip != VISOR_IRQCHIP_NONE)
            CHECK_OK(visor_vm_add_irq_event(m.vm, 9, event, VISOR_EVENT_NONE));
        else
            CHECK_INT(run(m.vcpu), VISOR_EXIT_HLT);
    }
    machine_free(&m);
}

TEST(nothing_is_left_behind)
{
    visor_vm_config kernel = chip_config(VISOR_IRQCHIP_KERNEL);
    visor_vm_config none = chip_config(VISOR_IRQCHIP_NONE);
    struct usage before, after;
    int event;

    {
        MACHINE(m, NULL);
        if (has_ring(&m))
            none.dirty_ring_entries = RING;
        machine_free(&m);
    }
    event = eventfd(0, EFD_NONBLOCK);
    cycle(event, &kernel); /* what is made once and kept */
    cycle(event, &none);
    before = usage_now();
    for (unsigned i = 0; i < CYCLES; i++)
        cycle(event, i % 2 == 0 ? &kernel : &none);
    after = usage_now();
    /* malloc() counts what it caches as in use; a leak would be at least 32 bytes a cycle. */
    CHECK(after.heap < before.heap + (size_t)CYCLES * 16);
    CHECK_INT(after.files, before.files);
    CHECK_INT(after.mappings, before.mappings);
    close(event);
}

UNIT_MAIN()
