/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reader of snapshots. The mutator starts from a snapshot that is right, and makes the
 * checksums of what it changes right again: else no input would get past the first of them.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/buffer.h"
#include "core/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static visor_vm *make_vm(void)
{
    const visor_memory_region regions[] = {{.gpa = 0, .length = 4096},
                                           {.gpa = 0x10000, .length = 4096}};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vcpu *vcpu;
    visor_vm *vm;

    config.arch = VISOR_ARCH_X86_64;
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    if (visor_hypervisor_open(&hv, "null") < 0 ||
        visor_memory_create(&memory, regions, 2, NULL) < 0 ||
        visor_vm_create(&vm, hv, memory, &config) < 0)
        abort();
    for (uint32_t id = 0; id < 2; id++) {
        if (visor_vcpu_create(&vcpu, vm, id) < 0 || visor_x86_configure_cpuid(vcpu, NULL) < 0)
            abort();
    }
    return vm;
}

static visor_vm *the_vm(void)
{
    static visor_vm *vm;

    if (vm == NULL)
        vm = make_vm();
    return vm;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer in = {0}, out = {0};
    visor_stream stream = buffer_stream(&in);

    if (buffer_write(&in, data, size) == 0 && visor_vm_restore(the_vm(), &stream, NULL) == 0) {
        /* What was taken can be given again, and taken again. */
        stream = buffer_stream(&out);
        if (visor_vm_save(the_vm(), &stream, NULL) < 0 ||
            visor_vm_restore(the_vm(), &stream, NULL) < 0)
            abort();
    }
    buffer_free(&in);
    buffer_free(&out);
    return 0;
}

/* Makes the checksums of the head and of all sections that can be found right. */
static void sign(uint8_t *data, size_t size)
{
    struct visor__checksum checksum = {0};
    uint64_t sum;
    size_t at = sizeof(struct snapshot_head);

    if (size < at)
        return;
    visor__checksum_add(&checksum, data, offsetof(struct snapshot_head, checksum));
    sum = visor__checksum_value(&checksum);
    memcpy(data + offsetof(struct snapshot_head, checksum), &sum, sizeof(sum));
    while (size - at >= sizeof(struct snapshot_section) + sizeof(sum)) {
        struct snapshot_section section;
        size_t left = size - at - sizeof(section) - sizeof(sum);

        memcpy(&section, data + at, sizeof(section));
        if (section.length > left)
            break;
        checksum = (struct visor__checksum){0};
        visor__checksum_add(&checksum, &section, sizeof(section));
        at += sizeof(section);
        visor__checksum_add(&checksum, data + at, (size_t)section.length);
        at += (size_t)section.length;
        sum = visor__checksum_value(&checksum);
        memcpy(data + at, &sum, sizeof(sum));
        at += sizeof(sum);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size < sizeof(struct snapshot_head)) {
        struct buffer good = {0};
        visor_stream stream = buffer_stream(&good);

        if (visor_vm_save(the_vm(), &stream, NULL) < 0)
            abort();
        size = good.length < max_size ? good.length : max_size;
        memcpy(data, good.data, size);
        buffer_free(&good);
    } else if (seed % 8 == 0) {
        size = LLVMFuzzerMutate(data, size, max_size);
    } else {
        /* One section at most: a shift of all that follows seldom leaves anything to be read. */
        size_t from = seed / 8 % size;
        size_t some = size - from < 64 ? size - from : 64;

        LLVMFuzzerMutate(data + from, some, some);
    }
    sign(data, size);
    return size;
}
