/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer: KVM by hand. No abstraction, no checks but for failure, nothing kept that is not used.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

struct raw {
    int kvm, vm, vcpu;
    size_t run_size;
    struct kvm_run *run;
    void *ram, *dirty;
};

static void raw_close(struct raw *raw)
{
    if (raw->run != NULL)
        munmap(raw->run, raw->run_size);
    if (raw->vcpu >= 0)
        close(raw->vcpu);
    if (raw->vm >= 0)
        close(raw->vm);
    if (raw->kvm >= 0)
        close(raw->kvm);
    if (raw->ram != NULL)
        munmap(raw->ram, BENCH_RAM);
    if (raw->dirty != NULL)
        munmap(raw->dirty, BENCH_DIRTY_SIZE);
}

static void *memory(size_t size)
{
    void *host =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return host == MAP_FAILED ? NULL : host;
}

static bool slot(struct raw *raw, uint32_t id, uint64_t gpa, uint64_t size, void *host,
                 uint32_t flags)
{
    struct kvm_userspace_memory_region region = {
        .slot = id,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };

    return host != NULL && ioctl(raw->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static bool raw_open(struct raw *raw, const struct bench_guest *guest, bool dirty)
{
    int size;

    *raw = (struct raw){.kvm = -1, .vm = -1, .vcpu = -1};
    raw->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (raw->kvm < 0 || ioctl(raw->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return false;
    size = ioctl(raw->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    raw->vm = ioctl(raw->kvm, KVM_CREATE_VM, 0);
    raw->ram = memory(BENCH_RAM);
    if (size <= 0 || raw->vm < 0 || !slot(raw, 0, 0, BENCH_RAM, raw->ram, 0))
        return false;
    if (dirty) {
        raw->dirty = memory(BENCH_DIRTY_SIZE);
        if (!slot(raw, 1, BENCH_DIRTY_GPA, BENCH_DIRTY_SIZE, raw->dirty, KVM_MEM_LOG_DIRTY_PAGES))
            return false;
    }
    memcpy((uint8_t *)raw->ram + BENCH_CODE_GPA, guest->code, guest->length);
    raw->vcpu = ioctl(raw->vm, KVM_CREATE_VCPU, 0);
    if (raw->vcpu < 0)
        return false;
    raw->run_size = (size_t)size;
    raw->run = mmap(NULL, raw->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, raw->vcpu, 0);
    if (raw->run == MAP_FAILED) {
        raw->run = NULL;
        return false;
    }
    return bench_raw_start(raw->vm, raw->vcpu, guest);
}

/* The reason that the guest of a row leaves for. */
static uint32_t reason_of(enum bench_row row)
{
    return bench_is_mmio(row) ? KVM_EXIT_MMIO : KVM_EXIT_IO;
}

static bool run_to(struct raw *raw, uint32_t reason)
{
    return ioctl(raw->vcpu, KVM_RUN, 0) == 0 && raw->run->exit_reason == reason;
}

/* One harvest; its time is added to *took, that of the guest's writing is not. */
static bool dirty_once(struct raw *raw, uint64_t *bitmap, double *took)
{
    struct kvm_dirty_log log = {.slot = 1, .dirty_bitmap = bitmap};
    double start;
    bool done;

    if (!run_to(raw, reason_of(BENCH_DIRTY)))
        return false;
    start = bench_now();
    done = ioctl(raw->vm, KVM_GET_DIRTY_LOG, &log) == 0;
    *took += bench_now() - start;
    return done && bitmap[0] != 0;
}

static double work(struct raw *raw, enum bench_row row, unsigned count)
{
    static uint64_t bitmap[BENCH_DIRTY_SIZE / 4096 / 64];
    double start, took = 0;
    bool good = row == BENCH_DIRTY || run_to(raw, reason_of(row));

    start = bench_now();
    for (unsigned i = 0; good && i < count; i++) {
        if (row == BENCH_REGS)
            good = run_to(raw, reason_of(row)) && bench_raw_regs(raw->vcpu);
        else if (row == BENCH_DIRTY)
            good = dirty_once(raw, bitmap, &took);
        else
            good = run_to(raw, reason_of(row));
    }
    if (!good)
        return -1;
    return row == BENCH_DIRTY ? took : bench_now() - start;
}

static double raw_run(enum bench_row row, unsigned count)
{
    const struct bench_guest *guest = bench_guest(row);
    struct raw raw;
    double took;

    if (row == BENCH_CREATE) {
        double start = bench_now();

        for (unsigned i = 0; i < count; i++) {
            bool good = raw_open(&raw, guest, false) && run_to(&raw, reason_of(row));

            raw_close(&raw);
            if (!good)
                return -1;
        }
        return bench_now() - start;
    }
    took = raw_open(&raw, guest, row == BENCH_DIRTY) ? work(&raw, row, count) : -1;
    if (took < 0)
        perror("raw");
    raw_close(&raw);
    return took;
}

const struct bench_side bench_raw = {"raw", raw_run};
