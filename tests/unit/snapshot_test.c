/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots on the null backend: the way there and back, and every way in which one can be bad. */
#include "unit.h"

#include "buffer.h"
#include "core/snapshot.h"
#include "core/x86.h"
#include "null/script.h"

#define PAGE    4096u
#define RAM_GPA 0x10000u

struct machine {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpus[3];
    size_t count;
};

static int machine_create(struct machine *out, const char *spec, visor_irqchip irqchip,
                          const uint32_t *ids, size_t count)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    const visor_memory_region region = {.gpa = RAM_GPA, .length = PAGE};
    int ret;

    *out = (struct machine){0};
    config.arch = VISOR_ARCH_X86_64;
    config.irqchip = irqchip;
    ret = visor_hypervisor_open(&out->hv, spec);
    if (ret == 0)
        ret = visor_memory_create(&out->memory, &region, 1, NULL);
    if (ret == 0)
        ret = visor_vm_create(&out->vm, out->hv, out->memory, &config);
    while (ret == 0 && out->count < count) {
        ret = visor_vcpu_create(&out->vcpus[out->count], out->vm, ids[out->count]);
        out->count += ret == 0;
    }
    return ret;
}

static void machine_free(struct machine *machine)
{
    while (machine->count > 0)
        visor_vcpu_free(machine->vcpus[--machine->count]);
    visor_vm_free(machine->vm);
    visor_memory_free(machine->memory);
    visor_hypervisor_free(machine->hv);
}

static const uint32_t two[] = {0, 1};

/* Puts something of its own into every piece; what is checked or read-only stays valid. */
/* The pieces of x86 guests are the first. */
#define X86_PIECES (VISOR__STATE_X86_EVENTS + 1)

/* What a local APIC and the chips of a VM can hold. */
static void fill_apic(visor_vcpu *vcpu, uint8_t seed)
{
    const uint64_t base = 0xfee00800 + ((uint64_t)seed << 12);
    visor_x86_lapic lapic;

    CHECK_OK(visor__state_set(vcpu, VISOR__STATE_X86_APIC_BASE, &base, sizeof(base), NULL));
    CHECK_OK(visor_x86_get_lapic(&lapic, vcpu));
    lapic.regs[0x8] = seed;
    lapic.regs[0xf] = 0x1f0 + seed;
    lapic.regs[0x22] = 1u << seed; /* a request */
    lapic.regs[0x32] = 0x20 + seed;
    CHECK_OK(visor_x86_set_lapic(vcpu, &lapic));
}

static void fill_chips(visor_vm *vm, uint8_t seed)
{
    const visor_x86_pic primary = {.irr = 1, .imr = seed, .irq_base = 8},
                        secondary = {.isr = 2, .irq_base = 0x70, .elcr = 0x80};
    visor_x86_ioapic ioapic;
    visor_x86_pit pit;

    CHECK_OK(visor_x86_set_pic(vm, false, &primary));
    CHECK_OK(visor_x86_set_pic(vm, true, &secondary));
    CHECK_OK(visor_x86_get_ioapic(&ioapic, vm));
    ioapic.redirect[seed] = 0x10000 + seed;
    CHECK_OK(visor_x86_set_ioapic(vm, &ioapic));
    CHECK_OK(visor_x86_get_pit(&pit, vm));
    pit.channel[1].count = seed;
    pit.channel[2].mode = 3;
    CHECK_OK(visor_x86_set_pit(vm, &pit));
}

static void fill_vcpu(visor_vcpu *vcpu, uint8_t seed)
{
    for (unsigned i = 0; i < VISOR__STATE_COUNT; i++) {
        enum visor__state piece = (enum visor__state)i;
        const struct visor__state_info *info = &visor__states[piece];
        uint8_t bytes[1024];
        size_t length = info->variable ? 2 * info->size : info->size;

        if (info->arch != vcpu->vm->config.arch || piece == VISOR__STATE_X86_LAPIC ||
            piece == VISOR__STATE_X86_APIC_BASE)
            continue;
        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)(seed + 7 * i + k);
        if (piece == VISOR__STATE_X86_MP_STATE) {
            memset(bytes, 0, sizeof(bytes));
            bytes[0] = VISOR_MP_HALTED;
        }
        if (piece == VISOR__STATE_X86_XCRS)
            memcpy(bytes, &(uint32_t){2}, 4);
        if (piece == VISOR__STATE_X86_XSAVE)
            length = (size_t)visor_vm_cap(vcpu->vm, VISOR_CAP_X86_XSAVE_SIZE);
        if (piece == VISOR__STATE_X86_MSRS) {
            const visor_x86_msr msrs[] = {{.index = 0x174, .value = seed},
                                          {.index = 0xc0000081, .value = ~(uint64_t)seed}};

            memcpy(bytes, msrs, sizeof(msrs));
        }
        CHECK_OK(visor__state_set(vcpu, piece, bytes, length, NULL));
    }
    if (vcpu->lapic != NULL)
        fill_apic(vcpu, seed);
}

static void fill_machine(struct machine *machine, uint8_t seed)
{
    const visor_route routes[] = {
        {.gsi = seed, .chip = VISOR_CHIP_IOAPIC, .pin = 3},
        {.gsi = 9, .is_msi = true, .msi = {.address = 0xfee00000, .data = seed}},
    };

    for (size_t i = 0; i < machine->count; i++)
        fill_vcpu(machine->vcpus[i], (uint8_t)(seed + i));
    if (machine->vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        fill_chips(machine->vm, seed);
    CHECK_OK(visor_vm_set_clock(machine->vm, seed));
    CHECK_OK(visor_vm_set_routes(machine->vm, routes, 2));
    CHECK_OK(visor_memory_write(machine->memory, RAM_GPA + 100, &seed, 1));
}

static int save(struct buffer *out, visor_vm *vm)
{
    visor_stream stream = buffer_stream(out);

    return visor_vm_save(vm, &stream, NULL);
}

static int restore(visor_vm *vm, const struct buffer *from, size_t length)
{
    struct buffer copy = {.data = from->data, .length = length};
    visor_stream stream = buffer_stream(&copy);
    int ret = visor_vm_restore(vm, &stream, NULL);

    /* Exactly the snapshot is taken from the stream, so that something else can follow it. */
    if (ret == 0)
        CHECK_INT(copy.position, length);
    return ret;
}

static bool same(const struct buffer *a, const struct buffer *b)
{
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

TEST(everything_comes_back_on_a_fresh_vm_and_on_a_used_one)
{
    struct machine first, second;
    struct buffer before = {0}, after = {0}, again = {0}, other = {0};

    REQUIRE_OK(machine_create(&first, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(machine_create(&second, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&first, 3);
    CHECK_OK(save(&before, first.vm));
    CHECK_OK(restore(second.vm, &before, before.length));
    CHECK_OK(save(&after, second.vm));
    CHECK(same(&before, &after));

    fill_machine(&second, 5);
    CHECK_OK(save(&other, second.vm));
    CHECK(!same(&before, &other));
    CHECK_OK(restore(second.vm, &before, before.length));
    CHECK_OK(save(&again, second.vm));
    CHECK(same(&before, &again));

    buffer_free(&before);
    buffer_free(&after);
    buffer_free(&again);
    buffer_free(&other);
    machine_free(&first);
    machine_free(&second);
}

TEST(every_truncation_is_refused)
{
    struct machine machine;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&machine, 3);
    REQUIRE_OK(save(&buffer, machine.vm));
    for (size_t length = 0; length < buffer.length; length++) {
        if (!CHECK_INT(restore(machine.vm, &buffer, length), VISOR_EFORMAT))
            break;
    }
    CHECK_OK(restore(machine.vm, &buffer, buffer.length));
    buffer_free(&buffer);
    machine_free(&machine);
}

TEST(every_changed_byte_is_refused)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xff};
    struct machine machine;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&machine, 3);
    REQUIRE_OK(save(&buffer, machine.vm));
    for (size_t i = 0; i < buffer.length; i++) {
        for (size_t k = 0; k < sizeof(changes); k++) {
            int ret;

            buffer.data[i] ^= changes[k];
            ret = restore(machine.vm, &buffer, buffer.length);
            buffer.data[i] ^= changes[k];
            if (!CHECK(ret == VISOR_EFORMAT || ret == VISOR_EMISMATCH)) {
                printf("#   byte %zu of %zu, changed by 0x%x: %d\n", i, buffer.length, changes[k],
                       ret);
                goto out;
            }
        }
    }
    CHECK_OK(restore(machine.vm, &buffer, buffer.length));
out:
    buffer_free(&buffer);
    machine_free(&machine);
}

/* A snapshot of one machine does not fit another, and the error says what is wrong. */
static void check_mismatch(const struct buffer *buffer, visor_irqchip irqchip, const uint32_t *ids,
                           size_t count, const char *word)
{
    struct machine machine;

    REQUIRE_OK(machine_create(&machine, "null", irqchip, ids, count));
    CHECK_INT(restore(machine.vm, buffer, buffer->length), VISOR_EMISMATCH);
    if (!CHECK(strstr(visor_error_last()->detail, word) != NULL))
        printf("#   \"%s\" does not say \"%s\"\n", visor_error_last()->detail, word);
    machine_free(&machine);
}

TEST(another_machine_is_a_mismatch)
{
    static const uint32_t others[] = {0, 2, 3};
    struct machine machine;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(save(&buffer, machine.vm));
    check_mismatch(&buffer, VISOR_IRQCHIP_NONE, two, 2, "interrupt chip");
    check_mismatch(&buffer, VISOR_IRQCHIP_KERNEL, two, 1, "vCPUs");
    check_mismatch(&buffer, VISOR_IRQCHIP_KERNEL, others, 3, "vCPUs");
    check_mismatch(&buffer, VISOR_IRQCHIP_KERNEL, others, 2, "vCPU 1");
    buffer_free(&buffer);
    machine_free(&machine);
}

/* The software CPU has another XSAVE image, and no paravirtual clock. Its MSRs, which come after
 * these, are others than the null backend's. */
TEST(backends_differ_in_what_guests_need_not_use)
{
    struct machine machine, other;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_NONE, two, 1));
    REQUIRE_OK(machine_create(&other, "soft", VISOR_IRQCHIP_NONE, two, 1));
    CHECK_OK(visor_vm_set_clock(machine.vm, 5));
    REQUIRE_OK(save(&buffer, machine.vm));
    CHECK_INT(restore(other.vm, &buffer, buffer.length), VISOR_EREFUSED);
    CHECK(strstr(visor_error_last()->detail, "vCPU 0, msrs") != NULL);
    buffer_free(&buffer);
    machine_free(&other);
    machine_free(&machine);
}

TEST(images_of_another_size)
{
    uint8_t wanted[832], *image = calloc(1, 2048);
    const uint64_t used = 0x207; /* x87, SSE, AVX; and PKRU, in its initial state */
    size_t length = 2048;
    void *value = image;

    REQUIRE(image != NULL);
    for (unsigned i = 0; i < 832; i++)
        image[i] = i < 512 || i >= 576 ? (uint8_t)(i * 7) : 0;
    memcpy(image + 512, &used, 8);
    memcpy(wanted, image, 832);
    wanted[513] = 0;
    /* Something behind AVX. */
    image[2047] = 1;
    CHECK_INT(visor__x86_fit_xsave(&value, &length, 832, "test"), VISOR_EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "components 0x200") != NULL);
    CHECK(value == image && length == 2048);
    image[2047] = 0;
    CHECK_OK(visor__x86_fit_xsave(&value, &length, 832, "test"));
    REQUIRE(length == 832);
    CHECK(memcmp(value, wanted, 832) == 0);
    /* Larger again: the rest is zero. */
    CHECK_OK(visor__x86_fit_xsave(&value, &length, 4096, "test"));
    REQUIRE(length == 4096);
    CHECK(memcmp(value, wanted, 832) == 0 && ((uint8_t *)value)[832] == 0);
    /* No room for AVX, which is in use. */
    CHECK_INT(visor__x86_fit_xsave(&value, &length, 576, "test"), VISOR_EMISMATCH);
    free(value);
}

TEST(without_memory_on_one_side_is_a_mismatch)
{
    visor_snapshot_config config = VISOR_SNAPSHOT_CONFIG_INIT;
    struct machine machine;
    struct buffer with = {0}, without = {0};
    visor_stream stream;

    config.without_memory = true;
    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(save(&with, machine.vm));
    stream = buffer_stream(&without);
    CHECK_OK(visor_vm_save(machine.vm, &stream, &config));
    CHECK_INT(restore(machine.vm, &without, without.length), VISOR_EMISMATCH);
    stream = buffer_stream(&with);
    CHECK_INT(visor_vm_restore(machine.vm, &stream, &config), VISOR_EMISMATCH);
    stream = buffer_stream(&without);
    CHECK_OK(visor_vm_restore(machine.vm, &stream, &config));
    buffer_free(&with);
    buffer_free(&without);
    machine_free(&machine);
}

TEST(one_vcpu_alone)
{
    struct machine first, second;
    struct buffer before = {0}, after = {0}, whole = {0};
    visor_stream stream;

    REQUIRE_OK(machine_create(&first, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(machine_create(&second, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&first, 3);
    stream = buffer_stream(&before);
    CHECK_OK(visor_vcpu_save(first.vcpus[1], &stream));
    CHECK_OK(visor_vcpu_restore(second.vcpus[1], &stream));
    stream = buffer_stream(&after);
    CHECK_OK(visor_vcpu_save(second.vcpus[1], &stream));
    CHECK(same(&before, &after));

    stream = buffer_stream(&before);
    CHECK_INT(visor_vcpu_restore(second.vcpus[0], &stream), VISOR_EMISMATCH);
    CHECK_INT(restore(second.vm, &before, before.length), VISOR_EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "single vCPU") != NULL);
    CHECK_OK(save(&whole, first.vm));
    stream = buffer_stream(&whole);
    CHECK_INT(visor_vcpu_restore(second.vcpus[0], &stream), VISOR_EMISMATCH);
    buffer_free(&before);
    buffer_free(&after);
    buffer_free(&whole);
    machine_free(&first);
    machine_free(&second);
}

TEST(pending_accesses_are_completed_or_refused)
{
    const struct null_step script[] = {NULL_IN(0x10, 1), NULL_REP_IN(2, 0x20, 1), NULL_HALT};
    struct machine machine;
    struct buffer buffer = {0};
    visor_x86_sregs sregs;
    visor_x86_regs regs;
    visor_vcpu *vcpu;

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_NONE, two, 1));
    vcpu = machine.vcpus[0];
    CHECK_OK(visor_memory_write(machine.memory, RAM_GPA, script, sizeof(script)));
    CHECK_OK(visor_x86_get_sregs(&sregs, vcpu));
    sregs.cs.base = 0;
    CHECK_OK(visor_x86_set_sregs(vcpu, &sregs));
    CHECK_OK(visor_x86_set_regs(vcpu, &(visor_x86_regs){.rip = RAM_GPA, .rflags = 2}));

    CHECK_INT(visor_vcpu_run(vcpu), VISOR_EXIT_IO);
    visor_io_set_value(&visor_vcpu_exit(vcpu)->io, 0x42);
    CHECK_OK(save(&buffer, machine.vm));
    CHECK_OK(visor_x86_get_regs(&regs, vcpu));
    CHECK_INT(regs.rax, 0x42);
    CHECK_INT(regs.rip, RAM_GPA + sizeof(script[0]));

    /* The first of two parts is answered by settling, the second is not. */
    CHECK_INT(visor_vcpu_run(vcpu), VISOR_EXIT_IO);
    CHECK_INT(save(&buffer, machine.vm), VISOR_ESTATE);
    CHECK(strstr(visor_error_last()->detail, "vCPU 0") != NULL);
    /* To a restore it does not matter what the vCPU was about. */
    CHECK_OK(restore(machine.vm, &buffer, buffer.length));
    CHECK_OK(visor_x86_get_regs(&regs, vcpu));
    CHECK_INT(regs.rip, RAM_GPA + sizeof(script[0]));
    buffer_free(&buffer);
    machine_free(&machine);
}

TEST(a_running_vcpu_is_refused)
{
    struct machine machine;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_NONE, two, 2));
    REQUIRE_OK(save(&buffer, machine.vm));
    atomic_store(&machine.vcpus[1]->kick.running, true);
    CHECK_INT(save(&buffer, machine.vm), VISOR_ESTATE);
    CHECK(strstr(visor_error_last()->detail, "vCPU 1") != NULL);
    CHECK_INT(restore(machine.vm, &buffer, buffer.length), VISOR_ESTATE);
    atomic_store(&machine.vcpus[1]->kick.running, false);
    buffer_free(&buffer);
    machine_free(&machine);
}

/*
 * Lets the n-th call of one operation of the backend fail, for all n, and tells saving or restoring
 * from what the error must be. Returns how many calls there are.
 */
static unsigned try_all_failures(const char *operation, const struct buffer *snapshot)
{
    for (unsigned after = 0;; after++) {
        struct machine machine;
        struct buffer out = {0};
        char spec[96];
        int ret;

        snprintf(spec, sizeof(spec), "null[fail=%s,error=ESYSTEM,after=%u]", operation, after);
        if (!CHECK_OK(machine_create(&machine, spec, VISOR_IRQCHIP_KERNEL, two, 2)))
            return 0;
        ret = snapshot != NULL ? restore(machine.vm, snapshot, snapshot->length)
                               : save(&out, machine.vm);
        machine_free(&machine);
        buffer_free(&out);
        if (ret == 0)
            return after;
        if (!CHECK_INT(ret, VISOR_ESYSTEM) || !CHECK(after < 1000))
            return 0;
    }
}

TEST(every_failure_of_the_backend_is_reported)
{
    struct machine machine;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&machine, 3);
    REQUIRE_OK(save(&buffer, machine.vm));
    CHECK(try_all_failures("vcpu.get_state", NULL) >= 2 * (X86_PIECES - 1));
    CHECK(try_all_failures("vcpu.settle", NULL) == 2);
    CHECK(try_all_failures("x86.get_msrs", NULL) >= 2);
    CHECK(try_all_failures("x86.get_chip", NULL) >= 4);
    CHECK(try_all_failures("clock.get", NULL) >= 1);
    CHECK(try_all_failures("vcpu.set_state", &buffer) >= 2 * (X86_PIECES - 1));
    CHECK(try_all_failures("x86.set_msrs", &buffer) == 2);
    CHECK(try_all_failures("x86.set_chip", &buffer) == 5); /* the PIT comes to a stand first */
    CHECK(try_all_failures("irq.set_routes", &buffer) == 1);
    CHECK(try_all_failures("clock.set", &buffer) == 1);
    buffer_free(&buffer);
    machine_free(&machine);
}

TEST(failures_name_the_piece)
{
    struct machine machine, other;
    struct buffer buffer = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(
        machine_create(&other, "null[fail=x86.set_chip,after=3]", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(save(&buffer, machine.vm));
    CHECK_INT(restore(other.vm, &buffer, buffer.length), VISOR_EREFUSED);
    CHECK(strstr(visor_error_last()->detail, "ioapic") != NULL);
    machine_free(&other);
    /* A piece that the other backend does not have at all; two calls end nested mode before. */
    REQUIRE_OK(machine_create(&other, "null[fail=vcpu.set_state,error=EUNSUPPORTED,after=2]",
                              VISOR_IRQCHIP_KERNEL, two, 2));
    CHECK_INT(restore(other.vm, &buffer, buffer.length), VISOR_EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "vCPU 0, ") != NULL);
    machine_free(&other);
    buffer_free(&buffer);
    machine_free(&machine);
}

/* ---- snapshots that are well-formed section by section, and wrong as a whole ---- */

/* The section at an offset: its size with payload and checksum. */
static size_t section_size(const struct buffer *buffer, size_t at)
{
    struct snapshot_section section;

    memcpy(&section, buffer->data + at, sizeof(section));
    return sizeof(section) + (size_t)section.length + sizeof(uint64_t);
}

/* Makes the checksum of a section right again. */
static void sign(struct buffer *buffer, size_t at, size_t size)
{
    struct visor__checksum checksum = {0};
    uint64_t sum;

    visor__checksum_add(&checksum, buffer->data + at, sizeof(struct snapshot_section));
    visor__checksum_add(&checksum, buffer->data + at + sizeof(struct snapshot_section),
                        size - sizeof(struct snapshot_section) - sizeof(sum));
    sum = visor__checksum_value(&checksum);
    memcpy(buffer->data + at + size - sizeof(sum), &sum, sizeof(sum));
}

enum edit { EDIT_REMOVE, EDIT_DOUBLE, EDIT_SCOPE, EDIT_NAME, EDIT_NO_END, EDIT_LENGTH, EDIT_COUNT };

/* A copy of the snapshot with one section edited. */
static struct buffer edited(const struct buffer *from, size_t at, enum edit edit)
{
    struct buffer out = {0};
    size_t size = section_size(from, at);
    struct snapshot_section section;

    memcpy(&section, from->data + at, sizeof(section));
    buffer_write(&out, from->data, at + (edit == EDIT_REMOVE ? 0 : size));
    if (edit == EDIT_DOUBLE)
        buffer_write(&out, from->data + at, size);
    buffer_write(&out, from->data + at + size, from->length - at - size);
    if (edit == EDIT_SCOPE)
        section.scope = 9;
    if (edit == EDIT_NAME)
        section.name[0] ^= 1;
    if (edit == EDIT_NO_END)
        memset(section.name, 'x', sizeof(section.name));
    if (edit == EDIT_LENGTH)
        section.length = (uint64_t)1 << 40;
    if (edit > EDIT_DOUBLE && CHECK(out.data != NULL)) {
        memcpy(out.data + at, &section, sizeof(section));
        sign(&out, at, size);
    }
    return out;
}

TEST(every_wrong_section_is_refused)
{
    visor_snapshot_config config = VISOR_SNAPSHOT_CONFIG_INIT;
    struct machine machine;
    struct buffer buffer = {0};
    visor_stream stream = buffer_stream(&buffer);
    size_t sections = 0;

    config.without_memory = true;
    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    fill_machine(&machine, 3);
    REQUIRE_OK(visor_vm_save(machine.vm, &stream, &config));
    for (size_t at = sizeof(struct snapshot_head); at < buffer.length;
         at += section_size(&buffer, at), sections++) {
        bool is_end = at + section_size(&buffer, at) == buffer.length;

        for (int edit = 0; edit < EDIT_COUNT; edit++) {
            struct buffer bad = edited(&buffer, at, (enum edit)edit);
            int ret;

            stream = buffer_stream(&bad);
            ret = visor_vm_restore(machine.vm, &stream, &config);
            buffer_free(&bad);
            /* The end has no use for its name, and what follows it is not the snapshot's. */
            if (is_end && (edit == EDIT_NAME || edit == EDIT_DOUBLE))
                CHECK_INT(ret, 0);
            else if (!CHECK(ret == VISOR_EFORMAT || ret == VISOR_EMISMATCH))
                printf("#   section %zu, edit %d: %d\n", sections, edit, ret);
        }
    }
    /* All of the VM's but irqchip, of two vCPUs, memory. */
    CHECK_INT(sections, VISOR__VM_STATE_COUNT - 1 + 2 * X86_PIECES + 1);
    buffer_free(&buffer);
    machine_free(&machine);
}

TEST(nested_state_stays_with_its_hypervisor)
{
    struct machine machine;
    struct buffer buffer = {0};
    struct snapshot_head head;
    struct visor__checksum checksum = {0};

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 1));
    CHECK_OK(visor_x86_set_nested_state(machine.vcpus[0], "nested", 6));
    REQUIRE_OK(save(&buffer, machine.vm));
    CHECK_OK(restore(machine.vm, &buffer, buffer.length));
    REQUIRE(buffer.data != NULL);
    memcpy(&head, buffer.data, sizeof(head));
    strcpy(head.backend, "other");
    visor__checksum_add(&checksum, &head, offsetof(struct snapshot_head, checksum));
    head.checksum = visor__checksum_value(&checksum);
    memcpy(buffer.data, &head, sizeof(head));
    CHECK_INT(restore(machine.vm, &buffer, buffer.length), VISOR_EMISMATCH);
    CHECK(strstr(visor_error_last()->detail, "other") != NULL);
    buffer_free(&buffer);
    machine_free(&machine);
}

TEST(a_stream_that_takes_no_more_fails)
{
    struct machine machine;
    struct buffer whole = {0};
    size_t length;

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_KERNEL, two, 2));
    REQUIRE_OK(save(&whole, machine.vm));
    length = whole.length;
    buffer_free(&whole);
    for (size_t limit = 1; limit < length; limit += 13) {
        struct buffer small = {.limit = limit};
        int ret = save(&small, machine.vm);

        buffer_free(&small);
        if (!CHECK_INT(ret, VISOR_ESYSTEM))
            break;
    }
    machine_free(&machine);
}

/* ---- MSRs ---- */

struct notes {
    unsigned count;
    char last[160];
};

static void note(void *context, const char *line)
{
    struct notes *notes = context;

    notes->count++;
    snprintf(notes->last, sizeof(notes->last), "%s", line);
}

TEST(msrs_are_restored_by_the_rules)
{
    /* 0xfe is read-only and 8 in the null backend; 0x345, 0x999 and 0xc001020b do not exist. */
    visor_x86_msr good[] = {{.index = 0xfe, .value = 8},
                            {.index = 0x345, .value = 5},
                            {.index = 0x999, .value = 0},
                            {.index = 0xc001020b, .value = 1},
                            {.index = 0x174, .value = 77}};
    const visor_x86_msr no_loss[] = {{.index = 0x40000020, .value = 5},
                                     {.index = 0x9e, .value = 0x30000}};
    const visor_x86_msr loss = {.index = 0x9e, .value = 0x40000};
    const visor_x86_msr read_only = {.index = 0xfe, .value = 9};
    const visor_x86_msr unknown = {.index = 0x999, .value = 1};
    const visor_x86_msr beyond = {.index = 0xc001020c, .value = 1};
    struct machine machine;
    struct notes notes = {0};
    const struct visor__printer printer = {.print = note, .context = &notes};
    uint64_t value = 0;

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_NONE, two, 1));
    CHECK_OK(visor__x86_restore_msrs(machine.vcpus[0], good, 5, &printer));
    CHECK_INT(notes.count, 2);
    CHECK(strstr(notes.last, "0xc001020b") != NULL);
    CHECK_OK(visor_x86_get_msr(&value, machine.vcpus[0], 0x174));
    CHECK_INT(value, 77);
    CHECK_OK(visor__x86_restore_msrs(machine.vcpus[0], good, 5, NULL));
    CHECK_OK(visor__x86_restore_msrs(machine.vcpus[0], no_loss, 2, NULL));
    CHECK_INT(visor__x86_restore_msrs(machine.vcpus[0], &loss, 1, NULL), VISOR_EREFUSED);
    CHECK_INT(visor__x86_restore_msrs(machine.vcpus[0], &read_only, 1, NULL), VISOR_EREFUSED);
    CHECK(strstr(visor_error_last()->detail, "0xfe") != NULL);
    CHECK_INT(visor__x86_restore_msrs(machine.vcpus[0], &unknown, 1, NULL), VISOR_EREFUSED);
    CHECK_INT(visor__x86_restore_msrs(machine.vcpus[0], &beyond, 1, NULL), VISOR_EREFUSED);
    machine_free(&machine);
}

TEST(msr_lists_have_any_length)
{
    enum { COUNT = 1000 };
    static visor_x86_msr msrs[COUNT];
    struct machine machine;
    uint64_t value = 0;

    REQUIRE_OK(machine_create(&machine, "null", VISOR_IRQCHIP_NONE, two, 1));
    for (size_t i = 0; i < COUNT; i++)
        msrs[i] = (visor_x86_msr){.index = i % 2 == 0 ? 0x174 : 0x175, .value = i};
    CHECK_OK(visor_x86_set_msrs(machine.vcpus[0], msrs, COUNT));
    CHECK_OK(visor_x86_get_msr(&value, machine.vcpus[0], 0x175));
    CHECK_INT(value, COUNT - 1);
    CHECK_OK(visor_x86_get_msrs(msrs, COUNT, machine.vcpus[0]));
    CHECK_INT(msrs[0].value, COUNT - 2);
    CHECK_INT(msrs[COUNT - 1].value, COUNT - 1);

    /* Failing in the fourth batch: those before it have been done. */
    msrs[800].index = 0x999;
    msrs[799].value = 4711;
    CHECK_INT(visor_x86_set_msrs(machine.vcpus[0], msrs, COUNT), VISOR_EREFUSED);
    CHECK(strstr(visor_error_last()->detail, "0x999") != NULL);
    CHECK_OK(visor_x86_get_msr(&value, machine.vcpus[0], 0x175));
    CHECK_INT(value, 4711);
    CHECK_INT(visor_x86_get_msrs(msrs, COUNT, machine.vcpus[0]), VISOR_ENOENT);
    CHECK(strstr(visor_error_last()->detail, "0x999") != NULL);
    machine_free(&machine);
}

UNIT_MAIN()
